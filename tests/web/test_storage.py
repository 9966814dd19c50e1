"""작업 폴더: 이름, 올린 파일만 여는 것, 크기와 나이의 한도."""

from __future__ import annotations

import os
import time
import zipfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from realesrgan.errors import UsageError
from realesrgan.web.storage import MAX_NAME_BYTES, Storage, clean_name

JOB = "0" * 32


@pytest.fixture
def storage(tmp_path: Path) -> Storage:
    made = Storage(tmp_path / "work", 1 << 30, 100)
    made.prepare()
    return made


@pytest.mark.parametrize(
    ("given_name", "cleaned"),
    [
        ("../../etc/passwd", "passwd"),
        ("C:\\windows\\사진.png", "사진.png"),
        ("\u1112\u1161\u11ab.png", "한.png"),
        ("a\x00b\n.png", "a_b_.png"),
        ("CON.png", "_CON.png"),
        ("...", "file"),
        ("사진 (1) [원본].jpg", "사진 (1) [원본].jpg"),
    ],
)
def test_names_are_cleaned(given_name: str, cleaned: str) -> None:
    assert clean_name(given_name) == cleaned


@given(st.text(max_size=300))
def test_a_cleaned_name_is_always_one_file_of_the_folder(name: str) -> None:
    cleaned = clean_name(name)
    assert cleaned and len(cleaned.encode()) <= MAX_NAME_BYTES
    assert Path(cleaned).name == cleaned and cleaned not in (".", "..")


def test_equal_names_get_numbers(storage: Storage, tmp_path: Path) -> None:
    paths = [tmp_path / "1", tmp_path / "2"]
    for path in paths:
        path.write_bytes(path.name.encode())
    taken = storage.take(JOB, paths, ["a.png", "A.png"])
    assert [name for _, name in taken] == ["a.png", "A (2).png"]
    assert [path.read_bytes() for path, _ in taken] == [b"1", b"2"]


def test_only_uploaded_files_are_opened(storage: Storage, tmp_path: Path) -> None:
    upload = storage.files / "hash" / "a.png"
    upload.parent.mkdir()
    upload.write_bytes(b"x")
    secret = tmp_path / "secret.png"
    secret.write_bytes(b"x")
    (upload.parent / "link.png").symlink_to(secret)
    of_another = storage.job_folder(JOB) / "out.png"
    of_another.parent.mkdir()
    of_another.write_bytes(b"x")
    assert storage.owned(upload) == upload.resolve()
    for path in (secret, upload.parent / "link.png", upload.parent / "../../records", of_another, Path("/etc/passwd")):
        with pytest.raises(UsageError):
            storage.owned(path)


def test_a_job_name_cannot_point_elsewhere(storage: Storage) -> None:
    for name in ("..", "../records", "", JOB + "/..", "A" * 32):
        with pytest.raises(UsageError):
            storage.job_folder(name)


def test_old_jobs_and_the_oldest_over_the_limit_are_removed(tmp_path: Path) -> None:
    storage = Storage(tmp_path / "work", 25_000, 100)
    storage.prepare()
    names = [f"{index:032x}" for index in range(4)]
    for name in names:
        folder = storage.job_folder(name)
        folder.mkdir()
        (folder / "result.png").write_bytes(bytes(10_000))
        storage.save_record(name, {})
    now = time.time()
    ended = [(names[0], now - 200), (names[1], now - 50), (names[2], now - 10)]
    # 맨 앞은 나이 때문에, 다음은 크기 때문에 지운다. 아직 하는 일(names[3])은 남는다.
    assert storage.sweep(ended, names) == names[:2]
    assert [storage.job_folder(name).exists() for name in names] == [False, False, True, True]


def test_unused_uploads_grow_old(storage: Storage) -> None:
    old, new = storage.files / "old", storage.files / "new"
    for folder in (old, new):
        folder.mkdir()
    os.utime(old, (0, 0))
    storage.sweep([], [])
    assert not old.exists() and new.exists()


def test_a_full_folder_takes_no_new_job(tmp_path: Path) -> None:
    storage = Storage(tmp_path / "work", 10, 100)
    storage.prepare()
    (storage.files / "a").write_bytes(bytes(11))
    with pytest.raises(UsageError, match="가득"):
        storage.check_room()


def test_tidying_leaves_results_and_the_work_of_a_film(storage: Storage) -> None:
    out = storage.job_folder(JOB) / "out"
    for name in (".realesrgan-film", ".realesrgan-probe"):
        (out / name).mkdir(parents=True)
    (out / ".realesrgan-film" / "manifest.json").touch()
    for name in ("a_out.png", ".realesrgan-1.part", ".realesrgan-vm-1.raw", ".realesrgan-film/000000.seg"):
        (out / name).write_bytes(b"x")
    storage.tidy(JOB)
    assert sorted(path.name for path in out.iterdir()) == [".realesrgan-film", "a_out.png"]


def test_the_zip_holds_every_result(storage: Storage, tmp_path: Path) -> None:
    storage.job_folder(JOB).mkdir()
    paths = [tmp_path / "한글.png", tmp_path / "b.png"]
    for path in paths:
        path.write_bytes(path.name.encode())
    with zipfile.ZipFile(storage.zip_results(JOB, paths)) as archive:
        assert {name: archive.read(name) for name in archive.namelist()} == {p.name: p.name.encode() for p in paths}
