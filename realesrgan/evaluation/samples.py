"""평가할 정답 이미지(GT)과 그 저품질 이미지(LQ)을 마련한다."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from realesrgan.dataset_tools.meta_info import list_pictures, match_pairs
from realesrgan.dataset_tools.outcome import Outcome
from realesrgan.dataset_tools.pictures import find_pictures, read_bgr8, refuse_clashes
from realesrgan.errors import EvaluationError, UsageError
from realesrgan.evaluation.bicubic import bicubic_8bit
from realesrgan.evaluation.metrics import Picture

# `(GT, 배율, 번호)`에서 LQ를 만드는 함수. GT의 두 변은 배율의 배수다.
Degrade = Callable[[Picture, int, int], Picture]


@dataclass(frozen=True)
class Sample:
    """평가할 이미지 한 장.

    Attributes:
        name: 표에 적을 이름. GT 폴더에서의 상대 경로에서 확장자를 뗀 것이다.
        gt: GT의 경로.
        lq: LQ의 경로. 없으면 GT에서 만든다.
        index: 이름 차례의 번호. 열화의 난수를 정한다.
    """

    name: str
    gt: Path
    lq: Path | None
    index: int


def find_samples(gt: Path, lq: Path | None, *, recursive: bool = False) -> tuple[list[Sample], list[Outcome]]:
    """평가할 이미지들을 찾는다.

    Args:
        gt: GT의 폴더.
        lq: LQ의 폴더. 이름이 같은(배율 표시 `x4` 등은 무시) 것이 짝이다.
        recursive: 하위 폴더까지 볼지.

    Returns:
        이미지들과, 짝을 찾지 못한 파일마다의 실패.

    Raises:
        UsageError: 폴더가 없거나 이미지가 없거나, 짝이 하나도 없거나, 이름이 겹칠 때.
    """
    if lq is None:
        paths = find_pictures(gt, recursive=recursive)
        pairs: list[tuple[Path, Path | None]] = [(path, None) for path in paths]
        problems: list[Outcome] = []
    else:
        gts, lqs = (list_pictures(folder, folder, recursive=recursive) for folder in (gt, lq))
        found, problems = match_pairs(gts, lqs, (gt, lq))
        pairs = [(pair.gt.path, pair.lq.path) for pair in found]
        if not pairs:
            raise UsageError(
                f"짝이 되는 이미지가 없습니다: {gt}, {lq}\n  이름(확장자와 배율 표시를 빼고)이 같은 것이 한 짝입니다.\n"
                "  해결: 두 폴더의 이름을 맞추세요."
            )
    samples = [
        Sample(path.relative_to(gt).with_suffix("").as_posix(), path, other, index)
        for index, (path, other) in enumerate(pairs)
    ]
    refuse_clashes((sample.gt, Path(sample.name)) for sample in samples)
    return samples, problems


def crop_to_multiple(image: Picture, scale: int) -> Picture:
    """오른쪽과 아래를 잘라 두 변을 `scale`의 배수로 만든다."""
    height, width = image.shape[:2]
    return image[: height - height % scale, : width - width % scale]


def load_sample(sample: Sample, scale: int, degrade: Degrade) -> tuple[Picture, Picture]:
    """GT와 LQ를 읽거나 만든다.

    Args:
        sample: 이미지.
        scale: 네트워크의 배율.
        degrade: LQ 파일이 없을 때 만드는 함수.

    Returns:
        GT `(H, W, 3)`와 LQ `(H // scale, W // scale, 3)`. BGR uint8.

    Raises:
        ImageReadError, DatasetError: 읽을 수 없을 때.
        EvaluationError: GT가 LQ의 `scale`배보다 작거나, 배율만큼 더 클 때.
    """
    gt = read_bgr8(sample.gt)
    if sample.lq is None:
        gt = np.ascontiguousarray(crop_to_multiple(gt, scale))
        if gt.size == 0:
            raise EvaluationError(f"이미지가 배율보다 작습니다: {sample.gt}\n  해결: 더 큰 이미지를 쓰세요.")
        return gt, degrade(gt, scale, sample.index)
    lq = read_bgr8(sample.lq)
    height, width = lq.shape[0] * scale, lq.shape[1] * scale
    # LQ를 만들 때 GT의 나머지를 잘라 낸 자료에서는 GT가 배율 미만만큼 더 크다.
    if not (0 <= gt.shape[0] - height < scale and 0 <= gt.shape[1] - width < scale):
        raise EvaluationError(
            f"짝의 크기가 {scale}배가 아닙니다: {sample.gt}({gt.shape[1]}x{gt.shape[0]}), "
            f"{sample.lq}({lq.shape[1]}x{lq.shape[0]})\n  네트워크의 배율과 자료의 배율이 같아야 합니다.\n"
            "  해결: 배율이 맞는 모델이나 자료를 쓰세요."
        )
    return np.ascontiguousarray(gt[:height, :width]), lq


def bicubic_degrade(gt: Picture, scale: int, _index: int) -> Picture:
    """MATLAB의 바이큐빅으로 줄이고 8비트로 반올림한다."""
    return bicubic_8bit(gt, 1 / scale)


def recipe_degrade(options_file: Path, seed: int) -> Degrade:
    """훈련 옵션 파일의 열화를 (선명화하지 않은) GT에 하는 함수. 검증 데이터셋과 같다.

    Raises:
        OptionError: 옵션 파일이 잘못되었을 때.
    """
    from realesrgan.data.preview import degrade_picture
    from realesrgan.dataset_tools.degrade import to_bgr8, to_tensor
    from realesrgan.training.options import load_recipe

    recipe = load_recipe(options_file)

    def degrade(gt: Picture, scale: int, index: int) -> Picture:
        if scale != recipe.pipeline.scale:
            raise EvaluationError(
                f"배율이 다릅니다: 네트워크 {scale}배, {options_file} {recipe.pipeline.scale}배\n"
                "  옵션 파일의 열화는 그 배율로만 LQ를 만듭니다.\n  해결: 배율이 같은 옵션 파일이나 모델을 쓰세요."
            )
        return to_bgr8(degrade_picture(to_tensor(gt), recipe, seed, index, sharpen=False).lq)

    return degrade
