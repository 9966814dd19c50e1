"""같은 뽑기에는 BasicSR과 같은 수, 나머지는 같은 분포."""

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from tests.training.extra import require_training_extra

require_training_extra()

from basicsr.data import degradations as theirs  # noqa: E402
from basicsr.utils import DiffJPEG, USMSharp  # noqa: E402
from basicsr.utils.img_process_util import filter2D  # noqa: E402

from realesrgan.data import degradations as ours  # noqa: E402
from realesrgan.data.kernels import gaussian_kernel, plateau_kernel, sinc_kernel  # noqa: E402


@pytest.fixture(scope="module")
def images():
    torch.manual_seed(0)
    smooth = F.interpolate(torch.rand(3, 3, 12, 10), size=(120, 100), mode="bicubic")
    return (smooth + 0.05 * torch.rand(3, 3, 120, 100)).clamp(0, 1)


@pytest.mark.parametrize("size", [7, 13, 21])
@pytest.mark.parametrize("isotropic", [True, False])
def test_gaussian_kernels(size, isotropic):
    sigma_x, sigma_y, theta, beta = 1.3, 2.4, 0.7, 0.6
    ours_y, ours_theta = (sigma_x, 0.0) if isotropic else (sigma_y, theta)
    np.testing.assert_allclose(
        gaussian_kernel(size, sigma_x, ours_y, ours_theta),
        theirs.bivariate_Gaussian(size, sigma_x, sigma_y, theta, isotropic=isotropic),
        rtol=1e-9,
    )
    np.testing.assert_allclose(
        gaussian_kernel(size, sigma_x, ours_y, ours_theta, beta),
        theirs.bivariate_generalized_Gaussian(size, sigma_x, sigma_y, theta, beta, isotropic=isotropic),
        rtol=1e-9,
    )
    np.testing.assert_allclose(
        plateau_kernel(size, sigma_x, ours_y, ours_theta, beta),
        theirs.bivariate_plateau(size, sigma_x, sigma_y, theta, beta, isotropic=isotropic),
        rtol=1e-9,
    )


@pytest.mark.parametrize("size", [7, 21])
@pytest.mark.parametrize("cutoff", [math.pi / 5, 2.0, math.pi])
def test_sinc_kernels(size, cutoff):
    with np.errstate(divide="ignore", invalid="ignore"):
        expected = theirs.circular_lowpass_kernel(cutoff, size)
    np.testing.assert_allclose(sinc_kernel(size, cutoff), expected, rtol=1e-9, atol=1e-15)


@pytest.mark.parametrize("count", [1, 3])
@pytest.mark.parametrize("channels_last", [False, True])
def test_filter2d(images, count, channels_last):
    kernels = F.pad(torch.rand(count, 9, 9), (6,) * 4)
    source = images.to(memory_format=torch.channels_last) if channels_last else images
    expected = filter2D(images, kernels)
    torch.testing.assert_close(ours.filter2d(source, kernels), expected, rtol=1e-4, atol=2e-4)
    # 그래디언트를 따라갈 때는 합성곱 길로 가며 값은 같다.
    torch.testing.assert_close(ours.filter2d(source.requires_grad_(), kernels).detach(), expected, rtol=1e-4, atol=2e-4)
    images.requires_grad_(False)


@pytest.mark.parametrize("limit", [1024, 64])
def test_usm(images, monkeypatch, limit):
    monkeypatch.setattr(ours, "MATRIX_BLUR_LIMIT", limit)
    difference = (ours.usm_sharpen(images) - USMSharp()(images)).abs()
    # 문턱에 걸친 픽셀 하나가 뒤집히면 마스크가 눈곱만큼 달라진다.
    assert difference.max() < 2e-3
    assert difference.mean() < 1e-5
    channels_last = images.to(memory_format=torch.channels_last)
    torch.testing.assert_close(ours.usm_sharpen(channels_last), ours.usm_sharpen(images))


@pytest.mark.parametrize("shape", [(32, 48), (33, 47), (120, 100)])
def test_jpeg(images, shape):
    source = images[..., : shape[0], : shape[1]]
    quality = torch.tensor([31.0, 50.0, 94.5])
    with torch.no_grad():
        expected = DiffJPEG(differentiable=False)(source, quality=quality.clone())
    found = ours.jpeg_compress(source.to(memory_format=torch.channels_last), quality)
    difference = (found - expected).abs()
    # 반올림의 경계에 놓인 계수 몇 개만 갈릴 수 있다.
    assert (difference > 1e-4).float().mean() < 2e-3
    assert difference.mean() < 1e-5
    assert quality.tolist() == [31.0, 50.0, 94.5]


def _moments(noise):
    return [noise.mean().item(), noise.std().item(), noise.mean(1).std().item()]


@pytest.mark.parametrize("gray", [0.0, 1.0])
def test_noise_distributions(images, gray):
    torch.manual_seed(1)
    random = ours.DegradationRandom.from_seed(5)
    flags = torch.full((3,), gray)
    scale = torch.tensor([3.0, 10.0, 25.0])
    pairs = [
        (ours.gaussian_noise(images, scale, flags, random), theirs.generate_gaussian_noise_pt(images, scale, flags)),
        (
            ours.poisson_noise(images, scale / 10, flags, random),
            theirs.generate_poisson_noise_pt(images, scale / 10, flags),
        ),
    ]
    for found, expected in pairs:
        for one, other in zip(found, expected, strict=True):
            np.testing.assert_allclose(_moments(one), _moments(other), rtol=0.04, atol=2e-3)
        assert bool((found[:, 0] == found[:, 1]).all()) is bool(gray)
