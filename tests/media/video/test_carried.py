"""휴대전화, 방송, 디스크가 넣어 둔 것을 결과에 옮기는지."""

from __future__ import annotations

import re
import struct
from contextlib import closing
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace

import av
import numpy as np
import pytest

from realesrgan.media.video import EncodeRequest, VideoReader, marks, probe, tracks
from realesrgan.media.video.messages import CAPTION_CODECS, caption_message, hdr10plus_message, insert_messages
from realesrgan.media.video.tracks import later_timecode, writes_timecode
from tests.media.video import samples

PHONE = {
    "com.apple.quicktime.make": "Apple",
    "com.apple.quicktime.model": "iPhone 15",
    "com.apple.quicktime.location.ISO6709": "+37.5000+127.0000+030.000/",
    "com.apple.quicktime.creationdate": "2024-05-01T12:00:00+0900",
}


@pytest.mark.parametrize("source", ["mov", "mp4"])
@pytest.mark.parametrize("target", ["mov", "mp4"])
def test_what_a_phone_writes_is_kept(source: str, target: str, tmp_path: Path) -> None:
    tags = [part for key, value in PHONE.items() for part in ("-metadata", f"{key}={value}")]
    path = tmp_path / f"a.{source}"
    samples.ffmpeg("-f", "lavfi", "-i", "testsrc2=s=64x48:r=25:d=0.4", "-c:v", "libx264", "-movflags",
                   "use_metadata_tags", *tags, "-metadata", "title=제목", path)  # fmt: skip
    notes = samples.remake(path, tmp_path / f"b.{target}", target)
    with av.open(str(tmp_path / f"b.{target}")) as made:
        assert PHONE.items() <= made.metadata.items() and made.metadata["title"] == "제목"
    assert not notes


def captioned_video(path: Path, count: int = 12, codec: str = "libx264", first: int = 0) -> list[bytes]:
    """`first`번째 프레임부터 저마다 다른 방송 자막이 든 비디오를 만들고, 든 자막을 보이는 차례로 돌려준다."""
    sent = [bytes([0xFC, 0x80 + number, 0, 0xFC, 0, 0]) if number >= first else b"" for number in range(count)]
    video_with_messages(path, [(caption_message(one),) if one else () for one in sent], codec)
    return sent


def video_with_messages(path: Path, messages: list[tuple[bytes, ...]], codec: str, pix_fmt: str = "yuv420p") -> None:
    options = {"libx264": {"bf": "2"}, "libx265": {"x265-params": samples.HDR10}, "libsvtav1": {"preset": "10"}}
    with av.open(str(path), "w") as output:
        stream = output.add_stream(codec, rate=25, options=options[codec])
        stream.width, stream.height, stream.pix_fmt = 64, 64, pix_fmt
        if pix_fmt != "yuv420p":
            context = stream.codec_context
            context.colorspace, context.color_primaries, context.color_trc = 9, 9, 16
        packets = []
        for number in range(len(messages)):
            frame = av.VideoFrame.from_ndarray(samples.texture(number, 64, 96), format="yuv420p")
            frame = frame.reformat(format=pix_fmt)
            frame.pts, frame.time_base = number, Fraction(1, 25)
            packets += stream.encode(frame)
        for packet in [*packets, *stream.encode()]:
            held = messages[round(packet.pts * packet.time_base * 25)]
            made = av.Packet(insert_messages(bytes(packet), held, CAPTION_CODECS[codec]))
            made.pts, made.dts, made.time_base = packet.pts, packet.dts, packet.time_base
            made.duration, made.is_keyframe, made.stream = packet.duration, packet.is_keyframe, packet.stream
            output.mux(made)


def captions_in(path: Path) -> list[bytes]:
    with av.open(str(path)) as container:
        return [bytes(frame.side_data.get("A53_CC") or b"") for frame in container.decode(video=0)]


@pytest.mark.parametrize("codec", ["libx264", "libx265", "libsvtav1"])
def test_captions_in_the_picture_are_kept_frame_by_frame(codec: str, tmp_path: Path) -> None:
    sent = captioned_video(tmp_path / "a.mp4")
    assert captions_in(tmp_path / "a.mp4") == sent
    samples.remake(tmp_path / "a.mp4", tmp_path / "b.mp4", "mp4", request=EncodeRequest(codec=codec))
    assert captions_in(tmp_path / "b.mp4") == sent


def test_captions_in_the_user_data_of_a_disc_are_kept(tmp_path: Path) -> None:
    plain, captioned, disc = (tmp_path / name for name in ("plain.m2v", "a.m2v", "a.mpg"))
    samples.ffmpeg("-f", "lavfi", "-i", "testsrc2=s=64x48:r=25:d=0.4", "-c:v", "mpeg2video", "-bf", "2", plain)
    count, made = 0, b""
    for part in re.split(rb"(?=\x00\x00\x01)", plain.read_bytes()):
        if part[3:4] == b"\x01":  # 프레임의 첫 조각(slice) 앞에 사용자 데이터를 놓는다(ISO/IEC 13818-2, 6.2.2.2).
            made += b"\x00\x00\x01\xb2GA94\x03\x41\xff\xfc" + bytes([0x80 + count, 0x80, 0xFF])
            count += 1
        made += part
    captioned.write_bytes(made)
    samples.ffmpeg("-f", "mpegvideo", "-r", "25", "-i", captioned, "-c", "copy", "-f", "vob", disc)
    sent = captions_in(disc)
    assert count == len(sent) == len(set(sent)) == 10
    assert not samples.remake(disc, tmp_path / "b.mp4", "mp4")
    assert captions_in(tmp_path / "b.mp4") == sent


@pytest.mark.parametrize("container", ["mp4", "mov"])
def test_quicktime_shows_the_hevc_and_the_dts_few_players_play_is_told(container: str, tmp_path: Path) -> None:
    source, target = tmp_path / "a.mkv", tmp_path / f"b.{container}"
    samples.ffmpeg("-f", "lavfi", "-i", "testsrc2=s=64x48:r=25:d=0.4", "-f", "lavfi", "-i", "sine=d=0.4", "-c:v",
                   "libx264", "-c:a", "dca", "-strict", "-2", source)  # fmt: skip
    notes = samples.remake(source, target, container, request=EncodeRequest(codec="h265"))
    assert any("DTS" in note and "mkv" in note for note in notes)
    with av.open(str(target)) as made:
        assert made.streams.video[0].codec_context.codec_tag == "hvc1"
        assert made.streams.audio[0].codec_context.codec.canonical_name == "dts"


def test_captions_another_codec_cannot_hold_are_named(tmp_path: Path) -> None:
    captioned_video(tmp_path / "a.mp4")
    assert any("방송 자막" in note for note in samples.remake(tmp_path / "a.mp4", tmp_path / "b.webm", "webm"))


def test_captions_that_begin_after_the_first_frame_are_kept(tmp_path: Path) -> None:
    sent = captioned_video(tmp_path / "a.mp4", first=5)
    samples.remake(tmp_path / "a.mp4", tmp_path / "b.mp4", "mp4")
    assert captions_in(tmp_path / "b.mp4") == sent


def test_the_captions_of_a_frame_taken_out_of_a_telecine_are_kept(tmp_path: Path) -> None:
    sent = captioned_video(tmp_path / "a.mp4", count=20)
    with closing(VideoReader(tmp_path / "a.mp4", "ivtc")) as reader:
        found = [frame.captions for frame in reader.frames()]
    assert len(found) == 16 and b"".join(found) == b"".join(sent)


def test_each_field_as_a_frame_does_not_double_the_captions(tmp_path: Path) -> None:
    sent = captioned_video(tmp_path / "a.mp4")
    with closing(VideoReader(tmp_path / "a.mp4", "double")) as reader:
        found = b"".join(frame.captions for frame in reader.frames())
    shown = [found[place : place + 3] for place in range(0, len(found), 3)]
    assert [one for one in shown if one[1:] != b"\0\0" and one[0] & 4] == [one[:3] for one in sent]


def test_more_captions_than_a_frame_can_hold_lose_the_empty_ones_first() -> None:
    full, empty = b"\xfc\x41\x42", b"\xf8\x00\x00"
    assert caption_message(full * 20 + empty * 20).count(full) == 20
    assert caption_message((empty + full) * 20).count(full) == 20
    assert caption_message(full * 40).count(full) == 31


@pytest.mark.parametrize("kind", ["h264", "hevc", "av1"])
@pytest.mark.parametrize("data", [b"", b"\0\0\0\1\x09\x10", b"\x12\x00", b"\x12\x80"])
def test_a_packet_without_a_picture_is_left_alone(data: bytes, kind: str) -> None:
    if kind == "hevc" and data[4:5] == b"\x09":
        data = b"\0\0\0\1\x46\x01\x10"
    assert insert_messages(data, [caption_message(b"\xfc\x80\x80")], kind) == data


def hdr10plus(number: int, peaks: bool = False) -> bytes:
    """프레임마다 다른 HDR10+의 메시지. SMPTE ST 2094-40의 표를 따라 손으로 적었다."""
    table = [(1, 1), (5, 2), (5, 3), *((4, value) for value in (1, 2, 3, 4, 5, 15))] if peaks else [(1, 0)]
    fields = [
        (8, 1), (2, 1), (27, 400), *table, (17, 11000 + number), (17, 100000), (17, 0), (17, 4400),
        (4, 3), (7, 1), (17, 10), (7, 50), (17, 500 + number), (7, 99), (17, 99999), (10, 12), *table,
        (1, 1), (12, 100), (12, 4095), (4, 3), (10, 100), (10, 500), (10, 900 + number), (1, 1), (6, 5),
    ]  # fmt: skip
    text = "".join(f"{value:0{width}b}" for width, value in fields)
    text += "0" * (-len(text) % 8)
    return b"\xb5\x00\x3c\x00\x01\x04" + int(text, 2).to_bytes(len(text) // 8, "big")


def lights_in(path: Path) -> list[bytes]:
    with av.open(str(path)) as container:
        found = [frame.side_data.get("DYNAMIC_HDR_PLUS") for frame in container.decode(video=0)]
    return [b"" if one is None else hdr10plus_message(bytes(one)) for one in found]


@pytest.mark.parametrize("source", ["libx265", "libsvtav1"])
@pytest.mark.parametrize("target", ["libx265", "libsvtav1"])
def test_dynamic_hdr_is_kept_frame_by_frame(source: str, target: str, tmp_path: Path) -> None:
    sent = [hdr10plus(number, peaks=number % 2 == 1) for number in range(14)]
    video_with_messages(tmp_path / "a.mp4", [(one,) for one in sent], source, "yuv420p10le")
    assert lights_in(tmp_path / "a.mp4") == sent
    notes = samples.remake(tmp_path / "a.mp4", tmp_path / "b.mkv", "matroska", request=EncodeRequest(codec=target))
    assert lights_in(tmp_path / "b.mkv") == sent
    assert not any("HDR" in note for note in notes)


def test_captions_and_dynamic_hdr_travel_together(tmp_path: Path) -> None:
    captions, lights = [b"\xfc" + bytes([0x80, n]) for n in range(6)], [hdr10plus(n) for n in range(6)]
    both = [(caption_message(one), two) for one, two in zip(captions, lights, strict=True)]
    video_with_messages(tmp_path / "a.mp4", both, "libx265", "yuv420p10le")
    samples.remake(tmp_path / "a.mp4", tmp_path / "b.mp4", "mp4")
    assert (captions_in(tmp_path / "b.mp4"), lights_in(tmp_path / "b.mp4")) == (captions, lights)


DOLBY = """Input #0, mov,mp4, from 'a.mp4':
  Stream #0:0[0x1](und): Audio: aac
  Stream #0:1[0x2](und): Video: hevc (Main 10), yuv420p10le(tv, bt2020nc/bt2020/smpte2084), 64x64
      Side data:
        DOVI configuration record: version: 1.0, profile: 8, level: 6, rpu flag: 1, el flag: 0, bl flag: 1, \
compatibility id: 4, compression: 0
  Stream #0:2[0x3](und): Video: hevc (Main 10), yuv420p10le, 64x64
"""


@pytest.mark.parametrize(("index", "base"), [(0, None), (1, 4), (2, None)])
def test_the_base_of_a_dolby_vision_stream_is_read(index: int, base: int | None) -> None:
    container = SimpleNamespace(dumps_format=lambda: DOLBY)
    assert probe.container_notes(container, index).dolby == base


@pytest.mark.parametrize(
    ("base", "is_hdr", "expected"), [(None, False, 0), (None, True, 1), (4, False, 4), (0, True, 0)]
)
def test_a_dolby_vision_frame_without_a_record_trusts_its_colour(base: int | None, is_hdr: bool, expected: int) -> None:
    assert probe.hdr_side_data({"DOVI_METADATA": b""}, base, is_hdr) == {"dolby_vision": expected}


def test_dynamic_hdr_of_an_unknown_shape_is_not_guessed() -> None:
    assert hdr10plus_message(b"") == b"" and hdr10plus_message(bytes(11300)) == b""
    two = bytearray(11304)
    two[2] = 2
    assert hdr10plus_message(bytes(two)) == b""


def cropped_mkv(path: Path, sides: tuple[int, int, int, int]) -> Path:
    """자를 픽셀 `(왼쪽, 오른쪽, 위, 아래)`이 적힌 mkv. 색의 정보가 있던 자리에 적는다."""
    samples.ffmpeg("-f", "lavfi", "-i", "testsrc2=s=64x48:r=25:d=0.4", "-c:v", "ffv1", "-pix_fmt", "yuv420p",
                   "-color_primaries", "bt709", "-color_trc", "bt709", "-colorspace", "bt709", "-color_range", "tv",
                   path)  # fmt: skip
    data = path.read_bytes()
    place = data.index(b"\x55\xb0")
    length = 3 + (data[place + 2] & 0x7F)
    names = (b"\x54\xcc", b"\x54\xdd", b"\x54\xbb", b"\x54\xaa")
    elements = b"".join(name + b"\x81" + bytes([side]) for name, side in zip(names, sides, strict=True) if side)
    rest = length - len(elements) - 2
    assert data[place + 2] & 0x80 and rest >= 0
    void = b"\xec" + bytes([0x80 | rest]) + bytes(rest)
    path.write_bytes(data[:place] + elements + void + data[place + length :])
    return path


@pytest.mark.parametrize("sides", [(0, 0, 8, 8), (4, 0, 0, 6), (3, 0, 5, 0)])
def test_the_crop_of_the_container_is_applied(sides: tuple[int, int, int, int], tmp_path: Path) -> None:
    path = cropped_mkv(tmp_path / "a.mkv", sides)
    with av.open(str(path)) as container:
        whole = next(container.decode(video=0)).to_ndarray()
    left, right, top, bottom = (sides[0] // 2 * 2, sides[1], sides[2] // 2 * 2, sides[3])
    with closing(VideoReader(path)) as reader:
        assert (reader.info.width, reader.info.height) == (64 - left - right, 48 - top - bottom)
        luma, chroma, _ = next(iter(reader.frames())).planes
    assert np.array_equal(luma, whole[top : 48 - bottom, left : 64 - right])
    assert chroma.shape == (-(-luma.shape[0] // 2), -(-luma.shape[1] // 2))


def test_only_the_sound_of_the_same_programme_is_taken(tmp_path: Path) -> None:
    path = tmp_path / "a.ts"
    samples.ffmpeg(
        "-f", "lavfi", "-i", "testsrc2=s=64x48:r=25:d=1", "-f", "lavfi", "-i", "testsrc=s=128x96:r=25:d=1",
        "-f", "lavfi", "-i", "sine=440:d=1", "-f", "lavfi", "-i", "sine=880:d=1", "-map", "0", "-map", "2", "-map", "1",
        "-map", "3", "-pix_fmt", "yuv420p", "-c:v", "libx264", "-c:a", "aac", "-metadata:s:a:0", "language=kor",
        "-metadata:s:a:1", "language=eng", "-program", "title=A:st=0:st=1", "-program", "title=B:st=2:st=3", path,
    )  # fmt: skip
    notes = samples.remake(path, tmp_path / "b.mp4", "mp4")
    with av.open(str(tmp_path / "b.mp4")) as made:
        assert made.streams.video[0].width == 128
        assert [stream.language for stream in made.streams.audio] == ["eng"]
    assert any("다른 프로그램" in note and "소리" in note for note in notes)


@pytest.mark.parametrize(
    ("timecode", "frames", "rate", "expected"),
    [
        ("01:00:00:00", 25, 25, "01:00:01:00"),
        ("00:00:59;29", 1, 30, "00:01:00;02"),
        ("00:09:59;29", 1, 30, "00:10:00;00"),
        ("00:00:00;00", 17982, 30, "00:10:00;00"),
        ("00:00:59;59", 1, 60, "00:01:00;04"),
        ("23:59:59:23", 1, 24, "00:00:00:00"),
        ("10:11:12;13", 0, 30, "10:11:12;13"),
        ("무엇", 3, 30, "무엇"),
    ],
)
def test_a_timecode_moves_with_the_start(timecode: str, frames: int, rate: int, expected: str) -> None:
    assert later_timecode(timecode, frames, rate) == expected


def test_the_timecode_track_follows_a_cut_or_is_named(tmp_path: Path) -> None:
    path = tmp_path / "a.mov"
    samples.ffmpeg("-f", "lavfi", "-i", "testsrc2=s=64x48:r=25:d=2", "-c:v", "libx264", "-g", "5", "-timecode",
                   "01:00:00:00", path)  # fmt: skip
    with closing(VideoReader(path)) as reader:
        start = round(1 / reader.info.time_base)
    notes = samples.remake(path, tmp_path / "b.mov", "mov", start=start)
    assert ("01:00:01:00" in samples.describe(tmp_path / "b.mov")) == writes_timecode()
    assert any("시간 코드" in note and "01:00:01:00" in note for note in notes) != writes_timecode()
    assert not any("시간 코드" in note for note in samples.remake(path, tmp_path / "b.mkv", "matroska", start=start))
    assert "01:00:01:00" in samples.describe(tmp_path / "b.mkv")


def test_an_old_library_that_cannot_write_the_timecode_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.mov"
    samples.ffmpeg("-f", "lavfi", "-i", "testsrc2=s=64x48:r=25:d=1", "-timecode", "01:00:00:00", path)
    monkeypatch.setattr(tracks, "writes_timecode", lambda: False)
    notes = samples.remake(path, tmp_path / "b.mp4", "mp4")
    assert [note for note in notes if "01:00:00:00" in note and "PyAV 18" in note]


def test_subtitles_of_a_disc_keep_their_canvas(tmp_path: Path) -> None:
    path = samples.write_video(tmp_path / "v.mp4")
    with av.open(str(path)) as source, av.open(str(tmp_path / "a.mkv"), "w") as output:
        video = output.add_stream_from_template(source.streams.video[0])
        words = output.add_stream("dvdsub")
        for packet in source.demux(video=0):
            if packet.size:
                packet.stream = video
                output.mux(packet)
        subtitle = av.Packet(bytes([0, 8, 0, 4, 0, 0, 0, 4]))
        subtitle.pts = subtitle.dts = 100
        subtitle.duration, subtitle.time_base, subtitle.stream = 300, Fraction(1, 1000), words
        output.mux(subtitle)
    samples.remake(tmp_path / "a.mkv", tmp_path / "b.mkv", "matroska")
    (note,) = samples.remake(tmp_path / "a.mkv", tmp_path / "b.mp4", "mp4")
    assert "dvd_subtitle" in note and "mkv로" in note
    with av.open(str(tmp_path / "b.mkv")) as made:
        assert b"size: 64x48" in bytes(made.streams.subtitles[0].codec_context.extradata)


@pytest.mark.parametrize(("container", "extension"), [("mp4", "mp4"), ("matroska", "mkv")])
def test_the_marks_of_a_spherical_stereo_video_are_carried(tmp_path: Path, container: str, extension: str) -> None:
    plain = samples.write_video(tmp_path / "plain.mp4", count=9)
    with closing(VideoReader(plain)) as reader:
        info = reader.info
    pose = struct.pack("=4i5I", 0, 10 << 16, -(5 << 16), 0, 0, 0, 0, 0, 0)
    source = tmp_path / f"a.{extension}"
    with av.open(str(plain)) as template:
        boxes = marks.mark_boxes(replace(info, stereo=2, spherical=pose))
        with (
            closing(marks.marked(template.streams.video[0], boxes)) as made,
            av.open(str(source), "w", container_options={"strict": "unofficial"}) as output,
        ):
            video = output.add_stream_from_template(made.streams.video[0], opaque=True)
            for packet in template.demux(video=0):
                if packet.size:
                    packet.stream = video
                    output.mux(packet)
    if extension == "mp4":
        marks.drop_spatial_box(source)
    for muxer, suffix in (("mp4", "mp4"), ("matroska", "mkv"), ("mov", "mov")):
        target = tmp_path / f"b.{suffix}"
        notes = samples.remake(source, target, muxer)
        with closing(VideoReader(target)) as reader:
            found = reader.info
        carried = muxer != "mov"
        assert (found.stereo, found.spherical) == ((2, pose) if carried else (2, b""))
        assert any("360도" in note for note in notes) != carried
        assert b"vexu" not in target.read_bytes()
