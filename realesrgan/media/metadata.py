"""메타데이터를 모으고 새 크기에 맞추는 함수들."""

from __future__ import annotations

import io
import math
import struct
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from realesrgan.media.exif import exif_dpi, neutral_exif, resized_exif
from realesrgan.media.ifd import pack_exif, read_exif_tags
from realesrgan.media.picture import Metadata
from realesrgan.media.tiff_reader import TiffLayout
from realesrgan.media.xmp import neutral_xmp, resized_xmp

_MAX_DPI = 1e6


def clean_dpi(dpi: Any) -> tuple[float, float] | None:
    """DPI로 쓸 수 있는 값이면 실수 둘로, 0이나 무한대 같은 뜻 없는 값이면 None."""
    try:
        x, y = (float(value) for value in dpi)
    except (TypeError, ValueError, ZeroDivisionError):
        return None
    ok = all(math.isfinite(value) and 0 < value <= _MAX_DPI for value in (x, y))
    return (x, y) if ok else None


def exif_of_info(info: Mapping[Any, Any]) -> bytes | None:
    """Pillow의 `info`에서 EXIF를 꺼낸다. ImageMagick이 PNG에 글로 적은 것도 읽는다."""
    exif = info.get("exif")
    if isinstance(exif, bytes) and exif:
        return exif
    text = info.get("Raw profile type exif")
    if isinstance(text, str):
        try:
            return bytes.fromhex("".join(text.split("\n")[3:]))
        except ValueError:
            return None
    return None


def xmp_of_info(info: Mapping[Any, Any]) -> bytes | None:
    """Pillow의 `info`에서 XMP를 꺼낸다."""
    xmp = info.get("xmp") or info.get("XML:com.adobe.xmp")
    if isinstance(xmp, str):
        return xmp.encode("utf-8")
    return xmp if isinstance(xmp, bytes) and xmp else None


def build_metadata(
    icc: bytes | None, exif: bytes | None, xmp: bytes | None, dpi: Any
) -> tuple[Metadata, tuple[str, ...]]:
    """날것의 메타데이터를 다듬는다. 방향은 1로 되돌리고 미리보기는 없앤다.

    Returns:
        `(메타데이터, 알릴 문장들)`. 망가진 EXIF는 버리고 그렇다고 알린다.
    """
    neutral = neutral_exif(exif) if exif else None
    notes = ("EXIF의 구조가 망가져 있어 옮기지 않았습니다.",) if exif and neutral is None else ()
    resolution = clean_dpi(dpi) or clean_dpi(exif_dpi(neutral))
    return Metadata(icc, neutral, neutral_xmp(xmp) if xmp else None, resolution), notes


def tiff_metadata(data: bytes, layout: TiffLayout, icc: bytes | None) -> tuple[Metadata, tuple[str, ...]]:
    """TIFF의 항목표에서 메타데이터를 모은다. 픽셀 배치를 적은 태그는 뺀다."""
    try:
        tags = read_exif_tags(io.BytesIO(data))
        exif = pack_exif(tags) if tags else None
    except (ValueError, struct.error):
        exif = None
    return build_metadata(icc, exif, layout.payload(700), layout.dpi)


def fit_metadata(metadata: Metadata, width: int, height: int) -> Metadata:
    """크기를 적은 태그를 결과의 크기로 바꾼다."""
    return replace(
        metadata,
        exif=resized_exif(metadata.exif, width, height) if metadata.exif else None,
        xmp=resized_xmp(metadata.xmp, width, height) if metadata.xmp else None,
    )
