"""원본의 비디오가 아닌 스트림들(소리, 자막, 첨부, 챕터, 메타데이터)을 결과로 옮긴다."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import chain
from typing import Any

from realesrgan.errors import VideoDamagedError
from realesrgan.media.video.encoders import CONTAINERS
from realesrgan.media.video.files import (
    Source,
    demux,
    import_av,
    open_container,
)
from realesrgan.media.video.probe import choose_stream, container_notes
from realesrgan.media.video.types import EncodePlan, Window

_KINDS = {"audio": "소리", "subtitle": "자막", "video": "비디오", "attachment": "첨부 파일", "data": "데이터"}
# 컨테이너나 인코더가 스스로 적는 것, 그리고 바뀐 비디오에 맞지 않는 것은 물려주지 않는다.
VIDEO_DROPPED = {"major_brand", "minor_version", "compatible_brands", "encoder", "duration", "software"}
_STREAM_DROPPED = {
    "encoder", "rotate", "duration", "vendor_id", "alpha_mode", "bps", "number_of_frames", "number_of_bytes",
    "source_id",
}  # fmt: skip


_GENERIC_HANDLERS = {"", "VideoHandler", "SoundHandler", "SubtitleHandler", "DataHandler"}
MP4_TAGS = {
    "title", "artist", "album_artist", "composer", "album", "date", "comment", "genre", "copyright", "description",
    "synopsis", "show", "episode_id", "network", "lyrics", "grouping", "track", "disc", "creation_time", "author",
    "keywords", "season_number", "episode_sort", "location", "performer", "original_date", "publisher", "rating",
    "encoded_by", "tmpo", "compilation", "gapless_playback", "hd_video", "media_type", "timecode", "year",
}  # fmt: skip
"""mp4와 mov의 정해진 이름. 여기에 들지 않는 것을 담으려면 이름을 함께 적는 방식(mdta)이어야 한다."""


def stream_label(stream: Any) -> str:
    """`소리 #2(dts, kor)`처럼 스트림을 가리키는 말."""
    context = getattr(stream, "codec_context", None)
    codec = context.codec.canonical_name if context is not None else (getattr(stream, "name", None) or "알 수 없음")
    language = stream.metadata.get("language", "und")
    detail = codec if language in ("und", "") else f"{codec}, {language}"
    return f"{_KINDS.get(stream.type, '스트림')} #{stream.index}({detail})"


def spoiled_notes(counts: Counter[str]) -> list[str]:
    """스트림의 이름마다 깨져서 담지 못한 패킷의 수를 알리는 글들."""
    return [f"{label}의 깨진 패킷 {count}개는 담을 수 없어 그 자리를 비웁니다." for label, count in counts.items()]


def inherited_tags(stream: Any, muxer: str) -> dict[str, str]:
    """스트림이 물려줄 메타데이터. 통계(`_STATISTICS`)와 길이처럼 다시 재야 하는 것은 뺀다.

    Args:
        stream: 원본의 스트림.
        muxer: 결과의 컨테이너. mp4와 mov는 이름을 handler에 적어야 보인다.
    """
    tags = {
        key: value
        for key, value in stream.metadata.items()
        if key.lower().split("-")[0] not in _STREAM_DROPPED and not key.upper().startswith("_STATISTICS")
    }
    if tags.get("handler_name", "") in _GENERIC_HANDLERS:
        tags.pop("handler_name", None)
    if muxer in ("mp4", "mov") and "title" in tags:
        tags.setdefault("handler_name", tags["title"])
    return tags


_ATTACHED = 1 << 10  # AV_DISPOSITION_ATTACHED_PIC
_SEEK_MARGIN = 5
"""구간의 앞에서부터 다시 읽을 여유(초). 소리의 준비 패킷까지 넉넉히 든다."""
_PREROLL_PACKETS = {"aac": 1, "mp3": 1, "opus": 4, "ac3": 1, "eac3": 1}
"""바르게 디코딩하기 위해 앞서 있어야 하는 패킷 수. mp4와 mov는 편집 목록(edit list)으로 들리지 않게 담는다."""

TEXT_SUBTITLES = frozenset({"subrip", "srt", "ass", "ssa", "mov_text", "webvtt", "text"})
_OPUS_DELAY = Fraction(8, 100)
_NONE = Fraction(0)


Handler = Callable[[Any], list[Any]]
"""원본의 패킷 하나(None은 끝)를 받아 결과의 패킷들을 낸다."""


class Tracks:
    """옮길 스트림들.

    Args:
        output: 아직 머리를 쓰지 않은 결과.
        container: 연 원본(`open_tracks`). 닫는 것은 부르는 쪽이다.
        name: 사람에게 보일 원본의 이름.
        plan: 인코딩 계획.
        window: 담을 구간.
        trial: 담을 수 있는지만 볼지. 원본의 자리와 설정을 건드리지 않는다.

    Attributes:
        video_tags: 결과의 비디오 스트림이 물려받을 메타데이터.
        video_disposition: 그 표시(default 등).
        handlers: 스트림의 번호마다 그 패킷을 옮기는 것. 비었으면 옮길 패킷이 없다.
        warnings: 담지 못한 것들에 대한 알림.
    """

    def __init__(
        self, output: Any, container: Any, name: str, plan: EncodePlan, window: Window, *, trial: bool = False
    ) -> None:
        self._output = output
        self._container = container
        self._rules = CONTAINERS[plan.container]
        self._window = window
        self._trial = trial
        # 편집 목록이 있는 형식에 자르지 않고 담으면 모든 패킷이 그대로 든다.
        self._cuts = window.first is not None or window.last is not None or self._rules.muxer not in ("mp4", "mov")
        self.warnings: list[str] = []
        self.handlers: dict[int, Handler] = {}
        video = choose_stream(container, name)
        self.video_tags = inherited_tags(video, plan.container)
        self.video_disposition = int(video.disposition)
        self._prepare(video)

    def _prepare(self, video: Any) -> None:
        kinds: dict[str, Callable[[Any], Handler | None]] = {
            "audio": self._audio,
            "subtitle": self._subtitle,
            "video": self._picture,
            "attachment": self._attachment,
        }
        strangers = container_notes(self._container, video.index).strangers
        for stream in self._container.streams:
            if stream.index == video.index:
                continue
            if stream.index in strangers:
                self._refuse(stream, "다른 프로그램(채널)의 것이라")
                if not self._trial:
                    stream.discard = import_av().stream.Discard.all
                continue
            handler = kinds.get(stream.type, self._data)(stream)
            if handler is not None:
                self.handlers[stream.index] = handler
            elif not self._trial:
                stream.discard = import_av().stream.Discard.all
        if not self._trial:
            video.discard = import_av().stream.Discard.all
        tags = {key: value for key, value in self._container.metadata.items() if key.lower() not in VIDEO_DROPPED}
        for found in (self.video_tags, tags):
            if "timecode" in found:
                found["timecode"] = self._moved_timecode(video, found["timecode"])
        if "timecode" in self.video_tags and self._rules.muxer in ("mp4", "mov") and not writes_timecode():
            code = self.video_tags["timecode"]
            self.warnings.append(
                f"시간 코드(timecode) {code}는 설치된 PyAV가 mp4와 mov에 쓰지 못해 담지 못합니다. "
                "지키려면 pip install -U av로 PyAV 18 이상을 쓰거나 mkv로 쓰세요."
            )
        self._output.metadata.update(tags)
        chapters = self._container.chapters()
        if chapters and not self._rules.chapters:
            self.warnings.append(f"챕터(chapter) {len(chapters)}개는 이 형식이 담지 못합니다.")
        elif chapters:
            moved = (self._moved(chapter) for chapter in chapters)
            self._output.set_chapters([chapter for chapter in moved if chapter is not None])

    def _audio(self, stream: Any) -> Handler | None:
        context = stream.codec_context
        if context is None:
            self._refuse(stream, "디코딩할 수도 복사할 수도 없는 코덱이라")
            return None
        if not (context.sample_rate and context.layout.nb_channels):
            # 방송은 소리가 없는 동안에도 소리의 자리를 적어 둔다. 그대로 옮기면 머리를 쓰지 못한다.
            self._refuse(stream, "앞부분에 소리가 들어 있지 않아")
            return None
        name = context.codec.canonical_name
        if name in self._rules.audio and self._window.speed == 1:
            if name == "dts" and self._rules.muxer in ("mp4", "mov"):
                self.warnings.append(
                    f"{stream_label(stream)}: mp4와 mov의 DTS를 재생하지 못하는 기기가 많습니다. "
                    "널리 재생하려면 mkv로 쓰세요."
                )
            return self._copy(stream)
        from realesrgan.media.video.conversion import AudioEncoding, exact_encoder

        encoder = exact_encoder(self._rules.audio_encoder, stream)
        why = "이 형식에 그대로 담을 수 없어" if self._window.speed == 1 else "빠르기에 맞추어"
        self.warnings.append(f"{stream_label(stream)}: {why} {encoder}로 바꾸어 담습니다.")
        encoding = AudioEncoding(self._output, stream, encoder, self._window)
        self._inherit(stream, encoding.stream)

        def told() -> None:
            if encoding.damaged:
                self.warnings.append(
                    f"{stream_label(stream)}의 깨진 패킷 {encoding.damaged}개는 디코딩할 수 없어 그 자리를 비웁니다."
                )

        return _finally(encoding.handle, told)

    def _subtitle(self, stream: Any) -> Handler | None:
        name = stream.codec_context.codec.canonical_name if stream.codec_context is not None else ""
        if name in self._rules.subtitles:
            return self._copy(stream)
        if name in TEXT_SUBTITLES and self._rules.text_encoder is not None:
            from realesrgan.media.video.conversion import SubtitleConversion

            conversion = SubtitleConversion(self._output, stream, self._rules.text_encoder, self._window)
            self._inherit(stream, conversion.stream)

            def told() -> None:
                lost = conversion.unreadable
                if lost:
                    self.warnings.append(f"{stream_label(stream)}의 {lost}개는 깨졌거나 UTF-8이 아니라 담지 못합니다.")

            handle = _finally(conversion.handle, told)
            return self._inside(handle) if self._cuts else handle
        keeps = " 지키려면 mkv로 쓰세요." if name in CONTAINERS["matroska"].subtitles else ""
        self._refuse(stream, "이 형식이 담지 못하는 자막이라", keeps)
        return None

    def _picture(self, stream: Any) -> Handler | None:
        if not stream.disposition & _ATTACHED:
            if stream.codec_context is not None and not stream.codec_context.width:
                self._refuse(stream, "앞부분에 이미지가 들어 있지 않아")
                return None
            try:
                return self._copy(stream)
            except ValueError:
                self._refuse(stream, "이 형식이 담지 못하는 비디오라")
                return None
        if not self._rules.cover:
            self._refuse(stream, "이 형식이 표지 이미지를 담지 못해")
            return None
        if self._rules.attachments:
            self._cover_as_attachment(stream)
            return None
        return self._copy(stream, cover=True)

    def _cover_as_attachment(self, stream: Any) -> None:
        """Matroska의 표지 이미지는 `cover`라는 이름의 첨부 파일이다."""
        if self._trial:
            return
        codec = stream.codec_context.codec.canonical_name if stream.codec_context is not None else "mjpeg"
        mime, suffix = {"png": ("image/png", "png")}.get(codec, ("image/jpeg", "jpg"))
        for packet in self._container.demux(stream):
            if packet.size:
                name = stream.metadata.get("filename", f"cover.{suffix}")
                self._output.add_attachment(name, stream.metadata.get("mimetype", mime), bytes(packet))
                break
        self._container.seek(0)

    def _attachment(self, stream: Any) -> Handler | None:
        if self._rules.attachments:
            self._output.add_stream_from_template(stream)
        else:
            self._refuse(stream, "이 형식이 첨부 파일을 담지 못해", " 지키려면 mkv로 쓰세요.")
        return None

    def _data(self, stream: Any) -> Handler | None:
        """mp4의 챕터는 데이터 스트림으로도, 시간 코드(timecode)는 메타데이터로도 보인다. 둘은 따로 옮긴다."""
        if "timecode" in stream.metadata:
            self.video_tags.setdefault("timecode", stream.metadata["timecode"])
        elif not (self._container.chapters() and stream.type == "data"):
            self._refuse(stream, "뜻을 모르는 데이터라")
        return None

    def _moved_timecode(self, video: Any, timecode: str) -> str:
        """구간의 처음만큼 옮긴 시간 코드."""
        first, rate = self._window.first, video.average_rate
        if first is None or not rate:
            return timecode
        begun, rate = (video.start_time or 0) * video.time_base, Fraction(rate)
        return later_timecode(timecode, round((first - begun) * rate), round(rate))

    def _refuse(self, stream: Any, reason: str, remedy: str = "") -> None:
        self.warnings.append(f"{stream_label(stream)}: {reason} 담지 못합니다.{remedy}")

    def _inherit(self, stream: Any, target: Any) -> None:
        target.metadata.update(inherited_tags(stream, self._rules.muxer))
        target.disposition = int(stream.disposition)

    def _copy(self, stream: Any, cover: bool = False) -> Handler:
        target = self._output.add_stream_from_template(stream, opaque=True)
        if stream.type == "subtitle" and stream.codec_context.codec.canonical_name == "dvd_subtitle":
            # 디스크의 자막은 본래 화면의 크기에 놓인다. 적어 두지 않으면 커진 화면의 구석에 작게 보인다.
            header = bytes(stream.codec_context.extradata or b"")
            canvas = choose_stream(self._container, self._container.name).codec_context
            if b"size:" not in header and canvas.width:
                target.codec_context.extradata = f"size: {canvas.width}x{canvas.height}\n".encode() + header
        self._inherit(stream, target)
        window, advance = self._window, _Advance()

        def handle(packet: Any) -> list[Any]:
            if packet is None:
                if advance.dropped:
                    lost = f"{stream_label(stream)}의 시각이 겹치는 패킷 {advance.dropped}개"
                    self.warnings.append(f"{lost}는 담지 않습니다(이어 붙인 파일).")
                return []
            if not cover and not advance.take(packet):
                return []
            packet.stream = target
            if cover:
                packet.pts = packet.dts = 0
                return [packet]
            if window.shift or window.speed != 1:
                _move(packet, window)
            return [packet]

        if cover or not self._cuts:
            return handle
        if stream.type != "audio":
            return self._inside(handle)
        name = stream.codec_context.codec.canonical_name
        # Matroska는 앞의 덧댐을 스스로 다룬다. Opus의 것은 CodecDelay로 적힌다(80밀리초를 넘지 않는다).
        padding = _OPUS_DELAY if name == "opus" and self._rules.muxer in ("matroska", "webm") else _NONE
        # 구간의 앞에 함께 담을 준비 패킷. 들리지 않게 할 수 없는 형식에는 담지 않는다.
        preroll = _PREROLL_PACKETS.get(name, 0) if self._rules.muxer in ("mp4", "mov") else 0
        return self._inside(handle, preroll, padding)

    def _inside(self, handle: Handler, preroll: int = 0, padding: Fraction = _NONE) -> Handler:
        """구간에 걸친 패킷만 넘긴다. 편집 목록이 없는 형식에서는 구간의 앞에서 시작하는 소리 패킷도 뺀다.

        Args:
            handle: 패킷을 옮길 것.
            preroll: 구간의 앞에 함께 담을 패킷 수.
            padding: 자르지 않을 때 0보다 앞에 있어도 되는 길이(초).
        """
        first, last = self._window.first, self._window.last
        overlap = self._rules.muxer in ("mp4", "mov")
        if first is None and not overlap:
            # Matroska는 음수 시각을 담지 못해 전체를 뒤로 민다. 준비 패킷을 빼면 시각이 그대로다.
            first = self._window.shift - padding
        waiting: list[Any] = []

        def gate(packet: Any) -> list[Any]:
            if packet is None or packet.pts is None:
                return handle(packet)
            begin = packet.pts * packet.time_base
            finish = begin + (packet.duration or 0) * packet.time_base
            if last is not None and begin >= last:
                return []
            audible = packet.stream.type != "audio" or overlap
            if first is not None and (finish <= first or (begin < first and not audible)):
                waiting.append(packet)
                del waiting[: max(0, len(waiting) - preroll)]
                return []
            if packet.stream.type == "subtitle":
                _clip(packet, first, last)
            ready = [*waiting, packet] if preroll else [packet]
            waiting.clear()
            return [result for item in ready for result in handle(item)]

        return gate

    def _moved(self, chapter: dict[str, Any]) -> dict[str, Any] | None:
        """구간에 맞추어 자르고 옮긴 챕터. 구간 밖이면 None."""
        base = Fraction(chapter["time_base"])
        begin, finish = chapter["start"], chapter["end"]
        if self._window.last is not None:
            finish = min(finish, round(self._window.last / base))
        if self._window.first is not None:
            begin = max(begin, round(self._window.first / base))
        if finish <= begin:
            return None
        moved = {"start": self._window.ticks(begin, base), "end": self._window.ticks(finish, base)}
        return {**chapter, "time_base": base, **moved}

    def packets(self) -> Iterator[tuple[float, Any]]:
        """결과의 `(시각(초), 패킷)`을 원본에 담긴 차례로 낸다. 시각은 앞의 것보다 작아지지 않는다.

        Raises:
            VideoReadError: 원본을 끝까지 읽을 수 없을 때(`tolerant`가 아니면).
        """
        if self._window.first is not None and self._window.first > _SEEK_MARGIN:
            self._seek(self._window.first)
        last = self._window.last
        moment = float("-inf")
        wanted = [self._container.streams[index] for index in self.handlers]
        spoiled: Counter[str] = Counter()
        restarts: dict[int, _Restarts] = defaultdict(lambda: _Restarts(self._window.resets))
        for packet in chain(demux(self._container, *wanted, trouble=self._unfinished), [None]):
            if packet is not None and (not packet.size or packet.is_corrupt):
                if packet.size:
                    spoiled[stream_label(packet.stream)] += 1
                continue
            if packet is not None and self._window.resets:
                restarts[packet.stream.index].follow(packet)
            # 스트림마다 조금씩 어긋나게 담기므로 구간의 끝에서 한참 지나야 그만 읽는다.
            ended = packet is None or (
                last is not None and packet.dts is not None and packet.dts * packet.time_base > last + _SEEK_MARGIN
            )
            if packet is None or ended:
                results = [result for handler in self.handlers.values() for result in handler(None)]
            else:
                results = self.handlers[packet.stream.index](packet)
            for result in results:
                ticks = result.dts if result.dts is not None else result.pts
                if ticks is not None and result.time_base:
                    moment = max(moment, float(ticks * result.time_base))
                yield moment, result
            if ended:
                break
        self.warnings += spoiled_notes(spoiled) if spoiled else []

    def _unfinished(self, error: OSError) -> None:
        reason = error.strerror or str(error)
        if not self._window.tolerant:
            raise VideoDamagedError(
                f"원본의 소리와 자막을 끝까지 읽지 못했습니다: {self._container.name}\n  이유: {reason}\n"
                "  해결: 원본을 다시 받으세요."
            ) from error
        note = f"원본의 소리와 자막을 읽지 못한 곳이 있습니다({reason})."
        if note not in self.warnings:
            self.warnings.append(note)

    def _seek(self, first: Fraction) -> None:
        av = import_av()
        covers = any(s.disposition & _ATTACHED for s in self._container.streams.video)
        if covers:
            return
        try:
            self._container.seek(int((first - _SEEK_MARGIN) * 1_000_000))
        except (av.error.FFmpegError, OSError):
            # 되감지 못하는 형식은 처음부터 읽어도 결과가 같다.
            self._container.seek(0)


_FINEST = Fraction(1, 1_000_000)


def _move(packet: Any, window: Window) -> None:
    """패킷의 시각을 결과의 것으로 옮긴다.

    옮길 만큼이 패킷의 눈금으로 나누어떨어지지 않으면 눈금을 잘게 한다. AVI의 MP3는 한 눈금이 24밀리초다.
    """
    base = Fraction(packet.time_base)
    if base > _FINEST and window.shift % base:
        parts = -(-base // _FINEST)
        packet.pts, packet.dts = (None if one is None else one * parts for one in (packet.pts, packet.dts))
        packet.duration = (packet.duration or 0) * parts
        packet.time_base = base / parts
    if window.speed != 1:
        packet.duration = round((packet.duration or 0) / window.speed)
    if packet.pts is not None:
        packet.pts = window.ticks(packet.pts, packet.time_base)
    if packet.dts is not None:
        packet.dts = window.ticks(packet.dts, packet.time_base)


_BACK_SECONDS = 1


class _Restarts:
    """시각이 처음으로 되돌아가는 곳마다 비디오가 옮겨진 만큼 옮긴다. 저마다 제 끝에 이으면 소리와 화면이 어긋난다."""

    def __init__(self, shifts: Sequence[Fraction]) -> None:
        self._shifts = (Fraction(0), *shifts)
        self._count = 0
        self._latest: int | None = None

    def follow(self, packet: Any) -> None:
        """패킷의 시각을 옮긴다."""
        moment, base = packet.dts, packet.time_base
        if moment is None:
            return
        if self._latest is not None and (self._latest - moment) * base >= _BACK_SECONDS:
            self._count = min(self._count + 1, len(self._shifts) - 1)
        self._latest = moment
        late = round(self._shifts[self._count] / base)
        packet.dts += late
        packet.pts = None if packet.pts is None else packet.pts + late


@dataclass
class _Advance:
    """이어 붙인 파일에서 되돌아간 시각을 다룬다. 결과의 컨테이너는 시각이 늘지 않는 패킷을 받지 않는다.

    조금 겹치는 것은 이미 담은 소리와 같은 때의 것이므로 버린다. 크게 되돌아간 것은 처음부터 다시 센 것이므로 앞의 것에
    잇는다.

    Attributes:
        dropped: 버린 패킷의 수.
    """

    dropped: int = 0
    _latest: int | None = None
    _next: int = 0
    _shift: int = 0

    def take(self, packet: Any) -> bool:
        """패킷의 시각을 고친다. 버릴 것이면 False."""
        if packet.dts is None:
            return True
        moment = packet.dts + self._shift
        if self._latest is not None and moment <= self._latest:
            if (self._latest - moment) * packet.time_base < _BACK_SECONDS:
                self.dropped += 1
                return False
            self._shift += self._next - moment
        packet.dts += self._shift
        if packet.pts is not None:
            packet.pts += self._shift
        self._latest, self._next = packet.dts, packet.dts + max(packet.duration or 0, 1)
        return True


def _finally(handle: Handler, told: Callable[[], None]) -> Handler:
    """끝(None)까지 옮긴 다음 `told`를 한 번 부른다."""

    def last(packet: Any) -> list[Any]:
        results = handle(packet)
        if packet is None:
            told()
        return results

    return last


def open_tracks(source: Source, opened: Any = None) -> Any:
    """나머지 스트림을 옮길 원본을 연다. 앞부분에 오지 않아 정체를 모르는 소리가 있으면 더 오래 훑어 다시 연다.

    Args:
        source: 원본.
        opened: 이미 열어 둔 것. 모르는 소리가 없으면 그대로 돌려주고, 닫는 것은 언제나 연 쪽이다.

    Raises:
        VideoReadError: 원본을 열 수 없을 때.
    """
    container = open_container(source) if opened is None else opened
    contexts = [stream.codec_context for stream in container.streams.audio]
    # 앞부분에 패킷이 없으면 표본 속도와 채널을 알아내지 못한다.
    if any(one is not None and not (one.sample_rate and one.layout.nb_channels) for one in contexts):
        if opened is None:
            container.close()
        container = open_container(source, deep=True)
    return container


def writes_timecode() -> bool:
    """설치된 PyAV가 mp4와 mov에 시간 코드 트랙을 쓰는지. 18부터 쓴다. 17.1은 태그가 있어도 트랙을 만들지 않는다."""
    return int(import_av().__version__.partition(".")[0]) >= 18


def later_timecode(timecode: str, frames: int, rate: int) -> str:
    """시간 코드(SMPTE 12M)를 `frames`만큼 뒤로 옮긴다. `;`로 적은 드롭 프레임이면 분마다 건너뛰는 번호를 센다.

    Args:
        timecode: `시:분:초:프레임`이나 `시:분:초;프레임`.
        frames: 옮길 프레임 수.
        rate: 초당 프레임을 올린 정수(29.97이면 30).
    """
    match = re.fullmatch(r"(\d+):(\d+):(\d+)([:;.])(\d+)", timecode)
    if match is None:
        return timecode
    hours, minutes, seconds, mark, count = int(match[1]), int(match[2]), int(match[3]), match[4], int(match[5])
    # 드롭 프레임은 열 번째가 아닌 분마다 처음의 번호 둘(60이면 넷)을 건너뛴다.
    skipped = 0 if mark == ":" else round(rate / 15)
    total = hours * 60 + minutes
    number = (total * 60 + seconds) * rate + count - skipped * (total - total // 10) + frames
    number %= 24 * (3600 * rate - skipped * 54)
    if skipped:
        tens, rest = divmod(number, 600 * rate - 9 * skipped)
        number += 9 * skipped * tens + skipped * max(0, (rest - skipped) // (60 * rate - skipped))
    whole, count = divmod(number, rate)
    return f"{whole // 3600:02d}:{whole // 60 % 60:02d}:{whole % 60:02d}{mark}{count:02d}"


def _clip(packet: Any, first: Fraction | float | None, last: Fraction | float | None) -> None:
    """구간에 걸친 자막을 구간 안만큼으로 자른다. 0보다 앞선 자막이 있으면 Matroska가 비디오까지 뒤로 민다."""
    base = packet.time_base
    finish = packet.pts + (packet.duration or 0)
    if first is not None:
        packet.pts = packet.dts = max(packet.pts, round(first / base))
    if last is not None:
        finish = min(finish, round(last / base))
    packet.duration = max(finish - packet.pts, 0)
