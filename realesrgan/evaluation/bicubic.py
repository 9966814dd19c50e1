"""MATLAB `imresize`와 같은 바이큐빅(bicubic). 초해상도 논문들이 저품질 이미지를 만드는 방법이다.

줄일 때 커널을 배율만큼 넓혀 계단을 없앤다(antialias). OpenCV와 PyTorch의 바이큐빅은 그러지 않거나 계수가 달라, 그것으로
만든 저품질 이미지에서 잰 값은 논문의 값과 견줄 수 없다.
"""

from __future__ import annotations

import functools
import math

import numpy as np
from numpy.typing import NDArray

# Keys 1981의 바이큐빅 계수. MATLAB은 -0.5, OpenCV는 -0.75를 쓴다.
_A = -0.5
_SUPPORT = 4.0


def cubic(distance: NDArray[np.float64]) -> NDArray[np.float64]:
    """Keys 1981의 삼차 합성곱 커널. 거리의 단위는 픽셀이고 2에서 0이 된다."""
    d = np.abs(distance)
    near = (_A + 2) * d**3 - (_A + 3) * d**2 + 1
    far = _A * d**3 - 5 * _A * d**2 + 8 * _A * d - 4 * _A
    return np.where(d <= 1, near, np.where(d <= 2, far, 0.0))


@functools.lru_cache(maxsize=64)
def resize_matrix(length: int, scale: float) -> NDArray[np.float64]:
    """길이 `length`의 신호를 `scale`배로 바꾸는 행렬 `(ceil(length * scale), length)`. 줄마다 합이 1이다.

    바깥은 거울처럼 되풀이한다(끝 픽셀도 한 번 더).
    """
    count = math.ceil(length * scale)
    squeeze = min(scale, 1.0)
    width = _SUPPORT / squeeze
    # 두 격자의 가운데를 맞춘다. MATLAB처럼 픽셀의 가운데가 정수 자리에 있다고 본다.
    centres = (np.arange(count) + 0.5) / scale - 0.5
    first = np.floor(centres - width / 2).astype(int)
    taps = first[:, None] + np.arange(math.ceil(width) + 2)
    weights = cubic((centres[:, None] - taps) * squeeze)
    weights /= weights.sum(axis=1, keepdims=True)
    mirrored = np.mod(taps, 2 * length)
    mirrored = np.where(mirrored < length, mirrored, 2 * length - 1 - mirrored)
    matrix = np.zeros((count, length))
    np.add.at(matrix, (np.arange(count)[:, None], mirrored), weights)
    return matrix


def matlab_bicubic(image: NDArray[np.generic], scale: float) -> NDArray[np.float64]:
    """이미지를 `scale`배로 바꾼다.

    Args:
        image: `(H, W)`나 `(H, W, C)`.
        scale: 배율, 0보다 큰 수.

    Returns:
        `(ceil(H * scale), ceil(W * scale)[, C])` float64. 자르거나 반올림하지 않는다.
    """
    values = np.asarray(image, dtype=np.float64)
    rows, columns = resize_matrix(values.shape[0], scale), resize_matrix(values.shape[1], scale)
    tall = np.tensordot(rows, values, axes=1)
    return np.moveaxis(np.tensordot(columns, tall, axes=(1, 1)), 0, 1)


def bicubic_8bit(image: NDArray[np.uint8], scale: float) -> NDArray[np.uint8]:
    """8비트 이미지를 바꾸어 8비트로 반올림한다. MATLAB에서 uint8을 넣은 것과 같다."""
    return np.ascontiguousarray(np.clip(np.rint(matlab_bicubic(image, scale)), 0, 255).astype(np.uint8))
