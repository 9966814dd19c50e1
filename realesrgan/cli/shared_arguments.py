"""사진 명령과 영상 명령이 함께 갖는 인자들."""

from __future__ import annotations

import argparse

from realesrgan.cli.parsing import number, tile_size
from realesrgan.version import __version__

DEFAULT_DENOISE_STRENGTH = 0.5
MAX_OUTSCALE = 100


def add_model(group: argparse._ArgumentGroup, default: str) -> None:
    """모델을 고르는 인자."""
    group.add_argument(
        "-n", "--model_name", metavar="NAME", help=f"모델 이름(사진 명령의 --list_models로 목록). 기본: {default}"
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


def add_scale(group: argparse._ArgumentGroup) -> None:
    """배율과 알파, 얼굴의 인자."""
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
    group.add_argument("--face_enhance", action="store_true", help="얼굴 향상(GFPGAN). 이 판에는 없습니다.")


def add_tiles(group: argparse._ArgumentGroup) -> None:
    """타일과 패딩의 인자."""
    group.add_argument(
        "-t",
        "--tile",
        type=tile_size,
        default="auto",
        metavar="auto|0|N",
        help="타일 한 변(픽셀). auto는 메모리에 맞추고, 0은 통째로 계산합니다. 기본: auto",
    )
    group.add_argument("--tile_pad", type=number(int, 0), default=10, metavar="N", help="타일의 패딩(픽셀). 기본: 10")
    group.add_argument("--pre_pad", type=number(int, 0), default=0, metavar="N", help="가장자리에 덧댈 픽셀. 기본: 0")


def add_precision(group: argparse._ArgumentGroup) -> None:
    """정밀도의 인자."""
    group.add_argument(
        "--precision",
        choices=["auto", "fp32", "fp16", "bf16"],
        metavar="NAME",
        help="auto, fp32, fp16, bf16. auto는 CUDA에서 fp16, 다른 곳에서 fp32. 기본: auto",
    )
    group.add_argument("--fp32", action="store_true", help="--precision fp32와 같습니다.")


def add_others(group: argparse._ArgumentGroup) -> None:
    """기록, 판 번호, 도움말의 인자."""
    group.add_argument("-v", "--verbose", action="store_true", help="자세한 기록을 보입니다.")
    group.add_argument("--version", action="version", version=f"realesrgan {__version__}", help="판 번호를 보입니다.")
    group.add_argument("-h", "--help", action="help", help="이 도움말을 보입니다.")


def settle_model(parser: argparse.ArgumentParser, args: argparse.Namespace) -> None:
    """모델과 정밀도의 인자가 서로 맞는지 보고 `precision`과 `named`를 정한다. 맞지 않으면 코드 2로 끝난다."""
    if args.fp32 and args.precision not in (None, "auto", "fp32"):
        parser.error(f"--fp32와 --precision {args.precision}은(는) 함께 쓸 수 없습니다.")
    if args.model_path is not None and args.model_name is None and args.denoise_strength is not None:
        parser.error("-dn을 --model_path와 함께 쓰려면 -n realesr-general-x4v3도 주세요.")
    args.precision = "fp32" if args.fp32 else args.precision or "auto"
    args.named = args.model_name is not None
