"""시험에 쓰는 작은 비디오를 만들고, 따로 만든 프로그램(imageio-ffmpeg)으로 확인한다."""

from __future__ import annotations

import re
import struct
import subprocess
import wave
from collections.abc import Sequence
from contextlib import closing
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import Any

import av
import imageio_ffmpeg
import numpy as np
from numpy.typing import NDArray

from realesrgan.media.video import EncodeRequest, Segment, SegmentWriter, VideoReader, join_video, plan_encoding
from realesrgan.media.video.layouts import frame_of, layout_of, plane_shapes
from realesrgan.media.video.messages import messages_of
from realesrgan.media.video.types import Planes, VideoFrame

Array = NDArray[Any]
RATE = Fraction(25)
CLICKS = (0.25, 0.6, 0.9)
"""딱 소리(click)가 나는 시각(초)."""
HDR10 = (
    "log-level=none:hdr10=1:colorprim=bt2020:transfer=smpte2084:colormatrix=bt2020nc:"
    "master-display=G(13250,34500)B(7500,3000)R(34000,16000)WP(15635,16450)L(10000000,50):max-cll=1000,400"
)


def ffmpeg(*arguments: str | Path) -> str:
    """imageio-ffmpeg의 프로그램을 돌리고 표준 출력을 돌려준다. 실패하면 시험도 실패한다."""
    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-hide_banner", "-nostdin", "-y", *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout


def describe(path: Path) -> str:
    """프로그램이 본 파일의 설명."""
    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-hide_banner", "-nostdin", "-i", str(path)]
    return subprocess.run(command, capture_output=True, text=True, timeout=120).stderr


def judged_times(path: Path) -> list[Fraction]:
    """프로그램이 본 비디오 프레임의 시각(초)."""
    text = ffmpeg("-v", "error", "-copyts", "-i", path, "-map", "0:v:0", "-fps_mode", "passthrough",
                  "-enc_time_base", "demux", "-f", "framemd5", "-")  # fmt: skip
    found = re.search(r"#tb 0: (\d+)/(\d+)", text)
    assert found is not None
    base = Fraction(int(found[1]), int(found[2]))
    return [int(line.split(",")[2]) * base for line in text.splitlines() if line and not line.startswith("#")]


def texture(index: int, width: int = 64, height: int = 48, bits: int = 8) -> Array:
    """프레임마다 다른, 부드러운 무늬."""
    y, x = np.mgrid[:height, :width]
    wave_ = np.sin((x + 3 * index) / 6.0) + np.cos((y - 2 * index) / 5.0)
    values = (wave_ / 4 + 0.5) * 200 + 20
    return (values * (1 << (bits - 8))).astype(np.uint8 if bits == 8 else np.uint16)


def planes(index: int, pix_fmt: str = "yuv420p", width: int = 64, height: int = 48) -> Planes:
    """`pix_fmt`의 평면들. 평면마다 무늬가 다르다."""
    layout = layout_of(pix_fmt)
    shapes = plane_shapes(layout, width, height)
    count = len(shapes) + (layout.family == "gray" and layout.alpha)
    return tuple(texture(index + 5 * k, shapes[k][1], shapes[k][0], layout.bits) for k in range(count))


def write_video(
    path: Path,
    codec: str = "libx264",
    pix_fmt: str = "yuv420p",
    times: Sequence[int] | None = None,
    time_base: Fraction = Fraction(1, 12800),
    size: tuple[int, int] = (64, 48),
    count: int = 20,
    options: dict[str, str] | None = None,
    colour: tuple[int, int, int, int] | None = None,
    aspect: Fraction | None = None,
) -> Path:
    """PyAV로 비디오를 만든다. `colour`는 (행렬, 원색, 전달, 범위)의 FFmpeg 번호다."""
    width, height = size
    times = range(0, 512 * count, 512) if times is None else times
    # 편집 목록(edit list)의 눈금이 1/1000초라 시작 시각이 반올림되지 않게 한다.
    scale = {"movie_timescale": str(time_base.denominator)} if path.suffix in (".mp4", ".mov") else {}
    with av.open(str(path), "w", container_options=scale) as output:
        stream = output.add_stream(codec, rate=RATE, options=options or {})
        context = stream.codec_context
        context.width, context.height, context.pix_fmt, context.time_base = width, height, pix_fmt, time_base
        stream.time_base = time_base
        if colour:
            context.colorspace, context.color_primaries, context.color_trc, context.color_range = colour
        if aspect:
            context.sample_aspect_ratio = aspect
        for index, pts in enumerate(times):
            frame = frame_of(planes(index, pix_fmt, width, height), layout_of(pix_fmt))
            frame.pts, frame.time_base = pts, time_base
            if colour:
                frame.colorspace, frame.color_primaries, frame.color_trc, frame.color_range = colour
            output.mux(stream.encode(frame))
        output.mux(stream.encode(None))
    return path


def weave_video(path: Path, weave: bool = True, flagged: bool = False, count: int = 40) -> Path:
    """움직이는 무늬의 비디오. `weave`면 두 때의 줄을 엮은 진짜 비월이고, `flagged`면 비월이라고 적는다."""
    size = (128, 96)
    with av.open(str(path), "w") as output:
        stream = output.add_stream("libx264", rate=RATE, options={"x264-params": "tff=1"} if flagged else {})
        context = stream.codec_context
        context.width, context.height = size
        if flagged:
            context.flags |= av.codec.context.Flags.interlaced_dct.value
        for index in range(count):
            luma = texture(2 * index, *size)
            if weave:
                luma[1::2] = texture(2 * index + 1, *size)[1::2]
            chroma = np.full((48, 64), 128, np.uint8)
            frame = frame_of((luma, chroma, chroma), layout_of("yuv420p"))
            frame.pts, frame.time_base = index, 1 / RATE
            output.mux(stream.encode(frame))
        output.mux(stream.encode(None))
    return path


def click_wave(path: Path, seconds: float = 1.2, rate: int = 48000) -> Path:
    """정해진 때에 딱 소리가 나는 소리 파일."""
    samples = np.zeros((int(seconds * rate), 2), np.int16)
    for moment in CLICKS:
        samples[int(moment * rate) : int(moment * rate) + 24] = 20000
    with wave.open(str(path), "wb") as file:
        file.setnchannels(2)
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes(samples.tobytes())
    return path


def heard_clicks(path: Path, track: int = 0) -> list[float]:
    """소리에서 딱 소리가 나는 시각들(초)."""
    found: list[float] = []
    with av.open(str(path)) as container:
        for frame in container.decode(container.streams.audio[track]):
            values = np.abs(frame.to_ndarray().astype(np.float64))
            channel = values[0] if frame.format.is_planar else values[0][:: frame.layout.nb_channels]
            full = {"flt": 1, "dbl": 1, "s16": 1 << 15, "s32": 1 << 31}[frame.format.name.rstrip("p")]
            for place in np.flatnonzero(channel > full / 4):
                moment = float(frame.pts * frame.time_base) + place / frame.sample_rate
                if not found or moment - found[-1] > 0.05:
                    found.append(moment)
    return found


def rich_video(folder: Path) -> Path:
    """소리 셋, 자막, 챕터, 첨부 글꼴, 메타데이터가 든 1.2초짜리 mkv."""
    (folder / "s.srt").write_text(
        "1\n00:00:00,100 --> 00:00:00,400\n안녕 <i>하세요</i>\n\n2\n00:00:00,700 --> 00:00:01,100\n둘째 줄\n\n", "utf-8"
    )
    (folder / "meta.txt").write_text(
        ";FFMETADATA1\ntitle=제목\nartist=누구\nfoo=bar\n"
        "[CHAPTER]\nTIMEBASE=1/1000\nSTART=0\nEND=500\ntitle=첫 장\n"
        "[CHAPTER]\nTIMEBASE=1/1000\nSTART=500\nEND=1200\ntitle=둘째 장\n",
        "utf-8",
    )
    (folder / "font.ttf").write_bytes(b"\0\1\0\0" + bytes(400))
    path = folder / "rich.mkv"
    ffmpeg(
        "-f", "lavfi", "-i", "testsrc2=s=64x48:r=25:d=1.2", "-i", click_wave(folder / "c.wav"), "-i", folder / "s.srt",
        "-i", folder / "meta.txt", "-map", "0", "-map", "1", "-map", "1", "-map", "1", "-map", "2",
        "-map_metadata", "3", "-map_chapters", "3", "-c:v", "libx264", "-g", "10",
        "-c:a:0", "aac", "-c:a:1", "ac3", "-c:a:2", "libopus", "-c:s", "srt",
        "-metadata:s:a:0", "language=kor", "-metadata:s:a:1", "language=eng", "-metadata:s:a:1", "title=Commentary",
        "-metadata:s:s:0", "language=kor", "-disposition:a:1", "comment",
        "-attach", folder / "font.ttf", "-metadata:s:t", "mimetype=font/ttf", path,
    )  # fmt: skip
    return path


def mp4_with_cover(folder: Path, source: Path) -> Path:
    """`rich_video`을 mp4로 옮기고 표지 이미지를 붙인 것."""
    cover = folder / "cover.png"
    header = struct.pack(">IIBBBBB", 16, 16, 8, 2, 0, 0, 0)
    ffmpeg("-f", "lavfi", "-i", "color=red:s=16x16", "-frames:v", "1", cover)
    assert header in cover.read_bytes()
    path = folder / "rich.mp4"
    ffmpeg("-i", source, "-i", cover, "-map", "0:v", "-map", "0:a", "-map", "0:s", "-map", "1", "-c", "copy",
           "-c:s", "mov_text", "-disposition:v:1", "attached_pic", path)  # fmt: skip
    return path


def remake(
    source: Path,
    target: Path,
    container: str,
    start: int | None = None,
    end: int | None = None,
    request: EncodeRequest | None = None,
    chunk: int = 7,
) -> tuple[str, ...]:
    """키우지 않고 다시 인코딩한다. 조각 여럿으로 나누어 쓰고 잇는다. 알림을 돌려준다."""
    with closing(VideoReader(source)) as reader:
        info = reader.info
        plan = plan_encoding(info, request or EncodeRequest(), container, (info.width, info.height))
        frames = list(reader.frames(start, end))
    segments = []
    for number, first in enumerate(range(0, len(frames), chunk)):
        part = frames[first : first + chunk]
        path = target.with_name(f"{number}.segment")
        with closing(SegmentWriter(path, plan)) as writer:
            for frame in part:
                writer.write(frame.planes, frame.pts - part[0].pts, frame.duration, messages_of(frame))
            writer.finish()
        segments.append(Segment(str(path), part[0].pts, writer.times))
    return (*plan.warnings, *join_video(segments, source, target, plan, info, start=start, end=end))


def same_frames(left: Sequence[VideoFrame], right: Sequence[VideoFrame]) -> bool:
    """시각과 값이 모두 같은지."""
    return [frame.pts for frame in left] == [frame.pts for frame in right] and all(
        np.array_equal(a, b) for x, y in zip(left, right, strict=True) for a, b in zip(x.planes, y.planes, strict=True)
    )


def lavfi_video(path: Path, source: str, size: str, frames: int = 40) -> Path:
    """FFmpeg의 시험 화면(lavfi)으로 만든 순차 비디오."""
    graph = av.filter.Graph()
    steps = [graph.add(source, f"size={size}:rate=24"), graph.add("format", "yuv420p"), graph.add("buffersink")]
    for first, second in pairwise(steps):
        first.link_to(second)
    graph.configure()
    with av.open(str(path), "w") as output:
        stream = output.add_stream("libx264", rate=24, options={"crf": "12", "preset": "ultrafast"})
        stream.width, stream.height = (int(side) for side in size.split("x"))
        stream.pix_fmt = "yuv420p"
        for number in range(frames):
            frame = graph.vpull()
            frame.pts, frame.time_base = number, Fraction(1, 24)
            output.mux(stream.encode(frame))
        output.mux(stream.encode())
    return path
