"""아무 때나 SIGKILL로 죽여도 마친 것을 잃지 않고, 이어 하면 죽지 않은 것과 비트까지 같다."""

from __future__ import annotations

import hashlib
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from realesrgan.media.image import read_image
from tests.endurance.processes import Task, assert_plain, contents, leftovers, times
from tests.scripts.command import draw

pytest.importorskip("av")

from tests.video.samples import make_video

KILLS = "SIGKILL로 죽인 횟수"
Record = Callable[[str, object], None]


def keep_killing(begin: Callable[[], Task], kills: int, longest: float, seed: int, watch: Path, record: Record) -> int:
    """될 때까지 다시 시작하며 `kills`번까지 아무 때나 죽인다. 죽인 횟수를 돌려주고 `--junitxml`의 파일에 남긴다.

    Args:
        begin: 명령을 시작하는 함수.
        kills: 죽일 횟수.
        longest: 죽이기까지 기다릴 가장 긴 시간(초).
        seed: 씨앗.
        watch: 무언가 쓰이기 시작했는지 볼 폴더. 아직 불러오는 동안만 죽이지 않게 한다.
        record: pytest의 `record_property`.
    """
    choose = random.Random(seed)
    killed = 0
    while True:
        task = begin()
        if killed >= kills:
            assert_done(task)
            break
        before = snapshot(watch)
        deadline = time.monotonic() + 20
        # 넷에 셋은 쓰기 시작한 뒤에, 나머지는 시작하는 동안 죽인다.
        while killed % 4 != 3 and task.alive and snapshot(watch) == before and time.monotonic() < deadline:
            time.sleep(0.003)
        if task.kill_within(choose.uniform(0, longest)):
            killed += 1
        else:
            assert_done(task)
            break
    record(KILLS, killed)
    return killed


def assert_done(task: Task) -> None:
    """다 되었다. 이름까지 바꾼 뒤에 죽었으면, 덮어쓰지 않는 명령은 이미 있다고 한다."""
    assert task.wait() == 0 or "이미 있습니다" in task.said, task.said[-3000:]
    assert_plain(task.said)


def snapshot(folder: Path) -> int:
    """폴더 안의 이름들의 수와 크기. 바뀌었는지만 안다."""
    found = 0
    for path in folder.rglob("*"):
        try:
            found += 1 + path.stat().st_size
        except OSError:
            continue
    return found


def test_pictures_that_were_done_stay_and_the_rest_is_made_the_same(tmp_path, start, picture_model, record_property):
    for index in range(times(120)):
        draw(tmp_path / "in" / f"{index:03d}.png", 60, 80, seed=index)
    arguments = ("-i", "in", "--skip_existing", *picture_model)
    assert start("image", *arguments, "-o", "whole").wait() == 0
    (tmp_path / "out").mkdir()
    done: dict[str, bytes] = {}

    def begin() -> Task:
        # 죽기 전에 놓인 결과는 모두 온전하고, 다시 시작해도 바뀌지 않는다.
        found = contents(tmp_path / "out")
        assert done.items() <= found.items()
        for name in found:
            assert read_image(tmp_path / "out" / name).first.array.shape == (120, 160, 3)
        done.update(found)
        return start("image", *arguments, "-o", "out")

    assert keep_killing(begin, times(8), 0.1, 1, tmp_path / "out", record_property) >= 2
    assert contents(tmp_path / "out") == contents(tmp_path / "whole")


def test_a_video_goes_on_where_it_was_killed(tmp_path, start, picture_model, record_property):
    make_video(tmp_path / "a.mp4", times(1440), gop=24)
    arguments = ("-i", "a.mp4", "--resume", *picture_model)
    assert start("video", *arguments, "-o", "whole/a.mp4").wait() == 0
    (tmp_path / "out").mkdir()
    certified: dict[str, str] = {}

    def begin() -> Task:
        # 기록이 놓인 조각은 그대로다.
        for path in (tmp_path / "out").glob(".realesrgan-*/*.seg"):
            digest = hashlib.sha256(path.read_bytes()).hexdigest()
            if path.with_suffix(".json").exists():
                assert certified.setdefault(path.name, digest) == digest
        return start("video", *arguments, "-o", "out/a.mp4")

    assert keep_killing(begin, times(8), 0.1, 2, tmp_path / "out", record_property) >= 2
    assert contents(tmp_path / "out") == contents(tmp_path / "whole")
    assert not leftovers(tmp_path / "out")


def test_pictures_of_a_video_go_on_where_they_were_killed(tmp_path, start, picture_model, record_property):
    make_video(tmp_path / "a.mp4", times(400), gop=24)
    arguments = ("-i", "a.mp4", "--ext", "png", "--resume", *picture_model)
    assert start("video", *arguments, "-o", "whole").wait() == 0
    (tmp_path / "out").mkdir()
    keep_killing(lambda: start("video", *arguments, "-o", "out"), times(4), 0.3, 3, tmp_path / "out", record_property)
    assert contents(tmp_path / "out") == contents(tmp_path / "whole")
    assert not leftovers(tmp_path / "out")


TOOLS = {
    "extract_subimages": ("--input", "in", "--output", "out", "--crop_size", 32, "--step", 16, "--n_thread", 2),
    "generate_multiscale_DF2K": ("--input", "in", "--output", "out", "--n_thread", 2),
    "degrade_images": ("--input", "in", "--output", "out", "--opt", "{options}", "--seed", 3),
    "generate_meta_info": ("--input", "in", "--root", "in", "--meta_info", "out/meta.txt", "--n_thread", 2),
    "create_lmdb": ("--input", "in", "--output", "out/a.lmdb", "--n_thread", 2),
}


def final(folder: Path) -> dict[str, object]:
    """견줄 내용. lmdb는 잠금 파일과 쪽의 배치가 아니라 담긴 값을 본다."""
    found: dict[str, object] = {}
    for name, data in contents(folder).items():
        if name.endswith("data.mdb"):
            import lmdb

            with lmdb.open(str((folder / name).parent), readonly=True, lock=False) as store, store.begin() as reading:
                found[name] = dict(reading.cursor())
        elif not name.endswith("lock.mdb"):
            found[name] = data
    return found


@pytest.mark.parametrize("tool", sorted(TOOLS))
def test_a_dataset_tool_goes_on_where_it_was_killed(tmp_path, start, tool, record_property):
    if tool == "create_lmdb":
        pytest.importorskip("lmdb")
    if tool == "degrade_images":
        pytest.importorskip("basicsr")
    from tests.conftest import ROOT

    for index in range(times(40)):
        draw(tmp_path / "in" / f"{index:03d}.png", 64, 96, seed=index)
    options = str(ROOT / "options" / "train_realesrnet_x4plus.yml")
    line = [options if one == "{options}" else one for one in TOOLS[tool]]

    def begin(cwd: Path) -> Task:
        return start(tool, *line, cwd=cwd)

    whole, broken = tmp_path / "whole", tmp_path / "broken"
    for folder in (whole, broken):
        (folder / "out").mkdir(parents=True)
        if tool not in ("generate_meta_info", "create_lmdb"):
            (folder / "out").rmdir()
        (folder / "in").symlink_to(tmp_path / "in")
    assert begin(whole).wait() == 0
    keep_killing(lambda: begin(broken), times(3), 0.4, 4, broken, record_property)
    assert final(broken / "out") == final(whole / "out")
    assert not leftovers(broken)


def test_training_goes_on_as_if_it_had_not_been_killed(tmp_path, record_property):
    pytest.importorskip("basicsr")
    from tests.training.tiny_run import (
        TRAIN,
        environment,
        network,
        run_train,
        same_tensors,
        tiny_options,
        write_options,
    )

    folders = [tmp_path / "whole", tmp_path / "broken"]
    for folder in folders:
        folder.mkdir()
        options = tiny_options(folder, gan=True)
        options["train"]["total_iter"] = times(18)
        options["logger"]["save_checkpoint_freq"] = 3
        write_options(folder, options)

    # 훈련은 작업 프로세스를 fork하므로 갈래 친 프로세스가 아니라 새 프로세스에서 돌린다.
    assert run_train(folders[0], "--auto_resume").returncode == 0
    choose, killed = random.Random(5), 0
    for _ in range(times(4)):
        command = [sys.executable, str(TRAIN), "-opt", "tiny.yml", "--auto_resume"]
        process = subprocess.Popen(
            command, cwd=folders[1], env=environment(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        before, deadline = snapshot(folders[1] / "experiments"), time.monotonic() + 20
        while process.poll() is None and time.monotonic() < deadline:
            if snapshot(folders[1] / "experiments") != before:
                time.sleep(choose.uniform(0, 1.5))
                break
            time.sleep(0.01)
        killed += process.poll() is None
        process.kill()
        process.wait()
    record_property(KILLS, killed)
    assert killed and run_train(folders[1], "--auto_resume").returncode == 0
    for name in ("net_g_latest.pth", "net_d_latest.pth"):
        assert same_tensors(network(folders[1], name), network(folders[0], name)), name
    assert not leftovers(folders[1])


def test_a_terminated_command_leaves_no_temporary(tmp_path, start, picture_model):
    """SIGTERM은 치우고 끝내라는 말이다. 언제 와도 임시 파일이 남지 않는다."""
    for index in range(30):
        draw(tmp_path / "in" / f"{index:03d}.png", 60, 80, seed=index)
    choose = random.Random(6)
    for turn in range(times(4)):
        task = start("image", "-i", "in", "-o", f"out{turn}", *picture_model)
        time.sleep(choose.uniform(0.2, 2.0))
        task.signal(signal.SIGTERM)
        assert task.wait() in (0, 130, -signal.SIGTERM)
        assert_plain(task.said)
        assert not leftovers(tmp_path)
