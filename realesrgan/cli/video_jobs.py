"""어떤 비디오를 읽어 어디에 쓸지를 일을 시작하기 전에 모두 정한다."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import count
from pathlib import Path

from realesrgan.cli.arguments import STANDARD
from realesrgan.errors import UsageError
from realesrgan.media.formats import FILE_SUFFIX, VIDEO_EXTENSIONS, is_image_name, writable_extensions
from realesrgan.util.files import expand_user, identity, natural_key
from realesrgan.video.settings import CONTAINERS, IMAGES, STREAM_CONTAINERS, VideoSource, VideoTarget, find_source

_SHOWN = 10

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class VideoJob:
    """비디오 한 편을 키우는 일.

    Attributes:
        source, target: 입력과 결과.
        input: 보일 입력의 이름.
        inputs: 입력의 경로. 표준 입력이면 비어 있다.
        weight: 비디오는 한 편을 모두가 함께 하므로 무게가 모두 같다.
    """

    source: VideoSource
    target: VideoTarget
    input: str
    inputs: tuple[Path, ...] = ()
    weight: int = 1

    @property
    def paths(self) -> list[Path]:
        """입력과 결과의 경로. 표준 입력과 출력은 빠진다."""
        return [*self.inputs, *([] if self.target.path is None else [self.target.path])]


def plan_jobs(
    inputs: Sequence[str],
    output: str,
    *,
    suffix: str,
    ext: str,
    fps: Fraction | None = None,
    recursive: bool = False,
) -> list[VideoJob]:
    """입력을 모두 찾아 결과의 이름을 정한다.

    Args:
        inputs: 파일, 폴더, 또는 `-`(표준 입력).
        output: 결과 폴더, 입력이 하나면 결과 파일, 또는 `-`(표준 출력).
        suffix: 결과 이름 뒤에 붙일 글자.
        ext: `auto`(원본과 같은 컨테이너, 쓸 수 없는 것이면 mp4)나 점 없는 확장자. 이미지의 형식이면 결과는 이미지가 든
            폴더다.
        fps: 이미지 시퀀스를 읽을 속도. None이면 기본.
        recursive: 하위 폴더의 비디오까지 볼지. 결과도 같은 하위 폴더에 놓인다.

    Raises:
        UsageError: 할 일이 없거나, 두 입력이 한 결과를 쓰거나, 결과가 입력을 덮어쓸 때.
    """
    found: list[tuple[VideoSource, Path | None]] = []
    for text in inputs:
        path = expand_user(text)
        if text == STANDARD or not path.is_dir():
            found.append((find_source(sys.stdin.buffer if text == STANDARD else path), None))
        else:
            found += _find(path, fps, expand_user(output), recursive)
    sources = [source for source, _ in found]
    if not sources:
        raise UsageError(
            f"키울 비디오가 없습니다: {', '.join(inputs)}\n  이유: 폴더에 비디오나 이미지가 없습니다.\n"
            "  해결: -i의 경로를 확인하거나, 하위 폴더까지 보려면 --recursive를 주세요."
        )
    jobs = []
    taken: set[str] = set()
    for source, below in found:
        read = () if source.is_stream else (Path(source.name), *source.images)
        target = _target(source, output, suffix, ext, below, alone=len(sources) == 1)
        if below is not None:
            # 폴더들에서 찾은, 확장자만 다르거나 이름이 같은 비디오들의 결과가 같은 파일이 되지 않게 한다.
            own = Path(source.name).suffix.lstrip(".")
            added = (own if number == 1 else f"{own}_{number}" for number in count(1))
            while target.path is not None and identity(target.path) in taken:
                mark = next(added)
                target = _target(source, output, f"{mark}_{suffix}" if suffix else mark, ext, below, alone=False)
        taken |= set() if target.path is None else {identity(target.path)}
        jobs.append(VideoJob(source, target, source.name, read))
    named = {identity(expand_user(text)) for text in inputs if text != STANDARD}
    if any(identity(path) not in named for job in jobs for path in job.inputs):
        # 폴더에서 찾은 것 가운데 다른 입력의 결과인 것은 뺀다. 입력 폴더가 곧 결과 폴더여도 되풀이할 수 있다.
        made = [path for job in jobs if job.target.path for path in (job.target.path, job.target.partial_path)]
        results = {identity(path) for path in made} - named
        jobs = [job for job in jobs if not results & {identity(path) for path in job.inputs}]
    opened = {identity(path) for job in jobs for path in job.inputs}
    written = [identity(job.target.path) for job in jobs if job.target.path is not None]
    if len(set(written)) < len(written) or not opened.isdisjoint(written):
        _refuse_conflicts(jobs)
    return jobs


def _find(path: Path, fps: Fraction | None, output: Path, recursive: bool) -> list[tuple[VideoSource, Path | None]]:
    """폴더의 입력들과, 비디오면 저마다의 하위 폴더."""
    # 결과 파일이 입력 폴더 안에 있으면 지난번의 결과를 입력으로 삼지 않는다.
    own = identity(output)
    files = sorted(_files(path, own, recursive), key=natural_key)
    videos = [item for item in files if item.suffix.lower().lstrip(".") in VIDEO_EXTENSIONS]
    images = tuple(item for item in files if is_image_name(item) and item.parent == path)
    if images and not videos:
        return [(VideoSource(str(path), images=images, rate=fps), None)]
    others = [str(item.relative_to(path)) for item in files if item not in set(videos)]
    if others:
        more = f" 그 밖에 {len(others) - _SHOWN}개" if len(others) > _SHOWN else ""
        logger.warning("비디오가 아니라 건너뜁니다: %s%s", ", ".join(others[:_SHOWN]), more)
    return [(VideoSource(str(video), file=video), video.parent.relative_to(path)) for video in videos]


def _files(folder: Path, own: str, recursive: bool) -> Iterator[Path]:
    """폴더의 파일들. 숨은 것과 결과의 폴더(`own`)는 보지 않는다."""
    for item in folder.iterdir():
        if item.name.startswith(".") or identity(item) == own:
            continue
        if item.is_file():
            yield item
        elif recursive and item.is_dir() and not item.is_symlink():
            yield from _files(item, own, recursive)


def _target(source: VideoSource, output: str, suffix: str, ext: str, below: Path | None, *, alone: bool) -> VideoTarget:
    if output == STANDARD:
        if not alone:
            raise UsageError("표준 출력(-)에는 비디오 하나만 쓸 수 있습니다.\n  해결: 입력을 하나만 주세요.")
        return VideoTarget(None, STREAM_CONTAINERS["nut" if ext == "auto" else ext])
    path = expand_user(output)
    given = path.suffix.lower().lstrip(".")
    known = given in CONTAINERS or given in VIDEO_EXTENSIONS or is_image_name(path)
    # 비디오 하나의 결과에 확장자가 있으면 파일을 뜻한 것이다. 잘못 적은 확장자(`out.mp5`)의 폴더를 만들지 않는다.
    mistyped = alone and below is None and source.file is not None and FILE_SUFFIX.fullmatch(f".{given}")
    if not path.is_dir() and not output.endswith(("/", os.sep)) and (known or mistyped):
        return _named_target(path, given, ext, alone=alone)
    if source.is_stream:
        name = "stdin"
    else:
        name = Path(source.name).resolve().stem if source.file else Path(os.path.realpath(source.name)).name or "images"
    stem = f"{name}_{suffix}" if suffix else name
    path = path if below is None else path / below
    own = Path(source.name).suffix.lower().lstrip(".") if source.file is not None and not source.is_stream else ""
    extension = ext if ext != "auto" else own if own in CONTAINERS else "mp4"
    if extension in CONTAINERS and ext != "webp":
        return VideoTarget(path / f"{stem}.{extension}", CONTAINERS[extension])
    return VideoTarget(path / stem, IMAGES, extension)


def _named_target(path: Path, given: str, ext: str, *, alone: bool) -> VideoTarget:
    if not alone:
        raise UsageError(
            f"-o는 파일 이름이라 비디오 하나만 담을 수 있는데 입력이 여럿입니다: {path}\n"
            "  해결: -o에 폴더 이름을 주세요."
        )
    if given not in CONTAINERS:
        remedy = (
            f"이미지 시퀀스는 -o 폴더 --ext {given}로 만드세요."
            if is_image_name(path)
            else "mp4, mkv, mov, webm을 쓰세요. 폴더의 이름이면 끝에 /를 붙이세요."
        )
        raise UsageError(f"쓸 수 없는 형식입니다: {path}\n  해결: {remedy}")
    if ext != "auto" and CONTAINERS.get(ext) != CONTAINERS[given]:
        raise UsageError(f"-o의 확장자(.{given})와 --ext {ext}가 다릅니다.\n  해결: 하나만 주세요.")
    return VideoTarget(path, CONTAINERS[given])


def _refuse_conflicts(jobs: Iterable[VideoJob]) -> None:
    jobs = list(jobs)
    inputs = {identity(path): path for job in jobs for path in job.inputs}
    seen: dict[str, VideoJob] = {}
    for job in jobs:
        if job.target.path is None:
            continue
        key = identity(job.target.path)
        if key in inputs:
            raise UsageError(
                f"결과가 입력을 덮어씁니다: {inputs[key]}\n  해결: -o로 다른 폴더를 주거나 --suffix를 비우지 마세요."
            )
        if key in seen:
            raise UsageError(
                f"두 입력의 결과가 같은 파일이 됩니다: {seen[key].source.name}, {job.source.name}\n"
                f"  결과: {job.target.path}\n"
                "  해결: 파일 이름을 바꾸거나, -o를 달리하여 따로 실행하세요."
            )
        seen[key] = job


def check_preview_path(path: Path, others: Iterable[Path]) -> None:
    """미리보기를 쓸 수 있는 이름인지 일을 시작하기 전에 본다.

    Args:
        path: 미리보기의 경로.
        others: 입력과 결과와 보고서. 미리보기가 이들을 덮어쓰면 안 된다.

    Raises:
        UsageError: 이미지의 이름이 아니거나, 폴더가 없거나, 다른 파일과 같을 때.
    """
    if path.suffix.lower() not in writable_extensions() or path.is_dir():
        raise UsageError(
            f"미리보기는 이미지 파일이어야 합니다: {path}\n  해결: --preview에 .png로 끝나는 이름을 주세요."
        )
    if identity(path) in {identity(other) for other in others}:
        raise UsageError(f"미리보기가 다른 파일을 덮어씁니다: {path}\n  해결: --preview에 다른 이름을 주세요.")
    if not path.parent.is_dir():
        raise UsageError(f"미리보기의 폴더가 없습니다: {path.parent}\n  해결: 폴더를 만들거나 다른 경로를 주세요.")
