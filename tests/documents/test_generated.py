"""코드에서 만든 표와 그림이 지금의 코드와 같고, 모듈마다 문서에 제 줄이 있다."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import generate_documents as documents
import pytest

from tests.conftest import ROOT
from tests.documents.pages import PAGES, Block, blocks, name_of, read
from tests.training.extra import require_training_extra

PACKAGE = ROOT / "realesrgan"
DIAGRAMS = [block for page in PAGES for block in blocks(page, "mermaid")]


@pytest.mark.parametrize("page", documents.pages(), ids=name_of)
def test_generated_parts_are_fresh(page: Path) -> None:
    require_training_extra()
    assert documents.render(page) == read(page), "python scripts/generate_documents.py를 실행하세요."


def test_the_guide_and_the_reference_have_generated_parts() -> None:
    names = {name_of(page) for page in documents.pages()}
    assert {"CLAUDE.md", "docs/commands.md", "realesrgan/realesrgan_context.md"} <= names


def context_of(folder: Path) -> str:
    """폴더의 문서. 없으면 패키지의 문서다."""
    own = folder / f"{folder.name}_context.md"
    return read(own) if own.is_file() else read(PACKAGE / "realesrgan_context.md")


def test_every_module_has_its_line() -> None:
    silent = [
        name_of(path)
        for path in sorted([*PACKAGE.rglob("*.py"), *(ROOT / "scripts").glob("*.py")])
        if not path.name.startswith("__")
        if not re.search(rf"^\|? ?.*`(?:[\w./]*/)?{re.escape(path.name)}`", context_of(path.parent), re.M)
    ]
    assert not silent


def test_every_command_is_on_the_reference_page() -> None:
    page = read(ROOT / "docs/commands.md")
    places = set(re.findall(r"<!-- 만듦: options ([\w-]+) -->", page))
    installed = set(re.findall(r'"(realesrgan[\w-]*)=', read(ROOT / "setup.py")))
    assert installed | {"train"} <= places and "<!-- 만듦: tools -->" in page


def test_every_folder_is_in_the_picture_and_the_arrows_are_imports() -> None:
    text = next(block.text for block in blocks(ROOT / "CLAUDE.md", "mermaid"))
    drawn = dict(re.findall(r'^ +(n_\w+)\["([\w/]+)<br/>', text, re.M))
    folders = {path.parent.relative_to(PACKAGE).as_posix() for path in PACKAGE.rglob("__init__.py")} - {".", "util"}
    assert folders <= set(drawn.values())
    arrows = {(drawn[start], drawn[end]) for start, end in re.findall(r"^ +(n_\w+) --> (n_\w+)$", text, re.M)}
    graph = documents.dependencies()
    assert arrows and all(end in graph[start] for start, end in arrows)


def test_the_reduction_keeps_what_can_be_reached() -> None:
    graph = {"a": {"b", "c"}, "b": {"c"}, "c": set()}
    assert documents.needed_edges(graph) == [("a", "b"), ("b", "c")]


CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")

LINE = re.compile(
    r'(?:flowchart|graph) (?:TD|LR|TB)|\w+(?:\["[^"\[\]]+"\]|\("[^"()]+"\)|\{"[^"{}]+"\})?'
    r'(?: (?:-->|---|-\.->)(?:\|"[^"|]+"\|)? \w+(?:\["[^"\[\]]+"\]|\("[^"()]+"\)|\{"[^"{}]+"\})?)*'
    r'|subgraph \w+(?:\["[^"\[\]]+"\])?|end|direction (?:TD|LR|TB)|classDef .*|class .*'
)


@pytest.mark.parametrize("block", DIAGRAMS, ids=str)
def test_diagrams_keep_to_the_grammar(block: Block) -> None:
    """그릴 수 있는 문법만 쓴다. 글은 따옴표 안에 있고 마디는 모두 이름이 있다."""
    lines = [line.strip() for line in block.text.splitlines() if line.strip()]
    assert re.match(r"(?:flowchart|graph) ", lines[0])
    assert not [line for line in lines if not LINE.fullmatch(line)]
    assert sum(line.startswith("subgraph") for line in lines) == lines.count("end")


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("mmdc") is None, reason="@mermaid-js/mermaid-cli가 없습니다")
@pytest.mark.skipif(CHROMIUM is None, reason="크로미움이 없습니다")
@pytest.mark.parametrize("block", DIAGRAMS, ids=str)
def test_diagrams_are_drawn(block: Block, tmp_path: Path) -> None:
    (tmp_path / "browser.json").write_text(f'{{"executablePath": "{CHROMIUM}", "args": ["--no-sandbox"]}}')
    (tmp_path / "one.mmd").write_text(block.text, encoding="utf-8")
    command = ["mmdc", "-p", "browser.json", "-i", "one.mmd", "-o", "one.svg"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0 and (tmp_path / "one.svg").stat().st_size, done.stderr
