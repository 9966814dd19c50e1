"""이미지 파일을 쓴다. `Picture`가 들어오고 파일이 나간다.

픽셀을 형식이 담을 수 있는 모양으로 바꿀 계획을 세우고, 이미지를 가로 띠(strip)로 나누어 여러 스레드로 인코딩한다.
JPEG와 BMP는 여기서 쓰고, 나머지는 `formats`의 표가 말하는 모듈을 쓸 때에야 불러온다.
"""

from __future__ import annotations

import struct
import zlib
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from importlib import import_module
from itertools import chain
from os import PathLike
from pathlib import Path
from typing import Any, BinaryIO, Literal, TypeVar

import numpy as np
from PIL import Image

from realesrgan.errors import ImageWriteError, UsageError
from realesrgan.media.formats import FORMATS, ImageFormat, animated_extensions, format_of_name, writable_extensions
from realesrgan.media.picture import (
    EXIF_PREFIX,
    Array,
    Frame,
    Metadata,
    Picture,
    flatten_on_white,
    reduce_depth,
    spread_grey,
    to_grey,
)
from realesrgan.util.files import atomic_file, os_reason
from realesrgan.util.machine import available_cores
from realesrgan.util.optional import import_cv2

StrPath = str | PathLike[str]
PixelKind = Literal["L", "LA", "BGR", "BGRA"]
T = TypeVar("T")
R = TypeVar("R")
_Step = Callable[[Array], Array]

STRIP_BYTES = 1 << 20
"""띠 하나의 목표 크기(바이트). 압축률을 잃지 않을 만큼 크고 캐시에 들 만큼 작다."""
MAX_WORKERS = 4
"""인코딩에 쓰는 스레드 수의 한도. 더 늘려도 디스크가 따라오지 못한다."""


@dataclass(frozen=True)
class EncodeJob:
    """한 파일을 쓰는 데 필요한 것. 형식마다의 쓰기 함수가 받는다.

    Attributes:
        format: 형식 이름.
        width, height: 크기(픽셀).
        kind: 파일에 담을 픽셀의 종류. 글자의 수가 곧 채널 수다.
        depth: 채널마다의 비트 수, 8 또는 16.
        steps: 프레임 배열의 일부(가로 띠)를 `kind`와 `depth`의 배열로 바꾸는, 차례로 적용할 순수 함수들.
        metadata: 결과의 크기에 맞춘 메타데이터. 형식이 담지 못하는 것은 이미 빠져 있다.
        notes: 담지 못해 포기한 것을 알리는 한국어 문장들.
        count: 프레임 수.
        loop: 재생 횟수, 0은 끝없이.
        quality: 손실 압축 품질(1..100). 무손실 형식은 무시한다.
    """

    format: str
    width: int
    height: int
    kind: PixelKind
    depth: int
    steps: tuple[_Step, ...]
    metadata: Metadata
    notes: tuple[str, ...] = ()
    count: int = 1
    loop: int = 0
    quality: int = 95

    @property
    def row_bytes(self) -> int:
        """한 줄의 바이트 수."""
        return self.width * len(self.kind) * self.depth // 8

    def strip(self, frame: Frame, top: int, bottom: int) -> Array:
        """프레임의 `top`번째 줄부터 `bottom`번째 줄 앞까지를 담을 모양으로 바꾼다. 여러 스레드에서 함께 불러도 된다."""
        strip = frame.array[top:bottom]
        for step in self.steps:
            strip = step(strip)
        return strip


def write_image(path: StrPath, picture: Picture, *, quality: int | None = None) -> tuple[str, ...]:
    """이미지를 확장자가 뜻하는 형식으로 쓴다.

    대상 곁의 임시 파일에 쓴 뒤 이름을 바꾸므로(atomic) 실패하거나 Ctrl-C를 눌러도 반쯤 쓴 파일이 남지 않고,
    이미 있던 파일도 그대로다. 프레임은 한 번만, 차례로 돈다.

    Args:
        path: 쓸 파일. 폴더는 이미 있어야 한다.
        picture: 쓸 이미지. 배열은 uint8 또는 uint16의 `(H, W)`, BGR, BGRA.
        quality: 손실 압축 품질(1..100). None이면 형식의 기본값. 무손실 형식은 무시한다. WebP의 100은 무손실이다.

    Returns:
        읽고 쓰면서 포기한 것을 알리는 한국어 문장들. 없으면 빈 튜플.

    Raises:
        UsageError: `quality`가 범위를 벗어날 때.
        ImageWriteError: 모르는 확장자, 형식의 한도, 권한, 디스크 가득 참.
        ValueError: 배열의 모양이나 프레임 수가 맞지 않을 때.
    """
    path = Path(path)
    if quality is not None and not 1 <= quality <= 100:
        raise UsageError(f"품질(--quality)은 1부터 100까지의 정수여야 합니다: {quality}")
    target = format_of_name(path)
    if target is None or (picture.frame_count > 1 and not target.animation):
        raise _unwritable(path, target, picture.frame_count)
    frames = _checked(path, picture, target)
    first = next(frames)
    job = plan_job(first, picture, target, quality)
    try:
        with atomic_file(path) as file:
            write = _WRITERS.get(target.name) or import_module(f"realesrgan.media.{target.module}").write
            notes = write(file, chain([first], frames), job)
            # 인코더가 프레임을 남기지 않았는지 본다. 남았다면 프레임 수가 틀린 것이다.
            next(frames, None)
    except (OSError, MemoryError) as error:
        raise _failure(path, *_reason(path, error, target)) from error
    return (*picture.notes, *job.notes, *notes)


def _failure(path: Path, why: str, remedy: str) -> ImageWriteError:
    return ImageWriteError(f"이미지를 쓰지 못했습니다: {path}\n  이유: {why}\n  해결: {remedy}")


def _reason(path: Path, error: OSError | MemoryError, target: ImageFormat) -> tuple[str, str]:
    """운영체제와 인코더의 오류의 `(이유, 해결)`."""
    if isinstance(error, MemoryError):
        remedy = "메모리를 적게 쓰는 --ext png 로 바꾸거나 --outscale을 줄이세요."
        return f"{target.name}로 인코딩할 메모리가 모자랍니다.", remedy
    if error.errno is None:
        return f"인코더가 실패했습니다({error}).", "--ext png 로 바꾸어 쓰세요."
    if path.is_dir():
        return "같은 이름의 폴더가 있습니다.", "다른 이름을 쓰세요."
    return os_reason(error)


def _unwritable(path: Path, target: ImageFormat | None, frame_count: int) -> ImageWriteError:
    """프레임을 계산하기 전에 아는, 쓸 수 없는 이유."""
    if target is None:
        known = " ".join(writable_extensions())
        return _failure(
            path, f"쓸 수 없는 확장자입니다: {path.suffix or '(없음)'}", f"다음 가운데 하나를 쓰세요: {known}"
        )
    return _failure(
        path,
        f"{frame_count}프레임의 애니메이션을 {target.extensions[0]}에는 담을 수 없습니다.",
        f"애니메이션을 담는 형식을 쓰세요: {' '.join(animated_extensions())}",
    )


def _checked(path: Path, picture: Picture, target: ImageFormat) -> Iterator[Frame]:
    """배열이 다룰 수 있는 모양이고 형식의 한도 안인지, 프레임의 모양과 수가 약속과 같은지 보면서 넘긴다."""
    frames = iter(picture.frames)
    first = next(frames, None)
    if first is None:
        raise ValueError("쓸 프레임이 없다")
    shape, dtype, count = first.array.shape, first.array.dtype, picture.frame_count
    if len(shape) < 2 or shape[2:] not in ((), (3,), (4,)) or 0 in shape:
        raise ValueError(f"이미지 배열은 (H, W), (H, W, 3), (H, W, 4)여야 합니다: {shape}")
    if dtype not in (np.uint8, np.uint16):
        raise ValueError(f"이미지 배열은 uint8 또는 uint16이어야 합니다: {dtype}")
    height, width = shape[:2]
    if max(width, height) > target.max_side:
        wider = [item.extensions[0] for item in FORMATS if item.max_side >= max(width, height)]
        raise _failure(
            path,
            f"{width:,}x{height:,}는 {target.extensions[0]}의 한 변 한도 {target.max_side:,}픽셀을 넘습니다.",
            f"다음 가운데 하나를 쓰세요: {' '.join(wider)}",
        )
    seen = 0
    for seen, frame in enumerate(chain([first], frames), 1):
        if seen > count or frame.array.shape != shape or frame.array.dtype != dtype:
            raise ValueError(f"{seen}번째 프레임이 약속({count}장, {shape})과 다르다")
        yield frame
    if seen != count:
        raise ValueError(f"프레임이 {count}장이어야 하는데 {seen}장이다")


# 픽셀과 메타데이터의 계획


def plan_job(frame: Frame, picture: Picture, target: ImageFormat, quality: int | None = None) -> EncodeJob:
    """첫 프레임과 같은 모양의 프레임들을 `target` 형식에 담을 계획을 세운다. 픽셀은 아직 건드리지 않는다."""
    label = target.extensions[0][1:]
    steps: list[_Step] = []
    notes: list[str] = []
    height, width = frame.array.shape[:2]
    depth = 16 if frame.array.dtype == np.uint16 else 8
    if depth == 16 and not target.sixteen_bit:
        steps.append(reduce_depth)
        notes.append(f"16비트를 8비트로 줄였습니다({label}는 16비트를 담지 못합니다).")
        depth = 8
    grey = frame.array.ndim == 2 or picture.gray_alpha
    alpha = frame.array.ndim == 3 and frame.array.shape[2] == 4
    if alpha and not target.alpha:
        steps.append(flatten_on_white)
        notes.append(f"알파 채널을 흰 배경에 합쳤습니다({label}는 투명도를 담지 못합니다).")
        alpha = False
    stays_grey = grey and (target.gray_alpha if alpha else target.gray)
    if stays_grey and frame.array.ndim == 3:
        steps.append(to_grey)
    metadata = picture.metadata
    if metadata.icc:
        icc, colour_steps, colour_notes = _plan_profile(metadata.icc, grey, stays_grey, depth, target)
        metadata = replace(metadata, icc=icc)
        steps += colour_steps
        notes += colour_notes
    if frame.array.ndim == 2 and not stays_grey:
        steps.append(spread_grey)
    if metadata != Metadata():
        metadata, lost = _fit_metadata(metadata, width, height, target)
        notes += [f"{', '.join(lost)} 정보를 뺐습니다({label}는 담지 못합니다)."] if lost else []
    return EncodeJob(
        format=target.name,
        width=width,
        height=height,
        kind=("LA" if alpha else "L") if stays_grey else ("BGRA" if alpha else "BGR"),
        depth=depth,
        steps=tuple(steps),
        metadata=metadata,
        notes=tuple(notes),
        count=picture.frame_count,
        loop=picture.loop,
        quality=quality or target.default_quality or 95,
    )


def _plan_profile(
    icc: bytes, grey: bool, stays_grey: bool, depth: int, target: ImageFormat
) -> tuple[bytes | None, list[_Step], list[str]]:
    """색 프로파일을 담을 수 없으면 픽셀을 sRGB로 옮길 단계를 더한다.

    Returns:
        `(남길 프로파일, 더할 단계들, 포기한 것을 알리는 문장들)`.
    """
    from realesrgan.media.metadata import is_srgb, matching_icc, srgb_converter

    label, mode = target.extensions[0][1:], "L" if grey else "RGB"
    if matching_icc(icc, mode) is None:
        return None, [], ["색 프로파일(ICC)이 픽셀의 종류와 맞지 않아 뺐습니다."]
    if target.icc and grey == stays_grey:
        return icc, [], []
    if is_srgb(icc):
        return None, [], []
    converter = srgb_converter(icc, mode) if depth == 8 else None
    if converter is None:
        return None, [], [f"색 프로파일(ICC)을 {label}에 담을 수 없어 뺐습니다."]
    step = partial(_convert_colour, converter, mode)
    return None, [step], [f"색 프로파일(ICC)을 {label}에 담을 수 없어 픽셀을 sRGB로 옮겼습니다."]


def _convert_colour(converter: Callable[[Image.Image], Image.Image], mode: str, strip: Array) -> Array:
    """`converter`로 회색, BGR, BGRA 띠의 색을 sRGB로 옮긴다. 알파는 그대로다."""
    colour = strip if strip.ndim == 2 else strip[..., :3]
    if mode == "L" and strip.ndim == 3:
        colour = strip[..., 1]
    converted: Array = np.asarray(converter(to_image(colour)))[..., ::-1]
    if strip.ndim == 2:
        return np.ascontiguousarray(converted[..., 1])
    return np.ascontiguousarray(np.concatenate([converted, strip[..., 3:]], axis=2))


def _fit_metadata(metadata: Metadata, width: int, height: int, target: ImageFormat) -> tuple[Metadata, list[str]]:
    """형식이 담을 수 있는 것만 남기고, 크기를 적은 태그를 결과의 크기로 바꾼다. 뺀 것의 이름도 돌려준다."""
    from realesrgan.media.metadata import resized_exif, resized_xmp, with_dpi

    exif = metadata.exif if target.exif else None
    xmp = metadata.xmp if target.xmp else None
    dpi = metadata.dpi if target.dpi else None
    if metadata.dpi and target.exif and not target.dpi:
        exif = with_dpi(exif, metadata.dpi)
    lost = [
        name
        for name, value, kept in (
            ("EXIF", metadata.exif, target.exif),
            ("XMP", metadata.xmp, target.xmp),
            ("DPI", metadata.dpi, target.dpi or target.exif),
        )
        if value and not kept
    ]
    exif = resized_exif(exif, width, height) if exif else None
    return Metadata(metadata.icc, exif, resized_xmp(xmp, width, height) if xmp else None, dpi), lost


# 형식들이 함께 쓰는 것


def to_image(array: Array) -> Image.Image:
    """`(H, W)`, BGR, BGRA의 uint8 배열을 `L`, `RGB`, `RGBA` Pillow 이미지로 바꾼다."""
    contiguous: Any = np.ascontiguousarray(array)
    height, width = array.shape[:2]
    if array.ndim == 2:
        return Image.frombuffer("L", (width, height), contiguous, "raw", "L", 0, 1)
    mode, raw = ("RGB", "BGR") if array.shape[2] == 3 else ("RGBA", "BGRA")
    return Image.frombuffer(mode, (width, height), contiguous, "raw", raw, 0, 1)


def require_encoder(feature: str) -> None:
    """Pillow가 `webp`나 `avif`를 쓸 수 있는지 본다.

    Raises:
        ImageWriteError: 지원하지 않을 때.
    """
    from PIL import features

    if not features.check(feature):
        raise ImageWriteError(
            f"{feature}로 쓰지 못했습니다.\n  이유: 설치된 Pillow가 {feature}를 지원하지 않습니다.\n"
            f"  해결: pip install -U pillow 를 실행하거나 --ext png 를 쓰세요."
        )


def strip_ranges(height: int, row_bytes: int, multiple: int = 1, limit: int | None = None) -> list[tuple[int, int]]:
    """높이를 띠로 나눈다.

    Args:
        height: 전체 줄 수.
        row_bytes: 한 줄의 바이트 수.
        multiple: 띠 높이가 맞출 배수(마지막 띠는 빼고).
        limit: 띠 높이의 한도(줄).

    Returns:
        `(시작 줄, 끝 줄)`의 목록. 빈틈도 겹침도 없다.
    """
    rows = max(STRIP_BYTES // max(row_bytes, 1), 1)
    rows = min(rows, limit) if limit else rows
    rows = max(rows // multiple * multiple, multiple)
    return [(top, min(top + rows, height)) for top in range(0, height, rows)]


def ordered_map(function: Callable[[T], R], items: Iterable[T]) -> Iterator[R]:
    """스레드로 나누어 계산하되 결과를 순서대로 낸다.

    앞서 계산해 두는 결과의 수를 제한해, 디스크가 느려도 메모리가 불어나지 않는다.
    """
    workers = min(available_cores(), MAX_WORKERS)
    with ThreadPoolExecutor(workers) as pool:
        waiting: deque[Future[R]] = deque()
        try:
            for item in items:
                waiting.append(pool.submit(function, item))
                if len(waiting) > workers:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()


def deflate(data: bytes, *, last: bool) -> bytes:
    """줄 필터나 차분을 거친 픽셀을 머리 없는(raw) Deflate로 압축한다. PNG와 TIFF가 함께 쓴다.

    사진은 되풀이가 거의 없어, 이어지는 같은 값(RLE)만 찾는 것이 사전 찾기와 크기가 비슷하거나 작고 몇 배 빠르다.
    그린 이미지나 화면 갈무리는 그 반대다. 앞부분을 둘 다로 눌러 보고, 사전이 뚜렷이 나을 때만 사전을 쓴다.

    Args:
        data: 압축할 바이트.
        last: 흐름의 마지막인가. 아니면 바이트 경계에서 끊어(sync flush) 뒤에 이어 붙일 수 있게 한다.
    """

    def compress(part: bytes, strategy: int, flush: int) -> bytes:
        packer = zlib.compressobj(4, zlib.DEFLATED, -zlib.MAX_WBITS, 9, strategy)
        return packer.compress(part) + packer.flush(flush)

    sample = data[: 1 << 16]
    by_dictionary = len(compress(sample, zlib.Z_DEFAULT_STRATEGY, zlib.Z_FINISH))
    by_runs = len(compress(sample, zlib.Z_RLE, zlib.Z_FINISH))
    strategy = zlib.Z_DEFAULT_STRATEGY if by_dictionary < by_runs * 0.9 else zlib.Z_RLE
    return compress(data, strategy, zlib.Z_FINISH if last else zlib.Z_SYNC_FLUSH)


# JPEG(ITU-T T.81)

_BLOCK = 8
_MAX_RESTART = 65535
_MAX_SEGMENT = 65533
_ICC_HEAD, _XMP_HEAD = b"ICC_PROFILE\0", b"http://ns.adobe.com/xap/1.0/\0"
_APP0, _SOF0, _SOS, _DRI = 0xFFE0, 0xFFC0, 0xFFDA, 0xFFDD


def write_jpeg(file: BinaryIO, frames: Iterable[Frame], job: EncodeJob) -> tuple[str, ...]:
    """프레임 하나를 기본(baseline) JPEG로 쓴다. 색은 줄이지 않는다(4:4:4).

    가로 띠를 따로 인코딩하고 다시 시작 표시(restart marker)로 잇는다. 표준의 정상적인 파일이면서, 큰 이미지도 통째로
    복사하지 않고 여러 스레드로 인코딩할 수 있다. 띠가 하나고 메타데이터가 없으면 인코더가 낸 것이 그대로 파일이다.

    Returns:
        크기 때문에 담지 못한 메타데이터를 알리는 문장들.
    """
    frame = next(iter(frames))
    per_row = -(-job.width // _BLOCK)
    ranges = strip_ranges(job.height, job.width * len(job.kind), _BLOCK, _MAX_RESTART // per_row * _BLOCK)
    encode, plain = partial(_encode_strip, frame, job), job.metadata == Metadata()
    if plain and len(ranges) == 1:
        file.write(encode(ranges[0]))
        return ()
    interval = (ranges[0][1] - ranges[0][0] + _BLOCK - 1) // _BLOCK * per_row
    head, notes = (b"", ()) if plain else _metadata_segments(job.metadata)
    jpegs = ordered_map(encode, ranges)
    first = next(jpegs)
    file.write(first[:2] + head)
    # 첫 띠의 표와 머리를 옮기되, 높이를 전체의 것으로 바꾸고 다시 시작 간격을 넣는다.
    marker, at = 0, 2
    while marker != _SOS:
        marker, length = struct.unpack_from(">HH", first, at)
        segment = first[at : at + 2 + length]
        at += len(segment)
        if marker == _SOF0:
            segment = segment[:5] + struct.pack(">H", job.height) + segment[7:]
        elif marker == _SOS and len(ranges) > 1:
            segment = struct.pack(">HHH", _DRI, 4, interval) + segment
        if plain or marker != _APP0:
            file.write(segment)
    # 띠마다 표가 같아 머리의 길이도 같다. 끝의 두 바이트(EOI)는 마지막에 한 번만 적는다.
    file.write(first[at:-2])
    for index, jpeg in enumerate(jpegs):
        file.write(bytes((0xFF, 0xD0 + index % 8)) + jpeg[at:-2])
    file.write(b"\xff\xd9")
    return notes


def _encode_strip(frame: Frame, job: EncodeJob, bounds: tuple[int, int]) -> bytes:
    """띠 하나를 온전한 JPEG로 인코딩한다. 허프만(Huffman) 표는 표준의 것이라 띠마다 같다."""
    cv2 = import_cv2()
    sampling = cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444
    options = [cv2.IMWRITE_JPEG_QUALITY, job.quality, cv2.IMWRITE_JPEG_SAMPLING_FACTOR, sampling]
    ok, encoded = cv2.imencode(".jpg", job.strip(frame, *bounds), options)
    if not ok:
        raise ValueError("JPEG 인코딩이 실패했다")
    return encoded.tobytes()


def _segment(marker: int, body: bytes) -> bytes:
    return struct.pack(">BBH", 0xFF, marker, len(body) + 2) + body


def _metadata_segments(metadata: Metadata) -> tuple[bytes, tuple[str, ...]]:
    """JFIF, EXIF, XMP, ICC 조각. 한 조각(64KB)에 들지 않는 EXIF와 XMP는 빼고 알린다."""
    dpi = [min(max(round(value), 1), 65535) for value in metadata.dpi] if metadata.dpi else [1, 1]
    result = _segment(0xE0, b"JFIF\0\x01\x01" + struct.pack(">BHHBB", 1 if metadata.dpi else 0, *dpi, 0, 0))
    notes = []
    for name, head, body in (("EXIF", EXIF_PREFIX, metadata.exif), ("XMP", _XMP_HEAD, metadata.xmp)):
        if body and len(head) + len(body) <= _MAX_SEGMENT:
            result += _segment(0xE1, head + body)
        elif body:
            notes.append(f"{name} 정보({len(body):,}바이트)가 jpg의 한도 64KB를 넘어 뺐습니다.")
    if metadata.icc:
        size = _MAX_SEGMENT - len(_ICC_HEAD) - 2
        parts = [metadata.icc[at : at + size] for at in range(0, len(metadata.icc), size)]
        for index, part in enumerate(parts, 1):
            result += _segment(0xE2, _ICC_HEAD + bytes((index, len(parts))) + part)
    return result, tuple(notes)


# BMP

_BMP_HEADERS = 14 + 40
_BMP_LIMIT = 2**32 - 1


def write_bmp(file: BinaryIO, frames: Iterable[Frame], job: EncodeJob) -> tuple[str, ...]:
    """프레임 하나를 압축하지 않은 BMP로 쓴다. 회색은 256단계 팔레트로 담는다.

    머리는 가장 널리 읽히는 BITMAPINFOHEADER다.

    Raises:
        ImageWriteError: 파일이 BMP의 한도 4GB를 넘을 때.
    """
    frame = next(iter(frames))
    palette = b"".join(bytes((level, level, level, 0)) for level in range(256)) if job.kind == "L" else b""
    padded = (job.row_bytes + 3) // 4 * 4
    start = _BMP_HEADERS + len(palette)
    total = start + padded * job.height
    if total > _BMP_LIMIT:
        raise ImageWriteError(
            "BMP로 쓰지 못했습니다.\n  이유: 파일이 BMP의 한도 4GB를 넘습니다.\n  해결: --ext png 를 쓰세요."
        )
    per_metre = [round(value / 0.0254) for value in job.metadata.dpi] if job.metadata.dpi else [0, 0]
    per_metre = [min(value, 2**31 - 1) for value in per_metre]
    file.write(struct.pack("<2sIHHI", b"BM", total, 0, 0, start))
    info = (40, job.width, job.height, 1, 8 * len(job.kind), 0, padded * job.height, *per_metre, len(palette) // 4, 0)
    file.write(struct.pack("<IiiHHIIiiII", *info) + palette)
    # BMP는 아랫줄부터 적는다.
    for top, bottom in reversed(strip_ranges(job.height, job.row_bytes)):
        rows = job.strip(frame, top, bottom).reshape(bottom - top, job.row_bytes)[::-1]
        file.write(np.pad(rows, ((0, 0), (0, padded - job.row_bytes))).tobytes())
    return ()


_WRITERS: dict[str, Callable[[BinaryIO, Iterable[Frame], EncodeJob], tuple[str, ...]]] = {
    "JPEG": write_jpeg,
    "BMP": write_bmp,
}
