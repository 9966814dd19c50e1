"""훈련 모델: RealESRNetModel과 RealESRGANModel.

BasicSR이 있으면 이 폴더의 모델(`*_model.py`)을 그 등록부에 올린다. 그래서 `import realesrgan.models` 다음에 BasicSR
자신의 `train_pipeline`을 불러도 이 패키지의 모델이 쓰인다.
"""

import importlib.util
from pathlib import Path

from realesrgan.util.plugins import import_folder

if all(importlib.util.find_spec(package) for package in ("basicsr", "torchvision", "scipy")):
    import_folder(__name__, Path(__file__).parent, "_model")
