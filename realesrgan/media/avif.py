"""AVIF와 HEIC를 읽고 쓴다. 둘 다 상자(box)로 이루어진 ISO BMFF(ISO/IEC 14496-12) 파일이다.

인코딩과 디코딩은 Pillow와 `pillow_heif`가 이미지 전체를 메모리에 두고 한다.
"""

from __future__ import annotations

import io
import os
import struct
from collections.abc import Iterable
from dataclasses import replace
from typing import Any, BinaryIO

from realesrgan.errors import ImageWriteError
from realesrgan.media.animation import decode_any
from realesrgan.media.formats import sniff_format
from realesrgan.media.picture import Frame, Header, ImageInfo, MissingDecoderError, Mode, Picture, TruncatedError
from realesrgan.media.reader import decode_still, pillow_header
from realesrgan.media.writer import EncodeJob, require_encoder, to_image
from realesrgan.util.optional import is_installed

_HEAD_BYTES = 1 << 16


def read_header(file: BinaryIO) -> Header:
    """AVIF나 HEIC의 머리를 읽는다.

    Raises:
        TruncatedError: 파일이 잘렸을 때.
        MissingDecoderError: 디코더가 설치되어 있지 않을 때.
        Exception: 디코더가 내는 여러 가지 예외.
    """
    file.seek(0)
    head = file.read(_HEAD_BYTES)
    check_boxes(file)
    if sniff_format(head[:64]) == "AVIF":
        header = pillow_header(file, "AVIF")
        # 옛 Pillow는 회색 AVIF도 RGB로 푸므로 머리에서 알아낸다.
        grey = header.info.mode == "RGB" and is_grey(head)
        return replace(header, info=replace(header.info, mode="L")) if grey else header
    # HEIC는 대표 이미지만 본다. 회전은 디코더가 적용하므로 EXIF의 방향은 쓰지 않는다.
    file.seek(0)
    heif = heif_module().open_heif(file)
    mode: Mode = "RGBA" if heif.mode in ("RGBA", "RGBa", "LA", "La") else "L" if heif.mode == "L" else "RGB"
    return Header(ImageInfo(heif.size[0], heif.size[1], "HEIF", 1, mode, 8))


def check_boxes(file: BinaryIO) -> None:
    """맨 바깥 상자가 파일 안에 다 들어 있는지 본다.

    Raises:
        TruncatedError: 상자가 파일 끝을 넘을 때.
    """
    end = file.seek(0, os.SEEK_END)
    at = 0
    while at < end:
        file.seek(at)
        head = file.read(16)
        if len(head) < 8:
            raise TruncatedError
        size = struct.unpack_from(">I", head)[0]
        if size == 1 and len(head) == 16:
            size = struct.unpack_from(">Q", head, 8)[0]
        if size == 0:
            return
        if size < 8 or at + size > end:
            raise TruncatedError
        at += size


def is_grey(head: bytes) -> bool:
    """AVIF의 모든 인코딩 설정(av1C 상자)이 밝기만(monochrome) 담는다고 하는가.

    알파는 언제나 밝기만 담은 별도의 이미지이므로, 색이 하나라도 있으면 거짓이다(AV1-ISOBMFF 2.3.3절).
    """
    places, at = [], head.find(b"av1C")
    while 0 <= at < len(head) - 7:
        places.append(at)
        at = head.find(b"av1C", at + 4)
    return bool(places) and all(head[place + 6] & 0x10 for place in places)


def decode(data: bytes, header: Header) -> Picture:
    """이미지를 푼다. 채널마다 8비트가 넘는 것은 8비트로 줄이고 그렇다고 알린다."""
    if header.info.format == "HEIF":
        picture = decode_still(heif_module().open_heif(io.BytesIO(data)).to_pillow(), header)
    else:
        picture = decode_any(data, header)
    name, head = header.info.format, data[:_HEAD_BYTES]
    # 비트 깊이는 av1C와 hvcC 상자에 적혀 있다.
    box, offset, mask = (b"av1C", 6, 0x40) if name == "AVIF" else (b"hvcC", 21, 0x07)
    at = head.find(box)
    if 0 <= at < len(head) - offset - 1 and head[at + offset] & mask:
        note = f"채널마다 8비트가 넘는 {name}을 8비트로 줄여 읽었습니다."
        return replace(picture, notes=(*picture.notes, note))
    return picture


def heif_module() -> Any:
    """`pillow_heif`를 늦게 불러온다.

    Raises:
        MissingDecoderError: 설치되어 있지 않을 때.
    """
    if not is_installed("pillow_heif"):
        raise MissingDecoderError("HEIC를 다루려면 추가 패키지가 필요합니다. pip install pillow-heif 를 실행하세요.")
    import pillow_heif

    return pillow_heif


def write(file: BinaryIO, frames: Iterable[Frame], job: EncodeJob) -> tuple[str, ...]:
    """AVIF나 HEIC로 쓴다. 애니메이션은 Pillow가 모든 프레임을 메모리에 모아 인코딩한다.

    Returns:
        담지 못한 것을 알리는 문장들.

    Raises:
        ImageWriteError: 인코더가 설치되어 있지 않을 때.
    """
    named = {"icc_profile": job.metadata.icc, "exif": job.metadata.exif, "xmp": job.metadata.xmp}
    metadata = {name: value for name, value in named.items() if value}
    output = io.BytesIO()
    if job.format == "HEIF":
        _save_heif(output, next(iter(frames)), job, metadata)
    else:
        _save_avif(output, list(frames), job, metadata)
    file.write(output.getbuffer())
    if job.count > 1 and job.loop:
        return (f"재생 횟수({job.loop}번)를 avif에 담지 못해 끝없이 되풀이됩니다.",)
    return ()


def _save_avif(output: BinaryIO, frames: list[Frame], job: EncodeJob, metadata: dict[str, bytes]) -> None:
    require_encoder("avif")
    images = [to_image(job.strip(frame, 0, job.height)) for frame in frames]
    options: dict[str, Any] = {"quality": job.quality, "speed": 6, **metadata}
    options["subsampling"] = "4:0:0" if job.kind == "L" else "4:4:4"
    if job.count > 1:
        durations = [round(frame.duration) for frame in frames]
        options |= {"save_all": True, "append_images": images[1:], "duration": durations}
    images[0].save(output, "AVIF", **options)


def _save_heif(output: BinaryIO, frame: Frame, job: EncodeJob, metadata: dict[str, bytes]) -> None:
    try:
        module = heif_module()
    except MissingDecoderError as error:
        raise ImageWriteError(
            f"HEIC로 쓰지 못했습니다.\n  이유: pillow_heif가 설치되어 있지 않습니다.\n  해결: {error.remedy}"
        ) from error
    heif = module.from_pillow(to_image(job.strip(frame, 0, job.height)))
    heif.info.update(metadata)
    # x265의 기본 사전 설정은 열 배 넘게 느리면서, 이 품질에서는 크기도 화질도 나아지지 않는다(1500x1500 사진으로 잼).
    heif.save(output, quality=job.quality, chroma=444, enc_params={"preset": "ultrafast"})
