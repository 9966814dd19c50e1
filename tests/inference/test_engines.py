"""엔진의 표와, 엔진마다 같은 이미지가 나오는지."""

from __future__ import annotations

import copy
import importlib
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch

import realesrgan
from realesrgan.archs import RRDBNet
from realesrgan.archs.base import network_scale
from realesrgan.errors import (
    DeviceError,
    ExportError,
    InvalidValueError,
    MissingPackageError,
    OutOfMemoryError,
    UsageError,
)
from realesrgan.inference import tuning
from realesrgan.inference.engines import base, choices, compiled
from realesrgan.inference.engines.base import ENGINES, EngineRow, create_engine, register_engine
from realesrgan.inference.upscaler import Upscaler

OTHERS = ["openvino", "onnxruntime"]


def _requires(name: str) -> None:
    package = ENGINES[name].package
    if package:
        pytest.importorskip(package)
    if name == "onnxruntime":
        pytest.importorskip("onnx")


@pytest.mark.parametrize("scale", [1, 2, 4])
@pytest.mark.parametrize("name", OTHERS)
def test_other_engines_give_the_same_picture(
    name: str, scale: int, tiny_rrdbnet: Callable[[int], RRDBNet], save_network: Callable[..., Path]
) -> None:
    _requires(name)
    model = realesrgan.load(save_network(tiny_rrdbnet(scale)), device="cpu")
    image = np.random.default_rng(0).integers(0, 256, (21, 34, 3), np.uint8)
    expected = model.upscale(image)
    for tile in (0, 12):
        found = model.with_compute(backend=name, tile=tile, tile_pad=32).upscale(image)
        assert np.abs(found.astype(int) - expected.astype(int)).max() <= 1
    assert model.with_compute(backend=name).engine.name == name


@pytest.mark.slow
@pytest.mark.parametrize("name", OTHERS)
def test_other_engines_draw_the_official_picture(name: str) -> None:
    _requires(name)
    model = realesrgan.load("realesr-animevideov3", device="cpu")
    image = np.random.default_rng(0).integers(0, 256, (32, 40, 3), np.uint8)
    found, expected = (one.upscale(image).astype(int) for one in (model.with_compute(backend=name), model))
    assert np.abs(found - expected).max() <= 1


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("name", ["torch", "ncnn", *OTHERS])
def test_a_single_pixel_is_right_in_every_engine(name: str, precision: str) -> None:
    _requires(name)
    model = realesrgan.load("realesr-animevideov3", device="cpu", backend="torch", precision="fp32")
    try:
        engine = model.with_compute(backend=name, precision=precision).engine
    except DeviceError:
        pytest.skip("그 정밀도를 모르는 엔진이다")
    pixel = torch.tensor([0.7, 0.2, 0.4]).reshape(1, 3, 1, 1)
    assert (engine(pixel) - model.engine(pixel)).abs().max() < 0.02


@pytest.mark.usefixtures("without_amx")
def test_auto_on_a_cpu_is_the_fastest_exact_engine(tiny_rrdbnet: Callable[[int], RRDBNet]) -> None:
    assert create_engine(tiny_rrdbnet(4), device="cpu").name == "ncnn"


def test_unknown_engine_lists_the_known_ones() -> None:
    with pytest.raises(UsageError, match="openvino"):
        create_engine(torch.nn.Identity(), backend="tensorflow", scale=1)


@pytest.mark.parametrize("name", OTHERS)
def test_missing_package_says_how_to_install_it(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, ENGINES[name].package, None)
    with pytest.raises(MissingPackageError, match="pip install"):
        create_engine(torch.nn.Identity(), backend=name, scale=1)


@pytest.mark.parametrize("options", [{"device": "mps"}, {"precision": "fp16"}])
@pytest.mark.parametrize("name", OTHERS)
def test_what_an_engine_cannot_do_is_a_device_error(name: str, options: dict[str, str]) -> None:
    _requires(name)
    with pytest.raises(DeviceError, match="--backend torch"):
        create_engine(torch.nn.Identity(), backend=name, scale=1, **options)


def test_own_engine_is_one_file_and_a_row(
    monkeypatch: pytest.MonkeyPatch, tiny_rrdbnet: Callable[[int], RRDBNet], save_network: Callable[..., Path]
) -> None:
    class Nearest:
        name, precision, max_pixels = "nearest", "fp32", 10**9
        device = torch.device("cpu")

        def __init__(self, scale: int, multiple: int) -> None:
            self.scale, self.multiple = scale, multiple

        def __call__(self, batch: torch.Tensor) -> torch.Tensor:
            return batch.repeat_interleave(self.scale, 2).repeat_interleave(self.scale, 3)

        def memory(self, height: int, width: int) -> int:
            return height * width

        def fallback(self) -> None:
            return None

        def release(self) -> None:
            return None

    module = ModuleType("own_engine")
    module.create = lambda _network, _device, _precision, scale, multiple: Nearest(scale, multiple)
    monkeypatch.setitem(sys.modules, "own_engine", module)
    monkeypatch.setattr(base, "ENGINES", dict(ENGINES))
    register_engine(EngineRow("nearest", "own_engine"))
    image = np.random.default_rng(0).integers(0, 256, (5, 6, 3), np.uint8)
    model = realesrgan.load(save_network(tiny_rrdbnet(4)), backend="nearest")
    np.testing.assert_array_equal(model.upscale(image), image.repeat(4, 0).repeat(4, 1))
    with pytest.raises(ValueError, match="이미"):
        register_engine(EngineRow("nearest", "another"))


@pytest.mark.parametrize(
    "error",
    [MemoryError(), RuntimeError("CUDA out of memory. Tried"), RuntimeError("DefaultCPUAllocator: not enough memory")],
)
def test_running_out_of_memory_has_one_name(error: BaseException) -> None:
    class Greedy(torch.nn.Module):
        scale = 1

        def forward(self, _: torch.Tensor) -> torch.Tensor:
            raise error

    with pytest.raises(OutOfMemoryError):
        create_engine(Greedy(), device="cpu")(torch.zeros(1, 3, 2, 2))


def test_other_errors_of_the_network_are_not_taken_for_memory() -> None:
    class Broken(torch.nn.Module):
        scale = 1

        def forward(self, _: torch.Tensor) -> torch.Tensor:
            raise RuntimeError("shape mismatch")

    with pytest.raises(RuntimeError, match="shape mismatch"):
        create_engine(Broken(), device="cpu")(torch.zeros(1, 3, 2, 2))


class Side(torch.nn.Module):
    """이미지와 함께 중간 결과를 내고, 말한 배율과 다를 수도 있는 네트워크."""

    def __init__(self, real: int = 2) -> None:
        super().__init__()
        self.real = real
        self.conv = torch.nn.Conv2d(3, 3, 3, padding=1)

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, list[torch.Tensor]]:
        inner = self.conv(x)
        return torch.nn.functional.interpolate(inner, scale_factor=float(self.real)), [inner]


@pytest.mark.parametrize("name", ["torch", *OTHERS])
def test_the_first_of_several_outputs_is_the_picture(name: str, tmp_path: Path, monkeypatch: Any) -> None:
    if name != "torch":
        _requires(name)
    monkeypatch.setenv("REALESRGAN_HOME", str(tmp_path))
    network = Side().requires_grad_(False)
    batch = torch.rand(1, 3, 9, 14)
    assert network_scale(network) == 2
    assert float((create_engine(network, backend=name, device="cpu")(batch) - network(batch)[0]).abs().max()) < 1e-5


def test_a_network_that_enlarges_by_another_scale_than_it_says_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    network = Side(real=3).requires_grad_(False)
    monkeypatch.setattr(network, "scale", 2, raising=False)
    with pytest.raises(InvalidValueError, match="2배의 RGB가 아닙니다"):
        Upscaler(create_engine(network, device="cpu")).upscale(np.zeros((8, 9, 3), np.uint8))


def test_an_operation_that_onnx_lacks_is_told_without_a_word_of_the_exporter(capfd: Any) -> None:
    _requires("onnxruntime")

    class Fourier(torch.nn.Identity):
        scale = 1

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return torch.fft.irfft2(torch.fft.rfft2(x), s=x.shape[-2:])

    with pytest.raises(ExportError, match="--backend torch"):
        create_engine(Fourier(), backend="onnxruntime", device="cpu")
    captured = capfd.readouterr()
    assert (captured.out, captured.err) == ("", "")


def test_network_that_overflows_in_half_is_kept_in_full(monkeypatch: pytest.MonkeyPatch, caplog: Any) -> None:
    class Fragile(torch.nn.Identity):
        scale, supports_half = 1, False

    monkeypatch.setattr(base, "choose_precision", lambda *_: "fp16")
    with caplog.at_level("WARNING", logger="realesrgan"):
        assert create_engine(Fragile(), device="cpu").precision == "fp32"
    assert "fp32" in caplog.text


def test_the_network_given_is_not_moved_or_changed(tiny_rrdbnet: Callable[[int], RRDBNet]) -> None:
    network = tiny_rrdbnet(4)
    engine = create_engine(network, device="cpu", precision="bf16")
    assert next(network.parameters()).dtype == torch.float32
    assert next(engine.network.parameters()).dtype == torch.bfloat16


def test_an_absent_provider_names_those_present_and_the_package(tiny_rrdbnet: Callable[[int], RRDBNet]) -> None:
    _requires("onnxruntime")
    with pytest.raises(DeviceError, match=r"있는 것: .*cpu[\s\S]*onnxruntime-migraphx"):
        create_engine(tiny_rrdbnet(4), backend="onnxruntime", device="migraphx")


def test_a_provider_that_does_not_start_is_an_error_and_never_a_silent_cpu_run(
    monkeypatch: pytest.MonkeyPatch, tiny_rrdbnet: Callable[[int], RRDBNet]
) -> None:
    _requires("onnxruntime")
    import onnxruntime

    present = [*onnxruntime.get_available_providers(), "TensorrtExecutionProvider", "CUDAExecutionProvider"]
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: present)
    session = onnxruntime.InferenceSession
    asked: list[Any] = []

    def start(content: Any, options: Any, providers: list[tuple[str, dict[str, str]]]) -> Any:
        asked.extend(providers)
        return session(content, options, providers=["CPUExecutionProvider"])

    monkeypatch.setattr(onnxruntime, "InferenceSession", start)
    with pytest.raises(DeviceError, match="켜지지 않는 제공자"):
        create_engine(tiny_rrdbnet(4), backend="onnxruntime", device="tensorrt:1")
    names = [name for name, _ in asked]
    assert names == ["TensorrtExecutionProvider", "CUDAExecutionProvider", "CPUExecutionProvider"]
    assert asked[0][1]["device_id"] == "1" and asked[0][1]["trt_fp16_enable"] == "True"
    assert Path(asked[0][1]["trt_engine_cache_path"]).is_dir()


def test_half_precision_for_a_provider_gives_nearly_the_same_picture(tiny_rrdbnet: Callable[[int], RRDBNet]) -> None:
    _requires("onnxruntime")
    from realesrgan.inference.engines.onnxruntime import OnnxEngine, trace_onnx

    network, batch = tiny_rrdbnet(4).requires_grad_(False), torch.rand(1, 3, 13, 18)
    engine = OnnxEngine(trace_onnx(copy.deepcopy(network).half(), 1), scale=4, multiple=1, precision="fp16")
    engine.network = network
    assert float((engine(batch) - network(batch)).abs().max()) < 0.01
    fallback = engine.fallback()
    assert fallback is not None and float((fallback(batch) - network(batch)).abs().max()) < 1e-4


INTERRUPTED = """
import _thread, sys, threading, time
import torch
from realesrgan.archs import RRDBNet
from realesrgan.inference.engines.base import create_engine
torch.manual_seed(0)
engine = create_engine(RRDBNet(3, 3, num_block=4).eval(), backend=sys.argv[1], device="cpu")
batch = torch.rand(1, 3, 16, 16)
expected = engine(batch)
threading.Timer(0.5, _thread.interrupt_main).start()
began = time.monotonic()
try:
    while time.monotonic() - began < 60:
        engine(torch.rand(1, 3, 160, 160))
except KeyboardInterrupt:
    assert torch.equal(engine(batch), expected)
    print("stopped")
"""


@pytest.mark.parametrize("name", OTHERS)
def test_an_interrupt_stops_a_call_and_the_engine_goes_on(name: str, tmp_path: Path) -> None:
    _requires(name)
    environment = {**os.environ, "REALESRGAN_HOME": str(tmp_path)}
    command = [sys.executable, "-c", INTERRUPTED, name]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=120)
    assert done.stdout.strip() == "stopped", done.stderr


def test_openvino_without_a_device_names_those_present(tiny_rrdbnet: Callable[[int], RRDBNet]) -> None:
    _requires("openvino")
    with pytest.raises(DeviceError, match=r"있는 것: .*cpu"):
        create_engine(tiny_rrdbnet(4), backend="openvino", device="npu:7")


def test_a_device_of_fixed_sizes_gives_the_same_picture(tiny_rrdbnet: Callable[[int], RRDBNet]) -> None:
    _requires("openvino")
    from realesrgan.inference.engines.openvino import OpenVinoEngine, convert

    network = tiny_rrdbnet(4)
    engine = OpenVinoEngine(convert(network, 1), scale=4, multiple=1, fixed_size=True)
    for size in ((9, 14), (16, 8), (9, 14)):
        batch = torch.rand(1, 3, *size)
        assert float((engine(batch) - network(batch)).abs().max()) < 1e-4


@pytest.mark.parametrize("name", OTHERS)
def test_a_converted_model_is_kept_and_a_broken_or_other_one_is_made_again(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tiny_rrdbnet: Callable[[int], RRDBNet]
) -> None:
    _requires(name)
    monkeypatch.setenv("REALESRGAN_HOME", str(tmp_path))
    network, batch = tiny_rrdbnet(4), torch.rand(1, 3, 10, 12)
    expected = create_engine(network, backend=name, device="cpu")(batch)
    (kept,) = (tmp_path / "compiled").glob("*.bin")
    module = importlib.import_module(ENGINES[name].module)
    with monkeypatch.context() as patch:
        patch.setattr(module, "convert" if name == "openvino" else "trace_onnx", None)
        assert torch.equal(create_engine(network, backend=name, device="cpu")(batch), expected)
    whole = kept.read_bytes()
    for broken in (whole[: len(whole) // 2], b"", whole[:-1] + bytes([whole[-1] ^ 1])):
        kept.write_bytes(broken)
        assert torch.equal(create_engine(network, backend=name, device="cpu")(batch), expected)
        assert kept.read_bytes()[:32] == whole[:32] or len(kept.read_bytes()) > 32
    with torch.no_grad():
        network.conv_last.bias += 0.25
    changed = create_engine(network, backend=name, device="cpu")(batch)
    assert float((changed - expected - 0.25).abs().max()) < 1e-4
    assert len(list((tmp_path / "compiled").glob("*.bin"))) == 2


def test_a_model_in_a_folder_that_can_only_be_read_is_used_and_not_made_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REALESRGAN_HOME", str(tmp_path))
    compiled.load_compiled("key", lambda: b"made", bytes)

    def refused(*_arguments: object, **_options: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "touch", refused)
    assert compiled.load_compiled("key", lambda: b"made again", bytes) == b"made"


@pytest.fixture
def broken_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """설치되어 있으나 불러올 수 없는 패키지로 바꾸는 함수."""

    def replace(name: str) -> None:
        folder = tmp_path / "packages" / name
        folder.mkdir(parents=True)
        (folder / "__init__.py").write_text("raise ImportError('libmissing.so.1')", encoding="utf-8")
        monkeypatch.syspath_prepend(str(folder.parent))
        for loaded in [one for one in sys.modules if one == name or one.startswith(f"{name}.")]:
            monkeypatch.delitem(sys.modules, loaded)

    return replace


@pytest.mark.usefixtures("without_amx")
def test_an_engine_of_ours_that_does_not_load_is_told_and_another_one_computes(
    broken_package: Callable[[str], None], caplog: pytest.LogCaptureFixture, tiny_rrdbnet: Callable[[int], RRDBNet]
) -> None:
    broken_package("ncnn")
    assert create_engine(tiny_rrdbnet(4), device="cpu", precision="fp32").name == "torch"
    assert "libmissing.so.1" in caplog.text and "torch" in caplog.text
    with pytest.raises(MissingPackageError, match="libmissing"):
        create_engine(tiny_rrdbnet(4), backend="ncnn")
    with pytest.raises(MissingPackageError, match="libmissing"):
        create_engine(tiny_rrdbnet(4), device="vulkan")


@pytest.mark.usefixtures("without_amx")
def test_a_tuned_engine_that_does_not_load_any_more_is_told_and_the_known_one_computes(
    broken_package: Callable[[str], None],
    caplog: pytest.LogCaptureFixture,
    tiny_rrdbnet: Callable[[int], RRDBNet],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    _requires("onnxruntime")
    monkeypatch.setenv("REALESRGAN_HOME", str(tmp_path))
    network = tiny_rrdbnet(4)
    choices.remember(network, base.engine_packages(), choices.Choice("onnxruntime", "cpu", "fp32"))
    assert create_engine(network, device="cpu").name == "onnxruntime"
    broken_package("onnx")
    assert create_engine(network, device="cpu").name == "ncnn"
    assert "onnxruntime 엔진을 쓸 수 없어 ncnn" in caplog.text


@pytest.mark.parametrize("name", OTHERS)
def test_tuning_leaves_out_what_does_not_load_and_says_why(
    name: str,
    broken_package: Callable[[str], None],
    tiny_rrdbnet: Callable[[int], RRDBNet],
    save_network: Callable[..., Path],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    _requires(name)
    monkeypatch.setattr(tuning, "WANTED_SECONDS", 0.0)
    broken_package(ENGINES[name].package)
    found = tuning.tune(realesrgan.load(save_network(tiny_rrdbnet(4)), backend="torch"), device="cpu")
    notes = [one.note for one in found.timings if one.backend == name]
    assert notes and all("libmissing" in note for note in notes)
    assert found.choice.backend != name


def test_the_cache_forgets_the_oldest_and_does_without_a_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REALESRGAN_HOME", str(tmp_path))
    for number in range(compiled.KEPT_FILES + 3):
        compiled.load_compiled(f"{number}", lambda: b"made", bytes)
        os.utime(tmp_path / "compiled" / f"{number}.bin", (number, number))
    names = {path.stem for path in (tmp_path / "compiled").iterdir()}
    assert "0" not in names and len(names) <= compiled.KEPT_FILES
    monkeypatch.setenv("REALESRGAN_HOME", str(tmp_path / "compiled" / f"{compiled.KEPT_FILES + 2}.bin"))
    assert compiled.load_compiled("key", lambda: b"made", bytes) == b"made"
