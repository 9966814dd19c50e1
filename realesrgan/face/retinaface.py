"""얼굴과 다섯 점을 찾는 공식 네트워크 RetinaFace(Deng 2020)의 ResNet-50. 사용자가 그 파일을 가졌을 때만 쓴다."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from realesrgan.errors import WeightsError
from realesrgan.face.mtcnn import Face, suppress
from realesrgan.zoo.weights import load_network, load_weights

# 세 크기의 특징 지도마다 한 칸의 픽셀과, 칸마다 놓는 기준 상자(anchor)의 한 변.
STRIDES, ANCHORS = (8, 16, 32), ((16, 32), (64, 128), (256, 512))
# 기준 상자에서 벗어난 정도의 단위(가운데, 크기).
CENTRE_UNIT, SIZE_UNIT = 0.1, 0.2
# 훈련에서 뺀 채널의 평균(BGR).
MEANS = (104.0, 117.0, 123.0)
THRESHOLD, OVERLAP = 0.97, 0.4
WIDTH = 256


def _conv(before: int, after: int, kernel: int = 3, *, stride: int = 1, active: bool = True) -> nn.Sequential:
    layers: list[nn.Module] = [
        nn.Conv2d(before, after, kernel, stride, kernel // 2, bias=False),
        nn.BatchNorm2d(after),
    ]
    return nn.Sequential(*layers, *([nn.ReLU(inplace=True)] if active else []))


class _Bottleneck(nn.Module):
    """ResNet의 병목 블록(He 2016, 그림 5)."""

    def __init__(self, before: int, width: int, stride: int) -> None:
        super().__init__()
        after = 4 * width
        sizes = ((before, width, 1, 1), (width, width, 3, stride), (width, after, 1, 1))
        for index, (first, last, kernel, step) in enumerate(sizes, 1):
            setattr(self, f"conv{index}", nn.Conv2d(first, last, kernel, step, kernel // 2, bias=False))
            setattr(self, f"bn{index}", nn.BatchNorm2d(last))
        self.downsample = _conv(before, after, 1, stride=stride, active=False) if before != after else None

    def forward(self, x: Tensor) -> Tensor:
        """`(N, before, h, w)`를 `(N, 4*width, h/stride, w/stride)`로 바꾼다."""
        y = F.relu(self.bn1(self.conv1(x)))  # type: ignore[operator]
        y = self.bn3(self.conv3(F.relu(self.bn2(self.conv2(y)))))  # type: ignore[operator]
        return F.relu(y + (x if self.downsample is None else self.downsample(x)))


class _ResNet(nn.Module):
    """마지막 세 단계의 특징을 내는 ResNet-50."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(3, 64, 7, 2, 3, bias=False), nn.BatchNorm2d(64)
        before = 64
        for index, (width, count) in enumerate(((64, 3), (128, 4), (256, 6), (512, 3)), 1):
            blocks = []
            for number in range(count):
                blocks.append(_Bottleneck(before, width, 2 if number == 0 and index > 1 else 1))
                before = 4 * width
            setattr(self, f"layer{index}", nn.Sequential(*blocks))

    def forward(self, x: Tensor) -> list[Tensor]:
        """`(N, 3, H, W)`에서 8, 16, 32분의 1 크기의 특징을 뽑는다. 채널은 512, 1024, 2048이다."""
        x = F.max_pool2d(F.relu(self.bn1(self.conv1(x))), 3, 2, 1)
        features = []
        for index in range(1, 5):
            x = getattr(self, f"layer{index}")(x)
            features.append(x)
        return features[1:]


class _Pyramid(nn.Module):
    """세 크기의 특징을 큰 것부터 더해 가며 잇는 특징 피라미드(FPN)."""

    def __init__(self) -> None:
        super().__init__()
        for index, channels in enumerate((512, 1024, 2048), 1):
            setattr(self, f"output{index}", _conv(channels, WIDTH, 1))
        self.merge1, self.merge2 = _conv(WIDTH, WIDTH), _conv(WIDTH, WIDTH)

    def forward(self, features: list[Tensor]) -> list[Tensor]:
        """세 크기의 특징을 채널 `WIDTH`의 같은 크기들로 바꾼다."""
        first, second, third = (getattr(self, f"output{index}")(one) for index, one in enumerate(features, 1))
        second = self.merge2(second + F.interpolate(third, size=second.shape[-2:], mode="nearest"))
        first = self.merge1(first + F.interpolate(second, size=first.shape[-2:], mode="nearest"))
        return [first, second, third]


class _Context(nn.Module):
    """세 넓이의 둘레를 보는 SSH 모듈(Najibi 2017)."""

    def __init__(self) -> None:
        super().__init__()
        half, quarter = WIDTH // 2, WIDTH // 4
        self.conv3X3 = _conv(WIDTH, half, active=False)
        self.conv5X5_1, self.conv5X5_2 = _conv(WIDTH, quarter), _conv(quarter, quarter, active=False)
        self.conv7X7_2, self.conv7x7_3 = _conv(quarter, quarter), _conv(quarter, quarter, active=False)

    def forward(self, x: Tensor) -> Tensor:
        """`(N, WIDTH, h, w)`를 받아 같은 모양을 돌려준다."""
        shared = self.conv5X5_1(x)
        wide = self.conv7x7_3(self.conv7X7_2(shared))
        return F.relu(torch.cat([self.conv3X3(x), self.conv5X5_2(shared), wide], 1))


class _Head(nn.Module):
    """칸마다 기준 상자 둘의 답을 내는 1x1 합성곱."""

    def __init__(self, count: int) -> None:
        super().__init__()
        self.conv1x1 = nn.Conv2d(WIDTH, 2 * count, 1)
        self._count = count

    def forward(self, x: Tensor) -> Tensor:
        """`(N, WIDTH, h, w)`를 `(N, h*w*2, count)`로 바꾼다."""
        return self.conv1x1(x).permute(0, 2, 3, 1).reshape(len(x), -1, self._count)


class RetinaFace(nn.Module):
    """공식 체크포인트(`detection_Resnet50_Final.pth`)와 이름이 같은 네트워크."""

    def __init__(self) -> None:
        super().__init__()
        self.body, self.fpn = _ResNet(), _Pyramid()
        self.ssh1, self.ssh2, self.ssh3 = _Context(), _Context(), _Context()
        for name, count in (("ClassHead", 2), ("BboxHead", 4), ("LandmarkHead", 10)):
            setattr(self, name, nn.ModuleList(_Head(count) for _ in STRIDES))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """`(N, 3, H, W)` 평균을 뺀 BGR에서 기준 상자마다의 `(상자 4, 얼굴일 확률, 점 10)`."""
        features = self.fpn(self.body(x))
        features = [getattr(self, f"ssh{index}")(one) for index, one in enumerate(features, 1)]
        boxes, classes, points = (
            torch.cat([head(one) for head, one in zip(getattr(self, name), features, strict=True)], 1)
            for name in ("BboxHead", "ClassHead", "LandmarkHead")
        )
        return boxes, classes.softmax(-1)[..., 1], points

    @torch.inference_mode()
    def detect(self, image: NDArray[np.uint8]) -> list[Face]:
        """`(H, W, 3)` RGB uint8에서 얼굴을 믿음이 큰 차례로 찾는다."""
        height, width = image.shape[:2]
        device = next(self.parameters()).device
        pixels = torch.from_numpy(np.ascontiguousarray(image[..., ::-1])).permute(2, 0, 1).float().to(device)
        boxes, scores, points = (
            one[0].cpu().numpy() for one in self((pixels - pixels.new_tensor(MEANS)[:, None, None])[None])
        )
        anchors = anchor_boxes(height, width)
        kept = scores > THRESHOLD
        boxes, scores, points, anchors = boxes[kept], scores[kept], points[kept], anchors[kept]
        centre = anchors[:, :2] + boxes[:, :2] * CENTRE_UNIT * anchors[:, 2:]
        half = anchors[:, 2:] * np.exp(boxes[:, 2:] * SIZE_UNIT) / 2
        found = anchors[:, None, :2] + points.reshape(-1, 5, 2) * CENTRE_UNIT * anchors[:, None, 2:]
        index = suppress(np.concatenate([centre - half, centre + half], 1), scores, OVERLAP)
        return [Face(found[one].astype(np.float32), float(scores[one]), float(2 * half[one].mean())) for one in index]


def anchor_boxes(height: int, width: int) -> NDArray[np.float64]:
    """기준 상자 `(N, 4)`: 가운데의 x, y와 너비, 높이(픽셀)."""
    parts: list[Any] = []
    for stride, sides in zip(STRIDES, ANCHORS, strict=True):
        y, x = np.mgrid[0 : -(-height // stride), 0 : -(-width // stride)]
        centres = np.stack([x, y], 2).reshape(-1, 1, 2).repeat(len(sides), 1) * stride + stride / 2
        sizes = np.broadcast_to(np.array(sides, float)[None, :, None], centres.shape)
        parts.append(np.concatenate([centres, sizes], 2).reshape(-1, 4))
    return np.concatenate(parts)


def load_retinaface(file: Path, device: torch.device) -> RetinaFace:
    """공식 체크포인트를 싣는다.

    Raises:
        WeightsError: 읽을 수 없거나 이 네트워크의 것이 아닐 때.
    """
    state = {name.removeprefix("module."): value for name, value in load_weights(file).state.items()}
    if "ssh1.conv3X3.0.weight" not in state:
        raise WeightsError(
            f"얼굴을 찾는 네트워크(RetinaFace)의 가중치가 아닙니다: {file}\n  해결: 파일을 다시 받으세요."
        )
    network = RetinaFace()
    load_network(network, state, file)
    return network.to(device)
