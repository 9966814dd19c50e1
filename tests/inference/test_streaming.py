"""띠로 이어 돌린 결과는 통째로 돌린 것과 같다. 할 수 없는 네트워크는 까닭을 말한다."""

from __future__ import annotations

import logging
import subprocess
import sys
import textwrap
from collections.abc import Callable
from typing import Any, Literal

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from realesrgan.archs import RRDBNet, SRVGGNetCompact
from realesrgan.errors import NonFiniteOutputError, NotStreamableError, OutOfMemoryError
from realesrgan.inference.engines.torch import TorchEngine
from realesrgan.inference.engines.torch import create as create_torch
from realesrgan.inference.model import load
from realesrgan.inference.steps import Blend
from realesrgan.inference.streaming import Stream, StreamPlan, plan_stream
from realesrgan.inference.upscaler import Upscaler
from realesrgan.zoo.models import MODELS
from tests.conftest import small_rrdbnet

CPU = torch.device("cpu")


def streamed(plan: StreamPlan, image: Tensor, rows: int, axis: int = 2) -> Tensor:
    size = image.shape[axis]
    stream = Stream(plan, size, axis)
    with torch.inference_mode():
        ready = [stream.push(image.narrow(axis, begin, min(rows, size - begin))) for begin in range(0, size, rows)]
    return torch.cat([strip for strip in ready if strip is not None], axis)


def largest_difference(network: nn.Module, image: Tensor, rows: int, axis: int = 2) -> float:
    with torch.inference_mode():
        whole = network(image)
    result = streamed(plan_stream(network), image, rows, axis)
    assert result.shape == whole.shape
    return float((result - whole).abs().max())


class Everything(nn.Module):
    """띠로 이어 돌릴 수 있는 것을 두루 쓰는, 사용자의 네트워크."""

    scale = 3

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("mean", torch.tensor([0.4, 0.5, 0.6]).view(1, 3, 1, 1))
        self.first = nn.Conv2d(3, 8, 5, padding=2)
        self.spread = nn.Conv2d(8, 8, 3, padding=4, dilation=4, groups=2)
        self.point = nn.Conv2d(16, 8, 1)
        self.norm = nn.BatchNorm2d(8)
        self.gate = nn.Sequential(nn.Conv2d(8, 8, 3, padding="same"), nn.Sigmoid())
        self.last = nn.Conv2d(8, 27, 3, 1, 1, bias=False)
        self.up = nn.PixelShuffle(3)
        self.slope = nn.Parameter(torch.full((8,), 0.1))

    def forward(self, x: Tensor) -> Tensor:
        features = F.gelu(self.first(x - self.mean))
        spread = F.prelu(self.spread(features), self.slope)
        features = self.norm(self.point(torch.cat([features, spread], dim=1))) + features
        features = features * self.gate(features) * 0.5
        return self.up(self.last(features)).clamp(-1, 1) + F.interpolate(x, scale_factor=3, mode="nearest")


@given(
    height=st.integers(1, 40),
    width=st.integers(1, 24),
    rows=st.integers(1, 45),
    axis=st.sampled_from((2, 3)),
    scale=st.sampled_from((1, 2, 4, 8)),
    count=st.integers(1, 2),
)
@settings(deadline=None, max_examples=60)
def test_rrdbnet_in_strips_is_the_whole(height: int, width: int, rows: int, axis: int, scale: int, count: int) -> None:
    network = small_rrdbnet(scale)
    multiple = network.size_multiple
    image = torch.rand(count, 3, height * multiple, width * multiple)
    assert largest_difference(network, image, rows * multiple, axis) < 1e-5


@given(
    height=st.integers(1, 40),
    width=st.integers(1, 24),
    rows=st.integers(1, 45),
    scale=st.integers(1, 4),
    activation=st.sampled_from(("prelu", "relu", "leakyrelu")),
)
@settings(deadline=None, max_examples=60)
def test_srvgg_in_strips_is_the_whole(height: int, width: int, rows: int, scale: int, activation: str) -> None:
    network = SRVGGNetCompact(num_feat=8, num_conv=3, upscale=scale, act_type=activation).eval()
    assert largest_difference(network, torch.rand(1, 3, height, width), rows) < 1e-5


@given(height=st.integers(1, 40), width=st.integers(1, 24), rows=st.integers(1, 45), axis=st.sampled_from((2, 3)))
@settings(deadline=None, max_examples=60)
def test_a_users_network_of_the_same_parts_streams(height: int, width: int, rows: int, axis: int) -> None:
    torch.manual_seed(1)
    assert largest_difference(Everything().eval(), torch.rand(2, 3, height, width), rows, axis) < 1e-5


@pytest.mark.parametrize("name", [name for name, spec in MODELS.items() if spec.ncnn])
def test_every_network_of_the_zoo_streams_exactly(name: str) -> None:
    network = load(name).network
    side = 8 * load(name).multiple
    image = torch.rand(1, 3, 5 * side, 3 * side)
    assert largest_difference(network, image, 13 * load(name).multiple) < 1e-5


def test_the_radius_is_as_far_as_a_result_sees() -> None:
    for network in (small_rrdbnet(4), SRVGGNetCompact(num_feat=4, num_conv=2).eval(), Everything().eval()):
        plan = plan_stream(network)
        side = 2 * plan.radius + 7
        image = torch.rand(1, 3, side, 4, requires_grad=True)
        scale = plan.scale
        network(image)[:, :, side // 2 * scale : (side // 2 + 1) * scale].sum().backward()
        assert image.grad is not None
        seen = image.grad.abs().sum((0, 1, 3)).nonzero().flatten()
        assert side // 2 - plan.radius <= seen[0] and seen[-1] <= side // 2 + plan.radius
        assert side // 2 - plan.radius + 1 >= seen[0]


class _Renamed(nn.Module):
    """합성곱의 결과를 `nn.Identity`를 거쳐서도, 그대로도 읽는다."""

    def __init__(self, activation: nn.Module) -> None:
        super().__init__()
        self.first, self.same, self.activation = nn.Conv2d(3, 8, 3, 1, 1), nn.Identity(), activation
        self.last = nn.Conv2d(8, 3, 3, 1, 1)

    def forward(self, x: Tensor) -> Tensor:
        features = self.first(x)
        return self.last(self.activation(self.same(features)) + features)


@pytest.mark.parametrize("rows", [1, 4, 9])
def test_a_tensor_under_two_names_is_not_changed_for_the_other_reader(rows: int) -> None:
    torch.manual_seed(0)
    assert largest_difference(_Renamed(nn.ReLU()).eval(), torch.rand(1, 3, 30, 9), rows) < 1e-5


class _Halved(nn.Conv2d):
    """물려받아 계산을 고친 합성곱."""

    def forward(self, input: Tensor) -> Tensor:
        return super().forward(input) * 0.5


class _HalvedInside(nn.Conv2d):
    def _conv_forward(self, input: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        return super()._conv_forward(input, weight * 0.5, bias)


class _Named(nn.Conv2d):
    """이름만 다른 합성곱."""


@pytest.mark.parametrize("kind", [_Halved, _HalvedInside, _Named])
def test_a_convolution_that_computes_otherwise_is_never_taken_for_a_plain_one(kind: type[nn.Conv2d]) -> None:
    network = nn.Sequential(kind(3, 3, 3, 1, 1), nn.ReLU()).eval()
    try:
        assert largest_difference(network, torch.rand(1, 3, 20, 9), 4) < 1e-5
    except NotStreamableError:
        assert kind is not _Named


def _hooked() -> nn.Module:
    network = nn.Sequential(nn.Conv2d(3, 3, 3, 1, 1), nn.ReLU())
    network[0].register_forward_hook(lambda _module, _inputs, output: output * 2)
    return network


def _replaced() -> nn.Module:
    network = nn.Sequential(nn.Conv2d(3, 3, 3, 1, 1), nn.ReLU())
    network[1].forward = lambda x: -x  # type: ignore[method-assign]
    return network


class Refused(nn.Module):
    def __init__(self, forward: Callable[[Tensor], Any], **layers: nn.Module) -> None:
        super().__init__()
        self.body = forward
        for name, layer in layers.items():
            self.add_module(name, layer)

    def forward(self, x: Tensor) -> Any:
        return self.body(x)


class _Placed(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("place", torch.rand(1, 3, 4, 4))

    def forward(self, x: Tensor) -> Tensor:
        return x + self.place


def _unused_in_place(x: Tensor) -> Tensor:
    F.relu(x, inplace=True)
    return x


def _shared_in_place(x: Tensor) -> Tensor:
    y = x * 2
    return F.relu(y, inplace=True) + y


@pytest.mark.parametrize(
    ("network", "reason"),
    [
        (nn.Sequential(nn.Conv2d(3, 3, 3, 1, 1, padding_mode="reflect")), "합성곱"),
        (nn.Sequential(nn.Conv2d(3, 3, 3, 2, 1)), "합성곱"),
        (nn.Sequential(nn.Conv2d(3, 3, 3)), "합성곱"),
        (nn.Sequential(nn.Conv2d(3, 3, (3, 1), 1, (1, 0))), "합성곱"),
        (nn.Sequential(nn.AdaptiveAvgPool2d(1)), "AdaptiveAvgPool2d"),
        (nn.Sequential(nn.Upsample(scale_factor=2, mode="bilinear")), "최근접"),
        (nn.Sequential(nn.Upsample(size=(8, 8))), "최근접"),
        (Refused(lambda x: x.mean((2, 3), keepdim=True) * x), "mean"),
        (Refused(lambda x: torch.cat([x, x], 2)), "이어 붙이는"),
        (Refused(lambda x: F.interpolate(x, scale_factor=2) + x), "크기가 다른"),
        (Refused(lambda x: x if x.sum() > 0 else -x), "따라갈 수 없습니다"),
        (Refused(lambda x: (x, x)), "텐서 하나가 아닙니다"),
        (Refused(_unused_in_place), "제자리"),
        (Refused(_shared_in_place), "제자리"),
        (_Placed(), "자리마다"),
        (_Renamed(nn.ReLU(inplace=True)), "제자리"),
        (_hooked(), "훅"),
        (_replaced(), "forward"),
        (nn.utils.spectral_norm(nn.Conv2d(3, 3, 3, 1, 1)).eval(), "훅"),
        (lambda x: x, "nn.Module"),
    ],
)
def test_a_network_that_cannot_stream_says_why(network: Any, reason: str) -> None:
    with pytest.raises(NotStreamableError, match=reason):
        plan_stream(network)


def test_a_hook_is_not_passed_over() -> None:
    network = small_rrdbnet()
    network.register_forward_hook(lambda *_: None)
    with pytest.raises(NotStreamableError, match="훅"):
        plan_stream(network)


# 업스케일러


@pytest.fixture
def tight(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    """메모리의 예산을 정하는 함수."""

    def set_budget(budget: int) -> None:
        monkeypatch.setattr("realesrgan.inference.upscaler.memory_budget", lambda *_: budget)

    return set_budget


def engine_of(network: Any, precision: str = "fp32") -> TorchEngine:
    return create_torch(network, CPU, precision, 4, 1)


IMAGE = np.random.default_rng(0).integers(0, 256, (150, 40, 3), dtype=np.uint8)


def nearly_equal(first: Any, second: Any) -> bool:
    """띠의 높이에 따라 더하는 차례가 달라 반올림이 한 단계 갈릴 수 있다."""
    return first.shape == second.shape and int(np.abs(first.astype(int) - second).max()) <= 1


@pytest.mark.parametrize("turned", [False, True])
def test_what_does_not_fit_whole_is_streamed_along_its_longer_side(turned: bool, tight: Callable[[int], None]) -> None:
    image = np.ascontiguousarray(IMAGE.swapaxes(0, 1)) if turned else IMAGE
    upscaler = Upscaler(engine_of(small_rrdbnet()))
    whole = upscaler.upscale(image)
    assert upscaler.cut_for(*image.shape[:2]) is None
    tight(1200 << 10)
    cut = upscaler.cut_for(*image.shape[:2])
    assert cut is not None and (cut.axis, cut.column) == (3 if turned else 2, 40)
    assert cut.rows < 150
    told: list[tuple[int, int]] = []
    assert nearly_equal(upscaler.upscale(image, progress=lambda *at: told.append(at)), whole)
    assert told == sorted(told) and told[-1] == (6000, 6000) and len(told) > 1


def test_a_tile_that_was_asked_for_is_a_tile(tight: Callable[[int], None]) -> None:
    tight(1200 << 10)
    assert Upscaler(engine_of(small_rrdbnet()), tile=64).cut_for(150, 40) is None


def test_a_picture_too_wide_for_the_memory_is_cut_into_exact_columns(tight: Callable[[int], None]) -> None:
    image = np.random.default_rng(1).integers(0, 256, (150, 140, 3), dtype=np.uint8)
    upscaler = Upscaler(engine_of(small_rrdbnet()), steps=(Blend(0.5),))
    whole = upscaler.upscale(image)
    tight(3 << 20)
    cut = upscaler.cut_for(150, 140)
    assert cut is not None and cut.column < 140 and cut.margin >= plan_stream(small_rrdbnet()).radius
    told: list[tuple[int, int]] = []
    assert nearly_equal(upscaler.upscale(image, progress=lambda *at: told.append(at)), whole)
    assert told == sorted(told) and told[-1] == (21000, 21000)
    tight(1 << 10)
    assert upscaler.cut_for(150, 140) is None


def test_steps_see_their_margin_across_columns(tight: Callable[[int], None]) -> None:
    class Mean:
        text, margin = "mean", 12

        def __call__(self, enlarged: Tensor, source: Tensor) -> Tensor:
            assert enlarged.shape[-1] == 4 * source.shape[-1]
            return F.avg_pool2d(enlarged, (1, 97), 1, (0, 48), count_include_pad=False)

    image = np.random.default_rng(1).integers(0, 256, (150, 140, 3), dtype=np.uint8)
    upscaler = Upscaler(engine_of(small_rrdbnet()), steps=(Mean(),))
    whole = upscaler.upscale(image)
    tight(3 << 20)
    cut = upscaler.cut_for(150, 140)
    assert cut is not None and cut.margin > 0
    assert nearly_equal(upscaler.upscale(image), whole)


def test_the_network_is_followed_once_for_many_frames(
    tight: Callable[[int], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    planned: list[Any] = []
    original = plan_stream
    monkeypatch.setattr(
        "realesrgan.inference.streaming.plan_stream",
        lambda network, **more: planned.append(network) or original(network, **more),
    )
    tight(1200 << 10)
    Upscaler(engine_of(small_rrdbnet())).upscale_frames(torch.rand(3, 3, 150, 40))
    assert len(planned) == 1


@pytest.mark.parametrize("margin", [3, 40])
def test_steps_see_their_margin_across_strips(margin: int, tight: Callable[[int], None]) -> None:
    class Mean:
        text = "mean"

        def __init__(self) -> None:
            self.margin = margin

        def __call__(self, enlarged: Tensor, source: Tensor) -> Tensor:
            assert enlarged.shape[-1] == 4 * source.shape[-1] and enlarged.shape[-2] == 4 * source.shape[-2]
            size = 8 * self.margin + 1
            return F.avg_pool2d(enlarged, (size, 1), 1, (size // 2, 0), count_include_pad=False)

    upscaler = Upscaler(engine_of(small_rrdbnet()), steps=(Mean(),))
    whole = upscaler.upscale(IMAGE)
    tight(1200 << 10)
    assert upscaler.cut_for(150, 40) is not None
    assert nearly_equal(upscaler.upscale(IMAGE), whole)


class Failing(TorchEngine):
    """몇 번째 띠에서 실패하거나 NaN을 내는 엔진."""

    def __init__(self, network: nn.Module, *, out_of_memory: int = 0, broken: int = 0) -> None:
        super().__init__(network, CPU, "bf16" if broken else "fp32", scale=4)
        self.pushed: list[int] = []
        self.out_of_memory, self.broken = out_of_memory, broken
        self.safe: TorchEngine | None = engine_of(small_rrdbnet())

    def run(self, function: Any, batch: Tensor) -> Any:
        self.pushed.append(batch.shape[2])
        if 0 < self.out_of_memory == len(self.pushed):
            raise OutOfMemoryError("모자람")
        ready = super().run(function, batch)
        return ready * torch.nan if ready is not None and 0 < self.broken <= len(self.pushed) else ready

    def fallback(self) -> TorchEngine | None:
        return self.safe


def test_thinner_strips_go_on_where_memory_ran_out(
    tight: Callable[[int], None], caplog: pytest.LogCaptureFixture
) -> None:
    whole = Upscaler(engine_of(small_rrdbnet())).upscale(IMAGE)
    engine = Failing(small_rrdbnet(), out_of_memory=4)
    upscaler = Upscaler(engine)
    tight(1200 << 10)
    first = upscaler.cut_for(150, 40)
    assert first is not None
    with caplog.at_level(logging.WARNING):
        assert nearly_equal(upscaler.upscale(IMAGE), whole)
    assert "띠를" in caplog.text and "낮추어" in caplog.text
    assert engine.pushed[:4] == [first.rows] * 4 and set(engine.pushed[4:-1]) == {first.rows // 2}
    # 처음부터 다시 하지 않고, 다음 이미지는 낮은 띠로 시작한다.
    assert sum(engine.pushed[4:]) < 150
    later = upscaler.cut_for(150, 40)
    assert later is not None and later.rows == first.rows // 2


def test_a_strip_that_is_not_finite_is_computed_again_in_fp32(
    tight: Callable[[int], None], caplog: pytest.LogCaptureFixture
) -> None:
    whole = Upscaler(engine_of(small_rrdbnet())).upscale(IMAGE)
    tight(1200 << 10)
    engine = Failing(small_rrdbnet(), broken=3)
    with caplog.at_level(logging.WARNING):
        assert nearly_equal(Upscaler(engine).upscale(IMAGE), whole)
    assert "fp32로 다시" in caplog.text
    engine = Failing(small_rrdbnet(), broken=1)
    engine.safe = None
    with pytest.raises(NonFiniteOutputError):
        Upscaler(engine).upscale(IMAGE)


def test_no_strip_fits_and_tiles_take_over(tight: Callable[[int], None], caplog: pytest.LogCaptureFixture) -> None:
    class Never(TorchEngine):
        def run(self, function: Any, batch: Tensor) -> Any:
            if function is not self.network:
                raise OutOfMemoryError("모자람")
            return super().run(function, batch)

    whole = Upscaler(engine_of(small_rrdbnet()), tile=64, tile_pad=40).upscale(IMAGE)
    upscaler = Upscaler(Never(small_rrdbnet(), CPU, "fp32", scale=4), tile_pad=40)
    tight(1200 << 10)
    assert nearly_equal(upscaler.upscale(IMAGE), whole)
    assert upscaler.cut_for(150, 40) is None


@pytest.mark.parametrize("tile", [0, "auto"])
def test_a_whole_that_runs_out_of_memory_becomes_strips_and_smaller_ones_stay_whole(
    tile: int | Literal["auto"], caplog: pytest.LogCaptureFixture
) -> None:
    heights = []

    class Small(TorchEngine):
        def __call__(self, batch: Tensor) -> Tensor:
            heights.append(batch.shape[-2])
            if batch.shape[-2] > 100:
                raise OutOfMemoryError("모자람")
            return super().__call__(batch)

    upscaler = Upscaler(Small(small_rrdbnet(), CPU, "fp32", scale=4), tile=tile)
    with caplog.at_level(logging.WARNING):
        result = upscaler.upscale(IMAGE)
    assert caplog.text.count("띠로") == 1
    assert nearly_equal(result, Upscaler(engine_of(small_rrdbnet())).upscale(IMAGE))
    heights.clear()
    upscaler.upscale(IMAGE)
    upscaler.upscale(IMAGE[:40])
    assert heights == [40] and caplog.text.count("띠로") == 1


def test_an_object_that_is_no_module_is_not_asked_to_stream_when_it_fits(caplog: pytest.LogCaptureFixture) -> None:
    engine = TorchEngine(lambda batch: F.interpolate(batch, scale_factor=4), CPU, "fp32", scale=4)
    with caplog.at_level(logging.WARNING):
        Upscaler(engine, tile=0).upscale(IMAGE)
    assert not caplog.text


def test_a_network_that_cannot_stream_says_so_once_and_tiles(
    tight: Callable[[int], None], caplog: pytest.LogCaptureFixture
) -> None:
    class Pooled(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return F.interpolate(x, scale_factor=4) + x.mean() * 0

    tight(1 << 10)
    upscaler = Upscaler(TorchEngine(Pooled().eval(), CPU, "fp32", scale=4))
    with caplog.at_level(logging.WARNING):
        for _ in range(2):
            assert nearly_equal(upscaler.upscale(IMAGE), IMAGE.repeat(4, 0).repeat(4, 1))
    assert caplog.text.count("띠로 이어 돌릴 수 없어") == 1


@pytest.fixture
def faulting(monkeypatch: pytest.MonkeyPatch) -> None:
    """놓은 메모리를 돌려주는 프로세스에서, 32x32를 넘으면 큰 것으로 본다."""
    monkeypatch.setattr("realesrgan.inference.upscaler._FAULTING_PIXELS", 32 * 32)
    monkeypatch.setattr("realesrgan.inference.upscaler.returns_freed_memory", lambda: True)


@pytest.mark.usefixtures("faulting")
@pytest.mark.parametrize("tile", ["auto", 0])
def test_a_large_whole_is_streamed_where_freed_memory_is_returned(tile: Any) -> None:
    network = SRVGGNetCompact(num_feat=8, num_conv=2).eval()
    seen: list[int] = []
    upscaler = Upscaler(create_torch(network, torch.device("cpu"), "fp32", 4, 1), tile=tile)
    upscaler.strip_bytes = 20 * 40 * 8 * 4
    whole = network(torch.rand(1, 3, 70, 40, generator=torch.manual_seed(1)))
    frames = torch.rand(1, 3, 70, 40, generator=torch.manual_seed(1))
    with torch.no_grad():
        found = upscaler.upscale_frames(frames)
    assert torch.allclose(found, whole, atol=1e-5)
    assert upscaler.cut_for(70, 40) is not None and upscaler.cut_for(32, 32) is None
    upscaler.upscale(np.zeros((70, 40, 3), np.uint8), progress=lambda done, _: seen.append(done))
    assert len(seen) > 1 and seen[-1] == 70 * 40


@pytest.mark.usefixtures("faulting")
def test_what_gains_nothing_from_strips_stays_whole(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING, logger="realesrgan")
    network = SRVGGNetCompact(num_feat=8, num_conv=2).eval()
    low = Upscaler(create_torch(network, torch.device("cpu"), "bf16", 4, 1))
    assert low.cut_for(70, 40) is None
    hooked = SRVGGNetCompact(num_feat=8, num_conv=2).eval()
    hooked.register_forward_hook(lambda *_: None)
    watched = Upscaler(create_torch(hooked, torch.device("cpu"), "fp32", 4, 1))
    assert watched.cut_for(70, 40) is None and watched.upscale(np.full((70, 40, 3), 200, np.uint8)).any()
    monkeypatch.setattr("realesrgan.inference.upscaler.returns_freed_memory", lambda: False)
    kept = Upscaler(create_torch(network, torch.device("cpu"), "fp32", 4, 1))
    assert kept.cut_for(70, 40) is None
    assert not caplog.records


def test_frames_are_streamed_alike(tight: Callable[[int], None]) -> None:
    frames = torch.rand(2, 3, 150, 40)
    upscaler = Upscaler(engine_of(small_rrdbnet()))
    whole = upscaler.upscale_frames(frames)
    tight(1200 << 10)
    assert upscaler.cut_for(150, 40) is not None
    assert float((upscaler.upscale_frames(frames) - whole).abs().max()) < 1e-5


def test_strips_have_one_height_in_the_steady_state() -> None:
    heights: list[int] = []
    network = small_rrdbnet()
    plan = plan_stream(network)
    network.conv_hr.register_forward_hook(lambda *_: None)
    original = F.conv2d

    def spy(tensor: Tensor, weight: Tensor, *rest: Any) -> Tensor:
        if weight is network.conv_last.weight:
            heights.append(tensor.shape[2])
        return original(tensor, weight, *rest)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(F, "conv2d", spy)
        streamed(plan, torch.rand(1, 3, 160, 8), 16)
    assert set(heights[1:-1]) == {4 * 16 + 2}


@pytest.mark.parametrize("rows", [160, 161, 175])
def test_the_rows_that_waited_for_the_end_are_not_computed_all_at_once(rows: int) -> None:
    heights: list[int] = []
    network = small_rrdbnet()
    plan = plan_stream(network)
    original = F.conv2d

    def spy(tensor: Tensor, weight: Tensor, *rest: Any) -> Tensor:
        if weight is network.conv_last.weight:
            heights.append(tensor.shape[2])
        return original(tensor, weight, *rest)

    image = torch.rand(1, 3, rows, 8)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(F, "conv2d", spy)
        found = streamed(plan, image, 16)
    assert max(heights) == 4 * 16 + 2 and plan.radius > 16
    with torch.inference_mode():
        assert torch.allclose(found, network(image), atol=1e-5)


def test_memory_does_not_grow_with_the_length() -> None:
    program = textwrap.dedent(
        """
        import resource, sys, torch
        from realesrgan.archs import RRDBNet
        from realesrgan.inference.streaming import Stream, plan_stream
        torch.set_num_threads(1)
        rows = int(sys.argv[1])
        network = RRDBNet(3, 3, 4, num_feat=32, num_block=1, num_grow_ch=16).eval()
        stream = Stream(plan_stream(network), rows)
        with torch.inference_mode():
            for _ in range(rows // 16):
                stream.push(torch.rand(1, 3, 16, 64))
        print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
        """
    )
    peaks = [
        int(subprocess.run([sys.executable, "-c", program, str(rows)], capture_output=True, check=True).stdout)
        for rows in (320, 3200)
    ]
    assert peaks[1] < peaks[0] * 1.1


def test_the_longer_side_flows_and_the_shorter_one_is_the_width() -> None:
    plan = plan_stream(RRDBNet(3, 3, 4, num_feat=32, num_block=2, num_grow_ch=16).eval())
    assert plan.scale == 4
    assert plan.memory(16, 100, 4) < plan.memory(32, 100, 4) < plan.memory(32, 200, 4)
    for size, axis in (((4000, 200), 2), ((200, 4000), 3)):
        cut = plan.choose_cut(*size, 1 << 30, 4)
        assert cut is not None and (cut.axis, cut.column, cut.margin) == (axis, 200, 0)
        assert plan.memory(cut.rows, 200, 4) <= 1 << 30
