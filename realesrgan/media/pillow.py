"""Pillow로 이미지를 읽는다: libvips의 wheel이 다루지 않는 형식, CMYK와 LAB, 애니메이션."""

from __future__ import annotations

import io
import re
import struct
import warnings
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from importlib import import_module
from pathlib import Path
from typing import Any, BinaryIO, Literal, cast

import numpy as np
from PIL import Image

from realesrgan.errors import ImageWriteError
from realesrgan.media.colour import matching_icc, srgb_icc
from realesrgan.media.image import EncodeJob
from realesrgan.media.metadata import collect_metadata, find_orientation
from realesrgan.media.picture import (
    Array,
    DamagedError,
    Frame,
    Header,
    ImageInfo,
    Metadata,
    MissingDecoderError,
    Mode,
    Picture,
    UnsupportedError,
    apply_orientation,
)
from realesrgan.util.optional import import_cv2

# 망가진 파일에서 Pillow가 내는 영어 경고가 터미널로 새지 않게 한다. 실패는 예외로 온다.
warnings.filterwarnings("ignore", module=r"PIL\.")
_BMP_LIMIT = 2**32 - 1 - 2048
_HEAD_BYTES = 4096
# Pillow가 푸는 PSD의 `(색의 종류, 비트 수)`: 흑백, 회색, 팔레트, RGB, CMYK, 여러 채널, 이중톤, LAB.
_PSD_KINDS = {(bytes((0, kind)), bytes((0, 8))) for kind in (0, 1, 2, 3, 4, 7, 8, 9)} | {(b"\0\0", b"\0\1")}
_STANDARD_MODES = {
    **{"1": "L", "L": "L", "LA": "LA", "La": "LA"},
    **{"RGB": "RGB", "RGBX": "RGB", "YCbCr": "RGB", "HSV": "RGB"},
    **{"RGBA": "RGBA", "RGBa": "RGBA", "PA": "RGBA"},
}
_ANIMATED = ("PNG", "WEBP", "AVIF", "GIF")


def pillow_header(file: BinaryIO, name: str) -> Header:
    """Pillow의 디코더가 머리만 읽게 한다. 픽셀은 풀지 않는다."""
    image = open_image(name, file)
    orientation = find_orientation(image.info.get("exif"), image.info.get("xmp"))
    width, height = image.size[::-1] if orientation >= 5 else image.size
    if width < 1 or height < 1:
        raise DamagedError
    mode: Mode = "RGBA" if image.has_transparency_data else "L" if image.mode in ("1", "L") else "RGB"
    frames = getattr(image, "n_frames", 1) if name in _ANIMATED else 1
    deep = image.mode.startswith("I;16") or (name == "PPM" and image.mode == "I")
    mode = "L" if deep else mode
    return Header(ImageInfo(width, height, name, frames, mode, 16 if deep else 8), orientation)


def open_image(name: str, file: BinaryIO) -> Image.Image:
    """형식 이름(`'PNG'` 등)에 맞는 Pillow의 디코더로 파일을 처음부터 연다. 픽셀은 아직 풀지 않는다.

    `Image.open`을 쓰지 않는 까닭은 두 가지다. 모르는 형식의 디코더까지 불려 나오지 않게 하고,
    Pillow의 전역 한도(`MAX_IMAGE_PIXELS`)를 건드리지 않으면서 우리의 한도만 쓰기 위해서다.

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
    if name == "JXL":
        return cast("Image.Image", import_module("pillow_jxl.JpegXLImagePlugin").JXLImageFile(file))
    stem = {"WEBP": "WebP", "JPEG2000": "Jpeg2K"}.get(name, name.capitalize())
    return cast("Image.Image", getattr(import_module(f"PIL.{stem}ImagePlugin"), f"{stem}ImageFile")(file))


def read_header(file: BinaryIO) -> Header:
    """Pillow만 읽는 형식의 머리를 읽는다."""
    from realesrgan.media.formats import sniff_format

    file.seek(0)
    head = file.read(_HEAD_BYTES)
    name = sniff_format(head[:64]) or "TGA"
    if name == "BMP":
        return replace(pillow_header(file, name), detail={"icc_profile": _bmp_profile(file)})
    if name == "PSD" and (head[24:26], head[22:24]) not in _PSD_KINDS:
        raise UnsupportedError(f"채널마다 {head[23]}비트인 이런 색의 PSD는 Pillow가 풀지 못합니다.")
    header = pillow_header(file, name)
    # 채널이 여럿이고 8비트가 넘는 PPM(`P3`, `P6`). 머리의 넷째 수가 흰색의 값이다.
    top = head[:2] in (b"P3", b"P6") and re.sub(rb"#[^\n]*", b"", head).split(maxsplit=4)[3:4]
    if top and top[0].isdigit() and 255 < int(top[0]) < 65536:
        return replace(header, info=replace(header.info, bit_depth=16), detail={"top": int(top[0])})
    return header


def _bmp_profile(file: BinaryIO) -> bytes | None:
    """BMP의 다섯째 버전(BITMAPV5HEADER)에 든 색 프로파일. Pillow는 읽지 않는다."""
    file.seek(14)
    head = file.read(124).ljust(124, b"\0")
    # 색 공간의 종류가 `MBED`(거꾸로 적힌다)일 때만 파일 안에 있다.
    if int.from_bytes(head[:4], "little") < 124 or head[56:60] != b"DEBM":
        return None
    at, size = struct.unpack_from("<II", head, 112)
    file.seek(14 + at)
    return file.read(size)


def decode(source: Path, header: Header, *, lazy: bool = False) -> Picture:
    """Pillow로 정지 이미지나 애니메이션을 푼다. 언제나 배열로 읽는다."""
    data, detail = source.read_bytes(), header.detail or {}
    if "top" in detail:
        return decode_deep(data, header)
    picture = decode_any(data, header)
    if header.info.format == "SGI" and data[3] == 2:
        return replace(picture, notes=(*picture.notes, "채널마다 16비트인 SGI를 8비트로 줄여 읽었습니다."))
    return picture


def decode_deep(data: bytes, header: Header) -> Picture:
    """채널이 여럿이고 8비트가 넘는 정지 이미지를 OpenCV로 푼다. Pillow는 8비트로 줄인다.

    `header.detail`의 `top`은 흰색의 값이다. OpenCV가 풀지 못하거나 믿을 수 없으면 Pillow로 8비트로 풀고 그렇다고
    알린다.
    """
    cv2 = import_cv2()
    # 5보다 낮은 OpenCV의 JPEG 2000 디코더는 깨진 파일에서 프로세스를 죽인다.
    safe = header.info.format != "JPEG2000" or int(cv2.__version__.partition(".")[0]) >= 5
    with suppress(cv2.error):
        # 색 공간을 적지 않은 파일에서 영어 경고를 적는다.
        set_level = getattr(cv2, "setLogLevel", None) or cv2.utils.logging.setLogLevel
        kept = set_level(0)
        try:
            array = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED) if safe else None
        finally:
            set_level(kept)
        if array is not None and array.dtype == np.uint16 and array.shape[2:] in ((3,), (4,)):
            deep: Array = np.rint(array * (65535 / header.detail["top"])).astype(np.uint16)
            metadata, notes = collect_metadata(header.detail, grey=False)
            frame = Frame(apply_orientation(deep, header.orientation))
            return Picture((frame,), metadata=metadata, format=header.info.format, notes=notes)
    picture = decode_any(data, header)
    note = f"채널마다 8비트가 넘는 {header.info.format}를 8비트로 줄여 읽었습니다."
    return replace(picture, notes=(*picture.notes, note))


def decode_still(image: Image.Image, header: Header) -> Picture:
    """Pillow가 머리만 읽은 정지 이미지를 풀어 `Picture`로 만든다. `header.detail`이 Pillow의 `info`보다 앞선다.

    Raises:
        UnsupportedError: 8비트나 16비트로 옮길 수 없는 종류일 때.
        Exception: 디코더가 내는 여러 가지 예외.
    """
    image.load()
    info: dict[Any, Any] = {**image.info, **(header.detail or {})}
    if header.info.format == "PSD":
        info |= _psd_metadata(image)
    notes: tuple[str, ...] = ()
    if image.mode in ("CMYK", "LAB"):
        image, info["icc_profile"], notes = _through_profile(image)
    array, gray_alpha = to_array(image)
    if header.info.mode == "L" and array.ndim == 3 and not gray_alpha:
        # 머리에서는 회색이라 했다. 옛 Pillow는 회색 AVIF도 RGB로 푼다.
        array = np.ascontiguousarray(array[..., 1])
    metadata, more = collect_metadata(info, grey=array.ndim == 2 or gray_alpha)
    return Picture(
        frames=(Frame(apply_orientation(array, header.orientation)),),
        metadata=metadata,
        format=header.info.format,
        gray_alpha=gray_alpha,
        notes=(*notes, *more),
    )


def _psd_metadata(image: Any) -> dict[str, Any]:
    """PSD의 자원에서 EXIF(1058번), XMP(1060번), IPTC(1028번), 해상도(1005번)를 꺼낸다. Pillow는 ICC만 읽는다."""
    found = {number: data for number, _, data in image.resources}
    info = {name: found.get(number) for name, number in (("exif", 1058), ("xmp", 1060), ("iptc", 1028))}
    size = found.get(1005, b"")
    # 소수점 아래 16비트의 고정 소수. 언제나 인치당 점의 수로 적는다.
    dpi = [value / 65536 for value in struct.unpack(">I4xI", size[:12])] if len(size) >= 12 else [0]
    return info | ({"dpi": dpi} if min(dpi) >= 1 else {})


def to_array(image: Image.Image) -> tuple[Array, bool]:
    """Pillow 이미지를 `(회색, BGR, BGRA 배열, 회색+알파였는가)`로 바꾼다. 팔레트(palette)와 회색+알파는 편다.

    Raises:
        UnsupportedError: 담을 수 없는 종류(실수, 32비트 정수)일 때.
    """
    if image.mode == "P":
        target = "RGBA" if image.has_transparency_data else "RGB"
    else:
        target = _STANDARD_MODES.get(image.mode, "")
    if image.mode.startswith("I;16") or (image.mode == "I" and image.format == "PPM"):
        deep: Array = np.asarray(image).astype(np.uint16)
        return deep, False
    if not target:
        raise UnsupportedError(
            f"채널이 실수이거나 32비트 정수인 이미지({image.mode})는 8비트나 16비트로 옮길 수 없습니다."
        )
    if "transparency" in image.info and target in ("L", "RGB"):
        target = {"L": "LA", "RGB": "RGBA"}[target]
    pixels: Array = np.asarray(image if image.mode == target else image.convert(target))
    if target == "L":
        return pixels.copy(), False
    order = {"LA": [0, 0, 0, 1], "RGB": [2, 1, 0], "RGBA": [2, 1, 0, 3]}[target]
    return np.ascontiguousarray(pixels[..., order]), target == "LA"


def _through_profile(image: Image.Image) -> tuple[Image.Image, bytes | None, tuple[str, ...]]:
    """CMYK와 LAB를 `(RGB 이미지, 그 프로파일, 알릴 문장들)`로. 프로파일이 없거나 못 쓰는 CMYK는 보색으로 계산한다."""
    from PIL import ImageCms

    icc, lab = image.info.get("icc_profile"), image.mode == "LAB"
    profile = matching_icc(icc, "CMYK") if icc else None
    with suppress(ImageCms.PyCMSError, OSError):
        if profile or lab:
            # 파일의 바이트를 거친다. Pillow가 만든 LAB 프로파일을 그대로 쓰면 색이 조금 다르다.
            data = profile or ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB")).tobytes()
            source = ImageCms.ImageCmsProfile(io.BytesIO(data))
            moved = ImageCms.buildTransform(source, ImageCms.createProfile("sRGB"), image.mode, "RGB").apply(image)
            how = "LAB 색을" if lab else "CMYK를 색 프로파일을 거쳐"
            return moved, srgb_icc(), (f"{how} sRGB로 바꾸어 읽었습니다.",)
    note = "색 프로파일이 없는 CMYK를 RGB로 바꾸어 읽었습니다. 색이 조금 다를 수 있습니다."
    return image.convert("RGB"), None, (note,)


@dataclass(frozen=True)
class Part:
    """화면에 올릴 조각 하나.

    Attributes:
        array: `(H, W, 4)` uint8 BGRA.
        left, top: 화면에서의 자리(픽셀). 화면 밖은 잘린다.
        duration: 보이는 시간(밀리초).
        over: 앞의 것 위에 알파로 섞는가. 아니면 덮어쓴다.
        disposal: 다음 조각 앞에서 이 자리를 그대로 두거나(`keep`), 투명하게 지우거나(`clear`), 되돌린다(`undo`).
    """

    array: Array
    left: int
    top: int
    duration: float
    over: bool
    disposal: Literal["keep", "clear", "undo"]


def compose(parts: Iterable[Part], size: tuple[int, int]) -> Iterator[Frame]:
    """조각들을 `size`(너비, 높이)의 투명한 화면에 차례로 올린, 온전한 BGRA 프레임들."""
    canvas = np.zeros((size[1], size[0], 4), np.uint8)
    for part in parts:
        before = canvas.copy() if part.disposal == "undo" else canvas
        height, width = part.array.shape[:2]
        area = canvas[part.top : part.top + height, part.left : part.left + width]
        piece = np.ascontiguousarray(part.array[: area.shape[0], : area.shape[1]])
        if part.over and area.size:
            under = Image.fromarray(np.ascontiguousarray(area))
            piece = np.asarray(Image.alpha_composite(under, Image.fromarray(piece)))
        area[...] = piece
        yield Frame(canvas.copy(), part.duration)
        if part.disposal == "clear":
            area[...] = 0
        canvas = before


def to_bgra(image: Image.Image) -> Array:
    """Pillow 이미지를 `(H, W, 4)` uint8 BGRA로. 16비트는 8비트로 줄인다."""
    array, _ = to_array(image)
    if array.dtype == np.uint16:
        array = np.rint(array / 257).astype(np.uint8)
    if array.ndim == 2:
        array = np.repeat(array[..., None], 3, axis=2)
    return array if array.shape[2] == 4 else np.pad(array, ((0, 0), (0, 0), (0, 1)), constant_values=255)


Parts = Callable[[bytes, Header], Iterable[Part]]


@dataclass(frozen=True)
class AnimationFrames:
    """파일의 바이트 `data`를 돌 때마다 처음부터 다시 풀어 내는 프레임들. 메모리에는 한 장씩만 올라온다.

    앞 프레임 위에 겹쳐 그리는 지시(disposal, blending)는 모두 적용해, 언제나 온전한 한 장을 낸다.

    Attributes:
        parts: 화면에 올릴 조각들을 내는 함수. 없으면 Pillow가 낸 온전한 프레임을 쓴다.
        alpha: 알파 채널을 남길지.
    """

    data: bytes
    header: Header
    parts: Parts | None = None
    alpha: bool = True

    def __len__(self) -> int:
        return self.header.info.frames

    def __iter__(self) -> Iterator[Frame]:
        info, orientation = self.header.info, self.header.orientation
        size = (info.width, info.height) if orientation < 5 else (info.height, info.width)
        frames = compose(self.parts(self.data, self.header), size) if self.parts else self._whole()
        for frame in frames:
            array = frame.array if self.alpha else frame.array[..., :3]
            yield replace(frame, array=apply_orientation(array, orientation))

    def _whole(self) -> Iterator[Frame]:
        image = open_image(self.header.info.format, io.BytesIO(self.data))
        for index in range(len(self)):
            image.seek(index)
            image.load()
            yield Frame(to_bgra(image), float(image.info.get("duration", 0) or 0))


def decode_any(data: bytes, header: Header, parts: Parts | None = None) -> Picture:
    """파일 전체를 받아 Pillow가 푸는 정지 이미지나 애니메이션을 `Picture`로 만든다.

    애니메이션은 긴 작업을 시작하기 전에 모든 프레임을 한 번 풀어 망가진 프레임을 찾고, 투명한 곳이 하나도 없으면
    쓸모없는 알파를 뗀다. 풀 수 없는 프레임이 있으면 디코더의 여러 가지 예외가 난다.
    """
    image = open_image(header.info.format, io.BytesIO(data))
    if header.info.frames == 1:
        return decode_still(image, header)
    info: dict[Any, Any] = {**image.info, **(header.detail or {})}
    frames = AnimationFrames(data, header, parts)
    transparent = False
    for frame in frames:
        transparent = transparent or bool((frame.array[..., 3] != 255).any())
    metadata, notes = collect_metadata(info, grey=False)
    return Picture(
        frames=replace(frames, alpha=transparent),
        frame_count=header.info.frames,
        metadata=metadata,
        loop=int(info.get("loop", 0) or 0),
        format=header.info.format,
        notes=notes,
    )


# 쓰기


def to_image(frame: Frame, job: EncodeJob) -> Image.Image:
    """8비트 프레임을 Pillow 이미지로. 띠마다 옮겨 배열과 이미지가 함께 메모리에 있지 않게 한다."""
    image = Image.new(job.kind, (job.width, job.height))
    for top, rows in job.strips(frame):
        image.paste(Image.fromarray(rows), (0, top))
    return image


def require_encoder(feature: str) -> None:
    """Pillow가 `webp`나 `avif`를 쓰지 못하면 `ImageWriteError`를 낸다."""
    from PIL import features

    if not features.check(feature):
        raise ImageWriteError(
            f"{feature}로 쓰지 못했습니다.\n  이유: 설치된 Pillow가 {feature}를 지원하지 않습니다.\n"
            f"  해결: pip install -U pillow 를 실행하거나 --ext png 를 쓰세요."
        )


def metadata_options(metadata: Metadata) -> dict[str, Any]:
    """Pillow의 인코더들에 줄 메타데이터."""
    named = {"icc_profile": metadata.icc, "exif": metadata.exif, "xmp": metadata.xmp}
    return {name: value for name, value in named.items() if value}


def write(file: BinaryIO, frames: Iterable[Frame], job: EncodeJob) -> tuple[str, ...]:
    """프레임 하나를 BMP(BITMAPINFOHEADER, 4GB까지)로 쓰고 빈 튜플을 돌려준다.

    Pillow는 통째로 메모리에 두므로, 큰 결과를 위해 띠마다 아래 줄부터 놓는다.
    """
    frame = next(iter(frames))
    grey, stride = job.kind == "L", -(-job.width * len(job.kind) // 4) * 4
    table = b"".join(bytes((level, level, level, 0)) for level in range(256)) if grey else b""
    start = 14 + 40 + len(table)
    size = start + stride * job.height
    if size > _BMP_LIMIT:
        raise ImageWriteError(
            "BMP로 쓰지 못했습니다.\n  이유: 파일이 BMP의 한도 4GB를 넘습니다.\n  해결: --ext png 를 쓰세요."
        )
    per_metre = [int(value * 39.3701 + 0.5) for value in job.metadata.dpi or (96, 96)]
    colours = 256 if grey else 0
    file.write(b"BM" + struct.pack("<III", size, 0, start))
    file.write(struct.pack("<IiiHH", 40, job.width, job.height, 1, 8 * len(job.kind)))
    file.write(struct.pack("<IIiiII", 0, size - start, *per_metre, colours, colours) + table)
    for top, rows in job.strips(frame):
        lines = np.zeros((len(rows), stride), np.uint8)
        ordered = rows if grey else rows[..., ::-1]
        lines[:, : job.width * len(job.kind)] = ordered.reshape(len(rows), -1)[::-1]
        file.seek(start + (job.height - top - len(rows)) * stride)
        file.write(lines.tobytes())
    file.seek(0, io.SEEK_END)
    return ()
