"""이미지를 타일(tile)로 나누고, 메모리에 맞추어 줄이며 차례로 계산한다. 어떤 딥러닝 프레임워크도 쓰지 않는다."""

from __future__ import annotations

import itertools
import logging
import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from realesrgan.errors import OutOfMemoryError

logger = logging.getLogger(__name__)

# 메모리가 모자라 타일을 줄일 때의 바닥. 이보다 작으면 패딩이 일의 대부분이 된다.
MIN_TILE = 16
# 예산이 아무리 작아도 `auto`는 이보다 작게 고르지 않는다.
SMALLEST_AUTO_TILE = 64

Progress = Callable[[int, int], None]
# 타일 하나의 결과. 무엇인지는 부른 쪽이 정한다(장치에 놓인 텐서).
Result = Any
Run = Callable[[list["Tile"]], Sequence[Result]]
Store = Callable[[Result, "Box"], None]


@dataclass(frozen=True)
class Box:
    """반열린 상자 `[top, bottom) x [left, right)`. 단위는 입력 픽셀."""

    top: int
    left: int
    bottom: int
    right: int

    @property
    def shape(self) -> tuple[int, int]:
        """`(높이, 너비)`, 픽셀."""
        return self.bottom - self.top, self.right - self.left

    def slices(self, scale: int = 1) -> tuple[slice, slice]:
        """배열에서 이 상자를 가리키는 `(세로, 가로)` 조각. 좌표에 `scale`을 곱한다."""
        return (
            slice(self.top * scale, self.bottom * scale),
            slice(self.left * scale, self.right * scale),
        )


@dataclass(frozen=True)
class Tile:
    """타일 하나의 기하.

    Attributes:
        read: 입력에서 읽을 상자. 패딩을 포함하고 이미지 밖으로 나가지 않는다.
        crop: 읽은 상자 안에서 남길 부분. `read`의 왼쪽 위를 원점으로 한다.
        write: 결과가 놓일 상자. 입력 좌표이며 배율을 곱하면 출력 좌표가 된다.
    """

    read: Box
    crop: Box
    write: Box


def plan_tiles(height: int, width: int, tile: int, pad: int, multiple: int = 1) -> list[Tile]:
    """이미지을 겹치는 타일로 나누는 계획을 세운다.

    순수한 정수 기하 계산이며 어떤 프레임워크도 쓰지 않는다.

    Args:
        height, width: 입력 크기(픽셀), 1 이상이며 `multiple`의 배수.
        tile: 타일 한 변(픽셀). 0이면 이미지 전체가 타일 하나다. `multiple`의 배수로 올린다.
        pad: 네 방향으로 덧붙이는 겹침(픽셀). 수용 영역(receptive field)보다 크면 결과가 통째 추론과 같다.
        multiple: 타일 경계를 맞출 배수(x2 모델은 2, x1 모델은 4).

    Returns:
        타일 목록. 쓸 상자는 겹치지 않고 이미지을 빈틈없이 덮는다.

    Raises:
        ValueError: 크기가 1보다 작거나 배수가 아닐 때, `tile`이나 `pad`가 음수일 때, `multiple`이 1보다 작을 때.
    """
    if height < 1 or width < 1:
        raise ValueError(f"이미지 크기는 1 이상이어야 합니다: {width}x{height}")
    if tile < 0 or pad < 0:
        raise ValueError(f"tile과 pad는 0 이상이어야 합니다: tile={tile}, pad={pad}")
    if multiple < 1 or height % multiple or width % multiple:
        raise ValueError(f"이미지 크기 {width}x{height}: 두 변이 {multiple}의 배수여야 합니다.")
    whole = Box(0, 0, height, width)
    return list(_plan_region(whole, whole, tile, pad, multiple)) if tile else [Tile(whole, whole, whole)]


def _plan_region(region: Box, image: Box, tile: int, pad: int, multiple: int) -> Iterator[Tile]:
    """`image` 안의 `region`만 덮는 타일을 차례로 낸다."""
    step = -(-max(tile, 1) // multiple) * multiple
    margin = -(-pad // multiple) * multiple
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


def total_margin(steps: Sequence[Any], scale: int) -> int:
    """차례로 거치는 단계들이 함께 보는 원본의 반지름(픽셀).

    앞 단계가 고친 곳을 다음 단계가 보므로 반지름은 더해진다. 결과의 픽셀로 말하는 단계(`reach`)는 배율로 나눈다.
    """
    return sum(step.margin + -(-getattr(step, "reach", 0) // scale) for step in steps)


def balanced_tile(height: int, width: int, max_tile: int, multiple: int = 1) -> int:
    """`max_tile`을 넘지 않으면서 자투리가 작아지는 타일 한 변을 고른다.

    Returns:
        타일 한 변(픽셀). 이미지이 통째로 들어가면 0.
    """
    longest = max(height, width)
    if longest <= max_tile:
        return 0
    count = -(-longest // max(max_tile, 1))
    # 배수로 올려도 한도를 넘지 않게 먼저 내림한 값과 견준다.
    share = -(-longest // count)
    even = -(-share // multiple) * multiple
    return min(even, max(max_tile // multiple * multiple, multiple))


def auto_tile(shape: tuple[int, int], budget: int, per_pixel: int, *, pad: int, multiple: int = 1) -> int:
    """예산에 들어가는 가장 큰 타일을 고른다.

    Args:
        shape: `(높이, 너비)`, 픽셀.
        budget: 활성값에 쓸 메모리(바이트).
        per_pixel: 입력 픽셀 하나에 드는 바이트.
        pad: 타일의 패딩(픽셀). 한 변에 두 번 더해진다.
        multiple: 타일을 맞출 배수.

    Returns:
        타일 한 변(픽셀). 통째로 들어가면 0.
    """
    height, width = shape
    pixels = budget // max(per_pixel, 1)
    if height * width <= pixels:
        return 0
    side = max(math.isqrt(max(pixels, 1)) - 2 * pad, SMALLEST_AUTO_TILE)
    return balanced_tile(height, width, side, multiple)


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
            return f"배치를 {self.batch}장으로"
        if self.tile <= max(MIN_TILE, self.multiple):
            raise OutOfMemoryError(
                f"장치 메모리가 모자랍니다. 타일을 {self.tile}픽셀까지 줄였지만 들어가지 않습니다.\n"
                "  다른 프로그램이 메모리를 쓰고 있거나 모델이 이 장치에 너무 큽니다.\n"
                "  해결: 다른 프로그램을 닫거나, 가벼운 모델(-n realesr-general-x4v3)이나 --device cpu를 쓰세요."
            )
        self.tile = max(-(-(self.tile // 2) // self.multiple) * self.multiple, MIN_TILE)
        self.remaining = [
            part
            for tile in self.remaining
            for part in _plan_region(tile.write, self.image, self.tile, self.pad, self.multiple)
        ]
        return f"타일을 {self.tile}픽셀로"


def run_tiles(
    run: Run,
    store: Store,
    *,
    height: int,
    width: int,
    tile: int = 0,
    pad: int = 10,
    multiple: int = 1,
    batch: int = 1,
    release: Callable[[], None] | None = None,
    progress: Progress | None = None,
) -> int:
    """이미지를 타일마다 `run`에 넣고 결과를 `store`로 넘긴다.

    원본과 결과는 호출한 쪽의 메모리에 있고, 이 함수는 타일 몇 개만 들고 있다. 메모리가 모자라면 배치, 다음으로
    타일을 반으로 줄여 남은 부분을 계속한다. 비거나 낡은 타일을 남기는 일은 없다.

    Args:
        run: 모양이 같은 타일들을 받아 그 수만큼의 결과를 돌려주는 함수. 메모리가 모자라면 `OutOfMemoryError`를 낸다.
        store: 타일 하나의 결과와, 입력 좌표의 쓸 상자를 받아 보관하는 함수.
        height, width: 이미지 크기(픽셀), `multiple`의 배수.
        tile: 타일 한 변. 0이면 통째.
        pad: 타일의 패딩(픽셀).
        multiple: 타일 경계를 맞출 배수.
        batch: 한 번에 넣을 타일 수.
        release: 메모리가 모자란 뒤 장치의 여분을 비우는 함수.
        progress: `(끝난 픽셀, 전체 픽셀)`을 받는 함수.

    Returns:
        끝까지 간 타일 한 변. 메모리에 맞추어 줄었으면 줄어든 값이고, 다음 이미지는 이것으로 시작하면 된다.

    Raises:
        OutOfMemoryError: 타일을 가장 작게 해도 메모리가 모자랄 때.
    """
    tiles = plan_tiles(height, width, tile, pad, multiple)
    plan = _Plan(tiles, Box(0, 0, height, width), tile or max(height, width), pad, multiple, max(batch, 1))
    total, done = height * width, 0
    shrunk = False
    while plan.remaining:
        # 모양이 같은 이웃만 한 배치로 묶을 수 있다.
        _, alike = next(itertools.groupby(plan.remaining[: plan.batch], key=lambda tile: tile.read.shape))
        group = list(alike)
        results: Sequence[Result] | None = None
        # 예외가 살아 있는 동안은 실패한 계산의 텐서도 살아 있다. 여기를 나간 뒤에 메모리를 비운다.
        with suppress(OutOfMemoryError):
            results = run(group)
        if results is None:
            if release is not None:
                release()
            change = plan.shrink()
            if not shrunk:
                logger.warning("장치 메모리가 모자라 %s 줄여 계속합니다.", change)
            shrunk = True
            continue
        for result, piece in zip(results, group, strict=True):
            store(result, piece.write)
            done += math.prod(piece.write.shape)
        del results, plan.remaining[: len(group)]
        if progress is not None:
            progress(done, total)
    return plan.tile if shrunk else tile
