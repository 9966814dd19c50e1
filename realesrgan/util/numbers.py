"""크기의 셈. 사람이 손으로 한 것과 같은 수가 나오게 한다."""

from __future__ import annotations

from fractions import Fraction


def scaled_size(width: int, height: int, outscale: float) -> tuple[int, int]:
    """업스케일한 결과의 크기를 정한다.

    배율을 적힌 십진수 그대로 셈해 반올림한다(0.5는 올린다). 이진 소수로 곱해 버리면 100의 2.3배가 229가 된다.
    배율이 정수면 언제나 정확한 곱이다.

    Args:
        width, height: 입력 크기(픽셀), 1 이상.
        outscale: 업스케일 배율, 0보다 큰 유한한 수.

    Returns:
        결과의 `(너비, 높이)`, 픽셀. 1보다 작아지지 않는다.

    Raises:
        ValueError: 배율이 0 이하이거나 유한하지 않을 때.
    """
    try:
        scale = Fraction(str(outscale))
    except ValueError:
        raise ValueError(f"배율은 0보다 큰 유한한 수여야 합니다: {outscale}") from None
    if scale <= 0:
        raise ValueError(f"배율은 0보다 큰 유한한 수여야 합니다: {outscale}")
    half = Fraction(1, 2)
    return max(int(width * scale + half), 1), max(int(height * scale + half), 1)


def describe_bytes(count: float) -> str:
    """바이트 수를 사람이 읽는 단위로 적는다."""
    for unit, size in (("GB", 1 << 30), ("MB", 1 << 20), ("KB", 1 << 10)):
        if count >= size:
            return f"{count / size:.1f}{unit}"
    return f"{int(count)}B"
