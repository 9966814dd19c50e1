"""견줌표의 자리와 글."""

from __future__ import annotations

import numpy as np
import pytest

from realesrgan.dataset_tools.sheets import Cell, Region, arrange, busiest_region, central_region, draw_sheet, fit


def test_region_is_the_same_place_at_every_size() -> None:
    image = np.zeros((80, 120, 3), np.uint8)
    image[40:60, 60:80] = 255
    region = Region(40, 60, 20)
    assert region.cut(image, 80).min() == 255 and region.cut(image, 80).shape == (20, 20, 3)
    assert region.cut(image[::4, ::4], 80).shape == (5, 5, 3) and region.cut(image[::4, ::4], 80).min() == 255
    assert region.cut(image.repeat(2, 0).repeat(2, 1), 80).shape == (40, 40, 3)
    assert Region(70, 110, 20).cut(image, 80).shape == (20, 20, 3)


def test_busiest_region_finds_the_texture() -> None:
    image = np.full((90, 100, 3), 128, np.uint8)
    image[30:60, 50:80] = np.random.default_rng(0).integers(0, 256, (30, 30, 3))
    found = busiest_region(image, 30)
    assert abs(found.top - 30) <= 2 and abs(found.left - 50) <= 2
    assert busiest_region(image, 500).size == 90
    assert central_region(90, 100, 500) == Region(0, 5, 90)


def test_pictures_keep_their_shape_in_the_cell() -> None:
    image = np.zeros((10, 20, 3), np.uint8)
    shown = fit(image, 40)
    assert shown.shape == (40, 40, 3) and (shown[10:30] == 0).all() and (shown[:10] > 200).all()
    assert fit(np.zeros((400, 100, 3), np.uint8), 40).shape == (40, 40, 3)


@pytest.mark.parametrize("text", ["plain", "한글 이름", "x" * 200])
def test_sheet_draws_pictures_and_text(text: str) -> None:
    red = np.zeros((8, 8, 3), np.uint8)
    red[..., 2] = 255
    with_text = draw_sheet(arrange([Cell(red, (text,))] * 3, 2), 60)
    without = draw_sheet(arrange([Cell(red, ("",))] * 3, 2), 60)
    assert with_text.shape == without.shape and (with_text[6:66, 6:66] == red[0, 0]).all()
    assert (with_text != without).any()
