import logging
import sys
import types

import pytest

from tests.training.extra import require_training_extra
from tests.training.tiny_run import call_train, network, run_train, tiny_options, write_options

require_training_extra()


@pytest.mark.parametrize("gan", [False, True])
def test_train_writes_the_usual_layout(tmp_path, gan):
    options = tiny_options(tmp_path, gan)
    options["logger"]["use_tb_logger"] = True
    options["datasets"]["val"] = {
        "name": "held",
        "type": "RealESRGANDegradedDataset",
        "dataroot_gt": str(tmp_path / "gt"),
        "io_backend": {"type": "disk"},
    }
    options["val"] = {
        "val_freq": 4,
        "save_img": True,
        "metrics": {"psnr": {"type": "calculate_psnr", "crop_border": 4, "test_y_channel": False}},
    }
    write_options(tmp_path, options)
    done = run_train(tmp_path)
    assert done.returncode == 0, done.stderr
    root = tmp_path / "experiments" / "tiny"
    names = {path.name for path in (root / "models").iterdir()}
    expected = {f"net_g_{label}.pth" for label in ("2", "4", "latest")}
    if gan:
        expected |= {f"net_d_{label}.pth" for label in ("2", "4", "latest")}
    assert names == expected
    assert {p.name for p in (root / "training_states").glob("*.state")} == {"2.state", "4.state"}
    assert [p.name for p in (root / "training_states").glob("*.pool0.pth")] == ["4.pool0.pth"]
    assert (root / "tiny.yml").exists() and len(list(root.glob("train_tiny_*.log"))) == 1
    assert len(list((root / "visualization" / "pic0").iterdir())) == 1
    assert list((tmp_path / "tb_logger" / "tiny").iterdir())
    log = next(root.glob("train_tiny_*.log")).read_text(encoding="utf-8")
    assert "iter:       4" in log and "Validation held" in log and "psnr" in log
    assert ("l_d_real" in log) is gan
    assert set(network(tmp_path, "net_g_latest.pth")) == {"params", "params_ema"}
    if gan:
        return
    # 이어 하지 않고 다시 돌리면 앞의 실험을 지우지 않고 이름을 바꿔 둔다.
    options["train"]["total_iter"] = 1
    del options["datasets"]["val"], options["val"]
    write_options(tmp_path, options)
    assert call_train(tmp_path)[0] == 0
    assert len(list((tmp_path / "experiments").glob("tiny_archived_*"))) == 1


def test_checkpoint_opens_as_an_inference_network(tmp_path):
    from realesrgan.archs import SRVGGNetCompact

    write_options(tmp_path, tiny_options(tmp_path))
    assert call_train(tmp_path, "--force_yml", "train:total_iter=1")[0] == 0
    content = network(tmp_path, "net_g_latest.pth")
    SRVGGNetCompact(num_feat=8, num_conv=1).load_state_dict(content["params_ema"])


def test_debug_renames_and_saves_often(tmp_path):
    write_options(tmp_path, tiny_options(tmp_path))
    code, errors = call_train(tmp_path, "--debug", "--force_yml", "train:total_iter=8", "--local-rank", "0")
    assert code == 0, errors
    assert (tmp_path / "experiments/debug_tiny/training_states/8.state").exists()


def test_usage_errors_exit_2(tmp_path):
    options = tiny_options(tmp_path)
    options["trian"] = options.pop("train")
    write_options(tmp_path, options)
    done = run_train(tmp_path)
    assert done.returncode == 2 and "train" in done.stderr and "Traceback" not in done.stderr
    (tmp_path / "tiny.yml").unlink()
    code, errors = call_train(tmp_path)
    assert code == 2 and "tiny.yml" in errors


def test_failures_exit_1(tmp_path):
    options = tiny_options(tmp_path)
    options["datasets"]["train"]["dataroot_gt"] = str(tmp_path / "nowhere")
    write_options(tmp_path, options)
    code, errors = call_train(tmp_path)
    assert code == 1 and "nowhere" in errors


def test_too_few_pictures_for_a_batch(tmp_path):
    write_options(tmp_path, tiny_options(tmp_path))
    code, errors = call_train(tmp_path, "--force_yml", "datasets:train:batch_size_per_gpu=12", "queue_size=12")
    assert code == 1 and "dataset_enlarge_ratio" in errors


def test_basicsr_own_pipeline_runs_our_classes(tmp_path):
    """BasicSR의 `train_pipeline`으로도 한 프로세스에서 돈다."""
    import subprocess
    import sys

    from tests.training.tiny_run import environment

    options = tiny_options(tmp_path)
    options |= {"num_gpu": 0}
    write_options(tmp_path, options)
    code = (
        "import realesrgan.models.realesrnet_model, realesrgan.data.realesrgan_dataset\n"
        "from basicsr.train import train_pipeline\n"
        f"train_pipeline({str(tmp_path)!r})\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, "-opt", str(tmp_path / "tiny.yml")],
        cwd=tmp_path,
        env=environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "experiments/tiny/models/net_g_latest.pth").exists()


@pytest.mark.skipif(sys.platform == "win32", reason="윈도에는 이 신호가 없다")
def test_an_interruption_exits_130_and_tells_how_to_go_on(tmp_path):
    import signal
    import subprocess

    from tests.training.tiny_run import TRAIN, environment

    options = tiny_options(tmp_path)
    options["train"]["total_iter"] = 100000
    path = write_options(tmp_path, options)
    command = [sys.executable, str(TRAIN), "-opt", str(path)]
    task = subprocess.Popen(command, cwd=tmp_path, env=environment(), stderr=subprocess.PIPE, text=True)
    seen = []
    for line in task.stderr:
        seen.append(line)
        if "반복 3/" in line:
            task.send_signal(signal.SIGINT)
            break
    errors = task.communicate(timeout=60)[1]
    assert task.returncode == 130, "".join(seen) + errors
    assert "--auto_resume" in errors and "Traceback" not in errors


def test_a_signal_in_the_middle_of_a_message_stops_the_training_all_the_same(monkeypatch):
    import io
    import signal
    import time

    from realesrgan.cli.console import say_error
    from realesrgan.cli.train import StopRequest

    class Terminal(io.RawIOBase):
        """첫 줄을 쓰는 도중에 신호가 오는 터미널."""

        written = b""

        def writable(self):
            return True

        def write(self, data):
            first = not self.written
            self.written += bytes(data)
            if first:
                signal.raise_signal(signal.SIGINT)
            return len(data)

    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", io.TextIOWrapper(io.BufferedWriter(terminal), encoding="utf-8"))
    with StopRequest() as stop:
        assert stop(None)
        say_error("반복 1/100")
        assert not stop(None)
    deadline = time.monotonic() + 30
    while "멈추라는 신호".encode() not in terminal.written and time.monotonic() < deadline:
        time.sleep(0.01)
    text = terminal.written.decode()
    assert text.count("반복 1/100") == 1 and text.count("멈추라는 신호를 받았습니다") == 1


class StubWandb(types.ModuleType):
    """`wandb.init`이 받은 것을 적어 두는 대역(stub)."""

    def __init__(self):
        super().__init__("wandb")
        self.calls = []
        self.util = types.SimpleNamespace(generate_id=lambda: "fresh")

    def init(self, **given):
        self.calls.append(given)

    def finish(self):
        self.finished = True


@pytest.mark.parametrize(("resume_id", "expected"), [(None, ("fresh", "never")), ("old", ("old", "allow"))])
def test_wandb_follows_tensorboard(tmp_path, monkeypatch, resume_id, expected):
    stub = StubWandb()
    monkeypatch.setitem(sys.modules, "wandb", stub)
    options = tiny_options(tmp_path)
    options["logger"] |= {"use_tb_logger": True, "wandb": {"project": "lab", "resume_id": resume_id}}
    options["train"]["total_iter"] = 1
    write_options(tmp_path, options)
    code, errors = call_train(tmp_path)
    assert code == 0, errors
    (given,) = stub.calls
    assert stub.finished
    assert (given["id"], given["resume"]) == expected
    assert given["project"] == "lab" and given["name"] == "tiny" and given["sync_tensorboard"] is True
    assert list((tmp_path / "tb_logger/tiny").glob("events.*"))


def test_wandb_without_the_package_or_tensorboard_is_named(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "wandb", None)
    options = tiny_options(tmp_path)
    options["logger"] |= {"use_tb_logger": True, "wandb": {"project": "lab"}}
    write_options(tmp_path, options)
    code, errors = call_train(tmp_path)
    assert code == 1 and "pip install wandb" in errors
    code, errors = call_train(tmp_path, "--force_yml", "logger:use_tb_logger=false")
    assert code == 2 and "use_tb_logger" in errors


def test_the_terminal_speaks_to_a_person_and_the_file_keeps_everything(tmp_path):
    """기본 출력에는 BasicSR의 로고, 네트워크의 구조, 옵션 전체가 없고, 파일에는 늘 있다."""
    write_options(tmp_path, tiny_options(tmp_path))
    long = ("____", "BasicSR: 1.4.2", "Conv2d(", "is created", "network_g:[", "[epoch:")
    for arguments, spoken in (((), False), (("-v",), True)):
        code, said = call_train(tmp_path, *arguments)
        assert code == 0, said
        assert [word for word in long if (word in said) is not spoken] == []
        assert ("반복 4/4, 학습률" in said) is not spoken
        # 끝난 뒤의 말 말고는 어느 줄도 두 번 적지 않는다.
        lines = [line.split(" ", 2)[-1] for line in said.splitlines() if "반복 " in line]
        assert len(lines) == len(set(lines))
        log = next((tmp_path / "experiments" / "tiny").glob("train_tiny_*.log")).read_text(encoding="utf-8")
        assert all(word in log for word in long) and "반복 4/4, 학습률" not in log


@pytest.mark.parametrize("kept", [True, False])
def test_the_end_tells_the_command_of_the_best_weights(tmp_path, capsys, kept):
    from realesrgan.cli.train import StopRequest, _report
    from realesrgan.training.loop import TrainResult

    latest, best = tmp_path / "net_g_latest.pth", tmp_path / "net_g_best.pth"
    if kept:
        best.touch()
    _report(TrainResult(latest, tmp_path, 4, True, {}), StopRequest())
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == f"가중치: {latest}" and f"--model_path {best if kept else latest} " in lines[-1]
    assert any("가장 좋았던" in line for line in lines) is kept


def test_the_terminal_keeps_the_traceback_of_code_that_failed():
    """준비하다 난 오류는 기록 파일이 생기기 전이라, 터미널에 없으면 어디에도 없다."""
    from realesrgan.cli.train import _PlainFormatter

    try:
        raise KeyError("lq")
    except KeyError:
        record = logging.LogRecord("basicsr", logging.ERROR, "", 0, "데이터셋의 추적:", (), sys.exc_info())
    text = _PlainFormatter().format(record)
    assert "오류: 데이터셋의 추적:" in text and "Traceback" in text and "KeyError: 'lq'" in text
