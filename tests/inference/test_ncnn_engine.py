"""ncnn 엔진은 PyTorch의 fp32와 같은 이미지를 낸다."""

from __future__ import annotations

import copy
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from realesrgan.archs import RRDBNet, SRVGGNetCompact
from realesrgan.archs.base import GrayNetwork
from realesrgan.errors import DeviceError, ExportError
from realesrgan.inference.engines.base import create_engine
from realesrgan.inference.model import load
from realesrgan.zoo.models import MODELS
from tests.conftest import small_rrdbnet

ncnn = pytest.importorskip("ncnn")


@pytest.mark.parametrize("name", [name for name, spec in MODELS.items() if spec.ncnn])
@pytest.mark.parametrize("size", [(1, 1), (7, 13), (32, 24)])
def test_every_network_of_the_zoo_gives_the_values_of_torch(name: str, size: tuple[int, int]) -> None:
    model = load(name)
    batch = torch.rand(2, 3, size[0] * model.multiple, size[1] * model.multiple)
    expected = model.with_compute(backend="torch").engine(batch)
    result = model.with_compute(backend="ncnn").engine(batch)
    assert result.shape == expected.shape and result.dtype == torch.float32
    assert float((result - expected).abs().max()) < 1e-4


def test_an_ncnn_whose_bf16_kills_the_process_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ncnn, "__version__", "1.0.20250503")
    with pytest.raises(DeviceError, match="pip install -U ncnn"):
        create_engine(small_rrdbnet(), backend="ncnn", device="cpu", precision="bf16")
    assert create_engine(small_rrdbnet(), backend="ncnn", device="cpu").precision == "fp32"


@pytest.mark.skipif(int(ncnn.__version__.rpartition(".")[2]) < 20260526, reason="낡은 ncnn은 bf16을 쓰지 않는다")
def test_storage_in_bf16_is_near_and_falls_back_to_fp32() -> None:
    model = load("realesr-animevideov3", backend="ncnn", precision="bf16")
    batch = torch.rand(1, 3, 20, 30)
    expected = load("realesr-animevideov3", backend="torch").engine(batch)
    assert float((model.engine(batch) - expected).square().mean()) < 1e-4
    safer = model.engine.fallback()
    assert safer is not None and safer.precision == "fp32" and safer.fallback() is None
    assert float((safer(batch) - expected).abs().max()) < 1e-4


def test_several_threads_share_one_engine() -> None:
    engine = load("realesr-animevideov3", backend="ncnn").engine
    batches = [torch.rand(1, 3, 16 + index, 20) for index in range(8)]
    expected = [engine(batch) for batch in batches]
    with ThreadPoolExecutor(4) as pool:
        for result, wanted in zip(pool.map(engine, batches), expected, strict=True):
            assert torch.equal(result, wanted)


def test_what_does_not_fit_whole_is_still_exact(monkeypatch: pytest.MonkeyPatch) -> None:
    image = np.random.default_rng(0).integers(0, 256, (300, 40, 3), dtype=np.uint8)
    torch.manual_seed(0)
    model = load(RRDBNet(3, 3, num_feat=8, num_block=3, num_grow_ch=4).state_dict(), backend="ncnn")
    whole = model.upscale(image)
    monkeypatch.setattr("realesrgan.inference.upscaler.memory_budget", lambda *_: 3 << 20)
    assert model.upscaler.cut_for(300, 40) is not None
    assert int(np.abs(model.upscale(image).astype(int) - whole).max()) <= 1


def test_with_a_budget_tiles_cover_the_receptive_field_where_it_is_small() -> None:
    image = np.random.default_rng(0).integers(0, 256, (150, 140, 3), dtype=np.uint8)
    model = load("realesr-animevideov3", backend="ncnn")
    whole = model.upscale(image)
    model.upscaler.budget = 60 << 20
    assert model.upscaler.cut_for(150, 140) is None and model.upscaler.is_exact(150, 140)
    assert model.upscaler.pad == 18 and 0 < model.upscaler.tile_for(150, 140) < 140
    assert int(np.abs(model.upscale(image).astype(int) - whole).max()) <= 1


def test_the_threads_of_the_caller_are_used() -> None:
    engine = create_engine(small_rrdbnet(), backend="ncnn")
    before = torch.get_num_threads()
    batch = torch.rand(1, 3, 20, 20)
    try:
        results = []
        for threads in (1, 2):
            torch.set_num_threads(threads)
            results.append(engine(batch))
    finally:
        torch.set_num_threads(before)
    assert float((results[0] - results[1]).abs().max()) < 1e-5


def test_a_network_ncnn_cannot_hold_says_what_to_do() -> None:
    class Other(nn.Module):
        scale = 1

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x

    with pytest.raises(ExportError, match="--backend torch"):
        create_engine(Other(), backend="ncnn")


class _Brighter(SRVGGNetCompact):
    """물려받아 계산을 고친 사용자의 네트워크."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return super().forward(x) + 0.25


class _Written(_Brighter):
    """고친 계산을 스스로 적는 네트워크."""

    def write_ncnn(self, graph: Any) -> str:
        return graph.add("BinaryOp", [super().write_ncnn(graph)], "0=0 1=1 2=2.500000e-01")


def _altered() -> dict[str, nn.Module]:
    torch.manual_seed(0)
    made: dict[str, Any] = {"subclass": _Brighter(num_feat=8, num_conv=2)}
    for name in ("hook", "inner hook", "forward", "activation", "conv"):
        made[name] = SRVGGNetCompact(num_feat=8, num_conv=2)
    made["hook"].register_forward_hook(lambda _module, _inputs, output: output * 0.5)
    made["inner hook"].body[0].register_forward_hook(lambda _module, _inputs, output: output * 0.5)
    made["forward"].body[1].forward = lambda x: -x
    made["activation"].body[1] = nn.GELU()
    made["conv"].body[2] = nn.Conv2d(8, 8, 5, 1, 2)
    made["block"] = small_rrdbnet()
    made["block"].body[0].rdb1 = nn.Identity()
    made["gray"] = GrayNetwork(SRVGGNetCompact(num_in_ch=1, num_out_ch=1, num_feat=8, num_conv=2))
    return {name: network.eval() for name, network in made.items()}


@pytest.mark.parametrize("precision", ["fp32", "auto", "bf16"])
@pytest.mark.parametrize("name", sorted(_altered()))
def test_what_the_user_changed_in_a_network_is_computed_on_every_way(
    name: str, precision: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("realesrgan.inference.engines.torch.prefers_bf16", lambda: True)
    network, batch = _altered()[name], torch.rand(1, 3, 10, 12)
    with torch.inference_mode():
        expected = network(batch)
    engine = create_engine(network, device="cpu", precision=precision)
    assert engine.name == "torch"
    found = engine(batch)
    assert float((found - expected).abs().max()) < (0.05 if engine.precision == "bf16" else 1e-5)
    with pytest.raises(ExportError, match="--backend torch"):
        create_engine(network, backend="ncnn", device="cpu")


@pytest.mark.usefixtures("without_amx")
def test_a_subclass_that_writes_its_own_computation_is_run_by_ncnn() -> None:
    network, batch = _Written(num_feat=8, num_conv=2).eval(), torch.rand(1, 3, 10, 12)
    engine = create_engine(network, device="cpu", precision="fp32")
    assert engine.name == "ncnn"
    with torch.inference_mode():
        assert float((engine(batch) - network(batch)).abs().max()) < 1e-5


def test_precisions_follow_the_device() -> None:
    assert create_engine(small_rrdbnet(), backend="ncnn", precision="fp16").precision == "fp32"
    with pytest.raises(DeviceError, match="bf16"):
        create_engine(small_rrdbnet(), device="vulkan", precision="bf16")
    with pytest.raises(DeviceError, match="vulkan"):
        create_engine(small_rrdbnet(), backend="torch", device="vulkan")


def test_a_computer_without_a_vulkan_device_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ncnn, "get_gpu_count", lambda: 0)
    with pytest.raises(DeviceError, match="Vulkan 장치는 0개"):
        create_engine(small_rrdbnet(), device="vulkan")


def test_vulkan_gives_the_values_of_torch() -> None:
    if ncnn.get_gpu_count() == 0:
        pytest.skip("Vulkan 장치가 없다")
    network = small_rrdbnet()
    batch = torch.rand(1, 3, 12, 20)
    engine = create_engine(network, device="vulkan")
    assert engine.name == "ncnn"
    expected = create_engine(network, backend="torch")(batch)
    assert float((engine(batch) - expected).abs().max()) < 1e-4
    half = create_engine(network, device="vulkan:0", precision="fp16")
    assert float((half(batch) - expected).abs().max()) < 0.05


@pytest.mark.parametrize("size", [(13, 17), (1, 5), (7, 3), (9, 6)])
def test_vulkan_reads_pictures_whose_area_is_no_multiple_of_four(size: tuple[int, int]) -> None:
    if ncnn.get_gpu_count() == 0:
        pytest.skip("Vulkan 장치가 없다")
    network, batch = small_rrdbnet(), torch.rand(1, 3, *size)
    expected = create_engine(network, backend="torch")(batch)
    assert float((create_engine(network, device="vulkan")(batch) - expected).abs().max()) < 1e-4


def test_the_fp32_of_a_cpu_with_amx_is_computed_by_torch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch.cpu._is_amx_tile_supported", lambda: True, raising=False)
    assert create_engine(small_rrdbnet(), device="cpu", precision="fp32").name == "torch"
    assert create_engine(small_rrdbnet(), device="cpu", backend="ncnn").name == "ncnn"


@pytest.mark.usefixtures("without_amx")
def test_the_fastest_exact_engine_is_chosen_for_a_cpu() -> None:
    assert create_engine(small_rrdbnet(), device="cpu").name == "ncnn"
    assert create_engine(small_rrdbnet(), device="cpu", precision="bf16").name == "torch"
    assert create_engine(nn.Sequential(nn.Conv2d(3, 3, 3, 1, 1)), device="cpu", scale=1).name == "torch"
    assert create_engine(lambda batch: batch, device="cpu", scale=1).name == "torch"


def test_without_the_package_torch_is_chosen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("realesrgan.inference.engines.base.is_installed", lambda _package: False)
    assert create_engine(small_rrdbnet(), device="cpu").name == "torch"


def test_a_copy_of_the_engine_works() -> None:
    engine = create_engine(small_rrdbnet(), backend="ncnn")
    batch = torch.rand(1, 3, 6, 6)
    assert torch.equal(copy.deepcopy(engine)(batch), engine(batch))
