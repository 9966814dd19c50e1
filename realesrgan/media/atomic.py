"""반쯤 쓴 파일을 남기지 않는 쓰기."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO


@contextmanager
def atomic_file(target: Path) -> Iterator[BinaryIO]:
    """`target`을 원자적으로(atomic) 바꿀 파일을 연다. 읽고 되감아 고칠 수 있다(seek).

    대상 곁의 임시 파일에 쓰고, 블록이 무사히 끝나면 디스크에 내린(fsync) 뒤 이름을 바꾼다.
    Ctrl-C를 포함해 어떤 예외에서도 임시 파일을 지우며 대상은 건드리지 않는다.
    권한은 새로 만든 보통 파일과 같다(umask). 대상이 심볼릭 링크면 가리키는 파일을 바꾼다.

    Raises:
        OSError: 만들거나 쓰거나 이름을 바꿀 수 없을 때.
    """
    target = Path(os.path.realpath(target))
    # 대상의 이름을 넣지 않는다. 긴 한글 이름에 덧붙이면 파일 이름의 한도(255바이트)를 넘을 수 있다.
    temporary = target.with_name(f".realesrgan-{secrets.token_hex(8)}.part")
    flags = os.O_CREAT | os.O_EXCL | os.O_RDWR | getattr(os, "O_BINARY", 0) | getattr(os, "O_CLOEXEC", 0)
    try:
        with os.fdopen(os.open(temporary, flags, 0o666), "w+b") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(target)
    except BaseException:
        with suppress(OSError):
            temporary.unlink()
        raise
