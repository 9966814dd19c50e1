"""비디오의 프레임을 키우는 일. 네트워크는 최근접 확대라 결과를 정확히 알 수 있다."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from realesrgan.errors import NonFiniteOutputError, OutOfMemoryError
from realesrgan.inference.frames import FrameFormat, FrameUpscaler
from realesrgan.inference.model import load
from realesrgan.inference.realesrganer import RealESRGANer
from realesrgan.inference.upscaler import Upscaler
from realesrgan.media.video.types import Colour, PixelLayout
from tests.conftest import nearest_network, small_rrdbnet

YUV420 = PixelLayout("yuv420p", "yuv", 8, (2, 2))
YUV444 = PixelLayout("yuv444p", "yuv", 8)
GBRP = PixelLayout("gbrp", "rgb", 8)
GBRAP = PixelLayout("gbrap", "rgb", 8, alpha=True)
BT709 = Colour(1, 1, 1)


def save(network: torch.nn.Module, folder: Path) -> Path:
    path = folder / "network.pth"
    torch.save({"params": network.state_dict()}, path)
    return path


@pytest.fixture
def nearest(nearest_weights) -> Callable[..., Upscaler]:
    return lambda scale=2, **options: load(nearest_weights(scale), device="cpu", tile=0, **options).upscaler


def noise(layout: PixelLayout, width: int, height: int, count: int = 1) -> list[tuple[np.ndarray, ...]]:
    rng = np.random.default_rng(0)
    across, down = layout.subsampling
    sizes = [(height, width)]
    if layout.family == "yuv":
        sizes += [(-(-height // down), -(-width // across))] * 2
    elif layout.family == "rgb":
        sizes *= 3
    sizes += [(height, width)] * layout.alpha
    dtype = np.uint8 if layout.bits == 8 else np.uint16
    return [tuple(rng.integers(0, 2**layout.bits, size, dtype=dtype) for size in sizes) for _ in range(count)]


def enlarge(plane: np.ndarray, scale: int) -> np.ndarray:
    return plane.repeat(scale, axis=0).repeat(scale, axis=1)


@pytest.mark.parametrize("bits", [8, 10, 12, 16])
def test_rgb_frames_are_enlarged_without_losing_a_level(nearest, bits):
    layout = PixelLayout("any", "rgb", bits)
    frames = noise(layout, 13, 7, count=3)
    upscale = FrameUpscaler(nearest(), FrameFormat(layout, Colour(), 13, 7), FrameFormat(layout, Colour(), 26, 14))
    for before, after in zip(frames, upscale(frames), strict=True):
        for source, result in zip(before, after, strict=True):
            assert result.dtype == source.dtype and result.flags.c_contiguous
            np.testing.assert_array_equal(result, enlarge(source, 2))


def test_yuv_frames_keep_their_colours(nearest):
    """밝기가 고르게 변하는 이미지는 다른 행렬과 부표본화를 거쳐도 두 단계 안에서 같다."""
    ramp = np.linspace(60, 180, 32 * 24).reshape(24, 32)
    planes = tuple(np.asarray(part, np.uint8) for part in (ramp, ramp[::2, ::2] / 2 + 70, 200 - ramp[::2, ::2] / 2))
    upscale = FrameUpscaler(nearest(4), FrameFormat(YUV420, BT709, 32, 24), FrameFormat(YUV420, BT709, 128, 96))
    (result,) = upscale([planes])
    for source, found in zip(planes, result, strict=True):
        shrunk = cv2.resize(found.astype(np.float32), source.shape[::-1], interpolation=cv2.INTER_AREA)
        assert np.abs(shrunk - source)[2:-2, 2:-2].max() <= 2


@pytest.mark.parametrize(("rotation", "numpy_turns"), [(90, -1), (180, 2), (270, 1)])
def test_rotation_is_clockwise_and_works_with_uneven_subsampling(nearest, rotation, numpy_turns):
    frames = noise(GBRP, 6, 4)
    size = (8, 12) if rotation % 180 else (12, 8)
    target = FrameFormat(GBRP, Colour(), *size)
    (result,) = FrameUpscaler(nearest(), FrameFormat(GBRP, Colour(), 6, 4), target, rotation=rotation)(frames)
    for source, found in zip(frames[0], result, strict=True):
        np.testing.assert_array_equal(found, enlarge(np.rot90(source, numpy_turns), 2))


def test_tiles_give_the_same_picture_as_the_whole(tmp_path):
    upsampler = RealESRGANer(4, save(small_rrdbnet(), tmp_path), model=small_rrdbnet(), tile_pad=16, pre_pad=0)
    source, target = FrameFormat(YUV420, BT709, 50, 38), FrameFormat(YUV420, BT709, 200, 152)
    frames = noise(YUV420, 50, 38, count=2)
    whole = FrameUpscaler(upsampler.upscaler, source, target)(frames)
    upsampler.tile_size = 24
    tiled = FrameUpscaler(upsampler.upscaler, source, target)(frames)
    for first, second in zip(whole, tiled, strict=True):
        for plane, other in zip(first, second, strict=True):
            assert np.abs(plane.astype(int) - other.astype(int)).max() <= 1


def test_a_frame_matches_what_enhance_gives_for_the_same_picture(tmp_path):
    upsampler = RealESRGANer(4, save(small_rrdbnet(), tmp_path), model=small_rrdbnet(), pre_pad=0)
    (frame,) = noise(GBRP, 20, 16)
    upscale = FrameUpscaler(
        upsampler.upscaler, FrameFormat(GBRP, Colour(), 20, 16), FrameFormat(GBRP, Colour(), 80, 64)
    )
    green, blue, red = upscale([frame])[0]
    picture, _ = upsampler.enhance(np.dstack([frame[1], frame[0], frame[2]]))
    np.testing.assert_array_equal(np.dstack([blue, green, red]), picture)


def test_sizes_that_need_padding_are_cropped_back(tmp_path):
    upsampler = RealESRGANer(2, save(small_rrdbnet(2), tmp_path), model=small_rrdbnet(2), pre_pad=5)
    upscale = FrameUpscaler(upsampler.upscaler, FrameFormat(GBRP, Colour(), 7, 3), FrameFormat(GBRP, Colour(), 14, 6))
    assert {plane.shape for plane in upscale(noise(GBRP, 7, 3))[0]} == {(6, 14)}


def test_a_target_of_another_size_is_resized_without_aliasing(nearest):
    """한 픽셀 바둑판을 줄이면 고른 회색이 되어야 한다."""
    board = (np.indices((16, 16)).sum(axis=0) % 2 * 255).astype(np.uint8)
    target = FrameFormat(GBRP, Colour(), 8, 8)
    (result,) = FrameUpscaler(nearest(), FrameFormat(GBRP, Colour(), 16, 16), target)([(board,) * 3])
    assert np.abs(result[0].astype(int) - 128)[2:-2, 2:-2].max() < 12


@pytest.mark.parametrize("network_alpha", [True, False])
def test_alpha_is_enlarged_and_hidden_colours_do_not_bleed(nearest, network_alpha):
    planes = [np.full((8, 8), 200, np.uint8) for _ in range(4)]
    for plane in planes:
        plane[:, :4] = 0
    source, target = FrameFormat(GBRAP, Colour(), 8, 8), FrameFormat(GBRAP, Colour(), 16, 16)
    (result,) = FrameUpscaler(nearest(), source, target, network_alpha=network_alpha)([tuple(planes)])
    assert result[3][0, 0] == 0 and result[3][0, -1] == 200
    # 투명한 쪽에도 보이는 색이 번져 있어, 어디를 보아도 검은 테두리가 없다.
    assert {int(plane.min()) for plane in result[:3]} == {200}


def test_a_target_with_alpha_is_opaque_when_the_source_has_none(nearest):
    source, target = FrameFormat(GBRP, Colour(), 4, 4), FrameFormat(GBRAP, Colour(), 8, 8)
    (result,) = FrameUpscaler(nearest(), source, target)(noise(GBRP, 4, 4))
    assert result[3].min() == 255


def test_running_out_of_memory_falls_back_to_single_frames_and_then_strips(nearest, monkeypatch, caplog):
    upsampler = nearest()
    run = type(upsampler.engine).__call__

    def limited(self, batch: torch.Tensor) -> torch.Tensor:
        if batch.numel() > 3 * 40 * 40:
            raise OutOfMemoryError("가득 참")
        return run(self, batch)

    monkeypatch.setattr(type(upsampler.engine), "__call__", limited)
    frames = noise(GBRP, 60, 44, count=2)
    upscale = FrameUpscaler(upsampler, FrameFormat(GBRP, Colour(), 60, 44), FrameFormat(GBRP, Colour(), 120, 88))
    for _ in range(2):
        for before, after in zip(frames, upscale(frames), strict=True):
            np.testing.assert_array_equal(after[0], enlarge(before[0], 2))
    # 한번 줄인 것을 기억하므로 프레임마다 다시 실패하지 않는다.
    assert [("한 장씩" in record.message, "띠로" in record.message) for record in caplog.records] == [
        (True, False),
        (False, True),
    ]


def test_a_network_that_gives_nan_is_an_error_not_a_black_frame(tmp_path):
    network = nearest_network(2)
    with torch.no_grad():
        network.body[-1].bias.fill_(float("nan"))
    upsampler = RealESRGANer(2, save(network, tmp_path), pre_pad=0, device="cpu")
    upscale = FrameUpscaler(upsampler.upscaler, FrameFormat(GBRP, Colour(), 8, 8), FrameFormat(GBRP, Colour(), 16, 16))
    with pytest.raises(NonFiniteOutputError):
        upscale(noise(GBRP, 8, 8))


def test_an_angle_that_is_not_a_quarter_turn_is_refused(nearest):
    shape = FrameFormat(YUV444, BT709, 8, 8)
    with pytest.raises(ValueError, match="90"):
        FrameUpscaler(nearest(), shape, shape, rotation=45)
