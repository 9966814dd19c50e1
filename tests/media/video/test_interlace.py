"""비월 비디오를 알아보고 편다."""

from __future__ import annotations

import itertools
from contextlib import closing
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from realesrgan.media.video import VideoReader
from realesrgan.media.video.interlace import FieldCount, count_fields, is_interlaced
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
    assert is_interlaced([FieldCount(progressive=3, flagged=40, total=40)], declared=False)
    assert is_interlaced([FieldCount(top=1, progressive=2, total=40)], declared=True)
    assert not is_interlaced([FieldCount(top=3, near=9, total=40)], declared=False)


def test_telecine_with_a_flag_counts_as_interlaced() -> None:
    assert is_interlaced([FieldCount(16, 0, 24, 40, 40)], declared=True)
    assert not is_interlaced([FieldCount(2, 0, 38, 40, 40)], declared=True)


def test_orders_that_alternate_are_a_pattern_and_not_fields() -> None:
    assert is_interlaced([FieldCount(top=40, near=9, total=40)], declared=False)
    assert not is_interlaced([FieldCount(top=20, bottom=20, near=9, total=40)], declared=False)
    assert not is_interlaced([FieldCount(top=40, near=9, far=9, total=40)], declared=False)


@pytest.mark.parametrize("steps", ["tinterlace=interleave_top", "telecine=pattern=23"])
def test_fields_of_a_fine_pattern_are_seen_without_a_flag(tmp_path: Path, steps: str) -> None:
    path = tmp_path / "a.mp4"
    samples.ffmpeg("-f", "lavfi", "-i", "testsrc2=s=128x96:r=50:d=4", "-vf", f"{steps},format=yuv420p", "-c:v",
                   "libx264", path)  # fmt: skip
    assert detect_interlaced(path)


@pytest.mark.parametrize("step", [1, 2, 3])
def test_a_progressive_text_that_rolls_by_is_not_taken_for_fields(tmp_path: Path, step: int) -> None:
    """위아래로 흐르는 순차의 화면은 idet에게는 비월과 같다."""
    path = tmp_path / "a.mp4"
    rolled = f"crop=160:96:0:mod(n*{step}\\,300)"
    samples.ffmpeg("-f", "lavfi", "-i", "testsrc=s=160x480:r=25:d=4", "-vf", f"loop=-1:1,{rolled},format=yuv420p",
                   "-frames:v", "90", "-c:v", "libx264", path)  # fmt: skip
    assert not detect_interlaced(path)


def test_deinterlacing_keeps_count_times_and_format_and_removes_the_comb(tmp_path: Path) -> None:
    path = samples.weave_video(tmp_path / "f.mp4", flagged=True)
    with closing(VideoReader(path)) as reader, closing(VideoReader(path, deinterlace="single")) as clean:
        woven, smooth = list(reader.frames()), list(clean.frames())
        assert clean.info.layout == reader.info.layout
    assert [frame.pts for frame in smooth] == [frame.pts for frame in woven]
    assert [frame.duration for frame in smooth] == [frame.duration for frame in woven]

    def comb(luma: np.ndarray) -> float:
        return float(np.abs(luma[1:-1].astype(float) * 2 - luma[:-2] - luma[2:]).mean())

    assert comb(smooth[20].planes[0]) < comb(woven[20].planes[0]) / 2


def test_deinterlacing_a_range_keeps_its_times(tmp_path: Path) -> None:
    path = samples.weave_video(tmp_path / "f.mp4", flagged=True)
    with closing(VideoReader(path, deinterlace="single")) as reader:
        whole = list(reader.frames())
        part = list(reader.frames(whole[10].pts, whole[20].pts))
    assert samples.same_frames(part, whole[10:20])


@pytest.mark.parametrize(("source", "size"), [("testsrc2", "640x360"), ("testsrc2", "160x90"), ("life", "160x90")])
def test_fine_moving_patterns_are_not_taken_for_fields(tmp_path: Path, source: str, size: str) -> None:
    """idet는 시험 화면의 자잘한 무늬를 비월로 보지만, 어느 줄이 먼저인지가 뒤섞여 나온다."""
    assert not detect_interlaced(samples.lavfi_video(tmp_path / "f.mp4", source, size))


def test_each_field_can_become_a_frame(tmp_path: Path) -> None:
    path = samples.weave_video(tmp_path / "f.mp4", flagged=True)
    with closing(VideoReader(path)) as reader, closing(VideoReader(path, deinterlace="double")) as fields:
        woven, smooth = list(reader.frames()), list(fields.frames())
        assert fields.info.rate == 2 * reader.info.rate and fields.info.time_base == reader.info.time_base / 2
        assert fields.packet_index().pts == tuple(2 * pts for pts in reader.packet_index().pts)
        part = list(fields.frames(smooth[21].pts, smooth[50].pts))
    assert len(smooth) == 2 * len(woven)
    gaps = {b.pts - a.pts for a, b in itertools.pairwise(smooth)}
    assert len(gaps) == 1 and smooth[0].pts == 2 * woven[0].pts
    assert samples.same_frames(part, smooth[21:50])
    # 한 프레임에 엮인 두 때가 서로 다른 프레임이 된다.
    assert np.abs(smooth[40].planes[0].astype(int) - smooth[41].planes[0]).mean() > 1


@pytest.fixture(scope="module")
def telecined(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """초당 24000/1001프레임의 필름과, 그것을 2:3 풀다운으로 옮긴 비디오."""
    folder = tmp_path_factory.mktemp("telecine")
    for name, steps, count in (("film.mp4", "null", 80), ("tape.mp4", "telecine=pattern=23", 100)):
        samples.ffmpeg("-f", "lavfi", "-i", "testsrc2=s=128x96:r=24000/1001:d=4", "-vf", steps, "-frames:v", str(count),
                       "-c:v", "libx264", "-crf", "4", "-g", "12", folder / name)  # fmt: skip
    return folder / "film.mp4", folder / "tape.mp4"


def test_inverse_telecine_gives_back_the_frames_of_the_film(telecined: tuple[Path, Path]) -> None:
    film, tape = telecined
    with closing(VideoReader(film)) as reader, closing(VideoReader(tape, deinterlace="ivtc")) as back:
        wanted, found = list(reader.frames()), list(back.frames())
        assert back.info.rate == Fraction(24000, 1001)
        part = list(back.frames(found[33].pts, found[60].pts))
    assert len(found) == len(wanted) == 80
    places = [(frame.pts - found[0].pts) * back.info.time_base * back.info.rate for frame in found]
    assert [round(place) for place in places] == list(range(80))
    assert max(abs(place - round(place)) for place in places) < Fraction(1, 20)
    error = [np.abs(a.planes[0].astype(int) - b.planes[0]).mean() for a, b in zip(wanted, found, strict=True)]
    assert np.median(error) < 3
    assert samples.same_frames(part, found[33:60])


def test_frames_that_change_their_size_midway_are_counted_without_being_compared() -> None:
    sizes = [(24, 32), (24, 32), (24, 96), (48, 64), (48, 64), (48, 64)]
    frames = [
        av.VideoFrame.from_ndarray(np.full(size, 40 * at, np.uint8), format="gray") for at, size in enumerate(sizes)
    ]
    assert count_fields(frames).total == len(sizes)
