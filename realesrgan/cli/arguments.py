"""사진 명령의 인자. torch 없이 불러와 `--help`가 바로 답하게 한다."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from realesrgan.cli.parsing import Formatter, Parser, number, suffix
from realesrgan.cli.shared_arguments import (
    add_model,
    add_others,
    add_precision,
    add_scale,
    add_tiles,
    settle_model,
)
from realesrgan.media.formats import DEFAULT_MAX_OUTPUT_PIXELS, writable_extensions
from realesrgan.zoo.models import DEFAULT_MODEL, get_model


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
    add_model(parser.add_argument_group("모델"), DEFAULT_MODEL)
    _add_quality(parser.add_argument_group("결과"))
    _add_computing(parser.add_argument_group("계산"))
    others = parser.add_argument_group("그 밖")
    others.add_argument("--list_models", action="store_true", help="모델 목록을 보이고 끝냅니다.")
    add_others(others)
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


def _add_quality(group: argparse._ArgumentGroup) -> None:
    add_scale(group)
    group.add_argument(
        "--quality",
        type=number(int, 1, 100),
        metavar="1..100",
        help="jpg, webp, avif, heic의 품질. 기본: 형식마다 다름",
    )


def _add_computing(group: argparse._ArgumentGroup) -> None:
    add_tiles(group)
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
    add_precision(group)


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
    settle_model(parser, args)
    if args.device is not None and args.gpu_id is not None:
        parser.error("--device와 --gpu-id는 하나만 주세요.")
    args.model_name = get_model(args.model_name or DEFAULT_MODEL).name
    args.max_pixels = args.max_pixels or None
    return args
