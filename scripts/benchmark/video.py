"""비디오의 세 단계를 함께 돌린 시간을, 네트워크와 코덱을 따로 돌린 CPU 시간의 합과 견준다."""

from __future__ import annotations

import os
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TypeVar

import torch

from realesrgan.inference.frames import Shape
from realesrgan.inference.model import Model, load
from realesrgan.inference.yuv import planes_to_rgb, to_tensor
from realesrgan.media.video import Planes, SegmentWriter, VideoFrame, VideoReader
from realesrgan.video.pipeline import SegmentFrame, Stages, enlarge
from realesrgan.video.plan import VideoPlan, plan_video
from realesrgan.video.settings import VideoSettings, find_source, find_target
from realesrgan.video.upscale import upscale_video
from realesrgan.video.workers import Worker, WorkerPlan, make_workers, plan_workers
from realesrgan.zoo.models import DEFAULT_VIDEO_MODEL

T = TypeVar("T")

STAT_FILE = Path("/proc/stat")
# proc(5): "cpu" 다음의 여덟째 수가 다른 가상 기계에 빼앗긴 시간(steal)이다.
STEAL_FIELD = 8


@dataclass(frozen=True)
class Spent:
    """일 하나에 든 시간(초).

    Attributes:
        wall: 벽시계.
        cpu: 이 프로세스의 모든 스레드가 쓴 CPU 시간.
        stolen: 가상 기계가 코어를 빼앗긴 시간. 모든 코어의 합이다. 알 수 없으면 0.
    """

    wall: float
    cpu: float
    stolen: float


def clock_ticks() -> int:
    """`/proc/stat`의 눈금이 1초에 몇인지."""
    return os.sysconf("SC_CLK_TCK")


def stolen_seconds() -> float:
    """켜진 뒤로 가상 기계의 코어들이 빼앗긴 시간의 합(초). 리눅스가 아니면 0."""
    if not STAT_FILE.is_file():
        return 0.0
    fields = STAT_FILE.read_text().splitlines()[0].split()
    return int(fields[STEAL_FIELD]) / clock_ticks()


def timed(work: Callable[[], T]) -> tuple[T, Spent]:
    """일을 하고 든 시간을 함께 돌려준다."""
    wall, cpu, stolen = time.perf_counter(), time.process_time(), stolen_seconds()
    value = work()
    return value, Spent(time.perf_counter() - wall, time.process_time() - cpu, stolen_seconds() - stolen)


def network_worker(model: Model, shape: Shape, threads: int) -> Worker:
    """네트워크만 부르는 작업자. 앞뒤의 색 바꾸기는 재지 않도록 미리 바꾼 입력 하나를 되풀이한다."""
    made: dict[int, torch.Tensor] = {}

    def work(frames: list[Planes]) -> list[Planes]:
        torch.set_num_threads(threads)
        key = id(frames[0])
        if key not in made:
            planes = [to_tensor([plane], model.engine.device) for plane in frames[0]]
            made[key] = planes_to_rgb(planes, shape.layout, shape.colour)
        model.engine(made[key])
        return [()]

    return work


def measure(video: Path, cores: int) -> dict[str, float]:
    """비디오 하나를 네 가지로 잰다: 디코딩, 네트워크, 인코딩을 따로, 그리고 모두 함께.

    이웃의 일 때문에 코어의 빠르기가 시각에 따라 달라지므로, 몫이 가장 큰 네트워크는 함께 돌리기 전과 뒤에 재어 평균을
    낸다.

    Returns:
        따로 잰 CPU 시간(초), 함께 돌린 벽시계와 CPU와 빼앗긴 시간(초), 벽시계의 비, 그리고 빼앗긴 시간을 뺀 벽시계의
        비. 비의 한도는 1.05다.
    """
    model, settings = load(DEFAULT_VIDEO_MODEL, device="cpu"), VideoSettings(outscale=4)
    with tempfile.TemporaryDirectory() as name:
        target = Path(name) / "out.mp4"
        with closing(VideoReader(video)) as reader:
            plan = plan_video(find_source(video), find_target(target), settings, reader, 4)
            workers = plan_workers(model, plan.info.display_size, settings, cores=cores)
            inputs, decode = timed(lambda: list(reader.frames()))
        before = _network(model, plan, workers, inputs)
        outputs = _outputs(model, plan, workers, settings, inputs)
        _, encode = timed(partial(_encode, plan, inputs, outputs, Path(name)))
        outputs.clear()
        _, together = timed(lambda: upscale_video(video, target, model=model, settings=settings))
        after = _network(model, plan, workers, inputs)
    network = (before.cpu + after.cpu) / 2
    bound = (decode.cpu + network + encode.cpu) / cores
    return {
        "프레임": len(inputs),
        "디코딩": decode.cpu,
        "네트워크": network,
        "인코딩": encode.cpu,
        "함께": together.cpu,
        "벽시계": together.wall,
        "빼앗긴 시간": together.stolen,
        "코어": cores,
        "비": together.wall / bound,
        "빼앗긴 시간을 뺀 비": (together.wall - together.stolen / cores) / bound,
    }


def medians(rounds: Sequence[dict[str, float]]) -> dict[str, float]:
    """여러 번 잰 것의 값마다의 중앙값."""
    return {name: statistics.median(values[name] for values in rounds) for name in rounds[0]}


def _network(model: Model, plan: VideoPlan, workers: WorkerPlan, inputs: Sequence[VideoFrame]) -> Spent:
    made = [network_worker(model, plan.info, workers.threads) for _ in range(workers.workers)]
    for work in made:
        work([inputs[0].planes])
    entries = (SegmentFrame(0, inputs[0]) for _ in inputs)
    alone = [partial(enlarge, work, None) for work in made]
    _, spent = timed(lambda: Stages(entries, alone, lambda value, result: None).run())
    return spent


def _outputs(
    model: Model, plan: VideoPlan, workers: WorkerPlan, settings: VideoSettings, inputs: Sequence[VideoFrame]
) -> list[Planes]:
    results: list[Planes] = []
    made = [partial(enlarge, work, None) for work in make_workers([model], workers, plan, settings)]
    entries = (SegmentFrame(0, frame) for frame in inputs)
    Stages(entries, made, lambda frame, planes: results.append(planes)).run()
    return results


def _encode(plan: VideoPlan, inputs: Sequence[VideoFrame], outputs: Sequence[Planes], folder: Path) -> None:
    scale = plan.info.time_base / plan.encoding.time_base
    with closing(SegmentWriter(folder / "alone.seg", plan.encoding)) as writer:
        for frame, planes in zip(inputs, outputs, strict=True):
            writer.write(planes, int((frame.pts - inputs[0].pts) * scale), int(frame.duration * scale))
        writer.finish()
