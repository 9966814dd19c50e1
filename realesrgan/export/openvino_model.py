"""생성자를 OpenVINO IR(`.xml`과 `.bin`)로 내보내고 돌린다."""

from __future__ import annotations

import tempfile
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from realesrgan.errors import ExportError
from realesrgan.export.source import Generator
from realesrgan.export.verify import LIMITS, Batch, Difference, compare, require_close
from realesrgan.util.files import os_reason
from realesrgan.util.optional import import_optional

INSTALL = 'pip install "realesrgan[openvino]" 또는 pip install openvino'
_TRACED_SIDE = 12
_INFO = "realesrgan"


def convert(generator: Generator, precision: str) -> Any:
    """생성자를 OpenVINO 모델로 바꾼다. ONNX를 거치지 않으므로 onnx 꾸러미가 없어도 된다.

    Raises:
        MissingPackageError: openvino가 없을 때.
    """
    openvino = import_optional("openvino", "OpenVINO로 내보내려면", INSTALL)
    side = _TRACED_SIDE * generator.multiple
    example = torch.rand(1, 3, side, side + 4 * generator.multiple)
    with warnings.catch_warnings():
        # OpenVINO가 안에서 쓰는 추적(tracing)이 torch에서 낡았다는 알림이다. 결과는 본래와 견주어 확인한다.
        warnings.simplefilter("ignore", DeprecationWarning)
        model = openvino.convert_model(
            generator.network, example_input=example, input=openvino.PartialShape([-1, 3, -1, -1])
        )
    model.inputs[0].get_tensor().set_names({"input"})
    model.outputs[0].get_tensor().set_names({"output"})
    for key, value in generator.metadata(precision).items():
        model.set_rt_info(value, [_INFO, key])
    return model


class OpenVinoEngine:
    """OpenVINO로 도는 엔진. `inference/engine.py`의 이음매를 따른다.

    Args:
        model: `.xml` 파일.
        threads: 쓸 스레드 수. 없으면 OpenVINO가 정한다.

    Raises:
        MissingPackageError: openvino가 없을 때.
        ExportError: 모델을 실을 수 없을 때.
    """

    name = "openvino"

    def __init__(self, model: Path, threads: int | None = None) -> None:
        openvino = import_optional("openvino", "OpenVINO 모델을 돌리려면", INSTALL)
        core = openvino.Core()
        # 적지 않으면 CPU에 따라 bf16으로 계산해 값이 달라진다.
        options: dict[str, Any] = {"INFERENCE_PRECISION_HINT": "f32"}
        if threads is not None:
            options["INFERENCE_NUM_THREADS"] = threads
        try:
            read = core.read_model(str(model))
            self._model = core.compile_model(read, "CPU", options)
        except RuntimeError as error:
            raise ExportError(f"OpenVINO 모델을 실을 수 없습니다: {model}\n  {str(error).splitlines()[0]}") from error
        self.precision = _text(read, "precision", "fp32")
        self.scale = int(_text(read, "scale", "4"))
        self.multiple = int(_text(read, "size_multiple", "1"))

    def __call__(self, batch: Batch) -> Batch:
        """배치 하나를 키운다."""
        request = self._model.create_infer_request()
        return np.asarray(request.infer({0: np.ascontiguousarray(batch)})[0])

    def fallback(self) -> None:
        """더 높은 정밀도의 엔진은 없다."""

    def release(self) -> None:
        """쥐고 있는 여분이 없다."""


def _text(model: Any, key: str, otherwise: str) -> str:
    return str(model.get_rt_info([_INFO, key]).astype(str)) if model.has_rt_info([_INFO, key]) else otherwise


def export_openvino(
    generator: Generator,
    target: Path,
    *,
    precision: str,
    batches: Sequence[tuple[str, Batch]],
    limit: float | None = None,
) -> list[Difference]:
    """생성자를 내보내고 본래와 견준 뒤에야 두 파일을 놓는다.

    Args:
        generator: 내보낼 생성자.
        target: `.xml` 파일. `.bin`은 그 곁에 놓인다.
        precision: `fp32`나 `fp16`. fp16은 가중치를 반정밀도로 저장하는 것이고 입출력은 언제나 float32다.
        batches: 견줄 입력들.
        limit: 허용하는 가장 큰 차이. 없으면 정밀도마다의 기본값.

    Returns:
        견준 결과들.

    Raises:
        ExportError: 한도보다 다르거나 쓸 수 없을 때. 파일은 남지 않는다.
        MissingPackageError: openvino가 없을 때.
    """
    openvino = import_optional("openvino", "OpenVINO로 내보내려면", INSTALL)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        # 같은 폴더에서 이름만 바꾸어야 중간에 끊겨도 반쪽 파일이 없다.
        with tempfile.TemporaryDirectory(dir=target.parent, prefix=".realesrgan-", suffix=".part") as folder:
            draft = Path(folder) / "model.xml"
            openvino.save_model(convert(generator, precision), str(draft), compress_to_fp16=precision == "fp16")
            engine = OpenVinoEngine(draft)
            differences = compare(generator.network, engine, batches)
            require_close(differences, LIMITS[precision] if limit is None else limit)
            # 윈도에서는 열린 파일의 이름을 바꿀 수 없다.
            del engine
            draft.with_suffix(".bin").replace(target.with_suffix(".bin"))
            draft.replace(target)
    except OSError as error:
        why, remedy = os_reason(error)
        raise ExportError(f"내보낸 모델을 쓸 수 없습니다: {target}\n  {why}\n  해결: {remedy}") from error
    return differences
