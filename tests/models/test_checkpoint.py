import itertools
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.models.tiny import make_batch, model_options
from tests.training.extra import require_training_extra
from tests.training.tiny_run import (
    TRAIN,
    call_train,
    environment,
    network,
    run_train,
    same_tensors,
    tiny_options,
    write_options,
)

require_training_extra()

from basicsr.models import build_model  # noqa: E402

from realesrgan.errors import CheckpointError  # noqa: E402
from realesrgan.models import checkpoint as C  # noqa: E402
from realesrgan.models import realesrgan_model, realesrnet_model  # noqa: E402, F401  등록부에 올린다
from realesrgan.util.files import file_sha256  # noqa: E402

TOTAL = 16
FINAL = ("net_g_16.pth", "net_d_16.pth")


def folders_of(tmp_path):
    return C.CheckpointFolders(tmp_path / "models", tmp_path / "training_states")


def saved_model(tmp_path, iterations=(2, 4), gan=True):
    model = build_model(model_options(tmp_path, gan))
    for iteration in range(1, max(iterations) + 1):
        model.update_learning_rate(iteration)
        model.feed_data(make_batch(iteration))
        model.optimize_parameters(iteration)
        if iteration in iterations:
            model.save(0, iteration, iteration * 2)
    return model


def test_state_is_the_commit(tmp_path):
    saved_model(tmp_path)
    folders = folders_of(tmp_path)
    state = C.load_state(folders.state(4), folders)
    assert state["iter"] == 4 and state["position"] == 8
    assert set(state["files"]) == {"net_g_4.pth", "net_d_4.pth", "4.rank0.pth"}
    assert set(state["scalers"]) == {"g", "d"} and len(state["optimizers"]) == 2
    # 쌍 풀은 가장 새 것에만 있다.
    assert [p.name for p in folders.states.glob("*.pool*")] == ["4.pool0.pth"]
    assert not list(tmp_path.rglob("*.tmp"))


def test_no_state_means_no_checkpoint(tmp_path):
    saved_model(tmp_path)
    folders = folders_of(tmp_path)
    folders.state(4).unlink()
    path, state = C.find_newest_valid(folders)
    assert path == folders.state(2) and state["iter"] == 2


@pytest.mark.parametrize("victim", ["net_g_4.pth", "net_d_4.pth", "4.rank0.pth", "4.state"])
@pytest.mark.parametrize("damage", ["cut", "flip", "remove"])
def test_damaged_newest_is_skipped(tmp_path, victim, damage):
    saved_model(tmp_path)
    folders = folders_of(tmp_path)
    path = next(tmp_path.rglob(victim))
    content = bytearray(path.read_bytes())
    if damage == "remove":
        path.unlink()
    elif damage == "cut":
        path.write_bytes(content[: len(content) // 2])
    else:
        content[len(content) // 2] ^= 0xFF
        content[10] ^= 0xFF
        path.write_bytes(content)
    assert C.find_newest_valid(folders)[1]["iter"] == 2


def test_nothing_valid_gives_none(tmp_path):
    folders = folders_of(tmp_path)
    assert C.find_newest_valid(folders) is None
    folders.states.mkdir()
    folders.state(3).write_bytes(b"junk")
    (folders.states / "notes.state").write_bytes(b"junk")
    assert C.find_newest_valid(folders) is None


def test_unsafe_pickles_are_refused(tmp_path):
    sentinel = tmp_path / "touched"

    class Evil:
        def __reduce__(self):
            return (os.system, (f"touch {sentinel}",))

    path = tmp_path / "1.state"
    torch.save({"iter": 1, "x": Evil()}, path)
    with pytest.raises(CheckpointError, match=r"1\.state"):
        C.read_file(path)
    assert not sentinel.exists()
    torch.save([1], path)
    with pytest.raises(CheckpointError, match="list"):
        C.read_file(path)


def test_a_failed_write_leaves_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "a.pth"
    first = C.write_file(path, {"a": torch.zeros(2)})
    monkeypatch.setattr(os, "fsync", lambda _: (_ for _ in ()).throw(OSError("디스크가 가득 찼습니다")))
    with pytest.raises(CheckpointError, match="가득"):
        C.write_file(path, {"a": torch.ones(2)})
    assert file_sha256(path) == first and [p.name for p in tmp_path.iterdir()] == ["a.pth"]


def test_global_random_round_trip():
    def draw():
        return random.random(), np.random.rand(), float(torch.rand(1))  # noqa: NPY002, S311

    random.gauss(0, 1)
    np.random.randn()  # noqa: NPY002
    state = C.global_random_state()
    first = draw()
    C.restore_global_random(state)
    assert draw() == first


@pytest.mark.parametrize("gan", [False, True])
@pytest.mark.parametrize("amp", [None, "fp16"])
def test_resumed_model_continues_bit_for_bit(tmp_path, gan, amp):
    torch.manual_seed(0)
    options = {"train.amp": amp} if amp else {}
    model = build_model(model_options(tmp_path, gan, **options))

    def walk(one, first, last):
        for iteration in range(first, last + 1):
            one.update_learning_rate(iteration)
            one.feed_data(make_batch(iteration))
            one.optimize_parameters(iteration)

    walk(model, 1, 5)
    model.save(1, 5, 10)
    walk(model, 6, 9)
    folders = folders_of(tmp_path)
    again = build_model(model_options(tmp_path, gan, **options))
    again.resume_training(C.load_state(folders.state(5), folders))
    walk(again, 6, 9)
    for group, other in zip(model.network_groups().values(), again.network_groups().values(), strict=True):
        for name in group:
            assert same_tensors(group[name].state_dict(), other[name].state_dict())
    assert model.get_current_log() == again.get_current_log()
    assert again.last_checkpoint == str(folders.state(5))


def test_resume_without_pool_or_random_still_works(tmp_path):
    saved_model(tmp_path)
    folders = folders_of(tmp_path)
    state = C.load_state(folders.state(4), folders)
    folders.pool_file(4, 0).unlink()
    folders.rank_file(4, 0).unlink()
    model = build_model(model_options(tmp_path, True))
    model.resume_training(state)
    assert model.pool.filled == 0


def test_falling_back_past_a_broken_newest_says_that_the_pool_is_gone(tmp_path, caplog, monkeypatch):
    saved_model(tmp_path)
    folders = folders_of(tmp_path)
    folders.network("net_g", 4).write_bytes(b"broken")
    monkeypatch.setattr(C.LOGGER, "propagate", True)
    with caplog.at_level("WARNING", logger="basicsr"):
        path, state = C.find_newest_valid(folders)
        model = build_model(model_options(tmp_path, True))
        model.resume_training(state)
    assert path == folders.state(2) and model.pool.filled == 0
    said = "\n".join(caplog.messages)
    assert "net_g_4.pth: 해시가 다릅니다" in said
    assert "2.pool0.pth" in said and "비트까지 같지는 않습니다" in said


def test_wrong_model_is_a_named_error(tmp_path):
    saved_model(tmp_path, gan=False)
    folders = folders_of(tmp_path)
    state = C.load_state(folders.state(4), folders)
    with pytest.raises(CheckpointError, match="net_d"):
        build_model(model_options(tmp_path, True)).resume_training(state)
    wide = {"type": "SRVGGNetCompact", "num_feat": 12, "num_conv": 1}
    with pytest.raises(CheckpointError, match="network_g"):
        build_model(model_options(tmp_path, network_g=wide)).resume_training(state)


def reference_run(tmp_path) -> Path:
    folder = tmp_path / "whole"
    folder.mkdir()
    options = tiny_options(folder, gan=True)
    options["train"]["total_iter"] = TOTAL
    write_options(folder, options)
    done = run_train(folder)
    assert done.returncode == 0, done.stderr
    return folder


def kill_after(folder: Path, marker: Path, *arguments: str) -> None:
    """`marker`가 나타나면 SIGKILL로 죽인다."""
    command = [sys.executable, str(TRAIN), "-opt", str(folder / "tiny.yml"), *arguments]
    with (folder / "out.txt").open("w") as out:
        process = subprocess.Popen(
            command, cwd=folder, env=environment(), stdout=out, stderr=out, start_new_session=True
        )
        for _ in itertools.takewhile(lambda _: process.poll() is None and not marker.exists(), itertools.count()):
            time.sleep(0.01)
        assert marker.exists(), (folder / "out.txt").read_text()
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def test_kill_and_resume_equals_one_run(tmp_path):
    """N번 걷고 죽었다가 M번 걸은 것이 N+M번 걸은 것과 비트까지 같다."""
    whole = reference_run(tmp_path)
    folder = tmp_path / "killed"
    folder.mkdir()
    options = tiny_options(folder, gan=True)
    options["train"]["total_iter"] = 5000
    # 작업자 수가 달라도 같은 자료가 나와야 한다.
    options["datasets"]["train"]["num_worker_per_gpu"] = 0
    write_options(folder, options)
    states = folder / "experiments/tiny/training_states"
    kill_after(folder, states / "4.state")
    newest = max(int(path.stem) for path in states.glob("*.state"))
    assert newest < TOTAL
    # 확정되지 않은 네트워크와 깨진 상태는 건너뛰어야 한다.
    torch.save({"half": 1}, folder / "experiments/tiny/models/net_g_99.pth")
    (states / "99.state").write_bytes(b"broken")
    options["train"]["total_iter"] = TOTAL
    options["datasets"]["train"]["num_worker_per_gpu"] = 1
    write_options(folder, options)
    done = run_train(folder, "--auto_resume")
    assert done.returncode == 0, done.stderr
    assert f"반복 {newest}" in done.stderr and "99.state" in done.stderr
    for name in FINAL:
        assert same_tensors(network(whole, name), network(folder, name)), name


def test_a_named_broken_state_is_not_skipped(tmp_path):
    path = tmp_path / "8.state"
    path.write_bytes(b"broken")
    write_options(tmp_path, tiny_options(tmp_path))
    code, errors = call_train(tmp_path, "--force_yml", f"path:resume_state={path}")
    assert code == 1 and "8.state" in errors
