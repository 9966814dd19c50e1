"""예전 Real-ESRGAN의 단계별 메서드. 하위 클래스나 인스턴스가 덮어쓴 코드를 위해 남아 있다."""

from __future__ import annotations

import threading
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from realesrgan.errors import UsageError
from realesrgan.inference.engines.base import PRECISION_DTYPES
from realesrgan.inference.tiling import Box, Progress, plan_tiles
from realesrgan.inference.upscaler import Pixels, Upscaler, pad_amounts, pad_bottom_right

# 원본(xinntao/Real-ESRGAN)과 같은 규칙: 배율이 2나 1인 네트워크는 입력을 먼저 접으므로 크기가 이 배수여야 한다.
SCALE_MULTIPLE = {2: 2, 1: 4}
STEP_METHODS = ("pre_process", "process", "tile_process", "post_process")
# 인스턴스마다 두지 않는다. 자물쇠를 가진 객체는 복사(copy.deepcopy)할 수 없다.
_STEPS_LOCK = threading.RLock()


class StepMethods:
    """`pre_process`, `process`, `tile_process`, `post_process`. 상태(`img`, `output`)를 인스턴스에 둔다.

    하위 클래스나 인스턴스가 하나라도 덮어썼을 때만 `enhance`가 잠금을 쥐고 이 길로 간다.
    """

    scale: int
    tile_size: int | Literal["auto"]
    tile_pad: int
    pre_pad: int
    batch: int
    precision: str
    device: torch.device
    model: Any
    mod_pad_h: int
    mod_pad_w: int
    img: Tensor | None = None
    output: Tensor | None = None
    mod_scale: int | None = None
    _upscaler: Upscaler

    @property
    def upscaler(self) -> Upscaler:
        """지금의 속성(`tile_size` 등)을 따르는 업스케일러."""
        self._update_mod_scale()
        found = self._upscaler
        found.tile, found.tile_pad, found.pre_pad, found.batch = self.tile_size, self.tile_pad, self.pre_pad, self.batch
        found.multiple = max(self.mod_scale or 1, found.engine.multiple)
        return found

    def _steps_overridden(self) -> bool:
        return any(
            name in self.__dict__ or getattr(type(self), name) is not getattr(StepMethods, name)
            for name in STEP_METHODS
        )

    def _fill_by_steps(
        self, pixels: Pixels, target: NDArray[Any], progress: Progress | None = None, *, plain: bool = False
    ) -> None:
        with _STEPS_LOCK:
            height, width = pixels.color.shape[:2]
            self.pre_process(np.ascontiguousarray(pixels.read(Box(0, 0, height, width)).permute(1, 2, 0).numpy()))
            if self.upscaler.tile_for(height, width) > 0:
                self.tile_process()
            else:
                self.process()
            output = self.post_process().detach().float()
            if self.upscaler.always and not plain:
                from realesrgan.inference.steps import apply_steps

                source = pixels.read(Box(0, 0, height, width))[None].to(output)
                output = apply_steps(self.upscaler.always, output, source)
            pixels.write(output[0], target)
        if progress is not None:
            progress(1, 1)

    def _update_mod_scale(self) -> None:
        # 한번 정해지면 scale이 바뀌어도 남는다. 원본을 쓰는 코드가 이 행동에 기댄다.
        self.mod_scale = SCALE_MULTIPLE.get(self.scale, self.mod_scale)

    def pre_process(self, img: NDArray[np.float32]) -> None:
        """`(H, W, 3)` RGB float32, 0..1을 패딩한 텐서로 바꾸어 `self.img`에 둔다."""
        bottom, right = pad_amounts(img.shape[0], img.shape[1], self.pre_pad, self.upscaler.multiple)
        self.mod_pad_h, self.mod_pad_w = bottom - self.pre_pad, right - self.pre_pad
        padded = pad_bottom_right(img, bottom, right, self.pre_pad)
        planes = np.ascontiguousarray(np.transpose(padded, (2, 0, 1)), dtype=np.float32)
        parameter = next(self.model.parameters(), None) if isinstance(self.model, nn.Module) else None
        dtype = PRECISION_DTYPES[self.precision] if parameter is None else parameter.dtype
        self.img = torch.from_numpy(planes)[None].to(self.device, dtype)

    def process(self) -> None:
        """`self.img` 전체를 네트워크에 넣어 `self.output`에 둔다."""
        with torch.no_grad():
            self.output = self.model(self._prepared())

    def tile_process(self) -> None:
        """`self.img`를 타일마다 네트워크에 넣어 `self.output`에 이어 붙인다."""
        source, scale, upscaler = self._prepared(), self.scale, self.upscaler
        batch, channels, height, width = source.shape
        tile = upscaler.tile_for(height, width) or max(height, width)
        multiple = upscaler.multiple if height % upscaler.multiple == width % upscaler.multiple == 0 else 1
        self.output = source.new_zeros((batch, channels, height * scale, width * scale))
        for piece in plan_tiles(height, width, tile, self.tile_pad, multiple):
            with torch.no_grad():
                result = self.model(source[(..., *piece.read.slices())])
            self.output[(..., *piece.write.slices(scale))] = result[(..., *piece.crop.slices(scale))]

    def post_process(self) -> Tensor:
        """패딩만큼 잘라 낸 결과 `(1, 3, H*scale, W*scale)`를 돌려준다."""
        if self.output is None:
            raise UsageError("post_process보다 먼저 process나 tile_process를 불러야 합니다.")
        height, width = self.output.shape[-2:]
        bottom, right = ((extra + self.pre_pad) * self.scale for extra in (self.mod_pad_h, self.mod_pad_w))
        self.output = self.output[:, :, : height - bottom, : width - right]
        return self.output

    def _prepared(self) -> Tensor:
        if self.img is None:
            raise UsageError("process보다 먼저 pre_process를 불러야 합니다.")
        return self.img
