"""네트워크와 파일 사이에 끼우는 단계(step). 사진과 비디오에 똑같이 쓰인다.

단계는 `(키운 것, 원본) -> 키운 것`인 함수다. 둘 다 `(N, 3, H, W)` float32 RGB 텐서, 0..1이고 장치에 있으며, 키운 것의
두 변은 원본의 네트워크 배율 배다. 단계를 더하는 사람은 파일 하나에서 `register_step`을 부르면 된다.
"""

from __future__ import annotations

import importlib
import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Protocol

import torch
import torch.nn.functional as F
from torch import Tensor

from realesrgan.archs.base import LUMA
from realesrgan.errors import UsageError
from realesrgan.inference.engines.base import named_memory_error

# Lanczos 창의 반지름(픽셀). Pillow의 LANCZOS와 같다.
LANCZOS_RADIUS = 3


class Step(Protocol):
    """단계 하나. 값이 다른 단계는 `text`도 달라야 한다. 보고서와 비디오의 이어 하기가 그것으로 가린다."""

    @property
    def text(self) -> str:
        """`이름=값`의 글."""
        ...

    @property
    def margin(self) -> int:
        """결과의 한 점이 보는 원본의 반지름(픽셀)."""
        ...

    def __call__(self, enlarged: Tensor, source: Tensor) -> Tensor:
        """키운 것을 고쳐 돌려준다."""
        ...


StepFactory = Callable[[str], Any]
STEPS: dict[str, StepFactory] = {}
# 쓸 때에야 불러올 단계들이 든 모듈. 불러오면 스스로 표에 든다.
_HOMES = {
    "sharpen": "realesrgan.inference.finish",
    "color_fix": "realesrgan.inference.finish",
    "faces": "realesrgan.face.restoration",
}


def register_step(name: str, create: StepFactory) -> None:
    """단계를 표에 더한다.

    Args:
        name: `--steps 이름=값`의 이름.
        create: 값의 글을 받아 단계를 만드는 함수. 값이 없으면 빈 글을 받고, 잘못된 값이면 `UsageError`를 낸다.

    Raises:
        ValueError: 같은 이름이 이미 있을 때.
    """
    if STEPS.get(name, create) is not create:
        raise ValueError(f"같은 이름의 단계가 이미 있습니다: {name}")
    STEPS[name] = create


def parse_steps(wanted: Iterable[Any]) -> tuple[Any, ...]:
    """`이름=값`의 글들을 단계나 이미지 전체를 보는 단계(`finish.WholeStep`)로 바꾼다. 이미 단계인 것은 그대로 둔다.

    Raises:
        UsageError: 모르는 이름이거나, 값이 잘못되었거나, 단계의 모양(`Step`)이 아닐 때.
    """
    steps = []
    for one in (wanted,) if isinstance(wanted, str) else wanted:
        step = _create_step(one) if isinstance(one, str) else one
        if not _is_step(step):
            raise UsageError(
                f"단계로 쓸 수 없습니다: {one!r}\n"
                "  이유: 값을 가리는 글(text)과, 보는 반지름(margin, 0 이상의 정수)이 있어야 합니다.\n"
                "  해결: realesrgan.inference.steps.Step의 모양으로 만드세요."
            )
        steps.append(step)
    return tuple(steps)


def _create_step(written: str) -> Any:
    name, _, value = written.partition("=")
    if name in _HOMES:
        importlib.import_module(_HOMES[name])
    if name not in STEPS:
        names = ", ".join(dict.fromkeys((*STEPS, *_HOMES)))
        raise UsageError(f"모르는 단계입니다: {name}\n  쓸 수 있는 이름: {names}")
    try:
        return STEPS[name](value)
    except (ValueError, TypeError) as error:
        if isinstance(error, UsageError):
            raise
        raise UsageError(
            f"단계 {name}에 쓸 수 없는 값입니다: {value!r}\n  이유: {error}\n  해결: --steps {name}=값의 값을 고치세요."
        ) from error


def _is_step(one: Any) -> bool:
    margin = getattr(one, "margin", None)
    looks = callable(one) and isinstance(margin, int) and margin >= 0
    return isinstance(getattr(one, "text", None), str) and (looks or hasattr(one, "finish"))


@torch.inference_mode()
def apply_steps(steps: Sequence[Step], enlarged: Tensor, source: Tensor) -> Tensor:
    """키운 것을 단계들에 차례로 거친다.

    Args:
        steps: 단계들.
        enlarged: `(N, 3, H*scale, W*scale)` float32.
        source: `(N, 3, H, W)` float32, 0..1.

    Returns:
        `enlarged`와 같은 모양과 자료형.

    Raises:
        UsageError: 단계가 다른 모양의 것이나 NaN, Inf를 낼 때. 그대로 두면 어긋나거나 검은 이미지가 된다.
        OutOfMemoryError: 단계가 쓸 장치 메모리가 모자랄 때. 부른 쪽이 타일을 줄여 다시 한다.
    """
    for step in steps:
        try:
            result = step(enlarged, source)
        except (RuntimeError, MemoryError) as error:
            raise named_memory_error(error) from error
        shape = tuple(result.shape) if isinstance(result, Tensor) else type(result).__name__
        if shape != tuple(enlarged.shape):
            raise UsageError(
                f"단계 {step.text}의 결과가 받은 것과 다른 모양입니다: {tuple(enlarged.shape)} -> {shape}\n"
                "  해결: 단계는 키운 것과 같은 모양의 텐서를 돌려주어야 합니다."
            )
        enlarged = result.to(enlarged)
        if not torch.isfinite(enlarged.sum(dtype=torch.float32)):
            raise UsageError(
                f"단계 {step.text}의 결과에 NaN이나 Inf가 있습니다.\n  해결: 0으로 나누거나 로그를 취하는 곳을 보세요."
            )
    return enlarged


def split_steps(steps: Sequence[Any]) -> tuple[tuple[Step, ...], tuple[Any, ...]]:
    """단계들을 타일마다의 것과 이미지 전체의 것(`finish.WholeStep`)으로 나눈다."""
    whole = tuple(step for step in steps if hasattr(step, "finish"))
    return tuple(step for step in steps if not hasattr(step, "finish")), whole


@dataclass(frozen=True)
class Blend:
    """네트워크의 결과를 Lanczos 확대와 섞는다. 온전한 세기가 이미지를 플라스틱처럼 만든다고 느끼는 사람을 위한 것이다.

    Attributes:
        strength: 네트워크의 몫 0..1. 1이면 네트워크 그대로다.
    """

    strength: float

    @property
    def text(self) -> str:
        """`blend=값`."""
        return f"blend={self.strength:g}"

    @property
    def margin(self) -> int:
        """Lanczos 창의 반지름."""
        return LANCZOS_RADIUS

    def __call__(self, enlarged: Tensor, source: Tensor) -> Tensor:
        """`strength * enlarged + (1 - strength) * lanczos(source)`."""
        if self.strength == 1:
            return enlarged
        smooth = enlarge_lanczos(source, enlarged.shape[-1] // source.shape[-1]).clamp_(0, 1)
        return torch.lerp(smooth, enlarged.clamp(0, 1), self.strength)


def _create_blend(value: str) -> Blend:
    try:
        strength = float(value)
    except ValueError:
        strength = math.nan
    if not 0 <= strength <= 1:
        raise UsageError(f"blend의 값은 0과 1 사이의 수여야 합니다: {value!r}\n  해결: --blend 0.7처럼 주세요.")
    return Blend(strength)


register_step("blend", _create_blend)


@dataclass(frozen=True)
class KeepColour:
    """회색으로 훈련한 네트워크의 결과에 원본의 색을 입힌다. 밝기는 네트워크의 것, 색차는 Lanczos로 키운 원본의 것이다.

    회색 이미지에서는 아무것도 바꾸지 않는다. 그런 모델이면 저절로 가장 먼저 거치므로 이름으로 고르지 않는다.
    """

    margin = LANCZOS_RADIUS
    text = "keep_colour"

    def __call__(self, enlarged: Tensor, source: Tensor) -> Tensor:
        """`enlarged`의 휘도(luma, ITU-R BT.601)와 `source`의 색을 합친다."""
        luma = _luma(source)
        if bool((source == source[:, :1]).all()):
            return enlarged
        colour = enlarge_lanczos(source - luma, enlarged.shape[-1] // source.shape[-1])
        return _luma(enlarged) + colour


def _luma(image: Tensor) -> Tensor:
    return torch.einsum("c,nchw->nhw", image.new_tensor(LUMA), image).unsqueeze(1)


def enlarge_lanczos(image: Tensor, scale: int) -> Tensor:
    """Lanczos 보간(창의 반지름 3)으로 정수 배 키운다. 가장자리 바깥은 가장자리의 값으로 본다.

    Args:
        image: `(N, C, H, W)` 실수.
        scale: 배율, 1 이상.

    Returns:
        `(N, C, H*scale, W*scale)`. 밝기가 급히 바뀌는 곳에서 0..1을 조금 벗어날 수 있다.
    """
    if scale == 1:
        return image
    count, channels, height, width = image.shape
    weights = _phase_weights(scale).to(image)
    planes = F.pad(image.reshape(count * channels, 1, height, width), (LANCZOS_RADIUS,) * 4, mode="replicate")
    # 결과의 자리(phase)마다 무게가 정해져 있으므로 합성곱 하나로 모두 구해 펼친다(pixel shuffle).
    columns = F.conv2d(planes, weights[:, None, None, :])
    rows = F.conv2d(columns.reshape(-1, 1, *columns.shape[-2:]), weights[:, None, :, None])
    phases = rows.reshape(count * channels, scale, scale, height, width).transpose(1, 2)
    enlarged = F.pixel_shuffle(phases.reshape(count * channels, scale**2, height, width), scale)
    return enlarged.reshape(count, channels, height * scale, width * scale)


@lru_cache
def _phase_weights(scale: int) -> Tensor:
    """결과의 자리마다의 무게 `(scale, 2*반지름+1)`, float32. 줄마다 합이 1이다."""
    offsets = torch.arange(-LANCZOS_RADIUS, LANCZOS_RADIUS + 1, dtype=torch.float64)
    centres = (torch.arange(scale, dtype=torch.float64) + 0.5) / scale - 0.5
    distance = offsets[None] - centres[:, None]
    weights = torch.sinc(distance) * torch.sinc(distance / LANCZOS_RADIUS)
    weights = torch.where(distance.abs() < LANCZOS_RADIUS, weights, torch.zeros_like(weights))
    return (weights / weights.sum(dim=1, keepdim=True)).float()
