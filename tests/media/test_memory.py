"""큰 이미지를 쓸 때의 메모리."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from realesrgan.media.image import Frame, Metadata, Picture, read_image, still, write_image
from realesrgan.media.picture import fill_transparent_colour, fill_transparent_rows
from realesrgan.media.vips import RawImage
from tests.conftest import ROOT
from tests.media.samples import encoded, png, random_array

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


RAW_CODE = """
import re, sys
from pathlib import Path
import numpy as np
from realesrgan.media.image import Frame, Picture, write_image
from realesrgan.media.vips import RawImage
peak = lambda: int(re.search(r"VmHWM:\\s+(\\d+)", open("/proc/self/status").read())[1])
folder = Path(sys.argv[1])
def write(height):
    raw = RawImage(folder, (height, 4000, 3), np.uint8)
    for top in range(0, height, 200):
        raw[top:top + 200, :][...] = top % 251
    write_image(folder / sys.argv[2], Picture((Frame(raw, rgb=True),)))
    raw.close()
write(400)
before = peak()
write(8000)
print((peak() - before) // 1024)
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="최대 상주 메모리를 /proc에서 읽는다")
@pytest.mark.parametrize("name", ["a.png", "a.tif", "a.jpg", "a.bmp"])
def test_a_result_in_a_file_takes_no_memory_of_its_size(tmp_path: Path, name: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", RAW_CODE, str(tmp_path), name], capture_output=True, text=True, check=True
    )
    assert int(done.stdout) < 24, "96MB의 결과를 쓰는 데 드는 것은 띠 몇 개뿐이다"
    assert [path.name for path in tmp_path.iterdir()] == [name]


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("shape", [(700, 900), (700, 900, 3), (700, 900, 4)])
def test_a_result_in_a_file_is_written_like_an_array(tmp_path: Path, shape: Any, dtype: Any) -> None:
    array = random_array(*shape, dtype=dtype)
    raw = RawImage(tmp_path, shape, dtype)
    if len(shape) == 3 and shape[2] == 4:
        raw[:, :, :3][100:700, 0:500][...] = array[100:, :500, :3]
        raw[:, :, :3][0:100, :][...] = array[:100, :, :3]
        raw[:, :, :3][100:700, 500:900][...] = array[100:, 500:, :3]
        raw[:, :, 3] = array[..., 3]
    else:
        raw[0:700, 300:900][...] = array[:, 300:]
        raw[0:700, 0:300][...] = array[:, :300]
    write_image(tmp_path / "a.png", Picture((Frame(raw),)))
    raw.close()
    assert (read_image(tmp_path / "a.png").first.array == array).all()
    lazy = read_image(tmp_path / "a.png", lazy=True).first
    wanted = array if array.ndim == 2 else array[..., [2, 1, 0, 3][: shape[2]]]
    assert (np.asarray(lazy.array) == wanted).all() and lazy.rgb
    assert (lazy.array[slice(30, 60), slice(7, 400)] == wanted[30:60, 7:400]).all()


def test_grey_with_alpha_is_read_in_strips_as_rgba(tmp_path: Path) -> None:
    pair = random_array(40, 30, 2)
    (tmp_path / "a.png").write_bytes(png(pair, 4))
    picture = read_image(tmp_path / "a.png", lazy=True)
    assert picture.gray_alpha and (np.asarray(picture.first.array) == pair[..., [0, 0, 0, 1]]).all()


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_filling_by_strips_is_the_same_as_at_once_near_what_is_seen(dtype: Any, monkeypatch: Any) -> None:
    monkeypatch.setattr("realesrgan.media.picture._FILL_PIXELS", 1)
    array = random_array(700, 60, 4, dtype=dtype)
    array[..., 3] = np.where(np.mgrid[0:700, 0:60][0] // 90 % 2, 0, array[..., 3])
    assert (fill_transparent_rows(array, np.empty_like(array)) == fill_transparent_colour(array)).all()


@pytest.mark.parametrize("shape", [(37, 53), (37, 53, 3)])
def test_bmp_is_byte_for_byte_what_pillow_writes(tmp_path: Path, shape: Any) -> None:
    array = random_array(*shape)
    write_image(tmp_path / "a.bmp", still(array, Metadata(dpi=(300, 150))))
    rgb = array if array.ndim == 2 else array[..., ::-1]
    assert (tmp_path / "a.bmp").read_bytes() == encoded(np.ascontiguousarray(rgb), "BMP", dpi=(300, 150))


@pytest.mark.skipif(os.name == "nt", reason="강제로 죽이는 신호가 없다")
def test_what_a_killed_process_left_is_removed_and_what_is_in_use_is_not(tmp_path: Path) -> None:
    script = (
        "import os, signal, sys; from pathlib import Path; import numpy as np\n"
        "from realesrgan.media.vips import RawImage\n"
        "RawImage(Path(sys.argv[1]), (4, 5, 3), np.uint8); os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    subprocess.run([sys.executable, "-c", script, str(tmp_path)], cwd=ROOT, check=False)
    (left,) = tmp_path.glob(".realesrgan-*.raw")
    first = RawImage(tmp_path, (4, 5, 3), np.uint8)
    second = RawImage(tmp_path, (4, 5, 3), np.uint8)
    assert not left.exists() and first.path.exists() and second.path.exists()
    first.close()
    second.close()
    assert not list(tmp_path.iterdir())
