"""이차 열화(second-order degradation) 파이프라인. 두 모델과 도구가 함께 쓰는 하나뿐인 구현이다.

열화는 뽑기(`draw_plan`)와 하기(`degrade`)로 나뉜다. 뽑아 놓은 계획은 값일 뿐이므로 저장하고, 견주고, 다시 쓸 수 있다.
순서와 범위는 Real-ESRGAN(Wang 2021) 3.2절과 3.3절, 이미지 2를 따른다.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from realesrgan.data.degradations import (
    DegradationRandom,
    filter2d,
    gaussian_noise,
    jpeg_compress,
    poisson_noise,
    round_to_8bit,
    usm_sharpen,
)
from realesrgan.errors import OptionError

RESIZE_MODES = ("area", "bilinear", "bicubic")
STAGE_KEYS = (
    "resize_prob",
    "resize_range",
    "gaussian_noise_prob",
    "noise_range",
    "poisson_scale_range",
    "gray_noise_prob",
    "jpeg_range",
)
# 옵션 파일의 맨 위에서 파이프라인이 꼭 읽어야 하는 키 모두.
PIPELINE_KEYS = (*STAGE_KEYS, *(f"{key}2" for key in STAGE_KEYS), "second_blur_prob")
# 적지 않으면 레시피 그대로인 키.
STEP_CHOICES = ("resize_modes", "noise_prob", "jpeg_prob")
EXTRA_PIPELINE_KEYS = ("first_blur_prob", *STEP_CHOICES, *(f"{key}2" for key in STEP_CHOICES), "lq_usm_prob")


@dataclass(frozen=True)
class StageOptions:
    """열화 한 차례의 확률과 범위.

    Args:
        resize_prob: 키움, 줄임, 그대로의 비중.
        resize_range: 가장 작은 배율과 가장 큰 배율.
        gaussian_prob: 가우시안 잡음을 쓸 확률. 나머지는 푸아송 잡음이다.
        noise_range: 가우시안 잡음의 표준편차 범위, 0..255 눈금.
        poisson_range: 푸아송 잡음의 배수 범위.
        gray_prob: 장마다 회색 잡음일 확률.
        jpeg_range: JPEG 품질의 범위, 1..100.
        resize_modes: 크기를 바꾸는 방식들. 고르게 뽑는다.
        noise_prob: 잡음을 더할 확률, 배치마다 뽑는다.
        jpeg_prob: JPEG로 누를 확률, 배치마다 뽑는다.
    """

    resize_prob: tuple[float, float, float]
    resize_range: tuple[float, float]
    gaussian_prob: float
    noise_range: tuple[float, float]
    poisson_range: tuple[float, float]
    gray_prob: float
    jpeg_range: tuple[float, float]
    resize_modes: tuple[str, ...] = RESIZE_MODES
    noise_prob: float = 1.0
    jpeg_prob: float = 1.0

    @classmethod
    def from_options(cls, options: Mapping[str, Any], suffix: str = "") -> StageOptions:
        """옵션 파일의 맨 위 키에서 읽는다.

        Raises:
            OptionError: 필요한 키가 없을 때.
        """
        missing = [key + suffix for key in STAGE_KEYS if key + suffix not in options]
        if missing:
            raise OptionError(
                f"열화 옵션이 빠졌습니다: {', '.join(missing)}\n"
                "  이차 열화를 합성하려면 두 차례의 값이 모두 있어야 합니다.\n"
                "  해결: options/train_realesrnet_x4plus.yml의 값을 옮겨 적거나, 짝이 있는 자료라면 "
                "high_order_degradation: false로 두세요."
            )
        values = [options[key + suffix] for key in STAGE_KEYS]
        up, down, keep = (float(v) for v in values[0])
        pairs = [(float(values[i][0]), float(values[i][1])) for i in (1, 3, 4, 6)]
        chances = [options.get(f"{key}{suffix}") for key in ("noise_prob", "jpeg_prob")]
        return cls(
            *((up, down, keep), pairs[0], float(values[2]), pairs[1], pairs[2], float(values[5]), pairs[3]),
            tuple(options.get(f"resize_modes{suffix}") or RESIZE_MODES),
            *(1.0 if one is None else float(one) for one in chances),
        )


@dataclass(frozen=True)
class PipelineOptions:
    """열화 전체의 옵션.

    Args:
        first, second: 두 차례의 옵션.
        second_blur_prob: 둘째 블러를 할 확률.
        scale: 정답과 저품질 이미지의 배율.
        first_blur_prob: 첫 블러를 할 확률.
        lq_usm_prob: 마지막에 LQ를 선명화할 확률. 지나치게 선명화한 사진과 비디오를 흉내 낸다.
    """

    first: StageOptions
    second: StageOptions
    second_blur_prob: float
    scale: int
    first_blur_prob: float = 1.0
    lq_usm_prob: float = 0.0

    @classmethod
    def from_options(cls, options: Mapping[str, Any]) -> PipelineOptions:
        """옵션 파일의 맨 위 키에서 읽는다.

        Raises:
            OptionError: 필요한 키가 없을 때.
        """
        first, second = StageOptions.from_options(options), StageOptions.from_options(options, "2")
        if "second_blur_prob" not in options:
            raise OptionError(
                "열화 옵션이 빠졌습니다: second_blur_prob\n  둘째 블러를 할 확률을 알 수 없습니다.\n"
                "  해결: 옵션 파일에 second_blur_prob: 0.8을 적으세요."
            )
        blur, usm = options.get("first_blur_prob"), options.get("lq_usm_prob")
        return cls(
            *(first, second, float(options["second_blur_prob"]), int(options.get("scale", 1))),
            1.0 if blur is None else float(blur),
            0.0 if usm is None else float(usm),
        )


@dataclass(frozen=True)
class StagePlan:
    """열화 한 차례에서 뽑은 값. 배율과 방식과 할지 말지는 배치마다, 튜플은 장마다의 값이다."""

    factor: float
    mode: str
    gaussian: bool
    strength: tuple[float, ...]
    gray: tuple[bool, ...]
    quality: tuple[float, ...]
    noise: bool = True
    jpeg: bool = True


@dataclass(frozen=True)
class DegradationPlan:
    """열화 전체에서 뽑은 값. `jpeg_last`가 참이면 크기를 맞추고 sinc를 건 다음 JPEG로 누른다."""

    first: StagePlan
    second: StagePlan
    second_blur: bool
    jpeg_last: bool
    final_mode: str
    first_blur: bool = True
    lq_usm: bool = False


def _draw_mode(rng: np.random.Generator, modes: tuple[str, ...] = RESIZE_MODES) -> str:
    return modes[int(rng.integers(len(modes)))]


def _chance(rng: np.random.Generator, probability: float) -> bool:
    """일어날지. 언제나와 결코에는 난수를 쓰지 않아, 켜지 않은 옵션이 레시피의 난수열을 움직이지 않는다."""
    return probability >= 1 or (probability > 0 and bool(rng.random() < probability))


def _draw_factor(rng: np.random.Generator, options: StageOptions) -> float:
    weights = np.asarray(options.resize_prob)
    choice = int(rng.choice(3, p=weights / weights.sum()))
    if choice == 2:
        return 1.0
    # 범위가 1의 한쪽에만 있어도 원본처럼 1과 그 끝 사이에서 뽑는다.
    low, high = sorted((1.0, options.resize_range[1 - choice]))
    return float(rng.uniform(low, high))


def _draw_stage(rng: np.random.Generator, options: StageOptions, batch: int) -> StagePlan:
    factor, mode = _draw_factor(rng, options), _draw_mode(rng, options.resize_modes)
    gaussian = bool(rng.random() < options.gaussian_prob)
    strength = rng.uniform(*(options.noise_range if gaussian else options.poisson_range), size=batch)
    gray = rng.random(batch) < options.gray_prob
    quality = rng.uniform(*options.jpeg_range, size=batch)
    noise, jpeg = _chance(rng, options.noise_prob), _chance(rng, options.jpeg_prob)
    drawn = tuple(strength.tolist()), tuple(gray.tolist()), tuple(quality.tolist())
    return StagePlan(factor, mode, gaussian, *drawn, noise=noise, jpeg=jpeg)


def draw_plan(rng: np.random.Generator, options: PipelineOptions, batch: int) -> DegradationPlan:
    """배치 하나의 열화에 쓸 값을 모두 뽑는다. 픽셀마다의 잡음만 나중에 만든다."""
    first = _draw_stage(rng, options.first, batch)
    second_blur = bool(rng.random() < options.second_blur_prob)
    second = _draw_stage(rng, options.second, batch)
    jpeg_last, mode = bool(rng.random() < 0.5), _draw_mode(rng)
    blur, usm = _chance(rng, options.first_blur_prob), _chance(rng, options.lq_usm_prob)
    return DegradationPlan(first, second, second_blur, jpeg_last, mode, blur, usm)


def resize(images: Tensor, size: tuple[int, int], mode: str) -> Tensor:
    """`(B, C, H, W)`를 `size`로 바꾼다. 훈련의 열화가 그렇듯 계단 제거(antialias)는 하지 않는다."""
    if tuple(images.shape[-2:]) == size:
        # 크기가 같으면 세 방식 모두 입력을 그대로 내므로 계산을 아낀다.
        return images
    return F.interpolate(images, size=size, mode=mode)


def _rescale(images: Tensor, factor: float, mode: str) -> Tensor:
    if factor == 1.0:
        return images
    if min(images.shape[-2:]) * factor < 1:
        # 작은 검증 이미지를 크게 줄이면 한 픽셀도 남지 않는다.
        height, width = (max(int(side * factor), 1) for side in images.shape[-2:])
        return F.interpolate(images, size=(height, width), mode=mode)
    return F.interpolate(images, scale_factor=factor, mode=mode)


def _add_noise(images: Tensor, plan: StagePlan, random: DegradationRandom) -> Tensor:
    if not plan.noise:
        return images.clamp(0, 1)
    make = gaussian_noise if plan.gaussian else poisson_noise
    strength = torch.tensor(plan.strength, device=images.device)
    gray = torch.tensor(plan.gray, device=images.device, dtype=torch.float32)
    return make(images, strength, gray, random).add_(images).clamp_(0, 1)


def _compress(images: Tensor, plan: StagePlan) -> Tensor:
    if not plan.jpeg:
        return images.clamp(0, 1)
    return jpeg_compress(images.clamp(0, 1), torch.tensor(plan.quality, device=images.device))


@dataclass(frozen=True)
class Kernels:
    """배치 하나의 커널. 셋 다 `(B, K, K)` float32이고 합은 1이다."""

    first: Tensor
    second: Tensor
    final: Tensor

    @classmethod
    def from_batch(cls, data: Mapping[str, Tensor], device: torch.device | str) -> Kernels:
        """데이터 로더가 준 배치에서 커널 셋을 꺼내 `device`로 옮긴다.

        Raises:
            OptionError: 배치에 커널이 없을 때. 짝 자료를 합성하는 훈련에 넣은 것이다.
        """
        missing = [name for name in ("kernel1", "kernel2", "sinc_kernel") if name not in data]
        if missing:
            raise OptionError(
                f"배치에 블러 커널이 없습니다: {', '.join(missing)}\n"
                f"  데이터셋이 준 것은 {', '.join(data)}입니다. 짝 자료라면 열화를 합성하지 않아야 합니다.\n"
                "  해결: 옵션 파일의 맨 위에 한 줄을 더하세요.\n    high_order_degradation: false"
            )
        return cls(*(data[name].to(device, non_blocking=True) for name in ("kernel1", "kernel2", "sinc_kernel")))


# 단계의 이름과 그 단계를 마친 `(B, 3, H, W)`를 받는다. 받은 텐서를 바꾸면 안 된다.
Watch = Callable[[str, Tensor], None]


def _unwatched(_stage: str, _images: Tensor) -> None:
    """훈련에서는 단계를 보지 않는다."""


@torch.no_grad()
def degrade(
    sharp: Tensor,
    kernels: Kernels,
    plan: DegradationPlan,
    scale: int,
    random: DegradationRandom,
    watch: Watch = _unwatched,
) -> Tensor:
    """정답 이미지(GT)에서 저품질 이미지(LQ)를 만든다.

    차례: 블러, 크기 바꾸기, 잡음, JPEG, 다시 블러, 크기 바꾸기, 잡음, 그리고 (크기 맞추기와 sinc)와 JPEG를 두 순서
    가운데 하나로. 끝은 8비트로 반올림한다.

    Args:
        sharp: `(B, 3, H, W)` RGB float32, 0..1. 선명화를 쓰는 레시피면 이미 선명화한 것.
        kernels: 배치의 커널.
        plan: `draw_plan`이 뽑은 값.
        scale: 업스케일 배율. LQ의 변은 `H // scale`, `W // scale`이다.
        random: 잡음의 샘.
        watch: 단계마다 불린다. 이름은 차례대로 `blur1`, `resize1`, `noise1`, `jpeg1`, (있으면) `blur2`, `resize2`,
            `noise2`, 그리고 `resize3`·`sinc`와 `jpeg2`가 계획의 순서로, (있으면) `usm2`가 마지막에 온다.

    Returns:
        `(B, 3, H // scale, W // scale)` float32, 8비트 눈금에 놓인 0..1.
    """

    def seen(stage: str, images: Tensor) -> Tensor:
        watch(stage, images)
        return images

    def shrink(images: Tensor) -> Tensor:
        fitted = seen("resize3", resize(images, target, plan.final_mode))
        return seen("sinc", filter2d(fitted, kernels.final))

    height, width = sharp.shape[-2:]
    target = (height // scale, width // scale)
    out = seen("blur1", filter2d(sharp, kernels.first) if plan.first_blur else sharp)
    out = seen("resize1", _rescale(out, plan.first.factor, plan.first.mode))
    out = seen("noise1", _add_noise(out, plan.first, random))
    out = seen("jpeg1", _compress(out, plan.first))
    if plan.second_blur:
        out = seen("blur2", filter2d(out, kernels.second))
    middle = (
        max(int(height / scale * plan.second.factor), 1),
        max(int(width / scale * plan.second.factor), 1),
    )
    out = seen("resize2", resize(out, middle, plan.second.mode))
    out = seen("noise2", _add_noise(out, plan.second, random))
    if plan.jpeg_last:
        out = seen("jpeg2", _compress(shrink(out), plan.second))
    else:
        out = shrink(seen("jpeg2", _compress(out, plan.second)))
    if plan.lq_usm:
        out = seen("usm2", usm_sharpen(out.clamp(0, 1)))
    return round_to_8bit(out)


@torch.no_grad()
def synthesise(
    gt: Tensor, kernels: Kernels, options: PipelineOptions, random: DegradationRandom, sharpen: bool = True
) -> tuple[Tensor, Tensor]:
    """정답 이미지를 (원하면) 선명화하고 그것을 열화시킨다.

    Args:
        gt: `(B, 3, H, W)` RGB float32, 0..1.
        kernels: 배치의 커널.
        options: 열화 옵션.
        random: 난수의 샘.
        sharpen: 선명화한 GT를 열화시킬지.

    Returns:
        열화의 바탕이 된 GT `(B, 3, H, W)`와 LQ `(B, 3, H // scale, W // scale)`.
    """
    base = usm_sharpen(gt) if sharpen else gt
    plan = draw_plan(random.host, options, gt.shape[0])
    return base, degrade(base, kernels, plan, options.scale, random)


def random_crop(
    gts: tuple[Tensor, ...], lq: Tensor, gt_size: int, scale: int, rng: np.random.Generator
) -> tuple[tuple[Tensor, ...], Tensor]:
    """배치 전체를 같은 자리에서 자른다.

    Args:
        gts: 같은 크기의 `(B, 3, H, W)` 여럿.
        lq: `(B, 3, H // scale, W // scale)`.
        gt_size: GT 조각의 한 변(픽셀).
        scale: 업스케일 배율.
        rng: 자리를 뽑는 난수.

    Returns:
        잘린 GT들과 LQ. 변은 각각 `gt_size`, `gt_size // scale`이다.

    Raises:
        OptionError: 조각이 이미지보다 클 때.
    """
    patch = gt_size // scale
    height, width = lq.shape[-2:]
    if patch > height or patch > width:
        raise OptionError(
            f"gt_size({gt_size})가 이미지({height * scale}x{width * scale})보다 큽니다.\n"
            "  열화를 마친 이미지에서 그만한 조각을 잘라 낼 수 없습니다.\n"
            "  해결: gt_size를 줄이거나 데이터셋의 crop_size를 키우세요."
        )
    top, left = int(rng.integers(height - patch + 1)), int(rng.integers(width - patch + 1))
    rows, columns = slice(top * scale, top * scale + gt_size), slice(left * scale, left * scale + gt_size)
    cropped = tuple(one[..., rows, columns] for one in gts)
    return cropped, lq[..., top : top + patch, left : left + patch]
