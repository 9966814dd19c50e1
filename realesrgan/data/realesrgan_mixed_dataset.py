"""여러 데이터셋을 확률로 섞는 데이터셋: 짝 자료와 합성한 자료를 함께 훈련할 때 쓴다."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from torch.utils.data import Dataset

from realesrgan.basicsr_bridge import DATASET_REGISTRY, build_dataset
from realesrgan.data.resumable_sampler import ItemKey, accept_keys, split_key
from realesrgan.errors import OptionError


@DATASET_REGISTRY.register()
class RealESRGANMixedDataset(Dataset[dict[str, Any]]):
    """항목마다 확률로 한 데이터셋을 골라 그 항목을 준다. 모두 같은 크기의 `lq`와 `gt`를 주어야 한다.

    합성한 짝은 `RealESRGANVideoDataset`(코덱 없이도 쓸 수 있다)이, 있는 짝은 `RealESRGANPairedDataset`이 준다. 어느
    것을 고를지도 항목의 열쇠만의 함수다.

    Args:
        opt: `sources`에 데이터셋 블록들. 블록의 `weight`(기본 1)가 고를 비중이다. 나머지 키는 그 데이터셋의 것이며, 이
            블록의 `phase`, `scale`, `gt_size`, `io_backend`, `color`는 적지 않은 것에 물려준다.

    Raises:
        OptionError: `sources`가 비었거나 비중의 합이 0일 때.
    """

    takes_item_keys = True

    def __init__(self, opt: Mapping[str, Any]) -> None:
        self.opt = opt
        blocks = opt.get("sources") or []
        self.weights = np.asarray([float(one.get("weight", 1.0)) for one in blocks])
        if not len(blocks) or not self.weights.sum() > 0 or (self.weights < 0).any():
            raise OptionError(
                f"섞을 데이터셋이 없습니다: sources={len(blocks)}개, 비중={self.weights.tolist()}\n"
                "  고를 것이 하나는 있어야 합니다.\n  해결: datasets:train:sources에 데이터셋 블록을 적으세요."
            )
        shared = {key: opt[key] for key in ("phase", "scale", "gt_size", "io_backend", "color") if key in opt}
        self.sources = [accept_keys(build_dataset({**shared, "name": "source", **one})) for one in blocks]

    def __len__(self) -> int:
        return max(len(one) for one in self.sources)

    def __getitem__(self, key: int | ItemKey) -> dict[str, Any]:
        index, rng = split_key(key)
        source = self.sources[int(rng.choice(len(self.sources), p=self.weights / self.weights.sum()))]
        inner = index % len(source)
        item = source[key._replace(item=inner) if isinstance(key, ItemKey) else inner]
        return {name: item[name] for name in ("lq", "gt", "lq_path", "gt_path")}
