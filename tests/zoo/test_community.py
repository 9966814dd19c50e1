"""다른 사람들이 저장한 여러 모양의 가중치 파일이 같은 네트워크로 실린다."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from realesrgan.archs import RRDBNet, UNetDiscriminatorSN
from realesrgan.errors import WeightsError
from realesrgan.util.optional import is_installed, prepare_torchvision
from realesrgan.zoo.community import PREFIX, guess_architecture
from realesrgan.zoo.weights import open_weights

State = dict[str, torch.Tensor]
BLOCKS = 2


def network(scale: int = 4, **arguments: Any) -> RRDBNet:
    torch.manual_seed(0)
    return RRDBNet(3, 3, scale, num_feat=8, num_block=BLOCKS, num_grow_ch=4, **arguments).eval()


def first_names(state: State) -> State:
    """ESRGAN의 첫 이름. 층의 차례로 부른다."""
    count = sum(key.startswith("conv_up") and key.endswith("weight") for key in state)
    names = {"conv_first": "model.0", "conv_body": f"model.1.sub.{BLOCKS}"}
    names |= {f"conv_up{n}": f"model.{3 * n}" for n in range(1, count + 1)}
    names |= {"conv_hr": f"model.{3 * count + 2}", "conv_last": f"model.{3 * count + 4}"}
    renamed = {}
    for key, value in state.items():
        head, leaf = key.rsplit(".", 1)
        block = re.fullmatch(r"body\.(\d+)\.rdb(\d)\.conv(\d)", head)
        own = "model.1.sub.{}.RDB{}.conv{}.0".format(*block.groups()) if block else names[head]
        renamed[f"{own}.{leaf}"] = value
    return renamed


def second_names(state: State) -> State:
    """ESRGAN의 둘째 이름. 역할로 부른다."""
    swaps = ((r"^body\.(\d+)\.rdb(\d)\.", r"RRDB_trunk.\1.RDB\2."), ("^conv_body", "trunk_conv"))
    swaps += ((r"^conv_up(\d)", r"upconv\1"), ("^conv_hr", "HRconv"))
    for pattern, name in swaps:
        state = {re.sub(pattern, name, key): value for key, value in state.items()}
    return state


def assert_same(path: Path, expected: RRDBNet) -> None:
    found = open_weights(path)
    image = torch.rand(1, 3, 8, 8)
    assert found.arch == "RRDBNet"
    assert torch.equal(found.network()(image), expected(image))


@pytest.mark.parametrize("rename", [first_names, second_names], ids=["first", "second"])
@pytest.mark.parametrize(
    ("scale", "arguments"), [(4, {}), (8, {}), (2, {"num_upsample": 1}), (1, {"num_upsample": 0}), (2, {})]
)
def test_old_names_of_esrgan_are_read(
    tmp_path: Path, rename: Callable[[State], State], scale: int, arguments: dict[str, int]
) -> None:
    expected = network(scale, **arguments)
    torch.save(rename(expected.state_dict()), tmp_path / "old.pth")
    save_file(rename(expected.state_dict()), tmp_path / "old.safetensors")
    for name in ("old.pth", "old.safetensors"):
        assert_same(tmp_path / name, expected)


@pytest.mark.parametrize("rename", [first_names, second_names], ids=["first", "second"])
def test_an_old_file_of_scale_three_needs_its_scale_said(tmp_path: Path, rename: Callable[[State], State]) -> None:
    """확대가 하나인 옛 파일은 2배와 3배의 텐서가 같다."""
    expected = network(3)
    own = {key.replace("conv_up_x3", "conv_up1"): value for key, value in expected.state_dict().items()}
    torch.save(rename(own), tmp_path / "old.pth")
    assert open_weights(tmp_path / "old.pth").arch_args["scale"] == 2
    found = open_weights(tmp_path / "old.pth", hints={"arch": "RRDBNet", "arch_args": {"scale": 3}})
    assert found.arch_args["scale"] == 3
    image = torch.rand(1, 3, 8, 8)
    assert torch.equal(found.network()(image), expected(image))


@pytest.mark.parametrize("key", ["params", "params_ema", "params-ema", "model", "state_dict", "model_state_dict"])
@pytest.mark.parametrize("prefix", ["", "module.", "net_g.", "generator.", "model.", "_orig_mod.", "model.module."])
def test_containers_and_prefixes_are_taken_off(tmp_path: Path, key: str, prefix: str) -> None:
    expected = network()
    state = {prefix + name: value for name, value in expected.state_dict().items()}
    torch.save({key: state, "epoch": 3}, tmp_path / "net.ckpt")
    assert_same(tmp_path / "net.ckpt", expected)


@pytest.mark.parametrize(
    "keys", [("state_dict", "model"), ("model", "params_ema"), ("net_g",), ("generator", "params")]
)
def test_containers_inside_containers_are_opened(tmp_path: Path, keys: tuple[str, ...]) -> None:
    expected = network()
    content: dict[str, Any] = dict(expected.state_dict())
    for key in reversed(keys):
        content = {key: content, "step": 3}
    torch.save(content, tmp_path / "net.pth")
    assert_same(tmp_path / "net.pth", expected)


def test_a_container_that_holds_itself_is_refused(tmp_path: Path) -> None:
    content: dict[str, Any] = {}
    content["model"] = content
    torch.save(content, tmp_path / "net.pth")
    with pytest.raises(WeightsError, match="state dict"):
        open_weights(tmp_path / "net.pth")


@pytest.mark.parametrize("rename", [first_names, second_names], ids=["first", "second"])
def test_old_names_may_be_wrapped_too(tmp_path: Path, rename: Callable[[State], State]) -> None:
    expected = network()
    state = {f"module.{name}": value for name, value in rename(expected.state_dict()).items()}
    torch.save({"state_dict": state}, tmp_path / "net.pth")
    assert_same(tmp_path / "net.pth", expected)


def test_generator_is_picked_out_of_a_whole_training(tmp_path: Path) -> None:
    expected = network()
    both = {f"net_g.{name}": value for name, value in expected.state_dict().items()}
    both |= {f"net_d.{name}": value for name, value in UNetDiscriminatorSN(3, num_feat=4).state_dict().items()}
    torch.save({"state_dict": both}, tmp_path / "lightning.ckpt")
    assert_same(tmp_path / "lightning.ckpt", expected)


@pytest.mark.parametrize("convert", [torch.Tensor.half, torch.Tensor.double, torch.nn.Parameter])
def test_other_types_of_numbers_are_read(tmp_path: Path, convert: Callable[[Any], Any]) -> None:
    expected = network()
    state = {key: convert(value) for key, value in expected.state_dict().items()}
    torch.save(state, tmp_path / "net.pth")
    found = open_weights(tmp_path / "net.pth")
    assert {value.dtype for value in found.state.values()} == {torch.float32}
    assert torch.allclose(found.state["conv_last.weight"], expected.conv_last.weight, atol=1e-3)


def test_names_of_files_do_not_matter(tmp_path: Path) -> None:
    for name in ("NET.PTH", "net", "net.v2.1"):
        torch.save(network().state_dict(), tmp_path / name)
        assert_same(tmp_path / name, network())


@pytest.mark.parametrize(
    ("keys", "name"),
    [
        (("layers.0.residual_group.blocks.0.norm1.weight",), "SwinIR"),
        (("model.1.sub.0.RDB1.conv1x1.weight",), "ESRGAN+"),
        (("something.else",), None),
    ],
)
def test_architecture_is_guessed_by_its_names(keys: tuple[str, ...], name: str | None) -> None:
    assert guess_architecture({key: torch.zeros(1) for key in keys}) == name


def test_without_spandrel_the_message_names_the_architecture_and_the_install_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "spandrel", None)
    path = tmp_path / "swinir.pth"
    torch.save({"layers.0.residual_group.blocks.0.norm1.weight": torch.zeros(4)}, path)
    with pytest.raises(WeightsError, match="SwinIR") as caught:
        open_weights(path)
    assert all(part in str(caught.value) for part in ("pip install spandrel", "--plugin", str(path)))


@pytest.mark.parametrize(
    "state",
    [
        {"upconv1.weight": torch.zeros(3, 3, 3, 3)},
        {"conv_first.weight": torch.zeros(8, 3, 3, 3)},
        UNetDiscriminatorSN(3, num_feat=4).state_dict(),
    ],
    ids=["one tensor", "half a network", "discriminator"],
)
def test_file_that_cannot_be_used_is_named(tmp_path: Path, state: State) -> None:
    path = tmp_path / "이상한 파일.pth"
    torch.save(state, path)
    with pytest.raises(WeightsError, match="이상한 파일"):
        open_weights(path)


def test_spandrel_lends_its_networks(tmp_path: Path) -> None:
    if not is_installed("spandrel"):
        pytest.skip("spandrel이 없다")
    prepare_torchvision()
    import spandrel
    from spandrel.architectures.SPAN import SPAN

    import realesrgan

    lent = SPAN(num_in_ch=3, num_out_ch=3, feature_channels=8, upscale=2).eval()
    path = tmp_path / "span.pth"
    torch.save(lent.state_dict(), path)
    model = realesrgan.load(path, device="cpu")
    assert (model.arch, model.scale) == (f"{PREFIX}SPAN", 2)
    image = torch.rand(1, 3, 16, 18)
    expected = spandrel.ModelLoader().load_from_file(path).model.eval()(image)
    assert torch.allclose(model.network(image), expected, rtol=1e-4, atol=1e-4)
