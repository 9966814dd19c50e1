"""이어 하기(resume)를 아는 샘플러(sampler). 항목의 난수를 정하는 열쇠를 함께 나른다."""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from torch.utils.data import Sampler

from realesrgan.errors import DatasetError


class ItemKey(NamedTuple):
    """데이터셋 항목 하나를 가리키는 열쇠. 번호와 그 항목의 난수를 정하는 네 정수.

    난수가 이 값들만의 함수이므로 작업자(worker) 수나 미리 읽기(prefetch)가 달라도 같은 항목이 나온다.
    """

    item: int
    seed: int
    rank: int
    epoch: int
    position: int


def split_key(key: int | ItemKey) -> tuple[int, np.random.Generator]:
    """열쇠에서 번호와 난수기를 꺼낸다.

    평범한 정수면(BasicSR의 로더) 그 로더가 작업자마다 씨앗을 심어 둔 파이썬 난수에서 씨앗을 얻는다.
    """
    if isinstance(key, ItemKey):
        return key.item, np.random.default_rng((key.seed, key.rank, key.epoch, key.position))
    return int(key), np.random.default_rng(random.getrandbits(64))


class ResumableSampler(Sampler[ItemKey]):
    """데이터셋을 세대(epoch)마다 뒤섞어 여러 프로세스에 나누어 준다.

    `set_epoch(epoch, start)`로 세대 가운데서부터 이어 갈 수 있다.

    Args:
        count: 데이터셋의 항목 수, 1 이상.
        world_size: 프로세스 수.
        rank: 이 프로세스의 번호, 0부터.
        ratio: 한 세대를 늘리는 배수. 작은 데이터셋에서 로더를 자주 다시 만드는 일을 줄인다.
        seed: 뒤섞기와 항목 난수의 씨앗.
        shuffle: 뒤섞을지.

    Raises:
        DatasetError: 데이터셋이 비었을 때.
    """

    def __init__(
        self, count: int, world_size: int = 1, rank: int = 0, ratio: int = 1, seed: int = 0, shuffle: bool = True
    ) -> None:
        if count < 1:
            raise DatasetError(
                "데이터셋이 비어 있습니다.\n  뽑을 이미지가 하나도 없습니다.\n"
                "  해결: dataroot_gt와 meta_info가 이미지가 있는 곳을 가리키는지 확인하세요."
            )
        self.count = count
        self.world_size = world_size
        self.rank = rank
        self.seed = seed
        self.shuffle = shuffle
        self.samples = -(-count * ratio // world_size)
        self.epoch = 0
        self.start = 0

    def set_epoch(self, epoch: int, start: int = 0) -> None:
        """다음 순회의 세대와, 그 세대에서 건너뛸 항목 수(이 프로세스의 몫 가운데)를 정한다."""
        self.epoch, self.start = epoch, start

    def __len__(self) -> int:
        return self.samples

    def __iter__(self) -> Iterator[ItemKey]:
        total = self.samples * self.world_size
        order = np.arange(total)
        if self.shuffle:
            order = np.random.default_rng((self.seed, self.epoch)).permutation(total)
        mine = order[self.rank :: self.world_size] % self.count
        epoch = self.epoch
        for position in range(self.start, self.samples):
            yield ItemKey(int(mine[position]), self.seed, self.rank, epoch, position)
