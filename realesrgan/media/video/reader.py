"""비디오 파일을 프레임으로 디코딩(decoding)한다."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Iterable, Iterator
from contextlib import closing
from dataclasses import replace
from fractions import Fraction
from types import TracebackType
from typing import Any, BinaryIO, cast

from realesrgan.errors import VideoDamagedError, VideoFormatError, VideoReadError
from realesrgan.media.video import damage
from realesrgan.media.video.damage import ForwardInput
from realesrgan.media.video.files import Source, import_av, is_stream, open_container, source_name
from realesrgan.media.video.interlace import SAMPLE_FRAMES, Deinterlacer, count_fields, is_interlaced
from realesrgan.media.video.layouts import layout_of, planes_of
from realesrgan.media.video.probe import choose_stream, describe, wants_alpha_decoder
from realesrgan.media.video.types import PacketIndex, VideoFrame, VideoInfo

_JUMP_SECONDS = 1


class Clock:
    """프레임의 pts를 정한다. 빠진 것은 만들고, 겹친 것은 한 눈금 늦추고, 크게 되돌아가면 이어 붙인다.

    Args:
        time_base: pts의 단위(초).
        rate: 프레임 속도. 빠진 시각을 만드는 데 쓴다.

    Attributes:
        last: 마지막으로 정한 pts. 아직 없으면 None.
        nudged: 시각을 고친 프레임 수.
    """

    def __init__(self, time_base: Fraction, rate: Fraction) -> None:
        self._step = max(1, round(1 / (rate * time_base)))
        self._jump = max(1, int(_JUMP_SECONDS / time_base))
        self._shift = 0
        self.last: int | None = None
        self.nudged = 0

    def stamp(self, frame: Any) -> int:
        """프레임의 pts를 정해 돌려준다. 부를 때마다 커진다."""
        pts = frame.pts if frame.pts is not None else frame.dts
        if pts is None:
            pts = 0 if self.last is None else self.last + self._step
        else:
            pts += self._shift
        if self.last is not None and pts <= self.last:
            self.nudged += 1
            if self.last - pts >= self._jump:
                # 이어 붙인 방송처럼 시각이 처음으로 돌아간 것이다. 뒤의 프레임도 같은 만큼 옮긴다.
                self._shift += self.last + self._step - pts
                pts = self.last + self._step
            else:
                pts = self.last + 1
        self.last = pts
        return pts


class ArrivalTimes:
    """보이는 시각(pts)이 없는 컨테이너(AVI)의 프레임에 시각을 준다.

    AVI는 프레임의 차례만 안다. FFmpeg가 지어낸 pts는 B 프레임이 있으면 차례가 뒤섞이므로 쓰지 않고,
    나온 차례대로 패킷의 차례 번호(dts)를 준다. 빈 패킷(앞 프레임을 더 보인다)의 번호는 건너뛴다.
    """

    def __init__(self) -> None:
        self._waiting: deque[int] = deque()

    def note(self, packets: Iterable[Any]) -> Iterator[Any]:
        """지나가는 패킷의 번호를 적어 둔다."""
        for packet in packets:
            if packet.dts is not None:
                self._waiting.append(packet.dts)
            yield packet

    def give(self, frames: Iterable[Any]) -> Iterator[Any]:
        """프레임에 시각을 붙인다."""
        for frame in frames:
            if self._waiting:
                frame.pts = self._waiting.popleft()
            yield frame


_log = logging.getLogger(__name__)
_UNSEEKABLE = ("mpeg", "h264", "hevc", "m4v", "mpegvideo", "h263", "vc1", "av1", "obu", "ivf", "rawvideo", "vvc", "dv")
"""되감기가 정확하지 않거나 시각을 앞에서부터 세어야 아는 형식. 언제나 처음부터 푼다."""
_PREROLL_TRIES = 4
_CHECKED_CODECS = ("prores", "dnxhd", "utvideo", "huffyuv", "ffvhuff", "png")
"""깨진 프레임을 조용히 때우지 말고 오류를 내게 할 코덱. 성한 파일이라면 오류가 없는, 프레임마다 홀로 서는 것들이다."""

_FILE_REMEDY = "다른 재생기로 열리는지 확인하고 mp4나 mkv로 바꾸어 보세요."
_STREAM_REMEDY = "mp4는 색인이 뒤에 있으면 표준 입력으로 읽을 수 없습니다. 파일을 지정하거나 y4m, NUT으로 보내세요."


class _Opening:
    """한 번 연 비디오. 컨테이너, 스트림, 디코더를 함께 닫는다."""

    def __init__(self, source: Source) -> None:
        self.name = source_name(source)
        self.path = source
        self._open()

    def _open(self) -> None:
        source = self.path
        self.forward = ForwardInput(source) if is_stream(source) else None  # type: ignore[arg-type]
        self.container = open_container(source if self.forward is None else cast(BinaryIO, self.forward))
        try:
            self.stream = choose_stream(self.container, self.name)
            for stream in self.container.streams:
                if stream.index != self.stream.index and self.forward is None:
                    stream.discard = import_av().stream.Discard.all
            self.decoder = self._decoder()
        except BaseException:
            self.container.close()
            raise

    def _decoder(self) -> Any:
        own = self.stream.codec_context
        own.thread_type = "AUTO"
        if own.codec.canonical_name in _CHECKED_CODECS:
            own.options = {"err_detect": "explode+crccheck"}
        name = wants_alpha_decoder(self.stream)
        if name is None:
            return own
        av = import_av()
        context = av.CodecContext.create(name, "r")
        context.extradata = own.extradata
        context.thread_type = "AUTO"
        return context

    @property
    def counts_arrivals(self) -> bool:
        """보이는 시각이 없어 차례로 시각을 주어야 하는 컨테이너인지."""
        return bool(self.container.format.name == "avi")

    def packets(self) -> Iterator[Any]:
        """비디오 스트림의 패킷들. 마지막의 빈 패킷은 내지 않는다."""
        return (packet for packet in self.container.demux(self.stream) if packet.size)

    def reopen(self) -> None:
        """처음부터 다시 연다."""
        self.close()
        self._open()

    def close(self) -> None:
        """컨테이너를 닫는다."""
        self.container.close()


class VideoReader:
    """비디오 하나를 여는 리더(reader). 문맥 관리자(context manager)로 쓴다.

    경로는 `frames`를 부를 때마다 새로 열므로 몇 번이고 부를 수 있다. 표준 입력은 한 번만 풀 수 있다.

    Args:
        source: 경로, 또는 바이너리 파일 객체(표준 입력. 되감지 않는다).
        deinterlace: 비월(interlaced) 프레임을 bwdif로 펴는지. 프레임 수와 시각은 그대로다.

    Attributes:
        info: 비디오의 정보.

    Raises:
        VideoReadError: 열 수 없거나 비디오가 아니거나 프레임이 하나도 없을 때.
        VideoFormatError: 다룰 수 없는 픽셀 형식일 때.
        VideoDependencyError: PyAV가 없을 때.
    """

    def __init__(self, source: Source, deinterlace: bool = False) -> None:
        self._source = source
        self._deinterlace = deinterlace
        self._stream = is_stream(source)
        self._opening: _Opening | None = _Opening(source)
        self._pending: list[Any] = []
        self._used = False
        self._shortage = ""
        try:
            self.info = self._probe(self._opening)
        except BaseException:
            self.close()
            raise
        if not self._stream:
            self._opening.close()
            self._opening = None
            self._pending, self._packets = [], iter(())

    def __enter__(self) -> VideoReader:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """연 것을 닫는다. 여러 번 불러도 된다. 표준 입력 자체는 닫지 않는다."""
        if self._opening is not None:
            self._opening.close()
            self._opening = None

    def _probe(self, opening: _Opening) -> VideoInfo:
        """첫 프레임까지 풀어 정보를 모은다. 읽은 패킷은 되돌려 줄 수 있게 모아 둔다."""
        packets = opening.packets()
        own = opening.stream.codec_context
        frame = _first_frame(own, self._kept(packets), opening)
        pix_fmt = frame.format.name
        if opening.decoder is not own:
            alpha = _first_frame(opening.decoder, _again(self._pending, packets, self._pending), opening)
            pix_fmt = alpha.format.name
            opening.decoder.flush_buffers()
        own.flush_buffers()
        info = describe(opening.container, opening.stream, frame, opening.name, pix_fmt)
        if not self._stream:
            self._shortage = damage.file_shortage(self._source)  # type: ignore[arg-type]
            if self._shortage:
                note = f"비디오가 잘렸습니다. {self._shortage} 성한 곳까지만 키울 수 있습니다."
                info = replace(info, warnings=(*info.warnings, note))
        self._packets = packets
        return info

    def _kept(self, packets: Iterable[Any]) -> Iterator[Any]:
        for packet in packets:
            self._pending.append(packet)
            yield packet

    def frames(self, start: int | None = None, end: int | None = None) -> Iterator[VideoFrame]:
        """`start <= pts < end`인 프레임들을 보이는 차례로 낸다.

        시각이 빠진 프레임은 앞 프레임과 속도에서 만들고, 겹친 시각은 한 눈금 늦춘다. 프레임을 버리지 않는다.
        `start`가 있으면 그 앞의 키프레임(keyframe)보다 한 묶음(GOP) 더 앞에서부터 풀어,
        처음부터 풀었을 때와 같은 프레임을 낸다.

        Args:
            start, end: 구간의 시각, 단위는 `info.time_base`. None이면 처음과 끝.

        Yields:
            프레임. 시각은 `info.time_base`로 원본 그대로이고 언제나 늘어난다.

        Raises:
            VideoDamagedError: 잘렸거나 깨졌을 때. 성한 프레임을 다 낸 뒤에 일어난다.
            VideoReadError: 표준 입력을 두 번 읽으려 할 때.
            VideoFormatError: 도중에 화면의 크기나 픽셀 형식이 바뀔 때.
        """
        if self._stream:
            yield from self._stream_frames(start, end)
            return
        opening = _Opening(self._source)
        with closing(opening):
            yield from self._decoded(opening, _packets_from(opening, start), start, end)

    def _stream_frames(self, start: int | None, end: int | None) -> Iterator[VideoFrame]:
        if self._used or self._opening is None:
            raise VideoReadError(
                "표준 입력은 한 번만 읽을 수 있습니다.\n  이유: 되감을 수 없는 입력입니다.\n"
                "  해결: 파일로 저장한 뒤 그 파일을 지정하세요."
            )
        self._used = True
        pending, self._pending = self._pending, []
        yield from self._decoded(self._opening, _again(pending, self._packets), start, end)

    def _decoded(
        self, opening: _Opening, packets: Iterable[Any], start: int | None, end: int | None
    ) -> Iterator[VideoFrame]:
        watch = damage.DamageMonitor(opening, self.info, self._shortage)
        clock = Clock(self.info.time_base, self.info.rate)
        if opening.counts_arrivals:
            arrivals = ArrivalTimes()
            frames: Iterable[Any] = arrivals.give(watch.decode(arrivals.note(packets)))
        else:
            frames = watch.decode(packets)
        if self._deinterlace:
            frames = Deinterlacer(self.info).run(frames)
        good = 0
        last: int | None = None
        for frame in frames:
            watch.seen(frame)
            pts = clock.stamp(frame)
            if end is not None and pts >= end:
                return
            if start is not None and pts < start:
                continue
            if not watch.usable(frame):
                if watch.stopped:
                    break
                continue
            self._check_shape(frame, pts)
            good += 1
            last = pts
            yield VideoFrame(planes_of(frame), pts, frame.duration or 0)
        if clock.nudged:
            _log.warning("%s: 시각이 겹치거나 거꾸로 간 프레임 %d개의 시각을 고쳤습니다.", self.info.name, clock.nudged)
        problem = watch.verdict()
        if problem:
            raise VideoDamagedError(_damaged_message(self.info, problem, last, good))

    def _check_shape(self, frame: Any, pts: int) -> None:
        info = self.info
        if (frame.width, frame.height) == (info.width, info.height) and layout_of(frame.format.name) == info.layout:
            return
        raise VideoFormatError(
            f"비디오의 도중에 화면의 모양이 바뀝니다: {info.name}, {float(pts * info.time_base):.3f}초\n"
            f"  이유: {info.width}x{info.height} {info.layout.pix_fmt}에서 "
            f"{frame.width}x{frame.height} {frame.format.name}(으)로 바뀝니다.\n"
            "  해결: 바뀌는 자리에서 파일을 나누거나 --start, --end로 구간을 정하세요."
        )

    def packet_index(self) -> PacketIndex:
        """풀지 않고 훑어 패킷의 시각과 키프레임을 모은다.

        시각이 없거나 겹치거나 되감기를 믿을 수 없는 형식이면 키프레임을 첫째 하나만 알려,
        부르는 쪽이 비디오를 나누지 않게 한다.

        Raises:
            VideoReadError: 표준 입력일 때.
        """
        if self._stream:
            raise VideoReadError(
                "표준 입력은 미리 훑을 수 없습니다.\n  이유: 되감을 수 없는 입력입니다.\n"
                "  해결: 파일로 저장한 뒤 그 파일을 지정하세요."
            )
        opening = _Opening(self._source)
        with closing(opening):
            arrival = opening.counts_arrivals
            packets = [
                (packet.dts if arrival else packet.pts, packet.is_keyframe)
                for packet in opening.packets()
                if not packet.is_discard
            ]
            trusted = _seekable(opening)
        known = sorted(pts for pts, _ in packets if pts is not None)
        keys = sorted({pts for pts, key in packets if key and pts is not None})
        if not known:
            # 시각이 아예 없는 날(raw) 스트림이다. `frames`가 만들 시각과 같게 만든다.
            step = max(1, round(1 / (self.info.rate * self.info.time_base)))
            made = tuple(place * step for place in range(len(packets)))
            return PacketIndex(made, made[:1])
        unique = len(set(known)) == len(packets)
        return PacketIndex(tuple(known), tuple(keys) if trusted and unique and keys else (known[0],))

    def looks_interlaced(self) -> bool:
        """내용까지 보아 비월(interlaced) 비디오인지. 규칙은 `interlace.is_interlaced`.

        파일은 처음과 가운데를 본다. 표준 입력은 처음만 보며, 본 패킷은 `frames`가 다시 쓴다.
        """
        if self._stream:
            if self._used or self._opening is None:
                return self.info.interlaced
            opening = self._opening
            packets = _again(self._pending, self._packets, self._pending)
            count = count_fields(_plain_frames(opening, packets))
            opening.stream.codec_context.flush_buffers()
            return is_interlaced(count, self.info.interlaced)
        opening = _Opening(self._source)
        with closing(opening):
            count = count_fields(_plain_frames(opening, opening.packets()))
            if self.info.duration and count.total >= SAMPLE_FRAMES:
                opening.reopen()
                middle = int(self.info.duration / 2 / self.info.time_base) + (opening.stream.start_time or 0)
                count += count_fields(_plain_frames(opening, _packets_from(opening, middle)))
        return is_interlaced(count, self.info.interlaced)


def detect_interlaced(source: Source) -> bool:
    """내용까지 보아 비월 비디오인지 알아본다. 표준 입력이면 `VideoReader.looks_interlaced`를 쓴다.

    Raises:
        VideoReadError, VideoFormatError, VideoDependencyError: `VideoReader`와 같다.
    """
    with VideoReader(source) as reader:
        return reader.looks_interlaced()


def _plain_frames(opening: _Opening, packets: Iterable[Any]) -> Iterator[Any]:
    """깨진 곳은 건너뛰며 푼 프레임들. 내용을 훑어볼 때만 쓴다."""
    av = import_av()
    decoder = opening.stream.codec_context
    for packet in packets:
        try:
            yield from decoder.decode(packet)
        except av.error.FFmpegError as error:
            _log.debug("%s: 훑어보다 풀지 못한 패킷을 건너뜁니다: %s", opening.name, error)


def _damaged_message(info: VideoInfo, problem: str, last: int | None, good: int) -> str:
    where = "처음" if last is None else f"{float(last * info.time_base):.3f}초 뒤"
    return (
        f"비디오가 깨졌거나 잘렸습니다: {info.name}, {where}\n  이유: {problem} 성한 프레임은 {good}개입니다.\n"
        "  해결: 원본을 다시 받거나, --end로 성한 구간만 키우세요."
    )


def probe_video(source: Source) -> VideoInfo:
    """비디오의 정보를 읽는다. 표준 입력이면 읽은 만큼 지나가므로 `VideoReader`를 쓴다.

    Raises:
        VideoReadError, VideoFormatError, VideoDependencyError: `VideoReader`와 같다.
    """
    with VideoReader(source) as reader:
        return reader.info


def _first_frame(decoder: Any, packets: Iterable[Any], opening: _Opening) -> Any:
    """첫 프레임을 푼다.

    Raises:
        VideoReadError: 프레임이 하나도 나오지 않을 때.
    """
    av = import_av()
    problems: list[str] = []
    for packet in _until_error(packets, problems):
        try:
            frames = decoder.decode(packet)
        except av.error.FFmpegError as error:
            problems.append(error.strerror or str(error))
            continue
        if frames:
            return frames[0]
    detail = f"({problems[-1]})" if problems else ""
    raise VideoReadError(
        f"비디오를 읽을 수 없습니다: {opening.name}\n  이유: 프레임을 하나도 풀지 못했습니다{detail}. "
        "비었거나, 깨졌거나, 암호가 걸렸거나, 지원하지 않는 코덱입니다.\n"
        f"  해결: {_STREAM_REMEDY if opening.forward is not None else _FILE_REMEDY}"
    )


def _until_error(packets: Iterable[Any], problems: list[str]) -> Iterator[Any]:
    """패킷들과 끝을 알리는 None. 읽다가 오류가 나면 적어 두고 끝낸다."""
    av = import_av()
    try:
        yield from packets
    except (av.error.FFmpegError, OSError) as error:
        problems.append(error.strerror or str(error))
    yield None


def _again(pending: list[Any], rest: Iterator[Any], keep: list[Any] | None = None) -> Iterator[Any]:
    """이미 읽은 패킷을 먼저, 그다음 나머지를 낸다. `keep`이 있으면 새로 읽은 것도 거기에 모은다."""
    yield from list(pending)
    for packet in rest:
        if keep is not None:
            keep.append(packet)
        yield packet


def _seekable(opening: _Opening) -> bool:
    if opening.counts_arrivals and opening.stream.codec_context.has_b_frames:
        return False  # 되감은 뒤 버려지는 B 프레임이 있으면 차례가 어긋난다.
    names = opening.container.format.name.split(",")
    return not any(name in _UNSEEKABLE for name in names)


def _packets_from(opening: _Opening, start: int | None) -> Iterator[Any]:
    """`start`를 바르게 풀 수 있는 자리부터의 패킷들.

    `start`가 든 묶음(GOP)보다 한 묶음 앞의 키프레임에서 시작한다. 앞 묶음을 참조하는 열린 묶음(open GOP)과
    되살림 점(recovery point)을 바르게 풀기 위해서다. 그런 자리를 찾지 못하면 처음부터다.
    """
    if start is None or not _seekable(opening):
        return opening.packets()
    step = max(1, int(Fraction(1) / opening.stream.time_base))
    target = start
    for attempt in range(_PREROLL_TRIES):
        found = _seek_keys(opening, target, start)
        if found is not None:
            return found
        target = target - step * (1 << attempt) * 2
        if opening.stream.start_time is not None and target <= opening.stream.start_time:
            break
    opening.reopen()
    return opening.packets()


def _seek_keys(opening: _Opening, target: int, start: int) -> Iterator[Any] | None:
    """`target` 앞으로 되감고, 거기서 `start`까지 키프레임이 둘 이상이면 그 패킷들을 낸다."""
    av = import_av()
    try:
        opening.container.seek(target, stream=opening.stream, backward=True)
    except (av.error.FFmpegError, OSError):
        return None
    packets = opening.packets()
    held: list[Any] = []
    keys = 0
    for packet in packets:
        if not held and not packet.is_keyframe:
            continue
        moment = packet.dts if opening.counts_arrivals else packet.pts
        if moment is None or (not held and moment > start):
            return None
        held.append(packet)
        keys += bool(packet.is_keyframe and moment <= start)
        if keys >= 2:
            return _again(held, packets)
        if moment > start and packet.dts is not None and packet.dts > start:
            return None
    return None
