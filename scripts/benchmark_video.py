"""비디오의 세 단계가 함께 도는 빠르기를 따로 잰 것과 견준다. 재는 일은 `scripts/benchmark/video.py`에 있다."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path

import _checkout  # noqa: F401  이 소스 폴더를 먼저 찾게 한다

from realesrgan.cli.arguments import number
from realesrgan.cli.console import EXIT_DONE, say
from realesrgan.cli.tools import run_and_leave, run_tool, tool_parser
from realesrgan.util.machine import keep_freed_memory


def build_parser() -> argparse.ArgumentParser:
    """인자 해석기를 만든다."""
    parser = tool_parser(
        "benchmark_video.py",
        "비디오의 세 단계(디코딩, 네트워크, 인코딩)를 함께 돌린 벽시계 시간을 따로 잰 CPU 시간의 합과 견줍니다.",
        ["python scripts/benchmark_video.py --input video.mp4 --rounds 3"],
    )
    parser.add_argument("--input", type=Path, required=True, metavar="FILE", help="비디오 파일")
    parser.add_argument("--cores", type=number(int, 1), metavar="N", help="코어 수. 기본: 쓸 수 있는 만큼")
    parser.add_argument("--rounds", type=number(int, 1), default=3, metavar="N", help="재는 횟수. 기본: 3")
    return parser


def _work(*, input: Path, cores: int | None, rounds: int) -> int:
    from benchmark.video import measure, medians

    from realesrgan.util.machine import available_cores

    measured = []
    for _ in range(rounds):
        measured.append(measure(input, cores or available_cores()))
        say(_line(measured[-1]))
    if rounds > 1:
        say("중앙값 " + _line(medians(measured)))
    return EXIT_DONE


def _line(values: dict[str, float]) -> str:
    return json.dumps({name: round(value, 3) for name, value in values.items()}, ensure_ascii=False)


def main(argv: Sequence[str] | None = None) -> int:
    """비디오 하나로 잰다."""
    return run_tool(build_parser(), _work, argv)


if __name__ == "__main__":
    # 비디오 명령과 같은 처지에서 잰다.
    keep_freed_memory()
    run_and_leave(main)
