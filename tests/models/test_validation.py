import math
import sys
from types import MappingProxyType, SimpleNamespace

import cv2
import numpy as np
import pytest
import torch

from tests.models.tiny import model_options
from tests.training.extra import require_training_extra

require_training_extra()

from basicsr.models import build_model  # noqa: E402

from realesrgan.archs import RRDBNet  # noqa: E402
from realesrgan.errors import TrainingError  # noqa: E402
from realesrgan.models import validation  # noqa: E402


class Pictures(torch.utils.data.Dataset):
    def __init__(self, count=3, size=104):
        self.opt = {"name": "set"}
        generator = torch.Generator().manual_seed(0)
        self.lq = torch.rand(count, 3, size // 4, size // 4, generator=generator)

    def __len__(self):
        return len(self.lq)

    def __getitem__(self, index):
        lq = self.lq[index]
        return {"lq": lq, "gt": lq.repeat_interleave(4, 1).repeat_interleave(4, 2), "lq_path": f"이미지{index}.png"}


def loader(**kwargs):
    return torch.utils.data.DataLoader(Pictures(**kwargs), batch_size=1)


class Recorder:
    def __init__(self):
        self.values = {}

    def add_scalar(self, name, value, iteration):
        self.values[name] = (value, iteration)


def test_metrics_pictures_and_mode(tmp_path):
    metrics = {
        "psnr": {"type": "calculate_psnr", "crop_border": 4, "test_y_channel": False},
        "ssim": {"type": "calculate_ssim", "crop_border": 4, "better": "higher"},
        "niqe": {"type": "calculate_niqe", "crop_border": 0, "better": "lower"},
    }
    model = build_model(model_options(tmp_path, **{"val.metrics": metrics}))
    model.lq = kept = torch.rand(1)
    recorder = Recorder()
    model.validation(loader(size=208), 7, recorder, save_img=True)
    assert model.net_g.training and model.is_train and model.lq is kept
    assert set(recorder.values) == {f"metrics/set/{name}" for name in metrics}
    assert all(math.isfinite(value) for value, _ in recorder.values.values())
    picture = cv2.imdecode(np.fromfile(tmp_path / "visualization/이미지1/이미지1_7.png", np.uint8), cv2.IMREAD_COLOR)
    assert picture.shape == (208, 208, 3)
    assert model.best_metric_results["set"]["psnr"]["iter"] == 7


def test_validation_uses_the_ema(tmp_path):
    model = build_model(model_options(tmp_path))
    recorder = Recorder()
    model.validation(loader(), 1, recorder)
    first = recorder.values["metrics/set/psnr"][0]
    for parameter in model.net_g.parameters():
        parameter.data.zero_()
    model.validation(loader(), 2, recorder)
    assert recorder.values["metrics/set/psnr"][0] == first


def test_training_mode_returns_after_an_error(tmp_path):
    model = build_model(model_options(tmp_path, **{"train.ema_decay": 0}))
    broken = [{"lq": torch.rand(1, 5, 8, 8), "lq_path": ["a.png"]}]
    with pytest.raises(RuntimeError):
        model.validation(Broken(broken), 1, None)
    assert model.net_g.training and model.is_train


class Broken(list):
    dataset = SimpleNamespace(opt=MappingProxyType({"name": "x"}))


def test_infer_pads_to_the_network_multiple():
    network = RRDBNet(3, 3, scale=2, num_feat=4, num_block=1, num_grow_ch=2)
    assert validation.infer(network, torch.rand(1, 3, 7, 9)).shape == (1, 3, 14, 18)
    assert network.training


def test_missing_gt_is_a_named_error(tmp_path):
    model = build_model(model_options(tmp_path))
    data = Broken([{"lq": torch.rand(1, 3, 8, 8), "lq_path": ["a.png"]}])
    with pytest.raises(TrainingError, match="psnr"):
        model.validation(data, 1, None)


def test_pyiqa_missing_is_a_named_error(monkeypatch):
    validation._create_pyiqa.cache_clear()
    monkeypatch.setitem(sys.modules, "pyiqa", None)
    with pytest.raises(TrainingError, match="pip install pyiqa"):
        validation.calculate_pyiqa(np.zeros((8, 8, 3), np.uint8), np.zeros((8, 8, 3), np.uint8))


def test_pyiqa_adapter_with_a_stub(tmp_path, monkeypatch):
    calls = []

    def create_metric(name):
        def measure(*args):
            calls.append((name, args))
            return torch.tensor(0.25)

        measure.metric_mode = "NR" if name == "musiq" else "FR"
        return measure

    validation._create_pyiqa.cache_clear()
    monkeypatch.setitem(sys.modules, "pyiqa", SimpleNamespace(create_metric=create_metric))
    metrics = {
        "lpips": {"type": "calculate_pyiqa", "metric": "lpips", "better": "lower"},
        "musiq": {"type": "calculate_pyiqa", "metric": "musiq"},
        "fid": {"type": "calculate_pyiqa", "metric": "fid", "better": "lower"},
    }
    model = build_model(model_options(tmp_path, **{"val.metrics": metrics}))
    recorder = Recorder()
    model.validation(loader(count=2), 3, recorder)
    validation._create_pyiqa.cache_clear()
    assert {name for name, _ in calls} == {"lpips", "musiq", "fid"}
    assert recorder.values["metrics/set/lpips"] == (0.25, 3)
    by_name = dict(calls)
    assert len(by_name["lpips"]) == 2 and by_name["lpips"][0].shape == (1, 3, 104, 104)
    assert len(by_name["musiq"]) == 1
    result, gt = by_name["fid"]
    assert [name for name, _ in calls].count("fid") == 1
    assert result.endswith("result") and gt.endswith("gt")
    assert len(list((tmp_path / "visualization/_sets/set/3/gt").iterdir())) == 2
