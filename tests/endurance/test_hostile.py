"""망가지거나 일부러 나쁘게 만든 이미지와 비디오: 죽지도, 멈추지도, 말없이 성공하지도, 임시 파일을 남기지도 않는다."""

from __future__ import annotations

import json
import random
from pathlib import Path

import numpy as np
import pytest

from realesrgan.media.image import probe_image, read_image
from tests.endurance.processes import assert_plain, leftovers, times
from tests.endurance.samples import DAMAGES, carried_pictures, damaged, good_pictures, hostile_pictures

pytest.importorskip("av")

from tests.media.video.samples import ffmpeg
from tests.video.samples import make_video


def rows_of(path: Path) -> dict[str, dict]:
    return {Path(row["input"]).name: row for row in json.loads(path.read_text(encoding="utf-8"))["files"]}


def check_rows(rows: dict[str, dict]) -> None:
    """모든 줄이 다 되었거나, 왜 안 되었는지와 해결을 한국어로 말한다."""
    for name, row in rows.items():
        assert row["status"] in ("done", "failed", "skipped", "refused"), (name, row)
        if row["status"] != "done":
            assert_plain(row["reason"])
            assert "해결" in row["reason"] or "이유" in row["reason"], (name, row["reason"])


def test_hostile_pictures_are_refused_and_the_rest_is_made(tmp_path, start, picture_model):
    folder = tmp_path / "in"
    folder.mkdir()
    made: dict[str, str] = {}
    for name, data, how in damaged(good_pictures(), times(180), seed=12):
        (folder / name).write_bytes(data)
        made[name] = how
    for name, data in hostile_pictures().items():
        (folder / name).write_bytes(data)
    for index, (name, data) in enumerate(carried_pictures(times(20))):
        (folder / f"carried {index} {name}").write_bytes(data)
        (folder / f"carried {index} cut {name}").write_bytes(data[: len(data) // 2])
        made[f"carried {index} cut {name}"] = "truncate"
    total = len(list(folder.iterdir()))
    task = start("image", "-i", "in", "-o", "out", "--report", "r.json", *picture_model)
    assert task.wait(600) == 1, task.said[-3000:]
    assert_plain(task.said)
    rows = rows_of(tmp_path / "r.json")
    assert len(rows) + task.said.count("앞선 실행의 결과로") >= total - 1
    check_rows(rows)
    for name, row in rows.items():
        if row["status"] == "done":
            assert made.get(name) != "truncate", (name, row)
            before, after = probe_image(folder / name), read_image(tmp_path / row["output"])
            assert after.first.array.shape[:2] == (2 * before.height, 2 * before.width), name
    assert not leftovers(tmp_path) and not (tmp_path / "hacked").exists()


def good_videos(folder: Path) -> dict[str, bytes]:
    """컨테이너와 코덱이 저마다 다른 작은 비디오들."""
    folder.mkdir()
    make_video(folder / "a.mp4", 24)
    names = {
        "b.mkv": ("-c:v", "libx264", "-c:a", "copy"),
        "c.webm": ("-c:v", "libvpx-vp9", "-pix_fmt", "yuv420p", "-c:a", "libopus"),
        "d.avi": ("-c:v", "mpeg4", "-pix_fmt", "yuv420p", "-c:a", "mp3"),
        "e.ts": ("-c:v", "libx264", "-pix_fmt", "yuv420p", "-c:a", "aac"),
        "f.mov": ("-c:v", "prores_ks", "-c:a", "pcm_s16le"),
        "g.mpg": ("-c:v", "mpeg2video", "-pix_fmt", "yuv420p", "-c:a", "mp2", "-ar", "44100"),
        "h.flv": ("-c:v", "flv", "-pix_fmt", "yuv420p", "-an"),
    }
    for name, options in names.items():
        ffmpeg("-i", folder / "a.mp4", *options, folder / name)
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_hostile_videos_are_refused_and_the_rest_is_made(tmp_path, start, picture_model):
    originals = good_videos(tmp_path / "good")
    folder = tmp_path / "in"
    folder.mkdir()
    for name, data, _ in damaged(originals, times(56), seed=7):
        (folder / name).write_bytes(data)
    for name, data in {
        "empty.mp4": b"",
        "text.mkv": b"#EXTM3U\nhttp://127.0.0.1:1/a.ts\n",
        "list.mp4": b"ffconcat version 1.0\nfile /etc/passwd\n",
        "noise.ts": random.Random(1).randbytes(20_000),
    }.items():
        (folder / name).write_bytes(data)
    task = start("video", "-i", "in", "-o", "out", "--report", "r.json", *picture_model)
    assert task.wait(600) == 1, task.said[-3000:]
    assert_plain(task.said)
    rows = rows_of(tmp_path / "r.json")
    assert len(rows) == len(list(folder.iterdir()))
    check_rows(rows)
    for name in ("empty.mp4", "text.mkv", "list.mp4", "noise.ts"):
        assert rows[name]["status"] in ("failed", "refused"), rows[name]
    for row in rows.values():
        if row["status"] == "done":
            assert row["frames"] > 0 and (tmp_path / row["output"]).is_file(), row
    assert not leftovers(tmp_path)


@pytest.mark.parametrize("damage", DAMAGES, ids=lambda one: one.__name__)
def test_a_damaged_picture_is_never_read_as_something_of_another_shape(tmp_path, damage):
    """읽기가 성공했으면 머리가 말한 모양 그대로다."""
    from realesrgan.errors import ImageReadError

    choose, path = random.Random(damage.__name__), tmp_path / "a"
    for index, (name, data) in enumerate(sorted(good_pictures().items()) * times(3)):
        path.write_bytes(damage(data, choose))
        try:
            info = probe_image(path)
            picture = read_image(path)
        except ImageReadError as error:
            assert_plain(str(error))
            continue
        array = picture.first.array
        assert array.shape[:2] == (info.height, info.width), (name, index)
        assert array.dtype in (np.uint8, np.uint16)
