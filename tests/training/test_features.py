"""연구자가 찾는 것들을 끝까지 돌려 본다: spandrel, 옵티마이저, 체크포인트의 보관, 내 사진으로 미세조정."""

import importlib.util
import shutil
import sys
import types

import pytest

from tests.conftest import ROOT
from tests.data.pictures import write_pictures
from tests.training.extra import require_training_extra
from tests.training.test_own_code import paired_options
from tests.training.test_resume import local

require_training_extra()

import torch  # noqa: E402

from realesrgan.errors import MissingPackageError, OptionError, UsageError  # noqa: E402
from realesrgan.models.optimizers import PACKAGE_OPTIMIZERS  # noqa: E402
from realesrgan.training.api import train  # noqa: E402
from realesrgan.training.options import load_yaml  # noqa: E402


def held(options):
    """검증 자료와 지표를 더한다."""
    options["datasets"]["val"] = {
        "name": "held",
        "type": "RealESRGANDegradedDataset",
        "dataroot_gt": options["datasets"]["train"]["dataroot_gt"],
        "io_backend": {"type": "disk"},
    }
    options["val"] = {"val_freq": 1, "metrics": {"psnr": {"type": "calculate_psnr", "crop_border": 4}}}
    return options


def test_only_the_newest_and_the_best_checkpoints_are_kept(tmp_path):
    options = held(local(tmp_path))
    options["logger"] |= {
        "save_checkpoint_freq": 1,
        "keep_checkpoints": 2,
        "keep_best": "psnr",
        "save_safetensors": True,
    }
    result = train(options, root=tmp_path)
    assert {path.name for path in (result.folder / "models").iterdir()} == {
        *("net_g_3.pth", "net_g_4.pth", "net_g_latest.pth", "net_g_best.pth", "net_g_latest.safetensors"),
    }
    names = {path.name for path in (result.folder / "training_states").iterdir()}
    assert names == {"3.state", "4.state", "3.rank0.pth", "4.rank0.pth", "4.pool0.pth"}
    assert train(options, root=tmp_path, auto_resume=True, overrides={"train:total_iter": 5}).iterations == 5
    (log, *_) = sorted(result.folder.glob("*.log"))
    assert "체크포인트의 크기" in log.read_text(encoding="utf-8")
    import realesrgan as sr

    assert sr.load(result.folder / "models/net_g_latest.safetensors").scale == 4
    assert sr.load(result.folder / "models/net_g_best.pth").scale == 4
    options["logger"]["keep_best"] = "pnsr"
    with pytest.raises(OptionError, match="psnr"):
        train(options, root=tmp_path)


@pytest.mark.parametrize(
    ("optimizer", "scheduler"),
    [
        ({"type": "AdamW", "lr": 1e-3}, {"type": "CosineAnnealingLR", "T_max": 10}),
        ({"type": "NAdam", "lr": 1e-3}, {"type": "OneCycleLR", "max_lr": 1e-2, "total_steps": 20}),
    ],
)
def test_optimizers_and_schedules_by_name(tmp_path, optimizer, scheduler):
    options = local(tmp_path)
    options["train"] |= {"optim_g": optimizer, "scheduler": scheduler, "warmup_iter": 2}
    assert train(options, root=tmp_path).complete


def test_a_basicsr_model_takes_another_optimizer(tmp_path):
    options = paired_options(tmp_path)
    options["train"]["optim_g"] = {"type": "AdamW", "lr": 1e-3}
    options["datasets"]["train"]["num_worker_per_gpu"] = 0
    assert train(options, root=tmp_path, overrides={"train:total_iter": 1}).complete
    options["train"]["scheduler"] = {"type": "OneCycleLR", "max_lr": 0.1, "total_steps": 9}
    with pytest.raises(OptionError, match="OneCycleLR"):
        train(options, root=tmp_path)


class ScheduleFree(torch.optim.SGD):
    """훈련과 평가의 가중치가 다른 옵티마이저의 대역(stub). 평가하는 동안 값을 1만큼 옮겨 둔다."""

    moved = False

    def _move(self, wanted):
        if self.moved != wanted:
            self.moved = wanted
            with torch.no_grad():
                for group in self.param_groups:
                    for value in group["params"]:
                        value.add_(1.0 if wanted else -1.0)

    def eval(self):
        self._move(True)

    def train(self):
        self._move(False)


def test_schedule_free_weights_are_saved_averaged(tmp_path, monkeypatch):
    stub = types.ModuleType("schedulefree")
    stub.AdamWScheduleFree = ScheduleFree
    monkeypatch.setitem(sys.modules, "schedulefree", stub)
    options = held(local(tmp_path))
    options["train"] |= {"optim_g": {"type": "AdamWScheduleFree", "lr": 0.0}, "ema_decay": 0.5, "total_iter": 2}
    content = torch.load(train(options, root=tmp_path).weights, weights_only=True)
    for name, value in content["params"].items():
        torch.testing.assert_close(value, content["params_ema"][name] + 1)
    monkeypatch.setitem(sys.modules, "schedulefree", None)
    with pytest.raises(MissingPackageError, match="pip install schedulefree"):
        train(options, root=tmp_path)


@pytest.mark.parametrize("name", sorted(PACKAGE_OPTIMIZERS))
def test_the_optimizers_of_other_packages_train_and_resume_exactly(tmp_path, name):
    """대역이 아니라 진짜 패키지로. 그 패키지가 있는 곳에서만 돈다."""
    pytest.importorskip(PACKAGE_OPTIMIZERS[name][0])
    options = held(local(tmp_path))
    options["train"]["optim_g"] = {"type": name, "lr": 1e-3}
    whole = train(options, root=tmp_path / "whole")
    train(options, root=tmp_path / "parted", progress=lambda now: now.iteration < 2)
    rest = train(options, root=tmp_path / "parted", auto_resume=True)
    expected, found = (torch.load(one.weights, weights_only=True) for one in (whole, rest))
    assert all(torch.equal(found["params"][key], value) for key, value in expected["params"].items())
    assert whole.metrics["held"]["psnr"] > 0


@pytest.mark.skipif(importlib.util.find_spec("spandrel") is None, reason="spandrel이 없다")
def test_a_network_of_spandrel_trains_and_loads(tmp_path):
    options = held(local(tmp_path))
    network = load_yaml(ROOT / "options/train_realesrgan_span_x4.yml")["network_g"]
    options["network_g"] = network | {"feature_channels": 8}
    options["train"]["total_iter"] = 2
    options["logger"]["save_safetensors"] = True
    result = train(options, root=tmp_path)
    assert result.metrics["held"]["psnr"] > 0
    import spandrel

    import realesrgan as sr

    assert spandrel.ModelLoader().load_from_file(result.weights).architecture.name == "SPAN"
    for file in (result.weights, result.weights.with_suffix(".safetensors")):
        assert sr.load(file).scale == 4
    assert train(options, root=tmp_path, auto_resume=True, overrides={"train:total_iter": 3}).iterations == 3
    with pytest.raises(OptionError, match="feature_channels"):
        train(options, root=tmp_path, overrides={"network_g:feature_channel": 8})
    with pytest.raises(UsageError, match="spandrel:SPAN"):
        train(options, root=tmp_path, overrides={"network_g:type": "spandrel:SPNA"})


def test_my_pictures_end_to_end(tmp_path, monkeypatch):
    """`finetune_my_pictures.yml`을 작게 줄여 끝까지 돈다."""
    monkeypatch.chdir(tmp_path)
    write_pictures(tmp_path / "my_pictures", 4, size=(160, 160))
    write_pictures(tmp_path / "my_pictures_val", 1, size=(96, 96), seed=1)
    shutil.copy(ROOT / "options/finetune_my_pictures.yml", tmp_path / "mine.yml")
    small = {
        **{"train:total_iter": 4, "train:warmup_iter": 2, "val:val_freq": 2, "logger:save_checkpoint_freq": 2},
        **{"gt_size": 64, "datasets:train:gt_size": 64, "datasets:train:crop_size": 96, "queue_size": 4},
        **{"datasets:train:batch_size_per_gpu": 2, "datasets:train:num_worker_per_gpu": 0, "logger:print_freq": 1},
    }
    result = train("mine.yml", overrides=small)
    assert result.complete and result.metrics["my_pictures_val"]["psnr"] > 10
    assert (result.folder / "models/net_g_best.pth").is_file()
    assert list((result.folder / "visualization").rglob("*_side_by_side.png"))


@pytest.mark.parametrize("scale", [1, 2, 3, 8])
def test_the_compact_network_trains_at_other_scales(tmp_path, scale):
    options = held(local(tmp_path)) | {"scale": scale, "gt_size": 24}
    options["datasets"]["train"]["gt_size"] = 24
    options["network_g"]["upscale"] = scale
    options["train"]["total_iter"] = 1
    options["val"]["metrics"]["psnr"]["crop_border"] = 0
    result = train(options, root=tmp_path)
    assert result.complete and result.metrics["held"]["psnr"] > 0


@pytest.mark.parametrize("gan", [False, True])
def test_rrdbnet_trains_at_scale_three_and_its_file_enlarges(tmp_path, gan):
    options = held(local(tmp_path, gan=gan)) | {"scale": 3, "gt_size": 24}
    options["datasets"]["train"]["gt_size"] = 24
    rrdb = {"num_in_ch": 3, "num_out_ch": 3, "num_feat": 8, "num_block": 1, "num_grow_ch": 4}
    options["network_g"] = {"type": "RRDBNet", **rrdb, "scale": 3}
    options["train"]["total_iter"] = 2
    result = train(options, root=tmp_path)
    assert result.complete and result.metrics["held"]["psnr"] > 0
    import realesrgan as sr

    assert sr.load(result.weights).scale == 3
    assert train(options, root=tmp_path, auto_resume=True, overrides={"train:total_iter": 3}).iterations == 3
