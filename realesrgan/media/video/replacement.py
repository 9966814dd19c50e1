"""경로로만 쓸 수 있는 라이브러리를 위한 원자적(atomic) 쓰기."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path


def hidden_beside(target: Path) -> tuple[Path, Path]:
    """`(진짜 대상, 곁의 숨은 임시 이름)`을 돌려준다. 심볼릭 링크면 가리키는 파일을 바꾼다."""
    target = Path(os.path.realpath(target))
    return target, target.with_name(f".realesrgan-{secrets.token_hex(8)}.part")


def settle(temporary: Path, target: Path) -> None:
    """다 쓴 임시 파일을 디스크에 내리고(fsync) 제 이름을 준다.

    Raises:
        OSError: 내리거나 이름을 바꿀 수 없을 때.
    """
    handle = os.open(temporary, os.O_RDWR | getattr(os, "O_BINARY", 0))
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
    temporary.replace(target)


@contextmanager
def atomic_path(target: Path) -> Iterator[Path]:
    """`target`을 원자적으로 바꿀 임시 경로를 준다. 블록이 무사히 끝나야 이름이 바뀌고, 아니면 지운다.

    Raises:
        OSError: 이름을 바꿀 수 없을 때.
    """
    real, temporary = hidden_beside(target)
    try:
        yield temporary
        settle(temporary, real)
    except BaseException:
        with suppress(OSError):
            temporary.unlink()
        raise
