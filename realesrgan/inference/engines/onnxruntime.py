"""ONNX Runtime 엔진."""

from __future__ import annotations

import copy
import io
import os
import threading
import warnings
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import torch
from torch import Tensor, nn

from realesrgan.errors import DeviceError, ExportError, OutOfMemoryError
from realesrgan.inference.engines.base import ENGINES, Place, estimate_memory, is_out_of_memory
from realesrgan.inference.engines.compiled import compiled_folder, load_compiled, model_key
from realesrgan.util.optional import import_optional, is_installed

DEFAULT_OPSET = 17
_TRACED_SIDE = 12
# 장치의 짧은 이름과 제공자(execution provider)의 이름.
PROVIDERS = {
    "cpu": "CPUExecutionProvider",
    "cuda": "CUDAExecutionProvider",
    "tensorrt": "TensorrtExecutionProvider",
    "dml": "DmlExecutionProvider",
    "coreml": "CoreMLExecutionProvider",
    "migraphx": "MIGraphXExecutionProvider",
    "webgpu": "WebGpuExecutionProvider",
    "openvino": "OpenVINOExecutionProvider",
}
# 제공자가 든 패키지.
_WHEELS = {
    "cuda": "pip install onnxruntime-gpu",
    "tensorrt": "pip install onnxruntime-gpu tensorrt",
    "cpu": "pip install onnxruntime",
    "dml": "pip install onnxruntime-directml (Windows)",
    "coreml": "pip install onnxruntime (macOS)",
    "migraphx": "pip install onnxruntime-migraphx (AMD, Linux)",
    "webgpu": "pip install onnxruntime-webgpu",
    "openvino": "pip install onnxruntime-openvino",
}
# 모델은 fp32로 두고 제공자가 스스로 fp16으로 바꾸는 것들.
_OWN_HALF = ("tensorrt", "migraphx")


def trace_onnx(network: nn.Module, multiple: int, opset: int = DEFAULT_OPSET) -> bytes:
    """네트워크를 ONNX 바이트로 바꾼다. 배치, 높이, 너비는 정해지지 않은 채로 둔다.

    torch의 내보내기는 둘이다. `torch.export`를 거치는 새 방식은 onnxscript가 더 필요하고 블록 여섯 개의 작은
    RRDBNet에도 몇십 초가 걸린다. 추적(tracing)하는 방식은 1초가 안 걸린다. 값에 따라 갈라지는 곳이 없는 네트워크라
    추적으로도 빠지는 것이 없고, 내보낸 것은 언제나 본래와 견주므로 추적하는 쪽을 쓴다.

    Args:
        network: `(N, 3, H, W)`를 키우는 네트워크.
        multiple: 입력의 두 변이 맞춰야 하는 배수.
        opset: ONNX 연산자 집합의 버전.

    Raises:
        MissingPackageError: onnx가 없을 때.
        ExportError: 그 버전으로는 내보낼 수 없을 때.
    """
    import_optional("onnx", "ONNX로 내보내려면", ENGINES["onnxruntime"].install)
    kind = next((one.dtype for one in network.parameters() if one.is_floating_point()), torch.float32)
    example = torch.rand(2, 3, _TRACED_SIDE * multiple, (_TRACED_SIDE + 4) * multiple).to(kind)
    axes = {"input": {0: "batch", 2: "height", 3: "width"}}
    axes["output"] = {0: "batch", 2: "out_height", 3: "out_width"}
    buffer = io.BytesIO()
    # 실패하면 그래프를 통째로 표준 출력에 쓰는데, 그것을 끄는 스위치(`_jit_set_onnx_log_enabled`)는 내보낼 때마다 다시
    # 켜진다. 거기로 이미지를 내보내는 중일 수도 있다.
    quiet = mock.patch.object(torch._C, "_jit_onnx_log", lambda *_: None, create=True)
    try:
        with warnings.catch_warnings(), quiet:
            # 추적 방식이 낡았다는 알림과, 크기를 배수로 나누는 곳이 상수가 된다는 알림이다. 뒤의 것은 견주면 드러난다.
            warnings.simplefilter("ignore")
            torch.onnx.export(
                network,
                (example,),
                buffer,  # type: ignore[arg-type]
                input_names=["input"],
                output_names=["output"],
                dynamic_axes=axes,
                opset_version=opset,
                dynamo=False,
            )
    except (RuntimeError, ValueError, TypeError) as error:
        advice = "--backend torch로 돌리거나 다른 형식으로 내보내세요."
        advice = f"--opset {DEFAULT_OPSET}을 쓰세요." if opset < DEFAULT_OPSET else advice
        raise ExportError(
            f"ONNX(opset {opset})로 내보내지 못했습니다.\n  이유: ONNX에 없는 연산을 쓰는 네트워크입니다"
            f"({(str(error) or type(error).__name__).splitlines()[0]}).\n  해결: {advice}"
        ) from error
    return buffer.getvalue()


def create(network: nn.Module, device: Place, precision: str, scale: int, multiple: int) -> OnnxEngine:
    """네트워크를 ONNX로 바꾸어(캐시에 있으면 그것으로) 엔진을 만든다.

    Raises:
        DeviceError: 설치된 onnxruntime에 그 장치의 제공자(execution provider)가 없을 때.
    """
    import_optional("onnx", "ONNX로 내보내려면", ENGINES["onnxruntime"].install)
    find_provider(device.type)
    half = precision == "fp16" and device.type not in _OWN_HALF

    def make() -> bytes:
        return trace_onnx(copy.deepcopy(network).half() if half else network, multiple)

    def load(content: bytes) -> OnnxEngine:
        return OnnxEngine(content, scale=scale, multiple=multiple, place=device, precision=precision)

    engine = load_compiled(model_key(network, "onnx", DEFAULT_OPSET, multiple, half), make, load)
    engine.network = network
    return engine


def present_devices() -> tuple[str, ...]:
    """설치된 제공자들의 짧은 이름. onnx가 없으면 바꿀 수 없으므로 비어 있다."""
    if not is_installed("onnx"):
        return ()
    runtime = import_optional("onnxruntime", "ONNX 모델을 돌리려면", ENGINES["onnxruntime"].install)
    present = runtime.get_available_providers()
    return tuple(name for name, full in PROVIDERS.items() if full in present)


def find_provider(name: str) -> str:
    """장치의 짧은 이름(`tensorrt`, `dml`)에 맞는, 설치된 제공자의 이름을 찾는다.

    Raises:
        DeviceError: 없을 때. 있는 것을 알려 준다. CPU로 슬그머니 돌리지 않는다.
    """
    runtime = import_optional("onnxruntime", "ONNX 모델을 돌리려면", ENGINES["onnxruntime"].install)
    present = runtime.get_available_providers()
    if PROVIDERS[name] in present:
        return PROVIDERS[name]
    short = [key for key, full in PROVIDERS.items() if full in present]
    raise DeviceError(
        f"설치된 onnxruntime에 없는 제공자입니다: {name}({PROVIDERS[name]})\n  있는 것: {', '.join(short)}\n"
        f"  해결: 있는 것을 고르거나, 그 제공자가 든 패키지를 설치하세요: {_WHEELS[name]}"
    )


class OnnxEngine:
    """ONNX Runtime으로 도는 엔진.

    Args:
        model: 파일이나 모델의 바이트.
        threads: 쓸 스레드 수. 없으면 ONNX Runtime이 정한다.
        scale, multiple: 배율과 크기의 배수. 없으면 모델에 적힌 것을 쓴다.
        place: 계산할 장치(제공자의 짧은 이름과 번호).
        precision: 정밀도. 없으면 모델에 적힌 것이다.

    Raises:
        MissingPackageError: onnxruntime이 없을 때.
        DeviceError: 그 제공자가 없거나, 있어도 이 기계에서 켜지지 않을 때.
        ExportError: 모델을 실을 수 없을 때.
    """

    name = "onnxruntime"
    device = torch.device("cpu")
    max_pixels = 2**31 - 1
    prefers_tiles = True
    network: Any = None

    def __init__(
        self,
        model: Path | bytes,
        threads: int | None = None,
        *,
        scale: int | None = None,
        multiple: int | None = None,
        place: Place = Place("cpu"),  # noqa: B008 - 바꿀 수 없는 값이다
        precision: str | None = None,
    ) -> None:
        runtime = import_optional("onnxruntime", "ONNX 모델을 돌리려면", ENGINES["onnxruntime"].install)
        options = runtime.SessionOptions()
        # 3은 오류만 적게 한다. 쓰지 않는 초기값을 지웠다는 알림이 수백 줄 나온다.
        options.log_severity_level = 3
        threads = threads or int(os.environ.get("OMP_NUM_THREADS") or 0)
        if threads:
            options.intra_op_num_threads = threads
        source: Any = model if isinstance(model, bytes) else str(model)
        providers = provider_options(place, precision or "fp32")
        try:
            self._session = runtime.InferenceSession(source, options, providers=providers)
        except Exception as error:
            # onnxruntime의 예외들은 공통된 바탕 클래스를 내보이지 않는다.
            raise ExportError(f"ONNX 모델을 실을 수 없습니다.\n  {str(error).splitlines()[0]}") from error
        self._run_options = runtime.RunOptions
        wanted = providers[0][0]
        if wanted not in self._session.get_providers():
            raise DeviceError(
                f"이 기계에서 켜지지 않는 제공자입니다: {place.type}({wanted})\n  이유: 장치나 드라이버, 그것이 쓰는 "
                "라이브러리(CUDA, TensorRT 등)가 없거나 버전이 맞지 않습니다.\n"
                "  해결: 드라이버를 확인하거나 --provider cpu로 실행하세요."
            )
        found = self._session.get_modelmeta().custom_metadata_map
        self.place = place
        self.precision = precision or found.get("precision", "fp32")
        self.scale = scale or int(found.get("scale", 4))
        self.multiple = multiple or int(found.get("size_multiple", 1))
        self._half = self._session.get_inputs()[0].type == "tensor(float16)"

    def memory(self, height: int, width: int) -> int:
        """`(1, 3, height, width)` 하나를 키우는 데 드는 메모리의 어림(바이트)."""
        return estimate_memory(self.network, "fp32", height, width)

    def __call__(self, batch: Tensor) -> Tensor:
        """배치 하나를 키운다.

        Raises:
            OutOfMemoryError: 메모리가 모자랄 때.
        """
        planes = np.ascontiguousarray(batch.to("cpu", torch.float32).numpy())
        if self._half:
            planes = planes.astype(np.float16)
        try:
            output = self._run(planes)
        except Exception as error:
            # 메모리 부족도 onnxruntime의 예외로 온다. 글로만 가릴 수 있다.
            if is_out_of_memory(RuntimeError(str(error))):
                raise OutOfMemoryError("메모리가 모자랍니다.") from error
            raise
        return torch.from_numpy(np.asarray(output, dtype=np.float32))

    def _run(self, planes: np.ndarray[Any, Any]) -> Any:
        """계산한다. 주 스레드에서는 다른 스레드에 맡기고 기다려, Ctrl-C가 오면 층 하나가 끝나는 대로 그만둔다."""
        if threading.current_thread() is not threading.main_thread():
            return self._session.run(None, {"input": planes})[0]
        options = self._run_options()
        with ThreadPoolExecutor(1) as pool:
            running = pool.submit(self._session.run, None, {"input": planes}, options)
            try:
                return running.result()[0]
            except BaseException:
                options.terminate = True
                raise

    def fallback(self) -> OnnxEngine | None:
        """fp32로 도는 엔진. 이미 fp32면 없다."""
        if self.precision == "fp32" or self.network is None:
            return None
        return create(self.network, self.place, "fp32", self.scale, self.multiple)

    def release(self) -> None:
        """쥐고 있는 여분이 없다."""


def provider_options(place: Place, precision: str) -> list[tuple[str, dict[str, Any]]]:
    """제공자와 그 설정들, 바라는 차례로. 바라는 것이 못 하는 연산만 다음 것이 맡는다.

    TensorRT가 지은 엔진은 캐시에 두고 다시 쓴다. 그 캐시는 TensorRT가 모델, 장치, 버전으로 스스로 가린다.

    Raises:
        DeviceError: 그 제공자가 없을 때.
    """
    name, number = find_provider(place.type), str(place.index or 0)
    half = precision == "fp16"
    chosen: dict[str, Any] = {}
    after: list[tuple[str, dict[str, Any]]] = []
    if place.type in ("cuda", "tensorrt", "dml", "migraphx"):
        chosen["device_id"] = number
    if place.type == "tensorrt":
        folder = compiled_folder() / "tensorrt"
        folder.mkdir(parents=True, exist_ok=True)
        chosen |= {
            "trt_fp16_enable": str(half),
            "trt_engine_cache_enable": "True",
            "trt_engine_cache_path": str(folder),
            "trt_timing_cache_enable": "True",
            "trt_timing_cache_path": str(folder),
        }
        after.append((PROVIDERS["cuda"], {"device_id": number}))
    elif place.type == "migraphx":
        chosen["migraphx_fp16_enable"] = "1" if half else "0"
    elif place.type == "openvino":
        chosen |= {"device_type": "CPU" if place.index is None else f"GPU.{number}", "precision": "FP32"}
    if place.type != "cpu":
        after.append((PROVIDERS["cpu"], {}))
    return [(name, chosen), *after]
