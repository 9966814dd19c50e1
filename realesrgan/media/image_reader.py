"""그림 파일을 읽는다. 파일이 들어오고 `Picture`가 나간다."""

from __future__ import annotations

import io
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from realesrgan.errors import ImageReadError, ImageTooLargeError
from realesrgan.media.animation import AnimationFrames, check_frames
from realesrgan.media.colour import matching_icc, standard_image, to_array
from realesrgan.media.container import DamagedError, PngHeader, TruncatedError, check_png
from realesrgan.media.formats import DEFAULT_MAX_OUTPUT_PIXELS
from realesrgan.media.image_header import Header, NotAnImageError, read_header
from realesrgan.media.metadata import build_metadata, exif_of_info, tiff_metadata, xmp_of_info
from realesrgan.media.orientation import apply_orientation
from realesrgan.media.picture import Array, Frame, ImageInfo, Mode, Picture
from realesrgan.media.plugins import UnsupportedPluginError, open_plugin
from realesrgan.media.tiff_reader import TiffLayout, decode_tiff
from realesrgan.util.files import os_reason
from realesrgan.util.optional import import_cv2

StrPath = str | PathLike[str]

_BROKEN_REMEDY = "다른 프로그램에서 열리는지 확인하고, 원본을 다시 받거나 복사하세요."


def probe_image(path: StrPath) -> ImageInfo:
    """그림의 머리만 읽어 크기와 종류를 알아낸다.

    Args:
        path: 그림 파일. 어떤 유니코드 이름이어도 된다.

    Raises:
        ImageReadError: 파일을 열 수 없거나 그림이 아닐 때.
    """
    path = Path(path)
    with _explained(path), path.open("rb") as file:
        return read_header(file).info


def read_image(
    path: StrPath, *, outscale: float = 1.0, max_output_pixels: int | None = DEFAULT_MAX_OUTPUT_PIXELS
) -> Picture:
    """그림을 읽는다.

    EXIF 방향을 적용하고, 비트 깊이는 자료형으로 나타내며(16비트는 uint16), 회색은 회색으로 두고 팔레트는 편다.
    CMYK와 LAB는 색 프로파일(ICC)을 거쳐 sRGB로 옮긴다. 애니메이션은 모든 프레임을 한 번 확인한 뒤
    한 장씩 푸는 `frames`로 돌려준다.

    Args:
        path: 그림 파일. 형식은 확장자가 아니라 내용으로 알아낸다.
        outscale: 키울 배율. 픽셀 한도를 결과의 크기로 재기 위한 것이며 여기서 키우지는 않는다.
        max_output_pixels: 결과 픽셀 수(모든 프레임의 합)의 한도. None이면 재지 않는다.

    Raises:
        ImageTooLargeError: 결과가 한도를 넘을 때. 픽셀을 풀기 전에 머리만 보고 판단한다.
        ImageReadError: 없음, 권한 없음, 빈 파일, 잘림, 그림이 아님, 지원하지 않는 종류.
    """
    path = Path(path)
    with _explained(path), path.open("rb") as file:
        header = read_header(file)
        _check_limit(path, header.info, outscale, max_output_pixels)
        _check_supported(header)
        file.seek(0)
        data = file.read()
        return _decode(data, header)


@contextmanager
def _explained(path: Path) -> Iterator[None]:
    """읽다가 나는 모든 예외를 이유와 해결을 담은 `ImageReadError`로 바꾼다."""
    try:
        yield
    except ImageReadError:
        raise
    except OSError as error:
        if error.errno is None:
            # Pillow는 잘린 자료를 errno가 없는 OSError로 알린다.
            raise _failure(path, "파일이 잘렸거나 망가져 있습니다.", _BROKEN_REMEDY) from error
        if path.is_dir():
            raise _failure(path, "파일이 아니라 폴더입니다.", "파일 이름까지 적어 주세요.") from error
        raise _failure(path, *os_reason(error)) from error
    except TruncatedError as error:
        raise _failure(path, "파일이 끝까지 있지 않습니다(잘림).", _BROKEN_REMEDY) from error
    except NotAnImageError as error:
        raise _failure(path, str(error), "PNG, JPEG, WebP 같은 그림 파일을 주세요.") from error
    except UnsupportedPluginError as error:
        raise _failure(path, "이 형식을 푸는 데 필요한 것이 없습니다.", str(error)) from error
    except _UnsupportedError as error:
        raise _failure(path, str(error), "PNG나 TIFF(8비트 또는 16비트)로 바꾸어 저장한 뒤 다시 하세요.") from error
    except Image.DecompressionBombError as error:
        remedy = "압축하지 않은 TIFF나 PNG, JPEG로 바꾸어 저장한 뒤 다시 하세요."
        raise _failure(path, "Pillow가 이 형식에서 풀 수 있는 크기를 넘습니다.", remedy) from error
    except MemoryError as error:
        raise _failure(
            path, "그림을 풀 메모리가 모자랍니다.", "다른 프로그램을 닫거나 더 작은 그림을 쓰세요."
        ) from error
    except Exception as error:
        # 망가진 파일에서 해독기는 SyntaxError, struct.error, cv2.error 등 온갖 예외를 낸다.
        raise _failure(path, "파일이 망가져 있어 풀 수 없습니다.", _BROKEN_REMEDY) from error


class _UnsupportedError(ValueError):
    """멀쩡하지만 담을 수 없는 종류의 그림. 메시지는 한국어 이유다."""


def _failure(path: Path, why: str, remedy: str) -> ImageReadError:
    return ImageReadError(f"그림을 읽지 못했습니다: {path}\n  이유: {why}\n  해결: {remedy}")


def _check_limit(path: Path, info: ImageInfo, outscale: float, limit: int | None) -> None:
    """결과의 픽셀 수를 한도와 견준다. 줄이는 배율이어도 푸는 메모리는 입력만큼 들므로 1배로 본다."""
    if limit is None:
        return
    scale = max(outscale, 1.0)
    width, height = int(info.width * scale), int(info.height * scale)
    total = width * height * info.frames
    if total <= limit:
        return
    frames = f" x {info.frames:,}프레임" if info.frames > 1 else ""
    raise ImageTooLargeError(
        f"그림이 너무 큽니다: {path}\n"
        f"  이유: 입력 {info.width:,}x{info.height:,}의 결과가 {width:,}x{height:,}{frames} = {total:,}픽셀로, "
        f"한도 {limit:,}픽셀을 넘습니다.\n"
        f"  해결: 믿을 수 있는 파일이면 --max_pixels {total} 이상을 주거나 --outscale을 줄이세요."
    )


def _check_supported(header: Header) -> None:
    """풀기 전에 알 수 있는, 지원하지 않는 종류를 거른다."""
    layout = header.detail
    if not isinstance(layout, TiffLayout):
        return
    if layout.pages > 1:
        raise _UnsupportedError(
            f"여러 쪽({layout.pages}쪽)이 든 TIFF는 지원하지 않습니다. 쪽마다 크기와 종류가 다를 수 있습니다."
        )
    if layout.sample_format != 1 or layout.bits > 16:
        kind = {2: "부호 있는 정수", 3: "실수"}.get(layout.sample_format, "정수")
        raise _UnsupportedError(
            f"{layout.bits}비트 {kind} TIFF는 8비트나 16비트로 옮기면 값이 바뀌므로 지원하지 않습니다."
        )


def _decode(data: bytes, header: Header) -> Picture:
    """파일 전체를 풀어 `Picture`를 만든다."""
    if header.info.format == "PNG":
        check_png(io.BytesIO(data))
    if header.info.frames > 1:
        return _decode_animation(data, header)
    if isinstance(header.detail, TiffLayout) and header.detail.direct:
        return _decode_tiff(data, header.detail)
    image = open_plugin(header.info.format, io.BytesIO(data))
    image.load()
    exif = _exif_bytes(image, header)
    if isinstance(header.detail, PngHeader) and (header.detail.bit_depth == 16 or _grey_key(header.detail) is not None):
        array, icc, grey_alpha = _decode_special_png(data, image, header.detail)
        notes: tuple[str, ...] = ()
    else:
        array, icc, grey_alpha, notes = _decode_plain(image, header.info.mode)
    orientation = 1 if header.info.format in ("TIFF", "HEIF") else header.orientation
    if isinstance(header.detail, TiffLayout):
        metadata, more = tiff_metadata(data, header.detail, icc)
    else:
        metadata, more = build_metadata(icc, exif, xmp_of_info(image.info), image.info.get("dpi"))
    return Picture(
        frames=(Frame(apply_orientation(array, orientation)),),
        metadata=metadata,
        format=header.info.format,
        gray_alpha=grey_alpha,
        notes=(*notes, *more, *_depth_notes(data, header.info.format)),
    )


def _exif_bytes(image: Image.Image, header: Header) -> bytes | None:
    """EXIF의 날것 바이트. PNG의 eXIf는 픽셀 뒤에 올 수 있어 훑어 둔 것을 먼저 쓴다."""
    if isinstance(header.detail, PngHeader) and header.detail.exif:
        return header.detail.exif
    return exif_of_info(image.info)


def _decode_plain(image: Image.Image, mode: Mode) -> tuple[Array, bytes | None, bool, tuple[str, ...]]:
    """Pillow가 온전히 푸는 8비트 그림. 머리에서 회색이라 했는데 RGB로 풀렸으면 회색으로 되돌린다."""
    try:
        converted, icc, notes = standard_image(image)
    except ValueError as error:
        raise _UnsupportedError(str(error)) from error
    if mode == "L" and converted.mode == "RGB":
        converted, icc = converted.getchannel("G"), None
    return to_array(converted), icc, converted.mode == "LA", notes


def _decode_tiff(data: bytes, layout: TiffLayout) -> Picture:
    """직접 푸는 TIFF. 방향까지 적용해 `Picture`로 만든다."""
    try:
        pixels = decode_tiff(data, layout)
    except (TruncatedError, DamagedError):
        raise
    except ValueError as error:
        raise _UnsupportedError(str(error)) from error
    grey = layout.photometric in (0, 1)
    metadata, notes = tiff_metadata(data, layout, matching_icc(layout.payload(34675), "L" if grey else "RGB"))
    array = apply_orientation(pixels, layout.orientation)
    return Picture((Frame(array),), metadata=metadata, format="TIFF", gray_alpha=grey and layout.alpha, notes=notes)


def _grey_key(header: PngHeader) -> int | None:
    """회색 PNG에서 투명으로 정한 값(tRNS). 없으면 None."""
    if header.colour_type != 0 or header.transparency is None or len(header.transparency) < 2:
        return None
    return int(struct.unpack_from(">H", header.transparency)[0])


def _decode_special_png(data: bytes, image: Image.Image, header: PngHeader) -> tuple[Array, bytes | None, bool]:
    """Pillow가 8비트로 줄이는 16비트 PNG와, 투명한 값을 늘리지 않는 회색 PNG를 푼다."""
    if header.bit_depth == 16:
        cv2 = import_cv2()
        array: Array = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
        if array is None or array.dtype != np.uint16 or array.shape[:2] != (header.height, header.width):
            raise DamagedError
    else:
        array = np.asarray(image.convert("L")).copy()
    key = _grey_key(header)
    if key is not None:
        if array.ndim == 3:
            array = array[..., 0]
        top = (1 << header.bit_depth) - 1
        full = np.iinfo(array.dtype).max
        alpha = np.where(array == (key & top) * full // top, 0, full).astype(array.dtype)
        array = np.stack([array, array, array, alpha], axis=2)
    grey = header.colour_type in (0, 4)
    icc = matching_icc(image.info.get("icc_profile"), "L" if grey else "RGB")
    return array, icc, grey and array.ndim == 3


def _decode_animation(data: bytes, header: Header) -> Picture:
    """애니메이션을 확인하고 한 장씩 푸는 `Picture`를 만든다."""
    info = header.info
    image = open_plugin(info.format, io.BytesIO(data))
    # APNG의 대체 그림은 애니메이션의 일부가 아니다. Pillow는 이것을 0번 프레임으로 센다.
    start = 1 if getattr(image, "default_image", False) else 0
    frames = check_frames(AnimationFrames(data, info.format, info.frames, start, header.orientation))
    metadata, notes = build_metadata(
        matching_icc(image.info.get("icc_profile"), "RGB"),
        _exif_bytes(image, header),
        xmp_of_info(image.info),
        image.info.get("dpi"),
    )
    if isinstance(header.detail, PngHeader) and header.detail.bit_depth == 16:
        notes = (*notes, "16비트 애니메이션을 8비트로 읽었습니다.")
    return Picture(
        frames=frames,
        frame_count=info.frames,
        metadata=metadata,
        loop=_loop_count(header, image.info),
        format=info.format,
        notes=(*notes, *_depth_notes(data, info.format)),
    )


def _loop_count(header: Header, info: dict[Any, Any]) -> int:
    """재생 횟수(0은 끝없이). GIF만 '더 되풀이할 횟수'를 적으므로 머리를 읽을 때 바꾸어 두었다."""
    if header.info.format == "GIF":
        return int(getattr(header.detail, "loop", 1))
    return int(info.get("loop", 0) or 0)


def _depth_notes(data: bytes, name: str) -> tuple[str, ...]:
    """8비트로 줄여 읽는 고심도 AVIF와 HEIC를 알린다. 심도는 av1C와 hvcC 상자에 적혀 있다."""
    head = data[: 1 << 16]
    if name == "AVIF":
        at = head.find(b"av1C")
        deep = 0 <= at < len(head) - 7 and bool(head[at + 6] & 0x40)
    elif name == "HEIF":
        at = head.find(b"hvcC")
        deep = 0 <= at < len(head) - 22 and bool(head[at + 4 + 17] & 0x07)
    else:
        deep = False
    return (f"채널마다 8비트가 넘는 {name}을 8비트로 줄여 읽었습니다.",) if deep else ()


__all__ = ["probe_image", "read_image"]
