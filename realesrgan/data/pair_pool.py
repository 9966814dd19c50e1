"""훈련 쌍 풀(pair pool). 배치 안의 열화를 섞는다."""

from __future__ import annotations

import logging
from typing import Any

import numpy as np
import torch
from torch import Tensor

from realesrgan.errors import OptionError

LOGGER = logging.getLogger("basicsr")


class PairPool:
    """(LQ, GT) 쌍을 모았다가 아무 쌍이나 내주는 쌍 풀. Real-ESRGAN 3.4절.

    크기와 잡음의 종류는 배치마다 한 번 뽑으므로 한 배치의 열화는 서로 닮는다. 쌍 풀이 차면 들어온 쌍을 넣고 그 자리에
    있던 쌍을 내주어, 여러 배치의 열화가 한 배치에 섞이게 한다. 차기 전에는 들어온 쌍을 그대로 돌려준다.

    Args:
        size: 담는 쌍의 수. 배치 크기로 나누어떨어져야 한다.
    """

    def __init__(self, size: int) -> None:
        self.size = size
        self.filled = 0
        self._lq: Tensor | None = None
        self._gt: Tensor | None = None

    @torch.no_grad()
    def exchange(self, lq: Tensor, gt: Tensor, rng: np.random.Generator) -> tuple[Tensor, Tensor]:
        """들어온 쌍을 넣고 같은 수의 쌍을 꺼낸다.

        Args:
            lq: `(B, C, h, w)` float32.
            gt: `(B, C, H, W)` float32.
            rng: 내줄 자리를 뽑는 난수.

        Returns:
            같은 모양의 (LQ, GT). 쌍 풀의 것과 메모리를 나누지 않는다.

        Raises:
            OptionError: `size`가 배치 크기로 나누어떨어지지 않을 때.
        """
        batch = lq.shape[0]
        if self.size % batch:
            raise OptionError(
                f"queue_size({self.size})가 배치 크기({batch})로 나누어떨어지지 않습니다.\n"
                "  쌍 풀을 배치 단위로 채우므로 남는 자리가 생깁니다.\n"
                "  해결: queue_size를 batch_size_per_gpu의 배수로 바꾸세요."
            )
        if self._gt is not None and self._gt.shape[1:] != gt.shape[1:]:
            LOGGER.info(
                "조각의 크기가 바뀌어 쌍 풀을 비웁니다: %s에서 %s로", tuple(self._gt.shape[1:]), tuple(gt.shape[1:])
            )
            self.filled, self._lq, self._gt = 0, None, None
        if self._lq is None or self._gt is None:
            self._lq, self._gt = lq.new_zeros(self.size, *lq.shape[1:]), gt.new_zeros(self.size, *gt.shape[1:])
        if self.filled < self.size:
            # 이어 하며 배치 크기를 바꾸었으면 마지막 자리가 배치보다 적을 수 있다.
            slots = slice(self.filled, min(self.filled + batch, self.size))
            count = slots.stop - slots.start
            self._lq[slots], self._gt[slots] = lq[:count], gt[:count]
            self.filled = slots.stop
            return lq.clone(), gt.clone()
        # 전체를 뒤섞어 앞의 B개를 꺼내는 것과 분포가 같으면서 B개만 옮긴다.
        chosen = torch.from_numpy(rng.choice(self.size, batch, replace=False)).to(self._lq.device)
        out = self._lq[chosen], self._gt[chosen]
        self._lq[chosen], self._gt[chosen] = lq, gt
        return out

    def resize(self, size: int) -> None:
        """담는 쌍의 수를 바꾼다. 이미 담은 쌍은 들어가는 만큼 남긴다."""
        kept = min(self.filled, size)
        if self._lq is not None and self._gt is not None:
            old = self._lq[:kept], self._gt[:kept]
            self._lq, self._gt = (one.new_zeros(size, *one.shape[1:]) for one in old)
            self._lq[:kept], self._gt[:kept] = old
        self.size, self.filled = size, kept

    def state_dict(self) -> dict[str, Any]:
        """쌍 풀의 내용. 8비트 눈금에 놓인 값은 손실 없이 네 배 작은 정수로 담는다."""
        stored = None if self._lq is None or self._gt is None else (_pack(self._lq), _pack(self._gt))
        return {"size": self.size, "filled": self.filled, "pairs": stored}

    def load_state_dict(self, state: dict[str, Any], device: torch.device | str = "cpu") -> None:
        """`state_dict`의 내용으로 되돌린다."""
        self.size, self.filled = int(state["size"]), int(state["filled"])
        self._lq = self._gt = None
        if state["pairs"] is not None:
            self._lq, self._gt = (_unpack(one).to(device) for one in state["pairs"])


def _pack(values: Tensor) -> Tensor:
    levels = (values * 255.0).round().clamp(0, 255).to(torch.uint8)
    if torch.equal(levels.to(values.dtype) / 255.0, values):
        return levels.cpu()
    return values.cpu().clone()


def _unpack(values: Tensor) -> Tensor:
    return values.float() / 255.0 if values.dtype == torch.uint8 else values.clone()
