"""TIFF의 항목표(IFD)를 읽고 적는다(TIFF 6.0과 BigTIFF). 픽셀은 libvips가 풀고 쓴다.

libvips가 하지 않는 것이 여기 있다: 잘린 파일 찾기, EXIF와 설명 태그와 IPTC를 바이트 그대로 옮기기, 크기가 다른 여러 쪽.
"""

from __future__ import annotations

import io
import os
import struct
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from realesrgan.media.metadata import iptc_of_photoshop
from realesrgan.media.picture import (
    DamagedError,
    Frame,
    Header,
    ImageInfo,
    Metadata,
    MissingDecoderError,
    Mode,
    Picture,
    TruncatedError,
    UnreadableError,
    UnsupportedError,
)
from realesrgan.media.reader import decode_still, finish_still
from realesrgan.media.vips import load, save
from realesrgan.media.writer import EncodeJob

# 항목표(IFD). 값을 풀지 않고 바이트째 나르므로 바이트 순서만 지키면 한글 설명이나 모르는 태그도 손상 없이 옮겨진다.

SHORT, LONG, RATIONAL = 3, 4, 5
_SIZES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4, 16: 8, 17: 8, 18: 8}
_LETTERS = {1: "B", 3: "H", 4: "I", 6: "b", 8: "h", 9: "i", 13: "I", 16: "Q", 17: "q", 18: "Q"}
_MAX_ENTRY_BYTES = 1 << 28

EXIF_IFD, GPS_IFD, INTEROP_IFD = 0x8769, 0x8825, 0xA005
_ICC, _XMP, _IPTC, _PHOTOSHOP = 34675, 700, 33723, 34377
DESCRIPTIVE_TAGS = frozenset(
    (269, 270, 271, 272, 285, 305, 306, 315, 316, 18246, 18249, 33432, 40091, 40092, 40093, 40094, 40095)
)
"""픽셀의 배치와 상관없이 이미지를 설명하는 IFD0 태그(설명, 제조사, 만든이, 날짜, 저작권 등)."""


@dataclass(frozen=True)
class Entry:
    """항목 하나. `payload`는 파일의 바이트 순서를 그대로 가진다."""

    tag: int
    kind: int
    count: int
    payload: bytes


@dataclass(frozen=True)
class ByteOrder:
    """TIFF 파일 하나의 바이트 순서(`'<'` 또는 `'>'`)와 BigTIFF 여부."""

    prefix: str
    big: bool = False

    def integers(self, entry: Entry) -> tuple[int, ...]:
        """항목의 정수들. 정수가 아닌 항목이면 빈 튜플."""
        letter = _LETTERS.get(entry.kind)
        return struct.unpack(f"{self.prefix}{entry.count}{letter}", entry.payload) if letter else ()

    def rational(self, entry: Entry) -> float:
        """유리수 항목의 첫 값. 분모가 0이면 0."""
        if entry.kind != RATIONAL:
            return 0.0
        top, bottom = struct.unpack_from(self.prefix + "II", entry.payload)
        return top / bottom if bottom else 0.0


def read_tiff_head(file: BinaryIO, base: int = 0) -> tuple[ByteOrder, int]:
    """`base`에 있는 TIFF 머리에서 바이트 순서와 첫 IFD의 위치를 읽는다.

    Raises:
        ValueError, struct.error: TIFF가 아닐 때.
    """
    file.seek(base)
    head = file.read(16)
    prefix = {b"II": "<", b"MM": ">"}.get(head[:2])
    if prefix is None:
        raise ValueError("TIFF가 아니다")
    if struct.unpack_from(prefix + "H", head, 2)[0] == 43:
        return ByteOrder(prefix, big=True), struct.unpack_from(prefix + "Q", head, 8)[0]
    return ByteOrder(prefix), struct.unpack_from(prefix + "I", head, 4)[0]


def read_ifd(file: BinaryIO, offset: int, order: ByteOrder, base: int = 0) -> tuple[dict[int, Entry], int]:
    """IFD 하나를 읽는다. 항목의 위치는 `base`에서 센다.

    Returns:
        `(태그별 항목, 다음 IFD의 위치)`. 다음이 없으면 0. 자료가 파일 밖에 있는 항목은 뺀다.

    Raises:
        struct.error: 항목표가 잘렸을 때.
    """
    end = file.seek(0, os.SEEK_END)
    file.seek(offset)
    count_letter, entry_size, inline, letter = ("Q", 20, 8, "Q") if order.big else ("H", 12, 4, "I")
    (count,) = struct.unpack(order.prefix + count_letter, file.read(8 if order.big else 2))
    if count > 65535:
        raise struct.error("IFD의 항목이 너무 많다")
    table = file.read(count * entry_size + inline)
    entries: dict[int, Entry] = {}
    for index in range(count):
        at = index * entry_size
        tag, kind, items = struct.unpack_from(order.prefix + "HH" + letter, table, at)
        size = _SIZES.get(kind, 0) * items
        slot = at + entry_size - inline
        if 0 < size <= inline:
            payload = table[slot : slot + size]
        else:
            position = base + struct.unpack_from(order.prefix + letter, table, slot)[0]
            if size == 0 or size > _MAX_ENTRY_BYTES or position + size > end:
                continue
            file.seek(position)
            payload = file.read(size)
        entries[tag] = Entry(tag, kind, items, payload)
    (following,) = struct.unpack_from(order.prefix + letter, table, count * entry_size)
    return entries, following


def pack_ifd(entries: Iterable[Entry], offset: int, order: ByteOrder) -> bytes:
    """항목들을 `offset` 자리에 놓일 IFD 바이트(항목표와 딸린 자료)로 묶는다. 다음 IFD는 없다."""
    count, items, inline = ("Q", "Q", 8) if order.big else ("H", "I", 4)
    listed = sorted(entries, key=lambda entry: entry.tag)
    table = struct.pack(order.prefix + count, len(listed))
    position = offset + len(table) + (4 + 2 * inline) * len(listed) + inline
    tail = b""
    for entry in listed:
        table += struct.pack(order.prefix + "HH" + items, entry.tag, entry.kind, entry.count)
        if len(entry.payload) <= inline:
            table += entry.payload.ljust(inline, b"\0")
            continue
        table += struct.pack(order.prefix + items, position + len(tail))
        tail += entry.payload + bytes(len(entry.payload) % 2)
    return table + bytes(inline) + tail


@dataclass(frozen=True)
class ExifTags:
    """EXIF를 이루는 세 항목표. 픽셀 배치를 적은 항목은 들어 있지 않다."""

    order: ByteOrder
    main: tuple[Entry, ...] = ()
    exif: tuple[Entry, ...] = ()
    gps: tuple[Entry, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.main or self.exif or self.gps)

    def swapped(self) -> ExifTags:
        """바이트 순서를 바꾼 것. 제조사 기록처럼 뜻을 모르는 바이트(UNDEFINED)는 그대로다."""

        def swap(entry: Entry) -> Entry:
            size = 4 if entry.kind in (RATIONAL, 10) else _SIZES[entry.kind]
            return replace(entry, payload=np.frombuffer(entry.payload, f"u{size}").byteswap().tobytes())

        groups = [tuple(map(swap, group)) for group in (self.main, self.exif, self.gps)]
        return ExifTags(ByteOrder("<" if self.order.prefix == ">" else ">"), *groups)


def read_exif_tags(file: BinaryIO) -> ExifTags:
    """TIFF 구조의 파일(TIFF 이미지나 EXIF 덩어리)에서 첫 쪽의 설명 태그와 EXIF, GPS 항목표를 모은다.

    Raises:
        ValueError, struct.error: 구조가 망가져 있을 때.
    """
    order, first = read_tiff_head(file)
    return _exif_of(file, read_ifd(file, first, order)[0], order)


def _exif_of(file: BinaryIO, main: dict[int, Entry], order: ByteOrder) -> ExifTags:
    groups = {}
    for tag in (EXIF_IFD, GPS_IFD):
        values = order.integers(main[tag]) if tag in main else ()
        sub = read_ifd(file, values[0], order)[0] if values else {}
        groups[tag] = tuple(entry for entry in sub.values() if entry.tag != INTEROP_IFD)
    kept = tuple(entry for entry in main.values() if entry.tag in DESCRIPTIVE_TAGS)
    return ExifTags(ByteOrder(order.prefix), kept, groups[EXIF_IFD], groups[GPS_IFD])


def pack_with_exif(main: Iterable[Entry], tags: ExifTags, offset: int, order: ByteOrder) -> bytes:
    """기본 항목표와 EXIF, GPS 항목표를 `offset`부터 이어 놓는다."""
    main = list(main)
    groups = {tag: group for tag, group in ((EXIF_IFD, tags.exif), (GPS_IFD, tags.gps)) if group}
    kind, letter = (16, "Q") if order.big else (LONG, "I")
    blank = [Entry(tag, kind, 1, bytes(8 if order.big else 4)) for tag in groups]
    position = offset + len(pack_ifd([*main, *blank], offset, order))
    tail, placed = b"", []
    for tag, group in groups.items():
        placed.append(Entry(tag, kind, 1, struct.pack(order.prefix + letter, position + len(tail))))
        tail += pack_ifd(group, position + len(tail), order)
    return pack_ifd([*main, *placed], offset, order) + tail


def pack_exif(tags: ExifTags) -> bytes:
    """항목들을 TIFF 구조의 EXIF 덩어리로 묶는다."""
    mark = b"II" if tags.order.prefix == "<" else b"MM"
    return mark + struct.pack(tags.order.prefix + "HI", 42, 8) + pack_with_exif(tags.main, tags, 8, tags.order)


# 읽기

_RGB, _CMYK = 2, 5
_MAX_PAGES = 100_000
_PACKED_BITS = (1, 2, 4, 8, 12, 16)
_COMPRESSIONS = {
    34925: "LZMA",
    50000: "ZSTD",
    50001: "WebP",
    50002: "JPEG XL",
    34712: "JPEG 2000",
    34887: "LERC",
    6: "옛 JPEG",
}


@dataclass(frozen=True)
class TiffPage:
    """한 쪽의 항목표.

    Attributes:
        index: 파일의 몇 번째 IFD인가.
        order: 바이트 순서.
        entries: 항목들.
    """

    index: int
    order: ByteOrder
    entries: dict[int, Entry]

    def integers(self, tag: int, default: tuple[int, ...] = ()) -> tuple[int, ...]:
        """태그의 정수들. 태그가 없거나 정수가 아니면 `default`."""
        return (self.order.integers(self.entries[tag]) if tag in self.entries else ()) or default

    def integer(self, tag: int, default: int = 0) -> int:
        """태그의 첫 정수."""
        return self.integers(tag, (default,))[0]

    @property
    def bits(self) -> int:
        """채널마다의 비트 수. 채널마다 다르면 0."""
        bits = self.integers(258, (1,))
        return bits[0] if len(set(bits)) == 1 else 0

    @property
    def alpha(self) -> bool:
        """알파 채널이 있는가. 뜻을 적지 않은 넷째 채널은 알파로 본다."""
        base = 3 if self.integer(262, 1) == _RGB else 1
        extra = self.integers(338)
        return extra[:1] in ((1,), (2,)) or (not extra and self.integer(277, 1) == base + 1)

    @property
    def info(self) -> ImageInfo:
        """이 쪽의 크기와 종류."""
        width, height = self.integer(256), self.integer(257)
        size = (height, width) if self.orientation >= 5 else (width, height)
        photometric = self.integer(262, 1)
        mode: Mode = "RGBA" if photometric <= _RGB and self.alpha else "L" if photometric < _RGB else "RGB"
        deep = self.bits > 8 and photometric <= _RGB
        return ImageInfo(*size, "TIFF", 1, mode, 16 if deep else 8)

    @property
    def orientation(self) -> int:
        """EXIF와 같은 방향 번호."""
        value = self.integer(274, 1)
        return value if 1 <= value <= 8 else 1

    def metadata(self, file: BinaryIO) -> dict[str, Any]:
        """Pillow의 `info`와 같은 이름의 메타데이터. 픽셀 배치를 적은 태그는 뺀다."""
        try:
            tags = _exif_of(file, self.entries, self.order)
            exif = pack_exif(tags) if tags else None
        except (ValueError, struct.error):
            exif = None
        payload = {tag: self.entries[tag].payload for tag in (_ICC, _XMP, _IPTC, _PHOTOSHOP) if tag in self.entries}
        unit, dpi = self.integer(296, 2), None
        if unit in (2, 3) and 282 in self.entries and 283 in self.entries:
            dpi = tuple(self.order.rational(self.entries[tag]) * (2.54 if unit == 3 else 1.0) for tag in (282, 283))
        iptc = payload.get(_IPTC) or iptc_of_photoshop(payload.get(_PHOTOSHOP, b""))
        return {"exif": exif, "xmp": payload.get(_XMP), "icc_profile": payload.get(_ICC), "dpi": dpi, "iptc": iptc}


def read_header(file: BinaryIO) -> Header:
    """쪽들의 머리를 읽는다. 픽셀은 읽지 않는다. 크기는 첫 쪽의 것이고 `detail`은 쪽마다의 머리들이다.

    Raises:
        TruncatedError, DamagedError: 잘렸거나 망가졌을 때.
        UnsupportedError: 담을 수 없는 종류일 때.
    """
    try:
        pages = list(_read_pages(file))
    except (struct.error, ValueError) as error:
        raise TruncatedError from error
    headers = []
    for page in pages:
        _check_extent(file, page)
        headers.append(Header(page.info, page.orientation, page.metadata(file) | {"page": page}))
    first = headers[0]
    info = replace(first.info, frames=len(headers), pages=len(headers) > 1)
    return Header(info, first.orientation, headers)


def _read_pages(file: BinaryIO) -> Iterator[TiffPage]:
    """쪽들. 첫 쪽이 아닌 축소판과 마스크(NewSubfileType의 1번, 3번 비트)는 뺀다."""
    order, following = read_tiff_head(file)
    seen: set[int] = set()
    while following and following not in seen and len(seen) < _MAX_PAGES:
        seen.add(following)
        entries, following = read_ifd(file, following, order)
        page = TiffPage(len(seen) - 1, order, entries)
        if page.index == 0 or not page.integer(254) & 0b101:
            yield page
    if not seen:
        raise struct.error("쪽이 없다")


def _check_extent(file: BinaryIO, page: TiffPage) -> None:
    """픽셀 자료가 파일 안에 다 있는지 본다. libvips는 잘린 것을 알리지 않는다."""
    tiled = 324 in page.entries
    offsets, counts = page.integers(324 if tiled else 273), page.integers(325 if tiled else 279)
    width, height = page.integer(256), page.integer(257)
    if width < 1 or height < 1 or not offsets:
        raise DamagedError
    planes = page.integer(277, 1) if page.integer(284, 1) == 2 else 1
    if tiled:
        across, down = max(page.integer(322), 1), max(page.integer(323), 1)
        needed = -(-width // across) * -(-height // down) * planes
    else:
        rows = min(page.integer(278, height), height)
        if rows < 1:
            raise DamagedError
        needed = -(-height // rows) * planes
    if len(offsets) < needed:
        raise TruncatedError
    end = file.seek(0, os.SEEK_END)
    if page.integer(259, 1) == 1 and not tiled and counts:
        bits = sum(page.integers(258, (1,))) if planes == 1 else page.bits
        bits *= page.integer(277, 1) if len(page.integers(258, (1,))) == 1 and planes == 1 else 1
        if sum(counts) * planes < (width * bits + 7) // 8 * height:
            raise TruncatedError
    # 띠가 하나뿐인 옛 파일은 길이를 적지 않기도 하므로 적혀 있는 것만 본다.
    if any(offset + count > end for offset, count in zip(offsets, counts or (1,) * len(offsets), strict=False)):
        raise TruncatedError


Range = tuple[float, float] | None


def decode(source: Path, header: Header, *, lazy: bool = False, value_range: Range = None) -> Picture:
    """쪽들을 푼다. 12비트는 16비트로 늘린다. 여러 쪽은 돌 때마다 한 쪽씩 푼다.

    Raises:
        UnsupportedError: 실수, 부호 있는 정수처럼 담을 수 없는 종류일 때.
        UnreadableError: 자료가 모자라거나 어긋나거나, 풀 것이 없을 때.
    """
    headers: list[Header] = header.detail
    for page in headers:
        _check_supported(page.detail["page"], value_range)
    if len(headers) == 1:
        return _decode_page(source, headers[0], lazy=lazy, value_range=value_range)
    frames = Pages(source, tuple(headers), value_range)
    # 긴 작업을 시작하기 전에 모든 쪽을 한 번 풀어 망가진 쪽을 찾는다.
    pictures = [_decode_page(source, page, lazy=True, value_range=value_range) for page in headers]
    notes = tuple(dict.fromkeys(note for picture in pictures for note in picture.notes))
    return Picture(frames, len(headers), pictures[0].metadata, format="TIFF", notes=notes, pages=True)


@dataclass(frozen=True)
class Pages:
    """돌 때마다 처음부터 한 쪽씩 풀어 내는 쪽들."""

    source: Path
    headers: tuple[Header, ...]
    value_range: Range = None

    def __iter__(self) -> Iterator[Frame]:
        for header in self.headers:
            picture = _decode_page(self.source, header, lazy=False, value_range=self.value_range)
            yield replace(picture.first, metadata=picture.metadata)


def _is_wide(page: TiffPage) -> bool:
    """8비트나 16비트로 옮기면 값이 바뀌는 종류인지."""
    return max(page.integers(339, (1,))) != 1 or max(page.integers(258, (1,))) > 16


def _check_supported(page: TiffPage, value_range: Range) -> None:
    """담을 수 없는 종류를 풀기 전에 거른다."""
    if _is_wide(page):
        kind = {2: "부호 있는 정수", 3: "실수", 6: "복소수"}.get(max(page.integers(339, (1,))), "정수")
        readable = page.bits == 32 or (kind == "부호 있는 정수" and page.bits in (8, 16))
        if value_range is not None and not readable:
            raise UnsupportedError(
                f"{page.bits}비트 {kind} TIFF는 libvips가 풀지 못합니다.", "32비트 실수로 바꾸어 저장한 뒤 다시 하세요."
            )
        if value_range is None or kind == "복소수" or page.integer(262, 1) > _RGB or page.alpha:
            raise UnsupportedError(
                f"{page.bits}비트 {kind} TIFF는 8비트나 16비트로 옮기면 값이 바뀝니다.",
                "값의 범위를 --float_range 0,1처럼 주면 그 사이를 16비트로 옮깁니다(알파가 없는 회색과 RGB). "
                "아니면 8비트나 16비트의 PNG나 TIFF로 바꾸어 저장한 뒤 다시 하세요.",
            )
        return
    if page.bits not in _PACKED_BITS:
        raise UnsupportedError(f"채널마다 {max(page.integers(258, (1,)))}비트인 TIFF는 지원하지 않습니다.")


def _mapped(image: Any, value_range: tuple[float, float]) -> tuple[Any, tuple[str, ...]]:
    """`(검정, 흰색)`의 사이를 16비트로 고르게 옮긴 이미지와, 잘린 값이 있으면 그 알림. 감마는 바꾸지 않는다."""
    low, high = value_range
    image = image.cast("double")
    outside = ((image < low) | (image > high)).avg() / 255
    moved = ((image - low) * (65535 / (high - low)) + 0.5).cast("ushort")
    note = f"값의 범위 {low:g}..{high:g} 밖의 값 {outside:.2%}를 잘랐습니다."
    return moved.copy(interpretation="grey16" if image.bands == 1 else "rgb16"), (note,) if outside else ()


def _decode_page(source: Path, header: Header, *, lazy: bool, value_range: Range = None) -> Picture:
    page: TiffPage = header.detail["page"]
    if _is_wide(page) and value_range is not None:
        image, notes = _mapped(_load_pixels(source, page), value_range)
        picture = finish_still(image, header, lazy=lazy)
        return replace(picture, notes=(*picture.notes, *notes))
    try:
        if page.integer(262, 1) > _RGB:
            return decode_still("tiffload", source, header, lazy=lazy, page=page.index, unlimited=True)
        image = _load_pixels(source, page)
        grey = page.integer(262, 1) < _RGB
        bands = (1 if grey else 3) + page.alpha
        if image.bands > bands:
            # 뜻을 모르는 추가 채널은 버린다.
            image = image.extract_band(0, n=bands).copy(interpretation=image.interpretation)
        return finish_still(image, header, lazy=lazy)
    except UnreadableError as error:
        name = _COMPRESSIONS.get(page.integer(259, 1))
        if isinstance(error, TruncatedError) or (page.bits not in (8, 12) and name is None):
            raise
        return _decode_with_pillow(source, header, page, error, name)


def _load_pixels(source: Path, page: TiffPage) -> Any:
    """쪽의 픽셀을 libvips 이미지로."""
    if page.integer(284, 1) != 2 or page.integer(277, 1) != 2:
        return load("tiffload", source, page=page.index, unlimited=True)
    # libvips는 채널이 따로 놓인(planar) 회색+알파의 둘째 줄부터를 틀리게 읽는다. 채널마다 회색인 파일로 보고 읽는다.
    data, planes = source.read_bytes(), []
    offsets = page.entries[273]
    count = offsets.count // 2
    for index in range(2):
        part = slice(index * count, (index + 1) * count)
        entries = {tag: entry for tag, entry in page.entries.items() if tag not in (338, 284, _ICC)}
        for tag in (273, 279):
            values = page.integers(tag)[part]
            letter = _LETTERS[entries[tag].kind]
            entries[tag] = replace(
                entries[tag], count=count, payload=struct.pack(f"{page.order.prefix}{count}{letter}", *values)
            )
        entries[277] = Entry(277, SHORT, 1, struct.pack(page.order.prefix + "H", 1))
        entries[258] = Entry(258, SHORT, 1, struct.pack(page.order.prefix + "H", page.bits))
        start = len(data) + len(data) % 2
        head = data[:8] + struct.pack(page.order.prefix + "Q", start) if page.order.big else data[:4]
        head += b"" if page.order.big else struct.pack(page.order.prefix + "I", start)
        whole = head + data[len(head) :] + bytes(len(data) % 2) + pack_ifd(entries.values(), start, page.order)
        planes.append(load("tiffload", whole))
    return planes[0].bandjoin(planes[1]).copy(interpretation=planes[0].interpretation)


def _decode_with_pillow(
    source: Path, header: Header, page: TiffPage, error: UnreadableError, name: str | None
) -> Picture:
    """libvips가 모르는 배치나 압축을 Pillow로 풀어 본다. Pillow도 못 풀면 무엇이 없는지 말한다."""
    from realesrgan.media.pillow import decode_still as decode_pillow
    from realesrgan.media.pillow import open_image

    if page.bits in (8, 12):
        try:
            image = open_image("TIFF", io.BytesIO(source.read_bytes()))
            image.seek(page.index)
            image.load()
        except (OSError, ValueError, SyntaxError, KeyError, TypeError) as failure:
            if name is None:
                raise error from failure
        else:
            # Pillow는 TIFF를 풀면서 방향까지 적용한다.
            picture = decode_pillow(image, replace(header, orientation=1), **header.detail)
            if page.bits == 12:
                array = picture.first.array
                picture = replace(picture, frames=(Frame((array << 4) | (array >> 8)),))
            return picture
    raise MissingDecoderError(
        "PNG나, 압축하지 않았거나 Deflate로 압축한 TIFF로 바꾸어 저장한 뒤 다시 하세요.",
        f"파일은 멀쩡하지만 {name} 압축의 {page.bits}비트 TIFF를 푸는 디코더가 설치된 라이브러리에 없습니다.",
    ) from error


# 쓰기

_CLASSIC_LIMIT = 4_000_000_000
_BYTE, _UNDEFINED = 1, 7
_LEVELS = {8: 2, 16: 1}
# libvips가 적은 것 가운데 버리고 다시 적을 태그: 해상도, 방향.
_REWRITTEN = frozenset((282, 283, 296, 274))
_OFFSETS = (273, 324)


def write(file: BinaryIO, frames: Iterable[Frame], job: EncodeJob) -> tuple[str, ...]:
    """프레임마다 한 쪽씩 TIFF로 쓴다. Deflate로 누르고, 4GB를 넘을 수 있으면 BigTIFF가 된다.

    libvips는 픽셀만 쓴다. 항목표는 메타데이터와 함께 파일 끝에 다시 적고, 앞 쪽이 그것을 가리키게 한다.

    Returns:
        옮기지 못한 것을 알리는 문장들.
    """
    notes: list[str] = []
    size = job.width * job.height * len(job.kind) * job.depth // 8
    big = size * job.count > _CLASSIC_LIMIT
    link = 8 if big else 4
    for frame in frames:
        page = job.pages(frame) if job.pages else job
        base = file.seek(0, os.SEEK_END)
        base += base % 2
        file.seek(base)
        level = _LEVELS[page.depth] if job.compression is None else job.compression
        save(
            file,
            page.image(frame),
            ".tif",
            compression="deflate" if level else "none",
            predictor="horizontal",
            level=level or 1,
            bigtiff=big,
        )
        order, at = read_tiff_head(file, base)
        pixels = _moved(read_ifd(file, base + at, order, base)[0], order, base)
        tags, lost = _exif_tags(page.metadata.exif)
        notes += lost
        position = file.seek(0, os.SEEK_END)
        position += position % 2
        file.seek(position)
        entries = {entry.tag: entry for entry in (*tags.main, *_metadata_entries(page.metadata), *pixels)}
        packed = pack_with_exif(entries.values(), tags, position, order)
        file.write(packed)
        # 앞 쪽의 끝(첫 쪽이면 파일의 머리)이 이 쪽을 가리키게 한다.
        file.seek(link)
        file.write(struct.pack(order.prefix + ("Q" if big else "I"), position))
        link = position + (8 + 20 * len(_listed(entries, tags)) if big else 2 + 12 * len(_listed(entries, tags)))
    file.seek(0, os.SEEK_END)
    return tuple(dict.fromkeys(notes))


def _listed(entries: dict[int, Entry], tags: ExifTags) -> list[int]:
    """첫 항목표에 놓인 태그들."""
    return [*entries, *(tag for tag, group in ((EXIF_IFD, tags.exif), (GPS_IFD, tags.gps)) if group)]


def _moved(entries: dict[int, Entry], order: ByteOrder, base: int) -> list[Entry]:
    """libvips가 적은 항목들에서 다시 적을 것을 빼고, 픽셀의 위치를 파일 전체의 것으로 옮긴다."""
    kept = []
    for tag, entry in entries.items():
        if tag in _OFFSETS and base:
            values = [value + base for value in order.integers(entry)]
            payload = struct.pack(f"{order.prefix}{len(values)}{_LETTERS[entry.kind]}", *values)
            kept.append(replace(entry, payload=payload))
        elif tag not in _REWRITTEN:
            kept.append(entry)
    return kept


def _exif_tags(exif: bytes | None) -> tuple[ExifTags, list[str]]:
    """EXIF를 작은 자리부터(little endian)의 항목표로 푼다. 망가졌으면 비우고 그렇다고 알린다."""
    if exif:
        try:
            tags = read_exif_tags(io.BytesIO(exif))
            return tags if tags.order.prefix == "<" else tags.swapped(), []
        except (ValueError, struct.error):
            return ExifTags(ByteOrder("<")), ["EXIF의 구조가 망가져 있어 옮기지 않았습니다."]
    return ExifTags(ByteOrder("<")), []


def _metadata_entries(metadata: Metadata) -> list[Entry]:
    """DPI, ICC, XMP, IPTC의 항목들."""
    entries = []
    if metadata.dpi:
        for tag, value in zip((282, 283), metadata.dpi, strict=True):
            ratio = Fraction(value).limit_denominator(1000)
            entries.append(Entry(tag, RATIONAL, 1, struct.pack("<II", ratio.numerator, ratio.denominator)))
        entries.append(Entry(296, SHORT, 1, struct.pack("<H", 2)))
    blocks: tuple[tuple[int, int, bytes | None], ...] = (
        (_ICC, _UNDEFINED, metadata.icc),
        (_XMP, _BYTE, metadata.xmp),
        (_IPTC, _UNDEFINED, metadata.iptc),
    )
    return entries + [Entry(tag, kind, len(value), value) for tag, kind, value in blocks if value]
