"""`train:losses`에 적는 손실들: LDL, MS-SSIM, focal frequency, pyiqa의 지표.

등록된 손실이면 무엇이든 목록에 적을 수 있다.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from realesrgan.basicsr_bridge import LOSS_REGISTRY, build_loss
from realesrgan.errors import MissingPackageError, OptionError
from realesrgan.models.trial import blaming

# 다중 배율 SSIM의 배율마다의 지수. Wang 2003, 표 1.
MS_SSIM_EXPONENTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)
# SSIM의 가우시안 창과 두 상수(0..1 눈금). Wang 2004, 식 13.
SSIM_WINDOW, SSIM_SIGMA = 11, 1.5
SSIM_C1, SSIM_C2 = 0.01**2, 0.03**2
# 목록의 키 가운데 손실 클래스가 아니라 목록이 읽는 것.
ENTRY_KEYS = ("type", "weight", "start_iter", "end_iter", "target", "name")
TARGETS = ("gt", "gt_usm")


def artifact_map(output: Tensor, average: Tensor, target: Tensor, window: int = 7) -> Tensor:
    """LDL의 흔적 지도 `(B, 1, H, W)`. Liang 2022, 식 4~6.

    Args:
        output: 생성자의 출력 `(B, C, H, W)`.
        average: 생성자의 EMA가 낸 출력, 같은 모양.
        target: 정답, 같은 모양.
        window: 국소 분산을 재는 창의 한 변, 홀수.
    """
    own = (target - output).abs().sum(1, keepdim=True)
    steady = (target - average).abs().sum(1, keepdim=True)
    whole = own.var(dim=(1, 2, 3), keepdim=True) ** 0.2
    padded = F.pad(own, [window // 2] * 4, mode="reflect")
    # 창마다의 분산(치우치지 않은 것). 합과 제곱의 합에서 얻으면 반올림이 커서 조각을 펼쳐 잰다.
    patches = F.unfold(padded, window).view(own.shape[0], window * window, *own.shape[-2:])
    local = patches.var(dim=1, keepdim=True)
    return torch.where(own < steady, torch.zeros_like(own), whole * local)


@LOSS_REGISTRY.register()
class LDLLoss(nn.Module):
    """흔적이 있는 자리만 벌하는 손실(Locally Discriminative Learning). Liang 2022, 식 7.

    EMA의 출력이 있어야 하므로 `train:ema_decay`를 켜야 한다.

    Args:
        window: 국소 분산을 재는 창의 한 변, 3 이상의 홀수.

    Raises:
        OptionError: `window`가 짝수이거나 3보다 작을 때.
    """

    needs_average = True

    def __init__(self, window: int = 7) -> None:
        super().__init__()
        if window < 3 or window % 2 == 0:
            raise OptionError(
                f"LDLLoss의 window가 잘못됐습니다: {window}\n  가운데 픽셀의 둘레에서 분산을 잽니다.\n"
                "  해결: 3 이상의 홀수로 적으세요. 논문의 값은 7입니다."
            )
        self.window = window

    def forward(self, output: Tensor, target: Tensor, average: Tensor) -> Tensor:
        """세 텐서는 `(B, C, H, W)`, 0..1. 지도는 미분하지 않는다."""
        with torch.no_grad():
            weight = artifact_map(output, average, target, self.window)
        return F.l1_loss(weight * output, weight * target)


def _gaussian_window(channels: int, like: Tensor) -> Tensor:
    axis = torch.arange(SSIM_WINDOW, dtype=like.dtype, device=like.device) - SSIM_WINDOW // 2
    line = torch.exp(-(axis**2) / (2 * SSIM_SIGMA**2))
    line = line / line.sum()
    return torch.outer(line, line).expand(channels, 1, -1, -1)


def ssim_terms(one: Tensor, other: Tensor) -> tuple[Tensor, Tensor]:
    """SSIM과 그 대비·구조 항의 평균. 둘 다 `(B, C)`. Wang 2004, 식 13."""
    channels = one.shape[1]
    window = _gaussian_window(channels, one)

    def blur(image: Tensor) -> Tensor:
        return F.conv2d(image, window, groups=channels)

    mean, mean2 = blur(one), blur(other)
    variance, variance2 = blur(one * one) - mean**2, blur(other * other) - mean2**2
    covariance = blur(one * other) - mean * mean2
    contrast = (2 * covariance + SSIM_C2) / (variance + variance2 + SSIM_C2)
    luminance = (2 * mean * mean2 + SSIM_C1) / (mean**2 + mean2**2 + SSIM_C1)
    return (luminance * contrast).mean((2, 3)), contrast.mean((2, 3))


@LOSS_REGISTRY.register()
class MSSSIMLoss(nn.Module):
    """`1 - MS-SSIM`. Wang 2003, 식 7.

    Args:
        levels: 배율의 수, 1~5. 조각의 한 변이 `11 * 2^(levels-1)` 이상이어야 한다. 5보다 적으면 지수를 다시 맞춘다.

    Raises:
        OptionError: `levels`가 1~5가 아니거나 조각이 작을 때.
    """

    def __init__(self, levels: int = 5) -> None:
        super().__init__()
        if not 1 <= levels <= len(MS_SSIM_EXPONENTS):
            raise OptionError(
                f"MSSSIMLoss의 levels가 잘못됐습니다: {levels}\n  배율은 다섯까지입니다.\n  해결: 1~5로 적으세요."
            )
        # 다섯의 합은 1.0001이다. 논문의 값 그대로 두고, 줄였을 때만 1로 맞춘다.
        total = sum(MS_SSIM_EXPONENTS[:levels]) if levels < len(MS_SSIM_EXPONENTS) else 1.0
        self.exponents = tuple(value / total for value in MS_SSIM_EXPONENTS[:levels])

    def forward(self, output: Tensor, target: Tensor) -> Tensor:
        """두 텐서는 `(B, C, H, W)`, 0..1."""
        smallest = SSIM_WINDOW * 2 ** (len(self.exponents) - 1)
        if min(output.shape[-2:]) < smallest:
            raise OptionError(
                f"MS-SSIM을 재기에 조각이 작습니다: {output.shape[-1]}x{output.shape[-2]}\n"
                f"  배율 {len(self.exponents)}개면 한 변이 {smallest}픽셀 이상이어야 합니다.\n"
                "  해결: gt_size를 키우거나 levels를 줄이세요."
            )
        product = torch.ones_like(output[:, :, 0, 0])
        for number, exponent in enumerate(self.exponents, 1):
            whole, contrast = ssim_terms(output, target)
            term = whole if number == len(self.exponents) else contrast
            # 음수의 거듭제곱은 수가 아니다. 훈련 초기에 구조가 뒤집힌 조각이 있다.
            product = product * term.clamp_min(1e-6) ** exponent
            if number < len(self.exponents):
                output, target = F.avg_pool2d(output, 2), F.avg_pool2d(target, 2)
        return 1 - product.mean()


@LOSS_REGISTRY.register()
class FocalFrequencyLoss(nn.Module):
    """틀린 주파수일수록 무겁게 보는 손실. Jiang 2021, 식 8과 9.

    Args:
        alpha: 무게의 지수, 0 이상.

    Raises:
        OptionError: `alpha`가 음수일 때. 맞는 주파수의 무게가 무한해진다.
    """

    def __init__(self, alpha: float = 1.0) -> None:
        super().__init__()
        if alpha < 0:
            raise OptionError(
                f"FocalFrequencyLoss의 alpha가 음수입니다: {alpha}\n  맞는 주파수의 무게가 무한해집니다.\n"
                "  해결: 0 이상으로 적으세요. 논문의 값은 1입니다."
            )
        self.alpha = alpha

    def forward(self, output: Tensor, target: Tensor) -> Tensor:
        """두 텐서는 `(B, C, H, W)`, 0..1. 무게는 미분하지 않는다."""
        difference = torch.fft.fft2(output.float(), norm="ortho") - torch.fft.fft2(target.float(), norm="ortho")
        distance = difference.real**2 + difference.imag**2
        with torch.no_grad():
            weight = distance.sqrt() ** self.alpha
            weight = (weight / weight.amax((2, 3), keepdim=True).clamp_min(1e-12)).clamp(0, 1)
        return (weight * distance).mean()


@LOSS_REGISTRY.register()
class PyiqaLoss(nn.Module):
    """`pyiqa`의 미분할 수 있는 지표를 손실로 쓴다(DISTS, LPIPS 등).

    Args:
        metric: pyiqa의 지표 이름.

    Raises:
        MissingPackageError: pyiqa가 없을 때.
    """

    def __init__(self, metric: str = "dists") -> None:
        super().__init__()
        try:
            pyiqa = importlib.import_module("pyiqa")
        except ImportError as error:
            raise MissingPackageError(
                f"이 손실에는 pyiqa가 필요합니다: PyiqaLoss({metric})\n  불러오지 못했습니다: {error}\n"
                "  해결: pip install pyiqa"
            ) from error
        with blaming("PyiqaLoss", {"type": metric}):
            self.measure = pyiqa.create_metric(metric, as_loss=True).requires_grad_(False)
        # 값이 클수록 좋은 지표(SSIM 등)는 1에서 뺀다.
        self.lower_better = bool(getattr(self.measure, "lower_better", True))

    def forward(self, output: Tensor, target: Tensor) -> Tensor:
        """두 텐서는 `(B, 3, H, W)`나 회색 `(B, 1, H, W)`, 0..1."""
        output, target = (one.expand(-1, 3, -1, -1) for one in (output.clamp(0, 1), target))
        value: Tensor = self.measure(output, target).mean()
        return value if self.lower_better else 1 - value


@dataclass(frozen=True)
class LossEntry:
    """목록의 손실 하나.

    Args:
        name: 로그에 적히는 이름. `l_`이 앞에 붙는다.
        loss: `(출력, 정답)`을 받아 수나 (수, 수)를 내는 모듈.
        weight: 비중.
        start, end: 쓰는 반복의 범위 `[start, end)`. `end`가 None이면 끝까지.
        target: `gt`(본래 정답)나 `gt_usm`(선명화한 정답).
    """

    name: str
    loss: nn.Module
    weight: float
    start: int
    end: int | None
    target: str

    def active(self, iteration: int) -> bool:
        """이 반복에서 쓰는지."""
        return self.start <= iteration and (self.end is None or iteration < self.end)

    def measure(self, output: Tensor, target: Tensor, average: Tensor | None) -> Tensor:
        """비중을 곱한 손실. 지각 손실처럼 둘을 내는 것은 더한다."""
        extra = (average,) if getattr(self.loss, "needs_average", False) else ()
        value = self.loss(output, target, *extra)
        parts = [one for one in value if one is not None] if isinstance(value, tuple) else [value]
        return torch.stack(parts).sum() * self.weight


def build_entries(entries: Sequence[Mapping[str, Any]], device: torch.device, has_average: bool) -> list[LossEntry]:
    """`train:losses`의 목록에서 손실들을 만든다.

    Raises:
        OptionError: 이름이 겹치거나, EMA가 있어야 하는 손실인데 EMA를 쓰지 않을 때.
    """
    found: list[LossEntry] = []
    for number, entry in enumerate(entries):
        arguments = {key: value for key, value in entry.items() if key not in ENTRY_KEYS}
        with blaming(f"train:losses:{number}", entry):
            loss = build_loss({"type": entry["type"], **arguments}).to(device)
        name = str(entry.get("name") or entry["type"])
        if any(one.name == name for one in found):
            raise OptionError(
                f"train:losses의 이름이 겹칩니다: {name}\n  로그에서 구별할 수 없습니다.\n"
                "  해결: 항목마다 name을 다르게 적으세요."
            )
        if getattr(loss, "needs_average", False) and not has_average:
            raise OptionError(
                f"{entry['type']}에는 EMA가 있어야 합니다.\n  EMA의 출력과 견주어 흔적을 찾습니다.\n"
                "  해결: train:ema_decay를 0.999처럼 적으세요."
            )
        end = entry.get("end_iter")
        if end is not None and int(end) <= int(entry.get("start_iter") or 0):
            raise OptionError(
                f"한 번도 쓰이지 않는 손실입니다: train:losses:{number}:end_iter={end}\n"
                f"  쓰기 시작하는 반복(start_iter={entry.get('start_iter') or 0})보다 늦지 않습니다.\n"
                "  해결: end_iter를 키우거나 지우세요."
            )
        span = int(entry.get("start_iter") or 0), None if end is None else int(end)
        found.append(LossEntry(name, loss, float(entry.get("weight", 1.0)), *span, str(entry.get("target") or "gt")))
    return found
