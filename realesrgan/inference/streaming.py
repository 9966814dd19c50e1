"""네트워크를 가로 띠(strip)로 이어 돌린다(streaming). 통째로 돌린 결과와 같고, 메모리는 너비만 따른다.

합성곱은 위아래로 몇 줄만 더 본다. 그래서 층마다 앞 띠의 마지막 몇 줄(line buffer)을 남겨 두면, 새로 들어온 줄만
계산해도 통째로 돌린 것과 같은 값이 나온다. 겹쳐 계산하는 곳도 이음새도 없다. 갈래가 합쳐지는 곳(더하기, 이어 붙이기)은
느린 갈래를 기다린다. 타일은 패딩이 수용 영역(receptive field)보다 작아 어림이지만 이것은 어림이 아니다.
"""

from __future__ import annotations

import logging
import math
import operator
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol

import torch
import torch.nn.functional as F
from torch import Tensor, fx, nn

from realesrgan.archs.base import is_altered
from realesrgan.errors import NonFiniteOutputError, NotStreamableError, OutOfMemoryError
from realesrgan.inference.engines.torch import Bf16Conv, Bf16PReLU
from realesrgan.inference.tiling import Box, Progress, Store, total_margin

if TYPE_CHECKING:
    from realesrgan.inference.steps import Step

logger = logging.getLogger(__name__)

# 띠 하나의 활성값이 이만큼이면 캐시에 들면서 부르는 값도 묻힌다. 잰 것은 inference_context.md에 있다.
COMFORTABLE_STRIP_BYTES = 4 << 20
SMALLEST_STRIP = 16

_POINTWISE_MODULES = (
    *(nn.ReLU, nn.LeakyReLU, nn.PReLU, nn.ReLU6, nn.ELU, nn.GELU, nn.SiLU, nn.Mish, nn.Hardswish, nn.Hardsigmoid),
    *(nn.Sigmoid, nn.Tanh, nn.Hardtanh, nn.Softplus, nn.Softsign, nn.Dropout, nn.Dropout2d),
    nn.BatchNorm2d,
)
_POINTWISE_FUNCTIONS = {
    *(F.relu, F.leaky_relu, F.relu6, F.elu, F.gelu, F.silu, F.mish, F.hardswish, F.hardsigmoid, F.sigmoid, F.tanh),
    *(F.hardtanh, F.softplus, F.softsign, F.dropout, torch.relu, torch.sigmoid, torch.tanh, torch.clamp, torch.abs),
    *(torch.neg, operator.neg, F.prelu, torch.prelu),
}
_BINARY_FUNCTIONS = {
    *(operator.add, operator.sub, operator.mul, operator.truediv, operator.iadd, operator.isub, operator.imul),
    *(torch.add, torch.sub, torch.mul, torch.div),
}
_POINTWISE_METHODS = {"relu", "sigmoid", "tanh", "clamp", "neg", "abs", "contiguous", "clone"}
_POINTWISE_METHODS |= {"float", "half", "bfloat16"}
_BINARY_METHODS = {"add", "sub", "mul", "div"}
_FUNCTIONS, _METHODS = _POINTWISE_FUNCTIONS | _BINARY_FUNCTIONS, _POINTWISE_METHODS | _BINARY_METHODS
_IN_PLACE = {operator.iadd, operator.isub, operator.imul}


@dataclass(frozen=True)
class Value:
    """그래프를 흐르는 텐서 하나.

    Attributes:
        channels: 채널 수.
        rate: 입력 픽셀 하나에 대한 픽셀 수(한 변).
        delay: 입력이 들어오고 얼마 뒤에 나오는지. 단위는 입력의 줄이며, 이것이 곧 수용 영역의 반지름이다.
    """

    channels: int
    rate: Fraction
    delay: Fraction


@dataclass
class Stage:
    """계산 하나: 몇 텐서의 같은 줄들을 받아 새 텐서의 줄들을 낸다.

    Attributes:
        inputs: 인자마다, 채널로 이어 붙일 텐서들의 번호.
        compute: `(N, C, 줄, 너비)` 텐서들을 받아 결과를 내는 함수. 둘째 인자는 흐르는 축이다.
        output: 결과의 번호.
        margin: 위아래로 더 보는 줄.
        gain: 받은 줄 하나에 대해 내는 줄.
    """

    inputs: tuple[tuple[int, ...], ...]
    compute: Callable[[list[Tensor], int], Tensor]
    output: int
    margin: int = 0
    gain: Fraction = Fraction(1)


@dataclass(frozen=True)
class StreamPlan:
    """네트워크 하나를 띠로 이어 돌릴 계획. 가중치는 본래의 층이 갖고 있다.

    Attributes:
        stages: 차례로 할 계산들.
        values: 흐르는 텐서들. 첫째가 입력이다.
        output: 결과의 번호.
    """

    stages: tuple[Stage, ...]
    values: tuple[Value, ...]
    output: int

    @property
    def scale(self) -> int:
        """업스케일 배율."""
        return int(self.values[self.output].rate)

    @property
    def radius(self) -> int:
        """수용 영역의 반지름(입력 픽셀). 결과의 한 점은 이보다 먼 입력을 보지 않는다."""
        return math.ceil(self.values[self.output].delay)

    def readers(self) -> dict[int, list[Stage]]:
        """텐서마다 그것을 읽는 계산들."""
        found: dict[int, list[Stage]] = {}
        for stage in self.stages:
            for number in {one for sources in stage.inputs for one in sources}:
                found.setdefault(number, []).append(stage)
        return found

    def waiting_values(self) -> float:
        """입력의 한 칸(column)에 대해 층 사이에서 기다리는 값의 수. 띠의 높이와 상관없다."""
        total = 0.0
        for number, stages in self.readers().items():
            value = self.values[number]
            rows = max((self.values[stage.output].delay - value.delay) * value.rate + stage.margin for stage in stages)
            total += float(rows * value.rate) * value.channels
        return total

    def strip_values(self) -> float:
        """띠의 입력 픽셀 하나에 대해, 가장 큰 순간에 함께 살아 있는 값의 수."""

        def size(number: int) -> float:
            return float(self.values[number].rate ** 2) * self.values[number].channels

        peaks = [
            2 * sum(size(number) for sources in stage.inputs for number in sources) + size(stage.output)
            for stage in self.stages
        ]
        return max(peaks)

    def memory(self, rows: int, width: int, itemsize: int) -> int:
        """높이 `rows`, 너비 `width`의 띠로 이어 돌릴 때 드는 메모리의 어림(바이트)."""
        return int(width * itemsize * (self.waiting_values() + rows * self.strip_values()))

    def bytes_per_row(self, width: int, itemsize: int) -> int:
        """너비 `width`의 한 줄이 키우기 전의 크기에서 갖는 활성값(바이트)."""
        return width * max(value.channels for value in self.values if value.rate <= 1) * itemsize

    def choose_cut(
        self,
        height: int,
        width: int,
        budget: int,
        itemsize: int,
        multiple: int = 1,
        comfortable: int = COMFORTABLE_STRIP_BYTES,
    ) -> StripCut | None:
        """이미지를 어떻게 띠로 나눌지 정한다. 긴 변을 따라 흘리므로 메모리는 짧은 변을 따른다.

        예산에 드는 가장 낮은 띠보다도 짧은 변이 길면 흐르는 방향으로 몇 줄기(column)로 나눈다. 줄기는 수용 영역만큼
        겹치므로 결과는 그대로지만 그만큼 더 계산한다. 겹치는 것이 일의 대부분이 되면 나누지 않는다.

        Args:
            height, width: 이미지 크기(픽셀), `multiple`의 배수.
            budget: 써도 되는 메모리(바이트).
            itemsize: 값 하나의 바이트 수.
            multiple: 띠와 줄기가 맞출 배수.
            comfortable: 예산이 넉넉할 때 띠 하나가 가질 활성값(바이트).

        Returns:
            나누는 법. 예산이 너무 작으면 None.
        """
        axis, side = (2, width) if height >= width else (3, height)
        lowest = -(-SMALLEST_STRIP // multiple) * multiple
        widest = budget // max(self.memory(lowest, 1, itemsize), 1)
        margin = 0
        if widest < side:
            margin = -(-self.radius // multiple) * multiple
            if widest - 2 * margin < max(margin, multiple):
                return None
        column = side if widest >= side else (widest - 2 * margin) // multiple * multiple
        across = column + 2 * margin
        wanted = comfortable // self.bytes_per_row(across, itemsize)
        affordable = int((budget / (across * itemsize) - self.waiting_values()) / self.strip_values())
        rows = max(min(wanted, affordable) // multiple * multiple, lowest)
        return StripCut(axis, rows, column, margin, self.memory(rows, across, itemsize))


@dataclass(frozen=True)
class StripCut:
    """이미지를 띠로 나누는 법.

    Attributes:
        axis: 흐르는 축. 2면 위에서 아래로, 3이면 왼쪽에서 오른쪽으로 흐른다.
        rows: 띠의 높이(흐르는 축의 픽셀).
        column: 줄기(column) 하나의 너비(다른 축의 픽셀). 나누지 않으면 그 변 전체다.
        margin: 줄기의 양옆에 겹쳐 읽을 픽셀.
        memory: 드는 메모리의 어림(바이트).
    """

    axis: int
    rows: int
    column: int
    margin: int = 0
    memory: int = 0


def plan_stream(network: Any, channels: int = 3) -> StreamPlan:
    """네트워크를 따라가(torch.fx) 띠로 이어 돌릴 계획을 세운다.

    합성곱, 점마다의 함수(활성화 등), 더하기와 이어 붙이기, 최근접 확대, pixel shuffle과 unshuffle로 된 것이면 된다.

    Args:
        network: `(N, channels, H, W)`를 키우는 네트워크.
        channels: 입력의 채널 수.

    Raises:
        NotStreamableError: 그렇지 않은 것이 들어 있을 때.
    """
    if not isinstance(network, nn.Module):
        raise NotStreamableError("PyTorch의 모듈(nn.Module)이 아니라 속을 볼 수 없습니다.")
    if is_altered(network):
        raise NotStreamableError("네트워크에 훅(hook)이 걸려 있거나 forward가 바뀌어 있습니다.")
    try:
        graph = _Tracer().trace(network)
    except Exception as error:  # 남의 네트워크의 forward는 무엇이든 낼 수 있다. 까닭을 담아 타일로 간다.
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise NotStreamableError(f"네트워크를 따라갈 수 없습니다({reason}).") from error
    return _Planner(network, graph, channels).plan()


class _Tracer(fx.Tracer):
    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        """속을 따라가지 않을 층인지. 계산을 고치지 않고 합성곱을 물려받은 층은 합성곱으로 본다."""
        if isinstance(m, nn.Conv2d):
            kind = type(m)
            untouched = kind.forward is nn.Conv2d.forward and kind._conv_forward is nn.Conv2d._conv_forward
            return untouched or isinstance(m, Bf16Conv)
        if isinstance(m, Bf16PReLU):
            return True
        return super().is_leaf_module(m, module_qualified_name)


class _Planner:
    """fx 그래프를 `Stage`들로 옮긴다."""

    def __init__(self, network: nn.Module, graph: fx.Graph, channels: int) -> None:
        self._modules = dict(network.named_modules())
        self._network = network
        self._graph = graph
        self._values = [Value(channels, Fraction(1), Fraction(0))]
        self._stages: list[Stage] = []
        # 마디마다 그것을 이루는 텐서들. 이어 붙인 것은 붙이지 않은 채로 두었다가 읽을 때 한 번에 붙인다.
        self._streams: dict[fx.Node, tuple[int, ...]] = {}
        self._constants: dict[fx.Node, Any] = {}

    def plan(self) -> StreamPlan:
        """모든 마디를 옮긴다."""
        output = -1
        for node in _live_nodes(self._graph):
            if node.op == "placeholder":
                if not self._streams:
                    self._streams[node] = (0,)
                elif node.users:
                    raise NotStreamableError("네트워크가 받는 것이 하나가 아닙니다.")
            elif node.op == "get_attr":
                # 값은 부를 때마다 읽는다(장치와 자료형이 바뀔 수 있다). 쓸 수 있는 것인지는 지금 본다.
                self._constants[node] = partial(_attribute, self._network, str(node.target))
                self._constants[node]()
            elif node.op == "output":
                (result,) = node.args
                if not isinstance(result, fx.Node) or len(self._streams.get(result, ())) != 1:
                    raise NotStreamableError("네트워크가 내는 것이 텐서 하나가 아닙니다.")
                output = self._streams[result][0]
            else:
                self._add(node)
        rate = self._values[output].rate
        if rate.denominator != 1:
            raise NotStreamableError("배율이 정수가 아닙니다.")
        return StreamPlan(tuple(self._stages), tuple(self._values), output)

    def _add(self, node: fx.Node) -> None:
        target: Any = self._modules[str(node.target)] if node.op == "call_module" else node.target
        if isinstance(target, nn.Module) and is_altered(target):
            raise NotStreamableError(f"훅(hook)이 걸렸거나 forward를 바꾼 층이 있습니다: {node.target}")
        by_method = node.op == "call_method"
        if isinstance(target, nn.Identity):
            self._streams[node] = self._streams[node.all_input_nodes[0]]
        elif isinstance(target, nn.Conv2d):
            self._convolution(node, target)
        elif isinstance(target, (nn.PixelShuffle, nn.PixelUnshuffle)) or target in (F.pixel_shuffle, F.pixel_unshuffle):
            self._shuffle(node, target)
        elif isinstance(target, nn.Upsample) or target is F.interpolate:
            self._enlargement(node, target)
        elif target in (torch.cat, torch.concat):
            self._concatenation(node)
        elif isinstance(target, _POINTWISE_MODULES):
            self._emit(node, partial(_each, target), in_place=getattr(target, "inplace", False))
        elif target in (_METHODS if by_method else _FUNCTIONS):
            in_place = target in _IN_PLACE or bool(node.kwargs.get("inplace"))
            self._emit(node, partial(_call, node, dict(self._constants)), in_place=in_place)
        else:
            name = type(target).__name__ if isinstance(target, nn.Module) else getattr(target, "__name__", str(target))
            raise NotStreamableError(f"띠로 이어 돌릴 수 없는 연산이 있습니다: {name}")

    def _shuffle(self, node: fx.Node, target: Any) -> None:
        """채널을 자리로 펴거나(pixel shuffle) 자리를 채널로 접는다(pixel unshuffle)."""
        if isinstance(target, nn.PixelShuffle) or target is F.pixel_shuffle:
            factor = (
                target.upscale_factor if isinstance(target, nn.PixelShuffle) else _argument(node, 1, "upscale_factor")
            )
            function, gain = partial(F.pixel_shuffle, upscale_factor=factor), Fraction(factor)
        else:
            folded = isinstance(target, nn.PixelUnshuffle)
            factor = target.downscale_factor if folded else _argument(node, 1, "downscale_factor")
            function, gain = partial(F.pixel_unshuffle, downscale_factor=factor), Fraction(1, factor)
        self._emit(node, partial(_each, function), 1 / gain**2, gain)

    def _convolution(self, node: fx.Node, layer: nn.Conv2d) -> None:
        kernel, dilation = layer.kernel_size, layer.dilation
        margins = tuple((size - 1) * step // 2 for size, step in zip(kernel, dilation, strict=True))
        padding = margins if layer.padding == "same" else layer.padding
        same = padding == margins and all(size % 2 for size in kernel) and margins[0] == margins[1]
        if not same or set(layer.stride) != {1} or layer.padding_mode != "zeros":
            raise NotStreamableError(f"크기를 지키지 않거나 0이 아닌 것을 덧대는 합성곱이 있습니다: {layer}")
        # 뒤따르는 계산까지 함께 하는 합성곱(`Bf16Conv`)은 그 수들과 더할 텐서도 받는다.
        how = {name: value for name, value in node.kwargs.items() if not isinstance(value, fx.Node)}
        compute = partial(_convolve, layer, margins[0], how)
        gain = Fraction(how.get("factor", 1))  # type: ignore[arg-type]
        self._emit(node, compute, layer.out_channels, gain, margin=margins[0], absolute=True)

    def _enlargement(self, node: fx.Node, target: Any) -> None:
        module = isinstance(target, nn.Upsample)
        scale = target.scale_factor if module else _argument(node, 2, "scale_factor")
        mode = target.mode if module else _argument(node, 3, "mode", "nearest")
        scales = set(scale) if isinstance(scale, (tuple, list)) else {scale}
        factor = scales.pop()
        if mode not in ("nearest", "nearest-exact") or scales or factor is None or factor != int(factor):
            raise NotStreamableError("정수 배의 최근접(nearest) 확대가 아닌 확대가 있습니다.")
        self._emit(node, partial(_each, partial(F.interpolate, scale_factor=float(factor))), 1, Fraction(int(factor)))

    def _concatenation(self, node: fx.Node) -> None:
        parts, dim = node.args[0] if node.args else node.kwargs["tensors"], _argument(node, 1, "dim", 0)
        if dim not in (1, -3) or not isinstance(parts, (tuple, list)):
            raise NotStreamableError("채널이 아닌 축으로 이어 붙이는 곳이 있습니다.")
        streams = tuple(number for part in parts for number in self._streams[part])  # type: ignore[index]
        if len({self._values[number].rate for number in streams}) != 1:
            raise NotStreamableError("크기가 다른 텐서를 이어 붙이는 곳이 있습니다.")
        self._streams[node] = streams

    def _emit(
        self,
        node: fx.Node,
        compute: Callable[[list[Tensor], int], Tensor],
        channels: int | Fraction = 1,
        gain: Fraction = Fraction(1),
        *,
        margin: int = 0,
        absolute: bool = False,
        in_place: bool = False,
    ) -> None:
        """계산 하나를 더한다. `channels`는 첫 인자의 채널 수에 곱할 수이거나(`absolute`면) 그대로의 수다."""
        sources = tuple(self._streams[one] for one in node.all_input_nodes if one in self._streams)
        values = [self._values[number] for streams in sources for number in streams]
        rates = {value.rate for value in values}
        if len(rates) != 1:
            raise NotStreamableError("크기가 다른 텐서를 합치는 곳이 있습니다.")
        if in_place and any(self._count_readers(number) > 1 for streams in sources for number in streams):
            raise NotStreamableError("다른 곳에서도 쓰는 텐서를 제자리에서(in-place) 바꾸는 곳이 있습니다.")
        rate = rates.pop()
        width = sum(self._values[number].channels for number in sources[0])
        value = Value(
            int(channels if absolute else width * channels),
            rate * gain,
            max(value.delay for value in values) + Fraction(margin) / rate,
        )
        before = self._stage_of(sources)
        if before is not None and margin == 0 and gain >= 1:
            # 바로 앞 계산의 결과를 여기서만 쓰면, 남겨 두지 않고 이어서 한다. 캐시에 있는 동안 끝난다.
            before.compute, before.gain = partial(_then, before.compute, compute), before.gain * gain
            self._values[before.output] = value
            self._streams[node] = (before.output,)
            return
        self._values.append(value)
        self._stages.append(Stage(sources, compute, len(self._values) - 1, margin, gain))
        self._streams[node] = (len(self._values) - 1,)

    def _stage_of(self, sources: Sequence[tuple[int, ...]]) -> Stage | None:
        """이 마디만 쓰는 텐서 하나를 낸 계산."""
        if len(sources) != 1 or len(sources[0]) != 1 or sources[0][0] == 0 or self._count_readers(sources[0][0]) != 1:
            return None
        return next((stage for stage in reversed(self._stages) if stage.output == sources[0][0]), None)

    def _count_readers(self, number: int) -> int:
        """그 텐서를 읽는 마디의 수. `nn.Identity`처럼 같은 텐서를 가리킬 뿐인 마디는 읽는 것으로 세지 않는다."""
        same = {one for one, streams in self._streams.items() if streams == (number,)}
        holders = [one for one, streams in self._streams.items() if number in streams]
        return len({user for one in holders for user in one.users} - same)


def _live_nodes(graph: fx.Graph) -> list[fx.Node]:
    """결과에 쓰이는 마디들."""
    live: set[fx.Node] = set()
    for node in reversed(graph.nodes):
        if node.op in ("output", "placeholder") or node in live:
            live.update((node, *node.all_input_nodes))
        elif node.kwargs.get("inplace") or str(node.target).endswith("_"):
            raise NotStreamableError("결과를 쓰지 않고 텐서를 제자리에서(in-place) 바꾸는 곳이 있습니다.")
    return [node for node in graph.nodes if node in live]


def _attribute(network: nn.Module, path: str) -> Any:
    found: Any = network
    for name in path.split("."):
        found = getattr(found, name)
    if isinstance(found, Tensor) and found.ndim > 1 and any(size != 1 for size in found.shape[-2:]):
        raise NotStreamableError("자리마다 다른 상수를 쓰는 곳이 있습니다.")
    return found


def _argument(node: fx.Node, position: int, name: str, otherwise: Any = None) -> Any:
    return node.args[position] if len(node.args) > position else node.kwargs.get(name, otherwise)


def _each(function: Callable[[Tensor], Tensor], tensors: list[Tensor], _axis: int) -> Tensor:
    return function(tensors[0])


def _then(
    first: Callable[[list[Tensor], int], Tensor],
    second: Callable[[list[Tensor], int], Tensor],
    tensors: list[Tensor],
    axis: int,
) -> Tensor:
    return second([first(tensors, axis)], axis)


def _call(node: fx.Node, constants: dict[fx.Node, Any], tensors: list[Tensor], _axis: int) -> Tensor:
    """Fx 마디의 함수를 그 인자대로 부른다."""
    streams = iter(tensors)
    known: dict[fx.Node, Any] = {}

    def value(one: fx.Node) -> Any:
        if one not in known:
            known[one] = constants[one]() if one in constants else next(streams)
        return known[one]

    for one in node.all_input_nodes:
        value(one)
    args, kwargs = fx.node.map_arg(node.args, value), fx.node.map_arg(node.kwargs, value)
    if node.op == "call_method":
        result: Tensor = getattr(args[0], str(node.target))(*args[1:], **kwargs)
        return result
    result = node.target(*args, **kwargs)  # type: ignore[operator]
    return result


def _convolve(layer: nn.Conv2d, margin: int, how: Mapping[str, Any], tensors: list[Tensor], axis: int) -> Tensor:
    """흐르는 축에는 덧대지 않는다. 그쪽의 줄은 이미 함께 왔다."""
    padding = (0, margin) if axis == 2 else (margin, 0)
    if not isinstance(layer, Bf16Conv):
        return F.conv2d(tensors[0], layer.weight, layer.bias, 1, padding, layer.dilation, layer.groups)
    residual = None
    if len(tensors) > 1:
        residual = tensors[1].narrow(axis, margin, tensors[1].shape[axis] - 2 * margin)
    return layer.forward(tensors[0], residual, padding=padding, **how)


class _Rows:
    """흐르는 텐서 하나의, 아직 쓰일 줄들.

    Args:
        total: 모두의 줄 수.
        start: 첫 줄의 번호.
    """

    def __init__(self, total: int, start: int = 0) -> None:
        self.total = total
        self.start = self.end = start
        self._parts: list[Tensor] = []

    def add(self, part: Tensor, axis: int) -> None:
        """뒤에 잇는다."""
        self._parts.append(part)
        self.end += part.shape[axis]

    def read(self, begin: int, end: int, axis: int) -> Iterator[Tensor]:
        """줄 `[begin, end)`을 이루는 조각들."""
        at = self.start
        for part in self._parts:
            count = part.shape[axis]
            first, last = max(begin - at, 0), min(end - at, count)
            if first < last:
                yield part if last - first == count else part.narrow(axis, first, last - first)
            at += count

    def drop(self, before: int, axis: int) -> None:
        """`before`보다 앞의 줄을 버린다. 조금 남은 것은 따로 옮겨, 버린 줄이 메모리에 남지 않게 한다."""
        before = min(before, self.end)
        while self._parts and self.start + self._parts[0].shape[axis] <= before:
            self.start += self._parts.pop(0).shape[axis]
        if self._parts and self.start < before:
            part = self._parts[0]
            kept = part.shape[axis] - (before - self.start)
            if 2 * kept <= part.shape[axis]:
                self._parts[0] = part.narrow(axis, part.shape[axis] - kept, kept).clone()
                self.start = before


class Stream:
    """한 장(이나 크기가 같은 한 묶음)을 띠로 이어 돌리는 일. 줄을 넣으면 다 정해진 줄이 나온다.

    Args:
        plan: 계획.
        rows: 모두 넣을 줄의 수(입력). 마지막 줄이 들어오면 남은 줄이 모두 나온다.
        axis: 흐르는 축. 2면 위에서 아래로, 3이면 왼쪽에서 오른쪽으로 흐른다.
    """

    def __init__(self, plan: StreamPlan, rows: int, axis: int = 2) -> None:
        self._plan = plan
        self._axis = axis
        self._rows = [_Rows(int(rows * value.rate)) for value in plan.values]
        self._next = [0] * len(plan.stages)
        # 지금까지 넣은 가장 높은 띠. 끝에서 미루어 둔 줄을 한꺼번에 하면 메모리가 띠 둘만큼 든다.
        self._tallest = 0
        readers = plan.readers()
        index = {id(stage): number for number, stage in enumerate(plan.stages)}
        self._readers = {
            number: [(index[id(stage)], stage.margin) for stage in stages] for number, stages in readers.items()
        }

    def push(self, strip: Tensor) -> Tensor | None:
        """줄들을 넣고, 다 정해진 결과의 줄들을 받는다.

        Args:
            strip: `(N, C, 줄, 너비)`. 자료형과 장치는 네트워크와 같다.

        Returns:
            `(N, C, 줄*scale, 너비*scale)`. 아직 정해진 것이 없으면 None.
        """
        self._rows[0].add(strip, self._axis)
        self._tallest = max(self._tallest, strip.shape[self._axis])
        while sum(self._advance(number, stage) for number, stage in enumerate(self._plan.stages)):
            pass  # 끝에서는 미루어 둔 줄이 남아, 더 할 것이 없을 때까지 거듭한다.
        output = self._rows[self._plan.output]
        ready = list(output.read(output.start, output.end, self._axis))
        output.drop(output.end, self._axis)
        return None if not ready else ready[0] if len(ready) == 1 else torch.cat(ready, self._axis)

    def _advance(self, number: int, stage: Stage) -> bool:
        """이 계산을 할 수 있는 데까지, 띠 하나의 높이만큼 한다. 한 것이 있는지 돌려준다."""
        rows, axis = self._rows, self._axis
        begin = self._next[number]
        sources = [one for streams in stage.inputs for one in streams]
        total = rows[sources[0]].total
        end = min(rows[one].end for one in sources)
        if end < total:
            end -= stage.margin
            end -= end % stage.gain.denominator
        end = min(end, begin + math.ceil(self._tallest * self._plan.values[sources[0]].rate))
        if end <= begin:
            return False
        tensors = [self._gather(streams, begin - stage.margin, end + stage.margin) for streams in stage.inputs]
        result = stage.compute(tensors, axis)
        del tensors
        self._next[number] = end
        for one in set(sources):
            rows[one].drop(min(self._next[index] - margin for index, margin in self._readers[one]), axis)
        rows[stage.output].add(result, axis)
        return True

    def _gather(self, streams: Sequence[int], begin: int, end: int) -> Tensor:
        """텐서들의 줄 `[begin, end)`을 채널로 이어 붙인다. 이미지 밖의 줄은 0이다."""
        axis = self._axis
        total = self._rows[streams[0]].total
        above, below = max(-begin, 0), max(end - total, 0)
        pieces = [list(self._rows[one].read(max(begin, 0), min(end, total), axis)) for one in streams]
        if len(pieces) == 1 and len(pieces[0]) == 1 and not above and not below:
            return pieces[0][0]
        shape = list(pieces[0][0].shape)
        shape[1], shape[axis] = sum(parts[0].shape[1] for parts in pieces), end - begin
        like = pieces[0][0]
        joined = torch.empty(shape, dtype=like.dtype, device=like.device, memory_format=torch.channels_last)
        if above:
            joined.narrow(axis, 0, above).zero_()
        if below:
            joined.narrow(axis, end - begin - below, below).zero_()
        channel = 0
        for parts in pieces:
            at, width = above, parts[0].shape[1]
            for part in parts:
                joined.narrow(1, channel, width).narrow(axis, at, part.shape[axis]).copy_(part)
                at += part.shape[axis]
            channel += width
        return joined


class StreamEngine(Protocol):
    """네트워크의 속을 띠로 이어 돌릴 수 있는 엔진(torch)."""

    network: Any
    multiple: int

    def run(self, function: Callable[[Tensor], Tensor | None], batch: Tensor) -> Any:
        """제 장치와 자료형으로 함수를 부르고, 결과를 float32로 바꾼다."""
        ...

    def fallback(self) -> Any:
        """더 높은 정밀도의 엔진. 없으면 None."""
        ...

    def release(self) -> None:
        """쥐고 있던 여분을 장치에 돌려준다."""
        ...


def run_strips(
    engine: StreamEngine,
    plan: StreamPlan,
    read: Callable[[Box], Tensor],
    store: Store,
    cut: StripCut,
    *,
    height: int,
    width: int,
    steps: Sequence[Step] = (),
    progress: Progress | None = None,
) -> int:
    """이미지를 띠로 이어 돌려 결과를 `store`로 넘긴다. 통째로 돌린 것과 같다.

    메모리가 모자라면 띠를 반으로 낮추고, 유한하지 않은 값이 나오면 더 높은 정밀도로, 그 앞의 줄부터 이어 간다.

    Args:
        engine: 엔진.
        plan: 그 엔진의 네트워크를 이어 돌릴 계획.
        read: 상자를 `(3, h, w)` 텐서로 읽는 함수.
        store: `(3, h*scale, w*scale)` 결과와, 입력 좌표의 쓸 상자를 받아 보관하는 함수.
        cut: 나누는 법.
        height, width: 이미지 크기(픽셀), 엔진의 `multiple`의 배수.
        steps: 네트워크 다음에 거칠 단계들.
        progress: `(끝난 픽셀, 전체 픽셀)`을 받는 함수.

    Returns:
        끝까지 간 띠의 높이. 메모리에 맞추어 줄었으면 줄어든 값이다.

    Raises:
        OutOfMemoryError: 띠를 가장 낮게 해도 메모리가 모자랄 때.
        NonFiniteOutputError: 더 높은 정밀도로도 유한한 결과가 나오지 않을 때.
    """
    side, length = (width, height) if cut.axis == 2 else (height, width)
    rows = cut.rows
    for left in range(0, side, cut.column):
        column = _Column(engine, plan, read, store, cut, left, (length, side), tuple(steps))
        rows = column.run(rows, progress)
    return rows


class _Column:
    """흐르는 방향으로 나눈 줄기 하나를 계산하는 일.

    Args:
        engine, plan, read, store, cut, steps: `run_strips`와 같다.
        left: 쓸 범위의 처음(흐르지 않는 축).
        size: 이미지의 `(흐르는 축, 다른 축)` 길이.
    """

    def __init__(
        self,
        engine: StreamEngine,
        plan: StreamPlan,
        read: Callable[[Box], Tensor],
        store: Store,
        cut: StripCut,
        left: int,
        size: tuple[int, int],
        steps: tuple[Step, ...],
    ) -> None:
        self._engine, self._plan, self._read, self._store = engine, plan, read, store
        self._axis, self._steps = cut.axis, steps
        self._length, self._side = size
        self._left, self._right = left, min(left + cut.column, self._side)
        self._margin = total_margin(steps, plan.scale)
        # 단계도 줄기의 양옆을 더 본다. 거기까지 통째와 같아야 한다.
        beside = cut.margin + -(-self._margin // engine.multiple) * engine.multiple if cut.margin else 0
        self._first, self._last = max(left - beside, 0), min(self._right + beside, self._side)
        # 다 쓴 줄.
        self._done = 0

    def run(self, rows: int, progress: Progress | None) -> int:
        """끝까지 계산하고, 끝까지 간 띠의 높이를 돌려준다."""
        engine = self._engine
        while self._done < self._length:
            problem = self._advance(engine, rows, progress)
            if isinstance(problem, OutOfMemoryError):
                engine.release()
                if rows <= engine.multiple:
                    raise problem
                rows = max(rows // 2 // engine.multiple * engine.multiple, engine.multiple)
                logger.warning("장치 메모리가 모자라 띠를 %d줄로 낮추어 계속합니다.", rows)
            elif problem is not None:
                engine = engine.fallback()
                if engine is None:
                    raise problem
                logger.warning("낮은 정밀도의 결과에 NaN이 있어 그 앞에서부터 fp32로 다시 계산합니다.")
        return rows

    def _advance(self, engine: StreamEngine, rows: int, progress: Progress | None) -> Exception | None:
        """쓰지 않은 줄부터 할 수 있는 데까지 계산하고, 멈추게 한 것을 돌려준다.

        예외가 살아 있는 동안은 실패한 계산의 텐서도 살아 있으므로 글만 남긴다.
        """
        try:
            for enlarged, end in self._enlarged_strips(engine, rows):
                self._write(enlarged, end)
                if progress is not None:
                    area = self._left * self._length + end * (self._right - self._left)
                    progress(area, self._length * self._side)
        except (OutOfMemoryError, NonFiniteOutputError) as error:
            return type(error)(str(error))
        return None

    def _enlarged_strips(self, engine: StreamEngine, rows: int) -> Iterator[tuple[_Rows, int]]:
        """쓸 수 있게 된 줄의 범위와, 그 둘레까지 담은 결과를 낸다.

        앞서 계산하다 만 것이면 수용 영역만큼 앞에서 시작해 그 앞의 결과는 버린다.
        """
        plan = self._plan if engine is self._engine else plan_stream(engine.network)
        behind = 0 if self._done == 0 else plan.radius + self._margin
        start = max(self._done - behind, 0) // engine.multiple * engine.multiple
        stream = Stream(plan, self._length - start, self._axis)
        scale = plan.scale
        enlarged = _Rows(self._length * scale, start * scale)
        for begin in range(start, self._length, rows):
            strip = self._read(self._box(begin, min(begin + rows, self._length), self._first, self._last))
            ready = engine.run(stream.push, strip[None])
            if ready is None:
                continue
            if not torch.isfinite(ready.sum(dtype=torch.float32)):
                raise NonFiniteOutputError
            enlarged.add(ready, self._axis)
            # 네트워크가 내는 줄은 배율의 배수가 아닐 수 있다. 온전한 것만 쓴다.
            end = enlarged.end // scale - (self._margin if enlarged.end < enlarged.total else 0)
            if end > self._done:
                yield enlarged, end
                self._done = end
                enlarged.drop((end - self._margin) * scale, self._axis)

    def _write(self, enlarged: _Rows, end: int) -> None:
        """줄 `[done, end)`을 단계에 거쳐 쓴다. 단계는 둘레를 더 본다."""
        begin, scale = self._done, enlarged.total // self._length
        above, below = max(begin - self._margin, -(-enlarged.start // scale)), min(end + self._margin, self._length)
        parts = list(enlarged.read(above * scale, below * scale, self._axis))
        result = parts[0] if len(parts) == 1 else torch.cat(parts, self._axis)
        if self._steps:
            source = self._read(self._box(above, below, self._first, self._last))[None].to(result.device)
            from realesrgan.inference.steps import apply_steps

            result = apply_steps(self._steps, result, source)
        result = result.narrow(self._axis, (begin - above) * scale, (end - begin) * scale)
        across = 5 - self._axis
        result = result.narrow(across, (self._left - self._first) * scale, (self._right - self._left) * scale)
        self._store(result[0], self._box(begin, end, self._left, self._right))

    def _box(self, begin: int, end: int, left: int, right: int) -> Box:
        """흐르는 축의 `[begin, end)`와 다른 축의 `[left, right)`가 이루는 상자."""
        return Box(begin, left, end, right) if self._axis == 2 else Box(left, begin, right, end)
