"""읽은 이미지를 나르는 값들과, 픽셀만 보는 순수 함수들. 값은 모두 바꿀 수 없고(frozen) 경로를 모른다."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from realesrgan.errors import ImageReadError, MissingPackageError
from realesrgan.util.files import os_reason
from realesrgan.util.optional import import_cv2

Array = NDArray[Any]
Mode = Literal["L", "RGB", "RGBA"]

# 투명한 곳을 채울 때 한 번에 보는 픽셀 수와, 띠의 위아래로 더 보는 줄의 수.
_FILL_PIXELS, _FILL_MARGIN = 1 << 20, 128

EXIF_PREFIX = b"Exif\x00\x00"
"""JPEG의 APP1과 WebP가 EXIF 앞에 두는 표시(Exif 2.32의 4.7.2절)."""


class UnreadableError(ValueError):
    """이미지를 읽을 수 없다. 경로를 아는 `reader`가 `ImageReadError`로 바꾼다.

    Attributes:
        why, remedy: 사람에게 보일 이유와 해결.
    """

    def __init__(
        self,
        why: str = "파일이 망가져 있어 풀 수 없습니다.",
        remedy: str = "다른 프로그램에서 열리는지 확인하고, 원본을 다시 받거나 복사하세요.",
    ) -> None:
        super().__init__(why)
        self.why, self.remedy = why, remedy


class DamagedError(UnreadableError):
    """파일의 구조가 어긋나 있다."""


class TruncatedError(UnreadableError):
    """파일이 끝나기 전에 잘렸다."""

    def __init__(self) -> None:
        super().__init__("파일이 끝까지 있지 않습니다(잘림).")


class UnsupportedError(UnreadableError):
    """멀쩡하지만 담을 수 없는 종류의 이미지."""

    def __init__(self, why: str, remedy: str = "PNG나 TIFF(8비트 또는 16비트)로 바꾸어 저장한 뒤 다시 하세요.") -> None:
        super().__init__(why, remedy)


class MissingDecoderError(UnreadableError):
    """이 형식을 푸는 데 필요한 것이 설치되어 있지 않다."""

    def __init__(self, remedy: str, why: str = "이 형식을 푸는 데 필요한 것이 없습니다.") -> None:
        super().__init__(why, remedy)


def read_error(path: Path, error: Exception) -> ImageReadError:
    """읽다가 난 예외를, 이유와 해결을 담은 `ImageReadError`로."""
    # 망가진 파일에서 디코더는 SyntaxError, struct.error, cv2.error 등 온갖 예외를 낸다.
    damaged = error if isinstance(error, UnreadableError) else UnreadableError()
    why, remedy = damaged.why, damaged.remedy
    if isinstance(error, OSError) and error.errno is not None:
        folder = "파일이 아니라 폴더입니다.", "파일 이름까지 적어 주세요."
        why, remedy = folder if path.is_dir() else os_reason(error)
        if error.filename == tempfile.gettempdir():
            why = f"푼 픽셀을 둘 {error.filename}에 자리가 없습니다."
            remedy = "자리를 비우거나 환경 변수 TMPDIR에 다른 폴더를 주세요."
    elif isinstance(error, OSError):
        # Pillow는 잘린 자료를 errno가 없는 OSError로 알린다.
        why = "파일이 잘렸거나 망가져 있습니다."
    elif isinstance(error, MissingPackageError):
        return ImageReadError(f"이미지를 읽지 못했습니다: {path}\n  이유: {error}")
    elif (pillow := sys.modules.get("PIL.Image")) and isinstance(error, pillow.DecompressionBombError):
        why = "Pillow가 이 형식에서 풀 수 있는 크기를 넘습니다."
        remedy = "TIFF나 PNG, JPEG로 바꾸어 저장한 뒤 다시 하세요."
    elif isinstance(error, MemoryError):
        why, remedy = "이미지를 풀 메모리가 모자랍니다.", "다른 프로그램을 닫거나 더 작은 이미지를 쓰세요."
    return ImageReadError(f"이미지를 읽지 못했습니다: {path}\n  이유: {why}\n  해결: {remedy}")


@dataclass(frozen=True)
class ImageInfo:
    """픽셀을 풀지 않고 머리(header)만 읽어 아는 것.

    Attributes:
        width, height: EXIF 방향(orientation)을 적용한 뒤의 크기(픽셀).
        format: 내용으로 알아낸 형식(`'PNG'` 등). 확장자와 다를 수 있다.
        frames: 프레임 수. 정지 이미지는 1.
        mode: 읽었을 때의 배열 종류. 회색+알파는 `'RGBA'`다.
        bit_depth: 읽었을 때 채널마다의 비트 수, 8 또는 16.
        pages: 프레임이 애니메이션의 것이 아니라 TIFF의 쪽들인가.
    """

    width: int
    height: int
    format: str
    frames: int
    mode: Mode
    bit_depth: int
    pages: bool = False

    @property
    def channels(self) -> int:
        """배열의 채널 수(1, 3, 4)."""
        return len(self.mode)


@dataclass(frozen=True)
class Header:
    """파일의 머리에서 읽은 것.

    Attributes:
        info: 부르는 쪽에 보일 것.
        orientation: 풀어낸 픽셀에 아직 적용하지 않은 EXIF 방향(1..8).
        detail: 형식의 모듈이 `read_header`에서 남겨 `decode`에서 쓰는 것.
    """

    info: ImageInfo
    orientation: int = 1
    detail: Any = None


@dataclass(frozen=True)
class Metadata:
    """이미지에 딸린 정보.

    Attributes:
        icc: 색 프로파일(ICC). 배열의 색 공간(회색 또는 RGB)과 언제나 맞는다.
        exif: 앞머리(`Exif`와 0 두 개)를 뗀 TIFF 구조의 EXIF. 방향은 1이고 미리보기(thumbnail)는 없다.
        xmp: XMP 패킷(packet).
        dpi: 인치당 점의 수 `(가로, 세로)`.
        cicp: 색을 번호로 적은 것(ITU-T H.273): `(원색, 전달 특성)`. PNG의 cICP와 AVIF·HEIF의 nclx다.
        text: `(열쇠말, 글)`들. PNG의 글 조각과 JPEG의 설명(`Comment`).
        iptc: IPTC-IIM 기록.
        gain_map: Ultra HDR의 이득 지도(gain map) JPEG. JPEG로 쓸 때만 옮길 수 있다.
    """

    icc: bytes | None = None
    exif: bytes | None = None
    xmp: bytes | None = None
    dpi: tuple[float, float] | None = None
    cicp: tuple[int, int] | None = None
    text: tuple[tuple[str, str], ...] = ()
    iptc: bytes | None = None
    gain_map: bytes | None = None


@dataclass(frozen=True)
class Frame:
    """프레임 하나.

    Attributes:
        array: `(H, W)` 회색, `(H, W, 3)` BGR, `(H, W, 4)` BGRA(곱하지 않은(straight) 알파). uint8 또는 uint16.
        duration: 보이는 시간(밀리초). 정지 이미지는 0.
        metadata: 여러 쪽 TIFF에서 이 쪽의 메타데이터. 없으면 `Picture.metadata`.
        rgb: 채널의 차례가 BGR이 아니라 RGB인지. `read_image(lazy=True)`가 준 것과 그것을 키운 것만 그렇다.

    `array`는 메모리의 배열이 아니라 파일의 일부를 그때그때 읽는 것(`vips.LazyImage`, `vips.RawImage`)이어도 된다.
    """

    array: Array
    duration: float = 0.0
    metadata: Metadata | None = None
    rgb: bool = False


@dataclass(frozen=True)
class Picture:
    """이미지 한 장, 또는 애니메이션 하나.

    Attributes:
        frames: 프레임들. 읽어 온 애니메이션은 돌 때마다 처음부터 다시 풀므로 메모리에 한 장씩만 있다.
            쓸 때는 한 번만 도는 제너레이터(generator)여도 된다.
        frame_count: 프레임 수.
        metadata: 메타데이터.
        loop: 애니메이션 재생 횟수. 0은 끝없이.
        format: 원본 형식(`'PNG'` 등).
        gray_alpha: 원본이 회색+알파인가. 배열은 BGRA지만 담을 수 있는 형식에는 회색+알파로 되돌려 쓴다.
        notes: 읽으면서 바뀐 것을 알리는 한국어 문장들.
        bits: 원본의 채널마다의 비트 수. 10, 12비트도 배열은 uint16이다.
        pages: 프레임이 여러 쪽 TIFF의 쪽들인가. 쪽마다 크기와 종류가 달라도 된다.
    """

    frames: Iterable[Frame]
    frame_count: int = 1
    metadata: Metadata = field(default_factory=Metadata)
    loop: int = 0
    format: str = "PNG"
    gray_alpha: bool = False
    notes: tuple[str, ...] = ()
    bits: int = 0
    pages: bool = False

    @property
    def animated(self) -> bool:
        """프레임이 둘 이상인가."""
        return self.frame_count > 1

    @property
    def first(self) -> Frame:
        """첫 프레임. `frames`가 제너레이터라면 하나를 써 버리므로 읽어 온 이미지에만 쓴다."""
        return next(iter(self.frames))

    def __iter__(self) -> Iterator[Frame]:
        return iter(self.frames)


def still(array: Array, metadata: Metadata | None = None, *, format: str = "PNG") -> Picture:
    """`Frame.array`와 같은 모양의 배열 하나로 정지 이미지를 만든다. `format`은 원본 형식의 이름이다."""
    return Picture(frames=(Frame(array),), metadata=metadata or Metadata(), format=format)


def apply_orientation(array: Array, orientation: int) -> Array:
    """카메라가 적어 둔 방향(1..8)대로 `(H, W[, C])` 배열을 돌리거나 뒤집는다(Exif 2.32의 4.6.4절, Orientation).

    결과는 연속된(contiguous) 배열이며, 5 이상이면 가로와 세로가 바뀐다.
    """
    if orientation >= 5:
        array = array.swapaxes(0, 1)
    if orientation in (2, 3, 6, 7):
        array = array[:, ::-1]
    if orientation in (3, 4, 7, 8):
        array = array[::-1]
    return np.ascontiguousarray(array)


def fill_transparent_rows(image: Any, target: Any) -> Any:
    """`fill_transparent_colour`를 띠마다 해서 `target`에 적는다. 메모리가 이미지의 높이를 따르지 않는다.

    띠의 위아래로 네트워크가 보는 거리보다 먼 곳까지 함께 보므로, 그 안에서는 통째로 한 것과 같다. `image`는 줄을 잘라
    읽을 수 있는 `(H, W, 4)`, `target`은 모양과 자료형이 같고 줄을 잘라 적을 수 있는 것이며, `target`을 돌려준다.
    """
    height, width = image.shape[:2]
    rows = max(_FILL_PIXELS // width, _FILL_MARGIN)
    for top in range(0, height, rows):
        first, bottom = max(top - _FILL_MARGIN, 0), min(top + rows, height)
        part = fill_transparent_colour(image[first : min(bottom + _FILL_MARGIN, height), 0:width])
        target[top:bottom, 0:width] = part[top - first : bottom - first]
    return target


def fill_transparent_colour(bgra: Array) -> Array:
    """투명한 곳의 색을 채운다. 완전히 투명한 픽셀은 가장 가까운 보이는 픽셀의 색을 받는다.

    투명한 곳의 색은 보통 검정이나 흰색이라, 그대로 키우면 그 색이 가장자리로 새어 테두리(fringe)가 된다.
    알파 값과 보이는 픽셀의 색은 바뀌지 않는다.

    Args:
        bgra: `(H, W, 4)`, uint8 또는 uint16, 곱하지 않은(straight) 알파. 아니면 `ValueError`를 낸다.

    Returns:
        같은 모양과 자료형의 배열. 투명한 픽셀이 하나도 없거나 모두 투명하면 받은 배열 그대로다.
    """
    if bgra.ndim != 3 or bgra.shape[2] != 4 or bgra.dtype not in (np.uint8, np.uint16):
        raise ValueError(f"uint8 또는 uint16의 (H, W, 4) 배열이 필요합니다: {bgra.shape} {bgra.dtype}")
    hidden = (bgra[..., 3] == 0).astype(np.uint8)
    if not hidden.any() or hidden.all():
        return bgra
    cv2 = import_cv2()
    # 거리 변환(distance transform)은 0인 픽셀(보이는 픽셀)마다 번호를 주고, 나머지에는 가장 가까운 것의 번호를 준다.
    _, labels = cv2.distanceTransformWithLabels(hidden, cv2.DIST_L2, 5, labelType=cv2.DIST_LABEL_PIXEL)
    # 픽셀 하나를 정수 하나로 보면 색을 옮기는 일이 몇 배 빨라진다. 함께 옮겨진 알파는 끝에 0으로 되돌린다.
    result = np.ascontiguousarray(bgra).copy()
    packed = result.view(np.uint32 if bgra.dtype == np.uint8 else np.uint64)[..., 0]
    visible, transparent = hidden == 0, hidden != 0
    colours = np.zeros(int(labels.max()) + 1, packed.dtype)
    colours[labels[visible]] = packed[visible]
    packed[transparent] = colours[labels[transparent]]
    result[transparent, 3] = 0
    return result
