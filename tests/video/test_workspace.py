"""작업 폴더와 이어 하기의 기록."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from realesrgan.errors import UsageError, VideoWriteError
from realesrgan.media.video.types import SegmentTimes
from realesrgan.util.files import file_sha256, hidden_beside
from realesrgan.video.plan import Span
from realesrgan.video.workspace import Workspace, lock_target

SPANS = [Span(None, 10), Span(10, None)]
WORK = {"입력": "abc", "배율": 2}


def prepare(target: Path, work=WORK, spans=SPANS, resume=False, overwrite=False) -> Workspace:
    workspace = Workspace(hidden_beside(target))
    workspace.prepare(target, work, spans, resume=resume, overwrite=overwrite)
    return workspace


def finish(workspace: Workspace, index: int, content: bytes = b"video") -> None:
    workspace.segment_path(index).write_bytes(content)
    workspace.commit(index, frames=3, offset=10 * index, repeats=1, times=SegmentTimes((0, 20, 10), 10))


def test_a_finished_segment_is_found_again_on_resume(tmp_path):
    finish(prepare(tmp_path / "영화.mp4"), 0)
    found = prepare(tmp_path / "영화.mp4", resume=True).verified()
    assert list(found) == [0]
    assert (found[0].frames, found[0].offset, found[0].repeats) == (3, 0, 1)
    assert found[0].times == SegmentTimes((0, 20, 10), 10)


def test_a_segment_without_its_record_is_not_finished(tmp_path):
    workspace = prepare(tmp_path / "a.mp4")
    workspace.segment_path(0).write_bytes(b"video")
    assert workspace.verified() == {}


@pytest.mark.parametrize("damage", [b"", b"fil", b"bilm"])
def test_a_segment_that_changed_on_disk_is_done_again(tmp_path, damage):
    workspace = prepare(tmp_path / "a.mp4")
    finish(workspace, 0)
    finish(workspace, 1)
    workspace.segment_path(0).write_bytes(damage)
    assert list(workspace.verified()) == [1]


def test_a_damaged_record_is_ignored(tmp_path):
    workspace = prepare(tmp_path / "a.mp4")
    finish(workspace, 0)
    (workspace.folder / "000000.json").write_text('{"index": 0')
    (workspace.folder / "000001.json").write_text('{"index": 1}')
    assert workspace.verified() == {}


@pytest.mark.parametrize(
    "change",
    [
        {"holes": 3},
        {"holes": [1]},
        {"holes": [{"start": 1}]},
        {"frames": "3"},
        {"index": 1},
        {"size": -1},
        {"times": None},
        {"times": {"pts": [0, 1], "tail": 1}},
        {"times": {"pts": [0, 1, "2"], "tail": 1}},
        {"times": {"pts": [0, 1, 2]}},
    ],
)
def test_a_record_with_strange_values_is_ignored(tmp_path, change):
    workspace = prepare(tmp_path / "a.mp4")
    finish(workspace, 0)
    path = workspace.folder / "000000.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    assert workspace.verified() == {}


def test_a_manifest_with_strange_values_is_another_work(tmp_path):
    workspace = prepare(tmp_path / "a.mp4")
    (workspace.folder / "manifest.json").write_text('{"fingerprint": 3, "segments": null}')
    assert workspace.recorded_tile() is None and workspace.recorded_engine() is None
    with pytest.raises(UsageError, match="이어 할 수 없습니다"):
        prepare(tmp_path / "a.mp4", resume=True)


def test_work_left_behind_is_not_thrown_away_without_being_asked(tmp_path):
    finish(prepare(tmp_path / "a.mp4"), 0)
    with pytest.raises(UsageError, match="--resume"):
        prepare(tmp_path / "a.mp4")
    assert list(prepare(tmp_path / "a.mp4", resume=True).verified()) == [0]
    assert prepare(tmp_path / "a.mp4", overwrite=True).verified() == {}


@pytest.mark.parametrize(
    ("work", "spans", "named"),
    [({**WORK, "배율": 4}, SPANS, "배율"), ({"입력": "abc"}, SPANS, "배율"), (WORK, SPANS[:1], "조각")],
)
def test_resuming_other_work_is_refused_and_names_what_changed(tmp_path, work, spans, named):
    finish(prepare(tmp_path / "a.mp4"), 0)
    with pytest.raises(UsageError, match=named):
        prepare(tmp_path / "a.mp4", work, spans, resume=True)


def test_resuming_when_nothing_was_left_starts_anew(tmp_path):
    workspace = prepare(tmp_path / "a.mp4", resume=True)
    assert workspace.verified() == {}
    assert json.loads((workspace.folder / "manifest.json").read_text())["fingerprint"] == WORK


def test_two_targets_in_one_folder_do_not_share_a_workspace(tmp_path):
    assert hidden_beside(tmp_path / "a.mp4") != hidden_beside(tmp_path / "b.mp4")
    long = tmp_path / ("가" * 80 + ".mp4")
    assert len(hidden_beside(long).name.encode()) < 64


def test_removing_leaves_nothing(tmp_path):
    workspace = prepare(tmp_path / "a.mp4")
    finish(workspace, 0)
    workspace.remove()
    workspace.remove()
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be_written_is_a_named_error(tmp_path):
    (tmp_path / "파일").write_bytes(b"")
    with pytest.raises(VideoWriteError, match="작업 폴더"):
        prepare(tmp_path / "파일" / "a.mp4")


def test_the_hash_is_the_usual_sha256(tmp_path):
    (tmp_path / "x").write_bytes(b"abc")
    assert file_sha256(tmp_path / "x").startswith("ba7816bf8f01cfea")


def test_two_processes_cannot_make_the_same_result(tmp_path):
    with (
        lock_target(tmp_path / "a.mp4"),
        pytest.raises(UsageError, match="다른 프로세스"),
        lock_target(tmp_path / "a.mp4"),
    ):
        pass
    with lock_target(tmp_path / "a.mp4"), lock_target(tmp_path / "b.mp4"):
        pass
    assert list(tmp_path.iterdir()) == []


def test_an_old_result_left_in_the_workspace_by_a_kill_is_put_back(tmp_path):
    target = tmp_path / "이미지들"
    workspace = prepare(target)
    (workspace.folder / "old").mkdir()
    (workspace.folder / "old" / "00000000.png").write_bytes(b"precious")
    prepare(target, overwrite=True)
    assert (target / "00000000.png").read_bytes() == b"precious"


@pytest.mark.parametrize("size", [(1 << 32) - 1, 1 << 20])
def test_a_frame_of_a_spoiled_size_is_cut_away(tmp_path: Path, size: int) -> None:
    """적힌 크기가 파일보다 크면, 그만큼 읽어 보지 않고도 끊긴 것으로 안다."""
    from realesrgan.video import frame_store

    path = tmp_path / "0.frames"
    path.write_bytes(frame_store._RECORD.pack(3, 0, 1) + frame_store._PLANE.pack(size, size, 2) + bytes(64))
    assert frame_store.stored_frames(path) == {} and path.stat().st_size == 0
