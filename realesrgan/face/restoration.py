"""얼굴 복원(face restoration) 단계. 원본에서 얼굴을 찾아 고치고, 키운 이미지에 붙인다."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from realesrgan.errors import UsageError, WeightsError
from realesrgan.face.align import TEMPLATE, crop_face, paste_face, read_array, resized, similarity
from realesrgan.face.mtcnn import Face, load_detector, suppress
from realesrgan.face.retinaface import RetinaFace, load_retinaface
from realesrgan.inference.finish import ROWS_AT_ONCE, Canvas
from realesrgan.inference.steps import register_step
from realesrgan.inference.tiling import Box
from realesrgan.util.download import Progress
from realesrgan.util.optional import import_cv2, import_optional, prepare_torchvision
from realesrgan.zoo import community
from realesrgan.zoo.models import FACE_DETECTOR, FACE_MODELS
from realesrgan.zoo.weights import find_local_weights, find_weights, load_weights, resolve_model_path

DEFAULT_FACE_MODEL = "GFPGANv1.4"
# 두 눈 사이가 원본에서 이보다 좁으면(픽셀) 고칠 것이 없어 지어낼 뿐이므로 그대로 둔다.
SMALLEST_EYES = 8.0
# 찾을 때의 가장 작은 얼굴과 가장 긴 변(픽셀). 더 큰 이미지는 줄여서 찾는다.
SMALLEST_FACE = 20
LONGEST_SEARCHED = 2048
# 이미지를 기울여 찾는 각도(도). 두 상자가 작은 것의 이만큼 겹치면 한 얼굴이다.
SEARCHED_ANGLES = (0, 40, -40)
SAME_FACE = 0.3
INSTALL = 'pip install "realesrgan[face]" 또는 pip install spandrel'

# `(1, 3, 512, 512)` RGB, 0..1을 고친다.
Restorer = Callable[[Tensor], Tensor]
# `(H, W, 3)` RGB uint8에서 얼굴을 찾는다.
Detector = Callable[[NDArray[np.uint8]], list[Face]]


def find_faces(
    image: NDArray[np.uint8], search: Detector | None = None, angles: Sequence[float] = SEARCHED_ANGLES
) -> list[Face]:
    """얼굴을 믿음이 큰 차례로 찾는다. 긴 변이 `LONGEST_SEARCHED`를 넘으면 줄여서 찾는다.

    함께 있는 네트워크(MTCNN)는 선 얼굴에서 점을 가장 잘 짚으므로 이미지를 좌우로 기울여 가며 찾고, 같은 얼굴이면 가장
    바로 선 것을 고른다.

    Args:
        image: `(H, W, 3)` RGB uint8.
        search: 한 번 찾는 함수. 없으면 함께 있는 네트워크.
        angles: 기울일 각도들(도).
    """
    cv2, found = import_cv2(), []
    search = search or (lambda seen: load_detector().detect(seen, SMALLEST_FACE))
    height, width = image.shape[:2]
    for angle in angles:
        ratio = min(LONGEST_SEARCHED / max(height, width), 1.0)
        turn = np.vstack([cv2.getRotationMatrix2D((width / 2, height / 2), angle, ratio), [0, 0, 1]])
        sides = np.abs(turn[:2, :2]) @ [width, height]
        turn[:2, 2] += sides / 2 - np.array([width, height]) / 2
        size = (max(round(sides[0]), 1), max(round(sides[1]), 1))
        if angle:
            seen = cv2.warpAffine(image, turn[:2], size, borderMode=cv2.BORDER_REPLICATE)
        else:
            seen = image if ratio == 1 else cv2.resize(image, size, interpolation=cv2.INTER_AREA)
        back = np.linalg.inv(turn)
        for face in search(seen):
            points = (face.points @ back[:2, :2].T + back[:2, 2]).astype(np.float32)
            found.append((Face(points, face.score, face.side / ratio), face.score * _upright(face)))
    centres = np.array([face.points.mean(0) for face, _ in found]).reshape(-1, 2)
    halves = np.array([[face.side / 2] for face, _ in found]).reshape(-1, 1)
    boxes = np.concatenate([centres - halves, centres + halves], 1)
    kept = suppress(boxes, np.array([value for _, value in found]), SAME_FACE, smaller=True)
    return sorted((found[index][0] for index in kept), key=lambda face: -face.score)


def _upright(face: Face) -> float:
    """두 눈이 수평일 때 1, 서 있을 때 0."""
    return abs(float(face.points[1, 0] - face.points[0, 0])) / max(face.eye_distance, 1e-6)


@dataclass(eq=False)
class FaceRestoration:
    """얼굴을 찾아 고치는 단계(`finish.WholeStep`). 사진과 프레임에 똑같이 쓰인다.

    Attributes:
        model: `FACE_MODELS`의 이름이나 가중치의 경로, 주소.
        strength: 고친 얼굴의 몫 0..1. 1이면 네트워크의 결과 그대로다.
        only_center: 이미지의 가운데에 가장 가까운 얼굴 하나만 고칠지.
        detect: 얼굴을 찾는 함수. 없으면 공식 RetinaFace의 파일이 `weights/`나 캐시에 있을 때 그것을, 아니면 함께 있는
            MTCNN을 쓴다.
        restore: 얼굴을 고치는 함수. 없으면 `model`의 네트워크를 장치마다 한 번 싣는다.
        progress: 내려받을 때 `(받은 바이트, 전체 바이트)`를 받는 함수.

    Raises:
        UsageError: 모르는 이름이거나 세기가 0..1이 아닐 때.
    """

    model: str = DEFAULT_FACE_MODEL
    strength: float = 1.0
    only_center: bool = False
    detect: Detector | None = None
    restore: Restorer | None = None
    progress: Progress | None = None
    _detectors: dict[torch.device, RetinaFace] = field(default_factory=dict, repr=False)
    _loaded: dict[torch.device, Restorer] = field(default_factory=dict, repr=False)
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    def __post_init__(self) -> None:
        path = any(mark in self.model for mark in "/\\") or Path(self.model).suffix in (".pth", ".safetensors")
        if self.restore is None and self.model not in FACE_MODELS and not path:
            raise UsageError(
                f"모르는 얼굴 모델입니다: {self.model}\n  쓸 수 있는 이름: {', '.join(FACE_MODELS)}\n"
                "  직접 받은 파일은 경로를 주세요."
            )
        if not 0 <= self.strength <= 1:
            raise UsageError(f"얼굴의 세기는 0과 1 사이의 수여야 합니다: {self.strength}")

    @property
    def text(self) -> str:
        """`faces=모델:세기`. 가운데만이면 `:center`가, 공식 네트워크로 찾으면 `+retinaface`가 붙는다."""
        official = "" if self.detect is not None or self.detector_file is None else "+retinaface"
        return f"faces={self.model}:{self.strength:g}" + (":center" if self.only_center else "") + official

    @cached_property
    def detector_file(self) -> Path | None:
        """사용자가 가진 공식 RetinaFace의 파일. 없으면 None이고, 내려받지는 않는다."""
        return find_local_weights(FACE_DETECTOR)

    @cached_property
    def file(self) -> Path:
        """가중치 파일. 없으면 내려받는다.

        Raises:
            WeightsNotFoundError: 어디에도 없고 내려받지도 못했을 때.
        """
        spec = FACE_MODELS.get(self.model)
        return resolve_model_path(self.model) if spec is None else find_weights(spec, progress=self.progress)

    def prepare(self) -> None:
        """오래 계산하기 전에 가중치와 패키지가 있는지 본다.

        Raises:
            WeightsNotFoundError: 가중치가 없을 때.
            MissingPackageError: spandrel이 없을 때.
        """
        if self.restore is None:
            prepare_torchvision()
            import_optional("spandrel", "얼굴을 고치려면", INSTALL)
            _ = self.file

    def finish(self, enlarged: Canvas, source: Canvas) -> dict[str, int]:
        """원본의 얼굴들을 고쳐 키운 이미지에 붙인다.

        Returns:
            고친 얼굴의 수 `faces`와, 작아서 그대로 둔 얼굴의 수 `small_faces`.
        """
        found = self._found(_as_bytes(source), enlarged.device)
        faces = [face for face in found if face.eye_distance >= SMALLEST_EYES]
        small = len(found) - len(faces)
        if self.only_center and faces:
            middle = np.array(source.size[::-1]) / 2
            faces = [min(faces, key=lambda face: float(np.linalg.norm(face.points.mean(0) - middle)))]
        if faces and self.strength > 0:
            restore = self.restore or self._restorer(enlarged.device)
            grow = resized(enlarged.size[1] / source.size[1], enlarged.size[0] / source.size[0])
            for face in faces:
                matrix = similarity(face.points, TEMPLATE)
                restored = restore(torch.from_numpy(crop_face(source, matrix)).permute(2, 0, 1)[None])
                made = restored[0].permute(1, 2, 0).float().cpu().numpy()
                paste_face(enlarged, made, grow @ np.linalg.inv(matrix), self.strength)
        return {"faces": len(faces), "small_faces": small}

    def _found(self, image: NDArray[np.uint8], device: torch.device) -> list[Face]:
        if self.detect is not None:
            return self.detect(image)
        if self.detector_file is None:
            return find_faces(image)
        with self._lock:
            if device not in self._detectors:
                self._detectors[device] = load_retinaface(self.detector_file, device)
        return find_faces(image, self._detectors[device].detect, (0,))

    def _restorer(self, device: torch.device) -> Restorer:
        with self._lock:
            if device not in self._loaded:
                self._loaded[device] = load_restorer(self.file, device)
            return self._loaded[device]


def _as_bytes(canvas: Canvas) -> NDArray[np.uint8]:
    """이미지 전체를 `(H, W, 3)` RGB uint8로 읽는다. 실수의 사본은 몇 줄씩만 둔다."""
    height, width = canvas.size
    image = np.empty((height, width, 3), np.uint8)
    for top in range(0, height, ROWS_AT_ONCE):
        bottom = min(top + ROWS_AT_ONCE, height)
        image[top:bottom] = np.rint(read_array(canvas, Box(top, 0, bottom, width)).clip(0, 1) * 255)
    return image


def load_restorer(file: Path, device: torch.device) -> Restorer:
    """얼굴을 고치는 네트워크를 `spandrel`로 싣는다.

    Args:
        file: GFPGAN이나 RestoreFormer의 체크포인트.
        device: 계산할 장치.

    Returns:
        `(1, 3, 512, 512)` RGB, 0..1을 받아 같은 모양을 돌려주는 함수. 같은 입력에는 언제나 같은 결과다.

    Raises:
        MissingPackageError: spandrel이 없을 때.
        WeightsError: 읽을 수 없거나 얼굴을 고치는 네트워크가 아닐 때.
    """
    descriptor: Any = community.describe(load_weights(file).state, "얼굴을 고치려면", INSTALL)
    if descriptor is None or descriptor.purpose != "FaceSR":
        raise WeightsError(
            f"얼굴을 고치는 네트워크의 가중치가 아닙니다: {file}\n"
            f"  해결: {', '.join(FACE_MODELS)} 가운데 하나를 쓰세요."
        )
    network = descriptor.model.eval().requires_grad_(False).to(device)
    styled = descriptor.architecture.id == "GFPGAN"

    @torch.inference_mode()
    def restore(face: Tensor) -> Tensor:
        # 두 네트워크 모두 -1..1을 주고받는다. GFPGAN은 부를 때마다 다른 잡음 대신 저장된 잡음을 쓰게 한다.
        unit = face.to(device) * 2 - 1
        made = network(unit, return_rgb=False, randomize_noise=False)[0] if styled else network(unit)[0]
        return ((made.float() + 1) / 2).clamp(0, 1)

    return restore


def _create_faces(value: str) -> FaceRestoration:
    """`모델[:세기][:center]`. 빈 글이면 기본 모델이다."""
    parts = value.split(":")
    only_center = parts[-1] == "center"
    parts = parts[:-1] if only_center else parts
    try:
        # 경로의 콜론(C:\\...)은 수가 아니므로 이름에 남는다.
        strength = float(parts[-1]) if len(parts) > 1 else None
    except ValueError:
        strength = None
    name = ":".join(parts if strength is None else parts[:-1])
    return FaceRestoration(name or DEFAULT_FACE_MODEL, 1.0 if strength is None else strength, only_center)


register_step("faces", _create_faces)
