"""그대로 복사할 수 없는 소리를 다시 부호화(encoding)한다."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

from realesrgan.media.video.library import import_av
from realesrgan.media.video.window import Window

_RATES = {"libopus": (48000, 24000, 16000, 12000, 8000)}
_AAC_RATES = (96000, 88200, 64000, 48000, 44100, 32000, 24000, 22050, 16000, 12000, 11025, 8000, 7350)
_BITS_PER_CHANNEL = {"aac": 128_000, "libopus": 80_000}
"""채널마다의 비트율. 눈을 감고 들어 원본과 가려내기 어려운 쪽으로 넉넉히 잡았다."""


class AudioEncoding:
    """소리 스트림 하나를 풀어 다시 부호화한다. 시각과 샘플은 그대로 이어진다.

    Args:
        output: 결과.
        source: 원본의 소리 스트림.
        encoder: 부호기 이름.
        window: 담을 구간. 샘플 단위로 자른다.

    Attributes:
        stream: 결과에 만든 스트림.
    """

    def __init__(self, output: Any, source: Any, encoder: str, window: Window) -> None:
        context = source.codec_context
        self._source = source
        self._window = window
        self._rate = _nearest_rate(encoder, context.sample_rate)
        self.stream = output.add_stream(encoder, rate=self._rate)
        self.stream.codec_context.layout = context.layout.name
        if encoder in _BITS_PER_CHANNEL:
            self.stream.codec_context.bit_rate = _BITS_PER_CHANNEL[encoder] * context.layout.nb_channels
        self.stream.codec_context.time_base = Fraction(1, self._rate)
        self._graph: Any = None

    def handle(self, packet: Any) -> list[Any]:
        """원본의 패킷(None은 끝)에서 나온 결과의 패킷들."""
        frames = self._source.codec_context.decode(packet)
        results = [result for frame in frames for result in self._encode(frame)]
        if packet is None:
            results += self._drain()
        return results

    def _encode(self, frame: Any) -> list[Any]:
        if self._window.first is None and self._window.last is None:
            frame.pts -= round(self._window.shift / frame.time_base)
            return list(self.stream.encode(frame))
        self._graph = self._graph or self._trimmer(frame)
        self._graph.push(frame)
        return self._pulled()

    def _drain(self) -> list[Any]:
        results = []
        if self._graph is not None:
            self._graph.push(None)
            results = self._pulled()
        return [*results, *self.stream.encode(None)]

    def _pulled(self) -> list[Any]:
        av = import_av()
        results: list[Any] = []
        while True:
            try:
                frame = self._graph.pull()
            except (av.error.BlockingIOError, av.error.EOFError):
                return results
            frame.pts -= round(self._window.shift / frame.time_base)
            results += self.stream.encode(frame)

    def _trimmer(self, frame: Any) -> Any:
        """샘플 단위로 자르는 필터."""
        graph = import_av().filter.Graph()
        source = graph.add_abuffer(
            format=frame.format.name,
            sample_rate=frame.sample_rate,
            layout=frame.layout.name,
            time_base=frame.time_base,
        )
        ends = {"start": self._window.first, "end": self._window.last}
        trim = graph.add("atrim", **{name: f"{float(value):.9f}" for name, value in ends.items() if value is not None})
        sink = graph.add("abuffersink")
        source.link_to(trim)
        trim.link_to(sink)
        graph.configure()
        return graph


def _nearest_rate(encoder: str, rate: int) -> int:
    """부호기가 받는 샘플 속도 가운데 원본을 잃지 않는 가장 작은 것."""
    allowed = _RATES.get(encoder, _AAC_RATES if encoder == "aac" else (rate,))
    enough = [value for value in allowed if value >= rate]
    return min(enough) if enough else max(allowed)
