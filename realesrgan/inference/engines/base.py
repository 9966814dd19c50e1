"""엔진의 약속과 표, 장치(device)와 정밀도(precision)를 고르는 일.

엔진을 더하는 사람은 파일 하나와 이 표의 한 줄이면 된다.
"""

from __future__ import annotations

import importlib
import logging
import os
import sys
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

import torch
from torch import Tensor

from realesrgan.archs.base import activation_values, describes, network_scale, size_multiple
from realesrgan.errors import DeviceError, ExportError, MissingPackageError, OutOfMemoryError, UsageError
from realesrgan.util.files import cache_dir
from realesrgan.util.machine import available_memory
from realesrgan.util.optional import import_optional, is_installed

logger = logging.getLogger(__name__)

PRECISION_DTYPES = {"fp32": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16}
DEVICE_HELP = "cpu, cuda, cuda:N, mps, xpu, vulkan"
MIB = 1 << 20
# CPU에서는 타일이 이보다 크다고 빨라지지 않는다. 가벼운 네트워크는 작은 예산으로도 충분한 타일을 얻는다.
CPU_BUDGET = 384 * MIB
# 무거운 네트워크의 타일이 이 크기에 못 미치면 예산을 여기까지 늘린다.
CPU_BUDGET_HEAVY = 2048 * MIB
COMFORTABLE_TILE = 320
# 할당기의 조각과 작업 공간을 위해 남겨 두는 몫.
DEVICE_SHARE = 0.7
HOST_SHARE = 0.25
# 텐서 크기의 한도에 두는 여유. 패딩이 더해지고 안에서 조금 더 큰 작업 텐서를 만들기도 한다.
TENSOR_SHARE = 0.8


class Engine(Protocol):
    """`(N, 3, h, w)` float32 텐서, 0..1을 받아 `(N, 3, h*scale, w*scale)` float32 텐서를 돌려주는 것.

    입력의 `h`와 `w`는 `multiple`의 배수다. 입력은 어느 장치에 있어도 되고, 결과는 `device`에 있다. 메모리가 모자라면
    `realesrgan.errors.OutOfMemoryError`를 낸다. 여러 스레드가 동시에 불러도 된다.

    Attributes:
        name: 표의 이름.
        device: 결과가 놓이는 장치. 계산하는 장치가 이와 다르면(Vulkan) `place`에 둔다.
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
    max_pixels: int

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
        levels: 쓸 수 있는 장치의 종류와, 거기서 쓸 수 있는 정밀도들. 저마다 첫째가 `auto`일 때의 것이다. 비어 있으면
            PyTorch가 아는 모든 장치이고 정밀도는 장치를 따른다. 비어 있지 않으면 `create`는 `Place`를 받는다.
    """

    name: str
    module: str
    package: str = ""
    install: str = ""
    levels: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


@dataclass(frozen=True)
class Place:
    """PyTorch가 모르는 것까지 포함한 장치.

    Attributes:
        type: 종류(`cpu`, `vulkan`, `tensorrt`).
        index: 번호. 정하지 않았으면 None.
    """

    type: str
    index: int | None = None

    def __str__(self) -> str:
        return self.type if self.index is None else f"{self.type}:{self.index}"


AUTO = "auto"
# `--tune`이 이 기계에서 재어 고른 것을 적는, 사용자 캐시의 파일(`choices`).
CHOICES_FILE = "tune.json"
_FOLDER = "realesrgan.inference.engines"
ENGINES = {
    "torch": EngineRow("torch", f"{_FOLDER}.torch"),
    "compile": EngineRow("compile", f"{_FOLDER}.torch_compile"),
    "openvino": EngineRow(
        "openvino",
        f"{_FOLDER}.openvino",
        "openvino",
        'pip install "realesrgan[openvino]" 또는 pip install openvino',
        levels={"cpu": ("fp32", "bf16"), "gpu": ("fp16", "fp32"), "npu": ("fp16",)},
    ),
    "onnxruntime": EngineRow(
        "onnxruntime",
        f"{_FOLDER}.onnxruntime",
        "onnxruntime",
        'pip install "realesrgan[export]" 또는 pip install onnx onnxruntime',
        levels={
            "cpu": ("fp32",),
            **dict.fromkeys(("cuda", "tensorrt", "dml", "migraphx", "webgpu"), ("fp16", "fp32")),
            **dict.fromkeys(("coreml", "openvino"), ("fp32",)),
        },
    ),
    "ncnn": EngineRow(
        "ncnn",
        f"{_FOLDER}.ncnn",
        "ncnn",
        "pip install -U ncnn",
        levels={"cpu": ("fp32", "bf16"), "vulkan": ("fp32", "fp16")},
    ),
}


def register_engine(row: EngineRow) -> EngineRow:
    """표에 한 줄을 더한다.

    Raises:
        ValueError: 같은 이름이 이미 있을 때.
    """
    if row.name in ENGINES and ENGINES[row.name] != row:
        raise ValueError(f"같은 이름의 엔진이 이미 있습니다: {row.name}")
    ENGINES[row.name] = row
    return row


def choose_engine(backend: str = AUTO) -> EngineRow:
    """이름의 엔진을 고르고 그 패키지를 불러올 수 있는지 본다. 네트워크를 모르므로 `auto`는 torch로 본다.

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


# 장치의 종류와 그 쓸 수 있는 수.
DEVICE_COUNTS: dict[str, Callable[[], int]] = {
    "cuda": lambda: torch.cuda.device_count() if torch.cuda.is_available() else 0,
    "xpu": lambda: torch.xpu.device_count() if torch.xpu.is_available() else 0,
    "mps": lambda: int(torch.backends.mps.is_available()),
    "cpu": lambda: 1,
}


def choose_device(name: str | torch.device | None = None) -> torch.device:
    """쓸 수 있는 장치를 고른다.

    Args:
        name: `cpu`, `cuda`, `cuda:N`, `mps`, `xpu`. 없거나 `auto`면 CUDA, XPU, MPS, CPU 순서로 있는 것을 쓴다.

    Raises:
        DeviceError: 이름을 모르거나 그 장치가 이 컴퓨터에 없을 때.
    """
    if name is None or name == "auto":
        return torch.device(next(kind for kind, count in DEVICE_COUNTS.items() if count()))
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise DeviceError(f"모르는 장치입니다: {name}\n  쓸 수 있는 이름: {DEVICE_HELP}") from error
    if device.type not in DEVICE_COUNTS:
        raise DeviceError(f"지원하지 않는 장치입니다: {name}\n  쓸 수 있는 이름: {DEVICE_HELP}")
    count = DEVICE_COUNTS[device.type]()
    if count == 0:
        raise DeviceError(
            f"쓸 수 없는 장치입니다: {name}\n"
            "  이 컴퓨터에 그 장치가 없거나, 설치된 PyTorch가 그 장치를 지원하지 않는 빌드입니다.\n"
            "  해결: --device cpu로 실행하거나, 장치에 맞는 PyTorch를 설치하세요."
        )
    if device.index is not None and device.index >= count:
        raise DeviceError(
            f"없는 장치입니다: {name}. 이 컴퓨터의 {device.type} 장치는 {count}개입니다.\n"
            f"  해결: 번호를 0에서 {count - 1} 사이로 고르세요."
        )
    return device


def choose_precision(requested: str, device: torch.device, network: Any = None) -> str:
    """장치에 맞는 정밀도를 고른다.

    Args:
        requested: `auto`, `fp32`, `fp16`, `bf16`. `auto`는 CUDA에서 fp16, bf16의 명령을 가진 CPU에서 bf16, 다른 곳에서
            fp32.
        device: 장치.
        network: 돌릴 네트워크. CPU의 `auto`는 양 끝의 층(`edge_layers`)을 아는 네트워크에서만 bf16이다.

    Returns:
        `fp32`, `fp16`, `bf16` 가운데 하나. CPU에서 fp16을 청하면 fp32로 돌리고 한 줄로 알린다. CPU의 반정밀도는
        빠르지 않고 정확도만 잃기 때문이다.

    Raises:
        DeviceError: 정밀도 이름을 모를 때.
    """
    if requested == AUTO:
        if device.type == "cpu" and describes(network, "edge_layers"):
            from realesrgan.inference.engines.torch import prefers_bf16

            return "bf16" if prefers_bf16() else "fp32"
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
    wanted = min(max(CPU_BUDGET, per_pixel * COMFORTABLE_TILE**2), CPU_BUDGET_HEAVY)
    return min(wanted, int(available_memory() * HOST_SHARE))


_COMPUTED = threading.Event()


def _compute_alone() -> None:
    """갈라져 나온(fork) 프로세스에서는 스레드 하나로 계산한다.

    부모가 쓰던 OpenMP의 스레드는 따라오지 않는데 OpenMP는 있는 줄 알고 끝없이 기다린다. 부모가 계산한 적이 없으면
    그대로 둔다.
    """
    if _COMPUTED.is_set():
        torch.set_num_threads(1)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_compute_alone)


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
    _COMPUTED.set()
    ways = [(backend, device, precision)] if backend != AUTO else _by_speed(network, device, precision)
    for (name, where, asked), following in zip(ways, [*ways[1:], None], strict=True):
        try:
            row = ENGINES.get(name)
            if row is None or row.package:
                row = choose_engine(name)
            place: torch.device | Place
            if row.levels:
                place, level = _settle(row, where, asked)
            else:
                place = choose_device(where)
                level = choose_precision(asked, place, network)
            if level == "fp16" and not getattr(network, "supports_half", True):
                logger.warning("이 네트워크는 반정밀도(fp16)에서 값이 넘치므로 fp32로 계산합니다.")
                level = "fp32"
            scale = scale or network_scale(network)
            if scale is None:
                raise UsageError(
                    f"네트워크의 배율을 알 수 없습니다: {type(network).__name__}\n"
                    "  해결: 클래스에 정수 속성 scale을 두거나, RealESRGANer에서는 scale 인자를 주세요."
                )
            create = importlib.import_module(row.module).create
            found: Engine = create(network, place, level, scale, multiple or size_multiple(network))
            return found
        except (MissingPackageError, DeviceError, ExportError) as error:
            # 스스로 고른 것을 쓸 수 없으면 다음 것으로 간다. 사용자가 고른 것이면 오류다.
            if following is None:
                raise
            logger.warning("%s 엔진을 쓸 수 없어 %s 엔진으로 계산합니다. %s", name, following[0], in_one_line(error))
    raise AssertionError("엔진의 후보가 없습니다.")


def _settle(row: EngineRow, device: str | torch.device | None, precision: str) -> tuple[Place, str]:
    """`levels`를 가진 엔진이 쓸 장치와 정밀도를 정한다.

    Raises:
        DeviceError: 엔진이 그 장치나 정밀도를 쓸 수 없을 때.
    """
    kind, _, number = str(next(iter(row.levels)) if device in (None, AUTO) else device).partition(":")
    if kind not in row.levels or not (number.isdecimal() or not number):
        raise DeviceError(
            f"{row.name} 엔진은 장치 {device}에서 돌지 못합니다.\n  쓸 수 있는 장치: {', '.join(row.levels)}\n"
            "  해결: --device를 빼거나 --backend torch를 쓰세요."
        )
    levels = row.levels[kind]
    level = levels[0] if precision == AUTO else precision
    if level == "fp16" and kind == "cpu" and row.name == "ncnn":
        level = choose_precision(level, torch.device("cpu"))
    if level not in levels:
        raise DeviceError(
            f"{row.name} 엔진은 {kind}에서 정밀도 {precision}으로 계산하지 못합니다.\n  쓸 수 있는 정밀도: "
            f"{', '.join((AUTO, *levels))}\n  해결: --precision을 고치거나 --backend torch를 쓰세요."
        )
    return Place(kind, int(number) if number else None), level


def engine_packages() -> tuple[str, ...]:
    """표의 엔진들에 필요한 패키지들."""
    return tuple(dict.fromkeys(row.package for row in ENGINES.values() if row.package))


Way = tuple[str, str | torch.device | None, str]


def _by_speed(network: Any, device: str | torch.device | None, precision: str) -> list[Way]:
    """써 볼 `(엔진, 장치, 정밀도)`들, 빠른 차례로.

    청한 장치와 정밀도에 맞으면 이 기계에서 재어 고른 것(`--tune`)이 먼저고, 다음이 잰 것으로 아는 것이다: CPU의 fp32는
    ncnn이 값을 지키면서 PyTorch의 1.5배에서 2.5배다. AMX를 가진 인텔에서는 0.7배에서 1.0배이고 메모리만 더 든다.
    """
    kind = str(device or AUTO).partition(":")[0]
    ways: list[Way] = []
    if isinstance(network, torch.nn.Module) and (cache_dir() / CHOICES_FILE).is_file():
        from realesrgan.inference.engines.choices import remembered

        chosen = remembered(network, engine_packages())
        usable = chosen is not None and chosen.backend in ENGINES and not hasattr(network, "_orig_mod")
        if chosen and usable and kind in (AUTO, chosen.device) and precision in (AUTO, chosen.precision):
            ways.append((chosen.backend, chosen.device if kind == AUTO else device, chosen.precision))
    cpu = torch.device("cpu")
    on_cpu = kind == "cpu" or (kind == AUTO and choose_device() == cpu)
    amx = getattr(torch.cpu, "_is_amx_tile_supported", bool)()
    able = on_cpu and not amx and is_installed("ncnn") and describes(network, "write_ncnn")
    if kind == "vulkan" or (able and choose_precision(precision, cpu, network) == "fp32"):
        ways.append(("ncnn", device, precision))
    if kind != "vulkan":
        ways.append(("torch", device, precision))
    return list(dict.fromkeys(ways))


def in_one_line(error: BaseException) -> str:
    """오류의 글에서 해결 방법을 뺀 것을 한 줄로 적는다. 글이 없으면 종류의 이름이다."""
    return " ".join(str(error).partition("\n  해결:")[0].split()) or type(error).__name__


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


def named_memory_error(error: BaseException) -> BaseException:
    """장치의 메모리 부족이면 이름 있는 예외를, 아니면 받은 예외를 돌려준다."""
    return OutOfMemoryError("장치 메모리가 모자랍니다.") if is_out_of_memory(error) else error
