"""사용자가 가리킨 파이썬 파일(플러그인)을 불러온다. 그 파일이 등록부에 제 네트워크를 올린다."""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import os
import re
import sys
import traceback
from collections.abc import Iterable
from pathlib import Path
from types import ModuleType

from realesrgan.errors import PluginError, RealESRGANError

# 파일이나 폴더를 `os.pathsep`로 이어 적는 환경 변수.
ENVIRONMENT = "REALESRGAN_PLUGINS"
_PREFIX = "realesrgan_plugin_"
_IMPORTS_BASICSR = re.compile(r"^\s*(?:from|import)\s+basicsr\b", re.MULTILINE)


def load_plugins(paths: Iterable[str | os.PathLike[str]] = ()) -> list[ModuleType]:
    """환경 변수 `REALESRGAN_PLUGINS`에 적힌 것과 `paths`의 파이썬 파일을 불러온다.

    폴더를 주면 그 안의 `*.py`를 이름 순서로 모두 불러온다. 같은 파일은 프로세스마다 한 번만 불러온다.

    Args:
        paths: 파일이나 폴더.

    Returns:
        파일마다의 모듈. 환경 변수의 것이 앞선다.

    Raises:
        PluginError: 파일이 없거나, 불러오는 동안 오류가 났을 때.
    """
    named = [name for name in os.environ.get(ENVIRONMENT, "").split(os.pathsep) if name.strip()]
    files = [file for path in (*named, *paths) for file in _files_of(path)]
    return [_load(file) for file in dict.fromkeys(files)]


def loaded_files() -> list[Path]:
    """이 프로세스가 불러온 플러그인의 파일들을 불러온 차례로. 자식 프로세스에 환경 변수로 물려줄 때 쓴다."""
    modules = [module for name, module in sys.modules.items() if name.startswith(_PREFIX)]
    return [Path(module.__file__) for module in modules if module.__file__ is not None]


def import_folder(package: str, folder: Path, suffix: str, skip: Iterable[str] = ()) -> list[str]:
    """폴더에서 이름이 `suffix.py`로 끝나는 모듈을 이름 순서로 모두 불러온다. BasicSR의 관습이다.

    Args:
        package: 그 폴더의 패키지 이름.
        folder: 폴더.
        suffix: `_arch`, `_dataset`, `_model`처럼 파일 이름의 끝.
        skip: 불러오지 않을 파일의 이름(`.py` 없이).

    Returns:
        불러온 모듈의 이름들.

    Raises:
        PluginError: 불러오는 동안 오류가 났을 때. 어느 파일의 몇째 줄인지를 담는다.
    """
    names = []
    for file in sorted(path for path in folder.glob(f"*{suffix}.py") if path.stem not in skip):
        name = f"{package}.{file.stem}"
        try:
            _prepare_basicsr(file)
            importlib.import_module(name)
        except RealESRGANError:
            raise
        except (Exception, SystemExit) as error:
            raise PluginError(
                f"{folder.name} 폴더의 파일을 불러오지 못했습니다: {file}\n  {_cause(error, file)}\n"
                "  해결: 그 파일을 고치거나 폴더에서 빼세요."
            ) from error
        names.append(name)
    return names


def _prepare_basicsr(file: Path) -> None:
    """BasicSR의 방식으로 쓴 파일이면 고친 BasicSR을 먼저 불러온다. 지금의 torchvision 곁에서는 그것만 불러와진다."""
    if _IMPORTS_BASICSR.search(file.read_text(encoding="utf-8", errors="replace")):
        importlib.import_module("realesrgan.basicsr_bridge")


def _files_of(text: str | os.PathLike[str]) -> list[Path]:
    # 빈 경로는 작업 폴더를 뜻하게 되어, 거기 있는 것을 모두 실행한다.
    if not os.fspath(text).strip():
        raise PluginError("--plugin의 경로가 비어 있습니다.\n  해결: 파일이나 폴더의 경로를 적으세요.")
    path = Path(text).expanduser().resolve()
    if path.is_dir():
        return sorted(file for file in path.glob("*.py") if file.is_file())
    if path.is_file() and path.suffix == ".py":
        return [path]
    reason = "파이썬 파일(.py)이 아닙니다" if path.exists() else "그런 파일이나 폴더가 없습니다"
    raise PluginError(
        f"플러그인을 불러오지 못했습니다: {path}\n  {reason}.\n"
        f"  해결: --plugin이나 환경 변수 {ENVIRONMENT}에 적은 경로를 확인하세요."
    )


def _load(file: Path) -> ModuleType:
    # 다른 폴더의 같은 이름과 섞이지 않으면서, 같은 파일이면 언제나 같은 이름이 되게 한다.
    name = f"{_PREFIX}{file.stem}_{hashlib.sha256(str(file).encode()).hexdigest()[:12]}"
    if name in sys.modules:
        return sys.modules[name]
    spec = importlib.util.spec_from_file_location(name, file)
    if spec is None or spec.loader is None:
        raise PluginError(
            f"플러그인을 불러오지 못했습니다: {file}\n  이유: 파이썬 파일로 읽을 수 없습니다.\n"
            "  해결: 확장자가 .py인 파일이나 패키지의 폴더를 주세요."
        )
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        _prepare_basicsr(file)
        spec.loader.exec_module(module)
    except (Exception, SystemExit) as error:
        del sys.modules[name]
        raise PluginError(
            f"플러그인을 불러오지 못했습니다: {file}\n  {_cause(error, file)}\n"
            "  해결: 그 파일을 고친 뒤 다시 실행하세요."
        ) from error
    except BaseException:
        del sys.modules[name]
        raise
    return module


def _cause(error: BaseException, file: Path) -> str:
    """오류의 종류와 말, 그리고 그 파일에서 오류가 난 줄."""
    if isinstance(error, SyntaxError):
        line = error.lineno
    else:
        lines = [step.lineno for step in traceback.extract_tb(error.__traceback__) if step.filename == str(file)]
        line = lines[-1] if lines else None
    text = "\n  ".join(f"{type(error).__name__}: {error}".splitlines())
    return f"{line}번째 줄에서 {text}" if line else text
