"""예전 코드가 쓰던 두 스레드: 이미지를 미리 읽는 `PrefetchReader`와 결과를 뒤에서 쓰는 `IOConsumer`."""

from __future__ import annotations

import logging
import queue
import threading
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from realesrgan.errors import ImageReadError, ImageWriteError

logger = logging.getLogger(__name__)


class PrefetchReader(threading.Thread):
    """이미지를 다른 스레드에서 미리 읽어 차례로 내준다.

    Args:
        img_list: 경로들.
        num_prefetch_queue: 미리 읽어 둘 수.
    """

    def __init__(self, img_list: Iterable[str], num_prefetch_queue: int) -> None:
        super().__init__(daemon=True)
        self.que: queue.Queue[Any] = queue.Queue(num_prefetch_queue)
        self.img_list = img_list

    def run(self) -> None:
        """읽어 넣는다. 읽지 못하면 그 오류를 받는 쪽에 넘긴다."""
        for path in self.img_list:
            try:
                self.que.put(_read(Path(path)))
            except (OSError, ImageReadError) as error:
                self.que.put(error)
                return
        self.que.put(None)

    def __next__(self) -> NDArray[Any]:
        """`(H, W, C)` BGR(A)나 `(H, W)` 회색.

        Raises:
            ImageReadError: 읽지 못한 이미지가 있을 때.
        """
        item = self.que.get()
        if item is None:
            raise StopIteration
        if isinstance(item, Exception):
            raise item
        found: NDArray[Any] = item
        return found

    def __iter__(self) -> Iterator[NDArray[Any]]:
        return self


def _read(path: Path) -> NDArray[Any]:
    image = cv2.imdecode(np.frombuffer(path.read_bytes(), np.uint8), cv2.IMREAD_UNCHANGED)
    if image is None:
        raise ImageReadError(f"이미지로 읽을 수 없습니다: {path}\n  해결: 파일이 온전한지 확인하세요.")
    return image


class IOConsumer(threading.Thread):
    """줄(queue)에서 `{"output": 배열, "save_path": 경로}`를 꺼내 쓴다. `"quit"`을 받으면 끝난다.

    Args:
        opt: 읽지 않는다. 예전 코드와 부르는 꼴을 맞춘다.
        que: 일감의 줄.
        qid: 기록에 적을 번호.
    """

    def __init__(self, opt: Any, que: queue.Queue[Any], qid: int) -> None:
        super().__init__()
        self.opt, self._queue, self.qid = opt, que, qid
        self.error: Exception | None = None

    def run(self) -> None:
        """쓴다. 쓰지 못한 것은 `error`에 남기고 나머지를 계속한다."""
        while (message := self._queue.get()) != "quit":
            path = Path(message["save_path"])
            encoded, content = cv2.imencode(path.suffix, message["output"])
            try:
                if not encoded:
                    raise ImageWriteError(f"이미지로 쓸 수 없습니다: {path}")
                path.write_bytes(content.tobytes())
            except (OSError, ImageWriteError) as error:
                self.error = error
                logger.error("결과를 쓰지 못했습니다: %s (%s)", path, error)
        logger.info("쓰는 스레드 %s를 마쳤습니다.", self.qid)
