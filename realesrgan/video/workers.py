"""네트워크를 장치에 싣고, 프레임을 키울 작업자(worker)를 장치와 메모리에 맞추어 정하고 만든다.

비디오에서 네트워크를 아는 것은 이 파일뿐이다.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import torch

from realesrgan.archs.base import network_digest
from realesrgan.inference.engines.base import AUTO, CPU_BUDGET_HEAVY, ENGINES, HOST_SHARE, Engine, memory_budget
from realesrgan.inference.frames import FrameUpscaler
from realesrgan.inference.model import Model, load
from realesrgan.inference.steps import parse_steps, split_steps
from realesrgan.inference.tiling import auto_tile
from realesrgan.media.video.types import Planes
from realesrgan.util.machine import available_memory
from realesrgan.version import __version__
from realesrgan.video.settings import VideoSettings

if TYPE_CHECKING:
    from realesrgan.video.plan import VideoPlan

# 타일이 이보다 작아지느니 작업자를 줄이고 한 프레임에 여러 스레드를 쓴다. 작은 타일은 패딩이 일의 큰 몫이 된다.
SMALLEST_SHARED_TILE = 256
DEVICE_BATCH = 4

Worker = Callable[[list[Planes]], Sequence[Planes]]
"""프레임마다의 평면들을 받아 같은 수의 키운 평면들을 돌려준다. 값은 처음 읽을 때 정해지는 것(`Pending`)일 수 있다."""


def as_models(model: Model | str | os.PathLike[str] | Sequence[Model]) -> tuple[Model, ...]:
    """장치마다의 모델. 이름이나 경로면 싣는다."""
    if isinstance(model, (str, os.PathLike)):
        return (load(model),)
    return (model,) if isinstance(model, Model) else tuple(model)


def model_identity(model: Model) -> dict[str, Any]:
    """모델에서 결과를 정하는 모든 것. 가중치의 파일이 아니라 실은 값을 보므로 섞은 가중치(DNI)도 가려낸다."""
    engine = model.engine
    return {
        "모델": network_digest(model.network),
        "엔진": engine.name,
        "정밀도": engine.precision,
        "앙상블": getattr(engine, "runs", 1),
        "장치": engine_place(engine).type,
        "버전": [__version__, torch.__version__],
    }


def engine_place(engine: Engine) -> Any:
    """엔진의 장치. PyTorch가 모르는 것(`vulkan`)도 있다."""
    return getattr(engine, "place", engine.device)


def with_engine(models: Sequence[Model], kept: tuple[str, str, str]) -> tuple[Model, ...]:
    """저절로 고르는 엔진과 정밀도를 `kept`의 것으로 한 모델들. 사용자가 정한 것은 바꾸지 않는다.

    `auto`는 기계가 바쁠 때 다르게 고를 수 있다. 한 비디오의 조각들이 서로 다른 정밀도로 만들어지지 않게 한다.

    Args:
        models: 장치마다의 모델.
        kept: 엔진의 `(이름, 장치의 종류, 정밀도)`.
    """
    name, place, precision = kept
    made = []
    for model in models:
        engine, compute = model.engine, model.compute
        same = (engine.name, engine.precision) == (name, precision)
        fits = compute.backend in (AUTO, name) and compute.precision in (AUTO, precision)
        if not same and fits and engine_place(engine).type == place and name in ENGINES:
            model = model.with_compute(backend=name, precision=precision)  # noqa: PLW2901
        made.append(model)
    return tuple(made)


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
    model: Model, size: tuple[int, int], settings: VideoSettings, *, cores: int, tile: int | None = None
) -> WorkerPlan:
    """작업자의 수와 타일을 정한다.

    CPU에서는 프레임마다 스레드 하나가 맡는 것이 한 프레임을 여러 스레드가 나누는 것보다 빠르다: 스레드끼리 기다리는
    일이 없고, 쓰는 단계가 코어를 가져가도 나머지가 멈추지 않는다. 메모리가 모자라 타일이 너무 작아지면 작업자를 반씩
    줄인다.

    Args:
        model: 모델.
        size: 원본 프레임의 `(너비, 높이)`, 픽셀. 회전을 적용한 크기다.
        settings: 사용자가 정한 작업자, 배치, 타일.
        cores: 이 프로세스가 쓸 코어 수.
        tile: 하다 만 작업이 쓰던 타일. 남은 메모리가 그때와 달라도 같은 결과가 나오게 한다.
    """
    wanted = settings.tile if tile is None else tile
    padded = (size[1] + settings.pre_pad, size[0] + settings.pre_pad)
    engine = model.engine
    on_cpu = engine.device.type == "cpu"
    batch = settings.batch or (1 if on_cpu else DEVICE_BATCH)
    tuned = None if model.tuned is None else model.tuned.workers
    count = settings.workers or (min(tuned or cores, max(cores, 1)) if on_cpu else 1)
    while True:
        limit = engine.max_pixels // (count * batch)
        if wanted != "auto" and (wanted > 0 or padded[0] * padded[1] <= limit):
            chosen = wanted
            break
        upscaler = model.with_compute(tile=wanted).upscaler
        upscaler.budget = budget = frame_budget(engine, count * batch)
        chosen, per_pixel = 0, engine.memory(1, 1)
        if not upscaler.is_exact(*padded):
            most = min(budget, limit * per_pixel)
            chosen = auto_tile(padded, most, per_pixel, pad=settings.tile_pad, multiple=engine.multiple)
        if settings.workers is None and wanted == "auto" and count > 1 and 0 < chosen < SMALLEST_SHARED_TILE:
            count //= 2
        elif chosen and wanted == "auto" and batch > 1:
            # 통째로 들어가지 않으면 배치는 뜻이 없고, 타일의 예산만 나누어 작게 만든다.
            batch = 1
        else:
            break
    return WorkerPlan(count, max(cores // count, 1), batch, chosen)


def frame_budget(engine: Engine, together: int) -> int:
    """동시에 `together`장을 키울 때 한 장이 쓸 메모리(바이트)."""
    if engine.device.type == "cpu":
        # 비디오는 오래 걸리는 일이라 사진 한 장보다 메모리를 넉넉히 써서 타일의 패딩을 줄인다.
        return min(CPU_BUDGET_HEAVY, int(available_memory() * HOST_SHARE)) // together
    return memory_budget(engine.device, engine.memory(1, 1)) // together


@dataclass
class FrameWorker:
    """작업자 하나. 부르는 스레드의 계산 스레드 수를 정하고, CUDA면 제 흐름(stream)에서 키운다.

    Attributes:
        upscale: 프레임들을 키우는 것.
        device: 장치.
        threads: 계산 스레드 수.
    """

    upscale: FrameUpscaler
    device: torch.device
    threads: int
    _local: threading.local = field(default_factory=threading.local)

    def __call__(self, frames: list[Planes]) -> Sequence[Planes]:
        """프레임들을 키운다. CUDA면 결과가 내려오는 동안 돌아와 다음 프레임을 계산하게 한다."""
        local = self._local
        if not hasattr(local, "stream"):
            # OpenMP의 스레드 수는 부르는 스레드마다 따로다.
            torch.set_num_threads(self.threads)
            # 작업자마다 따로 된 흐름(stream)을 써서 한 작업자의 복사와 다른 작업자의 계산이 겹치게 한다.
            local.stream = torch.cuda.Stream(self.device) if self.device.type == "cuda" else None
        with torch.cuda.stream(local.stream) if local.stream is not None else nullcontext():
            return self.upscale.start(frames)


def make_workers(
    models: Sequence[Model], workers: WorkerPlan, plan: VideoPlan, settings: VideoSettings
) -> list[FrameWorker]:
    """장치마다 계획만큼의 작업자를 만든다. 한 장치의 작업자들은 네트워크를 함께 쓴다."""
    made: list[FrameWorker] = []
    steps, whole = split_steps(parse_steps(settings.steps)) if settings.steps else ((), ())
    for model in models:
        compute = {"tile_pad": settings.tile_pad, "pre_pad": settings.pre_pad, "batch": settings.batch or 1}
        # 통째라고 정했어도 메모리에 들지 않으면 결과가 같게 나눈다.
        tile = "auto" if settings.tile == "auto" and workers.tile == 0 else workers.tile
        upscaler = model.with_compute(tile=tile, **compute).upscaler
        upscaler = upscaler.with_steps(steps) if steps else upscaler
        upscaler.budget = frame_budget(upscaler.engine, workers.workers)
        upscale = FrameUpscaler(
            upscaler,
            plan.info,
            plan.encoding,
            rotation=plan.info.rotation,
            mirrored=plan.info.mirrored,
            network_alpha=settings.alpha_upsampler == "realesrgan",
            whole=whole,
        )
        made += [FrameWorker(upscale, upscaler.engine.device, workers.threads) for _ in range(workers.workers)]
    return made
