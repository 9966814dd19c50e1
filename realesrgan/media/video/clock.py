"""프레임의 시각을 언제나 늘어나게 한다."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from fractions import Fraction
from typing import Any

_JUMP_SECONDS = 1


class Clock:
    """프레임의 pts를 정한다. 빠진 것은 만들고, 겹친 것은 한 눈금 늦추고, 크게 되돌아가면 이어 붙인다.

    Args:
        time_base: pts의 단위(초).
        rate: 프레임 속도. 빠진 시각을 만드는 데 쓴다.

    Attributes:
        last: 마지막으로 정한 pts. 아직 없으면 None.
        nudged: 시각을 고친 프레임 수.
    """

    def __init__(self, time_base: Fraction, rate: Fraction) -> None:
        self._step = max(1, round(1 / (rate * time_base)))
        self._jump = max(1, int(_JUMP_SECONDS / time_base))
        self._shift = 0
        self.last: int | None = None
        self.nudged = 0

    def stamp(self, frame: Any) -> int:
        """프레임의 pts를 정해 돌려준다. 부를 때마다 커진다."""
        pts = frame.pts if frame.pts is not None else frame.dts
        if pts is None:
            pts = 0 if self.last is None else self.last + self._step
        else:
            pts += self._shift
        if self.last is not None and pts <= self.last:
            self.nudged += 1
            if self.last - pts >= self._jump:
                # 이어 붙인 방송처럼 시각이 처음으로 돌아간 것이다. 뒤의 프레임도 같은 만큼 옮긴다.
                self._shift += self.last + self._step - pts
                pts = self.last + self._step
            else:
                pts = self.last + 1
        self.last = pts
        return pts


class ArrivalTimes:
    """보이는 시각(pts)이 없는 묶음(AVI)의 프레임에 시각을 준다.

    AVI는 프레임의 차례만 안다. FFmpeg가 지어낸 pts는 B 프레임이 있으면 차례가 뒤섞이므로 쓰지 않고,
    나온 차례대로 패킷의 차례 번호(dts)를 준다. 빈 패킷(앞 프레임을 더 보인다)의 번호는 건너뛴다.
    """

    def __init__(self) -> None:
        self._waiting: deque[int] = deque()

    def note(self, packets: Iterable[Any]) -> Iterator[Any]:
        """지나가는 패킷의 번호를 적어 둔다."""
        for packet in packets:
            if packet.dts is not None:
                self._waiting.append(packet.dts)
            yield packet

    def give(self, frames: Iterable[Any]) -> Iterator[Any]:
        """프레임에 시각을 붙인다."""
        for frame in frames:
            if self._waiting:
                frame.pts = self._waiting.popleft()
            yield frame
