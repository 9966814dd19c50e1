"""묶음 형식을 쓸 때의 옵션."""

from __future__ import annotations

from realesrgan.media.video.types import EncodePlan

_FINE_TIMESCALE = 10_000
"""mp4의 편집 목록(edit list)에 쓸 눈금의 아래 한도(1초에)."""
_MAX_TIMESCALE = 1 << 31


def muxer_options(container: str, plan: EncodePlan, index_first: bool = True) -> dict[str, str]:
    """FFmpeg의 묶음 형식에 넘길 옵션.

    mp4의 편집 목록은 눈금이 기본으로 1/1000초라, 그대로 두면 늦게 시작하는 스트림의 시각이
    반올림되고 아주 짧은 영상은 길이가 0이 되어 보이지 않는다. 그래서 영상의 시각을 나누어떨어지게 하는 눈금을 쓴다.

    Args:
        container: FFmpeg의 묶음 형식 이름.
        plan: 부호화 계획.
        index_first: mp4와 mov의 색인을 앞에 둘지. 받으면서 재생할 수 있다.
    """
    if container not in ("mp4", "mov"):
        return {}
    base = plan.time_base.denominator
    scale = base * -(-_FINE_TIMESCALE // base)
    options = {"movflags": "+faststart"} if index_first else {}
    return {**options, "movie_timescale": str(scale)} if scale < _MAX_TIMESCALE else options
