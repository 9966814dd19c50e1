"""장치와 정밀도와 타일을 고르고, 없는 것을 청하면 무엇을 할지 말하는지."""

from __future__ import annotations

import subprocess
import sys
import textwrap

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from realesrgan.archs import RRDBNet, SRVGGNetCompact
from realesrgan.archs.base import activation_values
from realesrgan.errors import DeviceError
from realesrgan.inference.engines.base import (
    CPU_BUDGET,
    MIB,
    choose_device,
    choose_precision,
    estimate_memory,
    memory_budget,
    pixel_limit,
)
from realesrgan.inference.tiling import auto_tile
from realesrgan.util.machine import available_memory
from realesrgan.util.numbers import describe_bytes

CPU, CUDA = torch.device("cpu"), torch.device("cuda")


def _pretend(monkeypatch: pytest.MonkeyPatch, *, cuda: int = 0, mps: bool = False) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: cuda > 0)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: cuda)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: mps)
    monkeypatch.setattr(torch.xpu, "is_available", lambda: False)


def test_cpu_serves_where_there_is_nothing_else(monkeypatch: pytest.MonkeyPatch) -> None:
    _pretend(monkeypatch)
    assert choose_device() == choose_device("auto") == choose_device("cpu") == CPU


def test_gpu_is_taken_when_there_is_one(monkeypatch: pytest.MonkeyPatch) -> None:
    _pretend(monkeypatch, cuda=2)
    assert choose_device().type == "cuda"
    assert choose_device("cuda:1") == torch.device("cuda:1")
    _pretend(monkeypatch, mps=True)
    assert choose_device().type == "mps"


@pytest.mark.parametrize("name", ["cuda", "cuda:3", "mps", "xpu"])
def test_missing_device_names_the_remedy(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    _pretend(monkeypatch)
    with pytest.raises(DeviceError, match="--device cpu"):
        choose_device(name)


def test_device_number_beyond_the_last_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    _pretend(monkeypatch, cuda=2)
    with pytest.raises(DeviceError, match="2개"):
        choose_device("cuda:2")


@pytest.mark.parametrize("name", ["gpu", "cuda:x", "meta"])
def test_unknown_device_lists_the_names(name: str) -> None:
    with pytest.raises(DeviceError, match="cpu, cuda, cuda:N, mps, xpu"):
        choose_device(name)


def test_auto_precision_is_half_only_on_cuda() -> None:
    assert choose_precision("auto", CUDA) == "fp16"
    assert choose_precision("auto", CPU) == "fp32"
    assert choose_precision("auto", torch.device("mps")) == "fp32"


def test_half_on_a_cpu_becomes_full_with_one_line(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level("WARNING", logger="realesrgan"):
        assert choose_precision("fp16", CPU) == "fp32"
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert choose_precision("bf16", CPU) == "bf16"


def test_unknown_precision_is_refused() -> None:
    with pytest.raises(DeviceError, match="bf16"):
        choose_precision("fp8", CPU)


def test_picture_that_fits_is_taken_whole() -> None:
    assert auto_tile((100, 100), 10_000 * 8, 8, pad=10) == 0
    assert auto_tile((100, 101), 10_000 * 8, 8, pad=10) > 0


@given(st.integers(1, 9000), st.integers(1, 9000), st.integers(300, 20_000), st.sampled_from([1, 2, 4]))
def test_chosen_tile_with_its_pads_stays_in_the_budget(height: int, width: int, per_pixel: int, multiple: int) -> None:
    tile = auto_tile((height, width), CPU_BUDGET, per_pixel, pad=10, multiple=multiple)
    if tile:
        assert (tile + 20) ** 2 * per_pixel <= CPU_BUDGET
        assert tile % multiple == 0
    else:
        assert height * width * per_pixel <= CPU_BUDGET


def test_no_budget_still_gives_a_working_tile() -> None:
    assert auto_tile((500, 500), 0, 12_000, pad=10) == pytest.approx(64, abs=2)


def test_half_precision_needs_half_the_memory() -> None:
    network = RRDBNet(3, 3, num_block=1)
    assert estimate_memory(network, "fp16", 1, 1) * 2 == estimate_memory(network, "fp32", 1, 1)
    assert estimate_memory(RRDBNet(3, 3, scale=2, num_block=1), "fp32", 1, 1) * 4 == estimate_memory(
        network, "fp32", 1, 1
    )


def test_cpu_budget_is_modest_for_light_networks_and_larger_for_heavy_ones() -> None:
    device = torch.device("cpu")
    light = memory_budget(device, estimate_memory(SRVGGNetCompact(), "fp32", 1, 1))
    heavy = memory_budget(device, estimate_memory(RRDBNet(3, 3, num_block=1), "fp32", 1, 1))
    assert light <= CPU_BUDGET
    assert light <= heavy <= available_memory()


def test_tensors_stay_below_what_a_device_can_index() -> None:
    network = RRDBNet(3, 3, num_block=1)

    def limit(found: torch.nn.Module, precision: str, kind: str) -> int:
        return pixel_limit(torch.device(kind), precision, activation_values(found).largest)

    cuda, mps = (limit(network, "fp32", kind) for kind in ("cuda", "mps"))
    assert cuda * 64 * 16 < 2**31
    assert mps * 64 * 16 * 4 < 2**32
    assert limit(network, "fp32", "cpu") > 10**12
    assert limit(SRVGGNetCompact(), "fp16", "cuda") > cuda


@pytest.mark.slow
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="최대 상주 메모리를 /proc에서 읽는다")
@pytest.mark.parametrize(("backend", "precision"), [("torch", "fp32"), ("torch", "bf16"), ("ncnn", "fp32")])
@pytest.mark.parametrize(
    ("build", "side"),
    [("SRVGGNetCompact()", 384), ("RRDBNet(3, 3, num_block=2)", 176)],
    ids=["srvgg", "rrdb"],
)
def test_estimate_is_near_the_measured_peak(build: str, side: int, backend: str, precision: str) -> None:
    code = f"""
        import re, torch
        from realesrgan.archs import RRDBNet, SRVGGNetCompact
        from realesrgan.inference.engines.base import create_engine
        network = {build}.requires_grad_(False)
        engine = create_engine(network, device="cpu", backend="{backend}", precision="{precision}")
        # ru_maxrss는 부모의 최댓값을 물려받아 시험을 함께 돌리면 틀린다.
        peak = lambda: int(re.search(r"VmHWM:\\s+(\\d+)", open("/proc/self/status").read())[1]) * 1024
        engine(torch.zeros(1, 3, 16, 16))
        before = peak()
        engine(torch.zeros(1, 3, {side}, {side}))
        print((peak() - before) / engine.memory({side}, {side}))
    """
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True, check=True)
    assert 0.5 < float(done.stdout) < 1.1


@pytest.mark.parametrize(("count", "text"), [(0, "0B"), (2048, "2.0KB"), (3 * MIB, "3.0MB"), (5 << 30, "5.0GB")])
def test_bytes_are_told_in_readable_units(count: int, text: str) -> None:
    assert describe_bytes(count) == text
