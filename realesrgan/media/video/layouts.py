"""FFmpeg의 픽셀 형식(pixel format)과 평면(plane)을 오간다."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from realesrgan.errors import VideoFormatError
from realesrgan.media.video.types import PixelLayout, Planes

_SUBSAMPLING = {"410": (4, 4), "411": (4, 1), "420": (2, 2), "422": (2, 1), "440": (1, 2), "444": (1, 1)}
_ENDIAN = re.compile(r"(le|be)$")
_DEPTHS = {"": 8, **{f"{bits}{order}": bits for bits in range(9, 17) for order in ("le", "be")}}
_PLANES = [("gbrp", "rgb", (1, 1), False), ("gbrap", "rgb", (1, 1), True), ("gray", "gray", (1, 1), False)]
for _chroma, _factors in _SUBSAMPLING.items():
    _PLANES += [(f"yuv{_chroma}p", "yuv", _factors, False), (f"yuva{_chroma}p", "yuv", _factors, True)]
# 빅 엔디언과 `yuvj`는 짝이 되는 형식의 배치가 된다.
PLANAR = {
    f"{name}{depth}": PixelLayout(name if bits == 8 else f"{name}{bits}le", family, bits, factors, alpha)
    for name, family, factors, alpha in _PLANES
    for depth, bits in _DEPTHS.items()
}
PLANAR |= {name.replace("yuv4", "yuvj4"): layout for name, layout in PLANAR.items() if name.startswith("yuv4")}
"""평면 픽셀 형식의 이름과 배치."""


@dataclass(frozen=True)
class Picker:
    """섞인(packed) 형식에서 채널 하나를 골라내는 법.

    Attributes:
        plane: 몇째 평면인지.
        start, step: 줄에서의 첫 자리와 간격(원소 수).
        shift: 오른쪽으로 밀 비트 수.
        mask: 민 뒤에 남길 비트들. 0이면 모두 남긴다.
    """

    plane: int
    start: int
    step: int = 1
    shift: int = 0
    mask: int = 0


@dataclass(frozen=True)
class PackedFormat:
    """섞인 형식 하나. `dtype`의 원소들에서 `pickers`가 `layout`의 평면들을 차례로 고른다."""

    layout: PixelLayout
    dtype: str
    pickers: tuple[Picker, ...]


def make_layout(family: str, bits: int, subsampling: tuple[int, int] = (1, 1), alpha: bool = False) -> PixelLayout:
    """이름까지 채운 평면 배치. 이름은 평면 리틀 엔디언 픽셀 형식의 것이다. 인자는 `PixelLayout`과 같다.

    Raises:
        VideoFormatError: 그런 부표본화의 형식이 FFmpeg에 없을 때.
    """
    chroma = next((name for name, factors in _SUBSAMPLING.items() if factors == subsampling), None)
    if chroma is None:
        raise VideoFormatError(f"다룰 수 없는 색차 부표본화(chroma subsampling)입니다: {subsampling}")
    mark = "a" if alpha else ""
    names = {"gray": "gray", "rgb": f"gbr{mark}p", "yuv": f"yuv{mark}{chroma}p"}
    return PLANAR[names[family] + ("" if bits == 8 else f"{bits}le")]


def _semi_planar(chroma: str, bits: int, shift: int, swap: bool = False) -> PackedFormat:
    first, second = (1, 0) if swap else (0, 1)
    pickers = (Picker(0, 0, 1, shift), Picker(1, first, 2, shift), Picker(1, second, 2, shift))
    return PackedFormat(make_layout("yuv", bits, _SUBSAMPLING[chroma]), "u1" if bits == 8 else "u2", pickers)


def _interleaved(family: str, order: str, bits: int, shift: int = 0) -> PackedFormat:
    """`order`는 원소의 차례다. `x`는 버린다. 예: `bgrx`, `rgb`, `vuya`."""
    names = "gbr" if family == "rgb" else "yuv"
    alpha = "a" in order
    pickers = tuple(Picker(0, order.index(name), len(order), shift) for name in names + "a" * alpha)
    return PackedFormat(make_layout(family, bits, alpha=alpha), "u1" if bits == 8 else "u2", pickers)


def _yuyv(order: str, bits: int, shift: int = 0) -> PackedFormat:
    pickers = (
        Picker(0, order.index("y"), 2, shift),
        Picker(0, order.index("u"), 4, shift),
        Picker(0, order.index("v"), 4, shift),
    )
    return PackedFormat(make_layout("yuv", bits, (2, 1)), "u1" if bits == 8 else "u2", pickers)


def _bit_packed(family: str, shifts: tuple[int, int, int]) -> PackedFormat:
    """32비트 한 칸에 10비트 셋이 든 형식. `shifts`는 평면 차례의 자리다."""
    return PackedFormat(make_layout(family, 10), "u4", tuple(Picker(0, 0, 1, shift, 1023) for shift in shifts))


@cache
def packed_formats() -> dict[str, PackedFormat]:
    """섞인 형식의 표. 평면 형식만 쓰는 비디오에는 필요 없어 처음 쓸 때 만든다."""
    return {
        "nv12": _semi_planar("420", 8, 0),
        "nv21": _semi_planar("420", 8, 0, swap=True),
        "nv16": _semi_planar("422", 8, 0),
        "nv24": _semi_planar("444", 8, 0),
        "nv42": _semi_planar("444", 8, 0, swap=True),
        "nv20": _semi_planar("422", 10, 0),
        **{f"p0{bits}": _semi_planar("420", bits, 16 - bits) for bits in (10, 12, 16)},
        **{f"p2{bits}": _semi_planar("422", bits, 16 - bits) for bits in (10, 12, 16)},
        **{f"p4{bits}": _semi_planar("444", bits, 16 - bits) for bits in (10, 12, 16)},
        "yuyv422": _yuyv("yuyv", 8),
        "uyvy422": _yuyv("uyvy", 8),
        "yvyu422": _yuyv("yvyu", 8),
        **{f"y2{bits}": _yuyv("yuyv", bits, 16 - bits) for bits in (10, 12, 16)},
        "vuya": _interleaved("yuv", "vuya", 8),
        "vuyx": _interleaved("yuv", "vuyx", 8),
        "ayuv": _interleaved("yuv", "ayuv", 8),
        "uyva": _interleaved("yuv", "uyva", 8),
        "vyu444": _interleaved("yuv", "vyu", 8),
        "ayuv64": _interleaved("yuv", "ayuv", 16),
        "xv36": _interleaved("yuv", "uyvx", 12, 4),
        "xv48": _interleaved("yuv", "uyvx", 16),
        "xv30": _bit_packed("yuv", (10, 0, 20)),
        "v30x": _bit_packed("yuv", (12, 2, 22)),
        "x2rgb10": _bit_packed("rgb", (10, 0, 20)),
        "x2bgr10": _bit_packed("rgb", (10, 20, 0)),
        **{name: _interleaved("rgb", name[:3], 8) for name in ("rgb24", "bgr24")},
        **{name: _interleaved("rgb", name.replace("0", "x"), 8) for name in ("rgb0", "bgr0", "0rgb", "0bgr")},
        **{name: _interleaved("rgb", name, 8) for name in ("rgba", "bgra", "argb", "abgr")},
        **{f"{name}48": _interleaved("rgb", name, 16) for name in ("rgb", "bgr")},
        **{f"{name}64": _interleaved("rgb", name, 16) for name in ("rgba", "bgra")},
        "ya8": PackedFormat(make_layout("rgb", 8, alpha=True), "u1", (*[Picker(0, 0, 2)] * 3, Picker(0, 1, 2))),
        "ya16": PackedFormat(make_layout("rgb", 16, alpha=True), "u2", (*[Picker(0, 0, 2)] * 3, Picker(0, 1, 2))),
    }


@cache
def scaled_formats() -> dict[str, PixelLayout]:
    """FFmpeg의 swscale에 맡길 형식과 그 결과의 배치."""
    return {
        # 채널의 비트 수가 서로 다르거나 비트로 묶인 옛 형식. 8비트로 펴는 일은 FFmpeg의 swscale에 맡긴다.
        **dict.fromkeys(("rgb565", "bgr565", "rgb555", "bgr555", "rgb444", "bgr444"), make_layout("rgb", 8)),
        **dict.fromkeys(("rgb8", "bgr8", "rgb4_byte", "bgr4_byte"), make_layout("rgb", 8)),
        **dict.fromkeys(("monow", "monob"), make_layout("gray", 8)),
        "uyyvyy411": make_layout("yuv", 8, (4, 1)),
    }


def layout_of(pix_fmt: str) -> PixelLayout:
    """디코더(decoder)가 내는 픽셀 형식이 어떤 평면 배치가 되는지.

    Raises:
        VideoFormatError: 다룰 수 없는 형식일 때(부동소수점, 바이어(Bayer), XYZ 등).
    """
    if layout := PLANAR.get(pix_fmt):
        return layout
    name = _ENDIAN.sub("", pix_fmt)
    if pix_fmt == "pal8":
        return make_layout("rgb", 8, alpha=True)
    if name in packed_formats():
        return packed_formats()[name].layout
    if name in scaled_formats():
        return scaled_formats()[name]
    raise VideoFormatError(
        f"다룰 수 없는 픽셀 형식입니다: {pix_fmt}\n  이유: 값을 잃지 않고 평면으로 옮기는 방법을 모릅니다.\n"
        "  해결: 다른 프로그램으로 yuv444p16le나 gbrp16le 같은 형식으로 바꾼 뒤 다시 하세요."
    )


def _rows(plane: Any, dtype: str) -> NDArray[Any]:
    """PyAV의 평면을 `(높이, 한 줄의 원소 수)`로 본다. 줄이 거꾸로 놓였으면 바로 세운다."""
    line = plane.line_size
    height = plane.buffer_size // abs(line)
    rows = np.frombuffer(plane, np.uint8).reshape(height, abs(line))
    usable = rows[:, : abs(line) // np.dtype(dtype).itemsize * np.dtype(dtype).itemsize]
    array = usable.view(dtype)
    return array[::-1] if line < 0 else array


def plane_shapes(layout: PixelLayout, width: int, height: int) -> tuple[tuple[int, int], ...]:
    """평면마다의 `(높이, 너비)`. 홀수 크기의 색차는 올린다."""
    full = (height, width)
    if layout.family == "gray":
        return (full,)
    across, down = layout.subsampling
    chroma = (-(-height // down), -(-width // across))
    return (full, chroma, chroma, *[full] * layout.alpha)


def cropped(planes: Planes, layout: PixelLayout, place: tuple[int, int], size: tuple[int, int]) -> Planes:
    """평면들에서 한 곳을 잘라 낸다.

    Args:
        planes: `layout`의 평면들.
        layout: 평면의 배치.
        place: 왼쪽 위의 `(x, y)`, 부표본화의 배수.
        size: `(너비, 높이)`, 픽셀.
    """
    parts = []
    full = planes[0].shape
    for plane, (height, width) in zip(planes, plane_shapes(layout, *size), strict=True):
        across, down = (1, 1) if plane.shape == full else layout.subsampling
        x, y = place[0] // across, place[1] // down
        parts.append(np.ascontiguousarray(plane[y : y + height, x : x + width]))
    return tuple(parts)


def planes_of(frame: Any) -> Planes:
    """PyAV의 프레임에서 평면들을 값 그대로 꺼낸다.

    Args:
        frame: `av.VideoFrame`. 형식은 `layout_of`가 아는 것.

    Returns:
        `layout_of(frame.format.name)`의 차례와 값의 평면들. 프레임의 메모리와 나누지 않는다.

    Raises:
        VideoFormatError: 다룰 수 없는 형식일 때.
    """
    pix_fmt = frame.format.name
    layout = layout_of(pix_fmt)
    order = ">" if pix_fmt.endswith("be") else "<"
    shapes = plane_shapes(layout, frame.width, frame.height)
    target = np.uint8 if layout.bits == 8 else np.uint16
    if pix_fmt not in PLANAR:
        name = _ENDIAN.sub("", pix_fmt)
        if name in scaled_formats():
            return planes_of(frame.reformat(format=layout.pix_fmt))
        if pix_fmt == "pal8":
            return _palette_planes(frame, shapes[0])
        packed = packed_formats()[name]
        rows = [_rows(plane, order + packed.dtype) for plane in frame.planes]
        return tuple(
            _pick(rows[picker.plane], picker, shape, target)
            for picker, shape in zip(packed.pickers, shapes, strict=True)
        )
    dtype = order + ("u1" if layout.bits == 8 else "u2")
    return tuple(
        _rows(plane, dtype)[: shape[0], : shape[1]].astype(target, order="C")
        for plane, shape in zip(frame.planes, shapes, strict=True)
    )


def _pick(rows: NDArray[Any], picker: Picker, shape: tuple[int, int], target: type) -> NDArray[Any]:
    height, width = shape
    values = rows[:height, picker.start :: picker.step][:, :width]
    if picker.shift:
        values = values >> picker.shift
    if picker.mask:
        values = values & picker.mask
    return values.astype(target, order="C")


def _palette_planes(frame: Any, shape: tuple[int, int]) -> Planes:
    """팔레트(palette)는 원소마다 네이티브 32비트 0xAARRGGBB다."""
    indices = _rows(frame.planes[0], "u1")[: shape[0], : shape[1]]
    palette = np.frombuffer(frame.planes[1], np.uint32, 256)
    return tuple(((palette >> shift) & 255).astype(np.uint8)[indices] for shift in (8, 0, 16, 24))


def frame_of(planes: Planes, layout: PixelLayout) -> Any:
    """평면들을 `av.VideoFrame`으로 옮긴다. 시각은 비어 있다.

    Args:
        planes: `layout`의 차례와 모양의 평면들.
        layout: 평면 배치.

    Raises:
        ValueError: 평면의 수나 모양이 배치와 다를 때.
    """
    from realesrgan.media.video.files import import_av

    height, width = planes[0].shape
    shapes = plane_shapes(layout, width, height)
    if [plane.shape for plane in planes] != list(shapes):
        raise ValueError(f"평면의 모양이 {layout.pix_fmt}와 맞지 않습니다: {[plane.shape for plane in planes]}")
    frame = import_av().VideoFrame(width, height, layout.pix_fmt)
    dtype = "<u1" if layout.bits == 8 else "<u2"
    for plane, values in zip(frame.planes, planes, strict=True):
        rows = np.frombuffer(memoryview(plane), np.uint8).reshape(-1, plane.line_size).view(dtype)
        rows[: values.shape[0], : values.shape[1]] = values
    return frame
