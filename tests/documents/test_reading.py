"""문서는 짧고, 어디에 서 있는지부터 말한다."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.conftest import ROOT
from tests.documents.pages import PAGES, name_of, read

# 사람이 소리 없이 읽는 빠르기(분당 글자)와, 한 문서를 읽는 한도(분).
SYLLABLES_A_MINUTE, MINUTES = 550, 10
GENERATED = re.compile(r"<!-- (?:만듦: |표: 시작).*?<!-- (?:만듦 끝|표: 끝) -->", re.S)
# 쓰는 사람에게 놓인 곳만 말하는 짧은 문서.
NOTES = {"README_KR.md", "inputs/README.md", "weights/README.md", "options/bring_your_own.md"}
CONTEXTS = [page for page in PAGES if name_of(page) not in NOTES]


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_a_page_is_read_in_ten_minutes(page: Path) -> None:
    """찾아보는 표와 코드는 세지 않는다."""
    text = re.sub(r"```.*?```", "", GENERATED.sub("", read(page)), flags=re.S)
    assert len(re.findall("[가-힣]", text)) / SYLLABLES_A_MINUTE < MINUTES


@pytest.mark.parametrize("page", CONTEXTS, ids=name_of)
def test_a_page_says_where_it_stands(page: Path) -> None:
    """첫 제목 바로 다음에 단계와 위아래의 문서를 적는다."""
    head = read(page).split("\n## ")[0]
    if not re.search(r"^> 단계 [012]\.", head, re.M):
        pytest.fail("첫 제목 다음에 '> 단계 N. 위: ... · 옆: ... · 아래: ...'를 적으세요.")
    assert re.search(r"\]\([^)]+\.md", head)


def test_pictures_are_small_and_shown() -> None:
    """그림은 150KB 아래이고 어느 문서가 보인다."""
    pictures = [path for path in (ROOT / "assets").iterdir() if path.suffix in (".png", ".jpg")]
    texts = "".join(map(read, PAGES))
    assert not [path.name for path in pictures if path.stat().st_size > 150_000 or f"assets/{path.name}" not in texts]
