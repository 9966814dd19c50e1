"""조각을 인코딩해 쓴다: 시각, 값, 원자성, 되풀이, 오류."""

from __future__ import annotations

import itertools
import subprocess
import sys
from contextlib import closing
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from realesrgan.errors import VideoDamagedError, VideoWriteError
from realesrgan.media.video import Colour, EncodePlan, Segment, SegmentTimes, SegmentWriter, VideoReader, join_video
from realesrgan.media.video.encoders import ENCODERS
from realesrgan.media.video.layouts import layout_of
from tests.media.video import samples

FAST = {
    "libx264": {"preset": "ultrafast", "bf": "2", "b-pyramid": "none"},
    "libx265": {"preset": "ultrafast", "x265-params": "log-level=none:bframes=2"},
    "libsvtav1": {"preset": "12"},
    "libvpx-vp9": {"cpu-used": "8", "lag-in-frames": "4"},
    "ffv1": {"level": "3"},
    "prores_ks": {"profile": "3"},
}
FORMATS = {"libx265": "yuv420p10le", "prores_ks": "yuv422p10le", "ffv1": "yuv444p12le"}
BASES = [Fraction(1, 90000), Fraction(1001, 24000), Fraction(1, 1000), Fraction(1, 25), Fraction(1, 1_000_000)]


def make_plan(codec: str = "libx264", base: Fraction = Fraction(1, 12800), pix_fmt: str | None = None) -> EncodePlan:
    pix_fmt = pix_fmt or FORMATS.get(codec, "yuv420p")
    options = dict(FAST[codec])
    if pix_fmt == "yuva420p":
        options |= {"auto-alt-ref": "0", "lossless": "1"}
    return EncodePlan(
        "mp4", codec, layout_of(pix_fmt), Colour(1, 1, 1), 64, 64, base, samples.RATE, pix_fmt=pix_fmt, options=options
    )


def write(path: Path, plan: EncodePlan, times: list[int], last: int = 1) -> SegmentTimes:
    with closing(SegmentWriter(path, plan)) as writer:
        for index, (pts, after) in enumerate(itertools.pairwise([*times, times[-1] + last])):
            writer.write(samples.planes(index, plan.layout.pix_fmt, 64, 64), pts, after - pts)
        assert writer.finish() == len(times)
    return writer.times


def held(path: Path, plan: EncodePlan) -> list[int]:
    """파일에 든 시각, 담긴 차례. 단위는 계획의 `time_base`."""
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        return [int(p.pts * stream.time_base / plan.time_base) for p in container.demux(stream) if p.size]


def join(path: Path, plan: EncodePlan, times: SegmentTimes) -> None:
    join_video([Segment(str(path), 0, times)], None, path.with_suffix(".mp4"), plan, None)


@pytest.mark.parametrize("codec", FAST)
@pytest.mark.parametrize("base", BASES[:2])
def test_every_codec_keeps_variable_timestamps_exactly(codec: str, base: Fraction, tmp_path: Path) -> None:
    times = [0, 1, 7, 8, 9, 30, 31, 100, 101, 150, 153, 154]
    plan = make_plan(codec, base)
    written = write(tmp_path / "a.seg", plan, times)
    assert sorted(written.pts) == times
    assert held(tmp_path / "a.seg", plan) == list(written.pts)


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(gaps=st.lists(st.integers(1, 40000), max_size=12), base=st.sampled_from(BASES))
def test_any_pattern_of_timestamps_is_kept(gaps: list[int], base: Fraction, tmp_path: Path) -> None:
    times = [sum(gaps[:count]) for count in range(len(gaps) + 1)]
    plan = make_plan(base=base)
    written = write(tmp_path / "a.seg", plan, times)
    assert sorted(written.pts) == times
    assert held(tmp_path / "a.seg", plan) == list(written.pts)


@pytest.mark.parametrize("codec", ["libx264", "libvpx-vp9", "ffv1"])
def test_the_last_frame_keeps_its_length(codec: str, tmp_path: Path) -> None:
    plan = make_plan(codec)
    written = write(tmp_path / "a.seg", plan, [0, 512, 1024, 1536, 2048], last=7777)
    assert written.tail == 7777
    join(tmp_path / "a.seg", plan, written)
    with av.open(str(tmp_path / "a.mp4")) as made:
        stream = made.streams.video[0]
        assert stream.duration * stream.time_base == (2048 + 7777) * plan.time_base


def test_a_lossless_segment_keeps_every_value(tmp_path: Path) -> None:
    for pix_fmt in ("yuv444p12le", "yuva420p", "gray16le", "gbrp10le"):
        plan = make_plan("ffv1", pix_fmt=pix_fmt)
        write(tmp_path / "a.seg", plan, [0, 1, 2])
        with closing(VideoReader(tmp_path / "a.seg")) as reader:
            for index, frame in enumerate(reader.frames()):
                expected = samples.planes(index, pix_fmt, 64, 64)
                assert all(np.array_equal(a, b) for a, b in zip(frame.planes, expected, strict=True))


def test_the_same_frames_give_the_same_bytes(tmp_path: Path) -> None:
    for codec in ("libx264", "libx265", "libsvtav1", "libvpx-vp9"):
        for name in ("a", "b"):
            write(tmp_path / name, make_plan(codec), [0, 512, 1024, 1536, 2048])
        assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes(), codec


def test_an_unfinished_segment_leaves_nothing(tmp_path: Path) -> None:
    with closing(SegmentWriter(tmp_path / "a.seg", make_plan())) as writer:
        writer.write(samples.planes(0, width=64, height=64), 0)
        assert not (tmp_path / "a.seg").exists()
    assert list(tmp_path.iterdir()) == []


def test_an_old_segment_survives_until_the_new_one_is_whole(tmp_path: Path) -> None:
    (tmp_path / "a.seg").write_bytes(b"old")
    with closing(SegmentWriter(tmp_path / "a.seg", make_plan())) as writer:
        writer.write(samples.planes(0, width=64, height=64), 0)
    assert (tmp_path / "a.seg").read_bytes() == b"old"


@pytest.mark.parametrize("times", [[1], [0, 0], [0, 5, 4]])
def test_times_that_do_not_grow_from_zero_are_our_mistake(times: list[int], tmp_path: Path) -> None:
    with closing(SegmentWriter(tmp_path / "a.seg", make_plan())) as writer, pytest.raises(ValueError, match="늘어나지"):
        for pts in times:
            writer.write(samples.planes(0, width=64, height=64), pts)


def test_a_segment_without_frames_is_refused(tmp_path: Path) -> None:
    with (
        closing(SegmentWriter(tmp_path / "a.seg", make_plan())) as writer,
        pytest.raises(VideoWriteError, match="하나도"),
    ):
        writer.finish()


def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    with (
        pytest.raises(VideoWriteError, match=r"없습니다[\s\S]*해결"),
        closing(SegmentWriter(tmp_path / "none" / "a.seg", make_plan())) as writer,
    ):
        writer.write(samples.planes(0, width=64, height=64), 0)
        writer.finish()


@pytest.mark.skipif(sys.platform == "win32", reason="파일 크기의 한도는 POSIX에만 있다")
def test_a_full_disk_is_an_error_and_leaves_nothing(tmp_path: Path) -> None:
    script = (
        "import resource, signal, sys\n"
        "from pathlib import Path\n"
        "from realesrgan.errors import VideoWriteError\n"
        "from tests.media.video.test_segment import make_plan, write\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (30000, 30000))\n"
        "try:\n"
        "    write(Path(sys.argv[1]), make_plan('ffv1'), list(range(40)))\n"
        "except VideoWriteError as error:\n"
        "    sys.exit(5 if '해결' in str(error) else 6)\n"
    )
    done = subprocess.run([sys.executable, "-c", script, str(tmp_path / "a.seg")], capture_output=True, text=True)
    assert done.returncode == 5, done.stderr
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("keep", [0, 10, 0.3, 0.9, -1])
def test_a_cut_segment_is_noticed(keep: float, tmp_path: Path) -> None:
    path = tmp_path / "a.seg"
    written = write(path, make_plan(), [0, 512, 1024, 1536])
    data = path.read_bytes()
    path.write_bytes(data[: int(keep * len(data))] if isinstance(keep, float) else data[:keep])
    with pytest.raises(VideoDamagedError, match="온전하지 않습니다"):
        join(path, make_plan(), written)
    assert not path.with_suffix(".mp4").exists()


@pytest.mark.parametrize("other", [(0, 1024), (0, 1024, 512, 1536), (0, 1030, 512), (0, 512, 1024)])
def test_a_segment_that_differs_from_its_record_is_noticed(other: tuple[int, ...], tmp_path: Path) -> None:
    written = write(tmp_path / "a.seg", make_plan(), [0, 512, 1024])
    assert written.pts == (0, 1024, 512)
    with pytest.raises(VideoDamagedError, match="온전하지 않습니다"):
        join(tmp_path / "a.seg", make_plan(), SegmentTimes(other))


def test_a_segment_of_another_size_is_noticed(tmp_path: Path) -> None:
    written = write(tmp_path / "a.seg", make_plan(), [0, 512])
    other = EncodePlan("mp4", "libx264", layout_of("yuv420p"), Colour(1), 32, 32, Fraction(1, 12800), samples.RATE)
    with pytest.raises(VideoDamagedError):
        join(tmp_path / "a.seg", other, written)


def test_a_missing_segment_is_noticed(tmp_path: Path) -> None:
    with pytest.raises(VideoDamagedError):
        join(tmp_path / "none.seg", make_plan(), SegmentTimes((0,)))


def test_every_codec_of_the_table_is_tried_here() -> None:
    assert {name for name in ENCODERS if not name.endswith("_nvenc")} == set(FAST)


@pytest.mark.parametrize("codec", FAST)
@pytest.mark.parametrize("count", [1, 2, 3, 5])
def test_a_segment_of_a_few_frames_can_be_written(tmp_path: Path, count: int, codec: str) -> None:
    """x265는 프레임이 두어 개뿐이면 인코딩 시각을 채우지 않는다."""
    plan = make_plan(codec)
    shape = (plan.layout.pix_fmt, plan.width, plan.height)
    with closing(SegmentWriter(tmp_path / "a.seg", plan)) as writer:
        for index in range(count):
            writer.write(samples.planes(index, *shape), index * 512, 512)
        assert writer.finish() == count
    assert sorted(writer.times.pts) == [index * 512 for index in range(count)]
    assert held(tmp_path / "a.seg", plan) == list(writer.times.pts)
