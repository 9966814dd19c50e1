import copy
import importlib.util
import re
from pathlib import Path

import pytest

from tests.training.extra import require_training_extra

require_training_extra()

from realesrgan.archs.base import network_scale  # noqa: E402
from realesrgan.basicsr_bridge import build_network  # noqa: E402
from realesrgan.data.kernels import KernelOptions  # noqa: E402
from realesrgan.data.pipeline import PipelineOptions  # noqa: E402
from realesrgan.training.option_schema import check_options, import_user_modules  # noqa: E402
from realesrgan.training.options import load_yaml, prepare_options  # noqa: E402
from tests.data.recipe import DEGRADATION, KERNELS  # noqa: E402


def require_spandrel() -> None:
    if importlib.util.find_spec("spandrel") is None:
        pytest.skip("spandrel이 없습니다")


FOLDER = Path(__file__).resolve().parents[2] / "options"
FILES = sorted(FOLDER.glob("*.yml"))
NAMES = {
    "train_realesrnet_x4plus",
    "train_realesrnet_x2plus",
    "train_realesrgan_x4plus",
    "train_realesrgan_x2plus",
    "finetune_realesrgan_x4plus",
    "finetune_realesrgan_x4plus_pairdata",
    "train_realesrnet_compact_x4",
    "train_realesrgan_compact_x4",
    "train_realesrnet_compact_x4_animevideo",
    "train_realesrgan_compact_x4_animevideo",
    "quickstart_cpu",
    "finetune_my_pictures",
    "train_realesrgan_span_x4",
}


@pytest.fixture(scope="module", autouse=True)
def modules():
    import_user_modules()


def test_every_file_is_here():
    assert {path.stem for path in FILES} == NAMES


@pytest.mark.parametrize("path", FILES, ids=lambda p: p.stem)
def test_file_passes_the_schema_and_builds(path, tmp_path):
    options = load_yaml(path)
    if options["network_g"]["type"].startswith("spandrel:"):
        pytest.importorskip("torchvision")
        require_spandrel()
    before = copy.deepcopy(options)
    check_options(options)
    assert options == before
    prepare_options(options, tmp_path)
    network = build_network(options["network_g"])
    assert network_scale(network) == options["scale"]
    train = options["datasets"]["train"]
    if options.get("high_order_degradation", True):
        PipelineOptions.from_options(options)
        KernelOptions.from_options(train)
        KernelOptions.from_options(train, "2")
        assert options["queue_size"] % train["batch_size_per_gpu"] == 0
        assert options["gt_size"] <= train.get("crop_size", 400)
    if options["model_type"] == "RealESRGANModel":
        build_network(options["network_d"])


@pytest.mark.parametrize("path", FILES, ids=lambda p: p.stem)
def test_every_key_has_a_korean_comment(path):
    for line in path.read_text(encoding="utf-8").splitlines():
        if re.match(r"^\s*[A-Za-z]\w*:", line):
            assert re.search(r" # .*[가-힣]", line), line


@pytest.mark.parametrize("name", sorted(n for n in NAMES if n.startswith(("train_", "finetune_realesrgan_x4plus"))))
def test_recipe_values(name):
    options = load_yaml(FOLDER / f"{name}.yml")
    gan = "realesrgan" in name
    train = options["train"]
    assert options["model_type"] == ("RealESRGANModel" if gan else "RealESRNetModel")
    assert options["datasets"]["train"]["batch_size_per_gpu"] == 12
    assert options["datasets"]["train"]["gt_size"] == 256
    assert train["ema_decay"] == 0.999
    assert train["total_iter"] == (400000 if gan else 1000000)
    assert train["scheduler"] == {"type": "MultiStepLR", "milestones": [train["total_iter"]], "gamma": 0.5}
    optimizer = {"type": "Adam", "lr": 1e-4 if gan else 2e-4, "weight_decay": 0, "betas": [0.9, 0.99]}
    assert train["optim_g"] == optimizer
    if gan:
        assert train["optim_d"] == optimizer
        assert train["gan_opt"]["gan_type"] == "vanilla" and train["gan_opt"]["loss_weight"] == 0.1
        weights = {"conv1_2": 0.1, "conv2_2": 0.1, "conv3_4": 1, "conv4_4": 1, "conv5_4": 1}
        assert train["perceptual_opt"]["layer_weights"] == weights
        assert [options[key] for key in ("l1_gt_usm", "percep_gt_usm", "gan_gt_usm")] == [True, True, False]
    else:
        assert options["gt_usm"] is True
    if name.endswith("pairdata"):
        assert options["high_order_degradation"] is False
        assert "resize_prob" not in options and "queue_size" not in options
        return
    assert {key: options[key] for key in DEGRADATION} == DEGRADATION
    assert {key: options["datasets"]["train"][key] for key in KERNELS} == KERNELS
    assert options["queue_size"] == 180 and options["gt_size"] == 256


def test_quickstart_makes_a_known_network():
    network = load_yaml(FOLDER / "quickstart_cpu.yml")["network_g"]
    assert (network["num_feat"], network["num_conv"], network["upscale"], network["act_type"]) == (64, 16, 4, "prelu")
