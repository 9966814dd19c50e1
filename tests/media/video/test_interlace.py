"""비월 비디오를 알아보고 편다."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import numpy as np
import pytest

from realesrgan.media.video import VideoReader
from realesrgan.media.video.interlace import FieldCount, is_interlaced
from tests.media.video import samples


def detect_interlaced(path: Path) -> bool:
    with closing(VideoReader(path)) as reader:
        return reader.looks_interlaced()


@pytest.mark.parametrize(("weave", "flagged"), [(True, True), (True, False), (False, True), (False, False)])
def test_the_content_decides_not_the_flag(weave: bool, flagged: bool, tmp_path: Path) -> None:
    path = samples.weave_video(tmp_path / "f.mp4", weave, flagged)
    assert detect_interlaced(path) is weave
    with closing(VideoReader(path)) as reader:
        assert reader.info.interlaced is flagged
    with path.open("rb") as file, closing(VideoReader(file)) as reader:
        assert reader.looks_interlaced() is weave
        assert len(list(reader.frames())) == 40


def test_a_still_video_follows_its_flag() -> None:
    assert is_interlaced(FieldCount(0, 3, 40, 40), declared=False)
    assert is_interlaced(FieldCount(1, 2, 0, 40), declared=True)
    assert not is_interlaced(FieldCount(3, 0, 0, 40), declared=False)


def test_telecine_with_a_flag_counts_as_interlaced() -> None:
    assert is_interlaced(FieldCount(16, 24, 40, 40), declared=True)
    assert not is_interlaced(FieldCount(2, 38, 40, 40), declared=True)


def test_deinterlacing_keeps_count_times_and_format_and_removes_the_comb(tmp_path: Path) -> None:
    path = samples.weave_video(tmp_path / "f.mp4", flagged=True)
    with closing(VideoReader(path)) as reader, closing(VideoReader(path, deinterlace=True)) as clean:
        woven, smooth = list(reader.frames()), list(clean.frames())
        assert clean.info.layout == reader.info.layout
    assert [frame.pts for frame in smooth] == [frame.pts for frame in woven]
    assert [frame.duration for frame in smooth] == [frame.duration for frame in woven]

    def comb(luma: np.ndarray) -> float:
        return float(np.abs(luma[1:-1].astype(float) * 2 - luma[:-2] - luma[2:]).mean())

    assert comb(smooth[20].planes[0]) < comb(woven[20].planes[0]) / 2


def test_deinterlacing_a_range_keeps_its_times(tmp_path: Path) -> None:
    path = samples.weave_video(tmp_path / "f.mp4", flagged=True)
    with closing(VideoReader(path, deinterlace=True)) as reader:
        whole = list(reader.frames())
        part = list(reader.frames(whole[10].pts, whole[20].pts))
    assert samples.same_frames(part, whole[10:20])


@pytest.mark.parametrize(("source", "size"), [("testsrc2", "640x360"), ("testsrc2", "160x90"), ("life", "160x90")])
def test_fine_moving_patterns_are_not_taken_for_fields(tmp_path: Path, source: str, size: str) -> None:
    """idet는 시험 화면의 자잘한 무늬를 비월로 본다. 표시가 없으면 빗살을 따로 확인한다."""
    assert not detect_interlaced(samples.lavfi_video(tmp_path / "f.mp4", source, size))
