"""이미지에 훈련의 열화를 해 본다. 하는 일은 `realesrgan/dataset_tools/degrade.py`에 있다."""

import argparse
from collections.abc import Sequence
from pathlib import Path

import _checkout  # noqa: F401  이 소스 폴더를 먼저 찾게 한다

from realesrgan.cli.arguments import number
from realesrgan.cli.console import say
from realesrgan.cli.tools import collect_outcomes, report_outcomes, run_and_leave, run_tool, tool_parser, with_progress


def build_parser() -> argparse.ArgumentParser:
    """인자 해석기를 만든다."""
    parser = tool_parser(
        "degrade_images.py",
        "훈련 옵션 파일의 열화를 이미지에 그대로 해 보고 저품질 이미지(LQ)를 씁니다. --sheet는 단계마다의 모습과 "
        "뽑은 값을 한 "
        "장에 보입니다. 훈련 패키지가 필요합니다.",
        [
            "python scripts/degrade_images.py --input inputs --output results/degraded "
            "-opt options/train_realesrgan_x4plus.yml --sheet",
        ],
    )
    add = parser.add_argument
    add("--input", type=Path, required=True, metavar="FOLDER", help="정답 이미지(GT)의 폴더")
    add("--output", type=Path, required=True, metavar="FOLDER", help="결과 폴더. lq/, sheet/, gt/ 아래에 씁니다.")
    add(
        "-opt",
        "--opt",
        type=Path,
        default=Path("options/train_realesrgan_x4plus.yml"),
        metavar="YAML",
        help="훈련 옵션 파일. 기본: %(default)s",
    )
    add("--seed", type=number(int, 0), default=0, metavar="N", help="씨앗. 같으면 같은 결과입니다. 기본: 0")
    add("--sheet", action="store_true", help="단계마다의 모습과 뽑은 값을 이미지마다 한 장에 씁니다.")
    add(
        "--region",
        type=number(int, 0),
        default=130,
        metavar="N",
        help="비교표에서 들여다볼 가운데 부분의 한 변(GT 픽셀). 0이면 전체. 기본: 130",
    )
    add("--save_gt", action="store_true", help="배율의 배수로 자른 GT도 씁니다. gt/와 lq/가 짝 자료가 됩니다.")
    add("--recursive", action="store_true", help="하위 폴더까지 보고 같은 모양의 폴더에 둡니다.")
    add("--dry_run", action="store_true", help="쓰지 않고 무엇을 할지만 보입니다.")
    return parser


def run(
    *,
    input: Path,
    output: Path,
    opt: Path,
    seed: int,
    sheet: bool,
    region: int,
    save_gt: bool,
    recursive: bool,
    dry_run: bool,
) -> int:
    """열화시킨다."""
    from realesrgan.dataset_tools import degrade
    from realesrgan.dataset_tools.job_record import check_job, open_job
    from realesrgan.dataset_tools.outcome import Outcome
    from realesrgan.dataset_tools.pictures import find_pictures, refuse_clashes
    from realesrgan.dataset_tools.workers import map_items
    from realesrgan.training.options import load_recipe

    recipe = load_recipe(opt)
    pictures = find_pictures(input, recursive=recursive)
    stems = {path: path.relative_to(input).with_suffix("") for path in pictures}
    refuse_clashes(stems.items())
    settings = degrade.job_settings(opt, seed)
    check_job(output, settings)
    if dry_run:
        say(f"이미지 {len(pictures)}장을 {recipe.pipeline.scale}배 작은 LQ로 열화시킵니다: {output}")
        return 0
    open_job(output, settings)
    options = degrade.DegradeOptions(recipe, seed, sheet, save_gt, region)
    numbers = {path: index for index, path in enumerate(pictures)}

    def work(path: Path) -> Outcome:
        return degrade.degrade_file(path, numbers[path], stems[path], output, options)

    # 열화는 torch가 여러 스레드로 하므로 프로세스를 나누지 않는다.
    results = with_progress(map_items(work, pictures, 1), len(pictures), "열화")
    return report_outcomes(collect_outcomes(results), output)


def main(argv: Sequence[str] | None = None) -> int:
    """명령을 실행하고 종료 코드를 돌려준다."""
    return run_tool(build_parser(), run, argv)


if __name__ == "__main__":
    run_and_leave(main)
