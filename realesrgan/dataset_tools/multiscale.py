"""정답 이미지(GT)를 여러 배율로 줄여 한 이미지의 무늬를 여러 크기로 보인다."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from realesrgan.dataset_tools.outcome import Outcome
from realesrgan.dataset_tools.pictures import encode_png, is_fresh, read_array, write_bytes

SCALES = (0.75, 0.5, 1 / 3)
SHORTEST_EDGE = 400
_LEVEL = 3


def multiscale_sizes(width: int, height: int) -> list[tuple[int, int]]:
    """만들 크기 `(너비, 높이)` 넷: 0.75배, 0.5배, 3분의 1배, 그리고 짧은 변이 400픽셀인 것.

    마지막 것은 더 작은 이미지라면 키운다. Real-ESRGAN의 DF2K multiscale과 같다.
    """
    sizes = [(max(int(width * scale), 1), max(int(height * scale), 1)) for scale in SCALES]
    if width < height:
        return [*sizes, (SHORTEST_EDGE, int(SHORTEST_EDGE * (height / width)))]
    return [*sizes, (int(SHORTEST_EDGE * (width / height)), SHORTEST_EDGE)]


def lanczos(image: NDArray[Any], size: tuple[int, int]) -> NDArray[Any]:
    """Lanczos로 크기를 바꾼다.

    Args:
        image: `(H, W)`, `(H, W, 3)`, `(H, W, 4)`. uint8이나 uint16.
        size: `(너비, 높이)`.

    Returns:
        같은 dtype의 배열.
    """
    if image.dtype == np.uint8:
        # Pillow는 채널의 차례를 가리지 않으므로 BGR을 그대로 넘긴다. 알파가 있으면 곱한 뒤 줄여 테두리가 남지 않는다.
        return np.asarray(Image.fromarray(image).resize(size, Image.Resampling.LANCZOS))
    # Pillow의 16비트에는 색이 없어 채널마다 실수로 줄인다.
    planes = np.moveaxis(np.atleast_3d(image), 2, 0).astype(np.float32)
    resized = [np.asarray(Image.fromarray(plane).resize(size, Image.Resampling.LANCZOS)) for plane in planes]
    rounded = np.clip(np.rint(np.stack(resized, axis=2)), 0, np.iinfo(image.dtype).max).astype(image.dtype)
    return rounded[..., 0] if image.ndim == 2 else rounded


def multiscale_stem(source: Path, root: Path, output: Path) -> Path:
    """결과 이름의 머리."""
    return output / source.relative_to(root).with_suffix("")


def generate(source: Path, *, root: Path, output: Path) -> Outcome:
    """이미지 하나를 `{이름}T0.png`..`{이름}T3.png`로 줄인다. 모두 있고 이미지보다 새것이면 건너뛴다.

    Raises:
        ImageReadError: 이미지를 읽을 수 없을 때.
        ImageWriteError: 쓸 수 없을 때.
    """
    stem = multiscale_stem(source, root, output)
    targets = [stem.with_name(f"{stem.name}T{index}.png") for index in range(len(SCALES) + 1)]
    if is_fresh(source, targets):
        return Outcome(str(source), "skipped", "결과가 이미 있습니다.")
    image = read_array(source)
    sizes = multiscale_sizes(image.shape[1], image.shape[0])
    for target, size in zip(targets, sizes, strict=True):
        write_bytes(target, encode_png(lanczos(image, size), _LEVEL))
    return Outcome(str(source), "done")


def generator(root: Path, output: Path) -> partial[Outcome]:
    """작업자에게 넘길 수 있는, 이미지 하나를 받는 함수."""
    return partial(generate, root=root, output=output)
