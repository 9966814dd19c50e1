"""CPU의 bf16: 쓸 만한 CPU인지 알아보고, 네트워크의 양 끝에서 값을 지킨다.

bf16의 유효 숫자는 8비트라 0.5..1의 값을 8비트 이미지의 반 단계까지만 적는다. 가운데의 특징은 합성곱이 수백 개를 더하며
오차가 고르게 흩어지지만, 입력과 출력에서는 그대로 픽셀의 오차가 된다. 그래서 그 둘만 다르게 계산한다.
"""

from __future__ import annotations

import copy
import platform
import time
from contextlib import suppress
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

# 마지막 합성곱을 나누어 할 줄 수. fp32로 바꾼 특징이 캐시에 든다.
_BLOCK_ROWS = 16
# 견줄 합성곱의 크기와 횟수. 0.04초쯤이다.
_PROBE = (1, 64, 64, 64)
_PROBE_RUNS = 8
# 명령을 가진 CPU에서 bf16은 2배쯤 빠르다. 바쁜 기계에서 잰 값이 흔들려도 같은 것을 고르게 둔 여유다.
_WAVERING = 1.2


class EdgeConv(nn.Conv2d):
    """네트워크의 끝에 있는 합성곱. 받은 것을 `prepare`로 바꾼 뒤 제 가중치와 합성곱한다."""

    def prepare(self, x: Tensor) -> Tensor:
        """`(N, C, H, W)`를 가중치의 채널과 자료형에 맞춘다."""
        raise NotImplementedError

    def forward(self, input: Tensor) -> Tensor:
        """`(N, C, H, W)`를 받아 합성곱한다."""
        return self._conv_forward(self.prepare(input), self.weight, self.bias)


class FirstConv(EdgeConv):
    """입력을 읽는 합성곱. fp32의 값을 bf16 둘의 합(윗자리와 나머지)으로 적어 함께 읽으므로 입력을 깎지 않는다.

    채널이 셋이라 여섯이 되어도 걸리는 시간은 같다.
    """

    def prepare(self, x: Tensor) -> Tensor:
        """fp32를 bf16의 윗자리와 나머지로 나누어 채널로 잇는다."""
        high = x.to(self.weight.dtype)
        return torch.cat((high, (x - high).to(self.weight.dtype)), 1)


class LastConv(EdgeConv):
    """결과를 내는 합성곱. 받은 특징을 fp32로 바꾸어 계산하므로 결과가 깎이지 않는다."""

    def prepare(self, x: Tensor) -> Tensor:
        """fp32로 바꾼다."""
        return x.to(self.weight.dtype)

    def forward(self, input: Tensor) -> Tensor:
        """`(N, C, H, W)`를 몇 줄씩 바꾸어 합성곱한다. 특징 전체의 fp32 사본을 만들지 않는다."""
        height, margin = input.shape[2], int(self.padding[0])
        if self.stride != (1, 1) or self.padding_mode != "zeros" or height <= _BLOCK_ROWS:
            return super().forward(input)
        shape = (len(input), self.out_channels, height, input.shape[3])
        output = torch.empty(shape, dtype=self.weight.dtype, memory_format=torch.channels_last)
        for top in range(0, height, _BLOCK_ROWS):
            first, last = max(top - margin, 0), min(top + _BLOCK_ROWS + margin, height)
            rows = F.conv2d(self.prepare(input[:, :, first:last]), self.weight, self.bias, 1, self.padding)
            output[:, :, top : top + _BLOCK_ROWS] = rows[:, :, top - first : top - first + _BLOCK_ROWS]
        return output


def to_bf16(network: nn.Module) -> nn.Module:
    """CPU의 fp32 네트워크를 bf16의 사본으로 바꾼다. `edge_layers`를 가졌으면 그 층들은 값을 지킨다.

    Args:
        network: fp32 네트워크. 바꾸지 않는다.

    Returns:
        bf16 네트워크. `edge_layers`가 있으면 입력은 fp32여야 하고 결과도 fp32다.
    """
    first, last = getattr(network, "edge_layers", (None, None))
    made = copy.deepcopy(network).to(torch.bfloat16)
    if first is not None:
        source = network.get_submodule(first)
        _replace(made, first, FirstConv, source, torch.cat((source.weight, source.weight), 1).to(torch.bfloat16))  # type: ignore[arg-type]
    if last is not None:
        source = network.get_submodule(last)
        _replace(made, last, LastConv, source, source.weight)  # type: ignore[arg-type]
    return made


def _replace(network: nn.Module, name: str, kind: type[EdgeConv], source: Any, weight: Tensor) -> None:
    """이름의 합성곱을 같은 모양의 다른 종류로 바꾸고 가중치를 싣는다."""
    layer = kind(
        weight.shape[1],
        source.out_channels,
        source.kernel_size,
        source.stride,
        source.padding,
        source.dilation,
        bias=source.bias is not None,
        dtype=weight.dtype,
    )
    with torch.no_grad():
        layer.weight.copy_(weight)
        if layer.bias is not None:
            layer.bias.copy_(source.bias)
    network.set_submodule(name, layer.requires_grad_(False))


@lru_cache(maxsize=1)
def prefers_bf16() -> bool:
    """이 CPU가 bf16의 곱셈 명령(AVX512_BF16, AMX, Arm의 BF16)을 갖고 있고, 재어 보아도 fp32보다 빠른지."""
    return _has_bf16_instructions() and _bf16_is_faster()


def _has_bf16_instructions() -> bool:
    if platform.machine().lower() in ("arm64", "aarch64"):
        # macOS는 적지 않는다. 거기서는 MPS가 먼저다.
        with suppress(OSError):
            return " bf16" in Path("/proc/cpuinfo").read_text(encoding="ascii", errors="replace")
        return False
    names = ("_is_avx512_bf16_supported", "_is_amx_tile_supported")
    return any(getattr(torch.cpu, name, bool)() for name in names)


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
