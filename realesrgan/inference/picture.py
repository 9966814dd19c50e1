"""이미지 파일 하나를 키워 파일로 쓴다. 파일이 들어오고 파일이 나간다."""

from __future__ import annotations

import errno
import logging
import math
import os
import shutil
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from realesrgan.errors import ImageWriteError, UsageError
from realesrgan.inference.model import Model, load
from realesrgan.inference.tiling import Progress
from realesrgan.media.formats import DEFAULT_MAX_OUTPUT_PIXELS
from realesrgan.media.image import Frame, Picture, check_target, read_image, write_image
from realesrgan.media.picture import fill_transparent_rows
from realesrgan.media.vips import RAW_BYTES, RawImage
from realesrgan.util.files import identity, make_writable_folder, os_reason, scratch_beside
from realesrgan.util.numbers import Outscale, check_outscale, passes_note, plan_passes, scale_factor, scaled_size

if TYPE_CHECKING:
    from realesrgan.inference.steps import Step

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class PictureSettings:
    """이미지를 어떻게 키우고 쓸지.

    Attributes:
        outscale: 마지막 업스케일 배율(0보다 크다)이나 결과의 크기(`OutputSize`). None이면 네트워크의 배율.
        alpha_upsampler: 알파 채널(alpha channel)을 키우는 방법. `realesrgan`(네트워크) 또는 `bicubic`(빠른 보간).
        steps: 네트워크 다음에 거칠 단계들(`"blend=0.7"` 등).
        quality: 손실 압축의 품질(1..100). None이면 형식의 기본값.
        compression: PNG와 TIFF의 압축의 세기(0..9). None이면 형식의 기본값.
        keep_time: 결과의 수정 시각을 입력의 것으로 할지.
        value_range: 실수와 32비트 TIFF의 값을 16비트로 옮길 범위 `(검정, 흰색)`. None이면 그런 파일은 읽지 않는다.
        max_output_pixels: 결과 픽셀 수(모든 프레임의 합)의 한도. None이면 재지 않는다.

    Raises:
        InvalidValueError: 배율을 쓸 수 없을 때.
    """

    outscale: Outscale | None = None
    alpha_upsampler: str = "realesrgan"
    steps: tuple[str | Step, ...] = ()
    quality: int | None = None
    compression: int | None = None
    keep_time: bool = False
    value_range: tuple[float, float] | None = None
    max_output_pixels: int | None = DEFAULT_MAX_OUTPUT_PIXELS

    def __post_init__(self) -> None:
        if self.outscale is not None:
            check_outscale(self.outscale)


@dataclass(frozen=True)
class PictureResult:
    """이미지 하나를 키운 결과.

    Attributes:
        source, target: 입력 파일과 결과 파일.
        input_size, output_size: `(너비, 높이)`, 픽셀. 입력은 방향(EXIF orientation)을 적용한 뒤의 크기다.
        outscale: 쓴 업스케일 배율.
        frames: 프레임 수.
        seconds: 읽기부터 쓰기까지 걸린 시간(초).
        counts: 단계가 센 것(`faces` 등)의 이름과 수. 모든 프레임의 합이다.
        notes: 결과에 담지 못해 포기한 것들.
    """

    source: Path
    target: Path
    input_size: tuple[int, int]
    output_size: tuple[int, int]
    outscale: float
    frames: int
    seconds: float
    counts: Mapping[str, int] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


def upscale_file(
    source: str | Path,
    target: str | Path,
    *,
    model: Model | str | Path,
    settings: PictureSettings | None = None,
    progress: Progress | None = None,
) -> PictureResult:
    """이미지 하나를 읽어 키우고 쓴다. 결과는 다 만들어진 뒤에야 제자리에 나타난다(atomic).

    Args:
        source: 입력 파일.
        target: 결과 파일. 폴더는 만들고, 이미 있는 파일은 바꾼다. 형식은 확장자를 따른다.
        model: 모델, 또는 `realesrgan.load`가 받는 이름이나 경로. 여럿을 키울 때는 한 번 실어 넘긴다.
        settings: 설정. 없으면 기본값.
        progress: `(끝난 양, 전체 양)`을 받는 함수.

    Raises:
        ImageReadError: 읽을 수 없거나 결과가 한도를 넘을 때.
        ImageWriteError: 쓸 수 없거나 입력을 덮어쓸 때. 이름과 폴더의 문제는 키우기 전에 알린다.
        WeightsError, UsageError: 모델을 실을 수 없거나 단계를 알 수 없을 때.
        OutOfMemoryError, NonFiniteOutputError: 키울 수 없을 때.
    """
    source, target = Path(source), Path(target)
    settings = settings or PictureSettings()
    if not isinstance(settings, PictureSettings):
        raise UsageError(
            f"settings는 PictureSettings여야 합니다: {type(settings).__name__}\n"
            "  해결: realesrgan.PictureSettings(outscale=2)처럼 주세요."
        )
    if not isinstance(model, Model):
        model = load(model)
    started = time.perf_counter()
    outscale: Outscale = model.scale if settings.outscale is None else settings.outscale
    if identity(source) == identity(target):
        raise ImageWriteError(f"결과가 입력을 덮어씁니다: {source}\n  해결: 결과에 다른 이름을 주세요.")
    # 오래 계산한 뒤에야 쓸 수 없음을 알게 되지 않도록 먼저 본다.
    prepare_target(target)
    limits: dict[str, Any] = {"max_output_pixels": settings.max_output_pixels, "value_range": settings.value_range}
    picture = read_image(source, outscale=outscale, lazy=True, **limits)
    check_target(target, picture)
    sizes: list[tuple[int, int]] = []
    counts: Counter[str] = Counter()
    with ExitStack() as stack:
        frames = _enlarged_frames(
            picture, model, outscale, settings, progress, sizes, partial(_allocate, stack, target.parent), counts
        )
        enlarged = replace(picture, frames=frames)
        notes = write_image(target, enlarged, quality=settings.quality, compression=settings.compression)
    if settings.keep_time:
        times = source.stat()
        os.utime(target, ns=(times.st_atime_ns, times.st_mtime_ns))
    size = scaled_size(*sizes[0], outscale)
    passes = plan_passes(*sizes[0], size, model.scale)
    return PictureResult(
        source=source,
        target=target,
        input_size=sizes[0],
        output_size=size,
        outscale=round(float(scale_factor(outscale, *sizes[0])), 6),
        frames=len(sizes),
        seconds=time.perf_counter() - started,
        counts=dict(counts),
        notes=(*notes, *passes_note(passes)) if len(passes) > 1 else notes,
    )


def prepare_target(target: Path) -> None:
    """결과의 폴더를 만들고, 그 이름으로 파일을 쓸 수 있는지 본다.

    파일 시스템마다 이름의 규칙이 달라(길이, 쓸 수 없는 글자) 같은 폴더 안의 임시 폴더에 그 이름으로 만들어 본다.
    그사이에 죽어 남은 폴더는 다음 실행이 지운다(`remove_abandoned`).

    Raises:
        ImageWriteError: 폴더를 만들거나 그 이름으로 쓸 수 없을 때.
    """
    if not target.name:
        raise ImageWriteError(f"결과의 파일 이름이 없습니다: {target}\n  해결: out.png처럼 파일 이름까지 적어 주세요.")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        scratch = scratch_beside(target, ".part")
        scratch.mkdir()
    except OSError as error:
        raise _unwritable_folder(target.parent, error) from error
    try:
        if target.is_dir():
            raise IsADirectoryError(errno.EISDIR, "Is a directory", str(target))
        # Windows의 규칙은 하나라 계획할 때 이름만 보고 안다. 임시 폴더까지의 길이가 경로의 한도를 넘을 수도 있다.
        if os.name != "nt" and not target.exists():
            (scratch / target.name).touch()
    except OSError as error:
        reason, remedy = os_reason(error)
        raise ImageWriteError(
            f"결과를 쓸 수 없습니다: {target}\n  이 이름으로는 파일을 만들 수 없습니다. {reason}\n  해결: {remedy}"
        ) from error
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def prepare_folder(folder: Path) -> None:
    """결과 폴더를 만들고 쓸 수 있는지 본다.

    Raises:
        ImageWriteError: 만들거나 쓸 수 없을 때.
    """
    try:
        make_writable_folder(folder)
    except OSError as error:
        raise _unwritable_folder(folder, error) from error


def _unwritable_folder(folder: Path, error: OSError) -> ImageWriteError:
    reason, remedy = os_reason(error)
    return ImageWriteError(f"결과 폴더에 쓸 수 없습니다: {folder}\n  {reason}\n  해결: {remedy}")


def _enlarged_frames(
    picture: Picture,
    model: Model,
    outscale: Outscale,
    settings: PictureSettings,
    progress: Progress | None,
    sizes: list[tuple[int, int]],
    allocate: Callable[..., Any],
    counts: Counter[str],
) -> Iterator[Frame]:
    """프레임을 하나씩 키운다. 한 번에 한 장만 메모리에 둔다. 크기와 단계가 센 것을 `sizes`와 `counts`에 적는다.

    큰 결과는 메모리가 아니라 `allocate`가 만드는 임시 파일에 모은다.
    """
    count = max(picture.frame_count, 1)
    for index, frame in enumerate(picture.frames):
        height, width = frame.array.shape[:2]
        sizes.append((width, height))

        array = frame.array
        if array.shape[2:] == (4,):
            # 투명한 곳의 색은 뜻이 없지만 네트워크는 그것도 본다. 보이는 색을 번지게 해 테두리를 막는다.
            array = fill_transparent_rows(array, allocate(array.shape, array.dtype))
        part = progress
        if progress is not None and count > 1:
            part = partial(_report_part, progress, index, count)
        output = model.upscale_array(
            array,
            outscale,
            alpha_upsampler=settings.alpha_upsampler,
            steps=settings.steps,
            progress=part,
            bgr=not frame.rgb,
            allocate=allocate,
            counts=counts,
        )
        yield replace(frame, array=output)


def _allocate(stack: ExitStack, folder: Path, shape: tuple[int, ...], dtype: Any) -> Any:
    """결과를 모을 배열. 크면 `stack`이 닫힐 때 지우는 임시 파일이고, 디스크에 자리가 없으면 메모리에 둔다."""
    if math.prod(shape) * np.dtype(dtype).itemsize <= RAW_BYTES:
        return np.empty(shape, dtype)
    try:
        raw = RawImage(folder, shape, dtype)
    except OSError as error:
        logger.warning("결과를 모을 임시 파일을 만들지 못해 메모리에 모읍니다. %s", os_reason(error)[0])
        return np.empty(shape, dtype)
    stack.callback(raw.close)
    return raw


def _report_part(progress: Progress, index: int, count: int, done: int, total: int) -> None:
    """`count`장 가운데 `index`번째의 진행을 전체의 진행으로 알린다."""
    progress(index * total + done, count * total)
