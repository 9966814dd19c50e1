"""잘리거나 깨진 영상을 알아챈다.

세 가지를 본다. 파일의 뼈대에 적힌 크기(`structure`), mp4 색인의 마지막 표본,
그리고 풀면서 만나는 오류와 나오지 않은 프레임이다. 성한 파일을 깨졌다고 하지 않도록,
도중에서 시작하는 방송(첫 열쇠 프레임의 앞)과 숨은 프레임이 있는 코덱은 너그럽게 본다.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from realesrgan.media.video.library import import_av
from realesrgan.media.video.structure import HEAD, file_extent, head_extent, y4m_frames
from realesrgan.media.video.types import VideoInfo

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
    extent, size = file_extent(path)
    if extent.needed > size:
        return _short(extent.needed, size)
    with Path(path).open("rb") as file:
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
    first, step = y4m_frames(head)
    return "마지막 프레임이 잘렸습니다." if step and (size - first) % step else ""


class Watch:
    """푸는 동안 깨진 자리를 살핀다. 한 번 푸는 데 하나를 쓴다.

    Args:
        opening: 연 영상(`decoder`, `container`, `stream`, `tap`, `path`).
        info: 영상의 정보.
        shortage: 뼈대에서 이미 안 모자람. 없으면 빈 문자열.
    """

    def __init__(self, opening: Any, info: VideoInfo, shortage: str = "") -> None:
        self._opening = opening
        self._info = info
        self._shortage = shortage
        self._problem = ""
        self._keyed = False
        self._ended = False
        self._good = False
        self._judged = False
        self._first: int | None = None
        self._last_dts: int | None = None
        self._lossy_transport = opening.container.format.name == "mpegts"
        self._awaited: set[int] = set()
        self._counting = (
            not opening.counts_arrivals and opening.stream.codec_context.codec.canonical_name in _ONE_TO_ONE
        )

    def decode(self, packets: Iterable[Any]) -> Iterator[Any]:
        """패킷을 풀어 프레임을 낸다. 깨진 자리를 만나면 그 앞의 프레임까지만 낸다."""
        av = import_av()
        try:
            for packet in packets:
                if self._lossy_transport:
                    # 방송은 이어 붙인 자리에서도 깨졌다고 표시되므로 디코더의 판단을 따른다.
                    packet.is_corrupt = False
                elif packet.is_corrupt:
                    self._problem = "패킷이 도중에 끊겼습니다."
                    break
                try:
                    frames = self._opening.decoder.decode(packet)
                except av.error.FFmpegError as error:
                    if self._keyed:
                        self._problem = f"프레임을 풀 수 없습니다({error.strerror or error})."
                        break
                    continue
                self._keyed = self._keyed or packet.is_keyframe
                self._note(packet)
                yield from frames
            else:
                self._ended = True
        except (av.error.FFmpegError, OSError) as error:
            self._problem = f"파일을 더 읽을 수 없습니다({error.strerror or error})."
        if self._ended and not self._problem:
            self._problem = self._shortage or self._cut_index() or self._cut_stream()
        yield from self._settled(self._flush())

    def _note(self, packet: Any) -> None:
        if packet.dts is not None:
            self._last_dts = packet.dts
        if self._counting and packet.pts is not None and not packet.is_discard:
            self._awaited.add(packet.pts)

    def _flush(self) -> list[Any]:
        av = import_av()
        try:
            return list(self._opening.decoder.decode(None))
        except av.error.EOFError:
            return []
        except av.error.FFmpegError as error:
            self._problem = self._problem or f"마지막 프레임을 풀 수 없습니다({error.strerror or error})."
            return []

    def _settled(self, frames: list[Any]) -> list[Any]:
        """잘린 자리에서 디코더에 남은 프레임 가운데 사이가 비지 않은 것들.

        B 프레임은 뒤의 프레임보다 나중에 담기므로, 잘린 자리의 뒤 프레임을 내면 그 앞이 빌 수 있다.
        오지 않은 패킷의 pts는 모두 마지막 dts보다 크므로 그때까지의 프레임만 온전하다.
        """
        if not self._problem:
            return frames
        if self._opening.counts_arrivals:
            depth = int(self._opening.stream.codec_context.reorder_depth)
            return frames[: len(frames) - depth] if depth else frames
        last = self._last_dts
        return [frame for frame in frames if frame.pts is None or last is None or frame.pts <= last]

    def seen(self, frame: Any) -> None:
        """프레임이 나왔음을 적는다. 비월은 필드마다 패킷일 수 있어 세지 않는다."""
        if frame.interlaced_frame:
            self._counting = False
            self._awaited.clear()
        if frame.pts is not None:
            self._awaited.discard(frame.pts)
            self._first = frame.pts if self._first is None else self._first

    def usable(self, frame: Any) -> bool:
        """성한 프레임인지. 깨진 프레임이면 까닭을 적어 둔다."""
        if not frame.is_corrupt:
            self._good = True
            return True
        if self._good:
            self._judged = True
            self._problem = self._problem or "디코더가 이 뒤의 프레임이 깨졌다고 합니다."
        return False

    @property
    def stopped(self) -> bool:
        """깨진 프레임을 만나 더 낼 것이 없는지."""
        return self._judged

    def verdict(self) -> str:
        """깨졌으면 그 까닭을, 성하면 빈 문자열을 돌려준다. 끝까지 풀었을 때 부른다."""
        if self._problem:
            return self._problem
        return self._lost_frames() if self._ended else ""

    def _size(self) -> int:
        tap = self._opening.tap
        if tap is not None:
            return int(tap.drain())
        return Path(self._opening.path).stat().st_size

    def _cut_index(self) -> str:
        """mp4의 색인은 처음에 다 읽히므로 마지막 표본의 자리가 파일의 밖이면 잘린 것이다."""
        names = self._opening.container.format.name.split(",")
        entries = self._opening.stream.index_entries
        if not any(name in _INDEXED for name in names) or not len(entries):
            return ""
        needed = max(entries[place].pos + entries[place].size for place in (0, -1))
        size = self._size()
        return _short(needed, size) if needed > size else ""

    def _cut_stream(self) -> str:
        """표준 입력의 뼈대. 앞부분에 적힌 크기만큼 읽혔는지 본다."""
        tap = self._opening.tap
        if tap is None:
            return ""
        size = self._size()
        needed = max(head_extent(tap.head), tap.boxes.needed)
        return _short(needed, size) if needed > size else ragged_end(tap.head, size)

    def _lost_frames(self) -> str:
        lost = [pts for pts in self._awaited if self._first is not None and pts > self._first]
        if not lost:
            return ""
        where = float(min(lost) * self._info.time_base)
        return f"패킷 {len(lost)}개에서 프레임이 나오지 않았습니다(처음은 {where:.3f}초)."
