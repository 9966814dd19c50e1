"""모델을 휴대전화의 런타임(runtime)의 파일로 내보내고, 그 런타임으로 돌려 본래와 견주고, 크기와 빠르기를 잰다."""

from __future__ import annotations

import importlib
import shutil
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from realesrgan.errors import ExportError, InvalidValueError
from realesrgan.export.targets import TARGETS, MobilePlan, Shape
from realesrgan.export.verify import Difference, compare, picture_batches, random_image, require_close
from realesrgan.inference.model import Model
from realesrgan.util.files import os_reason, scratch_folder
from realesrgan.util.optional import import_optional

# 정밀도마다 허용하는 가장 큰 차이(값은 0..1)와, 실제 사진에서 지켜야 할 PSNR(dB).
LIMITS = {"fp32": 1e-3, "fp16": 5e-2, "int8": 0.5}
PSNR_FLOORS = {"fp32": 80.0, "fp16": 45.0, "int8": 30.0}
# 크기가 정해지지 않은 꼴을 견주는 크기들. 배수를 곱하고 타일의 한 변을 넘지 않게 한다.
DYNAMIC_SIZES = ((8, 20), (28, 12), (33, 47))


@dataclass(frozen=True)
class MobileResult:
    """내보낸 것 하나.

    Attributes:
        plan: 어떻게 만들었는지.
        file: 파일(Core ML은 폴더). ncnn은 `.bin`이 곁에 있다.
        size: 차지하는 바이트. ncnn은 두 파일의 합이다.
        differences: 본래와 견준 것들.
        milliseconds: 타일의 한 변마다, 한 장을 키우는 시간의 중앙값(ms). 재지 않았거나 잴 수 없으면 비어 있다.
    """

    plan: MobilePlan
    file: Path
    size: int
    differences: tuple[Difference, ...]
    milliseconds: dict[int, float] = field(default_factory=dict)

    @property
    def largest(self) -> float:
        """본래와의 가장 큰 차이, 0..1 눈금."""
        return max(difference.largest for difference in self.differences)

    @property
    def psnr(self) -> float | None:
        """실제 사진들에서 본래에 대한 PSNR 가운데 가장 낮은 것(dB). 사진이 없었으면 None."""
        found = [difference.psnr for difference in self.differences if difference.name != "random"]
        return min(found) if found else None


def make_plan(
    model: Model, target: str, precision: str = "fp32", tile: int = 256, shape: Shape | None = None
) -> MobilePlan:
    """파일 하나의 계획을 세운다.

    Args:
        model: 내보낼 모델.
        target: `TARGETS`의 이름.
        precision: `fp32`, `fp16`, `int8`. 런타임마다 뜻이 다르다(`MobileTarget.precisions`).
        tile: 입력의 한 변(픽셀). 모델의 배수로 올린다.
        shape: 크기의 꼴. 없으면 런타임의 기본이다.

    Raises:
        InvalidValueError: 런타임을 모르거나 그 런타임에 없는 정밀도나 꼴일 때. 까닭을 담는다.
    """
    row = TARGETS.get(target)
    if row is None:
        raise InvalidValueError(f"모르는 런타임입니다: {target}\n  해결: {', '.join(TARGETS)} 가운데 하나를 고르세요.")
    if precision not in row.precisions:
        why = row.missing.get(precision, "모르는 정밀도입니다.")
        raise InvalidValueError(
            f"{row.title}에 없는 정밀도입니다: {precision}\n  이유: {why}\n"
            f"  해결: 쓸 수 있는 정밀도는 {', '.join(row.precisions)}입니다."
        )
    shape = shape or row.shapes[0]
    if shape not in row.shapes:
        raise InvalidValueError(
            f"{row.title}에 없는 크기의 꼴입니다: {shape}\n  해결: --shape {row.shapes[0]}을 쓰거나 빼세요."
        )
    if tile < 8 * model.multiple:
        raise InvalidValueError(f"타일의 한 변은 {8 * model.multiple} 이상이어야 합니다: {tile}")
    return MobilePlan(row, precision, -(-tile // model.multiple) * model.multiple, shape, model.multiple)


def file_name(model: Model, plan: MobilePlan) -> str:
    """결과의 이름. 크기가 정해진 꼴이면 타일의 한 변도 적는다."""
    size = f"-{plan.tile}" if plan.shape == "fixed" else ""
    return f"{model.name}-{plan.precision}{size}{plan.target.extension}"


def sample_batches(plan: MobilePlan, pictures: Sequence[Path]) -> list[tuple[str, Tensor]]:
    """견줄 입력들: 무작위 입력과 실제 사진의 조각. 정해진 꼴이면 모두 타일의 크기다.

    Raises:
        ImageReadError, DatasetError: 사진을 읽을 수 없을 때.
    """
    if plan.shape == "fixed":
        sizes = [(plan.tile, plan.tile)]
        parts = picture_batches(pictures, plan.multiple, side=plan.tile, fill=True)
    else:
        most = plan.tile // plan.multiple
        sizes = [(min(h, most) * plan.multiple, min(w, most) * plan.multiple) for h, w in DYNAMIC_SIZES]
        parts = picture_batches(pictures, plan.multiple, side=min(64, plan.tile))
    return [("random", random_image(height, width)) for height, width in sizes] + parts


def _worker(plan: MobilePlan) -> Any:
    """그 런타임의 모듈. 필요한 패키지가 없으면 시작하기 전에 알린다."""
    for package in plan.target.packages:
        import_optional(package, f"{plan.target.title} 파일을 만들고 견주려면", plan.target.install)
    return importlib.import_module(plan.target.module)


def export_mobile(
    model: Model,
    folder: Path,
    plan: MobilePlan,
    *,
    pictures: Sequence[Path] = (),
    limit: float | None = None,
    psnr_floor: float | None = None,
) -> MobileResult:
    """모델을 런타임의 파일로 내보내고, 그 런타임으로 돌려 본래와 견준 뒤에야 파일을 놓는다.

    Core ML만은 애플의 런타임이 아니라 파일의 연산을 다시 계산해 견준다(`export/coreml.py`).

    Args:
        model: 내보낼 모델.
        folder: 결과를 놓을 폴더. 없으면 만든다.
        plan: 어떻게 만들지(`make_plan`).
        pictures: 견줄 실제 사진들.
        limit: 허용하는 가장 큰 차이. 없으면 정밀도마다의 기본값(`LIMITS`).
        psnr_floor: 사진에서 지켜야 할 PSNR(dB). 없으면 정밀도마다의 기본값(`PSNR_FLOORS`).

    Returns:
        내보낸 것.

    Raises:
        ExportError: 내보내지 못했거나, 한도보다 다르거나, 쓸 수 없을 때. 파일은 남지 않는다.
        MissingPackageError: 런타임의 패키지가 없을 때.
    """
    worker = _worker(plan)
    target = folder / file_name(model, plan)
    metadata = {**model.metadata(plan.precision), "tile": str(plan.tile), "shape": plan.shape}
    if plan.target.name == "litert":
        metadata |= {"input": "RGB, NHWC float32, 0..1", "output": "RGB, NHWC float32, clamp to 0..1"}
    if plan.target.name == "ncnn":
        del metadata["tile"]
    try:
        with scratch_folder(folder) as drafts:
            draft = drafts / f"model{plan.target.extension}"
            worker.build(model, draft, plan, metadata)
            runner = worker.open_runner(draft, plan)
            differences = compare(model.network, runner, sample_batches(plan, pictures))
            # 윈도에서는 열린 파일의 이름을 바꿀 수 없다.
            del runner
            require_close(differences, LIMITS[plan.precision] if limit is None else limit)
            _require_psnr(differences, PSNR_FLOORS[plan.precision] if psnr_floor is None else psnr_floor)
            size = 0
            # `.param`이 있으면 `.bin`도 온전하도록 `.param`을 마지막에 놓는다.
            for made in sorted(drafts.iterdir()):
                size += sum(one.stat().st_size for one in (made, *made.rglob("*")) if one.is_file())
                _place(made, target.with_suffix(made.suffix), drafts)
    except OSError as error:
        why, remedy = os_reason(error)
        raise ExportError(f"내보낸 모델을 쓸 수 없습니다: {target}\n  이유: {why}\n  해결: {remedy}") from error
    return MobileResult(plan, target, size, tuple(differences))


def _require_psnr(differences: Sequence[Difference], floor: float) -> None:
    for difference in differences:
        if difference.name != "random" and not difference.psnr >= floor:
            raise ExportError(
                f"내보낸 모델이 본래와 다릅니다: PSNR {difference.psnr:.1f}dB (한도 {floor:g}dB, {difference.name})\n"
                "  이유: 이 정밀도로는 이 네트워크의 값을 지키지 못합니다. 파일을 남기지 않았습니다.\n"
                "  해결: 더 높은 정밀도로 내보내거나, 이만큼 달라도 되면 --psnr를 낮추세요."
            )


def _place(made: Path, target: Path, drafts: Path) -> None:
    """만든 것을 제자리에 놓는다. 폴더는 이름을 바꾸어 덮을 수 없으므로 있던 것을 먼저 옮긴다."""
    if made.is_file():
        made.replace(target)
        return
    if target.exists():
        old = drafts / "old"
        target.rename(old)
    made.rename(target)
    if target.exists() and (drafts / "old").exists():
        shutil.rmtree(drafts / "old")


def measure(
    results: Sequence[MobileResult], model: Model, tiles: Sequence[int], rounds: int = 5
) -> tuple[list[MobileResult], dict[int, float]]:
    """한 장을 키우는 시간을 번갈아 잰다. 한 번 데우고 `rounds`번의 중앙값을 낸다.

    정해진 꼴은 제 타일에서만, 아닌 것은 `tiles` 모두에서 잰다. Core ML은 이 기계에서 돌지 않으므로 재지 않는다.

    Returns:
        시간을 적은 결과들과, PyTorch(fp32)의 시간(ms).
    """
    times: dict[tuple[int, int], list[float]] = {}
    for tile in tiles:
        batch = random_image(tile, tile)
        runs: dict[int, Callable[[Tensor], Tensor]] = {-1: model.network}
        for index, result in enumerate(results):
            fits = result.plan.tile == tile if result.plan.shape == "fixed" else tile <= result.plan.tile
            if fits and result.plan.target.name != "coreml":
                runs[index] = _worker(result.plan).open_runner(result.file, result.plan)
        for turn in range(rounds + 1):
            for index, run in runs.items():
                with torch.inference_mode():
                    started = time.perf_counter()
                    run(batch)
                    spent = time.perf_counter() - started
                if turn:
                    times.setdefault((index, tile), []).append(spent * 1000)
    medians = {key: statistics.median(values) for key, values in times.items()}
    measured = [
        MobileResult(
            one.plan,
            one.file,
            one.size,
            one.differences,
            {tile: value for (index, tile), value in medians.items() if index == number},
        )
        for number, one in enumerate(results)
    ]
    return measured, {tile: value for (index, tile), value in medians.items() if index == -1}


def result_table(
    results: Sequence[MobileResult], tiles: Sequence[int], torch_times: dict[int, float] | None = None
) -> str:
    """결과들의 마크다운 표. 재지 않은 칸은 `-`다."""
    heads = ["런타임", "정밀도", "크기", *(f"{tile}x{tile}" for tile in tiles), "PSNR", "가장 큰 차이"]
    lines = [f"| {' | '.join(heads)} |", "|" + "---|" * len(heads)]
    if torch_times:
        cells = ["PyTorch", "fp32", "-", *(_time(torch_times.get(tile)) for tile in tiles), "-", "-"]
        lines.append(f"| {' | '.join(cells)} |")
    rows: dict[tuple[str, str], list[MobileResult]] = {}
    for one in results:
        rows.setdefault((one.plan.target.title, one.plan.precision), []).append(one)
    for (title, precision), group in rows.items():
        times = {tile: value for one in group for tile, value in one.milliseconds.items()}
        psnr = [one.psnr for one in group if one.psnr is not None]
        cells = [title, precision, f"{max(one.size for one in group) / 1e6:.2f}MB"]
        cells += [_time(times.get(tile)) for tile in tiles]
        cells += [f"{min(psnr):.1f}dB" if psnr else "-", f"{max(one.largest for one in group):.2g}"]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def _time(value: float | None) -> str:
    return "-" if value is None else f"{value:.0f}ms" if value >= 10 else f"{value:.1f}ms"
