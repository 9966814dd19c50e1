"""TIFF 항목표 읽고 쓰기."""

from __future__ import annotations

import io
import struct
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from realesrgan.media.ifd import (
    ByteOrder,
    Entry,
    ExifTags,
    pack_exif,
    pack_ifd,
    read_exif_tags,
    read_ifd,
    read_tiff_head,
)
from tests.media.samples import exif_bytes, parsed_exif

ENTRIES = st.dictionaries(st.integers(1, 65535), st.binary(min_size=1, max_size=40), max_size=8).map(
    lambda items: [Entry(tag, 7, len(body), body) for tag, body in items.items()]
)


@given(ENTRIES, st.sampled_from("<>"), st.integers(0, 50).map(lambda value: value * 2))
@settings(max_examples=60, deadline=None)
def test_packed_entries_read_back(entries: Any, prefix: Any, offset: Any) -> None:
    order = ByteOrder(prefix)
    data = bytes(offset) + pack_ifd(entries, offset, order)
    found, following = read_ifd(io.BytesIO(data), offset, order)
    assert found == {entry.tag: entry for entry in entries}
    assert following == 0


@given(ENTRIES, ENTRIES, st.sampled_from("<>"))
@settings(max_examples=40, deadline=None)
def test_exif_with_sub_tables_reads_back(exif: Any, gps: Any, prefix: Any) -> None:
    main = (Entry(271, 2, 6, b"Maker\0"),)
    kept = tuple(entry for entry in sorted(exif, key=lambda entry: entry.tag) if entry.tag != 0xA005)
    tags = ExifTags(ByteOrder(prefix), main, kept, tuple(sorted(gps, key=lambda entry: entry.tag)))
    result = read_exif_tags(io.BytesIO(pack_exif(tags)))
    assert result.main == tags.main and set(result.exif) == set(tags.exif)
    assert set(result.gps) == {entry for entry in tags.gps if entry.tag != 0xA005}


@pytest.mark.parametrize("endian", ["<", ">"])
def test_exif_repacked_is_understood_by_pillow(endian: Any) -> None:
    tags = read_exif_tags(io.BytesIO(exif_bytes(6, endian=endian, size=(3, 4))))
    exif = parsed_exif(pack_exif(tags))
    assert exif[0x010F] == "Maker" and exif.get_ifd(0x8769)[0xA002] == 3 and exif.get_ifd(0x8825)[1] == "N"
    assert 0x0112 not in exif and 0x0100 not in exif


def test_bigtiff_table_is_read() -> None:
    entry = struct.pack("<HHQQ", 256, 16, 1, 70000)
    data = b"II+\0\x08\0\0\0" + struct.pack("<QQ", 16, 1) + entry + bytes(8)
    order, first = read_tiff_head(io.BytesIO(data))
    found, following = read_ifd(io.BytesIO(data), first, order)
    assert order.big and order.integers(found[256]) == (70000,) and following == 0


def test_entries_outside_the_file_are_left_out() -> None:
    data = struct.pack("<HHHIII", 1, 270, 2, 100, 5000, 0)
    assert read_ifd(io.BytesIO(data), 0, ByteOrder("<")) == ({}, 0)


@pytest.mark.parametrize("data", [b"", b"II", b"XX*\0\x08\0\0\0", b"II*\0\xff\0\0\0"])
def test_broken_structure_raises(data: Any) -> None:
    with pytest.raises((ValueError, struct.error)):
        read_exif_tags(io.BytesIO(data))
