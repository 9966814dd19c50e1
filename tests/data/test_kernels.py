import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

pytest.importorskip("scipy")

from realesrgan.data.kernels import (
    GAUSSIAN_KINDS,
    KernelDraw,
    KernelOptions,
    draw_final_sinc,
    draw_kernel,
    gaussian_kernel,
    pad_kernel,
    plateau_kernel,
    pulse_kernel,
    render_kernel,
    sinc_kernel,
)
from realesrgan.errors import OptionError
from tests.data.recipe import KERNELS

OPTIONS = KernelOptions(GAUSSIAN_KINDS, (0.45, 0.25, 0.12, 0.03, 0.12, 0.03), 0.1, (0.2, 3.0), (0.5, 4.0), (1.0, 2.0))
odd_sizes = st.sampled_from(range(7, 22, 2))


def test_isotropic_gaussian_is_the_closed_form():
    kernel = gaussian_kernel(9, 1.7, 1.7)
    axis = np.exp(-(np.arange(-4, 5) ** 2) / (2 * 1.7**2))
    expected = np.outer(axis, axis)
    np.testing.assert_allclose(kernel, expected / expected.sum(), rtol=1e-12)


def test_rotation_by_a_quarter_swaps_the_axes():
    np.testing.assert_allclose(
        gaussian_kernel(11, 2.5, 0.7, math.pi / 2), gaussian_kernel(11, 0.7, 2.5), rtol=1e-9, atol=1e-15
    )


def test_plateau_is_the_closed_form():
    kernel = plateau_kernel(7, 1.0, 1.0, beta=1.5)
    assert kernel[3, 3] / kernel[3, 4] == pytest.approx(2.0)
    assert kernel[3, 3] / kernel[3, 5] == pytest.approx(1 + 4**1.5)


def test_sinc_centre_is_the_limit():
    near = sinc_kernel(7, 2.0)
    ratio = near[3, 3] / near[3, 4]
    from scipy.special import j1

    assert ratio == pytest.approx((4 / (4 * math.pi)) / (2.0 * j1(2.0) / (2 * math.pi)))


@given(odd_sizes, st.floats(0.2, 3), st.floats(0.2, 3), st.floats(-math.pi, math.pi), st.floats(0.5, 4))
@settings(max_examples=60, deadline=None)
def test_kernels_sum_to_one_and_are_point_symmetric(size, sigma_x, sigma_y, rotation, beta):
    for kernel in (
        gaussian_kernel(size, sigma_x, sigma_y, rotation, beta),
        plateau_kernel(size, sigma_x, sigma_y, rotation, beta),
    ):
        assert kernel.sum() == pytest.approx(1.0)
        assert (kernel >= 0).all()
        np.testing.assert_allclose(kernel, kernel[::-1, ::-1], rtol=1e-9, atol=1e-15)


@given(st.integers(0, 2**32))
@settings(max_examples=60, deadline=None)
def test_draws_stay_inside_the_options(seed):
    rng = np.random.default_rng(seed)
    draw = draw_kernel(rng, OPTIONS)
    assert draw.size in range(7, 22, 2)
    padded = pad_kernel(render_kernel(draw))
    assert padded.shape == (21, 21) and padded.dtype == np.float32
    assert padded.sum() == pytest.approx(1.0, abs=1e-5)
    if draw.kind == "sinc":
        assert (math.pi / 3 if draw.size < 13 else math.pi / 5) <= draw.cutoff <= math.pi
    else:
        assert 0.2 <= draw.sigma_x <= 3
    if not draw.kind.endswith("aniso"):
        assert draw.sigma_x == draw.sigma_y and draw.rotation == 0


def test_kind_frequencies_follow_the_weights():
    rng = np.random.default_rng(0)
    draws = [draw_kernel(rng, OPTIONS) for _ in range(6000)]
    share = {kind: sum(d.kind == kind for d in draws) / len(draws) for kind in (*GAUSSIAN_KINDS, "sinc")}
    assert share["sinc"] == pytest.approx(0.1, abs=0.015)
    for kind, weight in zip(OPTIONS.kinds, OPTIONS.weights, strict=True):
        assert share[kind] == pytest.approx(0.9 * weight, abs=0.02)
    betas = [d.beta for d in draws if d.kind.startswith("generalized")]
    assert np.mean(np.array(betas) < 1) == pytest.approx(0.5, abs=0.05)


def test_max_size_is_live():
    rng = np.random.default_rng(1)
    small = KernelOptions(("iso",), (1.0,), 0.0, (0.2, 3), (0.5, 4), (1, 2), max_size=9)
    assert {draw_kernel(rng, small).size for _ in range(50)} == {7, 9}


def test_final_sinc_probability():
    rng = np.random.default_rng(2)
    kinds = [draw_final_sinc(rng, 0.8).kind for _ in range(3000)]
    assert kinds.count("sinc") / len(kinds) == pytest.approx(0.8, abs=0.03)
    np.testing.assert_array_equal(render_kernel(KernelDraw("pulse", 21)), pulse_kernel())


@pytest.mark.parametrize(
    "change", [{"kinds": ("iso", "isso")}, {"weights": (1.0,)}, {"max_size": 20}, {"kinds": (), "weights": ()}]
)
def test_bad_options_are_refused(change):
    base = {"kinds": ("iso", "aniso"), "weights": (1.0, 1.0), "max_size": 21} | change
    with pytest.raises(OptionError, match="해결"):
        KernelOptions(sinc_prob=0, sigma=(0.2, 3), betag=(0.5, 4), betap=(1, 2), **base)


def test_unknown_kind_is_refused():
    with pytest.raises(ValueError, match="skew"):
        render_kernel(KernelDraw("skew", 7))


@pytest.mark.parametrize("missing", ["kernel_list", "betag_range2", "final_sinc_prob"])
def test_missing_kernel_options_are_named(missing):
    options = {key: value for key, value in KERNELS.items() if key != missing}
    with pytest.raises(OptionError, match=missing):
        KernelOptions.from_options(options, "2" if missing.endswith("2") else "")
