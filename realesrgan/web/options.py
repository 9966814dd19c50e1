"""화면의 양식 하나가 뜻하는 것: 값을 확인하고, 라이브러리의 설정과 같은 일을 하는 명령줄로 바꾼다."""

from __future__ import annotations

import difflib
import math
import re
import shlex
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import TYPE_CHECKING, Any, Literal

from realesrgan.errors import UsageError
from realesrgan.media.formats import writable_extensions
from realesrgan.util.numbers import OutputSize, Outscale, parse_time
from realesrgan.zoo.models import DEFAULT_MODEL, DEFAULT_VIDEO_MODEL, FACE_MODELS, MODELS

if TYPE_CHECKING:
    from realesrgan.inference.picture import PictureSettings
    from realesrgan.video.settings import VideoSettings

Kind = Literal["picture", "video"]
MAX_SCALE = 100
MAX_SIDE = 1_000_000
SIZE_NAMES = ("scale", "width", "height", "long_side", "fit")
COLOR_FIXES = ("none", "wavelet", "adain")
ALPHA_UPSAMPLERS = ("realesrgan", "bicubic")
PRECISIONS = ("auto", "fp32", "fp16", "bf16")
CONTAINERS = ("mp4", "mkv", "mov", "webm", "gif")
CODECS = ("auto", "h264", "h265", "av1", "vp9", "prores", "ffv1")
INTERLACED = ("none", "single", "double", "ivtc", "progressive")
DENOISE_MODEL = "realesr-general-x4v3"


@dataclass(frozen=True)
class Options:
    """양식의 값. 이름과 기본값의 뜻은 두 명령의 인자와 같다.

    Attributes:
        model: 모델 표의 이름.
        scale, width, height, long_side, fit: 결과의 크기. 많아야 하나만 정하며, 없으면 모델의 배율이다. `fit`은
            `3840x2160`처럼 적는다.
        denoise: 잡음 제거 세기 0..1. realesr-general-x4v3에만 쓰인다.
        ensemble: 여덟 방향의 결과를 평균할지.
        blend: 네트워크의 몫 0..1.
        color_fix: 원본의 색을 되찾는 방법.
        sharpen: 선명하게 하는 세기 0..3.
        faces, face_model, face_strength, only_center_face: 얼굴을 고칠지와 그 방법.
        alpha_upsampler: 알파 채널을 키우는 방법.
        format: 결과의 확장자나 `auto`.
        quality: 손실 압축의 품질 1..100. None이면 형식의 기본값.
        precision: 계산의 정밀도.
        tile: 타일 한 변(픽셀). 0은 통째, `auto`는 메모리에 맞춘다.
        codec, crf, start, end, interlaced, keep_going: 비디오에만 쓰이는 것. `start`와 `end`는 `1:02.5` 같은 글이고
            없으면 처음과 끝이다. `keep_going`은 원본이 깨진 곳을 지나 끝까지 만들지다.
    """

    model: str = DEFAULT_MODEL
    scale: float | None = None
    width: int | None = None
    height: int | None = None
    long_side: int | None = None
    fit: str | None = None
    denoise: float = 0.5
    ensemble: bool = False
    blend: float = 1.0
    color_fix: str = "none"
    sharpen: float = 0.0
    faces: bool = False
    face_model: str = "GFPGANv1.4"
    face_strength: float = 1.0
    only_center_face: bool = False
    alpha_upsampler: str = "realesrgan"
    format: str = "auto"
    quality: int | None = None
    precision: str = "auto"
    tile: int | Literal["auto"] = "auto"
    codec: str = "auto"
    crf: float | None = None
    start: str = ""
    end: str = ""
    interlaced: str = "none"
    keep_going: bool = False

    @property
    def outscale(self) -> Outscale | None:
        """라이브러리의 설정에 넣을 결과의 크기."""
        if self.fit is not None:
            width, _, height = self.fit.partition("x")
            return OutputSize(fit=(int(width), int(height)))
        if self.width or self.height or self.long_side:
            return OutputSize(self.width, self.height, self.long_side)
        return self.scale

    @property
    def restores_faces(self) -> bool:
        """얼굴을 고칠지. 애니메이션 모델은 명령처럼 고치지 않는다."""
        return self.faces and "anime" not in self.model


def default_options(kind: Kind) -> Options:
    """양식의 처음 값."""
    return Options() if kind == "picture" else Options(model=DEFAULT_VIDEO_MODEL)


def read_options(values: Mapping[str, Any], kind: Kind) -> Options:
    """브라우저나 API가 보낸 값을 확인한다. 적지 않은 것은 기본값이다.

    Raises:
        UsageError: 모르는 이름이거나 값이 범위 밖일 때.
    """
    names = {field.name for field in fields(Options)}
    for name in values:
        if name not in names:
            near = difflib.get_close_matches(str(name), names, n=1)
            hint = f" 가까운 이름: {near[0]}." if near else ""
            raise UsageError(f"모르는 설정입니다: {name}.{hint}\n  해결: 쓸 수 있는 이름은 {', '.join(sorted(names))}")
    merged = asdict(default_options(kind)) | {name: value for name, value in values.items() if value is not None}
    checked = {name: _CHECKS[name](name, value) for name, value in merged.items()}
    given = [name for name in SIZE_NAMES if checked[name] is not None]
    if len(given) > 1:
        raise UsageError(f"결과의 크기는 하나만 정합니다: {', '.join(given)}\n  해결: 하나만 남기세요.")
    options = Options(**checked)
    allowed = _formats(kind)
    if options.format not in allowed:
        raise _wrong("format", options.format, f"쓸 수 있는 값: {', '.join(allowed)}")
    if options.start and options.end and parse_time(options.start) >= parse_time(options.end):
        raise UsageError("구간의 끝은 시작보다 뒤여야 합니다.\n  해결: end를 늘리거나 start를 줄이세요.")
    return options


def _formats(kind: Kind) -> tuple[str, ...]:
    pictures = tuple(extension.lstrip(".") for extension in writable_extensions())
    return ("auto", *(pictures if kind == "picture" else CONTAINERS))


def _wrong(name: str, value: object, remedy: str) -> UsageError:
    return UsageError(f"쓸 수 없는 값입니다: {name}={str(value)[:100]}\n  해결: {remedy}")


def _number(low: float, high: float, *, whole: bool = False, optional: bool = False, above: bool = False) -> Any:
    """`low`..`high`의 수인지 보는 함수를 만든다. `above`면 `low`보다 커야 한다."""

    def check(name: str, value: Any) -> Any:
        if optional and value is None:
            return None
        number = value if isinstance(value, (int, float)) and not isinstance(value, bool) else math.nan
        fits = low <= number <= high and not (above and number == low)
        if not fits or (whole and number != int(number)):
            kind = "정수" if whole else "수"
            raise _wrong(name, value, f"{f'{low:g}보다 큰' if above else f'{low:g} 이상'} {high:g} 이하의 {kind}")
        return int(number) if whole else float(number)

    return check


def _one_of(*allowed: str) -> Any:
    def check(name: str, value: Any) -> str:
        if value not in allowed:
            raise _wrong(name, value, f"쓸 수 있는 값: {', '.join(allowed)}")
        return str(value)

    return check


def _flag(name: str, value: Any) -> bool:
    if not isinstance(value, bool):
        raise _wrong(name, value, "참(true)이나 거짓(false)")
    return value


def _time(name: str, value: Any) -> str:
    try:
        if value != "":
            parse_time(str(value))
    except (ValueError, ZeroDivisionError):
        raise _wrong(name, value, "12.5, 1:30, 1:02:03처럼 적으세요.") from None
    return str(value).strip()


def _box(name: str, value: Any) -> str | None:
    if value is None:
        return None
    found = re.fullmatch(r"([1-9]\d{0,5})[xX×]([1-9]\d{0,5})", str(value).strip())
    if found is None:
        raise _wrong(name, value, "3840x2160처럼 너비x높이로 적으세요.")
    return f"{found[1]}x{found[2]}"


def _tile(name: str, value: Any) -> int | Literal["auto"]:
    return "auto" if value == "auto" else _number(0, MAX_SIDE, whole=True)(name, value)  # type: ignore[no-any-return]


_side = _number(1, MAX_SIDE, whole=True, optional=True)
_CHECKS: Mapping[str, Any] = {
    "model": _one_of(*MODELS),
    "scale": _number(0, MAX_SCALE, optional=True, above=True),
    "width": _side,
    "height": _side,
    "long_side": _side,
    "fit": _box,
    "denoise": _number(0, 1),
    "ensemble": _flag,
    "blend": _number(0, 1),
    "color_fix": _one_of(*COLOR_FIXES),
    "sharpen": _number(0, 3),
    "faces": _flag,
    "face_model": _one_of(*FACE_MODELS),
    "face_strength": _number(0, 1),
    "only_center_face": _flag,
    "alpha_upsampler": _one_of(*ALPHA_UPSAMPLERS),
    "format": lambda _name, value: str(value).lower().lstrip("."),
    "quality": _number(1, 100, whole=True, optional=True),
    "precision": _one_of(*PRECISIONS),
    "tile": _tile,
    "codec": _one_of(*CODECS),
    "crf": _number(0, 63, optional=True),
    "start": _time,
    "end": _time,
    "interlaced": _one_of(*INTERLACED),
    "keep_going": _flag,
}


def load_arguments(options: Options) -> dict[str, Any]:
    """`realesrgan.load`에 줄 이름 있는 인자."""
    strength = options.denoise if options.model == DENOISE_MODEL else None
    return {
        "denoise_strength": strength,
        "ensemble": options.ensemble,
        "precision": options.precision,
        "tile": options.tile,
    }


def step_texts(options: Options) -> tuple[str, ...]:
    """네트워크 다음의 단계들. 얼굴은 따로다(`worker.steps_of`)."""
    steps = [] if options.blend == 1 else [f"blend={options.blend:g}"]
    steps += [] if options.color_fix == "none" else [f"color_fix={options.color_fix}"]
    return (*steps, *([] if options.sharpen == 0 else [f"sharpen={options.sharpen:g}"]))


def picture_settings(options: Options, steps: tuple[Any, ...], max_output_pixels: int | None) -> PictureSettings:
    """이미지의 설정."""
    from realesrgan.inference.picture import PictureSettings

    return PictureSettings(
        outscale=options.outscale,
        alpha_upsampler=options.alpha_upsampler,
        steps=steps,
        quality=options.quality,
        max_output_pixels=max_output_pixels,
    )


def video_settings(options: Options, steps: tuple[Any, ...]) -> VideoSettings:
    """비디오의 설정. 하다 만 것이 있으면 언제나 이어 한다."""
    from realesrgan.video.settings import VideoSettings

    deinterlace: Any = options.interlaced if options.interlaced in ("single", "double") else False
    return VideoSettings(
        outscale=options.outscale,
        codec=None if options.codec == "auto" else options.codec,
        crf=options.crf,
        start=parse_time(options.start) if options.start else None,
        end=parse_time(options.end) if options.end else None,
        deinterlace=deinterlace,
        ivtc=options.interlaced == "ivtc",
        progressive=options.interlaced == "progressive",
        on_damage="continue" if options.keep_going else "stop",
        alpha_upsampler=options.alpha_upsampler,  # type: ignore[arg-type]
        tile=options.tile,
        steps=steps,
        resume=True,
    )


def command_line(options: Options, kind: Kind, inputs: tuple[str, ...] = (), weights: str | None = None) -> str:
    """같은 일을 하는 명령. 그대로 터미널에 붙여 쓸 수 있게 따옴표를 붙인다.

    Args:
        options: 양식의 값.
        kind: 사진인지 비디오인지.
        inputs: 입력의 이름들. 없으면 자리만 적는다.
        weights: 올린 가중치의 이름. 있으면 모델의 이름 대신 쓴다.
    """
    sample = "photo.jpg" if kind == "picture" else "video.mp4"
    # 이름이 -로 시작하는 파일이 인자로 읽히지 않게 한다.
    names = [f"./{name}" if name.startswith("-") else name for name in inputs or (sample,)]
    words = ["realesrgan" if kind == "picture" else "realesrgan-video", "-i", *names, "-o", "results"]
    words += ["--model_path", weights] if weights else ["-n", options.model]
    plain = default_options(kind)
    for name, flag in _FLAGS.items():
        value = getattr(options, name)
        if value == getattr(plain, name) or (name in _VIDEO_ONLY and kind == "picture"):
            continue
        if name == "denoise" and (weights or options.model != DENOISE_MODEL):
            continue
        if name.startswith(("face", "only")) and not options.restores_faces:
            continue
        if name == "quality" and kind == "video":
            continue
        words += [flag] if isinstance(value, bool) else [flag, f"{value:g}" if isinstance(value, float) else str(value)]
    if kind == "video":
        marks = {"single": "--deinterlace", "double": "--deinterlace=double", "ivtc": "--ivtc"}
        marks["progressive"] = "--progressive"
        words += [marks[options.interlaced]] if options.interlaced in marks else []
        words += ["--on_damage", "continue"] if options.keep_going else []
    return shlex.join(words)


_VIDEO_ONLY = ("codec", "crf", "start", "end")
_FLAGS = {
    "scale": "-s",
    "width": "--width",
    "height": "--height",
    "long_side": "--long_side",
    "fit": "--fit",
    "denoise": "-dn",
    "ensemble": "--ensemble",
    "blend": "--blend",
    "color_fix": "--color_fix",
    "sharpen": "--sharpen",
    "faces": "--face_enhance",
    "face_model": "--face_model",
    "face_strength": "--face_strength",
    "only_center_face": "--only_center_face",
    "alpha_upsampler": "--alpha_upsampler",
    "format": "--ext",
    "quality": "--quality",
    "precision": "--precision",
    "tile": "--tile",
    "codec": "--codec",
    "crf": "--crf",
    "start": "--start",
    "end": "--end",
}

# 처음부터 있는 프리셋(preset)의 `(종류, 값)`. 사람에게 보일 이름은 `words.py`에 있다.
PRESETS: Mapping[str, tuple[Kind, dict[str, Any]]] = {
    "old_photo": ("picture", {"faces": True, "blend": 0.8}),
    "phone_picture": ("picture", {"scale": 2.0, "blend": 0.9}),
    "text": ("picture", {"model": "RealESRGAN_x4plus_anime_6B", "scale": 2.0, "color_fix": "wavelet", "format": "png"}),
    "illustration": ("picture", {"model": "RealESRGAN_x4plus_anime_6B"}),
    "anime_film": ("video", {"model": "realesr-animevideov3", "scale": 2.0}),
}
