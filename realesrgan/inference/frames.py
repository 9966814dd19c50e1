"""영상의 프레임을 키운다. 정수 평면이 들어가고 정수 평면이 나오며, 그 사이의 계산은 모두 장치에서 한다."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from realesrgan.errors import OutOfMemoryError
from realesrgan.inference.engine import TorchEngine
from realesrgan.inference.padding import pad_amounts
from realesrgan.inference.realesrganer import RealESRGANer
from realesrgan.inference.tiling import ArrayTools, Box, run_finite, upscale_tiled
from realesrgan.inference.yuv import alpha_to_unit, planes_to_rgb, rgb_to_planes, to_tensor, unit_to_alpha
from realesrgan.media.picture import fill_transparent_colour
from realesrgan.media.video.types import Colour, PixelLayout, Planes

logger = logging.getLogger(__name__)


def _is_finite(tensor: Tensor) -> bool:
    # 0 근처의 수를 더하는 것이라 float32로도 넘치지 않는다. MPS에는 float64가 없다.
    return bool(torch.isfinite(tensor.sum(dtype=torch.float32)))


TENSORS = ArrayTools(torch.stack, _is_finite)


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


class _DeviceEngine:
    """텐서를 장치에 둔 채 부르는 엔진. 타일러가 NumPy 대신 텐서로 일하게 한다."""

    def __init__(self, engine: TorchEngine) -> None:
        self._engine = engine
        self.name, self.precision = engine.name, engine.precision
        self.scale, self.multiple = engine.scale, engine.multiple

    def __call__(self, batch: Tensor) -> Tensor:
        return self._engine.on_device(batch)

    def fallback(self) -> _DeviceEngine | None:
        """더 높은 정밀도의 엔진. 이미 fp32면 없다."""
        safer = self._engine.fallback()
        return None if safer is None else _DeviceEngine(safer)

    def release(self) -> None:
        """쥐고 있던 여분의 메모리를 장치에 돌려준다."""
        self._engine.release()


class FrameUpscaler:
    """같은 모양의 프레임들을 키운다. 여러 스레드가 함께 불러도 된다.

    Args:
        upsampler: 네트워크, 장치, 패딩의 설정.
        source: 들어오는 프레임의 모양. 크기는 회전하기 전이다.
        target: 나가는 프레임의 모양. 네트워크의 배율과 다르면 계단 현상을 막는 쌍삼차(antialiased bicubic)로 맞춘다.
        rotation: 시계 방향으로 돌릴 각도(0, 90, 180, 270).
        mirrored: 돌리기 전에 좌우로 뒤집을지.
        tile: 타일(tile) 한 변(픽셀). 0이면 통째.
        network_alpha: 알파도 네트워크로 키울지. 아니면 쌍삼차로 키운다.

    Raises:
        ValueError: 각도가 90의 배수가 아닐 때.
    """

    def __init__(
        self,
        upsampler: RealESRGANer,
        source: FrameFormat,
        target: FrameFormat,
        *,
        rotation: int = 0,
        mirrored: bool = False,
        tile: int = 0,
        network_alpha: bool = True,
    ) -> None:
        if rotation % 90:
            raise ValueError(f"90도의 배수로만 돌릴 수 있습니다: {rotation}")
        self._upsampler = upsampler
        self._source = source
        self._target = target
        self._turns = -rotation // 90
        self._mirrored = mirrored
        self._tile = tile
        self._network_alpha = network_alpha
        self._whole_batch = True

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
        planes = [to_tensor(plane, self._upsampler.device) for plane in zip(*frames, strict=True)]
        rgb = planes_to_rgb(planes, self._source.layout, self._source.colour)
        alpha = alpha_to_unit(planes[-1], self._source.layout.bits) if self._source.layout.alpha else None
        if alpha is not None:
            rgb = _bleed(rgb, alpha)
        enlarged = self._resized(self._upscale(self._turned(rgb)))
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
            turned = self._upscale(turned.expand(-1, 3, -1, -1)).mean(dim=1, keepdim=True)
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

    def _upscale(self, rgb: Tensor) -> Tensor:
        """`(N, 3, h, w)`를 네트워크로 키운다. 배치가 메모리에 들지 않으면 한 장씩, 다음에는 타일로 나눈다."""
        upsampler, engine = self._upsampler, _DeviceEngine(self._upsampler.engine)
        height, width = rgb.shape[-2:]
        bottom, right = pad_amounts(height, width, upsampler.pre_pad, upsampler.size_multiple)
        padded = _pad_reflect(rgb, bottom, right)
        output = None
        if self._tile == 0 and self._whole_batch:
            output = self._upscale_batch(engine, padded)
        if output is None:
            output = torch.stack([self._upscale_frame(engine, frame) for frame in padded])
        return output[..., : height * engine.scale, : width * engine.scale]

    def _upscale_batch(self, engine: _DeviceEngine, frames: Tensor) -> Tensor | None:
        """배치를 한 번에 키운다. 메모리가 모자라면 None이고, 다음부터는 시도하지 않는다."""
        try:
            output, _ = run_finite(engine, frames, TENSORS)  # type: ignore[arg-type]
        except OutOfMemoryError:
            self._whole_batch = False
            output = None
        if output is None:
            engine.release()
            logger.warning("장치 메모리가 모자라 프레임을 한 장씩 계산합니다.")
        return output

    def _upscale_frame(self, engine: _DeviceEngine, frame: Tensor) -> Tensor:
        _, height, width = frame.shape
        scale = engine.scale
        output = torch.empty((3, height * scale, width * scale), dtype=torch.float32, device=frame.device)

        def read(box: Box) -> Tensor:
            return frame[:, box.top : box.bottom, box.left : box.right]

        def store(result: Tensor, box: Box) -> None:
            output[:, box.top * scale : box.bottom * scale, box.left * scale : box.right * scale] = result

        # 메모리에 맞추어 줄어든 타일을 기억해 다음 프레임이 같은 실패를 되풀이하지 않게 한다.
        self._tile = upscale_tiled(
            engine,  # type: ignore[arg-type]
            read,
            store,
            height=height,
            width=width,
            tile=self._tile,
            pad=self._upsampler.tile_pad,
            batch=self._upsampler.batch,
            arrays=TENSORS,
        )
        return output


def _pad_reflect(tensor: Tensor, bottom: int, right: int) -> Tensor:
    """아래와 오른쪽을 반사로 덧댄다. 덧댈 양이 영상보다 커도 된다."""
    for axis, extra in ((2, bottom), (3, right)):
        if extra:
            index = np.pad(np.arange(tensor.shape[axis]), (0, extra), mode="reflect")
            tensor = tensor.index_select(axis, torch.from_numpy(index).to(tensor.device))
    return tensor


def _bleed(rgb: Tensor, alpha: Tensor) -> Tensor:
    """투명한 곳에 보이는 색을 번지게 한다. 그곳의 뜻 없는 색이 가장자리로 새는 것을 막는다."""
    if bool((alpha > 0).all()):
        return rgb
    both = torch.cat([rgb, alpha], dim=1).mul(65535).round().to("cpu", torch.int32)
    frames: list[NDArray[np.uint16]] = [
        fill_transparent_colour(np.ascontiguousarray(frame.permute(1, 2, 0).numpy().astype(np.uint16)))
        for frame in both
    ]
    bled = torch.from_numpy(np.stack(frames).astype(np.float32)).permute(0, 3, 1, 2)[:, :3]
    return (bled / 65535).to(rgb.device)
