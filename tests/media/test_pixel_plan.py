"""픽셀을 형식에 맞추는 순수 함수들."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from realesrgan.media.formats import FORMATS, format_named
from realesrgan.media.image import Frame, Metadata, Picture, still
from realesrgan.media.pixel_plan import flatten_on_white, plan_pixels, reduce_depth, spread_grey, to_grey
from tests.media.samples import photo, random_array, srgb


def test_reduction_is_the_nearest_eight_bit_value() -> None:
    values = np.arange(65536, dtype=np.uint16)[None]
    assert (reduce_depth(values) == np.round(values / 257)).all()
    assert reduce_depth(random_array(3, 4, 3, dtype=np.uint16)).shape == (3, 4, 3)


@given(st.integers(0, 255), st.integers(0, 255))
def test_flattening_blends_with_white(colour: Any, alpha: Any) -> None:
    pixel = np.array([[[colour, colour, colour, alpha]]], np.uint8)
    assert abs(int(flatten_on_white(pixel)[0, 0, 0]) - (colour * alpha + 255 * (255 - alpha)) / 255) <= 0.5


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_gray_is_exact_both_ways(dtype: Any) -> None:
    gray = random_array(40, 50, dtype=dtype)
    assert (to_grey(spread_grey(gray)) == gray).all()
    both = to_grey(np.dstack([gray, gray, gray, gray[::-1]]))
    assert (both[..., 0] == gray).all() and (both[..., 1] == gray[::-1]).all()


@pytest.mark.parametrize("target", FORMATS, ids=lambda item: item.name)
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("shape", [(4, 6), (4, 6, 3), (4, 6, 4)])
def test_plan_keeps_to_what_the_format_can_hold(target: Any, dtype: Any, shape: Any) -> None:
    frame = Frame(random_array(*shape, dtype=dtype))
    plan = plan_pixels(frame, Picture((frame,)), target)
    result = plan.convert(frame.array)
    channels = 1 if result.ndim == 2 else result.shape[2]
    assert channels == {"L": 1, "LA": 2, "BGR": 3, "BGRA": 4}[plan.kind]
    assert result.dtype.itemsize * 8 == plan.depth
    assert plan.depth == 8 or target.sixteen_bit
    assert plan.kind in ("L", "BGR") or target.alpha
    assert plan.kind != "L" or target.gray
    gave_up = (dtype == np.uint16 and plan.depth == 8) or (shape[-1] == 4 and channels in (1, 3))
    assert bool(plan.notes) == gave_up


def test_nothing_given_up_means_no_note_and_no_copy() -> None:
    array = photo()
    plan = plan_pixels(Frame(array), still(array, Metadata(icc=srgb(), dpi=(72, 72))), format_named("PNG"))
    assert plan.notes == () and plan.convert(array) is array
