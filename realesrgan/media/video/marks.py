"""360도(spherical)와 입체(stereo) 비디오의 표시를 결과의 머리에 옮긴다.

PyAV에는 스트림의 곁 데이터를 적는 길이 없고, 본뜬(template) 스트림의 것은 그대로 따라온다. 그래서 메모리의 작은 mp4에
표시의 상자를 끼운 것을 본으로 삼는다. 적는 것은 FFmpeg의 컨테이너(mp4, mov, mkv, webm)가 한다.
"""

from __future__ import annotations

import struct
from io import BytesIO
from pathlib import Path
from typing import Any, BinaryIO

from realesrgan.media.video.files import import_av
from realesrgan.media.video.types import VideoInfo

MARKED_CONTAINERS = ("mp4", "matroska", "webm")
"""표시를 적는 컨테이너. FFmpeg는 mov에는 적지 않는다."""
_EQUIRECTANGULAR, _CUBEMAP, _TILE = 0, 1, 2  # AVSphericalProjection
_STEREO_MODES = {1: 2, 2: 1}  # AVStereo3DType(좌우, 위아래)과 st3d의 stereo_mode
FRAME_PACKINGS = {1: "3", 2: "4"}
"""AVStereo3DType(좌우, 위아래)과 H.264의 frame packing arrangement."""
_WAY = (b"moov", b"trak", b"mdia", b"minf", b"stbl", b"stsd")


def mark_boxes(info: VideoInfo) -> bytes:
    """표시를 적은 mp4의 상자들(Spherical Video V2 RFC). 없거나 옮길 수 없는 것이면 비어 있다."""
    boxes = b""
    if info.stereo in _STEREO_MODES:
        boxes += _box(b"st3d", bytes([0, 0, 0, 0, _STEREO_MODES[info.stereo]]))
    # 돌려 적는 비디오의 방향은 더는 맞지 않는다.
    if len(info.spherical) >= 36 and not info.rotation and not info.mirrored:
        projection, yaw, pitch, roll, left, top, right, bottom, padding = struct.unpack("=4i5I", info.spherical[:36])
        shape = b""
        if projection in (_EQUIRECTANGULAR, _TILE):
            shape = _box(b"equi", struct.pack(">5I", 0, top, bottom, left, right))
        elif projection == _CUBEMAP and not padding:
            shape = _box(b"cbmp", struct.pack(">3I", 0, 0, 0))
        if shape:
            pose = _box(b"prhd", struct.pack(">I3i", 0, yaw, pitch, roll))
            boxes += _box(b"sv3d", _box(b"svhd", bytes(5)) + _box(b"proj", pose + shape))
    return boxes


def _box(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", 8 + len(body)) + kind + body


def marked(stream: Any, boxes: bytes) -> Any:
    """스트림과 같고 표시를 가진 본. `(연 컨테이너).streams.video[0]`을 쓰고 컨테이너는 부르는 쪽이 닫는다.

    Args:
        stream: 조각의 비디오 스트림. 컨테이너의 자리는 바뀌었다가 처음으로 돌아온다.
        boxes: `mark_boxes`의 상자들.
    """
    av = import_av()
    memory = BytesIO()
    with av.open(memory, "w", format="mp4") as output:
        target = output.add_stream_from_template(stream)
        for packet in stream.container.demux(stream):
            packet.stream = target
            output.mux_one(packet)
            break
    stream.container.seek(0)
    data = bytearray(memory.getvalue())
    # 색인(moov)이 뒤에 있어, 상자를 끼우고 바깥 상자들의 크기만 늘리면 된다.
    places = _sample_entry(BytesIO(data))
    end = places[-1] + int.from_bytes(data[places[-1] : places[-1] + 4], "big")
    for start in places:
        struct.pack_into(">I", data, start, int.from_bytes(data[start : start + 4], "big") + len(boxes))
    data[end:end] = boxes
    return av.open(BytesIO(bytes(data)))


def drop_spatial_box(path: Path) -> None:
    """FFmpeg 8이 표시의 곁에 덧붙이는 `vexu`(애플의 공간 비디오)를 지운다.

    두 화면이 따로 인코딩되었다는 뜻이라 한 화면에 나란히 놓인 비디오에는 맞지 않고, FFmpeg 스스로도 그것을 읽으면
    `st3d`와 `sv3d`의 값을 버린다. 자리는 그대로 두고 이름만 빈 상자(`free`)로 바꾼다.
    """
    with path.open("r+b") as file:
        entry = _sample_entry(file)[-1]
        file.seek(entry)
        size = int.from_bytes(file.read(4), "big")
        found = file.read(size - 4).find(b"vexu")
        if found >= 0:
            file.seek(entry + 4 + found)
            file.write(b"free")


def _sample_entry(file: BinaryIO) -> list[int]:
    """첫 트랙의 표본 설명(sample entry)까지 내려가며 만나는 상자들의 자리(ISO/IEC 14496-12)."""
    place, places = 0, []
    for kind in _WAY:
        while True:
            file.seek(place)
            head = file.read(16)
            if head[4:8] == kind:
                break
            size = int.from_bytes(head[:4], "big")
            size = int.from_bytes(head[8:16], "big") if size == 1 else size
            if size < 8:
                raise ValueError(f"상자가 없습니다: {kind!r}")
            place += size
        places.append(place)
        place += 8
    return [*places, place + 8]
