"""PyTorch 엔진. CPU의 bf16도 여기 있다: 쓸 만한 CPU인지 알아보고, 네트워크의 양 끝에서 값을 지킨다.

bf16의 유효 숫자는 8비트라 0.5..1의 값을 8비트 이미지의 반 단계까지만 적는다. 가운데의 특징은 합성곱이 수백 개를 더하며
오차가 고르게 흩어지지만, 입력과 출력에서는 그대로 픽셀의 오차가 된다. 그래서 그 둘만 다르게 계산한다. 가운데에서는
시간이 거의 그대로인 셋을 한다: 편향(bias)은 fp32로 더하고, 가중치는 이웃한 자리들의 오차가 서로 지워지게 반올림하고,
블록 사이의 잔차(residual)는 fp32로 둔다(`wide_residual`을 가진 네트워크). 더하기까지 합친 합성곱은 한 번만 반올림한다.
"""

from __future__ import annotations

import copy
import json
import math
import platform
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from realesrgan.archs.base import activation_values, describes, image_of, is_altered
from realesrgan.inference.engines.base import PRECISION_DTYPES, named_memory_error, pixel_limit
from realesrgan.util.files import cache_dir, write_atomically
from realesrgan.util.machine import processor_name

# 엔진마다 두지 않는다. 자물쇠를 가진 객체는 복사(copy.deepcopy)할 수 없다.
_FALLBACK_LOCK = threading.Lock()
# 마지막 합성곱을 나누어 할 줄 수. fp32로 바꾼 특징이 캐시에 든다.
_BLOCK_ROWS = 16
# bf16이 빠른지 잰 답을 적어 두는, 사용자 캐시의 파일.
BF16_FILE = "bf16.json"
# 견줄 합성곱의 크기와 횟수. 0.04초쯤이다.
_PROBE = (1, 64, 64, 64)
_PROBE_RUNS = 8
# 가중치를 반올림할 때 보는, 특징의 이웃한 두 픽셀의 상관(correlation). 이보다 작은 몫은 넘기지 않는다.
_CORRELATION = 0.9
_SMALLEST_SHARE = 0.02
# 명령을 가진 CPU에서 bf16은 2배쯤 빠르다. 바쁜 기계에서 잰 값이 흔들려도 같은 것을 고르게 둔 여유다.
_WAVERING = 1.2


def create(
    network: Any,
    device: torch.device,
    precision: str,
    scale: int,
    multiple: int,
    kind: Callable[..., Any] | None = None,
) -> Any:
    """네트워크를 장치와 정밀도에 놓고 엔진을 만든다. 낮은 정밀도면 fp32 원본을 남기고 사본을 옮긴다.

    Args:
        network, device, precision, scale, multiple: `TorchEngine`과 같다. 네트워크는 CPU의 fp32다.
        kind: 만들 엔진의 클래스. 없으면 `TorchEngine`이다.
    """
    make = partial(kind or TorchEngine, device=device, precision=precision, scale=scale, multiple=multiple)
    if not isinstance(network, nn.Module):
        return make(network)
    # 한 모델을 여러 장치와 정밀도가 나누어 쓸 수 있게, 옮겨야 하면 사본을 옮긴다.
    dtype = PRECISION_DTYPES[precision]
    if precision == "bf16" and device.type == "cpu":
        placed = to_bf16(network).eval().to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        return make(placed, full_network=network)
    in_place = all(tensor.device == device and tensor.dtype == dtype for tensor in network.parameters())
    placed = (network if in_place else copy.deepcopy(network)).eval().to(device, dtype)
    # 채널을 안쪽에 두면(channels_last) CPU와 GPU 모두 합성곱이 빨라진다. 값은 같다.
    placed = placed.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return make(placed, full_network=None if precision == "fp32" else network)


class TorchEngine:
    """PyTorch 네트워크를 부르는 엔진.

    Args:
        network: `(N, 3, h, w)`를 키우는 모듈이나 함수. 모듈이면 `device`와 `precision`에 이미 놓여 있어야 한다.
        device: 장치.
        precision: `fp32`, `fp16`, `bf16`.
        scale: 네트워크의 업스케일 배율.
        multiple: 입력 크기가 맞춰야 하는 배수.
        full_network: 낮은 정밀도가 NaN을 낼 때 대신 쓸 fp32 원본(CPU에 둔다). `precision`이 fp32면 쓰지 않는다.
    """

    name = "torch"

    def __init__(
        self,
        network: Any,
        device: torch.device,
        precision: str,
        *,
        scale: int,
        multiple: int = 1,
        full_network: nn.Module | None = None,
    ) -> None:
        self.network = network
        self.device = device
        self.precision = precision
        self.scale = scale
        self.multiple = multiple
        values = activation_values(network)
        self.max_pixels = sys.maxsize if device.type == "cpu" else pixel_limit(device, precision, values.largest)
        self._bytes_per_pixel = values.peak * PRECISION_DTYPES[precision].itemsize
        self._full_network = full_network
        # 첫 합성곱이 fp32를 받아 스스로 나눈다.
        layers = list(network.modules()) if isinstance(network, nn.Module) else []
        self._reads_fp32 = any(isinstance(layer, (FirstConv, LastConv)) for layer in layers)
        if self._reads_fp32:
            # 결과는 fp32이고, 마지막 합성곱이 그 사본을 조금씩 만든다.
            self._bytes_per_pixel += 2 * 3 * scale**2 * torch.float32.itemsize
        if any(getattr(layer, "phases", ()) for layer in layers):
            # 키우기 전에 하는 합성곱은 결과의 네 자리 가운데 하나를 따로 든다.
            self._bytes_per_pixel += values.largest / 4 * PRECISION_DTYPES[precision].itemsize
        self._fallback: TorchEngine | None = None

    def memory(self, height: int, width: int) -> int:
        """`(1, 3, height, width)` 하나를 키우는 데 드는 메모리의 어림(바이트)."""
        return int(self._bytes_per_pixel * height * width)

    def __call__(self, batch: Tensor) -> Tensor:
        """배치 하나를 키워, 장치에 그대로 둔 float32 텐서로 돌려준다.

        Raises:
            OutOfMemoryError: 장치 메모리가 모자랄 때.
        """
        output: Tensor = self.run(self.network, batch)
        return output

    @torch.inference_mode()
    def run(self, function: Callable[[Tensor], Tensor | None], batch: Tensor) -> Any:
        """네트워크(나 그것을 띠로 이어 돌리는 함수)를 제 장치와 자료형으로 부르고, 결과를 float32로 바꾼다.

        Raises:
            OutOfMemoryError: 장치 메모리가 모자랄 때.
        """
        dtype = PRECISION_DTYPES[self.precision]
        if isinstance(self.network, nn.Module):
            # 밖에서 `model.float()`처럼 네트워크의 자료형을 바꾸어도 따라간다.
            dtype = next((one.dtype for one in self.network.parameters() if one.is_floating_point()), dtype)
            dtype = torch.float32 if self._reads_fp32 else dtype
        try:
            tensor = batch.to(self.device, dtype)
            # CPU에서는 첫 합성곱이 가중치를 따라 채널을 안쪽에 둔다. 입력을 그대로 두면 그것을 늘려 더하는 네트워크의
            # 결과가 채널마다 이어져, 뒤의 일이 빠르다. 값은 같다.
            packed = torch.contiguous_format if self.device.type == "cpu" else torch.channels_last
            output: Tensor | None = function(tensor.contiguous(memory_format=packed))
            output = output if output is None or isinstance(output, Tensor) else image_of(output)
            return None if output is None else output.to(self.device, torch.float32)
        except (RuntimeError, MemoryError) as error:
            raise named_memory_error(error) from error

    def fallback(self) -> TorchEngine | None:
        """fp32로 도는 같은 네트워크. 처음 부를 때 만들고 다시 쓴다."""
        if self.precision == "fp32" or self._full_network is None:
            return None
        with _FALLBACK_LOCK:
            if self._fallback is None:
                network = copy.deepcopy(self._full_network).to(self.device, torch.float32)
                self._fallback = TorchEngine(network, self.device, "fp32", scale=self.scale, multiple=self.multiple)
            return self._fallback

    def release(self) -> None:
        """장치의 캐시된 메모리를 비운다."""
        if self.device.type == "cuda":
            torch.cuda.empty_cache()
        elif self.device.type == "mps":
            torch.mps.empty_cache()
        elif self.device.type == "xpu":
            torch.xpu.empty_cache()


class Bf16Conv(nn.Conv2d):
    """bf16 네트워크의 합성곱. 편향(bias)은 할 수 있으면 fp32로 더하고, 뒤따르는 활성화와 더하기까지 한 번에 한다.

    Attributes:
        joins: 뒤따르는 계산까지 할 수 있는지(`archs.base.joined_conv`).
        scale: 가중치와 편향에 미리 곱해 둔 수. 그래서 결과에도 곱해져 있다.
        phases: 2배로 키운 것의 합성곱을 키우기 전에 하는 2x2 가중치 넷(`phase_weights`). 없으면 비어 있다.
        opens, closes: 차례로만 부르는 층들(`_link`)의 처음과 끝인지. 그 사이의 특징은 oneDNN의 텐서다.
    """

    joins = True
    scale = 1.0
    opens = closes = False
    phases: tuple[Tensor, ...] = ()
    _packed: tuple[Tensor, ...] = ()

    def __getstate__(self) -> dict[str, Any]:
        """oneDNN의 꼴로 바꾸어 둔 것은 옮기지 않는다. 사본이 스스로 다시 한다."""
        return {**self.__dict__, "_packed": ()}

    def forward(
        self,
        input: Tensor,
        residual: Tensor | None = None,
        *,
        scale: float = 1.0,
        factor: int = 1,
        slope: float | None = None,
        padding: tuple[int, int] | None = None,
    ) -> Tensor:
        """`(N, C, H, W)`를 최근접으로 키워 합성곱하고, LeakyReLU를 거치거나 곱해서 더한다.

        Args:
            input: 입력.
            residual: 더할 것. 결과는 `residual + scale * 합성곱`이다.
            scale: 결과에 곱할 수.
            factor: 합성곱하기 전에 키울 배율.
            slope: LeakyReLU의 기울기. 없으면 거치지 않는다.
            padding: 0을 덧댈 줄과 칸. 없으면 층의 것이다. 덧대지 않는 축의 줄은 `input`에 이미 함께 있다.
        """
        opens = self.opens and padding is None and self.weight.dtype == torch.bfloat16
        if input.is_mkldnn or (opens and not torch.compiler.is_compiling() and links_layers()):
            return self._linked(input)
        x = input.to(self.weight.dtype)
        odd = isinstance(self.padding, str) or self.padding_mode != "zeros"
        zeros: Any = padding or (None if odd else self.padding)
        # 컴파일러는 oneDNN의 연산을 모른다. 거기서는 앞뒤의 계산이 스스로 합쳐진다.
        fuses = zeros and not torch.compiler.is_compiling() and type(self) is Bf16Conv and onednn_abilities()[1]
        if fuses and factor == 2 and self.phases and slope is not None:
            return self._in_phases(x, zeros, slope)
        if factor > 1:
            made = self.forward(F.interpolate(x, scale_factor=factor), slope=slope, padding=padding)
            # 키우기 전의 한 줄은 키운 뒤에는 여러 줄이다. 덧대지 않은 축의 양 끝에서 남는 것을 뗀다.
            for axis, pad in zip((2, 3), padding or (), strict=False):
                made = made if pad else made.narrow(axis, factor - 1, made.shape[axis] - 2 * (factor - 1))
            return made
        if residual is None:
            joins = slope is not None
        else:
            # 한 픽셀의 텐서는 채널의 차례가 정해지지 않아 PyTorch 2.10이 더하기를 합치지 못한다.
            alike = residual.dtype == x.dtype and min(residual.shape[2:]) > 1
            joins = alike and scale == self.scale and slope is None
        if not (fuses and joins):
            return self._apart(x, zeros, residual, scale, slope)
        layout = (list(zeros), list(self.stride), list(self.dilation), self.groups)
        weight, onednn = self._pack(self.weight)[0], torch.ops.mkldnn._convolution_pointwise
        if residual is None:
            return onednn(x, weight, self.bias, *layout, "leaky_relu", [slope], "")
        # 더하기까지 fp32로 하고 한 번만 반올림한다. 이 연산은 편향의 자료형이 입력과 같아야 한다.
        bias = None if self.bias is None else self.bias.to(x.dtype)
        return onednn.binary(x, residual, weight, bias, *layout, "add", 1.0, None, [], None)

    def _apart(self, x: Tensor, padding: Any, residual: Tensor | None, scale: float, slope: float | None) -> Tensor:
        """`forward`의 계산을 하나씩 한다. `padding`이 없으면 층이 스스로 덧댄다."""
        layout = (self.stride, padding, self.dilation, self.groups)
        if padding is None:
            made = self._conv_forward(x, self.weight, self.bias)
        elif self.bias is None or self.bias.dtype == x.dtype:
            made = F.conv2d(x, self.weight, self.bias, *layout)
        elif torch.compiler.is_compiling():
            made = (F.conv2d(x, self.weight, None, *layout) + self.bias[:, None, None]).to(x.dtype)
        else:
            made = torch.mkldnn_convolution(x, self.weight, self.bias, padding, self.stride, self.dilation, self.groups)
        if slope is not None:
            made = F.leaky_relu(made, slope, inplace=True)
        return made if residual is None else torch.add(residual, made, alpha=scale / self.scale)

    def _linked(self, x: Tensor) -> Tensor:
        """oneDNN의 텐서를 받아 그대로 낸다. 처음의 층이 그것으로 바꾸고 끝의 층이 채널을 안쪽에 둔 텐서로 되돌린다."""
        x = x if x.is_mkldnn else x.to(self.weight.dtype).to_mkldnn()
        layout: tuple[Any, ...] = (self.padding, self.stride, self.dilation, self.groups)
        made: Tensor = torch.mkldnn_convolution(x, self._pack(self.weight)[0], self.bias, *layout)
        # 축의 차례를 먼저 바꾸어 두면 되돌릴 때 자리를 다시 옮기지 않는다.
        return made.transpose(1, 2).transpose(2, 3).to_dense().permute(0, 3, 1, 2) if self.closes else made

    def _in_phases(self, x: Tensor, padding: tuple[int, ...], slope: float) -> Tensor:
        """2배로 키우지 않고 결과의 네 자리를 저마다 2x2의 합성곱으로 구한다. 곱셈이 9분의 4다."""
        height, width = (size + 2 * pad - 2 for size, pad in zip(x.shape[2:], padding, strict=True))
        shape = (len(x), self.out_channels, 2 * height, 2 * width)
        output = torch.empty(shape, dtype=x.dtype, memory_format=torch.channels_last)
        how = (list(padding), [1, 1], [1, 1], 1, "leaky_relu", [slope], "")
        for number, weight in enumerate(self._pack(*self.phases)):
            row, column = divmod(number, 2)
            made = torch.ops.mkldnn._convolution_pointwise(x, weight, self.bias, *how)
            output[:, :, row::2, column::2] = made[:, :, row : row + height, column : column + width]
        return output

    def _pack(self, *weights: Tensor) -> tuple[Tensor, ...]:
        """가중치를 oneDNN이 읽는 꼴로 한 번 바꾸어 둔다. 두지 않으면 부를 때마다 바꾼다."""
        if not self._packed:
            layout = (list(self.padding), list(self.stride), list(self.dilation), self.groups)
            self._packed = tuple(torch.ops.mkldnn._reorder_convolution_weight(one, *layout, None) for one in weights)
        return self._packed


class FirstConv(Bf16Conv):
    """입력을 읽는 합성곱. fp32의 값을 bf16 둘의 합(윗자리와 나머지)으로 적어 함께 읽으므로 입력을 깎지 않는다.

    채널이 셋이라 여섯이 되어도 걸리는 시간은 같다.
    """

    joins = False

    def forward(self, input: Tensor, *arguments: Any, **how: Any) -> Tensor:
        """fp32를 bf16의 윗자리와 나머지로 나누어 채널로 잇는다. 인자는 `Bf16Conv`의 것이다."""
        high = input.to(self.weight.dtype)
        return super().forward(torch.cat((high, (input - high).to(self.weight.dtype)), 1), *arguments, **how)


class LastConv(Bf16Conv):
    """결과를 내는 합성곱. 받은 특징을 fp32로 바꾸어 계산하므로 결과가 깎이지 않는다."""

    joins = False

    def forward(
        self, input: Tensor, residual: Tensor | None = None, *, padding: tuple[int, int] | None = None, **how: Any
    ) -> Tensor:
        """몇 줄씩 바꾸어 합성곱한다. 특징 전체의 fp32 사본을 만들지 않는다. 인자는 `Bf16Conv`의 것이다."""
        zeros: Any = padding or self.padding
        odd = isinstance(zeros, str) or self.stride != (1, 1) or self.dilation != (1, 1) or self.padding_mode != "zeros"
        if residual is not None or how or odd or input.shape[2] <= _BLOCK_ROWS:
            return super().forward(input, residual, padding=padding, **how)
        beside, across = (size - 1 for size in self.kernel_size)
        height, width = input.shape[2] + 2 * zeros[0] - beside, input.shape[3] + 2 * zeros[1] - across
        shape = (len(input), self.out_channels, height, width)
        output = torch.empty(shape, dtype=self.weight.dtype, memory_format=torch.channels_last)
        for top in range(0, height, _BLOCK_ROWS):
            first, last = max(top - zeros[0], 0), top + _BLOCK_ROWS + beside - zeros[0]
            part = input[:, :, first:last].to(self.weight.dtype)
            rows = F.conv2d(part, self.weight, self.bias, 1, zeros, 1, self.groups)
            output[:, :, top : top + _BLOCK_ROWS] = rows[:, :, top - first : top - first + _BLOCK_ROWS]
        return output


class Bf16PReLU(nn.PReLU):
    """bf16 네트워크의 PReLU. 이어진 층들에서는 oneDNN의 것으로 한다. PyTorch의 것보다 두세 배 빠르고 값은 같다."""

    def forward(self, input: Tensor) -> Tensor:
        """`(N, C, H, W)`의 음수에 채널마다의 기울기를 곱한다."""
        if not input.is_mkldnn:
            return super().forward(input)
        activated: Tensor = torch._prelu_kernel(input, self.weight.view(1, -1, 1, 1).to_mkldnn())  # type: ignore[attr-defined]
        return activated


def to_bf16(network: nn.Module) -> nn.Module:
    """CPU의 fp32 네트워크를 bf16의 사본으로 바꾼다. `edge_layers`를 가졌으면 그 층들은 값을 지킨다.

    Args:
        network: fp32 네트워크. 바꾸지 않는다.

    Returns:
        bf16 네트워크. `edge_layers`가 있으면 입력은 fp32여야 하고 결과도 fp32다.
    """
    made = copy.deepcopy(network).to(torch.bfloat16)
    known = describes(network, "edge_layers")
    edges = dict(zip(network.edge_layers, (FirstConv, LastConv), strict=False)) if known else {}  # type: ignore[arg-type,call-overload]
    scales: dict[str, float] = {}
    enlarged: set[str] = set()
    # 네트워크가 말한, 결과에 수를 곱해 더하는 합성곱과 그 수, 2배로 키운 것을 읽는 합성곱의 이름.
    for prefix, module in network.named_modules() if known else ():
        front = f"{prefix}." if prefix else ""
        scales |= {front + name: scale for name, scale in getattr(module, "scaled_convs", {}).items()}
        enlarged |= {front + name for name, factor in getattr(module, "enlarged_convs", {}).items() if factor == 2}
    for name, layer in network.named_modules():
        kind = edges.get(name, Bf16Conv)
        # 물려받아 고친 합성곱이나 훅이 걸린 것은 무엇을 하는지 모르므로 그대로 둔다.
        if name and type(layer) is nn.Conv2d and not is_altered(layer):
            made.set_submodule(name, _bf16_layer(layer, kind, scales.get(name, 1.0), name in enlarged))
    for module in made.modules() if known else ():
        if hasattr(module, "wide_residual"):
            module.wide_residual = True  # type: ignore[assignment]
    for name in network.sequences if known and describes(network, "sequences") else ():  # type: ignore[union-attr]
        _link(made.get_submodule(name))
    return made


def _link(layers: Any) -> None:
    """차례로만 부르는 합성곱과 PReLU를 잇는다. 그 사이의 특징은 oneDNN의 텐서로 두고 되돌리지 않는다."""
    convs, activations = layers[::2], layers[1::2]
    plain = all(
        type(one) in (Bf16Conv, FirstConv) and one.padding_mode == "zeros" and not isinstance(one.padding, str)
        for one in convs
    )
    if not plain or any(type(one) is not nn.PReLU for one in activations) or len(convs) != len(activations) + 1:
        return
    for number, activation in enumerate(activations):
        made = Bf16PReLU(activation.num_parameters, device="meta")
        made.weight = nn.Parameter(activation.weight, requires_grad=False)
        layers[2 * number + 1] = made
    convs[0].opens = convs[-1].closes = True


def phase_weights(weight: Tensor) -> tuple[Tensor, ...]:
    """최근접으로 2배 키운 것의 3x3 합성곱을 키우기 전에 하는 2x2 가중치들.

    키운 것의 이웃한 세 자리는 본래의 두 자리이므로 같은 자리를 읽는 가중치를 더한다.

    Args:
        weight: `(출력, 입력, 3, 3)`.

    Returns:
        결과의 짝수 줄 짝수 칸, 짝수 줄 홀수 칸, 홀수 줄 짝수 칸, 홀수 줄 홀수 칸을 내는 `(출력, 입력, 2, 2)` 넷.
    """
    # 결과의 짝수 줄(칸)은 본래의 (첫째), (둘째와 셋째)를, 홀수 줄은 (첫째와 둘째), (셋째)를 읽는다.
    places = torch.tensor([[[1, 0, 0], [0, 1, 1]], [[1, 1, 0], [0, 0, 1]]], dtype=weight.dtype)
    return tuple(torch.einsum("oihw,rkh,clw->rcoikl", weight, places, places).flatten(0, 1))


def _bf16_layer(source: Any, kind: type[Bf16Conv], scale: float = 1.0, enlarged: bool = False) -> Bf16Conv:
    """Fp32의 합성곱을 `kind`의 것으로 옮긴다. 가중치와 편향에 `scale`을 곱한다."""
    exact = source.weight.detach().float() * scale
    weight = exact if kind is LastConv else round_weight(exact)
    if kind is FirstConv:
        weight = torch.cat((weight, weight), 1)
    layer = kind(
        weight.shape[1] * source.groups,
        source.out_channels,
        source.kernel_size,
        source.stride,
        source.padding,
        source.dilation,
        source.groups,
        bias=source.bias is not None,
        padding_mode=source.padding_mode,
        dtype=weight.dtype,
        device="meta",
    )
    layer.weight = nn.Parameter(weight, requires_grad=False)
    layer.scale = scale
    plain = (source.kernel_size, source.padding, source.stride, source.dilation) == ((3, 3), (1, 1), (1, 1), (1, 1))
    if enlarged and plain and kind is Bf16Conv:
        layer.phases = tuple(map(round_weight, phase_weights(exact)))
    if source.bias is not None:
        by_onednn = source.padding_mode == "zeros" and not isinstance(source.padding, str)
        full = kind is LastConv or (by_onednn and onednn_abilities()[0])
        bias = (source.bias.detach().float() * scale).to(torch.float32 if full else torch.bfloat16)
        layer.bias = nn.Parameter(bias, requires_grad=False)
    return layer


@torch.no_grad()
def round_weight(weight: Tensor) -> Tensor:
    """합성곱의 가중치를 bf16으로, 이웃한 자리들의 오차가 서로 지워지게 반올림한다.

    특징은 이웃한 픽셀끼리 비슷하므로, 한 자리를 반올림한 오차를 아직 반올림하지 않은 이웃에 넘기면 결과의 오차가 준다.
    넘길 몫은 특징의 상관이 거리에 따라 지수로 준다고 보고 구한다(OPTQ, Frantar 2023, 식 2와 3을 자리 9개에 쓴 것).

    Args:
        weight: `(출력, 입력, kh, kw)` float32.

    Returns:
        같은 모양의 bfloat16, `channels_last`.
    """
    shares = _error_shares(*weight.shape[2:])
    taps = weight.detach().float().permute(2, 3, 0, 1).flatten(0, 1).contiguous()
    rounded = torch.empty(taps.shape, dtype=torch.bfloat16)
    for tap, given in enumerate(shares):
        rounded[tap] = taps[tap]
        if given:
            error = taps[tap] - rounded[tap]
            for neighbour, share in given:
                taps[neighbour].add_(error, alpha=share)
    made = rounded.unflatten(0, weight.shape[2:]).permute(2, 3, 0, 1)
    return made.contiguous(memory_format=torch.channels_last)


@lru_cache
def _error_shares(height: int, width: int) -> tuple[tuple[tuple[int, float], ...], ...]:
    """자리마다 그 오차를 넘겨받을 뒤의 자리와 몫들."""
    places = [(index // width, index % width) for index in range(height * width)]
    distance = torch.tensor([[abs(a[0] - b[0]) + abs(a[1] - b[1]) for b in places] for a in places])
    related = _CORRELATION ** distance.double() + 1e-3 * torch.eye(len(places), dtype=torch.float64)
    upper = torch.linalg.cholesky(torch.linalg.inv(related), upper=True)
    rows = (-upper / upper.diagonal()[:, None]).tolist()
    return tuple(
        tuple((later, row[later]) for later in range(tap + 1, len(places)) if abs(row[later]) > _SMALLEST_SHARE)
        for tap, row in enumerate(rows)
    )


@lru_cache(maxsize=1)
def onednn_abilities() -> tuple[bool, bool]:
    """oneDNN이 bf16의 합성곱에 `(fp32의 편향을 더할 수 있는지, 활성화와 더하기를 합칠 수 있는지)`.

    CPU와 PyTorch의 버전마다 다르므로 작은 것으로 해 보고 따로 한 것과 견준다.
    """
    batch, weight = torch.zeros((1, 8, 4, 4), dtype=torch.bfloat16), torch.zeros((8, 8, 3, 3), dtype=torch.bfloat16)
    batch[:, 0], weight[:, 0, 1, 1] = 1, -1
    full = 1 + 2.0**-12
    try:
        found = torch.mkldnn_convolution(batch, weight, torch.full((8,), full), (1, 1), (1, 1), (1, 1), 1)
    except (RuntimeError, AttributeError):
        return False, False  # oneDNN이 없거나 bf16을 모르는 CPU다.
    if found.dtype != torch.bfloat16 or not math.isclose(float(found[0, 0, 1, 1]), full - 1):
        return False, False
    # 반올림하지 않아도 되는 수들이라 합치지 않은 것과 꼭 같다.
    batch = torch.arange(32.0).sub(16).view(1, 8, 2, 2).to(torch.bfloat16, memory_format=torch.channels_last)
    weight = torch.eye(8).view(8, 8, 1, 1).to(torch.bfloat16, memory_format=torch.channels_last)
    layout: tuple[Any, ...] = ([0, 0], [1, 1], [1, 1], 1)
    mkldnn = torch.ops.mkldnn
    try:
        packed = mkldnn._reorder_convolution_weight(weight, *layout, None)
        bias = torch.full((8,), 2.0)
        leaky = mkldnn._convolution_pointwise(batch, packed, bias, *layout, "leaky_relu", [0.5], "")
        added = mkldnn._convolution_pointwise.binary(
            batch, batch, packed, bias.bfloat16(), *layout, "add", 1.0, None, [], None
        )
    except (RuntimeError, AttributeError, TypeError):
        return True, False  # 버전마다 있는지, 무엇을 받는지 다르다.
    return True, torch.equal(leaky, F.leaky_relu(batch + 2, 0.5)) and torch.equal(added, 2 * batch + 2)


@lru_cache(maxsize=1)
@torch.inference_mode()
def links_layers() -> bool:
    """이 CPU와 PyTorch에서 이어진 층들(`_link`)의 결과가 따로 부른 것과 같은지. 작은 것으로 해 본다."""
    # 다른 CPU에서는 oneDNN의 PReLU가 느린 예비 구현이다.
    if platform.machine().lower() not in ("x86_64", "amd64") or not onednn_abilities()[0]:
        return False
    batch = torch.linspace(-1, 1, 24 * 5 * 6).view(1, 24, 5, 6).bfloat16()
    weight = torch.linspace(-0.1, 0.1, 24 * 24 * 9).view(24, 24, 3, 3).bfloat16()
    slopes, bias = torch.linspace(-0.5, 1.5, 24).bfloat16(), torch.linspace(-1, 1, 24)
    layout: tuple[Any, ...] = ((1, 1), (1, 1), (1, 1), 1)
    try:
        linked = torch.mkldnn_convolution(batch.to_mkldnn(), weight, bias, *layout)
        linked = torch._prelu_kernel(linked, slopes.view(1, -1, 1, 1).to_mkldnn())  # type: ignore[attr-defined]
        linked = linked.transpose(1, 2).transpose(2, 3).to_dense().permute(0, 3, 1, 2)
    except (RuntimeError, AttributeError, TypeError):
        return False  # 버전마다 있는지, 무엇을 받는지 다르다.
    dense = batch.contiguous(memory_format=torch.channels_last)
    return torch.equal(linked, F.prelu(torch.mkldnn_convolution(dense, weight, bias, *layout), slopes))


@lru_cache(maxsize=1)
def prefers_bf16() -> bool:
    """이 CPU가 bf16의 곱셈 명령(AVX512_BF16, AMX, Arm의 BF16)을 갖고 있고, 재어 보아도 fp32보다 빠른지.

    잰 답은 사용자 캐시에 적어 두어 다음 프로세스도 같은 답을 쓴다.
    """
    native = False
    if platform.machine().lower() in ("arm64", "aarch64"):
        # macOS는 적지 않는다. 거기서는 MPS가 먼저다.
        with suppress(OSError):
            native = " bf16" in Path("/proc/cpuinfo").read_text(encoding="ascii", errors="replace")
    else:
        names = ("_is_avx512_bf16_supported", "_is_amx_tile_supported")
        native = any(getattr(torch.cpu, name, bool)() for name in names)
    if not native:
        return False
    return remembered_bf16(_bf16_is_faster)


def remembered_bf16(measure: Callable[[], bool]) -> bool:
    """이 CPU와 이 PyTorch에서 bf16이 빠른지. 처음에 한 번 재어 적어 두고 다음부터는 그 답을 따른다.

    바쁜 기계에서 잰 답은 흔들릴 수 있다. 프로세스마다 다시 재면 같은 명령의 결과가 그때마다 다를 수 있다.
    깨졌거나 다른 CPU와 버전의 것이면 다시 재고, 적을 수 없으면(읽기만 하는 폴더) 잰 답만 쓴다.

    Args:
        measure: 재는 함수.
    """
    key = {"cpu": processor_name(), "torch": torch.__version__}
    file = cache_dir() / BF16_FILE
    measured: bool | None = None
    while True:
        with suppress(OSError, ValueError, TypeError, RecursionError):
            content = json.loads(file.read_text(encoding="utf-8"))
            faster = content.pop("faster") if isinstance(content, dict) and "faster" in content else None
            if content == key and isinstance(faster, bool):
                return faster
        # 재는 동안 다른 프로세스가 적었으면 그것을 따르므로, 재고 나서 한 번 더 읽는다.
        if measured is not None:
            break
        measured = measure()
    with suppress(OSError):
        write_atomically(file, json.dumps({**key, "faster": measured}, ensure_ascii=False).encode())
    return measured


@torch.inference_mode()
def _bf16_is_faster() -> bool:
    """네트워크의 몸통과 같은 합성곱을 두 자료형으로 번갈아 해 본다."""
    layer = nn.Conv2d(_PROBE[1], _PROBE[1], 3, 1, 1)
    pairs: list[tuple[nn.Module, Tensor, list[float]]] = []
    for dtype in (torch.float32, torch.bfloat16):
        made = copy.deepcopy(layer).to(dtype=dtype, memory_format=torch.channels_last)  # type: ignore[call-overload]
        pairs.append((made, torch.zeros(_PROBE, dtype=dtype).contiguous(memory_format=torch.channels_last), []))
    # 스레드 하나로 잰다. 여럿이면 다른 프로그램이 코어를 쓸 때 서로 기다려, 부를 때마다 답이 달라진다.
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        for _ in range(_PROBE_RUNS):
            for made, batch, times in pairs:
                began = time.perf_counter()
                made(batch)
                times.append(time.perf_counter() - began)
    finally:
        torch.set_num_threads(threads)
    return min(pairs[1][2]) < _WAVERING * min(pairs[0][2])
