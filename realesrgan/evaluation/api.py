"""파이썬에서 부르는 평가. 명령도 이 함수를 부른다."""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

from realesrgan.errors import InvalidValueError, UsageError
from realesrgan.evaluation.bicubic import bicubic_8bit
from realesrgan.evaluation.metrics import Metric, Picture, SetMetric, default_metrics, make_metrics
from realesrgan.evaluation.results import EvaluationResult, write_results
from realesrgan.evaluation.run import (
    LOG_NAME,
    Candidate,
    EvaluationLog,
    Plan,
    Progress,
    comparison_sheet,
    measure_all,
    summarise,
)
from realesrgan.evaluation.samples import bicubic_degrade, find_samples, recipe_degrade
from realesrgan.inference.model import ComputeSettings, Model, load
from realesrgan.inference.picture import prepare_folder
from realesrgan.inference.steps import parse_steps
from realesrgan.zoo.models import MODELS

__all__ = ["EvaluationResult", "EvaluationSettings", "evaluate"]

BICUBIC = "bicubic"


@dataclass(frozen=True)
class EvaluationSettings:
    """무엇을 어떻게 잴지.

    Attributes:
        metrics: 지표의 이름들(`metrics.METRICS`). 비어 있으면 PSNR과 SSIM, 훈련 패키지가 있으면 NIQE도 잰다.
        crop_border: 재지 않을 가장자리(픽셀). 없으면 모델의 배율이다.
        y_channel: PSNR과 SSIM을 휘도(Y)로 잴지. 아니면 RGB다.
        recursive: 하위 폴더까지 볼지.
        max_pictures: 이름 차례로 이만큼만 잰다. 없으면 모두.
        seed: 옵션 파일의 열화에 쓸 씨앗(seed).
        save_images: 키운 이미지를 `images/`에 남길지.
        sheet_pictures: 비교표에 넣을 이미지 수. 앞에서부터 고른다.
        sheet_region: 비교표에서 들여다볼 부분의 한 변(정답 이미지의 픽셀).
        steps: 모델마다 네트워크 다음에 거칠 단계들(`"sharpen=0.5"` 등). 바이큐빅은 거치지 않는다.

    Raises:
        InvalidValueError: 범위를 벗어난 값일 때.
    """

    metrics: Sequence[str] = ()
    crop_border: int | None = None
    y_channel: bool = False
    recursive: bool = False
    max_pictures: int | None = None
    seed: int = 0
    save_images: bool = False
    sheet_pictures: int = 6
    sheet_region: int = 120
    steps: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        at_least = {"crop_border": 0, "max_pictures": 1, "seed": 0, "sheet_pictures": 0, "sheet_region": 8}
        for name, low in at_least.items():
            value = getattr(self, name)
            if value is not None and value < low:
                raise InvalidValueError(f"{low} 이상이어야 합니다: {name}={value}")


def evaluate(
    models: Sequence[Model | str | os.PathLike[str]] | Model | str | os.PathLike[str],
    gt: str | os.PathLike[str],
    *,
    lq: str | os.PathLike[str] | None = None,
    degrade: str | os.PathLike[str] = BICUBIC,
    settings: EvaluationSettings | None = None,
    output: str | os.PathLike[str] | None = None,
    compute: ComputeSettings | None = None,
    act_type: str | None = None,
    progress: Progress | None = None,
) -> EvaluationResult:
    """모델들을 정답 이미지(GT)에 견주어 평가한다. 배율마다의 바이큐빅을 함께 잰다.

    이미지 하나의 실패는 결과의 `failures`에 적고 나머지를 계속한다.

    Args:
        models: 실은 모델, 모델 이름, 가중치 파일이나 주소. 하나거나 여럿. 이름은 그 파일만 읽고 짝과 섞지 않는다.
        gt: 정답 이미지의 폴더. 배율의 배수가 되도록 오른쪽과 아래를 자른다.
        lq: 저품질 이미지(LQ)의 폴더. 이름으로 짝짓는다. 없으면 GT에서 만든다.
        degrade: LQ를 만드는 법: `bicubic`(MATLAB의 바이큐빅) 또는 훈련 옵션 파일. `lq`가 있으면 쓰지 않는다.
        settings: 무엇을 어떻게 잴지.
        output: 표와 비교표를 쓸 폴더. 끊긴 뒤 같은 인자로 다시 부르면 남은 것만 잰다. 없으면 아무것도 남기지 않는다.
        compute: 이름과 파일로 준 모델을 어디서 어떻게 계산할지. 실은 모델은 제 설정을 쓴다.
        act_type: 파일로 준 SRVGGNetCompact의 활성화 함수. 가중치에서 알 수 없을 때만 필요하다.
        progress: `(마친 수, 전체 수)`를 받는 함수. 하나는 (모델, 이미지) 한 쌍이다.

    Returns:
        모델마다의 평균과 이미지마다의 값.

    Raises:
        UsageError: 모델이나 이미지가 없거나, 이름이 겹치거나, 지표의 이름을 모르거나, 배율이 다른데 `crop_border`가
            없을 때.
        WeightsError, DeviceError, MissingPackageError: 모델을 싣거나 지표를 잴 수 없을 때.
        OptionError: 옵션 파일이 잘못되었을 때.
        EvaluationError, ImageWriteError: 결과 폴더에 쓸 수 없을 때.

    예:
        >>> import realesrgan as sr
        >>> result = sr.evaluate(
        ...     ["realesr-animevideov3"], gt="inputs", settings=sr.EvaluationSettings(metrics=["psnr"], max_pictures=1)
        ... )
        >>> [model.name for model in result.models]
        ['bicubic', 'realesr-animevideov3']
        >>> result["bicubic"].means["psnr"] > 20
        True
    """
    settings, compute = settings or EvaluationSettings(), compute or ComputeSettings()
    models = [models] if isinstance(models, (Model, str, os.PathLike)) else models
    samples, problems = find_samples(Path(gt), None if lq is None else Path(lq), recursive=settings.recursive)
    loaded = [(name_of(one), _load(one, compute, act_type)) for one in models]
    candidates = make_candidates(loaded, settings.steps)
    by_recipe = lq is None and os.fspath(degrade) != BICUBIC
    border = choose_border(candidates, settings.crop_border)
    shown: dict[str, Any] = {"gt": os.fspath(gt), "lq": os.fspath(degrade if lq is None else lq), "crop_border": border}
    shown |= _described(settings, [model.compute for _, model in loaded])
    shown |= {"seed": settings.seed} if by_recipe else {}
    with _results_folder(output) as folder:
        plan = Plan(
            samples[: settings.max_pictures],
            *_metrics(settings, border, compute),
            recipe_degrade(Path(degrade), settings.seed) if by_recipe else bicubic_degrade,
            folder,
            settings.save_images,
            0 if output is None else settings.sheet_pictures,
            settings.sheet_region,
        )
        log = EvaluationLog(folder / LOG_NAME, shown)
        measured = measure_all(candidates, plan, log, progress)
        found = EvaluationResult(
            tuple(summarise(measured, candidates, plan)),
            tuple(metric.name for metric in plan.metrics),
            shown,
            (*measured.outcomes, *problems),
            None if output is None else folder,
        )
        if output is not None:
            write_results(found, folder, comparison_sheet(measured, candidates))
        log.remove()
    return found


def _metrics(
    settings: EvaluationSettings, border: int, compute: ComputeSettings
) -> tuple[list[Metric], list[SetMetric]]:
    device = "cpu" if compute.device == "auto" else compute.device
    return make_metrics(settings.metrics or default_metrics(), border, settings.y_channel, device)


def _described(settings: EvaluationSettings, computes: Sequence[ComputeSettings]) -> dict[str, str]:
    """표의 머리에 적을, 값을 정하는 설정."""
    return {
        "channel": "Y" if settings.y_channel else "RGB",
        "metrics": " ".join(settings.metrics or default_metrics()),
        "precision": " ".join(dict.fromkeys(compute.precision for compute in computes)),
        "backend": " ".join(dict.fromkeys(compute.backend for compute in computes)),
        **({"ensemble": "x8"} if any(compute.ensemble for compute in computes) else {}),
        **({"steps": " ".join(settings.steps)} if settings.steps else {}),
    }


@contextmanager
def _results_folder(output: str | os.PathLike[str] | None) -> Iterator[Path]:
    """결과 폴더. 주지 않았으면 끝난 뒤 사라지는 임시 폴더다."""
    if output is None:
        with tempfile.TemporaryDirectory(prefix="realesrgan-") as name:
            yield Path(name)
        return
    folder = Path(output)
    prepare_folder(folder)
    yield folder


def _load(model: Model | str | os.PathLike[str], compute: ComputeSettings, act_type: str | None) -> Model:
    if isinstance(model, Model):
        return model
    return load(model, act_type=act_type, default_strength=1, **asdict(compute))


def name_of(model: Model | str | os.PathLike[str]) -> str | None:
    """표에 적을 이름. 파일로 준 것은 싣기 전에는 모르므로 None이다."""
    if isinstance(model, Model):
        return model.name
    return os.fspath(model) if os.fspath(model) in MODELS else None


def make_candidates(models: Sequence[tuple[str | None, Model]], steps: Sequence[str] = ()) -> list[Candidate]:
    """모델마다의 대상. 그 배율마다의 바이큐빅을 앞에 둔다.

    Args:
        models: 이름과 모델들. 이름이 없으면 가중치 파일 이름의 몸통이다.
        steps: 네트워크 다음에 거칠 단계들.

    Raises:
        UsageError: 대상이 없거나 이름이 겹치거나 모르는 단계일 때.
    """
    if not models:
        raise UsageError("평가할 모델이 없습니다.\n  해결: -n에 모델 이름을, 또는 --model_path에 가중치를 주세요.")
    scales = list(dict.fromkeys(model.scale for _, model in models))
    every = [_bicubic(scale, len(scales) > 1) for scale in scales]
    parse_steps(steps)  # 잘못된 단계는 재기 전에 알린다.
    every += [_candidate(name or _stem(model), model, steps) for name, model in models]
    names = [candidate.name for candidate in every]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise UsageError(
            f"이름이 같은 대상이 둘입니다: {twice}\n  결과를 이름으로 가립니다.\n  해결: 가중치 파일의 이름을 바꾸세요."
        )
    return every


def _stem(model: Model) -> str:
    return model.files[0].stem if model.files else model.name


def _bicubic(scale: int, several: bool) -> Candidate:
    name = f"{BICUBIC}_x{scale}" if several else BICUBIC
    return Candidate(name, scale, None, name, partial(bicubic_8bit, scale=scale))


def _candidate(name: str, model: Model, steps: Sequence[str] = ()) -> Candidate:
    digest = hashlib.sha256()
    for key, value in model.weights.state.items():
        digest.update(key.encode())
        digest.update(value.contiguous().numpy().tobytes())
    stamp = " ".join([digest.hexdigest(), *map(str, asdict(model.compute).values()), *steps])
    file = model.files[0] if model.files else None
    # 쓸 수 없는 장치와 엔진은 첫 이미지를 읽기 전에 알린다.
    upscaler = model.upscaler

    def upscale(lq: Picture) -> Picture:
        output: Picture = model.upscale_array(lq, model.scale, steps=steps) if steps else upscaler.upscale(lq)
        return output

    return Candidate(name, model.scale, file, stamp, upscale)


def choose_border(candidates: Sequence[Candidate], crop_border: int | None) -> int:
    """재지 않을 가장자리(픽셀). 주지 않았으면 모델의 배율이다.

    Raises:
        UsageError: 배율이 다른 모델들인데 주지 않았을 때.
    """
    scales = {candidate.scale for candidate in candidates}
    if crop_border is None and len(scales) > 1:
        raise UsageError(
            "배율이 다른 모델을 함께 재려면 --crop_border를 주어야 합니다.\n"
            "  재는 곳이 모델마다 다르면 견줄 수 없습니다.\n"
            f"  해결: --crop_border {max(scales)}"
        )
    return max(scales) if crop_border is None else crop_border
