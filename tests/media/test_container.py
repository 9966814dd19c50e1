"""파일의 겉짜임 걷기."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import pytest

from realesrgan.media import container
from tests.media.samples import chunk, encoded, photo, png, random_array, tiff


@pytest.mark.parametrize("name", ["PNG", "JPEG", "WEBP", "BMP", "TIFF", "GIF", "AVIF"])
def test_format_is_found_by_content(name: Any) -> None:
    assert container.sniff_format(encoded(photo(), name)[:64]) == name


@pytest.mark.parametrize("head", [b"", b"hello", b"\x89PN", b"RIFF\0\0\0\0WAVE", b"\0\0\0\x18ftypmp42" + bytes(12)])
def test_unknown_content_is_none(head: Any) -> None:
    assert container.sniff_format(head) is None


@pytest.mark.parametrize("brands", [(b"mif1", b"avif"), (b"avis",), (b"avif", b"mif1")])
def test_avif_is_found_by_compatible_brands(brands: Any) -> None:
    body = b"ftyp" + brands[0] + bytes(4) + b"".join(brands[1:])
    assert container.sniff_format(len(body + b"size").to_bytes(4, "big") + body) == "AVIF"


def test_heif_brand_is_recognised() -> None:
    assert container.sniff_format(b"\0\0\0\x18ftypheic\0\0\0\0mif1heic") == "HEIF"


def test_png_header_is_gathered_without_decoding() -> None:
    data = png(random_array(2, 3, 3, dtype=np.uint16), 2, after=chunk(b"eXIf", b"II*\0"))
    header = container.read_png_header(io.BytesIO(data))
    assert (header.width, header.height, header.bit_depth, header.colour_type) == (3, 2, 16, 2)
    assert header.exif == b"II*\0"
    assert header.frames == 1


@pytest.mark.parametrize("cut", [1, 4, 12, 30])
def test_truncated_png_is_found(cut: Any) -> None:
    with pytest.raises(container.TruncatedError):
        container.read_png_header(io.BytesIO(png(random_array(4, 4, 3), 2)[:-cut]))


def test_wrong_png_checksum_is_found() -> None:
    data = bytearray(png(random_array(4, 4, 3), 2))
    data[data.index(b"IDAT") + 8] ^= 1
    with pytest.raises(container.DamagedError):
        container.check_png(io.BytesIO(data))


def test_gif_frames_and_plays_are_counted() -> None:
    from PIL import Image

    frames = [Image.fromarray(random_array(4, 5, seed=seed)) for seed in range(3)]
    for loop, expected in ((0, 0), (4, 5), (None, 1)):
        output = io.BytesIO()
        options = {} if loop is None else {"loop": loop}
        frames[0].save(output, "GIF", save_all=True, append_images=frames[1:], duration=50, **options)
        header = container.read_gif_header(io.BytesIO(output.getvalue()))
        assert (header.width, header.height, header.frames, header.loop) == (5, 4, 3, expected)


def test_gif_may_lack_its_trailer_but_not_half_a_block() -> None:
    data = encoded(random_array(8, 8), "GIF")
    assert container.read_gif_header(io.BytesIO(data[:-1])).frames == 1
    with pytest.raises(container.TruncatedError):
        container.read_gif_header(io.BytesIO(data[:-3]))


def test_short_riff_and_boxes_are_found() -> None:
    webp, avif = encoded(photo(), "WEBP"), encoded(photo(), "AVIF")
    container.check_riff(io.BytesIO(webp))
    container.check_boxes(io.BytesIO(avif))
    with pytest.raises(container.TruncatedError):
        container.check_riff(io.BytesIO(webp[:-1]))
    with pytest.raises(container.TruncatedError):
        container.check_boxes(io.BytesIO(avif[:-1]))


def test_both_tiff_byte_orders_are_recognised() -> None:
    for order in "<>":
        assert container.sniff_format(tiff(random_array(2, 2, 1), order=order)[:64]) == "TIFF"
