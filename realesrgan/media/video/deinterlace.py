"""비월(interlaced) 영상을 편다."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from realesrgan.media.video.library import import_av
from realesrgan.media.video.types import VideoInfo


class Deinterlacer:
    """bwdif로 프레임마다 하나씩 편다(send_frame). 프레임 수와 시각은 그대로다.

    Args:
        info: 영상의 정보.
    """

    def __init__(self, info: VideoInfo) -> None:
        self._info = info

    def run(self, frames: Iterable[Any]) -> Iterator[Any]:
        """PyAV 프레임들을 펴서 낸다. 앞뒤 프레임을 보므로 한 프레임 늦게 나온다."""
        graph = None
        times: list[tuple[int | None, int]] = []
        for frame in frames:
            if graph is None:
                graph = _graph(frame, self._info)
            times.append((frame.pts, frame.duration))
            graph.push(frame)
            yield from _pull(graph, times)
        if graph is not None:
            graph.push(None)
            yield from _pull(graph, times)


def _graph(frame: Any, info: VideoInfo) -> Any:
    av = import_av()
    graph = av.filter.Graph()
    source = graph.add_buffer(
        width=frame.width, height=frame.height, format=frame.format.name, time_base=info.time_base
    )
    bwdif = graph.add("bwdif", "mode=send_frame:parity=auto:deint=all")
    # 필터가 다른 형식을 고르면 값이 달라질 수 있으므로 들어온 형식으로 못박는다.
    same = graph.add("format", f"pix_fmts={frame.format.name}")
    sink = graph.add("buffersink")
    source.link_to(bwdif)
    bwdif.link_to(same)
    same.link_to(sink)
    graph.configure()
    return graph


def _pull(graph: Any, times: list[tuple[int | None, int]]) -> Iterator[Any]:
    """다 된 프레임을 꺼내 원본의 시각을 붙인다. 필터가 시각을 다른 단위로 바꾸기 때문이다."""
    av = import_av()
    while True:
        try:
            frame = graph.pull()
        except (av.error.BlockingIOError, av.error.EOFError):
            return
        frame.pts, frame.duration = times.pop(0)
        yield frame
