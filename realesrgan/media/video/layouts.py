"""FFmpeg의 픽셀 형식(pixel format)과 평면(plane)을 오간다."""

from __future__ import annotations

import re
from functools import cache
from typing import Any

import numpy as np

from realesrgan.errors import VideoFormatError
from realesrgan.media.video.types import PixelLayout, Planes

_SUBSAMPLING = {"410": (4, 4), "411": (4, 1), "420": (2, 2), "422": (2, 1), "440": (1, 2), "444": (1, 1)}
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


_LOSSY = re.compile(r"f(16|32)|bayer|xyz|msb|^(rgb|bgr)4$|^(v30x|xv30|x2rgb10|x2bgr10|y21[026])be")
"""값을 잃지 않고 정수 평면으로 옮길 수 없는 형식: 부동소수점, 바이어(Bayer), XYZ, swscale이 읽지 못하는 것."""
_DEEPEST = 16


@cache
def layout_of(pix_fmt: str) -> PixelLayout:
    """디코더(decoder)가 내는 픽셀 형식이 어떤 평면 배치가 되는지.

    섞인(packed) 형식과 팔레트는 펴고, 8비트보다 얕은 것은 8비트로 본다.

    Raises:
        VideoFormatError: 다룰 수 없는 형식일 때(부동소수점, 바이어(Bayer), XYZ 등).
    """
    from realesrgan.media.video.files import import_av

    if layout := PLANAR.get(pix_fmt):
        return layout
    try:
        found = import_av().VideoFormat(pix_fmt)
    except ValueError:
        found = None
    parts = () if found is None else found.components
    bits = max((8, *(part.bits for part in parts)))
    if found is None or not parts or bits > _DEEPEST or _LOSSY.search(pix_fmt):
        raise VideoFormatError(
            f"다룰 수 없는 픽셀 형식입니다: {pix_fmt}\n  이유: 값을 잃지 않고 평면으로 옮기는 방법을 모릅니다.\n"
            "  해결: 다른 프로그램으로 yuv444p16le나 gbrp16le 같은 형식으로 바꾼 뒤 다시 하세요."
        )
    alpha = found.has_palette or any(part.is_alpha for part in parts)
    if found.is_rgb or found.has_palette or len(parts) < 3:
        # 회색에 알파가 붙은 것은 RGB로 편다. 팔레트는 언제나 알파를 가질 수 있다.
        return make_layout(
            "gray" if len(parts) == 1 and not (found.is_rgb or found.has_palette) else "rgb", bits, alpha=alpha
        )
    return make_layout("yuv", bits, (8 // found.chroma_width(8), 8 // found.chroma_height(8)), alpha)


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
    layout = layout_of(frame.format.name)
    if frame.format.name not in PLANAR:
        frame = frame.reformat(format=layout.pix_fmt)
    target: type[np.uint8 | np.uint16] = np.uint8 if layout.bits == 8 else np.uint16
    dtype = np.dtype(target).newbyteorder(">" if frame.format.name.endswith("be") else "<")
    planes = []
    for plane in frame.planes:
        line = abs(plane.line_size)
        rows = np.frombuffer(plane, np.uint8).reshape(plane.buffer_size // line, line)
        rows = rows[:: 1 if plane.line_size > 0 else -1]  # 줄이 거꾸로 놓였으면 바로 세운다.
        usable = rows[:, : line // dtype.itemsize * dtype.itemsize].view(dtype)
        planes.append(usable[: plane.height, : plane.width].astype(target, order="C"))
    return tuple(planes)


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
    frame = import_av().VideoFrame(width, height, layout.pix_fmt)
    if [plane.shape for plane in planes] != [(plane.height, plane.width) for plane in frame.planes]:
        raise ValueError(f"평면의 모양이 {layout.pix_fmt}와 맞지 않습니다: {[plane.shape for plane in planes]}")
    dtype = "<u1" if layout.bits == 8 else "<u2"
    for plane, values in zip(frame.planes, planes, strict=True):
        rows = np.frombuffer(memoryview(plane), np.uint8).reshape(-1, plane.line_size).view(dtype)
        rows[: values.shape[0], : values.shape[1]] = values
    return frame
