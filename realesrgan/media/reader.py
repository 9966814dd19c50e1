"""이미지 파일을 읽는다. 파일이 들어오고 `Picture`가 나간다.

형식마다 `formats`의 표가 말하는 모듈이 머리를 읽고 푸는데, 쓸 때에야 불러온다. 픽셀은 libvips나 Pillow가 푼다.
"""

from __future__ import annotations

from importlib import import_module
from os import PathLike
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from realesrgan.errors import ImageTooLargeError
from realesrgan.media.formats import DEFAULT_MAX_OUTPUT_PIXELS, MODULES, format_of_name, sniff_format
from realesrgan.media.picture import (
    Array,
    Frame,
    Header,
    ImageInfo,
    Metadata,
    Picture,
    UnreadableError,
    UnsupportedError,
    apply_orientation,
    read_error,
)
from realesrgan.media.vips import LazyImage, load, to_array
from realesrgan.util.numbers import Outscale, scaled_size

StrPath = str | PathLike[str]

_HEAD_BYTES = 64
# 여기서 읽지 못하는 이미지 형식의 앞머리. 확장자가 없는 파일이 이미지인지 볼 때만 쓴다.
_OTHER_SIGNATURES = (
    *(b"\xff\x0a", b"\0\0\0\x0cJXL \r\n\x87\n", b"\0\0\0\x0cjP  \r\n\x87\n", b"\xff\x4f\xff\x51"),  # JPEG XL, 2000
    *(b"8BPS\0", b"gimp xcf", b"\0\0\x01\0", b"DDS ", b"qoif", b"v/1\x01", b"#?RADIANCE", b"#?RGBE"),
    *(b"II\xbc\x01", b"FLIF", b"BPG\xfb", b"FUJIFILMCCD-RAW", b"IIRO", b"IIU\0"),
    *(b"P%d%c" % (kind, space) for kind in range(1, 8) for space in b"\n\r \t"),
)


def probe_image(path: StrPath) -> ImageInfo:
    """이미지의 머리만 읽어 크기와 종류를 알아낸다.

    Args:
        path: 이미지 파일. 어떤 유니코드 이름이어도 된다.

    Raises:
        ImageReadError: 파일을 열 수 없거나 이미지가 아닐 때.
    """
    path = Path(path)
    try:
        with path.open("rb") as file:
            return read_header(file, path).info
    except Exception as error:
        raise read_error(path, error) from error


def read_image(
    path: StrPath,
    *,
    outscale: Outscale = 1.0,
    max_output_pixels: int | None = DEFAULT_MAX_OUTPUT_PIXELS,
    value_range: tuple[float, float] | None = None,
    lazy: bool = False,
) -> Picture:
    """이미지를 읽는다.

    EXIF 방향을 적용하고, 비트 깊이는 자료형으로 나타내며(16비트는 uint16), 회색은 회색으로 두고 팔레트는 편다.
    CMYK와 LAB는 색 프로파일(ICC)을 거쳐 sRGB로 옮긴다. 애니메이션은 모든 프레임을 한 번 확인한 뒤
    한 장씩 푸는 `frames`로 돌려준다.

    Args:
        path: 이미지 파일. 형식은 확장자가 아니라 내용으로 알아낸다.
        outscale: 키울 배율이나 크기. 픽셀 한도를 결과의 크기로 재기 위한 것이며 여기서 키우지는 않는다. 줄이는
            배율이어도 푸는 메모리는 입력만큼 들므로 1배로 본다.
        max_output_pixels: 결과 픽셀 수(모든 프레임의 합)의 한도. None이면 재지 않는다.
        value_range: 8비트나 16비트가 아닌 TIFF(실수, 부호 있는 정수, 32비트 정수)의 값을 옮길 범위 `(검정, 흰색)`.
            그 사이를 16비트로 고르게 옮기고 벗어난 값은 자른다. None이면 그런 파일은 읽지 않는다.
        lazy: 할 수 있는 형식이면 배열 대신 자른 곳만 읽는 RGB의 `vips.LazyImage`를 줄지.

    Raises:
        ImageTooLargeError: 결과가 한도를 넘을 때. 픽셀을 풀기 전에 머리만 보고 판단한다.
        ImageReadError: 없음, 권한 없음, 빈 파일, 잘림, 이미지가 아님, 지원하지 않는 종류.
    """
    path = Path(path)
    try:
        with path.open("rb") as file:
            header = read_header(file, path)
            info = header.info
            if max_output_pixels is not None:
                pages = [page.info for page in header.detail] if info.pages else [info] * info.frames
                sizes = [scaled_size(page.width, page.height, outscale, least=1) for page in pages]
                if (total := sum(width * height for width, height in sizes)) > max_output_pixels:
                    raise _too_large(path, info, sizes[0], total, max_output_pixels)
        module = import_module(f"realesrgan.media.{MODULES[info.format]}")
        extra = {"value_range": value_range} if info.format == "TIFF" else {}
        picture: Picture = module.decode(path, header, lazy=lazy, **extra)
        return picture
    except ImageTooLargeError:
        raise
    except Exception as error:
        raise read_error(path, error) from error


def looks_like_picture(path: StrPath) -> bool:
    """파일이 이미지처럼 시작하는가. 확장자가 없는 파일을 볼 때 쓰며 앞의 64바이트만 읽는다.

    여기서 읽지 못하는 형식도 앞머리를 알면 참이다. 보통 파일이 아니거나 열 수 없으면 거짓이다.
    """
    path = Path(path)
    try:
        if not path.is_file():
            return False
        with path.open("rb") as file:
            head = file.read(_HEAD_BYTES)
    except OSError:
        return False
    name = sniff_format(head)
    if name == "BMP":
        # 두 글자(BM)로 시작하는 글을 이미지로 보지 않도록, 언제나 0인 예약된 자리도 본다.
        return head[6:10] == bytes(4)
    return name is not None or _is_other_picture(head)


def _is_other_picture(head: bytes) -> bool:
    """앞머리가 여기서 읽지 못하는 이미지의 것인가."""
    return head.startswith(_OTHER_SIGNATURES) or b"<svg" in head.lower()


def _too_large(path: Path, info: ImageInfo, size: tuple[int, int], total: int, limit: int) -> ImageTooLargeError:
    """결과(첫 프레임의 크기 `(너비, 높이)`)가 픽셀 수의 한도를 넘는다는 오류."""
    frames = f" x {info.frames:,}{'쪽' if info.pages else '프레임'}" if info.frames > 1 else ""
    return ImageTooLargeError(
        f"이미지가 너무 큽니다: {path}\n"
        f"  이유: 입력 {info.width:,}x{info.height:,}의 결과가 {size[0]:,}x{size[1]:,}{frames} = {total:,}픽셀로, "
        f"한도 {limit:,}픽셀을 넘습니다.\n"
        f"  해결: 믿을 수 있는 파일이면 --max_pixels {total} 이상을 주거나 --outscale을 줄이세요."
    )


def read_header(file: BinaryIO, path: Path | None = None) -> Header:
    """열린 파일의 머리를 읽는다.

    Args:
        file: 되감을 수 있는 파일.
        path: 그 이름. 앞머리로 알 수 없는 형식(TGA)을 확장자로 알아볼 때 쓴다.

    Raises:
        UnreadableError: 비었거나 이미지가 아니거나, 잘렸거나 망가졌을 때.
        Exception: Pillow의 디코더가 내는 여러 가지 예외.
    """
    file.seek(0)
    head = file.read(_HEAD_BYTES)
    name = sniff_format(head)
    if name is None and head and path is not None and (named := format_of_name(path)) and not named.signatures:
        # WebP, AVIF, HEIC도 표에 앞머리가 없지만 `sniff_format`이 따로 가린다.
        name = named.name if named.module == "pillow" else None
    if name is None and _is_other_picture(head):
        raise UnsupportedError("멀쩡한 이미지일 수 있지만 여기서 읽지 못하는 형식입니다.")
    if name is None:
        unknown = "이미지 파일이 아닙니다. 확장자와 달리 내용이 지원하는 이미지 형식이 아닙니다."
        raise UnreadableError(
            unknown if head else "빈 파일입니다(0바이트).", "PNG, JPEG, WebP 같은 이미지 파일을 주세요."
        )
    header: Header = import_module(f"realesrgan.media.{MODULES[name]}").read_header(file)
    return header


def decode_still(loader: str, source: Path | bytes, header: Header, *, lazy: bool = False, **options: Any) -> Picture:
    """libvips가 푸는 정지 이미지를 `Picture`로 만든다. 회색, RGB, 알파가 아니면 Pillow에 맡긴다.

    Args:
        loader: libvips의 읽는 이(`pngload` 등).
        source: 파일.
        header: 그 머리. `detail`은 메타데이터(`metadata.collect_metadata`의 `info`)다.
        lazy: 배열 대신 `LazyImage`를 줄지.
        options: libvips에 줄 선택.

    Raises:
        UnreadableError: 풀 수 없을 때.
    """
    image = load(loader, source, **options)
    if image.interpretation in ("cmyk", "lab", "labs", "multiband") or image.bands > 4:
        from realesrgan.media import pillow

        return pillow.decode_with(source, header)
    return finish_still(image, header, source if isinstance(source, Path) else None, lazy=lazy)


def finish_still(image: Any, header: Header, source: Path | None = None, *, lazy: bool = False) -> Picture:
    """libvips의 회색, RGB(알파) 이미지에 방향을 적용하고 메타데이터를 붙인다. `source`는 오류에 적을 이름이다."""
    metadata, notes = Metadata(), tuple[str, ...]()
    if any(header.detail.values()):
        metadata, notes = still_metadata(header.detail, grey=image.bands <= 2)
    grey_alpha = image.bands == 2
    if lazy:
        wide = image[0].bandjoin([image[0], *image.bandsplit()]) if grey_alpha else image
        array: Any = LazyImage(_turned(wide, header.orientation), source)
    else:
        array = apply_orientation(bgr_array(image), header.orientation)
    return Picture((Frame(array, rgb=lazy),), 1, metadata, 0, header.info.format, grey_alpha, notes)


def still_metadata(info: dict[str, Any], *, grey: bool) -> tuple[Metadata, tuple[str, ...]]:
    """`info`를 다듬고, 색의 뜻을 적은 여러 방법 가운데 하나를 고른다. 프로파일이 없으면 번호와 감마로 만든다."""
    from realesrgan.media.colour import icc_of_numbers, icc_of_png, is_srgb, matching_icc
    from realesrgan.media.metadata import collect_metadata

    given = info.get("icc_profile")
    icc = matching_icc(given, "L" if grey else "RGB") if given else None
    if given and icc is None and not is_srgb(given):
        note = "색 프로파일(ICC)이 망가졌거나 픽셀의 종류와 맞지 않아 뺐습니다."
        info = {**info, "notes": [*info.get("notes", ()), note]}
    numbers = info.get("cicp")
    if icc is None and numbers:
        icc = icc_of_numbers(*numbers, grey=grey)
    elif icc is None and not info.get("srgb"):
        icc = icc_of_png(info.get("gama"), info.get("chrm"), grey=grey)
    return collect_metadata(info, icc)


def _turned(image: Any, orientation: int) -> Any:
    """`picture.apply_orientation`과 같은 일을 픽셀을 읽지 않고 libvips에 적어 둔다."""
    if orientation >= 5:
        image = image.rot90().fliphor()
    if orientation in (2, 3, 6, 7):
        image = image.fliphor()
    return image.flipver() if orientation in (3, 4, 7, 8) else image


def bgr_array(image: Any) -> Array:
    """libvips의 회색, 회색+알파, RGB(A) 이미지를 회색, BGR, BGRA 배열로."""
    array = to_array(image)
    if array.ndim == 2:
        return array.copy()
    if array.shape[2] == 3:
        return np.ascontiguousarray(array[..., ::-1])
    return np.ascontiguousarray(array[..., [2, 1, 0, 3] if array.shape[2] == 4 else [0, 0, 0, 1]])
