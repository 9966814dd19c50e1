"""PyAV를 늦게 불러온다. 영상을 다루지 않는 사람은 PyAV가 없어도 된다."""

from __future__ import annotations

from typing import Any

from realesrgan.errors import VideoDependencyError


def import_av() -> Any:
    """PyAV 모듈 `av`를 돌려준다.

    Raises:
        VideoDependencyError: PyAV가 설치되어 있지 않거나 불러올 수 없을 때.
    """
    try:
        import av
        import av.error
    except ImportError as error:
        raise VideoDependencyError(
            f"영상을 읽고 쓰는 PyAV를 불러올 수 없습니다.\n  이유: {error}\n"
            '  해결: python -m pip install "av>=17.1" 로 설치한 뒤 다시 실행하세요.'
        ) from error
    return av
