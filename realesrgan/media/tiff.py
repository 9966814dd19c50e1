"""TIFF를 읽고 쓴다(TIFF 6.0과 BigTIFF). 픽셀은 libvips가 풀고 `png.deflate`가 누른다.

libvips가 하지 않는 것이 여기 있다: 잘린 파일 찾기, EXIF와 설명 태그와 IPTC를 바이트 그대로 옮기기, 크기가 다른 여러 쪽.
"""

from __future__ import annotations

import io
import os
import struct
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO

from realesrgan.media.ifd import (
    SHORT,
    ByteOrder,
    Entry,
    ExifTags,
    Table,
    exif_of,
    pack_exif,
    pack_ifd,
    pack_with_exif,
    read_exif_tags,
    read_ifd,
    read_tiff_head,
)
from realesrgan.media.image import EncodeJob, finish_still
from realesrgan.media.metadata import iptc_of_photoshop
from realesrgan.media.picture import (
    Array,
    DamagedError,
    Frame,
    Header,
    ImageInfo,
    Metadata,
    MissingDecoderError,
    Mode,
    Picture,
    TruncatedError,
    UnreadableError,
    UnsupportedError,
)
from realesrgan.media.png import deflate, ordered_map
from realesrgan.media.vips import load, to_array

# 읽기

_RGB, _CMYK, _YCBCR, _LAB = 2, 5, 6, 8
# 읽는 색의 종류(PhotometricInterpretation): 회색, RGB, 팔레트, 마스크, CMYK, YCbCr, CIELab. 나머지는 이름을 댄다.
_READABLE = (0, 1, 2, 3, 4, 5, 6, 8)
_COLOURS = {9: "ICCLab", 10: "ITULab", 32803: "CFA(사진기의 원본)", 32844: "LogL", 32845: "LogLuv", 34892: "LinearRaw"}
_ICC, _XMP, _IPTC, _PHOTOSHOP, _GEO_KEYS = 34675, 700, 33723, 34377, 34735
_MAX_PAGES = 100_000
_PACKED_BITS = (1, 2, 4, 8, 12, 16)
_COMPRESSIONS = {
    **{34925: "LZMA", 50000: "ZSTD", 50001: "WebP", 50002: "JPEG XL"},
    **{34712: "JPEG 2000", 34887: "LERC", 6: "옛 JPEG"},
}
# libvips의 wheel이 언제나 푸는 압축. 여기에도 위에도 없는 번호는 번호를 댄다.
_ALWAYS = (1, 2, 3, 4, 5, 7, 8, 32773, 32946)


class TiffPage(Table):
    """파일의 `index`번째 IFD인 한 쪽."""

    def __init__(self, index: int, table: Table) -> None:
        super().__init__(table.order, table)
        self.index = index

    @property
    def bits(self) -> int:
        """채널마다의 비트 수. 채널마다 다르면 0."""
        bits = self.integers(258, (1,))
        return bits[0] if len(set(bits)) == 1 else 0

    @property
    def alpha(self) -> bool:
        """알파 채널이 있는가. 뜻을 적지 않은 넷째 채널은 알파로 본다."""
        base = 3 if self.integer(262, 1) == _RGB else 1
        extra = self.integers(338)
        return extra[:1] in ((1,), (2,)) or (not extra and self.integer(277, 1) == base + 1)

    @property
    def info(self) -> ImageInfo:
        """이 쪽의 크기와 종류."""
        width, height = self.integer(256), self.integer(257)
        size = (height, width) if self.orientation >= 5 else (width, height)
        plain = self.integer(262, 1) <= _RGB
        mode: Mode = "RGBA" if plain and self.alpha else "L" if self.integer(262, 1) < _RGB else "RGB"
        deep = self.bits > 8 and (plain or self.integer(262) == _LAB)
        return ImageInfo(*size, "TIFF", 1, mode, 16 if deep else 8)

    @property
    def orientation(self) -> int:
        """EXIF와 같은 방향 번호."""
        value = self.integer(274, 1)
        return value if 1 <= value <= 8 else 1

    @property
    def missing_compression(self) -> str | None:
        """설치된 라이브러리가 풀지 못할 수 있는 압축이면 그 이름."""
        number = self.integer(259, 1)
        return _COMPRESSIONS.get(number) or (None if number in _ALWAYS else f"{number}번")

    def metadata(self, file: BinaryIO) -> dict[str, Any]:
        """Pillow의 `info`와 같은 이름의 메타데이터. 픽셀 배치를 적은 태그는 뺀다."""
        exif = None
        with suppress(ValueError, struct.error):
            exif = pack_exif(tags) if (tags := exif_of(file, self)) else None
        payload = {tag: self[tag].payload for tag in (_ICC, _XMP, _IPTC, _PHOTOSHOP) if tag in self}
        iptc = payload.get(_IPTC) or iptc_of_photoshop(payload.get(_PHOTOSHOP, b""))
        info = {
            "exif": exif,
            "xmp": payload.get(_XMP),
            "icc_profile": payload.get(_ICC),
            "dpi": self.dpi(),
            "iptc": iptc,
        }
        # 픽셀의 자리와 크기에 매인 좌표라 키운 이미지에 그대로 옮기면 틀린다.
        geographic = _GEO_KEYS in self
        return info | ({"notes": ["옮기지 않은 것: 지리 좌표(GeoTIFF)."]} if geographic else {})


def read_header(file: BinaryIO) -> Header:
    """쪽들의 머리를 읽는다. 픽셀은 읽지 않는다. 크기는 첫 쪽의 것이고 `detail`은 쪽마다의 머리들이다.

    Raises:
        TruncatedError, DamagedError: 잘렸거나 망가졌을 때.
        UnsupportedError: 담을 수 없는 종류일 때.
    """
    try:
        pages = list(_read_pages(file))
    except (struct.error, ValueError) as error:
        raise TruncatedError from error
    headers = []
    for page in pages:
        _check_extent(file, page)
        headers.append(Header(page.info, page.orientation, page.metadata(file) | {"page": page}))
    first = headers[0]
    info = replace(first.info, frames=len(headers), pages=len(headers) > 1)
    return Header(info, first.orientation, headers)


def _read_pages(file: BinaryIO) -> Iterator[TiffPage]:
    """쪽들. 첫 쪽이 아닌 축소판과 마스크(NewSubfileType의 1번, 3번 비트)는 뺀다."""
    order, following = read_tiff_head(file)
    seen: set[int] = set()
    while following and following not in seen and len(seen) < _MAX_PAGES:
        seen.add(following)
        entries, following = read_ifd(file, following, order)
        page = TiffPage(len(seen) - 1, entries)
        if page.index == 0 or not page.integer(254) & 0b101:
            yield page
    if not seen:
        raise struct.error("쪽이 없다")


def _check_extent(file: BinaryIO, page: TiffPage) -> None:
    """픽셀 자료가 파일 안에 다 있는지 본다. libvips는 잘린 것을 알리지 않는다."""
    tiled = 324 in page
    offsets, counts = page.integers(324 if tiled else 273), page.integers(325 if tiled else 279)
    width, height = page.integer(256), page.integer(257)
    if width < 1 or height < 1 or not offsets:
        raise DamagedError
    planes = page.integer(277, 1) if page.integer(284, 1) == 2 else 1
    if tiled:
        across, down = max(page.integer(322), 1), max(page.integer(323), 1)
        needed = -(-width // across) * -(-height // down) * planes
    else:
        rows = min(page.integer(278, height), height)
        if rows < 1:
            raise DamagedError
        needed = -(-height // rows) * planes
    if len(offsets) < needed:
        raise TruncatedError
    end = file.seek(0, os.SEEK_END)
    # 줄인 색차(chroma subsampling)는 픽셀마다의 비트 수로 셀 수 없다.
    if page.integer(259, 1) == 1 and not tiled and any(counts) and page.integer(262, 1) != _YCBCR:
        bits = sum(page.integers(258, (1,))) if planes == 1 else page.bits
        bits *= page.integer(277, 1) if len(page.integers(258, (1,))) == 1 and planes == 1 else 1
        if sum(counts) * planes < (width * bits + 7) // 8 * height:
            raise TruncatedError
    # 띠가 하나뿐인 옛 파일은 길이를 적지 않기도 하므로 적혀 있는 것만 본다.
    if any(offset + count > end for offset, count in zip(offsets, counts or (1,) * len(offsets), strict=False)):
        raise TruncatedError


Range = tuple[float, float] | None


def decode(source: Path, header: Header, *, lazy: bool = False, value_range: Range = None) -> Picture:
    """쪽들을 푼다. 12비트는 16비트로 늘린다. 여러 쪽은 돌 때마다 한 쪽씩 푼다.

    Raises:
        UnsupportedError: 실수, 부호 있는 정수처럼 담을 수 없는 종류일 때.
        UnreadableError: 자료가 모자라거나 어긋나거나, 풀 것이 없을 때.
    """
    headers: tuple[Header, ...] = tuple(header.detail)
    for page in headers:
        _check_supported(page.detail["page"], value_range)
    several = len(headers) > 1
    notes: dict[str, None] = {}
    metadata: Metadata | None = None
    # 여러 쪽은 긴 작업을 시작하기 전에 모두 한 번 풀어 망가진 쪽을 찾는다. 푼 것은 한 쪽씩 버린다.
    for page in headers:
        picture = _decode_page(source, page, lazy or several, value_range)
        if not several:
            return picture
        metadata = metadata or picture.metadata
        notes |= dict.fromkeys(picture.notes)
    frames = Pages(source, headers, value_range)
    return Picture(frames, len(headers), metadata or Metadata(), format="TIFF", notes=tuple(notes), pages=True)


@dataclass(frozen=True)
class Pages:
    """돌 때마다 처음부터 한 쪽씩 풀어 내는 쪽들."""

    source: Path
    headers: tuple[Header, ...]
    value_range: Range = None

    def __iter__(self) -> Iterator[Frame]:
        for header in self.headers:
            picture = _decode_page(self.source, header, False, self.value_range)
            yield replace(picture.first, metadata=picture.metadata)


def _is_wide(page: TiffPage) -> bool:
    """8비트나 16비트로 옮기면 값이 바뀌는 종류인지."""
    return max(page.integers(339, (1,))) != 1 or max(page.integers(258, (1,))) > 16


def _check_supported(page: TiffPage, value_range: Range) -> None:
    """담을 수 없는 종류를 풀기 전에 거른다."""
    if _is_wide(page):
        kind = {2: "부호 있는 정수", 3: "실수", 6: "복소수"}.get(max(page.integers(339, (1,))), "정수")
        readable = page.bits == 32 or (kind == "부호 있는 정수" and page.bits in (8, 16))
        if value_range is not None and not readable:
            raise UnsupportedError(
                f"{page.bits}비트 {kind} TIFF는 libvips가 풀지 못합니다.", "32비트 실수로 바꾸어 저장한 뒤 다시 하세요."
            )
        if value_range is None or kind == "복소수" or page.integer(262, 1) > _RGB or page.alpha:
            raise UnsupportedError(
                f"{page.bits}비트 {kind} TIFF는 8비트나 16비트로 옮기면 값이 바뀝니다.",
                "값의 범위를 --float_range 0,1처럼 주면 그 사이를 16비트로 옮깁니다(알파가 없는 회색과 RGB). "
                "아니면 8비트나 16비트의 PNG나 TIFF로 바꾸어 저장한 뒤 다시 하세요.",
            )
        return
    if page.integer(262, 1) == _CMYK and page.integer(277, 1) > 4:
        raise UnsupportedError("알파나 별색(spot colour)이 있는 CMYK의 TIFF는 지원하지 않습니다.")
    if (colour := page.integer(262, 1)) not in _READABLE:
        raise UnsupportedError(f"색을 {_COLOURS.get(colour, f'{colour}번')} 방식으로 적은 TIFF는 지원하지 않습니다.")
    if page.bits not in _PACKED_BITS:
        raise UnsupportedError(f"채널마다 {max(page.integers(258, (1,)))}비트인 TIFF는 지원하지 않습니다.")
    if page.bits % 8 and page.integer(277, 1) > 1:
        raise UnsupportedError(f"채널이 여럿이고 채널마다 {page.bits}비트인 TIFF는 지원하지 않습니다.")


def _mapped(image: Any, value_range: tuple[float, float]) -> tuple[Any, tuple[str, ...]]:
    """`(검정, 흰색)`의 사이를 16비트로 고르게 옮긴 이미지와, 잘린 값이 있으면 그 알림. 감마는 바꾸지 않는다."""
    low, high = value_range
    image = image.cast("double")
    outside = ((image < low) | (image > high)).avg() / 255
    moved = ((image - low) * (65535 / (high - low)) + 0.5).cast("ushort")
    note = f"값의 범위 {low:g}..{high:g} 밖의 값 {outside:.2%}를 잘랐습니다."
    return moved.copy(interpretation="grey16" if image.bands == 1 else "rgb16"), (note,) if outside else ()


def _decode_page(source: Path, header: Header, lazy: bool, value_range: Range) -> Picture:
    page: TiffPage = header.detail["page"]
    kind = page.integer(262, 1)
    try:
        if kind == _LAB and page.bits == 8:
            # libvips는 8비트 LAB를 읽지 못한다.
            return _decode_with_pillow(source, header, page, DamagedError(), None)
        image, notes = _load_pixels(source, page), tuple[str, ...]()
        # libvips는 JPEG가 아니고 색차를 줄이지 않은 YCbCr를 바꾸지 않은 채 준다.
        plain = page.integer(259, 1) not in (6, 7) and page.integers(530, (2, 2)) == (1, 1)
        if kind == _CMYK or (kind == _YCBCR and plain):
            return _through_pillow(image, "CMYK" if kind == _CMYK else "YCbCr", header)
        if kind == _LAB:
            image, notes = image.colourspace("rgb16"), ("LAB 색을 sRGB로 바꾸어 읽었습니다.",)
        bands = image.bands if kind in (3, 4) else (1 if kind < _RGB else 3) + (page.alpha and kind <= _RGB)
        if _is_wide(page) and value_range is not None:
            image, notes = _mapped(image, value_range)
        elif (extra := image.bands - bands) > 0:
            image = image.extract_band(0, n=bands).copy(interpretation=image.interpretation)
            # 줄인 색차의 YCbCr는 libvips가 쓸모없는 알파를 붙인다.
            notes = (f"뜻을 알 수 없는 추가 채널 {extra}개를 뺐습니다.",) if kind != _YCBCR else ()
        picture = finish_still(image, header, source, lazy=lazy)
        return replace(picture, notes=(*picture.notes, *notes))
    except UnreadableError as error:
        name = page.missing_compression
        if isinstance(error, TruncatedError) or (page.bits not in (8, 12) and name is None):
            raise
        return _decode_with_pillow(source, header, page, error, name)


def _through_pillow(image: Any, mode: str, header: Header) -> Picture:
    """libvips가 푼 CMYK나 YCbCr의 색을 Pillow로 바꾼다. 색을 바꾸는 쪽은 8비트뿐이라 16비트는 위 자리만 쓴다."""
    from PIL import Image

    from realesrgan.media.pillow import decode_still as finish_with_pillow

    eight = image if image.format == "uchar" else (image >> 8).cast("uchar")
    pixels = Image.frombytes(mode, (image.width, image.height), to_array(eight).tobytes())
    pixels.info["icc_profile"] = header.detail["icc_profile"]
    picture = finish_with_pillow(pixels, header)
    deep = (f"16비트 {mode}를 8비트로 줄여 읽었습니다.",) if image.format != "uchar" else ()
    return replace(picture, notes=(*picture.notes, *deep))


def _load_pixels(source: Path, page: TiffPage) -> Any:
    """쪽의 픽셀을 libvips 이미지로."""
    count, tiled = page.integer(277, 1), 324 in page
    if page.integer(284, 1) != 2 or not (count == 2 or (tiled and count > 1)):
        return load("tiffload", source, page=page.index, unlimited=True)
    # libvips는 채널이 따로 놓인(planar) 타일과 회색+알파를 읽지 못한다. 채널마다 회색인 파일로 보고 읽는다.
    data, planes = source.read_bytes(), []
    tags = (324, 325) if tiled else (273, 279)
    each = page[tags[0]].count // count
    for index in range(count):
        entries = {tag: entry for tag, entry in page.items() if tag not in (338, 284, _ICC)}
        for tag in tags:
            part = page.integers(tag)[index * each : (index + 1) * each]
            entries[tag] = page.order.entry(tag, entries[tag].kind, *part)
        colour = 0 if page.integer(262, 1) == 0 and index == 0 else 1
        for tag, value in ((277, 1), (258, page.bits), (262, colour)):
            entries[tag] = page.order.entry(tag, SHORT, value)
        start = len(data) + len(data) % 2
        head = data[:8] + struct.pack(page.order.prefix + "Q", start) if page.order.big else data[:4]
        head += b"" if page.order.big else struct.pack(page.order.prefix + "I", start)
        whole = head + data[len(head) :] + bytes(len(data) % 2) + pack_ifd(entries.values(), start, page.order)
        planes.append(load("tiffload", whole))
    wide = planes[0].format == "ushort"
    space = ("rgb16" if wide else "srgb") if count > 2 else planes[0].interpretation
    return planes[0].bandjoin(planes[1:]).copy(interpretation=space)


@contextmanager
def _quiet_stderr() -> Iterator[None]:
    """Pillow에 든 libtiff는 예외와 따로 영어를 표준 오류에 적는다. 그 사이의 것을 버린다."""
    kept = os.dup(2)
    try:
        with open(os.devnull, "wb") as nowhere:  # noqa: PTH123
            os.dup2(nowhere.fileno(), 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)


def _decode_with_pillow(
    source: Path, header: Header, page: TiffPage, error: UnreadableError, name: str | None
) -> Picture:
    """libvips가 모르는 배치나 압축을 Pillow로 풀어 본다. Pillow도 못 풀면 무엇이 없는지 말한다."""
    from realesrgan.media import pillow

    if page.bits in (8, 12):
        try:
            with _quiet_stderr():
                image = pillow.open_image("TIFF", io.BytesIO(source.read_bytes()))
                image.seek(page.index)
                image.load()
        except (OSError, ValueError, SyntaxError, KeyError, TypeError) as failure:
            if name is None:
                raise error from failure
        else:
            # Pillow는 TIFF를 풀면서 방향까지 적용한다.
            picture = pillow.decode_still(image, replace(header, orientation=1))
            if page.bits == 12:
                array = picture.first.array
                picture = replace(picture, frames=(Frame((array << 4) | (array >> 8)),))
            return picture
    raise MissingDecoderError(
        "PNG나, 압축하지 않았거나 Deflate로 압축한 TIFF로 바꾸어 저장한 뒤 다시 하세요.",
        f"파일은 멀쩡하지만 {name} 압축의 {page.bits}비트 TIFF를 푸는 디코더가 설치된 라이브러리에 없습니다.",
    ) from error


# 쓰기

_CLASSIC_LIMIT = 4_000_000_000
_BYTE, _UNDEFINED = 1, 7
_PLAIN, _DEFLATE = 1, 8
# 사진에서 크기와 시간이 가장 나은 세기(5000x5000으로 잼).
_DEFAULT_LEVEL = 1


def write(file: BinaryIO, frames: Iterable[Frame], job: EncodeJob) -> tuple[str, ...]:
    """프레임마다 한 쪽씩 TIFF로 쓰고, 옮기지 못한 것을 알리는 문장들을 돌려준다.

    Deflate로 누르고, 4GB를 넘을 수 있으면 BigTIFF가 된다. 항목표는 픽셀 다음에 적고, 앞 쪽이 그것을 가리키게 한다.
    """
    notes: list[str] = []
    size = job.width * job.height * len(job.kind) * job.depth // 8
    order = ByteOrder("<", big=size * job.count > _CLASSIC_LIMIT)
    file.write(b"II+\0\x08\0\0\0" + bytes(8) if order.big else b"II*\0" + bytes(4))
    link = 8 if order.big else 4
    for frame in frames:
        page = job.pages(frame) if job.pages else job
        pixels = _write_pixels(file, frame, page, order)
        tags, lost = _exif_tags(page.metadata.exif)
        notes += lost
        position = file.seek(0, os.SEEK_END)
        position += position % 2
        file.seek(position)
        entries = {entry.tag: entry for entry in (*tags.main, *_metadata_entries(page.metadata), *pixels)}
        file.write(pack_with_exif(entries.values(), tags, position, order))
        # 앞 쪽의 끝(첫 쪽이면 파일의 머리)이 이 쪽을 가리키게 한다.
        file.seek(link)
        file.write(struct.pack(order.prefix + ("Q" if order.big else "I"), position))
        listed = len(entries) + bool(tags.exif) + bool(tags.gps)
        link = position + (8 + 20 * listed if order.big else 2 + 12 * listed)
    file.seek(0, os.SEEK_END)
    return tuple(dict.fromkeys(notes))


def _write_pixels(file: BinaryIO, frame: Frame, job: EncodeJob, order: ByteOrder) -> list[Entry]:
    """픽셀을 파일 끝에 띠마다 이어 적고 그 항목들을 돌려준다."""
    position, strips = file.seek(0, os.SEEK_END), list[tuple[int, int]]()
    for data in ordered_map(partial(_packed_strip, job), job.strips(frame)):
        strips.append((position, file.write(data)))
        position += len(data)
    compression = _PLAIN if job.compression == 0 else _DEFLATE
    return order.pixel_entries((job.height, job.width, len(job.kind)), job.depth, compression, job.strip_rows, strips)


def _packed_strip(job: EncodeJob, strip: tuple[int, Array]) -> bytes:
    """몇 줄의 왼쪽 픽셀과의 차이를 누른 zlib 흐름(TIFF 6.0의 14절, 압축 8)."""
    rows = strip[1].astype(f"<u{job.depth // 8}")
    if job.compression == 0:
        return rows.tobytes()
    rows[:, 1:] -= strip[1][:, :-1]
    packed = deflate(rows, job.compression or _DEFAULT_LEVEL)
    return b"\x78\x01" + packed + struct.pack(">I", zlib.adler32(rows.data))


def _exif_tags(exif: bytes | None) -> tuple[ExifTags, list[str]]:
    """EXIF를 작은 자리부터(little endian)의 항목표로 푼다. 망가졌으면 비우고 그렇다고 알린다."""
    try:
        tags = read_exif_tags(io.BytesIO(exif)) if exif else ExifTags(ByteOrder("<"))
        return tags if tags.order.prefix == "<" else tags.swapped(), []
    except (ValueError, struct.error):
        return ExifTags(ByteOrder("<")), ["EXIF의 구조가 망가져 있어 옮기지 않았습니다."]


def _metadata_entries(metadata: Metadata) -> list[Entry]:
    """DPI, ICC, XMP, IPTC의 항목들."""
    entries = ByteOrder("<").dpi_entries(metadata.dpi) if metadata.dpi else []
    blocks = ((_ICC, _UNDEFINED, metadata.icc), (_XMP, _BYTE, metadata.xmp), (_IPTC, _UNDEFINED, metadata.iptc))
    return entries + [Entry(tag, kind, len(value), value) for tag, kind, value in blocks if value]
