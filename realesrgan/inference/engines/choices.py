"""`--tune`이 이 기계에서 재어 고른 것. 사용자 캐시의 `tune.json`에 적는다.

기계와 엔진들의 버전이 적힐 때와 하나라도 다르면 쓰지 않는다. 깨진 파일은 없는 것과 같다.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, fields
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch

from realesrgan.inference.engines.base import CHOICES_FILE
from realesrgan.util.files import cache_dir, write_atomically
from realesrgan.util.machine import available_cores, processor_name
from realesrgan.version import __version__


@dataclass(frozen=True)
class Choice:
    """네트워크 하나에 고른 것.

    Attributes:
        backend, device, precision: 엔진의 이름, 장치, 정밀도.
        strip_bytes: 띠 하나의 활성값(바이트). 재지 않았으면 None.
        workers: 비디오에서 함께 키울 작업자의 수. 재지 않았으면 None.
    """

    backend: str
    device: str
    precision: str
    strip_bytes: int | None = None
    workers: int | None = None


def network_key(network: Any) -> str:
    """모양이 같은 네트워크는 같은 이름. 가중치의 값이 달라도 빠르기는 같다."""
    shapes = [(name, tuple(tensor.shape)) for name, tensor in network.state_dict().items()]
    return f"{type(network).__name__}-{hashlib.sha256(repr(shapes).encode()).hexdigest()[:12]}"


def machine_identity(packages: Sequence[str]) -> dict[str, Any]:
    """빠르기를 정하는 것들: CPU, 코어, 그래픽 카드, 엔진들의 버전."""
    versions: dict[str, str | None] = {"realesrgan": __version__, "torch": torch.__version__}
    for name in packages:
        versions[name] = None
        with suppress(PackageNotFoundError):
            versions[name] = version(name)
    cards = [torch.cuda.get_device_name(index) for index in range(torch.cuda.device_count())]
    return {"cpu": processor_name(), "cores": available_cores(), "cards": cards, "versions": versions}


def choices_file() -> Path:
    """적어 두는 파일."""
    return cache_dir() / CHOICES_FILE


def remembered(network: Any, packages: Sequence[str]) -> Choice | None:
    """이 기계에서 이 모양의 네트워크에 골라 둔 것. 없거나 기계가 달라졌으면 None."""
    with suppress(OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError):
        content = json.loads(choices_file().read_text(encoding="utf-8"))
        found = content["choices"][network_key(network)]
        if content["machine"] == machine_identity(packages):
            return Choice(**{field.name: found[field.name] for field in fields(Choice)})
    return None


def remember(network: Any, packages: Sequence[str], choice: Choice) -> Path:
    """고른 것을 적는다. 다른 기계에서 적은 것은 지운다.

    Raises:
        OSError: 쓸 수 없을 때.
    """
    machine, kept = machine_identity(packages), {}
    with suppress(OSError, ValueError, TypeError, KeyError, RecursionError):
        content = json.loads(choices_file().read_text(encoding="utf-8"))
        if content["machine"] == machine:
            kept = dict(content["choices"])
    kept[network_key(network)] = asdict(choice)
    text = json.dumps({"machine": machine, "choices": kept}, ensure_ascii=False, indent=1)
    write_atomically(choices_file(), text.encode())
    return choices_file()
