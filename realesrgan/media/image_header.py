"""픽셀을 풀지 않고 그림의 머리(header)를 읽는다."""

from __future__ import annotations

from dataclasses import dataclass
from typing import BinaryIO

from realesrgan.media.container import (
    DamagedError,
    GifHeader,
    PngHeader,
    avif_is_grey,
    check_boxes,
    check_riff,
    read_gif_header,
    read_png_header,
    sniff_format,
)
from realesrgan.media.exif import exif_orientation
from realesrgan.media.metadata import exif_of_info
from realesrgan.media.orientation import oriented_size
from realesrgan.media.picture import ImageInfo, Mode
from realesrgan.media.plugins import heif_module, open_plugin
from realesrgan.media.tiff_reader import TiffLayout, read_tiff_layout

_HEAD_BYTES = 64


class NotAnImageError(ValueError):
    """내용이 아는 그림 형식이 아니다."""


@dataclass(frozen=True)
class Header:
    """머리에서 읽은 것. `detail`은 형식마다의 자세한 머리, `orientation`은 아직 적용하지 않은 방향이다."""

    info: ImageInfo
    orientation: int = 1
    detail: PngHeader | GifHeader | TiffLayout | None = None


def read_header(file: BinaryIO) -> Header:
    """열린 파일의 머리를 읽는다.

    Raises:
        NotAnImageError: 비었거나 그림이 아닐 때.
        TruncatedError, DamagedError: 잘렸거나 망가졌을 때.
        Exception: Pillow의 해독기가 내는 여러 가지 예외.
    """
    file.seek(0)
    head = file.read(_HEAD_BYTES)
    if not head:
        raise NotAnImageError("빈 파일입니다(0바이트).")
    name = sniff_format(head)
    if name is None:
        raise NotAnImageError("그림 파일이 아닙니다. 확장자와 달리 내용이 지원하는 그림 형식이 아닙니다.")
    if name == "PNG":
        return _png_header(file)
    if name == "GIF":
        return _gif_header(file)
    if name == "TIFF":
        layout = read_tiff_layout(file)
        width, height = oriented_size(layout.width, layout.height, layout.orientation)
        info = ImageInfo(width, height, "TIFF", layout.pages, layout.mode, 16 if layout.deep else 8)
        return Header(info, layout.orientation, layout)
    if name in ("AVIF", "HEIF"):
        check_boxes(file)
    elif name == "WEBP":
        check_riff(file)
    return _heif_header(file) if name == "HEIF" else _plugin_header(file, name)


def _png_header(file: BinaryIO) -> Header:
    png = read_png_header(file)
    orientation = exif_orientation(png.exif)
    width, height = oriented_size(png.width, png.height, orientation)
    alpha = png.colour_type in (4, 6) or png.transparency is not None
    mode: Mode = "RGBA" if alpha else "L" if png.colour_type == 0 else "RGB"
    depth = 16 if png.bit_depth == 16 and png.frames == 1 else 8
    return Header(ImageInfo(width, height, "PNG", png.frames, mode, depth), orientation, png)


def _gif_header(file: BinaryIO) -> Header:
    """GIF의 블록을 훑는다. 팔레트가 회색인 정지 그림은 회색으로 본다."""
    gif = read_gif_header(file)
    mode: Mode = "RGBA" if gif.transparent else "RGB"
    if gif.frames == 1 and not gif.transparent and open_plugin("GIF", file).mode == "L":
        mode = "L"
    return Header(ImageInfo(gif.width, gif.height, "GIF", gif.frames, mode, 8), 1, gif)


def _plugin_header(file: BinaryIO, name: str) -> Header:
    """JPEG, WebP, BMP, AVIF는 Pillow의 해독기가 머리만 읽게 한다."""
    image = open_plugin(name, file)
    orientation = exif_orientation(exif_of_info(image.info))
    width, height = oriented_size(*image.size, orientation)
    if width < 1 or height < 1:
        raise DamagedError
    grey = image.mode in ("1", "L") or (name == "AVIF" and _is_grey_avif(file))
    mode: Mode = "RGBA" if image.has_transparency_data else "L" if grey else "RGB"
    return Header(ImageInfo(width, height, name, getattr(image, "n_frames", 1), mode, 8), orientation)


def _is_grey_avif(file: BinaryIO) -> bool:
    """AVIF가 밝기만 담았는가. 옛 Pillow는 회색 AVIF도 RGB로 풀므로 머리에서 알아낸다."""
    file.seek(0)
    return avif_is_grey(file.read(1 << 16))


def _heif_header(file: BinaryIO) -> Header:
    """HEIC는 대표 그림만 본다. 회전은 해독기가 적용하므로 EXIF의 방향은 쓰지 않는다."""
    file.seek(0)
    heif = heif_module().open_heif(file)
    alpha = heif.mode in ("RGBA", "RGBa", "LA", "La")
    mode: Mode = "RGBA" if alpha else "L" if heif.mode == "L" else "RGB"
    return Header(ImageInfo(heif.size[0], heif.size[1], "HEIF", 1, mode, 8))
