"""키우지 않고 무엇을 할지와 어림을 보인다."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from realesrgan.cli.console import shown
from realesrgan.cli.jobs import Job, check_target
from realesrgan.inference.estimate import estimate_picture, measure_seconds_per_pixel
from realesrgan.inference.model import Model
from realesrgan.util.numbers import Outscale, describe_bytes, passes_note, plan_passes, scale_factor


def show_plan(
    jobs: Sequence[Job],
    model: Model,
    *,
    outscale: Outscale,
    max_pixels: int | None,
    skip_existing: bool,
    tell: Callable[[str], None],
) -> bool:
    """무엇을 할지와 어림한 시간, 메모리를 보인다.

    Args:
        jobs: 일들.
        model: 모델.
        outscale: 마지막 업스케일 배율이나 결과의 크기.
        max_pixels: 결과 픽셀 수의 한도. None이면 없다.
        skip_existing: 이미 있는 결과를 건드리지 않을지.
        tell: 알리는 말을 쓰는 함수.

    Returns:
        모두 할 수 있는 일이면 참.
    """
    rate = measure_seconds_per_pixel(model)
    total = 0.0
    checked = [check_target(job, outscale, skip_existing) for job in jobs]
    for index, job in enumerate(checked, 1):
        head = f"[{index}/{len(jobs)}] {shown(job.input)}"
        if job.problem is None and job.skip is not None:
            tell("\n    ".join(f"{head}\n건너뜁니다: {job.skip}".splitlines()))
            continue
        size = job.output_size(outscale)
        if job.problem is not None or size is None or job.info is None:
            what = "읽을 수 없음" if job.info is None else "쓸 수 없음"
            tell("\n    ".join(f"{head}\n{what}: {job.problem}".splitlines()))
            continue
        estimate = estimate_picture(job.info, model, outscale, rate)
        factor = scale_factor(outscale, job.info.width, job.info.height)
        over = max_pixels is not None and size[0] * size[1] * job.info.frames > max_pixels
        notes = passes_note(plan_passes(job.info.width, job.info.height, size, model.scale))
        warning = "".join(f"\n    알림: {note}" for note in notes)
        warning += "\n    결과가 --max_pixels 한도를 넘어 실패합니다." if over else ""
        total += estimate.seconds
        tell(
            f"{head} -> {shown(job.output)}\n"
            f"    {job.info.width}x{job.info.height} -> {size[0]}x{size[1]}, {float(factor):g}배, "
            f"{estimate.parts}, 약 {describe_bytes(estimate.memory)}, 약 {estimate.seconds:.1f}초{warning}"
        )
    tell(f"모두 {len(jobs)}개, 약 {total:.0f}초 (장치 {model.engine.device}, {model.engine.precision})")
    return all(job.problem is None for job in checked)
