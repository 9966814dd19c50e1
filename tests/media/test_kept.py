"""잃기 쉬운 것: 글, 색을 적은 조각과 번호, 함께 든 다른 이미지, 화면과 크기가 다른 프레임, 드문 자리의 방향."""

from __future__ import annotations

import io
import struct
import zlib
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageCms
from PIL.MpoImagePlugin import MpoImageFile

from realesrgan.errors import ImageReadError, ImageTooLargeError, ImageWriteError
from realesrgan.media.colour import is_srgb
from realesrgan.media.image import Frame, Metadata, Picture, probe_image, read_image, still, write_image
from realesrgan.media.picture import MissingDecoderError
from realesrgan.media.vips import explained, import_vips
from tests.media.samples import Array, chunk, encoded, exif_bytes, photo, png, profile, random_array, tiff


def load(tmp_path: Path, data: bytes) -> Picture:
    (tmp_path / "in").write_bytes(data)
    return read_image(tmp_path / "in")


def trip(tmp_path: Path, data: bytes, extension: str) -> tuple[Picture, tuple[str, ...]]:
    """읽어서 `extension`으로 쓰고 다시 읽은 것과 알림."""
    path = tmp_path / f"out{extension}"
    notes = write_image(path, load(tmp_path, data))
    return read_image(path), notes


def with_segments(*segments: tuple[int, bytes], tail: bytes = b"") -> bytes:
    """조각을 끼운 JPEG."""
    data = encoded(photo(), "JPEG")
    middle = b"".join(struct.pack(">BBH", 0xFF, marker, len(body) + 2) + body for marker, body in segments)
    return data[:2] + middle + data[2:] + tail


# 글


def text_png(*chunks: tuple[bytes, bytes]) -> bytes:
    return png(random_array(4, 5, 3), 2, before=b"".join(chunk(*item) for item in chunks))


@pytest.mark.parametrize("text", ["한글", "caf\u00e9", "\u00c3\u00a9", "\ufffd"])
def test_text_in_utf_8_or_latin_1_comes_back(tmp_path: Path, text: str) -> None:
    picture, _ = trip(tmp_path, text_png((b"tEXt", b"Comment\0" + text.encode())), ".png")
    assert picture.metadata.text == (("Comment", text),)
    if text == "caf\u00e9":
        picture, _ = trip(tmp_path, text_png((b"tEXt", b"Comment\0" + text.encode("latin-1"))), ".jpg")
        assert picture.metadata.text == (("Comment", text),)


def test_text_of_every_kind_is_carried_to_png(tmp_path: Path) -> None:
    long = "줄\n" * 20000
    data = text_png(
        (b"tEXt", b"parameters\0a tree\nSteps: 20"),
        (b"zTXt", b"workflow\0\0" + zlib.compress(b'{"nodes": []}')),
        (b"iTXt", "설명".encode("ascii", "replace") + b"\0\0\0ko\0\0" + long.encode()),
        (b"iTXt", b"packed\0\1\0\0\0" + zlib.compress(long.encode())),
    )
    picture, notes = trip(tmp_path, data, ".png")
    assert dict(picture.metadata.text) == {
        "parameters": "a tree\nSteps: 20", "workflow": '{"nodes": []}', "??": long, "packed": long,
    }  # fmt: skip
    assert notes == ()
    with Image.open(tmp_path / "out.png") as image:
        image.load()
        assert image.text["parameters"] == "a tree\nSteps: 20"


@pytest.mark.parametrize("extension", [".webp", ".tif", ".avif", ".bmp", ".jpg"])
def test_text_that_cannot_be_carried_is_named(tmp_path: Path, extension: str) -> None:
    notes = trip(tmp_path, text_png((b"tEXt", b"parameters\0x"), (b"tEXt", b"Author\0me")), extension)[1]
    assert any("글(parameters, Author)" in note for note in notes)


def test_a_text_that_grows_without_end_is_left_out_with_a_note(tmp_path: Path) -> None:
    bomb = zlib.compress(bytes(1 << 27))
    picture = load(tmp_path, text_png((b"zTXt", b"bomb\0\0" + bomb), (b"zTXt", b"broken\0\0not zlib")))
    assert picture.metadata.text == () and sum("글을 옮기지" in note for note in picture.notes) == 2


def test_jpeg_comments_are_carried_between_jpeg_and_png(tmp_path: Path) -> None:
    data = with_segments((0xFE, "설명 하나".encode()), (0xFE, b"caf\xe9\0"))
    assert trip(tmp_path, data, ".png")[0].metadata.text == (("Comment", "설명 하나"), ("Comment", "café"))
    trip(tmp_path, data, ".jpg")
    with Image.open(tmp_path / "out.jpg") as image:
        assert image.applist[1:] == [("COM", "설명 하나".encode()), ("COM", b"caf\xe9")]


@pytest.mark.parametrize("encoding", ["utf-8", "cp949"])
@pytest.mark.parametrize("extension", [".jpg", ".gif", ".png"])
def test_bytes_of_a_comment_are_never_changed(tmp_path: Path, encoding: str, extension: str) -> None:
    comment = "한글 설명".encode(encoding)
    for data in (with_segments((0xFE, comment)), encoded(photo(), "GIF", comment=comment)):
        trip(tmp_path, data, extension)
        assert comment in (tmp_path / f"out{extension}").read_bytes()


@pytest.mark.parametrize("kind", ["jpg", "tif", "png"])
@pytest.mark.parametrize("extension", [".jpg", ".tif", ".webp"])
def test_iptc_is_carried_or_named(tmp_path: Path, kind: str, extension: str) -> None:
    record = b"\x1c\x02\x05\0\x05title"
    block = b"Photoshop 3.0\x008BIM\x04\x04\0\0" + struct.pack(">I", len(record)) + record
    raw = f"\niptc\n{len(block):8}\n{block.hex()}"
    data = {
        "jpg": with_segments(
            (0xED, b"Photoshop 3.0\x008BIM\x04\x25\x03abc\0\0\0\2xy" + block.removeprefix(b"Photoshop 3.0\0"))
        ),
        "png": text_png((b"tEXt", b"Raw profile type iptc\0" + raw.encode())),
    }
    if kind == "tif":
        write_image(tmp_path / "in.tif", still(photo(), Metadata(iptc=record)))
        data["tif"] = (tmp_path / "in.tif").read_bytes()
    picture, notes = trip(tmp_path, data[kind], extension)
    assert picture.metadata.iptc == (None if extension == ".webp" else record)
    assert any("IPTC" in note for note in notes) == (extension == ".webp")


# 색


def colours(icc: bytes, array: Array) -> Array:
    """프로파일을 거쳐 sRGB로 본 색. 따로 판단하려고 Pillow의 것을 쓴다."""
    source = ImageCms.ImageCmsProfile(io.BytesIO(icc))
    seen = ImageCms.profileToProfile(Image.fromarray(array[..., ::-1]), source, ImageCms.createProfile("sRGB"))
    return np.asarray(seen).astype(int)


@pytest.mark.parametrize("extension", [".png", ".jpg", ".webp", ".tif", ".avif"])
def test_gamma_and_primaries_of_png_become_a_profile(tmp_path: Path, extension: str) -> None:
    before = chunk(b"gAMA", struct.pack(">I", 100000))
    data = png(np.full((8, 8, 3), 55, np.uint8), 2, before=before)
    picture, notes = trip(tmp_path, data, extension)
    assert notes == ()
    # 선형의 55/255는 sRGB로 128쯤이다.
    assert np.abs(colours(picture.metadata.icc, np.full((1, 1, 3), 55, np.uint8)) - 128).max() <= 2


def test_standard_gamma_makes_no_profile_and_sRGB_wins(tmp_path: Path) -> None:
    standard = chunk(b"gAMA", struct.pack(">I", 45455))
    for before in (standard, chunk(b"sRGB", b"\0") + chunk(b"gAMA", struct.pack(">I", 100000))):
        assert load(tmp_path, png(random_array(2, 2, 3), 2, before=before)).metadata.icc is None


def test_wide_primaries_are_kept_and_grey_gets_a_grey_profile(tmp_path: Path) -> None:
    wide = chunk(b"cHRM", struct.pack(">8I", 31270, 32900, 68000, 32000, 26500, 69000, 15000, 6000))
    picture = load(tmp_path, png(random_array(4, 4, 3), 2, before=wide))
    seen = colours(picture.metadata.icc, np.array([[[0, 255, 0]]], np.uint8))
    assert seen[0, 0].tolist() == [0, 255, 0] or seen[0, 0, 1] == 255
    assert colours(picture.metadata.icc, np.array([[[60, 180, 60]]], np.uint8))[0, 0, 0] < 45
    linear = chunk(b"gAMA", struct.pack(">I", 100000))
    assert load(tmp_path, png(random_array(4, 4, 1), 0, before=linear)).metadata.icc[16:20] == b"GRAY"


@pytest.mark.parametrize("transfer", [16, 18])
@pytest.mark.parametrize("extension", [".png", ".avif"])
def test_hdr_is_kept_deep_and_tagged(tmp_path: Path, extension: str, transfer: int) -> None:
    array = np.full((16, 16, 3), 40000, np.uint16)
    data = png(array, 2, before=chunk(b"cICP", bytes((9, transfer, 0, 1))))
    picture, _ = trip(tmp_path, data, extension)
    assert picture.metadata.cicp == (9, transfer) and picture.metadata.icc is None
    assert picture.first.array.dtype == np.uint16
    assert np.abs(picture.first.array.astype(int) - 40000).max() < 1500
    if extension == ".avif":
        assert picture.bits == 10


@pytest.mark.parametrize("extension", [".jpg", ".webp", ".tif", ".gif"])
def test_hdr_is_refused_where_its_meaning_would_be_lost(tmp_path: Path, extension: str) -> None:
    data = png(random_array(4, 4, 3, dtype=np.uint16), 2, before=chunk(b"cICP", bytes((9, 16, 0, 1))))
    with pytest.raises(ImageWriteError, match=r"PQ[\s\S]*--ext png"):
        trip(tmp_path, data, extension)


@pytest.mark.parametrize("extension", [".png", ".jpg", ".webp", ".tif", ".avif"])
def test_numbers_of_a_wide_avif_reach_every_format(tmp_path: Path, extension: str) -> None:
    write_image(tmp_path / "p3.avif", still(photo(), Metadata(cicp=(12, 13))))
    picture, notes = trip(tmp_path, (tmp_path / "p3.avif").read_bytes(), extension)
    assert notes == () and picture.metadata.icc
    if extension in (".png", ".avif"):
        assert picture.metadata.cicp == (12, 13) or extension == ".avif"
    assert np.abs(colours(picture.metadata.icc, np.array([[[60, 180, 60]]], np.uint8))[0, 0, 0]) < 45


@pytest.mark.parametrize(
    ("kind", "body"),
    [(b"iCCP", b"a\0\0" + zlib.compress(profile(b"GRAY"))), (b"iCCP", b"a\0\0broken"), (b"mDCV", bytes(24))],
)
def test_colour_that_cannot_be_carried_is_named(tmp_path: Path, kind: bytes, body: bytes) -> None:
    picture = load(tmp_path, text_png((kind, body)))
    assert picture.metadata.icc is None
    assert any(("mDCV" if kind == b"mDCV" else "색 프로파일(ICC)") in note for note in picture.notes)


def test_adobe_rgb_named_only_in_exif_becomes_a_profile(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif.get_ifd(0x8769)[0xA005] = {1: "R03"}
    data = encoded(photo(), "JPEG", exif=exif.tobytes()[6:])
    assert b"R03" in data
    icc = load(tmp_path, data).metadata.icc
    assert icc is not None and not is_srgb(icc)
    assert load(tmp_path, encoded(photo(), "JPEG", exif=exif_bytes(1))).metadata.icc is None
    # 표준의 초록은 sRGB 밖이라 sRGB로 옮기면 빨강이 줄어든다.
    green = Image.new("RGB", (1, 1), (100, 200, 100))
    moved = ImageCms.profileToProfile(green, io.BytesIO(icc), ImageCms.createProfile("sRGB")).getpixel((0, 0))
    assert moved[0] < 60 and abs(moved[1] - 200) < 8


# 깊은 AVIF


@pytest.mark.parametrize("bits", [10, 12])
def test_deep_avif_keeps_its_depth_white_and_hangul(tmp_path: Path, bits: int) -> None:
    array = np.repeat(np.linspace(0, 65535, 64).astype(np.uint16)[None, :, None], 48, 0).repeat(3, 2)
    exif = Image.Exif()
    exif[0x010E] = "한글 설명".encode()
    metadata = Metadata(exif=exif.tobytes()[6:], xmp="<x>제목</x>".encode(), icc=profile(b"RGB "))
    path = tmp_path / "a.avif"
    notes = write_image(path, Picture((Frame(array),), metadata=metadata, bits=bits), quality=100)
    assert notes == () or bits == 10
    info, picture = probe_image(path), read_image(path)
    assert (info.bit_depth, picture.bits) == (16, bits)
    assert picture.first.array[:, -1].min() > 65535 - 300 and picture.first.array[:, 0].max() < 300
    assert len(np.unique(picture.first.array[0, :, 0])) > 50
    assert picture.metadata.exif.startswith(metadata.exif) and "한글 설명".encode() in picture.metadata.exif
    assert (picture.metadata.xmp, picture.metadata.icc) == (metadata.xmp, metadata.icc)


def test_colour_multiplied_by_alpha_in_a_deep_avif_is_divided_again(tmp_path: Path) -> None:
    deep = np.full((32, 48, 4), 40000, np.uint16)
    deep[:, 24:, 3] = 20000
    write_image(tmp_path / "a.avif", replace(still(deep), bits=12), quality=100)
    data = (tmp_path / "a.avif").read_bytes()
    # 알파(2번)가 색(1번)의 것이라는 표시를, 색이 알파(2번)를 곱한 것이라는 표시로 바꾼다.
    at = data.index(b"auxl") - 4
    number = data[at + 8 : at + 10], data[at + 12 : at + 14]
    box = struct.pack(">I4s", 14, b"prem") + number[1] + b"\0\1" + number[0]
    (tmp_path / "b.avif").write_bytes(with_reference(data, box))
    array = read_image(tmp_path / "b.avif").first.array.astype(int)
    assert np.abs(array[4:-4, 4:20, :3] - 65535).max() < 900 and np.abs(array[..., 3].max() - 40000) < 200
    assert np.abs(array[4:-4, 28:44, 3] - 20000).max() < 200


def with_reference(data: bytes, box: bytes) -> bytes:
    """AVIF의 참조 목록(iref)에 상자를 더한다. 뒤로 밀린 자료의 자리(iloc)도 고친다."""
    result = bytearray(data)
    at = data.index(b"iref") - 4
    end = at + int.from_bytes(data[at : at + 4], "big")
    for start in (at, data.index(b"meta") - 4):
        struct.pack_into(">I", result, start, int.from_bytes(data[start : start + 4], "big") + len(box))
    body = data.index(b"mdat") + 4
    iloc = data.index(b"iloc")
    for place in range(iloc, iloc + int.from_bytes(data[iloc - 4 : iloc], "big") - 8):
        (offset,) = struct.unpack_from(">I", data, place)
        if body <= offset < len(data) and offset > 200:
            struct.pack_into(">I", result, place, offset + len(box))
    return bytes(result[:end] + box + result[end:])


def test_deep_heic_keeps_its_depth(tmp_path: Path) -> None:
    pytest.importorskip("pillow_heif")
    array = np.repeat(np.linspace(0, 65535, 64).astype(np.uint16)[None, :, None], 48, 0).repeat(3, 2)
    write_image(tmp_path / "a.heic", still(array), quality=95)
    picture = read_image(tmp_path / "a.heic")
    assert picture.first.array.dtype == np.uint16 and picture.bits > 8
    assert np.abs(picture.first.array.astype(int) - array).mean() < 700


@pytest.mark.parametrize("size", [(8, 8), (16, 9), (40, 300), (1, 700), (3000, 9)])
def test_size_of_jxl_is_known_before_decoding(tmp_path: Path, size: tuple[int, int], monkeypatch: Any) -> None:
    pytest.importorskip("pillow_jxl")
    width, height = size
    path = tmp_path / "a.jxl"
    write_image(path, still(photo(height, width)), quality=90)
    with monkeypatch.context() as patch:
        patch.setattr("realesrgan.media.pillow.open_image", None)
        assert (probe_image(path).width, probe_image(path).height) == size
        with pytest.raises(ImageTooLargeError):
            read_image(path, max_output_pixels=7)
    assert read_image(path).first.array.shape[:2] == (height, width)


# 함께 든 다른 것

GAIN_MAP_XMP = (
    b'<rdf:Description hdrgm:Version="1.0"><Container:Directory><rdf:Seq>'
    b'<Container:Item Item:Semantic="Primary" Item:Mime="image/jpeg"/>'
    b'<Container:Item Item:Semantic="GainMap" Item:Mime="image/jpeg" Item:Length="%d"/>'
    b"</rdf:Seq></Container:Directory></rdf:Description>"
)
XMP_HEAD = b"http://ns.adobe.com/xap/1.0/\0"


def ultra_hdr(orientation: int = 1) -> tuple[bytes, bytes]:
    gain_map = encoded(photo(12, 16), "JPEG")
    exif = b"Exif\0\0" + exif_bytes(orientation)
    return with_segments((0xE1, exif), (0xE1, XMP_HEAD + GAIN_MAP_XMP % len(gain_map)), tail=gain_map), gain_map


def test_gain_map_is_carried_when_the_result_stays_jpeg(tmp_path: Path) -> None:
    data, gain_map = ultra_hdr()
    picture, notes = trip(tmp_path, data, ".jpg")
    result = (tmp_path / "out.jpg").read_bytes()
    assert notes == () and picture.metadata.gain_map == gain_map and result.endswith(gain_map)
    assert b"hdrgm:Version" in picture.metadata.xmp
    # Image.open은 Ultra HDR을 알아보면 둘째 이미지를 숨긴다.
    with MpoImageFile(tmp_path / "out.jpg") as image:
        assert image.n_frames == 2
        image.seek(1)
        assert image.size == (16, 12)


@pytest.mark.parametrize("extension", [".png", ".webp", ".avif"])
def test_gain_map_is_named_where_it_cannot_be_carried(tmp_path: Path, extension: str) -> None:
    picture, notes = trip(tmp_path, ultra_hdr()[0], extension)
    assert any("이득 지도" in note for note in notes)
    assert b"hdrgm" not in picture.metadata.xmp and b"Container:Directory" not in picture.metadata.xmp


def test_gain_map_of_a_turned_picture_is_named(tmp_path: Path) -> None:
    picture, notes = trip(tmp_path, ultra_hdr(6)[0], ".jpg")
    assert picture.metadata.gain_map is None and any("이득 지도" in note for note in notes)
    assert b"hdrgm" not in (picture.metadata.xmp or b"")


def test_other_pictures_motion_and_depth_are_named(tmp_path: Path) -> None:
    output = io.BytesIO()
    first, second = Image.fromarray(photo()), Image.fromarray(photo(24, 32))
    first.save(output, "MPO", save_all=True, append_images=[second])
    assert any("다른 이미지 1장" in note for note in load(tmp_path, output.getvalue()).notes)
    motion = XMP_HEAD + b'<rdf:Description GCamera:MotionPhoto="1" GCamera:MicroVideoOffset="99"/>'
    picture = load(tmp_path, with_segments((0xE1, motion)))
    assert any("움직이는 사진" in note for note in picture.notes)
    assert picture.metadata.xmp == b"<rdf:Description/>"
    extended = b"http://ns.adobe.com/xmp/extension/\0" + bytes(40)
    linked = XMP_HEAD + b'<rdf:Description xmpNote:HasExtendedXMP="ABC"/>'
    picture = load(tmp_path, with_segments((0xE1, linked), (0xE1, extended)))
    assert any("확장 XMP" in note for note in picture.notes) and b"HasExtendedXMP" not in picture.metadata.xmp


@pytest.mark.parametrize(
    ("data", "name"),
    [
        (with_segments((0xEB, b"JP\0\1\0\0\0\1\0\0\0\x28jumbc2pa" + bytes(28))), "C2PA"),
        (with_segments(tail=b"MotionPhoto_Data\0\0\0\x18ftypmp42" + bytes(40)), "움직이는 사진"),
        (with_segments(tail=bytes(1 << 20) + b"\0\0\0\x18ftypisom" + bytes(40)), "움직이는 사진"),
        (text_png((b"caBX", bytes(40))), "C2PA"),
        (tiff(random_array(4, 4, 3), t34735=(1, 1, 0, 0)), "GeoTIFF"),
        (tiff(random_array(4, 4, 5), t262=(1,), t338=(0, 0, 0, 0)), "추가 채널 4개"),
    ],
)
def test_what_is_bound_to_the_original_is_named(tmp_path: Path, data: bytes, name: str) -> None:
    assert any(name in note for note in load(tmp_path, data).notes)


def test_comment_of_gif_is_carried(tmp_path: Path) -> None:
    comment = "긴 설명 " * 50
    frames = [Image.fromarray(photo()), Image.fromarray(photo()[::-1].copy())]
    moving = io.BytesIO()
    frames[0].save(moving, "GIF", save_all=True, append_images=frames[1:], comment=comment.encode())
    for data in (moving.getvalue(), encoded(photo(), "GIF", comment=comment.encode())):
        for extension in (".gif", ".png"):
            picture, notes = trip(tmp_path, data, extension)
            assert picture.metadata.text == (("Comment", comment),) and not any("글(" in note for note in notes)


def gif_with(extension: bytes) -> bytes:
    data = encoded(photo(), "GIF")
    at = 13 + 3 * 256
    return data[:at] + b"!\xff\x0b" + extension + data[at:]


def test_xmp_and_profile_of_gif_are_read(tmp_path: Path) -> None:
    packet = b'<x:xmpmeta xmlns:x="adobe:ns:meta/">' + "긴 제목 ".encode() * 99 + b"</x:xmpmeta>"
    xmp = gif_with(b"XMP DataXMP" + packet + b"\x01" + bytes(range(255, -1, -1)) + b"\0")
    picture, _ = trip(tmp_path, xmp, ".png")
    assert picture.metadata.xmp == packet and np.array_equal(picture.first.array, load(tmp_path, xmp).first.array)
    assert any("XMP" in note for note in trip(tmp_path, xmp, ".gif")[1])
    icc = profile(b"RGB ")
    blocks = b"".join(bytes((len(icc[at : at + 255]),)) + icc[at : at + 255] for at in range(0, len(icc), 255))
    assert load(tmp_path, gif_with(b"ICCRGBG1012" + blocks + b"\0")).metadata.icc == icc
    with pytest.raises(ImageReadError, match="잘림"):
        load(tmp_path, gif_with(b"XMP DataXMP" + packet))


def test_profile_inside_a_bmp_is_read(tmp_path: Path) -> None:
    icc = profile(b"RGB ")
    data = encoded(photo(), "BMP")
    head = bytearray(data[14:54].ljust(124, b"\0"))
    head[0], head[56:60] = 124, b"DEBM"
    struct.pack_into("<II", head, 112, 124 + len(data) - 54, len(icc))
    start = struct.pack("<IHHI", len(data) + 84 + len(icc), 0, 0, 14 + 124)
    picture = load(tmp_path, b"BM" + start + bytes(head) + data[54:] + icc)
    assert picture.metadata.icc == icc and np.array_equal(picture.first.array[..., ::-1], photo())


def test_a_profile_cut_short_is_left_out_with_a_note(tmp_path: Path) -> None:
    data = with_segments((0xE2, b"ICC_PROFILE\0\1\2" + profile(b"RGB ")[:200]))
    picture = load(tmp_path, data)
    assert picture.metadata.icc is None and any("ICC" in note for note in picture.notes)


def test_unknown_chunks_of_png_are_named_and_known_ones_are_not(tmp_path: Path) -> None:
    notes = load(tmp_path, text_png((b"npTc", b"x"), (b"npTc", b"y"), (b"tIME", bytes(7)), (b"sBIT", b"\5\5\5"))).notes
    assert notes == ("옮기지 않은 것: 뜻을 모르는 PNG의 조각(npTc).",)


def test_png_for_ios_is_not_called_damage(tmp_path: Path) -> None:
    data = png(photo(), 2)
    with pytest.raises(ImageReadError, match="CgBI"):
        load(tmp_path, data[:8] + chunk(b"CgBI", bytes(4)) + data[8:])


# 프레임과 화면


def test_an_animation_announced_after_the_pixels_is_a_still(tmp_path: Path) -> None:
    data = png(photo(), 2, after=chunk(b"acTL", struct.pack(">II", 2, 0)))
    assert np.array_equal(load(tmp_path, data).first.array[..., ::-1], photo())


def test_a_canvas_of_no_size_takes_the_size_of_the_first_frame(tmp_path: Path) -> None:
    data = bytearray(gif_with_frames((2, 1, 10, 8), (0, 0, 6, 6)))
    data[6:10] = bytes(4)
    picture = load(tmp_path, bytes(data))
    assert [frame.array.shape[:2] for frame in picture.frames] == [(9, 12)] * 2


def gif_with_frames(*frames: tuple[int, int, int, int]) -> bytes:
    """20x16 화면에 `(x, y, 너비, 높이)`의 프레임들을 둔 GIF."""
    output = b"GIF89a" + struct.pack("<HHBBB", 20, 16, 0xF0, 0, 0) + bytes((0, 0, 0, 255, 255, 255))
    for x, y, width, height in frames:
        single = io.BytesIO()
        image = Image.new("P", (width, height), 1)
        image.putpalette([0, 0, 0, 255, 255, 255])
        image.save(single, "GIF", optimize=False)
        data = single.getvalue()
        at = data.index(b",", 13)
        flags = data[at + 9]
        body = data[at + 10 : data.rindex(b";")]
        output += b"!\xf9\x04\x04\x0a\0\0\0," + struct.pack("<HHHHB", x, y, width, height, flags) + body
    return output + b";"


@pytest.mark.parametrize(
    "frames",
    [
        [(0, 0, 20, 16), (0, 0, 40, 30)],
        [(0, 0, 20, 16), (10, 10, 20, 16)],
        [(0, 0, 5, 5), (3, 3, 4, 4)],
        [(4, 4, 4, 4), (0, 0, 30, 3)],
    ],
)
def test_frames_of_any_size_are_fitted_to_the_canvas(tmp_path: Path, frames: Any) -> None:
    picture, _ = trip(tmp_path, gif_with_frames(*frames), ".gif")
    assert [frame.array.shape[:2] for frame in picture.frames] == [(16, 20)] * len(frames)
    picture, _ = trip(tmp_path, gif_with_frames(*frames), ".png")
    assert [frame.array.shape[:2] for frame in picture.frames] == [(16, 20)] * len(frames)


# 방향


@pytest.mark.parametrize("place", ["raw", "app1", "xmp", "jpeg"])
@pytest.mark.parametrize("orientation", [3, 6])
def test_orientation_in_unusual_places_is_applied(tmp_path: Path, place: str, orientation: int) -> None:
    rgb = photo(12, 20)
    exif = exif_bytes(orientation)
    xmp = b'<rdf:Description tiff:Orientation="%d"/>' % orientation
    if place == "jpeg":
        data = with_segments((0xE1, XMP_HEAD + xmp))
        wanted = (48, 64)
    else:
        payload = b"Exif\0\0" + exif if place == "app1" else exif
        text = f"Raw profile type {'APP1' if place == 'app1' else 'exif'}\0\nexif\n{len(payload):8}\n{payload.hex()}"
        before = (
            chunk(b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + xmp) if place == "xmp" else chunk(b"tEXt", text.encode())
        )
        data, wanted = png(rgb, 2, before=before), (12, 20)
    picture = load(tmp_path, data)
    assert picture.first.array.shape[:2] == (wanted if orientation == 3 else wanted[::-1])
    assert probe_image(tmp_path / "in").width == picture.first.array.shape[1]
    again = trip(tmp_path, data, ".png")[0]
    assert (again.first.array == picture.first.array).all()


# 이유


@pytest.mark.parametrize("head", [b"v/1\1", b"#?RADIANCE\n", b'<svg xmlns="a"/>', b"FUJIFILMCCD-RAW "])
def test_a_picture_of_another_format_is_not_called_no_picture(tmp_path: Path, head: bytes) -> None:
    with pytest.raises(ImageReadError, match="여기서 읽지 못하는 형식"):
        load(tmp_path, head + bytes(64))


def test_cmyk_with_alpha_is_not_called_damage(tmp_path: Path) -> None:
    with pytest.raises(ImageReadError, match="CMYK의 TIFF는 지원하지"):
        load(tmp_path, tiff(random_array(4, 4, 5), t262=(5,), t338=(2,)))


@pytest.mark.parametrize("bits", [8, 12])
def test_english_of_a_library_never_reaches_the_terminal(tmp_path: Path, bits: int, capfd: Any) -> None:
    channels = 3 if bits == 8 else 1
    data = tiff(random_array(8, 8, channels), t259=(50000,), t258=(bits,) * channels, t279=(0, 0, 0, 0))
    with pytest.raises(ImageReadError, match="ZSTD"):
        load(tmp_path, data)
    assert capfd.readouterr() == ("", "")


def test_missing_decoder_is_not_called_damage(tmp_path: Path) -> None:
    data = tiff(random_array(8, 8, 3, dtype=np.uint16), t259=(50000,))
    with pytest.raises(ImageReadError, match=r"멀쩡하지만 ZSTD 압축의 16비트"):
        load(tmp_path, data)
    error = explained(ValueError("tiff2vips: ZSTD compression support is not configured"))
    assert isinstance(error, MissingDecoderError) and "ZSTD" in error.why


@pytest.mark.parametrize("compression", ["none", "deflate"])
@pytest.mark.parametrize("bands", [1, 3])
@pytest.mark.parametrize("dtype", ["float32", "int16", "uint32"])
def test_wide_tiff_is_mapped_to_16_bits_when_the_range_is_given(
    tmp_path: Path, dtype: str, bands: int, compression: str
) -> None:
    values = np.linspace(-0.25, 1.25, 7 * 9 * bands).reshape(7, 9, bands)
    low, high = {"float32": (0.0, 1.0), "int16": (-100, 900), "uint32": (0, 4e9)}[dtype]
    array = (low + values * (high - low)).clip(0 if dtype == "uint32" else None, 2**32 - 1).astype(dtype)
    kind = {"float32": "float", "int16": "short", "uint32": "uint"}[dtype]
    image = import_vips().Image.new_from_memory(array.tobytes(), 9, 7, bands, kind)
    space = "b-w" if bands == 1 else "rgb"
    image.copy(interpretation=space).tiffsave(str(tmp_path / "a.tif"), compression=compression)
    with pytest.raises(ImageReadError, match="--float_range"):
        read_image(tmp_path / "a.tif")
    picture = read_image(tmp_path / "a.tif", value_range=(low, high))
    found = picture.first.array.reshape(7, 9, bands)[..., ::-1]
    scaled = (array.astype(np.float64) - low) / (high - low) * 65535
    assert found.dtype == np.uint16 and np.abs(found - scaled.clip(0, 65535)).max() <= 0.51
    assert ["잘랐습니다" in note for note in picture.notes] == [True]
    assert probe_image(tmp_path / "a.tif").bit_depth == 16


@pytest.mark.parametrize("bits", [32, 64])
def test_float_tiff_is_refused_with_its_own_reason(tmp_path: Path, bits: int) -> None:
    data = tiff(random_array(4, 4, 1, dtype=np.uint8).astype(f"u{bits // 8}"), t339=(3,))
    with pytest.raises(ImageReadError, match=f"{bits}비트 실수"):
        load(tmp_path, data)
    if bits == 64:
        (tmp_path / "a.tif").write_bytes(data)
        with pytest.raises(ImageReadError, match="32비트 실수로 바꾸어"):
            read_image(tmp_path / "a.tif", value_range=(0, 1))
