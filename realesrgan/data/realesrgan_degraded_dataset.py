"""정답 이미지(GT)를 정해진 씨앗(seed)으로 열화시켜 주는 검증용 데이터셋."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch.utils.data import Dataset

from realesrgan.basicsr_bridge import DATASET_REGISTRY
from realesrgan.data.degradations import DegradationRandom
from realesrgan.data.image_source import ImageReader, is_gray, to_tensor
from realesrgan.data.kernels import KernelOptions, draw_kernels, pad_kernel, render_kernel
from realesrgan.data.pipeline import Kernels, PipelineOptions, synthesise
from realesrgan.data.realesrgan_dataset import find_gt_paths


@DATASET_REGISTRY.register()
class RealESRGANDegradedDataset(Dataset[dict[str, Any]]):
    """짝 자료가 없어도 훈련과 같은 파이프라인으로 검증할 수 있게 하는 데이터셋.

    항목은 `gt (3, H, W)`와 `lq (3, H // scale, W // scale)` RGB(회색이면 한 채널) float32 0..1, 두 경로다. 같은
    `seed`와 번호면 언제나 같은 LQ가 나오므로 훈련하는 동안의 지표를 서로 견줄 수 있다. 읽지 못한 이미지는
    지표를 흐리므로 바꾸지 않고 멈춘다.

    Args:
        opt: 데이터셋 옵션. `dataroot_gt`, `io_backend`, `scale`, 커널과 열화의 확률과 범위(옵션 읽기가 훈련 데이터셋과
            맨 위에서 채워 준다), 있으면 `meta_info`, `seed`(기본 0), `crop_size`(가운데를 이 크기로 자른다), `color`.

    Raises:
        DatasetError: 이미지를 찾지 못했을 때.
        ImageReadError: 이미지를 읽지 못했을 때.
        OptionError: 열화 옵션이 빠졌거나 잘못됐을 때.
    """

    def __init__(self, opt: Mapping[str, Any]) -> None:
        self.opt = opt
        self.scale = int(opt["scale"])
        self.paths = find_gt_paths(opt)
        self.seed = int(opt.get("seed", 0))
        self.crop_size = opt.get("crop_size")
        self.first = KernelOptions.from_options(opt)
        self.second = KernelOptions.from_options(opt, "2")
        self.pipeline = PipelineOptions.from_options(opt)
        self._reader = ImageReader(opt["io_backend"], {"gt": opt["dataroot_gt"]}, is_gray(opt))

    def __len__(self) -> int:
        return len(self.paths)

    def _load(self, path: str) -> torch.Tensor:
        image = self._reader.read(path, "gt")
        height, width = image.shape[:2]
        tall, wide = (min(side, int(self.crop_size or side)) for side in (height, width))
        tall, wide = tall - tall % self.scale, wide - wide % self.scale
        top, left = (height - tall) // 2, (width - wide) // 2
        return to_tensor(image[top : top + tall, left : left + wide])

    def __getitem__(self, index: int) -> dict[str, Any]:
        path = self.paths[index]
        random = DegradationRandom.from_seed(self.seed, index)
        draws = draw_kernels(random.host, self.first, self.second, float(self.opt["final_sinc_prob"]))
        kernels = Kernels(*(torch.from_numpy(pad_kernel(render_kernel(d), max(21, d.size)))[None] for d in draws))
        gt = self._load(path)
        _, lq = synthesise(gt.unsqueeze(0), kernels, self.pipeline, random, sharpen=False)
        return {"gt": gt, "lq": lq[0], "gt_path": path, "lq_path": path}
