"""반쯤 쓴 파일을 남기지 않는 쓰기."""

from __future__ import annotations

import errno
import os
import re
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from realesrgan.util.files import (
    atomic_file,
    folder_size,
    make_writable_folder,
    os_reason,
    remove_abandoned,
    scratch_folder,
)
from tests.conftest import ROOT
from tests.media.samples import names_in


def test_target_changes_only_when_complete(tmp_path: Path) -> None:
    target = tmp_path / "결과 🙂.bin"
    target.write_bytes(b"old")
    with atomic_file(target) as file:
        file.write(b"new")
        assert target.read_bytes() == b"old"
    assert target.read_bytes() == b"new"
    assert names_in(tmp_path) == [target.name]


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, SystemExit, OSError(errno.ENOSPC, "full")])
def test_any_exception_leaves_the_target_and_no_temporary(tmp_path: Path, error: Any) -> None:
    target = tmp_path / "a.bin"
    target.write_bytes(b"old")
    with pytest.raises(BaseException) as caught, atomic_file(target) as file:
        file.write(b"half")
        raise error
    assert caught.type is (type(error) if isinstance(error, Exception) else error)
    assert target.read_bytes() == b"old"
    assert names_in(tmp_path) == ["a.bin"]


def test_failing_fsync_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space"), atomic_file(tmp_path / "a.bin") as file:
        file.write(b"x")
    assert names_in(tmp_path) == []


@pytest.mark.skipif(os.name == "nt", reason="유닉스 권한")
def test_permissions_are_those_of_a_plain_new_file(tmp_path: Path) -> None:
    (tmp_path / "plain").write_bytes(b"")
    with atomic_file(tmp_path / "a.bin") as file:
        file.write(b"x")
    modes = [stat.S_IMODE((tmp_path / name).stat().st_mode) for name in ("plain", "a.bin")]
    assert modes[0] == modes[1]


@pytest.mark.skipif(os.name == "nt", reason="심볼릭 링크")
def test_symlink_stays_and_its_file_changes(tmp_path: Path) -> None:
    real, link = tmp_path / "real.bin", tmp_path / "link.bin"
    real.write_bytes(b"old")
    link.symlink_to(real)
    with atomic_file(link) as file:
        file.write(b"new")
    assert link.is_symlink()
    assert real.read_bytes() == b"new"


def test_longest_name_can_be_written(tmp_path: Path) -> None:
    target = tmp_path / ("가" * 83 + ".bin")
    with atomic_file(target) as file:
        file.write(b"x")
    assert target.read_bytes() == b"x"


@pytest.mark.skipif(os.name == "nt", reason="강제로 죽이는 신호가 없다")
def test_what_a_killed_writer_left_is_removed_and_what_is_being_written_is_not(tmp_path: Path) -> None:
    script = (
        "import os, signal, sys; from pathlib import Path\n"
        "from realesrgan.util.files import atomic_file\n"
        "with atomic_file(Path(sys.argv[1]) / 'a') as file:\n    os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    subprocess.run([sys.executable, "-c", script, str(tmp_path)], cwd=ROOT, check=False)
    (left,) = tmp_path.iterdir()
    with atomic_file(tmp_path / "b") as file:
        file.write(b"b")
        remove_abandoned(tmp_path)
        assert not left.exists()
    assert [path.name for path in tmp_path.iterdir()] == ["b"]


@pytest.mark.skipif(os.name == "nt", reason="강제로 죽이는 신호가 없다")
def test_a_scratch_folder_of_a_killed_process_is_removed_by_the_next_one(tmp_path: Path) -> None:
    script = (
        "import os, signal, sys; from pathlib import Path\n"
        "from realesrgan.util.files import scratch_folder\n"
        "with scratch_folder(Path(sys.argv[1])) as folder:\n"
        "    (folder / 'half').write_bytes(b'x')\n    os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    subprocess.run([sys.executable, "-c", script, str(tmp_path / "new")], cwd=ROOT, check=False)
    (left,) = (tmp_path / "new").iterdir()
    with scratch_folder(tmp_path / "new") as folder:
        assert folder.is_dir() and not left.exists()
    assert not list((tmp_path / "new").iterdir())


def test_the_size_of_a_folder_that_changes_meanwhile_is_still_told(tmp_path: Path, monkeypatch) -> None:
    """훑는 사이에 조각의 폴더가 제 이름을 얻어도 멈추지 않는다."""
    (tmp_path / "000001.seg.part").mkdir()
    (tmp_path / "a.json").write_bytes(bytes(70))
    (tmp_path / "joined").mkdir()
    os.link(tmp_path / "a.json", tmp_path / "joined" / "a.json")
    real = os.scandir

    def scan(path: Any = ".") -> Any:
        if str(path).endswith(".part"):
            raise FileNotFoundError(errno.ENOENT, "gone", str(path))
        return real(path)

    monkeypatch.setattr(os, "scandir", scan)
    assert folder_size(tmp_path) == 70
    assert folder_size(tmp_path / "none") == 0


@pytest.mark.parametrize("code", sorted(errno.errorcode))
def test_every_reason_is_korean(code: int) -> None:
    """드문 번호도 라이브러리의 영어만 남기지 않는다."""
    for text in os_reason(OSError(code, os.strerror(code))):
        assert re.search(r"[가-힣]", text) and text.endswith(".")


def test_a_file_in_the_place_of_a_folder_is_told_in_korean(tmp_path: Path) -> None:
    (tmp_path / "out").write_bytes(b"")
    with pytest.raises(FileExistsError) as caught:
        make_writable_folder(tmp_path / "out")
    assert "이미 다른 것이" in os_reason(caught.value)[0]
