"""화면을 띄우는 명령. 인자를 읽어 `realesrgan.web.server.serve`를 부른다."""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import NoReturn

from realesrgan.cli.arguments import OTHER_ROWS, Row, make_parser, number, row
from realesrgan.cli.console import EXIT_DONE, configure_logging, guarded, run_and_leave, say
from realesrgan.media.formats import DEFAULT_MAX_OUTPUT_PIXELS
from realesrgan.util.files import expand_user

# 비밀번호를 명령줄(다른 사용자에게 보인다) 대신 줄 수 있는 환경 변수.
AUTH_VARIABLE = "REALESRGAN_WEB_AUTH"


def _auth(text: str) -> tuple[str, str]:
    name, colon, password = text.partition(":")
    if not name or not colon or not password:
        raise argparse.ArgumentTypeError("이름:비밀번호의 모양이어야 합니다.")
    return name, password


WEB_GROUPS: dict[str, tuple[Row, ...]] = {
    "주소": (
        row(
            "--host",
            default="127.0.0.1",
            metavar="ADDRESS",
            help="들을 주소. 0.0.0.0이면 같은 네트워크에서 들어올 수 있고 --auth가 있어야 합니다. 기본: 127.0.0.1",
        ),
        row("--port", type=number(int, 0, 65535), default=7860, metavar="N", help="포트. 0이면 빈 것. 기본: 7860"),
        row(
            "--auth",
            type=_auth,
            action="append",
            default=[],
            metavar="NAME:PASSWORD",
            help=f"들어올 수 있는 사람. 여러 번 줄 수 있습니다. 환경 변수 {AUTH_VARIABLE}로도 줍니다.",
        ),
        row("--no-auth", action="store_true", help="밖에서 들어오는 주소에서도 비밀번호를 묻지 않습니다."),
        row(
            "--static",
            metavar="DIR",
            help="서버에서 계산하지 않고, 브라우저 안에서 키우는 화면을 이 폴더에서 엽니다. "
            "없으면 먼저 짓습니다(npm이 있어야 합니다).",
        ),
    ),
    "파일": (
        row("--folder", metavar="DIR", help="화면에서 열어 볼 수 있는 서버의 폴더. 없으면 올린 파일만 다룹니다."),
        row("--work", metavar="DIR", help="올린 파일과 결과를 둘 폴더. 기본: 사용자의 캐시 아래의 web"),
        row(
            "--max_upload",
            type=number(float, 0, above=True),
            default=8,
            metavar="GB",
            help="올리는 파일 하나의 한도(GB). 기본: 8",
        ),
        row(
            "--max_work",
            type=number(float, 0, above=True),
            default=64,
            metavar="GB",
            help="작업 폴더의 한도(GB). 넘으면 오래된 것부터 지웁니다. 기본: 64",
        ),
        row(
            "--keep",
            type=number(float, 0, above=True),
            default=7,
            metavar="DAYS",
            help="끝난 작업과 쓰지 않은 파일을 두는 날수. 기본: 7",
        ),
        row(
            "--max_pixels",
            type=number(int, 0),
            default=DEFAULT_MAX_OUTPUT_PIXELS,
            metavar="N",
            help=f"이미지의 결과 픽셀 수의 한도. 0이면 한도 없음. 기본: {DEFAULT_MAX_OUTPUT_PIXELS:,}",
        ),
    ),
    "계산": (
        row(
            "--device",
            action="append",
            metavar="NAME",
            help="쓸 장치(cpu, cuda:0 등). 여러 번 주면 저마다 한 작업씩 합니다. 기본: 가장 빠른 것",
        ),
    ),
    "그 밖": OTHER_ROWS,
}

build_parser = partial(
    make_parser,
    "realesrgan-web",
    "브라우저에서 사진과 비디오를 키우는 화면을 띄웁니다.",
    (
        "realesrgan-web",
        "realesrgan-web --folder ~/사진",
        "realesrgan-web --host 0.0.0.0 --auth 이름:비밀번호",
        "realesrgan-web --static site",
    ),
    WEB_GROUPS,
)


def _serve_static(folder: Path, args: argparse.Namespace) -> None:
    """브라우저 안에서 키우는 화면을 연다. 지은 것이 없으면 먼저 짓는다."""
    from realesrgan.web.static_site import build, is_site, serve

    if not is_site(folder):
        build(folder, progress=lambda name: say(f"내보내고 견주는 중: {name}"))
    serve(folder, args.host, args.port, lambda address: say(f"브라우저에서 여세요: {address} (멈추기: Ctrl-C)"))


def _work(argv: Sequence[str] | None = None) -> int:
    from realesrgan.web.server import LOOPBACK, ServerSettings, serve

    parser = build_parser()
    args = parser.parse_args(argv)
    configure_logging(args.verbose)
    named = [*args.auth, *([_auth(os.environ[AUTH_VARIABLE])] if os.environ.get(AUTH_VARIABLE) else [])]
    if args.no_auth and named:
        parser.error("--auth와 --no-auth는 하나만 주세요.")
    if args.static is not None:
        if named:
            parser.error("--static의 화면은 비밀번호를 묻지 못합니다. --auth를 빼세요.")
        if args.host not in LOOPBACK and not args.no_auth:
            parser.error("--static을 밖에서 들어오는 주소에 열려면 --no-auth를 함께 주세요. 누구나 볼 수 있습니다.")
        _serve_static(expand_user(args.static), args)
        return EXIT_DONE
    settings = ServerSettings(
        host=args.host,
        port=args.port,
        folder=None if args.folder is None else expand_user(args.folder),
        work=None if args.work is None else expand_user(args.work),
        auth=tuple(named),
        open_to_all=args.no_auth,
        devices=tuple(args.device or ["auto"]),
        max_upload_bytes=round(args.max_upload * (1 << 30)),
        max_work_bytes=round(args.max_work * (1 << 30)),
        max_age=args.keep * 86400,
        max_output_pixels=args.max_pixels or None,
    )
    serve(settings, say)
    return EXIT_DONE


# 화면의 명령을 실행한다. 인자(없으면 명령줄의 것)를 받아 종료 코드를 돌려준다: 0 멈춤, 2 잘못된 사용, 130 중단.
main = partial(guarded, _work, "중단했습니다.")


def run() -> NoReturn:
    """명령줄에서 불리는 자리. `main`을 실행하고 그 코드로 끝난다."""
    run_and_leave(main)
