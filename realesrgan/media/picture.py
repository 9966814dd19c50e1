"""읽은 그림을 나르는 값들. 모두 바꿀 수 없고(frozen) 경로를 모른다."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
Mode = Literal["L", "RGB", "RGBA"]


@dataclass(frozen=True)
class ImageInfo:
    """픽셀을 풀지 않고 머리(header)만 읽어 아는 것.

    Attributes:
        width, height: EXIF 방향(orientation)을 적용한 뒤의 크기(픽셀).
        format: 내용으로 알아낸 형식(`'PNG'` 등). 확장자와 다를 수 있다.
        frames: 프레임 수. 정지 그림은 1.
        mode: 읽었을 때의 배열 종류. 회색+알파는 `'RGBA'`다.
        bit_depth: 읽었을 때 채널마다의 비트 수, 8 또는 16.
    """

    width: int
    height: int
    format: str
    frames: int
    mode: Mode
    bit_depth: int

    @property
    def channels(self) -> int:
        """배열의 채널 수(1, 3, 4)."""
        return {"L": 1, "RGB": 3, "RGBA": 4}[self.mode]


@dataclass(frozen=True)
class Metadata:
    """그림에 딸린 정보.

    Attributes:
        icc: 색 프로파일(ICC). 배열의 색 공간(회색 또는 RGB)과 언제나 맞는다.
        exif: 앞머리(`Exif`와 0 두 개)를 뗀 TIFF 구조의 EXIF. 방향은 1이고 미리보기(thumbnail)는 없다.
        xmp: XMP 꾸러미(packet).
        dpi: 인치당 점의 수 `(가로, 세로)`.
    """

    icc: bytes | None = None
    exif: bytes | None = None
    xmp: bytes | None = None
    dpi: tuple[float, float] | None = None


@dataclass(frozen=True)
class Frame:
    """프레임 하나.

    Attributes:
        array: `(H, W)` 회색, `(H, W, 3)` BGR, `(H, W, 4)` BGRA(곱하지 않은(straight) 알파). uint8 또는 uint16.
        duration: 보이는 시간(밀리초). 정지 그림은 0.
    """

    array: Array
    duration: float = 0.0

    @property
    def has_alpha(self) -> bool:
        """알파 채널이 있는가."""
        return self.array.ndim == 3 and self.array.shape[2] == 4


@dataclass(frozen=True)
class Picture:
    """그림 한 장, 또는 애니메이션 하나.

    Attributes:
        frames: 프레임들. 읽어 온 애니메이션은 돌 때마다 처음부터 다시 풀므로 메모리에 한 장씩만 있다.
            쓸 때는 한 번만 도는 제너레이터(generator)여도 된다.
        frame_count: 프레임 수.
        metadata: 메타데이터.
        loop: 애니메이션 재생 횟수. 0은 끝없이.
        format: 원본 형식(`'PNG'` 등).
        gray_alpha: 원본이 회색+알파인가. 배열은 BGRA지만 담을 수 있는 형식에는 회색+알파로 되돌려 쓴다.
        notes: 읽으면서 바뀐 것을 알리는 한국어 문장들.
    """

    frames: Iterable[Frame]
    frame_count: int = 1
    metadata: Metadata = field(default_factory=Metadata)
    loop: int = 0
    format: str = "PNG"
    gray_alpha: bool = False
    notes: tuple[str, ...] = ()

    @property
    def animated(self) -> bool:
        """프레임이 둘 이상인가."""
        return self.frame_count > 1

    @property
    def first(self) -> Frame:
        """첫 프레임. `frames`가 제너레이터라면 하나를 써 버리므로 읽어 온 그림에만 쓴다."""
        return next(iter(self.frames))

    def with_frames(self, frames: Iterable[Frame]) -> Picture:
        """픽셀만 바꾼 새 그림을 돌려준다. 프레임 수는 그대로여야 한다."""
        return replace(self, frames=frames)

    def __iter__(self) -> Iterator[Frame]:
        return iter(self.frames)


def still(array: Array, metadata: Metadata | None = None, *, format: str = "PNG") -> Picture:
    """배열 하나로 정지 그림을 만든다.

    Args:
        array: `Frame.array`와 같은 모양의 배열.
        metadata: 함께 나를 메타데이터.
        format: 원본 형식 이름.
    """
    return Picture(frames=(Frame(array),), metadata=metadata or Metadata(), format=format)


def check_array(array: Array) -> None:
    """배열이 이 패키지가 다루는 모양인지 본다.

    Raises:
        ValueError: 모양이나 자료형이 맞지 않을 때.
    """
    shape_ok = array.ndim == 2 or (array.ndim == 3 and array.shape[2] in (3, 4))
    if not shape_ok or 0 in array.shape:
        raise ValueError(f"그림 배열은 (H, W), (H, W, 3), (H, W, 4)여야 합니다: {array.shape}")
    if array.dtype not in (np.uint8, np.uint16):
        raise ValueError(f"그림 배열은 uint8 또는 uint16이어야 합니다: {array.dtype}")
