"""TIFF를 읽고 쓴다(TIFF 6.0과 BigTIFF).

Pillow는 채널이 여럿인 16비트를 8비트로 줄이고 쓰지도 못하며, OpenCV는 채널이 따로 놓인(planar) 파일을 틀리게 읽고
메타데이터를 쓰지 못한다. 그래서 압축하지 않았거나 Deflate로 압축한 회색과 RGB는 여기서 풀고, 16비트의 나머지 압축만
다른 곳에 맡긴다. 쓰기는 모두 여기서 하며 Deflate 압축과 가로 차분을 쓴다.
"""

from __future__ import annotations

import io
import os
import struct
import zlib
from collections.abc import Iterable
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import partial
from typing import Any, BinaryIO

import numpy as np

from realesrgan.errors import ImageWriteError
from realesrgan.media.metadata import collect_metadata, matching_icc
from realesrgan.media.picture import (
    Array,
    DamagedError,
    Frame,
    Header,
    ImageInfo,
    Metadata,
    Mode,
    Picture,
    TruncatedError,
    UnsupportedError,
    apply_orientation,
)
from realesrgan.media.reader import decode_still, open_image
from realesrgan.media.writer import EncodeJob, deflate, ordered_map, strip_ranges
from realesrgan.util.optional import import_cv2

# 항목표(IFD). 값을 풀지 않고 바이트째 나르므로 바이트 순서만 지키면 한글 설명이나 모르는 태그도 손상 없이 옮겨진다.

SHORT, LONG, RATIONAL = 3, 4, 5
_SIZES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4, 16: 8, 17: 8, 18: 8}
_LETTERS = {1: "B", 3: "H", 4: "I", 6: "b", 8: "h", 9: "i", 13: "I", 16: "Q", 17: "q", 18: "Q"}
_MAX_ENTRY_BYTES = 1 << 28

EXIF_IFD, GPS_IFD, INTEROP_IFD = 0x8769, 0x8825, 0xA005
_ICC, _XMP = 34675, 700
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


def read_tiff_head(file: BinaryIO) -> tuple[ByteOrder, int]:
    """TIFF 머리에서 바이트 순서와 첫 IFD의 위치를 읽는다.

    Raises:
        ValueError, struct.error: TIFF가 아닐 때.
    """
    file.seek(0)
    head = file.read(16)
    prefix = {b"II": "<", b"MM": ">"}.get(head[:2])
    if prefix is None:
        raise ValueError("TIFF가 아니다")
    if struct.unpack_from(prefix + "H", head, 2)[0] == 43:
        return ByteOrder(prefix, big=True), struct.unpack_from(prefix + "Q", head, 8)[0]
    return ByteOrder(prefix), struct.unpack_from(prefix + "I", head, 4)[0]


def read_ifd(file: BinaryIO, offset: int, order: ByteOrder) -> tuple[dict[int, Entry], int]:
    """IFD 하나를 읽는다.

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
            (position,) = struct.unpack_from(order.prefix + letter, table, slot)
            if size == 0 or size > _MAX_ENTRY_BYTES or position + size > end:
                continue
            file.seek(position)
            payload = file.read(size)
        entries[tag] = Entry(tag, kind, items, payload)
    (following,) = struct.unpack_from(order.prefix + letter, table, count * entry_size)
    return entries, following


def pack_ifd(entries: Iterable[Entry], offset: int, order: ByteOrder) -> bytes:
    """항목들을 `offset` 자리에 놓일 IFD 바이트(항목표와 딸린 자료)로 묶는다. 다음 IFD는 없다."""
    listed = sorted(entries, key=lambda entry: entry.tag)
    position = offset + 2 + 12 * len(listed) + 4
    table, tail = struct.pack(order.prefix + "H", len(listed)), b""
    for entry in listed:
        table += struct.pack(order.prefix + "HHI", entry.tag, entry.kind, entry.count)
        if len(entry.payload) <= 4:
            table += entry.payload.ljust(4, b"\0")
            continue
        table += struct.pack(order.prefix + "I", position + len(tail))
        tail += entry.payload + b"\0" * (len(entry.payload) % 2)
    return table + struct.pack(order.prefix + "I", 0) + tail


@dataclass(frozen=True)
class ExifTags:
    """EXIF를 이루는 세 항목표. 픽셀 배치를 적은 항목은 들어 있지 않다."""

    order: ByteOrder
    main: tuple[Entry, ...] = ()
    exif: tuple[Entry, ...] = ()
    gps: tuple[Entry, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.main or self.exif or self.gps)


def read_exif_tags(file: BinaryIO) -> ExifTags:
    """TIFF 구조의 파일(TIFF 이미지이나 EXIF 덩어리)에서 설명 태그와 EXIF, GPS 항목표를 모은다.

    Raises:
        ValueError, struct.error: 구조가 망가져 있을 때.
    """
    order, first = read_tiff_head(file)
    main, _ = read_ifd(file, first, order)
    groups = {}
    for tag in (EXIF_IFD, GPS_IFD):
        values = order.integers(main[tag]) if tag in main else ()
        sub = read_ifd(file, values[0], order)[0] if values else {}
        groups[tag] = tuple(entry for entry in sub.values() if entry.tag != INTEROP_IFD)
    kept = tuple(entry for entry in main.values() if entry.tag in DESCRIPTIVE_TAGS)
    return ExifTags(ByteOrder(order.prefix), kept, groups[EXIF_IFD], groups[GPS_IFD])


def pack_with_exif(main: Iterable[Entry], tags: ExifTags, offset: int) -> bytes:
    """기본 항목표와 EXIF, GPS 항목표를 `offset`부터 이어 놓는다. 바이트 순서는 `tags.order`다."""
    order = tags.order
    pointers = [tag for tag, group in ((EXIF_IFD, tags.exif), (GPS_IFD, tags.gps)) if group]
    entries = [*main, *(Entry(tag, LONG, 1, bytes(4)) for tag in pointers)]
    position = offset + len(pack_ifd(entries, offset, order))
    tail, placed = b"", []
    for tag in pointers:
        placed.append(Entry(tag, LONG, 1, struct.pack(order.prefix + "I", position + len(tail))))
        tail += pack_ifd(tags.exif if tag == EXIF_IFD else tags.gps, position + len(tail), order)
    return pack_ifd([*main, *placed], offset, order) + tail


def pack_exif(tags: ExifTags) -> bytes:
    """항목들을 TIFF 구조의 EXIF 덩어리로 묶는다."""
    mark = b"II" if tags.order.prefix == "<" else b"MM"
    return mark + struct.pack(tags.order.prefix + "HI", 42, 8) + pack_with_exif(tags.main, tags, 8)


# 읽기

_RAW, _DEFLATE, _ANY_DEFLATE = 1, 8, (8, 32946)
_MIN_IS_WHITE, _MIN_IS_BLACK, _RGB = 0, 1, 2
_MAX_PAGES = 100_000


@dataclass(frozen=True)
class TiffLayout:
    """TIFF 첫 쪽의 배치.

    Attributes:
        width, height: 저장된 크기(방향 적용 전).
        bits: 채널마다의 비트 수. 채널끼리 다르면 0(직접 풀지 않는다).
        samples: 픽셀 하나의 표본 수.
        sample_format: 1 부호 없는 정수, 2 부호 있는 정수, 3 실수.
        photometric: 0 흰색이 0인 회색, 1 회색, 2 RGB, 3 팔레트, 5 CMYK, 6 YCbCr, 8 LAB.
        compression: 압축 방식 번호.
        predictor: 2면 가로 차분(horizontal differencing).
        fill_order: 2면 바이트 안의 비트 순서가 거꾸로다.
        planar: 채널이 따로 놓였는가.
        extra: 추가 채널의 뜻(0 모름, 1 곱한 알파, 2 곱하지 않은 알파).
        orientation: EXIF와 같은 방향 번호.
        rows_per_strip, offsets, counts: 띠(strip)의 줄 수, 위치, 바이트 수.
        tiled: 띠가 아니라 타일로 나뉘었는가.
        pages: 온전한 크기의 쪽 수.
        order: 바이트 순서.
    """

    width: int
    height: int
    bits: int
    samples: int
    sample_format: int
    photometric: int
    compression: int
    predictor: int
    fill_order: int
    planar: bool
    extra: tuple[int, ...]
    orientation: int
    rows_per_strip: int
    offsets: tuple[int, ...]
    counts: tuple[int, ...]
    tiled: bool
    pages: int
    order: ByteOrder
    entries: dict[int, Entry]

    @property
    def alpha(self) -> bool:
        """알파 채널이 있는가. 뜻을 적지 않은 넷째 채널은 알파로 본다."""
        base = 3 if self.photometric == _RGB else 1
        return any(kind in (1, 2) for kind in self.extra[:1]) or (not self.extra and self.samples == base + 1)

    @property
    def deep(self) -> bool:
        """16비트로 읽는 배치인가."""
        return self.bits in (12, 16) and self.sample_format == 1 and self.photometric in (0, 1, 2)

    @property
    def simple(self) -> bool:
        """여기서 풀 수 있는 압축과 배치인가."""
        packed = self.compression == _RAW or self.compression in _ANY_DEFLATE
        plain = self.sample_format == 1 and self.photometric in (0, 1, 2) and self.fill_order == 1
        return packed and plain and self.bits in (8, 16) and not self.tiled and self.predictor in (1, 2)

    @property
    def mode(self) -> Mode:
        """읽었을 때의 배열 종류."""
        grey = self.photometric in (_MIN_IS_WHITE, _MIN_IS_BLACK)
        if self.photometric in (_MIN_IS_WHITE, _MIN_IS_BLACK, _RGB) and self.alpha:
            return "RGBA"
        return "L" if grey else "RGB"

    @property
    def dpi(self) -> tuple[float, float] | None:
        """인치당 점의 수."""
        unit = _integers(self.order, self.entries, 296, (2,))[0]
        if unit not in (2, 3) or 282 not in self.entries or 283 not in self.entries:
            return None
        factor = 2.54 if unit == 3 else 1.0
        return self.order.rational(self.entries[282]) * factor, self.order.rational(self.entries[283]) * factor

    def payload(self, tag: int) -> bytes | None:
        """태그의 날것 바이트."""
        return self.entries[tag].payload if tag in self.entries else None


def _integers(order: ByteOrder, entries: dict[int, Entry], tag: int, default: tuple[int, ...] = ()) -> tuple[int, ...]:
    """태그의 정수들. 태그가 없거나 정수가 아니면 `default`."""
    return (order.integers(entries[tag]) if tag in entries else ()) or default


def read_header(file: BinaryIO) -> Header:
    """첫 쪽의 머리를 읽는다. `detail`은 `TiffLayout`이다.

    Raises:
        TruncatedError, DamagedError: 잘렸거나 망가졌을 때.
    """
    layout = read_layout(file)
    size = (layout.height, layout.width) if layout.orientation >= 5 else (layout.width, layout.height)
    info = ImageInfo(*size, "TIFF", layout.pages, layout.mode, 16 if layout.deep else 8)
    return Header(info, layout.orientation, layout)


def read_layout(file: BinaryIO) -> TiffLayout:
    """항목표를 읽어 첫 쪽의 배치를 알아낸다. 픽셀은 읽지 않는다.

    Raises:
        TruncatedError: 항목표나 픽셀 자료가 파일 밖에 있을 때.
        DamagedError: 크기가 적혀 있지 않을 때.
    """
    try:
        order, first = read_tiff_head(file)
        entries, following = read_ifd(file, first, order)
        pages = 1 + _count_pages(file, following, order)
    except (struct.error, ValueError) as error:
        raise TruncatedError from error

    integers = partial(_integers, order, entries)
    width, height = integers(256, (0,))[0], integers(257, (0,))[0]
    bits = integers(258, (1,))
    tiled = 324 in entries
    layout = TiffLayout(
        width=width,
        height=height,
        bits=bits[0] if len(set(bits)) == 1 else 0,
        samples=integers(277, (1,))[0],
        sample_format=max(integers(339, (1,))),
        photometric=integers(262, (_MIN_IS_BLACK,))[0],
        compression=integers(259, (_RAW,))[0],
        predictor=integers(317, (1,))[0],
        fill_order=integers(266, (1,))[0],
        planar=integers(284, (1,))[0] == 2,
        extra=integers(338),
        orientation=integers(274, (1,))[0] if 1 <= integers(274, (1,))[0] <= 8 else 1,
        rows_per_strip=min(integers(278, (height,))[0], max(height, 1)),
        offsets=integers(324 if tiled else 273),
        counts=integers(325 if tiled else 279),
        tiled=tiled,
        pages=pages,
        order=order,
        entries=entries,
    )
    _check_extent(file, layout)
    return layout


def _check_extent(file: BinaryIO, layout: TiffLayout) -> None:
    """픽셀 자료가 파일 안에 다 있는지 본다."""
    if layout.width < 1 or layout.height < 1 or not layout.offsets or layout.rows_per_strip < 1:
        raise DamagedError
    end = file.seek(0, os.SEEK_END)
    # 띠가 하나뿐인 옛 파일은 길이를 적지 않기도 하므로 적혀 있는 것만 본다.
    counts = layout.counts or (1,) * len(layout.offsets)
    if any(offset + count > end for offset, count in zip(layout.offsets, counts, strict=False)):
        raise TruncatedError


def _count_pages(file: BinaryIO, following: int, order: ByteOrder) -> int:
    """이어지는 쪽을 센다. 축소판과 마스크(NewSubfileType의 1번, 3번 비트)는 세지 않는다."""
    pages = 0
    seen: set[int] = set()
    while following and following not in seen and len(seen) < _MAX_PAGES:
        seen.add(following)
        entries, following = read_ifd(file, following, order)
        kind = order.integers(entries[254]) if 254 in entries else ()
        pages += not (kind and kind[0] & 0b101)
    return pages


def decode(data: bytes, header: Header) -> Picture:
    """첫 쪽을 푼다. 12비트는 16비트로 늘린다.

    Raises:
        UnsupportedError: 여러 쪽, 실수, 부호 있는 정수처럼 담을 수 없는 종류일 때.
        TruncatedError, DamagedError: 자료가 모자라거나 어긋날 때.
        Exception: Pillow의 디코더가 내는 여러 가지 예외.
    """
    layout: TiffLayout = header.detail
    _check_supported(layout)
    if not layout.deep and not layout.simple:
        # Pillow는 TIFF를 풀면서 방향까지 적용한다.
        image = open_image("TIFF", io.BytesIO(data))
        image.load()
        return decode_still(image, replace(header, orientation=1), **_metadata_info(data, layout))
    pixels = _arrange(_decode_strips(data, layout) if layout.simple else _decode_elsewhere(data, layout), layout)
    grey = layout.photometric in (_MIN_IS_WHITE, _MIN_IS_BLACK)
    icc = layout.payload(_ICC)
    icc = matching_icc(icc, "L" if grey else "RGB") if icc else None
    metadata, notes = collect_metadata(_metadata_info(data, layout), icc)
    array = apply_orientation(pixels, layout.orientation)
    return Picture((Frame(array),), metadata=metadata, format="TIFF", gray_alpha=grey and layout.alpha, notes=notes)


def _check_supported(layout: TiffLayout) -> None:
    """담을 수 없는 종류를 풀기 전에 거른다."""
    if layout.pages > 1:
        raise UnsupportedError(
            f"여러 쪽({layout.pages}쪽)이 든 TIFF는 지원하지 않습니다. 쪽마다 크기와 종류가 다를 수 있습니다."
        )
    if layout.sample_format != 1 or layout.bits > 16:
        kind = {2: "부호 있는 정수", 3: "실수"}.get(layout.sample_format, "정수")
        raise UnsupportedError(
            f"{layout.bits}비트 {kind} TIFF는 8비트나 16비트로 옮기면 값이 바뀌므로 지원하지 않습니다."
        )


def _metadata_info(data: bytes, layout: TiffLayout) -> dict[str, Any]:
    """Pillow의 `info`와 같은 이름의 메타데이터. 픽셀 배치를 적은 태그는 뺀다."""
    try:
        tags = read_exif_tags(io.BytesIO(data))
        exif = pack_exif(tags) if tags else None
    except (ValueError, struct.error):
        exif = None
    return {"exif": exif, "xmp": layout.payload(_XMP), "dpi": layout.dpi}


def _decode_strips(data: bytes, layout: TiffLayout) -> Array:
    """띠를 차례로 풀어 `(H, W, samples)`를 만든다."""
    planes, per_pixel = (layout.samples, 1) if layout.planar else (1, layout.samples)
    dtype = np.dtype(layout.order.prefix + f"u{layout.bits // 8}")
    pixels: Array = np.empty((planes, layout.height, layout.width, per_pixel), dtype.newbyteorder("="))
    tops = range(0, layout.height, layout.rows_per_strip)
    if len(layout.offsets) < planes * len(tops):
        raise TruncatedError
    for index, offset in enumerate(layout.offsets[: planes * len(tops)]):
        plane, top = divmod(index, len(tops))
        rows = pixels[plane, tops[top] : tops[top] + layout.rows_per_strip]
        count = layout.counts[index] if index < len(layout.counts) else rows.nbytes
        raw = data[offset : offset + count]
        if layout.compression != _RAW:
            try:
                raw = zlib.decompressobj().decompress(raw, rows.nbytes)
            except zlib.error as error:
                raise DamagedError from error
        if len(raw) < rows.nbytes:
            raise TruncatedError
        rows[...] = np.frombuffer(raw, dtype, rows.size).reshape(rows.shape)
        if layout.predictor == 2:
            np.add.accumulate(rows, axis=1, out=rows)
    return pixels[0] if planes == 1 else np.ascontiguousarray(pixels[..., 0].transpose(1, 2, 0))


def _decode_elsewhere(data: bytes, layout: TiffLayout) -> Array:
    """LZW 같은 다른 압축의 16비트는 OpenCV(여러 채널)와 Pillow(회색)에 맡긴다."""
    if layout.samples == 1:
        pixels: Array = np.asarray(open_image("TIFF", io.BytesIO(data))).astype(np.uint16)
        # Pillow가 적용한 방향을 되돌린다. 6과 8은 서로의 반대이고 나머지는 두 번 하면 제자리다.
        return apply_orientation(pixels, {6: 8, 8: 6}.get(layout.orientation, layout.orientation))[..., None]
    if layout.planar or layout.samples not in (3, 4) or layout.bits != 16:
        raise UnsupportedError("이 압축과 채널 배치의 16비트 TIFF는 읽을 수 없습니다.")
    cv2 = import_cv2()
    decoded = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    if decoded is None or decoded.shape != (layout.height, layout.width, layout.samples) or decoded.dtype != np.uint16:
        raise DamagedError
    return np.ascontiguousarray(decoded[..., [2, 1, 0, 3][: layout.samples]])


def _arrange(pixels: Array, layout: TiffLayout) -> Array:
    """`(H, W, samples)`를 회색, BGR, BGRA로 정리한다."""
    if layout.bits == 12:
        pixels = (pixels << 4) | (pixels >> 8)
    base = 3 if layout.photometric == _RGB else 1
    if pixels.shape[2] < base:
        raise DamagedError
    colour, alpha = pixels[..., :base], pixels[..., base : base + 1]
    if layout.photometric == _MIN_IS_WHITE:
        colour = np.iinfo(colour.dtype).max - colour
    if not layout.alpha:
        return np.ascontiguousarray(colour[..., 0] if base == 1 else colour[..., ::-1])
    if layout.extra[:1] == (1,):
        # 알파를 곱해 둔(associated) 색을 곱하지 않은 색으로 되돌린다.
        top = int(np.iinfo(colour.dtype).max)
        wide = colour.astype(np.uint64) * top + alpha // 2
        colour = np.minimum(wide // np.maximum(alpha, 1), top).astype(colour.dtype)
    bgr = np.repeat(colour, 3, axis=2) if base == 1 else colour[..., ::-1]
    return np.ascontiguousarray(np.concatenate([bgr, alpha], axis=2))


# 쓰기

_MAX_FILE = 2**32 - 1
_HORIZONTAL, _STRAIGHT_ALPHA = 2, 2
_BYTE, _UNDEFINED = 1, 7


def write(file: BinaryIO, frames: Iterable[Frame], job: EncodeJob) -> tuple[str, ...]:
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
    offsets, counts, position = [], [], 8
    for block in ordered_map(partial(_encode_strip, frame, job, order), ranges):
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
    """EXIF를 항목표로 푼다. 망가졌으면 비우고 그렇다고 알린다."""
    if exif:
        try:
            return read_exif_tags(io.BytesIO(exif)), ()
        except (ValueError, struct.error):
            return ExifTags(ByteOrder("<")), ("EXIF의 구조가 망가져 있어 옮기지 않았습니다.",)
    return ExifTags(ByteOrder("<")), ()


def _encode_strip(frame: Frame, job: EncodeJob, order: ByteOrder, bounds: tuple[int, int]) -> bytes:
    """띠 하나를 RGB 순서로 바꾸고, 왼쪽 픽셀과의 차이를 압축한다."""
    cv2 = import_cv2()
    strip = job.strip(frame, *bounds)
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
        numbers(258, SHORT, *[job.depth] * len(job.kind)),
        numbers(259, SHORT, _DEFLATE),
        numbers(262, SHORT, 1 if job.kind in ("L", "LA") else 2),
        numbers(273, LONG, *offsets),
        numbers(277, SHORT, len(job.kind)),
        numbers(278, LONG, rows_per_strip),
        numbers(279, LONG, *counts),
        numbers(317, SHORT, _HORIZONTAL),
    ]
    if job.kind in ("LA", "BGRA"):
        entries.append(numbers(338, SHORT, _STRAIGHT_ALPHA))
    return entries + _metadata_entries(job.metadata, order)


def _metadata_entries(metadata: Metadata, order: ByteOrder) -> list[Entry]:
    """DPI, ICC, XMP의 항목들."""
    entries = []
    if metadata.dpi:
        for tag, value in zip((282, 283), metadata.dpi, strict=True):
            ratio = Fraction(value).limit_denominator(1000)
            packed = struct.pack(order.prefix + "II", ratio.numerator, ratio.denominator)
            entries.append(Entry(tag, RATIONAL, 1, packed))
        entries.append(Entry(296, SHORT, 1, struct.pack(order.prefix + "H", 2)))
    if metadata.icc:
        entries.append(Entry(_ICC, _UNDEFINED, len(metadata.icc), metadata.icc))
    if metadata.xmp:
        entries.append(Entry(_XMP, _BYTE, len(metadata.xmp), metadata.xmp))
    return entries
