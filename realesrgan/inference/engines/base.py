"""엔진의 약속과 표. 엔진을 더하는 사람은 파일 하나와 이 표의 한 줄이면 된다."""

from __future__ import annotations

import importlib
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor

from realesrgan.archs.base import activation_values, network_scale, size_multiple
from realesrgan.errors import DeviceError, OutOfMemoryError, UsageError
from realesrgan.inference.engines.devices import PRECISION_DTYPES, choose_device, choose_precision
from realesrgan.util.optional import import_optional

logger = logging.getLogger(__name__)


class Engine(Protocol):
    """`(N, 3, h, w)` float32 텐서, 0..1을 받아 `(N, 3, h*scale, w*scale)` float32 텐서를 돌려주는 것.

    입력의 `h`와 `w`는 `multiple`의 배수다. 입력은 어느 장치에 있어도 되고, 결과는 `device`에 있다. 메모리가 모자라면
    `realesrgan.errors.OutOfMemoryError`를 낸다. 여러 스레드가 동시에 불러도 된다.

    Attributes:
        name: 표의 이름.
        device: 결과가 놓이는 장치.
        precision: `fp32`, `fp16`, `bf16` 가운데 하나.
        scale: 업스케일 배율.
        multiple: 입력의 두 변이 맞춰야 하는 배수.
        max_pixels: 한 번에 넣어도 되는 픽셀 수.
    """

    name: str
    device: torch.device
    precision: str
    scale: int
    multiple: int

    @property
    def max_pixels(self) -> int:
        """한 번에 넣어도 되는 픽셀 수."""
        ...

    def __call__(self, batch: Tensor) -> Tensor:
        """배치 하나를 키운다."""
        ...

    def memory(self, height: int, width: int) -> int:
        """`(1, 3, height, width)` 하나를 키우는 데 드는 메모리의 어림(바이트)."""
        ...

    def fallback(self) -> Engine | None:
        """더 높은 정밀도의 엔진. 이미 fp32면 없다."""
        ...

    def release(self) -> None:
        """메모리가 모자란 뒤, 쥐고 있던 여분을 장치에 돌려준다."""
        ...


@dataclass(frozen=True)
class EngineRow:
    """표의 한 줄.

    Attributes:
        name: `--backend`에 적는 이름.
        module: 엔진이 든 모듈. `create(network, device, precision, scale, multiple)`를 가진다.
        package: 필요한 패키지. 없으면 빈 글.
        install: 그 패키지를 설치하는 명령.
        devices: 쓸 수 있는 장치의 종류. 첫째가 `auto`일 때의 장치다. 비어 있으면 PyTorch가 아는 모든 장치다.
        precisions: 쓸 수 있는 정밀도. 첫째가 `auto`일 때의 정밀도다. 비어 있으면 장치를 따른다.
    """

    name: str
    module: str
    package: str = ""
    install: str = ""
    devices: tuple[str, ...] = ()
    precisions: tuple[str, ...] = ()


ENGINES: dict[str, EngineRow] = {}
AUTO = "auto"


def register_engine(row: EngineRow) -> EngineRow:
    """표에 한 줄을 더한다.

    Raises:
        ValueError: 같은 이름이 이미 있을 때.
    """
    if row.name in ENGINES and ENGINES[row.name] != row:
        raise ValueError(f"같은 이름의 엔진이 이미 있습니다: {row.name}")
    ENGINES[row.name] = row
    return row


_FOLDER = "realesrgan.inference.engines"
register_engine(EngineRow("torch", f"{_FOLDER}.torch"))
register_engine(
    EngineRow(
        "openvino",
        f"{_FOLDER}.openvino",
        "openvino",
        'pip install "realesrgan[openvino]" 또는 pip install openvino',
        devices=("cpu",),
        precisions=("fp32", "bf16"),
    )
)
register_engine(
    EngineRow(
        "onnxruntime",
        f"{_FOLDER}.onnxruntime",
        "onnxruntime",
        'pip install "realesrgan[export]" 또는 pip install onnx onnxruntime',
        devices=("cpu",),
        precisions=("fp32",),
    )
)


def choose_engine(backend: str = AUTO) -> EngineRow:
    """이름의 엔진을 고르고 그 패키지를 불러올 수 있는지 본다. `auto`는 torch다.

    Raises:
        UsageError: 모르는 이름일 때.
        MissingPackageError: 필요한 패키지가 없을 때. 설치 명령을 담는다.
    """
    name = "torch" if backend == AUTO else backend
    if name not in ENGINES:
        raise UsageError(f"모르는 엔진입니다: {backend}\n  쓸 수 있는 이름: {', '.join((AUTO, *ENGINES))}")
    row = ENGINES[name]
    if row.package:
        import_optional(row.package, f"{row.name} 엔진(--backend {row.name})을 쓰려면", row.install)
    return row


def create_engine(
    network: Any,
    *,
    backend: str = AUTO,
    device: str | torch.device | None = None,
    precision: str = AUTO,
    scale: int | None = None,
    multiple: int | None = None,
) -> Engine:
    """네트워크를 돌릴 엔진을 만든다.

    Args:
        network: `(N, 3, h, w)`를 키우는 CPU의 fp32 네트워크. torch 엔진에는 부를 수 있는 아무것이나 된다.
        backend: 엔진의 이름이나 `auto`.
        device: 장치. 없거나 `auto`면 엔진이 쓸 수 있는 가장 빠른 것.
        precision: `auto`, `fp32`, `fp16`, `bf16`.
        scale, multiple: 배율과 크기의 배수. 없으면 네트워크에게 묻는다.

    Raises:
        UsageError: 모르는 엔진이거나 배율을 알 수 없을 때.
        DeviceError: 장치나 정밀도를 쓸 수 없을 때.
        MissingPackageError: 필요한 패키지가 없을 때.
    """
    row = choose_engine(backend)
    place, level = _place(row, device), precision
    if row.precisions:
        level = row.precisions[0] if precision == AUTO else precision
        if level not in row.precisions:
            raise DeviceError(
                f"{row.name} 엔진은 정밀도 {precision}으로 계산하지 못합니다.\n  쓸 수 있는 정밀도: "
                f"{', '.join((AUTO, *row.precisions))}\n  해결: --precision을 고치거나 --backend torch를 쓰세요."
            )
    level = choose_precision(level, place)
    if level == "fp16" and not getattr(network, "supports_half", True):
        logger.warning("이 네트워크는 반정밀도(fp16)에서 값이 넘치므로 fp32로 계산합니다.")
        level = "fp32"
    scale = scale or network_scale(network)
    if scale is None:
        raise UsageError(
            f"네트워크의 배율을 알 수 없습니다: {type(network).__name__}\n"
            "  해결: 클래스에 정수 속성 scale을 두거나, RealESRGANer에서는 scale 인자를 주세요."
        )
    found: Engine = importlib.import_module(row.module).create(
        network, place, level, scale, multiple or size_multiple(network)
    )
    return found


def _place(row: EngineRow, device: str | torch.device | None) -> torch.device:
    if not row.devices:
        return choose_device(device)
    if device is None or device == AUTO:
        return torch.device(row.devices[0])
    place = torch.device(device)
    if place.type not in row.devices:
        raise DeviceError(
            f"{row.name} 엔진은 장치 {device}에서 돌지 못합니다.\n  쓸 수 있는 장치: {', '.join(row.devices)}\n"
            "  해결: --device를 빼거나 --backend torch를 쓰세요."
        )
    return place


def estimate_memory(network: Any, precision: str, height: int, width: int) -> int:
    """`(1, 3, height, width)`를 키우는 동안의 활성값(activation) 메모리의 최댓값을 어림한다(바이트)."""
    return int(activation_values(network).peak * PRECISION_DTYPES[precision].itemsize * height * width)


def is_out_of_memory(error: BaseException) -> bool:
    """예외가 장치나 호스트의 메모리 부족인지 가린다."""
    if isinstance(error, (MemoryError, torch.OutOfMemoryError)):
        return True
    # CPU와 MPS, 그리고 cuDNN의 작업 공간은 메시지로만 구별된다.
    text = str(error).lower()
    signs = ("out of memory", "can't allocate memory", "not enough memory", "cudnn_status_alloc_failed", "bad_alloc")
    return isinstance(error, RuntimeError) and any(sign in text for sign in signs)


@contextmanager
def memory_errors() -> Iterator[None]:
    """장치의 메모리 부족을 이름 있는 예외로 바꾼다."""
    try:
        yield
    except (RuntimeError, MemoryError) as error:
        if is_out_of_memory(error):
            raise OutOfMemoryError("장치 메모리가 모자랍니다.") from error
        raise
