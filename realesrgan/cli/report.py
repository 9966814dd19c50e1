"""파일마다의 결과와 JSON 보고서."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Protocol

from realesrgan.cli.console import EXIT_DONE, EXIT_INTERRUPTED, EXIT_SOME_FAILED
from realesrgan.errors import ReportError, UsageError
from realesrgan.media.formats import is_image_name
from realesrgan.util.files import make_writable_folder, os_reason, write_atomically
from realesrgan.version import __version__


@dataclass(frozen=True)
class FileResult:
    """그림 하나의 결과.

    Attributes:
        input, output: 경로.
        status: `done`, `failed`, `skipped`, `interrupted` 가운데 하나.
        seconds: 걸린 시간(초).
        input_size, output_size: `(너비, 높이)`, 픽셀. 모르면 None.
        frames: 프레임 수.
        model: 모델 이름이나 가중치의 경로.
        reason: 실패나 건너뜀의 이유.
        notes: 결과에 담지 못해 포기한 것들.
    """

    input: str
    output: str
    status: str
    seconds: float = 0.0
    input_size: tuple[int, int] | None = None
    output_size: tuple[int, int] | None = None
    frames: int = 1
    model: str | None = None
    reason: str | None = None
    notes: tuple[str, ...] = ()

    def to_json(self) -> str:
        """한 줄의 JSON으로 적는다. UTF-8이 아닌 이름도 담긴다."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> FileResult:
        """`to_json`이 적은 것을 되살린다."""
        return cls(**json.loads(text))


class Result(Protocol):
    """끝난 상태를 말하는 결과. 데이터클래스다."""

    @property
    def status(self) -> str:
        """`done`, `failed`, `skipped`, `refused`, `interrupted` 가운데 하나."""
        ...


def exit_code(results: Sequence[FileResult]) -> int:
    """결과 전체의 종료 코드."""
    statuses = {result.status for result in results}
    if "interrupted" in statuses:
        return EXIT_INTERRUPTED
    return EXIT_SOME_FAILED if "failed" in statuses else EXIT_DONE


def count(results: Sequence[Result], status: str) -> int:
    """그 상태인 파일의 수."""
    return sum(result.status == status for result in results)


def summary(results: Sequence[Result], seconds: float) -> str:
    """한 줄 요약."""
    words = {"done": "완료", "failed": "실패", "refused": "거절", "skipped": "건너뜀", "interrupted": "중단"}
    parts = [f"{word} {count(results, status)}" for status, word in words.items() if count(results, status)]
    return f"{', '.join(parts) or '한 일 없음'} ({seconds:.1f}초)"


def write_report(path: Path, results: Sequence[Result], seconds: float, code: int) -> None:
    """JSON 보고서를 쓴다. 임시 파일에 쓰고 이름을 바꾸므로 반쪽 파일이 남지 않는다.

    Args:
        path: 보고서의 경로.
        results: 결과들.
        seconds: 모두 걸린 시간(초).
        code: 종료 코드.

    Raises:
        ReportError: 쓸 수 없을 때.
    """
    statuses = sorted({"done", "failed", "skipped", "interrupted"} | {result.status for result in results})
    content: dict[str, Any] = {
        "version": __version__,
        "seconds": round(seconds, 3),
        "exit_code": code,
        "counts": {status: count(results, status) for status in statuses},
        "files": [asdict(result) for result in results],  # type: ignore[call-overload]
    }
    # UTF-8이 아닌 파일 이름은 JSON의 \\u 표기로 남긴다.
    text = json.dumps(content, ensure_ascii=False, indent=2) + "\n"
    try:
        write_atomically(path, text.encode("utf-8", errors="backslashreplace"))
    except OSError as error:
        reason, remedy = os_reason(error)
        raise ReportError(f"보고서를 쓸 수 없습니다: {path}\n  {reason}\n  해결: {remedy}") from error


def check_report_path(path: Path, pictures: Iterable[Path]) -> None:
    """보고서를 쓸 수 있는지 일을 시작하기 전에 본다.

    Args:
        path: 보고서의 경로. 폴더는 만든다.
        pictures: 입력과 결과 그림들. 보고서가 이들을 덮어쓰면 안 된다.

    Raises:
        UsageError: 폴더이거나, 쓸 수 없거나, 그림과 같은 파일일 때.
    """
    real = os.path.realpath(path)
    if any(os.path.realpath(picture) == real for picture in pictures) or is_image_name(path):
        raise UsageError(f"보고서가 그림 파일을 덮어씁니다: {path}\n  해결: --report에 .json으로 끝나는 이름을 주세요.")
    if path.is_dir():
        raise UsageError(f"보고서의 자리에 폴더가 있습니다: {path}\n  해결: --report에 파일 이름까지 주세요.")
    try:
        make_writable_folder(path.parent)
    except OSError as error:
        raise UsageError(
            f"보고서를 쓸 수 없습니다: {path}\n  {os_reason(error)[0]}\n  해결: --report에 다른 경로를 주세요."
        ) from error
