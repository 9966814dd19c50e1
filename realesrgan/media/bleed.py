"""완전히 투명한 픽셀에 이웃의 색을 번지게 하는 순수 함수."""

from __future__ import annotations

import numpy as np

from realesrgan.media.picture import Array
from realesrgan.util.optional import import_cv2


def bleed_colour(bgra: Array) -> Array:
    """완전히 투명한 픽셀의 색을 가장 가까운 보이는 픽셀의 색으로 채운다.

    투명한 곳의 색은 보통 검정이나 흰색이라, 그대로 키우면 그 색이 가장자리로 새어 테두리(fringe)가 된다.
    알파 값과 보이는 픽셀의 색은 바뀌지 않는다.

    Args:
        bgra: `(H, W, 4)`, uint8 또는 uint16, 곱하지 않은(straight) 알파.

    Returns:
        같은 모양과 자료형의 배열. 투명한 픽셀이 하나도 없거나 모두 투명하면 받은 배열을 그대로 돌려준다.

    Raises:
        ValueError: uint8 또는 uint16의 `(H, W, 4)`가 아닐 때.
    """
    if bgra.ndim != 3 or bgra.shape[2] != 4 or bgra.dtype not in (np.uint8, np.uint16):
        raise ValueError(f"uint8 또는 uint16의 (H, W, 4) 배열이 필요합니다: {bgra.shape} {bgra.dtype}")
    hidden = (bgra[..., 3] == 0).astype(np.uint8)
    if not hidden.any() or hidden.all():
        return bgra
    cv2 = import_cv2()
    # 거리 변환(distance transform)은 0인 픽셀(보이는 픽셀)마다 번호를 주고, 나머지에는 가장 가까운 것의 번호를 준다.
    _, labels = cv2.distanceTransformWithLabels(hidden, cv2.DIST_L2, 5, labelType=cv2.DIST_LABEL_PIXEL)
    # 픽셀 하나를 정수 하나로 보면 색을 옮기는 일이 몇 배 빨라진다. 함께 옮겨진 알파는 끝에 0으로 되돌린다.
    result = np.ascontiguousarray(bgra).copy()
    packed = result.view(np.uint32 if bgra.dtype == np.uint8 else np.uint64)[..., 0]
    visible, transparent = hidden == 0, hidden != 0
    colours = np.zeros(int(labels.max()) + 1, packed.dtype)
    colours[labels[visible]] = packed[visible]
    packed[transparent] = colours[labels[transparent]]
    result[transparent, 3] = 0
    return result
