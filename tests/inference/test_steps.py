"""네트워크와 파일 사이의 단계."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from realesrgan.errors import UsageError
from realesrgan.inference.engines.base import create_engine
from realesrgan.inference.steps import STEPS, Blend, enlarge_lanczos, parse_steps, register_step
from realesrgan.inference.upscaler import Upscaler
from tests.conftest import small_rrdbnet


@pytest.mark.parametrize("scale", [1, 2, 3, 4])
def test_lanczos_agrees_with_pillow_inside(scale: int) -> None:
    image = np.random.default_rng(0).random((24, 30)).astype(np.float32)
    ours = enlarge_lanczos(torch.from_numpy(image)[None, None], scale)[0, 0].numpy()
    theirs = np.asarray(Image.fromarray(image).resize((30 * scale, 24 * scale), Image.Resampling.LANCZOS))
    inside = slice(3 * scale, -3 * scale)
    np.testing.assert_allclose(ours[inside, inside], theirs[inside, inside], atol=1e-5)


@settings(max_examples=20, deadline=None)
@given(value=st.floats(0, 1), scale=st.integers(1, 4), height=st.integers(1, 9), width=st.integers(1, 9))
def test_flat_picture_stays_flat(value: float, scale: int, height: int, width: int) -> None:
    enlarged = enlarge_lanczos(torch.full((2, 3, height, width), value), scale)
    assert enlarged.shape == (2, 3, height * scale, width * scale)
    assert torch.allclose(enlarged, torch.full_like(enlarged, value), atol=1e-5)


def test_blend_lies_between_the_network_and_lanczos() -> None:
    source, enlarged = torch.rand(1, 3, 8, 8), torch.rand(1, 3, 16, 16)
    smooth = enlarge_lanczos(source, 2).clamp(0, 1)
    assert torch.equal(Blend(1)(enlarged, source), enlarged)
    assert torch.allclose(Blend(0)(enlarged, source), smooth)
    assert torch.allclose(Blend(0.25)(enlarged, source), 0.25 * enlarged + 0.75 * smooth, atol=1e-6)


def test_steps_give_the_same_picture_in_tiles_and_as_a_whole() -> None:
    network = small_rrdbnet()
    image = np.random.default_rng(0).integers(0, 256, (40, 44, 3), np.uint8)
    pictures = [
        Upscaler(create_engine(network, device="cpu"), tile=tile, tile_pad=20, steps=parse_steps(["blend=0.4"]))
        .upscale(image)
        .astype(int)
        for tile in (0, 16)
    ]
    assert np.abs(pictures[0] - pictures[1]).max() <= 1


def test_margin_of_a_step_is_kept_even_when_the_pad_is_smaller() -> None:
    network = small_rrdbnet()
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.zero_()
    image = np.random.default_rng(0).integers(0, 256, (30, 30, 3), np.uint8)
    whole, tiled = (
        Upscaler(create_engine(network, device="cpu"), tile=tile, tile_pad=0, steps=[Blend(0)]).upscale(image)
        for tile in (0, 7)
    )
    np.testing.assert_array_equal(whole, tiled)


@pytest.mark.parametrize("wanted", ["unknown", "blend", "blend=2", "blend=-0.1", "blend=nan", "blend=half"])
def test_odd_step_is_a_usage_error(wanted: str) -> None:
    with pytest.raises(UsageError, match=r"[가-힣]"):
        parse_steps([wanted])


def test_a_function_without_the_shape_of_a_step_is_a_usage_error() -> None:
    with pytest.raises(UsageError, match="margin"):
        parse_steps([lambda enlarged, source: enlarged])


def test_step_is_told_as_it_is_written() -> None:
    assert [step.text for step in parse_steps(["blend=0.70", Blend(1)])] == ["blend=0.7", "blend=1"]


def test_own_step_is_added_by_one_call(monkeypatch: pytest.MonkeyPatch) -> None:
    class Invert:
        text, margin = "invert", 0

        def __call__(self, enlarged: torch.Tensor, _source: torch.Tensor) -> torch.Tensor:
            return 1 - enlarged

    monkeypatch.setattr("realesrgan.inference.steps.STEPS", dict(STEPS))
    register_step("invert", lambda _value: Invert())
    (step,) = parse_steps(["invert"])
    assert torch.equal(step(torch.zeros(1), torch.zeros(1)), torch.ones(1))
    with pytest.raises(ValueError, match="이미"):
        register_step("invert", lambda _value: Invert())
