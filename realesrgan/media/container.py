"""파일의 겉짜임(container)을 걷는 함수들: 형식 알아내기, 잘림 찾기, 프레임 세기.

디코더에 넘기기 전에 파일이 끝까지 있는지 여기서 확인한다. 디코더에 따라 잘린 파일을 반쯤 회색인 그림으로
돌려주거나 표준 오류에 글을 쓰기 때문이다.
"""

from __future__ import annotations

import os
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO

PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_HEIF_BRANDS = {b"heic", b"heix", b"hevc", b"hevx", b"heim", b"heis", b"mif1", b"msf1"}


class TruncatedError(ValueError):
    """파일이 끝나기 전에 잘렸다."""


class DamagedError(ValueError):
    """파일의 짜임이 어긋나 있다."""


def sniff_format(head: bytes) -> str | None:
    """파일의 앞머리(32바이트쯤)로 형식을 알아낸다. 모르면 None."""
    signatures = (
        (PNG_SIGNATURE, "PNG"),
        (b"\xff\xd8\xff", "JPEG"),
        (b"GIF87a", "GIF"),
        (b"GIF89a", "GIF"),
        (b"BM", "BMP"),
        (b"II*\x00", "TIFF"),
        (b"MM\x00*", "TIFF"),
        (b"II+\x00", "TIFF"),
        (b"MM\x00+", "TIFF"),
    )
    for signature, name in signatures:
        if head.startswith(signature):
            return name
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return "WEBP"
    if head[4:8] == b"ftyp":
        return _sniff_boxes(head)
    return None


def _sniff_boxes(head: bytes) -> str | None:
    """ISO BMFF의 상표(brand)로 AVIF와 HEIF를 가른다. 대표 상표가 두루뭉술하면(mif1) 함께 적힌 상표를 본다."""
    size = min(struct.unpack_from(">I", head)[0], len(head))
    brands = [head[8:12], *(head[at : at + 4] for at in range(16, size - 3, 4))]
    if any(brand in (b"avif", b"avis") for brand in brands):
        return "AVIF"
    return "HEIF" if any(brand in _HEIF_BRANDS for brand in brands) else None


@dataclass(frozen=True)
class PngHeader:
    """PNG의 IHDR과, 픽셀을 풀지 않고 알 수 있는 것들.

    Attributes:
        width, height: 저장된 크기(방향 적용 전).
        bit_depth: 채널마다의 비트 수.
        colour_type: 0 회색, 2 RGB, 3 팔레트, 4 회색+알파, 6 RGBA.
        transparency: tRNS 조각(chunk)의 내용.
        exif: eXIf 조각의 내용.
        frames: 애니메이션의 프레임 수, 정지 그림은 1.
    """

    width: int
    height: int
    bit_depth: int
    colour_type: int
    transparency: bytes | None = None
    exif: bytes | None = None
    frames: int = 1

    @property
    def samples(self) -> int:
        """픽셀 하나의 표본(sample) 수."""
        return {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}.get(self.colour_type, 0)


def png_chunks(file: BinaryIO) -> Iterator[tuple[bytes, int, int]]:
    """PNG 조각의 `(이름, 내용의 위치, 길이)`를 IEND까지 낸다.

    Raises:
        TruncatedError: IEND 전에 파일이 끝날 때.
    """
    end = file.seek(0, os.SEEK_END)
    at = len(PNG_SIGNATURE)
    while True:
        file.seek(at)
        head = file.read(8)
        if len(head) < 8:
            raise TruncatedError
        length, kind = struct.unpack(">I4s", head)
        if at + 12 + length > end:
            raise TruncatedError
        yield kind, at + 8, length
        if kind == b"IEND":
            return
        at += 12 + length


def read_png_header(file: BinaryIO) -> PngHeader:
    """PNG를 훑어 머리 정보를 모은다. 픽셀 자료는 읽지 않고 건너뛴다.

    Raises:
        TruncatedError: 파일이 잘렸을 때.
        DamagedError: IHDR이 없거나 뜻이 통하지 않을 때.
    """
    ihdr: tuple[int, ...] = ()
    found: dict[bytes, bytes] = {}
    for kind, at, length in png_chunks(file):
        if kind in (b"IHDR", b"tRNS", b"eXIf", b"acTL"):
            file.seek(at)
            found.setdefault(kind, file.read(length))
    if len(found.get(b"IHDR", b"")) == 13:
        ihdr = struct.unpack(">IIBBBBB", found[b"IHDR"])
    if not ihdr or 0 in ihdr[:2] or ihdr[3] not in (0, 2, 3, 4, 6) or ihdr[2] not in (1, 2, 4, 8, 16):
        raise DamagedError
    frames = struct.unpack(">I", found[b"acTL"][:4])[0] if len(found.get(b"acTL", b"")) == 8 else 1
    return PngHeader(
        width=ihdr[0],
        height=ihdr[1],
        bit_depth=ihdr[2],
        colour_type=ihdr[3],
        transparency=found.get(b"tRNS"),
        exif=found.get(b"eXIf"),
        frames=max(frames, 1),
    )


def check_png(file: BinaryIO) -> None:
    """꼭 필요한 조각과 애니메이션 자료의 검사합(CRC)을 확인한다.

    Raises:
        TruncatedError: 파일이 잘렸을 때.
        DamagedError: 검사합이 어긋날 때.
    """
    for kind, at, length in png_chunks(file):
        if kind[0] & 0x20 and kind != b"fdAT":
            continue
        file.seek(at)
        body = file.read(length + 4)
        if zlib.crc32(kind + body[:length]) != struct.unpack(">I", body[length:])[0]:
            raise DamagedError


@dataclass(frozen=True)
class GifHeader:
    """GIF를 훑어 안 것. `transparent`는 투명색을 쓰는 프레임이 있는가."""

    width: int
    height: int
    frames: int
    transparent: bool
    loop: int


def read_gif_header(file: BinaryIO) -> GifHeader:
    """GIF의 블록을 끝까지 걸어 프레임을 센다. LZW 자료는 풀지 않는다.

    Raises:
        TruncatedError: 블록 가운데에서 파일이 끝날 때. 프레임 경계에서 끝나면 끝 표시(trailer)가 없어도 받아들인다.
        DamagedError: 블록의 종류를 알 수 없을 때.
    """
    file.seek(6)
    width, height, flags = struct.unpack("<HHBxx", _exactly(file, 7))
    _skip_table(file, flags)
    frames, transparent, loop = 0, False, 1
    while True:
        kind = file.read(1)
        if kind == b"," and frames >= 0:
            _skip_table(file, _exactly(file, 9)[8])
            _exactly(file, 1)
            _read_blocks(file)
            frames += 1
        elif kind == b"!":
            label = _exactly(file, 1)
            body = _read_blocks(file)
            transparent |= label == b"\xf9" and len(body) >= 1 and bool(body[0] & 1)
            if label == b"\xff" and body[:11] in (b"NETSCAPE2.0", b"ANIMEXTS1.0") and body[11:12] == b"\x01":
                repeats = int.from_bytes(body[12:14], "little")
                loop = repeats + 1 if repeats else 0
        elif kind == b";" or (kind == b"" and frames):
            break
        elif kind == b"":
            raise TruncatedError
        else:
            raise DamagedError
    if frames == 0 or width == 0 or height == 0:
        raise DamagedError
    return GifHeader(width, height, frames, transparent, loop)


def _exactly(file: BinaryIO, count: int) -> bytes:
    data = file.read(count)
    if len(data) < count:
        raise TruncatedError
    return data


def _skip_table(file: BinaryIO, flags: int) -> None:
    """색표(color table)가 있으면 건너뛴다."""
    if flags & 0x80:
        _exactly(file, 3 << ((flags & 7) + 1))


def _read_blocks(file: BinaryIO) -> bytes:
    """이어지는 작은 블록(sub-block)을 모아 앞의 64바이트만 돌려준다."""
    kept = b""
    while size := _exactly(file, 1)[0]:
        block = _exactly(file, size)
        if len(kept) < 64:
            kept += block
    return kept


def check_boxes(file: BinaryIO) -> None:
    """ISO BMFF(AVIF, HEIF)의 맨 바깥 상자(box)가 파일 안에 다 들어 있는지 본다.

    Raises:
        TruncatedError: 상자가 파일 끝을 넘을 때.
    """
    end = file.seek(0, os.SEEK_END)
    at = 0
    while at < end:
        file.seek(at)
        head = file.read(16)
        if len(head) < 8:
            raise TruncatedError
        size = struct.unpack_from(">I", head)[0]
        if size == 1 and len(head) == 16:
            size = struct.unpack_from(">Q", head, 8)[0]
        if size == 0:
            return
        if size < 8 or at + size > end:
            raise TruncatedError
        at += size


def avif_is_grey(head: bytes) -> bool:
    """AVIF의 모든 부호화 설정(av1C 상자)이 밝기만(monochrome) 담는다고 하는가.

    알파는 언제나 밝기만 담은 별도의 그림이므로, 색이 하나라도 있으면 거짓이다(AV1-ISOBMFF 2.3.3절).
    """
    places, at = [], head.find(b"av1C")
    while 0 <= at < len(head) - 7:
        places.append(at)
        at = head.find(b"av1C", at + 4)
    return bool(places) and all(head[place + 6] & 0x10 for place in places)


def check_riff(file: BinaryIO) -> None:
    """WebP의 RIFF 길이가 파일 안에 들어 있는지 본다.

    Raises:
        TruncatedError: 적힌 길이보다 파일이 짧을 때.
    """
    end = file.seek(0, os.SEEK_END)
    file.seek(4)
    if struct.unpack("<I", _exactly(file, 4))[0] + 8 > end:
        raise TruncatedError
