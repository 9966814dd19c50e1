"""시험이 함께 쓰는 것들."""

from __future__ import annotations

import os
import signal

# 뒤(&)에서 돌리면 셸이 SIGINT를 무시하게 두고, 띄운 명령도 그것을 물려받아 Ctrl-C의 시험이 뜻을 잃는다.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# 시험을 여러 프로세스로 나누어 돌리므로(-n) 저마다 한 스레드만 쓰게 한다. torch를 불러오기 전이어야 듣는다.
os.environ.setdefault("OMP_NUM_THREADS", "1")

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from torch import nn

from realesrgan.archs import RRDBNet, SRVGGNetCompact
from realesrgan.zoo.models import get_model
from realesrgan.zoo.weights import find_weights

ROOT = Path(__file__).resolve().parents[1]


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """오래 견디는지 보는 시험은 길어서, 이름을 대었을 때만 모은다."""
    named = any("endurance" in str(argument) for argument in config.args)
    return True if collection_path.name == "endurance" and not named else None


def small_rrdbnet(scale: int = 4) -> RRDBNet:
    """씨앗(seed)이 고정된 작은 RRDBNet. 출력이 0..1에 고루 퍼진다."""
    torch.manual_seed(0)
    network = RRDBNet(3, 3, scale=scale, num_feat=8, num_block=1, num_grow_ch=4).eval()
    # 갓 만든 네트워크의 출력은 0 근처라 잘라 내면 모두 검다. 검은 이미지끼리는 무엇을 견주어도 같다.
    with torch.no_grad():
        spread = network(torch.rand(1, 3, 16, 16)).std((0, 2, 3))
        network.conv_last.weight *= 0.2 / spread[:, None, None, None]
        network.conv_last.bias.zero_()
        network.conv_last.bias += 0.5 - network(torch.rand(1, 3, 16, 16)).mean((0, 2, 3))
    return network


@pytest.fixture(scope="session")
def shared_cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """변환한 가중치를 시험끼리 나누어 쓰는 캐시 폴더. 사용자의 캐시는 건드리지 않는다."""
    return tmp_path_factory.getbasetemp().parent / "realesrgan-test-cache"


@pytest.fixture(autouse=True)
def _isolated_home(shared_cache: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("REALESRGAN_HOME", str(shared_cache))
    yield


@pytest.fixture(autouse=True)
def _same_on_every_cpu(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """`auto`가 CPU에 따라 다른 정밀도를 고르지 않게 한다. 그것을 보는 시험은 `native_bf16` 표를 붙인다."""
    if "native_bf16" not in request.keywords:
        monkeypatch.setattr("realesrgan.inference.engines.torch.prefers_bf16", lambda: False)


@pytest.fixture
def without_amx(monkeypatch: pytest.MonkeyPatch) -> None:
    """CPU의 fp32를 ncnn으로 계산하는 기계로 본다. 따로 띄운 프로세스에는 듣지 않는다."""
    monkeypatch.setattr("torch.cpu._is_amx_tile_supported", lambda: False, raising=False)


def nearest_network(scale: int) -> SRVGGNetCompact:
    """최근접 확대만 하는 네트워크. 값이 모두 0인 SRVGG는 원본을 늘린 것만 남는다."""
    network = SRVGGNetCompact(num_feat=4, num_conv=1, upscale=scale).eval()
    for parameter in network.parameters():
        torch.nn.init.zeros_(parameter)
    return network


@pytest.fixture(scope="session")
def nearest_weights(tmp_path_factory: pytest.TempPathFactory) -> Callable[[int], Path]:
    """최근접 확대 네트워크의 가중치 파일을 만드는 함수. 네트워크가 아니라 그 앞뒤를 판단하는 시험을 위한 것이다."""

    def save(scale: int) -> Path:
        path = tmp_path_factory.mktemp("nearest") / f"nearest_x{scale}.pth"
        torch.save({"params": nearest_network(scale).state_dict()}, path)
        return path

    return save


@pytest.fixture
def real_weights() -> Callable[[str], Path]:
    """이름의 진짜 가중치(가중치 패키지에서 변환한 것)를 찾는 함수."""
    return lambda name: find_weights(get_model(name))


@pytest.fixture
def tiny_rrdbnet() -> Callable[[int], RRDBNet]:
    """씨앗(seed)이 고정된 작은 RRDBNet을 만드는 함수."""

    return small_rrdbnet


@pytest.fixture
def tiny_srvgg() -> SRVGGNetCompact:
    """씨앗이 고정된 작은 SRVGGNetCompact."""
    torch.manual_seed(0)
    return SRVGGNetCompact(num_feat=8, num_conv=2).eval()


@pytest.fixture
def save_network(tmp_path: Path) -> Callable[..., Path]:
    """네트워크를 체크포인트로 저장하고 경로를 돌려주는 함수."""

    def save(network: nn.Module, name: str = "net.pth", key: str = "params_ema") -> Path:
        path = tmp_path / name
        torch.save({key: network.state_dict()}, path)
        return path

    return save
