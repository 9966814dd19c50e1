"""묶음 형식(container)이 담을 수 있는 것."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from realesrgan.errors import VideoFormatError


@dataclass(frozen=True)
class Container:
    """묶음 형식 하나.

    Attributes:
        muxer: FFmpeg의 묶음 형식 이름.
        extensions: 파일 확장자.
        audio: 그대로 복사할 수 있는 소리 코덱. 비었으면 무엇이든.
        audio_encoder: 복사할 수 없을 때 쓸 소리 부호기.
        subtitles: 그대로 복사할 수 있는 자막 코덱.
        text_encoder: 글자 자막을 옮길 부호기. None이면 담을 수 없다.
        attachments, chapters: 첨부 파일과 장을 담을 수 있는지.
        cover: 표지 그림을 그림 스트림으로 담을 수 있는지.
    """

    muxer: str
    extensions: tuple[str, ...]
    audio: frozenset[str]
    audio_encoder: str
    subtitles: frozenset[str]
    text_encoder: str | None
    attachments: bool = False
    chapters: bool = True
    cover: bool = False


_PCM = frozenset(f"pcm_{kind}" for kind in ("s16le", "s16be", "s24le", "s24be", "s32le", "s32be", "f32le", "f64le"))
_MP4_AUDIO = frozenset(["aac", "mp3", "mp2", "ac3", "eac3", "alac", "flac", "opus", "dts"])
_MKV_AUDIO = (
    _MP4_AUDIO
    | (_PCM - {"pcm_s24be", "pcm_s32be"})
    | frozenset(["truehd", "mlp", "vorbis", "tta", "wavpack", "ra_144", "ra_288", "cook"])
)
_MKV_SUBTITLES = frozenset(
    ["subrip", "ass", "ssa", "webvtt", "text", "hdmv_pgs_subtitle", "dvd_subtitle", "dvb_subtitle"]
)

CONTAINERS = {
    item.muxer: item
    for item in (
        Container("mp4", (".mp4", ".m4v"), _MP4_AUDIO, "aac", frozenset({"mov_text"}), "mov_text", cover=True),
        Container("mov", (".mov", ".qt"), (_MP4_AUDIO - {"opus", "flac"}) | _PCM, "aac",
                  frozenset({"mov_text"}), "mov_text", cover=False),
        Container("matroska", (".mkv",), _MKV_AUDIO, "flac", _MKV_SUBTITLES, "ass", attachments=True, cover=True),
        Container("webm", (".webm",), frozenset({"opus", "vorbis"}), "libopus", frozenset({"webvtt"}), "webvtt"),
    )
}  # fmt: skip


def container_of(path: str | os.PathLike[str]) -> str:
    """확장자에서 묶음 형식의 FFmpeg 이름(`mp4`, `mov`, `matroska`, `webm`)을 정한다.

    Raises:
        VideoFormatError: 확장자를 모를 때.
    """
    suffix = Path(os.fspath(path)).suffix.lower()
    for item in CONTAINERS.values():
        if suffix in item.extensions:
            return item.muxer
    known = ", ".join(extension for item in CONTAINERS.values() for extension in item.extensions)
    raise VideoFormatError(
        f"영상을 담을 형식을 알 수 없습니다: {path}\n  이유: 확장자 {suffix or '(없음)'}의 형식은 쓸 수 없습니다.\n"
        f"  해결: 다음 가운데 하나로 끝나는 이름을 쓰세요: {known}"
    )
