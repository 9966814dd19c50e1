"""ncnn 엔진. CPU에서는 Winograd 합성곱으로 fp32의 값을 지키면서 가장 빠르고, Vulkan으로 GPU에서도 돈다."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from realesrgan.archs.base import activation_values
from realesrgan.errors import DeviceError, ExportError, OutOfMemoryError, WeightsError
from realesrgan.inference.engines.base import ENGINES, Place, named_memory_error
from realesrgan.util.optional import import_optional
from realesrgan.zoo.ncnn import INPUT, OUTPUT, load_net, write_ncnn

# ncnn이 메모리를 얻지 못했을 때의 코드(layer.h).
_NO_MEMORY = -100
# Winograd의 변환까지 함께 사는, 가장 큰 텐서만 한 것의 수. 공식 모델들에서 잰 최대 상주 메모리에 맞추었다.
_TENSORS = 14
# 이보다 낮은 판의 bf16은 채널이 여덟인 네트워크에서 죽는다(잘못된 메모리 접근).
_SOUND_BF16 = 20260526
# Vulkan 장치의 종류 가운데 CPU(ncnn의 gpu.h).
_SOFTWARE = 3
# 한 엔진을 여러 작업자가 함께 부른다. 엔진마다 두면 복사할 수 없다.
_LOAD_LOCK = threading.Lock()


def create(network: Any, device: Place, precision: str, scale: int, multiple: int) -> NcnnEngine:
    """네트워크를 ncnn의 층으로 적어 엔진을 만든다. 파일을 거치지 않는다.

    Raises:
        ExportError: ncnn으로 적을 수 없는 네트워크일 때.
        DeviceError: 그 Vulkan 장치가 없을 때.
    """
    return NcnnEngine(network, device, precision, scale=scale, multiple=multiple)


def _release(ncnn: Any) -> int:
    """판의 날짜(`1.0.20261020`의 끝)."""
    last = str(ncnn.__version__).rpartition(".")[2]
    return int(last) if last.isdecimal() else 0


def present_devices() -> tuple[str, ...]:
    """이 기계에서 쓸 만한 장치의 종류. 소프트웨어로 흉내 낸 Vulkan 장치(llvmpipe)는 느려서 세지 않는다."""
    ncnn = import_optional("ncnn", "ncnn 엔진을 쓰려면", ENGINES["ncnn"].install)
    cards = [ncnn.get_gpu_info(index) for index in range(ncnn.get_gpu_count())]
    return ("cpu", "vulkan") if any(card.type() != _SOFTWARE for card in cards) else ("cpu",)


class NcnnEngine:
    """ncnn으로 도는 엔진.

    Args:
        network: `write_ncnn(graph)`를 가진 CPU의 fp32 네트워크.
        device: `cpu`나 `vulkan[:번호]`.
        precision: `fp32`, CPU에서는 `bf16`(값을 bf16으로 저장), Vulkan에서는 `fp16`.
        scale, multiple: 배율과 크기의 배수.

    Raises:
        MissingPackageError: ncnn이 없을 때.
        ExportError: ncnn으로 적을 수 없는 네트워크일 때.
        DeviceError: 그 Vulkan 장치가 없거나, 장치가 그 정밀도로 계산하지 못할 때.
    """

    name = "ncnn"
    # 결과는 언제나 호스트로 돌아온다.
    device = torch.device("cpu")
    max_pixels = 2**31 - 1
    # 띠는 PyTorch의 층으로 돌아 느리다. 수용 영역을 다 덮는 타일로 같은 결과를 낼 수 있으면 그쪽이 빠르다.
    prefers_tiles = True

    def __init__(self, network: nn.Module, device: Place, precision: str, *, scale: int, multiple: int) -> None:
        self._ncnn = import_optional("ncnn", "ncnn 엔진을 쓰려면", ENGINES["ncnn"].install)
        self.network = network
        self.place = device
        self.precision = precision
        self.scale = scale
        self.multiple = multiple
        try:
            self._text, self._data = write_ncnn(network)
        except WeightsError as error:
            raise ExportError(f"{error}\n  해결: --backend torch를 쓰세요.") from error
        self._vulkan = self._vulkan_index()
        self._nets: dict[int, Any] = {}

    def __deepcopy__(self, memo: dict[int, Any]) -> NcnnEngine:
        # ncnn의 객체는 복사할 수 없다. 상태가 없으므로 나누어 써도 된다.
        memo[id(self)] = self
        return self

    def _vulkan_index(self) -> int | None:
        """쓸 Vulkan 장치의 번호. CPU면 None."""
        if self.place.type == "cpu":
            if self.precision == "bf16" and _release(self._ncnn) < _SOUND_BF16:
                raise DeviceError(
                    f"ncnn {self._ncnn.__version__}의 bf16은 채널이 적은 네트워크에서 프로세스를 죽입니다.\n"
                    "  해결: pip install -U ncnn 뒤에 하거나, fp32를 쓰세요."
                )
            return None
        count = self._ncnn.get_gpu_count()
        index = self.place.index or 0
        if index >= count:
            raise DeviceError(
                f"없는 Vulkan 장치입니다: {index}번. 이 컴퓨터의 Vulkan 장치는 {count}개입니다.\n"
                "  해결: 그래픽 카드의 드라이버를 설치하거나 --device cpu를 쓰세요."
            )
        return index

    def _net(self) -> Any:
        """부른 스레드가 쓸 코어의 수로 돌 네트워크. ncnn은 실을 때의 수로만 돈다."""
        threads = torch.get_num_threads()
        with _LOAD_LOCK:
            if threads not in self._nets:
                self._nets[threads] = load_net(
                    self._text, self._data, vulkan=self._vulkan, low_precision=self.precision, threads=threads
                )
            return self._nets[threads]

    def _run_net(self, net: Any, planes: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        """`(C, h, w)` 하나를 계산한다. `ncnn.Mat`은 배열을 베끼지 않으므로 끝날 때까지 배열이 살아 있어야 한다."""
        source = self._ncnn.Mat(planes)
        if self._vulkan is not None:
            # 장치에 올릴 때는 채널마다 16바이트에 맞춘 배열로 본다. 베끼지 않은 것은 픽셀 수가 4의 배수일 때만 그렇다.
            source = source.clone()
        with net.create_extractor() as extractor:
            extractor.input(INPUT, source)
            code, output = extractor.extract(OUTPUT)
            if code == _NO_MEMORY:
                raise OutOfMemoryError("메모리가 모자랍니다.")
            if code != 0:
                raise ExportError(f"ncnn이 출력을 내지 못했습니다(코드 {code}).\n  해결: --backend torch를 쓰세요.")
            return np.array(output)

    def memory(self, height: int, width: int) -> int:
        """`(1, 3, height, width)` 하나를 키우는 데 드는 메모리의 어림(바이트)."""
        return int(_TENSORS * activation_values(self.network).largest * 4 * height * width)

    def __call__(self, batch: Tensor) -> Tensor:
        """배치 하나를 키운다.

        Raises:
            OutOfMemoryError: 메모리가 모자랄 때.
        """
        planes = np.ascontiguousarray(batch.to("cpu", torch.float32).numpy())
        return torch.from_numpy(np.stack([self._enlarge(plane) for plane in planes]))

    def _enlarge(self, planes: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        """`(3, h, w)` 하나를 키운다."""
        return self._run_net(self._net(), planes)

    @torch.inference_mode()
    def run(self, function: Callable[[Tensor], Tensor | None], batch: Tensor) -> Any:
        """네트워크를 띠로 이어 돌린다. 층은 PyTorch가 계산한다. 값은 fp32에서 같다.

        Raises:
            OutOfMemoryError: 메모리가 모자랄 때.
        """
        try:
            return function(batch.to("cpu", torch.float32).contiguous(memory_format=torch.channels_last))
        except (RuntimeError, MemoryError) as error:
            raise named_memory_error(error) from error

    def fallback(self) -> NcnnEngine | None:
        """fp32로 도는 엔진. 이미 fp32면 없다."""
        if self.precision == "fp32":
            return None
        return NcnnEngine(self.network, self.place, "fp32", scale=self.scale, multiple=self.multiple)

    def release(self) -> None:
        """쥐고 있는 여분이 없다."""
