"""TIFF를 쓴다(TIFF 6.0). Deflate 압축과 가로 차분을 쓰며 8비트와 16비트, 회색+알파까지 담는다.

Pillow는 채널이 여럿인 16비트를 쓰지 못하고 OpenCV는 메타데이터를 쓰지 못하므로 직접 쓴다.
"""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Iterable
from fractions import Fraction
from typing import BinaryIO

import numpy as np

from realesrgan.errors import ImageWriteError
from realesrgan.media.deflate import deflate
from realesrgan.media.encode_job import EncodeJob
from realesrgan.media.ifd import (
    LONG,
    RATIONAL,
    SHORT,
    ByteOrder,
    Entry,
    ExifTags,
    pack_with_exif,
    read_exif_tags,
)
from realesrgan.media.picture import Frame, Metadata
from realesrgan.media.strips import ordered_map, strip_ranges
from realesrgan.util.optional import import_cv2

_MAX_FILE = 2**32 - 1
_DEFLATE, _HORIZONTAL, _STRAIGHT_ALPHA = 8, 2, 2
_BYTE, _UNDEFINED = 1, 7


def write_tiff(file: BinaryIO, frames: Iterable[Frame], job: EncodeJob) -> tuple[str, ...]:
    """프레임 하나를 TIFF로 쓴다.

    EXIF가 있으면 그 바이트 순서를 파일 전체의 바이트 순서로 삼아, EXIF의 값을 풀지 않고 그대로 옮긴다.

    Returns:
        옮기지 못한 것을 알리는 문장들.

    Raises:
        ImageWriteError: 파일이 TIFF의 한도 4GB를 넘을 때.
    """
    frame = next(iter(frames))
    tags, notes = _exif_tags(job.metadata.exif)
    order = tags.order
    file.write((b"II" if order.prefix == "<" else b"MM") + struct.pack(order.prefix + "HI", 42, 0))
    ranges = strip_ranges(job.height, job.row_bytes)

    def encode(bounds: tuple[int, int]) -> bytes:
        return _encode_strip(frame, job, order, *bounds)

    offsets, counts, position = [], [], 8
    for block in ordered_map(encode, ranges):
        offsets.append(position)
        counts.append(len(block))
        position += len(block)
        if position > _MAX_FILE - (1 << 20):
            raise ImageWriteError(
                "TIFF로 쓰지 못했습니다.\n  이유: 파일이 TIFF의 한도 4GB를 넘습니다.\n  해결: --ext png 를 쓰세요."
            )
        file.write(block)
    file.write(b"\0" * (position % 2))
    position += position % 2
    entries = _entries(job, order, ranges[0][1], offsets, counts)
    file.write(pack_with_exif([*entries, *tags.main], tags, position))
    file.seek(4)
    file.write(struct.pack(order.prefix + "I", position))
    file.seek(0, io.SEEK_END)
    return notes


def _exif_tags(exif: bytes | None) -> tuple[ExifTags, tuple[str, ...]]:
    if exif:
        try:
            return read_exif_tags(io.BytesIO(exif)), ()
        except (ValueError, struct.error):
            return ExifTags(ByteOrder("<")), ("EXIF의 구조가 망가져 있어 옮기지 않았습니다.",)
    return ExifTags(ByteOrder("<")), ()


def _encode_strip(frame: Frame, job: EncodeJob, order: ByteOrder, top: int, bottom: int) -> bytes:
    """띠 하나를 RGB 순서로 바꾸고, 왼쪽 픽셀과의 차이를 압축한다."""
    cv2 = import_cv2()
    strip = job.strip(frame, top, bottom)
    if job.kind in ("BGR", "BGRA"):
        strip = cv2.cvtColor(strip, cv2.COLOR_BGR2RGB if job.kind == "BGR" else cv2.COLOR_BGRA2RGBA)
    difference = strip.copy()
    difference[:, 1:] -= strip[:, :-1]
    if job.depth == 16:
        difference = difference.astype(np.dtype(order.prefix + "u2"), copy=False)
    data = difference.tobytes()
    return b"\x78\x9c" + deflate(data, last=True) + struct.pack(">I", zlib.adler32(data))


def _entries(
    job: EncodeJob, order: ByteOrder, rows_per_strip: int, offsets: list[int], counts: list[int]
) -> list[Entry]:
    """픽셀의 배치와 ICC, XMP, DPI를 적은 기본 항목들."""

    def numbers(tag: int, kind: int, *values: int) -> Entry:
        return Entry(
            tag, kind, len(values), struct.pack(f"{order.prefix}{len(values)}{'H' if kind == SHORT else 'I'}", *values)
        )

    entries = [
        numbers(256, LONG, job.width),
        numbers(257, LONG, job.height),
        numbers(258, SHORT, *[job.depth] * job.channels),
        numbers(259, SHORT, _DEFLATE),
        numbers(262, SHORT, 1 if job.kind in ("L", "LA") else 2),
        numbers(273, LONG, *offsets),
        numbers(277, SHORT, job.channels),
        numbers(278, LONG, rows_per_strip),
        numbers(279, LONG, *counts),
        numbers(317, SHORT, _HORIZONTAL),
    ]
    if job.kind in ("LA", "BGRA"):
        entries.append(numbers(338, SHORT, _STRAIGHT_ALPHA))
    return entries + _metadata_entries(job.metadata, order)


def _metadata_entries(metadata: Metadata, order: ByteOrder) -> list[Entry]:
    entries = []
    if metadata.dpi:
        for tag, value in zip((282, 283), metadata.dpi, strict=True):
            ratio = Fraction(value).limit_denominator(1000)
            packed = struct.pack(order.prefix + "II", ratio.numerator, ratio.denominator)
            entries.append(Entry(tag, RATIONAL, 1, packed))
        entries.append(Entry(296, SHORT, 1, struct.pack(order.prefix + "H", 2)))
    if metadata.icc:
        entries.append(Entry(34675, _UNDEFINED, len(metadata.icc), metadata.icc))
    if metadata.xmp:
        entries.append(Entry(700, _BYTE, len(metadata.xmp), metadata.xmp))
    return entries
