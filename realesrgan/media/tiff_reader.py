"""TIFF의 배치를 읽고 픽셀을 푼다.

Pillow는 채널이 여럿인 16비트를 8비트로 줄이고 OpenCV는 채널이 따로 놓인(planar) 파일을 틀리게 읽는다.
그래서 압축하지 않았거나 Deflate로 압축한 회색과 RGB는 여기서 풀고, 16비트의 나머지 압축만 다른 곳에 맡긴다.
"""

from __future__ import annotations

import os
import struct
import zlib
from dataclasses import dataclass
from typing import BinaryIO

import numpy as np

from realesrgan.media.container import DamagedError, TruncatedError
from realesrgan.media.ifd import ByteOrder, Entry, read_ifd, read_tiff_head
from realesrgan.media.picture import Array, Mode
from realesrgan.util.optional import import_cv2

_RAW, _DEFLATE = 1, (8, 32946)
_MIN_IS_WHITE, _MIN_IS_BLACK, _RGB = 0, 1, 2
_MAX_PAGES = 100_000


@dataclass(frozen=True)
class TiffLayout:
    """TIFF 첫 쪽의 배치.

    Attributes:
        width, height: 저장된 크기(방향 적용 전).
        bits: 채널마다의 비트 수. 채널끼리 다르면 0(직접 풀지 않는다).
        samples: 픽셀 하나의 표본 수.
        sample_format: 1 부호 없는 정수, 2 부호 있는 정수, 3 실수.
        photometric: 0 흰색이 0인 회색, 1 회색, 2 RGB, 3 팔레트, 5 CMYK, 6 YCbCr, 8 LAB.
        compression: 압축 방식 번호.
        predictor: 2면 가로 차분(horizontal differencing).
        fill_order: 2면 바이트 안의 비트 순서가 거꾸로다.
        planar: 채널이 따로 놓였는가.
        extra: 추가 채널의 뜻(0 모름, 1 곱한 알파, 2 곱하지 않은 알파).
        orientation: EXIF와 같은 방향 번호.
        rows_per_strip, offsets, counts: 띠(strip)의 줄 수, 위치, 바이트 수.
        tiled: 띠가 아니라 타일로 나뉘었는가.
        pages: 온전한 크기의 쪽 수.
        order: 바이트 순서.
    """

    width: int
    height: int
    bits: int
    samples: int
    sample_format: int
    photometric: int
    compression: int
    predictor: int
    fill_order: int
    planar: bool
    extra: tuple[int, ...]
    orientation: int
    rows_per_strip: int
    offsets: tuple[int, ...]
    counts: tuple[int, ...]
    tiled: bool
    pages: int
    order: ByteOrder
    entries: dict[int, Entry]

    @property
    def alpha(self) -> bool:
        """알파 채널이 있는가. 뜻을 적지 않은 넷째 채널은 알파로 본다."""
        base = 3 if self.photometric == _RGB else 1
        return any(kind in (1, 2) for kind in self.extra[:1]) or (not self.extra and self.samples == base + 1)

    @property
    def deep(self) -> bool:
        """16비트로 읽는 배치인가."""
        return self.bits in (12, 16) and self.sample_format == 1 and self.photometric in (0, 1, 2)

    @property
    def simple(self) -> bool:
        """여기서 풀 수 있는 압축과 배치인가."""
        packed = self.compression == _RAW or self.compression in _DEFLATE
        plain = self.sample_format == 1 and self.photometric in (0, 1, 2) and self.fill_order == 1
        return packed and plain and self.bits in (8, 16) and not self.tiled and self.predictor in (1, 2)

    @property
    def direct(self) -> bool:
        """Pillow를 거치지 않고 푸는가."""
        return self.deep or self.simple

    @property
    def mode(self) -> Mode:
        """읽었을 때의 배열 종류."""
        grey = self.photometric in (_MIN_IS_WHITE, _MIN_IS_BLACK)
        if self.photometric in (_MIN_IS_WHITE, _MIN_IS_BLACK, _RGB) and self.alpha:
            return "RGBA"
        return "L" if grey else "RGB"

    @property
    def dpi(self) -> tuple[float, float] | None:
        """인치당 점의 수."""
        unit = self._integer(296, 2)
        if unit not in (2, 3) or 282 not in self.entries or 283 not in self.entries:
            return None
        factor = 2.54 if unit == 3 else 1.0
        return self.order.rational(self.entries[282]) * factor, self.order.rational(self.entries[283]) * factor

    def payload(self, tag: int) -> bytes | None:
        """태그의 날것 바이트."""
        return self.entries[tag].payload if tag in self.entries else None

    def _integer(self, tag: int, default: int) -> int:
        values = self.order.integers(self.entries[tag]) if tag in self.entries else ()
        return values[0] if values else default


def read_tiff_layout(file: BinaryIO) -> TiffLayout:
    """TIFF의 항목표를 읽어 첫 쪽의 배치를 알아낸다. 픽셀은 읽지 않는다.

    Raises:
        TruncatedError: 항목표나 픽셀 자료가 파일 밖에 있을 때.
        DamagedError: 크기가 적혀 있지 않을 때.
    """
    try:
        order, first = read_tiff_head(file)
        entries, following = read_ifd(file, first, order)
        pages = 1 + _count_pages(file, following, order)
    except (struct.error, ValueError) as error:
        raise TruncatedError from error

    def integers(tag: int, default: tuple[int, ...]) -> tuple[int, ...]:
        return (order.integers(entries[tag]) if tag in entries else ()) or default

    width, height = integers(256, (0,))[0], integers(257, (0,))[0]
    bits = integers(258, (1,))
    tiled = 324 in entries
    layout = TiffLayout(
        width=width,
        height=height,
        bits=bits[0] if len(set(bits)) == 1 else 0,
        samples=integers(277, (1,))[0],
        sample_format=max(integers(339, (1,))),
        photometric=integers(262, (_MIN_IS_BLACK,))[0],
        compression=integers(259, (_RAW,))[0],
        predictor=integers(317, (1,))[0],
        fill_order=integers(266, (1,))[0],
        planar=integers(284, (1,))[0] == 2,
        extra=integers(338, ()),
        orientation=integers(274, (1,))[0] if 1 <= integers(274, (1,))[0] <= 8 else 1,
        rows_per_strip=min(integers(278, (height,))[0], max(height, 1)),
        offsets=integers(324 if tiled else 273, ()),
        counts=integers(325 if tiled else 279, ()),
        tiled=tiled,
        pages=pages,
        order=order,
        entries=entries,
    )
    _check_extent(file, layout)
    return layout


def _check_extent(file: BinaryIO, layout: TiffLayout) -> None:
    """픽셀 자료가 파일 안에 다 있는지 본다."""
    if layout.width < 1 or layout.height < 1 or not layout.offsets or layout.rows_per_strip < 1:
        raise DamagedError
    end = file.seek(0, os.SEEK_END)
    # 띠가 하나뿐인 옛 파일은 길이를 적지 않기도 하므로 적혀 있는 것만 본다.
    counts = layout.counts or (1,) * len(layout.offsets)
    if any(offset + count > end for offset, count in zip(layout.offsets, counts, strict=False)):
        raise TruncatedError


def _count_pages(file: BinaryIO, following: int, order: ByteOrder) -> int:
    """이어지는 쪽을 센다. 축소판과 마스크(NewSubfileType의 1번, 3번 비트)는 세지 않는다."""
    pages = 0
    seen: set[int] = set()
    while following and following not in seen and len(seen) < _MAX_PAGES:
        seen.add(following)
        entries, following = read_ifd(file, following, order)
        kind = order.integers(entries[254]) if 254 in entries else ()
        pages += not (kind and kind[0] & 0b101)
    return pages


def decode_tiff(data: bytes, layout: TiffLayout) -> Array:
    """`layout.direct`인 TIFF를 푼다. 12비트는 16비트로 늘린다.

    Returns:
        `(H, W)`, BGR, BGRA 가운데 하나인 uint8 또는 uint16 배열. 방향은 적용하지 않았다.

    Raises:
        TruncatedError, DamagedError: 자료가 모자라거나 어긋날 때.
        ValueError: 지원하지 않는 배치일 때. 메시지는 한국어 이유다.
    """
    return _arrange(_decode_strips(data, layout) if layout.simple else _decode_elsewhere(data, layout), layout)


def _decode_strips(data: bytes, layout: TiffLayout) -> Array:
    """띠를 차례로 풀어 `(H, W, samples)`를 만든다."""
    planes, per_pixel = (layout.samples, 1) if layout.planar else (1, layout.samples)
    dtype = np.dtype(layout.order.prefix + f"u{layout.bits // 8}")
    pixels: Array = np.empty((planes, layout.height, layout.width, per_pixel), dtype.newbyteorder("="))
    tops = range(0, layout.height, layout.rows_per_strip)
    if len(layout.offsets) < planes * len(tops):
        raise TruncatedError
    for index, offset in enumerate(layout.offsets[: planes * len(tops)]):
        plane, top = divmod(index, len(tops))
        rows = pixels[plane, tops[top] : tops[top] + layout.rows_per_strip]
        count = layout.counts[index] if index < len(layout.counts) else rows.nbytes
        raw = data[offset : offset + count]
        if layout.compression != _RAW:
            try:
                raw = zlib.decompressobj().decompress(raw, rows.nbytes)
            except zlib.error as error:
                raise DamagedError from error
        if len(raw) < rows.nbytes:
            raise TruncatedError
        rows[...] = np.frombuffer(raw, dtype, rows.size).reshape(rows.shape)
        if layout.predictor == 2:
            np.add.accumulate(rows, axis=1, out=rows)
    return pixels[0] if planes == 1 else np.ascontiguousarray(pixels[..., 0].transpose(1, 2, 0))


def _decode_elsewhere(data: bytes, layout: TiffLayout) -> Array:
    """LZW 같은 다른 압축은 OpenCV(여러 채널)와 Pillow(회색)에 맡긴다."""
    if layout.samples == 1:
        import io

        from PIL import TiffImagePlugin

        image = TiffImagePlugin.TiffImageFile(io.BytesIO(data))
        # Pillow는 TIFF를 풀면서 방향까지 적용한다. 여기서는 저장된 그대로가 필요하므로 되돌릴 필요가 없게 따로 다룬다.
        pixels: Array = np.asarray(image).astype(np.uint16)
        return _undo_orientation(pixels, layout)[..., None]
    if layout.planar or layout.samples not in (3, 4) or layout.bits != 16:
        raise ValueError("이 압축과 채널 배치의 16비트 TIFF는 읽을 수 없습니다.")
    cv2 = import_cv2()
    decoded = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    if decoded is None or decoded.shape != (layout.height, layout.width, layout.samples) or decoded.dtype != np.uint16:
        raise DamagedError
    return np.ascontiguousarray(decoded[..., [2, 1, 0, 3][: layout.samples]])


def _undo_orientation(pixels: Array, layout: TiffLayout) -> Array:
    """Pillow가 적용한 방향을 되돌린다. 6과 8은 서로의 반대이고 나머지는 두 번 하면 제자리다."""
    from realesrgan.media.orientation import apply_orientation

    return apply_orientation(pixels, {6: 8, 8: 6}.get(layout.orientation, layout.orientation))


def _arrange(pixels: Array, layout: TiffLayout) -> Array:
    """`(H, W, samples)`를 회색, BGR, BGRA로 정리한다."""
    if layout.bits == 12:
        pixels = (pixels << 4) | (pixels >> 8)
    base = 3 if layout.photometric == _RGB else 1
    if pixels.shape[2] < base:
        raise DamagedError
    colour, alpha = pixels[..., :base], pixels[..., base : base + 1]
    if layout.photometric == _MIN_IS_WHITE:
        colour = np.iinfo(colour.dtype).max - colour
    if not layout.alpha:
        return np.ascontiguousarray(colour[..., 0] if base == 1 else colour[..., ::-1])
    if layout.extra[:1] == (1,):
        colour = _divide_alpha(colour, alpha)
    bgr = np.repeat(colour, 3, axis=2) if base == 1 else colour[..., ::-1]
    return np.ascontiguousarray(np.concatenate([bgr, alpha], axis=2))


def _divide_alpha(colour: Array, alpha: Array) -> Array:
    """알파를 곱해 둔(associated) 색을 곱하지 않은 색으로 되돌린다."""
    top = int(np.iinfo(colour.dtype).max)
    wide = colour.astype(np.uint64) * top + alpha // 2
    return np.minimum(wide // np.maximum(alpha, 1), top).astype(colour.dtype)
