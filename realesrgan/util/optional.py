"""패키지를 쓸 때에야 불러오고, 없으면 무엇을 할지 말한다."""

from __future__ import annotations

import importlib
import importlib.util
from typing import Any

from realesrgan.errors import MissingPackageError, RealESRGANError


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


def import_cv2() -> Any:
    """`cv2` 모듈을 돌려준다. 이 프로젝트의 모든 코드가 여기서 얻는다.

    화면이 없는 리눅스에는 `opencv-python`이 찾는 `libGL` 같은 라이브러리가 없을 때가 많다.
    그때의 `ImportError`는 무엇을 해야 하는지 말하지 않으므로 여기서 바꾸어 말한다.

    Raises:
        RealESRGANError: OpenCV가 없거나 불러올 수 없을 때.
    """
    try:
        import cv2
    except ImportError as error:
        raise RealESRGANError(
            f"OpenCV(cv2)를 불러오지 못했습니다.\n"
            f"  이유: {error}\n"
            f"  해결: 화면이 없는 서버라면 아래 두 명령으로 화면 기능이 없는 OpenCV로 바꾸세요.\n"
            f"    pip uninstall -y opencv-python\n"
            f"    pip install opencv-python-headless"
        ) from error
    return cv2
