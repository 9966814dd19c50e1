"""결과의 크기가 손으로 셈한 것과 같은지."""

from __future__ import annotations

from decimal import ROUND_HALF_UP, Decimal
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from realesrgan.util.numbers import OutputSize, passes_note, plan_passes, scale_factor, scaled_size

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


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        (OutputSize(width=1920), (1920, 1280)),
        (OutputSize(height=100), (150, 100)),
        (OutputSize(long_side=1000), (1000, 667)),
        (OutputSize(fit=(1000, 300)), (450, 300)),
        (OutputSize(fit=(300, 1000)), (300, 200)),
    ],
)
def test_wanted_side_is_met_and_the_other_follows_the_ratio(wanted, expected):
    assert scaled_size(600, 400, wanted) == expected


@given(SIDES, SIDES, st.integers(1, 10**5), st.integers(1, 10**5))
def test_fit_touches_the_box_and_never_leaves_it(width, height, wide, high):
    made = scaled_size(width, height, OutputSize(fit=(wide, high)))
    assert (made[0] == wide or made[1] == high) and made[0] <= wide and made[1] <= high


@given(SIDES, SIDES, st.integers(1, 10**5))
def test_named_side_is_exact_whatever_the_picture(width, height, side):
    assert scaled_size(width, height, OutputSize(width=side))[0] == side
    assert scaled_size(width, height, OutputSize(height=side))[1] == side
    assert max(scaled_size(width, height, OutputSize(long_side=side))) == side


@pytest.mark.parametrize("sides", [{}, {"width": 0}, {"width": 3, "height": 3}, {"fit": (3, 0)}])
def test_size_that_says_nothing_or_two_things_is_refused(sides):
    with pytest.raises(ValueError, match="하나를"):
        OutputSize(**sides)


@pytest.mark.parametrize(
    ("target", "scale", "expected"),
    [
        ((40, 24), 4, [(40, 24)]),
        ((20, 12), 4, [(20, 12)]),
        ((80, 48), 4, [(20, 12), (80, 48)]),
        ((160, 96), 4, [(40, 24), (160, 96)]),
        ((80, 48), 2, [(20, 12), (40, 24), (80, 48)]),
        ((80, 48), 1, [(80, 48)]),
        ((60, 36), 4, [(60, 36)]),
        ((61, 36), 4, [(16, 9), (61, 36)]),
    ],
)
def test_passes_are_as_few_as_reach_the_size(target, scale, expected):
    assert plan_passes(10, 6, target, scale) == expected


@given(st.integers(1, 300), st.integers(1, 300), st.integers(2, 4), st.floats(0.1, 40))
def test_no_pass_has_to_reach_beyond_the_network(width, height, scale, factor):
    target = scaled_size(width, height, round(factor, 2))
    passes = plan_passes(width, height, target, scale)
    assert passes[-1] == target
    assert bool(passes_note(passes)) == (len(passes) > 1)
    for before, after in pairwise([(width, height), *passes]):
        assert after[0] <= before[0] * scale * 1.5 and after[1] <= before[1] * scale * 1.5


def test_factor_of_a_decimal_is_what_was_written():
    assert scale_factor(2.3, 1, 1) * 10 == 23
