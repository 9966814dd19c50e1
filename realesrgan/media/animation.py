"""애니메이션의 프레임을 한 장씩 푼다."""

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from realesrgan.media.colour import standard_image, to_array
from realesrgan.media.orientation import apply_orientation
from realesrgan.media.picture import Array, Frame
from realesrgan.media.plugins import open_plugin


@dataclass(frozen=True)
class AnimationFrames:
    """돌 때마다 처음부터 다시 풀어 내는 프레임들.

    앞 프레임 위에 겹쳐 그리는 지시(disposal, blending)는 모두 적용해, 언제나 온전한 한 장을 낸다.
    파일의 바이트만 들고 있으므로 긴 애니메이션도 메모리에는 한 장씩만 올라온다.

    Attributes:
        data: 파일 전체.
        format: 형식 이름.
        count: 프레임 수.
        start: 첫 프레임의 번호. APNG의 대체 그림(default image)을 건너뛸 때 1이다.
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
        image = open_plugin(self.format, io.BytesIO(self.data))
        for index in range(self.start, self.start + self.count):
            image.seek(index)
            image.load()
            duration = float(image.info.get("duration", 0) or 0)
            array = to_array(standard_image(image)[0])
            yield Frame(apply_orientation(self._unify(array), self.orientation), duration)

    def _unify(self, array: Array) -> Array:
        """프레임마다 다를 수 있는 채널 수를 BGR 또는 BGRA로 맞춘다."""
        if array.ndim == 2:
            array = np.repeat(array[..., None], 3, axis=2)
        if self.alpha and array.shape[2] == 3:
            opaque = np.full((*array.shape[:2], 1), 255, np.uint8)
            return np.concatenate([array, opaque], axis=2)
        return array if self.alpha else np.ascontiguousarray(array[..., :3])


def check_frames(frames: AnimationFrames) -> AnimationFrames:
    """모든 프레임을 한 번 풀어 보고, 투명한 곳이 하나도 없으면 알파를 뗀 프레임들을 돌려준다.

    긴 작업을 시작하기 전에 망가진 프레임을 찾고, 쓸모없는 알파를 키우지 않기 위해서다.

    Raises:
        Exception: 풀 수 없는 프레임이 있을 때 해독기가 내는 여러 가지 예외.
    """
    transparent = False
    for frame in frames:
        transparent = transparent or bool((frame.array[..., 3] != 255).any())
    return replace(frames, alpha=transparent)
