"""여러 장치에 나눈 일이 얼마나 걸리고 무엇을 잃는지 흉내 낸다. 재지 않은 규모를 미리 어림할 때 쓴다."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import Any

import _checkout  # noqa: F401  이 소스 폴더를 먼저 찾게 한다

from realesrgan.cli.arguments import number
from realesrgan.cli.tools import run_and_leave, run_tool, tool_parser


def build_parser() -> argparse.ArgumentParser:
    """인자 해석기를 만든다."""
    parser = tool_parser(
        "simulate_fleet.py",
        "두 시간의 비디오와 사진 백만 장을 여러 장치에 나누었을 때의 시간과 비용을 흉내 냅니다.",
        ["python scripts/simulate_fleet.py", "python scripts/simulate_fleet.py --devices 16 128 --failures 0.1"],
    )
    add = parser.add_argument
    add("--devices", nargs="+", type=number(int, 1), default=[8, 64, 512], metavar="N", help="장치의 수들")
    add("--picture", type=number(float, 0, above=True), default=0.5, metavar="S", help="사진 한 장의 초. 기본: 0.5")
    add("--pictures", type=number(int, 1), default=1_000_000, metavar="N", help="사진의 수. 기본: 1,000,000")
    add("--frame", type=number(float, 0, above=True), default=0.05, metavar="S", help="프레임 하나의 초. 기본: 0.05")
    add("--frames", type=number(int, 1), default=172_800, metavar="N", help="프레임의 수. 기본: 두 시간의 24fps")
    add("--startup", type=number(float, 0), default=20, metavar="S", help="뜨고 모델을 싣는 초. 기본: 20")
    add("--join", type=number(float, 0), default=60, metavar="S", help="비디오를 잇는 초. 기본: 60")
    add(
        "--failures",
        type=number(float, 0),
        default=0.002,
        metavar="X",
        help="장치마다 한 시간에 죽는 횟수. 기본: 0.002",
    )
    return parser


def run(**given: Any) -> int:
    """표를 적는다."""
    from benchmark.fleet import report

    report(given.pop("devices"), **given)
    return 0


def main(argv: Sequence[str] | None = None) -> int:
    """명령을 실행하고 종료 코드를 돌려준다."""
    return run_tool(build_parser(), run, argv)


if __name__ == "__main__":
    run_and_leave(main)
