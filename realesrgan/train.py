"""훈련 명령: `python realesrgan/train.py -opt options/X.yml`.

`realesrgan.train(...)`은 훈련하는 함수이기도 하다. 이 모듈을 불러오면 파이썬이 패키지의 `train`을 이 모듈로 바꾸므로,
모듈 자신도 부를 수 있게 한다.
"""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

if __package__ in (None, ""):
    # 파일로 실행하면 이 폴더가 검색 경로의 맨 앞에 놓인다. `data` 같은 이름이 남의 패키지를 가리지 않게 바꾼다.
    sys.path[0] = str(Path(__file__).resolve().parent.parent)

from realesrgan.cli.train import main

if TYPE_CHECKING:
    from realesrgan.training.api import TrainResult


class _CallableModule(ModuleType):
    def __call__(self, *args: Any, **kwargs: Any) -> TrainResult:
        """`realesrgan.training.api.train`을 부른다."""
        from realesrgan.training.api import train

        return train(*args, **kwargs)


if __name__ == "__main__":
    sys.exit(main())
else:
    sys.modules[__name__].__class__ = _CallableModule
