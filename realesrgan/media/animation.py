"""애니메이션의 프레임을 한 장씩 푼다."""

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from realesrgan.media.metadata import collect_metadata, matching_icc
from realesrgan.media.picture import Array, Frame, Header, Picture, apply_orientation
from realesrgan.media.reader import decode_still, open_image, to_array


@dataclass(frozen=True)
class AnimationFrames:
    """돌 때마다 처음부터 다시 풀어 내는 프레임들.

    앞 프레임 위에 겹쳐 그리는 지시(disposal, blending)는 모두 적용해, 언제나 온전한 한 장을 낸다.
    파일의 바이트만 들고 있으므로 긴 애니메이션도 메모리에는 한 장씩만 올라온다.

    Attributes:
        data: 파일 전체.
        format: 형식 이름.
        count: 프레임 수.
        start: 첫 프레임의 번호. APNG의 대체 이미지(default image)를 건너뛸 때 1이다.
        orientation: 적용할 EXIF 방향.
        alpha: 알파 채널을 남길지.
    """

    data: bytes
    format: str
    count: int
    start: int = 0
    orientation: int = 1
    alpha: bool = True

    def __len__(self) -> int:
        return self.count

    def __iter__(self) -> Iterator[Frame]:
        image = open_image(self.format, io.BytesIO(self.data))
        for index in range(self.start, self.start + self.count):
            image.seek(index)
            image.load()
            duration = float(image.info.get("duration", 0) or 0)
            array = to_array(image)[0]
            yield Frame(apply_orientation(self._unify(array), self.orientation), duration)

    def _unify(self, array: Array) -> Array:
        """프레임마다 다를 수 있는 채널 수를 BGR 또는 BGRA로 맞춘다."""
        if array.ndim == 2:
            array = np.repeat(array[..., None], 3, axis=2)
        if self.alpha and array.shape[2] == 3:
            opaque = np.full((*array.shape[:2], 1), 255, np.uint8)
            return np.concatenate([array, opaque], axis=2)
        return array if self.alpha else np.ascontiguousarray(array[..., :3])


def decode_any(data: bytes, header: Header, **known: Any) -> Picture:
    """Pillow가 푸는 정지 이미지나 애니메이션을 `Picture`로 만든다.

    애니메이션은 긴 작업을 시작하기 전에 모든 프레임을 한 번 풀어 망가진 프레임을 찾고, 투명한 곳이 하나도 없으면
    쓸모없는 알파를 뗀다.

    Args:
        data: 파일 전체.
        header: 그 머리.
        known: Pillow의 `info`보다 앞서는 값(`exif`, `loop`).

    Raises:
        Exception: 풀 수 없는 프레임이 있을 때 디코더가 내는 여러 가지 예외.
    """
    image = open_image(header.info.format, io.BytesIO(data))
    if header.info.frames == 1:
        return decode_still(image, header, **known)
    info: dict[Any, Any] = {**image.info, **known}
    # APNG의 대체 이미지는 애니메이션의 일부가 아니다. Pillow는 이것을 0번 프레임으로 센다.
    start = 1 if getattr(image, "default_image", False) else 0
    frames = AnimationFrames(data, header.info.format, header.info.frames, start, header.orientation)
    transparent = False
    for frame in frames:
        transparent = transparent or bool((frame.array[..., 3] != 255).any())
    icc = info.get("icc_profile")
    metadata, notes = collect_metadata(info, matching_icc(icc, "RGB") if icc else None)
    return Picture(
        frames=replace(frames, alpha=transparent),
        frame_count=header.info.frames,
        metadata=metadata,
        loop=int(info.get("loop", 0) or 0),
        format=header.info.format,
        notes=notes,
    )
