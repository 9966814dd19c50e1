"""비디오 한 편을 키운다: 계획하고, 세 단계를 돌리고, 이어 붙인다."""

from __future__ import annotations

import logging
import os
import secrets
import sys
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing, nullcontext
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import partial
from itertools import takewhile
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, TypeVar

from realesrgan.errors import RealESRGANError, UsageError, VideoDamagedError
from realesrgan.inference.model import Model
from realesrgan.media.video.messages import lost_messages
from realesrgan.media.video.types import Hole, Segment
from realesrgan.util.files import describe_system_error, folder_size, hidden_beside, identity
from realesrgan.util.machine import available_cores
from realesrgan.util.numbers import scale_factor
from realesrgan.video.frame_store import FrameStore, is_worth_keeping
from realesrgan.video.parts import find_parts, upscale_parts
from realesrgan.video.pipeline import PartialSegment, SegmentSink, VideoRun, run_stages
from realesrgan.video.plan import IMAGE_NOTE, Span, VideoPlan, fingerprint, plan_video
from realesrgan.video.settings import (
    ANIMATION,
    IMAGES,
    PICTURES,
    Processes,
    Progress,
    VideoProgress,
    VideoResult,
    VideoSettings,
    VideoSource,
    VideoTarget,
    find_source,
    find_target,
    refuse_existing,
)
from realesrgan.video.sharing import run_share
from realesrgan.video.workers import (
    WorkerPlan,
    as_models,
    engine_place,
    make_workers,
    model_identity,
    plan_workers,
    with_engine,
)
from realesrgan.video.workspace import SegmentRecord, Workspace, lock_target

if TYPE_CHECKING:
    from realesrgan.media.video import VideoReader
    from realesrgan.video.image_sequence import ImageSequence

logger = logging.getLogger(__name__)

T = TypeVar("T")


@dataclass(frozen=True)
class Assignment:
    """한 편을 시작하기 전에 이끄는 프로세스가 정해 모두에게 알리는 것.

    Attributes:
        plan: 계획.
        workers: 장치마다의 작업자.
        outscale: 쓸 배율.
        remaining: 아직 하지 않은 조각의 번호.
        done: 이미 끝난 조각들.
        frames_done: 이미 끝난 프레임 수.
        key: 조각을 나누어 맡을 때 쓸, 이 일만의 이름.
        engine: 엔진의 `(이름, 장치의 종류, 정밀도)`. 저마다 고르면 프로세스마다 다를 수 있다.
    """

    plan: VideoPlan
    workers: WorkerPlan
    outscale: float
    remaining: tuple[int, ...]
    done: dict[int, SegmentRecord]
    frames_done: int
    key: str
    engine: tuple[str, str, str]


def upscale_video(
    source: str | os.PathLike[str] | BinaryIO | VideoSource,
    target: str | os.PathLike[str] | BinaryIO | VideoTarget,
    *,
    model: Model | str | os.PathLike[str] | Sequence[Model],
    settings: VideoSettings = VideoSettings(),  # noqa: B008 - 바뀌지 않는 값이다
    progress: Progress | None = None,
    processes: Processes | None = None,
) -> VideoResult:
    """비디오 한 편을 키운다.

    결과는 다 된 뒤에야 제 이름으로 나타난다. 도중에 멈추어도 마친 조각은 결과 곁의 작업 폴더에 남아
    `VideoSettings(resume=True)`로 이어 할 수 있다.

    Args:
        source: 비디오 파일, 이미지가 차례대로 든 폴더, 또는 되감을 수 없는 바이너리 파일 객체.
        target: 결과 파일(.mp4 .mkv .mov .webm), 이미지가 들 폴더, 또는 바이너리 파일 객체(압축하지 않은 NUT).
        model: 모델, 또는 `realesrgan.load`가 받는 이름이나 경로. 모델이 여럿이면 장치마다 하나씩이다.
        settings: 설정.
        progress: 부른 스레드에서 이따금 `VideoProgress`를 받는 함수.
        processes: 조각을 나누어 맡을 프로세스들. None이면 혼자 한다.

    Returns:
        결과. 원본이 깨졌거나 잘렸으면 성한 부분을 `.partial` 이름으로 남기고 상태가 `failed`다.

    Raises:
        UsageError: 입력이나 결과의 경로, 구간, 이어 하기가 맞지 않을 때.
        VideoError: 읽거나 쓸 수 없을 때.
        KeyboardInterrupt: 사용자가 멈추었을 때.

    예:
        >>> import realesrgan
        >>> settings = realesrgan.VideoSettings(outscale=2, overwrite=True)
        >>> made = realesrgan.upscale_video("assets/pan.mp4", target, model="realesr-animevideov3", settings=settings)
        >>> made.frames, made.output_size
        (24, (192, 108))
    """
    began = time.perf_counter()
    if not isinstance(settings, VideoSettings):
        raise UsageError(
            f"settings는 VideoSettings여야 합니다: {type(settings).__name__}\n"
            "  해결: realesrgan.VideoSettings(outscale=2)처럼 주세요."
        )
    found = source if isinstance(source, VideoSource) else find_source(source, settings.fps)
    place = target if isinstance(target, VideoTarget) else find_target(target)
    if place.path is not None and not found.is_stream and identity(Path(found.name)) == identity(place.path):
        raise UsageError(f"결과가 입력을 덮어씁니다: {place.path}\n  해결: 결과에 다른 이름을 주세요.")
    workspace = None if place.path is None else Workspace(hidden_beside(place.path))
    # 혼자면 정한 것을 나누고 모으는 일이 없다.
    together = processes if processes is not None and processes.size > 1 else None
    if settings.on_change == "split" and settings.shard_segments[1] > 1:
        raise UsageError(
            "화면이 바뀌는 곳에서 나눈 결과들은 조각을 다시 나눌 수 없습니다.\n"
            "  해결: on_change는 stop이나 scale로 두고 shard_segments를 쓰세요."
        )
    if settings.on_change == "split":
        cuts = agree(together, partial(find_parts, found, place, settings))
        if len(cuts) > 1:
            each = partial(upscale_video, found, model=as_models(model), processes=processes)
            made = upscale_parts(cuts, place, settings, progress, each)
            return replace(made, seconds=round(time.perf_counter() - began, 3))
        settings = replace(settings, on_change="stop")
    task = VideoTask(found, place, as_models(model), settings, progress, together, workspace)
    if settings.shard_segments[1] > 1:
        return replace(run_share(task), seconds=round(time.perf_counter() - began, 3))
    result = task.run_stream() if found.is_stream else task.finished_before() if settings.resume else None
    return replace(result or task.run(), seconds=round(time.perf_counter() - began, 3))


@dataclass
class VideoTask:
    """한 편을 키우는 동안 함께 쓰는 것.

    Attributes:
        source, target, models, settings, progress: `upscale_video`의 인자와 같다.
        processes: 조각을 나누어 맡을 둘 이상의 프로세스. 혼자면 None.
        workspace: 작업 폴더. 표준 출력이면 None.
        loop, tail: 움직이는 이미지인 원본의 재생 횟수(0은 끝없이)와 마지막 프레임의 길이(밀리초).
    """

    source: VideoSource
    target: VideoTarget
    models: tuple[Model, ...]
    settings: VideoSettings
    progress: Progress | None
    processes: Processes | None
    workspace: Workspace | None
    loop: int = 0
    tail: int | None = None

    def finished_before(self) -> VideoResult | None:
        """이어 하려는데 결과가 이미 있고 남은 일이 없으면 그렇다는 결과.

        Raises:
            UsageError: 있는 결과의 크기나 길이가 지금의 설정이 만들 것과 다를 때. 몇 초만 먼저 해 본 것을 다 한 것으로
                보지 않는다.
        """
        path, workspace = self.target.path, self.workspace
        finished = path is not None and path.exists() and workspace is not None and workspace.manifest() is None
        if self.processes is not None:
            finished = self.processes.broadcast(finished)
        if not finished:
            return None
        agree(self.processes, self.check_finished)
        reason = "결과가 이미 있고 이어 할 일이 없습니다."
        return VideoResult(self.source.name, str(path), "skipped", model=self.models[0].name, reason=reason)

    def check_finished(self) -> None:
        """있는 결과가 지금의 설정이 만들 것과 크기와 길이가 같은지 본다. 읽을 수 없는 결과는 건드리지 않고 둔다."""
        settings, scale = self.settings, self.models[0].scale
        with closing(self.source.open()) as reader:
            plan = plan_video(self.source, self.target, settings, reader, settings.outscale or scale, scale)
            wanted = _extent(reader, Span(plan.start, plan.end))
        try:
            with closing(find_source(str(self.target.path), wanted.rate).open()) as made:
                size, found = made.info.display_size, _extent(made, Span())
        except RealESRGANError as error:
            logger.info("있는 결과를 읽을 수 없어 견주지 않습니다: %s", error)
            return
        planned = (plan.encoding.width, plan.encoding.height)
        # 깨진 곳을 지나거나 속도를 바꾸면 길이가 원본과 다를 수 있다. 움직이는 이미지는 마지막 프레임의 길이를 모른다.
        loose = settings.on_damage == "continue" or settings.retime or self.target.container in PICTURES
        slack = max(0.5, wanted.seconds / 50, float(2 / min(wanted.rate, found.rate)))
        if size == planned and (abs(found.seconds - wanted.seconds) <= slack or (loose and found.frames > 1)):
            return
        told = [f"{w}x{h}, {span.seconds:.1f}초" for (w, h), span in ((size, found), (planned, wanted))]
        raise UsageError(
            f"이미 있는 결과가 지금의 설정으로 만든 것이 아닙니다: {self.target.path}\n"
            f"  이유: 있는 것은 {told[0]}, 만들 것은 {told[1]}입니다.\n"
            "  해결: --overwrite로 새로 만들거나, -o나 --suffix로 다른 이름을 주세요."
        )

    def run_stream(self) -> VideoResult:
        """되감을 수 없는 입력을 키운다. 비디오 파일로 만들 때는 소리를 꺼낼 수 있게 적어 두며 읽는다."""
        from realesrgan.video.input_copy import InputCopy

        to_video = self.target.path is not None and self.target.container not in PICTURES
        folder = self.target.path.parent if to_video and self.target.path is not None else None
        with InputCopy(self.source.file, folder) as copied:  # type: ignore[arg-type]
            self.source = replace(self.source, file=copied)  # type: ignore[arg-type]
            try:
                return self.run()
            except BaseException as error:
                # 읽다가 난 예외는 비디오 라이브러리를 지나며 다른 것으로 바뀌어 온다.
                if copied.failure is not None:
                    raise copied.failure from error
                raise

    def run(self) -> VideoResult:
        """계획하고, 맡은 조각들을 키우고, 모두 끝나면 이어 붙인다."""
        leads, path = self.processes is None or self.processes.leads, self.target.path
        # 되감을 수 없는 입력은 한 번만 열 수 있으므로 정할 때 연 것을 그대로 쓴다.
        with lock_target(path) if leads and path is not None else nullcontext(), closing(self.source.open()) as reader:
            if self.processes is not None:
                return self.run_together(reader, self.processes)
            try:
                work = self.assign(reader)
                run = self.upscale(work, reader, partial(next, iter(work.remaining), None))
                return self.finish(work, [run])
            except BaseException:
                # 키운 것이 없으면 이어 할 것도 없으므로 빈 작업 폴더를 남기지 않는다.
                if self.workspace is not None and not is_worth_keeping(self.workspace):
                    self.workspace.remove()
                raise

    def run_together(self, reader: VideoReader | ImageSequence, processes: Processes) -> VideoResult:
        """이끄는 프로세스가 정하고, 모두가 먼저 온 차례로 조각을 맡고, 이끄는 프로세스가 이어 붙인다."""
        work = agree(processes, lambda: self.assign(reader))
        self.models = with_engine(self.models, work.engine)

        def claim() -> int | None:
            position = processes.claim(work.key)
            return work.remaining[position] if position < len(work.remaining) else None

        shared = processes.gather(attempt(lambda: self.upscale(work, reader, claim)))
        for _, problem in shared:
            if problem is not None:
                raise problem
        return agree(processes, lambda: self.finish(work, [run for run, _ in shared if run is not None]))

    def assign(self, reader: VideoReader | ImageSequence) -> Assignment:
        """한 편의 계획을 세우고 작업 폴더를 연다.

        Raises:
            RealESRGANError: 읽거나 쓸 수 없을 때.
        """
        settings, path, workspace = self.settings, self.target.path, self.workspace
        if settings.resume and workspace is not None and (engine := workspace.recorded_engine()) is not None:
            self.models = with_engine(self.models, engine)
        outscale, model = settings.outscale or self.models[0].scale, self.models[0]
        # 옵션을 먼저 보고 나서 있는 결과를 본다. 잘못된 코덱이 "결과가 이미 있습니다"에 가려지지 않게 한다.
        plan = plan_video(self.source, self.target, settings, reader, outscale, model.scale)
        factor = round(float(scale_factor(outscale, *plan.info.display_size)), 6)
        if path is not None and path.exists():
            refuse_existing(path, self.target.container, allowed=settings.overwrite or settings.resume)
        kept = workspace.recorded_tile() if workspace is not None and settings.resume else None
        cores = max(available_cores() // (1 if self.processes is None else self.processes.local_size), 1)
        workers = plan_workers(model, plan.largest_input, settings, cores=cores, tile=kept)
        done: dict[int, SegmentRecord] = {}
        if path is not None and workspace is not None:
            marks = fingerprint(plan, settings, {**model_identity(model), "타일": workers.tile}, factor)
            overwrite = settings.overwrite or self.source.is_stream
            left = workspace.folder.is_dir() and is_worth_keeping(workspace)
            done = workspace.prepare(
                path,
                marks,
                plan.spans,
                resume=settings.resume,
                overwrite=overwrite,
                unfinished=left,
                shared=settings.shard_segments[1] > 1,
            )
        remaining = tuple(index for index in range(len(plan.spans)) if index not in done)
        frames = sum(record.frames for record in done.values())
        for warning in plan.warnings:
            logger.warning("%s", warning)
        key = f"video/{secrets.token_hex(8)}"
        used = (model.engine.name, engine_place(model.engine).type, model.engine.precision)
        return Assignment(plan, workers, factor, remaining, done, frames, key, used)

    def upscale(
        self, work: Assignment, reader: VideoReader | ImageSequence, claim: Callable[[], int | None]
    ) -> VideoRun:
        """맡은 조각들을 키운다."""
        plan, settings, workspace = work.plan, self.settings, self.workspace
        total = None if plan.frames is None else max(plan.frames, work.frames_done)
        preview: Any = None
        if settings.preview is not None and (self.processes is None or self.processes.leads):
            from realesrgan.video.preview import Preview

            preview = Preview(settings.preview, plan.encoding)
        sink = SegmentSink(
            workspace,
            open_writer(plan, self.target),
            plan.timing,
            watch=None if preview is None else preview.offer,
        )

        def tick() -> None:
            if self.progress is not None:
                size = 0 if workspace is None else folder_size(workspace.folder)
                shown = None if preview is None else preview.written
                self.progress(VideoProgress(work.frames_done + sink.run.frames, total, work.frames_done, size, shown))

        # 이끌지 않는 프로세스의 리더도 계획에 맞춘다.
        if plan.deinterlace:
            reader.deinterlace = plan.deinterlace
        reader.keep_going, reader.fit_changes = settings.on_damage == "continue", settings.on_change == "scale"
        self.loop, self.tail = getattr(reader, "loop", 0), getattr(reader, "tail", None)
        workers = make_workers(self.models, work.workers, plan, settings)
        keeps = workspace is not None and self.target.container not in PICTURES
        sink.store = FrameStore(workspace) if workspace is not None and keeps else None
        stored = sink.store if settings.resume else None
        run = run_stages(reader, plan.spans, workers, sink, claim, stored=stored, batch=work.workers.batch, tick=tick)
        tick()
        # 한 장치의 작업자들은 프레임을 키우는 것을 함께 쓴다.
        for counts in {id(worker.upscale): worker.upscale.counts for worker in workers}.values():
            run.counts.update(counts)
        run.preview = None if preview is None else preview.written
        return run

    def finish(self, work: Assignment, runs: Sequence[VideoRun]) -> VideoResult:
        """조각을 이어 결과를 놓고 보고할 것을 모은다."""
        result = describe_runs(self, work, runs)
        damage = next((run.damage for run in runs if run.damage is not None), None)
        holes = result.holes
        status = "done" if damage is None and not holes else "failed"
        workspace = self.workspace
        if damage is None and holes:
            result = replace(result, reason=describe_holes(self.source.name, holes))
        if workspace is None:
            return replace(result, status=status, reason=damage or result.reason)
        if damage is not None and result.frames == 0:
            workspace.remove()
            return replace(result, status=status, reason=damage)
        records = work.done | {record.index: record for run in runs for record in run.records}
        last = next((run.partial for run in runs if run.partial is not None), None)
        notes, frames = self.join(work.plan, workspace, records, last, whole=damage is None)
        if self.target.container not in PICTURES:
            # 첫 프레임에는 없다가 나중에 나온 것이다. 처음부터 알던 것과 글이 같다.
            captions, hdr10plus = any(run.captions for run in runs), any(run.hdr10plus for run in runs)
            if captions or hdr10plus:
                notes += tuple(lost_messages(captions, hdr10plus, work.plan.encoding.codec))
        workspace.remove()
        if damage is not None:
            kept = self.target.partial_path
            result = replace(result, output=str(kept), reason=f"{damage}\n  성한 부분을 남겼습니다: {kept}")
        return replace(result, status=status, frames=frames, notes=tuple(dict.fromkeys((*result.notes, *notes))))

    def join(
        self,
        plan: VideoPlan,
        workspace: Workspace,
        records: Mapping[int, SegmentRecord],
        last: PartialSegment | None = None,
        *,
        whole: bool = True,
    ) -> tuple[tuple[str, ...], int]:
        """조각을 확인하고 이어 붙여 결과를 놓는다.

        Args:
            plan: 계획.
            workspace: 작업 폴더.
            records: 마친 조각들의 기록.
            last: 깨진 곳까지만 온 조각.
            whole: 온전한 비디오인지. 아니면 성한 부분만 `.partial` 이름으로 놓는다.

        Returns:
            담지 못한 것들과, 결과의 프레임 수.

        Raises:
            VideoDamagedError: 조각이 상했을 때. 이어 하면 다시 만든다.
            VideoWriteError: 쓸 수 없을 때.
        """
        target = self.target
        usable = [records[index] for index in takewhile(records.__contains__, range(len(plan.spans)))]
        if whole and len(usable) < len(plan.spans):
            raise VideoDamagedError(
                f"작업 폴더의 조각이 상했습니다: {workspace.segment_path(len(usable))}\n"
                "  해결: --resume으로 다시 실행하면 상한 조각만 다시 만듭니다."
            )
        if last is not None and last.index == len(usable):
            usable.append(SegmentRecord(last.index, last.frames, last.offset, 0, 0, "", times=last.times))
        usable = [record for record in usable if record.frames]
        path = target.path if whole and target.path is not None else target.partial_path
        if target.container in PICTURES:
            return self.join_pictures(
                plan, [(workspace.segment_path(item.index), item.offset) for item in usable], path
            )
        from realesrgan.media.video.join import join_video

        timing, before = plan.timing, 0
        segments: list[Segment] = []
        for record in usable:
            offset = record.offset if timing.step is None else before * timing.step
            segments.append(Segment(str(workspace.segment_path(record.index)), offset, record.times))
            before += record.frames
        tracks: Any = None if self.source.is_animation else self.source.file
        if self.source.is_stream:
            # 마지막 프레임 뒤에도 소리가 남아 있을 수 있으므로 끝까지 키웠으면 남은 입력도 읽는다.
            tracks = tracks.copied(to_the_end=plan.end is None)
        warnings = join_video(
            segments,
            tracks,
            path,
            plan.encoding,
            plan.info,
            start=plan.start,
            end=plan.end,
            partial=not whole,
            speed=None if timing.step is None else (self.settings.fps or plan.info.rate) / plan.info.rate,
            tolerant=self.settings.on_damage == "continue",
            resets=plan.resets,
        )
        return warnings, before

    def join_pictures(
        self, plan: VideoPlan, parts: Sequence[tuple[Path, int]], path: Path
    ) -> tuple[tuple[str, ...], int]:
        """조각 폴더와 그 시각들을 이미지 시퀀스나 움직이는 이미지로 잇는다. 돌려주는 것은 `join`과 같다."""
        if self.target.container == IMAGES:
            from realesrgan.video.image_sequence import join_images

            frames = join_images([folder for folder, _ in parts], path, self.target.extension)
            return () if self.source.images or self.source.is_animation else (IMAGE_NOTE,), frames
        from realesrgan.video.animation import join_animation

        tail = round(1000 / (self.settings.fps or plan.info.rate))
        if self.tail is not None and self.settings.fps is None and plan.end is None:
            tail = self.tail
        return join_animation(parts, path, plan.timing.target, tail, self.loop)


@dataclass(frozen=True)
class _Extent:
    """연 비디오의 한 구간.

    Attributes:
        frames: 프레임 수.
        seconds: 첫 프레임부터 마지막 프레임까지(초). 마지막 프레임의 길이는 모르는 파일이 많아 세지 않는다.
        rate: 초당 프레임.
    """

    frames: int
    seconds: float
    rate: Fraction


def _extent(reader: VideoReader | ImageSequence, span: Span) -> _Extent:
    info = reader.info
    inside = [pts for pts in reader.packet_index().pts if span.holds(pts)]
    seconds = (inside[-1] - inside[0]) * info.time_base if inside else 0
    return _Extent(len(inside), float(seconds), info.rate)


def attempt(work: Callable[[], T]) -> tuple[T | None, Exception | None]:
    """일을 하고, 실패하면 예외를 값으로 돌려준다. 다른 프로세스와 모은 뒤에 함께 알린다."""
    try:
        return work(), None
    except RealESRGANError as error:
        return None, type(error)(str(error))
    except Exception as error:
        # 아무 예외나 다른 프로세스에 보낼 수는 없다. 뜻밖의 것은 흔적을 여기에 남기고 글만 보낸다.
        reason = describe_system_error(error)
        if reason is None:
            logger.error("뜻밖의 오류입니다.", exc_info=error)
        return None, RealESRGANError(reason or f"뜻밖의 오류입니다: {type(error).__name__}: {error}")


def agree(processes: Processes | None, work: Callable[[], T]) -> T:
    """이끄는 프로세스가 일을 하고 그 결과나 예외를 모두가 함께 갖는다. 혼자면 그냥 한다."""
    if processes is None:
        return work()
    value, problem = processes.broadcast(attempt(work) if processes.leads else None)
    if problem is not None:
        raise problem
    return value  # type: ignore[return-value]


def open_writer(plan: VideoPlan, target: VideoTarget) -> Callable[[Any], Any]:
    """조각의 경로(표준 출력이면 None)를 받아 라이터를 여는 함수."""
    if target.container in PICTURES:
        from realesrgan.video.image_sequence import ImageSegmentWriter

        timed = target.container == ANIMATION
        return lambda path: ImageSegmentWriter(path, target.extension, timed)
    if target.path is None:
        from realesrgan.media.video.stream import StreamWriter

        return lambda _path: StreamWriter(target.stream or sys.stdout.buffer, plan.encoding)
    from realesrgan.media.video.segment import SegmentWriter

    return lambda path: SegmentWriter(path, plan.encoding)


def describe_runs(task: VideoTask, work: Assignment, runs: Sequence[VideoRun]) -> VideoResult:
    """무엇을 어떻게 했는지 모은 결과."""
    plan = work.plan
    stages: dict[str, Any] = {
        name: {kind: round(sum(getattr(run.times, kind)[name] for run in runs), 3) for kind in ("busy", "waiting")}
        for name in ("decode", "network", "encode")
    }
    stages["wall"] = round(max(run.times.wall for run in runs), 3)
    stages["workers"] = sum(run.times.workers for run in runs)
    stages |= {"threads": work.workers.threads, "batch": work.workers.batch, "tile": work.workers.tile}
    preview = next((run.preview for run in runs if run.preview is not None), None)
    counts: Counter[str] = Counter()  # 0인 것도 남는다.
    for run in runs:
        counts.update(run.counts)
    holes = [hole for record in work.done.values() for hole in record.holes] + [
        hole for run in runs for hole in run.holes
    ]
    return VideoResult(
        input=task.source.name,
        output="표준 출력" if task.target.path is None else str(task.target.path),
        status="done",
        model=task.models[0].name,
        outscale=work.outscale,
        frames=work.frames_done + sum(run.frames for run in runs),
        repeats=sum(run.repeats for run in runs),
        resumed=work.frames_done,
        input_size=plan.info.display_size,
        output_size=(plan.encoding.width, plan.encoding.height),
        codec=plan.encoding.codec,
        pix_fmt=plan.encoding.layout.pix_fmt,
        container=plan.encoding.container,
        stages=stages,
        preview=None if preview is None else str(preview),
        steps=plan.steps,
        counts=dict(counts),
        runs=getattr(task.models[0].engine, "runs", 1),
        backend=task.models[0].engine.name,
        device=str(engine_place(task.models[0].engine)),
        precision=task.models[0].engine.precision,
        notes=plan.warnings,
        holes=tuple(sorted(dict.fromkeys(holes), key=lambda hole: hole.start)),
    )


_SHOWN_HOLES = 10


def describe_holes(name: str, holes: Sequence[Hole]) -> str:
    """깨진 곳들을 지나 만든 결과에 붙일 말."""
    lost, more = sum(hole.frames for hole in holes), len(holes) - _SHOWN_HOLES
    shown = [*map(str, holes[:_SHOWN_HOLES]), *([f"그 밖에 {more}곳"] if more > 0 else [])]
    return (
        f"원본의 깨진 곳 {len(holes)}곳을 지나 끝까지 만들었습니다: {name}\n"
        f"  잃은 프레임 {lost}개의 자리에는 앞 프레임을 되풀이했습니다. 그 뒤의 키프레임까지 뭉개져 보일 수 있습니다.\n"
        + "".join(f"  {line}\n" for line in shown)
        + "  해결: 성한 원본이 있으면 그것으로 다시 하세요."
    )
