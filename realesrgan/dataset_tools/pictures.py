"""데이터셋의 이미지를 찾고, 이름을 짓고, 읽고, 쓴다."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from realesrgan.errors import DatasetError, ImageWriteError, UsageError
from realesrgan.media.image import read_image
from realesrgan.util.files import os_reason, write_atomically
from realesrgan.util.optional import import_cv2

# 훈련의 데이터셋이 읽는 확장자. 여기에 없는 것을 목록에 넣으면 훈련에서 읽지 못한다.
PICTURE_SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp")
# 공개 데이터셋이 저품질 이미지(LQ)의 이름에 붙이는 배율.
SCALE_MARKS = ("x2", "x3", "x4", "x8")


def find_pictures(folder: Path, *, recursive: bool = False) -> list[Path]:
    """폴더의 이미지 파일을 이름 순서로 찾는다. 숨은 파일과 숨은 폴더는 건너뛴다.

    Args:
        folder: 볼 폴더.
        recursive: 하위 폴더까지 볼지.

    Raises:
        UsageError: 폴더가 없거나 이미지가 하나도 없을 때.
    """
    if not folder.is_dir():
        raise UsageError(
            f"이미지 폴더를 열 수 없습니다: {folder}\n  그런 폴더가 없습니다.\n  해결: --input을 확인하세요."
        )
    found = sorted(path for path in folder.glob("**/*" if recursive else "*") if _is_picture(path, folder))
    if not found:
        deeper = "" if recursive else " 하위 폴더까지 보려면 --recursive를 주세요."
        raise UsageError(
            f"폴더에 이미지가 없습니다: {folder}\n  찾는 확장자는 {', '.join(PICTURE_SUFFIXES)}입니다.\n"
            f"  해결: --input을 확인하세요.{deeper}"
        )
    return found


def _is_picture(path: Path, folder: Path) -> bool:
    visible = not any(part.startswith(".") for part in path.relative_to(folder).parts)
    return visible and path.suffix.lower() in PICTURE_SUFFIXES and path.is_file()


def strip_scale(stem: str) -> str:
    """이름에서 배율 표시(x2, x3, x4, x8)를 모두 지운다. 지우면 빈 이름이 될 때는 그대로 둔다."""
    plain = stem
    for mark in SCALE_MARKS:
        plain = plain.replace(mark, "")
    return plain or stem


def refuse_clashes(named: Iterable[tuple[Path, Path]]) -> None:
    """두 이미지의 결과가 한 이름이 되면 시작하지 않는다.

    Args:
        named: `(이미지, 결과의 머리 이름)`들.

    Raises:
        UsageError: 겹치는 이름이 있을 때.
    """
    seen: dict[str, Path] = {}
    for path, target in named:
        # 대소문자를 가리지 않는 파일 시스템에서도 겹치지 않아야 한다.
        key = os.path.normpath(target).casefold()
        if key in seen:
            raise UsageError(
                f"두 이미지의 결과가 같은 이름이 됩니다: {seen[key]}, {path} -> {target}\n"
                "  확장자나 배율 표시(x2 등)만 다른 이름은 결과가 겹칩니다.\n"
                "  해결: 한쪽의 이름을 바꾸거나 폴더를 나누어 따로 실행하세요."
            )
        seen[key] = path


def read_array(path: Path) -> NDArray[Any]:
    """이미지를 `(H, W)` 회색, `(H, W, 3)` BGR, `(H, W, 4)` BGRA 배열(uint8, uint16)로 읽는다.

    Raises:
        ImageReadError: 없거나 깨졌거나 이미지가 아닐 때.
        DatasetError: 애니메이션일 때.
    """
    picture = read_image(path)
    if picture.animated:
        raise DatasetError(
            f"애니메이션은 데이터셋에 쓸 수 없습니다: {path}\n  {picture.frame_count}프레임이 들어 있습니다.\n"
            "  해결: 프레임을 이미지로 풀어 넣으세요."
        )
    return picture.first.array


def read_bgr8(path: Path) -> NDArray[np.uint8]:
    """이미지를 훈련과 평가가 보는 모양 `(H, W, 3)` BGR uint8로 읽는다. 회색은 세 채널로 펴고 알파는 버리고 16비트는
    줄인다.

    Raises:
        ImageReadError, DatasetError: `read_array`와 같다.
    """
    array = read_array(path)
    if array.dtype == np.uint16:
        # 65535 = 255 * 257이므로 257로 나누어 반올림한다.
        array = ((array.astype(np.uint32) + 128) // 257).astype(np.uint8)
    if array.ndim == 2:
        array = np.repeat(array[..., None], 3, axis=2)
    return np.ascontiguousarray(array[..., :3])


def encode_png(array: NDArray[Any], level: int) -> bytes:
    """배열을 PNG로 인코딩한다.

    Args:
        array: `(H, W)`, `(H, W, 3)` BGR, `(H, W, 4)` BGRA. uint8이나 uint16.
        level: zlib 압축 수준, 0..9.

    Raises:
        ImageWriteError: 인코딩하지 못했을 때.
    """
    cv2 = import_cv2()
    done, content = cv2.imencode(".png", np.ascontiguousarray(array), [cv2.IMWRITE_PNG_COMPRESSION, level])
    if not done:
        raise ImageWriteError(
            f"PNG로 바꾸지 못했습니다.\n  배열이 {array.shape} {array.dtype}입니다.\n"
            "  해결: 8비트나 16비트 이미지를 쓰세요."
        )
    return bytes(content.tobytes())


def write_bytes(path: Path, content: bytes) -> None:
    """폴더를 만들고 파일을 원자적으로(atomic) 쓴다.

    Raises:
        ImageWriteError: 쓸 수 없을 때.
    """
    try:
        write_atomically(path, content)
    except OSError as error:
        why, remedy = os_reason(error)
        raise ImageWriteError(f"쓸 수 없습니다: {path}\n  {why}\n  해결: {remedy}") from error


def is_fresh(source: Path, targets: Sequence[Path]) -> bool:
    """결과가 모두 있고 원본보다 오래되지 않았는가. 그렇다면 다시 만들 까닭이 없다."""
    changed = source.stat().st_mtime_ns
    return all(target.is_file() and target.stat().st_mtime_ns >= changed for target in targets)
