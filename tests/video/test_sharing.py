"""서로 말하지 않는 실행들이 한 편의 조각을 나누어 키우고, 마지막 것이 하나로 잇는다."""

from __future__ import annotations

import itertools
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from realesrgan.errors import UsageError
from realesrgan.inference.model import Model, load
from realesrgan.video.settings import VideoResult, VideoSettings
from realesrgan.video.upscale import upscale_video
from tests.conftest import ROOT
from tests.scripts.command import run_script
from tests.video.samples import hashes, make_video

FRAMES = 500
COUNT = 3


@pytest.fixture
def model(nearest_weights: Callable[[int], Path]) -> Model:
    return load(nearest_weights(2), device="cpu", precision="fp32")


@pytest.fixture
def source(tmp_path: Path) -> Path:
    return make_video(tmp_path / "a.mp4", FRAMES, (16, 16), gop=24)


def share(source: Path, target: Path, model: Model, index: int, count: int = COUNT, **more: object) -> VideoResult:
    settings = VideoSettings(preset="ultrafast", shard_segments=(index, count), **more)  # type: ignore[arg-type]
    return upscale_video(source, target, model=model, settings=settings)


def whole(source: Path, target: Path, model: Model) -> VideoResult:
    return upscale_video(source, target, model=model, settings=VideoSettings(preset="ultrafast"))


def visible(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.parametrize("order", list(itertools.permutations(range(COUNT)))[::2])
def test_whichever_comes_last_joins_the_same_video(tmp_path, source, model, order):
    expected = whole(source, tmp_path / "whole.mp4", model)
    target = tmp_path / "out" / "b.mp4"
    made = [share(source, target, model, index) for index in order]
    assert [one.status for one in made] == ["waiting", "waiting", "done"]
    assert all("다른 몫" in str(one.reason) for one in made[:2])
    assert made[-1].frames == expected.frames == FRAMES
    assert target.read_bytes() == (tmp_path / "whole.mp4").read_bytes()
    assert visible(tmp_path / "out") == ["b.mp4"]


def test_a_share_run_again_does_only_what_is_left(tmp_path, source, model):
    target = tmp_path / "out" / "b.mp4"
    assert share(source, target, model, 0).status == "waiting"
    again = share(source, target, model, 0)
    assert (again.status, again.frames) == ("waiting", 0)
    segment = next((tmp_path / "out").glob(".realesrgan-*/000000.seg"))
    segment.write_bytes(b"broken")
    assert share(source, target, model, 0).frames > 0
    assert [share(source, target, model, index).status for index in (1, 2)] == ["waiting", "done"]
    assert share(source, target, model, 1).status == "skipped"
    assert len(hashes(target)) == FRAMES


def test_more_shares_than_segments_leave_nothing_undone(tmp_path, source, model):
    made = [share(source, tmp_path / "out" / "b.mp4", model, index, 9) for index in reversed(range(9))]
    assert [one.status for one in made].count("done") == 1 and visible(tmp_path / "out") == ["b.mp4"]


def test_work_that_is_not_the_same_is_not_mixed(tmp_path, source, model):
    target = tmp_path / "out" / "b.mp4"
    share(source, target, model, 0)
    with pytest.raises(UsageError, match="이어 할 수 없습니다"):
        share(source, target, model, 1, crf=30)
    assert [share(source, target, model, index).status for index in (1, 2)] == ["waiting", "done"]


@pytest.mark.parametrize("more", [{"overwrite": True}, {"on_change": "split"}])
def test_what_cannot_be_shared_is_told(tmp_path, source, model, more):
    with pytest.raises(UsageError, match="나눌 수 없습니다"):
        share(source, tmp_path / "b.mp4", model, 0, **more)


def test_processes_started_together_make_one_video_though_one_is_killed(tmp_path, source, model, nearest_weights):
    expected = tmp_path / "whole.mp4"
    whole(source, expected, model)

    def start(index: int) -> subprocess.Popen[str]:
        command = [sys.executable, str(ROOT / "inference_realesrgan_video.py"), "-i", str(source)]
        command += ["-o", str(tmp_path / "out" / "b.mp4"), "--preset", "ultrafast", "--fp32", "--device", "cpu"]
        command += ["--model_path", str(nearest_weights(2)), "-s", "2", "--backend", "torch"]
        command += ["--shard_segments", f"{index}/{COUNT}", "--report", str(tmp_path / f"{index}.json")]
        return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)

    started = [start(index) for index in range(COUNT)]
    started[1].kill()
    started[1].wait()
    finished = [(started[index].communicate(timeout=240)[1], started[index].returncode) for index in (0, 2)]
    assert [code for _, code in finished] == [0, 0], finished
    assert not (tmp_path / "out" / "b.mp4").exists()
    reports = [tmp_path / f"{index}.json" for index in (0, 2)]
    assert run_script("merge_reports", *reports, "--output", tmp_path / "all.json") == 1
    assert start(1).wait(240) == 0
    assert run_script("merge_reports", *reports, tmp_path / "1.json", "--output", tmp_path / "all.json") == 0
    row = json.loads((tmp_path / "all.json").read_text(encoding="utf-8"))["files"][0]
    assert (row["status"], row["frames"]) == ("done", FRAMES)
    assert hashes(tmp_path / "out" / "b.mp4") == hashes(expected)
    assert visible(tmp_path / "out") == ["b.mp4"]
