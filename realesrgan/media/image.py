"""이미지 파일을 읽고 쓴다. 파일이 들어오고 `Picture`가 나가며, `Picture`가 들어오고 파일이 나간다.

형식마다 `formats`의 표가 말하는 모듈이 머리를 읽고 풀고 쓰는데, 쓸 때에야 불러온다. 픽셀은 libvips나 Pillow가 풀고
누른다. 여기서는 형식과 상관없는 것만 한다: 한도, 오류의 이유, 픽셀과 메타데이터를 형식이 담을 모양으로 바꾸는 계획.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from importlib import import_module
from itertools import chain
from os import PathLike
from pathlib import Path
from typing import Any, BinaryIO, Literal

import numpy as np

from realesrgan.errors import ImageTooLargeError, ImageWriteError, UsageError
from realesrgan.media.formats import (
    BY_NAME,
    DEFAULT_MAX_OUTPUT_PIXELS,
    FORMATS,
    ImageFormat,
    animated_extensions,
    format_of_name,
    sniff_format,
    writable_extensions,
)
from realesrgan.media.picture import (
    Array,
    Frame,
    Header,
    ImageInfo,
    Metadata,
    MissingDecoderError,
    Picture,
    UnreadableError,
    UnsupportedError,
    apply_orientation,
    fill_transparent_colour,
    read_error,
    still,
)
from realesrgan.media.vips import LazyImage, from_array, load, to_array
from realesrgan.util.files import atomic_file, os_reason
from realesrgan.util.numbers import Outscale, scaled_size
from realesrgan.util.optional import is_installed

__all__ = [
    "DEFAULT_MAX_OUTPUT_PIXELS",
    "Frame",
    "ImageInfo",
    "Metadata",
    "Picture",
    "fill_transparent_colour",
    "looks_like_picture",
    "probe_image",
    "read_image",
    "still",
    "write_image",
]

StrPath = str | PathLike[str]
PixelKind = Literal["L", "LA", "RGB", "RGBA"]
_Step = Callable[[Any], Any]

# 읽기

_HEAD_BYTES = 64
# 여기서 읽지 못하는 이미지 형식의 앞머리. 확장자가 없는 파일이 이미지인지 볼 때만 쓴다.
_OTHER_SIGNATURES = (
    *(b"gimp xcf", b"8BPS\0", b"v/1\x01", b"#?RADIANCE", b"#?RGBE", b"P7\n", b"P7\r", b"P7 ", b"P7\t"),
    *(b"II\xbc\x01", b"FLIF", b"BPG\xfb", b"FUJIFILMCCD-RAW", b"IIRO", b"IIU\0"),
)


def probe_image(path: StrPath) -> ImageInfo:
    """이미지의 머리만 읽어 크기와 종류를 알아낸다. 어떤 유니코드 이름이어도 된다.

    Raises:
        ImageReadError: 파일을 열 수 없거나 이미지가 아닐 때.
    """
    path = Path(path)
    try:
        with path.open("rb") as file:
            return read_header(file, path).info
    except Exception as error:
        raise read_error(path, error) from error


def read_image(
    path: StrPath,
    *,
    outscale: Outscale = 1.0,
    max_output_pixels: int | None = DEFAULT_MAX_OUTPUT_PIXELS,
    value_range: tuple[float, float] | None = None,
    lazy: bool = False,
) -> Picture:
    """이미지를 읽는다.

    EXIF 방향을 적용하고, 비트 깊이는 자료형으로 나타내며(16비트는 uint16), 회색은 회색으로 두고 팔레트는 편다.
    CMYK와 LAB는 색 프로파일(ICC)을 거쳐 sRGB로 옮긴다. 애니메이션은 모든 프레임을 한 번 확인한 뒤
    한 장씩 푸는 `frames`로 돌려준다.

    Args:
        path: 이미지 파일. 형식은 확장자가 아니라 내용으로 알아낸다.
        outscale: 픽셀 한도를 결과의 크기로 재기 위한 배율이나 크기. 줄이는 배율이어도 푸는 메모리는 입력만큼 들므로
            1배로 본다.
        max_output_pixels: 결과 픽셀 수(모든 프레임의 합)의 한도. None이면 재지 않는다.
        value_range: 8비트나 16비트가 아닌 TIFF(실수, 부호 있는 정수, 32비트 정수)의 값을 옮길 범위 `(검정, 흰색)`.
            그 사이를 16비트로 고르게 옮기고 벗어난 값은 자른다. None이면 그런 파일은 읽지 않는다.
        lazy: 할 수 있는 형식이면 배열 대신 자른 곳만 읽는 RGB의 `vips.LazyImage`를 줄지.

    Raises:
        ImageTooLargeError: 결과가 한도를 넘을 때. 픽셀을 풀기 전에 머리만 보고 판단한다.
        ImageReadError: 없음, 권한 없음, 빈 파일, 잘림, 이미지가 아님, 지원하지 않는 종류.
    """
    path = Path(path)
    try:
        with path.open("rb") as file:
            header = read_header(file, path)
        info = header.info
        if max_output_pixels is not None:
            # 프레임의 수는 파일이 적은 대로라 수십억일 수 있다. 쪽만 저마다 크기가 다르다.
            pages = [page.info for page in header.detail] if info.pages else [info]
            sizes = [scaled_size(page.width, page.height, outscale, least=1) for page in pages]
            total = sum(width * height for width, height in sizes) * (1 if info.pages else info.frames)
            if total > max_output_pixels:
                raise _too_large(path, info, sizes[0], total, max_output_pixels)
        if info.format == "JPEG":
            image = load("jpegload", path)
            if image.bands <= 4 and image.interpretation not in ("cmyk", "multiband"):
                return finish_still(image, header, path, lazy=lazy)
        # 회색과 RGB가 아닌 JPEG는 Pillow가 푼다.
        module = "pillow" if info.format == "JPEG" else BY_NAME[info.format].module
        extra = {"value_range": value_range} if info.format == "TIFF" else {}
        picture: Picture = import_module(f".{module}", __package__).decode(path, header, lazy=lazy, **extra)
        return picture
    except ImageTooLargeError:
        raise
    except Exception as error:
        raise read_error(path, error) from error


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
    return name is not None or _is_other_picture(head)


def _is_other_picture(head: bytes) -> bool:
    """앞머리가 여기서 읽지 못하는 이미지의 것인가."""
    return head.startswith(_OTHER_SIGNATURES) or b"<svg" in head.lower()


def _too_large(path: Path, info: ImageInfo, size: tuple[int, int], total: int, limit: int) -> ImageTooLargeError:
    """결과(첫 프레임의 크기 `(너비, 높이)`)가 픽셀 수의 한도를 넘는다는 오류."""
    frames = f" x {info.frames:,}{'쪽' if info.pages else '프레임'}" if info.frames > 1 else ""
    return ImageTooLargeError(
        f"이미지가 너무 큽니다: {path}\n"
        f"  이유: 입력 {info.width:,}x{info.height:,}의 결과가 {size[0]:,}x{size[1]:,}{frames} = {total:,}픽셀로, "
        f"한도 {limit:,}픽셀을 넘습니다.\n"
        f"  해결: 믿을 수 있는 파일이면 --max_pixels {total} 이상을 주거나 --outscale을 줄이세요."
    )


def read_header(file: BinaryIO, path: Path | None = None) -> Header:
    """열린, 되감을 수 있는 파일의 머리를 읽는다. `path`는 앞머리로 알 수 없는 형식(TGA)을 확장자로 알아볼 때 쓴다.

    Raises:
        UnreadableError: 비었거나 이미지가 아니거나, 잘렸거나 망가졌을 때.
        Exception: Pillow의 디코더가 내는 여러 가지 예외.
    """
    file.seek(0)
    head = file.read(_HEAD_BYTES)
    name = sniff_format(head)
    if name is None and head and path is not None and (named := format_of_name(path)) and not named.signatures:
        # WebP, AVIF, HEIC도 표에 앞머리가 없지만 `sniff_format`이 따로 가린다.
        name = named.name if named.module == "pillow" else None
    if name is None and _is_other_picture(head):
        raise UnsupportedError("멀쩡한 이미지일 수 있지만 여기서 읽지 못하는 형식입니다.")
    if name is None:
        unknown = "이미지 파일이 아닙니다. 확장자와 달리 내용이 지원하는 이미지 형식이 아닙니다."
        raise UnreadableError(
            unknown if head else "빈 파일입니다(0바이트).", "PNG, JPEG, WebP 같은 이미지 파일을 주세요."
        )
    form = BY_NAME[name]
    if form.package is not None and not is_installed(form.package[0]):
        raise MissingDecoderError(
            f"이 형식을 다루려면 추가 패키지가 필요합니다. pip install {form.package[1]} 를 실행하세요."
        )
    header: Header = import_module(f".{form.module}", __package__).read_header(file)
    return header


def finish_still(image: Any, header: Header, source: Path, *, lazy: bool = False) -> Picture:
    """libvips의 회색, RGB(알파) 정지 이미지에 방향을 적용하고 메타데이터를 붙여 `Picture`로 만든다.

    Args:
        image: libvips의 이미지.
        header: 그 파일의 머리. `detail`은 메타데이터(`metadata.collect_metadata`의 `info`)다.
        source: 오류에 적을 이름.
        lazy: 배열 대신 `LazyImage`를 줄지.
    """
    metadata, notes = Metadata(), tuple[str, ...]()
    if any(header.detail.values()):
        from realesrgan.media.metadata import collect_metadata

        metadata, notes = collect_metadata(header.detail, grey=image.bands <= 2)
    grey_alpha = image.bands == 2
    if lazy:
        wide = image[0].bandjoin([image[0], *image.bandsplit()]) if grey_alpha else image
        array: Any = LazyImage(wide if header.orientation == 1 else _turned(wide, header.orientation), source)
    else:
        array = apply_orientation(bgr_array(image), header.orientation)
    return Picture((Frame(array, rgb=lazy),), 1, metadata, 0, header.info.format, grey_alpha, notes)


def _turned(image: Any, orientation: int) -> Any:
    """`picture.apply_orientation`과 같은 일을 픽셀을 읽지 않고 libvips에 적어 둔다."""
    if orientation >= 5:
        image = image.rot90().fliphor()
    if orientation in (2, 3, 6, 7):
        image = image.fliphor()
    return image.flipver() if orientation in (3, 4, 7, 8) else image


def bgr_array(image: Any) -> Array:
    """libvips의 회색, 회색+알파, RGB(A) 이미지를 회색, BGR, BGRA 배열로."""
    array = to_array(image)
    if array.ndim == 2:
        return array.copy()
    return np.ascontiguousarray(array[..., {2: [0, 0, 0, 1], 3: [2, 1, 0], 4: [2, 1, 0, 3]}[array.shape[2]]])


# 쓰기

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
        strip_rows: `strips`가 한 번에 내는 줄의 수. 마지막만 더 적을 수 있다.
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
    strip_rows: int = 1
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

    def strips(self, frame: Frame) -> Iterator[tuple[int, Array]]:
        """`pixels`를 `(윗줄의 번호, 몇 줄)`로 나누어 낸다. 통째로 메모리에 두지 않는다."""
        # 바꿀 것이 없는 배열은 그대로 자른다.
        ready = isinstance(frame.array, np.ndarray) and not self.steps and (frame.rgb or frame.array.ndim == 2)
        rows = frame.array if ready else LazyImage(self.image(frame))
        for top in range(0, self.height, self.strip_rows):
            yield top, rows[top : top + self.strip_rows, : self.width]


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
            notes = import_module(f".{target.module}", __package__).write(file, chain([first], frames), job)
            # 인코더가 프레임을 남기지 않았는지 본다. 남았다면 프레임 수가 틀린 것이다.
            next(frames, None)
    except (OSError, MemoryError, UnreadableError) as error:
        raise _failure(path, *_reason(path, error, target)) from error
    return (*picture.notes, *job.notes, *notes)


def check_target(path: Path, picture: Picture) -> ImageFormat:
    """읽은 이미지를 그 확장자의 형식에 담을 수 있는지, 키우기 전에 본다.

    Raises:
        ImageWriteError: 모르는 확장자, 설치되지 않은 패키지, 담을 수 없는 애니메이션이나 쪽, 담으면 색의 뜻을 잃는 HDR.
    """
    target = format_of_name(path)
    if target is None or not target.writable:
        known = " ".join(writable_extensions())
        why, remedy = f"쓸 수 없는 확장자입니다: {path.suffix or '(없음)'}", f"다음 가운데 하나를 쓰세요: {known}"
        raise _failure(path, why, remedy)
    if target.package is not None and not is_installed(target.package[0]):
        package = target.package[1]
        raise _failure(path, f"{package}가 설치되어 있지 않습니다.", f"pip install {package} 를 실행하세요.")
    label, count = target.extensions[0], picture.frame_count
    transfer = (picture.metadata.cicp or (0, 0))[1]
    if picture.pages and count > 1 and target.name != "TIFF":
        why = f"{count}쪽의 TIFF를 {label}에는 담을 수 없습니다."
        raise _failure(path, why, "--ext tif 를 쓰거나, 쪽을 나누어 저장한 뒤 다시 하세요.")
    if not picture.pages and count > 1 and not target.animation:
        why = f"{count}프레임의 애니메이션을 {label}에는 담을 수 없습니다."
        raise _failure(path, why, f"애니메이션을 담는 형식을 쓰세요: {' '.join(animated_extensions())}")
    if transfer in (16, 18) and not ("cicp" in target.carries and target.sixteen_bit):
        why = f"{ {16: 'PQ', 18: 'HLG'}[transfer] }로 적은 HDR 이미지의 밝기와 색을 {label}에는 담을 수 없습니다."
        raise _failure(path, why, "--ext png 나 --ext avif 를 쓰세요.")
    return target


def _failure(path: Path, why: str, remedy: str) -> ImageWriteError:
    return ImageWriteError(f"이미지를 쓰지 못했습니다: {path}\n  이유: {why}\n  해결: {remedy}")


def _reason(path: Path, error: OSError | MemoryError | UnreadableError, target: ImageFormat) -> tuple[str, str]:
    """운영체제와 인코더의 오류, 쓰는 동안 읽지 못한 것의 `(이유, 해결)`."""
    if isinstance(error, UnreadableError):
        return f"쓸 픽셀을 읽지 못했습니다. {error.why}", error.remedy
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
    if (side := max(width, height)) > target.max_side:
        wider = " ".join(item.extensions[0] for item in FORMATS if item.max_side >= side)
        why = f"{width:,}x{height:,}는 {target.extensions[0]}의 한 변 한도 {target.max_side:,}픽셀을 넘습니다."
        raise _failure(path, why, f"다음 가운데 하나를 쓰세요: {wider}")
    seen = 0
    for seen, frame in enumerate(chain([first], frames), 1):
        same = picture.pages or (frame.array.shape == shape and frame.array.dtype == dtype)
        if seen > count or not same:
            raise ValueError(f"{seen}번째 프레임이 약속({count}장, {shape})과 다르다")
        yield frame
    if seen != count:
        raise ValueError(f"프레임이 {count}장이어야 하는데 {seen}장이다")


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
        from realesrgan.media.metadata import fit_metadata

        metadata, lost = fit_metadata(metadata, width, height, target)
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
        strip_rows=max(_STRIP_PIXELS // width, 1),
        pages=(lambda page: plan_job(page, picture, target, quality, compression)) if picture.pages else None,
    )


def _to_eight_bits(image: Any) -> Any:
    """가장 가까운 8비트로(257로 나누어 반올림)."""
    return (image / 257).rint().cast("uchar").copy(interpretation="b-w" if image.bands < 3 else "srgb")


def _flatten_on_white(image: Any) -> Any:
    """흰 배경 위에 놓는다. 정수의 나눗셈은 버리므로 실수로 계산해 반올림한다."""
    full = 255 if image.format == "uchar" else 65535
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
    """`(남길 프로파일, 더할 단계들, 포기한 것을 알리는 문장들)`. 담을 수 없는 프로파일이면 픽셀을 sRGB로 옮긴다."""
    from realesrgan.media.colour import is_srgb, matching_icc, to_srgb, usable

    label = target.extensions[0][1:]
    if matching_icc(icc, "L" if grey else "RGB") is None:
        return None, [], ["색 프로파일(ICC)이 픽셀의 종류와 맞지 않아 뺐습니다."]
    if "icc" in target.carries and grey == stays_grey:
        return icc, [], []
    if is_srgb(icc):
        return None, [], []
    if not usable(icc, grey=grey):
        return None, [], [f"색 프로파일(ICC)을 {label}에 담을 수 없어 뺐습니다."]
    note = f"색 프로파일(ICC)을 {label}에 담을 수 없어 픽셀을 sRGB로 옮겼습니다."
    return None, [lambda image: to_srgb(image, icc, grey=grey)], [note]
