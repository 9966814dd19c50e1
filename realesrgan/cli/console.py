"""터미널에 쓰는 일과 종료 코드."""

from __future__ import annotations

import contextlib
import io
import logging
import os
import signal
import sys
from collections.abc import Callable
from types import FrameType
from typing import NoReturn

from realesrgan.errors import RealESRGANError, UsageError

EXIT_DONE = 0
EXIT_SOME_FAILED = 1
EXIT_USAGE = 2
# 셸의 관례: 128 + 신호 번호.
EXIT_INTERRUPTED = 130


def prepare_streams() -> None:
    """터미널의 글자판이 담지 못하는 글자(다른 나라의 파일 이름 등) 때문에 멈추지 않게 한다."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def leave(code: int) -> NoReturn:
    """쓴 것을 모두 내보내고 곧바로 끝난다.

    torch를 불러온 파이썬이 스스로 정리하는 데 0.5초쯤 걸린다. 남길 것을 다 쓴 명령에는 필요 없는 시간이다.
    """
    logging.shutdown()
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError):
            stream.flush()
    os._exit(code)


def say(text: str) -> None:
    """결과를 표준 출력에 한 줄 쓴다. 받는 쪽이 파이프를 닫았거나 디스크가 찼어도 일은 계속한다."""
    with contextlib.suppress(OSError):
        sys.stdout.write(text + "\n")
        sys.stdout.flush()


def say_error(text: str) -> None:
    """오류와 알림을 표준 오류에 쓴다."""
    with contextlib.suppress(OSError):
        sys.stderr.write(text + "\n")
        sys.stderr.flush()


class _ConsoleHandler(logging.Handler):
    """로그를 진행 막대를 깨지 않고 표준 오류에 쓴다."""

    def emit(self, record: logging.LogRecord) -> None:
        """기록 한 줄을 쓴다."""
        from tqdm import tqdm

        try:
            tqdm.write(self.format(record), file=sys.stderr)
        except Exception:
            self.handleError(record)


def configure_logging(verbose: bool) -> None:
    """라이브러리의 로그를 터미널에 잇는다.

    Args:
        verbose: 자세한 로그(INFO)까지 보일지.
    """
    logger = logging.getLogger("realesrgan")
    logger.handlers = [_ConsoleHandler()]
    logger.setLevel(logging.INFO if verbose else logging.WARNING)
    logger.propagate = False


def _interrupt(_signal: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def stop_cleanly_on_terminate() -> None:
    """끝내라는 신호와 터미널이 닫힌 신호도 Ctrl-C처럼 다루어 쓰다 만 파일을 치우게 한다."""
    for name in ("SIGTERM", "SIGHUP", "SIGBREAK"):
        # 신호는 주 스레드에서만 걸 수 있다. 다른 스레드에서 main을 부르면 그대로 둔다.
        with contextlib.suppress(ValueError):
            if hasattr(signal, name):
                signal.signal(getattr(signal, name), _interrupt)


def guarded(work: Callable[[], int], interrupted: str) -> int:
    """명령의 일을 하고 종료 코드를 돌려준다. 알린 오류와 중단을 메시지와 코드로 옮긴다.

    Args:
        work: 종료 코드를 돌려주는 일.
        interrupted: 중단되었을 때 알릴 말.

    Returns:
        `work`의 코드. 오류면 1, 잘못된 사용이면 2, 중단이면 130.
    """
    prepare_streams()
    stop_cleanly_on_terminate()
    try:
        return work()
    except KeyboardInterrupt:
        say_error(interrupted)
        return EXIT_INTERRUPTED
    except RealESRGANError as error:
        say_error(str(error))
        return EXIT_USAGE if isinstance(error, UsageError) else EXIT_SOME_FAILED
