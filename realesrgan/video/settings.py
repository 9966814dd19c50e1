"""비디오 한 편을 키우는 일의 입력, 결과, 설정."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Literal, Protocol, TypeVar

from realesrgan.errors import UsageError
from realesrgan.media.formats import is_image_name, writable_extensions
from realesrgan.media.video.types import Hole
from realesrgan.util.files import expand_user, natural_key, os_reason
from realesrgan.util.numbers import Outscale, check_outscale

if TYPE_CHECKING:
    from realesrgan.media.video import VideoReader
    from realesrgan.video.image_sequence import ImageSequence

T = TypeVar("T")

# 컨테이너를 고르는 확장자와 FFmpeg의 이름. 표준 출력에는 되감지 않고 쓸 수 있는 것만 쓴다.
ANIMATION = "animation"
CONTAINERS = {"mp4": "mp4", "m4v": "mp4", "mkv": "matroska", "mov": "mov", "qt": "mov", "webm": "webm"}
CONTAINERS |= dict.fromkeys(("gif", "webp", "apng"), ANIMATION)
STREAM_CONTAINERS = {"nut": "nut", "y4m": "yuv4mpegpipe"}
IMAGES = "images"
PICTURES = (IMAGES, ANIMATION)
"""프레임을 이미지로 쓰는 결과: 이미지가 든 폴더와, 움직이는 이미지 하나."""


@dataclass(frozen=True)
class VideoSettings:
    """비디오를 어떻게 키울지. 파일과 배열에는 매이지 않는다.

    Attributes:
        outscale: 결과의 배율(0보다 크다)이나 크기(`OutputSize`). None이면 네트워크의 배율.
        codec: 인코더 이름(`libx264`, `h265`, `prores` 등). None이면 원본과 컨테이너에 맞춘다.
        crf: 품질. 작을수록 좋다. 범위는 코덱마다 다르다.
        preset: 인코더의 빠르기와 압축의 균형.
        pix_fmt: 결과의 픽셀 형식(FFmpeg의 이름).
        encoder_options: 인코더에 그대로 넘길 옵션.
        bitrate: 평균 비트율(초당 비트). `crf`와 함께 쓰지 못한다.
        fps: 결과의 초당 프레임. 길이는 그대로고 프레임을 되풀이하거나 뺀다. 이미지 시퀀스면 그 속도다.
        retime: `fps`를 바꿀 때 프레임 수를 그대로 두고 길이를 바꿀지. 소리와 자막도 그만큼 빨라지거나 느려진다.
        gaps: 이미지 시퀀스의 빠진 번호를 그 앞의 이미지로 메울지. 아니면 빠진 번호가 있을 때 시작하지 않는다.
        start, end: 키울 구간(초). 0초는 첫 프레임이다. None은 처음과 끝.
        deinterlace: 비월(interlaced) 비디오를 펴서 키울지. `single`(True도 같다)은 프레임마다 하나, `double`은 필드마다
            하나로 편다.
        ivtc: 2:3 풀다운으로 늘린 필름(hard telecine)을 본래의 프레임으로 되돌려 키울지.
        progressive: 비월이라는 표시와 판단을 따르지 않고 그대로 키울지.
        on_damage: 원본이 깨진 곳에서 할 일. `stop`은 성한 앞부분만 남기고 그친다. `continue`는 앞 프레임을 되풀이하며
            계속하고 깨진 곳을 모두 알린다.
        on_change: 도중에 화면의 크기나 형식이 바뀔 때 할 일. `stop`은 그 앞까지만 남기고 그친다. `scale`은 처음의
            모양에 맞춘다. `split`은 바뀌는 곳마다 나누어 `이름_part1`, `이름_part2`, …로 저마다 만든다(비디오 파일만).
        alpha_upsampler: 알파 채널을 키우는 방법. `realesrgan`은 네트워크, `bicubic`은 보간.
        tile: 타일(tile) 한 변(픽셀). 0이면 통째, `auto`면 메모리에 맞춘다.
        tile_pad: 타일의 패딩(픽셀).
        pre_pad: 오른쪽과 아래에 먼저 덧댈 픽셀.
        batch: 작업자가 한 번에 계산할 프레임 수. None이면 장치에 맞춘다.
        workers: 장치마다의 작업자 수. None이면 장치에 맞춘다.
        resume: 하다 만 작업을 이어 할지.
        overwrite: 있는 결과와 하다 만 작업을 새로 만들지.
        preview: 지금의 프레임을 이따금 적어 둘 이미지의 경로.
        shard_segments: `(몫의 번호, 몫의 수)`. 한 편의 조각 가운데 번호를 몫의 수로 나눈 나머지가 같은 것만 하고, 모두
            놓였으면 하나로 잇는다. 같은 결과 폴더를 보는 실행들이 서로 말하지 않고 나눌 때 쓴다.
        steps: 네트워크와 파일 사이에서 프레임을 고치는 단계들(`"blend=0.7"` 등).

    Raises:
        InvalidValueError: 배율을 쓸 수 없을 때.
    """

    outscale: Outscale | None = None
    codec: str | None = None
    crf: float | None = None
    preset: str | None = None
    pix_fmt: str | None = None
    encoder_options: Mapping[str, str] = field(default_factory=dict)
    bitrate: int | None = None
    fps: Fraction | None = None
    retime: bool = False
    gaps: bool = False
    start: Fraction | None = None
    end: Fraction | None = None
    deinterlace: bool | Literal["single", "double"] = False
    ivtc: bool = False
    progressive: bool = False
    on_damage: Literal["stop", "continue"] = "stop"
    on_change: Literal["stop", "scale", "split"] = "stop"
    alpha_upsampler: Literal["realesrgan", "bicubic"] = "realesrgan"
    tile: int | Literal["auto"] = "auto"
    tile_pad: int = 10
    pre_pad: int = 0
    batch: int | None = None
    workers: int | None = None
    resume: bool = False
    overwrite: bool = False
    preview: Path | None = None
    shard_segments: tuple[int, int] = (0, 1)
    steps: tuple[Any, ...] = ()

    def __post_init__(self) -> None:
        if self.outscale is not None:
            check_outscale(self.outscale)


@dataclass(frozen=True)
class VideoResult:
    """비디오 한 편의 결과.

    Attributes:
        input, output: 경로. 표준 입력과 출력은 그 이름.
        status: `done`, `failed`, `skipped`(이어 하려는데 이미 끝남), `waiting`(`shard_segments`의 제 몫만 마침) 가운데
            하나. 명령은 시작할 수 없음(`refused`)과 중단(`interrupted`)도 적는다.
        seconds: 걸린 시간(초).
        model: 모델 이름이나 가중치의 경로.
        outscale: 쓴 배율.
        frames: 결과의 프레임 수.
        repeats: 앞 프레임과 똑같아 다시 계산하지 않은 프레임 수(이번에 한 것만).
        resumed: 이어 하기로 건너뛴 프레임 수.
        input_size, output_size: `(너비, 높이)`, 픽셀.
        codec, pix_fmt, container: 결과의 인코딩.
        stages: 단계마다의 일한 시간과 기다린 시간(초)과 작업자 수. 프로세스들의 합이다.
        preview: 적어 둔 미리보기의 경로.
        steps: 거친 단계들(`blend=0.7` 등).
        counts: 단계가 센 것(`faces` 등)의 이름과 수(이번에 계산한 프레임만).
        runs: 픽셀마다 네트워크를 돌린 횟수. 앙상블이 아니면 1.
        backend, device, precision: 실제로 쓴 엔진의 이름과 장치와 정밀도.
        reason: 실패나 건너뜀의 이유.
        notes: 결과에 담지 못해 포기한 것과 알릴 것.
        parts: 화면이 바뀌는 곳에서 나눈 결과들의 경로(`on_change="split"`). 나누지 않았으면 비어 있다.
        holes: 지나온 깨진 곳들(`on_damage="continue"`). 하나라도 있으면 결과는 다 만들었어도 상태가 `failed`다.
    """

    input: str
    output: str
    status: str
    seconds: float = 0.0
    model: str | None = None
    outscale: float | None = None
    frames: int = 0
    repeats: int = 0
    resumed: int = 0
    input_size: tuple[int, int] | None = None
    output_size: tuple[int, int] | None = None
    codec: str | None = None
    pix_fmt: str | None = None
    container: str | None = None
    stages: dict[str, Any] = field(default_factory=dict)
    preview: str | None = None
    steps: tuple[str, ...] = ()
    counts: Mapping[str, int] = field(default_factory=dict)
    runs: int = 1
    backend: str | None = None
    device: str | None = None
    precision: str | None = None
    reason: str | None = None
    notes: tuple[str, ...] = ()
    parts: tuple[str, ...] = ()
    holes: tuple[Hole, ...] = ()


@dataclass(frozen=True)
class VideoProgress:
    """지금까지의 진행.

    Attributes:
        frames: 끝난 프레임 수. 이어 하기로 건너뛴 것도 든다.
        total: 모든 프레임 수. 모르면 None.
        resumed: 이어 하기로 건너뛴 프레임 수.
        size: 지금까지의 결과 크기(바이트).
        preview: 적어 둔 미리보기. 아직 없으면 None.
    """

    frames: int
    total: int | None
    resumed: int = 0
    size: int = 0
    preview: Path | None = None


Progress = Callable[[VideoProgress], None]


class Processes(Protocol):
    """한 비디오의 조각들을 나누어 맡는 프로세스들(torchrun). 모두가 같은 차례로 같은 것을 불러야 한다."""

    @property
    def leads(self) -> bool:
        """정하고 이어 붙이는 프로세스인지."""
        ...

    @property
    def size(self) -> int:
        """프로세스의 수."""
        ...

    @property
    def local_size(self) -> int:
        """이 컴퓨터의 프로세스 수."""
        ...

    def claim(self, name: str) -> int:
        """모든 프로세스를 통틀어 그 이름으로 몇 번째로 불렀는지(0부터)."""
        ...

    def broadcast(self, value: T | None) -> T:
        """이끄는 프로세스의 값을 모두에게 준다."""
        ...

    def gather(self, value: T) -> list[T]:
        """모든 프로세스의 값을 모아 모두에게 준다."""
        ...


@dataclass(frozen=True)
class VideoSource:
    """키울 비디오가 오는 곳.

    Attributes:
        name: 사람에게 보일 이름.
        file: 비디오 파일의 경로나 표준 입력. 이미지 시퀀스면 None.
        images: 이미지들, 보일 차례대로. 비디오 파일이면 비어 있다.
        rate: 이미지의 초당 프레임.
        is_stream: 되감을 수 없는지.
        is_animation: `file`이 움직이는 이미지(GIF, WebP, APNG)인지.
    """

    name: str
    file: Path | BinaryIO | None = None
    images: tuple[Path, ...] = ()
    rate: Fraction | None = None
    is_stream: bool = False
    is_animation: bool = False

    def open(self) -> VideoReader | ImageSequence:
        """리더를 연다.

        Raises:
            VideoError, ImageReadError: 열 수 없을 때.
        """
        if self.file is None:
            from realesrgan.video.image_sequence import ImageSequence

            return ImageSequence(self.images, self.name, self.rate)
        if self.is_animation:
            from realesrgan.video.animation import Animation

            return Animation(Path(self.name))
        from realesrgan.media.video.reader import VideoReader

        return VideoReader(self.file)


@dataclass(frozen=True)
class VideoTarget:
    """결과가 갈 곳.

    Attributes:
        path: 결과 파일이나 폴더(이미지 시퀀스). 표준 출력이면 None.
        container: FFmpeg의 컨테이너 이름, 또는 `images`(이미지가 든 폴더)나 `animation`(움직이는 이미지).
        extension: 이미지 시퀀스일 때 점 없는 확장자.
        stream: `path`가 없을 때 쓸 곳. 되감지 않는다.
    """

    path: Path | None
    container: str
    extension: str = "png"
    stream: BinaryIO | None = field(default=None, compare=False)

    @property
    def partial_path(self) -> Path:
        """잘린 비디오의 성한 부분을 둘 이름."""
        if self.path is None:
            raise ValueError("표준 출력에는 이름이 없습니다.")
        return self.path.with_name(f"{self.path.stem}.partial{self.path.suffix}")

    def part(self, number: int) -> VideoTarget:
        """화면이 바뀌는 곳에서 나눈 `number`번째(1부터) 결과."""
        if self.path is None:
            raise ValueError("표준 출력은 나눌 수 없습니다.")
        return replace(self, path=self.path.with_name(f"{self.path.stem}_part{number}{self.path.suffix}"))


def find_source(source: str | os.PathLike[str] | BinaryIO, fps: Fraction | None = None) -> VideoSource:
    """비디오 파일, 이미지가 차례대로 든 폴더, 되감을 수 없는 바이너리 파일 객체에서 입력을 정한다.

    Raises:
        UsageError: 없거나, 이미지 파일이거나, 폴더에 이미지가 없을 때.
    """
    if not isinstance(source, (str, os.PathLike)):
        return VideoSource("표준 입력", file=source, is_stream=True)
    path = expand_user(os.fspath(source))
    try:
        if path.is_dir():
            images = sorted((item for item in path.iterdir() if _is_frame(item)), key=natural_key)
            if not images:
                raise UsageError(
                    f"폴더에 이미지가 없습니다: {path}\n  해결: 비디오 파일이나, 이미지가 차례대로 든 폴더를 주세요."
                )
            return VideoSource(str(path), images=tuple(images), rate=fps)
    except OSError as error:
        reason, remedy = os_reason(error)
        raise UsageError(f"입력을 열 수 없습니다: {path}\n  {reason}\n  해결: {remedy}") from error
    if not path.exists():
        raise UsageError(
            f"입력이 없습니다: {path}\n  이유: 그런 파일이나 폴더가 없습니다.\n  해결: 경로와 파일 이름을 확인하세요."
        )
    if is_image_name(path):
        from realesrgan.video.animation import is_animation

        if is_animation(path):
            return VideoSource(str(path), file=path, is_animation=True)
        raise UsageError(
            f"움직이지 않는 이미지는 비디오가 아닙니다: {path}\n"
            "  해결: 사진 명령(python inference_realesrgan.py)으로 키우거나, 이미지가 차례대로 든 폴더를 주세요."
        )
    return VideoSource(str(path), file=path)


def _is_frame(path: Path) -> bool:
    return not path.name.startswith(".") and path.is_file() and is_image_name(path)


def find_target(target: str | os.PathLike[str] | BinaryIO) -> VideoTarget:
    """이름에서 결과의 컨테이너를 정한다. 확장자가 없으면 PNG가 든 폴더다. 파일 객체에는 압축하지 않은 NUT을 쓴다.

    Raises:
        UsageError: 쓸 수 없는 형식이거나 이름이 없을 때.
    """
    if not isinstance(target, (str, os.PathLike)):
        return VideoTarget(None, "nut", stream=target)
    path = expand_user(os.fspath(target))
    if not path.name:
        raise UsageError(f"결과의 이름이 없습니다: {path}\n  해결: out.mp4나 새 폴더의 이름을 적어 주세요.")
    extension = path.suffix.lower().lstrip(".")
    if extension in CONTAINERS:
        return VideoTarget(path, CONTAINERS[extension])
    if extension:
        remedy = "이미지 시퀀스는 폴더 이름을 주어 만드세요." if path.suffix.lower() in writable_extensions() else ""
        raise UsageError(
            f"쓸 수 없는 형식입니다: {path}\n  해결: {remedy or 'mp4, mkv, mov, webm 가운데 하나를 쓰세요.'}"
        )
    return VideoTarget(path, IMAGES)


def is_replaceable(folder: Path) -> bool:
    """있는 폴더를 새 결과로 바꾸어도 되는지. 이 패키지가 쓴 이미지만 있어야 한다."""
    return all(re.fullmatch(r"\d{8}\.\w+", path.name) for path in folder.iterdir())


def refuse_existing(path: Path, container: str, *, allowed: bool) -> None:
    """이미 있는 결과를 덮어쓰지 않는다.

    Args:
        path: 결과의 자리. 무엇인가 있다.
        container: 결과의 컨테이너(`VideoTarget.container`).
        allowed: 이 패키지가 만든 것과 같은 종류라면 바꾸어도 되는지.

    Raises:
        UsageError: 결과의 자리에 있는 것을 바꿀 수 없을 때.
    """
    if container != IMAGES and path.is_dir():
        raise UsageError(f"결과의 자리에 폴더가 있습니다: {path}\n  해결: -o에 다른 이름을 주세요.")
    if container == IMAGES and (not path.is_dir() or not is_replaceable(path)):
        raise UsageError(f"결과의 자리에 다른 파일이 있습니다: {path}\n  해결: -o나 --suffix로 다른 이름을 주세요.")
    if not allowed:
        raise UsageError(
            f"결과가 이미 있습니다: {path}\n  해결: --overwrite로 새로 만들거나, -o나 --suffix로 다른 이름을 주세요."
        )
