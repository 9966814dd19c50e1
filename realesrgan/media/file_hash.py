"""파일의 해시."""

from __future__ import annotations

import hashlib
from pathlib import Path

CHUNK = 1 << 20


def file_sha256(path: Path) -> str:
    """파일의 SHA-256을 16진수 글자로 돌려준다. 큰 파일도 조금씩 읽는다.

    Raises:
        OSError: 읽을 수 없을 때.
    """
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(CHUNK):
            digest.update(chunk)
    return digest.hexdigest()
