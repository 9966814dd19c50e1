"""복사할 수 없는 소리를 다시 인코딩해도 시각과 표본이 그대로인지."""

from __future__ import annotations

import re
from contextlib import closing
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from realesrgan.media.video import VideoReader
from realesrgan.media.video.conversion import AudioConversion, AudioTimeline, encodable_layout
from tests.media.video import samples

RATE = 8000
STEREO = "aformat=channel_layouts=stereo"


def video_with_sound(folder: Path, name: str, *options: str) -> Path:
    """딱 소리가 나는 소리를 `options`로 인코딩해 넣은 비디오."""
    samples.write_video(folder / "video.mp4")
    samples.click_wave(folder / "c.wav")
    path = folder / name
    samples.ffmpeg("-i", folder / "video.mp4", "-i", folder / "c.wav", "-map", "0:v", "-map", "1:a", *options, path)
    return path


def sound(path: Path) -> np.ndarray:
    """소리의 표본 전부. `(표본, 채널)`."""
    with av.open(str(path)) as container:
        frames = list(container.decode(container.streams.audio[0]))
    channels = frames[0].layout.nb_channels
    parts = [f.to_ndarray().T if f.format.is_planar else f.to_ndarray().reshape(-1, channels) for f in frames]
    return np.concatenate(parts)


@pytest.mark.parametrize(
    ("name", "options", "container", "suffix"),
    [
        # PCM과 WMA는 채널의 배치를 적지 않는다. 배치를 모르는 채로는 AAC로 바꿀 수 없다.
        ("in.mkv", ("-c:v", "libx264", "-c:a", "pcm_s24le"), "mp4", ".mp4"),
        ("in.asf", ("-c:v", "mpeg4", "-c:a", "wmav2"), "mp4", ".mp4"),
        ("in.asf", ("-c:v", "mpeg4", "-c:a", "wmav2"), "matroska", ".mkv"),
        ("in.avi", ("-c:v", "mpeg4", "-c:a", "adpcm_ms"), "mov", ".mov"),
        ("in.avi", ("-c:v", "mpeg4", "-c:a", "adpcm_ms"), "webm", ".webm"),
        # libopus는 옆 채널(side)이 있는 배치를 받지 않는다.
        ("in.mkv", ("-c:v", "libx264", "-af", "aformat=channel_layouts=5.1(side)", "-c:a", "ac3"), "webm", ".webm"),
        ("in.mkv", ("-c:v", "libx264", "-strict", "-2", "-c:a", "truehd"), "mp4", ".mp4"),
        # 블록의 크기가 바뀌는 곳에서 시각이 한 프레임만 9밀리초 어긋난다.
        ("in.ogv", ("-c:v", "libtheora", "-c:a", "libvorbis"), "mp4", ".mp4"),
    ],
)
def test_sound_the_container_cannot_hold_is_encoded_in_sync(
    name: str, options: tuple[str, ...], container: str, suffix: str, tmp_path: Path
) -> None:
    source = video_with_sound(tmp_path, name, *options)
    warnings = samples.remake(source, tmp_path / f"out{suffix}", container)
    assert any("바꾸어 담습니다" in warning for warning in warnings)
    found = samples.heard_clicks(tmp_path / f"out{suffix}")
    assert len(found) == len(samples.CLICKS)
    assert found == pytest.approx(samples.heard_clicks(source), abs=0.0015)


@pytest.mark.parametrize("codec", ["pcm_s24be", "pcm_s32be", "pcm_f32be"])
def test_wide_sound_stays_exact_in_matroska(codec: str, tmp_path: Path) -> None:
    source = video_with_sound(tmp_path, "in.mov", "-c:v", "libx264", "-af", "volume=0.123", "-c:a", codec)
    samples.remake(source, tmp_path / "out.mkv", "matroska")
    before, after = sound(source), sound(tmp_path / "out.mkv")
    assert before.dtype == after.dtype
    np.testing.assert_array_equal(before, after)


def test_a_hole_in_the_sound_becomes_silence_of_the_same_length(tmp_path: Path) -> None:
    """빈 곳을 메우지 않으면 소리를 이어서 트는 재생기에서 뒤의 소리가 앞당겨진다."""
    hole = f"aselect='lt(t,0.35)+gt(t,0.5)',{STEREO}"
    source = video_with_sound(tmp_path, "in.mkv", "-c:v", "libx264", "-af", hole, "-c:a", "pcm_s16le")
    assert len(sound(source)) < 1.2 * 48000 - 2000
    samples.remake(source, tmp_path / "out.mp4", "mp4")
    assert samples.heard_clicks(tmp_path / "out.mp4") == pytest.approx(samples.CLICKS, abs=0.0015)
    assert len(sound(tmp_path / "out.mp4")) >= 1.19 * 48000


def test_a_damaged_packet_becomes_silence_and_the_rest_stays_in_sync(tmp_path: Path) -> None:
    source = video_with_sound(tmp_path, "in.mkv", "-c:v", "libx264", "-c:a", "libmp3lame")
    data = bytearray(source.read_bytes())
    with av.open(str(source)) as container:
        packets = [packet for packet in container.demux(audio=0) if packet.size]
    # 첫 딱 소리와 둘째 사이의 패킷. Matroska의 블록 머리 다음부터 덮어쓴다.
    victim = next(packet for packet in packets if packet.pts * packet.time_base > 0.4)
    data[victim.pos + 12 : victim.pos + victim.size] = b"\x13" * (victim.size - 12)
    source.write_bytes(data)
    warnings = samples.remake(source, tmp_path / "out.webm", "webm")
    assert any(re.search("깨진 패킷 [12]개", warning) for warning in warnings)
    found = samples.heard_clicks(tmp_path / "out.webm")
    assert np.diff(found) == pytest.approx(np.diff(samples.CLICKS), abs=0.0015)


def frame_of(start: int, samples: int, base: Fraction = Fraction(1, RATE), layout: str = "mono") -> Any:
    """표본마다 제자리의 번호가 담긴 프레임."""
    values = np.arange(start, start + samples, dtype=np.int32)[None]
    channels = av.AudioLayout(layout).nb_channels
    frame = av.AudioFrame.from_ndarray(np.repeat(values, channels, axis=1), format="s32", layout=layout)
    frame.sample_rate, frame.time_base = RATE, base
    frame.pts = round(start / RATE / base)
    return frame


def laid(timeline: AudioTimeline, frames: list[Any]) -> list[tuple[int, list[int]]]:
    """놓인 자리와 표본들."""
    placed = [*(kept for frame in frames for kept in timeline.push(frame)), *timeline.flush()]
    return [(kept.pts, kept.to_ndarray()[0].tolist()) for kept in placed]


@settings(deadline=None, max_examples=60)
@given(
    pieces=st.lists(st.tuples(st.sampled_from([0, 0, 0, 100, 500, 20000]), st.integers(1, 400)), min_size=1),
    start=st.integers(-50, 5000),
    base=st.sampled_from([Fraction(1, RATE), Fraction(1, 1000)]),
)
def test_samples_are_laid_without_gaps_each_where_its_time_says(
    pieces: list[tuple[int, int]], start: int, base: Fraction
) -> None:
    frames, moment = [], start
    for jump, length in pieces:
        # 이어진 프레임이 뒤따라 어긋남이 진짜임을 확인해 준다.
        moment += jump
        frames += [frame_of(moment, length, base), frame_of(moment + length, 200, base)]
        moment += length + 200
    placed = laid(AudioTimeline(RATE), frames)
    slack = 8 if base != Fraction(1, RATE) else 0
    expected = placed[0][0]
    for position, values in placed:
        assert position == expected
        expected = position + len(values)
        heard = [(place, value) for place, value in enumerate(values, position) if value != 0]
        assert all(abs(place - value) <= slack for place, value in heard)


def test_sound_told_twice_is_heard_once() -> None:
    frames = [frame_of(0, 200), frame_of(200, 200), frame_of(300, 150), frame_of(450, 100)]
    placed = laid(AudioTimeline(RATE), frames)
    assert [value for _, samples in placed for value in samples] == list(range(550))


def test_a_single_wrong_time_is_not_followed() -> None:
    frames = [frame_of(index * 100, 100) for index in range(5)]
    frames[2].pts += 500
    assert [position for position, _ in laid(AudioTimeline(RATE), frames)] == [0, 100, 200, 300, 400]


@pytest.mark.parametrize("jump", [-2 * RATE, 700 * RATE, 26 * 3600 * RATE])
def test_a_clock_that_was_set_anew_is_joined(jump: int) -> None:
    """이어 붙인 방송의 시각을 믿으면 몇 시간의 묵음을 만들거나 뒤를 모두 버린다."""
    frames = [frame_of(20000 + index * 100 + (jump if index > 2 else 0), 100) for index in range(6)]
    assert [position for position, _ in laid(AudioTimeline(RATE), frames)] == [20000 + n * 100 for n in range(6)]


def test_a_frame_without_a_time_follows_the_one_before() -> None:
    frames = [frame_of(300, 100), frame_of(400, 100), frame_of(500, 100)]
    frames[1].pts = None
    assert [position for position, _ in laid(AudioTimeline(RATE), frames)] == [300, 400, 500]


def test_a_range_is_cut_to_the_sample() -> None:
    frames = [frame_of(index * 100, 100) for index in range(5)]
    placed = laid(AudioTimeline(RATE, first=Fraction(130, RATE), last=Fraction(371, RATE)), frames)
    assert [value for _, samples in placed for value in samples] == list(range(130, 371))
    assert placed[0][0] == 130


def test_sound_that_changes_its_channels_midway_becomes_one_format() -> None:
    conversion = AudioConversion("fltp", "stereo", RATE)
    frames = [frame_of(0, 100), frame_of(100, 100, layout="stereo"), frame_of(200, 100)]
    found = [kept for frame in frames for kept in conversion.convert(frame)] + conversion.flush()
    assert {(kept.format.name, kept.layout.name, kept.sample_rate) for kept in found} == {("fltp", "stereo", RATE)}
    assert sum(kept.samples for kept in found) == 300


@pytest.mark.parametrize(
    ("encoder", "layout", "expected"),
    [
        ("aac", "2 channels", "stereo"),
        ("aac", "5.1(side)", "5.1(side)"),
        ("libopus", "5.1(side)", "5.1"),
        ("libopus", "4.0", "quad"),
        ("flac", "22.2", "7.1"),
    ],
)
def test_the_nearest_layout_the_encoder_takes_is_chosen(encoder: str, layout: str, expected: str) -> None:
    assert encodable_layout(encoder, av.AudioLayout(layout)) == expected


@pytest.mark.parametrize("container", ["mp4", "matroska"])
def test_sound_counted_in_long_ticks_is_cut_in_sync(container: str, tmp_path: Path) -> None:
    """AVI의 MP3는 시각을 24밀리초마다 센다. 구간의 처음은 그 눈금에 놓이지 않는다."""
    source = tmp_path / "a.avi"
    samples.ffmpeg("-f", "lavfi", "-i", "testsrc2=s=64x48:r=25:d=1.2", "-i", samples.click_wave(tmp_path / "c.wav"),
                   "-c:v", "mpeg4", "-c:a", "libmp3lame", "-b:a", "192k", "-shortest", source)  # fmt: skip
    with closing(VideoReader(source)) as reader:
        base = reader.info.time_base
        first = next(pts for pts in reader.packet_index().pts if pts * base >= Fraction(3, 10))
    samples.remake(source, tmp_path / "b.mkv", container, start=first)
    expected = [moment - float(first * base) for moment in samples.heard_clicks(source) if moment > first * base + 0.05]
    heard = [moment for moment in samples.heard_clicks(tmp_path / "b.mkv") if moment > 0.05]
    assert expected and heard == pytest.approx(expected, abs=0.0015)
