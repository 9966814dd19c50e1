"""잘리거나 깨진 비디오는 성한 프레임을 다 낸 뒤에 오류가 된다."""

from __future__ import annotations

import io
import random
import re
from contextlib import closing
from fractions import Fraction
from pathlib import Path

import av
import pytest

from realesrgan.errors import VideoDamagedError, VideoReadError
from realesrgan.media.video import VideoReader
from realesrgan.media.video.damage import BoxWalk, read_extent
from realesrgan.media.video.files import demux, open_container
from realesrgan.media.video.types import Hole, VideoFrame
from realesrgan.video.plan import pts_range
from tests.media.video import samples

TRUNCATABLE = (
    "tail.mp4", "head.mp4", "fragments.mp4", "hevc.mp4", "plain.mkv", "lossless.mkv", "vp9.webm", "vp8.webm",
    "xvid.avi", "h264.avi", "raw.avi", "prores.mov", "flash.flv", "windows.wmv", "plain.y4m",
)  # fmt: skip
PIPED = ("head.mp4", "fragments.mp4", "plain.mkv", "vp9.webm", "xvid.avi", "plain.y4m", "broadcast.ts")


class Pipe(io.RawIOBase):
    """되감을 수 없는 입력."""

    def __init__(self, data: bytes) -> None:
        self._data = io.BytesIO(data)

    def read(self, size: int = -1) -> bytes:
        return self._data.read(size)


def count_until_damage(source: object) -> int | None:
    """깨졌다는 오류까지 나온 프레임 수. 오류가 없으면 None."""
    seen = 0
    try:
        with closing(VideoReader(source)) as reader:  # type: ignore[arg-type]
            for _ in reader.frames():
                seen += 1
    except VideoReadError:
        return seen
    return None


@pytest.mark.parametrize("name", TRUNCATABLE)
def test_truncation_at_every_tenth_is_noticed(name: str, healthy: dict[str, Path], tmp_path: Path) -> None:
    data = healthy[name].read_bytes()
    cut = tmp_path / f"cut{healthy[name].suffix}"
    counts = []
    for tenth in range(1, 10):
        cut.write_bytes(data[: len(data) * tenth // 10])
        count = count_until_damage(cut)
        assert count is not None, tenth
        counts.append(count)
    assert counts == sorted(counts)
    # 색인이 뒤에 있으면 아무것도 디코딩하지 못한다.
    assert counts[-1] >= 20 or name in ("tail.mp4", "hevc.mp4", "prores.mov")


@pytest.mark.parametrize("name", PIPED)
def test_truncation_is_noticed_on_standard_input(name: str, healthy: dict[str, Path]) -> None:
    data = healthy[name].read_bytes()
    assert count_until_damage(Pipe(data)) is None
    for tenth in (3, 7, 9):
        assert count_until_damage(Pipe(data[: len(data) * tenth // 10 + 1])) is not None


@pytest.mark.parametrize("name", ["head.mp4", "plain.mkv", "raw.avi"])
def test_a_single_missing_byte_is_noticed(name: str, healthy: dict[str, Path], tmp_path: Path) -> None:
    cut = tmp_path / f"cut{healthy[name].suffix}"
    cut.write_bytes(healthy[name].read_bytes()[:-1])
    assert count_until_damage(cut) is not None


def test_the_good_part_of_a_cut_video_equals_the_whole_one(healthy: dict[str, Path], tmp_path: Path) -> None:
    with closing(VideoReader(healthy["plain.mkv"])) as reader:
        whole = list(reader.frames())
    data = healthy["plain.mkv"].read_bytes()
    cut = tmp_path / "cut.mkv"
    cut.write_bytes(data[: len(data) // 2])
    good = []
    with (
        closing(VideoReader(cut)) as reader,
        pytest.raises(VideoDamagedError, match=r"초 뒤[\s\S]*성한 프레임은 \d+개"),
    ):
        assert any("잘렸습니다" in warning for warning in reader.info.warnings)
        for frame in reader.frames():
            good.append(frame)
    # 디코더가 순서를 바꾸어 내므로 사이가 비지 않았는지까지 본다.
    assert len(good) > 2
    assert samples.same_frames(good, whole[: len(good)])


def test_a_range_before_the_cut_is_still_read(healthy: dict[str, Path], tmp_path: Path) -> None:
    data = healthy["head.mp4"].read_bytes()
    cut = tmp_path / "cut.mp4"
    cut.write_bytes(data[: len(data) * 8 // 10])
    with closing(VideoReader(healthy["head.mp4"])) as reader:
        whole = list(reader.frames())
    with closing(VideoReader(cut)) as reader:
        assert samples.same_frames(list(reader.frames(None, whole[8].pts)), whole[:8])


def spoil(path: Path, folder: Path) -> Path:
    """가운데의 패킷 하나가 깨진 파일."""
    with av.open(str(path)) as container:
        places = [(p.pos, p.size) for p in container.demux(container.streams.video[0]) if p.size]
    place, size = max(places[10:20], key=lambda item: item[1])
    data = bytearray(path.read_bytes())
    start = place + size // 4
    data[start : start + size // 2] = bytes(0xFF for _ in range(size // 2))
    spoiled = folder / path.name
    spoiled.write_bytes(bytes(data))
    return spoiled


def drop_packets(path: Path, target: Path, count: int = 1, program: int = 0x100) -> Path:
    """방송의 가운데에서 비디오(`program`)의 전송 패킷 `count`개를 잃은 파일."""
    data = path.read_bytes()
    packets = [data[at : at + 188] for at in range(0, len(data), 188)]
    video = [at for at, packet in enumerate(packets) if int.from_bytes(packet[1:3], "big") & 0x1FFF == program]
    lost = set(video[len(video) // 2 :][:count])
    target.write_bytes(b"".join(packet for at, packet in enumerate(packets) if at not in lost))
    return target


@pytest.mark.parametrize("name", ["plain.mkv", "tail.mp4", "prores.mov", "vp9.webm", "broadcast.ts"])
def test_a_spoiled_packet_in_the_middle_is_noticed(name: str, healthy: dict[str, Path], tmp_path: Path) -> None:
    count = count_until_damage(spoil(healthy[name], tmp_path))
    assert count is not None
    assert 5 <= count < 30


def through(path: Path) -> tuple[list[VideoFrame], list[Hole]]:
    """깨진 곳을 지나 끝까지 읽은 프레임들과 깨진 곳들."""
    with closing(VideoReader(path)) as reader:
        reader.keep_going = True
        reader.packet_index()
        frames = list(reader.frames())
    return frames, [frame.hole for frame in frames if frame.hole is not None]


@pytest.mark.parametrize(
    "name", ["plain.mkv", "tail.mp4", "prores.mov", "vp9.webm", "broadcast.ts", "h264.ts", "raw.avi"]
)
def test_going_on_keeps_the_clock_and_tells_every_hole(name: str, healthy: dict[str, Path], tmp_path: Path) -> None:
    with closing(VideoReader(healthy[name])) as reader:
        whole = list(reader.frames())
    spoiled = spoil(healthy[name], tmp_path)
    if name == "h264.ts":
        spoiled = drop_packets(healthy[name], tmp_path / "lost.ts", 6)
    frames, holes = through(spoiled)
    if name == "raw.avi":  # 압축하지 않은 화면은 깨져도 알 수 없다.
        assert not holes and len(frames) == len(whole)
        return
    assert [frame.pts for frame in frames] == pytest.approx([frame.pts for frame in whole], abs=1)
    lost = [frame for frame in frames if not frame.planes]
    assert holes and 0 < len(lost) == sum(hole.frames for hole in holes) < 15
    # 깨뜨린 것은 열 번째 패킷보다 뒤다.
    assert samples.same_frames(frames[:8], whole[:8])


def test_sound_lost_on_the_way_is_told_and_the_rest_stays_in_place(lengthy: dict[str, Path], tmp_path: Path) -> None:
    lost = drop_packets(lengthy["a.ts"], tmp_path / "lost.ts", 3, 0x101)
    target = tmp_path / "made.mkv"
    notes = samples.remake(lost, target, "matroska", chunk=120)
    assert any(re.search(r"소리 #1.*깨진 패킷 \d+개", note) for note in notes), notes

    def heard(path: Path) -> list[Fraction]:
        with closing(av.open(str(path))) as container:
            base = container.streams.audio[0].time_base
            return [p.pts * base for p in container.demux(audio=0) if p.size and p.pts is not None]

    def seen(path: Path) -> Fraction:
        with closing(av.open(str(path))) as container:
            return min(p.pts * p.time_base for p in container.demux(video=0) if p.pts is not None)

    before, after = ([float(moment - seen(path)) for moment in heard(path)] for path in (lengthy["a.ts"], target))
    assert len(before) - 40 < len(after) < len(before)
    assert all(min(abs(moment - other) for other in before) < 0.001 for moment in after)


def test_a_video_cut_in_its_middle_is_read_to_the_cut(healthy: dict[str, Path], tmp_path: Path) -> None:
    cut = tmp_path / "cut.mkv"
    cut.write_bytes(healthy["plain.mkv"].read_bytes()[: healthy["plain.mkv"].stat().st_size // 2])
    frames, holes = through(cut)
    assert holes[-1].end is None and len(frames) >= (count_until_damage(cut) or 0) > 2


def test_a_healthy_video_has_no_holes(healthy: dict[str, Path]) -> None:
    for name, path in healthy.items():
        frames, holes = through(path)
        assert not holes and all(frame.planes for frame in frames), name


@pytest.mark.parametrize("name", ["h264.ts", "broadcast.ts"])
def test_the_time_in_the_message_can_be_typed_in(name: str, healthy: dict[str, Path], tmp_path: Path) -> None:
    spoiled = spoil(healthy[name], tmp_path)
    with closing(VideoReader(spoiled)) as reader:
        with pytest.raises(VideoDamagedError) as caught:
            whole = [frame.pts for frame in reader.frames()]
        found = re.search(r"성한 프레임은 (\d+)개.*--end ([0-9.]+)", str(caught.value), re.DOTALL)
        assert found is not None
        _, end = pts_range(reader.info, reader.packet_index(), None, Fraction(found[2]))
        whole = [frame.pts for frame in reader.frames(None, end)]
        assert len(whole) == int(found[1]) > 5


def test_trailing_bytes_after_the_video_are_harmless(healthy: dict[str, Path], tmp_path: Path) -> None:
    for name in ("head.mp4", "tail.mp4", "plain.mkv", "raw.avi"):
        padded = tmp_path / name
        padded.write_bytes(healthy[name].read_bytes() + b"\0" * 100)
        assert count_until_damage(padded) is None, name


def test_the_structure_of_boxes_gives_the_needed_size() -> None:
    boxes = (16).to_bytes(4, "big") + b"ftyp" + bytes(8) + (100).to_bytes(4, "big") + b"mdat" + bytes(20)
    extent = read_extent(io.BytesIO(boxes), len(boxes))
    assert (extent.needed, extent.index) == (116, False)
    walk = BoxWalk()
    for place in range(0, len(boxes), 5):
        walk.feed(boxes[place : place + 5])
    assert walk.needed == 116
    large = (1).to_bytes(4, "big") + b"mdat" + (1 << 40).to_bytes(8, "big")
    assert read_extent(io.BytesIO(large), len(large)).needed == 1 << 40


@pytest.mark.parametrize("head", [b"", b"\x1a\x45\xdf\xa3", b"RIFF", b"\0\0\0\0ftyp", b"OggS", bytes(64), b"\xff" * 64])
def test_a_head_cut_anywhere_does_not_crash_the_structure_check(head: bytes) -> None:
    extent = read_extent(io.BytesIO(head), len(head))
    assert extent.needed >= 0


def scramble(path: Path, target: Path, share: float, count: int = 2000) -> Path:
    """파일의 `share`인 자리의 `count`바이트가 엉뚱한 값인 파일."""
    data = bytearray(path.read_bytes())
    place = int(len(data) * share)
    data[place : place + count] = random.Random(1).randbytes(count)  # noqa: S311
    target.write_bytes(data)
    return target


@pytest.fixture(scope="module")
def lengthy(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """소리가 든 8초짜리 성한 비디오들."""
    folder = tmp_path_factory.mktemp("lengthy")
    made = {}
    for name, *options in (
        ("a.webm", "-c:v", "libvpx-vp9", "-cpu-used", "8", "-c:a", "libopus"),
        ("a.mkv", "-c:v", "libx264", "-c:a", "aac"),
        ("a.flv", "-c:v", "libx264", "-c:a", "aac"),
        ("a.ts", "-c:v", "libx264", "-c:a", "aac"),
        ("a.avi", "-c:v", "mpeg4", "-bf", "2", "-c:a", "mp3"),
        ("pcm.avi", "-c:v", "mpeg4", "-bf", "2", "-c:a", "pcm_s16le"),
    ):
        samples.ffmpeg("-f", "lavfi", "-i", "testsrc2=s=96x64:r=25:d=8", "-f", "lavfi", "-i", "sine=d=8",
                       "-g", "25", "-b:v", "300k", *options, folder / name)  # fmt: skip
        made[name] = folder / name
    return made


@pytest.fixture(scope="module")
def scrambled(lengthy: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """가운데의 2000바이트가 엉뚱한 값인 8초짜리 비디오들."""
    folder = tmp_path_factory.mktemp("scrambled")
    return {name: scramble(path, folder / name, 0.5) for name, path in lengthy.items()}


@pytest.mark.parametrize("name", ["a.webm", "a.flv", "a.ts", "a.avi"])
def test_frames_that_vanish_with_the_bytes_around_them_are_found(name: str, scrambled: dict[str, Path]) -> None:
    """컨테이너가 조용히 건너뛰면 디코더는 아무것도 모른다."""
    with closing(VideoReader(scrambled[name])) as reader:
        reader.packet_index()
        reader.keep_going = True
        frames = list(reader.frames())
    holes = [frame.hole for frame in frames if frame.hole is not None]
    assert len(frames) == 200 and holes
    assert sum(not frame.planes for frame in frames) == sum(hole.frames for hole in holes) > 0
    with closing(VideoReader(scrambled[name])) as reader:
        assert reader.packet_index().pts == tuple(sorted(reader.packet_index().pts))


def test_going_no_further_than_bytes_that_cannot_be_read(scrambled: dict[str, Path]) -> None:
    with closing(VideoReader(scrambled["a.webm"])) as reader:
        reader.packet_index()
        with pytest.raises(VideoDamagedError, match="읽지 못한 곳"):
            list(reader.frames())


@pytest.mark.parametrize(("share", "count"), [(0.02, 4000), (0.98, 800)])
def test_bytes_that_cannot_be_read_near_either_end_of_a_matroska_are_told(
    share: float, count: int, lengthy: dict[str, Path], tmp_path: Path
) -> None:
    """처음의 것은 비월인지 보면서 이미 지나갔고, 끝의 것은 그 뒤에 알려 줄 패킷이 없다."""
    bad = scramble(lengthy["a.mkv"], tmp_path / "bad.mkv", share, count)
    with closing(VideoReader(bad)) as reader:
        reader.keep_going = True
        reader.looks_interlaced()
        reader.packet_index()
        frames = list(reader.frames())
    assert len(frames) >= 195
    assert any(frame.hole is not None and "읽지 못한 곳" in frame.hole.reason for frame in frames)
    with closing(VideoReader(bad)) as reader, pytest.raises(VideoDamagedError):
        reader.looks_interlaced()
        reader.packet_index()
        list(reader.frames())


@pytest.mark.parametrize("name", ["a.avi", "pcm.avi"])
def test_what_follows_lost_chunks_of_an_avi_stays_at_its_time(
    name: str, lengthy: dict[str, Path], scrambled: dict[str, Path]
) -> None:
    """AVI에는 시각이 없어, 세기만 하면 잃은 덩어리만큼 뒤의 화면과 소리가 저마다 앞당겨진다."""

    def times(path: Path) -> dict[tuple[int, int], int]:
        with closing(open_container(path)) as container:
            return {(p.stream_index, p.pos): p.dts for p in demux(container) if p.size and p.pos is not None}

    whole, rest = times(lengthy[name]), times(scrambled[name])
    shared = [key for key in whole if key in rest]
    assert len(whole) - 40 < len(shared) < len(whole)
    assert [rest[key] for key in shared] == [whole[key] for key in shared]
    frames, _ = through(scrambled[name])
    with closing(VideoReader(lengthy[name])) as reader:
        healthy = {frame.pts: frame for frame in reader.frames()}
    # 깨진 곳을 지난 다음 키프레임부터는 그 시각의 프레임이 그대로다.
    late = [frame for frame in frames if frame.pts >= 150]
    assert len(late) >= 49 and samples.same_frames(late, [healthy[frame.pts] for frame in late])


def test_a_gap_in_a_broadcast_is_told_though_it_may_be_a_splice(
    scrambled: dict[str, Path], caplog: pytest.LogCaptureFixture
) -> None:
    with closing(VideoReader(scrambled["a.ts"])) as reader:
        assert len(list(reader.frames())) < 200
    assert any("건너뛴 곳이 1곳" in record.getMessage() for record in caplog.records)
