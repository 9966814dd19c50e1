"""나누어 한 일들의 보고서(`--report`)를 하나로 모은다. 다시 한 것이 있으면 일마다 가장 나은 결과를 남긴다."""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import _checkout  # noqa: F401  이 소스 폴더를 먼저 찾게 한다

from realesrgan.cli.console import EXIT_DONE, EXIT_SOME_FAILED, say
from realesrgan.cli.runner import STATUSES, conclusion, save_report
from realesrgan.cli.tools import run_and_leave, run_tool, tool_parser
from realesrgan.errors import ReportError
from realesrgan.util.files import plain_reason

# 앞의 것일수록 낫다. 끝난 일을 다시 실행하면 건너뜀으로 적히므로 완료가 먼저다.
BEST_FIRST = ("done", "skipped", "failed", "refused", "interrupted", "waiting")


def read_report(path: Path) -> Mapping[str, Any]:
    """보고서 하나를 읽는다.

    Raises:
        ReportError: 읽을 수 없거나 보고서가 아닐 때.
    """
    remedy = "  해결: --report로 만든 JSON 파일을 주세요."
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ReportError(f"보고서를 읽을 수 없습니다: {path}\n  이유: {plain_reason(error)}\n{remedy}") from error
    files = content.get("files") if isinstance(content, dict) else None
    named = isinstance(files, list) and all(
        isinstance(one, dict) and isinstance(one.get("input"), str) and one.get("status") in STATUSES for one in files
    )
    if not named:
        raise ReportError(f"보고서가 아닙니다: {path}\n  이유: files의 모양이 다릅니다.\n{remedy}")
    result: Mapping[str, Any] = content
    return result


def merge(reports: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """일마다 가장 나은 결과를 입력의 이름 차례로 모은다. 같으면 나중 보고서의 것이다."""
    best: dict[tuple[str, str], Mapping[str, Any]] = {}
    for report in reports:
        for one in report["files"]:
            key = (one["input"], str(one.get("output")))
            known = best.get(key)
            if known is None or BEST_FIRST.index(one["status"]) <= BEST_FIRST.index(known["status"]):
                best[key] = one
    return [best[key] for key in sorted(best)]


def build_parser() -> argparse.ArgumentParser:
    """인자 해석기를 만든다."""
    parser = tool_parser(
        "merge_reports.py",
        "--shard로 나누어 한 일들의 보고서를 하나로 모읍니다. 종료 코드는 모은 것의 것입니다.",
        ["python scripts/merge_reports.py --output all.json reports/*.json"],
    )
    parser.add_argument("reports", nargs="+", type=Path, metavar="FILE.json", help="모을 보고서들")
    parser.add_argument("--output", type=Path, required=True, metavar="FILE.json", help="쓸 파일")
    return parser


def run(*, reports: Sequence[Path], output: Path) -> int:
    """모아 쓰고, 남은 일이 있으면 알린다."""
    contents = [read_report(path) for path in reports]
    files = merge(contents)
    statuses = [one["status"] for one in files]
    seconds = sum(float(content.get("seconds") or 0) for content in contents)
    code, summary = conclusion(statuses, seconds)
    # 몫이 모두 제 조각을 마쳤으면 마지막 것이 하나로 이었을 것이다. 기다린다는 것만 남았으면 끝나지 않은 것이다.
    code = code or (EXIT_SOME_FAILED if "waiting" in statuses else EXIT_DONE)
    save_report(output, files, seconds, code)
    say(f"보고서 {len(reports)}개, 일 {len(files)}개: {summary}")
    return code


def main(argv: Sequence[str] | None = None) -> int:
    """명령을 실행하고 종료 코드를 돌려준다."""
    return run_tool(build_parser(), run, argv)


if __name__ == "__main__":
    run_and_leave(main)
