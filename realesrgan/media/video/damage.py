"""잘리거나 깨진 비디오를 알아챈다.

세 가지를 본다. 컨테이너(container)의 뼈대에 적힌 크기, mp4 색인의 마지막 표본, 그리고 디코딩하면서 만나는 오류와 나오지
않은 프레임이다. 디코더는 끝이 잘린 파일을 흔히 조용히 짧게 읽지만, 상자(box)와 조각(chunk)에 적힌 크기를 파일의 크기와
견주면 잘린 것을 알 수 있다. 성한 파일을 깨졌다고 하지 않도록, 도중에서 시작하는 방송(첫 키프레임의 앞)과 숨은 프레임이
있는 코덱은 너그럽게 본다.
"""

from __future__ import annotations

import os
import re
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

from realesrgan.media.video.files import import_av
from realesrgan.media.video.types import VideoInfo

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


def missing_index(path: str | os.PathLike[str]) -> bool:
    """mp4나 mov인데 색인(moov)이 없는지. 쓰다가 끊겼거나 뒤가 잘린 파일이다."""
    try:
        with Path(path).open("rb") as file:
            return not read_extent(file, Path(path).stat().st_size).index
    except OSError:
        return False


_ONE_TO_ONE = frozenset(
    [
        "h264",
        "hevc",
        "av1",
        "vp9",
        "prores",
        "ffv1",
        "mjpeg",
        "dnxhd",
        "utvideo",
        "huffyuv",
        "ffvhuff",
        "png",
        "rawvideo",
    ]
)
"""패킷 하나가 프레임 하나가 되는 코덱. VP8과 MPEG-4에는 숨은 프레임이 있고, MPEG-2는 필드마다 패킷일 수 있다."""
_INDEXED = ("mov", "mp4")
_TS_PACKETS = (188, 192, 204)
_TS_SYNC = 0x47


def file_shortage(path: str | os.PathLike[str]) -> str:
    """파일의 뼈대만 보고 모자라면 그 까닭을, 성하면 빈 문자열을 돌려준다.

    Raises:
        OSError: 읽을 수 없을 때.
    """
    size = Path(path).stat().st_size
    with Path(path).open("rb") as file:
        extent = read_extent(file, size)
        if extent.needed:
            return _short(extent.needed, size) if extent.needed > size else ""
        file.seek(0)
        return ragged_end(file.read(HEAD), size)


def _short(needed: int, size: int) -> str:
    return f"파일이 {needed:,}바이트여야 하는데 {size:,}바이트뿐입니다."


def ragged_end(head: bytes, size: int) -> str:
    """같은 크기의 덩어리가 이어지는 형식(MPEG-TS, y4m)에서 나머지가 있으면 그 까닭을 돌려준다.

    Args:
        head: 파일의 앞부분, `HEAD`바이트까지.
        size: 파일의 크기(바이트).
    """
    for length in _TS_PACKETS:
        start = 4 if length == 192 else 0
        marks = head[start::length][:4]
        if len(marks) == 4 and set(marks) == {_TS_SYNC}:
            return "마지막 패킷이 잘렸습니다." if size % length else ""
    first, step = y4m_frames(head) if head.startswith(b"YUV4MPEG2 ") else (0, 0)
    return "마지막 프레임이 잘렸습니다." if step and (size - first) % step else ""


@dataclass
class DamageMonitor:
    """디코딩하는 동안 깨진 자리를 살핀다. 한 번 디코딩하는 데 하나를 쓴다.

    Attributes:
        opening: 연 비디오(`decoder`, `container`, `stream`, `forward`, `path`).
        info: 비디오의 정보.
        shortage: 뼈대에서 이미 안 모자람. 없으면 빈 문자열.
        keep_going: 깨진 자리를 만나도 그만두지 않고 `take`로 알리며 계속할지.
        breaks: 훑으면서 안, 컨테이너가 읽지 못한 곳의 바로 뒤 패킷이 파일에 놓인 자리들. 지나간 것은 지운다.
        lossy_transport: 이어 붙인 자리에서도 전송 오류가 표시되는 형식(MPEG-TS)인지.
        problem: 깨졌으면 그 까닭, 성하면 빈 문자열. 끝까지 디코딩한 뒤에 정해진다.
        suspected: 방송의 전송 오류가 표시된 패킷 수. 이어 붙인 자리에서도 표시되므로 이것만으로는 깨진 것이 아니다.
        dropped: 프레임이 나오지 않을 패킷의 dts를 받는 함수.
    """

    opening: Any
    info: VideoInfo
    shortage: str = ""
    keep_going: bool = False
    breaks: list[int] = field(default_factory=list)
    dropped: Callable[[int | None], None] = lambda _dts: None
    lossy_transport: bool = False
    suspected: int = 0
    problem: str = ""
    _events: list[tuple[int | None, str]] = field(default_factory=list)
    _suspects: list[int] = field(default_factory=list)
    _spoiled: set[int] = field(default_factory=set)
    _awaited: set[int] = field(default_factory=set)
    _keyed: bool = False
    _counting: bool = False
    _first: int | None = None
    _last_dts: int | None = None

    def decode(self, packets: Iterator[Any]) -> Iterator[Any]:
        """패킷을 디코딩해 프레임을 낸다. 깨진 자리를 만나면 그 앞의 프레임까지만 낸다."""
        codec = self.opening.stream.codec_context.codec.canonical_name
        self._counting = not self.opening.counts_arrivals and codec in _ONE_TO_ONE
        self.lossy_transport = self.opening.container.format.name == "mpegts"
        error = import_av().error
        ended = False
        while not ended:
            frames = self._next(packets)
            if frames is None:
                ended, frames = True, []
                try:
                    frames = list(self.opening.decoder.decode(None))
                except error.EOFError:
                    pass  # 이미 비운 디코더다.
                except error.FFmpegError as problem:
                    reason = f"마지막 프레임을 디코딩할 수 없습니다({problem.strerror or problem})."
                    self.problem = self.problem or reason
                if self.problem and not self.keep_going:
                    frames = self._settled(frames)
            for frame in frames:
                # 비월은 필드마다 패킷일 수 있어 세지 않는다.
                if frame.interlaced_frame:
                    self._counting = False
                    self._awaited.clear()
                if frame.pts is not None:
                    self._awaited.discard(frame.pts)
                    self._first = frame.pts if self._first is None else self._first
                yield frame
        lost = self._unanswered() if self._awaited else []
        if lost and not self.problem:
            where = float((min(lost) - self.info.start) * self.info.time_base)
            self.problem = f"패킷 {len(lost)}개에서 프레임이 나오지 않았습니다(처음은 {where:.3f}초)."

    def _unanswered(self, before: int | None = None) -> list[int]:
        """프레임이 나오지 않은 패킷들의 pts. `before`가 있으면 그 앞의 것만."""
        return [
            pts
            for pts in self._awaited
            if self._first is not None and pts > self._first and (before is None or pts < before)
        ]

    def is_spoiled(self, frame: Any) -> bool:
        """디코더나 컨테이너가 깨졌다고 한 프레임인지."""
        return bool(frame.is_corrupt) or frame.pts in self._spoiled

    def note(self, moment: int | None, reason: str) -> None:
        """깨진 자리를 적어 둔다. `moment`는 그 자리의 pts, 모르면 None."""
        self._events.append((moment, reason))

    def take(self, pts: int | None, gap: bool) -> str:
        """`pts`의 앞에서 깨진 까닭. 성하면 빈 문자열. 알린 것은 잊는다.

        Args:
            pts: 나온 프레임의 시각. None이면 비디오의 끝이다.
            gap: 앞 프레임과의 사이가 비었는지. 방송의 전송 오류는 프레임이 빠졌을 때만 깨진 것으로 본다.
        """
        ready = [event for event in self._events if pts is None or event[0] is None or event[0] < pts]
        self._events = [event for event in self._events if event not in ready]
        missing = self._unanswered(pts) if pts is not None else []
        self._awaited.difference_update(missing)
        lost = "" if pts is None else self.lost(pts)
        if ready:
            return ready[0][1]
        if gap and missing:
            return f"패킷 {len(missing)}개에서 프레임이 나오지 않았습니다."
        return lost if gap else ""

    def lost(self, pts: int) -> str:
        """`pts`의 바로 앞에서 패킷을 잃었을 수 있으면 그 까닭, 아니면 빈 문자열. 시각이 비었을 때만 뜻이 있다."""
        second = int(1 / self.info.time_base)
        self._suspects = [moment for moment in self._suspects if moment > pts - second]
        reason = "전송하다가 패킷을 잃었습니다." if self.lossy_transport else "파일의 가운데에 읽지 못한 곳이 있습니다."
        return reason if self._suspects else ""

    def _next(self, packets: Iterator[Any]) -> list[Any] | None:
        """다음 패킷에서 나온 프레임들. 끝났거나 깨진 자리를 만나 그만두면 None."""
        error = import_av().error
        try:
            packet = next(packets, None)
        except (error.FFmpegError, OSError) as problem:
            self.problem = f"파일을 더 읽을 수 없습니다({problem.strerror or problem})."
            return None
        if packet is None:
            unread = "파일의 끝에 읽지 못한 곳이 있습니다." if self.breaks else ""
            self.problem = self.shortage or self._missing() or unread
            return None
        moment = packet.pts if packet.pts is not None else packet.dts
        while self.breaks and packet.pos is not None and packet.pos >= self.breaks[0]:
            self.breaks.pop(0)
            self._suspects += [] if moment is None else [moment]
        if packet.is_corrupt and not self._may_decode(packet, moment):
            self.problem = "패킷이 도중에 끊겼습니다."
            return None
        try:
            frames: list[Any] = self.opening.decoder.decode(packet)
        except error.FFmpegError as problem:
            reason = f"프레임을 디코딩할 수 없습니다({problem.strerror or problem})."
            if self._keyed and not self.keep_going:
                self.problem = reason
                return None
            if self._keyed:
                self.note(moment, reason)
                self.dropped(packet.dts)
            return []
        self._keyed = self._keyed or packet.is_keyframe
        if packet.dts is not None:
            self._last_dts = packet.dts
        if self._counting and packet.pts is not None and not packet.is_discard:
            self._awaited.add(packet.pts)
        return frames

    def _may_decode(self, packet: Any, moment: int | None) -> bool:
        """깨졌다고 표시된 패킷을 그래도 디코딩할지."""
        if self.lossy_transport:
            # 방송은 이어 붙인 자리에서도 깨졌다고 표시되므로 디코더의 판단을 따른다.
            packet.is_corrupt = False
            self._suspects += [] if moment is None else [moment]
            self.suspected += 1
        elif self.keep_going and moment is not None:
            self._spoiled.add(moment)
        return self.lossy_transport or self.keep_going

    def _settled(self, frames: list[Any]) -> list[Any]:
        """잘린 자리에서 디코더에 남은 프레임 가운데 사이가 비지 않은 것들.

        B 프레임은 뒤의 프레임보다 나중에 담기므로, 잘린 자리의 뒤 프레임을 내면 그 앞이 빌 수 있다.
        오지 않은 패킷의 pts는 모두 마지막 dts보다 크므로 그때까지의 프레임만 온전하다.
        """
        if self.opening.counts_arrivals:
            depth = int(self.opening.stream.codec_context.reorder_depth)
            return frames[: len(frames) - depth] if depth else frames
        last = self._last_dts
        return [frame for frame in frames if frame.pts is None or last is None or frame.pts <= last]

    def _missing(self) -> str:
        """끝까지 읽었을 때 파일이 모자라면 그 까닭, 성하면 빈 문자열.

        mp4의 색인은 처음에 다 읽히므로 마지막 표본의 자리가 파일의 밖이면 잘린 것이다. 표준 입력은 앞부분에 적힌
        크기만큼 읽혔는지도 본다.
        """
        names = self.opening.container.format.name.split(",")
        forward: ForwardInput | None = self.opening.forward
        entries = self.opening.stream.index_entries
        if any(name in _INDEXED for name in names) and len(entries):
            needed = max(entries[place].pos + entries[place].size for place in (0, -1))
            size = Path(self.opening.path).stat().st_size if forward is None else forward.drain()
            if needed > size:
                return _short(needed, size)
        if forward is None:
            return ""
        size = forward.drain()
        needed = max(head_extent(forward.head), forward.boxes.needed)
        return _short(needed, size) if needed > size else ragged_end(forward.head, size)


class ForwardInput:
    """읽은 바이트 수와 맨 앞 조각을 기억하는 파일 객체. 되감기(seek)를 내보이지 않는다.

    Attributes:
        head: 맨 앞 최대 `HEAD`바이트. 컨테이너의 머리를 보는 데 쓴다.
        boxes: 지나간 mp4의 뼈대.
        count: 지금까지 읽은 바이트 수.
        ended: 입력의 끝에 닿았는지.
    """

    def __init__(self, source: BinaryIO) -> None:
        self._source = source
        self.name = "<stdin>"
        self.head = b""
        self.count = 0
        self.ended = False
        self.boxes = BoxWalk()

    def read(self, size: int) -> bytes:
        """최대 `size`바이트를 읽는다. 빈 바이트열이면 끝이다."""
        reader = getattr(self._source, "read1", None) or self._source.read
        data: bytes = reader(size)
        self.count += len(data)
        self.ended = self.ended or not data
        if len(self.head) < HEAD:
            self.head += data[: HEAD - len(self.head)]
        self.boxes.feed(data)
        return data

    def drain(self) -> int:
        """끝까지 읽어 버리고 모두 몇 바이트였는지 돌려준다."""
        while self.read(1 << 20):
            continue
        return self.count
