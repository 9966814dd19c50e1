"""색의 뜻. 바꾸는 일은 libvips(lcms)가 하고, 라이브러리에 없는 것을 여기서 한다.

번호(H.273), PNG의 gAMA·cHRM, EXIF로만 적은 색을 프로파일(ICC)로 만든다. Pillow와 libvips에 든 것은
sRGB와 P3뿐이다.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

import numpy as np

from realesrgan.media.vips import import_vips

_ICC_SPACES = {"L": b"GRAY", "RGB": b"RGB ", "CMYK": b"CMYK"}
# H.273 표 2의 원색: 빨강, 초록, 파랑, 흰색의 xy.
_D65 = (0.3127, 0.329)
_PRIMARIES: dict[int, tuple[tuple[float, float], ...]] = {
    1: ((0.64, 0.33), (0.3, 0.6), (0.15, 0.06), _D65),
    4: ((0.67, 0.33), (0.21, 0.71), (0.14, 0.08), (0.31, 0.316)),
    5: ((0.64, 0.33), (0.29, 0.6), (0.15, 0.06), _D65),
    6: ((0.63, 0.34), (0.31, 0.595), (0.155, 0.07), _D65),
    7: ((0.63, 0.34), (0.31, 0.595), (0.155, 0.07), _D65),
    9: ((0.708, 0.292), (0.17, 0.797), (0.131, 0.046), _D65),
    11: ((0.68, 0.32), (0.265, 0.69), (0.15, 0.06), (0.314, 0.351)),
    12: ((0.68, 0.32), (0.265, 0.69), (0.15, 0.06), _D65),
}
_GAMMAS = {4: 2.2, 5: 2.8, 8: 1.0}
# 709 계열의 전달 특성. 사진에서는 sRGB로 보는 것이 관례다.
_VIDEO = (1, 6, 14, 15)


def matching_icc(icc: bytes, mode: str) -> bytes | None:
    """이미지의 종류(`L`, `RGB`, `CMYK`)와 맞는 프로파일이면 그대로, 아니면 None. 색 공간은 ICC.1:2022 7.2.6절.

    회색 이미지에 RGB 프로파일이(또는 거꾸로) 붙으면 뷰어마다 다르게 보이므로 나르지 않는다.
    """
    # 앞에 적힌 길이보다 짧으면 잘린 것이다.
    if len(icc) < max(132, int.from_bytes(icc[:4], "big")) or icc[36:40] != b"acsp":
        return None
    return icc if icc[16:20] == _ICC_SPACES[mode] else None


def adobe_rgb_icc() -> bytes:
    """Adobe RGB(1998)의 프로파일. 사진기는 이것을 담지 않고 EXIF에 이름만 적는다(DCF 2.0)."""
    return build_icc(((0.64, 0.33), (0.21, 0.71), (0.15, 0.06), _D65), 563 / 256) or b""


@lru_cache(maxsize=1)
def srgb_icc() -> bytes:
    """표준 sRGB 프로파일."""
    return build_icc(_PRIMARIES[1], None) or b""


def is_srgb(icc: bytes) -> bool:
    """프로파일의 설명이 sRGB인가. 프로파일이 없는 이미지는 sRGB로 보므로 빼도 색이 같다."""
    for at in range(132, 132 + 12 * min(int.from_bytes(icc[128:132], "big"), 100), 12):
        if icc[at : at + 4] == b"desc":
            start, size = struct.unpack_from(">II", icc, at + 4)
            # 옛 버전은 한 바이트 글자, 버전 4는 UTF-16으로 적는다.
            return b"srgb" in icc[start : start + size].replace(b"\0", b"").lower()
    return False


def to_srgb(image: Any, icc: bytes, *, grey: bool = False) -> Any:
    """회색이나 RGB(알파) 이미지(libvips)의 색을 프로파일에서 sRGB로 옮긴다. 비트 깊이와 채널 수는 그대로다.

    `grey`는 프로파일이 회색의 것인지다. RGB로 편 회색이면 한 채널만 옮겨 다시 편다.
    """
    pyvips = import_vips()
    alpha = image[image.bands - 1] if image.bands in (2, 4) else None
    colour = image if alpha is None else image.extract_band(0, n=image.bands - 1)
    space = ("b-w", "grey16") if grey else ("srgb", "rgb16")
    tagged = (colour[0] if grey else colour).copy(interpretation=space[image.format == "ushort"])
    tagged.set_type(pyvips.GValue.blob_type, "icc-profile-data", icc)
    moved = tagged.icc_transform("srgb", embedded=True, intent="relative", depth=16 if image.format == "ushort" else 8)
    # 무채색은 sRGB에서도 세 값이 같다.
    moved = moved[1] if colour.bands == 1 else moved
    moved = moved if alpha is None else moved.bandjoin(alpha)
    return moved.copy(interpretation=image.interpretation)


def usable(icc: bytes, *, grey: bool) -> bool:
    """프로파일로 색을 바꿀 수 있는가. 작은 이미지로 해 본다."""
    pyvips = import_vips()
    try:
        black = pyvips.Image.black(1, 1, bands=1 if grey else 3)
        to_srgb(black.copy(interpretation="b-w" if grey else "srgb"), icc, grey=grey).avg()
    except pyvips.Error:
        return False
    return True


def choose_profile(info: Mapping[Any, Any], *, grey: bool) -> tuple[bytes | None, list[str]]:
    """색의 뜻을 적은 여러 방법 가운데 고른 `(프로파일, 알릴 문장들)`. 맞는 프로파일이 없으면 번호나 감마로 만든다."""
    given = info.get("icc_profile")
    icc = matching_icc(given, "L" if grey else "RGB") if given else None
    notes = []
    if given and icc is None and not is_srgb(given):
        notes.append("색 프로파일(ICC)이 망가졌거나 픽셀의 종류와 맞지 않아 뺐습니다.")
    if icc is None and info.get("cicp"):
        icc = icc_of_numbers(*info["cicp"], grey=grey)
    elif icc is None:
        icc = icc_of_png(info.get("gama"), info.get("chrm"), grey=grey)
    return icc, notes


def icc_of_numbers(primaries: int, transfer: int, *, grey: bool) -> bytes | None:
    """번호로 적은 색을 프로파일로. sRGB이거나, 뜻을 적지 않았거나, 프로파일로 나타낼 수 없는 것이면 None."""
    if primaries == 1 and transfer in (*_VIDEO, 13):
        return None
    if primaries not in _PRIMARIES or transfer not in (*_GAMMAS, *_VIDEO, 13):
        return None
    return build_icc(_PRIMARIES[primaries], _GAMMAS.get(transfer), grey=grey)


def icc_of_png(gama: bytes | None, chrm: bytes | None, *, grey: bool) -> bytes | None:
    """PNG의 gAMA와 cHRM(PNG 3판 11.3.2절)을 프로파일로. sRGB와 같거나 뜻이 없으면 None."""
    gamma = struct.unpack(">I", gama)[0] / 100000 if gama and len(gama) == 4 else 0.0
    points = _PRIMARIES[1]
    if chrm and len(chrm) == 32:
        xy = [value / 100000 for value in struct.unpack(">8I", chrm)]
        # 흰색이 먼저 적힌다.
        points = tuple((xy[at], xy[at + 1]) for at in (2, 4, 6, 0))
    standard = np.allclose(points, _PRIMARIES[1], atol=0.002)
    if standard and (not gamma or abs(gamma - 0.45455) < 0.002):
        return None
    if any(not 0 < y <= 1 or not 0 <= x <= 1 for x, y in points) or (gamma and not 0.05 <= gamma <= 5):
        return None
    return build_icc(points, 1 / gamma if gamma else None, grey=grey)


def build_icc(points: Sequence[tuple[float, float]], gamma: float | None, *, grey: bool = False) -> bytes | None:
    """원색의 xy와 감마로 2판의 행렬·곡선 프로파일을 만든다(ICC.1:2001 6.3절). 감마가 None이면 sRGB의 곡선이다.

    만든 시각을 고정해 같은 입력이 언제나 같은 파일이 되게 한다.
    """
    columns = np.array([[x / y, 1.0, (1 - x - y) / y] for x, y in points]).T
    try:
        white = columns[:, 3]
        matrix = columns[:, :3] * np.linalg.solve(columns[:, :3], white)
    except np.linalg.LinAlgError:
        return None
    # 흰색을 D50으로 옮긴다(Bradford).
    bradford = np.array([[0.8951, 0.2664, -0.1614], [-0.7502, 1.7135, 0.0367], [0.0389, -0.0685, 1.0296]])
    d50 = np.array([0.9642, 1.0, 0.8249])
    matrix = np.linalg.solve(bradford, np.diag(bradford @ d50 / (bradford @ white)) @ bradford) @ matrix
    if gamma is None:
        steps = np.arange(1024) / 1023
        curve = np.where(steps <= 0.04045, steps / 12.92, ((steps + 0.055) / 1.055) ** 2.4)
        values = np.rint(curve * 65535).astype(">u2").tobytes()
    else:
        values = struct.pack(">H", min(round(gamma * 256), 65535))
    tone = b"curv\0\0\0\0" + struct.pack(">I", len(values) // 2) + values
    name = (b"sRGB" if gamma is None and np.allclose(points, _PRIMARIES[1]) else b"Described by numbers") + b"\0"
    tags = {
        b"cprt": b"text\0\0\0\0CC0\0",
        b"desc": b"desc\0\0\0\0" + struct.pack(">I", len(name)) + name + bytes(79),
        b"wtpt": _xyz(d50),
    }
    if grey:
        tags[b"kTRC"] = tone
    else:
        tags |= {bytes([letter]) + b"XYZ": _xyz(column) for letter, column in zip(b"rgb", matrix.T, strict=True)}
        tags |= {bytes([letter]) + b"TRC": tone for letter in b"rgb"}
    return _pack_icc(tags, b"GRAY" if grey else b"RGB ")


def _xyz(values: Any) -> bytes:
    return b"XYZ \0\0\0\0" + struct.pack(">3i", *(round(float(value) * 65536) for value in values))


def _pack_icc(tags: dict[bytes, bytes], space: bytes) -> bytes:
    start = 128 + 4 + 12 * len(tags)
    table, body, placed = struct.pack(">I", len(tags)), b"", dict[bytes, int]()
    for name, value in tags.items():
        if value not in placed:
            placed[value] = start + len(body)
            body += value + bytes(-len(value) % 4)
        table += name + struct.pack(">II", placed[value], len(value))
    head = struct.pack(">I4sI4s4s4s", start + len(body), bytes(4), 0x02400000, b"mntr", space, b"XYZ ")
    head += (
        bytes.fromhex("07d0 0001 0001 0000 0000 0000") + b"acsp" + bytes(28) + struct.pack(">3i", 63190, 65536, 54061)
    )
    return head.ljust(128, b"\0") + table + body
