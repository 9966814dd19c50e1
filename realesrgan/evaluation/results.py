"""평가의 결과와 그것을 적은 표(Markdown, CSV, JSON)."""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from realesrgan.dataset_tools.outcome import Outcome
from realesrgan.dataset_tools.pictures import encode_png, write_bytes
from realesrgan.evaluation.metrics import Picture, mean

Values = Mapping[str, float | None]
_SHEET_LEVEL = 6


@dataclass(frozen=True)
class ModelResult:
    """모델 하나의 결과.

    Attributes:
        name: 이름.
        scale: 배율.
        weights: 가중치 파일. 바이큐빅이거나 파일에서 싣지 않았으면 None.
        pictures: 이미지 이름마다의 지표 값. 재지 못한 값은 None이다.
        whole: 집합의 지표 값(FID 등).
    """

    name: str
    scale: int
    weights: str | None
    pictures: Mapping[str, Values]
    whole: Values = field(default_factory=dict)

    @property
    def means(self) -> dict[str, float | None]:
        """지표마다의 평균. 집합의 지표는 그 값 그대로다."""
        names = dict.fromkeys(name for values in self.pictures.values() for name in values)
        averaged = {name: mean([values.get(name) for values in self.pictures.values()]) for name in names}
        return {**averaged, **self.whole}


@dataclass(frozen=True)
class EvaluationResult:
    """평가 하나의 결과.

    Attributes:
        models: 모델마다의 결과. 바이큐빅이 앞에 있다.
        metrics: 이미지마다의 지표 이름들.
        settings: 값을 정하는 설정. 표의 머리에 적힌다.
        outcomes: (모델, 이미지)마다의 성공과 실패.
        output: 표를 쓴 폴더. 쓰지 않았으면 None.
    """

    models: tuple[ModelResult, ...]
    metrics: tuple[str, ...]
    settings: Mapping[str, Any] = field(default_factory=dict)
    outcomes: tuple[Outcome, ...] = ()
    output: Path | None = None

    @property
    def columns(self) -> tuple[str, ...]:
        """평균의 표의 열: 이미지마다의 지표와 집합의 지표."""
        whole = dict.fromkeys(name for model in self.models for name in model.whole)
        return (*self.metrics, *whole)

    @property
    def failures(self) -> tuple[Outcome, ...]:
        """재지 못한 것들과 그 이유."""
        return tuple(outcome for outcome in self.outcomes if outcome.status == "failed")

    def __getitem__(self, name: str) -> ModelResult:
        for model in self.models:
            if model.name == name:
                return model
        raise KeyError(f"그런 이름의 결과가 없습니다: {name}. 있는 이름: {', '.join(m.name for m in self.models)}")


def number_text(value: float | None, name: str) -> str:
    """값을 표에 적는 글."""
    if value is None:
        return "-"
    return f"{value:.2f}" if name in ("psnr", "fid") else f"{value:.4f}"


def _table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    lines = [header, ["---"] * len(header), *rows]
    return ["| " + " | ".join(line) + " |" for line in lines]


def means_table(result: EvaluationResult) -> str:
    """모델마다의 평균을 적은 Markdown 표. 재지 못한 이미지가 있으면 까닭을 덧붙인다."""
    rows = [
        [m.name, str(m.scale), str(len(m.pictures)), *(number_text(m.means.get(c), c) for c in result.columns)]
        for m in result.models
    ]
    lines = _table(["모델", "배율", "장", *result.columns], rows)
    for metric in result.metrics:
        small = {name for m in result.models for name, values in m.pictures.items() if values.get(metric) is None}
        if small:
            lines += ["", f"`-`: 너무 작아 {metric} 값이 없는 이미지 {len(small)}장은 평균에 들지 않습니다."]
    return "\n".join(lines)


def to_markdown(result: EvaluationResult) -> str:
    """평균의 표와 이미지마다의 표."""
    lines = ["# 평가 결과 (Evaluation)", ""]
    lines += [f"- {key}: `{value}`" for key, value in result.settings.items()]
    lines += ["", "## 평균", "", means_table(result)]
    names = list(dict.fromkeys(name for model in result.models for name in model.pictures))
    for metric in result.metrics:
        rows = [[n, *(number_text(m.pictures.get(n, {}).get(metric), metric) for m in result.models)] for n in names]
        lines += ["", f"## {metric}", "", *_table(["이미지", *(model.name for model in result.models)], rows)]
    return "\n".join(lines) + "\n"


def to_csv(result: EvaluationResult) -> str:
    """한 줄이 (모델, 이미지)인 CSV. 평균은 이미지의 이름이 `(mean)`인 줄이다."""
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(["model", "scale", "picture", *result.columns])
    for model in result.models:
        for name, values in [*model.pictures.items(), ("(mean)", model.means)]:
            cells = ["" if values.get(c) is None else repr(values[c]) for c in result.columns]
            writer.writerow([model.name, model.scale, name, *cells])
    return buffer.getvalue()


def to_json(result: EvaluationResult) -> str:
    """설정, 모델마다의 평균과 이미지마다의 값, 실패를 담은 JSON. 무한대는 글자 `inf`로 적는다."""
    models = [
        {
            "name": model.name,
            "scale": model.scale,
            "weights": model.weights,
            "mean": _legal({name: model.means.get(name) for name in result.columns}),
            "pictures": {name: _legal(values) for name, values in model.pictures.items()},
        }
        for model in result.models
    ]
    failures = [{"name": outcome.name, "reason": outcome.detail} for outcome in result.failures]
    content = {"settings": dict(result.settings), "models": models, "failures": failures}
    return json.dumps(content, ensure_ascii=False, indent=2, allow_nan=False) + "\n"


def _legal(values: Values) -> dict[str, Any]:
    def plain(value: float | None) -> Any:
        if value is None or math.isnan(value):
            return None
        return value if math.isfinite(value) else "inf"

    return {name: plain(value) for name, value in values.items()}


def write_results(result: EvaluationResult, folder: Path, sheet: Picture | None) -> None:
    """표(`results.md`, `results.csv`, `results.json`)와 비교표(`sheet.png`)를 쓴다.

    Raises:
        ImageWriteError: 쓸 수 없을 때.
    """
    write_bytes(folder / "results.md", to_markdown(result).encode())
    # 표 계산 프로그램이 한글을 알아보도록 앞에 BOM을 둔다.
    write_bytes(folder / "results.csv", to_csv(result).encode("utf-8-sig"))
    write_bytes(folder / "results.json", to_json(result).encode())
    if sheet is not None:
        write_bytes(folder / "sheet.png", encode_png(sheet, _SHEET_LEVEL))
