"""영상을 타일(tile)로 나누어 엔진에 넣고 결과를 이어 붙인다. 어떤 딥러닝 프레임워크도 쓰지 않는다."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import groupby
from typing import Any

import numpy as np

from realesrgan.errors import NonFiniteOutputError, OutOfMemoryError
from realesrgan.inference.engine import Engine

logger = logging.getLogger(__name__)

# 메모리가 모자라 타일을 줄일 때의 바닥. 이보다 작으면 패딩이 일의 대부분이 된다.
MIN_TILE = 16

Progress = Callable[[int, int], None]
# 배열의 종류는 엔진이 정한다: NumPy 배열이거나, 장치에 놓인 텐서다.
Array = Any
Store = Callable[[Array, "Box"], None]


@dataclass(frozen=True)
class ArrayTools:
    """타일러가 배열에 대해 알아야 하는 두 가지. 타일러가 배열의 종류를 모르게 한다.

    Attributes:
        stack: `(3, h, w)` 여럿을 `(N, 3, h, w)`로 쌓는 함수.
        is_finite: 배열에 NaN이나 Inf가 없는지 보는 함수.
    """

    stack: Callable[[list[Array]], Array]
    is_finite: Callable[[Array], bool]


def _numpy_is_finite(array: Array) -> bool:
    # 합은 NaN과 Inf를 그대로 물려받는다. 불리언 배열을 만드는 것보다 싸다.
    return bool(np.isfinite(np.sum(array, dtype=np.float64)))


NUMPY_ARRAYS = ArrayTools(np.stack, _numpy_is_finite)


@dataclass(frozen=True)
class Box:
    """반열린 상자 `[top, bottom) x [left, right)`. 단위는 입력 픽셀."""

    top: int
    left: int
    bottom: int
    right: int

    @property
    def height(self) -> int:
        """높이(픽셀)."""
        return self.bottom - self.top

    @property
    def width(self) -> int:
        """너비(픽셀)."""
        return self.right - self.left


@dataclass(frozen=True)
class Tile:
    """타일 하나의 기하.

    Attributes:
        read: 입력에서 읽을 상자. 패딩을 포함하고 영상 밖으로 나가지 않는다.
        crop: 읽은 상자 안에서 남길 부분. `read`의 왼쪽 위를 원점으로 한다.
        write: 결과가 놓일 상자. 입력 좌표이며 배율을 곱하면 출력 좌표가 된다.
    """

    read: Box
    crop: Box
    write: Box


def _round_up(value: int, multiple: int) -> int:
    return -(-value // multiple) * multiple


def plan_tiles(height: int, width: int, tile: int, pad: int, multiple: int = 1) -> list[Tile]:
    """영상을 겹치는 타일로 나누는 계획을 세운다.

    순수한 정수 기하 계산이며 어떤 프레임워크도 쓰지 않는다.

    Args:
        height, width: 입력 크기(픽셀), 1 이상이며 `multiple`의 배수.
        tile: 타일 한 변(픽셀). 0이면 영상 전체가 타일 하나다. `multiple`의 배수로 올린다.
        pad: 네 방향으로 덧붙이는 겹침(픽셀). 수용 영역(receptive field)보다 크면 결과가 통째 추론과 같다.
        multiple: 타일 경계를 맞출 배수(x2 모델은 2, x1 모델은 4).

    Returns:
        타일 목록. 쓸 상자는 겹치지 않고 영상을 빈틈없이 덮는다.

    Raises:
        ValueError: 크기가 1보다 작거나 배수가 아닐 때, `tile`이나 `pad`가 음수일 때, `multiple`이 1보다 작을 때.
    """
    if height < 1 or width < 1:
        raise ValueError(f"영상 크기는 1 이상이어야 합니다: {width}x{height}")
    if tile < 0 or pad < 0:
        raise ValueError(f"tile과 pad는 0 이상이어야 합니다: tile={tile}, pad={pad}")
    if multiple < 1 or height % multiple or width % multiple:
        raise ValueError(f"영상 크기 {width}x{height}은(는) {multiple}의 배수여야 합니다.")
    whole = Box(0, 0, height, width)
    return list(_plan_region(whole, whole, tile or max(height, width), pad, multiple))


def _plan_region(region: Box, image: Box, tile: int, pad: int, multiple: int) -> Iterator[Tile]:
    """`image` 안의 `region`만 덮는 타일을 차례로 낸다."""
    step = _round_up(max(tile, 1), multiple)
    margin = _round_up(pad, multiple)
    for top in range(region.top, region.bottom, step):
        for left in range(region.left, region.right, step):
            write = Box(top, left, min(top + step, region.bottom), min(left + step, region.right))
            read = Box(
                max(write.top - margin, image.top),
                max(write.left - margin, image.left),
                min(write.bottom + margin, image.bottom),
                min(write.right + margin, image.right),
            )
            crop = Box(write.top - read.top, write.left - read.left, write.bottom - read.top, write.right - read.left)
            yield Tile(read, crop, write)


def balanced_tile(height: int, width: int, max_tile: int, multiple: int = 1) -> int:
    """`max_tile`을 넘지 않으면서 자투리가 작아지는 타일 한 변을 고른다.

    Returns:
        타일 한 변(픽셀). 영상이 통째로 들어가면 0.
    """
    longest = max(height, width)
    if longest <= max_tile:
        return 0
    count = -(-longest // max(max_tile, 1))
    # 배수로 올려도 한도를 넘지 않게 먼저 내림한 값과 견준다.
    even = _round_up(-(-longest // count), multiple)
    return min(even, max(max_tile // multiple * multiple, multiple))


def _batches(tiles: Sequence[Tile], size: int) -> Iterator[list[Tile]]:
    """모양이 같은 이웃 타일을 `size`개까지 묶는다."""
    for _, group in groupby(tiles, key=lambda tile: (tile.read.height, tile.read.width)):
        same = list(group)
        for start in range(0, len(same), size):
            yield same[start : start + size]


def run_finite(engine: Engine, batch: Array, arrays: ArrayTools = NUMPY_ARRAYS) -> tuple[Array, bool]:
    """엔진을 돌리고, 결과에 NaN이나 Inf가 있으면 더 높은 정밀도로 다시 돌린다.

    Returns:
        유한한 결과와, 다시 돌렸는지.

    Raises:
        NonFiniteOutputError: fp32로도 유한한 결과를 얻지 못할 때.
    """
    output = engine(batch)
    if arrays.is_finite(output):
        return output, False
    safer = engine.fallback()
    if safer is not None:
        output = safer(batch)
        if arrays.is_finite(output):
            return output, True
    raise NonFiniteOutputError(
        "네트워크의 출력에 NaN이나 Inf가 있어 그림을 만들 수 없습니다.\n"
        "  단정밀도(fp32)로 다시 계산해도 마찬가지이니 가중치 파일이 손상되었거나 훈련이 발산한 것입니다.\n"
        "  해결: 다른 가중치를 쓰거나 파일을 다시 받으세요."
    )


@dataclass
class _Plan:
    """남은 일과, 메모리에 맞추어 줄어드는 타일과 배치 크기."""

    remaining: list[Tile]
    image: Box
    tile: int
    pad: int
    multiple: int
    batch: int

    def shrink(self) -> str:
        """배치를, 더 줄일 수 없으면 타일을 반으로 줄이고 무엇을 줄였는지 알린다.

        Raises:
            OutOfMemoryError: 타일이 이미 가장 작을 때.
        """
        if self.batch > 1:
            self.batch //= 2
            return f"배치를 {self.batch}(으)로"
        if self.tile <= max(MIN_TILE, self.multiple):
            raise OutOfMemoryError(
                f"장치 메모리가 모자랍니다. 타일을 {self.tile}픽셀까지 줄였지만 들어가지 않습니다.\n"
                "  다른 프로그램이 메모리를 쓰고 있거나 모델이 이 장치에 너무 큽니다.\n"
                "  해결: 다른 프로그램을 닫거나, 가벼운 모델(-n realesr-general-x4v3)이나 --device cpu를 쓰세요."
            )
        self.tile = max(_round_up(self.tile // 2, self.multiple), MIN_TILE)
        self.remaining = [
            part
            for tile in self.remaining
            for part in _plan_region(tile.write, self.image, self.tile, self.pad, self.multiple)
        ]
        return f"타일을 {self.tile}픽셀로"


def upscale_tiled(
    engine: Engine,
    read: Callable[[Box], Array],
    store: Store,
    *,
    height: int,
    width: int,
    tile: int = 0,
    pad: int = 10,
    batch: int = 1,
    progress: Progress | None = None,
    arrays: ArrayTools = NUMPY_ARRAYS,
) -> int:
    """영상을 타일마다 엔진에 넣고 결과를 `store`로 넘긴다.

    원본과 결과는 호출한 쪽의 메모리에 있고, 이 함수는 타일 몇 개만 들고 있다. 메모리가 모자라면 배치, 다음으로
    타일을 반으로 줄여 남은 부분을 계속한다. 비거나 낡은 타일을 남기는 일은 없다.

    Args:
        engine: `(N, 3, h, w)`를 `(N, 3, h*scale, w*scale)`로 키우는 엔진.
        read: 상자를 받아 `(3, h, w)` float32, 0..1을 돌려주는 함수.
        store: 잘라 낸 결과 `(3, h*scale, w*scale)`와 입력 좌표의 상자를 받아 보관하는 함수. 받은 배열을 고쳐 써도 된다.
        height, width: 영상 크기(픽셀), `engine.multiple`의 배수.
        tile: 타일 한 변. 0이면 통째.
        pad: 타일의 패딩(픽셀).
        batch: 한 번에 넣을 타일 수.
        progress: `(끝난 픽셀, 전체 픽셀)`을 받는 함수.
        arrays: 배열을 다루는 도구. 없으면 NumPy 배열이다.

    Returns:
        끝까지 간 타일 한 변. 메모리에 맞추어 줄었으면 줄어든 값이고, 다음 영상은 이것으로 시작하면 된다.

    Raises:
        OutOfMemoryError: 타일을 가장 작게 해도 메모리가 모자랄 때.
        NonFiniteOutputError: fp32로도 유한한 결과를 얻지 못할 때.
    """
    tiles = plan_tiles(height, width, tile, pad, engine.multiple)
    plan = _Plan(tiles, Box(0, 0, height, width), tile or max(height, width), pad, engine.multiple, max(batch, 1))
    total, done = height * width, 0
    told_memory = told_finite = False
    while plan.remaining:
        group = next(_batches(plan.remaining, plan.batch))
        output, reran = None, False
        # 예외가 살아 있는 동안은 실패한 계산의 텐서도 살아 있다. 여기를 나간 뒤에 메모리를 비운다.
        with suppress(OutOfMemoryError):
            output, reran = run_finite(engine, arrays.stack([read(tile.read) for tile in group]), arrays)
        if output is None:
            engine.release()
            change = plan.shrink()
            if not told_memory:
                logger.warning("장치 메모리가 모자라 %s 줄여 계속합니다.", change)
            told_memory = True
            continue
        if reran and not told_finite:
            logger.warning("반정밀도 결과에 NaN이 있어 그 타일을 fp32로 다시 계산했습니다.")
            told_finite = True
        for result, piece in zip(output, group, strict=True):
            store(_crop(result, piece.crop, engine.scale), piece.write)
            done += piece.write.height * piece.write.width
        del plan.remaining[: len(group)]
        if progress is not None:
            progress(done, total)
    return plan.tile if told_memory else tile


def _crop(result: Array, crop: Box, scale: int) -> Array:
    return result[:, crop.top * scale : crop.bottom * scale, crop.left * scale : crop.right * scale]
