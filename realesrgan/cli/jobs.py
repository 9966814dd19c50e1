"""무엇을 읽어 어디에 쓸지를 일을 시작하기 전에 모두 정한다."""

from __future__ import annotations

import glob
import os
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

from realesrgan.errors import ImageReadError, UsageError
from realesrgan.media.formats import animated_extensions, format_of_name, is_image_name, writable_extensions
from realesrgan.media.image import ImageInfo, probe_image
from realesrgan.util.files import expand_user, identity, natural_key, os_reason
from realesrgan.util.numbers import scaled_size


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
        return scaled_size(self.info.width, self.info.height, outscale)


@dataclass(frozen=True)
class _Source:
    """찾은 입력과, 결과 폴더 아래에 둘 상대 폴더."""

    path: Path
    folder: Path = Path()
    problem: str | None = None


def plan_jobs(
    inputs: Iterable[str], output: str, *, recursive: bool, suffix: str, ext: str, outscale: float
) -> list[Job]:
    """입력을 모두 찾아 결과의 이름을 정한다.

    Args:
        inputs: 파일, 폴더, 글롭.
        output: 결과 폴더. 입력이 파일 하나면 결과 파일이어도 된다.
        recursive: 하위 폴더까지 볼지.
        suffix: 결과 이름 뒤에 붙일 글자.
        ext: `auto`나 점 없는 확장자.
        outscale: 마지막 업스케일 배율. 결과가 형식의 한도를 넘는지 미리 본다.

    Returns:
        일의 목록. 읽을 수 없는 파일은 이유를 담은 채로 들어 있다.

    Raises:
        UsageError: 할 일이 없거나, 두 입력이 한 결과를 쓰거나, 결과가 입력을 덮어쓸 때.
    """
    inputs = list(inputs)
    folder = expand_user(output)
    sources = _unique(source for text in inputs for source in _find(text, recursive, folder))
    if not sources:
        raise UsageError(
            f"키울 그림이 없습니다: {', '.join(inputs)}\n"
            "  폴더에 그림 파일이 없거나 글롭에 맞는 파일이 없습니다. 하위 폴더까지 보려면 --recursive를 주세요."
        )
    if len(sources) == len(inputs) == 1 and sources[0].problem is not None:
        raise UsageError(sources[0].problem)
    fixed = _fixed_target(inputs, sources, folder)
    jobs = [_checked(_make_job(source, fixed, folder, suffix, ext), outscale) for source in sources]
    _refuse_conflicts(jobs)
    return jobs


def _find(text: str, recursive: bool, output: Path) -> list[_Source]:
    path = expand_user(text)
    try:
        if path.is_dir():
            return _find_in_folder(path, recursive, output)
        if path.exists() or not glob.has_magic(text):
            missing = f"입력이 없습니다: {path}\n  경로와 파일 이름을 확인하세요."
            return [_Source(path, problem=None if path.exists() else missing)]
    except OSError as error:
        reason, remedy = os_reason(error)
        return [_Source(path, problem=f"입력을 열 수 없습니다: {path}\n  {reason}\n  해결: {remedy}")]
    # Path.glob은 절대 경로의 무늬를 받지 않는다.
    found = (Path(name) for name in glob.glob(str(path), recursive=True))  # noqa: PTH207
    return [_Source(item) for item in sorted(found, key=natural_key) if item.is_file() and is_image_name(item)]


def _find_in_folder(folder: Path, recursive: bool, output: Path) -> list[_Source]:
    found: list[_Source] = []
    results = os.path.realpath(output)

    def refuse(error: OSError) -> None:
        where = Path(error.filename or folder)
        relative = where.parent.relative_to(folder) if where != folder else Path()
        found.append(_Source(where, relative, problem=f"폴더를 열 수 없습니다: {where}\n  폴더의 권한을 확인하세요."))

    for top, folders, names in os.walk(folder, onerror=refuse):
        # 지난번의 결과를 다시 입력으로 삼지 않도록, 입력 폴더 안에 있는 결과 폴더는 건너뛴다.
        folders[:] = [name for name in folders if recursive and os.path.realpath(Path(top) / name) != results]
        relative = Path(top).relative_to(folder)
        found.extend(_Source(Path(top) / name, relative) for name in names if _is_picture(name))
    return sorted(found, key=lambda source: natural_key(source.path))


def _is_picture(name: str) -> bool:
    # 점으로 시작하는 파일은 운영체제가 남긴 것(._photo.jpg 등)이지 그림이 아니다.
    return is_image_name(name) and not name.startswith(".")


def _unique(sources: Iterable[_Source]) -> list[_Source]:
    return list({identity(source.path): source for source in sources}.values())


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


def _checked(job: Job, outscale: float) -> Job:
    """결과가 형식의 한도에 맞는지 보고, 아니면 이유를 적는다. 오래 계산한 뒤에야 알게 되는 일을 막는다."""
    target, size = format_of_name(job.target), job.output_size(outscale)
    if target is None or size is None or job.info is None or job.problem is not None:
        return job
    width, height = size
    if max(size) > target.max_side:
        why = f"{width:,}x{height:,}은(는) {job.target.suffix}의 한 변 한도 {target.max_side:,}픽셀을 넘습니다."
        remedy = "--ext png를 주거나 -s를 줄이세요."
    elif job.info.frames > 1 and not target.animation:
        why = f"{job.info.frames}프레임의 애니메이션을 {job.target.suffix}에는 담을 수 없습니다."
        remedy = f"애니메이션을 담는 형식을 쓰세요: {' '.join(animated_extensions())}"
    else:
        return job
    return replace(job, problem=f"결과를 쓸 수 없습니다: {job.target}\n  {why}\n  해결: {remedy}")


def _refuse_conflicts(jobs: list[Job]) -> None:
    inputs = {identity(job.source): job.source for job in jobs}
    seen: dict[str, Job] = {}
    for job in jobs:
        if job.problem is not None:
            continue
        key = identity(job.target)
        if key in inputs:
            raise UsageError(
                f"결과가 입력을 덮어씁니다: {job.source} -> {job.target}\n"
                "  해결: -o로 다른 폴더를 주거나 --suffix를 비우지 마세요."
            )
        if key in seen:
            raise UsageError(
                f"두 입력의 결과가 같은 파일이 됩니다: {seen[key].source}, {job.source} -> {job.target}\n"
                "  해결: 파일 이름을 바꾸거나, -o를 달리하여 따로 실행하세요."
            )
        seen[key] = job
