"""그림 형식과 확장자의 표. 시작 시간을 위해 numpy, Pillow, OpenCV를 불러오지 않는다."""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass
from pathlib import PurePath

DEFAULT_MAX_OUTPUT_PIXELS = 1_000_000_000
"""결과 픽셀 수의 기본 한도. 31,600 x 31,600쯤이며 `--max_pixels`로 바꾼다."""


@dataclass(frozen=True)
class ImageFormat:
    """파일 형식 하나가 담을 수 있는 것.

    Attributes:
        name: 형식 이름(`'PNG'`처럼 Pillow와 같다).
        extensions: 점이 붙은 소문자 확장자. 첫째가 대표다.
        alpha: 알파 채널(alpha channel)을 담는가.
        gray: 회색 한 채널로 담는가. 아니면 RGB로 펴서 쓴다.
        gray_alpha: 회색+알파 두 채널로 담는가.
        sixteen_bit: 채널마다 16비트를 담는가.
        animation: 여러 프레임을 담는가.
        default_quality: 손실 압축의 기본 품질(1..100). 무손실 형식은 None.
        max_side: 가로와 세로의 한도(픽셀).
        icc, exif, xmp, dpi: 그 메타데이터(metadata)를 담는가. `dpi`가 거짓이어도 `exif`가 참이면 EXIF에 적어 나른다.
    """

    name: str
    extensions: tuple[str, ...]
    alpha: bool = True
    gray: bool = True
    gray_alpha: bool = False
    sixteen_bit: bool = False
    animation: bool = False
    default_quality: int | None = None
    max_side: int = 2**31 - 1
    icc: bool = True
    exif: bool = True
    xmp: bool = True
    dpi: bool = True

    @property
    def quality(self) -> bool:
        """품질 옵션이 뜻을 갖는가."""
        return self.default_quality is not None


# JPEG의 규격 한도는 65535지만 널리 쓰이는 libjpeg이 65500까지만 읽는다.
# AVIF는 libavif의 기본 해독 한도(16384 x 16384)를 넘으면 써도 다시 열 수 없다.
FORMATS: tuple[ImageFormat, ...] = (
    ImageFormat("PNG", (".png", ".apng"), gray_alpha=True, sixteen_bit=True, animation=True),
    ImageFormat("JPEG", (".jpg", ".jpeg", ".jpe", ".jfif"), alpha=False, default_quality=95, max_side=65500),
    ImageFormat("WEBP", (".webp",), gray=False, animation=True, default_quality=95, max_side=16383, dpi=False),
    ImageFormat("BMP", (".bmp", ".dib"), alpha=False, icc=False, exif=False, xmp=False),
    ImageFormat("TIFF", (".tif", ".tiff"), gray_alpha=True, sixteen_bit=True),
    ImageFormat("AVIF", (".avif",), animation=True, default_quality=90, max_side=16384, dpi=False),
    ImageFormat("GIF", (".gif",), animation=True, max_side=65535, icc=False, exif=False, xmp=False, dpi=False),
    ImageFormat("HEIF", (".heic", ".heif", ".hif"), default_quality=90, max_side=16384, dpi=False),
)

_BY_NAME = {item.name: item for item in FORMATS}
_BY_EXTENSION = {extension: item for item in FORMATS for extension in item.extensions}


def heif_available() -> bool:
    """HEIC를 다루는 `pillow_heif`가 설치되어 있는지 불러오지 않고 알아본다."""
    return importlib.util.find_spec("pillow_heif") is not None


def format_named(name: str) -> ImageFormat:
    """형식 이름(`'PNG'` 등)의 표를 돌려준다.

    Raises:
        KeyError: 모르는 이름일 때.
    """
    return _BY_NAME[name]


def format_of_name(name: str | PurePath) -> ImageFormat | None:
    """파일 이름의 확장자가 뜻하는 형식. 대소문자를 가리지 않으며 모르면 None."""
    return _BY_EXTENSION.get(PurePath(name).suffix.lower())


def is_image_name(name: str | PurePath) -> bool:
    """파일 이름이 읽을 만한 그림의 확장자를 가졌는가.

    `.heic`는 `pillow_heif`가 없어도 참이다. 조용히 건너뛰지 않고 설치 방법을 알리기 위해서다.
    """
    return format_of_name(name) is not None


def readable_extensions() -> tuple[str, ...]:
    """읽을 수 있는 확장자(점 포함, 소문자)."""
    return tuple(_BY_EXTENSION)


def writable_extensions() -> tuple[str, ...]:
    """지금 쓸 수 있는 확장자(점 포함, 소문자). HEIC는 `pillow_heif`가 있을 때만 들어간다."""
    with_heif = heif_available()
    return tuple(extension for extension, item in _BY_EXTENSION.items() if item.name != "HEIF" or with_heif)


def animated_extensions() -> tuple[str, ...]:
    """애니메이션을 쓸 수 있는 형식의 대표 확장자."""
    return tuple(item.extensions[0] for item in FORMATS if item.animation)
