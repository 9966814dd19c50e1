"""비디오 파일을 프레임으로 디코딩(decoding)한다."""

from __future__ import annotations

import hashlib
import logging
import os
import sys
from array import array
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import dataclass, replace
from fractions import Fraction
from io import BytesIO
from itertools import chain
from pathlib import Path
from typing import Any, BinaryIO, cast

from realesrgan.errors import VideoDamagedError, VideoReadError
from realesrgan.media.video import damage
from realesrgan.media.video.damage import ForwardInput
from realesrgan.media.video.files import (
    LOST_BEFORE,
    Source,
    complaints,
    demux,
    import_av,
    korean_write_errors,
    open_container,
)
from realesrgan.media.video.interlace import (
    FILM_CYCLE,
    Deinterlace,
    count_fields,
    deinterlaced,
    is_interlaced,
    without_repeats,
)
from realesrgan.media.video.layouts import cropped, layout_of, planes_of
from realesrgan.media.video.messages import hdr10plus_message
from realesrgan.media.video.probe import ALPHA_DECODERS, choose_stream, describe, frame_notes
from realesrgan.media.video.types import EncodePlan, Hole, PacketIndex, VideoFrame, VideoInfo, Window

_JUMP_SECONDS = 1
_SAME_ASPECT = Fraction(21, 20)
_GAP = Fraction(3, 2)
"""프레임 사이가 보통의 이만큼을 넘으면 빠진 프레임이 있다고 본다."""


@dataclass
class Clock:
    """프레임의 pts를 정한다. 빠진 것은 만들고, 겹친 것은 한 눈금 늦추고, 크게 되돌아가면 이어 붙인다.

    Attributes:
        step: 한 프레임의 보통 길이(눈금). 빠진 시각을 만드는 데 쓴다.
        jump: 이만큼 되돌아가면(눈금) 이어 붙인 것으로 본다.
        last: 마지막으로 정한 pts. 아직 없으면 None.
        nudged: 시각을 고친 프레임 수.
    """

    step: int
    jump: int
    last: int | None = None
    nudged: int = 0
    _shift: int = 0

    def stamp(self, frame: Any) -> int:
        """프레임의 pts를 정해 돌려준다. 부를 때마다 커진다."""
        pts = frame.pts if frame.pts is not None else frame.dts
        if pts is None:
            pts = 0 if self.last is None else self.last + self.step
        else:
            pts += self._shift
        if self.last is not None and pts <= self.last:
            self.nudged += 1
            if self.last - pts >= self.jump:
                # 이어 붙인 방송처럼 시각이 처음으로 돌아간 것이다. 뒤의 프레임도 같은 만큼 옮긴다.
                self._shift += self.last + self.step - pts
                pts = self.last + self.step
            else:
                pts = self.last + 1
        self.last = pts
        return pts


class ArrivalTimes:
    """보이는 시각(pts)이 없는 컨테이너(AVI)의 프레임에 시각을 준다.

    AVI는 프레임의 차례만 안다. FFmpeg가 지어낸 pts는 B 프레임이 있으면 차례가 뒤섞이므로 쓰지 않고,
    나온 차례대로 패킷의 차례 번호(dts)를 준다. 빈 패킷(앞 프레임을 더 보인다)의 번호는 건너뛴다.

    Args:
        depth: 디코더가 차례를 맞추려고 쥐고 있는 프레임 수. 깨진 곳에서 디코더가 조용히 버린 프레임의 번호를 가려
            지운다. None이면 지우지 않는다.
    """

    def __init__(self, depth: int | None = None) -> None:
        self._waiting: deque[int] = deque()
        self._depth = depth

    def note(self, packets: Iterable[Any]) -> Iterator[Any]:
        """지나가는 패킷의 번호를 적어 둔다."""
        for packet in packets:
            if packet.dts is not None:
                self._waiting.append(packet.dts)
            yield packet

    def drop(self, dts: int | None) -> None:
        """프레임이 나오지 않을 패킷의 번호를 지운다."""
        if dts is not None and dts in self._waiting:
            self._waiting.remove(dts)

    def give(self, frames: Iterable[Any]) -> Iterator[Any]:
        """프레임에 시각을 붙인다."""
        for frame in frames:
            held = self._depth
            if held is not None and frame.dts is not None:
                # 프레임의 dts는 그것을 내게 한 패킷의 것이다. 쥐고 있는 것보다 많이 기다리는 번호는 버려진 것이다.
                for _ in range(sum(dts <= frame.dts for dts in self._waiting) - held - 1):
                    self._waiting.popleft()
            if self._waiting:
                frame.pts = self._waiting.popleft()
            yield frame


_log = logging.getLogger(__name__)
_UNSEEKABLE = ("mpeg", "h264", "hevc", "m4v", "mpegvideo", "h263", "vc1", "av1", "obu", "ivf", "rawvideo", "vvc", "dv")
"""되감기가 정확하지 않거나 시각을 앞에서부터 세어야 아는 형식. 언제나 처음부터 디코딩한다."""
_PREROLL_TRIES = 4
_SHOWN_JUMPS = 5
_MARKS = ("pts", "dts", "size", "pos")
"""같은 패킷인지 알아보는 것들: 시각과 크기와 파일에서의 자리."""
_SAMPLED_BYTES = 64
"""앞 패킷과 크기가 같은 패킷에서 원본의 해시에 넣을 바이트 수."""
_THE_END = sys.maxsize
"""마지막 패킷의 뒤에서 읽지 못한 것이 놓인 자리."""
_CHECKED_CODECS = ("prores", "dnxhd", "utvideo", "huffyuv", "ffvhuff", "png")
"""깨진 프레임을 조용히 때우지 말고 오류를 내게 할 코덱. 성한 파일이라면 오류가 없는, 프레임마다 홀로 서는 것들이다."""

_FILE_REMEDY = "다른 재생기로 열리는지 확인하고 mp4나 mkv로 바꾸어 보세요."
_STREAM_REMEDY = "mp4는 색인이 뒤에 있으면 표준 입력으로 읽을 수 없습니다. 파일을 지정하거나 y4m, NUT으로 보내세요."


@dataclass
class OpenVideo:
    """한 번 연 비디오: 컨테이너, 스트림, 디코더. 다 쓰면 `container`를 닫는다.

    Attributes:
        path: 비디오가 오는 곳.
        name: 사람에게 보일 이름.
        first: 맨 첫 패킷. 되감은 자리가 정말 처음인지 볼 때 쓴다. None이면 되감지 않고 다시 연다.
        moved: 한 번이라도 읽어 자리가 처음이 아닐 수 있는지.
        seekable: 되감기를 믿을 수 있는 형식인지.
        tells_breaks: 읽지 못한 곳을 건너뛰면서 오류를 내지 않고 글로만 알리는 형식(Matroska, WebM)인지.
        counts_arrivals: 보이는 시각이 없어 차례로 시각을 주어야 하는 형식(AVI)인지.
        trouble: 읽기 오류의 까닭을 받는 함수. None이면 오류를 그대로 내고, 있으면 그 뒤를 계속 읽는다.
    """

    path: Source
    name: str
    first: Any = None
    trouble: Callable[[str], None] | None = None

    def open(self) -> OpenVideo:
        """처음부터 연다. 다시 여는 것이면 앞서 연 것은 부르는 쪽이 닫은 뒤다."""
        source, self.moved = self.path, False
        self.forward = None if isinstance(source, (str, os.PathLike)) else ForwardInput(source)
        self.container = open_container(source if self.forward is None else cast(BinaryIO, self.forward))
        try:
            self.stream = choose_stream(self.container, self.name)
            names = self.container.format.name.split(",")
            self.tells_breaks = "matroska" in names
            self.counts_arrivals = names == ["avi"]
            # 되감은 뒤 버려지는 B 프레임이 있으면 차례로 주는 시각이 어긋난다.
            ordered = not (self.counts_arrivals and self.stream.codec_context.has_b_frames)
            self.seekable = ordered and not any(name in _UNSEEKABLE for name in names)
            for stream in self.container.streams:
                if stream.index != self.stream.index and self.forward is None:
                    stream.discard = import_av().stream.Discard.all
            own = self.decoder = self.stream.codec_context
            own.thread_type = "AUTO"
            if own.codec.canonical_name in _CHECKED_CODECS:
                own.options = {"err_detect": "explode+crccheck"}
            alpha = ALPHA_DECODERS.get(own.codec.name)
            if alpha and {key.lower(): value for key, value in self.stream.metadata.items()}.get("alpha_mode") == "1":
                self.decoder = import_av().CodecContext.create(alpha, "r")
                self.decoder.extradata = own.extradata
                self.decoder.thread_type = "AUTO"
        except BaseException:
            self.container.close()
            raise
        return self

    def flush(self) -> None:
        """디코더를 비우고, 디코딩하던 스레드들이 쉴 때까지 기다린다."""
        self.stream.codec_context.flush_buffers()
        if self.decoder is not self.stream.codec_context:
            self.decoder.flush_buffers()

    def close(self) -> None:
        """닫는다.

        스레드가 도는 채로 놓으면 PyAV가 GIL을 쥔 채 그것을 기다리는데, 그 스레드도 글을 남기려면 GIL이 있어야 한다.
        """
        self.flush()
        self.container.close()

    def packets(self) -> Iterator[Any]:
        """지금 자리부터 비디오 스트림의 패킷들. 마지막의 빈 패킷은 내지 않는다."""
        self.moved = True
        for packet in demux(self.container, self.stream, trouble=self._tell):
            if packet.size:
                yield packet

    def _tell(self, error: OSError) -> None:
        if self.trouble is None:
            raise error
        self.trouble(f"파일을 읽을 수 없는 곳이 있습니다({error.strerror or error}).")

    def packets_from(self, start: int | None = None) -> Iterator[Any]:
        """`start`를 바르게 디코딩할 수 있는 자리부터의 패킷들. None이면 처음부터다.

        `start`가 든 묶음(GOP)보다 한 묶음 앞의 키프레임에서 시작한다. 앞 묶음을 참조하는 열린 묶음(open GOP)과
        되살림 점(recovery point)을 바르게 디코딩하기 위해서다. 그런 자리를 찾지 못하면 처음부터다. 되감은 자리의 패킷이
        맨 첫 패킷과 다르면 다시 연다.
        """
        first = self.first
        if self.moved and first is None:
            # 읽다가 오류가 났던 것은 믿지 않는다.
            self.close()
            self.open()
        elif self.moved:
            self.flush()
        if start is not None and self.seekable:
            found = _preroll(self, start)
            if found is not None:
                return found
            self.moved = True
        if not self.moved:
            return self.packets()
        if first is not None and self.seekable:
            with suppress(import_av().error.FFmpegError, OSError):
                place = first.dts if first.dts is not None else first.pts
                self.container.seek(place or 0, stream=self.stream, backward=True)
                packets = self.packets()
                packet = next(packets, None)
                if packet is not None and all(getattr(packet, name) == getattr(first, name) for name in _MARKS):
                    return chain([packet], packets)
        self.close()
        return self.open().packets()


class VideoReader:
    """비디오 하나를 여는 리더(reader). 다 쓰면 `close`한다(`contextlib.closing`).

    파일은 한 번만 열고 되감아 가며 읽으므로 무엇이든 몇 번이고 부를 수 있다. 표준 입력은 한 번만 디코딩할 수 있다.

    Args:
        source: 경로, 또는 바이너리 파일 객체(표준 입력. 되감지 않는다).
        deinterlace: 비월(interlaced)을 푸는 법(`interlace.Deinterlace`). 비었으면 그대로 낸다.

    Attributes:
        info: 비디오의 정보.
        deinterlace: 다음에 부를 `frames`가 비월을 푸는 법. `double`이면 `info`의 time_base가 반이 되고 속도가 두 배,
            `ivtc`면 속도가 5분의 4가 된다.
        fit_changes: 도중에 화면의 모양(크기, 형식, 비율)이 바뀌면 처음의 모양에 맞출지. 아니면 거기서 그친다.
        keep_going: 다음에 부를 `frames`가 깨진 곳을 지나 계속할지. 잃은 프레임의 자리에는 평면이 빈 프레임을 낸다.

    Raises:
        VideoReadError: 열 수 없거나 비디오가 아니거나 프레임이 하나도 없을 때.
        VideoFormatError: 다룰 수 없는 픽셀 형식일 때.
        VideoDependencyError: PyAV가 없을 때.
    """

    keep_going = fit_changes = False
    _mode: Deinterlace = ""
    _used = _closed = False
    _fresh = True
    _shortage = ""
    _breaks: tuple[int, ...] = ()
    _fitted: Any = None
    _index: PacketIndex | None = None

    def __init__(self, source: Source, deinterlace: Deinterlace = "") -> None:
        self._source = source
        self._stream = not isinstance(source, (str, os.PathLike))
        self._name = os.fspath(source) if isinstance(source, (str, os.PathLike)) else "표준 입력"
        self._aspects: list[tuple[int, Fraction]] = []
        self._pending: list[Any] = []
        opening = OpenVideo(source, self._name).open()
        self._opening: OpenVideo | None = opening
        try:
            # 첫 프레임까지 디코딩해 정보를 모은다. 읽은 패킷은 되돌려 줄 수 있게 모아 둔다.
            self._packets = opening.packets()
            own = opening.stream.codec_context
            frame = _first_frame(own, _kept(self._pending, self._packets), opening)
            pix_fmt = frame.format.name
            if opening.decoder is not own:
                alpha = _first_frame(opening.decoder, _kept(self._pending, self._packets), opening)
                pix_fmt = alpha.format.name
            opening.flush()
            info = describe(opening.container, opening.stream, frame, opening.name, pix_fmt)
            if not self._stream:
                self._shortage = damage.file_shortage(source)  # type: ignore[arg-type]
        except BaseException:
            self.close()
            raise
        self._first_aspect: Fraction | None = own.sample_aspect_ratio or None
        moment = self._pending[0].dts if opening.counts_arrivals else frame.pts if frame.pts is not None else frame.dts
        cut = f"비디오가 잘렸습니다. {self._shortage} 성한 곳까지만 키울 수 있습니다."
        notes = (*info.warnings, *([cut] if self._shortage else []))
        self.info = self._plain = replace(info, start=moment or 0, warnings=notes)
        # 잘린 파일은 오류를 만난 뒤의 상태를 믿지 않고 다시 연다.
        self._first = opening.first = None if self._shortage else self._pending[0]
        if deinterlace:
            self.deinterlace = deinterlace

    @property
    def deinterlace(self) -> Deinterlace:
        """비월을 푸는 법."""
        return self._mode

    @deinterlace.setter
    def deinterlace(self, mode: Deinterlace) -> None:
        """읽기 전에 정한다. `double`이면 프레임이 두 배이므로 시간의 단위와 정보도 함께 바뀐다."""
        plain = self._plain
        if mode == "double":
            self.info = replace(plain, time_base=plain.time_base / 2, rate=2 * plain.rate, start=2 * plain.start)
        else:
            self.info = replace(plain, rate=plain.rate * 4 / 5) if mode == "ivtc" else plain
        self._mode = mode

    def close(self) -> None:
        """연 것을 닫는다. 여러 번 불러도 된다. 표준 입력 자체는 닫지 않는다."""
        self._closed = True
        if self._opening is not None:
            self._opening.close()
            self._opening = None

    @contextmanager
    def _borrowed(self) -> Iterator[OpenVideo]:
        """열어 둔 것을 빌려준다. 이미 쓰이고 있으면 새로 연다. 다 쓰면 다음을 위해 남겨 둔다."""
        opening, self._opening = self._opening, None
        if opening is None:
            opening = OpenVideo(self._source, self._name, self._first).open()
        opening.trouble = None
        try:
            yield opening
        finally:
            if self._opening is None and not self._closed:
                self._opening = opening
            else:
                opening.close()

    def frames(self, start: int | None = None, end: int | None = None) -> Iterator[VideoFrame]:
        """`start <= pts < end`인 프레임들을 보이는 차례로 낸다.

        시각이 빠진 프레임은 앞 프레임과 속도에서 만들고, 겹친 시각은 한 눈금 늦춘다. 프레임을 버리지 않는다.
        `start`가 있으면 그 앞의 키프레임(keyframe)보다 한 묶음(GOP) 더 앞에서부터 디코딩해,
        처음부터 디코딩했을 때와 같은 프레임을 낸다.

        Args:
            start, end: 구간의 시각, 단위는 `info.time_base`. None이면 처음과 끝.

        Yields:
            프레임. 시각은 `info.time_base`로 원본 그대로이고 언제나 늘어난다.

        Raises:
            VideoDamagedError: 잘렸거나 깨졌을 때(`keep_going`이 아니면). 성한 프레임을 다 낸 뒤에 일어난다.
            VideoReadError: 표준 입력을 두 번 읽으려 할 때.
            VideoDamagedError: 도중에 화면의 크기, 픽셀 형식, 비율이 바뀔 때(`fit_changes`가 아니면).
        """
        if not self._stream:
            # 두 배로 센 시각은 원본의 것으로 되돌려 찾는다. 다섯 프레임의 묶음은 통째로 있어야 하므로 앞에서 시작한다.
            place = start if start is None or self._mode != "double" else start // 2
            if self._index is not None and self._index.resets:
                place = None  # 같은 시각이 여러 곳에 있어 되감을 수 없다.
            if place is not None and self._mode == "ivtc":
                place -= round(2 * FILM_CYCLE / (self._plain.rate * self._plain.time_base))
            with self._borrowed() as opening:
                self._fresh, self._pending = False, []
                yield from self._decoded(opening, opening.packets_from(place), start, end)
            return
        if self._used or self._opening is None:
            raise VideoReadError(
                "표준 입력은 한 번만 읽을 수 있습니다.\n  이유: 되감을 수 없는 입력입니다.\n"
                "  해결: 파일로 저장한 뒤 그 파일을 지정하세요."
            )
        self._used = True
        pending, self._pending = self._pending, []
        yield from self._decoded(self._opening, chain(pending, self._packets), start, end)

    def _decoded(
        self, opening: OpenVideo, packets: Iterator[Any], start: int | None, end: int | None
    ) -> Iterator[VideoFrame]:
        watch = damage.DamageMonitor(opening, self._plain, self._shortage, self.keep_going, list(self._breaks))
        clock = _clock(self.info)
        frames = self._with_aspects(opening, packets, watch)
        if self._mode:
            frames = deinterlaced(frames, self._plain, self._mode)
            frames = without_repeats(frames, self._plain) if self._mode == "ivtc" else frames
        if self.keep_going:
            yield from self._through_holes(opening, frames, watch, clock, start, end)
            return
        good = 0
        last: int | None = None
        jumps: list[int] = []
        rate = self.info.rate * self.info.time_base
        for frame in frames:
            pts = clock.stamp(frame)
            if end is not None and pts >= end:
                return
            if start is not None and pts < start:
                continue
            if frame.is_corrupt:
                if not good:
                    continue
                watch.problem = watch.problem or "디코더가 이 뒤의 프레임이 깨졌다고 합니다."
                break
            if last is not None and (pts - last) * rate >= _GAP and watch.lost(pts):
                jumps.append(pts)
                if not watch.lossy_transport:
                    watch.problem = watch.lost(pts)
                    break
            made = self._made(opening, frame, pts, last)
            good, last = good + 1, pts
            yield made
        if clock.nudged:
            _tell_nudged(self.info, clock)
        if jumps and watch.lossy_transport:
            self._tell_jumps(jumps)
        # 깨진 곳의 앞에서 그치기로 했으면 깨진 것이 아니다.
        if watch.problem and (end is None or last is None or end - last > _GAP * clock.step):
            opening.first = None
            raise VideoDamagedError(_damaged_message(self.info, watch.problem, last, good))

    def _tell_jumps(self, jumps: list[int]) -> None:
        """방송의 빈 곳을 알린다. 이어 붙인 것일 수도 있어 그치지 않는다."""
        places = ", ".join(f"{self._seconds(pts):.3f}초" for pts in jumps[:_SHOWN_JUMPS])
        _log.warning(
            "%s: 전송 오류의 표시와 함께 시각이 건너뛴 곳이 %d곳 있습니다(%s). 깨진 것이면 --on_damage continue로 "
            "메우세요.",
            self.info.name,
            len(jumps),
            places,
        )

    def _with_aspects(self, opening: OpenVideo, packets: Iterator[Any], watch: damage.DamageMonitor) -> Iterator[Any]:
        """디코딩한 프레임들. 픽셀의 비율이 바뀌는 시각을 적어 둔다. 필터를 지나면 비율을 알 수 없다."""
        if opening.counts_arrivals:
            arrivals = ArrivalTimes(opening.stream.codec_context.reorder_depth if self.keep_going else None)
            watch.dropped = arrivals.drop
            frames = arrivals.give(watch.decode(arrivals.note(packets)))
        else:
            frames = watch.decode(packets)
        self._aspects, latest = [], self._first_aspect
        for frame in frames:
            if opening.stream.codec_context.sample_aspect_ratio != latest:
                found = _aspect_of(frame, opening, latest)
                if found is not None and found != latest and frame.pts is not None:
                    latest = found
                    self._aspects.append((frame.pts, found))
            yield frame

    def shape_changes(self) -> tuple[int, ...]:
        """화면의 크기, 픽셀 형식, 비율이 앞 프레임과 달라지는 프레임의 시각들. 끝까지 디코딩해 찾는다.

        단위는 비월을 풀지 않았을 때의 `info.time_base`. 깨진 프레임은 보지 않는다.
        """
        changes: list[int] = []
        latest: tuple[Any, ...] | None = None
        with self._borrowed() as opening:
            self._fresh, self._pending = False, []
            opening.trouble = lambda reason: _log.debug("%s: %s", opening.name, reason)
            arrivals, packets = ArrivalTimes(), opening.packets_from()
            frames: Iterable[Any] = _plain_frames(
                opening, arrivals.note(packets) if opening.counts_arrivals else packets
            )
            clock, aspect = _clock(self._plain), self._first_aspect
            for frame in arrivals.give(frames) if opening.counts_arrivals else frames:
                pts = clock.stamp(frame)
                aspect = _aspect_of(frame, opening, aspect)
                if frame.is_corrupt:
                    continue
                shape = (frame.width, frame.height, layout_of(frame.format.name))
                if latest is not None and (shape != latest[0] or _differs(aspect, latest[1])):
                    changes.append(pts)
                    latest = None
                latest = latest or (shape, aspect)
            opening.flush()
        return tuple(changes)

    def describe_at(self, start: int) -> None:
        """`start`의 프레임이 맨 앞과 다른 모양이면 `info`를 그것으로 바꾼다. 모양이 바뀐 뒤부터 키울 때 쓴다."""
        with self._borrowed() as opening:
            packets = opening.packets_from(start)
            self._fresh, self._pending = False, []
            for frame in _plain_frames(opening, packets):
                if frame.pts is not None and frame.pts < start:
                    continue
                found = describe(opening.container, opening.stream, frame, opening.name, frame.format.name)
                aspect = _aspect_of(frame, opening, self._first_aspect)
                if aspect is not None and _differs(aspect, self._first_aspect):
                    found = replace(found, sample_aspect_ratio=aspect)
                elif (found.width, found.height, found.layout) == (
                    self._plain.width,
                    self._plain.height,
                    self._plain.layout,
                ):
                    break
                if opening.decoder is opening.stream.codec_context:
                    self._plain, self._first_aspect = replace(found, start=self._plain.start), aspect
                    self.deinterlace = self._mode
                break
            opening.flush()

    def _made(self, opening: OpenVideo, frame: Any, pts: int, last: int | None, hole: Hole | None = None) -> VideoFrame:
        left, right, top, bottom = self.info.crop
        size = (frame.width - left - right, frame.height - top - bottom)
        # 필터를 지난 프레임의 방송 자막은 `opaque`에 있다.
        captions = bytes(frame.opaque if self._mode else frame.side_data.get("A53_CC") or b"")
        light = bytes(frame.side_data.get("DYNAMIC_HDR_PLUS") or b"")
        light = hdr10plus_message(light) if light else b""
        moment = pts // 2 if self._mode == "double" else pts
        aspect = next((found for place, found in reversed(self._aspects) if place <= moment), self._first_aspect)
        bent = aspect != self._first_aspect and _differs(aspect, self._first_aspect)
        if size != (self.info.width, self.info.height) or layout_of(frame.format.name) != self.info.layout or bent:
            if not self.fit_changes:
                raise _changed_shape(self.info, frame, aspect if bent else None, pts, last)
            shown = aspect or opening.stream.codec_context.sample_aspect_ratio or Fraction(1)
            frame, self._fitted = _fit(frame, shown, self.info, self._fitted)
        planes = planes_of(frame)
        if any(self.info.crop):
            planes = cropped(planes, self.info.layout, (left, top), size)
        return VideoFrame(planes, pts, frame.duration or 0, hole, captions, light)

    def _through_holes(
        self,
        opening: OpenVideo,
        frames: Iterable[Any],
        watch: damage.DamageMonitor,
        clock: Clock,
        start: int | None,
        end: int | None,
    ) -> Iterator[VideoFrame]:
        """깨진 곳을 지나며 낸다. 깨진 곳에는 잃은 만큼의 빈 프레임을, 그 앞과 뒤의 시각에 고르게 놓는다."""
        last: int | None = None
        opening.trouble = lambda reason: watch.note(last, reason)
        rate = self.info.rate * self.info.time_base
        nudged = 0
        for frame in frames:
            pts = clock.stamp(frame)
            late, nudged = clock.nudged > nudged and pts == (last or 0) + 1, clock.nudged
            # 깨진 자리에서 차례를 잃고 늦게 나온 프레임은 이미 지나간 시각의 것이다.
            if watch.is_spoiled(frame) or (late and (watch.suspected or opening.first is None)):
                if last is not None:
                    watch.note(pts, "디코더가 깨졌다고 한 프레임입니다.")
                continue
            count = 0 if last is None else max(round((pts - last) * rate) - 1, 0)
            reason = watch.take(pts, count > 0)
            hole = None
            if reason and last is not None:
                opening.first = None
                hole = self._hole(last, pts, count, reason)
                for lost in self._lost(last, pts, hole, start, end):
                    hole = None
                    yield lost
            before, last = last, pts
            if end is not None and pts >= end:
                return
            if start is None or pts >= start:
                yield self._made(opening, frame, pts, before, hole)
        if clock.nudged:
            _tell_nudged(self.info, clock)
        if watch.suspected:
            note = "%s: 전송 오류가 표시된 패킷이 %d개 있습니다. 그 둘레의 화면이 뭉개져 보일 수 있습니다."
            _log.warning(note, self.info.name, watch.suspected)
        reason = watch.problem or watch.take(None, False)
        if last is None or not reason:
            return
        opening.first = None
        final = max(self._index.pts[-1] if self._index is not None and self._index.pts else 0, last + clock.step)
        final = min(final, (end or final + 1) - 1)
        count = max(round((final - last) * rate), 1)
        yield from self._lost(last, final + clock.step, self._hole(last, None, count, reason), start, end)

    def _seconds(self, pts: int) -> float:
        """첫 프레임을 0으로 한 초. `--start`와 `--end`에 그대로 쓸 수 있다."""
        return round(float((pts - self.info.start) * self.info.time_base), 3)

    def _hole(self, last: int, pts: int | None, count: int, reason: str) -> Hole:
        return Hole(self._seconds(last), None if pts is None else self._seconds(pts), count, reason)

    @staticmethod
    def _lost(last: int, pts: int, hole: Hole, start: int | None, end: int | None) -> Iterator[VideoFrame]:
        """`last`와 `pts`의 사이에 고르게 놓인 잃은 프레임들. 첫째가 깨진 곳을 알린다."""
        told: Hole | None = hole
        for place in range(1, hole.frames + 1):
            moment = last + (pts - last) * place // (hole.frames + 1)
            if moment > last and (start is None or moment >= start) and (end is None or moment < end):
                yield VideoFrame((), moment, hole=told)
                told = None

    def packet_index(self) -> PacketIndex:
        """디코딩하지 않고 훑어 패킷의 시각과 키프레임을 모은다.

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
        if self._index is None:
            with self._borrowed() as opening:
                # 읽을 수 없는 곳은 디코딩하다가 알린다.
                opening.trouble = lambda reason: _log.debug("%s: %s", opening.name, reason)
                # Matroska는 읽지 못한 곳을 글로만 알리므로, 이미 읽은 것도 들으면서 다시 읽는다.
                fresh = self._fresh and not opening.tells_breaks
                packets = chain(self._pending, self._packets) if fresh else opening.packets_from()
                self._fresh, self._pending = False, []
                self._index, self._breaks = _read_index(opening, packets, self.info)
        if self._mode == "double":
            pts, keys = (tuple(2 * moment for moment in times) for times in (self._index.pts, self._index.keyframes))
            return replace(self._index, pts=pts, keyframes=keys)
        return self._index

    def looks_interlaced(self) -> bool:
        """내용까지 보아 비월(interlaced) 비디오인지. 규칙은 `interlace.is_interlaced`.

        파일은 처음과 가운데를 본다. 표준 입력은 처음만 보며, 본 패킷은 `frames`가 다시 쓴다.
        """
        if self._stream and (self._used or self._opening is None):
            return self.info.interlaced
        with self._borrowed() as opening:
            packets = _kept(self._pending, self._packets) if self._fresh else opening.packets_from()
            counts = [count_fields(_plain_frames(opening, packets))]
            opening.flush()
        if not self._stream and self.info.duration and counts[0].full:
            # 가운데로 가면 읽어 둔 앞부분을 잃으므로, 그 앞부분이 필요한 훑기를 먼저 한다.
            self.packet_index()
            with self._borrowed() as opening:
                middle = int(self.info.duration / 2 / self.info.time_base) + (opening.stream.start_time or 0)
                counts.append(count_fields(_plain_frames(opening, opening.packets_from(middle))))
        return is_interlaced(counts, self.info.interlaced)

    def check_tracks(self, target: str | os.PathLike[str], plan: EncodePlan) -> tuple[str, ...]:
        """비디오가 아닌 스트림들을 메모리의 빈 결과에 마련해 본다. 패킷은 옮기지 않는다.

        몇 시간을 키운 뒤 이을 때에야 담을 수 없음을 알게 되지 않게 한다.

        Args:
            target: 오류에 적을 결과의 이름.
            plan: 인코딩 계획.

        Returns:
            담지 못하거나 바꾸어 담을 것들에 대한 알림.

        Raises:
            VideoReadError: 원본을 다시 열 수 없을 때.
            VideoWriteError: 소리나 자막을 담을 수 없을 때.
        """
        from realesrgan.media.video.tracks import Tracks, open_tracks

        with self._borrowed() as opening, ExitStack() as stack:
            self._fresh, self._pending = False, []
            stack.enter_context(korean_write_errors(target))
            opened = open_tracks(self._source, opening.container)
            if opened is not opening.container:
                stack.enter_context(closing(opened))
            output = stack.enter_context(closing(import_av().open(BytesIO(), "w", format=plan.container)))
            tracks = Tracks(output, opened, self._name, plan, Window(), trial=True)
            if output.streams:
                output.start_encoding()
            return tuple(tracks.warnings)


def _tell_nudged(info: VideoInfo, clock: Clock) -> None:
    _log.warning("%s: 시각이 겹치거나 거꾸로 간 프레임 %d개의 시각을 고쳤습니다.", info.name, clock.nudged)


def _clock(info: VideoInfo) -> Clock:
    return Clock(max(1, round(1 / (info.rate * info.time_base))), max(1, int(_JUMP_SECONDS / info.time_base)))


def _aspect_of(frame: Any, opening: OpenVideo, latest: Fraction | None) -> Fraction | None:
    """프레임의 픽셀의 비율. 디코더의 것이 앞 프레임의 것과 다를 때만 프레임의 것을 본다."""
    found = opening.stream.codec_context.sample_aspect_ratio
    return latest if not found or found == latest else frame_notes(frame)[1] or latest


def _differs(aspect: Fraction | None, other: Fraction | None) -> bool:
    """픽셀의 비율이 눈에 보일 만큼 다른지. 같은 모양을 표준마다 조금 다르게 적으므로 조금의 차이는 같은 것으로 본다."""
    return aspect is not None and other is not None and not 1 / _SAME_ASPECT < aspect / other < _SAME_ASPECT


def _changed_shape(
    info: VideoInfo, frame: Any, aspect: Fraction | None, pts: int, last: int | None
) -> VideoDamagedError:
    def seconds(moment: int) -> float:
        return float((moment - info.start) * info.time_base)

    # 두 프레임의 사이를 가리키면 `--end`와 `--start`에 같은 값을 쓸 수 있다.
    middle = seconds(pts) if last is None else (seconds(last) + seconds(pts)) / 2
    where = f"{middle:.6f}" if last is not None and seconds(pts) - seconds(last) < 0.002 else f"{middle:.3f}"
    cut = "" if last is None else f"앞부분은 --end {where}, "
    to = f"{frame.width}x{frame.height} {frame.format.name}"
    if aspect is not None:
        to += f", 픽셀의 비율 {aspect}"
    return VideoDamagedError(
        f"비디오의 도중에 화면의 모양이 바뀝니다: {info.name}, {seconds(pts):.3f}초\n"
        f"  이유: {info.width}x{info.height} {info.layout.pix_fmt}에서 "
        f"{to} 형식으로 바뀝니다.\n"
        "  해결: --on_change scale로 앞의 모양에 맞추거나, --on_change split으로 바뀌는 곳마다 나누세요. "
        "손으로 나누려면: "
        f"{cut}뒷부분은 --start {where}"
    )


def _fit(frame: Any, aspect: Fraction, info: VideoInfo, graph: Any) -> tuple[Any, Any]:
    """프레임을 비율을 지키며 `info`의 크기와 형식에 맞춘다. 남는 곳은 검다.

    Args:
        frame: 모양이 바뀐 프레임.
        aspect: 그 픽셀의 가로세로 비율.
        info: 맞출 모양.
        graph: 앞에서 만든 `(모양, 필터)`. 모양이 같으면 다시 쓴다.

    Returns:
        `(맞춘 프레임, 필터)`. 필터는 다음에 넘긴다.
    """
    shape = (frame.width, frame.height, frame.format.name, aspect)
    if graph is None or graph[0] != shape:
        left, right, top, bottom = info.crop
        width, height = info.width + left + right, info.height + top + bottom
        shown = Fraction(frame.width, frame.height) * aspect / info.sample_aspect_ratio
        inner = (min(width, round(height * shown)), min(height, round(width / shown)))
        inner = (max(inner[0] // 2 * 2, 2), max(inner[1] // 2 * 2, 2))
        made = import_av().filter.Graph()
        nodes = [
            made.add_buffer(width=shape[0], height=shape[1], format=shape[2], time_base=info.time_base),
            made.add("scale", f"{inner[0]}:{inner[1]}:flags=bicubic+accurate_rnd+full_chroma_int"),
            made.add("format", info.layout.pix_fmt),
            made.add("pad", f"{width}:{height}:-1:-1"),
            made.add("buffersink"),
        ]
        made.link_nodes(*nodes).configure()
        graph = (shape, made)
    graph[1].push(frame)
    return graph[1].pull(), graph


def _read_index(opening: OpenVideo, packets: Iterator[Any], info: VideoInfo) -> tuple[PacketIndex, tuple[int, ...]]:
    """패킷들의 시각과 원본의 내용을 가리키는 해시, 그리고 읽지 못한 곳의 바로 뒤 패킷이 놓인 자리들.

    이어 하기는 원본이 그때와 같은지 알아야 한다. 파일을 통째로 읽어 해시를 구하는 대신, 어차피 훑는 패킷마다 시각과
    크기를 본다. 압축한 비디오는 한 프레임만 달라도 패킷의 크기가 달라진다. 압축하지 않은 것처럼 크기가 앞 패킷과 같으면
    고르게 뽑은 바이트도 본다. 파일의 시각(mtime)은 보지 않아 옮기거나 복사한 파일도 이어 할 수 있다.
    """
    arrival, times, sizes = opening.counts_arrivals, [], array("q")
    breaks: list[int] = []
    digest, before = hashlib.sha256(), None
    told = complaints(packets) if opening.tells_breaks else ((one, one.opaque == LOST_BEFORE) for one in packets)
    place = shift = 0
    latest, clock = None, _clock(info)
    resets: list[Fraction] = []
    for packet, broken in told:
        if packet is None:
            breaks.append(_THE_END)
            break
        place = packet.pos if packet.pos is not None else place
        breaks += [place] if broken else []
        size = packet.size
        sizes.append(size)
        if before in (None, size):
            digest.update(memoryview(packet)[:: size // _SAMPLED_BYTES or 1].tobytes())
        before, dts = size, packet.dts
        if dts is not None:
            if latest is not None and latest - dts >= clock.jump:
                shift += latest + clock.step - dts
                resets.append(shift * info.time_base)
            latest = dts
        if not packet.is_discard:
            moment = dts if arrival else packet.pts
            times.append((moment if moment is None else moment + shift, packet.is_keyframe))
    entries: Any = opening.stream.index_entries if arrival else ()
    if len(entries) and entries[-1].pos > place:
        breaks.append(_THE_END)  # AVI의 색인에 있는 마지막 덩어리가 나오지 않았다.
    known = sorted(pts for pts, _ in times if pts is not None)
    sizes.append(Path(opening.path).stat().st_size)  # type: ignore[arg-type]
    digest.update(sizes.tobytes() + array("q", known).tobytes())
    keys = sorted({pts for pts, key in times if key and pts is not None})
    if not known:
        # 시각이 아예 없는 날(raw) 스트림이다. `frames`가 만들 시각과 같게 만든다.
        step = max(1, round(1 / (info.rate * info.time_base)))
        made = tuple(place * step for place in range(len(times)))
        return PacketIndex(made, made[:1], digest.hexdigest()), tuple(breaks)
    trusted = opening.seekable and len(set(known)) == len(times) and keys and not resets
    spots = tuple(keys) if trusted else (known[0],)
    return PacketIndex(tuple(known), spots, digest.hexdigest(), tuple(resets)), tuple(breaks)


def _plain_frames(opening: OpenVideo, packets: Iterable[Any]) -> Iterator[Any]:
    """깨진 곳은 건너뛰며 디코딩한 프레임들. 내용을 훑어볼 때만 쓴다."""
    av = import_av()
    decoder = opening.stream.codec_context
    for packet in packets:
        try:
            yield from decoder.decode(packet)
        except av.error.FFmpegError as error:
            _log.debug("%s: 훑어보다 디코딩하지 못한 패킷을 건너뜁니다: %s", opening.name, error)


def _damaged_message(info: VideoInfo, problem: str, last: int | None, good: int) -> str:
    moment = None if last is None else float((last - info.start) * info.time_base)
    where, whole = (
        ("처음", "") if moment is None else (f"{moment:.3f}초 뒤", f" 성한 구간만 키우려면: --end {moment + 0.001:.3f}")
    )
    return (
        f"비디오가 깨졌거나 잘렸습니다: {info.name}, {where}\n  이유: {problem} 성한 프레임은 {good}개입니다.\n"
        f"  해결: 원본을 다시 받거나, --on_damage continue로 깨진 곳을 지나 계속하세요.{whole}"
    )


def _first_frame(decoder: Any, packets: Iterator[Any], opening: OpenVideo) -> Any:
    """첫 프레임을 디코딩한다.

    Raises:
        VideoReadError: 프레임이 하나도 나오지 않을 때.
    """
    av = import_av()
    detail, ended = "", False
    while not ended:
        packet = None
        try:
            packet = next(packets, None)
        except MemoryError:
            raise
        except (av.error.FFmpegError, OSError) as error:
            detail = f"({error.strerror or error})"
        ended = packet is None
        try:
            frames = decoder.decode(packet)
        except MemoryError:
            raise
        except av.error.FFmpegError as error:
            detail = f"({error.strerror or error})"
            continue
        if frames:
            return frames[0]
    raise VideoReadError(
        f"비디오를 읽을 수 없습니다: {opening.name}\n  이유: 프레임을 하나도 디코딩하지 못했습니다{detail}. "
        "비었거나, 깨졌거나, 암호가 걸렸거나, 지원하지 않는 코덱입니다.\n"
        f"  해결: {_STREAM_REMEDY if opening.forward is not None else _FILE_REMEDY}"
    )


def _kept(pending: list[Any], rest: Iterator[Any]) -> Iterator[Any]:
    """이미 읽은 패킷을 먼저, 그다음 나머지를 낸다. 새로 읽은 것도 `pending`에 모은다."""
    yield from list(pending)
    for packet in rest:
        pending.append(packet)
        yield packet


def _preroll(opening: OpenVideo, start: int) -> Iterator[Any] | None:
    """`start`가 든 묶음보다 한 묶음 앞의 키프레임부터의 패킷들. 그런 자리를 찾지 못하면 None."""
    step = max(1, int(Fraction(1) / opening.stream.time_base))
    target = start
    for attempt in range(_PREROLL_TRIES):
        found = _seek_keys(opening, target, start)
        if found is not None:
            return found
        target = target - step * (1 << attempt) * 2
        if opening.stream.start_time is not None and target <= opening.stream.start_time:
            break
    return None


def _seek_keys(opening: OpenVideo, target: int, start: int) -> Iterator[Any] | None:
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
            return chain(held, packets)
        if moment > start and packet.dts is not None and packet.dts > start:
            return None
    return None
