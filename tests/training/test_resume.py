"""이어 하기와 멈추기: 바뀐 옵션, 흩어진 훈련, 신호, 앞선 실험."""

import signal
import subprocess
import sys

import pytest

from tests.training.extra import require_training_extra
from tests.training.test_own_code import paired_options
from tests.training.tiny_run import TRAIN, call_train, environment, same_tensors, tiny_options, write_options

require_training_extra()

import torch  # noqa: E402

from realesrgan import basicsr_bridge as bridge  # noqa: E402
from realesrgan.errors import CheckpointError, DatasetError, NonFiniteLossError, OptionError  # noqa: E402
from realesrgan.models.checkpoint import nonfinite_tensors  # noqa: E402
from realesrgan.training.api import train  # noqa: E402
from realesrgan.training.loop import message_of  # noqa: E402


def local(folder, gan=False):
    """작업자 없이 도는 작은 옵션."""
    options = tiny_options(folder, gan)
    options["datasets"]["train"]["num_worker_per_gpu"] = 0
    return options


def state_of(result, iteration):
    return torch.load(result.folder / f"training_states/{iteration}.state", weights_only=True)


def test_unchanged_options_resume_bit_for_bit_and_say_nothing(tmp_path):
    options = local(tmp_path)
    whole = train(options, root=tmp_path / "whole")
    train(options, root=tmp_path / "parted", progress=lambda now: now.iteration < 2)
    rest = train(options, root=tmp_path / "parted", auto_resume=True)
    one, two = (torch.load(result.weights, weights_only=True) for result in (whole, rest))
    assert same_tensors(one, two)
    logs = "".join(path.read_text(encoding="utf-8") for path in rest.folder.glob("*.log"))
    assert "바뀐 옵션" not in logs and "이어서 훈련합니다" in logs


@pytest.mark.parametrize("choice", [None, "new", "keep"])
def test_changed_learning_rate_schedule_and_length(tmp_path, choice):
    options = local(tmp_path)
    options["train"]["scheduler"] = {"type": "MultiStepLR", "milestones": [100], "gamma": 0.5}
    options["train"]["total_iter"] = 3
    train(options, root=tmp_path)
    options["train"]["optim_g"]["lr"] = 0.0004
    options["train"]["optim_g"]["weight_decay"] = 0.01
    options["train"]["scheduler"] = {"type": "MultiStepLR", "milestones": [2, 5], "gamma": 0.1}
    options["train"] |= {"total_iter": 6, "ema_decay": 0.5}
    options["queue_size"] = 6
    options["path"]["resume_options"] = choice
    result = train(options, root=tmp_path, auto_resume=True)
    logs = "".join(path.read_text(encoding="utf-8") for path in result.folder.glob("*.log"))
    if choice == "keep":
        assert result.iterations == 3 and "저장할 때의 값을 씁니다: train:optim_g:lr=0.001" in logs
        return
    for key in ("optim_g:lr=0.0004", "scheduler:milestones", "scheduler:gamma=0.1", "total_iter=6", "ema_decay=0.5"):
        assert f"바뀐 옵션을 따릅니다: train:{key}" in logs
    assert "바뀐 옵션을 따릅니다: queue_size=6 (저장할 때: 4)" in logs
    # 반복 6의 학습률은 처음부터 새 스케줄로 온 것과 같다: 0.0004에 2와 5에서 0.1배씩.
    group = state_of(result, 6)["optimizers"][0]["param_groups"][0]
    assert group["lr"] == pytest.approx(0.0004 * 0.01) and group["weight_decay"] == 0.01


def test_a_wrong_choice_and_another_optimizer(tmp_path):
    options = local(tmp_path)
    train(options, root=tmp_path, overrides={"train:total_iter": 2})
    with pytest.raises(OptionError, match="resume_options"):
        train(options, root=tmp_path, auto_resume=True, overrides={"path:resume_options": "old"})
    options["train"]["optim_g"] = {"type": "SGD", "lr": 0.01, "momentum": 0.9}
    result = train(options, root=tmp_path, auto_resume=True)
    assert "momentum_buffer" in state_of(result, 4)["optimizers"][0]["state"][0]


def test_other_patch_batch_ema_and_experiment(tmp_path):
    options = local(tmp_path)
    train(options, root=tmp_path, overrides={"train:total_iter": 2})
    options["gt_size"] = options["datasets"]["train"]["gt_size"] = 16
    options["datasets"]["train"]["batch_size_per_gpu"] = 4
    result = train(options, root=tmp_path, auto_resume=True)
    assert result.iterations == 4
    # EMA를 끄고, 다른 이름의 실험에서 그 상태를 이어 가고, 다시 켠다.
    state = str(result.folder / "training_states/4.state")
    off = {"train:ema_decay": 0, "train:total_iter": 6, "name": "other", "path:resume_state": state}
    other = train(options, root=tmp_path, overrides=off)
    assert other.iterations == 6 and set(torch.load(other.weights, weights_only=True)) == {"params"}
    assert result.folder.is_dir() and not list((tmp_path / "experiments").glob("tiny_archived*"))
    again = train(options, root=tmp_path, auto_resume=True, overrides={"name": "other", "train:total_iter": 8})
    content = torch.load(again.weights, weights_only=True)
    assert set(content) == {"params", "params_ema"} and again.iterations == 8


class BlowingLoss(torch.nn.Module):
    """부른 횟수가 `start`를 넘으면 NaN인 손실."""

    calls = 0

    def __init__(self, start, poison=False):
        super().__init__()
        self.start, self.poison = start, poison

    def forward(self, output, target):
        type(self).calls += 1
        loss = (output - target).abs().mean()
        return loss * float("nan") if type(self).calls > self.start else loss


@pytest.mark.parametrize("model", ["RealESRNetModel", "SRModel"])
def test_a_diverged_run_keeps_the_last_finite_checkpoint_and_can_go_on(tmp_path, model):
    bridge.replace_entry(bridge.LOSS_REGISTRY, BlowingLoss)
    options = paired_options(tmp_path, model)
    del options["val"], options["datasets"]["val"]
    options["datasets"]["train"]["num_worker_per_gpu"] = 0
    options["train"] |= {"pixel_opt": {"type": "BlowingLoss", "start": 5}, "max_nonfinite": 4, "total_iter": 20}
    BlowingLoss.calls = 0
    with pytest.raises(NonFiniteLossError, match=r"(?s)4\.state.*학습률"):
        train(options, root=tmp_path)
    states = tmp_path / "experiments/tiny/training_states"
    assert {path.stem for path in states.glob("*.state")} == {"2", "4"}
    BlowingLoss.calls = -100
    options["train"]["optim_g"]["lr"] = 1e-5
    result = train(options, root=tmp_path, auto_resume=True, overrides={"train:total_iter": 8})
    assert result.iterations == 8
    assert state_of(result, 8)["optimizers"][0]["param_groups"][0]["lr"] <= 1e-5


def test_broken_weights_are_never_saved(tmp_path):
    options = local(tmp_path)
    seen = []

    def break_weights(now):
        # 반복 3이 끝난 뒤의 가중치를 흩뜨린다.
        if now.iteration == 3:
            import gc

            from realesrgan.models.training_model import TrainingModel

            model = next(one for one in gc.get_objects() if isinstance(one, TrainingModel) and one not in seen)
            with torch.no_grad():
                next(model.net_g.parameters()).fill_(float("nan"))

    import gc

    from realesrgan.models.training_model import TrainingModel

    seen += [one for one in gc.get_objects() if isinstance(one, TrainingModel)]
    with pytest.raises(NonFiniteLossError, match=r"2\.state"):
        train(options, root=tmp_path, progress=break_weights)
    folder = tmp_path / "experiments/tiny"
    assert not (folder / "training_states/4.state").exists() and not (folder / "models/net_g_latest.pth").exists()


def test_which_weights_are_not_finite():
    net = torch.nn.Linear(2, 2)
    assert nonfinite_tensors({"net_g": net}) == []
    net.bias.data[0] = float("inf")
    assert nonfinite_tensors({"net_g": net}) == ["net_g.bias"]


@pytest.mark.skipif(sys.platform == "win32", reason="윈도에는 이 신호가 없다")
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_saves_and_the_run_goes_on_from_there(tmp_path, number, code):
    options = tiny_options(tmp_path)
    options["train"]["total_iter"] = 100000
    options["logger"]["save_checkpoint_freq"] = 100000
    path = write_options(tmp_path, options)
    command = [sys.executable, str(TRAIN), "-opt", str(path)]
    streams = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True, "start_new_session": True}
    task = subprocess.Popen(command, cwd=tmp_path, env=environment(), **streams)
    for line in task.stderr:
        if "반복 3/" in line:
            # 터미널처럼 작업자까지 모두에게 보낸다.
            import os

            os.killpg(task.pid, number)
            break
    errors = task.communicate(timeout=60)[1]
    assert task.returncode == code, errors
    (state,) = (tmp_path / "experiments/tiny/training_states").glob("*.state")
    assert str(state) in errors and "--auto_resume" in errors and "Traceback" not in errors


def test_a_failing_start_leaves_the_finished_experiment_where_it_is(tmp_path):
    options = local(tmp_path)
    write_options(tmp_path, options)
    assert call_train(tmp_path)[0] == 0
    before = sorted(path.name for path in (tmp_path / "experiments").iterdir())
    for key in ("datasets:train:dataroot_gt=nowhere", "path:pretrain_network_g=none.pth", "train:total_itre=3"):
        assert call_train(tmp_path, "--force_yml", key)[0] in (1, 2)
        assert sorted(path.name for path in (tmp_path / "experiments").iterdir()) == before


def test_the_end_says_where_things_are(tmp_path, capfd):
    write_options(tmp_path, local(tmp_path))
    assert call_train(tmp_path)[0] == 0
    assert "inference_realesrgan.py --model_path" in capfd.readouterr().out
    assert call_train(tmp_path, "--auto_resume")[0] == 0
    assert "이미 마친 훈련입니다" in capfd.readouterr().out
    assert call_train(tmp_path)[0] == 0
    lines = capfd.readouterr().out.strip().splitlines()
    assert "옮겨 두었습니다" in lines[-1] and "tiny_archived_" in lines[-1]


def test_pretrained_weights_are_found_by_name_and_must_match(tmp_path):
    options = local(tmp_path)
    options["train"]["total_iter"] = 1
    options["network_g"] = {"type": "SRVGGNetCompact", "num_feat": 64, "num_conv": 16}
    options["path"]["pretrain_network_g"] = "realesr-animevideov3"
    assert train(options, root=tmp_path).complete
    for strict in (True, False):
        options["path"] |= {"pretrain_network_g": "RealESRGAN_x4plus_anime_6B", "strict_load_g": strict}
        with pytest.raises(CheckpointError, match="하나도 맞지 않습니다"):
            train(options, root=tmp_path)
    options["path"]["pretrain_network_g"] = "experiments/pretrained_models/RealESRNet_x4plus.pth"
    with pytest.raises(Exception, match=r"(?s)pretrain_network_g: RealESRNet_x4plus\).*https://github"):
        train(options, root=tmp_path)


@pytest.mark.parametrize("key", ["params", "params_ema", None])
def test_the_key_in_the_file_is_found_for_both_networks(tmp_path, key):
    from realesrgan.archs import SRVGGNetCompact

    torch.manual_seed(5)
    state = SRVGGNetCompact(num_feat=8, num_conv=1).state_dict()
    torch.save({key: state} if key else state, tmp_path / "start.pth")
    options = local(tmp_path)
    options["train"] |= {"total_iter": 1}
    options["train"]["optim_g"]["lr"] = 0.0
    options["path"] |= {"pretrain_network_g": str(tmp_path / "start.pth"), "strict_load_g": False}
    content = torch.load(train(options, root=tmp_path).weights, weights_only=True)
    assert same_tensors(content["params"], state)
    for name, value in content["params_ema"].items():
        torch.testing.assert_close(value, state[name])


class RaisingDataset(torch.utils.data.Dataset):
    def __init__(self, opt):
        self.kind = opt["kind"]

    def __len__(self):
        return 8

    def __getitem__(self, index):
        if self.kind == "bug":
            return [][index]
        raise DatasetError("내 오류입니다.\n  까닭.\n  해결: 고치세요.")


@pytest.mark.parametrize("workers", [0, 1])
def test_an_error_in_a_dataset_is_named_and_its_traceback_recorded(tmp_path, workers):
    bridge.replace_entry(bridge.DATASET_REGISTRY, RaisingDataset)
    options = local(tmp_path)
    options["datasets"]["train"] = {
        "name": "x",
        "type": "RaisingDataset",
        "kind": "bug",
        "batch_size_per_gpu": 2,
        "num_worker_per_gpu": workers,
    }
    with pytest.raises(DatasetError, match="IndexError"):
        train(options, root=tmp_path)
    (log,) = (tmp_path / "experiments/tiny").glob("*.log")
    assert "return [][index]" in log.read_text(encoding="utf-8")
    options["datasets"]["train"]["kind"] = "named"
    with pytest.raises(DatasetError) as caught:
        train(options, root=tmp_path)
    assert str(caught.value) == "내 오류입니다.\n  까닭.\n  해결: 고치세요."


def test_the_message_of_a_traceback():
    assert message_of('  File "x", line 1\n    y\npackage.Name: first\n  second: 2') == "first\n  second: 2"


def test_metrics_are_tried_before_training(tmp_path):
    options = paired_options(tmp_path, "RealESRNetModel")

    def broken_metric(img, img2, **_):
        raise ZeroDivisionError("mine")

    bridge.replace_entry(bridge.METRIC_REGISTRY, broken_metric)
    options["val"]["metrics"]["mine"] = {"type": "broken_metric"}
    with pytest.raises(Exception, match=r"mine\n.*ZeroDivisionError"):
        train(options, root=tmp_path)
    assert not (tmp_path / "experiments").exists()
    options["val"]["metrics"]["mine"] = {"type": "calculate_niqe", "crop_border": 4}
    assert train(options, root=tmp_path, overrides={"train:total_iter": 1, "val:metrics:mine": None, "val": None})


def test_doubled_validation_names_and_uneven_accumulation(tmp_path):
    options = paired_options(tmp_path, "RealESRNetModel")
    options["datasets"]["val_2"] = dict(options["datasets"]["val"])
    with pytest.raises(OptionError, match="held"):
        train(options, root=tmp_path)
    del options["datasets"]["val_2"]
    options["datasets"]["train"]["batch_size_per_gpu"] = 3
    options["train"]["accumulate"] = 2
    with pytest.raises(OptionError, match="accumulate"):
        train(options, root=tmp_path)


def test_several_gpus_in_one_process_are_spoken_of(tmp_path, capfd):
    write_options(tmp_path, local(tmp_path) | {"num_gpu": 4})
    _, errors = call_train(tmp_path, "--force_yml", "train:total_iter=1")
    assert "torchrun --nproc_per_node=4" in errors


def test_a_basicsr_model_is_not_given_safetensors(tmp_path):
    options = paired_options(tmp_path)
    options["path"]["pretrain_network_g"] = "realesr-animevideov3"
    with pytest.raises(OptionError, match=r"(?s)safetensors.*convert_weights"):
        train(options, root=tmp_path)


def test_a_state_of_two_processes_goes_on_in_one(tmp_path):
    from realesrgan.models.checkpoint import hash_content

    options = local(tmp_path)
    result = train(options, root=tmp_path, overrides={"train:total_iter": 2})
    path = result.folder / "training_states/2.state"
    state = torch.load(path, weights_only=True) | {"world_size": 2, "position": 2}
    del state["digest"]
    torch.save(state | {"digest": hash_content(state)}, path)
    (path.parent / "1.pool1.pth").write_bytes(b"old")
    rest = train(options, root=tmp_path, auto_resume=True)
    assert rest.iterations == 4 and not (path.parent / "1.pool1.pth").exists()
    logs = "".join(one.read_text(encoding="utf-8") for one in rest.folder.glob("*.log"))
    assert "프로세스 수가 2에서 1로 바뀌어" in logs
