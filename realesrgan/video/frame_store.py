"""쓰는 중인 조각의 키운 프레임을 적어 두어, 조각의 가운데에서 멈추어도 거기서부터 이어 한다."""

from __future__ import annotations

import logging
import os
import struct
import threading
import time
import zlib
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from realesrgan.media.video.types import Planes
from realesrgan.video.workspace import Workspace

logger = logging.getLogger(__name__)

_RECORD = struct.Struct("<IIB")  # 프레임의 번호, CRC-32, 평면의 수
_PLANE = struct.Struct("<IIB")  # 높이, 너비, 원소의 바이트 수
# 적는 데 드는 시간이 이보다 큰 몫이 되면 건너뛴다. 그만큼 빠른 장치는 다시 키우는 것이 낫다.
_LARGEST_SHARE = 0.1
# 끝난 조각이 없을 때, 적어 둔 프레임이 이만큼은 되어야 작업 폴더를 남긴다.
_WORTH_FRAMES = 30
# 조각마다 건너뛸 수 있는 프레임 수. 버린 작업 폴더의 것과 더해도 60프레임보다 많이 잃지 않는다.
_LARGEST_LOSS = 60 - _WORTH_FRAMES


@dataclass
class FrameStore:
    """조각마다의 키운 프레임. 여러 스레드가 함께 쓴다.

    압축하지 않고 이어 적으므로 언제 죽어도 적은 데까지는 쓸 수 있다. 조각이 끝나면 지운다.

    Attributes:
        workspace: 작업 폴더.
    """

    workspace: Workspace
    _found: dict[int, dict[int, int]] = field(default_factory=dict)
    _lock: Any = field(default_factory=threading.Lock)
    _began: float = field(default_factory=time.perf_counter)
    _spent: float = 0.0
    _skipped: Counter[int] = field(default_factory=Counter)
    _broken: bool = False

    def get(self, segment: int, order: int) -> Planes | None:
        """앞선 실행이 적어 둔 프레임. 없거나 상했으면 None."""
        with self._lock:
            if segment not in self._found:
                self._found[segment] = stored_frames(self.workspace.segment_path(segment, ".frames"))
            place = self._found[segment].get(order)
        if place is None:
            return None
        with self.workspace.segment_path(segment, ".frames").open("rb") as file:
            file.seek(place)
            return _read_record(file.read(_RECORD.size), file)[1]

    def put(self, segment: int, order: int, planes: Planes) -> None:
        """프레임 하나를 적는다. 적을 수 없으면 한 번 알리고 그만둔다. 비디오는 계속 만든다."""
        began = time.perf_counter()
        known = self._found.get(segment, {})
        if self._broken or order in known:
            return
        if self._spent > _LARGEST_SHARE * (began - self._began) + 1 and self._skipped[segment] < _LARGEST_LOSS:
            self._skipped[segment] += 1
            return
        parts: list[Any] = []
        for plane in planes:
            parts += (_PLANE.pack(*plane.shape, plane.itemsize), np.ascontiguousarray(plane))
        digest = 0
        for part in parts:
            digest = zlib.crc32(part, digest)
        try:
            with self.workspace.segment_path(segment, ".frames").open("ab") as file:
                file.write(_RECORD.pack(order, digest, len(planes)))
                for part in parts:
                    file.write(part)
        except OSError as error:
            logger.warning("조각의 가운데에서 이어 할 프레임을 적어 둘 수 없어 그만둡니다: %s", error)
            self._broken = True
            self.workspace.segment_path(segment, ".frames").unlink(missing_ok=True)
        self._spent += time.perf_counter() - began

    def finish(self, segment: int) -> None:
        """끝난 조각의 것을 지운다."""
        self._found.pop(segment, None)
        self._skipped.pop(segment, None)
        self.workspace.segment_path(segment, ".frames").unlink(missing_ok=True)


def is_worth_keeping(workspace: Workspace) -> bool:
    """이어 할 것이 있는지: 끝난 조각이나, 적어 둔 프레임 여럿."""
    paths = workspace.folder.glob("[0-9]*.frames")
    return bool(workspace.records()) or any(len(stored_frames(path)) >= _WORTH_FRAMES for path in paths)


def stored_frames(path: Path) -> dict[int, int]:
    """온전하게 적힌 프레임들의 번호와 파일에서의 자리. 쓰다가 끊긴 뒷부분은 잘라 낸다."""
    found: dict[int, int] = {}
    if not path.exists():
        return found
    with path.open("rb") as file:
        place, size = 0, os.fstat(file.fileno()).st_size
        while place + _RECORD.size <= size:
            order, planes = _read_record(file.read(_RECORD.size), file)
            if planes is None:
                break
            found[order] = place
            place = file.tell()
    if place < size:
        os.truncate(path, place)
    return found


def _rest(file: BinaryIO) -> int:
    """아직 읽지 않은 바이트 수."""
    return os.fstat(file.fileno()).st_size - file.tell()


def _read_record(head: bytes, file: BinaryIO) -> tuple[int, Planes | None]:
    """기록 하나. 평면은 끊겼거나 상했으면 None."""
    read = file.read
    if len(head) < _RECORD.size:
        return 0, None
    order, digest, count = _RECORD.unpack(head)
    body, planes = b"", []
    for _ in range(count):
        shape = read(_PLANE.size)
        if len(shape) < _PLANE.size:
            return order, None
        height, width, item = _PLANE.unpack(shape)
        wanted = height * width * item
        # 상한 크기만큼 읽으려 하면 읽기도 전에 메모리나 수의 한도를 넘는다.
        if item not in (1, 2) or wanted > _rest(file):
            return order, None
        data = read(wanted)
        body += shape + data
        planes.append(np.frombuffer(data, np.uint8 if item == 1 else np.uint16).reshape(height, width))
    return order, tuple(planes) if zlib.crc32(body) == digest else None
