"""ExecuTorch의 `.pte`. 합성곱은 XNNPACK이 계산한다. PyTorch의 공식 휴대전화 런타임이다."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from realesrgan.errors import ExportError
from realesrgan.export.formats import at_precision
from realesrgan.export.targets import SMALLEST_SIDE, MobilePlan, quiet
from realesrgan.inference.model import Model
from realesrgan.util.optional import import_optional

_PURPOSE = "ExecuTorch로 내보내려면"


def dynamic_shapes(plan: MobilePlan) -> Any:
    """`torch.export`에 줄 크기의 꼴. 정해진 꼴이면 None."""
    if plan.shape == "fixed":
        return None
    sides = []
    for name in ("height", "width"):
        count = torch.export.Dim(f"{name}_units", min=SMALLEST_SIDE, max=plan.tile // plan.multiple)
        sides.append(count * plan.multiple if plan.multiple > 1 else count)
    return ({2: sides[0], 3: sides[1]},)


def build(model: Model, draft: Path, plan: MobilePlan, metadata: dict[str, str]) -> None:
    """모델을 `draft`에 적는다. 메타데이터는 이름마다 값을 돌려주는 메서드가 된다(`scale`이면 4).

    Raises:
        MissingPackageError: executorch가 없을 때.
        ExportError: 바꿀 수 없는 네트워크일 때.
    """
    with quiet():
        exir = import_optional("executorch.exir", _PURPOSE, plan.target.install)
        partition = import_optional(
            "executorch.backends.xnnpack.partition.xnnpack_partitioner", _PURPOSE, plan.target.install
        )
        # 두 변이 다른 본보기여야 같은 크기로 굳지 않는다.
        height = plan.tile if plan.shape == "fixed" else plan.tile // 2 // plan.multiple * plan.multiple
        example = torch.rand(1, 3, height, plan.tile)
        network = at_precision(model.network, plan.precision).eval()
        try:
            exported = torch.export.export(network, (example,), dynamic_shapes=dynamic_shapes(plan))
            lowered = exir.to_edge_transform_and_lower(
                exported, partitioner=[partition.XnnpackPartitioner()], constant_methods=_constants(metadata)
            )
            program = lowered.to_executorch()
        except Exception as error:
            # 변환기의 예외들은 공통된 바탕 클래스를 내보이지 않는다.
            reason = next(iter(str(error).splitlines()), "") or type(error).__name__
            raise ExportError(
                f"ExecuTorch로 바꾸지 못했습니다: {type(model.network).__name__}\n  이유: {reason}\n"
                "  해결: --shape fixed로 해 보거나, --target에서 executorch를 빼세요."
            ) from error
    draft.write_bytes(program.buffer)


def _constants(metadata: dict[str, str]) -> dict[str, Any]:
    return {key: int(value) if value.isdecimal() else value for key, value in metadata.items()}


def open_runner(draft: Path, plan: MobilePlan) -> Callable[[Tensor], Tensor]:
    """파일을 ExecuTorch의 파이썬 런타임으로 실어 `(1, 3, H, W)`를 키우는 함수를 돌려준다.

    Raises:
        MissingPackageError: executorch가 없을 때.
        ExportError: 실을 수 없을 때.
    """
    with quiet():
        module = import_optional("executorch.runtime", _PURPOSE, plan.target.install)
        try:
            program = module.Runtime.get().load_program(draft.read_bytes())
            method = program.load_method("forward")
        except RuntimeError as error:
            raise ExportError(f"ExecuTorch가 파일을 싣지 못했습니다: {draft.name}\n  이유: {error}") from error

    def run(batch: Tensor) -> Tensor:
        # 결과는 런타임의 메모리를 가리킨다. 다음 실행이 덮기 전에 베낀다.
        return torch.cat([method.execute([one.contiguous()])[0].clone() for one in batch.split(1)])

    # 메서드는 프로그램의 메모리를 가리킨다.
    run.program = program  # type: ignore[attr-defined]
    return run
