"""PyTorch 엔진."""

from __future__ import annotations

import copy
import sys
import threading
from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from realesrgan.archs.base import activation_values
from realesrgan.inference.engines.base import PRECISION_DTYPES, named_memory_error, pixel_limit
from realesrgan.inference.engines.mixed_precision import EdgeConv, to_bf16

# 엔진마다 두지 않는다. 자물쇠를 가진 객체는 복사(copy.deepcopy)할 수 없다.
_FALLBACK_LOCK = threading.Lock()


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
        layers = network.modules() if isinstance(network, nn.Module) else ()
        self._reads_fp32 = any(isinstance(layer, EdgeConv) for layer in layers)
        if self._reads_fp32:
            # 결과는 fp32이고, 마지막 합성곱이 그 사본을 조금씩 만든다.
            self._bytes_per_pixel += 2 * 3 * scale**2 * torch.float32.itemsize
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
            output = function(tensor.contiguous(memory_format=packed))
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
