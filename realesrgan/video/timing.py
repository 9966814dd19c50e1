"""결과의 시각: 원본의 시각을 그대로 옮기거나, 고른 간격에 놓거나, 새 속도에 맞추어 프레임을 되풀이하고 뺀다."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from itertools import islice, pairwise

from realesrgan.media.video.types import VideoFrame

_FINE = 10_000
"""고른 간격의 눈금의 아래 한도(1초에). 첫 프레임이 0이 아닌 때에 시작해도 0.1밀리초 안에 놓인다."""


def grid_base(rate: Fraction) -> Fraction:
    """한 프레임이 정수 눈금으로 떨어지는 time_base(초)."""
    return Fraction(1, rate.numerator * -(-_FINE // rate.numerator))


def constant_rate(pts: Sequence[int], time_base: Fraction, rate: Fraction) -> Fraction | None:
    """반올림된 시각들이 고른 속도의 것이면 그 속도. 고르지 않거나 이미 정확하면 None.

    Matroska처럼 1/1000초로만 적는 컨테이너는 23.976fps를 41과 42밀리초의 되풀이로 적는다. 흔한 속도(정수와 그
    1000/1001)와 파일이 말하는 속도 가운데, 모든 시각이 한 눈금 안에서 맞는 것을 고른다.

    Args:
        pts: 오름차순의 시각.
        time_base: 그 단위(초).
        rate: 파일이 말하는 평균 속도.
    """
    if len(pts) < 2:
        return None
    whole, ntsc = Fraction(round(rate)), Fraction(round(rate * 1001 / 1000) * 1000, 1001)
    fits: list[tuple[Fraction, Fraction]] = []
    for candidate in dict.fromkeys((whole, ntsc, rate)):
        if not candidate or abs(candidate / rate - 1) > Fraction(1, 1000):
            continue
        step = 1 / (candidate * time_base)
        # 긴 비디오는 시각이 수만 개라 분수가 아니라 정수로 셈한다.
        whole_step, parts, first = step.numerator, step.denominator, pts[0]
        off = max(abs((moment - first) * parts - whole_step * place) for place, moment in enumerate(pts))
        if not off and step > 2:
            return None
        if step > 2 and off <= parts:
            fits.append((Fraction(off, parts), candidate))
    worst, best = min(fits, key=lambda item: item[0], default=(Fraction(0), rate))
    return best if worst else None


def film_rate(pts: Sequence[int], time_base: Fraction) -> Fraction | None:
    """디스크의 2:3 풀다운 표시(soft telecine)가 붙은 필름이면 그 본래의 속도 24000/1001, 아니면 None.

    재생기는 표시를 따라 프레임을 세 필드와 두 필드씩 번갈아 보인다. 화면을 바꾸지 않고 시각에만 그 흔적이 남는다.

    Args:
        pts: 오름차순의 시각.
        time_base: 그 단위(초).
    """
    field, film = Fraction(1001, 60000) / time_base, Fraction(24000, 1001)
    if len(pts) < 5 or field < 2:
        return None
    length, parts = field.numerator, field.denominator
    shown = ((2 * (second - first) * parts + length) // (2 * length) for first, second in pairwise(pts))
    misses = (turn for turn in pairwise(shown) if turn not in ((2, 3), (3, 2)))
    most = (len(pts) - 2) - (len(pts) - 2) * 9 // 10
    if next(islice(misses, most, None), None) is not None:
        return None
    spots = [(moment - pts[0]) * time_base * film for moment in pts]
    # 편집한 자리에서 차례가 한두 번 어긋나도 된다. 고른 자리에서 반 프레임 넘게 벗어나면 필름만 든 것이 아니다.
    near = all(abs(spot - round(spot)) < Fraction(9, 20) for spot in spots)
    apart = all(round(second) > round(first) for first, second in pairwise(spots))
    return film if near and apart else None


@dataclass(frozen=True)
class Timing:
    """프레임의 시각을 정하는 법.

    Attributes:
        source: 원본의 time_base(초).
        target: 결과의 time_base(초).
        step: 프레임마다의 간격(결과의 눈금). None이면 원본의 시각을 그대로 옮긴다. 있으면 조각 안에서의 차례만 본다.
        rate: 고른 간격의 속도. 있으면 원본의 시각을 가장 가까운 자리에 놓는다.
        origin: 고른 간격의 첫 자리가 될 원본의 시각.
        resampled: 프레임을 되풀이하고 빼어 속도를 바꾸는지(`at_rate`). 그때 프레임의 pts는 이미 자리의 번호다.
    """

    source: Fraction
    target: Fraction
    step: int | None = None
    rate: Fraction | None = None
    origin: int = 0
    resampled: bool = False

    def place(self, pts: int) -> int:
        """고른 간격에서 그 시각의 자리(프레임의 번호). 반은 올린다."""
        return int((2 * (pts - self.origin) * self.source * (self.rate or 1) + 1) // 2)

    def ticks(self, frame: VideoFrame, order: int) -> tuple[int, int]:
        """결과의 `(시각, 길이)`. 고른 간격이면 조각 안에서의 차례만, 아니면 가장 가까운 눈금을 본다."""
        if self.step is not None:
            return order * self.step, self.step
        ratio = self.source / self.target
        if self.rate is not None:
            unit = round(1 / (self.rate * self.target))
            place = frame.pts if self.resampled else self.place(frame.pts)
            return round(self.origin * ratio) + place * unit, unit
        return round(frame.pts * ratio), round(frame.duration * ratio)


def at_rate(
    frames: Iterable[tuple[VideoFrame | None, bool]], timing: Timing, start: int | None, end: int | None
) -> Iterator[tuple[VideoFrame, bool]]:
    """한 조각의 프레임들을 새 속도에 맞추어 되풀이하고 뺀다. 길이는 그대로다.

    프레임은 제 시각에 가장 가까운 자리부터 다음 프레임의 자리 앞까지 보인다. 조각마다 따로 해도 이어 붙인 것이 같다.

    Args:
        frames: `(프레임, 앞 프레임과 같은지)`. 잃은 프레임(평면이 빈 것)의 자리에는 앞 프레임이 이어진다. None은 조각이
            다 왔다는 표시로, 마지막 프레임이 `end`까지 보인다.
        timing: `rate`가 새 속도인 시각.
        start, end: 조각의 구간(원본의 pts). None은 처음과 끝.

    Yields:
        `(프레임, 바로 앞에 낸 것과 같은지)`. 프레임의 pts는 자리의 번호다.
    """
    held: VideoFrame | None = None
    captions = b""  # 뺀 프레임의 방송 자막은 다음에 내는 프레임으로 옮긴다.
    group = shown = 0
    begin = None if start is None else timing.place(start)
    whole = False
    for frame, same in frames:
        if frame is None or not frame.planes:
            whole = frame is None
            continue
        finish = timing.place(frame.pts)
        begin = finish if begin is None else begin
        if held is not None:
            captions += held.captions
            for place in range(begin, finish):
                yield replace(held, pts=place, captions=captions), group == shown
                shown, captions = group, b""
            begin = max(begin, finish)
        held, group = frame, group if same and held is not None else group + 1
    if held is None or begin is None:
        return
    if whole and end is not None:
        finish = timing.place(end)
    else:  # 비디오의 끝이거나 깨져서 그친 곳이다. 제 길이만큼 보인다.
        # 첫 자리부터 보일 차례면 앞의 조각들도 아무것도 내지 않았다. 한 자리보다 짧은 비디오도 한 프레임은 낸다.
        finish = max(timing.place(held.pts + held.duration), begin + (not shown and (start is None or begin == 0)))
    captions += held.captions
    for place in range(begin, finish):
        yield replace(held, pts=place, captions=captions), group == shown
        shown, captions = group, b""
