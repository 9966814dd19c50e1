"""순수 PyTorch 네트워크. 이 패키지를 불러오면 이 폴더의 생성자(`*_arch.py`)가 모두 `ARCH_REGISTRY`에 등록된다.

판별자는 훈련에서만 쓰므로 찾을 때 불러온다.
"""

import importlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

from realesrgan.archs.rrdbnet_arch import RRDBNet
from realesrgan.archs.srvgg_arch import SRVGGNetCompact
from realesrgan.util.plugins import import_folder

if TYPE_CHECKING:
    from realesrgan.archs.discriminator_arch import UNetDiscriminatorSN

__all__ = ["RRDBNet", "SRVGGNetCompact", "UNetDiscriminatorSN"]

# 네트워크를 더하는 사람은 이 폴더에 파일 하나만 놓으면 된다.
import_folder(__name__, Path(__file__).parent, "_arch", skip=["discriminator_arch"])


def __getattr__(name: str) -> Any:
    if name != "UNetDiscriminatorSN":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return importlib.import_module(f"{__name__}.discriminator_arch").UNetDiscriminatorSN
