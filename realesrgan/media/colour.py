"""색 프로파일(ICC)을 살피고 Pillow 그림을 회색, RGB, RGBA로 바꾸는 함수들."""

from __future__ import annotations

import io
import logging
from collections.abc import Callable
from functools import lru_cache
from typing import Any

import numpy as np
from PIL import Image, ImageCms

from realesrgan.media.picture import Array

logger = logging.getLogger(__name__)

_ICC_SPACES = {"L": b"GRAY", "RGB": b"RGB ", "CMYK": b"CMYK", "LAB": b"Lab "}
_STANDARD = {
    "1": "L",
    "L": "L",
    "LA": "LA",
    "La": "LA",
    "RGB": "RGB",
    "RGBX": "RGB",
    "RGBA": "RGBA",
    "RGBa": "RGBA",
    "PA": "RGBA",
    "YCbCr": "RGB",
    "HSV": "RGB",
}


def icc_space(icc: bytes | None) -> bytes:
    """ICC 프로파일이 다루는 색 공간의 네 글자 이름(ICC.1:2022 7.2.6절). 없거나 망가졌으면 빈 바이트."""
    if not icc or len(icc) < 132 or icc[36:40] != b"acsp":
        return b""
    return icc[16:20]


def matching_icc(icc: bytes | None, mode: str) -> bytes | None:
    """그림의 종류(`L`, `RGB`, `CMYK`, `LAB`)와 맞는 프로파일이면 그대로, 아니면 None.

    회색 그림에 RGB 프로파일이(또는 거꾸로) 붙으면 뷰어마다 다르게 보이므로 나르지 않는다.
    """
    return icc if icc_space(icc) == _ICC_SPACES.get(mode, b"-") else None


@lru_cache(maxsize=1)
def srgb_icc() -> bytes:
    """표준 sRGB 프로파일. 만든 시각을 고정해 같은 입력이 언제나 같은 파일이 되게 한다."""
    profile = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    profile[24:36] = bytes.fromhex("07d0 0001 0001 0000 0000 0000")
    return bytes(profile)


def srgb_converter(icc: bytes, mode: str) -> Callable[[Image.Image], Image.Image]:
    """`mode`의 Pillow 그림을 프로파일을 거쳐 sRGB로 바꾸는 함수를 만든다.

    Raises:
        ImageCms.PyCMSError: 프로파일을 쓸 수 없을 때.
    """
    try:
        source = ImageCms.ImageCmsProfile(io.BytesIO(icc))
    except OSError as error:
        raise ImageCms.PyCMSError(str(error)) from error
    target = ImageCms.createProfile("sRGB")
    transform = ImageCms.buildTransform(source, target, mode, "RGB")

    return transform.apply


def standard_image(image: Image.Image) -> tuple[Image.Image, bytes | None, tuple[str, ...]]:
    """Pillow 그림을 `L`, `LA`, `RGB`, `RGBA` 가운데 하나로 바꾼다.

    팔레트(palette)는 펴고, CMYK와 LAB는 프로파일을 거쳐 sRGB로 옮긴다.

    Returns:
        `(그림, 결과와 맞는 ICC 또는 None, 알릴 문장들)`.

    Raises:
        ValueError: 담을 수 없는 종류(실수, 32비트 정수)일 때. 메시지는 한국어 이유다.
    """
    icc = image.info.get("icc_profile") or None
    if image.mode == "CMYK":
        return _from_cmyk(image, icc)
    if image.mode == "LAB":
        lab = ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB")).tobytes()
        return srgb_converter(lab, "LAB")(image), srgb_icc(), ("LAB 색을 sRGB로 바꾸어 읽었습니다.",)
    if image.mode == "P":
        target = "RGBA" if image.has_transparency_data else "RGB"
    else:
        target = _STANDARD.get(image.mode, "")
    if not target:
        raise ValueError(f"채널이 실수이거나 32비트 정수인 그림({image.mode})은 8비트나 16비트로 옮길 수 없습니다.")
    if "transparency" in image.info and target in ("L", "RGB"):
        target = {"L": "LA", "RGB": "RGBA"}[target]
    converted = image if image.mode == target else image.convert(target)
    return converted, matching_icc(icc, "L" if target in ("L", "LA") else "RGB"), ()


def _from_cmyk(image: Image.Image, icc: bytes | None) -> tuple[Image.Image, bytes | None, tuple[str, ...]]:
    """CMYK를 sRGB로 바꾼다. 프로파일이 없거나 못 쓰면 단순한 보색 계산을 쓴다."""
    usable = matching_icc(icc, "CMYK")
    if usable:
        try:
            return (
                srgb_converter(usable, "CMYK")(image),
                srgb_icc(),
                ("CMYK를 색 프로파일을 거쳐 sRGB로 바꾸어 읽었습니다.",),
            )
        except ImageCms.PyCMSError as error:
            logger.debug("CMYK 프로파일을 쓸 수 없다: %s", error)
    return (
        image.convert("RGB"),
        None,
        ("색 프로파일이 없는 CMYK를 RGB로 바꾸어 읽었습니다. 색이 조금 다를 수 있습니다.",),
    )


def to_array(image: Image.Image) -> Array:
    """`L`, `LA`, `RGB`, `RGBA` 그림을 `(H, W)`, BGRA, BGR, BGRA 배열로 바꾼다. 회색+알파는 BGRA로 편다."""
    pixels: Array = np.asarray(image)
    if image.mode == "L":
        return pixels.copy()
    if image.mode == "LA":
        return np.ascontiguousarray(pixels[..., [0, 0, 0, 1]])
    order = [2, 1, 0] if image.mode == "RGB" else [2, 1, 0, 3]
    return np.ascontiguousarray(pixels[..., order])


def from_array(array: Array) -> Image.Image:
    """`(H, W)`, BGR, BGRA의 uint8 배열을 `L`, `RGB`, `RGBA` Pillow 그림으로 바꾼다."""
    contiguous: Any = np.ascontiguousarray(array)
    height, width = array.shape[:2]
    if array.ndim == 2:
        return Image.frombuffer("L", (width, height), contiguous, "raw", "L", 0, 1)
    mode, raw = ("RGB", "BGR") if array.shape[2] == 3 else ("RGBA", "BGRA")
    return Image.frombuffer(mode, (width, height), contiguous, "raw", raw, 0, 1)
