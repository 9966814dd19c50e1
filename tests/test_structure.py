"""폴더 사이의 의존은 한 방향이고, 쓰는 사람만의 것이 라이브러리로 새지 않는다."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

from tests.conftest import ROOT

PACKAGE = ROOT / "realesrgan"
# 아래에서 위로. 어떤 파일도 저보다 뒤의 것을 불러오지 않는다. 폴더가 아닌 파일은 제 이름으로 적는다.
ORDER = (
    *(
        "version",
        "errors",
        "util",
        "registry",
        "archs",
        "media",
        "media/video",
        "zoo",
        "inference/engines",
        "inference",
        "face",
        "video",
    ),
    *("basicsr_bridge", "data", "models", "training", "dataset_tools", "evaluation", "export", "utils"),
    *("web", "cli", "train", "__init__", "__main__"),
)
# 훈련에서만 쓰는 것. 이것을 불러와도 되는 자리.
TRAINING_ONLY = ("basicsr_bridge", "data", "models", "training", "train", "evaluation")


def place_of(path: Path) -> str:
    """파일이 든 폴더, 또는 맨 위의 파일 이름."""
    return path.parent.relative_to(PACKAGE).as_posix() if path.parent != PACKAGE else path.stem


def imports_of(path: Path) -> Iterator[tuple[int, str]]:
    """파일이 불러오는 모듈의 줄과 이름. 함수 안의 것과 자료형을 위한 것도 본다."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.lineno, node.module
            yield from ((node.lineno, f"{node.module}.{alias.name}") for alias in node.names)


def target_of(module: str) -> str | None:
    """모듈이 든 폴더, 또는 맨 위의 파일 이름. 이 패키지의 것이 아니면 None."""
    if not module.startswith("realesrgan."):
        return None
    parts = module.split(".")[1:]
    found = PACKAGE
    for index, part in enumerate(parts):
        if (found / part).is_dir():
            found = found / part
        elif (found / f"{part}.py").is_file():
            return found.relative_to(PACKAGE).as_posix() if index else part
        else:
            break
    return found.relative_to(PACKAGE).as_posix() if found != PACKAGE else None


FILES = sorted(PACKAGE.rglob("*.py"))


def test_imports_point_downwards_only() -> None:
    upward = [
        f"{path.relative_to(PACKAGE)}:{line} {module}"
        for path in FILES
        if (own := place_of(path)) != "__init__"
        for line, module in imports_of(path)
        if (target := target_of(module)) is not None and target != own and ORDER.index(target) > ORDER.index(own)
    ]
    assert not upward


def test_only_training_code_imports_basicsr_or_torchvision() -> None:
    found = [
        f"{path.relative_to(PACKAGE)}:{line} {module}"
        for path in FILES
        if place_of(path) not in TRAINING_ONLY
        for line, module in imports_of(path)
        if module.split(".")[0] in ("basicsr", "torchvision")
    ]
    assert not found


def test_arguments_stay_in_the_command_line() -> None:
    readers = [path for path in FILES if place_of(path) != "cli"]
    assert not [path for path in readers if "argparse" in {module for _, module in imports_of(path)}]
    assert not [path for path in readers if "Namespace" in path.read_text(encoding="utf-8")]


def test_only_the_page_imports_gradio() -> None:
    found = {place_of(path) for path in FILES if "gradio" in {module.split(".")[0] for _, module in imports_of(path)}}
    assert found <= {"web"}


def test_nothing_is_printed_by_the_library() -> None:
    printed = [
        f"{path.relative_to(PACKAGE)}:{node.lineno}"
        for path in FILES
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "print"
    ]
    assert not printed
