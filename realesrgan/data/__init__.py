"""훈련 자료: 열화, 커널, 데이터셋.

BasicSR이 있으면 이 폴더의 데이터셋(`*_dataset.py`)을 그 등록부에 올린다. 그래서 `import realesrgan.data` 다음에 BasicSR
자신의 `train_pipeline`을 불러도 이 패키지의 데이터셋이 쓰인다. BasicSR이 없어도 커널과 열화는 쓸 수 있다.
"""

import importlib.util
from pathlib import Path

from realesrgan.util.plugins import import_folder

if all(importlib.util.find_spec(package) for package in ("basicsr", "torchvision", "scipy")):
    import_folder(__name__, Path(__file__).parent, "_dataset")
