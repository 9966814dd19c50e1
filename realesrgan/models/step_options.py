"""훈련 한 걸음을 다듬는 옵션들. 모두 끄면 계산이 BasicSR과 같다."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torch.utils.checkpoint import checkpoint

from realesrgan.errors import OptionError

AMP_TYPES = {"bf16": torch.bfloat16, "fp16": torch.float16}
# 옵션 파일의 train 블록에서 이 자료형이 읽는 키.
STEP_KEYS = ("amp", "channels_last", "compile", "grad_checkpoint", "grad_clip", "accumulate", "max_nonfinite")


@dataclass(frozen=True)
class StepOptions:
    """한 걸음의 선택들.

    Args:
        amp: 혼합 정밀도(AMP)의 자료형. `bf16`, `fp16`, 또는 None.
        channels_last: 네트워크와 입력을 channels_last로 둘지. 셈은 같고 놓인 순서만 바뀌어 반올림만큼 다르다.
        compile: `torch.compile`을 쓸지.
        grad_checkpoint: 몸통 블록의 중간값을 다시 계산해 메모리를 아낄지(그래디언트 체크포인팅).
        grad_clip: 그래디언트 노름의 상한. None이면 자르지 않는다.
        accumulate: 배치를 몇 토막으로 나누어 그래디언트를 모을지. 배치 크기의 약수여야 한다.
        max_nonfinite: 손실이 잇달아 이만큼 유한하지 않으면 멈춘다.

    Raises:
        OptionError: 값이 범위를 벗어날 때.
    """

    amp: str | None = None
    channels_last: bool = False
    compile: bool = False
    grad_checkpoint: bool = False
    grad_clip: float | None = None
    accumulate: int = 1
    max_nonfinite: int = 10

    def __post_init__(self) -> None:
        problems = {
            f"amp는 {', '.join(AMP_TYPES)} 가운데 하나이거나 비워야 합니다": self.amp not in (None, *AMP_TYPES),
            "grad_clip은 0보다 커야 합니다": self.grad_clip is not None and not self.grad_clip > 0,
            "accumulate는 1 이상이어야 합니다": self.accumulate < 1,
            "max_nonfinite는 1 이상이어야 합니다": self.max_nonfinite < 1,
        }
        wrong = [text for text, is_wrong in problems.items() if is_wrong]
        if wrong:
            raise OptionError(
                f"train 블록의 값이 잘못됐습니다.\n  {'; '.join(wrong)}.\n"
                "  해결: options/options_context.md의 표를 보고 고치세요."
            )

    @classmethod
    def from_options(cls, train: Mapping[str, Any], on_cpu: bool = False) -> StepOptions:
        """옵션의 `train` 블록에서 읽는다.

        적지 않은 `channels_last`는 CPU와 혼합 정밀도에서 켠다. CUDA의 fp32에서는 빠르다고 재어 보지 못해 켜지 않는다.
        """
        given = {key: train[key] for key in STEP_KEYS if train.get(key) is not None}
        return cls(**{"channels_last": on_cpu or "amp" in given} | given)


def checkpoint_blocks(network: nn.Module) -> int:
    """네트워크가 `checkpointed_blocks()`로 알려 주는 블록마다 그래디언트 체크포인팅을 건다.

    Returns:
        건 블록의 수.

    Raises:
        OptionError: 알려 주는 블록이 없을 때.
    """
    finders = [getattr(module, "checkpointed_blocks", None) for module in network.modules()]
    # 다른 네트워크를 감싼 네트워크가 안쪽의 것을 그대로 알려 주어도 한 번만 건다.
    blocks = list(dict.fromkeys(block for find in finders if callable(find) for block in find()))
    if not blocks:
        raise OptionError(
            f"train.grad_checkpoint를 쓸 수 없는 네트워크입니다: {type(network).__name__}\n"
            "  중간값을 다시 계산할 블록을 알려 주는 메서드 checkpointed_blocks()가 없습니다.\n"
            "  해결: train.grad_checkpoint를 지우거나, 네트워크에 블록들을 돌려주는 checkpointed_blocks()를 더하세요."
        )
    for block in blocks:
        # 클래스가 아니라 이 인스턴스의 forward만 감싸므로 키 이름과 다른 네트워크는 그대로다.
        block.forward = functools.partial(checkpoint, block.forward, use_reentrant=False)
    return len(blocks)
