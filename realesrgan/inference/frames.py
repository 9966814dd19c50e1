"""비디오의 프레임을 키운다. 정수 평면이 들어가고 정수 평면이 나오며, 그 사이의 계산은 모두 장치에서 한다."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from realesrgan.inference.transfer import Download, Pending, split_frames
from realesrgan.inference.upscaler import Upscaler
from realesrgan.inference.yuv import alpha_to_unit, planes_to_rgb, rgb_to_planes, to_tensor, unit_to_alpha
from realesrgan.media.picture import fill_transparent_colour
from realesrgan.media.video.types import Colour, EncodePlan, PixelLayout, Planes, VideoInfo
from realesrgan.util.numbers import plan_passes

if TYPE_CHECKING:
    from realesrgan.inference.finish import WholeStep


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
        target: 나가는 프레임의 모양. 네트워크의 배율과 다르면 계단 현상을 막는 바이큐빅(bicubic)으로 맞춘다.
        rotation: 시계 방향으로 돌릴 각도(0, 90, 180, 270).
        mirrored: 돌리기 전에 좌우로 뒤집을지.
        network_alpha: 알파도 네트워크로 키울지. 아니면 바이큐빅으로 키운다.
        whole: 프레임 전체를 보는 단계들.

    Attributes:
        counts: 그 단계들이 센 것의 합.

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
        whole: Sequence[WholeStep] = (),
    ) -> None:
        if rotation % 90:
            raise ValueError(f"90도의 배수로만 돌릴 수 있습니다: {rotation}")
        self._upscaler = upscaler
        self._source = source
        self._target = target
        self._size = (target.width, target.height)
        self._turns = -rotation // 90 % 4
        self._mirrored = mirrored
        self._network_alpha = network_alpha
        self._whole = tuple(whole)
        self._early = upscaler
        if upscaler.steps:
            self._early = upscaler.with_steps([step for step in upscaler.steps if not getattr(step, "last", False)])
        self._lock = threading.Lock()
        self.counts: Counter[str] = Counter()

    def __call__(self, frames: Sequence[Planes]) -> list[Planes]:
        """프레임들을 키운다. `start`와 같고, 다 내려올 때까지 기다린다."""
        return list(self.start(frames))

    @torch.inference_mode()
    def start(self, frames: Sequence[Planes]) -> Sequence[Planes]:
        """프레임들을 키우고, 결과가 장치에서 다 내려오기 전에 돌아온다(CUDA). 다음 프레임의 계산과 겹친다.

        Args:
            frames: 프레임마다의 평면들(`media.video.types.Planes`).

        Returns:
            같은 수의 프레임. 평면은 `target`의 배치를 따른다. 처음 읽을 때 내려오기를 기다린다.

        Raises:
            OutOfMemoryError: 타일을 줄여도 메모리가 모자랄 때.
            NonFiniteOutputError: fp32로도 유한한 결과가 나오지 않을 때.
        """
        planes = [to_tensor(plane, self._upscaler.engine.device) for plane in zip(*frames, strict=True)]
        rgb = planes_to_rgb(planes, self._source.layout, self._source.colour)
        alpha = alpha_to_unit(planes[-1], self._source.layout.bits) if self._source.layout.alpha else None
        if alpha is not None:
            rgb = _fill_transparent(rgb, alpha)
        turned = self._turned(rgb) if self._turns or self._mirrored else rgb
        enlarged = self._enlarged(turned)
        if self._whole:
            self._finish(enlarged, turned)
        outputs = rgb_to_planes(enlarged, self._target.layout, self._target.colour)
        if self._target.layout.alpha:
            outputs.append(self._alpha_plane(alpha, outputs[0]))
        count = len(frames)
        if outputs[0].device.type != "cuda":
            return split_frames([plane.cpu().numpy() for plane in outputs], count)
        download = Download(outputs)
        return Pending(count, lambda: split_frames(download.arrays(), count))

    def _alpha_plane(self, alpha: Tensor | None, like: Tensor) -> Tensor:
        """결과의 알파 평면. 원본에 알파가 없으면 모두 불투명하다."""
        bits = self._target.layout.bits
        if alpha is None:
            return unit_to_alpha(torch.ones_like(like, dtype=torch.float32)[:, None], bits)
        turned = self._turned(alpha)
        if self._network_alpha:
            turned = self._enlarged(turned.expand(-1, 3, -1, -1), plain=True).mean(dim=1, keepdim=True)
        return unit_to_alpha(resize_frames(turned, *self._size), bits)

    def _enlarged(self, frames: Tensor, *, plain: bool = False) -> Tensor:
        """결과의 크기에 닿을 때까지 네트워크를 거친다. 마지막은 꼭 그 크기다."""
        height, width = frames.shape[-2:]
        passes = plan_passes(width, height, self._size, self._upscaler.scale)
        for upscaler, size in zip([*[self._early] * (len(passes) - 1), self._upscaler], passes, strict=True):
            frames = upscaler.upscale_frames(frames, plain=plain)
            if frames.shape[-2:] != size[::-1]:
                frames = resize_frames(frames, *size)
        return frames

    def _finish(self, enlarged: Tensor, source: Tensor) -> None:
        """프레임마다 전체를 보는 단계들을 거친다."""
        from realesrgan.inference.finish import FrameCanvas, finish_image

        found: Counter[str] = Counter()
        for one, own in zip(enlarged, source, strict=True):
            finish_image(self._whole, FrameCanvas(one), FrameCanvas(own), found)
        with self._lock:
            self.counts.update(found)

    def _turned(self, tensor: Tensor) -> Tensor:
        tensor = tensor.flip(3) if self._mirrored else tensor
        return torch.rot90(tensor, self._turns, dims=(2, 3)) if self._turns else tensor


def resize_frames(frames: Tensor, width: int, height: int) -> Tensor:
    """`(N, C, H, W)`를 그 크기로 맞춘다. 줄일 때 계단 현상을 막는 바이큐빅이다. 같은 크기면 받은 것 그대로다."""
    if tuple(frames.shape[-2:]) == (height, width):
        return frames
    resized = F.interpolate(frames, size=(height, width), mode="bicubic", align_corners=False, antialias=True)
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
