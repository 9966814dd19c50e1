"""가중치의 형식을 바꾸고 들여다본다. 하는 일은 `realesrgan/zoo/convert.py`에 있다."""

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path

import _checkout  # noqa: F401  이 소스 폴더를 먼저 찾게 한다

from realesrgan.cli.arguments import number
from realesrgan.cli.console import say
from realesrgan.cli.tools import run_and_leave, run_tool, tool_parser
from realesrgan.errors import UsageError, WeightsError


def build_parser() -> argparse.ArgumentParser:
    """인자 해석기를 만든다."""
    parser = tool_parser(
        "convert_weights.py",
        "가중치를 .pth, .safetensors, ncnn 쌍(.param과 .bin) 사이에서 옮깁니다. 저장한 것은 다시 읽어 "
        "확인하고, ncnn은 ncnn "
        "패키지가 있으면 돌려서 견줍니다.",
        [
            "python scripts/convert_weights.py --input RealESRGAN_x4plus --output x4plus.pth",
            "python scripts/convert_weights.py --input net_g_latest.pth --output net.param --fp16",
            "python scripts/convert_weights.py --input general.pth wdn.pth --dni 0.5 --output blend.safetensors",
            "python scripts/convert_weights.py --input net_g_latest.pth --inspect",
        ],
    )
    add = parser.add_argument
    add(
        "--input",
        nargs="+",
        required=True,
        metavar="PATH",
        help="가중치 파일, 주소, 모델 이름. ncnn은 .param이나 .bin. --dni를 쓰면 둘입니다.",
    )
    add("--output", type=Path, metavar="FILE", help="쓸 파일(.pth, .safetensors, .param)")
    add("--inspect", action="store_true", help="파일에 무엇이 들었는지 보이고 끝냅니다.")
    add("--keys", action="store_true", help="--inspect에서 키와 모양을 모두 보입니다.")
    add("--params", action="store_true", help="체크포인트의 params를 씁니다. 기본: 지수이동평균(EMA)인 params_ema")
    add("--fp16", action="store_true", help="fp16으로 저장합니다.")
    add("--dni", type=number(float, 0, 1), metavar="0..1", help="두 가중치를 섞습니다: 값 * 첫째 + (1 - 값) * 둘째")
    add("--act_type", choices=["relu", "prelu", "leakyrelu"], metavar="NAME", help="직접 훈련한 SRVGG의 활성화 함수")
    add("--arch", metavar="NAME", help="등록한 네트워크의 이름. 텐서에서 알아낼 수 없을 때만 필요합니다.")
    add(
        "--arch_args",
        metavar="JSON",
        help="그 네트워크의 생성자 인자. 예: '{\"num_feat\": 32}'. 저장한 파일에 적힙니다.",
    )
    add("--overwrite", action="store_true", help="이미 있는 파일을 바꿉니다.")
    return parser


def run(
    *,
    input: list[str],
    output: Path | None,
    inspect: bool,
    keys: bool,
    params: bool,
    fp16: bool,
    dni: float | None,
    act_type: str | None,
    arch: str | None,
    arch_args: str | None,
    overwrite: bool,
) -> int:
    """바꾸거나 들여다본다."""
    key = "params" if params else None
    hints = {"act_type": act_type, "arch": arch, "arch_args": arch_args}
    if inspect:
        return show(input, key, hints, keys)
    if output is None:
        raise UsageError("쓸 파일이 없습니다.\n  해결: --output을 주거나, 들여다보기만 하려면 --inspect를 주세요.")
    if (dni is None) != (len(input) == 1) or len(input) > 2:
        raise UsageError(
            f"--input이 {len(input)}개입니다.\n  하나를 바꾸거나, --dni와 함께 둘을 섞습니다.\n  해결: 개수를 맞추세요."
        )
    return convert(input, output, key, hints=hints, dni=dni, half=fp16, overwrite=overwrite)


def show(wanted: Sequence[str], key: str | None, hints: Mapping[str, str | None], keys: bool) -> int:
    """파일마다 무엇이 들었는지 보인다."""
    from realesrgan.zoo.convert import describe_file
    from realesrgan.zoo.weights import locate_weights

    for one in wanted:
        _, file = locate_weights(one)
        say(describe_file(file, params_key=key, hints=hints, keys=keys))
    return 0


def convert(
    wanted: Sequence[str],
    output: Path,
    key: str | None,
    *,
    hints: Mapping[str, str | None],
    dni: float | None,
    half: bool,
    overwrite: bool,
) -> int:
    """읽고, 섞고, 저장하고, 확인한다."""
    from realesrgan.zoo.convert import check_saved, save_weights
    from realesrgan.zoo.weights import blend, open_weights

    targets = [output, *([output.with_suffix(".bin")] if output.suffix == ".param" else [])]
    existing = [path for path in targets if path.exists()]
    if existing and not overwrite:
        raise UsageError(
            f"이미 있습니다: {existing[0]}\n  덮어쓰지 않습니다.\n  해결: 다른 이름이나 --overwrite를 주세요."
        )
    opened = [open_weights(one, params_key=key, hints=hints, default_strength=1) for one in wanted]
    weights = opened[0] if dni is None else blend(opened[0], opened[1], dni)
    written = save_weights(weights, output, half=half, key=key or "params_ema")
    try:
        difference = check_saved(weights, output, half=half)
    except WeightsError:
        # 본래와 다른 파일을 남기면 나중에 그것을 믿고 쓰게 된다.
        for path in written:
            path.unlink(missing_ok=True)
        raise
    say(f"{weights.arch}의 가중치를 저장했습니다: {', '.join(map(str, written))}")
    if difference is not None:
        say(f"ncnn으로 돌려 본 가장 큰 차이: {difference:.3g}")
    elif output.suffix == ".param":
        say("ncnn 패키지가 없어 돌려 보지는 않았습니다. 저장한 값은 다시 읽어 확인했습니다(pip install ncnn).")
    return 0


def main(argv: Sequence[str] | None = None) -> int:
    """명령을 실행하고 종료 코드를 돌려준다."""
    return run_tool(build_parser(), run, argv)


if __name__ == "__main__":
    run_and_leave(main)
