"""BasicSR과 GFPGAN을 쓰는 코드가 지금의 torchvision에서도 그것들을 불러올 수 있게 한다.

`import realesrgan`이 이 갈고리(import hook)를 건다. torchvision을 불러오지 않으면 이름을 견줄 뿐 아무 일도 하지 않는다.
"""

from __future__ import annotations

import sys
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from types import ModuleType
from typing import Any

PACKAGE = "torchvision"
MISSING = "torchvision.transforms.functional_tensor"


class TorchvisionFinder(MetaPathFinder, Loader):
    """torchvision을 불러오기 전에 준비하고, 0.17에서 사라진 모듈을 되살린다.

    왜: BasicSR 1.4.2의 `data/degradations.py`가 맨 위에서 `functional_tensor`의 `rgb_to_grayscale`을 가져온다. 그
    모듈이 있는 옛 torchvision에서는 본래의 것이 쓰인다.
    """

    def find_spec(self, name: str, path: Any = None, target: ModuleType | None = None) -> ModuleSpec | None:
        """사라진 모듈이면 그것을 만들 자리를, 나머지는 None을 돌려준다."""
        if name == PACKAGE:
            from realesrgan.util.optional import prepare_torchvision

            prepare_torchvision()
        if name == MISSING and PathFinder.find_spec(name, path) is None:
            return ModuleSpec(name, self)
        return None

    def create_module(self, spec: ModuleSpec) -> None:
        """보통의 모듈을 쓴다."""

    def exec_module(self, module: ModuleType) -> None:
        """BasicSR이 쓰는 함수 하나를 넣는다."""
        functional = sys.modules["torchvision.transforms"].functional
        module.rgb_to_grayscale = functional.rgb_to_grayscale  # type: ignore[attr-defined]


def install() -> None:
    """갈고리를 건다. 여러 번 불러도 하나다."""
    if not any(isinstance(finder, TorchvisionFinder) for finder in sys.meta_path):
        sys.meta_path.insert(0, TorchvisionFinder())
