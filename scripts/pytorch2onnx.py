"""생성자를 ONNX로 내보낸다. 하는 일은 `realesrgan/export/`에 있다."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

# 설치하지 않은 소스 폴더에서도 돌아가게 한다.
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from realesrgan.cli.arguments import number
from realesrgan.cli.export import export_parser, run_export
from realesrgan.cli.tools import run_and_leave, run_tool


def build_parser() -> argparse.ArgumentParser:
    """인자 해석기를 만든다."""
    parser = export_parser(
        "pytorch2onnx.py",
        "생성자를 ONNX로 내보내고 본래와 견줍니다. 배치와 크기는 정해지지 않은 채로 두고, 한도보다 다르면 "
        "파일을 남기지 않습니다.",
        "onnx",
        [
            "python scripts/pytorch2onnx.py -n RealESRGAN_x4plus --output x4plus.onnx",
            "python scripts/pytorch2onnx.py --input net_g_latest.pth --params --output net.onnx --precision fp16",
        ],
    )
    parser.add_argument(
        "--opset", type=number(int, 11, 20), default=17, metavar="11..20", help="ONNX 연산자 집합의 판. 기본: 17"
    )
    return parser


def run(args: argparse.Namespace) -> int:
    """내보내고 견준 결과를 보인다."""
    from realesrgan.export.onnx_model import export_onnx

    return run_export(
        args,
        "onnx",
        lambda generator, batches: export_onnx(
            generator, args.output, precision=args.precision, opset=args.opset, batches=batches, limit=args.limit
        ),
    )


def main(argv: Sequence[str] | None = None) -> int:
    """명령을 실행하고 종료 코드를 돌려준다."""
    return run_tool(build_parser(), run, argv)


if __name__ == "__main__":
    run_and_leave(main)
