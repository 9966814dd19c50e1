"""진행 상황. 터미널에서는 막대로, 파이프에서는 한 줄씩 보인다."""

from __future__ import annotations

import sys
from collections.abc import Callable
from types import TracebackType

from tqdm import tqdm

from realesrgan.cli.console import say
from realesrgan.cli.report import FileResult

STATUS_WORDS = {"done": "완료", "failed": "실패", "skipped": "건너뜀", "interrupted": "중단"}


class FileProgress:
    """파일과 타일을 함께 나타내는 막대 하나. 남은 시간은 네트워크가 볼 픽셀 수로 어림한다.

    Args:
        files: 파일 수.
        pixels: 네트워크가 볼 픽셀의 합.
        shown: 막대를 그릴지. 없으면 표준 오류가 터미널인지로 정한다.
    """

    def __init__(self, files: int, pixels: int, shown: bool | None = None) -> None:
        self._files = files
        self._index = 0
        self._before = 0
        self._share = 0
        shown = sys.stderr.isatty() if shown is None else shown
        self._bar = tqdm(
            total=max(pixels, 1), unit="px", unit_scale=True, disable=not shown, file=sys.stderr, dynamic_ncols=True
        )

    def start(self, name: str, pixels: int) -> Callable[[int, int], None]:
        """파일 하나를 시작하고, `(끝난 양, 전체 양)`을 받는 함수를 돌려준다."""
        self._index += 1
        self._share = pixels
        self._bar.set_description(f"[{self._index}/{self._files}] {name}")
        return self._update

    def _update(self, done: float, total: float) -> None:
        self._move_to(self._before + int(self._share * done / max(total, 1)))

    def _move_to(self, position: int) -> None:
        self._bar.update(max(position - self._bar.n, 0))

    def finish(self, result: FileResult) -> None:
        """파일 하나의 결과를 알린다."""
        self._before += self._share
        self._move_to(self._before)
        self.line(describe(result, self._index, self._files))

    def line(self, text: str) -> None:
        """막대를 깨지 않고 한 줄을 쓴다."""
        if self._bar.disable:
            say(text)
        else:
            tqdm.write(text, file=sys.stdout)

    def __enter__(self) -> FileProgress:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.close()


def describe(result: FileResult, index: int, total: int) -> str:
    """파일 하나의 결과를 사람이 읽는 글로 적는다."""
    head = f"[{index}/{total}] {STATUS_WORDS[result.status]}: {result.input}"
    if result.status == "done" and result.input_size and result.output_size:
        before, after = ("x".join(map(str, size)) for size in (result.input_size, result.output_size))
        frames = f", {result.frames}프레임" if result.frames > 1 else ""
        head += f" -> {result.output} ({before} -> {after}{frames}, {result.seconds:.1f}초)"
    lines = [head]
    if result.reason:
        lines += [f"    {line}" for line in result.reason.splitlines()]
    lines += [f"    알림: {note}" for note in result.notes]
    return "\n".join(lines)


class DownloadProgress:
    """내려받기 막대. 터미널이 아니면 시작할 때 한 줄만 쓴다."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._bar: tqdm | None = None

    def __call__(self, received: int, total: int) -> None:
        """`(받은 바이트, 전체 바이트)`로 막대를 옮긴다."""
        if self._bar is None:
            shown = sys.stderr.isatty()
            if not shown:
                say(f"내려받는 중: {self._name}")
            self._bar = tqdm(total=total or None, desc=self._name, unit="B", unit_scale=True, disable=not shown)
        self._bar.update(received - self._bar.n)
        if total and received >= total:
            self._bar.close()
