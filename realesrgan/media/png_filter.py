"""PNG의 줄 필터(filter)를 고르는 순수 함수. PNG 3판 9절을 따른다."""

from __future__ import annotations

import numpy as np

from realesrgan.media.picture import Array
from realesrgan.util.optional import import_cv2

_SUB, _UP, _AVERAGE, _PAETH = 1, 2, 3, 4


def filter_rows(rows: Array, above: Array, step: int) -> Array:
    """줄마다 가장 잘 눌릴 필터를 골라 적용한다.

    바이트 차이의 절댓값 합이 가장 작은 필터를 고르는 규격의 권고(12.7절)를 쓴다. 모든 계산을 uint8에서 하여
    벡터 명령을 온전히 쓴다.

    Args:
        rows: `(n, 줄 바이트)`, uint8.
        above: 첫 줄의 바로 윗줄, `(줄 바이트,)`. 그림의 첫 줄이면 0으로 채운다.
        step: 픽셀 하나의 바이트 수.

    Returns:
        `(n, 1 + 줄 바이트)`, uint8. 줄마다 맨 앞이 필터 번호다.
    """
    up: Array = np.concatenate([above[None], rows[:-1]])
    left, corner = np.zeros_like(rows), np.zeros_like(rows)
    left[:, step:] = rows[:, :-step]
    corner[:, step:] = up[:, :-step]
    candidates = {
        _SUB: rows - left,
        _UP: rows - up,
        _AVERAGE: rows - ((left & up) + ((left ^ up) >> 1)),
        _PAETH: rows - _paeth(left, up, corner),
    }
    numbers = np.array(list(candidates), np.uint8)
    costs = np.stack([np.minimum(item, 0 - item).sum(axis=1, dtype=np.uint64) for item in candidates.values()])
    best = numbers[costs.argmin(axis=0)]
    result: Array = np.empty((rows.shape[0], rows.shape[1] + 1), np.uint8)
    result[:, 0] = best
    for number, item in candidates.items():
        chosen = best == number
        result[chosen, 1:] = item[chosen]
    return result


def _paeth(left: Array, up: Array, corner: Array) -> Array:
    """Paeth 예측값(9.4절).

    `pc = |a + b - 2c|`는 아홉 비트가 필요하지만, 두 차이의 부호가 같으면 `pa + pb`(포화해도 순서가 같다),
    다르면 `|pa - pb|`이므로 여덟 비트로 같은 답을 얻는다.
    """
    cv2 = import_cv2()
    pa, pb = cv2.absdiff(up, corner), cv2.absdiff(left, corner)
    differ = cv2.bitwise_xor(cv2.compare(up, corner, cv2.CMP_LT), cv2.compare(left, corner, cv2.CMP_LT))
    pc = cv2.bitwise_or(
        cv2.bitwise_and(cv2.add(pa, pb), cv2.bitwise_not(differ)),
        cv2.bitwise_and(cv2.absdiff(pa, pb), differ),
    )
    use_left = cv2.bitwise_and(cv2.compare(pa, pb, cv2.CMP_LE), cv2.compare(pa, pc, cv2.CMP_LE))
    use_up = cv2.bitwise_and(cv2.compare(pb, pc, cv2.CMP_LE), cv2.bitwise_not(use_left))
    use_corner = cv2.bitwise_not(cv2.bitwise_or(use_left, use_up))
    mixed = cv2.bitwise_or(cv2.bitwise_and(left, use_left), cv2.bitwise_and(up, use_up))
    predicted: Array = cv2.bitwise_or(mixed, cv2.bitwise_and(corner, use_corner))
    return predicted
