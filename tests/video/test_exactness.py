"""비디오의 길 전체가 색, 시각, 방향, 깊이를 지키는지. 판단은 따로 만든 프로그램(imageio-ffmpeg)이 한다."""

from __future__ import annotations

import re
import subprocess
from contextlib import closing
from fractions import Fraction
from pathlib import Path

import cv2
import imageio_ffmpeg
import numpy as np
import pytest

from realesrgan.errors import VideoFormatError
from realesrgan.media.video import VideoReader
from realesrgan.media.video.types import EncodeRequest
from tests.media.video import samples
from tests.video.test_upscale import Upscaling

LOSSLESS = EncodeRequest(crf=0)
# H.273의 (행렬, 원색, 전달).
BT2020 = (9, 9, 14)
LIMITED = 1


def judged_pixels(path: Path, depth: str = "rgb24") -> np.ndarray:
    """프로그램이 디코딩한 `(프레임, H, W, 3)`. 색의 꼬리표를 따라 바꾼 것이다."""
    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", "-nostdin", "-i", str(path)]
    command += ["-fps_mode", "passthrough", "-sws_flags", "accurate_rnd+full_chroma_int+bilinear"]
    raw = subprocess.run(
        [*command, "-f", "rawvideo", "-pix_fmt", depth, "-"], capture_output=True, timeout=60, check=True
    )
    text = samples.describe(path)
    width, height = _size(text)
    return np.frombuffer(raw.stdout, np.uint8 if depth == "rgb24" else "<u2").reshape(-1, height, width, 3)


def _size(text: str) -> tuple[int, int]:
    found = re.search(r"Video:.*?, (\d+)x(\d+)", text)
    assert found is not None, text
    return int(found[1]), int(found[2])


def shrink(frames: np.ndarray) -> np.ndarray:
    """두 배로 키운 것을 두 줄 두 칸씩 평균 낸다."""
    count, height, width, _ = frames.shape
    return frames.reshape(count, height // 2, 2, width // 2, 2, 3).astype(float).mean(axis=(2, 4))


def smooth_video(path: Path, matrix: str, reach: str) -> Path:
    """색이 천천히 변하는 RGB를 프로그램이 정해진 행렬과 범위로 바꾼 비디오. 색은 모두 RGB로 나타낼 수 있다."""
    y, x = np.mgrid[:48, :64] / 64
    frames = [
        np.stack([40 + 160 * x + n, 200 - 150 * y, 60 + 70 * (x + y) + 2 * n], axis=2).round().astype(np.uint8)
        for n in range(4)
    ]
    raw = path.with_suffix(".rgb")
    raw.write_bytes(np.stack(frames).tobytes())
    number = {"bt709": "bt709", "smpte170m": "smpte170m"}[matrix]
    samples.ffmpeg(
        "-f", "rawvideo", "-pix_fmt", "rgb24", "-s", "64x48", "-r", "25", "-i", raw,
        "-vf", f"scale=out_color_matrix={matrix}:out_range={reach}:flags=accurate_rnd+full_chroma_int+bilinear",
        "-pix_fmt", "yuv420p", "-c:v", "libx264", "-qp", "0", "-preset", "ultrafast", "-color_range", reach,
        "-colorspace", number, "-color_primaries", number, "-color_trc", number, path,
    )  # fmt: skip
    return path


@pytest.mark.parametrize("reach", ["tv", "pc"])
@pytest.mark.parametrize("matrix", ["bt709", "smpte170m"])
@pytest.mark.parametrize("name", ["out.mp4", "out.mkv"])
def test_colours_stay_within_two_levels_and_tags_are_kept(tmp_path, nearest_weights, matrix, reach, name):
    source = smooth_video(tmp_path / "a.mp4", matrix, reach)
    Upscaling(nearest_weights(2), source, tmp_path / name, request=LOSSLESS).run()
    before, after = judged_pixels(source), judged_pixels(tmp_path / name)
    assert len(before) == len(after) == 4
    assert np.abs(shrink(after) - before).max() <= 2
    tags = samples.describe(tmp_path / name).split("Video:")[1]
    assert matrix in tags and f"({reach}, " in tags


def test_ten_bits_go_through_the_whole_chain(tmp_path, nearest_weights):
    source = samples.write_video(
        tmp_path / "a.mkv", "ffv1", "yuv444p10le", count=3, time_base=Fraction(1, 1000), times=[0, 40, 80],
        colour=(*BT2020, LIMITED),
    )  # fmt: skip
    Upscaling(nearest_weights(2), source, tmp_path / "out.mkv", request=EncodeRequest(codec="ffv1")).run()
    assert "yuv444p10le" in samples.describe(tmp_path / "out.mkv")
    before, after = (judged_pixels(path, "rgb48le") for path in (source, tmp_path / "out.mkv"))
    # 16비트로 본 10비트의 한 단계는 64, 8비트의 한 단계는 257이다. 8비트를 거쳤다면 평균이 이보다 훨씬 크다.
    difference = np.abs(shrink(after) - before)
    assert difference.mean() < 32 and difference.max() <= 2 * 257


@pytest.mark.parametrize("angle", [90, 180, 270])
def test_rotation_is_baked_into_the_pixels(tmp_path, nearest_weights, angle):
    plain = smooth_video(tmp_path / "q.mp4", "bt709", "tv")
    samples.ffmpeg("-i", plain, "-c", "copy", "-bsf:v", "h264_metadata=sample_aspect_ratio=4/3", tmp_path / "p.mp4")
    plain = tmp_path / "p.mp4"
    samples.ffmpeg("-display_rotation", str(-angle), "-i", plain, "-c", "copy", tmp_path / "r.mp4")
    Upscaling(nearest_weights(2), tmp_path / "r.mp4", tmp_path / "out.mp4", request=LOSSLESS).run()
    text = samples.describe(tmp_path / "out.mp4")
    assert "displaymatrix" not in text
    assert ("96x128" if angle != 180 else "128x96") in text and ("SAR 3:4" if angle != 180 else "SAR 4:3") in text
    # 색차는 왼쪽 픽셀에 놓이므로 돌리거나 뒤집으면 반 픽셀의 차이가 더해진다.
    upright = np.rot90(judged_pixels(plain), -angle // 90, axes=(1, 2))
    assert np.abs(shrink(judged_pixels(tmp_path / "out.mp4")) - upright).max() <= 3


def test_a_mirrored_video_is_mirrored_in_the_pixels(tmp_path, nearest_weights):
    plain = smooth_video(tmp_path / "p.mp4", "bt709", "tv")
    samples.ffmpeg("-display_hflip", "-i", plain, "-c", "copy", tmp_path / "r.mp4")
    Upscaling(nearest_weights(2), tmp_path / "r.mp4", tmp_path / "out.mp4", request=LOSSLESS).run()
    flipped = judged_pixels(plain)[:, :, ::-1]
    assert np.abs(shrink(judged_pixels(tmp_path / "out.mp4")) - flipped).max() <= 3


@pytest.mark.parametrize("name", ["out.mp4", "out.mkv"])
def test_hdr_keeps_its_depth_tags_and_mastering_data(tmp_path, nearest_weights, name):
    source = samples.write_video(
        tmp_path / "a.mp4", "libx265", "yuv420p10le", count=6, colour=(9, 9, 16, LIMITED),
        options={"x265-params": samples.HDR10},
    )  # fmt: skip
    Upscaling(nearest_weights(2), source, tmp_path / name, request=EncodeRequest()).run()
    text = samples.describe(tmp_path / name)
    assert "hevc" in text and "yuv420p10le(tv, bt2020nc/bt2020/smpte2084" in text
    with closing(VideoReader(tmp_path / name)) as reader, closing(VideoReader(source)) as original:
        assert reader.info.side_data == original.info.side_data != {}


@pytest.mark.parametrize(("name", "codec"), [("out.webm", "libvpx-vp9"), ("out.mov", "prores_ks"), ("out.mkv", "ffv1")])
def test_alpha_is_kept_where_the_codec_can(tmp_path, nearest_weights, name, codec):
    source = samples.write_video(tmp_path / "a.mkv", "ffv1", "yuva420p", count=4)
    Upscaling(nearest_weights(2), source, tmp_path / name, request=EncodeRequest(codec=codec)).run()
    with closing(VideoReader(source)) as original, closing(VideoReader(tmp_path / name)) as reader:
        assert reader.info.layout.alpha
        top, bottom = 2**reader.info.layout.bits - 1, 255
        for small, large in zip(original.frames(), reader.frames(), strict=True):
            shrunk = cv2.resize(large.planes[-1].astype(np.float32) / top, (64, 48), interpolation=cv2.INTER_AREA)
            assert np.abs(shrunk - small.planes[-1] / bottom).mean() < 0.02


def test_interlaced_video_is_refused_and_enlarged_when_asked(tmp_path, nearest_weights):
    source = samples.weave_video(tmp_path / "a.mp4", flagged=True)
    with pytest.raises(VideoFormatError, match="--deinterlace"):
        Upscaling(nearest_weights(2), source, tmp_path / "out.mp4", request=EncodeRequest()).run()


@pytest.mark.parametrize("name", ["out.mp4", "out.mkv"])
def test_variable_frame_times_are_kept_exactly(tmp_path, nearest_weights, name):
    times = [0, 1000, 1900, 5000, 5600, 9000, 9040, 12000, 20000]
    source = samples.write_video(tmp_path / "a.mp4", times=times, time_base=Fraction(1, 10000), options={"bf": "2"})
    Upscaling(nearest_weights(2), source, tmp_path / name, request=EncodeRequest()).run()
    found, expected = samples.judged_times(tmp_path / name), [Fraction(time, 10000) for time in times]
    # Matroska의 시각은 1/1000초 단위다.
    assert all(
        abs(a - b) <= (Fraction(1, 2000) if name.endswith("mkv") else 0) for a, b in zip(found, expected, strict=True)
    )
