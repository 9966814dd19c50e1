"""비디오를 키우는 명령. 인자를 읽고, 일을 정하고, 한 편씩 키우고, 종료 코드를 돌려준다."""

from __future__ import annotations

import argparse
import logging
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing, nullcontext
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from realesrgan.cli.arguments import (
    AUTO,
    STANDARD,
    build_model,
    check_extensions,
    describe_faces,
    engine_line,
    open_chosen,
    source_of,
)
from realesrgan.cli.console import configure_logging, guarded, run_and_leave, say_error, shown
from realesrgan.cli.runner import Command, Ranks, Result, run_command
from realesrgan.cli.video_arguments import parse_arguments, to_settings
from realesrgan.errors import RealESRGANError, UsageError, VideoFormatError
from realesrgan.util.files import expand_user, hidden_beside
from realesrgan.util.machine import keep_freed_memory
from realesrgan.util.numbers import describe_bytes, describe_seconds, describe_spent

if TYPE_CHECKING:
    from realesrgan.cli.video_jobs import VideoJob
    from realesrgan.inference.model import Model
    from realesrgan.video.settings import VideoProgress, VideoSettings

logger = logging.getLogger(__name__)

# 파이프에서 진행을 한 줄씩 쓰는 간격(초).
LINE_SECONDS = 15.0


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
        if args.plugin or args.steps or args.face_enhance or args.backend != AUTO:
            check_extensions(args)
        command = VideoCommand(args, to_settings(args))
        if args.output == STANDARD:
            # 표준 출력으로 비디오를 내보낼 때는 알리는 말이 섞이면 안 된다.
            command.tell = say_error
        return run_command(command, report=args.report, dry_run=args.dry_run, shard=args.shard)

    return guarded(work, "중단했습니다.")


def run() -> NoReturn:
    """명령줄에서 불리는 자리. `main`을 실행하고 그 코드로 끝난다."""
    keep_freed_memory()
    run_and_leave(main)


@dataclass(frozen=True)
class FileResult(Result):
    """비디오 한 편의 결과. 칸의 뜻은 `realesrgan.VideoResult`와 같다."""

    outscale: float | None = None
    frames: int = 0
    repeats: int = 0
    resumed: int = 0
    input_size: tuple[int, int] | None = None
    output_size: tuple[int, int] | None = None
    codec: str | None = None
    pix_fmt: str | None = None
    container: str | None = None
    stages: dict[str, Any] = field(default_factory=dict)
    preview: str | None = None
    steps: tuple[str, ...] = ()
    parts: tuple[str, ...] = ()
    holes: tuple[Any, ...] = ()
    backend: str | None = None
    device: str | None = None
    precision: str | None = None
    counts: Mapping[str, int] = field(default_factory=dict)
    runs: int = 1

    def details(self) -> tuple[str, list[str]]:
        """결과와 크기, 단계마다 일한 시간의 비율."""
        before, after = ("x".join(map(str, size or ())) for size in (self.input_size, self.output_size))
        speed = (self.frames - self.resumed) / max(self.seconds, 1e-9)
        stages = self.stages
        shares = {word: stages[name]["busy"] for name, word in (("decode", "디코딩"), ("encode", "인코딩"))}
        # 네트워크는 작업자들의 합이므로 작업자 수로 나누어 벽시계와 견준다.
        shares["네트워크"] = stages["network"]["busy"] / max(stages["workers"], 1)
        wall = max(stages["wall"], 1e-9)
        runs = f", 앙상블 {self.runs}번" if self.runs > 1 else ""
        same = f"(같은 프레임 {self.repeats}개)" if self.repeats else ""
        faces = describe_faces(self.counts) if self.counts else ""
        used = ", ".join(f"{word} {min(100 * busy / wall, 100):.0f}%" for word, busy in shares.items())
        lines = [
            f"{before} -> {after}({self.outscale:g}배), {self.codec} {self.pix_fmt}, {self.frames}프레임{same}{runs}"
            f"{faces}, {describe_spent(self.seconds)}, {speed:.2f}fps",
            f"단계마다 일한 시간의 비율: {used}",
        ]
        if self.parts:
            lines.append(f"화면이 바뀌는 곳에서 나눈 결과 {len(self.parts)}개: " + ", ".join(map(shown, self.parts)))
        return f" -> {shown(self.output)}", lines


@dataclass
class VideoCommand(Command["VideoJob", FileResult]):
    """비디오를 키우는 일. torchrun이면 모든 프로세스가 한 편의 조각들을 나눈다.

    Attributes:
        args: 명령의 인자.
        settings: 인자에서 읽은 설정.
    """

    together = True
    refusals = (UsageError, VideoFormatError)
    tell_failure = staticmethod(say_error)
    again = "--resume"
    memory_remedy = "--tile이나 --num_process_per_gpu를 줄이세요."

    args: argparse.Namespace
    settings: VideoSettings
    _ranks: Ranks = field(default_factory=Ranks)
    _models: list[Model] = field(default_factory=list)
    _model_name: str | None = None
    _told: set[str] = field(default_factory=set)

    def plan(self, ranks: Ranks) -> list[VideoJob]:
        """일을 정한다."""
        from realesrgan.cli.video_jobs import check_preview_path, plan_jobs

        args = self.args
        for warning in args.warnings:
            logger.warning("%s", warning)
        if ranks.size > 1 and STANDARD in (*args.input, args.output):
            raise UsageError(
                "표준 입력과 표준 출력은 프로세스 하나로만 다룹니다.\n  해결: torchrun 없이 실행하거나 파일을 쓰세요."
            )
        jobs = plan_jobs(
            args.input, args.output, suffix=args.suffix, ext=args.ext, fps=args.fps, recursive=args.recursive
        )
        if self.settings.preview is not None:
            others = [path for job in jobs for path in job.paths]
            reports = [] if args.report is None else [expand_user(args.report)]
            check_preview_path(self.settings.preview, [*others, *reports])
        return jobs

    def prepare(self, jobs: Sequence[VideoJob], ranks: Ranks) -> None:
        """장치마다 모델을 싣는다."""
        import torch

        from realesrgan.media.video.files import import_av

        import_av()
        options = argparse.Namespace(**{**vars(self.args), "batch": self.args.batch or 1})
        with ranks.local_leader_first() if ranks.size > 1 else nullcontext():
            weights = open_chosen(options)
        wanted = self.args.device
        devices = [wanted]
        if ranks.size > 1:
            devices = [ranks.device(wanted)]
        elif wanted in (None, "auto", "cuda") and torch.cuda.is_available():
            devices = [f"cuda:{index}" for index in range(torch.cuda.device_count())]
        first = build_model(options, weights, devices[0])
        self._models = [first, *(first.with_compute(device=device) for device in devices[1:])]
        self._model_name, self._ranks = source_of(first, options), ranks
        if ranks.leads:
            self.tell(engine_line(first))

    def process(self, job: VideoJob, progress: Callable[[int, int], None]) -> FileResult:
        """비디오 한 편을 키운다."""
        from realesrgan.video.upscale import upscale_video

        shown_bar = None if self._ranks.size == 1 else False
        # 시작하며 알린 것은 끝나고 되풀이하지 않는다.
        told = logging.Handler(logging.WARNING)
        told.emit = lambda record: self._told.add(record.getMessage())  # type: ignore[method-assign]
        source = logging.getLogger("realesrgan")
        source.addHandler(told)
        try:
            with closing(ProgressBar(job.input, drawn=shown_bar)) as bar:
                made = upscale_video(
                    job.source,
                    job.target,
                    model=self._models,
                    settings=self.settings,
                    progress=bar.update if self._ranks.leads else None,
                    processes=self._ranks,
                )
        except KeyboardInterrupt:
            return self.result(job, "interrupted", _interrupted(job))
        finally:
            source.removeHandler(told)
        return FileResult(**{**asdict(made), "model": self._model_name})

    def describe(self, result: FileResult) -> str:
        """끝난 일을 알릴 글. 시작하며 알린 것을 되풀이하지 않는다."""
        return replace(result, notes=tuple(note for note in result.notes if note not in self._told)).describe()

    def result(self, job: VideoJob, status: str, reason: str | None = None) -> FileResult:
        """하지 못한 일의 결과."""
        return FileResult(job.input, str(job.target.path or "표준 출력"), status, model=self._model_name, reason=reason)

    def estimate(self, jobs: Sequence[VideoJob], ranks: Ranks) -> bool:
        """키우지 않고 무엇을 할지와 예상 시간을 보인다."""
        from realesrgan.video.preview import estimate_video

        self.prepare(jobs, Ranks())
        fine = True
        for index, job in enumerate(jobs, 1):
            head = f"[{index}/{len(jobs)}] {shown(job.input)} -> {shown(str(job.target.path or '표준 출력'))}"
            try:
                found = estimate_video(job.source, job.target, model=self._models, settings=self.settings)
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
            if found.size is not None:
                lines.append(f"비디오의 크기 약 {describe_bytes(found.size)}(소리 빼고 어림)")
            if found.preview is not None:
                lines.append(f"미리보기: {found.preview}")
            self.tell("\n    ".join([head, *lines, *(f"알림: {note}" for note in found.plan.warnings)]))
        return fine


def _interrupted(job: VideoJob) -> str:
    from realesrgan.video.frame_store import is_worth_keeping
    from realesrgan.video.workspace import Workspace

    if job.target.path is None:
        return "사용자가 중단했습니다."
    workspace = Workspace(hidden_beside(job.target.path))
    if is_worth_keeping(workspace):
        kept = f"마친 조각 {len(workspace.records())}개와 하던 조각의 프레임은 남아 있습니다."
        return f"중단했습니다. {kept}\n  이어 하기: 같은 명령에 --resume을 더하세요."
    return "중단했습니다. 아직 마친 조각이 없어 남은 것이 없습니다.\n  다시 하기: 같은 명령을 다시 실행하세요."


class ProgressBar:
    """비디오 한 편의 진행. 터미널에서는 막대로, 파이프에서는 이따금 한 줄씩 보인다.

    Args:
        name: 보일 이름.
        drawn: 막대를 그릴지. 없으면 표준 오류가 터미널인지로 정한다.
        every: 막대 대신 줄을 쓰는 간격(초).

    Attributes:
        close: 막대를 거두는 함수.
    """

    def __init__(self, name: str, *, drawn: bool | None = None, every: float = LINE_SECONDS) -> None:
        from tqdm import tqdm

        self._name = shown(name)
        self._began = self._told = time.monotonic()
        self._every = every
        self._preview: Path | None = None
        self._bar: Any = tqdm(
            desc=shown(name),
            unit="프레임",
            disable=not (sys.stderr.isatty() if drawn is None else drawn),
            file=sys.stderr,
            dynamic_ncols=True,
            smoothing=0.1,
        )
        self.close = self._bar.close

    def update(self, now: VideoProgress) -> None:
        """막대를 옮기거나, 때가 되었으면 한 줄을 쓴다. 미리보기가 처음 적히면 어디인지 말한다."""
        if now.preview != self._preview:
            self._preview = now.preview
            with self._bar.external_write_mode(file=sys.stderr):
                say_error(f"미리보기: {now.preview}")
        if not self._bar.disable:
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
        speed = (now.frames - now.resumed) / max(seconds, 1e-9)
        count = f"{now.frames}" + (f"/{now.total}" if now.total else "")
        parts = [f"{self._name}: {count}프레임", f"{speed:.2f}fps"]
        if now.total and speed > 0:
            parts.append(f"남은 시간 {describe_seconds((now.total - now.frames) / speed)}")
        return ", ".join([*parts, describe_bytes(now.size)])
