"""잰 값의 표에는 기계와 명령이 함께 있다."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.documents.pages import PAGES, name_of, sections

UNITS = re.compile(r"\d *(?:초|분|ms|MiB|MB|GiB|GB|dB|fps|GFLOP)|\| *\d+\.\d{2,} *\|")
HEADERS = re.compile(r"초|ms|메모리|시간|PSNR|SSIM|NIQE|dB|오차")
MACHINE = re.compile(r"Zen \d|Xeon|EPYC|RTX|H100|H200|두 코어|CPU 두 개|스레드 (?:하나|둘)|두 스레드")
COMMAND = re.compile(r"```sh\n|`(?:python|realesrgan|/usr/bin/time|bash)[ -]")
GENERATED = re.compile(r"<!-- (?:만듦: |표: 시작).*?<!-- (?:만듦 끝|표: 끝) -->", re.S)


def measured_tables(section: str) -> list[str]:
    """잰 값이 든 표. 코드에서 만든 표는 뺀다."""
    tables = re.findall(r"(?:^\|.*\n)+", GENERATED.sub("", section), re.M)
    return [
        table for table in tables if HEADERS.search(table.partition("\n")[0]) and UNITS.search(table.partition("\n")[2])
    ]


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_figures_carry_their_machine_and_command(page: Path) -> None:
    lacking = []
    for section in sections(page):
        for table in measured_tables(section):
            title = section.partition("\n")[0]
            if not MACHINE.search(section):
                lacking.append(f"기계가 없음: {title} / {table.partition(chr(10))[0]}")
            if not COMMAND.search(section):
                lacking.append(f"명령이 없음: {title} / {table.partition(chr(10))[0]}")
    assert not lacking
