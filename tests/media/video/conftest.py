"""비디오 시험이 함께 쓰는 비디오들. 만드는 데 시간이 걸리므로 한 번만 만든다."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.media.video import samples


@pytest.fixture(scope="session")
def video_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("videos")


@pytest.fixture(scope="session")
def rich_mkv(video_folder: Path) -> Path:
    return samples.rich_video(video_folder)


@pytest.fixture(scope="session")
def rich_mp4(video_folder: Path, rich_mkv: Path) -> Path:
    return samples.mp4_with_cover(video_folder, rich_mkv)


_HEALTHY = {
    "tail.mp4": ("-c:v", "libx264", "-g", "8"),
    "head.mp4": ("-c:v", "libx264", "-g", "8", "-movflags", "+faststart"),
    "fragments.mp4": ("-c:v", "libx264", "-g", "8", "-movflags", "+frag_keyframe+empty_moov"),
    "opengop.mp4": ("-c:v", "libx264", "-x264-params", "open-gop=1:keyint=8:bframes=3"),
    "refresh.mp4": ("-c:v", "libx264", "-x264-params", "intra-refresh=1:keyint=10"),
    "hevc.mp4": ("-c:v", "libx265", "-x265-params", "log-level=none:open-gop=1:keyint=8"),
    "av1.mp4": ("-c:v", "libsvtav1", "-preset", "12", "-g", "8"),
    "plain.mkv": ("-c:v", "libx264", "-g", "8"),
    "lossless.mkv": ("-c:v", "ffv1", "-c:a", "flac"),
    "vp9.webm": ("-c:v", "libvpx-vp9", "-cpu-used", "8", "-c:a", "libopus"),
    "vp8.webm": ("-c:v", "libvpx", "-auto-alt-ref", "1", "-lag-in-frames", "12", "-c:a", "libopus"),
    "xvid.avi": ("-c:v", "mpeg4", "-bf", "2", "-c:a", "mp3"),
    "h264.avi": ("-c:v", "libx264", "-c:a", "mp3"),
    "raw.avi": ("-c:v", "rawvideo", "-pix_fmt", "bgr24"),
    "prores.mov": ("-c:v", "prores_ks", "-c:a", "pcm_s16le"),
    "broadcast.ts": ("-c:v", "mpeg2video", "-bf", "2", "-g", "8"),
    "fields.ts": ("-c:v", "mpeg2video", "-flags", "+ilme+ildct", "-bf", "2", "-g", "8"),
    "h264.ts": ("-c:v", "libx264", "-g", "8"),
    "program.mpg": ("-c:v", "mpeg2video", "-bf", "2"),
    "flash.flv": ("-c:v", "flv"),
    "windows.wmv": ("-c:v", "wmv2", "-c:a", "wmav2"),
    "theora.ogv": ("-c:v", "libtheora", "-q:v", "8", "-c:a", "libvorbis"),
    "plain.nut": ("-c:v", "ffv1", "-c:a", "flac"),
    "plain.y4m": ("-an",),
    "bare.h264": ("-c:v", "libx264", "-an"),
}
HEALTHY = tuple(_HEALTHY)


@pytest.fixture(scope="session")
def healthy(video_folder: Path) -> dict[str, Path]:
    """갖가지 형식의 성한 30프레임짜리 비디오. 소리가 비디오보다 조금 길다."""
    made = {}
    for name, options in _HEALTHY.items():
        path = video_folder / name
        samples.ffmpeg("-f", "lavfi", "-i", "testsrc2=s=64x48:r=25:d=1.2", "-f", "lavfi", "-i", "sine=d=1.3:r=44100",
                     *options, path)  # fmt: skip
        made[name] = path
    return made
