"""키우지 않고 무엇을 할지와 걸릴 시간을 보인다."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from realesrgan.cli.film_preview import VideoPreview
from realesrgan.cli.film_worker import VideoWorker
from realesrgan.cli.films import VideoJob
from realesrgan.cli.video_progress import describe_seconds
from realesrgan.errors import RealESRGANError, UsageError, VideoReadError
from realesrgan.media.video import VideoFrame
from realesrgan.video.film import VideoPlan, plan_video
from realesrgan.video.workers import Worker, WorkerPlan, make_workers


def show_plan(jobs: Sequence[VideoJob], worker: VideoWorker, tell: Callable[[str], None]) -> bool:
    """비디오마다의 계획을 보인다. `--preview`가 있으면 첫 프레임을 키워 적는다.

    Returns:
        모두 할 수 있는 일이면 참.
    """
    fine = True
    for index, job in enumerate(jobs, 1):
        head = f"[{index}/{len(jobs)}] {job.source.name} -> {job.target.path or '표준 출력'}"
        try:
            if job.problem is not None:
                raise UsageError(job.problem)
            tell(f"{head}\n{_describe(job, worker)}")
        except RealESRGANError as error:
            fine = False
            tell(f"{head}\n    " + str(error).replace("\n", "\n    "))
        finally:
            job.source.close()
    return fine


def _describe(job: VideoJob, worker: VideoWorker) -> str:
    with job.source.open() as reader:
        plan = plan_video(job.source, job.target, worker.settings, reader)
        workers = worker.worker_plan(plan)
        frame = next(iter(reader.frames(plan.start, plan.end)), None)
    if frame is None:
        raise VideoReadError(f"구간에서 프레임을 하나도 풀지 못했습니다: {job.source.name}\n  해결: 구간을 확인하세요.")
    info, encoding = plan.info, plan.encoding
    seconds = _measure(frame, plan, workers, worker)
    count = "알 수 없음" if plan.frames is None else f"{plan.frames}"
    lines = [
        f"{info.display_size[0]}x{info.display_size[1]} {info.layout.pix_fmt}, {float(info.rate):.3f}fps, "
        f"프레임 {count}, 조각 {len(plan.spans)}개",
        f"-> {encoding.width}x{encoding.height} {encoding.layout.pix_fmt}, {encoding.codec}, {encoding.container}",
        f"작업자 {workers.workers}, 스레드 {workers.threads}, 배치 {workers.batch}, "
        f"타일 {workers.tile or '통째'}, 프레임마다 {seconds:.2f}초",
    ]
    if plan.frames is not None:
        lines.append(f"네트워크에만 약 {describe_seconds(plan.frames * seconds)}")
    lines += [f"알림: {note}" for note in plan.warnings]
    return "\n".join(f"    {line}" for line in lines)


def _measure(frame: VideoFrame, plan: VideoPlan, workers: WorkerPlan, worker: VideoWorker) -> float:
    """첫 프레임을 키워 프레임 하나에 드는 벽시계 시간(초)을 어림한다. 작업자들이 나누어 하는 것을 셈한다."""
    made: list[Worker] = make_workers(
        worker.upsamplers,
        workers,
        plan.source_format,
        plan.target_format,
        rotation=plan.info.rotation,
        mirrored=plan.info.mirrored,
        network_alpha=worker.settings.network_alpha,
    )
    began = time.perf_counter()
    (planes,) = made[0]([frame])
    seconds = time.perf_counter() - began
    VideoPreview(worker.args.preview, plan.target_format).offer(planes)
    return seconds / len(made)
