"""하다 만 평가를 이어 가기 위한 일지. 그림 한 장을 잴 때마다 한 줄을 적는다."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from realesrgan.errors import EvaluationError
from realesrgan.evaluation.results import Values

JOURNAL_NAME = ".realesrgan-evaluation.jsonl"


class Journal:
    """(모델, 그림)마다의 값을 적어 두는 파일.

    Args:
        path: 파일. 폴더는 있어야 한다.
        settings: 값을 정하는 설정. 다르면 있던 것을 버린다.

    Raises:
        EvaluationError: 쓸 수 없을 때.
    """

    def __init__(self, path: Path, settings: Mapping[str, Any]) -> None:
        self._path = path
        header = json.dumps(dict(settings), sort_keys=True)
        self._found = self._read(header)
        if not self._found:
            self._write("w", header)

    def _read(self, header: str) -> dict[tuple[str, str, str], dict[str, float | None]]:
        if not self._path.is_file():
            return {}
        lines = self._path.read_text(encoding="utf-8", errors="replace").splitlines()
        if not lines or lines[0] != header:
            return {}
        found = {}
        for line in lines[1:]:
            try:
                model, picture, stamp, values = json.loads(line)
            except ValueError:
                # 적다가 끊긴 마지막 줄이다. 그 그림은 다시 잰다.
                continue
            found[model, picture, stamp] = values
        return found

    def _write(self, mode: str, line: str) -> None:
        try:
            with self._path.open(mode, encoding="utf-8") as file:
                file.write(line + "\n")
        except OSError as error:
            raise EvaluationError(
                f"평가 일지를 쓸 수 없습니다: {self._path}\n  {error.strerror or error}\n  해결: --output을 바꾸세요."
            ) from error

    def get(self, model: str, picture: str, stamp: str) -> Values | None:
        """적어 둔 값. `stamp`(파일의 크기와 시각)가 다르면 없는 것으로 본다."""
        return self._found.get((model, picture, stamp))

    def add(self, model: str, picture: str, stamp: str, values: Values) -> None:
        """값을 적는다.

        Raises:
            EvaluationError: 쓸 수 없을 때.
        """
        self._write("a", json.dumps([model, picture, stamp, dict(values)]))

    def remove(self) -> None:
        """다 되었으니 지운다."""
        self._path.unlink(missing_ok=True)
