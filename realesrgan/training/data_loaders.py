"""데이터셋에서 데이터 로더(data loader)를 만든다."""

from __future__ import annotations

import contextlib
import logging
import math
import random
import signal
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import FrameType
from typing import Any

import cv2
import numpy as np
from torch.utils.data import DataLoader, Dataset

from realesrgan.basicsr_bridge import build_dataset
from realesrgan.data.resumable_sampler import ResumableSampler, accept_keys
from realesrgan.errors import DatasetError, OptionError, RealESRGANError
from realesrgan.util.files import os_reason

LOGGER = logging.getLogger("basicsr")
# 끝내라는 신호를 받은 작업자가 더 사는 초.
WORKER_GRACE = 60.0


@dataclass
class Loaders:
    """훈련과 검증의 로더들.

    Args:
        train: 훈련 로더.
        sampler: 훈련 로더의 샘플러.
        validation: 검증 로더들.
        batch_size: 한 프로세스의 배치 크기.
    """

    train: DataLoader[Any]
    sampler: ResumableSampler
    validation: list[DataLoader[Any]]
    batch_size: int


def start_workers(loader: DataLoader[Any]) -> Iterator[Any]:
    """로더를 처음부터 돌기 시작한다. 작업자(worker)는 OpenCV의 스레드가 없는 동안에 태어난다.

    OpenCV가 스레드를 띄운 뒤에 갈라져 나온(fork) 작업자는 있지도 않은 스레드를 기다리다 멈춘다. 작업자 안에서 스레드
    수를 줄여도 같은 곳에서 멈추므로, 갈라지기 전에 여기서 내리고 뒤에 되돌린다. 작업자는 한 스레드로 남는다.
    """
    threads = cv2.getNumThreads()
    cv2.setNumThreads(1)
    try:
        return iter(loader)
    finally:
        cv2.setNumThreads(threads)


def _leave_later(_number: int, _frame: FrameType | None) -> None:
    """작업자가 바로 죽지 않고 잠시 뒤에 죽게 한다. 그 전에 훈련이 끝나면 로더가 거둔다."""
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    signal.setitimer(signal.ITIMER_REAL, WORKER_GRACE)


@dataclass(frozen=True)
class SeedWorker:
    """작업자마다 파이썬과 NumPy의 전역 난수를 다르게 놓는다. 사용자의 데이터셋이 작업자를 시작할 때 난수를 쓸 수 있다.

    Args:
        seed: 훈련의 씨앗.
        rank: 프로세스의 번호.
    """

    seed: int
    rank: int

    def __call__(self, worker: int) -> None:
        """`worker`번째 작업자의 난수를 놓는다."""
        # 터미널의 Ctrl-C도 클러스터의 SIGTERM도 작업자에게까지 간다. 훈련이 체크포인트를 남길 때까지 살아 있어야 한다.
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.signal(signal.SIGTERM, _leave_later if hasattr(signal, "setitimer") else signal.SIG_DFL)
        first, second = np.random.SeedSequence((self.seed, self.rank, worker)).generate_state(2)
        random.seed(int(first))
        np.random.seed(int(second))  # noqa: NPY002  남의 데이터셋이 쓰는 전역 난수다


@contextlib.contextmanager
def naming_item(where: str = "") -> Iterator[None]:
    """데이터셋의 코드가 낸 오류를, 추적(traceback)은 기록에 남기고 이름 있는 오류로 바꾼다.

    Args:
        where: 오류에 적을 데이터셋의 자리.

    Raises:
        DatasetError: 데이터셋의 코드나 작업자가 실패했을 때.
    """
    try:
        yield
    except RealESRGANError:
        raise
    except Exception as error:  # 사용자의 데이터셋은 어떤 오류든 낼 수 있다.
        LOGGER.exception("데이터셋의 추적:")
        last = str(error).strip().splitlines()[-1] if str(error).strip() else ""
        what = f"{where}: {type(error).__name__}" if where else type(error).__name__
        raise DatasetError(
            f"데이터셋에서 항목을 만들다가 오류가 났습니다: {what}: {last}\n"
            "  어디에서 났는지는 위의(그리고 실험 폴더의 기록에 남은) 추적에 있습니다.\n"
            "  해결: 자료와 데이터셋의 코드를 확인하세요. num_worker_per_gpu: 0이면 한 프로세스에서 볼 수 있습니다."
        ) from error


def open_dataset(options: Mapping[str, Any]) -> Any:
    """데이터셋을 만든다. BasicSR의 모델이 이름을 찾는 속성 `opt`가 없으면 달아 준다.

    Raises:
        DatasetError: 데이터셋의 클래스가 만들다가 실패했을 때.
    """
    try:
        dataset = build_dataset(options)
    except RealESRGANError:
        raise
    except Exception as error:  # 사용자와 BasicSR의 데이터셋은 어떤 오류든 낼 수 있다.
        LOGGER.exception("데이터셋의 추적:")
        reason = "; ".join(os_reason(error)) if isinstance(error, OSError) else str(error)
        raise DatasetError(
            f"데이터셋을 만들지 못했습니다: datasets:{options.get('phase')}:type={options['type']}\n"
            f"  {type(error).__name__}: {reason}\n"
            "  해결: 그 블록의 폴더와 값을 확인하세요. 어디에서 났는지는 위의 추적에 있습니다."
        ) from error
    if not hasattr(dataset, "opt"):
        dataset.opt = options
    return dataset


def _train_loader(dataset: Dataset[Any], options: Mapping[str, Any], sampler: ResumableSampler) -> DataLoader[Any]:
    workers = int(options.get("num_worker_per_gpu") or 0)
    queue = options.get("num_prefetch_queue")
    return DataLoader(
        dataset,
        batch_size=int(options["batch_size_per_gpu"]),
        sampler=sampler,
        num_workers=workers,
        drop_last=True,
        pin_memory=bool(options.get("pin_memory", options.get("prefetch_mode") == "cuda")),
        persistent_workers=bool(options.get("persistent_workers", False)) and workers > 0,
        prefetch_factor=max(2, int(queue)) if queue and workers else None,
        worker_init_fn=SeedWorker(sampler.seed, sampler.rank),
    )


def build_loaders(options: Mapping[str, Any], share_validation: bool = True) -> Loaders:
    """옵션의 `datasets`에서 로더를 모두 만든다.

    Args:
        options: 준비를 마친 옵션.
        share_validation: 검증 자료를 프로세스마다 나눌지. BasicSR의 모델은 첫 프로세스가 모두 잰다.

    Raises:
        OptionError: 훈련 데이터셋이 없을 때.
        DatasetError: 한 세대에 배치 하나도 나오지 않을 때.
    """
    rank, world_size = int(options["rank"]), int(options["world_size"])
    train_options = options["datasets"].get("train")
    if train_options is None:
        raise OptionError(
            "훈련 데이터셋이 없습니다.\n  datasets 블록에 train이 없습니다.\n  해결: datasets:train을 적으세요."
        )
    dataset = accept_keys(open_dataset(train_options))
    sampler = ResumableSampler(
        len(dataset),
        world_size,
        rank,
        ratio=int(train_options.get("dataset_enlarge_ratio") or 1),
        seed=int(options["manual_seed"]),
        shuffle=bool(train_options.get("use_shuffle", True)),
    )
    batch_size = int(train_options["batch_size_per_gpu"])
    iterations = len(sampler) // batch_size
    if iterations == 0:
        raise DatasetError(
            f"이미지가 배치 하나보다 적습니다: 프로세스마다 {len(sampler)}장, 배치 {batch_size}\n"
            "  배치를 채우지 못하면 훈련이 나아가지 않습니다.\n"
            "  해결: datasets:train의 dataset_enlarge_ratio를 키우거나 batch_size_per_gpu를 줄이세요."
        )
    validation = []
    for phase, one in options["datasets"].items():
        if phase.split("_")[0] == "val":
            held = open_dataset(one)
            mine = range(rank, len(held), world_size) if share_validation else None
            validation.append(DataLoader(held, batch_size=1, sampler=mine))
            LOGGER.info("검증 이미지 수(%s): %d", one["name"], len(held))
    total = int(options["train"]["total_iter"])
    LOGGER.info(
        "훈련 통계:\n\t이미지 수: %d\n\t세대를 늘리는 배수: %s\n\t프로세스마다의 배치: %d\n\t프로세스 수: %d"
        "\n\t세대마다의 반복: %d\n\t모두 %d세대, %d번 반복",
        *(len(dataset), train_options.get("dataset_enlarge_ratio", 1), batch_size, world_size, iterations),
        *(math.ceil(total / iterations), total),
    )
    return Loaders(_train_loader(dataset, train_options, sampler), sampler, validation, batch_size)
