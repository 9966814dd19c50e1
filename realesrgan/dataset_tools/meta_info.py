"""데이터셋의 목록 파일(meta info)을 만든다. 한 줄에 이미지 하나, 또는 짝 하나."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from realesrgan.dataset_tools.outcome import Outcome
from realesrgan.dataset_tools.pictures import find_pictures, read_array, strip_scale
from realesrgan.dataset_tools.workers import Failure
from realesrgan.errors import DatasetError, UsageError
from realesrgan.media.image import probe_image


@dataclass(frozen=True)
class Listed:
    """목록에 적을 이미지.

    Attributes:
        path: 이미지의 경로.
        name: 목록에 적을 이름. 뿌리 폴더(root)에서의 상대 경로이며 구분자는 언제나 `/`다.
    """

    path: Path
    name: str


def pair_roots(inputs: Sequence[Path], roots: Sequence[Path] | None) -> list[tuple[Path, Path]]:
    """입력 폴더와 뿌리 폴더를 짝짓는다. 뿌리를 주지 않으면 입력의 바로 위 폴더다.

    Raises:
        UsageError: 개수가 다르거나 입력이 뿌리 아래에 있지 않을 때.
    """
    chosen = [_absolute(folder).parent for folder in inputs] if not roots else list(roots)
    if len(chosen) != len(inputs):
        raise UsageError(
            f"--input은 {len(inputs)}개인데 --root는 {len(chosen)}개입니다.\n"
            "  폴더마다 뿌리 폴더가 하나씩 있어야 합니다.\n"
            "  해결: 개수를 맞추거나 --root를 빼세요(입력의 위 폴더를 씁니다)."
        )
    pairs = [(_absolute(folder), _absolute(root)) for folder, root in zip(inputs, chosen, strict=True)]
    for folder, root in pairs:
        if not folder.is_relative_to(root):
            raise UsageError(
                f"입력 폴더가 뿌리 폴더 아래에 있지 않습니다: {folder}, {root}\n"
                "  목록에는 뿌리에서의 상대 경로를 적습니다.\n  해결: --root에 입력의 위 폴더를 주세요."
            )
    return pairs


def _absolute(folder: Path) -> Path:
    """절대 경로. 데이터셋 폴더는 심볼릭 링크일 때가 많아 링크를 따라가지 않는다."""
    return Path(os.path.abspath(folder))  # noqa: PTH100  Path.resolve는 링크를 따라간다


def list_pictures(folder: Path, root: Path, *, recursive: bool) -> list[Listed]:
    """폴더의 이미지들을 뿌리에서의 이름과 함께 늘어놓는다.

    Raises:
        UsageError: 폴더가 없거나 이미지가 없을 때.
    """
    found = find_pictures(folder, recursive=recursive)
    return [Listed(path, path.relative_to(root).as_posix()) for path in found]


def decode(item: Listed) -> Outcome:
    """이미지를 끝까지 풀어 본다. 머리만 성하고 잘린 파일도 여기서 드러난다.

    Raises:
        ImageReadError: 풀 수 없을 때.
    """
    read_array(item.path)
    return Outcome(item.name, "done")


@dataclass(frozen=True)
class Pair:
    """정답 이미지(GT)와 저품질 이미지(LQ)의 짝."""

    gt: Listed
    lq: Listed

    def __str__(self) -> str:
        return f"{self.gt.name}, {self.lq.name}"


def match_pairs(
    gts: Sequence[Listed], lqs: Sequence[Listed], roots: tuple[Path, Path]
) -> tuple[list[Pair], list[Outcome]]:
    """이름으로 짝을 찾는다. LQ의 이름에는 배율 표시(`0001x4` 등)가 있어도 된다.

    Args:
        gts, lqs: 두 폴더의 이미지들.
        roots: GT와 LQ의 입력 폴더. 하위 폴더의 자리도 같아야 한 짝이다.

    Returns:
        짝의 목록과, 짝을 찾지 못한 이미지마다의 실패.
    """
    exact = {_key(item, roots[1], plain=False): item for item in lqs}
    stripped = {_key(item, roots[1], plain=True): item for item in lqs}
    pairs: list[Pair] = []
    problems: list[Outcome] = []
    used: set[str] = set()
    for gt in gts:
        found = exact.get(_key(gt, roots[0], plain=False)) or stripped.get(_key(gt, roots[0], plain=True))
        if found is None:
            problems.append(Outcome(str(gt.path), "failed", "같은 이름의 LQ가 없습니다."))
        elif found.name in used:
            problems.append(Outcome(str(gt.path), "failed", f"이미 다른 GT의 짝인 LQ입니다: {found.path}"))
        else:
            used.add(found.name)
            pairs.append(Pair(gt, found))
    problems += [Outcome(str(lq.path), "failed", "같은 이름의 GT가 없습니다.") for lq in lqs if lq.name not in used]
    return pairs, problems


def _key(item: Listed, folder: Path, *, plain: bool) -> str:
    path = item.path.relative_to(folder)
    return path.with_name(strip_scale(path.stem) if plain else path.stem).as_posix()


def pair_scale(pair: Pair) -> int:
    """짝의 배율. 머리만 읽는다.

    Raises:
        ImageReadError: 머리를 읽을 수 없을 때.
        DatasetError: 두 변의 배율이 같은 정수가 아닐 때.
    """
    gt, lq = probe_image(pair.gt.path), probe_image(pair.lq.path)
    scale = round(gt.width / lq.width)
    if scale < 1 or (lq.width * scale, lq.height * scale) != (gt.width, gt.height):
        raise DatasetError(
            f"크기가 맞지 않는 짝입니다: {pair.gt.path}({gt.width}x{gt.height}), "
            f"{pair.lq.path}({lq.width}x{lq.height})\n"
            "  GT의 두 변이 LQ의 같은 정수 배여야 합니다.\n  해결: GT를 배율의 배수로 자르거나 LQ를 다시 만드세요."
        )
    return scale


def split_by_scale(
    scaled: Iterable[tuple[Pair, int | Failure]], wanted: int | None
) -> tuple[list[Pair], list[Outcome], int | None]:
    """배율이 맞는 짝만 남긴다.

    Args:
        scaled: 짝과 그 배율(또는 실패).
        wanted: 있어야 할 배율. None이면 가장 많은 배율이다.

    Returns:
        남은 짝, 짝마다의 결과, 쓴 배율(짝이 없으면 None).
    """
    found = list(scaled)
    counts = Counter(scale for _, scale in found if isinstance(scale, int))
    chosen = wanted if wanted is not None else next((scale for scale, _ in counts.most_common(1)), None)
    kept: list[Pair] = []
    outcomes: list[Outcome] = []
    for pair, scale in found:
        if isinstance(scale, Failure):
            outcomes.append(Outcome(str(pair), "failed", scale.reason))
        elif scale != chosen:
            outcomes.append(Outcome(str(pair), "failed", f"배율이 {chosen}이어야 하는데 {scale}입니다."))
        else:
            kept.append(pair)
            outcomes.append(Outcome(str(pair), "done"))
    return kept, outcomes, chosen


def meta_text(lines: Iterable[object]) -> bytes:
    """목록 파일의 내용(UTF-8).

    Raises:
        UsageError: 이름에 줄바꿈이 있을 때.
    """
    texts = [str(line) for line in lines]
    broken = next((text for text in texts if "\n" in text or "\r" in text), None)
    if broken is not None:
        raise UsageError(f"이름에 줄바꿈이 있어 목록에 적을 수 없습니다: {broken!r}\n  해결: 파일의 이름을 바꾸세요.")
    return "".join(f"{text}\n" for text in texts).encode()
