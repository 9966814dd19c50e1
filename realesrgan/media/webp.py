"""WebP를 읽고 쓴다(RFC 9649). 픽셀은 Pillow가 풀고 누른다.

파일의 구조(RIFF)를 여기서 적는 까닭은, 라이브러리들이 애니메이션의 프레임을 모두 모은 뒤에야 쓰고 같은 프레임을 합치기
때문이다.
"""

from __future__ import annotations

import io
import os
import struct
from collections.abc import Iterable
from typing import BinaryIO

from realesrgan.media.image import EncodeJob
from realesrgan.media.picture import Frame, Header, TruncatedError
from realesrgan.media.pillow import decode, metadata_options, pillow_header, require_encoder, to_image

__all__ = ["decode", "read_header", "write"]

_LOSSLESS = 100
_ANIMATION_FLAG, _XMP_FLAG, _EXIF_FLAG, _ALPHA_FLAG, _ICC_FLAG = 0x02, 0x04, 0x08, 0x10, 0x20
_MAX_DURATION = 2**24 - 1


def read_header(file: BinaryIO) -> Header:
    """WebP의 머리를 읽는다. RIFF에 적힌 길이가 파일 안에 들어 있는지 먼저 본다.

    Raises:
        TruncatedError: 적힌 길이보다 파일이 짧을 때.
        Exception: Pillow의 디코더가 내는 여러 가지 예외.
    """
    end = file.seek(0, os.SEEK_END)
    file.seek(4)
    size = file.read(4)
    if len(size) < 4 or struct.unpack("<I", size)[0] + 8 > end:
        raise TruncatedError
    return pillow_header(file, "WEBP")


def write(file: BinaryIO, frames: Iterable[Frame], job: EncodeJob) -> tuple[str, ...]:
    """WebP로 쓰고 빈 튜플을 돌려준다. 품질 100은 무손실이다. 프레임이 둘 이상이면 애니메이션이 된다."""
    require_encoder("webp")
    metadata = job.metadata
    # exact는 투명한 픽셀의 색도 지킨다. 다시 키울 때 테두리가 생기지 않게 한다.
    options = {"quality": job.quality, "lossless": job.quality == _LOSSLESS, "method": 4, "exact": True}
    if job.count == 1:
        to_image(next(iter(frames)), job).save(file, "WEBP", **options, **metadata_options(metadata))
        return ()
    parts = ((_ALPHA_FLAG, job.kind == "RGBA"), (_ICC_FLAG, metadata.icc), (_EXIF_FLAG, metadata.exif))
    flags = _ANIMATION_FLAG | sum(flag for flag, value in (*parts, (_XMP_FLAG, metadata.xmp)) if value)
    canvas = (job.width - 1).to_bytes(3, "little") + (job.height - 1).to_bytes(3, "little")
    file.write(b"RIFF\0\0\0\0WEBP" + _chunk(b"VP8X", struct.pack("<I", flags) + canvas))
    file.write(_chunk(b"ICCP", metadata.icc) if metadata.icc else b"")
    file.write(_chunk(b"ANIM", struct.pack("<IH", 0, min(job.loop, 65535))))
    for frame in frames:
        # 프레임마다 정지 이미지로 인코딩해 담는다(2.7.1.1절).
        output = io.BytesIO()
        to_image(frame, job).save(output, "WEBP", **options)
        duration = min(round(frame.duration), _MAX_DURATION).to_bytes(3, "little")
        # 마지막 바이트 0x02: 앞 프레임과 섞지 않고 덮어쓴다.
        file.write(_chunk(b"ANMF", bytes(6) + canvas + duration + b"\x02" + _bitstream(output.getvalue())))
    file.writelines(_chunk(name, value) for name, value in ((b"EXIF", metadata.exif), (b"XMP ", metadata.xmp)) if value)
    size = file.tell()
    file.seek(4)
    file.write(struct.pack("<I", size - 8))
    file.seek(size)
    return ()


def _chunk(name: bytes, body: bytes) -> bytes:
    return name + struct.pack("<I", len(body)) + body + b"\0" * (len(body) % 2)


def _bitstream(webp: bytes) -> bytes:
    """정지 WebP에서 픽셀 조각(ALPH, VP8, VP8L)만 꺼낸다."""
    kept, at = b"", 12
    while at + 8 <= len(webp):
        (size,) = struct.unpack_from("<I", webp, at + 4)
        end = at + 8 + size + size % 2
        if webp[at : at + 4] in (b"ALPH", b"VP8 ", b"VP8L"):
            kept += webp[at:end]
        at = end
    return kept
