"""가득 찬 디스크, 읽기 전용 폴더, 열린 파일과 메모리의 한도, 건너뛰는 시계, 한 결과를 만드는 두 프로세스."""

from __future__ import annotations

import json
import os
import random
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from realesrgan.media.image import read_image
from tests.endurance.processes import assert_plain, contents, leftovers, times
from tests.scripts.command import draw

pytest.importorskip("av")

from tests.video.samples import hashes, make_video


@pytest.fixture
def mounted(tmp_path: Path) -> Iterator[Callable[..., Path]]:
    """작은 메모리 디스크를 폴더에 붙이는 함수. 권한이 없으면 건너뛴다."""
    folders: list[Path] = []

    def mount(size: str, name: str = "disk") -> Path:
        folder = tmp_path / name
        folder.mkdir()
        done = subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "none", str(folder)], capture_output=True)
        if done.returncode:
            pytest.skip(f"tmpfs를 붙일 권한이 없습니다: {done.stderr.decode(errors='replace').strip()}")
        folders.append(folder)
        return folder

    yield mount
    for folder in folders:
        subprocess.run(["umount", "-l", str(folder)], check=False)


def read_only(folder: Path) -> None:
    subprocess.run(["mount", "-o", "remount,ro", str(folder)], check=True)


WRITERS = {
    **{
        ext: ("image", ("-i", "a.png", "-o", "{disk}/out", "--ext", ext))
        for ext in ("png", "jpg", "webp", "tif", "bmp")
    },
    "avif": ("image", ("-i", "a.png", "-o", "{disk}/out", "--ext", "avif")),
    "gif": ("image", ("-i", "moving.gif", "-o", "{disk}/out")),
    "report": ("image", ("-i", "small.png", "-o", "here", "--report", "{disk}/r.json")),
    **{ext: ("video", ("-i", "a.mp4", "-o", f"{{disk}}/out.{ext}")) for ext in ("mp4", "mkv", "mov", "webm")},
    "frames": ("video", ("-i", "a.mp4", "-o", "{disk}", "--ext", "png")),
    "subimages": ("extract_subimages", ("--input", "in", "--output", "{disk}/out", "--crop_size", 64, "--step", 32)),
    "multiscale": ("generate_multiscale_DF2K", ("--input", "in", "--output", "{disk}/out")),
    "meta": ("generate_meta_info", ("--input", "in", "--root", "in", "--meta_info", "{disk}/meta.txt")),
    "lmdb": ("create_lmdb", ("--input", "in", "--output", "{disk}/a.lmdb")),
    "convert": ("convert_weights", ("--input", "{model}", "--output", "{disk}/a.safetensors")),
    "onnx": ("pytorch2onnx", ("--input", "{model}", "--output", "{disk}/a.onnx")),
}
# 결과가 아주 작아서 한 쪽(4KB)에 든다. 가득 찬 디스크는 이미 찬 것으로 본다.
SMALL = ("report", "meta", "convert", "onnx")


@pytest.fixture
def inputs(tmp_path: Path) -> None:
    """어느 쓰기에도 넉넉히 큰 입력들."""
    import numpy as np
    from PIL import Image

    noise = np.random.default_rng(0).integers(0, 255, (300, 400, 3), np.uint8)
    Image.fromarray(noise).save(tmp_path / "a.png")
    draw(tmp_path / "small.png")
    frames = [Image.fromarray(np.roll(noise, shift, 0)).quantize(64) for shift in (0, 9, 20)]
    frames[0].save(tmp_path / "moving.gif", save_all=True, append_images=frames[1:], duration=40)
    for index in range(12):
        path = tmp_path / "in" / f"{index}.png"
        path.parent.mkdir(exist_ok=True)
        Image.fromarray(np.roll(noise, index, 1)).save(path)
    make_video(tmp_path / "a.mp4", 60, (160, 120))


@pytest.mark.parametrize("writer", sorted(WRITERS))
@pytest.mark.parametrize("state", ["full", "read only"])
def test_a_disk_that_takes_nothing_is_told_and_nothing_half_made_is_left(
    tmp_path, start, mounted, inputs, picture_model, writer, state
):
    if writer == "lmdb":
        pytest.importorskip("lmdb")
    if writer == "onnx":
        pytest.importorskip("onnx")
    command, arguments = WRITERS[writer]
    disk = mounted("64m" if state == "read only" else "64k" if command == "video" else "256k")
    (disk / "mine.txt").write_text("소중한 것")
    if state == "full" and writer in SMALL:
        (disk / "filler").write_bytes(b"")
        with (disk / "filler").open("wb", buffering=0) as file:
            try:
                while True:
                    file.write(bytes(4096))
            except OSError:
                pass
    if state == "read only":
        read_only(disk)
    before = contents(disk)
    line = [str(one).format(disk=disk, model=picture_model[1]) for one in arguments]
    task = start(command, *line, *(picture_model if command in ("image", "video") else ()))
    code = task.wait()
    assert code in (1, 2), (code, task.said[-2000:])
    assert_plain(task.said)
    assert "가득 찼습니다" in task.said if state == "full" else "읽기 전용" in task.said, task.said[-2000:]
    assert before.items() <= contents(disk).items()
    assert [name for name in leftovers(disk) if name.endswith(".part")] == []
    made = [
        path for path in disk.rglob("*") if path.suffix in (".png", ".jpg", ".webp", ".tif", ".bmp", ".avif", ".gif")
    ]
    for path in made:
        read_image(path)


def test_training_on_a_full_disk_keeps_the_last_whole_checkpoint(tmp_path, mounted):
    pytest.importorskip("basicsr")
    from realesrgan.models.checkpoint import CheckpointFolders, find_newest_valid
    from tests.training.tiny_run import run_train, tiny_options, write_options

    disk = mounted("700k")
    options = tiny_options(disk)
    options["train"]["total_iter"] = 40
    options["logger"]["save_checkpoint_freq"] = 2
    write_options(disk, options)
    done = run_train(disk)
    assert done.returncode in (1, 2) and "해결" in done.stderr, done.stdout[-500:] + done.stderr[-1500:]
    assert "Traceback" not in done.stderr
    root = disk / "experiments" / "tiny"
    assert not leftovers(root)
    assert find_newest_valid(CheckpointFolders(root / "models", root / "training_states")) is not None


@pytest.mark.parametrize("files", [24, 48, 96])
def test_few_open_files_are_enough_or_told(tmp_path, start, picture_model, files):
    for index in range(20):
        draw(tmp_path / "in" / f"{index}.png", seed=index)
    make_video(tmp_path / "a.mp4", 60)
    for command, line in (("image", ("-i", "in", "-o", "out")), ("video", ("-i", "a.mp4", "-o", "b.mp4"))):
        task = start(command, *line, *picture_model, limits={"RLIMIT_NOFILE": files})
        code = task.wait()
        assert_plain(task.said)
        assert code == 0 or (code == 1 and "열린 파일이 너무 많습니다" in task.said), task.said[-2000:]
    assert not leftovers(tmp_path)


@pytest.mark.parametrize("command", ["image", "video"])
@pytest.mark.parametrize("megabytes", [60, 250, 1000, 3000])
def test_little_memory_is_enough_or_told(tmp_path, start, picture_model, command, megabytes):
    """명령을 불러온 뒤에 더 쓸 수 있는 주소 공간의 한도. 넉넉하면 되고, 모자라면 말한다.

    메모리를 얻지 못한 것을 살피지 않는 네이티브 라이브러리(ncnn, x264)가 죽는 것은 파이썬에서 막을 수 없다.
    """
    source, made = ("a.png", "b.png") if command == "image" else ("a.mp4", "b.mp4")
    if command == "image":
        draw(tmp_path / source, 1500, 2000)
    else:
        make_video(tmp_path / source, 30, (320, 240))
    task = start(command, "-i", source, "-o", made, *picture_model, limits={"RLIMIT_AS": megabytes << 20})
    code = task.wait()
    assert_plain(task.said)
    assert code in (0, 1, 2) or code < 0, (code, task.said)
    assert code == 0 or megabytes < 3000, (code, task.said)
    if code in (1, 2):
        assert "해결:" in task.said, task.said
    if code < 0:
        return
    assert not leftovers(tmp_path) and (tmp_path / made).exists() == (code == 0)


def jump_clock() -> None:
    """`time.time`이 앞뒤로 하루씩 건너뛰게 한다."""
    real, choose = time.time, random.Random(0)
    time.time = lambda: real() + choose.choice((-1, 0, 1)) * 86400.0


def test_a_jumping_clock_changes_nothing(tmp_path, start, picture_model):
    for index in range(8):
        draw(tmp_path / "in" / f"{index}.png", seed=index)
    make_video(tmp_path / "a.mp4", 150)
    for name, setup in (("plain", None), ("jumping", jump_clock)):
        line = ("-i", "in", "-o", f"{name}/p", "--report", f"{name}.json")
        assert start("image", *line, *picture_model, setup=setup).wait() == 0
        task = start(
            "video", "-i", "a.mp4", "-o", f"{name}/v.mp4", "--report", f"{name} v.json", *picture_model, setup=setup
        )
        assert task.wait() == 0, task.said
    assert contents(tmp_path / "plain") == contents(tmp_path / "jumping")
    for report in ("jumping.json", "jumping v.json"):
        found = json.loads((tmp_path / report).read_text(encoding="utf-8"))
        assert 0 <= found["seconds"] < 600 and all(0 <= row["seconds"] < 600 for row in found["files"])


@pytest.mark.parametrize("days", [-400, 400])
def test_inputs_from_the_past_and_the_future_are_taken_alike(tmp_path, start, days):
    """시계가 틀렸던 때에 만든 파일. 데이터셋 도구는 시각으로 다 된 것을 알아본다."""
    source = draw(tmp_path / "in" / "a.png", 64, 64)
    moment = time.time() + days * 86400
    os.utime(source, (moment, moment))
    line = ("--input", "in", "--output", "out", "--crop_size", 32, "--step", 16, "--n_thread", 1)
    assert start("extract_subimages", *line).wait() == 0
    first = contents(tmp_path / "out")
    assert start("extract_subimages", *line).wait() == 0
    assert first == contents(tmp_path / "out")


def test_two_processes_make_one_picture_whole(tmp_path, start, picture_model):
    for index in range(times(10)):
        draw(tmp_path / "in" / f"{index}.png", 60, 80, seed=index)
    tasks = [start("image", "-i", "in", "-o", "out", *picture_model) for _ in range(3)]
    assert [task.wait() for task in tasks] == [0, 0, 0]
    assert start("image", "-i", "in", "-o", "alone", *picture_model).wait() == 0
    assert contents(tmp_path / "out") == contents(tmp_path / "alone") and not leftovers(tmp_path)


def test_a_second_process_for_one_video_is_refused(tmp_path, start, picture_model):
    make_video(tmp_path / "a.mp4", 600)
    line = ("-i", "a.mp4", "-o", "b.mp4", *picture_model)
    tasks = [start("video", *line) for _ in range(3)]
    codes = sorted(task.wait() for task in tasks)
    assert codes == [0, 2, 2], [task.said for task in tasks]
    refused = [task.said for task in tasks if "완료" not in task.said]
    assert all("같은 결과를 만들고" in said or "이미 있습니다" in said for said in refused), refused
    assert len(hashes(tmp_path / "b.mp4")) == 600 and not leftovers(tmp_path)


def test_two_processes_of_a_dataset_tool_do_not_spoil_each_other(tmp_path, start):
    for index in range(10):
        draw(tmp_path / "in" / f"{index}.png", 64, 96, seed=index)
    line = ("--input", "in", "--crop_size", 32, "--step", 16, "--n_thread", 1)
    tasks = [start("extract_subimages", *line, "--output", "out") for _ in range(2)]
    assert {task.wait() for task in tasks} <= {0, 2}
    assert start("extract_subimages", *line, "--output", "out").wait() == 0
    assert start("extract_subimages", *line, "--output", "alone").wait() == 0
    assert contents(tmp_path / "out") == contents(tmp_path / "alone") and not leftovers(tmp_path / "out")
