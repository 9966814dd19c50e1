"""검증(validation): 모든 프로세스가 나누어 재고, 합과 개수로 모은다."""

from __future__ import annotations

import functools
import importlib
import logging
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
import torch.distributed as dist
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from realesrgan.basicsr_bridge import METRIC_REGISTRY, calculate_metric
from realesrgan.errors import NotStreamableError, RealESRGANError, TrainingError
from realesrgan.inference.streaming import Stream, plan_stream
from realesrgan.inference.tiling import plan_tiles
from realesrgan.models.checkpoint import barrier

LOGGER = logging.getLogger("basicsr")
Picture = NDArray[np.uint8]
# 집합 전체를 한 번에 견주는 pyiqa 지표. 이미지 한 장에는 값이 없다.
SET_METRICS = ("fid",)
# 이보다 픽셀이 많은 LQ는 나누어 검증한다.
WHOLE_PIXELS = 512 * 512
STRIP_ROWS = 64
TILE, TILE_PAD = 384, 32
# 시작할 때 지표를 재어 볼 이미지의 한 변. NIQE는 96픽셀 칸이 넷은 있어야 한다.
_TRIAL_SIDE = 208


@torch.no_grad()
def infer(network: nn.Module, lq: Tensor, whole_pixels: int = WHOLE_PIXELS) -> Tensor:
    """네트워크를 평가 상태로 한 번 돌리고 본래 상태로 되돌린다.

    큰 이미지는 추론과 같은 길로 띠(strip)로 이어 돌린다. 통째로 돌린 것과 같으면서 메모리는 너비만 따른다. 이어 돌릴 수
    없는 네트워크면 겹치는 타일로 나눈다.

    Args:
        network: 생성자. `size_multiple`과 `scale` 속성이 있으면 크기를 맞추는 데 쓴다.
        lq: `(B, C, H, W)`, 0..1.
        whole_pixels: 이보다 픽셀이 많으면 나눈다.

    Returns:
        `(B, C, H * scale, W * scale)`.
    """
    multiple = int(getattr(network, "size_multiple", 1))
    height, width = lq.shape[-2:]
    padded = F.pad(lq, (0, -width % multiple, 0, -height % multiple), mode="reflect") if multiple > 1 else lq
    training = network.training
    network.eval()
    try:
        large = padded.shape[-2] * padded.shape[-1] > whole_pixels
        output = _in_parts(network, padded, multiple) if large else network(padded)
    finally:
        network.train(training)
    scale = output.shape[-1] // padded.shape[-1]
    return output[..., : height * scale, : width * scale]


def _in_parts(network: nn.Module, lq: Tensor, multiple: int) -> Tensor:
    try:
        plan = plan_stream(network, lq.shape[1])
    except NotStreamableError as error:
        LOGGER.info("띠로 이어 돌릴 수 없어 타일로 검증합니다: %s", error)
        return _in_tiles(network, lq, multiple)
    rows = -(-STRIP_ROWS // multiple) * multiple
    stream = Stream(plan, lq.shape[2])
    found = (stream.push(lq[:, :, top : top + rows].contiguous()) for top in range(0, lq.shape[2], rows))
    return torch.cat([part for part in found if part is not None], 2)


def _in_tiles(network: nn.Module, lq: Tensor, multiple: int) -> Tensor:
    output = lq.new_empty(0)
    for tile in plan_tiles(lq.shape[2], lq.shape[3], TILE, TILE_PAD, multiple):
        rows, columns = tile.read.slices()
        part = network(lq[..., rows, columns])
        scale = part.shape[-1] // tile.read.shape[1]
        if not output.numel():
            output = part.new_empty(*part.shape[:2], lq.shape[2] * scale, lq.shape[3] * scale)
        inner, outer = tile.crop.slices(scale), tile.write.slices(scale)
        output[..., outer[0], outer[1]] = part[..., inner[0], inner[1]]
    return output


def side_by_side(lq: Picture, result: Picture, gt: Picture | None) -> Picture:
    """LQ(최근접 확대), 결과, (있으면) 정답을 나란히 놓은 `(H, W * 2나 3, 3)`."""
    height, width = result.shape[:2]
    enlarged = np.asarray(cv2.resize(lq, (width, height), interpolation=cv2.INTER_NEAREST), dtype=np.uint8)
    pictures = [enlarged, result] + ([] if gt is None else [gt[:height, :width]])
    return np.concatenate([one for one in pictures if one.shape == result.shape], 1)


def to_picture(image: Tensor) -> Picture:
    """`(1, C, H, W)` RGB나 회색 0..1을 `(H, W, 3)` BGR uint8로 바꾼다."""
    if image.shape[1] == 1:
        image = image.expand(-1, 3, -1, -1)
    planes = (image[0].detach().float().cpu().clamp(0, 1) * 255.0).round().to(torch.uint8)
    return np.ascontiguousarray(planes.permute(1, 2, 0).numpy()[..., ::-1])


def write_picture(path: Path, picture: Picture) -> None:
    """PNG로 쓴다. 한글 경로에서도 되도록 인코딩과 쓰기를 나눈다."""
    path.parent.mkdir(parents=True, exist_ok=True)
    encoded, content = cv2.imencode(".png", picture)
    if not encoded:
        raise TrainingError(
            f"검증 이미지를 PNG로 바꾸지 못했습니다: {path}\n  이미지의 모양이 {picture.shape}입니다.\n"
            "  해결: 네트워크의 출력 채널 수(num_out_ch)를 확인하세요."
        )
    path.write_bytes(content.tobytes())


@METRIC_REGISTRY.register()
def calculate_pyiqa(img: Picture, img2: Picture | None = None, metric: str = "lpips", **_: Any) -> float:
    """`pyiqa`의 지표(LPIPS, DISTS 등)를 잰다.

    Args:
        img: 결과 `(H, W, 3)` BGR uint8.
        img2: 정답 `(H, W, 3)` BGR uint8. 정답 없는 지표면 쓰지 않는다.
        metric: pyiqa의 지표 이름.

    Raises:
        TrainingError: pyiqa가 설치되어 있지 않을 때.
    """
    measure = _create_pyiqa(metric)
    tensors = [torch.from_numpy(np.ascontiguousarray(one[..., ::-1])).permute(2, 0, 1)[None] / 255.0 for one in (img,)]
    if img2 is not None and getattr(measure, "metric_mode", "FR") == "FR":
        tensors.append(torch.from_numpy(np.ascontiguousarray(img2[..., ::-1])).permute(2, 0, 1)[None] / 255.0)
    return float(measure(*tensors))


@functools.lru_cache(maxsize=8)
def _create_pyiqa(metric: str) -> Callable[..., Any]:
    try:
        pyiqa = importlib.import_module("pyiqa")
    except ImportError as error:
        raise TrainingError(
            f"지표를 재려면 pyiqa가 필요합니다: {metric}\n  설치되어 있지 않습니다.\n"
            "  해결: pip install pyiqa로 설치하거나 val.metrics에서 그 지표를 빼세요."
        ) from error
    return pyiqa.create_metric(metric)


def is_set_metric(options: Mapping[str, Any]) -> bool:
    """집합 전체를 견주는 지표인가."""
    return options.get("type") == "calculate_pyiqa" and options.get("metric") in SET_METRICS


class MetricSums:
    """지표마다의 합과 개수. 프로세스끼리 모은 뒤 평균을 낸다."""

    def __init__(self, names: Iterable[str], device: torch.device) -> None:
        self.names = list(names)
        self._sums = torch.zeros(len(self.names), 2, dtype=torch.float64, device=device)

    def add(self, name: str, value: float) -> None:
        """이미지 하나의 값을 더한다."""
        self._sums[self.names.index(name)] += torch.tensor([value, 1.0], dtype=torch.float64, device=self._sums.device)

    def means(self) -> dict[str, float]:
        """모든 프로세스에 걸친 평균. 하나도 재지 않은 지표는 NaN이다."""
        if dist.is_initialized():
            dist.all_reduce(self._sums)
        return {name: float(total / count) for name, (total, count) in zip(self.names, self._sums, strict=True)}


def measure_set(metric: str, result_folder: Path, gt_folder: Path) -> float:
    """두 폴더의 이미지 집합을 견주는 지표(FID)를 잰다. 첫 프로세스가 재어 모두에게 알린다."""
    value = torch.zeros(1, dtype=torch.float64)
    barrier()
    if not dist.is_initialized() or dist.get_rank() == 0:
        value += float(_create_pyiqa(metric)(str(result_folder), str(gt_folder)))
    if dist.is_initialized():
        value = value.cuda() if dist.get_backend() == "nccl" else value
        dist.broadcast(value, 0)
    return float(value)


def try_metrics(metrics: Mapping[str, Mapping[str, Any]]) -> None:
    """지표마다 작은 이미지로 한 번 재어 본다. 첫 검증은 몇 시간 뒤일 수 있으므로 시작할 때 안다.

    Raises:
        TrainingError: 지표를 잴 수 없거나 값이 수가 아닐 때.
    """
    rng = np.random.default_rng(0)
    coarse = rng.integers(0, 256, (24, 24, 3), dtype=np.uint8)
    gt = cv2.resize(coarse, (_TRIAL_SIDE, _TRIAL_SIDE), interpolation=cv2.INTER_CUBIC)
    noise = rng.integers(-6, 7, gt.shape)
    result = np.clip(gt.astype(np.int64) + noise, 0, 255).astype(np.uint8)
    for name, options in metrics.items():
        if is_set_metric(options):
            _create_pyiqa(str(options["metric"]))
        else:
            measure_picture(name, options, result, np.asarray(gt, dtype=np.uint8))


def measure_picture(name: str, options: Mapping[str, Any], result: Picture, gt: Picture | None) -> float:
    """이미지 한 장의 지표를 잰다. `better`는 좋고 나쁨의 방향을 적는 키라 함수에 넘기지 않는다.

    Raises:
        TrainingError: 지표를 잴 수 없을 때(정답이 없음, 크기가 다름, 너무 작음).
    """
    arguments = {key: value for key, value in options.items() if key != "better"}
    pictures = {"img": result} if gt is None else {"img": result, "img2": gt}
    try:
        return float(calculate_metric(pictures, arguments))
    except RealESRGANError:
        raise
    except Exception as error:  # 사용자의 지표는 어떤 오류든 낼 수 있다. 어느 지표인지를 말한다.
        raise TrainingError(
            f"지표를 재지 못했습니다: {name}\n  {type(error).__name__}: {error}\n"
            "  해결: 검증 데이터셋에 정답이 있고 크기가 맞는지, 옵션의 철자가 맞는지 확인하세요."
        ) from error
