"""이미지 읽기: 종류, 깊이, 방향, 색."""

from __future__ import annotations

import io
import os
import struct
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from PIL import Image, ImageCms

from realesrgan.errors import ImageReadError
from realesrgan.media.colour import matching_icc
from realesrgan.media.image import looks_like_picture, probe_image, read_image
from realesrgan.media.picture import Header, ImageInfo, UnsupportedError, apply_orientation, read_error
from realesrgan.media.pillow import decode_still, to_array
from realesrgan.media.vips import explained, import_vips
from tests.media.samples import (
    chunk,
    encoded,
    exif_bytes,
    parsed_exif,
    photo,
    png,
    profile,
    random_array,
    srgb,
    tiff,
)


def load(tmp_path, data, **options):
    path = tmp_path / "이미지 파일 🙂.bin"
    path.write_bytes(data)
    picture, info = read_image(path, **options), probe_image(path)
    frame = picture.first
    assert (info.height, info.width) == frame.array.shape[:2]
    assert info.channels == (1 if frame.array.ndim == 2 else frame.array.shape[2])
    assert info.bit_depth == frame.array.dtype.itemsize * 8
    assert info.format == picture.format
    lazy = read_image(path, **options, lazy=True).first
    pixels = np.asarray(lazy.array)
    assert ((bgr(pixels) if lazy.rgb and pixels.ndim == 3 else pixels) == frame.array).all()
    return picture


def bgr(rgb):
    return rgb[..., [2, 1, 0, 3][: rgb.shape[2]]]


@pytest.mark.parametrize("name", ["PNG", "BMP", "TIFF", "GIF"])
def test_gray_stays_gray(tmp_path: Path, name: Any) -> None:
    # 회색 단계를 모두 써야 GIF의 팔레트가 회색 눈금 그대로다.
    array = np.arange(256, dtype=np.uint8).reshape(8, 32)
    picture = load(tmp_path, encoded(array, name))
    assert (picture.first.array == array).all()
    assert not picture.gray_alpha


def test_one_bit_becomes_gray(tmp_path: Path) -> None:
    bits = random_array(6, 9) > 127
    output = io.BytesIO()
    Image.fromarray(bits).save(output, "PNG")
    assert (load(tmp_path, output.getvalue()).first.array == bits * 255).all()


@pytest.mark.parametrize("channels", [3, 4])
@pytest.mark.parametrize("name", ["PNG", "TIFF", "WEBP"])
def test_colour_comes_as_bgr(tmp_path: Path, name: Any, channels: Any) -> None:
    rgb = random_array(5, 7, channels)
    options = {"lossless": True, "exact": True} if name == "WEBP" else {}
    assert (load(tmp_path, encoded(rgb, name, **options)).first.array == bgr(rgb)).all()


@pytest.mark.parametrize(("count", "colour_type"), [(1, 0), (2, 4), (3, 2), (4, 6)])
@pytest.mark.parametrize("top", [65535, 200])
def test_sixteen_bit_png_stays_sixteen_bit_even_when_dark(
    tmp_path: Path, count: Any, colour_type: Any, top: Any
) -> None:
    samples = np.minimum(random_array(5, 7, count, dtype=np.uint16), top).astype(np.uint16)
    picture = load(tmp_path, png(samples, colour_type))
    array = picture.first.array
    assert array.dtype == np.uint16
    expected = samples[..., 0] if count == 1 else samples[..., [0, 0, 0, 1]] if count == 2 else bgr(samples)
    assert (array == expected).all()
    assert picture.gray_alpha == (count == 2)


@pytest.mark.parametrize("bits", [8, 16])
def test_transparent_gray_value_becomes_alpha(tmp_path: Path, bits: Any) -> None:
    dtype = np.uint16 if bits == 16 else np.uint8
    samples = random_array(4, 4, 1, dtype=dtype)
    key = int(samples[1, 2, 0])
    picture = load(tmp_path, png(samples, 0, before=chunk(b"tRNS", key.to_bytes(2, "big"))))
    alpha = picture.first.array[..., 3]
    assert ((alpha == 0) == (samples[..., 0] == key)).all()
    assert picture.gray_alpha


def test_transparent_value_of_few_bit_gray_is_scaled(tmp_path: Path) -> None:
    packed = np.array([[[0b00_01_10_11]]], np.uint8)
    data = bytearray(png(packed, 0, bits=2, before=chunk(b"tRNS", b"\0\2")))
    data[16:29] = data[16:29]
    header = b"IHDR" + (4).to_bytes(4, "big") + bytes(data[20:29])
    data[8:33] = chunk(b"IHDR", header[4:])
    array = load(tmp_path, bytes(data)).first.array
    assert array[0, :, 0].tolist() == [0, 85, 170, 255]
    assert array[0, :, 3].tolist() == [255, 255, 0, 255]


@pytest.mark.parametrize("bits", [8, 16])
def test_transparent_colour_becomes_alpha(tmp_path: Path, bits: Any) -> None:
    dtype = np.uint16 if bits == 16 else np.uint8
    samples = random_array(4, 4, 3, dtype=dtype)
    key = b"".join(int(value).to_bytes(2, "big") for value in samples[1, 2])
    array = load(tmp_path, png(samples, 2, before=chunk(b"tRNS", key))).first.array
    assert array.shape == (4, 4, 4)
    assert array[1, 2, 3] == 0
    assert (array[..., :3] == samples[..., ::-1]).all()


@pytest.mark.parametrize("transparency", [None, 1, bytes([255, 0, 128, 255])])
def test_palette_expands(tmp_path: Path, transparency: Any) -> None:
    image = Image.fromarray(random_array(4, 6) % 4)
    image = image.convert("P")
    image.putpalette([255, 0, 0, 0, 255, 0, 0, 0, 255, 9, 8, 7])
    indices = random_array(4, 6) % 4
    image = Image.frombytes("P", (6, 4), indices.tobytes())
    image.putpalette([255, 0, 0, 0, 255, 0, 0, 0, 255, 9, 8, 7])
    output = io.BytesIO()
    image.save(output, "PNG", **({} if transparency is None else {"transparency": transparency}))
    array = load(tmp_path, output.getvalue()).first.array
    palette = np.array([[0, 0, 255], [0, 255, 0], [255, 0, 0], [7, 8, 9]])
    if transparency is None:
        assert (array == palette[indices]).all()
    else:
        alpha = {1: [255, 0, 255, 255]}.get(transparency, [255, 0, 128, 255])
        assert (array[..., :3][array[..., 3] > 0] == palette[indices][array[..., 3] > 0]).all()
        assert (array[..., 3] == np.array(alpha)[indices]).all()


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("deflate", [False, True])
@pytest.mark.parametrize("planar", [False, True])
@pytest.mark.parametrize("count", [1, 2, 3, 4])
def test_tiff_of_every_layout(tmp_path: Path, dtype: Any, order: Any, deflate: Any, planar: Any, count: Any) -> None:
    samples = random_array(5, 7, count, dtype=dtype)
    tags = {"t338": (2,)} if count in (2, 4) else {}
    picture = load(tmp_path, tiff(samples, order=order, deflate=deflate, planar=planar and count > 1, **tags))
    expected = samples[..., 0] if count == 1 else samples[..., [0, 0, 0, 1]] if count == 2 else bgr(samples)
    assert (picture.first.array == expected).all()
    assert picture.gray_alpha == (count == 2)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_tiff_special_meanings(tmp_path: Path, dtype: Any) -> None:
    top = int(np.iinfo(dtype).max)
    gray = random_array(4, 5, 1, dtype=dtype)
    assert (load(tmp_path, tiff(gray, t262=(0,))).first.array == top - gray[..., 0]).all()
    unknown = random_array(4, 5, 4, dtype=dtype)
    assert (load(tmp_path, tiff(unknown, t338=(0,))).first.array == unknown[..., 2::-1]).all()
    straight = random_array(4, 5, 4, dtype=dtype)
    straight[..., 3] |= top // 2
    scaled = straight.astype(np.uint64)
    scaled[..., :3] = (scaled[..., :3] * scaled[..., 3:] + top // 2) // top
    result = load(tmp_path, tiff(scaled.astype(dtype), t338=(1,))).first.array.astype(np.int64)
    assert np.abs(result - bgr(straight)).max() <= 1


@pytest.mark.parametrize("compression", [5, 32946, 8, 1])
@pytest.mark.parametrize("channels", [3, 4])
def test_sixteen_bit_tiff_written_by_opencv(tmp_path: Path, compression: Any, channels: Any) -> None:
    array = random_array(9, 11, channels, dtype=np.uint16)
    _, data = cv2.imencode(".tiff", array, [cv2.IMWRITE_TIFF_COMPRESSION, compression])
    assert (load(tmp_path, data.tobytes()).first.array == array).all()


@pytest.mark.parametrize("compression", ["tiff_lzw", "packbits", "tiff_adobe_deflate", None])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_gray_tiff_written_by_pillow(tmp_path: Path, compression: Any, dtype: Any) -> None:
    array = random_array(9, 11, dtype=dtype)
    data = encoded(array, "TIFF", **({"compression": compression} if compression else {}))
    assert (load(tmp_path, data).first.array == array).all()


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize(
    "kind", ["JPEG", "PNG", "WEBP", "TIFF", "AVIF", "png16", "late", "tiff16", "tifflzw", "gray16lzw"]
)
def test_orientation_is_applied_once_and_reset(tmp_path: Path, kind: Any, orientation: Any) -> None:
    rgb = photo(12, 20)[..., ::-1]
    exif = exif_bytes(orientation, size=(20, 12))
    if kind in ("png16", "late"):
        place = {"before" if kind == "png16" else "after": chunk(b"eXIf", exif)}
        rgb = rgb.astype(np.uint16) * 257 if kind == "png16" else rgb
        data = png(np.ascontiguousarray(rgb), 2, **place)
    elif kind == "tiff16":
        rgb = rgb.astype(np.uint16) * 257
        data = tiff(rgb, t274=(orientation,))
    elif kind == "gray16lzw":
        rgb = rgb[..., 0].astype(np.uint16) * 257
        data = encoded(rgb, "TIFF", compression="tiff_lzw", tiffinfo={274: orientation})
    elif kind in ("TIFF", "tifflzw"):
        options = {"compression": "tiff_lzw"} if kind == "tifflzw" else {}
        data = encoded(rgb, "TIFF", tiffinfo={274: orientation}, **options)
    else:
        options = {"lossless": True} if kind == "WEBP" else {"quality": 95}
        data = encoded(rgb, kind, exif=exif, **options)
    picture = load(tmp_path, data)
    expected = apply_orientation(rgb if rgb.ndim == 2 else rgb[..., ::-1], orientation)
    scale = 257 if rgb.dtype == np.uint16 else 1
    assert np.abs(picture.first.array.astype(int) - expected).max() <= 25 * scale
    if picture.metadata.exif:
        assert parsed_exif(picture.metadata.exif).get(0x0112, 1) == 1


def test_cmyk_without_profile(tmp_path: Path) -> None:
    image = Image.fromarray(photo()[..., ::-1]).convert("CMYK")
    output = io.BytesIO()
    image.save(output, "JPEG", quality=95)
    picture = load(tmp_path, output.getvalue())
    expected = np.asarray(image.convert("RGB"))[..., ::-1]
    assert np.abs(picture.first.array.astype(int) - expected).mean() < 3
    assert picture.metadata.icc is None
    assert any("CMYK" in note for note in picture.notes)


def test_lab_tiff_becomes_srgb(tmp_path: Path) -> None:
    rgb = photo()[..., ::-1]
    lab = ImageCms.profileToProfile(
        Image.fromarray(rgb), ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB"), outputMode="LAB"
    )
    output = io.BytesIO()
    lab.save(output, "TIFF")
    picture = load(tmp_path, output.getvalue())
    assert np.abs(picture.first.array.astype(int) - rgb[..., ::-1]).mean() < 3
    assert b"RGB " in picture.metadata.icc[:20]


def test_ycbcr_tiff_becomes_bgr(tmp_path: Path) -> None:
    image = Image.fromarray(photo()[..., ::-1])
    output = io.BytesIO()
    image.save(output, "TIFF", compression="jpeg", quality=100)
    assert np.abs(load(tmp_path, output.getvalue()).first.array.astype(int) - photo()).mean() <= 3


@pytest.mark.parametrize(
    ("gray", "space", "kept"),
    [(True, b"GRAY", True), (True, b"RGB ", False), (False, b"RGB ", True), (False, b"GRAY", False)],
)
@pytest.mark.parametrize("name", ["PNG", "JPEG", "TIFF"])
def test_profile_is_kept_only_when_it_fits_the_pixels(
    tmp_path: Path, name: Any, gray: Any, space: Any, kept: Any
) -> None:
    array = photo()[..., 0] if gray else photo()
    picture = load(tmp_path, encoded(array, name, icc_profile=profile(space)))
    assert picture.metadata.icc == (profile(space) if kept else None)


def test_profile_exif_xmp_and_dpi_are_read(tmp_path: Path) -> None:
    exif = exif_bytes(1)
    for name in ("JPEG", "PNG", "WEBP", "AVIF"):
        options = {"dpi": (300, 200)} if name in ("JPEG", "PNG") else {}
        data = encoded(photo(), name, icc_profile=srgb(), exif=exif, xmp=b"<x/>" if name != "PNG" else b"", **options)
        metadata = load(tmp_path, data).metadata
        assert metadata.icc == srgb()
        assert parsed_exif(metadata.exif)[0x010F] == "Maker"
        assert metadata.xmp == (b"<x/>" if name != "PNG" else None)
        if options:
            assert np.allclose(metadata.dpi, (300, 200), atol=0.02)


def test_imagemagick_text_exif_is_read(tmp_path: Path) -> None:
    exif = exif_bytes(1)
    text = f"\nexif\n{len(exif):8}\n" + exif.hex()
    data = png(random_array(3, 3, 3), 2, before=chunk(b"tEXt", b"Raw profile type exif\0" + text.encode()))
    assert parsed_exif(load(tmp_path, data).metadata.exif)[0x010F] == "Maker"


def test_broken_exif_is_dropped_with_a_note(tmp_path: Path) -> None:
    picture = load(tmp_path, png(random_array(3, 3, 3), 2, before=chunk(b"eXIf", b"II*\0\xff\xff\xff\x7f")))
    assert picture.metadata.exif is None
    assert any("EXIF" in note for note in picture.notes)


def test_gray_avif_stays_gray(tmp_path: Path) -> None:
    array = photo()[..., 0]
    result = load(tmp_path, encoded(array, "AVIF", quality=100, subsampling="4:0:0")).first.array
    assert result.ndim == 2
    assert np.abs(result.astype(int) - array).max() <= 3


def test_array_is_writable_and_contiguous(tmp_path: Path) -> None:
    for data in (encoded(photo(), "PNG"), encoded(photo()[..., 0], "PNG"), tiff(random_array(4, 4, 3))):
        array = load(tmp_path, data).first.array
        assert array.flags.writeable and array.flags["C_CONTIGUOUS"]


def test_heic_is_read_with_its_own_rotation(tmp_path: Path) -> None:
    heif = pytest.importorskip("pillow_heif")
    output = io.BytesIO()
    heif.from_pillow(Image.fromarray(photo()[..., ::-1])).save(output, quality=95, chroma=444)
    picture = load(tmp_path, output.getvalue())
    assert np.abs(picture.first.array.astype(int) - photo()).mean() < 4
    assert picture.format == "HEIF"


def cmyk_profile():
    """잉크를 얼마나 쓰든 무채색으로 나타내는 CMYK 프로파일. 단순한 보색 계산과 결과가 뚜렷이 다르다."""
    corners = [(index >> 3 & 1) + (index >> 2 & 1) + (index >> 1 & 1) + (index & 1) for index in range(16)]
    lattice = b"".join(bytes((255 - 60 * inks, 128, 128)) for inks in corners)
    ramp = bytes(range(256))
    matrix = struct.pack(">9i", *(65536 if index % 4 == 0 else 0 for index in range(9)))
    table = b"mft1\0\0\0\0" + bytes((4, 3, 2, 0)) + matrix + ramp * 4 + lattice + ramp * 3
    description = b"desc\0\0\0\0" + struct.pack(">I", 5) + b"gray\0" + bytes(79)
    tags = {b"desc": description, b"A2B0": table, b"wtpt": b"XYZ \0\0\0\0" + struct.pack(">3i", 63190, 65536, 54061)}
    body, listing, start = b"", struct.pack(">I", len(tags)), 128 + 4 + 12 * len(tags)
    for name, content in tags.items():
        value = content + bytes(-len(content) % 4)
        listing += name + struct.pack(">II", start + len(body), len(value))
        body += value
    header = struct.pack(">I4sI4s4s4s", start + len(body), b"\0\0\0\0", 0x02400000, b"prtr", b"CMYK", b"Lab ")
    header += bytes(12) + b"acsp" + bytes(28) + struct.pack(">iii", 63190, 65536, 54061)
    return header.ljust(128, b"\0") + listing + body


def test_cmyk_goes_through_its_profile(tmp_path: Path) -> None:
    cyan = Image.new("CMYK", (16, 16), (255, 0, 0, 0))
    output = io.BytesIO()
    cyan.save(output, "TIFF", icc_profile=cmyk_profile())
    (tmp_path / "a.tif").write_bytes(output.getvalue())
    picture = read_image(tmp_path / "a.tif")
    pixel = picture.first.array[8, 8].astype(int)
    assert np.ptp(pixel) <= 3 and 100 < pixel.mean() < 240
    assert matching_icc(picture.metadata.icc, "RGB")
    assert any("프로파일을 거쳐" in note for note in picture.notes)


def test_unusable_cmyk_profile_falls_back_to_plain_conversion() -> None:
    broken = cmyk_profile()[:140]
    image = Image.new("CMYK", (4, 4), (255, 0, 0, 0))
    image.info["icc_profile"] = broken
    picture = decode_still(image, Header(ImageInfo(4, 4, "JPEG", 1, "RGB", 8)))
    assert picture.first.array[0, 0].tolist() == [255, 255, 0]
    assert picture.metadata.icc is None and picture.notes and not picture.gray_alpha


@pytest.mark.parametrize("mode", ["I", "F"])
def test_kinds_that_cannot_be_kept_are_refused(mode: Any) -> None:
    with pytest.raises(UnsupportedError, match="32비트 정수"):
        to_array(Image.new(mode, (2, 2)))


@pytest.mark.parametrize("shape", [(3, 5), (3, 5, 3), (3, 5, 4)])
def test_images_become_bgr_arrays(shape: Any) -> None:
    array = random_array(*shape)
    rgb = array if array.ndim == 2 else bgr(array)
    assert (to_array(Image.fromarray(rgb))[0] == array).all()


def test_gray_alpha_spreads_to_bgra() -> None:
    image = Image.fromarray(photo()[..., 0]).convert("LA")
    array, gray_alpha = to_array(image)
    assert array.shape == (48, 64, 4) and gray_alpha


@pytest.mark.parametrize("name", ["PNG", "JPEG", "WEBP", "BMP", "TIFF", "GIF", "AVIF", "PPM", "ICO", "DDS", "JPEG2000"])
def test_picture_without_a_suffix_is_told_by_its_first_bytes(tmp_path: Path, name: Any) -> None:
    path = tmp_path / "사진"
    path.write_bytes(encoded(photo(), name))
    assert looks_like_picture(path)


@pytest.mark.parametrize(
    "data",
    [
        *(b"\xff\x0a\x00", b"\0\0\0\x0cJXL \r\n\x87\n", b"8BPS\0\x01", b"qoif\0\0", b"v/1\x01\x02", b"#?RADIANCE\n"),
        *(b"<svg xmlns='...'>", b"<?xml version='1.0'?>\n<svg width='1'>", b"\0\0\0\x18ftypheic\0\0\0\0mif1heic"),
    ],
)
def test_pictures_we_cannot_read_are_told_too(tmp_path: Path, data: Any) -> None:
    (tmp_path / "a").write_bytes(data)
    assert looks_like_picture(tmp_path / "a")


@pytest.mark.parametrize(
    "data",
    [
        *(b"", b"B", b"BMW and Audi, a text", b"hello", b"P3 is not a PPM"[:2], b"PK\3\4zip", b"%PDF-1.7", b"\x7fELF"),
        *(b"\0\0\0\x18ftypmp42" + bytes(12), b"RIFF\0\0\0\0WAVEfmt ", b"\x1aE\xdf\xa3", b"#!/bin/sh\n"),
    ],
)
def test_other_files_do_not_look_like_pictures(tmp_path: Path, data: Any) -> None:
    (tmp_path / "a").write_bytes(data)
    assert not looks_like_picture(tmp_path / "a")


def test_only_regular_files_look_like_pictures(tmp_path: Path) -> None:
    assert not looks_like_picture(tmp_path) and not looks_like_picture(tmp_path / "없음")
    if hasattr(os, "mkfifo"):
        os.mkfifo(tmp_path / "fifo")
        assert not looks_like_picture(tmp_path / "fifo")


@pytest.mark.parametrize("words", ["out of memory --- size == 3MB", "pngload: libspng read error", "unable to call X"])
def test_rows_that_cannot_be_read_later_are_a_named_error(tmp_path: Path, monkeypatch: Any, words: str) -> None:
    path = tmp_path / "가.png"
    path.write_bytes(encoded(photo(), "PNG"))
    lazy = read_image(path, lazy=True).first.array

    class Broken:
        def fetch(self, *_: int) -> bytes:
            raise import_vips().Error(words)

    monkeypatch.setattr(lazy, "_region", Broken())
    with pytest.raises(ImageReadError, match=r"가\.png\n  이유: .*\n  해결: ") as caught:
        lazy[0:2, 0:3]
    assert ("메모리" in str(caught.value)) == ("memory" in words)


def test_reasons_of_files_read_together_are_not_mixed_up(tmp_path: Path) -> None:
    # 잘린 JPEG와, 구조는 온전하나 픽셀이 모자란 PNG. libvips는 오류를 스레드마다 두지 않는다.
    (tmp_path / "cut.jpg").write_bytes(encoded(photo(), "JPEG")[:-50])
    (tmp_path / "short.png").write_bytes(png(photo(), 2)[:16] + png(photo(480), 2)[16:33] + png(photo(), 2)[33:])

    def reason(name: str) -> tuple[str, str]:
        with pytest.raises(ImageReadError) as caught:
            read_image(tmp_path / name)
        return name, str(caught.value).splitlines()[1]

    alone = {reason(name) for name in ("cut.jpg", "short.png")}
    with ThreadPoolExecutor(4) as pool:
        assert set(pool.map(reason, ["cut.jpg", "short.png"] * 60)) == alone


def test_full_temporary_folder_is_named(tmp_path: Path) -> None:
    error = read_error(tmp_path / "a.png", explained(ValueError("write failed\nsystem error: No space left on device")))
    assert "TMPDIR" in str(error)
