"""사용자가 파일 하나에 등록한 네트워크가 연구자의 명령들에서 쓰이는지."""

from __future__ import annotations

import importlib.util
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

import realesrgan as sr
from realesrgan.registry import ARCH_REGISTRY
from realesrgan.util.plugins import load_plugins
from tests.scripts.command import draw, run_script

# 고를 수 있는 것을 하나도 갖추지 않은 네트워크. 지을 때 텐서의 값을 보고, 가중치에 남지 않는 버퍼를 가진다.
SOURCE = """
import torch
from torch import nn

from realesrgan.registry import ARCH_REGISTRY


@ARCH_REGISTRY.register()
class PlainNet(nn.Module):
    def __init__(self, width=6):
        super().__init__()
        self.slope = [value.item() for value in torch.linspace(0.1, 0.2, 2)][1]
        self.register_buffer("mean", torch.full((1, 3, 1, 1), 0.5), persistent=False)
        self.register_buffer("calls", torch.zeros(1, dtype=torch.long))
        self.head = nn.Conv2d(3, width, 3, 1, 1)
        self.tail = nn.Conv2d(width, 12, 3, 1, 1)
        self.shuffle = nn.PixelShuffle(2)

    def forward(self, x):
        x = nn.functional.leaky_relu(self.head(x - self.mean), self.slope)
        return self.shuffle(self.tail(x)) + self.mean
"""


@pytest.fixture
def plugin(tmp_path: Path) -> Iterator[Path]:
    """네트워크를 등록하는 파일. 다른 시험이 그 네트워크를 보지 않게 끝나면 치운다."""
    path = tmp_path / "내 네트워크.py"
    path.write_text(SOURCE, encoding="utf-8")
    yield path
    _forget(path)


def _network(plugin: Path, **arguments: Any) -> torch.nn.Module:
    torch.manual_seed(0)
    (module,) = load_plugins([plugin])
    return module.PlainNet(**arguments).eval()


def _forget(plugin: Path) -> None:
    ARCH_REGISTRY._objects.pop("PlainNet", None)
    for name, module in list(sys.modules.items()):
        if getattr(module, "__file__", None) == str(plugin):
            del sys.modules[name]


def _expected(network: torch.nn.Module, batch: torch.Tensor) -> torch.Tensor:
    with torch.inference_mode():
        return network(batch)


def test_it_is_evaluated_and_exported(plugin: Path, tmp_path: Path, save_network, capsys) -> None:
    network = _network(plugin)
    weights = save_network(network, "내것.pth")
    _forget(plugin)
    draw(tmp_path / "gt" / "a.png", 48, 40)
    base = ("--model_path", weights, "--gt", tmp_path / "gt", "--metrics", "psnr", "--output", tmp_path / "o")
    assert run_script("evaluate", *base) == 1
    assert "--plugin" in capsys.readouterr().err
    assert run_script("evaluate", *base, "--plugin", plugin) == 0
    models = json.loads((tmp_path / "o" / "results.json").read_text("utf-8"))["models"]
    assert [(model["name"], model["scale"]) for model in models] == [("bicubic", 2), ("내것", 2)]
    assert models[1]["mean"]["psnr"] > 5
    batch = torch.rand(1, 3, 10, 14)
    more = ("--plugin", plugin, "--input", weights, "--pictures", tmp_path / "gt")
    if importlib.util.find_spec("onnxruntime") and importlib.util.find_spec("onnx"):
        from realesrgan.inference.engines.onnxruntime import OnnxEngine

        assert run_script("pytorch2onnx", *more, "--output", tmp_path / "o.onnx") == 0
        assert (OnnxEngine(tmp_path / "o.onnx")(batch) - _expected(network, batch)).abs().max() < 1e-5
    if importlib.util.find_spec("openvino"):
        from realesrgan.inference.engines.openvino import OpenVinoEngine

        assert run_script("pytorch2openvino", *more, "--output", tmp_path / "o.xml") == 0
        assert (OpenVinoEngine(tmp_path / "o.xml")(batch) - _expected(network, batch)).abs().max() < 1e-5


@pytest.mark.parametrize("suffix", [".safetensors", ".pth"])
def test_converted_weights_remember_arguments_that_tensors_do_not_tell(
    suffix: str, plugin: Path, tmp_path: Path, save_network, capsys
) -> None:
    network = _network(plugin, width=9)
    weights, target = save_network(network, "넓은.pth"), tmp_path / f"변환{suffix}"
    convert = ("--plugin", plugin, "--input", weights, "--output", target)
    assert run_script("convert_weights", *convert) == 1
    told = ("--arch", "PlainNet", "--arch_args")
    assert run_script("convert_weights", *convert, *told, "{oops") == 1
    assert "JSON" in capsys.readouterr().err
    assert run_script("convert_weights", *convert, *told, '{"width": 9}') == 0
    assert run_script("convert_weights", "--plugin", plugin, "--input", target, "--inspect") == 0
    assert "PlainNet(width=9)" in capsys.readouterr().out
    model = sr.load(target, plugins=[plugin], device="cpu")
    assert (model.arch, dict(model.weights.arch_args), model.scale) == ("PlainNet", {"width": 9}, 2)
    batch = torch.rand(1, 3, 8, 12)
    assert torch.equal(_expected(model.network, batch), _expected(network, batch))
    assert run_script("convert_weights", *convert[:4], "--output", tmp_path / "o.param", *told, '{"width": 9}') == 1
    assert "ncnn으로 적을 수 없는" in capsys.readouterr().err
    _forget(plugin)
    assert run_script("convert_weights", "--input", target, "--output", tmp_path / "again.pth") == 1
    assert "등록되지 않은 네트워크" in capsys.readouterr().err


def test_the_benchmarks_workers_know_it_too(plugin: Path, tmp_path: Path, save_network) -> None:
    weights = save_network(_network(plugin), "내것.pth")
    base = ("-n", weights, "--sizes", "12x8", "--runs", 1, "--engines", "torch", "--threads", 1)
    assert run_script("benchmark_inference", "--plugin", plugin, *base, "--output", tmp_path / "o") == 0
