"""Pillow의 형식별 해독기(plugin)를 직접 여는 곳.

`Image.open`을 쓰지 않는 까닭은 두 가지다. 모르는 형식의 해독기까지 불려 나오지 않게 하고,
Pillow의 전역 한도(`MAX_IMAGE_PIXELS`)를 건드리지 않으면서 우리의 한도만 쓰기 위해서다.
"""

from __future__ import annotations

from typing import Any, BinaryIO

from PIL import Image

from realesrgan.media.formats import heif_available


class UnsupportedPluginError(ValueError):
    """설치된 Pillow가 이 형식을 풀지 못한다. 메시지는 한국어 이유다."""


def open_plugin(name: str, file: BinaryIO) -> Image.Image:
    """형식 이름에 맞는 해독기로 파일을 연다. 픽셀은 아직 풀지 않는다.

    Args:
        name: `'PNG'` 같은 형식 이름.
        file: 처음으로 되감긴 이진 파일.

    Raises:
        UnsupportedPluginError: 설치된 Pillow가 그 형식을 다루지 못할 때.
        Exception: 파일이 망가져 있을 때 해독기가 내는 여러 가지 예외.
    """
    file.seek(0)
    if name == "HEIF":
        return open_heif(file)
    return _plugin_class(name)(file)


def _plugin_class(name: str) -> Any:
    if name == "PNG":
        from PIL.PngImagePlugin import PngImageFile as Plugin
    elif name == "JPEG":
        from PIL.JpegImagePlugin import JpegImageFile as Plugin  # type: ignore[assignment]
    elif name == "GIF":
        from PIL.GifImagePlugin import GifImageFile as Plugin  # type: ignore[assignment]
    elif name == "BMP":
        from PIL.BmpImagePlugin import BmpImageFile as Plugin  # type: ignore[assignment]
    elif name == "TIFF":
        from PIL.TiffImagePlugin import TiffImageFile as Plugin  # type: ignore[assignment]
    else:
        return _optional_plugin(name)
    return Plugin


def _optional_plugin(name: str) -> Any:
    """Pillow를 만든 방법에 따라 빠져 있을 수 있는 형식."""
    from PIL import features

    if not features.check(name.lower()):
        raise UnsupportedPluginError(
            f"설치된 Pillow가 {name} 형식을 지원하지 않습니다. pip install -U pillow 를 해 보세요."
        )
    if name == "WEBP":
        from PIL.WebPImagePlugin import WebPImageFile

        return WebPImageFile
    from PIL.AvifImagePlugin import AvifImageFile

    return AvifImageFile


def open_heif(file: BinaryIO) -> Image.Image:
    """HEIC의 대표 그림을 연다. 회전 표시는 해독기가 이미 적용한다.

    Raises:
        UnsupportedPluginError: `pillow_heif`가 없을 때.
    """
    return heif_module().open_heif(file).to_pillow()


def heif_module() -> Any:
    """`pillow_heif`를 늦게 불러온다.

    Raises:
        UnsupportedPluginError: 설치되어 있지 않을 때.
    """
    if not heif_available():
        raise UnsupportedPluginError("HEIC를 다루려면 추가 꾸러미가 필요합니다. pip install pillow-heif 를 실행하세요.")
    import pillow_heif

    return pillow_heif
