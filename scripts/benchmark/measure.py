"""모델과 크기마다, 엔진과 정밀도를 번갈아 재고 견준다."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmark.flops import network_flops
from benchmark.session import Session
from realesrgan.errors import UsageError
from realesrgan.evaluation.metrics import psnr
from realesrgan.inference.engines.base import ENGINES
from realesrgan.inference.model import Model
from realesrgan.zoo.convert import save_weights

# 엔진의 표가 정밀도를 말하지 않으면 장치의 것이다. CPU의 torch에서 fp16은 fp32로 계산되므로 따로 재지 않는다.
DEVICE_PRECISIONS = ("fp32", "fp16", "bf16")
CPU_PRECISIONS = ("fp32", "bf16")
REFERENCE = "torch fp32"
PEER = "견준 realesrgan"


@dataclass(frozen=True)
class Settings:
    """어떻게 잴지.

    Attributes:
        engines, precisions: 잴 엔진과 정밀도. 엔진이 하지 못하는 정밀도는 건너뛴다.
        runs: 데우기를 뺀 횟수.
        threads: 스레드 수. 없으면 저마다 정한다.
        device: torch의 장치.
        peer: 견줄 인터프리터. 없으면 견주지 않는다.
    """

    engines: Sequence[str]
    precisions: Sequence[str]
    runs: int = 5
    threads: int | None = None
    device: str = "cpu"
    peer: str | None = None


@dataclass(frozen=True)
class Row:
    """잰 것 하나.

    Attributes:
        model: 모델 이름.
        size: 입력 크기 `너비x높이`.
        target: 엔진과 정밀도, 또는 견준 패키지.
        milliseconds: 시간의 중앙값(ms).
        spread: 가장 빠른 것과 가장 느린 것(ms).
        megapixels: 초당 출력 백만 픽셀.
        gflops: 초당 연산 수(GFLOP/s).
        share: 행렬곱의 한계에 대한 비, 0..1.
        peak: 가장 많이 쓴 메모리(바이트).
        psnr: torch fp32의 결과에 대한 PSNR(dB). 같으면 무한대.
        ratio: torch fp32에 대한 시간의 비. 번갈아 잰 회마다의 비의 중앙값이다.
    """

    model: str
    size: str
    target: str
    milliseconds: float
    spread: tuple[float, float]
    megapixels: float
    gflops: float
    share: float
    peak: int | None
    psnr: float
    ratio: float

    def to_json(self) -> dict[str, Any]:
        """JSON에 적을 값들. 무한대는 글자 `inf`로 적는다."""
        content = asdict(self)
        content["psnr"] = "inf" if math.isinf(self.psnr) else self.psnr
        return content


def targets(settings: Settings) -> list[tuple[str, str]]:
    """잴 (엔진, 정밀도)들. 견줄 기준인 torch fp32가 언제나 첫째다.

    Raises:
        UsageError: 모르는 이름일 때.
    """
    for given, known in ((settings.engines, tuple(ENGINES)), (settings.precisions, DEVICE_PRECISIONS)):
        unknown = [name for name in given if name not in known]
        if unknown:
            raise UsageError(f"모르는 이름입니다: {', '.join(unknown)}\n  쓸 수 있는 이름: {', '.join(known)}")
    by_device = CPU_PRECISIONS if settings.device == "cpu" else DEVICE_PRECISIONS

    def can(engine: str) -> Sequence[str]:
        # 다른 엔진은 언제나 CPU에서 잰다.
        return ENGINES[engine].levels["cpu"] if ENGINES[engine].levels else by_device

    wanted = [
        (engine, precision)
        for engine in settings.engines
        for precision in settings.precisions
        if precision in can(engine)
    ]
    return list(dict.fromkeys([("torch", "fp32"), *wanted]))


def make_image(width: int, height: int, path: Path) -> Path:
    """사진처럼 매끄러운 곳과 거친 곳이 섞인 이미지 `(H, W, 3)` uint8을 `.npy`로 적는다."""
    rng = np.random.default_rng(0)
    rows, columns = np.mgrid[0:height, 0:width]
    smooth = 127 + 90 * np.sin(rows / 17.0) * np.cos(columns / 23.0)
    noise = rng.normal(0, 18, (height, width, 3)) * (columns > width / 2)[..., None]
    np.save(path, np.clip(smooth[..., None] + noise, 0, 255).astype(np.uint8))
    return path


def jobs(model: Model, settings: Settings, image: Path, folder: Path) -> list[tuple[str, dict[str, Any], bool]]:
    """작업자마다의 `(이름, 작업, 견줄 패키지인지)`.

    Args:
        model: 모델. 파일에서 실은 것이다.
        settings: 어떻게 잴지.
        image: 키울 이미지(`.npy`).
        folder: 견줄 패키지에 줄 가중치를 적을 폴더.
    """
    base: dict[str, Any] = {"image": str(image), "scale": model.scale}
    found: list[tuple[str, dict[str, Any], bool]] = []
    for backend, precision in targets(settings):
        device = settings.device if not ENGINES[backend].levels else "cpu"
        job = base | {"weights": str(model.files[0]), "backend": backend, "precision": precision, "device": device}
        job |= {"act_type": model.weights.arch_args.get("act_type")}
        found.append((f"{backend} {precision}", job, False))
    if settings.peer is not None:
        # 견줄 패키지는 .pth만 읽는다.
        path = folder / f"{model.name}-peer.pth"
        save_weights(model.weights, path)
        peer = {"weights": str(path), "arch": model.arch, "arch_args": dict(model.weights.arch_args)}
        found.append((PEER, base | peer, True))
    return found


def measure(
    model: Model,
    size: tuple[int, int],
    settings: Settings,
    folder: Path,
    ceiling: float,
    progress: Callable[[], object],
) -> list[Row]:
    """모델 하나와 크기 하나를 모든 대상에서 번갈아 잰다. 첫 바퀴는 데우기라 버린다.

    Args:
        model: 모델. 파일에서 실은 것이다.
        size: 입력 `(너비, 높이)`, 픽셀.
        settings: 어떻게 잴지.
        folder: 임시 폴더.
        ceiling: 행렬곱의 한계(GFLOP/s).
        progress: 한 번 키울 때마다 불리는 함수.

    Raises:
        BenchmarkError: 작업자가 실패했을 때.
    """
    image = make_image(*size, folder / f"{size[0]}x{size[1]}.npy")
    with ExitStack() as stack:
        sessions = [
            stack.enter_context(Session(name, job, python=settings.peer if is_peer else None, threads=settings.threads))
            for name, job, is_peer in jobs(model, settings, image, folder)
        ]
        times: dict[str, list[float]] = {session.name: [] for session in sessions}
        peaks: dict[str, int | None] = {}
        pictures = {}
        for number in range(settings.runs + 1):
            for session in sessions:
                save = folder / "output.npy" if number == 0 else None
                sample = session.run(save)
                if save is not None:
                    pictures[session.name] = np.load(save)
                else:
                    times[session.name].append(sample.seconds)
                peaks[session.name] = sample.peak
                progress()
    return _rows(model, size, times, peaks, pictures, ceiling)


def _rows(
    model: Model,
    size: tuple[int, int],
    times: dict[str, list[float]],
    peaks: dict[str, int | None],
    pictures: dict[str, Any],
    ceiling: float,
) -> list[Row]:
    width, height = size
    multiple = model.multiple
    work = network_flops(model.network, height + -height % multiple, width + -width % multiple)
    pixels = width * height * model.scale**2
    rows = []
    for name, seconds in times.items():
        middle = statistics.median(seconds)
        gflops = work / middle / 1e9
        ratios = [one / base for one, base in zip(seconds, times[REFERENCE], strict=True)]
        rows.append(
            Row(
                model.name,
                f"{width}x{height}",
                name,
                middle * 1000,
                (min(seconds) * 1000, max(seconds) * 1000),
                pixels / middle / 1e6,
                gflops,
                gflops / ceiling,
                peaks[name],
                psnr(pictures[name], pictures[REFERENCE]),
                statistics.median(ratios),
            )
        )
    return rows


def to_markdown(rows: Sequence[Row], machine: dict[str, Any]) -> str:
    """잰 것들의 표."""
    header = (
        "| 모델 | 입력 | 대상 | ms (가장 빠른~느린) | 출력 MP/s | GFLOP/s | 한계의 비 | 메모리 | fp32에 "
        "대한 PSNR | 시간의 비 |"
    )
    lines = ["# 추론의 빠르기 (Inference benchmark)", "", *(f"- {key}: {value}" for key, value in machine.items()), ""]
    lines += [header, "|" + "---|" * 10]
    for row in rows:
        low, high = row.spread
        memory = "-" if row.peak is None else f"{row.peak / (1 << 20):.0f}MiB"
        quality = "같음" if math.isinf(row.psnr) else f"{row.psnr:.1f}dB"
        lines.append(
            f"| {row.model} | {row.size} | {row.target} | {row.milliseconds:.0f} ({low:.0f}~{high:.0f}) | "
            f"{row.megapixels:.2f} | {row.gflops:.0f} | {row.share:.0%} | {memory} | {quality} | {row.ratio:.2f} |"
        )
    lines += ["", f"시간의 비는 번갈아 잰 회마다 {REFERENCE}로 나눈 값의 중앙값이다. 1보다 작으면 더 빠르다."]
    return "\n".join(lines) + "\n"
