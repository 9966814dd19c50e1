"""훈련 명령의 인자: 훈련 패키지 없이, 어느 폴더에서 불러도 한국어로 바로 답한다."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import ROOT

TRAIN = ROOT / "realesrgan" / "train.py"
# 설치된 이 패키지도, 훈련 패키지도 보이지 않는 것처럼 만든다.
BLOCKED = """
import runpy, sys
class Block:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {blocked!r}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)
sys.meta_path.insert(0, Block())
sys.argv = [{script!r}, *{arguments!r}]
sys.path[0] = {folder!r}
try:
    runpy.run_path(sys.argv[0], run_name="__main__")
finally:
    print("무거운 것:", sorted({{"torch", "basicsr", "numpy", "cv2", "tqdm"}} & set(sys.modules)))
"""


def run_blocked(*arguments: str, blocked: tuple[str, ...] = ("basicsr", "torch"), cwd: Path) -> tuple[int, str, str]:
    code = BLOCKED.format(blocked=blocked, script=str(TRAIN), arguments=arguments, folder=str(TRAIN.parent))
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, timeout=60)
    return done.returncode, done.stdout, done.stderr


def test_help_is_korean_and_needs_no_training_package(tmp_path: Path) -> None:
    code, out, errors = run_blocked("--help", cwd=tmp_path)
    assert code == 0, errors
    assert "사용법: train.py" in out and "옵션:" in out and "예:" in out and "무거운 것: []" in out
    assert not any(word in out for word in ("usage:", "options:", "show this help"))
    for flag in ("-opt", "--launcher", "--auto_resume", "--debug", "--local_rank", "--force_yml", "--plugin"):
        assert flag in out


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((), "꼭 있어야 할 인자가 빠졌습니다: -opt"),
        (("-opt", "x.yml", "--no_such"), "모르는 옵션입니다: --no_such"),
        (("-opt", "x.yml", "--launcher", "mpi"), "--launcher에 쓸 수 없는 값입니다"),
        (("-opt", "x.yml", "--local_rank", "first"), "--local_rank"),
        (("-opt",), "-opt에 값이 하나 필요합니다"),
    ],
)
def test_wrong_arguments_exit_two_in_korean(tmp_path: Path, arguments: tuple[str, ...], words: str) -> None:
    code, out, errors = run_blocked(*arguments, cwd=tmp_path)
    assert code == 2 and words in errors and "무거운 것: []" in out
    assert "Traceback" not in errors and "usage:" not in errors


def test_without_basicsr_the_command_says_what_to_install(tmp_path: Path) -> None:
    # BasicSR을 찾는 일은 find_spec으로 하므로, 없는 것처럼 보이게 하려면 그것을 막는다.
    code = (
        "import importlib.util, sys\n"
        "found = importlib.util.find_spec\n"
        "importlib.util.find_spec = lambda name, *rest: None if name == 'basicsr' else found(name, *rest)\n"
        "from realesrgan.train import main\n"
        "sys.exit(main(['-opt', 'x.yml']))\n"
    )
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=120)
    assert done.returncode == 1, done.stderr
    assert "basicsr" in done.stderr and "해결" in done.stderr and "Traceback" not in done.stderr


def test_help_answers_at_once_because_no_heavy_package_is_loaded() -> None:
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(
        [sys.executable, "-X", "importtime", str(TRAIN), "--help"],
        cwd="/",
        env=environment,
        check=True,
        capture_output=True,
        text=True,
    )
    loaded = {line.rpartition("|")[2].strip().partition(".")[0] for line in done.stderr.splitlines()}
    assert "argparse" in loaded
    assert not loaded & {"torch", "torchvision", "basicsr", "numpy", "cv2", "scipy", "yaml", "msgspec"}


def test_both_local_rank_spellings() -> None:
    from realesrgan.cli.train import build_parser

    for flag in ("--local_rank", "--local-rank"):
        assert build_parser().parse_args(["-opt", "x", flag, "3"]).local_rank == 3


def test_an_older_training_install_without_msgspec_is_told_what_to_install(tmp_path: Path) -> None:
    for package in ("basicsr", "torchvision", "scipy"):
        if importlib.util.find_spec(package) is None:
            pytest.skip(f"훈련 패키지가 없다: {package}")
    options = str(ROOT / "options" / "quickstart_cpu.yml")
    code, _, errors = run_blocked("-opt", options, blocked=("msgspec",), cwd=tmp_path)
    assert code != 0 and "python -m pip install msgspec" in errors and "Traceback" not in errors
