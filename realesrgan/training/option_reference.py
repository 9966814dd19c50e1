"""선언(`option_types`)에서 편집기의 스키마와 문서의 표를 만든다."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgspec

from realesrgan.training import option_types as T
from realesrgan.training.option_reading import describe, meaning, strip
from realesrgan.util.files import write_atomically

SCHEMA_FILE = "options.schema.json"
DOCUMENT = "options_context.md"
BEGIN, END = "<!-- 표: 시작 -->", "<!-- 표: 끝 -->"
# 표의 차례: 옵션 파일에서의 자리와 선언.
TABLES: tuple[tuple[str, type[msgspec.Struct]], ...] = (
    ("맨 위", T.TrainingOptions),
    ("datasets: RealESRGANDataset", T.RealESRGANDatasetOptions),
    ("datasets: RealESRGANPairedDataset", T.RealESRGANPairedDatasetOptions),
    ("datasets: RealESRGANVideoDataset", T.RealESRGANVideoDatasetOptions),
    ("datasets: RealESRGANMixedDataset", T.RealESRGANMixedDatasetOptions),
    ("datasets: RealESRGANDegradedDataset", T.DegradedDatasetOptions),
    ("datasets: PairedImageDataset", T.PairedImageDatasetOptions),
    ("datasets: SingleImageDataset", T.SingleImageDatasetOptions),
    ("path", T.PathOptions),
    ("train", T.TrainOptions),
    ("train: optim_*", T.OptimizerOptions),
    ("train: scheduler", T.SchedulerOptions),
    ("train: *_opt", T.LossOptions),
    ("train: losses", T.LossEntryOptions),
    ("val", T.ValOptions),
    ("logger", T.LoggerOptions),
    ("logger: wandb", T.WandbOptions),
    ("dist_params", T.DistOptions),
)


def schema() -> dict[str, Any]:
    """옵션 파일의 JSON Schema. 클래스를 만드는 블록에는 적지 않은 인자도 올 수 있다."""
    found = msgspec.json.schema(T.TrainingOptions)
    parts, components = msgspec.json.schema_components(T.DATASETS.values(), ref_template="#/$defs/{name}")
    found["$defs"] |= components
    found = {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": "Real-ESRGAN 훈련 옵션"} | found
    blocks = found["$defs"]["TrainingOptions"]["properties"]
    names = list(T.DATASETS)
    blocks["datasets"]["additionalProperties"] = {
        "type": "object",
        "allOf": [
            {"if": {"properties": {"type": {"const": name}}, "required": ["type"]}, "then": part}
            for name, part in zip(names, parts, strict=True)
        ],
    }
    for name, definition in found["$defs"].items():
        own = {"TrainingOptions", "TrainOptions", "PathOptions", "ValOptions", "LoggerOptions", "WandbOptions"}
        if name in own:
            definition["additionalProperties"] = False
        for property_name, one in definition["properties"].items():
            definition["properties"][property_name] = _nullable(one, property_name in definition.get("required", ()))
    for place, definition in (("맨 위", "TrainingOptions"), ("path", "PathOptions"), ("val", "ValOptions")):
        found["$defs"][definition]["properties"] |= {key: {} for key in T.HARMLESS[place]}
    return found


def _nullable(one: dict[str, Any], required: bool) -> dict[str, Any]:
    """값을 비워 둔 키(`~`)는 적지 않은 것으로 본다."""
    if required or one == {} or {"type": "null"} in one.get("anyOf", ()):
        return one
    kept = {name: one.pop(name) for name in ("description", "default") if name in one}
    return {"anyOf": [one, {"type": "null"}]} | kept


def tables() -> str:
    """블록마다의 표(Markdown)."""
    parts = []
    for place, kind in TABLES:
        rows = [f"#### `{place}`", "", "| 키 | 올 수 있는 값 | 기본 | 뜻 |", "|---|---|---|---|"]
        for field in msgspec.structs.fields(kind):
            rows.append(f"| `{field.name}` | {_value(field.type)} | {_default(field)} | {meaning(field.type)} |")
        parts.append("\n".join(rows))
    return "\n\n".join(parts)


def _value(annotation: Any) -> str:
    bare, _ = strip(annotation)
    return "블록" if isinstance(bare, type) and issubclass(bare, msgspec.Struct) else describe(annotation)


def _default(field: Any) -> str:
    if field.required:
        return "**필수**"
    if field.default is None:
        return "없음"
    return f"{field.default:g}" if isinstance(field.default, float) else str(field.default).lower()


def render(folder: Path) -> dict[Path, str]:
    """만든 것으로 바꾼 두 파일의 내용.

    Args:
        folder: `options/` 폴더. 문서에는 두 표지가 있어야 한다.
    """
    document = folder / DOCUMENT
    text = document.read_text(encoding="utf-8")
    head, tail = text.index(BEGIN) + len(BEGIN), text.index(END)
    return {
        folder / SCHEMA_FILE: json.dumps(schema(), ensure_ascii=False, indent=1) + "\n",
        document: f"{text[:head]}\n\n{tables()}\n\n{text[tail:]}",
    }


def write_reference(folder: Path) -> list[Path]:
    """두 파일을 새로 쓴다. 바뀐 파일을 돌려준다."""
    changed = []
    for path, content in render(folder).items():
        if not path.is_file() or path.read_text(encoding="utf-8") != content:
            write_atomically(path, content.encode())
            changed.append(path)
    return changed
