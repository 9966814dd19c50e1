"""움직이는 이미지를 비디오로, 비디오를 움직이는 이미지로."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("av")

from realesrgan.errors import UsageError
from realesrgan.inference.model import load
from realesrgan.media.image import read_image, still, write_image
from realesrgan.media.picture import Frame, Picture
from realesrgan.video.plan import plan_spans
from realesrgan.video.settings import VideoSettings
from realesrgan.video.upscale import upscale_video
from tests.video.samples import hashes, make_video

LENGTHS = (100, 40, 200, 300)


@pytest.fixture
def model(nearest_weights):
    return load(nearest_weights(2), device="cpu")


def animation(path: Path, loop: int = 3) -> Path:
    arrays = [np.full((12, 16, 3), (20 * place, 60, 250 - 40 * place), np.uint8) for place in range(len(LENGTHS))]
    frames = [Frame(array, length) for array, length in zip(arrays, LENGTHS, strict=True)]
    write_image(path, Picture(frames, len(frames), loop=loop), **({"quality": 100} if path.suffix == ".webp" else {}))
    return path


@pytest.mark.parametrize("source", ["gif", "webp", "apng"])
@pytest.mark.parametrize("target", ["gif", "webp", "apng"])
def test_an_animation_keeps_its_frames_lengths_and_loops(source: str, target: str, tmp_path: Path, model) -> None:
    path = animation(tmp_path / f"a.{source}")
    done = upscale_video(path, tmp_path / f"b.{target}", model=model)
    made = read_image(tmp_path / f"b.{target}")
    assert done.status == "done" and (made.frame_count, made.loop) == (4, 3)
    assert [round(frame.duration) for frame in made] == list(LENGTHS)
    for frame, before in zip(made, read_image(path), strict=True):
        assert frame.array.shape[:2] == (24, 32)
        assert np.abs(frame.array[::2, ::2, :3].astype(int) - before.array[..., :3]).max() <= 6


def test_an_animation_becomes_a_film_and_a_film_an_animation(tmp_path: Path, model, monkeypatch) -> None:
    upscale_video(animation(tmp_path / "a.gif"), tmp_path / "b.mp4", model=model)
    assert [round(1000 * moment) for moment, _ in hashes(tmp_path / "b.mp4")] == [0, 100, 140, 340]
    monkeypatch.setattr(plan_spans, "__kwdefaults__", {"shortest": 8, "longest": 20})
    upscale_video(make_video(tmp_path / "v.mp4", 30, rate=25), tmp_path / "v.apng", model=model)
    made = read_image(tmp_path / "v.apng")
    assert made.frame_count == 30 and {round(frame.duration) for frame in made} == {40}
    fast = VideoSettings(fps=10)
    upscale_video(tmp_path / "v.mp4", tmp_path / "slow.gif", model=model, settings=fast)
    assert {round(frame.duration) for frame in read_image(tmp_path / "slow.gif")} == {100}


def test_a_still_image_is_not_a_film(tmp_path: Path, model) -> None:
    write_image(tmp_path / "a.png", still(np.zeros((8, 8, 3), np.uint8)))
    with pytest.raises(UsageError, match="움직이지 않는"):
        upscale_video(tmp_path / "a.png", tmp_path / "b.mp4", model=model)
