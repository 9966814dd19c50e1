"""한 편의 조각을, 서로 말하지 않고 따로 도는 실행들이 번호로 나누어 키운다(작업 배열).

실행마다 제 몫의 조각만 공유하는 작업 폴더에 놓고, 마지막 조각을 놓은 실행이 하나로 잇는다. 언제 시작하거나 죽어도 되고,
같은 몫을 다시 실행하면 남은 것만 한다.
"""

from __future__ import annotations

import logging
import time
from contextlib import ExitStack, closing
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from realesrgan.errors import UsageError
from realesrgan.util.files import exclusive_lock, hidden_beside, make_writable_folder
from realesrgan.video.settings import VideoResult
from realesrgan.video.workspace import write_errors

if TYPE_CHECKING:
    from realesrgan.media.video import VideoReader
    from realesrgan.video.image_sequence import ImageSequence
    from realesrgan.video.pipeline import VideoRun
    from realesrgan.video.upscale import Assignment, VideoTask
    from realesrgan.video.workspace import Workspace

logger = logging.getLogger(__name__)

_TURN_SECONDS = 0.2


def run_share(task: VideoTask) -> VideoResult:
    """제 몫의 조각을 키우고, 모든 조각이 놓였으면 하나로 잇는다.

    Args:
        task: 한 편의 일. 설정의 `shard_segments`가 몫이다. 하다 만 작업은 언제나 이어 한다.

    Returns:
        이었으면 `upscale_video`의 결과와 같다. 아직 다른 몫이 남았으면 상태가 `waiting`이고 프레임 수는 제 몫의 것이다.

    Raises:
        UsageError: 나눌 수 없는 일이거나, 같은 몫이 이미 돌고 있을 때.
        VideoWriteError: 결과의 폴더에 쓸 수 없을 때.
    """
    path, workspace = _check(task)
    index, count = task.settings.shard_segments
    preview = task.settings.preview if index == 0 else None
    task.settings = replace(task.settings, resume=True, preview=preview)
    with ExitStack() as stack:
        _lock(stack, path, hidden_beside(path, f"-{index}.lock"), f"{index}번째 몫")
        if (done := task.finished_before()) is not None:
            return done
        reader = stack.enter_context(closing(task.source.open()))
        work = _agreed_plan(task, reader)
        mine = tuple(one for one in work.remaining if one % count == index)
        run = task.upscale(work, reader, partial(next, iter(mine), None))
        return _conclude(task, work, run, workspace, path)


def _check(task: VideoTask) -> tuple[Path, Workspace]:
    path, workspace, settings = task.target.path, task.workspace, task.settings
    reason = ""
    if path is None or workspace is None or task.source.is_stream:
        reason = "표준 입력과 표준 출력은 여러 실행이 함께 볼 수 없습니다."
    elif task.processes is not None:
        reason = "torchrun의 프로세스들은 이미 조각을 나누어 맡습니다."
    elif settings.overwrite:
        reason = "어느 몫이 먼저 시작할지 몰라, 다른 몫이 만든 것까지 지우게 됩니다."
    if reason or path is None or workspace is None:
        raise UsageError(
            f"조각을 나눌 수 없습니다: {task.source.name}\n  이유: {reason}\n"
            "  해결: shard_segments(--shard_segments)를 빼거나, 파일을 쓰고 있던 결과는 먼저 옮기세요."
        )
    return path, workspace


def _lock(stack: ExitStack, target: Path, path: Path, what: str) -> None:
    with write_errors(f"결과 폴더에 쓸 수 없습니다: {target.parent}"):
        make_writable_folder(target.parent)
        locked = stack.enter_context(exclusive_lock(path))
    if not locked:
        raise UsageError(
            f"다른 프로세스가 {what}을 하고 있습니다: {target}\n  해결: 그것이 끝나기를 기다리거나 멈춘 뒤에 하세요."
        )


def _agreed_plan(task: VideoTask, reader: VideoReader | ImageSequence) -> Assignment:
    """모든 몫에 같은 계획. 함께 시작한 다른 실행이 먼저 정했으면 그 엔진과 타일을 따른다."""
    try:
        return task.assign(reader)
    except UsageError:
        if task.workspace is None or task.workspace.manifest() is None:
            raise
    return task.assign(reader)


def _turn(stack: ExitStack, workspace: Workspace, path: Path) -> bool:
    """이어 볼 차례를 기다린다. 저마다 제 조각을 놓은 다음에 보므로 마지막에 본 쪽은 모두 놓인 것을 안다.

    Returns:
        차례를 얻었으면 참, 그 앞에 다른 실행이 이었으면 거짓.
    """
    while workspace.manifest() is not None:
        with ExitStack() as trying:
            if trying.enter_context(exclusive_lock(hidden_beside(path, ".lock"))):
                stack.push(trying.pop_all())
                return workspace.manifest() is not None
        time.sleep(_TURN_SECONDS)
    return False


def _conclude(task: VideoTask, work: Assignment, run: VideoRun, workspace: Workspace, path: Path) -> VideoResult:
    from realesrgan.video.upscale import describe_runs

    mine = {record.index for record in run.records}
    alone = describe_runs(task, replace(work, done={}, frames_done=0), [run])
    if run.damage is not None:
        reason = (
            f"{run.damage}\n  깨진 곳이 있어 하나로 잇지 않았습니다.\n"
            "  해결: 지나 계속하려면 on_damage=continue(--on_damage continue)로 모든 몫을 처음부터 하고, "
            "앞부분만 남기려면 --shard_segments를 빼고 --resume으로 실행하세요."
        )
        return replace(alone, status="failed", reason=reason)
    with ExitStack() as stack:
        records = workspace.verified() if _turn(stack, workspace, path) else {}
        if records and len(records) == len(work.plan.spans):
            others = {number: record for number, record in records.items() if number not in mine}
            frames = sum(record.frames for record in others.values())
            return task.finish(replace(work, done=others, frames_done=frames), [run])
        left = len(work.plan.spans) - len(records)
    told = f"남은 조각 {left}개는 다른 몫이 합니다." if records else "다른 몫이 하나로 잇습니다."
    return replace(alone, status="waiting", reason=f"제 몫의 조각 {len(mine)}개를 마쳤습니다. {told}")
