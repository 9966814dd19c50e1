"""조각들을 이어 비디오 하나로 만들고, 원본의 나머지 스트림을 함께 담는다."""

from __future__ import annotations

import os
from collections import Counter, deque
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing, nullcontext
from dataclasses import dataclass, replace
from fractions import Fraction
from heapq import merge
from itertools import pairwise
from operator import itemgetter
from pathlib import Path
from typing import Any

from realesrgan.errors import VideoReadError, VideoWriteError
from realesrgan.media.video.damage import file_shortage
from realesrgan.media.video.files import (
    Source,
    import_av,
    korean_write_errors,
    local_url,
    open_container,
    settle,
)
from realesrgan.media.video.marks import MARKED_CONTAINERS, drop_spatial_box, mark_boxes, marked
from realesrgan.media.video.segment import (
    ALPHA_HEADER,
    ALPHA_SIDE_DATA,
    broken_segment,
    muxer_options,
)
from realesrgan.media.video.tracks import (
    MP4_TAGS,
    VIDEO_DROPPED,
    Tracks,
    open_tracks,
    spoiled_notes,
    stream_label,
)
from realesrgan.media.video.types import EncodePlan, Segment, VideoInfo, Window
from realesrgan.util.files import hidden_beside


@dataclass(frozen=True)
class _Timing:
    """비디오 전체의 시각.

    Attributes:
        delay: 인코딩 순서와 보이는 순서의 어긋남(프레임 수).
        origin: 결과의 0이 될 시각(계획의 `time_base`).
        step: 한 프레임의 보통 길이(눈금).
    """

    delay: int
    origin: int
    step: int


def join_video(
    segments: Sequence[Segment],
    source: Source | None,
    target: Path,
    plan: EncodePlan,
    info: VideoInfo | None,
    *,
    start: int | None = None,
    end: int | None = None,
    partial: bool = False,
    tolerant: bool = False,
    speed: Fraction | None = None,
    resets: tuple[Fraction, ...] = (),
) -> tuple[str, ...]:
    """조각들의 패킷을 그대로 이어 `target`에 쓴다. 원본의 소리, 자막, 챕터, 첨부, 메타데이터를 함께 담는다.

    대상 곁의 숨은 임시 파일에 쓰고 다 되면 이름을 바꾸므로, 도중에 멈추어도 예전 파일은 그대로다.

    Args:
        segments: 시각 차례의 조각들.
        source: 나머지 스트림을 가져올 원본. None이면 비디오만 쓴다.
        target: 결과의 경로.
        plan: 조각들의 인코딩 계획.
        info: 원본의 정보. `source`가 있으면 있어야 한다.
        start, end: 구간을 잘랐으면 그 시각(`info.time_base`). 나머지 스트림도 자르고 첫 프레임이 0이 되게 옮긴다.
        partial: 원본이 깨져 앞부분만 담는지. 나머지 스트림도 비디오의 끝까지만 담고 읽기 오류는 알림으로 남긴다.
        speed: 조각의 시각이 원본의 시각이 아니라 0부터 새로 매긴 것이면, 원본보다 몇 배 빠른지. 소리와 자막도 따른다.
        tolerant: 나머지 스트림의 읽기 오류를 지나 끝까지 담고 알림으로 남길지.
        resets: 시각이 되돌아가는 곳마다 그 뒤를 늦출 길이(초, `PacketIndex.resets`). 소리와 자막도 그만큼 옮긴다.

    Returns:
        담지 못한 것들에 대한 알림.

    Raises:
        VideoWriteError: 쓸 수 없을 때.
        VideoDamagedError: 조각이 온전하지 않을 때.
    """
    if not segments:
        raise VideoWriteError(
            f"비디오를 쓸 수 없습니다: {target}\n  이유: 조각이 하나도 없습니다.\n"
            "  해결: 구간(--start, --end)을 확인하세요."
        )
    target = Path(os.path.realpath(target))
    # 이름이 언제나 같아서, 쓰다가 강제로 죽어 남은 것은 다음에 이을 때 덮어쓰고 치운다.
    temporary = hidden_beside(target, ".part")
    with ExitStack() as stack:
        stack.enter_context(korean_write_errors(target))
        container = None if source is None else stack.enter_context(closing(open_tracks(source)))
        timing, window = _timing(segments, plan, info, container, start, end, partial, speed)
        window = replace(window, tolerant=partial or tolerant, resets=resets)
        stack.callback(temporary.unlink, missing_ok=True)
        tags = () if container is None else {key.lower() for key in container.metadata} - VIDEO_DROPPED
        any_tags = any(tag.split("-")[0] not in MP4_TAGS for tag in tags)
        options = {**muxer_options(plan.container, plan, any_tags=any_tags), "strict": "unofficial"}
        output = import_av().open(local_url(temporary), "w", format=plan.container, container_options=options)
        warnings: list[str] = []
        others: Iterator[tuple[float, Any]] = iter(())
        with closing(output), closing(_open_segment(segments[0].path, plan)) as first:
            template = first.streams.video[0]
            boxes = b""
            if info is not None and (info.spherical or info.stereo) and plan.container in MARKED_CONTAINERS:
                boxes = mark_boxes(info)
            if boxes:
                template = stack.enter_context(closing(marked(template, boxes))).streams.video[0]
            video = _video_stream(output, template, plan)
            if source is not None:
                tracks = Tracks(output, container, info.name if info is not None else "", plan, window)
                video.metadata.update(tracks.video_tags)
                video.disposition = tracks.video_disposition
                others, warnings = tracks.packets() if tracks.handlers else others, tracks.warnings
            warnings += _mux_all(output, video, _video_packets(segments, first, video, plan, timing), others)
        if boxes and plan.container == "mp4":
            drop_spatial_box(temporary)
        settle(temporary, target)
    return tuple(warnings)


def _timing(
    segments: Sequence[Segment],
    plan: EncodePlan,
    info: VideoInfo | None,
    container: Any,
    start: int | None,
    end: int | None,
    partial: bool,
    speed: Fraction | None,
) -> tuple[_Timing, Window]:
    """비디오 전체의 시각과, 나머지 스트림에서 담을 구간을 정한다.

    결과의 0은 구간을 잘랐거나 시각을 새로 매겼으면(`speed`) 첫 프레임, 방송(MPEG-TS, MPEG-PS)이면 방송이 시작한 때다.
    방송의 시계는 아무 때에서나 시작하고 몇 시간일 수도 있어, 그대로 옮기면 앞이 긴 빈 비디오가 된다.
    다른 형식의 시작 시각은 뜻이 있으므로 그대로 둔다.
    """
    begun = Fraction(0)
    if container is not None and start is None and container.format.name in ("mpegts", "mpeg"):
        starts = [s.start_time * s.time_base for s in container.streams if s.start_time is not None]
        begun = min(starts, default=begun)
    delay, last = 0, 0
    for segment in segments:
        times = segment.times.pts
        ranks = {pts: rank for rank, pts in enumerate(sorted(times))}
        delay = max(delay, *(place - ranks[pts] for place, pts in enumerate(times)))
        last = max(last, segment.offset + max(times))
    origin = 0 if speed is not None else round(begun / plan.time_base)
    if start is not None and speed is None:
        origin = min(segment.offset for segment in segments)
    timing = _Timing(delay, origin, max(1, round(1 / (plan.rate * plan.time_base))))
    if info is None:
        return timing, Window()
    first = finish = None
    if start is not None:
        first = origin * plan.time_base if speed is None else start * info.time_base
    shift = begun if first is None else first
    if speed is not None and first is None:
        shift = info.start * info.time_base
    if end is not None:
        finish = end * info.time_base
    if partial:
        finish = (last + timing.step) * plan.time_base
        finish = finish if speed is None else shift + finish * speed
    return timing, Window(first, finish, shift, speed or Fraction(1))


def _video_stream(output: Any, template: Any, plan: EncodePlan) -> Any:
    stream = output.add_stream_from_template(template, opaque=True)
    context = stream.codec_context
    context.framerate = plan.rate
    context.sample_aspect_ratio = plan.sample_aspect_ratio
    # 조각의 컨테이너가 담지 못한 꼬리표도 계획대로 적는다.
    context.colorspace, context.color_primaries = plan.colour.matrix, plan.colour.primaries
    context.color_trc = plan.colour.transfer
    context.color_range = 2 if plan.colour.full_range else 1
    if plan.codec in ("libx265", "hevc_nvenc") and plan.container in ("mp4", "mov"):
        context.codec_tag = "hvc1"  # 애플의 재생기는 hev1을 읽지 못한다.
    elif plan.codec == "prores_ks":
        context.codec_tag = template.codec_context.codec_tag  # 프로파일은 꼬리표(ap4h 등)에만 적힌다.
    stream.time_base = plan.time_base
    # 원본의 다른 스트림에서 온 것이 아니므로 조각의 handler 이름 같은 것은 물려받지 않는다.
    stream.metadata.clear()
    if plan.codec == "libvpx-vp9" and plan.layout.alpha:
        stream.metadata["alpha_mode"] = "1"
    stream.disposition = 1
    return stream


def _video_packets(
    segments: Sequence[Segment],
    first: Any,
    video: Any,
    plan: EncodePlan,
    timing: _Timing,
) -> Iterator[Any]:
    """조각들의 패킷을 제자리의 시각으로 옮겨 인코딩 순서로 낸다.

    인코딩 시각(dts)은 조각의 것을 쓰지 않고 새로 매긴다. 보이는 시각을 늘어놓고 `delay`만큼 앞의 것을 쓰면
    조각의 경계에서도 언제나 늘어나고 pts를 넘지 않는다. FFmpeg의 Matroska와 WebM은 1/1000초로만 적으므로, 반올림한 뒤
    겹치는 프레임은 한 눈금 늦춘다.
    """
    tail: list[int] = []
    unit = Fraction(1, 1000) if plan.container in ("matroska", "webm") else plan.time_base
    latest: int | None = None
    ends = [segment.offset - timing.origin for segment in segments[1:]]
    for segment, after in zip(segments, [*ends, None], strict=True):
        shift = segment.offset - timing.origin
        times = sorted(pts + shift for pts in segment.times.pts)
        placed: dict[int, int] = {}
        for pts in times:
            spot = round(pts * plan.time_base / unit)
            latest = placed[pts] = spot if latest is None else max(spot, latest + 1)
        if not tail:
            step = max(1, round(timing.step * plan.time_base / unit))
            tail = [placed[times[0]] - step * back for back in range(timing.delay, 0, -1)]
        line = tail + [placed[pts] for pts in times]
        following = dict(pairwise([*times, *([] if after is None else [after])]))
        container = first if segment is segments[0] else None
        for place, packet in enumerate(_segment_packets(segment, plan, container)):
            moment = packet.pts + shift
            # 길이가 0인 마지막 프레임은 mp4의 편집 목록에 들지 못해 보이지 않는다.
            length = following[moment] - moment if moment in following else segment.times.tail or timing.step
            packet.duration = round(length * plan.time_base / unit)
            packet.pts = placed[moment]
            packet.dts = line[place]
            packet.time_base = unit
            packet.stream = video
            yield packet
        tail = line[len(line) - timing.delay :]


def _open_segment(path: str, plan: EncodePlan) -> Any:
    """조각을 연다. 부르는 쪽이 닫는다.

    Raises:
        VideoDamagedError: 잘렸거나, 열 수 없거나, 다른 계획으로 쓴 것일 때.
    """
    if Path(path).exists() and file_shortage(path):
        raise broken_segment(path, "잘렸습니다")
    try:
        container = open_container(path)
    except VideoReadError as error:
        raise broken_segment(path, "열 수 없습니다") from error
    if not container.streams.video or container.streams.video[0].codec_context.width != plan.width:
        container.close()
        raise broken_segment(path, "다른 계획으로 쓴 조각입니다")
    return container


def _segment_packets(segment: Segment, plan: EncodePlan, opened: Any = None) -> Iterator[Any]:
    """조각 하나의 패킷들. 시각은 쓸 때 적어 둔 것이고, 따로 둔 알파는 곁 데이터로 되돌린다.

    Args:
        segment: 조각.
        plan: 인코딩 계획.
        opened: 이미 열어 둔 것. 닫는 것은 부르는 쪽이다.

    Raises:
        VideoDamagedError: 적어 둔 것과 수나 시각이 다르거나 끝까지 읽을 수 없을 때.
    """
    av, times = import_av(), iter(segment.times.pts)
    with closing(_open_segment(segment.path, plan)) if opened is None else nullcontext(opened) as container:
        streams = container.streams.video
        base = streams[0].time_base
        # 알파의 패킷은 짝이 되는 색의 패킷 곁에 담겨 있어 몇 개만 기다리면 된다.
        colours: deque[Any] = deque()
        alphas: deque[bytes] = deque()
        try:
            for found in container.demux(*streams):
                if not found.size:
                    continue
                if found.stream.index == streams[0].index:
                    colours.append(found)
                else:
                    alphas.append(bytes(found))
                while colours and (alphas or len(streams) == 1):
                    packet, pts = colours.popleft(), next(times, None)
                    if pts is None or packet.is_corrupt or abs(packet.pts * base - pts * plan.time_base) >= base:
                        raise broken_segment(segment.path, "적어 둔 시각과 다른 프레임이 있습니다")
                    packet.pts = pts
                    if alphas:
                        _attach_alpha(packet, alphas.popleft())
                    yield packet
        except (av.error.FFmpegError, OSError) as error:
            raise broken_segment(segment.path, "끝까지 읽을 수 없습니다") from error
    missing = sum(1 for _ in times)
    if missing:
        raise broken_segment(segment.path, f"프레임 {len(segment.times.pts)}개 가운데 {missing}개가 없습니다")


def _attach_alpha(packet: Any, alpha: bytes) -> None:
    kinds = import_av().packet
    number = kinds.packet_sidedata_type_from_literal(ALPHA_SIDE_DATA)
    data = kinds.PacketSideData(number, len(ALPHA_HEADER) + len(alpha))
    data.update(ALPHA_HEADER + alpha)
    packet.set_sidedata(data)


def _mux_all(output: Any, video: Any, packets: Iterator[Any], others: Iterator[tuple[float, Any]]) -> list[str]:
    """비디오의 패킷들과 나머지를 시각 차례로 섞어 쓴다. 내용이 깨져 컨테이너가 받지 않는 나머지 패킷은 빼고 센다.

    Returns:
        담지 못한 나머지 패킷의 수를 스트림마다 알리는 글들.
    """
    refused: Counter[str] = Counter()
    broken = import_av().error.InvalidDataError
    timed = ((float(packet.dts * packet.time_base), packet) for packet in packets)
    # 시각이 같으면 나머지가 먼저다.
    for _, packet in merge(others, timed, key=itemgetter(0)):
        stream = packet.stream
        try:
            output.mux_one(packet)
        except broken:
            if stream is video:
                raise
            refused[stream_label(stream)] += 1
    return spoiled_notes(refused) if refused else []
