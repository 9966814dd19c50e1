"""재는 도구가 같은 일을 시키고, 사실을 적고, 작업자의 실패를 알리는지."""

from __future__ import annotations

import importlib.util
import json
import math
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from benchmark import measure as bench
from benchmark.flops import matmul_ceiling, network_flops
from benchmark.session import Session

from realesrgan.archs import SRVGGNetCompact
from realesrgan.archs.base import build_network
from realesrgan.errors import BenchmarkError, UsageError
from realesrgan.inference.model import load
from realesrgan.inference.realesrganer import RealESRGANer
from realesrgan.version import __version__
from realesrgan.zoo.models import get_model
from tests.scripts.command import run_script


@pytest.mark.parametrize(
    ("name", "expected"),
    [("RealESRGAN_x4plus", 35.7e6), ("realesr-animevideov3", 1.24e6), ("RealESRGAN_x2plus", 8.9e6)],
)
def test_work_of_the_official_networks_is_the_known_figure(name: str, expected: float) -> None:
    spec = get_model(name)
    network = build_network(spec.arch, spec.arch_args)
    assert network_flops(network, 64, 48) / (64 * 48) == pytest.approx(expected, rel=0.02)


def test_work_is_counted_by_hand() -> None:
    network = SRVGGNetCompact(num_feat=4, num_conv=1, upscale=2)
    by_hand = 2 * 9 * (3 * 4 + 4 * 4 + 4 * 12) * 10 * 7
    assert network_flops(network, 10, 7) == by_hand
    assert not next(network.parameters()).is_meta


def test_ceiling_is_a_speed() -> None:
    assert 0.1 < matmul_ceiling(0.05) < 1e6


@pytest.mark.parametrize("backend", ["onnxruntime", "openvino"])
def test_other_engines_do_the_same_work_as_the_upsampler(backend: str, tmp_path: Path, save_network, tiny_rrdbnet):
    pytest.importorskip(backend)
    weights = save_network(tiny_rrdbnet(2))
    with Session("시험", _job(weights, tmp_path) | {"backend": backend}) as session:
        session.run(tmp_path / "o.npy")
    expected = RealESRGANer(2, weights, pre_pad=0, device="cpu").enhance(np.load(tmp_path / "image.npy"))[0]
    assert np.abs(np.load(tmp_path / "o.npy").astype(int) - expected).max() <= 1


def test_targets_begin_with_the_reference_and_skip_what_cannot_be() -> None:
    settings = bench.Settings(["onnxruntime", "openvino", "torch"], ["fp16", "bf16", "fp32"])
    wanted = [("onnxruntime", "fp32"), ("openvino", "bf16"), ("openvino", "fp32"), ("torch", "bf16")]
    assert bench.targets(settings) == [("torch", "fp32"), *wanted]
    cuda = bench.Settings(["torch"], ["fp16"], device="cuda:0")
    assert bench.targets(cuda) == [("torch", "fp32"), ("torch", "fp16")]
    with pytest.raises(UsageError, match="모르는 이름"):
        bench.targets(bench.Settings(["tensorrt"], ["fp32"]))


def test_table_tells_median_share_and_sameness() -> None:
    row = bench.Row("net", "8x8", "torch fp32", 12.4, (11.0, 15.0), 1.5, 20.0, 0.1, 3 << 20, math.inf, 1.0)
    text = bench.to_markdown([row], {"기계": "시험"})
    assert "| net | 8x8 | torch fp32 | 12 (11~15) | 1.50 | 20 | 10% | 3MiB | 같음 | 1.00 |" in text
    assert row.to_json()["psnr"] == "inf"


def _job(weights: Path, folder: Path) -> dict[str, object]:
    image = bench.make_image(10, 8, folder / "image.npy")
    base = {"backend": "torch", "precision": "fp32", "scale": 4, "device": "auto"}
    return base | {"image": str(image), "weights": str(weights)}


def test_worker_answers_with_time_memory_and_picture(tmp_path: Path, save_network, tiny_srvgg) -> None:
    weights = save_network(tiny_srvgg)
    with Session("시험", _job(weights, tmp_path)) as session:
        sample = session.run(tmp_path / "o.npy")
        assert 0 < sample.seconds < 60
        assert sample.peak is None or sample.peak > 1 << 20
        expected = RealESRGANer(4, weights, pre_pad=0, device="cpu").enhance(np.load(tmp_path / "image.npy"))[0]
        assert np.array_equal(np.load(tmp_path / "o.npy"), expected)
        os.kill(session._process.pid, signal.SIGKILL)
        with pytest.raises(BenchmarkError, match="갑자기 끝났습니다"):
            session.run()


def test_failure_of_a_worker_is_told_with_its_own_words(tmp_path: Path) -> None:
    (tmp_path / "깨짐.pth").write_bytes(b"x")
    with pytest.raises(BenchmarkError, match="WeightsError"):
        Session("시험", _job(tmp_path / "깨짐.pth", tmp_path))
    with pytest.raises(BenchmarkError, match="띄우지 못했습니다"):
        Session("시험", {}, python=str(tmp_path / "no-such-python"))


def _peer_is_ready() -> bool:
    """이 인터프리터가 격리된 채로도 realesrgan과 basicsr를 찾는지."""
    if importlib.util.find_spec("basicsr") is None:
        return False
    check = "import importlib.util as u, sys; sys.exit(u.find_spec('realesrgan') is None)"
    return subprocess.run([sys.executable, "-I", "-c", check], cwd="/").returncode == 0


def test_peer_gets_the_missing_module_and_pth_weights(tmp_path: Path, save_network, tiny_rrdbnet) -> None:
    if not _peer_is_ready():
        pytest.skip("훈련 패키지가 없거나 realesrgan이 설치되어 있지 않습니다")
    # 이 패키지는 0.3.0과 생성자가 같으므로 견줄 패키지의 노릇을 할 수 있다. 잇는 길이 같은지만 본다.
    model = load(save_network(tiny_rrdbnet(4), "작은망.pth"))
    settings = bench.Settings(["torch"], ["fp32"], runs=1, threads=1, peer=sys.executable)
    rows = bench.measure(model, (12, 8), settings, tmp_path, 100.0, lambda: None)
    assert [row.target for row in rows] == ["torch fp32", f"{bench.PEER} {__version__}"]
    assert rows[1].psnr > 45 and rows[1].ratio > 0 and rows[0].psnr == math.inf


def test_command_writes_tables_and_dry_run_measures_nothing(tmp_path: Path, save_network, tiny_srvgg, capsys) -> None:
    weights = save_network(tiny_srvgg, "작은망.pth")
    base = (
        "-n",
        weights,
        "--sizes",
        "12x8",
        "--runs",
        2,
        "--engines",
        "torch",
        "--threads",
        1,
        "--output",
        tmp_path / "o",
    )
    assert run_script("benchmark_inference", *base, "--precisions", "fp32", "bf16", "--dry_run") == 0
    assert "작은망 12x8: torch fp32, torch bf16" in capsys.readouterr().out
    assert not (tmp_path / "o").exists()
    assert run_script("benchmark_inference", *base) == 0
    (row,) = json.loads((tmp_path / "o" / "benchmark.json").read_text("utf-8"))["rows"]
    assert row["psnr"] == "inf" and row["ratio"] == 1.0 and row["milliseconds"] > 0
    assert "작은망" in (tmp_path / "o" / "benchmark.md").read_text("utf-8")
    assert run_script("benchmark_inference", *base, "--peer", tmp_path / "none") == 1
    assert "띄우지 못했습니다" in capsys.readouterr().err
    assert run_script("benchmark_inference", "--sizes", "12by8", "--output", tmp_path / "p") == 2
