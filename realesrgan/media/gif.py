"""GIF(GIF89a)를 읽고 쓴다. 픽셀은 Pillow가 풀고 누른다.

라이브러리들이 하지 않는 것이 여기 있다: 풀기 전에 프레임을 세고 잘린 곳을 찾으며 XMP와 색 프로파일을 찾는 읽기,
뷰어들처럼 투명한 화면에 겹치기, 프레임마다 자기 색표(local colour table)를 가지며 합치거나 버리는 프레임이 없는 쓰기.
"""

from __future__ import annotations

import io
import struct
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from PIL import Image
from PIL.GifImagePlugin import getdata

from realesrgan.media.image import EncodeJob
from realesrgan.media.metadata import decode_comment, encode_comment
from realesrgan.media.picture import Array, DamagedError, Frame, Header, ImageInfo, Mode, Picture, TruncatedError
from realesrgan.media.pillow import Part, compose, decode_any, open_image, to_bgra

_COLOURS = 256
_HALF = 128
_MAX_DELAY = 65535
_XMP_NAME, _XMP_END = b"XMP DataXMP", b"\x01" + bytes(range(255, -1, -1)) + b"\0"


def read_header(file: BinaryIO) -> Header:
    """GIF의 블록을 끝까지 걸어 프레임을 센다. LZW 자료는 풀지 않는다.

    `detail`은 재생 횟수(0은 끝없이)와 `metadata.collect_metadata`의 `info`다.

    Raises:
        TruncatedError: 블록 가운데에서 파일이 끝날 때. 프레임 경계에서 끝나면 끝 표시(trailer)가 없어도 받아들인다.
        DamagedError: 블록의 종류를 알 수 없을 때.
    """
    file.seek(6)
    width, height, flags = struct.unpack("<HHBxx", _exactly(file, 7))
    table, transparent, loop, control = _read_table(file, flags), False, 1, bytes(4)
    frames: list[_GifFrame] = []
    comments: list[tuple[str, str]] = []
    info: dict[str, Any] = {"text": comments}
    while (kind := file.read(1)) != b";" and (kind or not frames):
        if kind == b",":
            left, top, across, down, local = struct.unpack("<HHHHB", _exactly(file, 9))
            # 화면의 크기를 0으로 적은 파일이 있다. 뷰어들은 첫 프레임에 맞춘다.
            width, height = width or left + across, height or top + down
            own, start = _read_table(file, local), file.tell()
            _exactly(file, 1)
            _read_blocks(file)
            frames.append(_GifFrame((left, top, across, down), local, own or table, control, start, file.tell()))
            control = bytes(4)
        elif kind == b"!":
            label = _exactly(file, 1)
            if label == b"\xff" and (packet := _read_xmp(file)) is not None:
                info["xmp"] = packet
                continue
            body = _read_blocks(file)
            if label == b"\xfe":
                comments.append(("Comment", decode_comment(body)))
            if label == b"\xff" and body.startswith(b"ICCRGBG1012"):
                info["icc_profile"] = body[11:]
            if label == b"\xf9" and len(body) >= 4:
                transparent, control = transparent or bool(body[0] & 1), body[:4]
            if label == b"\xff" and body[:11] in (b"NETSCAPE2.0", b"ANIMEXTS1.0") and body[11:12] == b"\x01":
                # GIF는 처음을 뺀 되풀이의 수를 적는다.
                repeats = int.from_bytes(body[12:14], "little")
                loop = repeats + 1 if repeats else 0
        else:
            raise DamagedError if kind else TruncatedError
    if not frames or width == 0 or height == 0:
        raise DamagedError
    left, top, across, down = frames[0].box
    # 첫 프레임이 화면을 다 덮지 않으면 나머지는 투명하다.
    whole = left == top == 0 and across >= width and down >= height
    transparent = transparent or not whole
    mode: Mode = "RGBA" if transparent else "RGB"
    if len(frames) == 1 and not transparent and open_image("GIF", file).mode == "L":
        mode = "L"
    detail = info | {"loop": loop, "frames": frames, "whole": whole}
    return Header(ImageInfo(width, height, "GIF", len(frames), mode, 8), detail=detail)


@dataclass(frozen=True)
class _GifFrame:
    """프레임 하나: 자리와 크기, 이미지 설명의 깃발, 색표, 그래픽 제어 확장의 내용, 픽셀 자료의 처음과 끝."""

    box: tuple[int, int, int, int]
    flags: int
    table: bytes
    control: bytes
    start: int
    end: int

    def part(self, data: bytes) -> Part:
        """화면에 올릴 조각. 한 장짜리 GIF로 만들어 Pillow가 풀게 한다."""
        left, top, width, height = self.box
        sized = 0x80 | (len(self.table) // 3).bit_length() - 2 if self.table else 0
        head = b"GIF89a" + struct.pack("<HHBBB", width, height, sized, 0, 0) + self.table
        head += b"!\xf9\x04" + bytes((self.control[0] & 1,)) + self.control[1:] + b"\0"
        head += b"," + struct.pack("<HHHHB", 0, 0, width, height, self.flags & 0x40)
        image = open_image("GIF", io.BytesIO(head + data[self.start : self.end] + b";"))
        image.load()
        (delay,) = struct.unpack_from("<H", self.control, 1)
        disposal: Any = {2: "clear", 3: "undo"}.get(self.control[0] >> 2 & 7, "keep")
        return Part(to_bgra(image), left, top, delay * 10.0, True, disposal)


def _parts(data: bytes, header: Header) -> Iterator[Part]:
    """프레임들. 겹쳐 그리는 일은 Pillow에 맡기지 않는다(뷰어들과 달리 지운 자리를 배경색으로 칠한다)."""
    frames: list[_GifFrame] = header.detail["frames"]
    return (frame.part(data) for frame in frames)


def decode(source: Path, header: Header, *, lazy: bool = False) -> Picture:
    """정지 이미지나 애니메이션을 푼다. 언제나 배열로 읽는다."""
    data = source.read_bytes()
    picture = decode_any(data, header, _parts)
    if header.info.frames > 1 or header.detail["whole"]:
        return picture
    size = header.info.width, header.info.height
    return replace(picture, frames=tuple(replace(frame, duration=0.0) for frame in compose(_parts(data, header), size)))


def _exactly(file: BinaryIO, count: int) -> bytes:
    data = file.read(count)
    if len(data) < count:
        raise TruncatedError
    return data


def _read_table(file: BinaryIO, flags: int) -> bytes:
    """색표(color table). 없으면 빈 바이트."""
    return _exactly(file, 3 << ((flags & 7) + 1)) if flags & 0x80 else b""


def _read_blocks(file: BinaryIO) -> bytes:
    """이어지는 작은 블록(sub-block)의 내용."""
    blocks = []
    while size := _exactly(file, 1)[0]:
        blocks.append(_exactly(file, size))
    return b"".join(blocks)


def _read_xmp(file: BinaryIO) -> bytes | None:
    """확장이 XMP면 그 내용(XMP 규격 3부 1.1.2절). 아니면 제자리로 되돌아가 None.

    XMP는 작은 블록으로 나누지 않고 통째로 적는다. 건너뛰는 쪽이 어디서 읽든 끝에 닿게 하는 끝 표시가 붙는다.
    """
    start = file.tell()
    if _exactly(file, 12)[1:] != _XMP_NAME:
        file.seek(start)
        return None
    packet, end, _ = file.read().partition(_XMP_END)
    if not end:
        raise TruncatedError
    file.seek(start + 12 + len(packet) + len(_XMP_END))
    return packet


def write(file: BinaryIO, frames: Iterable[Frame], job: EncodeJob) -> tuple[str, ...]:
    """프레임들을 GIF로 쓰고, 줄인 색과 투명도를 알리는 문장들을 돌려준다. 시간의 오차는 쌓이지 않는다."""
    file.write(b"GIF89a" + struct.pack("<HHBBB", job.width, job.height, 0x70, 0, 0))
    if job.count > 1 and job.loop != 1:
        repeats = min(job.loop - 1, 65535) if job.loop else 0
        file.write(b"!\xff\x0bNETSCAPE2.0\x03\x01" + struct.pack("<H", repeats) + b"\0")
    for _, text in job.metadata.text:
        data = encode_comment(text)
        parts = (data[at : at + 255] for at in range(0, len(data), 255))
        file.write(b"!\xfe" + b"".join(bytes((len(part),)) + part for part in parts) + b"\0")
    reduced = faded = False
    elapsed = shown = 0.0
    for frame in frames:
        indexed, lost_colours, lost_alpha = _quantize(job.pixels(frame))
        reduced, faded = reduced or lost_colours, faded or lost_alpha
        elapsed += frame.duration
        delay = min(max(round((elapsed - shown) / 10), 0), _MAX_DELAY)
        shown += delay * 10
        # 투명한 프레임은 다음 프레임 앞에서 지워지게 한다.
        drawn: dict[str, Any] = {"transparency": _COLOURS - 1, "disposal": 2} if job.kind == "RGBA" else {"disposal": 1}
        file.writelines(getdata(indexed, duration=delay * 10, include_color_table=True, **drawn))
    file.write(b";")
    colours = "색을 256가지로 줄였습니다(gif는 그보다 많은 색을 담지 못합니다)."
    alpha = "반투명한 픽셀을 완전히 투명하거나 불투명하게 바꾸었습니다(gif는 반투명을 담지 못합니다)."
    return tuple(note for note, lost in ((colours, reduced), (alpha, faded)) if lost)


def _quantize(pixels: Array) -> tuple[Image.Image, bool, bool]:
    """`(팔레트 이미지, 색을 줄였는가, 반투명을 잃었는가)`. 알파가 있으면 마지막 번호(255)가 투명색이다."""
    if pixels.ndim == 2:
        return Image.fromarray(pixels).convert("P"), False, False
    alpha = pixels[..., 3] if pixels.shape[2] == 4 else None
    limit = _COLOURS if alpha is None else _COLOURS - 1
    image = Image.fromarray(np.ascontiguousarray(pixels[..., :3]))
    reduced = image.getcolors(limit) is None
    # 색이 그보다 적으면 하나도 바뀌지 않고 팔레트에 든다.
    indexed = image.quantize(limit, Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE)
    if reduced:
        indexed = image.quantize(palette=indexed, dither=Image.Dither.FLOYDSTEINBERG)
    if alpha is None:
        return indexed, reduced, False
    colours = (indexed.getpalette() or [])[: 3 * limit]
    indices: Array = np.where(alpha < _HALF, _COLOURS - 1, np.asarray(indexed)).astype(np.uint8)
    result = Image.frombytes("P", indexed.size, indices.tobytes())
    result.putpalette(bytes(colours).ljust(3 * _COLOURS, b"\0"))
    return result, reduced, bool(((alpha > 0) & (alpha < 255)).any())
