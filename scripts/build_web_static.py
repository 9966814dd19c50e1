"""브라우저 안에서 사진을 키우는 화면을 짓는다. 하는 일은 `realesrgan/web/static_site.py`에 있다."""

import argparse
from collections.abc import Sequence
from pathlib import Path

import _checkout  # noqa: F401  이 소스 폴더를 먼저 찾게 한다

from realesrgan.cli.arguments import number
from realesrgan.cli.console import EXIT_DONE, say
from realesrgan.cli.tools import run_and_leave, run_tool, tool_parser
from realesrgan.web.static_site import DEFAULT_MODELS, PORT, RUNTIME, RUNTIME_VERSION, build, serve


def build_parser() -> argparse.ArgumentParser:
    """인자 해석기를 만든다."""
    parser = tool_parser(
        "build_web_static.py",
        "브라우저 안에서(WebGPU, 없으면 WASM) 사진을 키우는 화면을 짓습니다. 서버는 파일을 내놓기만 하고 사진은 "
        "기기를 떠나지 않습니다. 지은 폴더는 어느 웹 서버에 올려도 됩니다.",
        [
            "python scripts/build_web_static.py --output site --serve",
            "python scripts/build_web_static.py --output site --models realesr-animevideov3 net_g_latest.pth",
        ],
    )
    add = parser.add_argument
    add("--output", type=Path, required=True, metavar="FOLDER", help="지을 폴더. 앞서 지은 것이면 새로 바꿉니다.")
    add(
        "--models",
        nargs="+",
        default=list(DEFAULT_MODELS),
        metavar="NAME",
        help=f"모델 이름이나 가중치 파일. 기본: {', '.join(DEFAULT_MODELS)}",
    )
    add("--runtime", type=Path, metavar="FILE.tgz", help=f"{RUNTIME}@{RUNTIME_VERSION}의 npm 패키지. 없으면 받습니다.")
    add("--serve", action="store_true", help="짓고 나서 이 컴퓨터에서 엽니다.")
    add("--port", type=number(int, 0, 65535), default=PORT, metavar="N", help=f"--serve의 포트. 기본: {PORT}")
    return parser


def run(*, output: Path, models: list[str], runtime: Path | None, serve_it: bool, port: int) -> int:
    """짓고, 바라면 연다."""
    build(output, models=models, runtime=runtime, progress=lambda name: say(f"내보내고 견주는 중: {name}"))
    say(f"지었습니다: {output}")
    if serve_it:
        serve(output, port=port, ready=lambda address: say(f"브라우저에서 여세요: {address} (멈추기: Ctrl-C)"))
    return EXIT_DONE


def main(argv: Sequence[str] | None = None) -> int:
    """명령을 실행하고 종료 코드를 돌려준다."""
    return run_tool(build_parser(), lambda serve, **given: run(serve_it=serve, **given), argv)


if __name__ == "__main__":
    run_and_leave(main)
