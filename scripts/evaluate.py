"""모델들을 정답 이미지에 견주어 평가한다. 하는 일은 `realesrgan/evaluation/`에 있다."""

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import _checkout  # noqa: F401  이 소스 폴더를 먼저 찾게 한다

from realesrgan.cli.arguments import number
from realesrgan.cli.console import say
from realesrgan.cli.tools import progress_bar, report_outcomes, run_and_leave, run_tool, tool_parser

if TYPE_CHECKING:
    from realesrgan.inference.model import TileSize

METRICS = "psnr, ssim, niqe, lpips, dists, fid"


def build_parser() -> argparse.ArgumentParser:
    """인자 해석기를 만든다."""
    parser = tool_parser(
        "evaluate.py",
        "모델들을 정답 이미지(GT)에 견주어 평가하고 표(Markdown, CSV, JSON)와 비교표(PNG)를 씁니다. 바이큐빅이 "
        "언제나 함께 "
        "나옵니다. 끊기면 같은 명령으로 이어집니다.",
        [
            "python scripts/evaluate.py -n realesr-animevideov3 RealESRGAN_x4plus --gt datasets/Set14 --output "
            "results/set14",
            "python scripts/evaluate.py --model_path net_g_latest.pth --gt datasets/Set14 --degrade "
            "options/train_realesrgan_x4plus.yml --output results/blind",
        ],
    )
    _add_inputs(parser)
    _add_measuring(parser)
    return parser


def _add_inputs(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("-n", "--model_name", nargs="+", default=[], metavar="NAME", help="모델 이름들")
    add("--model_path", nargs="+", default=[], metavar="PATH", help="가중치 파일이나 주소들(.pth, .safetensors)")
    add("--gt", type=Path, required=True, metavar="FOLDER", help="정답 이미지의 폴더")
    source = parser.add_mutually_exclusive_group()
    source.add_argument("--lq", type=Path, metavar="FOLDER", help="저품질 이미지(LQ)의 폴더. 이름으로 짝짓습니다.")
    source.add_argument(
        "--degrade",
        metavar="bicubic|YAML",
        help="LQ를 만드는 법: MATLAB의 바이큐빅 또는 훈련 옵션 파일의 열화. 기본: bicubic",
    )
    add("--seed", type=number(int, 0), default=0, metavar="N", help="옵션 파일의 열화에 쓸 씨앗. 기본: 0")
    add("--recursive", action="store_true", help="하위 폴더까지 봅니다.")
    add("--max_pictures", type=number(int, 1), metavar="N", help="이름 차례로 N장만 잽니다.")
    add("--output", type=Path, required=True, metavar="FOLDER", help="결과 폴더")


def _add_measuring(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add(
        "--metrics",
        nargs="+",
        metavar="NAME",
        help=f"지표({METRICS}). niqe는 훈련 패키지, lpips·dists·fid는 pyiqa가 필요합니다. 기본: psnr ssim, 되면 niqe",
    )
    add("--crop_border", type=number(int, 0), metavar="N", help="재지 않을 가장자리(픽셀). 기본: 배율")
    add("--test_y_channel", action="store_true", help="PSNR과 SSIM을 휘도(Y)로 잽니다. 기본: RGB")
    add("--save_images", action="store_true", help="키운 이미지를 images/에 남깁니다.")
    add("--sheet_pictures", type=number(int, 0), default=6, metavar="N", help="비교표에 넣을 이미지 수. 기본: 6")
    add("--sheet_region", type=number(int, 8), default=120, metavar="N", help="비교표에서 들여다볼 한 변. 기본: 120")
    add(
        "-t",
        "--tile",
        type=number(int, 0, words=("auto",)),
        default="auto",
        metavar="auto|0|N",
        help="타일 한 변(픽셀). auto는 메모리에 맞추고, 0은 통째로 계산합니다. 기본: auto",
    )
    add("--ensemble", action="store_true", help="뒤집고 돌린 여덟 방향의 결과를 평균한 것을 잽니다.")
    add("--steps", nargs="+", default=[], metavar="NAME=VALUE", help="네트워크 다음에 거칠 단계들(sharpen=0.5 등)")
    add("--device", default="auto", metavar="NAME", help="cpu, cuda, cuda:N, mps, xpu. 기본: 가장 빠른 것")
    add("--backend", default="auto", metavar="NAME", help="엔진: torch, openvino, onnxruntime. 기본: torch")
    add(
        "--precision",
        choices=["auto", "fp32", "fp16", "bf16"],
        default="auto",
        metavar="NAME",
        help="정밀도. 기본: auto",
    )
    add("--act_type", choices=["relu", "prelu", "leakyrelu"], metavar="NAME", help="직접 훈련한 SRVGG의 활성화 함수")


def run(
    *,
    model_name: list[str],
    model_path: list[str],
    gt: Path,
    lq: Path | None,
    degrade: str | None,
    seed: int,
    recursive: bool,
    max_pictures: int | None,
    output: Path,
    metrics: list[str] | None,
    crop_border: int | None,
    test_y_channel: bool,
    save_images: bool,
    sheet_pictures: int,
    sheet_region: int,
    tile: "TileSize",
    ensemble: bool,
    steps: list[str],
    device: str,
    precision: str,
    backend: str,
    act_type: str | None,
) -> int:
    """평가한다."""
    from realesrgan.evaluation.api import EvaluationSettings, evaluate
    from realesrgan.evaluation.results import means_table
    from realesrgan.inference.model import ComputeSettings

    settings = EvaluationSettings(
        metrics=metrics or (),
        crop_border=crop_border,
        y_channel=test_y_channel,
        recursive=recursive,
        max_pictures=max_pictures,
        seed=seed,
        save_images=save_images,
        sheet_pictures=sheet_pictures,
        sheet_region=sheet_region,
        steps=tuple(steps),
    )
    with progress_bar("평가", "장") as progress:
        result = evaluate(
            [*model_name, *model_path],
            gt,
            lq=lq,
            # argparse의 기본값으로 두면 --lq와 함께 준 `--degrade bicubic`을 알아보지 못한다.
            degrade=degrade or "bicubic",
            settings=settings,
            output=output,
            compute=ComputeSettings(device, precision, backend, tile, ensemble=ensemble),
            act_type=act_type,
            progress=progress,
        )
    say(means_table(result))
    say(f"결과를 썼습니다: {output}")
    return report_outcomes(result.outcomes)


def main(argv: Sequence[str] | None = None) -> int:
    """명령을 실행하고 종료 코드를 돌려준다."""
    return run_tool(build_parser(), run, argv)


if __name__ == "__main__":
    run_and_leave(main)
