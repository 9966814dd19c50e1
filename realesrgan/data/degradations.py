"""텐서 배치에 하는 열화(degradation) 연산들: 블러, 선명화(USM), 잡음, JPEG 압축.

모두 순수 함수이며 이미지는 `(B, C, H, W)` float32, 값은 0..1이다. CPU와 GPU에서, 연속(contiguous)이든
channels_last든 같은 값을 낸다. 난수는 인자로 받은 `DegradationRandom`에서만 나온다.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

USM_RADIUS = 50
USM_WEIGHT = 0.5
USM_THRESHOLD = 10.0
# 이보다 긴 변은 행렬 곱의 계산량이 분리 합성곱(separable convolution)을 넘어선다.
MATRIX_BLUR_LIMIT = 1024
# 띠 행렬(banded matrix)의 0을 덜 곱하려고 나누는 출력 토막의 길이(픽셀).
MATRIX_BLOCK = 128
GRAY_WEIGHTS = (0.2989, 0.587, 0.114)


@dataclass
class DegradationRandom:
    """열화가 쓰는 난수의 두 샘. 상태를 저장하고 되돌릴 수 있다.

    Args:
        host: 배율, 종류, 품질처럼 배치나 장마다 하나인 값의 난수.
        device: 픽셀마다의 잡음에 쓰는 텐서 난수. 이미지와 같은 장치에 있어야 한다.
    """

    host: np.random.Generator
    device: torch.Generator

    @classmethod
    def from_seed(cls, *seed: int, device: torch.device | str = "cpu") -> DegradationRandom:
        """정수 여러 개로 씨앗(seed)을 정한다. 같은 정수면 언제나 같은 난수열이다."""
        host = np.random.Generator(np.random.PCG64(np.random.SeedSequence(seed)))
        generator = torch.Generator(device=device)
        generator.manual_seed(int(host.integers(2**63)))
        return cls(host, generator)

    def state_dict(self) -> dict[str, Any]:
        """`weights_only=True`로 읽을 수 있는 값만 담은 상태."""
        return {"host": pack_numpy_state(self.host), "device": self.device.get_state()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """`state_dict`가 준 상태로 되돌린다."""
        unpack_numpy_state(self.host, state["host"])
        self.device.set_state(state["device"].cpu())


def pack_numpy_state(rng: np.random.Generator) -> dict[str, Any]:
    """PCG64 난수기의 상태를 문자열과 정수로 바꾼다. 128비트 정수는 텐서에 담기지 않아 십육진 문자열로 쓴다."""
    state: dict[str, Any] = dict(rng.bit_generator.state)
    inner = {name: hex(value) for name, value in state["state"].items()}
    return {"kind": state["bit_generator"], "state": inner, "has": state["has_uint32"], "rest": state["uinteger"]}


def unpack_numpy_state(rng: np.random.Generator, packed: dict[str, Any]) -> None:
    """`pack_numpy_state`의 결과로 난수기를 되돌린다."""
    rng.bit_generator.state = {
        "bit_generator": packed["kind"],
        "state": {name: int(value, 16) for name, value in packed["state"].items()},
        "has_uint32": packed["has"],
        "uinteger": packed["rest"],
    }


def _for_each(count: int, work: Callable[[int], None]) -> None:
    """`work(0..count-1)`을 torch가 쓰는 만큼의 스레드로 한다. OpenCV와 NumPy는 그동안 GIL을 놓는다."""
    threads = min(count, torch.get_num_threads())
    if threads <= 1:
        for index in range(count):
            work(index)
        return
    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(work, range(count)))


# --------------------------------------------------------------------------- 블러와 선명화


def filter2d(images: Tensor, kernels: Tensor) -> Tensor:
    """장마다 제 커널로 상관(correlation)을 구한다. 가장자리는 반사(reflect101)로 채운다.

    Args:
        images: `(B, C, H, W)` float32. `H`와 `W`는 커널 반지름보다 커야 한다.
        kernels: `(B, K, K)` 또는 모두에게 같은 `(1, K, K)` float32. `K`는 홀수.

    Returns:
        `(B, C, H, W)` float32.

    Raises:
        ValueError: 커널 크기가 짝수이거나 개수가 맞지 않을 때.
    """
    batch, channels, height, width = images.shape
    size = kernels.shape[-1]
    if size % 2 == 0:
        raise ValueError(f"커널 한 변은 홀수여야 합니다: {size}")
    if kernels.shape[0] not in (1, batch):
        raise ValueError(f"커널은 한 개이거나 이미지와 같은 {batch}개여야 합니다: {kernels.shape[0]}개")
    kernels = kernels.expand(batch, size, size)
    if images.device.type == "cpu" and not images.requires_grad:
        return _filter2d_opencv(images.contiguous(), kernels)
    margin = size // 2
    padded = F.pad(images, (margin,) * 4, mode="reflect")
    stacked = padded.reshape(1, batch * channels, height + 2 * margin, width + 2 * margin)
    weights = kernels.repeat_interleave(channels, dim=0).unsqueeze(1)
    return F.conv2d(stacked, weights, groups=batch * channels).reshape(batch, channels, height, width)


def _trim_kernel(kernel: NDArray[np.float32]) -> NDArray[np.float32]:
    """둘레의 0을 덜어 낸다. 커널은 21까지 0으로 채워져 오므로 평균 계산량이 반으로 준다."""
    centre = kernel.shape[0] // 2
    rows, columns = np.nonzero(kernel)
    reach = int(max(np.abs(rows - centre).max(initial=0), np.abs(columns - centre).max(initial=0)))
    return np.ascontiguousarray(kernel[centre - reach : centre + reach + 1, centre - reach : centre + reach + 1])


def _filter2d_opencv(images: Tensor, kernels: Tensor) -> Tensor:
    result = torch.empty_like(images)
    source, target = images.numpy(), result.numpy()

    def work(index: int) -> None:
        kernel = _trim_kernel(kernels[index].numpy())
        for channel in range(source.shape[1]):
            # 큰 커널은 OpenCV가 이산 푸리에 변환(DFT)으로 계산해 직접 합성곱보다 빠르다.
            cv2.filter2D(
                source[index, channel], -1, kernel, dst=target[index, channel], borderType=cv2.BORDER_REFLECT_101
            )

    _for_each(source.shape[0], work)
    return result


def gaussian_taps(size: int) -> NDArray[np.float64]:
    """OpenCV 규칙의 표준편차 `0.3 ((size - 1) / 2 - 1) + 0.8`을 따르는 일차원 가우시안 `(size,)`, 합은 1."""
    sigma = 0.3 * ((size - 1) * 0.5 - 1) + 0.8
    axis = np.arange(size) - (size - 1) / 2
    taps = np.exp(-(axis**2) / (2 * sigma**2))
    return taps / taps.sum()


@functools.lru_cache(maxsize=64)
def _blur_matrix(length: int, size: int, device: torch.device) -> Tensor:
    """길이 `length`의 신호에 반사 경계로 가우시안을 거는 일을 행렬 `(length, length)`로 쓴다."""
    matrix = np.zeros((length, length))
    margin = size // 2
    columns = np.pad(np.arange(length), margin, mode="reflect")
    for row in range(length):
        np.add.at(matrix[row], columns[row : row + size], gaussian_taps(size))
    return torch.from_numpy(matrix.astype(np.float32)).to(device)


def _multiply_banded(rows: Tensor, matrix: Tensor, margin: int) -> Tensor:
    """`rows (N, L) @ matrix^T`를 띠 바깥의 0을 건너뛰며 구한다."""
    length = rows.shape[1]
    result = torch.empty_like(rows)
    for start in range(0, length, MATRIX_BLOCK):
        stop = min(start + MATRIX_BLOCK, length)
        low, high = max(0, start - margin), min(length, stop + margin)
        result[:, start:stop] = rows[:, low:high] @ matrix[start:stop, low:high].T
    return result


def gaussian_blur(images: Tensor, size: int) -> Tensor:
    """`size`탭 가우시안 블러. 이차원 합성곱과 같은 값을 분리해서 구한다.

    가우시안은 가로와 세로로 나뉘므로 픽셀마다 `size^2`번이 아니라 `2 size`번만 곱하면 된다. 짧은 변은 더 나아가
    행렬 곱으로 바꾼다. 행렬 곱은 CPU와 GPU가 가장 잘하는 일이다.

    Args:
        images: `(B, C, H, W)` float32. `H`와 `W`는 `size // 2`보다 커야 한다.
        size: 홀수 탭 수.

    Returns:
        `(B, C, H, W)` float32, 연속(contiguous).
    """
    batch, channels, height, width = images.shape
    images = images.contiguous()
    margin = size // 2
    if max(height, width) > MATRIX_BLUR_LIMIT:
        taps = torch.from_numpy(gaussian_taps(size).astype(np.float32)).to(images.device)
        planes = F.pad(images, (margin,) * 4, mode="reflect").reshape(batch * channels, 1, height + 2 * margin, -1)
        planes = F.conv2d(F.conv2d(planes, taps.view(1, 1, 1, -1)), taps.view(1, 1, -1, 1))
        return planes.reshape(batch, channels, height, width)
    across = _multiply_banded(images.reshape(-1, width), _blur_matrix(width, size, images.device), margin)
    planes = across.view(batch * channels, height, width)
    matrix = _blur_matrix(height, size, images.device)
    result = torch.empty_like(planes)
    for start in range(0, height, MATRIX_BLOCK):
        stop = min(start + MATRIX_BLOCK, height)
        low, high = max(0, start - margin), min(height, stop + margin)
        result[:, start:stop] = matrix[start:stop, low:high] @ planes[:, low:high]
    return result.view(batch, channels, height, width)


def usm_sharpen(
    images: Tensor, weight: float = USM_WEIGHT, radius: int = USM_RADIUS, threshold: float = USM_THRESHOLD
) -> Tensor:
    """선명화 마스크(Unsharp Masking, USM). Real-ESRGAN 3.4절의 정답 이미지 선명화.

    블러와의 차이가 `threshold/255`를 넘는 곳만 차이의 `weight`배를 더하고, 그 마스크도 같은 가우시안으로 부드럽게 한다.

    Args:
        images: `(B, C, H, W)` float32, 0..1. 변은 `radius // 2`보다 길어야 한다.
        weight: 더하는 차이의 배수.
        radius: 가우시안의 탭 수. 짝수면 1을 더한다.
        threshold: 0..255 눈금의 문턱.

    Returns:
        `(B, C, H, W)` float32, 0..1.
    """
    size = radius + 1 - radius % 2
    images = images.contiguous()
    residual = images - gaussian_blur(images, size)
    soft_mask = gaussian_blur((residual.abs() * 255 > threshold).float(), size)
    sharp = residual.mul_(weight).add_(images).clamp_(0, 1)
    return torch.lerp(images, sharp, soft_mask)


# --------------------------------------------------------------------------- 잡음


def _per_image(values: Tensor | float, images: Tensor) -> Tensor:
    tensor = torch.as_tensor(values, dtype=images.dtype, device=images.device)
    return tensor.reshape(-1, 1, 1, 1)


def to_gray(images: Tensor) -> Tensor:
    """`(B, 3, H, W)` RGB를 휘도(luma) `(B, 1, H, W)`로 바꾼다. ITU-R BT.601의 비중. 한 채널이면 그대로다."""
    if images.shape[1] == 1:
        return images
    red, green, blue = images.unbind(1)
    return (GRAY_WEIGHTS[0] * red + GRAY_WEIGHTS[1] * green + GRAY_WEIGHTS[2] * blue).unsqueeze(1)


def gaussian_noise(images: Tensor, sigma: Tensor | float, gray: Tensor, random: DegradationRandom) -> Tensor:
    """가우시안 잡음을 만든다.

    Args:
        images: `(B, C, H, W)` float32. 모양과 장치만 쓴다.
        sigma: 0..255 눈금의 표준편차, 수 하나 또는 `(B,)`.
        gray: `(B,)`, 1이면 세 채널에 같은 잡음.
        random: 난수의 샘.

    Returns:
        더할 잡음 `(B, C, H, W)` float32.
    """
    scale = _per_image(sigma, images) / 255.0
    noise = torch.randn(images.shape, generator=random.device, device=images.device, dtype=images.dtype)
    if bool((gray > 0).any()):
        shape = (images.shape[0], 1, *images.shape[2:])
        shared = torch.randn(shape, generator=random.device, device=images.device, dtype=images.dtype)
        noise = torch.where(_per_image(gray, images) > 0, shared, noise)
    return noise.mul_(scale)


def _count_levels(levels: Tensor) -> list[int]:
    """장마다 서로 다른 8비트 값의 개수를 센다. 정렬하는 `torch.unique`보다 도수(histogram)가 훨씬 빠르다."""
    if levels.device.type == "cpu":
        flat = levels.reshape(levels.shape[0], -1, 1).numpy()
        return [int(np.count_nonzero(cv2.calcHist([one], [0], None, [256], [0, 256]))) for one in flat]
    seen = torch.zeros(levels.shape[0], 256, dtype=torch.bool, device=levels.device)
    seen.scatter_(1, levels.reshape(levels.shape[0], -1).long(), True)
    return [int(count) for count in seen.sum(1).tolist()]


def poisson_noise(images: Tensor, scale: Tensor | float, gray: Tensor, random: DegradationRandom) -> Tensor:
    """푸아송(Poisson) 잡음을 만든다. 밝기 단계 수는 장마다 `2^ceil(log2(서로 다른 8비트 값의 수))`다.

    Args:
        images: `(B, 3, H, W)` RGB나 `(B, 1, H, W)` 회색 float32, 0..1.
        scale: 잡음의 배수, 수 하나 또는 `(B,)`.
        gray: `(B,)`, 1이면 휘도에서 만든 잡음을 세 채널에 같이 더한다.
        random: 난수의 샘.

    Returns:
        더할 잡음. `images`와 같은 모양의 float32.
    """
    noise = _poisson_residual(images, random)
    if bool((gray > 0).any()):
        shared = _poisson_residual(to_gray(images), random)
        noise = torch.where(_per_image(gray, images) > 0, shared, noise)
    return noise.mul_(_per_image(scale, images))


def _poisson_residual(images: Tensor, random: DegradationRandom) -> Tensor:
    levels = (images * 255.0).round_().clamp_(0, 255).to(torch.uint8).contiguous()
    counts = [2 ** math.ceil(math.log2(count)) for count in _count_levels(levels)]
    if images.device.type == "cpu":
        return _poisson_residual_table(levels, counts, random.host)
    rounded = levels.to(images.dtype) / 255.0
    peak = rounded.new_tensor(counts).view(-1, 1, 1, 1)
    return torch.poisson(rounded * peak, generator=random.device) / peak - rounded


_TABLE_BITS = 12


@functools.lru_cache(maxsize=9)
def _poisson_table(peak: int) -> tuple[NDArray[np.int16], NDArray[np.float64], NDArray[np.int64]]:
    """밝기 256단계의 푸아송 분포를 뒤집은 누적분포(inverse CDF) 표.

    Returns:
        `(256, 2^12)` 표. 구간 하나가 통째로 한 값이면 그 값, 두 값에 걸치면 -1. 그리고 걸친 구간을 정확히 푸는 데 쓰는,
        단계 번호를 더해 한 줄로 이은 누적분포와 단계마다의 시작 위치.
    """
    rates = np.arange(256) / 255.0 * peak
    longest = int(peak + 12 * math.sqrt(peak) + 24)
    outcomes = np.arange(longest)
    log_factorial = np.concatenate(([0.0], np.cumsum(np.log(np.arange(1, longest)))))
    with np.errstate(divide="ignore", invalid="ignore"):
        logs = outcomes * np.log(rates)[:, None] - rates[:, None] - log_factorial
    probabilities = np.exp(np.where(np.isnan(logs), 0.0, logs))
    cumulative = np.minimum(np.cumsum(probabilities, axis=1), 1.0)
    cumulative[:, -1] = 1.0
    edges = np.arange(2**_TABLE_BITS + 1) / 2**_TABLE_BITS
    table = np.empty((256, 2**_TABLE_BITS), dtype=np.int16)
    for level in range(256):
        low = np.searchsorted(cumulative[level], edges[:-1], side="right")
        high = np.searchsorted(cumulative[level], edges[1:], side="left")
        table[level] = np.where(low == high, low, -1)
    flat = (cumulative + np.arange(256)[:, None]).ravel()
    return table, flat, np.arange(256) * longest


def _sample_poisson(levels: NDArray[np.uint8], peak: int, rng: np.random.Generator) -> NDArray[np.int16]:
    """평균이 `levels / 255 * peak`인 푸아송 표본. 32비트 난수의 눈금까지 정확하다.

    픽셀 값이 256가지뿐이라는 사실을 쓴다. 난수의 위 12비트로 표를 찾고, 두 값에 걸친 구간(약 2%)만 32비트 전부로
    누적분포를 뒤진다. 픽셀마다 표본을 뽑는 `torch.poisson`보다 몇 배 빠르다.
    """
    table, flat, starts = _poisson_table(peak)
    bits = rng.integers(0, 2**32, size=levels.size, dtype=np.uint32)
    index = (bits >> np.uint32(32 - _TABLE_BITS)).astype(np.int32)
    index += levels.ravel().astype(np.int32) << _TABLE_BITS
    samples = table.ravel().take(index)
    open_cases = np.flatnonzero(samples < 0)
    if open_cases.size:
        chosen = levels.ravel()[open_cases].astype(np.int64)
        exact = (bits[open_cases] + 0.5) / 2**32
        found = np.searchsorted(flat, chosen + exact, side="left") - starts[chosen]
        samples[open_cases] = found.astype(np.int16)
    return samples.reshape(levels.shape)


def _poisson_residual_table(levels: Tensor, counts: list[int], rng: np.random.Generator) -> Tensor:
    source = levels.numpy()
    result = np.empty(source.shape, dtype=np.float32)
    # 스레드가 몇이든 같은 난수가 나오도록 장마다 난수기를 둔다. `spawn`이 센 횟수는 상태에 담기지 않는다.
    children = [np.random.default_rng(seed) for seed in rng.integers(2**63, size=len(counts))]

    def work(index: int) -> None:
        samples = _sample_poisson(source[index], counts[index], children[index])
        np.multiply(samples, np.float32(1 / counts[index]), out=result[index])
        result[index] -= source[index] * np.float32(1 / 255.0)

    _for_each(len(counts), work)
    return torch.from_numpy(result)


# --------------------------------------------------------------------------- JPEG

# ITU-T T.81 부속서 K의 양자화 표. BasicSR의 DiffJPEG과 같은 수를 내려고 그쪽처럼 행과 열을 바꿔 쓴다.
_LUMA_TABLE = np.array(
    [
        [16, 11, 10, 16, 24, 40, 51, 61],
        [12, 12, 14, 19, 26, 58, 60, 55],
        [14, 13, 16, 24, 40, 57, 69, 56],
        [14, 17, 22, 29, 51, 87, 80, 62],
        [18, 22, 37, 56, 68, 109, 103, 77],
        [24, 35, 55, 64, 81, 104, 113, 92],
        [49, 64, 78, 87, 103, 121, 120, 101],
        [72, 92, 95, 98, 112, 100, 103, 99],
    ],
    dtype=np.float32,
).T
_CHROMA_TABLE = np.full((8, 8), 99, dtype=np.float32)
_CHROMA_TABLE[:4, :4] = np.array([[17, 18, 24, 47], [18, 21, 26, 66], [24, 26, 56, 99], [47, 66, 99, 99]]).T
_TO_YCBCR = ((0.299, 0.587, 0.114), (-0.168736, -0.331264, 0.5), (0.5, -0.418688, -0.081312))
_BLOCK = 8


@functools.lru_cache(maxsize=8)
def _dct_matrix(device: torch.device) -> Tensor:
    """직교 이산 코사인 변환(DCT-II)의 행렬 `(8, 8)`. ITU-T T.81 A.3.3."""
    frequency, position = np.meshgrid(np.arange(_BLOCK), np.arange(_BLOCK), indexing="ij")
    matrix = np.cos((2 * position + 1) * frequency * math.pi / (2 * _BLOCK)) * math.sqrt(2 / _BLOCK)
    matrix[0] /= math.sqrt(2)
    # 두 방향을 한 번의 64x64 행렬 곱으로 하려고 크로네커 곱(Kronecker product)으로 합친다.
    return torch.from_numpy(np.kron(matrix, matrix).astype(np.float32)).to(device)


def quality_factor(quality: Tensor) -> Tensor:
    """JPEG 품질 `(B,)` 1..100을 양자화 표의 배수로 바꾼다. libjpeg의 규칙이다."""
    factor = torch.where(quality < 50, 5000.0 / quality, 200.0 - 2.0 * quality) / 100.0
    # 품질 100이면 배수가 0이 되어 나눌 수 없으므로 눈에 보이지 않을 만큼의 바닥을 둔다.
    return factor.clamp_min(0.01)


def _quantise_plane(plane: Tensor, table: NDArray[np.float32], factor: Tensor) -> Tensor:
    """채널 하나 `(B, H, W)`를 8x8 DCT로 양자화했다가 되돌린다. 값은 0이 가운데인 -128..127."""
    batch, height, width = plane.shape
    dct = _dct_matrix(plane.device)
    blocks = plane.reshape(batch, height // _BLOCK, _BLOCK, width // _BLOCK, _BLOCK).permute(0, 1, 3, 2, 4)
    coefficients = blocks.reshape(batch, -1, _BLOCK * _BLOCK) @ dct.T
    steps = torch.from_numpy(np.ascontiguousarray(table).ravel()).to(plane.device) * factor.view(batch, 1, 1)
    restored = coefficients.div_(steps).round_().mul_(steps) @ dct
    blocks = restored.view(batch, height // _BLOCK, width // _BLOCK, _BLOCK, _BLOCK).permute(0, 1, 3, 2, 4)
    return blocks.reshape(batch, height, width)


def jpeg_compress(images: Tensor, quality: Tensor) -> Tensor:
    """JPEG으로 눌렀다 편 것과 같은 흔적을 남긴다. BasicSR의 `DiffJPEG(differentiable=False)`와 같은 계산이다.

    색차(chroma)는 2x2 평균으로 줄이고 되풀이해 키운다. 변이 16의 배수가 아니면 0으로 채웠다가 잘라 낸다.

    Args:
        images: `(B, 3, H, W)` RGB나 `(B, 1, H, W)` 회색 float32, 0..1. 벗어난 값은 눈에 거슬리는 흔적을 만들므로 먼저
            잘라야 한다. 회색은 휘도 한 장으로 누른다.
        quality: `(B,)` 1..100. 바꾸지 않는다.

    Returns:
        같은 모양의 float32, 0..1.
    """
    height, width = images.shape[-2:]
    padded = F.pad(images.contiguous(), (0, -width % 16, 0, -height % 16))
    batch, _, tall, wide = padded.shape
    factor = quality_factor(quality.to(images.device, torch.float32))
    if images.shape[1] == 1:
        gray = _quantise_plane(padded[:, 0] * 255.0 - 128.0, _LUMA_TABLE, factor).add_(128.0)
        return gray.unsqueeze(1)[..., :height, :width].clamp(0, 255).div_(255.0)
    forward = torch.tensor(_TO_YCBCR, device=images.device)
    ycbcr = torch.matmul(forward * 255.0, padded.view(batch, 3, -1)).view(batch, 3, tall, wide)
    luma = _quantise_plane(ycbcr[:, 0] - 128.0, _LUMA_TABLE, factor).add_(128.0)
    chroma = F.avg_pool2d(ycbcr[:, 1:], 2)
    blue, red = (_quantise_plane(chroma[:, index], _CHROMA_TABLE, factor) for index in (0, 1))
    chroma = F.interpolate(torch.stack((blue, red), 1), scale_factor=2, mode="nearest")
    blue, red = chroma.unbind(1)
    # 역변환의 0을 곱하지 않으려고 행렬 대신 풀어 쓴다.
    green = torch.add(luma, blue, alpha=-0.344136).add_(red, alpha=-0.714136)
    colours = (torch.add(luma, red, alpha=1.402), green, torch.add(luma, blue, alpha=1.772))
    result = torch.stack(colours, 1)[..., :height, :width]
    return result.clamp(0, 255).div_(255.0)


def round_to_8bit(images: Tensor) -> Tensor:
    """0..1의 값을 8비트 눈금으로 반올림한다. 파일로 저장했다 읽은 것과 같아진다."""
    return (images * 255.0).round_().clamp_(0, 255).div_(255.0)
