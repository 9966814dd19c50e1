"""쓰다가 난 오류를 한국어로 옮긴다."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

from realesrgan.errors import VideoWriteError
from realesrgan.media.video.library import import_av
from realesrgan.util.files import os_reason

_EINVAL = 22


def write_error(target: str | os.PathLike[str], error: BaseException) -> VideoWriteError:
    """쓰기 오류를 이유와 해결이 있는 예외로 만든다."""
    number = getattr(error, "errno", None)
    if isinstance(error, OSError) and isinstance(number, int) and 0 < number < 1000 and number != _EINVAL:
        reason, remedy = os_reason(error)
    else:
        detail = getattr(error, "strerror", None) or str(error)
        reason = f"부호기나 묶음 형식이 거절했습니다({detail})."
        remedy = "--codec이나 -o의 확장자를 바꾸어 보세요."
    return VideoWriteError(f"영상을 쓸 수 없습니다: {os.fspath(target)}\n  이유: {reason}\n  해결: {remedy}")


@contextmanager
def korean_write_errors(target: str | os.PathLike[str]) -> Iterator[None]:
    """블록에서 난 PyAV와 운영체제의 오류를 `VideoWriteError`로 바꾼다.

    Raises:
        VideoWriteError: 쓸 수 없을 때.
    """
    av = import_av()
    try:
        yield
    except (av.error.FFmpegError, OSError, ValueError) as error:
        raise write_error(target, error) from error
