"""푸는(decode) 단계, 키우는(network) 단계, 쓰는(encode) 단계를 길이가 정해진 줄로 이어 함께 돌린다."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

Source = TypeVar("Source")
Result = TypeVar("Result")

# 멈추라는 뜻을 살피는 간격(초). 줄이 차거나 비어 기다리는 동안에만 든다.
POLL = 0.1
# 멈출 때 푸는 스레드를 기다리는 한도(초).
STALLED_SECONDS = 5.0


@dataclass(frozen=True)
class Entry(Generic[Source]):
    """줄에 서는 하나.

    Attributes:
        value: 푼 것.
        repeats: 바로 앞의 것과 똑같아 그 결과를 다시 쓸지.
    """

    value: Source
    repeats: bool = False


@dataclass
class StageTimes:
    """단계마다 일한 시간과 기다린 시간(초). 키우는 단계는 작업자들의 합이다.

    Attributes:
        wall: 처음부터 끝까지.
        busy: 단계 이름마다 일한 시간.
        waiting: 단계 이름마다 앞 단계나 뒤 단계를 기다린 시간.
        workers: 키우는 작업자의 수.
    """

    wall: float = 0.0
    busy: dict[str, float] = field(default_factory=lambda: dict.fromkeys(("decode", "network", "encode"), 0.0))
    waiting: dict[str, float] = field(default_factory=lambda: dict.fromkeys(("decode", "network", "encode"), 0.0))
    workers: int = 1


class _Stopped(Exception):
    """다른 단계가 실패했거나 사용자가 멈추어 일을 그만둔다."""


@dataclass(frozen=True)
class _Batch(Generic[Source, Result]):
    number: int
    entries: tuple[Entry[Source], ...]
    results: tuple[Result, ...] = ()


_END: Any = object()


class Stages(Generic[Source, Result]):
    """세 단계를 잇는 것. 한 번만 `run`한다.

    Args:
        entries: 푼 것을 차례로 내는 반복자. 따로 스레드 하나가 돌린다.
        workers: 배치(목록)를 받아 같은 길이의 결과를 돌려주는 함수들. 함수마다 스레드 하나가 돌린다.
        consume: `(푼 것, 결과)`를 처음의 차례대로 받는 함수. 따로 스레드 하나가 돌린다.
        batch: 한 번에 키울 수.
        spare: 작업자마다 하나에 더해 줄에 세워 둘 배치의 수. 메모리의 한도가 된다.
    """

    def __init__(
        self,
        entries: Iterable[Entry[Source]],
        workers: Sequence[Callable[[list[Source]], list[Result]]],
        consume: Callable[[Source, Result], None],
        *,
        batch: int = 1,
        spare: int = 3,
    ) -> None:
        self._entries = entries
        self._workers = workers
        self._consume = consume
        self._batch = batch
        self._slots = threading.Semaphore(len(workers) + spare)
        self._waiting: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self._done: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self._stop = threading.Event()
        self._finished = threading.Event()
        self._failure: BaseException | None = None
        self._lock = threading.Lock()
        self.times = StageTimes(workers=len(workers))

    def run(self, tick: Callable[[], None] | None = None) -> StageTimes:
        """모두 끝날 때까지 돌린다.

        Args:
            tick: 기다리는 동안 부른 스레드에서 이따금 불리는 함수(진행 표시).

        Returns:
            단계마다의 시간.

        Raises:
            BaseException: 어느 단계든 낸 첫 예외. 나머지 단계는 멈춘 뒤다.
        """
        began = time.perf_counter()
        stages = [("decode", self._decode), ("encode", self._encode)]
        # 표준 입력이 막혀 있으면 푸는 스레드는 깨어날 수 없다. 그것 때문에 끝나지 못하는 일이 없게 daemon으로 둔다.
        threads = [threading.Thread(target=self._guard, args=(work,), name=name, daemon=True) for name, work in stages]
        threads += [
            threading.Thread(target=self._guard, args=(self._network, worker), name=f"network-{index}", daemon=True)
            for index, worker in enumerate(self._workers)
        ]
        for thread in threads:
            thread.start()
        try:
            while not self._finished.wait(POLL):
                if tick is not None:
                    tick()
        except BaseException as error:
            self._fail(error)
            raise
        finally:
            self._join(threads)
        self.times.wall = time.perf_counter() - began
        if self._failure is not None:
            raise self._failure
        return self.times

    def _join(self, threads: Sequence[threading.Thread]) -> None:
        """모든 스레드를 기다린다. 멈추는 중이면 막힌 입력을 기다리는 푸는 스레드만은 오래 기다리지 않는다."""
        for thread in threads:
            patient = thread.name != "decode" or not self._stop.is_set()
            thread.join(None if patient else STALLED_SECONDS)

    def _guard(self, work: Callable[..., None], *arguments: Any) -> None:
        """한 단계를 돌리고, 예외를 부른 스레드에 넘긴다."""
        try:
            work(*arguments)
        except _Stopped:
            pass  # 까닭은 먼저 실패한 단계가 이미 적었다.
        except BaseException as error:
            self._fail(error)

    def _fail(self, error: BaseException) -> None:
        with self._lock:
            self._failure = self._failure or error
        self._stop.set()
        self._finished.set()

    def _spent(self, kind: dict[str, float], stage: str, seconds: float) -> None:
        with self._lock:
            kind[stage] += seconds

    def _take(self, line: queue.SimpleQueue[Any], stage: str) -> Any:
        began = time.perf_counter()
        while not self._stop.is_set():
            try:
                item = line.get(timeout=POLL)
            except queue.Empty:
                continue
            self._spent(self.times.waiting, stage, time.perf_counter() - began)
            return item
        raise _Stopped

    def _take_slot(self) -> None:
        began = time.perf_counter()
        while not self._slots.acquire(timeout=POLL):
            if self._stop.is_set():
                raise _Stopped
        self._spent(self.times.waiting, "decode", time.perf_counter() - began)

    def _decode(self) -> None:
        for number, entries in enumerate(self._batches()):
            self._take_slot()
            if self._stop.is_set():
                raise _Stopped
            self._waiting.put(_Batch(number, tuple(entries)))
        for _ in self._workers:
            self._waiting.put(_END)

    def _batches(self) -> Iterator[list[Entry[Source]]]:
        """키울 것이 `batch`개가 될 때까지 묶는다. 되풀이되는 것은 세지 않되 끝없이 붙이지도 않는다."""
        group: list[Entry[Source]] = []
        fresh = 0
        source = iter(self._entries)
        while True:
            began = time.perf_counter()
            entry = next(source, None)
            self._spent(self.times.busy, "decode", time.perf_counter() - began)
            if entry is None:
                break
            if group and ((not entry.repeats and fresh == self._batch) or len(group) == 4 * self._batch):
                yield group
                group, fresh = [], 0
            group.append(entry)
            fresh += not entry.repeats
        if group:
            yield group

    def _network(self, worker: Callable[[list[Source]], list[Result]]) -> None:
        while (batch := self._take(self._waiting, "network")) is not _END:
            began = time.perf_counter()
            fresh = [entry.value for entry in batch.entries if not entry.repeats]
            results = worker(fresh) if fresh else []
            self._spent(self.times.busy, "network", time.perf_counter() - began)
            self._done.put(_Batch(batch.number, batch.entries, tuple(results)))
        self._done.put(_END)

    def _encode(self) -> None:
        early: dict[int, _Batch[Source, Result]] = {}
        expected, running = 0, len(self._workers)
        latest: Any = None
        while running:
            batch = self._take(self._done, "encode")
            if batch is _END:
                running -= 1
                continue
            early[batch.number] = batch
            while expected in early:
                latest = self._write(early.pop(expected), latest)
                expected += 1
                self._slots.release()
        self._finished.set()

    def _write(self, batch: _Batch[Source, Result], latest: Any) -> Any:
        """배치 하나를 차례대로 쓰고, 마지막 결과를 돌려준다. 되풀이는 그 결과를 다시 쓴다."""
        began = time.perf_counter()
        fresh = iter(batch.results)
        for entry in batch.entries:
            latest = latest if entry.repeats else next(fresh)
            self._consume(entry.value, latest)
        self._spent(self.times.busy, "encode", time.perf_counter() - began)
        return latest
