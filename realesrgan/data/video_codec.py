"""비디오 코덱을 열화로 쓴다: 짧은 클립으로 누르고 마지막 프레임을 꺼낸다. 난수는 열쇠만의 함수다.

한 장만 누르면 화면 안 예측의 흔적뿐이다. 움직이는 클립의 마지막 프레임에는 앞 프레임에서 옮겨 온 블록의 흔적까지 있다.
"""

from __future__ import annotations

import fractions
import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from realesrgan.data.degradations import to_gray
from realesrgan.errors import OptionError
from realesrgan.util.optional import import_optional

# 이름에서 (부호기, 복호기, CRF의 눈금)으로. AV1의 CRF는 0..63이라 51 눈금에서 옮긴다.
CODECS = {"h264": ("libx264", "h264", 1.0), "h265": ("libx265", "hevc", 1.0), "av1": ("libsvtav1", "libdav1d", 63 / 51)}
_OPTIONS = {
    "h264": {"preset": "veryfast", "tune": "zerolatency"},
    "h265": {"preset": "veryfast", "x265-params": "log-level=none:pools=1:frame-threads=1:bframes=0"},
    "av1": {"preset": "10", "svtav1-params": "lp=1:lookahead=0:pred-struct=1"},
}
# 부호기가 받는 가장 작은 변. 모자라면 반사로 채우고 결과에서 뗀다.
_SMALLEST = 64


@dataclass(frozen=True)
class CodecOptions:
    """코덱을 뽑을 때의 확률과 범위.

    Args:
        probability: 누를 확률, 0..1.
        codecs: `CODECS`의 이름들.
        weights: 코덱마다의 비중.
        crf: 품질(CRF)의 범위, 0..51. 클수록 나쁘다.
        frames: 클립의 길이(프레임), 1 이상.
        motion: 프레임마다 움직이는 가장 큰 거리(픽셀).

    Raises:
        OptionError: 모르는 코덱이거나 두 목록의 길이가 다를 때.
    """

    probability: float = 0.0
    codecs: tuple[str, ...] = tuple(CODECS)
    weights: tuple[float, ...] = (1.0, 1.0, 1.0)
    crf: tuple[float, float] = (18.0, 35.0)
    frames: int = 3
    motion: float = 2.0

    def __post_init__(self) -> None:
        unknown = [name for name in self.codecs if name not in CODECS]
        if unknown or len(self.codecs) != len(self.weights) or not sum(self.weights) > 0:
            raise OptionError(
                f"비디오 코덱의 옵션이 잘못됐습니다: codec_list={self.codecs}, codec_weights={self.weights}\n"
                f"  쓸 수 있는 코덱은 {', '.join(CODECS)}이고, 코덱마다 비중이 하나씩 있어야 합니다.\n"
                "  해결: 두 목록을 고치세요."
            )

    @classmethod
    def from_options(cls, options: Mapping[str, Any]) -> CodecOptions:
        """데이터셋 블록의 `codec_*` 키에서 읽는다. 없으면 누르지 않는다."""
        names = tuple(options.get("codec_list") or CODECS)
        low, high = options.get("codec_crf") or (18.0, 35.0)
        return cls(
            float(options.get("codec_prob") or 0.0),
            names,
            tuple(float(one) for one in options.get("codec_weights") or [1.0] * len(names)),
            (float(low), float(high)),
            int(options.get("codec_frames") or 3),
            float(2.0 if options.get("codec_motion") is None else options["codec_motion"]),
        )


@dataclass(frozen=True)
class CodecDraw:
    """뽑아 놓은 코덱 하나. `velocity`는 프레임마다 움직이는 (세로, 가로) 픽셀이다."""

    codec: str
    crf: float
    frames: int
    velocity: tuple[float, float]


def draw_codec(rng: np.random.Generator, options: CodecOptions) -> CodecDraw | None:
    """한 장에 쓸 코덱을 뽑는다. 누르지 않으면 None. 확률이 0이면 난수를 쓰지 않는다."""
    if options.probability <= 0 or rng.random() >= options.probability:
        return None
    weights = np.asarray(options.weights)
    name = options.codecs[int(rng.choice(len(weights), p=weights / weights.sum()))]
    vertical, horizontal = rng.uniform(-options.motion, options.motion, 2)
    return CodecDraw(name, float(rng.uniform(*options.crf)), options.frames, (float(vertical), float(horizontal)))


def compress_tensor(image: Tensor, draw: CodecDraw) -> Tensor:
    """`compress`를 `(3, H, W)` RGB나 `(1, H, W)` 회색 float32, 0..1의 텐서에 한다. 결과는 8비트 눈금에 놓인다."""
    colour = image.expand(3, -1, -1)
    levels = (colour.clamp(0, 1) * 255.0).round().to(torch.uint8).permute(1, 2, 0).contiguous().numpy()
    found = torch.from_numpy(compress(levels, draw)).permute(2, 0, 1).float() / 255.0
    return found if len(image) == 3 else (to_gray(found[None])[0] * 255.0).round() / 255.0


def compress(image: NDArray[np.uint8], draw: CodecDraw) -> NDArray[np.uint8]:
    """이미지를 움직이는 짧은 클립으로 누르고 마지막 프레임을 꺼낸다.

    Args:
        image: `(H, W, 3)` RGB uint8.
        draw: 뽑은 코덱.

    Returns:
        같은 모양의 RGB uint8. 색차는 반으로 줄었다 돌아온다(4:2:0).

    Raises:
        MissingPackageError: PyAV가 없을 때.
        OptionError: 설치된 PyAV에 그 코덱이 없을 때.
    """
    av = import_optional("av", "비디오 코덱으로 열화시키려면", "pip install av")
    height, width = image.shape[:2]
    tall, wide = (max(side + side % 2, _SMALLEST) for side in (height, width))
    padded = np.pad(image, ((0, tall - height), (0, wide - width), (0, 0)), mode="symmetric")
    encoder_name, decoder_name, scale = CODECS[draw.codec]
    # SVT-AV1은 스스로 표준 오류에 설정을 적는다. 오류만 적게 한다.
    os.environ.setdefault("SVT_LOG", "1")
    try:
        encoder, decoder = av.CodecContext.create(encoder_name, "w"), av.CodecContext.create(decoder_name, "r")
    except av.codec.codec.UnknownCodecError as error:
        raise OptionError(
            f"설치된 PyAV에 없는 코덱입니다: {draw.codec}({encoder_name})\n  {error}\n"
            "  해결: codec_list에서 빼거나, pip install av로 PyPI의 것을 설치하세요."
        ) from error
    encoder.width, encoder.height, encoder.pix_fmt = wide, tall, "yuv420p"
    encoder.time_base, encoder.framerate = fractions.Fraction(1, 25), fractions.Fraction(25)
    encoder.thread_count = decoder.thread_count = 1
    encoder.options = _OPTIONS[draw.codec] | {"crf": str(round(draw.crf * scale))}
    last = None
    for packet in _encode(av, encoder, padded, draw):
        for frame in decoder.decode(packet):
            last = frame
    for frame in decoder.decode(None):
        last = frame
    if last is None:
        raise OptionError(
            f"코덱이 프레임을 내지 않았습니다: {draw.codec}\n  {wide}x{tall}, CRF {draw.crf:.0f}\n"
            "  해결: codec_list에서 그 코덱을 빼세요."
        )
    return np.ascontiguousarray(last.to_ndarray(format="rgb24")[:height, :width])


def _encode(av: Any, encoder: Any, image: NDArray[np.uint8], draw: CodecDraw) -> Any:
    for number in range(draw.frames):
        # 마지막 프레임이 본래 자리다.
        steps = number - (draw.frames - 1)
        shift = (round(draw.velocity[0] * steps), round(draw.velocity[1] * steps))
        frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(np.roll(image, shift, (0, 1))), format="rgb24")
        frame = frame.reformat(format="yuv420p")
        frame.pts = number
        yield from encoder.encode(frame)
    yield from encoder.encode(None)


def describe_codec(draw: CodecDraw | None) -> str:
    """뽑은 값을 적은 ASCII 글."""
    if draw is None:
        return "no change"
    vertical, horizontal = draw.velocity
    return f"{draw.codec} crf={draw.crf:.0f}\nframes={draw.frames} move={horizontal:.1f},{vertical:.1f}"
