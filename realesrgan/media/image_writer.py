"""그림 파일을 쓴다. `Picture`가 들어오고 파일이 나간다."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from itertools import chain
from os import PathLike
from pathlib import Path
from typing import BinaryIO

from realesrgan.errors import ImageWriteError, UsageError
from realesrgan.media.bmp_writer import write_bmp
from realesrgan.media.encode_job import EncodeJob
from realesrgan.media.formats import FORMATS, ImageFormat, animated_extensions, format_of_name, writable_extensions
from realesrgan.media.gif_writer import write_gif
from realesrgan.media.jpeg_writer import write_jpeg
from realesrgan.media.lossy_writer import write_avif, write_heif, write_webp
from realesrgan.media.metadata import fit_metadata
from realesrgan.media.picture import Frame, Picture, check_array
from realesrgan.media.pixel_plan import plan_pixels
from realesrgan.media.png_writer import write_png
from realesrgan.media.tiff_writer import write_tiff
from realesrgan.util.files import atomic_file, os_reason

StrPath = str | PathLike[str]
_Writer = Callable[[BinaryIO, Iterable[Frame], EncodeJob], tuple[str, ...]]

_WRITERS: dict[str, _Writer] = {
    "PNG": write_png,
    "JPEG": write_jpeg,
    "WEBP": write_webp,
    "BMP": write_bmp,
    "TIFF": write_tiff,
    "AVIF": write_avif,
    "GIF": write_gif,
    "HEIF": write_heif,
}


def write_image(path: StrPath, picture: Picture, *, quality: int | None = None) -> tuple[str, ...]:
    """그림을 확장자가 뜻하는 형식으로 쓴다.

    대상 곁의 임시 파일에 쓴 뒤 이름을 바꾸므로(atomic) 실패하거나 Ctrl-C를 눌러도 반쯤 쓴 파일이 남지 않고,
    이미 있던 파일도 그대로다. 프레임은 한 번만, 차례로 돈다.

    Args:
        path: 쓸 파일. 폴더는 이미 있어야 한다.
        picture: 쓸 그림. 배열은 uint8 또는 uint16의 `(H, W)`, BGR, BGRA.
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
    target = _target_format(path)
    _check_animation(path, picture, target)
    frames = iter(picture.frames)
    first = next(frames, None)
    if first is None:
        raise ValueError("쓸 프레임이 없다")
    check_array(first.array)
    height, width = first.array.shape[:2]
    _check_size(path, width, height, target)
    plan = plan_pixels(first, picture, target)
    job = EncodeJob(
        width=width,
        height=height,
        kind=plan.kind,
        depth=plan.depth,
        convert=plan.convert,
        metadata=fit_metadata(plan.metadata, width, height),
        count=picture.frame_count,
        loop=picture.loop,
        quality=quality or target.default_quality or 95,
    )
    notes = _write(path, target, _counted(chain([first], frames), first, picture.frame_count), job)
    return (*picture.notes, *plan.notes, *notes)


def _write(path: Path, target: ImageFormat, frames: Iterator[Frame], job: EncodeJob) -> tuple[str, ...]:
    """임시 파일에 쓰고 이름을 바꾼다. 운영체제와 부호화기의 오류를 `ImageWriteError`로 바꾼다."""
    try:
        with atomic_file(path) as file:
            notes = _WRITERS[target.name](file, frames, job)
            # 부호화기가 프레임을 남기지 않았는지 본다. 남았다면 프레임 수가 틀린 것이다.
            next(frames, None)
            return notes
    except OSError as error:
        if error.errno is None:
            raise _failure(path, f"부호화기가 실패했습니다({error}).", "--ext png 로 바꾸어 쓰세요.") from error
        if path.is_dir():
            raise _failure(path, "같은 이름의 폴더가 있습니다.", "다른 이름을 쓰세요.") from error
        raise _failure(path, *os_reason(error)) from error
    except MemoryError as error:
        remedy = "메모리를 적게 쓰는 --ext png 로 바꾸거나 --outscale을 줄이세요."
        raise _failure(path, f"{target.name}로 부호화할 메모리가 모자랍니다.", remedy) from error


def _failure(path: Path, why: str, remedy: str) -> ImageWriteError:
    return ImageWriteError(f"그림을 쓰지 못했습니다: {path}\n  이유: {why}\n  해결: {remedy}")


def _target_format(path: Path) -> ImageFormat:
    target = format_of_name(path)
    if target is None:
        extensions = " ".join(writable_extensions())
        raise _failure(
            path, f"쓸 수 없는 확장자입니다: {path.suffix or '(없음)'}", f"다음 가운데 하나를 쓰세요: {extensions}"
        )
    return target


def _check_animation(path: Path, picture: Picture, target: ImageFormat) -> None:
    if picture.animated and not target.animation:
        raise _failure(
            path,
            f"{picture.frame_count}프레임의 애니메이션을 {target.extensions[0]}에는 담을 수 없습니다.",
            f"애니메이션을 담는 형식을 쓰세요: {' '.join(animated_extensions())}",
        )


def _check_size(path: Path, width: int, height: int, target: ImageFormat) -> None:
    if max(width, height) <= target.max_side:
        return
    wider = [item.extensions[0] for item in FORMATS if item.max_side >= max(width, height)]
    raise _failure(
        path,
        f"{width:,}x{height:,}는 {target.extensions[0]}의 한 변 한도 {target.max_side:,}픽셀을 넘습니다.",
        f"다음 가운데 하나를 쓰세요: {' '.join(wider)}",
    )


def _counted(frames: Iterable[Frame], first: Frame, count: int) -> Iterator[Frame]:
    """프레임의 모양과 수가 약속과 같은지 보면서 넘긴다."""
    seen = 0
    for frame in frames:
        seen += 1
        if seen > count or frame.array.shape != first.array.shape or frame.array.dtype != first.array.dtype:
            raise ValueError(f"{seen}번째 프레임이 약속({count}장, {first.array.shape})과 다르다")
        yield frame
    if seen != count:
        raise ValueError(f"프레임이 {count}장이어야 하는데 {seen}장이다")
