"""그대로 복사할 수 없는 소리를 다시 부호화(encoding)한다."""

from __future__ import annotations

from collections.abc import Iterable
from fractions import Fraction
from typing import Any

from realesrgan.media.video.audio_timeline import AudioTimeline
from realesrgan.media.video.library import import_av
from realesrgan.media.video.window import Window

_RATES = {"libopus": (48000, 24000, 16000, 12000, 8000)}
_AAC_RATES = (96000, 88200, 64000, 48000, 44100, 32000, 24000, 22050, 16000, 12000, 11025, 8000, 7350)
_BITS_PER_CHANNEL = {"aac": 128_000, "libopus": 80_000}
"""채널마다의 비트율. 눈을 감고 들어 원본과 가려내기 어려운 쪽으로 넉넉히 잡았다."""
_FORMATS = {"aac": "fltp", "libopus": "flt", "pcm_f32le": "flt", "pcm_f64le": "dbl", "pcm_s32le": "s32"}
_LAYOUTS = {1: "mono", 2: "stereo", 3: "3.0", 4: "quad", 5: "5.0", 6: "5.1", 7: "6.1", 8: "7.1"}
"""채널 수마다의 배치. libopus는 이것들만 받고, 배치를 적지 않은 소리(PCM, WMA)는 이렇게 본다."""
_MOST_CHANNELS = max(_LAYOUTS)


class AudioEncoding:
    """소리 스트림 하나를 풀어 다시 부호화한다. 시각은 표본 단위로 지킨다.

    Args:
        output: 결과.
        source: 원본의 소리 스트림.
        encoder: 부호기 이름.
        window: 담을 구간. 표본 단위로 자른다.

    Attributes:
        stream: 결과에 만든 스트림.
        damaged: 깨져서 풀지 못한 패킷의 수. 그 자리는 묵음이 된다.
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
        self._shift = round(window.shift * rate)

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
            frame.pts -= self._shift
            results += self.stream.encode(frame)
        return results


class AudioConversion:
    """푼 소리를 부호기가 받는 형식으로 바꾼다. 도중에 채널이나 속도가 바뀌는 방송도 하나의 형식이 된다.

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
    """부호기가 받는 채널 배치 가운데 원본에 가장 가까운 것."""
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
    """16비트로 줄이면 잃는 것이 있는지. 손실 압축을 푼 실수는 16비트로 넉넉하다."""
    return bool(context.codec.lossless) and context.format.bytes > 2


def _nearest_rate(encoder: str, rate: int) -> int:
    """부호기가 받는 샘플 속도 가운데 원본을 잃지 않는 가장 작은 것."""
    allowed = _RATES.get(encoder, _AAC_RATES if encoder == "aac" else (rate,))
    enough = [value for value in allowed if value >= rate]
    return min(enough) if enough else max(allowed)
