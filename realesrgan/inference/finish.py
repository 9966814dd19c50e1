"""마무리하는 단계: 원본의 색을 되찾고(color_fix), 선명하게 한다(sharpen).

타일마다 할 수 있는 것은 `steps.Step`이고, 이미지 전체를 보아야 하는 것은 `WholeStep`이다. 뒤의 것은 결과가 제 크기로 다
만들어진 다음 한 번 불려 `Canvas`를 제자리에서 고친다. 그래서 큰 사진도 실수로 된 사본 없이 정수 배열 하나로 끝난다.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from realesrgan.errors import UsageError
from realesrgan.inference.steps import LANCZOS_RADIUS, enlarge_lanczos, register_step
from realesrgan.inference.tiling import Box
from realesrgan.inference.upscaler import Pixels
from realesrgan.util.optional import import_cv2

# 훈련의 선명화(Real-ESRGAN 3.4절)와 같은 가우시안의 탭 수와 문턱(0..255 눈금).
USM_TAPS = 51
USM_THRESHOLD = 10.0
LARGEST_SHARPEN = 3.0
# 색으로 볼 낮은 주파수: 세 단계의 à trous 웨이블릿(원본의 픽셀 간격 1, 2, 4)이 남기는 것.
WAVELET_SPACINGS = (1, 2, 4)
# 이미지 전체를 훑을 때 한 번에 읽는 줄.
ROWS_AT_ONCE = 256
SMALLEST_DEVIATION = 1e-4


class Canvas(Protocol):
    """고칠 이미지 한 장."""

    @property
    def size(self) -> tuple[int, int]:
        """`(높이, 너비)`, 픽셀."""
        ...

    @property
    def device(self) -> torch.device:
        """무거운 계산을 할 장치."""
        ...

    def read(self, box: Box) -> Tensor:
        """상자를 `(3, h, w)` RGB float32, 0..1로 읽는다."""
        ...

    def write(self, box: Box, values: Tensor) -> None:
        """상자에 `(3, h, w)` RGB, 0..1을 적는다."""
        ...


class WholeStep(Protocol):
    """이미지 전체를 보는 단계. 결과가 제 크기가 된 다음 한 번 불린다."""

    @property
    def text(self) -> str:
        """`이름=값`의 글."""
        ...

    def finish(self, enlarged: Canvas, source: Canvas) -> dict[str, int]:
        """키운 것을 제자리에서 고치고, 보고할 수를 이름마다 돌려준다."""
        ...


@dataclass(frozen=True)
class ArrayCanvas:
    """정수나 실수 배열로 된 이미지. 알파 채널은 건드리지 않는다."""

    pixels: Pixels
    device: torch.device

    @property
    def size(self) -> tuple[int, int]:
        """`(높이, 너비)`, 픽셀."""
        height, width = self.pixels.color.shape[:2]
        return height, width

    def read(self, box: Box) -> Tensor:
        """상자를 `(3, h, w)` RGB float32, 0..1로 읽는다."""
        return self.pixels.read(box)

    def write(self, box: Box, values: Tensor) -> None:
        """상자에 `(3, h, w)` RGB, 0..1을 적는다."""
        self.pixels.write(values, self.pixels.color[box.slices()])


@dataclass(frozen=True)
class FrameCanvas:
    """장치에 놓인 프레임 한 장 `(3, H, W)`."""

    frame: Tensor

    @property
    def device(self) -> torch.device:
        """프레임이 놓인 장치."""
        return self.frame.device

    @property
    def size(self) -> tuple[int, int]:
        """`(높이, 너비)`, 픽셀."""
        return self.frame.shape[-2], self.frame.shape[-1]

    def read(self, box: Box) -> Tensor:
        """상자를 `(3, h, w)` RGB float32, 0..1로 읽는다."""
        return self.frame[(..., *box.slices())]

    def write(self, box: Box, values: Tensor) -> None:
        """상자에 `(3, h, w)` RGB, 0..1을 적는다."""
        self.frame[(..., *box.slices())] = values.clamp(0, 1).to(self.frame)


def finish_image(
    steps: Sequence[WholeStep], enlarged: Canvas, source: Canvas, counts: Counter[str] | None = None
) -> None:
    """이미지 전체를 보는 단계들을 차례로 거친다. 보고할 수는 `counts`에 더한다."""
    for step in steps:
        found = step.finish(enlarged, source)
        if counts is not None:
            counts.update(found)


@dataclass(frozen=True)
class Sharpen:
    """훈련이 정답에 하는 것과 같은 선명화 마스크(USM). 결과의 픽셀에서 한다.

    Attributes:
        weight: 블러와의 차이를 더하는 배수, 0..3. 훈련은 0.5다.
    """

    weight: float
    margin = 0
    # 결과의 한 점이 보는 결과의 반지름(픽셀). 블러를 두 번 건다.
    reach = 2 * (USM_TAPS // 2)
    # 여러 번 키울 때 마지막에만 한다.
    last = True

    @property
    def text(self) -> str:
        """`sharpen=값`."""
        return f"sharpen={self.weight:g}"

    def __call__(self, enlarged: Tensor, source: Tensor) -> Tensor:
        """차이가 문턱을 넘는 곳만 선명하게 하고, 그 자리도 부드럽게 잇는다."""
        image = enlarged.clamp(0, 1)
        residual = image - gaussian_blur(image)
        mask = gaussian_blur((residual.abs() * 255 > USM_THRESHOLD).float())
        return torch.lerp(image, (image + self.weight * residual).clamp_(0, 1), mask)


def gaussian_blur(images: Tensor) -> Tensor:
    """`(N, C, H, W)`에 51탭 가우시안 블러를 건다. 가장자리는 반사다. 변이 아무리 짧아도 된다."""
    if images.device.type == "cpu":
        # 같은 일을 OpenCV가 합성곱보다 열 배쯤 빨리 한다.
        cv2 = import_cv2()
        planes = images.reshape(-1, *images.shape[-2:]).contiguous().numpy()
        blurred = [
            cv2.GaussianBlur(plane, (USM_TAPS, USM_TAPS), 0, borderType=cv2.BORDER_REFLECT_101) for plane in planes
        ]
        return torch.from_numpy(np.stack(blurred)).reshape(images.shape)
    return _gaussian_by_convolution(images)


def _gaussian_by_convolution(images: Tensor) -> Tensor:
    # OpenCV의 규칙: 0.3 ((탭 - 1) / 2 - 1) + 0.8
    radius = USM_TAPS // 2
    axis = torch.arange(-radius, radius + 1, device=images.device, dtype=torch.float32)
    taps = torch.exp(-(axis**2) / (2 * (0.3 * (radius - 1) + 0.8) ** 2))
    taps = (taps / taps.sum()).to(images.dtype)
    for dimension, shape in ((2, (1, 1, -1, 1)), (3, (1, 1, 1, -1))):
        index = np.pad(np.arange(images.shape[dimension]), radius, mode="reflect")
        padded = images.index_select(dimension, torch.from_numpy(index).to(images.device))
        images = F.conv2d(padded.flatten(0, 1)[:, None], taps.view(shape)).unflatten(0, images.shape[:2])[:, :, 0]
    return images


@dataclass(frozen=True)
class WaveletColour:
    """원본의 낮은 주파수를 되찾는다(StableSR, Wang 2023, 3.3절의 웨이블릿 색 보정을 원본의 크기에서 한 것).

    줄인 결과와 원본의 차이 가운데 낮은 주파수만 확대해 더한다. 네트워크가 만든 높은 주파수는 그대로다.
    """

    text = "color_fix=wavelet"
    margin = sum(WAVELET_SPACINGS) + LANCZOS_RADIUS

    def __call__(self, enlarged: Tensor, source: Tensor) -> Tensor:
        """`enlarged + 확대(낮은 주파수(source - 줄인 enlarged))`."""
        scale = enlarged.shape[-1] // source.shape[-1]
        image = enlarged.clamp(0, 1)
        low = source - (F.avg_pool2d(image, scale) if scale > 1 else image)
        for spacing in WAVELET_SPACINGS:
            low = _atrous(low, spacing)
        return image + enlarge_lanczos(low, scale)


def _atrous(images: Tensor, spacing: int) -> Tensor:
    """`[1 2 1] / 4`를 간격을 벌려 가로와 세로로 건다(à trous). 가장자리 바깥은 가장자리의 값이다."""
    padded = F.pad(images, (spacing,) * 4, mode="replicate")
    rows = padded[..., 2 * spacing :, :] + padded[..., : -2 * spacing, :] + 2 * padded[..., spacing:-spacing, :]
    return (rows[..., 2 * spacing :] + rows[..., : -2 * spacing] + 2 * rows[..., spacing:-spacing]) / 16


@dataclass(frozen=True)
class AdainColour:
    """채널마다의 평균과 표준편차를 원본에 맞춘다(AdaIN, Huang 2017). 이미지 전체에서 잰다."""

    text = "color_fix=adain"

    def finish(self, enlarged: Canvas, source: Canvas) -> dict[str, int]:
        """`(enlarged - 평균) / 표준편차 * 원본의 표준편차 + 원본의 평균`."""
        mean, deviation = _statistics(enlarged)
        wanted_mean, wanted_deviation = _statistics(source)
        gain = wanted_deviation / deviation.clamp_min(SMALLEST_DEVIATION)
        for box in _bands(enlarged):
            values = enlarged.read(box)
            shift = [one.to(values)[:, None, None] for one in (mean, gain, wanted_mean)]
            enlarged.write(box, (values - shift[0]) * shift[1] + shift[2])
        return {}


def _bands(canvas: Canvas) -> Iterator[Box]:
    height, width = canvas.size
    for top in range(0, height, ROWS_AT_ONCE):
        yield Box(top, 0, min(top + ROWS_AT_ONCE, height), width)


def _statistics(canvas: Canvas) -> tuple[Tensor, Tensor]:
    """채널마다의 평균과 표준편차 `(3,)`, float64."""
    total, squares = torch.zeros(3, dtype=torch.float64), torch.zeros(3, dtype=torch.float64)
    for box in _bands(canvas):
        values = canvas.read(box).cpu().double()
        total += values.sum((1, 2))
        squares += values.square().sum((1, 2))
    count = canvas.size[0] * canvas.size[1]
    mean = total / count
    return mean, (squares / count - mean.square()).clamp_min(0).sqrt()


def _create_sharpen(value: str) -> Sharpen:
    try:
        weight = float(value)
    except ValueError:
        weight = -1.0
    if not 0 <= weight <= LARGEST_SHARPEN:
        raise UsageError(
            f"sharpen의 값은 0과 {LARGEST_SHARPEN:g} 사이의 수여야 합니다: {value!r}\n  해결: --sharpen 0.5처럼 주세요."
        )
    return Sharpen(weight)


def _create_colour(value: str) -> WaveletColour | AdainColour:
    if value not in ("wavelet", "adain"):
        raise UsageError(f"color_fix의 값은 wavelet이나 adain이어야 합니다: {value!r}")
    return WaveletColour() if value == "wavelet" else AdainColour()


register_step("sharpen", _create_sharpen)
register_step("color_fix", _create_colour)
