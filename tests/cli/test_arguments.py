"""사진 명령의 인자가 예전과 같이 받아들여지고, 잘못 쓰면 무엇이 틀렸는지 말하는지."""

from __future__ import annotations

import re
from fractions import Fraction

import pytest

from realesrgan.cli.arguments import build_parser, parse_arguments
from realesrgan.cli.video_arguments import parse_arguments as parse_video_arguments
from realesrgan.errors import UsageError


def test_defaults_are_those_users_know() -> None:
    args = parse_arguments([])
    assert (args.input, args.output, args.model_name) == (["inputs"], "results", "RealESRGAN_x4plus")
    assert (args.outscale, args.suffix, args.ext, args.alpha_upsampler) == (None, "out", "auto", "realesrgan")
    assert (args.tile, args.tile_pad, args.pre_pad, args.batch) == ("auto", 10, 0, 1)
    assert (args.precision, args.device, args.gpu_id, args.named) == ("auto", None, None, False)


def test_every_option_of_the_old_command_is_accepted() -> None:
    line = (
        "-i a.png -n realesr-general-x4v3 -o out -dn 0.3 -s 3.5 --model_path w.pth --suffix big -t 400 --tile_pad 8 "
        "--pre_pad 2 --fp32 --alpha_upsampler bicubic --ext jpg -g 1"
    )
    args = parse_arguments(line.split())
    assert (args.input, args.model_name, args.denoise_strength) == (["a.png"], "realesr-general-x4v3", 0.3)
    assert (args.outscale, args.tile, args.precision, args.gpu_id) == (3.5, 400, "fp32", 1)
    assert args.named
    long = "--input a --model_name RealESRGAN_x2plus --output b --denoise_strength 1 --outscale 2 --tile 0 --gpu-id 0"
    assert parse_arguments(long.split()).tile == 0


@pytest.mark.parametrize("name", ["-i", "-o", "--report"])
def test_an_empty_path_is_not_the_current_folder(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    """빈 셸 변수(`-i "$FOLDER"`)가 작업 폴더의 모든 이미지를 키우게 하지 않는다."""
    for parse in (parse_arguments, parse_video_arguments):
        with pytest.raises(SystemExit):
            parse(["-i", "a.png", name, ""])
        assert "빈 값입니다" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("-s 0", "0보다 큰 100 이하의 수여야"),
        ("-n realesr-animevideov3,RealESRGAN_x4plus --mix 0,1", "0보다 큰 수여야"),
        ("-n realesr-animevideov3,RealESRGAN_x2plus", "배율이 다른 모델은 평균할 수 없습니다: realesr"),
        ("-s nan", "수여야 합니다"),
        ("-s x", "수가 아닙니다"),
        ("-t -1", "0 이상의 수여야"),
        ("-dn 1.5", "1 이하"),
        ("--quality 101", "100 이하"),
        ("--ext xyz", "쓸 수 없는 형식"),
        ("--fp32 --precision fp16", "함께 쓸 수 없습니다"),
        ("--device cpu -g 0", "하나만"),
        ("--nonsense", "모르는 옵션입니다: --nonsense"),
        ("-n", "-n/--model_name에 값이 하나 필요합니다"),
        ("-i", "값이 하나 이상 필요합니다"),
        ("--precision int8", "쓸 수 없는 값입니다: 'int8'"),
        ("--fp32=1", "값을 줄 수 없습니다"),
        ("--suffix a/b", "쓸 수 없는 글자"),
        ("-s 1e308", "100 이하"),
        ("--blend 1.5", "1 이하"),
        ("--blend 0.5 --steps blend=0.7", "함께 쓸 수 없습니다"),
    ],
)
def test_wrong_use_exits_two_and_says_why_in_korean(line: str, words: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        parse_arguments(line.split())
    assert caught.value.code == 2
    message = capsys.readouterr().err
    assert words in message
    assert "--help" in message


def test_unknown_model_is_refused_before_anything_else() -> None:
    with pytest.raises(UsageError, match="모르는 모델"):
        parse_arguments(["-n", "RealESRGAN_x8"])


def test_limit_of_zero_means_no_limit() -> None:
    assert parse_arguments(["--max_pixels", "0"]).max_pixels is None


@pytest.mark.parametrize(
    ("text", "rate"),
    [
        ("23.976", Fraction(24000, 1001)), ("23.98", Fraction(24000, 1001)), ("29.97", Fraction(30000, 1001)),
        ("59.94", Fraction(60000, 1001)), ("12.5", Fraction(25, 2)), ("24.00", Fraction(24)), ("25", Fraction(25)),
        ("30000/1001", Fraction(30000, 1001)), ("23.9", Fraction(239, 10)),
    ],
)  # fmt: skip
def test_a_rate_written_short_is_the_exact_one(text: str, rate: Fraction) -> None:
    assert parse_video_arguments(["-i", "a.mp4", "--fps", text]).fps == rate


def test_blend_is_short_for_a_step() -> None:
    assert parse_arguments(["--blend", "0.7"]).steps == ["blend=0.7"]
    assert parse_arguments(["--steps", "a", "b=1", "--blend", "0"]).steps == ["blend=0.0", "a", "b=1"]
    assert parse_arguments(["--blend", "1"]).steps == parse_arguments([]).steps == []


def test_plugins_are_gathered_in_order_and_the_engine_is_chosen_later() -> None:
    args = parse_arguments(["--plugin", "a.py", "--plugin", "b", "--backend", "toy"])
    assert (args.plugin, args.backend) == (["a.py", "b"], "toy")
    assert (parse_arguments([]).plugin, parse_arguments([]).backend) == ([], "auto")


def test_help_is_korean_and_covers_every_option() -> None:
    text = build_parser().format_help()
    for heading in ("사용법", "입력과 출력", "모델", "결과", "계산", "그 밖", "예:"):
        assert heading in text
    for action in build_parser()._actions:
        assert action.option_strings[-1] in text
        assert re.search("[가-힣]", action.help or ""), action.option_strings
