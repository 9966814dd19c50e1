"""비월(interlaced) 영상인지 알아본다."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from realesrgan.media.video.library import import_av

SAMPLE_FRAMES = 90
"""한 자리에서 볼 프레임 수."""
_ENOUGH = 8
"""판단에 필요한, 움직임이 있는 프레임 수."""
_FLAGGED_SHARE = 0.2
"""비월 표시가 있는 영상에서, 빗살 무늬가 이만큼 있어야 정말 비월로 본다. 2:3 풀다운(telecine)은 0.4쯤이다."""
_PLAIN_SHARE = 0.5
"""표시가 없는 영상에서의 문턱. 가는 가로줄 무늬를 비월로 잘못 보지 않게 더 높다."""


@dataclass(frozen=True)
class FieldCount:
    """본 프레임들.

    Attributes:
        interlaced, progressive: 내용이 비월로, 순차로 보인 프레임 수.
        flagged: 디코더가 비월이라고 표시한 프레임 수.
        total: 본 프레임 수.
    """

    interlaced: int = 0
    progressive: int = 0
    flagged: int = 0
    total: int = 0

    def __add__(self, other: FieldCount) -> FieldCount:
        return FieldCount(
            self.interlaced + other.interlaced,
            self.progressive + other.progressive,
            self.flagged + other.flagged,
            self.total + other.total,
        )


def is_interlaced(count: FieldCount, declared: bool) -> bool:
    """비월로 볼지 정한다.

    표시보다 내용이 먼저다. 순차 영상에 비월 표시가 붙은 것이 흔하기 때문이다.
    움직임이 없어 내용으로 알 수 없으면 표시를 따른다.

    Args:
        count: 본 프레임들.
        declared: 묶음이나 코덱이 비월이라고 했는지.
    """
    flagged = declared or count.flagged * 2 > count.total
    decided = count.interlaced + count.progressive
    if decided < _ENOUGH:
        return flagged
    share = count.interlaced / decided
    return share >= (_FLAGGED_SHARE if flagged else _PLAIN_SHARE)


def count_fields(frames: Iterable[Any], time_base: Any, limit: int = SAMPLE_FRAMES) -> FieldCount:
    """PyAV 프레임들을 idet 필터로 본다.

    Args:
        frames: 잇닿은 프레임들.
        time_base: 프레임의 시각의 단위.
        limit: 볼 프레임 수.
    """
    graph: Any = None
    total = flagged = interlaced = progressive = 0
    for frame in frames:
        if total >= limit:
            break
        graph = graph or _idet(frame, time_base)
        flagged += bool(frame.interlaced_frame)
        frame.pts = total
        total += 1
        graph.push(frame)
        combed, clean = _read(graph)
        interlaced, progressive = interlaced + combed, progressive + clean
    if graph is not None:
        graph.push(None)
        combed, clean = _read(graph)
        interlaced, progressive = interlaced + combed, progressive + clean
    return FieldCount(interlaced, progressive, flagged, total)


def _idet(frame: Any, time_base: Any) -> Any:
    graph = import_av().filter.Graph()
    source = graph.add_buffer(width=frame.width, height=frame.height, format=frame.format.name, time_base=time_base)
    idet = graph.add("idet")
    sink = graph.add("buffersink")
    source.link_to(idet)
    idet.link_to(sink)
    graph.configure()
    return graph


def _read(graph: Any) -> tuple[int, int]:
    """나온 프레임들의 판단을 센다. `undetermined`는 움직임이 없어 모르는 것이다."""
    av = import_av()
    combed = clean = 0
    while True:
        try:
            frame = graph.pull()
        except (av.error.BlockingIOError, av.error.EOFError):
            return combed, clean
        kind = frame.metadata.get("lavfi.idet.multiple.current_frame", "undetermined")
        combed += kind in ("tff", "bff")
        clean += kind == "progressive"
