"""비디오의 프레임을 키운다. 정수 평면이 들어가고 정수 평면이 나오며, 그 사이의 계산은 모두 장치에서 한다."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from realesrgan.inference.upscaler import Upscaler
from realesrgan.inference.yuv import alpha_to_unit, planes_to_rgb, rgb_to_planes, to_tensor, unit_to_alpha
from realesrgan.media.picture import fill_transparent_colour
from realesrgan.media.video.types import Colour, EncodePlan, PixelLayout, Planes, VideoInfo


@dataclass(frozen=True)
class FrameFormat:
    """프레임의 모양.

    Attributes:
        layout: 평면의 배치.
        colour: 색의 꼬리표.
        width, height: 크기(픽셀).
    """

    layout: PixelLayout
    colour: Colour
    width: int
    height: int


Shape = FrameFormat | VideoInfo | EncodePlan
"""배치, 색, 크기를 말하는 것. 원본의 정보와 인코딩 계획이 그대로 프레임의 모양이다."""


class FrameUpscaler:
    """같은 모양의 프레임들을 키운다. 여러 스레드가 함께 불러도 된다.

    Args:
        upscaler: 업스케일러. 타일과 패딩과 단계의 설정도 그것의 것이다.
        source: 들어오는 프레임의 모양. 크기는 회전하기 전이다.
        target: 나가는 프레임의 모양. 네트워크의 배율과 다르면 계단 현상을 막는 쌍삼차(antialiased bicubic)로 맞춘다.
        rotation: 시계 방향으로 돌릴 각도(0, 90, 180, 270).
        mirrored: 돌리기 전에 좌우로 뒤집을지.
        network_alpha: 알파도 네트워크로 키울지. 아니면 쌍삼차로 키운다.

    Raises:
        ValueError: 각도가 90의 배수가 아닐 때.
    """

    def __init__(
        self,
        upscaler: Upscaler,
        source: Shape,
        target: Shape,
        *,
        rotation: int = 0,
        mirrored: bool = False,
        network_alpha: bool = True,
    ) -> None:
        if rotation % 90:
            raise ValueError(f"90도의 배수로만 돌릴 수 있습니다: {rotation}")
        self._upscaler = upscaler
        self._source = source
        self._target = target
        self._turns = -rotation // 90
        self._mirrored = mirrored
        self._network_alpha = network_alpha

    @torch.inference_mode()
    def __call__(self, frames: Sequence[Planes]) -> list[Planes]:
        """프레임들을 키운다.

        Args:
            frames: 프레임마다의 평면들(`media.video.types.Planes`).

        Returns:
            같은 수의 프레임. 평면은 `target`의 배치를 따른다.

        Raises:
            OutOfMemoryError: 타일을 줄여도 메모리가 모자랄 때.
            NonFiniteOutputError: fp32로도 유한한 결과가 나오지 않을 때.
        """
        planes = [to_tensor(plane, self._upscaler.engine.device) for plane in zip(*frames, strict=True)]
        rgb = planes_to_rgb(planes, self._source.layout, self._source.colour)
        alpha = alpha_to_unit(planes[-1], self._source.layout.bits) if self._source.layout.alpha else None
        if alpha is not None:
            rgb = _fill_transparent(rgb, alpha)
        enlarged = self._resized(self._upscaler.upscale_frames(self._turned(rgb)))
        outputs = rgb_to_planes(enlarged, self._target.layout, self._target.colour)
        if self._target.layout.alpha:
            outputs.append(self._alpha_plane(alpha, outputs[0]))
        arrays = [plane.to("cpu").numpy() for plane in outputs]
        return [tuple(np.ascontiguousarray(plane[index]) for plane in arrays) for index in range(len(frames))]

    def _alpha_plane(self, alpha: Tensor | None, like: Tensor) -> Tensor:
        """결과의 알파 평면. 원본에 알파가 없으면 모두 불투명하다."""
        bits = self._target.layout.bits
        if alpha is None:
            return unit_to_alpha(torch.ones_like(like, dtype=torch.float32)[:, None], bits)
        turned = self._turned(alpha)
        if self._network_alpha:
            turned = self._upscaler.upscale_frames(turned.expand(-1, 3, -1, -1), plain=True).mean(dim=1, keepdim=True)
        return unit_to_alpha(self._resized(turned), bits)

    def _turned(self, tensor: Tensor) -> Tensor:
        tensor = tensor.flip(3) if self._mirrored else tensor
        return torch.rot90(tensor, self._turns, dims=(2, 3)) if self._turns % 4 else tensor

    def _resized(self, tensor: Tensor) -> Tensor:
        size = (self._target.height, self._target.width)
        if tuple(tensor.shape[-2:]) == size:
            return tensor
        resized = F.interpolate(tensor, size=size, mode="bicubic", align_corners=False, antialias=True)
        return resized.clamp_(0, 1)


def _fill_transparent(rgb: Tensor, alpha: Tensor) -> Tensor:
    """투명한 곳을 이웃한 보이는 색으로 채운다. 그곳의 뜻 없는 색이 가장자리로 새는 것을 막는다."""
    if bool((alpha > 0).all()):
        return rgb
    both = torch.cat([rgb, alpha], dim=1).mul(65535).round().to("cpu", torch.int32)
    frames: list[NDArray[np.uint16]] = [
        fill_transparent_colour(np.ascontiguousarray(frame.permute(1, 2, 0).numpy().astype(np.uint16)))
        for frame in both
    ]
    filled = torch.from_numpy(np.stack(frames).astype(np.float32)).permute(0, 3, 1, 2)[:, :3]
    return (filled / 65535).to(rgb.device)
