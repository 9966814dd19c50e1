"""OpenCV를 불러오는 곳."""

from __future__ import annotations

import sys

import pytest

from realesrgan.errors import RealESRGANError
from realesrgan.util.optional import import_cv2


def test_module_is_returned() -> None:
    assert import_cv2().__name__ == "cv2"


def test_missing_library_tells_the_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cv2", None)
    with pytest.raises(RealESRGANError, match="opencv-python-headless"):
        import_cv2()
