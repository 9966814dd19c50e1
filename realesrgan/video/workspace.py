"""하던 일을 남겨 두는 작업 폴더. 언제 죽어도 마친 조각은 남고, 이어 하면 중단 없이 한 것과 결과가 같다.

폴더에는 무엇을 어떻게 하는 일인지 적은 `manifest.json`과, 조각마다 비디오 파일 하나와 그것이 온전하다는 기록(`.json`)
하나가 있다. 기록은 비디오 파일이 제 이름으로 놓인 뒤에 쓰므로, 기록이 있으면 그 조각은 끝난 것이다.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from types import NoneType
from typing import Any, Literal

from realesrgan.errors import UsageError, VideoWriteError
from realesrgan.media.video.types import NO_TIMES, Hole, SegmentTimes
from realesrgan.util.files import (
    atomic_file,
    exclusive_lock,
    file_sha256,
    hidden_beside,
    make_writable_folder,
    os_reason,
    scratch_beside,
)
from realesrgan.video.plan import Span

FORMAT = 4
# 결과 폴더(이미지 시퀀스)가 바뀌는 동안 예전 결과가 머무는 이름.
OLD_NAME = "old"


@dataclass(frozen=True)
class SegmentRecord:
    """끝난 조각의 기록.

    Attributes:
        index: 조각의 번호.
        frames: 든 프레임 수. 0이면 파일이 없다(시각에 빈 곳이 있는 비디오).
        offset: 첫 프레임의 시각. 단위는 결과의 time_base.
        repeats: 앞 프레임과 똑같아 다시 계산하지 않은 프레임 수.
        size: 파일의 크기(바이트).
        sha256: 파일의 해시.
        holes: 이 조각의 원본에서 깨진 곳들.
        times: 든 패킷들의 시각. 이미지로 쓴 조각이면 비어 있다.
    """

    index: int
    frames: int
    offset: int
    repeats: int
    size: int
    sha256: str
    holes: tuple[Hole, ...] = ()
    times: SegmentTimes = NO_TIMES


def content_of(path: Path) -> tuple[int, str]:
    """파일이나 폴더의 `(바이트 수, 해시)`. 폴더의 해시는 이름과 내용의 해시를 이어 다시 구한 것이다."""
    if not path.is_dir():
        return path.stat().st_size, file_sha256(path)
    parts = sorted(item for item in path.iterdir() if item.is_file())
    listing = "".join(f"{item.name}\0{file_sha256(item)}\n" for item in parts)
    return sum(part.stat().st_size for part in parts), hashlib.sha256(listing.encode()).hexdigest()


@contextmanager
def write_errors(what: str) -> Iterator[None]:
    """블록에서 난 운영체제의 오류를 이유와 해결이 있는 `VideoWriteError`로 바꾼다. `what`은 무슨 일인지다."""
    try:
        yield
    except OSError as error:
        reason, remedy = os_reason(error)
        raise VideoWriteError(f"{what}\n  {reason}\n  해결: {remedy}") from error


@contextmanager
def lock_target(target: Path) -> Iterator[None]:
    """한 결과를 두 프로세스가 함께 만들지 못하게 잠근다. 결과의 폴더가 없으면 만든다.

    Raises:
        UsageError: 다른 프로세스가 잠갔을 때.
        VideoWriteError: 폴더나 잠금 파일을 만들 수 없을 때.
    """
    path = hidden_beside(target).with_suffix(".lock")
    with write_errors(f"결과 폴더에 쓸 수 없습니다: {target.parent}"):
        make_writable_folder(target.parent)
        with exclusive_lock(path) as locked:
            if not locked:
                raise UsageError(
                    f"다른 프로세스가 같은 결과를 만들고 있습니다: {target}\n"
                    "  해결: 그것이 끝나기를 기다리거나 멈춘 뒤에 하세요."
                )
            yield


@dataclass(frozen=True)
class Workspace:
    """작업 폴더 하나. 여러 프로세스가 함께 쓴다: 조각마다 파일이 따로라 서로 부딪치지 않는다.

    Attributes:
        folder: 폴더의 경로. 결과 곁에 두어(`files.hidden_beside`) 마지막에 이름만 바꾸면 되게 한다.
    """

    folder: Path

    def prepare(
        self,
        target: Path,
        fingerprint: Mapping[str, Any],
        spans: Sequence[Span],
        *,
        resume: bool,
        overwrite: bool,
        unfinished: bool = False,
        shared: bool = False,
    ) -> dict[int, SegmentRecord]:
        """작업 폴더를 새로 만들거나, 이어 할 것을 확인한다.

        Args:
            target: 결과 파일.
            fingerprint: 결과를 정하는 모든 것(입력의 해시, 모델, 옵션, 버전). 하나라도 다르면 이어 하지 않는다.
            spans: 조각들.
            resume: 남은 것을 이어 할지.
            overwrite: 이어 하지 않고 처음부터 다시 할지.
            unfinished: 끝난 조각이 없어도 이어 할 프레임이 있는지.
            shared: 다른 실행이 같은 폴더를 함께 쓰는지. 그러면 폴더를 지우지 않고, 먼저 적은 쪽의 것을 따른다.

        Returns:
            이미 끝난 조각들.

        Raises:
            UsageError: 남은 일이 있는데 어떻게 할지 말하지 않았거나, 남은 것이 다른 일일 때.
            VideoWriteError: 폴더를 쓸 수 없을 때.
        """
        content = {
            "format": FORMAT,
            "fingerprint": dict(fingerprint),
            "segments": [[span.start, span.end] for span in spans],
        }
        text = json.dumps(content, ensure_ascii=False, indent=1).encode()
        if shared:
            self._claim(text)
        found = self.manifest() if self.folder.is_dir() else None
        if found is not None and resume:
            _refuse_other_work(found, content, target)
            return self.verified()
        finished = 0 if found is None or overwrite else len(self.records())
        if finished or (unfinished and found is not None and not overwrite):
            raise UsageError(
                f"하다 만 작업이 남아 있습니다: {target} (조각 {finished}/{len(spans)}개)\n"
                "  해결: --resume으로 이어 하거나, --overwrite로 처음부터 다시 하세요."
            )
        with write_errors(f"작업 폴더를 만들 수 없습니다: {self.folder}"):
            old = self.folder / OLD_NAME
            if old.exists() and not target.exists():
                # 결과 폴더를 바꾸다가 죽어 예전 결과가 여기에만 남아 있다. 제자리로 되돌린다.
                old.replace(target)
            self.remove()
            self.folder.mkdir(parents=True)
            with atomic_file(self.folder / "manifest.json") as file:
                file.write(text)
        return {}

    def _claim(self, text: bytes) -> None:
        """할 일을 적는다. 여럿이 한꺼번에 적어도 하나만 남는다.

        Raises:
            VideoWriteError: 쓸 수 없을 때.
        """
        path = self.folder / "manifest.json"
        if path.exists():
            return
        scratch = scratch_beside(path, ".part")
        try:
            with write_errors(f"작업 폴더를 만들 수 없습니다: {self.folder}"):
                self.folder.mkdir(parents=True, exist_ok=True)
                with atomic_file(scratch) as file:
                    file.write(text)
                with suppress(FileExistsError):
                    os.link(scratch, path)
        finally:
            scratch.unlink(missing_ok=True)

    def manifest(self) -> dict[str, Any] | None:
        """적힌 일. 없거나 읽을 수 없으면 None."""
        return _read_json(self.folder / "manifest.json")

    def segment_path(self, index: int, suffix: Literal[".seg", ".frames", ".json"] = ".seg") -> Path:
        """조각의 비디오 파일, 쓰는 중인 조각의 키운 프레임을 적어 두는 파일(`frame_store`), 또는 기록."""
        return self.folder / f"{index:06d}{suffix}"

    def commit(
        self,
        index: int,
        *,
        frames: int,
        offset: int,
        repeats: int,
        holes: tuple[Hole, ...] = (),
        times: SegmentTimes = NO_TIMES,
    ) -> SegmentRecord:
        """제 이름으로 놓인 조각의 기록을 쓴다. 이것이 쓰인 순간 그 조각은 끝난 것이다.

        Raises:
            VideoWriteError: 쓸 수 없을 때.
        """
        path = self.segment_path(index)
        with write_errors(f"조각의 기록을 쓸 수 없습니다: {path}"):
            size, digest = content_of(path) if frames else (0, "")
            record = SegmentRecord(index, frames, offset, repeats, size, digest, holes, times)
            with atomic_file(self.segment_path(index, ".json")) as file:
                file.write(json.dumps(asdict(record)).encode())
        return record

    def records(self) -> dict[int, SegmentRecord]:
        """기록이 있는 조각들. 파일이 온전한지는 `verified`가 본다."""
        found: dict[int, SegmentRecord] = {}
        for path in sorted(self.folder.glob("[0-9]*.json")) if self.folder.is_dir() else ():
            record = _to_record(_read_json(path))
            if record is not None and path.name == f"{record.index:06d}.json":
                found[record.index] = record
        return found

    def verified(self) -> dict[int, SegmentRecord]:
        """파일이 기록과 같은 조각들. 다른 것은 다시 한다."""
        whole: dict[int, SegmentRecord] = {}
        for index, record in self.records().items():
            path = self.segment_path(index)
            if record.frames == 0 or (path.exists() and content_of(path) == (record.size, record.sha256)):
                whole[index] = record
        return whole

    def recorded_tile(self) -> int | None:
        """하다 만 작업이 쓰던 타일. 남은 메모리가 그때와 달라도 같은 결과가 나오게 한다."""
        tile = self._recorded("타일")
        return tile if isinstance(tile, int) else None

    def recorded_engine(self) -> tuple[str, str, str] | None:
        """하다 만 작업이 쓰던 엔진의 `(이름, 장치의 종류, 정밀도)`. 재어 고른 것이 그때와 달라도 이어 하게 한다."""
        found = tuple(self._recorded(key) for key in ("엔진", "장치", "정밀도"))
        return found if all(isinstance(one, str) for one in found) else None

    def _recorded(self, key: str) -> Any:
        """하다 만 작업의 지문에 적힌 것. 없으면 None."""
        return _marks(self.manifest() or {}).get(key)

    def remove(self) -> None:
        """작업 폴더를 지운다.

        Raises:
            OSError: 지울 수 없을 때.
        """
        if self.folder.is_dir():
            shutil.rmtree(self.folder)


def _read_json(path: Path) -> dict[str, Any] | None:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return content if isinstance(content, dict) else None


def _to_record(content: dict[str, Any] | None) -> SegmentRecord | None:
    """읽은 것에서 만든 기록. 값이 하나라도 기록의 것이 아니면 None이고, 그 조각은 다시 한다."""
    if content is None or set(content) != set(SegmentRecord.__dataclass_fields__):
        return None
    holes, times = content["holes"], _to_times(content["times"], content["frames"])
    if not isinstance(holes, list) or not all(_is_hole(hole) for hole in holes) or times is None:
        return None
    counts = [content[name] for name in ("index", "frames", "repeats", "size")]
    whole = all(type(value) is int and 0 <= value < 1 << 63 for value in counts)
    if not whole or type(content["offset"]) is not int or not isinstance(content["sha256"], str):
        return None
    return SegmentRecord(**{**content, "holes": tuple(Hole(**hole) for hole in holes), "times": times})


def _to_times(content: Any, frames: Any) -> SegmentTimes | None:
    """읽은 것에서 만든 시각들. 프레임마다 하나가 아니면 None."""
    if not isinstance(content, dict) or set(content) != set(SegmentTimes.__dataclass_fields__):
        return None
    pts, tail = content["pts"], content["tail"]
    if (
        not isinstance(pts, list)
        or not all(type(value) is int for value in (*pts, tail))
        or len(pts) not in (0, frames)
    ):
        return None
    return SegmentTimes(tuple(pts), tail)


def _is_hole(content: Any) -> bool:
    """읽은 것이 `Hole`의 칸들인지."""
    kinds: dict[str, tuple[type, ...]] = {"start": (int, float), "end": (int, float, NoneType), "frames": (int,)}
    if not isinstance(content, dict) or set(content) != set(Hole.__dataclass_fields__):
        return False
    return isinstance(content["reason"], str) and all(isinstance(content[key], kind) for key, kind in kinds.items())


def _marks(manifest: Mapping[str, Any]) -> Mapping[str, Any]:
    """적힌 지문. 상해서 사전이 아니면 빈 것이다."""
    marks = manifest.get("fingerprint")
    return marks if isinstance(marks, dict) else {}


def _refuse_other_work(found: Mapping[str, Any], wanted: Mapping[str, Any], target: Path) -> None:
    """남은 것이 지금 하려는 일과 다르면 무엇이 다른지 말하고 막는다."""
    before, now = _marks(found), wanted["fingerprint"]
    changed = sorted(key for key in {*before, *now} if before.get(key) != now.get(key))
    if found.get("format") != wanted["format"] or found.get("segments") != wanted["segments"]:
        changed.append("조각의 나눔")
    if changed:
        raise UsageError(
            f"이어 할 수 없습니다: {target}\n"
            f"  하다 만 작업과 다른 것이 있습니다: {', '.join(changed)}\n"
            "  해결: 그때와 같은 입력과 옵션을 쓰거나, --resume 대신 --overwrite로 처음부터 다시 하세요."
        )
