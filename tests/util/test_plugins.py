"""사용자의 파일을 한 번만 불러오고, 못 불러오면 어느 파일의 어느 줄인지 말한다."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from realesrgan.errors import PluginError
from realesrgan.util.plugins import ENVIRONMENT, load_plugins


@pytest.fixture(autouse=True)
def _no_plugins_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(ENVIRONMENT, raising=False)


def write(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


def test_files_and_folders_are_loaded_once(tmp_path: Path) -> None:
    log = tmp_path / "log.txt"
    body = f"with open({str(log)!r}, 'a') as f: f.write(__name__ + chr(10))\nVALUE = __file__\n"
    one = write(tmp_path / "한 글" / "net.py", body)
    write(tmp_path / "folder" / "b.py", body)
    write(tmp_path / "folder" / "a.py", body)
    write(tmp_path / "folder" / "note.txt", "not python")
    first = load_plugins([one, tmp_path / "folder", str(one)])
    assert [Path(module.VALUE).name for module in first] == ["net.py", "a.py", "b.py"]
    assert load_plugins([tmp_path / "folder" / ".." / "한 글" / "net.py"]) == first[:1]
    assert len(log.read_text().split()) == 3
    assert all(sys.modules[module.__name__] is module for module in first)


def test_same_name_in_two_folders_are_two_modules(tmp_path: Path) -> None:
    one, two = (write(tmp_path / name / "net.py", f"VALUE = {name!r}") for name in ("one", "two"))
    assert [module.VALUE for module in load_plugins([one, two])] == ["one", "two"]


def test_environment_variable_names_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files = [write(tmp_path / f"{name}.py", f"VALUE = {name!r}") for name in "ab"]
    monkeypatch.setenv(ENVIRONMENT, os.pathsep.join(map(str, files)) + os.pathsep)
    extra = write(tmp_path / "c.py", "VALUE = 'c'")
    assert [module.VALUE for module in load_plugins([extra])] == ["a", "b", "c"]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("x = 1\nimport no_such_module_anywhere\n", "2번째 줄에서 ModuleNotFoundError.*no_such_module_anywhere"),
        ("x = 1\n\n  y = (\n", "3번째 줄에서 IndentationError"),
        ("raise SystemExit(3)", "1번째 줄에서 SystemExit: 3"),
        ("def f():\n    raise ValueError('까닭')\nf()\n", "2번째 줄에서 ValueError: 까닭"),
    ],
)
def test_a_broken_file_is_named_and_can_be_mended(tmp_path: Path, text: str, words: str) -> None:
    path = write(tmp_path / "broken.py", text)
    with pytest.raises(PluginError, match=rf"(?s)broken\.py.*{words}.*해결"):
        load_plugins([path])
    write(path, "VALUE = 1")
    assert load_plugins([path])[0].VALUE == 1


@pytest.mark.parametrize("name", ["nowhere.py", "note.txt"])
def test_what_is_no_python_file_is_named(tmp_path: Path, name: str) -> None:
    write(tmp_path / "note.txt", "hello")
    with pytest.raises(PluginError, match=rf"(?s){name}.*--plugin.*{ENVIRONMENT}"):
        load_plugins([tmp_path / name])


@pytest.mark.parametrize("path", ["", " "])
def test_an_empty_path_never_runs_the_files_of_the_working_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, path: str
) -> None:
    (tmp_path / "other.py").write_text("raise AssertionError", encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(PluginError, match="비어 있습니다"):
        load_plugins([path])
