"""문서(Markdown)를 읽는 함수들: 제목, 링크, 울타리(fence) 친 블록, 표, 명령."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from tests.conftest import ROOT

FOLDERS = ("docs", "realesrgan", "options", "scripts", "tests", "inputs", "weights", "assets")
PAGES = sorted([*ROOT.glob("*.md"), *(page for folder in FOLDERS for page in (ROOT / folder).rglob("*.md"))])
# `<!-- run -->`이나 `<!-- ci:이름 -->`을 바로 앞에 둔 블록은 시험이나 CI가 그대로 돌린다.
MARK = re.compile(r"<!-- *((?:run|ci)[^>]*?) *-->\s*$")


@dataclass(frozen=True)
class Block:
    """울타리 친 블록 하나. `mark`는 바로 앞의 표시(없으면 빈 글)."""

    page: Path
    line: int
    language: str
    text: str
    mark: str

    def __str__(self) -> str:
        return f"{name_of(self.page)}:{self.line}"


def name_of(page: Path) -> str:
    """저장소에서의 경로."""
    return page.relative_to(ROOT).as_posix()


@cache
def read(page: Path) -> str:
    return page.read_text(encoding="utf-8")


def blocks(page: Path, *languages: str) -> Iterator[Block]:
    """문서의 블록들. 말을 주면 그 말의 것만."""
    text = read(page)
    for found in re.finditer(r"^( *)```(\w*)\n(.*?)^\1```", text, re.S | re.M):
        if not languages or found[2] in languages:
            mark = MARK.search(text[: found.start()].rstrip(" "))
            yield Block(page, text[: found.start()].count("\n") + 1, found[2], found[3], mark[1] if mark else "")


def prose(page: Path) -> str:
    """블록과 HTML 주석을 뺀 글. 줄의 수는 그대로다."""

    def blank(found: re.Match[str]) -> str:
        return "\n" * found[0].count("\n")

    return re.sub(r"^( *)```.*?^\1```|<!--.*?-->", blank, read(page), flags=re.S | re.M)


def anchors(page: Path) -> set[str]:
    """제목마다의 앵커. GitHub가 짓는 법을 따른다."""
    titles = re.findall(r"^#{1,6} +(.+?) *$", prose(page), re.M)
    plain = (re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", title) for title in titles)
    return {re.sub(r"[^\w\- ]", "", title.lower()).strip().replace(" ", "-") for title in plain}


def links(page: Path) -> Iterator[tuple[int, str]]:
    """링크와 이미지의 `(줄, 대상)`."""
    for line, text in enumerate(prose(page).splitlines(), 1):
        yield from ((line, target) for target in re.findall(r"\]\(<?([^)>\s]+)>?\)", re.sub(r"`[^`]*`", "", text)))


def inline_code(page: Path) -> Iterator[tuple[int, str]]:
    """한 줄 안의 코드의 `(줄, 글)`."""
    for line, text in enumerate(prose(page).splitlines(), 1):
        yield from ((line, code) for code in re.findall(r"`([^`\n]+)`", text))


def sections(page: Path) -> Iterator[str]:
    """둘째 단계의 제목마다의 글(블록을 담은 채로). 첫 조각은 그 앞의 글이다."""
    return iter(re.split(r"^(?=## )", read(page), flags=re.M))


def commands(text: str) -> Iterator[list[str]]:
    """셸 블록의 명령들을 낱말로. 주석과 리디렉션은 뺀다."""
    for line in re.sub(r"\\\n", " ", text).splitlines():
        words: list[str] = []
        skip = False
        lexer = shlex.shlex(line, posix=True, punctuation_chars="|&;<>")
        lexer.whitespace_split = True
        lexer.escape = ""  # 윈도의 경로
        for word in lexer:
            if word in ("&&", "|", ";", "||"):
                if words:
                    yield words
                words = []
            elif set(word) <= set("<>&"):
                skip = True
            elif skip:
                skip = False
            else:
                words.append(word)
        if words:
            yield words
