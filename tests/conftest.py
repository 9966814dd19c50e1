"""시험이 함께 쓰는 것들."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from torch import nn

from realesrgan.archs import RRDBNet, SRVGGNetCompact
from realesrgan.zoo.models import get_model
from realesrgan.zoo.weights import find_weights

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="session")
def shared_cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """변환한 가중치를 시험끼리 나누어 쓰는 캐시 폴더. 사용자의 캐시는 건드리지 않는다."""
    return tmp_path_factory.getbasetemp().parent / "realesrgan-test-cache"


@pytest.fixture(autouse=True)
def _isolated_home(shared_cache: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("REALESRGAN_HOME", str(shared_cache))
    yield


@pytest.fixture
def real_weights() -> Callable[[str], Path]:
    """이름의 진짜 가중치(가중치 꾸러미에서 변환한 것)를 찾는 함수."""
    return lambda name: find_weights(get_model(name))


@pytest.fixture
def tiny_rrdbnet() -> Callable[[int], RRDBNet]:
    """씨앗(seed)이 고정된 작은 RRDBNet을 만드는 함수."""

    def build(scale: int = 4) -> RRDBNet:
        torch.manual_seed(0)
        return RRDBNet(3, 3, scale=scale, num_feat=8, num_block=1, num_grow_ch=4).eval()

    return build


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
