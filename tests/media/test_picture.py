"""픽셀만 보는 순수 함수: 방향, 투명한 곳의 색, 종류 바꾸기."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageOps

from realesrgan.media.picture import (
    apply_orientation,
    fill_transparent_colour,
)
from tests.media.samples import random_array


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_transparent_pixels_take_the_nearest_visible_colour(dtype: Any) -> None:
    picture = np.zeros((5, 9, 4), dtype)
    picture[2, 1] = (10, 20, 30, 200)
    picture[2, 7] = (40, 50, 60, 1)
    result = fill_transparent_colour(picture)
    assert result.dtype == dtype
    assert result[0, 0, :3].tolist() == [10, 20, 30]
    assert result[4, 8, :3].tolist() == [40, 50, 60]
    assert result[2, 4, :3].tolist() != [0, 0, 0]


@given(st.integers(1, 12), st.integers(1, 12), st.integers(0, 2**31), st.sampled_from([np.uint8, np.uint16]))
@settings(max_examples=40, deadline=None)
def test_alpha_and_visible_pixels_stay_and_hidden_ones_take_a_visible_colour(
    height: Any, width: Any, seed: Any, dtype: Any
) -> None:
    picture = random_array(height, width, 4, dtype=dtype, seed=seed)
    picture[np.random.default_rng(seed).random((height, width)) < 0.5, 3] = 0
    before = picture.copy()
    result = fill_transparent_colour(picture)
    visible = picture[..., 3] > 0
    assert (picture == before).all()
    assert (result[..., 3] == picture[..., 3]).all()
    assert (result[visible] == picture[visible]).all()
    if visible.any():
        colours = {tuple(colour) for colour in picture[visible, :3].tolist()}
        assert all(tuple(colour) in colours for colour in result[~visible, :3].tolist())


@pytest.mark.parametrize("alpha", [0, 255])
def test_fully_transparent_or_opaque_is_returned_unchanged(alpha: Any) -> None:
    picture = random_array(4, 4, 4)
    picture[..., 3] = alpha
    assert fill_transparent_colour(picture) is picture


def test_array_without_alpha_is_refused() -> None:
    with pytest.raises(ValueError, match=r"\(H, W, 4\)"):
        fill_transparent_colour(random_array(4, 4, 3))


@pytest.mark.parametrize("orientation", range(1, 9))
def test_every_orientation_agrees_with_exif_transpose(orientation: Any) -> None:
    array = random_array(3, 5, 3)
    image = Image.fromarray(array)
    image.getexif()[0x0112] = orientation
    expected = np.asarray(ImageOps.exif_transpose(image))
    result = apply_orientation(array, orientation)
    assert (result == expected).all()
    assert result.flags["C_CONTIGUOUS"]
    assert (apply_orientation(array[..., 0], orientation) == expected[..., 0]).all()
