"""이미지 파일을 읽는다. 파일이 들어오고 `Picture`가 나간다.

JPEG와 BMP는 Pillow가 그대로 푼다. 나머지 형식은 `formats`의 표가 말하는 모듈이 머리를 읽고 푸는데, 쓸 때에야 불러온다.
"""

from __future__ import annotations

import io
from importlib import import_module
from os import PathLike
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from PIL import Image

from realesrgan.errors import ImageReadError, ImageTooLargeError
from realesrgan.media.formats import DEFAULT_MAX_OUTPUT_PIXELS, MODULES, sniff_format
from realesrgan.media.picture import (
    INFO_NAMES,
    Array,
    DamagedError,
    Frame,
    Header,
    ImageInfo,
    Metadata,
    MissingDecoderError,
    Mode,
    Picture,
    UnreadableError,
    UnsupportedError,
    apply_orientation,
)
from realesrgan.util.files import os_reason
from realesrgan.util.numbers import scaled_size

StrPath = str | PathLike[str]

_HEAD_BYTES = 64
# 여기서 읽지 못하는 이미지 형식의 앞머리. 확장자가 없는 파일이 이미지인지 볼 때만 쓴다.
_OTHER_SIGNATURES = (
    *(b"\xff\x0a", b"\0\0\0\x0cJXL \r\n\x87\n", b"\0\0\0\x0cjP  \r\n\x87\n", b"\xff\x4f\xff\x51"),  # JPEG XL, 2000
    *(b"8BPS\0", b"gimp xcf", b"\0\0\x01\0", b"DDS ", b"qoif", b"v/1\x01", b"#?RADIANCE", b"#?RGBE"),
    *(b"II\xbc\x01", b"FLIF", b"BPG\xfb", b"FUJIFILMCCD-RAW", b"IIRO", b"IIU\0"),
    *(b"P%d%c" % (kind, space) for kind in range(1, 8) for space in b"\n\r \t"),
)
_DECODERS = {
    "PNG": "PngImagePlugin.PngImageFile",
    "JPEG": "JpegImagePlugin.JpegImageFile",
    "GIF": "GifImagePlugin.GifImageFile",
    "BMP": "BmpImagePlugin.BmpImageFile",
    "TIFF": "TiffImagePlugin.TiffImageFile",
    "WEBP": "WebPImagePlugin.WebPImageFile",
    "AVIF": "AvifImagePlugin.AvifImageFile",
}
_STANDARD_MODES = {
    **{"1": "L", "L": "L", "LA": "LA", "La": "LA"},
    **{"RGB": "RGB", "RGBX": "RGB", "YCbCr": "RGB", "HSV": "RGB"},
    **{"RGBA": "RGBA", "RGBa": "RGBA", "PA": "RGBA"},
}


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
            return read_header(file).info
    except Exception as error:
        raise _unreadable(path, error) from error


def read_image(
    path: StrPath, *, outscale: float = 1.0, max_output_pixels: int | None = DEFAULT_MAX_OUTPUT_PIXELS
) -> Picture:
    """이미지를 읽는다.

    EXIF 방향을 적용하고, 비트 깊이는 자료형으로 나타내며(16비트는 uint16), 회색은 회색으로 두고 팔레트는 편다.
    CMYK와 LAB는 색 프로파일(ICC)을 거쳐 sRGB로 옮긴다. 애니메이션은 모든 프레임을 한 번 확인한 뒤
    한 장씩 푸는 `frames`로 돌려준다.

    Args:
        path: 이미지 파일. 형식은 확장자가 아니라 내용으로 알아낸다.
        outscale: 키울 배율. 픽셀 한도를 결과의 크기로 재기 위한 것이며 여기서 키우지는 않는다. 줄이는 배율이어도
            푸는 메모리는 입력만큼 들므로 1배로 본다.
        max_output_pixels: 결과 픽셀 수(모든 프레임의 합)의 한도. None이면 재지 않는다.

    Raises:
        ImageTooLargeError: 결과가 한도를 넘을 때. 픽셀을 풀기 전에 머리만 보고 판단한다.
        ImageReadError: 없음, 권한 없음, 빈 파일, 잘림, 이미지가 아님, 지원하지 않는 종류.
    """
    path = Path(path)
    try:
        with path.open("rb") as file:
            header = read_header(file)
            info = header.info
            if max_output_pixels is not None:
                size = scaled_size(info.width, info.height, max(outscale, 1.0))
                if size[0] * size[1] * info.frames > max_output_pixels:
                    raise _too_large(path, info, size, max_output_pixels)
            file.seek(0)
            data = file.read()
        if module := MODULES[info.format]:
            picture: Picture = import_module(f"realesrgan.media.{module}").decode(data, header)
            return picture
        return decode_still(open_image(info.format, io.BytesIO(data)), header)
    except ImageTooLargeError:
        raise
    except Exception as error:
        raise _unreadable(path, error) from error


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
    return name is not None or head.startswith(_OTHER_SIGNATURES) or b"<svg" in head.lower()


def _unreadable(path: Path, error: Exception) -> ImageReadError:
    """읽다가 난 예외를, 이유와 해결을 담은 `ImageReadError`로."""
    # 망가진 파일에서 디코더는 SyntaxError, struct.error, cv2.error 등 온갖 예외를 낸다.
    damaged = error if isinstance(error, UnreadableError) else UnreadableError()
    why, remedy = damaged.why, damaged.remedy
    if isinstance(error, OSError) and error.errno is not None:
        folder = "파일이 아니라 폴더입니다.", "파일 이름까지 적어 주세요."
        why, remedy = folder if path.is_dir() else os_reason(error)
    elif isinstance(error, OSError):
        # Pillow는 잘린 자료를 errno가 없는 OSError로 알린다.
        why = "파일이 잘렸거나 망가져 있습니다."
    elif isinstance(error, Image.DecompressionBombError):
        why = "Pillow가 이 형식에서 풀 수 있는 크기를 넘습니다."
        remedy = "압축하지 않은 TIFF나 PNG, JPEG로 바꾸어 저장한 뒤 다시 하세요."
    elif isinstance(error, MemoryError):
        why, remedy = "이미지를 풀 메모리가 모자랍니다.", "다른 프로그램을 닫거나 더 작은 이미지를 쓰세요."
    return ImageReadError(f"이미지를 읽지 못했습니다: {path}\n  이유: {why}\n  해결: {remedy}")


def _too_large(path: Path, info: ImageInfo, size: tuple[int, int], limit: int) -> ImageTooLargeError:
    """결과의 크기 `(너비, 높이)`가 픽셀 수의 한도를 넘는다는 오류."""
    total = size[0] * size[1] * info.frames
    frames = f" x {info.frames:,}프레임" if info.frames > 1 else ""
    return ImageTooLargeError(
        f"이미지가 너무 큽니다: {path}\n"
        f"  이유: 입력 {info.width:,}x{info.height:,}의 결과가 {size[0]:,}x{size[1]:,}{frames} = {total:,}픽셀로, "
        f"한도 {limit:,}픽셀을 넘습니다.\n"
        f"  해결: 믿을 수 있는 파일이면 --max_pixels {total} 이상을 주거나 --outscale을 줄이세요."
    )


def read_header(file: BinaryIO) -> Header:
    """열린 파일의 머리를 읽는다.

    Raises:
        UnreadableError: 비었거나 이미지가 아니거나, 잘렸거나 망가졌을 때.
        Exception: Pillow의 디코더가 내는 여러 가지 예외.
    """
    file.seek(0)
    head = file.read(_HEAD_BYTES)
    name = sniff_format(head)
    if name is None:
        unknown = "이미지 파일이 아닙니다. 확장자와 달리 내용이 지원하는 이미지 형식이 아닙니다."
        raise UnreadableError(
            unknown if head else "빈 파일입니다(0바이트).", "PNG, JPEG, WebP 같은 이미지 파일을 주세요."
        )
    if module := MODULES[name]:
        header: Header = import_module(f"realesrgan.media.{module}").read_header(file)
        return header
    return pillow_header(file, name)


def pillow_header(file: BinaryIO, name: str) -> Header:
    """Pillow의 디코더가 머리만 읽게 한다. 픽셀은 풀지 않는다."""
    image = open_image(name, file)
    orientation = 1
    if exif := image.info.get("exif"):
        from realesrgan.media.metadata import exif_orientation

        orientation = exif_orientation(exif)
    width, height = image.size[::-1] if orientation >= 5 else image.size
    if width < 1 or height < 1:
        raise DamagedError
    mode: Mode = "RGBA" if image.has_transparency_data else "L" if image.mode in ("1", "L") else "RGB"
    return Header(ImageInfo(width, height, name, getattr(image, "n_frames", 1), mode, 8), orientation)


def open_image(name: str, file: BinaryIO) -> Image.Image:
    """형식 이름에 맞는 Pillow의 디코더로 파일을 연다. 픽셀은 아직 풀지 않는다.

    `Image.open`을 쓰지 않는 까닭은 두 가지다. 모르는 형식의 디코더까지 불려 나오지 않게 하고,
    Pillow의 전역 한도(`MAX_IMAGE_PIXELS`)를 건드리지 않으면서 우리의 한도만 쓰기 위해서다.

    Args:
        name: `'PNG'` 같은 형식 이름.
        file: 이진 파일. 처음으로 되감는다.

    Raises:
        MissingDecoderError: 설치된 Pillow가 그 형식을 다루지 못할 때.
        Exception: 파일이 망가져 있을 때 디코더가 내는 여러 가지 예외.
    """
    file.seek(0)
    if name in ("WEBP", "AVIF"):
        # 이 둘은 Pillow를 만든 방법에 따라 빠져 있을 수 있다.
        from PIL import features

        if not features.check(name.lower()):
            remedy = f"설치된 Pillow가 {name} 형식을 지원하지 않습니다. pip install -U pillow 를 해 보세요."
            raise MissingDecoderError(remedy)
    module, _, decoder = _DECODERS[name].partition(".")
    image: Image.Image = getattr(import_module(f"PIL.{module}"), decoder)(file)
    return image


def decode_still(image: Image.Image, header: Header, **known: Any) -> Picture:
    """Pillow가 온전히 푸는 8비트 이미지를 `Picture`로 만든다.

    Args:
        image: 머리만 읽은 이미지.
        header: 그 머리. `orientation`을 픽셀에 적용한다.
        known: Pillow의 `info`보다 앞서는 메타데이터(`exif`, `xmp`, `dpi`).

    Raises:
        UnsupportedError: 8비트로 옮길 수 없는 종류일 때.
        Exception: 디코더가 내는 여러 가지 예외.
    """
    image.load()
    array, gray_alpha, icc, notes = to_array(image)
    if header.info.mode == "L" and array.ndim == 3 and not gray_alpha:
        # 머리에서는 회색이라 했다. 옛 Pillow는 회색 AVIF도 RGB로 푼다.
        array, icc = np.ascontiguousarray(array[..., 1]), None
    info: dict[Any, Any] = {**image.info, **known}
    metadata, more = Metadata(icc), tuple[str, ...]()
    if info.keys() & INFO_NAMES:
        from realesrgan.media.metadata import collect_metadata

        metadata, more = collect_metadata(info, icc)
    return Picture(
        frames=(Frame(array if header.orientation == 1 else apply_orientation(array, header.orientation)),),
        metadata=metadata,
        format=header.info.format,
        gray_alpha=gray_alpha,
        notes=(*notes, *more),
    )


def to_array(image: Image.Image) -> tuple[Array, bool, bytes | None, tuple[str, ...]]:
    """Pillow 이미지를 회색, BGR, BGRA 배열로 바꾼다.

    팔레트(palette)는 펴고, 회색+알파는 BGRA로 펴며, CMYK와 LAB는 프로파일을 거쳐 sRGB로 옮긴다.

    Returns:
        `(배열, 회색+알파였는가, 결과와 맞는 ICC 또는 None, 알릴 문장들)`.

    Raises:
        UnsupportedError: 담을 수 없는 종류(실수, 32비트 정수)일 때.
    """
    icc = image.info.get("icc_profile") or None
    if image.mode in ("CMYK", "LAB"):
        converted, icc, notes = _through_profile(image, icc)
        return np.ascontiguousarray(np.asarray(converted)[..., ::-1]), False, icc, notes
    if image.mode == "P":
        target = "RGBA" if image.has_transparency_data else "RGB"
    else:
        target = _STANDARD_MODES.get(image.mode, "")
    if not target:
        raise UnsupportedError(
            f"채널이 실수이거나 32비트 정수인 이미지({image.mode})는 8비트나 16비트로 옮길 수 없습니다."
        )
    if "transparency" in image.info and target in ("L", "RGB"):
        target = {"L": "LA", "RGB": "RGBA"}[target]
    pixels: Array = np.asarray(image if image.mode == target else image.convert(target))
    if icc:
        from realesrgan.media.metadata import matching_icc

        icc = matching_icc(icc, "L" if target in ("L", "LA") else "RGB")
    if target == "L":
        return pixels.copy(), False, icc, ()
    order = {"LA": [0, 0, 0, 1], "RGB": [2, 1, 0], "RGBA": [2, 1, 0, 3]}[target]
    return np.ascontiguousarray(pixels[..., order]), target == "LA", icc, ()


def _through_profile(image: Image.Image, icc: bytes | None) -> tuple[Image.Image, bytes | None, tuple[str, ...]]:
    """CMYK와 LAB를 sRGB로 바꾼다. 프로파일이 없거나 못 쓰는 CMYK는 단순한 보색 계산을 쓴다."""
    from realesrgan.media.metadata import matching_icc, srgb_converter, srgb_icc

    profile = matching_icc(icc, "CMYK") if icc else None
    converter = srgb_converter(profile, image.mode) if profile or image.mode == "LAB" else None
    if converter is None:
        note = "색 프로파일이 없는 CMYK를 RGB로 바꾸어 읽었습니다. 색이 조금 다를 수 있습니다."
        return image.convert("RGB"), None, (note,)
    how = "LAB 색을" if image.mode == "LAB" else "CMYK를 색 프로파일을 거쳐"
    return converter(image), srgb_icc(), (f"{how} sRGB로 바꾸어 읽었습니다.",)
