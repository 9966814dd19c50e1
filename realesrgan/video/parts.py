"""화면의 모양이 바뀌는 곳마다 비디오를 나누어 저마다의 결과로 만든다(`on_change="split"`)."""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import partial
from itertools import pairwise
from typing import Any

from realesrgan.errors import UsageError
from realesrgan.video.plan import reset_note
from realesrgan.video.settings import (
    Progress,
    VideoProgress,
    VideoResult,
    VideoSettings,
    VideoSource,
    VideoTarget,
    refuse_existing,
)


@dataclass(frozen=True)
class Part:
    """화면의 모양이 한결같은 구간 `start <= 시각 < end`(초, None은 처음과 끝)와 거기 든 프레임 수의 어림."""

    start: Fraction | None
    end: Fraction | None
    frames: int


MOST_PARTS = 99


def find_parts(source: VideoSource, target: VideoTarget, settings: VideoSettings) -> tuple[Part, ...]:
    """화면의 모양이 바뀌는 곳마다 나눈 구간들. 끝까지 디코딩해 찾는다. 이미지들은 모양이 모두 같아 하나다.

    Raises:
        UsageError: 표준 입력이나 출력이거나, 너무 자주 바뀌거나, 나눌 결과가 이미 있을 때.
    """
    if source.is_stream or target.path is None:
        raise UsageError(
            "표준 입력과 표준 출력은 나눌 수 없습니다.\n"
            "  이유: 나눌 곳을 먼저 찾으려면 두 번 읽어야 하고, 결과가 여럿입니다.\n"
            "  해결: 파일로 저장해 쓰거나 --on_change scale을 쓰세요."
        )
    if source.images or source.is_animation:
        return (Part(settings.start, settings.end, 0),)
    with closing(source.open()) as reader:
        info, index = reader.info, reader.packet_index()
        seconds = [(pts - info.start) * info.time_base for pts in reader.shape_changes()]  # type: ignore[union-attr]
        places = [(pts - info.start) * info.time_base for pts in index.pts]
    if seconds and index.resets:
        reset_note(info, index, cut=True)
    first, last = settings.start or Fraction(0), settings.end
    inside = [cut for cut in seconds if cut > first and (last is None or cut < last)]
    if len(inside) >= MOST_PARTS:
        raise UsageError(
            f"화면의 모양이 너무 자주 바뀝니다: {source.name} ({len(inside)}번)\n"
            f"  이유: {MOST_PARTS}개까지만 나눕니다. 깨진 비디오일 수 있습니다.\n"
            "  해결: --on_change scale로 처음의 모양에 맞추세요."
        )
    bounds = [settings.start, *inside, last]
    parts = tuple(
        Part(begin, end, bisect_left(places, end or (places[-1] + 1)) - bisect_left(places, begin or 0))
        for begin, end in pairwise(bounds)
    )
    for number in range(1, len(parts) + 1 if len(parts) > 1 else 0):
        place = target.part(number).path
        if place is not None and place.exists():
            refuse_existing(place, target.container, allowed=settings.overwrite or settings.resume)
    return parts


def upscale_parts(
    parts: Sequence[Part],
    target: VideoTarget,
    settings: VideoSettings,
    progress: Progress | None,
    upscale: Callable[..., VideoResult],
) -> VideoResult:
    """나눈 구간마다 결과 하나를 만들고 한 결과로 모은다. 깨진 곳에서 그치기로 했으면 그 뒤의 구간은 하지 않는다.

    Args:
        parts: 구간들.
        target: 나누지 않았을 때의 결과.
        settings, progress: `upscale_video`의 인자와 같다.
        upscale: `upscale_video`처럼 `(결과, settings=, progress=)`를 받아 한 구간을 키우는 함수.
    """
    made: list[VideoResult] = []
    total = sum(part.frames for part in parts)
    for number, part in enumerate(parts, 1):
        alone = replace(settings, on_change="stop", start=part.start, end=part.end)
        before = sum(one.frames for one in parts[: number - 1])
        told = None if progress is None else partial(_report, progress, before, total)
        made.append(upscale(target.part(number), settings=alone, progress=told))
        if made[-1].status == "failed" and settings.on_damage == "stop":
            break
    return _merged(made)


def _report(progress: Progress, before: int, total: int, now: VideoProgress) -> None:
    progress(replace(now, frames=before + now.frames, resumed=before + now.resumed, total=total))


def _merged(made: Sequence[VideoResult]) -> VideoResult:
    """나눈 결과들을 하나로 모은다. 크기와 인코딩은 이번에 한 첫째의 것이다."""
    first = next((one for one in made if one.status != "skipped"), made[0])
    reasons = [one.reason for one in made if one.reason and one.status != "skipped"]
    counts: Counter[str] = Counter()
    for one in made:
        counts.update(one.counts)
    return replace(
        first,
        output=made[0].output,
        status=next((one.status for one in made if one.status == "failed"), first.status),
        frames=sum(one.frames for one in made),
        repeats=sum(one.repeats for one in made),
        resumed=sum(one.resumed for one in made),
        stages=_added_stages([one.stages for one in made if one.stages]),
        counts=dict(counts),
        reason="\n".join(reasons) or first.reason,
        notes=tuple(dict.fromkeys(note for one in made for note in one.notes)),
        parts=tuple(one.output for one in made),
        holes=tuple(hole for one in made for hole in one.holes),
    )


def _added_stages(stages: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """단계마다의 시간의 합. 작업자 수 같은 것은 첫째의 것이다."""
    if not stages:
        return {}
    timed = {
        name: {kind: round(sum(one[name][kind] for one in stages), 3) for kind in value}
        for name, value in stages[0].items()
        if isinstance(value, dict)
    }
    return {**stages[0], **timed, "wall": round(sum(one["wall"] for one in stages), 3)}
