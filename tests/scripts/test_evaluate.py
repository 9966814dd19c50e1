"""평가 명령: 표, 비교표, 남긴 이미지, 종료 코드."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from realesrgan.evaluation.bicubic import bicubic_8bit
from realesrgan.evaluation.metrics import psnr
from tests.conftest import ROOT
from tests.scripts.command import draw, leftovers, read, run_script


@pytest.fixture
def gt(tmp_path: Path) -> Path:
    """정답 이미지 둘."""
    draw(tmp_path / "정답" / "하나.png", 50, 61, seed=1)
    draw(tmp_path / "정답" / "둘.jpg", 48, 48, seed=2)
    return tmp_path / "정답"


def _result(folder: Path) -> dict[str, dict]:
    content = json.loads((folder / "results.json").read_text("utf-8"))
    return {model["name"]: model for model in content["models"]}


def test_tables_sheet_and_images_are_written(gt: Path, tmp_path: Path, save_network, tiny_srvgg, capsys) -> None:
    weights, output = save_network(tiny_srvgg, "작은망.pth"), tmp_path / "결과"
    arguments = ("--model_path", weights, "--gt", gt, "--output", output, "--metrics", "psnr", "ssim", "--save_images")
    assert run_script("evaluate", *arguments) == 0
    assert "| bicubic | 4 | 2 |" in capsys.readouterr().out
    picture = read(gt / "하나.png")[:48, :60]
    expected = psnr(bicubic_8bit(bicubic_8bit(picture, 0.25), 4), picture, border=4)
    assert _result(output)["bicubic"]["pictures"]["하나"]["psnr"] == pytest.approx(expected)
    saved = read(output / "images" / "작은망" / "하나.png")
    assert _result(output)["작은망"]["pictures"]["하나"]["psnr"] == pytest.approx(psnr(saved, picture, border=4))
    assert np.array_equal(read(output / "images" / "GT" / "하나.png"), picture)
    sheet = read(output / "sheet.png")
    assert sheet.shape[1] > 5 * 240 and sheet.shape[0] > 2 * 240
    assert (output / "results.csv").read_bytes().startswith(b"\xef\xbb\xbf")
    assert not leftovers(tmp_path) and not list(output.glob(".*"))


def test_y_channel_border_and_limit_are_honoured(gt: Path, tmp_path: Path, save_network, tiny_srvgg) -> None:
    base = ("--model_path", save_network(tiny_srvgg), "--gt", gt, "--metrics", "psnr", "--sheet_pictures", 0)
    more = ("--test_y_channel", "--crop_border", 2, "--max_pictures", 1, "--output", tmp_path / "o")
    assert run_script("evaluate", *base, *more) == 0
    picture = read(gt / "둘.jpg")
    expected = psnr(bicubic_8bit(bicubic_8bit(picture, 0.25), 4), picture, border=2, y_channel=True)
    assert _result(tmp_path / "o")["bicubic"]["pictures"] == {"둘": {"psnr": pytest.approx(expected, abs=0.5)}}
    assert not (tmp_path / "o" / "sheet.png").exists()


@pytest.mark.parametrize("backend", ["onnxruntime", "openvino"])
def test_another_engine_gives_the_same_values(backend: str, gt: Path, tmp_path: Path, save_network, tiny_srvgg) -> None:
    pytest.importorskip(backend)
    base = ("--model_path", save_network(tiny_srvgg), "--gt", gt, "--metrics", "psnr", "--device", "cpu")
    for name, more in (("torch", ()), (backend, ("--backend", backend))):
        assert run_script("evaluate", *base, *more, "--output", tmp_path / name) == 0
    torch_value, other = (_result(tmp_path / name)["net"]["mean"]["psnr"] for name in ("torch", backend))
    assert other == pytest.approx(torch_value, abs=0.05)
    content = json.loads((tmp_path / backend / "results.json").read_text("utf-8"))
    assert content["settings"]["backend"] == backend


def test_bad_pictures_are_told_and_wrong_use_exits_two(
    gt: Path, tmp_path: Path, save_network, tiny_srvgg, tiny_rrdbnet, capsys
) -> None:
    (gt / "깨짐.png").write_bytes(b"x")
    four, two = save_network(tiny_srvgg, "four.pth"), save_network(tiny_rrdbnet(2), "two.pth")
    base = ("--gt", gt, "--output", tmp_path / "o", "--metrics", "psnr")
    assert run_script("evaluate", "--model_path", four, *base) == 1
    assert "깨짐.png" in capsys.readouterr().err
    content = json.loads((tmp_path / "o" / "results.json").read_text("utf-8"))
    assert len(content["failures"]) == 2
    assert run_script("evaluate", "--model_path", four, two, *base) == 2
    assert "--crop_border" in capsys.readouterr().err
    assert run_script("evaluate", *base) == 2
    assert run_script("evaluate", "--model_path", four, "--gt", tmp_path / "none", "--output", tmp_path / "o") == 2
    assert run_script("evaluate", "--model_path", four, *base[:4], "--metrics", "sharpness") == 2
    assert run_script("evaluate", "--model_path", four, *base, "--backend", "tensorrt") == 2
    assert run_script("evaluate", "--model_path", four, *base, "--backend", "onnxruntime", "--precision", "bf16") == 1
    assert run_script("evaluate", "--model_path", four, *base, "--lq", gt, "--degrade", "bicubic") == 2


def test_training_degradation_depends_on_the_seed(tmp_path: Path, save_network, tiny_srvgg) -> None:
    from tests.training.extra import require_training_extra

    require_training_extra()
    draw(tmp_path / "gt" / "a.png", 64, 64)
    options = ROOT / "options" / "train_realesrgan_x4plus.yml"
    base = (
        "--model_path",
        save_network(tiny_srvgg),
        "--gt",
        tmp_path / "gt",
        "--metrics",
        "psnr",
        "--degrade",
        options,
    )
    found = []
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        assert run_script("evaluate", *base, "--seed", seed, "--output", tmp_path / name) == 0
        found.append(_result(tmp_path / name)["bicubic"]["mean"]["psnr"])
    assert found[0] == found[1] != found[2]
