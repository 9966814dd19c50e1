"""마무리하는 단계: 색과 선명함."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from realesrgan.data.degradations import usm_sharpen
from realesrgan.errors import UsageError
from realesrgan.face.align import TEMPLATE
from realesrgan.face.mtcnn import Face
from realesrgan.face.restoration import FaceRestoration
from realesrgan.inference import finish, picture
from realesrgan.inference.engines.base import create_engine
from realesrgan.inference.finish import AdainColour, FrameCanvas, Sharpen, WaveletColour, finish_image
from realesrgan.inference.frames import FrameFormat, FrameUpscaler
from realesrgan.inference.model import Model, load
from realesrgan.inference.picture import PictureSettings, upscale_file
from realesrgan.inference.steps import enlarge_lanczos, parse_steps, split_steps
from realesrgan.inference.tiling import total_margin
from realesrgan.inference.upscaler import Upscaler
from realesrgan.media.video.types import Colour, PixelLayout
from realesrgan.util.numbers import OutputSize
from tests.conftest import nearest_network, small_rrdbnet

RNG = np.random.default_rng(0)


@pytest.fixture
def nearest(nearest_weights: Callable[[int], Path]) -> Model:
    return load(nearest_weights(4), device="cpu", backend="torch", tile=0)


def test_sharpening_is_the_one_of_the_training() -> None:
    image = torch.rand(2, 3, 60, 70)
    torch.testing.assert_close(Sharpen(0.5)(image, image), usm_sharpen(image.clone()), atol=2e-5, rtol=0)


def test_blur_is_the_same_off_the_cpu() -> None:
    image = torch.rand(2, 3, 9, 70)
    expected = finish.gaussian_blur(image)

    torch.testing.assert_close(finish._gaussian_by_convolution(image), expected, atol=1e-5, rtol=0)


@settings(max_examples=15, deadline=None)
@given(height=st.integers(1, 40), width=st.integers(1, 40), scale=st.integers(1, 4))
def test_steps_take_any_size_and_leave_a_flat_picture_alone(height: int, width: int, scale: int) -> None:
    source, enlarged = torch.full((1, 3, height, width), 0.4), torch.full((1, 3, height * scale, width * scale), 0.4)
    for step in (Sharpen(1), WaveletColour()):
        torch.testing.assert_close(step(enlarged, source), enlarged, atol=1e-5, rtol=0)


@pytest.mark.parametrize(
    "steps", [["sharpen=0.7"], ["color_fix=wavelet"], ["blend=0.5", "color_fix=wavelet", "sharpen=1"]]
)
@pytest.mark.parametrize("how", ["tiles", "strips"])
def test_steps_one_after_another_see_far_enough(steps: list[str], how: str) -> None:
    """반지름을 더하지 않으면 앞 단계의 가장자리가 다음 단계에 남는다."""
    network = small_rrdbnet() if how == "strips" else nearest_network(4)
    engine, parsed = create_engine(network, device="cpu", backend="torch"), parse_steps(steps)
    image = RNG.integers(0, 256, (70, 60, 3), np.uint8)
    whole = Upscaler(engine, tile=0, steps=parsed).upscale(image).astype(int)
    parts = Upscaler(engine, tile=24 if how == "tiles" else "auto", tile_pad=0, steps=parsed)
    if how == "strips":
        parts.budget = 2_000_000
        assert parts.cut_for(70, 60) is not None
    assert np.abs(parts.upscale(image).astype(int) - whole).max() <= 1
    assert total_margin(parsed, 4) == sum(total_margin([step], 4) for step in parsed)


def test_wavelet_takes_the_low_frequencies_and_keeps_the_high_ones() -> None:
    source = enlarge_lanczos(torch.rand(1, 3, 6, 6), 8).clamp(0, 1)
    detail = (torch.rand(1, 3, 192, 192) - 0.5) * 0.1
    tinted = enlarge_lanczos(source, 4) * 0.8 + 0.1 + detail
    fixed = WaveletColour()(tinted, source)

    def colour_error(image: torch.Tensor) -> float:
        return float((torch.nn.functional.avg_pool2d(image, 4) - source).mean((2, 3)).abs().mean())

    assert colour_error(fixed) < colour_error(tinted) / 20
    high = lambda image: image - finish.gaussian_blur(image)  # noqa: E731
    assert float((high(fixed) - high(tinted)).abs().mean()) < float(high(tinted).abs().mean()) / 5


@pytest.mark.parametrize("shape", [(20, 24), (20, 24, 3), (20, 24, 4)])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
def test_adain_gives_each_channel_the_mean_and_spread_of_the_source(
    nearest: Model, shape: tuple[int, ...], dtype: type, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(finish, "ROWS_AT_ONCE", 7)
    top = 1 if dtype is np.float32 else np.iinfo(dtype).max
    image = (RNG.normal(0.5, 0.08, shape).clip(0, 1) * top).astype(dtype)

    class Tint:
        text, margin = "tint", 0

        def __call__(self, enlarged: torch.Tensor, source: torch.Tensor) -> torch.Tensor:
            return enlarged * 0.5 + 0.1

    plain = nearest.upscale(image, steps=[Tint()]) / top
    fixed = nearest.upscale(image, steps=[Tint(), "color_fix=adain"]) / top
    colour = slice(None) if len(shape) == 2 else (..., slice(0, 3))
    axes = (0, 1)
    wanted = (image / top)[colour]
    np.testing.assert_allclose(fixed[colour].mean(axes), wanted.mean(axes), atol=3e-3)
    np.testing.assert_allclose(fixed[colour].std(axes), wanted.std(axes), atol=3e-3)
    assert np.abs(plain[colour].mean() - wanted.mean()) > 0.1
    if shape[2:] == (4,):
        np.testing.assert_array_equal(fixed[..., 3], plain[..., 3])


def test_frames_are_finished_like_pictures(nearest: Model) -> None:
    layout = PixelLayout("gbrp", "rgb", 8)
    frame = RNG.integers(60, 190, (3, 20, 24), np.uint8)
    by_tile, whole = split_steps(parse_steps(["sharpen=1", "color_fix=adain"]))
    upscale = FrameUpscaler(
        nearest.upscaler.with_steps(by_tile),
        FrameFormat(layout, Colour(), 24, 20),
        FrameFormat(layout, Colour(), 96, 80),
        whole=whole,
    )
    (made,) = upscale([tuple(frame)])
    rgb = np.stack(frame).transpose(1, 2, 0)
    picture = nearest.upscale(rgb, steps=["sharpen=1", "color_fix=adain"]).transpose(2, 0, 1)
    assert np.abs(np.stack(made).astype(int) - picture).max() <= 2


def test_step_of_the_last_pass_is_done_once(nearest: Model) -> None:
    calls: list[tuple[int, ...]] = []

    class Watch:
        text, margin = "watch", 0

        def __init__(self, last: bool) -> None:
            self.last = last

        def __call__(self, enlarged: torch.Tensor, source: torch.Tensor) -> torch.Tensor:
            calls.append((self.last, source.shape[-1]))
            return enlarged

    nearest.upscale(np.zeros((4, 5, 3), np.uint8), outscale=16, steps=[Watch(False), Watch(True)])
    assert calls == [(False, 5), (False, 20), (True, 20)]


def test_whole_steps_count_what_they_find() -> None:
    class Count:
        text = "count"

        def finish(self, enlarged: FrameCanvas, source: FrameCanvas) -> dict[str, int]:
            return {"found": source.size[0]}

    from collections import Counter

    counts: Counter[str] = Counter(found=1)
    finish_image([Count(), AdainColour()], FrameCanvas(torch.rand(3, 8, 8)), FrameCanvas(torch.rand(3, 2, 2)), counts)
    assert counts == {"found": 3}


@pytest.mark.parametrize("wanted", ["sharpen=4", "sharpen=-1", "sharpen=x", "sharpen", "color_fix", "color_fix=none"])
def test_odd_value_is_a_usage_error(wanted: str) -> None:
    with pytest.raises(UsageError, match=r"[가-힣]"):
        parse_steps([wanted])


@pytest.mark.parametrize("options", [{}, {"outscale": OutputSize(width=70)}, {"outscale": 16}])
@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA"])
def test_result_kept_in_a_file_is_finished_in_place(
    nearest: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mode: str, options: dict[str, Any]
) -> None:
    """큰 원본은 자른 곳만 읽고 큰 결과는 파일에 모은다. 이미지 전체를 보는 단계도 그 위에서 같은 결과를 낸다."""
    source = tmp_path / "photo.png"
    channels = {"L": (), "RGB": (3,), "RGBA": (4,)}[mode]
    Image.fromarray(RNG.integers(0, 256, (20, 30, *channels), np.uint8)).save(source)
    step = FaceRestoration("black", detect=lambda _: [Face(TEMPLATE / 15, 1.0, 30)], restore=torch.zeros_like)
    chosen = PictureSettings(steps=(step, "color_fix=adain"), **options)
    results = []
    for name, limit in (("memory", 1 << 40), ("file", 1)):
        monkeypatch.setattr(picture, "RAW_BYTES", limit)
        made = upscale_file(source, tmp_path / f"{name}.png", model=nearest, settings=chosen)
        assert made.counts == {"faces": 1, "small_faces": 0}
        with Image.open(made.target) as image:
            assert image.mode == mode
            results.append(np.asarray(image).astype(int))
    # 띠마다 크기를 맞춘 것은 통째와 한 단계까지 다르고, 색 맞추기가 그것을 편차의 비만큼 키운다.
    assert np.abs(results[0] - results[1]).max() <= (2 if "outscale" in options else 1)
    assert not list(tmp_path.glob(".realesrgan-*"))
