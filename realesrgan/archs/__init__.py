"""순수 PyTorch 네트워크. 이 패키지를 불러오면 이 폴더의 `*_arch.py`가 모두 `ARCH_REGISTRY`에 등록된다."""

import importlib
from pathlib import Path

from realesrgan.archs.discriminator_arch import UNetDiscriminatorSN
from realesrgan.archs.rrdbnet_arch import RRDBNet
from realesrgan.archs.srvgg_arch import SRVGGNetCompact

__all__ = ["RRDBNet", "SRVGGNetCompact", "UNetDiscriminatorSN"]

# 네트워크를 더하는 사람은 이 폴더에 파일 하나만 놓으면 된다.
for _file in sorted(Path(__file__).parent.glob("*_arch.py")):
    importlib.import_module(f"{__name__}.{_file.stem}")
