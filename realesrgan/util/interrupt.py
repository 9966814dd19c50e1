"""Ctrl-C를 잃지 않게 한다."""

from __future__ import annotations

import _thread
import signal
import sys
import threading
from collections.abc import Callable
from typing import Any

# 라이브러리가 부른 함수에서 나온 뒤에 닿을 만큼의 시간(초).
AGAIN_SECONDS = 0.05


def keep_interrupts() -> Callable[[], None]:
    """삼켜진 Ctrl-C를 주 스레드에 다시 보낸다. 프로세스 전체에 들으므로 명령만 부른다.

    C 라이브러리가 부른 파이썬 함수(libvips와 FFmpeg의 로그와 읽기)나 `__del__`에서 난 예외는 부른 쪽으로 가지
    못하고 `sys.unraisablehook`에서 사라진다. Ctrl-C도 그때 닿으면 사라져 일이 멈추지 않는다.

    Returns:
        전의 상태로 돌려놓는 함수.
    """
    before = sys.unraisablehook

    def hook(unraisable: Any, /) -> None:
        if issubclass(unraisable.exc_type, KeyboardInterrupt):
            # 여기서 바로 보내면 이 함수 안에서 나 다시 사라진다.
            timer = threading.Timer(AGAIN_SECONDS, _thread.interrupt_main, (_heard(),))
            timer.daemon = True
            timer.start()
        else:
            before(unraisable)

    sys.unraisablehook = hook

    def restore() -> None:
        sys.unraisablehook = before

    return restore


def _heard() -> signal.Signals:
    """이 프로세스가 중단으로 듣는 신호. `nohup`이나 스크립트의 `&`로 뜨면 Ctrl-C는 무시되고 SIGTERM만 듣는다."""
    return signal.SIGINT if callable(signal.getsignal(signal.SIGINT)) else signal.SIGTERM
