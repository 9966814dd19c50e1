"""내보낸 모델이 어떤 크기에서도 본래와 같고, 다르면 남지 않는지."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from realesrgan.archs import RRDBNet, SRVGGNetCompact
from realesrgan.errors import ExportError, MissingPackageError, UsageError
from realesrgan.export.formats import export_onnx, export_openvino
from realesrgan.export.verify import compare, picture_batches, random_batches, require_close, sample_pictures
from realesrgan.inference.engines.onnxruntime import OnnxEngine
from realesrgan.inference.engines.openvino import OpenVinoEngine
from realesrgan.inference.model import Model, load
from realesrgan.zoo.models import get_model
from tests.scripts.command import draw, leftovers, run_script

NETWORKS = ["srvgg-prelu", "srvgg-leakyrelu", "rrdb-4", "rrdb-2", "rrdb-1"]
# OpenVINO는 변환 한 번에 몇 초가 걸려 다른 두 모양만 본다.
CASES = [*(("onnx", name) for name in NETWORKS), ("openvino", "srvgg-prelu"), ("openvino", "rrdb-2")]
BATCHES = {multiple: random_batches(multiple) for multiple in (1, 2, 4)}


@pytest.fixture
def make(tiny_rrdbnet: Callable[[int], RRDBNet], save_network: Callable[..., Path]) -> Callable[[str], Model]:
    """이름의 작은 모델을 저장했다가 싣는 함수."""

    def build(name: str) -> Model:
        kind, variant = name.split("-")
        torch.manual_seed(0)
        network: nn.Module = (
            SRVGGNetCompact(num_feat=8, num_conv=2, act_type=variant) if kind == "srvgg" else tiny_rrdbnet(int(variant))
        )
        return load(save_network(network.eval(), f"{name}.pth"), act_type=variant if kind == "srvgg" else None)

    return build


def _backend(name: str) -> tuple[Any, Any, str]:
    """내보내는 함수, 엔진, 확장자. 패키지가 없으면 건너뛴다."""
    if name == "onnx":
        pytest.importorskip("onnx")
        pytest.importorskip("onnxruntime")
        return export_onnx, OnnxEngine, "onnx"
    pytest.importorskip("openvino")
    return export_openvino, OpenVinoEngine, "xml"


@pytest.mark.parametrize(("backend", "network"), CASES)
def test_exported_network_is_the_same_at_every_size(backend: str, network: str, make, tmp_path: Path) -> None:
    export, engine_type, extension = _backend(backend)
    model, target = make(network), tmp_path / "한글 폴더" / f"망.{extension}"
    export(model, target, precision="fp32", batches=BATCHES[model.multiple])
    engine = engine_type(target)
    assert (engine.scale, engine.multiple, engine.precision) == (model.scale, model.multiple, "fp32")
    # 견줄 때 쓰지 않은 크기에서도 같다.
    batch = torch.rand(2, 3, 20, 32)
    with torch.inference_mode():
        expected = model.network(batch)
    assert (engine(batch) - expected).abs().max() < 1e-4
    assert engine(batch).dtype == torch.float32
    assert not list(tmp_path.rglob(".realesrgan-*"))


@pytest.mark.parametrize("backend", ["onnx", "openvino"])
def test_half_precision_is_smaller_and_close(backend: str, make, tmp_path: Path) -> None:
    export, engine_type, extension = _backend(backend)
    model = make("rrdb-2")
    sizes = {}
    for precision in ("fp32", "fp16"):
        target = tmp_path / f"{precision}.{extension}"
        export(model, target, precision=precision, batches=BATCHES[2])
        data = target if backend == "onnx" else target.with_suffix(".bin")
        sizes[precision] = data.stat().st_size
    assert sizes["fp16"] < 0.85 * sizes["fp32"]
    engine_type(tmp_path / f"fp16.{extension}")
    assert b"fp16" in (tmp_path / f"fp16.{extension}").read_bytes()


@pytest.mark.parametrize("backend", ["onnx", "openvino"])
def test_difference_above_the_limit_leaves_no_file(backend: str, make, tmp_path: Path) -> None:
    export, _, extension = _backend(backend)
    with pytest.raises(ExportError, match="본래와 다릅니다"):
        export(make("rrdb-4"), tmp_path / f"o.{extension}", precision="fp16", batches=BATCHES[1], limit=1e-9)
    assert not list(tmp_path.glob("o.*")) and not list(tmp_path.rglob(".realesrgan-*"))


def test_onnx_holds_its_metadata_and_opset(make, tmp_path: Path) -> None:
    export, _, _ = _backend("onnx")
    import onnx

    export(make("rrdb-2"), tmp_path / "o.onnx", precision="fp32", batches=BATCHES[2], opset=13)
    model = onnx.load(tmp_path / "o.onnx")
    held = {entry.key: entry.value for entry in model.metadata_props}
    assert held["scale"] == "2" and held["size_multiple"] == "2" and held["architecture"] == "RRDBNet"
    assert [entry.version for entry in model.opset_import] == [13]
    dims = [dim.dim_param or dim.dim_value for dim in model.graph.input[0].type.tensor_type.shape.dim]
    assert dims == ["batch", 3, "height", "width"]


def test_comparison_sees_fixed_sizes_and_nan(tiny_srvgg) -> None:
    with pytest.raises(ExportError, match="출력 크기가 다릅니다"):
        compare(tiny_srvgg, lambda batch: torch.zeros(1, 3, 32, 32), BATCHES[1])
    broken = compare(tiny_srvgg, lambda batch: torch.full_like(tiny_srvgg(batch), torch.nan), BATCHES[1])
    with pytest.raises(ExportError):
        require_close(broken, 1e9)
    assert require_close(compare(tiny_srvgg, tiny_srvgg, BATCHES[1]), 0) == 0


def test_pictures_are_cut_to_the_multiple(tmp_path: Path) -> None:
    draw(tmp_path / "큰.png", 90, 100)
    draw(tmp_path / "작은.png", 30, 41)
    batches = dict(picture_batches(sample_pictures(tmp_path), 4))
    assert batches["큰.png"].shape == (1, 3, 64, 64) and batches["작은.png"].shape == (1, 3, 28, 28)
    with pytest.raises(UsageError):
        sample_pictures(tmp_path / "none")


def test_named_model_is_exported_without_its_partner(tmp_path: Path, monkeypatch, capsys) -> None:
    pytest.importorskip("onnx")
    pytest.importorskip("onnxruntime")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "weights").mkdir()
    spec = get_model("realesr-general-x4v3")
    torch.manual_seed(0)
    one, partner = (SRVGGNetCompact(**spec.arch_args).eval() for _ in range(2))
    for network, name in ((one, spec.name), (partner, spec.denoise_partner)):
        torch.save({"params": network.state_dict()}, tmp_path / "weights" / f"{name}.pth")
    draw(tmp_path / "사진" / "a.png")
    base = ("-n", spec.name, "--pictures", tmp_path / "사진")
    assert run_script("pytorch2onnx", *base, "--output", tmp_path / "o.onnx") == 0
    assert run_script("pytorch2onnx", *base, "-dn", 0.25, "--output", tmp_path / "mix.onnx") == 0
    batch = torch.rand(1, 3, 8, 8)
    mixed = SRVGGNetCompact(**spec.arch_args).eval()
    second = partner.state_dict()
    mixed.load_state_dict({key: 0.25 * value + 0.75 * second[key] for key, value in one.state_dict().items()})
    with torch.inference_mode():
        assert (OnnxEngine(tmp_path / "o.onnx")(batch) - one(batch)).abs().max() < 1e-4
        assert (OnnxEngine(tmp_path / "mix.onnx")(batch) - mixed(batch)).abs().max() < 1e-4


@pytest.mark.parametrize(("script", "extension"), [("pytorch2onnx", "onnx"), ("pytorch2openvino", "xml")])
def test_commands_pick_ema_unless_told_and_print_the_difference(
    script: str, extension: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    _, engine_type, _ = _backend("onnx" if extension == "onnx" else "openvino")
    torch.manual_seed(1)
    ema, plain = (SRVGGNetCompact(num_feat=4, num_conv=1).eval() for _ in range(2))
    weights = tmp_path / "두벌.pth"
    torch.save({"params_ema": ema.state_dict(), "params": plain.state_dict()}, weights)
    draw(tmp_path / "사진" / "a.png")
    base = ("--input", weights, "--pictures", tmp_path / "사진")
    batch = torch.rand(1, 3, 8, 8)
    for network, flags in ((ema, ()), (plain, ("--params",))):
        target = tmp_path / f"o.{extension}"
        assert run_script(script, *base, "--output", target, *flags) == 0
        out = capsys.readouterr().out
        assert "가장 큰 차이" in out and "a.png (1, 3, 40, 40)" in out
        with torch.inference_mode():
            expected = network(batch)
        assert (engine_type(target)(batch) - expected).abs().max() < 1e-5
    assert run_script(script, *base, "--output", tmp_path / "o.bin") == 2
    assert run_script(script, "--input", tmp_path / "none.pth", "--output", target) == 1
    assert run_script(script, *base, "--output", tmp_path / f"n.{extension}", "--limit", "1e-12") == 1
    assert not (tmp_path / f"n.{extension}").exists() and not leftovers(tmp_path)


@pytest.mark.parametrize("module", ["onnx", "onnxruntime"])
def test_missing_package_says_how_to_install(module: str, make, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(MissingPackageError, match="pip install"):
        export_onnx(make("srvgg-prelu"), tmp_path / "o.onnx", precision="fp32", opset=17, batches=BATCHES[1])
