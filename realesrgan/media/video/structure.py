"""묶음 형식(container)의 뼈대만 읽어, 파일이 적힌 길이보다 짧은지 알아본다.

디코더는 끝이 잘린 파일을 흔히 조용히 짧게 읽는다.
상자(box)와 조각(chunk)에 적힌 크기를 파일의 크기와 견주면 잘린 것을 알 수 있다.
"""

from __future__ import annotations

import os
import re
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

_EBML = b"\x1a\x45\xdf\xa3"
_SEGMENT = 0x18538067
_BOX_KINDS = frozenset({b"ftyp", b"moov", b"mdat", b"free", b"skip", b"wide", b"pnot", b"styp", b"sidx", b"uuid"})
_MAX_BOXES = 1_000_000
_ASF_PROPERTIES = bytes.fromhex("a1dcab8c47a9cf118ee400c00c205365")
"""ASF의 File Properties Object의 GUID(리틀 엔디언)."""
_Y4M_CHROMA = {"420": (2, 2), "422": (2, 1), "444": (1, 1), "411": (4, 1), "mono": (0, 0)}
_Y4M = re.compile(r"(?P<chroma>420|422|444|411|mono)(?:p?(?P<bits>\d\d))?(?:jpeg|mpeg2|paldv)?")
HEAD = 65536
"""앞부분에서 볼 바이트 수."""


@dataclass(frozen=True)
class Extent:
    """뼈대에서 읽은 크기.

    Attributes:
        needed: 온전하려면 있어야 하는 바이트 수. 알 수 없으면 0.
        index: 색인(mp4의 moov)이 있는지. 색인이 없는 형식이면 True.
    """

    needed: int = 0
    index: bool = True


def read_extent(file: BinaryIO, size: int) -> Extent:
    """되감을 수 있는 파일의 뼈대를 읽는다.

    Args:
        file: 열린 파일. 위치는 바뀐다.
        size: 파일의 크기(바이트).
    """
    file.seek(0)
    head = file.read(64)
    if head.startswith(_EBML):
        return Extent(ebml_extent(head + file.read(4096)))
    if head[:4] in (b"RIFF", b"RIFX") and head[8:12] == b"AVI ":
        return Extent(_riff_extent(file, size))
    if head[4:8] in _BOX_KINDS:
        return _box_extent(file, size)
    if head[:4] == b"OggS":
        return Extent(_ogg_extent(file, size))
    file.seek(0)
    return Extent(head_extent(file.read(HEAD)))


def head_extent(head: bytes) -> int:
    """되감을 수 없는 입력의 앞부분에서, 있어야 하는 바이트 수. 알 수 없으면 0."""
    if head.startswith(_EBML):
        return ebml_extent(head)
    if head[:4] == b"RIFF" and head[8:12] == b"AVI ":
        return 8 + int.from_bytes(head[4:8], "little")
    if head.startswith(b"FLV"):
        return _flv_extent(head)
    place = head.find(_ASF_PROPERTIES)
    return int.from_bytes(head[place + 40 : place + 48], "little") if place >= 0 else 0


def _flv_extent(head: bytes) -> int:
    """FLV: onMetaData의 filesize. 적지 않은 파일도 있다."""
    mark = b"\x00\x08filesize\x00"
    place = head.find(mark)
    if place < 0 or len(head) < place + len(mark) + 8:
        return 0
    (value,) = struct.unpack(">d", head[place + len(mark) : place + len(mark) + 8])
    return int(value) if 0 < value < 1 << 53 else 0


def _ogg_extent(file: BinaryIO, size: int) -> int:
    """Ogg: 마지막 쪽(page)의 끝(RFC 3533 6장)."""
    start = max(0, size - HEAD - 512)
    file.seek(start)
    tail = file.read()
    place = tail.rfind(b"OggS")
    if place < 0:
        return 0
    if place + 27 > len(tail) or place + 27 + tail[place + 26] > len(tail):
        return size + 1
    count = tail[place + 26]
    return start + place + 27 + count + sum(tail[place + 27 : place + 27 + count])


def y4m_frames(head: bytes) -> tuple[int, int]:
    """y4m의 `(첫 프레임의 자리, 프레임 하나의 바이트 수)`. y4m이 아니거나 알 수 없으면 둘 다 0.

    프레임의 머리줄에 딸린 값이 있으면 길이가 달라질 수 있으므로 모르는 것으로 본다.
    """
    line, newline, rest = head.partition(b"\n")
    if not line.startswith(b"YUV4MPEG2 ") or not newline or not rest.startswith(b"FRAME\n"):
        return 0, 0
    fields = {item[:1]: item[1:] for item in line.decode("ascii", "replace").split(" ")[1:] if item[:1] != "X"}
    match = _Y4M.fullmatch(fields.get("C", "420jpeg"))
    if match is None or not fields.get("W", "").isdigit() or not fields.get("H", "").isdigit():
        return 0, 0
    width, height = int(fields["W"]), int(fields["H"])
    across, down = _Y4M_CHROMA[match["chroma"]]
    chroma = 2 * -(-width // across) * -(-height // down) if across else 0
    sample = 2 if match["bits"] not in (None, "08") else 1
    return len(line) + 1, 6 + (width * height + chroma) * sample


class BoxWalk:
    """되감을 수 없는 mp4가 지나가는 동안 맨 바깥 상자들의 끝을 센다.

    Attributes:
        needed: 지금까지 본 상자들이 온전하려면 있어야 하는 바이트 수. mp4가 아니면 0.
    """

    def __init__(self) -> None:
        self.needed = 0
        self._seen = 0
        self._head = b""
        self._lost = False

    def feed(self, data: bytes) -> None:
        """이어지는 바이트열을 본다."""
        end = self._seen + len(data)
        while not self._lost and self.needed + len(self._head) < end:
            begin = max(0, self.needed + len(self._head) - self._seen)
            self._head += data[begin : begin + 16 - len(self._head)]
            if len(self._head) < 16:
                break
            self._next_box()
        self._seen = end

    def _next_box(self) -> None:
        length, kind = int.from_bytes(self._head[:4], "big"), self._head[4:8]
        if length == 1:
            length = int.from_bytes(self._head[8:16], "big")
        known = kind in _BOX_KINDS or (self.needed > 0 and kind.isalnum())
        self._lost = length < 8 or not known
        self.needed += 0 if self._lost else length
        self._head = b""


def _vint(data: bytes, place: int, keep_marker: bool) -> tuple[int, int, bool]:
    """EBML의 가변 길이 정수. `(값, 길이, 모름 표시인지)`. RFC 8794 4장."""
    if place >= len(data) or data[place] == 0:
        return 0, 0, False
    length = 9 - data[place].bit_length()
    raw = int.from_bytes(data[place : place + length], "big")
    mask = (1 << (7 * length)) - 1
    return (raw if keep_marker else raw & mask), length, raw & mask == mask


def ebml_extent(head: bytes) -> int:
    """Matroska와 WebM: 머리 다음의 Segment에 적힌 크기까지의 바이트 수. 크기를 모르게 적었으면 0."""
    size, width, unknown = _vint(head, 4, False)
    if not width or unknown:
        return 0
    place = 4 + width + size
    while place < len(head):
        kind, kind_width, _ = _vint(head, place, True)
        size, width, unknown = _vint(head, place + kind_width, False)
        if not kind_width or not width:
            return 0
        body = place + kind_width + width
        if kind == _SEGMENT:
            return 0 if unknown else body + size
        place = body + size
    return 0


def _riff_extent(file: BinaryIO, size: int) -> int:
    """AVI: 잇단 RIFF 조각(OpenDML)의 끝. 색인을 쓰기 전에 끊긴 파일은 크기가 0으로 남는다."""
    place = padding = 0
    while place + 12 <= size:
        file.seek(place)
        head = file.read(8)
        if head[:4] not in (b"RIFF", b"RIFX"):
            return place
        length = int.from_bytes(head[4:8], "little")
        if length == 0:
            return 0
        padding = length & 1
        place += 8 + length + padding
    # 홀수 길이의 채움 바이트는 마지막 조각에서 빠지기도 한다.
    return place - padding


def _box_extent(file: BinaryIO, size: int) -> Extent:
    """mp4와 mov: 맨 바깥 상자들의 끝(ISO/IEC 14496-12, 4.2). 마지막 상자의 크기가 0이면 파일 끝까지다."""
    place = 0
    found = False
    for _ in range(_MAX_BOXES):
        if place + 8 > size:
            break
        file.seek(place)
        head = file.read(16)
        length, kind = int.from_bytes(head[:4], "big"), head[4:8]
        found = found or kind in (b"moov", b"moof")
        if length == 1:
            length = int.from_bytes(head[8:16], "big")
        elif length == 0:
            return Extent(size, found)
        if length < 8 or not kind.isascii():
            # 상자가 아닌 꼬리다. 재생에 쓰이지 않는 덧붙은 바이트가 있는 파일이 있다.
            return Extent(place, found)
        place += length
    # 다음 상자의 머리가 들 자리도 없이 남은 몇 바이트는 잘린 상자의 첫머리다.
    return Extent(place + 8 if 0 < size - place < 8 and not found else max(place, 0), found)


def file_extent(path: str | os.PathLike[str]) -> tuple[Extent, int]:
    """파일의 `(뼈대, 크기)`.

    Raises:
        OSError: 읽을 수 없을 때.
    """
    size = Path(path).stat().st_size
    with Path(path).open("rb") as file:
        return read_extent(file, size), size


def missing_index(path: str | os.PathLike[str]) -> bool:
    """mp4나 mov인데 색인(moov)이 없는지. 쓰다가 끊겼거나 뒤가 잘린 파일이다."""
    try:
        extent = file_extent(path)[0]
    except OSError:
        return False
    return not extent.index
