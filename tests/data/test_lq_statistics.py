"""합성한 LQ의 통계가 BasicSR의 것과 같은 분포인지 콜모고로프-스미르노프(Kolmogorov-Smirnov) 검정으로 본다."""

from unittest import mock

import numpy as np
import pytest

from tests.models.tiny import model_options
from tests.training.extra import require_training_extra

require_training_extra()

import torch  # noqa: E402
from scipy.stats import ks_2samp  # noqa: E402

from realesrgan.basicsr_bridge import MODEL_REGISTRY, set_random_seed  # noqa: E402
from realesrgan.data.kernels import (  # noqa: E402
    KernelOptions,
    draw_final_sinc,
    draw_kernel,
    pad_kernel,
    render_kernel,
)
from realesrgan.models import realesrnet_model  # noqa: E402, F401  모델을 등록한다
from tests.data.recipe import KERNELS  # noqa: E402

COUNT = 160


def batches(seed):
    """장마다 무늬와 커널이 다른, 배치 하나짜리들."""
    rng = np.random.default_rng(seed)
    first, second = KernelOptions.from_options(KERNELS), KernelOptions.from_options(KERNELS, "2")
    for _ in range(COUNT):
        coarse = torch.from_numpy(rng.random((1, 3, 12, 12)).astype(np.float32))
        gt = torch.nn.functional.interpolate(coarse, size=(112, 112), mode="bicubic").clamp(0, 1)
        draws = (draw_kernel(rng, first), draw_kernel(rng, second), draw_final_sinc(rng, KERNELS["final_sinc_prob"]))
        kernels = [torch.from_numpy(pad_kernel(render_kernel(one), 21))[None].float() for one in draws]
        yield {"gt": gt, "kernel1": kernels[0], "kernel2": kernels[1], "sinc_kernel": kernels[2]}


def statistics(lq):
    """밝기의 평균과 표준편차, 이웃한 픽셀의 차(선명함과 잡음), 채널 사이의 차(색 잡음), 8픽셀 칸 경계의 차(JPEG)."""
    across = (lq[..., 1:] - lq[..., :-1]).abs()
    colour = lq - lq.mean(1, keepdim=True)
    return [lq.mean(), lq.std(), across.mean(), (across[..., 1:] - across[..., :-1]).abs().mean(), colour.std()]


def measure(model, seed):
    found = []
    for data in batches(seed):
        model.feed_data(data)
        found.append([float(value) for value in statistics(model.lq)])
    return np.asarray(found)


@pytest.mark.slow
def test_low_quality_images_follow_the_distribution_of_basicsr(tmp_path):
    models = dict(iter(MODEL_REGISTRY))
    options = model_options(tmp_path, gt_size=112, queue_size=1)
    stay = lambda this, *_, **__: this  # noqa: E731
    set_random_seed(1)
    with mock.patch.object(torch.nn.Module, "cuda", stay), mock.patch.object(torch.Tensor, "cuda", stay):
        theirs = measure(models["RealESRNetModel_basicsr"](options | {"path": dict(options["path"])}), 1)
    ours = measure(models["RealESRNetModel"](model_options(tmp_path, gt_size=112, queue_size=1)), 2)
    names = ("평균", "표준편차", "이웃의 차", "이웃의 차의 차", "색")
    values = {name: ks_2samp(theirs[:, i], ours[:, i]).pvalue for i, name in enumerate(names)}
    assert min(values.values()) > 0.05, values
    # 견주는 법이 다른 것을 가려낼 만큼 예민한지도 본다: 잡음과 JPEG이 없으면 다르다고 해야 한다.
    quiet = {"noise_prob": 0.0, "noise_prob2": 0.0, "jpeg_prob": 0.0, "jpeg_prob2": 0.0}
    clean = measure(models["RealESRNetModel"](model_options(tmp_path, gt_size=112, queue_size=1) | quiet), 3)
    assert min(ks_2samp(theirs[:, i], clean[:, i]).pvalue for i in range(len(names))) < 1e-4
