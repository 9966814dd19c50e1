"""이미지 형식의 표: 확장자, 파일이 시작하는 바이트, 담을 수 있는 것, 읽고 쓰는 모듈.

도움말이 바로 답하도록 numpy, Pillow, OpenCV를 불러오지 않는다.
"""

from __future__ import annotations

import re
import struct
from dataclasses import dataclass
from pathlib import PurePath
from typing import TYPE_CHECKING

from realesrgan.util.optional import is_installed

if TYPE_CHECKING:
    from realesrgan.media.picture import ImageInfo

# 파일 이름의 확장자로 보이는 것(`.pgn`, `.mp4`, `.docx`). 버전(`.v2`)이나 긴 낱말이 붙은 폴더의 이름은 아니다.
FILE_SUFFIX = re.compile(r"\.[a-z]{2}[a-z0-9]{1,2}")
DEFAULT_MAX_OUTPUT_PIXELS = 1_000_000_000
"""결과 픽셀 수의 기본 한도. 31,600 x 31,600쯤이며 `--max_pixels`로 바꾼다."""


_BASIC = frozenset(("icc", "exif", "xmp"))


@dataclass(frozen=True)
class ImageFormat:
    """파일 형식 하나가 담을 수 있는 것.

    Attributes:
        name: 형식 이름(`'PNG'`처럼 Pillow와 같다).
        extensions: 점이 붙은 소문자 확장자. 첫째가 대표다.
        module: 이 형식을 맡는 `media`의 모듈. `read_header`, `decode`, `write`를 가지며 쓸 때에야 불러온다.
        signatures: 파일이 시작하는 바이트들. 비어 있으면 `sniff_format`이 따로 가린다.
        alpha: 알파 채널(alpha channel)을 담는가.
        gray: 회색 한 채널로 담는가. 아니면 RGB로 펴서 쓴다.
        gray_alpha: 회색+알파 두 채널로 담는가.
        most_bits: 채널마다 담을 수 있는 가장 큰 비트 수.
        animation: 여러 프레임을 담는가.
        default_quality: 손실 압축의 기본 품질(1..100). 무손실 형식은 None.
        max_side: 가로와 세로의 한도(픽셀).
        carries: 담는 메타데이터(metadata)의 `picture.Metadata`에서의 이름들. `dpi` 없이 `exif`가 있으면 DPI를 EXIF에
            적는다. `text`가 아니라 `comment`면 열쇠말이 `Comment`인 글만 담는다.
        package: 이 형식을 다루는 데 더 필요한 패키지의 `(불러올 이름, 설치할 이름)`.
        writable: 쓸 수 있는가.
    """

    name: str
    extensions: tuple[str, ...]
    module: str = "pillow"
    signatures: tuple[bytes, ...] = ()
    alpha: bool = True
    gray: bool = True
    gray_alpha: bool = False
    most_bits: int = 8
    animation: bool = False
    default_quality: int | None = None
    max_side: int = 2**31 - 1
    carries: frozenset[str] = _BASIC
    package: tuple[str, str] | None = None
    writable: bool = True

    @property
    def sixteen_bit(self) -> bool:
        """채널마다 8비트가 넘게 담는가."""
        return self.most_bits > 8


def _read_only(name: str, extensions: tuple[str, ...], *signatures: bytes, module: str = "pillow") -> ImageFormat:
    """Pillow로 읽기만 하는 형식."""
    return ImageFormat(name, extensions, module, signatures, carries=frozenset(), writable=False)


# JPEG의 규격 한도는 65535지만 널리 쓰이는 libjpeg이 65500까지만 읽는다.
# AVIF는 libavif의 기본 디코딩 한도(16384 x 16384)를 넘으면 써도 다시 열 수 없다.
# JPEG XL의 플러그인은 ICC를 쓰지 않는다.
FORMATS: tuple[ImageFormat, ...] = (
    ImageFormat(
        "PNG",
        (".png", ".apng"),
        "png",
        (b"\x89PNG\r\n\x1a\n",),
        gray_alpha=True,
        most_bits=16,
        animation=True,
        carries=_BASIC | {"dpi", "cicp", "text"},
    ),
    ImageFormat(
        "JPEG",
        (".jpg", ".jpeg", ".jpe", ".jfif"),
        "jpeg",
        (b"\xff\xd8\xff",),
        alpha=False,
        default_quality=95,
        max_side=65500,
        carries=_BASIC | {"dpi", "iptc", "comment", "gain_map"},
    ),
    ImageFormat("WEBP", (".webp",), "webp", gray=False, animation=True, default_quality=95, max_side=16383),
    ImageFormat("BMP", (".bmp", ".dib"), signatures=(b"BM",), alpha=False, carries=frozenset(("dpi",))),
    ImageFormat(
        "TIFF",
        (".tif", ".tiff"),
        "tiff",
        (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"),
        gray_alpha=True,
        most_bits=16,
        carries=_BASIC | {"dpi", "iptc"},
    ),
    ImageFormat(
        "AVIF",
        (".avif",),
        "avif",
        most_bits=12,
        animation=True,
        default_quality=90,
        max_side=16384,
        carries=_BASIC | {"cicp"},
    ),
    ImageFormat(
        "GIF", (".gif",), "gif", (b"GIF87a", b"GIF89a"), animation=True, max_side=65535, carries=frozenset(("comment",))
    ),
    ImageFormat(
        "HEIF",
        (".heic", ".heif", ".hif"),
        "avif",
        most_bits=12,
        default_quality=90,
        max_side=16384,
        carries=_BASIC | {"cicp"},
        package=("pillow_heif", "pillow-heif"),
    ),
    ImageFormat(
        "JXL",
        (".jxl",),
        "boxes",
        signatures=(b"\xff\x0a", b"\0\0\0\x0cJXL \r\n\x87\n"),
        default_quality=95,
        carries=frozenset(("exif",)),
        package=("pillow_jxl", "pillow-jxl-plugin"),
    ),
    _read_only(
        "JPEG2000",
        (".jp2", ".j2k", ".jpf", ".jpx", ".j2c", ".jpc"),
        b"\0\0\0\x0cjP  \r\n\x87\n",
        b"\xff\x4f\xff\x51",
        module="boxes",
    ),
    _read_only(
        "PPM",
        (".ppm", ".pgm", ".pbm", ".pnm"),
        *(b"P%d%c" % (kind, space) for kind in range(1, 7) for space in b"\n\r \t"),
    ),
    _read_only("QOI", (".qoi",), b"qoif"),
    _read_only("DDS", (".dds",), b"DDS "),
    _read_only("PSD", (".psd",), b"8BPS\0\1"),
    _read_only("ICO", (".ico",), b"\0\0\1\0"),
    _read_only("PCX", (".pcx",), *(b"\x0a%c\x01" % version for version in (0, 2, 3, 4, 5))),
    _read_only("SGI", (".sgi",), b"\x01\xda"),
    _read_only("TGA", (".tga",)),
)

BY_NAME = {item.name: item for item in FORMATS}
_BY_EXTENSION = {extension: item for item in FORMATS for extension in item.extensions}

# 이미지인 줄은 알지만 여기서 다루지 않는 형식. 조용히 건너뛰지 않고 이름을 대기 위한 것이다.
_OTHER_EXTENSIONS = frozenset(
    (
        *(".jxr", ".wdp", ".bpg", ".flif", ".pam", ".pfm", ".ras", ".xbm", ".xpm"),
        *(".psb", ".xcf", ".kra", ".cur", ".icns", ".ktx"),
        *(".exr", ".hdr", ".svg", ".svgz", ".wmf", ".emf", ".jps", ".mpo", ".avifs", ".heics"),
        # 사진기의 원본(raw)
        *(".cr2", ".cr3", ".crw", ".nef", ".nrw", ".arw", ".srf", ".sr2", ".dng", ".orf", ".raf"),
        *(".rw2", ".pef", ".srw", ".x3f", ".erf", ".mrw", ".3fr", ".iiq", ".kdc", ".dcr", ".raw"),
    )
)
# 폴더에서 비디오로 볼 확장자(점 없음). 파일을 바로 주면 확장자와 상관없이 연다.
VIDEO_EXTENSIONS = frozenset(
    (
        *("3g2", "3gp", "asf", "avi", "dv", "f4v", "flv", "gxf", "m2ts", "m2v", "m4v", "mkv", "mov", "mp4", "mpeg"),
        *("mpg", "mts", "mxf", "nut", "ogm", "ogv", "qt", "rm", "rmvb", "ts", "vob", "webm", "wmv", "y4m"),
    )
)
_HEIF_BRANDS = {b"heic", b"heix", b"hevc", b"hevx", b"heim", b"heis", b"mif1", b"msf1"}


def sniff_format(head: bytes) -> str | None:
    """파일의 앞머리(64바이트쯤)로 형식의 이름을 알아낸다. 모르면 None."""
    for item in FORMATS:
        if head.startswith(item.signatures):
            return item.name
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return "WEBP"
    if head[4:8] != b"ftyp":
        return None
    # ISO BMFF는 상표(brand)로 가른다. 대표 상표가 두루뭉술하면(mif1) 함께 적힌 상표를 본다.
    size = min(struct.unpack_from(">I", head)[0], len(head))
    brands = {head[8:12], *(head[at : at + 4] for at in range(16, size - 3, 4))}
    if brands & {b"avif", b"avis"}:
        return "AVIF"
    return "HEIF" if brands & _HEIF_BRANDS else None


def format_of_name(name: str | PurePath) -> ImageFormat | None:
    """파일 이름의 확장자가 뜻하는 형식. 대소문자를 가리지 않으며 모르면 None."""
    return _BY_EXTENSION.get(PurePath(name).suffix.lower())


def is_image_name(name: str | PurePath) -> bool:
    """파일 이름이 읽을 만한 이미지의 확장자를 가졌는가.

    `.heic`는 `pillow_heif`가 없어도 참이다. 조용히 건너뛰지 않고 설치 방법을 알리기 위해서다.
    """
    return PurePath(name).suffix.lower() in _BY_EXTENSION


def is_known_picture_name(path: str | PurePath) -> bool:
    """파일 이름이 이미지의 확장자를 가졌는가. 여기서 읽거나 쓰지 못하는 형식(`.jxl`, `.psd`, `.cr2` 등)도 참이다."""
    suffix = PurePath(path).suffix.lower()
    return suffix in _BY_EXTENSION or suffix in _OTHER_EXTENSIONS


def is_writable_extension(extension: str) -> bool:
    """지금 쓸 수 있는 확장자(점 포함, 소문자)인가. HEIC와 JPEG XL은 그 패키지가 있을 때만 쓸 수 있다."""
    item = _BY_EXTENSION.get(extension)
    return item is not None and item.writable and (item.package is None or is_installed(item.package[0]))


def writable_extensions() -> tuple[str, ...]:
    """지금 쓸 수 있는 확장자 모두."""
    return tuple(filter(is_writable_extension, _BY_EXTENSION))


def animated_extensions() -> tuple[str, ...]:
    """애니메이션을 쓸 수 있는 형식의 대표 확장자."""
    return tuple(item.extensions[0] for item in FORMATS if item.animation)


def output_extension(own: str, info: ImageInfo | None, ext: str) -> str:
    """결과의 확장자(점 없음)를 정한다.

    `auto`는 입력의 확장자 `own`(점 있음)을 따르되 쓸 수 없는 형식이면 png로 한다. 알파가 있는 정지 이미지는 `auto`와
    `jpg`에서 png가 된다.
    """
    extension = (own.lstrip(".") if is_writable_extension(own) else "png") if ext == "auto" else ext
    chosen = format_of_name(f"x.{extension}")
    animated = info is not None and info.frames > 1
    transparent = info is not None and info.mode == "RGBA" and not animated
    if transparent and (ext == "auto" or chosen is None or chosen.name == "JPEG"):
        return "png"
    return extension
