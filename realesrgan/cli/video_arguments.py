"""비디오 명령의 인자. torch와 PyAV 없이 불러와 `--help`가 바로 답하게 한다."""

from __future__ import annotations

import argparse
import logging
import re
from collections.abc import Sequence
from fractions import Fraction
from typing import TYPE_CHECKING

from realesrgan.cli.arguments import (
    ENGINE_ROWS,
    OTHER_ROWS,
    PLUGIN_ROWS,
    PRECISION_ROWS,
    SCALE_ROWS,
    SHARD_ROW,
    SHARD_SEGMENTS_ROW,
    STANDARD,
    STEP_ROWS,
    TILE_ROWS,
    Row,
    filled,
    make_parser,
    model_rows,
    number,
    row,
    settle_faces,
    settle_shared,
)
from realesrgan.errors import UsageError
from realesrgan.media.formats import writable_extensions
from realesrgan.util.files import expand_user
from realesrgan.util.numbers import parse_time
from realesrgan.zoo.models import DEFAULT_VIDEO_MODEL

if TYPE_CHECKING:
    from realesrgan.video.settings import VideoSettings

logger = logging.getLogger(__name__)

FILE_FORMATS = ("mp4", "mkv", "mov", "webm")
STREAM_FORMATS = ("nut", "y4m")


def _rate(text: str) -> Fraction:
    try:
        rate = Fraction(text)
    except (ValueError, ZeroDivisionError):
        raise argparse.ArgumentTypeError(f"프레임 속도가 아닙니다: '{text}'. 예: 24, 23.976, 30000/1001") from None
    if not 0 < rate <= 1000:
        raise argparse.ArgumentTypeError(f"0보다 크고 1000 이하여야 합니다: {text}")
    # 23.976과 29.97은 24000/1001과 30000/1001을 줄여 적은 것이다.
    digits = len(text.partition(".")[2])
    exact = Fraction(round(rate * 1001 / 1000) * 1000, 1001)
    return exact if digits >= 2 and round(exact, digits) == rate else rate


def _time(text: str) -> Fraction:
    try:
        return parse_time(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"시각이 아닙니다: '{text}'. 예: 12.5, 1:30, 1:02:03") from None


def _bitrate(text: str) -> int:
    found = re.fullmatch(r"(\d+(?:\.\d+)?)([kKmM]?)", text)
    value = 0 if found is None else round(float(found[1]) * {"": 1, "k": 1000, "m": 1_000_000}[found[2].lower()])
    if not 1000 <= value <= 10**10:
        raise argparse.ArgumentTypeError(f"비트율이 아닙니다: '{text}'. 예: 8M, 800k, 8000000")
    return value


def _encoder_option(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not name or not equals:
        raise argparse.ArgumentTypeError(f"이름=값의 모양이어야 합니다: {text}")
    return name, value


def _extension(text: str) -> str:
    name = text.lower().lstrip(".")
    if name in ("auto", *FILE_FORMATS, *STREAM_FORMATS):
        return name
    pictures = [extension.lstrip(".") for extension in writable_extensions()]
    if name not in pictures:
        allowed = ", ".join(("auto", *FILE_FORMATS, *pictures))
        raise argparse.ArgumentTypeError(f"쓸 수 없는 형식입니다: {text}. 쓸 수 있는 형식: {allowed}")
    return name


VIDEO_GROUPS: dict[str, tuple[Row, ...]] = {
    "입력과 출력": (
        row(
            "-i",
            "--input",
            type=filled,
            nargs="+",
            metavar="PATH",
            help="비디오 파일(여럿도 됩니다), 비디오가 든 폴더, 차례대로의 이미지가 든 폴더, 또는 -(표준 입력: y4m, "
            "NUT, Matroska). 꼭 있어야 합니다.",
        ),
        row(
            "-o",
            "--output",
            type=filled,
            default="results",
            metavar="PATH",
            help="결과 폴더, 결과 파일(.mp4 .mkv .mov .webm), 또는 -(표준 출력: NUT나 y4m). 기본: results",
        ),
        row("--suffix", default="out", metavar="TEXT", help="결과 이름 뒤에 붙일 글자. 기본: out"),
        row(
            "--ext",
            type=_extension,
            default="auto",
            metavar="EXT",
            help="auto(원본과 같은 형식, 쓸 수 없는 것이면 mp4), mp4, mkv, mov, webm. png, jpg 같은 이미지 형식이면 "
            "결과는 이미지가 든 폴더입니다. 표준 출력은 nut나 y4m. 기본: auto",
        ),
        row(
            "--recursive",
            action="store_true",
            help="하위 폴더의 비디오까지 키웁니다. 결과도 같은 하위 폴더에 놓입니다.",
        ),
        row("--resume", action="store_true", help="중단된 작업을 이어서 합니다."),
        row("--overwrite", action="store_true", help="이미 있는 결과와 하다 만 작업을 새로 만듭니다."),
        row("--preview", type=filled, metavar="FILE.png", help="지금 키운 프레임을 이따금 이미지로 적어 둡니다."),
        row("--report", type=filled, metavar="FILE.json", help="비디오마다의 결과를 JSON으로 적습니다."),
        SHARD_ROW,
        SHARD_SEGMENTS_ROW,
        row(
            "--dry_run",
            action="store_true",
            help="키우지 않고 무엇을 할지와 예상 시간만 보입니다. --preview와 함께면 첫 프레임만 키워 적습니다.",
        ),
    ),
    "구간과 시각": (
        row("--start", type=_time, metavar="TIME", help="키우기 시작할 시각(초, 분:초, 시:분:초)."),
        row("--end", type=_time, metavar="TIME", help="키우기를 그칠 시각."),
        row(
            "--fps",
            type=_rate,
            metavar="N",
            help="결과의 초당 프레임. 길이는 그대로고 프레임을 되풀이하거나 뺍니다. 이미지 시퀀스면 그 속도입니다"
            "(기본 24).",
        ),
        row(
            "--retime",
            action="store_true",
            help="--fps로 바꿀 때 프레임 수를 그대로 두고 길이를 바꿉니다. 소리와 자막도 그만큼 빨라지거나 느려집니다.",
        ),
        row(
            "--gaps",
            action="store_true",
            help="이미지 시퀀스의 빠진 번호를 앞 이미지로 메웁니다. 없으면 시작하지 않습니다.",
        ),
        row(
            "--deinterlace",
            nargs="?",
            choices=("single", "double"),
            const="single",
            default=False,
            help="비월(interlaced) 비디오를 펴서(bwdif) 키웁니다. double은 필드마다 한 프레임이라 속도가 두 배입니다.",
        ),
        row("--ivtc", action="store_true", help="2:3 풀다운으로 늘린 필름을 본래의 초당 24프레임으로 되돌려 키웁니다."),
        row("--progressive", action="store_true", help="비월이라는 표시나 판단이 틀렸을 때, 그대로 키웁니다."),
        row(
            "--on_change",
            choices=("stop", "scale", "split"),
            default="stop",
            help="도중에 화면의 크기나 형식이 바뀔 때 할 일. stop은 그 앞까지만 남기고 나눌 시각을 알립니다. "
            "scale은 비율을 지키며 처음의 모양에 맞춥니다. split은 바뀌는 곳마다 나누어 이름_part1, 이름_part2로 "
            "씁니다. 기본: stop",
        ),
        row(
            "--on_damage",
            choices=("stop", "continue"),
            default="stop",
            help="원본이 깨진 곳에서 할 일. stop은 성한 앞부분만 남기고 그칩니다. continue는 앞 프레임을 되풀이하며 "
            "끝까지 만들고 깨진 곳을 모두 알립니다(종료 코드 1). 기본: stop",
        ),
    ),
    "인코딩(encoding)": (
        row(
            "--codec",
            metavar="NAME",
            help="h264(libx264), h265(libx265), av1(libsvtav1), vp9(libvpx-vp9), ffv1, prores, h264_nvenc, "
            "hevc_nvenc, av1_nvenc. 기본: 원본과 형식에 맞춤",
        ),
        row("--crf", type=number(float, 0, 63), metavar="N", help="품질. 작을수록 좋고 큽니다. 기본: 코덱마다 다름"),
        row(
            "--bitrate",
            type=_bitrate,
            metavar="N",
            help="평균 비트율(초당 비트). 예: 8M, 800k. --crf와 함께 쓸 수 없습니다.",
        ),
        row("--preset", metavar="NAME", help="코덱의 빠르기와 압축의 균형. 기본: 코덱마다 다름"),
        row("--pix_fmt", metavar="NAME", help="결과의 픽셀 형식(yuv420p10le 등). 기본: 원본에 맞춤"),
        row(
            "--encoder_options",
            nargs="+",
            type=_encoder_option,
            default=[],
            metavar="K=V",
            help="코덱에 그대로 넘길 옵션. 모르는 옵션이 있으면 시작하지 않습니다.",
        ),
    ),
    "모델": (*model_rows(DEFAULT_VIDEO_MODEL), *SCALE_ROWS, *STEP_ROWS),
    "계산": (
        *TILE_ROWS,
        row("--batch", type=number(int, 1), metavar="N", help="한 번에 계산할 프레임 수. 기본: CPU는 1, GPU는 4"),
        row(
            "--num_process_per_gpu",
            type=number(int, 1),
            metavar="N",
            help="장치 하나에서 동시에 일할 작업자의 수. 기본: CPU는 코어 수, GPU는 1",
        ),
        row(
            "--device",
            metavar="NAME",
            help="cpu, cuda, cuda:N, mps, xpu. 기본: 있는 CUDA 장치 모두, 없으면 가장 빠른 것",
        ),
        *PRECISION_ROWS,
        *ENGINE_ROWS,
    ),
    "그 밖": (
        row("--ffmpeg_bin", metavar="PATH", help="더는 필요 없습니다. 예전 명령을 위해 받기만 합니다."),
        row("--extract_frame_first", action="store_true", help="더는 필요 없습니다. 받기만 합니다."),
        *PLUGIN_ROWS,
        *OTHER_ROWS,
    ),
}


def build_parser() -> argparse.ArgumentParser:
    """비디오 명령의 인자 해석기를 만든다."""
    return make_parser(
        "realesrgan-video",
        "Real-ESRGAN으로 비디오를 키웁니다(초해상도(Super-Resolution)). 소리와 자막은 그대로 옮깁니다.",
        (
            "realesrgan-video -i video.mp4 -o results",
            "realesrgan-video -i video.mkv -o video_2x.mkv -s 2 --codec h265",
            "realesrgan-video -i video.mp4 -o results --resume",
            "torchrun --nproc_per_node=2 inference_realesrgan_video.py -i video.mp4 -o results",
        ),
        VIDEO_GROUPS,
    )


def parse_arguments(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """인자를 읽고 서로 맞지 않는 것을 걸러 낸다.

    Returns:
        인자. `precision`은 언제나 정해지고, `named`는 모델 이름을 사용자가 골랐는지를, `warnings`는 알릴 말들을 담는다.

    Raises:
        SystemExit: 인자가 잘못되었을 때(코드 2).
        UsageError: 모델 이름을 모를 때.
    """
    parser = build_parser()
    args = parser.parse_args(argv)
    settle_shared(parser, args, DEFAULT_VIDEO_MODEL)
    if not args.input:
        raise UsageError(
            "키울 비디오를 -i로 주세요.\n"
            "  이유: 함께 든 inputs 폴더에는 서로 다른 사진들만 있어 한 편의 비디오가 되지 않습니다.\n"
            "  예: python inference_realesrgan_video.py -i assets/pan.mp4 -o results"
        )
    if args.start is not None and args.end is not None and args.start >= args.end:
        parser.error("--end는 --start보다 뒤여야 합니다.")
    if sum(map(bool, (args.deinterlace, args.ivtc, args.progressive))) > 1:
        parser.error("--deinterlace, --ivtc, --progressive는 하나만 주세요.")
    if args.retime and args.fps is None:
        parser.error("--retime은 --fps와 함께 씁니다.")
    if args.bitrate is not None and args.crf is not None:
        parser.error("--bitrate와 --crf는 하나만 주세요.")
    if args.resume and args.overwrite:
        parser.error("--resume과 --overwrite는 하나만 주세요.")
    args.gpu_id = None
    if STANDARD in (*args.input, args.output) or args.ext in STREAM_FORMATS:
        _check_pipes(args)
    unused = [f"--{name}" for name in ("ffmpeg_bin", "extract_frame_first") if getattr(args, name)]
    args.warnings = []
    if unused:
        args.warnings.append(f"{', '.join(unused)}: 더는 필요 없어 무시합니다. 비디오는 PyAV가 직접 읽고 씁니다.")
    settle_faces(parser, args)
    if args.face_enhance:
        args.warnings.append("얼굴은 프레임마다 따로 고치므로 비디오에서는 깜박일 수 있습니다.")
    return args


def _check_pipes(args: argparse.Namespace) -> None:
    """표준 입력과 출력으로는 할 수 없는 것을 시작하기 전에 막는다."""
    if STANDARD in args.input and len(args.input) > 1:
        raise UsageError("표준 입력(-)은 다른 입력과 함께 줄 수 없습니다.\n  해결: 입력을 하나만 주세요.")
    if STANDARD in (*args.input, args.output) and args.on_change == "split":
        raise UsageError(
            "표준 입력과 표준 출력은 나눌 수 없습니다.\n"
            "  이유: 나눌 곳을 먼저 찾으려면 두 번 읽어야 하고, 결과가 여럿입니다.\n"
            "  해결: 파일로 저장해 쓰거나 --on_change scale을 쓰세요."
        )
    if STANDARD in (*args.input, args.output) and args.resume:
        raise UsageError(
            "표준 입력과 표준 출력은 이어 할 수 없습니다.\n"
            "  되감을 수 없어 어디까지 했는지 다시 맞출 수 없습니다.\n"
            "  해결: 파일로 저장해 쓰거나 --resume을 빼세요."
        )
    if args.output != STANDARD and args.ext in STREAM_FORMATS:
        raise UsageError(f"--ext {args.ext}는 표준 출력(-o -)에만 씁니다.\n  해결: mp4, mkv, mov, webm을 쓰세요.")
    if args.output == STANDARD and args.ext not in ("auto", *STREAM_FORMATS):
        raise UsageError(
            f"표준 출력에는 {args.ext}를 쓸 수 없습니다.\n  되감아 고쳐 써야 하는 형식입니다.\n"
            "  해결: --ext nut나 --ext y4m을 쓰세요."
        )


def to_settings(args: argparse.Namespace) -> VideoSettings:
    """인자에서 설정을 읽는다."""
    from realesrgan.video.settings import VideoSettings

    return VideoSettings(
        outscale=args.outscale,
        codec=args.codec,
        crf=args.crf,
        preset=args.preset,
        pix_fmt=args.pix_fmt,
        encoder_options=dict(args.encoder_options),
        bitrate=args.bitrate,
        fps=args.fps,
        retime=args.retime,
        gaps=args.gaps,
        start=args.start,
        end=args.end,
        deinterlace=args.deinterlace,
        ivtc=args.ivtc,
        progressive=args.progressive,
        on_damage=args.on_damage,
        on_change=args.on_change,
        alpha_upsampler=args.alpha_upsampler,
        tile=args.tile,
        tile_pad=args.tile_pad,
        pre_pad=args.pre_pad,
        batch=args.batch,
        workers=args.num_process_per_gpu,
        resume=args.resume,
        overwrite=args.overwrite,
        shard_segments=args.shard_segments,
        preview=None if args.preview is None else expand_user(args.preview),
        steps=tuple(args.steps),
    )
