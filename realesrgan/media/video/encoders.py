"""쓸 수 있는 컨테이너(container)와 인코더(encoder)의 표, 그리고 일을 시작하기 전에 인코더를 한 번 열어 보는 일."""

from __future__ import annotations

import difflib
import os
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from realesrgan.errors import VideoFormatError
from realesrgan.media.video.files import import_av
from realesrgan.media.video.types import EncodePlan, EncodeRequest


@dataclass(frozen=True)
class Container:
    """컨테이너 하나.

    Attributes:
        muxer: FFmpeg의 컨테이너 이름.
        audio: 그대로 복사할 수 있는 소리 코덱. 비었으면 무엇이든.
        audio_encoder: 복사할 수 없을 때 쓸 소리 인코더.
        subtitles: 그대로 복사할 수 있는 자막 코덱.
        text_encoder: 글자 자막을 옮길 인코더. None이면 담을 수 없다.
        attachments, chapters: 첨부 파일과 챕터를 담을 수 있는지.
        cover: 표지 이미지를 이미지 스트림으로 담을 수 있는지.
    """

    muxer: str
    audio: frozenset[str]
    audio_encoder: str
    subtitles: frozenset[str]
    text_encoder: str | None
    attachments: bool = False
    chapters: bool = True
    cover: bool = False


_PCM = frozenset(f"pcm_{kind}" for kind in ("s16le", "s16be", "s24le", "s24be", "s32le", "s32be", "f32le", "f64le"))
_MP4_AUDIO = frozenset(["aac", "mp3", "mp2", "ac3", "eac3", "alac", "flac", "opus", "dts"])
_MKV_AUDIO = (
    _MP4_AUDIO
    | (_PCM - {"pcm_s24be", "pcm_s32be"})
    | frozenset(["truehd", "mlp", "vorbis", "tta", "wavpack", "ra_144", "ra_288", "cook"])
)
_MKV_SUBTITLES = frozenset(
    ["subrip", "ass", "ssa", "webvtt", "text", "hdmv_pgs_subtitle", "dvd_subtitle", "dvb_subtitle"]
)

CONTAINERS = {
    item.muxer: item
    for item in (
        Container("mp4", _MP4_AUDIO, "aac", frozenset({"mov_text"}), "mov_text", cover=True),
        Container("mov", (_MP4_AUDIO - {"opus", "flac"}) | _PCM, "aac",
                  frozenset({"mov_text"}), "mov_text", cover=False),
        Container("matroska", _MKV_AUDIO, "flac", _MKV_SUBTITLES, "ass", attachments=True, cover=True),
        Container("webm", frozenset({"opus", "vorbis"}), "libopus", frozenset({"webvtt"}), "webvtt"),
    )
}  # fmt: skip


@dataclass(frozen=True)
class Encoder:
    """비디오 인코더 하나.

    Attributes:
        name: FFmpeg의 인코더 이름.
        containers: 담을 수 있는 컨테이너.
        formats: 인코더가 받는 픽셀 형식.
        defaults: 알아서 정하는 옵션. 아래의 근거를 보라.
        crf: `--crf`가 갈 옵션의 이름. None이면 품질 값이 없다.
        worst: 품질 값의 가장 큰(나쁜) 값.
        preset: `--preset`이 갈 옵션의 이름. None이면 없다.
        static_hdr: HDR 정적 메타데이터를 담을 수 있는지.
        params: 인코더 자신의 옵션을 한 줄로 받는 옵션의 이름.
    """

    name: str
    containers: tuple[str, ...]
    formats: tuple[str, ...]
    defaults: dict[str, str] = field(default_factory=dict)
    crf: str | None = "crf"
    worst: int = 51
    preset: str | None = "preset"
    static_hdr: bool = False
    params: str | None = None


_YUV = ("yuv420p", "yuv422p", "yuv444p")
_X264_FORMATS = tuple(name + depth for name in _YUV for depth in ("", "10le"))
_X265_FORMATS = tuple(name + depth for name in _YUV for depth in ("", "10le", "12le"))
_YUVA = ("yuva420p", "yuva422p", "yuva444p")
# 8비트 RGB를 FFV1은 섞인 형식으로만 받는다. 값은 같다.
_FFV1_FORMATS = (
    *(name + depth for name in _YUV + _YUVA for depth in ("", "10le", "12le", "16le")),
    "gray", "gray10le", "gray12le", "gray16le", "bgr0", "bgra",
    "gbrp10le", "gbrp12le", "gbrp16le", "gbrap10le", "gbrap12le", "gbrap16le",
)  # fmt: skip


_ALL = ("mp4", "mov", "matroska")
_AV1 = ("mp4", "matroska", "webm")
# 키운 비디오는 한 번 더 손볼 원본이 되기 쉬우므로 눈으로 구분되지 않는 쪽(x264의 17)을 기본으로 한다.
# 다른 인코더의 값은 그와 비슷한 화질이 나는 자리다. preset은 네트워크보다 느려지지 않는 것을 골랐다.
ENCODERS = {
    item.name: item
    for item in (
        # x264의 mbtree는 스레드가 여럿이면 같은 프레임에서도 다른 결과를 낸다. 이어 하기와 torchrun의 결과가
        # 중단 없이 혼자 한 것과 같아야 하므로 끈다. 같은 crf에서 파일이 조금 커지고 화질은 나빠지지 않는다.
        Encoder("libx264", _ALL, _X264_FORMATS, {"crf": "17", "preset": "medium", "mbtree": "0"},
                params="x264-params"),
        Encoder("libx265", _ALL, _X265_FORMATS, {"crf": "18", "preset": "medium"},
                static_hdr=True, params="x265-params"),
        Encoder("libsvtav1", _AV1, ("yuv420p", "yuv420p10le"), {"crf": "20", "preset": "6"},
                worst=63, static_hdr=True, params="svtav1-params"),
        Encoder("libvpx-vp9", _AV1, (*_YUV, "yuva420p"),
                {"crf": "20", "row-mt": "1", "cpu-used": "2"}, worst=63, preset="cpu-used"),
        Encoder("ffv1", ("matroska",), _FFV1_FORMATS,
                {"level": "3", "slicecrc": "1", "g": "1"}, crf=None, preset=None),
        Encoder("prores_ks", ("mov", "matroska"), ("yuv422p10le", "yuv444p10le", "yuva444p10le"), {},
                crf=None, preset=None),
        Encoder("h264_nvenc", _ALL, ("yuv420p", "yuv444p"), {"rc": "vbr", "cq": "18", "preset": "p5"}, crf="cq"),
        Encoder("hevc_nvenc", _ALL, ("yuv420p", "yuv444p", "p010le"), {"rc": "vbr", "cq": "19", "preset": "p5"},
                crf="cq"),
        Encoder("av1_nvenc", _AV1, ("yuv420p", "p010le"), {"rc": "vbr", "cq": "22", "preset": "p5"}, crf="cq"),
    )
}  # fmt: skip
_ALIASES = {
    "h264": "libx264", "x264": "libx264", "avc": "libx264", "hevc": "libx265", "h265": "libx265", "x265": "libx265",
    "av1": "libsvtav1", "svtav1": "libsvtav1", "vp9": "libvpx-vp9", "prores": "prores_ks",
}  # fmt: skip


def find_encoder(name: str, container: str) -> Encoder:
    """이름으로 인코더를 찾는다. `h264`, `prores` 같은 흔한 이름도 받는다.

    Args:
        name: 인코더 이름.
        container: 컨테이너의 FFmpeg 이름.

    Raises:
        VideoFormatError: 모르는 이름이거나, 이 PyAV에 없거나, 컨테이너에 담을 수 없을 때.
    """
    encoder = ENCODERS.get(_ALIASES.get(name.lower(), name))
    if encoder is None:
        near = difflib.get_close_matches(name.lower(), [*ENCODERS, *_ALIASES], 1, 0.5)
        hint = f" 혹시 {near[0]}?" if near else ""
        raise VideoFormatError(
            f"모르는 비디오 코덱입니다: {name}{hint}\n  이유: 시험해 본 코덱만 씁니다.\n"
            f"  해결: 다음 가운데 하나를 쓰세요: {codec_names(ENCODERS)}"
        )
    if not is_built(encoder.name):
        raise VideoFormatError(
            f"이 PyAV에는 {encoder.name} 인코더가 없습니다.\n  이유: 그 코덱 없이 만들어진 패키지입니다.\n"
            f"  해결: 다음 가운데 하나를 쓰세요: {codec_names(n for n in ENCODERS if is_built(n))}"
        )
    if container in ("nut", "yuv4mpegpipe") or container in encoder.containers:
        return encoder
    names = {"matroska": "mkv"}
    places = ", ".join(f".{names.get(place, place)}" for place in encoder.containers)
    fits = codec_names(n for n, item in ENCODERS.items() if container in item.containers and is_built(n))
    raise VideoFormatError(
        f"{encoder.name}의 비디오는 {names.get(container, container)}에 담을 수 없습니다.\n"
        f"  이유: 그 형식의 규격에 없거나 재생기들이 읽지 못합니다. {places}에는 담을 수 있습니다.\n"
        f"  해결: -o의 확장자를 바꾸거나 --codec에 다음 가운데 하나를 쓰세요: {fits}"
    )


def codec_names(names: Iterable[str]) -> str:
    """사용자에게 보일 코덱의 목록. 흔한 이름이 있으면 함께 적는다. 적힌 이름은 모두 `--codec`이 받는다."""
    common = {"libx264": "h264", "libx265": "h265", "libsvtav1": "av1", "libvpx-vp9": "vp9", "prores_ks": "prores"}
    return ", ".join(f"{common[name]}({name})" if name in common else name for name in names)


def is_built(name: str) -> bool:
    """이 PyAV가 그 인코더를 갖고 있는지."""
    av = import_av()
    try:
        av.Codec(name, "w")
    except (av.error.FFmpegError, ValueError):
        return False
    return True


_FULL, _LIMITED = 2, 1  # AVCOL_RANGE_JPEG, AVCOL_RANGE_MPEG


def set_up(context: Any, plan: EncodePlan) -> None:
    """인코더 문맥에 계획을 적는다. 여는 것은 부르는 쪽이다.

    Args:
        context: 아직 열지 않은 `av.VideoCodecContext`.
        plan: 인코딩 계획.
    """
    context.width, context.height = plan.width, plan.height
    context.pix_fmt = plan.pix_fmt or plan.layout.pix_fmt
    context.time_base = plan.time_base
    context.framerate = plan.rate
    context.sample_aspect_ratio = plan.sample_aspect_ratio
    context.colorspace = plan.colour.matrix
    context.color_primaries = plan.colour.primaries
    context.color_trc = plan.colour.transfer
    context.color_range = _FULL if plan.colour.full_range else _LIMITED
    # PyAV의 기본은 조각(slice) 스레드인데, x264는 그것을 보고 화질이 떨어지는 방식으로 돈다.
    context.thread_type = "AUTO"
    context.options = dict(plan.options)
    if plan.codec == "libsvtav1":
        # SVT-AV1은 제 손으로 표준 오류에 쓰고, 환경 변수로만 조용히 할 수 있다(1은 오류만).
        os.environ.setdefault("SVT_LOG", "1")


def try_encoder(plan: EncodePlan, request: EncodeRequest) -> None:
    """인코더를 한 번 열어 옵션이 모두 받아들여지는지 본다.

    FFmpeg는 모르는 옵션을 조용히 남기고, x264와 x265는 모르는 매개변수를 경고로만 알린다. 둘 다 오류로 만든다.

    Raises:
        VideoFormatError: 인코더를 열 수 없거나 모르는 옵션이 있을 때.
    """
    av = import_av()
    across, down = plan.layout.subsampling if plan.layout.family == "yuv" else (1, 1)
    if (plan.width % across or plan.height % down) and plan.codec not in ("ffv1", "libvpx-vp9", "prores_ks"):
        raise VideoFormatError(
            f"결과의 크기 {plan.width}x{plan.height}는 {plan.codec}의 {plan.layout.pix_fmt}에 담을 수 없습니다.\n"
            f"  이유: 가로는 {across}, 세로는 {down}의 배수여야 합니다.\n"
            "  해결: --outscale을 바꾸거나 --pix_fmt yuv444p를 쓰세요."
        )
    context = av.CodecContext.create(plan.codec, "w")
    # FFmpeg의 옵션 이름은 모두 영문이다. 옛 PyAV는 다른 글자를 넘기지 못해 까닭 모를 오류를 낸다.
    if foreign := next((name for name in plan.options if not name.isascii()), None):
        raise _unknown_option(plan, foreign, context)
    set_up(context, plan)
    before = av.logging.get_level()
    av.logging.set_level(av.logging.WARNING)
    try:
        with av.logging.Capture() as logs:
            context.open()
    except (av.error.FFmpegError, ValueError, OSError) as error:
        raise _refused(plan, request, [message for _, _, message in logs], error) from error
    finally:
        av.logging.set_level(before)
    unknown = [name for name in context.options if name in plan.options]
    if unknown:
        raise _unknown_option(plan, unknown[0], context)
    complaints = [message.strip() for _, _, message in logs if _is_complaint(message)]
    if complaints:
        raise VideoFormatError(
            f"{plan.codec} 인코더가 매개변수를 받아들이지 않습니다.\n  이유: {complaints[0]}\n"
            "  해결: --encoder_options의 이름과 값을 확인하세요."
        )


def _is_complaint(message: str) -> bool:
    lowered = message.lower()
    return any(
        part in lowered for part in ("unknown option", "invalid value", "error parsing option", "error setting option")
    )


def _refused(plan: EncodePlan, request: EncodeRequest, logs: list[str], error: Exception) -> VideoFormatError:
    if isinstance(error, UnicodeEncodeError):
        error = ValueError(f"옵션의 값에 영문이 아닌 글자가 있습니다: {error.object}")
    detail = next((line.strip() for line in logs if line.strip()), None) or getattr(error, "strerror", None) or error
    if plan.codec.endswith("_nvenc"):
        remedy = "NVIDIA GPU와 드라이버를 확인하거나 --codec libx264를 쓰세요."
    elif request.options or request.preset or request.crf is not None:
        remedy = "--encoder_options, --preset, --crf의 값을 확인하세요."
    else:
        remedy = "--codec이나 --pix_fmt를 바꾸어 보세요."
    return VideoFormatError(
        f"{plan.codec} 인코더를 열 수 없습니다({plan.width}x{plan.height}, {plan.layout.pix_fmt}).\n"
        f"  이유: {detail}\n  해결: {remedy}"
    )


def _unknown_option(plan: EncodePlan, name: str, context: Any) -> VideoFormatError:
    supported = getattr(context, "supported_options", None)
    known = [item.name for item in supported.private] if supported is not None else []
    near = difflib.get_close_matches(name, [*known, *ENCODERS[plan.codec].defaults], 1, 0.5)
    hint = f" 혹시 {near[0]}?" if near else ""
    return VideoFormatError(
        f"{plan.codec} 인코더에 없는 옵션입니다: {name}{hint}\n  이유: FFmpeg가 받아들이지 않았습니다.\n"
        "  해결: --encoder_options의 이름을 확인하세요."
    )
