"""표준 출력에 쓸 압축하지 않은 영상의 픽셀 형식을 정한다."""

from __future__ import annotations

from realesrgan.errors import VideoFormatError
from realesrgan.media.video.layouts import layout_of, make_layout
from realesrgan.media.video.types import EncodeRequest, PixelLayout, VideoInfo

_Y4M_BITS = (8, 10, 12, 14, 16)
_Y4M_CHROMA = ((1, 1), (2, 1), (2, 2))


def raw_layout(info: VideoInfo, request: EncodeRequest, container: str) -> tuple[PixelLayout, list[str]]:
    """NUT이나 y4m에 담을 평면 배치와 알릴 것.

    y4m은 알파와 RGB를 담지 못한다. RGB는 4:4:4 YUV로 옮긴다.

    Raises:
        VideoFormatError: 청한 픽셀 형식을 담을 수 없을 때.
    """
    layout = layout_of(request.pix_fmt) if request.pix_fmt else info.layout
    if container == "nut":
        return layout, []
    if request.pix_fmt and not _fits_y4m(layout):
        raise VideoFormatError(
            f"y4m에는 픽셀 형식 {request.pix_fmt}을(를) 담을 수 없습니다.\n"
            "  이유: y4m은 알파 없는 YUV 4:2:0, 4:2:2, 4:4:4와 회색만 담습니다.\n"
            "  해결: --pix_fmt를 바꾸거나 NUT으로 쓰세요."
        )
    if _fits_y4m(layout):
        return layout, []
    warnings = ["알파 채널은 y4m에 담을 수 없어 버립니다. 지키려면 NUT으로 쓰세요."] if layout.alpha else []
    bits = min(depth for depth in _Y4M_BITS if depth >= layout.bits)
    chroma = layout.subsampling if layout.subsampling in _Y4M_CHROMA else (1, 1)
    if layout.family == "gray":
        return make_layout("gray", 16 if layout.bits > 8 else 8), warnings
    return make_layout("yuv", bits, chroma), warnings


def _fits_y4m(layout: PixelLayout) -> bool:
    if layout.alpha or layout.bits not in _Y4M_BITS:
        return False
    if layout.family == "gray":
        return layout.bits in (8, 16)
    return layout.family == "yuv" and layout.subsampling in _Y4M_CHROMA
