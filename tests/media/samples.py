"""시험에 쓰는 작은 이미지와 파일을 만든다. 쓰기 함수를 쓰지 않고 따로 만들어, 읽기와 쓰기가 함께 틀리는 일을 막는다."""

from __future__ import annotations

import functools
import io
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageCms

Array = NDArray[Any]


def random_array(*shape: int, dtype: Any = np.uint8, seed: int = 0) -> Array:
    top = int(np.iinfo(dtype).max) + 1
    return np.random.default_rng(seed).integers(0, top, shape).astype(dtype)


def names_in(folder: Path) -> list[str]:
    """폴더에 있는 이름들. 숨은 임시 파일도 든다."""
    return sorted(path.name for path in folder.iterdir())


def photo(height: int = 48, width: int = 64) -> Array:
    """부드러운 색이 이어지는 BGR. 손실 압축을 견줄 때 쓴다."""
    y, x = np.mgrid[0:height, 0:width]
    planes = [x * 200 / width + 20, y * 200 / height + 20, (x + y) * 200 / (width + height) + 20]
    return np.stack(planes, axis=2).astype(np.uint8)


def chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def png(rgb: Array, colour_type: int, *, bits: int = 0, before: bytes = b"", after: bytes = b"") -> bytes:
    """`(H, W, C)` RGB 순서의 배열을 필터 없는 PNG로. `before`와 `after`는 IDAT 앞뒤에 끼울 조각이다."""
    height, width = rgb.shape[:2]
    bits = bits or rgb.dtype.itemsize * 8
    wire = rgb.astype(">u2") if rgb.dtype == np.uint16 else rgb
    raw = b"".join(b"\0" + row.tobytes() for row in wire)
    header = struct.pack(">IIBBBBB", width, height, bits, colour_type, 0, 0, 0)
    body = chunk(b"IHDR", header) + before + chunk(b"IDAT", zlib.compress(raw)) + after + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + body


def tiff(
    samples: Array,
    *,
    order: str = "<",
    deflate: bool = False,
    planar: bool = False,
    tiled: bool = False,
    **tags: tuple[int, ...],
) -> bytes:
    """`(H, W, C)` 배열을 두 줄씩 띠로 나눈 TIFF로. `tags`는 `t274=(6,)`처럼 준다.

    `tiled`면 한 장이 타일 하나다. 변은 16의 배수여야 한다.
    """
    height, width, count = samples.shape
    planes = [samples[..., index : index + 1] for index in range(count)] if planar else [samples]
    wire = [plane.astype(samples.dtype.newbyteorder(order)) for plane in planes]
    rows = height if tiled else 2
    strips = [plane[top : top + rows].tobytes() for plane in wire for top in range(0, height, rows)]
    strips = [zlib.compress(strip) for strip in strips] if deflate else strips
    offsets = [8 + sum(map(len, strips[:index])) for index in range(len(strips))]
    fields: dict[int, tuple[str, tuple[int, ...]]] = {
        256: ("I", (width,)),
        257: ("I", (height,)),
        258: ("H", (samples.dtype.itemsize * 8,) * count),
        259: ("H", (8 if deflate else 1,)),
        262: ("H", (1 if count < 3 else 2,)),
        324 if tiled else 273: ("I", tuple(offsets)),
        277: ("H", (count,)),
        325 if tiled else 279: ("I", tuple(map(len, strips))),
        284: ("H", (2 if planar else 1,)),
    }
    fields |= {322: ("I", (width,)), 323: ("I", (height,))} if tiled else {278: ("I", (2,))}
    fields |= {int(name[1:]): ("H", values) for name, values in tags.items()}
    start = 8 + sum(map(len, strips))
    tail_at = start + 2 + 12 * len(fields) + 4
    table, tail = struct.pack(order + "H", len(fields)), b""
    for tag, (letter, values) in sorted(fields.items()):
        body = struct.pack(f"{order}{len(values)}{letter}", *values)
        table += struct.pack(order + "HHI", tag, 3 if letter == "H" else 4, len(values))
        if len(body) <= 4:
            table += body.ljust(4, b"\0")
        else:
            table += struct.pack(order + "I", tail_at + len(tail))
            tail += body
    mark = b"II" if order == "<" else b"MM"
    return mark + struct.pack(order + "HI", 42, start) + b"".join(strips) + table + bytes(4) + tail


def encoded(array: Array, name: str, **options: Any) -> bytes:
    """회색, RGB, RGBA 순서의 배열을 Pillow로 인코딩한다."""
    output = io.BytesIO()
    if name == "JPEG" and "exif" in options:
        options["exif"] = b"Exif\0\0" + options["exif"]
    Image.fromarray(array).save(output, name, **options)
    return output.getvalue()


def exif_bytes(orientation: int | None = None, *, endian: str = "<", size: tuple[int, int] | None = None) -> bytes:
    """제조사와 GPS가 든 EXIF. 앞머리는 없다."""
    exif = Image.Exif()
    exif.endian = endian
    exif[0x010F] = "Maker"
    if orientation is not None:
        exif[0x0112] = orientation
    if size:
        exif[0x0100], exif[0x0101] = size
        exif.get_ifd(0x8769).update({0xA002: size[0], 0xA003: size[1]})
    exif.get_ifd(0x8825)[1] = "N"
    return exif.tobytes()[6:]


def parsed_exif(exif: bytes) -> Image.Exif:
    result = Image.Exif()
    result.load(exif)
    return result


@functools.cache
def srgb() -> bytes:
    """sRGB 프로파일. 만든 시각이 초까지 적히므로 한 번만 만든다."""
    return ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


def profile(space: bytes, gamma: float = 1.8) -> bytes:
    """회색(`GRAY`) 또는 색역이 넓은 RGB(`RGB `) 프로파일을 손으로 만든다."""

    def xyz(*values: float) -> bytes:
        return b"XYZ \0\0\0\0" + b"".join(struct.pack(">i", round(value * 65536)) for value in values)

    curve = b"curv\0\0\0\0" + struct.pack(">IH", 1, round(gamma * 256)) + b"\0\0"
    description = b"test profile\0"
    tags = {
        b"desc": b"desc\0\0\0\0" + struct.pack(">I", len(description)) + description + bytes(79),
        b"wtpt": xyz(0.9642, 1.0, 0.8249),
        b"cprt": b"text\0\0\0\0none\0",
    }
    if space == b"GRAY":
        tags[b"kTRC"] = curve
    else:
        columns = ((0.6097, 0.3111, 0.0195), (0.2053, 0.6257, 0.0609), (0.1492, 0.0632, 0.7446))
        for letter, column in zip(b"rgb", columns, strict=True):
            tags[bytes([letter]) + b"XYZ"] = xyz(*column)
            tags[bytes([letter]) + b"TRC"] = curve
    table, body = struct.pack(">I", len(tags)), b""
    start = 128 + 4 + 12 * len(tags)
    for name, content in tags.items():
        value = content + bytes(-len(content) % 4)
        table += name + struct.pack(">II", start + len(body), len(value))
        body += value
    header = struct.pack(">I4sI4s4s4s", start + len(body), b"\0\0\0\0", 0x02400000, b"mntr", space, b"XYZ ")
    header += bytes(12) + b"acsp" + bytes(28) + struct.pack(">iii", 63190, 65536, 54061)
    return header.ljust(128, b"\0") + table + body
