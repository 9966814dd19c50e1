"""긴 일을 시작하기 전에, 소리와 자막을 결과에 담을 수 있는지 머리만 써 본다."""

from __future__ import annotations

import os
from contextlib import closing
from io import BytesIO

from realesrgan.media.video.failures import korean_write_errors
from realesrgan.media.video.library import import_av
from realesrgan.media.video.source import Source
from realesrgan.media.video.tracks import open_tracks
from realesrgan.media.video.types import EncodePlan
from realesrgan.media.video.window import Window


def rehearse_tracks(source: Source, target: str | os.PathLike[str], plan: EncodePlan) -> tuple[str, ...]:
    """영상이 아닌 스트림들을 메모리의 빈 결과에 마련해 본다. 패킷은 옮기지 않는다.

    Args:
        source: 원본 파일. 되감을 수 있어야 한다.
        target: 오류에 적을 결과의 이름.
        plan: 부호화 계획.

    Returns:
        담지 못하거나 바꾸어 담을 것들에 대한 알림.

    Raises:
        VideoReadError: 원본을 열 수 없을 때.
        VideoWriteError: 소리나 자막을 담을 수 없을 때.
    """
    with korean_write_errors(target):
        output = import_av().open(BytesIO(), "w", format=plan.container)
        with closing(output), closing(open_tracks(output, source, plan, Window())) as tracks:
            if output.streams:
                output.start_encoding()
            return tracks.warnings
