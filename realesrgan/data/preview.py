"""이미지 한 장에 훈련과 똑같은 열화를 하고, 단계마다의 모습과 뽑은 값을 남긴다."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from realesrgan.data.degradations import USM_RADIUS, DegradationRandom, usm_sharpen
from realesrgan.data.kernels import (
    KERNEL_KEYS,
    PADDED_SIZE,
    KernelDraw,
    KernelOptions,
    draw_kernels,
    pad_kernel,
    render_kernel,
)
from realesrgan.data.pipeline import DegradationPlan, Kernels, PipelineOptions, StagePlan, degrade, draw_plan
from realesrgan.data.video_codec import CodecOptions, compress_tensor, describe_codec, draw_codec
from realesrgan.errors import DatasetError, OptionError

# 없어도 되는 커널 옵션.
_OPTIONAL_KERNEL_KEYS = ("blur_kernel_size", "blur_kernel_size2")


@dataclass(frozen=True)
class Recipe:
    """옵션 파일이 정하는 열화.

    Attributes:
        first, second: 두 블러 커널의 옵션.
        final_sinc_prob: 마지막 sinc의 확률.
        pipeline: 나머지 단계의 옵션과 배율.
        sharpen: 훈련이 선명화(USM)한 정답을 열화시키는지.
        codec: 마지막에 거는 비디오 코덱.
        gray: 훈련이 한 채널(회색)인지.
    """

    first: KernelOptions
    second: KernelOptions
    final_sinc_prob: float
    pipeline: PipelineOptions
    sharpen: bool
    codec: CodecOptions = field(default_factory=CodecOptions)
    gray: bool = False

    @classmethod
    def from_options(cls, options: Mapping[str, Any]) -> Recipe:
        """훈련 옵션에서 읽는다.

        Raises:
            OptionError: 이차 열화를 합성하는 훈련의 옵션이 아닐 때.
        """
        train = options["datasets"].get("train") or {}
        missing = [key for key in KERNEL_KEYS if key not in train and key not in _OPTIONAL_KERNEL_KEYS]
        if missing:
            raise OptionError(
                f"열화의 커널 옵션이 없습니다: datasets:train의 {', '.join(missing)}\n"
                "  이차 열화를 합성하는 훈련의 옵션 파일이어야 합니다. 짝 자료의 옵션에는 열화가 없습니다.\n"
                "  해결: options/train_realesrgan_x4plus.yml 같은 파일을 주세요."
            )
        return cls(
            KernelOptions.from_options(train),
            KernelOptions.from_options(train, "2"),
            float(train["final_sinc_prob"]),
            PipelineOptions.from_options(options),
            # RealESRGANModel은 언제나, 다른 모델은 gt_usm을 따라 선명화한 정답을 열화시킨다.
            options["model_type"] == "RealESRGANModel" or bool(options.get("gt_usm", True)),
            CodecOptions.from_options(train),
            (options.get("network_g") or {}).get("num_in_ch") == 1,
        )


@dataclass(frozen=True)
class Stage:
    """열화의 한 단계를 마친 모습.

    Attributes:
        name: 단계의 이름(`pipeline.degrade`의 것과 `gt`, `usm`, `lq`).
        detail: 뽑은 값. 이미지에 적으므로 ASCII다.
        image: `(3, H, W)` RGB float32, 0..1.
    """

    name: str
    detail: str
    image: Tensor


@dataclass(frozen=True)
class Degraded:
    """열화한 이미지 한 장.

    Attributes:
        gt: 배율의 배수로 자른 정답 이미지 `(3, H, W)` RGB float32, 0..1. 선명화하지 않은 것이다.
        lq: 저품질 이미지 `(3, H // scale, W // scale)`, 8비트 눈금에 놓인 0..1.
        stages: `gt`부터 `lq`까지의 단계들.
    """

    gt: Tensor
    lq: Tensor
    stages: tuple[Stage, ...]


def degrade_picture(gt: Tensor, recipe: Recipe, seed: int, index: int, *, sharpen: bool | None = None) -> Degraded:
    """이미지 한 장을 열화시킨다. 같은 씨앗과 번호면 검증 자료와 같은 값을 뽑는다.

    Args:
        gt: `(3, H, W)` RGB나 `(1, H, W)` 회색 float32, 0..1. 오른쪽과 아래를 배율의 배수로 자른다.
        recipe: 열화의 옵션.
        seed: 씨앗(seed).
        index: 이미지의 번호.
        sharpen: 선명화할지. 없으면 훈련이 하는 대로 한다.

    Raises:
        DatasetError: 이미지가 너무 작을 때.
    """
    scale = recipe.pipeline.scale
    gt = _checked(gt, scale)
    random = DegradationRandom.from_seed(seed, index)
    draws = draw_kernels(random.host, recipe.first, recipe.second, recipe.final_sinc_prob)
    padded = (pad_kernel(render_kernel(draw), max(PADDED_SIZE, draw.size)) for draw in draws)
    kernels = Kernels(*(torch.from_numpy(kernel)[None] for kernel in padded))
    stages = [Stage("gt", f"{gt.shape[2]}x{gt.shape[1]} seed={seed} index={index}", gt)]
    base = gt[None]
    if recipe.sharpen if sharpen is None else sharpen:
        base = usm_sharpen(base)
        stages.append(Stage("usm", "radius=50 weight=0.5 threshold=10", base[0]))
    plan = draw_plan(random.host, recipe.pipeline, 1)
    details = describe_plan(plan, draws)
    lq = degrade(
        base,
        kernels,
        plan,
        scale,
        random,
        lambda name, images: stages.append(Stage(name, details[name] + _size(images), images[0].clone())),
    )[0]
    if (draw := draw_codec(random.host, recipe.codec)) is not None:
        lq = compress_tensor(lq, draw)
        stages.append(Stage("codec", describe_codec(draw), lq))
    return Degraded(gt, lq, (*stages, Stage("lq", f"8 bit{_size(lq[None])}", lq)))


def _checked(gt: Tensor, scale: int) -> Tensor:
    height, width = gt.shape[-2:]
    gt = gt[:, : height - height % scale, : width - width % scale]
    smallest = max(USM_RADIUS // 2 + 1, 8 * scale)
    if min(gt.shape[-2:]) < smallest:
        raise DatasetError(
            f"이미지가 너무 작아 열화시킬 수 없습니다: {width}x{height}\n"
            f"  선명화와 블러가 둘레를 반사로 채우므로 두 변이 {smallest}픽셀 이상이어야 합니다.\n"
            "  해결: 더 큰 이미지를 쓰세요."
        )
    return gt


def _size(images: Tensor) -> str:
    return f"\n{images.shape[-1]}x{images.shape[-2]}"


def describe_plan(plan: DegradationPlan, draws: tuple[KernelDraw, KernelDraw, KernelDraw]) -> dict[str, str]:
    """단계의 이름마다 뽑은 값을 적은 ASCII 글."""
    first, second = plan.first, plan.second
    return {
        "blur1": describe_kernel(draws[0]) if plan.first_blur else "no change",
        "resize1": f"{first.mode} x{first.factor:.3f}",
        "noise1": _describe_noise(first),
        "jpeg1": f"quality={first.quality[0]:.1f}" if first.jpeg else "no change",
        "blur2": describe_kernel(draws[1]),
        "resize2": f"{second.mode} size/scale x{second.factor:.3f}",
        "noise2": _describe_noise(second),
        "resize3": f"{plan.final_mode} to size/scale",
        "sinc": describe_kernel(draws[2]),
        "jpeg2": f"quality={second.quality[0]:.1f}" if second.jpeg else "no change",
        "usm2": "radius=50 weight=0.5 threshold=10",
    }


def _describe_noise(plan: StagePlan) -> str:
    if not plan.noise:
        return "no change"
    colour = "gray" if plan.gray[0] else "colour"
    if plan.gaussian:
        return f"gaussian {colour} sigma={plan.strength[0]:.1f}/255"
    return f"poisson {colour} scale={plan.strength[0]:.2f}"


def describe_kernel(draw: KernelDraw) -> str:
    """커널의 종류와 뽑은 값을 적은 ASCII 글."""
    if draw.kind == "pulse":
        return "no change (pulse)"
    if draw.kind == "sinc":
        return f"sinc {draw.size}x{draw.size} cutoff={draw.cutoff / math.pi:.2f}pi"
    text = f"{draw.kind} {draw.size}x{draw.size}\nsigma={draw.sigma_x:.2f}"
    if draw.kind.endswith("aniso"):
        text += f",{draw.sigma_y:.2f} angle={math.degrees(draw.rotation):.0f}"
    if draw.kind.startswith(("generalized", "plateau")):
        text += f" beta={draw.beta:.2f}"
    return text
