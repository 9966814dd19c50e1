"""장치(device)와 정밀도(precision)를 고르고, 쓸 수 있는 메모리를 정한다."""

from __future__ import annotations

import logging
import sys

import torch

from realesrgan.errors import DeviceError
from realesrgan.util.machine import available_memory

logger = logging.getLogger(__name__)

PRECISION_DTYPES = {"fp32": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16}
DEVICE_HELP = "cpu, cuda, cuda:N, mps, xpu"
MIB = 1 << 20
# CPU에서는 타일이 이보다 크다고 빨라지지 않는다. 가벼운 네트워크는 작은 예산으로도 충분한 타일을 얻는다.
CPU_BUDGET = 384 * MIB
# 무거운 네트워크의 타일이 이 크기에 못 미치면 예산을 여기까지 늘린다.
CPU_BUDGET_HEAVY = 2048 * MIB
COMFORTABLE_TILE = 384
# 할당기의 조각과 작업 공간을 위해 남겨 두는 몫.
DEVICE_SHARE = 0.7
HOST_SHARE = 0.25
# 텐서 크기의 한도에 두는 여유. 패딩이 더해지고 안에서 조금 더 큰 작업 텐서를 만들기도 한다.
TENSOR_SHARE = 0.8


def choose_device(name: str | torch.device | None = None) -> torch.device:
    """쓸 수 있는 장치를 고른다.

    Args:
        name: `cpu`, `cuda`, `cuda:N`, `mps`, `xpu`. 없거나 `auto`면 CUDA, XPU, MPS, CPU 순서로 있는 것을 쓴다.

    Raises:
        DeviceError: 이름을 모르거나 그 장치가 이 컴퓨터에 없을 때.
    """
    if name is None or name == "auto":
        for kind in ("cuda", "xpu", "mps"):
            if _count(kind):
                return torch.device(kind)
        return torch.device("cpu")
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise DeviceError(f"모르는 장치입니다: {name}\n  쓸 수 있는 이름: {DEVICE_HELP}") from error
    count = _count(device.type)
    if device.type not in ("cpu", "cuda", "mps", "xpu"):
        raise DeviceError(f"지원하지 않는 장치입니다: {name}\n  쓸 수 있는 이름: {DEVICE_HELP}")
    if count == 0:
        raise DeviceError(
            f"장치 {name}을(를) 쓸 수 없습니다.\n"
            "  이 컴퓨터에 그 장치가 없거나, 설치된 PyTorch가 그 장치를 지원하지 않는 빌드입니다.\n"
            "  해결: --device cpu로 실행하거나, 장치에 맞는 PyTorch를 설치하세요."
        )
    if device.index is not None and device.index >= count:
        raise DeviceError(
            f"장치 {name}이(가) 없습니다. 이 컴퓨터의 {device.type} 장치는 {count}개입니다.\n"
            f"  해결: 번호를 0에서 {count - 1} 사이로 고르세요."
        )
    return device


def _count(kind: str) -> int:
    """그 종류의 쓸 수 있는 장치 수."""
    if kind == "cpu":
        return 1
    if kind == "cuda":
        return torch.cuda.device_count() if torch.cuda.is_available() else 0
    if kind == "xpu":
        return torch.xpu.device_count() if torch.xpu.is_available() else 0
    if kind == "mps":
        return int(torch.backends.mps.is_available())
    return 0


def choose_precision(requested: str, device: torch.device) -> str:
    """장치에 맞는 정밀도를 고른다.

    Args:
        requested: `auto`, `fp32`, `fp16`, `bf16`. `auto`는 CUDA에서 fp16, 다른 곳에서 fp32.
        device: 장치.

    Returns:
        `fp32`, `fp16`, `bf16` 가운데 하나. CPU에서 fp16을 청하면 fp32로 돌리고 한 줄로 알린다. CPU의 반정밀도는
        빠르지 않고 정확도만 잃기 때문이다.

    Raises:
        DeviceError: 정밀도 이름을 모를 때.
    """
    if requested == "auto":
        return "fp16" if device.type == "cuda" else "fp32"
    if requested not in PRECISION_DTYPES:
        raise DeviceError(f"모르는 정밀도입니다: {requested}\n  쓸 수 있는 이름: auto, fp32, fp16, bf16")
    if requested == "fp16" and device.type == "cpu":
        logger.warning("CPU에서는 반정밀도(fp16)가 느리고 부정확하므로 fp32로 계산합니다.")
        return "fp32"
    return requested


def pixel_limit(device: torch.device, precision: str, largest_activation: float) -> int:
    """한 번에 장치에 넣어도 되는 픽셀 수의 한도. 메모리와 상관없는, 텐서 하나의 크기에서 오는 한도다.

    CUDA의 일부 연산은 값이 2^31개를 넘는 텐서에서 말없이 틀린 값을 내고, MPS는 2^32바이트를 넘으면 프로세스를 끝낸다.

    Args:
        device: 장치.
        precision: `fp32`, `fp16`, `bf16`.
        largest_activation: 입력 픽셀 하나에 대해 가장 큰 텐서 하나가 갖는 값의 수.
    """
    if device.type == "cpu":
        return sys.maxsize
    values = 2**31 - 1
    if device.type == "mps":
        values = min(values, 2**32 // PRECISION_DTYPES[precision].itemsize)
    return int(values * TENSOR_SHARE / largest_activation)


def memory_budget(device: torch.device, per_pixel: int) -> int:
    """한 배치의 활성값(activation)에 써도 되는 메모리(바이트). `per_pixel`은 입력 픽셀 하나에 드는 바이트다."""
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
