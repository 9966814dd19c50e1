"""생성자를 ONNX로 내보내고 ONNX Runtime으로 돌린다."""

from __future__ import annotations

import io
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from realesrgan.dataset_tools.pictures import write_bytes
from realesrgan.errors import ExportError
from realesrgan.export.source import Generator
from realesrgan.export.verify import LIMITS, Batch, Difference, compare, require_close
from realesrgan.util.optional import import_optional

DEFAULT_OPSET = 17
INSTALL = 'pip install "realesrgan[export]" 또는 pip install onnx onnxruntime'
_TRACED_SIDE = 12


class HalfNetwork(nn.Module):
    """속은 반정밀도(fp16)로 계산하고 입력과 출력은 float32인 네트워크. 쓰는 쪽이 정밀도를 몰라도 된다."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, x: Tensor) -> Tensor:
        """`(N, 3, H, W)` float32를 받아 float32를 돌려준다."""
        output: Tensor = self.network(x.half())
        return output.float()


def at_precision(network: nn.Module, precision: str) -> nn.Module:
    """정밀도에 맞춘 사본. fp32면 그대로다."""
    if precision == "fp32":
        return network
    import copy

    return HalfNetwork(copy.deepcopy(network).half()).eval()


def trace_onnx(network: nn.Module, multiple: int, opset: int) -> bytes:
    """네트워크를 ONNX 바이트로 바꾼다. 배치, 높이, 너비는 정해지지 않은 채로 둔다.

    torch 2.13의 내보내기는 둘이다. `torch.export`를 거치는 새 방식은 onnxscript가 더 필요하고 블록 여섯 개의 작은
    RRDBNet에도
    이 기계에서 몇십 초가 걸린다. 추적(tracing)하는 방식은 1초가 안 걸린다. 두 네트워크에는 값에 따라 갈라지는 곳이
    없어 추적으로도
    빠지는 것이 없고, 결과는 언제나 본래와 견주므로 추적하는 쪽을 쓴다.

    Args:
        network: `(N, 3, H, W)`를 키우는 네트워크.
        multiple: 입력의 두 변이 맞춰야 하는 배수.
        opset: ONNX 연산자 집합의 판.

    Raises:
        ExportError: 그 판으로는 내보낼 수 없을 때.
    """
    import_optional("onnx", "ONNX로 내보내려면", INSTALL)
    example = torch.rand(2, 3, _TRACED_SIDE * multiple, (_TRACED_SIDE + 4) * multiple)
    axes = {"input": {0: "batch", 2: "height", 3: "width"}}
    axes["output"] = {0: "batch", 2: "out_height", 3: "out_width"}
    buffer = io.BytesIO()
    try:
        with warnings.catch_warnings():
            # 추적 방식이 낡았다는 알림과, 크기를 배수로 나누는 곳이 상수가 된다는 알림이다. 뒤의 것은 견주기가
            # 확인한다.
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


def with_metadata(content: bytes, metadata: dict[str, str]) -> bytes:
    """ONNX 모델에 글자들을 적고 규격에 맞는지 본다."""
    onnx = import_optional("onnx", "ONNX로 내보내려면", INSTALL)
    model = onnx.load_model_from_string(content)
    onnx.helper.set_model_props(model, metadata)
    model.producer_name = "realesrgan"
    onnx.checker.check_model(model)
    return bytes(model.SerializeToString())


class OnnxEngine:
    """ONNX Runtime으로 도는 엔진. `inference/engine.py`의 이음매를 따른다.

    Args:
        model: 파일이나 모델의 바이트.
        threads: 쓸 스레드 수. 없으면 ONNX Runtime이 정한다.

    Raises:
        MissingPackageError: onnxruntime이 없을 때.
        ExportError: 모델을 실을 수 없을 때.
    """

    name = "onnxruntime"

    def __init__(self, model: Path | bytes, threads: int | None = None) -> None:
        runtime = import_optional("onnxruntime", "ONNX 모델을 돌리려면", INSTALL)
        options = runtime.SessionOptions()
        # 3은 오류만 적게 한다. 쓰지 않는 초기값을 지웠다는 알림이 수백 줄 나온다.
        options.log_severity_level = 3
        if threads is not None:
            options.intra_op_num_threads = threads
        source: Any = model if isinstance(model, bytes) else str(model)
        try:
            self._session = runtime.InferenceSession(source, options, providers=["CPUExecutionProvider"])
        except Exception as error:
            # onnxruntime의 예외들은 공통된 바탕 클래스를 내보이지 않는다.
            raise ExportError(f"ONNX 모델을 실을 수 없습니다.\n  {str(error).splitlines()[0]}") from error
        found = self._session.get_modelmeta().custom_metadata_map
        self.precision = found.get("precision", "fp32")
        self.scale = int(found.get("scale", 4))
        self.multiple = int(found.get("size_multiple", 1))

    def __call__(self, batch: Batch) -> Batch:
        """배치 하나를 키운다."""
        output: Batch = self._session.run(None, {"input": np.ascontiguousarray(batch)})[0]
        return output

    def fallback(self) -> None:
        """더 높은 정밀도의 엔진은 없다."""

    def release(self) -> None:
        """쥐고 있는 여분이 없다."""


def export_onnx(
    generator: Generator,
    target: Path,
    *,
    precision: str,
    opset: int,
    batches: Sequence[tuple[str, Batch]],
    limit: float | None = None,
) -> list[Difference]:
    """생성자를 내보내고 본래와 견준 뒤에야 파일을 놓는다.

    Args:
        generator: 내보낼 생성자.
        target: `.onnx` 파일.
        precision: `fp32`나 `fp16`. 입출력은 언제나 float32다.
        opset: ONNX 연산자 집합의 판.
        batches: 견줄 입력들.
        limit: 허용하는 가장 큰 차이. 없으면 정밀도마다의 기본값.

    Returns:
        견준 결과들.

    Raises:
        ExportError: 내보내지 못했거나 한도보다 다를 때. 파일은 남지 않는다.
        MissingPackageError: onnx나 onnxruntime이 없을 때.
        ImageWriteError: 쓸 수 없을 때.
    """
    network = at_precision(generator.network, precision)
    content = with_metadata(trace_onnx(network, generator.multiple, opset), generator.metadata(precision))
    differences = compare(generator.network, OnnxEngine(content), batches)
    require_close(differences, LIMITS[precision] if limit is None else limit)
    write_bytes(target, content)
    return differences
