"""내보낸 모델을 본래의 네트워크와 견준다."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from realesrgan.archs.base import image_of
from realesrgan.dataset_tools.pictures import find_pictures, read_bgr8
from realesrgan.dataset_tools.sheets import busiest_region
from realesrgan.errors import ExportError

# 정밀도마다의 기본 한도. 값은 0..1이다. fp16은 가중치의 반올림만으로도 이만큼 달라진다.
LIMITS = {"fp32": 1e-4, "fp16": 2e-2}
# 실제 사진에서 잘라 견줄 조각의 한 변. 무거운 네트워크도 1초 안에 견줄 만한 크기다.
PICTURE_SIDE = 64
SAMPLE_FOLDER = Path(__file__).resolve().parents[2] / "inputs"


@dataclass(frozen=True)
class Difference:
    """견준 것 하나. `largest`는 값의 가장 큰 차이(0..1 눈금), `psnr`는 본래에 대한 PSNR(dB)이다."""

    name: str
    shape: tuple[int, ...]
    largest: float
    psnr: float


def random_batches(multiple: int) -> list[tuple[str, Tensor]]:
    """배치, 높이, 너비가 저마다 다른 무작위 입력들. 크기가 굳어 버린 모델은 여기서 드러난다."""
    rng = np.random.default_rng(0)
    sizes = ((1, 8, 8), (2, 12, 20), (3, 28, 4))
    shapes = [(count, 3, height // 4 * 4 * multiple, width // 4 * 4 * multiple) for count, height, width in sizes]
    # 4의 배수가 아닌 변도 본다. x1 모델의 배수는 스스로 4라서 그대로 맞는다.
    shapes.append((1, 3, 9 * multiple, 7 * multiple))
    return [("random", torch.from_numpy(rng.random(shape).astype(np.float32))) for shape in shapes]


def random_image(height: int, width: int) -> Tensor:
    """씨앗이 고정된 무작위 입력 하나, `(1, 3, height, width)` float32, 0..1."""
    rng = np.random.default_rng(0)
    return torch.from_numpy(rng.random((1, 3, height, width)).astype(np.float32))


def picture_batches(
    pictures: Sequence[Path], multiple: int, *, side: int = PICTURE_SIDE, fill: bool = False
) -> list[tuple[str, Tensor]]:
    """실제 사진에서 무늬가 가장 많은 자리를 잘라 낸 입력들.

    Args:
        pictures: 사진들.
        multiple: 두 변을 맞출 배수.
        side: 잘라 낼 한 변(픽셀).
        fill: 사진이 `side`보다 작으면 가장자리를 되비쳐 그 크기로 채울지.

    Raises:
        ImageReadError, DatasetError: 사진을 읽을 수 없을 때.
    """
    batches: list[tuple[str, Tensor]] = []
    for path in pictures:
        image = read_bgr8(path)
        if fill:
            missing = [(0, max(side - length, 0)) for length in image.shape[:2]]
            image = np.pad(image, [*missing, (0, 0)], mode="symmetric")
        region = busiest_region(image, side)
        part = region.cut(image, image.shape[0])
        height, width = (side - side % multiple for side in part.shape[:2])
        planes = part[:height, :width, ::-1].transpose(2, 0, 1)[None].astype(np.float32) / np.float32(255)
        batches.append((path.name, torch.from_numpy(np.ascontiguousarray(planes))))
    return batches


def sample_pictures(folder: Path | None) -> list[Path]:
    """견줄 사진들. 폴더를 주지 않으면 함께 든 견본 사진이다.

    Raises:
        UsageError: 준 폴더에 이미지가 없을 때.
    """
    if folder is not None:
        return find_pictures(folder)
    return find_pictures(SAMPLE_FOLDER)[:3] if SAMPLE_FOLDER.is_dir() else []


def compare(
    network: nn.Module, run: Callable[[Tensor], Tensor], batches: Sequence[tuple[str, Tensor]]
) -> list[Difference]:
    """같은 입력을 두 쪽에 넣고 출력을 견준다.

    Args:
        network: 본래의 fp32 네트워크.
        run: 내보낸 모델. `(N, 3, H, W)` float32를 받고 낸다.
        batches: 이름과 입력들.

    Raises:
        ExportError: 출력의 모양이 다를 때.
    """
    found = []
    for name, batch in batches:
        with torch.inference_mode():
            expected, output = image_of(network(batch)), run(batch)
        if output.shape != expected.shape:
            sizes = [tuple(tensor.shape) for tensor in (batch, output, expected)]
            raise ExportError(
                f"내보낸 모델의 출력 크기가 다릅니다: 입력 {sizes[0]}에 {sizes[1]}, 본래는 {sizes[2]}\n"
                "  크기가 굳은 채로 내보내진 것입니다.\n  해결: 이 모델을 쓰지 말고 오류를 알려 주세요."
            )
        # NaN은 어떤 한도와 견주어도 크지 않으므로 무한대로 본다.
        difference = (output - expected).abs().nan_to_num(nan=torch.inf)
        found.append(Difference(name, tuple(batch.shape), float(difference.max()), _psnr(output, expected)))
    return found


def _psnr(output: Tensor, expected: Tensor) -> float:
    """값의 범위 0..1로 자른 둘 사이의 PSNR(dB). 같으면 무한대, NaN이 있으면 음의 무한대다."""
    error = float((output.clamp(0, 1) - expected.clamp(0, 1)).double().square().mean())
    if math.isnan(error):
        return -math.inf
    return math.inf if error == 0 else -10 * math.log10(error)


def require_close(differences: Sequence[Difference], limit: float) -> float:
    """가장 큰 차이가 한도 안인지 본다.

    Returns:
        가장 큰 차이.

    Raises:
        ExportError: 한도를 넘을 때.
    """
    worst = max(differences, key=lambda difference: difference.largest)
    if not worst.largest <= limit:
        raise ExportError(
            f"내보낸 모델이 본래와 다릅니다: 가장 큰 차이 {worst.largest:.3g} (한도 {limit:g}, {worst.name} "
            f"{worst.shape})\n"
            "  파일을 남기지 않았습니다.\n"
            "  해결: fp32로 내보내거나, 이만큼 달라도 되면 --limit를 키우세요."
        )
    return worst.largest
