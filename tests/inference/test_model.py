"""모델을 싣고 배열과 PIL 이미지를 키우는 함수. 받은 것과 같은 종류가 나온다."""

from __future__ import annotations

import copy
import doctest
import importlib
import os
import pickle
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

import realesrgan
from realesrgan.archs import RRDBNet
from realesrgan.errors import InvalidValueError, UsageError, WeightsNotFoundError
from realesrgan.inference.model import Model
from realesrgan.zoo import weights
from tests.conftest import ROOT, nearest_network


@pytest.fixture
def nearest(nearest_weights: Callable[[int], Path]) -> Model:
    """2배 최근접 확대 모델."""
    return realesrgan.load(nearest_weights(2), device="cpu")


def noise(shape: tuple[int, ...], kind: str) -> np.ndarray[Any, Any]:
    rng = np.random.default_rng(0)
    if kind == "f4":
        return rng.random(shape).astype(np.float32)
    return rng.integers(0, np.iinfo(kind).max, shape, dtype=kind, endpoint=True)


@pytest.mark.parametrize("kind", ["u1", "u2", "f4"])
@pytest.mark.parametrize("channels", [(), (3,), (4,)], ids=["gray", "rgb", "rgba"])
def test_array_comes_back_as_the_same_kind(nearest: Model, channels: tuple[int, ...], kind: str) -> None:
    image = noise((5, 7, *channels), kind)
    output = nearest.upscale(image, alpha_upsampler="realesrgan")
    assert (output.shape, output.dtype) == ((10, 14, *channels), image.dtype)
    expected = image.repeat(2, 0).repeat(2, 1)
    if kind == "f4":
        np.testing.assert_allclose(output, expected, atol=1e-6)
    else:
        # 회색은 세 채널을 다시 섞으므로 16비트에서 한 단계 어긋날 수 있다.
        assert np.abs(output.astype(int) - expected.astype(int)).max() <= (1 if kind == "u2" else 0)


@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA", "I;16"])
def test_pil_image_comes_back_in_its_mode(nearest: Model, mode: str) -> None:
    kind, channels = {"L": ("u1", ()), "RGB": ("u1", (3,)), "RGBA": ("u1", (4,)), "I;16": ("u2", ())}[mode]
    array = noise((4, 6, *channels), kind)
    output = nearest.upscale(Image.fromarray(array))
    assert (output.mode, output.size) == (mode, (12, 8))
    assert np.abs(np.asarray(output).astype(int) - array.repeat(2, 0).repeat(2, 1).astype(int)).max() <= 1


@pytest.mark.parametrize("largest", [255, 65535])
def test_a_pil_image_of_32_bit_integers_keeps_its_values(nearest: Model, largest: int) -> None:
    """Pillow는 16비트 회색을 `I`로도 연다. RGB로 바꾸면 255에서 잘린다."""
    values = np.random.default_rng(0).integers(0, largest, (4, 6), np.int32, endpoint=True)
    values[0, 0] = largest
    output = nearest.upscale(Image.fromarray(values))
    assert output.mode == "I"
    assert np.abs(np.asarray(output) - values.repeat(2, 0).repeat(2, 1)).max() <= 1


@pytest.mark.parametrize("used", [False, True], ids=["new", "after use"])
def test_a_model_can_be_copied_and_sent_to_another_process(nearest: Model, used: bool) -> None:
    image = noise((4, 6, 3), "u1")
    expected = nearest.upscale(image)
    model = nearest if used else realesrgan.load("realesr-animevideov3", device="cpu")
    for other in (copy.deepcopy(model), pickle.loads(pickle.dumps(model))):  # noqa: S301 - 방금 만든 것이다
        assert other.compute == model.compute and other.name == model.name
        if used:
            assert np.array_equal(other.upscale(image), expected)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="fork가 없다")
@pytest.mark.parametrize("backend", ["torch", "ncnn"])
def test_a_forked_process_computes_after_its_parent_did(backend: str) -> None:
    """부모가 OpenMP의 스레드로 계산한 다음에 갈라져 나와도 멎지 않는다."""
    code = (
        "import multiprocessing, sys, numpy, realesrgan\n"
        "model = realesrgan.load('realesr-animevideov3', precision='fp32', backend=sys.argv[1], device='cpu')\n"
        "image = numpy.arange(192, dtype='u1').reshape(8, 8, 3)\n"
        "whole = model.upscale(image)\n"
        "with multiprocessing.get_context('fork').Pool(2) as pool:\n"
        "    (made,) = pool.map_async(model.upscale, [image]).get(60)\n"
        "assert numpy.abs(made.astype(int) - whole).max() <= 1\n"
    )
    environment = os.environ | {"OMP_NUM_THREADS": "2"}
    command = [sys.executable, "-c", code, backend]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=200)
    assert done.returncode == 0, done.stderr


def test_the_name_of_a_model_is_short(nearest: Model) -> None:
    """값 수백만 개를 찍지 않는다."""
    assert nearest.name in repr(nearest) and len(repr(nearest)) < 400 and len(repr(nearest.weights)) < 600


@pytest.mark.parametrize("what", [None, 3, b"a", [], [None], ["a", 3]], ids=repr)
def test_what_is_no_model_is_a_named_error(what: Any) -> None:
    with pytest.raises(UsageError, match="list_models"):
        realesrgan.load(what)


def test_palette_and_other_colour_spaces_are_spread_out(nearest: Model) -> None:
    image = Image.new("RGB", (4, 4), (200, 30, 60))
    assert nearest.upscale(image.quantize(4)).mode == "RGB"
    assert nearest.upscale(image.convert("CMYK")).mode == "RGB"
    assert nearest.upscale(image.convert("LA")).mode == "RGBA"
    assert nearest.upscale(image.convert("LA").convert("La")).mode == "RGBA"
    assert nearest.upscale(image.convert("1")).mode == "L"


@pytest.mark.parametrize(("outscale", "size"), [(None, (20, 20)), (2.3, (23, 23)), (4, (40, 40)), (0.01, (1, 1))])
def test_size_is_what_one_would_compute_by_hand(nearest: Model, outscale: float | None, size: tuple[int, int]) -> None:
    assert nearest.upscale(np.zeros((10, 10, 3), np.uint8), outscale).shape[:2] == size


@pytest.mark.parametrize("outscale", [0, -1, float("nan"), float("inf"), "2", True, 1e9])
def test_outscale_that_is_no_factor_is_a_named_error(nearest: Model, outscale: Any) -> None:
    with pytest.raises(InvalidValueError, match="outscale"):
        nearest.upscale(np.zeros((4, 4, 3), np.uint8), outscale)


@pytest.mark.parametrize(
    "image",
    [
        None,
        "a.png",
        np.zeros((2, 2, 2), np.uint8),
        np.full((2, 2), 3.0),
        np.zeros((2, 2), bool),
        np.array(["a"]),
        np.zeros((0, 5, 3), np.uint8),
        np.zeros((5, 0), np.uint8),
        Image.new("F", (4, 4), 0.5),
    ],
    ids=["none", "name", "two channels", "floats above one", "bool", "text", "no rows", "no columns", "PIL floats"],
)
def test_what_is_not_an_image_is_a_named_error(nearest: Model, image: Any) -> None:
    with pytest.raises(InvalidValueError, match=r"[가-힣]"):
        nearest.upscale(image)


def test_a_file_is_read_once_however_many_devices_use_it(
    nearest_weights: Callable[[int], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[Path] = []
    original = weights.load_weights
    monkeypatch.setattr(weights, "load_weights", lambda path, *rest: (read.append(path), original(path, *rest))[1])
    model = realesrgan.load(nearest_weights(2), device="cpu")
    for settings in ({"precision": "bf16"}, {"device": "cpu"}, {"tile": 16}):
        other = model.with_compute(**settings)
        assert other.upscale(np.full((8, 8, 3), 9, np.uint8)).mean() == 9
        assert other.network is model.network
    assert len(read) == 1
    assert model.with_compute(tile=16).engine is model.engine


def test_model_tells_what_it_is(real_weights: Callable[[str], Path]) -> None:
    by_name = realesrgan.load("realesr-animevideov3")
    by_path = realesrgan.load(real_weights("realesr-animevideov3"))
    for model in (by_name, by_path):
        assert (model.name, model.arch, model.scale, model.multiple) == (
            "realesr-animevideov3",
            "SRVGGNetCompact",
            4,
            1,
        )
        assert model.license == "BSD-3-Clause"
        assert model.files == (real_weights("realesr-animevideov3"),)


def test_state_dict_is_loaded_like_a_file(tiny_rrdbnet: Callable[[int], RRDBNet]) -> None:
    network = tiny_rrdbnet(2)
    for content in (network.state_dict(), {"params_ema": network.state_dict()}):
        model = realesrgan.load(content, device="cpu")
        assert (model.arch, model.scale, model.multiple, model.files) == ("RRDBNet", 2, 2, ())
        image = torch.rand(1, 3, 8, 8)
        assert torch.equal(model.network(image), network(image))


def test_unknown_name_lists_the_nearest_and_a_path_is_a_path() -> None:
    with pytest.raises(UsageError, match="realesr-animevideov3'"):
        realesrgan.load("realesr-animevideo")
    for path in ("folder/net", "net.pth", "~/net"):
        with pytest.raises(WeightsNotFoundError, match="파일이 없습니다"):
            realesrgan.load(path)


def test_models_are_listed_by_a_pattern() -> None:
    assert realesrgan.list_models("*ANIME*") == ["RealESRGAN_x4plus_anime_6B", "realesr-animevideov3"]
    assert "RealESRGAN_x4plus" in realesrgan.list_models()


@pytest.mark.parametrize("settings", [{"tile": -1}, {"tile": "big"}, {"tile_pad": -1}, {"pre_pad": -1}, {"batch": 0}])
def test_odd_settings_are_named_errors(nearest_weights: Callable[[int], Path], settings: dict[str, Any]) -> None:
    with pytest.raises(InvalidValueError, match="tile"):
        realesrgan.load(nearest_weights(2), **settings)


def test_steps_change_the_colour_and_leave_the_alpha(nearest: Model) -> None:
    image = noise((9, 9, 4), "u1")
    plain, blended = nearest.upscale(image), nearest.upscale(image, steps=["blend=0"])
    assert np.array_equal(nearest.upscale(image, steps="blend=0"), blended)
    assert not np.array_equal(plain[..., :3], blended[..., :3])
    np.testing.assert_array_equal(plain[..., 3], blended[..., 3])


def test_network_of_unknown_scale_is_a_named_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("realesrgan.inference.model.network_scale", lambda _: None)
    with pytest.raises(UsageError, match="배율"):
        realesrgan.load(nearest_network(2).state_dict())


@pytest.mark.parametrize("module", ["realesrgan.inference.model", "realesrgan.zoo.models"])
def test_examples_in_the_documents_run(module: str) -> None:
    results = doctest.testmod(importlib.import_module(module))
    assert results.attempted and not results.failed


def test_importing_the_package_costs_nothing() -> None:
    code = "import sys, realesrgan; dir(realesrgan); assert not {'torch', 'numpy', 'PIL', 'cv2'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_network_nobody_can_recognise_is_named_by_the_caller(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from realesrgan.registry import ARCH_REGISTRY

    class Squeezed(torch.nn.Module):
        scale = 1

        def __init__(self, width: int = 3) -> None:
            super().__init__()
            self.only = torch.nn.Conv2d(3, 3, width, padding=width // 2)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.only(x)

    monkeypatch.setitem(ARCH_REGISTRY._objects, "Squeezed", Squeezed)
    path = tmp_path / "s.pth"
    torch.save({"params": Squeezed(5).state_dict()}, path)
    model = realesrgan.load(path, arch="Squeezed", arch_args={"width": 5}, device="cpu")
    assert model.arch == "Squeezed" and isinstance(model.network, Squeezed)
    assert model.upscale(np.zeros((4, 6, 3), np.uint8)).shape == (4, 6, 3)
