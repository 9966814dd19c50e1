"""JPEG 2000과 JPEG XL, 그리고 Pillow가 8비트로만 푸는 형식: 깊이와 메타데이터를 잃지 않거나 이름을 댄다."""

from __future__ import annotations

import io
import struct
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from realesrgan.errors import ImageReadError
from realesrgan.media.boxes import walk_boxes
from realesrgan.media.image import Picture, probe_image, read_image
from tests.media.samples import Array, encoded, exif_bytes, photo, profile, random_array

# `cjxl`이 쓴 것의 앞머리: 두 프레임의 애니메이션(28x20), 방향이 6인 이미지(20x28), 회색에 알파가 있는 16비트(8x8).
ANIMATED = "ff0a9800360802b0a1b824004c0015040100a406ffffaa02"
TURNED = "ff0ad800265820a1b824001388008c05ffffaa020050a132cab8"
DEEP_GREY_ALPHA = (
    "0000000c4a584c200d0a870a00000014667479706a786c20000000006a786c20000000096a786c6c0a0000002e6a786c63"
    "ff0a41f0a3282e040808100060004b12a5420552603b630ce63206f338ff872200005c60ca00"
)
XMP = b'<x:xmpmeta xmlns:x="adobe:ns:meta/"/>'


def load(tmp_path: Path, data: bytes) -> Picture:
    (tmp_path / "in").write_bytes(data)
    return read_image(tmp_path / "in")


def box(name: bytes, body: bytes) -> bytes:
    return struct.pack(">I4s", len(body) + 8, name) + body


def test_boxes_are_walked_until_something_else() -> None:
    # 길이를 여덟 바이트로 적은 것과, 파일의 끝까지라고 적은 것.
    data = box(b"abcd", b"123") + struct.pack(">I4sQ", 1, b"long", 18) + b"xy" + b"\0\0\0\0last"
    assert list(walk_boxes(io.BytesIO(data))) == [(b"abcd", 8, 3), (b"long", 27, 2), (b"last", 37, 0)]
    assert list(walk_boxes(io.BytesIO(box(b"abcd", b"") + b"\0\0\0\3junk"))) == [(b"abcd", 8, 0)]


# JPEG XL


def test_moving_jxl_is_refused_with_a_remedy(tmp_path: Path) -> None:
    pytest.importorskip("pillow_jxl")
    with pytest.raises(ImageReadError, match=r"움직이는 JPEG XL[\s\S]*APNG"):
        load(tmp_path, bytes.fromhex(ANIMATED))


def test_size_of_a_turned_jxl_is_told_as_shown(tmp_path: Path) -> None:
    pytest.importorskip("pillow_jxl")
    # 앞에 놓인 EXIF에 같은 표시(ff 0a)가 들어 있어도 된다.
    container = box(b"JXL ", b"\r\n\x87\n") + box(b"Exif", b"\xff\x0a" * 3000) + box(b"jxlc", bytes.fromhex(TURNED))
    for data in (bytes.fromhex(TURNED), container):
        (tmp_path / "a.jxl").write_bytes(data)
        info = probe_image(tmp_path / "a.jxl")
        assert (info.width, info.height) == (28, 20)


def test_what_the_plugin_decodes_wrongly_is_refused(tmp_path: Path) -> None:
    pytest.importorskip("pillow_jxl")
    with pytest.raises(ImageReadError, match="16비트 JPEG XL은 플러그인이 바르게"):
        load(tmp_path, bytes.fromhex(DEEP_GREY_ALPHA))


def test_xmp_of_jxl_is_read(tmp_path: Path) -> None:
    pytest.importorskip("pillow_jxl")
    plain = encoded(photo(), "JXL", quality=90)
    start = plain.find(b"\xff\x0a")
    data = box(b"JXL ", b"\r\n\x87\n") + box(b"ftyp", b"jxl \0\0\0\0jxl ") + box(b"xml ", XMP)
    picture = load(tmp_path, data + box(b"brob", b"xml abc") + box(b"jxlc", plain[start:]))
    assert picture.metadata.xmp == XMP and "옮기지 않은 것: 압축된 XMP." in picture.notes


# JPEG 2000


def with_profile(data: bytes, icc: bytes) -> bytes:
    """JPEG 2000의 색 상자(colr)를 프로파일로 바꾼다."""
    at = data.index(b"colr") - 4
    size = int.from_bytes(data[at : at + 4], "big")
    colour = box(b"colr", b"\2\0\0" + icc)
    result = bytearray(data[:at] + colour + data[at + size :])
    header = data.index(b"jp2h") - 4
    struct.pack_into(">I", result, header, int.from_bytes(data[header : header + 4], "big") + len(colour) - size)
    return bytes(result)


def test_profile_exif_and_xmp_of_jpeg_2000_are_read(tmp_path: Path) -> None:
    uuids = box(b"uuid", b"JpgTiffExif->JP2" + exif_bytes(1)) + box(
        b"uuid", bytes.fromhex("be7acfcb97a942e89c71999491e3afac") + XMP
    )
    picture = load(tmp_path, with_profile(encoded(photo(), "JPEG2000"), profile(b"RGB ")) + uuids)
    assert np.array_equal(picture.first.array[..., ::-1], photo())
    assert (picture.metadata.icc, picture.metadata.xmp) == (profile(b"RGB "), XMP)
    assert picture.metadata.exif == exif_bytes(1)


def ppm(array: Array, top: int) -> bytes:
    return b"P6\n# 1 2 3\n%d %d\n# 9\n%d\n" % (*array.shape[1::-1], top) + array.astype(">u2").tobytes()


@pytest.mark.parametrize("kind", ["jp2", "ppm"])
def test_deep_colour_is_read_deep(tmp_path: Path, kind: str, capfd: Any) -> None:
    array = random_array(64, 96, 3, dtype=np.uint16)
    if kind == "jp2" and int(cv2.__version__.partition(".")[0]) < 5:
        pytest.skip("낡은 OpenCV의 JPEG 2000 디코더는 쓰지 않는다")
    if kind == "jp2":
        data = cv2.imencode(".jp2", array, [cv2.IMWRITE_JPEG2000_COMPRESSION_X1000, 1000])[1].tobytes()
        expected = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    else:
        data, expected = ppm(array[..., ::-1], 65535), array
    capfd.readouterr()
    picture = load(tmp_path, data)
    assert np.array_equal(picture.first.array, expected) and picture.notes == ()
    assert probe_image(tmp_path / "in").bit_depth == 16
    assert capfd.readouterr() == ("", "")


def test_white_of_a_ten_bit_ppm_is_white(tmp_path: Path) -> None:
    array = np.array([[[0, 1023, 512]]], np.uint16)
    assert load(tmp_path, ppm(array, 1023)).first.array.tolist() == [[[round(512 / 1023 * 65535), 65535, 0]]]


def test_depth_that_no_decoder_keeps_is_named(tmp_path: Path) -> None:
    picture = load(tmp_path, encoded(photo(), "SGI", bpc=2))
    assert any("16비트인 SGI" in note for note in picture.notes)


# PSD


def psd(array: Array, *resources: tuple[int, bytes], bits: int = 8) -> bytes:
    height, width, channels = array.shape
    listed = b"".join(
        b"8BIM" + struct.pack(">HHI", number, 0, len(body)) + body + bytes(len(body) % 2) for number, body in resources
    )
    head = b"8BPS\0\1" + bytes(6) + struct.pack(">HIIHH", channels, height, width, bits, 3) + bytes(4)
    return head + struct.pack(">I", len(listed)) + listed + bytes(4) + bytes(2) + np.moveaxis(array, 2, 0).tobytes()


def test_metadata_of_psd_is_read(tmp_path: Path) -> None:
    iptc = b"\x1c\x02\x05\0\x05title"
    size = struct.pack(">IHHIHH", 300 << 16, 1, 1, 150 << 16, 1, 1)
    resources = ((1005, size), (1028, iptc), (1039, profile(b"RGB ")), (1058, exif_bytes(1)), (1060, XMP))
    picture = load(tmp_path, psd(photo(), *resources))
    found = picture.metadata
    assert (found.icc, found.exif, found.xmp, found.iptc) == (profile(b"RGB "), exif_bytes(1), XMP, iptc)
    assert found.dpi == (300, 150) and np.array_equal(picture.first.array[..., ::-1], photo())


def test_deep_psd_is_not_called_damage(tmp_path: Path) -> None:
    with pytest.raises(ImageReadError, match="16비트인 이런 색의 PSD"):
        load(tmp_path, psd(random_array(4, 4, 3, dtype=np.uint16), bits=16))
