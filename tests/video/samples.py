"""시험이 함께 쓰는 작은 비디오들."""

from __future__ import annotations

import glob
import hashlib
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np


def draw(number: int, width: int, height: int) -> np.ndarray:
    """번호마다 다른 `(H, W, 3)` RGB 이미지. 부드럽게 변해 압축해도 알아볼 수 있다."""
    y, x = np.mgrid[0:height, 0:width]
    wave = np.sin((x + number) / 5) + np.cos((y - number) / 4)
    ramp = np.stack([wave * 40 + 128, x * 2 % 200 + 20, (y * 3 + number) % 200 + 20], axis=2)
    return np.clip(ramp, 0, 255).astype(np.uint8)


def work_files(folder: Path, pattern: str) -> list[str]:
    """폴더의 작업 폴더들에 든 파일. `Path.glob`은 훑는 사이에 폴더가 사라지면 오류를 낸다."""
    return glob.glob(f".realesrgan-*/{pattern}", root_dir=folder)  # noqa: PTH207


def make_video(
    path: Path,
    frames: int = 24,
    size: tuple[int, int] = (32, 24),
    *,
    gop: int = 8,
    rate: int = 24,
    audio: bool = True,
    hold: int = 1,
) -> Path:
    """작은 비디오를 만든다.

    Args:
        path: 만들 파일.
        frames: 프레임 수.
        size: `(너비, 높이)`.
        gop: 키프레임의 간격.
        rate: 초당 프레임.
        audio: 소리를 넣을지.
        hold: 같은 이미지를 몇 프레임씩 되풀이할지.
    """
    with av.open(str(path), "w") as output:
        video = output.add_stream("libx264", rate=rate, options={"g": str(gop), "sc_threshold": "0", "qp": "0"})
        video.width, video.height, video.pix_fmt = *size, "yuv444p"
        sound: Any = output.add_stream("aac", rate=16000, layout="mono") if audio else None
        for number in range(frames):
            frame = av.VideoFrame.from_ndarray(draw(number // hold, *size), format="rgb24").reformat(format="yuv444p")
            frame.pts, frame.time_base = number, Fraction(1, rate)
            output.mux(video.encode(frame))
        output.mux(video.encode())
        for start in range(0, 16000 * frames // rate if sound else 0, 1024):
            wave = np.sin(np.arange(start, start + 1024) / 9)[None].astype(np.float32) / 3
            tone = av.AudioFrame.from_ndarray(wave, format="fltp", layout="mono")
            tone.sample_rate, tone.pts, tone.time_base = 16000, start, Fraction(1, 16000)
            output.mux(sound.encode(tone))
        if sound is not None:
            output.mux(sound.encode())
    return path


def hashes(path: Path) -> list[tuple[float, str]]:
    """프레임마다의 `(시각, 픽셀의 해시)`."""
    with av.open(str(path)) as container:
        return [
            (frame.time, hashlib.sha256(frame.to_ndarray(format="yuv444p").tobytes()).hexdigest()[:16])
            for frame in container.decode(video=0)
        ]


def pixels(path: Path) -> list[np.ndarray]:
    """프레임마다의 `(H, W, 3)` RGB."""
    with av.open(str(path)) as container:
        return [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
