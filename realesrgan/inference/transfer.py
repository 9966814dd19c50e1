"""장치에서 호스트로 결과를 내린다. CUDA에서는 내리는 일이 다음 계산과 겹친다."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache
from typing import Any, Generic, TypeVar, overload

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

Item = TypeVar("Item")


class Download:
    """내려오는 중인 텐서들.

    계산과 다른 흐름(stream)에서 고정된(pinned) 메모리로 복사하고 기다리지 않는다. 부른 쪽은 그동안 다음 계산을 시작할
    수 있다.

    Args:
        tensors: CUDA 장치 하나에 놓인 텐서들. 지금의 흐름에서 계산하던 것이면 그 계산이 끝난 다음에 복사한다.
    """

    def __init__(self, tensors: Sequence[Tensor]) -> None:
        device = tensors[0].device
        side = _copy_stream(device)
        side.wait_stream(torch.cuda.current_stream(device))
        with torch.cuda.stream(side):
            self._host = [_pinned_like(tensor) for tensor in tensors]
            for host, tensor in zip(self._host, tensors, strict=True):
                host.copy_(tensor, non_blocking=True)
                # 복사가 끝나기 전에 이 자리를 다음 계산에 내주지 않게 한다.
                tensor.record_stream(side)
            self._done: Any = torch.cuda.Event()
            self._done.record(side)

    def arrays(self) -> list[NDArray[Any]]:
        """다 내려올 때까지 기다려 배열로 돌려준다. 여러 번 불러도 같은 것이다."""
        self._done.synchronize()
        return [tensor.numpy() for tensor in self._host]


@lru_cache
def _copy_stream(device: torch.device) -> Any:
    """그 장치에서 내리는 일만 하는 흐름."""
    return torch.cuda.Stream(device)


def _pinned_like(tensor: Tensor) -> Tensor:
    return torch.empty(tensor.shape, dtype=tensor.dtype, pin_memory=True)


class Pending(Sequence[Item], Generic[Item]):
    """수는 알지만 값은 처음 읽을 때 정해지는 목록. 여러 스레드가 읽어도 한 번만 정한다.

    Args:
        count: 값의 수.
        finish: 값들을 내는 함수. 처음 읽는 스레드에서 한 번 불린다.
    """

    def __init__(self, count: int, finish: Callable[[], list[Item]]) -> None:
        self._count = count
        self._finish: Callable[[], list[Item]] | None = finish
        self._items: list[Item] = []
        self._lock = threading.Lock()

    def _resolved(self) -> list[Item]:
        with self._lock:
            if self._finish is not None:
                self._items = self._finish()
                self._finish = None
            return self._items

    def __len__(self) -> int:
        return self._count

    @overload
    def __getitem__(self, index: int) -> Item: ...

    @overload
    def __getitem__(self, index: slice) -> list[Item]: ...

    def __getitem__(self, index: int | slice) -> Item | list[Item]:
        return self._resolved()[index]

    def __iter__(self) -> Iterator[Item]:
        return iter(self._resolved())


def split_frames(arrays: Sequence[NDArray[Any]], count: int) -> list[tuple[NDArray[Any], ...]]:
    """평면마다 모은 `(N, h, w)`를 프레임마다의 평면들로 나눈다."""
    return [tuple(np.ascontiguousarray(plane[index]) for plane in arrays) for index in range(count)]
