"""EXIF 방향(orientation)을 배열에 적용하는 순수 함수."""

from __future__ import annotations

import numpy as np

from realesrgan.media.picture import Array


def apply_orientation(array: Array, orientation: int) -> Array:
    """카메라가 적어 둔 방향대로 배열을 돌리거나 뒤집는다(Exif 2.32의 4.6.4절, Orientation).

    Args:
        array: `(H, W)` 또는 `(H, W, C)`.
        orientation: 1..8. 5 이상이면 가로와 세로가 바뀐다.

    Returns:
        연속된(contiguous) 배열. 1이면 받은 배열 그대로다.
    """
    if orientation >= 5:
        array = array.swapaxes(0, 1)
    if orientation in (2, 3, 6, 7):
        array = array[:, ::-1]
    if orientation in (3, 4, 7, 8):
        array = array[::-1]
    return np.ascontiguousarray(array)


def oriented_size(width: int, height: int, orientation: int) -> tuple[int, int]:
    """방향을 적용한 뒤의 `(가로, 세로)`."""
    return (height, width) if orientation >= 5 else (width, height)
