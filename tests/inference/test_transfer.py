"""장치에서 내리는 일이 다음 계산을 막지 않는지. GPU가 없는 곳에서는 부르는 차례를 본다."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest
import torch

from realesrgan.inference import transfer
from realesrgan.inference.engines.base import create_engine
from realesrgan.inference.frames import FrameFormat, FrameUpscaler
from realesrgan.inference.transfer import Download, Pending, split_frames
from realesrgan.inference.upscaler import Upscaler
from realesrgan.media.video.types import Colour, PixelLayout
from tests.conftest import nearest_network

YUV420 = PixelLayout("yuv420p", "yuv", 8, (2, 2))


def test_a_pending_list_is_finished_once_by_whoever_reads_first() -> None:
    calls: list[int] = []

    def finish() -> list[int]:
        calls.append(1)
        return [3, 5]

    pending = Pending(2, finish)
    assert len(pending) == 2 and not calls
    with ThreadPoolExecutor(4) as pool:
        assert all(found == [3, 5] for found in pool.map(list, [pending] * 16))
    assert calls == [1] and pending[1] == 5 and pending[:1] == [3]


def test_a_failure_while_finishing_reaches_the_reader() -> None:
    def finish() -> list[int]:
        raise RuntimeError("lost")

    with pytest.raises(RuntimeError, match="lost"):
        list(Pending(1, finish))


def test_planes_come_down_as_they_are_and_split_into_frames() -> None:
    planes = [torch.arange(24, dtype=torch.uint8).reshape(2, 3, 4), torch.ones(2, 1, 2, dtype=torch.uint8)]
    frames = split_frames([plane.numpy() for plane in planes], 2)
    assert [len(frame) for frame in frames] == [2, 2]
    assert np.array_equal(frames[1][0], planes[0][1].numpy()) and frames[0][0].flags.c_contiguous


class Recorder:
    """부른 것을 차례로 적는, CUDA의 흐름과 사건과 텐서를 대신하는 것."""

    device = torch.device("cuda:0")
    shape, dtype = (1, 2, 2), torch.uint8

    def __init__(self, name: str, log: list[str]) -> None:
        self.name, self.log = name, log

    def __getattr__(self, action: str) -> Any:
        def record(*arguments: Any, **options: Any) -> Recorder:
            names = [getattr(one, "name", str(one)) for one in arguments]
            extra = ["async"] if options.get("non_blocking") else []
            self.log.append(" ".join([self.name, action, *names, *extra]))
            return self

        return record

    def numpy(self) -> str:
        self.log.append(f"{self.name} numpy")
        return self.name


def test_on_cuda_the_copy_runs_beside_the_next_computation(monkeypatch: pytest.MonkeyPatch) -> None:
    """복사는 계산의 흐름을 기다린 다른 흐름에서 하고, 읽을 때에야 끝나기를 기다린다."""
    log: list[str] = []

    @contextmanager
    def on(stream: Any) -> Any:
        log.append(f"enter {stream.name}")
        yield
        log.append(f"leave {stream.name}")

    transfer._copy_stream.cache_clear()
    monkeypatch.setattr(torch.cuda, "Stream", lambda _device: Recorder("side", log))
    monkeypatch.setattr(torch.cuda, "Event", lambda: Recorder("event", log))
    monkeypatch.setattr(torch.cuda, "current_stream", lambda _device: Recorder("main", log))
    monkeypatch.setattr(torch.cuda, "stream", on)
    monkeypatch.setattr(transfer, "_pinned_like", lambda _tensor: Recorder("host", log))
    try:
        download = Download([Recorder("plane", log)])  # type: ignore[list-item]
    finally:
        transfer._copy_stream.cache_clear()
    assert log == [
        *("side wait_stream main", "enter side", "host copy_ plane async", "plane record_stream side"),
        *("event record side", "leave side"),
    ]
    log.clear()
    assert download.arrays() == ["host"]
    assert log == ["event synchronize", "host numpy"]


def _frames(device: str) -> FrameUpscaler:
    engine = create_engine(nearest_network(2), device=device, backend="torch", precision="fp32")
    colour = Colour(1, 1, 1)
    return FrameUpscaler(Upscaler(engine), FrameFormat(YUV420, colour, 32, 24), FrameFormat(YUV420, colour, 64, 48))


def _noise(seed: int) -> tuple[np.ndarray, ...]:
    rng = np.random.default_rng(seed)
    return tuple(rng.integers(16, 235, shape, np.uint8) for shape in ((24, 32), (12, 16), (12, 16)))


def test_starting_gives_what_calling_gives() -> None:
    upscale, frames = _frames("cpu"), [_noise(0), _noise(1)]
    for started, called in zip(upscale.start(frames), upscale(frames), strict=True):
        assert all(map(np.array_equal, started, called))


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="CUDA 장치가 없다")
def test_many_frames_started_ahead_come_down_in_their_own_places() -> None:
    here, there = _frames("cpu"), _frames("cuda")
    frames = [[_noise(seed)] for seed in range(12)]
    started = [there.start(one) for one in frames]
    assert all(isinstance(one, Pending) for one in started)
    for one, pending in zip(frames, started, strict=True):
        for expected, found in zip(here(one)[0], pending[0], strict=True):
            assert int(np.abs(expected.astype(int) - found).max()) <= 1
