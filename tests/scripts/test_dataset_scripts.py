"""데이터셋 명령들: 이름, 픽셀, 이어 하기, 깨진 입력, 종료 코드."""

from __future__ import annotations

import os
import platform
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.conftest import ROOT
from tests.scripts.command import draw, leftovers, read, run_script, start_script


def _names(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if not path.name.startswith("."))


# --------------------------------------------------------------------------- 조각


def test_subimages_cover_the_picture_and_keep_its_pixels(tmp_path: Path) -> None:
    picture = read(draw(tmp_path / "원본" / "이미지x4.png", 50, 64))
    arguments = ("--input", tmp_path / "원본", "--output", tmp_path / "조각", "--crop_size", 32, "--step", 16)
    assert run_script("extract_subimages", *arguments, "--n_thread", 1) == 0
    assert _names(tmp_path / "조각") == [f"이미지_s{index:03d}.png" for index in range(1, 10)]
    boxes = [(top, left) for top in (0, 16, 18) for left in (0, 16, 32)]
    for index, (top, left) in enumerate(boxes, 1):
        piece = read(tmp_path / "조각" / f"이미지_s{index:03d}.png")
        assert np.array_equal(piece, picture[top : top + 32, left : left + 32])


@pytest.mark.parametrize(("dtype", "channels"), [(np.uint16, 3), (np.uint8, 1), (np.uint8, 4)])
def test_depth_gray_and_alpha_survive(tmp_path: Path, dtype: type, channels: int) -> None:
    picture = read(draw(tmp_path / "in" / "a.png", 20, 20, channels, dtype))
    assert (
        run_script("extract_subimages", "--input", tmp_path / "in", "--output", tmp_path / "o", "--crop_size", 20) == 0
    )
    assert np.array_equal(read(tmp_path / "o" / "a_s001.png"), picture)


def test_broken_and_small_pictures_are_named_and_the_rest_is_done(tmp_path: Path, capsys) -> None:
    good = draw(tmp_path / "in" / "good.png")
    (tmp_path / "in" / "깨짐.png").write_bytes(good.read_bytes()[:200])
    (tmp_path / "in" / "text.jpg").write_text("이미지가 아니다")
    draw(tmp_path / "in" / "tiny.png", 8, 8)
    arguments = ("--input", tmp_path / "in", "--output", tmp_path / "o", "--crop_size", 32, "--step", 16)
    assert run_script("extract_subimages", *arguments, "--n_thread", 2) == 1
    out = capsys.readouterr()
    assert "깨짐.png" in out.err and "text.jpg" in out.err and "실패 2" in out.err
    assert f"결과: {tmp_path / 'o'}" in out.err
    assert "crop_size(32)보다 작은" in out.out
    assert {name[:4] for name in _names(tmp_path / "o")} == {"good"}


def test_second_run_does_only_what_is_new(tmp_path: Path) -> None:
    source = draw(tmp_path / "in" / "a.png")
    draw(tmp_path / "in" / "b.png", seed=1)
    arguments = (
        "--input",
        tmp_path / "in",
        "--output",
        tmp_path / "o",
        "--crop_size",
        32,
        "--step",
        16,
        "--n_thread",
        1,
    )
    assert run_script("extract_subimages", *arguments) == 0
    kept, lost = tmp_path / "o" / "a_s001.png", tmp_path / "o" / "b_s002.png"
    before = kept.stat().st_mtime_ns
    lost.unlink()
    assert run_script("extract_subimages", *arguments) == 0
    assert lost.is_file() and kept.stat().st_mtime_ns == before
    # 원본이 바뀌면 낡은 조각을 믿지 않는다.
    draw(source, seed=5)
    os.utime(source, ns=(before + 10**9, before + 10**9))
    assert run_script("extract_subimages", *arguments) == 0
    assert np.array_equal(read(kept), read(source)[:32, :32])


def test_a_folder_left_by_a_run_that_died_at_once_is_taken_as_empty(tmp_path: Path) -> None:
    """작업 기록을 쓰다가 죽으면 임시 파일만 남는다. 지우라고 하지 않고 시작한다."""
    draw(tmp_path / "in" / "a.png", 64, 64)
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    (tmp_path / "o").mkdir()
    (tmp_path / "o" / f".realesrgan-{platform.node()}-{dead.pid}-0123456789abcdef.part").write_bytes(b"{")
    arguments = ("--input", tmp_path / "in", "--output", tmp_path / "o", "--crop_size", 32, "--step", 16)
    assert run_script("extract_subimages", *arguments) == 0
    assert not list((tmp_path / "o").glob("*.part"))


def test_other_settings_or_other_files_are_not_mixed(tmp_path: Path, capsys) -> None:
    draw(tmp_path / "in" / "a.png")
    arguments = ("--input", tmp_path / "in", "--output", tmp_path / "o", "--step", 16)
    assert run_script("extract_subimages", *arguments, "--crop_size", 32) == 0
    assert run_script("extract_subimages", *arguments, "--crop_size", 24) == 2
    assert "다른 설정" in capsys.readouterr().err
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "note.txt").write_text("x")
    assert run_script("extract_subimages", "--input", tmp_path / "in", "--output", tmp_path / "mine") == 2
    assert "비어 있지 않습니다" in capsys.readouterr().err
    assert run_script("extract_subimages", "--input", tmp_path / "none", "--output", tmp_path / "n") == 2


def test_names_that_would_clash_are_found_before_work(tmp_path: Path, capsys) -> None:
    draw(tmp_path / "in" / "a.png")
    draw(tmp_path / "in" / "ax2.png")
    assert (
        run_script("extract_subimages", "--input", tmp_path / "in", "--output", tmp_path / "o", "--crop_size", 32) == 2
    )
    assert "같은 이름" in capsys.readouterr().err
    assert not (tmp_path / "o").exists()


def test_dry_run_writes_nothing(tmp_path: Path, capsys) -> None:
    draw(tmp_path / "in" / "a.png")
    for name, words in (("extract_subimages", "조각 2장"), ("generate_multiscale_DF2K", "4장")):
        arguments = ("--input", tmp_path / "in", "--output", tmp_path / "o", "--dry_run")
        extra = ("--crop_size", 40) if name == "extract_subimages" else ()
        assert run_script(name, *arguments, *extra) == 0
        assert words in capsys.readouterr().out
    assert not (tmp_path / "o").exists()


def test_interrupted_run_leaves_nothing_broken_and_the_next_finishes(tmp_path: Path) -> None:
    for index in range(40):
        draw(tmp_path / "in" / f"{index:02d}.png", 400, 400, seed=index)
    arguments = ("--input", tmp_path / "in", "--output", tmp_path / "o", "--crop_size", 100, "--step", 100)
    process = start_script("extract_subimages", *arguments, "--n_thread", 2)
    deadline = time.monotonic() + 30
    while len(list((tmp_path / "o").glob("*.png"))) < 40:
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.01)
    process.send_signal(signal.SIGTERM)
    _, errors = process.communicate(timeout=30)
    assert process.returncode == 130 and "중단했습니다" in errors and "Traceback" not in errors
    done = list((tmp_path / "o").glob("*.png"))
    assert 0 < len(done) < 40 * 16 and not leftovers(tmp_path)
    assert all(read(path).shape == (100, 100, 3) for path in done)
    assert run_script("extract_subimages", *arguments, "--n_thread", 1) == 0
    assert len(list((tmp_path / "o").glob("*.png"))) == 40 * 16


# --------------------------------------------------------------------------- 여러 배율


def test_multiscale_writes_the_four_sizes_of_the_paper(tmp_path: Path) -> None:
    draw(tmp_path / "in" / "넓은.png", 90, 121)
    draw(tmp_path / "in" / "높은.png", 121, 90)
    arguments = ("--input", tmp_path / "in", "--output", tmp_path / "o")
    assert run_script("generate_multiscale_DF2K", *arguments, "--n_thread", 1) == 0
    wide = [read(tmp_path / "o" / f"넓은T{index}.png").shape[1::-1] for index in range(4)]
    tall = [read(tmp_path / "o" / f"높은T{index}.png").shape[1::-1] for index in range(4)]
    assert wide == [(90, 67), (60, 45), (40, 30), (537, 400)]
    assert tall == [(67, 90), (45, 60), (30, 40), (400, 537)]
    expected = Image.open(tmp_path / "in" / "넓은.png").resize((60, 45), Image.Resampling.LANCZOS)
    assert np.array_equal(read(tmp_path / "o" / "넓은T1.png")[..., ::-1], np.asarray(expected))


def test_multiscale_keeps_sixteen_bits(tmp_path: Path) -> None:
    source = read(draw(tmp_path / "in" / "a.png", 60, 60, 3, np.uint16))
    assert run_script("generate_multiscale_DF2K", "--input", tmp_path / "in", "--output", tmp_path / "o") == 0
    half = read(tmp_path / "o" / "aT1.png")
    assert half.dtype == np.uint16 and abs(float(half.mean()) - float(source.mean())) < 300


# --------------------------------------------------------------------------- 목록


def test_meta_info_lists_names_from_the_root_and_drops_bad_files(tmp_path: Path, capsys) -> None:
    good = draw(tmp_path / "data" / "첫째" / "a.png")
    draw(tmp_path / "data" / "둘째" / "b c.jpg")
    (tmp_path / "data" / "둘째" / "잘림.png").write_bytes(good.read_bytes()[:-40])
    folders = (tmp_path / "data" / "첫째", tmp_path / "data" / "둘째")
    meta = tmp_path / "meta" / "목록.txt"
    assert run_script("generate_meta_info", "--input", *folders, "--meta_info", meta) == 0
    assert meta.read_text("utf-8").splitlines() == ["첫째/a.png", "둘째/b c.jpg", "둘째/잘림.png"]
    assert run_script("generate_meta_info", "--input", *folders, "--meta_info", meta, "--check", "--n_thread", 1) == 1
    assert "잘림.png" in capsys.readouterr().err
    assert meta.read_text("utf-8").splitlines() == ["첫째/a.png", "둘째/b c.jpg"]


def test_meta_info_refuses_roots_that_do_not_fit(tmp_path: Path) -> None:
    draw(tmp_path / "a" / "x.png")
    meta = ("--meta_info", tmp_path / "m.txt")
    assert run_script("generate_meta_info", "--input", tmp_path / "a", "--root", tmp_path, tmp_path, *meta) == 2
    (tmp_path / "other").mkdir()
    assert run_script("generate_meta_info", "--input", tmp_path / "a", "--root", tmp_path / "other", *meta) == 2
    assert not (tmp_path / "m.txt").exists()


def test_meta_info_does_not_follow_links_out_of_the_root(tmp_path: Path) -> None:
    draw(tmp_path / "disk" / "a.png")
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "HR").symlink_to(tmp_path / "disk", target_is_directory=True)
    arguments = ("--input", tmp_path / "data" / "HR", "--root", tmp_path / "data", "--meta_info", tmp_path / "m.txt")
    assert run_script("generate_meta_info", *arguments) == 0
    assert (tmp_path / "m.txt").read_text() == "HR/a.png\n"


def test_pairs_are_matched_by_name_and_checked_against_the_scale(tmp_path: Path, capsys) -> None:
    for name, size in (("01", (40, 48)), ("02", (40, 44)), ("03", (40, 48)), ("04", (41, 48))):
        draw(tmp_path / "HR" / f"{name}.png", *size)
    for name, size in (("01x4", (10, 12)), ("02x4", (10, 11)), ("04x4", (10, 12)), ("09x4", (10, 12))):
        draw(tmp_path / "LR" / f"{name}.png", *size)
    meta = tmp_path / "m.txt"
    arguments = ("--input", tmp_path / "HR", tmp_path / "LR", "--meta_info", meta, "--n_thread", 1)
    assert run_script("generate_meta_info_pairdata", *arguments) == 1
    assert meta.read_text().splitlines() == ["HR/01.png, LR/01x4.png", "HR/02.png, LR/02x4.png"]
    errors = capsys.readouterr().err
    assert "03.png" in errors and "09x4.png" in errors and "크기가 맞지 않는 짝" in errors and "실패 3" in errors
    assert run_script("generate_meta_info_pairdata", *arguments, "--scale", 2) == 1
    assert meta.read_text() == "" and "배율이 2이어야 하는데 4입니다" in capsys.readouterr().err


# --------------------------------------------------------------------------- lmdb


@pytest.fixture
def lmdb() -> object:
    """lmdb 패키지. 없으면 건너뛴다."""
    return pytest.importorskip("lmdb")


def test_lmdb_grows_resumes_and_appears_only_when_done(lmdb, tmp_path: Path) -> None:
    from realesrgan.dataset_tools import lmdb_store
    from realesrgan.dataset_tools.pictures import find_pictures

    for index in range(5):
        draw(tmp_path / "in" / f"이미지{index}.png", seed=index)
    entries = lmdb_store.make_entries(find_pictures(tmp_path / "in"), tmp_path / "in")
    target, settings = tmp_path / "a.lmdb", lmdb_store.fingerprint(entries, 1)
    writer = lmdb_store.LmdbWriter(target, settings, first_map=1 << 15)
    for entry in entries[:3]:
        writer.put(entry.key, lmdb_store.encode_entry(entry, level=1) + b"\0" * 100_000)
    writer.commit()
    writer.close()
    assert not target.exists()
    again = lmdb_store.LmdbWriter(target, settings, first_map=1 << 15)
    assert [entry.key in again for entry in entries] == [True, True, True, False, False]
    again.close()
    # 담을 것이 바뀌면 하다 만 것을 버리고 처음부터 담는다.
    fresh = lmdb_store.LmdbWriter(target, settings | {"entries": "x"})
    assert not any(entry.key in fresh for entry in entries)
    fresh.close()


def test_lmdb_command_skips_what_is_in_and_drops_a_bad_pair(lmdb, tmp_path: Path, capsys) -> None:
    for index in range(3):
        draw(tmp_path / "gt" / f"p{index}.png", seed=index)
        draw(tmp_path / "lq" / f"p{index}.png", 10, 12, seed=index)
    draw(tmp_path / "gt" / "alone.png")
    (tmp_path / "lq" / "p1.png").write_bytes(b"broken")
    targets = (tmp_path / "gt.lmdb", tmp_path / "lq.lmdb")
    arguments = ("--input", tmp_path / "gt", tmp_path / "lq", "--output", *targets, "--n_thread", 1)
    assert run_script("create_lmdb", *arguments, "--dry_run") == 1
    assert not any(target.exists() for target in targets)
    assert run_script("create_lmdb", *arguments) == 1
    errors = capsys.readouterr().err
    assert "alone.png" in errors and "p1.png" in errors
    assert (targets[0] / "meta_info.txt").read_text().splitlines() == ["p0.png (40,48,3) 1", "p2.png (40,48,3) 1"]
    with lmdb.open(str(targets[1]), readonly=True, lock=False) as store, store.begin() as transaction:
        assert sorted(key.decode() for key, _ in transaction.cursor()) == ["p0", "p2"]
    assert run_script("create_lmdb", *arguments) == 2
    assert not list(tmp_path.glob(".*.part"))
    shutil.rmtree(targets[0])


def test_lmdb_of_nothing_but_broken_pictures_is_not_made(lmdb, tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.png").write_bytes(b"x")
    assert run_script("create_lmdb", "--input", tmp_path / "in", "--output", tmp_path / "a.lmdb") == 1
    assert not (tmp_path / "a.lmdb").exists()


def test_lmdb_refuses_wrong_names_and_counts(lmdb, tmp_path: Path) -> None:
    draw(tmp_path / "in" / "a.png")
    assert run_script("create_lmdb", "--input", tmp_path / "in", "--output", tmp_path / "a") == 2
    assert (
        run_script("create_lmdb", "--input", tmp_path / "in", "--output", tmp_path / "a.lmdb", tmp_path / "b.lmdb") == 2
    )


@pytest.mark.parametrize("package", ["scipy", "basicsr"])
def test_degrading_without_the_training_packages_says_what_to_install(tmp_path: Path, package: str) -> None:
    if package == "basicsr":
        # scipy부터 없으면 그것을 먼저 알린다.
        pytest.importorskip("scipy")
    draw(tmp_path / "in" / "a.png", 80, 80)
    code = (
        "import importlib.util, runpy, sys\n"
        "found = importlib.util.find_spec\n"
        f"importlib.util.find_spec = lambda name, *rest: None if name == {package!r} else found(name, *rest)\n"
        f"sys.modules[{package!r}] = None\n"
        f"sys.argv = ['x', '--input', {str(tmp_path / 'in')!r}, '--output', {str(tmp_path / 'out')!r},"
        f" '-opt', {str(ROOT / 'options/train_realesrgan_x4plus.yml')!r}]\n"
        f"sys.path.insert(0, {str(ROOT / 'scripts')!r})\n"
        f"runpy.run_path({str(ROOT / 'scripts/degrade_images.py')!r}, run_name='__main__')\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert done.returncode == 1 and package in done.stderr and "해결" in done.stderr, done.stderr
    assert "Traceback" not in done.stderr
