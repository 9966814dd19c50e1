"""인코딩한 조각(segment) 하나를 쓰고 확인한다.

조각은 mp4(ProRes는 mov)다. 눈금(timescale)을 원본의 시각 단위에 맞출 수 있어 시각을 잃지 않고,
마지막 프레임의 길이까지 담으며, 다 쓰이지 않은 파일은 열리지 않는다.
VP9의 알파는 mp4에 자리가 없어 둘째 비디오 스트림으로 담았다가 이을 때 되돌린다.
"""

from __future__ import annotations

import os
import re
import secrets
from contextlib import closing, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from realesrgan.errors import VideoDamagedError, VideoReadError, VideoWriteError
from realesrgan.media.video.damage import file_shortage
from realesrgan.media.video.encoders import set_up
from realesrgan.media.video.files import import_av, korean_write_errors, local_url, open_container, settle
from realesrgan.media.video.layouts import frame_of
from realesrgan.media.video.types import EncodePlan, Planes

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
        self._captions: dict[int, bytes] = {}
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

    def write(self, planes: Planes, pts: int, duration: int = 0, captions: bytes = b"") -> None:
        """프레임 하나를 인코딩해 쓴다.

        Args:
            planes: 계획의 `layout`의 평면들.
            pts: 조각의 처음부터의 시각, 단위는 계획의 `time_base`. 첫째는 0이고 언제나 늘어난다.
            duration: 보이는 길이. 모르면 0.
            captions: 방송 자막. 담지 못하는 코덱이면 버린다.

        Raises:
            VideoWriteError: 인코더가 받아들이지 않거나 디스크가 가득 찼을 때.
            ValueError: 시각이 늘어나지 않거나 평면의 모양이 다를 때.
        """
        if pts <= self._last or (self._last < 0 and pts != 0):
            raise ValueError(f"조각의 시각이 0에서 시작해 늘어나지 않습니다: {self._last} 다음에 {pts}")
        frame = coloured_frame(planes, self._plan)
        frame.pts, frame.duration = pts, duration
        self._durations[pts] = duration
        if captions:
            self._captions[pts] = captions
        with korean_write_errors(self._target):
            self._mux(self._stream.encode(frame))
        self._last = pts
        self._frames += 1

    def _mux(self, packets: list[Any]) -> None:
        for packet in packets:
            duration = self._durations.pop(packet.pts, 0)
            if duration:
                packet.duration = duration
            twin = self._alpha_packet(packet, duration) if self._alpha is not None else None
            captions = self._captions.pop(packet.pts, b"")
            if captions and self._plan.codec in CAPTION_CODECS:
                self._container.mux_one(_captioned(packet, captions, CAPTION_CODECS[self._plan.codec]))
            else:
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
            last = self._durations.get(self._last, 0)
            rest = list(self._stream.encode(None))
            if self._plan.codec == "libx265" and len(rest) == self._frames:
                _set_decode_times(rest)
            self._mux(rest[:-1])
            for packet in rest[-1:]:
                # mp4는 마지막으로 담긴 패킷의 길이만 그대로 둔다. 거기에 마지막으로 보일 프레임의 길이를 적는다.
                self._durations[packet.pts] = last
                self._mux([packet])
            self._container.close()
            settle(self._temporary, self._target)
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


CAPTION_CODECS = {"libx264": False, "h264_nvenc": False, "libx265": True, "hevc_nvenc": True}
"""방송 자막을 담을 수 있는 코덱과, H.265인지. FFmpeg는 프레임의 곁 데이터에서만 담는데 PyAV로는 그것을 붙일 수 없다."""


def _captioned(packet: Any, captions: bytes, hevc: bool) -> Any:
    """방송 자막의 SEI(user_data_registered_itu_t_t35)를 첫 화면 조각의 앞에 넣은 패킷."""
    made = import_av().Packet(insert_captions(bytes(packet), captions, hevc))
    made.pts, made.dts, made.time_base = packet.pts, packet.dts, packet.time_base
    made.duration, made.is_keyframe, made.stream = packet.duration, packet.is_keyframe, packet.stream
    return made


def insert_captions(data: bytes, captions: bytes, hevc: bool) -> bytes:
    """인코딩된 한 프레임(Annex B)에 방송 자막을 넣는다. ITU-T H.264와 H.265의 부속서 D, ATSC A/53 4부 6.2.3.

    Args:
        data: 시작 부호(start code)로 나뉜 NAL 단위들.
        captions: cc_data, 세 바이트씩. 한 프레임에 31개까지 든다.
        hevc: H.265인지.
    """
    count = min(len(captions) // 3, 31)
    payload = b"\xb5\x00\x31GA94\x03" + bytes([0x40 | count, 0xFF]) + captions[: 3 * count] + b"\xff"
    body = bytes([4, len(payload)]) + payload + b"\x80"
    # 00 00 뒤의 03 이하는 시작 부호와 헷갈리므로 03을 끼운다(emulation prevention).
    body = re.sub(rb"\x00\x00(?=[\x00-\x03])", b"\x00\x00\x03", body)
    unit = b"\x00\x00\x00\x01" + (b"\x4e\x01" if hevc else b"\x06") + body
    for found in re.finditer(rb"\x00?\x00\x00\x01(.)", data, re.DOTALL):
        kind = found[1][0] >> 1 & 0x3F if hevc else found[1][0] & 0x1F
        if kind < 32 if hevc else 1 <= kind <= 5:
            return data[: found.start()] + unit + data[found.start() :]
    return data


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


@dataclass(frozen=True)
class SegmentTimes:
    """조각에 든 시각. 단위는 계획의 `time_base`.

    Attributes:
        pts: 패킷들의 보이는 시각, 담긴 차례(인코딩 순서).
        tail: 마지막으로 보이는 프레임의 길이. 모르면 0.
    """

    pts: tuple[int, ...]
    tail: int


def check_segment(path: str | os.PathLike[str], plan: EncodePlan, frames: int | None = None) -> SegmentTimes:
    """조각이 온전한지 보고 시각들을 돌려준다. 디코딩하지는 않는다.

    Args:
        path: 조각 파일.
        plan: 그 조각을 쓴 계획.
        frames: 들어 있어야 할 프레임 수. None이면 파일이 말하는 수만 본다.

    Raises:
        VideoDamagedError: 온전하지 않을 때.
    """
    av = import_av()
    if Path(path).exists() and file_shortage(path):
        raise _broken(path, "잘렸습니다")
    try:
        container = open_container(path)
    except VideoReadError as error:
        raise _broken(path, "열 수 없습니다") from error
    with closing(container):
        if not container.streams.video or (container.streams.video[0].codec_context.width) != plan.width:
            raise _broken(path, "다른 계획으로 쓴 조각입니다")
        stream = container.streams.video[0]
        try:
            # 패킷의 내용은 붙들지 않는다. 긴 조각은 수백 MB일 수 있다.
            found = [(p.pts, p.dts, p.duration or 0, p.is_corrupt) for p in container.demux(stream) if p.size]
        except (av.error.FFmpegError, OSError) as error:
            raise _broken(path, "끝까지 읽을 수 없습니다") from error
        count = stream.frames if frames is None else frames
        if not found or not len(found) == stream.frames == count or any(corrupt for *_, corrupt in found):
            raise _broken(path, f"{count}개 가운데 {len(found)}개만 있습니다")
        base = stream.time_base
        # 트랙의 길이는 인코딩 시각(dts)의 폭에 마지막 패킷의 길이를 더한 것이다. FFmpeg의 버전에 따라
        # 편집 목록의 길이가 나오기도 하는데, 그때는 패킷의 것을 쓴다.
        ticks = (stream.duration or 0) - (found[-1][1] - found[0][1])
        tail = (ticks if ticks > 0 else found[-1][2]) * base / plan.time_base
        scaled = [pts * base / plan.time_base for pts, *_ in found]
    times = tuple(map(int, scaled))
    if list(times) != scaled:
        raise _broken(path, "시각의 단위가 다릅니다")
    if len(set(times)) != len(times) or min(times) != 0:
        raise _broken(path, "시각이 겹치거나 0에서 시작하지 않습니다")
    return SegmentTimes(times, round(tail))


def _broken(path: str | os.PathLike[str], reason: str) -> VideoDamagedError:
    return VideoDamagedError(
        f"조각 파일이 온전하지 않습니다: {os.fspath(path)}\n  이유: {reason}.\n"
        "  해결: 그 파일을 지우고 --resume으로 다시 하세요."
    )
