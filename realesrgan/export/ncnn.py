"""ncnn의 `.param`과 `.bin`. 안드로이드와 iOS에서 CPU와 Vulkan으로 돈다. 크기는 정해지지 않는다."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from realesrgan.errors import ExportError, WeightsError
from realesrgan.export.targets import MobilePlan
from realesrgan.inference.model import Model
from realesrgan.util.optional import import_optional
from realesrgan.zoo.ncnn import INPUT, OUTPUT, load_net, with_notes, write_ncnn


def build(model: Model, draft: Path, plan: MobilePlan, metadata: dict[str, str]) -> None:
    """모델을 `draft`와 그 곁의 `.bin`에 적는다.

    Raises:
        ExportError: ncnn으로 적는 법을 모르는 네트워크일 때.
    """
    try:
        text, content = write_ncnn(model.network, half=plan.precision == "fp16")
    except WeightsError as error:
        raise ExportError(f"{error}\n  해결: --target에서 ncnn을 빼세요.") from error
    draft.write_text(with_notes(text, metadata), encoding="utf-8", newline="\n")
    draft.with_suffix(".bin").write_bytes(content)


def open_runner(draft: Path, plan: MobilePlan) -> Callable[[Tensor], Tensor]:
    """파일을 ncnn으로 실어 `(N, 3, H, W)`를 키우는 함수를 돌려준다.

    Raises:
        MissingPackageError: ncnn이 없을 때.
        WeightsError: 실을 수 없을 때.
    """
    ncnn = import_optional("ncnn", "ncnn으로 견주려면", plan.target.install)
    data = draft.with_suffix(".bin").read_bytes()
    net = load_net(draft.read_text(encoding="utf-8"), data, threads=torch.get_num_threads())

    def enlarge(planes: NDArray[np.float32]) -> NDArray[np.float32]:
        with net.create_extractor() as extractor:
            extractor.input(INPUT, ncnn.Mat(planes))
            code, output = extractor.extract(OUTPUT)
            if code != 0:
                raise ExportError(f"ncnn이 출력을 내지 못했습니다(코드 {code}): {draft.name}")
            return np.array(output)

    def run(batch: Tensor) -> Tensor:
        return torch.from_numpy(np.stack([enlarge(np.ascontiguousarray(one)) for one in batch.numpy()]))

    # ncnn은 가중치를 베끼지 않는다. 바이트가 이 함수와 함께 살아 있어야 한다.
    run.data = data  # type: ignore[attr-defined]
    return run
