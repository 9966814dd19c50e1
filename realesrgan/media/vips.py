"""libvips(pyvips)로 이미지를 읽고 쓰는 바탕. 배열과 libvips의 이미지 사이를 오가고, 파일의 일부만 읽고 쓴다."""

from __future__ import annotations

import errno
import gc
import logging
import os
import shutil
import struct
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from copy import copy
from functools import lru_cache
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from realesrgan.media.picture import Array, DamagedError, MissingDecoderError, TruncatedError, read_error
from realesrgan.util.files import is_memory_shortage, remove_abandoned, scratch_beside
from realesrgan.util.machine import available_cores
from realesrgan.util.optional import import_optional

# 함께 읽을 수 있는 수와, 혼자 읽으려는 스레드의 차례.
_MOST_LOADS = 32
_PLACES, _TURN = threading.Semaphore(_MOST_LOADS), threading.Lock()
MAX_WORKERS = 4
"""이미지를 읽고 쓰는 스레드 수의 한도. 더 늘려도 디스크가 따라오지 못하고 메모리만 는다."""
RAW_BYTES = 64 << 20
"""결과가 이보다 크면 메모리가 아니라 대상 곁의 임시 파일에 모은다."""
_SOURCE_BYTES = 8 << 20

_FORMATS = {"uint8": "uchar", "uint16": "ushort"}
_SPACES = {(1, "uint8"): "b-w", (1, "uint16"): "grey16", (3, "uint8"): "srgb", (3, "uint16"): "rgb16"}
# 내용이 사라진 것이 아닌, 흔한 카메라의 JPEG에서 나는 경고.
_HARMLESS = ("extraneous bytes before marker 0xd9", "Unknown Adobe color transform", "Invalid SOS parameters")


@lru_cache(maxsize=1)
def import_vips() -> Any:
    """`pyvips`를 늦게 불러오고, 메모리가 늘지 않게 설정한다.

    Raises:
        MissingPackageError: 설치되어 있지 않거나 불러올 수 없을 때.
    """
    # 푼 크기가 이보다 크면 메모리가 아니라 임시 파일에 풀어 필요한 곳만 읽는다. 처음 불러올 때만 읽히는 값이다.
    os.environ.setdefault("VIPS_DISC_THRESHOLD", str(_SOURCE_BYTES))
    os.environ.setdefault("VIPS_CONCURRENCY", str(min(available_cores(), MAX_WORKERS)))
    # 라이브러리의 영어 경고가 터미널로 새지 않게 한다. 실패는 예외로 온다.
    logging.getLogger("pyvips").addHandler(logging.NullHandler())
    logging.getLogger("pyvips").propagate = False
    pyvips = import_optional("pyvips", "이미지를 읽고 쓰려면", 'pip install "pyvips[binary]" 를 실행하세요.')
    # 같은 이름의 파일이 바뀌어도 예전 것을 돌려주는 캐시를 끈다.
    pyvips.cache_set_max(0)
    return pyvips


def explained(error: Exception) -> Exception:
    """libvips의 예외를 이유를 아는 예외로 바꾼다: 메모리, 임시 파일을 둘 디스크, 파일의 잘못."""
    text = str(error)
    if is_memory_shortage(error):
        return MemoryError(text)
    if "No space left" in text:
        # 푼 픽셀을 두는 시스템의 임시 폴더다.
        return OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), tempfile.gettempdir())
    if "not configured" in text or "not support" in text or "No codec" in text or "Unsupported codec" in text:
        name = text.partition(" compression support")[0].rpartition(" ")[2] if "compression support" in text else ""
        what = f"{name} 압축" if name else "이 파일의 압축"
        return MissingDecoderError(
            "PNG나, 압축하지 않았거나 Deflate로 압축한 TIFF로 바꾸어 저장한 뒤 다시 하세요.",
            f"파일은 멀쩡하지만 {what}을 푸는 디코더가 설치된 libvips에 없습니다.",
        )
    if any(word in text.lower() for word in ("premature end", "truncat", "end of stream", "out of data", "short read")):
        return TruncatedError()
    return DamagedError()


def load(loader: str, source: Path | bytes, **options: Any) -> Any:
    """`loader`(`pngload` 등)로 머리를 열고 픽셀을 한 번 끝까지 풀어, 망가진 곳이 없는 이미지를 돌려준다.

    큰 이미지는 임시 파일에 풀리므로 메모리는 크기와 상관없이 거의 같다.

    Raises:
        UnreadableError: 풀 수 없을 때.
    """
    pyvips = import_vips()
    name = loader if isinstance(source, Path) else loader + "_buffer"
    # 유니코드가 아닌 이름도 그대로 넘긴다.
    argument = os.fsencode(source) if isinstance(source, Path) else source
    # 경고까지 실패로 보아야 조용히 회색이 되는 JPEG를 찾는다. 해가 없는 경고뿐이면 다시 연다.
    levels = ("warning", "truncated") if loader == "jpegload" else ("error",)
    # 함께 읽다가 실패하면 까닭을 알 수 있게 혼자 다시 읽는다.
    for level, alone in ((level, alone) for level in levels for alone in (False, True)):
        try:
            with _alone() if alone else _PLACES:
                image = pyvips.Operation.call(name, argument, access="random", fail_on=level, **options)
                pyvips.Region.new(image).fetch(0, image.height - 1, 1, 1)
                return image
        except pyvips.Error as error:
            harmless = level == "warning" and any(word in str(error) for word in _HARMLESS)
            if alone and not harmless:
                raise explained(error) from error
    raise AssertionError


@contextmanager
def _alone() -> Iterator[None]:
    """그 사이에는 다른 스레드가 `load`로 읽지 않게 한다.

    libvips는 모든 스레드의 오류를 한 곳에 모으므로, 함께 읽다가 실패하면 다른 파일의 까닭을 읽을 수 있다.
    """
    with _TURN, ExitStack() as held:
        for _ in range(_MOST_LOADS):
            held.enter_context(_PLACES)
        yield


class LazyImage:
    """libvips의 회색이나 RGB(A), 8비트나 16비트 이미지를 `(H, W[, C])` RGB 배열처럼 쓴다. 자른 곳만 그때 읽는다.

    도중에 읽지 못하면 `path`의 이름으로 `ImageReadError`를 낸다.
    """

    def __init__(self, image: Any, path: Path | None = None) -> None:
        self.image, self.path = image, path
        self.dtype = np.dtype(np.uint8 if image.format == "uchar" else np.uint16)
        self.shape = (image.height, image.width, *((image.bands,) if image.bands > 1 else ()))
        self.ndim = len(self.shape)
        self._region = import_vips().Region.new(image)

    def __getitem__(self, key: Any) -> Array:
        rows, columns = (part.indices(size) for part, size in zip(key[:2], self.shape, strict=False))
        height, width = rows[1] - rows[0], columns[1] - columns[0]
        try:
            data = self._region.fetch(columns[0], rows[0], width, height)
        except import_vips().Error as error:
            reason = explained(error)
            raise (reason if self.path is None else read_error(self.path, reason)) from error
        return np.frombuffer(data, self.dtype).reshape(height, width, *self.shape[2:])

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Array:
        array: Array = self[:, :].copy()
        return array if dtype is None else array.astype(dtype)


class RawImage:
    """`folder`의 임시 파일에 있는, `(H, W[, C])` 배열처럼 쓸 수 있는 결과.

    적을 때마다 그 줄만 사상(mmap)하고 곧 놓으므로 상주 메모리가 크기를 따르지 않는다. 다 쓰면 `close`로 지운다.

    Raises:
        OSError: 만들 수 없을 때.
    """

    def __init__(self, folder: Path, shape: tuple[int, ...], dtype: Any) -> None:
        remove_abandoned(folder)
        self.path = scratch_beside(folder / "result", ".raw")
        self.shape, self.dtype = shape, np.dtype(dtype)
        self._file_shape, self._channels = shape, None
        self._row_bytes = int(np.prod(shape[1:])) * self.dtype.itemsize
        head = _plain_tiff_head(shape, self.dtype.itemsize, self._row_bytes)
        self._start = len(head)
        total = self._start + shape[0] * self._row_bytes
        # 자리가 없는 채로 사상해 적으면 프로세스가 죽는다. 먼저 자리를 잡는다.
        if shutil.disk_usage(folder).free < total:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(self.path))
        with self.path.open("xb") as file:
            try:
                file.write(head)
                file.truncate(total)
                if hasattr(os, "posix_fallocate"):
                    os.posix_fallocate(file.fileno(), 0, total)
            except OSError:
                self.path.unlink()
                raise

    @property
    def ndim(self) -> int:
        """축의 수."""
        return len(self.shape)

    def __getitem__(self, key: Any) -> Any:
        rows, columns, *channels = key
        if channels and rows == columns == slice(None):
            # 색이나 알파만 고른다.
            part = copy(self)
            part._channels = channels[0]
            part.shape = self.shape[:2] + (() if isinstance(channels[0], int) else (len(range(4)[channels[0]]),))
            return part
        start, stop, _ = rows.indices(self.shape[0])
        shape = (stop - start, *self._file_shape[1:])
        pixels = np.memmap(self.path, self.dtype, "r+", self._start + start * self._row_bytes, shape)[:, columns]
        return pixels if self._channels is None else pixels[..., self._channels]

    def __setitem__(self, key: Any, value: Array) -> None:
        part = self[key]
        rows = slice(0, self.shape[0])
        (part[rows, slice(None)] if isinstance(part, RawImage) else part)[...] = value

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Array:
        return np.array(self[:, :], dtype)

    def close(self) -> None:
        """임시 파일을 지운다."""
        try:
            self.path.unlink(missing_ok=True)
        except PermissionError:
            # Windows는 libvips의 이미지가 남아 열려 있는 파일을 지우지 못한다.
            gc.collect()
            self.path.unlink(missing_ok=True)


def _plain_tiff_head(shape: tuple[int, ...], size: int, row_bytes: int) -> bytes:
    """뒤에 픽셀만 이어지면 압축하지 않은 BigTIFF가 되는 머리.

    머리 없는 파일을 libvips는 통째로 사상하므로 읽은 만큼 상주 메모리가 늘지만, TIFF는 띠마다 읽는다.
    """
    from realesrgan.media.ifd import ByteOrder, pack_ifd

    order = ByteOrder("<", big=True)
    height, width, *channels = shape
    rows = max((1 << 20) // row_bytes, 1)
    tops = range(0, height, rows)

    def pack(start: int) -> bytes:
        strips = ((start + top * row_bytes, min(rows, height - top) * row_bytes) for top in tops)
        entries = order.pixel_entries((height, width, *(channels or [1])), size * 8, 1, rows, strips)
        table = b"II+\0\x08\0\0\0" + struct.pack("<Q", 16) + pack_ifd(entries, 16, order)
        return table + bytes(-len(table) % 16)

    return pack(len(pack(0)))


def from_array(array: Any, *, rgb: bool = False) -> Any:
    """`(H, W)`, `(H, W, 3)`, `(H, W, 4)`의 배열이나 `LazyImage`, `RawImage`를 RGB 차례의 이미지로. 복사하지 않는다.

    `rgb`가 거짓이면 채널의 차례가 BGR이다.
    """
    if isinstance(array, LazyImage):
        return array.image
    height, width, *channels = array.shape
    bands, kind = (channels or [1])[0], _FORMATS[array.dtype.name]
    make = import_vips().Image
    if isinstance(array, RawImage):
        image = make.tiffload(os.fsencode(array.path), access="sequential")
    else:
        image = make.new_from_memory(np.ascontiguousarray(array).data, width, height, bands, kind)
    if bands > 1 and not rgb:
        image = image[2].bandjoin([image[1], image[0], *([image[3]] if bands == 4 else [])])
    return image.copy(interpretation=_SPACES[1 if bands == 1 else 3, array.dtype.name])


def to_array(image: Any) -> Array:
    """libvips의 RGB(A)나 회색 이미지를 배열로. 채널의 차례는 그대로다.

    Raises:
        MemoryError, OSError, UnreadableError: 풀 수 없을 때.
    """
    dtype = np.uint8 if image.format == "uchar" else np.uint16
    shape = (image.height, image.width, *((image.bands,) if image.bands > 1 else ()))
    try:
        return np.frombuffer(image.write_to_memory(), dtype).reshape(shape)
    except import_vips().Error as error:
        raise explained(error) from error


def save(file: BinaryIO, image: Any, suffix: str, **options: Any) -> None:
    """이미지를 `suffix`(`'.jpg'` 등)의 형식으로, 읽고 쓰고 되감을 수 있는 파일의 지금 자리부터 줄마다 인코딩하며 쓴다.

    `options`는 그 형식의 선택이며, `keep`이 없으면 메타데이터는 뺀다.

    Raises:
        OSError, MemoryError: 쓸 수 없을 때. 인코더의 실패에는 errno가 없다.
    """
    pyvips = import_vips()
    base, failure = file.tell(), list[BaseException]()

    def guard(call: Callable[..., Any]) -> Callable[..., Any]:
        def run(*arguments: Any) -> Any:
            # 여기서 난 예외는 libvips를 거치지 못하므로 두었다가 밖에서 낸다.
            try:
                return call(*arguments)
            except BaseException as error:
                failure.append(error)
                return -1

        return run

    target = pyvips.TargetCustom()
    target.on_write(guard(file.write))
    target.on_seek(guard(lambda offset, whence: file.seek(offset + (base if whence == 0 else 0), whence) - base))
    target.on_read(guard(file.read))
    encode = guard(lambda: image.write_to_target(target, suffix, **({"keep": "none"} | options)))
    # 인코딩하는 동안에도 Ctrl-C를 받도록 다른 스레드에서 한다.
    worker = threading.Thread(target=encode, name="encode")
    worker.start()
    try:
        while worker.is_alive():
            worker.join(0.2)
    except BaseException:
        image.set_kill(True)
        worker.join()
        raise
    if failure and isinstance(failure[0], pyvips.Error):
        reason = explained(failure[0])
        raise (
            reason
            if isinstance(reason, (MemoryError, OSError))
            else OSError(str(failure[0]).strip().splitlines()[-1].strip())
        )
    if failure:
        raise failure[0]
