"""Real-ESRGAN: 실세계(Real-world) 사진과 비디오의 블라인드(Blind) 초해상도(Super-Resolution).

무거운 모듈은 쓰일 때 불러온다(PEP 562). 그래서 `import realesrgan` 자체는 비용이 없다.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from realesrgan.util.optional import install_torchvision_finder
from realesrgan.version import __version__

if TYPE_CHECKING:
    from realesrgan.evaluation.api import EvaluationSettings, evaluate
    from realesrgan.inference.model import Model, load
    from realesrgan.inference.picture import PictureResult, PictureSettings, upscale_file
    from realesrgan.inference.realesrganer import RealESRGANer
    from realesrgan.training.api import train
    from realesrgan.util.numbers import OutputSize
    from realesrgan.video.settings import VideoResult, VideoSettings
    from realesrgan.video.upscale import upscale_video
    from realesrgan.zoo.models import list_models

__all__ = [
    "EvaluationSettings",
    "Model",
    "OutputSize",
    "PictureResult",
    "PictureSettings",
    "RealESRGANer",
    "VideoResult",
    "VideoSettings",
    "__version__",
    "evaluate",
    "list_models",
    "load",
    "train",
    "upscale_file",
    "upscale_video",
]

# BasicSR이나 GFPGAN을 이 패키지와 함께 쓰는 코드를 위한 것. 쓰이지 않으면 비용이 없다.
install_torchvision_finder()

# 이름과 그것이 있는 모듈.
_HOMES = {
    "EvaluationSettings": "realesrgan.evaluation.api",
    "Model": "realesrgan.inference.model",
    "OutputSize": "realesrgan.util.numbers",
    "PictureResult": "realesrgan.inference.picture",
    "PictureSettings": "realesrgan.inference.picture",
    "RealESRGANer": "realesrgan.inference.realesrganer",
    "VideoResult": "realesrgan.video.settings",
    "VideoSettings": "realesrgan.video.settings",
    "evaluate": "realesrgan.evaluation.api",
    "list_models": "realesrgan.zoo.models",
    "load": "realesrgan.inference.model",
    "train": "realesrgan.training.api",
    "upscale_file": "realesrgan.inference.picture",
    "upscale_video": "realesrgan.video.upscale",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted(set(globals()) | set(__all__))
