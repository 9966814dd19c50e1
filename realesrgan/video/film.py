"""비디오 한 편을 키우는 일: 계획하고, 세 단계를 돌리고, 이어 붙인다."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass, field, replace
from fractions import Fraction
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np

from realesrgan.errors import UsageError, VideoDamagedError, VideoFormatError, VideoWriteError
from realesrgan.inference.frames import FrameFormat
from realesrgan.inference.yuv import known_matrix
from realesrgan.media.video import (
    SegmentWriter,
    Source,
    VideoReader,
    check_segment,
    check_tracks,
    join_video,
    plan_encoding,
)
from realesrgan.media.video.types import (
    EncodePlan,
    EncodeRequest,
    PacketIndex,
    Planes,
    Segment,
    VideoFrame,
    VideoInfo,
)
from realesrgan.util.files import file_sha256
from realesrgan.video.pictures import (
    SRGB,
    PictureSegmentWriter,
    PictureSequence,
    is_replaceable,
    join_pictures,
    rgb_layout,
)
from realesrgan.video.segments import Span, plan_spans
from realesrgan.video.sinks import SegmentSink, StreamSink, Tagged, Timing, Unfinished
from realesrgan.video.spool import SpooledInput
from realesrgan.video.stages import Entry, Stages, StageTimes
from realesrgan.video.timeline import pts_range, refuse_reset_clock
from realesrgan.video.workers import Worker
from realesrgan.video.workspace import SegmentRecord, Workspace, content_of

logger = logging.getLogger(__name__)

PICTURES = "pictures"
STREAM_CONTAINERS = ("nut", "yuv4mpegpipe")

FrameReader = VideoReader | PictureSequence


@dataclass(frozen=True)
class VideoSource:
    """키울 비디오가 오는 곳.

    Attributes:
        name: 사람에게 보일 이름.
        file: 비디오 파일의 경로나 표준 입력. 이미지 시퀀스면 None.
        pictures: 이미지들, 보일 차례대로. 비디오 파일이면 비어 있다.
        rate: 이미지의 초당 프레임.
    """

    name: str
    file: Source | None = None
    pictures: tuple[Path, ...] = ()
    rate: Fraction | None = None

    @property
    def is_stream(self) -> bool:
        """되감을 수 없는지."""
        return self.file is not None and not isinstance(self.file, (str, Path))

    def open(self, deinterlace: bool = False) -> FrameReader:
        """리더를 연다.

        Raises:
            VideoError, ImageReadError: 열 수 없을 때.
        """
        if self.file is None:
            return PictureSequence(self.pictures, self.name, self.rate)
        return VideoReader(self.file, deinterlace=deinterlace)

    def tracks(self, *, whole: bool) -> Source | None:
        """소리와 자막 등을 꺼낼 곳. 이미지뿐이면 None.

        Args:
            whole: 끝까지 키웠는지. 표준 입력이면 마지막 프레임 뒤의 소리까지 읽는다.
        """
        return self.file.spooled(to_the_end=whole) if isinstance(self.file, SpooledInput) else self.file

    @property
    def failure(self) -> BaseException | None:
        """표준 입력을 읽다가 난 예외. 없으면 None."""
        return self.file.failure if isinstance(self.file, SpooledInput) else None

    def close(self) -> None:
        """표준 입력에서 적어 둔 것을 지운다."""
        if isinstance(self.file, SpooledInput):
            self.file.discard()

    def digest(self) -> str:
        """내용의 해시."""
        if self.file is None:
            return ",".join(file_sha256(path)[:16] for path in self.pictures)
        return content_of(Path(self.file))[1]  # type: ignore[arg-type]


@dataclass(frozen=True)
class VideoTarget:
    """결과가 갈 곳.

    Attributes:
        path: 결과 파일이나 폴더(이미지 시퀀스). 표준 출력이면 None.
        container: FFmpeg의 컨테이너 이름, 또는 `pictures`.
        extension: 이미지 시퀀스일 때 점 없는 확장자.
    """

    path: Path | None
    container: str
    extension: str = "png"

    @property
    def partial_path(self) -> Path:
        """잘린 비디오의 성한 부분을 둘 이름."""
        if self.path is None:
            raise ValueError("표준 출력에는 이름이 없습니다.")
        return self.path.with_name(f"{self.path.stem}.partial{self.path.suffix}")


@dataclass(frozen=True)
class VideoSettings:
    """사용자가 정한 것.

    Attributes:
        outscale: 결과의 배율.
        request: 인코딩.
        start, end: 키울 구간(초). None은 처음과 끝.
        deinterlace: 비월(interlaced) 비디오를 펴서 키울지.
        network_alpha: 알파를 네트워크로 키울지.
    """

    outscale: float = 4.0
    request: EncodeRequest = field(default_factory=EncodeRequest)
    start: Fraction | None = None
    end: Fraction | None = None
    deinterlace: bool = False
    network_alpha: bool = True


@dataclass(frozen=True)
class VideoPlan:
    """비디오 한 편을 어떻게 키울지 정해진 것. 프로세스끼리 주고받을 수 있다.

    Attributes:
        info: 원본의 정보.
        encoding: 결과의 인코딩. 이미지 시퀀스면 배치와 크기만 뜻이 있다.
        spans: 조각들.
        start, end: 키울 구간(원본의 pts).
        deinterlace: 실제로 비월을 펼지.
        frames: 키울 프레임 수의 어림. 모르면 None.
        notes: 프레임이 아닌 것(소리, 자막, 첨부)을 담는 일에 대한 알림.
    """

    info: VideoInfo
    encoding: EncodePlan
    spans: tuple[Span, ...]
    start: int | None
    end: int | None
    deinterlace: bool
    frames: int | None
    notes: tuple[str, ...] = ()

    @property
    def source_format(self) -> FrameFormat:
        """들어오는 프레임의 모양."""
        return FrameFormat(self.info.layout, self.info.colour, self.info.width, self.info.height)

    @property
    def target_format(self) -> FrameFormat:
        """나가는 프레임의 모양."""
        plan = self.encoding
        return FrameFormat(plan.layout, plan.colour, plan.width, plan.height)

    @property
    def warnings(self) -> tuple[str, ...]:
        """사용자에게 알릴 것."""
        return (*self.info.warnings, *self.encoding.warnings, *self.notes)


@dataclass
class VideoRun:
    """한 프로세스가 한 일.

    Attributes:
        times: 단계마다의 시간.
        frames: 이번에 쓴 프레임 수.
        repeats: 그 가운데 앞 프레임과 같아 다시 계산하지 않은 수.
        damage: 원본이 깨졌거나 잘렸다면 그 까닭.
        unfinished: 깨진 곳까지만 온 조각.
    """

    times: StageTimes
    frames: int = 0
    repeats: int = 0
    damage: str | None = None
    unfinished: Unfinished | None = None


def plan_video(source: VideoSource, target: VideoTarget, settings: VideoSettings, reader: FrameReader) -> VideoPlan:
    """비디오 한 편의 계획을 세운다. 프레임은 풀지 않는다.

    Raises:
        VideoError: 읽거나 쓸 수 없는 비디오일 때.
        UsageError: 구간에 프레임이 없을 때.
    """
    info = reader.info
    if not known_matrix(info.colour.matrix) and info.layout.family == "yuv":
        raise VideoFormatError(
            f"색의 행렬 계수(matrix coefficients)를 다룰 수 없습니다: {info.name} (H.273의 {info.colour.matrix}번)\n"
            "  해결: 먼저 BT.709나 BT.2020(비고정 휘도)으로 바꾸세요."
        )
    deinterlace = _needs_deinterlacing(reader, settings.deinterlace)
    index = PacketIndex((), ()) if source.is_stream else reader.packet_index()
    start, end = pts_range(info, index, settings.start, settings.end)
    refuse_reset_clock(info, index, start, end)
    spans = [Span(start, end)] if target.container in STREAM_CONTAINERS else plan_spans(index, start, end)
    inside = sum((start is None or pts >= start) and (end is None or pts < end) for pts in index.pts)
    encoding = _plan_output(info, target, settings)
    return VideoPlan(
        info=info,
        encoding=encoding,
        spans=tuple(spans),
        start=start,
        end=end,
        deinterlace=deinterlace,
        frames=inside or (info.frames if start is None and end is None else None),
        notes=_track_notes(source, target, encoding),
    )


def _track_notes(source: VideoSource, target: VideoTarget, encoding: EncodePlan) -> tuple[str, ...]:
    """소리와 자막을 담을 수 있는지 미리 본다. 몇 시간을 키운 뒤 이을 때에야 알게 되지 않게 한다."""
    if target.container == PICTURES:
        return _picture_warnings(source)
    if source.file is None or source.is_stream or target.path is None:
        return ()
    return check_tracks(source.file, target.path, encoding)


def _needs_deinterlacing(reader: FrameReader, wanted: bool) -> bool:
    if isinstance(reader, PictureSequence):
        return False
    info, found = reader.info, reader.looks_interlaced()
    if found and not wanted:
        raise VideoFormatError(
            f"비월(interlaced) 비디오입니다: {info.name}\n"
            "  두 시각의 줄이 한 프레임에 섞여 있어 그대로 키우면 빗살 무늬가 커집니다.\n"
            "  해결: --deinterlace를 주어 펴서 키우세요."
        )
    if wanted and not found:
        logger.warning("비월 비디오가 아니므로 --deinterlace는 하지 않습니다: %s", info.name)
    return found


def output_size(info: VideoInfo, outscale: float) -> tuple[int, int]:
    """결과의 `(너비, 높이)`, 픽셀. 회전을 적용한 크기에 배율을 곱한다."""
    width, height = info.display_size
    return max(int(width * outscale), 1), max(int(height * outscale), 1)


def _plan_output(info: VideoInfo, target: VideoTarget, settings: VideoSettings) -> EncodePlan:
    width, height = output_size(info, settings.outscale)
    if target.container == PICTURES:
        layout = rgb_layout(8 if info.layout.bits == 8 or not _holds_16_bits(target) else 16, info.layout.alpha)
        return EncodePlan(PICTURES, target.extension, layout, SRGB, width, height, info.time_base, info.rate)
    plan = plan_encoding(info, settings.request, target.container, (width, height))
    across, down = plan.layout.subsampling
    even = (-(-width // across) * across, -(-height // down) * down)
    if even == (width, height):
        return plan
    # 색차를 반으로 줄이는 형식은 홀수 크기를 담지 못한다. 잘라 내지 않고 한 화소 키운다.
    note = f"{plan.layout.pix_fmt}은(는) 홀수 크기를 담지 못해 {width}x{height} 대신 {even[0]}x{even[1]}로 만듭니다."
    plan = plan_encoding(info, settings.request, target.container, even)
    return replace(plan, warnings=(*plan.warnings, note))


def _holds_16_bits(target: VideoTarget) -> bool:
    from realesrgan.media.formats import format_of_name

    found = format_of_name(f"x.{target.extension}")
    return found is not None and found.sixteen_bit


def fingerprint(
    source: VideoSource, plan: VideoPlan, settings: VideoSettings, engine: dict[str, Any]
) -> dict[str, Any]:
    """결과를 정하는 모든 것. 하나라도 다르면 이어 할 수 없다. 이름은 사람이 읽는다."""
    encoding = {name: str(value) for name, value in asdict(plan.encoding).items() if name != "warnings"}
    return {
        "입력": source.digest(),
        "배율": settings.outscale,
        "구간": [plan.start, plan.end],
        "비월 제거": plan.deinterlace,
        "알파": settings.network_alpha,
        "프레임 속도": str(settings.request.rate),
        "인코딩": encoding,
        **engine,
    }


def segment_frames(
    reader: FrameReader, spans: Sequence[Span], claim: Callable[[], int | None], damage: Callable[[str], None]
) -> Iterator[Entry[Tagged]]:
    """맡은 조각들의 프레임을 차례로 낸다. 조각이 다 오면 표시 하나를 더 낸다.

    Args:
        reader: 리더.
        spans: 조각들.
        claim: 다음에 맡을 조각의 번호를 주는 함수. 없으면 None.
        damage: 원본이 깨졌을 때 까닭을 받는 함수. 그 뒤로는 더 내지 않는다.
    """
    try:
        yield from _claimed_frames(reader, spans, claim)
    except VideoDamagedError as error:
        damage(str(error))


def _claimed_frames(
    reader: FrameReader, spans: Sequence[Span], claim: Callable[[], int | None]
) -> Iterator[Entry[Tagged]]:
    number = claim()
    while number is not None:
        # 이웃한 조각을 이어 맡는 동안은 되감지 않고 풀던 것을 계속 푼다.
        with closing(reader.frames(spans[number].start, spans[-1].end)) as frames:  # type: ignore[type-var]
            previous: VideoFrame | None = None
            following: int | None = None
            for frame in frames:
                if not spans[number].holds(frame.pts):
                    yield Entry(Tagged(number, None), repeats=True)
                    following, previous = claim(), None
                    if following is None or following != number + 1 or not spans[following].holds(frame.pts):
                        break
                    number = following
                repeats = previous is not None and _same(previous.planes, frame.planes)
                yield Entry(Tagged(number, frame, repeats), repeats=repeats)
                previous = frame
            else:
                yield Entry(Tagged(number, None), repeats=True)
                following = claim()
        number = following


def _same(first: Planes, second: Planes) -> bool:
    return all(np.array_equal(a, b) for a, b in zip(first, second, strict=True))


def run_video(
    reader: FrameReader,
    plan: VideoPlan,
    workers: Sequence[Worker],
    sink: SegmentSink | StreamSink,
    claim: Callable[[], int | None],
    *,
    batch: int = 1,
    tick: Callable[[], None] | None = None,
) -> VideoRun:
    """맡은 조각들을 모두 키운다.

    Args:
        reader: 리더.
        plan: 계획.
        workers: 프레임들을 키우는 함수들.
        sink: 키운 프레임이 가는 곳.
        claim: 다음에 맡을 조각의 번호를 주는 함수. 없으면 None.
        batch: 작업자가 한 번에 키울 프레임 수.
        tick: 기다리는 동안 이따금 불리는 함수.

    Raises:
        RealESRGANError: 키우거나 쓸 수 없을 때. 마친 조각은 남아 있다.
        KeyboardInterrupt: 사용자가 멈추었을 때. 마친 조각은 남아 있다.
    """
    run = VideoRun(StageTimes())

    def note(reason: str) -> None:
        run.damage = reason

    def consume(tagged: Tagged, planes: Planes) -> None:
        sink.write(tagged, planes)
        if tagged.frame is not None:
            run.frames += 1
            run.repeats += tagged.repeats

    frame_workers = [partial(_upscale_tagged, worker) for worker in workers]
    entries = segment_frames(reader, plan.spans, claim, note)
    stages: Stages[Tagged, Planes] = Stages(entries, frame_workers, consume, batch=batch)
    try:
        run.times = stages.run(tick)
        run.unfinished = sink.finish()
    except BaseException:
        sink.abort()
        raise
    return run


def _upscale_tagged(worker: Worker, group: list[Tagged]) -> list[Planes]:
    return worker([tagged.frame for tagged in group if tagged.frame is not None])


def segment_writer(plan: VideoPlan, target: VideoTarget) -> Callable[[Path], Any]:
    """조각의 라이터를 여는 함수."""
    if target.container == PICTURES:
        return lambda path: PictureSegmentWriter(path, target.extension)
    return lambda path: SegmentWriter(path, plan.encoding)


def timing_of(plan: VideoPlan, settings: VideoSettings) -> Timing:
    """결과의 시각을 정하는 법."""
    rate = settings.request.rate if plan.encoding.container != PICTURES else None
    return Timing.of(plan.info, plan.encoding.time_base, rate)


def join_segments(
    source: VideoSource,
    target: VideoTarget,
    plan: VideoPlan,
    workspace: Workspace,
    timing: Timing,
    unfinished: Unfinished | None = None,
    *,
    whole: bool = True,
) -> tuple[tuple[str, ...], int]:
    """조각을 확인하고 이어 붙여 결과를 놓는다.

    Args:
        source: 원본. 소리와 자막 등이 여기서 온다.
        target: 결과가 갈 곳.
        plan: 계획.
        workspace: 작업 폴더.
        timing: 시각을 정하는 법.
        unfinished: 깨진 곳까지만 온 조각.
        whole: 온전한 비디오인지. 아니면 성한 부분만 `.partial` 이름으로 놓는다.

    Returns:
        담지 못한 것들과, 결과의 프레임 수.

    Raises:
        VideoDamagedError: 조각이 상했을 때. 이어 하면 다시 만든다.
        VideoWriteError: 쓸 수 없을 때.
    """
    records = _usable_records(plan, workspace, unfinished, whole)
    path = target.path if whole else target.partial_path
    if path is None:
        raise UsageError("표준 출력에는 이어 붙이지 않습니다.")
    if target.container == PICTURES:
        if path.exists() and not is_replaceable(path):
            raise VideoWriteError(
                f"결과의 자리에 다른 파일이 있습니다: {path}\n  해결: 그 폴더를 옮기고 --resume으로 다시 실행하세요."
            )
        count = join_pictures([workspace.segment_path(record.index) for record in records], path, target.extension)
        return _picture_warnings(source), count
    segments = _placed(records, workspace, timing, plan)
    warnings = join_video(
        segments,
        source.tracks(whole=plan.end is None),
        path,
        plan.encoding,
        plan.info,
        start=plan.start,
        end=plan.end,
        partial=not whole,
    )
    return warnings, sum(record.frames for record in records)


def _usable_records(
    plan: VideoPlan, workspace: Workspace, unfinished: Unfinished | None, whole: bool
) -> list[SegmentRecord]:
    """이어 붙일 조각들. 성한 부분만이면 처음부터 빠짐없이 이어지는 데까지다."""
    found = workspace.verified()
    usable: list[SegmentRecord] = []
    for index in range(len(plan.spans)):
        if index not in found:
            break
        usable.append(found[index])
    if whole and len(usable) < len(plan.spans):
        raise VideoDamagedError(
            f"작업 폴더의 조각이 상했습니다: {workspace.segment_path(len(usable))}\n"
            "  해결: --resume으로 다시 실행하면 상한 조각만 다시 만듭니다."
        )
    if unfinished is not None and unfinished.index == len(usable):
        usable.append(SegmentRecord(unfinished.index, unfinished.frames, unfinished.offset, 0, 0, ""))
    return [record for record in usable if record.frames]


def _placed(records: Sequence[SegmentRecord], workspace: Workspace, timing: Timing, plan: VideoPlan) -> list[Segment]:
    """조각마다 놓일 시각을 정하고, 파일이 풀리는지 본다."""
    placed: list[Segment] = []
    before = 0
    for record in records:
        path = workspace.segment_path(record.index)
        counted = check_segment(path, plan.encoding)
        if counted != record.frames:
            raise VideoDamagedError(
                f"작업 폴더의 조각이 상했습니다: {path} (프레임 {counted}/{record.frames}개)\n"
                "  해결: 그 파일을 지우고 --resume으로 다시 실행하세요."
            )
        offset = record.offset if timing.step is None else before * timing.step
        placed.append(Segment(str(path), offset, record.frames))
        before += record.frames
    return placed


def _picture_warnings(source: VideoSource) -> tuple[str, ...]:
    if source.file is None:
        return ()
    return ("이미지 시퀀스에는 소리, 자막, 시각, 회전 정보가 담기지 않습니다. 프레임만 차례대로 놓았습니다.",)


TileChoice = int | Literal["auto"]


def recorded_tile(workspace: Workspace) -> int | None:
    """하다 만 작업이 쓰던 타일. 남은 메모리가 그때와 달라도 같은 결과가 나오게 한다."""
    found = workspace.manifest()
    tile = None if found is None else found.get("fingerprint", {}).get("타일")
    return tile if isinstance(tile, int) else None
