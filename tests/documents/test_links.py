"""링크, 앵커, 문서가 이름을 댄 파일이 모두 있다."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.conftest import ROOT
from tests.documents.pages import PAGES, anchors, inline_code, links, name_of

SOURCES = re.compile(r"(?:[A-Za-z0-9_.-]+/)*[A-Za-z0-9_-]+\.(?:py|yml|md)")
TREES = ("docs", "realesrgan", "options", "scripts", "tests", "inputs", "weights")
# 사람이 지을 파일의 이름.
MADE_BY_READER = re.compile(r"(?:my)\b|(?:.*/)?(?:my_|X\.)|FILE\.py|results\.md")


def sources() -> list[str]:
    found = [path for tree in TREES for path in (ROOT / tree).rglob("*")] + list(ROOT.iterdir())
    return [f"/{path.relative_to(ROOT).as_posix()}" for path in found if path.is_file()]


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_every_link_leads_somewhere(page: Path) -> None:
    broken = []
    for line, target in links(page):
        if re.match(r"\w+://|mailto:", target):
            continue
        path, _, anchor = target.partition("#")
        file = (page.parent / path).resolve() if path else page
        if not file.exists() or (anchor and anchor not in anchors(file)):
            broken.append(f"{line}: {target}")
    assert not broken


def test_every_named_file_exists() -> None:
    files = sources()
    missing = [
        f"{name_of(page)}:{line} {code}"
        for page in PAGES
        for line, code in inline_code(page)
        if SOURCES.fullmatch(code.removeprefix("../").removeprefix("./")) and not MADE_BY_READER.match(code)
        if not any(file.endswith("/" + code.removeprefix("../").removeprefix("./")) for file in files)
    ]
    assert not missing


def test_every_page_can_be_reached_from_the_guide() -> None:
    """CLAUDE.md에서 링크를 따라가면 모든 문서에 닿는다."""
    seen, waiting = set(), [ROOT / "CLAUDE.md"]
    while waiting:
        page = waiting.pop()
        if page in seen or page.suffix != ".md":
            continue
        seen.add(page)
        targets = (target.partition("#")[0] for _, target in links(page))
        waiting += [(page.parent / target).resolve() for target in targets if target and "://" not in target]
    assert {name_of(page) for page in PAGES} <= {name_of(page) for page in seen}


def test_documents_that_code_and_options_name_exist() -> None:
    """주석과 메시지가 가리키는 문서와 제목도 있다."""
    files = sources()
    texts = [*(ROOT / "realesrgan").rglob("*.py"), *(ROOT / "scripts").rglob("*.py"), *(ROOT / "options").glob("*.yml")]
    wrong = []
    for path in texts:
        text = path.read_text(encoding="utf-8")
        pages = re.findall(r"(?:[\w/]+/)?\w+_context\.md|README_KR\.md|bring_your_own\.md|TESTS\.md", text)
        wrong += [f"{name_of(path)}: {page}" for page in pages if not any(file.endswith("/" + page) for file in files)]
        for title in re.findall(r"README(?:_KR\.md)?의 '([^']+)'", text):
            if f"## {title}\n" not in (ROOT / "README_KR.md").read_text(encoding="utf-8"):
                wrong.append(f"{name_of(path)}: {title}")
    assert not wrong
