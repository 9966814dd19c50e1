"""남의 자료, 모델, 코드로 훈련한다: BasicSR의 것과 사용자가 적은 것."""

# ruff: noqa: NPY002, S311 - 남의 데이터셋이 쓰는 전역 난수를 시험한다

import random
import subprocess
import sys
import textwrap

import numpy as np
import pytest

from tests.data.pictures import write_pictures
from tests.data.recipe import DEGRADATION
from tests.training.extra import require_training_extra
from tests.training.tiny_run import ROOT, call_train, environment, network, same_tensors, tiny_options, write_options

require_training_extra()

import torch  # noqa: E402
from basicsr.models.sr_model import SRModel  # noqa: E402

from realesrgan import basicsr_bridge as bridge  # noqa: E402
from realesrgan.data.resumable_sampler import ItemKey, PlainDataset, accept_keys  # noqa: E402
from realesrgan.errors import CheckpointError, DatasetError, OptionError  # noqa: E402
from realesrgan.models.realesrgan_model import RealESRGANModel  # noqa: E402
from realesrgan.models.realesrnet_model import RealESRNetModel  # noqa: E402
from realesrgan.training.api import train  # noqa: E402


def paired_options(folder, model="SRModel", gan=False):
    """BasicSR의 `PairedImageDataset`으로 도는 옵션. 크기는 GT 48, LQ 12."""
    options = tiny_options(folder, gan)
    for key in (*DEGRADATION, "gt_size", "queue_size"):
        del options[key]
    write_pictures(folder / "lq", 6, size=(14, 14))
    options |= {"model_type": model, "high_order_degradation": False}
    options["datasets"]["train"] = {
        "name": "pairs",
        "type": "PairedImageDataset",
        "dataroot_gt": str(folder / "gt"),
        "dataroot_lq": str(folder / "lq"),
        "io_backend": {"type": "disk"},
        "gt_size": 32,
        "use_hflip": True,
        "use_rot": True,
        "num_worker_per_gpu": 1,
        "batch_size_per_gpu": 2,
    }
    options["datasets"]["val"] = {
        "name": "held",
        "type": "PairedImageDataset",
        "dataroot_gt": str(folder / "gt"),
        "dataroot_lq": str(folder / "lq"),
        "io_backend": {"type": "disk"},
    }
    options["val"] = {
        "val_freq": 4,
        "save_img": False,
        "metrics": {"psnr": {"type": "calculate_psnr", "crop_border": 4, "test_y_channel": False}},
    }
    return options


class CropDataset(torch.utils.data.Dataset):
    """목록을 번호로 찾고 전역 난수로 자르는, 흔한 모양의 사용자 데이터셋."""

    def __init__(self, opt):
        self.pictures = [torch.full((3, 40, 40), value / 8) for value in range(8)]
        self.seen = []

    def __len__(self):
        return len(self.pictures)

    def __getitem__(self, index):
        top, left = random.randint(0, 8), np.random.randint(0, 9)
        gt = self.pictures[index][:, top : top + 32, left : left + 32] + 0.01 * torch.rand(1)
        return {"gt": gt, "lq": torch.nn.functional.avg_pool2d(gt, 4), "gt_path": str(index), "lq_path": str(index)}


@pytest.mark.parametrize("model", ["SRModel", "RealESRNetModel"])
def test_basicsr_dataset_trains_and_resumes_at_the_right_place(tmp_path, model):
    options = paired_options(tmp_path, model)
    whole = train(options, root=tmp_path / "whole")
    assert whole.metrics["held"]["psnr"] > 0
    stopped = train(options, root=tmp_path / "parted", progress=lambda now: now.iteration < 3)
    assert stopped.iterations == 3
    # 작업자 수가 달라도 같은 항목이 나온다.
    options["datasets"]["train"]["num_worker_per_gpu"] = 0
    rest = train(options, root=tmp_path / "parted", auto_resume=True)
    one, two = (torch.load(result.weights, weights_only=True) for result in (whole, rest))
    assert same_tensors(one, two)


def test_a_user_dataset_that_indexes_a_list_trains(tmp_path):
    bridge.replace_entry(bridge.DATASET_REGISTRY, CropDataset)
    options = paired_options(tmp_path, "RealESRNetModel")
    options["datasets"]["train"] = {"name": "mine", "type": "CropDataset", "batch_size_per_gpu": 2, "my_key": 1}
    del options["datasets"]["val"], options["val"]
    assert train(options, root=tmp_path).complete


def test_plain_items_follow_the_key_and_leave_the_callers_random_alone():
    bare = CropDataset({})
    dataset = accept_keys(bare)
    assert isinstance(dataset, PlainDataset) and dataset.pictures is bare.pictures
    random.seed(5), np.random.seed(5), torch.manual_seed(5)
    expected = random.random(), np.random.rand(), float(torch.rand(1))
    random.seed(5), np.random.seed(5), torch.manual_seed(5)
    first = dataset[ItemKey(3, 0, 0, 1, 7)]["gt"]
    assert (random.random(), np.random.rand(), float(torch.rand(1))) == expected
    assert torch.equal(dataset[ItemKey(3, 0, 0, 1, 7)]["gt"], first)
    assert not torch.equal(dataset[ItemKey(3, 0, 0, 1, 8)]["gt"], first)


def test_keys_go_only_to_the_class_that_declares_them():
    from realesrgan.data.realesrgan_dataset import RealESRGANDataset

    class Inherited(RealESRGANDataset):
        def __init__(self):
            pass

        def __len__(self):
            return 3

    class Rewritten(Inherited):
        def __getitem__(self, index):
            return [1, 2, 3][index]

    assert not isinstance(accept_keys(Inherited()), PlainDataset)
    assert accept_keys(Rewritten())[ItemKey(1, 0, 0, 0, 0)] == 2

    class Stream(torch.utils.data.IterableDataset):
        def __iter__(self):
            return iter(())

    with pytest.raises(DatasetError, match="__getitem__"):
        accept_keys(Stream())


class MySRModel(SRModel):
    """두 인자의 `save`만 아는 사용자의 모델."""


class MyGANModel(RealESRGANModel):
    """원본을 이어받아 네트워크를 하나 더 두고 `save`를 다시 적은 모델."""

    def __init__(self, opt):
        super().__init__(opt)
        self.net_x = self.model_to_device(bridge.build_network(opt["network_x"]))
        if opt["path"].get("pretrain_network_x"):
            self.load_network(self.net_x, opt["path"]["pretrain_network_x"], True, "params")
        else:
            with torch.no_grad():
                next(self.net_x.parameters()).fill_(0.5)

    def save(self, epoch, current_iter):
        self.save_network(self.net_x, "net_x", current_iter)
        super().save(epoch, current_iter)


@pytest.mark.parametrize(
    "model", ["SRModel", "SRGANModel", pytest.param("ESRGANModel", marks=pytest.mark.slow), "SwinIRModel", "MySRModel"]
)
def test_basicsr_models_save_validate_and_resume_with_their_weights(tmp_path, model):
    bridge.replace_entry(bridge.MODEL_REGISTRY, MySRModel)
    options = paired_options(tmp_path, model, gan="GAN" in model)
    if model == "SwinIRModel":
        options["network_g"]["window_size"] = 4
        options["network_g"]["type"] = "WindowedNet"

        class WindowedNet(bridge.ARCH_REGISTRY.get("SRVGGNetCompact")):
            def __init__(self, window_size, **rest):
                super().__init__(**rest)

        bridge.replace_entry(bridge.ARCH_REGISTRY, WindowedNet)
    options["datasets"]["train"]["num_worker_per_gpu"] = 0
    whole = train(options, root=tmp_path / "whole")
    assert whole.complete and whole.metrics["held"]["psnr"] > 0
    train(options, root=tmp_path / "parted", overrides={"train:total_iter": 2})
    rest = train(options, root=tmp_path / "parted", auto_resume=True)
    assert rest.iterations == 4
    for name in ("net_g_latest.pth", "net_d_latest.pth") if "GAN" in model else ("net_g_latest.pth",):
        one, two = (torch.load(result.folder / "models" / name, weights_only=True) for result in (whole, rest))
        assert same_tensors(one, two), name
    # 네트워크 파일이 없으면 무작위로 시작하지 않고, 깨졌으면 앞의 것에서 이어 간다.
    (rest.folder / "models/net_g_4.pth").write_bytes(b"broken")
    assert train(options, root=tmp_path / "parted", auto_resume=True).iterations == 4
    state = rest.folder / "training_states/2.state"
    (rest.folder / "models/net_g_2.pth").unlink()
    with pytest.raises(CheckpointError, match="net_g_2"):
        train(options, root=tmp_path / "parted", overrides={"path:resume_state": str(state)})


def test_a_subclass_with_a_further_network_and_its_own_save_resumes(tmp_path):
    bridge.replace_entry(bridge.MODEL_REGISTRY, MyGANModel)
    options = tiny_options(tmp_path, gan=True) | {"model_type": "MyGANModel"}
    options["network_x"] = {"type": "SRVGGNetCompact", "num_feat": 4, "num_conv": 1}
    train(options, root=tmp_path, overrides={"train:total_iter": 2})
    file = tmp_path / "experiments/tiny/models/net_x_2.pth"
    content = torch.load(file, weights_only=True)
    next(iter(content["params"].values())).fill_(0.25)
    torch.save(content, file)
    rest = train(options, root=tmp_path, auto_resume=True)
    assert rest.iterations == 4
    kept = torch.load(rest.folder / "models/net_x_4.pth", weights_only=True)["params"]
    assert float(next(iter(kept.values())).flatten()[0]) == 0.25
    file.unlink()
    with pytest.raises(CheckpointError, match="net_x_2"):
        train(
            options,
            root=tmp_path,
            overrides={"path:resume_state": str(rest.folder / "training_states/2.state")},
        )


@pytest.mark.slow
def test_two_processes_train_a_basicsr_model(tmp_path):
    options = paired_options(tmp_path)
    options["datasets"]["train"]["batch_size_per_gpu"] = 1
    path = write_options(tmp_path, options)
    launcher = ("-m", "torch.distributed.run", "--nproc_per_node=2", "--master_port=0", "--standalone")
    command = [sys.executable, *launcher, str(ROOT / "realesrgan/train.py"), "-opt", str(path), "--launcher", "pytorch"]
    done = subprocess.run(command, cwd=tmp_path, env=environment(), capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr[-3000:]
    assert {path.name for path in (tmp_path / "experiments/tiny/training_states").iterdir()} >= {
        "4.state",
        "4.rank0.pth",
        "4.rank1.pth",
    }
    # 프로세스가 하나로 줄어도 이어 간다.
    rest = train(options, root=tmp_path, auto_resume=True, overrides={"train:total_iter": 6})
    assert rest.iterations == 6


FORK = """
import realesrgan.archs
import realesrgan.data
import realesrgan.models
from basicsr.train import train_pipeline
from basicsr.utils.registry import ARCH_REGISTRY, DATASET_REGISTRY, MODEL_REGISTRY

for registry, name in (
    (ARCH_REGISTRY, "RRDBNet"), (ARCH_REGISTRY, "UNetDiscriminatorSN"), (ARCH_REGISTRY, "SRVGGNetCompact"),
    (DATASET_REGISTRY, "RealESRGANDataset"), (DATASET_REGISTRY, "RealESRGANPairedDataset"),
    (MODEL_REGISTRY, "RealESRNetModel"), (MODEL_REGISTRY, "RealESRGANModel"),
):
    assert registry.get(name).__module__.startswith("realesrgan."), registry.get(name)
train_pipeline({root!r})
"""


@pytest.mark.parametrize("gan", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_the_train_script_of_a_fork_trains_our_classes(tmp_path, gan):
    path = write_options(tmp_path, tiny_options(tmp_path, gan) | {"num_gpu": 0, "gt_usm": True})
    command = [sys.executable, "-c", FORK.format(root=str(tmp_path)), "-opt", str(path)]
    done = subprocess.run(command, cwd=tmp_path, env=environment(), capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert set(network(tmp_path, "net_g_latest.pth")) == {"params", "params_ema"}


@pytest.mark.slow
def test_user_code_in_our_folders_is_not_judged(tmp_path):
    import shutil

    shutil.copytree(ROOT / "realesrgan", tmp_path / "realesrgan", ignore=shutil.ignore_patterns("__pycache__"))
    (tmp_path / "realesrgan/archs/my_arch.py").write_text(
        textwrap.dedent(
            """
            from realesrgan.archs.srvgg_arch import SRVGGNetCompact
            from realesrgan.registry import ARCH_REGISTRY

            @ARCH_REGISTRY.register()
            class MyNet(SRVGGNetCompact):
                def __init__(self, extra, *args, **kwargs):
                    kwargs.pop("ignored", None)
                    super().__init__(*args, **kwargs)
            """
        )
    )
    (tmp_path / "realesrgan/data/my_dataset.py").write_text(
        textwrap.dedent(
            """
            from basicsr.utils.registry import DATASET_REGISTRY
            from realesrgan.data.realesrgan_dataset import RealESRGANDataset

            @DATASET_REGISTRY.register()
            class MyDataset(RealESRGANDataset):
                def __getitem__(self, index):
                    assert self.opt["my_data_key"] == 3
                    return super().__getitem__(index)
            """
        )
    )
    (tmp_path / "realesrgan/models/my_model.py").write_text(
        textwrap.dedent(
            """
            from basicsr.utils.registry import MODEL_REGISTRY
            from realesrgan.models.realesrnet_model import RealESRNetModel

            @MODEL_REGISTRY.register()
            class MyModel(RealESRNetModel):
                def __init__(self, opt):
                    super().__init__(opt)
                    assert opt["my_key"] == 1 and opt["train"]["mine_opt"]["strength"] == 2
            """
        )
    )
    options = tiny_options(tmp_path) | {"model_type": "MyModel", "my_key": 1}
    options["train"]["mine_opt"] = {"strength": 2}
    options["datasets"]["train"] |= {"type": "MyDataset", "my_data_key": 3}
    options["network_g"] |= {"type": "MyNet", "extra": 1, "ignored": 2}
    path = write_options(tmp_path, options)
    command = [sys.executable, str(tmp_path / "realesrgan/train.py"), "-opt", str(path)]
    extra = environment(PYTHONPATH=str(tmp_path))
    done = subprocess.run(command, cwd=tmp_path, env=extra, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    (tmp_path / "realesrgan/models/my_model.py").write_text("\nraise NameError('mine')\n")
    done = subprocess.run(command, cwd=tmp_path, env=extra, capture_output=True, text=True, timeout=120)
    assert done.returncode == 2 and "my_model.py" in done.stderr and "2번째 줄" in done.stderr, done.stderr
    assert "Traceback" not in done.stderr


def test_paired_data_without_the_switch_names_the_line_to_add(tmp_path):
    options = paired_options(tmp_path, "RealESRNetModel") | DEGRADATION
    del options["high_order_degradation"]
    path = write_options(tmp_path, options)
    code, errors = call_train(path.parent)
    assert code == 2 and "high_order_degradation: false" in errors
    # 데이터셋이 무엇을 주는지 알 수 없을 때는 첫 배치에서 안다.
    bridge.replace_entry(bridge.DATASET_REGISTRY, CropDataset)
    options["datasets"]["train"] = {"name": "mine", "type": "CropDataset", "batch_size_per_gpu": 2}
    with pytest.raises(OptionError, match=r"(?s)kernel1.*high_order_degradation: false"):
        train(options, root=tmp_path)
    with pytest.raises(OptionError, match="high_order_degradation"):
        train(tiny_options(tmp_path) | {"high_order_degradation": False}, root=tmp_path)


def test_the_paired_target_of_realesrnet_is_not_sharpened(tmp_path):
    from tests.models.tiny import model_options, paired_batch

    for given in ({}, {"gt_usm": True}):
        options = model_options(tmp_path, high_order_degradation=False)
        del options["gt_usm"]
        model = RealESRNetModel(options | given)
        batch = paired_batch()
        model.feed_data(batch)
        assert torch.equal(model.gt, batch["gt"])
