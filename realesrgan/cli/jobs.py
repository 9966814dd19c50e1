"""무엇을 읽어 어디에 쓸지를 일을 시작하기 전에 모두 정한다."""

from __future__ import annotations

import glob
import os
import re
import sys
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from realesrgan.errors import ImageReadError, RealESRGANError, UsageError
from realesrgan.media.formats import format_of_name, is_image_name, writable_extensions
from realesrgan.media.image import ImageInfo, probe_image


@dataclass(frozen=True)
class Job:
    """그림 하나를 키우는 일.

    Attributes:
        source: 입력 파일.
        target: 결과 파일.
        info: 머리만 읽어 아는 것. 읽지 못했으면 None.
        problem: 시작하기 전에 알게 된 실패의 이유. 없으면 None.
    """

    source: Path
    target: Path
    info: ImageInfo | None = None
    problem: str | None = None

    @property
    def pixels(self) -> int:
        """네트워크가 볼 픽셀 수. 알파 채널은 한 번 더 계산된다."""
        if self.info is None:
            return 0
        return self.info.width * self.info.height * self.info.frames * (2 if self.info.mode == "RGBA" else 1)

    def output_size(self, outscale: float) -> tuple[int, int] | None:
        """결과의 `(너비, 높이)`, 픽셀. 입력을 읽지 못했으면 None."""
        if self.info is None:
            return None
        return max(int(self.info.width * outscale), 1), max(int(self.info.height * outscale), 1)


@dataclass(frozen=True)
class _Source:
    """찾은 입력과, 결과 폴더 아래에 둘 상대 폴더."""

    path: Path
    folder: Path = Path()
    problem: str | None = None


def natural_key(path: Path) -> list[tuple[int, int | str]]:
    """숫자를 수로 견주는 정렬 열쇠. `2.png`가 `10.png`보다 앞에 온다."""
    parts = re.split(r"(\d+)", str(path).casefold())
    return [(0, int(part)) if part.isdecimal() else (1, part) for part in parts]


def plan_jobs(inputs: Iterable[str], output: str, *, recursive: bool, suffix: str, ext: str) -> list[Job]:
    """입력을 모두 찾아 결과의 이름을 정한다.

    Args:
        inputs: 파일, 폴더, 글롭.
        output: 결과 폴더. 입력이 파일 하나면 결과 파일이어도 된다.
        recursive: 하위 폴더까지 볼지.
        suffix: 결과 이름 뒤에 붙일 글자.
        ext: `auto`나 점 없는 확장자.

    Returns:
        일의 목록. 읽을 수 없는 파일은 이유를 담은 채로 들어 있다.

    Raises:
        UsageError: 할 일이 없거나, 두 입력이 한 결과를 쓰거나, 결과가 입력을 덮어쓸 때.
    """
    inputs = list(inputs)
    sources = _unique(source for text in inputs for source in _find(text, recursive))
    if not sources:
        raise UsageError(
            f"키울 그림이 없습니다: {', '.join(inputs)}\n"
            "  폴더에 그림 파일이 없거나 글롭에 맞는 파일이 없습니다. 하위 폴더까지 보려면 --recursive를 주세요."
        )
    if len(sources) == len(inputs) == 1 and sources[0].problem is not None:
        raise UsageError(sources[0].problem)
    fixed = _fixed_target(inputs, sources, Path(output))
    jobs = [_make_job(source, fixed, Path(output), suffix, ext) for source in sources]
    _refuse_conflicts(jobs)
    return jobs


def _find(text: str, recursive: bool) -> list[_Source]:
    path = Path(text).expanduser()
    try:
        if path.is_dir():
            return _find_in_folder(path, recursive)
        if path.exists() or not glob.has_magic(text):
            missing = f"입력이 없습니다: {path}\n  경로와 파일 이름을 확인하세요."
            return [_Source(path, problem=None if path.exists() else missing)]
    except PermissionError:
        return [_Source(path, problem=f"입력을 열 권한이 없습니다: {path}\n  폴더의 권한을 확인하세요.")]
    # Path.glob은 절대 경로의 무늬를 받지 않는다.
    found = (Path(name) for name in glob.glob(str(path), recursive=True))  # noqa: PTH207
    return [_Source(item) for item in sorted(found, key=natural_key) if item.is_file() and is_image_name(item)]


def _find_in_folder(folder: Path, recursive: bool) -> list[_Source]:
    found: list[_Source] = []

    def refuse(error: OSError) -> None:
        where = Path(error.filename or folder)
        found.append(_Source(where, problem=f"폴더를 열 수 없습니다: {where}\n  폴더의 권한을 확인하세요."))

    for top, folders, names in os.walk(folder, onerror=refuse):
        if not recursive:
            folders.clear()
        relative = Path(top).relative_to(folder)
        found.extend(_Source(Path(top) / name, relative) for name in names if _is_picture(name))
    return sorted(found, key=lambda source: natural_key(source.path))


def _is_picture(name: str) -> bool:
    # 점으로 시작하는 파일은 운영체제가 남긴 것(._photo.jpg 등)이지 그림이 아니다.
    return is_image_name(name) and not name.startswith(".")


def _unique(sources: Iterable[_Source]) -> list[_Source]:
    return list({_identity(source.path): source for source in sources}.values())


def _identity(path: Path) -> str:
    """같은 파일을 가리키는 경로는 같은 글자가 되게 한다."""
    text = unicodedata.normalize("NFC", str(Path(os.path.realpath(path))))
    # 대소문자를 가리지 않는 파일 시스템이 기본인 곳에서는 접어서 견준다.
    return text.casefold() if sys.platform in ("win32", "darwin") else text


def _fixed_target(inputs: list[str], sources: list[_Source], output: Path) -> Path | None:
    """`-o`가 파일 이름이면 그 경로를, 폴더면 None을 돌려준다."""
    if output.is_dir() or format_of_name(output) is None:
        return None
    if output.suffix.lower() not in writable_extensions():
        raise UsageError(f"쓸 수 없는 형식입니다: {output}\n  HEIC를 쓰려면 pip install pillow-heif를 실행하세요.")
    if len(sources) > 1 or Path(inputs[0]).is_dir():
        raise UsageError(
            f"-o {output}은(는) 파일 이름이라 그림 하나만 담을 수 있는데 입력이 여럿이거나 폴더입니다.\n"
            "  해결: -o에 폴더 이름을 주세요."
        )
    return output


def _make_job(source: _Source, fixed: Path | None, output: Path, suffix: str, ext: str) -> Job:
    info, problem = None, source.problem
    if problem is None:
        try:
            info = probe_image(source.path)
        except ImageReadError as error:
            problem = str(error)
        except RealESRGANError:
            raise
    if fixed is not None:
        return Job(source.path, fixed, info, problem)
    stem = f"{source.path.stem}_{suffix}" if suffix else source.path.stem
    extension = output_extension(source.path, info, ext)
    return Job(source.path, output / source.folder / f"{stem}.{extension}", info, problem)


def output_extension(source: Path, info: ImageInfo | None, ext: str) -> str:
    """결과의 확장자(점 없음)를 정한다.

    `auto`는 입력을 따르되 쓸 수 없는 형식이면 png로 한다. 알파가 있는 정지 그림은 `auto`와 `jpg`에서 png가 된다.
    """
    own = source.suffix.lower()
    extension = (own.lstrip(".") if own in writable_extensions() else "png") if ext == "auto" else ext
    chosen = format_of_name(f"x.{extension}")
    animated = info is not None and info.frames > 1
    transparent = info is not None and info.mode == "RGBA" and not animated
    if transparent and (ext == "auto" or chosen is None or chosen.name == "JPEG"):
        return "png"
    return extension


def _refuse_conflicts(jobs: list[Job]) -> None:
    inputs = {_identity(job.source): job.source for job in jobs}
    seen: dict[str, Job] = {}
    for job in jobs:
        key = _identity(job.target)
        if key in inputs:
            raise UsageError(
                f"결과가 입력을 덮어씁니다: {job.source} -> {job.target}\n"
                "  해결: -o로 다른 폴더를 주거나 --suffix를 비우지 마세요."
            )
        if key in seen:
            raise UsageError(
                f"두 입력의 결과가 같은 파일이 됩니다: {seen[key].source}, {job.source} -> {job.target}\n"
                "  해결: 따로 실행하거나, --ext auto나 --recursive를 쓰거나, 파일 이름을 바꾸세요."
            )
        seen[key] = job
