"""한 파일을 쓰는 데 필요한 것을 모은 값. 형식별 쓰기 함수들이 함께 받는다."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from realesrgan.media.picture import Array, Frame, Metadata

PixelKind = Literal["L", "LA", "BGR", "BGRA"]


@dataclass(frozen=True)
class EncodeJob:
    """쓸 그림의 성질.

    Attributes:
        width, height: 크기(픽셀).
        kind: 파일에 담을 픽셀의 종류.
        depth: 채널마다의 비트 수, 8 또는 16.
        convert: 프레임 배열의 일부(가로 띠)를 `kind`와 `depth`의 배열로 바꾸는 순수 함수.
        metadata: 결과의 크기에 맞춘 메타데이터. 형식이 담지 못하는 것은 이미 빠져 있다.
        count: 프레임 수.
        loop: 재생 횟수, 0은 끝없이.
        quality: 손실 압축 품질(1..100). 무손실 형식은 무시한다.
    """

    width: int
    height: int
    kind: PixelKind
    depth: int
    convert: Callable[[Array], Array]
    metadata: Metadata
    count: int = 1
    loop: int = 0
    quality: int = 95

    @property
    def channels(self) -> int:
        """파일에 담을 채널 수."""
        return {"L": 1, "LA": 2, "BGR": 3, "BGRA": 4}[self.kind]

    @property
    def row_bytes(self) -> int:
        """한 줄의 바이트 수."""
        return self.width * self.channels * self.depth // 8

    def strip(self, frame: Frame, top: int, bottom: int) -> Array:
        """프레임의 `top`번째 줄부터 `bottom`번째 줄 앞까지를 담을 모양으로 바꾼다."""
        return self.convert(frame.array[top:bottom])
