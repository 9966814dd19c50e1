"""문서의 명령은 그 명령의 해석기가 읽을 수 있고, 돌린다고 표시한 것은 정말로 돈다."""

from __future__ import annotations

import importlib
import os
import re
import runpy
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any
from unittest import mock

import pytest

from tests.conftest import ROOT
from tests.documents.pages import PAGES, Block, blocks, commands, inline_code, name_of
from tests.scripts.command import load_script

SHELLS = [block for page in PAGES for block in blocks(page, "sh", "bat", "powershell")]
PYTHON = [block for page in PAGES for block in blocks(page, "python")]
# 이 저장소의 것이 아닌 명령. 모르는 명령은 시험이 떨어진다.
FOREIGN = {
    *("cd", "mkdir", "cp", "mv", "ls", "git", "bash", "export", "set", "source", "pip", "tensorboard", "nvidia-smi"),
    *("apt", "sudo", "brew", "winget", "py", "wget", "curl", "unzip", "sbatch", "kubectl", "docker", "find", "head"),
    *(".venv\\Scripts\\activate", "activate", "npx", "ffprobe", "nproc"),
}
FOREIGN_MODULES = {"pip", "pytest", "ruff", "mypy", "venv", "http.server"}
# 다른 프로그램의 옵션. 글 속의 `--이름`은 이것이 아니면 이 저장소의 명령 가운데 하나의 것이어야 한다.
FOREIGN_OPTIONS = {
    *("--no-build-isolation", "--nproc_per_node", "--nnodes", "--node_rank", "--logdir", "--extra-index-url"),
    *("--index-url", "--array", "--version", "--rdzv_backend", "--rdzv_endpoint", "--rdzv_id", "--max_restarts"),
}


def entry_points() -> dict[str, str]:
    """설치하면 생기는 명령과 그 모듈."""
    text = (ROOT / "setup.py").read_text(encoding="utf-8")
    return dict(re.findall(r'"(realesrgan[\w-]*)=([\w.]+):\w+"', text))


def setup_keywords() -> dict[str, Any]:
    with mock.patch("setuptools.setup") as setup:
        runpy.run_path(str(ROOT / "setup.py"))
    return setup.call_args.kwargs


def installed_parser(name: str) -> Callable[[Sequence[str]], object]:
    """설치하면 생기는 명령의 해석기."""
    if name == "realesrgan":
        return importlib.import_module("realesrgan.cli.arguments").parse_arguments
    if name == "realesrgan-video":
        return importlib.import_module("realesrgan.cli.video_arguments").parse_arguments
    home = importlib.import_module(entry_points()[name])
    return home.build_parser().parse_args


def script_parser(path: str) -> Callable[[Sequence[str]], object]:
    """파이썬 파일로 부르는 명령의 해석기."""
    if path == "inference_realesrgan.py":
        return installed_parser("realesrgan")
    if path == "inference_realesrgan_video.py":
        return installed_parser("realesrgan-video")
    if path == "realesrgan/train.py":
        return importlib.import_module("realesrgan.cli.train").build_parser().parse_args
    assert path.startswith("scripts/"), f"모르는 파일: {path}"
    name = Path(path).stem
    if not hasattr(load_script(name), "build_parser"):
        return lambda _words: None
    return load_script(name).build_parser().parse_args


def split(words: list[str]) -> tuple[str, list[str]] | None:
    """`(이 저장소의 명령, 인자)`. 다른 프로그램이면 None."""
    while words and (words[0] in ("/usr/bin/time", "-v", "sudo", "timeout") or re.fullmatch(r"[A-Z_]+=.*", words[0])):
        words = words[1:]
    if not words:
        return None
    first, rest = words[0], words[1:]
    if first == "torchrun":
        at = next(index for index, word in enumerate(rest) if word.endswith(".py"))
        return rest[at], rest[at + 1 :]
    if first in ("python", "python3", "py"):
        if rest[:1] == ["-m"]:
            assert rest[1] in FOREIGN_MODULES | {"realesrgan", "realesrgan.web"}, rest
            return ("realesrgan", rest[2:]) if rest[1] == "realesrgan" else None
        return None if rest[0].startswith("-") else (rest[0], rest[1:])
    if first in entry_points():
        return first, rest
    assert first in FOREIGN, f"모르는 명령: {first}"
    return None


SCRIPT = re.compile(r"\$\(|^\w+\(\) *\{|^(?:until|while|for|if) ", re.M)


@pytest.mark.parametrize("block", SHELLS, ids=str)
def test_every_command_is_understood(block: Block, capsys: pytest.CaptureFixture[str]) -> None:
    if SCRIPT.search(block.text):  # 함수와 되풀이가 있는 셸의 글은 문법만 본다
        assert subprocess.run(["bash", "-n"], input=block.text, text=True).returncode == 0
        return
    for words in commands(block.text):
        found = split(words)
        if found is None:
            continue
        name, arguments = found
        parse = installed_parser(name) if name in entry_points() else script_parser(name)
        try:
            parse(arguments)
        except SystemExit as stop:
            assert stop.code == 0, f"{' '.join(words)}\n{capsys.readouterr().err}"


def test_extras_and_files_of_the_commands_exist() -> None:
    extras = setup_keywords()["extras_require"]
    wrong = []
    for block in SHELLS:
        for words in commands(block.text):
            wrong += [
                f"{block}: {word}"
                for word in words
                for extra in (re.fullmatch(r"\.\[(.*)\]", word) or [None, ""])[1].split(",")
                if extra and extra not in extras
            ]
            if "pytest" in words:
                wrong += [
                    f"{block}: {word}" for word in words if word.startswith("tests/") and not (ROOT / word).exists()
                ]
            wrong += [
                f"{block}: {word}"
                for word in words
                if re.fullmatch(r"options/[a-z]\w*\.yml", word) and not (ROOT / word).is_file()
            ]
    assert not wrong


def all_parsers() -> dict[str, Any]:
    """이 저장소의 모든 명령의 해석기."""
    from realesrgan.cli import arguments, train, video_arguments

    found = {
        "realesrgan": arguments.build_parser(),
        "realesrgan-video": video_arguments.build_parser(),
        "realesrgan/train.py": train.build_parser(),
    }
    for name in sorted(path.stem for path in (ROOT / "scripts").glob("[!_]*.py")):
        module = load_script(name)
        if hasattr(module, "build_parser"):
            found[f"scripts/{name}.py"] = module.build_parser()
    for name, home in entry_points().items():
        if name not in found:
            found[name] = importlib.import_module(home).build_parser()
    return found


def test_every_option_that_a_page_names_exists() -> None:
    known = {word for parser in all_parsers().values() for word in parser._option_string_actions} | FOREIGN_OPTIONS
    wrong = [
        f"{name_of(page)}:{line} {option}"
        for page in PAGES
        for line, code in inline_code(page)
        if not re.match(r"(?:pip|python -m pip|npx|git|ruff|torchrun) ", code)
        for option in re.findall(r"(?<![\w-])--[a-zA-Z]\w[\w-]*", code)
        if option not in known
    ]
    assert not wrong


@pytest.mark.parametrize("block", PYTHON, ids=str)
def test_every_python_block_compiles(block: Block) -> None:
    compile(block.text, str(block), "exec")


RUNNABLE = [block for block in SHELLS + PYTHON if block.mark.startswith("run")]


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """문서를 읽는 사람의 폴더. 표본은 사본이고 코드는 이 저장소의 것이다."""
    shutil.copytree(ROOT / "inputs", tmp_path / "inputs")
    for name in ("assets", "options", "scripts", "realesrgan", "inference_realesrgan.py"):
        (tmp_path / name).symlink_to(ROOT / name)
    (tmp_path / "inference_realesrgan_video.py").symlink_to(ROOT / "inference_realesrgan_video.py")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("block", RUNNABLE, ids=str)
def test_marked_blocks_run(block: Block, place: Path) -> None:
    if "training" in block.mark:
        pytest.importorskip("basicsr")
    if "alone" in block.mark:  # 등록부를 바꾸는 예
        (place / "my_example.py").write_text(block.text, encoding="utf-8")
        here = {**os.environ, "PYTHONPATH": str(ROOT)}
        done = subprocess.run([sys.executable, "my_example.py"], env=here, capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, done.stderr
        return
    if block.language == "python":
        exec(compile(block.text, str(block), "exec"), {"__name__": "page"})  # noqa: S102  문서의 예를 돌린다
        return
    here = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    for words in commands(block.text):
        found = split(words)
        if found is None:
            assert words[0] in ("mkdir", "cp", "ls"), f"시험이 돌릴 수 없는 명령: {words}"
            done = subprocess.run(words, env=here, capture_output=True, text=True, timeout=60)
        else:
            name, arguments = found
            start = {"realesrgan": ["-m", "realesrgan"], "realesrgan-video": ["inference_realesrgan_video.py"]}
            command = [sys.executable, *start.get(name, [name]), *arguments]
            done = subprocess.run(command, env=here, capture_output=True, text=True, timeout=120)
        assert done.returncode == 0, f"{words}\n{done.stdout}\n{done.stderr}"


def test_the_pages_that_people_follow_are_run() -> None:
    """표시를 지워 시험을 비울 수 없게, 있어야 할 것의 수를 본다."""
    assert sum(block.language == "python" for block in RUNNABLE) >= 1
    assert sum(block.language == "sh" for block in RUNNABLE) >= 1
    marks = {block.mark for block in SHELLS if block.mark.startswith("ci:")}
    assert {"ci:upscale", "ci:video", "ci:test", "ci:lint", "ci:training"} <= marks
