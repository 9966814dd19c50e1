"""되풀이되는 모양을 컴파일하는 엔진."""

from __future__ import annotations

import copy
import logging
import shutil
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from realesrgan.inference.engines import torch_compile
from realesrgan.inference.engines.base import create_engine
from realesrgan.inference.engines.torch_compile import REPEATED, CompiledEngine, record_graph
from realesrgan.inference.tuning import candidates
from tests.conftest import small_rrdbnet


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[tuple[int, ...]]]:
    """컴파일한 모양들. 컴파일은 흉내만 낸다."""
    shapes: list[tuple[int, ...]] = []

    def compile_network(network: Any, example: Tensor) -> Callable[[Tensor], Tensor]:
        shapes.append(tuple(example.shape))
        return network  # type: ignore[no-any-return]

    monkeypatch.setattr(torch_compile, "compile_network", compile_network)
    yield shapes


def _engine(network: nn.Module, precision: str = "fp32") -> CompiledEngine:
    engine = create_engine(network, backend="compile", device="cpu", precision=precision)
    assert isinstance(engine, CompiledEngine)
    return engine


def test_only_shapes_that_come_again_are_compiled_and_the_picture_is_the_same(tiny_srvgg, made):
    engine, plain = _engine(tiny_srvgg), create_engine(tiny_srvgg, backend="torch", device="cpu", precision="fp32")
    often, once = torch.rand(1, 3, 16, 24), torch.rand(1, 3, 8, 24)
    for _ in range(REPEATED + 2):
        assert torch.equal(engine(often), plain(often))
    assert torch.equal(engine(once), plain(once))
    assert made == [(1, 3, 16, 24)]


def test_no_more_shapes_are_kept_than_memory_should_hold(tiny_srvgg, made):
    engine = _engine(tiny_srvgg)
    for width in range(8, 8 + 2 * torch_compile.MOST_SHAPES):
        for _ in range(REPEATED):
            engine(torch.rand(1, 3, 8, width))
    assert len(made) == torch_compile.MOST_SHAPES
    engine.release()
    for _ in range(REPEATED):
        engine(torch.rand(1, 3, 8, 99))
    assert made[-1] == (1, 3, 8, 99)


def test_what_cannot_be_compiled_is_computed_and_told_once(tiny_srvgg, monkeypatch, caplog):
    def refuse(_network: Any, _example: Tensor) -> Callable[[Tensor], Tensor]:
        raise RuntimeError("Compiler: cl is not found.\nmore")

    monkeypatch.setattr(torch_compile, "compile_network", refuse)
    engine, batch = _engine(tiny_srvgg), torch.rand(1, 3, 12, 12)
    expected = create_engine(tiny_srvgg, backend="torch", device="cpu", precision="fp32")(batch)
    with caplog.at_level(logging.WARNING):
        for _ in range(2 * REPEATED):
            assert torch.equal(engine(batch), expected)
    assert [record.getMessage() for record in caplog.records] == [
        "컴파일할 수 없어 컴파일하지 않고 계산합니다. 이유: Compiler: cl is not found."
    ]


def test_a_copy_and_many_threads_give_the_same_picture(tiny_srvgg, made):
    engine, batch = _engine(tiny_srvgg), torch.rand(1, 3, 12, 12)
    expected = engine(batch)
    with ThreadPoolExecutor(4) as pool:
        assert all(torch.equal(one, expected) for one in pool.map(engine, [batch] * 16))
    assert made == [(1, 3, 12, 12)]
    twin = copy.deepcopy(engine)
    assert torch.equal(twin(batch), expected) and made == [(1, 3, 12, 12)]


def test_tuning_tries_it_only_where_it_can_win(monkeypatch):
    assert "compile" not in {row.name for row, _, _ in candidates("cpu")}
    monkeypatch.setattr(torch_compile, "present_devices", lambda: ("cpu",))
    assert "compile" in {row.name for row, _, _ in candidates("cpu")}


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("g++") is None, reason="C++ 컴파일러가 없다")
def test_the_compiled_network_draws_the_same_picture():
    network = nn.Sequential(nn.Conv2d(3, 12, 3, padding=1), nn.PReLU(12), nn.PixelShuffle(2)).eval()
    network.scale = 2
    engine = _engine(network)
    for seed in range(REPEATED + 1):
        batch = torch.rand(1, 3, 10, 14, generator=torch.Generator().manual_seed(seed))
        with torch.inference_mode():
            assert torch.allclose(engine(batch), network(batch), atol=1e-5)
    assert engine._prepared and not engine._refused


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("g++") is None, reason="C++ 컴파일러가 없다")
def test_the_compiled_bf16_network_draws_the_same_picture():
    network = small_rrdbnet()
    engine = create_engine(network, backend="compile", device="cpu", precision="bf16")
    plain = create_engine(network, backend="torch", device="cpu", precision="bf16")
    batch = torch.rand(1, 3, 16, 16)
    for _ in range(REPEATED + 1):
        found = engine(batch)
    assert engine._prepared and not engine._refused
    assert torch.allclose(found, plain(batch), atol=0.02)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="CUDA 장치가 없다")
@pytest.mark.parametrize("precision", ["fp32", "fp16", "bf16"])
def test_graphs_on_the_card_give_the_picture_of_the_plain_engine(tiny_srvgg, precision):
    engine = create_engine(tiny_srvgg, backend="compile", device="cuda", precision=precision)
    plain = create_engine(tiny_srvgg, backend="torch", device="cuda", precision=precision)
    for seed in range(REPEATED + 3):
        batch = torch.rand(2, 3, 32, 48, generator=torch.Generator().manual_seed(seed))
        assert torch.allclose(engine(batch), plain(batch), atol=1e-4 if precision == "fp32" else 2e-2)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="CUDA 장치가 없다")
def test_a_recorded_call_reads_its_input_anew_and_keeps_its_results():
    network = nn.Conv2d(3, 3, 3, padding=1).cuda().eval()
    first, second = (torch.rand(1, 3, 8, 8, device="cuda") for _ in range(2))
    with torch.inference_mode():
        replay = record_graph(network, first)
        results = replay(first), replay(second)
        for batch, result in zip((first, second), results, strict=True):
            assert torch.allclose(result, network(batch), atol=1e-4)
