"""큰 이미지를 겹치는 조각으로 나눈다. 하는 일은 `realesrgan/dataset_tools/subimages.py`에 있다."""

import argparse
from collections.abc import Sequence
from pathlib import Path

import _checkout  # noqa: F401  이 소스 폴더를 먼저 찾게 한다

from realesrgan.cli.arguments import number
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
        "extract_subimages.py",
        "큰 이미지를 겹치는 조각(sub-image)으로 나눕니다. 다시 실행하면 마친 이미지는 건너뜁니다.",
        [
            "python scripts/extract_subimages.py --input datasets/DF2K/DF2K_HR --output datasets/DF2K/DF2K_HR_sub "
            "--crop_size 400 --step 200",
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
        default=Path("datasets/DF2K/DF2K_HR_sub"),
        metavar="FOLDER",
        help="조각 {이름}_s001.png를 둘 폴더. 기본: %(default)s",
    )
    add("--crop_size", type=number(int, 1), default=480, metavar="N", help="조각의 한 변(픽셀). 기본: 480")
    add("--step", type=number(int, 1), default=240, metavar="N", help="조각이 시작하는 간격(픽셀). 기본: 240")
    add(
        "--thresh_size",
        type=number(int, 0),
        default=0,
        metavar="N",
        help="끝에 남는 띠가 이보다 넓으면 끝에 맞춘 조각을 더 냅니다. 기본: 0",
    )
    add_workers(parser)
    add("--compression_level", type=number(int, 0, 9), default=3, metavar="0..9", help="PNG 압축 수준. 기본: 3")
    add("--recursive", action="store_true", help="하위 폴더까지 보고 같은 모양의 폴더에 둡니다.")
    add("--dry_run", action="store_true", help="쓰지 않고 조각의 수만 보입니다.")
    return parser


def run(
    *,
    input: Path,
    output: Path,
    crop_size: int,
    step: int,
    thresh_size: int,
    n_thread: int,
    compression_level: int,
    recursive: bool,
    dry_run: bool,
) -> int:
    """조각을 낸다."""
    from realesrgan.dataset_tools import subimages
    from realesrgan.dataset_tools.job_record import check_job, open_job
    from realesrgan.dataset_tools.pictures import find_pictures, refuse_clashes
    from realesrgan.media.image import probe_image

    options = subimages.CropOptions(crop_size, step, thresh_size, compression_level)
    pictures = find_pictures(input, recursive=recursive)
    refuse_clashes((path, subimages.subimage_stem(path, input, output)) for path in pictures)
    check_job(output, options.settings())
    if dry_run:
        sizes = [probe_image(path) for path in pictures]
        count = sum(len(subimages.crop_boxes(info.height, info.width, options)) for info in sizes)
        say(f"이미지 {len(pictures)}장에서 조각 {count}장을 냅니다: {output}")
        return 0
    open_job(output, options.settings())
    work = subimages.extractor(input, output, options)
    return report_outcomes(collect_outcomes(process_items(work, pictures, n_thread, "조각")), output)


def main(argv: Sequence[str] | None = None) -> int:
    """명령을 실행하고 종료 코드를 돌려준다."""
    return run_tool(build_parser(), run, argv)


if __name__ == "__main__":
    run_and_leave(main)
