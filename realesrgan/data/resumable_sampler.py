"""이어 하기(resume)를 아는 샘플러(sampler). 항목의 난수를 정하는 열쇠를 함께 나른다."""

from __future__ import annotations

import contextlib
import random
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
import torch
from torch.utils.data import Dataset, IterableDataset, Sampler

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


@contextlib.contextmanager
def seeded_globals(seed: tuple[int, ...]) -> Iterator[None]:
    """파이썬, NumPy, torch(CPU)의 전역 난수를 `seed`만의 함수로 놓고, 나갈 때 되돌린다."""
    first, second, third = np.random.SeedSequence(seed).generate_state(3)
    before = random.getstate(), np.random.get_state(), torch.get_rng_state()  # noqa: NPY002  남의 데이터셋이 쓰는 난수다
    random.seed(int(first))
    np.random.seed(int(second))  # noqa: NPY002
    torch.default_generator.manual_seed(int(third))
    try:
        yield
    finally:
        random.setstate(before[0])
        np.random.set_state(before[1])  # noqa: NPY002
        torch.set_rng_state(before[2])


class PlainDataset(Dataset[Any]):
    """열쇠를 모르는 데이터셋을 감싸 평범한 정수로 부른다. 다른 속성은 감싼 것의 것이다.

    BasicSR과 사용자의 데이터셋은 번호로 목록을 찾고 전역 난수로 자른다. 항목마다 그 난수를 열쇠로 놓으므로 작업자 수나
    이어 하기와 상관없이 같은 항목이 나온다. 부른 쪽의 난수는 움직이지 않는다.

    Args:
        dataset: 정수로 찾는 데이터셋.
    """

    def __init__(self, dataset: Any) -> None:
        self.dataset = dataset

    def __len__(self) -> int:
        return len(self.dataset)

    def __getattr__(self, name: str) -> Any:
        # 특별한 이름(`__getitems__` 등)을 넘겨주면 torch가 열쇠를 감싼 데이터셋에 바로 준다.
        if name.startswith("__") or name == "dataset":
            raise AttributeError(name)
        return getattr(self.dataset, name)

    def __getitem__(self, key: int | ItemKey) -> Any:
        if not isinstance(key, ItemKey):
            return self.dataset[key]
        with seeded_globals((key.seed, key.rank, key.epoch, key.position)):
            return self.dataset[key.item]


def accept_keys(dataset: Any) -> Any:
    """`ItemKey`로 부를 수 있는 데이터셋을 돌려준다. 열쇠를 안다고 밝히지 않은 것은 `PlainDataset`으로 감싼다.

    밝히는 법은 `__getitem__`을 적은 바로 그 클래스에 `takes_item_keys = True`를 두는 것이다. 이어받은 클래스가
    `__getitem__`을 새로 적었으면 물려받은 말은 믿지 않는다.

    Raises:
        DatasetError: 번호로 찾을 수 없는 데이터셋(IterableDataset)일 때.
    """
    if isinstance(dataset, IterableDataset) or not hasattr(dataset, "__getitem__") or not hasattr(dataset, "__len__"):
        raise DatasetError(
            f"번호로 찾을 수 없는 데이터셋입니다: {type(dataset).__name__}\n"
            "  훈련은 세대마다 뒤섞고 가운데서 이어 가므로 항목의 수와 번호가 있어야 합니다.\n"
            "  해결: __len__과 __getitem__이 있는 torch.utils.data.Dataset으로 만드세요."
        )
    owner = next(one for one in type(dataset).__mro__ if "__getitem__" in vars(one))
    return dataset if vars(owner).get("takes_item_keys") else PlainDataset(dataset)


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
