"""결과와 정답을 견주는 지표(metric). PSNR과 SSIM은 BasicSR과 같은 값을 내지만 BasicSR 없이 돈다.

나머지는 이름으로 골라 그 지표를 재는 패키지에서 빌린다. 패키지가 없으면 무엇을 설치할지 말한다.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from realesrgan.errors import EvaluationError, TrainingDependencyError, UsageError
from realesrgan.util.optional import import_cv2, import_optional, is_installed

Picture = NDArray[np.uint8]
Measure = Callable[[Picture, Picture], float]

OWN_METRICS = ("psnr", "ssim")
PYIQA_METRICS = ("lpips", "dists", "fid")
METRICS = (*OWN_METRICS, "niqe", *PYIQA_METRICS)
# NIQE의 한 덩어리(Mittal 2013). 덩어리가 둘은 있어야 공분산이 정해진다.
NIQE_BLOCK = 96
# ITU-R BT.601의 휘도(luma), 16..235 눈금. MATLAB의 rgb2ycbcr과 같다. BGR 차례.
_LUMA = np.array([24.966, 128.553, 65.481])
_LUMA_OFFSET = 16.0
# SSIM의 상수(Wang 2004, 3.B절): K1 = 0.01, K2 = 0.03, L = 255.
_C1, _C2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
SSIM_WINDOW = 11
_SSIM_SIGMA = 1.5


def luma(image: Picture) -> NDArray[np.float64]:
    """`(H, W, 3)` BGR uint8의 휘도 `(H, W)` float64, 16..235."""
    return image.astype(np.float64) @ (_LUMA / 255.0) + _LUMA_OFFSET


def _prepared(result: Picture, reference: Picture, border: int, y_channel: bool) -> tuple[NDArray[Any], NDArray[Any]]:
    """가장자리를 자르고 견줄 채널을 고른다."""
    if result.shape != reference.shape or result.ndim != 3 or result.shape[2] != 3:
        raise EvaluationError(
            f"크기가 달라 견줄 수 없습니다: 결과 {result.shape}, 정답 {reference.shape}\n"
            "  두 이미지는 같은 크기의 세 채널이어야 합니다.\n  해결: 배율과 짝이 맞는지 확인하세요."
        )
    if min(result.shape[:2]) <= 2 * border:
        raise EvaluationError(
            "이미지가 가장자리를 자르고 나면 남지 않습니다: "
            f"{result.shape[1]}x{result.shape[0]}, 가장자리 {border}픽셀\n"
            "  해결: --crop_border를 줄이거나 더 큰 이미지를 쓰세요."
        )
    inner = (slice(border, -border or None), slice(border, -border or None))
    if y_channel:
        return luma(result[inner])[..., None], luma(reference[inner])[..., None]
    return result[inner].astype(np.float64), reference[inner].astype(np.float64)


def psnr(result: Picture, reference: Picture, *, border: int = 0, y_channel: bool = False) -> float:
    """최대 신호 대 잡음비(Peak Signal-to-Noise Ratio), dB.

    Args:
        result, reference: `(H, W, 3)` BGR uint8.
        border: 재지 않을 가장자리(픽셀).
        y_channel: 휘도만 재는지. 아니면 RGB를 함께 잰다.

    Returns:
        dB. 두 이미지가 같으면 무한대다.

    Raises:
        EvaluationError: 크기가 다르거나 너무 작을 때.
    """
    first, second = _prepared(result, reference, border, y_channel)
    error = float(np.mean((first - second) ** 2))
    return math.inf if error == 0 else 10 * math.log10(255.0**2 / error)


def ssim(result: Picture, reference: Picture, *, border: int = 0, y_channel: bool = False) -> float:
    """구조 유사도(Structural Similarity). Wang 2004의 11x11 가우시안 창, 창이 온전히 들어가는 곳만.

    Args:
        result, reference: `(H, W, 3)` BGR uint8.
        border: 재지 않을 가장자리(픽셀).
        y_channel: 휘도만 재는지. 아니면 채널마다 재어 평균한다.

    Returns:
        1 이하의 값. 같으면 1이다.

    Raises:
        EvaluationError: 크기가 다르거나, 자르고 난 변이 11픽셀보다 짧을 때.
    """
    first, second = _prepared(result, reference, border, y_channel)
    if min(first.shape[:2]) < SSIM_WINDOW:
        raise EvaluationError(
            f"SSIM을 재기에 너무 작은 이미지입니다: {first.shape[1]}x{first.shape[0]}\n"
            f"  창의 한 변이 {SSIM_WINDOW}픽셀입니다.\n  해결: 더 큰 이미지를 쓰세요."
        )
    return float(np.mean([_ssim_plane(first[..., c], second[..., c]) for c in range(first.shape[2])]))


def _window_mean(plane: NDArray[np.float64]) -> NDArray[np.float64]:
    cv2 = import_cv2()
    taps = cv2.getGaussianKernel(SSIM_WINDOW, _SSIM_SIGMA)
    margin = SSIM_WINDOW // 2
    blurred: NDArray[np.float64] = cv2.sepFilter2D(np.ascontiguousarray(plane), -1, taps, taps)
    return blurred[margin:-margin, margin:-margin]


def _ssim_plane(first: NDArray[np.float64], second: NDArray[np.float64]) -> float:
    mean1, mean2 = _window_mean(first), _window_mean(second)
    variance1 = _window_mean(first**2) - mean1**2
    variance2 = _window_mean(second**2) - mean2**2
    covariance = _window_mean(first * second) - mean1 * mean2
    numerator = (2 * mean1 * mean2 + _C1) * (2 * covariance + _C2)
    return float(np.mean(numerator / ((mean1**2 + mean2**2 + _C1) * (variance1 + variance2 + _C2))))


@dataclass(frozen=True)
class Metric:
    """이미지 한 장의 지표.

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
    """이미지의 집합 전체를 견주는 지표(FID). 이미지마다의 값이 없으므로 평균하지 않는다."""

    name: str
    higher_better: bool
    measure: Callable[[Path, Path], float]


def default_metrics() -> list[str]:
    """고르지 않았을 때의 지표: PSNR과 SSIM, 훈련 패키지가 있으면 NIQE."""
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
        이미지마다의 지표와 집합의 지표.

    Raises:
        UsageError: 이름을 모를 때.
        MissingPackageError: pyiqa가 없을 때.
        EvaluationError: 훈련 패키지가 없어 NIQE를 잴 수 없을 때.
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
            "NIQE를 재려면 훈련 패키지가 필요합니다.\n  BasicSR의 NIQE와 그 매개변수 파일을 씁니다.\n"
            "  해결: README_KR.md의 '훈련 (Training)'대로 설치하거나 --metrics에서 niqe를 빼세요."
        ) from error

    def measure(result: Picture, _gt: Picture) -> float:
        blocks = [(side - 2 * border) // NIQE_BLOCK for side in result.shape[:2]]
        if blocks[0] * blocks[1] < 2:
            raise EvaluationError(
                f"NIQE를 재기에 너무 작은 이미지입니다: {result.shape[1]}x{result.shape[0]}\n"
                f"  한 변이 {NIQE_BLOCK}픽셀인 덩어리가 둘은 있어야 분포를 알 수 있습니다.\n"
                "  해결: 더 큰 이미지를 쓰세요."
            )
        # 무늬가 아주 없는 덩어리에서 0으로 나누는 경고가 나지만 값에는 쓰이지 않는다.
        with np.errstate(all="ignore"):
            return float(calculate_metric({"img": result}, {"type": "calculate_niqe", "crop_border": border}))

    return measure


def _create_pyiqa(name: str, device: str) -> Any:
    if is_installed("basicsr"):
        # pyiqa가 쓰는 torchvision은 CPU 버전의 torch 곁에서 그대로는 실리지 않는다. basicsr_bridge가 그것을 고친다.
        with contextlib.suppress(TrainingDependencyError):
            import realesrgan.basicsr_bridge  # noqa: F401
    pyiqa = import_optional("pyiqa", f"지표({name})를 재려면", "pip install pyiqa, 또는 --metrics에서 빼세요.")
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
