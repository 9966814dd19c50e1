"""움직이는 이미지(GIF, WebP, APNG)를 비디오처럼 읽고 쓴다."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

from realesrgan.errors import VideoReadError
from realesrgan.media.image import probe_image, read_image, write_image
from realesrgan.media.picture import Frame, Picture
from realesrgan.media.video.types import PacketIndex, VideoFrame
from realesrgan.video.image_sequence import ImageSequence, to_planes

MILLISECOND = Fraction(1, 1000)
# 길이를 적지 않은 프레임은 브라우저들이 이만큼(밀리초) 보인다.
_USUAL = 100


class Animation(ImageSequence):
    """움직이는 이미지 하나. `media.video.VideoReader`와 같이 쓴다. 시각의 단위는 1/1000초다.

    Args:
        path: 이미지 파일.

    Raises:
        ImageReadError: 읽을 수 없을 때.
        VideoReadError: 프레임이 하나뿐일 때.
    """

    def __init__(self, path: Path) -> None:
        super().__init__((path,), str(path))
        self._picture = read_image(path, max_output_pixels=None)
        if self._picture.frame_count < 2 or self._picture.pages:
            raise VideoReadError(
                f"움직이는 이미지가 아닙니다: {path}\n  해결: 사진 명령(python inference_realesrgan.py)으로 키우세요."
            )
        lengths = [round(frame.duration) or _USUAL for frame in self._picture]
        self._lengths = lengths
        self._pts = [sum(lengths[:place]) for place in range(len(lengths))]
        self._describe(MILLISECOND, Fraction(1000 * len(lengths), sum(lengths)), len(lengths))

    @property
    def loop(self) -> int:
        """재생 횟수. 0은 끝없이."""
        return self._picture.loop

    @property
    def tail(self) -> int:
        """마지막 프레임의 길이(밀리초)."""
        return self._lengths[-1]

    def packet_index(self) -> PacketIndex:
        """모든 프레임이 키프레임이다."""
        return PacketIndex(tuple(self._pts), tuple(self._pts))

    def frames(self, start: int | None = None, end: int | None = None) -> Iterator[VideoFrame]:
        """`start <= pts < end`의 프레임을 차례로 낸다. 앞에서부터 풀어야 하므로 언제나 처음부터 읽는다."""
        for pts, length, frame in zip(self._pts, self._lengths, self._picture, strict=True):
            if end is not None and pts >= end:
                return
            if start is None or pts >= start:
                yield VideoFrame(to_planes(frame.array, self.info.layout), pts, length)


def is_animation(path: Path) -> bool:
    """움직이는 이미지인지. 머리만 본다.

    Raises:
        ImageReadError: 읽을 수 없을 때.
    """
    info = probe_image(path)
    return info.frames > 1 and not info.pages


def join_animation(
    segments: Sequence[tuple[Path, int]], target: Path, time_base: Fraction, tail: int, loop: int
) -> tuple[tuple[str, ...], int]:
    """조각마다의 이미지를 움직이는 이미지 하나로 쓴다. 다 쓰인 뒤에야 제 이름으로 나타난다.

    Args:
        segments: 조각의 폴더와 첫 프레임의 시각. 폴더의 이미지의 이름은 조각 안에서의 시각이다.
        target: 결과의 경로.
        time_base: 시각의 단위(초).
        tail: 마지막 프레임의 길이(밀리초).
        loop: 재생 횟수.

    Returns:
        알릴 것과 프레임 수.

    Raises:
        ImageWriteError: 쓸 수 없을 때.
    """
    shown = [(offset + int(path.stem), path) for folder, offset in segments for path in sorted(Path(folder).iterdir())]
    moments = [round(pts * time_base * 1000) for pts, _ in shown]
    moments.append(moments[-1] + tail)
    lengths = [max(after - before, 1) for before, after in pairwise(moments)]

    def frames() -> Iterator[Frame]:
        for (_, path), length in zip(shown, lengths, strict=True):
            yield Frame(read_image(path, max_output_pixels=None).first.array, length)

    return write_image(target, Picture(frames(), len(shown), loop=loop)), len(shown)
