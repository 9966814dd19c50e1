"""큰 이미지를 겹치는 조각(sub-image)으로 나눈다. 훈련이 이미지 전체를 풀지 않고 조각만 읽게 한다."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any

from realesrgan.dataset_tools.outcome import Outcome
from realesrgan.dataset_tools.pictures import encode_png, is_fresh, read_array, strip_scale, write_bytes
from realesrgan.errors import UsageError
from realesrgan.media.image import probe_image


@dataclass(frozen=True)
class CropOptions:
    """조각의 크기와 간격.

    Args:
        crop_size: 조각의 한 변(픽셀).
        step: 이웃한 조각이 시작하는 간격(픽셀).
        thresh_size: 끝에 남는 띠가 이보다 넓으면 끝에 맞춘 조각을 하나 더 낸다(픽셀).
        compression_level: PNG 압축 수준, 0..9.

    Raises:
        UsageError: 값이 범위를 벗어날 때.
    """

    crop_size: int = 480
    step: int = 240
    thresh_size: int = 0
    compression_level: int = 3

    def __post_init__(self) -> None:
        if self.crop_size < 1 or self.step < 1 or self.thresh_size < 0 or not 0 <= self.compression_level <= 9:
            raise UsageError(
                f"조각의 설정이 잘못되었습니다: {asdict(self)}\n  crop_size와 step은 1 이상, thresh_size는 0 이상, "
                "compression_level은 0에서 9여야 합니다.\n  해결: 값을 고치세요."
            )

    def settings(self) -> dict[str, Any]:
        """조각의 픽셀을 정하는 값들. 압축 수준은 픽셀을 바꾸지 않는다."""
        return {"tool": "extract_subimages", **{k: v for k, v in asdict(self).items() if k != "compression_level"}}


def crop_starts(length: int, options: CropOptions) -> list[int]:
    """한 방향에서 조각이 시작하는 자리들.

    Args:
        length: 이미지의 변(픽셀).
        options: 조각의 설정.

    Returns:
        시작 자리(픽셀). 조각보다 짧은 변이면 비어 있다.
    """
    if length < options.crop_size:
        return []
    starts = list(range(0, length - options.crop_size + 1, options.step))
    if length - (starts[-1] + options.crop_size) > options.thresh_size:
        starts.append(length - options.crop_size)
    return starts


def crop_boxes(height: int, width: int, options: CropOptions) -> list[tuple[int, int]]:
    """조각의 왼쪽 위 `(위, 왼쪽)`을 위에서 아래로, 왼쪽에서 오른쪽으로 늘어놓는다."""
    return list(product(crop_starts(height, options), crop_starts(width, options)))


def crop_targets(source: Path, root: Path, output: Path, count: int) -> list[Path]:
    """조각의 경로 `{이름}_s001.png`들. 이름의 배율 표시는 지우고, 하위 폴더의 모양은 지킨다."""
    stem = subimage_stem(source, root, output)
    return [stem.with_name(f"{stem.name}_s{index:03d}.png") for index in range(1, count + 1)]


def subimage_stem(source: Path, root: Path, output: Path) -> Path:
    """조각 이름의 머리."""
    return output / source.relative_to(root).with_name(strip_scale(source.stem))


def extract(source: Path, *, root: Path, output: Path, options: CropOptions) -> Outcome:
    """이미지 하나에서 조각들을 낸다. 조각이 모두 있고 이미지보다 새것이면 건너뛴다.

    Raises:
        ImageReadError: 이미지를 읽을 수 없을 때.
        ImageWriteError: 조각을 쓸 수 없을 때.
    """
    info = probe_image(source)
    count = len(crop_boxes(info.height, info.width, options))
    if count == 0:
        return Outcome(str(source), "skipped", f"crop_size({options.crop_size})보다 작은 이미지입니다.")
    if is_fresh(source, crop_targets(source, root, output, count)):
        return Outcome(str(source), "skipped", "조각이 이미 있습니다.")
    image = read_array(source)
    boxes = crop_boxes(image.shape[0], image.shape[1], options)
    size = options.crop_size
    for (top, left), target in zip(boxes, crop_targets(source, root, output, len(boxes)), strict=True):
        write_bytes(target, encode_png(image[top : top + size, left : left + size], options.compression_level))
    return Outcome(str(source), "done")


def extractor(root: Path, output: Path, options: CropOptions) -> partial[Outcome]:
    """작업자에게 넘길 수 있는, 이미지 하나를 받는 함수."""
    return partial(extract, root=root, output=output, options=options)
