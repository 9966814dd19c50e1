"""시작할 때 한 번 해 보는 것: 틀린 인자를 첫 걸음이 아니라 실험 폴더를 만지기 전에, 자리를 말하며 안다."""

import pytest

from tests.data.pictures import write_pictures
from tests.training.extra import require_training_extra
from tests.training.tiny_run import tiny_options

require_training_extra()

import torch  # noqa: E402

from realesrgan.basicsr_bridge import ARCH_REGISTRY  # noqa: E402
from realesrgan.errors import DatasetError, OptionError, OutOfMemoryError, TrainingError  # noqa: E402
from realesrgan.models.realesrnet_model import RealESRNetModel  # noqa: E402
from realesrgan.training.api import train  # noqa: E402

WRONG = {
    "network_g:act_type": ("gelu", "network_g:type=SRVGGNetCompact"),
    "network_g": ({"type": "MSRResNet", "num_in_ch": 3, "num_out_ch": 3, "num_block": 1, "upscale": 2}, "scale=4"),
    "network_d": ({"type": "VGGStyleDiscriminator", "num_in_ch": 3, "num_feat": 4}, "network_d:type=VGGStyle"),
    "train:optim_g:eps": (-1, "train:optim_g:type=Adam"),
    "train:optim_d:betas": ([1.0, 0.9], "train:optim_d:type=Adam"),
    "train:optim_g:type": ("SparseAdam", "SparseAdam"),
    "train:scheduler": ({"type": "StepLR", "step_size": 0}, "train:scheduler:type=StepLR"),
    "train:pixel_opt:reduction": ("none", "train:pixel_opt:type=L1Loss"),
    "train:pixel_opt": ({"type": "LDLLoss"}, "train:pixel_opt:type=LDLLoss"),
    "train:gan_opt": ({"type": "L1Loss"}, "train:gan_opt:type=L1Loss"),
    "train:perceptual_opt": ({"type": "L1Loss"}, "train:perceptual_opt:type=L1Loss"),
    "train:losses": ([{"type": "GANLoss", "gan_type": "vanilla"}], "train:losses:0:type=GANLoss"),
}
LATE = [
    [{"type": "MSSSIMLoss"}],
    [{"type": "LDLLoss", "window": 8}],
    [{"type": "LDLLoss", "window": 99}],
    [{"type": "FocalFrequencyLoss", "alpha": -1}],
    [{"type": "L1Loss", "start_iter": 5, "end_iter": 5}],
]


def finished(folder, gan=True):
    """앞선 실험이 있는 자리와 옵션."""
    options = tiny_options(folder, gan)
    options["datasets"]["train"]["num_worker_per_gpu"] = 0
    options["train"]["total_iter"] = 2
    kept = folder / "experiments" / "tiny" / "kept.txt"
    kept.parent.mkdir(parents=True)
    kept.write_text("앞선 실험", encoding="utf-8")
    return options, kept


@pytest.mark.parametrize("key", WRONG)
def test_an_argument_the_class_refuses_is_named_before_anything_is_moved(tmp_path, key):
    options, kept = finished(tmp_path)
    value, named = WRONG[key]
    with pytest.raises(OptionError) as caught:
        train(options, root=tmp_path, overrides={key: value})
    assert named in str(caught.value) and "해결" in str(caught.value)
    assert kept.is_file()


@pytest.mark.parametrize("losses", LATE, ids=lambda one: f"{one[0]['type']}-{list(one[0].values())[-1]}")
def test_a_loss_that_cannot_be_measured_stops_the_start(tmp_path, losses):
    options, kept = finished(tmp_path)
    with pytest.raises(OptionError):
        train(options, root=tmp_path, overrides={"train:losses": losses})
    assert kept.is_file()


@pytest.mark.parametrize(
    ("scheduler", "fits"),
    [
        ({"type": "OneCycleLR", "max_lr": 1e-3, "total_steps": 9}, True),
        ({"type": "OneCycleLR", "max_lr": 1e-3, "total_steps": 5}, False),
        ({"type": "CosineAnnealingRestartLR", "periods": [5, 4], "restart_weights": [1, 1]}, True),
        ({"type": "CosineAnnealingRestartLR", "periods": [2, 2], "restart_weights": [1, 1]}, False),
    ],
)
def test_a_schedule_shorter_than_the_training_is_found_at_the_start(tmp_path, scheduler, fits):
    options, _ = finished(tmp_path, gan=False)
    options["train"] |= {"scheduler": scheduler, "total_iter": 9}
    if fits:
        assert train(options, root=tmp_path).iterations == 9
        return
    with pytest.raises(OptionError, match="먼저 끝납니다"):
        train(options, root=tmp_path)


def test_the_trial_changes_neither_weights_nor_random_numbers(tmp_path, monkeypatch):
    options, _ = finished(tmp_path)
    with_trial = train(options, root=tmp_path)
    first = torch.load(with_trial.weights, weights_only=True)["params"]
    monkeypatch.setattr("realesrgan.training.loop.try_step", lambda _model: None)
    second = torch.load(train(options, root=tmp_path).weights, weights_only=True)["params"]
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_the_first_item_of_the_validation_data_is_tried(tmp_path):
    options, kept = finished(tmp_path)
    (first, *_) = write_pictures(tmp_path / "pairs", 2)
    options["datasets"]["val"] = {
        "type": "PairedImageDataset",
        "dataroot_gt": str(tmp_path / "pairs"),
        "dataroot_lq": str(tmp_path / "pairs"),
        "io_backend": {"type": "disk"},
    }
    first.write_bytes(b"not a picture")
    options["val"] = {"val_freq": 2}
    with pytest.raises(DatasetError, match=r"datasets:val\(val\)"):
        train(options, root=tmp_path)
    assert kept.is_file()


def test_a_dataset_that_cannot_be_built_is_named(tmp_path):
    options, _ = finished(tmp_path)
    options["datasets"]["val"] = {
        "type": "SingleImageDataset",
        "dataroot_lq": str(tmp_path / "없음"),
        "io_backend": {"type": "disk"},
    }
    with pytest.raises(DatasetError, match="datasets:val:type=SingleImageDataset"):
        train(options, root=tmp_path)


class Failing(torch.nn.Module):
    """세 번째 걸음에서 실패하는 네트워크."""

    scale = 4
    calls = 0
    error: Exception = RuntimeError("세 번째")

    def __init__(self):
        super().__init__()
        self.conv = torch.nn.Conv2d(3, 48, 3, padding=1)

    def forward(self, x):
        type(self).calls += self.training
        if type(self).calls == 3:
            raise self.error
        return torch.nn.functional.pixel_shuffle(self.conv(x), 4)


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (RuntimeError("세 번째"), TrainingError),
        (torch.cuda.OutOfMemoryError("CUDA out of memory."), OutOfMemoryError),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory"), OutOfMemoryError),
    ],
)
def test_an_error_of_a_step_is_named_with_the_last_checkpoint(tmp_path, caplog, error, kind):
    ARCH_REGISTRY._obj_map["Failing"] = Failing
    Failing.calls, Failing.error = 0, error
    options, _ = finished(tmp_path, gan=False)
    options["network_g"] = {"type": "Failing"}
    options["train"]["total_iter"] = 4
    try:
        with pytest.raises(kind) as caught:
            train(options, root=tmp_path)
    finally:
        del ARCH_REGISTRY._obj_map["Failing"]
    text = str(caught.value)
    assert "반복 3" in text and "해결" in text
    if kind is TrainingError:
        assert "2.state" in text and "Traceback" in caplog.text
    else:
        assert "accumulate" in text


def test_a_model_whose_step_is_its_own_is_not_tried(tmp_path, monkeypatch):
    """걸음을 다시 적은 모델은 네트워크를 어떻게 부를지 알 수 없다."""
    from realesrgan.basicsr_bridge import MODEL_REGISTRY

    class OwnStep(RealESRNetModel):
        """입력을 반으로 줄여 주는 모델."""

        def feed_data(self, data):
            super().feed_data(data)
            self.gt = self.gt[..., ::2, ::2]

    monkeypatch.setitem(MODEL_REGISTRY._obj_map, "OwnStep", OwnStep)
    options, _ = finished(tmp_path, gan=False)
    options |= {
        "model_type": "OwnStep",
        "network_g": {"type": "SRVGGNetCompact", "num_feat": 8, "num_conv": 1, "upscale": 2},
    }
    assert train(options, root=tmp_path).complete


def test_pictures_of_validation_without_a_val_block_are_not_silent(tmp_path, caplog):
    options, _ = finished(tmp_path, gan=False)
    write_pictures(tmp_path / "held", 1)
    options["datasets"]["val"] = {
        "type": "RealESRGANDegradedDataset",
        "dataroot_gt": str(tmp_path / "held"),
        "io_backend": {"type": "disk"},
    }
    train(options, root=tmp_path)
    assert "검증하지 않습니다" in caplog.text
