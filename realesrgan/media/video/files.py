"""PyAV로 파일을 열고 쓰는 자리.

이름을 글자 그대로 열고, 파일이 다른 파일이나 주소를 불러들이지 못하게 하며, 오류를 한국어로 옮긴다.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

from realesrgan.errors import VideoDamagedError, VideoDependencyError, VideoReadError, VideoWriteError
from realesrgan.util.files import os_reason


def import_av() -> Any:
    """PyAV 모듈 `av`를 돌려준다.

    Raises:
        VideoDependencyError: PyAV가 설치되어 있지 않거나 불러올 수 없을 때.
    """
    try:
        import av
        import av.error
    except ImportError as error:
        raise VideoDependencyError(
            f"비디오를 읽고 쓰는 PyAV를 불러올 수 없습니다.\n  이유: {error}\n"
            '  해결: python -m pip install "av>=17.1" 로 설치한 뒤 다시 실행하세요.'
        ) from error
    return av


Source = str | os.PathLike[str] | BinaryIO
"""비디오가 오는 곳. 파일 객체는 되감을 수 없는 표준 입력으로 본다."""

# 이들은 이미지거나, 속에 적힌 다른 파일과 주소를 여는 목록이다. 비디오 파일 하나로 다루지 않는다.
PICTURE_FORMATS = ("image2", "_pipe", "gif", "apng", "webp_anim", "ico")
_PLAYLIST_FORMATS = frozenset(("hls", "concat", "dash", "sdp", "rtsp", "rtp", "imf", "webm_dash_manifest"))


# 훑는 바이트와 마이크로초의 한도. FFmpeg의 기본은 5MB와 5초쯤이다.
_DEEP_PROBE = {"probesize": str(1 << 28), "analyzeduration": str(600 * 1_000_000)}


def local_url(path: str | os.PathLike[str]) -> str:
    """FFmpeg가 프로토콜이나 무늬로 읽지 않을 이름. `concat:`, `http:`, `%03d`, `-`로 시작해도 파일 이름일 뿐이다."""
    return "file:" + str(Path(os.fspath(path)).absolute())


def open_container(source: Source, deep: bool = False) -> Any:
    """비디오를 연다. 부르는 쪽이 닫는다.

    Args:
        source: 경로, 또는 읽을 수 있는 바이너리 파일 객체.
        deep: 늦게 시작하는 스트림도 알아보도록 앞부분을 오래(10분, 256MB까지) 훑을지.

    Returns:
        `av.container.InputContainer`.

    Raises:
        VideoReadError: 없거나, 읽을 수 없거나, 비디오가 아닐 때.
        VideoDependencyError: PyAV가 없을 때.
    """
    av = import_av()
    path, name = None, "표준 입력"
    if isinstance(source, (str, os.PathLike)):
        path, name = Path(os.fspath(source)), os.fspath(source)
    try:
        if path is not None and not (path.is_file() and path.stat().st_size):
            raise _no_file(path, name)
        return av.open(
            source if path is None else local_url(path),
            mode="r",
            container_options={
                "protocol_whitelist": "file",
                # 목록 형식(playlist)은 다른 파일을 열 수 있으므로 뺀다.
                "format_whitelist": ",".join(sorted(set(av.formats_available) - _PLAYLIST_FORMATS)),
                **(_DEEP_PROBE if deep else {}),
            },
            # PyAV 19에는 이 인자가 없다.
            **({"metadata_errors": "replace"} if int(av.__version__.partition(".")[0]) < 19 else {}),
        )
    except (av.error.FFmpegError, OSError, ValueError) as error:
        from realesrgan.media.video.damage import missing_index

        if path is not None and missing_index(path):
            raise _cut_before_index(name) from error
        raise unreadable(name, error) from error


def _cut_before_index(name: str) -> VideoDamagedError:
    return VideoDamagedError(
        f"비디오가 깨졌거나 잘렸습니다: {name}\n  이유: 색인(moov)이 없습니다. 쓰다가 끊겼거나 뒤가 잘린 파일입니다. "
        "성한 프레임은 0개입니다.\n  해결: 원본을 다시 받으세요."
    )


_READ_TRIES = 100
"""읽기 오류가 이만큼 잇따르면 끝으로 본다."""


def demux(container: Any, *streams: Any, trouble: Callable[[OSError], None] | None = None) -> Iterator[Any]:
    """스트림들의 패킷. 도중에 나타난 스트림의 것은 건너뛴다.

    방송의 구성이 바뀌거나 깨진 곳에서 잘못 읽으면 처음에 없던 스트림이 생기고, PyAV는 그 패킷에서 `IndexError`를 낸다.
    AVI의 시각은 색인에 맞춘다(`on_index`).

    Args:
        container: 연 비디오.
        streams: 읽을 스트림들.
        trouble: 읽기 오류를 받는 함수. 예외를 내지 않으면 그 뒤를 계속 읽는다. None이면 오류를 그대로 낸다.
    """
    failures = 0
    while failures < _READ_TRIES:
        try:
            packets = container.demux(*streams)
            for packet in on_index(packets) if container.format.name == "avi" else packets:
                failures = 0
                yield packet
            return
        except IndexError:
            continue
        except (import_av().error.FFmpegError, OSError) as error:
            if trouble is None:
                raise
            failures += 1
            trouble(error)


LOST_BEFORE = "lost"
"""앞의 덩어리를 잃은 패킷의 표시."""
_CHUNK_HEAD = 8
"""AVI의 색인은 덩어리의 머리를, 패킷은 그 다음의 내용을 가리킨다."""


def on_index(packets: Iterable[Any]) -> Iterator[Any]:
    """AVI의 패킷들을 색인이 말하는 시각에 놓는다.

    AVI에는 시각이 없어 FFmpeg는 읽은 덩어리를 센다. 깨진 곳에서 덩어리를 잃으면 그 뒤가 모두 앞당겨지고 소리와도
    어긋나므로, 색인에 적힌 제 차례보다 이르면 그만큼 늦춘다. 색인이 없거나 성한 파일은 그대로다. 바로 앞에서 덩어리를
    잃은 패킷의 `opaque`는 `LOST_BEFORE`다.
    """
    clocks: dict[int, _IndexClock] = {}
    for packet in packets:
        if packet.size and packet.dts is not None:
            clock = clocks.setdefault(packet.stream.index, _IndexClock(packet.stream.index_entries))
            before, late = clock.late, clock.lateness(packet.pos, packet.dts)
            packet.opaque = LOST_BEFORE if late > before else None
            packet.dts += late
            packet.pts = None if packet.pts is None else packet.pts + late
        yield packet


class _IndexClock:
    """한 스트림의 색인을 따라가며, 센 시각이 얼마나 이른지 안다. 소리의 색인은 바이트로 셀 수도 있다."""

    def __init__(self, entries: Any) -> None:
        self._entries = entries
        self._place = self.late = 0
        self._unit: int | None = None
        self.latest: tuple[int, int, int] | None = None

    def lateness(self, pos: int | None, dts: int) -> int:
        """그 자리의 패킷을 얼마나 늦출지(눈금)."""
        entries, place = self._entries, self._place
        while pos is not None and place < len(entries) and entries[place].pos + _CHUNK_HEAD < pos:
            place += 1
        self._place = place
        if pos is None or place == len(entries) or entries[place].pos + _CHUNK_HEAD != pos:
            return self.late
        moment, before = entries[place].timestamp, self.latest
        if self._unit is None and before is not None and place == before[0] + 1 and dts > before[2]:
            self._unit = (moment - before[1]) // (dts - before[2])
        self.latest = (place, moment, dts)
        self._place = place + 1
        if self._unit:
            self.late = max(self.late, moment // self._unit - dts)
        return self.late


def complaints(packets: Iterator[Any]) -> Iterator[tuple[Any, bool]]:
    """패킷마다, 바로 앞에서 컨테이너가 읽지 못한 곳이 있다고 했는지. FFmpeg는 그것을 글로만 알린다.

    마지막 패킷의 뒤에서 그랬으면 `(None, True)`를 더 낸다.
    """
    logging = import_av().logging
    before = logging.get_level()
    logging.set_level(logging.ERROR)
    try:
        with logging.Capture() as logs:
            for packet in packets:
                yield packet, bool(logs)
                logs.clear()
            if logs:
                yield None, True
    finally:
        logging.set_level(before)


def _no_file(path: Path, name: str) -> VideoReadError:
    """열 수 없는 것의 까닭: 없거나, 폴더거나, 파이프거나, 비어 있다."""
    try:
        status = path.stat()
    except OSError as error:
        return unreadable(name, error)
    head = f"비디오를 읽을 수 없습니다: {name}\n  이유: "
    if stat.S_ISDIR(status.st_mode):
        return VideoReadError(f"{head}파일이 아니라 폴더입니다.\n  해결: 비디오 파일을 지정하세요.")
    if not stat.S_ISREG(status.st_mode):
        return VideoReadError(
            f"{head}보통 파일이 아니라 여러 번 열 수 없습니다(파이프나 장치).\n"
            "  해결: 표준 입력(-i -)으로 넘기거나 파일로 저장한 뒤 지정하세요."
        )
    return VideoReadError(f"{head}파일이 비어 있습니다(0바이트).\n  해결: 파일을 다시 받으세요.")


def unreadable(name: str, error: BaseException) -> VideoReadError:
    """연 자리에서 난 오류를 한국어로 옮긴다."""
    av = import_av()
    head = f"비디오를 읽을 수 없습니다: {name}"
    if isinstance(error, av.error.FFmpegError) and not isinstance(error, OSError):
        reason, remedy = _ffmpeg_reason(error)
    elif isinstance(error, OSError) and isinstance(error.errno, int) and 0 < error.errno < 1000:
        reason, remedy = os_reason(error)
        if isinstance(error, av.error.FFmpegError) and error.errno == 22:
            reason, remedy = _ffmpeg_reason(error)
    else:
        reason, remedy = _ffmpeg_reason(error)
    return VideoReadError(f"{head}\n  이유: {reason}\n  해결: {remedy}")


def _ffmpeg_reason(error: BaseException) -> tuple[str, str]:
    av = import_av()
    if isinstance(error, (av.error.InvalidDataError, av.error.EOFError)):
        return (
            "비디오 파일이 아니거나 머리가 깨졌습니다.",
            "다른 재생기로 열리는지 확인하고, 내려받은 것이면 다시 받으세요.",
        )
    detail = getattr(error, "strerror", None) or str(error)
    return f"FFmpeg가 열지 못했습니다({detail}).", "다른 재생기로 열리는지 확인하고 mp4나 mkv로 바꾸어 보세요."


_EINVAL = 22


def write_error(target: str | os.PathLike[str], error: BaseException) -> VideoWriteError:
    """쓰다가 난 오류를 이유와 해결이 있는 예외로 만든다."""
    number = getattr(error, "errno", None)
    if isinstance(error, OSError) and isinstance(number, int) and 0 < number < 1000 and number != _EINVAL:
        reason, remedy = os_reason(error)
    else:
        detail = getattr(error, "strerror", None) or str(error)
        reason = f"인코더나 컨테이너가 받아들이지 않았습니다({detail})."
        remedy = "--codec이나 -o의 확장자를 바꾸어 보세요."
    return VideoWriteError(f"비디오를 쓸 수 없습니다: {os.fspath(target)}\n  이유: {reason}\n  해결: {remedy}")


@contextmanager
def korean_write_errors(target: str | os.PathLike[str]) -> Iterator[None]:
    """블록에서 난 PyAV와 운영체제의 오류를 `VideoWriteError`로 바꾼다.

    Raises:
        VideoWriteError: 쓸 수 없을 때.
    """
    av = import_av()
    try:
        yield
    except (av.error.FFmpegError, OSError, ValueError) as error:
        raise write_error(target, error) from error


def settle(temporary: Path, target: Path) -> None:
    """다 쓴 임시 파일을 디스크에 내리고(fsync) 제 이름을 준다.

    Raises:
        OSError: 내리거나 이름을 바꿀 수 없을 때.
    """
    handle = os.open(temporary, os.O_RDWR | getattr(os, "O_BINARY", 0))
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
    temporary.replace(target)
