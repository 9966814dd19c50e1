"""짝이 있는 저품질 이미지(LQ)와 정답 이미지(GT)를 주는 데이터셋. 미세조정(fine-tuning)에 쓴다."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.utils.data import Dataset

from realesrgan.basicsr_bridge import DATASET_REGISTRY
from realesrgan.data.image_source import (
    BadFiles,
    ImageReader,
    Pixels,
    augment,
    is_gray,
    list_folder,
    list_lmdb,
    read_lines,
    to_tensor,
)
from realesrgan.data.realesrgan_dataset import DEFAULT_BAD_RATIO
from realesrgan.data.resumable_sampler import ItemKey, split_key
from realesrgan.errors import DatasetError, ImageReadError, OptionError

Pair = tuple[Pixels, Pixels]


def _pairs_from_meta(meta_info: str, gt_root: str, lq_root: str) -> list[tuple[str, str]]:
    pairs = []
    for number, line in enumerate(read_lines(meta_info), 1):
        parts = [part.strip() for part in line.split(",")]
        if len(parts) != 2:
            raise DatasetError(
                f"목록 파일의 {number}째 줄에서 짝을 찾지 못했습니다: {line}\n"
                "  한 줄은 'GT 경로, LQ 경로' 꼴이어야 합니다.\n  해결: 그 줄을 고치세요."
            )
        pairs.append((str(Path(gt_root) / parts[0]), str(Path(lq_root) / parts[1])))
    return pairs


def _pairs_from_folders(gt_root: str, lq_root: str, template: str) -> list[tuple[str, str]]:
    pairs = []
    try:
        template.format("이름")
    except (IndexError, KeyError, ValueError) as error:
        raise OptionError(
            f"LQ의 이름을 만들 수 없습니다: filename_tmpl={template!r}\n"
            f"  GT의 이름이 들어갈 자리는 '{{}}' 하나입니다({type(error).__name__}: {error}).\n"
            "  해결: '{}x4'처럼 적으세요."
        ) from error
    for gt_path in list_folder(gt_root):
        relative = Path(gt_path).relative_to(gt_root)
        name = template.format(relative.stem) + relative.suffix
        lq_path = Path(lq_root) / relative.with_name(name)
        if not lq_path.is_file():
            raise DatasetError(
                f"짝이 되는 LQ가 없습니다: {lq_path}\n  GT는 {gt_path}입니다.\n"
                "  해결: 이름을 맞추거나 filename_tmpl을 고치거나 meta_info로 짝을 적으세요."
            )
        pairs.append((gt_path, str(lq_path)))
    return pairs


def find_pairs(options: Mapping[str, Any]) -> list[tuple[str, str]]:
    """옵션이 가리키는 (GT, LQ) 경로(또는 lmdb 열쇠)의 짝을 모두 찾는다.

    Raises:
        DatasetError: 열 수 없거나 짝이 맞지 않을 때.
    """
    gt_root, lq_root = options["dataroot_gt"], options["dataroot_lq"]
    if options["io_backend"]["type"] == "lmdb":
        gt_keys, lq_keys = list_lmdb(gt_root), list_lmdb(lq_root)
        if set(gt_keys) != set(lq_keys):
            raise DatasetError(
                f"두 lmdb의 열쇠가 다릅니다: {gt_root}, {lq_root}\n  같은 열쇠가 한 짝이 됩니다.\n"
                "  해결: 같은 이름으로 lmdb를 다시 만드세요."
            )
        return [(key, key) for key in gt_keys]
    if options.get("meta_info"):
        return _pairs_from_meta(options["meta_info"], gt_root, lq_root)
    return _pairs_from_folders(gt_root, lq_root, options.get("filename_tmpl") or "{}")


def crop_pair(pair: Pair, gt_size: int, scale: int, rng: np.random.Generator) -> Pair:
    """(GT, LQ)의 같은 자리를 `gt_size`와 `gt_size // scale`로 자른다."""
    gt, lq = pair
    patch = gt_size // scale
    top = int(rng.integers(lq.shape[0] - patch + 1))
    left = int(rng.integers(lq.shape[1] - patch + 1))
    cropped = gt[top * scale : top * scale + gt_size, left * scale : left * scale + gt_size]
    return cropped, lq[top : top + patch, left : left + patch]


@DATASET_REGISTRY.register()
class RealESRGANPairedDataset(Dataset[dict[str, Any]]):
    """짝 자료의 조각을 주는 데이터셋.

    항목은 `gt (3, gt_size, gt_size)`와 `lq (3, gt_size // scale, gt_size // scale)` RGB(회색이면 한 채널) float32
    0..1, 두 경로다. `phase`가 `train`이 아니면 자르지 않고 GT를 LQ의 배율에 맞춰 다듬기만 한다. 읽지 못했거나
    크기가 맞지 않는 짝은 기록하고 다른 짝으로 바꾼다.

    Args:
        opt: 데이터셋 옵션. `dataroot_gt`, `dataroot_lq`, `io_backend`, `scale`, `phase`, 훈련에서는 `gt_size`,
            있으면 `meta_info`, `filename_tmpl`, `use_hflip`, `use_rot`, `mean`, `std`, `max_bad_ratio`, `color`.

    Raises:
        DatasetError: 짝을 찾지 못했거나, 쓰지 못하는 짝이 허용치를 넘을 때.
    """

    takes_item_keys = True

    def __init__(self, opt: Mapping[str, Any]) -> None:
        self.opt = opt
        self.io_backend_opt = opt["io_backend"]
        self.gt_folder, self.lq_folder = opt["dataroot_gt"], opt["dataroot_lq"]
        self.filename_tmpl = opt.get("filename_tmpl") or "{}"
        self.mean, self.std = opt.get("mean"), opt.get("std")
        self.scale = int(opt["scale"])
        self.training = opt["phase"] == "train"
        self.pairs = find_pairs(opt)
        self.bad_files = BadFiles([gt for gt, _ in self.pairs], float(opt.get("max_bad_ratio", DEFAULT_BAD_RATIO)))
        roots = {"gt": opt["dataroot_gt"], "lq": opt["dataroot_lq"]}
        self._reader = ImageReader(opt["io_backend"], roots, is_gray(opt))

    def __len__(self) -> int:
        return len(self.pairs)

    def _load(self, index: int) -> Pair:
        gt_path, lq_path = self.pairs[index]
        gt, lq = self._reader.read(gt_path, "gt"), self._reader.read(lq_path, "lq")
        expected = (lq.shape[0] * self.scale, lq.shape[1] * self.scale)
        if not self.training and gt.shape[0] >= expected[0] and gt.shape[1] >= expected[1]:
            gt = gt[: expected[0], : expected[1]]
        if gt.shape[:2] != expected:
            raise ImageReadError(f"{gt_path}: 크기 {gt.shape[:2]}가 LQ의 {self.scale}배 {expected}가 아닙니다")
        if self.training and min(lq.shape[:2]) < self.opt["gt_size"] // self.scale:
            raise ImageReadError(f"{lq_path}: 크기 {lq.shape[:2]}가 조각보다 작습니다")
        return gt, lq

    def _read(self, index: int, rng: np.random.Generator) -> tuple[int, Pair]:
        while True:
            try:
                return index, self._load(index)
            except ImageReadError as error:
                self.bad_files.add(index, error)
            index = int(rng.integers(len(self.pairs)))

    def _normalise(self, image: torch.Tensor) -> torch.Tensor:
        if self.mean is None and self.std is None:
            return image
        mean = torch.tensor(self.mean or [0.0]).view(-1, 1, 1)
        std = torch.tensor(self.std or [1.0]).view(-1, 1, 1)
        return (image - mean) / std

    def __getitem__(self, key: int | ItemKey) -> dict[str, Any]:
        index, rng = split_key(key)
        index, pair = self._read(index, rng)
        if self.training:
            pair = crop_pair(pair, int(self.opt["gt_size"]), self.scale, rng)
            hflip, rotate = bool(self.opt.get("use_hflip", True)), bool(self.opt.get("use_rot", False))
            gt, lq = augment(list(pair), rng, hflip, rotate)
            pair = (gt, lq)
        gt_path, lq_path = self.pairs[index]
        gt_tensor, lq_tensor = (self._normalise(to_tensor(image)) for image in pair)
        return {"gt": gt_tensor, "lq": lq_tensor, "gt_path": gt_path, "lq_path": lq_path}
