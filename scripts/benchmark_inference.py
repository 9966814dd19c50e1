"""추론의 빠르기를 잰다. 하는 일은 `scripts/benchmark/`에 있다."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import _checkout  # noqa: F401  이 소스 폴더를 먼저 찾게 한다

from realesrgan.cli.arguments import number
from realesrgan.cli.console import say, say_error
from realesrgan.cli.tools import run_and_leave, run_tool, tool_parser
from realesrgan.errors import BenchmarkError

if TYPE_CHECKING:
    from benchmark.measure import Row, Settings


def _size(text: str) -> tuple[int, int]:
    width, _, height = text.lower().partition("x")
    if not (width.isdecimal() and height.isdecimal() and int(width) >= 8 and int(height) >= 8):
        raise argparse.ArgumentTypeError(f"크기는 640x360처럼 적습니다(8 이상): {text}")
    return int(width), int(height)


def build_parser() -> argparse.ArgumentParser:
    """인자 해석기를 만든다."""
    parser = tool_parser(
        "benchmark_inference.py",
        "모델 x 크기 x 엔진 x 정밀도를 이 기계에서 번갈아 재어 표(Markdown, JSON)로 씁니다. --peer는 다른 "
        "인터프리터에 설치한 "
        "PyPI의 realesrgan 0.3.0에 같은 일을 시켜 견줍니다.",
        [
            "python scripts/benchmark_inference.py -n realesr-animevideov3 --sizes 640x360 --output results/bench",
            "python scripts/benchmark_inference.py --sizes 128x128 --peer old/bin/python --runs 5 --output "
            "results/bench",
        ],
    )
    add = parser.add_argument
    add(
        "-n",
        "--models",
        nargs="+",
        default=["RealESRGAN_x4plus", "realesr-animevideov3"],
        metavar="NAME",
        help="모델 이름이나 가중치 파일들. 기본: RealESRGAN_x4plus realesr-animevideov3",
    )
    add("--sizes", nargs="+", type=_size, default=[(128, 128)], metavar="WxH", help="입력 크기들. 기본: 128x128")
    add(
        "--engines",
        nargs="+",
        metavar="NAME",
        help="torch, onnxruntime, openvino. 기본: torch와 설치된 것들. torch fp32는 기준이라 언제나 잽니다.",
    )
    add("--precisions", nargs="+", default=["fp32"], metavar="NAME", help="fp32, fp16, bf16. 기본: fp32")
    add("--runs", type=number(int, 1), default=5, metavar="N", help="데우기를 뺀 횟수. 기본: 5")
    add("--threads", type=number(int, 1), metavar="N", help="스레드 수. 기본: 저마다 정함")
    add("--device", default="cpu", metavar="NAME", help="torch의 장치. 기본: cpu")
    add("--peer", metavar="PYTHON", help="realesrgan 0.3.0이 설치된 다른 인터프리터")
    add("--output", type=Path, required=True, metavar="FOLDER", help="benchmark.md와 benchmark.json을 둘 폴더")
    add("--dry_run", action="store_true", help="재지 않고 무엇을 잴지만 보입니다.")
    return parser


def run(
    *,
    models: list[str],
    sizes: list[tuple[int, int]],
    engines: list[str] | None,
    precisions: list[str],
    runs: int,
    threads: int | None,
    device: str,
    peer: str | None,
    output: Path,
    dry_run: bool,
) -> int:
    """잰다."""
    import tempfile

    from benchmark import measure as bench
    from benchmark.flops import matmul_ceiling
    from tqdm import tqdm

    from realesrgan.inference.model import load

    settings = make_settings(engines, precisions, runs, threads, device, peer)
    wanted = bench.targets(settings)
    loaded = [load(name, default_strength=1) for name in models]
    if dry_run:
        names = [" ".join(target) for target in wanted] + ([bench.PEER] if peer else [])
        for model in loaded:
            for width, height in sizes:
                say(f"{model.name} {width}x{height}: {', '.join(names)}")
        return 0
    rows: list[bench.Row] = []
    failures: list[str] = []
    count = len(loaded) * len(sizes) * (len(wanted) + bool(peer)) * (runs + 1)
    ceiling = matmul_ceiling()
    with (
        tempfile.TemporaryDirectory(prefix="realesrgan-") as name,
        tqdm(total=count, desc="재기", unit="번", disable=not sys.stderr.isatty(), file=sys.stderr) as bar,
    ):
        for model in loaded:
            for size in sizes:
                try:
                    rows += bench.measure(model, size, settings, Path(name), ceiling, bar.update)
                except BenchmarkError as error:
                    failures.append(str(error))
    write(output, runs, rows, failures, {"처음": ceiling, "끝": matmul_ceiling()})
    return 1 if failures else 0


def make_settings(
    engines: Sequence[str] | None,
    precisions: Sequence[str],
    runs: int,
    threads: int | None,
    device: str,
    peer: str | None,
) -> "Settings":
    """인자에서 어떻게 잴지를 정한다."""
    from benchmark.measure import Settings

    from realesrgan.inference.engines.base import ENGINES
    from realesrgan.util.optional import is_installed

    # ONNX Runtime의 엔진은 네트워크를 바꾸는 데 onnx도 쓴다.
    needs = {name: [row.package] if row.package else [] for name, row in ENGINES.items()}
    needs["onnxruntime"].append("onnx")
    wanted = engines or [name for name, packages in needs.items() if all(map(is_installed, packages))]
    return Settings(wanted, precisions, runs, threads, device, peer)


def write(output: Path, runs: int, rows: Sequence["Row"], failures: Sequence[str], ceiling: dict[str, float]) -> None:
    """표를 쓰고 보인다."""
    import json
    import platform

    import torch
    from benchmark.measure import to_markdown

    from realesrgan.dataset_tools.pictures import write_bytes

    machine = {
        "기계": f"{platform.machine()}, 코어 {torch.get_num_threads()}, {platform.system()}",
        "torch": torch.__version__,
        "행렬곱의 한계": ", ".join(f"{when} {value:.0f} GFLOP/s" for when, value in ceiling.items()),
        "횟수": f"번갈아 {runs}번의 중앙값, 데우기 1번은 버림",
        "일": "uint8 이미지에서 uint8 결과까지. 통째로(타일 없음)",
    }
    text = to_markdown(rows, machine)
    content = {"machine": machine, "rows": [row.to_json() for row in rows], "failures": list(failures)}
    write_bytes(output / "benchmark.md", text.encode())
    write_bytes(output / "benchmark.json", (json.dumps(content, ensure_ascii=False, indent=2) + "\n").encode())
    say(text)
    for failure in failures:
        say_error(failure)


def main(argv: Sequence[str] | None = None) -> int:
    """명령을 실행하고 종료 코드를 돌려준다."""
    return run_tool(build_parser(), run, argv)


if __name__ == "__main__":
    run_and_leave(main)
