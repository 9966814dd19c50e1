"""Real-ESRGAN의 판별자(discriminator) UNetDiscriminatorSN."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

# 새 parametrization API는 키 이름이 달라 공식 netD 체크포인트(weight_orig, weight_u, weight_v)를 싣지 못한다.
from torch.nn.utils import spectral_norm

from realesrgan.registry import ARCH_REGISTRY

LEAKY_SLOPE = 0.2


@ARCH_REGISTRY.register()
class UNetDiscriminatorSN(nn.Module):
    """스펙트럼 정규화(spectral normalization)를 쓰는 U-Net 판별자.

    입력은 `(B, num_in_ch, H, W)`, 값은 0..1의 실수이고 `H`와 `W`는 8의 배수여야 한다.
    출력은 픽셀마다 진짜일 정도를 나타내는 로짓(logit) `(B, 1, H, W)`이다. Real-ESRGAN 논문 3.4절.

    Args:
        num_in_ch: 입력 채널 수.
        num_feat: 첫 층의 채널 수.
        skip_connection: 내려가는 쪽의 특징을 올라가는 쪽에 더할지.
    """

    def __init__(self, num_in_ch: int, num_feat: int = 64, skip_connection: bool = True) -> None:
        super().__init__()
        self.skip_connection = skip_connection
        self.conv0 = nn.Conv2d(num_in_ch, num_feat, 3, 1, 1)
        self.conv1 = spectral_norm(nn.Conv2d(num_feat, num_feat * 2, 4, 2, 1, bias=False))
        self.conv2 = spectral_norm(nn.Conv2d(num_feat * 2, num_feat * 4, 4, 2, 1, bias=False))
        self.conv3 = spectral_norm(nn.Conv2d(num_feat * 4, num_feat * 8, 4, 2, 1, bias=False))
        self.conv4 = spectral_norm(nn.Conv2d(num_feat * 8, num_feat * 4, 3, 1, 1, bias=False))
        self.conv5 = spectral_norm(nn.Conv2d(num_feat * 4, num_feat * 2, 3, 1, 1, bias=False))
        self.conv6 = spectral_norm(nn.Conv2d(num_feat * 2, num_feat, 3, 1, 1, bias=False))
        self.conv7 = spectral_norm(nn.Conv2d(num_feat, num_feat, 3, 1, 1, bias=False))
        self.conv8 = spectral_norm(nn.Conv2d(num_feat, num_feat, 3, 1, 1, bias=False))
        self.conv9 = nn.Conv2d(num_feat, 1, 3, 1, 1)

    def forward(self, x: Tensor) -> Tensor:
        """`(B, num_in_ch, H, W)`를 받아 로짓 `(B, 1, H, W)`를 돌려준다."""
        skips = [F.leaky_relu(self.conv0(x), LEAKY_SLOPE)]
        for conv in (self.conv1, self.conv2, self.conv3):
            skips.append(F.leaky_relu(conv(skips[-1]), LEAKY_SLOPE))
        features = skips.pop()
        for conv in (self.conv4, self.conv5, self.conv6):
            enlarged = F.interpolate(features, scale_factor=2, mode="bilinear", align_corners=False)
            features = F.leaky_relu(conv(enlarged), LEAKY_SLOPE)
            skip = skips.pop()
            if self.skip_connection:
                features = features + skip
        features = F.leaky_relu(self.conv7(features), LEAKY_SLOPE)
        features = F.leaky_relu(self.conv8(features), LEAKY_SLOPE)
        # 로짓은 0 가까이에서 조금씩 움직이므로 혼합 정밀도(AMP)의 bf16에 담으면 손실이 걸음마다 크게 흔들린다.
        with torch.autocast(features.device.type, enabled=False):
            return self.conv9(features.to(self.conv9.weight.dtype))
