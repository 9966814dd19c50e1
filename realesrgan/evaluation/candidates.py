"""견줄 대상들: 바이큐빅과 네트워크."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from realesrgan.errors import UsageError
from realesrgan.evaluation.bicubic import bicubic_8bit
from realesrgan.evaluation.metrics import Picture
from realesrgan.inference.realesrganer import RealESRGANer
from realesrgan.zoo.models import get_model
from realesrgan.zoo.weights import find_weights, infer_network, load_weights, resolve_model_path

BASELINE = "bicubic"


@dataclass(frozen=True)
class Candidate:
    """견줄 대상 하나.

    Attributes:
        name: 표에 적을 이름.
        scale: 배율.
        weights: 가중치 파일. 바이큐빅이면 None.
        upscale: LQ `(h, w, 3)` BGR uint8을 `(h * scale, w * scale, 3)`로 키우는 함수.
    """

    name: str
    scale: int
    weights: Path | None
    upscale: Callable[[Picture], Picture]


@dataclass(frozen=True)
class LoadOptions:
    """네트워크를 싣는 방법. 뜻은 `RealESRGANer`와 같다."""

    tile: int | Literal["auto"] = "auto"
    device: str | None = None
    precision: str = "auto"
    act_type: str | None = None


def load_candidates(names: Sequence[str], paths: Sequence[str], options: LoadOptions) -> list[Candidate]:
    """모델들을 싣고, 그 배율마다의 바이큐빅을 앞에 둔다.

    Args:
        names: 모델 이름들.
        paths: 가중치 파일이나 주소들.
        options: 싣는 방법.

    Raises:
        UsageError: 대상이 없거나 이름이 겹칠 때.
        WeightsError, DeviceError: 실을 수 없을 때.
    """
    found = [_from_path(find_weights(get_model(name)), get_model(name).name, options) for name in names]
    for path in paths:
        file = resolve_model_path(path)
        found.append(_from_path(file, file.stem, options))
    if not found:
        raise UsageError("평가할 모델이 없습니다.\n  해결: -n에 모델 이름을, 또는 --model_path에 가중치를 주세요.")
    scales = list(dict.fromkeys(candidate.scale for candidate in found))
    baselines = [_baseline(scale, len(scales) > 1) for scale in scales]
    every = [*baselines, *found]
    twice = [c.name for c in every if sum(c.name == other.name for other in every) > 1]
    if twice:
        raise UsageError(
            f"이름이 같은 대상이 둘입니다: {twice[0]}\n  결과를 이름으로 가립니다.\n"
            "  해결: 가중치 파일의 이름을 바꾸세요."
        )
    return every


def _baseline(scale: int, several: bool) -> Candidate:
    name = f"{BASELINE}_x{scale}" if several else BASELINE
    return Candidate(name, scale, None, lambda lq: bicubic_8bit(lq, scale))


def _from_path(file: Path, name: str, options: LoadOptions) -> Candidate:
    loaded = load_weights(file)
    _, arguments = infer_network(loaded.state, loaded.metadata, options.act_type)
    scale = int(arguments.get("scale", arguments.get("upscale", 4)))
    upsampler = RealESRGANer(
        scale,
        file,
        tile=options.tile,
        pre_pad=0,
        device=options.device,
        precision=options.precision,
        act_type=options.act_type,
    )
    return Candidate(name, scale, file, lambda lq: upsampler.enhance(lq, outscale=scale)[0])
