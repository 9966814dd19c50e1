"""원본의 영상이 아닌 스트림들(소리, 자막, 첨부, 장, 메타데이터)을 결과로 옮긴다."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from realesrgan.media.video.source import Source
from realesrgan.media.video.types import EncodePlan, VideoInfo


class Tracks:
    """옮길 스트림들.

    Attributes:
        warnings: 담지 못한 것들에 대한 알림.
    """

    def __init__(self) -> None:
        self.warnings: tuple[str, ...] = ()

    def packets(self) -> Iterator[tuple[float, Any]]:
        """`(시각(초), 패킷)`을 시각 차례로."""
        return iter(())

    def close(self) -> None:
        """원본을 닫는다."""


def open_tracks(
    output: Any,
    source: Source | None,
    plan: EncodePlan,
    info: VideoInfo | None,
    window: tuple[float | None, float | None],
) -> Tracks:
    """원본을 열어 결과에 스트림들을 마련한다."""
    return Tracks()
