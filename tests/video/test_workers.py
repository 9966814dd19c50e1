"""작업자의 수와 타일을 정하기."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from realesrgan.inference.frames import FrameFormat
from realesrgan.inference.realesrganer import RealESRGANer
from realesrgan.media.video.types import Colour, PixelLayout, VideoFrame
from realesrgan.video.workers import SMALLEST_SHARED_TILE, make_workers, plan_workers
from tests.conftest import small_rrdbnet

GBRP = PixelLayout("gbrp", "rgb", 8)


@pytest.fixture
def compact(nearest_weights) -> RealESRGANer:
    return RealESRGANer(4, nearest_weights(4), device="cpu", pre_pad=0)


def test_on_a_cpu_every_core_takes_a_frame_of_its_own(compact):
    plan = plan_workers(compact, (90, 160), cores=4)
    assert (plan.workers, plan.threads, plan.batch, plan.tile) == (4, 1, 1, 0)


def test_what_the_user_says_is_kept(compact):
    plan = plan_workers(compact, (90, 160), cores=4, workers=2, batch=3, tile=64)
    assert (plan.workers, plan.threads, plan.batch, plan.tile) == (2, 2, 3, 64)


def test_workers_are_halved_rather_than_cutting_tiles_small(monkeypatch, tmp_path):
    torch.save({"params": small_rrdbnet().state_dict()}, tmp_path / "network.pth")
    heavy = RealESRGANer(4, tmp_path / "network.pth", model=small_rrdbnet(), device="cpu")
    monkeypatch.setattr("realesrgan.video.workers.bytes_per_pixel", lambda *_: 11264)
    plan = plan_workers(heavy, (1080, 1920), cores=16)
    assert plan.workers < 16 and plan.tile >= SMALLEST_SHARED_TILE
    assert plan.workers * plan.threads == 16


def test_workers_sharing_a_network_give_the_same_frames(compact):
    planes = tuple(np.full((4, 6), value, np.uint8) for value in (10, 20, 30))
    plan = plan_workers(compact, (4, 6), cores=2)
    workers = make_workers(
        [compact, compact], plan, FrameFormat(GBRP, Colour(), 6, 4), FrameFormat(GBRP, Colour(), 24, 16)
    )
    assert len(workers) == 4
    for work in workers:
        (result,) = work([VideoFrame(planes, 0)])
        assert [int(plane.min()) for plane in result] == [10, 20, 30] and result[0].shape == (16, 24)
