"""글자 자막을 다른 형식의 글자 자막으로 옮긴다."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

from realesrgan.media.video.library import import_av

TEXT_SUBTITLES = frozenset({"subrip", "srt", "ass", "ssa", "mov_text", "webvtt", "text"})


class SubtitleConversion:
    """자막 스트림 하나를 풀어 다른 코덱으로 옮긴다. 시각과 길이는 그대로다.

    Args:
        output: 결과.
        source: 원본의 자막 스트림.
        encoder: 부호기 이름.
        shift: 시각에서 뺄 값(초).

    Attributes:
        stream: 결과에 만든 스트림.
        unreadable: 글자나 시각을 알 수 없어 옮기지 못한 자막의 수.
    """

    def __init__(self, output: Any, source: Any, encoder: str, shift: Fraction) -> None:
        self._source = source
        self._shift = shift
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
        result.pts = result.dts = packet.pts - round(self._shift / base)
        result.duration = packet.duration or 0
        result.stream = self.stream
        return [result]
