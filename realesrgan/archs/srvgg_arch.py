"""가볍고 빠른 생성자(generator) SRVGGNetCompact."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from realesrgan.registry import ARCH_REGISTRY

# PReLU가 처음에 갖는 음수 쪽 기울기(PyTorch의 기본값).
PRELU_START = 0.25
# 항등에 섞는 무작위 값의 비중. 채널이 저마다 다른 것을 배우기에 넉넉하면서 화소의 자리를 흐리지 않는다.
MIXED_NOISE = 0.3
ACT_TYPES = ("relu", "prelu", "leakyrelu")


def _activation(act_type: str, num_feat: int) -> nn.Module:
    if act_type == "relu":
        return nn.ReLU(inplace=True)
    if act_type == "prelu":
        return nn.PReLU(num_parameters=num_feat)
    if act_type == "leakyrelu":
        return nn.LeakyReLU(negative_slope=0.1, inplace=True)
    raise ValueError(f"act_type은 {', '.join(ACT_TYPES)} 가운데 하나여야 합니다: {act_type}")


def _init_deep(body: nn.ModuleList) -> None:
    """처음 가중치를 정한다. 공식 가중치를 실으면 모두 덮인다.

    PyTorch의 기본값은 층마다 신호를 줄여 기울기가 사라지고, He 2015의 값은 신호를 지키지만 건너뛰는 연결이 없는 이
    깊이에서는 3x3 평균이 거듭되어 화소의 자리가 흐려진다(16층에서 200번 훈련해도 최근접 확대에 머물렀다). 그래서 같은
    채널 수의 층은 가운데 점의 항등(Xiao 2018, 4절의 delta-orthogonal)에 He의 값을 조금 섞어 시작한다. 마지막 층은 작게
    두어 최근접 확대에서 시작한다.
    """
    convolutions = [layer for layer in body if isinstance(layer, nn.Conv2d)]
    # 값 없는 틀(meta)에는 채울 것이 없다. 거기서 난수를 부르면 PyTorch가 sympy까지 불러와 몇 초가 걸린다.
    if convolutions[0].weight.is_meta:
        return
    for layer in convolutions:
        nn.init.kaiming_normal_(layer.weight, a=PRELU_START)
        if layer.bias is not None:
            nn.init.zeros_(layer.bias)
    with torch.no_grad():
        for layer in convolutions[1:-1]:
            layer.weight.mul_(MIXED_NOISE)
            layer.weight[:, :, 1, 1] += torch.eye(layer.out_channels)
        convolutions[-1].weight.mul_(0.1)


@ARCH_REGISTRY.register()
class SRVGGNetCompact(nn.Module):
    """마지막에만 키우는 VGG 모양의 초해상도(Super-Resolution) 생성자.

    입력은 `(B, num_in_ch, H, W)`, 값은 0..1의 실수이고 출력은 `(B, num_out_ch, H*upscale, W*upscale)`이다.
    네트워크는 최근접(nearest) 확대와의 차이를 배운다. 출력은 0..1을 조금 벗어날 수 있다.

    Args:
        num_in_ch: 입력 채널 수.
        num_out_ch: 출력 채널 수. 최근접 확대를 더하므로 `num_in_ch`와 같아야 한다.
        num_feat: 가운데 채널 수.
        num_conv: 가운데 합성곱(convolution) 개수. animevideov3은 16, general은 32.
        upscale: 업스케일 배율, 1 이상.
        act_type: 활성화 함수. `relu`, `prelu`(채널마다 하나), `leakyrelu`(기울기 0.1).

    Raises:
        ValueError: `act_type`을 모를 때.
    """

    def __init__(
        self,
        num_in_ch: int = 3,
        num_out_ch: int = 3,
        num_feat: int = 64,
        num_conv: int = 16,
        upscale: int = 4,
        act_type: str = "prelu",
    ) -> None:
        super().__init__()
        self.num_in_ch = num_in_ch
        self.num_out_ch = num_out_ch
        self.num_feat = num_feat
        self.num_conv = num_conv
        self.upscale = upscale
        self.act_type = act_type
        self.body = nn.ModuleList([nn.Conv2d(num_in_ch, num_feat, 3, 1, 1), _activation(act_type, num_feat)])
        for _ in range(num_conv):
            self.body.append(nn.Conv2d(num_feat, num_feat, 3, 1, 1))
            self.body.append(_activation(act_type, num_feat))
        self.body.append(nn.Conv2d(num_feat, num_out_ch * upscale * upscale, 3, 1, 1))
        self.upsampler = nn.PixelShuffle(upscale)
        _init_deep(self.body)

    @property
    def scale(self) -> int:
        """업스케일 배율. 다른 네트워크와 같은 이름으로 읽기 위한 것이다."""
        return self.upscale

    @property
    def size_multiple(self) -> int:
        """입력의 `H`와 `W`가 맞춰야 하는 배수. 제약이 없어 1이다."""
        return 1

    @property
    def receptive_radius(self) -> int:
        """출력 한 점이 보는 입력의 반지름(픽셀)."""
        return self.num_conv + 2

    def forward(self, x: Tensor) -> Tensor:
        """`(B, num_in_ch, H, W)`를 `(B, num_out_ch, H*upscale, W*upscale)`로 키운다."""
        features = x
        for layer in self.body:
            features = layer(features)
        return self.upsampler(features) + F.interpolate(x, scale_factor=self.upscale, mode="nearest")
