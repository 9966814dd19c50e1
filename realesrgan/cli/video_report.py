"""비디오마다의 결과."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from realesrgan.cli.console import EXIT_DONE, EXIT_INTERRUPTED, EXIT_SOME_FAILED, EXIT_USAGE
from realesrgan.video.film import VideoPlan, VideoRun
from realesrgan.video.workers import WorkerPlan


@dataclass(frozen=True)
class VideoResult:
    """비디오 한 편의 결과.

    Attributes:
        input, output: 경로.
        status: `done`, `failed`, `refused`(쓰는 법이 맞지 않음), `skipped`(이어 하려는데 이미 끝남),
            `interrupted` 가운데 하나.
        seconds: 걸린 시간(초).
        model: 모델 이름이나 가중치의 경로.
        frames: 결과의 프레임 수.
        repeats: 앞 프레임과 똑같아 다시 계산하지 않은 프레임 수(이번에 한 것만).
        resumed: 이어 하기로 건너뛴 프레임 수.
        input_size, output_size: `(너비, 높이)`, 픽셀.
        codec, pix_fmt, container: 결과의 인코딩.
        stages: 단계마다의 일한 시간과 기다린 시간(초)과 작업자 수. 프로세스들의 합이다.
        reason: 실패나 중단의 이유.
        notes: 결과에 담지 못해 포기한 것과 알릴 것.
    """

    input: str
    output: str
    status: str
    seconds: float = 0.0
    model: str | None = None
    frames: int = 0
    repeats: int = 0
    resumed: int = 0
    input_size: tuple[int, int] | None = None
    output_size: tuple[int, int] | None = None
    codec: str | None = None
    pix_fmt: str | None = None
    container: str | None = None
    stages: dict[str, Any] = field(default_factory=dict)
    reason: str | None = None
    notes: tuple[str, ...] = ()

    def ended(self, status: str, started: float, reason: str | None = None) -> VideoResult:
        """끝난 상태와 걸린 시간을 적은 결과."""
        return replace(self, status=status, seconds=round(time.perf_counter() - started, 3), reason=reason)

    def described(self, plan: VideoPlan, workers: WorkerPlan, runs: Sequence[VideoRun], resumed: int) -> VideoResult:
        """무엇을 어떻게 했는지 적은 결과."""
        names = ("decode", "network", "encode")
        stages: dict[str, Any] = {
            name: {
                "busy": round(sum(run.times.busy[name] for run in runs), 3),
                "waiting": round(sum(run.times.waiting[name] for run in runs), 3),
            }
            for name in names
        }
        stages["wall"] = round(max(run.times.wall for run in runs), 3)
        stages["workers"] = sum(run.times.workers for run in runs)
        stages["threads"], stages["batch"], stages["tile"] = workers.threads, workers.batch, workers.tile
        return replace(
            self,
            frames=resumed + sum(run.frames for run in runs),
            repeats=sum(run.repeats for run in runs),
            resumed=resumed,
            input_size=plan.info.display_size,
            output_size=(plan.encoding.width, plan.encoding.height),
            codec=plan.encoding.codec,
            pix_fmt=plan.encoding.layout.pix_fmt,
            container=plan.encoding.container,
            stages=stages,
            notes=plan.warnings,
        )

    def joined(self, path: Path | None, frames: int, notes: Sequence[str]) -> VideoResult:
        """이어 붙인 뒤의 결과."""
        return replace(self, output=str(path), frames=frames, notes=tuple(dict.fromkeys((*self.notes, *notes))))

    @property
    def bottleneck(self) -> str:
        """시간이 간 곳을 한 줄로 적은 것."""
        wall = self.stages.get("wall", 0.0)
        if not wall:
            return ""
        words = {"decode": "풀기", "network": "네트워크", "encode": "쓰기"}
        shares = {name: self.stages[name]["busy"] for name in words}
        # 네트워크는 작업자들의 합이므로 작업자 수로 나누어 벽시계와 견준다.
        shares["network"] /= max(self.stages["workers"], 1)
        return ", ".join(f"{words[name]} {100 * value / wall:.0f}%" for name, value in shares.items())


def exit_code(results: Sequence[VideoResult]) -> int:
    """결과 전체의 종료 코드. 모두 쓰는 법이 틀린 것이면 2다."""
    statuses = {result.status for result in results}
    if "interrupted" in statuses:
        return EXIT_INTERRUPTED
    if statuses == {"refused"}:
        return EXIT_USAGE
    return EXIT_DONE if statuses <= {"done", "skipped"} else EXIT_SOME_FAILED


def describe(result: VideoResult, index: int, total: int) -> str:
    """비디오 한 편의 결과를 사람이 읽는 글로 적는다."""
    words = {"done": "완료", "failed": "실패", "refused": "거절", "skipped": "건너뜀", "interrupted": "중단"}
    lines = [f"[{index}/{total}] {words[result.status]}: {result.input}"]
    if result.status == "done" and result.input_size and result.output_size:
        before, after = ("x".join(map(str, size)) for size in (result.input_size, result.output_size))
        made = result.frames - result.resumed
        lines[0] += f" -> {result.output}"
        lines.append(
            f"    {before} -> {after}, {result.codec} {result.pix_fmt}, {result.frames}프레임"
            f"(같은 프레임 {result.repeats}개), {result.seconds:.1f}초, {made / max(result.seconds, 1e-9):.2f}fps"
        )
        lines.append(f"    시간이 간 곳: {result.bottleneck}")
    if result.reason:
        lines += [f"    {line}" for line in result.reason.splitlines()]
    lines += [f"    알림: {note}" for note in result.notes]
    return "\n".join(lines)
