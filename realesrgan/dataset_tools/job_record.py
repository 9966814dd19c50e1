"""결과 폴더에 남기는 작업 기록. 다시 실행했을 때 이어 해도 되는지 가린다."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from realesrgan.dataset_tools.pictures import write_bytes
from realesrgan.errors import UsageError
from realesrgan.util.files import abandoned, plain_reason, remove_abandoned

RECORD_NAME = ".realesrgan-job.json"


def open_job(folder: Path, settings: Mapping[str, Any]) -> None:
    """결과 폴더를 이 설정의 것으로 삼는다. 같은 설정으로 하던 폴더면 이어 한다.

    데이터셋을 읽는 쪽은 숨은 파일을 건너뛰므로 기록은 훈련에 섞이지 않는다.

    Args:
        folder: 결과 폴더. 없으면 만든다.
        settings: 결과의 내용을 정하는 설정. JSON에 담기는 값들.

    Raises:
        UsageError: 폴더에 다른 설정의 결과나 다른 파일이 있을 때.
        ImageWriteError: 쓸 수 없을 때.
    """
    record = folder / RECORD_NAME
    check_job(folder, settings)
    # 하위 폴더에도 쓰므로 거기까지 본다.
    for below, _, _ in os.walk(folder):
        remove_abandoned(Path(below))
    if not record.is_file():
        write_bytes(record, json.dumps(dict(settings), ensure_ascii=False, indent=2).encode())


def check_job(folder: Path, settings: Mapping[str, Any]) -> None:
    """결과 폴더를 이 설정으로 써도 되는지 본다. 아무것도 쓰지 않는다.

    Raises:
        UsageError: 쓰면 안 될 때.
    """
    remedy = "  해결: --output에 다른 폴더를 주거나 그 폴더를 지우세요."
    record = folder / RECORD_NAME
    if folder.exists() and not folder.is_dir():
        raise UsageError(f"결과 폴더의 자리에 파일이 있습니다: {folder}\n  폴더를 만들 수 없습니다.\n{remedy}")
    if record.is_file():
        before = _read(record)
        if before != json.loads(json.dumps(dict(settings))):
            raise UsageError(
                f"결과 폴더에 다른 설정으로 만든 것이 있습니다: {folder}\n  그때의 설정: {before}\n  지금의 설정: "
                f"{dict(settings)}\n{remedy}"
            )
    # 기록을 쓰다가 죽은 실행의 임시 파일만 있으면 빈 폴더와 같다.
    elif folder.is_dir() and set(folder.iterdir()) - set(abandoned(folder)):
        raise UsageError(
            f"결과 폴더가 비어 있지 않습니다: {folder}\n  이 명령이 만든 폴더가 아니라 섞이면 가려낼 수 없습니다.\n"
            f"{remedy}"
        )


def _read(record: Path) -> Any:
    try:
        return json.loads(record.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UsageError(
            f"작업 기록을 읽을 수 없습니다: {record}\n  {plain_reason(error)}\n"
            "  해결: 폴더를 지우거나 다른 폴더를 쓰세요."
        ) from error
