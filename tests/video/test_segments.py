"""조각으로 나누기."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from realesrgan.media.video.types import PacketIndex
from realesrgan.video.plan import Span, plan_spans


@st.composite
def indexes(draw) -> PacketIndex:
    steps = draw(st.lists(st.integers(1, 5), max_size=80))
    first = draw(st.integers(-10, 10))
    pts = [first + sum(steps[:index]) for index in range(len(steps))]
    keys = [value for value in pts if draw(st.booleans())]
    return PacketIndex(tuple(pts), tuple(keys))


@given(index=indexes(), shortest=st.integers(1, 9), more=st.integers(0, 20), data=st.data())
def test_every_frame_belongs_to_exactly_one_segment_and_lengths_are_bounded(index, shortest, more, data):
    start = data.draw(st.none() | st.integers(-20, 60))
    end = data.draw(st.none() | st.integers((start or -20) + 1, 200))
    spans = plan_spans(index, start, end, shortest=shortest, longest=shortest + more)
    inside = [pts for pts in index.pts if Span(start, end).holds(pts)]
    counts = [sum(span.holds(pts) for pts in inside) for span in spans]
    assert sum(counts) == len(inside) and all(sum(span.holds(pts) for span in spans) == 1 for pts in inside)
    assert (spans[0].start, spans[-1].end) == (start, end)
    assert all(first.end == second.start for first, second in pairwise(spans))
    assert max(counts) <= shortest + more
    for span, count in zip(spans[1:], counts[:-1], strict=True):
        assert count >= shortest
        assert span.start in index.keyframes or count == shortest + more


def test_an_unknown_index_is_one_segment():
    assert plan_spans(PacketIndex((), ())) == [Span(None, None)]


def test_segments_start_at_keyframes():
    index = PacketIndex(tuple(range(0, 1000, 10)), (0, 250, 500, 750))
    spans = plan_spans(index, shortest=20, longest=60)
    assert spans == [Span(None, 250), Span(250, 500), Span(500, 750), Span(750, None)]
