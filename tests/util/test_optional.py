"""패키지를 쓸 때에야 불러오는 곳."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from types import ModuleType

import pytest

from realesrgan.errors import RealESRGANError
from realesrgan.util.optional import import_cv2, import_optional


def test_module_is_returned() -> None:
    assert import_cv2().__name__ == "cv2"


def test_missing_library_tells_the_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cv2", None)
    with pytest.raises(RealESRGANError, match="opencv-python-headless"):
        import_cv2()


SENDING = """
import os, sys
from realesrgan.util.optional import import_optional
import_optional(sys.argv[1], "시험하려면", "")
if sys.argv[1] == "openvino":
    from openvino.tools.ovc import telemetry_utils
    assert telemetry_utils.tm.__name__.endswith("telemetry_stub"), telemetry_utils.tm
    assert "openvino_telemetry" not in sys.modules
assert os.environ["ORT_DISABLE_TELEMETRY"] == "1"
"""


@pytest.mark.parametrize("package", ["openvino", "onnxruntime"])
def test_engines_do_not_report_what_the_user_does(package: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if importlib.util.find_spec(package) is None:
        pytest.skip(f"{package}이 없다")
    monkeypatch.delenv("ORT_DISABLE_TELEMETRY", raising=False)
    done = subprocess.run([sys.executable, "-c", SENDING, package], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_the_users_own_setting_and_packages_are_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ORT_DISABLE_TELEMETRY", "0")
    own = ModuleType("openvino_telemetry")
    monkeypatch.setitem(sys.modules, "openvino_telemetry", own)
    import_optional("json", "시험하려면", "")
    assert os.environ["ORT_DISABLE_TELEMETRY"] == "0" and sys.modules["openvino_telemetry"] is own
