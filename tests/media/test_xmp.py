"""XMP를 새 상태에 맞추기."""

from __future__ import annotations

from typing import Any

import pytest

from realesrgan.media.xmp import neutral_xmp, resized_xmp


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
