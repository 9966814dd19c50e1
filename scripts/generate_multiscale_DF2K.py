"""정답 이미지를 여러 배율로 줄인다. 하는 일은 `realesrgan/dataset_tools/multiscale.py`에 있다."""

import argparse
from collections.abc import Sequence
from pathlib import Path

import _checkout  # noqa: F401  이 소스 폴더를 먼저 찾게 한다

from realesrgan.cli.console import say
from realesrgan.cli.tools import (
    add_workers,
    collect_outcomes,
    process_items,
    report_outcomes,
    run_and_leave,
    run_tool,
    tool_parser,
)


def build_parser() -> argparse.ArgumentParser:
    """인자 해석기를 만든다."""
    parser = tool_parser(
        "generate_multiscale_DF2K.py",
        "정답 이미지(GT)를 0.75배, 0.5배, 3분의 1배와 짧은 변 400픽셀로 줄여 {이름}T0.png..{이름}T3.png로 둡니다. "
        "다시 실행하면 마친 이미지는 건너뜁니다.",
        [
            "python scripts/generate_multiscale_DF2K.py --input datasets/DF2K/DF2K_HR "
            "--output datasets/DF2K/DF2K_multiscale"
        ],
    )
    add = parser.add_argument
    add(
        "--input",
        type=Path,
        default=Path("datasets/DF2K/DF2K_HR"),
        metavar="FOLDER",
        help="이미지 폴더. 기본: %(default)s",
    )
    add(
        "--output",
        type=Path,
        default=Path("datasets/DF2K/DF2K_multiscale"),
        metavar="FOLDER",
        help="줄인 이미지를 둘 폴더. 기본: %(default)s",
    )
    add_workers(parser)
    add("--recursive", action="store_true", help="하위 폴더까지 보고 같은 모양의 폴더에 둡니다.")
    add("--dry_run", action="store_true", help="쓰지 않고 만들 이미지의 수만 보입니다.")
    return parser


def run(*, input: Path, output: Path, n_thread: int, recursive: bool, dry_run: bool) -> int:
    """이미지를 줄인다."""
    from realesrgan.dataset_tools import multiscale
    from realesrgan.dataset_tools.job_record import check_job, open_job
    from realesrgan.dataset_tools.pictures import find_pictures, refuse_clashes

    settings = {"tool": "generate_multiscale_DF2K"}
    pictures = find_pictures(input, recursive=recursive)
    refuse_clashes((path, multiscale.multiscale_stem(path, input, output)) for path in pictures)
    check_job(output, settings)
    if dry_run:
        say(f"이미지 {len(pictures)}장에서 {len(pictures) * (len(multiscale.SCALES) + 1)}장을 만듭니다: {output}")
        return 0
    open_job(output, settings)
    work = multiscale.generator(input, output)
    return report_outcomes(collect_outcomes(process_items(work, pictures, n_thread, "여러 배율")), output)


def main(argv: Sequence[str] | None = None) -> int:
    """명령을 실행하고 종료 코드를 돌려준다."""
    return run_tool(build_parser(), run, argv)


if __name__ == "__main__":
    run_and_leave(main)
