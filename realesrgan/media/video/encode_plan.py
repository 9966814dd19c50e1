"""무엇으로 어떻게 인코딩(encoding)할지 정한다."""

from __future__ import annotations

import difflib
from dataclasses import replace

from realesrgan.errors import VideoFormatError
from realesrgan.media.video.colour import check_hdr, encoded_colour, hdr_parameters, lost_dynamic_hdr
from realesrgan.media.video.encoders import Encoder, find_encoder, is_built, try_encoder
from realesrgan.media.video.layouts import PLANAR, layout_of
from realesrgan.media.video.marks import FRAME_PACKINGS, MARKED_CONTAINERS, mark_boxes
from realesrgan.media.video.messages import lost_messages
from realesrgan.media.video.types import EncodePlan, EncodeRequest, PixelLayout, VideoInfo
from realesrgan.util.machine import available_cores

_COARSER = {(1, 2): (1, 1), (4, 1): (2, 1), (4, 4): (2, 2)}
"""인코더들이 잘 받지 않는 부표본화를 그보다 거칠지 않은(또는 가장 가까운) 흔한 것으로."""
_PRORES_PROFILES = {"proxy": "0", "lt": "1", "standard": "2", "hq": "3", "4444": "4", "4444xq": "5"}
_X26X_PRESETS = (
    "ultrafast", "superfast", "veryfast", "faster", "fast", "medium", "slow", "slower", "veryslow", "placebo",
)  # fmt: skip
_NO_ASPECT = ("libvpx-vp9", "libsvtav1", "av1_nvenc", "prores_ks")
"""비트열에 픽셀의 비율이 없는 코덱. PyAV로는 Matroska의 표시 크기(DisplayWidth)를 적을 수 없다."""
_CONTAINER_NAMES = {"matroska": "mkv", "webm": "webm"}
_RAW_CODECS = {"nut": "rawvideo", "yuv4mpegpipe": "rawvideo"}


def plan_encoding(
    info: VideoInfo, request: EncodeRequest, container: str, size: tuple[int, int], *, even: bool = False
) -> EncodePlan:
    """입력과 청한 것에서 인코딩을 정하고, 인코더를 한 번 열어 확인한다.

    코덱은 청하지 않으면 컨테이너와 입력에서 고른다: 알파가 있으면 webm은 VP9, mov는 ProRes 4444, mkv는 FFV1,
    8비트는 H.264(webm은 VP9), 그보다 깊거나 HDR이면 H.265(webm은 AV1). 색차와 비트 수는 코덱이 받는 한 그대로 둔다.

    Args:
        info: 입력의 정보.
        request: 청한 것.
        container: 컨테이너의 FFmpeg 이름(`mp4`, `mov`, `matroska`, `webm`), 또는 표준 출력의 `nut`, `yuv4mpegpipe`.
        size: 결과의 `(너비, 높이)`, 픽셀. 회전을 적용한 뒤다.
        even: 색차를 줄이는 형식이 담지 못하는 홀수 크기를 한 픽셀 키울지. 잘라 내지 않는다.

    Raises:
        VideoFormatError: 코덱, 픽셀 형식, 옵션, 크기를 쓸 수 없을 때.
    """
    warnings: list[str] = []
    if container in _RAW_CODECS:
        return _raw_plan(info, request, container, size, even)
    encoder = find_encoder(request.codec or default_codec(info, container, request), container)
    pix_fmt = info.layout.pix_fmt
    # 어디서나 재생되는 4:2:0을 인코더가 그대로 받으면 견줄 것도 잃을 것도 없다.
    common = info.layout.subsampling == (2, 2) and not info.layout.alpha and pix_fmt in encoder.formats
    if request.pix_fmt is not None or not common or (info.colour.is_hdr and info.layout.bits < 10):
        pix_fmt = _chosen_format(info, request, encoder, size, warnings, container)
    layout = layout_of(pix_fmt)
    if even and any(side % step for side, step in zip(size, layout.subsampling, strict=True)):
        size = _even_size(size, layout, warnings)
    if info.colour.is_hdr or info.side_data:
        check_hdr(info, encoder, layout.bits)
    plan = replace(
        _plan(info, request, container, encoder.name, layout, size),
        pix_fmt=pix_fmt,
        options=_options(info, request, encoder, layout),
    )
    if plan.sample_aspect_ratio != 1 and container in ("matroska", "webm") and encoder.name in _NO_ASPECT:
        warnings.append(
            f"{encoder.name}의 {_CONTAINER_NAMES[container]}에는 픽셀의 가로세로 비율({plan.sample_aspect_ratio})을 "
            "적을 수 없어 눌려 보일 수 있습니다. 지키려면 .mp4로 쓰거나 --codec libx264를 쓰세요."
        )
    if info.captions or info.side_data:
        warnings += lost_messages(info.captions, bool(info.side_data.get("hdr10plus")), encoder.name)
        warnings += lost_dynamic_hdr(info)
    if info.spherical or info.stereo:
        warnings += _lost_marks(info, container, encoder)
    warnings += _player_limits(plan)
    try_encoder(plan, request)
    return replace(plan, warnings=tuple(warnings))


def _plan(
    info: VideoInfo, request: EncodeRequest, container: str, codec: str, layout: PixelLayout, size: tuple[int, int]
) -> EncodePlan:
    """원본에서 오는 것을 채운 계획."""
    return EncodePlan(
        container=container,
        codec=codec,
        layout=layout,
        colour=encoded_colour(info.colour, layout.family, info.display_size[1], size[1]),
        width=size[0],
        height=size[1],
        time_base=request.time_base or (1 / request.rate if request.rate else info.time_base),
        rate=request.rate or info.rate,
        sample_aspect_ratio=1 / info.sample_aspect_ratio if info.rotation % 180 else info.sample_aspect_ratio,
        pix_fmt=layout.pix_fmt,
    )


def _lost_marks(info: VideoInfo, container: str, encoder: Encoder) -> list[str]:
    """담지 못하는 360도와 입체의 표시."""
    carried = mark_boxes(info) if container in MARKED_CONTAINERS else b""
    notes = []
    if info.spherical and b"sv3d" not in carried:
        notes.append("360도의 표시(spherical)는 담지 못합니다. 돌려 적지 않은 등장방형을 mp4나 mkv로 쓸 때만 담습니다.")
    if info.stereo and b"st3d" not in carried and (encoder.name != "libx264" or info.stereo not in FRAME_PACKINGS):
        notes.append("입체 비디오의 표시는 담지 못합니다. 좌우나 위아래로 놓인 것을 mp4나 mkv로 쓸 때만 담습니다.")
    return notes


_LEVELS = {
    "libx264": ("H.264의 수준 5.2를", 36864 << 8, 2_073_600 << 8),  # ITU-T H.264 표 A-1
    "libx265": ("H.265의 가장 높은 수준 6.2도", 35_651_584, 4_278_190_080),  # ITU-T H.265 표 A.8과 A.9
    "libsvtav1": ("AV1의 가장 높은 수준 6.3도", 35_651_584, 4_278_190_080),  # AV1 규격 부속서 A.3
    "libvpx-vp9": ("VP9의 가장 높은 수준 6.2도", 35_651_584, 4_706_009_088),
}
_LEVELS |= {"h264_nvenc": _LEVELS["libx264"], "hevc_nvenc": _LEVELS["libx265"], "av1_nvenc": _LEVELS["libsvtav1"]}
"""코덱의 수준(level)의 이름과, 프레임과 1초에 담을 수 있는 휘도 표본의 수. 긴 변은 프레임의 여덟 배의 제곱근까지다."""


def _player_limits(plan: EncodePlan) -> list[str]:
    """흔한 재생기가 보이지 못할 결과와 할 일."""
    notes = []
    name, most, rate = _LEVELS.get(plan.codec, ("", 0, 0))
    area = -(-plan.width // 16) * -(-plan.height // 16) << 8
    if name and (area > most or area * plan.rate > rate or max(plan.width, plan.height) ** 2 > 8 * most):
        remedy = "--codec h265를 쓰거나 배율을" if name.startswith("H.264") else "배율이나 --fps를"
        notes.append(
            f"{plan.width}x{plan.height} {float(plan.rate):g}fps는 {name} 넘어 재생하지 못하는 기기가 많습니다. "
            f"{remedy} 줄이세요."
        )
    if name.startswith("H.265") and plan.layout.bits > 10:
        notes.append("12비트 H.265를 재생하는 기기는 드뭅니다. 널리 재생하려면 --pix_fmt yuv420p10le를 쓰세요.")
    if name.startswith("H.264") and plan.layout.bits > 8:
        notes.append("10비트 H.264를 재생하는 기기는 드뭅니다. 널리 재생하려면 --codec h265를 쓰세요.")
    return notes


def _even_size(size: tuple[int, int], layout: PixelLayout, warnings: list[str]) -> tuple[int, int]:
    (width, height), (across, down) = size, layout.subsampling
    even = (-(-width // across) * across, -(-height // down) * down)
    warnings.append(
        f"{layout.pix_fmt} 형식은 홀수 크기를 담지 못해 {width}x{height} 대신 {even[0]}x{even[1]}로 만듭니다."
    )
    return even


def default_codec(info: VideoInfo, container: str, request: EncodeRequest) -> str:
    """청하지 않았을 때의 코덱."""
    wanted = PLANAR.get(request.pix_fmt or "", info.layout)
    deep = wanted.bits > 8 or info.colour.is_hdr
    if wanted.alpha and container in ("webm", "mov", "matroska"):
        return {"webm": "libvpx-vp9", "mov": "prores_ks", "matroska": "ffv1"}[container]
    if container == "webm":
        return "libsvtav1" if deep else "libvpx-vp9"
    preferred = "libx265" if deep else "libx264"
    # x264와 x265 없이 만든 PyAV도 있다. 그때는 있는 것 가운데 같은 깊이를 담는 것을 쓴다.
    return preferred if is_built(preferred) else "libsvtav1"


def _chosen_format(
    info: VideoInfo,
    request: EncodeRequest,
    encoder: Encoder,
    size: tuple[int, int],
    warnings: list[str],
    container: str,
) -> str:
    if request.pix_fmt is not None:
        return _requested_format(request.pix_fmt, encoder)
    formats = encoder.formats
    if encoder.name == "libvpx-vp9" and container == "mp4":
        # mp4의 VP9에는 알파를 둘 자리가 없다.
        formats = tuple(name for name in formats if not layout_of(name).alpha)
    bits = 10 if info.colour.is_hdr and info.layout.bits < 10 else info.layout.bits
    subsampling = _COARSER.get(info.layout.subsampling, info.layout.subsampling)
    twice = size[0] >= 2 * info.display_size[0] and size[1] >= 2 * info.display_size[1]
    if info.layout.family == "gray" or (info.layout.family == "rgb" and twice):
        # RGB를 두 배 넘게 키우면 4:2:0도 원본의 색보다 촘촘하므로 널리 재생되는 쪽을 고른다.
        subsampling = (2, 2)
    wanted = replace(info.layout, bits=bits, subsampling=subsampling)
    best = min(formats, key=lambda name: _distance(layout_of(name), wanted, encoder.name))
    warnings.extend(_losses(info.layout, layout_of(best), encoder))
    return best


def _distance(candidate: PixelLayout, wanted: PixelLayout, codec: str) -> tuple[int, ...]:
    """작을수록 원본에 가깝다. 알파, 갈래, 잃는 비트, 잃는 색차, 넘치는 비트, 넘치는 색차의 차례로 본다."""
    keeps = codec == "ffv1"
    family = 0 if candidate.family == wanted.family and (keeps or wanted.family == "yuv") else 1
    if wanted.family != "yuv" and not keeps:
        family = 0 if candidate.family == "yuv" else 1
    coarse = [max(0, c - w) for c, w in zip(candidate.subsampling, wanted.subsampling, strict=True)]
    fine = [max(0, w - c) for c, w in zip(candidate.subsampling, wanted.subsampling, strict=True)]
    return (
        int(candidate.alpha != wanted.alpha),
        family,
        max(0, wanted.bits - candidate.bits),
        0 if candidate.family != "yuv" else sum(coarse),
        max(0, candidate.bits - wanted.bits),
        0 if candidate.family != "yuv" else sum(fine),
    )


def _losses(source: PixelLayout, chosen: PixelLayout, encoder: Encoder) -> list[str]:
    lost = []
    if source.alpha and not chosen.alpha:
        lost.append(
            f"알파 채널은 {encoder.name}에 담을 수 없어 버립니다. 지키려면 .webm(libvpx-vp9), "
            ".mov(prores_ks), .mkv(ffv1) 가운데 하나로 쓰세요."
        )
    if chosen.bits < source.bits:
        lost.append(f"{source.bits}비트를 {encoder.name}가 받지 않아 {chosen.bits}비트로 줄입니다.")
    if source.family == chosen.family == "yuv":
        coarser = any(c > s for c, s in zip(chosen.subsampling, source.subsampling, strict=True))
        if coarser:
            lost.append(f"{encoder.name}가 받지 않아 색차를 {chosen.pix_fmt}로 줄입니다.")
    if chosen.subsampling != (2, 2) and encoder.name in ("libx264", "libx265", "h264_nvenc", "hevc_nvenc"):
        lost.append(f"{chosen.pix_fmt}는 재생하지 못하는 기기가 있습니다. 널리 재생하려면 --pix_fmt yuv420p를 쓰세요.")
    return lost


def _requested_format(pix_fmt: str, encoder: Encoder) -> str:
    if pix_fmt in encoder.formats:
        return pix_fmt
    # 8비트 FFV1의 gbrp처럼 값은 같고 놓인 모양만 다른 이름도 받는다.
    try:
        layout = layout_of(pix_fmt)
    except VideoFormatError:
        layout = None
    same = [name for name in encoder.formats if layout is not None and layout_of(name) == layout]
    if same:
        return same[0]
    near = difflib.get_close_matches(pix_fmt, encoder.formats, 1, 0.6)
    hint = f" 혹시 {near[0]}?" if near else ""
    raise VideoFormatError(
        f"{encoder.name}에 쓸 수 없는 픽셀 형식입니다: {pix_fmt}{hint}\n  이유: 그 인코더가 받지 않습니다.\n"
        f"  해결: --pix_fmt에 다음 가운데 하나를 쓰거나 빼세요: {', '.join(encoder.formats)}"
    )


def _options(info: VideoInfo, request: EncodeRequest, encoder: Encoder, layout: PixelLayout) -> dict[str, str]:
    """인코더에 넘길 옵션. 사용자가 적은 것이 마지막에 이긴다."""
    options = dict(encoder.defaults)
    if encoder.name == "prores_ks":
        options["profile"] = "4" if layout.subsampling == (1, 1) else "3"
    if layout.alpha and encoder.name == "libvpx-vp9":
        # 보이지 않는 대체 참조 프레임(alt-ref)과 알파를 libvpx가 함께 쓰지 못한다.
        options["auto-alt-ref"] = "0"
    user = dict(request.options)
    if request.bitrate is not None:
        user.setdefault("b", str(request.bitrate))
    if user:
        _settle_quality(request, encoder, user, options)
    if request.crf is not None:
        options[_named(encoder.crf, encoder, "--crf")] = _quality(request.crf, encoder)
    elif request.options.get("lossless", "0") != "0":
        options.pop("crf", None)  # libvpx는 무손실에 품질 값이 함께 오면 막는다.
    if request.preset is not None:
        options.update(_preset(request.preset, encoder))
    cores, threads = available_cores(), request.threads
    # x264와 x265는 스레드 수에 따라 결과가 조금 다르다. 계획에 수를 못박아, 코어 수가 다른 기계에서 이어 하거나 나누어
    # 해도 같은 비디오가 되게 한다. 수는 두 인코더가 스스로 고르는 것과 같다. 0은 인코더에 맡긴다.
    if not threads and encoder.name == "libx264":
        threads = max(1, min(cores * 3 // 2, 16))
    elif not threads and encoder.name == "libx265":
        threads = next(frames for least, frames in ((32, 6), (16, 5), (8, 3), (4, 2), (0, 1)) if cores >= least)
    options["threads"] = str(threads)
    # x265는 제 손으로 표준 오류에 쓴다. 라이브러리는 아무것도 찍지 않아야 한다.
    own = {"log-level": "none"} if encoder.name == "libx265" else {}
    if info.stereo in FRAME_PACKINGS and encoder.name == "libx264":
        own["frame-packing"] = FRAME_PACKINGS[info.stereo]
    if info.side_data:
        own |= hdr_parameters(info.side_data, encoder)
    if encoder.params and own:
        mine = ":".join(f"{key}={value}" for key, value in own.items())
        user[encoder.params] = ":".join(part for part in (mine, user.get(encoder.params, "")) if part)
    return {**options, **user}


_RATE_CONTROLS = {"qp": "양자화 값", "b": "비트율", "crf": "품질", "cq": "품질", "global_quality": "품질"}
"""화질을 정하는 옵션들. 하나를 정하면 나머지의 기본값은 뺀다. 둘이 함께 있으면 인코더가 하나를 조용히 버린다."""
_OWN_CONTROLS = {"crf": "crf", "qp": "qp", "bitrate": "b", "tbr": "b"}
"""같은 것을 x264, x265, SVT-AV1의 매개변수로 부르는 이름."""


def _settle_quality(request: EncodeRequest, encoder: Encoder, user: dict[str, str], options: dict[str, str]) -> None:
    """사용자가 화질을 다른 옵션으로 정했으면 기본 품질 값을 뺀다.

    Raises:
        VideoFormatError: 화질을 두 가지로 정했거나, 그 인코더가 비트율을 받지 않을 때.
    """
    if "b:v" in user:
        user["b"] = user.pop("b:v")
    given = [name for name in _RATE_CONTROLS if name in user]
    # 인코더 자신의 매개변수로 정한 것도 본다. x264는 그 crf보다 FFmpeg의 crf를 따른다.
    own = {part.partition("=")[0] for part in user.get(encoder.params or "", "").split(":")}
    given += [name for key, name in _OWN_CONTROLS.items() if key in own]
    if not given:
        return
    if "global_quality" in given and encoder.name != "prores_ks" and "flags" not in user:
        raise VideoFormatError(
            f"{encoder.name}는 global_quality를 보지 않습니다.\n  이유: 인코더가 조용히 버리는 옵션입니다.\n"
            "  해결: --crf나 --bitrate를 쓰세요."
        )
    if encoder.crf is None and "b" in given:
        raise VideoFormatError(
            f"{encoder.name}에는 비트율을 정할 수 없습니다.\n"
            "  이유: 무손실이거나 프로파일로 화질을 정하는 코덱입니다.\n"
            "  해결: --bitrate(b)를 빼거나 --codec을 바꾸세요."
        )
    # libvpx는 품질과 비트율을 함께 받는다(품질을 지키되 비트율을 넘지 않는다).
    # 같은 옵션을 두 번 적었으면 더 자세히 적은 쪽(--encoder_options)이 이긴다.
    names = [*(["--crf"] if request.crf is not None and encoder.crf not in user else []), *given]
    both = encoder.name == "libvpx-vp9" and {name.strip("-") for name in names} == {"crf", "b"} and len(names) == 2
    if not both and len(names) > 1:
        raise VideoFormatError(
            f"{encoder.name}의 화질을 두 가지로 정했습니다: {', '.join(names)}\n"
            "  이유: 인코더는 그 가운데 하나만 따르고 나머지를 버립니다.\n  해결: 하나만 주세요."
        )
    if encoder.crf is not None and not both:
        options.pop(encoder.crf, None)
    if encoder.name.endswith("_nvenc") and "qp" in given:
        options["rc"] = "constqp"


def _named(name: str | None, encoder: Encoder, option: str) -> str:
    if name is None:
        raise VideoFormatError(
            f"{encoder.name}에 없는 옵션입니다: {option}\n  이유: 무손실이거나 프로파일로 화질을 정하는 코덱입니다.\n"
            f"  해결: {option} 옵션을 빼거나 --encoder_options를 쓰세요."
        )
    return name


def _quality(crf: float, encoder: Encoder) -> str:
    """FFmpeg는 넘치는 값을 조용히 자르므로 미리 막는다."""
    if not 0 <= crf <= encoder.worst:
        raise VideoFormatError(
            f"{encoder.name}의 --crf로 쓸 수 없는 값입니다: {crf:g}\n"
            f"  이유: 0(가장 좋음)에서 {encoder.worst}(가장 나쁨)까지입니다.\n"
            f"  해결: 그 사이의 값을 쓰세요. 기본은 {encoder.defaults.get(encoder.crf or '', '')}입니다."
        )
    return f"{crf:g}"


def _preset(preset: str, encoder: Encoder) -> dict[str, str]:
    if encoder.name == "prores_ks":
        if preset not in _PRORES_PROFILES:
            raise VideoFormatError(
                f"ProRes에 없는 프로파일입니다: {preset}\n  이유: ProRes는 --preset으로 프로파일을 고릅니다.\n"
                f"  해결: 다음 가운데 하나를 쓰세요: {', '.join(_PRORES_PROFILES)}"
            )
        return {"profile": _PRORES_PROFILES[preset]}
    if encoder.name in ("libx264", "libx265") and preset not in _X26X_PRESETS:
        # x264는 모르는 이름을 제 손으로 표준 오류에 쓴다.
        raise VideoFormatError(
            f"{encoder.name}에 없는 preset입니다: {preset}\n  이유: 속도의 이름이 정해져 있습니다.\n"
            f"  해결: 다음 가운데 하나를 쓰세요: {', '.join(_X26X_PRESETS)}"
        )
    if encoder.name == "libvpx-vp9" and preset in ("good", "best", "realtime"):
        return {"deadline": preset}
    return {_named(encoder.preset, encoder, "--preset"): preset}


def _raw_plan(info: VideoInfo, request: EncodeRequest, container: str, size: tuple[int, int], even: bool) -> EncodePlan:
    """표준 출력의 압축하지 않은 비디오. 다음 프로그램이 곧바로 읽을 수 있어야 한다."""
    from realesrgan.media.video.stream import raw_layout

    others = (request.crf, request.preset, request.bitrate)
    if request.codec not in (None, "rawvideo") or request.options or any(value is not None for value in others):
        raise VideoFormatError(
            "표준 출력에는 압축하지 않은 비디오만 씁니다.\n  이유: 다음 프로그램이 곧바로 읽게 하기 위해서입니다.\n"
            "  해결: --codec, --crf, --bitrate, --preset, --encoder_options를 빼거나 -o에 파일을 지정하세요."
        )
    layout, warnings = raw_layout(info, request, container)
    if even and any(side % step for side, step in zip(size, layout.subsampling, strict=True)):
        size = _even_size(size, layout, warnings)
    plan = replace(_plan(info, request, container, "rawvideo", layout, size), warnings=tuple(warnings))
    if container == "yuv4mpegpipe" and layout.pix_fmt == "yuv420p":
        # FFmpeg가 C420jpeg로 적는다.
        plan = replace(plan, colour=replace(plan.colour, siting="center"))
    return plan
