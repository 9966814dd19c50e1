"""원본에서 결과로 옮길 구간."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction


@dataclass(frozen=True)
class Window:
    """담을 구간(초). None은 자르지 않는다는 뜻이다.

    Attributes:
        first, last: 구간의 처음과 끝(원본의 시각).
        shift: 결과의 0이 될 원본의 시각.
        tolerant: 원본을 읽다가 난 오류를 알림으로만 남길지.
    """

    first: Fraction | None = None
    last: Fraction | None = None
    shift: Fraction = Fraction(0)
    tolerant: bool = False
