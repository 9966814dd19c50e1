"""비디오 코덱, 단계마다의 확률, 섞은 자료."""

import numpy as np
import pytest

from tests.data.pictures import write_pictures
from tests.data.recipe import DEGRADATION, KERNELS
from tests.training.extra import require_training_extra

require_training_extra()
pytest.importorskip("av")

import torch  # noqa: E402
from basicsr.data import build_dataset  # noqa: E402

from realesrgan.data.degradations import DegradationRandom  # noqa: E402
from realesrgan.data.pipeline import PipelineOptions, draw_plan  # noqa: E402
from realesrgan.data.preview import Recipe, degrade_picture  # noqa: E402
from realesrgan.data.resumable_sampler import ItemKey  # noqa: E402
from realesrgan.data.video_codec import CODECS, CodecDraw, CodecOptions, compress, draw_codec  # noqa: E402
from realesrgan.errors import OptionError  # noqa: E402
from realesrgan.training.api import train  # noqa: E402
from tests.training.test_resume import local  # noqa: E402


def picture(height=65, width=70):
    rng = np.random.default_rng(0)
    coarse = rng.integers(0, 256, (9, 10, 3), dtype=np.uint8)
    return np.kron(coarse, np.ones((8, 7, 1), np.uint8))[:height, :width]


@pytest.mark.parametrize("codec", CODECS)
def test_a_codec_degrades_repeatably_and_more_with_a_worse_quality(codec):
    image = picture()
    losses = []
    for crf in (20, 45):
        draw = CodecDraw(codec, crf, 3, (1.0, -2.0))
        once, again = compress(image, draw), compress(image, draw)
        assert once.shape == image.shape and once.dtype == np.uint8 and np.array_equal(once, again)
        losses.append(np.abs(once.astype(int) - image).mean())
    assert 0 < losses[0] < losses[1] < 60


def test_motion_leaves_other_traces_than_a_still():
    image = picture()
    still = compress(image, CodecDraw("h264", 35, 1, (0.0, 0.0)))
    assert not np.array_equal(still, compress(image, CodecDraw("h264", 35, 4, (2.0, 2.0))))


def test_an_unused_codec_takes_no_random_number():
    rng, other = np.random.default_rng(0), np.random.default_rng(0)
    assert draw_codec(rng, CodecOptions()) is None and rng.random() == other.random()
    with pytest.raises(OptionError, match="h264, h265, av1"):
        CodecOptions(1.0, ("vp9",), (1.0,))


def video_options(folder, **extra):
    return {
        "name": "v",
        "type": "RealESRGANVideoDataset",
        "phase": "train",
        "scale": 4,
        "dataroot_gt": str(folder),
        "io_backend": {"type": "disk"},
        "crop_size": 64,
        "gt_size": 48,
        **KERNELS,
        **DEGRADATION,
        **extra,
    }


def test_items_are_a_function_of_the_key(tmp_path):
    write_pictures(tmp_path / "gt", 3, size=(80, 80))
    dataset = build_dataset(video_options(tmp_path / "gt", codec_prob=1.0))
    key = ItemKey(1, 0, 0, 2, 5)
    first, again, other = dataset[key], dataset[key], dataset[key._replace(position=6)]
    assert first["lq"].shape == (3, 12, 12) and first["gt"].shape == (3, 48, 48)
    assert torch.equal(first["lq"], again["lq"]) and not torch.equal(first["lq"], other["lq"])
    plain = build_dataset(video_options(tmp_path / "gt"))[key]
    assert torch.equal(plain["gt"], first["gt"]) and not torch.equal(plain["lq"], first["lq"])


def test_step_choices_are_off_by_default_and_leave_the_recipe_alone():
    base = PipelineOptions.from_options(DEGRADATION)
    same = DEGRADATION | {"noise_prob": 1, "jpeg_prob2": 1.0, "first_blur_prob": 1, "lq_usm_prob": 0}
    draws = [draw_plan(np.random.default_rng(3), one, 4) for one in (base, PipelineOptions.from_options(same))]
    assert draws[0] == draws[1] and draws[0].first.noise and draws[0].first_blur and not draws[0].lq_usm
    never = dict.fromkeys(("noise_prob", "jpeg_prob", "noise_prob2", "jpeg_prob2", "first_blur_prob"), 0)
    options = PipelineOptions.from_options(DEGRADATION | never | {"resize_modes": ["area"], "lq_usm_prob": 1})
    plan = draw_plan(np.random.default_rng(3), options, 4)
    assert not (plan.first.noise or plan.first.jpeg or plan.second.noise or plan.second.jpeg or plan.first_blur)
    assert plan.first.mode == "area" and plan.lq_usm


def test_the_sheet_shows_the_choices_and_the_codec():
    options = {
        "model_type": "RealESRNetModel",
        "scale": 4,
        "datasets": {"train": KERNELS | {"codec_prob": 1.0, "codec_list": ["h265"]}},
        **DEGRADATION,
        **{"noise_prob": 0, "lq_usm_prob": 1},
    }
    degraded = degrade_picture(torch.rand(3, 128, 128), Recipe.from_options(options), 0, 0)
    details = {stage.name: stage.detail for stage in degraded.stages}
    assert "h265 crf=" in details["codec"] and "no change" in details["noise1"] and "radius" in details["usm2"]
    assert degraded.lq.shape == (3, 32, 32) and torch.equal(degraded.stages[-1].image, degraded.lq)


@pytest.mark.parametrize("mixed", [False, True])
def test_training_on_codecs_and_on_a_mix_resumes_exactly(tmp_path, mixed):
    options = local(tmp_path) | {"high_order_degradation": False}
    write_pictures(tmp_path / "lq", 6, size=(14, 14))
    block = options["datasets"]["train"]
    video = {**block, "type": "RealESRGANVideoDataset", "codec_prob": 0.5, "gt_size": 32}
    if mixed:
        loader = {"name": "mix", "num_worker_per_gpu": 0, "batch_size_per_gpu": 2, "gt_size": 32}
        loader["io_backend"] = {"type": "disk"}
        pairs = {"type": "RealESRGANPairedDataset", "dataroot_gt": block["dataroot_gt"]}
        pairs["dataroot_lq"] = str(tmp_path / "lq")
        video.pop("io_backend"), video.pop("gt_size")
        video = {**loader, "type": "RealESRGANMixedDataset", "sources": [video | {"weight": 2}, pairs]}
    options["datasets"]["train"] = video
    whole = train(options, root=tmp_path / "whole")
    train(options, root=tmp_path / "parted", progress=lambda now: now.iteration < 3)
    rest = train(options, root=tmp_path / "parted", auto_resume=True)
    one, two = (torch.load(result.weights, weights_only=True)["params"] for result in (whole, rest))
    assert all(torch.equal(one[name], two[name]) for name in one)
    with pytest.raises(OptionError, match="high_order_degradation: false"):
        train(options, root=tmp_path, overrides={"high_order_degradation": True})
    if mixed:
        options["datasets"]["train"]["sources"][0]["type"] = "RealESRGANDataset"
        with pytest.raises(OptionError, match="섞을 수 없는"):
            train(options, root=tmp_path)


def test_the_random_of_an_item_is_its_own():
    assert (
        DegradationRandom.from_seed(1, 2, 3, 4, 1).host.random()
        != DegradationRandom.from_seed(1, 2, 3, 4).host.random()
    )
