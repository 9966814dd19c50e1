"""문서가 이름을 댄 옵션 파일의 키가 있고, 있는 키는 문서에 있다."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest
import yaml

from tests.conftest import ROOT
from tests.documents.pages import PAGES, blocks, inline_code, name_of, read
from tests.training.extra import require_training_extra

require_training_extra()

import msgspec  # noqa: E402

from realesrgan.training.option_reference import TABLES, tables  # noqa: E402
from realesrgan.training.option_types import HARMLESS  # noqa: E402

# 사용자가 짓는 클래스의 인자를 보이는 문서. 그 문서는 다른 시험이 그대로 돌린다.
OF_READER = {"options/bring_your_own.md"}
BLOCKS = {"datasets", "train", "val", "path", "logger", "dist_params", "network_g", "network_d"}


def keys_in(value: Any) -> Iterator[str]:
    """블록 안의 모든 키."""
    if isinstance(value, dict):
        for key, inner in value.items():
            yield str(key)
            yield from keys_in(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from keys_in(inner)


def known_keys() -> set[str]:
    declared = {field.name for _, kind in TABLES for field in msgspec.structs.fields(kind)}
    harmless = {key for keys in HARMLESS.values() for key in keys}
    files = (yaml.safe_load(path.read_text(encoding="utf-8")) for path in (ROOT / "options").glob("*.yml"))
    return declared | harmless | {key for options in files for key in keys_in(options)} | {"val", "eps", "metric"}


def test_every_key_in_a_yaml_block_exists() -> None:
    known = known_keys()
    wrong = [
        f"{block}: {key}"
        for page in PAGES
        if name_of(page) not in OF_READER
        for block in blocks(page, "yaml", "yml")
        for key in keys_in(yaml.safe_load(block.text.replace(", ...", "")))
        if key not in known
    ]
    assert not wrong


def test_every_key_in_the_text_exists() -> None:
    known = known_keys()
    wrong = [
        f"{name_of(page)}:{line} {code}"
        for page in PAGES
        for line, code in inline_code(page)
        if re.fullmatch(r"[a-z_]+(?::[a-z_0-9]+)+(?:: .*|=.*)?", code) and code.partition(":")[0] in BLOCKS
        for key in re.split(r"=|: ", code)[0].split(":")
        if key not in known | BLOCKS
    ]
    assert not wrong


@pytest.mark.parametrize("place", [place for place, _ in TABLES])
def test_every_declared_key_has_its_row(place: str) -> None:
    kind = dict(TABLES)[place]
    page = read(ROOT / "options/options_context.md")
    assert all(f"| `{field.name}` |" in page for field in msgspec.structs.fields(kind))


def test_the_tables_are_those_of_the_declarations() -> None:
    assert tables() in read(ROOT / "options/options_context.md")
