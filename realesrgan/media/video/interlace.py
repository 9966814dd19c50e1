"""비월(interlaced) 비디오를 알아보고 편다."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Iterator, Sequence
from contextlib import suppress
from fractions import Fraction
from itertools import islice
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from realesrgan.media.video.files import import_av
from realesrgan.media.video.types import VideoInfo

SAMPLE_FRAMES = 90
"""한 자리에서 볼 프레임 수."""
_ENOUGH = 8
"""판단에 필요한, 움직임이 있는 프레임 수."""
_PLAINLY = 24
"""움직임이 있는 프레임을 이만큼 보아도 비월 표시도 엮은 줄도 없으면 순차로 보고 더 보지 않는다."""
_FLAGGED_SHARE = 0.15
"""비월 표시가 있는 비디오에서, 엮은 프레임이 이만큼 있어야 정말 비월로 본다."""
_PLAIN_SHARE = 0.75
"""표시가 없는 비디오에서의 문턱. 위아래로 흐르는 순차의 글은 줄만 견주면 비월과 같으므로, 빗살도 세어 본다."""
_MOVED, _COMBED, _WIDEST = 12, 144, 480
_LARGEST = 181
"""제곱이 16비트의 정수에 드는 가장 큰 차이."""


class FieldCount(NamedTuple):
    """본 프레임들.

    Attributes:
        top, bottom: 윗줄이, 아랫줄이 먼저인 비월로 보인 프레임 수.
        progressive: 순차로 보인 프레임 수. 움직임이 없어 모르는 것은 어디에도 들지 않는다.
        flagged: 디코더가 비월이라고 표시한 프레임 수.
        total: 본 프레임 수.
        near, far: 움직이는 픽셀 가운데 바로 위아래 줄, 두 줄 위아래와 함께 빗살을 이루는 것의 수.
            비월이면 이웃한 줄만 다른 시각의 것이라 `near`가 많다. 비월 표시가 있으면 세지 않는다.
        full: 볼 만큼 보았는지. 아니면 짧은 비디오라 더 볼 것이 없다.
    """

    top: int = 0
    bottom: int = 0
    progressive: int = 0
    flagged: int = 0
    total: int = 0
    near: int = 0
    far: int = 0
    full: bool = False


def is_interlaced(counts: Sequence[FieldCount], declared: bool) -> bool:
    """비월로 볼지 정한다.

    표시보다 내용이 먼저다. 순차 비디오에 비월 표시가 붙은 것이 흔하기 때문이다.
    움직임이 없어 내용으로 알 수 없으면 표시를 따른다.

    Args:
        counts: 자리마다의 본 프레임들.
        declared: 컨테이너나 코덱이 비월이라고 했는지.
    """
    flagged = declared or 2 * sum(one.flagged for one in counts) > sum(one.total for one in counts)
    decided = sum(one.top + one.bottom + one.progressive for one in counts)
    if decided < _ENOUGH:
        return flagged
    # 비월 비디오는 언제나 한쪽이 먼저다. 순차 비디오의 자잘한 무늬(시험 화면 따위)는 두 쪽이 뒤섞여 서로를 지운다.
    share = sum(abs(one.top - one.bottom) for one in counts) / decided
    if flagged:
        return share >= _FLAGGED_SHARE
    return share >= _PLAIN_SHARE and sum(one.near for one in counts) > sum(one.far for one in counts)


def count_fields(frames: Iterable[Any], limit: int = SAMPLE_FRAMES) -> FieldCount:
    """PyAV 프레임들의 줄을 FFmpeg의 idet 필터로 견주어 본다.

    Args:
        frames: 잇닿은 프레임들.
        limit: 볼 프레임 수.
    """
    error = import_av().error
    total = flagged = near = far = decided = 0
    found = {"tff": 0, "bff": 0, "progressive": 0}
    shape: tuple[int, int, str] | None = None
    previous: NDArray[np.int16] | None = None
    for frame in islice(frames, limit):
        total, flagged = total + 1, flagged + bool(frame.interlaced_frame)
        if shape != (frame.width, frame.height, frame.format.name):
            # 화면의 크기가 바뀌면 그 앞뒤는 견주지 못한다.
            shape, previous = (frame.width, frame.height, frame.format.name), None
            graph = import_av().filter.Graph()
            source = graph.add_buffer(width=frame.width, height=frame.height, format=shape[2], time_base=Fraction(1))
            split = graph.add("split", str(len(found)))
            graph.link_nodes(source, graph.add("format", "gray"), graph.add("idet"), split)
            # 프레임은 idet의 판단과 같은 이름의 출구로만 나오고, 모르는 것은 나오지 않는다.
            sinks = {name: graph.add("buffersink") for name in found}
            for place, (name, sink) in enumerate(sinks.items()):
                chosen = graph.add("metadata", f"mode=select:key=lavfi.idet.multiple.current_frame:value={name}")
                split.link_to(chosen, place)
                chosen.link_to(sink)
            graph.configure()
        graph.push(frame)
        for name, sink in sinks.items():
            with suppress(error.BlockingIOError, error.EOFError):
                while sink.pull() is not None:
                    found[name] += 1
        decided, woven = sum(found.values()), abs(found["tff"] - found["bff"])
        if not flagged:
            combs, previous = count_combs(previous, frame)
            near, far = near + combs[0], far + combs[1]
            if decided >= _PLAINLY and (woven < _PLAIN_SHARE * decided or near <= far):
                break
    full = total >= SAMPLE_FRAMES or decided >= _PLAINLY
    return FieldCount(found["tff"], found["bff"], found["progressive"], flagged, total, near, far, full)


def count_combs(previous: NDArray[np.int16] | None, frame: Any) -> tuple[tuple[int, int], NDArray[np.int16]]:
    """움직인 픽셀 가운데 위아래 줄과 빗살을 이루는 것을 센다.

    Args:
        previous: 앞 프레임의 휘도. 없으면 None이고, 셀 것도 없다.
        frame: 프레임. 높이는 5 이상이어야 셀 것이 있다.

    Returns:
        바로 위아래 줄과, 두 줄 위아래와 빗살을 이루는 픽셀의 수. 그리고 프레임의 휘도 `(H, W)`, 0..255.
        넓은 화면은 세로줄을 솎는다: 빗살은 세로 방향의 일이라 잃는 것이 없다.
    """
    if not frame.format.name.startswith(("yuv4", "yuvj4", "gray")) or frame.format.components[0].bits != 8:
        frame = frame.reformat(format="gray")
    plane = frame.planes[0]
    rows = np.frombuffer(plane, np.uint8).reshape(-1, abs(plane.line_size))[: frame.height, : frame.width]
    current = rows[:, :: -(-frame.width // _WIDEST)].astype(np.int16)
    if previous is None:
        return (0, 0), current
    moving = np.abs(current - previous) > _MOVED
    around = moving[2:-2] | moving[1:-3] | moving[3:-1]
    # 곱이 16비트에 들게 자른다. 문턱보다 훨씬 크므로 판단은 그대로다.
    one, two = (np.clip(current[gap:] - current[:-gap], -_LARGEST, _LARGEST) for gap in (1, 2))
    near, far = one[1:-2] * one[2:-1] < -_COMBED, two[:-2] * two[2:] < -_COMBED
    return (int(np.count_nonzero(near & around)), int(np.count_nonzero(far & around))), current


Deinterlace = Literal["", "single", "double", "ivtc"]
"""비월을 푸는 법. `single`은 프레임마다 하나, `double`은 필드마다 하나, `ivtc`는 2:3 풀다운을 되돌린다."""
_CHAINS: dict[str, tuple[tuple[str, str], ...]] = {
    "single": (("bwdif", "mode=send_frame:parity=auto:deint=all"),),
    "double": (("bwdif", "mode=send_field:parity=auto:deint=all"),),
    # 짝이 되는 필드를 찾지 못해 빗살이 남은 프레임만 편다.
    "ivtc": (("fieldmatch", "combmatch=full"), ("bwdif", "mode=send_frame:parity=auto:deint=interlaced")),
}
FILM_CYCLE = 5
"""2:3 풀다운은 필름 네 프레임을 다섯 프레임으로 늘린다."""


def deinterlaced(frames: Iterable[Any], info: VideoInfo, mode: Deinterlace) -> Iterator[Any]:
    """PyAV 프레임들을 FFmpeg의 필터로 펴서 낸다. 앞뒤 프레임을 보므로 조금 늦게 나온다.

    `single`과 `ivtc`는 프레임 수와 시각이 그대로다(`ivtc`의 겹치는 프레임은 `without_repeats`가 뺀다). `double`은
    프레임마다 둘이고, 시각의 단위가 반(`info.time_base / 2`)이 된다.

    Args:
        frames: 잇닿은 프레임들.
        info: 원본의 정보.
        mode: 푸는 법.
    """
    graph: Any = None
    times: list[tuple[int | None, int, bytes]] = []
    usual = max(1, round(1 / (info.rate * info.time_base)))
    shape = None
    for frame in frames:
        if shape != (frame.width, frame.height, frame.format.name):
            if graph is not None:
                graph.push(None)
                yield from _pull(graph, times)
            shape = (frame.width, frame.height, frame.format.name)
            graph = _graph(frame, info, mode)
        captions = bytes(frame.side_data.get("A53_CC") or b"")
        if mode == "double":
            length = frame.duration or usual
            first = None if frame.pts is None else 2 * frame.pts
            times += [(first, length, captions), (None if first is None else first + length, length, b"")]
        else:
            times.append((frame.pts, frame.duration, captions))
        graph.push(frame)
        yield from _pull(graph, times)
    if graph is not None:
        graph.push(None)
        yield from _pull(graph, times)


def _graph(frame: Any, info: VideoInfo, mode: Deinterlace) -> Any:
    graph = import_av().filter.Graph()
    nodes = [
        graph.add_buffer(width=frame.width, height=frame.height, format=frame.format.name, time_base=info.time_base),
        *(graph.add(name, options) for name, options in _CHAINS[mode]),
        # 필터가 다른 형식을 고르면 값이 달라질 수 있으므로 들어온 형식으로 못박는다.
        graph.add("format", f"pix_fmts={frame.format.name}"),
        graph.add("buffersink"),
    ]
    graph.link_nodes(*nodes).configure()
    return graph


def _pull(graph: Any, times: list[tuple[int | None, int, bytes]]) -> Iterator[Any]:
    """다 된 프레임을 꺼내 원본의 시각과 방송 자막(`opaque`)을 붙인다.

    필터는 시각을 다른 단위로 바꾸고, 한 프레임에서 나온 두 필드에 같은 자막을 두 번 붙인다.
    """
    av = import_av()
    while times:
        try:
            frame = graph.pull()
        except (av.error.BlockingIOError, av.error.EOFError):
            return
        frame.pts, frame.duration, captions = times.pop(0)
        frame.opaque = bytearray(captions)  # PyAV는 id로 찾으므로, 서로 같은 것인 빈 bytes를 주면 잃는다.
        yield frame


def without_repeats(frames: Iterable[Any], info: VideoInfo) -> Iterator[Any]:
    """풀다운으로 늘어난 프레임을 다섯마다 하나씩 빼고, 나머지를 고른 간격에 놓는다.

    다섯 프레임의 묶음은 비디오의 처음부터 센 번호로 정해지므로 어디서부터 읽어도 같은 프레임을 뺀다. 묶음에서는 앞
    프레임과 가장 비슷한 것을 뺀다.

    Args:
        frames: 필드를 짝지은 프레임들(`deinterlaced`의 `ivtc`).
        info: 원본의 정보.
    """
    step = 1 / (info.rate * info.time_base)
    group: list[tuple[int, float, Any]] = []
    captions = b""
    previous: NDArray[np.int32] | None = None
    current: int | None = None
    for frame in frames:
        number = round((frame.pts - info.start) / step) if frame.pts is not None else (group[-1][0] + 1 if group else 0)
        luma = frame.reformat(format="gray").to_ndarray()[::2, ::4].astype(np.int32)
        same = previous is not None and previous.shape == luma.shape
        change = float(np.abs(luma - previous).mean()) if same else float("inf")
        if current is not None and number // FILM_CYCLE != current:
            captions = yield from _kept_of(group, info, step, captions)
            group = []
        previous, current = luma, number // FILM_CYCLE
        group.append((number, change, frame))
    yield from _kept_of(group, info, step, captions)


def _kept_of(
    group: list[tuple[int, float, Any]], info: VideoInfo, step: Fraction, captions: bytes
) -> Generator[Any, None, bytes]:
    """남길 프레임들을 내고, 끝에서 뺀 프레임의 방송 자막을 돌려준다. 뺀 것의 자막은 다음 프레임의 `opaque`에 얹는다."""
    spare = min(group, key=lambda item: item[1]) if len(group) == FILM_CYCLE else None
    place = 0
    for item in group:
        number, _, frame = item
        if item is spare:
            captions += frame.opaque
            continue
        begin = number // FILM_CYCLE * FILM_CYCLE
        # 네 프레임을 다섯 프레임의 길이에 고르게 놓는다. 모자란 묶음(비디오의 끝)은 제 번호를 따른다.
        moment = begin + (place if len(group) == FILM_CYCLE else min(number - begin, 3)) * Fraction(5, 4)
        frame.pts, frame.duration = info.start + round(moment * step), round(step * Fraction(5, 4))
        frame.opaque, captions = bytearray(captions + frame.opaque), b""
        place += 1
        yield frame
    return captions
