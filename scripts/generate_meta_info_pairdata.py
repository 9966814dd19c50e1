"""짝 자료의 목록 파일을 만든다. 하는 일은 `realesrgan/dataset_tools/meta_info.py`에 있다."""

import argparse
from collections.abc import Sequence
from pathlib import Path

import _checkout  # noqa: F401  이 소스 폴더를 먼저 찾게 한다

from realesrgan.cli.arguments import number
from realesrgan.cli.console import say
from realesrgan.cli.tools import add_workers, process_items, report_outcomes, run_and_leave, run_tool, tool_parser


def build_parser() -> argparse.ArgumentParser:
    """인자 해석기를 만든다."""
    parser = tool_parser(
        "generate_meta_info_pairdata.py",
        "정답 이미지(GT)와 저품질 이미지(LQ)의 짝을 이름으로 찾아 'gt, lq' 꼴의 목록 파일을 만듭니다. LQ의 이름에는 "
        "배율 표시(0001x4 등)가 있어도 됩니다.",
        [
            "python scripts/generate_meta_info_pairdata.py --input datasets/DIV2K/DIV2K_train_HR "
            "datasets/DIV2K/DIV2K_train_LR_bicubic_X4 --meta_info datasets/DIV2K/meta_info_pair.txt",
        ],
    )
    add = parser.add_argument
    add(
        "--input",
        type=Path,
        nargs=2,
        default=[Path("datasets/DF2K/DIV2K_train_HR_sub"), Path("datasets/DF2K/DIV2K_train_LR_bicubic_X4_sub")],
        metavar=("GT", "LQ"),
        help="GT 폴더와 LQ 폴더. 기본: datasets/DF2K/DIV2K_train_HR_sub datasets/DF2K/DIV2K_train_LR_bicubic_X4_sub",
    )
    add("--root", type=Path, nargs=2, metavar=("GT", "LQ"), help="두 뿌리 폴더. 기본: 저마다의 위 폴더")
    add(
        "--meta_info",
        type=Path,
        default=Path("datasets/DF2K/meta_info/meta_info_DIV2K_sub_pair.txt"),
        metavar="FILE",
        help="쓸 목록 파일. 기본: %(default)s",
    )
    add("--scale", type=number(int, 1), metavar="N", help="있어야 할 배율. 기본: 가장 많은 배율")
    add("--recursive", action="store_true", help="하위 폴더까지 봅니다.")
    add_workers(parser)
    return parser


def run(
    *, input: list[Path], root: list[Path] | None, meta_info: Path, scale: int | None, recursive: bool, n_thread: int
) -> int:
    """짝을 찾고 크기를 확인해 목록을 만든다."""
    from realesrgan.dataset_tools import meta_info as listing
    from realesrgan.dataset_tools.pictures import write_bytes

    roots = listing.pair_roots(input, root)
    gts, lqs = (listing.list_pictures(folder, root, recursive=recursive) for folder, root in roots)
    pairs, problems = listing.match_pairs(gts, lqs, (roots[0][0], roots[1][0]))
    scaled = process_items(listing.pair_scale, pairs, n_thread, "짝")
    kept, outcomes, found = listing.split_by_scale(scaled, scale)
    code = report_outcomes([*outcomes, *problems])
    write_bytes(meta_info, listing.meta_text(kept))
    say(f"목록을 썼습니다: {meta_info} ({len(kept)}쌍, {found}배)")
    return code


def main(argv: Sequence[str] | None = None) -> int:
    """명령을 실행하고 종료 코드를 돌려준다."""
    return run_tool(build_parser(), run, argv)


if __name__ == "__main__":
    run_and_leave(main)
