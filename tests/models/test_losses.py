"""`train:losses`의 손실들을 따로 적은 기준과 견준다."""

import sys
import types

import numpy as np
import pytest

from tests.models.tiny import make_batch, model_options
from tests.training.extra import require_training_extra

require_training_extra()

import torch  # noqa: E402
from basicsr.losses.loss_util import get_refined_artifact_map  # noqa: E402
from basicsr.models import build_model  # noqa: E402

from realesrgan.errors import MissingPackageError, OptionError  # noqa: E402
from realesrgan.models import losses as L  # noqa: E402


def pair(side=192, noise=0.1):
    generator = torch.Generator().manual_seed(0)
    coarse = torch.rand(2, 3, 24, 24, generator=generator)
    target = torch.nn.functional.interpolate(coarse, size=(side, side), mode="bicubic").clamp(0, 1)
    output = (target + noise * torch.randn(target.shape, generator=generator)).clamp(0, 1)
    return output, target


def test_ldl_agrees_with_basicsr():
    output, target = pair(40)
    average = 0.5 * (output + target).roll(1, 3)
    expected = get_refined_artifact_map(target, output, average, 7)
    torch.testing.assert_close(L.artifact_map(output, average, target), expected, atol=1e-5, rtol=1e-3)
    loss = L.LDLLoss()(output, target, average)
    torch.testing.assert_close(loss, (expected * (output - target)).abs().mean(), atol=1e-5, rtol=1e-3)


def reference_ssim(one, other):
    """NumPy로 적은 SSIM과 대비 항. 창은 11x11 가우시안, 유효한 자리만."""
    axis = np.arange(11) - 5
    line = np.exp(-(axis**2) / 4.5)
    window = np.outer(line, line) / line.sum() ** 2

    def blur(image):
        views = np.lib.stride_tricks.sliding_window_view(image, (11, 11))
        return (views * window).sum((-1, -2))

    mean, mean2 = blur(one), blur(other)
    variance, variance2 = blur(one**2) - mean**2, blur(other**2) - mean2**2
    covariance = blur(one * other) - mean * mean2
    contrast = (2 * covariance + 9e-4) / (variance + variance2 + 9e-4)
    return ((2 * mean * mean2 + 1e-4) / (mean**2 + mean2**2 + 1e-4) * contrast).mean(), contrast.mean()


def test_ms_ssim_agrees_with_a_plain_implementation():
    output, target = (tensor[:1, :1].double() for tensor in pair())
    one, other, expected = output[0, 0].numpy(), target[0, 0].numpy(), 1.0
    for number, exponent in enumerate((0.0448, 0.2856, 0.3001, 0.2363, 0.1333)):
        whole, contrast = reference_ssim(one, other)
        expected *= (whole if number == 4 else contrast) ** exponent
        one, other = (image.reshape(len(image) // 2, 2, -1, 2).mean((1, 3)) for image in (one, other))
    assert float(L.MSSSIMLoss()(output, target)) == pytest.approx(1 - expected, abs=1e-6)
    assert float(L.MSSSIMLoss()(target, target)) == pytest.approx(0, abs=1e-9)
    with pytest.raises(OptionError, match="176"):
        L.MSSSIMLoss()(*pair(128))
    assert 0 < float(L.MSSSIMLoss(3)(*pair(64))) < 1
    with pytest.raises(OptionError, match="levels"):
        L.MSSSIMLoss(6)


def test_focal_frequency_agrees_with_a_plain_implementation():
    output, target = pair(32)
    difference = np.fft.fft2(output.numpy(), norm="ortho") - np.fft.fft2(target.numpy(), norm="ortho")
    distance = np.abs(difference) ** 2
    weight = np.sqrt(distance)
    weight /= weight.max((2, 3), keepdims=True)
    assert float(L.FocalFrequencyLoss()(output, target)) == pytest.approx((weight * distance).mean(), rel=1e-4)


@pytest.mark.parametrize("lower_better", [True, False])
def test_pyiqa_metrics_as_losses(monkeypatch, lower_better):
    class Metric(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.lower_better = lower_better

        def forward(self, one, other):
            return (one - other).abs().mean((1, 2, 3))

    made = []
    stub = types.ModuleType("pyiqa")
    stub.create_metric = lambda name, as_loss: made.append((name, as_loss)) or Metric()
    monkeypatch.setitem(sys.modules, "pyiqa", stub)
    output, target = pair(16)
    plain = (output - target).abs().mean()
    torch.testing.assert_close(L.PyiqaLoss("dists")(output, target), plain if lower_better else 1 - plain)
    assert made == [("dists", True)]
    monkeypatch.setitem(sys.modules, "pyiqa", None)
    with pytest.raises(MissingPackageError, match="pip install pyiqa"):
        L.PyiqaLoss()


@pytest.mark.parametrize("gan", [False, True])
def test_listed_losses_are_weighted_scheduled_and_aimed(tmp_path, gan):
    entries = [
        {"type": "L1Loss", "name": "sharp", "weight": 0.5, "target": "gt_usm"},
        {"type": "FocalFrequencyLoss", "weight": 2, "start_iter": 2, "end_iter": 3},
        {"type": "LDLLoss"},
    ]
    model = build_model(model_options(tmp_path, gan, **{"train.losses": entries}))
    logs = []
    for iteration in (1, 2, 3):
        model.feed_data(make_batch(iteration))
        expected = (model.net_g(model.lq) - (model.gt_usm if gan else model.gt)).abs().mean()
        model.optimize_parameters(iteration)
        logs.append(model.get_current_log())
        model.log_dict = {}
        assert logs[-1]["l_sharp"] == pytest.approx(0.5 * float(expected), rel=1e-4)
    assert ["l_FocalFrequencyLoss" in log for log in logs] == [False, True, False]
    assert all(log["l_LDLLoss"] >= 0 for log in logs)


def test_wrong_lists_are_named(tmp_path):
    for losses, word in (
        ([{"type": "L1Loss"}, {"type": "L1Loss"}], "겹칩니다"),
        ([{"type": "LDLLoss"}], "ema_decay"),
    ):
        with pytest.raises(OptionError, match=word):
            build_model(model_options(tmp_path, **{"train.losses": losses, "train.ema_decay": 0}))
