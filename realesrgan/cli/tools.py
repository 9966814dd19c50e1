"""`scripts/`의 명령들이 함께 쓰는 틀: 인자 해석기, 오류와 종료 코드, 결과의 요약."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from realesrgan.cli.arguments import Formatter, Parser, filled, number
from realesrgan.cli.console import EXIT_DONE, EXIT_SOME_FAILED, configure_logging, guarded, say, say_error
from realesrgan.cli.console import run_and_leave as run_and_leave  # noqa: PLC0414  명령들이 여기서 얻는다
from realesrgan.util.plugins import load_plugins

if TYPE_CHECKING:
    from realesrgan.dataset_tools.outcome import Outcome
    from realesrgan.dataset_tools.workers import Failure

T = TypeVar("T")
R = TypeVar("R")

STATUS_WORDS = {"done": "완료", "skipped": "건너뜀", "failed": "실패"}


def tool_parser(prog: str, description: str, examples: Sequence[str] = ()) -> argparse.ArgumentParser:
    """도움말과 오류가 한국어인 인자 해석기를 만든다. 빈 경로는 받지 않는다.

    Args:
        prog: 명령의 이름.
        description: 무엇을 하는지.
        examples: 도움말 끝에 적을 예.
    """
    epilog = "\n".join(("예:", *(f"  {line}" for line in examples))) if examples else None
    parser = Parser(
        prog=prog,
        description=description,
        epilog=epilog,
        formatter_class=Formatter,
        add_help=False,
        allow_abbrev=False,
    )
    parser.register("type", Path, lambda text: Path(filled(text)))
    parser._positionals.title = "인자"
    parser._optionals.title = "옵션"
    parser.add_argument(
        "--plugin",
        action="append",
        default=[],
        metavar="FILE",
        help="먼저 불러올 파이썬 파일이나 폴더. 직접 만든 네트워크를 등록합니다. 여러 번 줄 수 있습니다.",
    )
    parser.add_argument("-v", "--verbose", action="store_true", help="자세한 기록을 보입니다.")
    parser.add_argument("-h", "--help", action="help", help="이 도움말을 보입니다.")
    return parser


def run_tool(parser: argparse.ArgumentParser, work: Callable[..., int], argv: Sequence[str] | None) -> int:
    """인자를 읽어 일을 하고 종료 코드를 돌려준다.

    Args:
        parser: 인자 해석기.
        work: `--verbose`와 `--plugin`을 뺀 인자들을 이름으로 받아 종료 코드를 돌려주는 함수.
        argv: 인자. 없으면 명령줄에서 읽는다.

    Returns:
        0 모두 완료, 1 일부 실패, 2 잘못된 사용, 130 중단.
    """

    def parsed_work() -> int:
        given = vars(parser.parse_args(argv))
        configure_logging(given.pop("verbose"))
        load_plugins(given.pop("plugin"))
        return work(**given)

    return guarded(parsed_work, "중단했습니다. 쓰다 만 파일은 남지 않았고, 같은 명령을 다시 실행하면 이어서 합니다.")


def with_progress(items: Iterable[T], total: int, label: str, unit: str = "장") -> Iterator[T]:
    """항목을 넘기면서 진행 막대를 옮긴다. 터미널이 아니면 막대를 그리지 않는다."""
    from tqdm import tqdm

    yield from tqdm(
        items, total=total, desc=label, unit=unit, disable=not sys.stderr.isatty(), file=sys.stderr, dynamic_ncols=True
    )


@contextmanager
def progress_bar(label: str, unit: str) -> Iterator[Callable[[int, int], None]]:
    """`(마친 수, 전체 수)`를 받아 진행 막대를 옮기는 함수를 낸다. 터미널이 아니면 막대를 그리지 않는다."""
    from tqdm import tqdm

    with tqdm(desc=label, unit=unit, disable=not sys.stderr.isatty(), file=sys.stderr, dynamic_ncols=True) as bar:

        def report(done: int, total: int) -> None:
            bar.total = total
            bar.update(done - bar.n)

        yield report


def add_workers(parser: argparse.ArgumentParser) -> None:
    """작업 프로세스 수를 받는 인자를 더한다."""
    parser.add_argument(
        "--n_thread",
        type=number(int, 1),
        default=20,
        metavar="N",
        help="작업 프로세스 수. 쓸 수 있는 코어 수를 넘지 않습니다. 기본: 20",
    )


def process_items(
    work: Callable[[T], R], items: Sequence[T], n_thread: int, label: str
) -> Iterator[tuple[T, R | Failure]]:
    """항목마다의 일을 작업 프로세스에 나누어 하며 진행을 보인다. 받은 차례대로 `(항목, 결과)`를 낸다."""
    from realesrgan.dataset_tools.workers import map_items
    from realesrgan.util.machine import available_cores

    yield from with_progress(map_items(work, items, min(n_thread, available_cores())), len(items), label)


def collect_outcomes(results: Iterable[tuple[object, Outcome | Failure]]) -> list[Outcome]:
    """작업자의 실패도 `Outcome`으로 바꾸어 모은다."""
    from realesrgan.dataset_tools.outcome import Outcome
    from realesrgan.dataset_tools.workers import Failure

    return [
        Outcome(str(item), "failed", result.reason) if isinstance(result, Failure) else result
        for item, result in results
    ]


def report_outcomes(outcomes: Sequence[Outcome], *outputs: Path) -> int:
    """실패와 건너뜀을 이유와 함께 알리고 한 줄로 요약한다. `outputs`는 결과가 있는 곳이다.

    Returns:
        하나라도 실패했으면 1, 아니면 0.
    """
    for outcome in outcomes:
        if outcome.status == "failed":
            say_error(f"실패: {outcome.name}\n    " + outcome.detail.replace("\n", "\n    "))
    reasons = {outcome.detail for outcome in outcomes if outcome.status == "skipped"}
    for reason in sorted(reasons):
        names = [outcome.name for outcome in outcomes if outcome.status == "skipped" and outcome.detail == reason]
        shown = ", ".join(names[:3]) + (" 등" if len(names) > 3 else "")
        say(f"건너뜀 {len(names)}장: {reason} ({shown})")
    counts = {word: sum(o.status == status for o in outcomes) for status, word in STATUS_WORDS.items()}
    failed = counts["실패"] > 0
    lines = [", ".join(f"{word} {count}" for word, count in counts.items() if count) or "한 일 없음"]
    if outputs and counts["완료"]:
        lines.append(f"결과: {', '.join(map(str, outputs))}")
    (say_error if failed else say)("\n".join(lines))
    return EXIT_SOME_FAILED if failed else EXIT_DONE
