"""PNG와 APNG를 읽고 쓴다(PNG 3판).

픽셀을 풀기 전에 파일이 끝까지 온전한지 본다. 디코더에 따라 잘린 파일을 반쯤 회색인 이미지로 돌려주거나 표준 오류에
글을 쓰기 때문이다. OpenCV와 Pillow 대신 직접 쓰는 까닭은 네 가지다. 16비트에도 메타데이터를 넣고, 이미지를 통째로
복사하지 않으며, 띠마다 나누어 여러 스레드로 압축하고, 애니메이션의 프레임을 합치거나 버리지 않는다.
"""

from __future__ import annotations

import io
import os
import struct
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import BinaryIO

import numpy as np

from realesrgan.media.animation import decode_any
from realesrgan.media.metadata import collect_metadata, exif_orientation, matching_icc
from realesrgan.media.picture import (
    Array,
    DamagedError,
    Frame,
    Header,
    ImageInfo,
    Metadata,
    Mode,
    Picture,
    TruncatedError,
    apply_orientation,
)
from realesrgan.media.reader import open_image
from realesrgan.media.writer import EncodeJob, deflate, ordered_map, strip_ranges
from realesrgan.util.optional import import_cv2

SIGNATURE = b"\x89PNG\r\n\x1a\n"
_COLOUR_TYPES = {"L": 0, "BGR": 2, "LA": 4, "BGRA": 6}
_ADLER_BASE = 65521

# 읽기


@dataclass(frozen=True)
class PngDetail:
    """픽셀을 풀지 않고 알 수 있는 것.

    Attributes:
        width, height: 저장된 크기(방향 적용 전).
        bit_depth: 채널마다의 비트 수.
        colour_type: 0 회색, 2 RGB, 3 팔레트, 4 회색+알파, 6 RGBA.
        grey_key: 회색 이미지에서 투명으로 정한 값(tRNS). 없으면 None.
        exif: eXIf 조각(chunk)의 내용.
    """

    width: int
    height: int
    bit_depth: int
    colour_type: int
    grey_key: int | None
    exif: bytes | None


def _chunks(file: BinaryIO) -> Iterator[tuple[bytes, int, int]]:
    """PNG 조각의 `(이름, 내용의 위치, 길이)`를 IEND까지 낸다.

    Raises:
        TruncatedError: IEND 전에 파일이 끝날 때.
    """
    end = file.seek(0, os.SEEK_END)
    at = len(SIGNATURE)
    while True:
        file.seek(at)
        head = file.read(8)
        if len(head) < 8:
            raise TruncatedError
        length, kind = struct.unpack(">I4s", head)
        if at + 12 + length > end:
            raise TruncatedError
        yield kind, at + 8, length
        if kind == b"IEND":
            return
        at += 12 + length


def read_header(file: BinaryIO) -> Header:
    """PNG를 훑어 머리 정보를 모은다. 픽셀 자료는 읽지 않고 건너뛴다. `detail`은 `PngDetail`이다.

    Raises:
        TruncatedError: 파일이 잘렸을 때.
        DamagedError: IHDR이 없거나 뜻이 통하지 않을 때.
    """
    found: dict[bytes, bytes] = {}
    for kind, at, length in _chunks(file):
        if kind in (b"IHDR", b"tRNS", b"eXIf", b"acTL"):
            file.seek(at)
            found.setdefault(kind, file.read(length))
    ihdr = found.get(b"IHDR", b"")
    if len(ihdr) != 13:
        raise DamagedError
    width, height, bits, colour_type = struct.unpack(">IIBBxxx", ihdr)
    if 0 in (width, height) or colour_type not in (0, 2, 3, 4, 6) or bits not in (1, 2, 4, 8, 16):
        raise DamagedError
    control, transparency, exif = found.get(b"acTL", b""), found.get(b"tRNS"), found.get(b"eXIf")
    frames = max(struct.unpack_from(">I", control)[0], 1) if len(control) == 8 else 1
    keyed = colour_type == 0 and transparency is not None and len(transparency) >= 2
    grey_key = struct.unpack_from(">H", transparency or b"")[0] if keyed else None
    alpha = colour_type in (4, 6) or transparency is not None
    mode: Mode = "RGBA" if alpha else "L" if colour_type == 0 else "RGB"
    orientation = exif_orientation(exif) if exif else 1
    size = (height, width) if orientation >= 5 else (width, height)
    info = ImageInfo(*size, "PNG", frames, mode, 16 if bits == 16 and frames == 1 else 8)
    return Header(info, orientation, PngDetail(width, height, bits, colour_type, grey_key, exif))


def check_chunks(file: BinaryIO) -> None:
    """꼭 필요한 조각과 애니메이션 자료의 검사합(CRC)을 확인한다.

    Raises:
        TruncatedError: 파일이 잘렸을 때.
        DamagedError: 검사합이 어긋날 때.
    """
    for kind, at, length in _chunks(file):
        if kind[0] & 0x20 and kind != b"fdAT":
            continue
        file.seek(at)
        body = file.read(length + 4)
        if zlib.crc32(kind + body[:length]) != struct.unpack(">I", body[length:])[0]:
            raise DamagedError


def decode(data: bytes, header: Header) -> Picture:
    """정지 이미지나 애니메이션을 푼다. 16비트 애니메이션은 8비트로 읽고 그렇다고 알린다.

    Raises:
        TruncatedError, DamagedError: 자료가 모자라거나 어긋날 때.
        Exception: Pillow의 디코더가 내는 여러 가지 예외.
    """
    check_chunks(io.BytesIO(data))
    detail: PngDetail = header.detail
    # eXIf는 픽셀 뒤에 올 수 있어 훑어 둔 것을 먼저 쓴다.
    known = {"exif": detail.exif} if detail.exif else {}
    if header.info.frames > 1:
        picture = decode_any(data, header, **known)
        deep = ("16비트 애니메이션을 8비트로 읽었습니다.",) if detail.bit_depth == 16 else ()
        return replace(picture, notes=(*picture.notes, *deep))
    if detail.bit_depth != 16 and detail.grey_key is None:
        return decode_any(data, header, **known)
    image = open_image("PNG", io.BytesIO(data))
    image.load()
    array = _decode_sixteen_bit(data, detail) if detail.bit_depth == 16 else np.asarray(image.convert("L")).copy()
    if detail.grey_key is not None:
        array = _key_to_alpha(array, detail.grey_key, detail.bit_depth)
    grey, icc = detail.colour_type in (0, 4), image.info.get("icc_profile")
    icc = matching_icc(icc, "L" if grey else "RGB") if icc else None
    metadata, notes = collect_metadata({**image.info, **known}, icc)
    return Picture(
        frames=(Frame(apply_orientation(array, header.orientation)),),
        metadata=metadata,
        format="PNG",
        gray_alpha=grey and array.ndim == 3,
        notes=notes,
    )


def _decode_sixteen_bit(data: bytes, detail: PngDetail) -> Array:
    """16비트를 그대로 푼다. Pillow는 8비트로 줄인다."""
    cv2 = import_cv2()
    array: Array = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    if array is None or array.dtype != np.uint16 or array.shape[:2] != (detail.height, detail.width):
        raise DamagedError
    return array


def _key_to_alpha(array: Array, key: int, bits: int) -> Array:
    """회색에서 투명으로 정한 값을 알파로 편다. Pillow는 그 값을 8비트로 늘리지 않는다."""
    if array.ndim == 3:
        array = array[..., 0]
    top = (1 << bits) - 1
    full = np.iinfo(array.dtype).max
    alpha = np.where(array == (key & top) * full // top, 0, full).astype(array.dtype)
    return np.stack([array, array, array, alpha], axis=2)


# 쓰기


def write(file: BinaryIO, frames: Iterable[Frame], job: EncodeJob) -> tuple[str, ...]:
    """프레임들을 PNG로 쓴다. 둘 이상이면 APNG가 된다.

    Returns:
        빈 튜플. 다른 쓰기 함수와 모양을 맞추기 위한 것이다.
    """
    file.write(SIGNATURE)
    header = struct.pack(">IIBBBBB", job.width, job.height, job.depth, _COLOUR_TYPES[job.kind], 0, 0, 0)
    _write_chunk(file, b"IHDR", header)
    if job.count > 1:
        _write_chunk(file, b"acTL", struct.pack(">II", job.count, job.loop))
    _write_metadata(file, job.metadata)
    sequence = 0
    for index, frame in enumerate(frames):
        if job.count > 1:
            # 온전한 한 장을 그대로 덮어쓴다.
            control = (sequence, job.width, job.height, 0, 0, *apng_delay(frame.duration), 0, 0)
            _write_chunk(file, b"fcTL", struct.pack(">IIIIIHHBB", *control))
            sequence += 1
        for block in _compressed_blocks(frame, job):
            if index == 0:
                _write_chunk(file, b"IDAT", block)
            else:
                _write_chunk(file, b"fdAT", struct.pack(">I", sequence) + block)
                sequence += 1
    _write_chunk(file, b"IEND", b"")
    return ()


def _write_chunk(file: BinaryIO, kind: bytes, body: bytes) -> None:
    file.write(struct.pack(">I", len(body)) + kind)
    file.write(body)
    file.write(struct.pack(">I", zlib.crc32(body, zlib.crc32(kind))))


def _write_metadata(file: BinaryIO, metadata: Metadata) -> None:
    """픽셀보다 앞에 와야 하는 조각들. 순서는 규격의 5.6절을 따른다."""
    if metadata.icc:
        _write_chunk(file, b"iCCP", b"ICC Profile\0\0" + zlib.compress(metadata.icc, 9))
    if metadata.dpi:
        per_metre = [min(max(round(value / 0.0254), 1), 2**31 - 1) for value in metadata.dpi]
        _write_chunk(file, b"pHYs", struct.pack(">IIB", *per_metre, 1))
    if metadata.exif:
        _write_chunk(file, b"eXIf", metadata.exif)
    if metadata.xmp:
        _write_chunk(file, b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + metadata.xmp)


def apng_delay(duration: float) -> tuple[int, int]:
    """밀리초를 16비트 정수 둘의 분수(초)로 나타낸다. 표현할 수 있는 가장 가까운 값이다."""
    top = 65535
    value = min(Fraction(max(duration, 0.0)) / 1000, Fraction(top))
    # 분모를 `top / 초`까지만 허락하면 분자도 16비트에 들어간다.
    fraction = value.limit_denominator(top if value <= 1 else int(top / value))
    return fraction.numerator, fraction.denominator


def _compressed_blocks(frame: Frame, job: EncodeJob) -> Iterator[bytes]:
    """한 프레임의 zlib 흐름을 띠마다 한 덩어리씩 낸다.

    띠를 저마다 따로 압축해 이어 붙인다. 띠 끝을 바이트 경계로 맞추면(sync flush) 이어 붙인 것도
    올바른 Deflate 흐름이고, 전체의 검사합(Adler-32)은 띠의 검사합에서 계산할 수 있다.
    """
    ranges = strip_ranges(job.height, job.row_bytes)

    def encode(bounds: tuple[int, int]) -> tuple[bytes, int, int]:
        filtered = _filtered_strip(frame, job, *bounds)
        return deflate(filtered, last=bounds[1] == job.height), zlib.adler32(filtered), len(filtered)

    head, checksum = b"\x78\x9c", 1
    for index, (block, adler, length) in enumerate(ordered_map(encode, ranges)):
        checksum = combine_adler32(checksum, adler, length)
        tail = struct.pack(">I", checksum) if index == len(ranges) - 1 else b""
        yield head + block + tail
        head = b""


def _filtered_strip(frame: Frame, job: EncodeJob, top: int, bottom: int) -> bytes:
    """필터를 적용한 띠 하나의 바이트."""
    start = max(top - 1, 0)
    rows = _wire_rows(job.strip(frame, start, bottom), job)
    above = rows[0] if top else np.zeros_like(rows[0])
    return filter_rows(rows[top - start :], above, len(job.kind) * job.depth // 8).tobytes()


def _wire_rows(strip: Array, job: EncodeJob) -> Array:
    """파일에 놓일 순서(RGB, 큰 자리부터)의 `(줄, 줄 바이트)` uint8로 바꾼다."""
    cv2 = import_cv2()
    if job.kind in ("BGR", "BGRA"):
        strip = cv2.cvtColor(strip, cv2.COLOR_BGR2RGB if job.kind == "BGR" else cv2.COLOR_BGRA2RGBA)
    if job.depth == 16:
        strip = strip.astype(">u2")
    return np.ascontiguousarray(strip).view(np.uint8).reshape(strip.shape[0], job.row_bytes)


def combine_adler32(first: int, second: int, second_length: int) -> int:
    """이어 붙인 두 자료의 Adler-32를 각각의 Adler-32에서 구한다(RFC 1950 9절의 정의에서 유도)."""
    a1, b1 = first & 0xFFFF, first >> 16
    a2, b2 = second & 0xFFFF, second >> 16
    low = (a1 + a2 - 1) % _ADLER_BASE
    high = (b1 + b2 + second_length * (a1 - 1)) % _ADLER_BASE
    return high << 16 | low


# 줄 필터(9절)

_SUB, _UP, _AVERAGE, _PAETH = 1, 2, 3, 4


def filter_rows(rows: Array, above: Array, step: int) -> Array:
    """줄마다 가장 잘 눌릴 필터를 골라 적용한다.

    바이트 차이의 절댓값 합이 가장 작은 필터를 고르는 규격의 권고(12.7절)를 쓴다. 모든 계산을 uint8에서 하여
    벡터 명령을 온전히 쓴다.

    Args:
        rows: `(n, 줄 바이트)`, uint8.
        above: 첫 줄의 바로 윗줄, `(줄 바이트,)`. 이미지의 첫 줄이면 0으로 채운다.
        step: 픽셀 하나의 바이트 수.

    Returns:
        `(n, 1 + 줄 바이트)`, uint8. 줄마다 맨 앞이 필터 번호다.
    """
    up: Array = np.concatenate([above[None], rows[:-1]])
    left, corner = np.zeros_like(rows), np.zeros_like(rows)
    left[:, step:] = rows[:, :-step]
    corner[:, step:] = up[:, :-step]
    candidates = {
        _SUB: rows - left,
        _UP: rows - up,
        _AVERAGE: rows - ((left & up) + ((left ^ up) >> 1)),
        _PAETH: rows - _paeth(left, up, corner),
    }
    numbers = np.array(list(candidates), np.uint8)
    costs = np.stack([np.minimum(item, 0 - item).sum(axis=1, dtype=np.uint64) for item in candidates.values()])
    best = numbers[costs.argmin(axis=0)]
    result: Array = np.empty((rows.shape[0], rows.shape[1] + 1), np.uint8)
    result[:, 0] = best
    for number, item in candidates.items():
        chosen = best == number
        result[chosen, 1:] = item[chosen]
    return result


def _paeth(left: Array, up: Array, corner: Array) -> Array:
    """Paeth 예측값(9.4절).

    `pc = |a + b - 2c|`는 아홉 비트가 필요하지만, 두 차이의 부호가 같으면 `pa + pb`(포화해도 순서가 같다),
    다르면 `|pa - pb|`이므로 여덟 비트로 같은 답을 얻는다.
    """
    cv2 = import_cv2()
    pa, pb = cv2.absdiff(up, corner), cv2.absdiff(left, corner)
    differ = cv2.bitwise_xor(cv2.compare(up, corner, cv2.CMP_LT), cv2.compare(left, corner, cv2.CMP_LT))
    pc = cv2.bitwise_or(
        cv2.bitwise_and(cv2.add(pa, pb), cv2.bitwise_not(differ)),
        cv2.bitwise_and(cv2.absdiff(pa, pb), differ),
    )
    use_left = cv2.bitwise_and(cv2.compare(pa, pb, cv2.CMP_LE), cv2.compare(pa, pc, cv2.CMP_LE))
    use_up = cv2.bitwise_and(cv2.compare(pb, pc, cv2.CMP_LE), cv2.bitwise_not(use_left))
    use_corner = cv2.bitwise_not(cv2.bitwise_or(use_left, use_up))
    mixed = cv2.bitwise_or(cv2.bitwise_and(left, use_left), cv2.bitwise_and(up, use_up))
    predicted: Array = cv2.bitwise_or(mixed, cv2.bitwise_and(corner, use_corner))
    return predicted
