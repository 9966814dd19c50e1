"""훈련의 빠르기를 BasicSR과 견준다. 재는 일은 `scripts/benchmark/training.py`에 있다."""

import argparse
from collections.abc import Sequence
from pathlib import Path

import _checkout  # noqa: F401  이 소스 폴더를 먼저 찾게 한다

from realesrgan.cli.arguments import number
from realesrgan.cli.tools import run_and_leave, run_tool, tool_parser


def build_parser() -> argparse.ArgumentParser:
    """인자 해석기를 만든다."""
    parser = tool_parser(
        "benchmark_training.py",
        "훈련의 빠르기를 BasicSR과 번갈아 재어 견줍니다. 훈련 패키지가 필요합니다.",
        [
            "python scripts/benchmark_training.py --rounds 3",
            "python scripts/benchmark_training.py --steps --batch 2 --repeats 3 --cpu_time",
        ],
    )
    add = parser.add_argument
    add("--data", type=Path, metavar="FOLDER", help="이미지 폴더. 없으면 만든 이미지를 씁니다.")
    add("--rounds", type=number(int, 1), default=3, metavar="N", help="재는 횟수. 기본: 3")
    add("--batch", type=number(int, 1), default=12, metavar="N", help="배치 크기. 기본: 12")
    add("--size", type=number(int, 1), default=400, metavar="N", help="조각의 한 변(픽셀). 기본: 400")
    add("--steps", action="store_true", help="열화와 항목 대신 훈련의 한 걸음을 잽니다.")
    add("--gt_size", type=number(int, 1), default=64, metavar="N", help="걸음을 잴 때의 GT 조각(픽셀). 기본: 64")
    add("--repeats", type=number(int, 1), default=1, metavar="N", help="걸음을 모델부터 되풀이할 횟수. 기본: 1")
    add("--cpu_time", action="store_true", help="걸음을 벽시계 대신 이 프로세스가 쓴 CPU 시간으로 잽니다.")
    return parser


def run(
    *,
    data: Path | None,
    rounds: int,
    batch: int,
    size: int,
    steps: bool,
    gt_size: int,
    repeats: int,
    cpu_time: bool,
) -> int:
    """잰다."""
    from benchmark.training import report

    wanted = gt_size if steps else None
    report(data, rounds=rounds, batch=batch, size=size, gt_size=wanted, repeats=repeats, cpu_time=cpu_time)
    return 0


def main(argv: Sequence[str] | None = None) -> int:
    """명령을 실행하고 종료 코드를 돌려준다."""
    return run_tool(build_parser(), run, argv)


if __name__ == "__main__":
    run_and_leave(main)
