"""색의 꼬리표를 정한다."""

from __future__ import annotations

from dataclasses import replace

from realesrgan.media.video.types import Colour

UNSPECIFIED = 2
HD_HEIGHT = 720
BT709 = (1, 1, 1)
"""BT.709의 행렬, 원색, 전달 함수(ITU-T H.273 표 2..4)."""
BT601_525 = (6, 6, 6)
BT601_625 = (5, 5, 6)
_LINES_625 = (576, 288)


def guessed_tags(height: int) -> tuple[int, int, int]:
    """꼬리표가 없을 때 재생기들이 짐작하는 `(행렬, 원색, 전달 함수)`. 720줄부터 BT.709로 본다.

    Args:
        height: 프레임의 높이(픽셀).
    """
    if height >= HD_HEIGHT:
        return BT709
    return BT601_625 if height in _LINES_625 else BT601_525


def concrete_colour(matrix: int, primaries: int, transfer: int, full: bool | None, family: str, height: int) -> Colour:
    """파일의 꼬리표에서 쓸 수 있는 색을 정한다. 행렬과 범위는 반드시 정해진다.

    Args:
        matrix, primaries, transfer: ITU-T H.273의 번호. 2는 모름.
        full: 전체 범위인지. None이면 모름(제한 범위로 본다. RGB는 전체 범위).
        family: 픽셀 형식의 갈래(`yuv`, `rgb`, `gray`).
        height: 프레임의 높이(픽셀).
    """
    if family == "rgb":
        return Colour(0, primaries, transfer, True if full is None else full)
    # 행렬 0은 RGB라는 뜻이라 YUV에는 있을 수 없고, 3은 예약된 번호다. 잘못 적힌 파일로 보고 짐작한다.
    if matrix in (UNSPECIFIED, 0, 3):
        matrix = _matrix_by_primaries(primaries) or guessed_tags(height)[0]
    return Colour(matrix, primaries, transfer, bool(full))


def _matrix_by_primaries(primaries: int) -> int | None:
    """원색만 적힌 파일의 행렬. BT.2020의 원색에 BT.709의 행렬을 쓰면 색이 틀어진다."""
    return {1: 1, 5: 5, 6: 6, 7: 7, 9: 9}.get(primaries)


def encoded_colour(colour: Colour, family: str, source_height: int, height: int) -> Colour:
    """결과에 적을 색. 크기가 720줄을 넘나들어 재생기의 짐작이 달라지면 모르던 것도 적는다.

    Args:
        colour: 입력의 색.
        family: 결과의 픽셀 갈래(`yuv`, `rgb`, `gray`).
        source_height, height: 입력과 결과의 높이(픽셀).
    """
    matrix = colour.matrix
    full = colour.full_range
    if family == "rgb":
        matrix, full = 0, True
    elif matrix == 0:
        # RGB를 YUV로 옮길 때는 우리가 행렬과 범위를 고른다.
        matrix, full = _matrix_by_primaries(colour.primaries) or guessed_tags(height)[0], False
    result = replace(colour, matrix=matrix, full_range=full)
    before, after = guessed_tags(source_height), guessed_tags(height)
    if before == after or colour.matrix == 0:
        return result
    if result.primaries == UNSPECIFIED:
        result = replace(result, primaries={1: 1, 5: 5, 6: 6}.get(matrix, UNSPECIFIED))
    if result.transfer == UNSPECIFIED:
        result = replace(result, transfer={1: 1, 5: 6, 6: 6}.get(matrix, UNSPECIFIED))
    return result
