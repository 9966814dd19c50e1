"""데이터셋이 이미지를 찾고 읽는 길: 폴더, 목록 파일(meta info), lmdb."""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from realesrgan.basicsr_bridge import FileClient
from realesrgan.errors import DatasetError, DatasetValueError, ImageReadError
from realesrgan.util.files import os_reason, plain_reason

LOGGER = logging.getLogger("basicsr")
# `(H, W, 3)` BGR이나 `(H, W)` 회색, uint8이나 uint16.
Pixels = NDArray[Any]
IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp")
# 목록 파일의 한 줄 끝에 붙는 `(높이,너비,채널)`과 압축 수준. 파일 이름에 빈칸이 있어도 갈라낼 수 있다.
_SHAPE_NOTE = re.compile(r"\s+\(\d+,\s*\d+,\s*\d+\).*$")
_LISTED_FAILURES = 20


def read_lines(path: str | Path) -> list[str]:
    """목록 파일의 빈 줄을 뺀 줄들. `(높이,너비,채널)` 꼬리는 뗀다.

    UTF-8(BOM이 있어도)로 읽고, 아니면 한국어 윈도의 CP949로 읽는다.

    Raises:
        DatasetError: 파일을 읽을 수 없거나 두 인코딩이 모두 아닐 때.
    """
    try:
        text = _decode(Path(path).read_bytes())
    except UnicodeDecodeError as error:
        raise DatasetError(
            f"목록 파일의 인코딩을 알 수 없습니다: {path}\n  UTF-8도 CP949도 아닙니다({error.reason}).\n"
            "  해결: 편집기에서 UTF-8로 다시 저장하세요."
        ) from error
    except OSError as error:
        raise DatasetError(
            f"목록 파일을 읽지 못했습니다: {path}\n  {os_reason(error)[0]}\n"
            "  해결: meta_info의 경로를 고치거나, 지우고 폴더 전체를 쓰세요."
        ) from error
    return [_SHAPE_NOTE.sub("", line.strip()) for line in text.splitlines() if line.strip()]


def _decode(content: bytes) -> str:
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError:
        return content.decode("cp949")


def list_folder(folder: str | Path) -> list[str]:
    """폴더 아래의 이미지 파일을 이름 순서로 모두 찾는다. 숨은 파일과 숨은 폴더는 건너뛴다.

    Raises:
        DatasetError: 폴더가 없거나 이미지가 하나도 없을 때.
    """
    root = Path(folder)
    found = sorted(
        path
        for path in root.rglob("*")
        if path.suffix.lower() in IMAGE_SUFFIXES
        and path.is_file()
        and not any(part.startswith(".") for part in path.relative_to(root).parts)
    )
    if not found:
        reason = "폴더에 이미지 파일이 없습니다." if root.is_dir() else "그런 폴더가 없습니다."
        raise DatasetError(
            f"훈련할 이미지를 찾지 못했습니다: {root}\n  {reason}\n"
            "  해결: dataroot_gt(짝 자료는 dataroot_lq도)가 이미지 폴더를 가리키게 하세요."
        )
    return [str(path) for path in found]


def list_lmdb(folder: str | Path) -> list[str]:
    """lmdb의 열쇠를 목록 파일 `meta_info.txt`에서 읽는다.

    Raises:
        DatasetError: 이름이 `.lmdb`로 끝나지 않거나 목록이 없을 때.
    """
    if not str(folder).endswith(".lmdb"):
        raise DatasetValueError(
            f"lmdb 폴더의 이름이 .lmdb로 끝나지 않습니다: {folder}\n"
            "  io_backend의 type이 lmdb이면 dataroot가 lmdb 폴더여야 합니다.\n"
            "  해결: dataroot를 고치거나 io_backend의 type을 disk로 바꾸세요."
        )
    return [line.removesuffix(".png") for line in read_lines(Path(folder) / "meta_info.txt")]


def is_truncated(content: bytes) -> bool:
    """JPEG이나 PNG가 끝나기 전에 잘렸는지. OpenCV는 잘린 파일의 나머지를 회색으로 채우고 아무 말도 하지 않는다."""
    if content.startswith(b"\xff\xd8"):
        # 머리말의 축소 이미지에도 끝 표지가 있으므로 마지막 이미지가 시작한 뒤의 것만 본다.
        return content.rfind(b"\xff\xd9") < content.rfind(b"\xff\xda")
    return content.startswith(b"\x89PNG") and b"IEND" not in content[-64:] and b"IEND" not in content


class ImageReader:
    """디스크나 lmdb에서 이미지 하나를 읽는다. 작업자(worker)마다 제 연결을 처음 읽을 때 연다.

    Args:
        io_backend: 옵션의 `io_backend`. `type`은 `disk`나 `lmdb`. 바꾸지 않는다.
        roots: lmdb일 때 이름마다의 폴더(예: `{"gt": ..., "lq": ...}`).
        gray: 휘도(luma, ITU-R BT.601)만 읽을지.
    """

    def __init__(self, io_backend: Mapping[str, Any], roots: Mapping[str, str], gray: bool = False) -> None:
        self.gray = gray
        options = dict(io_backend)
        self._kind = str(options.pop("type"))
        if self._kind == "lmdb":
            options |= {"db_paths": list(roots.values()), "client_keys": list(roots)}
        self._options = options
        self._client: Any = None

    def __getstate__(self) -> dict[str, Any]:
        # lmdb 연결은 다른 프로세스로 옮길 수 없다.
        return self.__dict__ | {"_client": None}

    def read(self, path: str, name: str) -> Pixels:
        """이미지 `(H, W, 3)` BGR, `gray`면 `(H, W)`. 16비트 파일은 uint16, 나머지는 uint8이다.

        Raises:
            ImageReadError: 파일이 없거나 이미지가 아니거나 잘렸을 때.
        """
        if self._client is None:
            self._client = FileClient(self._kind, **self._options)
        try:
            content = self._client.get(path, name)
        except (OSError, ValueError) as error:
            raise ImageReadError(f"{path}: {plain_reason(error)}") from error
        if not content:
            raise ImageReadError(f"{path}: 내용이 없습니다")
        if is_truncated(bytes(content)):
            raise ImageReadError(f"{path}: 파일이 잘렸습니다")
        packed = np.frombuffer(content, np.uint8)
        image = cv2.imdecode(packed, cv2.IMREAD_COLOR | cv2.IMREAD_ANYDEPTH)
        if image is not None and image.dtype not in (np.uint8, np.uint16):
            image = cv2.imdecode(packed, cv2.IMREAD_COLOR)
        if image is None:
            raise ImageReadError(f"{path}: 이미지로 풀 수 없습니다")
        return cv2.cvtColor(image, cv2.COLOR_BGR2GRAY) if self.gray else image


class BadFiles:
    """읽지 못한 항목을 작업자들이 함께 세는 표. 공유 메모리(shared memory)에 있다.

    Args:
        names: 항목의 이름들.
        ratio: 허용하는 비율, 0..1. 0보다 크면 적어도 하나는 봐준다.
    """

    def __init__(self, names: list[str], ratio: float) -> None:
        self._names = names
        # 모두 못 읽는 자료에서 끝없이 다른 것을 찾지 않도록 하나는 남긴다.
        self._allowed = min(max(1, int(ratio * len(names))), len(names) - 1) if ratio > 0 else 0
        self._mask = torch.zeros(len(names), dtype=torch.bool).share_memory_()

    @property
    def count(self) -> int:
        """지금까지 읽지 못한 서로 다른 항목의 수."""
        return int(self._mask.sum())

    def is_bad(self, index: int) -> bool:
        """이미 읽지 못한 것으로 적힌 항목인가."""
        return bool(self._mask[index])

    def add(self, index: int, error: Exception) -> None:
        """읽지 못한 항목을 적는다.

        Raises:
            DatasetError: 허용치를 넘었을 때. 메시지에 목록을 담는다.
        """
        if not self.is_bad(index):
            self._mask[index] = True
            LOGGER.warning("이미지를 읽지 못해 다른 것으로 바꿉니다: %s", error)
        if self.count > self._allowed:
            failed = [self._names[i] for i in self._mask.nonzero().flatten().tolist()]
            listing = "\n    ".join(failed[:_LISTED_FAILURES])
            raise DatasetError(
                f"읽지 못한 이미지가 너무 많습니다: {len(self._names)}개 가운데 {len(failed)}개\n"
                f"  허용치는 {self._allowed}개입니다. 마지막 오류: {error}\n    {listing}\n"
                "  해결: 위 파일을 고치거나 목록에서 빼고, 봐주려면 데이터셋의 max_bad_ratio를 키우세요."
            )


def _lay_out(image: Pixels) -> Pixels:
    """뒤집거나 잘라 본 이미지를 보이는 차례대로 메모리에 늘어놓는다."""
    # NumPy는 거꾸로 보는 것을 한 바이트씩 베끼지만 OpenCV의 뒤집기는 벡터 명령을 쓴다(400픽셀에서 1.6ms 대 0.06ms).
    if image.strides[1] < 0:
        return np.asarray(cv2.flip(np.ascontiguousarray(image[:, ::-1]), 1), dtype=image.dtype)
    return np.ascontiguousarray(image)


def to_tensor(image: Pixels) -> torch.Tensor:
    """BGR uint8이나 uint16 `(H, W, 3)`을 RGB float32 `(3, H, W)`로, 회색 `(H, W)`을 `(1, H, W)`로. 0..1이다."""
    largest = np.float32(np.iinfo(image.dtype).max)
    if image.ndim == 2:
        return torch.from_numpy(np.divide(_lay_out(image), largest, dtype=np.float32)[None])
    # 채널을 가르는 일은 OpenCV가 NumPy의 건너뛰는 복사보다 빠르다.
    blue, green, red = cv2.split(_lay_out(image))
    planes = np.empty((3, *image.shape[:2]), np.float32)
    # 나누면서 놓을 자리에 바로 적어, 쌓고 자료형을 바꾸느라 메모리를 두 번 더 오가지 않는다.
    for plane, target in zip((red, green, blue), planes, strict=True):
        np.divide(plane, largest, out=target, dtype=np.float32)
    return torch.from_numpy(planes)


def is_gray(options: Mapping[str, Any]) -> bool:
    """데이터셋이 한 채널(회색)로 읽는지. 옵션 읽기가 `network_g`의 `num_in_ch`에서 채워 준다."""
    return options.get("color") == "gray"


def augment(images: list[NDArray[Any]], rng: np.random.Generator, hflip: bool, rotate: bool) -> list[NDArray[Any]]:
    """좌우 뒤집기와 90도 돌리기를 모든 이미지에 똑같이 한다. 복사하지 않고 보는 방향만 바꾼다."""
    flip, upside_down, transpose = rng.random(3) < 0.5
    if hflip and flip:
        images = [image[:, ::-1] for image in images]
    if rotate and upside_down:
        images = [image[::-1] for image in images]
    if rotate and transpose:
        images = [image.swapaxes(0, 1) for image in images]
    return images


def crop_or_pad(image: NDArray[Any], size: int, rng: np.random.Generator) -> NDArray[Any]:
    """아무 자리나 `size x size`로 자른다. 모자라는 변은 오른쪽과 아래를 반사(reflect101)로 채운다."""
    height, width = image.shape[:2]
    top = int(rng.integers(max(height - size, 0) + 1))
    left = int(rng.integers(max(width - size, 0) + 1))
    part = image[top : top + size, left : left + size]
    missing = (size - part.shape[0], size - part.shape[1])
    if any(missing):
        return cv2.copyMakeBorder(np.ascontiguousarray(part), 0, missing[0], 0, missing[1], cv2.BORDER_REFLECT_101)
    return part
