"""푼 소리를 시각에 맞추어 표본(sample) 단위로 빈틈없이 잇는다."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from typing import Any

from realesrgan.media.video.library import import_av

# 이보다 많이 어긋난 시각만 믿는다(초). 묶음 형식의 눈금(1밀리초)과 시각의 떨림은 표본의 수로 잇고, 소리가 빠진 곳은
# 메운다. 빠질 수 있는 가장 짧은 패킷이 20밀리초쯤이다.
JUMP = Fraction(1, 100)
# 이보다 많이 되돌아가거나(초) 건너뛴 것은 빠진 소리가 아니라 시계가 다시 맞추어진 것이다. 이어 붙인 방송이 그렇다.
_BACK, _AHEAD = 1, 600


class AudioTimeline:
    """푼 프레임들을 표본의 자리에 놓는다. 빈 곳은 묵음으로 메우고 겹친 곳은 자른다.

    소리의 부호기는 프레임이 이어진다고 보므로, 원본의 시각을 그대로 넘기면 빈 곳 뒤의 소리가 앞으로 밀린다. 한 프레임만
    어긋났다가 돌아오는 시각(Vorbis의 블록이 바뀌는 곳)은 떨림으로 보고 따르지 않는다.

    Args:
        rate: 표본 속도. 들어오는 프레임은 모두 이 속도다.
        first, last: 남길 구간의 시각(초). 표본 단위로 자른다. None은 끝까지.
    """

    def __init__(self, rate: int, first: Fraction | float | None = None, last: Fraction | float | None = None) -> None:
        self._rate = rate
        self._first = None if first is None else round(first * rate)
        self._last = None if last is None else round(last * rate)
        self._next: int | None = None
        self._offset = 0
        self._held: Any = None

    def push(self, frame: Any) -> Iterator[Any]:
        """프레임 하나를 받아, 자리가 정해진 프레임들을 낸다. 다음 프레임을 보아야 하므로 하나씩 늦다."""
        held, self._held = self._held, frame
        if held is not None:
            yield from self._placed(held, self._place(frame))

    def flush(self) -> Iterator[Any]:
        """마지막 프레임까지 낸다."""
        held, self._held = self._held, None
        if held is not None:
            yield from self._placed(held, None)

    def _place(self, frame: Any) -> int | None:
        return None if frame.pts is None else round(frame.pts * frame.time_base * self._rate) - self._offset

    def _placed(self, frame: Any, following: int | None) -> Iterator[Any]:
        place = self._place(frame)
        expected = self._next if self._next is not None else place or 0
        jump = 0 if place is None else place - expected
        if not self._real(jump, expected + frame.samples, following):
            jump = 0
        elif not -_BACK * self._rate <= jump <= _AHEAD * self._rate:
            self._offset += jump
            jump = 0
        yield from self._silence(expected, jump, frame)
        begin = min(max(-jump, 0), frame.samples)
        start = expected + max(jump, 0)
        self._next = start + frame.samples - begin
        yield from self._inside(frame, start, begin)

    def _real(self, jump: int, continued: int, following: int | None) -> bool:
        """시각의 어긋남이 진짜인지. 다음 프레임이 이어진 자리로 돌아오면 떨림이다."""
        slack = JUMP * self._rate
        return abs(jump) > slack and (following is None or abs(following - continued) > slack)

    def _silence(self, start: int, samples: int, like: Any) -> Iterator[Any]:
        while samples > 0:
            count = min(samples, self._rate)
            quiet = new_frame(like, count)
            for plane in quiet.planes:
                plane.update(bytes(plane.buffer_size))
            yield from self._inside(quiet, start, 0)
            start, samples = start + count, samples - count

    def _inside(self, frame: Any, start: int, begin: int) -> Iterator[Any]:
        """앞의 `begin`개를 뺀 나머지가 `start`에서 시작하는 프레임을, 구간 안만 남겨 낸다."""
        end = start + frame.samples - begin
        skip = 0 if self._first is None else max(self._first - start, 0)
        cut = 0 if self._last is None else max(end - self._last, 0)
        count = end - start - skip - cut
        if count <= 0:
            return
        kept = frame if count == frame.samples else part_of(frame, begin + skip, count)
        kept.pts, kept.time_base = start + skip, Fraction(1, self._rate)
        yield kept


def new_frame(like: Any, samples: int) -> Any:
    """같은 형식의 빈 프레임. 내용은 정해지지 않았다."""
    frame = import_av().AudioFrame(format=like.format.name, layout=like.layout.name, samples=samples)
    frame.sample_rate = like.sample_rate
    return frame


def part_of(frame: Any, begin: int, count: int) -> Any:
    """프레임의 `begin`번째 표본부터 `count`개를 담은 새 프레임."""
    part = new_frame(frame, count)
    stride = frame.format.bytes * (1 if frame.format.is_planar else frame.layout.nb_channels)
    for source, target in zip(frame.planes, part.planes, strict=True):
        target.update(bytes(source)[begin * stride : (begin + count) * stride])
    return part
