"""작업자(worker) 프로세스에 일을 나누고, 실패를 이유와 함께 돌려받는다."""

from __future__ import annotations

import logging
import multiprocessing
import signal
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from typing import Generic, TypeVar

from realesrgan.errors import RealESRGANError
from realesrgan.util.files import os_reason

logger = logging.getLogger(__name__)

T = TypeVar("T")
R = TypeVar("R")

# 작업자마다 미리 맡겨 두는 일의 수. 결과가 큰 이미지여도 메모리에 쌓이지 않을 만큼만 앞서간다.
AHEAD = 3


@dataclass(frozen=True)
class Failure:
    """한 일의 실패. `reason`은 사람이 읽을 한국어 이유다."""

    reason: str


@dataclass(frozen=True)
class _Guarded(Generic[T, R]):
    """일을 하고, 예외를 이유로 바꾼다. 다른 프로세스로 옮길 수 있도록 클래스로 둔다."""

    work: Callable[[T], R]

    def __call__(self, item: T) -> R | Failure:
        try:
            return self.work(item)
        except RealESRGANError as error:
            return Failure(str(error))
        except OSError as error:
            why, remedy = os_reason(error)
            return Failure(f"{error.filename or item}: {why}\n해결: {remedy}")
        except MemoryError:
            return Failure("메모리가 모자랍니다.\n해결: --n_thread를 줄이거나 다른 프로그램을 닫으세요.")
        except Exception as error:
            # 한 파일의 뜻밖의 오류가 남은 파일을 막지 않게 한다. 흔적은 로그에 남긴다.
            logger.exception("뜻밖의 오류입니다: %s", item)
            return Failure(f"뜻밖의 오류입니다: {type(error).__name__}: {error}")


def _start_worker() -> None:
    """Ctrl-C는 부모가 받아 차례로 끝낸다. 작업자가 함께 받으면 쓰던 파일이 끊긴다."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    import cv2

    # 작업자끼리 코어를 나누므로 저마다 한 스레드만 쓴다.
    cv2.setNumThreads(1)


def map_items(work: Callable[[T], R], items: Sequence[T], workers: int) -> Iterator[tuple[T, R | Failure]]:
    """항목마다 일을 하고 받은 차례대로 돌려준다.

    Args:
        work: 항목 하나를 받는 함수. `workers`가 2 이상이면 다른 프로세스로 옮길 수 있어야 한다(pickle).
        items: 항목들.
        workers: 프로세스 수. 1 이하면 이 프로세스에서 한다.

    Yields:
        `(항목, 결과)`. 실패한 항목의 결과는 `Failure`다. 작업자 프로세스가 죽으면 하던 일이 그 이유로 실패한다.
    """
    guarded: _Guarded[T, R] = _Guarded(work)
    if workers <= 1 or len(items) <= 1:
        for item in items:
            yield item, guarded(item)
        return
    # torch나 OpenCV의 스레드가 떠 있는 프로세스를 fork하면 작업자가 멈출 수 있다.
    context = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(min(workers, len(items)), mp_context=context, initializer=_start_worker)
    try:
        waiting: deque[tuple[T, Future[R | Failure] | None]] = deque()
        for item in items:
            waiting.append((item, _submit(pool, guarded, item)))
            if len(waiting) >= workers * AHEAD:
                yield _collect(*waiting.popleft())
        while waiting:
            yield _collect(*waiting.popleft())
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _submit(pool: ProcessPoolExecutor, guarded: _Guarded[T, R], item: T) -> Future[R | Failure] | None:
    try:
        return pool.submit(guarded, item)
    except BrokenProcessPool:
        return None


def _collect(item: T, future: Future[R | Failure] | None) -> tuple[T, R | Failure]:
    broken = Failure(
        "작업 프로세스가 갑자기 끝나 이 파일을 다루지 못했습니다(메모리 부족이나 강제 종료).\n"
        "해결: --n_thread를 줄이고 다시 실행하세요. 마친 것은 건너뜁니다."
    )
    if future is None:
        return item, broken
    try:
        return item, future.result()
    except BrokenProcessPool:
        return item, broken
