"""TIFF: 항목표 읽고 쓰기, 다른 프로그램이 읽는가, EXIF의 바이트 순서."""

from __future__ import annotations

import io
import struct
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from realesrgan.errors import ImageReadError, ImageWriteError
from realesrgan.media import tiff
from realesrgan.media.ifd import (
    ByteOrder,
    Entry,
    ExifTags,
    pack_exif,
    pack_ifd,
    read_exif_tags,
    read_ifd,
    read_tiff_head,
)
from realesrgan.media.image import Frame, Metadata, Picture, read_image, still, write_image
from realesrgan.media.picture import apply_orientation
from tests.media.samples import exif_bytes, parsed_exif, photo, random_array, srgb
from tests.media.samples import tiff as tiff_of

ENTRIES = st.dictionaries(st.integers(1, 65535), st.binary(min_size=1, max_size=40), max_size=8).map(
    lambda items: [Entry(tag, 7, len(body), body) for tag, body in items.items()]
)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("shape", [(33, 21), (33, 21, 3), (33, 21, 4)])
@pytest.mark.parametrize("endian", ["<", ">"])
def test_opencv_and_pillow_read_it(tmp_path: Path, shape: Any, dtype: Any, endian: Any) -> None:
    array = random_array(*shape, dtype=dtype)
    write_image(tmp_path / "a.tif", still(array, Metadata(exif=exif_bytes(1, endian=endian))))
    data = np.frombuffer((tmp_path / "a.tif").read_bytes(), np.uint8)
    decoded = cv2.imdecode(data, cv2.IMREAD_UNCHANGED)
    if shape[-1] != 4 or dtype == np.uint16:  # OpenCV는 8비트 RGBA의 색에 알파를 곱해서 돌려준다.
        assert (decoded.reshape(shape) == array).all()
    with Image.open(tmp_path / "a.tif") as image:
        pixels = np.asarray(image)
        if dtype == np.uint8:
            assert (pixels == (array if array.ndim == 2 else array[..., [2, 1, 0, 3][: shape[2]]])).all()
        elif array.ndim == 2:
            assert (pixels == array).all()
        assert image.getexif()[0x010F] == "Maker"


def test_gray_alpha_keeps_two_channels(tmp_path: Path) -> None:
    gray = random_array(9, 9)
    array = np.dstack([gray, gray, gray, random_array(9, 9, seed=1)])
    write_image(tmp_path / "a.tif", Picture((Frame(array),), gray_alpha=True))
    with Image.open(tmp_path / "a.tif") as image:
        assert image.mode == "LA"
        assert (np.asarray(image) == array[..., 2:]).all()


def test_metadata_of_a_tiff_survives_two_trips(tmp_path: Path) -> None:
    metadata = Metadata(icc=srgb(), exif=exif_bytes(1, endian=">", size=(64, 48)), xmp=b"<x/>", dpi=(300.5, 150))
    write_image(tmp_path / "a.tif", still(photo(), metadata))
    first = read_image(tmp_path / "a.tif")
    write_image(tmp_path / "b.tif", first)
    second = read_image(tmp_path / "b.tif")
    assert first.metadata == second.metadata
    assert second.metadata.dpi == (300.5, 150)
    exif = parsed_exif(second.metadata.exif)
    assert exif[0x010F] == "Maker" and exif.get_ifd(0x8769)[0xA002] == 64
    assert 0x0100 not in exif and 273 not in exif


@pytest.mark.parametrize("pages", [1, 2])
def test_file_that_may_pass_four_gigabytes_is_a_bigtiff(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, pages: int
) -> None:
    monkeypatch.setattr(tiff, "_CLASSIC_LIMIT", 1000)
    arrays = [random_array(48, 64, 3, seed=seed) for seed in range(pages)]
    metadata = Metadata(icc=srgb(), exif=exif_bytes(1, endian=">"), xmp=b"<x/>", dpi=(300.5, 150))
    frames = [Frame(array) for array in arrays]
    write_image(tmp_path / "a.tif", Picture(frames, pages, metadata, pages=pages > 1))
    assert (tmp_path / "a.tif").read_bytes()[:4] == b"II+\0"
    picture = read_image(tmp_path / "a.tif")
    assert all((frame.array == array).all() for frame, array in zip(picture.frames, arrays, strict=True))
    assert parsed_exif(picture.metadata.exif)[0x010F] == "Maker"
    assert (picture.metadata.icc, picture.metadata.dpi) == (srgb(), (300.5, 150))
    with Image.open(tmp_path / "a.tif") as image:
        assert image.n_frames == pages


def test_pages_of_different_kinds_come_back_one_by_one(tmp_path: Path) -> None:
    arrays = [random_array(9, 7, 3), random_array(5, 6, dtype=np.uint16), random_array(4, 8, 4)]
    frames = [Frame(array, metadata=Metadata(dpi=(100 + index, 72))) for index, array in enumerate(arrays)]
    assert write_image(tmp_path / "a.tif", Picture(frames, 3, pages=True)) == ()
    picture = read_image(tmp_path / "a.tif")
    assert picture.pages and picture.frame_count == 3
    for index, frame in enumerate(picture.frames):
        assert (frame.array == arrays[index]).all() and frame.array.dtype == arrays[index].dtype
        assert frame.metadata.dpi == (100 + index, 72)
    with pytest.raises(ImageWriteError, match=r"3쪽[\s\S]*--ext tif"):
        write_image(tmp_path / "a.png", picture)


def read_bytes(tmp_path: Path, data: bytes) -> Picture:
    (tmp_path / "a.tif").write_bytes(data)
    return read_image(tmp_path / "a.tif")


def cmyk_tiff(image: Image.Image, **options: Any) -> bytes:
    output = io.BytesIO()
    image.save(output, "TIFF", **options)
    return output.getvalue()


@pytest.mark.parametrize("orientation", range(1, 9))
def test_cmyk_is_turned_once(tmp_path: Path, orientation: int) -> None:
    image = Image.fromarray(photo()).convert("CMYK")
    expected = apply_orientation(np.asarray(image.convert("RGB"))[..., ::-1], orientation)
    picture = read_bytes(tmp_path, cmyk_tiff(image, tiffinfo={274: orientation}))
    assert np.array_equal(picture.first.array, expected)


def test_a_later_cmyk_page_is_not_the_first_page(tmp_path: Path) -> None:
    pages = [Image.fromarray(photo()), Image.fromarray(photo()[::-1].copy()).convert("CMYK")]
    picture = read_bytes(tmp_path, cmyk_tiff(pages[0], save_all=True, append_images=pages[1:]))
    arrays = [frame.array[..., ::-1] for frame in picture.frames]
    assert [np.array_equal(array, page.convert("RGB")) for array, page in zip(arrays, pages, strict=True)] == [True] * 2


@pytest.mark.parametrize("planar", [False, True])
def test_deep_cmyk_keeps_its_colours_and_names_the_lost_depth(tmp_path: Path, planar: bool) -> None:
    inks = np.asarray(Image.fromarray(photo()).convert("CMYK"))
    expected = np.asarray(Image.frombytes("CMYK", (64, 48), inks.tobytes()).convert("RGB"))[..., ::-1]
    picture = read_bytes(tmp_path, tiff_of(inks.astype(np.uint16) * 257, planar=planar, t262=(5,)))
    assert np.array_equal(picture.first.array, expected)
    assert any("16비트 CMYK를 8비트로" in note for note in picture.notes)


def test_uncompressed_ycbcr_is_converted(tmp_path: Path) -> None:
    image = Image.fromarray(photo()[..., ::-1].copy())
    whole = tiff_of(np.asarray(image.convert("YCbCr")), t262=(6,), t530=(1, 1))
    assert np.abs(read_bytes(tmp_path, whole).first.array.astype(int) - photo()).max() <= 3
    # 색차를 가로세로로 반씩 줄인 것: 2x2의 밝기 넷과 색차 둘이 한 덩어리다.
    flat = np.zeros((4, 4, 3), np.uint8) + np.array([120, 90, 160], np.uint8)
    packed = np.tile(np.array([120] * 4 + [90, 160], np.uint8), 4).reshape(4, 6, 1)
    data = tiff_of(packed, t262=(6,), t530=(2, 2), t277=(3,), t256=(4,), t257=(4,), t258=(8, 8, 8))
    expected = np.asarray(Image.frombytes("YCbCr", (4, 4), flat.tobytes()).convert("RGB"))[..., ::-1]
    array = read_bytes(tmp_path, data).first.array
    assert array.shape == (4, 4, 3) and np.abs(array.astype(int) - expected).max() <= 3


@pytest.mark.parametrize("white_is_zero", [False, True])
@pytest.mark.parametrize("tiled", [False, True])
@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("count", [2, 3, 4])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_channels_apart_in_tiles_are_read(
    tmp_path: Path, dtype: Any, count: int, order: str, tiled: bool, white_is_zero: bool
) -> None:
    samples = random_array(16, 32, count, dtype=dtype)
    inverted = white_is_zero and count == 2
    tags = {"t338": (2,)} if count % 2 == 0 else {}
    tags |= {"t262": (0,)} if inverted else {}
    array = read_bytes(tmp_path, tiff_of(samples, order=order, planar=True, tiled=tiled, **tags)).first.array
    shown = samples.copy()
    if inverted:
        shown[..., 0] = np.iinfo(dtype).max - shown[..., 0]
    assert np.array_equal(array, shown[..., {2: [0, 0, 0, 1], 3: [2, 1, 0], 4: [2, 1, 0, 3]}[count]])


def test_deep_lab_becomes_deep_srgb(tmp_path: Path) -> None:
    lab = np.zeros((4, 6, 3), np.int32)
    lab[..., 0] = np.arange(6) * 13107
    array = read_bytes(tmp_path, tiff_of(lab.astype(np.uint16), t262=(8,))).first.array
    # 색이 없는 밝기 0%, 20%, ...의 sRGB(CIE 1976의 L*).
    light = np.arange(6) * 20.0
    linear = np.where(light > 8, ((light + 16) / 116) ** 3, light / 903.3)
    expected = np.where(linear <= 0.0031308, linear * 12.92, 1.055 * linear ** (1 / 2.4) - 0.055)
    assert array.dtype == np.uint16 and np.abs(array[0] / 65535 - expected[:, None]).max() < 0.004


def test_strip_sizes_of_zero_are_taken_as_not_written(tmp_path: Path) -> None:
    samples = random_array(2, 6, 1)
    assert np.array_equal(read_bytes(tmp_path, tiff_of(samples, t279=(0,))).first.array, samples[..., 0])


@pytest.mark.parametrize(
    ("tags", "reason"),
    [
        ({"t262": (9,)}, "색을 ICCLab 방식으로"),
        ({"t262": (32803,)}, "사진기의 원본"),
        ({"t259": (34933,)}, "34933번 압축의 8비트"),
        ({"t258": (4, 4, 4)}, "채널마다 4비트"),
    ],
)
def test_what_is_not_supported_is_not_called_damage(tmp_path: Path, tags: Any, reason: str) -> None:
    with pytest.raises(ImageReadError, match=reason):
        read_bytes(tmp_path, tiff_of(random_array(4, 4, 3), **tags))


@given(ENTRIES, st.sampled_from("<>"), st.integers(0, 50).map(lambda value: value * 2))
@settings(max_examples=60, deadline=None)
def test_packed_entries_read_back(entries: Any, prefix: Any, offset: Any) -> None:
    order = ByteOrder(prefix)
    data = bytes(offset) + pack_ifd(entries, offset, order)
    found, following = read_ifd(io.BytesIO(data), offset, order)
    assert found == {entry.tag: entry for entry in entries}
    assert following == 0


@given(ENTRIES, ENTRIES, st.sampled_from("<>"))
@settings(max_examples=40, deadline=None)
def test_exif_with_sub_tables_reads_back(exif: Any, gps: Any, prefix: Any) -> None:
    main = (Entry(271, 2, 6, b"Maker\0"),)
    kept = tuple(entry for entry in sorted(exif, key=lambda entry: entry.tag) if entry.tag != 0xA005)
    tags = ExifTags(ByteOrder(prefix), main, kept, tuple(sorted(gps, key=lambda entry: entry.tag)))
    result = read_exif_tags(io.BytesIO(pack_exif(tags)))
    assert result.main == tags.main and set(result.exif) == set(tags.exif)
    assert set(result.gps) == {entry for entry in tags.gps if entry.tag != 0xA005}


@pytest.mark.parametrize("endian", ["<", ">"])
def test_exif_repacked_is_understood_by_pillow(endian: Any) -> None:
    tags = read_exif_tags(io.BytesIO(exif_bytes(6, endian=endian, size=(3, 4))))
    exif = parsed_exif(pack_exif(tags))
    assert exif[0x010F] == "Maker" and exif.get_ifd(0x8769)[0xA002] == 3 and exif.get_ifd(0x8825)[1] == "N"
    assert 0x0112 not in exif and 0x0100 not in exif


def test_bigtiff_table_is_read() -> None:
    entry = struct.pack("<HHQQ", 256, 16, 1, 70000)
    data = b"II+\0\x08\0\0\0" + struct.pack("<QQ", 16, 1) + entry + bytes(8)
    order, first = read_tiff_head(io.BytesIO(data))
    found, following = read_ifd(io.BytesIO(data), first, order)
    assert order.big and order.integers(found[256]) == (70000,) and following == 0


def test_entries_outside_the_file_are_left_out() -> None:
    data = struct.pack("<HHHIII", 1, 270, 2, 100, 5000, 0)
    assert read_ifd(io.BytesIO(data), 0, ByteOrder("<")) == ({}, 0)


@pytest.mark.parametrize("data", [b"", b"II", b"XX*\0\x08\0\0\0", b"II*\0\xff\0\0\0"])
def test_broken_structure_raises(data: Any) -> None:
    with pytest.raises((ValueError, struct.error)):
        read_exif_tags(io.BytesIO(data))
