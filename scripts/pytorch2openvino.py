"""생성자를 OpenVINO IR(.xml과 .bin)로 내보낸다. 하는 일은 `realesrgan/export/`에 있다."""

import argparse
from collections.abc import Sequence
from pathlib import Path

import _checkout  # noqa: F401  이 소스 폴더를 먼저 찾게 한다

from realesrgan.cli.export import export_parser, run_export
from realesrgan.cli.tools import run_and_leave, run_tool


def build_parser() -> argparse.ArgumentParser:
    """인자 해석기를 만든다."""
    return export_parser(
        "pytorch2openvino.py",
        "생성자를 OpenVINO IR(.xml과 .bin)로 내보내고 본래와 견줍니다. 배치와 크기는 정해지지 않은 채로 두고, "
        "한도보다 다르면 파일을 남기지 않습니다.",
        "xml",
        [
            "python scripts/pytorch2openvino.py -n realesr-animevideov3 --output animevideov3.xml",
            "python scripts/pytorch2openvino.py --input net_g_latest.pth --output net.xml --precision fp16",
        ],
    )


def run(
    *,
    model_name: str | None,
    input: str | None,
    output: Path,
    params: bool,
    precision: str,
    limit: float | None,
    pictures: Path | None,
    act_type: str | None,
    denoise_strength: float | None,
) -> int:
    """내보내고 견준 결과를 보인다."""
    from realesrgan.export.formats import export_openvino

    return run_export(
        "xml",
        lambda model, batches: export_openvino(model, output, precision=precision, batches=batches, limit=limit),
        output=output,
        input=input,
        model_name=model_name,
        params=params,
        act_type=act_type,
        denoise_strength=denoise_strength,
        pictures=pictures,
    )


def main(argv: Sequence[str] | None = None) -> int:
    """명령을 실행하고 종료 코드를 돌려준다."""
    return run_tool(build_parser(), run, argv)


if __name__ == "__main__":
    run_and_leave(main)
