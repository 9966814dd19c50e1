"""원본의 시각과 결과의 시각을 오간다. 순수 함수만 있다."""

from __future__ import annotations

from fractions import Fraction
from itertools import pairwise

from realesrgan.errors import UsageError, VideoFormatError
from realesrgan.media.video.types import PacketIndex, VideoInfo

# 프레임 사이가 이보다 길면(초) 화면이 멈춘 것이 아니라 시각이 어긋난 것이다.
LONGEST_GAP = 12 * 3600


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
        length = "" if not index.pts else f" (길이는 {float((index.pts[-1] - origin) * info.time_base):.2f}초쯤)"
        raise UsageError(
            f"키울 구간에 프레임이 없습니다: {info.name}{length}\n  해결: --start와 --end를 비디오의 길이에 맞추세요."
        )
    return first, last


def refuse_reset_clock(info: VideoInfo, index: PacketIndex, start: int | None, end: int | None) -> None:
    """구간 안에서 시각이 반나절 넘게 건너뛰는 비디오를 막는다.

    따로 녹화한 방송을 이어 붙이면 시각이 되돌아가고, FFmpeg는 그것을 33비트의 한 바퀴(26.5시간)를 건너뛴 것으로 본다.

    Args:
        info: 원본의 정보.
        index: 패킷을 훑어 안 것.
        start, end: 키울 구간(원본의 pts).

    Raises:
        VideoFormatError: 건너뛸 때. 나누어 키울 시각을 알려 준다.
    """
    inside = [pts for pts in index.pts if (start is None or pts >= start) and (end is None or pts < end)]
    for before, after in pairwise(inside):
        if (after - before) * info.time_base > LONGEST_GAP:
            last, following = (float((pts - index.pts[0]) * info.time_base) for pts in (before, after))
            raise VideoFormatError(
                f"시각이 {(following - last) / 3600:.1f}시간을 건너뜁니다: {info.name}\n"
                "  이유: 따로 녹화한 것을 이어 붙인 파일로 보입니다.\n"
                "  해결: 붙이기 전의 파일을 하나씩 키우거나, 둘로 나누어 키우세요: "
                f"--end {last + 0.001:.3f}, --start {following - 0.001:.3f}"
            )


def to_ticks(pts: int, source: Fraction, target: Fraction) -> int:
    """한 time_base의 시각을 다른 time_base로 옮긴다. 나누어떨어지지 않으면 가장 가까운 눈금이다."""
    return round(pts * source / target)
