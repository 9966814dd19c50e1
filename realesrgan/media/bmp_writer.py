"""BMP를 쓴다. 머리는 가장 널리 읽히는 BITMAPINFOHEADER다."""

from __future__ import annotations

import struct
from collections.abc import Iterable
from typing import BinaryIO

import numpy as np

from realesrgan.errors import ImageWriteError
from realesrgan.media.encode_job import EncodeJob
from realesrgan.media.picture import Frame
from realesrgan.media.strips import strip_ranges

_HEADERS = 14 + 40


def write_bmp(file: BinaryIO, frames: Iterable[Frame], job: EncodeJob) -> tuple[str, ...]:
    """프레임 하나를 압축하지 않은 BMP로 쓴다. 회색은 256단계 팔레트로 담는다.

    Raises:
        ImageWriteError: 파일이 BMP의 한도 4GB를 넘을 때.
    """
    frame = next(iter(frames))
    palette = b"".join(bytes((level, level, level, 0)) for level in range(256)) if job.kind == "L" else b""
    padded = (job.row_bytes + 3) // 4 * 4
    start = _HEADERS + len(palette)
    total = start + padded * job.height
    if total > 2**32 - 1:
        raise ImageWriteError(
            "BMP로 쓰지 못했습니다.\n  이유: 파일이 BMP의 한도 4GB를 넘습니다.\n  해결: --ext png 를 쓰세요."
        )
    per_metre = [round(value / 0.0254) for value in job.metadata.dpi] if job.metadata.dpi else [0, 0]
    per_metre = [min(value, 2**31 - 1) for value in per_metre]
    bits = 8 * job.channels
    file.write(struct.pack("<2sIHHI", b"BM", total, 0, 0, start))
    info = (40, job.width, job.height, 1, bits, 0, padded * job.height, *per_metre, len(palette) // 4, 0)
    file.write(struct.pack("<IiiHHIIiiII", *info) + palette)
    # BMP는 아랫줄부터 적는다.
    for top, bottom in reversed(strip_ranges(job.height, job.row_bytes)):
        rows = job.strip(frame, top, bottom).reshape(bottom - top, job.row_bytes)[::-1]
        file.write(np.pad(rows, ((0, 0), (0, padded - job.row_bytes))).tobytes())
    return ()
