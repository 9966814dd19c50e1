"""큰 이미지를 쓸 때의 메모리."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

CODE = """
import re, sys
import numpy as np
from realesrgan.media.image import still, write_image
from realesrgan.util.optional import import_cv2
import_cv2()
array = np.tile(np.random.default_rng(0).integers(0, 256, (500, 500, 3)).astype(np.uint8), (8, 8, 1))
write_image(sys.argv[1], still(array[:600, :600].copy()))
# ru_maxrss는 부모의 최댓값을 물려받아 시험을 함께 돌리면 틀린다.
peak = lambda: int(re.search(r"VmHWM:\\s+(\\d+)", open("/proc/self/status").read())[1])
before = peak()
write_image(sys.argv[1], still(array))
after = peak()
print((after - before) * 1024 / array.nbytes)
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="최대 상주 메모리를 /proc에서 읽는다")
@pytest.mark.parametrize("extension", [".png", ".jpg", ".tif"])
def test_writing_copies_no_whole_picture(tmp_path: Path, extension: Any) -> None:
    path = tmp_path / f"a{extension}"
    done = subprocess.run([sys.executable, "-c", CODE, str(path)], capture_output=True, text=True, check=True)
    assert float(done.stdout) < 1.0, "띠로 쓰면 48MB 이미지에 필요한 것은 스레드마다 몇 MB뿐이다"
