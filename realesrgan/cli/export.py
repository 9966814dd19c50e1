"""두 내보내기 명령이 함께 쓰는 인자와 보고. torch 없이 불러와 도움말이 바로 답하게 한다."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from realesrgan.cli.arguments import number
from realesrgan.cli.console import say
from realesrgan.cli.tools import tool_parser
from realesrgan.errors import UsageError
from realesrgan.zoo.models import DEFAULT_MODEL

if TYPE_CHECKING:
    from torch import Tensor

    from realesrgan.export.verify import Difference
    from realesrgan.inference.model import Model

# 모델과 견줄 입력들을 받아 내보내고, 견준 결과를 돌려주는 함수.
Export = Callable[["Model", "list[tuple[str, Tensor]]"], "list[Difference]"]


def export_parser(prog: str, description: str, extension: str, examples: Sequence[str]) -> argparse.ArgumentParser:
    """내보내기 명령의 인자 해석기를 만든다.

    Args:
        prog: 명령의 이름.
        description: 무엇을 하는지.
        extension: 결과의 확장자. 점을 뗀 것이다.
        examples: 도움말 끝에 적을 예.
    """
    parser = tool_parser(prog, description, examples)
    add = parser.add_argument
    add("--output", type=Path, required=True, metavar=f"FILE.{extension}", help="쓸 파일")
    add("--precision", choices=["fp32", "fp16"], default="fp32", metavar="NAME", help="fp32 또는 fp16. 기본: fp32")
    limit = number(float, 0, above=True)
    add("--limit", type=limit, metavar="X", help="허용하는 가장 큰 차이. 기본: fp32 1e-4, fp16 2e-2")
    add_model_arguments(parser)
    return parser


def add_model_arguments(parser: argparse.ArgumentParser) -> None:
    """내보낼 모델과 견줄 사진을 받는 인자를 더한다."""
    add = parser.add_argument
    source = parser.add_mutually_exclusive_group()
    source.add_argument("-n", "--model_name", metavar="NAME", help=f"모델 이름. 기본: {DEFAULT_MODEL}")
    source.add_argument("--input", metavar="PATH", help="가중치 파일이나 주소(.pth, .safetensors)")
    add("--params", action="store_true", help="체크포인트의 params를 씁니다. 기본: 지수이동평균(EMA)인 params_ema")
    add("--pictures", type=Path, metavar="FOLDER", help="견줄 실제 사진의 폴더. 기본: 함께 든 inputs/의 앞 석 장")
    add(
        "-dn",
        "--denoise_strength",
        type=number(float, 0, 1),
        metavar="0..1",
        help="잡음 제거 세기. realesr-general-x4v3에만 적용됩니다. 기본: 1(섞지 않은 그 파일)",
    )
    add("--act_type", choices=["relu", "prelu", "leakyrelu"], metavar="NAME", help="직접 훈련한 SRVGG의 활성화 함수")


def run_export(
    extension: str,
    export: Export,
    *,
    output: Path,
    input: str | None,
    model_name: str | None,
    params: bool,
    act_type: str | None,
    denoise_strength: float | None,
    pictures: Path | None,
) -> int:
    """모델을 싣고 내보내고 견준 결과를 보인다.

    Raises:
        UsageError: 결과의 확장자가 다를 때.
        WeightsError, ExportError, MissingPackageError: 싣거나 내보낼 수 없을 때.
    """
    from realesrgan.export.verify import picture_batches, random_batches

    if output.suffix.lower() != f".{extension}":
        raise UsageError(f"결과의 이름은 .{extension}로 끝나야 합니다: {output}\n  해결: --output을 고치세요.")
    model = load_for_export(input, model_name, params, act_type, denoise_strength)
    samples = pictures_to_compare(pictures)
    batches = random_batches(model.multiple) + picture_batches(samples, model.multiple)
    differences = export(model, batches)
    for difference in differences:
        say(f"  {difference.name} {difference.shape}: {difference.largest:.3g}")
    worst = max(difference.largest for difference in differences)
    say(f"내보냈습니다: {output} ({model.name}, {model.scale}배, 본래와의 가장 큰 차이 {worst:.3g})")
    return 0


def load_for_export(
    input: str | None, model_name: str | None, params: bool, act_type: str | None, denoise_strength: float | None
) -> Model:
    """`add_model_arguments`의 인자가 가리키는 모델을 싣는다. 짝과 섞지 않는다.

    Raises:
        UsageError, WeightsError: 실을 수 없을 때.
    """
    from realesrgan.inference.model import load

    return load(
        input or model_name or DEFAULT_MODEL,
        params_key="params" if params else None,
        act_type=act_type,
        denoise_strength=denoise_strength,
        default_strength=1,
    )


def pictures_to_compare(folder: Path | None) -> list[Path]:
    """견줄 사진들. 없으면 그렇다고 알린다.

    Raises:
        UsageError: 준 폴더에 이미지가 없을 때.
    """
    from realesrgan.export.verify import sample_pictures

    samples = sample_pictures(folder)
    if not samples:
        say("견줄 사진이 없어 무작위 입력으로만 견줍니다. --pictures로 폴더를 줄 수 있습니다.")
    return samples
