"""XMP를 그림의 새 상태에 맞추는 순수 함수들."""

from __future__ import annotations

import re

# 이득 지도(gain map)와 움직이는 사진은 파일 뒤쪽에 따로 붙는 자료를 가리킨다.
# 그 자료는 옮기지 않으므로 가리키는 말도 지운다.
_DANGLING = (
    rb"<(Container:Directory|GContainer:Directory|xmp:Thumbnails)\b.*?</\1>",
    rb"\s(?:hdrgm|GCamera|Camera):(?:Version|MicroVideo\w*|MotionPhoto\w*)\s*=\s*(?:\"[^\"]*\"|'[^']*')",
)
_WIDTH_NAMES = rb"tiff:ImageWidth|exif:PixelXDimension"
_HEIGHT_NAMES = rb"tiff:ImageLength|exif:PixelYDimension"


def _set_number(xmp: bytes, names: bytes, value: int) -> bytes:
    """속성 꼴(`이름="수"`)과 원소 꼴(`<이름>수</이름>`)의 정수를 바꾼다."""
    pattern = rb"(?P<head>(?:" + names + rb")(?:\s*=\s*[\"']|>))\s*\d+\s*"
    return re.sub(pattern, lambda found: found.group("head") + str(value).encode(), xmp)


def neutral_xmp(xmp: bytes) -> bytes:
    """방향을 1로 되돌리고, 함께 옮기지 않는 자료를 가리키는 항목을 지운 XMP."""
    for pattern in _DANGLING:
        xmp = re.sub(pattern, b"", xmp, flags=re.DOTALL)
    return _set_number(xmp, rb"tiff:Orientation", 1)


def resized_xmp(xmp: bytes, width: int, height: int) -> bytes:
    """크기를 적은 항목을 새 크기로 바꾼 XMP. 없는 항목을 더하지는 않는다."""
    return _set_number(_set_number(xmp, _WIDTH_NAMES, width), _HEIGHT_NAMES, height)
