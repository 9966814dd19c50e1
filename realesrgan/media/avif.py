"""AVIF와 HEIC를 읽고 쓴다. 둘 다 상자(box)로 이루어진 ISO BMFF(ISO/IEC 14496-12) 파일이다.

8비트와 애니메이션은 Pillow가, 10·12비트 AVIF는 libvips가, HEIC는 `pillow_heif`가 풀고 쓴다. 라이브러리들이 하지 않는
것이 여기 있다: 잘린 상자 찾기, 색의 번호(nclx)를 읽고 적기, 10·12비트에 EXIF를 바이트 그대로 담기.
"""

from __future__ import annotations

import io
import re
import struct
from collections.abc import Iterable
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from realesrgan.errors import ImageWriteError
from realesrgan.media.boxes import walk_boxes
from realesrgan.media.colour import srgb_icc
from realesrgan.media.formats import sniff_format
from realesrgan.media.image import EncodeJob, bgr_array
from realesrgan.media.metadata import collect_metadata, find_orientation
from realesrgan.media.picture import (
    EXIF_PREFIX,
    Frame,
    Header,
    ImageInfo,
    Mode,
    Picture,
    TruncatedError,
    apply_orientation,
)
from realesrgan.media.pillow import decode_any, decode_still, metadata_options, pillow_header, require_encoder, to_image
from realesrgan.media.vips import import_vips, load, save

_HEAD_BYTES = 1 << 16
# libheif이 RGB를 바꿀 때 쓰는 행렬(BT.601)과 온전한 범위.
_MATRIX = (6, 0x80)
# 상자 하나(14바이트)로 적은, 알파를 곱한 색이라는 표시(ISO/IEC 23008-12의 6.6.2.1절).
_PREMULTIPLIED = b"\0\0\0\x0eprem"
_BOXES = frozenset((b"ftyp", b"meta", b"mdat", b"moov", b"free", b"skip", b"uuid"))


def read_header(file: BinaryIO) -> Header:
    """AVIF나 HEIC의 머리를 읽는다. 잘렸으면 `TruncatedError`를 낸다."""
    file.seek(0)
    head = file.read(_HEAD_BYTES)
    extra = check_boxes(file)
    motion = "움직이는 사진의 비디오" if b"mpvd" in extra else ""
    notes = [f"대표 이미지만 키웠습니다. 옮기지 않은 것: {motion}."] if motion else []
    info = {"cicp": _numbers(head), "premultiplied": _PREMULTIPLIED in head, "notes": notes}
    if sniff_format(head[:64]) == "AVIF":
        header = pillow_header(file, "AVIF")
        flags = (_settings(head) or [0])[0]
        bits = (12 if flags & 0x20 else 10) if flags & 0x40 else 8
        changes: dict[str, Any] = {"bit_depth": 16 if bits > 8 and header.info.frames == 1 else 8}
        # 옛 Pillow는 회색 AVIF도 RGB로 푸므로 머리에서 알아낸다.
        if header.info.mode == "RGB" and is_grey(head):
            changes["mode"] = "L"
        return replace(header, info=replace(header.info, **changes), detail=info | {"bits": bits})
    # HEIC는 대표 이미지만 본다. 회전은 디코더가 적용하므로 EXIF의 방향은 쓰지 않는다.
    file.seek(0)
    heif = import_module("pillow_heif").open_heif(file, convert_hdr_to_8bit=False)
    transparent = heif.mode[:4] in ("RGBA", "RGBa") or heif.mode[:2] in ("LA", "La")
    mode: Mode = "RGBA" if transparent else "L" if heif.mode[0] in "LI" else "RGB"
    bits = int(heif.info.get("bit_depth", 8))
    others = len(heif) - 1
    lost = [f"함께 든 다른 이미지 {others}장"] if others > 0 else []
    lost += ["깊이 지도"] if heif.info.get("depth_images") else []
    lost += ["보조 이미지(이득 지도 등)"] if heif.info.get("aux") else []
    lost += [motion] if motion else []
    notes = [f"대표 이미지만 키웠습니다. 옮기지 않은 것: {', '.join(lost)}."] if lost else []
    detail = info | {"bits": bits, "notes": notes}
    return Header(ImageInfo(heif.size[0], heif.size[1], "HEIF", 1, mode, 16 if bits > 8 else 8), 1, detail)


def _numbers(head: bytes) -> tuple[int, int] | None:
    """색을 적은 상자(colr)의 원색과 전달 특성. 뜻을 적지 않은 것(2)이나 sRGB면 None."""
    at = head.find(b"colrnclx")
    if at < 0 or at + 12 > len(head):
        return None
    primaries, transfer = struct.unpack_from(">HH", head, at + 8)
    # H.273의 번호는 한 바이트다.
    unknown = 2 in (primaries, transfer) or max(primaries, transfer) > 255
    return None if unknown or (primaries, transfer) == (1, 13) else (primaries, transfer)


def _settings(head: bytes) -> list[int]:
    """AVIF의 인코딩 설정(av1C 상자)마다의 깃발(AV1-ISOBMFF 2.3.3절)."""
    return [head[found.start() + 6] for found in re.finditer(b"av1C", head) if found.start() < len(head) - 7]


def check_boxes(file: BinaryIO) -> set[bytes]:
    """맨 바깥 상자의 이름들. 상자가 파일 끝을 넘으면 `TruncatedError`를 낸다."""
    boxes = list(walk_boxes(file))
    names, stop = {name for name, _, _ in boxes}, max((at + size for _, at, size in boxes), default=0)
    file.seek(stop)
    rest = file.read(8)
    # 이미지가 다 나온 뒤에 붙은, 상자가 아닌 것은 디코더들이 건너뛴다.
    if rest and (not {b"meta", b"mdat"} <= names or rest[4:] in _BOXES):
        raise TruncatedError
    return names


def is_grey(head: bytes) -> bool:
    """AVIF의 모든 설정이 밝기만(monochrome) 담는다고 하는가. 알파는 언제나 밝기만 담은 별도의 이미지다."""
    settings = _settings(head)
    return bool(settings) and all(flags & 0x10 for flags in settings)


def decode(source: Path, header: Header, *, lazy: bool = False) -> Picture:
    """이미지를 푼다. 10·12비트는 16비트로 늘려 읽고, 10·12비트 애니메이션은 8비트로 줄이고 그렇다고 알린다."""
    bits = header.detail["bits"]
    if header.info.format == "HEIF":
        heif = import_module("pillow_heif").open_heif(source, convert_hdr_to_8bit=False)
        if bits == 8:
            return decode_still(heif.to_pillow(), header)
        array = np.asarray(heif)
        if array.ndim == 3:
            array = array[..., [2, 1, 0, 3][: array.shape[2]]] if array.shape[2] > 2 else array[..., [0, 0, 0, 1]]
        metadata, notes = collect_metadata(dict(heif.info) | header.detail, grey=array.ndim == 2)
        # pillow_heif는 10비트와 12비트를 이미 16비트로 늘려 준다.
        return Picture((Frame(np.ascontiguousarray(array)),), metadata=metadata, format="HEIF", notes=notes, bits=bits)
    if bits > 8 and header.info.frames == 1:
        return _decode_deep(source, header)
    picture = decode_any(source.read_bytes(), header)
    if bits > 8:
        note = f"채널마다 {bits}비트인 AVIF 애니메이션을 8비트로 줄여 읽었습니다."
        return replace(picture, notes=(*picture.notes, note))
    return picture


def _decode_deep(source: Path, header: Header) -> Picture:
    """10·12비트 정지 AVIF를 16비트로 늘려 푼다."""
    bits = header.detail["bits"]
    image = load("heifload", source, unlimited=True)
    if header.info.mode == "L" and image.bands > 2:
        image = image[1]
    array = bgr_array(image)
    # libvips는 아래 자리를 0으로 채운다. 위 자리를 되풀이해야 흰색이 65535가 된다.
    array |= array >> bits
    if header.detail["premultiplied"] and array.shape[2:] == (4,):
        # libvips는 알파를 곱한 색을 그대로 준다.
        alpha = np.maximum(array[..., 3:].astype(np.uint64), 1)
        colour = (array[..., :3].astype(np.uint64) * 65535 + alpha // 2) // alpha
        array[..., :3] = np.minimum(colour, 65535)
    names = {"icc-profile-data": "icc_profile", "exif-data": "exif", "xmp-data": "xmp"}
    info = {names[field]: bytes(image.get(field)) for field in image.get_fields() if field in names}
    metadata, notes = collect_metadata(info | header.detail, grey=array.ndim == 2)
    # 상자가 적은 회전은 libvips가 적용했고, 그런 파일의 EXIF 방향은 쓰지 않는다.
    turned = header.info.width, header.info.height
    orientation = find_orientation(info.get("exif"), None) if turned != (image.width, image.height) else 1
    frames = (Frame(apply_orientation(array, orientation)),)
    return Picture(frames, metadata=metadata, format="AVIF", notes=notes, bits=bits, gray_alpha=image.bands == 2)


def write(file: BinaryIO, frames: Iterable[Frame], job: EncodeJob) -> tuple[str, ...]:
    """AVIF나 HEIC로 쓰고, 담지 못한 것을 알리는 문장들을 돌려준다.

    애니메이션은 Pillow가 모든 프레임을 메모리에 모아 인코딩한다.
    """
    output = io.BytesIO()
    if job.format == "HEIF":
        _save_heif(output, next(iter(frames)), job)
    elif job.depth == 16:
        _save_deep(output, next(iter(frames)), job)
    else:
        _save_avif(output, frames, job)
    data = output.getbuffer()
    if job.metadata.cicp:
        head = bytes(data[:_HEAD_BYTES])
        if (at := head.find(b"colrnclx")) >= 0:
            # 행렬과 범위는 인코더가 쓴 그대로 두고 원색과 전달 특성만 바꾼다.
            struct.pack_into(">HH", data, at + 8, *job.metadata.cicp)
        elif (at := head.find(b"colr")) >= 0:
            # 상자의 나머지는 읽는 이들이 건너뛴다. 크기를 바꾸면 다른 상자가 적은 위치가 모두 어긋난다.
            length = struct.unpack_from(">I", data, at - 4)[0] - 8
            box = b"nclx" + struct.pack(">HHHB", *job.metadata.cicp, *_MATRIX)
            data[at + 4 : at + 4 + length] = box + bytes(length - len(box))
    file.write(data)
    if job.count > 1 and job.loop:
        return (f"재생 횟수({job.loop}번)를 avif에 담지 못해 끝없이 되풀이됩니다.",)
    return ()


def _save_avif(output: BinaryIO, frames: Iterable[Frame], job: EncodeJob) -> None:
    require_encoder("avif")
    images, durations = zip(*((to_image(frame, job), round(frame.duration)) for frame in frames), strict=True)
    options: dict[str, Any] = {"quality": job.quality, "speed": 6, **metadata_options(job.metadata)}
    options["subsampling"] = "4:0:0" if job.kind == "L" else "4:4:4"
    if job.count > 1:
        options |= {"save_all": True, "append_images": images[1:], "duration": list(durations)}
    images[0].save(output, "AVIF", **options)


def _save_deep(output: io.BytesIO, frame: Frame, job: EncodeJob) -> None:
    """10비트나 12비트 AVIF로 쓴다.

    libvips는 EXIF를 풀어 다시 적으면서 한글을 물음표로 바꾼다. 그래서 그만한 자리만 만들게 하고 그 바이트를 바꾼다.
    """
    pyvips = import_vips()
    top, gap = 2**job.bits - 1, 16 - job.bits
    image = job.image(frame)
    image = ((image * (top / 65535)).rint() * 2**gap).cast("ushort").copy(interpretation=image.interpretation)
    exif = job.metadata.exif
    # libvips는 색의 번호를 적지 않는다. 프로파일의 자리를 만들게 하고 그것을 번호로 바꾼다.
    icc = srgb_icc() if job.metadata.cicp else job.metadata.icc
    for name, value in (("icc-profile-data", icc), ("xmp-data", job.metadata.xmp)):
        if value:
            image.set_type(pyvips.GValue.blob_type, name, value)
    if exif:
        image.set_type(pyvips.GValue.gstr_type, "exif-ifd0-ImageDescription", "A" * len(exif))
    options = {"Q": job.quality, "bitdepth": job.bits, "effort": 4, "compression": "av1", "subsample_mode": "off"}
    save(output, image, ".avif", keep="exif:xmp:icc", **options)
    if exif:
        data = output.getbuffer()
        place = bytes(data).find(b"A" * len(exif))
        start = bytes(data).rfind(EXIF_PREFIX, 0, place) + len(EXIF_PREFIX)
        if place < 0 or start < len(EXIF_PREFIX):
            raise ImageWriteError(
                "AVIF로 쓰지 못했습니다.\n  이유: EXIF를 담을 자리를 찾지 못했습니다.\n  해결: --ext png 를 쓰세요."
            )
        end = place + len(exif)
        data[start:end] = exif + bytes(end - start - len(exif))


def _save_heif(output: BinaryIO, frame: Frame, job: EncodeJob) -> None:
    pixels = np.ascontiguousarray(job.pixels(frame))
    mode = {"L": "L", "RGB": "RGB", "RGBA": "RGBA"}[job.kind] + (";16" if job.depth == 16 else "")
    heif = import_module("pillow_heif").from_bytes(mode, (job.width, job.height), pixels.tobytes())
    heif.info.update(metadata_options(job.metadata))
    # x265의 기본 사전 설정은 열 배 넘게 느리면서, 이 품질에서는 크기도 화질도 나아지지 않는다(1500x1500 사진으로 잼).
    heif.save(output, quality=job.quality, chroma=444, enc_params={"preset": "ultrafast"})
