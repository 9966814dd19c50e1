import copy
import shlex
import textwrap
from pathlib import Path

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.training.extra import require_training_extra
from tests.training.tiny_run import call_train, run_train, tiny_options, write_options

require_training_extra()

import torch  # noqa: E402

from realesrgan import basicsr_bridge as bridge  # noqa: E402
from realesrgan.errors import OptionError  # noqa: E402
from realesrgan.training.option_schema import check_options, import_user_modules  # noqa: E402
from realesrgan.training.options import (  # noqa: E402
    apply_overrides,
    load_yaml,
    parse_force_yml,
    parse_yaml,
    prepare_options,
)

import_user_modules()


def changed(folder, path, value):
    options = tiny_options(folder)
    *parents, last = path.split(":")
    target = options
    for name in parents:
        target = target[name]
    target[last] = value
    return options


@pytest.mark.parametrize("text", ["!!float 1e-4", "1e-4", "1E-4", "0.0001", "1.e-4", "+1e-4"])
def test_numbers(text):
    assert parse_yaml(f"lr: {text}", "x") == {"lr": 1e-4}


def test_other_scalars():
    assert parse_yaml("a: 1e5x\nb: ~\nc: [1, 2.5]\nd: 12\ne: 5e3", "x") == {
        "a": "1e5x",
        "b": None,
        "c": [1, 2.5],
        "d": 12,
        "e": 5000.0,
    }


def test_duplicate_keys_are_refused():
    with pytest.raises(OptionError, match="두 번"):
        parse_yaml("a: 1\nb: 2\na: 3", "x")


@pytest.mark.parametrize("text", ["? {a: 1}\n: 2", "[" * 3000 + "]" * 3000])
def test_strange_yaml_is_refused_in_korean(text):
    with pytest.raises(OptionError, match="옵션을 읽지 못했습니다"):
        parse_yaml(text, "a.yml")


def test_a_file_that_cannot_be_read_is_told_in_korean(tmp_path):
    (tmp_path / "picture.yml").write_bytes(b"\x89PNG\r\n")
    for path, reason in (
        (tmp_path / "none.yml", "없습니다"),
        (tmp_path / "picture.yml", "UTF-8로"),
        (tmp_path, "폴더"),
    ):
        with pytest.raises(OptionError, match="옵션 파일을 읽지 못했습니다") as caught:
            load_yaml(path)
        assert reason in str(caught.value) and "Errno" not in str(caught.value)


def test_merge_keys_still_work():
    assert parse_yaml("base: &b {x: 1, y: 2}\nc:\n  <<: *b\n  y: 3", "x")["c"] == {"x": 1, "y": 3}


@given(st.text(max_size=60))
@settings(max_examples=150, deadline=None)
def test_any_text_gives_data_or_a_named_error(text):
    try:
        value = parse_yaml(text, "x")
    except OptionError:
        return
    yaml.safe_dump(value)


@pytest.mark.parametrize(
    ("path", "value", "hint"),
    [
        ("gt_ums", True, "gt_usm"),
        ("train:total_itre", 5, "total_iter"),
        ("train:optim_g:learning_rate", 5, "lr"),
        ("train:optim_g:type", "Adm", "Adam"),
        ("train:scheduler:milestone", [1], "milestones"),
        ("train:pixel_opt:los_weight", 1.0, "loss_weight"),
        ("train:pixel_opt:type", "L1Los", "L1Loss"),
        ("network_g:num_feet", 8, "num_feat"),
        ("network_g:type", "SRVGGNetCompct", "SRVGGNetCompact"),
        ("datasets:train:use_hfilp", True, "use_hflip"),
        ("datasets:train:type", "RealESRGANDatset", "RealESRGANDataset"),
        ("datasets:trian", {}, "train"),
        ("path:pretrain_networkg", "x", "pretrain_network_g"),
        ("logger:print_freqs", 1, "print_freq"),
        ("logger:wandb", {"projct": 1}, "project"),
        ("val", {"val_frq": 1}, "val_freq"),
        ("val", {"metrics": {"psnr": {"type": "calculate_psnr", "crop_boder": 4}}}, "crop_border"),
        ("val", {"metrics": {"psnr": {"type": "calculate_pnsr"}}}, "calculate_psnr"),
        ("model_type", "RealESRNetModle", "RealESRNetModel"),
        ("train", None, "train"),
        ("network_g", {"type": "RRDBNet", "num_in_ch": 3}, "num_out_ch"),
        ("path", "experiments", "path"),
    ],
)
def test_wrong_options_name_the_nearest(tmp_path, path, value, hint):
    with pytest.raises(OptionError) as caught:
        check_options(changed(tmp_path, path, value))
    assert hint in str(caught.value).split("\n", 1)[-1] + str(caught.value) and "해결" in str(caught.value)


def test_checking_changes_nothing(tmp_path):
    options = tiny_options(tmp_path, gan=True)
    before = copy.deepcopy(options)
    check_options(options)
    assert options == before


def test_registered_user_classes_are_never_refused(tmp_path):
    class UserNet(torch.nn.Module):
        def __init__(self, anything):
            super().__init__()

    class UserLoss(torch.nn.Module):
        pass

    class UserDataset:
        pass

    class UserModel:
        pass

    for registry, cls in (
        (bridge.ARCH_REGISTRY, UserNet),
        (bridge.LOSS_REGISTRY, UserLoss),
        (bridge.DATASET_REGISTRY, UserDataset),
        (bridge.MODEL_REGISTRY, UserModel),
    ):
        bridge.replace_entry(registry, cls)
    options = changed(tmp_path, "network_g", {"type": "UserNet", "whatever": 1})
    options["train"]["pixel_opt"] = {"type": "UserLoss", "odd": 2}
    options["datasets"]["train"] = {"type": "UserDataset", "own_key": 3}
    with pytest.raises(OptionError, match="batch_size_per_gpu"):
        check_options(options)
    options["datasets"]["train"]["batch_size_per_gpu"] = 1
    check_options(options)
    options |= {"model_type": "UserModel", "my_top_key": 1}
    options["train"]["my_train_key"] = 2
    check_options(options)


def test_force_yml(tmp_path):
    options = tiny_options(tmp_path)
    entries = ["train:total_iter=7", "train:optim_g:lr=!!float 1e-5", "gt_usm=false", "jpeg_range=[50, 60]"]
    entries += ["path:resume_state=none", "train:grad_clip=1e-2", "name=a=b"]
    apply_overrides(options, parse_force_yml(entries))
    assert options["train"]["total_iter"] == 7 and options["train"]["optim_g"]["lr"] == 1e-5
    assert options["gt_usm"] is False and options["jpeg_range"] == [50, 60]
    assert options["path"]["resume_state"] is None and options["train"]["grad_clip"] == 0.01
    assert options["name"] == "a=b"
    for bad in ("train", "=1", "nowhere:key=1", "train::x=1", "name:x=1"):
        with pytest.raises(OptionError, match="force_yml"):
            apply_overrides(options, parse_force_yml([bad]))


def test_degraded_validation_inherits_the_recipe(tmp_path):
    options = tiny_options(tmp_path)
    options["datasets"]["val"] = {"type": "RealESRGANDegradedDataset", "jpeg_range": [10, 20]}
    prepare_options(options, tmp_path)
    val = options["datasets"]["val"]
    assert val["jpeg_range"] == [10, 20] and val["jpeg_range2"] == [30, 95] and val["blur_sigma"] == [0.2, 3]
    assert val["scale"] == 4 and val["phase"] == "val"


def yaml_payloads(sentinel: Path) -> list[str]:
    command = f"touch {shlex.quote(str(sentinel))}"
    return [
        f'!!python/object/apply:os.system ["{command}"]',
        f'!!python/object/new:subprocess.Popen [["touch", "{sentinel}"]]',
        f"!!python/object/apply:eval [\"__import__('os').system('{command}')\"]",
        f"!!python/name:os.system {command}",
    ]


@pytest.mark.parametrize("number", range(4))
def test_malicious_yaml_is_only_refused(tmp_path, number):
    sentinel = tmp_path / "touched"
    payload = yaml_payloads(sentinel)[number]
    with pytest.raises(OptionError):
        parse_yaml(f"name: {payload}", "x")
    with pytest.raises(OptionError):
        parse_force_yml([f"name={payload}"])
    assert not sentinel.exists()


def test_malicious_commands_leave_the_sentinel(tmp_path):
    sentinel = tmp_path / "touched"
    code = f"__import__('pathlib').Path({str(sentinel)!r}).touch()"
    path = write_options(tmp_path, tiny_options(tmp_path))
    entries = [f"train:lr_x={code}", f'name"] = {code}; opt["name=1', f"jpeg_range=[{code}]"]
    assert call_train(tmp_path, "--force_yml", *entries)[0] == 2
    path.write_text(path.read_text() + f"\nextra: {yaml_payloads(sentinel)[0]}\n")
    assert call_train(tmp_path)[0] == 2
    write_options(tmp_path, tiny_options(tmp_path))
    slurm = {"SLURM_PROCID": "0", "SLURM_NTASKS": "1", "SLURM_NODELIST": f"$(touch {sentinel});touch {sentinel}"}
    done = run_train(tmp_path, "--launcher", "slurm", **slurm)
    assert done.returncode == 2 and "SLURM_NODELIST" in done.stderr
    assert not sentinel.exists()


def test_overrides_are_copied_and_judged(tmp_path):
    options = tiny_options(tmp_path)
    mine = {"milestones": (3, 4), "type": "MultiStepLR"}
    apply_overrides(options, {"train:scheduler": mine, "datasets:train:dataroot_gt": tmp_path, " name ": "other"})
    assert options["train"]["scheduler"] == {"milestones": [3, 4], "type": "MultiStepLR"}
    assert options["train"]["scheduler"] is not mine
    assert options["datasets"]["train"]["dataroot_gt"] == str(tmp_path) and options["name"] == "other"
    with pytest.raises(OptionError, match=r"(?s)network_g:type.*type"):
        apply_overrides(options, {"network_g:type": torch.nn.ReLU})


@pytest.mark.parametrize("key", ["params", "optimizer", "img", "anything"])
def test_a_user_class_may_take_anything(tmp_path, key):
    """이 패키지의 폴더에 둔 사용자의 네트워크도, 무엇이든 받는다고 하면 받는다."""

    class OpenNet(torch.nn.Module):
        def __init__(self, params=1, optimizer=2, img=3, **rest):
            super().__init__()

    OpenNet.__module__ = "realesrgan.archs.my_arch"
    bridge.replace_entry(bridge.ARCH_REGISTRY, OpenNet)
    check_options(changed(tmp_path, "network_g", {"type": "OpenNet", key: 1}))


def test_a_user_model_in_our_folder_keeps_its_own_keys(tmp_path):
    class FolderModel:
        pass

    FolderModel.__module__ = "realesrgan.models.my_model"
    bridge.replace_entry(bridge.MODEL_REGISTRY, FolderModel)
    options = tiny_options(tmp_path) | {"model_type": "FolderModel", "my_top_key": 1}
    options["train"]["my_train_key"] = 2
    check_options(options)


def test_user_modules_by_basicsr_convention(tmp_path):
    """BasicSR의 관습만 따르는 파일을 archs에 두면 훈련에서 쓸 수 있다."""
    import shutil
    import subprocess
    import sys

    from tests.training.tiny_run import ROOT, environment

    shutil.copytree(ROOT / "realesrgan", tmp_path / "realesrgan", ignore=shutil.ignore_patterns("__pycache__"))
    (tmp_path / "realesrgan/archs/my_arch.py").write_text(
        textwrap.dedent(
            """
            import torch
            from basicsr.utils.registry import ARCH_REGISTRY

            @ARCH_REGISTRY.register()
            class MyNet(torch.nn.Module):
                def __init__(self, width):
                    super().__init__()
            """
        )
    )
    code = (
        "from realesrgan.training.option_schema import import_user_modules\n"
        "print('realesrgan.archs.my_arch' in import_user_modules())\n"
        "from basicsr.archs import build_network\n"
        "print(type(build_network({'type': 'MyNet', 'width': 3})).__name__)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=environment(PYTHONPATH=str(tmp_path)),
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout.split() == ["True", "MyNet"], done.stderr
