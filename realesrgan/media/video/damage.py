"""잘리거나 깨진 영상을 알아챈다."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from typing import Any

from realesrgan.media.video.library import import_av
from realesrgan.media.video.types import VideoInfo


def file_shortage(path: str | os.PathLike[str]) -> str:
    """파일의 뼈대만 보고 모자라면 그 까닭을, 성하면 빈 문자열을 돌려준다."""
    return ""


class Watch:
    """푸는 동안 깨진 자리를 살핀다.

    Args:
        opening: 연 영상(`decoder`, `container`, `stream`, `tap`).
        info: 영상의 정보.
    """

    def __init__(self, opening: Any, info: VideoInfo) -> None:
        self._opening = opening
        self._info = info
        self._problem = ""
        self._started = False
        self.finished = False

    def decode(self, packets: Iterable[Any]) -> Iterator[Any]:
        """패킷을 풀어 프레임을 낸다. 깨진 자리를 만나면 그 앞의 것까지만 낸다."""
        av = import_av()
        decoder = self._opening.decoder
        try:
            for packet in packets:
                if packet.is_corrupt:
                    self._problem = "패킷이 도중에 끊겼습니다."
                    break
                try:
                    frames = decoder.decode(packet)
                except av.error.FFmpegError as error:
                    if not self._started:
                        continue
                    self._problem = f"프레임을 풀 수 없습니다({error.strerror or error})."
                    break
                self._started = self._started or bool(frames)
                yield from frames
            else:
                self.finished = True
        except (av.error.FFmpegError, OSError) as error:
            self._problem = f"파일을 더 읽을 수 없습니다({error.strerror or error})."
        yield from self._flush(decoder)

    def _flush(self, decoder: Any) -> Iterator[Any]:
        av = import_av()
        try:
            yield from decoder.decode(None)
        except av.error.EOFError:
            return
        except av.error.FFmpegError as error:
            self._problem = self._problem or f"마지막 프레임을 풀 수 없습니다({error.strerror or error})."

    def seen(self, frame: Any, pts: int) -> None:
        """프레임이 나왔음을 적는다."""

    def broken(self, frame: Any) -> bool:
        """디코더가 깨졌다고 한 프레임인지."""
        if frame.is_corrupt:
            self._problem = "프레임이 깨졌습니다."
        return bool(frame.is_corrupt)

    def verdict(self, last: int | None) -> str:
        """깨졌으면 그 까닭을, 성하면 빈 문자열을 돌려준다."""
        return self._problem
