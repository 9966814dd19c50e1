"""작업자에서 열화와 비디오 코덱까지 마친 (LQ, GT) 쌍을 주는 데이터셋. 비디오를 위한 모델의 훈련에 쓴다."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from realesrgan.basicsr_bridge import DATASET_REGISTRY
from realesrgan.data.degradations import DegradationRandom
from realesrgan.data.pipeline import Kernels, PipelineOptions, random_crop, synthesise
from realesrgan.data.realesrgan_dataset import RealESRGANDataset
from realesrgan.data.resumable_sampler import ItemKey
from realesrgan.data.video_codec import CodecOptions, compress_tensor, draw_codec


def apply_codec(lq: Tensor, rng: np.random.Generator, options: CodecOptions) -> Tensor:
    """LQ `(3, h, w)` RGB나 `(1, h, w)` 회색 0..1에 코덱을 건다. 뽑히지 않았으면 그대로다."""
    draw = draw_codec(rng, options)
    return lq if draw is None else compress_tensor(lq, draw)


@DATASET_REGISTRY.register()
class RealESRGANVideoDataset(RealESRGANDataset):
    """이차 열화 다음에 비디오 코덱(H.264, H.265, AV1)으로 한 번 더 누른 짝을 주는 데이터셋.

    항목은 `gt (3, gt_size, gt_size)`와 `lq (3, gt_size // scale, gt_size // scale)` RGB float32 0..1, 두 경로다. 열화를
    작업자가 하므로 `high_order_degradation: false`로 쓴다. 장마다 따로 뽑으므로 쌍 풀이 없어도 열화가 서로 다르다.

    Args:
        opt: `RealESRGANDataset`의 옵션에 더해 `gt_size`, `scale`, 열화의 확률과 범위(옵션 읽기가 맨 위에서 채워 준다),
            `codec_prob` 등 코덱의 옵션, `usm`(`none`, 선명화한 정답을 열화시키되 본래 정답을 주는 `source`, 선명화한
            정답을 주는 `both`).
    """

    takes_item_keys = True

    def __init__(self, opt: Mapping[str, Any]) -> None:
        super().__init__(opt)
        self.pipeline = PipelineOptions.from_options(opt)
        self.codec = CodecOptions.from_options(opt)
        self.usm = str(opt.get("usm") or "source")

    @torch.no_grad()
    def __getitem__(self, key: int | ItemKey) -> dict[str, Any]:
        item = super().__getitem__(key)
        # 조각과 커널을 뽑은 난수와 겹치지 않게 한 자리를 더한다. 평범한 번호면 전역 난수에서 씨앗을 얻는다.
        seed = (key.seed, key.rank, key.epoch, key.position, 1) if isinstance(key, ItemKey) else (_global_seed(),)
        random = DegradationRandom.from_seed(*seed)
        kernels = Kernels.from_batch({name: item[name][None] for name in ("kernel1", "kernel2", "sinc_kernel")}, "cpu")
        gt = item["gt"][None]
        base, lq = synthesise(gt, kernels, self.pipeline, random, self.usm != "none")
        kept = base if self.usm == "both" else gt
        (cropped,), small = random_crop((kept,), lq, int(self.opt["gt_size"]), self.pipeline.scale, random.host)
        found = apply_codec(small[0], random.host, self.codec)
        return {
            "gt": cropped[0].clone(),
            "lq": found.contiguous(),
            "gt_path": item["gt_path"],
            "lq_path": item["gt_path"],
        }


def _global_seed() -> int:
    return int(torch.randint(2**31, (1,)))
