"""TIFF 쓰기: 다른 프로그램이 읽는가, EXIF의 바이트 순서."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from PIL import Image

from realesrgan.errors import ImageWriteError
from realesrgan.media import strips, tiff_writer
from realesrgan.media.image import Frame, Metadata, Picture, read_image, still, write_image
from tests.media.samples import exif_bytes, parsed_exif, photo, random_array, srgb


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("shape", [(33, 21), (33, 21, 3), (33, 21, 4)])
@pytest.mark.parametrize("endian", ["<", ">"])
def test_opencv_and_pillow_read_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, shape: Any, dtype: Any, endian: Any
) -> None:
    monkeypatch.setattr(strips, "STRIP_BYTES", 400)
    array = random_array(*shape, dtype=dtype)
    write_image(tmp_path / "a.tif", still(array, Metadata(exif=exif_bytes(1, endian=endian))))
    data = np.frombuffer((tmp_path / "a.tif").read_bytes(), np.uint8)
    assert bytes(data[:2]) == {"<": b"II", ">": b"MM"}[endian]
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


def test_file_beyond_four_gigabytes_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tiff_writer, "_MAX_FILE", 1 << 20)
    with pytest.raises(ImageWriteError, match="4GB"):
        write_image(tmp_path / "a.tif", still(photo()))
    assert list(tmp_path.iterdir()) == []
