"""미리보기와 어림: 키우는 동안 지금의 프레임을 이미지로 적고, 키우기 전에 걸릴 시간을 어림한다."""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np
import torch

from realesrgan.errors import ImageWriteError, VideoReadError
from realesrgan.inference.frames import Shape
from realesrgan.inference.model import Model
from realesrgan.inference.yuv import planes_to_rgb, to_tensor
from realesrgan.media.image import still, write_image
from realesrgan.media.picture import Array
from realesrgan.media.video.encoders import set_up
from realesrgan.media.video.files import import_av
from realesrgan.media.video.layouts import frame_of
from realesrgan.media.video.types import Planes, VideoInfo
from realesrgan.util.machine import available_cores
from realesrgan.util.numbers import scale_factor
from realesrgan.video.plan import VideoPlan, plan_video
from realesrgan.video.settings import PICTURES, STREAM_CONTAINERS, VideoSettings, VideoSource, VideoTarget
from realesrgan.video.workers import WorkerPlan, as_models, make_workers, plan_workers

logger = logging.getLogger(__name__)

PREVIEW_SECONDS = 10.0


def frame_image(planes: Planes, shape: Shape) -> Array:
    """프레임을 `(H, W, 3)` BGR 배열로 바꾼다. 8비트면 uint8, 더 깊으면 uint16. 알파는 뺀다."""
    tensors = [to_tensor([plane], torch.device("cpu")) for plane in planes]
    rgb = planes_to_rgb(tensors, shape.layout, shape.colour)[0]
    top, dtype = (255, np.uint8) if shape.layout.bits == 8 else (65535, np.uint16)
    pixels = (rgb.flip(0).permute(1, 2, 0) * top).round().numpy().astype(dtype)
    return np.ascontiguousarray(pixels)


class Preview:
    """첫 프레임을, 그 뒤로는 이따금 지금의 프레임을 이미지 하나에 적는다.

    Args:
        path: 이미지의 경로.
        shape: 받을 프레임의 모양.
        every: 적는 간격(초).

    Attributes:
        written: 적은 경로. 아직 적지 못했으면 None.
    """

    def __init__(self, path: Path, shape: Shape, *, every: float = PREVIEW_SECONDS) -> None:
        self._path: Path | None = path
        self._shape = shape
        self._every = every
        self._next = 0.0
        self.written: Path | None = None

    def offer(self, planes: Planes) -> None:
        """때가 되었으면 적는다. 적지 못하면 한 번 알리고 그만둔다. 비디오는 계속 만든다."""
        if self._path is None or time.monotonic() < self._next:
            return
        try:
            write_image(self._path, still(frame_image(planes, self._shape)))
            self.written = self._path
        except ImageWriteError as error:
            logger.warning("미리보기를 쓸 수 없어 그만둡니다: %s", error)
            self._path = None
        self._next = time.monotonic() + self._every


@dataclass(frozen=True)
class VideoEstimate:
    """키우지 않고 어림한 것.

    Attributes:
        plan: 계획.
        workers: 작업자들.
        outscale: 쓸 배율.
        seconds_per_frame: 프레임 하나에 드는 벽시계 시간(초).
        preview: 적어 둔 미리보기의 경로.
        size: 결과에서 비디오의 크기(바이트). 모르면 None.
        original: 미리보기를 적었을 때, 그것과 견줄 원본의 첫 프레임. 똑바로 세운 `(H, W, 3)` BGR.
    """

    plan: VideoPlan
    workers: WorkerPlan
    outscale: float
    seconds_per_frame: float
    preview: Path | None = None
    size: int | None = None
    original: Array | None = None


SAMPLE_FRAMES = 24
_SAMPLE_PIXELS = 200_000_000
"""크기를 어림하려고 인코딩해 볼 픽셀 수의 한도. 8K면 여섯 프레임이다."""


def estimate_size(plan: VideoPlan, settings: VideoSettings, frames: Sequence[Planes]) -> int | None:
    """결과의 크기를 어림한다(바이트). 앞의 몇 프레임을 보간으로 키워 정해진 대로 인코딩해 본다.

    Args:
        plan: 계획.
        settings: 설정. 비트율을 정했으면 그것으로 셈한다.
        frames: 원본의 잇닿은 프레임들.
    """
    encoding, count = plan.encoding, plan.frames
    if count is None or encoding.container in (*PICTURES, *STREAM_CONTAINERS.values()) or not frames:
        return None
    if settings.bitrate is not None:
        return round(settings.bitrate * count / encoding.rate / 8)
    context = import_av().CodecContext.create(encoding.codec, "w")
    set_up(context, encoding)
    total = 0
    frames = frames[: max(2, _SAMPLE_PIXELS // (encoding.width * encoding.height))]
    for number, planes in enumerate(frames):
        frame = frame_of(planes, plan.info.layout).reformat(
            encoding.width, encoding.height, encoding.pix_fmt or encoding.layout.pix_fmt
        )
        frame.pts, frame.time_base = number * round(1 / (encoding.rate * encoding.time_base)), encoding.time_base
        total += sum(packet.size for packet in context.encode(frame))
    total += sum(packet.size for packet in context.encode(None))
    return total * count // len(frames)


def estimate_video(
    source: VideoSource,
    target: VideoTarget,
    *,
    model: Model | str | Path | Sequence[Model],
    settings: VideoSettings,
) -> VideoEstimate:
    """첫 프레임만 키워 걸릴 시간을 어림한다. `settings.preview`가 있으면 그것을 적는다.

    Raises:
        VideoError: 읽거나 쓸 수 없는 비디오일 때.
        UsageError: 구간에 프레임이 없을 때.
    """
    models = as_models(model)
    outscale = settings.outscale or models[0].scale
    with closing(source.open()) as reader:
        plan = plan_video(source, target, settings, reader, outscale, models[0].scale)
        workers = plan_workers(models[0], plan.largest_input, settings, cores=available_cores())
        taken = islice((item for item in reader.frames(plan.start, plan.end) if item.planes), SAMPLE_FRAMES)
        frames = [item.planes for item in taken]
    if not frames:
        raise VideoReadError(
            f"구간에서 프레임을 하나도 디코딩하지 못했습니다: {source.name}\n  해결: 구간을 확인하세요."
        )
    made = make_workers(models, workers, plan, settings)
    began = time.perf_counter()
    (planes,) = made[0]([frames[0]])
    seconds = (time.perf_counter() - began) / len(made)
    preview, original = None, None
    if settings.preview is not None:
        preview = Preview(settings.preview, plan.encoding)
        preview.offer(planes)
        original = _upright(frame_image(frames[0], plan.info), plan.info)
    size = estimate_size(plan, settings, frames)
    factor = float(scale_factor(outscale, *plan.info.display_size))
    return VideoEstimate(plan, workers, factor, seconds, None if preview is None else preview.written, size, original)


def _upright(pixels: Array, info: VideoInfo) -> Array:
    """배열을 똑바로 세운다."""
    pixels = pixels[:, ::-1] if info.mirrored else pixels
    return np.ascontiguousarray(np.rot90(pixels, -info.rotation // 90))
