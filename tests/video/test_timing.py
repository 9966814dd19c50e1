"""결과의 시각: 그대로, 고르게, 새 속도로."""

from __future__ import annotations

import itertools
from fractions import Fraction
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from realesrgan.media.video.types import VideoFrame
from realesrgan.video.timing import Timing, at_rate, constant_rate, film_rate, grid_base

NTSC_FILM, NTSC = Fraction(24000, 1001), Fraction(30000, 1001)
PLANES = (np.zeros((2, 2), np.uint8),)


def frames(pts: list[int], length: int = 0) -> list[tuple[VideoFrame | None, bool]]:
    return [(VideoFrame(PLANES, moment, length), False) for moment in pts]


def test_times_are_kept_or_evenly_spaced_when_a_rate_is_asked() -> None:
    frame = VideoFrame((), 3003, 1001)
    assert Timing(Fraction(1, 30000), Fraction(1, 90000)).ticks(frame, 7) == (3003 * 3, 3003)
    assert Timing(Fraction(1, 30000), Fraction(1, 90000), 3000).ticks(frame, 7) == (7 * 3000, 3000)


@pytest.mark.parametrize("rate", [NTSC_FILM, NTSC, 2 * NTSC, Fraction(24), Fraction(60), Fraction(25, 3)])
@pytest.mark.parametrize("start", [0, 21, 1400])
def test_times_rounded_to_milliseconds_become_the_exact_rate(rate: Fraction, start: int) -> None:
    pts = [start + round(1000 * place / rate) for place in range(300)]
    said = 299 / Fraction(pts[-1] - pts[0], 1000)
    found = constant_rate(pts, Fraction(1, 1000), said)
    assert found is None if len({b - a for a, b in pairwise(pts)}) == 1 else found in (rate, said)
    if rate.denominator in (1, 1001) and found is not None:
        assert found == rate
        timing = Timing(Fraction(1, 1000), grid_base(rate), rate=rate, origin=pts[0])
        ticks = [timing.ticks(VideoFrame((), moment), 0)[0] for moment in pts]
        assert {b - a for a, b in pairwise(ticks)} == {round(1 / (rate * grid_base(rate)))}
        assert abs(ticks[0] * grid_base(rate) - Fraction(start, 1000)) <= Fraction(1, 10000)


def test_uneven_or_exact_times_are_left_alone() -> None:
    even = [round(1000 * place / NTSC_FILM) for place in range(50)]
    assert constant_rate(even[:20] + even[21:], Fraction(1, 1000), NTSC_FILM) is None
    assert constant_rate([0, 40, 80, 120], Fraction(1, 1000), Fraction(25)) is None
    assert constant_rate([0], Fraction(1, 1000), Fraction(25)) is None


@example(gaps=[1, 1, 1], fps=Fraction(10), cut=1)
@given(
    gaps=st.lists(st.integers(1, 90), min_size=3, max_size=30),
    fps=st.sampled_from([Fraction(50), Fraction(10), NTSC, Fraction(24), Fraction(120)]),
    cut=st.integers(1, 2),
)
def test_a_new_rate_keeps_the_length_however_the_video_is_cut(gaps: list[int], fps: Fraction, cut: int) -> None:
    pts = [7 + sum(gaps[:count]) for count in range(len(gaps))]
    end = 7 + sum(gaps)
    timing = Timing(Fraction(1, 100), grid_base(fps), rate=fps, origin=7, resampled=True)
    whole = list(at_rate(frames(pts, gaps[-1]), timing, None, None))
    places = [frame.pts for frame, _ in whole]
    assert places == list(range(places[0], places[-1] + 1)) and places[0] == 0
    assert abs(len(places) / fps - Fraction(end - 7, 100)) <= max(1 / fps, Fraction(1, 100))
    left = [*frames(pts[:cut]), (None, False)]
    parts = [*at_rate(left, timing, None, pts[cut]), *at_rate(frames(pts[cut:], gaps[-1]), timing, pts[cut], None)]
    assert [frame.pts for frame, _ in parts] == places


def test_repeated_and_lost_frames_are_not_computed_again() -> None:
    timing = Timing(Fraction(1, 25), grid_base(Fraction(50)), rate=Fraction(50), resampled=True)
    shown = [(VideoFrame(PLANES, 0), False), (VideoFrame((), 1), True), (VideoFrame(PLANES, 2, 1), True)]
    assert [(frame.pts, same) for frame, same in at_rate(shown, timing, None, None)] == [
        (0, False), (1, True), (2, True), (3, True), (4, True), (5, True),
    ]  # fmt: skip
    slow = Timing(Fraction(1, 25), grid_base(Fraction(5)), rate=Fraction(5), resampled=True)
    found = list(at_rate([(VideoFrame(PLANES, place, 1), place == 3) for place in range(10)], slow, None, None))
    assert [(frame.pts, same) for frame, same in found] == [(0, False), (1, False)]


def test_soft_pulldown_gives_back_the_rate_of_the_film() -> None:
    """디스크의 2:3 표시는 프레임을 세 필드와 두 필드씩 번갈아 보인다."""
    fields = list(itertools.accumulate([3, 2] * 40, initial=0))
    base = Fraction(1, 90000)
    pts = [900 + round(count * Fraction(1001, 60000) / base) for count in fields]
    assert film_rate(pts, base) == NTSC_FILM
    timing = Timing(base, grid_base(NTSC_FILM), rate=NTSC_FILM, origin=pts[0])
    assert [timing.place(moment) for moment in pts] == list(range(len(pts)))
    assert film_rate([*pts, pts[-1] + round(5 * Fraction(1001, 60000) / base)], base) == NTSC_FILM
    video = [round(2 * count * Fraction(1001, 60000) / base) for count in range(50)]
    assert film_rate(video, base) is None
    assert film_rate([*pts, *(pts[-1] + 10 + moment for moment in video)], base) is None
