"""형식과 확장자의 표."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest

from realesrgan.media import formats
from tests.media.samples import encoded, photo, random_array, tiff


def test_tables_import_no_heavy_module() -> None:
    code = (
        "import sys, realesrgan.media.formats; print([m for m in ('numpy', 'PIL', 'cv2', 'torch') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize("name", ["a.png", "사진 1.JPG", "b.HeIc", "🙂.webp", "x/y.z.tiff", "a.apng", "w.jfif"])
def test_image_names_are_recognised_in_any_case(name: Any) -> None:
    assert formats.is_image_name(name)


@pytest.mark.parametrize("name", ["a.txt", "png", "a.png.txt", "", ".png", "a.mp4"])
def test_other_names_are_not_images(name: Any) -> None:
    assert not formats.is_image_name(name)


def test_an_extension_belongs_to_one_format() -> None:
    listed = [extension for item in formats.FORMATS for extension in item.extensions]
    assert len(listed) == len(set(listed))
    assert all(extension.startswith(".") and extension == extension.lower() for extension in listed)


def test_heic_is_writable_only_with_pillow_heif(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(formats, "is_installed", lambda _package: False)
    assert ".heic" not in formats.writable_extensions()
    assert formats.is_image_name("a.heic")
    monkeypatch.setattr(formats, "is_installed", lambda _package: True)
    assert ".heic" in formats.writable_extensions()


def test_capabilities_match_the_formats() -> None:
    named = {item.name: item for item in formats.FORMATS}
    jpeg, png, webp = (named[name] for name in ("JPEG", "PNG", "WEBP"))
    assert not jpeg.alpha and jpeg.default_quality and jpeg.max_side == 65500
    assert png.alpha and png.sixteen_bit and png.animation and png.gray_alpha and png.default_quality is None
    assert webp.max_side == 16383 and webp.animation
    assert set(formats.animated_extensions()) == {".png", ".webp", ".avif", ".gif"}
    assert formats.format_of_name("a.unknown") is None


@pytest.mark.parametrize("name", ["PNG", "JPEG", "WEBP", "BMP", "TIFF", "GIF", "AVIF"])
def test_format_is_found_by_content(name: Any) -> None:
    assert formats.sniff_format(encoded(photo(), name)[:64]) == name


@pytest.mark.parametrize("head", [b"", b"hello", b"\x89PN", b"RIFF\0\0\0\0WAVE", b"\0\0\0\x18ftypmp42" + bytes(12)])
def test_unknown_content_is_none(head: Any) -> None:
    assert formats.sniff_format(head) is None


@pytest.mark.parametrize("brands", [(b"mif1", b"avif"), (b"avis",), (b"avif", b"mif1")])
def test_avif_is_found_by_compatible_brands(brands: Any) -> None:
    body = b"ftyp" + brands[0] + bytes(4) + b"".join(brands[1:])
    assert formats.sniff_format(len(body + b"size").to_bytes(4, "big") + body) == "AVIF"


def test_heif_brand_is_recognised() -> None:
    assert formats.sniff_format(b"\0\0\0\x18ftypheic\0\0\0\0mif1heic") == "HEIF"


def test_both_tiff_byte_orders_are_recognised() -> None:
    for order in "<>":
        assert formats.sniff_format(tiff(random_array(2, 2, 1), order=order)[:64]) == "TIFF"


@pytest.mark.parametrize("name", ["a.JXL", "사진.cr2", "b.psd", "x/y.svg", "c.exr", "d.jp2", "a.png", "b.HeIc"])
def test_pictures_we_cannot_read_are_known_by_name(name: Any) -> None:
    assert formats.is_known_picture_name(name)


@pytest.mark.parametrize("name", ["a.txt", "png", "a.mp4", "", ".png", "a.pdf", "a.npy"])
def test_names_of_other_files_are_not_known_pictures(name: Any) -> None:
    assert not formats.is_known_picture_name(name)


def test_every_format_with_a_module_follows_the_contract() -> None:
    from importlib import import_module

    for name in {item.module for item in formats.FORMATS if item.module}:
        module = import_module(f"realesrgan.media.{name}")
        # JPEG는 libvips가 그대로 푼다.
        parts = ("read_header", "write") if name == "jpeg" else ("read_header", "decode", "write")
        assert all(callable(getattr(module, part)) for part in parts)
