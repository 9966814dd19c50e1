"""PNG의 조각(chunk)을 읽고 끼우며, APNG를 쓴다(PNG 3판). 픽셀은 libvips가 풀고 여기서 여러 스레드로 누른다.

libvips가 하지 않는 것이 여기 있다: 검사합 확인, 색을 적은 조각(cICP, gAMA, cHRM), 온전한 글, 애니메이션의 반투명한
프레임을 바르게 섞는 읽기와 프레임을 합치거나 버리지 않는 쓰기.
"""

from __future__ import annotations

import io
import os
import struct
import zlib
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from fractions import Fraction
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Literal, TypeVar

import numpy as np

from realesrgan.media.image import EncodeJob, finish_still
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
    UnsupportedError,
)
from realesrgan.media.vips import MAX_WORKERS, load
from realesrgan.util.machine import available_cores

if TYPE_CHECKING:
    from realesrgan.media.pillow import Part

_Result = TypeVar("_Result")

_DISPOSALS: tuple[Literal["keep", "clear", "undo"], ...] = ("keep", "clear", "undo")
SIGNATURE = b"\x89PNG\r\n\x1a\n"
_MAX_TEXT = 1 << 26
_KEPT = (b"IHDR", b"tRNS", b"eXIf", b"acTL", b"iCCP", b"cICP", b"gAMA", b"cHRM", b"sRGB", b"pHYs")
# 뜻이 픽셀이나 다른 조각에 매여 있어 그대로 옮기면 틀리는 것.
_DROPPED = frozenset(
    (b"bKGD", b"hIST", b"sBIT", b"sPLT", b"tIME", b"oFFs", b"pCAL", b"sCAL", b"sTER", b"gIFg", b"gIFx")
)
_ANIMATION = frozenset((b"acTL", b"fcTL", b"fdAT"))
_LOST = {b"mDCV": "HDR의 기준 화면(mDCV)", b"cLLI": "HDR의 가장 밝은 값(cLLI)", b"caBX": "출처 증명(C2PA)"}
_XMP_KEY = "XML:com.adobe.xmp"

# 읽기


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
    """PNG를 훑어 머리 정보를 모은다. 픽셀 자료는 읽지 않고 건너뛴다. `detail`은 `metadata.collect_metadata`의 `info`다.

    Raises:
        TruncatedError: 파일이 잘렸을 때.
        UnsupportedError: iOS용으로 바꾼 PNG일 때.
        DamagedError: IHDR이 없거나 뜻이 통하지 않을 때.
    """
    found: dict[bytes, bytes] = {}
    texts: list[tuple[str, str]] = []
    notes: list[str] = []
    unknown: dict[str, None] = {}
    pixels = False
    for kind, at, length in _chunks(file):
        pixels = pixels or kind == b"IDAT"
        if kind == b"CgBI":
            raise UnsupportedError("애플의 iOS용으로 바꾼 PNG(CgBI)라 여느 PNG처럼 풀 수 없습니다.")
        # 픽셀 뒤에 적은 애니메이션은 없는 것으로 본다(11.3.6.1절).
        if kind in _KEPT and not (kind == b"acTL" and pixels):
            file.seek(at)
            found.setdefault(kind, file.read(length))
        elif kind in (b"tEXt", b"zTXt", b"iTXt"):
            file.seek(at)
            if (text := _read_text(kind, file.read(length))) is not None:
                texts.append(text)
            else:
                notes.append("읽을 수 없는 PNG의 글을 옮기지 않았습니다.")
        elif kind in _LOST:
            notes.append(f"옮기지 않은 것: {_LOST[kind]}.")
        elif kind[0] & 0x20 and kind not in _DROPPED | _ANIMATION:
            unknown[kind.decode("ascii", "replace")] = None
    if unknown:
        notes.append(f"옮기지 않은 것: 뜻을 모르는 PNG의 조각({', '.join(unknown)}).")
    ihdr = found.get(b"IHDR", b"")
    if len(ihdr) != 13:
        raise DamagedError
    width, height, bits, colour_type = struct.unpack(">IIBBxxx", ihdr)
    if 0 in (width, height) or colour_type not in (0, 2, 3, 4, 6) or bits not in (1, 2, 4, 8, 16):
        raise DamagedError
    control = found.get(b"acTL", b"")
    frames = max(struct.unpack_from(">I", control)[0], 1) if len(control) == 8 else 1
    mode: Mode = "RGBA" if colour_type in (4, 6) or b"tRNS" in found else "L" if colour_type == 0 else "RGB"
    info = _collect(found, texts) | {"notes": notes, "deep_frames": bits == 16 and frames > 1}
    orientation = 1
    if info["exif"] or "xmp" in info:
        from realesrgan.media.metadata import find_orientation

        orientation = find_orientation(info["exif"], info.get("xmp"))
    size = (height, width) if orientation >= 5 else (width, height)
    deep = bits == 16 and frames == 1
    return Header(ImageInfo(*size, "PNG", frames, mode, 16 if deep else 8), orientation, info)


def _read_text(kind: bytes, body: bytes) -> tuple[str, str] | None:
    """글 조각(11.3.3절)의 `(열쇠말, 글)`. 뜻이 통하지 않으면 None."""
    from realesrgan.media.metadata import decode_text

    key, _, rest = body.partition(b"\0")
    try:
        if kind == b"tEXt":
            return key.decode("latin-1"), decode_text(rest)
        if kind == b"zTXt":
            return key.decode("latin-1"), decode_text(_inflated(rest[1:]))
        packed, (_, _, text) = rest[:1], rest[2:].partition(b"\0")
        text = text.partition(b"\0")[2]
        return key.decode("latin-1"), (_inflated(text) if packed == b"\1" else text).decode("utf-8")
    except (zlib.error, UnicodeDecodeError, ValueError):
        return None


def _inflated(data: bytes) -> bytes:
    """압축된(zlib) 자료를 풀되, 작은 자료가 메모리를 다 쓰지 못하게 한다."""
    unpacker = zlib.decompressobj()
    result = unpacker.decompress(data, _MAX_TEXT)
    if not unpacker.eof:
        raise ValueError("끝까지 풀리지 않는다")
    return result


def _collect(found: dict[bytes, bytes], texts: list[tuple[str, str]]) -> dict[str, Any]:
    """조각들을 Pillow의 `info`와 같은 이름의 메타데이터로. ImageMagick이 글로 적은 EXIF, XMP, IPTC, ICC도 알아본다."""
    gamma = {} if b"sRGB" in found else {"gama": found.get(b"gAMA"), "chrm": found.get(b"cHRM")}
    info: dict[str, Any] = {"exif": found.get(b"eXIf"), **gamma}
    kept = []
    for key, text in texts:
        from realesrgan.media.metadata import iptc_of_photoshop, profile_text

        raw = profile_text(text) if key.startswith("Raw profile type ") else None
        name = key.rpartition(" ")[2].lower()
        if key == _XMP_KEY:
            info.setdefault("xmp", text.encode())
        elif raw is None:
            kept.append((key, text))
        elif name in ("exif", "app1") and raw[:4] == b"http":
            info.setdefault("xmp", raw.partition(b"\0")[2])
        elif name in ("exif", "app1"):
            info["exif"] = info["exif"] or raw
        elif name in ("iptc", "8bim"):
            info["iptc"] = iptc_of_photoshop(raw) or (raw if raw[:1] == b"\x1c" else None)
        elif name == "xmp":
            info.setdefault("xmp", raw)
        elif name in ("icc", "icm"):
            info["icc_profile"] = raw
    info["text"] = kept
    if (body := found.get(b"iCCP")) and (packed := body.partition(b"\0")[2][1:]):
        try:
            info["icc_profile"] = _inflated(packed)
        except (zlib.error, ValueError):
            # 풀리지 않는 프로파일은 이미지와 맞지 않는 것과 같이 알리고 뺀다.
            info["icc_profile"] = packed
    if len(numbers := found.get(b"cICP", b"")) == 4:
        info["cicp"] = (numbers[0], numbers[1])
    if len(size := found.get(b"pHYs", b"")) == 9 and size[8] == 1:
        info["dpi"] = tuple(value * 0.0254 for value in struct.unpack_from(">II", size))
    return info


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


def decode(source: Path, header: Header, *, lazy: bool = False) -> Picture:
    """정지 이미지나 애니메이션을 푼다. 16비트 애니메이션은 8비트로 읽고 그렇다고 알린다."""
    with source.open("rb") as file:
        check_chunks(file)
    if header.info.frames == 1:
        return finish_still(load("pngload", source, unlimited=True), header, source, lazy=lazy)
    from realesrgan.media.pillow import decode_any

    picture = decode_any(source.read_bytes(), header, _parts)
    deep = ("16비트 애니메이션을 8비트로 읽었습니다.",) if header.detail["deep_frames"] else ()
    return replace(picture, notes=(*picture.notes, *deep))


def _parts(data: bytes, header: Header) -> Iterator[Part]:
    """APNG의 프레임들. 겹쳐 그리는 일은 Pillow에 맡기지 않는다(반투명한 것을 섞으면서 알파까지 섞는다)."""
    from realesrgan.media.pillow import Part, open_image, to_bgra

    image: Any = open_image("PNG", io.BytesIO(data))
    # 대체 이미지(default image)는 애니메이션의 일부가 아니다. Pillow는 이것을 0번 프레임으로 센다.
    start = int(image.default_image)
    for index in range(start, start + header.info.frames):
        image.seek(index)
        over, image.blend_op = image.info.get("blend") == 1, 0
        image.load()
        box = image.info["bbox"]
        duration = float(image.info.get("duration", 0) or 0)
        yield Part(to_bgra(image.crop(box)), box[0], box[1], duration, over, _DISPOSALS[image.info.get("disposal", 0)])


# 쓰기

# 사진에서 크기와 시간이 가장 나은 세기(5000x5000으로 잼).
_DEFAULT_LEVEL = 3
_SUB, _UP, _AVERAGE = 1, 2, 3
_SAMPLE_ROWS, _SAMPLE_BYTES = 8, 2048
# 누르는 방법을 고르려고 눌러 보는 바이트.
_STRATEGY_BYTES = 1 << 15


def write(file: BinaryIO, frames: Iterable[Frame], job: EncodeJob) -> tuple[str, ...]:
    """프레임들을 PNG로 쓰고 빈 튜플을 돌려준다. 프레임이 둘 이상이면 APNG가 된다."""
    colour_type = {"L": 0, "RGB": 2, "LA": 4, "RGBA": 6}[job.kind]
    file.write(SIGNATURE)
    file.write(_chunk(b"IHDR", struct.pack(">IIBBxxx", job.width, job.height, job.depth, colour_type)))
    if job.count > 1:
        file.write(_chunk(b"acTL", struct.pack(">II", job.count, job.loop)))
    if job.metadata != Metadata():
        file.writelines(_metadata_chunks(job.metadata))
    sequence = 0
    for index, frame in enumerate(frames):
        if job.count > 1:
            # 온전한 한 장을 그대로 덮어쓴다.
            control = (sequence, job.width, job.height, 0, 0, *apng_delay(frame.duration), 0, 0)
            file.write(_chunk(b"fcTL", struct.pack(">IIIIIHHBB", *control)))
            sequence += 1
        for body in _zlib_stream(frame, job):
            file.write(_chunk(b"fdAT", struct.pack(">I", sequence) + body) if index else _chunk(b"IDAT", body))
            sequence += bool(index)
    file.write(_chunk(b"IEND", b""))
    return ()


def _zlib_stream(frame: Frame, job: EncodeJob) -> Iterator[bytes]:
    """프레임의 zlib 흐름(RFC 1950)을 띠마다 한 덩어리씩. 띠는 저마다 따로 눌러 이어 붙인다."""
    checksum = 1
    yield b"\x78\x01"
    for packed, filtered in ordered_map(partial(_packed_strip, job), job.strips(frame)):
        checksum = zlib.adler32(filtered.data, checksum)
        yield packed
    yield deflate(b"") + struct.pack(">I", checksum)


def _packed_strip(job: EncodeJob, strip: tuple[int, Array]) -> tuple[bytes, Array]:
    """몇 줄의 `(누른 것, 필터만 거친 것)`."""
    rows = strip[1].astype(">u2") if job.depth == 16 else np.ascontiguousarray(strip[1])
    lines, step = rows.view(np.uint8).reshape(len(rows), -1), len(job.kind) * job.depth // 8
    # 가운데의 몇 줄에 써 보고 고른다.
    middle = max(len(lines) - _SAMPLE_ROWS, 0) // 2
    sample = lines[middle : middle + _SAMPLE_ROWS, :_SAMPLE_BYTES]
    kinds = (_SUB, _UP, _AVERAGE)
    kind = min(kinds, key=lambda kind: len(zlib.compress(_difference(sample, step, kind).data, 1)))
    filtered = np.empty((len(lines), lines.shape[1] + 1), np.uint8)
    filtered[:, 0], filtered[:, 1:] = kind, _difference(lines, step, kind)
    # 첫 줄은 앞 띠의 것인 윗줄을 모른다.
    filtered[0, 0], filtered[0, 1:] = _SUB, _difference(lines[:1], step, _SUB)
    level = _DEFAULT_LEVEL if job.compression is None else job.compression
    return deflate(filtered, level, last=False), filtered


def ordered_map(work: Callable[[Any], _Result], items: Iterable[Any]) -> Iterator[_Result]:
    """여러 스레드로 일하되 차례대로 낸다. 앞서 나가는 것은 스레드의 수만큼이라 메모리가 늘지 않는다."""
    workers = min(available_cores(), MAX_WORKERS)
    with ThreadPoolExecutor(workers) as pool:
        waiting: deque[Future[_Result]] = deque()
        for item in items:
            waiting.append(pool.submit(work, item))
            if len(waiting) > workers:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()


def deflate(data: Any, level: int = 1, *, last: bool = True) -> bytes:
    """머리 없는(raw) Deflate(RFC 1951) 흐름으로 누른다. TIFF도 쓴다.

    libvips와 Pillow는 한 스레드로 누르고 방법(strategy)을 고르지 못해, 잡음이 많은 16비트에서 몇 배 느리고 크기는 같다.

    가운데를 조금 눌러 보고, 되풀이를 찾는 방법과 찾지 않는 방법(RLE) 가운데 작아지는 것을 쓴다. 잡음이 많으면 뒤의 것이
    더 작으면서 몇 배 빠르다.

    Args:
        data: 이어진 바이트(버퍼).
        level: 압축의 세기(0..9).
        last: 흐름의 끝인지. 아니면 바이트 경계에서 끝나, 다른 흐름을 이어 붙일 수 있다.
    """
    whole = memoryview(data).cast("B")
    start = max(len(whole) - _STRATEGY_BYTES, 0) // 2
    sample, sizes = whole[start : start + _STRATEGY_BYTES], dict[int, int]()
    for strategy in (zlib.Z_DEFAULT_STRATEGY, zlib.Z_RLE):
        packer = zlib.compressobj(level, zlib.DEFLATED, -zlib.MAX_WBITS, 9, strategy)
        sizes[strategy] = len(packer.compress(sample) + packer.flush())
    packer = zlib.compressobj(level, zlib.DEFLATED, -zlib.MAX_WBITS, 9, min(sizes, key=sizes.__getitem__))
    return packer.compress(whole) + packer.flush(zlib.Z_FINISH if last else zlib.Z_SYNC_FLUSH)


def _difference(lines: Array, step: int, kind: int) -> Array:
    """왼쪽 픽셀이나 윗줄(첫 줄은 0)이나 그 평균과의 차이(9.2절). 평균은 넘치지 않게 uint8에서 구한다."""
    left, above = np.zeros_like(lines), np.zeros_like(lines)
    left[:, step:] = lines[:, :-step]
    above[1:] = lines[:-1]
    if kind == _AVERAGE:
        return lines - ((left & above) + ((left ^ above) >> 1))
    return lines - (left if kind == _SUB else above)


def _chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(body, zlib.crc32(kind)))


def _metadata_chunks(metadata: Metadata) -> Iterator[bytes]:
    """픽셀보다 앞에 와야 하는 조각들. 순서는 규격의 5.6절을 따른다."""
    from realesrgan.media.metadata import encode_comment

    if metadata.cicp:
        yield _chunk(b"cICP", bytes((*metadata.cicp, 0, 1)))
    if metadata.icc:
        yield _chunk(b"iCCP", b"ICC Profile\0\0" + zlib.compress(metadata.icc, 9))
    if metadata.dpi:
        per_metre = [min(max(round(value / 0.0254), 1), 2**31 - 1) for value in metadata.dpi]
        yield _chunk(b"pHYs", struct.pack(">IIB", *per_metre, 1))
    if metadata.exif:
        yield _chunk(b"eXIf", metadata.exif)
    if metadata.xmp:
        yield _chunk(b"iTXt", _XMP_KEY.encode() + b"\0\0\0\0\0" + metadata.xmp)
    for key, text in metadata.text:
        name = key.encode("latin-1", "replace")[:79] or b"Comment"
        plain = encode_comment(text)
        # UTF-8이 아닌 설명은 받은 바이트 그대로 둔다.
        if text.isascii() or plain.decode("utf-8", "replace") != text:
            yield _chunk(b"tEXt", name + b"\0" + plain)
        else:
            yield _chunk(b"iTXt", name + b"\0\0\0\0\0" + text.encode())


def apng_delay(duration: float) -> tuple[int, int]:
    """밀리초를 16비트 정수 둘의 분수(초)로 나타낸다. 표현할 수 있는 가장 가까운 값이다."""
    top = 65535
    value = min(Fraction(max(duration, 0.0)) / 1000, Fraction(top))
    # 분모를 `top / 초`까지만 허락하면 분자도 16비트에 들어간다.
    fraction = value.limit_denominator(top if value <= 1 else int(top / value))
    return fraction.numerator, fraction.denominator
