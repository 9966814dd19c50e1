"""엔진의 이음매와 PyTorch 엔진. 타일러는 이 이음매만 안다."""

from __future__ import annotations

import copy
import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from realesrgan.errors import OutOfMemoryError
from realesrgan.inference.precision import PRECISION_DTYPES

logger = logging.getLogger(__name__)


class Engine(Protocol):
    """`(N, 3, h, w)` float32, 0..1을 받아 `(N, 3, h*scale, w*scale)` float32를 돌려주는 것.

    입력의 `h`와 `w`는 `multiple`의 배수다. 메모리가 모자라면 `realesrgan.errors.OutOfMemoryError`를 낸다.
    여러 스레드가 동시에 불러도 된다.
    """

    name: str
    precision: str
    scale: int
    multiple: int

    def __call__(self, batch: NDArray[np.float32]) -> NDArray[np.float32]:
        """배치 하나를 키운다."""
        ...

    def fallback(self) -> Engine | None:
        """더 높은 정밀도의 엔진. 이미 fp32면 없다."""
        ...

    def release(self) -> None:
        """메모리가 모자란 뒤, 쥐고 있던 여분을 장치에 돌려준다."""
        ...


def is_out_of_memory(error: BaseException) -> bool:
    """예외가 장치나 호스트의 메모리 부족인지 가린다."""
    if isinstance(error, (MemoryError, torch.OutOfMemoryError)):
        return True
    # CPU와 MPS, 그리고 cuDNN의 작업 공간은 메시지로만 구별된다.
    text = str(error).lower()
    signs = ("out of memory", "can't allocate memory", "not enough memory", "cudnn_status_alloc_failed")
    return isinstance(error, RuntimeError) and any(sign in text for sign in signs)


@contextmanager
def _memory_errors() -> Iterator[None]:
    """장치의 메모리 부족을 이름 있는 예외로 바꾼다."""
    try:
        yield
    except (RuntimeError, MemoryError) as error:
        if is_out_of_memory(error):
            raise OutOfMemoryError("장치 메모리가 모자랍니다.") from error
        raise


class TorchEngine:
    """PyTorch 네트워크를 부르는 엔진.

    Args:
        network: `(N, 3, h, w)`를 키우는 모듈. `device`와 `precision`에 이미 놓여 있어야 한다.
        device: 장치.
        precision: `fp32`, `fp16`, `bf16`.
        scale: 네트워크의 업스케일 배율.
        multiple: 입력 크기가 맞춰야 하는 배수.
        full_network: 낮은 정밀도가 NaN을 낼 때 대신 쓸 fp32 원본(CPU에 둔다). `precision`이 fp32면 쓰지 않는다.
    """

    name = "torch"

    def __init__(
        self,
        network: nn.Module,
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
        self._dtype = PRECISION_DTYPES[precision]
        self._full_network = full_network
        self._fallback: TorchEngine | None = None
        self._lock = threading.Lock()

    def __call__(self, batch: NDArray[np.float32]) -> NDArray[np.float32]:
        """배치 하나를 키운다.

        Raises:
            OutOfMemoryError: 장치 메모리가 모자랄 때.
        """
        with _memory_errors():
            return self._run(torch.from_numpy(batch)).to("cpu", torch.float32).numpy()

    def on_device(self, batch: Tensor) -> Tensor:
        """`(N, 3, h, w)` 텐서를 키워, 장치에 그대로 둔 float32 텐서로 돌려준다.

        Raises:
            OutOfMemoryError: 장치 메모리가 모자랄 때.
        """
        with _memory_errors():
            return self._run(batch).to(torch.float32)

    def _run(self, batch: Tensor) -> Tensor:
        with torch.inference_mode():
            tensor = batch.to(self.device, self._input_dtype())
            return self.network(tensor.contiguous(memory_format=torch.channels_last))

    def _input_dtype(self) -> torch.dtype:
        """네트워크가 지금 쓰는 자료형. 밖에서 `model.float()`처럼 바꾸어도 따라간다."""
        parameter = next(self.network.parameters(), None)
        return parameter.dtype if parameter is not None and parameter.is_floating_point() else self._dtype

    def fallback(self) -> TorchEngine | None:
        """fp32로 도는 같은 네트워크. 처음 부를 때 만들고 다시 쓴다."""
        if self.precision == "fp32" or self._full_network is None:
            return None
        with self._lock:
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
