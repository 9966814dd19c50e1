"""크기의 셈. 사람이 손으로 한 것과 같은 수가 나오게 한다."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from numbers import Real
from typing import Any

from realesrgan.errors import InvalidValueError


@dataclass(frozen=True)
class OutputSize:
    """사람이 말하는 결과의 크기. 넷 가운데 하나만 정하며, 비율은 원본을 따른다. 늘이거나 자르지 않는다.

    Attributes:
        width, height: 너비나 높이(픽셀), 1 이상.
        long_side: 긴 변(픽셀), 1 이상.
        fit: 결과가 들어갈 상자의 `(너비, 높이)`, 픽셀. 한 변은 꼭 맞고 다른 변은 넘지 않는다.

    Raises:
        InvalidValueError: 하나가 아니거나 1보다 작을 때.
    """

    width: int | None = None
    height: int | None = None
    long_side: int | None = None
    fit: tuple[int, int] | None = None

    def __post_init__(self) -> None:
        given = [value for value in (self.width, self.height, self.long_side, self.fit) if value is not None]
        sides = [side for value in given for side in (value if isinstance(value, tuple) else (value,))]
        if len(given) != 1 or min(sides) < 1:
            raise InvalidValueError(f"width, height, long_side, fit 가운데 하나를 1 이상으로 주어야 합니다: {self}")

    def factor(self, width: int, height: int) -> Fraction:
        """`(너비, 높이)`의 원본을 이 크기로 만드는 배율."""
        if self.fit is not None:
            return min(Fraction(self.fit[0], width), Fraction(self.fit[1], height))
        if self.height is not None:
            return Fraction(self.height, height)
        return Fraction(self.width or self.long_side or 1, width if self.width else max(width, height))


# 네트워크의 배율을 이만큼까지 넘는 크기는 다시 키우지 않고 보간으로 넓힌다. 잰 것은 inference_context.md에 있다.
TOLERANCE = 1.5
# 이보다 큰 배율은 잘못 적은 것으로 본다.
MAX_OUTSCALE = 100
# 결과의 크기를 정하는 것: 배율이나, 사람이 말하는 크기.
Outscale = float | OutputSize


def scale_factor(outscale: Outscale, width: int, height: int) -> Fraction:
    """`(너비, 높이)`의 원본에 쓸 배율. 배율로 준 수는 적힌 십진수 그대로다.

    Raises:
        ValueError: 배율이 0 이하이거나 유한하지 않을 때.
    """
    try:
        factor = outscale.factor(width, height) if isinstance(outscale, OutputSize) else Fraction(str(outscale))
    except ValueError:
        factor = Fraction(0)
    if factor <= 0:
        raise ValueError(f"배율은 0보다 큰 유한한 수여야 합니다: {outscale}")
    return factor


def check_outscale(outscale: Any) -> Any:
    """마지막 배율이 쓸 수 있는 수인지 본다. 없거나(None) `OutputSize`면 그대로 둔다.

    Raises:
        InvalidValueError: 수가 아니거나, 0 이하이거나, `MAX_OUTSCALE`을 넘거나, NaN이나 무한대일 때.
    """
    if outscale is None or isinstance(outscale, OutputSize):
        return outscale
    if isinstance(outscale, bool) or not isinstance(outscale, Real):
        raise InvalidValueError(f"outscale은 수여야 합니다: {outscale!r}\n  해결: 4나 2.5처럼 주세요.")
    factor = float(outscale)
    if not math.isfinite(factor) or factor <= 0:
        raise InvalidValueError(f"outscale은 0보다 큰 유한한 수여야 합니다: {outscale}\n  해결: 4나 2.5처럼 주세요.")
    if factor > MAX_OUTSCALE:
        raise InvalidValueError(f"outscale은 {MAX_OUTSCALE} 이하여야 합니다: {outscale}\n  해결: 4나 2.5처럼 주세요.")
    return factor


def plan_passes(
    width: int, height: int, target: tuple[int, int], scale: int, *, tolerance: float = TOLERANCE
) -> list[tuple[int, int]]:
    """네트워크를 몇 번 거칠지, 거칠 때마다 어떤 크기로 맞출지 정한다.

    한 번에 닿지 않는 크기만 여러 번 거친다. 조금 넘는 크기는 보간으로 넓히는 쪽이 정답에 더 가깝다. 가운데의 크기는
    다음 번에 꼭 닿을 만큼만 둔다: 네 배의 네트워크로 여덟 배를 만들 때 첫 결과를 두 배로 줄여 넣으면 두 번째 계산이
    4분의 1이 된다.

    Args:
        width, height: 원본의 크기(픽셀).
        target: 결과의 `(너비, 높이)`, 픽셀.
        scale: 네트워크의 배율.
        tolerance: 한 번에 닿는 크기의 이만큼까지는 보간으로 넓힌다, 1 이상.

    Returns:
        거칠 때마다의 `(너비, 높이)`. 마지막이 `target`이다.
    """
    sizes = [target]
    reach = scale * tolerance
    while scale > 1 and (sizes[0][0] > width * reach or sizes[0][1] > height * reach):
        sizes.insert(0, (-(-sizes[0][0] // scale), -(-sizes[0][1] // scale)))
    return sizes


def passes_note(passes: Sequence[tuple[int, int]]) -> tuple[str, ...]:
    """여러 번 거칠 때 사용자에게 알릴 말."""
    if len(passes) == 1:
        return ()
    steps = " -> ".join(f"{width}x{height}" for width, height in passes)
    return (
        f"모델의 배율을 넘는 크기라 {len(passes)}번 키웁니다: {steps}. 두 번째부터는 앞의 결과를 다시 키우므로 원본에 "
        "없는 무늬를 지어냅니다.",
    )


def scaled_size(width: int, height: int, outscale: Outscale, *, least: int = 0) -> tuple[int, int]:
    """업스케일한 결과의 크기를 정한다.

    배율을 적힌 십진수 그대로 셈해 반올림한다(0.5는 올린다). 이진 소수로 곱해 버리면 100의 2.3배가 229가 된다.
    배율이 정수면 언제나 정확한 곱이다.

    Args:
        width, height: 입력 크기(픽셀), 1 이상.
        outscale: 업스케일 배율(0보다 큰 유한한 수)이나 `OutputSize`.
        least: 배율이 이보다 작으면 이것으로 본다.

    Returns:
        결과의 `(너비, 높이)`, 픽셀. 1보다 작아지지 않는다.

    Raises:
        ValueError: 배율이 0 이하이거나 유한하지 않을 때.
    """
    scale = max(scale_factor(outscale, width, height), Fraction(least))
    half = Fraction(1, 2)
    return max(int(width * scale + half), 1), max(int(height * scale + half), 1)


def describe_bytes(count: float) -> str:
    """바이트 수를 사람이 읽는 단위로 적는다."""
    for unit, size in (("GB", 1 << 30), ("MB", 1 << 20), ("KB", 1 << 10)):
        if count >= size:
            return f"{count / size:.1f}{unit}"
    return f"{int(count)}B"


def describe_seconds(seconds: float) -> str:
    """초를 사람이 읽는 시간으로 적는다."""
    whole = max(round(seconds), 0)
    hours, minutes = whole // 3600, whole % 3600 // 60
    if hours:
        return f"{hours}시간 {minutes}분"
    return f"{minutes}분 {whole % 60}초" if minutes else f"{whole}초"


def describe_spent(seconds: float) -> str:
    """걸린 시간을 사람이 읽는 글로 적는다. 1분이 안 되면 0.1초까지다."""
    return f"{max(seconds, 0):.1f}초" if seconds < 59.95 else describe_seconds(seconds)


def parse_time(text: str) -> Fraction:
    """`12.5`, `1:02.5`, `1:02:03` 같은 글을 초로 읽는다.

    Raises:
        ValueError: 시각이 아닐 때.
    """
    parts = text.strip().split(":")
    if not 1 <= len(parts) <= 3 or any(not part for part in parts):
        raise ValueError(f"시각이 아닙니다: {text}")
    numbers = [Fraction(part) for part in parts]
    if any(number < 0 for number in numbers) or any(number >= 60 for number in numbers[1:]):
        raise ValueError(f"시각이 아닙니다: {text}")
    seconds = Fraction(0)
    for number in numbers:
        seconds = seconds * 60 + number
    return seconds
