"""원본의 시각과 결과의 시각을 오간다. 순수 함수만 있다."""

from __future__ import annotations

from fractions import Fraction

from realesrgan.errors import UsageError
from realesrgan.media.video.types import PacketIndex, VideoInfo


def pts_range(
    info: VideoInfo, index: PacketIndex, start: Fraction | None, end: Fraction | None
) -> tuple[int | None, int | None]:
    """초로 준 구간을 원본의 pts로 바꾼다. 0초는 첫 프레임이다.

    Args:
        info: 원본의 정보.
        index: 패킷을 훑어 안 것. 비어 있으면 첫 프레임의 pts를 0으로 본다.
        start, end: 첫 프레임부터의 초. None은 처음과 끝.

    Raises:
        UsageError: 구간이 비었을 때.
    """
    origin = index.pts[0] if index.pts else 0

    def to_pts(seconds: Fraction) -> int:
        ticks = seconds / info.time_base
        return origin + -(-ticks.numerator // ticks.denominator)

    first = None if not start else to_pts(start)
    last = None if end is None else to_pts(end)
    inside = [pts for pts in index.pts if (first is None or pts >= first) and (last is None or pts < last)]
    if (start or 0) >= (end if end is not None else (start or 0) + 1) or (index.pts and not inside):
        length = "" if not index.pts else f" (영상의 길이는 {float((index.pts[-1] - origin) * info.time_base):.2f}초쯤)"
        raise UsageError(
            f"키울 구간에 프레임이 없습니다: {info.name}{length}\n  해결: --start와 --end를 영상의 길이에 맞추세요."
        )
    return first, last


def to_ticks(pts: int, source: Fraction, target: Fraction) -> int:
    """한 time_base의 시각을 다른 time_base로 옮긴다. 나누어떨어지지 않으면 가장 가까운 눈금이다."""
    return round(pts * source / target)
