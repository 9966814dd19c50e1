"""사진을 키우는 명령. 인자를 읽어 라이브러리를 부르고, 결과를 적는다."""

from __future__ import annotations

import argparse
import logging
import shutil
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial
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
    parse_arguments,
    source_of,
)
from realesrgan.cli.console import EXIT_DONE, configure_logging, guarded, run_and_leave, say, say_error, shown
from realesrgan.cli.runner import Command, Ranks, Result, run_command
from realesrgan.errors import UsageError
from realesrgan.util.files import remove_abandoned
from realesrgan.util.machine import keep_freed_memory
from realesrgan.util.numbers import describe_spent
from realesrgan.zoo.models import DEFAULT_MODEL, MODELS

if TYPE_CHECKING:
    from realesrgan.cli.jobs import Job
    from realesrgan.inference.model import Model

# 이보다 작은 입력(픽셀)은 다른 이미지를 읽고 쓰는 동안 계산한다.
OVERLAPPED_PIXELS = 1 << 19

logger = logging.getLogger(__name__)

FAREWELL = "중단했습니다. 쓰다 만 파일은 남지 않았습니다."


def _work(argv: Sequence[str] | None = None) -> int:
    args = parse_arguments(argv)
    configure_logging(args.verbose)
    if args.list_models:
        say(describe_models())
        return EXIT_DONE
    if args.plugin or args.steps or args.face_enhance or args.backend != AUTO:
        check_extensions(args)
    if args.tune:
        from realesrgan.cli.tune import run_tune

        return run_tune(args)
    with ExitStack() as stack:
        command = PictureCommand(args, stack)
        if args.output == STANDARD:
            # 표준 출력으로 이미지를 내보낼 때는 알리는 말이 섞이면 안 된다.
            command.tell = command.tell_failure = say_error
        return run_command(command, report=args.report, dry_run=args.dry_run, shard=args.shard)


# 사진 명령을 실행한다. 인자(없으면 명령줄의 것)를 받아 종료 코드를 돌려준다: 0 모두 완료, 1 일부 실패, 2 잘못된 사용,
# 130 중단.
main = partial(guarded, _work, FAREWELL)


def run() -> NoReturn:
    """명령줄에서 불리는 자리. `main`을 실행하고 그 코드로 끝난다."""
    keep_freed_memory()
    run_and_leave(main)


def describe_models() -> str:
    """모델 목록을 사람이 읽는 글로 적는다."""
    lines = []
    for spec in MODELS.values():
        mark = " (기본)" if spec.name == DEFAULT_MODEL else ""
        size = f", {spec.size / 1e6:.1f}MB" if spec.size else ""
        origin = "함께 설치됨" if spec.ncnn else "처음 쓸 때 내려받음"
        lines.append(f"{spec.name}{mark}\n    {spec.description}\n    {spec.arch}, {spec.scale}배{size}, {origin}")
    return "\n".join(lines)


@dataclass(frozen=True)
class FileResult(Result):
    """이미지 하나의 결과.

    Attributes:
        input_size, output_size: `(너비, 높이)`, 픽셀. 모르면 None.
        outscale: 쓴 업스케일 배율.
        frames: 프레임 수.
        steps: 거친 단계들(`"blend=0.7"` 등).
        counts: 단계가 센 것(`faces` 등)의 이름과 수.
        runs: 픽셀마다 네트워크를 돌린 횟수. 앙상블이 아니면 1.
        backend, device, precision: 실제로 쓴 엔진의 이름과 장치와 정밀도. 키우지 않았으면 None.
    """

    input_size: tuple[int, int] | None = None
    output_size: tuple[int, int] | None = None
    outscale: float | None = None
    frames: int = 1
    steps: tuple[str, ...] = ()
    counts: Mapping[str, int] = field(default_factory=dict)
    runs: int = 1
    backend: str | None = None
    device: str | None = None
    precision: str | None = None

    def details(self) -> tuple[str, list[str]]:
        """결과와 크기."""
        before, after = ("x".join(map(str, size or ())) for size in (self.input_size, self.output_size))
        unit = "쪽" if str(self.output).lower().endswith((".tif", ".tiff")) else "프레임"
        extra = f", {self.frames}{unit}" if self.frames > 1 else ""
        extra += f", 앙상블 {self.runs}번" if self.runs > 1 else ""
        extra += describe_faces(self.counts) if self.counts else ""
        size = f"{before} -> {after}, {self.outscale:g}배{extra}, {describe_spent(self.seconds)}"
        return f" -> {shown(self.output)} ({size})", []


@dataclass
class PictureCommand(Command["Job", FileResult]):
    """이미지를 키우는 일. 모델은 할 일이 있을 때 한 번만 싣는다.

    Args:
        args: 명령의 인자.
        stack: 명령이 끝날 때 치울 것을 담는다.
    """

    farewell = FAREWELL
    memory_remedy = "다른 프로그램을 닫거나 -s를 줄이세요."

    _args: argparse.Namespace
    _stack: ExitStack
    _model: Model | None = None
    _model_name: str | None = None
    _compute: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(1, "realesrgan-compute"))
    # 겹쳐 하는 일이 제 차례를 기다린 시간(초). 일을 하는 스레드마다 따로다.
    _waited: Any = field(default_factory=threading.local)

    def plan(self, ranks: Ranks) -> list[Job]:
        """입력을 모두 찾아 결과의 이름을 정한다."""
        from realesrgan.cli.jobs import plan_jobs

        args = self._args
        for warning in args.warnings:
            logger.warning("%s", warning)
        if ranks.size > 1 and STANDARD in (*args.input, args.output):
            raise UsageError(
                "표준 입력과 표준 출력은 프로세스 하나로만 다룹니다.\n  해결: torchrun 없이 실행하거나 파일을 쓰세요."
            )
        # 직접 훈련한 네트워크의 배율은 실어 보아야 안다.
        known = MODELS[args.model_name.partition(",")[0]].scale if args.named or args.model_path is None else None
        return plan_jobs(
            args.input,
            args.output,
            recursive=args.recursive,
            suffix=args.suffix,
            ext=args.ext,
            outscale=args.outscale or known,
            skip_existing=args.skip_existing,
            scratch=self._scratch if ranks.size == 1 else None,
        )

    def _scratch(self) -> Path:
        return Path(self._stack.enter_context(tempfile.TemporaryDirectory(prefix="realesrgan-")))

    def prepare(self, jobs: Sequence[Job], ranks: Ranks) -> None:
        """할 일이 있으면 가중치를 찾아 모델을 싣는다."""
        needed = any(job.problem is None and job.skip is None for job in jobs)
        for folder in {job.target.parent for job in jobs}:
            remove_abandoned(folder)
        if ranks.size == 1:
            self._model = build_model(self._args, device=self._args.device) if needed else None
        else:
            # 할 일이 없는 프로세스도 지나가야 한다. 하나라도 빠지면 나머지가 영영 기다린다.
            with ranks.local_leader_first():
                weights = open_chosen(self._args) if needed else []
            if weights:
                self._model = build_model(self._args, weights, ranks.device(self._args.device))
        if self._model is not None:
            named = self._args.model_path is None
            self._model_name = self._model.weights.name if named else source_of(self._model, self._args)
            if len(jobs) > 1:
                self._model.upscaler.turn = self._in_turn
            if ranks.leads:
                self.tell(engine_line(self._model))

    def _in_turn(self, work: Callable[[], None]) -> None:
        """겹쳐 하는 일들의 계산을 한 스레드에서 차례로 한다. 부르는 스레드마다 OpenMP의 스레드들이 생기면 느려진다."""
        if threading.current_thread() is threading.main_thread():
            work()
            return
        asked = time.perf_counter()

        def timed() -> float:
            began = time.perf_counter()
            work()
            return began

        self._waited.seconds += self._compute.submit(timed).result() - asked

    def process(self, job: Job, progress: Callable[[int, int], None]) -> FileResult:
        """이미지 하나를 키워 쓴다."""
        from realesrgan.cli.jobs import check_target
        from realesrgan.inference.picture import PictureSettings, upscale_file

        args, model = self._args, self._model
        if model is not None:
            # 계획한 뒤에 생긴 것과, 실어 보아야 아는 배율로 정해지는 것을 마저 본다.
            job = check_target(job, args.outscale or model.scale, args.skip_existing)
        if model is None or job.problem is not None or job.skip is not None:
            return self.result(job, "skipped" if job.problem is None else "failed")
        settings = PictureSettings(
            outscale=args.outscale,
            alpha_upsampler=args.alpha_upsampler,
            steps=tuple(args.steps),
            quality=args.quality,
            compression=args.png_compression,
            keep_time=args.keep_time and not job.piped,
            max_output_pixels=args.max_pixels,
            value_range=args.float_range,
        )
        self._waited.seconds = 0.0
        made = upscale_file(job.source, job.target, model=model, settings=settings, progress=progress)
        if job.to_stdout:
            with job.target.open("rb") as file:
                shutil.copyfileobj(file, sys.stdout.buffer)
            sys.stdout.buffer.flush()
        return FileResult(
            input=job.input,
            output=job.output,
            status="done",
            seconds=round(made.seconds - self._waited.seconds, 3),
            model=self._model_name,
            notes=made.notes,
            input_size=made.input_size,
            output_size=made.output_size,
            outscale=made.outscale,
            frames=made.frames,
            steps=tuple(step.text for step in args.steps),
            counts=made.counts,
            runs=getattr(model.engine, "runs", 1),
            backend=model.engine.name,
            device=str(getattr(model.engine, "place", model.engine.device)),
            precision=model.engine.precision,
        )

    def overlaps(self, job: Job) -> bool:
        """작은 이미지 한 장이면 다른 이미지를 읽고 쓰는 동안 계산해도 메모리가 거의 늘지 않는다."""
        if job.info is None or job.info.frames > 1 or job.piped or job.to_stdout or self._model is None:
            return False
        return job.info.width * job.info.height <= OVERLAPPED_PIXELS

    def result(self, job: Job, status: str, reason: str | None = None) -> FileResult:
        """하지 못한 일의 결과."""
        return FileResult(
            input=job.input,
            output=job.output,
            status=status,
            model=self._model_name,
            reason=job.problem or reason or job.skip,
            input_size=(job.info.width, job.info.height) if job.info else None,
            frames=job.info.frames if job.info else 1,
        )

    def estimate(self, jobs: Sequence[Job], ranks: Ranks) -> bool:
        """키우지 않고 무엇을 할지와 걸릴 시간을 보인다."""
        from realesrgan.cli.estimate import show_plan

        args = self._args
        model = build_model(args, device=ranks.device(args.device))
        return show_plan(
            jobs,
            model,
            outscale=args.outscale or model.scale,
            max_pixels=args.max_pixels,
            skip_existing=args.skip_existing,
            tell=self.tell,
        )
