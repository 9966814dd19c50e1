"""네트워크의 계산량과, 이 기계가 낼 수 있는 한계."""

from __future__ import annotations

import copy
import time

import torch
from torch import Tensor, nn

_MATRIX = 2048


def network_flops(network: nn.Module, height: int, width: int) -> int:
    """합성곱의 곱셈과 덧셈 수. 실제로 계산하지 않고 모양만 흘려 보내(meta) 센다.

    합성곱이 계산의 거의 전부이고 활성화와 덧셈은 세지 않는다.

    Args:
        network: `(1, 3, H, W)`를 키우는 네트워크.
        height, width: 입력 크기(픽셀). 네트워크의 배수여야 한다.
    """
    total = 0

    def count(layer: nn.Module, _inputs: tuple[Tensor, ...], output: Tensor) -> None:
        nonlocal total
        if isinstance(layer, nn.Conv2d):
            total += 2 * output.numel() * layer.weight[0].numel()

    shadow = copy.deepcopy(network).to("meta")
    for layer in shadow.modules():
        layer.register_forward_hook(count)
    with torch.no_grad():
        shadow(torch.empty(1, 3, height, width, device="meta"))
    return total


def matmul_ceiling(seconds: float = 2.0) -> float:
    """fp32 행렬곱의 초당 연산 수(GFLOP/s). `seconds` 동안 되풀이한 것 가운데 가장 빠른 값이다.

    네트워크가 기계의 능력을 얼마나 쓰는지를 말하는 기준이다.
    """
    first, second = torch.rand(_MATRIX, _MATRIX), torch.rand(_MATRIX, _MATRIX)
    best, deadline = 0.0, time.perf_counter() + seconds
    while time.perf_counter() < deadline or best == 0.0:
        began = time.perf_counter()
        torch.mm(first, second)
        best = max(best, 2 * _MATRIX**3 / (time.perf_counter() - began) / 1e9)
    return best
