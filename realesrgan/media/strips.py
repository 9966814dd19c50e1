"""그림을 가로 띠(strip)로 나누어 여러 스레드로 처리하는 도구."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

from realesrgan.util.machine import available_cores

T = TypeVar("T")
R = TypeVar("R")

STRIP_BYTES = 1 << 20
"""띠 하나의 목표 크기(바이트). 압축률을 잃지 않을 만큼 크고 캐시에 들 만큼 작다."""


def strip_ranges(height: int, row_bytes: int, multiple: int = 1, limit: int | None = None) -> list[tuple[int, int]]:
    """높이를 띠로 나눈다.

    Args:
        height: 전체 줄 수.
        row_bytes: 한 줄의 바이트 수.
        multiple: 띠 높이가 맞출 배수(마지막 띠는 빼고).
        limit: 띠 높이의 한도(줄).

    Returns:
        `(시작 줄, 끝 줄)`의 목록. 빈틈도 겹침도 없다.
    """
    rows = max(STRIP_BYTES // max(row_bytes, 1), 1)
    rows = min(rows, limit) if limit else rows
    rows = max(rows // multiple * multiple, multiple)
    return [(top, min(top + rows, height)) for top in range(0, height, rows)]


def worker_count() -> int:
    """쓸 스레드 수. 압축은 네 개를 넘겨도 디스크가 따라오지 못한다."""
    return min(available_cores(), 4)


def ordered_map(function: Callable[[T], R], items: Iterable[T]) -> Iterator[R]:
    """스레드로 나누어 계산하되 결과를 순서대로 낸다.

    앞서 계산해 두는 결과의 수를 제한해, 디스크가 느려도 메모리가 불어나지 않는다.
    """
    workers = worker_count()
    with ThreadPoolExecutor(workers) as pool:
        waiting: deque[Future[R]] = deque()
        try:
            for item in items:
                waiting.append(pool.submit(function, item))
                if len(waiting) > workers:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()
