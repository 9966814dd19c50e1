"""손실에서 옵티마이저까지의 한 걸음: 혼합 정밀도, 그래디언트 모으기와 자르기, 유한하지 않은 손실의 처리."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from realesrgan.errors import NonFiniteLossError, OptionError
from realesrgan.models.step_options import AMP_TYPES, StepOptions

LOGGER = logging.getLogger("basicsr")
# 이름에서 값으로의 표. 이름이 `l_`로 시작하는 것만 더해 미분하고 나머지는 기록만 한다.
Losses = dict[str, Tensor]


@dataclass
class StepResult:
    """한 걸음의 결과. `bad`가 비어 있지 않으면 유한하지 않은 값이 있어 걸음을 건너뛴 것이다."""

    logs: dict[str, float] = field(default_factory=dict)
    bad: list[str] = field(default_factory=list)


def reduce_mean(losses: Losses) -> dict[str, float]:
    """손실들을 모든 프로세스에서 평균한다. 어느 한 곳의 NaN은 모두에게 퍼지므로 판단이 갈리지 않는다."""
    values = torch.stack([value.detach().float().mean() for value in losses.values()])
    if dist.is_initialized():
        dist.all_reduce(values)
        values /= dist.get_world_size()
    return dict(zip(losses, values.tolist(), strict=True))


def at_least_float32(tensor: Tensor) -> Tensor:
    """반정밀도(half precision)면 float32로 올린다. 손실은 늘 자동 변환(autocast)의 바깥 정밀도로 계산한다."""
    return tensor.float() if tensor.dtype in AMP_TYPES.values() else tensor


@contextlib.contextmanager
def hold_spectral_norm(network: nn.Module, held: bool = True) -> Iterator[None]:
    """스펙트럼 정규화(spectral normalization)의 거듭제곱 반복(power iteration)을 멈춰 둔다.

    `torch.nn.utils.spectral_norm`은 훈련 상태로 부를 때마다 특잇값의 추정을 한 걸음 옮긴다. 배치를 토막 내면 토막
    수만큼 더 나아가 나누지 않은 것과 다른 그래디언트가 되므로, 첫 토막에서만 옮기고 나머지는 그 추정을 그대로 쓴다.

    Args:
        network: 판별자. 스펙트럼 정규화가 없는 층은 건드리지 않는다.
        held: 거짓이면 아무것도 하지 않는다.
    """
    layers = [layer for layer in network.modules() if hasattr(layer, "weight_u") and layer.training] if held else []
    for layer in layers:
        layer.training = False
    try:
        yield
    finally:
        for layer in layers:
            layer.training = True


class Stepper:
    """옵티마이저 하나를 한 걸음 움직이는 일을 맡는다.

    Args:
        options: 한 걸음의 선택들.
        device: 네트워크가 있는 장치.
    """

    def __init__(self, options: StepOptions, device: torch.device) -> None:
        self.options = options
        self.device = device

    def autocast(self) -> contextlib.AbstractContextManager[None]:
        """옵션에 따른 혼합 정밀도 구역."""
        if self.options.amp is None:
            return contextlib.nullcontext()
        return torch.autocast(self.device.type, dtype=AMP_TYPES[self.options.amp])

    def make_scaler(self) -> torch.amp.GradScaler:
        """fp16의 작은 그래디언트가 0이 되지 않게 키우는 스케일러(scaler). fp16이 아니면 아무것도 하지 않는다."""
        return torch.amp.GradScaler(self.device.type, enabled=self.options.amp == "fp16")

    def split(self, *tensors: Tensor) -> list[tuple[Tensor, ...]]:
        """배치를 `accumulate` 토막으로 나눈다.

        Raises:
            OptionError: 배치가 나누어떨어지지 않을 때. 토막의 크기가 다르면 평균이 달라진다.
        """
        batch = tensors[0].shape[0]
        if batch % self.options.accumulate:
            raise OptionError(
                f"배치({batch})가 train:accumulate({self.options.accumulate})로 나누어떨어지지 않습니다.\n"
                "  토막의 크기가 다르면 손실의 평균이 나누지 않은 것과 달라집니다.\n"
                "  해결: accumulate를 batch_size_per_gpu의 약수로 바꾸세요."
            )
        return list(zip(*(tensor.chunk(self.options.accumulate) for tensor in tensors), strict=True))

    def run(
        self,
        network: nn.Module,
        optimizer: torch.optim.Optimizer,
        scaler: torch.amp.GradScaler,
        closures: Sequence[Callable[[], Losses]],
        parts: int,
    ) -> StepResult:
        """손실들을 차례로 미분해 그래디언트를 모으고 한 걸음 나아간다.

        Args:
            network: 걸음을 내딛는 네트워크. 분산 래퍼일 수 있다.
            optimizer: 그 네트워크의 옵티마이저.
            scaler: `make_scaler`가 만든 스케일러.
            closures: 손실을 계산하는 함수들. 하나씩 미분하므로 메모리가 쌓이지 않는다.
            parts: 배치를 나눈 토막의 수. 그래디언트가 배치 평균이 되도록 나눈다.

        Returns:
            기록할 값들과, 유한하지 않아 건너뛰었으면 그 이름들.
        """
        optimizer.zero_grad(set_to_none=True)
        result = StepResult()
        for number, closure in enumerate(closures, 1):
            with self._accumulating(network, last=number == len(closures)):
                with self.autocast():
                    losses = closure()
                values = reduce_mean(losses)
                result.bad = [name for name, value in values.items() if not abs(value) < float("inf")]
                if result.bad:
                    optimizer.zero_grad(set_to_none=True)
                    return result
                total = torch.stack([value for name, value in losses.items() if name.startswith("l_")]).sum()
                scaler.scale(total / parts).backward()
            for name, value in values.items():
                result.logs[name] = result.logs.get(name, 0.0) + value / parts
        result.bad = self._clip(network, optimizer, scaler)
        if not result.bad:
            scaler.step(optimizer)
        scaler.update()
        return result

    def _accumulating(self, network: nn.Module, last: bool) -> contextlib.AbstractContextManager[None]:
        # 마지막 토막에서만 프로세스끼리 그래디언트를 주고받는다.
        if isinstance(network, DistributedDataParallel) and not last:
            return network.no_sync()
        return contextlib.nullcontext()

    def _clip(self, network: nn.Module, optimizer: torch.optim.Optimizer, scaler: torch.amp.GradScaler) -> list[str]:
        if self.options.grad_clip is None:
            return []
        scaler.unscale_(optimizer)
        norm = nn.utils.clip_grad_norm_(network.parameters(), self.options.grad_clip)
        # fp16에서는 스케일러가 스스로 건너뛰고 배율을 낮춘다.
        return [] if scaler.is_enabled() or bool(torch.isfinite(norm)) else ["grad_norm"]


class NonFiniteGuard:
    """유한하지 않은 손실을 세고, 잇달아 너무 많으면 멈춘다.

    Args:
        limit: 잇달아 허용하는 횟수보다 하나 큰 수.
    """

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.total = 0
        self.streak = 0

    def record(self, bad: list[str], iteration: int, last_checkpoint: str | None) -> None:
        """한 걸음의 결과를 적는다. `bad`가 비어 있으면 연속 횟수를 지운다.

        Raises:
            NonFiniteLossError: 잇달아 `limit`번이 됐을 때.
        """
        if not bad:
            self.streak = 0
            return
        self.total += 1
        self.streak += 1
        LOGGER.warning("유한하지 않은 손실이라 걸음을 건너뜁니다(반복 %d): %s", iteration, ", ".join(bad))
        if self.streak >= self.limit:
            raise NonFiniteLossError(
                f"손실이 {self.streak}번 잇달아 유한하지 않습니다(반복 {iteration}): {', '.join(bad)}\n"
                "  그래디언트가 터졌거나 자료에 문제가 있습니다. "
                f"가중치가 모두 유한한 마지막 체크포인트: {last_checkpoint or '없음'}\n"
                "  해결: 옵션 파일의 학습률(train:optim_g:lr)을 낮추거나 train:grad_clip을 켜고 --auto_resume으로 이어 "
                "가세요. 바뀐 값은 이어 갈 때 적용됩니다. fp16이면 bf16을 써 보세요."
            )
