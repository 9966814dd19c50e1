"""스트림을 사람에게 가리키는 말과, 물려줄 메타데이터(metadata)."""

from __future__ import annotations

from typing import Any

_KINDS = {"audio": "소리", "subtitle": "자막", "video": "영상", "attachment": "첨부 파일", "data": "데이터"}
# 묶음 형식이나 부호기가 스스로 적는 것, 그리고 바뀐 영상에 맞지 않는 것은 물려주지 않는다.
_FILM_DROPPED = {"major_brand", "minor_version", "compatible_brands", "encoder", "duration", "software"}
_STREAM_DROPPED = {
    "encoder", "rotate", "duration", "vendor_id", "alpha_mode", "bps", "number_of_frames", "number_of_bytes",
    "source_id",
}  # fmt: skip
_GENERIC_HANDLERS = {"", "VideoHandler", "SoundHandler", "SubtitleHandler", "DataHandler"}
_MP4_TAGS = {
    "title", "artist", "album_artist", "composer", "album", "date", "comment", "genre", "copyright", "description",
    "synopsis", "show", "episode_id", "network", "lyrics", "grouping", "track", "disc", "creation_time", "author",
    "keywords", "season_number", "episode_sort", "location", "performer", "original_date", "publisher", "rating",
    "encoded_by", "tmpo", "compilation", "gapless_playback", "hd_video", "media_type", "timecode", "year",
}  # fmt: skip


def stream_label(stream: Any) -> str:
    """`소리 #2(dts, kor)`처럼 스트림을 가리키는 말."""
    context = getattr(stream, "codec_context", None)
    codec = context.codec.canonical_name if context is not None else (getattr(stream, "name", None) or "알 수 없음")
    language = stream.metadata.get("language", "und")
    detail = codec if language in ("und", "") else f"{codec}, {language}"
    return f"{_KINDS.get(stream.type, '스트림')} #{stream.index}({detail})"


def stream_tags(stream: Any) -> dict[str, str]:
    """스트림이 물려줄 메타데이터. 통계(`_STATISTICS`)와 길이처럼 다시 재야 하는 것은 뺀다."""
    return {
        key: value
        for key, value in stream.metadata.items()
        if key.lower().split("-")[0] not in _STREAM_DROPPED and not key.upper().startswith("_STATISTICS")
    }


def film_tags(container: Any) -> dict[str, str]:
    """영상 전체가 물려줄 메타데이터."""
    return {key: value for key, value in container.metadata.items() if key.lower() not in _FILM_DROPPED}


def untold_tags(tags: dict[str, str], muxer: str) -> list[str]:
    """그 형식에 적을 자리가 없는 메타데이터의 이름들. Matroska와 WebM은 무엇이든 적는다."""
    if muxer not in ("mp4", "mov"):
        return []
    return sorted(key for key in tags if key.lower().split("-")[0] not in _MP4_TAGS)


def titled(tags: dict[str, str], muxer: str) -> dict[str, str]:
    """그 형식에서 스트림의 이름이 보이게 한 메타데이터. mp4와 mov는 이름을 handler에 적는다."""
    generic = tags.get("handler_name", "") in _GENERIC_HANDLERS
    result = {key: value for key, value in tags.items() if key != "handler_name" or not generic}
    if muxer in ("mp4", "mov") and "title" in result:
        result.setdefault("handler_name", result["title"])
    return result
