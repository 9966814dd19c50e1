"""패키지를 쓸 때에야 불러오고, 없으면 무엇을 할지 말한다. torchvision은 쓸 수 있게 준비한다."""

from __future__ import annotations

import importlib
import importlib.util
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path
from types import ModuleType
from typing import Any

from realesrgan.errors import MissingPackageError, RealESRGANError
from realesrgan.util.files import is_memory_shortage

# torchvision이 확장 없이도 무조건 가짜 구현을 붙이는 연산자들. 정의가 없으면 import가 통째로 실패한다.
_TORCHVISION_OPERATORS = (
    "nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
    "qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
)
# torchvision 0.17에서 사라졌지만 BasicSR 1.4.2와 GFPGAN이 불러오는 모듈.
_MISSING = "torchvision.transforms.functional_tensor"
# 쓰임을 만든 곳에 보내는 패키지들과, OpenVINO가 그것을 보내는 데 쓰는 패키지.
_TELLING = ("onnxruntime", "openvino")
_SENDER = "openvino_telemetry"
# Library 객체가 사라지면 등록도 함께 사라지므로 모듈이 붙들고 있는다.
_KEPT_LIBRARIES: list[Any] = []


def is_installed(package: str) -> bool:
    """패키지가 설치되어 있는지 불러오지 않고 알아본다."""
    return importlib.util.find_spec(package) is not None


def import_optional(module: str, purpose: str, install: str) -> Any:
    """모듈을 불러온다.

    Args:
        module: 모듈 이름.
        purpose: 무엇에 쓰는지. 오류에 적는다(예: "ONNX로 내보내려면").
        install: 설치 명령.

    Raises:
        MissingPackageError: 없거나 불러올 수 없을 때.
        MemoryError: 설치되어 있으나 불러올 메모리가 모자랄 때.
    """
    try:
        with _telemetry_off() if module.partition(".")[0] in _TELLING else nullcontext():
            return importlib.import_module(module)
    except (ImportError, OSError, RuntimeError) as error:
        if is_memory_shortage(error):
            raise MemoryError(str(error)) from error
        # 설치는 되어 있어도 함께 쓰는 라이브러리의 버전이 달라 OSError나 RuntimeError로 실패하는 패키지가 있다.
        package = module.partition(".")[0]
        raise MissingPackageError(
            f"{purpose} {package} 패키지가 필요합니다.\n  불러오지 못했습니다: {error}\n  해결: {install}"
        ) from error


@contextmanager
def _telemetry_off() -> Iterator[None]:
    """불러오는 동안, 쓰임을 만든 곳에 보내는(telemetry) 기능을 끈다. 사용자는 이 프로그램에 그것을 허락하지 않았다.

    onnxruntime은 환경 변수로 끈다(사용자가 정해 두었으면 따른다). OpenVINO는 끄는 설정이 없고, 보내는 패키지가 없으면
    보내지 않으므로 없는 것처럼 보이게 한다. 사용자의 코드가 먼저 불러온 것은 그대로 둔다.
    """
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
    hidden = _SENDER not in sys.modules
    if hidden:
        sys.modules[_SENDER] = None  # type: ignore[assignment]
    try:
        yield
    finally:
        if hidden:
            sys.modules.pop(_SENDER, None)


def import_cv2() -> Any:
    """`cv2` 모듈을 돌려준다. 이 프로젝트의 모든 코드가 여기서 얻는다.

    화면이 없는 리눅스에는 `opencv-python`이 찾는 `libGL` 같은 라이브러리가 없을 때가 많다.
    그때의 `ImportError`는 무엇을 해야 하는지 말하지 않으므로 여기서 바꾸어 말한다.

    Raises:
        RealESRGANError: OpenCV가 없거나 불러올 수 없을 때.
    """
    try:
        import cv2
    except ImportError as error:
        raise RealESRGANError(
            f"OpenCV(cv2)를 불러오지 못했습니다.\n"
            f"  이유: {error}\n"
            f"  해결: 화면이 없는 서버라면 아래 두 명령으로 화면 기능이 없는 OpenCV로 바꾸세요.\n"
            f"    pip uninstall -y opencv-python\n"
            f"    pip install opencv-python-headless"
        ) from error
    return cv2


def prepare_torchvision() -> None:
    """CPU 전용 torch 곁에서도 torchvision의 파이썬 부분을 불러올 수 있게 한다. 여러 번 불러도 같다.

    왜: PyPI의 torchvision 확장(`_C`)은 CUDA용 torch에 묶여 있어 CPU용에서는 실리지 않고, 그러면 `nms`의 가짜 구현을
    등록하는 줄에서 import가 멈춘다. 이 프로젝트가 쓰는 것은 평범한 함수뿐이므로 연산자의 꼴만 정의한다.
    """
    if "torchvision" in sys.modules or _KEPT_LIBRARIES:
        return
    import torch

    # 갈고리(TorchvisionFinder)를 거치지 않고 찾는다. 거치면 이 준비가 다시 불린다.
    spec = PathFinder.find_spec("torchvision")
    for folder in (spec.submodule_search_locations or []) if spec else []:
        for library in sorted(Path(folder).glob("_C*")):
            try:
                torch.ops.load_library(str(library))
            except OSError:
                continue
            return
    fragment = torch.library.Library("torchvision", "FRAGMENT")
    for schema in _TORCHVISION_OPERATORS:
        fragment.define(schema)
    _KEPT_LIBRARIES.append(fragment)


class TorchvisionFinder(MetaPathFinder, Loader):
    """torchvision을 불러오기 전에 준비하고, 0.17에서 사라진 모듈을 되살리는 갈고리(import hook).

    왜: BasicSR 1.4.2의 `data/degradations.py`가 맨 위에서 `functional_tensor`의 `rgb_to_grayscale`을 가져온다. 그
    모듈이 있는 옛 torchvision에서는 본래의 것이 쓰인다. torchvision을 불러오지 않으면 이름을 견줄 뿐이다.
    """

    def find_spec(self, name: str, path: Any = None, target: ModuleType | None = None) -> ModuleSpec | None:
        """사라진 모듈이면 그것을 만들 자리를, 나머지는 None을 돌려준다."""
        if name == "torchvision":
            prepare_torchvision()
        if name == _MISSING and PathFinder.find_spec(name, path) is None:
            return ModuleSpec(name, self)
        return None

    def create_module(self, spec: ModuleSpec) -> None:
        """보통의 모듈을 쓴다."""

    def exec_module(self, module: ModuleType) -> None:
        """BasicSR이 쓰는 함수 하나를 넣는다."""
        functional = sys.modules["torchvision.transforms"].functional
        module.rgb_to_grayscale = functional.rgb_to_grayscale  # type: ignore[attr-defined]


def install_torchvision_finder() -> None:
    """갈고리를 건다. `import realesrgan`이 부른다. 여러 번 불러도 하나다."""
    if not any(isinstance(finder, TorchvisionFinder) for finder in sys.meta_path):
        sys.meta_path.insert(0, TorchvisionFinder())
