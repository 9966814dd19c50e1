"""없어도 되는 꾸러미를 쓸 때에야 불러온다."""

from __future__ import annotations

import importlib
import importlib.util
from typing import Any

from realesrgan.errors import MissingPackageError


def is_installed(package: str) -> bool:
    """꾸러미가 설치되어 있는지 불러오지 않고 알아본다."""
    return importlib.util.find_spec(package) is not None


def import_optional(module: str, purpose: str, install: str) -> Any:
    """모듈을 불러온다.

    Args:
        module: 모듈 이름.
        purpose: 무엇에 쓰는지. 오류에 적는다(예: "ONNX로 내보내려면").
        install: 설치 명령.

    Raises:
        MissingPackageError: 없거나 불러올 수 없을 때.
    """
    try:
        return importlib.import_module(module)
    except (ImportError, OSError, RuntimeError) as error:
        # 설치는 되어 있어도 함께 쓰는 라이브러리의 판이 달라 OSError나 RuntimeError로 실패하는 꾸러미가 있다.
        package = module.partition(".")[0]
        raise MissingPackageError(
            f"{purpose} {package} 꾸러미가 필요합니다.\n  불러오지 못했습니다: {error}\n  해결: {install}"
        ) from error
