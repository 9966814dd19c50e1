"""네트워크가 쓸 메모리를 어림하고, 남은 메모리에 맞는 타일(tile)을 고른다."""

from __future__ import annotations

import math
import sys
from collections.abc import Mapping

import torch
from torch import nn

from realesrgan.archs.rrdbnet_arch import RRDBNet
from realesrgan.archs.srvgg_arch import SRVGGNetCompact
from realesrgan.inference.precision import PRECISION_DTYPES
from realesrgan.inference.tiling import balanced_tile
from realesrgan.util.machine import available_memory

MIB = 1 << 20
# CPU에서는 타일이 이보다 크다고 빨라지지 않는다. 가벼운 네트워크는 작은 예산으로도 충분한 타일을 얻는다.
CPU_BUDGET = 384 * MIB
# 무거운 네트워크의 타일이 이 크기에 못 미치면 예산을 여기까지 늘린다.
CPU_BUDGET_HEAVY = 2048 * MIB
COMFORTABLE_TILE = 384
SMALLEST_AUTO_TILE = 64
# 할당기의 조각과 작업 공간을 위해 남겨 두는 몫.
DEVICE_SHARE = 0.7
HOST_SHARE = 0.25
# 텐서 크기의 한도에 두는 여유. 패딩이 더해지고 안에서 조금 더 큰 작업 텐서를 만들기도 한다.
TENSOR_SHARE = 0.8


def known_generator(network: nn.Module) -> RRDBNet | SRVGGNetCompact | None:
    """배율과 배수를 스스로 아는 생성자면 그것을, 아니면 None을 돌려준다. `torch.compile`로 감싼 것은 속을 본다."""
    inner = getattr(network, "_orig_mod", network)
    return inner if isinstance(inner, (RRDBNet, SRVGGNetCompact)) else None


def largest_activation(network: nn.Module) -> int:
    """입력 픽셀 하나에 대해 가장 큰 텐서 하나가 갖는 값의 수. 모르는 네트워크는 RRDBNet과 같다고 본다."""
    known = known_generator(network)
    if isinstance(known, SRVGGNetCompact):
        return max(known.num_feat, known.num_out_ch * known.upscale**2)
    if known is None:
        return 64 * 16
    return known.conv_hr.out_channels * 16 // known.size_multiple**2


def pixel_limit(network: nn.Module, precision: str, device: torch.device) -> int:
    """한 번에 장치에 넣어도 되는 픽셀 수의 한도. 메모리와 상관없는, 텐서 하나의 크기에서 오는 한도다.

    CUDA의 일부 연산은 값이 2^31개를 넘는 텐서에서 말없이 틀린 값을 내고, MPS는 2^32바이트를 넘으면 프로세스를 끝낸다.
    """
    if device.type == "cpu":
        return sys.maxsize
    values = 2**31 - 1
    if device.type == "mps":
        values = min(values, 2**32 // PRECISION_DTYPES[precision].itemsize)
    return int(values * TENSOR_SHARE) // largest_activation(network)


def bytes_per_pixel(network: nn.Module, precision: str) -> int:
    """입력 픽셀 하나에 드는 활성값(activation) 메모리의 최댓값을 어림한다.

    가장 큰 순간에 살아 있는 값의 수에 값의 크기를 곱한다. 실제로 잰 값에 맞춘 어림이다.

    Returns:
        바이트. 모르는 네트워크는 RRDBNet(23블록)과 같다고 본다.
    """
    size = PRECISION_DTYPES[precision].itemsize
    known = known_generator(network)
    if isinstance(known, SRVGGNetCompact):
        # 가운데 특징 두 벌, 마지막 합성곱의 출력과 펼친 결과와 최근접 확대.
        return (2 * known.num_feat + 3 * known.num_out_ch * known.upscale**2) * size
    # 네 배로 키운 특징 두 벌(합성곱의 입력과 출력)에 작업 공간을 더해 두 벌 반쯤이 함께 산다.
    return largest_activation(network) * size * 11 // 4


def memory_budget(device: torch.device, per_pixel: int) -> int:
    """한 배치의 활성값에 써도 되는 메모리(바이트)."""
    if device.type == "cuda":
        free, _ = torch.cuda.mem_get_info(device)
        cached = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
        return int((free + cached) * DEVICE_SHARE)
    if device.type == "xpu":
        free, _ = torch.xpu.mem_get_info(device)
        return int(free * DEVICE_SHARE)
    if device.type == "mps":
        spare = torch.mps.recommended_max_memory() - torch.mps.driver_allocated_memory()
        return int(max(spare, CPU_BUDGET) * DEVICE_SHARE)
    wanted = CPU_BUDGET if per_pixel * COMFORTABLE_TILE**2 <= CPU_BUDGET else CPU_BUDGET_HEAVY
    return min(wanted, int(available_memory() * HOST_SHARE))


def auto_tile(shape: tuple[int, int], budget: int, per_pixel: int, *, pad: int, multiple: int = 1) -> int:
    """예산에 들어가는 가장 큰 타일을 고른다.

    Args:
        shape: `(높이, 너비)`, 픽셀.
        budget: 활성값에 쓸 메모리(바이트).
        per_pixel: 입력 픽셀 하나에 드는 바이트.
        pad: 타일의 패딩(픽셀). 한 변에 두 번 더해진다.
        multiple: 타일을 맞출 배수.

    Returns:
        타일 한 변(픽셀). 통째로 들어가면 0.
    """
    height, width = shape
    pixels = budget // max(per_pixel, 1)
    if height * width <= pixels:
        return 0
    side = max(math.isqrt(max(pixels, 1)) - 2 * pad, SMALLEST_AUTO_TILE)
    return balanced_tile(height, width, side, multiple)


def describe_bytes(count: float) -> str:
    """바이트 수를 사람이 읽는 단위로 적는다."""
    units: Mapping[str, int] = {"GB": 1 << 30, "MB": MIB, "KB": 1 << 10}
    for unit, size in units.items():
        if count >= size:
            return f"{count / size:.1f}{unit}"
    return f"{int(count)}B"
