"""WebP, AVIF, HEIC를 Pillow와 pillow_heif로 쓴다. 이 형식들은 그림 전체를 메모리에서 부호화한다."""

from __future__ import annotations

import io
import struct
from collections.abc import Iterable
from typing import Any, BinaryIO

import numpy as np
from PIL import Image, features

from realesrgan.errors import ImageWriteError
from realesrgan.media.colour import from_array
from realesrgan.media.encode_job import EncodeJob
from realesrgan.media.picture import Frame, Metadata
from realesrgan.media.plugins import UnsupportedPluginError, heif_module
from realesrgan.util.optional import import_cv2

_LOSSLESS = 100
_ANIMATION_FLAG, _XMP_FLAG, _EXIF_FLAG, _ALPHA_FLAG, _ICC_FLAG = 0x02, 0x04, 0x08, 0x10, 0x20
_MAX_DURATION = 2**24 - 1


def _image(frame: Frame, job: EncodeJob) -> Image.Image:
    return from_array(job.strip(frame, 0, job.height))


def _metadata_options(metadata: Metadata) -> dict[str, Any]:
    named = {"icc_profile": metadata.icc, "exif": metadata.exif, "xmp": metadata.xmp}
    return {name: value for name, value in named.items() if value}


def _need(feature: str) -> None:
    if not features.check(feature):
        raise ImageWriteError(
            f"{feature}로 쓰지 못했습니다.\n  이유: 설치된 Pillow가 {feature}를 지원하지 않습니다.\n"
            f"  해결: pip install -U pillow 를 실행하거나 --ext png 를 쓰세요."
        )


def write_webp(file: BinaryIO, frames: Iterable[Frame], job: EncodeJob) -> tuple[str, ...]:
    """WebP로 쓴다. 품질 100은 무손실이다. 프레임이 둘 이상이면 애니메이션이 된다."""
    _need("webp")
    metadata = job.metadata
    flags = (_ANIMATION_FLAG if job.count > 1 else 0) | (_ALPHA_FLAG if job.kind == "BGRA" else 0)
    flags |= (_ICC_FLAG if metadata.icc else 0) | (_EXIF_FLAG if metadata.exif else 0)
    flags |= _XMP_FLAG if metadata.xmp else 0
    canvas = _uint24(job.width - 1) + _uint24(job.height - 1)
    file.write(b"RIFF\0\0\0\0WEBP")
    _write_riff(file, b"VP8X", struct.pack("<I", flags) + canvas)
    if metadata.icc:
        _write_riff(file, b"ICCP", metadata.icc)
    if job.count > 1:
        _write_animation(file, frames, job, canvas)
    else:
        file.write(_bitstream(_encode_webp(next(iter(frames)), job)))
    for name, value in ((b"EXIF", metadata.exif), (b"XMP ", metadata.xmp)):
        if value:
            _write_riff(file, name, value)
    size = file.tell()
    file.seek(4)
    file.write(struct.pack("<I", size - 8))
    file.seek(size)
    return ()


def _write_animation(file: BinaryIO, frames: Iterable[Frame], job: EncodeJob, canvas: bytes) -> None:
    """프레임마다 정지 그림으로 부호화해 ANMF 조각에 담는다(RFC 9649 2.7.1.1절).

    Pillow의 애니메이션 저장은 모든 프레임을 메모리에 모으고 같은 프레임을 합친다. 여기서는 한 장씩 쓰고 수를 지킨다.
    """
    _write_riff(file, b"ANIM", struct.pack("<IH", 0, min(job.loop, 65535)))
    for frame in frames:
        duration = min(round(frame.duration), _MAX_DURATION)
        # 마지막 바이트 0x02: 앞 프레임과 섞지 않고 덮어쓴다.
        head = bytes(6) + canvas + _uint24(duration) + b"\x02"
        _write_riff(file, b"ANMF", head + _bitstream(_encode_webp(frame, job)))


def _encode_webp(frame: Frame, job: EncodeJob) -> bytes:
    """프레임 하나를 메타데이터 없는 WebP로 부호화한다."""
    lossless = job.quality == _LOSSLESS
    if job.kind == "BGR":
        # OpenCV는 BGR을 복사하지 않고 넘겨 Pillow의 절반쯤의 메모리를 쓴다. 100보다 큰 값은 무손실을 뜻한다.
        cv2 = import_cv2()
        options = [cv2.IMWRITE_WEBP_QUALITY, 101 if lossless else job.quality]
        ok, encoded = cv2.imencode(".webp", np.ascontiguousarray(job.strip(frame, 0, job.height)), options)
        if not ok:
            raise OSError("WebP encoder failed")
        return encoded.tobytes()
    output = io.BytesIO()
    # exact는 투명한 픽셀의 색도 지킨다. 다시 키울 때 테두리가 생기지 않게 한다.
    _image(frame, job).save(output, "WEBP", quality=job.quality, lossless=lossless, method=4, exact=True)
    return output.getvalue()


def _uint24(value: int) -> bytes:
    return value.to_bytes(3, "little")


def _write_riff(file: BinaryIO, name: bytes, body: bytes) -> None:
    file.write(name + struct.pack("<I", len(body)) + body + b"\0" * (len(body) % 2))


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


def write_avif(file: BinaryIO, frames: Iterable[Frame], job: EncodeJob) -> tuple[str, ...]:
    """AVIF로 쓴다. 애니메이션은 Pillow가 모든 프레임을 메모리에 모아 부호화한다."""
    _need("avif")
    listed = list(frames)
    images = [_image(frame, job) for frame in listed]
    options: dict[str, Any] = {"quality": job.quality, "speed": 6, **_metadata_options(job.metadata)}
    options["subsampling"] = "4:0:0" if job.kind == "L" else "4:4:4"
    if job.count > 1:
        durations = [round(frame.duration) for frame in listed]
        options |= {"save_all": True, "append_images": images[1:], "duration": durations}
    output = io.BytesIO()
    images[0].save(output, "AVIF", **options)
    file.write(output.getbuffer())
    if job.count > 1 and job.loop:
        return (f"재생 횟수({job.loop}번)를 avif에 담지 못해 끝없이 되풀이됩니다.",)
    return ()


def write_heif(file: BinaryIO, frames: Iterable[Frame], job: EncodeJob) -> tuple[str, ...]:
    """HEIC로 쓴다.

    Raises:
        ImageWriteError: `pillow_heif`가 없을 때.
    """
    try:
        module = heif_module()
    except UnsupportedPluginError as error:
        raise ImageWriteError(
            f"HEIC로 쓰지 못했습니다.\n  이유: pillow_heif가 설치되어 있지 않습니다.\n  해결: {error}"
        ) from error
    image = _image(next(iter(frames)), job)
    output = io.BytesIO()
    heif = module.from_pillow(image)
    for name, value in _metadata_options(job.metadata).items():
        heif.info[name] = value
    # x265의 기본 사전 설정은 열 배 넘게 느리면서, 이 품질에서는 크기도 화질도 나아지지 않는다(1500x1500 사진으로 잼).
    heif.save(output, quality=job.quality, chroma=444, enc_params={"preset": "ultrafast"})
    file.write(output.getbuffer())
    return ()
