"""CPU의 bf16: 언제 고르는지, 끝에서 값을 지키는지, 띠와 통째가 같은 일을 하는지."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

import realesrgan
from realesrgan.archs import RRDBNet, SRVGGNetCompact
from realesrgan.inference.engines import torch as mixed_precision
from realesrgan.inference.engines.base import create_engine
from realesrgan.inference.engines.torch import phase_weights, round_weight, to_bf16
from realesrgan.inference.streaming import Stream, plan_stream
from tests.conftest import ROOT, nearest_network, small_rrdbnet


def psnr(one: torch.Tensor, other: torch.Tensor) -> float:
    return float(-10 * torch.log10(((one.clamp(0, 1) - other.clamp(0, 1)) ** 2).mean() + 1e-12))


@pytest.mark.native_bf16
@pytest.mark.parametrize(
    ("instructions", "faster", "expected"),
    [
        ("avx512_bf16", True, ("torch", "bf16")),
        ("avx512_bf16", False, ("ncnn", "fp32")),
        ("amx_tile", True, ("torch", "bf16")),
        ("amx_tile", False, ("torch", "fp32")),
        ("", True, ("ncnn", "fp32")),
    ],
)
def test_a_cpu_computes_in_bf16_only_where_it_is_native_and_faster(
    instructions: str, faster: bool, expected: tuple[str, str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    pytest.importorskip("ncnn")
    monkeypatch.setenv("REALESRGAN_HOME", str(tmp_path))
    monkeypatch.setattr(mixed_precision.platform, "machine", lambda: "x86_64")
    for name in ("avx512_bf16", "amx_tile"):
        monkeypatch.setattr(torch.cpu, f"_is_{name}_supported", lambda one=name: one == instructions, raising=False)
    monkeypatch.setattr(mixed_precision, "_bf16_is_faster", lambda: faster)
    mixed_precision.prefers_bf16.cache_clear()
    engine = create_engine(small_rrdbnet(), device="cpu")
    mixed_precision.prefers_bf16.cache_clear()
    assert (engine.name, engine.precision) == expected


def test_the_user_and_unknown_networks_keep_fp32(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mixed_precision, "prefers_bf16", lambda: True)
    assert create_engine(small_rrdbnet(), device="cpu", precision="fp32").precision == "fp32"
    assert create_engine(nn.Sequential(nn.Conv2d(3, 3, 3, 1, 1)), device="cpu", scale=1).precision == "fp32"
    assert create_engine(small_rrdbnet(), device="cpu", backend="ncnn").precision == "fp32"


def test_the_probe_gives_an_answer_on_any_cpu() -> None:
    assert mixed_precision._bf16_is_faster() in (True, False)


class Probe:
    """부른 횟수를 세며 정해 둔 답을 주는, 재는 함수."""

    def __init__(self, answer: bool) -> None:
        self.answer, self.calls = answer, 0

    def __call__(self) -> bool:
        self.calls += 1
        return self.answer


@pytest.mark.parametrize("first", [True, False])
def test_the_first_measurement_decides_for_later_processes(
    first: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REALESRGAN_HOME", str(tmp_path / "home"))
    wavering = Probe(not first)
    assert mixed_precision.remembered_bf16(lambda: first) is first
    assert mixed_precision.remembered_bf16(wavering) is first and wavering.calls == 0
    assert [path.name for path in (tmp_path / "home").iterdir()] == ["bf16.json"]


@pytest.mark.parametrize(
    "content",
    ["", "{", "[]", "null", "[" * 5000, '{"faster": true}', '{"faster": 1}', "\x00\xff", "{}"],
)
def test_a_broken_memory_is_measured_again(content: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REALESRGAN_HOME", str(tmp_path))
    (tmp_path / mixed_precision.BF16_FILE).write_text(content, encoding="latin-1")
    probe = Probe(True)
    assert mixed_precision.remembered_bf16(probe) is True and probe.calls == 1
    assert mixed_precision.remembered_bf16(probe) is True and probe.calls == 1


@pytest.mark.parametrize("key", ["cpu", "torch"])
def test_another_cpu_or_version_is_measured_again(key: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REALESRGAN_HOME", str(tmp_path))
    mixed_precision.remembered_bf16(lambda: True)
    written = json.loads((tmp_path / mixed_precision.BF16_FILE).read_text(encoding="utf-8"))
    file = tmp_path / mixed_precision.BF16_FILE
    file.write_text(json.dumps({**written, key: "other"}), encoding="utf-8")
    assert mixed_precision.remembered_bf16(lambda: False) is False
    assert json.loads((tmp_path / mixed_precision.BF16_FILE).read_text(encoding="utf-8")) == {
        **written,
        "faster": False,
    }


def test_a_home_that_cannot_be_written_only_loses_the_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("", encoding="utf-8")
    monkeypatch.setenv("REALESRGAN_HOME", str(blocked / "home"))
    assert [mixed_precision.remembered_bf16(lambda one=one: one) for one in (True, False)] == [True, False]


def test_an_answer_written_meanwhile_by_another_process_is_followed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REALESRGAN_HOME", str(tmp_path))

    def measured_while_another_finishes() -> bool:
        mixed_precision.remembered_bf16(lambda: False)
        return True

    assert mixed_precision.remembered_bf16(measured_while_another_finishes) is False


def test_the_input_passes_a_bf16_network_without_losing_bits() -> None:
    """값이 0인 SRVGG는 입력을 늘린 것만 남는다. 16비트의 단계가 그대로 나와야 한다."""
    values = torch.arange(65536, dtype=torch.float32).reshape(1, 1, 256, 256).expand(-1, 3, -1, -1) / 65535
    enlarged = create_engine(nearest_network(2), device="cpu", backend="torch", precision="bf16")(values)
    assert torch.equal((enlarged[:, :, ::2, ::2] * 65535).round(), (values * 65535).round())


def test_the_edges_of_the_network_keep_more_than_plain_bf16() -> None:
    torch.manual_seed(0)
    network, batch = small_rrdbnet(), torch.rand(1, 3, 40, 24)
    with torch.inference_mode():
        expected = network(batch)
        plain = copy.deepcopy(network).to(torch.bfloat16)(batch.to(torch.bfloat16)).float()
        found = to_bf16(network)(batch)
    assert found.dtype == torch.float32
    assert psnr(found, expected) > psnr(plain, expected) + 1.5


def test_rounding_the_weights_together_loses_less_than_rounding_each() -> None:
    """특징처럼 이웃끼리 비슷한 입력에서 합성곱의 오차를 견준다."""
    torch.manual_seed(0)
    layer = nn.Conv2d(16, 16, 3)
    rough = torch.rand(1, 16, 70, 70)
    smooth = nn.functional.avg_pool2d(rough, 7, 1)
    rounded = round_weight(layer.weight)
    assert rounded.dtype == torch.bfloat16 and rounded.shape == layer.weight.shape
    each = layer.weight.detach().bfloat16()
    # 저마다의 자리는 이웃에서 넘겨받은 것까지 몇 단계 안에서만 달라진다.
    step = layer.weight.detach().abs().amax((2, 3), keepdim=True) * 2**-7
    assert ((rounded.float() - layer.weight).abs() <= 2 * step).all()

    def error(weight: torch.Tensor) -> float:
        with torch.no_grad():
            made = nn.functional.conv2d(smooth, weight.float()) - nn.functional.conv2d(smooth, layer.weight)
        return float(made.square().mean())

    assert error(rounded) < 0.25 * error(each)


@pytest.mark.parametrize("shape", [(4, 3, 1, 1), (4, 2, 1, 3), (2, 2, 5, 5), (1, 1, 3, 3)])
def test_weights_of_any_kernel_are_rounded(shape: tuple[int, ...]) -> None:
    weight = torch.randn(shape)
    rounded = round_weight(weight)
    assert rounded.shape == weight.shape and torch.allclose(rounded.float(), weight, atol=0.05)
    if shape[2:] == (1, 1):
        assert torch.equal(rounded, weight.bfloat16())


def test_a_bf16_network_adds_its_biases_in_full(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mixed_precision, "onednn_abilities", lambda: (True, False))
    made = to_bf16(small_rrdbnet())
    layers = [layer for layer in made.modules() if isinstance(layer, nn.Conv2d)]
    assert layers and all(layer.bias.dtype == torch.float32 for layer in layers if layer.bias is not None)
    monkeypatch.setattr(mixed_precision, "onednn_abilities", lambda: (False, False))
    kinds = {layer.bias.dtype for layer in to_bf16(small_rrdbnet()).body.modules() if isinstance(layer, nn.Conv2d)}
    assert kinds == {torch.bfloat16}


def test_a_cpu_that_cannot_add_full_biases_computes_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    network, batch = small_rrdbnet(), torch.rand(1, 3, 24, 24)
    monkeypatch.setattr(mixed_precision, "onednn_abilities", lambda: (False, False))
    with torch.inference_mode():
        assert psnr(to_bf16(network)(batch), network(batch)) > 45


@pytest.mark.parametrize("size", [(24, 17), (1, 1), (2, 40)])
@pytest.mark.parametrize("scale", [1, 2, 3, 4, 8])
def test_convolutions_joined_with_what_follows_draw_the_same_picture(
    scale: int, size: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    torch.manual_seed(0)
    network = small_rrdbnet(scale)
    made = to_bf16(network).eval()
    multiple = network.size_multiple
    batch = torch.rand(2, 3, size[0] * multiple, size[1] * multiple)
    with torch.inference_mode():
        joined, expected = made(batch), network(batch)
        again = copy.deepcopy(made)(batch)
        monkeypatch.setattr(mixed_precision, "onednn_abilities", lambda: (True, False))
        apart = made(batch)
    assert joined.shape == expected.shape and torch.equal(joined, again)
    assert float((joined - apart).abs().max()) < 0.03 and psnr(joined, expected) > psnr(apart, expected) - 2


@pytest.mark.parametrize("size", [(1, 1), (5, 8)])
def test_an_enlarged_convolution_is_four_small_ones(size: tuple[int, int]) -> None:
    x, weight = torch.rand(2, 4, *size), torch.randn(6, 4, 3, 3)
    expected = F.conv2d(F.interpolate(x, scale_factor=2), weight, None, 1, 1)
    for number, phase in enumerate(phase_weights(weight)):
        row, column = divmod(number, 2)
        found = F.conv2d(x, phase, None, 1, 1)[:, :, row : row + size[0], column : column + size[1]]
        assert torch.allclose(found, expected[:, :, row::2, column::2], atol=1e-5)


def test_what_a_pytorch_cannot_join_is_done_one_after_another(monkeypatch: pytest.MonkeyPatch) -> None:
    def changed(*_arguments: object) -> None:
        raise TypeError("_convolution_pointwise() takes 9 arguments")

    monkeypatch.setattr(torch.ops.mkldnn, "_convolution_pointwise", changed)
    mixed_precision.onednn_abilities.cache_clear()
    try:
        assert not mixed_precision.onednn_abilities()[1]
    finally:
        mixed_precision.onednn_abilities.cache_clear()


@pytest.mark.parametrize("size", [(24, 17), (1, 1), (1, 9), (2, 40)])
@pytest.mark.parametrize("features", [8, 24, 64])
def test_layers_called_in_a_row_draw_the_same_picture_as_one_by_one(
    features: int, size: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    torch.manual_seed(0)
    network = SRVGGNetCompact(num_feat=features, num_conv=3)
    for layer in network.body:
        if isinstance(layer, nn.PReLU):
            nn.init.uniform_(layer.weight, -0.5, 1.5)
    made, batch = to_bf16(network.eval()), torch.rand(2, 3, *size)
    with torch.inference_mode():
        linked = made(batch)
        assert torch.equal(copy.deepcopy(made)(batch), linked)
        monkeypatch.setattr(mixed_precision, "links_layers", lambda: False)
        apart = made(batch)
        assert torch.equal(linked, apart) and linked.stride() == apart.stride()
        assert psnr(linked, network(batch)) > 45


def test_only_plain_layers_in_a_row_are_linked() -> None:
    class Doubled(nn.PReLU):
        def forward(self, input: torch.Tensor) -> torch.Tensor:
            return super().forward(input) * 2

    assert to_bf16(SRVGGNetCompact(num_feat=8, num_conv=2)).body[0].opens
    changed = SRVGGNetCompact(num_feat=8, num_conv=2)
    changed.body[1] = Doubled(8)
    padded = SRVGGNetCompact(num_feat=8, num_conv=2)
    padded.body[2].padding_mode = "reflect"
    for network in (changed, padded, SRVGGNetCompact(num_feat=8, num_conv=2, act_type="relu")):
        made = to_bf16(network)
        assert not any(getattr(layer, "opens", False) or getattr(layer, "closes", False) for layer in made.body)
        assert all(type(layer) is not mixed_precision.Bf16PReLU for layer in made.body)


def test_a_network_put_back_to_fp32_after_its_layers_were_linked_follows() -> None:
    torch.manual_seed(0)
    network, batch = SRVGGNetCompact(num_feat=8, num_conv=3).eval(), torch.rand(1, 3, 12, 12)
    engine = create_engine(network, device="cpu", backend="torch", precision="bf16")
    engine(batch)
    engine.network.float()
    with torch.inference_mode():
        assert psnr(engine(batch), network(batch)) > 45


def test_a_pytorch_without_linked_layers_computes_one_by_one(monkeypatch: pytest.MonkeyPatch) -> None:
    def absent(*_arguments: object) -> None:
        raise RuntimeError("Could not run 'aten::_prelu_kernel' with arguments from the 'MkldnnCPU' backend")

    monkeypatch.setattr(torch, "_prelu_kernel", absent)
    mixed_precision.links_layers.cache_clear()
    try:
        assert not mixed_precision.links_layers()
    finally:
        mixed_precision.links_layers.cache_clear()


def test_convolutions_that_others_changed_are_only_cast() -> None:
    class Doubled(nn.Conv2d):
        def forward(self, input: torch.Tensor) -> torch.Tensor:
            return super().forward(input) * 2

    hooked = nn.Conv2d(3, 3, 3, 1, 1)
    hooked.register_forward_hook(lambda _module, _inputs, output: output + 1)
    network = nn.Sequential(Doubled(3, 3, 3, 1, 1), hooked, nn.Conv2d(3, 3, 3, 1, "same", groups=3))
    made = to_bf16(network)
    assert [type(layer).__name__ for layer in made] == ["Doubled", "Conv2d", "Bf16Conv"]
    batch = torch.rand(1, 3, 12, 12)
    with torch.inference_mode():
        assert torch.allclose(made(batch.bfloat16()).float(), network(batch), atol=0.05)


def test_the_residual_between_blocks_is_kept_in_full_only_by_the_bf16_copy() -> None:
    network = small_rrdbnet()
    made = to_bf16(network)
    seen: list[torch.dtype] = []
    for block in made.body:
        block.register_forward_hook(lambda _module, _inputs, output: seen.append(output.dtype))
    with torch.inference_mode():
        made(torch.rand(1, 3, 12, 12))
    assert set(seen) == {torch.float32} and not network.wide_residual


@pytest.mark.parametrize("axis", [2, 3])
@pytest.mark.parametrize("build", [small_rrdbnet, lambda: SRVGGNetCompact(num_feat=8, num_conv=3)])
def test_strips_in_bf16_give_the_whole_picture_within_rounding(build: Callable[[], nn.Module], axis: int) -> None:
    torch.manual_seed(1)
    network, batch = to_bf16(build().eval()), torch.rand(1, 3, 70, 70)
    with torch.inference_mode():
        whole = network(batch)
        stream = Stream(plan_stream(network), 70, axis)
        parts = [part for strip in batch.split(14, axis) if (part := stream.push(strip)) is not None]
    # 줄의 너비가 다르면 oneDNN이 다른 커널을 골라, 끝자리가 다른 값이 드물게 있다.
    assert psnr(torch.cat(parts, axis), whole) > (90 if axis == 2 else 75)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["realesr-animevideov3", "RealESRGAN_x4plus", "RealESRGAN_x4plus_anime_6B"])
def test_official_networks_stay_above_50_decibels(name: str) -> None:
    model = realesrgan.load(name, device="cpu", backend="torch", precision="bf16")
    image = np.asarray(_photograph())
    expected = model.with_compute(precision="fp32").upscale(image)
    error = np.mean((model.upscale(image).astype(float) - expected) ** 2)
    assert 10 * np.log10(255**2 / error) > 49


def _photograph() -> np.ndarray:
    cv2 = pytest.importorskip("cv2")
    image = cv2.imread(str(ROOT / "inputs" / "astronaut.jpg"))
    return image[:96, :128]


def test_a_network_that_overflows_in_bf16_is_computed_again_in_fp32(
    tiny_rrdbnet: Callable[[int], RRDBNet],
) -> None:
    network = tiny_rrdbnet(4)
    engine = create_engine(network, device="cpu", backend="torch", precision="bf16")
    fallback = engine.fallback()
    assert fallback is not None and fallback.precision == "fp32"
    batch = torch.rand(1, 3, 12, 12)
    with torch.inference_mode():
        assert torch.allclose(fallback(batch), network(batch), atol=1e-5)
