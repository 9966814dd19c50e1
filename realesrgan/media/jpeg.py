"""JPEG의 조각(segment)을 읽고 끼운다(ITU-T T.81). 픽셀은 libvips가 풀고 쓴다.

libvips가 하지 않는 것이 여기 있다: 풀지 않은 EXIF와 IPTC와 설명을 바이트 그대로 옮기기, 이득 지도를 옮기고
함께 든 다른 것의 이름을 대기.
"""

from __future__ import annotations

import io
import os
import re
import struct
from collections.abc import Iterable
from typing import Any, BinaryIO

from realesrgan.media.image import EncodeJob
from realesrgan.media.picture import (
    EXIF_PREFIX,
    DamagedError,
    Frame,
    Header,
    ImageInfo,
    Metadata,
    TruncatedError,
    UnsupportedError,
)
from realesrgan.media.vips import save

_ICC_HEAD, _XMP_HEAD, _MPF_HEAD = b"ICC_PROFILE\0", b"http://ns.adobe.com/xap/1.0/\0", b"MPF\0"
_MORE_XMP_HEAD, _PHOTOSHOP_HEAD = b"http://ns.adobe.com/xmp/extension/\0", b"Photoshop 3.0\0"
_SOI, _EOI, _SOS, _COM = 0xD8, 0xD9, 0xDA, 0xFE
_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_MAX_SEGMENT = 65533
_ENTRY = 16
_BLOCK_BYTES = 1 << 20
_MOTION = re.compile(rb"MotionPhoto_Data|\0\0\0.ftyp(?:mp4|isom|avc1|qt  )", re.DOTALL)

# 읽기


def read_header(file: BinaryIO) -> Header:
    """픽셀 앞의 조각들을 읽는다. `detail`은 Pillow의 `info`와 같은 이름의 메타데이터다.

    Raises:
        TruncatedError, DamagedError: 조각 가운데에서 끝나거나 크기가 없을 때.
        UnsupportedError: 채널마다 8비트가 아닐 때.
    """
    file.seek(2)
    frame, info = b"", dict[str, Any]()
    profile: dict[int, bytes] = {}
    while True:
        marker, body, place = _next_segment(file)
        if marker == _SOS:
            break
        if marker in _FRAMES:
            frame = body
        elif marker == 0xE2 and body.startswith(_ICC_HEAD) and len(body) > 14:
            profile[body[12]] = body[14:]
        elif marker == 0xE2 and body.startswith(_MPF_HEAD):
            info["mpf"] = (body[4:], place + 4)
        elif marker == 0xE0 and body.startswith(b"JFIF\0") and len(body) >= 12:
            if (unit := body[7]) in (1, 2):
                info.setdefault("dpi", tuple(side * (1, 2.54)[unit - 1] for side in struct.unpack_from(">HH", body, 8)))
        elif marker in (0xE1, 0xEB, 0xED, _COM):
            _note_segment(info, marker, body)
    if len(frame) < 6 or 0 in (height_width := struct.unpack_from(">HH", frame, 1)):
        raise DamagedError
    if frame[0] != 8:
        raise UnsupportedError(f"채널마다 {frame[0]}비트인 JPEG는 풀 수 없습니다.")
    if profile:
        info["icc_profile"] = b"".join(profile[index] for index in sorted(profile))
    orientation = _settle_exif(info) if "exif" in info or "xmp" in info else 1
    _find_other_images(file, info)
    if orientation != 1 and info.pop("gain_map", None):
        info["notes"] = [*info.get("notes", ()), "이득 지도(gain map)는 이미지와 함께 돌릴 수 없어 뺐습니다."]
    height, width = height_width if orientation < 5 else height_width[::-1]
    return Header(ImageInfo(width, height, "JPEG", 1, "L" if frame[5] == 1 else "RGB", 8), orientation, info)


def _next_segment(file: BinaryIO) -> tuple[int, bytes, int]:
    """다음 조각의 `(표시, 내용, 내용의 위치)`."""
    byte = file.read(1)
    while byte and byte != b"\xff":
        # 조각 사이에 남은 바이트를 둔 파일이 있다. 디코더들은 건너뛴다.
        byte = file.read(1)
    while byte == b"\xff":
        byte = file.read(1)
    if not byte or byte[0] == _EOI:
        raise TruncatedError
    if byte[0] == 0 or byte[0] == 1 or 0xD0 <= byte[0] <= _SOI:
        return byte[0], b"", file.tell()
    size = file.read(2)
    length = int.from_bytes(size, "big") - 2
    place = file.tell()
    body = file.read(max(length, 0))
    if len(size) < 2 or length < 0 or len(body) < length:
        raise TruncatedError
    return byte[0], body, place


def _note_segment(info: dict[str, Any], marker: int, body: bytes) -> None:
    """메타데이터 조각 하나를 `info`에 더한다. 같은 것이 또 나오면 처음 것을 쓴다."""
    from realesrgan.media.metadata import decode_comment, iptc_of_photoshop

    if marker == 0xE1 and body.startswith(EXIF_PREFIX):
        info.setdefault("exif", body)
    elif marker == 0xE1 and body.startswith(_XMP_HEAD):
        info.setdefault("xmp", body[len(_XMP_HEAD) :])
    elif marker == 0xE1 and body.startswith(_MORE_XMP_HEAD):
        info.setdefault("lost", set()).add("확장 XMP(깊이 지도 등)")
    elif marker == 0xED and body.startswith(_PHOTOSHOP_HEAD) and (iptc := iptc_of_photoshop(body)):
        info.setdefault("iptc", iptc)
    elif marker == _COM:
        info.setdefault("text", []).append(("Comment", decode_comment(body.rstrip(b"\0"))))
    elif marker == 0xEB and b"jumb" in body[:40]:
        info.setdefault("lost", set()).add("출처 증명(C2PA) 등의 JUMBF")


def _settle_exif(info: dict[str, Any]) -> int:
    """EXIF나 XMP가 말하는 방향. EXIF가 픽셀의 색을 Adobe RGB라고 하면 그 프로파일을 더한다."""
    from realesrgan.media.colour import adobe_rgb_icc
    from realesrgan.media.metadata import find_orientation, is_adobe_rgb

    if "icc_profile" not in info and "exif" in info and is_adobe_rgb(info["exif"]):
        info["icc_profile"] = adobe_rgb_icc()
    return find_orientation(info.get("exif"), info.get("xmp"))


def _find_other_images(file: BinaryIO, info: dict[str, Any]) -> None:
    """함께 든 다른 이미지(CIPA DC-007의 MPF)와 움직이는 사진을 찾는다. 이득 지도는 들고, 나머지는 이름을 댄다."""
    xmp, lost = info.get("xmp", b""), info.pop("lost", set())
    # XMP에 적지 않고 이미지 다음에 비디오를 이어 붙인 파일도 있다.
    last, motion = b"", b"MotionPhoto" in xmp or b"MicroVideo" in xmp
    while not motion and (block := file.read(_BLOCK_BYTES)):
        motion = bool(_MOTION.search(last + block))
        last = block[-32:]
    lost |= {"움직이는 사진의 비디오"} if motion else set()
    parts = _extra_images(file, *info.pop("mpf")) if "mpf" in info else []
    if b"hdrgm:Version" in xmp or (b"hdrgm" in xmp and b"GainMap" in xmp):
        gain_map = _gain_map(file, xmp)
        parts = [part for part in parts if part != gain_map and b"hdrgm:" not in part[:_MAX_SEGMENT]]
        if gain_map:
            info["gain_map"] = gain_map
        else:
            lost |= {"이득 지도(gain map)"}
    lost |= {f"함께 든 다른 이미지 {len(parts)}장"} if parts else set()
    lost |= {"깊이 지도"} if b"GDepth" in xmp or (b"Depth" in xmp and b"Item:Semantic" in xmp) else set()
    if lost:
        info["notes"] = [f"대표 이미지만 키웠습니다. 옮기지 않은 것: {', '.join(sorted(lost))}."]


def _gain_map(file: BinaryIO, xmp: bytes) -> bytes | None:
    """XMP의 목록(Container:Directory)이 대표 다음에 이득 지도 하나만 있다고 하면 그 JPEG. 다른 것도 있으면 None."""
    items = re.findall(rb"<Container:Item\b[^>]*>", xmp)
    lengths = [re.search(rb'Item:Length\s*=\s*"(\d+)"', item) for item in items]
    if len(items) != 2 or b'"GainMap"' not in items[1] or lengths[1] is None:
        return None
    size = int(lengths[1][1])
    if not 4 <= size <= file.seek(0, os.SEEK_END) - 4:
        return None
    file.seek(-size, os.SEEK_END)
    data = file.read(size)
    return data if data.startswith(b"\xff\xd8\xff") else None


def _extra_images(file: BinaryIO, body: bytes, base: int) -> list[bytes]:
    """MPF의 목록이 가리키는, 대표가 아닌 이미지들의 바이트."""
    from realesrgan.media.ifd import read_ifd, read_tiff_head

    found: list[bytes] = []
    try:
        block = io.BytesIO(body)
        order, at = read_tiff_head(block)
        listed = read_ifd(block, at, order)[0][0xB002].payload
    except (ValueError, KeyError, struct.error):
        return found
    for place in range(_ENTRY, min(len(listed) - _ENTRY + 1, 64 * _ENTRY), _ENTRY):
        length, where = struct.unpack_from(order.prefix + "II", listed, place + 4)
        file.seek(base + where)
        if where and (data := file.read(min(length, 1 << 28))).startswith(b"\xff\xd8"):
            found.append(data)
    return found


# 쓰기


def write(file: BinaryIO, frames: Iterable[Frame], job: EncodeJob) -> tuple[str, ...]:
    """프레임 하나를 기본(baseline) JPEG로 쓴다. 색은 줄이지 않는다(4:4:4).

    Returns:
        크기 때문에 담지 못한 메타데이터를 알리는 문장들.
    """
    segments, notes = _metadata_segments(job.metadata)
    gain_map = job.metadata.gain_map
    place = 2 + len(segments)
    head = b"\xff\xd8" + segments + (_mpf_segment(0, 0, len(gain_map)) if gain_map else b"")
    # 인코더가 적는 첫 두 바이트(SOI)는 머리의 끝에 겹치게 하고, 그 자리를 되돌린다.
    file.write(head[:-2])
    save(file, job.image(next(iter(frames))), ".jpg", Q=job.quality, subsample_mode="off")
    end = file.seek(0, os.SEEK_END)
    if gain_map:
        file.write(gain_map)
        # 위치는 MPF의 TIFF 머리(표시, 길이, `MPF` 다음)에서 센다.
        head = head[:place] + _mpf_segment(end, end - (place + 8), len(gain_map))
    file.seek(0)
    file.write(head)
    file.seek(0, os.SEEK_END)
    return notes


def _segment(marker: int, body: bytes) -> bytes:
    return struct.pack(">BBH", 0xFF, marker, len(body) + 2) + body


def _metadata_segments(metadata: Metadata) -> tuple[bytes, tuple[str, ...]]:
    """JFIF, EXIF, XMP, ICC, IPTC, 설명의 조각들. 한 조각(64KB)에 들지 않는 것은 빼고 알린다."""
    comments: list[bytes] = []
    if metadata.text:
        from realesrgan.media.metadata import encode_comment

        comments = [encode_comment(text) for _, text in metadata.text]
    dpi = [min(max(round(value), 1), 65535) for value in metadata.dpi] if metadata.dpi else [1, 1]
    result = _segment(0xE0, b"JFIF\0\x01\x01" + struct.pack(">BHHBB", 1 if metadata.dpi else 0, *dpi, 0, 0))
    notes = []
    # Photoshop의 자원 덩어리 하나(번호 0x0404)에 IPTC를 담는다.
    iptc = metadata.iptc or b""
    resource = _PHOTOSHOP_HEAD + b"8BIM\x04\x04\0\0" + struct.pack(">I", len(iptc)) + iptc + bytes(len(iptc) % 2)
    parts = [
        ("EXIF", 0xE1, EXIF_PREFIX + metadata.exif if metadata.exif else b""),
        ("XMP", 0xE1, _XMP_HEAD + metadata.xmp if metadata.xmp else b""),
        ("IPTC", 0xED, resource if iptc else b""),
        *(("설명", _COM, body) for body in comments),
    ]
    for name, marker, body in parts:
        if body and len(body) <= _MAX_SEGMENT:
            result += _segment(marker, body)
        elif body:
            notes.append(f"{name} 정보({len(body):,}바이트)가 jpg의 한도 64KB를 넘어 뺐습니다.")
    size = _MAX_SEGMENT - len(_ICC_HEAD) - 2
    pieces = [metadata.icc[at : at + size] for at in range(0, len(metadata.icc), size)] if metadata.icc else []
    for index, piece in enumerate(pieces, 1):
        result += _segment(0xE2, _ICC_HEAD + bytes((index, len(pieces))) + piece)
    return result, tuple(notes)


def _mpf_segment(primary: int, offset: int, length: int) -> bytes:
    """대표 이미지(`primary`바이트)와 이득 지도(`length`바이트, `offset` 자리) 두 장의 목록(CIPA DC-007 5.2절)."""
    from realesrgan.media.ifd import LONG, ByteOrder, Entry, pack_ifd

    listed = struct.pack(">IIIHH", 0x030000, primary, 0, 0, 0) + struct.pack(">IIIHH", 0, length, offset, 0, 0)
    order = ByteOrder(">")
    entries = Entry(0xB000, 7, 4, b"0100"), order.entry(0xB001, LONG, 2), Entry(0xB002, 7, len(listed), listed)
    return _segment(0xE2, _MPF_HEAD + b"MM\0*\0\0\0\x08" + pack_ifd(entries, 8, order))
