"""사람이 손으로 셈하듯 하는 수의 셈."""

from __future__ import annotations

from fractions import Fraction


def scaled_size(width: int, height: int, outscale: float) -> tuple[int, int]:
    """크기에 배율을 곱해 반올림한다. 십진수로 적힌 배율 그대로 셈하므로 100의 2.3배는 229가 아니라 230이다.

    Args:
        width, height: 원본의 크기(픽셀).
        outscale: 배율, 0보다 큰 수.

    Returns:
        `(너비, 높이)`, 1 이상. 꼭 반이면 올린다.
    """
    factor = Fraction(str(float(outscale)))
    return tuple(max((2 * side * factor + 1) // 2, 1) for side in (width, height))  # type: ignore[return-value]
