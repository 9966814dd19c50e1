import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

pytest.importorskip("scipy")

from realesrgan.data import degradations as D


def test_filter2d_refuses_bad_kernels():
    images = torch.rand(2, 3, 16, 16)
    with pytest.raises(ValueError, match="홀수"):
        D.filter2d(images, torch.rand(2, 4, 4))
    with pytest.raises(ValueError, match="2개"):
        D.filter2d(images, torch.rand(3, 5, 5))


def test_pulse_changes_nothing():
    images = torch.rand(2, 3, 30, 25)
    pulse = torch.zeros(2, 21, 21)
    pulse[:, 10, 10] = 1
    torch.testing.assert_close(D.filter2d(images, pulse), images)


@given(st.integers(26, 300), st.integers(26, 160))
@settings(max_examples=12, deadline=None)
def test_matrix_blur_equals_the_two_dimensional_kernel(height, width):
    images = torch.rand(1, 2, height, width)
    taps = torch.from_numpy(np.outer(D.gaussian_taps(51), D.gaussian_taps(51)).astype(np.float32))
    expected = D.filter2d(images, taps.unsqueeze(0))
    torch.testing.assert_close(D.gaussian_blur(images, 51), expected, rtol=1e-4, atol=1e-5)


def test_blur_keeps_a_constant():
    torch.testing.assert_close(D.gaussian_blur(torch.full((1, 1, 200, 60), 0.3), 51), torch.full((1, 1, 200, 60), 0.3))


def test_usm_leaves_flat_areas_and_sharpens_edges():
    step = torch.zeros(1, 3, 64, 64)
    step[..., 32:] = 1.0
    step = step * 0.4 + 0.3
    sharp = D.usm_sharpen(step)
    assert sharp.min() < 0.29 and sharp.max() > 0.71
    flat = torch.full((1, 3, 64, 64), 0.5)
    torch.testing.assert_close(D.usm_sharpen(flat), flat)


@pytest.mark.parametrize("peak", [1, 4, 64, 256])
def test_poisson_table_follows_the_distribution(peak):
    rng = np.random.default_rng(peak)
    levels = np.repeat(np.array([0, 1, 40, 128, 255], dtype=np.uint8), 40000).reshape(5, -1)
    samples = D._sample_poisson(levels, peak, rng)
    for row, level in zip(samples, (0, 1, 40, 128, 255), strict=True):
        rate = level / 255 * peak
        if rate == 0:
            assert (row == 0).all()
            continue
        outcomes = np.arange(int(rate + 8 * math.sqrt(rate) + 10))
        logs = outcomes * math.log(rate) - rate - np.array([math.lgamma(k + 1) for k in outcomes])
        expected = np.exp(logs)
        counts = np.bincount(row, minlength=len(outcomes))[: len(outcomes)] / row.size
        # 총변동 거리(total variation)가 표본 오차의 크기 안에 있어야 한다.
        bound = 1.5 * np.sqrt(expected * (1 - expected) / row.size).sum()
        assert np.abs(counts - expected).sum() < bound + 1e-4


def test_poisson_does_not_depend_on_threads():
    images = torch.rand(4, 3, 40, 40)
    before = torch.get_num_threads()
    results = []
    try:
        for threads in (1, 2):
            torch.set_num_threads(threads)
            random = D.DegradationRandom.from_seed(3)
            results.append(D.poisson_noise(images, 1.0, torch.tensor([0.0, 1, 0, 1]), random))
    finally:
        torch.set_num_threads(before)
    assert torch.equal(*results)


@given(st.integers(1, 60), st.integers(1, 60), st.floats(5, 100))
@settings(max_examples=25, deadline=None)
def test_jpeg_keeps_shape_and_range(height, width, quality):
    found = D.jpeg_compress(torch.rand(1, 3, height, width), torch.tensor([quality]))
    assert found.shape == (1, 3, height, width)
    assert found.min() >= 0 and found.max() <= 1


def test_better_quality_is_closer():
    image = torch.rand(1, 3, 64, 64)
    errors = [(D.jpeg_compress(image, torch.tensor([q])) - image).abs().mean() for q in (10.0, 50.0, 95.0)]
    assert errors[0] > errors[1] > errors[2]


def test_random_state_round_trip():
    random = D.DegradationRandom.from_seed(1, 2, 3)
    random.host.random(7)
    saved = random.state_dict()
    first = (random.host.random(5), torch.rand(5, generator=random.device))
    other = D.DegradationRandom.from_seed(9)
    other.load_state_dict(saved)
    second = (other.host.random(5), torch.rand(5, generator=other.device))
    np.testing.assert_array_equal(first[0], second[0])
    assert torch.equal(first[1], second[1])


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="CUDA 장치가 없습니다")
def test_cpu_and_gpu_agree():
    images = torch.rand(2, 3, 96, 96)
    kernels = torch.rand(2, 7, 7) / 49
    quality = torch.tensor([40.0, 80.0])
    for work in (
        D.usm_sharpen,
        lambda x: D.filter2d(x, kernels.to(x.device)),
        lambda x: D.jpeg_compress(x, quality.to(x.device)),
    ):
        assert (work(images.cuda()).cpu() - work(images)).abs().mean() < 1e-4
