"""이미지에 딸린 정보: EXIF, XMP, 해상도(DPI), IPTC. 라이브러리들은 풀어 다시 적으면서 잃으므로 바이트를 고친다.

EXIF는 새로 써 내지 않고 제자리에서 값만 바꾼다. 제조사 기록(MakerNote)은 EXIF 안의 위치를 가리키므로 자리를 옮기면
깨지기 때문이다. 구조는 TIFF 6.0의 2절, 태그는 Exif 2.32의 4.6절을 따른다.
"""

from __future__ import annotations

import io
import math
import re
import struct
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from typing import Any

from realesrgan.media.colour import choose_profile
from realesrgan.media.formats import ImageFormat
from realesrgan.media.ifd import (
    EXIF_IFD,
    INTEROP_IFD,
    LONG,
    SHORT,
    ByteOrder,
    Entry,
    Table,
    pack_ifd,
    read_ifd,
    read_tiff_head,
)
from realesrgan.media.picture import EXIF_PREFIX, Metadata

# 모으기와 맞추기

# 형식이 담지 못하면 이름을 대는 것. `Metadata`의 이름과 사람에게 보일 이름.
_NAMED = {"exif": "EXIF", "xmp": "XMP", "dpi": "DPI", "iptc": "IPTC", "gain_map": "이득 지도(gain map)"}


def collect_metadata(info: Mapping[Any, Any], *, grey: bool) -> tuple[Metadata, tuple[str, ...]]:
    """읽은 `info`에서 메타데이터를 모아 다듬는다. 방향은 1로 되돌리고 미리보기는 없앤다.

    Args:
        info: Pillow 이미지의 `info`와 같은 이름(`exif`, `xmp`, `dpi` 등)과 `text`, `iptc`, `cicp`, `gain_map`.
        grey: 픽셀이 회색인지. 색 프로파일은 픽셀의 색 공간과 맞는 것만 나른다.

    Returns:
        `(메타데이터, 알릴 문장들)`. 망가진 EXIF와 프로파일은 버리고 그렇다고 알린다.
    """
    notes = list(info.get("notes", ()))
    icc = None
    if any(info.get(name) for name in ("icc_profile", "cicp", "gama", "chrm")):
        icc, lost = choose_profile(info, grey=grey)
        notes += lost
    exif = info.get("exif")
    neutral = neutral_exif(exif) if exif else None
    if exif and neutral is None:
        notes.append("EXIF의 구조가 망가져 있어 옮기지 않았습니다.")
    xmp = info.get("xmp") or info.get("XML:com.adobe.xmp")
    xmp = xmp.encode("utf-8") if isinstance(xmp, str) else xmp
    gain_map = info.get("gain_map")
    neutral_packet = neutral_xmp(xmp, keep_gain_map=bool(gain_map)) if isinstance(xmp, bytes) and xmp else None
    dpi = clean_dpi(info.get("dpi")) or (clean_dpi(exif_dpi(neutral)) if neutral else None)
    text = tuple(info.get("text", ()))
    return Metadata(icc, neutral, neutral_packet, dpi, info.get("cicp"), text, info.get("iptc"), gain_map), tuple(notes)


def fit_metadata(metadata: Metadata, width: int, height: int, target: ImageFormat) -> tuple[Metadata, list[str]]:
    """형식이 담을 수 있는 것만 남기고 크기를 적은 태그를 결과의 크기로 바꾼 것과, 뺀 것의 이름들. ICC는 그대로 둔다."""
    carries = target.carries
    kept: dict[str, Any] = {name: getattr(metadata, name) if name in carries else None for name in (*_NAMED, "cicp")}
    if metadata.dpi and "exif" in carries and "dpi" not in carries:
        kept["exif"] = with_dpi(kept["exif"], metadata.dpi)
        carries |= {"dpi"}
    if kept["xmp"] and metadata.gain_map and "gain_map" not in carries:
        kept["xmp"] = neutral_xmp(kept["xmp"])
    for name, resized in (("exif", resized_exif), ("xmp", resized_xmp)):
        kept[name] = resized(kept[name], width, height) if kept[name] else None
    text = tuple(item for item in metadata.text if "text" in carries or ("comment" in carries and item[0] == "Comment"))
    lost = [label for name, label in _NAMED.items() if getattr(metadata, name) and name not in carries]
    if lost_text := [key for key, _ in metadata.text if key not in dict(text)]:
        lost.append(f"글({', '.join(lost_text)})")
    return replace(metadata, text=text, **kept), lost


def find_orientation(exif: bytes | None, xmp: bytes | None) -> int:
    """적용할 방향(1..8). EXIF에 적혀 있지 않으면 XMP의 것을 본다."""
    if exif and (value := exif_orientation(exif)):
        return value
    found = re.search(rb"tiff:Orientation(?:\s*=\s*[\"']|>)\s*([1-8])\s*[\"'<]", xmp or b"")
    return int(found[1]) if found else 1


def decode_text(data: bytes) -> str:
    """글자 부호를 적지 않은 글. 규격은 Latin-1이지만 UTF-8로 적는 프로그램이 많다."""
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        return data.decode("latin-1")


def decode_comment(data: bytes) -> str:
    """글자 부호를 정하지 않은 형식(JPEG, GIF)의 설명. UTF-8이 아니어도 `encode_comment`가 같은 바이트로 되돌린다."""
    return data.decode("utf-8", "surrogateescape")


def encode_comment(text: str) -> bytes:
    """`decode_comment`의 글을 바이트로."""
    return text.encode("utf-8", "surrogateescape")


def profile_text(text: str) -> bytes | None:
    """ImageMagick이 PNG에 16진수 글로 적은 것(`Raw profile type ...`)의 바이트. 그런 글이 아니면 None."""
    try:
        return bytes.fromhex("".join(text.split("\n")[3:]))
    except ValueError:
        return None


def iptc_of_photoshop(block: bytes) -> bytes | None:
    """Photoshop의 자원 덩어리(8BIM)에서 IPTC 기록(번호 0x0404)을 꺼낸다."""
    block = block.removeprefix(b"Photoshop 3.0\0")
    at = 0
    while block[at : at + 4] == b"8BIM" and at + 12 <= len(block):
        (number,) = struct.unpack_from(">H", block, at + 4)
        # 이름은 길이 한 바이트가 앞에 붙고 짝수로 맞춘다.
        start = at + 6 + (block[at + 6] + 2) // 2 * 2
        if start + 4 > len(block):
            return None
        (size,) = struct.unpack_from(">I", block, start)
        if number == 0x0404:
            return block[start + 4 : start + 4 + size] or None
        at = start + 4 + size + size % 2
    return None


def clean_dpi(dpi: Any) -> tuple[float, float] | None:
    """DPI로 쓸 수 있는 값이면 실수 둘로, 0이나 무한대 같은 뜻 없는 값이면 None."""
    try:
        x, y = (float(value) for value in dpi)
    except (TypeError, ValueError, ZeroDivisionError):
        return None
    ok = all(math.isfinite(value) and 0 < value <= 1e6 for value in (x, y))
    return (x, y) if ok else None


# EXIF

_BROKEN = (ValueError, LookupError, struct.error)
_ORIENTATION = 0x0112
_WIDTHS, _HEIGHTS = (0x0100, 0xA002), (0x0101, 0xA003)
_THUMBNAIL_OFFSET, _THUMBNAIL_LENGTH = 0x0201, 0x0202
_EMPTY = b"II*\0\x08\0\0\0" + bytes(6)


def _main_table(exif: bytes | bytearray) -> tuple[int, Table, int]:
    """EXIF의 `(첫 항목표의 자리, 그 항목표, 다음 항목표의 자리)`. 망가졌으면 `_BROKEN`을 낸다."""
    file = io.BytesIO(exif)
    order, first = read_tiff_head(file)
    if order.big:
        raise ValueError("EXIF는 BigTIFF가 아니다")
    return first, *read_ifd(file, first, order)


def _set_value(exif: bytearray, order: ByteOrder, entry: Entry, value: int) -> None:
    """항목을 정수 하나로 바꾼다. 값은 항목 안 네 바이트에 들어가므로 다른 자리는 그대로다."""
    kind, letter = (SHORT, "H2x") if value <= 0xFFFF else (LONG, "I")
    struct.pack_into(f"{order.prefix}HI{letter}", exif, entry.place + 2, kind, 1, value)


def exif_orientation(exif: bytes) -> int:
    """EXIF 방향(1..8). 적혀 있지 않거나 읽을 수 없으면 0."""
    with suppress(*_BROKEN):
        value = _main_table(exif.removeprefix(EXIF_PREFIX))[1].integer(_ORIENTATION)
        return value if 1 <= value <= 8 else 0
    return 0


def neutral_exif(exif: bytes) -> bytes | None:
    """방향을 1로 되돌리고 키우기 전의 미리보기(thumbnail)를 없앤, 머리를 뗀 EXIF. 구조가 망가져 있으면 None."""
    data = bytearray(exif.removeprefix(EXIF_PREFIX))
    try:
        first, entries, second = _main_table(data)
        order = entries.order
        if _ORIENTATION in entries:
            _set_value(data, order, entries[_ORIENTATION], 1)
        if second:
            # 미리보기를 가리키는 둘째 항목표를 끊는다.
            (count,) = struct.unpack_from(order.prefix + "H", data, first)
            struct.pack_into(order.prefix + "I", data, first + 2 + 12 * count, 0)
            _erase_thumbnail(data, order, second)
    except _BROKEN:
        return None
    return bytes(data)


def _erase_thumbnail(exif: bytearray, order: ByteOrder, table: int) -> None:
    """`table`에 있는 항목표가 가리키는 미리보기의 바이트를 지운다."""
    try:
        entries, _ = read_ifd(io.BytesIO(exif), table, order)
        start, length = (entries.integers(tag)[0] for tag in (_THUMBNAIL_OFFSET, _THUMBNAIL_LENGTH))
    except _BROKEN:
        return
    end = start + length
    if start >= 8 and length and end == len(exif):
        del exif[start:]
    elif start >= 8 and end < len(exif):
        exif[start:end] = bytes(length)


def resized_exif(exif: bytes, width: int, height: int) -> bytes:
    """크기를 적은 태그(ImageWidth, PixelXDimension 등)를 새 크기로 바꾼 EXIF. 없는 태그를 더하지는 않는다."""
    data = bytearray(exif)
    try:
        _, entries, _ = _main_table(exif)
        tables, order = [entries], entries.order
        if EXIF_IFD in entries:
            tables.append(read_ifd(io.BytesIO(exif), entries.integers(EXIF_IFD)[0], order)[0])
    except _BROKEN:
        return exif
    for entry in (entry for table in tables for entry in table.values()):
        if entry.tag in (*_WIDTHS, *_HEIGHTS):
            _set_value(data, order, entry, width if entry.tag in _WIDTHS else height)
    return bytes(data)


def is_adobe_rgb(exif: bytes) -> bool:
    """EXIF가 픽셀의 색을 Adobe RGB라고 하는가(Exif 2.32의 4.6.7절, InteroperabilityIndex가 R03)."""
    with suppress(*_BROKEN):
        _, table, _ = _main_table(exif := exif.removeprefix(EXIF_PREFIX))
        for tag in (EXIF_IFD, INTEROP_IFD):
            table, _ = read_ifd(io.BytesIO(exif), table.integers(tag)[0], table.order)
        return table[1].payload.startswith(b"R03")
    return False


def exif_dpi(exif: bytes) -> tuple[float, float] | None:
    """EXIF에 적힌 해상도를 인치당 점의 수로. 없거나 뜻이 없으면 None."""
    with suppress(*_BROKEN):
        return _main_table(exif.removeprefix(EXIF_PREFIX))[1].dpi()
    return None


def with_dpi(exif: bytes | None, dpi: tuple[float, float]) -> bytes:
    """해상도를 적은 EXIF. 첫 항목표를 끝에 새로 쓰고 머리가 그것을 가리키게 해, 다른 자료의 자리는 그대로다."""
    data = bytearray(exif or _EMPTY)
    try:
        _, table, _ = _main_table(data)
    except _BROKEN:
        return exif or b""
    entries = table | {entry.tag: entry for entry in table.order.dpi_entries(dpi)}
    data += bytes(len(data) % 2)
    struct.pack_into(table.order.prefix + "I", data, 4, len(data))
    return bytes(data) + pack_ifd(entries.values(), len(data), table.order)


# XMP

# 이득 지도(gain map)와 움직이는 사진, 확장 XMP는 파일의 다른 곳에 따로 있는 자료를 가리킨다.
# 그 자료는 옮기지 않으므로 가리키는 말도 지운다.
_GAIN_MAP = (
    rb"<(Container:Directory|GContainer:Directory)\b.*?</\1>",
    rb"\s(?:hdrgm):Version\s*=\s*(?:\"[^\"]*\"|'[^']*')",
)
_DANGLING = (
    rb"<(xmp:Thumbnails)\b.*?</\1>",
    rb"\s(?:GCamera|Camera|xmpNote):(?:MicroVideo\w*|MotionPhoto\w*|HasExtendedXMP)\s*=\s*(?:\"[^\"]*\"|'[^']*')",
    rb"<((?:GCamera|Camera|xmpNote):(?:MicroVideo\w*|MotionPhoto\w*|HasExtendedXMP))>[^<]*</\1>",
)
_WIDTH_NAMES = rb"tiff:ImageWidth|exif:PixelXDimension"
_HEIGHT_NAMES = rb"tiff:ImageLength|exif:PixelYDimension"


def neutral_xmp(xmp: bytes, *, keep_gain_map: bool = False) -> bytes:
    """방향을 1로 되돌리고, 함께 옮기지 않는 자료를 가리키는 항목을 지운 XMP."""
    for pattern in _DANGLING if keep_gain_map else (*_GAIN_MAP, *_DANGLING):
        xmp = re.sub(pattern, b"", xmp, flags=re.DOTALL)
    return _set_number(xmp, rb"tiff:Orientation", 1)


def resized_xmp(xmp: bytes, width: int, height: int) -> bytes:
    """크기를 적은 항목을 새 크기로 바꾼 XMP. 없는 항목을 더하지는 않는다."""
    return _set_number(_set_number(xmp, _WIDTH_NAMES, width), _HEIGHT_NAMES, height)


def _set_number(xmp: bytes, names: bytes, value: int) -> bytes:
    """속성 꼴(`이름="수"`)과 원소 꼴(`<이름>수</이름>`)의 정수를 바꾼다."""
    pattern = rb"(?P<head>(?:" + names + rb")(?:\s*=\s*[\"']|>))\s*\d+\s*"
    return re.sub(pattern, lambda found: found.group("head") + str(value).encode(), xmp)
