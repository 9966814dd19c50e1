"""모델들을 정답 영상에 견주어 평가한다. 하는 일은 `realesrgan/evaluation/`에 있다."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import _checkout  # noqa: F401  이 소스 폴더를 먼저 찾게 한다

from realesrgan.cli.arguments import number
from realesrgan.cli.console import say
from realesrgan.cli.tools import report_outcomes, run_and_leave, run_tool, tool_parser
from realesrgan.errors import UsageError

if TYPE_CHECKING:
    from realesrgan.evaluation.candidates import Candidate
    from realesrgan.evaluation.journal import Journal
    from realesrgan.evaluation.run import Evaluation, Plan

METRICS = "psnr, ssim, niqe, lpips, dists, fid"


def build_parser() -> argparse.ArgumentParser:
    """인자 해석기를 만든다."""
    parser = tool_parser(
        "evaluate.py",
        "모델들을 정답 영상(GT)에 견주어 평가하고 표(Markdown, CSV, JSON)와 견줌표(PNG)를 씁니다. 바이큐빅이 "
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
    add("--gt", type=Path, required=True, metavar="FOLDER", help="정답 영상의 폴더")
    source = parser.add_mutually_exclusive_group()
    source.add_argument("--lq", type=Path, metavar="FOLDER", help="저품질 영상(LQ)의 폴더. 이름으로 짝짓습니다.")
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
        help=f"지표({METRICS}). niqe는 훈련 꾸러미, lpips·dists·fid는 pyiqa가 필요합니다. 기본: psnr ssim, 되면 niqe",
    )
    add("--crop_border", type=number(int, 0), metavar="N", help="재지 않을 가장자리(픽셀). 기본: 배율")
    add("--test_y_channel", action="store_true", help="PSNR과 SSIM을 휘도(Y)로 잽니다. 기본: RGB")
    add("--save_images", action="store_true", help="키운 그림을 images/에 남깁니다.")
    add("--sheet_pictures", type=number(int, 0), default=6, metavar="N", help="견줌표에 넣을 그림 수. 기본: 6")
    add("--sheet_region", type=number(int, 8), default=120, metavar="N", help="견줌표에서 들여다볼 한 변. 기본: 120")
    add("-t", "--tile", type=number(int, 0), metavar="N", help="타일 한 변(픽셀). 기본: 메모리에 맞춤")
    add("--device", metavar="NAME", help="cpu, cuda, cuda:N, mps, xpu. 기본: 가장 빠른 것")
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
    tile: int | None,
    device: str | None,
    precision: str,
    act_type: str | None,
) -> int:
    """평가한다."""
    from tqdm import tqdm

    from realesrgan.evaluation import candidates as targets
    from realesrgan.evaluation import measures
    from realesrgan.evaluation import run as evaluation
    from realesrgan.evaluation.samples import bicubic_degrade, find_samples, recipe_degrade

    samples, problems = find_samples(gt, lq, recursive=recursive)
    options = targets.LoadOptions("auto" if tile is None else tile, device, precision, act_type)
    found = targets.load_candidates(model_name, model_path, options)
    border = choose_border(found, crop_border)
    names = metrics or measures.default_metrics()
    # argparse의 기본값으로 두면 --lq와 함께 준 `--degrade bicubic`을 알아보지 못한다.
    source = str(lq) if lq else degrade or "bicubic"
    recipe = lq is None and source != "bicubic"
    plan = evaluation.Plan(
        samples[:max_pictures],
        *measures.make_metrics(names, border, test_y_channel, device or "cpu"),
        recipe_degrade(Path(source), seed) if recipe else bicubic_degrade,
        output,
        save_images,
        sheet_pictures,
        sheet_region,
    )
    settings: dict[str, object] = {"gt": str(gt), "lq": source, "crop_border": border}
    settings |= {"channel": "Y" if test_y_channel else "RGB", "metrics": " ".join(names), "precision": precision}
    settings |= {"seed": seed} if recipe else {}
    journal = open_journal(output, settings)
    total = len(found) * len(plan.samples)
    with tqdm(total=total, desc="평가", unit="장", disable=not sys.stderr.isatty(), file=sys.stderr) as bar:
        done = evaluation.evaluate(found, plan, journal, bar.update)
    write_results(output, plan, found, done, settings)
    journal.remove()
    return report_outcomes([*done.outcomes, *problems])


def choose_border(found: Sequence["Candidate"], crop_border: int | None) -> int:
    """재지 않을 가장자리(픽셀)를 정한다. 주지 않았으면 모델의 배율이다."""
    scales = {candidate.scale for candidate in found}
    if crop_border is None and len(scales) > 1:
        raise UsageError(
            "배율이 다른 모델을 함께 재려면 --crop_border를 주어야 합니다.\n"
            "  재는 곳이 모델마다 다르면 견줄 수 없습니다.\n"
            f"  해결: --crop_border {max(scales)}"
        )
    return max(scales) if crop_border is None else crop_border


def open_journal(output: Path, settings: dict[str, object]) -> "Journal":
    """결과 폴더를 만들고 일지를 연다."""
    from realesrgan.evaluation.journal import JOURNAL_NAME, Journal
    from realesrgan.inference.picture import prepare_folder

    prepare_folder(output)
    return Journal(output / JOURNAL_NAME, settings)


def write_results(
    output: Path,
    plan: "Plan",
    found: Sequence["Candidate"],
    done: "Evaluation",
    settings: dict[str, object],
) -> None:
    """표와 견줌표를 쓰고 평균을 보인다."""
    from realesrgan.dataset_tools.pictures import encode_png, write_bytes
    from realesrgan.evaluation import results
    from realesrgan.evaluation.run import comparison_sheet, summarise

    table = summarise(done, found, plan)
    names = [metric.name for metric in plan.metrics]
    failures = [(outcome.name, outcome.detail) for outcome in done.outcomes if outcome.status == "failed"]
    markdown = results.to_markdown(table, names, settings)
    write_bytes(output / "results.md", markdown.encode())
    # 표 계산 프로그램이 한글을 알아보도록 앞에 BOM을 둔다.
    write_bytes(output / "results.csv", results.to_csv(table, names).encode("utf-8-sig"))
    write_bytes(output / "results.json", results.to_json(table, names, settings, failures).encode())
    sheet = comparison_sheet(done, found)
    if sheet is not None:
        write_bytes(output / "sheet.png", encode_png(sheet, 6))
    say(markdown.split("## 평균")[1].split("\n## ")[0].strip())
    say(f"결과를 썼습니다: {output}")


def main(argv: Sequence[str] | None = None) -> int:
    """명령을 실행하고 종료 코드를 돌려준다."""
    return run_tool(build_parser(), run, argv)


if __name__ == "__main__":
    run_and_leave(main)
