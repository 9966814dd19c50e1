"""명령 하나가 지나는 이 패키지의 모듈과 함수를 센다. 물음과 답 사이에 이름이 너무 많아지지 않았는지 볼 때 쓴다."""

from __future__ import annotations

import argparse
import contextlib
import inspect
import io
import sys
import threading
from collections.abc import Sequence
from pathlib import Path
from types import FrameType
from typing import Any

import _checkout  # noqa: F401  이 소스 폴더를 먼저 찾게 한다

from realesrgan.cli.console import say
from realesrgan.cli.tools import run_tool, tool_parser

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = str(ROOT / "realesrgan")


def count(command: str, arguments: Sequence[str]) -> tuple[dict[str, set[str]], int]:
    """명령을 돌리며 지난 것을 모은다.

    Args:
        command: `image`나 `video`.
        arguments: 그 명령의 인자.

    Returns:
        모듈마다의 함수 이름들과 명령의 종료 코드. 클래스의 몸통만 돈 모듈도 들지만 함수로는 세지 않는다. 이름 없는
        함수와 모음(comprehension)은 세지 않는다.
    """
    passed: dict[str, set[str]] = {}

    def watch(frame: FrameType, event: str, _argument: Any) -> None:
        code = frame.f_code
        if event != "call" or code.co_name.startswith("<") or not code.co_filename.startswith(PACKAGE):
            return
        functions = passed.setdefault(code.co_filename, set())
        # CO_OPTIMIZED가 없는 것은 불러올 때 한 번 도는 클래스의 몸통이다.
        if code.co_flags & inspect.CO_OPTIMIZED:
            functions.add(f"{code.co_name}:{code.co_firstlineno}")

    module = __import__(f"realesrgan.cli.{command}", fromlist=["main"])
    threading.setprofile(watch)
    sys.setprofile(watch)
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            code = module.main(list(arguments))
    finally:
        sys.setprofile(None)
        threading.setprofile(None)
    return passed, code


def build_parser() -> argparse.ArgumentParser:
    """인자 해석기를 만든다."""
    parser = tool_parser(
        "count_path.py",
        "명령 하나가 지나는 이 패키지의 모듈과 함수를 셉니다.",
        [
            "python scripts/count_path.py image -i photo.jpg -o out.png",
            "python scripts/count_path.py video -i video.mp4 -o results",
        ],
    )
    parser.add_argument("command", choices=["image", "video"], help="셀 명령")
    parser.add_argument("arguments", nargs=argparse.REMAINDER, help="그 명령의 인자들")
    return parser


def run(*, command: str, arguments: Sequence[str]) -> int:
    """명령을 돌리고 센 것을 적는다."""
    passed, code = count(command, arguments)
    for path, functions in sorted(passed.items()):
        names = ", ".join(sorted(name.split(":")[0] for name in functions))
        say(f"{Path(path).relative_to(ROOT)} ({len(functions)}): {names}")
    say(f"모듈 {len(passed)}개, 함수 {sum(map(len, passed.values()))}개")
    return code


def main(argv: Sequence[str] | None = None) -> int:
    """명령을 실행하고 종료 코드를 돌려준다."""
    return run_tool(build_parser(), run, argv)


if __name__ == "__main__":
    raise SystemExit(main())
