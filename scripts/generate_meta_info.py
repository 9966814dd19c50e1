"""훈련 이미지의 목록 파일을 만든다. 하는 일은 `realesrgan/dataset_tools/meta_info.py`에 있다."""

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
        "generate_meta_info.py",
        "이미지 폴더들의 목록 파일(meta info)을 만듭니다. 한 줄에 이미지 하나이며, 뿌리 폴더에서의 상대 경로입니다.",
        [
            "python scripts/generate_meta_info.py --input datasets/DF2K/DF2K_HR datasets/DF2K/DF2K_multiscale "
            "--root datasets/DF2K datasets/DF2K --meta_info datasets/DF2K/meta_info.txt --check",
        ],
    )
    add = parser.add_argument
    add(
        "--input",
        type=Path,
        nargs="+",
        default=[Path("datasets/DF2K/DF2K_HR"), Path("datasets/DF2K/DF2K_multiscale")],
        metavar="FOLDER",
        help="이미지 폴더들. 기본: datasets/DF2K/DF2K_HR datasets/DF2K/DF2K_multiscale",
    )
    add("--root", type=Path, nargs="+", metavar="FOLDER", help="폴더마다의 뿌리 폴더. 기본: 입력의 위 폴더")
    add(
        "--meta_info",
        type=Path,
        default=Path("datasets/DF2K/meta_info/meta_info_DF2Kmultiscale.txt"),
        metavar="FILE",
        help="쓸 목록 파일. 기본: %(default)s",
    )
    add("--check", action="store_true", help="이미지를 끝까지 풀어 보고 읽을 수 없는 것을 빼고 알립니다.")
    add("--recursive", action="store_true", help="하위 폴더까지 봅니다.")
    add_workers(parser)
    return parser


def run(
    *, input: list[Path], root: list[Path] | None, meta_info: Path, check: bool, recursive: bool, n_thread: int
) -> int:
    """목록을 만든다."""
    from realesrgan.dataset_tools import meta_info as listing
    from realesrgan.dataset_tools.pictures import write_bytes
    from realesrgan.dataset_tools.workers import Failure

    listed = [
        item
        for folder, root in listing.pair_roots(input, root)
        for item in listing.list_pictures(folder, root, recursive=recursive)
    ]
    code = 0
    if check:
        results = list(process_items(listing.decode, listed, n_thread, "확인"))
        listed = [item for item, result in results if not isinstance(result, Failure)]
        code = report_outcomes(collect_outcomes((item.path, result) for item, result in results))
    write_bytes(meta_info, listing.meta_text(item.name for item in listed))
    say(f"목록을 썼습니다: {meta_info} ({len(listed)}장)")
    return code


def main(argv: Sequence[str] | None = None) -> int:
    """명령을 실행하고 종료 코드를 돌려준다."""
    return run_tool(build_parser(), run, argv)


if __name__ == "__main__":
    run_and_leave(main)
