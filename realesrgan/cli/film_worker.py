"""영상 명령의 작업자. 모델을 싣고 영상을 한 편씩 키운다. torchrun이면 조각을 나누어 맡는다."""

from __future__ import annotations

import argparse
import logging
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, TypeVar

import torch

from realesrgan.cli.arguments import build_model, open_chosen, source_of
from realesrgan.cli.film_preview import FilmPreview
from realesrgan.cli.films import FilmJob
from realesrgan.cli.runner import Ranks
from realesrgan.cli.video_progress import FilmProgress
from realesrgan.cli.video_report import FilmResult
from realesrgan.errors import RealESRGANError, UsageError, VideoFormatError
from realesrgan.inference.model import Model
from realesrgan.inference.picture import prepare_folder
from realesrgan.media.video import EncodeRequest, Planes, StreamWriter
from realesrgan.media.video.library import import_av
from realesrgan.util.files import file_sha256
from realesrgan.util.machine import available_cores, give_back_freed_memory
from realesrgan.version import __version__
from realesrgan.video.film import (
    FilmPlan,
    FilmReader,
    FilmRun,
    FilmSettings,
    fingerprint,
    join_segments,
    plan_film,
    recorded_tile,
    run_film,
    segment_writer,
    timing_of,
)
from realesrgan.video.sinks import SegmentSink, StreamSink
from realesrgan.video.workers import WorkerPlan, make_workers, plan_workers
from realesrgan.video.workspace import Workspace, folder_size, hold, workspace_folder

logger = logging.getLogger(__name__)

T = TypeVar("T")

# 이만큼의 프레임마다 놓은 메모리를 돌려준다. 조금씩 어긋나며 쌓이는 빈틈이 영상의 길이를 따라 늘지 않게 한다.
GIVE_BACK_FRAMES = 120


@dataclass(frozen=True)
class Prepared:
    """한 편을 시작하기 전에 첫 프로세스가 정해 모두에게 알리는 것.

    Attributes:
        plan: 계획.
        workers: 장치마다의 작업자.
        remaining: 아직 하지 않은 조각의 번호.
        frames_done: 이미 끝난 프레임 수.
        bytes_done: 이미 끝난 조각의 크기(바이트).
    """

    plan: FilmPlan
    workers: WorkerPlan
    remaining: tuple[int, ...]
    frames_done: int = 0
    bytes_done: int = 0


@dataclass
class FilmWorker:
    """한 프로세스의 작업자.

    Args:
        args: 명령의 인자.
        ranks: 이 프로세스의 자리.
    """

    args: argparse.Namespace
    ranks: Ranks
    upsamplers: list[Model] = field(default_factory=list)
    engine: dict[str, Any] = field(default_factory=dict)
    model: str | None = None

    def load(self) -> None:
        """장치마다 모델을 싣는다.

        Raises:
            RealESRGANError: 가중치나 장치를 쓸 수 없을 때.
        """
        import_av()
        options = argparse.Namespace(**{**vars(self.args), "batch": self.args.batch or 1})
        with self.ranks.local_leader_first():
            weights = open_chosen(options)
        devices = self._devices()
        first = build_model(options, weights, devices[0])
        self.upsamplers = [first, *(first.with_compute(device=name) for name in devices[1:])]
        self.model = source_of(first, self.args)
        self.engine = {
            "모델": [file_sha256(path) for path in first.files],
            "잡음 제거": None if weights.ratio is None else list(weights.ratio),
            "활성화 함수": self.args.act_type,
            "정밀도": first.engine.precision,
            "장치": first.engine.device.type,
            "패딩": [self.args.tile_pad, self.args.pre_pad],
            "판": [__version__, torch.__version__, import_av().__version__],
        }

    def _devices(self) -> list[str | None]:
        wanted = self.args.device
        if self.ranks.size > 1:
            return [self.ranks.device(wanted)]
        if wanted in (None, "auto", "cuda") and torch.cuda.is_available() and torch.cuda.device_count() > 1:
            return [f"cuda:{index}" for index in range(torch.cuda.device_count())]
        return [wanted]

    @property
    def settings(self) -> FilmSettings:
        """인자에서 읽은 설정."""
        args = self.args
        request = EncodeRequest(
            codec=args.codec,
            crf=args.crf,
            preset=args.preset,
            pix_fmt=args.pix_fmt,
            options=dict(args.encoder_options),
            rate=args.fps,
        )
        return FilmSettings(
            outscale=args.outscale or float(self.upsamplers[0].scale),
            request=request,
            start=args.start,
            end=args.end,
            deinterlace=args.deinterlace,
            network_alpha=args.alpha_upsampler == "realesrgan",
        )

    def process(self, number: int, job: FilmJob) -> FilmResult:
        """영상 한 편을 키운다. 실패는 이유가 되어 결과에 담기고 다음 영상으로 넘어간다."""
        started = time.perf_counter()
        result = FilmResult(job.source.name, str(job.target.path or "표준 출력"), "failed", model=self.model)
        if job.problem is not None:
            return result.ended("refused", started, job.problem)
        if job.finished:
            return result.ended("skipped", started, "결과가 이미 있고 이어 할 일이 없습니다.")
        try:
            return self._upscale(number, job, result, started)
        except KeyboardInterrupt:
            return result.ended("interrupted", started, _interrupted(job))
        except Exception as error:
            # 표준 입력을 읽다가 난 예외는 영상 라이브러리를 지나며 다른 것으로 바뀌어 온다.
            if isinstance(job.source.failure, KeyboardInterrupt):
                return result.ended("interrupted", started, _interrupted(job))
            error = job.source.failure if isinstance(job.source.failure, Exception) else error
            status, reason = _failure(error, job)
            return result.ended(status, started, reason)
        finally:
            job.source.close()

    def _upscale(self, number: int, job: FilmJob, result: FilmResult, started: float) -> FilmResult:
        # 표준 입력은 한 번만 열 수 있으므로 정할 때 연 것을 그대로 쓴다.
        with self._held(job), job.source.open() as reader:
            prepared = self._agree(lambda: self.prepare(job, reader))
            for warning in prepared.plan.warnings if self.ranks.leads else ():
                logger.warning("%s", warning)
            own = self._attempt(lambda: self._run(number, job, prepared, reader))
        shared = self.ranks.gather(own)
        for _, problem in shared:
            if problem is not None:
                raise problem
        runs = [run for run, _ in shared if run is not None]
        return self._agree(lambda: self._finish(job, prepared, runs, result, started))

    @contextmanager
    def _held(self, job: FilmJob) -> Iterator[None]:
        """첫 프로세스가 결과의 자물쇠를 쥔다."""
        if not self.ranks.leads or job.target.path is None:
            yield
            return
        prepare_folder(job.target.path.parent)
        with hold(job.target.path):
            yield

    def prepare(self, job: FilmJob, reader: FilmReader) -> Prepared:
        """한 편의 계획을 세우고 작업 폴더를 연다.

        Raises:
            RealESRGANError: 읽거나 쓸 수 없을 때.
        """
        settings = self.settings
        plan = plan_film(job.source, job.target, settings, reader)
        path = job.target.path
        if path is None:
            return Prepared(plan, self.worker_plan(plan), (0,))
        kept = recorded_tile(Workspace(workspace_folder(path))) if self.args.resume else None
        workers = self.worker_plan(plan, kept)
        engine = {**self.engine, "타일": workers.tile}
        work = {"입력": "표준 입력"} if job.source.is_stream else {}
        marks = fingerprint(job.source, plan, settings, engine) if not work else {**engine, **work}
        workspace = Workspace.prepare(
            path, marks, plan.spans, resume=self.args.resume, overwrite=self.args.overwrite or job.source.is_stream
        )
        finished = workspace.verified()
        return Prepared(
            plan,
            workers,
            tuple(index for index in range(len(plan.spans)) if index not in finished),
            sum(record.frames for record in finished.values()),
            sum(record.size for record in finished.values()),
        )

    def worker_plan(self, plan: FilmPlan, tile: int | None = None) -> WorkerPlan:
        """장치마다의 작업자를 정한다. `tile`은 하다 만 작업이 쓰던 타일."""
        width, height = plan.info.display_size
        pad = self.args.pre_pad
        return plan_workers(
            self.upsamplers[0],
            (height + pad, width + pad),
            cores=max(available_cores() // self.ranks.local_size, 1),
            workers=self.args.num_process_per_gpu,
            batch=self.args.batch,
            tile=self.args.tile if tile is None else tile,
        )

    def _run(self, number: int, job: FilmJob, prepared: Prepared, opened: FilmReader) -> FilmRun:
        plan = prepared.plan
        total = None if plan.frames is None else max(plan.frames, prepared.frames_done)
        shown = None if self.ranks.size == 1 else False
        preview = FilmPreview(self.args.preview, plan.target_format) if self.ranks.leads else None
        with FilmProgress(job.source.name, total, prepared.frames_done, shown=shown) as progress:

            def watch(planes: Planes, _repeats: bool) -> None:
                if progress.count() % GIVE_BACK_FRAMES == 0:
                    give_back_freed_memory()
                if preview is not None:
                    preview.offer(planes)

            sink = self._sink(job, plan, watch)
            reader = opened if not plan.deinterlace or job.source.is_stream else job.source.open(deinterlace=True)
            with reader:
                return run_film(
                    reader,
                    plan,
                    make_workers(
                        self.upsamplers,
                        prepared.workers,
                        plan.source_format,
                        plan.target_format,
                        rotation=plan.info.rotation,
                        mirrored=plan.info.mirrored,
                        network_alpha=self.settings.network_alpha,
                    ),
                    sink,
                    self._claim(number, prepared.remaining),
                    batch=prepared.workers.batch,
                    tick=self._ticker(job, progress),
                )

    def _sink(self, job: FilmJob, plan: FilmPlan, watch: Callable[[Planes, bool], None]) -> SegmentSink | StreamSink:
        timing = timing_of(plan, self.settings)
        if job.target.path is None:
            return StreamSink(StreamWriter(sys.stdout.buffer, plan.encoding), timing, watch)
        workspace = Workspace(workspace_folder(job.target.path))
        return SegmentSink(workspace, segment_writer(plan, job.target), timing, watch)

    def _claim(self, number: int, remaining: Sequence[int]) -> Callable[[], int | None]:
        def claim() -> int | None:
            position = self.ranks.claim(f"film/{number}")
            return remaining[position] if position < len(remaining) else None

        return claim

    def _ticker(self, job: FilmJob, progress: FilmProgress) -> Callable[[], None]:
        path = job.target.path
        folder = None if path is None else workspace_folder(path)

        def tick() -> None:
            if folder is not None:
                progress.wrote(folder_size(folder))
            progress.tick()

        return tick

    def _finish(
        self, job: FilmJob, prepared: Prepared, runs: Sequence[FilmRun], result: FilmResult, started: float
    ) -> FilmResult:
        """조각을 이어 결과를 놓고 보고할 것을 모은다."""
        plan = prepared.plan
        done = result.described(plan, prepared.workers, runs, prepared.frames_done)
        damage = next((run.damage for run in runs if run.damage is not None), None)
        path = job.target.path
        if path is None:
            return done.ended("failed" if damage else "done", started, damage)
        workspace = Workspace(workspace_folder(path))
        if damage is not None and done.frames == 0:
            workspace.remove()
            return done.ended("failed", started, damage)
        unfinished = next((run.unfinished for run in runs if run.unfinished is not None), None)
        notes, frames = join_segments(
            job.source, job.target, plan, workspace, timing_of(plan, self.settings), unfinished, whole=damage is None
        )
        workspace.remove()
        done = done.joined(job.target.path if damage is None else job.target.partial_path, frames, notes)
        if damage is None:
            return done.ended("done", started)
        return done.ended("failed", started, f"{damage}\n  성한 부분을 남겼습니다: {job.target.partial_path}")

    def _attempt(self, work: Callable[[], T]) -> tuple[T | None, Exception | None]:
        """일을 하고, 실패하면 예외를 값으로 돌려준다. 다른 프로세스와 모은 뒤에 함께 알린다."""
        try:
            return work(), None
        except Exception as error:
            if self.ranks.size == 1:
                raise
            return None, _portable(error)

    def _agree(self, work: Callable[[], T]) -> T:
        """첫 프로세스가 일을 하고 그 결과나 예외를 모두가 함께 갖는다."""
        value: T | None = None
        problem: Exception | None = None
        if self.ranks.leads:
            value, problem = self._attempt(work)
        value, problem = self.ranks.broadcast((value, problem))
        if problem is not None:
            raise problem
        return value  # type: ignore[return-value]


def _portable(error: Exception) -> Exception:
    """다른 프로세스에 보낼 수 있는 예외. 이름 있는 예외는 그대로, 나머지는 글만 남긴다."""
    if isinstance(error, RealESRGANError):
        return type(error)(str(error))
    logger.error("뜻밖의 오류입니다.", exc_info=error)
    return RealESRGANError(f"뜻밖의 오류입니다: {type(error).__name__}: {error}")


def _failure(error: Exception, job: FilmJob) -> tuple[str, str]:
    """예외를 `(상태, 이유)`로 옮긴다. 뜻밖의 것은 흔적을 로그에 남긴다. 한 편의 실패가 남은 영상을 막지 않게 한다."""
    if isinstance(error, (UsageError, VideoFormatError)):
        return "refused", str(error)
    if isinstance(error, (RealESRGANError, OSError)):
        return "failed", str(error)
    if isinstance(error, MemoryError):
        return "failed", "메모리가 모자랍니다.\n  해결: --tile이나 --num_process_per_gpu를 줄이세요."
    logger.error("뜻밖의 오류입니다: %s", job.source.name, exc_info=error)
    return "failed", f"뜻밖의 오류입니다: {type(error).__name__}: {error}"


def _interrupted(job: FilmJob) -> str:
    if job.target.path is None:
        return "사용자가 중단했습니다."
    return "중단했습니다. 마친 조각은 남아 있습니다.\n  이어 하기: 같은 명령에 --resume을 더하세요."
