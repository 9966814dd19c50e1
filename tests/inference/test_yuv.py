"""YUV와 RGB를 오가는 계산."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from realesrgan.inference.yuv import (
    SITINGS,
    alpha_to_unit,
    code_range,
    downsample_chroma,
    planes_to_rgb,
    quantise,
    rgb_to_planes,
    unit_to_alpha,
    upsample_chroma,
    ycc_matrix,
)
from realesrgan.media.video.types import Colour, PixelLayout

YUV444 = PixelLayout("yuv444p", "yuv", 8)
YUV420 = PixelLayout("yuv420p", "yuv", 8, (2, 2))
GBRP10 = PixelLayout("gbrp10le", "rgb", 10)
MATRICES = (1, 4, 5, 6, 7, 8, 9)


def codes(*values: int) -> list[torch.Tensor]:
    return [torch.tensor([[[value]]], dtype=torch.uint8) for value in values]


@pytest.mark.parametrize(
    ("matrix", "full_range", "yuv", "rgb"),
    [
        # 표준이 정한 색막대의 부호. 휘도와 색차는 H.273의 식을 손으로 계산한 값이다.
        (1, False, (16, 128, 128), (0, 0, 0)),
        (1, False, (235, 128, 128), (1, 1, 1)),
        (1, False, (63, 102, 240), (1, 0, 0)),
        (6, False, (81, 90, 240), (1, 0, 0)),
        (6, False, (145, 54, 34), (0, 1, 0)),
        (6, True, (76, 85, 255), (1, 0, 0)),
        (9, False, (74, 97, 240), (1, 0, 0)),
    ],
)
def test_known_codes_become_known_colours(matrix, full_range, yuv, rgb):
    found = planes_to_rgb(codes(*yuv), YUV444, Colour(matrix=matrix, full_range=full_range))
    np.testing.assert_allclose(found.flatten().numpy(), rgb, atol=0.012)


@pytest.mark.parametrize("matrix", MATRICES)
def test_gray_has_no_chroma_and_white_is_white(matrix):
    found = ycc_matrix(matrix) @ torch.ones(3, dtype=torch.float64)
    torch.testing.assert_close(found, torch.tensor([1.0, 0.0, 0.0], dtype=torch.float64))


@given(
    matrix=st.sampled_from(MATRICES),
    full_range=st.booleans(),
    bits=st.sampled_from((8, 10, 12, 16)),
    subsampling=st.sampled_from(((1, 1), (2, 1), (2, 2), (1, 2), (4, 1))),
    height=st.integers(1, 9),
    width=st.integers(1, 9),
    seed=st.integers(0, 99),
)
@settings(deadline=None)
def test_a_flat_colour_survives_the_round_trip_in_every_layout(
    matrix, full_range, bits, subsampling, height, width, seed
):
    layout = PixelLayout("any", "yuv", bits, subsampling)
    colour = Colour(matrix=matrix, full_range=full_range)
    rgb = torch.rand(1, 3, 1, 1, generator=torch.Generator().manual_seed(seed)).expand(1, 3, height, width).clone()
    planes = rgb_to_planes(rgb.clone(), layout, colour)
    across, down = subsampling
    assert planes[0].shape == (1, height, width)
    assert planes[1].shape == planes[2].shape == (1, -(-height // down), -(-width // across))
    found = planes_to_rgb(planes, layout, colour)
    assert found.shape == rgb.shape
    # 부호 반 단계의 오차가 행렬의 역을 거쳐 커질 수 있는 만큼.
    assert float((found - rgb).abs().max()) <= 3 / (219 * 2 ** (bits - 8))


@given(seed=st.integers(0, 999), full_range=st.booleans())
@settings(deadline=None, max_examples=30)
def test_444_codes_inside_the_gamut_come_back_exactly(seed, full_range):
    colour = Colour(matrix=1, full_range=full_range)
    rgb = torch.rand(1, 3, 7, 5, generator=torch.Generator().manual_seed(seed)) * 0.8 + 0.1
    planes = rgb_to_planes(rgb, YUV444, colour)
    again = rgb_to_planes(planes_to_rgb(planes, YUV444, colour), YUV444, colour)
    for first, second in zip(planes, again, strict=True):
        torch.testing.assert_close(first, second, atol=0, rtol=0)


def test_rgb_planes_are_green_blue_red_and_exact_at_ten_bits():
    planes = [torch.randint(0, 1024, (2, 3, 4), dtype=torch.int32).to(torch.uint16) for _ in range(3)]
    rgb = planes_to_rgb(planes, GBRP10, Colour())
    torch.testing.assert_close(rgb[:, 1], planes[0].float() / 1023)
    for before, after in zip(planes, rgb_to_planes(rgb, GBRP10, Colour()), strict=True):
        assert torch.equal(before.int(), after.int())


def test_gray_planes_become_equal_channels():
    layout = PixelLayout("gray", "gray", 8)
    plane = torch.arange(256, dtype=torch.uint8).reshape(1, 16, 16)
    rgb = planes_to_rgb([plane], layout, Colour(full_range=True))
    assert rgb.shape == (1, 3, 16, 16)
    assert torch.equal(rgb_to_planes(rgb.clone(), layout, Colour(full_range=True))[0], plane)


def test_chroma_sits_on_the_left_column_and_between_rows():
    """가로로 늘리면 표본 자리의 값은 그대로고, 사이는 이웃의 평균이다. 세로는 4분의 1과 4분의 3."""
    chroma = torch.tensor([[[[0.0, 8.0]]]])
    assert upsample_chroma(chroma, (2, 1), 1, 4).flatten().tolist() == [0, 4, 8, 8]
    assert upsample_chroma(chroma.transpose(2, 3), (1, 2), 4, 1).flatten().tolist() == [0, 2, 6, 8]


@pytest.mark.parametrize("siting", sorted(SITINGS))
@pytest.mark.parametrize("subsampling", [(2, 1), (1, 2), (2, 2), (4, 1)])
def test_chroma_is_spread_from_where_its_samples_sit(siting, subsampling):
    """자리에 맞게 뽑은 경사는 늘려도 제자리의 경사다(끝은 빼고)."""
    across, down = subsampling
    x = torch.arange(6.0) * across + SITINGS[siting][0] * (across - 1)
    y = torch.arange(5.0) * down + SITINGS[siting][1] * (down - 1)
    found = upsample_chroma((3 * y[:, None] + x)[None, None], subsampling, 5 * down, 6 * across, siting)
    expected = 3 * torch.arange(5.0 * down)[:, None] + torch.arange(6.0 * across)
    inside = (..., slice(down, -down), slice(across, -across))
    torch.testing.assert_close(found[inside], expected[None, None][inside])


def test_chroma_in_the_centre_is_the_mean_of_its_pixels():
    chroma = torch.arange(16.0).reshape(1, 1, 4, 4)
    assert downsample_chroma(chroma, (2, 2), "center").flatten().tolist() == [2.5, 4.5, 10.5, 12.5]


def test_chroma_of_a_ramp_is_taken_at_the_left_pixel():
    """세모 거르개는 기울기가 일정한 곳에서 왼쪽 픽셀의 값을 그대로 준다. 상자 거르개면 반 픽셀 밀린다."""
    ramp = torch.linspace(0.2, 0.8, 16).repeat(3, 4, 1)[None]
    blue = ramp.clone()
    blue[:, :2] = 0.5
    full = rgb_to_planes(blue.clone(), PixelLayout("x", "yuv", 16), Colour(matrix=1))[1][0, 0]
    half = rgb_to_planes(blue.clone(), PixelLayout("x", "yuv", 16, (2, 2)), Colour(matrix=1))[1][0, 0]
    difference = half.int()[1:] - full.int()[2::2]
    assert int(difference.abs().max()) <= 1


@given(
    subsampling=st.sampled_from(((1, 1), (2, 1), (2, 2), (1, 2), (4, 1))),
    height=st.integers(1, 9),
    width=st.integers(1, 9),
    seed=st.integers(0, 99),
)
@settings(deadline=None)
def test_each_chroma_sample_is_the_triangle_and_box_around_its_place(subsampling, height, width, seed):
    across, down = subsampling
    chroma = torch.rand(2, 1, height, width, generator=torch.Generator().manual_seed(seed))
    found = downsample_chroma(chroma, subsampling)
    assert found.shape == (2, 1, -(-height // down), -(-width // across))
    row, column = found.shape[-2] // 2, found.shape[-1] // 2
    expected = torch.zeros(2)
    for y in range(row * down, row * down + down):
        for offset in range(1 - across, across):
            x = min(max(column * across + offset, 0), width - 1)
            expected += chroma[:, 0, min(y, height - 1), x] * (across - abs(offset)) / (across**2 * down)
    torch.testing.assert_close(found[:, 0, row, column], expected)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="CUDA 장치가 없다")
def test_the_gpu_gives_the_same_sixteen_bit_codes_as_the_cpu():
    """합성곱은 GPU에서 TF32(유효 숫자 11비트)로 셈하므로 16비트 부호가 수십 단계 틀린다."""
    layout, colour = PixelLayout("x", "yuv", 16, (2, 2)), Colour(matrix=9)
    rgb = torch.rand(2, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    here = rgb_to_planes(rgb.clone(), layout, colour)
    there = rgb_to_planes(rgb.to("cuda"), layout, colour)
    for first, second in zip(here, there, strict=True):
        assert int((first.int() - second.cpu().int()).abs().max()) <= 1
    back = planes_to_rgb([plane.to("cuda") for plane in here], layout, colour).cpu()
    torch.testing.assert_close(back, planes_to_rgb(here, layout, colour), atol=1e-5, rtol=0)


def test_alpha_is_full_range_whatever_the_colour_says():
    plane = torch.arange(256, dtype=torch.uint8).reshape(1, 16, 16)
    alpha = alpha_to_unit(plane, 8)
    assert (float(alpha.min()), float(alpha.max())) == (0, 1)
    assert torch.equal(unit_to_alpha(alpha, 8), plane)


def test_values_outside_the_range_are_clipped_not_wrapped():
    assert quantise(torch.tensor([-5.0, 260.0]), 8).tolist() == [0, 255]
    assert quantise(torch.tensor([-5.0, 70000.0]), 16).int().tolist() == [0, 65535]
    planes = rgb_to_planes(torch.full((1, 3, 2, 2), 9.0), YUV420, Colour(matrix=1))
    assert planes[0].unique().tolist() == [235]


def test_limited_and_full_range_follow_the_standard():
    assert [tensor.tolist() for tensor in code_range(10, False)] == [[876, 896, 896], [64, 512, 512]]
    assert [tensor.tolist() for tensor in code_range(8, True)] == [[255, 255, 255], [0, 128, 128]]


def test_an_unknown_matrix_is_refused():
    with pytest.raises(ValueError, match="행렬"):
        ycc_matrix(14)
