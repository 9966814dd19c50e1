"""여러 방향과 여러 모델의 평균."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from realesrgan.errors import NonFiniteOutputError, OutOfMemoryError, UsageError
from realesrgan.inference.engines.base import create_engine
from realesrgan.inference.ensemble import DIRECTIONS, AveragedEngine, MixedNetwork, turn
from realesrgan.inference.model import Model, load
from realesrgan.inference.upscaler import Upscaler
from realesrgan.video.workers import model_identity
from tests.conftest import nearest_network, small_rrdbnet


def direct(network: nn.Module, batch: Tensor) -> Tensor:
    """방향마다 따로 키워 되돌린 것의 평균. 엔진을 거치지 않는다."""
    with torch.no_grad():
        return torch.stack([turn(network(turn(batch, one)), one, back=True) for one in range(DIRECTIONS)]).mean(0)


def test_directions_are_all_different_and_turn_back() -> None:
    image = torch.arange(12.0).reshape(1, 1, 3, 4)
    turned = [turn(image, one) for one in range(DIRECTIONS)]
    assert len({(tuple(one.flatten().tolist()), one.shape) for one in turned}) == DIRECTIONS
    assert all(torch.equal(turn(one, index, back=True), image) for index, one in enumerate(turned))


@pytest.mark.parametrize("backend", ["torch", "ncnn"])
def test_ensemble_is_the_mean_of_the_eight_and_turns_with_the_picture(backend: str) -> None:
    if backend == "ncnn":
        pytest.importorskip("ncnn")
    network = small_rrdbnet()
    engine = AveragedEngine([create_engine(network, backend=backend, device="cpu")], [1.0], DIRECTIONS)
    batch = torch.rand(2, 3, 10, 14)
    found = engine(batch)
    assert torch.allclose(found, direct(network, batch), atol=2e-5)
    assert torch.allclose(engine(turn(batch, 5)), turn(found, 5), atol=2e-5)
    assert engine.runs == DIRECTIONS and engine.fallback() is None


def test_model_of_two_networks_is_their_weighted_mean(save_network: Callable[..., Path]) -> None:
    first, second = small_rrdbnet(), nearest_network(4)
    paths = [save_network(first, "first.pth"), save_network(second, "second.pth")]
    model = load(paths, mix=(3, 1), device="cpu", backend="torch")
    image = np.random.default_rng(0).random((9, 11, 3)).astype(np.float32)
    alone = [load(path, device="cpu", backend="torch").upscale(image) for path in paths]
    batch = torch.from_numpy(image.transpose(2, 0, 1))[None]
    with torch.no_grad():
        expected = 0.75 * first(batch) + 0.25 * second(batch)
    np.testing.assert_allclose(model.upscale(image), expected[0].permute(1, 2, 0).clamp(0, 1), atol=1e-5)
    assert not np.allclose(model.upscale(image), alone[0], atol=1e-2)
    assert model.name == "0.75*first+0.25*second" and model.files == tuple(paths)
    with torch.no_grad():
        assert torch.allclose(model.network(batch), expected, atol=1e-6)


def test_networks_of_different_multiples_fit_together(save_network: Callable[..., Path]) -> None:
    two = save_network(small_rrdbnet(2), "two.pth")
    model = load([two, save_network(nearest_network(2), "nearest.pth")], device="cpu", ensemble=True)
    assert (model.multiple, model.engine.multiple, model.engine.runs) == (2, 2, 2 * DIRECTIONS)  # type: ignore[attr-defined]
    assert model.upscale(np.zeros((5, 7, 3), np.uint8)).shape == (10, 14, 3)


@pytest.mark.parametrize("mix", [(1,), (1, 0), (1, -1), (1, float("nan"))])
def test_odd_weights_and_scales_are_a_usage_error(
    mix: tuple[float, ...], nearest_weights: Callable[[int], Path]
) -> None:
    path = nearest_weights(2)
    with pytest.raises(UsageError, match="무게"):
        load([path, path], mix=mix)
    with pytest.raises(UsageError, match="배율이 다른"):
        load([path, nearest_weights(4)])


def test_tiles_and_alpha_and_frames_go_through_the_ensemble(tmp_path: Path) -> None:
    network = small_rrdbnet()
    image = np.random.default_rng(0).integers(0, 256, (20, 24, 4), np.uint8)
    engine = AveragedEngine([create_engine(network, device="cpu", backend="torch")], [1.0], DIRECTIONS)
    whole = Upscaler(engine, tile=0).upscale(image).astype(int)
    tiled = Upscaler(engine, tile=12, tile_pad=24).upscale(image).astype(int)
    assert np.abs(whole - tiled).max() <= 1
    frames = torch.rand(2, 3, 8, 6)
    assert torch.allclose(Upscaler(engine, tile=0).upscale_frames(frames), direct(network, frames), atol=2e-5)


def test_ensemble_keeps_the_promises_of_an_engine(tiny_rrdbnet: Callable[[int], nn.Module]) -> None:
    class Half:
        name, device, precision, scale, multiple, max_pixels = "half", torch.device("cpu"), "fp16", 4, 1, 100

        def __call__(self, batch: Tensor) -> Tensor:
            if max(batch.shape[-2:]) > 16:
                raise OutOfMemoryError("작다")
            return torch.full((len(batch), 3, batch.shape[2] * 4, batch.shape[3] * 4), float("nan"))

        def memory(self, height: int, width: int) -> int:
            return height * width

        def fallback(self):
            return create_engine(tiny_rrdbnet(4), device="cpu", backend="torch") if self.precision == "fp16" else None

        def release(self) -> None:
            released.append(True)

    released: list[bool] = []
    engine = AveragedEngine([Half()], [1.0], DIRECTIONS)  # type: ignore[list-item]
    image = np.random.default_rng(0).integers(0, 256, (8, 30, 3), np.uint8)
    assert np.isfinite(Upscaler(engine, tile=0, tile_pad=0).upscale(image)).all() and released  # type: ignore[arg-type]
    assert engine.memory(4, 4) > 16
    Half.precision = "fp32"
    with pytest.raises(NonFiniteOutputError):
        Upscaler(engine, tile=16, tile_pad=0).upscale(image)  # type: ignore[arg-type]


def test_film_with_another_mix_is_not_resumed(nearest_weights: Callable[[int], Path]) -> None:
    path = nearest_weights(2)
    plain: Model = load([path, path], mix=(1, 1), device="cpu")
    others = [load([path, path], mix=(1, 2), device="cpu"), plain.with_compute(ensemble=True), load(path, device="cpu")]
    assert all(model_identity(plain) != model_identity(other) for other in others)
    assert isinstance(plain.network, MixedNetwork)
