"""생성자를 휴대전화의 런타임(ncnn, ExecuTorch, LiteRT, Core ML)으로 내보낸다. 하는 일은 `realesrgan/export/`에 있다."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import _checkout  # noqa: F401  이 소스 폴더를 먼저 찾게 한다

from realesrgan.cli.arguments import number
from realesrgan.cli.console import EXIT_DONE, EXIT_SOME_FAILED, say, say_error
from realesrgan.cli.export import add_model_arguments, load_for_export, pictures_to_compare
from realesrgan.cli.tools import run_and_leave, run_tool, tool_parser
from realesrgan.errors import InvalidValueError, RealESRGANError, UsageError
from realesrgan.export.targets import PRECISIONS, TARGETS

if TYPE_CHECKING:
    from realesrgan.export.mobile import MobileResult
    from realesrgan.export.targets import MobilePlan
    from realesrgan.inference.model import Model


def build_parser() -> argparse.ArgumentParser:
    """인자 해석기를 만든다."""
    parser = tool_parser(
        "pytorch2mobile.py",
        "생성자를 휴대전화의 런타임으로 내보내고, 그 런타임으로 돌려 본래와 견줍니다. 한도보다 다르면 파일을 남기지 "
        "않습니다. Core ML만은 이 기계에서 돌릴 수 없어 저장한 파일의 연산을 다시 계산해 견줍니다.",
        [
            "python scripts/pytorch2mobile.py -n realesr-animevideov3 --target ncnn executorch --output mobile",
            "python scripts/pytorch2mobile.py --target litert coreml --precision fp16 int8 --tile 128 --output mobile",
            "python scripts/pytorch2mobile.py -n realesr-animevideov3 --tile 128 256 --measure 5 --output mobile",
        ],
    )
    add = parser.add_argument
    add("--output", type=Path, required=True, metavar="FOLDER", help="쓸 폴더")
    add(
        "--target",
        nargs="+",
        choices=list(TARGETS),
        default=list(TARGETS),
        metavar="NAME",
        help=f"런타임: {', '.join(TARGETS)}. 기본: 모두",
    )
    add(
        "--precision",
        nargs="+",
        choices=PRECISIONS,
        default=["fp32"],
        metavar="NAME",
        help="fp32, fp16, int8(가중치만). 런타임에 없는 것은 까닭을 말하고 건너뜁니다. 기본: fp32",
    )
    add(
        "--tile",
        nargs="+",
        type=number(int, 8, 4096),
        default=[256],
        metavar="N",
        help="입력의 한 변(픽셀). 크기가 정해지지 않은 꼴에서는 가장 큰 것이 한도입니다. 기본: 256",
    )
    add(
        "--shape",
        choices=["fixed", "dynamic"],
        metavar="NAME",
        help="크기의 꼴: fixed, dynamic. 기본: 되는 것은 dynamic, LiteRT와 Core ML은 fixed",
    )
    add("--limit", type=number(float, 0, above=True), metavar="X", help="허용하는 가장 큰 차이. 기본: 정밀도마다")
    add("--psnr", type=number(float, 0), metavar="DB", help="사진에서 지켜야 할 PSNR. 기본: 정밀도마다")
    add("--measure", type=number(int, 1), metavar="N", help="타일 한 장의 시간을 번갈아 N번 재어 표를 보입니다.")
    add_model_arguments(parser)
    return parser


def make_plans(
    model: Model, targets: Sequence[str], precisions: Sequence[str], tiles: Sequence[int], shape: str | None
) -> list[MobilePlan]:
    """바라는 것들의 곱에서 되는 것만 고른다. 안 되는 것은 까닭을 알린다.

    Raises:
        UsageError: 되는 것이 하나도 없을 때.
    """
    from realesrgan.export.mobile import make_plan

    plans: list[MobilePlan] = []
    reasons: dict[str, None] = {}
    for target in dict.fromkeys(targets):
        for precision in dict.fromkeys(precisions):
            for tile in sorted(set(tiles), reverse=True):
                try:
                    plan = make_plan(model, target, precision, tile, shape)  # type: ignore[arg-type]
                except InvalidValueError as error:
                    reasons[str(error)] = None
                    continue
                # 크기가 정해지지 않은 꼴은 가장 큰 타일의 하나로 된다.
                if plan.shape == "fixed" or tile == max(tiles):
                    plans.append(plan)
    if not plans:
        raise UsageError("\n".join(reasons))
    for reason in reasons:
        say(f"건너뜁니다: {reason}")
    return plans


def run(
    *,
    model_name: str | None,
    input: str | None,
    output: Path,
    params: bool,
    pictures: Path | None,
    act_type: str | None,
    denoise_strength: float | None,
    target: list[str],
    precision: list[str],
    tile: list[int],
    shape: str | None,
    limit: float | None,
    psnr: float | None,
    measure: int | None,
) -> int:
    """런타임마다 내보내고 견준 결과를 보인다. 하나가 실패해도 나머지를 계속한다."""
    from realesrgan.export.mobile import export_mobile, result_table
    from realesrgan.export.mobile import measure as measure_results

    model = load_for_export(input, model_name, params, act_type, denoise_strength)
    plans = make_plans(model, target, precision, tile, shape)
    samples = pictures_to_compare(pictures)
    results: list[MobileResult] = []
    for plan in plans:
        try:
            one = export_mobile(model, output, plan, pictures=samples, limit=limit, psnr_floor=psnr)
        except RealESRGANError as error:
            say_error(f"실패: {plan.target.title} {plan.precision}\n    " + str(error).replace("\n", "\n    "))
            continue
        results.append(one)
        quality = "" if one.psnr is None else f", 사진에서 PSNR {one.psnr:.1f}dB"
        say(f"내보냈습니다: {one.file} ({one.size / 1e6:.2f}MB, 본래와의 가장 큰 차이 {one.largest:.2g}{quality})")
    if results and measure:
        tiles = sorted(set(tile))
        measured, baseline = measure_results(results, model, tiles, measure)
        say(result_table(measured, tiles, baseline))
    return EXIT_DONE if len(results) == len(plans) else EXIT_SOME_FAILED


def main(argv: Sequence[str] | None = None) -> int:
    """명령을 실행하고 종료 코드를 돌려준다."""
    return run_tool(build_parser(), run, argv)


if __name__ == "__main__":
    run_and_leave(main)
