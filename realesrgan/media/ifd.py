"""TIFF의 항목표(IFD)를 읽고 적는다(TIFF 6.0의 2절과 BigTIFF). TIFF 파일과 EXIF, MPF가 같은 구조다.

값을 풀지 않고 바이트째 나른다. Pillow와 libvips는 값을 풀었다가 다시 적으면서 한글 설명과 모르는 태그를 잃는다.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from fractions import Fraction
from types import MappingProxyType
from typing import BinaryIO

import numpy as np

SHORT, LONG, RATIONAL, LONG8 = 3, 4, 5, 16
_SIZES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4, 16: 8, 17: 8, 18: 8}
LETTERS = {1: "B", 3: "H", 4: "I", 6: "b", 8: "h", 9: "i", 13: "I", 16: "Q", 17: "q", 18: "Q"}
_MAX_ENTRY_BYTES = 1 << 28

EXIF_IFD, GPS_IFD, INTEROP_IFD = 0x8769, 0x8825, 0xA005
RESOLUTIONS, RESOLUTION_UNIT = (282, 283), 296
_INCH, _CENTIMETRE = 2, 3
DESCRIPTIVE_TAGS = frozenset(
    (269, 270, 271, 272, 285, 305, 306, 315, 316, 18246, 18249, 33432, 40091, 40092, 40093, 40094, 40095)
)
"""픽셀의 배치와 상관없이 이미지를 설명하는 IFD0 태그(설명, 제조사, 만든이, 날짜, 저작권 등)."""


@dataclass(frozen=True)
class Entry:
    """항목 하나. `payload`는 파일의 바이트 순서 그대로인 값들, `place`는 읽은 파일에서 항목이 놓인 자리다."""

    tag: int
    kind: int
    count: int
    payload: bytes
    place: int = field(default=0, compare=False)


@dataclass(frozen=True)
class ByteOrder:
    """TIFF 파일 하나의 바이트 순서(`'<'` 또는 `'>'`)와 BigTIFF 여부."""

    prefix: str
    big: bool = False

    def integers(self, entry: Entry) -> tuple[int, ...]:
        """항목의 정수들. 정수가 아닌 항목이면 빈 튜플."""
        letter = LETTERS.get(entry.kind)
        return struct.unpack(f"{self.prefix}{entry.count}{letter}", entry.payload) if letter else ()

    def entry(self, tag: int, kind: int, *values: int) -> Entry:
        """정수들의 항목."""
        return Entry(tag, kind, len(values), struct.pack(f"{self.prefix}{len(values)}{LETTERS[kind]}", *values))

    def pixel_entries(
        self, shape: tuple[int, ...], depth: int, compression: int, rows: int, strips: Iterable[tuple[int, int]]
    ) -> list[Entry]:
        """`shape`(높이, 너비, 채널 수), 채널마다 `depth`비트의 회색이나 RGB(알파) 픽셀의 배치를 적은 항목들.

        `strips`는 `rows`줄인 띠마다의 `(자리, 바이트 수)`다. 압축이 1(그대로)이 아니면 왼쪽과의 차이를 누른 것이다.
        """
        height, width, bands = shape
        offsets, counts = zip(*strips, strict=True)
        shorts = {258: (depth,) * bands, 259: (compression,), 262: (2 if bands > 2 else 1,), 277: (bands,), 284: (1,)}
        # 곱하지 않은 알파(338)와, 가로의 차이(317).
        shorts |= ({338: (2,)} if bands in (2, 4) else {}) | ({317: (2,)} if compression != 1 else {})
        longs = {256: (width,), 257: (height,), 278: (rows,)}
        places = {273: offsets, 279: counts}
        kinds = ((SHORT, shorts), (LONG, longs), (LONG8 if self.big else LONG, places))
        return [self.entry(tag, kind, *values) for kind, group in kinds for tag, values in group.items()]

    def dpi_entries(self, dpi: tuple[float, float]) -> list[Entry]:
        """인치당 점의 수 `(가로, 세로)`의 항목들."""
        ratios = [Fraction(value).limit_denominator(1000) for value in dpi]
        packed = [struct.pack(self.prefix + "II", ratio.numerator, ratio.denominator) for ratio in ratios]
        entries = [Entry(tag, RATIONAL, 1, value) for tag, value in zip(RESOLUTIONS, packed, strict=True)]
        return [*entries, self.entry(RESOLUTION_UNIT, SHORT, _INCH)]


class Table(dict[int, Entry]):
    """IFD 하나: 태그마다의 항목과 그 바이트 순서."""

    def __init__(self, order: ByteOrder, entries: Mapping[int, Entry] = MappingProxyType({})) -> None:
        super().__init__(entries)
        self.order = order

    def integers(self, tag: int, default: tuple[int, ...] = ()) -> tuple[int, ...]:
        """태그의 정수들. 태그가 없거나 정수가 아니면 `default`."""
        return (self.order.integers(self[tag]) if tag in self else ()) or default

    def integer(self, tag: int, default: int = 0) -> int:
        """태그의 첫 정수."""
        return self.integers(tag, (default,))[0]

    def dpi(self) -> tuple[float, float] | None:
        """인치당 점의 수 `(가로, 세로)`. 없거나 단위가 없으면 None, 분모가 0인 쪽은 0."""
        unit = {_INCH: 1.0, _CENTIMETRE: 2.54}.get(self.integer(RESOLUTION_UNIT, _INCH))
        if unit is None or not all(tag in self for tag in RESOLUTIONS):
            return None
        form, found = self.order.prefix + "II", [self[tag] for tag in RESOLUTIONS]
        ratios = [struct.unpack_from(form, one.payload) if one.kind == RATIONAL else (0, 0) for one in found]
        x, y = (top / bottom * unit if bottom else 0.0 for top, bottom in ratios)
        return x, y


def read_tiff_head(file: BinaryIO, base: int = 0) -> tuple[ByteOrder, int]:
    """`base`에 있는 TIFF 머리에서 바이트 순서와 첫 IFD의 위치를 읽는다. TIFF가 아니면 `ValueError`나 `struct.error`."""
    file.seek(base)
    head = file.read(16)
    prefix = {b"II": "<", b"MM": ">"}.get(head[:2], "")
    version = struct.unpack_from(prefix + "H", head, 2)[0] if prefix else 0
    if version not in (42, 43):
        raise ValueError("TIFF가 아니다")
    if version == 43:
        return ByteOrder(prefix, big=True), struct.unpack_from(prefix + "Q", head, 8)[0]
    return ByteOrder(prefix), struct.unpack_from(prefix + "I", head, 4)[0]


def read_ifd(file: BinaryIO, offset: int, order: ByteOrder, base: int = 0) -> tuple[Table, int]:
    """`(IFD, 다음 IFD의 위치)`. 다음이 없으면 0이다. 항목의 위치는 `base`에서 센다.

    자료가 파일 밖에 있는 항목은 뺀다. 항목표가 잘렸으면 `struct.error`를 낸다.
    """
    end = file.seek(0, os.SEEK_END)
    file.seek(offset)
    count_letter, entry_size, inline, letter = ("Q", 20, 8, "Q") if order.big else ("H", 12, 4, "I")
    (count,) = struct.unpack(order.prefix + count_letter, file.read(8 if order.big else 2))
    if count > 65535:
        raise struct.error("IFD의 항목이 너무 많다")
    table_at = file.tell()
    table = file.read(count * entry_size + inline)
    entries = Table(order)
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
        entries[tag] = Entry(tag, kind, items, payload, table_at + at)
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
    """TIFF 구조의 파일(TIFF 이미지나 EXIF 덩어리)에서 첫 쪽의 설명 태그와 EXIF, GPS 항목표를 모은다."""
    order, first = read_tiff_head(file)
    return exif_of(file, read_ifd(file, first, order)[0])


def exif_of(file: BinaryIO, main: Table) -> ExifTags:
    """첫 항목표 `main`에서 설명 태그를, 그것이 가리키는 곳에서 EXIF와 GPS를 모은다."""
    groups = {}
    for tag in (EXIF_IFD, GPS_IFD):
        at = main.integer(tag)
        sub = read_ifd(file, at, main.order)[0] if at else {}
        groups[tag] = tuple(entry for entry in sub.values() if entry.tag != INTEROP_IFD)
    kept = tuple(entry for entry in main.values() if entry.tag in DESCRIPTIVE_TAGS)
    return ExifTags(ByteOrder(main.order.prefix), kept, groups[EXIF_IFD], groups[GPS_IFD])


def pack_with_exif(main: Iterable[Entry], tags: ExifTags, offset: int, order: ByteOrder) -> bytes:
    """기본 항목표와 EXIF, GPS 항목표를 `offset`부터 이어 놓는다."""
    main = list(main)
    groups = {tag: group for tag, group in ((EXIF_IFD, tags.exif), (GPS_IFD, tags.gps)) if group}
    kind, letter = (LONG8, "Q") if order.big else (LONG, "I")
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
