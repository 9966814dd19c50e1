"""타일의 기하와, 타일로 나눈 결과가 통째 추론과 같은지."""

from __future__ import annotations

import weakref

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from realesrgan.archs import SRVGGNetCompact
from realesrgan.errors import NonFiniteOutputError, OutOfMemoryError
from realesrgan.inference.engines.base import create_engine
from realesrgan.inference.tiling import MIN_TILE, Box, balanced_tile, plan_tiles
from realesrgan.inference.upscaler import Upscaler
from tests.conftest import small_rrdbnet


@settings(max_examples=150, deadline=None)
@given(
    rows=st.integers(1, 40),
    columns=st.integers(1, 40),
    tile=st.integers(0, 50),
    pad=st.integers(0, 20),
    multiple=st.sampled_from([1, 2, 4]),
)
def test_tiles_cover_every_pixel_once(rows: int, columns: int, tile: int, pad: int, multiple: int) -> None:
    height, width = rows * multiple, columns * multiple
    covered = np.zeros((height, width), int)
    for piece in plan_tiles(height, width, tile, pad, multiple):
        read, crop, write = piece.read, piece.crop, piece.write
        covered[write.top : write.bottom, write.left : write.right] += 1
        assert 0 <= read.top <= write.top < write.bottom <= read.bottom <= height
        assert 0 <= read.left <= write.left < write.right <= read.right <= width
        assert crop.shape == write.shape
        assert (read.top + crop.top, read.left + crop.left) == (write.top, write.left)
        assert all(side % multiple == 0 for side in read.shape)
        # 이미지 안쪽으로는 적어도 pad만큼 더 읽는다.
        assert read.top <= max(write.top - pad, 0) and read.bottom >= min(write.bottom + pad, height)
    assert (covered == 1).all()


@pytest.mark.parametrize(
    "arguments", [(0, 1, 0, 0, 1), (1, 1, -1, 0, 1), (1, 1, 0, -1, 1), (3, 4, 0, 0, 2), (1, 1, 0, 0, 0)]
)
def test_impossible_plans_are_refused(arguments: tuple[int, int, int, int, int]) -> None:
    with pytest.raises(ValueError, match=r"[가-힣]"):
        plan_tiles(*arguments)


@given(st.integers(1, 5000), st.integers(1, 5000), st.integers(4, 900), st.sampled_from([1, 2, 4]))
def test_balanced_tile_never_exceeds_the_limit(height: int, width: int, limit: int, multiple: int) -> None:
    tile = balanced_tile(height, width, limit, multiple)
    assert tile == 0 if max(height, width) <= limit else 0 < tile <= limit and tile % multiple == 0


def _run(
    engine: object, image: NDArray[np.float32], tile: int = 0, pad: int = 10, batch: int = 1, progress: object = None
) -> NDArray[np.float32]:
    """`(3, H, W)`를 타일로 키워 `(3, H*scale, W*scale)`를 돌려준다. 채워지지 않은 곳은 NaN으로 남는다."""
    _, height, width = image.shape
    scale = engine.scale
    output = np.full((3, height * scale, width * scale), np.nan, np.float32)

    def store(result: torch.Tensor, box: Box) -> None:
        output[(..., *box.slices(scale))] = result.numpy()

    upscaler = Upscaler(engine, tile=tile, tile_pad=pad, batch=batch)
    upscaler._run(lambda box: torch.from_numpy(image)[(..., *box.slices())], store, (height, width), (), progress)
    return output


def receptive_radius(network: torch.nn.Module) -> int:
    """출력 한 점이 보는 입력의 반지름(픽셀). 몸통의 3x3 합성곱이 한 픽셀씩, 확대 뒤의 것은 합쳐서 두 픽셀까지다."""
    if isinstance(network, SRVGGNetCompact):
        return network.num_conv + 2
    return (network.num_block * 15 + 4) * network.size_multiple


NETWORKS = [SRVGGNetCompact(num_feat=8, num_conv=2).eval(), *(small_rrdbnet(scale) for scale in (1, 2, 4))]


@settings(max_examples=40, deadline=None)
@given(
    height=st.integers(1, 70),
    width=st.integers(1, 70),
    tile=st.integers(1, 70),
    batch=st.integers(1, 4),
    network=st.sampled_from(NETWORKS),
)
def test_tiled_equals_whole_when_the_pad_covers_the_receptive_field(
    height: int, width: int, tile: int, batch: int, network: torch.nn.Module
) -> None:
    multiple = network.size_multiple
    height, width = -(-height // multiple) * multiple, -(-width // multiple) * multiple
    tile = max(tile, 12)
    image = np.random.default_rng(height * 71 + width).random((3, height, width), np.float32)
    whole = _run(create_engine(network, device="cpu"), image)
    tiled = _run(create_engine(network, device="cpu"), image, tile=tile, pad=receptive_radius(network), batch=batch)
    np.testing.assert_allclose(tiled, whole, atol=1e-4)


class FakeEngine:
    """최근접 확대를 하되, 정한 픽셀 수를 넘으면 메모리가 모자란 척하는 엔진."""

    name = "fake"
    precision = "fp16"
    device = torch.device("cpu")
    max_pixels = 10**12

    def __init__(self, limit: int = 10**9, scale: int = 2, multiple: int = 1, poison: float | None = None) -> None:
        self.limit, self.scale, self.multiple, self.poison = limit, scale, multiple, poison
        self.sizes: list[tuple[int, ...]] = []
        self.released = 0
        self.safer: FakeEngine | None = None

    def memory(self, height: int, width: int) -> int:
        return height * width

    def __call__(self, batch: torch.Tensor) -> torch.Tensor:
        self.sizes.append(tuple(batch.shape))
        if batch.shape[0] * batch.shape[2] * batch.shape[3] > self.limit:
            raise OutOfMemoryError("모자람")
        output = batch.repeat_interleave(self.scale, 2).repeat_interleave(self.scale, 3)
        if self.poison is not None:
            output[..., 0, 0] = self.poison
        return output

    def fallback(self) -> FakeEngine | None:
        return self.safer

    def release(self) -> None:
        self.released += 1


@pytest.mark.parametrize(("limit", "batch"), [(40 * 40, 4), (20 * 20, 1), (MIN_TILE**2, 8)])
def test_running_out_of_memory_shrinks_and_still_fills_every_pixel(
    limit: int, batch: int, caplog: pytest.LogCaptureFixture
) -> None:
    image = np.random.default_rng(0).random((3, 50, 75), np.float32)
    engine = FakeEngine(limit)
    with caplog.at_level("WARNING", logger="realesrgan"):
        output = _run(engine, image, tile=40, pad=0, batch=batch)
    np.testing.assert_array_equal(output, image.repeat(2, 1).repeat(2, 2))
    assert len(caplog.records) == (1 if engine.released else 0)


def test_whole_picture_that_does_not_fit_is_cut_into_tiles() -> None:
    image = np.random.default_rng(0).random((3, 64, 64), np.float32)
    engine = FakeEngine(32 * 32)
    np.testing.assert_array_equal(_run(engine, image, tile=0, pad=0), image.repeat(2, 1).repeat(2, 2))
    assert engine.released == 1


def test_memory_is_released_after_the_failed_attempt_is_gone() -> None:
    class Holding(FakeEngine):
        def __call__(self, batch: torch.Tensor) -> torch.Tensor:
            activations = np.zeros(4)
            self.held = weakref.ref(activations)
            return super().__call__(batch)

        def release(self) -> None:
            assert self.held() is None
            super().release()

    engine = Holding(32 * 32)
    _run(engine, np.zeros((3, 64, 64), np.float32), pad=0)
    assert engine.released


def test_batch_shrinks_before_the_tile() -> None:
    engine = FakeEngine(2 * 16 * 16)
    _run(engine, np.zeros((3, 64, 64), np.float32), tile=16, pad=0, batch=4)
    assert {size[2:] for size in engine.sizes} == {(16, 16)}
    assert {size[0] for size in engine.sizes} == {4, 2}


def test_memory_that_never_suffices_is_an_error_and_not_an_endless_loop() -> None:
    with pytest.raises(OutOfMemoryError, match="타일을 16픽셀까지"):
        _run(FakeEngine(limit=10), np.zeros((3, 50, 50), np.float32), tile=0, pad=0)


@pytest.mark.parametrize("poison", [np.nan, np.inf, -np.inf])
def test_tile_with_nan_is_computed_again_in_higher_precision(poison: float, caplog: pytest.LogCaptureFixture) -> None:
    image = np.random.default_rng(0).random((3, 20, 20), np.float32)
    engine = FakeEngine(poison=poison)
    engine.safer = FakeEngine()
    with caplog.at_level("WARNING", logger="realesrgan"):
        output = _run(engine, image, tile=10, pad=0)
    np.testing.assert_array_equal(output, image.repeat(2, 1).repeat(2, 2))
    assert len(engine.safer.sizes) == 4
    assert len(caplog.records) == 1


def test_nan_that_stays_in_full_precision_is_an_error_and_not_a_black_picture() -> None:
    engine = FakeEngine(poison=np.nan)
    with pytest.raises(NonFiniteOutputError, match="NaN"):
        _run(engine, np.zeros((3, 8, 8), np.float32))
    engine.safer = FakeEngine(poison=np.nan)
    with pytest.raises(NonFiniteOutputError, match="fp32"):
        _run(engine, np.zeros((3, 8, 8), np.float32))


def test_progress_only_grows_and_ends_at_the_whole() -> None:
    steps: list[tuple[int, int]] = []
    _run(FakeEngine(), np.zeros((3, 30, 50), np.float32), tile=16, progress=lambda *step: steps.append(step))
    assert steps == sorted(steps)
    assert steps[-1] == (1500, 1500)


def test_tiles_of_one_shape_go_together_in_a_batch() -> None:
    engine = FakeEngine()
    _run(engine, np.zeros((3, 32, 64), np.float32), tile=16, pad=0, batch=8)
    assert engine.sizes == [(8, 3, 16, 16)]


def test_tile_that_shrank_is_remembered_for_the_next_picture() -> None:
    engine = FakeEngine(32 * 32)
    upscaler = Upscaler(engine, tile=0, tile_pad=0)
    images = [np.random.default_rng(seed).integers(0, 256, (64, 64, 3), np.uint8) for seed in range(3)]
    for image in images:
        np.testing.assert_array_equal(upscaler.upscale(image), image.repeat(2, 0).repeat(2, 1))
    assert engine.released == 1
    assert upscaler.tile_for(16, 16) == 0
