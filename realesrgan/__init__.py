"""Real-ESRGAN: 실세계(Real-world) 사진과 영상의 블라인드(Blind) 초해상도(Super-Resolution).

무거운 모듈은 쓰일 때 불러온다(PEP 562). 그래서 `import realesrgan` 자체는 비용이 없다.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from realesrgan.version import __version__

if TYPE_CHECKING:
    from realesrgan.inference.realesrganer import RealESRGANer
    from realesrgan.training.api import train

__all__ = ["RealESRGANer", "__version__", "train"]


def __getattr__(name: str) -> Any:
    if name == "RealESRGANer":
        from realesrgan.inference.realesrganer import RealESRGANer

        return RealESRGANer
    if name == "train":
        from realesrgan.training.api import train

        return train
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(set(globals()) | set(__all__))
