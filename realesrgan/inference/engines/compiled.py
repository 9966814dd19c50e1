"""엔진에 맞게 바꾼(compiled) 모델의 캐시. 사용자 캐시 폴더의 `compiled/`에 둔다.

열쇠는 가중치와 네트워크의 모양, 엔진과 그 버전, 장치, 정밀도다. 하나라도 다르면 다른 파일이므로 낡은 것을 쓰는 일이
없고, 깨진 것은 다시 만든다.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import nn

from realesrgan.archs.base import network_digest
from realesrgan.errors import DeviceError
from realesrgan.util.files import cache_dir, write_atomically
from realesrgan.version import __version__

logger = logging.getLogger(__name__)

# 이보다 많으면 오래 쓰지 않은 것부터 지운다.
KEPT_FILES = 12
T = TypeVar("T")


def model_key(network: nn.Module, *parts: object) -> str:
    """네트워크와 그 밖의 것(엔진, 버전, 장치, 정밀도)이 모두 같을 때만 같은 열쇠(16진수 32자)."""
    everything = (network_digest(network), __version__, torch.__version__, *parts)
    return hashlib.sha256(repr(everything).encode()).hexdigest()[:32]


def compiled_folder() -> Path:
    """캐시의 폴더."""
    return cache_dir() / "compiled"


def load_compiled(key: str, make: Callable[[], bytes], load: Callable[[bytes], T]) -> T:
    """캐시에 있으면 그것을, 없거나 깨졌으면 새로 만들어 싣는다. 캐시에 쓸 수 없으면 쓰지 않고 넘어간다.

    Args:
        key: `model_key`의 열쇠.
        make: 바꾼 모델의 바이트를 만드는 함수.
        load: 바이트를 싣는 함수. 바이트가 깨졌으면 예외를 낸다.

    Raises:
        DeviceError: 바꾼 것은 온전하나 장치를 쓸 수 없을 때.
    """
    path = compiled_folder() / f"{key}.bin"
    with suppress(OSError):
        content = path.read_bytes()
        try:
            loaded = load(_unsealed(content))
        except DeviceError:
            raise
        except Exception as error:
            # 엔진마다 저마다의 예외를 낸다. 무엇이든 다시 만들면 된다.
            logger.info("캐시의 모델을 실을 수 없어 다시 만듭니다: %s (%s)", path, error)
        else:
            # 읽기만 하는 캐시에서는 쓴 때를 적지 못한다.
            with suppress(OSError):
                path.touch()
            return loaded
    made = make()
    try:
        write_atomically(path, _sealed(made))
        _forget_oldest(path.parent)
    except OSError as error:
        logger.info("바꾼 모델을 캐시에 둘 수 없습니다: %s (%s)", path, error)
    return load(made)


def _sealed(content: bytes) -> bytes:
    return hashlib.sha256(content).digest() + content


def _unsealed(content: bytes) -> bytes:
    """앞에 적은 해시와 맞는지 본다. 엔진의 라이브러리는 깨진 것을 받으면 죽기도 한다.

    Raises:
        ValueError: 맞지 않을 때.
    """
    if hashlib.sha256(content[32:]).digest() != content[:32]:
        raise ValueError("내용이 적힌 해시와 다릅니다")
    return content[32:]


def _forget_oldest(folder: Path) -> None:
    files: list[tuple[float, Any]] = sorted((path.stat().st_mtime, path) for path in folder.glob("*.bin"))
    for _, path in files[:-KEPT_FILES]:
        path.unlink(missing_ok=True)
