"""색의 꼬리표와 HDR 메타데이터를 정하고 옮긴다."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from realesrgan.errors import VideoFormatError
from realesrgan.media.video.encoders import ENCODERS, Encoder
from realesrgan.media.video.types import Colour, VideoInfo

UNSPECIFIED = 2
HD_HEIGHT = 720
BT709 = (1, 1, 1)
"""BT.709의 행렬, 원색, 전달 함수(ITU-T H.273 표 2..4)."""
BT601_525 = (6, 6, 6)
BT601_625 = (5, 5, 6)
_LINES_625 = (576, 288)
_MATRIX_BY_PRIMARIES = {1: 1, 5: 5, 6: 6, 7: 7, 9: 9}
"""원색만 적힌 파일의 행렬. BT.2020의 원색에 BT.709의 행렬을 쓰면 색이 틀어진다."""


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
        matrix = _MATRIX_BY_PRIMARIES.get(primaries) or guessed_tags(height)[0]
    return Colour(matrix, primaries, transfer, bool(full))


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
        matrix, full = _MATRIX_BY_PRIMARIES.get(colour.primaries) or guessed_tags(height)[0], False
    # 적지 않은 것을 재생기들은 왼쪽으로 본다.
    result = replace(colour, matrix=matrix, full_range=full, siting="left")
    before, after = guessed_tags(source_height), guessed_tags(height)
    if before == after or colour.matrix == 0:
        return result
    if result.primaries == UNSPECIFIED:
        result = replace(result, primaries={1: 1, 5: 5, 6: 6}.get(matrix, UNSPECIFIED))
    if result.transfer == UNSPECIFIED:
        result = replace(result, transfer={1: 1, 5: 6, 6: 6}.get(matrix, UNSPECIFIED))
    return result


_CHROMATICITY = 50000
"""x265의 색도 단위는 0.00002다(SMPTE ST 2086, ITU-T H.265 D.3.28)."""
_LUMINANCE = 10000
"""x265의 휘도 단위는 0.0001 cd/m2다."""


def check_hdr(info: VideoInfo, encoder: Encoder, bits: int) -> None:
    """HDR 비디오를 이 인코더와 비트 수로 잃지 않고 담을 수 있는지 본다.

    Raises:
        VideoFormatError: 밑바탕이 없는 Dolby Vision이거나, 8비트거나, 정적 메타데이터를 담을 수 없는 인코더일 때.
    """
    carriers = ", ".join(name for name, item in ENCODERS.items() if item.static_hdr)
    if info.side_data.get("dolby_vision") == 0:
        raise VideoFormatError(
            f"Dolby Vision만으로 만든 비디오는 키울 수 없습니다: {info.name}\n"
            "  이유: 밑바탕의 색이 HDR10이나 HLG가 아니라(프로파일 5 등) 그대로 키우면 보라색과 초록색으로 보입니다.\n"
            "  해결: 다른 프로그램으로 HDR10이나 HLG로 바꾼 뒤 다시 하세요."
        )
    if not info.colour.is_hdr:
        return
    if bits < 10:
        raise VideoFormatError(
            f"HDR 비디오는 {encoder.name}의 8비트로 담을 수 없습니다: {info.name}\n"
            "  이유: PQ와 HLG는 10비트보다 얕으면 띠가 집니다.\n"
            f"  해결: --codec에 {carriers} 가운데 하나를 쓰고 --pix_fmt는 10비트 형식으로 하세요."
        )
    static = {"mastering_display", "content_light"} & set(info.side_data)
    if static and not encoder.static_hdr:
        raise VideoFormatError(
            f"HDR 정적 메타데이터를 {encoder.name}에 담을 수 없습니다: {info.name}\n"
            "  이유: 화면의 밝기 정보(mastering display, content light)를 받는 옵션이 없습니다.\n"
            f"  해결: --codec에 {carriers} 가운데 하나를 쓰세요."
        )


_DOLBY_BASES = {1: "HDR10", 2: "SDR", 4: "HLG", 6: "HDR10"}


def lost_dynamic_hdr(info: VideoInfo) -> list[str]:
    """어느 인코더에도 담지 못하는 동적 HDR의 알림. HDR10+는 `messages.lost_messages`가 본다."""
    found, notes = info.side_data, []
    if found.get("dolby_vision"):
        base = _DOLBY_BASES.get(found["dolby_vision"], "HDR10")
        notes.append(f"Dolby Vision의 동적 메타데이터는 담지 못합니다. 그 밑바탕인 {base}로 담습니다.")
    if found.get("vivid"):
        notes.append("HDR Vivid의 동적 메타데이터는 담지 못합니다. 그 밑바탕인 HDR10이나 HLG로 담습니다.")
    if found.get("hdr10plus") is False:
        notes.append("창(window)이 여럿인 HDR10+는 픽셀의 자리가 달라져 담지 못합니다. 정적 HDR만 담습니다.")
    return notes


def hdr_parameters(side_data: dict[str, Any], encoder: Encoder) -> dict[str, str]:
    """정적 메타데이터를 인코더 자신의 매개변수로.

    Args:
        side_data: `VideoInfo.side_data`.
        encoder: 인코더. libx265나 libsvtav1이 아니면 빈 사전.
    """
    light = side_data.get("content_light")
    display = side_data.get("mastering_display", {})
    result: dict[str, str] = {}
    if encoder.name == "libx265":
        if "red" in display and "luminance" in display:
            result["master-display"] = _x265_display(display)
        if light:
            result["max-cll"] = f"{light[0]},{light[1]}"
        if result:
            result["hdr10"] = "1"
            result["repeat-headers"] = "1"
    elif encoder.name == "libsvtav1":
        if "red" in display and "luminance" in display:
            result["mastering-display"] = _svt_display(display)
        if light:
            result["content-light"] = f"{light[0]},{light[1]}"
    return result


def _x265_display(display: dict[str, Any]) -> str:
    def point(value: Any) -> str:
        return str(round(value * _CHROMATICITY))

    low, high = display["luminance"]
    return f"{_points(display, point)}L({round(high * _LUMINANCE)},{round(low * _LUMINANCE)})"


def _svt_display(display: dict[str, Any]) -> str:
    low, high = display["luminance"]
    return f"{_points(display, lambda value: f'{float(value):.5f}')}L({float(high):.4f},{float(low):.4f})"


def _points(display: dict[str, Any], written: Callable[[Any], str]) -> str:
    """원색과 흰점. 두 인코더가 단위만 달리 적는다."""
    return "".join(
        f"{letter}({written(display[name][0])},{written(display[name][1])})"
        for letter, name in (("G", "green"), ("B", "blue"), ("R", "red"), ("WP", "white"))
    )
