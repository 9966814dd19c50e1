"""완전히 투명한 픽셀에 이웃의 색을 번지게 하는 순수 함수."""

from __future__ import annotations

import numpy as np

from realesrgan.media.opencv import import_cv2
from realesrgan.media.picture import Array


def bleed_colour(bgra: Array) -> Array:
    """완전히 투명한 픽셀의 색을 가장 가까운 보이는 픽셀의 색으로 채운다.

    투명한 곳의 색은 보통 검정이나 흰색이라, 그대로 키우면 그 색이 가장자리로 새어 테두리(fringe)가 된다.
    알파 값과 보이는 픽셀의 색은 바뀌지 않는다.

    Args:
        bgra: `(H, W, 4)`, uint8 또는 uint16, 곱하지 않은(straight) 알파.

    Returns:
        같은 모양과 자료형의 배열. 투명한 픽셀이 하나도 없거나 모두 투명하면 받은 배열을 그대로 돌려준다.

    Raises:
        ValueError: 모양이 `(H, W, 4)`가 아닐 때.
    """
    if bgra.ndim != 3 or bgra.shape[2] != 4:
        raise ValueError(f"(H, W, 4) 배열이 필요합니다: {bgra.shape}")
    hidden = (bgra[..., 3] == 0).astype(np.uint8)
    if not hidden.any() or hidden.all():
        return bgra
    cv2 = import_cv2()
    # 거리 변환(distance transform)은 0인 픽셀(보이는 픽셀)마다 번호를 주고, 나머지에는 가장 가까운 것의 번호를 준다.
    _, labels = cv2.distanceTransformWithLabels(hidden, cv2.DIST_L2, 5, labelType=cv2.DIST_LABEL_PIXEL)
    visible = hidden == 0
    colours = np.zeros((int(labels.max()) + 1, 3), bgra.dtype)
    colours[labels[visible]] = bgra[visible, :3]
    result = bgra.copy()
    transparent = ~visible
    result[transparent, :3] = colours[labels[transparent]]
    return result
