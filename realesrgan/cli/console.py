"""터미널: 종료 코드, 알리는 말, 로그, 진행 막대, 신호. 어느 스트림이 닫혀 있어도 일은 계속한다."""

from __future__ import annotations

import contextlib
import io
import logging
import math
import os
import signal
import sys
from collections.abc import Callable
from dataclasses import dataclass
from types import FrameType
from typing import Any, NoReturn, TextIO

from realesrgan.errors import RealESRGANError, UsageError
from realesrgan.util.files import describe_system_error
from realesrgan.util.machine import keep_interrupts

EXIT_DONE = 0
EXIT_SOME_FAILED = 1
EXIT_USAGE = 2
# 셸의 관례: 128 + 신호 번호.
EXIT_INTERRUPTED = 130

# 글자를 이어 주는 보이지 않는 문자(ZWNJ, ZWJ). 그림 글자와 여러 문자의 이름에 쓰인다.
_JOINERS = "\u200c\u200d"


def prepare_streams() -> None:
    """표준 출력과 표준 오류가 어떤 모양이어도 멈추지 않게 한다.

    없거나 닫힌 스트림(`pythonw`, `>&-`)은 버리는 곳(`os.devnull`)으로 바꾼다. 닫힌 채 두면 다음에 여는 파일이
    그 번호를 받아, 누군가 표준 출력에 쓴 글이 그 파일에 섞인다. 터미널의 글자판이 담지 못하는 글자(다른 나라의 파일
    이름 등)는 바꾸어 쓴다.
    """
    names = [name for name in ("stdout", "stderr") if getattr(sys, name) is None or getattr(sys, name).closed]
    if names:
        with contextlib.suppress(OSError):
            while (handle := os.open(os.devnull, os.O_RDWR)) <= 2:
                os.set_inheritable(handle, True)
            os.close(handle)
    for name in ("stdout", "stderr"):
        if name in names:
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: SIM115, PTH123
        elif isinstance(stream := getattr(sys, name), io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def is_absent(stream: TextIO | None) -> bool:
    """쓴 것이 아무 데도 가지 않는 스트림인지. `prepare_streams`가 바꾸어 둔 것도 그렇다."""
    return stream is None or stream.closed or getattr(stream, "name", None) == os.devnull


def shown(text: object, keep: str = "") -> str:
    """터미널에 보일 글. 보이지 않는 문자(제어 문자, 글의 방향을 바꾸는 문자, 줄바꿈)를 이스케이프 표기로 바꾼다.

    Args:
        text: 파일 이름 따위.
        keep: 그대로 둘 문자.
    """
    letters = str(text)
    if letters.isprintable():
        return letters
    return "".join(
        letter
        if letter.isprintable() or letter in keep or letter in _JOINERS
        else letter.encode("unicode_escape", "surrogatepass").decode("ascii")
        for letter in letters
    )


def say(text: str, stream: TextIO | None = None) -> None:
    """결과를 표준 출력(또는 `stream`)에 한 줄 쓴다. 쓸 수 없어도 일은 계속한다."""
    stream = stream or sys.stdout
    # 받는 쪽이 파이프를 닫았거나(EPIPE) 디스크가 찼거나 스트림이 없거나 닫혔을 때.
    with contextlib.suppress(OSError, ValueError, AttributeError):
        stream.write(shown(text, "\n\t") + "\n")
        stream.flush()


def say_error(text: str) -> None:
    """오류와 알림을 표준 오류에 쓴다."""
    if sys.stderr is not None:
        say(text, sys.stderr)


class ConsoleHandler(logging.Handler):
    """로그를 진행 막대를 깨지 않고 표준 오류에 쓴다."""

    def emit(self, record: logging.LogRecord) -> None:
        """기록 한 줄을 쓴다."""
        from tqdm import tqdm

        with tqdm.external_write_mode(file=sys.stderr):
            say_error(self.format(record))


def configure_logging(verbose: bool) -> None:
    """라이브러리의 로그를 터미널에 잇는다.

    Args:
        verbose: 자세한 로그(INFO)까지 보일지.
    """
    logger = logging.getLogger("realesrgan")
    logger.handlers = [ConsoleHandler()]
    logger.setLevel(logging.INFO if verbose else logging.WARNING)
    logger.propagate = False


def _interrupt(_signal: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def guarded(work: Callable[..., int], interrupted: str, *arguments: Any) -> int:
    """명령의 일을 하고 종료 코드를 돌려준다. 알린 오류와 중단을 메시지와 코드로 옮긴다.

    끝내라는 신호와 터미널이 닫힌 신호도 Ctrl-C처럼 다루어 쓰다 만 파일을 치우게 한다.

    Args:
        work: 종료 코드를 돌려주는 일.
        interrupted: 중단되었을 때 알릴 말.
        arguments: `work`에 줄 인자.

    Returns:
        `work`의 코드. 오류면 1, 잘못된 사용이면 2, 중단이면 130.
    """
    prepare_streams()
    for name in ("SIGTERM", "SIGHUP", "SIGBREAK"):
        # 신호는 주 스레드에서만 걸 수 있다. 다른 스레드에서 main을 부르면 그대로 둔다.
        with contextlib.suppress(ValueError):
            if hasattr(signal, name):
                signal.signal(getattr(signal, name), _interrupt)
    before = keep_interrupts()
    try:
        return work(*arguments)
    except KeyboardInterrupt:
        say_error(interrupted)
        return EXIT_INTERRUPTED
    except RealESRGANError as error:
        say_error(str(error))
        return EXIT_USAGE if isinstance(error, UsageError) else EXIT_SOME_FAILED
    except Exception as error:
        reason = describe_system_error(error)
        if reason is None:
            raise
        say_error(reason)
        return EXIT_SOME_FAILED
    finally:
        sys.unraisablehook = before


def leave(code: int) -> NoReturn:
    """쓴 것을 모두 내보내고 곧바로 끝난다.

    torch를 불러온 파이썬이 스스로 정리하는 데 0.5초쯤 걸린다. 남길 것을 다 쓴 명령에는 필요 없는 시간이다.
    """
    logging.shutdown()
    for stream in (sys.stdout, sys.stderr):
        if stream is not None:
            with contextlib.suppress(OSError, ValueError):
                stream.flush()
    os._exit(code)


def run_and_leave(main: Callable[[], int]) -> NoReturn:
    """`main`을 실행하고 그 코드로 곧바로 끝난다. 인자 해석기가 스스로 끝낼 때의 코드도 그대로 나른다."""
    try:
        code = main()
    except SystemExit as stop:
        code = stop.code if isinstance(stop.code, int) else EXIT_DONE if stop.code is None else EXIT_USAGE
    leave(code)


class Progress:
    """일과 그 안의 진행을 함께 나타내는 막대 하나. 남은 시간은 일의 무게로 어림한다.

    터미널에서는 막대를 그리고, 파이프에서는 일이 끝날 때마다의 말만 쓴다.

    Args:
        jobs: 일의 수.
        weight: 일의 무게의 합. 이미지면 네트워크가 볼 픽셀 수다.
        shown: 막대를 그릴지. 없으면 표준 오류가 터미널인지로 정한다.
    """

    def __init__(self, jobs: int, weight: int, shown: bool | None = None) -> None:
        from tqdm import tqdm

        self._jobs = jobs
        self._index = 0
        self._before = 0
        self._share = self._parts = 0
        self._bar: Any = tqdm(
            total=max(weight, 1),
            disable=not (sys.stderr.isatty() if shown is None else shown),
            file=sys.stderr,
            dynamic_ncols=True,
            bar_format="{desc} {percentage:3.0f}%|{bar}| 지난 시간 {elapsed}, 남은 시간 {remaining}{postfix}",
        )

    def start(self, name: str, weight: int) -> Callable[[int, int], None]:
        """일 하나를 시작하고, `(끝난 양, 전체 양)`을 받는 함수를 돌려준다."""
        self._index += 1
        self._share = weight
        self._parts = 0
        self._bar.set_postfix_str("", refresh=False)
        self._bar.set_description_str(f"[{self._index}/{self._jobs}] {shown(name)}")
        return self._update

    def _update(self, done: float, total: float) -> None:
        self._parts += 1
        # 타일이나 띠가 모두 몇인지는 지금까지의 크기에서 셈한다. 메모리가 모자라면 도는 동안에도 작아진다.
        whole = math.ceil(self._parts * total / done) if done > 0 else 0
        if whole > 1:
            self._bar.set_postfix_str(f"타일 {self._parts}/{whole}", refresh=False)
        position = self._before + int(self._share * done / max(total, 1))
        self._bar.update(max(position - self._bar.n, 0))

    def finish(self, text: str, tell: Callable[[str], None] = say) -> None:
        """일 하나를 끝내고, 막대를 깨지 않고 그 결과를 알린다."""
        self._bar.set_postfix_str("", refresh=False)
        self._bar.update(max(self._before + self._share - self._bar.n, 0))
        self._before += self._share
        with self._bar.external_write_mode(file=sys.stdout):
            tell(f"[{self._index}/{self._jobs}] {text}")

    def close(self) -> None:
        """막대를 거둔다."""
        self._bar.close()


@dataclass
class DownloadProgress:
    """내려받기 막대. 터미널이 아니면 시작할 때 한 줄만 쓴다."""

    name: str
    _bar: Any = None

    def __call__(self, received: int, total: int) -> None:
        """`(받은 바이트, 전체 바이트)`로 막대를 옮긴다."""
        from tqdm import tqdm

        if self._bar is None:
            drawn = sys.stderr.isatty()
            if not drawn:
                # 표준 출력으로 결과를 내보낼 수도 있으므로 표준 오류에 쓴다.
                say_error(f"내려받는 중: {self.name}")
            self._bar = tqdm(
                total=total or None,
                desc=shown(self.name),
                unit="B",
                unit_scale=True,
                disable=not drawn,
                file=sys.stderr,
            )
        self._bar.update(received - self._bar.n)
        if total and received >= total:
            self._bar.close()
