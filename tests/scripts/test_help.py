"""모든 명령이 한국어 도움말을 바로 답하고, 잘못 쓰면 2로 끝나는지."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest

from tests.conftest import ROOT
from tests.scripts.command import run_script

# 밑줄로 시작하는 것은 명령이 아니다.
SCRIPTS = sorted(path.stem for path in (ROOT / "scripts").glob("[!_]*.py"))
CHECK = """
import pathlib, runpy, sys
sys.argv = [sys.argv[1], "--help"]
sys.path[0] = str(pathlib.Path(sys.argv[0]).parent)
try:
    runpy.run_path(sys.argv[0], run_name="script")["main"](["--help"])
except SystemExit as stop:
    assert stop.code == 0
heavy = {"torch", "numpy", "cv2", "PIL", "basicsr", "scipy", "onnx", "onnxruntime", "openvino", "ncnn", "lmdb"}
assert not heavy & set(sys.modules), heavy & set(sys.modules)
"""


@pytest.mark.parametrize("name", SCRIPTS)
def test_help_is_korean_and_loads_nothing_heavy(name: str) -> None:
    command = [sys.executable, "-c", CHECK, str(ROOT / "scripts" / f"{name}.py")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert "사용법:" in done.stdout and "옵션" in done.stdout and "예:" in done.stdout
    described = [line for line in done.stdout.splitlines() if re.match(r"  -", line)]
    assert described
    assert all(word not in done.stdout for word in ("usage:", "options:", "positional arguments", "show this help"))


@pytest.mark.parametrize("name", SCRIPTS)
def test_wrong_use_exits_two_in_korean(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_script(name, "--no_such_option") == 2
    errors = capsys.readouterr().err
    assert "인자가 잘못되었습니다" in errors
    assert "모르는 옵션입니다: --no_such_option" in errors or "꼭 있어야 할 인자" in errors


def test_an_empty_path_is_not_the_current_folder(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_script("extract_subimages", "--input", "", "--output", "o") == 2
    assert "빈 값입니다" in capsys.readouterr().err
