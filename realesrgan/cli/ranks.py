"""torchrun이 띄운 여러 프로세스(rank)가 파일을 나누어 맡고 결과를 모은다."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING, TypeVar

from realesrgan.cli.jobs import Job
from realesrgan.util.machine import available_cores

if TYPE_CHECKING:
    from torch.distributed.distributed_c10d import Store

T = TypeVar("T")

# 먼저 끝난 프로세스는 가장 느린 프로세스를 기다린다. 큰 폴더는 며칠이 걸릴 수 있다.
GATHER_TIMEOUT = timedelta(days=30)


@dataclass(frozen=True)
class Ranks:
    """이 프로세스의 자리.

    Attributes:
        rank: 전체에서의 번호.
        size: 전체 프로세스 수.
        local_rank: 이 컴퓨터에서의 번호.
        local_size: 이 컴퓨터의 프로세스 수.
        store: 프로세스들이 함께 보는 저장소. 혼자면 None.
    """

    rank: int = 0
    size: int = 1
    local_rank: int = 0
    local_size: int = 1
    store: Store | None = None
    _counts: dict[str, int] = field(default_factory=dict, repr=False, compare=False)

    def claim(self, name: str) -> int:
        """모든 프로세스를 통틀어 그 이름으로 몇 번째로 불렀는지(0부터). 일을 먼저 온 차례로 나누는 데 쓴다."""
        if self.store is not None:
            return int(self.store.add(f"claim/{name}", 1)) - 1
        self._counts[name] = self._counts.get(name, -1) + 1
        return self._counts[name]

    def publish(self, name: str, text: str) -> None:
        """글을 모두가 볼 수 있게 둔다. 중단되어 모으지 못할 때를 위한 것이다."""
        if self.store is not None:
            self.store.set(name, text)

    def published(self, name: str) -> str | None:
        """다른 프로세스가 둔 글. 아직 없거나 저장소가 이미 닫혔으면 None."""
        try:
            if self.store is None or not self.store.check([name]):
                return None
            return self.store.get(name).decode()
        except RuntimeError:
            return None

    @property
    def leads(self) -> bool:
        """보고하고 알리는 프로세스인지."""
        return self.rank == 0

    def broadcast(self, value: T | None) -> T:
        """첫 프로세스의 값을 모두에게 준다."""
        box = [value]
        if self.size > 1:
            import torch.distributed as dist

            dist.broadcast_object_list(box, src=0)
        return box[0]  # type: ignore[return-value]

    def gather(self, value: T) -> list[T]:
        """모든 프로세스의 값을 번호 순서로 모아 모두에게 준다."""
        if self.size == 1:
            return [value]
        import torch.distributed as dist

        gathered: list[T | None] = [None] * self.size
        dist.all_gather_object(gathered, value)
        return gathered  # type: ignore[return-value]

    @contextmanager
    def local_leader_first(self) -> Iterator[None]:
        """한 컴퓨터에서 첫 프로세스가 먼저 지나가고 나머지가 뒤따르게 한다. 모든 프로세스가 지나가야 한다."""
        import torch.distributed as dist

        if self.size > 1 and self.local_rank != 0:
            dist.barrier()
        try:
            yield
        finally:
            if self.size > 1 and self.local_rank == 0:
                dist.barrier()

    def set_threads(self) -> None:
        """이 컴퓨터의 코어를 프로세스 수로 나눈 만큼의 스레드를 쓴다."""
        if self.size == 1:
            return
        import torch

        torch.set_num_threads(max(available_cores() // self.local_size, 1))

    def device(self, requested: str | None) -> str | None:
        """이 프로세스가 쓸 장치. 번호 없는 CUDA나 자동 선택이면 프로세스마다 하나씩 나눈다."""
        if self.size == 1 or requested not in (None, "auto", "cuda"):
            return requested
        import torch

        if not torch.cuda.is_available():
            return requested
        return f"cuda:{self.local_rank % torch.cuda.device_count()}"


@contextmanager
def join_ranks() -> Iterator[Ranks]:
    """환경 변수에서 자리를 읽고, 여럿이면 서로 잇는다. 나갈 때 끊는다."""
    # 클러스터가 WORLD_SIZE만 심어 둔 컨테이너에서 오지 않을 동료를 기다리지 않도록 torchrun의 표시를 본다.
    if "TORCHELASTIC_RUN_ID" not in os.environ or os.environ.get("WORLD_SIZE") == "1":
        yield Ranks()
        return
    import torch.distributed as dist

    store, rank, size = next(dist.rendezvous("env://", timeout=GATHER_TIMEOUT))  # type: ignore[attr-defined]
    # 결과를 모으는 데만 쓰므로 GPU가 있어도 gloo로 충분하다.
    group_store = dist.PrefixStore("group", store)  # type: ignore[attr-defined]
    dist.init_process_group("gloo", store=group_store, rank=rank, world_size=size, timeout=GATHER_TIMEOUT)
    try:
        yield Ranks(
            rank=rank,
            size=size,
            local_rank=int(os.environ.get("LOCAL_RANK", "0")),
            local_size=int(os.environ.get("LOCAL_WORLD_SIZE", "1")),
            store=dist.PrefixStore("realesrgan", store),  # type: ignore[attr-defined]
        )
    finally:
        dist.destroy_process_group()


def share_jobs(jobs: Sequence[Job], size: int) -> list[list[int]]:
    """일을 픽셀 수가 비슷하게 나눈다. 큰 것부터 가장 가벼운 쪽에 준다.

    Returns:
        프로세스마다 맡을 일의 번호. 모든 번호가 꼭 한 번 나온다.
    """
    shares: list[list[int]] = [[] for _ in range(size)]
    loads = [0] * size
    for index in sorted(range(len(jobs)), key=lambda index: (-jobs[index].pixels, index)):
        lightest = min(range(size), key=lambda rank: (loads[rank], len(shares[rank]), rank))
        shares[lightest].append(index)
        loads[lightest] += jobs[index].pixels
    return [sorted(share) for share in shares]
