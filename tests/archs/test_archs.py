"""네트워크의 모양, 키, 수용 영역이 공식 체크포인트와 맞는지."""

from __future__ import annotations

import pytest
import torch

from realesrgan.archs import RRDBNet, SRVGGNetCompact, UNetDiscriminatorSN
from realesrgan.registry import ARCH_REGISTRY, Registry


@pytest.mark.parametrize("name", ["RRDBNet", "SRVGGNetCompact", "UNetDiscriminatorSN"])
def test_every_network_is_registered_under_its_own_name(name: str) -> None:
    assert ARCH_REGISTRY.get(name).__name__ == name


@pytest.mark.parametrize("scale", [1, 2, 4])
def test_rrdbnet_enlarges_by_its_scale(scale: int) -> None:
    network = RRDBNet(3, 3, scale=scale, num_feat=8, num_block=1, num_grow_ch=4)
    assert network(torch.rand(2, 3, 8, 12)).shape == (2, 3, 8 * scale, 12 * scale)


@pytest.mark.parametrize("upscale", [1, 2, 3, 4])
@pytest.mark.parametrize("act_type", ["relu", "prelu", "leakyrelu"])
def test_srvgg_enlarges_by_its_scale_with_every_activation(upscale: int, act_type: str) -> None:
    network = SRVGGNetCompact(num_feat=4, num_conv=1, upscale=upscale, act_type=act_type)
    assert network(torch.rand(1, 3, 5, 7)).shape == (1, 3, 5 * upscale, 7 * upscale)


@pytest.mark.parametrize("skip", [True, False])
def test_discriminator_gives_one_logit_per_pixel(skip: bool) -> None:
    network = UNetDiscriminatorSN(3, num_feat=4, skip_connection=skip)
    assert network(torch.rand(2, 3, 16, 24)).shape == (2, 1, 16, 24)


def test_rrdbnet_has_the_official_keys_and_size() -> None:
    with torch.device("meta"):
        state = RRDBNet(3, 3).state_dict()
    assert len(state) == 702
    assert sum(value.numel() for value in state.values()) == 16_697_987
    assert state["body.22.rdb3.conv5.weight"].shape == (64, 192, 3, 3)


def test_x2_network_folds_its_input_first() -> None:
    with torch.device("meta"):
        assert RRDBNet(3, 3, scale=2).conv_first.weight.shape == (64, 12, 3, 3)
        assert RRDBNet(3, 3, scale=1).conv_first.weight.shape == (64, 48, 3, 3)


def test_srvgg_has_the_official_keys() -> None:
    keys = list(SRVGGNetCompact(num_conv=16).state_dict())
    assert keys[:3] == ["body.0.weight", "body.0.bias", "body.1.weight"]
    assert keys[-1] == "body.34.bias"


def test_discriminator_keeps_the_old_spectral_norm_keys() -> None:
    keys = UNetDiscriminatorSN(3).state_dict().keys()
    assert {"conv0.weight", "conv0.bias", "conv1.weight_orig", "conv1.weight_u", "conv1.weight_v", "conv9.bias"} <= keys
    assert "conv8.bias" not in keys


def test_dense_blocks_start_small() -> None:
    torch.manual_seed(0)
    block = RRDBNet(3, 3, num_feat=16, num_block=1, num_grow_ch=8).body[0].rdb1
    # Kaiming 정규 분포의 표준편차 sqrt(2 / fan_in)의 10분의 1.
    expected = 0.1 * (2 / (16 * 9)) ** 0.5
    assert block.conv1.weight.std().item() == pytest.approx(expected, rel=0.1)
    assert not block.conv1.bias.any()


@pytest.mark.parametrize("num_conv", [16, 32])
def test_deep_srvgg_starts_by_keeping_every_pixel_in_its_place(num_conv: int) -> None:
    """처음부터 훈련할 수 있으려면 깊은 층에서도 신호가 남고, 한 점의 변화가 흩어지지 않아야 한다."""
    torch.manual_seed(0)
    network = SRVGGNetCompact(num_feat=64, num_conv=num_conv)
    image = torch.rand(1, 3, 33, 33)
    poked = image.clone()
    poked[..., 16, 16] += 0.1
    with torch.no_grad():
        before, after = image, poked
        for layer in network.body[:-1]:
            before, after = layer(before), layer(after)
    change = (after - before).square().sum(1)[0]
    # He 2015의 값만으로는 둘 다 0.017 아래다.
    assert change[16, 16] / change.sum() > 0.04
    assert 0.1 < float(before.std()) < 10


def test_unknown_scale_and_activation_are_refused() -> None:
    with pytest.raises(ValueError, match="1, 2, 3, 4"):
        RRDBNet(3, 3, scale=5)
    with pytest.raises(ValueError, match="act_type"):
        SRVGGNetCompact(act_type="gelu")


def test_registry_refuses_a_second_object_of_the_same_name() -> None:
    registry = Registry("시험")
    registry.register(RRDBNet)
    with pytest.raises(ValueError, match="이미 있는 이름"):
        registry.register(RRDBNet)
    registry.register(RRDBNet, suffix="other")
    assert registry.keys() == ["RRDBNet", "RRDBNet_other"]


def test_registry_names_what_it_knows_when_asked_for_something_else() -> None:
    with pytest.raises(KeyError, match="RRDBNet"):
        ARCH_REGISTRY.get("Nothing")


def test_registry_decorator_returns_the_class_unchanged() -> None:
    registry = Registry("시험")

    @registry.register()
    class Something:
        pass

    assert registry.get("Something") is Something
    assert "Something" in registry
    assert list(registry) == [("Something", Something)]
