"""표준 출력처럼 되감을 수 없는 곳에 압축하지 않은 비디오를 쓴다(NUT, y4m)."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from fractions import Fraction
from typing import Any, BinaryIO

from realesrgan.errors import VideoFormatError
from realesrgan.media.video.encoders import set_up
from realesrgan.media.video.files import import_av, korean_write_errors
from realesrgan.media.video.layouts import layout_of, make_layout
from realesrgan.media.video.segment import coloured_frame
from realesrgan.media.video.types import NO_TIMES, EncodePlan, EncodeRequest, PixelLayout, Planes, VideoInfo

_Y4M_BITS = (8, 10, 12, 14, 16)
_Y4M_CHROMA = ((1, 1), (2, 1), (2, 2))


def raw_layout(info: VideoInfo, request: EncodeRequest, container: str) -> tuple[PixelLayout, list[str]]:
    """NUT이나 y4m에 담을 평면 배치와 알릴 것.

    y4m은 알파와 RGB를 담지 못한다. RGB는 4:4:4 YUV로 옮긴다.

    Raises:
        VideoFormatError: 청한 픽셀 형식을 담을 수 없을 때.
    """
    layout = layout_of(request.pix_fmt) if request.pix_fmt else info.layout
    if container == "nut":
        return layout, []
    if request.pix_fmt and not _fits_y4m(layout):
        raise _no_place(request.pix_fmt)
    if _fits_y4m(layout):
        return layout, []
    warnings = ["알파 채널은 y4m에 담을 수 없어 버립니다. 지키려면 NUT으로 쓰세요."] if layout.alpha else []
    bits = min(depth for depth in _Y4M_BITS if depth >= layout.bits)
    chroma = layout.subsampling if layout.subsampling in _Y4M_CHROMA else (1, 1)
    if layout.family == "gray":
        return make_layout("gray", 16 if layout.bits > 8 else 8), warnings
    return make_layout("yuv", bits, chroma), warnings


def _fits_y4m(layout: PixelLayout) -> bool:
    if layout.alpha or layout.bits not in _Y4M_BITS:
        return False
    if layout.family == "gray":
        return layout.bits in (8, 16)
    return layout.family == "yuv" and layout.subsampling in _Y4M_CHROMA


_NAME = "표준 출력"


class StreamWriter:
    """프레임을 `file`에 곧바로 쓴다. `SegmentWriter`와 같이 쓴다. `file`은 닫지 않는다.

    `plan.container`가 `nut`이면 압축하지 않은 NUT(시각과 픽셀 형식을 그대로 담는다),
    `yuv4mpegpipe`면 y4m(고른 속도의 YUV만 담는다)이다. 소리는 담지 않는다.

    Args:
        file: 쓸 수 있는 바이너리 파일 객체.
        plan: 인코딩 계획.

    Raises:
        VideoFormatError: 그 컨테이너로 쓸 수 없을 때.
        VideoWriteError: 쓸 수 없을 때.
    """

    times = NO_TIMES

    def __init__(self, file: BinaryIO, plan: EncodePlan) -> None:
        self._frames, self._last, self._done = 0, -1, False
        self._base, self._sink = plan.time_base, _Sink(file)
        self._even = plan.container == "yuv4mpegpipe"
        if plan.container != "nut" and not self._even:
            raise VideoFormatError(
                f"표준 출력에 쓸 수 없는 형식입니다: {plan.container}\n  이유: 되감을 수 없는 곳입니다.\n"
                "  해결: NUT이나 y4m으로 쓰거나 -o에 파일을 지정하세요."
            )
        if self._even and not _fits_y4m(plan.layout):
            raise _no_place(plan.layout.pix_fmt)
        # y4m은 시각 없이 속도만 적는다. FFmpeg는 그 속도를 눈금에서 얻는다.
        self._plan = plan = replace(plan, time_base=1 / plan.rate) if self._even else plan
        # 8비트보다 깊은 y4m은 널리 쓰이지만 규격에는 없다.
        options = {"strict": "unofficial"} if self._even else {}
        with korean_write_errors(_NAME):
            self._container = import_av().open(self._sink, "w", format=plan.container, options=options)
            self._stream: Any = self._container.add_stream("rawvideo", rate=plan.rate)
            set_up(self._stream.codec_context, plan)
            if plan.layout.subsampling == (2, 2):
                self._stream.codec_context.options = {"chroma_sample_location": "left"}
            self._stream.time_base = plan.time_base

    def write(self, planes: Planes, pts: int, duration: int = 0, messages: tuple[bytes, ...] = ()) -> None:
        """프레임 하나를 쓴다. 인자는 `SegmentWriter.write`와 같다.

        Raises:
            VideoWriteError: 받는 쪽이 닫혔거나 쓸 수 없을 때.
            VideoFormatError: y4m에 속도가 고르지 않은 비디오를 쓸 때.
            ValueError: 시각이 늘어나지 않을 때.
        """
        if pts <= self._last:
            raise ValueError(f"시각이 늘어나지 않습니다: {self._last} 다음에 {pts}")
        if self._even and abs(pts * self._base * self._plan.rate - self._frames) >= Fraction(1, 2):
            raise VideoFormatError(
                f"y4m에는 속도가 고르지 않은 비디오를 쓸 수 없습니다({float(pts * self._base):.3f}초).\n"
                f"  이유: y4m은 초당 {float(self._plan.rate):g}프레임의 고른 속도만 적습니다.\n"
                "  해결: NUT으로 쓰거나 --fps로 고른 속도를 정하세요."
            )
        with korean_write_errors(_NAME):
            frame = coloured_frame(planes, self._plan)
            frame.pts, frame.duration = (self._frames, 1) if self._even else (pts, duration)
            self._container.mux(self._stream.encode(frame))
        self._last = pts
        self._frames += 1

    def finish(self) -> int:
        """남은 것을 모두 내보내고 쓴 프레임 수를 돌려준다.

        Raises:
            VideoWriteError: 받는 쪽이 닫혔거나 쓸 수 없을 때.
        """
        self._done = True
        with korean_write_errors(_NAME):
            self._container.mux(self._stream.encode(None))
            self._container.close()
            self._sink.flush()
        return self._frames

    def close(self) -> None:
        """`finish` 없이 닫는다. 더 내보내지 않지만 이미 쓴 것은 거둘 수 없다."""
        if not self._done:
            self._done = self._sink.silent = True
            # 이미 그만두기로 한 출력이므로 마무리하다 나는 오류는 뜻이 없다.
            with suppress(Exception):
                self._container.close()


class _Sink:
    """PyAV에 쓰기만 내보이는 파일 객체. 되감기를 숨겨 컨테이너가 고쳐 쓰지 않게 한다."""

    name = "<stdout>"

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self.silent = False

    def write(self, data: bytes) -> int:
        """모두 쓴다. 조용히 하라고 했으면 버린다."""
        view = memoryview(data)
        while view and not self.silent:
            written = self._file.write(view)
            view = view[written if written is not None else len(view) :]
        return len(data)

    def flush(self) -> None:
        """버퍼에 남은 것을 내보낸다."""
        self._file.flush()


def _no_place(pix_fmt: str) -> VideoFormatError:
    return VideoFormatError(
        f"y4m에 담을 수 없는 픽셀 형식입니다: {pix_fmt}\n"
        "  이유: y4m은 알파 없는 YUV 4:2:0, 4:2:2, 4:4:4와 회색만 담습니다.\n"
        "  해결: --pix_fmt를 바꾸거나 NUT으로 쓰세요."
    )
