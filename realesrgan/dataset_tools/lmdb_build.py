"""폴더의 이미지를 lmdb에 담는 일의 차례."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from realesrgan.dataset_tools.lmdb_store import (
    Encoded,
    Entry,
    LmdbWriter,
    check_target,
    fingerprint,
    make_entries,
    open_writers,
)
from realesrgan.dataset_tools.outcome import Outcome
from realesrgan.dataset_tools.pictures import find_pictures
from realesrgan.dataset_tools.workers import Failure
from realesrgan.errors import DatasetError, UsageError


def plan(
    inputs: Sequence[Path], outputs: Sequence[Path], *, recursive: bool
) -> tuple[list[list[Entry]], list[Outcome]]:
    """담을 것을 정한다. 폴더가 둘이면 같은 열쇠의 짝만 남긴다.

    Args:
        inputs: 이미지 폴더 하나, 또는 GT와 LQ 폴더.
        outputs: 폴더마다의 lmdb.
        recursive: 하위 폴더까지 볼지.

    Returns:
        폴더마다의 항목들과, 짝이 없어 빠진 이미지마다의 실패.

    Raises:
        UsageError: 개수가 맞지 않거나, 이미지나 짝이 없거나, lmdb의 이름이 잘못됐거나 이미 있을 때.
    """
    if len(inputs) not in (1, 2) or len(inputs) != len(outputs) or len(set(outputs)) != len(outputs):
        raise UsageError(
            f"--input {len(inputs)}개와 --output {len(outputs)}개가 맞지 않습니다.\n"
            "  폴더는 하나(GT)나 둘(GT와 LQ)이고, 저마다 다른 lmdb가 하나씩 있어야 합니다.\n  해결: 개수를 맞추세요."
        )
    for target in outputs:
        check_target(target)
    sets = [make_entries(find_pictures(folder, recursive=recursive), folder) for folder in inputs]
    common = set.intersection(*({entry.key for entry in entries} for entries in sets))
    if not common:
        raise UsageError(
            f"두 폴더에 같은 이름의 이미지가 없습니다: {inputs[0]}, {inputs[1]}\n"
            "  이름(확장자 빼고)이 같은 것이 한 짝입니다.\n"
            "  해결: LQ의 이름에서 배율 표시를 지우는 등 이름을 맞추세요."
        )
    kept = [[entry for entry in entries if entry.key in common] for entries in sets]
    left = [entry for entries in sets for entry in entries if entry.key not in common]
    return kept, [Outcome(str(entry.path), "failed", "짝이 되는 같은 이름의 이미지가 없습니다.") for entry in left]


def build(
    sets: Sequence[Sequence[Entry]],
    targets: Sequence[Path],
    level: int,
    encode: Callable[[Sequence[Entry]], Encoded],
) -> list[Outcome]:
    """항목들을 담고, 다 되면 lmdb들을 제자리에 놓는다. 읽지 못한 이미지는 (짝과 함께) 뺀다.

    Args:
        sets: `plan`이 정한 폴더마다의 항목들.
        targets: 폴더마다의 lmdb.
        level: PNG 압축 수준.
        encode: 항목들을 PNG로 바꾸어 차례로 내는 함수.

    Returns:
        이미지마다의 결과.

    Raises:
        UsageError, MissingPackageError, DatasetError: lmdb를 만들 수 없을 때. 담을 이미지가 하나도 남지 않을 때도
            DatasetError다.
    """
    outcomes: list[Outcome] = []
    bad: set[str] = set()
    with open_writers(targets, [fingerprint(entries, level) for entries in sets]) as writers:
        for entries, writer in zip(sets, writers, strict=True):
            outcomes += _fill(writer, entries, encode, bad)
        if bad >= {entry.key for entry in sets[0]}:
            raise DatasetError(
                f"담을 수 있는 이미지가 하나도 없습니다: {targets[0]}\n  {outcomes[-1].detail}\n"
                "  해결: --input을 확인하세요."
            )
        for entries, writer in zip(sets, writers, strict=True):
            writer.remove(bad)
            writer.finish([entry.key for entry in entries if entry.key not in bad], level)
    return outcomes


def _fill(
    writer: LmdbWriter, entries: Sequence[Entry], encode: Callable[[Sequence[Entry]], Encoded], bad: set[str]
) -> list[Outcome]:
    outcomes = [Outcome(str(e.path), "skipped", "이미 담았습니다.") for e in entries if e.key in writer]
    for entry, content in encode([entry for entry in entries if entry.key not in writer]):
        if isinstance(content, Failure):
            bad.add(entry.key)
            outcomes.append(Outcome(str(entry.path), "failed", content.reason))
        else:
            writer.put(entry.key, content)
            outcomes.append(Outcome(str(entry.path), "done"))
    return outcomes
