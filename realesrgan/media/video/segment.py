"""인코딩한 조각(segment) 하나를 쓴다.

조각은 mp4(ProRes는 mov)다. 눈금(timescale)을 원본의 시각 단위에 맞출 수 있어 시각을 잃지 않고,
마지막 프레임의 길이까지 담으며, 다 쓰이지 않은 파일은 열리지 않는다.
VP9의 알파는 mp4에 자리가 없어 둘째 비디오 스트림으로 담았다가 이을 때 되돌린다.
"""

from __future__ import annotations

import os
import secrets
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from realesrgan.errors import VideoDamagedError, VideoWriteError
from realesrgan.media.video.encoders import set_up
from realesrgan.media.video.files import import_av, korean_write_errors, local_url, settle
from realesrgan.media.video.layouts import frame_of
from realesrgan.media.video.messages import CAPTION_CODECS, insert_messages
from realesrgan.media.video.types import EncodePlan, Planes, SegmentTimes

_FINE_TIMESCALE = 10_000
"""mp4의 편집 목록(edit list)에 쓸 눈금의 아래 한도(1초에)."""
_MAX_TIMESCALE = 1 << 31


def muxer_options(container: str, plan: EncodePlan, index_first: bool = True, any_tags: bool = False) -> dict[str, str]:
    """FFmpeg의 컨테이너에 넘길 옵션.

    mp4의 편집 목록은 눈금이 기본으로 1/1000초라, 그대로 두면 늦게 시작하는 스트림의 시각이
    반올림되고 아주 짧은 비디오는 길이가 0이 되어 보이지 않는다. 그래서 비디오의 시각을 나누어떨어지게 하는 눈금을 쓴다.

    Args:
        container: FFmpeg의 컨테이너 이름.
        plan: 인코딩 계획.
        index_first: mp4와 mov의 색인을 앞에 둘지. 받으면서 재생할 수 있다.
        any_tags: 정해진 이름이 아닌 메타데이터(휴대전화의 GPS와 기종 등)도 담을지. mp4와 mov에서만 뜻이 있다.
    """
    if container not in ("mp4", "mov"):
        return {}
    base = plan.time_base.denominator
    scale = base * -(-_FINE_TIMESCALE // base)
    flags = "+faststart" * index_first + "+use_metadata_tags" * any_tags
    options = {"movflags": flags} if flags else {}
    return {**options, "movie_timescale": str(scale)} if scale < _MAX_TIMESCALE else options


ALPHA_SIDE_DATA = "matroska_block_additional"
"""VP9 인코더가 알파를 담아 주는 곁 데이터. 앞의 8바이트는 종류 번호(1)다(Matroska BlockAddID)."""
ALPHA_HEADER = (1).to_bytes(8, "big")


class SegmentWriter:
    """프레임들을 인코딩해 조각 파일 하나로 쓴다. 다 쓰면 `finish`, 버리려면 `close`한다.

    같은 계획과 같은 프레임이면 언제나 같은 조각이 된다. `finish`를 불러야 제 이름의 파일이 생긴다.

    Args:
        path: 조각 파일의 경로. 확장자는 무엇이든 좋다.
        plan: 인코딩 계획.

    Attributes:
        times: 다 쓴 뒤, 담긴 패킷들의 시각. 이을 때 조각을 한 번만 열게 한다.

    Raises:
        VideoWriteError: 만들 수 없을 때.
    """

    def __init__(self, path: str | os.PathLike[str], plan: EncodePlan) -> None:
        self._target = Path(os.path.realpath(path))
        # 멈춘 줄 안 작업자와 다시 맡은 작업자가 같은 조각을 함께 쓸 수 있으므로 이름이 저마다 다르다.
        self._temporary = self._target.with_name(f".realesrgan-{secrets.token_hex(8)}.part")
        self._plan = plan
        self._frames = 0
        self._last = -1
        self._durations: dict[int, int] = {}
        self._order: list[int] = []
        self._tail = 0
        self.times = SegmentTimes()
        self._messages: dict[int, tuple[bytes, ...]] = {}
        self._alpha: Any = None
        self._finished = False
        name = "mov" if plan.codec == "prores_ks" else "mp4"
        options = muxer_options(name, plan, index_first=False)
        if plan.time_base.numerator == 1 and plan.time_base.denominator < _MAX_TIMESCALE:
            options["video_track_timescale"] = str(plan.time_base.denominator)
        av = import_av()
        with korean_write_errors(self._target):
            container = av.open(local_url(self._temporary), "w", format=name, container_options=options)
            container.flags |= av.container.core.Flags.bitexact.value
            self._container, self._stream = container, container.add_stream(plan.codec, rate=plan.rate)
            set_up(self._stream.codec_context, plan)
            self._stream.time_base = plan.time_base
            if plan.codec == "libvpx-vp9" and plan.layout.alpha:
                # mp4는 인코더의 문맥에서 VP9의 머리(vpcC)를 적는다. 이 인코더로 인코딩하지는 않는다.
                self._alpha = container.add_stream(plan.codec, rate=plan.rate)
                set_up(self._alpha.codec_context, replace(plan, pix_fmt="yuv420p", options={"threads": "1"}))
                self._alpha.time_base = plan.time_base

    def write(self, planes: Planes, pts: int, duration: int = 0, messages: tuple[bytes, ...] = ()) -> None:
        """프레임 하나를 인코딩해 쓴다.

        Args:
            planes: 계획의 `layout`의 평면들.
            pts: 조각의 처음부터의 시각, 단위는 계획의 `time_base`. 첫째는 0이고 언제나 늘어난다.
            duration: 보이는 길이. 모르면 0.
            messages: 함께 담을 메시지들(`messages.messages_of`). 담지 못하는 코덱이면 버린다.

        Raises:
            VideoWriteError: 인코더가 받아들이지 않거나 디스크가 가득 찼을 때.
            ValueError: 시각이 늘어나지 않거나 평면의 모양이 다를 때.
        """
        if pts <= self._last or (self._last < 0 and pts != 0):
            raise ValueError(f"조각의 시각이 0에서 시작해 늘어나지 않습니다: {self._last} 다음에 {pts}")
        frame = coloured_frame(planes, self._plan)
        frame.pts, frame.duration = pts, duration
        self._durations[pts] = self._tail = duration
        if messages and self._plan.codec in CAPTION_CODECS:
            self._messages[pts] = messages
        with korean_write_errors(self._target):
            self._mux(self._stream.encode(frame))
        self._last = pts
        self._frames += 1

    def _mux(self, packets: list[Any]) -> None:
        for packet in packets:
            self._order.append(packet.pts)
            duration = self._durations.pop(packet.pts, 0)
            if duration:
                packet.duration = duration
            twin = self._alpha_packet(packet, duration) if self._alpha is not None else None
            if messages := self._messages.pop(packet.pts, ()):
                packet = _with_messages(packet, messages, CAPTION_CODECS[self._plan.codec])  # noqa: PLW2901
            self._container.mux_one(packet)
            if twin is not None:
                self._container.mux_one(twin)

    def _alpha_packet(self, packet: Any, duration: int) -> Any:
        data = bytes(packet.get_sidedata(ALPHA_SIDE_DATA))
        if not data.startswith(ALPHA_HEADER):
            raise VideoWriteError(
                f"비디오를 쓸 수 없습니다: {self._target}\n  이유: VP9 인코더가 알파를 내지 않았습니다.\n"
                "  해결: --pix_fmt yuv420p로 알파를 빼거나 --codec ffv1을 쓰세요."
            )
        twin = import_av().Packet(data[len(ALPHA_HEADER) :])
        twin.pts, twin.dts, twin.time_base = packet.pts, packet.dts, packet.time_base
        twin.duration = duration or packet.duration
        twin.is_keyframe = packet.is_keyframe
        twin.stream = self._alpha
        return twin

    def finish(self) -> int:
        """남은 것을 다 쓰고 제 이름을 준다. 쓴 프레임 수를 돌려준다.

        Raises:
            VideoWriteError: 프레임이 없거나, 인코더가 받아들이지 않거나, 디스크가 가득 찼을 때.
        """
        if not self._frames:
            raise VideoWriteError(
                f"비디오를 쓸 수 없습니다: {self._target}\n  이유: 프레임이 하나도 없습니다.\n"
                "  해결: 구간(--start, --end)을 확인하세요."
            )
        with korean_write_errors(self._target):
            rest = list(self._stream.encode(None))
            if self._plan.codec == "libx265" and len(rest) == self._frames:
                _set_decode_times(rest)
            self._mux(rest[:-1])
            for packet in rest[-1:]:
                # mp4는 마지막으로 담긴 패킷의 길이만 그대로 둔다. 거기에 마지막으로 보일 프레임의 길이를 적는다.
                self._durations[packet.pts] = self._tail
                self._mux([packet])
            self._container.close()
            settle(self._temporary, self._target)
        self.times = SegmentTimes(tuple(self._order), self._tail)
        self._finished = True
        return self._frames

    def close(self) -> None:
        """`finish` 없이 닫으면 쓰던 것을 지운다."""
        if self._finished:
            return
        self._finished = True
        # 이미 버리기로 한 파일이므로 마무리하다 나는 오류는 뜻이 없다.
        with suppress(Exception):
            self._container.close()
        with suppress(OSError):
            self._temporary.unlink()


def _with_messages(packet: Any, messages: tuple[bytes, ...], kind: str) -> Any:
    """메시지들을 끼운 새 패킷. 시각과 표시는 그대로다."""
    made = import_av().Packet(insert_messages(bytes(packet), messages, kind))
    made.pts, made.dts, made.time_base = packet.pts, packet.dts, packet.time_base
    made.duration, made.is_keyframe, made.stream = packet.duration, packet.is_keyframe, packet.stream
    return made


def _set_decode_times(packets: list[Any]) -> None:
    """모든 패킷의 인코딩 시각(dts)을 보이는 시각에서 다시 정한다.

    x265는 프레임이 두어 개뿐이면 dts를 채우지 않은 메모리의 값으로 낸다. 미리 보는 수보다 짧아 모든 패킷이 한꺼번에
    나온 조각에서만 그럴 수 있다.
    """
    ordered = sorted(packet.pts for packet in packets)
    delay = max(place - ordered.index(packet.pts) for place, packet in enumerate(packets))
    step = max(1, (ordered[-1] - ordered[0]) // max(len(ordered) - 1, 1))
    line = [ordered[0] - step * back for back in range(delay, 0, -1)] + ordered
    for packet, dts in zip(packets, line, strict=False):
        packet.dts = dts


def coloured_frame(planes: Planes, plan: EncodePlan) -> Any:
    """평면들을 색의 꼬리표가 붙은 `av.VideoFrame`으로. ProRes 인코더는 꼬리표를 프레임에서 읽는다."""
    frame = frame_of(planes, plan.layout)
    frame.colorspace, frame.color_primaries = plan.colour.matrix, plan.colour.primaries
    frame.color_trc = plan.colour.transfer
    frame.color_range = 2 if plan.colour.full_range else 1
    frame.time_base = plan.time_base
    return frame


def broken_segment(path: str | os.PathLike[str], reason: str) -> VideoDamagedError:
    """온전하지 않은 조각을 알리는 예외."""
    return VideoDamagedError(
        f"조각 파일이 온전하지 않습니다: {os.fspath(path)}\n  이유: {reason}.\n"
        "  해결: 그 파일을 지우고 --resume으로 다시 하세요."
    )
