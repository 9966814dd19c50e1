"""LiteRT의 `.tflite`. 안드로이드의 기본 런타임이다. 크기가 정해진 꼴만 있고, 입출력은 그쪽의 관례대로 NHWC다."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from realesrgan.errors import ExportError
from realesrgan.export.formats import PlainNetwork
from realesrgan.export.targets import MobilePlan, quiet
from realesrgan.inference.model import Model
from realesrgan.util.optional import import_optional

_PURPOSE = "LiteRT로 내보내려면"
# 메타데이터의 이름 앞에 붙인다. 다른 도구가 적는 것과 섞이지 않게 한다.
PREFIX = "realesrgan."


class ChannelsLast(nn.Module):
    """`(1, H, W, 3)`을 받고 내는 네트워크.

    Args:
        network: `(N, 3, H, W)`를 키우는 네트워크.
    """

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = PlainNetwork(network)

    def forward(self, input: Tensor) -> Tensor:
        """`(1, H, W, 3)` float32를 `(1, H*scale, W*scale, 3)` float32로 키운다."""
        output: Tensor = self.network(input.permute(0, 3, 1, 2))
        return output.permute(0, 2, 3, 1)


def build(model: Model, draft: Path, plan: MobilePlan, metadata: dict[str, str]) -> None:
    """모델을 `draft`에 적는다.

    Raises:
        MissingPackageError: litert-torch나 ai-edge-quantizer가 없을 때.
        ExportError: 바꿀 수 없는 네트워크일 때.
    """
    with quiet():
        converter = import_optional("litert_torch", _PURPOSE, plan.target.install)
        example = torch.rand(1, plan.tile, plan.tile, 3)
        try:
            converter.convert(ChannelsLast(model.network).eval(), (example,)).export(str(draft))
            content = with_metadata(draft.read_bytes(), metadata, plan)
            if plan.precision != "fp32":
                content = _narrowed(content, plan)
        except Exception as error:
            # 변환기의 예외들은 공통된 바탕 클래스를 내보이지 않는다.
            reason = next(iter(str(error).splitlines()), "") or type(error).__name__
            raise ExportError(
                f"LiteRT로 바꾸지 못했습니다: {type(model.network).__name__}\n  이유: {reason}\n"
                "  해결: --target에서 litert를 빼세요."
            ) from error
    draft.write_bytes(content)


def _narrowed(content: bytes, plan: MobilePlan) -> bytes:
    """합성곱의 가중치를 fp16이나 채널마다의 int8로 줄인 모델. 값은 float32로 계산한다."""
    quantizer = import_optional("ai_edge_quantizer.quantizer", _PURPOSE, plan.target.install)
    recipe = import_optional("ai_edge_quantizer.recipe", _PURPOSE, plan.target.install)
    types = import_optional("ai_edge_quantizer.qtyping", _PURPOSE, plan.target.install)
    if plan.precision == "int8":
        worker = quantizer.Quantizer(content, recipe.weight_only_wi8_afp32())
    else:
        worker = quantizer.Quantizer(content)
        worker.update_quantization_recipe(
            regex=".*",
            operation_name=types.TFLOperationName.CONV_2D,
            op_config=types.OpQuantizationConfig(
                weight_tensor_config=types.TensorQuantizationConfig(num_bits=16, dtype=types.TensorDataType.FLOAT),
                compute_precision=types.ComputePrecision.FLOAT,
                explicit_dequantize=True,
            ),
            algorithm_key=recipe.AlgorithmName.FLOAT_CASTING,
        )
    return bytes(worker.quantize().quantized_model)


def _schema(plan: MobilePlan) -> tuple[Any, Any]:
    schema = import_optional("ai_edge_litert.schema_py_generated", _PURPOSE, plan.target.install)
    return schema, import_optional("flatbuffers", _PURPOSE, plan.target.install)


def with_metadata(content: bytes, metadata: dict[str, str], plan: MobilePlan) -> bytes:
    """모델의 `metadata`에 이름마다 글자들(UTF-8)을 적는다."""
    schema, flatbuffers = _schema(plan)
    model = schema.ModelT.InitFromPackedBuf(bytearray(content), 0)
    model.metadata = list(model.metadata or [])
    for key, value in metadata.items():
        buffer = schema.BufferT()
        buffer.data = list(value.encode())
        model.buffers.append(buffer)
        entry = schema.MetadataT()
        entry.name, entry.buffer = f"{PREFIX}{key}", len(model.buffers) - 1
        model.metadata.append(entry)
    builder = flatbuffers.Builder(len(content) + 4096)
    builder.Finish(model.Pack(builder), b"TFL3")
    return bytes(builder.Output())


def read_metadata(content: bytes, plan: MobilePlan) -> dict[str, str]:
    """`with_metadata`가 적은 것들."""
    schema, _ = _schema(plan)
    model = schema.ModelT.InitFromPackedBuf(bytearray(content), 0)
    found = {}
    for entry in model.metadata or []:
        name = entry.name.decode() if isinstance(entry.name, bytes) else entry.name
        if name.startswith(PREFIX):
            buffer = model.buffers[entry.buffer]
            # 가중치를 줄이는 도구는 버퍼를 모델의 뒤에 따로 두고 자리만 적는다.
            outside = content[buffer.offset : buffer.offset + buffer.size] if buffer.offset > 1 else b""
            found[name.removeprefix(PREFIX)] = (outside or bytes(buffer.data)).decode()
    return found


def open_runner(draft: Path, plan: MobilePlan) -> Callable[[Tensor], Tensor]:
    """파일을 LiteRT로 실어 `(1, 3, tile, tile)`을 키우는 함수를 돌려준다. 자리를 바꾸는 일은 여기서 한다.

    Raises:
        MissingPackageError: ai-edge-litert가 없을 때.
        ExportError: 실을 수 없을 때.
    """
    module = import_optional("ai_edge_litert.interpreter", _PURPOSE, plan.target.install)
    try:
        interpreter = module.Interpreter(model_path=str(draft), num_threads=torch.get_num_threads())
        interpreter.allocate_tensors()
    except (RuntimeError, ValueError) as error:
        raise ExportError(f"LiteRT가 파일을 싣지 못했습니다: {draft.name}\n  이유: {error}") from error
    source, target = interpreter.get_input_details()[0]["index"], interpreter.get_output_details()[0]["index"]

    def run(batch: Tensor) -> Tensor:
        outputs = []
        for one in batch.split(1):
            interpreter.set_tensor(source, one.permute(0, 2, 3, 1).contiguous().numpy())
            interpreter.invoke()
            outputs.append(torch.from_numpy(interpreter.get_tensor(target)).permute(0, 3, 1, 2))
        return torch.cat(outputs)

    return run
