"""비디오를 읽는다: 프레임 수, 시각, 값, 회전, 색, 나쁜 입력."""

from __future__ import annotations

import io
import itertools
import os
import re
import struct
import subprocess
import sys
from contextlib import closing
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from realesrgan.errors import VideoDamagedError, VideoReadError
from realesrgan.media.video import Colour, EncodeRequest, VideoInfo, VideoReader, plan_encoding
from realesrgan.media.video.reader import OpenVideo
from realesrgan.video.plan import pts_range
from tests.media.video import samples
from tests.media.video.conftest import HEALTHY


def probe_video(path: Path | str) -> VideoInfo:
    with closing(VideoReader(path)) as reader:
        return reader.info


@pytest.mark.parametrize("name", HEALTHY)
def test_a_healthy_video_gives_every_frame_and_is_never_called_damaged(name: str, healthy: dict[str, Path]) -> None:
    with closing(VideoReader(healthy[name])) as reader:
        frames = list(reader.frames())
    assert len(frames) == len(samples.judged_times(healthy[name]))
    assert len(frames) == 30 or name == "theora.ogv"  # 이 인코더는 프레임을 건너뛴다.
    assert all(a.pts < b.pts for a, b in itertools.pairwise(frames))


@pytest.mark.parametrize("name", HEALTHY)
def test_segments_at_keyframes_equal_one_straight_read(name: str, healthy: dict[str, Path]) -> None:
    with closing(VideoReader(healthy[name])) as reader:
        whole = list(reader.frames())
        cuts = reader.packet_index().keyframes[1:]
        parts = [f for a, b in zip((None, *cuts), (*cuts, None), strict=True) for f in reader.frames(a, b)]
    assert samples.same_frames(parts, whole)


@pytest.mark.parametrize("name", ["tail.mp4", "opengop.mp4", "hevc.mp4", "plain.mkv", "h264.ts", "refresh.mp4"])
def test_any_range_equals_the_same_frames_of_a_straight_read(name: str, healthy: dict[str, Path]) -> None:
    with closing(VideoReader(healthy[name])) as reader:
        whole = list(reader.frames())
        for first, last in ((3, 9), (13, 14), (17, 29)):
            start, end = whole[first].pts, whole[last].pts
            assert samples.same_frames(list(reader.frames(start, end)), whole[first:last])
            assert samples.same_frames(list(reader.frames(start - 1, end + 1)), whole[first : last + 1])


@pytest.mark.parametrize("name", ["plain.mkv", "plain.nut", "plain.y4m", "head.mp4", "h264.ts", "h264.avi"])
def test_standard_input_gives_the_same_frames(name: str, healthy: dict[str, Path]) -> None:
    with closing(VideoReader(healthy[name])) as reader:
        whole = list(reader.frames())
    with subprocess.Popen(["cat", str(healthy[name])], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        with closing(VideoReader(process.stdout)) as piped:
            assert samples.same_frames(list(piped.frames()), whole)
            with pytest.raises(VideoReadError, match="한 번만"):
                next(piped.frames())
            with pytest.raises(VideoReadError, match="훑을 수 없습니다"):
                piped.packet_index()


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    gaps=st.lists(st.integers(1, 5000), min_size=3, max_size=10),
    start=st.integers(0, 20000),
    base=st.sampled_from([Fraction(1, 90000), Fraction(1, 12800), Fraction(1001, 24000), Fraction(1, 1000)]),
)
def test_variable_timestamps_and_start_offsets_are_kept(
    gaps: list[int], start: int, base: Fraction, tmp_path: Path
) -> None:
    times = [start + sum(gaps[:count]) for count in range(len(gaps) + 1)]
    path = samples.write_video(tmp_path / "v.mp4", times=times, time_base=base)
    with closing(VideoReader(path)) as reader:
        found = [frame.pts * reader.info.time_base for frame in reader.frames()]
    assert found == [pts * base for pts in times]


def test_decoded_values_are_exactly_the_lossless_source(tmp_path: Path) -> None:
    path = samples.write_video(tmp_path / "f.mkv", "ffv1", "yuv422p10le", count=4)
    with closing(VideoReader(path)) as reader:
        assert reader.info.layout.bits == 10
        for index, frame in enumerate(reader.frames()):
            expected = samples.planes(index, "yuv422p10le")
            assert all(np.array_equal(a, b) for a, b in zip(frame.planes, expected, strict=True))
            assert all(plane.flags.c_contiguous and plane.flags.writeable for plane in frame.planes)


@pytest.mark.parametrize("angle", [90, 180, 270])
def test_rotation_is_the_clockwise_angle_to_stand_upright(angle: int, tmp_path: Path) -> None:
    plain = samples.write_video(tmp_path / "p.mp4", count=3)
    samples.ffmpeg("-display_rotation", str(-angle), "-i", plain, "-c", "copy", tmp_path / "r.mp4")
    info = probe_video(tmp_path / "r.mp4")
    assert (info.rotation, info.mirrored) == (angle, False)
    assert info.display_size == ((48, 64) if angle % 180 else (64, 48))
    assert (info.width, info.height) == (64, 48)


def test_a_mirrored_video_says_so(tmp_path: Path) -> None:
    plain = samples.write_video(tmp_path / "p.mp4", count=3)
    samples.ffmpeg("-display_hflip", "-i", plain, "-c", "copy", tmp_path / "m.mp4")
    info = probe_video(tmp_path / "m.mp4")
    assert (info.rotation, info.mirrored) == (0, True)


@pytest.mark.parametrize(
    ("tags", "expected"),
    [
        ((1, 1, 1, 1), Colour(1, 1, 1, False)),
        ((6, 6, 6, 1), Colour(6, 6, 6, False)),
        ((5, 5, 6, 2), Colour(5, 5, 6, True)),
        ((9, 9, 16, 1), Colour(9, 9, 16, False)),
    ],
)
def test_colour_tags_are_read(tags: tuple[int, int, int, int], expected: Colour, tmp_path: Path) -> None:
    assert probe_video(samples.write_video(tmp_path / "c.mp4", colour=tags, count=3)).colour == expected


@pytest.mark.parametrize(("size", "matrix"), [((64, 48), 6), ((64, 576), 5), ((64, 720), 1)])
def test_an_untagged_video_gets_the_matrix_players_assume(size: tuple[int, int], matrix: int, tmp_path: Path) -> None:
    path = samples.write_video(tmp_path / "u.mp4", size=size, count=2, options={"preset": "ultrafast"})
    assert probe_video(path).colour.matrix == matrix


def test_the_rate_of_raw_dv_is_not_its_ticks(tmp_path: Path) -> None:
    """FFmpeg는 날(raw) DV의 평균 속도를 눈금의 수(60000)로 안다. 그대로 쓰면 mp4를 쓰지 못한다."""
    tape = tmp_path / "tape.dv"
    samples.ffmpeg("-f", "lavfi", "-i", "testsrc2=s=720x480:r=30000/1001:d=0.2", "-pix_fmt", "yuv411p", tape)
    with closing(VideoReader(tape)) as reader:
        assert reader.info.rate == Fraction(30000, 1001)


def test_aspect_ratio_rate_and_length_are_read(tmp_path: Path) -> None:
    info = probe_video(samples.write_video(tmp_path / "a.mp4", aspect=Fraction(32, 27), count=25))
    assert info.sample_aspect_ratio == Fraction(32, 27)
    assert (info.rate, info.frames) == (Fraction(25), 25)
    assert info.duration == pytest.approx(1)


@pytest.mark.parametrize(
    "name",
    ["-dash.mp4", "빈 칸;과 '따옴표\".mp4", "한글 이름.mp4", "f%03d.mp4", "concat:a|b.mp4", "http:x.mp4", "pipe:0.mp4"],
)
def test_hostile_names_are_only_names(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    samples.write_video(tmp_path / "plain.mp4", count=3).rename(tmp_path / name)
    monkeypatch.chdir(tmp_path)
    with closing(VideoReader(name)) as reader:
        assert len(list(reader.frames())) == 3


def test_a_playlist_cannot_open_other_files(tmp_path: Path) -> None:
    samples.write_video(tmp_path / "secret.mp4", count=3)
    for name, text in (
        ("list.mp4", "ffconcat version 1.0\nfile secret.mp4\n"),
        ("list.mkv", "#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\nsecret.mp4\n#EXT-X-ENDLIST\n"),
    ):
        (tmp_path / name).write_text(text)
        with pytest.raises(VideoReadError):
            probe_video(tmp_path / name)


def test_bad_inputs_are_named_in_korean(tmp_path: Path) -> None:
    (tmp_path / "empty.mp4").write_bytes(b"")
    (tmp_path / "text.mp4").write_text("비디오가 아니다\n" * 100, "utf-8")
    samples.ffmpeg("-f", "lavfi", "-i", "sine=d=0.2", tmp_path / "audio.mp4")
    samples.ffmpeg("-f", "lavfi", "-i", "color=red:s=16x16", "-frames:v", "1", tmp_path / "p.png")
    samples.ffmpeg("-f", "lavfi", "-i", "color=red:s=16x16", "-frames:v", "1", tmp_path / "p.jpg")
    samples.ffmpeg("-i", samples.click_wave(tmp_path / "c.wav"), "-i", tmp_path / "p.png", "-map", "0", "-map", "1",
                 "-disposition:v", "attached_pic", tmp_path / "song.mp3")  # fmt: skip
    for name, word in (
        ("missing.mp4", "파일이나 폴더가 없습니다"),
        ("", "폴더입니다"),
        ("empty.mp4", "비어 있습니다"),
        ("text.mp4", "비디오 파일이 아니거나"),
        ("audio.mp4", "소리만"),
        ("song.mp3", "소리만"),
        ("p.png", "이미지 파일"),
        ("p.jpg", "이미지 파일"),
    ):
        with pytest.raises(VideoReadError, match=word) as caught:
            probe_video(tmp_path / name)
        assert "이유:" in str(caught.value)
        assert "해결:" in str(caught.value)


def test_a_video_without_frames_is_refused(tmp_path: Path) -> None:
    plain = samples.write_video(tmp_path / "p.mkv", count=2)
    samples.ffmpeg("-i", plain, "-frames:v", "0", "-c", "copy", tmp_path / "none.mkv")
    with pytest.raises(VideoReadError, match=r"프레임을 하나도|비디오가 아닌|깨졌"):
        probe_video(tmp_path / "none.mkv")


@pytest.mark.skipif(sys.platform == "win32" or os.geteuid() == 0, reason="관리자는 무엇이든 읽는다")
def test_an_unreadable_file_is_refused(tmp_path: Path) -> None:
    path = samples.write_video(tmp_path / "p.mp4", count=2)
    path.chmod(0)
    with pytest.raises(VideoReadError, match="권한"):
        probe_video(path)


@pytest.fixture
def changing(tmp_path: Path) -> Path:
    """10프레임째에 64x48에서 96x48로 바뀌는 방송."""
    parts = []
    for number, width in enumerate((64, 96)):
        path = samples.write_video(
            tmp_path / f"{number}.ts", "mpeg2video", size=(width, 48), time_base=1 / samples.RATE,
            times=range(10 * number, 10 * number + 10), options={"g": "5", "bf": "0"},
        )  # fmt: skip
        parts.append(path.read_bytes())
    joined = tmp_path / "changing.ts"
    joined.write_bytes(b"".join(parts))
    return joined


def test_a_change_of_size_stops_with_the_cuts_and_the_cuts_work(changing: Path) -> None:
    with closing(VideoReader(changing)) as reader:
        seen: list[int] = []
        with pytest.raises(VideoDamagedError, match="도중에 화면") as caught:
            seen += [frame.pts for frame in reader.frames()]
        found = re.search(r"--end ([0-9.]+), 뒷부분은 --start ([0-9.]+)", str(caught.value))
        assert found is not None
        first, last = pts_range(reader.info, reader.packet_index(), Fraction(found[2]), Fraction(found[1]) + 10)
        _, end = pts_range(reader.info, reader.packet_index(), None, Fraction(found[1]))
        head = list(reader.frames(None, end))
        assert len(head) >= 8 and {frame.planes[0].shape for frame in head} == {(48, 64)}
        assert first is not None and last is not None
        reader.describe_at(first)
        assert (reader.info.width, reader.info.height) == (96, 48)
        tail = list(reader.frames(first, last))
        assert len(tail) >= 9 and {frame.planes[0].shape for frame in tail} == {(48, 96)}


def test_a_change_of_size_can_be_fitted_to_the_first_shape(changing: Path) -> None:
    with closing(VideoReader(changing)) as reader:
        reader.fit_changes = True
        frames = list(reader.frames())
    assert len(frames) >= 18 and {frame.planes[0].shape for frame in frames} == {(48, 64)}
    luma = frames[-1].planes[0]
    # 96x48의 비율(2:1)을 지키면 64x32이고, 위아래 여덟 줄은 검다.
    assert (luma[:8] == 16).all() and (luma[-8:] == 16).all() and luma[10:38].std() > 20


def test_the_changes_of_shape_are_found_without_enlarging(changing: Path) -> None:
    with closing(VideoReader(changing)) as reader:
        (cut,) = reader.shape_changes()
        times = reader.packet_index().pts
        assert cut in times[9:12]


@pytest.fixture
def widening(tmp_path: Path) -> Path:
    """크기는 그대로고 열 프레임째에 픽셀의 비율만 1:1에서 4:3으로 바뀌는 방송."""
    parts = []
    for number, aspect in enumerate(("1", "4/3")):
        path = tmp_path / f"{number}.ts"
        samples.ffmpeg("-f", "lavfi", "-i", "testsrc2=s=64x48:r=25:d=0.4", "-vf", f"setsar={aspect}", "-c:v",
                       "mpeg2video", "-g", "5", "-bf", "0", "-output_ts_offset", 0.4 * number, path)  # fmt: skip
        parts.append(path.read_bytes())
    joined = tmp_path / "widening.ts"
    joined.write_bytes(b"".join(parts))
    return joined


def test_a_change_of_the_aspect_alone_is_a_change_of_shape(widening: Path) -> None:
    with closing(VideoReader(widening)) as reader:
        with pytest.raises(VideoDamagedError, match="비율 4/3"):
            list(reader.frames())
        (cut,) = reader.shape_changes()
        reader.fit_changes = True
        frames = list(reader.frames())
        last = frames[-1].planes[0]
        # 4:3으로 넓은 것은 48줄 가운데 36줄이고 위아래는 검다.
        assert (last[:5] == 16).all() and (last[-5:] == 16).all() and last[7:41].std() > 20
        reader.fit_changes = False
        reader.describe_at(cut)
        assert reader.info.sample_aspect_ratio == Fraction(4, 3)
        assert len(list(reader.frames(cut))) >= 9


def test_a_broadcast_that_starts_over_keeps_every_frame(tmp_path: Path) -> None:
    """시각이 0으로 돌아가는 이어 붙인 방송도 프레임을 버리지 않고 시각이 늘어난다."""
    part = samples.write_video(tmp_path / "a.ts", "mpeg2video", count=60, time_base=1 / samples.RATE, times=range(60))
    joined = tmp_path / "c.ts"
    joined.write_bytes(part.read_bytes() * 2)
    with closing(VideoReader(joined)) as reader:
        frames = list(reader.frames())
        assert len(reader.packet_index().keyframes) == 1
    assert len(frames) == 120
    assert all(a.pts < b.pts for a, b in itertools.pairwise(frames))


def test_the_default_stream_is_the_video_and_the_other_is_named(tmp_path: Path) -> None:
    samples.write_video(tmp_path / "a.mp4", count=3)
    samples.write_video(tmp_path / "b.mp4", count=3, size=(96, 64))
    samples.ffmpeg("-i", tmp_path / "a.mp4", "-i", tmp_path / "b.mp4", "-map", "0", "-map", "1", "-c", "copy",
                 "-disposition:v:0", "0", "-disposition:v:1", "default", tmp_path / "two.mkv")  # fmt: skip
    info = probe_video(tmp_path / "two.mkv")
    assert (info.width, info.height) == (96, 64)
    assert any("2개" in warning for warning in info.warnings)


def test_the_alpha_of_vp9_is_not_dropped(tmp_path: Path) -> None:
    path = samples.write_video(
        tmp_path / "a.webm", "libvpx-vp9", "yuva420p", count=4, options={"auto-alt-ref": "0", "lossless": "1"}
    )
    with closing(VideoReader(path)) as reader:
        assert reader.info.layout.alpha
        for index, frame in enumerate(reader.frames()):
            assert np.array_equal(frame.planes[3], samples.planes(index, "yuva420p")[3])


def test_hdr_metadata_is_read(tmp_path: Path) -> None:
    path = samples.write_video(
        tmp_path / "h.mp4", "libx265", "yuv420p10le", size=(64, 64), count=4, options={"x265-params": samples.HDR10},
        colour=(9, 9, 16, 1),
    )  # fmt: skip
    info = probe_video(path)
    assert info.colour == Colour(9, 9, 16, False)
    assert info.side_data["content_light"] == (1000, 400)
    display = info.side_data["mastering_display"]
    assert display["red"] == (Fraction(17, 25), Fraction(8, 25))
    assert display["luminance"] == (Fraction(1, 200), 1000)


@pytest.mark.parametrize(("number", "siting"), [(0, "left"), (1, "center"), (2, "topleft"), (5, "bottom")])
def test_the_siting_of_chroma_is_read(tmp_path: Path, number: int, siting: str) -> None:
    options = {"x264-params": f"chromaloc={number}"}
    path = samples.write_video(tmp_path / "s.mp4", "libx264", "yuv420p", count=2, options=options)
    info = probe_video(path)
    assert info.colour.siting == siting
    plan = plan_encoding(info, EncodeRequest(), "mp4", (2 * info.width, 2 * info.height))
    assert plan.colour.siting == "left"


def test_closing_does_not_close_the_callers_stream(tmp_path: Path) -> None:
    data = io.BytesIO(samples.write_video(tmp_path / "a.mkv", count=2).read_bytes())
    with closing(VideoReader(data)) as reader:
        assert len(list(reader.frames())) == 2
    assert not data.closed


def test_a_display_matrix_that_is_not_a_quarter_turn_is_told(tmp_path: Path) -> None:
    plain = samples.write_video(tmp_path / "p.mp4", count=2)
    data = bytearray(plain.read_bytes())
    place = data.index(b"tkhd") + 4 + 40
    half = 46341  # cos 45도의 16.16 고정소수점
    data[place : place + 20] = struct.pack(">5i", half, half, 0, -half, half)
    plain.write_bytes(bytes(data))
    info = probe_video(plain)
    assert info.rotation == 0
    assert any("90도" in warning for warning in info.warnings)


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("edit.mp4", ("-ss", "0.5", "-i", "{tail}", "-c", "copy")),
        ("late.mp4", ("-itsoffset", "0.7", "-i", "{tail}", "-i", "{tail}", "-map", "0:v", "-map", "1:a", "-c", "copy")),
        ("late.mkv", ("-itsoffset", "0.7", "-i", "{tail}", "-i", "{tail}", "-map", "0:v", "-map", "1:a", "-c", "copy")),
        ("short.mkv", ("-i", "{tail}", "-i", "{tail}", "-map", "0:v", "-map", "1:a", "-t", "0.6", "-c", "copy")),
        ("mute.mp4", ("-i", "{tail}", "-an", "-c", "copy")),
        ("live.mkv", ("-i", "{plain}", "-c", "copy", "-live", "1")),
        ("two.mp4", ("-i", "{tail}", "-i", "{plain}", "-map", "0", "-map", "1:a", "-c", "copy", "-shortest")),
    ],
)
def test_remuxed_videos_with_offsets_and_edit_lists_are_healthy(
    name: str, arguments: tuple[str, ...], healthy: dict[str, Path], tmp_path: Path
) -> None:
    paths = {"tail": healthy["tail.mp4"], "plain": healthy["plain.mkv"]}
    samples.ffmpeg(*(argument.format(**paths) for argument in arguments), tmp_path / name)
    with closing(VideoReader(tmp_path / name)) as reader:
        frames = list(reader.frames())
        cuts = reader.packet_index().keyframes[1:]
        parts = [f for a, b in zip((None, *cuts), (*cuts, None), strict=True) for f in reader.frames(a, b)]
        base = reader.info.time_base
    assert samples.same_frames(parts, frames)
    assert [frame.pts * base for frame in frames] == samples.judged_times(tmp_path / name)


@pytest.mark.skipif(sys.platform == "win32", reason="이름 있는 파이프는 POSIX에만 있다")
def test_a_named_pipe_is_refused_instead_of_hanging(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.mp4")
    with pytest.raises(VideoReadError, match="표준 입력"):
        probe_video(tmp_path / "pipe.mp4")


@pytest.mark.skipif(sys.platform != "linux", reason="UTF-8이 아닌 이름은 리눅스에만 있다")
def test_a_name_that_is_not_utf8_is_opened(tmp_path: Path) -> None:
    path = tmp_path / os.fsdecode(b"\xff\xfe.mp4")
    samples.write_video(tmp_path / "plain.mp4", count=3).rename(path)
    with closing(VideoReader(path)) as reader:
        assert len(list(reader.frames())) == 3
    samples.remake(path, tmp_path / os.fsdecode(b"\xfd.mkv"), "matroska")
    assert probe_video(tmp_path / os.fsdecode(b"\xfd.mkv")).width == 64


@pytest.mark.parametrize("name", ["tail.mp4", "plain.mkv", "h264.ts", "h264.avi"])
def test_one_reader_can_be_read_at_two_places_and_again(name: str, healthy: dict[str, Path]) -> None:
    with closing(VideoReader(healthy[name])) as reader:
        index = reader.packet_index()
        first, second = reader.frames(), reader.frames()
        both = [(next(first), next(second)) for _ in range(3)]
        second.close()
        whole = [pair[0] for pair in both] + list(first)
        assert samples.same_frames([pair[1] for pair in both], whole[:3])
        assert samples.same_frames(list(reader.frames()), whole) and len(whole) == 30
        assert reader.packet_index() == index
    with closing(VideoReader(healthy[name])) as again:
        assert again.packet_index() == index


def test_parts_begin_at_the_very_frame_whose_aspect_changes(tmp_path: Path) -> None:
    """디코더의 비율은 아직 나오지 않은 프레임의 것이라 몇 프레임 앞선다."""
    paths = []
    for number, aspect in enumerate(("1/1", "2/1")):
        path = tmp_path / f"{number}.ts"
        samples.ffmpeg("-f", "lavfi", "-i", "testsrc2=s=96x64:r=25:d=2,format=yuv420p", "-vf", f"setsar={aspect}",
                       "-c:v", "libx264", "-g", "25", "-output_ts_offset", str(number * 3), path)  # fmt: skip
        paths.append(path)
    joined = tmp_path / "a.ts"
    joined.write_bytes(b"".join(path.read_bytes() for path in paths))
    with closing(VideoReader(joined)) as reader:
        changes = reader.shape_changes()
        pts = reader.packet_index().pts
        assert [pts.index(moment) for moment in changes] == [50]
        with pytest.raises(VideoDamagedError, match="비율 2") as caught:
            list(reader.frames())
    end, start = re.search(r"--end ([\d.]+), 뒷부분은 --start ([\d.]+)", str(caught.value)).groups()
    with closing(VideoReader(joined)) as reader:
        first, _ = pts_range(reader.info, reader.packet_index(), Fraction(start), Fraction(end) + 9)
        assert sum(moment < first for moment in pts) == 50 and end == start


def test_the_threads_of_the_decoder_rest_before_the_container_is_let_go(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """PyAV는 GIL을 쥔 채 디코더를 놓으므로, 그때 글을 남기려는 스레드가 있으면 서로를 기다린다."""
    path = samples.write_video(tmp_path / "a.mp4")
    rested: list[OpenVideo] = []
    flush = OpenVideo.flush
    monkeypatch.setattr(OpenVideo, "flush", lambda self: (rested.append(self), flush(self))[1])
    reader = VideoReader(path)
    frames = reader.frames()
    next(frames)
    rested.clear()
    reader.close()
    frames.close()
    assert len(rested) == 1


CLOSED_EARLY = """
import logging, sys
import av
from realesrgan.media.video import VideoReader

logging.disable(logging.CRITICAL)
av.logging.set_level(av.logging.VERBOSE)
reader = VideoReader(sys.argv[1])
reader.keep_going = True
frames = reader.frames()
next(frames)
frames.close()
reader.close()
"""


def test_a_program_that_hears_ffmpeg_ends_after_closing_in_the_middle(tmp_path: Path) -> None:
    path = samples.write_video(tmp_path / "a.mp4")
    for _ in range(2):
        subprocess.run([sys.executable, "-c", CLOSED_EARLY, str(path)], check=True, timeout=100)
