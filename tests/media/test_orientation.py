"""EXIF 방향을 배열에 적용하기."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageOps

from realesrgan.media.orientation import apply_orientation, oriented_size
from tests.media.samples import random_array


@pytest.mark.parametrize("orientation", range(1, 9))
def test_every_orientation_agrees_with_exif_transpose(orientation: Any) -> None:
    array = random_array(3, 5, 3)
    image = Image.fromarray(array)
    image.getexif()[0x0112] = orientation
    expected = np.asarray(ImageOps.exif_transpose(image))
    result = apply_orientation(array, orientation)
    assert (result == expected).all()
    assert result.flags["C_CONTIGUOUS"]
    assert oriented_size(5, 3, orientation) == result.shape[1::-1]
    assert (apply_orientation(array[..., 0], orientation) == expected[..., 0]).all()
