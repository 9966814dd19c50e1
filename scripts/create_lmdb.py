"""이미지를 lmdb에 담는다. 하는 일은 `realesrgan/dataset_tools/lmdb_store.py`에 있다."""

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
        "create_lmdb.py",
        "이미지를 lmdb에 담습니다. 폴더를 둘 주면 짝 자료(GT와 LQ)이고 같은 이름의 이미지가 한 짝입니다. 끊기면 "
        "다시 실행해 "
        "이어 담고, 다 된 뒤에야 제 이름으로 나타납니다.",
        [
            "python scripts/create_lmdb.py --input datasets/DF2K_sub --output datasets/DF2K_sub.lmdb",
            "python scripts/create_lmdb.py --input pair/gt pair/lq --output pair/gt.lmdb pair/lq.lmdb",
        ],
    )
    add = parser.add_argument
    add("--input", type=Path, nargs="+", required=True, metavar="FOLDER", help="이미지 폴더, 또는 GT와 LQ 폴더")
    add("--output", type=Path, nargs="+", required=True, metavar="NAME.lmdb", help="입력마다의 lmdb 폴더")
    add("--compression_level", type=number(int, 0, 9), default=1, metavar="0..9", help="PNG 압축 수준. 기본: 1")
    add("--recursive", action="store_true", help="하위 폴더까지 봅니다.")
    add("--dry_run", action="store_true", help="담지 않고 무엇을 담을지만 보입니다.")
    add_workers(parser)
    return parser


def run(
    *, input: list[Path], output: list[Path], compression_level: int, recursive: bool, dry_run: bool, n_thread: int
) -> int:
    """이미지를 담는다."""
    from realesrgan.dataset_tools import lmdb_store
    from realesrgan.dataset_tools.lmdb_build import build, plan

    sets, problems = plan(input, output, recursive=recursive)
    if dry_run:
        for entries, target in zip(sets, output, strict=True):
            say(f"이미지 {len(entries)}장을 담습니다: {target}")
        return report_outcomes(problems) if problems else 0

    def encode(entries: Sequence[lmdb_store.Entry]) -> lmdb_store.Encoded:
        return process_items(lmdb_store.entry_encoder(compression_level), entries, n_thread, "담기")

    outcomes = build(sets, output, compression_level, encode)
    return report_outcomes([*outcomes, *problems], *output)


def main(argv: Sequence[str] | None = None) -> int:
    """명령을 실행하고 종료 코드를 돌려준다."""
    return run_tool(build_parser(), run, argv)


if __name__ == "__main__":
    run_and_leave(main)
