"""이 기계에서 가장 빠른 엔진과 정밀도, 띠의 높이, 작업자의 수를 재어 고른다(`realesrgan --tune`)."""

from __future__ import annotations

import importlib
import logging
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import torch
from torch import Tensor

from realesrgan.errors import MissingPackageError, NotStreamableError, OutOfMemoryError, RealESRGANError
from realesrgan.inference.engines.base import (
    DEVICE_COUNTS,
    ENGINES,
    PRECISION_DTYPES,
    Engine,
    EngineRow,
    create_engine,
    in_one_line,
)
from realesrgan.inference.engines.choices import Choice
from realesrgan.inference.engines.torch import prefers_bf16
from realesrgan.inference.model import Model
from realesrgan.inference.streaming import SMALLEST_STRIP, StreamPlan, StripCut, plan_stream, run_strips
from realesrgan.util.machine import available_cores
from realesrgan.util.optional import is_installed

logger = logging.getLogger(__name__)

# 모두 재는 데 쓸 시간(초). 넘기면 남은 후보는 재지 않았다고 알린다.
TIME_LIMIT = 100.0
# 한 번에 걸릴 시간(초)이 이만큼 되게 크기를 고른다.
WANTED_SECONDS = 0.4
SMALLEST_SIDE, LARGEST_SIDE = 64, 256
RUNS = 3
# PyTorch의 fp32와 이만큼(PSNR, dB)은 같아야 고른다.
LOWEST_PSNR = 45.0
# 띠로 이어 돌리지 못하는 엔진은 큰 이미지에서 어림인 타일로 간다. 이만큼 더 빠를 때만 고른다.
TILES_ONLY_HANDICAP = 1.2
# 재지 못한 까닭을 적을 글자 수.
LONGEST_NOTE = 200
STRIP_ROWS = (16, 32, 64, 128)


@dataclass(frozen=True)
class Timing:
    """후보 하나를 잰 것.

    Attributes:
        backend, device, precision: 엔진의 이름, 장치, 정밀도.
        seconds: 한 장에 걸린 시간(초). 재지 못했으면 None.
        psnr: PyTorch의 fp32와의 PSNR(dB).
        streams: 띠로 이어 돌릴 수 있는 엔진인지.
        note: 재지 못한 까닭.
    """

    backend: str
    device: str
    precision: str
    seconds: float | None = None
    psnr: float | None = None
    streams: bool = False
    note: str = ""


@dataclass(frozen=True)
class Tuning:
    """잰 것 모두와 고른 것.

    Attributes:
        side: 잰 이미지의 한 변(픽셀).
        timings: 후보들.
        strips: 띠의 높이(줄)마다 입력 픽셀 하나에 걸린 시간(초). 재지 않았으면 비어 있다.
        workers: 작업자의 수마다 프레임 하나에 걸린 시간(초). 재지 않았으면 비어 있다.
        choice: 고른 것.
    """

    side: int
    timings: tuple[Timing, ...]
    strips: dict[int, float]
    workers: dict[int, float]
    choice: Choice


def candidates(device: str = "auto") -> Iterator[tuple[EngineRow, str, str]]:
    """이 기계에서 돌 수 있는 `(엔진, 장치, 정밀도)`들."""
    for row in ENGINES.values():
        if row.package and not is_installed(row.package):
            continue
        levels = row.levels or {kind: _torch_levels(kind) for kind, count in DEVICE_COUNTS.items() if count()}
        kinds = _present_kinds(row, levels)
        for kind, precisions in levels.items():
            if kind in kinds and device in ("auto", kind):
                yield from ((row, kind, precision) for precision in precisions)


def _present_kinds(row: EngineRow, levels: Iterable[str]) -> set[str]:
    """이 기계에 있는 장치의 종류. 엔진의 모듈이 말하지 않으면 모두 있는 것으로 본다."""
    present = getattr(importlib.import_module(row.module), "present_devices", None)
    try:
        return set(levels) if present is None else set(present())
    except MissingPackageError:
        # 설치되어 있으나 불러올 수 없다. 첫째를 재어 보면 까닭이 표에 적힌다.
        return {next(iter(levels))}


def _torch_levels(kind: str) -> tuple[str, ...]:
    if kind == "cpu":
        return ("fp32", "bf16") if prefers_bf16() else ("fp32",)
    return ("fp32", "fp16", "bf16") if kind == "cuda" else ("fp32", "fp16")


@torch.inference_mode()
def tune(model: Model, *, device: str = "auto", tell: Callable[[str], None] = logger.info) -> Tuning:
    """재고 고른다. 2분을 넘지 않는다.

    Args:
        model: 모델.
        device: 이 종류의 장치에서만 고른다. `auto`면 모두.
        tell: 후보 하나를 잴 때마다 부를 함수.

    Raises:
        RealESRGANError: 잴 수 있는 것이 하나도 없을 때.
    """
    deadline = time.monotonic() + TIME_LIMIT
    base = create_engine(model.network, backend="torch", device="cpu", precision="fp32", scale=model.scale)
    side, batch, expected = _probe(base, model.multiple)
    timings: list[Timing] = []
    for row, kind, precision in candidates(device):
        found = _measure(model, row.name, kind, precision, batch, expected, deadline)
        timings.append(found)
        tell(describe(found))
    able = [one for one in timings if one.seconds is not None and (one.psnr or 0) >= LOWEST_PSNR]
    if not able:
        raise RealESRGANError(f"잴 수 있는 엔진이 없습니다: --device {device}\n  해결: --device를 빼고 다시 하세요.")
    best = min(able, key=lambda one: (one.seconds or 0) * (1 if one.streams else TILES_ONLY_HANDICAP))
    engine = _engine(model, best.backend, best.device, best.precision)
    choice = Choice(best.backend, best.device, best.precision)
    strips, strip_bytes = _strips(engine, side, deadline)
    workers = _workers(engine, batch, deadline) if best.device == "cpu" else {}
    quickest = min(workers, key=lambda count: workers[count]) if workers else None
    choice = replace(choice, strip_bytes=strip_bytes, workers=quickest)
    return Tuning(side, tuple(timings), strips, workers, choice)


def describe(timing: Timing) -> str:
    """후보 하나를 한 줄로 적는다."""
    name = f"{timing.backend} {timing.device} {timing.precision}"
    if timing.seconds is None:
        return f"{name}: {timing.note}"
    return f"{name}: {timing.seconds:.3f}초, PyTorch fp32와 {timing.psnr:.1f}dB"


def _engine(model: Model, backend: str, device: str, precision: str) -> Engine:
    return create_engine(
        model.network, backend=backend, device=device, precision=precision, scale=model.scale, multiple=model.multiple
    )


def _probe(base: Engine, multiple: int) -> tuple[int, Tensor, Tensor]:
    """잴 크기를 고르고, 입력과 PyTorch fp32의 결과를 돌려준다."""
    generator = torch.Generator().manual_seed(0)
    side = -(-SMALLEST_SIDE // multiple) * multiple
    while True:
        # 사진처럼 매끄러운 곳과 거친 곳이 있는 입력.
        smooth = torch.rand(1, 3, 9, 9, generator=generator)
        batch = torch.nn.functional.interpolate(smooth, size=(side, side), mode="bicubic")
        batch = (batch + 0.05 * torch.randn(1, 3, side, side, generator=generator)).clamp(0, 1)
        base(batch)
        began = time.perf_counter()
        expected = base(batch)
        if time.perf_counter() - began >= WANTED_SECONDS or side * 2 > LARGEST_SIDE:
            return side, batch, expected
        side *= 2


def _measure(
    model: Model, backend: str, device: str, precision: str, batch: Tensor, expected: Tensor, deadline: float
) -> Timing:
    timing = Timing(backend, device, precision)
    if time.monotonic() > deadline:
        return replace(timing, note="시간이 모자라 재지 않았습니다.")
    try:
        engine = _engine(model, backend, device, precision)
        output = engine(batch)
        times = [_seconds(lambda: engine(batch))]
        while len(times) < RUNS and time.monotonic() < deadline:
            times.append(_seconds(lambda: engine(batch)))
    except Exception as error:
        # 드라이버와 라이브러리는 저마다의 예외를 낸다. 그 후보만 뺀다.
        return replace(timing, note=in_one_line(error)[:LONGEST_NOTE])
    error_power = float(((output.cpu().clamp(0, 1) - expected.clamp(0, 1)) ** 2).mean())
    return replace(
        timing, seconds=min(times), streams=hasattr(engine, "run"), psnr=min(-10 * _log10(error_power), 120.0)
    )


def _log10(value: float) -> float:
    return float(torch.log10(torch.tensor(max(value, 1e-13), dtype=torch.float64)))


def _seconds(work: Callable[[], Any]) -> float:
    began = time.perf_counter()
    result = work()
    if isinstance(result, Tensor):
        result.cpu()
    return time.perf_counter() - began


def _strips(engine: Any, side: int, deadline: float) -> tuple[dict[int, float], int | None]:
    """띠의 높이마다 입력 픽셀 하나에 걸린 시간과, 가장 빠른 높이의 활성값(바이트)."""
    found: dict[int, float] = {}
    if not hasattr(engine, "run") or not hasattr(engine, "network"):
        return found, None
    try:
        plan: StreamPlan = plan_stream(engine.network)
    except NotStreamableError:
        return found, None
    height = 2 * max(STRIP_ROWS)
    image = torch.rand(3, height, side)

    def enlarge(rows: int) -> None:
        run_strips(
            engine,
            plan,
            lambda box: image[(..., *box.slices())],
            lambda _result, _box: None,
            StripCut(2, rows, side),
            height=height,
            width=side,
        )

    with suppress(OutOfMemoryError):
        enlarge(height)
        for wanted in STRIP_ROWS:
            rows = -(-max(wanted, SMALLEST_STRIP) // engine.multiple) * engine.multiple
            if time.monotonic() > deadline:
                break
            found[rows] = _seconds(partial(enlarge, rows)) / (height * side)
    if not found:
        return found, None
    best = min(found, key=lambda rows: found[rows])
    return found, best * plan.bytes_per_row(side, PRECISION_DTYPES[engine.precision].itemsize)


def _workers(engine: Engine, batch: Tensor, deadline: float) -> dict[int, float]:
    """작업자의 수마다 프레임 하나에 걸린 시간. 코어를 작업자끼리 나눈다."""
    cores, before = available_cores(), torch.get_num_threads()
    found: dict[int, float] = {}

    def work(threads: int) -> None:
        torch.set_num_threads(threads)
        with torch.inference_mode():
            engine(batch)

    # 작업자가 많으면 메모리가 모자랄 수 있다. 거기까지만 잰다.
    with suppress(OutOfMemoryError):
        for count in sorted({1, max(cores // 2, 1), cores}):
            if cores == 1 or time.monotonic() > deadline:
                break
            with ThreadPoolExecutor(count) as pool:
                list(pool.map(work, [max(cores // count, 1)] * count))
                began = time.perf_counter()
                list(pool.map(work, [max(cores // count, 1)] * count * 2))
            found[count] = (time.perf_counter() - began) / (2 * count)
    torch.set_num_threads(before)
    return found
