"""형식과 확장자의 표."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest

from realesrgan.media import formats


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
    monkeypatch.setattr(formats, "heif_available", lambda: False)
    assert ".heic" not in formats.writable_extensions()
    assert ".heic" in formats.readable_extensions()
    monkeypatch.setattr(formats, "heif_available", lambda: True)
    assert ".heic" in formats.writable_extensions()


def test_capabilities_match_the_formats() -> None:
    jpeg, png, webp = (formats.format_named(name) for name in ("JPEG", "PNG", "WEBP"))
    assert not jpeg.alpha and jpeg.quality and jpeg.max_side == 65500
    assert png.alpha and png.sixteen_bit and png.animation and png.gray_alpha and not png.quality
    assert webp.max_side == 16383 and webp.animation
    assert set(formats.animated_extensions()) == {".png", ".webp", ".avif", ".gif"}
    assert formats.format_of_name("a.unknown") is None
