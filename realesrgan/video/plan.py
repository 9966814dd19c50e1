"""비디오 한 편을 어떻게 나누어 어떻게 키울지 정한다. 프레임은 디코딩하지 않는다."""

from __future__ import annotations

import hashlib
import logging
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

from realesrgan.errors import UsageError, VideoFormatError
from realesrgan.inference.steps import parse_steps
from realesrgan.inference.yuv import KNOWN_MATRICES
from realesrgan.media.video.encode_plan import plan_encoding
from realesrgan.media.video.interlace import Deinterlace
from realesrgan.media.video.types import EncodePlan, EncodeRequest, PacketIndex, VideoInfo
from realesrgan.util.numbers import Outscale, passes_note, plan_passes, scaled_size
from realesrgan.video.settings import ANIMATION, PICTURES, STREAM_CONTAINERS, VideoSettings, VideoSource, VideoTarget
from realesrgan.video.timing import Timing, constant_rate, film_rate, grid_base

if TYPE_CHECKING:
    from realesrgan.media.video import VideoReader
    from realesrgan.video.image_sequence import ImageSequence

logger = logging.getLogger(__name__)

# 조각은 이만큼의 프레임이 모인 뒤의 첫 키프레임(keyframe)에서 나뉜다. 중단되면 잃는 일의 크기이기도 하다.
SEGMENT_FRAMES = 120
# 키프레임이 드문 비디오는 이만큼에서 나눈다. 앞의 키프레임부터 다시 디코딩하면 되므로 결과는 같다.
LONGEST_SEGMENT = 480
# 프레임 사이가 이보다 길면(초) 화면이 멈춘 것이 아니라 시각이 어긋난 것이다.
LONGEST_GAP = 12 * 3600
IMAGE_NOTE = "이미지 시퀀스에는 소리, 자막, 시각, 회전 정보가 담기지 않습니다. 프레임만 차례대로 놓았습니다."
ANIMATION_NOTE = "움직이는 이미지에는 소리, 자막, 챕터가 담기지 않습니다."


@dataclass(frozen=True)
class Span:
    """조각 하나가 맡는 시간 `start <= pts < end`. 단위는 원본의 time_base, None은 끝없음이다."""

    start: int | None = None
    end: int | None = None

    def holds(self, pts: int) -> bool:
        """이 시각의 프레임을 맡는지."""
        return (self.start is None or pts >= self.start) and (self.end is None or pts < self.end)


@dataclass(frozen=True)
class VideoPlan:
    """비디오 한 편을 어떻게 키울지 정해진 것. 프로세스끼리 주고받을 수 있다.

    Attributes:
        info: 원본의 정보.
        encoding: 결과의 인코딩. 이미지 시퀀스면 배치와 크기만 뜻이 있다.
        spans: 조각들.
        start, end: 키울 구간(원본의 pts).
        deinterlace: 실제로 비월을 푸는 법. 비었으면 그대로 키운다.
        frames: 키울 프레임 수의 어림. 모르면 None.
        timing: 결과의 시각을 정하는 법.
        largest_input: 네트워크에 들어가는 가장 큰 것의 `(너비, 높이)`. 한 번에 키우면 원본의 크기다.
        content: 원본의 내용을 가리키는 해시. 표준 입력이면 비어 있다.
        resets: 시각이 되돌아가는 곳마다 그 뒤를 늦출 길이(초).
        steps: 네트워크와 파일 사이의 단계마다의 `이름=값`. 적은 모양이 달라도 값이 같으면 같은 글이다.
        warnings: 사용자에게 알릴 것.
    """

    info: VideoInfo
    encoding: EncodePlan
    spans: tuple[Span, ...]
    start: int | None
    end: int | None
    deinterlace: Deinterlace
    frames: int | None
    timing: Timing
    largest_input: tuple[int, int] = (0, 0)
    content: str = ""
    resets: tuple[Fraction, ...] = ()
    steps: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()


def plan_video(
    source: VideoSource,
    target: VideoTarget,
    settings: VideoSettings,
    reader: VideoReader | ImageSequence,
    outscale: Outscale,
    scale: int = 1,
) -> VideoPlan:
    """비디오 한 편의 계획을 세운다.

    Args:
        source, target: 입력과 결과.
        settings: 설정.
        reader: 연 입력.
        outscale: 결과의 배율이나 크기.
        scale: 네트워크의 배율. 1이면 한 번만 거친다.

    Raises:
        VideoError: 읽거나 쓸 수 없는 비디오일 때.
        UsageError: 구간에 프레임이 없을 때.
    """
    if settings.start and source.file is not None and not source.is_stream:
        info = reader.info
        reader.describe_at(info.start - -settings.start // info.time_base)  # type: ignore[union-attr]
    deinterlace = _deinterlacing(reader, settings)
    info = reader.info
    if info.colour.matrix not in KNOWN_MATRICES and info.layout.family == "yuv":
        raise VideoFormatError(
            f"색의 행렬 계수(matrix coefficients)를 다룰 수 없습니다: {info.name} (H.273의 {info.colour.matrix}번)\n"
            "  해결: 먼저 BT.709나 BT.2020(비고정 휘도)으로 바꾸세요."
        )
    if source.images:
        _check_gaps(reader, settings)
    index = PacketIndex((), ()) if source.is_stream else reader.packet_index()
    rate, timing = plan_timing(source, target, settings, info, index)
    encoding = _encoding(source, target, settings, info, scaled_size(*info.display_size, outscale), rate, timing)
    cut = bool(settings.start) or settings.end is not None
    start, end = pts_range(info, index, settings.start, settings.end) if cut else (None, None)
    first, last = (bisect_left(index.pts, edge) if edge is not None else None for edge in (start, end))
    inside = index.pts[first:last]
    if inside and inside[-1] - inside[0] > LONGEST_GAP // info.time_base:
        refuse_reset_clock(info, inside)
    notes = (*info.warnings, *(reset_note(info, index, cut=cut) if index.resets else ()), *encoding.warnings)
    if target.container not in PICTURES and target.path is not None and not source.is_stream:
        notes += reader.check_tracks(target.path, encoding)
    passes = plan_passes(*info.display_size, (encoding.width, encoding.height), scale)
    frames = len(inside) or (None if cut or timing.resampled else info.frames)
    if inside and timing.resampled:
        frames = timing.place(inside[-1]) - timing.place(inside[0]) + 1
    spans = [Span(start, end)] if target.container in STREAM_CONTAINERS.values() else plan_spans(index, start, end)
    pictures = (Path(source.name),) if source.is_animation else source.images
    content = sampled_hash(pictures) if pictures else index.digest
    return VideoPlan(
        *(info, encoding, tuple(spans), start, end, deinterlace, frames, timing),
        largest_input=([info.display_size, *passes])[-2],
        content=content,
        resets=index.resets,
        steps=tuple(step.text for step in parse_steps(settings.steps)) if settings.steps else (),
        warnings=(*notes, *(passes_note(passes) if passes[1:] else ())),
    )


def _encoding(
    source: VideoSource,
    target: VideoTarget,
    settings: VideoSettings,
    info: VideoInfo,
    size: tuple[int, int],
    rate: Fraction | None,
    timing: Timing,
) -> EncodePlan:
    """결과의 인코딩. 이미지 시퀀스와 움직이는 이미지면 담지 못하는 것도 알린다."""
    if target.container not in PICTURES:
        wanted = (settings.codec, settings.crf, settings.preset, settings.pix_fmt, dict(settings.encoder_options))
        request = EncodeRequest(*wanted, settings.bitrate, rate, timing.target)
        return plan_encoding(info, request, target.container, size, even=True)
    from realesrgan.video.image_sequence import plan_images

    plan = plan_images(info, target.extension, size, target.container)
    if source.file is None or source.is_animation:
        return plan
    note = ANIMATION_NOTE if target.container == ANIMATION else IMAGE_NOTE
    return replace(plan, warnings=(*plan.warnings, note))


def _check_gaps(reader: Any, settings: VideoSettings) -> None:
    """이미지의 번호가 빠졌으면 알린다.

    Raises:
        UsageError: 빠진 번호가 있는데 메우라고 하지 않았을 때.
    """
    missing = reader.missing
    if not missing:
        return
    if not settings.gaps:
        raise UsageError(
            f"이미지의 번호가 빠져 있습니다: {reader.info.name}\n  이유: {missing}번이 없습니다. "
            "그대로 이으면 그만큼 짧아집니다.\n"
            "  해결: 빠진 이미지를 채우거나, --gaps로 그 자리에 앞 이미지를 되풀이하세요."
        )
    logger.warning("빠진 번호의 자리에는 앞 이미지를 되풀이합니다: %s번", missing)
    reader.fill_gaps = True


def plan_timing(
    source: VideoSource, target: VideoTarget, settings: VideoSettings, info: VideoInfo, index: PacketIndex
) -> tuple[Fraction | None, Timing]:
    """결과의 고른 속도(없으면 None)와, 프레임의 시각을 정하는 법.

    mp4와 mov에는 고른 속도의 원본을 고르게 적는다. Matroska에서 온 시각은 1/1000초로 반올림되어 있기 때문이다.
    """
    base, fps = info.time_base, settings.fps
    if source.images or (source.is_animation and fps is None):
        return info.rate if source.images else None, Timing(base, base)
    if fps is not None and settings.retime:
        return fps, Timing(base, 1 / fps, step=1)
    if fps is not None:
        return fps, Timing(base, grid_base(fps), rate=fps, origin=info.start, resampled=True)
    if settings.ivtc:
        return info.rate, Timing(base, grid_base(info.rate), rate=info.rate, origin=info.start)
    # 훑은 것은 패킷의 시각이다. 필드마다 한 프레임이면 속도는 그 두 배다.
    fields = 2 if settings.deinterlace == "double" and not settings.progressive else 1
    gaps, step = {after - before for before, after in pairwise(index.pts)}, fields / (info.rate * base)
    rate = film_rate(index.pts, base) if fields == 1 and len(gaps) > 1 else None
    # 모든 사이가 파일이 말하는 속도와 꼭 같으면 반올림된 시각이 아니다.
    if rate is None and target.container in ("mp4", "mov") and (step <= 2 or gaps != {step}):
        rate = constant_rate(index.pts, base, info.rate / fields)
    if rate is None:
        return None, Timing(base, base)
    rate *= fields
    return rate, Timing(base, grid_base(rate), rate=rate, origin=index.pts[0])


def _deinterlacing(reader: VideoReader | ImageSequence, settings: VideoSettings) -> Deinterlace:
    """비월을 풀 방법을 정해 리더에 알린다.

    Raises:
        VideoFormatError: 비월인데 어떻게 할지 말하지 않았을 때.
    """
    wanted: Deinterlace = "single" if settings.deinterlace is True else settings.deinterlace or ""
    if settings.progressive:
        return ""
    if settings.ivtc:
        reader.deinterlace = "ivtc"
        return "ivtc"
    found = reader.looks_interlaced()
    if found and not wanted:
        raise VideoFormatError(
            f"비월(interlaced) 비디오입니다: {reader.info.name}\n"
            "  두 시각의 줄이 한 프레임에 섞여 있어 그대로 키우면 빗살 무늬가 커집니다.\n"
            "  해결: --deinterlace(또는 필드마다 한 프레임인 --deinterlace double)로 펴서 키우세요.\n"
            "  필름을 2:3 풀다운으로 옮긴 것이면 --ivtc를, 표시나 판단이 틀렸으면 --progressive를 주세요."
        )
    if wanted and not found:
        logger.warning("비월 비디오가 아니므로 --deinterlace는 하지 않습니다: %s", reader.info.name)
    if not (wanted and found):
        return ""
    reader.deinterlace = wanted
    return wanted


def plan_spans(
    index: PacketIndex,
    start: int | None = None,
    end: int | None = None,
    *,
    shortest: int = SEGMENT_FRAMES,
    longest: int = LONGEST_SEGMENT,
) -> list[Span]:
    """비디오를 조각(segment)으로 나눈다. 입력이 같으면 언제나 같으므로 이어 하기의 결과도 같다.

    Args:
        index: 패킷을 훑어 안 시각들. 비어 있으면 조각은 하나다.
        start, end: 키울 구간 `start <= pts < end`. None은 처음과 끝.
        shortest: 조각의 최소 프레임 수(마지막 조각은 더 짧을 수 있다).
        longest: 키프레임이 없어도 나누는 프레임 수.

    Returns:
        구간을 빈틈과 겹침 없이 덮는 조각들.
    """
    whole = Span(start, end)
    keyframes = set(index.keyframes)
    edges: list[int] = []
    count = 0
    for pts in index.pts:
        if not whole.holds(pts):
            continue
        if (count >= shortest and pts in keyframes) or count >= longest:
            edges.append(pts)
            count = 0
        count += 1
    bounds: Sequence[int | None] = [start, *edges, end]
    return [Span(first, second) for first, second in pairwise(bounds)]


def pts_range(
    info: VideoInfo, index: PacketIndex, start: Fraction | None, end: Fraction | None
) -> tuple[int | None, int | None]:
    """초로 준 구간을 원본의 pts로 바꾼다. 0초는 첫 프레임이다.

    Args:
        info: 원본의 정보.
        index: 패킷을 훑어 안 것. 비어 있으면 구간이 비었는지는 보지 않는다.
        start, end: 첫 프레임부터의 초. None은 처음과 끝.

    Raises:
        UsageError: 구간이 비었을 때.
    """
    origin = info.start
    # 구간의 경계에 걸친 프레임은 시작한 시각이 든 쪽에 넣는다(올림).
    first = None if not start else origin - -start // info.time_base
    last = None if end is None else origin - -end // info.time_base
    inside = any(Span(first, last).holds(pts) for pts in index.pts)
    if (end is not None and (start or 0) >= end) or (index.pts and not inside):
        length = "" if not index.pts else f" (길이는 {float((index.pts[-1] - origin) * info.time_base):.2f}초쯤)"
        raise UsageError(
            f"키울 구간에 프레임이 없습니다: {info.name}{length}\n  해결: --start와 --end를 비디오의 길이에 맞추세요."
        )
    return first, last


def refuse_reset_clock(info: VideoInfo, inside: Sequence[int]) -> None:
    """구간 안에서 시각이 반나절 넘게 건너뛰는 비디오를 막는다.

    따로 녹화한 방송을 이어 붙이면 시각이 되돌아가고, FFmpeg는 그것을 33비트의 한 바퀴(26.5시간)를 건너뛴 것으로 본다.

    Args:
        info: 원본의 정보.
        inside: 구간 안의 pts, 오름차순.

    Raises:
        VideoFormatError: 건너뛸 때. 나누어 키울 시각을 알려 준다.
    """
    longest = LONGEST_GAP // info.time_base
    for before, after in pairwise(inside):
        if after - before > longest:
            last, following = (float((pts - info.start) * info.time_base) for pts in (before, after))
            raise VideoFormatError(
                f"시각이 {(following - last) / 3600:.1f}시간을 건너뜁니다: {info.name}\n"
                "  이유: 따로 녹화한 것을 이어 붙인 파일로 보입니다.\n"
                "  해결: 붙이기 전의 파일을 하나씩 키우거나, 둘로 나누어 키우세요: "
                f"--end {last + 0.001:.3f}, --start {following - 0.001:.3f}"
            )


def reset_note(info: VideoInfo, index: PacketIndex, *, cut: bool) -> tuple[str, ...]:
    """시각이 처음으로 되돌아가는(이어 붙인) 비디오의 알림.

    Args:
        info: 원본의 정보.
        index: 패킷을 훑어 안 것. `resets`가 있다.
        cut: 시각으로 구간을 고르거나 나누는지.

    Raises:
        UsageError: 그런 비디오에서 구간을 고를 때. 같은 시각이 여러 곳에 있어 어디인지 알 수 없다.
    """
    if cut:
        raise UsageError(
            f"시각으로 구간을 고를 수 없는 비디오입니다: {info.name}\n"
            f"  이유: 시각이 처음으로 되돌아가는 곳이 {len(index.resets)}곳 있습니다(이어 붙인 파일).\n"
            "  해결: 붙이기 전의 파일을 하나씩 키우거나, 구간을 주지 말고 통째로 키우세요(--on_change scale은 됩니다)."
        )
    return (f"시각이 처음으로 되돌아가는 곳이 {len(index.resets)}곳 있어(이어 붙인 파일) 앞의 것에 이어 놓습니다.",)


def sampled_hash(paths: Sequence[Path], blocks: int = 16, size: int = 4096) -> str:
    """파일들의 크기와, 처음부터 끝까지 고르게 뽑은 덩어리들의 해시.

    모두 읽지 않으므로 이미지가 몇만 장이어도 곧바로 시작한다. 다른 이미지로 바꾸면 압축한 것은 크기나 머리가, 압축하지
    않은 것은 뽑은 덩어리 가운데 하나라도 달라진다.

    Args:
        paths: 파일들.
        blocks: 파일마다 뽑을 덩어리의 수.
        size: 덩어리의 크기(바이트).

    Raises:
        OSError: 읽을 수 없을 때.
    """
    digest = hashlib.sha256()
    for path in paths:
        length = path.stat().st_size
        digest.update(f"{path.name}\0{length}\n".encode("utf-8", "surrogateescape"))
        with path.open("rb") as file:
            for block in range(blocks):
                file.seek(max(length - size, 0) * block // (blocks - 1))
                digest.update(file.read(size))
                if length <= size:
                    break
    return digest.hexdigest()


def fingerprint(plan: VideoPlan, settings: VideoSettings, engine: dict[str, Any], outscale: float) -> dict[str, Any]:
    """결과를 정하는 모든 것. 하나라도 다르면 이어 할 수 없다. 이름은 사람이 읽는다."""
    encoding = {name: str(value) for name, value in asdict(plan.encoding).items() if name != "warnings"}
    return {
        "입력": plan.content,
        "배율": outscale,
        "구간": [plan.start, plan.end],
        "비월 제거": plan.deinterlace,
        "깨진 곳": settings.on_damage,
        "모양의 변화": settings.on_change,
        "알파": settings.alpha_upsampler,
        "프레임 속도": [str(settings.fps), settings.retime],
        "패딩": [settings.tile_pad, settings.pre_pad],
        "단계": list(plan.steps),
        "인코딩": encoding,
        **engine,
    }
