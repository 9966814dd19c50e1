"""프레임을 키울 작업자(worker)를 장치와 메모리에 맞추어 정하고 만든다."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Literal

import torch

from realesrgan.inference.frames import FrameFormat, FrameUpscaler
from realesrgan.inference.memory import (
    CPU_BUDGET_HEAVY,
    HOST_SHARE,
    auto_tile,
    bytes_per_pixel,
    memory_budget,
    pixel_limit,
)
from realesrgan.inference.realesrganer import RealESRGANer
from realesrgan.media.video.types import Planes, VideoFrame
from realesrgan.util.machine import available_memory

# 타일이 이보다 작아지느니 작업자를 줄이고 한 프레임에 여러 스레드를 쓴다. 작은 타일은 패딩이 일의 큰 몫이 된다.
SMALLEST_SHARED_TILE = 256
DEVICE_BATCH = 4

Worker = Callable[[list[VideoFrame]], list[Planes]]


@dataclass(frozen=True)
class WorkerPlan:
    """한 장치의 작업자들.

    Attributes:
        workers: 동시에 키우는 작업자의 수.
        threads: 작업자마다의 계산 스레드 수(CPU에서만 뜻이 있다).
        batch: 작업자가 한 번에 키우는 프레임 수.
        tile: 타일 한 변(픽셀). 0이면 통째.
    """

    workers: int
    threads: int
    batch: int
    tile: int


def plan_workers(
    upsampler: RealESRGANer,
    size: tuple[int, int],
    *,
    cores: int,
    workers: int | None = None,
    batch: int | None = None,
    tile: int | Literal["auto"] = "auto",
) -> WorkerPlan:
    """작업자의 수와 타일을 정한다.

    CPU에서는 프레임마다 스레드 하나가 맡는 것이 한 프레임을 여러 스레드가 나누는 것보다 빠르다: 스레드끼리 기다리는
    일이 없고, 쓰는 단계가 코어를 가져가도 나머지가 멈추지 않는다. 메모리가 모자라 타일이 너무 작아지면 작업자를 반씩
    줄인다.

    Args:
        upsampler: 네트워크와 장치.
        size: 네트워크에 들어갈 프레임의 `(높이, 너비)`, 픽셀.
        cores: 이 프로세스가 쓸 코어 수.
        workers, batch, tile: 사용자가 정한 값. None과 `auto`는 알아서 정한다.
    """
    on_cpu = upsampler.device.type == "cpu"
    batch = batch or (1 if on_cpu else DEVICE_BATCH)
    count = workers or (max(cores, 1) if on_cpu else 1)
    chosen = _tile(upsampler, size, count * batch, tile)
    while workers is None and tile == "auto" and count > 1 and 0 < chosen < SMALLEST_SHARED_TILE:
        count //= 2
        chosen = _tile(upsampler, size, count * batch, tile)
    # 통째로 들어가지 않으면 배치는 뜻이 없고, 타일의 예산만 나누어 작게 만든다.
    if chosen and tile == "auto" and batch > 1:
        batch = 1
        chosen = _tile(upsampler, size, count, tile)
    return WorkerPlan(count, max(cores // count, 1), batch, chosen)


def _tile(upsampler: RealESRGANer, size: tuple[int, int], together: int, tile: int | Literal["auto"]) -> int:
    """동시에 `together`장을 키울 때의 타일."""
    height, width = size
    limit = pixel_limit(upsampler.model, upsampler.precision, upsampler.device) // together
    if tile != "auto" and (tile > 0 or height * width <= limit):
        return tile
    per_pixel = bytes_per_pixel(upsampler.model, upsampler.precision) * together
    if upsampler.device.type == "cpu":
        # 비디오는 오래 걸리는 일이라 사진 한 장보다 메모리를 넉넉히 써서 타일의 패딩을 줄인다.
        budget = min(CPU_BUDGET_HEAVY, int(available_memory() * HOST_SHARE))
    else:
        budget = memory_budget(upsampler.device, per_pixel)
    budget = min(budget, limit * per_pixel)
    return auto_tile(size, budget, per_pixel, pad=upsampler.tile_pad, multiple=upsampler.size_multiple)


def make_workers(
    upsamplers: Sequence[RealESRGANer],
    plan: WorkerPlan,
    source: FrameFormat,
    target: FrameFormat,
    *,
    rotation: int = 0,
    mirrored: bool = False,
    network_alpha: bool = True,
) -> list[Worker]:
    """장치마다 계획만큼의 작업자를 만든다. 한 장치의 작업자들은 네트워크를 함께 쓴다."""
    made: list[Worker] = []
    for upsampler in upsamplers:
        upscale = FrameUpscaler(
            upsampler, source, target, rotation=rotation, mirrored=mirrored, tile=plan.tile, network_alpha=network_alpha
        )
        made += [_worker(upscale, upsampler.device, plan.threads) for _ in range(plan.workers)]
    return made


def _worker(upscale: FrameUpscaler, device: torch.device, threads: int) -> Worker:
    local = threading.local()

    def work(frames: list[VideoFrame]) -> list[Planes]:
        if not hasattr(local, "stream"):
            # OpenMP의 스레드 수는 부르는 스레드마다 따로다.
            torch.set_num_threads(threads)
            # 작업자마다 따로 된 흐름(stream)을 써서 한 작업자의 복사와 다른 작업자의 계산이 겹치게 한다.
            local.stream = torch.cuda.Stream(device) if device.type == "cuda" else None
        with torch.cuda.stream(local.stream) if local.stream is not None else nullcontext():
            return upscale([frame.planes for frame in frames])

    return work
