"""정답 이미지(GT)와 무작위 커널을 주는 데이터셋. 저품질 이미지는 모델이 배치째로 합성한다."""

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
    crop_or_pad,
    is_gray,
    list_folder,
    list_lmdb,
    read_lines,
    to_tensor,
)
from realesrgan.data.kernels import (
    PADDED_SIZE,
    KernelAttributes,
    KernelOptions,
    draw_kernels,
    pad_kernel,
    render_kernel,
)
from realesrgan.data.resumable_sampler import ItemKey, split_key
from realesrgan.errors import ImageReadError

DEFAULT_CROP = 400
DEFAULT_BAD_RATIO = 0.01


def find_gt_paths(options: Mapping[str, Any]) -> list[str]:
    """옵션이 가리키는 GT의 경로(또는 lmdb 열쇠)를 모두 찾는다.

    Raises:
        DatasetError: 폴더, 목록, lmdb 가운데 쓰인 것을 열 수 없을 때.
    """
    root = options["dataroot_gt"]
    if options["io_backend"]["type"] == "lmdb":
        return list_lmdb(root)
    if options.get("meta_info"):
        return [str(Path(root) / line) for line in read_lines(options["meta_info"])]
    return list_folder(root)


@DATASET_REGISTRY.register()
class RealESRGANDataset(KernelAttributes, Dataset[dict[str, Any]]):
    """GT 조각과 세 블러 커널을 주는 데이터셋. Real-ESRGAN 4.1절.

    항목은 `gt (3, crop, crop)` RGB(회색이면 `(1, crop, crop)`) float32 0..1, `kernel1`·`kernel2`·`sinc_kernel` 각
    `(21, 21)` float32, `gt_path`. 읽지 못한 이미지는 기록하고 다른 이미지로 바꾼다. 항목의 난수는 `ItemKey`만의 함수다.

    Args:
        opt: 데이터셋 옵션. `dataroot_gt`, `io_backend`, 있으면 `meta_info`, 커널의 확률과 범위, `use_hflip`, `use_rot`,
            `crop_size`(기본 400), `max_bad_ratio`(기본 0.01), `color`(`gray`면 한 채널).

    Raises:
        DatasetError: 이미지를 찾지 못했거나, 읽지 못한 이미지가 허용치를 넘을 때.
        OptionError: 커널 옵션이 잘못됐을 때.
    """

    takes_item_keys = True

    def __init__(self, opt: Mapping[str, Any]) -> None:
        self.opt = opt
        self.paths = find_gt_paths(opt)
        self.crop_size = int(opt.get("crop_size", DEFAULT_CROP))
        self.first = KernelOptions.from_options(opt)
        self.second = KernelOptions.from_options(opt, "2")
        # 배치로 쌓으려면 항목마다 같은 크기여야 한다.
        self.kernel_size = max(PADDED_SIZE, self.first.max_size, self.second.max_size)
        self.bad_files = BadFiles(self.paths, float(opt.get("max_bad_ratio", DEFAULT_BAD_RATIO)))
        self._reader = ImageReader(opt["io_backend"], {"gt": opt["dataroot_gt"]}, is_gray(opt))

    def __len__(self) -> int:
        return len(self.paths)

    def _read(self, index: int, rng: np.random.Generator) -> tuple[str, Pixels]:
        while True:
            try:
                return self.paths[index], self._reader.read(self.paths[index], "gt")
            except ImageReadError as error:
                self.bad_files.add(index, error)
            index = int(rng.integers(len(self.paths)))

    def __getitem__(self, key: int | ItemKey) -> dict[str, Any]:
        index, rng = split_key(key)
        path, image = self._read(index, rng)
        (image,) = augment([image], rng, bool(self.opt.get("use_hflip", True)), bool(self.opt.get("use_rot", False)))
        patch = crop_or_pad(image, self.crop_size, rng)
        draws = draw_kernels(rng, self.first, self.second, float(self.opt["final_sinc_prob"]))
        first, second, final = (torch.from_numpy(pad_kernel(render_kernel(draw), self.kernel_size)) for draw in draws)
        return {"gt": to_tensor(patch), "kernel1": first, "kernel2": second, "sinc_kernel": final, "gt_path": path}
