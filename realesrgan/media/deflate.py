"""Deflate 압축(RFC 1951)을 여러 스레드로 한다. PNG와 TIFF가 쓴다.

libvips와 Pillow는 한 스레드로 누르고 방법(strategy)을 고르지 못해, 잡음이 많은 16비트에서 몇 배 느리고 크기는 같다.
"""

from __future__ import annotations

import zlib
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, TypeVar

from realesrgan.util.machine import available_cores

_Result = TypeVar("_Result")

MAX_WORKERS = 4
"""이미지를 읽고 쓰는 스레드 수의 한도. 더 늘려도 디스크가 따라오지 못하고 메모리만 는다."""
DEFAULT_LEVEL = 1
"""사진에서 크기와 시간이 가장 나은 세기(5000x5000으로 잼)."""
_SAMPLE_BYTES = 1 << 15


def ordered_map(work: Callable[[Any], _Result], items: Iterable[Any]) -> Iterator[_Result]:
    """여러 스레드로 일하되 차례대로 낸다. 앞서 나가는 것은 스레드의 수만큼이라 메모리가 늘지 않는다."""
    workers = min(available_cores(), MAX_WORKERS)
    with ThreadPoolExecutor(workers) as pool:
        waiting: deque[Future[_Result]] = deque()
        for item in items:
            waiting.append(pool.submit(work, item))
            if len(waiting) > workers:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()


def deflate(data: Any, level: int = DEFAULT_LEVEL, *, last: bool = True) -> bytes:
    """머리 없는(raw) Deflate 흐름으로 누른다.

    가운데를 조금 눌러 보고, 되풀이를 찾는 방법과 찾지 않는 방법(RLE) 가운데 작아지는 것을 쓴다. 잡음이 많으면 뒤의 것이
    더 작으면서 몇 배 빠르다.

    Args:
        data: 이어진 바이트(버퍼).
        level: 압축의 세기(0..9).
        last: 흐름의 끝인지. 아니면 바이트 경계에서 끝나, 다른 흐름을 이어 붙일 수 있다.
    """
    whole = memoryview(data).cast("B")
    start = max(len(whole) - _SAMPLE_BYTES, 0) // 2
    sample, sizes = whole[start : start + _SAMPLE_BYTES], dict[int, int]()
    for strategy in (zlib.Z_DEFAULT_STRATEGY, zlib.Z_RLE):
        packer = zlib.compressobj(level, zlib.DEFLATED, -zlib.MAX_WBITS, 9, strategy)
        sizes[strategy] = len(packer.compress(sample) + packer.flush())
    packer = zlib.compressobj(level, zlib.DEFLATED, -zlib.MAX_WBITS, 9, min(sizes, key=sizes.__getitem__))
    return packer.compress(whole) + packer.flush(zlib.Z_FINISH if last else zlib.Z_SYNC_FLUSH)
