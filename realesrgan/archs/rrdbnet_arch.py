"""ESRGAN과 Real-ESRGAN의 생성자(generator) RRDBNet."""

from __future__ import annotations

from collections.abc import Iterable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from realesrgan.registry import ARCH_REGISTRY

# 잔차(residual)를 줄여 더해야 깊은 그물이 안정된다(ESRGAN 논문 3.1절, residual scaling).
RESIDUAL_SCALE = 0.2
LEAKY_SLOPE = 0.2
# scale마다 먼저 pixel-unshuffle로 접는 배수. 뒤의 4배 확대와 합쳐 제 배율이 된다.
UNSHUFFLE_FACTOR = {1: 4, 2: 2, 4: 1}


def _init_small(module: nn.Module, factor: float = 0.1) -> None:
    for layer in module.modules():
        # 값 없는 틀(meta)에는 채울 것이 없다. 거기서 난수를 부르면 PyTorch가 sympy까지 불러와 몇 초가 걸린다.
        if isinstance(layer, nn.Conv2d) and not layer.weight.is_meta:
            nn.init.kaiming_normal_(layer.weight)
            with torch.no_grad():
                layer.weight.mul_(factor)
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)


class ResidualDenseBlock(nn.Module):
    """합성곱(convolution) 다섯 개를 촘촘히 이은 잔차 블록.

    입출력은 `(B, num_feat, H, W)`. ESRGAN 논문 3.1절.
    """

    def __init__(self, num_feat: int = 64, num_grow_ch: int = 32) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(num_feat, num_grow_ch, 3, 1, 1)
        self.conv2 = nn.Conv2d(num_feat + num_grow_ch, num_grow_ch, 3, 1, 1)
        self.conv3 = nn.Conv2d(num_feat + 2 * num_grow_ch, num_grow_ch, 3, 1, 1)
        self.conv4 = nn.Conv2d(num_feat + 3 * num_grow_ch, num_grow_ch, 3, 1, 1)
        self.conv5 = nn.Conv2d(num_feat + 4 * num_grow_ch, num_feat, 3, 1, 1)
        _init_small(self)

    def forward(self, x: Tensor) -> Tensor:
        """`(B, num_feat, H, W)`를 받아 같은 모양을 돌려준다."""
        features = x
        for conv in (self.conv1, self.conv2, self.conv3, self.conv4):
            grown = F.leaky_relu(conv(features), LEAKY_SLOPE, inplace=True)
            features = torch.cat((features, grown), 1)
        return torch.add(x, self.conv5(features), alpha=RESIDUAL_SCALE)


class RRDB(nn.Module):
    """촘촘한 블록 셋을 잔차로 감싼 블록(Residual in Residual Dense Block).

    입출력은 `(B, num_feat, H, W)`.
    """

    def __init__(self, num_feat: int, num_grow_ch: int = 32) -> None:
        super().__init__()
        self.rdb1 = ResidualDenseBlock(num_feat, num_grow_ch)
        self.rdb2 = ResidualDenseBlock(num_feat, num_grow_ch)
        self.rdb3 = ResidualDenseBlock(num_feat, num_grow_ch)

    def forward(self, x: Tensor) -> Tensor:
        """`(B, num_feat, H, W)`를 받아 같은 모양을 돌려준다."""
        return torch.add(x, self.rdb3(self.rdb2(self.rdb1(x))), alpha=RESIDUAL_SCALE)


@ARCH_REGISTRY.register()
class RRDBNet(nn.Module):
    """RRDB를 쌓은 초해상도(Super-Resolution) 생성자.

    입력은 `(B, num_in_ch, H, W)`, 값은 0..1의 실수이고 출력은 `(B, num_out_ch, H*scale, W*scale)`이다.
    출력은 0..1을 조금 벗어날 수 있으니 쓰는 쪽에서 자른다. `scale`이 2나 1이면 먼저 pixel-unshuffle로
    접으므로 `H`와 `W`가 각각 2나 4의 배수여야 한다. 구조: ESRGAN(Wang 2018) 3.1절, 접기: Real-ESRGAN(Wang 2021) 3.3절.

    Args:
        num_in_ch: 입력 채널 수.
        num_out_ch: 출력 채널 수.
        scale: 업스케일 배율, 1·2·4.
        num_feat: 몸통의 채널 수.
        num_block: RRDB 개수. x4plus는 23, anime_6B는 6.
        num_grow_ch: 블록 안에서 합성곱마다 늘어나는 채널 수.

    Raises:
        ValueError: `scale`이 1, 2, 4가 아닐 때.
    """

    def __init__(
        self,
        num_in_ch: int,
        num_out_ch: int,
        scale: int = 4,
        num_feat: int = 64,
        num_block: int = 23,
        num_grow_ch: int = 32,
    ) -> None:
        super().__init__()
        if scale not in UNSHUFFLE_FACTOR:
            raise ValueError(f"RRDBNet의 scale은 1, 2, 4 가운데 하나여야 합니다: {scale}")
        self.scale = scale
        self.num_block = num_block
        folded = num_in_ch * UNSHUFFLE_FACTOR[scale] ** 2
        self.conv_first = nn.Conv2d(folded, num_feat, 3, 1, 1)
        self.body = nn.Sequential(*(RRDB(num_feat, num_grow_ch) for _ in range(num_block)))
        self.conv_body = nn.Conv2d(num_feat, num_feat, 3, 1, 1)
        self.conv_up1 = nn.Conv2d(num_feat, num_feat, 3, 1, 1)
        self.conv_up2 = nn.Conv2d(num_feat, num_feat, 3, 1, 1)
        self.conv_hr = nn.Conv2d(num_feat, num_feat, 3, 1, 1)
        self.conv_last = nn.Conv2d(num_feat, num_out_ch, 3, 1, 1)

    @property
    def size_multiple(self) -> int:
        """입력의 `H`와 `W`가 맞춰야 하는 배수."""
        return UNSHUFFLE_FACTOR[self.scale]

    @property
    def receptive_radius(self) -> int:
        """출력 한 점이 보는 입력의 반지름(픽셀). 타일의 패딩이 이보다 크면 통째 추론과 결과가 같다."""
        # 몸통의 3x3 합성곱이 한 픽셀씩, 확대 뒤의 네 합성곱은 합쳐서 두 픽셀을 넘지 않는다.
        return (self.num_block * 15 + 2 + 2) * self.size_multiple

    def forward(self, x: Tensor) -> Tensor:
        """`(B, num_in_ch, H, W)`를 `(B, num_out_ch, H*scale, W*scale)`로 키운다."""
        if self.size_multiple > 1:
            x = F.pixel_unshuffle(x, self.size_multiple)
        features = self.conv_first(x)
        features = features + self.conv_body(self.body(features))
        # 네 배로 커진 특징이 메모리의 대부분이다. 이름에 담아 두지 않아야 다 쓴 것이 곧바로 풀린다.
        for conv in (self.conv_up1, self.conv_up2):
            features = F.leaky_relu(conv(F.interpolate(features, scale_factor=2)), LEAKY_SLOPE, inplace=True)
        features = F.leaky_relu(self.conv_hr(features), LEAKY_SLOPE, inplace=True)
        return self.conv_last(features)

    def checkpointed_blocks(self) -> Iterable[nn.Module]:
        """그래디언트 체크포인팅(gradient checkpointing)을 걸 블록들. 메모리의 대부분을 쓰는 몸통의 RRDB다."""
        return self.body
