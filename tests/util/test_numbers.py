"""결과의 크기가 손으로 셈한 것과 같은지."""

from __future__ import annotations

from decimal import ROUND_HALF_UP, Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from realesrgan.util.numbers import scaled_size

SIDES = st.integers(1, 10**6)


@pytest.mark.parametrize(
    ("side", "scale", "expected"),
    [
        (100, 2.3, 230),
        (100, 1.15, 115),
        (3, 1.5, 5),
        (5, 0.1, 1),
        (1, 0.01, 1),
        (7, 4, 28),
        (7, 4.0, 28),
        (29, 1.1, 32),
    ],
)
def test_sizes_known_by_hand(side, scale, expected):
    assert scaled_size(side, side, scale) == (expected, expected)


@given(SIDES, SIDES, st.integers(1, 100))
def test_whole_scales_multiply_exactly(width, height, scale):
    assert (
        scaled_size(width, height, scale) == scaled_size(width, height, float(scale)) == (width * scale, height * scale)
    )


@given(SIDES, st.decimals("0.01", "100", places=2))
def test_a_size_is_the_decimal_product_rounded_half_up(side, scale):
    product = (side * scale).quantize(Decimal(1), ROUND_HALF_UP)
    assert scaled_size(side, 1, float(scale))[0] == max(int(product), 1)


@given(SIDES, SIDES, st.floats(0.01, 100))
def test_a_longer_side_never_becomes_shorter(one, other, scale):
    width, height = scaled_size(max(one, other), min(one, other), scale)
    assert width >= height >= 1


@pytest.mark.parametrize("scale", [0, -1, float("nan"), float("inf")])
def test_a_scale_that_is_none_is_refused(scale):
    with pytest.raises(ValueError, match="배율"):
        scaled_size(1, 1, scale)
