"""사용자가 적은 경로를 다룬다."""

from __future__ import annotations

from pathlib import Path


def expand_user(text: str) -> Path:
    """`~`를 홈 폴더로 바꾼다. 그런 사용자가 없으면 글자 그대로의 경로로 본다."""
    try:
        return Path(text).expanduser()
    except RuntimeError:
        return Path(text)
