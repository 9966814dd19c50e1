"""시험에 쓰는 작은 이미지들을 만든다."""

from pathlib import Path

import cv2
import numpy as np


def write_pictures(folder: Path, count: int = 4, size: tuple[int, int] = (72, 64), seed: int = 0) -> list[Path]:
    """매끄러운 무늬가 있는 PNG를 `count`장 쓴다."""
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(seed)
    paths = []
    for index in range(count):
        small = rng.integers(0, 256, (9, 8, 3), dtype=np.uint8)
        picture = cv2.resize(small, size[::-1], interpolation=cv2.INTER_CUBIC)
        path = folder / f"pic{index}.png"
        assert cv2.imwrite(str(path), picture)
        paths.append(path)
    return paths
