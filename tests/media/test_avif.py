"""AVIF와 WebP: 상자와 조각이 파일 안에 다 있는가, 밝기만 담은 것을 알아보는가."""

from __future__ import annotations

import io
from typing import Any

import pytest

from realesrgan.media import avif, webp
from realesrgan.media.picture import TruncatedError
from tests.media.samples import encoded, photo


@pytest.mark.parametrize(("name", "module"), [("WEBP", webp), ("AVIF", avif)])
@pytest.mark.parametrize("cut", [1, 9])
def test_short_file_is_found_from_its_header(name: Any, module: Any, cut: Any) -> None:
    data = encoded(photo(), name)
    assert module.read_header(io.BytesIO(data)).info.width == 64
    with pytest.raises(TruncatedError):
        module.read_header(io.BytesIO(data[:-cut]))


def test_grey_is_told_from_the_settings() -> None:
    grey, colour = b"av1C\x81\0\x1c\0", b"av1C\x81\0\x0c\0"
    assert avif.is_grey(grey) and not avif.is_grey(colour) and not avif.is_grey(b"")
    # 알파는 밝기만 담은 별도의 이미지다.
    assert not avif.is_grey(colour + grey)
