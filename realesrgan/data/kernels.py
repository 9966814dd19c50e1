"""열화(degradation)에 쓰는 블러 커널(blur kernel). 모양을 뽑는 일과 그리는 일을 나눈다.

식의 출처: 가우시안 계열은 Real-ESRGAN(Wang 2021) 3.1절, sinc는 3.3절, 일반화 가우시안은 Pascal 2013.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from realesrgan.errors import OptionError, TrainingDependencyError

try:
    from scipy.special import j1
except ImportError as _error:
    raise TrainingDependencyError(
        "열화의 커널을 만들 수 없습니다.\n  베셀 함수를 계산하는 scipy가 없습니다. 훈련 패키지와 함께 설치됩니다.\n"
        "  해결: README_KR.md의 '훈련 (Training)'대로 설치하거나 python -m pip install scipy를 실행하세요."
    ) from _error

# 모든 커널은 이 크기로 0을 둘러 한 배치에 쌓는다.
# 데이터셋 블록에서 커널을 정하는 키.
KERNEL_KEYS = (
    *("blur_kernel_size", "kernel_list", "kernel_prob", "sinc_prob", "blur_sigma", "betag_range", "betap_range"),
    *("blur_kernel_size2", "kernel_list2", "kernel_prob2", "sinc_prob2", "blur_sigma2", "betag_range2", "betap_range2"),
    "final_sinc_prob",
)

PADDED_SIZE = 21
SMALLEST_SIZE = 7
GAUSSIAN_KINDS = ("iso", "aniso", "generalized_iso", "generalized_aniso", "plateau_iso", "plateau_aniso")

Kernel = NDArray[np.float64]


@dataclass(frozen=True)
class KernelOptions:
    """커널 하나를 뽑을 때의 확률과 범위.

    Args:
        kinds: 가우시안 계열 커널의 종류. `GAUSSIAN_KINDS`의 부분집합.
        weights: 종류마다의 비중. `kinds`와 길이가 같다.
        sinc_prob: 가우시안 계열 대신 sinc 커널을 뽑을 확률, 0..1.
        sigma: 표준편차의 범위(픽셀).
        betag: 일반화 가우시안의 모양 변수 범위.
        betap: 평탄 커널의 모양 변수 범위.
        max_size: 커널 한 변의 최댓값(픽셀), 홀수. 7부터 이 값까지의 홀수를 고르게 뽑는다.

    Raises:
        OptionError: 종류를 모르거나 길이가 다르거나 크기가 홀수가 아닐 때.
    """

    kinds: tuple[str, ...]
    weights: tuple[float, ...]
    sinc_prob: float
    sigma: tuple[float, float]
    betag: tuple[float, float]
    betap: tuple[float, float]
    max_size: int = PADDED_SIZE

    def __post_init__(self) -> None:
        unknown = [kind for kind in self.kinds if kind not in GAUSSIAN_KINDS]
        if unknown:
            raise OptionError(
                f"모르는 커널 종류입니다: {', '.join(unknown)}\n  쓸 수 있는 종류: {', '.join(GAUSSIAN_KINDS)}\n"
                "  해결: kernel_list의 철자를 고치세요."
            )
        if not self.kinds or len(self.kinds) != len(self.weights):
            raise OptionError(
                f"kernel_list({len(self.kinds)}개)와 kernel_prob({len(self.weights)}개)의 길이가 다르거나 비었습니다.\n"
                "  종류마다 비중이 하나씩 있어야 합니다.\n  해결: 두 목록의 길이를 맞추세요."
            )
        if self.max_size < 1 or self.max_size % 2 == 0:
            raise OptionError(
                f"blur_kernel_size가 홀수가 아닙니다: {self.max_size}\n"
                "  가운데 픽셀이 있어야 이미지가 밀리지 않습니다.\n  해결: 7에서 21 사이의 홀수를 쓰세요."
            )

    @classmethod
    def from_options(cls, options: Mapping[str, Any], suffix: str = "") -> KernelOptions:
        """데이터셋 옵션에서 읽는다. `suffix`가 "2"면 둘째 열화의 키를 읽는다.

        Raises:
            OptionError: 커널의 키가 빠졌을 때.
        """
        missing = [name for name in KERNEL_KEYS if name.endswith("2") == (suffix == "2") and name not in options]
        missing = [name for name in missing if not name.startswith("blur_kernel_size")]
        if missing:
            raise OptionError(
                f"블러 커널의 옵션이 빠졌습니다: {', '.join(missing)}\n"
                f"  열화를 합성하는 데이터셋입니다: {options.get('type', '이름 없음')}. 검증 자료는 훈련 자료의 것을 "
                "물려받지만 훈련 자료에도 없습니다.\n"
                "  해결: options/train_realesrnet_x4plus.yml의 datasets:train에서 커널의 값을 옮겨 적으세요."
            )
        return cls(
            kinds=tuple(options[f"kernel_list{suffix}"]),
            weights=tuple(float(v) for v in options[f"kernel_prob{suffix}"]),
            sinc_prob=float(options[f"sinc_prob{suffix}"]),
            sigma=_pair(options[f"blur_sigma{suffix}"]),
            betag=_pair(options[f"betag_range{suffix}"]),
            betap=_pair(options[f"betap_range{suffix}"]),
            max_size=int(options.get(f"blur_kernel_size{suffix}", PADDED_SIZE)),
        )


def _pair(values: Sequence[float]) -> tuple[float, float]:
    low, high = values
    return float(low), float(high)


class KernelAttributes:
    """원본의 데이터셋처럼 커널의 옵션을 속성으로 내준다: `dataset.kernel_list`, `dataset.betag_range2` 등.

    바꾸면 다음 항목부터 따른다. 이미 태어난 작업자에게는 닿지 않으므로 로더를 다시 만들어야 한다.
    """

    opt: Mapping[str, Any]
    first: KernelOptions
    second: KernelOptions

    def __getattr__(self, name: str) -> Any:
        if name in KERNEL_KEYS:
            return self.opt.get(name, PADDED_SIZE)
        if name == "io_backend_opt":
            return self.opt["io_backend"]
        if name == "gt_folder":
            return self.opt["dataroot_gt"]
        raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")

    def __setattr__(self, name: str, value: Any) -> None:
        if name not in KERNEL_KEYS:
            super().__setattr__(name, value)
            return
        self.opt = {**self.opt, name: value}
        self.first, self.second = KernelOptions.from_options(self.opt), KernelOptions.from_options(self.opt, "2")


@dataclass(frozen=True)
class KernelDraw:
    """뽑아 놓은 커널 하나. 그리면 언제나 같은 커널이 된다.

    Args:
        kind: `GAUSSIAN_KINDS` 가운데 하나, 또는 `sinc`, `pulse`.
        size: 한 변(픽셀), 홀수.
        sigma_x, sigma_y: 두 축의 표준편차(픽셀).
        rotation: 축을 돌린 각(라디안).
        beta: 모양 변수. 1이면 일반화 가우시안이 보통 가우시안이 된다.
        cutoff: sinc의 차단 주파수(cutoff frequency, 라디안), 0 초과 pi 이하.
    """

    kind: str
    size: int
    sigma_x: float = 1.0
    sigma_y: float = 1.0
    rotation: float = 0.0
    beta: float = 1.0
    cutoff: float = math.pi


def _grid(size: int) -> tuple[Kernel, Kernel]:
    axis = np.arange(size, dtype=np.float64) - (size - 1) / 2
    columns, rows = np.meshgrid(axis, axis)
    return columns, rows


def _normalised(kernel: Kernel) -> Kernel:
    return kernel / kernel.sum()


def mahalanobis_squared(size: int, sigma_x: float, sigma_y: float, rotation: float) -> Kernel:
    """공분산 `R diag(sx^2, sy^2) R^T`에 대한 마할라노비스 거리(Mahalanobis distance)의 제곱 `(size, size)`."""
    columns, rows = _grid(size)
    cosine, sine = math.cos(rotation), math.sin(rotation)
    along = (cosine * columns + sine * rows) / sigma_x
    across = (cosine * rows - sine * columns) / sigma_y
    return along**2 + across**2


def gaussian_kernel(size: int, sigma_x: float, sigma_y: float, rotation: float = 0.0, beta: float = 1.0) -> Kernel:
    """일반화 가우시안 커널 `exp(-d^(2 beta) / 2)`, 합이 1인 `(size, size)` float64. Pascal 2013."""
    return _normalised(np.exp(-0.5 * mahalanobis_squared(size, sigma_x, sigma_y, rotation) ** beta))


def plateau_kernel(size: int, sigma_x: float, sigma_y: float, rotation: float = 0.0, beta: float = 1.0) -> Kernel:
    """평탄 커널 `1 / (1 + d^(2 beta))`, 합이 1인 `(size, size)` float64."""
    return _normalised(1.0 / (1.0 + mahalanobis_squared(size, sigma_x, sigma_y, rotation) ** beta))


def sinc_kernel(size: int, cutoff: float) -> Kernel:
    """원형 저역 통과(sinc) 커널 `w J1(w r) / (2 pi r)`, 합이 1인 `(size, size)` float64. Real-ESRGAN 3.3절."""
    columns, rows = _grid(size)
    radius = np.hypot(columns, rows)
    centre = radius == 0
    safe = np.where(centre, 1.0, radius)
    values = np.where(centre, cutoff**2 / (4 * math.pi), cutoff * j1(cutoff * safe) / (2 * math.pi * safe))
    return _normalised(values)


def pulse_kernel(size: int = PADDED_SIZE) -> Kernel:
    """이미지를 바꾸지 않는 단위 펄스(pulse) 커널 `(size, size)` float64."""
    kernel = np.zeros((size, size))
    kernel[size // 2, size // 2] = 1.0
    return kernel


def render_kernel(draw: KernelDraw) -> Kernel:
    """뽑은 값대로 커널 `(size, size)` float64를 그린다. 합은 1이다.

    Raises:
        ValueError: `draw.kind`를 모를 때.
    """
    if draw.kind == "sinc":
        return sinc_kernel(draw.size, draw.cutoff)
    if draw.kind == "pulse":
        return pulse_kernel(draw.size)
    if draw.kind not in GAUSSIAN_KINDS:
        raise ValueError(f"모르는 커널 종류입니다: {draw.kind}")
    shape = plateau_kernel if draw.kind.startswith("plateau") else gaussian_kernel
    return shape(draw.size, draw.sigma_x, draw.sigma_y, draw.rotation, draw.beta)


def draw_kernels(
    rng: np.random.Generator, first: KernelOptions, second: KernelOptions, final_sinc_prob: float
) -> tuple[KernelDraw, KernelDraw, KernelDraw]:
    """한 장에 쓸 두 블러 커널과 마지막 sinc를 뽑는다."""
    return draw_kernel(rng, first), draw_kernel(rng, second), draw_final_sinc(rng, final_sinc_prob)


def pad_kernel(kernel: Kernel, size: int = PADDED_SIZE) -> NDArray[np.float32]:
    """커널 둘레에 0을 채워 `(size, size)` float32로 만든다."""
    margin = (size - kernel.shape[0]) // 2
    return np.pad(kernel, margin).astype(np.float32)


def _draw_size(rng: np.random.Generator, max_size: int) -> int:
    sizes = range(SMALLEST_SIZE, max_size + 1, 2) or range(max_size, max_size + 1)
    return sizes[int(rng.integers(len(sizes)))]


def _draw_beta(rng: np.random.Generator, bounds: tuple[float, float]) -> float:
    # 1을 경계로 반은 뾰족하게, 반은 뭉툭하게 뽑는다.
    return float(rng.uniform(bounds[0], 1.0) if rng.random() < 0.5 else rng.uniform(1.0, bounds[1]))


def draw_sinc(rng: np.random.Generator, size: int, lowest: float) -> KernelDraw:
    """차단 주파수를 `lowest..pi`에서 고르게 뽑은 sinc 커널."""
    return KernelDraw("sinc", size, cutoff=float(rng.uniform(lowest, math.pi)))


def draw_kernel(rng: np.random.Generator, options: KernelOptions) -> KernelDraw:
    """한 번의 열화에 쓸 블러 커널을 뽑는다.

    크기는 홀수에서 고르게, 종류는 비중대로, 나머지는 범위 안에서 고르게 뽑는다. 비등방(anisotropic) 종류만 두 축과
    각도 `-pi..pi`를 따로 뽑는다.
    """
    size = _draw_size(rng, options.max_size)
    if rng.random() < options.sinc_prob:
        # 작은 커널에서 차단 주파수가 너무 낮으면 물결(ringing)이 커널 밖으로 잘린다.
        return draw_sinc(rng, size, math.pi / 3 if size < 13 else math.pi / 5)
    weights = np.asarray(options.weights, dtype=np.float64)
    kind = options.kinds[int(rng.choice(len(weights), p=weights / weights.sum()))]
    sigma_x = float(rng.uniform(*options.sigma))
    sigma_y, rotation, beta = sigma_x, 0.0, 1.0
    if kind.endswith("aniso"):
        sigma_y = float(rng.uniform(*options.sigma))
        rotation = float(rng.uniform(-math.pi, math.pi))
    if kind.startswith("generalized"):
        beta = _draw_beta(rng, options.betag)
    elif kind.startswith("plateau"):
        beta = _draw_beta(rng, options.betap)
    return KernelDraw(kind, size, sigma_x, sigma_y, rotation, beta)


def draw_final_sinc(rng: np.random.Generator, probability: float) -> KernelDraw:
    """마지막 sinc 커널을 뽑는다. `probability`의 여집합에서는 아무것도 하지 않는 펄스다."""
    if rng.random() >= probability:
        return KernelDraw("pulse", PADDED_SIZE)
    return draw_sinc(rng, _draw_size(rng, PADDED_SIZE), math.pi / 3)
