"""장치와 정밀도를 고르고, 없는 것을 청하면 무엇을 할지 말하는지."""

from __future__ import annotations

import pytest
import torch

from realesrgan.errors import DeviceError
from realesrgan.inference.precision import choose_device, choose_precision

CPU, CUDA = torch.device("cpu"), torch.device("cuda")


def _pretend(monkeypatch: pytest.MonkeyPatch, *, cuda: int = 0, mps: bool = False) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: cuda > 0)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: cuda)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: mps)
    monkeypatch.setattr(torch.xpu, "is_available", lambda: False)


def test_cpu_serves_where_there_is_nothing_else(monkeypatch: pytest.MonkeyPatch) -> None:
    _pretend(monkeypatch)
    assert choose_device() == choose_device("auto") == choose_device("cpu") == CPU


def test_gpu_is_taken_when_there_is_one(monkeypatch: pytest.MonkeyPatch) -> None:
    _pretend(monkeypatch, cuda=2)
    assert choose_device().type == "cuda"
    assert choose_device("cuda:1") == torch.device("cuda:1")
    _pretend(monkeypatch, mps=True)
    assert choose_device().type == "mps"


@pytest.mark.parametrize("name", ["cuda", "cuda:3", "mps", "xpu"])
def test_missing_device_names_the_remedy(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    _pretend(monkeypatch)
    with pytest.raises(DeviceError, match="--device cpu"):
        choose_device(name)


def test_device_number_beyond_the_last_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    _pretend(monkeypatch, cuda=2)
    with pytest.raises(DeviceError, match="2개"):
        choose_device("cuda:2")


@pytest.mark.parametrize("name", ["gpu", "cuda:x", "meta"])
def test_unknown_device_lists_the_names(name: str) -> None:
    with pytest.raises(DeviceError, match="cpu, cuda, cuda:N, mps, xpu"):
        choose_device(name)


def test_auto_precision_is_half_only_on_cuda() -> None:
    assert choose_precision("auto", CUDA) == "fp16"
    assert choose_precision("auto", CPU) == "fp32"
    assert choose_precision("auto", torch.device("mps")) == "fp32"


def test_half_on_a_cpu_becomes_full_with_one_line(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level("WARNING", logger="realesrgan"):
        assert choose_precision("fp16", CPU) == "fp32"
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert choose_precision("bf16", CPU) == "bf16"


def test_unknown_precision_is_refused() -> None:
    with pytest.raises(DeviceError, match="bf16"):
        choose_precision("fp8", CPU)
