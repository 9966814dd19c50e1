"""키우지 않고 걸릴 시간과 메모리를 어림한다."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass

import numpy as np

from realesrgan.inference.engines.base import MIB
from realesrgan.inference.model import Model
from realesrgan.inference.tiling import plan_tiles
from realesrgan.inference.upscaler import Upscaler, pad_amounts
from realesrgan.media.picture import ImageInfo
from realesrgan.media.vips import RAW_BYTES
from realesrgan.util.numbers import Outscale, plan_passes, scaled_size

# 파이썬과 PyTorch를 불러오는 것만으로 드는 메모리. 재어 본 값이다.
BASE_BYTES = 320 * MIB
PROBE_SIDE = 64


@dataclass(frozen=True)
class Estimate:
    """이미지 하나의 어림.

    Attributes:
        seconds: 네트워크에 걸릴 시간(초).
        memory: 가장 많을 때의 메모리(바이트).
        parts: 나누는 법을 사람에게 보일 글.
    """

    seconds: float
    memory: int
    parts: str


def measure_seconds_per_pixel(model: Model) -> float:
    """작은 이미지를 두 번 키워 입력 픽셀 하나에 걸리는 시간(초)을 잰다. 첫 번은 준비 운동이다."""
    image = np.zeros((PROBE_SIDE, PROBE_SIDE, 3), np.uint8)
    times = []
    for _ in range(2):
        started = time.perf_counter()
        model.upscaler.upscale(image)
        times.append(time.perf_counter() - started)
    return min(times) / image[..., 0].size


def estimate_picture(info: ImageInfo, model: Model, outscale: Outscale, seconds_per_pixel: float) -> Estimate:
    """이미지 하나의 시간과 메모리를 어림한다.

    Args:
        info: 이미지의 머리에서 읽은 것.
        model: 모델.
        outscale: 마지막 업스케일 배율이나 결과의 크기.
        seconds_per_pixel: `measure_seconds_per_pixel`이 잰 것(초).
    """
    size, scale = (info.width, info.height), model.scale
    final = scaled_size(*size, outscale)
    planned = plan_passes(*size, final, scale)
    inputs = [size, *planned[:-1]]
    reads, kinds, held = zip(*(_network_work(model.upscaler, *one) for one in inputs), strict=True)
    passes = info.frames * (2 if info.mode == "RGBA" else 1)
    sample = info.channels * info.bit_depth // 8
    network_output = math.prod(inputs[-1]) * scale**2 * sample
    resized = 0 if final == (inputs[-1][0] * scale, inputs[-1][1] * scale) else math.prod(final) * sample
    # 큰 결과는 메모리가 아니라 대상 곁의 파일에 모은다.
    memory = BASE_BYTES + min(network_output, RAW_BYTES) + min(resized, RAW_BYTES) + max(held)
    parts = ", 다음에 ".join(kinds)
    return Estimate(sum(reads) * passes * seconds_per_pixel, memory, parts)


def _network_work(upscaler: Upscaler, width: int, height: int) -> tuple[int, str, int]:
    """네트워크를 한 번 거칠 때의 `(읽는 픽셀 수, 나누는 법, 활성값의 메모리)`."""
    bottom, right = pad_amounts(height, width, upscaler.pre_pad, upscaler.multiple)
    height, width = height + bottom, width + right
    cut = upscaler.cut_for(height, width)
    if cut is None:
        tiles = plan_tiles(height, width, upscaler.tile_for(height, width), upscaler.pad, upscaler.multiple)
        read = sum(math.prod(piece.read.shape) for piece in tiles)
        largest = max(math.prod(piece.read.shape) for piece in tiles) * upscaler.batch
        return read, f"타일 {len(tiles)}개", upscaler.engine.memory(1, largest)
    length, side = (height, width) if cut.axis == 2 else (width, height)
    columns = -(-side // cut.column)
    read = length * min(columns * (cut.column + 2 * cut.margin), side + 2 * cut.margin * (columns - 1))
    return read, f"띠 {columns * -(-length // cut.rows)}개", cut.memory
