"""배열을 네트워크가 먹는 모양으로 나누고, 결과를 다시 하나로 합친다."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from realesrgan.inference.padding import pad_bottom_right
from realesrgan.inference.tiling import Box, Progress, Store
from realesrgan.util.optional import import_cv2

# BT.601 휘도의 계수(R, G, B). OpenCV의 BGR2GRAY와 같다.
LUMA = np.array([0.299, 0.587, 0.114], dtype=np.float32)

Upscale = Callable[["Pixels", Store, Progress | None], None]


@dataclass(frozen=True)
class Pixels:
    """한 장의 원본.

    Attributes:
        color: `(H, W)` 회색이나 `(H, W, 3)` BGR. 원래의 dtype 그대로다.
        alpha: `(H, W)` 알파 채널. 없으면 None.
        maximum: 1.0에 해당하는 값. 8비트와 실수는 255, 16비트는 65535.
    """

    color: NDArray[Any]
    alpha: NDArray[Any] | None
    maximum: int

    @property
    def height(self) -> int:
        """높이(픽셀)."""
        return int(self.color.shape[0])

    @property
    def width(self) -> int:
        """너비(픽셀)."""
        return int(self.color.shape[1])

    @property
    def mode(self) -> str:
        """`L`, `RGB`, `RGBA` 가운데 하나."""
        if self.color.ndim == 2:
            return "L"
        return "RGB" if self.alpha is None else "RGBA"

    def read(self, box: Box) -> NDArray[np.float32]:
        """상자를 `(3, h, w)` RGB float32, 0..1로 읽는다."""
        part = self.color[box.top : box.bottom, box.left : box.right]
        if part.ndim == 2:
            plane = part.astype(np.float32) / np.float32(self.maximum)
            return np.broadcast_to(plane, (3, *plane.shape))
        planes = np.ascontiguousarray(part[..., ::-1].transpose(2, 0, 1), dtype=np.float32)
        planes /= np.float32(self.maximum)
        return planes

    def as_rgb(self) -> NDArray[np.float32]:
        """전체를 `(H, W, 3)` RGB float32, 0..1로 읽는다."""
        planes = self.read(Box(0, 0, self.height, self.width))
        return np.ascontiguousarray(planes.transpose(1, 2, 0))

    def padded(self, bottom: int, right: int, pre_pad: int) -> Pixels:
        """아래와 오른쪽을 반사(reflect)로 덧댄 색만의 사본. 덧댈 것이 없으면 배열을 함께 쓴다."""
        return Pixels(pad_bottom_right(self.color, bottom, right, (pre_pad, pre_pad)), None, self.maximum)


def split_image(image: NDArray[Any]) -> Pixels:
    """배열을 색과 알파로 나누고 비트 깊이를 정한다.

    비트 깊이는 값이 아니라 dtype으로 정한다. 어두운 16비트 영상도 16비트로 남는다.

    Raises:
        ValueError: 영상이 아니거나 모양이 다르거나 비었을 때.
    """
    if not isinstance(image, np.ndarray):
        raise ValueError(
            f"영상은 NumPy 배열이어야 합니다: {type(image).__name__}\n"
            "  cv2.imread가 None을 돌려주었다면 파일을 읽지 못한 것입니다. 경로를 확인하세요."
        )
    if image.ndim == 3 and image.shape[2] == 1:
        image = image[:, :, 0]
    if image.ndim not in (2, 3) or (image.ndim == 3 and image.shape[2] not in (3, 4)) or image.size == 0:
        raise ValueError(f"영상의 모양은 (H, W), (H, W, 3), (H, W, 4) 가운데 하나여야 합니다: {image.shape}")
    maximum = 65535 if image.dtype == np.uint16 else 255
    if image.ndim == 3 and image.shape[2] == 4:
        return Pixels(image[:, :, :3], image[:, :, 3], maximum)
    return Pixels(image, None, maximum)


def join_image(
    pixels: Pixels, upscale: Upscale, scale: int, alpha_upsampler: str, progress: Progress | None
) -> NDArray[Any]:
    """색과 알파를 키워 정수 배열 하나로 합친다.

    Args:
        pixels: 원본.
        upscale: 원본을 키워 조각마다 저장 함수를 부르는 함수.
        scale: 네트워크의 배율.
        alpha_upsampler: `realesrgan`이면 알파도 네트워크로 키운다.
        progress: `(끝난 픽셀, 전체 픽셀)`을 받는 함수.

    Returns:
        `(H*scale, W*scale[, 3 또는 4])`, uint8이나 uint16.
    """
    by_network = pixels.alpha is not None and alpha_upsampler == "realesrgan"
    channels = () if pixels.mode == "L" else (3 if pixels.alpha is None else 4,)
    dtype = np.uint16 if pixels.maximum == 65535 else np.uint8
    output = np.empty((pixels.height * scale, pixels.width * scale, *channels), dtype)
    color = output if pixels.mode == "L" else output[:, :, :3]
    upscale(pixels, _store_into(color, pixels, scale), _half_progress(progress, 0, by_network))
    if pixels.alpha is not None:
        alpha = Pixels(pixels.alpha, None, pixels.maximum)
        if by_network:
            upscale(alpha, _store_into(output[:, :, 3], alpha, scale), _half_progress(progress, 1, by_network))
        else:
            output[:, :, 3] = _linear_alpha(alpha, scale)
    return output


def _half_progress(progress: Progress | None, part: int, two_parts: bool) -> Progress | None:
    if progress is None or not two_parts:
        return progress
    return lambda done, total: progress(done + part * total, 2 * total)


def _store_into(target: NDArray[Any], pixels: Pixels, scale: int) -> Store:
    """타일의 결과를 정수로 바꾸어 제자리에 적는 함수를 만든다. 덧댄 바깥은 버린다."""

    def store(result: NDArray[np.float32], box: Box) -> None:
        bottom, right = min(box.bottom, pixels.height), min(box.right, pixels.width)
        if bottom <= box.top or right <= box.left:
            return
        result = result[:, : (bottom - box.top) * scale, : (right - box.left) * scale]
        np.clip(result, 0, 1, out=result)
        if target.ndim == 2:
            values = np.tensordot(LUMA, result, axes=1)
        else:
            values = result[::-1].transpose(1, 2, 0)
        values *= np.float32(pixels.maximum)
        np.rint(values, out=values)
        target[box.top * scale : bottom * scale, box.left * scale : right * scale] = values

    return store


def _linear_alpha(alpha: Pixels, scale: int) -> NDArray[Any]:
    cv2 = import_cv2()
    plane = alpha.color.astype(np.float32)
    size = (alpha.width * scale, alpha.height * scale)
    return np.rint(np.clip(cv2.resize(plane, size, interpolation=cv2.INTER_LINEAR), 0, alpha.maximum))


def resize_output(output: NDArray[Any], height: int, width: int, outscale: float) -> NDArray[Any]:
    """정수로 바꾼 결과를 Lanczos(`INTER_LANCZOS4`)로 `int(W*outscale) x int(H*outscale)`에 맞춘다.

    Args:
        output: 네트워크의 배율로 키운 결과.
        height, width: 원본의 크기(픽셀).
        outscale: 마지막 업스케일 배율.
    """
    cv2 = import_cv2()
    size = (max(int(width * outscale), 1), max(int(height * outscale), 1))
    return cv2.resize(output, size, interpolation=cv2.INTER_LANCZOS4)
