import logging
import socket
import subprocess
import sys

import pytest
import torch

from tests.training import tiny_run as tiny
from tests.training.extra import require_training_extra

require_training_extra()

from realesrgan.errors import OptionError  # noqa: E402
from realesrgan.models import checkpoint as C  # noqa: E402
from realesrgan.training import distributed  # noqa: E402
from tests.training import ddp_worker  # noqa: E402

TORCHRUN = ("-m", "torch.distributed.run", "--nproc_per_node=2", "--master_port=0", "--standalone")


def worker(folder, processes, *arguments):
    folder.mkdir()
    if processes == 1:
        ddp_worker.main([str(folder), *arguments])
        return torch.load(folder / "result.pth", weights_only=True)
    script = str(tiny.ROOT / "tests/training/ddp_worker.py")
    done = subprocess.run(
        [sys.executable, *TORCHRUN, script, str(folder), *arguments],
        env=tiny.environment(),
        cwd=tiny.ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return torch.load(folder / "result.pth", weights_only=True)


def relative_gap(one, other):
    """두 그래디언트의 차이의 노름을 그래디언트의 노름으로 나눈 것."""
    return float((one - other).norm() / one.norm())


@pytest.mark.parametrize(
    ("kind", "extra"), [("net", ()), ("gan", ()), ("gan", ("accumulate=2",))], ids=["net", "gan", "gan-accumulate"]
)
def test_two_processes_give_the_gradients_of_one(tmp_path, kind, extra):
    """생성자도 판별자도 텐서마다 1e-5 안에서 같다. 스펙트럼 정규화의 추정도 갈리지 않는다.

    판별자의 그래디언트는 진짜와 가짜의 것이 거의 지워지고 남은 것이라 float32의 반올림만으로 2e-5까지 벌어진다.
    그래서 GAN은 float64로 견주어 계산이 같음을 보인다.
    """
    precision = ("dtype=float64",) if kind == "gan" else ()
    one = worker(tmp_path / "one", 1, kind, *precision)
    two = worker(tmp_path / "two", 2, kind, *precision, *extra)
    networks = {"g", "d"} if kind == "gan" else {"g"}
    assert {name[0] for name in one["grads"]} == networks
    assert two["grads"].keys() == one["grads"].keys()
    gaps = {name: relative_gap(one["grads"][name], two["grads"][name]) for name in one["grads"]}
    assert max(gaps.values()) < (1e-10 if kind == "gan" else 1e-5), gaps
    for name, buffer in one["buffers"].items():
        torch.testing.assert_close(two["buffers"][name], buffer)
    assert bool(one["buffers"]) is (kind == "gan")
    # 다섯 장을 셋과 둘로 나누어 재도 평균이 같다.
    assert two["metrics"]["psnr"] == pytest.approx(one["metrics"]["psnr"], abs=0.05)


def test_a_nan_on_one_process_skips_the_step_on_all(tmp_path):
    result = worker(tmp_path / "run", 2, "net", "nan=1")
    assert result["skipped"] == 1
    assert all(torch.isfinite(value).all() for value in result["grads"].values())


def test_torchrun_trains_saves_and_resumes(tmp_path, caplog, monkeypatch):
    whole, parted = tmp_path / "whole", tmp_path / "parted"
    for folder in (whole, parted):
        folder.mkdir()
        options = tiny.tiny_options(folder, gan=True)
        options["datasets"]["train"]["batch_size_per_gpu"] = 1
        options["train"]["total_iter"] = 8 if folder is whole else 4
        tiny.write_options(folder, options)
        done = tiny.run_train(folder, "--launcher", "pytorch", launcher=TORCHRUN)
        assert done.returncode == 0, done.stderr[-3000:]
    states = parted / "experiments/tiny/training_states"
    assert {p.name for p in states.glob("4.*")} == {
        "4.state",
        *(f"4.{kind}{rank}.pth" for kind in ("rank", "pool") for rank in (0, 1)),
    }
    arguments = ("--launcher", "pytorch", "--auto_resume", "--force_yml", "train:total_iter=8")
    done = tiny.run_train(parted, *arguments, launcher=TORCHRUN)
    assert done.returncode == 0, done.stderr[-3000:]
    assert tiny.same_tensors(tiny.network(whole, "net_g_8.pth"), tiny.network(parted, "net_g_8.pth"))
    # 프로세스 수를 줄여도 이어 갈 수 있다.
    caplog.set_level("WARNING", logger="basicsr")
    monkeypatch.setattr(logging.getLogger("basicsr"), "propagate", True)
    code, errors = tiny.call_train(parted, "--auto_resume", "--force_yml", "train:total_iter=9")
    assert code == 0 and "2에서 1로" in caplog.text, errors


def test_slurm_tasks_train_together(tmp_path):
    """srun이 띄운 것처럼 두 프로세스를 SLURM의 환경 변수로 묶는다. scontrol은 부르지 않는다."""
    options = tiny.tiny_options(tmp_path)
    options["train"]["total_iter"] = 2
    options["datasets"]["train"]["batch_size_per_gpu"] = 1
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        options["dist_params"] = {"backend": "nccl", "port": free.getsockname()[1]}
    tiny.write_options(tmp_path, options)
    command = [sys.executable, str(tiny.TRAIN), "-opt", str(tmp_path / "tiny.yml"), "--launcher", "slurm"]
    # 실행 파일을 찾을 곳이 없으므로 바깥 프로그램을 부르면 실패한다.
    shared = {"SLURM_NTASKS": "2", "SLURM_NODELIST": "localhost,node[02-03]", "PATH": str(tmp_path / "empty")}
    tasks = [
        subprocess.Popen(
            command,
            cwd=tmp_path,
            env=tiny.environment(SLURM_PROCID=str(rank), SLURM_LOCALID=str(rank), **shared),
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in range(2)
    ]
    errors = [task.communicate(timeout=120)[1] for task in tasks]
    assert [task.returncode for task in tasks] == [0, 0], errors
    states = tmp_path / "experiments/tiny/training_states"
    assert {p.name for p in states.glob("2.rank*")} == {"2.rank0.pth", "2.rank1.pth"}
    assert C.read_file(states / "2.state")["world_size"] == 2


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("node1", "node1"),
        ("node1,node2", "node1"),
        ("gpu[01-03,07],other", "gpu01"),
        ("gpu[3,9]", "gpu3"),
        ("a-b[10-12]-ib.cluster", "a-b10-ib.cluster"),
    ],
)
def test_first_host(text, expected):
    assert distributed.first_host(text) == expected


@pytest.mark.parametrize("text", ["", "$(touch x)", "a;b", "a b", "`id`", "-x", "node[", "[01-02", "|", "a\nb"])
def test_bad_hosts_are_refused(text):
    with pytest.raises(OptionError, match="SLURM_NODELIST"):
        distributed.first_host(text)


def test_missing_environment_is_a_usage_error(monkeypatch):
    for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK", "SLURM_PROCID"):
        monkeypatch.delenv(name, raising=False)
    for launcher in ("pytorch", "slurm"):
        with pytest.raises(OptionError, match="torchrun"):
            distributed.start(launcher)
    assert distributed.start("none") == (0, 1)


def test_seed_is_kept_or_drawn():
    assert distributed.agree_on_seed(7) == 7
    assert 1 <= distributed.agree_on_seed(None) < 10000
