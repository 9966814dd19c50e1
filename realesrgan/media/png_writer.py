"""PNG와 APNG를 쓴다(PNG 3판).

OpenCV와 Pillow 대신 직접 쓰는 까닭은 네 가지다. 16비트에도 메타데이터를 넣고, 그림을 통째로 복사하지 않으며,
띠마다 나누어 여러 스레드로 압축하고, 애니메이션의 프레임을 합치거나 버리지 않는다.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterable, Iterator
from fractions import Fraction
from typing import BinaryIO

import numpy as np

from realesrgan.media.container import PNG_SIGNATURE
from realesrgan.media.deflate import deflate
from realesrgan.media.encode_job import EncodeJob
from realesrgan.media.picture import Array, Frame, Metadata
from realesrgan.media.png_filter import filter_rows
from realesrgan.media.strips import ordered_map, strip_ranges
from realesrgan.util.optional import import_cv2

_COLOUR_TYPES = {"L": 0, "BGR": 2, "LA": 4, "BGRA": 6}
_ADLER_BASE = 65521


def write_png(file: BinaryIO, frames: Iterable[Frame], job: EncodeJob) -> tuple[str, ...]:
    """프레임들을 PNG로 쓴다. 둘 이상이면 APNG가 된다.

    Returns:
        빈 튜플. 다른 쓰기 함수와 모양을 맞추기 위한 것이다.
    """
    file.write(PNG_SIGNATURE)
    header = struct.pack(">IIBBBBB", job.width, job.height, job.depth, _COLOUR_TYPES[job.kind], 0, 0, 0)
    _write_chunk(file, b"IHDR", header)
    if job.count > 1:
        _write_chunk(file, b"acTL", struct.pack(">II", job.count, job.loop))
    _write_metadata(file, job.metadata)
    sequence = 0
    for index, frame in enumerate(frames):
        if job.count > 1:
            _write_chunk(file, b"fcTL", _frame_control(sequence, job, frame.duration))
            sequence += 1
        for block in compressed_blocks(frame, job):
            if index == 0:
                _write_chunk(file, b"IDAT", block)
            else:
                _write_chunk(file, b"fdAT", struct.pack(">I", sequence) + block)
                sequence += 1
    _write_chunk(file, b"IEND", b"")
    return ()


def _write_chunk(file: BinaryIO, kind: bytes, body: bytes) -> None:
    file.write(struct.pack(">I", len(body)) + kind)
    file.write(body)
    file.write(struct.pack(">I", zlib.crc32(body, zlib.crc32(kind))))


def _write_metadata(file: BinaryIO, metadata: Metadata) -> None:
    """픽셀보다 앞에 와야 하는 조각들. 순서는 규격의 5.6절을 따른다."""
    if metadata.icc:
        _write_chunk(file, b"iCCP", b"ICC Profile\0\0" + zlib.compress(metadata.icc, 9))
    if metadata.dpi:
        per_metre = [min(max(round(value / 0.0254), 1), 2**31 - 1) for value in metadata.dpi]
        _write_chunk(file, b"pHYs", struct.pack(">IIB", *per_metre, 1))
    if metadata.exif:
        _write_chunk(file, b"eXIf", metadata.exif)
    if metadata.xmp:
        _write_chunk(file, b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + metadata.xmp)


def _frame_control(sequence: int, job: EncodeJob, duration: float) -> bytes:
    """온전한 한 장을 그대로 덮어쓰는 fcTL."""
    top, bottom = apng_delay(duration)
    return struct.pack(">IIIIIHHBB", sequence, job.width, job.height, 0, 0, top, bottom, 0, 0)


def apng_delay(duration: float) -> tuple[int, int]:
    """밀리초를 16비트 정수 둘의 분수(초)로 나타낸다. 표현할 수 있는 가장 가까운 값이다."""
    top = 65535
    value = min(Fraction(max(duration, 0.0)) / 1000, Fraction(top))
    # 분모를 `top / 초`까지만 허락하면 분자도 16비트에 들어간다.
    fraction = value.limit_denominator(top if value <= 1 else int(top / value))
    return fraction.numerator, fraction.denominator


def compressed_blocks(frame: Frame, job: EncodeJob) -> Iterator[bytes]:
    """한 프레임의 zlib 흐름을 띠마다 한 덩어리씩 낸다.

    띠를 저마다 따로 압축해 이어 붙인다. 띠 끝을 바이트 경계로 맞추면(sync flush) 이어 붙인 것도
    올바른 Deflate 흐름이고, 전체의 검사합(Adler-32)은 띠의 검사합에서 계산할 수 있다.
    """
    ranges = strip_ranges(job.height, job.row_bytes)

    def encode(bounds: tuple[int, int]) -> tuple[bytes, int, int]:
        filtered = filtered_strip(frame, job, *bounds)
        return deflate(filtered, last=bounds[1] == job.height), zlib.adler32(filtered), len(filtered)

    head, checksum = b"\x78\x9c", 1
    for index, (block, adler, length) in enumerate(ordered_map(encode, ranges)):
        checksum = combine_adler32(checksum, adler, length)
        tail = struct.pack(">I", checksum) if index == len(ranges) - 1 else b""
        yield head + block + tail
        head = b""


def filtered_strip(frame: Frame, job: EncodeJob, top: int, bottom: int) -> bytes:
    """필터를 적용한 띠 하나의 바이트."""
    start = max(top - 1, 0)
    rows = _wire_rows(job.strip(frame, start, bottom), job)
    above = rows[0] if top else np.zeros_like(rows[0])
    return filter_rows(rows[top - start :], above, job.channels * job.depth // 8).tobytes()


def _wire_rows(strip: Array, job: EncodeJob) -> Array:
    """파일에 놓일 순서(RGB, 큰 자리부터)의 `(줄, 줄 바이트)` uint8로 바꾼다."""
    cv2 = import_cv2()
    if job.kind in ("BGR", "BGRA"):
        strip = cv2.cvtColor(strip, cv2.COLOR_BGR2RGB if job.kind == "BGR" else cv2.COLOR_BGRA2RGBA)
    if job.depth == 16:
        strip = strip.astype(">u2")
    return np.ascontiguousarray(strip).view(np.uint8).reshape(strip.shape[0], job.row_bytes)


def combine_adler32(first: int, second: int, second_length: int) -> int:
    """이어 붙인 두 자료의 Adler-32를 각각의 Adler-32에서 구한다(RFC 1950 9절의 정의에서 유도)."""
    a1, b1 = first & 0xFFFF, first >> 16
    a2, b2 = second & 0xFFFF, second >> 16
    low = (a1 + a2 - 1) % _ADLER_BASE
    high = (b1 + b2 + second_length * (a1 - 1)) % _ADLER_BASE
    return high << 16 | low
