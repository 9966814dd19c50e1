"""비디오 파일과 배열 사이(PyAV). torch를 쓰지 않는다."""

from __future__ import annotations

from realesrgan.media.video.encode_plan import plan_encoding
from realesrgan.media.video.join import join_video
from realesrgan.media.video.reader import VideoReader
from realesrgan.media.video.segment import SegmentWriter
from realesrgan.media.video.types import (
    Colour,
    EncodePlan,
    EncodeRequest,
    PacketIndex,
    PixelLayout,
    Planes,
    Segment,
    SegmentTimes,
    VideoFrame,
    VideoInfo,
)

__all__ = [
    "Colour",
    "EncodePlan",
    "EncodeRequest",
    "PacketIndex",
    "PixelLayout",
    "Planes",
    "Segment",
    "SegmentTimes",
    "SegmentWriter",
    "VideoFrame",
    "VideoInfo",
    "VideoReader",
    "join_video",
    "plan_encoding",
]
