"""훈련 옵션의 선언에서 `options/options.schema.json`과 문서의 표를 새로 쓴다. 선언을 바꾼 뒤에 실행한다."""

import argparse
from collections.abc import Sequence
from pathlib import Path

import _checkout  # noqa: F401  이 소스 폴더를 먼저 찾게 한다

from realesrgan.cli.console import say
from realesrgan.cli.tools import run_and_leave, run_tool, tool_parser


def build_parser() -> argparse.ArgumentParser:
    """인자 해석기를 만든다."""
    parser = tool_parser(
        "generate_option_reference.py",
        "훈련 옵션의 선언(realesrgan/training/option_types.py)에서 편집기의 스키마(options.schema.json)와 "
        "options_context.md의 표를 새로 씁니다. 훈련 패키지가 필요합니다.",
        ["python scripts/generate_option_reference.py"],
    )
    folder = Path(__file__).resolve().parents[1] / "options"
    parser.add_argument("--folder", type=Path, default=folder, metavar="FOLDER", help="두 파일의 폴더. 기본: options/")
    return parser


def run(*, folder: Path) -> int:
    """새로 쓴다."""
    from realesrgan.training.option_reference import write_reference

    changed = write_reference(folder)
    for path in changed:
        say(f"새로 썼습니다: {path}")
    if not changed:
        say("이미 선언과 같습니다.")
    return 0


def main(argv: Sequence[str] | None = None) -> int:
    """명령을 실행하고 종료 코드를 돌려준다."""
    return run_tool(build_parser(), run, argv)


if __name__ == "__main__":
    run_and_leave(main)
