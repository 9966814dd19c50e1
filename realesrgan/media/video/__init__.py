"""비디오 파일과 배열 사이(PyAV). torch를 쓰지 않는다."""

from __future__ import annotations

from realesrgan.media.video.encode_plan import plan_encoding
from realesrgan.media.video.encoders import container_of
from realesrgan.media.video.files import Source
from realesrgan.media.video.join import join_video
from realesrgan.media.video.reader import VideoReader, detect_interlaced, probe_video
from realesrgan.media.video.segment import SegmentWriter, check_segment
from realesrgan.media.video.stream import StreamWriter
from realesrgan.media.video.tracks import check_tracks
from realesrgan.media.video.types import (
    Colour,
    EncodePlan,
    EncodeRequest,
    PacketIndex,
    PixelLayout,
    Planes,
    Segment,
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
    "SegmentWriter",
    "Source",
    "StreamWriter",
    "VideoFrame",
    "VideoInfo",
    "VideoReader",
    "check_segment",
    "check_tracks",
    "container_of",
    "detect_interlaced",
    "join_video",
    "plan_encoding",
    "probe_video",
]
