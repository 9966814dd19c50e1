"""HDR의 정적 메타데이터를 부호기의 옵션으로 옮긴다."""

from __future__ import annotations

from typing import Any

from realesrgan.errors import VideoFormatError
from realesrgan.media.video.encoders import ENCODERS, Encoder
from realesrgan.media.video.types import VideoInfo

_CHROMATICITY = 50000
"""x265의 색도 단위는 0.00002다(SMPTE ST 2086, ITU-T H.265 D.3.28)."""
_LUMINANCE = 10000
"""x265의 휘도 단위는 0.0001 cd/m2다."""


def check_hdr(info: VideoInfo, encoder: Encoder, bits: int) -> None:
    """HDR 영상을 이 부호기와 비트 수로 잃지 않고 담을 수 있는지 본다.

    Raises:
        VideoFormatError: 동적 메타데이터가 있거나, 8비트거나, 정적 메타데이터를 담을 수 없는 부호기일 때.
    """
    carriers = ", ".join(name for name, item in ENCODERS.items() if item.static_hdr)
    if info.side_data.get("dynamic"):
        raise VideoFormatError(
            f"동적 HDR 메타데이터가 든 영상은 키울 수 없습니다: {info.name}\n"
            f"  이유: {', '.join(info.side_data['dynamic'])}은(는) 장면의 화소에 매인 값이라 그대로 옮길 수 없습니다.\n"
            "  해결: 다른 프로그램으로 동적 메타데이터(Dolby Vision, HDR10+)를 떼어 HDR10이나 HLG로 만드세요."
        )
    if not info.colour.is_hdr:
        return
    if bits < 10:
        raise VideoFormatError(
            f"HDR 영상은 {encoder.name}의 8비트로 담을 수 없습니다: {info.name}\n"
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


def hdr_parameters(side_data: dict[str, Any], encoder: Encoder) -> dict[str, str]:
    """정적 메타데이터를 부호기 자신의 매개변수로.

    Args:
        side_data: `VideoInfo.side_data`.
        encoder: 부호기. libx265나 libsvtav1이 아니면 빈 사전.
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
    points = "".join(
        f"{letter}({round(display[name][0] * _CHROMATICITY)},{round(display[name][1] * _CHROMATICITY)})"
        for letter, name in (("G", "green"), ("B", "blue"), ("R", "red"), ("WP", "white"))
    )
    low, high = display["luminance"]
    return f"{points}L({round(high * _LUMINANCE)},{round(low * _LUMINANCE)})"


def _svt_display(display: dict[str, Any]) -> str:
    points = "".join(
        f"{letter}({float(display[name][0]):.5f},{float(display[name][1]):.5f})"
        for letter, name in (("G", "green"), ("B", "blue"), ("R", "red"), ("WP", "white"))
    )
    low, high = display["luminance"]
    return f"{points}L({float(high):.4f},{float(low):.4f})"
