"""대상마다 이미지마다 키우고 재며, 잰 값을 기록하고, 결과와 비교표를 모은다."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from realesrgan.dataset_tools.outcome import Outcome
from realesrgan.dataset_tools.pictures import encode_png, write_bytes
from realesrgan.dataset_tools.sheets import Cell, Region, busiest_region, draw_sheet, overview
from realesrgan.errors import EvaluationError, RealESRGANError
from realesrgan.evaluation.metrics import Metric, Picture, SetMetric
from realesrgan.evaluation.results import ModelResult, Values, number_text
from realesrgan.evaluation.samples import Degrade, Sample, load_sample
from realesrgan.util.files import os_reason

GT_FOLDER = "GT"
SHEET_SIDE = 240
LOG_NAME = ".realesrgan-evaluation.jsonl"
_LEVEL = 3

# `(마친 수, 전체 수)`를 받는 함수. 하나는 (모델, 이미지) 한 쌍이다.
Progress = Callable[[int, int], object]


@dataclass(frozen=True)
class Candidate:
    """견줄 대상 하나.

    Attributes:
        name: 표에 적을 이름.
        scale: 배율.
        weights: 가중치 파일. 바이큐빅이거나 파일에서 싣지 않았으면 None.
        stamp: 결과를 정하는 것(가중치의 해시, 계산 설정). 다르면 적어 둔 값을 쓰지 않는다.
        upscale: LQ `(h, w, 3)` BGR uint8을 `(h * scale, w * scale, 3)`로 키우는 함수.
    """

    name: str
    scale: int
    weights: Path | None
    stamp: str
    upscale: Callable[[Picture], Picture]


@dataclass(frozen=True)
class Plan:
    """무엇을 어떻게 잴지를 모두 정한 것.

    Attributes:
        samples: 이미지들.
        metrics: 이미지마다의 지표.
        set_metrics: 집합의 지표. 있으면 이미지를 반드시 남긴다.
        degrade: LQ 파일이 없는 이미지의 LQ를 만드는 함수.
        output: 결과 폴더.
        save_images: 키운 이미지를 남길지.
        sheet_pictures: 비교표에 넣을 이미지 수.
        sheet_region: 비교표에서 들여다볼 부분의 한 변(GT 픽셀).
    """

    samples: Sequence[Sample]
    metrics: Sequence[Metric]
    set_metrics: Sequence[SetMetric]
    degrade: Degrade
    output: Path
    save_images: bool = False
    sheet_pictures: int = 6
    sheet_region: int = 120

    @property
    def keeps_images(self) -> bool:
        """키운 이미지를 남기는지."""
        return self.save_images or bool(self.set_metrics)


class EvaluationLog:
    """(모델, 이미지)마다 잰 값을 적어 두는 기록(log). 하다 만 평가를 이어 간다.

    Args:
        path: 파일. 폴더는 있어야 한다.
        settings: 값을 정하는 설정. 다르면 있던 것을 버린다.

    Raises:
        EvaluationError: 쓸 수 없을 때.
    """

    def __init__(self, path: Path, settings: Mapping[str, Any]) -> None:
        self._path = path
        header = json.dumps(dict(settings), sort_keys=True)
        self._found = self._read(header)
        if not self._found:
            self._write("w", header)

    def _read(self, header: str) -> dict[tuple[str, str, str], dict[str, float | None]]:
        if not self._path.is_file():
            return {}
        lines = self._path.read_text(encoding="utf-8", errors="replace").splitlines()
        if not lines or lines[0] != header:
            return {}
        found = {}
        for line in lines[1:]:
            try:
                model, picture, stamp, values = json.loads(line)
            except ValueError:
                # 적다가 끊긴 마지막 줄이다. 그 이미지는 다시 잰다.
                continue
            found[model, picture, stamp] = values
        return found

    def _write(self, mode: str, line: str) -> None:
        try:
            with self._path.open(mode, encoding="utf-8") as file:
                file.write(line + "\n")
        except OSError as error:
            why, remedy = os_reason(error)
            raise EvaluationError(f"평가의 기록을 쓸 수 없습니다: {self._path}\n  {why}\n  해결: {remedy}") from error

    def get(self, model: str, picture: str, stamp: str) -> Values | None:
        """적어 둔 값. `stamp`가 다르면 없는 것으로 본다."""
        return self._found.get((model, picture, stamp))

    def add(self, model: str, picture: str, stamp: str, values: Values) -> None:
        """값을 적는다.

        Raises:
            EvaluationError: 쓸 수 없을 때.
        """
        self._write("a", json.dumps([model, picture, stamp, dict(values)]))

    def remove(self) -> None:
        """다 되었으니 지운다."""
        self._path.unlink(missing_ok=True)


@dataclass
class Measured:
    """쌓여 가는 결과.

    Attributes:
        values: 모델 이름마다, 이미지 이름마다의 지표 값.
        outcomes: (모델, 이미지)마다의 성공과 실패.
        cells: 이미지 이름마다, 대상 이름마다의 비교표 칸.
        regions: 이미지 이름마다의 들여다볼 자리.
    """

    values: dict[str, dict[str, Values]] = field(default_factory=dict)
    outcomes: list[Outcome] = field(default_factory=list)
    cells: dict[str, dict[str, Cell]] = field(default_factory=dict)
    regions: dict[str, Region] = field(default_factory=dict)


def measure_all(
    candidates: Sequence[Candidate], plan: Plan, log: EvaluationLog, progress: Progress | None = None
) -> Measured:
    """모두 잰다. 이미지 하나의 실패는 적어 두고 나머지를 계속한다."""
    found = Measured()
    total = len(candidates) * len(plan.samples)
    for candidate in candidates:
        found.values[candidate.name] = {}
        for sample in plan.samples:
            label = f"{candidate.name}: {sample.gt}"
            try:
                values = _measure_one(candidate, sample, plan, log, found)
            except (RealESRGANError, OSError) as error:
                found.outcomes.append(Outcome(label, "failed", str(error)))
            else:
                found.values[candidate.name][sample.name] = values
                found.outcomes.append(Outcome(label, "done"))
            if progress is not None:
                progress(len(found.outcomes), total)
    return found


def _measure_one(candidate: Candidate, sample: Sample, plan: Plan, log: EvaluationLog, found: Measured) -> Values:
    stamp = _stamp(candidate, sample)
    shown = sample.index < plan.sheet_pictures
    known = log.get(candidate.name, sample.name, stamp)
    target = plan.output / "images" / candidate.name / f"{sample.name}.png"
    if known is not None and not shown and (target.is_file() or not plan.keeps_images):
        return known
    gt, lq = load_sample(sample, candidate.scale, plan.degrade)
    result = candidate.upscale(lq)
    values = known if known is not None else measure(result, gt, plan.metrics)
    if plan.keeps_images:
        write_bytes(target, encode_png(result, _LEVEL))
        write_bytes(plan.output / "images" / GT_FOLDER / f"{sample.name}.png", encode_png(gt, _LEVEL))
    if shown:
        _remember(found, sample, candidate.name, (gt, lq, result), values, plan.sheet_region)
    if known is None:
        log.add(candidate.name, sample.name, stamp, values)
    return values


def _stamp(candidate: Candidate, sample: Sample) -> str:
    """값을 정하는 것들: 가중치와 설정, 이미지 파일의 크기와 시각. 바뀌면 다시 잰다."""
    files = [path.stat() for path in (sample.gt, sample.lq) if path is not None]
    return " ".join([candidate.stamp, *(f"{file.st_size}:{file.st_mtime_ns}" for file in files)])


def measure(result: Picture, gt: Picture, metrics: Sequence[Metric]) -> Values:
    """지표마다의 값. 이미지가 너무 작아 잴 수 없는 지표는 None이다.

    Raises:
        EvaluationError: 하나도 재지 못했을 때.
    """
    values: dict[str, float | None] = {}
    reasons = []
    for metric in metrics:
        try:
            values[metric.name] = metric.measure(result, gt)
        except EvaluationError as error:
            values[metric.name] = None
            reasons.append(error)
    if reasons and len(reasons) == len(metrics):
        raise reasons[0]
    return values


def _remember(
    found: Measured, sample: Sample, name: str, pictures: tuple[Picture, Picture, Picture], values: Values, size: int
) -> None:
    """비교표의 칸을 남긴다. 자리는 모든 대상이 같아야 하므로 이미지마다 한 번만 고른다."""
    gt, lq, result = pictures
    height = gt.shape[0]
    if sample.name not in found.cells:
        region = busiest_region(gt, size)
        found.regions[sample.name] = region
        lines = (sample.name, f"{gt.shape[1]}x{gt.shape[0]}")
        found.cells[sample.name] = {
            "": Cell(overview(gt, region), lines),
            "LQ": Cell(region.cut(lq, height), ("LQ", f"{lq.shape[1]}x{lq.shape[0]}")),
        }
    region = found.regions[sample.name]
    text = " ".join(f"{key} {number_text(value, key)}" for key, value in list(values.items())[:2])
    found.cells[sample.name][name] = Cell(region.cut(result, height).copy(), (name, text))
    found.cells[sample.name][GT_FOLDER] = Cell(region.cut(gt, height).copy(), (GT_FOLDER,))


def comparison_sheet(found: Measured, candidates: Sequence[Candidate]) -> Picture | None:
    """이미지마다 한 줄, 대상마다 한 칸인 비교표. 넣을 이미지가 없으면 None."""
    order = ["", "LQ", *(candidate.name for candidate in candidates), GT_FOLDER]
    rows = [[cells[name] for name in order if name in cells] for cells in found.cells.values()]
    return draw_sheet(rows, SHEET_SIDE) if rows else None


def summarise(found: Measured, candidates: Sequence[Candidate], plan: Plan) -> list[ModelResult]:
    """모델마다의 결과를 모은다. 집합의 지표는 남긴 이미지들의 폴더에서 한 번만 잰다."""
    results = []
    for candidate in candidates:
        pictures = found.values[candidate.name]
        whole = _measure_sets(candidate.name, pictures, plan)
        weights = None if candidate.weights is None else str(candidate.weights)
        results.append(ModelResult(candidate.name, candidate.scale, weights, pictures, whole))
    return results


def _measure_sets(name: str, pictures: Mapping[str, Values], plan: Plan) -> Values:
    images = plan.output / "images"
    return {
        metric.name: metric.measure(images / name, images / GT_FOLDER) if pictures else None
        for metric in plan.set_metrics
    }
