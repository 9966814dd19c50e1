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
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from realesrgan.media.image import Frame, ImageInfo, Metadata, Picture, still, write_image
from realesrgan.media.picture import DamagedError, TruncatedError
from realesrgan.media.png import apng_delay, check_chunks, deflate, read_header
from tests.media.samples import chunk, exif_bytes, photo, png, random_array, srgb


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_many_strips_are_read_back_by_other_libraries(tmp_path: Path, dtype: Any) -> None:
    array = random_array(2000, 700, 3, dtype=dtype)
    write_image(tmp_path / "a.png", still(array))
    data = (tmp_path / "a.png").read_bytes()
    assert (cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED) == array).all()
    image = Image.open(io.BytesIO(data))
    image.load()
    assert data.count(b"IDAT") > 5


@given(st.lists(st.binary(max_size=300), max_size=4), st.integers(0, 9))
def test_parts_packed_apart_join_into_one_stream(parts: Any, level: Any) -> None:
    joined = b"".join(deflate(part, level, last=False) for part in parts) + deflate(b"")
    assert zlib.decompress(joined, -zlib.MAX_WBITS) == b"".join(parts)


def test_noise_and_repetition_are_both_packed_small() -> None:
    noise = random_array(1 << 16) // 2
    assert len(deflate(noise, 3)) < noise.nbytes * 0.9
    assert len(deflate(np.tile(noise[:1000], 60), 3)) < 6000


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
    assert header.detail["exif"] == b"II*\0"


@pytest.mark.parametrize("cut", [1, 4, 12, 30])
def test_truncated_png_is_found(cut: Any) -> None:
    with pytest.raises(TruncatedError):
        read_header(io.BytesIO(png(random_array(4, 4, 3), 2)[:-cut]))


def test_wrong_png_checksum_is_found() -> None:
    data = bytearray(png(random_array(4, 4, 3), 2))
    data[data.index(b"IDAT") + 8] ^= 1
    with pytest.raises(DamagedError):
        check_chunks(io.BytesIO(data))
