"""작업자의 수와 타일을 정하기."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
import torch

from realesrgan.inference.model import Model, load
from realesrgan.media.video.types import Colour, EncodePlan, PixelLayout, VideoInfo
from realesrgan.video.plan import VideoPlan
from realesrgan.video.settings import VideoSettings
from realesrgan.video.timing import Timing
from realesrgan.video.workers import SMALLEST_SHARED_TILE, as_models, make_workers, model_identity, plan_workers
from tests.conftest import small_rrdbnet

GBRP = PixelLayout("gbrp", "rgb", 8)


@pytest.fixture
def compact(nearest_weights) -> Model:
    return load(nearest_weights(4), device="cpu")


def test_on_a_cpu_every_core_takes_a_frame_of_its_own(compact):
    plan = plan_workers(compact, (160, 90), VideoSettings(), cores=4)
    assert (plan.workers, plan.threads, plan.batch, plan.tile) == (4, 1, 1, 0)


def test_what_the_user_says_is_kept(compact):
    plan = plan_workers(compact, (160, 90), VideoSettings(workers=2, batch=3, tile=64), cores=4)
    assert (plan.workers, plan.threads, plan.batch, plan.tile) == (2, 2, 3, 64)


def test_workers_are_halved_rather_than_cutting_tiles_small(monkeypatch):
    heavy = load(small_rrdbnet().state_dict(), device="cpu")
    monkeypatch.setattr(type(heavy.engine), "memory", lambda _engine, height, width: 11264 * height * width)
    # 띠로 이어 돌릴 수 있으면 통째로 한 것과 같은 결과를 내므로 타일로 나누지 않는다.
    streamed = plan_workers(heavy, (1920, 1080), VideoSettings(), cores=16)
    assert (streamed.workers, streamed.tile) == (16, 0)
    heavy.engine.network.register_forward_hook(lambda *_: None)
    plan = plan_workers(heavy, (1920, 1080), VideoSettings(), cores=16)
    assert plan.workers < 16 and plan.tile >= SMALLEST_SHARED_TILE
    assert plan.workers * plan.threads == 16


def test_workers_sharing_a_network_give_the_same_frames(compact):
    planes = tuple(np.full((4, 6), value, np.uint8) for value in (10, 20, 30))
    settings = VideoSettings()
    info = VideoInfo("비디오", 6, 4, 0, GBRP, Colour(), Fraction(1, 24), Fraction(24))
    encoding = EncodePlan("mp4", "libx264", GBRP, Colour(), 24, 16, Fraction(1, 24), Fraction(24))
    workers = plan_workers(compact, (6, 4), settings, cores=2)
    timing = Timing(info.time_base, encoding.time_base)
    plan = VideoPlan(info, encoding, (), None, None, False, None, timing)
    made = make_workers([compact, compact], workers, plan, settings)
    assert len(made) == 4
    for work in made:
        (result,) = work([planes])
        assert [int(plane.min()) for plane in result] == [10, 20, 30] and result[0].shape == (16, 24)


def test_models_are_told_apart_by_their_values(compact, nearest_weights):
    same = load(nearest_weights(4), device="cpu")
    assert model_identity(compact) == model_identity(same)
    with torch.no_grad():
        next(same.network.parameters()).add_(1e-3)
    assert model_identity(compact) != model_identity(same)


def test_a_name_or_a_path_is_loaded(nearest_weights):
    (model,) = as_models(nearest_weights(2))
    assert model.scale == 2
    assert as_models(model) == (model,)
    assert as_models([model, model]) == (model, model)
