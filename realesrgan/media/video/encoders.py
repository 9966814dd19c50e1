"""쓸 수 있는 영상 부호기(encoder)들의 표."""

from __future__ import annotations

import difflib
from dataclasses import dataclass, field

from realesrgan.errors import VideoFormatError
from realesrgan.media.video.library import import_av


@dataclass(frozen=True)
class Encoder:
    """영상 부호기 하나.

    Attributes:
        name: FFmpeg의 부호기 이름.
        containers: 담을 수 있는 묶음 형식.
        formats: 부호기가 받는 픽셀 형식.
        defaults: 알아서 정하는 옵션. 아래의 근거를 보라.
        crf: `--crf`가 갈 옵션의 이름. None이면 품질 값이 없다.
        worst: 품질 값의 가장 큰(나쁜) 값.
        preset: `--preset`이 갈 옵션의 이름. None이면 없다.
        static_hdr: HDR 정적 메타데이터를 담을 수 있는지.
        params: 부호기 자신의 옵션을 한 줄로 받는 옵션의 이름.
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


# 8비트 RGB를 FFV1은 섞인 형식으로만 받는다. 값은 같다.
_FFV1_OTHERS = (
    "gray", "gray10le", "gray12le", "gray16le", "bgr0", "bgra",
    "gbrp10le", "gbrp12le", "gbrp16le", "gbrap10le", "gbrap12le", "gbrap16le",
)  # fmt: skip


def _formats(chromas: str, depths: str, alpha: str = "") -> tuple[str, ...]:
    """`"420 422"`와 `"8 10"`에서 평면 형식의 이름들을 만든다. `alpha`는 알파도 되는 색차들이다."""
    suffixes = ["" if depth == "8" else f"{depth}le" for depth in depths.split()]
    plain = [f"yuv{chroma}p{suffix}" for chroma in chromas.split() for suffix in suffixes]
    return tuple(plain + [f"yuva{chroma}p{suffix}" for chroma in alpha.split() for suffix in suffixes])


_ALL = ("mp4", "mov", "matroska")
_AV1 = ("mp4", "matroska", "webm")
# 키운 영상은 한 번 더 손볼 원본이 되기 쉬우므로 눈으로 구분되지 않는 쪽(x264의 17)을 기본으로 한다.
# 다른 부호기의 값은 그와 비슷한 화질이 나는 자리다. preset은 네트워크보다 느려지지 않는 것을 골랐다.
ENCODERS = {
    item.name: item
    for item in (
        # x264의 mbtree는 스레드가 여럿이면 같은 프레임에서도 다른 결과를 낸다. 이어 하기와 torchrun의 결과가
        # 중단 없이 혼자 한 것과 같아야 하므로 끈다. 같은 crf에서 파일이 조금 커지고 화질은 나빠지지 않는다.
        Encoder("libx264", _ALL, _formats("420 422 444", "8 10"), {"crf": "17", "preset": "medium", "mbtree": "0"},
                params="x264-params"),
        Encoder("libx265", _ALL, _formats("420 422 444", "8 10 12"), {"crf": "18", "preset": "medium"},
                static_hdr=True, params="x265-params"),
        Encoder("libsvtav1", _AV1, _formats("420", "8 10"), {"crf": "20", "preset": "6"},
                worst=63, static_hdr=True, params="svtav1-params"),
        Encoder("libvpx-vp9", _AV1, (*_formats("420 422 444", "8"), "yuva420p"),
                {"crf": "20", "row-mt": "1", "cpu-used": "2"}, worst=63, preset="cpu-used"),
        Encoder("ffv1", ("matroska",), (*_formats("420 422 444", "8 10 12 16", "420 422 444"), *_FFV1_OTHERS),
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
    """이름으로 부호기를 찾는다. `h264`, `prores` 같은 흔한 이름도 받는다.

    Args:
        name: 부호기 이름.
        container: 묶음 형식의 FFmpeg 이름.

    Raises:
        VideoFormatError: 모르는 이름이거나, 이 PyAV에 없거나, 묶음 형식에 담을 수 없을 때.
    """
    encoder = ENCODERS.get(_ALIASES.get(name.lower(), name))
    if encoder is None:
        near = difflib.get_close_matches(name.lower(), [*ENCODERS, *_ALIASES], 1, 0.5)
        hint = f" 혹시 {near[0]}?" if near else ""
        raise VideoFormatError(
            f"모르는 영상 코덱입니다: {name}{hint}\n  이유: 시험해 본 코덱만 씁니다.\n"
            f"  해결: 다음 가운데 하나를 쓰세요: {', '.join(ENCODERS)}"
        )
    if not is_built(encoder.name):
        raise VideoFormatError(
            f"이 PyAV에는 {encoder.name} 부호기가 없습니다.\n  이유: 그 코덱 없이 만들어진 꾸러미입니다.\n"
            f"  해결: 다음 가운데 하나를 쓰세요: {', '.join(n for n in ENCODERS if is_built(n))}"
        )
    if container in ("nut", "yuv4mpegpipe") or container in encoder.containers:
        return encoder
    names = {"matroska": "mkv"}
    places = ", ".join(f".{names.get(place, place)}" for place in encoder.containers)
    fits = ", ".join(n for n, item in ENCODERS.items() if container in item.containers and is_built(n))
    raise VideoFormatError(
        f"{encoder.name}의 영상은 {names.get(container, container)}에 담을 수 없습니다.\n"
        f"  이유: 그 형식의 규격에 없거나 재생기들이 읽지 못합니다. {places}에는 담을 수 있습니다.\n"
        f"  해결: -o의 확장자를 바꾸거나 --codec에 다음 가운데 하나를 쓰세요: {fits}"
    )


def is_built(name: str) -> bool:
    """이 PyAV가 그 부호기를 갖고 있는지."""
    av = import_av()
    try:
        av.Codec(name, "w")
    except (av.error.FFmpegError, ValueError):
        return False
    return True
