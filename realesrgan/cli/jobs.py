"""무엇을 읽어 어디에 쓸지를 일을 시작하기 전에 모두 정한다."""

from __future__ import annotations

import glob
import logging
import os
import re
import shutil
import stat
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

from realesrgan.cli.arguments import STANDARD
from realesrgan.cli.console import is_absent
from realesrgan.errors import ImageReadError, UsageError
from realesrgan.media.formats import (
    FILE_SUFFIX,
    FORMATS,
    VIDEO_EXTENSIONS,
    animated_extensions,
    format_of_name,
    is_known_picture_name,
    is_writable_extension,
    output_extension,
    writable_extensions,
)
from realesrgan.media.image import ImageInfo, looks_like_picture, probe_image
from realesrgan.util.files import expand_user, identity, natural_key, os_reason
from realesrgan.util.numbers import Outscale, scaled_size
from realesrgan.util.optional import is_installed

logger = logging.getLogger(__name__)

STANDARD_INPUT = "표준 입력"
STANDARD_OUTPUT = "표준 출력"

# Windows가 어느 폴더에서도 파일의 이름으로 받지 않는 것.
_RESERVED = re.compile(r"(con|prn|aux|nul|com[0-9¹²³]|lpt[0-9¹²³]|conin\$|conout\$)\s*(\..*)?", re.IGNORECASE)

_OVERWRITES = "결과가 입력을 덮어씁니다: {} -> {}\n  해결: -o로 다른 폴더를 주거나 --suffix를 비우지 마세요."
EXISTING = "결과가 이미 있습니다."


@dataclass(frozen=True)
class Job:
    """이미지 하나를 키우는 일.

    Attributes:
        source: 읽을 파일. 파이프로 온 것이면 받아 적은 임시 파일이다.
        target: 쓸 파일. 표준 출력으로 내보낼 것이면 임시 파일이다.
        info: 머리만 읽어 아는 것. 읽지 못했으면 None.
        problem: 시작하기 전에 알게 된 실패의 이유. 없으면 None.
        skip: 키우지 않을 이유. 없으면 None.
        input, output: 입력과 결과의 보일 이름. 쓸 것이 없으면 결과는 빈 글이다.
        piped: 입력이 파이프로 온 것인지.
        to_stdout: 결과를 표준 출력으로 내보낼지.
        found: 폴더나 글롭에서 찾은 것인지. 아니면 사용자가 이름을 댄 것이다.
    """

    source: Path
    target: Path
    info: ImageInfo | None = None
    problem: str | None = None
    skip: str | None = None
    input: str = ""
    output: str = ""
    piped: bool = False
    to_stdout: bool = False
    found: bool = False

    @property
    def weight(self) -> int:
        """네트워크가 볼 픽셀 수. 알파 채널은 한 번 더 계산된다."""
        if self.info is None or self.skip is not None:
            return 0
        return self.info.width * self.info.height * self.info.frames * (2 if self.info.mode == "RGBA" else 1)

    @property
    def paths(self) -> tuple[Path, ...]:
        """사용자의 것인 파일들."""
        source = () if self.piped else (self.source,)
        return source if self.to_stdout or not self.output else (*source, self.target)

    def output_size(self, outscale: Outscale | None) -> tuple[int, int] | None:
        """결과의 `(너비, 높이)`, 픽셀. 입력을 읽지 못했거나 배율을 아직 모르면 None."""
        if self.info is None or outscale is None:
            return None
        return scaled_size(self.info.width, self.info.height, outscale)


@dataclass(frozen=True)
class _Source:
    """찾은 입력과, 결과 폴더 아래에 둘 상대 폴더. 나머지는 `Job`과 같다."""

    path: Path
    folder: Path = Path()
    problem: str | None = None
    skip: str | None = None
    label: str | None = None
    found: bool = False


def plan_jobs(
    inputs: Iterable[str],
    output: str,
    *,
    recursive: bool,
    suffix: str,
    ext: str,
    outscale: Outscale | None,
    skip_existing: bool = False,
    scratch: Callable[[], Path] | None = None,
) -> list[Job]:
    """입력을 모두 찾아 결과의 이름을 정한다.

    Args:
        inputs: 파일, 폴더, 글롭, 파이프, `-`(표준 입력).
        output: 결과 폴더. 입력이 파일 하나면 결과 파일이나 `-`(표준 출력)여도 된다.
        recursive: 하위 폴더까지 볼지.
        suffix: 결과 이름 뒤에 붙일 글자.
        ext: `auto`나 점 없는 확장자.
        outscale: 마지막 업스케일 배율이나 결과의 크기. 아직 모르면 None. 결과가 형식의 한도를 넘는지 미리 본다.
        skip_existing: 이미 있는 결과를 건드리지 않을지.
        scratch: 파이프로 오가는 이미지를 둘 임시 폴더를 주는 함수. 없으면 파이프를 쓸 수 없다.

    Returns:
        일의 목록. 읽을 수 없는 파일은 이유를 담은 채로 들어 있다.

    Raises:
        UsageError: 할 일이 없거나, 두 입력이 한 결과를 쓰거나, 결과가 입력이나 이미지가 아닌 파일을 덮어쓸 때.
    """
    inputs = list(inputs)
    folder = expand_user(output)
    sources = list({identity(one.path): one for text in inputs for one in _find(text, recursive, folder)}.values())
    wanted = [source for source in sources if source.skip is None]
    if not wanted:
        videos = [one for text in inputs for one in _videos_in(expand_user(text))]
        if videos and not sources:
            raise UsageError(
                f"키울 이미지가 없고 비디오만 있습니다: {', '.join(inputs)} ({_some(videos)})\n"
                f"  해결: 비디오 명령을 쓰세요: python inference_realesrgan_video.py -i {' '.join(inputs)}"
            )
        ignored = f"\n  지원하지 않는 이미지 {len(sources)}개: {_some(one.path for one in sources)}" if sources else ""
        raise UsageError(
            f"키울 이미지가 없습니다: {', '.join(inputs)}{ignored}\n"
            "  폴더에 이미지 파일이 없거나 글롭에 맞는 파일이 없습니다. 하위 폴더까지 보려면 --recursive를 주세요."
        )
    if len(sources) == len(inputs) == 1 and sources[0].problem is not None:
        raise UsageError(sources[0].problem)
    if any(source.label for source in sources):
        sources = [_received(sources, inputs, scratch)]
    fixed = _fixed_target(inputs, wanted, output)
    to_stdout = output == STANDARD
    folder = _outgoing_folder(wanted, inputs, scratch) if to_stdout else folder
    jobs = [_make_job(source, fixed, folder, suffix, ext, to_stdout) for source in sources]
    if len(jobs) > 1:
        jobs = _without_conflicts(_without_results(_renamed(jobs, suffix), outscale))
    elif jobs[0].problem is None and not jobs[0].piped and identity(jobs[0].target) == identity(jobs[0].source):
        raise UsageError(_OVERWRITES.format(jobs[0].source, jobs[0].target))
    jobs = [check_target(job, outscale, skip_existing) for job in jobs]
    if fixed is not None and len(jobs) == 1 and jobs[0].info is not None and jobs[0].problem is not None:
        raise UsageError(jobs[0].problem)
    return jobs


def _videos_in(folder: Path) -> list[Path]:
    """폴더에 바로 든 비디오들. 폴더가 아니거나 열 수 없으면 비어 있다."""
    with suppress(OSError):
        return sorted(path for path in folder.iterdir() if path.suffix.lower().lstrip(".") in VIDEO_EXTENSIONS)
    return []


def _some(paths: Iterable[Path]) -> str:
    names = [path.name for path in paths]
    return ", ".join(names[:3]) + (" 등" if len(names) > 3 else "")


def _find(text: str, recursive: bool, output: Path) -> Iterable[_Source]:
    """인자 하나가 뜻하는 입력들."""
    path = expand_user(text)
    label = None
    try:
        mode = stat.S_IFIFO if text == STANDARD else path.stat().st_mode
        if stat.S_ISDIR(mode):
            return _find_in_folder(path, recursive, output)
        device = path.parts[:2] == ("/", "dev")
        if text == STANDARD:
            path, label = Path("stdin"), STANDARD_INPUT
        elif stat.S_ISFIFO(mode) or (device and stat.S_ISREG(mode)):
            # /dev/stdin이나 프로세스 치환(/dev/fd/63)은 파일로 이어져 있어도 이름이 뜻이 없다.
            label = STANDARD_INPUT if device else str(path)
        problem = "파일이 아니라 장치나 소켓입니다.\n  해결: 이미지 파일이나 파이프를 주세요."
        problem = problem if not label and not stat.S_ISREG(mode) else ""
    except FileNotFoundError:
        if glob.has_magic(text):
            matches = sorted(set(_expand(Path(path.anchor), path.relative_to(path.anchor).parts)), key=natural_key)
            return [source for item in matches if (source := _judge(item, Path())) is not None]
        return [
            _Source(
                path,
                problem=f"입력이 없습니다: {path}\n  이유: 그런 파일이나 폴더가 없습니다.\n"
                "  해결: 경로와 파일 이름을 확인하세요.",
            )
        ]
    except OSError as error:
        problem = "{}\n  해결: {}".format(*os_reason(error))
    return [_Source(path, problem=f"입력을 열 수 없습니다: {path}\n  {problem}" if problem else None, label=label)]


def _expand(base: Path, parts: Sequence[str]) -> Iterator[Path]:
    """글롭을 한 마디씩 푼다. 글자 그대로의 이름이 있으면 그것이 먼저다(`[그룹] 1화/*.png`)."""
    if not parts:
        yield base
        return
    head, rest = parts[0], parts[1:]
    if os.path.lexists(base / head) or not glob.has_magic(head):
        names = [head] if os.path.lexists(base / head) else []
    else:
        # 대괄호로 아무것도 찾지 못하면 대괄호를 글자로 본다(`[그룹] *.png`).
        tries = (head, head.replace("[", "[[]"))
        names = next((found for one in tries if (found := glob.glob(one, root_dir=base, recursive=True))), [])  # noqa: PTH207
        if head == "**" and rest:
            names = ["", *names]
    for name in names:
        if not rest or os.path.isdir(base / name):  # noqa: PTH112
            yield from _expand(base / name, rest)


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
        # 점으로 시작하는 파일은 운영체제가 남긴 것(._photo.jpg 등)이지 이미지가 아니다.
        judged = (_judge(Path(top) / name, relative) for name in names if not name.startswith("."))
        found.extend(source for source in judged if source is not None)
    return sorted(found, key=lambda source: natural_key(source.path))


def _judge(path: Path, folder: Path) -> _Source | None:
    """폴더나 글롭에서 찾은 파일이 키울 이미지인지, 말하고 건너뛸 이미지인지, 이미지가 아닌지(None) 본다."""
    named = format_of_name(path) is not None
    try:
        mode = path.stat().st_mode
    except OSError:
        # 왜 열 수 없는지는 머리를 읽을 때 말한다.
        return _Source(path, folder, found=True) if named else None
    if stat.S_ISDIR(mode):
        return None
    skip = None
    if not stat.S_ISREG(mode):
        if not named:
            return None
        skip = "이미지 파일이 아니라 파이프, 장치, 소켓 같은 특수 파일입니다."
    elif not named and is_known_picture_name(path):
        skip = f"지원하지 않는 형식입니다({path.suffix}).\n해결: PNG나 TIFF로 바꾸어 저장한 뒤 다시 하세요."
    elif not named:
        if not looks_like_picture(path):
            return None
        skip = (
            "내용은 이미지인데 이름에 이미지의 확장자가 없습니다.\n해결: 확장자를 붙이거나 -i에 이 파일을 직접 주세요."
        )
    return _Source(path, folder, skip=skip, found=True)


def _received(sources: Sequence[_Source], inputs: Sequence[str], scratch: Callable[[], Path] | None) -> _Source:
    """파이프로 오는 이미지를 임시 파일에 받는다. 형식을 알아내려면 되감아 읽을 수 있어야 한다."""
    source = sources[0]
    if len(inputs) > 1 or scratch is None:
        raise UsageError("표준 입력과 파이프는 다른 입력과 함께 줄 수 없습니다.\n  해결: 입력을 하나만 주세요.")
    standard = source == _Source(Path("stdin"), label=STANDARD_INPUT)
    if standard and (sys.stdin is None or sys.stdin.closed or sys.stdin.isatty()):
        raise UsageError(
            "표준 입력으로 오는 이미지가 없습니다.\n  해결: 파이프로 넘기거나(< photo.jpg) -i에 파일을 주세요."
        )
    spooled = scratch() / "stdin"
    try:
        with spooled.open("wb") as file:
            if standard:
                shutil.copyfileobj(sys.stdin.buffer, file)
            else:
                with source.path.open("rb") as pipe:
                    shutil.copyfileobj(pipe, file)
    except OSError as error:
        reason, remedy = os_reason(error)
        raise UsageError(f"입력을 받지 못했습니다: {source.label}\n  {reason}\n  해결: {remedy}") from error
    return replace(source, path=spooled)


def _outgoing_folder(sources: Sequence[_Source], inputs: Sequence[str], scratch: Callable[[], Path] | None) -> Path:
    """표준 출력으로 내보낼 이미지를 만들 임시 폴더."""
    if len(sources) > 1 or len(inputs) > 1 or scratch is None:
        raise UsageError(
            "표준 출력(-)에는 이미지 하나만 쓸 수 있습니다.\n  해결: 입력을 하나만 주거나 -o에 폴더를 주세요."
        )
    if is_absent(sys.stdout) or sys.stdout.isatty():
        raise UsageError(
            "표준 출력으로 이미지를 내보낼 곳이 없습니다. 닫혀 있거나 터미널입니다.\n"
            "  해결: 파일이나 파이프로 넘기거나(> photo_4x.png) -o에 파일 이름을 주세요."
        )
    return scratch()


def _fixed_target(inputs: Sequence[str], sources: Sequence[_Source], text: str) -> Path | None:
    """`-o`가 파일 이름이면 그 경로를, 폴더면 None을 돌려준다."""
    output = expand_user(text)
    extension = output.suffix.lower()
    # Path.is_dir은 너무 긴 이름에서 예외를 낸다.
    if not extension or os.path.isdir(output) or text.endswith(("/", os.sep)):  # noqa: PTH112
        return None
    known = format_of_name(output)
    # 이미지 하나의 결과에 확장자가 있으면 파일을 뜻한 것이다. 잘못 적은 확장자(`out.pgn`)의 폴더를 만들지 않는다.
    alone = len(inputs) == len(sources) == 1 and not sources[0].found and FILE_SUFFIX.fullmatch(extension)
    if known is None and not alone and not is_known_picture_name(output):
        return None
    package = known.package if known is not None else None
    if known is None or not known.writable or (package and not is_installed(package[0])):
        raise UsageError(
            f"쓸 수 없는 형식입니다: {output}\n"
            f"  쓸 수 있는 형식: {' '.join(writable_extensions())}\n"
            + (
                f"  해결: 이 형식을 쓰려면 pip install {package[1]} 를 실행하세요."
                if package
                else "  해결: 이 가운데 하나로 이름을 바꾸세요. 폴더의 이름이면 끝에 /를 붙이세요."
            )
        )
    if len(sources) > 1 or os.path.isdir(expand_user(inputs[0])):  # noqa: PTH112
        raise UsageError(
            f"-o {output}: 파일 이름이라 이미지 하나만 담을 수 있는데 입력이 여럿이거나 폴더입니다.\n"
            "  해결: -o에 폴더 이름을 주세요."
        )
    return output


def _make_job(source: _Source, fixed: Path | None, output: Path, suffix: str, ext: str, to_stdout: bool) -> Job:
    info, problem = None, source.problem
    if problem is None and source.skip is None:
        try:
            info = probe_image(source.path)
        except ImageReadError as error:
            problem = _explained(str(error), source)
    target = fixed
    if target is None:
        stem = source.path.stem if not source.label or source.label == STANDARD_INPUT else Path(source.label).stem
        own = source.path.suffix.lower()
        if info is not None and (source.label or to_stdout) and not is_writable_extension(own):
            own = next(item.extensions[0] for item in FORMATS if item.name == info.format)
        name = f"{f'{stem}_{suffix}' if suffix else stem}.{output_extension(own, info, ext)}"
        target = output / source.folder / name
    return Job(
        source.path,
        target,
        info,
        problem,
        source.skip,
        input=source.label or str(source.path),
        output=STANDARD_OUTPUT if to_stdout else "" if source.skip else str(target),
        piped=source.label is not None,
        to_stdout=to_stdout,
        found=source.found,
    )


def _explained(problem: str, source: _Source) -> str:
    """읽지 못한 이유. 이름으로 아는, 지원하지 않는 형식이면 그렇게 말한다."""
    if source.path.suffix.lower().lstrip(".") in VIDEO_EXTENSIONS:
        problem = (
            f"이미지가 아니라 비디오입니다: {source.path}\n  이유: 이 명령은 사진과 일러스트를 키웁니다.\n"
            f"  해결: 비디오 명령을 쓰세요: python inference_realesrgan_video.py -i {source.path}"
        )
    elif format_of_name(source.path) is None and is_known_picture_name(source.path):
        problem = (
            f"이미지를 읽지 못했습니다: {source.path}\n  이유: 지원하지 않는 형식입니다({source.path.suffix}).\n"
            "  해결: PNG나 TIFF로 바꾸어 저장한 뒤 다시 하세요."
        )
    return problem.replace(str(source.path), source.label) if source.label else problem


def _renamed(jobs: list[Job], suffix: str) -> list[Job]:
    """한 폴더에서 찾은, 확장자만 다른 이미지들(`logo.png`, `logo.webp`)의 결과가 같은 이름이 되지 않게 한다.

    결과와 확장자가 같은 하나가 본래의 이름을 갖고, 나머지는 제 확장자를 이름에 더한다(`logo_webp_out.png`).
    """
    groups: dict[tuple[str, Path], list[int]] = {}
    for index, job in enumerate(jobs):
        if job.found and job.problem is None and job.skip is None:
            groups.setdefault((identity(job.target), job.source.parent), []).append(index)
    renamed = list(jobs)
    for indices in groups.values():
        if len(indices) == 1:
            continue

        # 확장자가 그대로인 것, 대소문자만 다른 것의 차례로 본래의 이름을 가질 하나를 고른다.
        def distance(index: int) -> int:
            own, target = jobs[index].source.suffix, jobs[index].target.suffix
            return 0 if own == target else 1 if own.lower() == target.lower() else 2

        keeper = min(indices, key=distance)
        for index in indices:
            if index != keeper or distance(keeper) == 2:
                job = jobs[index]
                parts = [job.source.stem, job.source.suffix.lstrip("."), *([suffix] if suffix else [])]
                target = job.target.with_name("_".join(parts) + job.target.suffix)
                renamed[index] = replace(job, target=target, output=str(target))
    return renamed


def _without_results(jobs: list[Job], outscale: Outscale | None) -> list[Job]:
    """앞선 실행의 결과를 입력에서 뺀다. 입력 폴더가 곧 결과 폴더여도 되풀이할 수 있다.

    다른 입력의 결과가 될 이름이고 크기도 그 입력을 키운 것이면 결과로 본다. 이름만 같은 원본을 덮어쓰지 않기 위해서다.
    """
    makers = {identity(job.target.with_suffix("")): job for job in jobs if job.skip is None and job.problem is None}
    kept: list[Job] = []
    results: list[Job] = []
    for job in jobs:
        maker = None
        if job.skip is None and not job.piped:
            maker = makers.get(identity(job.source.with_suffix("")))
        is_result = maker is not None and maker.source != job.source and _made_from(job, maker, outscale)
        (results if is_result else kept).append(job)
    if results:
        names = _some(job.source for job in results)
        logger.warning("앞선 실행의 결과로 보이는 %d개는 다시 키우지 않습니다: %s", len(results), names)
    return kept


def _made_from(job: Job, maker: Job, outscale: Outscale | None) -> bool:
    """`job`의 입력이 앞선 실행에서 `maker`를 키워 쓴 것인지."""
    same = identity(maker.target) == identity(job.source)
    if job.info is None or maker.info is None:
        return same and job.found
    size, before = (job.info.width, job.info.height), (maker.info.width, maker.info.height)
    if not job.found:
        return same and size == maker.output_size(outscale)
    wide, high = size[0] / before[0], size[1] / before[1]
    enlarged = abs(wide - high) <= 1 / before[0] + 1 / before[1]
    return enlarged and (size != before or outscale is None or outscale == 1)


def _without_conflicts(jobs: list[Job]) -> list[Job]:
    """결과가 입력을 덮어쓰거나 두 결과가 한 파일이 되는 것을 막는다. 폴더에서 찾은 것이면 그 파일만 실패로 한다."""
    inputs = {identity(job.source): job.source for job in jobs if not job.piped}
    seen: dict[str, Job] = {}
    checked = []
    for job in jobs:
        if job.problem is not None or job.skip is not None:
            checked.append(job)
            continue
        key = identity(job.target)
        problem = None
        if key in inputs:
            problem = _OVERWRITES.format(job.source, job.target)
        elif key in seen:
            problem = (
                f"두 입력의 결과가 같은 파일이 됩니다: {seen[key].source}, {job.source} -> {job.target}\n"
                "  해결: 파일 이름을 바꾸거나, -o를 달리하여 따로 실행하세요."
            )
        if problem is not None and not (job.found and key in inputs and key != identity(job.source)):
            raise UsageError(problem)
        seen[key] = job
        checked.append(replace(job, problem=problem))
    return checked


def check_target(job: Job, outscale: Outscale | None, skip_existing: bool = False) -> Job:
    """결과를 그 이름과 형식으로 쓸 수 있는지, 이미 있어 건너뛸 것인지 보고 이유를 적는다. 오래 계산하기 전에 안다.

    이미 있는 이미지와 빈 파일은 덮어쓴다.

    Args:
        job: 일.
        outscale: 마지막 업스케일 배율이나 결과의 크기. 모르면 None이고 크기는 보지 않는다.
        skip_existing: 이미 있는 결과를 건드리지 않을지.
    """
    target = format_of_name(job.target)
    if target is None or job.info is None or job.problem is not None or job.skip is not None:
        return job
    found, taken = None, ""
    with suppress(OSError):
        found = job.target.stat()
    if found is not None and not skip_existing:
        if not stat.S_ISREG(found.st_mode):
            taken = "폴더가" if stat.S_ISDIR(found.st_mode) else "파일이 아니라 장치나 소켓이"
        elif found.st_size > 0 and not looks_like_picture(job.target):
            taken = "이미지가 아닌 파일이"
    size = None if outscale is None else scaled_size(job.info.width, job.info.height, outscale)
    if (why := forbidden_name(job.target.name)) is not None:
        remedy = "-o에 파일 이름을 주거나, 입력의 이름이나 --suffix를 바꾸세요."
    elif found is not None and skip_existing:
        return replace(job, skip=EXISTING)
    elif taken:
        why = f"그 자리에 {taken} 있습니다."
        remedy = "그 파일을 옮기거나, -o나 --suffix로 다른 이름을 주세요."
    elif size is not None and max(size) > target.max_side:
        why = f"결과 {size[0]:,}x{size[1]:,}: {job.target.suffix}의 한 변 한도 {target.max_side:,}픽셀을 넘습니다."
        remedy = "--ext png를 주거나 -s를 줄이세요."
    elif job.info.pages and target.name != "TIFF":
        why = f"{job.info.frames}쪽의 TIFF를 {job.target.suffix}에는 담을 수 없습니다."
        remedy = "--ext tif 를 쓰거나, 쪽을 나누어 저장한 뒤 다시 하세요."
    elif job.info.frames > 1 and not job.info.pages and not target.animation:
        why = f"{job.info.frames}프레임의 애니메이션을 {job.target.suffix}에는 담을 수 없습니다."
        remedy = f"애니메이션을 담는 형식을 쓰세요: {' '.join(animated_extensions())}"
    else:
        return job
    return replace(job, problem=f"결과를 쓸 수 없습니다: {job.target}\n  {why}\n  해결: {remedy}")


def forbidden_name(name: str, windows: bool = sys.platform == "win32") -> str | None:
    """파일을 만들 수 없는 이름이면 그 이유.

    Args:
        name: 폴더를 뺀 이름.
        windows: Windows의 규칙도 볼지.
    """
    length = len(name.encode("utf-16-le", "surrogatepass")) // 2 if windows else len(os.fsencode(name))
    if length > 255:
        unit = "자" if windows else "바이트"
        return f"이름이 너무 깁니다. {length}{unit}로, 파일 이름의 한도 255{unit}를 넘습니다."
    if windows and _RESERVED.fullmatch(name):
        return "Windows가 장치의 이름으로 쓰는 이름입니다(con, nul 등)."
    if windows and (bad := sorted(set(re.findall(r'[<>:"/\\|?*\x00-\x1f]', name)))):
        return f"Windows의 파일 이름에 쓸 수 없는 글자가 있습니다: {' '.join(map(ascii, bad))}"
    if windows and name != name.rstrip(". "):
        return "Windows의 파일 이름은 점이나 공백으로 끝날 수 없습니다."
    return None
