"""영상마다의 결과."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from realesrgan.cli.console import shown
from realesrgan.cli.runner import Result
from realesrgan.video.film import FilmPlan, FilmRun
from realesrgan.video.workers import WorkerPlan


@dataclass(frozen=True)
class FilmResult(Result):
    """영상 한 편의 결과.

    Attributes:
        frames: 결과의 프레임 수.
        repeats: 앞 프레임과 똑같아 다시 계산하지 않은 프레임 수(이번에 한 것만).
        resumed: 이어 하기로 건너뛴 프레임 수.
        input_size, output_size: `(너비, 높이)`, 픽셀.
        codec, pix_fmt, container: 결과의 부호화.
        stages: 단계마다의 일한 시간과 기다린 시간(초)과 작업자 수. 프로세스들의 합이다.
    """

    frames: int = 0
    repeats: int = 0
    resumed: int = 0
    input_size: tuple[int, int] | None = None
    output_size: tuple[int, int] | None = None
    codec: str | None = None
    pix_fmt: str | None = None
    container: str | None = None
    stages: dict[str, Any] = field(default_factory=dict)

    def details(self) -> tuple[str, list[str]]:
        """결과, 크기와 빠르기, 시간이 간 곳."""
        if not self.input_size or not self.output_size:
            return "", []
        before, after = ("x".join(map(str, size)) for size in (self.input_size, self.output_size))
        made = self.frames - self.resumed
        return f" -> {shown(self.output)}", [
            f"{before} -> {after}, {self.codec} {self.pix_fmt}, {self.frames}프레임"
            f"(같은 프레임 {self.repeats}개), {self.seconds:.1f}초, {made / max(self.seconds, 1e-9):.2f}fps",
            f"시간이 간 곳: {self.bottleneck}",
        ]

    def ended(self, status: str, started: float, reason: str | None = None) -> FilmResult:
        """끝난 상태와 걸린 시간을 적은 결과."""
        return replace(self, status=status, seconds=round(time.perf_counter() - started, 3), reason=reason)

    def described(self, plan: FilmPlan, workers: WorkerPlan, runs: Sequence[FilmRun], resumed: int) -> FilmResult:
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

    def joined(self, path: Path | None, frames: int, notes: Sequence[str]) -> FilmResult:
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
