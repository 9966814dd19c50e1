"""명령들의 인자: 한국어로 말하는 해석기, 값의 변환, 함께 쓰는 인자의 표, 사진 명령의 인자, 인자가 고른 모델.

`--help`가 바로 답하도록 torch 없이 불러온다.
"""

from __future__ import annotations

import argparse
import math
import os
import re
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, NoReturn

from realesrgan.cli.console import EXIT_USAGE, DownloadProgress, say, say_error
from realesrgan.media.formats import DEFAULT_MAX_OUTPUT_PIXELS, writable_extensions
from realesrgan.util.files import expand_user
from realesrgan.util.numbers import MAX_OUTSCALE, OutputSize
from realesrgan.version import __version__
from realesrgan.zoo.models import DEFAULT_MODEL, MODELS, get_model

if TYPE_CHECKING:
    from realesrgan.inference.model import Model
    from realesrgan.zoo.weights import Weights

# 표준 입력과 표준 출력을 뜻하는 이름.
STANDARD = "-"
DEFAULT_DENOISE_STRENGTH = 0.5
# 결과의 크기를 사람이 말하는 대로 정하는 인자. `-s`까지 다섯 가운데 하나만 준다.
SIZE_NAMES = ("width", "height", "long_side", "fit")
AUTO = "auto"

# 인자 하나의 `(이름들, add_argument에 줄 값)`. 묶음의 제목마다 그 차례대로 둔다.
Row = tuple[tuple[str, ...], dict[str, Any]]


class Formatter(argparse.RawDescriptionHelpFormatter):
    """도움말의 머리말을 한국어로 쓴다."""

    def __init__(self, prog: str) -> None:
        super().__init__(prog, max_help_position=32, width=100)

    def add_usage(
        self,
        usage: str | None,
        actions: Iterable[argparse.Action],
        groups: Iterable[Any],
        prefix: str | None = None,
    ) -> None:
        """쓰는 법의 머리말을 한국어로 바꾼다."""
        super().add_usage(usage, actions, groups, prefix or "사용법: ")


# argparse가 영어로 하는 말과 그 번역.
_TRANSLATIONS = (
    (r"unrecognized arguments: (.*)", r"모르는 옵션입니다: \1"),
    (r"the following arguments are required: (.*)", r"꼭 있어야 할 인자가 빠졌습니다: \1"),
    (r"one of the arguments (.*) is required", r"이 가운데 하나는 있어야 합니다: \1"),
    (r"argument (.*?): not allowed with argument (.*)", r"함께 쓸 수 없습니다: \1, \2"),
    (r"argument (.*?): expected (\d+) arguments", r"\1에 값이 \2개 필요합니다."),
    (r"argument (.*?): expected one argument", r"\1에 값이 하나 필요합니다."),
    (r"argument (.*?): expected at least one argument", r"\1에 값이 하나 이상 필요합니다."),
    (r"argument (.*?): invalid choice: (.*?) \(choose from (.*)\)", r"\1에 쓸 수 없는 값입니다: \2. 쓸 수 있는 값: \3"),
    (r"argument (.*?): ignored explicit argument (.*)", r"\1에는 값을 줄 수 없습니다: \2"),
    (r"argument (.*?): (.*)", r"\1: \2"),
)


class Parser(argparse.ArgumentParser):
    """잘못된 인자를 한국어로 알리고 2로 끝난다."""

    def error(self, message: str) -> NoReturn:
        """무엇이 틀렸는지 한국어로 알리고 코드 2로 끝난다."""
        if (
            bare := re.fullmatch(r"unrecognized arguments: ([^-].*)", message, re.S)
        ) and "-i" in self._option_string_actions:
            message = f"어느 옵션의 값인지 알 수 없습니다: {bare[1]}\n  해결: 입력 앞에 -i를 붙이세요(-i {bare[1]})."
        guess = self._guess(message)
        for pattern, korean in _TRANSLATIONS:
            if re.fullmatch(pattern, message, re.S):
                message = re.sub(pattern, korean, message, flags=re.S)
                break
        say_error(f"인자가 잘못되었습니다: {message}{guess}\n  전체 옵션은 {self.prog} --help로 볼 수 있습니다.")
        raise SystemExit(EXIT_USAGE)

    def _guess(self, message: str) -> str:
        """모르는 옵션과 철자가 가장 가까운 옵션을 묻는 줄. 가까운 것이 없으면 빈 글이다."""
        _, found, given = message.partition("unrecognized arguments: ")
        if not found:
            return ""
        from difflib import get_close_matches

        known = list(self._option_string_actions)
        unknown = [word.partition("=")[0] for word in given.split() if word.startswith("--")]
        near = {word: get_close_matches(word, known, 1) for word in unknown}
        return "".join(f"\n  해결: {word} 대신 {names[0]}입니까?" for word, names in near.items() if names)

    def _print_message(self, message: str, file: Any = None) -> None:
        # 도움말과 버전. 받는 쪽이 파이프를 닫았거나 스트림이 없어도 조용히 끝난다.
        (say if file is sys.stdout else say_error)(message.rstrip("\n"))


def _value_range(text: str) -> tuple[float, float]:
    try:
        low, high = map(float, text.split(","))
    except ValueError:
        raise argparse.ArgumentTypeError(f"0,1처럼 두 수를 쉼표로 이어 주세요: '{text}'") from None
    if not (math.isfinite(low) and math.isfinite(high) and low < high):
        raise argparse.ArgumentTypeError(f"앞의 수가 뒤의 수보다 작아야 합니다: {text}")
    return low, high


def number(
    convert: Callable[[str], Any],
    low: float,
    high: float = math.inf,
    *,
    above: bool = False,
    words: Sequence[str] = (),
) -> Callable[[str], Any]:
    """범위를 확인하는 변환 함수를 만든다. `above`면 `low`보다 커야 하고, `words`의 낱말은 그대로 받는다."""

    def parse(text: str) -> Any:
        if text in words:
            return text
        try:
            value = convert(text)
        except ValueError:
            raise argparse.ArgumentTypeError(f"수가 아닙니다: '{text}'") from None
        if not low <= value <= high or (above and value == low) or not math.isfinite(value):
            bound = f"{low:g}보다 큰" if above else f"{low:g} 이상"
            bound += "" if high == math.inf else f" {high:g} 이하"
            said = bound if bound.endswith("큰") else f"{bound}의"
            raise argparse.ArgumentTypeError(f"{said} 수여야 합니다: {text}")
        return value

    return parse


def _extension(text: str) -> str:
    name = text.lower().lstrip(".")
    allowed = [extension.lstrip(".") for extension in writable_extensions()]
    if name != "auto" and name not in allowed:
        hint = " HEIC를 쓰려면 pip install pillow-heif를 실행하세요." if name in ("heic", "heif") else ""
        raise argparse.ArgumentTypeError(f"쓸 수 없는 형식입니다: {text}. 쓸 수 있는 형식: {', '.join(allowed)}.{hint}")
    return name


def filled(text: str) -> str:
    """빈 글이 아닌 경로. 빈 셸 변수(`-i "$FOLDER"`)가 작업 폴더를 뜻하지 않게 한다."""
    if not text:
        raise argparse.ArgumentTypeError("빈 값입니다. 셸의 변수가 비어 있지 않은지 확인하세요.")
    return text


def _box(text: str) -> tuple[int, int]:
    found = re.fullmatch(r"([1-9]\d{0,6})[xX×]([1-9]\d{0,6})", text.strip())
    if found is None:
        raise argparse.ArgumentTypeError(f"3840x2160처럼 너비x높이로 주세요: {text}")
    return int(found[1]), int(found[2])


def _weights(text: str) -> tuple[float, ...]:
    return tuple(number(float, 0, above=True)(part.strip()) for part in text.split(","))


def row(*names: str, **settings: Any) -> Row:
    """표의 한 줄. 값은 `argparse.ArgumentParser.add_argument`의 것이다."""
    return names, settings


def make_parser(
    prog: str, description: str, examples: Sequence[str], groups: Mapping[str, Iterable[Row]]
) -> argparse.ArgumentParser:
    """도움말과 오류가 한국어인 인자 해석기를 표에서 만든다.

    Args:
        prog: 명령의 이름.
        description: 무엇을 하는지.
        examples: 도움말 끝에 적을 예.
        groups: 묶음의 제목과 그 인자들.
    """
    parser = Parser(
        prog=prog,
        description=description,
        epilog="\n".join(("예:", *(f"  {line}" for line in examples))),
        formatter_class=Formatter,
        add_help=False,
        allow_abbrev=False,
    )
    for title, rows in groups.items():
        group = parser.add_argument_group(title)
        for names, settings in rows:
            group.add_argument(*names, **settings)
    return parser


def model_rows(default: str) -> tuple[Row, ...]:
    """모델을 고르는 인자들."""
    return (
        row(
            "-n",
            "--model_name",
            metavar="NAME",
            help=f"모델 이름(사진 명령의 --list_models로 목록). 쉼표로 여럿을 주면 결과를 평균합니다. 기본: {default}",
        ),
        row(
            "--model_path",
            metavar="PATH",
            help="가중치 파일이나 주소(.pth, .safetensors). 네트워크는 거기서 알아냅니다.",
        ),
        row(
            "-dn",
            "--denoise_strength",
            type=number(float, 0, 1),
            metavar="0..1",
            help="잡음 제거 세기. 0은 약하게, 1은 강하게. realesr-general-x4v3에만 적용됩니다. "
            f"기본: {DEFAULT_DENOISE_STRENGTH}",
        ),
        row(
            "--act_type",
            choices=["relu", "prelu", "leakyrelu"],
            metavar="NAME",
            help="직접 훈련한 SRVGG의 활성화 함수(relu, leakyrelu). 가중치에서 알 수 없을 때만 필요합니다.",
        ),
        *ENSEMBLE_ROWS,
    )


SCALE_ROWS = (
    row(
        "-s",
        "--outscale",
        type=number(float, 0, MAX_OUTSCALE, above=True),
        metavar="X",
        help="마지막 업스케일 배율. 소수도 되고, 모델의 배율보다 크면 결과를 한 번 더 키웁니다. 기본: 모델의 배율",
    ),
    row("--width", type=number(int, 1), metavar="N", help="결과의 너비(픽셀). 높이는 비율을 따릅니다."),
    row("--height", type=number(int, 1), metavar="N", help="결과의 높이(픽셀). 너비는 비율을 따릅니다."),
    row("--long_side", type=number(int, 1), metavar="N", help="결과의 긴 변(픽셀)."),
    row("--fit", type=_box, metavar="WxH", help="결과가 들어갈 상자(예: 3840x2160). 늘이거나 자르지 않습니다."),
    row(
        "--alpha_upsampler",
        choices=["realesrgan", "bicubic"],
        default="realesrgan",
        metavar="NAME",
        help="알파 채널을 키우는 방법: realesrgan(네트워크) 또는 bicubic(빠른 보간). 기본: realesrgan",
    ),
    row("--face_enhance", action="store_true", help="얼굴을 찾아 복원합니다(GFPGAN). 애니메이션 모델에서는 꺼집니다."),
    row(
        "--face_model",
        metavar="NAME",
        help="얼굴을 고칠 모델의 이름(GFPGANv1.4, GFPGANv1.3, RestoreFormer)이나 가중치의 경로. 기본: GFPGANv1.4",
    ),
    row(
        "--face_strength",
        type=number(float, 0, 1),
        metavar="0..1",
        help="고친 얼굴의 몫. 나머지는 키운 그대로입니다. 기본: 1",
    ),
    row("--only_center_face", action="store_true", help="이미지의 가운데에 가장 가까운 얼굴 하나만 고칩니다."),
)

TILE_ROWS = (
    row(
        "-t",
        "--tile",
        type=number(int, 0, words=("auto",)),
        metavar="auto|0|N",
        help="타일 한 변(픽셀). auto는 통째로, 메모리에 들지 않으면 결과가 같은 띠로 계산합니다. 0은 통째. 기본: auto",
    ),
    row("--tile_pad", type=number(int, 0), default=10, metavar="N", help="타일의 패딩(픽셀). 기본: 10"),
    row("--pre_pad", type=number(int, 0), default=0, metavar="N", help="가장자리에 덧댈 픽셀. 기본: 0"),
)

PRECISION_ROWS = (
    row(
        "--precision",
        choices=["auto", "fp32", "fp16", "bf16"],
        metavar="NAME",
        help="auto, fp32, fp16, bf16. auto는 CUDA에서 fp16, bf16의 명령을 가진 CPU에서 bf16, 다른 곳에서 fp32. "
        "기본: auto",
    ),
    row("--fp32", action="store_true", help="--precision fp32와 같습니다."),
)

ENGINE_ROWS = (
    row(
        "--backend",
        default=AUTO,
        metavar="NAME",
        help="네트워크를 돌릴 엔진(engine): auto, torch, compile, ncnn, openvino, onnxruntime, 플러그인이 더한 이름. "
        "기본: auto(CPU의 fp32는 ncnn, AMX를 가진 CPU와 나머지는 torch)",
    ),
    row(
        "--provider",
        metavar="NAME",
        help="ONNX Runtime의 제공자(execution provider): cpu, cuda, tensorrt, dml, coreml, migraphx, webgpu, openvino. "
        "번호는 cuda:1처럼 적습니다. --backend onnxruntime --device NAME과 같습니다.",
    ),
)
# 제공자를 부르는 다른 이름들.
PROVIDER_ALIASES = {"directml": "dml", "trt": "tensorrt"}

PLUGIN_ROWS = (
    row(
        "--plugin",
        action="append",
        default=[],
        metavar="FILE.py",
        help="네트워크, 엔진, 단계를 더하는 파이썬 파일이나 폴더. 여러 번 줄 수 있습니다.",
    ),
)

ENSEMBLE_ROWS = (
    row(
        "--ensemble",
        action="store_true",
        help="뒤집고 돌린 여덟 방향의 결과를 평균합니다(셀프 앙상블(self-ensemble)). 시간이 여덟 배 듭니다.",
    ),
    row(
        "--mix",
        type=_weights,
        metavar="A,B",
        help="모델을 여럿(-n a,b) 평균할 때의 무게. 예: 0.7,0.3. 기본: 모두 같음",
    ),
)

STEP_ROWS = (
    row(
        "--blend",
        type=number(float, 0, 1),
        metavar="0..1",
        help="네트워크의 몫. 나머지는 Lanczos 확대로 채웁니다. 낮출수록 원본의 질감에 가깝습니다. 기본: 1(섞지 않음)",
    ),
    row(
        "--color_fix",
        choices=["wavelet", "adain", "none"],
        metavar="NAME",
        help="원본의 색을 되찾습니다. wavelet은 낮은 주파수를, adain은 채널마다의 평균과 분산을 맞춥니다. 기본: none",
    ),
    row(
        "--sharpen",
        type=number(float, 0, 3),
        metavar="0..3",
        help="선명하게 합니다. 훈련의 선명화(USM)와 같으며 훈련은 0.5입니다. 기본: 0(하지 않음)",
    ),
    row(
        "--steps",
        nargs="+",
        default=[],
        metavar="NAME=VALUE",
        help="네트워크 다음에 차례로 거칠 단계(step). --blend 0.7은 --steps blend=0.7과 같습니다.",
    ),
)


def _shard(text: str) -> tuple[int, int]:
    index, slash, count = text.partition("/")
    if not (slash and index.isdecimal() and count.isdecimal() and int(index) < int(count)):
        raise argparse.ArgumentTypeError(f"'번호/몫의 수'여야 합니다. 번호는 0부터입니다(예: 0/64 ... 63/64): {text}")
    return int(index), int(count)


SHARD_ROW = row(
    "--shard",
    type=_shard,
    default=(0, 1),
    metavar="I/N",
    help="모든 일을 N몫으로 나눈 것 가운데 I번째(0부터)만 합니다. 여러 컴퓨터의 작업 배열(job array)에 씁니다.",
)

SHARD_SEGMENTS_ROW = row(
    "--shard_segments",
    type=_shard,
    default=(0, 1),
    metavar="I/N",
    help="비디오 한 편의 조각을 N몫으로 나눈 것 가운데 I번째(0부터)만 합니다. 같은 결과 폴더를 보는 작업 배열에서 "
    "한 편을 나눌 때 씁니다. 마지막으로 끝난 몫이 하나로 잇고, 다시 실행하면 제 몫의 남은 것만 합니다.",
)


OTHER_ROWS = (
    row("-v", "--verbose", action="store_true", help="자세한 기록을 보입니다."),
    row("--version", action="version", version=f"realesrgan {__version__}", help="버전을 보입니다."),
    row("-h", "--help", action="help", help="이 도움말을 보입니다."),
)

PICTURE_GROUPS: dict[str, tuple[Row, ...]] = {
    "입력과 출력": (
        row(
            "-i",
            "--input",
            type=filled,
            nargs="+",
            default=["inputs"],
            metavar="PATH",
            help="이미지 파일, 폴더, 글롭(예: 'photos/*.jpg'), 또는 -(표준 입력). 여럿을 줄 수 있습니다. 기본: inputs",
        ),
        row(
            "-o",
            "--output",
            type=filled,
            default="results",
            metavar="PATH",
            help="결과 폴더. 이미지 하나만 넣을 때는 파일 이름이나 -(표준 출력)도 됩니다. 기본: results",
        ),
        row("--recursive", action="store_true", help="하위 폴더까지 읽고 결과도 같은 모양의 폴더에 둡니다."),
        row("--suffix", default="out", metavar="TEXT", help="결과 이름 뒤에 붙일 글자. 기본: out"),
        row(
            "--ext",
            type=_extension,
            metavar="EXT",
            help="auto(입력과 같음), png, jpg, webp, tiff, avif 등. auto와 jpg에서 알파가 있으면 png. 기본: auto",
        ),
        row("--skip_existing", action="store_true", help="결과가 이미 있으면 건너뜁니다."),
        row("--report", type=filled, metavar="FILE.json", help="파일마다의 결과를 JSON으로 적습니다."),
        SHARD_ROW,
        row("--dry_run", action="store_true", help="키우지 않고 무엇을 할지와 예상 메모리, 시간만 보입니다."),
        row(
            "--max_pixels",
            type=number(int, 0),
            default=DEFAULT_MAX_OUTPUT_PIXELS,
            metavar="N",
            help=f"결과 픽셀 수의 한도(압축 폭탄 방지). 0이면 한도 없음. 기본: {DEFAULT_MAX_OUTPUT_PIXELS:,}",
        ),
    ),
    "모델": model_rows(DEFAULT_MODEL),
    "결과": (
        *SCALE_ROWS,
        *STEP_ROWS,
        row(
            "--quality",
            type=number(int, 1, 100),
            metavar="1..100",
            help="jpg, webp, avif, heic의 품질. 기본: 형식마다 다름",
        ),
        row(
            "--png_compression",
            type=number(int, 0, 9),
            metavar="0..9",
            help="png와 tiff의 압축의 세기. 크면 작고 느립니다. 기본: png 3, tiff 1",
        ),
        row("--keep_time", action="store_true", help="결과의 수정 시각을 입력과 같게 합니다."),
        row(
            "--float_range",
            type=_value_range,
            metavar="MIN,MAX",
            help="실수나 32비트 TIFF를 읽을 때 검정과 흰색으로 볼 값. 그 사이를 16비트로 고르게 옮기고 벗어난 값은 "
            "자릅니다. 음수는 --float_range=-1,1처럼 씁니다. 없으면 그런 파일은 읽지 않습니다.",
        ),
    ),
    "계산": (
        *TILE_ROWS,
        row("--batch", type=number(int, 1), default=1, metavar="N", help="한 번에 계산할 타일 수. 기본: 1"),
        row(
            "--device",
            metavar="NAME",
            help="cpu, cuda, cuda:N, mps, xpu, vulkan(ncnn), gpu·npu(openvino). 기본: 가장 빠른 것",
        ),
        row(
            "-g",
            "--gpu-id",
            "--gpu_id",
            dest="gpu_id",
            type=number(int, 0),
            metavar="N",
            help="CUDA 장치 번호(--device cuda:N)",
        ),
        *PRECISION_ROWS,
        *ENGINE_ROWS,
    ),
    "그 밖": (
        row(
            "--tune",
            action="store_true",
            help="엔진, 정밀도, 띠의 높이, 작업자를 2분 안에 -n의 모델로 재어, 다음부터 auto가 쓸 것을 고릅니다.",
        ),
        row("--list_models", action="store_true", help="모델 목록을 보이고 끝냅니다."),
        *PLUGIN_ROWS,
        *OTHER_ROWS,
    ),
}


# 사진 명령의 인자 해석기를 만드는 함수.
build_parser = partial(
    make_parser,
    "realesrgan",
    "Real-ESRGAN으로 사진과 일러스트를 키웁니다(초해상도(Super-Resolution)).",
    (
        "realesrgan -i inputs -o results",
        "realesrgan -i photo.jpg -o photo_4x.png",
        "realesrgan -i 이미지폴더 -n RealESRGAN_x4plus_anime_6B -s 2 --recursive",
        "realesrgan -i - -o - --ext png < photo.jpg > photo_4x.png",
    ),
    PICTURE_GROUPS,
)


def _several(text: str) -> list[str]:
    """쉼표로 나눈 가중치들. 쉼표가 든 이름의 파일이 있으면 그 하나다."""
    return [text] if expand_user(text).exists() else [part.strip() for part in text.split(",")]


def settle_shared(parser: argparse.ArgumentParser, args: argparse.Namespace, default: str) -> None:
    """두 명령이 함께 갖는 인자가 서로 맞는지 보고, 주지 않은 것과 `named`를 정한다.

    Args:
        parser: 인자 해석기.
        args: 읽은 인자. 여기에 정한 것을 적는다.
        default: 고르지 않았을 때의 모델 이름.

    Raises:
        SystemExit: 인자가 서로 맞지 않을 때(코드 2).
        UsageError: 모델 이름을 모를 때.
    """
    if any(letter in args.suffix for letter in '/\\:*?"<>|\0'):
        parser.error(f"--suffix: 파일 이름에 쓸 수 없는 글자가 있습니다: {args.suffix}")
    if args.fp32 and args.precision not in (None, "auto", "fp32"):
        parser.error(f"함께 쓸 수 없습니다: --fp32, --precision {args.precision}")
    if args.model_path is not None and args.model_name is None and args.denoise_strength is not None:
        parser.error("-dn을 --model_path와 함께 쓰려면 -n realesr-general-x4v3도 주세요.")
    named = {step.partition("=")[0] for step in args.steps}
    # 아무 일도 하지 않는 값이면 단계를 두지 않는다.
    shortcuts = {"blend": 1, "color_fix": "none", "sharpen": 0}
    chosen = {name: value for name in shortcuts if (value := getattr(args, name, None)) is not None}
    for name in chosen.keys() & named:
        parser.error(f"함께 쓸 수 없습니다: --{name}, --steps {name}=...")
    args.steps = [*(f"{name}={value}" for name, value in chosen.items() if value != shortcuts[name]), *args.steps]
    sizes = {name: value for name in SIZE_NAMES if (value := getattr(args, name, None)) is not None}
    if len(sizes) + (args.outscale is not None) > 1:
        given = [*(["-s"] if args.outscale is not None else []), *(f"--{name}" for name in sizes)]
        both = {"width", "height"} <= sizes.keys()
        hint = "\n  너비와 높이의 한도를 함께 주려면 --fit 1920x1080을 쓰세요." if both else ""
        parser.error(f"함께 쓸 수 없습니다: {', '.join(given)}{hint}")
    if sizes:
        args.outscale = OutputSize(**sizes)
    if getattr(args, "provider", None) is not None:
        if args.backend not in (AUTO, "onnxruntime") or args.device is not None:
            parser.error("--provider는 --backend(onnxruntime이 아닌 것), --device와 함께 쓸 수 없습니다.")
        name, colon, number = args.provider.lower().partition(":")
        name = name.removesuffix("executionprovider")
        args.backend, args.device = "onnxruntime", PROVIDER_ALIASES.get(name, name) + colon + number
    args.precision = "fp32" if args.fp32 else args.precision or AUTO
    # 글인 기본값은 argparse가 값처럼 해석하므로 여기서 정한다.
    args.ext = args.ext or AUTO
    args.tile = AUTO if args.tile is None else args.tile
    args.named = args.model_name is not None
    names = [get_model(name.strip()).name for name in args.model_name.split(",")] if args.model_name else [default]
    args.model_name, args.sources = ",".join(names), names if args.model_path is None else _several(args.model_path)
    if args.named and args.model_path is not None and max(len(names), len(args.sources)) > 1:
        parser.error("가중치를 여럿 평균할 때는 -n과 --model_path 가운데 하나만 주세요.")
    if args.model_path is None and len({MODELS[name].scale for name in names}) > 1:
        found = ", ".join(f"{name} {MODELS[name].scale}배" for name in names)
        parser.error(f"배율이 다른 모델은 평균할 수 없습니다: {found}")
    if args.mix is not None and len(args.mix) != len(args.sources):
        parser.error(f"--mix의 수는 모델의 수와 같아야 합니다: 모델 {len(args.sources)}개, 무게 {len(args.mix)}개")


def settle_faces(parser: argparse.ArgumentParser, args: argparse.Namespace) -> None:
    """얼굴의 인자가 서로 맞는지 보고, 애니메이션 모델이면 원본처럼 끈다. 알릴 말을 `warnings`에 더한다."""
    chosen = [name for name in ("face_model", "face_strength") if getattr(args, name) is not None]
    chosen += ["only_center_face"] if args.only_center_face else []
    if chosen and not args.face_enhance:
        parser.error(f"--{chosen[0]}에는 --face_enhance도 주세요.")
    if args.face_enhance and any(step.partition("=")[0] == "faces" for step in args.steps):
        parser.error("함께 쓸 수 없습니다: --face_enhance, --steps faces=...")
    names = args.model_name if args.named or args.model_path is None else " ".join(map(os.path.basename, args.sources))
    if args.face_enhance and "anime" in names:
        args.warnings.append("애니메이션 모델은 얼굴을 향상하지 않으므로 --face_enhance를 끕니다.")
        args.face_enhance = False


def parse_arguments(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """사진 명령의 인자를 읽고 서로 맞지 않는 것을 걸러 낸다.

    Returns:
        인자. `precision`은 언제나 정해지고, `named`는 모델 이름을 사용자가 골랐는지를 말한다.

    Raises:
        SystemExit: 인자가 잘못되었을 때(코드 2).
        UsageError: 모델 이름을 모를 때.
    """
    parser = build_parser()
    args = parser.parse_args(argv)
    if args.device is not None and args.gpu_id is not None:
        parser.error("--device와 --gpu-id는 하나만 주세요.")
    args.warnings = []
    settle_shared(parser, args, DEFAULT_MODEL)
    faces = (args.face_enhance, args.face_model is not None, args.face_strength is not None, args.only_center_face)
    if any(faces):
        settle_faces(parser, args)
    args.max_pixels = args.max_pixels or None
    return args


def check_extensions(args: argparse.Namespace) -> None:
    """플러그인을 불러오고, 단계와 엔진의 이름과 값이 맞는지 일을 시작하기 전에 본다. `steps`를 단계의 객체로 바꾼다.

    Raises:
        PluginError: 플러그인을 불러올 수 없을 때.
        UsageError: 모르는 단계나 엔진이거나 단계의 값이 잘못되었을 때.
        MissingPackageError: 엔진이나 단계에 필요한 패키지가 없을 때.
        WeightsNotFoundError: 얼굴을 고칠 가중치가 없고 내려받지도 못했을 때.
    """
    from realesrgan.inference.engines.base import choose_engine
    from realesrgan.inference.steps import parse_steps
    from realesrgan.util.plugins import load_plugins

    load_plugins(args.plugin)
    choose_engine(args.backend)
    args.steps = parse_steps(args.steps)
    if args.face_enhance:
        from realesrgan.face.restoration import DEFAULT_FACE_MODEL, FaceRestoration

        name = args.face_model or DEFAULT_FACE_MODEL
        strength = 1.0 if args.face_strength is None else args.face_strength
        faces = FaceRestoration(name, strength, args.only_center_face, progress=DownloadProgress(name))
        args.steps = (*args.steps, faces)
    for step in args.steps:
        if hasattr(step, "prepare"):
            step.prepare()


def describe_faces(counts: Mapping[str, int]) -> str:
    """얼굴의 수를 한 줄에 이을 글. 얼굴을 찾지 않았으면 빈 글이다."""
    if "faces" not in counts:
        return ""
    small = f"(작아서 그대로 둔 {counts['small_faces']}개)" if counts.get("small_faces") else ""
    return f", 얼굴 {counts['faces']}개{small}"


def open_chosen(args: argparse.Namespace) -> list[Weights]:
    """인자가 고른 가중치를 찾아 읽는다. 없으면 변환하거나 내려받는다. 한 번 읽어 여러 장치에 쓸 때를 위한 것이다.

    Raises:
        WeightsError: 찾거나 읽을 수 없을 때.
    """
    from realesrgan.zoo.weights import open_weights

    return [
        open_weights(
            what,
            name=args.model_name if args.named and args.model_path is not None else None,
            denoise_strength=args.denoise_strength,
            hints={"act_type": args.act_type},
            progress=DownloadProgress(what),
        )
        for what in args.sources
    ]


def build_model(args: argparse.Namespace, weights: Sequence[Weights] = (), device: str | None = None) -> Model:
    """인자가 고른 모델을 싣고 엔진까지 만든다. 장치와 정밀도의 잘못을 일을 시작하기 전에 알리기 위해서다.

    Args:
        args: 명령의 인자.
        weights: `open_chosen`으로 읽어 둔 가중치. 없으면 여기서 읽는다.
        device: 장치 이름. 없으면 `--gpu-id`나 자동 선택을 따른다.

    Raises:
        WeightsError: 가중치를 찾거나 읽을 수 없거나 네트워크와 맞지 않을 때.
        DeviceError: 장치나 정밀도를 쓸 수 없을 때.
    """
    from realesrgan.inference.model import load

    if device is None and getattr(args, "gpu_id", None) is not None:
        device = f"cuda:{args.gpu_id}"
    model = load(
        weights or open_chosen(args),
        mix=args.mix,
        ensemble=args.ensemble,
        device=device or AUTO,
        precision=args.precision,
        backend=getattr(args, "backend", AUTO),
        tile=args.tile,
        tile_pad=args.tile_pad,
        pre_pad=args.pre_pad,
        batch=args.batch,
    )
    _ = model.engine
    return model


def engine_line(model: Model) -> str:
    """무엇으로 계산하는지 한 줄로 적는다."""
    engine = model.engine
    place = getattr(engine, "place", engine.device)
    tuned = " (--tune이 고름)" if model.compute.backend == AUTO and model.tuned is not None else ""
    return f"엔진: {engine.name}, 장치: {place}, 정밀도: {engine.precision}{tuned}"


def source_of(model: Model, args: argparse.Namespace) -> str:
    """보고서에 적을 이름. 파일을 준 것이면 그 경로다."""
    return model.name if args.model_path is None or len(args.sources) > 1 or not model.files else str(model.files[0])
