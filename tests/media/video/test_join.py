"""조각을 잇고 나머지 스트림을 담는다: 시각, 색, 소리, 자막, 챕터, 첨부, 구간."""

from __future__ import annotations

import itertools
import os
import re
import signal
import subprocess
import sys
from contextlib import closing
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from realesrgan.errors import VideoDamagedError, VideoWriteError
from realesrgan.media.video import (
    EncodeRequest,
    Segment,
    SegmentTimes,
    SegmentWriter,
    VideoReader,
    join_video,
    plan_encoding,
)
from tests.conftest import ROOT
from tests.media.video import samples

CONTAINERS = [("mp4", ".mp4"), ("mov", ".mov"), ("matroska", ".mkv"), ("webm", ".webm")]
QUICK = EncodeRequest(preset="ultrafast", options={"bf": "2"})


def times_of(path: Path) -> list[Fraction]:
    with closing(VideoReader(path)) as reader:
        return [frame.pts * reader.info.time_base for frame in reader.frames()]


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    gaps=st.lists(st.integers(1, 9000), min_size=4, max_size=24),
    start=st.integers(0, 9000),
    base=st.sampled_from([Fraction(1, 90000), Fraction(1, 12800), Fraction(1001, 24000)]),
    chunk=st.integers(1, 9),
)
def test_mp4_keeps_every_timestamp_exactly_over_the_seams(
    gaps: list[int], start: int, base: Fraction, chunk: int, tmp_path: Path
) -> None:
    times = [start + sum(gaps[:count]) for count in range(len(gaps) + 1)]
    source = samples.write_video(tmp_path / "in.mp4", times=times, time_base=base, options={"preset": "ultrafast"})
    samples.remake(source, tmp_path / "out.mp4", "mp4", request=QUICK, chunk=chunk)
    expected = [pts * base for pts in times]
    assert times_of(tmp_path / "out.mp4") == expected
    assert samples.judged_times(tmp_path / "out.mp4") == expected


def test_matroska_keeps_timestamps_to_the_millisecond_and_no_two_meet(tmp_path: Path) -> None:
    times = [0, 30, 60, 3000, 3700, 9000, 9010, 20000]
    source = samples.write_video(tmp_path / "in.mp4", times=times, time_base=Fraction(1, 90000))
    samples.remake(source, tmp_path / "out.mkv", "matroska", chunk=3)
    found = times_of(tmp_path / "out.mkv")
    assert len(found) == len(times)
    assert all(a < b for a, b in itertools.pairwise(found))
    for pts, moment in zip(times, found, strict=True):
        assert abs(moment - Fraction(pts, 90000)) <= Fraction(3, 1000)


@pytest.mark.parametrize(("container", "suffix"), CONTAINERS)
@pytest.mark.parametrize("tags", [(1, 1, 1, 1), (6, 6, 6, 1), (5, 5, 6, 2), (9, 9, 14, 1)])
def test_colour_tags_are_in_the_stream_and_the_container(
    container: str, suffix: str, tags: tuple[int, int, int, int], tmp_path: Path
) -> None:
    source = samples.write_video(tmp_path / "in.mp4", colour=tags, count=4, size=(64, 64))
    samples.remake(source, tmp_path / f"out{suffix}", container)
    names = {1: "bt709", 6: "smpte170m", 5: "bt470bg", 9: "bt2020", 14: "bt2020-10"}
    said = samples.describe(tmp_path / f"out{suffix}")
    line = next(line for line in said.splitlines() if "Video:" in line)
    assert ("pc" if tags[3] == 2 else "tv") in re.split(r"yuvj?420p\(", line)[1].split(",")[0]
    if container != "webm" or tags[0] != 9:  # VP9의 비트열에는 원색과 전달 함수가 없다.
        for tag in tags[:3]:
            assert names[tag] in line, line
    with closing(VideoReader(source)) as before, closing(VideoReader(tmp_path / f"out{suffix}")) as after:
        assert after.info.colour == before.info.colour


@pytest.mark.parametrize(("container", "suffix"), CONTAINERS)
def test_sound_stays_in_sync_to_the_sample(container: str, suffix: str, rich_mkv: Path, tmp_path: Path) -> None:
    target = tmp_path / f"out{suffix}"
    samples.remake(rich_mkv, target, container)
    for track in range(3):
        heard = samples.heard_clicks(target, track)
        expected = samples.heard_clicks(rich_mkv, track)
        # 그대로 담은 것은 1밀리초(Matroska의 눈금), 다시 인코딩한 것은 딱 소리의 번짐만큼까지 본다.
        assert heard == pytest.approx(expected, abs=0.0015), track
    assert times_of(target)[0] == 0
    assert samples.judged_times(target)[:3] == [0, Fraction(1, 25), Fraction(2, 25)]


@pytest.mark.parametrize(("container", "suffix"), CONTAINERS)
def test_sound_from_mp4_stays_in_sync_too(container: str, suffix: str, rich_mp4: Path, tmp_path: Path) -> None:
    """mp4의 AAC는 앞에 들리지 않는 덧댐이 있다. 비디오의 시각도 밀리지 않아야 한다."""
    target = tmp_path / f"out{suffix}"
    samples.remake(rich_mp4, target, container)
    for track in range(3):
        assert samples.heard_clicks(target, track) == pytest.approx(samples.heard_clicks(rich_mp4, track), abs=0.0015)
    assert times_of(target)[0] == 0


@pytest.mark.parametrize(("container", "suffix"), CONTAINERS)
@pytest.mark.parametrize("name", ["rich_mkv", "rich_mp4"])
def test_a_range_starts_at_zero_with_sound_in_sync(
    container: str, suffix: str, name: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    source: Path = request.getfixturevalue(name)
    target = tmp_path / f"out{suffix}"
    with closing(VideoReader(source)) as reader:
        base = reader.info.time_base
    samples.remake(source, target, container, int(Fraction(2, 5) / base), int(1 / base))
    assert times_of(target) == pytest.approx([n / 25 for n in range(15)], abs=0.0011)
    for track in range(3):
        assert samples.heard_clicks(target, track) == pytest.approx([0.2, 0.5], abs=0.0025), track
    with av.open(str(target)) as output:
        chapters = [
            (round(float(c["start"] * c["time_base"]), 3), round(float(c["end"] * c["time_base"]), 3))
            for c in output.chapters()
        ]
    assert chapters == [(0.0, 0.1), (0.1, 0.6)]
    assert "00:00:00,300 --> 00:00:00,6" in samples.ffmpeg(
        "-v", "error", "-i", target, "-map", "0:s:0", "-f", "srt", "-"
    )


def streams_of(path: Path) -> list[dict[str, Any]]:
    with av.open(str(path)) as container:
        return [
            {
                "type": stream.type,
                "codec": stream.codec_context.codec.canonical_name if stream.codec_context else None,
                "language": stream.metadata.get("language"),
                "title": stream.metadata.get("title") or stream.metadata.get("handler_name"),
                "disposition": int(stream.disposition),
            }
            for stream in container.streams
        ]


def test_matroska_carries_everything(rich_mkv: Path, tmp_path: Path) -> None:
    warnings = samples.remake(rich_mkv, tmp_path / "out.mkv", "matroska")
    assert warnings == ()
    assert [s | {"title": s["title"]} for s in streams_of(tmp_path / "out.mkv")] == streams_of(rich_mkv)
    with av.open(str(tmp_path / "out.mkv")) as output, av.open(str(rich_mkv)) as original:
        assert output.streams.attachments[0].data == original.streams.attachments[0].data
        assert output.streams.attachments[0].mimetype == "font/ttf"
        assert output.metadata["title"] == "제목"
        assert {key.lower() for key in output.metadata} >= {"title", "artist", "foo"}
        assert [c["metadata"]["title"] for c in output.chapters()] == ["첫 장", "둘째 장"]


def test_mp4_converts_subtitles_and_names_what_it_cannot_hold(rich_mkv: Path, tmp_path: Path) -> None:
    warnings = samples.remake(rich_mkv, tmp_path / "out.mp4", "mp4")
    assert any("font.ttf" in warning for warning in warnings)
    with av.open(str(tmp_path / "out.mp4")) as made:
        assert {key.lower(): value for key, value in made.metadata.items()}["foo"] == "bar"
    found = streams_of(tmp_path / "out.mp4")
    assert [s["codec"] for s in found[:5]] == ["h264", "aac", "ac3", "opus", "mov_text"]
    assert [s["language"] for s in found[1:5]] == ["kor", "eng", "und", "kor"]
    assert found[2]["title"] == "Commentary"
    text = samples.ffmpeg("-v", "error", "-i", tmp_path / "out.mp4", "-map", "0:s:0", "-f", "srt", "-")
    assert "00:00:00,100 --> 00:00:00,400\n안녕 <i>하세요</i>" in text
    data = (tmp_path / "out.mp4").read_bytes()
    assert data.index(b"moov") < data.index(b"mdat")


def test_webm_encodes_sound_and_says_so(rich_mkv: Path, tmp_path: Path) -> None:
    warnings = samples.remake(rich_mkv, tmp_path / "out.webm", "webm")
    assert sum("libopus로 바꾸어" in warning for warning in warnings) == 2
    assert [s["codec"] for s in streams_of(tmp_path / "out.webm")] == ["vp9", "opus", "opus", "opus", "webvtt"]


@pytest.mark.parametrize(("container", "suffix"), [("mp4", ".mp4"), ("matroska", ".mkv")])
def test_the_cover_picture_is_kept(container: str, suffix: str, rich_mp4: Path, tmp_path: Path) -> None:
    samples.remake(rich_mp4, tmp_path / f"out{suffix}", container)
    with av.open(str(tmp_path / f"out{suffix}")) as output:
        covers = [s for s in output.streams.video if s.disposition & 1024]
        assert len(covers) == 1
        assert (covers[0].width, covers[0].height) == (16, 16)


def test_rotation_is_not_copied(tmp_path: Path) -> None:
    samples.write_video(tmp_path / "p.mp4", count=3)
    samples.ffmpeg("-display_rotation", "-90", "-i", tmp_path / "p.mp4", "-c", "copy", tmp_path / "r.mp4")
    samples.remake(tmp_path / "r.mp4", tmp_path / "out.mp4", "mp4")
    with closing(VideoReader(tmp_path / "out.mp4")) as reader:
        assert reader.info.rotation == 0


def test_the_sample_aspect_ratio_is_written_or_the_loss_is_told(tmp_path: Path) -> None:
    source = samples.write_video(tmp_path / "in.mp4", count=3, aspect=Fraction(32, 27))
    for container, suffix in CONTAINERS:
        warnings = samples.remake(source, tmp_path / f"out{suffix}", container)
        with closing(VideoReader(tmp_path / f"out{suffix}")) as reader:
            if container == "webm":
                assert any("가로세로 비율" in warning for warning in warnings)
            else:
                assert reader.info.sample_aspect_ratio == Fraction(32, 27), container


@pytest.mark.parametrize(
    ("container", "suffix", "codec"),
    [("webm", ".webm", "libvpx-vp9"), ("matroska", ".mkv", "libvpx-vp9"), ("matroska", ".mkv", "ffv1"),
     ("mov", ".mov", "prores_ks")],
)  # fmt: skip
def test_alpha_survives_the_seams(container: str, suffix: str, codec: str, tmp_path: Path) -> None:
    options = {"auto-alt-ref": "0", "lossless": "1"}
    source = samples.write_video(tmp_path / "in.webm", "libvpx-vp9", "yuva420p", options=options, count=10)
    with closing(VideoReader(source)) as reader:
        before = list(reader.frames())
        info = reader.info
    lossless = {"lossless": "1"} if codec == "libvpx-vp9" else {}
    request = EncodeRequest(codec=codec, options=lossless, pix_fmt=None if codec != "prores_ks" else "yuva444p10le")
    plan = plan_encoding(info, request, container, (64, 48))
    segments = []
    for number, part in enumerate((before[:4], before[4:])):
        with closing(SegmentWriter(tmp_path / f"{number}.seg", plan)) as writer:
            for frame in part:
                writer.write(as_layout(frame.planes, plan.layout.pix_fmt), frame.pts - part[0].pts, frame.duration)
            writer.finish()
        segments.append(Segment(str(tmp_path / f"{number}.seg"), part[0].pts, writer.times))
    assert join_video(segments, source, tmp_path / f"out{suffix}", plan, info) == ()
    with closing(VideoReader(tmp_path / f"out{suffix}")) as reader:
        after = list(reader.frames())
        deep = reader.info.layout.bits - 8
    assert len(after) == 10
    for old, new in zip(before, after, strict=True):
        assert np.abs((new.planes[3] >> deep).astype(int) - old.planes[3]).max() <= (1 if deep else 0)


def as_layout(planes: Any, pix_fmt: str) -> Any:
    """8비트 4:2:0 알파 평면을 ProRes의 10비트 4:4:4로."""
    if pix_fmt == "yuva420p":
        return planes
    doubled = [planes[0], *(p.repeat(2, 0).repeat(2, 1) for p in planes[1:3]), planes[3]]
    return tuple((p.astype(np.uint16) << 2) | (p >> 6) for p in doubled)


def test_hdr_metadata_arrives_in_the_video(tmp_path: Path) -> None:
    source = samples.write_video(
        tmp_path / "h.mp4", "libx265", "yuv420p10le", size=(64, 64), count=6, options={"x265-params": samples.HDR10},
        colour=(9, 9, 16, 1),
    )  # fmt: skip
    with closing(VideoReader(source)) as reader:
        before = reader.info
    for container, suffix in CONTAINERS:
        samples.remake(source, tmp_path / f"out{suffix}", container)
        with closing(VideoReader(tmp_path / f"out{suffix}")) as reader:
            after = reader.info
        assert after.colour == before.colour, container
        assert after.layout.bits == 10
        assert after.side_data["content_light"] == (1000, 400)
        old, new = before.side_data["mastering_display"], after.side_data["mastering_display"]
        for name in ("red", "green", "blue", "white"):
            assert [float(v) for v in new[name]] == pytest.approx([float(v) for v in old[name]], abs=1e-4)
        assert [float(v) for v in new["luminance"]] == pytest.approx([float(v) for v in old["luminance"]], rel=0.01)


def test_a_failure_leaves_the_old_video_and_no_temporary(rich_mkv: Path, tmp_path: Path) -> None:
    samples.remake(rich_mkv, tmp_path / "out.mp4", "mp4")
    names = sorted(tmp_path.iterdir())
    old = (tmp_path / "out.mp4").read_bytes()
    segment = tmp_path / "1.segment"
    segment.write_bytes(segment.read_bytes()[:-500])
    with closing(VideoReader(rich_mkv)) as reader:
        plan = plan_encoding(reader.info, EncodeRequest(), "mp4", (64, 48))
        times = SegmentTimes(tuple(range(0, 280, 40)), 40)
        pieces = [Segment(str(tmp_path / f"{n}.segment"), n * 280, times) for n in range(3)]
        with pytest.raises(VideoDamagedError):
            join_video(pieces, rich_mkv, tmp_path / "out.mp4", plan, reader.info)
        with pytest.raises(VideoWriteError, match="하나도"):
            join_video([], rich_mkv, tmp_path / "out.mp4", plan, reader.info)
        with pytest.raises(VideoWriteError, match="해결"):
            join_video(pieces[:1], rich_mkv, tmp_path / "none" / "out.mp4", plan, reader.info)
    assert (tmp_path / "out.mp4").read_bytes() == old
    assert sorted(tmp_path.iterdir()) == names


@pytest.mark.skipif(os.name == "nt", reason="강제로 죽이는 신호가 없다")
def test_what_a_killed_join_left_is_gone_after_the_next_one(rich_mp4: Path, tmp_path: Path) -> None:
    script = (
        "import os, signal, sys; from pathlib import Path; from realesrgan.media.video import join\n"
        "from tests.media.video import samples\n"
        "join.settle = lambda *_: os.kill(os.getpid(), signal.SIGKILL)\n"
        "samples.remake(Path(sys.argv[1]), Path(sys.argv[2]), 'mp4')\n"
    )
    target = tmp_path / "out.mp4"
    killed = subprocess.run([sys.executable, "-c", script, str(rich_mp4), str(target)], cwd=ROOT, check=False)
    assert killed.returncode == -signal.SIGKILL
    assert not target.exists() and list(tmp_path.glob(".realesrgan-*.part"))
    samples.remake(rich_mp4, target, "mp4")
    assert target.exists() and not list(tmp_path.glob(".*"))


def test_a_broken_source_gives_its_good_part_with_a_warning(rich_mp4: Path, tmp_path: Path) -> None:
    samples.ffmpeg("-i", rich_mp4, "-map", "0:v:0", "-map", "0:a", "-c", "copy", "-movflags", "+faststart",
                 tmp_path / "head.mp4")  # fmt: skip
    cut = tmp_path / "cut.mp4"
    data = (tmp_path / "head.mp4").read_bytes()
    cut.write_bytes(data[: len(data) * 7 // 10])
    frames = []
    with closing(VideoReader(cut)) as reader:
        plan = plan_encoding(reader.info, EncodeRequest(), "mp4", (64, 48))
        with pytest.raises(VideoDamagedError):
            for frame in reader.frames():
                frames.append(frame)
        with closing(SegmentWriter(tmp_path / "a.seg", plan)) as writer:
            for frame in frames:
                writer.write(frame.planes, frame.pts - frames[0].pts, frame.duration)
            writer.finish()
        pieces = [Segment(str(tmp_path / "a.seg"), frames[0].pts, writer.times)]
        join_video(pieces, cut, tmp_path / "out.mp4", plan, reader.info, partial=True)
    assert len(times_of(tmp_path / "out.mp4")) == len(frames)
    last = float(frames[-1].pts * plan.time_base)
    with av.open(str(tmp_path / "out.mp4")) as output:
        ends = [float((p.pts + p.duration) * p.time_base) for p in output.demux(audio=0) if p.size]
    assert last - 0.2 <= max(ends) <= last + 0.12


def test_the_video_alone_can_be_joined(tmp_path: Path) -> None:
    source = samples.write_video(tmp_path / "in.mp4", count=5)
    with closing(VideoReader(source)) as reader:
        plan = plan_encoding(reader.info, EncodeRequest(), "mp4", (64, 48))
        frames = list(reader.frames())
    with closing(SegmentWriter(tmp_path / "a.seg", plan)) as writer:
        for frame in frames:
            writer.write(frame.planes, frame.pts, frame.duration)
        writer.finish()
    assert join_video([Segment(str(tmp_path / "a.seg"), 0, writer.times)], None, tmp_path / "o.mp4", plan, None) == ()
    assert len(times_of(tmp_path / "o.mp4")) == 5


def test_the_clock_of_a_broadcast_starts_at_zero_and_sound_stays_in_sync(rich_mkv: Path, tmp_path: Path) -> None:
    """방송의 시계는 몇 시간에서 시작하기도 한다. 그대로 옮기면 그만큼 빈 비디오가 된다."""
    samples.ffmpeg("-i", rich_mkv, "-map", "0:v", "-map", "0:a:1", "-c", "copy", "-output_ts_offset", "36000",
                 tmp_path / "b.ts")  # fmt: skip
    with closing(VideoReader(tmp_path / "b.ts")) as reader:
        begin = next(reader.frames()).pts * reader.info.time_base
    assert begin > 36000
    for container, suffix in CONTAINERS[:3]:
        samples.remake(tmp_path / "b.ts", tmp_path / f"out{suffix}", container)
        assert times_of(tmp_path / f"out{suffix}")[0] < Fraction(1, 10)
        first = float(times_of(tmp_path / f"out{suffix}")[0])
        expected = [moment - float(begin) for moment in samples.heard_clicks(tmp_path / "b.ts")]
        heard = [moment - first for moment in samples.heard_clicks(tmp_path / f"out{suffix}")]
        assert heard == pytest.approx(expected, abs=0.0015)


@pytest.mark.parametrize(("container", "suffix"), [(name, suffix) for name, suffix in CONTAINERS if name != "mov"])
def test_a_subtitle_showing_at_the_cut_does_not_move_the_video(tmp_path: Path, container: str, suffix: str) -> None:
    """구간의 처음에 이미 보이던 자막은 구간 안만큼만 남고, 비디오는 0에서 시작한다."""
    source = samples.rich_video(tmp_path)
    with closing(VideoReader(source)) as reader:
        info = reader.info
        plan = plan_encoding(info, EncodeRequest(), container, (64, 48))
        first = round(Fraction(9, 10) / info.time_base)
        frames = list(reader.frames(first))
        with closing(SegmentWriter(tmp_path / "s.seg", plan)) as writer:
            for frame in frames:
                writer.write(frame.planes, round((frame.pts - frames[0].pts) * info.time_base / plan.time_base))
            writer.finish()
        offset = round(frames[0].pts * info.time_base / plan.time_base)
        segment = Segment(str(tmp_path / "s.seg"), offset, writer.times)
        join_video([segment], source, tmp_path / f"t{suffix}", plan, info, start=frames[0].pts)
    assert samples.judged_times(tmp_path / f"t{suffix}")[0] == 0
    with av.open(str(tmp_path / f"t{suffix}")) as container:
        cues = [p for p in container.demux(container.streams.subtitles[0]) if p.size > 2 and p.pts is not None]
        assert all(packet.pts >= 0 for packet in cues)


def test_a_subtitle_in_an_old_encoding_is_left_out_and_told(tmp_path: Path) -> None:
    """CP949로 적힌 자막 때문에 비디오 전체를 버리지 않는다."""
    lines = ["안녕".encode("cp949"), b"hello"]
    times = [b"00:00:00,100 --> 00:00:00,300", b"00:00:00,500 --> 00:00:00,700"]
    text = b"\n".join(b"%d\n%s\n%s\n" % (n, t, line) for n, (t, line) in enumerate(zip(times, lines, strict=True), 1))
    (tmp_path / "s.srt").write_bytes(text)
    samples.write_video(tmp_path / "v.mp4")
    source = tmp_path / "in.mkv"
    samples.ffmpeg("-i", tmp_path / "v.mp4", "-i", tmp_path / "s.srt", "-map", "0:v", "-map", "1", "-c", "copy", source)
    warnings = samples.remake(source, tmp_path / "out.mp4", "mp4")
    assert any("UTF-8이 아니라" in warning for warning in warnings)
    with av.open(str(tmp_path / "out.mp4")) as container:
        told = b"".join(bytes(packet) for packet in container.demux(container.streams.subtitles[0]))
    assert b"hello" in told


def without_packets(source: Path, folder: Path, maps: list[str], emptied: int) -> Path:
    """`maps`의 스트림들을 방송(TS)으로 옮기고, `emptied`번째 스트림의 자리만 남기고 내용은 모두 뺀 것."""
    full = folder / "full.ts"
    samples.ffmpeg("-i", source, *maps, "-c", "copy", full)
    with av.open(str(full)) as opened:
        gone = opened.streams[emptied].id
    data = full.read_bytes()
    packets = [data[place : place + 188] for place in range(0, len(data), 188)]
    path = folder / "in.ts"
    path.write_bytes(b"".join(packet for packet in packets if (packet[1] & 0x1F) << 8 | packet[2] != gone))
    return path


@pytest.mark.parametrize(("container", "suffix"), CONTAINERS)
def test_a_sound_track_with_nothing_in_it_is_told_and_the_video_is_made(
    container: str, suffix: str, rich_mkv: Path, tmp_path: Path
) -> None:
    """방송은 소리가 없는 동안에도 소리의 자리를 적어 둔다."""
    source = without_packets(rich_mkv, tmp_path, ["-map", "0:v", "-map", "0:a:0", "-map", "0:a:1"], emptied=1)
    warnings = samples.remake(source, tmp_path / f"out{suffix}", container)
    assert any("소리가 들어 있지 않아" in warning for warning in warnings)
    with av.open(str(tmp_path / f"out{suffix}")) as made:
        assert len(made.streams.audio) == 1


def test_sound_that_begins_late_in_a_broadcast_is_kept(tmp_path: Path) -> None:
    """FFmpeg는 앞의 5초쯤만 훑어 그 뒤에 시작하는 소리의 형식을 모른다."""
    source = tmp_path / "in.ts"
    samples.ffmpeg(
        "-f", "lavfi", "-i", "color=s=64x48:r=5:d=14", "-itsoffset", "12", "-i", samples.click_wave(tmp_path / "c.wav"),
        "-map", "0:v", "-map", "1:a", "-c:v", "libx264", "-g", "5", "-bf", "0", "-c:a", "ac3", source,
    )  # fmt: skip
    with av.open(str(source)) as opened:
        assert opened.streams.audio[0].codec_context.sample_rate == 0
    samples.remake(source, tmp_path / "out.mp4", "mp4", chunk=70)
    assert samples.heard_clicks(tmp_path / "out.mp4") == pytest.approx(
        [12 + click for click in samples.CLICKS], abs=0.0015
    )


def test_a_second_picture_track_with_nothing_in_it_is_told_and_the_video_is_made(
    rich_mkv: Path, tmp_path: Path
) -> None:
    source = without_packets(rich_mkv, tmp_path, ["-map", "0:v", "-map", "0:v", "-map", "0:a:0"], emptied=1)
    warnings = samples.remake(source, tmp_path / "out.mp4", "mp4")
    assert any("이미지가 들어 있지 않아" in warning for warning in warnings)
    with av.open(str(tmp_path / "out.mp4")) as made:
        assert (len(made.streams.video), len(made.streams.audio)) == (1, 1)
