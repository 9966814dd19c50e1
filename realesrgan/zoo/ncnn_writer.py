"""네트워크를 ncnn의 `.param`과 `.bin`으로 적는다. 널리 쓰이는 ncnn 실행 파일이 그대로 읽는다."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from torch import Tensor, nn

from realesrgan.archs import RRDBNet, SRVGGNetCompact
from realesrgan.archs.rrdbnet_arch import LEAKY_SLOPE, RESIDUAL_SCALE
from realesrgan.errors import WeightsError
from realesrgan.zoo.ncnn import FP16_FLAG, FP32_FLAG, PARAM_MAGIC

INPUT, OUTPUT = "data", "output"
_NEAREST = 1
_SRVGG_SLOPE = 0.1


@dataclass
class _Node:
    kind: str
    name: str
    inputs: list[str]
    output: str
    options: str


@dataclass
class _Graph:
    """층을 순전파(forward) 차례로 모은다. 가중치는 층의 차례대로 이어 붙는다."""

    half: bool
    nodes: list[_Node] = field(default_factory=list)
    data: list[bytes] = field(default_factory=list)

    def add(self, kind: str, inputs: Sequence[str], options: str = "") -> str:
        """층을 더하고 그 출력의 이름을 돌려준다."""
        name = f"{kind.lower()}_{len(self.nodes)}"
        self.nodes.append(_Node(kind, name, list(inputs), name, options))
        return name

    def conv(self, layer: nn.Conv2d, source: str, activation: str = "") -> str:
        """3x3 합성곱. 활성화는 합성곱에 붙여(fused) 적는다."""
        weight = layer.weight
        options = f"0={weight.shape[0]} 1=3 4=1 5=1 6={weight.numel()} {activation}".rstrip()
        output = self.add("Convolution", [source], options)
        self._store(weight, layer.bias)
        return output

    def _store(self, weight: Tensor, bias: Tensor | None) -> None:
        if bias is None:
            raise WeightsError("편향(bias)이 없는 합성곱은 ncnn으로 적을 수 없습니다.")
        flat = weight.detach().float().cpu().numpy().ravel()
        packed = flat.astype("<f2" if self.half else "<f4").tobytes()
        flag = FP16_FLAG if self.half else FP32_FLAG
        self.data.append(flag.to_bytes(4, "little") + packed + b"\0" * (-len(packed) % 4))
        self.data.append(_floats(bias))

    def prelu(self, layer: nn.PReLU, source: str) -> str:
        """채널마다 기울기가 하나인 PReLU."""
        output = self.add("PReLU", [source], f"0={layer.num_parameters}")
        self.data.append(_floats(layer.weight))
        return output

    def param_text(self) -> str:
        """`.param`의 글. 여러 층이 읽는 출력에는 나눔(Split) 층을 끼운다."""
        readers = {name: sum(node.inputs.count(name) for node in self.nodes) for name in self._names()}
        lines: list[str] = []
        blobs = 0
        waiting: dict[str, list[str]] = {}
        for node in [_Node("Input", "input", [], INPUT, ""), *self.nodes]:
            inputs = [waiting[name].pop() if name in waiting else name for name in node.inputs]
            lines.append(_line(node.kind, node.name, inputs, [node.output], node.options))
            blobs += 1
            if readers.get(node.output, 0) > 1:
                copies = [f"{node.output}_split_{index}" for index in range(readers[node.output])]
                lines.append(_line("Split", f"split_{node.output}", [node.output], copies, ""))
                waiting[node.output] = copies
                blobs += len(copies)
        return "\n".join([PARAM_MAGIC, f"{len(lines)} {blobs}", *lines]) + "\n"

    def _names(self) -> list[str]:
        return [INPUT, *(node.output for node in self.nodes)]


def _line(kind: str, name: str, inputs: Sequence[str], outputs: Sequence[str], options: str) -> str:
    head = f"{kind:<16} {name:<24} {len(inputs)} {len(outputs)}"
    return " ".join([head, *inputs, *outputs, options]).rstrip()


def _floats(values: Tensor) -> bytes:
    return np.asarray(values.detach().float().cpu().numpy().ravel(), dtype="<f4").tobytes()


def _leaky(slope: float) -> str:
    return f"9=2 -23310=1,{slope:e}"


def _enlarge(graph: _Graph, source: str, scale: int) -> str:
    return graph.add("Interp", [source], f"0={_NEAREST} 1={scale:e} 2={scale:e}")


def _scaled_sum(graph: _Graph, residual: str, source: str) -> str:
    return graph.add("Eltwise", [residual, source], f"0=1 -23301=2,{RESIDUAL_SCALE:e},{1.0:e}")


def _dense_block(graph: _Graph, block: nn.Module, source: str) -> str:
    features = [source]
    for name in ("conv1", "conv2", "conv3", "conv4"):
        joined = graph.add("Concat", features, "0=0") if len(features) > 1 else source
        features.append(graph.conv(getattr(block, name), joined, _leaky(LEAKY_SLOPE)))
    last: nn.Conv2d = getattr(block, "conv5")  # noqa: B009  모듈의 속성은 자료형이 Tensor | Module이라 이름으로 꺼낸다
    return _scaled_sum(graph, graph.conv(last, graph.add("Concat", features, "0=0")), source)


def _write_rrdbnet(graph: _Graph, network: RRDBNet) -> str:
    source = INPUT
    if network.size_multiple > 1:
        source = graph.add("Reorg", [source], f"0={network.size_multiple}")
    first = graph.conv(network.conv_first, source)
    features = first
    for block in network.body:
        entering = features
        for name in ("rdb1", "rdb2", "rdb3"):
            features = _dense_block(graph, getattr(block, name), features)
        features = _scaled_sum(graph, features, entering)
    features = graph.add("BinaryOp", [graph.conv(network.conv_body, features), first], "0=0")
    for conv in (network.conv_up1, network.conv_up2):
        features = graph.conv(conv, _enlarge(graph, features, 2), _leaky(LEAKY_SLOPE))
    return graph.conv(network.conv_last, graph.conv(network.conv_hr, features, _leaky(LEAKY_SLOPE)))


def _write_srvgg(graph: _Graph, network: SRVGGNetCompact) -> str:
    fused = {"relu": "9=1", "leakyrelu": _leaky(_SRVGG_SLOPE), "prelu": ""}[network.act_type]
    features = INPUT
    layers = list(network.body)
    for index, layer in enumerate(layers):
        if isinstance(layer, nn.Conv2d):
            features = graph.conv(layer, features, fused if index < len(layers) - 1 else "")
        elif isinstance(layer, nn.PReLU):
            features = graph.prelu(layer, features)
    shuffled = graph.add("PixelShuffle", [features], f"0={network.upscale}")
    return graph.add("BinaryOp", [shuffled, _enlarge(graph, INPUT, network.upscale)], "0=0")


def write_ncnn(network: nn.Module, *, half: bool = False) -> tuple[str, bytes]:
    """네트워크를 `.param`의 글과 `.bin`의 바이트로 적는다. 입력은 `data`, 출력은 `output`이다.

    Args:
        network: RRDBNet이나 SRVGGNetCompact.
        half: 합성곱의 가중치를 fp16으로 저장할지. 편향과 기울기는 언제나 fp32다.

    Raises:
        WeightsError: 아는 생성자가 아닐 때.
    """
    graph = _Graph(half)
    if isinstance(network, RRDBNet):
        last = _write_rrdbnet(graph, network)
    elif isinstance(network, SRVGGNetCompact):
        last = _write_srvgg(graph, network)
    else:
        raise WeightsError(f"ncnn으로 적을 수 없는 네트워크입니다: {type(network).__name__}")
    for node in graph.nodes:
        if node.output == last:
            node.output = OUTPUT
    return graph.param_text(), b"".join(graph.data)
