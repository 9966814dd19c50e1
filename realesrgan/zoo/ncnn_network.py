"""Ncnn 층의 목록에서 네트워크의 종류와 크기를 알아낸다."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from realesrgan.errors import WeightsError
from realesrgan.zoo.ncnn import NcnnLayer

# RRDB 하나에 든 합성곱과, 몸통 밖의 합성곱(처음, 몸통 끝, 확대 둘, 고해상도, 마지막).
_PER_BLOCK, _OUTSIDE = 15, 6
_KERNEL = 9
_FUSED = {"0": None, "1": "relu", "2": "leakyrelu"}


def infer_ncnn(layers: Sequence[NcnnLayer]) -> tuple[str, dict[str, Any]]:
    """층의 수와 모양에서 네트워크를 알아낸다.

    Args:
        layers: `read_ncnn`의 결과.

    Returns:
        등록부의 이름과 생성자의 인자.

    Raises:
        WeightsError: RRDBNet이나 SRVGGNetCompact가 아닐 때.
    """
    shapes = [_shape(layer) for layer in layers if layer.kind == "Convolution"]
    if len(shapes) >= 3 and all(size == _KERNEL for _, _, size in shapes):
        if _is_rrdbnet(shapes):
            return "RRDBNet", _rrdbnet(shapes)
        if _is_srvgg(shapes):
            return "SRVGGNetCompact", _srvgg(layers, shapes)
    raise WeightsError(
        "ncnn 파일에서 네트워크를 알아내지 못했습니다.\n  RRDBNet과 SRVGGNetCompact의 파일만 쓸 수 있습니다.\n"
        "  해결: Real-ESRGAN의 생성자를 담은 .param과 .bin인지 확인하세요."
    )


def _shape(layer: NcnnLayer) -> tuple[int, int, int]:
    """합성곱의 `(나가는 채널, 들어오는 채널, 커널의 넓이)`."""
    area = int(layer.options.get("1", "0")) ** 2
    count = int(layer.options["0"])
    return count, layer.arrays[0].size // max(count * area, 1), area


def _is_rrdbnet(shapes: Sequence[tuple[int, int, int]]) -> bool:
    if len(shapes) < _PER_BLOCK + _OUTSIDE or (len(shapes) - _OUTSIDE) % _PER_BLOCK:
        return False
    width, grow = shapes[0][0], shapes[1][0]
    return shapes[2][1] == width + grow and shapes[5][0] == width and shapes[-1][1] == width


def _rrdbnet(shapes: Sequence[tuple[int, int, int]]) -> dict[str, Any]:
    out = shapes[-1][0]
    scale = {1: 4, 4: 2, 16: 1}.get(shapes[0][1] // out)
    if scale is None:
        raise WeightsError(f"RRDBNet의 배율을 알 수 없습니다: 입력 채널 {shapes[0][1]}, 출력 채널 {out}")
    blocks = (len(shapes) - _OUTSIDE) // _PER_BLOCK
    sizes = {"num_feat": shapes[0][0], "num_block": blocks, "num_grow_ch": shapes[1][0]}
    return {"num_in_ch": out, "num_out_ch": out, **sizes, "scale": scale}


def _is_srvgg(shapes: Sequence[tuple[int, int, int]]) -> bool:
    width, channels, _ = shapes[0]
    middle = all((out, entering) == (width, width) for out, entering, _ in shapes[1:-1])
    out, entering, _ = shapes[-1]
    return middle and entering == width and out % channels == 0 and math.isqrt(out // channels) ** 2 == out // channels


def _srvgg(layers: Sequence[NcnnLayer], shapes: Sequence[tuple[int, int, int]]) -> dict[str, Any]:
    width, channels, _ = shapes[0]
    if any(layer.kind == "PReLU" for layer in layers):
        act_type: str | None = "prelu"
    else:
        act_type = _FUSED.get(layers[0].options.get("9", "0"))
    if act_type is None:
        raise WeightsError("ncnn 파일에서 SRVGGNetCompact의 활성화 함수를 알아내지 못했습니다.")
    upscale = math.isqrt(shapes[-1][0] // channels)
    sizes = {"num_feat": width, "num_conv": len(shapes) - 2, "upscale": upscale}
    return {"num_in_ch": channels, "num_out_ch": channels, **sizes, "act_type": act_type}
