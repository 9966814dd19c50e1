"""장치(device)와 정밀도(precision)를 고른다."""

from __future__ import annotations

import logging

import torch

from realesrgan.errors import DeviceError

logger = logging.getLogger(__name__)

PRECISION_DTYPES = {"fp32": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16}
DEVICE_HELP = "cpu, cuda, cuda:N, mps, xpu"


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
