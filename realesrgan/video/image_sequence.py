"""이미지 시퀀스(image sequence)를 비디오처럼 읽고 쓴다."""

from __future__ import annotations

import logging
import math
import os
import re
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from realesrgan.errors import ImageReadError, VideoDamagedError, VideoReadError, VideoWriteError
from realesrgan.media.formats import format_of_name
from realesrgan.media.image import probe_image, read_image, still, write_image
from realesrgan.media.video.interlace import Deinterlace
from realesrgan.media.video.types import (
    NO_TIMES,
    Colour,
    EncodePlan,
    Hole,
    PacketIndex,
    PixelLayout,
    Planes,
    VideoFrame,
    VideoInfo,
)
from realesrgan.video.settings import IMAGES, is_replaceable
from realesrgan.video.workspace import OLD_NAME, write_errors

logger = logging.getLogger(__name__)

# 이미지는 속도를 말하지 않는다. 영화의 속도를 기본으로 한다.
DEFAULT_RATE = Fraction(24)
SRGB = Colour(matrix=0, primaries=1, transfer=13, full_range=True)


def rgb_layout(bits: int, alpha: bool) -> PixelLayout:
    """이미지를 담는 평면의 배치. 8비트나 16비트."""
    name = ("gbrap" if alpha else "gbrp") + ("" if bits == 8 else "16le")
    return PixelLayout(name, "rgb", bits, alpha=alpha)


def plan_images(info: VideoInfo, extension: str, size: tuple[int, int], container: str = IMAGES) -> EncodePlan:
    """비디오를 이미지들로 쓸 때의 배치. 형식이 16비트를 담으면 깊은 비디오는 16비트로 쓴다."""
    found = format_of_name(f"x.{extension}")
    deep = info.layout.bits > 8 and found is not None and found.sixteen_bit
    layout = rgb_layout(16 if deep else 8, info.layout.alpha)
    return EncodePlan(container, extension, layout, SRGB, *size, info.time_base, info.rate)


class ImageSequence:
    """크기가 같은 이미지들을 차례로 내는 비디오. `media.video.VideoReader`와 같이 쓴다.

    Args:
        paths: 이미지들, 보일 차례대로.
        name: 사람에게 보일 이름.
        rate: 초당 프레임.

    Raises:
        VideoReadError: 이미지가 없거나 크기가 서로 다를 때.
    """

    def __init__(self, paths: Sequence[Path], name: str, rate: Fraction | None = None) -> None:
        self.paths = tuple(paths)
        rate = rate or DEFAULT_RATE
        if not self.paths:
            raise VideoReadError(f"이미지가 없습니다: {name}\n  해결: 이미지가 든 폴더를 주세요.")
        width, height, bits, alpha = _common_shape(self.paths)
        self._layout = rgb_layout(bits, alpha)
        self.missing = missing_numbers(self.paths)
        self.fill_gaps = False
        self.deinterlace: Deinterlace = ""
        self.keep_going = self.fit_changes = False
        self._shape = (name, width, height)
        self._describe(1 / rate, rate, len(self.paths))

    def _describe(self, time_base: Fraction, rate: Fraction, frames: int) -> None:
        name, width, height = self._shape
        self.info = VideoInfo(
            name=name,
            width=width,
            height=height,
            rotation=0,
            layout=self._layout,
            colour=SRGB,
            time_base=time_base,
            rate=rate,
            frames=frames,
            duration=float(frames / rate),
        )

    def describe_at(self, start: int) -> None:
        """이미지들은 크기가 모두 같다."""

    def looks_interlaced(self) -> bool:
        """이미지에는 비월이 없다."""
        return False

    def check_tracks(self, target: Path, plan: EncodePlan) -> tuple[str, ...]:
        """이미지에는 소리도 자막도 없다."""
        return ()

    def packet_index(self) -> PacketIndex:
        """모든 이미지가 키프레임이다."""
        pts = tuple(pts for pts, path in enumerate(self._line()) if path is not None)
        return PacketIndex(pts, pts)

    def _line(self) -> list[Path | None]:
        """보일 차례의 이미지들. 빈 번호를 메우면 그 자리는 None이다."""
        if not self.fill_gaps or not self.missing:
            return list(self.paths)
        found = dict(zip(frame_numbers(self.paths), self.paths, strict=True))
        step = self.missing.step
        return [found.get(number) for number in range(min(found), max(found) + 1, step)]

    def frames(self, start: int | None = None, end: int | None = None) -> Iterator[VideoFrame]:
        """`start <= pts < end`의 이미지를 차례로 낸다.

        Raises:
            VideoDamagedError: 읽을 수 없는 이미지를 만났을 때(`keep_going`이 아니면). 앞의 이미지들은 모두 낸 뒤다.
        """
        line = self._line()
        first = max(start or 0, 0)
        last = len(line) if end is None else min(end, len(line))
        for pts in range(first, last):
            path = line[pts]
            if path is None:
                yield VideoFrame((), pts, 1)  # 빠진 번호의 자리에는 앞 이미지를 되풀이한다.
                continue
            try:
                array = read_image(path, max_output_pixels=None).first.array
            except ImageReadError as error:
                if not self.keep_going:
                    raise VideoDamagedError(
                        f"{error}\n  앞의 이미지 {pts}장은 온전합니다. 지나 계속하려면 --on_damage continue를 쓰세요."
                    ) from error
                moment = float(pts / self.info.rate)
                yield VideoFrame((), pts, 1, Hole(moment, moment, 1, f"읽을 수 없는 이미지: {path.name}"))
                continue
            yield VideoFrame(to_planes(array, self._layout), pts, 1)

    def close(self) -> None:
        """닫을 것이 없다."""


@dataclass(frozen=True)
class MissingNumbers:
    """차례가 빠진 번호들. 하나도 없으면 거짓이다.

    Attributes:
        numbers: 빠진 번호.
        step: 번호의 간격.
    """

    numbers: tuple[int, ...] = ()
    step: int = 1

    def __bool__(self) -> bool:
        return bool(self.numbers)

    def __str__(self) -> str:
        shown = ", ".join(map(str, self.numbers[:10]))
        more = len(self.numbers) - 10
        return shown + (f" 그 밖에 {more}개" if more > 0 else "")


def frame_numbers(paths: Sequence[Path]) -> tuple[int, ...]:
    """이름의 번호들. 앞뒤의 글자가 서로 다르거나 번호가 없는 이름이 있으면 비어 있다."""
    matches = [re.fullmatch(r"(.*?)(\d+)(\D*)", path.stem) for path in paths]
    parts = [match.groups() for match in matches if match is not None]
    if len(parts) < len(paths) or len({(head, tail) for head, _, tail in parts}) > 1:
        return ()
    numbers = tuple(int(number) for _, number, _ in parts)
    return numbers if len(set(numbers)) == len(numbers) else ()


def missing_numbers(paths: Sequence[Path]) -> MissingNumbers:
    """차례로 매긴 이름에서 빠진 번호들. 두 칸씩 매긴 것처럼 고르게 건너뛴 것은 빠진 것이 아니다."""
    numbers = sorted(frame_numbers(paths))
    gaps = [second - first for first, second in pairwise(numbers)]
    step = math.gcd(*gaps) if gaps else 1
    # 번호가 시각이나 날짜처럼 성기면 차례가 아니다.
    if not gaps or sum(gap // step for gap in gaps) > 2 * len(gaps) + 10:
        return MissingNumbers()
    found = set(numbers)
    lost = tuple(number for number in range(numbers[0], numbers[-1], step) if number not in found)
    return MissingNumbers(lost, step)


def _common_shape(paths: Sequence[Path]) -> tuple[int, int, int, bool]:
    """모두를 담는 `(너비, 높이, 비트, 알파)`. 머리만 읽는다. 읽을 수 없는 것은 차례가 왔을 때 알린다."""
    first = probe_image(paths[0])
    size, bits, alpha = (first.width, first.height), first.bit_depth, first.mode == "RGBA"
    for path in paths[1:]:
        try:
            info = probe_image(path)
        except ImageReadError as error:
            logger.warning("읽을 수 없는 이미지가 있습니다: %s", error)
            continue
        if size != (info.width, info.height):
            raise VideoReadError(
                f"이미지의 크기가 서로 다릅니다: {path}\n"
                f"  첫 이미지는 {size[0]}x{size[1]}인데 이 이미지는 {info.width}x{info.height}입니다.\n"
                "  해결: 크기가 같은 이미지만 두거나, 사진 명령(realesrgan)으로 하나씩 키우세요."
            )
        bits, alpha = max(bits, info.bit_depth), alpha or info.mode == "RGBA"
    return *size, bits, alpha


def to_planes(array: NDArray[Any], layout: PixelLayout) -> Planes:
    """`(H, W)`, `(H, W, 3)` BGR, `(H, W, 4)` BGRA 배열을 평면으로 바꾼다. 8비트는 필요하면 16비트로 넓힌다."""
    wide = array.dtype == np.uint8 and layout.bits == 16
    pixels = array.astype(np.uint16) * np.uint16(257) if wide else array
    if pixels.ndim == 2:
        pixels = np.repeat(pixels[..., None], 3, axis=2)
    planes = [np.ascontiguousarray(pixels[..., channel]) for channel in (1, 0, 2)]
    if layout.alpha:
        opaque = np.full(pixels.shape[:2], 2**layout.bits - 1, pixels.dtype)
        planes.append(np.ascontiguousarray(pixels[..., 3]) if pixels.shape[2] == 4 else opaque)
    return tuple(planes)


def to_array(planes: Planes) -> NDArray[Any]:
    """RGB 평면을 `(H, W, 3)` BGR이나 `(H, W, 4)` BGRA로 바꾼다."""
    green, blue, red = planes[:3]
    return np.dstack([blue, green, red, *planes[3:]])


class ImageSegmentWriter:
    """조각 하나를 이미지들로 쓴다. `media.video.SegmentWriter`와 같이 쓴다.

    Args:
        folder: 이미지를 둘 폴더. 다 쓴 뒤에야 이 이름으로 나타난다.
        extension: 점 없는 확장자.
        timed: 이름을 차례가 아니라 시각으로 지을지.
    """

    times = NO_TIMES

    def __init__(self, folder: Path, extension: str, timed: bool = False) -> None:
        self._timed = timed
        self._folder = folder
        self._temporary = folder.with_name(folder.name + ".part")
        self._extension = extension
        self._count = 0
        with write_errors(f"이미지를 쓸 수 없습니다: {folder}"):
            shutil.rmtree(self._temporary, ignore_errors=True)
            self._temporary.mkdir(parents=True)

    def write(self, planes: Planes, pts: int, duration: int = 0, messages: tuple[bytes, ...] = ()) -> None:
        """이미지 하나를 쓴다.

        Raises:
            ImageWriteError: 쓸 수 없을 때.
        """
        number = pts if self._timed else self._count
        write_image(image_path(self._temporary, number, self._extension), still(to_array(planes)))
        self._count += 1

    def finish(self) -> int:
        """다 쓰고 이미지의 수를 돌려준다.

        Raises:
            VideoWriteError: 폴더의 이름을 바꿀 수 없을 때.
        """
        with write_errors(f"이미지를 쓸 수 없습니다: {self._folder}"):
            shutil.rmtree(self._folder, ignore_errors=True)
            self._temporary.replace(self._folder)
        return self._count

    def close(self) -> None:
        """`finish` 없이 닫으면 쓰던 것을 지운다."""
        shutil.rmtree(self._temporary, ignore_errors=True)


def image_path(folder: Path, number: int, extension: str) -> Path:
    """차례의 `number`번째(0부터) 이미지의 경로. 이름순이 곧 차례다."""
    return folder / f"{number:08d}.{extension}"


def join_images(segments: Sequence[Path], target: Path, extension: str) -> int:
    """조각마다의 이미지를 한 폴더로 모은다. 폴더는 다 모인 뒤에야 제 이름으로 나타난다.

    Args:
        segments: 조각의 폴더들, 차례대로. 그대로 남는다.
        target: 결과 폴더. 이 패키지가 쓴 이미지만 든 폴더가 있으면 바뀐다.
        extension: 점 없는 확장자.

    Returns:
        이미지의 수.

    Raises:
        VideoWriteError: 옮길 수 없거나, 결과의 자리에 다른 것이 있을 때.
    """
    if target.exists() and not is_replaceable(target):
        raise VideoWriteError(
            f"결과의 자리에 다른 파일이 있습니다: {target}\n  해결: 그 폴더를 옮기고 --resume으로 다시 실행하세요."
        )
    gathered = segments[0].with_name("joined")
    count = 0
    with write_errors(f"이미지를 쓸 수 없습니다: {target}"):
        shutil.rmtree(gathered, ignore_errors=True)
        gathered.mkdir()
        for folder in segments:
            for path in sorted(folder.iterdir()):
                _link(path, image_path(gathered, count, extension))
                count += 1
        replace_folder(gathered, target)
    return count


def _link(source: Path, target: Path) -> None:
    """같은 파일을 다른 이름으로도 보이게 한다. 옮기지 않으므로 여기서 죽어도 조각은 온전하다."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)  # 하드 링크가 없는 파일 시스템(exFAT 등)


def replace_folder(made: Path, target: Path) -> None:
    """만든 폴더를 결과의 자리에 놓는다. 있던 폴더는 새것이 놓인 뒤에 지운다."""
    old = made.with_name(OLD_NAME)
    if target.exists():
        # 지난번에 지우다 만 것이 남아 있으면 이름을 바꿀 수 없다.
        shutil.rmtree(old, ignore_errors=True)
        target.replace(old)
    try:
        made.replace(target)
    except OSError:
        if old.exists():
            old.replace(target)
        raise
    shutil.rmtree(old, ignore_errors=True)
