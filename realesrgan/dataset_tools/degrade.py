"""이미지 파일을 열화시켜 저품질 이미지(LQ)와 단계마다의 비교표를 쓴다."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from realesrgan.data.degradations import round_to_8bit, to_gray
from realesrgan.data.preview import Degraded, Recipe, degrade_picture
from realesrgan.dataset_tools.outcome import Outcome
from realesrgan.dataset_tools.pictures import encode_png, is_fresh, read_bgr8, write_bytes
from realesrgan.dataset_tools.sheets import Cell, arrange, central_region, draw_sheet, overview

SHEET_COLUMNS = 5
SHEET_SIDE = 260
_LEVEL = 3


@dataclass(frozen=True)
class DegradeOptions:
    """무엇을 쓸지.

    Attributes:
        recipe: 열화.
        seed: 씨앗(seed).
        sheet: 비교표를 쓸지.
        save_gt: 배율의 배수로 자른 정답 이미지를 쓸지.
        region: 비교표에서 들여다볼 부분의 한 변(GT 픽셀).
    """

    recipe: Recipe
    seed: int = 0
    sheet: bool = False
    save_gt: bool = False
    region: int = 130


def job_settings(options_file: Path, seed: int) -> dict[str, Any]:
    """결과의 픽셀을 정하는 것들. 옵션 파일은 내용으로 가린다."""
    digest = hashlib.sha256(options_file.read_bytes()).hexdigest()
    return {"tool": "degrade_images", "options": digest, "seed": seed}


def degrade_file(source: Path, index: int, stem: Path, output: Path, options: DegradeOptions) -> Outcome:
    """이미지 하나를 열화시켜 쓴다. 결과가 모두 있고 이미지보다 새것이면 건너뛴다.

    Args:
        source: 이미지 파일.
        index: 씨앗과 함께 난수를 정하는 번호.
        stem: 결과의 이름. 확장자가 없는 상대 경로다.
        output: 결과 폴더. `lq/`, `sheet/`, `gt/` 아래에 쓴다.
        options: 무엇을 쓸지.

    Raises:
        ImageReadError, ImageWriteError, DatasetError: 읽거나 쓰거나 열화시킬 수 없을 때.
    """
    wanted = {"lq": True, "sheet": options.sheet, "gt": options.save_gt}
    targets = {kind: output / kind / f"{stem}.png" for kind, needed in wanted.items() if needed}
    if is_fresh(source, list(targets.values())):
        return Outcome(str(source), "skipped", "결과가 이미 있습니다.")
    gt = to_tensor(read_bgr8(source))
    if options.recipe.gray:
        gt = round_to_8bit(to_gray(gt[None]))[0]
    degraded = degrade_picture(gt, options.recipe, options.seed, index)
    pictures = {
        "lq": lambda: to_bgr8(degraded.lq),
        "sheet": lambda: stage_sheet(degraded, options.region),
        "gt": lambda: to_bgr8(degraded.gt),
    }
    for kind, target in targets.items():
        write_bytes(target, encode_png(pictures[kind](), _LEVEL))
    return Outcome(str(source), "done")


def to_tensor(image: NDArray[np.uint8]) -> Tensor:
    """`(H, W, 3)` BGR uint8을 `(3, H, W)` RGB float32, 0..1로 바꾼다."""
    return torch.from_numpy(np.ascontiguousarray(image[..., ::-1].transpose(2, 0, 1))).float().div_(255.0)


def to_bgr8(image: Tensor) -> NDArray[np.uint8]:
    """`(3, H, W)` RGB나 `(1, H, W)` 회색 0..1을 `(H, W, 3)` BGR uint8로 바꾼다."""
    planes = (image.expand(3, -1, -1).clamp(0, 1) * 255.0).round().to(torch.uint8)
    return np.ascontiguousarray(planes.permute(1, 2, 0).numpy()[..., ::-1])


def stage_sheet(degraded: Degraded, region: int) -> NDArray[np.uint8]:
    """단계마다 같은 자리를 들여다본 비교표. 첫 칸은 이미지 전체와 그 자리다.

    Args:
        degraded: 열화한 이미지.
        region: 들여다볼 부분의 한 변(GT 픽셀). 0이면 이미지 전체.

    Returns:
        `(H, W, 3)` BGR uint8.
    """
    gt = to_bgr8(degraded.gt)
    height, width = gt.shape[:2]
    place = central_region(height, width, region or max(height, width))
    cells = [Cell(overview(gt, place), ("picture", f"region {place.size}x{place.size}"))]
    for number, stage in enumerate(degraded.stages):
        image = to_bgr8(stage.image)
        shown = place.cut(image, height) if region else image
        cells.append(Cell(shown, (f"{number}. {stage.name}", *stage.detail.splitlines())))
    return draw_sheet(arrange(cells, SHEET_COLUMNS), SHEET_SIDE)
