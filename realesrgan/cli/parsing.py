"""명령들이 함께 쓰는 인자 해석기의 조각들. torch 없이 불러온다."""

from __future__ import annotations

import argparse
import math
import re
from collections.abc import Callable, Iterable
from fractions import Fraction
from typing import Any, Literal, NoReturn

from realesrgan.cli.console import EXIT_USAGE, say_error


class Formatter(argparse.RawDescriptionHelpFormatter):
    """도움말의 머리말을 한국어로 쓴다."""

    def __init__(self, prog: str) -> None:
        super().__init__(prog, max_help_position=32, width=100)

    def add_usage(
        self,
        usage: str | None,
        actions: Iterable[argparse.Action],
        groups: Iterable[Any],
        prefix: str | None = None,
    ) -> None:
        """쓰는 법의 머리말을 한국어로 바꾼다."""
        super().add_usage(usage, actions, groups, prefix or "사용법: ")


# argparse가 영어로 하는 말과 그 번역.
_TRANSLATIONS = (
    (r"unrecognized arguments: (.*)", r"모르는 옵션입니다: \1"),
    (r"the following arguments are required: (.*)", r"꼭 있어야 할 인자가 빠졌습니다: \1"),
    (r"one of the arguments (.*) is required", r"이 가운데 하나는 있어야 합니다: \1"),
    (r"argument (.*?): not allowed with argument (.*)", r"\1와(과) \2은(는) 함께 쓸 수 없습니다."),
    (r"argument (.*?): expected (\d+) arguments", r"\1에 값이 \2개 필요합니다."),
    (r"argument (.*?): expected one argument", r"\1에 값이 하나 필요합니다."),
    (r"argument (.*?): expected at least one argument", r"\1에 값이 하나 이상 필요합니다."),
    (r"argument (.*?): invalid choice: (.*?) \(choose from (.*)\)", r"\1에 쓸 수 없는 값입니다: \2. 쓸 수 있는 값: \3"),
    (r"argument (.*?): ignored explicit argument (.*)", r"\1에는 값을 줄 수 없습니다: \2"),
    (r"argument (.*?): (.*)", r"\1: \2"),
)


def _translate(message: str) -> str:
    for pattern, korean in _TRANSLATIONS:
        if re.fullmatch(pattern, message, re.S):
            return re.sub(pattern, korean, message, flags=re.S)
    return message


class Parser(argparse.ArgumentParser):
    """잘못된 인자를 한국어로 알리고 2로 끝난다."""

    def error(self, message: str) -> NoReturn:
        """무엇이 틀렸는지 한국어로 알리고 코드 2로 끝난다."""
        say_error(f"인자가 잘못되었습니다: {_translate(message)}\n  전체 옵션은 {self.prog} --help로 볼 수 있습니다.")
        raise SystemExit(EXIT_USAGE)


def number(
    convert: Callable[[str], Any], low: float, high: float = math.inf, *, above: bool = False
) -> Callable[[str], Any]:
    """범위를 확인하는 변환 함수를 만든다. `above`면 `low`보다 커야 한다."""

    def parse(text: str) -> Any:
        try:
            value = convert(text)
        except ValueError:
            raise argparse.ArgumentTypeError(f"'{text}'은(는) 수가 아닙니다.") from None
        if not low <= value <= high or (above and value == low) or not math.isfinite(value):
            bound = f"{low:g}보다 큰" if above else f"{low:g} 이상"
            top = "" if high == math.inf else f" {high:g} 이하"
            raise argparse.ArgumentTypeError(f"{bound}{top}의 수여야 합니다: {text}")
        return value

    return parse


def tile_size(text: str) -> int | Literal["auto"]:
    """`auto`나 0 이상의 정수를 읽는다."""
    return "auto" if text == "auto" else number(int, 0)(text)


def suffix(text: str) -> str:
    """파일 이름 뒤에 붙일 수 있는 글자인지 본다."""
    if any(letter in text for letter in '/\\:*?"<>|\0'):
        raise argparse.ArgumentTypeError(f"파일 이름에 쓸 수 없는 글자가 있습니다: {text}")
    return text


def parse_time(text: str) -> Fraction:
    """`12.5`, `1:02.5`, `1:02:03` 같은 글을 초로 읽는다.

    Raises:
        ValueError: 시각이 아닐 때.
    """
    parts = text.strip().split(":")
    if not 1 <= len(parts) <= 3 or any(not part for part in parts):
        raise ValueError(f"시각이 아닙니다: {text}")
    numbers = [Fraction(part) for part in parts]
    if any(number < 0 for number in numbers) or any(number >= 60 for number in numbers[1:]):
        raise ValueError(f"시각이 아닙니다: {text}")
    seconds = Fraction(0)
    for number in numbers:
        seconds = seconds * 60 + number
    return seconds
