"""가로 띠와 순서 있는 병렬 처리."""

from __future__ import annotations

import threading
import time
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from realesrgan.media.strips import ordered_map, strip_ranges, worker_count


@given(st.integers(1, 5000), st.integers(1, 1 << 22), st.sampled_from([1, 8]), st.sampled_from([None, 8, 64]))
def test_strips_cover_exactly_with_multiple_and_limit(height: Any, row_bytes: Any, multiple: Any, limit: Any) -> None:
    ranges = strip_ranges(height, row_bytes, multiple, limit)
    assert ranges[0][0] == 0 and ranges[-1][1] == height
    assert all(first[1] == second[0] for first, second in pairwise(ranges))
    assert all((bottom - top) % multiple == 0 for top, bottom in ranges[:-1])
    assert limit is None or all(bottom - top <= limit for top, bottom in ranges)


def test_results_come_in_order() -> None:
    def slow(value: int) -> int:
        time.sleep(0.002 * (value % 3))
        return value * 2

    assert list(ordered_map(slow, range(20))) == [value * 2 for value in range(20)]


def test_work_ahead_is_bounded() -> None:
    started = []
    results = ordered_map(lambda value: started.append(value) or value, range(100))
    next(results)
    time.sleep(0.05)
    assert len(started) <= worker_count() + 2
    results.close()


def test_exception_reaches_the_caller_and_threads_end() -> None:
    before = threading.active_count()

    def fail(value: int) -> int:
        if value == 3:
            raise KeyError("x")
        return value

    with pytest.raises(KeyError):
        list(ordered_map(fail, range(50)))
    assert threading.active_count() == before
