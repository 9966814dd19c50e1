"""`scripts/`의 명령을 이 프로세스에서, 또는 사람이 쓰듯 프로세스로 부른다."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from tests.conftest import ROOT


def load_script(name: str) -> Any:
    """명령의 모듈."""
    spec = importlib.util.spec_from_file_location(f"script_{name}", ROOT / "scripts" / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def run_script(name: str, *arguments: object) -> int:
    """이 프로세스에서 부르고 종료 코드를 돌려준다. 인자가 잘못되었을 때의 코드도 돌려준다."""
    try:
        return load_script(name).main([str(argument) for argument in arguments])
    except SystemExit as stop:
        return stop.code


def start_script(name: str, *arguments: object, cwd: Path | None = None) -> subprocess.Popen[str]:
    """프로세스로 띄운다."""
    command = [sys.executable, str(ROOT / "scripts" / f"{name}.py"), *map(str, arguments)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=cwd)


def draw(
    path: Path, height: int = 40, width: int = 48, channels: int = 3, dtype: type = np.uint8, seed: int = 0
) -> Path:
    """매끄러운 무늬의 이미지를 쓴다."""
    path.parent.mkdir(parents=True, exist_ok=True)
    shape = (7, 8) if channels == 1 else (7, 8, channels)
    small = np.random.default_rng(seed).integers(0, np.iinfo(dtype).max, shape).astype(dtype)
    picture = cv2.resize(small, (width, height), interpolation=cv2.INTER_LINEAR)
    path.write_bytes(cv2.imencode(path.suffix, picture)[1].tobytes())
    return path


def read(path: Path) -> Any:
    """이미지를 있는 그대로 읽는다."""
    return cv2.imdecode(np.frombuffer(path.read_bytes(), np.uint8), cv2.IMREAD_UNCHANGED)


def leftovers(folder: Path) -> list[Path]:
    """쓰다 만 임시 파일들."""
    return list(folder.rglob(".realesrgan-*.part"))
