"""Deflate 압축의 전략을 고르는 함수. PNG와 TIFF가 함께 쓴다."""

from __future__ import annotations

import zlib

_SAMPLE_BYTES = 1 << 16
_LEVEL = 4
_RAW_WINDOW = -15
_WORTHWHILE = 0.9


def deflate(data: bytes, *, last: bool) -> bytes:
    """줄 필터나 차분을 거친 픽셀을 머리 없는(raw) Deflate로 압축한다.

    사진은 되풀이가 거의 없어, 이어지는 같은 값(RLE)만 찾는 것이 사전 찾기와 크기가 비슷하거나 작고 몇 배 빠르다.
    그림이나 화면 갈무리는 그 반대다. 앞부분을 둘 다로 눌러 보고, 사전이 뚜렷이 나을 때만 사전을 쓴다.

    Args:
        data: 압축할 바이트.
        last: 흐름의 마지막인가. 아니면 바이트 경계에서 끊어(sync flush) 뒤에 이어 붙일 수 있게 한다.
    """
    sample = data[:_SAMPLE_BYTES]
    by_dictionary = len(_compress(sample, zlib.Z_DEFAULT_STRATEGY, last=True))
    by_runs = len(_compress(sample, zlib.Z_RLE, last=True))
    strategy = zlib.Z_DEFAULT_STRATEGY if by_dictionary < by_runs * _WORTHWHILE else zlib.Z_RLE
    return _compress(data, strategy, last=last)


def _compress(data: bytes, strategy: int, *, last: bool) -> bytes:
    packer = zlib.compressobj(_LEVEL, zlib.DEFLATED, _RAW_WINDOW, 9, strategy)
    return packer.compress(data) + packer.flush(zlib.Z_FINISH if last else zlib.Z_SYNC_FLUSH)
