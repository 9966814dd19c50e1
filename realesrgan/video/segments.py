"""비디오를 따로 키워 이어 붙일 조각(segment)으로 나눈다. 순수 함수만 있다."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from realesrgan.media.video.types import PacketIndex

# 조각은 이만큼의 프레임이 모인 뒤의 첫 키프레임(keyframe)에서 나뉜다. 중단되면 잃는 일의 크기이기도 하다.
SEGMENT_FRAMES = 120
# 키프레임이 드문 비디오는 이만큼에서 나눈다. 앞의 키프레임부터 다시 풀면 되므로 결과는 같다.
LONGEST_SEGMENT = 480


@dataclass(frozen=True)
class Span:
    """조각 하나가 맡는 시간 `start <= pts < end`. 단위는 원본의 time_base, None은 끝없음이다."""

    start: int | None = None
    end: int | None = None

    def holds(self, pts: int) -> bool:
        """이 시각의 프레임을 맡는지."""
        return (self.start is None or pts >= self.start) and (self.end is None or pts < self.end)


def plan_spans(
    index: PacketIndex,
    start: int | None = None,
    end: int | None = None,
    *,
    shortest: int = SEGMENT_FRAMES,
    longest: int = LONGEST_SEGMENT,
) -> list[Span]:
    """비디오를 조각으로 나눈다. 입력이 같으면 언제나 같으므로 이어 하기의 결과도 같다.

    Args:
        index: 패킷을 훑어 안 시각들. 비어 있으면 조각은 하나다.
        start, end: 키울 구간 `start <= pts < end`. None은 처음과 끝.
        shortest: 조각의 최소 프레임 수(마지막 조각은 더 짧을 수 있다).
        longest: 키프레임이 없어도 나누는 프레임 수.

    Returns:
        구간을 빈틈과 겹침 없이 덮는 조각들.
    """
    whole = Span(start, end)
    keyframes = set(index.keyframes)
    edges: list[int] = []
    count = 0
    for pts in index.pts:
        if not whole.holds(pts):
            continue
        if (count >= shortest and pts in keyframes) or count >= longest:
            edges.append(pts)
            count = 0
        count += 1
    bounds: Sequence[int | None] = [start, *edges, end]
    return [Span(first, second) for first, second in pairwise(bounds)]
