"""네트워크와 파일 사이의 단계."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

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


def test_a_value_that_an_own_step_cannot_read_is_a_usage_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("realesrgan.inference.steps.STEPS", dict(STEPS))
    register_step("tint", float)
    with pytest.raises(UsageError, match="단계 tint에 쓸 수 없는 값"):
        parse_steps(["tint=red"])
    with pytest.raises(UsageError, match="단계로 쓸 수 없습니다"):
        parse_steps(["tint=1"])


def test_a_function_without_the_shape_of_a_step_is_a_usage_error() -> None:
    with pytest.raises(UsageError, match="margin"):
        parse_steps([lambda enlarged, source: enlarged])


class Own:
    """받은 함수로 고치는 단계."""

    def __init__(self, work: Callable[[torch.Tensor, torch.Tensor], Any], margin: Any = 0, text: Any = "own") -> None:
        self.work, self.margin, self.text = work, margin, text

    def __call__(self, enlarged: torch.Tensor, source: torch.Tensor) -> Any:
        return self.work(enlarged, source)


@pytest.mark.parametrize(("margin", "text"), [(-1, "own"), (1.5, "own"), ("2", "own"), (0, 3), (None, "own")])
def test_a_step_with_an_odd_margin_or_text_is_refused_before_the_work(margin: Any, text: Any) -> None:
    with pytest.raises(UsageError, match="margin"):
        parse_steps([Own(lambda enlarged, _: enlarged, margin, text)])


@pytest.mark.parametrize("tile", [0, 8])
@pytest.mark.parametrize(
    ("work", "reason"),
    [
        (lambda enlarged, _: enlarged[..., :-1], "다른 모양"),
        (lambda enlarged, _: enlarged.mean(1, keepdim=True), "다른 모양"),
        (lambda enlarged, _: enlarged.numpy(), "ndarray"),
        (lambda enlarged, _: None, "NoneType"),
        (lambda enlarged, _: enlarged / 0, "NaN"),
    ],
)
def test_a_step_that_gives_something_else_is_named_and_no_black_picture_comes_out(
    work: Any, reason: str, tile: int
) -> None:
    upscaler = Upscaler(create_engine(small_rrdbnet(), device="cpu"), tile=tile, steps=[Own(work)])
    with pytest.raises(UsageError, match=rf"단계 own[\s\S]*{reason}"):
        upscaler.upscale(np.full((12, 13, 3), 90, np.uint8))
    with pytest.raises(UsageError, match="단계 own"):
        upscaler.upscale_frames(torch.rand(2, 3, 12, 13))


@pytest.mark.parametrize("change", [torch.Tensor.half, torch.Tensor.double, lambda result: result.mul_(1)])
def test_a_step_may_change_the_type_and_the_tensor_it_got(change: Any) -> None:
    image = np.random.default_rng(0).integers(0, 256, (12, 13, 3), np.uint8)
    plain = Upscaler(create_engine(small_rrdbnet(), device="cpu"))
    own = plain.with_steps([Own(lambda enlarged, _: change(enlarged))])
    assert np.abs(own.upscale(image).astype(int) - plain.upscale(image)).max() <= 1
    frames = torch.rand(2, 3, 12, 13)
    found = own.upscale_frames(frames)
    assert found.dtype == torch.float32 and torch.allclose(found, plain.upscale_frames(frames), atol=2e-3)


def test_a_step_that_runs_out_of_memory_is_done_again_in_smaller_tiles() -> None:
    largest = 24 * 24

    def greedy(enlarged: torch.Tensor, source: torch.Tensor) -> torch.Tensor:
        if source.shape[-1] * source.shape[-2] > largest:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate")
        return enlarged

    image = np.random.default_rng(0).integers(0, 256, (60, 61, 3), np.uint8)
    engine = create_engine(small_rrdbnet(), device="cpu")
    expected = Upscaler(engine, tile=32, tile_pad=4).upscale(image)
    found = Upscaler(engine, tile=32, tile_pad=4, steps=[Own(greedy)]).upscale(image)
    assert found.shape == expected.shape


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
