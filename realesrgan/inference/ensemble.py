"""앙상블(ensemble): 여러 방향과 여러 모델의 결과를 평균한다.

방향의 평균은 기하 셀프 앙상블(geometric self-ensemble; Lim 2017, EDSR의 3.4절)이다. 뒤집고 돌린 여덟 입력을 키워 되돌린
결과를 반올림하기 전에 평균한다.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor, nn

from realesrgan.archs.base import activation_values, image_of, network_scale, size_multiple
from realesrgan.errors import UsageError
from realesrgan.inference.engines.base import Engine
from realesrgan.zoo.weights import Weights

# 정사각형을 제자리에 두는 뒤집기와 90도 돌리기의 수(정이면체군 D4).
DIRECTIONS = 8


def turn(images: Tensor, direction: int, *, back: bool = False) -> Tensor:
    """`(N, C, H, W)`를 여덟 방향 가운데 하나로 뒤집고 돌린다. `back`이면 되돌린다.

    Args:
        images: 텐서.
        direction: 0부터 7. 4 이상이면 먼저 좌우로 뒤집고, 4로 나눈 나머지만큼 90도씩 돌린다. 0은 그대로다.
        back: 돌린 것을 되돌릴지.
    """
    quarter, mirrored = direction % 4, direction >= DIRECTIONS // 2
    if back:
        images = torch.rot90(images, -quarter, (2, 3))
        return images.flip(3) if mirrored else images
    return torch.rot90(images.flip(3) if mirrored else images, quarter, (2, 3))


class AveragedEngine:
    """엔진들의 결과를 무게로 평균하는 엔진(`engines.base.Engine`). 띠로 이어 돌리지 못하므로 통째나 타일로 간다.

    Args:
        engines: 배율이 같은 엔진들.
        weights: 저마다의 무게. 합이 1이다.
        directions: 평균할 방향의 수, 1 또는 8.

    Attributes:
        runs: 한 픽셀에 네트워크를 돌리는 횟수.
    """

    def __init__(self, engines: Sequence[Engine], weights: Sequence[float], directions: int = 1) -> None:
        first = engines[0]
        self._parts, self._directions = tuple(zip(engines, weights, strict=True)), directions
        self.name, self.device, self.precision, self.scale = first.name, first.device, first.precision, first.scale
        self.place: torch.device = getattr(first, "place", first.device)
        self.multiple = math.lcm(*(engine.multiple for engine in engines))
        self.max_pixels = min(engine.max_pixels for engine in engines)
        self.runs = len(engines) * directions

    def __call__(self, batch: Tensor) -> Tensor:
        """배치 하나를 방향마다, 엔진마다 키워 평균한다."""
        count, channels, height, width = batch.shape
        shape = (count, channels, height * self.scale, width * self.scale)
        total = torch.zeros(shape, device=self.device)
        for direction in range(self._directions):
            turned = turn(batch, direction).contiguous()
            for engine, weight in self._parts:
                total.add_(turn(engine(turned), direction, back=True), alpha=weight / self._directions)
        return total

    def memory(self, height: int, width: int) -> int:
        """가장 큰 엔진의 것에 평균을 담을 자리를 더한다."""
        held = 2 * 3 * 4 * height * width * self.scale**2
        return max(engine.memory(height, width) for engine, _ in self._parts) + held

    def fallback(self) -> Engine | None:
        """하나라도 정밀도를 높일 수 있으면 그렇게 한 것들의 평균."""
        safer = [engine.fallback() for engine, _ in self._parts]
        if not any(safer):
            return None
        engines = [other or engine for other, (engine, _) in zip(safer, self._parts, strict=True)]
        return AveragedEngine(engines, [weight for _, weight in self._parts], self._directions)

    def release(self) -> None:
        """쥐고 있던 여분을 모두 돌려준다."""
        for engine, _ in self._parts:
            engine.release()


class MixedNetwork(nn.Module):
    """여러 네트워크의 출력을 무게로 평균하는 네트워크. `(N, 3, H, W)`를 `(N, 3, H*scale, W*scale)`로 키운다.

    가중치를 섞는 심층 네트워크 보간(DNI)과 달리 네트워크의 종류가 달라도 된다.

    Args:
        networks: 배율이 같은 네트워크들.
        weights: 저마다의 무게. 합이 1이다.
    """

    def __init__(self, networks: Sequence[nn.Module], weights: Sequence[float]) -> None:
        super().__init__()
        self.networks = nn.ModuleList(networks)
        self.weights = tuple(weights)
        self.scale = network_scale(networks[0])
        self.size_multiple = math.lcm(*(size_multiple(network) for network in networks))
        self.activation_values = max((activation_values(network) for network in networks), key=lambda own: own.peak)
        self.supports_half = all(getattr(network, "supports_half", True) for network in networks)

    def forward(self, x: Tensor) -> Tensor:
        """저마다 키워 평균한다."""
        results = [image_of(network(x)) * weight for network, weight in zip(self.networks, self.weights, strict=True)]
        return torch.stack(results).sum(0)

    def extra_repr(self) -> str:
        """무게. 비디오의 이어 하기가 이것으로도 모델을 가린다."""
        return f"weights={self.weights}"


def mix_networks(
    networks: Sequence[nn.Module], opened: Sequence[Weights], mix: Sequence[float] | None
) -> tuple[MixedNetwork, Weights]:
    """네트워크들을 하나로 묶고, 그것에 대해 아는 것도 하나로 적는다.

    Args:
        networks: 네트워크들.
        opened: 저마다의 가중치.
        mix: 무게, 0보다 큰 수. 합은 1로 맞춘다. 없으면 모두 같다.

    Raises:
        UsageError: 무게의 수가 다르거나 0 이하일 때, 배율이 서로 다를 때.
    """
    parts = [1.0] * len(networks) if mix is None else [float(part) for part in mix]
    if len(parts) != len(networks) or not all(0 < part < math.inf for part in parts):
        raise UsageError(
            f"모델 {len(networks)}개를 섞는 무게(mix)로 쓸 수 없습니다: {', '.join(f'{part:g}' for part in parts)}\n"
            "  해결: 모델마다 0보다 큰 수를 하나씩 주세요. 예: -n a,b --mix 0.7,0.3"
        )
    scales = [network_scale(network) for network in networks]
    if len(set(scales)) > 1:
        told = ", ".join(f"{one.name} {scale}배" for one, scale in zip(opened, scales, strict=True))
        raise UsageError(f"배율이 다른 모델은 평균할 수 없습니다: {told}\n  해결: 배율이 같은 모델을 고르세요.")
    shares = [part / sum(parts) for part in parts]
    network = MixedNetwork(networks, shares).eval().requires_grad_(False)
    first = opened[0]
    weights = replace(
        first,
        state=dict(network.state_dict()),
        arch="+".join(one.arch for one in opened),
        arch_args={},
        name="+".join(f"{share:g}*{one.name}" for share, one in zip(shares, opened, strict=True)),
        license=" / ".join(dict.fromkeys(one.license for one in opened if one.license)),
        files=tuple(file for one in opened for file in one.files),
        metadata={},
        ratio=None,
    )
    return network, weights
