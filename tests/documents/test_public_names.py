"""공개 이름마다 돌아가는 예가 있다."""

from __future__ import annotations

import ast
import subprocess
import sys

import realesrgan
from tests.documents.pages import PAGES, blocks


def used_names(code: str) -> set[str]:
    """이 패키지에서 쓴 이름. `import realesrgan as sr`의 `sr.이름`과 `from realesrgan import 이름`."""
    tree = ast.parse(code)
    modules = {
        alias.asname or alias.name
        for node in ast.walk(tree)
        if isinstance(node, ast.Import)
        for alias in node.names
        if alias.name == "realesrgan"
    }
    names = {
        node.attr
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id in modules
    }
    return names | {
        alias.name
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and node.module == "realesrgan"
        for alias in node.names
    }


def test_every_public_name_has_a_running_example() -> None:
    runnable = [block for page in PAGES for block in blocks(page, "python") if block.mark.startswith("run")]
    shown = set().union(*(used_names(block.text) for block in runnable))
    assert set(realesrgan.__all__) <= shown


def test_the_package_answers_its_version_without_torch() -> None:
    code = "import sys, realesrgan; print(realesrgan.__version__); assert 'torch' not in sys.modules"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout.strip() == realesrgan.__version__
