"""어떤 비디오를 읽어 어디에 쓸지를 일을 시작하기 전에 모두 정한다."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path

from realesrgan.cli.video_arguments import FILE_FORMATS, STANDARD
from realesrgan.errors import UsageError
from realesrgan.media.formats import is_image_name, writable_extensions
from realesrgan.util.files import expand_user, identity, natural_key, os_reason
from realesrgan.video.film import PICTURES, VideoSource, VideoTarget
from realesrgan.video.pictures import is_replaceable
from realesrgan.video.spool import SpooledInput
from realesrgan.video.workspace import Workspace, workspace_folder

# 폴더에서 비디오로 볼 확장자. 파일을 바로 주면 확장자와 상관없이 연다.
_NAMES = (
    "3g2 3gp asf avi dv f4v flv gxf m2ts m2v m4v mkv mov mp4 mpeg mpg mts mxf nut ogm ogv qt rm rmvb ts vob webm "
    "wmv y4m"
)
VIDEO_EXTENSIONS = frozenset(_NAMES.split())
CONTAINERS = {"mp4": "mp4", "m4v": "mp4", "mkv": "matroska", "mov": "mov", "qt": "mov", "webm": "webm"}
STREAMS = {"nut": "nut", "y4m": "yuv4mpegpipe"}


@dataclass(frozen=True)
class VideoJob:
    """비디오 한 편을 키우는 일.

    Attributes:
        source: 입력.
        target: 결과.
        problem: 시작하기 전에 알게 된 실패의 이유. 없으면 None.
        finished: 이어 하려는데 결과가 이미 있고 남은 일이 없는지.
    """

    source: VideoSource
    target: VideoTarget
    problem: str | None = None
    finished: bool = False

    @property
    def paths(self) -> list[Path]:
        """입력과 결과의 경로. 표준 입력과 출력은 빠진다."""
        return _paths(self.source) + ([] if self.target.path is None else [self.target.path])


def plan_videos(
    inputs: Sequence[str],
    output: str,
    *,
    suffix: str,
    ext: str,
    fps: Fraction | None = None,
    resume: bool = False,
    overwrite: bool = False,
    dry_run: bool = False,
) -> list[VideoJob]:
    """입력을 모두 찾아 결과의 이름을 정한다.

    Args:
        inputs: 파일, 폴더, 또는 `-`(표준 입력).
        output: 결과 폴더, 입력이 하나면 결과 파일, 또는 `-`(표준 출력).
        suffix: 결과 이름 뒤에 붙일 글자.
        ext: `auto`나 점 없는 확장자. 이미지의 형식이면 결과는 이미지가 든 폴더다.
        fps: 이미지 시퀀스를 읽을 속도. None이면 기본.
        resume: 남은 일을 이어 할지.
        overwrite: 있는 결과를 새로 만들지.
        dry_run: 보이기만 할지. 있는 결과를 따지지 않고 아무것도 쓰지 않는다.

    Returns:
        일의 목록. 할 수 없는 것은 이유를 담은 채로 들어 있다.

    Raises:
        UsageError: 할 일이 없거나, 두 입력이 한 결과를 쓰거나, 결과가 입력을 덮어쓸 때.
    """
    sources = [source for text in inputs for source in _find(text, fps, expand_user(output))]
    if not sources:
        raise UsageError(f"키울 비디오가 없습니다: {', '.join(inputs)}\n  폴더에 비디오나 이미지가 없습니다.")
    jobs = [VideoJob(source, _target(source, output, suffix, ext, alone=len(sources) == 1)) for source in sources]
    jobs = _without_results(jobs, inputs)
    _refuse_conflicts(jobs)
    jobs = [_guarded(job, keep=not dry_run) for job in jobs]
    jobs = [_judged(job, resume=resume, allowed=overwrite or dry_run) for job in jobs]
    if len(jobs) == 1 and jobs[0].problem is not None:
        raise UsageError(jobs[0].problem)
    return jobs


def _find(text: str, fps: Fraction | None, output: Path) -> list[VideoSource]:
    if text == STANDARD:
        return [VideoSource("표준 입력", file=sys.stdin.buffer)]
    path = expand_user(text)
    try:
        if path.is_dir():
            return _find_in_folder(path, fps, output)
    except OSError as error:
        reason, remedy = os_reason(error)
        raise UsageError(f"입력을 열 수 없습니다: {path}\n  {reason}\n  해결: {remedy}") from error
    if not path.exists():
        raise UsageError(f"입력이 없습니다: {path}\n  경로와 파일 이름을 확인하세요.")
    if is_image_name(path):
        raise UsageError(
            f"이미지 파일은 비디오가 아닙니다: {path}\n"
            "  해결: 사진 명령(python inference_realesrgan.py)으로 키우거나, 이미지가 차례대로 든 폴더를 주세요.\n"
            "  사진 명령은 움직이는 이미지(gif, apng, webp, avif)의 프레임과 시간도 지킵니다."
        )
    return [VideoSource(str(path), file=path)]


def _find_in_folder(folder: Path, fps: Fraction | None, output: Path) -> list[VideoSource]:
    """폴더의 비디오들, 또는 이미지들을 모은 비디오 하나."""
    # 결과 파일이 입력 폴더 안에 있으면 지난번의 결과를 입력으로 삼지 않는다.
    made = identity(output)
    listed = (item for item in folder.iterdir() if not item.name.startswith(".") and identity(item) != made)
    entries = sorted(listed, key=natural_key)
    files = [item for item in entries if item.is_file()]
    videos = [item for item in files if item.suffix.lower().lstrip(".") in VIDEO_EXTENSIONS]
    pictures = tuple(item for item in files if is_image_name(item))
    if videos and pictures:
        raise UsageError(
            f"폴더에 비디오 {len(videos)}개와 이미지 {len(pictures)}장이 함께 있습니다: {folder}\n"
            "  이미지를 한 편의 비디오로 볼지 알 수 없습니다.\n"
            "  해결: 비디오 파일의 이름을 직접 주거나 폴더를 나누세요."
        )
    if pictures:
        return [VideoSource(str(folder), pictures=pictures, rate=fps)]
    return [VideoSource(str(video), file=video) for video in videos]


def _target(source: VideoSource, output: str, suffix: str, ext: str, *, alone: bool) -> VideoTarget:
    if output == STANDARD:
        if not alone:
            raise UsageError("표준 출력(-)에는 비디오 하나만 쓸 수 있습니다.\n  해결: 입력을 하나만 주세요.")
        return VideoTarget(None, STREAMS["nut" if ext == "auto" else ext])
    path = expand_user(output)
    given = path.suffix.lower().lstrip(".")
    if not path.is_dir() and given and (given in CONTAINERS or given in VIDEO_EXTENSIONS or is_image_name(path)):
        return _named_target(path, given, ext, alone=alone)
    name = "stdin" if source.is_stream else Path(source.name).resolve().stem if source.file else _folder_name(source)
    stem = f"{name}_{suffix}" if suffix else name
    extension = "mp4" if ext == "auto" else ext
    if extension in FILE_FORMATS:
        return VideoTarget(path / f"{stem}.{extension}", CONTAINERS[extension])
    return VideoTarget(path / stem, PICTURES, extension)


def _folder_name(source: VideoSource) -> str:
    return Path(os.path.realpath(source.name)).name or "pictures"


def _named_target(path: Path, given: str, ext: str, *, alone: bool) -> VideoTarget:
    if not alone:
        raise UsageError(
            f"-o {path}은(는) 파일 이름이라 비디오 하나만 담을 수 있는데 입력이 여럿입니다.\n"
            "  해결: -o에 폴더 이름을 주세요."
        )
    if given not in CONTAINERS:
        remedy = (
            f"이미지 시퀀스는 -o 폴더 --ext {given}로 만드세요."
            if is_image_name(path)
            else "mp4, mkv, mov, webm을 쓰세요."
        )
        raise UsageError(f"쓸 수 없는 형식입니다: {path}\n  해결: {remedy}")
    if ext != "auto" and CONTAINERS.get(ext) != CONTAINERS[given]:
        raise UsageError(f"-o의 확장자(.{given})와 --ext {ext}가 다릅니다.\n  해결: 하나만 주세요.")
    return VideoTarget(path, CONTAINERS[given])


def _without_results(jobs: Sequence[VideoJob], inputs: Sequence[str]) -> list[VideoJob]:
    """폴더에서 찾은 것 가운데 다른 입력의 결과인 것을 뺀다. 입력 폴더가 곧 결과 폴더여도 되풀이할 수 있다."""
    named = {identity(expand_user(text)) for text in inputs if text != STANDARD}
    results = {
        identity(path)
        for job in jobs
        if job.target.path is not None
        for path in (job.target.path, job.target.partial_path)
    }
    return [job for job in jobs if not {identity(path) for path in _paths(job.source)} & (results - named)]


def _guarded(job: VideoJob, *, keep: bool) -> VideoJob:
    """표준 입력을 감싼다. 파일로 만들 때는 소리를 꺼낼 수 있게 적어 두며 읽는다."""
    if not job.source.is_stream:
        return job
    to_video = keep and job.target.path is not None and job.target.container != PICTURES
    folder = job.target.path.parent if to_video and job.target.path is not None else None
    spool = SpooledInput(job.source.file, folder)  # type: ignore[arg-type]
    return replace(job, source=replace(job.source, file=spool))  # type: ignore[arg-type]


def _judged(job: VideoJob, *, resume: bool, allowed: bool) -> VideoJob:
    """이미 있는 결과를 어떻게 할지 정한다. 이어 할 것이 없는데 결과가 있으면 이미 끝난 것이다."""
    path = job.target.path
    if resume and path is not None and path.exists():
        if Workspace(workspace_folder(path)).manifest() is None:
            return replace(job, finished=True)
        allowed = True
    return replace(job, problem=_existing(job.target, allowed))


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


def _existing(target: VideoTarget, allowed: bool) -> str | None:
    """이미 있는 결과를 어떻게 할지 말하지 않았으면 그 이유."""
    path = target.path
    if path is None or not path.exists():
        return None
    if target.container != PICTURES and path.is_dir():
        return f"결과의 자리에 폴더가 있습니다: {path}\n  해결: -o에 다른 이름을 주세요."
    if target.container == PICTURES and (not path.is_dir() or not is_replaceable(path)):
        return f"결과의 자리에 다른 파일이 있습니다: {path}\n  해결: -o나 --suffix로 다른 이름을 주세요."
    if allowed:
        return None
    return f"결과가 이미 있습니다: {path}\n  해결: --overwrite로 새로 만들거나, -o나 --suffix로 다른 이름을 주세요."


def _refuse_conflicts(jobs: Iterable[VideoJob]) -> None:
    jobs = list(jobs)
    inputs = {identity(path): path for job in jobs for path in _paths(job.source)}
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


def _paths(source: VideoSource) -> list[Path]:
    if source.pictures:
        return [Path(source.name), *source.pictures]
    return [] if source.is_stream else [Path(source.name)]
