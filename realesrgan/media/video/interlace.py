"""비월(interlaced) 영상인지 알아본다."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from realesrgan.media.video.library import import_av

SAMPLE_FRAMES = 90
"""한 자리에서 볼 프레임 수."""
_ENOUGH = 8
"""판단에 필요한, 움직임이 있는 프레임 수."""
_FLAGGED_SHARE = 0.2
"""비월 표시가 있는 영상에서, 빗살 무늬가 이만큼 있어야 정말 비월로 본다. 2:3 풀다운(telecine)은 0.4쯤이다."""
_PLAIN_SHARE = 0.5
"""표시가 없는 영상에서의 문턱. 가는 가로줄 무늬를 비월로 잘못 보지 않게 더 높다."""
_COMB_RATIO = 1.15
"""표시가 없는 영상에서, 움직이는 곳의 빗살이 순차 영상의 무늬보다 이만큼은 많아야 한다. 순차 영상은 아무리 자잘한
무늬라도 1을 넘지 않고(잡음이 꼭 1이다), 비월 영상은 2를 넘는 것이 보통이다."""
_MOVED = 12
_COMBED = 144
_WIDEST = 480


@dataclass(frozen=True)
class FieldCount:
    """본 프레임들.

    Attributes:
        interlaced, progressive: 내용이 비월로, 순차로 보인 프레임 수.
        flagged: 디코더가 비월이라고 표시한 프레임 수.
        total: 본 프레임 수.
        near, far: 움직이는 화소 가운데 바로 위아래 줄, 두 줄 위아래와 함께 빗살을 이루는 것의 수.
            비월이면 이웃한 줄만 다른 시각의 것이라 `near`가 훨씬 많다.
    """

    interlaced: int = 0
    progressive: int = 0
    flagged: int = 0
    total: int = 0
    near: int = 0
    far: int = 0

    def __add__(self, other: FieldCount) -> FieldCount:
        return FieldCount(
            self.interlaced + other.interlaced,
            self.progressive + other.progressive,
            self.flagged + other.flagged,
            self.total + other.total,
            self.near + other.near,
            self.far + other.far,
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
    if flagged:
        return share >= _FLAGGED_SHARE
    # idet는 움직이는 자잘한 무늬(시험 화면 따위)를 비월로 잘못 본다. 표시도 없으면 빗살을 따로 세어 확인한다.
    return share >= _PLAIN_SHARE and count.near > _COMB_RATIO * count.far


def count_fields(frames: Iterable[Any], time_base: Any, limit: int = SAMPLE_FRAMES) -> FieldCount:
    """PyAV 프레임들을 idet 필터로 본다.

    Args:
        frames: 잇닿은 프레임들.
        time_base: 프레임의 시각의 단위.
        limit: 볼 프레임 수.
    """
    graph: Any = None
    total = flagged = interlaced = progressive = near = far = 0
    previous: NDArray[np.int32] | None = None
    for frame in frames:
        if total >= limit:
            break
        graph = graph or _idet(frame, time_base)
        flagged += bool(frame.interlaced_frame)
        luma = _luma(frame)
        if previous is not None:
            combed_near, combed_far = count_combs(previous, luma)
            near, far = near + combed_near, far + combed_far
        previous = luma
        frame.pts = total
        total += 1
        graph.push(frame)
        combed, clean = _read(graph)
        interlaced, progressive = interlaced + combed, progressive + clean
    if graph is not None:
        graph.push(None)
        combed, clean = _read(graph)
        interlaced, progressive = interlaced + combed, progressive + clean
    return FieldCount(interlaced, progressive, flagged, total, near, far)


def count_combs(previous: NDArray[np.int32], current: NDArray[np.int32]) -> tuple[int, int]:
    """움직인 화소 가운데 위아래 줄과 빗살을 이루는 것을 센다.

    Args:
        previous, current: 잇닿은 두 프레임의 휘도 `(H, W)`, 0..255. 높이는 5 이상이어야 셀 것이 있다.

    Returns:
        바로 위아래 줄과, 두 줄 위아래와 빗살을 이루는 화소의 수.
    """
    moving = np.abs(current - previous) > _MOVED
    around = moving[2:-2] | moving[1:-3] | moving[3:-1]
    line = current[2:-2]
    near = (line - current[1:-3]) * (line - current[3:-1]) > _COMBED
    far = (line - current[:-4]) * (line - current[4:]) > _COMBED
    return int((near & around).sum()), int((far & around).sum())


def _luma(frame: Any) -> NDArray[np.int32]:
    """휘도. 넓은 화면은 세로줄을 솎는다. 빗살은 세로 방향의 일이라 잃는 것이 없다."""
    gray: NDArray[Any] = frame.reformat(format="gray").to_ndarray()
    return gray[:, :: max(gray.shape[1] // _WIDEST, 1)].astype(np.int32)


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
