"""이미지 파일 하나를 인자 해석기 없이 키운다."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import cv2
import numpy as np
import pytest

from realesrgan.errors import ImageReadError, ImageTooLargeError, ImageWriteError, InvalidValueError, UsageError
from realesrgan.inference.model import load
from realesrgan.inference.picture import PictureSettings, prepare_target, upscale_file
from realesrgan.media.image import Metadata, still, write_image
from realesrgan.util.files import remove_abandoned
from realesrgan.video.settings import VideoSettings

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def model(save_network, tiny_srvgg):
    return load(save_network(tiny_srvgg, "tiny.pth"), device="cpu")


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "가.png"
    image = np.random.default_rng(0).integers(0, 256, (10, 100, 3), np.uint8)
    path.write_bytes(cv2.imencode(".png", image)[1].tobytes())
    return path


def test_the_input_is_never_overwritten_by_its_result(model, source, tmp_path):
    before = source.read_bytes()
    (tmp_path / "link.png").symlink_to(source)
    for target in (source, tmp_path / "." / source.name, tmp_path / "link.png"):
        with pytest.raises(ImageWriteError, match="입력을 덮어씁니다"):
            upscale_file(source, target, model=model)
    assert source.read_bytes() == before


def test_a_target_without_a_name_and_settings_of_another_kind_are_named_errors(model, source):
    for target in ("", ".", "/"):
        with pytest.raises(ImageWriteError, match="이름이 없습니다"):
            upscale_file(source, target, model=model)
    with pytest.raises(UsageError, match="PictureSettings"):
        upscale_file(source, source.with_name("b.png"), model=model, settings=VideoSettings())


@pytest.mark.parametrize("outscale", [0, -2, float("nan"), "2"])
def test_an_outscale_that_is_no_factor_is_known_at_once(outscale):
    for settings in (PictureSettings, VideoSettings):
        with pytest.raises(InvalidValueError, match="outscale"):
            settings(outscale=outscale)


def test_a_file_becomes_a_file_and_the_result_says_how(model, source, tmp_path):
    heard = []
    made = upscale_file(source, tmp_path / "새 폴더" / "b.webp", model=model, progress=lambda *now: heard.append(now))
    assert (made.input_size, made.output_size, made.outscale, made.frames) == ((100, 10), (400, 40), 4, 1)
    assert made.source == source and made.target.is_file() and made.seconds > 0
    assert heard[-1][0] == heard[-1][1]


@pytest.mark.parametrize(("outscale", "size"), [(2.3, (230, 23)), (1.15, (115, 12)), (3, (300, 30))])
def test_the_size_is_rounded_as_by_hand(model, source, tmp_path, outscale, size):
    made = upscale_file(source, tmp_path / "b.png", model=model, settings=PictureSettings(outscale=outscale))
    image = cv2.imdecode(np.frombuffer((tmp_path / "b.png").read_bytes(), np.uint8), cv2.IMREAD_UNCHANGED)
    assert made.output_size == size == (image.shape[1], image.shape[0])


def test_a_model_may_be_a_path(model, source, tmp_path):
    made = upscale_file(str(source), str(tmp_path / "b.png"), model=str(model.files[0]))
    assert made.output_size == (400, 40)


def test_what_cannot_be_read_or_is_too_large_is_a_named_error(model, source, tmp_path):
    with pytest.raises(ImageReadError):
        upscale_file(tmp_path / "없음.png", tmp_path / "b.png", model=model)
    with pytest.raises(ImageTooLargeError):
        upscale_file(source, tmp_path / "b.png", model=model, settings=PictureSettings(max_output_pixels=15999))
    assert not (tmp_path / "b.png").exists()


def test_a_name_the_file_system_refuses_is_known_before_reading(model, source, tmp_path, monkeypatch):
    touch = Path.touch

    def refuse(path: Path) -> None:
        if "?" in path.name:
            raise OSError(errno.EINVAL, "Invalid argument", str(path))
        touch(path)

    monkeypatch.setattr(Path, "touch", refuse)
    with pytest.raises(ImageWriteError, match="이 이름으로는"):
        upscale_file(tmp_path / "없음.png", tmp_path / "a?.png", model=model)
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted([source.name, model.files[0].name])


@pytest.mark.skipif(os.name == "nt", reason="이름의 한도를 미리 본다")
@pytest.mark.parametrize("name", ["가" * 100 + ".png", "폴더.png"])
def test_a_target_that_cannot_be_made_says_so_at_once(tmp_path, name):
    if name == "폴더.png":
        (tmp_path / name).mkdir()
    with pytest.raises(ImageWriteError, match="결과를 쓸 수 없습니다"):
        prepare_target(tmp_path / name)
    prepare_target(tmp_path / "new" / "b.png")
    assert not list((tmp_path / "new").iterdir())


@pytest.mark.skipif(os.name == "nt", reason="강제로 죽이는 신호가 없다")
def test_what_a_process_killed_while_trying_the_name_left_is_removed(tmp_path):
    script = (
        "import os, signal, sys; from pathlib import Path\n"
        "from realesrgan.inference.picture import prepare_target\n"
        "Path.touch = lambda self: os.kill(os.getpid(), signal.SIGKILL)\n"
        "prepare_target(Path(sys.argv[1]) / 'a.png')\n"
    )
    subprocess.run([sys.executable, "-c", script, str(tmp_path)], cwd=ROOT, check=False)
    assert len(list(tmp_path.iterdir())) == 1
    remove_abandoned(tmp_path)
    assert not list(tmp_path.iterdir())


def test_a_full_disk_for_the_gathered_result_falls_back_to_memory(model, source, tmp_path, monkeypatch, caplog):
    monkeypatch.setattr("realesrgan.inference.picture.RAW_BYTES", 0)
    upscale_file(source, tmp_path / "file.png", model=model)
    assert not caplog.records
    monkeypatch.setattr("shutil.disk_usage", lambda folder: SimpleNamespace(free=10))
    upscale_file(source, tmp_path / "memory.png", model=model)
    assert "메모리에 모읍니다" in caplog.text
    assert (tmp_path / "file.png").read_bytes() == (tmp_path / "memory.png").read_bytes()
    assert not list(tmp_path.glob(".realesrgan-*"))


def test_hdr_that_the_target_cannot_hold_is_refused_before_computing(model, tmp_path):
    write_image(tmp_path / "pq.png", still(np.zeros((4, 4, 3), np.uint16), Metadata(cicp=(9, 16))))

    def never(*_arguments):
        raise AssertionError

    with pytest.raises(ImageWriteError, match="PQ"):
        upscale_file(tmp_path / "pq.png", tmp_path / "out.jpg", model=model, progress=never)


@pytest.mark.parametrize("outscale", [4, 2, 3.3, 16])
@pytest.mark.parametrize("channels", [3, 4])
@pytest.mark.parametrize("alpha_upsampler", ["realesrgan", "bicubic"])
def test_a_result_gathered_in_a_file_is_the_one_gathered_in_memory(
    model, tmp_path, monkeypatch, outscale, channels, alpha_upsampler
):
    source = tmp_path / "가.png"
    image = np.random.default_rng(0).integers(0, 256, (150, 31, channels), np.uint8)
    source.write_bytes(cv2.imencode(".png", image)[1].tobytes())
    settings = PictureSettings(outscale=outscale, alpha_upsampler=alpha_upsampler)
    pictures = []
    for limit in (1 << 30, 0):
        monkeypatch.setattr("realesrgan.inference.picture.RAW_BYTES", limit)
        upscale_file(source, tmp_path / "b.png", model=model, settings=settings)
        pictures.append(cv2.imdecode(np.frombuffer((tmp_path / "b.png").read_bytes(), np.uint8), cv2.IMREAD_UNCHANGED))
    difference = np.abs(pictures[0].astype(int) - pictures[1])
    # 크기를 맞출 때 OpenCV의 정수 계산과 끝자리가 다를 수 있다. 두 번 거치면 그만큼 더 벌어질 수 있다.
    assert difference.max() <= (0 if outscale in (4, 16) else 1)
    assert not list(tmp_path.glob(".realesrgan-*"))
