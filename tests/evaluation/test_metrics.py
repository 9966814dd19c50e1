"""지표와 바이큐빅이 알려진 값, 그리고 BasicSR의 값과 같은지."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from realesrgan.errors import EvaluationError
from realesrgan.evaluation.bicubic import bicubic_8bit, cubic, matlab_bicubic, resize_matrix
from realesrgan.evaluation.metrics import luma, psnr, ssim


def _pair(seed: int = 0, size: tuple[int, int] = (40, 52)) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    first = rng.integers(0, 256, (*size, 3), dtype=np.uint8)
    noise = rng.integers(-20, 21, first.shape)
    return first, np.clip(first.astype(int) + noise, 0, 255).astype(np.uint8)


def test_psnr_of_a_known_error() -> None:
    gt = np.full((8, 8, 3), 100, np.uint8)
    assert psnr(gt + np.uint8(5), gt) == pytest.approx(20 * math.log10(255 / 5))
    one = gt.copy()
    one[0, 0] = 0
    assert psnr(one, gt, border=1) == math.inf and psnr(one, gt) < 40


def test_ssim_is_one_only_for_the_same_picture() -> None:
    first, second = _pair()
    assert ssim(first, first) == pytest.approx(1, abs=1e-9)
    assert 0.5 < ssim(first, second) < 1
    # 무늬가 없으면 밝기 항만 남는다(Wang 2004 식 13).
    flat, darker = np.full((16, 16, 3), 100, np.uint8), np.full((16, 16, 3), 60, np.uint8)
    c1 = (0.01 * 255) ** 2
    assert ssim(darker, flat) == pytest.approx((2 * 100 * 60 + c1) / (100**2 + 60**2 + c1), abs=1e-6)


def test_luma_covers_16_to_235() -> None:
    black, white = np.zeros((1, 1, 3), np.uint8), np.full((1, 1, 3), 255, np.uint8)
    assert luma(black)[0, 0] == pytest.approx(16) and luma(white)[0, 0] == pytest.approx(235)


@pytest.mark.parametrize("measure", [psnr, ssim])
def test_pictures_that_cannot_be_compared_are_refused(measure) -> None:
    first, second = _pair()
    with pytest.raises(EvaluationError, match="크기가 달라"):
        measure(first, second[:-1])
    with pytest.raises(EvaluationError, match="남지 않습니다"):
        measure(first, second, border=20)
    with pytest.raises(EvaluationError):
        ssim(first, second, border=16)


@pytest.mark.parametrize("border", [0, 4])
@pytest.mark.parametrize("y_channel", [False, True])
def test_values_agree_with_basicsr(border: int, y_channel: bool) -> None:
    from tests.training.extra import require_training_extra

    require_training_extra()
    from basicsr.metrics import calculate_psnr, calculate_ssim

    for seed in range(3):
        first, second = _pair(seed)
        theirs = {"crop_border": border, "test_y_channel": y_channel}
        ours = {"border": border, "y_channel": y_channel}
        assert psnr(first, second, **ours) == pytest.approx(calculate_psnr(first, second, **theirs), abs=1e-3)
        assert ssim(first, second, **ours) == pytest.approx(calculate_ssim(first, second, **theirs), abs=1e-3)


@pytest.mark.parametrize("scale", [0.25, 1 / 3, 0.5, 2, 3, 4])
def test_bicubic_agrees_with_basicsr(scale: float) -> None:
    from tests.training.extra import require_training_extra

    require_training_extra()
    from basicsr.utils.matlab_functions import imresize

    image = np.random.default_rng(0).random((24, 36, 3))
    assert np.abs(matlab_bicubic(image, scale) - imresize(image, scale)).max() < 1e-5


def test_bicubic_halves_with_the_known_taps() -> None:
    # MATLAB의 imresize가 0.5배에서 쓰는 여덟 계수. 경계에서 먼 가운데 줄이다.
    row = resize_matrix(16, 0.5)[4]
    taps = np.array([-3, -9, 29, 111, 111, 29, -9, -3]) / 256
    assert row[5:13] == pytest.approx(taps) and not row[:5].any() and not row[13:].any()
    assert cubic(np.array([0.0, 1.0, 2.0, 2.5])) == pytest.approx([1, 0, 0, 0])


@settings(deadline=None, max_examples=40)
@given(length=st.integers(1, 60), scale=st.sampled_from([0.25, 1 / 3, 0.5, 1, 2, 3, 4, 1.7]))
def test_bicubic_keeps_flat_and_mirrored_signals(length: int, scale: float) -> None:
    matrix = resize_matrix(length, scale)
    assert matrix.shape == (math.ceil(length * scale), length)
    assert np.allclose(matrix.sum(1), 1)
    if float(length * scale).is_integer():
        assert np.allclose(matrix, matrix[::-1, ::-1])


def test_enlarging_four_times_then_shrinking_returns_smooth_pictures() -> None:
    rows, columns = np.mgrid[0:24, 0:32]
    smooth = np.stack([rows * 6, columns * 5, rows * 2 + columns * 3], 2).astype(np.uint8)
    assert np.abs(bicubic_8bit(bicubic_8bit(smooth, 4), 0.25).astype(int) - smooth).max() <= 1
