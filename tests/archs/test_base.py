"""네트워크에게 묻는 것들. 아무것도 말하지 않는 네트워크도 어림으로 쓰인다."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch
from torch import nn

from realesrgan.archs import RRDBNet, SRVGGNetCompact, UNetDiscriminatorSN
from realesrgan.archs.base import activation_values, network_scale, recognise, size_multiple
from realesrgan.registry import ARCH_REGISTRY


class Plain(nn.Module):
    """배율도 배수도 말하지 않는 네트워크."""

    def __init__(self, width: int = 5, factor: int = 3) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, width, 3, 1, 1)
        self.last = nn.Conv2d(width, 3 * factor**2, 3, 1, 1)
        self.shuffle = nn.PixelShuffle(factor)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.shuffle(self.last(self.first(x)))


@pytest.fixture
def registered() -> Iterator[type[Plain]]:
    """등록부에 올린 사용자의 네트워크."""
    ARCH_REGISTRY.register(Plain)
    yield Plain
    del ARCH_REGISTRY._objects["Plain"]


@pytest.mark.parametrize("scale", [1, 2, 3, 4, 8, 16])
def test_rrdbnet_of_every_scale_grows_the_picture_by_it(scale: int) -> None:
    network = RRDBNet(3, 3, scale, num_feat=4, num_block=1, num_grow_ch=2)
    side = 4 * network.size_multiple
    assert network(torch.rand(1, 3, side, side)).shape[-1] == side * scale
    assert (network_scale(network), size_multiple(network)) == (scale, {1: 4, 2: 2}.get(scale, 1))


@pytest.mark.parametrize(("scale", "count"), [(1, 0), (2, 1), (4, 3)])
def test_rrdbnet_without_folding_is_recognised(scale: int, count: int) -> None:
    network = RRDBNet(3, 3, scale, num_feat=4, num_block=2, num_grow_ch=2, num_upsample=count)
    found = recognise(network.state_dict(), {})
    assert found is not None and (found.arch, found.arch_args["scale"]) == ("RRDBNet", scale)
    assert RRDBNet(**found.arch_args).num_upsample == count


@pytest.mark.parametrize(
    "arguments",
    [{"scale": 5}, {"scale": 3, "num_upsample": 1}, {"scale": 4, "num_upsample": 1}, {"scale": 2, "num_upsample": -1}],
)
def test_scales_that_cannot_be_made_are_refused(arguments: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="scale"):
        RRDBNet(3, 3, **arguments)


def test_network_that_says_nothing_is_measured(registered: type[Plain]) -> None:
    network = registered()
    before = {key: value.clone() for key, value in network.state_dict().items()}
    assert network_scale(network) == 3
    assert size_multiple(network) == 1
    assert activation_values(network).peak > 0
    assert all(torch.equal(value, before[key]) for key, value in network.state_dict().items())


def test_registered_network_is_recognised_by_its_shapes(registered: type[Plain]) -> None:
    found = recognise(registered().state_dict(), {})
    assert found is not None and (found.arch, found.arch_args) == ("Plain", {})
    assert recognise(registered(width=7).state_dict(), {}) is None
    hints = {"arch": "Plain", "arch_args": {"width": 7}}
    found = recognise(registered(width=7).state_dict(), hints)
    assert found is not None and found.arch_args == {"width": 7}


def test_discriminator_is_no_generator() -> None:
    assert recognise(UNetDiscriminatorSN(3, num_feat=4).state_dict(), {}) is None


def test_compiled_network_is_asked_inside() -> None:
    network = SRVGGNetCompact(num_feat=4, num_conv=1, upscale=2)
    wrapper = nn.Module()
    wrapper._orig_mod = network
    assert network_scale(wrapper) == 2
    assert activation_values(wrapper) == network.activation_values


def test_scale_of_something_that_is_no_network_is_unknown() -> None:
    assert network_scale(object()) is None
    assert network_scale(nn.Linear(3, 3)) is None
