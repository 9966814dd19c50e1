"""모델 표가 공식 체크포인트의 사실과 맞는지."""

from __future__ import annotations

import re

import pytest
import torch

from realesrgan.errors import UsageError
from realesrgan.registry import ARCH_REGISTRY
from realesrgan.zoo.models import DEFAULT_MODEL, MODELS, get_model

OFFICIAL = {
    "RealESRGAN_x4plus": ("RRDBNet", 4, "v0.1.0"),
    "RealESRNet_x4plus": ("RRDBNet", 4, "v0.1.1"),
    "RealESRGAN_x4plus_anime_6B": ("RRDBNet", 4, "v0.2.2.4"),
    "RealESRGAN_x2plus": ("RRDBNet", 2, "v0.2.1"),
    "realesr-animevideov3": ("SRVGGNetCompact", 4, "v0.2.5.0"),
    "realesr-general-x4v3": ("SRVGGNetCompact", 4, "v0.2.5.0"),
    "realesr-general-wdn-x4v3": ("SRVGGNetCompact", 4, "v0.2.5.0"),
}


def test_table_holds_the_seven_official_checkpoints() -> None:
    assert {name: (spec.arch, spec.scale, spec.release) for name, spec in MODELS.items()} == OFFICIAL


@pytest.mark.parametrize("name", MODELS)
def test_every_model_builds_and_describes_itself_in_korean(name: str) -> None:
    spec = MODELS[name]
    with torch.device("meta"):
        network = ARCH_REGISTRY.get(spec.arch)(**spec.arch_args)
    assert network.scale == spec.scale
    assert re.search("[가-힣]", spec.description)
    assert spec.url.startswith("https://") and spec.url.endswith(f"/{spec.release}/{name}.pth")
    assert spec.sha256 is None or re.fullmatch("[0-9a-f]{64}", spec.sha256)


def test_name_may_carry_the_file_suffix() -> None:
    assert get_model("RealESRGAN_x4plus.pth").name == DEFAULT_MODEL


def test_unknown_name_is_refused_with_the_nearest_one() -> None:
    with pytest.raises(UsageError, match="'RealESRGAN_x4plus'") as caught:
        get_model("RealESRGAN_x4plu")
    assert "realesr-general-x4v3" in str(caught.value)


def test_table_cannot_be_changed_from_outside() -> None:
    with pytest.raises(TypeError):
        MODELS["RealESRGAN_x4plus"].arch_args["scale"] = 2  # type: ignore[index]
