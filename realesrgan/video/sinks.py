"""키운 프레임이 가는 곳: 작업 폴더의 조각들, 또는 표준 출력."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Protocol

from realesrgan.media.video.types import Planes, VideoFrame, VideoInfo
from realesrgan.video.timeline import to_ticks
from realesrgan.video.workspace import Workspace


class Writer(Protocol):
    """프레임을 차례로 받아 쓰는 것. `media.video.SegmentWriter`와 같다."""

    def write(self, planes: Planes, pts: int, duration: int = 0) -> None:
        """프레임 하나를 쓴다. 시각은 첫 프레임이 0이다."""
        ...

    def finish(self) -> int:
        """쓰기를 마치고 프레임 수를 돌려준다."""
        ...

    def __enter__(self) -> Writer: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...


@dataclass(frozen=True)
class Tagged:
    """줄에 선 프레임.

    Attributes:
        segment: 조각의 번호.
        frame: 프레임. None이면 그 조각이 다 왔다는 표시다.
        repeats: 앞 프레임과 똑같은지.
    """

    segment: int
    frame: VideoFrame | None
    repeats: bool = False


@dataclass(frozen=True)
class Timing:
    """프레임의 시각을 정하는 법.

    Attributes:
        source: 원본의 time_base(초).
        target: 결과의 time_base(초).
        step: 프레임마다의 간격(결과의 눈금). None이면 원본의 시각을 그대로 옮긴다.
    """

    source: Fraction
    target: Fraction
    step: int | None = None

    @classmethod
    def of(cls, info: VideoInfo, target: Fraction, rate: Fraction | None) -> Timing:
        """사용자가 속도를 정했으면 고른 간격, 아니면 원본의 시각."""
        return cls(info.time_base, target, None if rate is None else max(to_ticks(1, 1 / rate, target), 1))

    def ticks(self, frame: VideoFrame, order: int) -> int:
        """결과의 시각. 고른 간격이면 조각 안에서의 차례만 본다."""
        return order * self.step if self.step is not None else to_ticks(frame.pts, self.source, self.target)

    def duration(self, frame: VideoFrame) -> int:
        """보이는 길이."""
        return self.step if self.step is not None else to_ticks(frame.duration, self.source, self.target)


@dataclass(frozen=True)
class Unfinished:
    """다 오지 못한 채 끝난 조각(잘린 비디오의 마지막).

    Attributes:
        index: 조각의 번호.
        frames: 든 프레임 수.
        offset: 첫 프레임의 시각.
    """

    index: int
    frames: int
    offset: int


class SegmentSink:
    """프레임을 조각 파일로 쓴다. 조각이 다 오면 기록를 남긴다. 한 스레드에서만 부른다.

    Args:
        workspace: 작업 폴더.
        open_writer: 경로를 받아 라이터를 여는 함수.
        timing: 시각을 정하는 법.
        watch: 쓴 프레임마다 `(평면, 되풀이인지)`를 받는 함수.
    """

    def __init__(
        self,
        workspace: Workspace,
        open_writer: Callable[[Path], Writer],
        timing: Timing,
        watch: Callable[[Planes, bool], None],
    ) -> None:
        self._workspace = workspace
        self._open_writer = open_writer
        self._timing = timing
        self._watch = watch
        self._writer: Writer | None = None
        self._reset()

    def _reset(self) -> None:
        self._index = -1
        self._count = self._repeats = self._offset = 0

    def write(self, tagged: Tagged, planes: Planes) -> None:
        """프레임 하나를 쓰거나, 조각이 다 왔다는 표시면 마무리한다.

        Raises:
            VideoWriteError: 쓸 수 없을 때.
        """
        if tagged.frame is None:
            self._commit(tagged.segment)
            return
        ticks = self._timing.ticks(tagged.frame, self._count)
        if self._writer is None:
            self._writer = self._open_writer(self._workspace.segment_path(tagged.segment)).__enter__()
            self._index, self._offset = tagged.segment, ticks
        self._writer.write(planes, ticks - self._offset, self._timing.duration(tagged.frame))
        self._count += 1
        self._repeats += tagged.repeats
        self._watch(planes, tagged.repeats)

    def _commit(self, segment: int) -> None:
        if self._writer is not None:
            self._close()
        self._workspace.commit(segment, frames=self._count, offset=self._offset, repeats=self._repeats)
        self._reset()

    def _close(self) -> None:
        writer, self._writer = self._writer, None
        if writer is not None:
            writer.finish()
            writer.__exit__(None, None, None)

    def finish(self) -> Unfinished | None:
        """쓰기를 마친다. 다 오지 못한 조각이 있으면 파일은 마무리하되 기록는 남기지 않는다."""
        if self._writer is None:
            return None
        self._close()
        left = Unfinished(self._index, self._count, self._offset)
        self._reset()
        return left

    def abort(self) -> None:
        """쓰다 만 조각을 버린다."""
        writer, self._writer = self._writer, None
        if writer is not None:
            writer.__exit__(KeyboardInterrupt, None, None)


class StreamSink:
    """프레임을 곧바로 내보낸다(표준 출력). 이어 하기가 없으므로 조각의 표시는 뜻이 없다.

    Args:
        writer: 라이터.
        timing: 시각을 정하는 법.
        watch: 쓴 프레임마다 `(평면, 되풀이인지)`를 받는 함수.
    """

    def __init__(self, writer: Writer, timing: Timing, watch: Callable[[Planes, bool], None]) -> None:
        self._writer = writer
        self._timing = timing
        self._watch = watch
        self._count = 0
        self._offset = 0

    def write(self, tagged: Tagged, planes: Planes) -> None:
        """프레임 하나를 내보낸다.

        Raises:
            VideoWriteError: 받는 쪽이 닫혔거나 쓸 수 없을 때.
        """
        if tagged.frame is None:
            return
        ticks = self._timing.ticks(tagged.frame, self._count)
        if self._count == 0:
            self._offset = ticks
        self._writer.write(planes, ticks - self._offset, self._timing.duration(tagged.frame))
        self._count += 1
        self._watch(planes, tagged.repeats)

    def finish(self) -> None:
        """남은 것을 모두 내보낸다."""
        self._writer.finish()

    def abort(self) -> None:
        """더 쓰지 않는다. 이미 내보낸 것은 되돌릴 수 없다."""
        self._writer.__exit__(KeyboardInterrupt, None, None)
