"""비디오의 평면(YUV, RGB, 회색)과 네트워크의 RGB 사이를 장치에서 오간다. 순수 함수만 있다.

식은 ITU-T H.273 (2021) 8.3절의 행렬 계수와 범위를 따른다. 색차(chroma)의 자리는 `Colour.siting`이다. 기본은 가로로는
왼쪽 픽셀과 같고 세로로는 두 픽셀의 가운데인 것(MPEG-2부터의 관례, H.273 chroma sample location type 0)이다.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from realesrgan.media.video.types import Colour, PixelLayout

# H.273 표 4의 (Kr, Kb).
LUMA_WEIGHTS = {
    1: (0.2126, 0.0722),
    4: (0.30, 0.11),
    5: (0.299, 0.114),
    6: (0.299, 0.114),
    7: (0.212, 0.087),
    9: (0.2627, 0.0593),
}
YCGCO = 8
# CPU에서 한 번에 바꿀 줄 수(색차의 세로 배수로 나누어떨어진다). 가운데 값이 캐시에 들어 두 배쯤 빠르다.
_BLOCK_ROWS = 64
KNOWN_MATRICES = frozenset((*LUMA_WEIGHTS, YCGCO))
"""색을 바꿀 수 있는 행렬 계수."""


def ycc_matrix(matrix: int) -> Tensor:
    """RGB를 휘도와 색차로 바꾸는 `(3, 3)` 행렬, float64. 색차는 -0.5..0.5다.

    Raises:
        ValueError: 모르는 행렬 계수일 때(ICtCp, 고정 휘도 등).
    """
    if matrix == YCGCO:
        return torch.tensor([[0.25, 0.5, 0.25], [-0.25, 0.5, -0.25], [0.5, 0.0, -0.5]], dtype=torch.float64)
    if matrix not in LUMA_WEIGHTS:
        raise ValueError(f"모르는 행렬 계수(matrix coefficients)입니다: {matrix}")
    kr, kb = LUMA_WEIGHTS[matrix]
    luma = torch.tensor([kr, 1 - kr - kb, kb], dtype=torch.float64)
    blue = (torch.tensor([0.0, 0.0, 1.0], dtype=torch.float64) - luma) / (2 * (1 - kb))
    red = (torch.tensor([1.0, 0.0, 0.0], dtype=torch.float64) - luma) / (2 * (1 - kr))
    return torch.stack([luma, blue, red])


def code_range(bits: int, full_range: bool) -> tuple[Tensor, Tensor]:
    """휘도와 두 색차의 `(배율, 더할 값)`, float64 세 개씩. 부호 = 값 * 배율 + 더할 값 (H.273 식 20..31)."""
    step, half, top = 2 ** (bits - 8), 2 ** (bits - 1), 2**bits - 1
    scale = [top, top, top] if full_range else [219 * step, 224 * step, 224 * step]
    offset = [0, half, half] if full_range else [16 * step, half, half]
    return torch.tensor(scale, dtype=torch.float64), torch.tensor(offset, dtype=torch.float64)


@dataclass(frozen=True)
class Conversion:
    """한 가지 색과 비트 수에서 RGB와 부호를 오가는 수들.

    Attributes:
        to_codes: RGB를 더할 값이 빠진 부호로 바꾸는 `(3, 3)` 행렬, float32.
        offset: 휘도와 색차에 더할 값.
        to_rgb: 부호를 RGB로 바꾸는 `(3, 3)` 행렬, float32.
        bias: 그 뒤에 더할 값 셋, float32.
    """

    to_codes: Tensor
    offset: tuple[float, float]
    to_rgb: Tensor
    bias: Tensor


@lru_cache
def conversion(matrix: int, bits: int, full_range: bool) -> Conversion:
    """그 색과 비트 수의 `Conversion`. 작은 프레임에서는 구하는 시간도 커서 기억해 둔다.

    Raises:
        ValueError: 모르는 행렬 계수일 때.
    """
    scale, offset = code_range(bits, full_range)
    forward = ycc_matrix(matrix)
    back = torch.linalg.inv(forward) / scale
    added = (float(offset[0]), float(offset[1]))
    return Conversion((forward * scale[:, None]).float(), added, back.float(), (-back @ offset).float())


def planes_to_rgb(planes: Sequence[Tensor], layout: PixelLayout, colour: Colour) -> Tensor:
    """정수 평면들을 네트워크의 입력으로 바꾼다.

    Args:
        planes: 평면마다 `(N, h, w)`의 정수. 순서는 `media.video.types.Planes`와 같다. 알파는 보지 않는다.
        layout: 평면의 배치.
        colour: 행렬과 범위.

    Returns:
        `(N, 3, H, W)` float32, 0..1의 RGB.
    """
    if layout.family == "gray":
        scale, offset = code_range(layout.bits, colour.full_range)
        gray = ((planes[0].to(torch.float32) - float(offset[0])) / float(scale[0])).clamp_(0, 1)
        return gray[:, None].expand(-1, 3, -1, -1)
    if layout.family == "rgb":
        green, blue, red = (_unit(plane, layout.bits) for plane in planes[:3])
        return torch.stack([red, green, blue], dim=1)
    height, width = planes[0].shape[-2:]
    chroma = torch.stack([planes[1], planes[2]], dim=1).to(torch.float32)
    chroma = upsample_chroma(chroma, layout.subsampling, height, width, colour.siting)
    codes = torch.cat([planes[0][:, None].to(torch.float32), chroma], dim=1)
    way = conversion(colour.matrix, layout.bits, colour.full_range)
    # 합성곱으로 섞으면 GPU가 TF32로 셈해 10비트 부호부터 틀린다. 행렬곱은 fp32로 한다.
    rgb = torch.matmul(way.to_rgb.to(codes.device), codes.flatten(2)).unflatten(2, (height, width))
    return rgb.add_(way.bias.to(codes.device)[:, None, None]).clamp_(0, 1)


def alpha_to_unit(plane: Tensor, bits: int) -> Tensor:
    """알파 평면 `(N, h, w)`를 `(N, 1, h, w)` float32, 0..1로 바꾼다. 알파는 언제나 전체 범위(full range)다."""
    return _unit(plane, bits)[:, None]


def unit_to_alpha(alpha: Tensor, bits: int) -> Tensor:
    """`(N, 1, h, w)` float32를 알파 평면 `(N, h, w)`로 바꾼다."""
    return quantise(alpha[:, 0] * (2**bits - 1), bits)


def rgb_to_planes(rgb: Tensor, layout: PixelLayout, colour: Colour) -> list[Tensor]:
    """네트워크의 출력을 정수 평면들로 바꾼다. 알파 평면은 만들지 않는다.

    Args:
        rgb: `(N, 3, H, W)` float32, 0..1. 벗어난 값은 잘린다. 제자리에서 바뀔 수 있다.
        layout: 만들 평면의 배치.
        colour: 행렬과 범위.

    Returns:
        평면마다 `(N, h, w)`, 8비트면 uint8, 더 깊으면 uint16.
    """
    bits, gray = layout.bits, layout.family == "gray"
    if layout.family == "rgb":
        rgb = rgb.clamp_(0, 1)
        return [quantise(rgb[:, channel] * (2**bits - 1), bits) for channel in (1, 2, 0)]
    way = conversion(1 if gray and colour.matrix not in KNOWN_MATRICES else colour.matrix, bits, colour.full_range)
    weight = (way.to_codes[:1] if gray else way.to_codes).to(rgb.device)
    parts: list[list[Tensor]] = []
    for block in rgb.split(_BLOCK_ROWS if rgb.device.type == "cpu" else rgb.shape[2], dim=2):
        codes = torch.matmul(weight, block.contiguous().clamp_(0, 1).flatten(2)).unflatten(2, block.shape[-2:])
        # 더할 값은 정수로 바꾸면서 함께 더한다. 큰 텐서를 한 번 덜 지난다.
        planes = [quantise(codes[:, 0], bits, way.offset[0])]
        if not gray:
            chroma = downsample_chroma(codes[:, 1:], layout.subsampling, colour.siting)
            planes += quantise(chroma, bits, way.offset[1]).unbind(1)
        parts.append(planes)
    return parts[0] if len(parts) == 1 else [torch.cat(planes, dim=1) for planes in zip(*parts, strict=True)]


def quantise(codes: Tensor, bits: int, offset: float = 0.0) -> Tensor:
    """실수 부호에 `offset`을 더하고 반올림해 정수로 바꾼다. 받은 텐서를 고쳐 쓴다."""
    codes = codes.add_(offset + 0.5).clamp_(0, 2**bits - 1)
    # uint16으로 곧바로 바꾸지 못하는 장치가 있어 한 번 거친다.
    return codes.to(torch.uint8) if bits == 8 else codes.to(torch.int32).to(torch.uint16)


SITINGS = {
    "left": (0.0, 0.5),
    "center": (0.5, 0.5),
    "topleft": (0.0, 0.0),
    "top": (0.5, 0.0),
    "bottomleft": (0.0, 1.0),
    "bottom": (0.5, 1.0),
}
"""색차 표본의 `(가로, 세로)` 자리. 함께 쓰는 휘도 픽셀들의 첫째가 0, 끝이 1이다(H.273 그림 1)."""


def upsample_chroma(
    chroma: Tensor, subsampling: tuple[int, int], height: int, width: int, siting: str = "left"
) -> Tensor:
    """부표본화된 색차를 휘도의 크기로 늘린다(선형 보간).

    Args:
        chroma: `(N, C, h, w)` float32.
        subsampling: `(가로, 세로)` 배수.
        height, width: 휘도의 크기(픽셀).
        siting: 표본의 자리(`SITINGS`).

    Returns:
        `(N, C, height, width)`.
    """
    for axis, factor, place in zip((-1, -2), subsampling, SITINGS[siting], strict=True):
        if factor == 1:
            continue
        if place == 0.5:
            # 가운데에 놓인 표본의 선형 보간은 align_corners=False의 쌍일차와 같다.
            size = list(chroma.shape[-2:])
            size[axis] *= factor
            chroma = F.interpolate(chroma, size=size, mode="bilinear", align_corners=False)
            continue
        # 끝에 놓인 표본은 뒤집으면 처음에 놓인 것이다.
        near = chroma.flip(axis) if place else chroma
        last = near.shape[axis] - 1
        following = torch.cat([near.narrow(axis, 1, last), near.narrow(axis, last, 1)], dim=axis)
        steps = [torch.lerp(near, following, k / factor) for k in range(factor)]
        spread = torch.stack(steps, dim=axis).flatten(axis - 1, axis)
        chroma = spread.flip(axis) if place else spread
    return chroma[..., :height, :width]


def downsample_chroma(chroma: Tensor, subsampling: tuple[int, int], siting: str = "left") -> Tensor:
    """색차를 부표본화한다. `left`면 가로는 왼쪽 픽셀을 꼭대기로 한 세모, 세로는 상자로, `center`면 둘 다 상자로 거른다.

    Args:
        chroma: `(N, C, H, W)` float32. 고치지 않는다.
        subsampling: `(가로, 세로)` 배수. 나누어떨어지지 않으면 아래와 오른쪽 끝의 값을 되풀이한다.
        siting: 표본의 자리. 결과의 자리는 우리가 고르므로 `left`와 `center`만 있다.

    Returns:
        `(N, C, ceil(H / 세로), ceil(W / 가로))`.
    """
    across, down = subsampling
    height, width = chroma.shape[-2:]
    if height % down or width % across:
        chroma = F.pad(chroma, (0, -width % across, 0, -height % down), mode="replicate")
    if siting == "center":
        return F.avg_pool2d(chroma, (down, across)) if across * down > 1 else chroma
    rows = [chroma[..., row::down, :] for row in range(down)]
    total = rows[0] if down == 1 else torch.add(rows[0], rows[1])
    for row in rows[2:]:
        total += row
    # j번째 열은 제 표본에 (가로 - j), 다음 표본에 j만큼 든다. 첫 표본의 왼쪽은 첫 열의 되풀이다.
    columns = [total[..., column::across] for column in range(across)]
    unit = 1 / (across**2 * down)
    result = columns[0] * (across * unit)
    result[..., 0] += columns[0][..., 0] * (across * (across - 1) / 2 * unit)
    for number, column in enumerate(columns[1:], start=1):
        result.add_(column, alpha=(across - number) * unit)
        result[..., 1:].add_(column[..., :-1], alpha=number * unit)
    return result


def _unit(plane: Tensor, bits: int) -> Tensor:
    return plane.to(torch.float32) / (2**bits - 1)


def to_tensor(planes: Sequence[np.ndarray], device: torch.device) -> Tensor:
    """같은 크기의 평면들을 `(N, h, w)` 텐서 하나로 장치에 올린다."""
    stacked = np.stack(planes)
    tensor = torch.from_numpy(stacked)
    if device.type == "cuda":
        tensor = tensor.pin_memory()
    return tensor.to(device, non_blocking=device.type == "cuda")
