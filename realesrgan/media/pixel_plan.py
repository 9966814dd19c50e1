"""픽셀을 파일 형식이 담을 수 있는 모양으로 바꾸는 계획. 무엇을 포기했는지도 함께 적는다."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from PIL import ImageCms

from realesrgan.media.colour import from_array, matching_icc, srgb_converter
from realesrgan.media.encode_job import PixelKind
from realesrgan.media.exif import with_dpi
from realesrgan.media.formats import ImageFormat
from realesrgan.media.picture import Array, Frame, Metadata, Picture
from realesrgan.util.optional import import_cv2

_Step = Callable[[Array], Array]


@dataclass(frozen=True)
class PixelPlan:
    """바꾸는 순서와 그 결과.

    Attributes:
        kind, depth: 결과의 종류와 비트 수.
        steps: 가로 띠에 차례로 적용할 순수 함수들.
        metadata: 형식이 담을 수 있는 것만 남긴 메타데이터.
        notes: 포기한 것을 알리는 한국어 문장들.
    """

    kind: PixelKind
    depth: int
    steps: tuple[_Step, ...]
    metadata: Metadata
    notes: tuple[str, ...]

    def convert(self, strip: Array) -> Array:
        """띠 하나를 바꾼다. 여러 스레드에서 함께 불러도 된다."""
        for step in self.steps:
            strip = step(strip)
        return strip


def plan_pixels(frame: Frame, picture: Picture, target: ImageFormat) -> PixelPlan:
    """프레임을 `target` 형식에 담을 계획을 세운다. 픽셀은 아직 건드리지 않는다."""
    label = target.extensions[0][1:]
    steps: list[_Step] = []
    notes: list[str] = []
    depth = 16 if frame.array.dtype == np.uint16 else 8
    if depth == 16 and not target.sixteen_bit:
        steps.append(reduce_depth)
        notes.append(f"16비트를 8비트로 줄였습니다({label}는 16비트를 담지 못합니다).")
        depth = 8
    grey = frame.array.ndim == 2 or picture.gray_alpha
    alpha = frame.has_alpha
    if alpha and not target.alpha:
        steps.append(flatten_on_white)
        notes.append(f"알파 채널을 흰 배경에 합쳤습니다({label}는 투명도를 담지 못합니다).")
        alpha = False
    if picture.gray_alpha and frame.array.ndim == 3 and (target.gray_alpha if alpha else target.gray):
        steps.append(to_grey)
    stays_grey = grey and (target.gray_alpha if alpha else target.gray)
    metadata, colour_steps, colour_notes = _plan_metadata(picture.metadata, grey, stays_grey, depth, target)
    steps += colour_steps
    if frame.array.ndim == 2 and not stays_grey:
        steps.append(spread_grey)
    kind: PixelKind = ("LA" if alpha else "L") if stays_grey else ("BGRA" if alpha else "BGR")
    return PixelPlan(kind, depth, tuple(steps), metadata, (*notes, *colour_notes))


def _plan_metadata(
    metadata: Metadata, grey: bool, stays_grey: bool, depth: int, target: ImageFormat
) -> tuple[Metadata, list[_Step], list[str]]:
    """담을 수 없는 메타데이터를 빼고, 색 프로파일을 빼야 하면 픽셀을 sRGB로 옮기는 단계를 더한다."""
    label = target.extensions[0][1:]
    steps: list[_Step] = []
    notes: list[str] = []
    icc = metadata.icc
    if icc and matching_icc(icc, "L" if grey else "RGB") is None:
        icc = None
        notes.append("색 프로파일(ICC)이 픽셀의 종류와 맞지 않아 뺐습니다.")
    elif icc and not (target.icc and grey == stays_grey):
        step = None if depth == 16 or _is_srgb(icc) else _srgb_step(icc, "L" if grey else "RGB")
        if step:
            steps.append(step)
            notes.append(f"색 프로파일(ICC)을 {label}에 담을 수 없어 픽셀을 sRGB로 옮겼습니다.")
        elif not _is_srgb(icc):
            notes.append(f"색 프로파일(ICC)을 {label}에 담을 수 없어 뺐습니다.")
        icc = None
    lost = [
        name
        for name, value, ok in (
            ("EXIF", metadata.exif, target.exif),
            ("XMP", metadata.xmp, target.xmp),
            ("DPI", metadata.dpi, target.dpi or target.exif),
        )
        if value and not ok
    ]
    if lost:
        notes.append(f"{', '.join(lost)} 정보를 뺐습니다({label}는 담지 못합니다).")
    exif = metadata.exif if target.exif else None
    if metadata.dpi and target.exif and not target.dpi:
        exif = with_dpi(exif, metadata.dpi)
    kept = replace(
        metadata,
        icc=icc,
        exif=exif,
        xmp=metadata.xmp if target.xmp else None,
        dpi=metadata.dpi if target.dpi else None,
    )
    return kept, steps, notes


def _is_srgb(icc: bytes) -> bool:
    """프로파일의 이름이 sRGB인가. 프로파일이 없는 그림은 sRGB로 보므로 빼도 색이 같다."""
    import io

    try:
        return "srgb" in ImageCms.getProfileDescription(io.BytesIO(icc)).lower()
    except (ImageCms.PyCMSError, OSError):
        return False


def _srgb_step(icc: bytes, mode: str) -> _Step | None:
    """색 프로파일을 거쳐 sRGB로 옮기는 단계. 프로파일을 쓸 수 없으면 None."""
    try:
        converter = srgb_converter(icc, mode)
    except ImageCms.PyCMSError:
        return None

    def step(strip: Array) -> Array:
        colour = strip if strip.ndim == 2 else strip[..., :3]
        if mode == "L" and strip.ndim == 3:
            colour = strip[..., 1]
        converted: Array = np.asarray(converter(from_array(colour)))[..., ::-1]
        if strip.ndim == 2:
            return np.ascontiguousarray(converted[..., 1])
        return np.ascontiguousarray(np.concatenate([converted, strip[..., 3:]], axis=2))

    return step


def reduce_depth(strip: Array) -> Array:
    """uint16을 가장 가까운 uint8로 줄인다(257로 나누어 반올림)."""
    cv2 = import_cv2()
    reduced: Any = cv2.convertScaleAbs(strip, alpha=1 / 257)
    return reduced.reshape(strip.shape)


def flatten_on_white(strip: Array) -> Array:
    """uint8 BGRA를 흰 배경 위에 놓은 BGR로 합친다."""
    colour, alpha = strip[..., :3].astype(np.uint16), strip[..., 3:].astype(np.uint16)
    return ((colour * alpha + 255 * (255 - alpha) + 127) // 255).astype(np.uint8)


def to_grey(strip: Array) -> Array:
    """세 색이 같은 BGR과 BGRA를 회색, 회색+알파로 되돌린다."""
    cv2 = import_cv2()
    grey: Array = cv2.cvtColor(np.ascontiguousarray(strip[..., :3]), cv2.COLOR_BGR2GRAY)
    return np.stack([grey, strip[..., 3]], axis=2) if strip.shape[2] == 4 else grey


def spread_grey(strip: Array) -> Array:
    """회색을 BGR로 편다."""
    return np.repeat(strip[..., None], 3, axis=2)
