"""사진 명령의 인자. torch 없이 불러와 `--help`가 바로 답하게 한다."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from realesrgan.cli.parsing import Formatter, Parser, number, suffix, tile_size
from realesrgan.media.formats import DEFAULT_MAX_OUTPUT_PIXELS, writable_extensions
from realesrgan.version import __version__
from realesrgan.zoo.models import DEFAULT_MODEL, get_model

DEFAULT_DENOISE_STRENGTH = 0.5
MAX_OUTSCALE = 100


def _extension(text: str) -> str:
    name = text.lower().lstrip(".")
    allowed = [extension.lstrip(".") for extension in writable_extensions()]
    if name != "auto" and name not in allowed:
        hint = " HEIC를 쓰려면 pip install pillow-heif를 실행하세요." if name in ("heic", "heif") else ""
        raise argparse.ArgumentTypeError(f"쓸 수 없는 형식입니다: {text}. 쓸 수 있는 형식: {', '.join(allowed)}.{hint}")
    return name


def build_parser() -> argparse.ArgumentParser:
    """사진 명령의 인자 해석기를 만든다."""
    parser = Parser(
        prog="realesrgan",
        description="Real-ESRGAN으로 사진과 그림을 키웁니다(초해상도(Super-Resolution)).",
        epilog="보기:\n"
        "  realesrgan -i inputs -o results\n"
        "  realesrgan -i photo.jpg -o photo_4x.png\n"
        "  realesrgan -i 그림폴더 -n RealESRGAN_x4plus_anime_6B -s 2 --recursive\n",
        formatter_class=Formatter,
        add_help=False,
        allow_abbrev=False,
    )
    _add_files(parser.add_argument_group("입력과 출력"))
    _add_model(parser.add_argument_group("모델"))
    _add_quality(parser.add_argument_group("결과"))
    _add_computing(parser.add_argument_group("계산"))
    _add_others(parser.add_argument_group("그 밖"))
    return parser


def _add_files(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "-i",
        "--input",
        nargs="+",
        default=["inputs"],
        metavar="PATH",
        help="그림 파일, 폴더, 또는 글롭(예: 'photos/*.jpg'). 여럿을 줄 수 있습니다. 기본: inputs",
    )
    group.add_argument(
        "-o",
        "--output",
        default="results",
        metavar="PATH",
        help="결과 폴더. 그림 하나만 넣을 때는 파일 이름도 됩니다. 기본: results",
    )
    group.add_argument("--recursive", action="store_true", help="하위 폴더까지 읽고 결과도 같은 모양의 폴더에 둡니다.")
    group.add_argument(
        "--suffix", type=suffix, default="out", metavar="TEXT", help="결과 이름 뒤에 붙일 글자. 기본: out"
    )
    group.add_argument(
        "--ext",
        type=_extension,
        default="auto",
        metavar="EXT",
        help="auto(입력과 같음), png, jpg, webp, tiff, avif 등. auto와 jpg에서 알파가 있으면 png. 기본: auto",
    )
    group.add_argument("--skip_existing", action="store_true", help="결과가 이미 있으면 건너뜁니다.")
    group.add_argument("--report", metavar="FILE.json", help="파일마다의 결과를 JSON으로 적습니다.")
    group.add_argument("--dry_run", action="store_true", help="키우지 않고 무엇을 할지와 예상 메모리, 시간만 보입니다.")
    group.add_argument(
        "--max_pixels",
        type=number(int, 0),
        default=DEFAULT_MAX_OUTPUT_PIXELS,
        metavar="N",
        help=f"결과 픽셀 수의 한도(압축 폭탄 방지). 0이면 한도 없음. 기본: {DEFAULT_MAX_OUTPUT_PIXELS:,}",
    )


def _add_model(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "-n", "--model_name", metavar="NAME", help=f"모델 이름(--list_models로 목록). 기본: {DEFAULT_MODEL}"
    )
    group.add_argument(
        "--model_path",
        metavar="PATH",
        help="가중치 파일이나 주소(.pth, .safetensors). 네트워크는 거기서 알아냅니다.",
    )
    group.add_argument(
        "-dn",
        "--denoise_strength",
        type=number(float, 0, 1),
        metavar="0..1",
        help="잡음 제거 세기. 0은 약하게, 1은 강하게. realesr-general-x4v3에만 듣습니다. "
        f"기본: {DEFAULT_DENOISE_STRENGTH}",
    )
    group.add_argument(
        "--act_type",
        choices=["relu", "prelu", "leakyrelu"],
        metavar="NAME",
        help="직접 훈련한 SRVGG의 활성화 함수(relu, leakyrelu). 가중치에서 알 수 없을 때만 필요합니다.",
    )
    group.add_argument("--list_models", action="store_true", help="모델 목록을 보이고 끝냅니다.")


def _add_quality(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "-s",
        "--outscale",
        type=number(float, 0, MAX_OUTSCALE, above=True),
        default=4,
        metavar="X",
        help="마지막 업스케일 배율. 소수도 됩니다. 기본: 4",
    )
    group.add_argument(
        "--alpha_upsampler",
        choices=["realesrgan", "bicubic"],
        default="realesrgan",
        metavar="NAME",
        help="알파 채널을 키우는 방법: realesrgan(네트워크) 또는 bicubic(빠른 보간). 기본: realesrgan",
    )
    group.add_argument(
        "--quality",
        type=number(int, 1, 100),
        metavar="1..100",
        help="jpg, webp, avif, heic의 품질. 기본: 형식마다 다름",
    )
    group.add_argument("--face_enhance", action="store_true", help="얼굴 향상(GFPGAN). 이 판에는 없습니다.")


def _add_computing(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "-t",
        "--tile",
        type=tile_size,
        default="auto",
        metavar="auto|0|N",
        help="타일 한 변(픽셀). auto는 메모리에 맞추고, 0은 통째로 계산합니다. 기본: auto",
    )
    group.add_argument("--tile_pad", type=number(int, 0), default=10, metavar="N", help="타일의 패딩(픽셀). 기본: 10")
    group.add_argument(
        "--pre_pad", type=number(int, 0), default=0, metavar="N", help="영상 가장자리에 덧댈 픽셀. 기본: 0"
    )
    group.add_argument("--batch", type=number(int, 1), default=1, metavar="N", help="한 번에 계산할 타일 수. 기본: 1")
    group.add_argument("--device", metavar="NAME", help="cpu, cuda, cuda:N, mps, xpu. 기본: 가장 빠른 것")
    group.add_argument(
        "-g",
        "--gpu-id",
        "--gpu_id",
        dest="gpu_id",
        type=number(int, 0),
        metavar="N",
        help="CUDA 장치 번호(--device cuda:N)",
    )
    group.add_argument(
        "--precision",
        choices=["auto", "fp32", "fp16", "bf16"],
        metavar="NAME",
        help="auto, fp32, fp16, bf16. auto는 CUDA에서 fp16, 다른 곳에서 fp32. 기본: auto",
    )
    group.add_argument("--fp32", action="store_true", help="--precision fp32와 같습니다.")


def _add_others(group: argparse._ArgumentGroup) -> None:
    group.add_argument("-v", "--verbose", action="store_true", help="자세한 기록을 보입니다.")
    group.add_argument("--version", action="version", version=f"realesrgan {__version__}", help="판 번호를 보입니다.")
    group.add_argument("-h", "--help", action="help", help="이 도움말을 보입니다.")


def parse_arguments(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """인자를 읽고 서로 맞지 않는 것을 걸러 낸다.

    Returns:
        인자. `precision`은 언제나 정해지고, `named`는 모델 이름을 사용자가 골랐는지를 말한다.

    Raises:
        SystemExit: 인자가 잘못되었을 때(코드 2).
        UsageError: 모델 이름을 모를 때.
    """
    parser = build_parser()
    args = parser.parse_args(argv)
    if args.face_enhance:
        parser.error(
            "--face_enhance는 이 판에 아직 없습니다.\n"
            "  해결: 이 옵션을 빼고 실행하거나, GFPGAN의 bg_upsampler에 RealESRGANer를 넘겨 쓰세요."
        )
    if args.fp32 and args.precision not in (None, "auto", "fp32"):
        parser.error(f"--fp32와 --precision {args.precision}은(는) 함께 쓸 수 없습니다.")
    if args.device is not None and args.gpu_id is not None:
        parser.error("--device와 --gpu-id는 하나만 주세요.")
    if args.model_path is not None and args.model_name is None and args.denoise_strength is not None:
        parser.error("-dn을 --model_path와 함께 쓰려면 -n realesr-general-x4v3도 주세요.")
    args.precision = "fp32" if args.fp32 else args.precision or "auto"
    args.named = args.model_name is not None
    args.model_name = get_model(args.model_name or DEFAULT_MODEL).name
    args.max_pixels = args.max_pixels or None
    return args
