"""업스케일러: 배열과 텐서를 엔진으로 키운다. 사진과 비디오의 프레임이 같은 길을 간다.

정수는 정수인 채로 장치에 오르내리고, 실수는 장치에서만 산다. 그래서 큰 사진의 최대 메모리는 결과 배열과 타일 하나의
활성값(activation)이다.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from realesrgan.archs.base import LUMA
from realesrgan.errors import InvalidValueError, NonFiniteOutputError, NotStreamableError, OutOfMemoryError
from realesrgan.inference.engines.base import PRECISION_DTYPES, Engine, memory_budget
from realesrgan.inference.tiling import Box, Progress, Store, Tile, auto_tile, run_tiles, total_margin
from realesrgan.util.machine import give_back_freed_memory, returns_freed_memory
from realesrgan.util.optional import import_cv2

if TYPE_CHECKING:
    from realesrgan.inference.steps import Step
    from realesrgan.inference.streaming import StreamPlan, StripCut

logger = logging.getLogger(__name__)

SIXTEEN_BIT = 65535
# 타일의 패딩으로 덮을 만한 수용 영역의 반지름(픽셀). SRVGGNetCompact가 18과 34다.
LARGEST_EXACT_PAD = 40
# 채널 64개의 fp32가 32MB인 크기. glibc는 더 큰 덩어리를 놓으면 운영체제에 돌려준다(mallopt(3)의 M_MMAP_THRESHOLD).
_FAULTING_PIXELS = (32 << 20) // (64 * 4)
# 파일에 있는 결과의 크기를 맞출 때 한 번에 보는 줄.
RESIZE_ROWS = 64
# dtype이 말하는, 1.0에 해당하는 값.
DEPTHS = {np.dtype(np.uint8): 255, np.dtype(np.uint16): SIXTEEN_BIT}


@dataclass(frozen=True)
class Pixels:
    """한 장의 원본.

    Attributes:
        color: `(H, W)` 회색이나 `(H, W, 3)`. 원래의 dtype 그대로다.
        alpha: `(H, W)` 알파 채널. 없으면 None.
        maximum: 1.0에 해당하는 값: 255, 65535, 또는 1(0..1의 실수).
        bgr: 채널의 차례가 BGR인지. 아니면 RGB다.
    """

    color: NDArray[Any]
    alpha: NDArray[Any] | None
    maximum: int
    bgr: bool = True

    def read(self, box: Box, device: torch.device | str = "cpu") -> Tensor:
        """상자를 장치의 `(3, h, w)` RGB float32, 0..1로 읽는다. 정수인 채로 장치에 올린다."""
        part = self.color[box.top : box.bottom, box.left : box.right]
        part = part.astype(np.float32) if part.dtype.kind == "f" else np.ascontiguousarray(part)
        # PyTorch는 쓸 수 없는 배열(PIL의 것 등)을 그대로 받지 않는다.
        part = part if part.flags.writeable else part.copy()
        tensor = torch.from_numpy(part).to(device).to(torch.float32) / self.maximum
        if tensor.ndim == 2:
            return tensor.expand(3, -1, -1)
        planes = tensor.permute(2, 0, 1)
        return planes.flip(0) if self.bgr else planes

    def write(self, result: Tensor, target: NDArray[Any]) -> None:
        """`(3, h, w)` RGB 결과를 장치에서 정수로 바꾸어 같은 크기의 배열에 적는다."""
        result = result.clamp(0, 1)
        if target.ndim == 2:
            values = torch.einsum("c,chw->hw", torch.tensor(LUMA, device=result.device), result)
        else:
            values = (result.flip(0) if self.bgr else result).permute(1, 2, 0)
        if self.maximum != 1:
            # uint16으로 곧바로 바꾸지 못하는 장치가 있어 int32를 거친다.
            kind = torch.uint8 if self.maximum == 255 else torch.int32
            values = (values * self.maximum).round_().to(kind)
        target[...] = values.to("cpu").numpy()


def split_image(image: NDArray[Any], *, bgr: bool = True, unit: bool = False) -> Pixels:
    """배열을 색과 알파로 나누고 비트 깊이를 정한다.

    uint8과 uint16의 비트 깊이는 값이 아니라 dtype으로 정한다. 어두운 16비트 이미지도 16비트로 남는다. 다른 dtype은 원본
    (xinntao/Real-ESRGAN)처럼 256보다 큰 값이 있으면 16비트로 본다.

    Args:
        image: `(H, W)`, `(H, W, 1)`, `(H, W, 3)`, `(H, W, 4)`. 알파가 없으면 자른 곳만 읽는 것(`LazyImage`)이어도 된다.
        bgr: 채널의 차례가 BGR인지.
        unit: 실수를 0..1로 볼지. 아니면 0..255(또는 0..65535)로 본다.

    Raises:
        InvalidValueError: 이미지가 아니거나 모양이 다르거나 비었을 때, `unit`인데 실수가 0..1을 벗어날 때,
            NaN이나 Inf가 있을 때.
    """
    if not isinstance(getattr(image, "dtype", None), np.dtype) or image.dtype.kind not in "uif":
        kind = f"{image.dtype} 배열" if isinstance(image, np.ndarray) else type(image).__name__
        raise InvalidValueError(
            f"이미지는 수의 NumPy 배열이어야 합니다: {kind}\n"
            "  cv2.imread가 None을 돌려주었다면 파일을 읽지 못한 것입니다. 경로를 확인하세요."
        )
    if image.ndim == 3 and image.shape[2] == 1:
        image = image[:, :, 0]
    if image.ndim not in (2, 3) or (image.ndim == 3 and image.shape[2] not in (3, 4)) or 0 in image.shape:
        raise InvalidValueError(f"이미지의 모양은 (H, W), (H, W, 3), (H, W, 4) 가운데 하나여야 합니다: {image.shape}")
    if not image.dtype.isnative:
        image = image.astype(image.dtype.newbyteorder("="))
    maximum = DEPTHS[image.dtype] if image.dtype in DEPTHS else _maximum_of(image, unit)
    if image.ndim == 3 and image.shape[2] == 4:
        return Pixels(image[:, :, :3], image[:, :, 3], maximum, bgr)
    return Pixels(image, None, maximum, bgr)


def _maximum_of(image: NDArray[Any], unit: bool) -> int:
    """비트 깊이를 dtype에서 알 수 없는 배열에서 1.0에 해당하는 값."""
    # NaN은 최댓값과 최솟값 모두에 남는다.
    smallest, largest = float(np.min(image)), float(np.max(image))
    if not (math.isfinite(smallest) and math.isfinite(largest)):
        raise InvalidValueError(
            "이미지에 NaN이나 Inf가 있습니다.\n  해결: numpy.nan_to_num으로 바꾸거나, 그 값이 난 곳을 고치세요."
        )
    if unit and image.dtype.kind == "f":
        if largest > 1 + 1e-3 or smallest < -1e-3:
            raise InvalidValueError(
                f"실수 이미지의 값은 0과 1 사이여야 합니다: 가장 큰 값 {largest:g}\n"
                "  해결: 255나 65535로 나누어 주세요."
            )
        return 1
    if image.dtype.kind == "f" and 0 < largest <= 1:
        logger.warning(
            "실수 배열의 가장 큰 값이 %g입니다. enhance는 실수를 0..255로 보므로 결과가 거의 검습니다. "
            "0..1의 이미지라면 255를 곱해 주세요.",
            largest,
        )
    return SIXTEEN_BIT if largest > 256 else 255


def pad_amounts(height: int, width: int, pre_pad: int, multiple: int) -> tuple[int, int]:
    """아래쪽과 오른쪽에 덧댈 픽셀 수 `(아래, 오른쪽)`.

    Args:
        height, width: 이미지 크기(픽셀).
        pre_pad: 먼저 덧댈 픽셀 수.
        multiple: 덧댄 뒤의 크기가 맞춰야 하는 배수.
    """
    return pre_pad + -(height + pre_pad) % multiple, pre_pad + -(width + pre_pad) % multiple


def pad_bottom_right(image: NDArray[Any], bottom: int, right: int, first: int = 0) -> NDArray[Any]:
    """`(H, W)`나 `(H, W, C)`의 아래와 오른쪽을 반사로 덧댄다. 덧댈 양이 이미지보다 커도 된다.

    Args:
        image: 이미지.
        bottom, right: 덧댈 픽셀 수.
        first: 두 번에 나누어 덧댈 때 먼저 덧댈 픽셀 수. 반사는 한 번에 할 때와 나누어 할 때 결과가 다르다.

    Returns:
        덧댄 이미지. 덧댈 것이 없으면 받은 배열 그대로다.
    """
    for rows, columns in ((first, first), (bottom - first, right - first)):
        if rows or columns:
            widths = ((0, rows), (0, columns), *((0, 0),) * (image.ndim - 2))
            image = np.pad(image, widths, mode="reflect")
    return image


def resize_output(
    output: NDArray[Any], width: int, height: int, allocate: Callable[..., Any] = np.empty
) -> NDArray[Any]:
    """정수로 바꾼 결과를 Lanczos(`INTER_LANCZOS4`)로 그 크기에 맞춘다.

    메모리의 배열이 아니면 띠마다 맞추어 `allocate`가 마련한 것에 적는다. 통째로 한 것과 끝자리 하나까지 다를 수 있다.
    """
    if output.shape[:2] == (height, width):
        return output
    if not isinstance(output, np.ndarray):
        return _resize_rows(output, allocate((height, width, *output.shape[2:]), output.dtype))
    cv2 = import_cv2()
    resized = cv2.resize(output, (width, height), interpolation=cv2.INTER_LANCZOS4)
    return np.clip(resized, 0, 1, out=resized) if output.dtype == np.float32 else resized


def _resize_rows(source: Any, target: Any) -> Any:
    """줄을 잘라 읽는 정수 이미지를 띠마다 `target`의 크기로 맞춘다. 가로는 OpenCV가, 세로는 같은 여덟 탭이 한다."""
    cv2 = import_cv2()
    (tall, wide), (height, width) = source.shape[:2], target.shape[:2]
    places = (np.arange(height) + 0.5) * (tall / height) - 0.5
    taps = np.floor(places).astype(int)[:, None] + np.arange(-3, 5)
    # 창을 씌운 sinc의 합을 1로 맞춘다. 테두리 밖의 탭은 가장자리의 줄을 본다.
    weights = np.sinc(taps - places[:, None]) * np.sinc((taps - places[:, None]) / 4)
    weights /= weights.sum(axis=1, keepdims=True)
    taps = taps.clip(0, tall - 1)
    largest = np.iinfo(source.dtype).max
    for top in range(0, height, RESIZE_ROWS):
        part = slice(top, min(top + RESIZE_ROWS, height))
        first, last = int(taps[part].min()), int(taps[part].max()) + 1
        rows = cv2.resize(
            np.asarray(source[first:last, 0:wide], np.float32), (width, last - first), interpolation=cv2.INTER_LANCZOS4
        )
        matrix = np.zeros((part.stop - top, last - first), np.float32)
        np.add.at(matrix, (np.arange(len(matrix))[:, None], taps[part] - first), weights[part])
        values = (matrix @ rows.reshape(last - first, -1)).reshape(len(matrix), *rows.shape[1:])
        target[part, 0:width] = np.rint(values.clip(0, largest, out=values), out=values)
    return target


class Upscaler:
    """엔진 하나로 이미지와 프레임을 키운다. 여러 스레드가 함께 불러도 된다.

    Args:
        engine: 엔진.
        tile: 타일(tile) 한 변(픽셀). 0이면 통째, `'auto'`면 남은 메모리에 맞춘다.
        tile_pad: 타일의 패딩(픽셀).
        pre_pad: 오른쪽과 아래에 먼저 덧댈 반사 패딩(픽셀).
        batch: 한 번에 계산할 타일 수.
        steps: 네트워크 다음에 거칠 단계들.
        multiple: 크기의 배수. 없으면 엔진의 것이다.
    """

    def __init__(
        self,
        engine: Engine,
        *,
        tile: int | Literal["auto"] = "auto",
        tile_pad: int = 10,
        pre_pad: int = 0,
        batch: int = 1,
        steps: Sequence[Step] = (),
        multiple: int | None = None,
    ) -> None:
        self.engine = engine
        self.scale = engine.scale
        self.tile = tile
        self.tile_pad = tile_pad
        self.pre_pad = pre_pad
        self.batch = max(batch, 1)
        self.steps = tuple(steps)
        # 고른 단계에 앞서 색을 키울 때마다 거치는 것. 모델이 정한다.
        self.always: tuple[Step, ...] = ()
        self.multiple = multiple or engine.multiple
        # 한 배치의 활성값에 써도 되는 메모리(바이트). 없으면 남은 메모리를 보고 정한다. 함께 도는 것들은 나누어 갖는다.
        self.budget: int | None = None
        # 띠 하나의 활성값(바이트). 없으면 `streaming.COMFORTABLE_STRIP_BYTES`다.
        self.strip_bytes: int | None = None
        # 이미지 한 장의 계산을 부르는 함수. 여러 스레드가 함께 부를 때 한 스레드에서만 계산하게 한다.
        self.turn: Callable[[Callable[[], None]], None] | None = None
        # 메모리가 모자라 줄어든 타일. 다음 이미지가 같은 실패를 되풀이하지 않게 기억한다.
        self._affordable: int | None = None
        self._affordable_rows: int | None = None
        # 통째로는 메모리가 모자랐던 픽셀 수. 이보다 작은 것만 통째로 해 본다.
        self._too_large = math.inf
        self._streams = True
        # 네트워크와 그 계획. 이어 돌릴 수 없는데 아직 알리지 않았으면 그 까닭이다.
        self._planned: tuple[Any, StreamPlan | NotStreamableError | None] | None = None
        self._whole_batch = True
        self._told_rerun = False
        # 엔진과, NaN이 나왔을 때 대신 쓸 엔진.
        self._safer: tuple[Engine, Engine | None] | None = None

    def with_steps(self, steps: Sequence[Step]) -> Upscaler:
        """같은 엔진과 설정에 단계만 다른 업스케일러."""
        if tuple(steps) == self.steps:
            return self
        other = Upscaler(
            self.engine,
            tile=self.tile,
            tile_pad=self.tile_pad,
            pre_pad=self.pre_pad,
            batch=self.batch,
            steps=steps,
            multiple=self.multiple,
        )
        other.budget, other.strip_bytes, other.turn = self.budget, self.strip_bytes, self.turn
        other.always = self.always
        return other

    def tile_for(self, height: int, width: int) -> int:
        """이 크기의 이미지에 쓸 타일 한 변을 정한다. 0이면 통째.

        `tile`이 `'auto'`면 지금 남은 메모리를 보고, 아니면 정해진 값을 쓴다. 0(통째)이라도 장치가 한 번에 다룰 수 있는
        크기를 넘으면 나눈다. 앞에서 메모리가 모자라 줄인 적이 있으면 그보다 크게 하지 않는다.
        """
        limit = self.engine.max_pixels // self.batch
        if self.tile != "auto" and (self.tile > 0 or height * width <= limit):
            tile = self.tile
        else:
            per_pixel = self.engine.memory(1, 1) * self.batch
            given = memory_budget(self.engine.device, per_pixel) if self.budget is None else self.budget
            budget = min(given, limit * per_pixel)
            # 패딩을 정하려면 네트워크를 따라가 보아야 하므로 통째로 들지 않을 때만 한다.
            fits = height * width * per_pixel <= budget
            shape = (height, width)
            tile = 0 if fits else auto_tile(shape, budget, per_pixel, pad=self.pad, multiple=self.multiple)
        if self._affordable is not None and (tile or max(height, width)) > self._affordable:
            tile = self._affordable
        return tile

    @property
    def pad(self) -> int:
        """타일의 패딩. 띠보다 타일이 빠른 엔진이고 수용 영역이 작으면 그것을 다 덮어 통째와 같은 결과를 낸다."""
        radius = self._exact_radius()
        return self.tile_pad if radius is None else max(self.tile_pad, radius)

    def _exact_radius(self) -> int | None:
        """패딩이 덮을 수용 영역의 반지름(픽셀). 크거나, 모르거나, 띠가 더 빠른 엔진이면 None.

        타일은 메모리를 더 쓰므로, 부른 쪽이 예산을 넉넉히 준 일(비디오)에서만 그렇게 한다. 사진은 띠로 간다.
        """
        if self.budget is None or self.tile not in ("auto", 0) or not getattr(self.engine, "prefers_tiles", False):
            return None
        plan = self._stream_plan()
        return plan.radius if plan is not None and plan.radius <= LARGEST_EXACT_PAD else None

    def is_exact(self, height: int, width: int) -> bool:
        """이 크기의 이미지를 어떻게 나누든 결과가 통째와 같은지."""
        whole = self.tile_for(height, width) == 0
        return whole or self._exact_radius() is not None or self.cut_for(height, width) is not None

    def _goes_whole(self, height: int, width: int) -> bool:
        """이 크기를 통째로 해 볼지. 놓은 메모리를 돌려주는 프로세스의 CPU fp32에서는 큰 것을 띠로 하는 쪽이 빠르다.

        층마다 수십 MB를 얻고 놓으며 치르는 쪽 부재가 띠에는 없다. 결과는 같다.
        """
        if self.tile_for(height, width) or height * width >= self._too_large:
            return False
        engine: Any = self.engine
        slow = height * width > _FAULTING_PIXELS and engine.name == "torch" and engine.precision == "fp32"
        if not (slow and engine.device.type == "cpu" and returns_freed_memory()):
            return True
        return self._stream_plan(needed=False) is None

    def cut_for(self, height: int, width: int) -> StripCut | None:
        """이 크기의 이미지를 띠로 이어 돌릴지, 돌린다면 어떻게 나눌지 정한다. 통째나 타일이면 None.

        통째로 들어가지 않을 때 타일보다 먼저 고른다. 통째로 돌린 것과 같은 결과가 나오기 때문이다. 사용자가 타일의
        크기를 정했으면 그것을 따른다.
        """
        if (
            self._goes_whole(height, width)
            or self.tile not in ("auto", 0)
            or self._exact_radius() is not None
            or (plan := self._stream_plan()) is None
        ):
            return None
        per_pixel = self.engine.memory(1, 1)
        budget = memory_budget(self.engine.device, per_pixel) if self.budget is None else self.budget
        itemsize = PRECISION_DTYPES[self.engine.precision].itemsize
        given = {} if self.strip_bytes is None else {"comfortable": self.strip_bytes}
        cut = plan.choose_cut(height, width, budget, itemsize, self.multiple, **given)
        if cut is not None and self._affordable_rows is not None:
            cut = replace(cut, rows=min(cut.rows, self._affordable_rows))
        return cut

    def upscale(
        self,
        image: NDArray[Any],
        size: tuple[int, int] | None = None,
        alpha_upsampler: str = "realesrgan",
        *,
        bgr: bool = True,
        unit: bool = False,
        progress: Progress | None = None,
        allocate: Callable[..., Any] = np.empty,
        fill: Callable[..., None] | None = None,
    ) -> NDArray[Any]:
        """이미지 한 장을 키운다.

        Args:
            image: `(H, W)` 회색, `(H, W, 3)`, `(H, W, 4)`. 자료형은 `split_image`와 같다.
            size: 결과의 `(너비, 높이)`. 없으면 네트워크의 배율 그대로이고, 다르면 Lanczos로 맞춘다.
            alpha_upsampler: `realesrgan`이면 알파 채널도 네트워크로, 다른 값이면 선형 보간으로 키운다.
            bgr: 채널의 차례가 BGR인지.
            unit: 실수를 0..1로 볼지.
            progress: `(끝난 픽셀, 전체 픽셀)`을 받는 함수.
            allocate: `(모양, 자료형)`을 받아 결과를 적을 것(배열, 또는 배열처럼 잘라 적을 수 있는 것)을 마련하는 함수.
            fill: 원본을 키워 받은 배열에 적는 함수. 없으면 `fill` 메서드다.

        Returns:
            키운 이미지. 8비트는 uint8, 16비트는 uint16, `unit`인 실수는 float32.

        Raises:
            InvalidValueError: 배열의 모양이 다르거나 비었을 때.
            OutOfMemoryError: 타일을 줄여도 메모리가 모자랄 때.
            NonFiniteOutputError: fp32로도 유한한 결과가 나오지 않을 때.
        """
        pixels, scale, fill = split_image(image, bgr=bgr, unit=unit), self.scale, fill or self.fill
        height, width = pixels.color.shape[:2]
        channels = () if pixels.color.ndim == 2 else (3,) if pixels.alpha is None else (4,)
        dtype = {1: np.float32, SIXTEEN_BIT: np.uint16}.get(pixels.maximum, np.uint8)
        output: NDArray[Any] = allocate((height * scale, width * scale, *channels), dtype)
        if pixels.alpha is None:
            fill(pixels, output, progress)
        else:
            # 알파도 네트워크로 키우면 일이 둘이다.
            first, second = (progress, None)
            if alpha_upsampler == "realesrgan" and progress is not None:
                first = lambda done, total: progress(done, 2 * total)  # noqa: E731
                second = lambda done, total: progress(done + total, 2 * total)  # noqa: E731
            fill(pixels, output[:, :, :3], first)
            alpha = Pixels(pixels.alpha, None, pixels.maximum)
            if alpha_upsampler == "realesrgan":
                fill(alpha, output[:, :, 3], second, plain=True)
            else:
                _write_linear(alpha, output[:, :, 3], scale)
        if size is None or size == (output.shape[1], output.shape[0]):
            return output
        return resize_output(output, *size, allocate=allocate)

    def fill(
        self, pixels: Pixels, target: NDArray[Any], progress: Progress | None = None, *, plain: bool = False
    ) -> None:
        """한 장의 색을 타일마다 키워 `(H*scale, W*scale[, 3])` 배열에 적는다.

        Args:
            pixels: 원본.
            target: 적을 배열.
            progress: `(끝난 픽셀, 전체 픽셀)`을 받는 함수.
            plain: 단계를 거치지 않을지(알파 채널).
        """
        height, width = pixels.color.shape[:2]
        padded, bottom, right = pixels, 0, 0
        if self.pre_pad or height % self.multiple or width % self.multiple:
            bottom, right = pad_amounts(height, width, self.pre_pad, self.multiple)
            color = pad_bottom_right(np.asarray(pixels.color), bottom, right, self.pre_pad)
            padded = replace(pixels, color=color)
        scale = self.scale

        def store(result: Tensor, box: Box) -> None:
            below, beside = min(box.bottom, height), min(box.right, width)
            if below > box.top and beside > box.left:
                result = result[:, : (below - box.top) * scale, : (beside - box.left) * scale]
                pixels.write(result, target[box.top * scale : below * scale, box.left * scale : beside * scale])
            # 타일마다 모양이 조금씩 달라 앞의 타일이 놓은 자리에 꼭 맞지 않는다. 두면 빈틈이 쌓인다.
            give_back_freed_memory()

        read = partial(padded.read, device=self.engine.device)
        size, steps = (height + bottom, width + right), () if plain else (*self.always, *self.steps)
        if self.turn is None:
            self._run(read, store, size, steps, progress)
        else:
            self.turn(partial(self._run, read, store, size, steps, progress))

    def _run(
        self,
        read: Callable[[Box], Tensor],
        store: Store,
        size: tuple[int, int],
        steps: Sequence[Step],
        progress: Progress | None = None,
    ) -> None:
        """덧댄 이미지를 타일마다 읽어 키우고 넘긴다. 줄어든 타일을 기억한다."""
        height, width = size
        # 통째로 해 보고 메모리가 모자라면 띠로, 띠로도 모자라면 타일로 간다.
        tile = self.tile_for(height, width)
        whole = self._goes_whole(height, width)
        if whole and self._streams and hasattr(self.engine, "run"):
            with suppress(OutOfMemoryError):
                box = Box(0, 0, height, width)
                store(self._enlarge(torch.stack([read(box)]), steps)[0], box)
                if progress is not None:
                    progress(height * width, height * width)
                return
            self.engine.release()
            if self._exact_radius() is None and self._stream_plan() is not None:
                self._too_large, whole = height * width, False
                logger.warning("장치 메모리가 모자라 통째가 아니라 띠로 나누어 계속합니다.")
        cut = None if whole else self.cut_for(height, width)
        if cut is not None and self._stream(read, store, cut, size, steps, progress):
            return
        scale = self.scale

        def run(tiles: list[Tile]) -> list[Tensor]:
            results = self._enlarge(torch.stack([read(piece.read) for piece in tiles]), steps)
            return [result[(..., *piece.crop.slices(scale))] for result, piece in zip(results, tiles, strict=True)]

        used = run_tiles(
            run,
            store,
            height=height,
            width=width,
            tile=tile,
            pad=max(self.pad, total_margin(steps, scale)) if tile else self.tile_pad,
            multiple=self.multiple,
            batch=self.batch,
            release=self.engine.release,
            progress=progress,
        )
        if used != tile:
            self._affordable = used

    def _stream_plan(self, *, needed: bool = True) -> StreamPlan | None:
        """띠로 이어 돌릴 계획. 엔진이나 네트워크가 할 수 없으면 None이고, 꼭 있어야 했으면 까닭을 한 번 알린다."""
        network = getattr(self.engine, "network", None)
        if not self._streams or not hasattr(self.engine, "run"):
            return None
        if self._planned is None or self._planned[0] is not network:
            from realesrgan.inference.streaming import plan_stream

            try:
                self._planned = (network, plan_stream(network))
            except NotStreamableError as error:
                self._planned = (network, error)
        plan = self._planned[1]
        if isinstance(plan, NotStreamableError):
            if needed:
                logger.warning("이 네트워크는 띠로 이어 돌릴 수 없어 타일로 나눕니다. %s", plan)
                self._planned = (network, None)
            return None
        return plan

    def _stream(
        self,
        read: Callable[[Box], Tensor],
        store: Store,
        cut: StripCut,
        size: tuple[int, int],
        steps: Sequence[Step],
        progress: Progress | None,
    ) -> bool:
        """띠로 이어 돌린다. 가장 낮은 띠도 메모리에 들지 않으면 거짓이고, 다음부터는 타일로 간다."""
        from realesrgan.inference.streaming import run_strips

        engine: Any = self.engine
        plan: Any = self._stream_plan()
        height, width = size
        try:
            used = run_strips(
                engine, plan, read, store, cut, height=height, width=width, steps=steps, progress=progress
            )
        except OutOfMemoryError:
            self._streams = False
            return False
        if used != cut.rows:
            self._affordable_rows = used
        return True

    def upscale_frames(self, rgb: Tensor, *, plain: bool = False) -> Tensor:
        """장치에 놓인 프레임들을 키운다. 배치가 메모리에 들지 않으면 한 장씩, 다음에는 타일로 나눈다.

        Args:
            rgb: `(N, 3, h, w)` float32, 0..1.
            plain: 단계를 거치지 않을지(알파 채널).

        Returns:
            `(N, 3, h*scale, w*scale)` float32. 0..1을 조금 벗어날 수 있다.

        Raises:
            OutOfMemoryError: 타일을 줄여도 메모리가 모자랄 때.
            NonFiniteOutputError: fp32로도 유한한 결과가 나오지 않을 때.
        """
        height, width = rgb.shape[-2:]
        steps = () if plain else (*self.always, *self.steps)
        padded = _pad_frames(rgb, *pad_amounts(height, width, self.pre_pad, self.multiple))
        output = None
        if self._whole_batch and len(padded) > 1 and self.tile_for(*padded.shape[-2:]) == 0:
            output = self._upscale_batch(padded, steps)
        if output is None:
            output = torch.stack([self._upscale_frame(frame, steps) for frame in padded])
        return output[..., : height * self.scale, : width * self.scale]

    def _upscale_batch(self, frames: Tensor, steps: Sequence[Step]) -> Tensor | None:
        """배치를 한 번에 키운다. 메모리가 모자라면 None이고, 다음부터는 시도하지 않는다."""
        try:
            return self._enlarge(frames, steps)
        except OutOfMemoryError:
            self._whole_batch = False
        self.engine.release()
        logger.warning("장치 메모리가 모자라 프레임을 한 장씩 계산합니다.")
        return None

    def _upscale_frame(self, frame: Tensor, steps: Sequence[Step]) -> Tensor:
        _, height, width = frame.shape
        scale = self.scale
        pieces: list[Tensor] = []

        def store(result: Tensor, box: Box) -> None:
            if box.shape == (height, width):
                pieces.append(result)
                return
            if not pieces:
                pieces.append(torch.empty((3, height * scale, width * scale), device=result.device))
            pieces[0][(..., *box.slices(scale))] = result

        def read(box: Box) -> Tensor:
            return frame[(..., *box.slices())]

        self._run(read, store, (height, width), steps)
        return pieces[0]

    def _enlarge(self, batch: Tensor, steps: Sequence[Step]) -> Tensor:
        """엔진을 돌리고 단계들을 거친다. 엔진의 결과에 NaN이나 Inf가 있으면 더 높은 정밀도로 다시 돌린다.

        Raises:
            InvalidValueError: 네트워크가 말한 배율과 다른 크기의 결과를 낼 때.
            NonFiniteOutputError: fp32로도 유한한 결과를 얻지 못할 때.
        """
        output = self.engine(batch)
        height, width = (side * self.scale for side in batch.shape[-2:])
        if output.shape != (len(batch), 3, height, width):
            raise InvalidValueError(
                f"네트워크의 결과가 {self.scale}배의 RGB가 아닙니다: {tuple(batch.shape)} -> {tuple(output.shape)}\n"
                "  해결: 네트워크의 scale 속성과 forward가 내는 모양을 맞추세요."
            )
        # 합은 NaN과 Inf를 그대로 물려받는다. 0 근처의 수라 float32로도 넘치지 않는다(MPS에는 float64가 없다).
        if not torch.isfinite(output.sum(dtype=torch.float32)):
            # 엔진에 따라서는 만드는 데 1초쯤 걸린다. NaN이 나오는 타일과 프레임마다 만들지 않는다.
            if self._safer is None or self._safer[0] is not self.engine:
                self._safer = (self.engine, self.engine.fallback())
            safer = self._safer[1]
            if safer is None or not torch.isfinite((output := safer(batch)).sum(dtype=torch.float32)):
                raise NonFiniteOutputError
            if not self._told_rerun:
                logger.warning("낮은 정밀도의 결과에 NaN이 있어 그 부분을 fp32로 다시 계산했습니다.")
            self._told_rerun = True
        if steps:
            from realesrgan.inference.steps import apply_steps

            output = apply_steps(steps, output, batch)
        return output


def _pad_frames(tensor: Tensor, bottom: int, right: int) -> Tensor:
    """`(N, C, H, W)`의 아래와 오른쪽을 반사로 덧댄다. 덧댈 양이 프레임보다 커도 된다."""
    for axis, extra in ((2, bottom), (3, right)):
        if extra:
            index = np.pad(np.arange(tensor.shape[axis]), (0, extra), mode="reflect")
            tensor = tensor.index_select(axis, torch.from_numpy(index).to(tensor.device))
    return tensor


def _write_linear(alpha: Pixels, target: Any, scale: int) -> None:
    """알파를 선형 보간으로 키워 적는다. 위아래로 한 줄씩 더 보므로 띠로 나누어도 통째로 한 것과 같다."""
    cv2 = import_cv2()
    height, width = alpha.color.shape
    for top in range(0, height, RESIZE_ROWS):
        first, bottom = max(top - 1, 0), min(top + RESIZE_ROWS, height)
        rows = np.asarray(alpha.color[first : min(bottom + 1, height), 0:width], np.float32)
        plane = cv2.resize(rows, (width * scale, len(rows) * scale), interpolation=cv2.INTER_LINEAR)
        plane = plane[(top - first) * scale :][: (bottom - top) * scale].clip(0, alpha.maximum)
        target[top * scale : bottom * scale, 0 : width * scale] = plane if alpha.maximum == 1 else np.rint(plane)
