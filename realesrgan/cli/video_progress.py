"""비디오의 진행 상황. 터미널에서는 막대로, 파이프에서는 이따금 한 줄씩 보인다."""

from __future__ import annotations

import sys
import threading
import time
from types import TracebackType

from tqdm import tqdm

from realesrgan.cli.console import say_error
from realesrgan.inference.memory import describe_bytes

# 파이프에서 한 줄을 쓰는 간격(초).
LINE_SECONDS = 15.0


class VideoProgress:
    """비디오 한 편의 막대. 쓰는 단계의 스레드가 세고, 부른 스레드가 그린다.

    Args:
        name: 보일 이름.
        total: 모든 프레임 수. 모르면 None.
        done: 이미 끝나 있는 프레임 수(이어 하기).
        shown: 막대를 그릴지. 없으면 표준 오류가 터미널인지로 정한다.
        every: 막대 대신 줄을 쓰는 간격(초).
    """

    def __init__(
        self,
        name: str,
        total: int | None,
        done: int = 0,
        *,
        shown: bool | None = None,
        every: float = LINE_SECONDS,
    ) -> None:
        self._name = name
        self._total = total
        self._before = done
        self._frames = 0
        self._written = 0
        self._lock = threading.Lock()
        self._began = self._told = time.monotonic()
        self._every = every
        shown = sys.stderr.isatty() if shown is None else shown
        self._bar = tqdm(
            total=total,
            initial=done,
            desc=name,
            unit="프레임",
            disable=not shown,
            file=sys.stderr,
            dynamic_ncols=True,
            smoothing=0.1,
        )

    def count(self) -> int:
        """프레임 하나를 썼음을 세고, 지금까지 쓴 수를 돌려준다. 어느 스레드에서 불러도 된다."""
        with self._lock:
            self._frames += 1
            return self._frames

    def wrote(self, size: int) -> None:
        """지금까지의 결과 크기(바이트)."""
        self._written = size

    def tick(self) -> None:
        """막대를 옮기거나, 때가 되었으면 한 줄을 쓴다."""
        if not self._bar.disable:
            self._bar.set_postfix_str(describe_bytes(self._written), refresh=False)
            self._bar.update(self._before + self._frames - self._bar.n)
            return
        now = time.monotonic()
        if now - self._told >= self._every:
            self._told = now
            say_error(self.line(now - self._began))

    def line(self, seconds: float) -> str:
        """진행을 한 줄로 적는다.

        Args:
            seconds: 시작하고 지난 시간(초).
        """
        done = self._before + self._frames
        speed = self._frames / max(seconds, 1e-9)
        parts = [f"{self._name}: {done}" + (f"/{self._total}" if self._total else "") + "프레임", f"{speed:.2f}fps"]
        if self._total and speed > 0:
            parts.append(f"남은 시간 {describe_seconds((self._total - done) / speed)}")
        return ", ".join([*parts, describe_bytes(self._written)])

    def __enter__(self) -> VideoProgress:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self.tick()
        self._bar.close()


def describe_seconds(seconds: float) -> str:
    """초를 사람이 읽는 시간으로 적는다."""
    whole = max(round(seconds), 0)
    hours, minutes = whole // 3600, whole % 3600 // 60
    if hours:
        return f"{hours}시간 {minutes}분"
    return f"{minutes}분 {whole % 60}초" if minutes else f"{whole}초"
