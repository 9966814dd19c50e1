"""널리 쓰이는 구현이 하는 일을 그대로 적은 기준. 결과가 같은지 견줄 때만 쓴다."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from torch.nn import functional


def _run(network: nn.Module, rgb: NDArray[np.float32], scale: int, pre_pad: int) -> NDArray[np.float32]:
    tensor = torch.from_numpy(np.ascontiguousarray(rgb.transpose(2, 0, 1)))[None]
    if pre_pad:
        tensor = functional.pad(tensor, (0, pre_pad, 0, pre_pad), "reflect")
    multiple = {2: 2, 1: 4}.get(scale, 1)
    below, right = -tensor.shape[2] % multiple, -tensor.shape[3] % multiple
    tensor = functional.pad(tensor, (0, right, 0, below), "reflect")
    with torch.no_grad():
        output = network(tensor)
    height = output.shape[2] - (below + pre_pad) * scale
    width = output.shape[3] - (right + pre_pad) * scale
    planes = output[0, [2, 1, 0], :height, :width].clamp(0, 1).numpy()
    return np.ascontiguousarray(planes.transpose(1, 2, 0))


def enhance(
    network: nn.Module,
    scale: int,
    image: NDArray[Any],
    outscale: float | None = None,
    *,
    pre_pad: int = 10,
    alpha_upsampler: str = "realesrgan",
) -> NDArray[Any]:
    """한 장을 통째로 키운다. 인자와 결과는 `RealESRGANer.enhance`와 같다."""
    height, width = image.shape[:2]
    maximum = 65535 if image.dtype == np.uint16 else 255
    scaled = image.astype(np.float32) / maximum
    if scaled.ndim == 2:
        color = _run(network, cv2.cvtColor(scaled, cv2.COLOR_GRAY2RGB), scale, pre_pad)
        output = cv2.cvtColor(color, cv2.COLOR_BGR2GRAY)
    else:
        output = _run(network, np.ascontiguousarray(scaled[:, :, 2::-1]), scale, pre_pad)
    if image.ndim == 3 and image.shape[2] == 4:
        alpha = np.ascontiguousarray(scaled[:, :, 3])
        if alpha_upsampler == "realesrgan":
            tripled = _run(network, cv2.cvtColor(alpha, cv2.COLOR_GRAY2RGB), scale, pre_pad)
            alpha = cv2.cvtColor(tripled, cv2.COLOR_BGR2GRAY)
        else:
            alpha = cv2.resize(alpha, (width * scale, height * scale), interpolation=cv2.INTER_LINEAR)
        output = np.dstack([output, alpha])
    result = (output * maximum).round().astype(np.uint16 if maximum == 65535 else np.uint8)
    if outscale is not None and outscale != float(scale):
        size = (int(width * outscale), int(height * outscale))
        result = cv2.resize(result, size, interpolation=cv2.INTER_LANCZOS4)
    return result
