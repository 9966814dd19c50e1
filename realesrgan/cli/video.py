"""비디오를 키우는 명령. 인자를 읽고, 일을 정하고, 한 편씩 키우고, 종료 코드를 돌려준다."""

from __future__ import annotations

import argparse
import logging
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

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
from realesrgan.cli.video_arguments import STANDARD, parse_arguments, to_settings
from realesrgan.errors import RealESRGANError, ReportError, UsageError, VideoFormatError
from realesrgan.util.files import expand_user
from realesrgan.util.machine import keep_freed_memory

if TYPE_CHECKING:
    from realesrgan.cli.ranks import Ranks
    from realesrgan.cli.video_jobs import VideoJob
    from realesrgan.video.settings import VideoProgress, VideoResult
    from realesrgan.video.workers import Networks

logger = logging.getLogger(__name__)

# 파이프에서 진행을 한 줄씩 쓰는 간격(초).
LINE_SECONDS = 15.0
STATUS_WORDS = {
    "done": "완료",
    "failed": "실패",
    "refused": "시작할 수 없음",
    "skipped": "건너뜀",
    "interrupted": "중단",
}


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
        return _run(VideoCommand(args), report=args.report, dry_run=args.dry_run)

    return guarded(work, "중단했습니다.")


def run() -> NoReturn:
    """명령줄에서 불리는 자리. `main`을 실행하고 그 코드로 끝난다."""
    keep_freed_memory()
    leave(main())


class VideoCommand:
    """비디오 명령이 하는 일들.

    Args:
        args: 명령의 인자.

    Attributes:
        tell: 알리는 말을 쓰는 함수. 표준 출력으로 비디오를 내보낼 때는 말이 섞이지 않게 표준 오류에 쓴다.
    """

    def __init__(self, args: argparse.Namespace) -> None:
        self._args = args
        self._settings = to_settings(args)
        self._ranks: Any = None
        self._networks: Networks | None = None
        self.tell: Callable[[str], None] = say_error if args.output == STANDARD else say

    def plan(self, ranks: Ranks) -> list[VideoJob]:
        """일을 정한다. 첫 프로세스만 부른다.

        Raises:
            UsageError: 시작할 수 없을 때.
        """
        from realesrgan.cli.video_jobs import check_preview_path, plan_jobs

        args = self._args
        for warning in args.warnings:
            logger.warning("%s", warning)
        if ranks.size > 1 and STANDARD in (*args.input, args.output):
            raise UsageError(
                "표준 입력과 표준 출력은 프로세스 하나로만 다룹니다.\n  해결: torchrun 없이 실행하거나 파일을 쓰세요."
            )
        jobs = plan_jobs(args.input, args.output, suffix=args.suffix, ext=args.ext, fps=args.fps)
        if self._settings.preview is not None:
            others = [path for job in jobs for path in job.paths]
            reports = [] if args.report is None else [expand_user(args.report)]
            check_preview_path(self._settings.preview, [*others, *reports])
        return jobs

    def prepare(self, ranks: Ranks) -> None:
        """장치마다 모델을 싣는다. 모든 프로세스가 부른다.

        Raises:
            RealESRGANError: 가중치나 장치를 쓸 수 없을 때.
        """
        import torch

        from realesrgan.cli.loading import build_upsampler, choose_weights
        from realesrgan.media.video.files import import_av
        from realesrgan.video.workers import Networks

        import_av()
        ranks.set_threads()
        options = argparse.Namespace(**{**vars(self._args), "batch": self._args.batch or 1})
        with ranks.local_leader_first():
            first = choose_weights(options)
        wanted = self._args.device
        devices = [ranks.device(wanted)]
        if ranks.size == 1 and wanted in (None, "auto", "cuda") and torch.cuda.is_available():
            devices = [f"cuda:{index}" for index in range(torch.cuda.device_count())]
        chosen = [first, *(choose_weights(options) for _ in devices[1:])]
        made = [build_upsampler(options, one, device) for one, device in zip(chosen, devices, strict=True)]
        self._networks, self._ranks = Networks(tuple(made), first.name), ranks

    def process(self, job: VideoJob) -> VideoResult:
        """비디오 한 편을 키운다. 실패는 이유가 되어 결과에 담기고 다음 비디오로 넘어간다."""
        from realesrgan.video.upscale import upscale_video

        if self._networks is None:
            raise RuntimeError("모델을 싣기 전입니다.")
        began = time.perf_counter()
        try:
            with closing(ProgressBar(job.source.name, shown=None if self._ranks.size == 1 else False)) as bar:
                return upscale_video(
                    job.source,
                    job.target,
                    model=self._networks,
                    settings=self._settings,
                    progress=bar.update if self._ranks.leads else None,
                    processes=self._ranks,
                )
        except KeyboardInterrupt:
            status, reason = "interrupted", _interrupted(job)
        except (UsageError, VideoFormatError) as error:
            status, reason = "refused", str(error)
        except (RealESRGANError, OSError) as error:
            status, reason = "failed", str(error)
        except MemoryError:
            status, reason = "failed", "메모리가 모자랍니다.\n  해결: --tile이나 --num_process_per_gpu를 줄이세요."
        except Exception as error:
            # 한 편의 뜻밖의 오류가 남은 비디오를 막지 않게 한다. 흔적은 로그에 남긴다.
            logger.exception("뜻밖의 오류입니다: %s", job.source.name)
            status, reason = "failed", f"뜻밖의 오류입니다: {type(error).__name__}: {error}"
        return replace(self.result(job, status, reason), seconds=round(time.perf_counter() - began, 3))

    def result(self, job: VideoJob, status: str, reason: str | None = None) -> VideoResult:
        """하지 못한 일의 결과."""
        from realesrgan.video.settings import VideoResult

        model = None if self._networks is None else self._networks.name
        return VideoResult(job.source.name, str(job.target.path or "표준 출력"), status, model=model, reason=reason)

    def estimate(self, jobs: Sequence[VideoJob]) -> bool:
        """키우지 않고 무엇을 할지와 예상 시간을 보인다. 모두 할 수 있으면 참."""
        from realesrgan.video.preview import estimate_video

        fine = True
        for index, job in enumerate(jobs, 1):
            head = f"[{index}/{len(jobs)}] {job.source.name} -> {job.target.path or '표준 출력'}"
            try:
                found = estimate_video(job.source, job.target, model=self._networks, settings=self._settings)  # type: ignore[arg-type]
            except RealESRGANError as error:
                fine = False
                self.tell(f"{head}\n    " + str(error).replace("\n", "\n    "))
                continue
            info, encoding, workers = found.plan.info, found.plan.encoding, found.workers
            width, height = info.display_size
            frames = found.plan.frames
            lines = [
                f"{width}x{height} {info.layout.pix_fmt}, {float(info.rate):.3f}fps, "
                f"프레임 {'알 수 없음' if frames is None else frames}, 조각 {len(found.plan.spans)}개",
                f"-> {encoding.width}x{encoding.height}({found.outscale:g}배) {encoding.layout.pix_fmt}, "
                f"{encoding.codec}, {encoding.container}",
                f"작업자 {workers.workers}, 스레드 {workers.threads}, 배치 {workers.batch}, "
                f"타일 {workers.tile or '통째'}, 프레임마다 {found.seconds_per_frame:.2f}초",
            ]
            if frames is not None:
                lines.append(f"네트워크에만 약 {describe_seconds(frames * found.seconds_per_frame)}")
            if found.preview is not None:
                lines.append(f"미리보기: {found.preview}")
            self.tell("\n    ".join([head, *lines, *(f"알림: {note}" for note in found.plan.warnings)]))
        return fine


def _interrupted(job: VideoJob) -> str:
    from realesrgan.video.workspace import Workspace, workspace_folder

    if job.target.path is None:
        return "사용자가 중단했습니다."
    workspace = Workspace(workspace_folder(job.target.path))
    count = len(workspace.records())
    if count:
        return f"중단했습니다. 마친 조각 {count}개는 남아 있습니다.\n  이어 하기: 같은 명령에 --resume을 더하세요."
    return "중단했습니다. 아직 마친 조각이 없어 남은 것이 없습니다.\n  다시 하기: 같은 명령을 다시 실행하세요."


def _run(command: VideoCommand, *, report: str | None, dry_run: bool) -> int:
    """일을 정해 한 편씩 하고 보고한다. torchrun이면 모든 프로세스가 한 편의 조각들을 나눈다."""
    from realesrgan.cli.ranks import join_ranks
    from realesrgan.cli.report import check_report_path, summary, write_report

    began = time.perf_counter()
    with join_ranks() as ranks:
        jobs: list[VideoJob] = []
        problem: str | None = None
        if ranks.leads:
            try:
                jobs = command.plan(ranks)
                if report is not None and not dry_run:
                    check_report_path(expand_user(report), [path for job in jobs for path in job.paths])
            except RealESRGANError as error:
                problem = str(error)
                say_error(problem)
        jobs, problem = (jobs, problem) if ranks.size == 1 else ranks.broadcast((jobs, problem))
        if problem is not None:
            return EXIT_USAGE
        if dry_run:
            if not ranks.leads:
                return EXIT_DONE
            command.prepare(ranks)
            return EXIT_DONE if command.estimate(jobs) else EXIT_SOME_FAILED
        results = _process_all(command, jobs, ranks)
        code = exit_code(results)
        if not ranks.leads:
            return code
        seconds = time.perf_counter() - began
        if len(results) > 1:
            (command.tell if code == EXIT_DONE else say_error)(summary(results, seconds))
        if report is not None:
            try:
                write_report(expand_user(report), results, seconds, code)
            except ReportError as error:
                say_error(str(error))
                code = code or EXIT_SOME_FAILED
        return code


def _process_all(command: VideoCommand, jobs: Sequence[VideoJob], ranks: Ranks) -> list[VideoResult]:
    """한 편씩 키운다. 중단되면 남은 것을 중단으로 적는다."""
    try:
        command.prepare(ranks)
    except RealESRGANError as error:
        say_error(str(error))
        return [command.result(job, "failed", str(error)) for job in jobs]
    results: list[VideoResult] = []
    for number, job in enumerate(jobs):
        results.append(command.process(job))
        if ranks.leads:
            text = f"[{number + 1}/{len(jobs)}] {describe(results[-1])}"
            (command.tell if results[-1].status in ("done", "skipped") else say_error)(text)
        if results[-1].status == "interrupted":
            return results + [command.result(left, "interrupted") for left in jobs[number + 1 :]]
    return results


def exit_code(results: Iterable[VideoResult]) -> int:
    """결과 전체의 종료 코드. 모두 쓰는 법이 틀린 것이면 2다."""
    statuses = {result.status for result in results}
    if "interrupted" in statuses:
        return EXIT_INTERRUPTED
    if statuses == {"refused"}:
        return EXIT_USAGE
    return EXIT_DONE if statuses <= {"done", "skipped"} else EXIT_SOME_FAILED


def describe(result: VideoResult) -> str:
    """비디오 한 편의 결과를 사람이 읽는 글로 적는다."""
    lines = [f"{STATUS_WORDS[result.status]}: {result.input}"]
    if result.status == "done" and result.input_size and result.output_size:
        before, after = ("x".join(map(str, size)) for size in (result.input_size, result.output_size))
        speed = (result.frames - result.resumed) / max(result.seconds, 1e-9)
        lines[0] += f" -> {result.output}"
        lines.append(
            f"{before} -> {after}({result.outscale:g}배), {result.codec} {result.pix_fmt}, {result.frames}프레임"
            f"(같은 프레임 {result.repeats}개), {result.seconds:.1f}초, {speed:.2f}fps"
        )
        stages = result.stages
        shares = {word: stages[name]["busy"] for name, word in (("decode", "디코딩"), ("encode", "인코딩"))}
        # 네트워크는 작업자들의 합이므로 작업자 수로 나누어 벽시계와 견준다.
        shares["네트워크"] = stages["network"]["busy"] / max(stages["workers"], 1)
        wall = max(stages["wall"], 1e-9)
        lines.append("시간이 간 곳: " + ", ".join(f"{word} {100 * busy / wall:.0f}%" for word, busy in shares.items()))
    if result.preview is not None:
        lines.append(f"미리보기: {result.preview}")
    if result.reason:
        lines += result.reason.splitlines()
    return "\n    ".join([*lines, *(f"알림: {note}" for note in result.notes)])


class ProgressBar:
    """비디오 한 편의 진행. 터미널에서는 막대로, 파이프에서는 이따금 한 줄씩 보인다.

    Args:
        name: 보일 이름.
        shown: 막대를 그릴지. 없으면 표준 오류가 터미널인지로 정한다.
        every: 막대 대신 줄을 쓰는 간격(초).
    """

    def __init__(self, name: str, *, shown: bool | None = None, every: float = LINE_SECONDS) -> None:
        from tqdm import tqdm

        self._name = name
        self._began = self._told = time.monotonic()
        self._every = every
        self._preview: Path | None = None
        self._bar: Any = tqdm(
            desc=name,
            unit="프레임",
            disable=not (sys.stderr.isatty() if shown is None else shown),
            file=sys.stderr,
            dynamic_ncols=True,
            smoothing=0.1,
        )

    def update(self, now: VideoProgress) -> None:
        """막대를 옮기거나, 때가 되었으면 한 줄을 쓴다. 미리보기가 처음 적히면 어디인지 말한다."""
        if now.preview != self._preview:
            self._preview = now.preview
            with self._bar.external_write_mode(file=sys.stderr):
                say_error(f"미리보기: {now.preview}")
        if not self._bar.disable:
            from realesrgan.inference.memory import describe_bytes

            if self._bar.total is None and now.total is not None:
                self._bar.total, self._bar.initial, self._bar.n = now.total, now.resumed, now.resumed
            self._bar.set_postfix_str(describe_bytes(now.size), refresh=False)
            self._bar.update(now.frames - self._bar.n)
        elif time.monotonic() - self._told >= self._every:
            self._told = time.monotonic()
            say_error(self.line(now, self._told - self._began))

    def line(self, now: VideoProgress, seconds: float) -> str:
        """진행을 한 줄로 적는다.

        Args:
            now: 지금까지의 진행.
            seconds: 시작하고 지난 시간(초).
        """
        from realesrgan.inference.memory import describe_bytes

        speed = (now.frames - now.resumed) / max(seconds, 1e-9)
        count = f"{now.frames}" + (f"/{now.total}" if now.total else "")
        parts = [f"{self._name}: {count}프레임", f"{speed:.2f}fps"]
        if now.total and speed > 0:
            parts.append(f"남은 시간 {describe_seconds((now.total - now.frames) / speed)}")
        return ", ".join([*parts, describe_bytes(now.size)])

    def close(self) -> None:
        """막대를 거둔다."""
        self._bar.close()


def describe_seconds(seconds: float) -> str:
    """초를 사람이 읽는 시간으로 적는다."""
    whole = max(round(seconds), 0)
    hours, minutes = whole // 3600, whole % 3600 // 60
    if hours:
        return f"{hours}시간 {minutes}분"
    return f"{minutes}분 {whole % 60}초" if minutes else f"{whole}초"
