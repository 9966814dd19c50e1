"""모델마다 그림마다 키우고 재고, 결과와 견줌표를 모은다."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from realesrgan.dataset_tools.outcome import Outcome
from realesrgan.dataset_tools.pictures import encode_png, write_bytes
from realesrgan.errors import EvaluationError, RealESRGANError
from realesrgan.evaluation.candidates import Candidate
from realesrgan.evaluation.journal import Journal
from realesrgan.evaluation.measures import Metric, SetMetric
from realesrgan.evaluation.metrics import Picture
from realesrgan.evaluation.results import ModelResult, Values, number_text
from realesrgan.evaluation.samples import Degrade, Sample, load_sample
from realesrgan.media.sheets import Cell, Region, busiest_region, draw_sheet, overview

GT_FOLDER = "GT"
SHEET_SIDE = 240
_LEVEL = 3


@dataclass(frozen=True)
class Plan:
    """무엇을 어떻게 잴지.

    Attributes:
        samples: 그림들.
        metrics: 그림마다의 지표.
        set_metrics: 집합의 지표. 있으면 그림을 반드시 남긴다.
        degrade: LQ 파일이 없는 그림의 LQ를 만드는 함수.
        output: 결과 폴더.
        save_images: 키운 그림을 남길지.
        sheet_pictures: 견줌표에 넣을 그림 수. 앞에서부터 고른다.
        sheet_region: 견줌표에서 들여다볼 부분의 한 변(GT 픽셀).
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
        """키운 그림을 남기는지."""
        return self.save_images or bool(self.set_metrics)


@dataclass
class Evaluation:
    """쌓여 가는 결과.

    Attributes:
        values: 모델 이름마다, 그림 이름마다의 지표 값.
        outcomes: (모델, 그림)마다의 성공과 실패.
        cells: 그림 이름마다, 대상 이름마다의 견줌표 칸.
        regions: 그림 이름마다의 들여다볼 자리.
    """

    values: dict[str, dict[str, Values]] = field(default_factory=dict)
    outcomes: list[Outcome] = field(default_factory=list)
    cells: dict[str, dict[str, Cell]] = field(default_factory=dict)
    regions: dict[str, Region] = field(default_factory=dict)


def evaluate(
    candidates: Sequence[Candidate], plan: Plan, journal: Journal, progress: Callable[[], object]
) -> Evaluation:
    """모두 잰다. 그림 하나의 실패는 적어 두고 나머지를 계속한다.

    Args:
        candidates: 견줄 대상들.
        plan: 무엇을 어떻게 잴지.
        journal: 이미 잰 것을 적어 둔 일지.
        progress: 그림 한 장을 마칠 때마다 불리는 함수.
    """
    found = Evaluation()
    for candidate in candidates:
        found.values[candidate.name] = {}
        for sample in plan.samples:
            label = f"{candidate.name}: {sample.gt}"
            try:
                values = _evaluate_one(candidate, sample, plan, journal, found)
            except (RealESRGANError, OSError) as error:
                found.outcomes.append(Outcome(label, "failed", str(error)))
            else:
                found.values[candidate.name][sample.name] = values
                found.outcomes.append(Outcome(label, "done"))
            progress()
    return found


def _evaluate_one(candidate: Candidate, sample: Sample, plan: Plan, journal: Journal, found: Evaluation) -> Values:
    stamp = _stamp(candidate, sample)
    shown = sample.index < plan.sheet_pictures
    known = journal.get(candidate.name, sample.name, stamp)
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
        journal.add(candidate.name, sample.name, stamp, values)
    return values


def _stamp(candidate: Candidate, sample: Sample) -> str:
    """값을 정하는 파일들의 크기와 시각. 바뀌면 다시 잰다."""
    files = [path for path in (sample.gt, sample.lq, candidate.weights) if path is not None]
    return " ".join(f"{path.stat().st_size}:{path.stat().st_mtime_ns}" for path in files)


def measure(result: Picture, gt: Picture, metrics: Sequence[Metric]) -> Values:
    """지표마다의 값. 그림이 너무 작아 잴 수 없는 지표는 None이다.

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
    found: Evaluation, sample: Sample, name: str, pictures: tuple[Picture, Picture, Picture], values: Values, size: int
) -> None:
    """견줌표의 칸을 남긴다. 자리는 모든 대상이 같아야 하므로 그림마다 한 번만 고른다."""
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


def comparison_sheet(found: Evaluation, candidates: Sequence[Candidate]) -> Picture | None:
    """그림마다 한 줄, 대상마다 한 칸인 견줌표. 넣을 그림이 없으면 None."""
    order = ["", "LQ", *(candidate.name for candidate in candidates), GT_FOLDER]
    rows = [[cells[name] for name in order if name in cells] for cells in found.cells.values()]
    return draw_sheet(rows, SHEET_SIDE) if rows else None


def summarise(found: Evaluation, candidates: Sequence[Candidate], plan: Plan) -> list[ModelResult]:
    """모델마다의 결과를 모은다. 집합의 지표는 남긴 그림들의 폴더에서 한 번만 잰다."""
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
