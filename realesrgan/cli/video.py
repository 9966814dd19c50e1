"""비디오를 키우는 명령. 인자를 읽고, 일을 정하고, 한 편씩 키우고, 종료 코드를 돌려준다."""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from realesrgan.cli.console import (
    EXIT_DONE,
    EXIT_SOME_FAILED,
    EXIT_USAGE,
    configure_logging,
    guarded,
    leave,
    say,
    say_error,
)
from realesrgan.cli.video_arguments import STANDARD, parse_arguments, warn_ignored
from realesrgan.errors import RealESRGANError, ReportError
from realesrgan.util.files import expand_user
from realesrgan.util.machine import keep_freed_memory

if TYPE_CHECKING:
    from realesrgan.cli.films import VideoJob
    from realesrgan.cli.ranks import Ranks
    from realesrgan.cli.video_report import VideoResult


def main(argv: Sequence[str] | None = None) -> int:
    """비디오 명령을 실행한다.

    Args:
        argv: 인자. 없으면 명령줄에서 읽는다.

    Returns:
        종료 코드. 0 모두 완료, 1 일부 실패, 2 잘못된 사용, 130 중단.
    """

    def work() -> int:
        args = parse_arguments(argv)
        configure_logging(args.verbose)
        return _run(args)

    return guarded(work, "중단했습니다.")


def run() -> NoReturn:
    """명령줄에서 불리는 자리. `main`을 실행하고 그 코드로 끝난다."""
    keep_freed_memory()
    leave(main())


def _run(args: argparse.Namespace) -> int:
    """일을 정해 한 편씩 하고 보고한다. torchrun이면 모든 프로세스가 한 편의 조각들을 나눈다."""
    from realesrgan.cli.ranks import join_ranks

    started = time.perf_counter()
    # 표준 출력으로 비디오를 내보낼 때는 알리는 말이 섞이면 안 된다.
    tell = say_error if args.output == STANDARD else say
    with join_ranks() as ranks:
        if ranks.leads:
            warn_ignored(args)
        jobs, problem = _agree_on_videos(args, ranks)
        if problem is not None:
            if ranks.leads:
                say_error(problem)
            return EXIT_USAGE
        if args.dry_run:
            return _dry_run(args, jobs, ranks, tell)
        results = _process(args, jobs, ranks, tell)
        return _conclude(args, results, ranks, tell, time.perf_counter() - started)


def _agree_on_videos(args: argparse.Namespace, ranks: Ranks) -> tuple[list[VideoJob], str | None]:
    """첫 프로세스가 일을 정해 모두에게 알린다.

    Returns:
        일의 목록과, 시작할 수 없으면 그 이유.
    """
    from realesrgan.cli.films import plan_videos

    if ranks.size > 1 and STANDARD in (*args.input, args.output):
        return (
            [],
            "표준 입력과 표준 출력은 프로세스 하나로만 다룹니다.\n  해결: torchrun 없이 실행하거나 파일을 쓰세요.",
        )
    jobs: list[VideoJob] = []
    problem: str | None = None
    if ranks.leads:
        try:
            jobs = plan_videos(
                args.input,
                args.output,
                suffix=args.suffix,
                ext=args.ext,
                fps=args.fps,
                resume=args.resume,
                overwrite=args.overwrite,
                dry_run=args.dry_run,
            )
            _check_side_files(args, [path for job in jobs for path in job.paths])
        except RealESRGANError as error:
            problem = str(error)
    return (jobs, problem) if ranks.size == 1 else ranks.broadcast((jobs, problem))


def _check_side_files(args: argparse.Namespace, paths: list[Path]) -> None:
    """보고서와 미리보기를 쓸 수 있는지 본다."""
    from realesrgan.cli.films import check_preview_path
    from realesrgan.cli.report import check_report_path

    if args.report and not args.dry_run:
        report = expand_user(args.report)
        check_report_path(report, paths)
        paths = [*paths, report]
    if args.preview:
        check_preview_path(expand_user(args.preview), paths)


def _process(
    args: argparse.Namespace, jobs: Sequence[VideoJob], ranks: Ranks, tell: Callable[[str], None]
) -> list[VideoResult]:
    """한 편씩 키운다. 중단되면 남은 것을 중단으로 적는다."""
    from realesrgan.cli.film_worker import VideoWorker
    from realesrgan.cli.video_report import VideoResult, describe

    worker = VideoWorker(args, ranks)
    try:
        worker.load()
    except RealESRGANError as error:
        say_error(str(error))
        return [VideoResult(job.source.name, str(job.target.path), "failed", reason=str(error)) for job in jobs]
    results: list[VideoResult] = []
    for number, job in enumerate(jobs):
        results.append(worker.process(number, job))
        if ranks.leads:
            (tell if results[-1].status in ("done", "skipped") else say_error)(
                describe(results[-1], number + 1, len(jobs))
            )
        if results[-1].status == "interrupted":
            left = jobs[number + 1 :]
            results += [VideoResult(one.source.name, str(one.target.path), "interrupted") for one in left]
            break
    return results


def _dry_run(args: argparse.Namespace, jobs: Sequence[VideoJob], ranks: Ranks, tell: Callable[[str], None]) -> int:
    from realesrgan.cli.film_estimate import show_plan
    from realesrgan.cli.film_worker import VideoWorker

    if not ranks.leads:
        return EXIT_DONE
    worker = VideoWorker(args, ranks)
    worker.load()
    return EXIT_DONE if show_plan(jobs, worker, tell) else EXIT_SOME_FAILED


def _conclude(
    args: argparse.Namespace,
    results: Sequence[VideoResult],
    ranks: Ranks,
    tell: Callable[[str], None],
    seconds: float,
) -> int:
    """보고서를 쓰고 종료 코드를 정한다."""
    from realesrgan.cli.report import summary, write_report
    from realesrgan.cli.video_report import exit_code

    code = exit_code(results)
    if not ranks.leads:
        return code
    if len(results) > 1:
        (tell if code == EXIT_DONE else say_error)(summary(results, seconds))
    if args.report:
        try:
            write_report(expand_user(args.report), results, seconds, code)
        except ReportError as error:
            say_error(str(error))
            code = code or EXIT_SOME_FAILED
    return code
