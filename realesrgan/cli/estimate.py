"""키우지 않고 걸릴 시간과 메모리를 어림한다."""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from realesrgan.cli.console import say
from realesrgan.cli.jobs import Job
from realesrgan.inference.engines.devices import MIB
from realesrgan.inference.model import Model
from realesrgan.inference.tiling import plan_tiles
from realesrgan.inference.upscaler import pad_amounts
from realesrgan.util.numbers import describe_bytes

# 파이썬과 PyTorch를 불러오는 것만으로 드는 메모리. 재어 본 값이다.
BASE_BYTES = 320 * MIB
PROBE_SIDE = 64


@dataclass(frozen=True)
class Estimate:
    """그림 하나의 어림.

    Attributes:
        seconds: 네트워크에 걸릴 시간(초).
        memory: 가장 많을 때의 메모리(바이트).
        tiles: 타일 수.
    """

    seconds: float
    memory: int
    tiles: int


def measure_seconds_per_pixel(upsampler: Model) -> float:
    """작은 영상을 두 번 키워 입력 픽셀 하나에 걸리는 시간(초)을 잰다. 첫 번은 준비 운동이다."""
    image = np.zeros((PROBE_SIDE, PROBE_SIDE, 3), np.uint8)
    times = []
    for _ in range(2):
        started = time.perf_counter()
        upsampler.upscaler.upscale(image)
        times.append(time.perf_counter() - started)
    return min(times) / image[..., 0].size


def estimate_job(job: Job, upsampler: Model, outscale: float, seconds_per_pixel: float) -> Estimate | None:
    """일 하나의 시간과 메모리를 어림한다. 입력을 읽지 못했으면 None."""
    info = job.info
    if info is None:
        return None
    upscaler = upsampler.upscaler
    bottom, right = pad_amounts(info.height, info.width, upscaler.pre_pad, upscaler.multiple)
    height, width = info.height + bottom, info.width + right
    tile = upscaler.tile_for(height, width)
    tiles = plan_tiles(height, width, tile, upscaler.tile_pad, upscaler.multiple)
    read = sum(piece.read.height * piece.read.width for piece in tiles)
    largest = max(piece.read.height * piece.read.width for piece in tiles) * upscaler.batch
    passes = info.frames * (2 if info.mode == "RGBA" else 1)
    sample = info.channels * info.bit_depth // 8
    network_output = info.height * info.width * upsampler.scale**2 * sample
    final = job.output_size(outscale)
    resized = 0 if final is None or outscale == upsampler.scale else final[0] * final[1] * sample
    memory = BASE_BYTES + network_output + resized + upscaler.engine.memory(1, largest)
    return Estimate(read * passes * seconds_per_pixel, memory, len(tiles) * passes)


def show_plan(jobs: Sequence[Job], upsampler: Model, args: argparse.Namespace) -> None:
    """무엇을 할지와 어림한 시간, 메모리를 보인다."""
    rate = measure_seconds_per_pixel(upsampler)
    total = 0.0
    for index, job in enumerate(jobs, 1):
        head = f"[{index}/{len(jobs)}] {job.source} -> {job.target}"
        estimate = estimate_job(job, upsampler, args.outscale, rate)
        size = job.output_size(args.outscale)
        if estimate is None or size is None or job.info is None:
            say(f"{head}\n    읽을 수 없음: {(job.problem or '').splitlines()[0]}")
            continue
        if args.skip_existing and job.target.exists():
            say(f"{head}\n    결과가 이미 있어 건너뜁니다.")
            continue
        over = args.max_pixels is not None and size[0] * size[1] * job.info.frames > args.max_pixels
        warning = "\n    결과가 --max_pixels 한도를 넘어 실패합니다." if over else ""
        total += estimate.seconds
        say(
            f"{head}\n    {job.info.width}x{job.info.height} -> {size[0]}x{size[1]}, "
            f"타일 {estimate.tiles}개, 약 {describe_bytes(estimate.memory)}, 약 {estimate.seconds:.1f}초{warning}"
        )
    say(f"모두 {len(jobs)}개, 약 {total:.0f}초 (장치 {upsampler.engine.device}, {upsampler.engine.precision})")
