"""작업 폴더: 올린 파일, 결과, 기록. 크기와 나이의 한도를 넘으면 끝난 일부터 지운다."""

from __future__ import annotations

import json
import logging
import os
import re
import shutil
import time
import unicodedata
import zipfile
from collections.abc import Collection, Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from realesrgan.errors import UsageError
from realesrgan.util.files import atomic_file, folder_size, remove_abandoned, write_atomically

logger = logging.getLogger(__name__)

ID = re.compile(r"[0-9a-f]{32}")
# 파일 시스템의 이름 한도는 255바이트다. 결과의 이름에 붙는 것과 임시 이름의 자리를 남긴다.
MAX_NAME_BYTES = 200
_RESERVED = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)(\..*)?", re.IGNORECASE)


def clean_name(name: str) -> str:
    """브라우저가 보낸 이름을 어느 시스템에서나 파일의 이름이 되게 한다. 폴더는 빼고, 한글은 모아 쓴다(NFC)."""
    name = re.split(r"[\\/]", unicodedata.normalize("NFC", name))[-1]
    name = "".join("_" if not letter.isprintable() or letter in '<>:"|?*' else letter for letter in name)
    name = name.strip(" .") or "file"
    name = f"_{name}" if _RESERVED.fullmatch(name) else name
    stem, suffix = Path(name).stem, Path(name).suffix
    suffix = suffix if len(suffix.encode()) <= 16 else ""
    stem = stem if suffix else name
    room = MAX_NAME_BYTES - len(suffix.encode())
    return stem.encode()[:room].decode(errors="ignore") + suffix


@dataclass(frozen=True)
class Storage:
    """작업 폴더 하나.

    `files/` 아래의 것만 브라우저가 받을 수 있다. 일마다의 폴더 이름이 짐작할 수 없는 128비트라, 그 일을 맡긴 브라우저만
    안다. 기록에는 주인의 표가 있으므로 `files/` 밖에 둔다.

    Attributes:
        folder: 작업 폴더.
        max_bytes: 모든 파일의 크기의 한도(바이트).
        max_age: 끝난 일과 쓰지 않은 올린 파일을 두는 시간(초).
    """

    folder: Path
    max_bytes: int
    max_age: float

    @property
    def files(self) -> Path:
        """올린 파일과 결과가 있는 폴더."""
        return self.folder / "files"

    def prepare(self) -> None:
        """폴더를 만들고, 갑자기 죽은 서버가 쓰다 만 것을 지운다. 다른 사용자가 들여다보지 못하게 한다."""
        for folder in (self.folder, self.files, self.files / "jobs", self.folder / "records"):
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        for folder in (self.folder / "records", *(self.files / "jobs").iterdir()):
            remove_abandoned(folder)

    def job_folder(self, job: str) -> Path:
        """일 하나의 폴더. `in/`, `out/`, `view/`가 있다.

        Raises:
            UsageError: 일의 이름이 아닐 때. 브라우저가 보낸 이름으로 다른 곳을 가리킬 수 없게 한다.
        """
        if not ID.fullmatch(job):
            raise UsageError("그런 작업이 없습니다.\n  해결: 작업을 다시 시작하세요.")
        return self.files / "jobs" / job

    def take(self, job: str, paths: Iterable[Path], names: Iterable[str]) -> list[tuple[Path, str]]:
        """올린 파일들을 일의 폴더로 데려온다. 이름이 같으면 번호를 붙인다.

        되도록 하드 링크로 두어 디스크를 더 쓰지 않는다. 올린 곳의 것이 지워져도 남는다.

        Returns:
            파일마다의 `(경로, 보일 이름)`.
        """
        folder = self.job_folder(job) / "in"
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        taken: list[tuple[Path, str]] = []
        used: set[str] = set()
        for path, name in zip(paths, names, strict=True):
            cleaned = _unused(clean_name(name), used)
            target = folder / cleaned
            try:
                os.link(path, target)
            except OSError:
                shutil.copy2(path, target)
            taken.append((target, cleaned))
        return taken

    def owned(self, path: str | os.PathLike[str]) -> Path:
        """올린 파일의 경로를 확인한다. 올린 폴더 밖을 가리키면 열지 않는다.

        Raises:
            UsageError: 올린 파일이 아닐 때.
        """
        real = Path(os.path.realpath(path))
        inside = real.is_relative_to(os.path.realpath(self.files))
        if not inside or real.is_relative_to(os.path.realpath(self.files / "jobs")) or not real.is_file():
            raise UsageError("올린 파일만 열 수 있습니다.\n  해결: 파일을 다시 올리세요.")
        return real

    def save_record(self, job: str, record: dict[str, Any]) -> None:
        """일의 기록을 적는다."""
        text = json.dumps(record, ensure_ascii=False, indent=1)
        write_atomically(self.folder / "records" / f"{job}.json", text.encode("utf-8", "backslashreplace"))

    def records(self) -> list[dict[str, Any]]:
        """남은 기록들. 읽을 수 없는 것은 뺀다."""
        found = []
        for path in sorted((self.folder / "records").glob("*.json")):
            try:
                content = json.loads(path.read_text(encoding="utf-8"))
            except (OSError, ValueError) as error:
                logger.warning("읽을 수 없는 작업의 기록을 지나칩니다: %s (%s)", path.name, error)
                continue
            if isinstance(content, dict) and ID.fullmatch(path.stem):
                found.append(content)
        return found

    def remove(self, job: str) -> None:
        """일의 폴더와 기록을 지운다."""
        shutil.rmtree(self.job_folder(job), ignore_errors=True)
        with suppress(OSError):
            (self.folder / "records" / f"{job}.json").unlink()

    def zip_results(self, job: str, paths: Iterable[Path]) -> Path:
        """결과를 모은 zip을 디스크에 만든다. 이미지와 비디오는 이미 압축되어 있어 그대로 담는다."""
        target = self.job_folder(job) / "results.zip"
        with atomic_file(target) as file, zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:
            for path in paths:
                archive.write(path, path.name)
        return target

    def tidy(self, job: str) -> None:
        """제때 멈추지 않아 끝낸 프로세스가 그 일의 결과 곁에 남긴 것을 지운다."""
        remove_unfinished(self.job_folder(job) / "out")

    def size(self) -> int:
        """모든 파일의 크기(바이트). 하드 링크는 한 번만 센다."""
        return folder_size(self.folder)

    def check_room(self) -> None:
        """새 일을 받을 자리가 있는지 본다.

        Raises:
            UsageError: 작업 폴더의 한도나 디스크가 찼을 때.
        """
        free = shutil.disk_usage(self.folder).free
        if self.size() >= self.max_bytes or free < 1 << 28:
            raise UsageError(
                "작업 폴더가 가득 차 새 작업을 받을 수 없습니다.\n  해결: 끝난 작업을 지우거나, 잠시 뒤에 다시 하세요."
            )

    def sweep(self, finished: Iterable[tuple[str, float]], kept: Collection[str]) -> list[str]:
        """오래된 것과 한도를 넘은 것을 지운다.

        Args:
            finished: 끝난 일과 끝난 시각(초), 오래된 것부터.
            kept: 아직 쓰는 일. 그 폴더는 건드리지 않는다.

        Returns:
            지운 일들.
        """
        now, removed = time.time(), []
        # 기록이 없는 일의 폴더는 막 만드는 것일 수도 있으므로 나이를 본다.
        loose = [path for path in self.files.iterdir() if path.name != "jobs"]
        loose += [path for path in (self.files / "jobs").iterdir() if path.name not in kept]
        for path in loose:
            with suppress(OSError):
                if now - path.stat().st_mtime > self.max_age:
                    shutil.rmtree(path) if path.is_dir() else path.unlink()
        for job, ended in finished:
            if now - ended > self.max_age or self.size() > self.max_bytes:
                self.remove(job)
                removed.append(job)
        return removed


def remove_unfinished(out: Path) -> None:
    """결과의 폴더에서 쓰다 만 것을 지운다. 아무도 쓰지 않는 폴더에만 쓴다. 이어 할 비디오의 작업 폴더는 남긴다."""
    for path in out.glob(".realesrgan-*"):
        with suppress(OSError):
            if path.is_file():
                path.unlink()
            elif not (path / "manifest.json").exists():
                shutil.rmtree(path)


def _unused(name: str, used: set[str]) -> str:
    """아직 쓰지 않은 이름. 대소문자만 다른 것도 같은 이름으로 본다."""
    stem, suffix = Path(name).stem, Path(name).suffix
    count = 1
    while name.casefold() in used:
        count += 1
        name = f"{stem} ({count}){suffix}"
    used.add(name.casefold())
    return name
