"""순수 PyTorch 네트워크. 이 폴더의 `*_arch.py`에 있는 생성자를 `ARCH_REGISTRY`에서 찾을 수 있다.

여기의 생성자는 찾을 때, 사용자가 이 폴더에 놓은 파일은 이 패키지를 불러올 때 불러온다. 판별자는 훈련에서만 쓴다.
"""

import importlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from realesrgan.archs.discriminator_arch import UNetDiscriminatorSN
    from realesrgan.archs.rrdbnet_arch import RRDBNet
    from realesrgan.archs.srvgg_arch import SRVGGNetCompact

__all__ = ["RRDBNet", "SRVGGNetCompact", "UNetDiscriminatorSN"]

_HOMES = {"RRDBNet": "rrdbnet_arch", "SRVGGNetCompact": "srvgg_arch", "UNetDiscriminatorSN": "discriminator_arch"}

# 네트워크를 더하는 사람은 이 폴더에 파일 하나만 놓으면 된다.
if any(file.stem not in _HOMES.values() for file in Path(__file__).parent.glob("*_arch.py")):
    from realesrgan.util.plugins import import_folder

    import_folder(__name__, Path(__file__).parent, "_arch", skip=_HOMES.values())


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
