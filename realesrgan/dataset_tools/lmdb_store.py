"""이미지를 lmdb에 담는다. BasicSR과 이 패키지의 데이터셋이 그대로 읽는다.

폴더의 모양: `data.mdb`, `lock.mdb`, 그리고 한 줄이 `이름.png (높이,너비,채널) 압축수준`인 `meta_info.txt`. 열쇠는
    확장자 없는 이름,
값은 PNG로 인코딩한 바이트다.
"""

from __future__ import annotations

import hashlib
import io
import shutil
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from realesrgan.dataset_tools.job_record import RECORD_NAME, check_job, open_job
from realesrgan.dataset_tools.pictures import encode_png, read_array, refuse_clashes, write_bytes
from realesrgan.dataset_tools.workers import Failure
from realesrgan.errors import DatasetError, UsageError
from realesrgan.media.image import read_header
from realesrgan.util.files import os_reason, plain_reason
from realesrgan.util.optional import import_optional

# 처음 지도의 크기(바이트). 모자라면 두 배씩 키운다.
FIRST_MAP = 1 << 26
MAX_KEY = 511
COMMIT_EVERY = 64
META_NAME = "meta_info.txt"


@dataclass(frozen=True)
class Entry:
    """lmdb의 한 항목. `key`는 확장자 없는 이름이다."""

    path: Path
    key: str


# 항목과 그 PNG 바이트(또는 실패)를 차례로 내는 것.
Encoded = Iterable[tuple[Entry, "bytes | Failure"]]


def make_entries(pictures: Iterable[Path], folder: Path) -> list[Entry]:
    """이미지마다의 열쇠를 정한다. 열쇠는 `folder`에서의 상대 경로에서 확장자를 뗀 것이다.

    Raises:
        UsageError: 두 이미지의 열쇠가 같거나, 열쇠가 511바이트를 넘을 때.
    """
    entries = [Entry(path, path.relative_to(folder).with_suffix("").as_posix()) for path in pictures]
    refuse_clashes((entry.path, Path(entry.key)) for entry in entries)
    for entry in entries:
        if len(entry.key.encode()) > MAX_KEY:
            raise UsageError(
                f"이름이 너무 깁니다: {entry.path}\n  lmdb의 열쇠는 UTF-8로 {MAX_KEY}바이트까지입니다.\n"
                "  해결: 파일의 이름을 줄이세요."
            )
    return entries


def encode_entry(entry: Entry, *, level: int) -> bytes:
    """이미지를 PNG 바이트로 바꾼다. 작업자 프로세스에서 돈다.

    Raises:
        ImageReadError: 읽을 수 없을 때.
    """
    return encode_png(read_array(entry.path), level)


def entry_encoder(level: int) -> partial[bytes]:
    """작업자에게 넘길 수 있는, 항목 하나를 받는 함수."""
    return partial(encode_entry, level=level)


def fingerprint(entries: Sequence[Entry], level: int) -> dict[str, Any]:
    """담을 것의 지문. 같으면 하다 만 lmdb를 이어서 담아도 된다."""
    digest = hashlib.sha256()
    for entry in entries:
        stat = entry.path.stat()
        digest.update(f"{entry.key}\0{stat.st_size}\0{stat.st_mtime_ns}\n".encode())
    return {"tool": "create_lmdb", "compression_level": level, "entries": digest.hexdigest()}


# 이보다 적게 남은 디스크(바이트)는 가득 찬 것으로 본다. lmdb는 값 말고도 쪽의 나무를 적는다.
_SPARE_BYTES = 1 << 16


class LmdbWriter:
    """하다 만 폴더에 담아 가다가 다 되면 제 이름으로 바꾸는 lmdb.

    Args:
        target: 만들 lmdb 폴더. 이름이 `.lmdb`로 끝나야 한다.
        settings: 담을 것의 지문. 하다 만 폴더의 지문이 다르면 지우고 다시 담는다.
        first_map: 처음 지도의 크기(바이트).

    Raises:
        UsageError: 이름이 `.lmdb`로 끝나지 않거나 이미 있을 때.
        MissingPackageError: lmdb 패키지가 없을 때.
        DatasetError: 폴더를 만들 수 없을 때.
    """

    def __init__(self, target: Path, settings: dict[str, Any], first_map: int = FIRST_MAP) -> None:
        check_target(target)
        self._lmdb = import_optional("lmdb", "lmdb를 만들려면", "pip install lmdb")
        self.target = target
        self.partial = target.with_name(f".{target.name}.part")
        try:
            check_job(self.partial, settings)
        except UsageError:
            shutil.rmtree(self.partial)
        open_job(self.partial, settings)
        existing = self.partial / "data.mdb"
        size = max(first_map, 2 * existing.stat().st_size if existing.is_file() else 0)
        try:
            self._env = self._lmdb.open(str(self.partial), map_size=size)
        except (OSError, self._lmdb.Error) as error:
            raise DatasetError(
                f"lmdb를 열 수 없습니다: {self.partial}\n  {plain_reason(error)}\n  해결: 그 폴더를 지우세요."
            ) from error
        self._waiting: list[tuple[bytes, bytes]] = []

    def __contains__(self, key: str) -> bool:
        with self._env.begin() as transaction:
            return transaction.get(key.encode()) is not None

    def put(self, key: str, content: bytes) -> None:
        """항목 하나를 담는다. 몇십 개마다 디스크에 확정한다.

        Raises:
            DatasetError: 쓸 수 없을 때.
        """
        self._waiting.append((key.encode(), content))
        if len(self._waiting) >= COMMIT_EVERY:
            self.commit()

    def commit(self) -> None:
        """담은 것을 확정한다. 지도가 모자라면 두 배로 키워 다시 한다.

        Raises:
            DatasetError: 쓸 수 없을 때.
        """
        while self._waiting:
            try:
                with self._env.begin(write=True) as transaction:
                    for key, content in self._waiting:
                        transaction.put(key, content)
                self._waiting = []
            except self._lmdb.MapFullError:
                self._env.set_mapsize(self._env.info()["map_size"] * 2)
            except (OSError, self._lmdb.Error) as error:
                # lmdb는 디스크가 찼을 때도 입출력 오류라고만 한다.
                waiting = sum(len(content) for _, content in self._waiting)
                full = shutil.disk_usage(self.partial).free < waiting + _SPARE_BYTES
                reason = "디스크가 가득 찼습니다." if full else f"저장 장치가 받지 않았습니다({error})."
                raise DatasetError(
                    f"lmdb에 쓸 수 없습니다: {self.partial}\n  {reason}\n"
                    "  해결: 디스크의 빈자리와 권한을 확인하고 다시 실행하세요. 마친 것은 이어서 합니다."
                ) from error

    def finish(self, keys: Sequence[str], level: int) -> None:
        """목록 파일을 쓰고 제 이름으로 바꾼다.

        Args:
            keys: 목록에 적을 열쇠들, 적을 차례대로.
            level: PNG 압축 수준.

        Raises:
            DatasetError: 이름을 바꿀 수 없을 때.
        """
        self.commit()
        with self._env.begin(buffers=True) as transaction:
            lines = [f"{key}.png {_shape_note(transaction.get(key.encode()))} {level}\n" for key in keys]
        write_bytes(self.partial / META_NAME, "".join(lines).encode())
        self._env.sync(True)
        self.close()
        try:
            (self.partial / RECORD_NAME).unlink()
            self.partial.rename(self.target)
        except OSError as error:
            why, remedy = os_reason(error)
            raise DatasetError(f"lmdb를 제자리에 놓지 못했습니다: {self.target}\n  {why}\n  해결: {remedy}") from error

    def remove(self, keys: Iterable[str]) -> None:
        """항목을 지운다. 짝 가운데 하나를 읽지 못했을 때 다른 하나도 빼기 위한 것이다."""
        self.commit()
        with self._env.begin(write=True) as transaction:
            for key in keys:
                transaction.delete(key.encode())

    def close(self) -> None:
        """연결을 닫는다. 확정한 것은 하다 만 폴더에 남아 다음에 이어진다."""
        self._env.close()


def check_target(target: Path) -> None:
    """만들 lmdb의 이름을 본다.

    Raises:
        UsageError: 이름이 `.lmdb`로 끝나지 않거나 이미 있을 때.
    """
    if target.suffix != ".lmdb":
        raise UsageError(
            f"lmdb 폴더의 이름은 .lmdb로 끝나야 합니다: {target}\n  데이터셋이 이름으로 알아봅니다.\n"
            f"  해결: --output {target}.lmdb"
        )
    if target.exists():
        raise UsageError(
            f"이미 있습니다: {target}\n  다 만든 lmdb는 덮어쓰지 않습니다.\n  해결: 지우거나 다른 이름을 쓰세요."
        )


@contextmanager
def open_writers(targets: Sequence[Path], prints: Sequence[dict[str, Any]]) -> Iterator[list[LmdbWriter]]:
    """여러 lmdb를 열고, 나갈 때 확정하고 닫는다.

    Raises:
        UsageError, MissingPackageError, DatasetError: `LmdbWriter`와 같다.
    """
    writers: list[LmdbWriter] = []
    try:
        for target, settings in zip(targets, prints, strict=True):
            writers.append(LmdbWriter(target, settings))
        yield writers
    finally:
        for writer in writers:
            if writer.partial.exists():
                writer.commit()
                writer.close()


def _shape_note(content: Any) -> str:
    info = read_header(io.BytesIO(bytes(content))).info
    return f"({info.height},{info.width},{info.channels})"
