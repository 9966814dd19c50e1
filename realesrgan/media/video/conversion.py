"""그대로 복사할 수 없는 소리와 자막을 다시 인코딩(encoding)한다."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from fractions import Fraction
from typing import Any

from realesrgan.media.video.files import import_av
from realesrgan.media.video.types import Window

# 이보다 많이 어긋난 시각만 믿는다(초). 컨테이너의 눈금(1밀리초)과 시각의 떨림은 표본의 수로 잇고, 소리가 빠진 곳은
# 메운다. 빠질 수 있는 가장 짧은 패킷이 20밀리초쯤이다.
JUMP = Fraction(1, 100)
# 이보다 많이 되돌아가거나(초) 건너뛴 것은 빠진 소리가 아니라 시계가 다시 맞추어진 것이다. 이어 붙인 방송이 그렇다.
_BACK, _AHEAD = 1, 600


class AudioTimeline:
    """디코딩한 프레임들을 표본의 자리에 놓는다. 빈 곳은 묵음으로 메우고 겹친 곳은 자른다.

    소리의 인코더는 프레임이 이어진다고 보므로, 원본의 시각을 그대로 넘기면 빈 곳 뒤의 소리가 앞으로 밀린다. 한 프레임만
    어긋났다가 돌아오는 시각(Vorbis의 블록이 바뀌는 곳)은 떨림으로 보고 따르지 않는다.

    Args:
        rate: 표본 속도. 들어오는 프레임은 모두 이 속도다.
        first, last: 남길 구간의 시각(초). 표본 단위로 자른다. None은 끝까지.
    """

    def __init__(self, rate: int, first: Fraction | float | None = None, last: Fraction | float | None = None) -> None:
        self._rate = rate
        self._first = None if first is None else round(first * rate)
        self._last = None if last is None else round(last * rate)
        self._next: int | None = None
        self._offset = 0
        self._held: Any = None

    def push(self, frame: Any) -> Iterator[Any]:
        """프레임 하나를 받아, 자리가 정해진 프레임들을 낸다. 다음 프레임을 보아야 하므로 하나씩 늦다."""
        held, self._held = self._held, frame
        if held is not None:
            yield from self._placed(held, self._place(frame))

    def flush(self) -> Iterator[Any]:
        """마지막 프레임까지 낸다."""
        held, self._held = self._held, None
        if held is not None:
            yield from self._placed(held, None)

    def _place(self, frame: Any) -> int | None:
        return None if frame.pts is None else round(frame.pts * frame.time_base * self._rate) - self._offset

    def _placed(self, frame: Any, following: int | None) -> Iterator[Any]:
        place = self._place(frame)
        expected = self._next if self._next is not None else place or 0
        jump = 0 if place is None else place - expected
        if not self._real(jump, expected + frame.samples, following):
            jump = 0
        elif not -_BACK * self._rate <= jump <= _AHEAD * self._rate:
            self._offset += jump
            jump = 0
        yield from self._silence(expected, jump, frame)
        begin = min(max(-jump, 0), frame.samples)
        start = expected + max(jump, 0)
        self._next = start + frame.samples - begin
        yield from self._inside(frame, start, begin)

    def _real(self, jump: int, continued: int, following: int | None) -> bool:
        """시각의 어긋남이 진짜인지. 다음 프레임이 이어진 자리로 돌아오면 떨림이다."""
        slack = JUMP * self._rate
        return abs(jump) > slack and (following is None or abs(following - continued) > slack)

    def _silence(self, start: int, samples: int, like: Any) -> Iterator[Any]:
        while samples > 0:
            count = min(samples, self._rate)
            quiet = new_frame(like, count)
            for plane in quiet.planes:
                plane.update(bytes(plane.buffer_size))
            yield from self._inside(quiet, start, 0)
            start, samples = start + count, samples - count

    def _inside(self, frame: Any, start: int, begin: int) -> Iterator[Any]:
        """앞의 `begin`개를 뺀 나머지가 `start`에서 시작하는 프레임을, 구간 안만 남겨 낸다."""
        end = start + frame.samples - begin
        skip = 0 if self._first is None else max(self._first - start, 0)
        cut = 0 if self._last is None else max(end - self._last, 0)
        count = end - start - skip - cut
        if count <= 0:
            return
        kept = frame if count == frame.samples else part_of(frame, begin + skip, count)
        kept.pts, kept.time_base = start + skip, Fraction(1, self._rate)
        yield kept


def new_frame(like: Any, samples: int) -> Any:
    """같은 형식의 빈 프레임. 내용은 정해지지 않았다."""
    frame = import_av().AudioFrame(format=like.format.name, layout=like.layout.name, samples=samples)
    frame.sample_rate = like.sample_rate
    return frame


def part_of(frame: Any, begin: int, count: int) -> Any:
    """프레임의 `begin`번째 표본부터 `count`개를 담은 새 프레임."""
    part = new_frame(frame, count)
    stride = frame.format.bytes * (1 if frame.format.is_planar else frame.layout.nb_channels)
    for source, target in zip(frame.planes, part.planes, strict=True):
        target.update(bytes(source)[begin * stride : (begin + count) * stride])
    return part


_RATES = {"libopus": (48000, 24000, 16000, 12000, 8000)}
_AAC_RATES = (96000, 88200, 64000, 48000, 44100, 32000, 24000, 22050, 16000, 12000, 11025, 8000, 7350)
_BITS_PER_CHANNEL = {"aac": 128_000, "libopus": 80_000}
"""채널마다의 비트율. 눈을 감고 들어 원본과 가려내기 어려운 쪽으로 넉넉히 잡았다."""
_FORMATS = {"aac": "fltp", "libopus": "flt", "pcm_f32le": "flt", "pcm_f64le": "dbl", "pcm_s32le": "s32"}
_LAYOUTS = {1: "mono", 2: "stereo", 3: "3.0", 4: "quad", 5: "5.0", 6: "5.1", 7: "6.1", 8: "7.1"}
"""채널 수마다의 배치. libopus는 이것들만 받고, 배치를 적지 않은 소리(PCM, WMA)는 이렇게 본다."""
_MOST_CHANNELS = max(_LAYOUTS)


class AudioEncoding:
    """소리 스트림 하나를 디코딩해 다시 인코딩한다. 시각은 표본 단위로 지킨다.

    Args:
        output: 결과.
        source: 원본의 소리 스트림.
        encoder: 인코더 이름.
        window: 담을 구간. 표본 단위로 자른다.

    Attributes:
        stream: 결과에 만든 스트림.
        damaged: 깨져서 디코딩하지 못한 패킷의 수. 그 자리는 묵음이 된다.
    """

    def __init__(self, output: Any, source: Any, encoder: str, window: Window) -> None:
        context = source.codec_context
        self._source = source
        self.damaged = 0
        rate = _nearest_rate(encoder, context.sample_rate)
        self.stream = output.add_stream(encoder, rate=rate)
        target = self.stream.codec_context
        target.layout = encodable_layout(encoder, context.layout)
        target.format = _FORMATS.get(encoder) or ("s32" if _is_wide(context) else "s16")
        if encoder in _BITS_PER_CHANNEL:
            target.bit_rate = _BITS_PER_CHANNEL[encoder] * target.layout.nb_channels
        target.time_base = Fraction(1, rate)
        self._conversion = AudioConversion(target.format.name, target.layout.name, rate)
        self._timeline = AudioTimeline(rate, window.first, window.last)
        self._window = window
        self._tempo = None if window.speed == 1 else Tempo(window.speed)

    def handle(self, packet: Any) -> list[Any]:
        """원본의 패킷(None은 끝)에서 나온 결과의 패킷들."""
        results: list[Any] = []
        for frame in self._decoded(packet):
            for converted in self._conversion.convert(frame):
                results += self._encode(self._timeline.push(converted))
        if packet is None:
            for converted in self._conversion.flush():
                results += self._encode(self._timeline.push(converted))
            results += self._encode(self._timeline.flush())
            if self._tempo is not None:
                results += self._encode_moved(self._tempo.flush())
            results += self.stream.encode(None)
        return results

    def _decoded(self, packet: Any) -> list[Any]:
        error = import_av().error
        try:
            return list(self._source.codec_context.decode(packet))
        except (error.InvalidDataError, error.PatchWelcomeError):
            self.damaged += 1
            return []

    def _encode(self, frames: Iterable[Any]) -> list[Any]:
        results: list[Any] = []
        for frame in frames:
            frame.pts = self._window.ticks(frame.pts, frame.time_base)
            results += self._encode_moved([frame] if self._tempo is None else self._tempo.push(frame))
        return results

    def _encode_moved(self, frames: Iterable[Any]) -> list[Any]:
        return [packet for frame in frames for packet in self.stream.encode(frame)]


class Tempo:
    """소리를 높이는 그대로 두고 빠르거나 느리게 한다(FFmpeg의 atempo). 들어오는 프레임은 이어져 있어야 한다.

    Args:
        speed: 몇 배 빠르게 할지.
    """

    def __init__(self, speed: Fraction) -> None:
        # atempo 하나는 0.5배부터 100배까지다. 더 느린 것은 여럿을 잇는다.
        self._speeds = [float(speed)]
        while self._speeds[-1] < 0.5:
            self._speeds[-1:] = [0.5, self._speeds[-1] / 0.5]
        self._graph: Any = None
        self._next = 0

    def push(self, frame: Any) -> Iterator[Any]:
        """프레임 하나(시각은 이미 옮긴 것)를 받아, 빨라지거나 느려진 프레임들을 낸다."""
        if self._graph is None:
            self._next = frame.pts
            self._graph = self._connected(frame)
        self._graph.push(frame)
        yield from self._pulled()

    def _connected(self, frame: Any) -> Any:
        graph = import_av().filter.Graph()
        sample_format, layout = frame.format.name, frame.layout.name
        nodes = [
            graph.add_abuffer(
                sample_rate=frame.sample_rate, format=sample_format, layout=layout, time_base=frame.time_base
            ),
            *(graph.add("atempo", f"{speed:.9f}") for speed in self._speeds),
            graph.add("aformat", f"sample_fmts={sample_format}:channel_layouts={layout}"),
            graph.add("abuffersink"),
        ]
        graph.link_nodes(*nodes).configure()
        return graph

    def flush(self) -> Iterator[Any]:
        """쥐고 있던 나머지."""
        if self._graph is not None:
            self._graph.push(None)
            yield from self._pulled()

    def _pulled(self) -> Iterator[Any]:
        error = import_av().error
        while True:
            try:
                frame = self._graph.pull()
            except (error.BlockingIOError, error.EOFError):
                return
            frame.pts, self._next = self._next, self._next + frame.samples
            frame.time_base = Fraction(1, frame.sample_rate)
            yield frame


class AudioConversion:
    """디코딩한 소리를 인코더가 받는 형식으로 바꾼다. 도중에 채널이나 속도가 바뀌는 방송도 하나의 형식이 된다.

    Args:
        sample_format: 표본의 형식(FFmpeg의 이름).
        layout: 채널 배치.
        rate: 표본 속도.
    """

    def __init__(self, sample_format: str, layout: str, rate: int) -> None:
        self._target = {"format": sample_format, "layout": layout, "rate": rate}
        self._shape: tuple[Any, ...] | None = None
        self._resampler: Any = None

    def convert(self, frame: Any) -> list[Any]:
        """프레임 하나에서 나온 프레임들."""
        shape = (frame.format.name, frame.layout.name, frame.sample_rate, frame.time_base)
        rest: list[Any] = []
        if shape != self._shape:
            rest = self.flush()
            self._shape, self._resampler = shape, import_av().AudioResampler(**self._target)
        return [*rest, *self._resampler.resample(frame)]

    def flush(self) -> list[Any]:
        """속도를 바꾸느라 쥐고 있던 나머지."""
        resampler, self._resampler, self._shape = self._resampler, None, None
        if resampler is None:
            return []
        return [frame for frame in resampler.resample(None) if frame is not None]


def exact_encoder(encoder: str, source: Any) -> str:
    """무손실로 담으려는 형식(flac)이 표본을 줄이지 않게, 24비트보다 넓은 PCM은 같은 너비의 PCM으로 담는다."""
    context = source.codec_context
    name = context.codec.canonical_name
    if encoder != "flac" or not name.startswith("pcm_"):
        return encoder
    wide = {"flt": "pcm_f32le", "dbl": "pcm_f64le"} | ({} if "24" in name else {"s32": "pcm_s32le"})
    return wide.get(context.format.name.rstrip("p"), encoder)


def encodable_layout(encoder: str, layout: Any) -> str:
    """인코더가 받는 채널 배치 가운데 원본에 가장 가까운 것."""
    channels = min(layout.nb_channels, _MOST_CHANNELS)
    unknown = layout.name == f"{layout.nb_channels} channels"
    if (
        unknown
        or layout.nb_channels > _MOST_CHANNELS
        or (encoder == "libopus" and layout.name not in _LAYOUTS.values())
    ):
        return _LAYOUTS[channels]
    return str(layout.name)


def _is_wide(context: Any) -> bool:
    """16비트로 줄이면 잃는 것이 있는지. 손실 압축에서 디코딩한 실수는 16비트로 넉넉하다."""
    return bool(context.codec.lossless) and context.format.bytes > 2


def _nearest_rate(encoder: str, rate: int) -> int:
    """인코더가 받는 샘플 속도 가운데 원본을 잃지 않는 가장 작은 것."""
    allowed = _RATES.get(encoder, _AAC_RATES if encoder == "aac" else (rate,))
    enough = [value for value in allowed if value >= rate]
    return min(enough) if enough else max(allowed)


class SubtitleConversion:
    """자막 스트림 하나를 디코딩해 다른 코덱으로 옮긴다. 시각과 길이는 그대로다.

    Args:
        output: 결과.
        source: 원본의 자막 스트림.
        encoder: 인코더 이름.
        window: 담을 구간. 시각을 옮기는 데 쓴다.

    Attributes:
        stream: 결과에 만든 스트림.
        unreadable: 글자나 시각을 알 수 없어 옮기지 못한 자막의 수.
    """

    def __init__(self, output: Any, source: Any, encoder: str, window: Window) -> None:
        self._source = source
        self._window = window
        self.unreadable = 0
        self.stream = output.add_stream(encoder)
        decoder = source.codec_context
        decoder.open(strict=False)
        header = decoder.subtitle_header or b""
        self.stream.codec_context.subtitle_header = header if encoder == "ass" else header + b"\0"

    def handle(self, packet: Any) -> list[Any]:
        """원본의 패킷(None은 끝)에서 나온 결과의 패킷들."""
        if packet is None:
            return []
        try:
            decoded = self._source.codec_context.decode2(packet)
        except import_av().error.InvalidDataError:
            # UTF-8이 아닌 글자도 여기로 온다.
            decoded = None
            self.unreadable += 1
        if decoded is None or not len(decoded):
            return []
        if packet.pts is None:
            self.unreadable += 1
            return []
        result = self.stream.codec_context.encode_subtitle(decoded)
        base = packet.time_base
        result.time_base = base
        result.pts = result.dts = self._window.ticks(packet.pts, base)
        result.duration = round((packet.duration or 0) / self._window.speed)
        result.stream = self.stream
        return [result]
