"""ONNX Runtime 엔진."""

from __future__ import annotations

import io
import os
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from realesrgan.errors import ExportError, OutOfMemoryError
from realesrgan.inference.engines.base import ENGINES, estimate_memory, is_out_of_memory
from realesrgan.util.optional import import_optional

DEFAULT_OPSET = 17
_TRACED_SIDE = 12


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
    example = torch.rand(2, 3, _TRACED_SIDE * multiple, (_TRACED_SIDE + 4) * multiple)
    axes = {"input": {0: "batch", 2: "height", 3: "width"}}
    axes["output"] = {0: "batch", 2: "out_height", 3: "out_width"}
    buffer = io.BytesIO()
    try:
        with warnings.catch_warnings():
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
        raise ExportError(
            f"ONNX(opset {opset})로 내보내지 못했습니다.\n  {str(error).splitlines()[0]}\n"
            f"  해결: --opset {DEFAULT_OPSET}을 쓰거나 torch 2.10~2.13에서 하세요."
        ) from error
    return buffer.getvalue()


def create(network: nn.Module, device: torch.device, precision: str, scale: int, multiple: int) -> OnnxEngine:
    """네트워크를 ONNX로 바꾸어 엔진을 만든다."""
    engine = OnnxEngine(trace_onnx(network, multiple), scale=scale, multiple=multiple)
    engine.network = network
    return engine


class OnnxEngine:
    """ONNX Runtime으로 도는 엔진.

    Args:
        model: 파일이나 모델의 바이트.
        threads: 쓸 스레드 수. 없으면 ONNX Runtime이 정한다.
        scale, multiple: 배율과 크기의 배수. 없으면 모델에 적힌 것을 쓴다.

    Raises:
        MissingPackageError: onnxruntime이 없을 때.
        ExportError: 모델을 실을 수 없을 때.
    """

    name = "onnxruntime"
    device = torch.device("cpu")
    max_pixels = 2**31 - 1
    network: Any = None

    def __init__(
        self, model: Path | bytes, threads: int | None = None, *, scale: int | None = None, multiple: int | None = None
    ) -> None:
        runtime = import_optional("onnxruntime", "ONNX 모델을 돌리려면", ENGINES["onnxruntime"].install)
        options = runtime.SessionOptions()
        # 3은 오류만 적게 한다. 쓰지 않는 초기값을 지웠다는 알림이 수백 줄 나온다.
        options.log_severity_level = 3
        threads = threads or int(os.environ.get("OMP_NUM_THREADS") or 0)
        if threads:
            options.intra_op_num_threads = threads
        source: Any = model if isinstance(model, bytes) else str(model)
        try:
            self._session = runtime.InferenceSession(source, options, providers=["CPUExecutionProvider"])
        except Exception as error:
            # onnxruntime의 예외들은 공통된 바탕 클래스를 내보이지 않는다.
            raise ExportError(f"ONNX 모델을 실을 수 없습니다.\n  {str(error).splitlines()[0]}") from error
        found = self._session.get_modelmeta().custom_metadata_map
        self.precision = found.get("precision", "fp32")
        self.scale = scale or int(found.get("scale", 4))
        self.multiple = multiple or int(found.get("size_multiple", 1))

    def memory(self, height: int, width: int) -> int:
        """`(1, 3, height, width)` 하나를 키우는 데 드는 메모리의 어림(바이트)."""
        return estimate_memory(self.network, "fp32", height, width)

    def __call__(self, batch: Tensor) -> Tensor:
        """배치 하나를 키운다.

        Raises:
            OutOfMemoryError: 메모리가 모자랄 때.
        """
        planes = np.ascontiguousarray(batch.to("cpu", torch.float32).numpy())
        try:
            output = self._session.run(None, {"input": planes})[0]
        except Exception as error:
            # 메모리 부족도 onnxruntime의 예외로 온다. 글로만 가릴 수 있다.
            if is_out_of_memory(RuntimeError(str(error))):
                raise OutOfMemoryError("메모리가 모자랍니다.") from error
            raise
        return torch.from_numpy(np.asarray(output))

    def fallback(self) -> None:
        """더 높은 정밀도의 엔진은 없다."""

    def release(self) -> None:
        """쥐고 있는 여분이 없다."""
