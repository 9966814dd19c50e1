"""영상의 가장자리를 반사(reflect)로 덧댄다."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def pad_amounts(height: int, width: int, pre_pad: int, multiple: int) -> tuple[int, int]:
    """아래쪽과 오른쪽에 덧댈 픽셀 수를 구한다.

    Args:
        height, width: 영상 크기(픽셀).
        pre_pad: 먼저 덧댈 픽셀 수.
        multiple: 덧댄 뒤의 크기가 맞춰야 하는 배수.

    Returns:
        `(아래, 오른쪽)`.
    """
    bottom = pre_pad + -(height + pre_pad) % multiple
    right = pre_pad + -(width + pre_pad) % multiple
    return bottom, right


def pad_bottom_right(
    image: NDArray[np.generic], bottom: int, right: int, first: tuple[int, int] | None = None
) -> NDArray[np.generic]:
    """`(H, W)`나 `(H, W, C)`의 아래와 오른쪽을 반사로 덧댄다. 덧댈 양이 영상보다 커도 된다.

    Args:
        image: 영상.
        bottom, right: 덧댈 픽셀 수.
        first: 두 번에 나누어 덧댈 때 먼저 덧댈 `(아래, 오른쪽)`. 반사는 한 번에 할 때와 나누어 할 때 결과가 다르다.

    Returns:
        덧댄 영상. 덧댈 것이 없으면 받은 배열 그대로다.
    """
    if bottom == 0 and right == 0:
        return image
    steps = [(bottom, right)] if first is None else [first, (bottom - first[0], right - first[1])]
    for rows, columns in steps:
        widths = ((0, rows), (0, columns), *((0, 0),) * (image.ndim - 2))
        image = np.pad(image, widths, mode="reflect")
    return image
