"""이미지 파일을 쓴다. `Picture`가 들어오고 파일이 나간다.

픽셀을 형식이 담을 수 있는 모양으로 바꿀 계획을 세운다. 바꾸는 일과 인코딩은 libvips가 줄마다 흘려 하고, 그 wheel이 쓰지
않는 형식은 Pillow가 한다. 형식마다의 모듈은 쓸 때에야 불러온다.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from importlib import import_module
from itertools import chain
from os import PathLike
from pathlib import Path
from typing import Any, Literal

import numpy as np

from realesrgan.errors import ImageWriteError, UsageError
from realesrgan.media.formats import FORMATS, ImageFormat, animated_extensions, format_of_name, writable_extensions
from realesrgan.media.picture import Array, Frame, Metadata, Picture
from realesrgan.media.vips import LazyImage, from_array, to_array
from realesrgan.util.files import atomic_file, os_reason

StrPath = str | PathLike[str]
PixelKind = Literal["L", "LA", "RGB", "RGBA"]
_Step = Callable[[Any], Any]
_STRIP_PIXELS = 1 << 18


@dataclass(frozen=True)
class EncodeJob:
    """한 파일을 쓰는 데 필요한 것. 형식마다의 쓰기 함수가 받는다.

    Attributes:
        format: 형식 이름.
        width, height: 크기(픽셀).
        kind: 파일에 담을 픽셀의 종류. 글자의 수가 곧 채널 수다.
        depth: 채널마다의 비트 수, 8 또는 16.
        steps: 프레임의 libvips 이미지를 `kind`와 `depth`로 바꾸는, 차례로 적용할 함수들. 픽셀은 쓸 때에야 계산된다.
        metadata: 결과의 크기에 맞춘 메타데이터. 형식이 담지 못하는 것은 이미 빠져 있다.
        notes: 담지 못해 포기한 것을 알리는 한국어 문장들.
        count: 프레임 수.
        loop: 재생 횟수, 0은 끝없이.
        quality: 손실 압축 품질(1..100). 무손실 형식은 무시한다.
        compression: 무손실 압축의 세기(0..9). None이면 형식의 기본값.
        bits: 10, 12비트를 담는 형식에 쓸 비트 수.
        pages: 쪽마다의 일을 다시 세우는 함수. 여러 쪽 TIFF만 있다.
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
    compression: int | None = None
    bits: int = 8
    pages: Callable[[Frame], EncodeJob] | None = field(default=None, compare=False)

    def image(self, frame: Frame) -> Any:
        """프레임을 `kind`와 `depth`의 libvips 이미지로."""
        image = from_array(frame.array, rgb=frame.rgb)
        for step in self.steps:
            image = step(image)
        return image

    def pixels(self, frame: Frame) -> Array:
        """프레임을 `kind`와 `depth`의 배열로. 채널은 RGB 차례다."""
        return to_array(self.image(frame))

    def strips(self, frame: Frame, multiple: int = 1) -> Iterator[tuple[int, Array]]:
        """프레임을 `kind`와 `depth`의 `(윗줄의 번호, RGB 차례의 몇 줄)`로 나누어 낸다. 통째로 메모리에 두지 않는다.

        줄의 수는 마지막을 빼고 `multiple`의 배수다.
        """
        rows, step = LazyImage(self.image(frame)), max(_STRIP_PIXELS // self.width // multiple, 1) * multiple
        for top in range(0, self.height, step):
            yield top, rows[top : top + step, : self.width]


def write_image(
    path: StrPath, picture: Picture, *, quality: int | None = None, compression: int | None = None
) -> tuple[str, ...]:
    """이미지를 확장자가 뜻하는 형식으로 쓴다.

    대상 곁의 임시 파일에 쓴 뒤 이름을 바꾸므로(atomic) 실패하거나 Ctrl-C를 눌러도 반쯤 쓴 파일이 남지 않고,
    이미 있던 파일도 그대로다. 프레임은 한 번만, 차례로 돈다.

    Args:
        path: 쓸 파일. 폴더는 이미 있어야 한다.
        picture: 쓸 이미지. 배열은 uint8 또는 uint16의 `(H, W)`, BGR, BGRA.
        quality: 손실 압축 품질(1..100). None이면 형식의 기본값. 무손실 형식은 무시한다. WebP의 100은 무손실이다.
        compression: PNG와 TIFF의 압축의 세기(0..9). None이면 형식의 기본값. 다른 형식은 무시한다.

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
    target = check_target(path, picture)
    frames = _checked(path, picture, target)
    first = next(frames)
    job = plan_job(first, picture, target, quality, compression)
    try:
        with atomic_file(path) as file:
            notes = import_module(f"realesrgan.media.{target.module}").write(file, chain([first], frames), job)
            # 인코더가 프레임을 남기지 않았는지 본다. 남았다면 프레임 수가 틀린 것이다.
            next(frames, None)
    except (OSError, MemoryError) as error:
        raise _failure(path, *_reason(path, error, target)) from error
    return (*picture.notes, *job.notes, *notes)


def check_target(path: Path, picture: Picture) -> ImageFormat:
    """읽은 이미지를 그 확장자의 형식에 담을 수 있는지, 키우기 전에 본다.

    Raises:
        ImageWriteError: 모르는 확장자, 담을 수 없는 애니메이션이나 쪽, 담으면 색의 뜻을 잃는 HDR.
    """
    target = format_of_name(path)
    if target is None or not target.writable:
        known = " ".join(writable_extensions())
        raise _failure(
            path, f"쓸 수 없는 확장자입니다: {path.suffix or '(없음)'}", f"다음 가운데 하나를 쓰세요: {known}"
        )
    label = target.extensions[0]
    if picture.pages and picture.frame_count > 1 and target.name != "TIFF":
        why = f"{picture.frame_count}쪽의 TIFF를 {label}에는 담을 수 없습니다."
        raise _failure(path, why, "--ext tif 를 쓰거나, 쪽을 나누어 저장한 뒤 다시 하세요.")
    if not picture.pages and picture.frame_count > 1 and not target.animation:
        raise _failure(
            path,
            f"{picture.frame_count}프레임의 애니메이션을 {label}에는 담을 수 없습니다.",
            f"애니메이션을 담는 형식을 쓰세요: {' '.join(animated_extensions())}",
        )
    transfer = (picture.metadata.cicp or (0, 0))[1]
    if transfer in (16, 18) and not (target.cicp and target.sixteen_bit):
        name = {16: "PQ", 18: "HLG"}[transfer]
        raise _failure(
            path,
            f"{name}로 적은 HDR 이미지의 밝기와 색을 {label}에는 담을 수 없습니다.",
            "--ext png 나 --ext avif 를 쓰세요.",
        )
    return target


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
        same = picture.pages or (frame.array.shape == shape and frame.array.dtype == dtype)
        if seen > count or not same:
            raise ValueError(f"{seen}번째 프레임이 약속({count}장, {shape})과 다르다")
        yield frame
    if seen != count:
        raise ValueError(f"프레임이 {count}장이어야 하는데 {seen}장이다")


# 픽셀과 메타데이터의 계획


def plan_job(
    frame: Frame,
    picture: Picture,
    target: ImageFormat,
    quality: int | None = None,
    compression: int | None = None,
) -> EncodeJob:
    """첫 프레임과 같은 모양의 프레임들을 `target` 형식에 담을 계획을 세운다. 픽셀은 아직 건드리지 않는다."""
    label = target.extensions[0][1:]
    steps: list[_Step] = []
    notes: list[str] = []
    height, width, *channels = frame.array.shape
    depth = 16 if frame.array.dtype == np.uint16 else 8
    # 12비트를 푸는 뷰어는 드물어, 원본이 12비트일 때만 12비트로 쓴다.
    bits = depth if target.most_bits >= 16 or depth == 8 else 12 if picture.bits == 12 else 10
    if depth == 16 and (not target.sixteen_bit or (picture.animated and not picture.pages and target.name != "PNG")):
        steps.append(_to_eight_bits)
        notes.append(f"16비트를 8비트로 줄였습니다({label}는 16비트를 담지 못합니다).")
        depth = 8
    elif bits < min(picture.bits or depth, depth):
        notes.append(f"{depth}비트를 {bits}비트로 줄였습니다({label}는 {bits}비트까지 담습니다).")
    grey = not channels or picture.gray_alpha
    alpha = channels == [4]
    if alpha and not target.alpha:
        steps.append(_flatten_on_white)
        notes.append(f"알파 채널을 흰 배경에 합쳤습니다({label}는 투명도를 담지 못합니다).")
        alpha = False
    stays_grey = grey and (target.gray_alpha if alpha else target.gray)
    if stays_grey and channels:
        steps.append(_to_grey)
    metadata = frame.metadata or picture.metadata
    if metadata.icc:
        icc, colour_steps, colour_notes = _plan_profile(metadata.icc, grey, stays_grey, target)
        metadata = replace(metadata, icc=icc)
        steps += colour_steps
        notes += colour_notes
    if not channels and not stays_grey:
        steps.append(_spread_grey)
    if metadata != Metadata():
        metadata, lost = _fit_metadata(metadata, width, height, target, alpha)
        notes += [f"{', '.join(lost)} 정보를 뺐습니다({label}는 담지 못합니다)."] if lost else []
    return EncodeJob(
        format=target.name,
        width=width,
        height=height,
        kind=("LA" if alpha else "L") if stays_grey else ("RGBA" if alpha else "RGB"),
        depth=depth,
        steps=tuple(steps),
        metadata=metadata,
        notes=tuple(notes),
        count=picture.frame_count,
        loop=picture.loop,
        quality=quality or target.default_quality or 95,
        compression=compression,
        bits=bits,
        pages=(lambda page: plan_job(page, picture, target, quality, compression)) if picture.pages else None,
    )


def _to_eight_bits(image: Any) -> Any:
    """가장 가까운 8비트로(257로 나누어 반올림)."""
    space = "b-w" if image.bands < 3 else "srgb"
    return (image / 257).rint().cast("uchar").copy(interpretation=space)


def _flatten_on_white(image: Any) -> Any:
    """흰 배경 위에 놓는다."""
    full = 255 if image.format == "uchar" else 65535
    # 정수의 나눗셈은 버리므로 실수로 계산해 반올림한다.
    alpha = image[image.bands - 1] / full
    colour = image.extract_band(0, n=image.bands - 1)
    flat = (colour * alpha + (1 - alpha) * full).rint().cast(image.format)
    return flat.copy(interpretation=image.interpretation)


def _to_grey(image: Any) -> Any:
    """세 색이 같은 RGB와 RGBA를 회색, 회색+알파로 되돌린다."""
    grey = image[1] if image.bands == 3 else image[1].bandjoin(image[3])
    return grey.copy(interpretation="b-w" if image.format == "uchar" else "grey16")


def _spread_grey(image: Any) -> Any:
    """회색을 RGB로 편다."""
    return image.bandjoin([image, image]).copy(interpretation="srgb" if image.format == "uchar" else "rgb16")


def _plan_profile(
    icc: bytes, grey: bool, stays_grey: bool, target: ImageFormat
) -> tuple[bytes | None, list[_Step], list[str]]:
    """색 프로파일을 담을 수 없으면 픽셀을 sRGB로 옮길 단계를 더한다.

    Returns:
        `(남길 프로파일, 더할 단계들, 포기한 것을 알리는 문장들)`.
    """
    from realesrgan.media.colour import is_srgb, matching_icc, to_srgb, usable

    label, mode = target.extensions[0][1:], "L" if grey else "RGB"
    if matching_icc(icc, mode) is None:
        return None, [], ["색 프로파일(ICC)이 픽셀의 종류와 맞지 않아 뺐습니다."]
    if target.icc and grey == stays_grey:
        return icc, [], []
    if is_srgb(icc):
        return None, [], []
    if not usable(icc, grey=grey):
        return None, [], [f"색 프로파일(ICC)을 {label}에 담을 수 없어 뺐습니다."]
    note = f"색 프로파일(ICC)을 {label}에 담을 수 없어 픽셀을 sRGB로 옮겼습니다."
    return None, [lambda image: to_srgb(image, icc, grey=grey)], [note]


def _fit_metadata(
    metadata: Metadata, width: int, height: int, target: ImageFormat, alpha: bool
) -> tuple[Metadata, list[str]]:
    """형식이 담을 수 있는 것만 남기고, 크기를 적은 태그를 결과의 크기로 바꾼다. 뺀 것의 이름도 돌려준다."""
    from realesrgan.media.metadata import neutral_xmp, resized_exif, resized_xmp, with_dpi

    exif = metadata.exif if target.exif else None
    if metadata.dpi and target.exif and not target.dpi:
        exif = with_dpi(exif, metadata.dpi)
    keep_map = metadata.gain_map is not None and target.name == "JPEG" and not alpha
    xmp = metadata.xmp if target.xmp else None
    if xmp and metadata.gain_map and not keep_map:
        xmp = neutral_xmp(xmp)
    text = tuple(
        item
        for item in metadata.text
        if target.name == "PNG" or (target.name in ("JPEG", "GIF") and item[0] == "Comment")
    )
    lost_text = [key for key, _ in metadata.text if key not in {kept for kept, _ in text}]
    lost = [
        name
        for name, value, kept in (
            ("EXIF", metadata.exif, target.exif),
            ("XMP", metadata.xmp, target.xmp),
            ("DPI", metadata.dpi, target.dpi or target.exif),
            ("IPTC", metadata.iptc, target.iptc),
            ("이득 지도(gain map)", metadata.gain_map, keep_map),
            (f"글({', '.join(lost_text)})", lost_text, False),
        )
        if value and not kept
    ]
    fitted = Metadata(
        metadata.icc,
        resized_exif(exif, width, height) if exif else None,
        resized_xmp(xmp, width, height) if xmp else None,
        metadata.dpi if target.dpi else None,
        metadata.cicp if target.cicp else None,
        text,
        metadata.iptc if target.iptc else None,
        metadata.gain_map if keep_map else None,
    )
    return fitted, lost
