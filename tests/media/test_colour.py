"""색 프로파일과 색 공간."""

from __future__ import annotations

import io
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from realesrgan.media.colour import from_array, icc_space, matching_icc, srgb_icc, standard_image, to_array
from realesrgan.media.image import read_image
from tests.media.samples import photo, profile, random_array, srgb


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
    assert icc_space(picture.metadata.icc) == b"RGB "
    assert any("프로파일을 거쳐" in note for note in picture.notes)


def test_unusable_cmyk_profile_falls_back_to_plain_conversion() -> None:
    broken = cmyk_profile()[:140]
    image = Image.new("CMYK", (4, 4), (255, 0, 0, 0))
    image.info["icc_profile"] = broken
    converted, icc, notes = standard_image(image)
    assert converted.getpixel((0, 0)) == (0, 255, 255)
    assert icc is None and notes


def test_srgb_profile_is_deterministic_and_valid() -> None:
    assert srgb_icc() == srgb_icc()
    assert icc_space(srgb_icc()) == b"RGB "
    assert len(srgb_icc()) == len(srgb())


@pytest.mark.parametrize("icc", [None, b"", b"short", bytes(200)])
def test_broken_profile_has_no_space(icc: Any) -> None:
    assert icc_space(icc) == b""
    assert matching_icc(icc, "RGB") is None


def test_profile_matches_only_its_own_space() -> None:
    assert matching_icc(profile(b"GRAY"), "L") and not matching_icc(profile(b"GRAY"), "RGB")
    assert matching_icc(profile(b"RGB "), "RGB") and not matching_icc(profile(b"RGB "), "L")


@pytest.mark.parametrize("mode", ["I", "F"])
def test_kinds_that_cannot_be_kept_are_refused(mode: Any) -> None:
    with pytest.raises(ValueError, match="32비트 정수"):
        standard_image(Image.new(mode, (2, 2)))


@pytest.mark.parametrize("shape", [(3, 5), (3, 5, 3), (3, 5, 4)])
def test_arrays_and_images_convert_both_ways(shape: Any) -> None:
    array = random_array(*shape)
    assert (to_array(from_array(array)) == array).all()
    assert (to_array(from_array(array[::-1, ::-1])) == array[::-1, ::-1]).all()


def test_gray_alpha_spreads_to_bgra() -> None:
    image = Image.fromarray(photo()[..., 0]).convert("LA")
    assert to_array(image).shape == (48, 64, 4)
