"""이 기계에서 재어 고르고 기억하는 일."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import nn

import realesrgan
from realesrgan.archs import RRDBNet
from realesrgan.cli.image import main
from realesrgan.errors import RealESRGANError
from realesrgan.inference import tuning
from realesrgan.inference.engines.base import create_engine, engine_packages
from realesrgan.inference.engines.choices import Choice, choices_file, remember, remembered
from realesrgan.inference.model import Model
from tests.conftest import small_rrdbnet


@pytest.fixture(autouse=True)
def _own_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REALESRGAN_HOME", str(tmp_path / "home"))


@pytest.fixture
def model(save_network: Callable[..., Path], tiny_rrdbnet: Callable[[int], RRDBNet]) -> Model:
    return realesrgan.load(save_network(tiny_rrdbnet(4)), device="cpu")


def test_the_fastest_that_is_near_enough_is_chosen_with_strips_and_workers(
    model: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tuning, "WANTED_SECONDS", 0.0)
    monkeypatch.setattr(tuning, "available_cores", lambda: 2)
    seen: list[str] = []
    found = tuning.tune(model, device="cpu", tell=seen.append)
    able = [one for one in found.timings if one.seconds is not None]
    assert {"torch", "ncnn"} <= {one.backend for one in able} and len(seen) == len(found.timings)
    best = min(able, key=lambda one: one.seconds * (1 if one.streams else tuning.TILES_ONLY_HANDICAP))
    assert (found.choice.backend, found.choice.precision) == (best.backend, best.precision)
    if best.streams:
        assert found.choice.strip_bytes and set(found.strips) == set(tuning.STRIP_ROWS)
    assert found.choice.workers == min(found.workers, key=lambda count: found.workers[count])


def test_a_fast_engine_that_draws_another_picture_is_not_chosen(model: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    def measure(_model: Model, backend: str, device: str, precision: str, *_rest: object) -> tuning.Timing:
        right = backend == "torch"
        return tuning.Timing(backend, device, precision, 1.0 if right else 0.1, 120.0 if right else 20.0, streams=True)

    monkeypatch.setattr(tuning, "WANTED_SECONDS", 0.0)
    monkeypatch.setattr(tuning, "_measure", measure)
    assert tuning.tune(model, device="cpu").choice.backend == "torch"


def test_what_there_is_no_time_for_is_told_and_nothing_at_all_is_an_error(
    model: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tuning, "TIME_LIMIT", -1.0)
    monkeypatch.setattr(tuning, "WANTED_SECONDS", 0.0)
    lines: list[str] = []
    began = time.monotonic()
    with pytest.raises(RealESRGANError, match="--device"):
        tuning.tune(model, device="cpu", tell=lines.append)
    assert lines and all("시간이 모자라" in line for line in lines) and time.monotonic() - began < 20


def test_auto_uses_what_was_chosen_unless_something_else_is_asked() -> None:
    network = small_rrdbnet()
    remember(network, engine_packages(), Choice("torch", "cpu", "bf16", 1 << 20, 1))
    assert (create_engine(network).name, create_engine(network).precision) == ("torch", "bf16")
    assert create_engine(network, device="cpu").precision == "bf16"
    assert create_engine(network, precision="fp32").precision == "fp32"
    assert create_engine(network, backend="ncnn").precision == "fp32"
    # 모양이 같은 다른 가중치도 같은 것을, 모양이 다르면 알려진 것을 쓴다.
    with torch.no_grad():
        network.conv_first.weight += 1
    assert create_engine(network).precision == "bf16"
    assert create_engine(RRDBNet(3, 3, num_feat=12, num_block=1)).precision == "fp32"


def test_the_chosen_strip_and_workers_reach_the_upscaler(model: Model) -> None:
    remember(model.network, engine_packages(), Choice("torch", "cpu", "bf16", 12345, 1))
    tuned = model.with_compute(backend="auto", device="auto", precision="auto")
    assert tuned.upscaler.strip_bytes == 12345 and tuned.tuned is not None and tuned.tuned.workers == 1
    assert model.with_compute(backend="torch", precision="fp32").upscaler.strip_bytes is None


@pytest.mark.parametrize("content", ["", "{", "[]", '{"choices": {}}', '{"choices": 3, "machine": {}}', "[" * 100_000])
def test_a_broken_file_is_the_same_as_none(content: str) -> None:
    choices_file().parent.mkdir(parents=True)
    choices_file().write_text(content, encoding="utf-8")
    assert remembered(small_rrdbnet(), engine_packages()) is None
    remember(small_rrdbnet(), engine_packages(), Choice("torch", "cpu", "fp32"))
    assert remembered(small_rrdbnet(), engine_packages()) == Choice("torch", "cpu", "fp32")


def test_what_another_machine_chose_is_not_used_and_is_forgotten() -> None:
    remember(small_rrdbnet(), engine_packages(), Choice("torch", "cpu", "bf16"))
    content = json.loads(choices_file().read_text(encoding="utf-8"))
    content["machine"]["cores"] += 1
    choices_file().write_text(json.dumps(content), encoding="utf-8")
    assert remembered(small_rrdbnet(), engine_packages()) is None
    other = nn.Conv2d(3, 3, 1)
    remember(other, engine_packages(), Choice("torch", "cpu", "fp32"))
    assert len(json.loads(choices_file().read_text(encoding="utf-8"))["choices"]) == 1
    assert remembered(small_rrdbnet(), engine_packages()) is None and remembered(other, engine_packages()) is not None


def test_the_command_prints_a_table_and_remembers(
    save_network: Callable[..., Path], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(tuning, "WANTED_SECONDS", 0.0)
    path = save_network(small_rrdbnet())
    assert main(["--tune", "--model_path", str(path), "--device", "cpu"]) == 0
    shown = capsys.readouterr().out
    assert "torch cpu fp32:" in shown and "dB" in shown and str(choices_file()) in shown
    assert remembered(small_rrdbnet(), engine_packages()) is not None


def test_a_full_disk_is_told(
    save_network: Callable[..., Path], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def full(*_arguments: object) -> Path:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(tuning, "WANTED_SECONDS", 0.0)
    monkeypatch.setattr("realesrgan.inference.engines.choices.remember", full)
    assert main(["--tune", "--model_path", str(save_network(small_rrdbnet())), "--device", "cpu"]) == 1
    assert "디스크가 가득" in capsys.readouterr().err
