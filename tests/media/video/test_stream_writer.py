"""표준 출력: NUT과 y4m."""

from __future__ import annotations

import io
import os
from contextlib import closing
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from realesrgan.errors import VideoFormatError, VideoWriteError
from realesrgan.media.video import Colour, EncodePlan, VideoReader
from realesrgan.media.video.layouts import layout_of
from realesrgan.media.video.stream import StreamWriter
from tests.media.video import samples


class Sink(io.RawIOBase):
    """되감을 수 없고, 한 번에 조금씩만 받는 출력."""

    def __init__(self) -> None:
        self.data = bytearray()

    def writable(self) -> bool:
        return True

    def write(self, data: object) -> int:
        part = bytes(memoryview(data)[:1000])  # type: ignore[arg-type]
        self.data += part
        return len(part)


def plan_for(container: str, pix_fmt: str, base: Fraction = Fraction(1, 90000)) -> EncodePlan:
    return EncodePlan(
        container, "rawvideo", layout_of(pix_fmt), Colour(1, 1, 1), 65, 49, base, samples.RATE, pix_fmt=pix_fmt
    )


def send(container: str, pix_fmt: str, times: list[int]) -> bytes:
    sink = Sink()
    plan = plan_for(container, pix_fmt)
    with closing(StreamWriter(sink, plan)) as writer:  # type: ignore[arg-type]
        for index, pts in enumerate(times):
            writer.write(samples.planes(index, pix_fmt, 65, 49), pts)
        assert writer.finish() == len(times)
    return bytes(sink.data)


@pytest.mark.parametrize(
    ("container", "pix_fmt"),
    [
        *(("nut", f) for f in ("yuv420p", "yuv422p10le", "yuva444p16le", "gbrp", "gbrap12le", "gray16le", "yuva420p")),
        *(("yuv4mpegpipe", f) for f in ("yuv420p", "yuv444p12le", "yuv422p10le", "gray", "gray16le", "yuv420p16le")),
    ],
)
def test_values_and_times_arrive_unchanged(container: str, pix_fmt: str, tmp_path: Path) -> None:
    times = [0, 3600, 7200, 10800, 14400]
    path = tmp_path / "out"
    path.write_bytes(send(container, pix_fmt, times))
    with path.open("rb") as file, closing(VideoReader(file)) as reader:
        assert reader.info.layout == layout_of(pix_fmt)
        frames = list(reader.frames())
        assert [frame.pts * reader.info.time_base for frame in frames] == [Fraction(pts, 90000) for pts in times]
    for index, frame in enumerate(frames):
        expected = samples.planes(index, pix_fmt, 65, 49)
        assert all(np.array_equal(a, b) for a, b in zip(frame.planes, expected, strict=True))
    assert len(samples.judged_times(path)) == 5


def test_nut_keeps_variable_timestamps(tmp_path: Path) -> None:
    times = [0, 1, 5000, 5003, 90001]
    path = tmp_path / "out.nut"
    path.write_bytes(send("nut", "yuv420p", times))
    assert samples.judged_times(path) == [Fraction(pts, 90000) for pts in times]


def test_y4m_refuses_uneven_timestamps_and_names_the_remedy() -> None:
    with pytest.raises(VideoFormatError, match=r"고르지 않은[\s\S]*--fps"):
        send("yuv4mpegpipe", "yuv420p", [0, 3600, 12000])


def test_y4m_accepts_timestamps_rounded_to_milliseconds() -> None:
    plan = EncodePlan("yuv4mpegpipe", "rawvideo", layout_of("yuv420p"), Colour(1), 64, 48, Fraction(1, 1000),
                      Fraction(24000, 1001), pix_fmt="yuv420p")  # fmt: skip
    with closing(StreamWriter(Sink(), plan)) as writer:  # type: ignore[arg-type]
        for index in range(100):
            writer.write(samples.planes(0), round(index * 1001 / 24))
        assert writer.finish() == 100


@pytest.mark.parametrize("pix_fmt", ["yuva420p", "gbrp", "yuv410p", "gray12le"])
def test_y4m_refuses_formats_it_has_no_name_for(pix_fmt: str) -> None:
    with pytest.raises(VideoFormatError, match="y4m"):
        StreamWriter(Sink(), plan_for("yuv4mpegpipe", pix_fmt))  # type: ignore[arg-type]


def test_other_containers_are_refused() -> None:
    with pytest.raises(VideoFormatError, match="되감을 수 없는"):
        StreamWriter(Sink(), plan_for("mp4", "yuv420p"))  # type: ignore[arg-type]


@pytest.mark.parametrize("container", ["nut", "yuv4mpegpipe"])
def test_a_closed_reader_is_an_error_not_a_crash(container: str) -> None:
    receive, send_end = os.pipe()
    os.close(receive)
    with (
        os.fdopen(send_end, "wb", buffering=0) as file,
        pytest.raises(VideoWriteError, match="해결"),
        closing(StreamWriter(file, plan_for(container, "yuv420p"))) as writer,
    ):
        for index in range(50):
            writer.write(samples.planes(index, width=65, height=49), index * 3600)
        writer.finish()
