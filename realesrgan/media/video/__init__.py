"""영상 파일과 배열 사이(PyAV). torch를 쓰지 않는다."""

from __future__ import annotations

from realesrgan.media.video.containers import container_of
from realesrgan.media.video.encode_plan import plan_encoding
from realesrgan.media.video.join import join_film
from realesrgan.media.video.reader import VideoReader, detect_interlaced, probe_video
from realesrgan.media.video.rehearsal import rehearse_tracks
from realesrgan.media.video.segment import SegmentWriter, check_segment
from realesrgan.media.video.source import Source
from realesrgan.media.video.stream_writer import StreamWriter
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
    "container_of",
    "detect_interlaced",
    "join_film",
    "plan_encoding",
    "probe_video",
    "rehearse_tracks",
]
