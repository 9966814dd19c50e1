"""생성자를 ONNX(으)로 내보낸다. 하는 일은 `realesrgan/export/`에 있다."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

# 설치하지 않은 소스 폴더에서도 돌아가게 한다.
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from realesrgan.cli.console import say
from realesrgan.cli.parsing import number
from realesrgan.command import run_and_leave, run_tool, tool_parser
from realesrgan.errors import UsageError
from realesrgan.zoo.models import DEFAULT_MODEL


def build_parser() -> argparse.ArgumentParser:
    """인자 해석기를 만든다."""
    parser = tool_parser(
        "pytorch2onnx.py",
        "생성자를 ONNX로 내보내고 ONNX Runtime으로 본래와 견줍니다. 배치와 크기는 정해지지 않은 채로 둡니다. "
        "한도보다 다르면 파일을 남기지 않습니다.",
        [
            "python scripts/pytorch2onnx.py -n RealESRGAN_x4plus --output x4plus.onnx",
            "python scripts/pytorch2onnx.py --input net_g_latest.pth --params --output net.onnx --precision fp16",
        ],
    )
    add = parser.add_argument
    source = parser.add_mutually_exclusive_group()
    source.add_argument("-n", "--model_name", metavar="NAME", help=f"모델 이름. 기본: {DEFAULT_MODEL}")
    source.add_argument("--input", metavar="PATH", help="가중치 파일이나 주소(.pth, .safetensors)")
    add("--output", type=Path, required=True, metavar="FILE.onnx", help="쓸 파일")
    add("--params", action="store_true", help="체크포인트의 params를 씁니다. 기본: 지수이동평균(EMA)인 params_ema")
    add("--precision", choices=["fp32", "fp16"], default="fp32", metavar="NAME", help="fp32 또는 fp16. 기본: fp32")
    add("--opset", type=number(int, 11, 20), default=17, metavar="11..20", help="ONNX 연산자 집합의 판. 기본: 17")
    add(
        "--limit",
        type=number(float, 0, above=True),
        metavar="X",
        help="허용하는 가장 큰 차이. 기본: fp32 1e-4, fp16 2e-2",
    )
    add("--pictures", type=Path, metavar="FOLDER", help="견줄 실제 사진의 폴더. 기본: 함께 든 inputs/의 앞 석 장")
    add("--act_type", choices=["relu", "prelu", "leakyrelu"], metavar="NAME", help="직접 훈련한 SRVGG의 활성화 함수")
    return parser


def run(args: argparse.Namespace) -> int:
    """내보내고 견준 결과를 보인다."""
    from realesrgan.export.onnx_model import export_onnx
    from realesrgan.export.source import load_generator
    from realesrgan.export.verify import picture_batches, random_batches, sample_pictures

    if args.output.suffix.lower() != ".onnx":
        raise UsageError(f"결과의 이름은 .onnx로 끝나야 합니다: {args.output}\n  해결: --output을 고치세요.")
    wanted = args.input or args.model_name or DEFAULT_MODEL
    generator = load_generator(wanted, "params" if args.params else None, args.act_type)
    batches = random_batches(generator.multiple)
    pictures = sample_pictures(args.pictures)
    if not pictures:
        say("견줄 사진이 없어 무작위 입력으로만 견줍니다. --pictures로 폴더를 줄 수 있습니다.")
    batches += picture_batches(pictures, generator.multiple)
    differences = export_onnx(
        generator, args.output, precision=args.precision, opset=args.opset, batches=batches, limit=args.limit
    )
    for difference in differences:
        say(f"  {difference.name} {difference.shape}: {difference.largest:.3g}")
    worst = max(difference.largest for difference in differences)
    say(f"내보냈습니다: {args.output} ({generator.name}, {generator.scale}배, 본래와의 가장 큰 차이 {worst:.3g})")
    return 0


def main(argv: Sequence[str] | None = None) -> int:
    """명령을 실행하고 종료 코드를 돌려준다."""
    return run_tool(build_parser(), run, argv)


if __name__ == "__main__":
    run_and_leave(main)
