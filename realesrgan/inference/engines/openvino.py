"""OpenVINO 엔진. 인텔과 AMD의 CPU에서 PyTorch보다 빠를 때가 많고, 인텔의 GPU와 NPU에서도 돈다."""

from __future__ import annotations

import io
import os
import threading
import warnings
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from realesrgan.errors import DeviceError, ExportError
from realesrgan.inference.engines.base import ENGINES, Place, estimate_memory, named_memory_error
from realesrgan.inference.engines.compiled import compiled_folder, load_compiled, model_key
from realesrgan.util.optional import import_optional

_TRACED_SIDE = 12
_INFO = "realesrgan"
_WAIT_MILLISECONDS = 100
_HINTS = {"fp32": "f32", "bf16": "bf16", "fp16": "f16"}


def convert(network: nn.Module, multiple: int) -> Any:
    """네트워크를 배치와 크기가 정해지지 않은 OpenVINO 모델로 바꾼다. ONNX를 거치지 않는다.

    Raises:
        MissingPackageError: openvino가 없을 때.
        ExportError: 바꿀 수 없는 네트워크일 때.
    """
    openvino = import_optional("openvino", "OpenVINO로 바꾸려면", ENGINES["openvino"].install)
    side = _TRACED_SIDE * multiple
    example = torch.rand(1, 3, side, side + 4 * multiple)
    try:
        with warnings.catch_warnings():
            # OpenVINO가 안에서 쓰는 추적(tracing)이 torch에서 낡았다는 알림이다. 결과는 본래와 견주어 확인한다.
            warnings.simplefilter("ignore")
            model = openvino.convert_model(network, example_input=example, input=openvino.PartialShape([-1, 3, -1, -1]))
    except Exception as error:
        # openvino의 예외들은 공통된 바탕 클래스를 내보이지 않는다.
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise ExportError(
            f"OpenVINO로 바꾸지 못했습니다: {type(network).__name__}\n  {reason}\n  해결: --backend torch를 쓰세요."
        ) from error
    model.inputs[0].get_tensor().set_names({"input"})
    model.outputs[0].get_tensor().set_names({"output"})
    return model


def create(network: nn.Module, device: Place, precision: str, scale: int, multiple: int) -> OpenVinoEngine:
    """네트워크를 바꾸어(캐시에 있으면 그것으로) 엔진을 만든다.

    Raises:
        DeviceError: OpenVINO가 그 장치를 찾지 못할 때.
    """
    openvino = import_optional("openvino", "OpenVINO로 바꾸려면", ENGINES["openvino"].install)
    name = find_device(device)

    def make() -> bytes:
        model = convert(network, multiple)
        options = {"INFERENCE_PRECISION_HINT": "f32"}
        exported: bytes = _core().compile_model(model, "CPU", options).export_model().getvalue()
        return exported

    if name != "CPU":
        # 장치마다의 꼴은 크고 드라이버를 탄다. OpenVINO가 제 캐시(CACHE_DIR)에서 스스로 가린다.
        model = convert(network, multiple)
        engine = OpenVinoEngine(model, precision=precision, scale=scale, multiple=multiple, place=device)
    else:

        def load(content: bytes) -> OpenVinoEngine:
            return OpenVinoEngine(content, precision=precision, scale=scale, multiple=multiple)

        key = model_key(network, "openvino", openvino.__version__, multiple)
        engine = load_compiled(key, make, load)
        # 바이트를 들고 있지 않고, 다시 실어야 할 때 캐시에서 읽는다.
        engine._content = partial(load_compiled, key, make, bytes)
    engine.network = network
    return engine


def present_devices() -> tuple[str, ...]:
    """이 기계에 있는 장치의 종류."""
    return tuple(name.partition(".")[0].lower() for name in _core().available_devices)


def find_device(place: Place) -> str:
    """OpenVINO가 부르는 장치의 이름(`CPU`, `GPU`, `GPU.1`, `NPU`).

    Raises:
        DeviceError: 없을 때. 있는 것을 알려 준다.
    """
    present = _core().available_devices
    name = place.type.upper()
    found = [one for one in present if one == name or one.startswith(f"{name}.")]
    wanted = name if place.index is None else f"{name}.{place.index}"
    if not found or (place.index and wanted not in found):
        names = ", ".join(one.lower().replace(".", ":") for one in present)
        raise DeviceError(
            f"OpenVINO가 찾지 못한 장치입니다: {place}\n  있는 것: {names}\n"
            "  해결: 있는 것을 고르거나, 인텔 GPU·NPU의 드라이버를 설치하세요."
        )
    return wanted if wanted in found else name


def _core() -> Any:
    return import_optional("openvino", "OpenVINO 모델을 돌리려면", ENGINES["openvino"].install).Core()


class OpenVinoEngine:
    """OpenVINO로 도는 엔진.

    Args:
        model: OpenVINO 모델, `.xml` 파일, 또는 `export_model`의 바이트.
        threads: 쓸 스레드 수. 없으면 OpenVINO가 정한다.
        precision: 계산할 정밀도 `fp32`, `bf16`, `fp16`.
        scale, multiple: 배율과 크기의 배수. 없으면 파일에 적힌 것을 쓴다.
        place: 계산할 장치. NPU는 크기가 정해진 모델만 돌리므로 크기마다 따로 짓는다.

    Raises:
        MissingPackageError: openvino가 없을 때.
        DeviceError: 그 장치가 없을 때.
        ExportError: 모델을 실을 수 없을 때.
    """

    name = "openvino"
    device = torch.device("cpu")
    max_pixels = 2**31 - 1
    prefers_tiles = True
    network: Any = None

    def __init__(
        self,
        model: Any,
        threads: int | None = None,
        *,
        precision: str = "fp32",
        scale: int | None = None,
        multiple: int | None = None,
        place: Place = Place("cpu"),  # noqa: B008 - 바꿀 수 없는 값이다
        fixed_size: bool | None = None,
    ) -> None:
        self._device_name = find_device(place)
        self._core = _core()
        # 적지 않으면 CPU에 따라 bf16으로 계산해 값이 달라진다.
        self._options: dict[str, Any] = {"INFERENCE_PRECISION_HINT": _HINTS[precision]}
        threads = threads or int(os.environ.get("OMP_NUM_THREADS") or 0)
        if place.type == "cpu":
            self._options |= {"INFERENCE_NUM_THREADS": threads} if threads else {}
        else:
            self._options["CACHE_DIR"] = str(compiled_folder() / "openvino")
        self._read: Any = None
        self._fixed = place.type == "npu" if fixed_size is None else fixed_size
        self._models: dict[tuple[int, ...], Any] = {}
        self._lock = threading.Lock()
        self._own = threading.local()
        try:
            if not isinstance(model, bytes):
                self._read = self._core.read_model(str(model)) if isinstance(model, (str, Path)) else model
            self._content: Callable[[], bytes] = partial(bytes, model) if isinstance(model, bytes) else bytes
            self._model_for(())
        except RuntimeError as error:
            raise ExportError(f"OpenVINO 모델을 실을 수 없습니다.\n  {str(error).splitlines()[0]}") from error
        self.place = place
        self.precision = precision
        self.scale = scale or int(_text(self._read, "scale", "4"))
        self.multiple = multiple or int(_text(self._read, "size_multiple", "1"))

    def __deepcopy__(self, memo: dict[int, Any]) -> OpenVinoEngine:
        # OpenVINO의 객체는 복사할 수 없다. 요청을 부를 때마다 만들므로 나누어 써도 된다.
        memo[id(self)] = self
        return self

    def _model_for(self, shape: tuple[int, ...]) -> Any:
        """그 크기를 돌릴 모델. 크기를 정하지 않는 장치에서는 언제나 하나다."""
        shape = shape if self._fixed else ()
        with self._lock:
            if shape not in self._models and (shape or not self._fixed):
                if self._read is None:
                    self._models[shape] = self._core.import_model(io.BytesIO(self._content()), "CPU", self._options)
                    return self._models[shape]
                model = self._read
                if shape:
                    model = self._read.clone()
                    model.reshape(list(shape))
                self._models[shape] = self._core.compile_model(model, self._device_name, self._options)
            return self._models.get(shape)

    def _request_for(self, shape: tuple[int, ...]) -> Any:
        """그 크기를 돌릴 요청. 스레드마다 하나를 두고 다시 써서 작업 공간을 새로 마련하지 않는다."""
        model = self._model_for(shape)
        if getattr(self._own, "model", None) is not model:
            self._own.model, self._own.request = model, model.create_infer_request()
        return self._own.request

    def memory(self, height: int, width: int) -> int:
        """`(1, 3, height, width)` 하나를 키우는 데 드는 메모리의 어림(바이트)."""
        return estimate_memory(self.network, "fp32", height, width)

    def __call__(self, batch: Tensor) -> Tensor:
        """배치 하나를 키운다.

        Raises:
            OutOfMemoryError: 메모리가 모자랄 때.
        """
        try:
            planes = np.ascontiguousarray(batch.to("cpu", torch.float32).numpy())
            if len(planes) == planes[0, 0].size == 1:
                # AMX를 가진 CPU에서 OpenVINO 2026.4의 bf16은 한 픽셀 하나만 키우면 0.8까지 틀린다. 둘이면 맞다.
                planes = np.repeat(planes, 2, 0)
            request = self._request_for(planes.shape)
            # 나누어 쓰지 않으면 OpenVINO가 큰 배열을 한 번씩 더 옮긴다. 결과는 다음 계산이 덮어쓰므로 옮겨 둔다.
            request.start_async({0: planes}, share_inputs=True)
            self._wait(request)
            return torch.from_numpy(np.array(request.get_output_tensor(0).data[: len(batch)]))
        except (RuntimeError, MemoryError) as error:
            raise named_memory_error(error) from error

    def _wait(self, request: Any) -> None:
        """계산이 끝나기를 기다린다. 사이사이 파이썬으로 돌아와 Ctrl-C를 받고, 받으면 계산을 그만둔다."""
        try:
            while not request.wait_for(_WAIT_MILLISECONDS):
                pass
            request.wait()
        except KeyboardInterrupt:
            request.cancel()
            with suppress(RuntimeError):  # 그만두었다는 오류다.
                request.wait()
            # 그만둔 모델은 층마다의 크기가 섞여 있어 다음 계산이 틀린다. 다시 싣는다.
            with self._lock:
                self._models.clear()
            raise

    def fallback(self) -> OpenVinoEngine | None:
        """fp32로 도는 엔진. 이미 fp32면 없다."""
        if self.precision == "fp32" or self.network is None:
            return None
        return create(self.network, self.place, "fp32", self.scale, self.multiple)

    def release(self) -> None:
        """쥐고 있는 여분이 없다."""


def _text(model: Any, key: str, otherwise: str) -> str:
    known = model is not None and model.has_rt_info([_INFO, key])
    return str(model.get_rt_info([_INFO, key]).astype(str)) if known else otherwise
