"""옵티마이저와 스케줄러를 이름으로 찾는다: torch의 것 모두, schedule-free, Adan과 Lion."""

from __future__ import annotations

import contextlib
import importlib
import warnings
from collections.abc import Iterator, Mapping
from typing import Any

import torch

from realesrgan.basicsr_bridge import CosineAnnealingRestartLR, MultiStepRestartLR
from realesrgan.errors import MissingPackageError, OptionError

TORCH_OPTIMIZERS = tuple(
    name
    for name in torch.optim.__all__
    # 닫힘(closure)으로 손실을 다시 부르는 것(LBFGS)과 바탕 클래스는 걸음의 꼴이 다르다. SparseAdam은 성긴
    # 그래디언트에만, Muon은 행렬인 가중치에만 쓸 수 있어 합성곱을 훈련하지 못한다.
    if name[0].isupper() and name not in ("Optimizer", "LBFGS", "SparseAdam", "Muon")
)
# 다른 패키지의 것: 이름에서 (패키지, 설치 명령)으로. 둘 다 Apache-2.0이다.
PACKAGE_OPTIMIZERS = {
    "AdamWScheduleFree": ("schedulefree", "pip install schedulefree"),
    "RAdamScheduleFree": ("schedulefree", "pip install schedulefree"),
    "SGDScheduleFree": ("schedulefree", "pip install schedulefree"),
    "Adan": ("pytorch_optimizer", "pip install pytorch-optimizer"),
    "Lion": ("pytorch_optimizer", "pip install pytorch-optimizer"),
}
OPTIMIZER_NAMES = (*TORCH_OPTIMIZERS, *PACKAGE_OPTIMIZERS)
# BasicSR의 이름과, 반복마다 부를 수 있는 torch의 스케줄러.
SCHEDULERS: dict[str, Any] = {
    name: getattr(torch.optim.lr_scheduler, name)
    for name in (
        *("StepLR", "ConstantLR", "LinearLR", "ExponentialLR", "PolynomialLR", "CosineAnnealingLR"),
        *("CosineAnnealingWarmRestarts", "CyclicLR", "OneCycleLR"),
    )
} | {
    "MultiStepLR": MultiStepRestartLR,
    "MultiStepRestartLR": MultiStepRestartLR,
    "CosineAnnealingRestartLR": CosineAnnealingRestartLR,
}
BASICSR_SCHEDULERS = ("MultiStepLR", "MultiStepRestartLR", "CosineAnnealingRestartLR")


def find_optimizer(name: str) -> Any:
    """이름의 옵티마이저 클래스. 모르는 이름이면 None.

    Raises:
        MissingPackageError: 그 옵티마이저의 패키지가 없을 때.
    """
    if name in TORCH_OPTIMIZERS:
        return getattr(torch.optim, name)
    if name not in PACKAGE_OPTIMIZERS:
        return None
    package, install = PACKAGE_OPTIMIZERS[name]
    try:
        return getattr(importlib.import_module(package), name)
    except (ImportError, AttributeError) as error:
        raise MissingPackageError(
            f"옵티마이저 {name}에는 {package} 패키지가 필요합니다.\n  불러오지 못했습니다: {error}\n  해결: {install}"
        ) from error


def make_optimizer(parameters: list[torch.nn.Parameter], options: Mapping[str, Any]) -> torch.optim.Optimizer:
    """`optim_*` 블록에서 옵티마이저를 만든다."""
    arguments = dict(options)
    optimizer: torch.optim.Optimizer = find_optimizer(arguments.pop("type"))(parameters, **arguments)
    return optimizer


def make_scheduler(optimizer: torch.optim.Optimizer, options: Mapping[str, Any]) -> Any:
    """`scheduler` 블록에서 스케줄러를 만든다."""
    arguments = dict(options)
    return SCHEDULERS[arguments.pop("type")](optimizer, **arguments)


def try_scheduler(options: Mapping[str, Any], total: int) -> None:
    """스케줄러를 작은 옵티마이저에서 몇 번 옮겨 본다. 훈련의 끝까지 갈 수 없는 것도 여기서 안다.

    Args:
        options: `scheduler` 블록.
        total: 훈련의 반복 횟수.

    Raises:
        OptionError: 스케줄이 훈련보다 먼저 끝나 그 뒤의 학습률을 알 수 없을 때.
        Exception: 스케줄러의 클래스가 낸 오류 그대로.
    """
    optimizer = torch.optim.Adam([torch.zeros(1, requires_grad=True)], lr=1e-4)
    scheduler = make_scheduler(optimizer, options)
    ends = {"OneCycleLR": "total_steps", "CosineAnnealingRestartLR": "cumulative_period"}.get(options["type"], "")
    length = getattr(scheduler, ends, None)
    length = length[-1] if isinstance(length, list) else length
    # 첫 반복은 스케줄러를 옮기지 않는다.
    if length is not None and length < total - 1:
        raise OptionError(
            f"학습률의 스케줄이 훈련보다 먼저 끝납니다: train:scheduler:type={options['type']}, {length}번\n"
            f"  train:total_iter={total}의 남은 반복에 쓸 학습률이 없습니다.\n"
            f"  해결: {'periods의 합' if ends == 'cumulative_period' else ends}을 total_iter 이상으로 하세요."
        )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for _ in range(min(3, total - 1)):
            optimizer.step()
            scheduler.step()


@contextlib.contextmanager
def averaged_weights(model: Any) -> Iterator[None]:
    """schedule-free 옵티마이저가 평균한 가중치를 네트워크에 놓는다. 저장하고 검증하는 동안이며, 나갈 때 되돌린다.

    이런 옵티마이저가 없는 모델에는 아무 일도 하지 않는다.
    """
    switched = [one for one in getattr(model, "optimizers", ()) if is_schedule_free(one)]
    for one in switched:
        one.eval()
    try:
        yield
    finally:
        for one in switched:
            one.train()


def is_schedule_free(optimizer: Any) -> bool:
    """훈련과 평가의 가중치가 다른 옵티마이저인지."""
    return all(callable(getattr(optimizer, name, None)) for name in ("train", "eval"))
