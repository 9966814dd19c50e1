"""메모리를 어림하고 거기에 맞는 타일을 고르는지."""

from __future__ import annotations

import subprocess
import sys
import textwrap

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from realesrgan.archs import RRDBNet, SRVGGNetCompact
from realesrgan.inference.memory import (
    CPU_BUDGET,
    MIB,
    auto_tile,
    bytes_per_pixel,
    describe_bytes,
    memory_budget,
    pixel_limit,
)
from realesrgan.util.machine import available_memory


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
    assert bytes_per_pixel(network, "fp16") * 2 == bytes_per_pixel(network, "fp32")
    assert bytes_per_pixel(RRDBNet(3, 3, scale=2, num_block=1), "fp32") * 4 == bytes_per_pixel(network, "fp32")


def test_cpu_budget_is_modest_for_light_networks_and_larger_for_heavy_ones() -> None:
    device = torch.device("cpu")
    light = memory_budget(device, bytes_per_pixel(SRVGGNetCompact(), "fp32"))
    heavy = memory_budget(device, bytes_per_pixel(RRDBNet(3, 3, num_block=1), "fp32"))
    assert light <= CPU_BUDGET
    assert light <= heavy <= available_memory()


def test_tensors_stay_below_what_a_device_can_index() -> None:
    network = RRDBNet(3, 3, num_block=1)
    cuda, mps = (pixel_limit(network, "fp32", torch.device(kind)) for kind in ("cuda", "mps"))
    assert cuda * 64 * 16 < 2**31
    assert mps * 64 * 16 * 4 < 2**32
    assert pixel_limit(network, "fp32", torch.device("cpu")) > 10**12
    assert pixel_limit(SRVGGNetCompact(), "fp16", torch.device("cuda")) > cuda


@pytest.mark.slow
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="최대 상주 메모리를 /proc에서 읽는다")
@pytest.mark.parametrize(
    ("build", "side"),
    [("SRVGGNetCompact()", 384), ("RRDBNet(3, 3, num_block=2)", 176)],
    ids=["srvgg", "rrdb"],
)
def test_estimate_is_near_the_measured_peak(build: str, side: int) -> None:
    code = f"""
        import re, torch
        import numpy as np
        from realesrgan.archs import RRDBNet, SRVGGNetCompact
        from realesrgan.inference.engine import TorchEngine
        from realesrgan.inference.memory import bytes_per_pixel
        network = {build}.eval().requires_grad_(False).to(memory_format=torch.channels_last)
        engine = TorchEngine(network, torch.device("cpu"), "fp32", scale=4)
        # ru_maxrss는 부모의 최댓값을 물려받아 시험을 함께 돌리면 틀린다.
        peak = lambda: int(re.search(r"VmHWM:\\s+(\\d+)", open("/proc/self/status").read())[1]) * 1024
        engine(np.zeros((1, 3, 16, 16), np.float32))
        before = peak()
        engine(np.zeros((1, 3, {side}, {side}), np.float32))
        print((peak() - before) / (bytes_per_pixel(network, "fp32") * {side}**2))
    """
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True, check=True)
    assert 0.5 < float(done.stdout) < 1.1


@pytest.mark.parametrize(("count", "text"), [(0, "0B"), (2048, "2.0KB"), (3 * MIB, "3.0MB"), (5 << 30, "5.0GB")])
def test_bytes_are_told_in_readable_units(count: int, text: str) -> None:
    assert describe_bytes(count) == text
