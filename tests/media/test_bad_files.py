"""읽을 수 없는 파일: 이유를 한국어로 말하고, 반쯤 푼 이미지를 절대 내지 않는다."""

from __future__ import annotations

import builtins
import io
import os
import struct
import subprocess
import sys
import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from realesrgan.errors import ImageReadError, ImageTooLargeError
from realesrgan.media.image import probe_image, read_image
from tests.media.samples import chunk, encoded, photo, png, random_array, tiff

NAMES = ["PNG", "JPEG", "WEBP", "BMP", "TIFF", "AVIF", "GIF"]


def refused(path, data, match, error=ImageReadError):
    path.write_bytes(data)
    with pytest.raises(error, match=match) as caught:
        read_image(path)
    message = str(caught.value)
    assert str(path) in message
    assert "이유:" in message and "해결:" in message
    return message


def animation(name):
    frames = [Image.fromarray(random_array(16, 16, 3, seed=seed)) for seed in range(4)]
    output = io.BytesIO()
    frames[0].save(output, name, save_all=True, append_images=frames[1:], duration=50)
    return output.getvalue()


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("share", [0.3, 0.6, 0.9, 0.98])
def test_truncated_file_is_an_error(tmp_path: Path, name: Any, share: Any) -> None:
    noise = random_array(64, 64, 3)
    data = encoded(noise, name)
    refused(tmp_path / "a", data[: int(len(data) * share)], "잘|망가")


@pytest.mark.parametrize("name", ["PNG", "GIF", "WEBP", "AVIF"])
@pytest.mark.parametrize("share", [0.3, 0.6, 0.95])
def test_truncated_animation_is_an_error(tmp_path: Path, name: Any, share: Any) -> None:
    data = animation(name)
    refused(tmp_path / "a", data[: int(len(data) * share)], "잘|망가")


@pytest.mark.parametrize("progressive", [False, True])
@pytest.mark.parametrize("cut", [3, 10, 50, 500])
def test_jpeg_missing_its_end_is_an_error(tmp_path: Path, progressive: Any, cut: Any) -> None:
    refused(tmp_path / "a", encoded(photo(), "JPEG", progressive=progressive)[:-cut], "잘|망가")


@pytest.mark.parametrize(
    ("dtype", "deflate"), [(np.uint8, False), (np.uint8, True), (np.uint16, False), (np.uint16, True)]
)
def test_truncated_pixels_of_tiff_are_an_error(tmp_path: Path, dtype: Any, deflate: Any) -> None:
    data = tiff(random_array(8, 8, 3, dtype=dtype), deflate=deflate)
    refused(tmp_path / "a", data[:-20], "잘|망가")


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_png_with_too_little_pixel_data_is_an_error(tmp_path: Path, dtype: Any) -> None:
    full = png(random_array(8, 8, 3, dtype=dtype), 2)
    at = full.index(b"IDAT")
    size = int.from_bytes(full[at - 4 : at], "big")
    data = full[: at - 4] + chunk(b"IDAT", full[at + 4 : at + 4 + size // 2]) + chunk(b"IEND", b"")
    refused(tmp_path / "a", data, "잘|망가")


def test_flipped_bit_in_png_is_an_error(tmp_path: Path) -> None:
    data = bytearray(png(random_array(8, 8, 3, dtype=np.uint16), 2))
    data[data.index(b"IDAT") + 30] ^= 1
    refused(tmp_path / "a", bytes(data), "망가")


@pytest.mark.parametrize(
    ("data", "match"),
    [
        (b"", "빈 파일"),
        (b"hello, this is text\n" * 9, "이미지 파일이 아닙"),
        (b"\x89PNG\r\n\x1a\n", "잘"),
        (b"BM", "잘|망가"),
    ],
)
def test_empty_text_or_header_only_file_is_refused(tmp_path: Path, data: Any, match: Any) -> None:
    refused(tmp_path / "renamed.png", data, match)


def test_missing_file_and_folder_are_explained(tmp_path: Path) -> None:
    with pytest.raises(ImageReadError, match="없습니다"):
        read_image(tmp_path / "없는 파일.png")
    with pytest.raises(ImageReadError, match="폴더입니다"):
        read_image(tmp_path)
    with pytest.raises(ImageReadError, match="폴더입니다"):
        probe_image(tmp_path)


def test_file_without_permission_is_explained(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(encoded(photo(), "PNG"))

    def denied(*_args, **_options):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "open", denied)
    with pytest.raises(ImageReadError, match="권한이 없습니다"):
        read_image(path)


@pytest.mark.skipif(os.name == "nt" or getattr(os, "geteuid", lambda: 0)() == 0, reason="root는 권한을 무시한다")
def test_real_file_without_permission_is_explained(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(encoded(photo(), "PNG"))
    path.chmod(0)
    with pytest.raises(ImageReadError, match="권한이 없습니다"):
        read_image(path)


def test_limit_counts_output_pixels_and_names_the_option(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(encoded(photo(10, 20), "PNG"))
    read_image(path, outscale=4, max_output_pixels=3200)
    with pytest.raises(ImageTooLargeError, match=r"80x40.*3,200.*3,199[\s\S]*--max_pixels 3200"):
        read_image(path, outscale=4, max_output_pixels=3199)
    with pytest.raises(ImageTooLargeError):
        read_image(path, outscale=0.5, max_output_pixels=199)
    read_image(path, outscale=1000, max_output_pixels=None)


def test_pixel_limit_measures_the_size_the_result_really_has(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(encoded(random_array(100, 100), "PNG"))
    read_image(path, outscale=2.3, max_output_pixels=230 * 230)
    with pytest.raises(ImageTooLargeError, match="230x230"):
        read_image(path, outscale=2.3, max_output_pixels=230 * 230 - 1)


def test_limit_counts_every_frame(tmp_path: Path) -> None:
    path = tmp_path / "a.gif"
    path.write_bytes(animation("GIF"))
    read_image(path, max_output_pixels=16 * 16 * 4)
    with pytest.raises(ImageTooLargeError, match="4프레임"):
        read_image(path, max_output_pixels=16 * 16 * 4 - 1)


def test_a_number_of_frames_that_cannot_be_true_takes_no_memory(tmp_path: Path) -> None:
    data = png(random_array(4, 4, 3), 2, before=chunk(b"acTL", struct.pack(">II", 2**31 - 1, 0)))
    (tmp_path / "a.png").write_bytes(data)
    tracemalloc.start()
    with pytest.raises(ImageTooLargeError, match="2,147,483,647프레임"):
        read_image(tmp_path / "a.png")
    assert tracemalloc.get_traced_memory()[1] < 1 << 24
    tracemalloc.stop()


@pytest.mark.parametrize("bits", [8, 16])
def test_bomb_is_refused_from_its_header(tmp_path: Path, bits: Any) -> None:
    data = bytearray(png(random_array(1, 1, 3, dtype=np.uint16 if bits == 16 else np.uint8), 2))
    header = (60000).to_bytes(4, "big") * 2 + bytes(data[24:29])
    data[8:33] = chunk(b"IHDR", header)
    path = tmp_path / "bomb.png"
    path.write_bytes(data)
    assert probe_image(path).width == 60000
    with pytest.raises(ImageTooLargeError):
        read_image(path, outscale=4)


def test_pixel_limit_of_pillow_does_not_interfere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, recwarn: pytest.WarningsRecorder
) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 10)
    for name in ("PNG", "JPEG", "BMP", "GIF", "AVIF"):
        path = tmp_path / name
        path.write_bytes(encoded(photo(), name))
        assert read_image(path).first.array.shape[:2] == (48, 64)
    path = tmp_path / "TIFF"
    path.write_bytes(tiff(random_array(8, 8, 3)))
    assert read_image(path).first.array.shape == (8, 8, 3)
    assert not [warning for warning in recwarn if "Decompression" in type(warning.message).__name__]


def test_unsupported_tiffs_are_refused_with_a_reason(tmp_path: Path) -> None:
    floating = io.BytesIO()
    Image.fromarray(np.zeros((4, 4), np.float32)).save(floating, "TIFF")
    refused(tmp_path / "a", floating.getvalue(), "32비트 실수")
    integers = io.BytesIO()
    Image.fromarray(np.zeros((4, 4), np.int32)).save(integers, "TIFF")
    refused(tmp_path / "a", integers.getvalue(), "32비트 .*정수")


def test_heic_without_the_plugin_tells_how_to_install_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("realesrgan.media.image.is_installed", lambda _package: False)
    message = refused(tmp_path / "a.heic", b"\0\0\0\x18ftypheic\0\0\0\0mif1heic", "필요한 것이 없습니다")
    assert "pip install pillow-heif" in message


@pytest.mark.parametrize("name", ["HEIF"])
def test_truncated_heic_is_an_error(tmp_path: Path, name: Any) -> None:
    heif = pytest.importorskip("pillow_heif")
    output = io.BytesIO()
    heif.from_pillow(Image.fromarray(photo())).save(output)
    data = output.getvalue()
    refused(tmp_path / "a", data[: len(data) // 2], "잘|망가")
    refused(tmp_path / "a", data[:-5], "잘|망가")


@given(st.sampled_from([*NAMES, "tiff16", "png16", "apng"]), st.integers(0, 10**6), st.integers(0, 255), st.booleans())
@settings(max_examples=150, deadline=None)
def test_damaged_file_gives_a_picture_or_our_error(
    tmp_path_factory: pytest.TempPathFactory, name: Any, at: Any, value: Any, cut: Any
) -> None:
    array = random_array(9, 9, 3)
    builders = {
        "tiff16": lambda: tiff(array.astype(np.uint16), deflate=True),
        "png16": lambda: png(array.astype(np.uint16), 2),
        "apng": lambda: animation("PNG"),
    }
    data = bytearray(builders[name]() if name in builders else encoded(array, name))
    at %= len(data)
    data[at] = value
    path = tmp_path_factory.getbasetemp() / "damaged"
    path.write_bytes(data[:at] if cut else data)
    try:
        picture = read_image(path, max_output_pixels=10**6)
    except ImageReadError as error:
        assert "이유:" in str(error)
    else:
        assert list(picture.frames)


@pytest.mark.skipif(os.name == "nt", reason="표준 오류를 파일 번호로 잡는다")
def test_damaged_files_write_nothing_on_stderr(tmp_path: Path) -> None:
    array = random_array(32, 32, 3, dtype=np.uint16)
    (tmp_path / "a.png").write_bytes(png(array, 2)[:-300])
    (tmp_path / "b.tif").write_bytes(tiff(array)[:-300])
    (tmp_path / "c.jpg").write_bytes(encoded(photo(), "JPEG")[:-300])
    code = (
        "import sys\nfrom realesrgan.media.image import read_image\n"
        "for name in sys.argv[1:]:\n    try:\n        read_image(name)\n    except Exception as error:\n"
        "        assert type(error).__name__ == 'ImageReadError'\n"
    )
    files = [str(path) for path in sorted(tmp_path.iterdir())]
    done = subprocess.run([sys.executable, "-c", code, *files], capture_output=True, text=True, check=True)
    assert done.stderr == ""


def test_keyboard_interrupt_is_not_swallowed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(encoded(photo(), "PNG"))

    def interrupt(*_args, **_options):
        raise KeyboardInterrupt

    monkeypatch.setattr("realesrgan.media.image.read_header", interrupt)
    with pytest.raises(KeyboardInterrupt):
        read_image(path)
    assert builtins.open(path, "rb").read()  # noqa: SIM115, PTH123
