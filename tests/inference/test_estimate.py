"""키우지 않고 하는 어림."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import realesrgan
from realesrgan.archs import SRVGGNetCompact
from realesrgan.inference.estimate import estimate_picture
from realesrgan.media.image import probe_image, still, write_image


@pytest.mark.parametrize("outscale", [4.0, 3.0])
def test_a_large_result_is_kept_in_a_file_and_not_counted_as_memory(
    tmp_path: Path, save_network: Callable[..., Path], tiny_srvgg: SRVGGNetCompact, outscale: float
) -> None:
    model = realesrgan.load(save_network(tiny_srvgg), device="cpu", tile=64)
    memory = []
    for height in (1600, 3200):
        write_image(tmp_path / f"{height}.png", still(np.zeros((height, 1600, 3), np.uint8)))
        info = probe_image(tmp_path / f"{height}.png")
        memory.append(estimate_picture(info, model, outscale, 1e-9).memory)
    assert memory[1] == memory[0]
