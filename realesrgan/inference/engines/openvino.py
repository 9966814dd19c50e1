"""OpenVINO 엔진. 인텔과 AMD의 CPU에서 PyTorch보다 빠를 때가 많다."""

from __future__ import annotations

import os
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from realesrgan.errors import ExportError
from realesrgan.inference.engines.base import ENGINES, estimate_memory, named_memory_error
from realesrgan.util.optional import import_optional

_TRACED_SIDE = 12
_INFO = "realesrgan"
_HINTS = {"fp32": "f32", "bf16": "bf16"}


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


def create(network: nn.Module, device: torch.device, precision: str, scale: int, multiple: int) -> OpenVinoEngine:
    """네트워크를 바꾸어 엔진을 만든다."""
    engine = OpenVinoEngine(convert(network, multiple), precision=precision, scale=scale, multiple=multiple)
    engine.network = network
    return engine


class OpenVinoEngine:
    """OpenVINO로 도는 엔진.

    Args:
        model: OpenVINO 모델이나 `.xml` 파일.
        threads: 쓸 스레드 수. 없으면 OpenVINO가 정한다.
        precision: 계산할 정밀도 `fp32`나 `bf16`.
        scale, multiple: 배율과 크기의 배수. 없으면 파일에 적힌 것을 쓴다.

    Raises:
        MissingPackageError: openvino가 없을 때.
        ExportError: 모델을 실을 수 없을 때.
    """

    name = "openvino"
    device = torch.device("cpu")
    max_pixels = 2**31 - 1
    network: Any = None

    def __init__(
        self,
        model: Any,
        threads: int | None = None,
        *,
        precision: str = "fp32",
        scale: int | None = None,
        multiple: int | None = None,
    ) -> None:
        openvino = import_optional("openvino", "OpenVINO 모델을 돌리려면", ENGINES["openvino"].install)
        core = openvino.Core()
        # 적지 않으면 CPU에 따라 bf16으로 계산해 값이 달라진다.
        options: dict[str, Any] = {"INFERENCE_PRECISION_HINT": _HINTS[precision]}
        threads = threads or int(os.environ.get("OMP_NUM_THREADS") or 0)
        if threads:
            options["INFERENCE_NUM_THREADS"] = threads
        try:
            read = core.read_model(str(model)) if isinstance(model, (str, Path)) else model
            self._model = core.compile_model(read, "CPU", options)
        except RuntimeError as error:
            raise ExportError(f"OpenVINO 모델을 실을 수 없습니다: {model}\n  {str(error).splitlines()[0]}") from error
        self.precision = precision
        self.scale = scale or int(_text(read, "scale", "4"))
        self.multiple = multiple or int(_text(read, "size_multiple", "1"))

    def memory(self, height: int, width: int) -> int:
        """`(1, 3, height, width)` 하나를 키우는 데 드는 메모리의 어림(바이트)."""
        return estimate_memory(self.network, "fp32", height, width)

    def __call__(self, batch: Tensor) -> Tensor:
        """배치 하나를 키운다.

        Raises:
            OutOfMemoryError: 메모리가 모자랄 때.
        """
        try:
            request = self._model.create_infer_request()
            planes = np.ascontiguousarray(batch.to("cpu", torch.float32).numpy())
            return torch.from_numpy(np.array(request.infer({0: planes})[0]))
        except (RuntimeError, MemoryError) as error:
            raise named_memory_error(error) from error

    def fallback(self) -> OpenVinoEngine | None:
        """fp32로 도는 엔진. 이미 fp32면 없다."""
        if self.precision == "fp32" or self.network is None:
            return None
        return create(self.network, self.device, "fp32", self.scale, self.multiple)

    def release(self) -> None:
        """쥐고 있는 여분이 없다."""


def _text(model: Any, key: str, otherwise: str) -> str:
    return str(model.get_rt_info([_INFO, key]).astype(str)) if model.has_rt_info([_INFO, key]) else otherwise
