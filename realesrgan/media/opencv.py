"""OpenCV를 불러오는 단 한 곳. 이 프로젝트의 다른 코드는 `cv2`를 여기서 얻는다."""

from __future__ import annotations

from typing import Any

from realesrgan.errors import RealESRGANError


def import_cv2() -> Any:
    """`cv2` 모듈을 돌려준다.

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
