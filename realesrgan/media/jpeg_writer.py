"""JPEG를 쓴다(ITU-T T.81).

그림을 가로 띠로 나누어 따로 부호화하고 다시 시작 표시(restart marker)로 잇는다. 표준의 정상적인 파일이면서,
큰 그림도 통째로 복사하지 않고 여러 스레드로 부호화할 수 있다.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable
from typing import Any, BinaryIO

from realesrgan.media.encode_job import EncodeJob
from realesrgan.media.exif import PREFIX
from realesrgan.media.picture import Frame, Metadata
from realesrgan.media.strips import ordered_map, strip_ranges
from realesrgan.util.optional import import_cv2

_BLOCK = 8
_MAX_RESTART = 65535
_MAX_SEGMENT = 65533
_ICC_HEAD, _XMP_HEAD = b"ICC_PROFILE\0", b"http://ns.adobe.com/xap/1.0/\0"
_SOF0, _SOS = 0xC0, 0xDA
_TABLES = (0xDB, 0xC4)


def write_jpeg(file: BinaryIO, frames: Iterable[Frame], job: EncodeJob) -> tuple[str, ...]:
    """프레임 하나를 기본(baseline) JPEG로 쓴다. 색은 줄이지 않는다(4:4:4).

    Returns:
        크기 때문에 담지 못한 메타데이터를 알리는 문장들.
    """
    frame = next(iter(frames))
    per_row = -(-job.width // _BLOCK)
    limit = _MAX_RESTART // per_row * _BLOCK
    ranges = strip_ranges(job.height, job.row_bytes, _BLOCK, limit)
    interval = (ranges[0][1] - ranges[0][0] + _BLOCK - 1) // _BLOCK * per_row

    def encode(bounds: tuple[int, int]) -> bytes:
        return _encode_strip(job.strip(frame, *bounds), job.quality)

    notes: tuple[str, ...] = ()
    for index, jpeg in enumerate(ordered_map(encode, ranges)):
        segments, scan = split_jpeg(jpeg)
        if index == 0:
            head, notes = _metadata_segments(job.metadata)
            file.write(b"\xff\xd8" + head)
            file.write(_frame_segments(segments, job.height, interval if len(ranges) > 1 else 0))
        else:
            file.write(bytes((0xFF, 0xD0 + (index - 1) % 8)))
        file.write(scan)
    file.write(b"\xff\xd9")
    return notes


def _encode_strip(strip: Any, quality: int) -> bytes:
    """띠 하나를 온전한 JPEG로 부호화한다. 허프만(Huffman) 표는 표준의 것이라 띠마다 같다."""
    cv2 = import_cv2()
    sampling = cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444
    options = [cv2.IMWRITE_JPEG_QUALITY, quality, cv2.IMWRITE_JPEG_SAMPLING_FACTOR, sampling]
    ok, encoded = cv2.imencode(".jpg", strip, options)
    if not ok:
        raise ValueError("JPEG 부호화가 실패했다")
    return encoded.tobytes()


def split_jpeg(jpeg: bytes) -> tuple[list[tuple[int, bytes]], bytes]:
    """JPEG를 `(표식, 내용)`의 목록과 픽셀 자료(SOS 뒤부터 EOI 앞까지)로 나눈다. SOS의 내용도 목록에 든다."""
    segments: list[tuple[int, bytes]] = []
    at = 2
    while True:
        marker, length = struct.unpack_from(">xBH", jpeg, at)
        segments.append((marker, jpeg[at + 4 : at + 2 + length]))
        at += 2 + length
        if marker == _SOS:
            return segments, jpeg[at:-2]


def _segment(marker: int, body: bytes) -> bytes:
    return struct.pack(">BBH", 0xFF, marker, len(body) + 2) + body


def _frame_segments(segments: list[tuple[int, bytes]], height: int, interval: int) -> bytes:
    """첫 띠의 표와 머리를 옮기되, 높이를 전체의 것으로 바꾸고 다시 시작 간격(DRI)을 넣는다."""
    result = b""
    for marker, body in segments:
        if marker in _TABLES:
            result += _segment(marker, body)
        elif marker == _SOF0:
            result += _segment(marker, body[:1] + struct.pack(">H", height) + body[3:])
        elif marker == _SOS:
            result += (_segment(0xDD, struct.pack(">H", interval)) if interval else b"") + _segment(marker, body)
    return result


def _metadata_segments(metadata: Metadata) -> tuple[bytes, tuple[str, ...]]:
    """JFIF, EXIF, XMP, ICC 조각. 한 조각(64KB)에 들지 않는 EXIF와 XMP는 빼고 알린다."""
    dpi = [min(max(round(value), 1), 65535) for value in metadata.dpi] if metadata.dpi else [1, 1]
    result = _segment(0xE0, b"JFIF\0\x01\x01" + struct.pack(">BHHBB", 1 if metadata.dpi else 0, *dpi, 0, 0))
    notes = []
    for name, head, body in (("EXIF", PREFIX, metadata.exif), ("XMP", _XMP_HEAD, metadata.xmp)):
        if body and len(head) + len(body) <= _MAX_SEGMENT:
            result += _segment(0xE1, head + body)
        elif body:
            notes.append(f"{name} 정보({len(body):,}바이트)가 jpg의 한도 64KB를 넘어 뺐습니다.")
    if metadata.icc:
        size = _MAX_SEGMENT - len(_ICC_HEAD) - 2
        parts = [metadata.icc[at : at + size] for at in range(0, len(metadata.icc), size)]
        for index, part in enumerate(parts, 1):
            result += _segment(0xE2, _ICC_HEAD + bytes((index, len(parts))) + part)
    return result, tuple(notes)
