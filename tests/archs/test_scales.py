"""배율마다 싣고, 띠로 이어 돌리고, ncnn과 ONNX로 옮긴다."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

import realesrgan as sr
from realesrgan.archs import RRDBNet, SRVGGNetCompact
from realesrgan.inference.streaming import Stream, plan_stream
from realesrgan.zoo.ncnn import run_ncnn, write_ncnn

NETWORKS = [("RRDBNet", scale) for scale in (1, 2, 3, 4, 8)] + [("SRVGGNetCompact", scale) for scale in (1, 2, 3, 4, 8)]


def make(arch: str, scale: int) -> nn.Module:
    torch.manual_seed(0)
    if arch == "RRDBNet":
        return RRDBNet(3, 3, scale, num_feat=8, num_block=1, num_grow_ch=4).eval()
    return SRVGGNetCompact(num_feat=8, num_conv=2, upscale=scale).eval()


@pytest.mark.parametrize(("arch", "scale"), NETWORKS)
def test_a_saved_file_loads_and_enlarges(tmp_path: Path, arch: str, scale: int) -> None:
    network = make(arch, scale)
    torch.save({"params": network.state_dict()}, tmp_path / "net.pth")
    model = sr.load(tmp_path / "net.pth", backend="torch")
    assert (model.arch, model.scale) == (arch, scale)
    image = np.random.default_rng(0).integers(0, 256, (16, 12, 3), dtype=np.uint8)
    assert model.upscale(image).shape == (16 * scale, 12 * scale, 3)
    for key, value in network.state_dict().items():
        assert torch.equal(model.weights.state[key], value)


@pytest.mark.parametrize(("arch", "scale"), NETWORKS)
@torch.inference_mode()
def test_strips_give_the_whole(arch: str, scale: int) -> None:
    network, image = make(arch, scale), torch.rand(1, 3, 40, 12)
    stream = Stream(plan_stream(network), 40)
    parts = [stream.push(image[:, :, top : top + 8].contiguous()) for top in range(0, 40, 8)]
    joined = torch.cat([part for part in parts if part is not None], 2)
    torch.testing.assert_close(joined, network(image), atol=2e-6, rtol=0)


@pytest.mark.parametrize(("arch", "scale"), NETWORKS)
@torch.inference_mode()
def test_ncnn_runs_it_and_its_files_load_again(tmp_path: Path, arch: str, scale: int) -> None:
    pytest.importorskip("ncnn")
    network = make(arch, scale)
    text, data = write_ncnn(network)
    (tmp_path / "net.param").write_text(text, encoding="utf-8")
    (tmp_path / "net.bin").write_bytes(data)
    image = torch.rand(1, 3, 16, 12)
    result = run_ncnn(tmp_path / "net.param", image[0].numpy())
    np.testing.assert_allclose(result, network(image)[0].numpy(), atol=2e-4)
    model = sr.load(tmp_path / "net.param", backend="torch")
    assert (model.arch, model.scale) == (arch, scale)
    torch.testing.assert_close(model.network(image), network(image))


@pytest.mark.parametrize(("arch", "scale"), [("RRDBNet", 3), ("SRVGGNetCompact", 3), ("SRVGGNetCompact", 8)])
@torch.inference_mode()
def test_scales_that_no_official_file_has_are_exported(tmp_path: Path, arch: str, scale: int) -> None:
    pytest.importorskip("onnx")
    pytest.importorskip("onnxruntime")
    from realesrgan.export.formats import export_onnx

    torch.save(make(arch, scale).state_dict(), tmp_path / "net.pth")
    model = sr.load(tmp_path / "net.pth")
    found = export_onnx(model, tmp_path / "net.onnx", batches=[("batch", torch.rand(1, 3, 16, 12))], limit=1e-4)
    assert found and (tmp_path / "net.onnx").is_file()
