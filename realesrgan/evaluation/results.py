"""평가의 결과와 그것을 적은 표(Markdown, CSV, JSON)."""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from realesrgan.evaluation.measures import mean

Values = Mapping[str, float | None]


@dataclass(frozen=True)
class ModelResult:
    """모델 하나의 결과.

    Attributes:
        name: 이름.
        scale: 배율.
        weights: 가중치 파일. 바이큐빅이면 None.
        pictures: 그림 이름마다의 지표 값. 재지 못한 값은 None이다.
        whole: 집합의 지표 값(FID 등).
    """

    name: str
    scale: int
    weights: str | None
    pictures: Mapping[str, Values]
    whole: Values = field(default_factory=dict)

    def means(self, metrics: Sequence[str]) -> dict[str, float | None]:
        """지표마다의 평균. 집합의 지표는 그 값 그대로다."""
        averaged = {name: mean([values.get(name) for values in self.pictures.values()]) for name in metrics}
        return {**averaged, **self.whole}


def number_text(value: float | None, name: str) -> str:
    """값을 표에 적는 글."""
    if value is None:
        return "-"
    return f"{value:.2f}" if name in ("psnr", "fid") else f"{value:.4f}"


def _markdown_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    lines = [header, ["---"] * len(header), *rows]
    return ["| " + " | ".join(line) + " |" for line in lines]


def to_markdown(results: Sequence[ModelResult], metrics: Sequence[str], settings: Mapping[str, Any]) -> str:
    """평균의 표와 그림마다의 표."""
    columns = [*metrics, *(results[0].whole if results else ())]
    lines = ["# 평가 결과 (Evaluation)", ""]
    lines += [f"- {key}: `{value}`" for key, value in settings.items()]
    lines += ["", "## 평균", ""]
    rows = [
        [r.name, str(r.scale), str(len(r.pictures)), *(number_text(r.means(metrics).get(c), c) for c in columns)]
        for r in results
    ]
    lines += _markdown_table(["모델", "배율", "장", *columns], rows)
    for metric in metrics:
        names = list(dict.fromkeys(name for result in results for name in result.pictures))
        rows = [[n, *(number_text(r.pictures.get(n, {}).get(metric), metric) for r in results)] for n in names]
        lines += ["", f"## {metric}", "", *_markdown_table(["그림", *(r.name for r in results)], rows)]
    return "\n".join(lines) + "\n"


def to_csv(results: Sequence[ModelResult], metrics: Sequence[str]) -> str:
    """한 줄이 (모델, 그림)인 CSV. 평균은 그림의 이름이 `(mean)`인 줄이다."""
    columns = [*metrics, *(results[0].whole if results else ())]
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(["model", "scale", "picture", *columns])
    for result in results:
        for name, values in [*result.pictures.items(), ("(mean)", result.means(metrics))]:
            cells = ["" if values.get(c) is None else repr(values[c]) for c in columns]
            writer.writerow([result.name, result.scale, name, *cells])
    return buffer.getvalue()


def to_json(
    results: Sequence[ModelResult],
    metrics: Sequence[str],
    settings: Mapping[str, Any],
    failures: Sequence[tuple[str, str]],
) -> str:
    """설정, 모델마다의 평균과 그림마다의 값, 실패를 담은 JSON. 무한대는 글자 `inf`로 적는다."""
    content = {
        "settings": dict(settings),
        "models": [
            {
                "name": result.name,
                "scale": result.scale,
                "weights": result.weights,
                "mean": _finite(result.means(metrics)),
                "pictures": {name: _finite(values) for name, values in result.pictures.items()},
            }
            for result in results
        ],
        "failures": [{"name": name, "reason": reason} for name, reason in failures],
    }
    return json.dumps(content, ensure_ascii=False, indent=2, allow_nan=False) + "\n"


def _finite(values: Values) -> dict[str, Any]:
    def plain(value: float | None) -> Any:
        if value is None or math.isnan(value):
            return None
        return value if math.isfinite(value) else "inf"

    return {name: plain(value) for name, value in values.items()}
