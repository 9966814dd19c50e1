"""휴대전화의 파일이 그 런타임에서 본래와 같고, 다르면 남지 않는지."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from realesrgan.archs import SRVGGNetCompact
from realesrgan.errors import ExportError, InvalidValueError, MissingPackageError
from realesrgan.export import mobile
from realesrgan.export.mobile import export_mobile, make_plan, measure, result_table
from realesrgan.export.targets import TARGETS
from realesrgan.inference.model import Model, load
from realesrgan.zoo.convert import NCNN_LIMIT
from realesrgan.zoo.ncnn import read_ncnn, read_notes
from tests.scripts.command import draw, leftovers, run_script

TILE = 32


@pytest.fixture
def make(tiny_rrdbnet: Callable, save_network: Callable[..., Path]) -> Callable[[str], Model]:
    """이름의 작은 모델."""

    def build(name: str) -> Model:
        torch.manual_seed(0)
        network = SRVGGNetCompact(num_feat=8, num_conv=2) if name == "srvgg" else tiny_rrdbnet(int(name[-1]))
        return load(save_network(network.eval(), f"{name}.pth"))

    return build


def needs(target: str) -> None:
    """런타임의 패키지가 없으면 까닭을 말하고 건너뛴다. 아직 이 파이썬의 wheel이 없는 패키지도 있다."""
    row = TARGETS[target]
    for package in row.packages:
        pytest.importorskip(package, reason=f"{package} 패키지가 없습니다. 해결: {row.install}")


EXPORTS = [(row.name, precision) for row in TARGETS.values() for precision in row.precisions]


@pytest.mark.slow
@pytest.mark.parametrize(("target", "precision"), EXPORTS)
def test_exported_network_gives_the_same_picture(target: str, precision: str, make, tmp_path: Path) -> None:
    needs(target)
    model = make("srvgg")
    picture = draw(tmp_path / "사진.png", 50, 60)
    result = export_mobile(model, tmp_path / "한글 폴더", make_plan(model, target, precision, TILE), pictures=[picture])
    assert result.file.exists() and result.size > 500
    assert result.largest <= {"fp32": 1e-4, "fp16": 2e-2, "int8": 0.1}[precision]
    assert result.psnr is not None and result.psnr > {"fp32": 90, "fp16": 55, "int8": 40}[precision]
    assert not leftovers(tmp_path)
    # 견줄 때 쓰지 않은 입력에서도 같다.
    runner = mobile._worker(result.plan).open_runner(result.file, result.plan)
    batch = torch.rand(1, 3, TILE, TILE)
    with torch.inference_mode():
        assert (runner(batch) - model.network(batch)).abs().max() < {"fp32": 1e-4, "fp16": 2e-2, "int8": 0.1}[precision]


@pytest.mark.slow
@pytest.mark.parametrize("target", list(TARGETS))
def test_network_that_folds_its_input_is_exported(target: str, make, tmp_path: Path) -> None:
    needs(target)
    model = make("rrdb-2")
    result = export_mobile(model, tmp_path, make_plan(model, target, "fp32", TILE))
    assert result.largest < NCNN_LIMIT and result.psnr is None


@pytest.mark.slow
@pytest.mark.parametrize("target", ["executorch", "coreml"])
def test_other_shape_is_offered_too(target: str, make, tmp_path: Path) -> None:
    needs(target)
    model = make("srvgg")
    plan = make_plan(model, target, "fp32", TILE, TARGETS[target].shapes[1])
    assert export_mobile(model, tmp_path, plan).largest < 1e-4


def _metadata(target: str, result: mobile.MobileResult) -> dict[str, str]:
    if target == "ncnn":
        return read_notes(result.file.read_text(encoding="utf-8"))
    if target == "litert":
        from realesrgan.export.litert import read_metadata

        return read_metadata(result.file.read_bytes(), result.plan)
    if target == "coreml":
        import coremltools

        return dict(coremltools.models.MLModel(str(result.file), skip_model_load=True).user_defined_metadata)
    from executorch.runtime import Runtime

    program = Runtime.get().load_program(result.file.read_bytes())
    return {name: str(program.load_method(name).execute([])[0]) for name in program.method_names - {"forward"}}


@pytest.mark.slow
@pytest.mark.parametrize("target", list(TARGETS))
def test_files_hold_their_metadata(target: str, make, tmp_path: Path) -> None:
    needs(target)
    model = make("srvgg")
    model = replace(model, weights=replace(model.weights, metadata={**model.weights.metadata, "license": "MIT"}))
    result = export_mobile(model, tmp_path, make_plan(model, target, "fp16", TILE))
    held = _metadata(target, result)
    assert held["scale"] == "4" and held["size_multiple"] == "1" and held["precision"] == "fp16"
    assert held["license"] == model.license and held["shape"] == result.plan.shape
    assert target == "ncnn" or held["tile"] == str(TILE)


def test_ncnn_reads_a_param_file_with_metadata_as_before(make, tmp_path: Path) -> None:
    needs("ncnn")
    model = make("srvgg")
    result = export_mobile(model, tmp_path, make_plan(model, "ncnn"))
    layers = read_ncnn(result.file, result.file.with_suffix(".bin"))
    assert [layer.kind for layer in layers].count("Convolution") == 4
    again = load(result.file)
    batch = torch.rand(1, 3, 9, 7)
    with torch.inference_mode():
        assert torch.equal(again.network(batch), model.network(batch))


@pytest.mark.parametrize("bound", [{"limit": 1e-12}, {"psnr_floor": 1000.0}])
def test_difference_above_the_bound_leaves_no_file(bound: dict[str, float], make, tmp_path: Path) -> None:
    needs("ncnn")
    model = make("rrdb-4")
    picture = draw(tmp_path / "사진.png")
    with pytest.raises(ExportError, match="본래와 다릅니다"):
        export_mobile(model, tmp_path / "결과", make_plan(model, "ncnn", "fp16"), pictures=[picture], **bound)
    assert not list((tmp_path / "결과").iterdir())


def test_earlier_file_stays_when_the_new_one_fails(make, tmp_path: Path) -> None:
    needs("ncnn")
    model = make("srvgg")
    plan = make_plan(model, "ncnn")
    before = export_mobile(model, tmp_path, plan).file.read_bytes()
    with pytest.raises(ExportError):
        export_mobile(model, tmp_path, plan, limit=1e-12)
    assert export_mobile(model, tmp_path, plan).file.read_bytes() == before


@pytest.mark.parametrize(
    ("target", "precision", "shape"),
    [("ncnn", "int8", None), ("executorch", "int8", None), ("litert", "fp32", "dynamic"), ("none", "fp32", None)],
)
def test_what_a_runtime_lacks_is_refused_with_a_reason(target: str, precision: str, shape: str | None, make) -> None:
    with pytest.raises(InvalidValueError, match="해결:"):
        make_plan(make("srvgg"), target, precision, TILE, shape)


def test_missing_package_says_how_to_install(make, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "coremltools", None)
    model = make("srvgg")
    with pytest.raises(MissingPackageError, match=r"해결: .*pip install coremltools"):
        export_mobile(model, tmp_path, make_plan(model, "coreml"))


def test_tile_is_raised_to_the_multiple(make) -> None:
    assert make_plan(make("rrdb-1"), "litert", tile=33).tile == 36
    with pytest.raises(InvalidValueError):
        make_plan(make("rrdb-1"), "litert", tile=16)


def test_table_holds_each_size_and_time(make, tmp_path: Path) -> None:
    needs("ncnn")
    model = make("srvgg")
    results = [export_mobile(model, tmp_path, make_plan(model, "ncnn", one)) for one in ("fp32", "fp16")]
    measured, baseline = measure(results, model, [8, 16], rounds=1)
    assert all(set(one.milliseconds) == {8, 16} for one in measured) and set(baseline) == {8, 16}
    lines = result_table(measured, [8, 16], baseline).splitlines()
    assert len(lines) == 5 and all(line.count("|") == lines[0].count("|") for line in lines)
    assert "| ncnn | fp16 |" in lines[-1]


def test_command_skips_what_a_runtime_lacks_and_goes_on_after_a_failure(
    save_network, tiny_srvgg, tmp_path: Path, monkeypatch, capsys
) -> None:
    needs("ncnn")
    monkeypatch.setitem(sys.modules, "coremltools", None)
    weights = save_network(tiny_srvgg)
    draw(tmp_path / "사진" / "a.png")
    base = ("--input", weights, "--pictures", tmp_path / "사진", "--output", tmp_path / "결과")
    assert run_script("pytorch2mobile", *base, "--target", "ncnn", "--precision", "fp16", "int8", "--measure", 1) == 0
    out = capsys.readouterr().out
    assert "ncnn에 없는 정밀도입니다: int8" in out and "net-fp16.param" in out and "| ncnn | fp16 |" in out
    assert run_script("pytorch2mobile", *base, "--target", "coreml", "ncnn") == 1
    shown = capsys.readouterr()
    assert "coremltools" in shown.err and "net-fp32.param" in shown.out
    assert run_script("pytorch2mobile", *base, "--target", "ncnn", "--precision", "int8") == 2
    assert not leftovers(tmp_path)
