"""잘리거나 깨진 비디오는 성한 프레임을 다 낸 뒤에 오류가 된다."""

from __future__ import annotations

import io
from contextlib import closing
from pathlib import Path

import av
import pytest

from realesrgan.errors import VideoDamagedError, VideoReadError
from realesrgan.media.video import VideoReader
from realesrgan.media.video.damage import BoxWalk, read_extent
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
    assert counts[-1] >= 20 or name in ("tail.mp4", "hevc.mp4", "prores.mov")  # 색인이 뒤에 있으면 아무것도 못 푼다.


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


@pytest.mark.parametrize("name", ["plain.mkv", "tail.mp4", "prores.mov", "vp9.webm", "broadcast.ts"])
def test_a_spoiled_packet_in_the_middle_is_noticed(name: str, healthy: dict[str, Path], tmp_path: Path) -> None:
    with av.open(str(healthy[name])) as container:
        places = [(p.pos, p.size) for p in container.demux(container.streams.video[0]) if p.size]
    place, size = max(places[10:20], key=lambda item: item[1])
    data = bytearray(healthy[name].read_bytes())
    start = place + size // 4
    data[start : start + size // 2] = bytes(0xFF for _ in range(size // 2))
    spoiled = tmp_path / name
    spoiled.write_bytes(bytes(data))
    count = count_until_damage(spoiled)
    assert count is not None
    assert 5 <= count < 30


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
