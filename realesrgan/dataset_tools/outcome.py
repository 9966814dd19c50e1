"""파일 하나를 다룬 결과."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Outcome:
    """파일 하나의 결과.

    Attributes:
        name: 알릴 이름(보통 입력의 경로).
        status: `done`, `skipped`, `failed` 가운데 하나.
        detail: 실패나 건너뜀의 이유.
    """

    name: str
    status: Literal["done", "skipped", "failed"]
    detail: str = ""
