"""상자(box)로 이루어진 파일(ISO/IEC 14496-12)을 걷고, JPEG 2000과 JPEG XL을 읽고 쓴다. 픽셀은 Pillow가 풀고 누른다.

Pillow와 그 플러그인이 하지 않는 것이 여기 있다: 풀지 않고 크기와 애니메이션 알아내기, JPEG 2000의 색 프로파일과 EXIF와
XMP, 16비트 색.
"""

from __future__ import annotations

import io
import os
import struct
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from importlib import import_module
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from realesrgan.media.image import EncodeJob
from realesrgan.media.picture import DamagedError, Frame, Header, ImageInfo, Picture, UnsupportedError
from realesrgan.media.pillow import decode_any, decode_deep, metadata_options, open_image, pillow_header, to_image
from realesrgan.media.pillow import decode_still as finish_with_pillow

_HEAD_BYTES = 1 << 12
_MAX_BOX = 1 << 28
_RATIOS = ((0, 1), (1, 1), (12, 10), (4, 3), (3, 2), (16, 9), (5, 4), (2, 1))
# JPEG 2000의 uuid 상자에 든 것의 이름.
_UUIDS = {b"JpgTiffExif->JP2": "exif", bytes.fromhex("be7acfcb97a942e89c71999491e3afac"): "xmp"}


def walk_boxes(file: BinaryIO, at: int = 0, end: int | None = None) -> Iterator[tuple[bytes, int, int]]:
    """상자마다의 `(이름, 내용의 자리, 내용의 길이)`. 상자가 아닌 것이 나오면 그친다."""
    end = file.seek(0, os.SEEK_END) if end is None else end
    while at + 8 <= end:
        file.seek(at)
        size, name = struct.unpack(">I4s", file.read(8))
        start = at + 8
        if size == 1:
            size, start = int.from_bytes(file.read(8), "big"), at + 16
        size = size or end - at
        if size < start - at or at + size > end:
            return
        yield name, start, at + size - start
        at += size


def _body(file: BinaryIO, at: int, size: int) -> bytes:
    file.seek(at)
    return file.read(min(size, _MAX_BOX))


def read_header(file: BinaryIO) -> Header:
    """JPEG 2000이나 JPEG XL의 머리를 읽는다.

    Raises:
        DamagedError: 첫머리가 잘렸을 때.
        UnsupportedError: 움직이는 JPEG XL이거나, 플러그인이 바르게 풀지 못하는 종류일 때.
    """
    file.seek(0)
    head = file.read(12)
    if head[4:8] != b"JXL " and head[:2] != b"\xff\x0a":
        return _jpeg2000_header(file)
    start, detail, notes = 0, dict[str, Any](), list[str]()
    for name, at, size in walk_boxes(file) if head[4:8] == b"JXL " else ():
        if name in (b"jxlc", b"jxlp") and not start:
            start = at if name == b"jxlc" else at + 4
        elif name == b"xml ":
            detail.setdefault("xmp", _body(file, at, size))
        elif name == b"brob" and _body(file, at, 4) == b"xml ":
            notes.append("옮기지 않은 것: 압축된 XMP.")
    file.seek(start)
    found = _read_jxl_head(file.read(_HEAD_BYTES))
    if found.animated:
        raise UnsupportedError(
            "움직이는 JPEG XL은 플러그인이 첫 프레임만 풉니다.", "APNG나 WebP, GIF로 바꾸어 저장한 뒤 다시 하세요."
        )
    # 이 플러그인은 머리만 읽지 못하고 통째로 푼다. 채널은 풀어 보아야 안다. 방향은 풀면서 적용한다.
    turned = (found.width, found.height) if found.orientation < 5 else (found.height, found.width)
    return Header(ImageInfo(*turned, "JXL", 1, "RGB", 8), detail=detail | {"notes": notes, "bits": found.bits})


@dataclass(frozen=True)
class _JxlHead:
    """JPEG XL의 첫머리에 적힌 것. 크기는 방향을 적용하기 전의 것이다."""

    width: int
    height: int
    orientation: int = 1
    animated: bool = False
    bits: int = 8


class _Bits:
    """아래 자리부터 차례로 꺼내는 비트들(ISO/IEC 18181-1의 부록 B)."""

    def __init__(self, data: bytes) -> None:
        self._rest = int.from_bytes(data, "little")

    def take(self, count: int = 1) -> int:
        """다음 `count`비트의 값."""
        value = self._rest & (1 << count) - 1
        self._rest >>= count
        return value

    def choose(self, *choices: tuple[int, int]) -> int:
        """두 비트로 고른 `(더할 값, 비트 수)`의 값."""
        base, count = choices[self.take(2)]
        return base + self.take(count)

    def size(self) -> tuple[int, int]:
        """`(너비, 높이)`. 8의 배수면 짧게 적고, 흔한 비율이면 높이만 적는다."""
        eighth = self.take()

        def side() -> int:
            return (self.take(5) + 1) * 8 if eighth else self.choose((1, 9), (1, 13), (1, 18), (1, 30))

        height = side()
        top, bottom = _RATIOS[ratio := self.take(3)]
        return (height * top // bottom if ratio else side()), height


def _read_jxl_head(data: bytes) -> _JxlHead:
    """첫머리(SizeHeader와 ImageMetadata)를 읽는다. 잘렸으면 `DamagedError`를 낸다."""
    if data[:2] != b"\xff\x0a" or len(data) < 12:
        raise DamagedError
    bits = _Bits(data[2:64])

    width, height = bits.size()
    orientation, animated = 1, False
    if bits.take():
        return _JxlHead(width, height)
    if bits.take():
        orientation = bits.take(3) + 1
        if bits.take():
            bits.size()
        if bits.take():
            raise UnsupportedError("미리보기가 든 JPEG XL은 지원하지 않습니다.")
        animated = bool(bits.take())
    if animated:
        return _JxlHead(width, height, orientation, animated)
    wide = bool(bits.take())
    depth = 32 if wide else bits.choose((8, 0), (10, 0), (12, 0), (1, 6))
    return _JxlHead(width, height, orientation, animated, depth)


def _jpeg2000_header(file: BinaryIO) -> Header:
    """JPEG 2000의 머리. 색 프로파일과 EXIF, XMP는 상자에서 찾는다(ISO/IEC 15444-1의 부록 I)."""
    detail = dict[str, Any]()
    for name, at, size in walk_boxes(file):
        if name == b"uuid" and (kind := _UUIDS.get(_body(file, at, 16))):
            detail.setdefault(kind, _body(file, at + 16, size - 16))
        for inner, place, length in walk_boxes(file, at, at + size) if name == b"jp2h" else ():
            # 첫 바이트가 2나 3이면 프로파일이 뒤따른다.
            if inner == b"colr" and _body(file, place, 1) in (b"\2", b"\3"):
                detail["icc_profile"] = _body(file, place + 3, length - 3)
    header = pillow_header(file, "JPEG2000")
    file.seek(0)
    head = file.read(_HEAD_BYTES)
    # 크기를 적은 표식(SIZ) 다음 38바이트째가 첫 채널의 비트 수에서 1을 뺀 것이다. 맨 위 비트는 부호다.
    siz = head.find(b"\xff\x4f\xff\x51")
    bits = (head[siz + 42] & 0x7F) + 1 if 0 <= siz < len(head) - 42 else 8
    deep = bits > 8 and header.info.mode == "RGB"
    info = replace(header.info, bit_depth=16) if deep else header.info
    return replace(header, info=info, detail=detail | ({"top": 2**bits - 1} if deep else {}))


def decode(source: Path, header: Header, *, lazy: bool = False) -> Picture:
    """정지 이미지를 푼다. 언제나 배열로 읽는다."""
    data = source.read_bytes()
    if header.info.format == "JPEG2000":
        return decode_deep(data, header) if "top" in header.detail else decode_any(data, header)
    image, bits = open_image("JXL", io.BytesIO(data)), header.detail["bits"]
    if bits > 8 and image.mode == "LA":
        raise UnsupportedError(f"회색에 알파가 있는 {bits}비트 JPEG XL은 플러그인이 바르게 풀지 못합니다.")
    picture = finish_with_pillow(image, header)
    if bits <= 8 or picture.first.array.dtype != np.uint8:
        return picture
    note = f"채널마다 {bits}비트인 JPEG XL을 8비트로 줄여 읽었습니다(플러그인은 색을 8비트로만 풉니다)."
    return replace(picture, notes=(*picture.notes, note))


def write(file: BinaryIO, frames: Iterable[Frame], job: EncodeJob) -> tuple[str, ...]:
    """프레임 하나를 JPEG XL로 쓰고 빈 튜플을 돌려준다. 품질 100은 무손실이다."""
    import_module("pillow_jxl")
    lossless, options = job.quality == 100, metadata_options(job.metadata)
    to_image(next(iter(frames)), job).save(file, "JXL", quality=job.quality, lossless=lossless, **options)
    return ()
