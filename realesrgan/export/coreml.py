"""Core ML의 `.mlpackage`. iOS와 macOS에서 CPU, GPU, Neural Engine으로 돈다.

Core ML의 런타임은 macOS에만 있다. 그래서 애플의 런타임 대신, 저장한 파일을 다시 읽어 그 안의 연산(MIL)을 차례대로
PyTorch로 계산한 것을 본래와 견준다. 파일에 담긴 층, 가중치, 반올림이 맞는지를 본다.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from realesrgan.errors import ExportError
from realesrgan.export.formats import PlainNetwork
from realesrgan.export.targets import SMALLEST_SIDE, MobilePlan, quiet
from realesrgan.inference.model import Model
from realesrgan.util.optional import import_optional

_PURPOSE = "Core ML로 내보내려면"
# mlprogram과 fp16의 입출력을 아는 가장 낮은 버전. iOS 16과 macOS 13부터 돈다.
_MINIMUM = "iOS16"


def _coremltools(plan: MobilePlan) -> Any:
    return import_optional("coremltools", _PURPOSE, plan.target.install)


def build(model: Model, draft: Path, plan: MobilePlan, metadata: dict[str, str]) -> None:
    """모델을 `draft`(폴더)에 적는다.

    Raises:
        MissingPackageError: coremltools가 없을 때.
        ExportError: 바꿀 수 없는 네트워크일 때.
    """
    with quiet():
        tools = _coremltools(plan)
        try:
            package = _convert(tools, model, plan)
            package.user_defined_metadata.update(metadata)
            package.license = metadata["license"]
            package.short_description = f"{metadata['model']} x{metadata['scale']}"
            package.save(str(draft))
        except Exception as error:
            # 변환기의 예외들은 공통된 바탕 클래스를 내보이지 않는다.
            reason = next(iter(str(error).splitlines()), "") or type(error).__name__
            raise ExportError(
                f"Core ML로 바꾸지 못했습니다: {type(model.network).__name__}\n  이유: {reason}\n"
                "  해결: --target에서 coreml을 빼세요."
            ) from error


def _convert(tools: Any, model: Model, plan: MobilePlan) -> Any:
    sides: tuple[Any, ...] = (plan.tile, plan.tile)
    if plan.shape == "dynamic":
        least = SMALLEST_SIDE * plan.multiple
        sides = tuple(tools.RangeDim(least, plan.tile, plan.tile) for _ in range(2))
    traced = torch.jit.trace(PlainNetwork(model.network), torch.rand(1, 3, plan.tile, plan.tile), check_trace=False)
    precision = tools.precision.FLOAT32 if plan.precision == "fp32" else tools.precision.FLOAT16
    package = tools.convert(
        traced,
        convert_to="mlprogram",
        inputs=[tools.TensorType(name="input", shape=(1, 3, *sides), dtype=np.float32)],
        outputs=[tools.TensorType(name="output", dtype=np.float32)],
        minimum_deployment_target=getattr(tools.target, _MINIMUM),
        compute_precision=precision,
        skip_model_load=True,
    )
    if plan.precision == "int8":
        coreml = import_optional("coremltools.optimize.coreml", _PURPOSE, plan.target.install)
        config = coreml.OptimizationConfig(coreml.OpLinearQuantizerConfig(mode="linear_symmetric"))
        package = coreml.linear_quantize_weights(package, config)
    return package


def open_runner(draft: Path, plan: MobilePlan) -> Callable[[Tensor], Tensor]:
    """저장한 파일의 연산을 PyTorch로 계산하는 함수를 돌려준다. 속도를 재는 데에는 쓸 수 없다.

    Raises:
        MissingPackageError: coremltools가 없을 때.
        ExportError: 파일의 규격(specification)이 바라던 것과 다를 때.
    """
    with quiet():
        tools = _coremltools(plan)
        loader = import_optional("coremltools.converters.mil.frontend.milproto.load", _PURPOSE, plan.target.install)
        spec = tools.models.MLModel(str(draft), skip_model_load=True).get_spec()
        _check_interface(spec, plan)
        weights = draft / "Data" / "com.apple.CoreML" / "weights"
        program = loader.load(spec, specification_version=spec.specificationVersion, file_weights_dir=str(weights))
    return lambda batch: torch.cat([_evaluate(program.functions["main"], one) for one in batch.split(1)])


def _check_interface(spec: Any, plan: MobilePlan) -> None:
    """입출력의 이름, 자료형, 크기가 적힌 대로인지 본다."""
    source, target = spec.description.input[0], spec.description.output[0]
    array = source.type.multiArrayType
    wanted = [1, 3, plan.tile, plan.tile]
    # 65568은 규격의 FLOAT32다.
    found = (source.name, target.name, list(array.shape), array.dataType, target.type.multiArrayType.dataType)
    if found != ("input", "output", wanted, 65568, 65568):
        raise ExportError(
            f"Core ML 파일의 규격이 다릅니다: {found}\n  이유: coremltools의 버전이 다르게 적었습니다.\n"
            "  해결: pip install coremltools==9.0 뒤에 다시 하세요."
        )


def _constant(variable: Any) -> Any:
    """값이 정해진 변수의 값. 압축한 가중치(constexpr)는 푼다."""
    if variable.val is not None:
        return variable.val
    operation = variable.op
    if operation is not None and operation.op_type.startswith("constexpr_"):
        return operation.materialized_val_inference()
    return None


def _conv(values: Mapping[str, Any]) -> Tensor:
    if values["pad_type"] not in ("custom", "same", "valid"):
        raise ExportError(f"모르는 패딩입니다: {values['pad_type']}")
    weight = values["weight"]
    padding = {"same": [side // 2 for side in weight.shape[2:]], "valid": [0, 0]}.get(values["pad_type"])
    if padding is None:
        padding = [int(side) for side in values["pad"][::2]]
    return F.conv2d(values["x"], weight, values.get("bias"), padding=padding)


# MIL의 연산과 그것을 PyTorch로 계산하는 법. 이 네트워크들에 나오는 것만 있다.
_OPERATIONS: dict[str, Callable[[Mapping[str, Any]], Tensor]] = {
    "conv": _conv,
    "prelu": lambda v: F.prelu(v["x"], v["alpha"]),
    "leaky_relu": lambda v: F.leaky_relu(v["x"], float(v["alpha"])),
    "relu": lambda v: F.relu(v["x"]),
    "add": lambda v: v["x"] + v["y"],
    "mul": lambda v: v["x"] * v["y"],
    "concat": lambda v: torch.cat(list(v["values"]), int(v["axis"])),
    "pixel_shuffle": lambda v: F.pixel_shuffle(v["x"], int(v["upscale_factor"])),
    "pixel_unshuffle": lambda v: F.pixel_unshuffle(v["x"], int(v["downscale_factor"])),
    "upsample_nearest_neighbor": lambda v: F.interpolate(v["x"], scale_factor=float(v["scale_factor_height"])),
    "cast": lambda v: v["x"],
    "identity": lambda v: v["x"],
}


@torch.inference_mode()
def _evaluate(function: Any, batch: Tensor) -> Tensor:
    """함수의 연산을 차례대로 계산한다. fp16인 출력은 그 자리에서 fp16으로 반올림한다."""
    held: dict[str, Tensor] = {next(iter(function.inputs)): batch}
    readers: dict[str, int] = {}
    for operation in function.operations:
        for variable in _variables(operation):
            readers[variable.name] = readers.get(variable.name, 0) + 1
    for operation in function.operations:
        if operation.op_type == "const" or operation.op_type.startswith("constexpr_"):
            continue
        if operation.op_type not in _OPERATIONS:
            raise ExportError(
                f"견줄 줄 모르는 Core ML의 연산입니다: {operation.op_type}\n"
                "  이유: 이 패키지의 네트워크들에는 없는 연산입니다.\n  해결: --target에서 coreml을 빼세요."
            )
        values = {name: _value(given, held) for name, given in operation.inputs.items() if given is not None}
        output = operation.outputs[0]
        result = _OPERATIONS[operation.op_type](values)
        held[output.name] = result.half().float() if "fp16" in str(output.sym_type) else result
        for variable in _variables(operation):
            readers[variable.name] -= 1
            # 다 읽은 특징을 놓지 않으면 메모리가 층의 수만큼 든다.
            if not readers[variable.name]:
                held.pop(variable.name, None)
    return held[function.outputs[0].name]


def _variables(operation: Any) -> list[Any]:
    given = [one for one in operation.inputs.values() if one is not None]
    return [one for group in given for one in (group if isinstance(group, (list, tuple)) else [group])]


def _value(given: Any, held: Mapping[str, Tensor]) -> Any:
    if isinstance(given, (list, tuple)):
        return [_value(one, held) for one in given]
    if given.name in held:
        return held[given.name]
    value = _constant(given)
    if isinstance(value, np.ndarray) and value.dtype.kind == "f":
        return torch.from_numpy(np.array(value, np.float32))
    return value.item() if isinstance(value, np.generic) else value
