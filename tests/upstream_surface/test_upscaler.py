"""원본의 `RealESRGANer`를 쓰던 코드가 기대하는 것: 속성, 단계별 메서드, 이미지의 종류."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from realesrgan import RealESRGANer
from realesrgan.archs.rrdbnet_arch import RRDBNet
from realesrgan.archs.srvgg_arch import SRVGGNetCompact


@pytest.fixture
def upsampler(tmp_path: Path) -> RealESRGANer:
    network = RRDBNet(num_in_ch=3, num_out_ch=3, num_feat=4, num_block=1, num_grow_ch=4, scale=4)
    torch.save({"params_ema": network.state_dict()}, tmp_path / "net.pth")
    return RealESRGANer(
        **{"scale": 4, "model_path": str(tmp_path / "net.pth"), "model": network},
        **{"tile": 10, "tile_pad": 10, "pre_pad": 2, "half": False},
    )


def random_image(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).random(shape).astype(np.float32) * 255


def test_attributes(upsampler: RealESRGANer) -> None:
    assert upsampler.scale == 4 and upsampler.tile_size == 10 and upsampler.tile_pad == 10
    assert upsampler.pre_pad == 2 and upsampler.half is False
    assert isinstance(upsampler.model, RRDBNet) and not upsampler.model.training


def test_step_by_step(upsampler: RealESRGANer) -> None:
    image = random_image(12, 12, 3).astype(np.float32) / 255
    upsampler.pre_process(image)
    assert upsampler.img.shape == (1, 3, 14, 14)
    upsampler.process()
    assert upsampler.output.shape == (1, 3, 56, 56)
    upsampler.mod_scale, upsampler.tile_size = 4, 10
    upsampler.pre_process(image)
    assert upsampler.img.shape == (1, 3, 16, 16)
    upsampler.tile_process()
    assert upsampler.output.shape == (1, 3, 64, 64)
    assert upsampler.post_process().shape[2:] == (48, 48)


@pytest.mark.parametrize(
    ("shape", "mode", "channels"), [((12, 12, 3), "RGB", (3,)), ((12, 12), "L", ()), ((12, 12, 4), "RGBA", (4,))]
)
def test_enhance_gives_the_kind_it_was_given(
    upsampler: RealESRGANer, shape: tuple[int, ...], mode: str, channels: tuple[int, ...]
) -> None:
    for outscale, side in ((None, 48), (2, 24)):
        output, found = upsampler.enhance(random_image(*shape), outscale=outscale)
        assert (output.shape, found, output.dtype) == ((side, side, *channels), mode, np.uint8)
    output, _ = upsampler.enhance(random_image(*shape) * 255, outscale=2)
    assert output.dtype == np.uint16


def test_alpha_without_the_network(upsampler: RealESRGANer) -> None:
    for way in ("realesrgan", "bicubic", None):
        assert upsampler.enhance(random_image(12, 12, 4), alpha_upsampler=way)[0].shape == (48, 48, 4)


def test_two_files_are_interpolated(tmp_path: Path) -> None:
    network = SRVGGNetCompact(num_feat=4, num_conv=1, upscale=4)
    for name in ("one", "two"):
        torch.save({"params": network.state_dict()}, tmp_path / f"{name}.pth")
    paths = [str(tmp_path / "one.pth"), str(tmp_path / "two.pth")]
    made = RealESRGANer(scale=4, model_path=paths, dni_weight=[0.5, 0.5], model=network, tile=0, half=False)
    assert made.enhance(random_image(8, 8, 3))[0].shape == (32, 32, 3)
