"""열화 보기가 훈련과 같은 값을 내고, 뽑은 값을 사실대로 적는지."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.training.extra import require_training_extra

require_training_extra()

import torch  # noqa: E402

from realesrgan.data.degradations import DegradationRandom, filter2d, usm_sharpen  # noqa: E402
from realesrgan.data.kernels import KernelDraw, pad_kernel, render_kernel  # noqa: E402
from realesrgan.data.pipeline import Kernels, PipelineOptions, degrade, draw_plan  # noqa: E402
from realesrgan.data.preview import Recipe, degrade_picture, describe_kernel  # noqa: E402
from realesrgan.data.realesrgan_degraded_dataset import RealESRGANDegradedDataset  # noqa: E402
from realesrgan.dataset_tools.degrade import to_bgr8, to_tensor  # noqa: E402
from realesrgan.errors import DatasetError, OptionError  # noqa: E402
from realesrgan.training.options import load_recipe  # noqa: E402
from tests.conftest import ROOT  # noqa: E402
from tests.data.recipe import DEGRADATION, KERNELS  # noqa: E402
from tests.scripts.command import draw, read, run_script  # noqa: E402

OPTIONS = ROOT / "options" / "train_realesrgan_x4plus.yml"


@pytest.fixture
def recipe() -> Recipe:
    """시험의 열화 옵션."""
    options = {"datasets": {"train": KERNELS}, "model_type": "RealESRNetModel", "gt_usm": False, **DEGRADATION}
    return Recipe.from_options(options | {"scale": 4})


def test_low_quality_is_that_of_the_validation_data(tmp_path: Path, recipe: Recipe) -> None:
    for index in range(3):
        draw(tmp_path / f"{index}.png", 64, 72, seed=index)
    options = {"dataroot_gt": str(tmp_path), "io_backend": {"type": "disk"}, "scale": 4, "seed": 7}
    dataset = RealESRGANDegradedDataset({**options, **KERNELS, **DEGRADATION})
    for index in range(3):
        ours = degrade_picture(to_tensor(read(tmp_path / f"{index}.png")), recipe, 7, index)
        assert torch.equal(ours.lq, dataset[index]["lq"]) and torch.equal(ours.gt, dataset[index]["gt"])


def test_watching_changes_nothing_and_shows_every_stage_in_order() -> None:
    options = PipelineOptions.from_options({**DEGRADATION, "scale": 2})
    kernel = torch.from_numpy(pad_kernel(render_kernel(KernelDraw("iso", 7))))[None]
    images, seen_orders = torch.rand(1, 3, 64, 48, generator=torch.Generator().manual_seed(0)), set()
    for seed in range(8):
        plan = draw_plan(np.random.default_rng(seed), options, 1)
        seen: list[str] = []
        watched = degrade(
            images,
            Kernels(kernel, kernel, kernel),
            plan,
            2,
            DegradationRandom.from_seed(seed),
            lambda name, _, seen=seen: seen.append(name),
        )
        quiet = degrade(images, Kernels(kernel, kernel, kernel), plan, 2, DegradationRandom.from_seed(seed))
        assert torch.equal(watched, quiet)
        second = ["blur2"] if plan.second_blur else []
        ending = ["resize3", "sinc", "jpeg2"] if plan.jpeg_last else ["jpeg2", "resize3", "sinc"]
        assert seen == ["blur1", "resize1", "noise1", "jpeg1", *second, "resize2", "noise2", *ending]
        seen_orders.add(tuple(seen))
    assert len(seen_orders) >= 3


def test_stages_are_the_pictures_and_values_that_were_used(recipe: Recipe) -> None:
    gt = torch.rand(3, 64, 64, generator=torch.Generator().manual_seed(1))
    stages = {stage.name: stage for stage in degrade_picture(gt, recipe, 0, 0, sharpen=True).stages}
    assert torch.equal(stages["usm"].image, usm_sharpen(gt[None])[0])
    random = DegradationRandom.from_seed(0, 0)
    from realesrgan.data.kernels import draw_final_sinc, draw_kernel

    kernel = draw_kernel(random.host, recipe.first)
    draw_kernel(random.host, recipe.second)
    draw_final_sinc(random.host, recipe.final_sinc_prob)
    plan = draw_plan(random.host, recipe.pipeline, 1)
    blurred = filter2d(stages["usm"].image[None], torch.from_numpy(pad_kernel(render_kernel(kernel)))[None])
    assert torch.equal(stages["blur1"].image, blurred[0])
    assert stages["blur1"].detail.startswith(describe_kernel(kernel))
    assert f"x{plan.first.factor:.3f}" in stages["resize1"].detail
    assert f"quality={plan.second.quality[0]:.1f}" in stages["jpeg2"].detail
    assert torch.equal(stages["lq"].image, (stages["lq"].image * 255).round() / 255)
    assert all(stage.detail.isascii() for stage in stages.values())


@pytest.mark.parametrize(
    ("kernel", "words"),
    [
        (KernelDraw("pulse", 21), "no change (pulse)"),
        (KernelDraw("sinc", 9, cutoff=np.pi / 2), "sinc 9x9 cutoff=0.50pi"),
        (KernelDraw("iso", 7, 1.5, 1.5), "iso 7x7\nsigma=1.50"),
        (
            KernelDraw("plateau_aniso", 7, 1, 2, np.pi / 6, 1.25),
            "plateau_aniso 7x7\nsigma=1.00,2.00 angle=30 beta=1.25",
        ),
    ],
)
def test_kernels_are_described(kernel: KernelDraw, words: str) -> None:
    assert describe_kernel(kernel) == words


def test_small_picture_is_refused(recipe: Recipe) -> None:
    with pytest.raises(DatasetError, match="너무 작아"):
        degrade_picture(torch.rand(3, 25, 90), recipe, 0, 0)


def test_every_training_file_gives_a_recipe_and_pair_data_says_why_not() -> None:
    found = load_recipe(OPTIONS)
    assert found.sharpen and found.pipeline.scale == 4
    assert not load_recipe(ROOT / "options" / "quickstart_cpu.yml").sharpen
    with pytest.raises(OptionError, match="짝 자료의 옵션에는 열화가 없습니다"):
        load_recipe(ROOT / "options" / "finetune_realesrgan_x4plus_pairdata.yml")


def test_command_writes_pairs_and_sheets_and_skips_what_is_done(tmp_path: Path, capsys) -> None:
    draw(tmp_path / "원본" / "이미지.png", 66, 70)
    draw(tmp_path / "원본" / "sub" / "둘째.jpg", 64, 64, seed=3)
    (tmp_path / "원본" / "깨짐.png").write_bytes(b"\x89PNG")
    arguments = ("--input", tmp_path / "원본", "--output", tmp_path / "o", "-opt", OPTIONS, "--recursive")
    assert run_script("degrade_images", *arguments, "--dry_run") == 0
    assert not (tmp_path / "o").exists()
    assert run_script("degrade_images", *arguments, "--sheet", "--save_gt") == 1
    assert "깨짐.png" in capsys.readouterr().err
    assert read(tmp_path / "o" / "lq" / "이미지.png").shape == (16, 17, 3)
    assert np.array_equal(read(tmp_path / "o" / "gt" / "이미지.png"), read(tmp_path / "원본" / "이미지.png")[:64, :68])
    sheet = read(tmp_path / "o" / "sheet" / "sub" / "둘째.png")
    assert sheet.shape[1] > 1000 and sheet.std() > 20
    before = (tmp_path / "o" / "lq" / "이미지.png").stat().st_mtime_ns
    assert run_script("degrade_images", *arguments) == 1
    assert "건너뜀 2장" in capsys.readouterr().out
    assert (tmp_path / "o" / "lq" / "이미지.png").stat().st_mtime_ns == before
    assert run_script("degrade_images", *arguments, "--seed", 1) == 2
    other = tmp_path / "o2"
    assert run_script("degrade_images", *arguments[:2], "--output", other, *arguments[4:], "--seed", 1) == 1
    assert not np.array_equal(read(other / "lq" / "이미지.png"), read(tmp_path / "o" / "lq" / "이미지.png"))


def test_misspelt_option_is_told(tmp_path: Path, capsys) -> None:
    draw(tmp_path / "in" / "a.png", 64, 64)
    broken = tmp_path / "틀림.yml"
    broken.write_text(OPTIONS.read_text("utf-8").replace("\nresize_range:", "\nresize_rnge:"), "utf-8")
    assert run_script("degrade_images", "--input", tmp_path / "in", "--output", tmp_path / "o", "-opt", broken) == 2
    assert "resize_range" in capsys.readouterr().err


def test_pixels_survive_the_way_to_tensors_and_back() -> None:
    image = np.random.default_rng(0).integers(0, 256, (5, 7, 3), dtype=np.uint8)
    assert np.array_equal(to_bgr8(to_tensor(image)), image)
