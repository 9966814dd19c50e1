"""픽셀 형식을 값 그대로 평면으로 옮긴다."""

from __future__ import annotations

import av
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from realesrgan.errors import VideoFormatError
from realesrgan.media.video.layouts import frame_of, layout_of, make_layout, plane_shapes, planes_of
from realesrgan.media.video.types import Planes

# 짝이 되는 평면 형식에서 swscale로 만들 수 있고, 홀수 너비에서도 swscale이 값을 지키는 형식들.
PACKED = (
    "nv12", "nv21", "nv16", "nv24", "nv42", "p010le", "p010be", "p012le", "p016le", "p210le", "p410le", "p212le",
    "p416le", "yuyv422", "uyvy422", "yvyu422", "y210le", "y212le", "y216le", "vuya", "ayuv", "uyva", "vyu444", "vuyx",
    "ayuv64le", "ayuv64be", "xv30le", "v30xle", "xv36le", "xv36be", "xv48le", "x2rgb10le", "x2bgr10le", "rgb24",
    "bgr24", "rgb0", "bgr0", "0rgb", "0bgr", "rgba", "bgra", "argb", "abgr", "rgb48le", "rgb48be", "bgr48le",
    "rgba64le", "rgba64be", "bgra64le", "yuv420p10be", "gbrp12be", "gray16be", "yuvj420p", "yuv440p10le", "yuv411p",
)  # fmt: skip


def random_planes(pix_fmt: str, width: int, height: int) -> Planes:
    layout = layout_of(pix_fmt)
    rng = np.random.default_rng(width * height)
    dtype = np.uint8 if layout.bits == 8 else np.uint16
    return tuple(
        rng.integers(0, 1 << layout.bits, shape).astype(dtype) for shape in plane_shapes(layout, width, height)
    )


@pytest.mark.parametrize("pix_fmt", PACKED)
def test_repacking_keeps_every_value(pix_fmt: str) -> None:
    layout = layout_of(pix_fmt)
    expected = random_planes(pix_fmt, 64, 6)
    frame = frame_of(expected, layout)
    if pix_fmt == "yuvj420p":
        frame.color_range = 2
    packed = frame.reformat(format=pix_fmt)
    assert packed.format.name in (pix_fmt, layout.pix_fmt)
    assert all(np.array_equal(a, b) for a, b in zip(planes_of(packed), expected, strict=True))


@settings(max_examples=40, deadline=None)
@given(
    pix_fmt=st.sampled_from(["yuv420p", "yuv422p10le", "yuva420p", "yuv410p", "gbrp", "gbrap16le", "gray", "gray12le"]),
    width=st.integers(1, 70),
    height=st.integers(1, 40),
)
def test_planes_survive_the_way_there_and_back(pix_fmt: str, width: int, height: int) -> None:
    expected = random_planes(pix_fmt, width, height)
    assert all(
        np.array_equal(a, b) for a, b in zip(planes_of(frame_of(expected, layout_of(pix_fmt))), expected, strict=True)
    )


def test_the_palette_becomes_rgb_with_alpha() -> None:
    frame = av.VideoFrame(4, 2, "pal8")
    line = frame.planes[0].line_size
    indices = np.zeros((2, line), np.uint8)
    indices[:, :4] = [[0, 1, 2, 3], [3, 2, 1, 0]]
    palette = np.zeros(256, np.uint32)
    palette[:4] = [0xFF102030, 0x80405060, 0x00708090, 0xFFA0B0C0]
    frame.planes[0].update(indices.tobytes())
    frame.planes[1].update(palette.tobytes())
    green, blue, red, alpha = planes_of(frame)
    assert red[0].tolist() == [0x10, 0x40, 0x70, 0xA0]
    assert green[1].tolist() == [0xB0, 0x80, 0x50, 0x20]
    assert blue[0].tolist() == [0x30, 0x60, 0x90, 0xC0]
    assert alpha[0].tolist() == [255, 128, 0, 255]


def test_gray_with_alpha_becomes_rgb_with_alpha() -> None:
    frame = av.VideoFrame(2, 1, "ya8")
    frame.planes[0].update(bytes([10, 20, 30, 40]).ljust(frame.planes[0].buffer_size, b"\0"))
    green, blue, red, alpha = planes_of(frame)
    assert green.tolist() == blue.tolist() == red.tolist() == [[10, 30]]
    assert alpha.tolist() == [[20, 40]]


@pytest.mark.parametrize("pix_fmt", ["gbrpf32le", "bayer_rggb8", "xyz12le", "nothing"])
def test_an_unknown_format_is_refused_with_the_remedy(pix_fmt: str) -> None:
    with pytest.raises(VideoFormatError, match="해결"):
        layout_of(pix_fmt)


def test_planes_of_the_wrong_shape_are_refused() -> None:
    with pytest.raises(ValueError, match="맞지 않습니다"):
        frame_of((np.zeros((4, 4), np.uint8),) * 3, make_layout("yuv", 8, (2, 2)))
