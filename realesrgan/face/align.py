"""얼굴을 다섯 점으로 512x512에 맞추어 오려 내고, 고친 얼굴을 키운 이미지에 부드러운 마스크로 붙인다."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from realesrgan.inference.finish import Canvas
from realesrgan.inference.tiling import Box
from realesrgan.util.optional import import_cv2

SIDE = 512
# 얼굴 복원 네트워크들이 훈련된 자리(FFHQ를 512x512로 줄인 것): 두 눈, 코, 두 입꼬리의 `(x, y)`, 픽셀.
TEMPLATE = np.array(
    [
        [192.98138, 239.94708],
        [318.90277, 240.1936],
        [256.63416, 314.01935],
        [201.26117, 371.41043],
        [313.08905, 371.15118],
    ]
)
# 마스크가 0에서 1이 되는 폭(512x512의 픽셀).
FEATHER = 56.0

Matrix = NDArray[np.floating[Any]]
Pixels = NDArray[Any]


def similarity(points: Pixels, target: Pixels) -> Matrix:
    """점들을 목표에 가장 가깝게 옮기는 닮음 변환(회전, 크기, 이동)을 최소제곱으로 구한다.

    Args:
        points, target: `(N, 2)`, N은 2 이상.

    Returns:
        `(3, 3)` 변환 행렬.
    """
    centre, wanted = points.mean(0), target.mean(0)
    moved, aimed = points - centre, target - wanted
    # 복소수로 보면 `a * moved = aimed`인 복소수 a 하나를 구하는 일이다.
    source, goal = moved @ [1, 1j], aimed @ [1, 1j]
    factor = np.vdot(source, goal) / max(float(np.vdot(source, source).real), 1e-12)
    turn = np.array([[factor.real, -factor.imag], [factor.imag, factor.real]])
    matrix = np.eye(3)
    matrix[:2, :2], matrix[:2, 2] = turn, wanted - turn @ centre
    return matrix


def resized(horizontal: float, vertical: float) -> Matrix:
    """픽셀의 가운데를 지키며 크기를 바꾸는 변환: `x -> (x + 0.5) * 배율 - 0.5`."""
    return np.array([[horizontal, 0, horizontal / 2 - 0.5], [0, vertical, vertical / 2 - 0.5], [0, 0, 1]])


def covered(matrix: Matrix, size: tuple[int, int]) -> Box | None:
    """512x512의 얼굴이 옮겨져 덮는 상자를 `(높이, 너비)`의 이미지 안에서 구한다. 모두 밖이면 None."""
    corners = matrix @ np.array([[0, SIDE, SIDE, 0], [0, 0, SIDE, SIDE], [1, 1, 1, 1]])
    (left, top), (right, bottom) = np.floor(corners[:2].min(1)) - 2, np.ceil(corners[:2].max(1)) + 3
    box = Box(max(int(top), 0), max(int(left), 0), min(int(bottom), size[0]), min(int(right), size[1]))
    return box if box.bottom > box.top and box.right > box.left else None


def read_array(canvas: Canvas, box: Box) -> NDArray[np.float32]:
    """상자를 `(h, w, 3)` RGB float32, 0..1 배열로 읽는다."""
    return np.ascontiguousarray(canvas.read(box).permute(1, 2, 0).float().cpu().numpy())


def crop_face(source: Canvas, matrix: Matrix) -> NDArray[np.float32]:
    """원본에서 얼굴을 512x512로 오려 낸다. 이미지 밖은 가장자리의 값이다.

    Args:
        source: 원본.
        matrix: 원본을 512x512로 옮기는 변환.

    Returns:
        `(512, 512, 3)` RGB float32, 0..1.
    """
    cv2 = import_cv2()
    box = covered(np.linalg.inv(matrix), source.size)
    if box is None:
        return np.zeros((SIDE, SIDE, 3), np.float32)
    region = read_array(source, box)
    whole = matrix @ np.array([[1, 0, box.left], [0, 1, box.top], [0, 0, 1]])
    shrink = int(1 / np.sqrt(np.linalg.det(matrix[:2, :2])))
    if shrink > 1:
        # 크게 찍힌 얼굴을 그대로 옮기면 계단이 생기므로 넓이 평균으로 먼저 줄인다.
        height, width = region.shape[:2]
        size = (max(width // shrink, 1), max(height // shrink, 1))
        region = cv2.resize(region, size, interpolation=cv2.INTER_AREA)
        whole = whole @ resized(width / size[0], height / size[1])
    made: NDArray[np.float32] = cv2.warpAffine(
        region, whole[:2], (SIDE, SIDE), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
    )
    return made


def paste_face(enlarged: Canvas, face: NDArray[np.float32], matrix: Matrix, strength: float = 1.0) -> None:
    """고친 얼굴을 키운 이미지의 제자리에 섞는다. 마스크가 0인 곳은 바뀌지 않는다.

    Args:
        enlarged: 키운 이미지. 제자리에서 바뀐다.
        face: `(512, 512, 3)` RGB float32, 0..1.
        matrix: 512x512를 키운 이미지로 옮기는 변환.
        strength: 고친 얼굴의 몫 0..1.
    """
    cv2 = import_cv2()
    box = covered(matrix, enlarged.size)
    if box is None:
        return
    region = read_array(enlarged, box)
    local = np.array([[1, 0, -box.left], [0, 1, -box.top], [0, 0, 1]]) @ matrix
    scale = float(np.sqrt(np.linalg.det(matrix[:2, :2])))
    placed, whole = face, local
    if scale < 1:
        side = max(round(SIDE * scale), 1)
        placed = cv2.resize(face, (side, side), interpolation=cv2.INTER_AREA)
        whole = local @ resized(SIDE / side, SIDE / side)
    size = (region.shape[1], region.shape[0])
    warped = cv2.warpAffine(placed, whole[:2], size, flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)
    mask = soft_mask(local, size)[..., None] * np.float32(strength)
    mixed = region + mask * (warped.clip(0, 1) - region)
    enlarged.write(box, torch.from_numpy(mixed).permute(2, 0, 1))


def soft_mask(matrix: Matrix, size: tuple[int, int]) -> NDArray[np.float32]:
    """512x512의 안쪽은 1, 가장자리로 갈수록 부드럽게 0이 되는 마스크를 옮긴 것.

    Args:
        matrix: 512x512를 `size`의 이미지로 옮기는 변환.
        size: `(너비, 높이)`.

    Returns:
        `(높이, 너비)` float32, 0..1.
    """
    x, y = np.meshgrid(np.arange(size[0]), np.arange(size[1]))
    back = np.linalg.inv(matrix)
    u, v = (back[row, 0] * x + back[row, 1] * y + back[row, 2] for row in (0, 1))
    depth = np.minimum(np.minimum(u, v), SIDE - 1 - np.maximum(u, v))
    ramp = (depth / FEATHER).clip(0, 1)
    return (ramp * ramp * (3 - 2 * ramp)).astype(np.float32)
