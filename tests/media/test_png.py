"""PNG: 머리와 검사합, 필터, 이어 붙인 압축, 조각의 순서, APNG의 시간."""

from __future__ import annotations

import io
import zlib
from fractions import Fraction
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from realesrgan.media import writer
from realesrgan.media.image import Frame, ImageInfo, Metadata, Picture, still, write_image
from realesrgan.media.picture import DamagedError, TruncatedError
from realesrgan.media.png import apng_delay, check_chunks, combine_adler32, filter_rows, read_header
from realesrgan.media.writer import deflate
from tests.media.samples import chunk, exif_bytes, photo, png, random_array, srgb


def unfiltered(data, width, step):
    """규격의 정의를 한 바이트씩 따라가는 느린 되돌리기."""
    above, result = [0] * width, []
    for row in data:
        line = []
        for index, value in enumerate(row[1:].tolist()):
            left = line[index - step] if index >= step else 0
            corner = above[index - step] if index >= step else 0
            up = above[index]
            estimate = left + up - corner
            paeth = min((left, up, corner), key=lambda item: abs(estimate - item))
            line.append((value + {0: 0, 1: left, 2: up, 3: (left + up) // 2, 4: paeth}[int(row[0])]) % 256)
        result.append(line)
        above = line
    return np.array(result, np.uint8)


@given(st.integers(1, 9), st.integers(1, 12), st.sampled_from([1, 2, 3, 4, 6, 8]), st.integers(0, 2**31), st.booleans())
@settings(max_examples=60, deadline=None)
def test_filtered_rows_unfilter_to_the_original(height: Any, pixels: Any, step: Any, seed: Any, smooth: Any) -> None:
    rows = random_array(height, pixels * step, seed=seed)
    if smooth:
        rows = np.sort(rows, axis=1) // 3
    filtered = filter_rows(rows, np.zeros(pixels * step, np.uint8), step)
    assert (unfiltered(filtered, pixels * step, step) == rows).all()


@given(st.lists(st.binary(max_size=300), min_size=1, max_size=6))
def test_checksums_combine(parts: Any) -> None:
    total, joined = 1, b""
    for part in parts:
        total = combine_adler32(total, zlib.adler32(part), len(part))
        joined += part
    assert total == zlib.adler32(joined)


@given(st.lists(st.binary(min_size=1, max_size=3000), min_size=1, max_size=5))
@settings(max_examples=40, deadline=None)
def test_separately_deflated_parts_join_into_one_stream(parts: Any) -> None:
    packed = b"".join(deflate(part, last=index == len(parts) - 1) for index, part in enumerate(parts))
    assert zlib.decompress(packed, -15) == b"".join(parts)


def test_flat_graphics_compress_far_better_than_runs_alone() -> None:
    pattern = np.tile(random_array(1, 97), (1, 500)).tobytes()
    assert len(deflate(pattern, last=True)) < len(pattern) // 20


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_many_strips_are_read_back_by_other_libraries(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, dtype: Any
) -> None:
    monkeypatch.setattr(writer, "STRIP_BYTES", 500)
    array = random_array(64, 48, 3, dtype=dtype)
    write_image(tmp_path / "a.png", still(array))
    data = (tmp_path / "a.png").read_bytes()
    assert (cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED) == array).all()
    image = Image.open(io.BytesIO(data))
    image.load()
    assert data.count(b"IDAT") > 10


def test_metadata_chunks_come_before_the_pixels(tmp_path: Path) -> None:
    metadata = Metadata(icc=srgb(), exif=exif_bytes(1), xmp=b"<x/>", dpi=(300, 300))
    write_image(tmp_path / "a.png", still(photo(), metadata))
    data = (tmp_path / "a.png").read_bytes()
    order = [data.index(kind) for kind in (b"IHDR", b"iCCP", b"pHYs", b"eXIf", b"iTXt", b"IDAT", b"IEND")]
    assert order == sorted(order)
    image = Image.open(io.BytesIO(data))
    image.load()
    assert image.info["icc_profile"] == srgb()
    assert image.info["dpi"] == (299.9994, 299.9994)
    assert image.getexif()[0x010F] == "Maker"


@given(st.floats(0, 1e7))
def test_delay_is_the_closest_fraction_that_fits(duration: Any) -> None:
    top, bottom = apng_delay(duration)
    assert 0 <= top <= 65535 and 1 <= bottom <= 65535
    assert abs(Fraction(top, bottom) * 1000 - Fraction(min(duration, 65535000))) <= max(
        min(duration, 65535000) / 60000, 0.02
    )


def test_whole_milliseconds_are_exact() -> None:
    for duration in (0, 1, 33, 100, 999, 12345, 65535):
        assert Fraction(*apng_delay(duration)) * 1000 == duration


def test_apng_is_read_frame_by_frame_by_pillow(tmp_path: Path) -> None:
    arrays = [random_array(20, 30, 4, seed=seed) for seed in range(3)]
    frames = [Frame(array, 40 * (index + 1)) for index, array in enumerate(arrays)]
    write_image(tmp_path / "a.png", Picture(frames, frame_count=3, loop=2))
    with Image.open(tmp_path / "a.png") as image:
        assert (image.n_frames, image.info["loop"]) == (3, 2)
        for index, array in enumerate(arrays):
            image.seek(index)
            assert (np.asarray(image) == array[..., [2, 1, 0, 3]]).all()
            assert image.info["duration"] == 40 * (index + 1)


def test_png_header_is_gathered_without_decoding() -> None:
    data = png(random_array(2, 3, 3, dtype=np.uint16), 2, after=chunk(b"eXIf", b"II*\0"))
    header = read_header(io.BytesIO(data))
    assert header.info == ImageInfo(3, 2, "PNG", 1, "RGB", 16)
    assert header.detail.exif == b"II*\0"


@pytest.mark.parametrize("cut", [1, 4, 12, 30])
def test_truncated_png_is_found(cut: Any) -> None:
    with pytest.raises(TruncatedError):
        read_header(io.BytesIO(png(random_array(4, 4, 3), 2)[:-cut]))


def test_wrong_png_checksum_is_found() -> None:
    data = bytearray(png(random_array(4, 4, 3), 2))
    data[data.index(b"IDAT") + 8] ^= 1
    with pytest.raises(DamagedError):
        check_chunks(io.BytesIO(data))
