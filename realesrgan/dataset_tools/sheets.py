"""이미지 여럿을 글과 함께 한 장에 늘어놓은 견줌표(contact sheet)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from realesrgan.util.optional import import_cv2

Picture = NDArray[np.uint8]
# 시스템에 흔히 있는 한글 글꼴들. 하나도 없으면 Pillow에 든 라틴 글꼴을 쓴다.
HANGUL_FONTS = (
    "NotoSansCJK-Regular.ttc",
    "NotoSansKR-Regular.otf",
    "NanumGothic.ttf",
    "malgun.ttf",
    "AppleSDGothicNeo.ttc",
)
FONT_SIZE = 13
LINE_HEIGHT = 16
MARGIN = 6
_WHITE, _BLACK = (255, 255, 255), (20, 20, 20)


@dataclass(frozen=True)
class Cell:
    """칸 하나.

    Attributes:
        image: `(H, W, 3)` BGR uint8. 칸보다 작으면 최근접으로 키우고 크면 줄인다.
        lines: 이미지 아래에 적을 글. 첫 줄이 제목이다.
    """

    image: Picture
    lines: tuple[str, ...]


@dataclass(frozen=True)
class Region:
    """이미지의 정사각형 부분. 단위는 정답 이미지의 픽셀이다."""

    top: int
    left: int
    size: int

    def cut(self, image: Picture, height: int) -> Picture:
        """높이가 `height`인 정답 이미지의 이 부분에 해당하는 곳을 크기가 다른 이미지에서 잘라 낸다."""
        factor = image.shape[0] / height
        side = max(round(self.size * factor), 1)
        top = min(round(self.top * factor), max(image.shape[0] - side, 0))
        left = min(round(self.left * factor), max(image.shape[1] - side, 0))
        return image[top : top + side, left : left + side]


def central_region(height: int, width: int, size: int) -> Region:
    """가운데의 정사각형."""
    size = min(size, height, width)
    return Region((height - size) // 2, (width - size) // 2, size)


def busiest_region(image: Picture, size: int) -> Region:
    """무늬가 가장 많은 정사각형. 평평한 곳에서는 결과의 차이가 보이지 않는다.

    Args:
        image: `(H, W, 3)` BGR uint8.
        size: 한 변(픽셀). 이미지보다 크면 줄인다.
    """
    cv2 = import_cv2()
    size = min(size, *image.shape[:2])
    edges = np.abs(cv2.Laplacian(cv2.cvtColor(image, cv2.COLOR_BGR2GRAY), cv2.CV_32F))
    total = cv2.integral(edges)
    sums = total[size:, size:] - total[:-size, size:] - total[size:, :-size] + total[:-size, :-size]
    top, left = np.unravel_index(int(np.argmax(sums)), sums.shape)
    return Region(int(top), int(left), size)


def overview(image: Picture, region: Region) -> Picture:
    """이미지 전체에 `region`을 빨간 테두리로 표시한다."""
    cv2 = import_cv2()
    marked = image.copy()
    thickness = max(max(image.shape[:2]) // 150, 1)
    corner = (region.left + region.size - 1, region.top + region.size - 1)
    cv2.rectangle(marked, (region.left, region.top), corner, (0, 0, 255), thickness)
    return marked


def fit(image: Picture, side: int) -> Picture:
    """정사각형 칸에 맞춘다. 키울 때는 픽셀이 그대로 보이도록 최근접을, 줄일 때는 평균을 쓴다."""
    cv2 = import_cv2()
    factor = side / max(image.shape[:2])
    size = (max(round(image.shape[1] * factor), 1), max(round(image.shape[0] * factor), 1))
    resized = cv2.resize(image, size, interpolation=cv2.INTER_NEAREST if factor >= 1 else cv2.INTER_AREA)
    canvas = np.full((side, side, 3), 230, np.uint8)
    top, left = (side - resized.shape[0]) // 2, (side - resized.shape[1]) // 2
    canvas[top : top + resized.shape[0], left : left + resized.shape[1]] = resized
    return canvas


def load_font() -> tuple[Any, bool]:
    """글꼴과, 그것이 한글을 그리는지."""
    for name in HANGUL_FONTS:
        try:
            return ImageFont.truetype(name, FONT_SIZE), True
        except OSError:
            continue
    return ImageFont.load_default(FONT_SIZE), False


def draw_sheet(rows: Sequence[Sequence[Cell]], side: int) -> Picture:
    """칸들을 늘어놓아 한 장을 그린다.

    Args:
        rows: 줄마다의 칸들. 줄의 길이는 달라도 된다.
        side: 칸의 한 변(픽셀).

    Returns:
        `(H, W, 3)` BGR uint8.
    """
    font, hangul = load_font()
    heights = [side + LINE_HEIGHT * max(len(cell.lines) for cell in row) + 2 * MARGIN for row in rows]
    width = max(len(row) for row in rows) * (side + MARGIN) + MARGIN
    sheet = Image.new("RGB", (width, sum(heights) + MARGIN), _WHITE)
    brush = ImageDraw.Draw(sheet)
    top = MARGIN
    for row, height in zip(rows, heights, strict=True):
        for column, cell in enumerate(row):
            left = MARGIN + column * (side + MARGIN)
            sheet.paste(Image.fromarray(np.ascontiguousarray(fit(cell.image, side)[..., ::-1])), (left, top))
            for number, line in enumerate(cell.lines):
                # 글꼴에 없는 글자는 네모로 나오므로 물음표로 바꾼다.
                text = line if hangul else line.encode("ascii", "replace").decode()
                text = _shortened(brush, text, font, side)
                brush.text((left, top + side + 2 + number * LINE_HEIGHT), text, fill=_BLACK, font=font)
        top += height
    return np.ascontiguousarray(np.asarray(sheet)[..., ::-1])


def _shortened(brush: ImageDraw.ImageDraw, text: str, font: Any, width: int) -> str:
    """칸보다 긴 글의 끝을 줄인다."""
    if brush.textlength(text, font=font) <= width:
        return text
    while text and brush.textlength(text + "..", font=font) > width:
        text = text[:-1]
    return text + ".."


def arrange(cells: Sequence[Cell], columns: int) -> list[list[Cell]]:
    """칸들을 `columns`개씩 줄로 나눈다."""
    return [list(cells[start : start + columns]) for start in range(0, len(cells), columns)]
