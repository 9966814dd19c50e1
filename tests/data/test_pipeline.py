import dataclasses

import numpy as np
import pytest
import torch

pytest.importorskip("scipy")

from realesrgan.data.degradations import DegradationRandom
from realesrgan.data.kernels import pulse_kernel
from realesrgan.data.pair_pool import PairPool
from realesrgan.data.pipeline import (
    Kernels,
    PipelineOptions,
    degrade,
    draw_plan,
    random_crop,
    resize,
    synthesise,
)
from realesrgan.errors import OptionError
from tests.data.recipe import DEGRADATION

OPTIONS = PipelineOptions.from_options({**DEGRADATION, "scale": 4})


def make_batch(batch=2, size=96):
    torch.manual_seed(0)
    kernel = torch.from_numpy(pulse_kernel().astype(np.float32)).expand(batch, 21, 21)
    return torch.rand(batch, 3, size, size), Kernels(kernel, kernel, kernel)


@pytest.mark.parametrize("channels_last", [False, True])
@pytest.mark.parametrize("seed", range(6))
def test_same_seed_same_picture(seed, channels_last):
    gt, kernels = make_batch()
    source = gt.to(memory_format=torch.channels_last) if channels_last else gt
    base, lq = synthesise(source, kernels, OPTIONS, DegradationRandom.from_seed(seed))
    again = synthesise(gt, kernels, OPTIONS, DegradationRandom.from_seed(seed))
    assert torch.equal(lq, again[1]) and torch.equal(base, again[0])
    assert lq.shape == (2, 3, 24, 24)
    assert torch.equal((lq * 255).round() / 255, lq)


def test_no_sharpening_keeps_the_ground_truth():
    gt, kernels = make_batch()
    base, _ = synthesise(gt, kernels, OPTIONS, DegradationRandom.from_seed(0), sharpen=False)
    assert base is gt


@pytest.mark.parametrize("jpeg_last", [False, True])
@pytest.mark.parametrize("second_blur", [False, True])
def test_every_branch_runs(jpeg_last, second_blur):
    gt, kernels = make_batch()
    random = DegradationRandom.from_seed(4)
    plan = dataclasses.replace(draw_plan(random.host, OPTIONS, 2), jpeg_last=jpeg_last, second_blur=second_blur)
    lq = degrade(gt, kernels, plan, 4, random)
    assert lq.shape == (2, 3, 24, 24) and lq.min() >= 0 and lq.max() <= 1


def test_the_two_final_orders_differ():
    gt, kernels = make_batch()
    pictures = []
    for jpeg_last in (False, True):
        random = DegradationRandom.from_seed(4)
        plan = dataclasses.replace(draw_plan(random.host, OPTIONS, 2), jpeg_last=jpeg_last)
        pictures.append(degrade(gt, kernels, plan, 4, random))
    assert not torch.equal(*pictures)


def test_plan_frequencies():
    rng = np.random.default_rng(0)
    plans = [draw_plan(rng, OPTIONS, 1) for _ in range(3000)]
    share = lambda test: np.mean([test(p) for p in plans])  # noqa: E731
    assert share(lambda p: p.second_blur) == pytest.approx(0.8, abs=0.03)
    assert share(lambda p: p.jpeg_last) == pytest.approx(0.5, abs=0.03)
    assert share(lambda p: p.first.gaussian) == pytest.approx(0.5, abs=0.03)
    assert share(lambda p: p.first.factor > 1) == pytest.approx(0.2, abs=0.03)
    assert share(lambda p: p.first.factor < 1) == pytest.approx(0.7, abs=0.03)
    assert share(lambda p: p.second.factor == 1) == pytest.approx(0.3, abs=0.03)
    assert share(lambda p: p.first.gray[0]) == pytest.approx(0.4, abs=0.03)
    assert all(0.15 <= p.first.factor <= 1.5 and 0.3 <= p.second.factor <= 1.2 for p in plans)
    assert all(30 <= p.first.quality[0] <= 95 for p in plans)


@pytest.mark.parametrize("mode", ["area", "bilinear", "bicubic"])
def test_resize_to_the_same_size_is_the_identity(mode):
    image = torch.rand(1, 3, 17, 19)
    assert resize(image, (17, 19), mode) is image
    torch.testing.assert_close(torch.nn.functional.interpolate(image, size=(17, 19), mode=mode), image)


def test_missing_option_is_named():
    options = {**DEGRADATION, "scale": 4}
    del options["jpeg_range2"]
    with pytest.raises(OptionError, match="jpeg_range2"):
        PipelineOptions.from_options(options)


def test_random_crop_keeps_the_pair_aligned():
    lq = torch.arange(10 * 12, dtype=torch.float32).view(1, 1, 10, 12)
    gt = lq.repeat_interleave(4, 2).repeat_interleave(4, 3)
    (cropped,), small = random_crop((gt,), lq, 16, 4, np.random.default_rng(3))
    assert torch.equal(cropped, small.repeat_interleave(4, 2).repeat_interleave(4, 3))
    with pytest.raises(OptionError, match="gt_size"):
        random_crop((gt,), lq, 64, 4, np.random.default_rng(3))


def test_pool_fills_then_exchanges_whole_pairs():
    pool, rng = PairPool(6), np.random.default_rng(0)
    seen = []
    for step in range(40):
        value = torch.arange(step * 2, step * 2 + 2, dtype=torch.float32).view(2, 1, 1, 1)
        lq, gt = pool.exchange(value, value.expand(2, 1, 2, 2), rng)
        assert torch.equal(lq.flatten(), gt[:, 0, 0, 0])
        if step < 3:
            assert torch.equal(lq, value)
        seen += lq.flatten().tolist()
    # 채우는 동안 그대로 나간 쌍 여섯은 나중에 한 번 더 나올 수 있고, 나머지는 한 번씩만 나온다.
    assert max(seen.count(v) for v in set(seen) if v >= 6) == 1
    assert seen[6:] != sorted(seen[6:])


@pytest.mark.parametrize("on_grid", [True, False])
def test_pool_state_round_trip(on_grid):
    rng = np.random.default_rng(0)
    source = torch.randint(0, 256, (4, 3, 4, 4)) / 255.0 if on_grid else torch.rand(4, 3, 4, 4)
    pool = PairPool(4)
    pool.exchange(source, source, rng)
    state = pool.state_dict()
    assert (state["pairs"][0].dtype == torch.uint8) is on_grid
    other = PairPool(8)
    other.load_state_dict(state)
    results = [p.exchange(source, source, np.random.default_rng(5)) for p in (pool, other)]
    assert torch.equal(results[0][0], results[1][0])


def test_pool_refuses_an_uneven_batch():
    with pytest.raises(OptionError, match="queue_size"):
        PairPool(7).exchange(torch.rand(2, 3, 4, 4), torch.rand(2, 3, 4, 4), np.random.default_rng(0))
