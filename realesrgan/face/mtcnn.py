"""얼굴과 다섯 점(landmark)을 찾는 네트워크 MTCNN(Zhang 2016, Joint Face Detection and Alignment).

세 네트워크가 차례로 후보를 거른다. 가중치(약 50만 개, 1MB)는 이 폴더에 함께 있어 내려받는 것이 없다. 출처와 라이선스는
`mtcnn_license.txt`에 있다.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from safetensors.torch import load_file
from torch import Tensor, nn

from realesrgan.util.optional import import_cv2

FILE = Path(__file__).with_name("mtcnn.safetensors")
# 첫 네트워크가 보는 한 변과 그것이 한 칸 움직일 때의 픽셀.
CELL, STRIDE = 12, 2
PYRAMID_STEP = 0.709
# 세 네트워크의 문턱(마지막은 건물의 무늬를 얼굴로 보지 않게 높다)과, 후보를 겹침으로 거르는 비율.
THRESHOLDS = (0.6, 0.7, 0.985)
OVERLAPS = (0.5, 0.7, 0.7)
# 한 크기에서 다음 네트워크로 넘기는 후보의 한도. 무늬가 많은 큰 이미지에서 메모리를 지킨다.
MOST_CANDIDATES = 2000
BATCH = 512


@dataclass(frozen=True)
class Face:
    """찾은 얼굴 하나.

    Attributes:
        points: 다섯 점 `(5, 2)`: 보는 사람에게 왼쪽인 눈, 오른쪽인 눈, 코, 왼쪽 입꼬리, 오른쪽 입꼬리의 `(x, y)`, 픽셀.
        score: 믿음 0..1.
        side: 얼굴 상자의 한 변(픽셀).
    """

    points: NDArray[np.float32]
    score: float
    side: float

    @property
    def eye_distance(self) -> float:
        """두 눈 사이(픽셀)."""
        return float(np.linalg.norm(self.points[1] - self.points[0]))


class _Stage(nn.Module):
    """합성곱과 PReLU가 이어지고 갈래마다 답을 내는 작은 네트워크.

    Args:
        channels: 합성곱의 채널들. 첫째는 입력이다.
        kernels: 합성곱의 커널.
        pools: 합성곱 다음의 최대 풀링 `(커널, 보폭)`. 없으면 None.
        dense: 편 다음의 완전 연결 층의 `(들어오는 수, 나가는 수)`. 없으면 갈래도 합성곱이다.
        heads: 갈래의 이름과 나가는 수.
    """

    def __init__(
        self,
        channels: tuple[int, ...],
        kernels: tuple[int, ...],
        pools: tuple[tuple[int, int] | None, ...],
        dense: tuple[int, int] | None,
        heads: dict[str, int],
    ) -> None:
        super().__init__()
        sizes = zip(channels, channels[1:], kernels, strict=False)
        self.convs = nn.ModuleList(nn.Conv2d(before, after, kernel) for before, after, kernel in sizes)
        slopes = [*channels[1:], *([dense[1]] if dense else [])]
        self.slopes = nn.ModuleList(nn.PReLU(count) for count in slopes)
        self.dense = nn.Linear(*dense) if dense else None
        width = dense[1] if dense else channels[-1]
        for name, count in heads.items():
            setattr(self, name, nn.Linear(width, count) if dense else nn.Conv2d(width, count, 1))
        self._pools, self._heads = pools, tuple(heads)

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        """`(N, 3, h, w)` RGB, -1..1에서 갈래마다의 답. `score`는 얼굴일 확률이다."""
        for conv, slope, pool in zip(self.convs, self.slopes, self._pools, strict=False):
            x = slope(conv(x))
            if pool is not None:
                x = F.max_pool2d(x, *pool, ceil_mode=True)
        if self.dense is not None:
            x = self.slopes[-1](self.dense(x.flatten(1)))
        answers = {name: getattr(self, name)(x) for name in self._heads}
        return {**answers, "score": answers["score"].softmax(1)[:, 1]}


class Mtcnn(nn.Module):
    """세 네트워크."""

    def __init__(self) -> None:
        super().__init__()
        box = {"score": 2, "box": 4}
        self.pnet = _Stage((3, 10, 16, 32), (3, 3, 3), ((2, 2), None, None), None, box)
        self.rnet = _Stage((3, 28, 48, 64), (3, 3, 2), ((3, 2), (3, 2), None), (576, 128), box)
        pools = ((3, 2), (3, 2), (2, 2), None)
        self.onet = _Stage((3, 32, 64, 64, 128), (3, 3, 3, 2), pools, (1152, 256), {**box, "points": 10})

    @torch.inference_mode()
    def detect(self, image: NDArray[np.uint8], smallest: int) -> list[Face]:
        """얼굴을 믿음이 큰 차례로 찾는다.

        Args:
            image: `(H, W, 3)` RGB uint8.
            smallest: 찾을 얼굴의 가장 작은 한 변(픽셀), 12 이상.
        """
        boxes = self._proposals(image, smallest)
        for stage, side, threshold, overlap in ((self.rnet, 24, *_at(1)), (self.onet, 48, *_at(2))):
            if not len(boxes):
                return []
            answers = _answers(stage, _crops(image, boxes, side))
            kept = answers["score"] > threshold
            boxes, answers = boxes[kept.numpy()], {name: values[kept] for name, values in answers.items()}
            corner, size = boxes[:, :2], boxes[:, 2:4] - boxes[:, :2]
            offsets = answers["box"].numpy().reshape(-1, 2, 2)
            refined = np.concatenate([corner, corner + size], 1) + (offsets * size[:, None]).reshape(-1, 4)
            scores = answers["score"].numpy()
            index = suppress(refined, scores, overlap, smaller=side == 48)
            if side == 48:
                xs, ys = np.split(answers["points"].numpy(), 2, axis=1)
                points = corner[:, None] + np.stack([xs, ys], 2) * size[:, None]
                sides = np.sqrt(np.prod(refined[:, 2:] - refined[:, :2], axis=1).clip(1))
                return [Face(points[one].astype(np.float32), float(scores[one]), float(sides[one])) for one in index]
            boxes = squared(refined[index])
        raise AssertionError("마지막 네트워크에서 돌아간다")

    def _proposals(self, image: NDArray[np.uint8], smallest: int) -> NDArray[np.float64]:
        """크기를 줄여 가며 첫 네트워크로 후보를 찾는다. `(N, 4)` 정사각형."""
        cv2 = import_cv2()
        height, width = image.shape[:2]
        found, scores = [np.zeros((0, 4))], [np.zeros(0)]
        factor = CELL / smallest
        while min(height, width) * factor >= CELL:
            size = (max(round(width * factor), CELL), max(round(height * factor), CELL))
            answers = self.pnet(_normalised(cv2.resize(image, size, interpolation=cv2.INTER_AREA)[None]))
            score = answers["score"][0]
            rows, columns = torch.nonzero(score > THRESHOLDS[0], as_tuple=True)
            values = score[rows, columns].numpy()
            ratio = np.array([width / size[0], height / size[1]] * 2)
            corner = np.stack([columns.numpy(), rows.numpy()] * 2, 1) * STRIDE + np.array([0, 0, CELL, CELL])
            offsets = answers["box"][0][:, rows, columns].T.numpy()
            boxes = (corner + offsets * CELL) * ratio
            index = suppress(boxes, values, OVERLAPS[0])[:MOST_CANDIDATES]
            found.append(boxes[index])
            scores.append(values[index])
            factor *= PYRAMID_STEP
        boxes, values = np.concatenate(found), np.concatenate(scores)
        return squared(boxes[suppress(boxes, values, OVERLAPS[1])[:MOST_CANDIDATES]])


def _at(stage: int) -> tuple[float, float]:
    return THRESHOLDS[stage], OVERLAPS[stage]


def _normalised(images: NDArray[Any]) -> Tensor:
    """`(N, h, w, 3)` 0..255를 `(N, 3, h, w)` -1..1로."""
    return (torch.from_numpy(np.ascontiguousarray(images)).permute(0, 3, 1, 2).float() - 127.5) / 128


def _answers(stage: nn.Module, crops: NDArray[np.uint8]) -> dict[str, Tensor]:
    parts = [stage(_normalised(crops[start : start + BATCH])) for start in range(0, len(crops), BATCH)]
    return {name: torch.cat([part[name] for part in parts]) for name in parts[0]}


def _crops(image: NDArray[np.uint8], boxes: NDArray[np.float64], side: int) -> NDArray[np.uint8]:
    """상자들을 `(N, side, side, 3)`으로 잘라 낸다. 이미지 밖은 검다."""
    cv2 = import_cv2()
    height, width = image.shape[:2]
    crops = np.zeros((len(boxes), side, side, 3), np.uint8)
    for crop, box in zip(crops, np.rint(boxes).astype(int), strict=True):
        left, top, right, bottom = box
        size = (max(bottom - top, 1), max(right - left, 1))
        inside = image[max(top, 0) : min(bottom, height), max(left, 0) : min(right, width)]
        if inside.size:
            whole = np.zeros((*size, 3), np.uint8)
            above, beside = max(-top, 0), max(-left, 0)
            whole[above : above + inside.shape[0], beside : beside + inside.shape[1]] = inside
            crop[...] = cv2.resize(whole, (side, side), interpolation=cv2.INTER_AREA)
    return crops


def squared(boxes: NDArray[np.float64]) -> NDArray[np.float64]:
    """`(N, 4)` 상자를 가운데가 같고 긴 변을 한 변으로 하는 정사각형으로 바꾼다."""
    centre = (boxes[:, :2] + boxes[:, 2:4]) / 2
    half = (boxes[:, 2:4] - boxes[:, :2]).max(axis=1, keepdims=True, initial=0) / 2
    return np.concatenate([centre - half, centre + half], 1)


def suppress(
    boxes: NDArray[np.float64], scores: NDArray[Any], overlap: float, *, smaller: bool = False
) -> NDArray[np.intp]:
    """겹치는 상자 가운데 믿음이 큰 것만 남긴다(non-maximum suppression).

    Args:
        boxes: `(N, 4)` 왼쪽, 위, 오른쪽, 아래.
        scores: `(N,)`.
        overlap: 이보다 많이 겹치면 지운다.
        smaller: 겹침을 합집합이 아니라 작은 상자의 넓이에 견줄지.

    Returns:
        남긴 것의 번호, 믿음이 큰 차례.
    """
    order, kept = np.argsort(-np.asarray(scores), kind="stable"), []
    areas = np.prod((boxes[:, 2:4] - boxes[:, :2]).clip(0), axis=1)
    while order.size:
        first, rest = order[0], order[1:]
        kept.append(first)
        sides = np.minimum(boxes[first, 2:4], boxes[rest, 2:4]) - np.maximum(boxes[first, :2], boxes[rest, :2])
        common = np.prod(sides.clip(0), axis=1)
        whole = np.minimum(areas[first], areas[rest]) if smaller else areas[first] + areas[rest] - common
        order = rest[common <= overlap * whole]
    return np.array(kept, np.intp)


@lru_cache(maxsize=1)
def load_detector() -> Mtcnn:
    """함께 있는 가중치를 실은 네트워크. 한 번만 읽는다."""
    network = Mtcnn()
    network.load_state_dict({name: values.float() for name, values in load_file(FILE).items()})
    return network.eval().requires_grad_(False)
