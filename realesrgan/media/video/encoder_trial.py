"""부호기를 여는 일과, 일을 시작하기 전에 한 번 열어 보는 일."""

from __future__ import annotations

import difflib
import os
from typing import Any

from realesrgan.errors import VideoFormatError
from realesrgan.media.video.encoders import ENCODERS
from realesrgan.media.video.library import import_av
from realesrgan.media.video.types import EncodePlan, EncodeRequest

_FULL, _LIMITED = 2, 1  # AVCOL_RANGE_JPEG, AVCOL_RANGE_MPEG


def set_up(context: Any, plan: EncodePlan) -> None:
    """부호기 문맥에 계획을 적는다. 여는 것은 부르는 쪽이다.

    Args:
        context: 아직 열지 않은 `av.VideoCodecContext`.
        plan: 부호화 계획.
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
    """부호기를 한 번 열어 옵션이 모두 받아들여지는지 본다.

    FFmpeg는 모르는 옵션을 조용히 남기고, x264와 x265는 모르는 매개변수를 경고로만 알린다. 둘 다 오류로 만든다.

    Raises:
        VideoFormatError: 부호기를 열 수 없거나 모르는 옵션이 있을 때.
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
            f"{plan.codec} 부호기가 매개변수를 받아들이지 않습니다.\n  이유: {complaints[0]}\n"
            "  해결: --encoder_options의 이름과 값을 확인하세요."
        )


def _is_complaint(message: str) -> bool:
    lowered = message.lower()
    return any(
        part in lowered for part in ("unknown option", "invalid value", "error parsing option", "error setting option")
    )


def _refused(plan: EncodePlan, request: EncodeRequest, logs: list[str], error: Exception) -> VideoFormatError:
    detail = next((line.strip() for line in logs if line.strip()), None) or getattr(error, "strerror", None) or error
    if plan.codec.endswith("_nvenc"):
        remedy = "NVIDIA GPU와 드라이버를 확인하거나 --codec libx264를 쓰세요."
    elif request.options or request.preset or request.crf is not None:
        remedy = "--encoder_options, --preset, --crf의 값을 확인하세요."
    else:
        remedy = "--codec이나 --pix_fmt를 바꾸어 보세요."
    return VideoFormatError(
        f"{plan.codec} 부호기를 열 수 없습니다({plan.width}x{plan.height}, {plan.layout.pix_fmt}).\n"
        f"  이유: {detail}\n  해결: {remedy}"
    )


def _unknown_option(plan: EncodePlan, name: str, context: Any) -> VideoFormatError:
    supported = getattr(context, "supported_options", None)
    known = [item.name for item in supported.private] if supported is not None else []
    near = difflib.get_close_matches(name, [*known, *ENCODERS[plan.codec].defaults], 1, 0.5)
    hint = f" 혹시 {near[0]}?" if near else ""
    return VideoFormatError(
        f"{plan.codec} 부호기에 없는 옵션입니다: {name}{hint}\n  이유: FFmpeg가 받아들이지 않았습니다.\n"
        "  해결: --encoder_options의 이름을 확인하세요."
    )
