"""훈련의 빠르기를 잰다. 견주는 둘을 한 실행에서 번갈아 재므로 기계가 달라도 비율은 믿을 만하다.

실행: `python scripts/benchmark_training.py [--data 폴더] [--rounds 3] [--batch 12] [--size 400]`
"""

from __future__ import annotations

import contextlib
import copy
import functools
import statistics
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any
from unittest import mock

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils.data import DataLoader

from realesrgan.archs import SRVGGNetCompact
from realesrgan.basicsr_bridge import DATASET_REGISTRY, MODEL_REGISTRY
from realesrgan.cli.console import say
from realesrgan.data.degradations import DegradationRandom
from realesrgan.data.pipeline import DegradationPlan, Kernels, PipelineOptions, StagePlan, draw_plan, synthesise
from realesrgan.data.realesrgan_dataset import RealESRGANDataset
from realesrgan.data.resumable_sampler import ItemKey, ResumableSampler
from realesrgan.training.option_schema import import_user_modules
from realesrgan.training.options import load_yaml

RECIPE = Path(__file__).resolve().parents[2] / "options" / "train_realesrnet_compact_x4.yml"
# 원본의 데이터셋은 400픽셀로 자르는 것이 코드에 박혀 있다.
UPSTREAM_CROP = 400


# 지금의 초를 주는 것. 벽시계나, 이 프로세스가 쓴 CPU 시간이다.
Clock = Callable[[], float]


def seconds(work: Callable[[], Any], clock: Clock | None = None) -> float:
    """`work`를 한 번 하는 데 걸린 초."""
    clock = clock or time.perf_counter
    began = clock()
    work()
    return clock() - began


def compare(one: Callable[[int], Any], other: Callable[[int], Any], rounds: int) -> tuple[float, float]:
    """둘을 번갈아 `rounds`번 하고 저마다의 중앙값 초를 돌려준다. 첫 바퀴는 데우기라 버린다."""
    times: tuple[list[float], list[float]] = ([], [])
    for number in range(rounds + 1):
        for target, work in zip(times, (one, other), strict=True):
            took = seconds(functools.partial(work, number))
            if number:
                target.append(took)
    return statistics.median(times[0]), statistics.median(times[1])


def _reference_stage(plan: StagePlan, resized: Tensor, jpeg: Any) -> Tensor:
    from basicsr.data.degradations import generate_gaussian_noise_pt, generate_poisson_noise_pt

    strength, gray = torch.tensor(plan.strength), torch.tensor(plan.gray, dtype=torch.float32)
    make = generate_gaussian_noise_pt if plan.gaussian else generate_poisson_noise_pt
    noisy = (resized + make(resized, strength, gray)).clamp(0, 1)
    return jpeg(noisy, quality=torch.tensor(plan.quality))


@torch.no_grad()
def reference_degrade(
    gt: Tensor, kernels: Kernels, plan: DegradationPlan, scale: int, sharpen: Any, jpeg: Any
) -> Tensor:
    """BasicSR의 함수들을 원본의 차례대로 부른 열화. 뽑은 값은 `plan`을 함께 쓴다.

    Args:
        gt: `(B, 3, H, W)` float32, 0..1.
        kernels: 배치의 커널.
        plan: 뽑은 값.
        scale: 업스케일 배율.
        sharpen: BasicSR의 `USMSharp`.
        jpeg: BasicSR의 `DiffJPEG`.

    Returns:
        `(B, 3, H // scale, W // scale)` float32.
    """
    from basicsr.utils.img_process_util import filter2D

    height, width = gt.shape[-2:]
    out = filter2D(sharpen(gt), kernels.first)
    resized = F.interpolate(out, scale_factor=plan.first.factor, mode=plan.first.mode)
    out = _reference_stage(plan.first, resized, jpeg)
    if plan.second_blur:
        out = filter2D(out, kernels.second)
    factor = plan.second.factor
    middle = (int(height / scale * factor), int(width / scale * factor))
    target = (height // scale, width // scale)
    resized = F.interpolate(out, size=middle, mode=plan.second.mode)
    # 마지막 두 순서는 재는 값에 거의 차이가 없어 JPEG을 먼저 하는 쪽만 쓴다.
    out = _reference_stage(plan.second, resized, jpeg)
    out = filter2D(F.interpolate(out, size=target, mode=plan.final_mode), kernels.final)
    return torch.clamp((out * 255.0).round(), 0, 255) / 255.0


def make_batch(dataset: RealESRGANDataset, batch: int) -> tuple[Tensor, Kernels]:
    """데이터셋에서 배치 하나를 만든다."""
    items = [dataset[ItemKey(index % len(dataset), 0, 0, 0, index)] for index in range(batch)]
    stacked = {
        name: torch.stack([item[name] for item in items]) for name in ("gt", "kernel1", "kernel2", "sinc_kernel")
    }
    return stacked["gt"], Kernels.from_batch(stacked, "cpu")


def benchmark_degradation(
    dataset: RealESRGANDataset, options: PipelineOptions, batch: int, rounds: int
) -> dict[str, float]:
    """배치 열화의 초와 배율. 두 쪽이 라운드마다 같은 계획을 쓴다."""
    from basicsr.utils import DiffJPEG, USMSharp

    gt, kernels = make_batch(dataset, batch)
    plans = [draw_plan(np.random.default_rng(number), options, batch) for number in range(rounds + 1)]
    sharpen, jpeg, random = USMSharp(), DiffJPEG(differentiable=False), DegradationRandom.from_seed(0)

    def ours(number: int) -> None:
        # 같은 계획이 뽑히도록 같은 씨앗에서 시작한다.
        random.host = np.random.default_rng(number)
        synthesise(gt, kernels, options, random)

    theirs = compare(
        lambda number: reference_degrade(gt, kernels, plans[number], options.scale, sharpen, jpeg), ours, rounds
    )
    return {"BasicSR(초)": theirs[0], "이 코드(초)": theirs[1], "배": theirs[0] / theirs[1]}


@contextlib.contextmanager
def single_thread() -> Iterator[None]:
    """torch와 OpenCV를 데이터 로더의 작업자(worker)처럼 한 스레드로 둔다."""
    before = torch.get_num_threads(), cv2.getNumThreads()
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before[0])
        cv2.setNumThreads(before[1])


def compare_items(
    one: Callable[[int, int], Any], other: Callable[[int, int], Any], rounds: int, count: int
) -> tuple[float, float]:
    """항목마다 둘을 번갈아 만들고 저마다의 중앙값 초를 돌려준다. 첫 바퀴는 데우기라 버린다.

    Args:
        one, other: (바퀴, 번호)를 받아 항목 하나를 만드는 함수.
        rounds: 재는 바퀴 수.
        count: 한 바퀴의 항목 수.
    """
    times: tuple[list[float], list[float]] = ([], [])
    for number in range(rounds + 1):
        for index in range(count):
            order = (0, 1) if index % 2 else (1, 0)
            for which in order:
                began = time.perf_counter()
                (one, other)[which](number, index)
                if number:
                    times[which].append(time.perf_counter() - began)
    return statistics.median(times[0]), statistics.median(times[1])


def benchmark_items(options: dict[str, Any], rounds: int) -> dict[str, float]:
    """데이터셋 항목 하나를 한 스레드로 만드는 밀리초의 중앙값. 원본의 데이터셋과 견준다."""
    options = options | {"crop_size": UPSTREAM_CROP}
    ours = RealESRGANDataset(options)
    upstream = dict(iter(DATASET_REGISTRY))["RealESRGANDataset_basicsr"]
    with tempfile.TemporaryDirectory() as folder:
        meta = Path(folder) / "meta.txt"
        root = Path(options["dataroot_gt"])
        meta.write_text("\n".join(str(Path(path).relative_to(root)) for path in ours.paths), encoding="utf-8")
        theirs = upstream(options | {"meta_info": str(meta), "io_backend": dict(options["io_backend"])})
        count = min(64, len(ours))
        with single_thread():
            times = compare_items(
                lambda _, index: theirs[index],
                lambda number, index: ours[ItemKey(index, 0, 0, number, index)],
                rounds,
                count,
            )
    return {"원본(ms)": times[0] * 1000, "이 코드(ms)": times[1] * 1000, "배": times[0] / times[1]}


def benchmark_wait(dataset: RealESRGANDataset, pipeline: PipelineOptions, batch: int, steps: int) -> dict[str, float]:
    """Compact 네트워크를 훈련하는 동안 자료를 기다린 시간의 비율."""
    network = SRVGGNetCompact(num_conv=32)
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-4)
    random = DegradationRandom.from_seed(0)
    sampler = ResumableSampler(len(dataset), ratio=-(-(steps + 2) * batch // len(dataset)))
    loader = iter(DataLoader(dataset, batch_size=batch, sampler=sampler, num_workers=1, drop_last=True))
    waited = worked = 0.0
    for number in range(steps + 1):
        began = time.perf_counter()
        data = next(loader)
        arrived = time.perf_counter()
        base, lq = synthesise(data["gt"], Kernels.from_batch(data, "cpu"), pipeline, random)
        optimizer.zero_grad()
        F.l1_loss(network(lq), base).backward()
        optimizer.step()
        if number:
            waited, worked = waited + arrived - began, worked + time.perf_counter() - arrived
    return {"걸음(초)": (waited + worked) / steps, "기다림(%)": 100 * waited / (waited + worked)}


# 걸음을 잴 옵션 파일과, 작은 기계에서 끝나도록 줄인 네트워크. 줄인 것은 양쪽에 똑같다.
STEPS: dict[str, tuple[str, dict[str, Any]]] = {
    "RealESRNet SRVGG-8": ("train_realesrnet_compact_x4.yml", {"num_conv": 8}),
    "RealESRGAN SRVGG-8": ("train_realesrgan_compact_x4.yml", {"num_conv": 8}),
    "RealESRNet RRDBNet-23": ("train_realesrnet_x4plus.yml", {}),
    "RealESRGAN RRDBNet-23": ("train_realesrgan_x4plus.yml", {}),
}


def step_options(file: str, network: Mapping[str, Any], batch: int, gt_size: int) -> dict[str, Any]:
    """옵션 파일을 걸음만 재는 것으로 줄인다. 지각 손실은 VGG의 가중치가 없어도 재도록 뺀다."""
    options = load_yaml(RECIPE.parent / file)
    options |= {
        "num_gpu": min(1, torch.cuda.device_count()),
        "gt_size": gt_size,
        "queue_size": batch,
        "manual_seed": 0,
        "val": None,
    }
    options |= {"is_train": True, "dist": False, "rank": 0, "world_size": 1}
    options["network_g"] |= network
    options["path"] = {"pretrain_network_g": None}
    options["train"].pop("perceptual_opt", None)
    options["train"]["channels_last"] = False
    return options


@contextlib.contextmanager
def without_cuda() -> Iterator[None]:
    """BasicSR의 모델이 CPU에서도 돌도록 `.cuda()`를 건너뛴다. CUDA가 있으면 아무것도 하지 않는다."""
    if torch.cuda.is_available():
        yield
        return
    with (
        mock.patch.object(torch.nn.Module, "cuda", lambda this, *_, **__: this),
        mock.patch.object(Tensor, "cuda", lambda this, *_, **__: this),
    ):
        yield


def _measure_pair(
    options: dict[str, Any], data: dict[str, Tensor], rounds: int, clock: Clock
) -> tuple[tuple[float, float], tuple[float, float]]:
    """새로 지은 두 모델을 번갈아 걷게 하고 (BasicSR, 이 코드)의 `feed_data`까지의 걸음과 걸음만의 중앙값 초를 낸다."""
    models, kind = dict(iter(MODEL_REGISTRY)), options["model_type"]
    pair = [models[name](copy.deepcopy(options)) for name in (f"{kind}_basicsr", kind)]
    times: tuple[list[tuple[float, float]], list[tuple[float, float]]] = ([], [])
    for number in range(rounds + 1):
        for which in (0, 1) if number % 2 else (1, 0):
            fed = seconds(functools.partial(pair[which].feed_data, data), clock)
            moved = seconds(functools.partial(pair[which].optimize_parameters, number + 1), clock)
            if number:
                times[which].append((fed + moved, moved))
    whole, alone = (tuple(statistics.median(one[part] for one in found) for found in times) for part in (0, 1))
    return (whole[0], whole[1]), (alone[0], alone[1])


def benchmark_step(
    options: dict[str, Any], data: dict[str, Tensor], rounds: int, repeats: int = 1, clock: Clock = time.perf_counter
) -> dict[str, float]:
    """한 걸음(`feed_data`와 `optimize_parameters`)의 초와 배율. 난수열이 달라 뽑히는 열화는 다르다.

    열화는 뽑힌 배율에 따라 드는 시간이 크게 다르므로, 그것을 뺀 걸음만의 시간도 함께 잰다. `repeats`번을 모델부터 새로
    지어 되풀이하고 그 중앙값과, 걸음만의 배율의 가장 작은 것과 큰 것을 낸다.
    """
    found = [_measure_pair(options, data, rounds, clock) for _ in range(repeats)]
    theirs, ours = (statistics.median(whole[which] for whole, _ in found) for which in (0, 1))
    ratios = sorted(alone[0] / alone[1] for _, alone in found)
    return {
        "BasicSR(초)": theirs,
        "이 코드(초)": ours,
        "배": theirs / ours,
        "걸음만의 배": statistics.median(ratios),
        "가장 작은 배": ratios[0],
        "가장 큰 배": ratios[-1],
    }


def benchmark_steps(
    dataset: RealESRGANDataset,
    batch: int,
    gt_size: int,
    rounds: int,
    repeats: int = 1,
    clock: Clock = time.perf_counter,
) -> Iterator[tuple[str, dict[str, float]]]:
    """`STEPS`마다의 걸음을 재는 대로 준다. 배열의 순서를 바꾼(channels_last) 것도 잰다."""
    items = [dataset[ItemKey(index % len(dataset), 0, 0, 0, index)] for index in range(batch)]
    data = {name: torch.stack([item[name] for item in items]) for name in items[0] if name != "gt_path"}
    for name, (file, network) in STEPS.items():
        options = step_options(file, network, batch, gt_size)
        for layout in (False, True):
            options["train"]["channels_last"] = layout
            with without_cuda():
                measured = benchmark_step(options, data, rounds, repeats, clock)
            yield f"걸음 {name}{' channels_last' * layout}", measured


def _sample_folder(folder: Path, size: int) -> Path:
    rng = np.random.default_rng(0)
    for index in range(24):
        noise = rng.integers(0, 256, (size // 8, size // 8, 3), dtype=np.uint8)
        picture = cv2.resize(noise, (size + 80, size + 80), interpolation=cv2.INTER_CUBIC)
        (folder / f"{index:02d}.png").write_bytes(cv2.imencode(".png", picture)[1].tobytes())
    return folder


def _dataset(data: Path, size: int) -> RealESRGANDataset:
    """레시피의 커널로 `data`를 읽는 데이터셋."""
    recipe = load_yaml(RECIPE)
    options = recipe["datasets"]["train"] | {"dataroot_gt": str(data), "meta_info": None, "crop_size": size}
    return RealESRGANDataset(options | {"phase": "train", "scale": recipe["scale"]})


def run(data: Path, batch: int, size: int, rounds: int) -> dict[str, dict[str, float]]:
    """모든 측정을 하고 이름마다의 값을 돌려준다."""
    dataset, pipeline = _dataset(data, size), PipelineOptions.from_options(load_yaml(RECIPE))
    return {
        "열화": benchmark_degradation(dataset, pipeline, batch, rounds),
        "항목": benchmark_items(dict(dataset.opt), rounds),
        "자료 대기": benchmark_wait(dataset, pipeline, 2, 3),
    }


def report(
    data: Path | None,
    *,
    rounds: int,
    batch: int,
    size: int,
    gt_size: int | None,
    repeats: int = 1,
    cpu_time: bool = False,
) -> None:
    """재고 결과를 표준 출력에 적는다.

    Args:
        data: 이미지 폴더. None이면 만든 이미지를 쓴다.
        rounds: 재는 횟수.
        batch: 배치 크기.
        size: 조각의 한 변(픽셀).
        gt_size: 훈련의 한 걸음을 잴 GT 조각(픽셀). None이면 열화와 항목을 잰다.
        repeats: 걸음을 모델부터 새로 지어 되풀이할 횟수.
        cpu_time: 걸음을 벽시계 대신 이 프로세스가 쓴 CPU 시간으로 잴지. 다른 일이 도는 기계에서 쓴다.
    """
    say(f"스레드 {torch.get_num_threads()}, torch {torch.__version__}{', CPU 시간' * cpu_time}")
    with tempfile.TemporaryDirectory() as folder:
        data = data or _sample_folder(Path(folder), size)
        results: Iterable[tuple[str, dict[str, float]]]
        if gt_size is not None:
            import_user_modules()
            clock = time.process_time if cpu_time else time.perf_counter
            results = benchmark_steps(_dataset(data, size), batch, gt_size, rounds, repeats, clock)
        else:
            results = run(data, batch, size, rounds).items()
        # 오래 걸리므로 재는 대로 보인다.
        for name, values in results:
            say(f"{name}: " + ", ".join(f"{key} {value:.3f}" for key, value in values.items()))
