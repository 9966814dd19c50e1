"""`RealESRGANer`가 널리 쓰이는 구현과 같은 이미지를 내고, 같은 방법으로 불리는지."""

from __future__ import annotations

import copy
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from realesrgan import RealESRGANer
from realesrgan.archs import RRDBNet, SRVGGNetCompact
from realesrgan.errors import InvalidValueError, NonFiniteOutputError, WeightsError
from realesrgan.zoo.weights import open_weights
from tests.inference import reference

Build = Callable[..., RealESRGANer]


@pytest.fixture
def build(tiny_rrdbnet: Callable[[int], RRDBNet], save_network: Callable[..., Path]) -> Build:
    """작은 RRDBNet을 담은 업스케일러를 만드는 함수."""

    def make(scale: int = 4, **options: Any) -> RealESRGANer:
        return RealESRGANer(scale, str(save_network(tiny_rrdbnet(scale))), **options)

    return make


def _image(*shape: int, dtype: type = np.uint8, seed: int = 0) -> NDArray[Any]:
    top = 65536 if dtype is np.uint16 else 256
    return np.random.default_rng(seed).integers(0, top, shape).astype(dtype)


def _difference(first: NDArray[Any], second: NDArray[Any]) -> int:
    assert first.shape == second.shape
    assert first.dtype == second.dtype
    return int(np.abs(first.astype(np.int64) - second.astype(np.int64)).max())


@pytest.mark.parametrize("scale", [1, 2, 4])
@pytest.mark.parametrize("shape", [(12, 12, 3), (13, 17, 3), (30, 11), (11, 14, 4)])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
def test_small_networks_give_the_same_picture_as_the_reference(
    build: Build, scale: int, shape: tuple[int, ...], dtype: type
) -> None:
    image = _image(*shape, dtype=dtype)
    upsampler = build(scale)
    output, mode = upsampler.enhance(image)
    expected = reference.enhance(upsampler.model, scale, image)
    assert output.std() > 5
    assert _difference(output, expected) <= (1 if dtype is not np.uint16 else 2)
    assert mode == {2: "L", 3: "RGB"}.get(len(shape) if len(shape) == 2 else shape[2], "RGBA")


def _photograph(height: int, width: int) -> NDArray[np.uint8]:
    """무늬와 경계가 있는 사진 비슷한 이미지."""
    rows, columns = np.mgrid[0:height, 0:width].astype(np.float32)
    waves = [np.sin(columns / (3 + k)) * np.cos(rows / (5 - k)) * 80 + 120 for k in range(3)]
    image = np.stack(waves, axis=-1)
    image[height // 3 : height // 2, width // 4 : width // 2] = (20, 200, 90)
    return np.clip(image + np.random.default_rng(1).normal(0, 6, image.shape), 0, 255).astype(np.uint8)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["RealESRGAN_x4plus", "RealESRGAN_x4plus_anime_6B", "realesr-animevideov3"])
def test_real_weights_give_the_same_picture_as_the_reference(real_weights: Callable[[str], Path], name: str) -> None:
    path = real_weights(name)
    network = open_weights(path).network()
    upsampler = RealESRGANer(4, path, pre_pad=0)
    image = _photograph(25, 31)
    gray, deep = image[..., 1], image.astype(np.uint16) * 200
    clear = np.dstack([image, np.linspace(0, 255, 25 * 31).reshape(25, 31).astype(np.uint8)])
    cases = [(image, None), (image, 2), (image, 3.5), (gray, 4), (deep, 4)]
    cases += [] if name == "RealESRGAN_x4plus" else [(clear, 4)]
    for picture, outscale in cases:
        output, _ = upsampler.enhance(picture, outscale)
        expected = reference.enhance(network, 4, picture, outscale, pre_pad=0)
        assert _difference(output, expected) <= (1 if picture.dtype == np.uint8 else 8)


def test_result_is_sharper_than_an_ordinary_resize(real_weights: Callable[[str], Path]) -> None:
    upsampler = RealESRGANer(4, real_weights("realesr-animevideov3"))
    image = np.full((24, 24, 3), 30, np.uint8)
    image[:, 12:] = 220
    output, _ = upsampler.enhance(image)
    steps = np.abs(np.diff(output[48].astype(int), axis=0)).max()
    # 4배 선형 보간이라면 한 걸음이 190/4를 넘지 못한다.
    assert steps > 190 / 4 * 1.5
    assert abs(int(output[48, 4, 0]) - 30) < 12 and abs(int(output[48, -4, 0]) - 220) < 12


@pytest.mark.parametrize(("outscale", "size"), [(2, (26, 34)), (3.5, (45, 59)), (4, (52, 68)), (0.01, (1, 1))])
def test_outscale_decides_the_size(build: Build, outscale: float, size: tuple[int, int]) -> None:
    assert build().enhance(_image(13, 17, 3), outscale)[0].shape[:2] == size


def test_dark_sixteen_bit_picture_stays_sixteen_bit(build: Build) -> None:
    dark = _image(12, 12, 3, dtype=np.uint16) // 300
    assert dark.max() < 256
    output, _ = build().enhance(dark)
    assert output.dtype == np.uint16


def test_alpha_can_be_resized_without_the_network(build: Build) -> None:
    image = _image(12, 14, 4)
    upsampler = build()
    output, _ = upsampler.enhance(image, alpha_upsampler="bicubic")
    expected = reference.enhance(upsampler.model, 4, image, alpha_upsampler="bicubic")
    assert _difference(output, expected) <= 1


@pytest.mark.parametrize("size", [(1, 1), (1, 9), (3, 2), (5, 5)])
def test_pads_larger_than_the_picture_work(build: Build, size: tuple[int, int]) -> None:
    output, _ = build(2, pre_pad=10, tile=4, tile_pad=10).enhance(_image(*size, 3))
    assert output.shape == (size[0] * 2, size[1] * 2, 3)


@pytest.mark.parametrize(
    "image",
    [None, np.zeros((0, 4, 3), np.uint8), np.zeros((4, 4, 2), np.uint8), np.zeros((1, 4, 4, 3), np.uint8)],
    ids=["none", "empty", "two channels", "four axes"],
)
def test_what_is_not_a_picture_is_refused_in_korean(build: Build, image: Any) -> None:
    with pytest.raises(ValueError, match=r"[가-힣]"):
        build().enhance(image)


def test_single_channel_axis_counts_as_gray(build: Build) -> None:
    output, mode = build().enhance(_image(8, 8, 1))
    assert (output.shape, mode) == ((32, 32), "L")


@pytest.mark.parametrize("tile", [0, 5, 16, "auto"])
def test_tiled_picture_equals_the_whole_one(
    tiny_srvgg: SRVGGNetCompact, save_network: Callable[..., Path], tile: int | str
) -> None:
    path = save_network(tiny_srvgg)
    image = _image(37, 41, 3)
    whole, _ = RealESRGANer(4, path).enhance(image)
    tiled, _ = RealESRGANer(4, path, tile=tile, batch=3).enhance(image)
    assert _difference(tiled, whole) <= 1


def test_default_pad_leaves_no_visible_seam(real_weights: Callable[[str], Path]) -> None:
    path = real_weights("realesr-animevideov3")
    image = _photograph(60, 60)
    whole, _ = RealESRGANer(4, path, tile=0).enhance(image)
    tiled, _ = RealESRGANer(4, path, tile=30).enhance(image)
    error = np.abs(whole.astype(int) - tiled.astype(int)).max(axis=2)
    seam = np.zeros_like(error, dtype=bool)
    seam[118:122], seam[:, 118:122] = True, True
    assert error[seam].mean() < 1.0
    assert error.mean() < 0.3


def test_auto_tile_follows_the_memory_that_is_left(build: Build, monkeypatch: pytest.MonkeyPatch) -> None:
    upsampler = build(tile="auto")
    assert upsampler.upscaler.tile_for(64, 64) == 0
    monkeypatch.setattr("realesrgan.inference.upscaler.memory_budget", lambda *_: 100 * 100 * 1536)
    assert 0 < upsampler.upscaler.tile_for(640, 640) <= 100


def test_one_instance_serves_several_threads(build: Build) -> None:
    upsampler = build(tile=16)
    images = [_image(20 + n, 30 - n, 3, seed=n) for n in range(8)]
    alone = [upsampler.enhance(image)[0] for image in images]
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(lambda image: upsampler.enhance(image)[0], images))
    for first, second in zip(alone, together, strict=True):
        np.testing.assert_array_equal(first, second)


def test_network_is_read_from_the_weights_when_none_is_given(build: Build) -> None:
    assert isinstance(build().model, RRDBNet)


def test_two_paths_are_blended_after_the_key_is_chosen(tmp_path: Path, tiny_rrdbnet: Callable[[int], RRDBNet]) -> None:
    paths = []
    for value in (1.0, 3.0):
        network = tiny_rrdbnet(4)
        good = {key: torch.full_like(tensor, value) for key, tensor in network.state_dict().items()}
        trap = {key: torch.full_like(tensor, 1e6) for key, tensor in network.state_dict().items()}
        paths.append(tmp_path / f"{value}.pth")
        torch.save({"params": trap, "params_ema": good}, paths[-1])
    upsampler = RealESRGANer(4, [str(path) for path in paths], dni_weight=[0.75, 0.25])
    assert upsampler.model.conv_last.bias.unique().tolist() == [1.5]
    mixed = upsampler.dni(str(paths[0]), str(paths[1]), [0.5, 0.5], key="params_ema")
    assert mixed["params_ema"]["conv_last.bias"].unique().tolist() == [2.0]


def test_blending_needs_two_of_each(build: Build) -> None:
    with pytest.raises(ValueError, match="DNI"):
        RealESRGANer(4, ["a.pth"], dni_weight=[1.0])


def test_weights_of_another_network_are_refused(save_network: Callable[..., Path], tiny_srvgg: SRVGGNetCompact) -> None:
    path = save_network(tiny_srvgg)
    with pytest.raises(WeightsError, match="맞지 않습니다"):
        RealESRGANer(4, path, model=RRDBNet(3, 3, num_feat=8, num_block=1, num_grow_ch=4))


@pytest.mark.parametrize("options", [{"tile": -1}, {"tile_pad": -1}, {"pre_pad": -1}])
def test_negative_sizes_are_refused(build: Build, options: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="0 이상"):
        build(**options)


def test_half_on_a_cpu_is_computed_in_full_precision(build: Build, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level("WARNING", logger="realesrgan"):
        upsampler = build(half=True, device="cpu")
    assert (upsampler.half, upsampler.precision) == (False, "fp32")
    assert len(caplog.records) == 1


def test_bfloat16_is_close_to_full_precision(build: Build) -> None:
    image = _image(16, 16, 3)
    full, _ = build(device="cpu").enhance(image)
    low, _ = build(device="cpu", precision="bf16").enhance(image)
    assert 0 < np.abs(full.astype(int) - low.astype(int)).mean() < 3


class _Overflowing(torch.nn.Module):
    """낮은 정밀도에서만 NaN을 내는 네트워크."""

    scale, size_multiple = 2, 1

    def __init__(self) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.ones(1))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        output = torch.nn.functional.interpolate(x * self.weight, scale_factor=2)
        return output if x.dtype == torch.float32 else output * float("nan")


def test_black_pictures_of_half_precision_are_computed_again(tmp_path: Path) -> None:
    path = tmp_path / "net.pth"
    torch.save(_Overflowing().state_dict(), path)
    upsampler = RealESRGANer(2, path, model=_Overflowing(), precision="bf16", device="cpu")
    image = _image(9, 9, 3)
    output, _ = upsampler.enhance(image)
    np.testing.assert_array_equal(output, image.repeat(2, 0).repeat(2, 1))


def test_network_wrapped_by_hand_still_falls_back_to_full_precision(tmp_path: Path) -> None:
    path = tmp_path / "net.pth"
    torch.save(_Overflowing().state_dict(), path)
    upsampler = RealESRGANer(2, path, model=_Overflowing(), precision="bf16", device="cpu")
    upsampler.model = upsampler.model
    image = _image(9, 9, 3)
    np.testing.assert_array_equal(upsampler.enhance(image)[0], image.repeat(2, 0).repeat(2, 1))


def test_precision_changed_on_the_network_is_followed(build: Build) -> None:
    upsampler = build(device="cpu", precision="bf16")
    upsampler.model.float()
    assert upsampler.enhance(_image(8, 8, 3))[0].shape == (32, 32, 3)


def test_declared_scale_that_differs_from_the_network_follows_the_network(
    tiny_rrdbnet: Callable[[int], RRDBNet], save_network: Callable[..., Path], caplog: pytest.LogCaptureFixture
) -> None:
    path = save_network(tiny_rrdbnet(2))
    with caplog.at_level("WARNING", logger="realesrgan"):
        upsampler = RealESRGANer(4, path)
    assert "2배" in caplog.text
    upsampler.process = upsampler.process  # type: ignore[method-assign] - 단계별 길로 가게 한다
    assert upsampler.enhance(_image(9, 11, 3))[0].shape == (18, 22, 3)


@pytest.mark.parametrize("options", [{"tile": None}, {"tile": "200"}, {"model_path": None}])
def test_odd_arguments_are_refused_in_korean(build: Build, tmp_path: Path, options: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"[가-힣]"):
        RealESRGANer(**({"scale": 4, "model_path": str(tmp_path / "x.pth")} | options))


def test_diverged_weights_raise_instead_of_giving_a_black_picture(
    save_network: Callable[..., Path], tiny_srvgg: SRVGGNetCompact
) -> None:
    with torch.no_grad():
        tiny_srvgg.body[0].weight.fill_(float("nan"))
    with pytest.raises(NonFiniteOutputError):
        RealESRGANer(4, save_network(tiny_srvgg)).enhance(_image(8, 8, 3))


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_a_picture_that_holds_no_numbers_is_not_blamed_on_the_weights(build: Build, value: float) -> None:
    image = np.full((6, 7, 3), 90.0, np.float32)
    image[2, 3] = value
    with pytest.raises(InvalidValueError, match="NaN이나 Inf"):
        build(2).enhance(image)


def test_network_put_in_by_hand_is_the_one_used(build: Build) -> None:
    upsampler = build(2)
    upsampler.model = _Overflowing()
    image = _image(8, 8, 3)
    np.testing.assert_array_equal(upsampler.enhance(image)[0], image.repeat(2, 0).repeat(2, 1))


def test_steps_can_be_called_one_by_one(build: Build) -> None:
    restorer = build(4, tile=10, tile_pad=10, pre_pad=2)
    image = np.random.default_rng(0).random((12, 12, 3)).astype(np.float32)
    restorer.pre_process(image)
    assert restorer.img.shape == (1, 3, 14, 14)
    restorer.scale = 1
    restorer.pre_process(image)
    assert restorer.img.shape == (1, 3, 16, 16)
    restorer.process()
    assert restorer.output.shape == (1, 3, 64, 64)
    restorer.mod_scale = 4
    assert restorer.post_process().shape == (1, 3, 60, 60)
    restorer.scale = 4
    restorer.pre_process(image)
    restorer.tile_process()
    assert restorer.output.shape == (1, 3, 64, 64)
    output, mode = restorer.enhance(image * 255, outscale=2)
    assert (output.shape, mode) == ((24, 24, 3), "RGB")


@pytest.mark.parametrize("tile", [0, 9])
@pytest.mark.parametrize("scale", [1, 2, 4])
def test_steps_of_a_subclass_are_honoured_and_give_the_same_picture(
    tiny_rrdbnet: Callable[[int], RRDBNet], save_network: Callable[..., Path], scale: int, tile: int
) -> None:
    calls: list[str] = []

    class Own(RealESRGANer):
        def post_process(self) -> torch.Tensor:
            calls.append("post_process")
            return super().post_process()

    path = save_network(tiny_rrdbnet(scale))
    image = _image(14, 19, 4)
    own, _ = Own(scale, path, tile=tile, tile_pad=32).enhance(image)
    plain, _ = RealESRGANer(scale, path).enhance(image)
    assert calls == ["post_process"] * 2
    assert _difference(own, plain) <= 1


def test_step_replaced_on_the_instance_is_honoured(build: Build) -> None:
    upsampler = build()
    original = upsampler.process
    seen = []
    upsampler.process = lambda: (seen.append(1), original())[1]  # type: ignore[method-assign]
    upsampler.enhance(_image(8, 8, 3))
    assert seen == [1]


def test_old_import_paths_still_work() -> None:
    from realesrgan.archs.srvgg_arch import SRVGGNetCompact as network
    from realesrgan.utils import RealESRGANer as old

    assert old is RealESRGANer
    assert network is SRVGGNetCompact


def test_inference_imports_nothing_of_training() -> None:
    code = (
        "import sys, realesrgan\n"
        "assert 'torch' not in sys.modules and 'numpy' not in sys.modules\n"
        "import realesrgan.inference.realesrganer, realesrgan.media.image, realesrgan.cli.image\n"
        "import realesrgan.cli.estimate, realesrgan.cli.runner, realesrgan.zoo.weights\n"
        "import realesrgan.cli.video_jobs, realesrgan.video.preview, realesrgan.video.upscale\n"
        "from realesrgan.zoo.models import MODELS\n"
        "for spec in MODELS.values():\n"
        "    realesrgan.zoo.weights.build_network(spec.arch, spec.arch_args)\n"
        "bad = {'basicsr', 'torchvision', 'scipy', 'skimage', 'matplotlib', 'sympy'} & set(sys.modules)\n"
        "assert not bad, bad\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="CUDA 장치가 없다")
@pytest.mark.parametrize("precision", ["fp32", "fp16", "bf16"])
def test_gpu_gives_nearly_the_same_picture(real_weights: Callable[[str], Path], precision: str) -> None:
    path = real_weights("realesr-animevideov3")
    image = _photograph(64, 80)
    expected, _ = RealESRGANer(4, path, device="cpu").enhance(image)
    output, _ = RealESRGANer(4, path, device="cuda", precision=precision, tile="auto").enhance(image)
    assert np.abs(output.astype(int) - expected.astype(int)).mean() < {"fp32": 0.05, "fp16": 0.5, "bf16": 2}[precision]


@pytest.mark.parametrize("dtype", [np.int32, np.float32, np.float64, np.int64])
def test_other_types_holding_sixteen_bit_values_give_sixteen_bits(build: Build, dtype: type) -> None:
    image = _image(9, 11, 3, dtype=np.uint16)
    upsampler = build()
    expected, _ = upsampler.enhance(image)
    output, _ = upsampler.enhance(image.astype(dtype))
    assert output.dtype == np.uint16
    assert _difference(output, expected) <= 1
    eight, _ = upsampler.enhance((image // 257).astype(dtype))
    assert eight.dtype == np.uint8


@pytest.mark.parametrize("dtype", [">u2", ">f4", ">i4"])
def test_big_endian_arrays_are_read_right(build: Build, dtype: str) -> None:
    image = _image(9, 11, 3, dtype=np.uint16)
    upsampler = build()
    assert _difference(upsampler.enhance(image.astype(dtype))[0], upsampler.enhance(image)[0]) <= 1


def test_floats_of_zero_to_one_are_warned_about_and_not_black_in_silence(
    build: Build, caplog: pytest.LogCaptureFixture
) -> None:
    image = _image(8, 8, 3).astype(np.float32)
    upsampler = build()
    with caplog.at_level("WARNING", logger="realesrgan"):
        upsampler.enhance(image)
        assert not caplog.records
        upsampler.enhance(image / 255)
    assert "0..1" in caplog.text


@pytest.mark.parametrize("outscale", [0, -1, float("nan"), float("inf"), "4", True])
def test_outscale_that_is_no_factor_is_a_named_error(build: Build, outscale: Any) -> None:
    with pytest.raises(InvalidValueError, match="outscale"):
        build().enhance(_image(8, 8, 3), outscale)


def test_plain_object_can_stand_in_for_the_network(build: Build) -> None:
    """TensorRT나 ONNX를 감싼 것처럼 `nn.Module`이 아닌 것."""

    class Wrapper:
        def __call__(self, x: torch.Tensor) -> torch.Tensor:
            return x.repeat_interleave(4, 2).repeat_interleave(4, 3)

    image = _image(10, 13, 3)
    for options in ({}, {"tile": 6}, {"precision": "bf16", "device": "cpu"}):
        upsampler = build(**options)
        upsampler.model = Wrapper()
        output, _ = upsampler.enhance(image)
        assert np.abs(output.astype(int) - image.repeat(4, 0).repeat(4, 1)).max() <= (
            1 if options.get("precision") else 0
        )
    upsampler.process = upsampler.process  # type: ignore[method-assign] - 단계별 길로 가게 한다
    assert upsampler.enhance(image)[0].shape == (40, 52, 3)


def test_copy_is_another_working_upsampler(build: Build) -> None:
    upsampler = build()
    image = _image(8, 9, 3)
    before, _ = upsampler.enhance(image)
    twin = copy.deepcopy(upsampler)
    with torch.no_grad():
        upsampler.model.conv_last.bias += 1
    np.testing.assert_array_equal(twin.enhance(image)[0], before)


def test_name_of_a_model_works_where_a_path_does(real_weights: Callable[[str], Path]) -> None:
    image = _image(8, 8, 3)
    by_name = RealESRGANer(4, "realesr-animevideov3").enhance(image)[0]
    by_path = RealESRGANer(4, real_weights("realesr-animevideov3")).enhance(image)[0]
    np.testing.assert_array_equal(by_name, by_path)


def test_settings_changed_later_are_followed(build: Build) -> None:
    upsampler = build(tile=0)
    upsampler.tile_size, upsampler.tile_pad, upsampler.pre_pad = 8, 3, 0
    assert upsampler.upscaler.tile_for(64, 64) == 8
    assert upsampler.enhance(_image(20, 20, 3))[0].shape == (80, 80, 3)
