"""비디오(video)의 값들. 파일을 읽고 쓰는 쪽과 키우는 쪽이 이 약속만 함께 안다."""

from __future__ import annotations

from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

from numpy.typing import NDArray

Planes = tuple[NDArray[Any], ...]
"""한 프레임의 평면들. 순서는 YUV면 Y, U, V, RGB면 G, B, R(FFmpeg의 gbrp와 같다), 회색이면 하나. 알파는 맨 뒤.

8비트는 uint8, 그보다 깊으면 uint16이고 값은 아래쪽에 붙는다(10비트면 0..1023).
평면마다 `(높이, 너비)`의 이어진 배열이다.
"""


@dataclass(frozen=True)
class PixelLayout:
    """평면의 배치(pixel layout).

    Attributes:
        pix_fmt: FFmpeg의 픽셀 형식 이름. 언제나 평면(planar)이고 리틀 엔디언이다.
        family: `yuv`, `rgb`, `gray` 가운데 하나.
        bits: 채널마다의 비트 수(8..16).
        subsampling: 색차의 가로와 세로 부표본화(chroma subsampling). 4:2:0이면 `(2, 2)`, 4:2:2면 `(2, 1)`.
        alpha: 마지막 평면이 알파인지.
    """

    pix_fmt: str
    family: str
    bits: int
    subsampling: tuple[int, int] = (1, 1)
    alpha: bool = False


@dataclass(frozen=True)
class Colour:
    """색의 꼬리표. 값은 ITU-T H.273의 번호이고 모르는 것은 2(unspecified)다.

    Attributes:
        matrix: 행렬 계수(matrix coefficients). 0 RGB, 1 BT.709, 5와 6 BT.601, 7 SMPTE 240M, 9 BT.2020.
        primaries: 원색(primaries).
        transfer: 전달 함수(transfer characteristics). 16은 PQ, 18은 HLG.
        full_range: 전체 범위(full range)인지. 아니면 제한 범위(limited range)다.
        siting: 색차 표본의 자리(chroma siting). `left`, `center`, `topleft`, `top`, `bottomleft`, `bottom` 가운데 하나.
    """

    matrix: int = 2
    primaries: int = 2
    transfer: int = 2
    full_range: bool = False
    siting: str = "left"

    @property
    def is_hdr(self) -> bool:
        """PQ나 HLG인지."""
        return self.transfer in (16, 18)


@dataclass(frozen=True)
class VideoInfo:
    """입력 비디오에서 키우기 전에 알 수 있는 것.

    Attributes:
        name: 사람에게 보일 이름.
        width, height: 인코딩된 프레임의 크기(픽셀). 회전을 적용하기 전이다.
        rotation: 똑바로 보이려면 시계 방향으로 돌려야 할 각도(0, 90, 180, 270).
        layout: `read_frames`가 내는 평면의 배치.
        colour: 색의 꼬리표. 행렬과 범위는 언제나 정해져 있다(파일이 말하지 않으면 크기와 형식에서 정한다).
        time_base: 프레임의 pts와 duration의 단위(초).
        rate: 평균 프레임 속도(초당 프레임).
        sample_aspect_ratio: 픽셀의 가로세로 비율. 회전을 적용하기 전이다.
        mirrored: 돌리기 전에 좌우로 뒤집어야 하는지(거울 비디오).
        interlaced: 비월(interlaced) 표시가 있는지. 내용까지 본 결과는 `VideoReader.looks_interlaced`가 안다.
        frames: 파일이 말하는 프레임 수. 모르면 None.
        duration: 파일이 말하는 길이(초). 모르면 None.
        start: 첫 프레임의 pts. `--start`와 `--end`의 0초다.
        crop: 컨테이너가 잘라 내라고 한 픽셀 `(왼쪽, 오른쪽, 위, 아래)`. `width`와 `height`는 자른 뒤의 크기다.
        captions: 프레임에 방송 자막(EIA-608, 708)이 들어 있는지.
        stereo: 입체 비디오의 두 화면이 놓인 모양(AVStereo3DType: 좌우 1, 위아래 2). 0이면 입체가 아니거나 모른다.
        spherical: 360도 비디오의 표시(AVSphericalMapping). 없으면 비어 있다.
        side_data: 스트림의 HDR 정적 메타데이터 등. 이름과 값.
        warnings: 읽으면서 알게 된, 사용자에게 알릴 것.
    """

    name: str
    width: int
    height: int
    rotation: int
    layout: PixelLayout
    colour: Colour
    time_base: Fraction
    rate: Fraction
    sample_aspect_ratio: Fraction = Fraction(1)
    mirrored: bool = False
    interlaced: bool = False
    frames: int | None = None
    duration: float | None = None
    start: int = 0
    crop: tuple[int, int, int, int] = (0, 0, 0, 0)
    captions: bool = False
    stereo: int = 0
    spherical: bytes = b""
    side_data: dict[str, Any] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()

    @property
    def display_size(self) -> tuple[int, int]:
        """회전을 적용한 `(너비, 높이)`, 픽셀."""
        return (self.height, self.width) if self.rotation % 180 else (self.width, self.height)


@dataclass(frozen=True)
class Hole:
    """원본의 깨진 곳. 시각은 첫 프레임을 0으로 한 초라 `--start`와 `--end`에 그대로 쓸 수 있다.

    Attributes:
        start: 그 앞의 마지막 성한 프레임의 시각.
        end: 그 뒤의 첫 성한 프레임의 시각. 끝까지 깨졌으면 None.
        frames: 잃어서 앞 프레임을 되풀이할 프레임 수. 0이면 깨졌지만 프레임은 모두 나왔다.
        reason: 까닭.
    """

    start: float
    end: float | None
    frames: int
    reason: str

    def __str__(self) -> str:
        until = "끝" if self.end is None else f"{self.end:.3f}초"
        return f"{self.start:.3f}초~{until}, 프레임 {self.frames}개({self.reason})"


@dataclass(frozen=True)
class VideoFrame:
    """디코딩한 프레임 하나.

    Attributes:
        planes: 평면들. 다른 곳이 고치지 않는 독립된 배열이다. 비었으면 깨져서 잃은 프레임이고, 앞 프레임을 되풀이한다.
        pts: 보이는 시각. 단위는 `VideoInfo.time_base`, 원본의 값 그대로다.
        duration: 보이는 길이. 모르면 0.
        captions: 방송 자막(ATSC A/53 4부의 cc_data 세 바이트씩). 없으면 비어 있다.
        hdr10plus: 동적 HDR(HDR10+)의 메시지(`messages.hdr10plus_message`). 없으면 비어 있다.
        hole: 이 프레임의 바로 앞이나 이 프레임부터 깨진 곳. 깨진 곳을 지나 계속 읽을 때만 있다.
    """

    planes: Planes
    pts: int
    duration: int = 0
    hole: Hole | None = None
    captions: bytes = b""
    hdr10plus: bytes = b""


@dataclass(frozen=True)
class PacketIndex:
    """디코딩하지 않고 훑어 안 것. 조각(segment)의 경계를 정하는 데 쓴다.

    Attributes:
        pts: 패킷의 pts, 오름차순.
        keyframes: 그 가운데 키프레임(keyframe)의 pts, 오름차순.
        digest: 파일의 크기와 모든 패킷에서 구한 해시. 내용이 다르면 다르다.
        resets: 시각이 처음으로 되돌아가는 곳(이어 붙인 방송)마다, 앞의 것에 이으려면 그 뒤를 모두 늦출 길이(초). 있으면
            시각으로 구간을 고를 수 없다. `pts`는 이미 이은 것이다.
    """

    pts: tuple[int, ...]
    keyframes: tuple[int, ...]
    digest: str = ""
    resets: tuple[Fraction, ...] = ()


@dataclass(frozen=True)
class EncodeRequest:
    """사용자가 청한 인코딩(encoding). None은 알아서 정하라는 뜻이다.

    Attributes:
        codec: FFmpeg의 인코더 이름(`libx264` 등).
        crf: 품질(작을수록 좋다).
        preset: 인코더의 preset.
        pix_fmt: 결과의 픽셀 형식.
        options: 인코더에 그대로 넘길 옵션.
        bitrate: 평균 비트율(초당 비트). `crf`와 함께 쓰지 못한다.
        rate: 결과의 고른 프레임 속도. None이면 원본의 시각을 그대로 둔다.
        time_base: `rate`가 있을 때 결과의 눈금(초).
        threads: 인코더의 스레드 수. 0이면 인코더가 정한다.
    """

    codec: str | None = None
    crf: float | None = None
    preset: str | None = None
    pix_fmt: str | None = None
    options: dict[str, str] = field(default_factory=dict)
    bitrate: int | None = None
    rate: Fraction | None = None
    time_base: Fraction | None = None
    threads: int = 0


@dataclass(frozen=True)
class EncodePlan:
    """정해진 인코딩. 같은 계획으로 쓴 조각은 이어 붙일 수 있다.

    Attributes:
        container: FFmpeg의 컨테이너(muxer) 이름(`mp4`, `matroska`, `mov`, `webm`, `nut`, `yuv4mpegpipe`).
        codec: 인코더 이름.
        layout: `SegmentWriter.write`가 받을 평면의 배치.
        colour: 결과에 적을 색의 꼬리표.
        width, height: 결과의 크기(픽셀).
        time_base: 결과의 pts의 단위(초). 원본의 시각을 잃지 않는다.
        rate: 평균 프레임 속도.
        sample_aspect_ratio: 픽셀의 가로세로 비율. 회전을 적용한 뒤의 값이다.
        pix_fmt: 인코더가 받는 픽셀 형식. `layout`과 값이 같고 놓인 모양만 다를 수 있다. 비었으면 `layout`의 것.
        options: 인코더에 넘길 옵션. HDR 정적 메타데이터도 여기에 든다.
        warnings: 사용자에게 알릴 것.
    """

    container: str
    codec: str
    layout: PixelLayout
    colour: Colour
    width: int
    height: int
    time_base: Fraction
    rate: Fraction
    sample_aspect_ratio: Fraction = Fraction(1)
    pix_fmt: str = ""
    options: dict[str, str] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True)
class SegmentTimes:
    """조각에 든 시각. 단위는 `EncodePlan.time_base`.

    Attributes:
        pts: 패킷들의 보이는 시각, 담긴 차례(인코딩 순서). 가장 이른 것이 0이다.
        tail: 마지막으로 보이는 프레임의 길이. 모르면 0.
    """

    pts: tuple[int, ...] = ()
    tail: int = 0


NO_TIMES = SegmentTimes()


@dataclass(frozen=True)
class Segment:
    """인코딩을 마친 조각 하나.

    Attributes:
        path: 조각 파일의 경로.
        offset: 조각의 시각 0이 놓일 곳. 단위는 `EncodePlan.time_base`.
        times: 쓸 때 적어 둔 패킷들의 시각.
    """

    path: str
    offset: int
    times: SegmentTimes


@dataclass(frozen=True)
class Window:
    """담을 구간(초). None은 자르지 않는다는 뜻이다.

    Attributes:
        first, last: 구간의 처음과 끝(원본의 시각).
        shift: 결과의 0이 될 원본의 시각.
        speed: 원본보다 몇 배 빠르게 흐르는지.
        tolerant: 원본을 읽다가 난 오류를 알림으로만 남길지.
        resets: 시각이 되돌아가는 곳마다 그 뒤를 늦출 길이(`PacketIndex.resets`).
    """

    first: Fraction | None = None
    last: Fraction | None = None
    shift: Fraction = Fraction(0)
    speed: Fraction = Fraction(1)
    tolerant: bool = False
    resets: tuple[Fraction, ...] = ()

    def ticks(self, moment: int, base: Fraction) -> int:
        """원본의 시각을 결과의 시각으로. 단위는 `base`(초)."""
        if self.speed == 1:
            return moment - round(self.shift / base)
        return round((moment - self.shift / base) / self.speed)
