"""되감을 수 없는 입력을 감싼다."""

from __future__ import annotations

from typing import BinaryIO

from realesrgan.media.video.structure import HEAD, BoxWalk


class Tap:
    """읽은 바이트 수와 맨 앞 조각을 기억하는 파일 객체. 되감기(seek)를 내보이지 않는다.

    Attributes:
        head: 맨 앞 최대 `HEAD`바이트. 묶음 형식의 머리를 보는 데 쓴다.
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
