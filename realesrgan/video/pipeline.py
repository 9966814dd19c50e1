"""디코딩(decode), 네트워크(network), 인코딩(encode)의 세 단계를 길이가 정해진 줄로 이어 함께 돌린다."""

from __future__ import annotations

import queue
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar

import numpy as np

from realesrgan.errors import VideoDamagedError
from realesrgan.media.video.messages import messages_of
from realesrgan.media.video.types import NO_TIMES, Hole, Planes, SegmentTimes, VideoFrame
from realesrgan.util.machine import give_back_freed_memory
from realesrgan.video.plan import Span
from realesrgan.video.timing import Timing, at_rate
from realesrgan.video.workers import Worker
from realesrgan.video.workspace import SegmentRecord, Workspace

if TYPE_CHECKING:
    from realesrgan.media.video import VideoReader
    from realesrgan.video.frame_store import FrameStore
    from realesrgan.video.image_sequence import ImageSequence


class Repeatable(Protocol):
    """줄에 서는 것."""

    @property
    def repeats(self) -> bool:
        """바로 앞의 것과 똑같아 그 결과를 다시 쓸지."""
        ...


Source = TypeVar("Source", bound=Repeatable)
Result = TypeVar("Result")

# 멈추라는 뜻을 살피는 간격(초). 줄이 차거나 비어 기다리는 동안에만 든다.
POLL = 0.1
# 멈출 때 디코딩 스레드를 기다리는 한도(초).
STALLED_SECONDS = 5.0
# 이만큼의 프레임마다 놓은 메모리를 돌려준다. 조금씩 어긋나며 쌓이는 빈틈이 비디오의 길이를 따라 늘지 않게 한다.
GIVE_BACK_FRAMES = 120


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
    entries: tuple[Source, ...]
    results: Sequence[Result] = ()


_END: Any = object()


@dataclass
class Stages(Generic[Source, Result]):
    """세 단계를 잇는 것. 한 번만 `run`한다.

    Attributes:
        entries: 디코딩한 것을 차례로 내는 반복자. 따로 스레드 하나가 돌린다.
        workers: 배치(목록)를 받아 같은 길이의 결과를 돌려주는 함수들. 함수마다 스레드 하나가 돌린다.
            결과는 쓰는 단계가 읽는다.
        consume: `(디코딩한 것, 결과)`를 처음의 차례대로 받는 함수. 따로 스레드 하나가 돌린다.
        batch: 한 번에 키울 수.
        spare: 작업자마다 하나에 더해 줄에 세워 둘 배치의 수. 메모리의 한도가 된다.
        times: 단계마다의 시간.
    """

    entries: Iterable[Source]
    workers: Sequence[Callable[[list[Source]], Sequence[Result]]]
    consume: Callable[[Source, Result], None]
    batch: int = 1
    spare: int = 3
    times: StageTimes = field(default_factory=StageTimes)
    _slots: threading.Semaphore = field(default_factory=threading.Semaphore)
    # 3.13보다 낮은 파이썬의 SimpleQueue는 기다릴 시간이 다한 순간에 깨면 끝없이 기다린다.
    _waiting: queue.Queue[Any] = field(default_factory=queue.Queue)
    _done: queue.Queue[Any] = field(default_factory=queue.Queue)
    _stop: threading.Event = field(default_factory=threading.Event)
    _finished: threading.Event = field(default_factory=threading.Event)
    _failure: BaseException | None = None
    _lock: Any = field(default_factory=threading.Lock)

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
        self.times.workers = len(self.workers)
        self._slots = threading.Semaphore(len(self.workers) + self.spare)
        stages = [("decode", self._decode), ("encode", self._encode)]
        # 표준 입력이 막혀 있으면 디코딩 스레드는 깨어날 수 없다. 그것 때문에 끝나지 못하는 일이 없게 daemon으로 둔다.
        threads = [threading.Thread(target=self._guard, args=(work,), name=name, daemon=True) for name, work in stages]
        threads += [
            threading.Thread(target=self._guard, args=(self._network, worker), name=f"network-{index}", daemon=True)
            for index, worker in enumerate(self.workers)
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
            for thread in threads:
                # 멈추는 중이면 막힌 입력을 기다리는 디코딩 스레드만은 오래 기다리지 않는다.
                patient = thread.name != "decode" or not self._stop.is_set()
                thread.join(None if patient else STALLED_SECONDS)
        self.times.wall = time.perf_counter() - began
        if self._failure is not None:
            raise self._failure
        return self.times

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

    def _take(self, line: queue.Queue[Any], stage: str) -> Any:
        began = time.perf_counter()
        while not self._stop.is_set():
            try:
                item = line.get(timeout=POLL)
            except queue.Empty:
                continue
            with self._lock:
                self.times.waiting[stage] += time.perf_counter() - began
            return item
        raise _Stopped

    def _decode(self) -> None:
        """키울 것이 `batch`개가 될 때까지 묶어 줄에 세운다. 되풀이되는 것은 세지 않되 끝없이 붙이지도 않는다."""
        group: list[Source] = []
        number = fresh = 0
        source = iter(self.entries)
        ended = False
        while not ended:
            began = time.perf_counter()
            entry = next(source, None)
            ready = time.perf_counter()
            self.times.busy["decode"] += ready - began
            ended = entry is None
            full = len(group) == 4 * self.batch or (fresh == self.batch and entry is not None and not entry.repeats)
            if group and (ended or full):
                while not self._slots.acquire(timeout=POLL):
                    if self._stop.is_set():
                        raise _Stopped
                self.times.waiting["decode"] += time.perf_counter() - ready
                if self._stop.is_set():
                    raise _Stopped
                self._waiting.put(_Batch(number, tuple(group)))
                number, group, fresh = number + 1, [], 0
            if entry is not None:
                group.append(entry)
                fresh += not entry.repeats
        for _ in self.workers:
            self._waiting.put(_END)

    def _network(self, worker: Callable[[list[Source]], Sequence[Result]]) -> None:
        while (batch := self._take(self._waiting, "network")) is not _END:
            began = time.perf_counter()
            fresh = [entry for entry in batch.entries if not entry.repeats]
            results: Sequence[Result] = worker(fresh) if fresh else []
            with self._lock:
                self.times.busy["network"] += time.perf_counter() - began
            # 장치에서 내려오기를 기다리지 않는다. 쓰는 단계가 읽을 때 기다리고, 그동안 다음 배치를 계산한다.
            self._done.put(_Batch(batch.number, batch.entries, results))
        self._done.put(_END)

    def _encode(self) -> None:
        early: dict[int, _Batch[Source, Result]] = {}
        expected, running = 0, len(self.workers)
        latest: Any = None
        while running:
            batch = self._take(self._done, "encode")
            if batch is _END:
                running -= 1
                continue
            early[batch.number] = batch
            while expected in early:
                began = time.perf_counter()
                ready = early.pop(expected)
                fresh = iter(ready.results)
                for entry in ready.entries:
                    # 되풀이는 앞의 결과를 다시 쓴다.
                    latest = latest if entry.repeats else next(fresh)
                    self.consume(entry, latest)
                self.times.busy["encode"] += time.perf_counter() - began
                expected += 1
                self._slots.release()
        self._finished.set()


@dataclass(frozen=True)
class SegmentFrame:
    """줄에 선 프레임.

    Attributes:
        segment: 조각의 번호.
        frame: 프레임. None이면 그 조각이 다 왔다는 표시이고, 키울 것이 없으므로 되풀이로 센다.
        repeats: 앞 프레임과 똑같은지.
        holes: 여기까지 오며 지나온, 원본의 깨진 곳들.
        order: 조각에서 몇 번째로 키울 프레임인지. 되풀이는 세지 않는다.
    """

    segment: int
    frame: VideoFrame | None
    repeats: bool = False
    holes: tuple[Hole, ...] = ()
    order: int = -1


def segment_frames(
    reader: VideoReader | ImageSequence, spans: Sequence[Span], claim: Callable[[], int | None], damage: list[str]
) -> Iterator[SegmentFrame]:
    """맡은 조각들의 프레임을 차례로 낸다. 조각이 다 오면 표시 하나를 더 낸다.

    키울 프레임마다 조각 안의 번호를 붙인다. 다시 해도 같은 프레임이 같은 번호를 갖는다.
    원본이 깨졌으면 성한 프레임을 다 낸 뒤 까닭을 `damage`에 적고 끝낸다.

    Args:
        reader: 리더.
        spans: 조각들.
        claim: 다음에 맡을 조각의 번호를 주는 함수. 없으면 None.
        damage: 깨진 까닭을 적을 목록.
    """
    try:
        number = claim()
        while number is not None:
            # 이웃한 조각을 이어 맡는 동안은 되감지 않고 디코딩하던 것을 계속한다.
            with closing(reader.frames(spans[number].start, spans[-1].end)) as frames:  # type: ignore[type-var]
                previous: VideoFrame | None = None
                following: int | None = None
                holes: tuple[Hole, ...] = ()
                order = 0
                for frame in frames:
                    if not spans[number].holds(frame.pts):
                        yield SegmentFrame(number, None, True, holes)
                        following, previous, holes, order = claim(), None, (), 0
                        if following is None or following != number + 1 or not spans[following].holds(frame.pts):
                            break
                        number = following
                    holes += () if frame.hole is None else (frame.hole,)
                    if previous is None and not frame.planes:
                        continue  # 조각의 처음을 잃었다. 되풀이할 것이 없으므로 앞 조각의 마지막 프레임이 길어진다.
                    repeats = previous is not None and all(map(np.array_equal, previous.planes, frame.planes))
                    yield SegmentFrame(number, frame, repeats, holes, -1 if repeats else order)
                    previous, holes, order = (frame if frame.planes else previous), (), order + (not repeats)
                else:
                    yield SegmentFrame(number, None, True, holes)
                    following = claim()
            number = following
    except VideoDamagedError as error:
        damage.append(str(error))


def paced(entries: Iterable[SegmentFrame], timing: Timing, spans: Sequence[Span]) -> Iterator[SegmentFrame]:
    """조각마다의 프레임을 새 속도에 맞추어 되풀이하고 뺀다. 깨진 곳의 알림은 조각의 끝에서 한꺼번에 넘긴다."""
    source = iter(entries)
    for first in source:
        number, seen, order = first.segment, [first], 0

        def frames(seen: list[SegmentFrame] = seen) -> Iterator[tuple[VideoFrame | None, bool]]:
            holes: tuple[Hole, ...] = ()
            while True:
                item = seen[0]
                holes += item.holes
                seen[0] = replace(item, holes=holes)
                yield item.frame, item.repeats
                following = None if item.frame is None else next(source, None)
                if following is None:
                    return
                seen[0] = following

        for frame, repeats in at_rate(frames(), timing, spans[number].start, spans[number].end):
            yield SegmentFrame(number, frame, repeats, order=-1 if repeats else order)
            order += not repeats
        if seen[0].frame is None:  # 깨져서 그친 조각에는 다 왔다는 표시가 없다.
            yield seen[0]


def enlarge(worker: Worker, store: FrameStore | None, items: list[SegmentFrame]) -> Sequence[Planes]:
    """적어 둔 프레임은 그것을 쓰고 나머지만 작업자가 키운다."""
    found = [None if store is None else store.get(item.segment, item.order) for item in items]
    missing = [item.frame.planes for item, kept in zip(items, found, strict=True) if kept is None and item.frame]
    if len(missing) == len(items):
        return worker(missing)
    made = iter(worker(missing) if missing else [])
    return [next(made) if kept is None else kept for kept in found]


class Writer(Protocol):
    """프레임을 차례로 받아 쓰는 것. `media.video.SegmentWriter`와 같다.

    Attributes:
        times: 다 쓴 뒤, 담긴 패킷들의 시각. 비디오의 조각이 아니면 비어 있다.
    """

    times: SegmentTimes

    def write(self, planes: Planes, pts: int, duration: int = 0, messages: tuple[bytes, ...] = ()) -> None:
        """프레임 하나를 인코딩해 쓴다. 시각은 첫 프레임이 0이다."""
        ...

    def finish(self) -> int:
        """인코딩을 마치고 프레임 수를 돌려준다."""
        ...

    def close(self) -> None:
        """`finish` 없이 닫으면 쓰던 것을 버린다."""
        ...


@dataclass(frozen=True)
class PartialSegment:
    """원본이 깨져 다 오지 못한 조각. 파일은 온전하지만 기록이 없다.

    Attributes:
        index: 조각의 번호.
        frames: 든 프레임 수.
        offset: 첫 프레임의 시각(결과의 time_base).
        times: 든 패킷들의 시각.
    """

    index: int
    frames: int
    offset: int
    times: SegmentTimes = NO_TIMES


@dataclass
class VideoRun:
    """한 프로세스가 한 일. 도는 동안 쌓인다.

    Attributes:
        times: 단계마다의 시간.
        frames: 이번에 쓴 프레임 수.
        repeats: 그 가운데 앞 프레임과 같아 다시 계산하지 않은 수.
        records: 마친 조각들의 기록.
        damage: 원본이 깨졌거나 잘렸다면 그 까닭.
        partial: 깨진 곳까지만 온 조각.
        preview: 적어 둔 미리보기의 경로.
        holes: 지나온, 원본의 깨진 곳들.
        counts: 단계가 센 것의 이름과 수(이번에 계산한 프레임만).
        captions, hdr10plus: 방송 자막이나 동적 HDR이 딸린 프레임이 있었는지.
    """

    times: StageTimes = field(default_factory=StageTimes)
    frames: int = 0
    repeats: int = 0
    records: list[SegmentRecord] = field(default_factory=list)
    damage: str | None = None
    partial: PartialSegment | None = None
    preview: Path | None = None
    holes: list[Hole] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)
    captions: bool = False
    hdr10plus: bool = False


@dataclass
class SegmentSink:
    """프레임을 조각 파일로 인코딩한다. 조각이 다 오면 기록을 남긴다. 한 스레드에서만 부른다.

    Attributes:
        workspace: 작업 폴더. None이면 조각을 나누지 않고 `open_writer(None)` 하나에 쓴다(표준 출력).
        open_writer: 경로를 받아 라이터를 여는 함수.
        timing: 시각을 정하는 법.
        watch: 쓴 프레임마다 그 평면을 받는 함수.
        store: 쓰는 중인 조각의 키운 프레임을 적어 둘 곳. None이면 적지 않는다.
        run: 지금까지 한 일.
    """

    workspace: Workspace | None
    open_writer: Callable[[Path | None], Writer]
    timing: Timing
    watch: Callable[[Planes], None] | None = None
    store: FrameStore | None = None
    run: VideoRun = field(default_factory=VideoRun)
    _writer: Writer | None = None
    _index: int = -1
    _offset: int = 0
    # 쓰는 조각을 시작할 때의 `frames`와 `repeats`, 그 조각의 앞까지의 `holes`의 수.
    _before: tuple[int, int] = (0, 0)
    _told: int = 0

    def write(self, item: SegmentFrame, planes: Planes) -> None:
        """프레임 하나를 쓰거나, 조각이 다 왔다는 표시면 마무리한다.

        Raises:
            VideoWriteError: 쓸 수 없을 때.
        """
        run = self.run
        run.holes += item.holes
        if item.frame is None:
            if self.workspace is not None:
                # 프레임이 하나도 없는 조각(시각에 빈 곳이 있는 비디오)도 끝난 것으로 적는다.
                done = self.finish() or PartialSegment(item.segment, 0, 0)
                repeats = run.repeats - self._before[1] if done.frames else 0
                holes, self._told = tuple(run.holes[self._told :]), len(run.holes)
                values = {"frames": done.frames, "offset": done.offset, "repeats": repeats}
                run.records.append(self.workspace.commit(done.index, **values, holes=holes, times=done.times))
                if self.store is not None:
                    self.store.finish(item.segment)
            return
        if self._writer is None:
            path = None if self.workspace is None else self.workspace.segment_path(item.segment)
            self._writer = self.open_writer(path)
            self._index, self._before = item.segment, (run.frames, run.repeats)
            self._offset = self.timing.ticks(item.frame, 0)[0]
        ticks, duration = self.timing.ticks(item.frame, run.frames - self._before[0])
        told = messages_of(item.frame) if item.frame.captions or item.frame.hdr10plus else ()
        self._writer.write(planes, ticks - self._offset, duration, told)
        run.captions |= bool(item.frame.captions)
        run.hdr10plus |= bool(item.frame.hdr10plus)
        if self.store is not None and not item.repeats:
            self.store.put(item.segment, item.order, planes)
        run.frames += 1
        run.repeats += item.repeats
        if run.frames % GIVE_BACK_FRAMES == 0:
            give_back_freed_memory()
        if self.watch is not None:
            self.watch(planes)

    def finish(self) -> PartialSegment | None:
        """쓰던 조각의 파일을 마무리한다. 기록은 남기지 않는다. 쓰던 것이 없으면 None."""
        if self._writer is None:
            return None
        self._writer.finish()
        times, self._writer = self._writer.times, None
        return PartialSegment(self._index, self.run.frames - self._before[0], self._offset, times)

    def abort(self) -> None:
        """쓰다 만 조각을 버린다. 표준 출력에 이미 내보낸 것은 되돌릴 수 없다."""
        writer, self._writer = self._writer, None
        if writer is not None:
            writer.close()


def run_stages(
    reader: VideoReader | ImageSequence,
    spans: Sequence[Span],
    workers: Sequence[Worker],
    sink: SegmentSink,
    claim: Callable[[], int | None],
    *,
    stored: FrameStore | None = None,
    batch: int = 1,
    tick: Callable[[], None] | None = None,
) -> VideoRun:
    """맡은 조각들을 모두 키운다.

    Args:
        reader: 리더.
        spans: 모든 조각.
        workers: 프레임들을 키우는 함수들.
        sink: 키운 프레임이 가는 곳.
        claim: 다음에 맡을 조각의 번호를 주는 함수. 없으면 None.
        stored: 앞선 실행이 키워 적어 둔 프레임들. 이어 하는 것이 아니면 None.
        batch: 작업자가 한 번에 키울 프레임 수.
        tick: 기다리는 동안 부른 스레드에서 이따금 불리는 함수.

    Raises:
        RealESRGANError: 키우거나 쓸 수 없을 때. 마친 조각은 남아 있다.
        KeyboardInterrupt: 사용자가 멈추었을 때. 마친 조각은 남아 있다.
    """
    damage: list[str] = []
    entries = segment_frames(reader, spans, claim, damage)
    if sink.timing.resampled:
        entries = paced(entries, sink.timing, spans)
    calls = [partial(enlarge, worker, stored) for worker in workers]
    stages: Stages[SegmentFrame, Planes] = Stages(entries, calls, sink.write, batch=batch)
    try:
        sink.run.times = stages.run(tick)
        sink.run.partial = sink.finish()
    except BaseException:
        sink.abort()
        raise
    sink.run.damage = damage[0] if damage else None
    return sink.run
