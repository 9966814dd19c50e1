"""비디오의 정보를 읽는다."""

from __future__ import annotations

import re
import struct
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Any

from realesrgan.errors import VideoReadError
from realesrgan.media.video.colour import UNSPECIFIED, concrete_colour
from realesrgan.media.video.files import PICTURE_FORMATS, import_av
from realesrgan.media.video.layouts import layout_of
from realesrgan.media.video.messages import hdr10plus_message
from realesrgan.media.video.types import VideoInfo

_FULL, _LIMITED = 2, 1  # AVCOL_RANGE_JPEG, AVCOL_RANGE_MPEG
_ATTACHED = 1 << 10  # AV_DISPOSITION_ATTACHED_PIC
_THUMBNAILS = (1 << 11) | (1 << 20)  # timed_thumbnails, still_image
_INTERLACED_ORDERS = (2, 3, 4, 5)  # AV_FIELD_TT, BB, TB, BT
_STATIC = ("MASTERING_DISPLAY_METADATA", "CONTENT_LIGHT_LEVEL")
_DOLBY = ("DOVI_RPU_BUFFER", "DOVI_METADATA")
_DYNAMIC = (*_DOLBY, "DYNAMIC_HDR_PLUS", "DYNAMIC_HDR_VIVID")
_HDR = frozenset((*_STATIC, *_DYNAMIC))
DEFAULT_RATE = Fraction(25)
_FASTEST = (1000, 100_000)
"""믿을 만한 속도의 한도. 그런 것이 없을 때만 뒤의 것까지 본다."""
ALPHA_DECODERS = {"vp9": "libvpx-vp9", "libvpx-vp9": "libvpx-vp9", "vp8": "libvpx", "libvpx": "libvpx"}
"""알파를 디코딩하는 디코더. FFmpeg의 기본 VP8/VP9 디코더는 알파를 버린다."""


def choose_stream(container: Any, name: str) -> Any:
    """비디오 스트림을 고른다. 표지 이미지(attached picture)는 비디오가 아니다.

    기본(default) 표시가 있는 것, 그다음 큰 것을 고른다.

    Raises:
        VideoReadError: 비디오가 없거나(소리뿐), 이미지거나, 코덱을 디코딩할 수 없을 때.
    """
    head = f"비디오를 읽을 수 없습니다: {name}"
    if any(part.endswith(PICTURE_FORMATS) for part in container.format.name.split(",")):
        raise VideoReadError(
            f"{head}\n  이유: 비디오가 아니라 이미지 파일입니다.\n"
            "  해결: 이미지는 python inference_realesrgan.py -i 로 키우거나, 이미지가 든 폴더를 지정하세요."
        )
    streams = [s for s in container.streams.video if not s.disposition & (_ATTACHED | _THUMBNAILS)]
    if not streams:
        kind = "소리만" if container.streams.audio else "비디오가 아닌 것만"
        raise VideoReadError(f"{head}\n  이유: {kind} 들어 있습니다.\n  해결: 비디오가 든 파일을 지정하세요.")
    # 코덱을 모르는 스트림에는 크기도 없다.
    contexts = {s.index: s.codec_context for s in streams}
    areas = {index: 0 if one is None else one.width * one.height for index, one in contexts.items()}
    best = max(streams, key=lambda s: (bool(s.disposition & 1), areas[s.index], -s.index))
    if best.codec_context is None:
        raise VideoReadError(
            f"{head}\n  이유: 이 비디오의 코덱의 디코더(decoder)가 PyAV에 없습니다.\n"
            "  해결: 다른 프로그램으로 H.264나 FFV1로 바꾼 뒤 다시 하세요."
        )
    return best


def describe(container: Any, stream: Any, frame: Any, name: str, pix_fmt: str) -> VideoInfo:
    """연 비디오와 첫 프레임에서 정보를 모은다.

    Args:
        container, stream: 연 비디오와 고른 스트림.
        frame: 첫 프레임. 회전과 HDR 메타데이터는 PyAV가 프레임에서만 보여 준다.
        name: 사람에게 보일 이름.
        pix_fmt: 실제로 쓸 디코더의 픽셀 형식(알파 때문에 `frame`의 것과 다를 수 있다).

    Raises:
        VideoFormatError: 다룰 수 없는 픽셀 형식일 때.
    """
    layout = layout_of(pix_fmt)
    context = stream.codec_context
    colour_range = frame.color_range or context.color_range
    # 범위를 말하지 않으면 형식의 이름으로 안다. `yuvj`, RGB, 회색은 전체 범위다.
    named = frame.format.name.startswith(("yuvj", "gray", "mono")) or layout.family == "rgb"
    full = {_FULL: True, _LIMITED: False}.get(colour_range, named)
    # 프레임의 꼬리표가 먼저고, 모르면(2) 컨테이너의 것이다.
    matrix, primaries, transfer = (
        next((int(tag) for tag in (getattr(frame, name), getattr(context, name)) if int(tag) != UNSPECIFIED), 2)
        for name in ("colorspace", "color_primaries", "color_trc")
    )
    colour = concrete_colour(matrix, primaries, transfer, full, layout.family, frame.height)
    if layout.family == "yuv" and layout.subsampling != (1, 1):
        colour = replace(colour, siting=frame_notes(frame)[0])
    # PyAV 19부터는 사전처럼 종류를 내고, 그 앞은 데이터를 낸다.
    found = [one if hasattr(one, "type") else frame.side_data[one] for one in frame.side_data]
    side_data = {data.type.name: bytes(data) for data in found}
    notes: list[str] = []
    rotation, mirrored = 0, False
    if "DISPLAYMATRIX" in side_data:
        rotation, mirrored, notes = display_rotation(side_data["DISPLAYMATRIX"])
    others = [s for s in container.streams.video if s.index != stream.index and not s.disposition & _ATTACHED]
    notes += [f"{name}는 담지 못합니다." for kind, name in _NAMED_SIDE_DATA.items() if kind in side_data]
    told = container_notes(container, stream.index)
    has_hdr = told.dolby is not None or not _HDR.isdisjoint(side_data)
    # 색차를 나눌 수 없는 자리에서 시작하면 그만큼 덜 자른다.
    across, down = layout.subsampling
    crop = (told.crop[0] // across * across, told.crop[1], told.crop[2] // down * down, told.crop[3])
    if frame.width - crop[0] - crop[1] < 1 or frame.height - crop[2] - crop[3] < 1:
        crop = (0, 0, 0, 0)
    if others:
        notes.append(f"비디오 스트림이 {len(others) + 1}개입니다. 하나만 키웁니다(#{stream.index}).")
    rates = (stream.average_rate, stream.guessed_rate, stream.base_rate)
    aspect = stream.sample_aspect_ratio
    # 길이는 스트림이 말하는 것이 먼저고, 없으면 파일의 것이다.
    whole = container.duration / 1_000_000 if container.duration else None
    return VideoInfo(
        name=name,
        width=frame.width - crop[0] - crop[1],
        height=frame.height - crop[2] - crop[3],
        crop=crop,
        captions="A53_CC" in side_data,
        stereo=struct.unpack("=i", side_data["STEREO3D"][:4])[0] if "STEREO3D" in side_data else 0,
        spherical=side_data.get("SPHERICAL", b""),
        rotation=rotation,
        mirrored=mirrored,
        layout=layout,
        colour=colour,
        time_base=Fraction(stream.time_base),
        # 없거나 터무니없는 속도는 쓰지 않는다. 날(raw) DV의 평균은 눈금의 수인 60000이다.
        rate=next((Fraction(rate) for most in _FASTEST for rate in rates if rate and 0 < rate <= most), DEFAULT_RATE),
        sample_aspect_ratio=Fraction(aspect) if aspect else Fraction(1),
        # field_order는 PyAV 18부터 보인다. 그 앞의 것에서는 프레임의 표시만 본다.
        interlaced=bool(frame.interlaced_frame) or getattr(context, "field_order", 0) in _INTERLACED_ORDERS,
        frames=stream.frames or None,
        duration=float(stream.duration * stream.time_base) if stream.duration else whole,
        side_data=hdr_side_data(side_data, told.dolby, colour.is_hdr) if has_hdr else {},
        warnings=tuple(notes),
    )


def frame_notes(frame: Any) -> tuple[str, Fraction | None]:
    """프레임에 적힌 색차 표본의 자리(모르면 `left`)와 픽셀의 가로세로 비율(모르면 None).

    PyAV의 속성에 없어 FFmpeg의 showinfo 필터가 적은 글에서 읽는다. 디코더의 비율은 아직 나오지 않은 프레임의 것일 수
    있다.
    """
    av = import_av()
    graph = av.filter.Graph()
    shape = {"width": frame.width, "height": frame.height, "format": frame.format.name}
    nodes = [graph.add_buffer(**shape, time_base=Fraction(1)), graph.add("showinfo", "checksum=0")]
    nodes.append(graph.add("buffersink"))
    graph.link_nodes(*nodes).configure()
    before = av.logging.get_level()
    av.logging.set_level(av.logging.INFO)
    try:
        with av.logging.Capture() as logs:
            graph.push(frame)
            graph.pull()
    finally:
        av.logging.set_level(before)
    text = "".join(text for _, _, text in logs)
    siting, aspect = re.search(r" cl:(\w+)", text), re.search(r" sar:([1-9]\d*)/([1-9]\d*)", text)
    return (
        siting[1] if siting is not None and siting[1] in _SITINGS else "left",
        Fraction(int(aspect[1]), int(aspect[2])) if aspect is not None else None,
    )


_SITINGS = ("left", "center", "topleft", "top", "bottomleft", "bottom")


@dataclass(frozen=True)
class ContainerNotes:
    """PyAV의 속성으로 보이지 않아, FFmpeg가 적은 컨테이너의 설명에서 읽은 것.

    Attributes:
        crop: 잘라 내라고 한 픽셀 `(왼쪽, 오른쪽, 위, 아래)`.
        dolby: Dolby Vision의 밑바탕(compatibility id). 0 없음, 1과 6 HDR10, 2 SDR, 4 HLG이고 적혀 있지 않으면 None.
        strangers: 비디오 스트림과 다른 프로그램에만 든 스트림들의 번호. 프로그램이 없으면 비어 있다.
    """

    crop: tuple[int, int, int, int]
    dolby: int | None
    strangers: frozenset[int]


def container_notes(container: Any, index: int) -> ContainerNotes:
    """연 비디오의 설명에서 `index`번 비디오 스트림에 대한 것을 읽는다."""
    logging = import_av().logging
    before = logging.get_level()
    logging.set_level(logging.INFO)
    try:
        # 옛 PyAV에는 없다.
        text = str(container.dumps_format()) if hasattr(container, "dumps_format") else ""
    finally:
        logging.set_level(before)
    mine = re.split(r"\n  Stream #", text.partition(f"  Stream #0:{index}")[2])[0]
    base = re.search(r"DOVI configuration record:.*compatibility id: (\d+)", mine)
    crop = re.search(r"Frame Cropping: (\d+)/(\d+)/(\d+)/(\d+)", mine)
    left, right, top, bottom = (0, 0, 0, 0) if crop is None else map(int, crop.groups())
    programs: list[set[int]] = []
    for line in text.splitlines():
        if re.match(r"  Program \d+", line):
            programs.append(set())
        elif line.startswith("  No Program"):
            break
        elif programs and (found := re.match(r"  Stream #0:(\d+)", line)):
            programs[-1].add(int(found[1]))
    shared = set().union(*(program for program in programs if index in program))
    strangers = frozenset(set().union(*programs) - shared if shared else ())
    return ContainerNotes((left, right, top, bottom), int(base[1]) if base else None, strangers)


_NAMED_SIDE_DATA = {"AFD": "화면 비율의 표시(AFD)"}


def display_rotation(data: bytes) -> tuple[int, bool, list[str]]:
    """표시 행렬(display matrix)을 시계 방향 각도와 뒤집힘으로 바꾼다.

    행렬은 16.16 고정소수점 3x3이다(ISO/IEC 14496-12, 6.2.2). 뒤집힘은 돌리기 전에 좌우로 뒤집는 것으로 나타낸다.

    Returns:
        `(각도, 좌우 뒤집힘, 알릴 것)`. 각도는 0, 90, 180, 270.
    """
    a, b, _, c, d, *_ = struct.unpack("=9i", data[:36])
    mirrored = a * d - b * c < 0
    if mirrored:
        a, b = -a, -b  # 먼저 좌우로 뒤집었다고 보면 첫 열의 부호가 바뀐다.
    quarter = 1 << 15
    turns = {(1, 0): 0, (0, 1): 90, (-1, 0): 180, (0, -1): 270}
    key = tuple((value > quarter) - (value < -quarter) for value in (a, b))
    if key in turns:
        return turns[key], mirrored, []
    return 0, False, ["90도의 배수가 아닌 회전이 적혀 있어 회전을 적용하지 않습니다."]


def hdr_side_data(found: dict[str, bytes], base: int | None, is_hdr: bool) -> dict[str, Any]:
    """프레임에 붙은 HDR 메타데이터.

    Args:
        found: 프레임의 곁 데이터.
        base: Dolby Vision의 밑바탕(`ContainerNotes.dolby`).
        is_hdr: 색의 꼬리표가 PQ나 HLG인지. 적힌 밑바탕이 없는 Dolby Vision은 이것으로 안다.

    Returns:
        `mastering_display`(`red`, `green`, `blue`, `white`의 xy와 `luminance`의 (최소, 최대) cd/m2, 모두 `Fraction`),
        `content_light`((MaxCLL, MaxFALL) cd/m2), `dolby_vision`(그 밑바탕), `hdr10plus`(옮길 수 있는지), `vivid` 가운데
        있는 것.
    """
    result: dict[str, Any] = {}
    if "MASTERING_DISPLAY_METADATA" in found:
        result.update(_mastering(found["MASTERING_DISPLAY_METADATA"]))
    if "CONTENT_LIGHT_LEVEL" in found:
        result["content_light"] = struct.unpack("=II", found["CONTENT_LIGHT_LEVEL"][:8])
    if base is not None or any(name in found for name in _DOLBY):
        result["dolby_vision"] = int(is_hdr) if base is None else base
    if "DYNAMIC_HDR_PLUS" in found:
        result["hdr10plus"] = bool(hdr10plus_message(found["DYNAMIC_HDR_PLUS"]))
    if "DYNAMIC_HDR_VIVID" in found:
        result["vivid"] = True
    return result


def _mastering(data: bytes) -> dict[str, Any]:
    """AVMasteringDisplayMetadata: 유리수 10개(원색 3x2, 흰점 2, 최소, 최대)와 있음 표시 둘."""
    numbers = struct.unpack("=22i", data[:88])
    values = [Fraction(n, d) if d else Fraction(0) for n, d in zip(numbers[:20:2], numbers[1:20:2], strict=True)]
    result: dict[str, Any] = {}
    if numbers[20]:
        names = ("red", "green", "blue", "white")
        result.update({name: (values[2 * i], values[2 * i + 1]) for i, name in enumerate(names)})
    if numbers[21]:
        result["luminance"] = (values[8], values[9])
    return {"mastering_display": result} if result else {}
