"""EXIF와 XMP를 새 상태에 맞추기, 색 프로파일과 DPI 가리기."""

from __future__ import annotations

import struct
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from realesrgan.media.colour import matching_icc, srgb_icc
from realesrgan.media.metadata import (
    clean_dpi,
    collect_metadata,
    exif_dpi,
    exif_orientation,
    neutral_exif,
    neutral_xmp,
    resized_exif,
    resized_xmp,
    with_dpi,
)
from realesrgan.media.picture import EXIF_PREFIX, Metadata
from tests.media.samples import exif_bytes, parsed_exif, profile


@pytest.mark.parametrize("endian", ["<", ">"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_orientation_is_read_and_reset(orientation: Any, endian: Any) -> None:
    exif = exif_bytes(orientation, endian=endian)
    assert exif_orientation(EXIF_PREFIX + exif) == orientation
    neutral = neutral_exif(EXIF_PREFIX + exif)
    assert neutral is not None
    assert exif_orientation(neutral) == 1
    assert parsed_exif(neutral)[0x010F] == "Maker"
    assert parsed_exif(neutral).get_ifd(0x8825)[1] == "N"


def test_missing_or_invalid_orientation_is_zero() -> None:
    assert exif_orientation(b"") == exif_orientation(exif_bytes()) == 0
    assert exif_orientation(exif_bytes(0)) == exif_orientation(exif_bytes(9)) == 0


@pytest.mark.parametrize("endian", ["<", ">"])
@pytest.mark.parametrize("size", [(40, 30), (70000, 90000)])
def test_size_tags_take_the_new_size_even_beyond_short(endian: Any, size: Any) -> None:
    exif = resized_exif(exif_bytes(endian=endian, size=(10, 20)), *size)
    result = parsed_exif(exif)
    assert (result[0x0100], result[0x0101]) == size
    assert (result.get_ifd(0x8769)[0xA002], result.get_ifd(0x8769)[0xA003]) == size
    assert len(exif) == len(exif_bytes(endian=endian, size=(10, 20)))


def test_no_size_tag_is_added() -> None:
    exif = exif_bytes(1)
    assert resized_exif(exif, 40, 30) == exif


@pytest.mark.parametrize("trailer", [b"", b"tail"])
def test_thumbnail_is_unlinked_and_erased(trailer: Any) -> None:
    thumbnail = b"\xff\xd8secret thumbnail\xff\xd9"
    second = 8 + 2 + 12 + 4
    first = struct.pack("<HHHIHHI", 1, 0x0112, 3, 1, 6, 0, second)
    at = second + 2 + 24 + 4
    table = struct.pack("<HHHIIHHIII", 2, 0x0201, 4, 1, at, 0x0202, 4, 1, len(thumbnail), 0)
    exif = b"II*\0\x08\0\0\0" + first + table + thumbnail + trailer
    neutral = neutral_exif(exif)
    assert neutral is not None
    assert b"secret" not in neutral
    assert exif_orientation(neutral) == 1
    assert struct.unpack_from("<I", neutral, 8 + 2 + 12)[0] == 0
    assert neutral.endswith(trailer)


def test_nothing_moves_inside_the_exif() -> None:
    exif = exif_bytes(6, size=(10, 20))
    neutral = neutral_exif(exif)
    assert neutral is not None
    assert len(neutral) == len(exif)
    assert sum(a != b for a, b in zip(neutral, exif, strict=True)) <= 1


@given(st.binary(max_size=120))
@settings(max_examples=150, deadline=None)
def test_no_bytes_make_it_raise(data: Any) -> None:
    for exif in (data, b"II*\0" + data, b"MM\0*\0\0\0\x08" + data, EXIF_PREFIX + b"II*\0\x08\0\0\0" + data):
        neutral_exif(exif)
        exif_orientation(exif)
        exif_dpi(exif)
        resized_exif(exif, 10, 20)
        with_dpi(exif, (72.0, 72.0))


@given(st.binary(min_size=4, max_size=200), st.integers(0, 190))
@settings(max_examples=80, deadline=None)
def test_corrupted_exif_does_not_raise(noise: Any, at: Any) -> None:
    exif = bytearray(exif_bytes(6, size=(10, 20)))
    exif[at : at + 4] = noise[:4]
    neutral = neutral_exif(bytes(exif))
    if neutral is not None:
        resized_exif(neutral, 10, 20)


@pytest.mark.parametrize("endian", ["<", ">"])
def test_dpi_round_trips_through_exif(endian: Any) -> None:
    exif = with_dpi(exif_bytes(1, endian=endian, size=(10, 20)), (300.0, 150.5))
    assert exif_dpi(exif) == (300.0, 150.5)
    result = parsed_exif(exif)
    assert (result[0x011A], result[0x011B], result[0x0128]) == (300, 150.5, 2)
    assert result[0x010F] == "Maker"
    assert result.get_ifd(0x8769)[0xA002] == 10
    assert exif_dpi(with_dpi(exif, (72.0, 96.0))) == (72.0, 96.0)
    assert exif_dpi(with_dpi(None, (72.0, 96.0))) == (72.0, 96.0)


def test_resolution_in_centimetres_becomes_inches() -> None:
    exif = bytearray(with_dpi(None, (100.0, 100.0)))
    at = exif.index(struct.pack("<HHI", 0x0128, 3, 1)) + 8
    exif[at] = 3
    assert exif_dpi(bytes(exif)) == (254.0, 254.0)


def test_prefix_is_stripped_when_present() -> None:
    exif = exif_bytes(1)
    assert neutral_exif(EXIF_PREFIX + exif) == neutral_exif(exif) == exif


@pytest.mark.parametrize("dpi", [(0, 0), (1e9, 1e9), (float("inf"), 72), (72, -1), (float("nan"), 1), None, (72,), "x"])
def test_meaningless_dpi_is_dropped(dpi: Any) -> None:
    assert clean_dpi(dpi) is None
    assert collect_metadata({"dpi": dpi}, grey=False) == (Metadata(), ())


def test_srgb_profile_is_deterministic_and_valid() -> None:
    assert srgb_icc() == srgb_icc()
    assert matching_icc(srgb_icc(), "RGB") == srgb_icc()


@pytest.mark.parametrize("icc", [b"", b"short", bytes(200)])
def test_broken_profile_matches_nothing(icc: Any) -> None:
    assert matching_icc(icc, "RGB") is None


def test_profile_matches_only_its_own_space() -> None:
    assert matching_icc(profile(b"GRAY"), "L") and not matching_icc(profile(b"GRAY"), "RGB")
    assert matching_icc(profile(b"RGB "), "RGB") and not matching_icc(profile(b"RGB "), "L")


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (b'<d tiff:Orientation="6"/>', b'<d tiff:Orientation="1"/>'),
        (b"<d tiff:Orientation = '8' a='2'/>", b"<d tiff:Orientation = '1' a='2'/>"),
        (b"<tiff:Orientation>3</tiff:Orientation>", b"<tiff:Orientation>1</tiff:Orientation>"),
        ("<dc:title>방향 6</dc:title>".encode(), "<dc:title>방향 6</dc:title>".encode()),
    ],
)
def test_orientation_is_reset(before: Any, after: Any) -> None:
    assert neutral_xmp(before) == after


def test_only_size_entries_change() -> None:
    xmp = b'<d tiff:ImageWidth="10" exif:PixelYDimension="20" t:a="10"><exif:PixelXDimension>10</exif:PixelXDimension>'
    assert resized_xmp(xmp, 40, 80) == (
        b'<d tiff:ImageWidth="40" exif:PixelYDimension="80" t:a="10"><exif:PixelXDimension>40</exif:PixelXDimension>'
    )


def test_entries_pointing_at_lost_data_are_removed() -> None:
    xmp = (
        b'<d hdrgm:Version="1.0" GCamera:MotionPhoto="1" GCamera:MicroVideoOffset="123" dc:format="a">'
        b"<Container:Directory><li/></Container:Directory><keep/>"
        b"<xmp:Thumbnails>\nBASE64\n</xmp:Thumbnails></d>"
    )
    assert neutral_xmp(xmp) == b'<d dc:format="a"><keep/></d>'
