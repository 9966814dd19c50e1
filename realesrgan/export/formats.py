"""모델을 ONNX와 OpenVINO IR로 내보낸다. 네트워크를 바꾸는 일은 `inference/engines/`의 것이고 여기서는 파일을 놓는다."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from realesrgan.archs.base import image_of
from realesrgan.dataset_tools.pictures import write_bytes
from realesrgan.errors import ExportError
from realesrgan.export.verify import LIMITS, Difference, compare, require_close
from realesrgan.inference.engines.base import ENGINES
from realesrgan.inference.engines.onnxruntime import DEFAULT_OPSET, OnnxEngine, trace_onnx
from realesrgan.inference.engines.openvino import OpenVinoEngine, convert
from realesrgan.inference.model import Model
from realesrgan.util.files import os_reason, scratch_folder
from realesrgan.util.optional import import_optional

# OpenVINO의 파일에서 글자들을 적는 자리.
_INFO = "realesrgan"


class HalfNetwork(nn.Module):
    """속은 반정밀도(fp16)로 계산하고 입력과 출력은 float32인 네트워크. 쓰는 쪽이 정밀도를 몰라도 된다.

    Args:
        network: fp16 네트워크.
    """

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, x: Tensor) -> Tensor:
        """`(N, 3, H, W)` float32를 받아 float32를 돌려준다."""
        output: Tensor = image_of(self.network(x.half()))
        return output.float()


class _PlainAdd(TorchFunctionMode):
    """`torch.add(x, y, alpha=a)`를 `x + y * a`로 부르는 동안."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """함수 하나를 부른다."""
        kwargs = kwargs or {}
        if func is torch.add and "alpha" in kwargs:
            return args[0] + args[1] * kwargs["alpha"]
        return func(*args, **kwargs)


class PlainNetwork(nn.Module):
    """흔한 연산만 부르는 네트워크. coremltools와 litert-torch의 변환기는 `torch.add`의 `alpha`를 모른다.

    Args:
        network: `(N, 3, H, W)`를 키우는 네트워크.
    """

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network.eval()

    def forward(self, x: Tensor) -> Tensor:
        """네트워크와 같은 것을 낸다."""
        with _PlainAdd():
            output: Tensor = image_of(self.network(x))
        return output


def at_precision(network: nn.Module, precision: str) -> nn.Module:
    """정밀도에 맞춘 사본. fp32면 그대로다."""
    return network if precision == "fp32" else HalfNetwork(copy.deepcopy(network).half()).eval()


def with_metadata(content: bytes, metadata: dict[str, str]) -> bytes:
    """ONNX 모델에 글자들을 적고 규격에 맞는지 본다.

    Raises:
        MissingPackageError: onnx가 없을 때.
    """
    onnx = import_optional("onnx", "ONNX로 내보내려면", ENGINES["onnxruntime"].install)
    model = onnx.load_model_from_string(content)
    onnx.helper.set_model_props(model, metadata)
    model.producer_name = "realesrgan"
    onnx.checker.check_model(model)
    return bytes(model.SerializeToString())


def export_onnx(
    model: Model,
    target: Path,
    *,
    precision: str = "fp32",
    opset: int = DEFAULT_OPSET,
    batches: Sequence[tuple[str, Tensor]],
    limit: float | None = None,
) -> list[Difference]:
    """모델을 ONNX로 내보내고 본래와 견준 뒤에야 파일을 놓는다.

    Args:
        model: 내보낼 모델.
        target: `.onnx` 파일.
        precision: `fp32`나 `fp16`. 입출력은 언제나 float32다.
        opset: ONNX 연산자 집합의 버전.
        batches: 견줄 입력들(`verify.random_batches`, `verify.picture_batches`).
        limit: 허용하는 가장 큰 차이. 없으면 정밀도마다의 기본값.

    Returns:
        견준 결과들.

    Raises:
        ExportError: 내보내지 못했거나 한도보다 다를 때. 파일은 남지 않는다.
        MissingPackageError: onnx나 onnxruntime이 없을 때.
        ImageWriteError: 쓸 수 없을 때.
    """
    network = at_precision(model.network, precision)
    content = with_metadata(trace_onnx(network, model.multiple, opset), model.metadata(precision))
    differences = compare(model.network, OnnxEngine(content), batches)
    require_close(differences, LIMITS[precision] if limit is None else limit)
    write_bytes(target, content)
    return differences


def export_openvino(
    model: Model,
    target: Path,
    *,
    precision: str = "fp32",
    batches: Sequence[tuple[str, Tensor]],
    limit: float | None = None,
) -> list[Difference]:
    """모델을 OpenVINO IR로 내보내고 본래와 견준 뒤에야 두 파일을 놓는다. ONNX를 거치지 않는다.

    Args:
        model: 내보낼 모델.
        target: `.xml` 파일. `.bin`은 그 곁에 놓인다.
        precision: `fp32`나 `fp16`. fp16은 가중치를 반정밀도로 저장하는 것이고 입출력은 언제나 float32다.
        batches: 견줄 입력들.
        limit: 허용하는 가장 큰 차이. 없으면 정밀도마다의 기본값.

    Returns:
        견준 결과들.

    Raises:
        ExportError: 바꾸지 못했거나, 한도보다 다르거나, 쓸 수 없을 때. 파일은 남지 않는다.
        MissingPackageError: openvino가 없을 때.
    """
    openvino = import_optional("openvino", "OpenVINO로 내보내려면", ENGINES["openvino"].install)
    converted: Any = convert(model.network, model.multiple)
    for key, value in model.metadata(precision).items():
        converted.set_rt_info(value, [_INFO, key])
    try:
        with scratch_folder(target.parent) as folder:
            draft = folder / "model.xml"
            openvino.save_model(converted, str(draft), compress_to_fp16=precision == "fp16")
            engine = OpenVinoEngine(draft)
            differences = compare(model.network, engine, batches)
            require_close(differences, LIMITS[precision] if limit is None else limit)
            # 윈도에서는 열린 파일의 이름을 바꿀 수 없다.
            del engine
            draft.with_suffix(".bin").replace(target.with_suffix(".bin"))
            draft.replace(target)
    except OSError as error:
        why, remedy = os_reason(error)
        raise ExportError(f"내보낸 모델을 쓸 수 없습니다: {target}\n  {why}\n  해결: {remedy}") from error
    return differences
