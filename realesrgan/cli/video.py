"""영상을 키우는 명령의 자리. 이 판은 사진만 다룬다."""

from __future__ import annotations

from collections.abc import Sequence

from realesrgan.cli.console import EXIT_USAGE, prepare_streams, say_error


def main(argv: Sequence[str] | None = None) -> int:
    """영상을 아직 다루지 않음을 알리고 2를 돌려준다."""
    prepare_streams()
    say_error(
        "이 판은 영상을 다루지 않습니다.\n"
        "  영상 업스케일은 다음 판에 들어갑니다.\n"
        "  해결: 영상을 그림으로 풀어 `realesrgan -i 그림폴더 -n realesr-animevideov3`으로 키우세요."
    )
    return EXIT_USAGE
