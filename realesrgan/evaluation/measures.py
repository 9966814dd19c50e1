"""이름으로 고르는 지표들. 값을 내는 꾸러미가 없으면 무엇을 설치할지 말한다."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from realesrgan.errors import EvaluationError, TrainingDependencyError, UsageError
from realesrgan.evaluation.metrics import Picture, psnr, ssim
from realesrgan.util.optional import import_optional, is_installed

OWN_METRICS = ("psnr", "ssim")
PYIQA_METRICS = ("lpips", "dists", "fid")
METRICS = (*OWN_METRICS, "niqe", *PYIQA_METRICS)
# NIQE의 한 덩어리(Mittal 2013). 덩어리가 둘은 있어야 공분산이 정해진다.
NIQE_BLOCK = 96

Measure = Callable[[Picture, Picture], float]


@dataclass(frozen=True)
class Metric:
    """그림 한 장의 지표.

    Attributes:
        name: 이름.
        higher_better: 클수록 좋은지.
        measure: `(결과, 정답)`에서 값을 내는 함수.
    """

    name: str
    higher_better: bool
    measure: Measure


@dataclass(frozen=True)
class SetMetric:
    """그림의 집합 전체를 견주는 지표(FID). 그림마다의 값이 없으므로 평균하지 않는다."""

    name: str
    higher_better: bool
    measure: Callable[[Path, Path], float]


def default_metrics() -> list[str]:
    """고르지 않았을 때의 지표: PSNR과 SSIM, 훈련 꾸러미가 있으면 NIQE."""
    return [*OWN_METRICS, *(["niqe"] if is_installed("basicsr") else [])]


def make_metrics(
    names: Sequence[str], border: int, y_channel: bool, device: str = "cpu"
) -> tuple[list[Metric], list[SetMetric]]:
    """지표를 만든다.

    Args:
        names: `METRICS`의 이름들.
        border: 재지 않을 가장자리(픽셀).
        y_channel: PSNR과 SSIM을 휘도로 재는지.
        device: pyiqa의 지표를 계산할 장치.

    Returns:
        그림마다의 지표와 집합의 지표.

    Raises:
        UsageError: 이름을 모를 때.
        MissingPackageError: pyiqa가 없을 때.
        EvaluationError: 훈련 꾸러미가 없어 NIQE를 잴 수 없을 때.
    """
    unknown = [name for name in names if name not in METRICS]
    if unknown:
        raise UsageError(f"모르는 지표입니다: {', '.join(unknown)}\n  쓸 수 있는 이름: {', '.join(METRICS)}")
    single: list[Metric] = []
    whole: list[SetMetric] = []
    for name in dict.fromkeys(names):
        if name in OWN_METRICS:
            own = psnr if name == "psnr" else ssim
            single.append(Metric(name, True, _own(own, border, y_channel)))
        elif name == "niqe":
            single.append(Metric(name, False, _niqe(border)))
        elif name == "fid":
            whole.append(_fid(device))
        else:
            single.append(_pyiqa(name, device))
    return single, whole


def _own(function: Callable[..., float], border: int, y_channel: bool) -> Measure:
    return lambda result, gt: function(result, gt, border=border, y_channel=y_channel)


def _niqe(border: int) -> Measure:
    """BasicSR의 NIQE(Mittal 2013, 휘도로). 정답은 보지 않는다."""
    try:
        from realesrgan.basicsr_bridge import calculate_metric
    except TrainingDependencyError as error:
        raise EvaluationError(
            "NIQE를 재려면 훈련 꾸러미가 필요합니다.\n  BasicSR의 NIQE와 그 매개변수 파일을 씁니다.\n"
            "  해결: README의 '훈련'대로 설치하거나 --metrics에서 niqe를 빼세요."
        ) from error

    def measure(result: Picture, _gt: Picture) -> float:
        blocks = [(side - 2 * border) // NIQE_BLOCK for side in result.shape[:2]]
        if blocks[0] * blocks[1] < 2:
            raise EvaluationError(
                f"NIQE를 재기에 너무 작은 그림입니다: {result.shape[1]}x{result.shape[0]}\n"
                f"  한 변이 {NIQE_BLOCK}픽셀인 덩어리가 둘은 있어야 분포를 알 수 있습니다.\n"
                "  해결: 더 큰 그림을 쓰세요."
            )
        # 무늬가 아주 없는 덩어리에서 0으로 나누는 경고가 나지만 값에는 쓰이지 않는다.
        with np.errstate(all="ignore"):
            return float(calculate_metric({"img": result}, {"type": "calculate_niqe", "crop_border": border}))

    return measure


def _create_pyiqa(name: str, device: str) -> Any:
    if is_installed("basicsr"):
        # pyiqa가 쓰는 torchvision은 CPU판 torch 곁에서 그대로는 실리지 않는다. 다리가 그것을 고친다.
        with contextlib.suppress(TrainingDependencyError):
            import realesrgan.basicsr_bridge  # noqa: F401
    pyiqa = import_optional("pyiqa", f"지표 {name}을(를) 재려면", "pip install pyiqa, 또는 --metrics에서 빼세요.")
    return pyiqa.create_metric(name, device=device)


def _to_tensor(picture: Picture, device: str) -> Any:
    import torch

    planes = np.ascontiguousarray(picture[..., ::-1].transpose(2, 0, 1))
    return torch.from_numpy(planes)[None].float().div_(255.0).to(device)


def _pyiqa(name: str, device: str) -> Metric:
    scorer = _create_pyiqa(name, device)

    def measure(result: Picture, gt: Picture) -> float:
        return float(scorer(_to_tensor(result, device), _to_tensor(gt, device)))

    return Metric(name, not bool(getattr(scorer, "lower_better", True)), measure)


def _fid(device: str) -> SetMetric:
    scorer = _create_pyiqa("fid", device)
    return SetMetric("fid", False, lambda results, gts: float(scorer(str(results), str(gts))))


def mean(values: Sequence[float | None]) -> float | None:
    """잰 값들의 평균. 하나도 재지 못했으면 None."""
    found = [value for value in values if value is not None and not math.isnan(value)]
    return float(np.mean(found)) if found else None
