"""프레임마다 딸린 메시지(ITU-T T.35): 방송 자막과 동적 HDR(HDR10+).

FFmpeg는 이것을 프레임의 곁 데이터로만 주고받는데 PyAV로는 붙일 수 없고, 휠에 든 x265는 HDR10+ 없이 지어졌다. 그래서
인코딩된 패킷에 규격대로 끼운다: H.264와 H.265는 SEI(부속서 D), AV1은 메타데이터 OBU(6.7절).
"""

from __future__ import annotations

import ctypes
import re
from collections.abc import Iterable, Iterator
from typing import Any

from realesrgan.media.video.types import VideoFrame

CAPTION_CODECS = {
    "libx264": "h264", "h264_nvenc": "h264", "libx265": "hevc", "hevc_nvenc": "hevc",
    "libsvtav1": "av1", "av1_nvenc": "av1",
}  # fmt: skip
"""방송 자막을 담을 수 있는 인코더와 그 비트열의 모양."""
DYNAMIC_HDR_CODECS = {name: kind for name, kind in CAPTION_CODECS.items() if kind != "h264"}
"""HDR10+를 담을 수 있는 인코더. H.264의 것은 읽는 재생기가 없다."""
_MOST_CAPTIONS = 31


def messages_of(frame: VideoFrame) -> tuple[bytes, ...]:
    """프레임과 함께 인코딩할 메시지들. 국가 부호(0xB5)부터다."""
    found = (frame.hdr10plus,) if frame.hdr10plus else ()
    return (caption_message(frame.captions), *found) if frame.captions else found


def lost_messages(captions: bool, hdr10plus: bool, codec: str) -> list[str]:
    """이 인코더가 담지 못하는 메시지의 알림.

    Args:
        captions, hdr10plus: 원본에 방송 자막, HDR10+가 있는지.
        codec: 인코더 이름.
    """
    notes = []
    if captions and codec not in CAPTION_CODECS:
        notes.append(f"방송 자막(EIA-608, 708)은 {codec}에 담지 못합니다. 지키려면 --codec h264, h265, av1을 쓰세요.")
    if hdr10plus and codec not in DYNAMIC_HDR_CODECS:
        notes.append(f"동적 HDR(HDR10+)은 {codec}에 담지 못합니다. 지키려면 --codec h265나 av1을 쓰세요.")
    return notes


def caption_message(captions: bytes) -> bytes:
    """방송 자막의 메시지(ATSC A/53 4부 6.2.3).

    Args:
        captions: cc_data, 세 바이트씩. 한 프레임에 31개까지 든다.
    """
    if len(captions) > 3 * _MOST_CAPTIONS:
        # 여럿의 것을 모아 넘치면 빈자리(cc_valid가 0)부터 뺀다.
        parts = [captions[place : place + 3] for place in range(0, len(captions), 3)]
        captions = b"".join(part for part in parts if part[0] & 4)
    count = min(len(captions) // 3, _MOST_CAPTIONS)
    return b"\xb5\x00\x31GA94\x03" + bytes([0x40 | count, 0xFF]) + captions[: 3 * count] + b"\xff"


def insert_messages(data: bytes, messages: Iterable[bytes], kind: str) -> bytes:
    """인코딩된 한 프레임에 메시지들을 끼운다.

    Args:
        data: H.264와 H.265는 시작 부호(start code)로 나뉜 NAL 단위들(Annex B), AV1은 OBU들.
        messages: T.35의 메시지들.
        kind: `h264`, `hevc`, `av1`.
    """
    if kind == "av1":
        place = _last_frame(data)
        units = b"".join(_metadata_obu(message) for message in messages)
    else:
        place = _first_slice(data, kind)
        units = b"".join(_sei(message, kind) for message in messages)
    return data if place is None else data[:place] + units + data[place:]


def _sei(message: bytes, kind: str) -> bytes:
    """user_data_registered_itu_t_t35(4번) 하나가 든 SEI의 NAL 단위."""
    body = b"\x04" + b"\xff" * (len(message) // 255) + bytes([len(message) % 255]) + message + b"\x80"
    # 00 00 뒤의 03 이하는 시작 부호와 헷갈리므로 03을 끼운다(emulation prevention).
    body = re.sub(rb"\x00\x00(?=[\x00-\x03])", b"\x00\x00\x03", body)
    return b"\x00\x00\x00\x01" + (b"\x4e\x01" if kind == "hevc" else b"\x06") + body


def _first_slice(data: bytes, kind: str) -> int | None:
    for found in re.finditer(rb"\x00?\x00\x00\x01(.)", data, re.DOTALL):
        unit = found[1][0] >> 1 & 0x3F if kind == "hevc" else found[1][0] & 0x1F
        if unit < 32 if kind == "hevc" else 1 <= unit <= 5:
            return found.start()
    return None


_METADATA, _FRAMES = 5, (3, 6)  # OBU_METADATA, (OBU_FRAME_HEADER, OBU_FRAME)
_T35 = 4  # METADATA_TYPE_ITUT_T35


def _metadata_obu(message: bytes) -> bytes:
    body = bytes([_T35]) + message + b"\x80"
    return bytes([_METADATA << 3 | 2]) + _leb128(len(body)) + body


def _last_frame(data: bytes) -> int | None:
    """보이는 프레임의 자리. 숨은 프레임들이 앞에 함께 들 수 있고, 보이는 것은 언제나 마지막이다."""
    found, place = None, 0
    while place < len(data):
        head, start = data[place], place
        place += 2 if head & 4 else 1
        size = len(data) - place
        if head & 2:
            size = shift = 0
            while place < len(data):
                size |= (data[place] & 0x7F) << shift
                shift, place = shift + 7, place + 1
                if not data[place - 1] & 0x80:
                    break
        if head >> 3 & 15 in _FRAMES:
            found = start
        place += size
    return found


def _leb128(value: int) -> bytes:
    parts = [value >> shift & 0x7F for shift in range(0, max(value.bit_length(), 1), 7)]
    return bytes([part | 0x80 for part in parts[:-1]] + parts[-1:])


_Byte, _Short, _Int = ctypes.c_uint8, ctypes.c_uint16, ctypes.c_int


class _Rational(ctypes.Structure):
    _fields_ = [("num", _Int), ("den", _Int)]


class _Percentile(ctypes.Structure):
    _fields_ = [("percentage", _Byte), ("percentile", _Rational)]


class _Place(ctypes.Structure):
    _fields_ = [
        ("corners", _Rational * 4), ("centre", _Short * 2), ("angle", _Byte), ("axes", _Short * 3), ("overlap", _Int),
    ]  # fmt: skip


class _Window(ctypes.Structure):
    _fields_ = [
        ("place", _Place), ("maxscl", _Rational * 3), ("average", _Rational), ("percentiles", _Byte),
        ("distribution", _Percentile * 15), ("bright", _Rational), ("mapped", _Byte), ("knee", _Rational * 2),
        ("anchor_count", _Byte), ("anchors", _Rational * 15), ("saturated", _Byte), ("saturation", _Rational),
    ]  # fmt: skip


class _Peaks(ctypes.Structure):
    _fields_ = [("told", _Byte), ("rows", _Byte), ("columns", _Byte), ("values", _Rational * 625)]


class _DynamicHDRPlus(ctypes.Structure):
    """libavutil의 AVDynamicHDRPlus(`hdr_dynamic_metadata.h`)."""

    _fields_ = [
        ("country", _Byte), ("version", _Byte), ("windows", _Byte), ("window", _Window * 3), ("display", _Rational),
        ("target", _Peaks), ("mastering", _Peaks),
    ]  # fmt: skip


def hdr10plus_message(data: bytes) -> bytes:
    """HDR10+의 메시지(SMPTE ST 2094-40). 화면의 밝기만 담으므로 키운 프레임에도 맞는다.

    Args:
        data: FFmpeg의 곁 데이터 `DYNAMIC_HDR_PLUS`의 내용.

    Returns:
        메시지. 모르는 모양이거나, 픽셀의 자리가 든 여러 창(window)의 것이면 비어 있다.
    """
    if len(data) != ctypes.sizeof(_DynamicHDRPlus):
        return b""
    found: Any = _DynamicHDRPlus.from_buffer_copy(data)
    if found.windows != 1:
        return b""
    number = length = 0
    for width, value in _hdr10plus_fields(found):
        number, length = number << width | value, length + width
    padding = -length % 8
    # 미국의 국가 부호, 삼성의 공급자 부호(0x003C), 그 안의 0x0001, 응용 4.
    return b"\xb5\x00\x3c\x00\x01\x04" + (number << padding).to_bytes((length + padding) // 8, "big")


def _hdr10plus_fields(found: Any) -> Iterator[tuple[int, int]]:
    """`(비트 수, 값)`들. ST 2094-40의 표에 적힌 차례다."""

    def scaled(value: Any, unit: int) -> int:
        return round(value.num * unit / value.den) if value.den else 0

    def peaks(table: Any) -> Iterator[tuple[int, int]]:
        yield 1, table.told
        if table.told:
            yield from ((5, table.rows), (5, table.columns))
            # 칸의 자리는 언제나 25x25의 것이다.
            cells = (table.values[row * 25 + column] for row in range(table.rows) for column in range(table.columns))
            yield from ((4, scaled(value, 15)) for value in cells)

    window = found.window[0]
    yield from ((8, found.version), (2, found.windows), (27, scaled(found.display, 1)))
    yield from peaks(found.target)
    yield from ((17, scaled(value, 100_000)) for value in (*window.maxscl, window.average))
    yield 4, window.percentiles
    for item in window.distribution[: window.percentiles]:
        yield from ((7, item.percentage), (17, scaled(item.percentile, 100_000)))
    yield 10, scaled(window.bright, 1000)
    yield from peaks(found.mastering)
    yield 1, window.mapped
    if window.mapped:
        yield from ((12, scaled(value, 4095)) for value in window.knee)
        yield 4, window.anchor_count
        yield from ((10, scaled(value, 1023)) for value in window.anchors[: window.anchor_count])
    yield 1, window.saturated
    if window.saturated:
        yield 6, scaled(window.saturation, 8)
