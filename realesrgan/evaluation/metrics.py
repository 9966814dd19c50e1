"""결과와 정답을 견주는 지표(metric). BasicSR과 같은 값을 내지만 BasicSR 없이 돈다."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from realesrgan.errors import EvaluationError
from realesrgan.util.optional import import_cv2

Picture = NDArray[np.uint8]

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
            "  두 그림은 같은 크기의 세 채널이어야 합니다.\n  해결: 배율과 짝이 맞는지 확인하세요."
        )
    if min(result.shape[:2]) <= 2 * border:
        raise EvaluationError(
            f"그림이 가장자리를 자르고 나면 남지 않습니다: {result.shape[1]}x{result.shape[0]}, 가장자리 {border}픽셀\n"
            "  해결: --crop_border를 줄이거나 더 큰 그림을 쓰세요."
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
        dB. 두 그림이 같으면 무한대다.

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
            f"SSIM을 재기에 너무 작은 그림입니다: {first.shape[1]}x{first.shape[0]}\n"
            f"  창의 한 변이 {SSIM_WINDOW}픽셀입니다.\n  해결: 더 큰 그림을 쓰세요."
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
