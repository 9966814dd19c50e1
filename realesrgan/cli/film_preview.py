"""키우는 동안 지금의 프레임을 이미지로 적어 둔다."""

from __future__ import annotations

import logging
import time

import numpy as np
import torch

from realesrgan.errors import ImageWriteError
from realesrgan.inference.frames import FrameFormat
from realesrgan.inference.yuv import planes_to_rgb, to_tensor
from realesrgan.media.image import still, write_image
from realesrgan.media.picture import Array
from realesrgan.media.video.types import Planes
from realesrgan.util.files import expand_user

logger = logging.getLogger(__name__)

PREVIEW_SECONDS = 10.0


def frame_picture(planes: Planes, shape: FrameFormat) -> Array:
    """프레임을 `(H, W, 3)` BGR 배열로 바꾼다. 8비트면 uint8, 더 깊으면 uint16. 알파는 뺀다."""
    tensors = [to_tensor([plane], torch.device("cpu")) for plane in planes]
    rgb = planes_to_rgb(tensors, shape.layout, shape.colour)[0]
    top, dtype = (255, np.uint8) if shape.layout.bits == 8 else (65535, np.uint16)
    pixels = (rgb.flip(0).permute(1, 2, 0) * top).round().numpy().astype(dtype)
    return np.ascontiguousarray(pixels)


class VideoPreview:
    """첫 프레임을, 그 뒤로는 이따금 지금의 프레임을 이미지 하나에 적는다.

    Args:
        path: 이미지의 경로. None이면 아무것도 하지 않는다.
        shape: 받을 프레임의 모양.
        every: 적는 간격(초).
    """

    def __init__(self, path: str | None, shape: FrameFormat, *, every: float = PREVIEW_SECONDS) -> None:
        self._path = None if path is None else expand_user(path)
        self._shape = shape
        self._every = every
        self._next = 0.0

    def offer(self, planes: Planes) -> None:
        """때가 되었으면 적는다. 적지 못하면 한 번 알리고 그만둔다. 비디오는 계속 만든다."""
        if self._path is None or time.monotonic() < self._next:
            return
        try:
            write_image(self._path, still(frame_picture(planes, self._shape)))
        except ImageWriteError as error:
            logger.warning("미리보기를 쓸 수 없어 그만둡니다: %s", error)
            self._path = None
        self._next = time.monotonic() + self._every
