"""JPEG 쓰기: 띠를 잇는 다시 시작 표시, 메타데이터 조각."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from PIL import Image

from realesrgan.media import strips
from realesrgan.media.image import Metadata, read_image, still, write_image
from realesrgan.media.jpeg_writer import split_jpeg
from tests.media.samples import photo, random_array, srgb


@pytest.mark.parametrize("shape", [(100, 70), (100, 70, 3), (8, 8, 3), (1, 1), (257, 9, 3), (7, 300, 3)])
def test_joined_strips_decode_exactly_like_one_piece(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, shape: Any
) -> None:
    array = random_array(*shape)
    path = tmp_path / "a.jpg"
    write_image(path, still(array))
    whole = read_image(path).first.array
    monkeypatch.setattr(strips, "STRIP_BYTES", 8 * shape[1])
    write_image(path, still(array))
    assert (read_image(path).first.array == whole).all()
    data = path.read_bytes()
    assert (cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED) == whole).all()
    assert (b"\xff\xdd\x00\x04" in data) == (shape[0] > 8)


def test_colour_is_not_subsampled(tmp_path: Path) -> None:
    array = np.zeros((16, 16, 3), np.uint8)
    array[:, ::2] = (0, 0, 255)
    array[:, 1::2] = (255, 0, 0)
    write_image(tmp_path / "a.jpg", still(array))
    assert np.abs(read_image(tmp_path / "a.jpg").first.array.astype(int) - array).max() < 30
    with Image.open(tmp_path / "a.jpg") as image:
        assert [layer[1:3] for layer in image.layer] == [(1, 1)] * 3


def test_long_profile_is_split_into_numbered_parts(tmp_path: Path) -> None:
    icc = srgb() + bytes(range(256)) * 800
    write_image(tmp_path / "a.jpg", still(photo(), Metadata(icc=icc)))
    segments, _ = split_jpeg((tmp_path / "a.jpg").read_bytes())
    parts = [body for marker, body in segments if marker == 0xE2]
    assert [part[12:14] for part in parts] == [bytes((index, 4)) for index in range(1, 5)]
    with Image.open(io.BytesIO((tmp_path / "a.jpg").read_bytes())) as image:
        assert image.info["icc_profile"] == icc


def test_unknown_density_is_not_claimed(tmp_path: Path) -> None:
    write_image(tmp_path / "a.jpg", still(photo()))
    assert read_image(tmp_path / "a.jpg").metadata.dpi is None
