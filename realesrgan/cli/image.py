"""사진을 키우는 명령. 인자를 읽고, 일을 정하고, 하나씩 키워 쓰고, 종료 코드를 돌려준다."""

from __future__ import annotations

import argparse
import logging
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from realesrgan.cli.arguments import parse_arguments
from realesrgan.cli.console import (
    EXIT_DONE,
    EXIT_INTERRUPTED,
    EXIT_SOME_FAILED,
    EXIT_USAGE,
    configure_logging,
    guarded,
    leave,
    say,
    say_error,
)
from realesrgan.errors import ImageWriteError, RealESRGANError, ReportError
from realesrgan.util.files import expand_user, make_writable_folder, os_reason
from realesrgan.util.machine import give_back_freed_memory, keep_freed_memory
from realesrgan.zoo.models import DEFAULT_MODEL, MODELS

if TYPE_CHECKING:
    from realesrgan.cli.jobs import Job
    from realesrgan.cli.progress import FileProgress
    from realesrgan.cli.ranks import Ranks
    from realesrgan.cli.report import FileResult
    from realesrgan.inference.model import Model
    from realesrgan.inference.tiling import Progress
    from realesrgan.media.image import Frame, Picture

logger = logging.getLogger(__name__)

INTERRUPTED = "사용자가 중단했습니다."


def main(argv: Sequence[str] | None = None) -> int:
    """사진 명령을 실행한다.

    Args:
        argv: 인자. 없으면 명령줄에서 읽는다.

    Returns:
        종료 코드. 0 모두 완료, 1 일부 실패, 2 잘못된 사용, 130 중단.
    """

    def work() -> int:
        args = parse_arguments(argv)
        configure_logging(args.verbose)
        if args.list_models:
            say(describe_models())
            return EXIT_DONE
        return _run(args)

    return guarded(work, "중단했습니다. 쓰다 만 파일은 남지 않았습니다.")


def run() -> NoReturn:
    """명령줄에서 불리는 자리. `main`을 실행하고 그 코드로 끝난다."""
    keep_freed_memory()
    leave(main())


def describe_models() -> str:
    """모델 목록을 사람이 읽는 글로 적는다."""
    lines = []
    for spec in MODELS.values():
        mark = " (기본)" if spec.name == DEFAULT_MODEL else ""
        size = f", {spec.size / 1e6:.1f}MB" if spec.size else ""
        origin = "함께 설치됨" if spec.ncnn else "처음 쓸 때 내려받음"
        lines.append(f"{spec.name}{mark}\n    {spec.description}\n    {spec.arch}, {spec.scale}배{size}, {origin}")
    return "\n".join(lines)


def _run(args: argparse.Namespace) -> int:
    """일을 정해 나누어 하고, 결과를 모아 보고한다."""
    from realesrgan.cli.ranks import join_ranks, share_jobs

    started = time.perf_counter()
    with join_ranks() as ranks:
        jobs, problem = _agree_on_jobs(args, ranks)
        if problem is not None:
            if ranks.leads:
                say_error(problem)
            return EXIT_USAGE
        if args.dry_run:
            return _dry_run(args, jobs, ranks)
        shares = share_jobs(jobs, ranks.size)
        results = _process_share(args, jobs, shares[ranks.rank], ranks)
        merged = _merge(args, jobs, shares, results, ranks)
        return _conclude(args, merged, ranks, time.perf_counter() - started)


def _agree_on_jobs(args: argparse.Namespace, ranks: Ranks) -> tuple[list[Job], str | None]:
    """첫 프로세스가 일을 정해 모두에게 알린다. 저마다 폴더를 읽으면 그사이 생긴 결과까지 입력이 될 수 있다.

    Returns:
        일의 목록과, 시작할 수 없으면 그 이유.
    """
    from realesrgan.cli.jobs import plan_jobs
    from realesrgan.cli.report import check_report_path

    jobs: list[Job] = []
    problem: str | None = None
    if ranks.leads:
        try:
            jobs = plan_jobs(
                args.input,
                args.output,
                recursive=args.recursive,
                suffix=args.suffix,
                ext=args.ext,
                outscale=args.outscale,
            )
            if args.report and not args.dry_run:
                check_report_path(expand_user(args.report), (path for job in jobs for path in (job.source, job.target)))
        except RealESRGANError as error:
            problem = str(error)
    return ranks.broadcast((jobs, problem))


def _merge(
    args: argparse.Namespace,
    jobs: Sequence[Job],
    shares: Sequence[Sequence[int]],
    results: Sequence[FileResult],
    ranks: Ranks,
) -> list[FileResult]:
    """모든 프로세스의 결과를 일의 순서로 모은다. 중단되었으면 기다리지 않고 저장소에 남은 것까지만 모은다."""
    from realesrgan.cli.report import FileResult

    interrupted = any(result.status == "interrupted" for result in results)
    if not interrupted:
        try:
            gathered = ranks.gather(results)
            found = {
                index: result
                for share, part in zip(shares, gathered, strict=True)
                for index, result in zip(share, part, strict=True)
            }
            return [found[index] for index in range(len(jobs))]
        except KeyboardInterrupt:
            logger.info("결과를 모으다가 중단되었습니다.")
    found = dict(zip(shares[ranks.rank], results, strict=True))
    worker = _Worker(args, ranks)
    for index, job in enumerate(jobs):
        if index not in found:
            text = ranks.published(f"file/{index}")
            left = worker.result(job, "interrupted", reason=INTERRUPTED)
            found[index] = left if text is None else FileResult.from_json(text)
    return [found[index] for index in range(len(jobs))]


def _dry_run(args: argparse.Namespace, jobs: Sequence[Job], ranks: Ranks) -> int:
    from realesrgan.cli.estimate import show_plan
    from realesrgan.cli.loading import build_model, open_chosen

    if ranks.leads:
        ranks.set_threads()
        show_plan(jobs, build_model(args, open_chosen(args), ranks.device(args.device)), args)
    return EXIT_SOME_FAILED if any(job.problem for job in jobs) else EXIT_DONE


def _process_share(
    args: argparse.Namespace, jobs: Sequence[Job], share: Sequence[int], ranks: Ranks
) -> list[FileResult]:
    """이 프로세스의 몫을 한다. 준비가 실패하면 몫 전체를 그 이유로 실패로 적는다."""
    from realesrgan.cli.progress import FileProgress

    mine = [jobs[index] for index in share]
    worker = _Worker(args, ranks)
    try:
        worker.prepare(mine)
    except RealESRGANError as error:
        say_error(str(error))
        reason = str(error).splitlines()[0]
        return [worker.result(job, "failed", reason=job.problem or reason) for job in mine]
    results: list[FileResult] = []
    shown = None if ranks.size == 1 else False
    with FileProgress(len(mine), sum(job.pixels for job in mine), shown) as progress:
        try:
            for index, job in zip(share, mine, strict=True):
                results.append(worker.process(job, progress))
                ranks.publish(f"file/{index}", results[-1].to_json())
                progress.finish(results[-1])
        except KeyboardInterrupt:
            left = mine[len(results) :]
            results += [worker.result(job, "interrupted", reason=INTERRUPTED) for job in left]
    return results


@dataclass
class _Worker:
    """한 프로세스의 작업자. 모델은 할 일이 있을 때 한 번만 싣는다."""

    args: argparse.Namespace
    ranks: Ranks
    model: str | None = None
    _upsampler: Model | None = None

    def prepare(self, jobs: Sequence[Job]) -> None:
        """할 일이 있으면 가중치를 찾아 모델을 싣는다.

        Raises:
            RealESRGANError: 가중치나 장치를 쓸 수 없을 때.
        """
        from realesrgan.cli.loading import build_model, open_chosen, source_of

        needed = any(job.problem is None and not self._skips(job) for job in jobs)
        self.ranks.set_threads()
        # 할 일이 없는 프로세스도 지나가야 한다. 하나라도 빠지면 나머지가 영영 기다린다.
        with self.ranks.local_leader_first():
            chosen = open_chosen(self.args) if needed else None
        if chosen is None:
            return
        self._upsampler = build_model(self.args, chosen, self.ranks.device(self.args.device))
        self.model = source_of(self._upsampler, self.args)

    def _skips(self, job: Job) -> bool:
        return bool(self.args.skip_existing) and job.target.exists()

    def process(self, job: Job, progress: FileProgress) -> FileResult:
        """그림 하나를 키워 쓴다. 어떤 실패도 이유가 되어 결과에 담기고 다음 그림으로 넘어간다."""
        report = progress.start(job.source.name, job.pixels)
        if job.problem is not None:
            return self.result(job, "failed", reason=job.problem)
        if self._upsampler is None or self._skips(job):
            return self.result(job, "skipped", reason="결과가 이미 있습니다.")
        started = time.perf_counter()
        try:
            notes = upscale_file(job, self._upsampler, self.args, report)
        except (RealESRGANError, OSError) as error:
            return self.result(job, "failed", reason=str(error), seconds=time.perf_counter() - started)
        except MemoryError:
            reason = "메모리가 모자랍니다.\n  해결: 다른 프로그램을 닫거나 -s를 줄이세요."
            return self.result(job, "failed", reason=reason, seconds=time.perf_counter() - started)
        except Exception as error:
            # 한 그림의 뜻밖의 오류가 남은 그림을 막지 않게 한다. 흔적은 로그에 남긴다.
            logger.exception("뜻밖의 오류입니다: %s", job.source)
            reason = f"뜻밖의 오류입니다: {type(error).__name__}: {error}"
            return self.result(job, "failed", reason=reason, seconds=time.perf_counter() - started)
        return self.result(job, "done", seconds=time.perf_counter() - started, notes=notes)

    def result(
        self,
        job: Job,
        status: str,
        *,
        reason: str | None = None,
        seconds: float = 0.0,
        notes: tuple[str, ...] = (),
    ) -> FileResult:
        """일의 결과를 적는다."""
        from realesrgan.cli.report import FileResult

        return FileResult(
            input=str(job.source),
            output=str(job.target),
            status=status,
            seconds=round(seconds, 3),
            input_size=(job.info.width, job.info.height) if job.info else None,
            output_size=job.output_size(self.args.outscale) if status == "done" else None,
            frames=job.info.frames if job.info else 1,
            model=self.model,
            reason=reason,
            notes=notes,
        )


def upscale_file(job: Job, upsampler: Model, args: argparse.Namespace, progress: Progress) -> tuple[str, ...]:
    """그림 하나를 읽어 키우고 쓴다.

    Returns:
        결과에 담지 못해 포기한 것들.

    Raises:
        RealESRGANError: 읽거나 키우거나 쓸 수 없을 때.
    """
    from realesrgan.media.image import read_image, write_image

    # 오래 계산한 뒤에야 쓸 수 없음을 알게 되지 않도록 먼저 본다.
    prepare_folder(job.target.parent)
    picture = read_image(job.source, outscale=args.outscale, max_output_pixels=args.max_pixels)
    frames = _enlarged_frames(picture, upsampler, args, progress)
    return write_image(job.target, picture.with_frames(frames), quality=args.quality)


def prepare_folder(folder: Path) -> None:
    """결과 폴더를 만들고 쓸 수 있는지 본다.

    Raises:
        ImageWriteError: 만들거나 쓸 수 없을 때.
    """
    try:
        make_writable_folder(folder)
    except OSError as error:
        reason, remedy = os_reason(error)
        raise ImageWriteError(f"결과 폴더에 쓸 수 없습니다: {folder}\n  {reason}\n  해결: {remedy}") from error


def _enlarged_frames(
    picture: Picture, upsampler: Model, args: argparse.Namespace, progress: Progress
) -> Iterator[Frame]:
    """프레임을 하나씩 키운다. 한 번에 한 장만 메모리에 둔다."""
    from realesrgan.media.image import fill_transparent_colour

    count = max(picture.frame_count, 1)
    for index, frame in enumerate(picture):

        def report(done: int, total: int, index: int = index) -> None:
            # 타일마다 모양이 조금씩 달라 앞의 타일이 놓은 자리에 꼭 맞지 않는다. 두면 빈틈이 쌓인다.
            give_back_freed_memory()
            progress(index * total + done, count * total)

        # 투명한 곳의 색은 뜻이 없지만 네트워크는 그것도 본다. 보이는 색을 번지게 해 테두리를 막는다.
        array = fill_transparent_colour(frame.array) if frame.has_alpha else frame.array
        output = upsampler.upscale_array(array, args.outscale, alpha_upsampler=args.alpha_upsampler, progress=report)
        yield replace(frame, array=output)


def _conclude(args: argparse.Namespace, results: Sequence[FileResult], ranks: Ranks, seconds: float) -> int:
    """요약하고 보고서를 쓰고 종료 코드를 정한다."""
    from realesrgan.cli.report import exit_code, summary, write_report

    code = exit_code(results)
    if not ranks.leads:
        return code
    (say if code == EXIT_DONE else say_error)(summary(results, seconds))
    if args.report:
        try:
            write_report(expand_user(args.report), results, seconds, code)
        except ReportError as error:
            say_error(str(error))
            code = code or EXIT_SOME_FAILED
    if code == EXIT_INTERRUPTED:
        say_error("중단했습니다. 쓰다 만 파일은 남지 않았습니다.")
    return code
