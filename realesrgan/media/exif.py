"""EXIF를 제자리에서 고치는 순수 함수들.

새로 써 내지 않고 값만 바꾼다. 제조사 기록(MakerNote)은 EXIF 안의 위치를 가리키므로 자리를 옮기면 깨지기 때문이다.
구조는 TIFF 6.0의 2절, 태그는 Exif 2.32의 4.6절을 따른다.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from fractions import Fraction

PREFIX = b"Exif\x00\x00"
_ORIENTATION = 0x0112
_WIDTHS = {0x0100, 0xA002}
_HEIGHTS = {0x0101, 0xA003}
_EXIF_IFD = 0x8769
_THUMBNAIL_OFFSET, _THUMBNAIL_LENGTH = 0x0201, 0x0202
_RESOLUTIONS, _UNIT = (0x011A, 0x011B), 0x0128
_INCH, _CENTIMETRE = 2, 3
_SHORT, _LONG, _RATIONAL = 3, 4, 5


class _Tiff:
    """바꿀 수 있는 EXIF 바이트와 그 바이트 순서(byte order)."""

    def __init__(self, exif: bytes) -> None:
        self.data = bytearray(exif)
        orders = {b"II*\x00": "<", b"MM\x00*": ">"}
        if bytes(exif[:4]) not in orders:
            raise ValueError("TIFF 머리가 아니다")
        self.order = orders[bytes(exif[:4])]
        self.first_ifd = self.long(4)

    def short(self, at: int) -> int:
        return int(struct.unpack_from(self.order + "H", self.data, at)[0])

    def long(self, at: int) -> int:
        return int(struct.unpack_from(self.order + "I", self.data, at)[0])

    def entries(self, ifd: int) -> Iterator[tuple[int, int]]:
        """IFD의 `(태그, 항목 위치)`를 차례로 낸다."""
        for index in range(self.short(ifd)):
            at = ifd + 2 + 12 * index
            yield self.short(at), at

    def next_pointer(self, ifd: int) -> int:
        """다음 IFD의 위치가 적힌 자리."""
        return ifd + 2 + 12 * self.short(ifd)

    def integer(self, at: int) -> int:
        """항목의 정수 값."""
        return self.short(at + 8) if self.short(at + 2) == _SHORT else self.long(at + 8)

    def set_integer(self, at: int, value: int) -> None:
        """항목을 정수 하나로 바꾼다. 값은 항목 안 네 바이트에 들어가므로 다른 자리는 그대로다."""
        kind = _SHORT if value <= 0xFFFF else _LONG
        packed = struct.pack(
            self.order + ("HH" if kind == _SHORT else "I"), *((value, 0) if kind == _SHORT else (value,))
        )
        struct.pack_into(self.order + "HI", self.data, at + 2, kind, 1)
        self.data[at + 8 : at + 12] = packed


def strip_prefix(exif: bytes) -> bytes:
    """JPEG에서 EXIF 앞에 붙이는 여섯 바이트 머리가 있으면 뗀다."""
    return exif[len(PREFIX) :] if exif.startswith(PREFIX) else exif


def exif_orientation(exif: bytes | None) -> int:
    """EXIF 방향(1..8). 없거나 읽을 수 없으면 1."""
    if not exif:
        return 1
    try:
        tiff = _Tiff(strip_prefix(exif))
        values = [tiff.integer(at) for tag, at in tiff.entries(tiff.first_ifd) if tag == _ORIENTATION]
    except (ValueError, struct.error):
        return 1
    return values[0] if values and 1 <= values[0] <= 8 else 1


def neutral_exif(exif: bytes) -> bytes | None:
    """방향을 1로 되돌리고 미리보기(thumbnail)를 없앤 EXIF.

    방향은 픽셀에 이미 적용했고, 미리보기는 키우기 전의 그림이라 남기면 거짓이 된다.

    Returns:
        머리를 뗀 TIFF 구조의 바이트. 구조가 망가져 있으면 None.
    """
    try:
        tiff = _Tiff(strip_prefix(exif))
        for tag, at in tiff.entries(tiff.first_ifd):
            if tag == _ORIENTATION:
                tiff.set_integer(at, 1)
        _drop_thumbnail(tiff)
    except (ValueError, struct.error):
        return None
    return bytes(tiff.data)


def resized_exif(exif: bytes, width: int, height: int) -> bytes:
    """크기를 적은 태그(ImageWidth, PixelXDimension 등)를 새 크기로 바꾼 EXIF. 없는 태그를 더하지는 않는다."""
    try:
        tiff = _Tiff(exif)
        ifds = [tiff.first_ifd]
        ifds += [tiff.long(at + 8) for tag, at in tiff.entries(tiff.first_ifd) if tag == _EXIF_IFD]
        for ifd in ifds:
            for tag, at in tiff.entries(ifd):
                if tag in _WIDTHS:
                    tiff.set_integer(at, width)
                elif tag in _HEIGHTS:
                    tiff.set_integer(at, height)
    except (ValueError, struct.error):
        return exif
    return bytes(tiff.data)


def exif_dpi(exif: bytes | None) -> tuple[float, float] | None:
    """EXIF에 적힌 해상도를 인치당 점의 수로. 없거나 뜻이 없으면 None."""
    if not exif:
        return None
    try:
        tiff = _Tiff(strip_prefix(exif))
        places = dict(tiff.entries(tiff.first_ifd))
        values = [tiff.long(places[tag] + 8) for tag in _RESOLUTIONS]
        x, y = (tiff.long(at) / tiff.long(at + 4) for at in values)
        unit = tiff.integer(places[_UNIT]) if _UNIT in places else _INCH
    except (ValueError, KeyError, ZeroDivisionError, struct.error):
        return None
    return (x * 2.54, y * 2.54) if unit == _CENTIMETRE else (x, y)


def with_dpi(exif: bytes | None, dpi: tuple[float, float]) -> bytes:
    """해상도를 적은 EXIF. DPI를 따로 적을 자리가 없는 형식(WebP, AVIF, HEIC)에 쓴다.

    첫 IFD를 덩어리 끝에 새로 쓰고 머리가 그것을 가리키게 한다. 다른 자료의 자리는 그대로라 깨지지 않는다.
    """
    try:
        tiff = _Tiff(exif or b"II*\0\x08\0\0\0" + bytes(6))
        kept = {
            tag: bytes(tiff.data[at : at + 12])
            for tag, at in tiff.entries(tiff.first_ifd)
            if tag not in (*_RESOLUTIONS, _UNIT)
        }
    except (ValueError, struct.error):
        return exif or b""
    tiff.data += bytes(len(tiff.data) % 2)
    start = len(tiff.data)
    values = start + 2 + 12 * (len(kept) + 3) + 4
    for index, tag in enumerate(_RESOLUTIONS):
        kept[tag] = struct.pack(tiff.order + "HHII", tag, _RATIONAL, 1, values + 8 * index)
    kept[_UNIT] = struct.pack(tiff.order + "HHIHH", _UNIT, _SHORT, 1, _INCH, 0)
    tiff.data += struct.pack(tiff.order + "H", len(kept)) + b"".join(kept[tag] for tag in sorted(kept)) + bytes(4)
    for value in dpi:
        ratio = Fraction(value).limit_denominator(1000)
        tiff.data += struct.pack(tiff.order + "II", ratio.numerator, ratio.denominator)
    struct.pack_into(tiff.order + "I", tiff.data, 4, start)
    return bytes(tiff.data)


def _drop_thumbnail(tiff: _Tiff) -> None:
    """미리보기를 가리키는 둘째 IFD를 끊고 그 바이트를 지운다."""
    pointer = tiff.next_pointer(tiff.first_ifd)
    if pointer + 4 > len(tiff.data):
        return
    second = tiff.long(pointer)
    struct.pack_into(tiff.order + "I", tiff.data, pointer, 0)
    if not 8 <= second < len(tiff.data) - 2:
        return
    try:
        values = {tag: tiff.integer(at) for tag, at in tiff.entries(second)}
    except struct.error:
        return
    start, length = values.get(_THUMBNAIL_OFFSET, 0), values.get(_THUMBNAIL_LENGTH, 0)
    end = start + length
    if start < 8 or length == 0 or end > len(tiff.data):
        return
    if end == len(tiff.data):
        del tiff.data[start:]
    else:
        tiff.data[start:end] = bytes(length)
