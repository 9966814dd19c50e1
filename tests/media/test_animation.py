"""애니메이션: 프레임, 시간, 되풀이, 겹쳐 그리기."""

from __future__ import annotations

import io
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from realesrgan.errors import ImageReadError
from realesrgan.media.image import Frame, Metadata, Picture, probe_image, read_image, write_image
from tests.media.samples import Array, chunk, photo, random_array, srgb

ANIMATED = [".gif", ".png", ".webp", ".avif"]
LOSSLESS = [".gif", ".png", ".webp"]


def few_colours(seed, channels=3):
    array = random_array(16, 20, channels, seed=seed) // 128 * 128
    if channels == 4:
        array[..., 3] = np.where(array[..., 3] > 0, 255, 0)
        array[array[..., 3] == 0] = 0
    return array


@pytest.mark.parametrize("loop", [0, 1, 3])
@pytest.mark.parametrize("channels", [3, 4])
@pytest.mark.parametrize("extension", LOSSLESS)
def test_frames_durations_and_plays_survive(tmp_path: Path, extension: Any, channels: Any, loop: Any) -> None:
    arrays = [few_colours(seed, channels) for seed in (0, 1, 1, 2)]
    durations = [40, 100, 250, 70]
    frames = [Frame(array, duration) for array, duration in zip(arrays, durations, strict=True)]
    path = tmp_path / f"움직임{extension}"
    write_image(path, Picture(frames, frame_count=4, loop=loop), quality=100)
    picture, info = read_image(path), probe_image(path)
    assert (picture.frame_count, info.frames, picture.loop) == (4, 4, loop)
    results = list(picture.frames)
    assert [frame.duration for frame in results] == durations
    for result, array in zip(results, arrays, strict=True):
        visible = np.ones(array.shape[:2], bool) if channels == 3 else array[..., 3] > 0
        assert result.array.shape == array.shape
        assert (result.array[visible] == array[visible]).all()
        if channels == 4:
            assert (result.array[..., 3] == array[..., 3]).all()


def test_avif_sequence_keeps_frames_and_durations(tmp_path: Path) -> None:
    frames = [Frame(np.roll(photo(), 8 * index, axis=1), 50 + index * 10) for index in range(3)]
    notes = write_image(tmp_path / "a.avif", Picture(frames, frame_count=3, loop=2))
    picture = read_image(tmp_path / "a.avif")
    results = list(picture.frames)
    assert [round(frame.duration) for frame in results] == [50, 60, 70]
    assert all(np.abs(a.array.astype(int) - b.array).mean() < 8 for a, b in zip(results, frames, strict=True))
    assert any("재생 횟수" in note for note in notes)


def test_frames_can_be_iterated_again_and_are_decoded_lazily(tmp_path: Path) -> None:
    frames = [Frame(few_colours(seed), 50) for seed in range(3)]
    write_image(tmp_path / "a.gif", Picture(iter(frames), frame_count=3))
    picture = read_image(tmp_path / "a.gif")
    first, again = list(picture), list(picture)
    assert all((a.array == b.array).all() for a, b in zip(first, again, strict=True))
    assert picture.animated and not isinstance(picture.frames, (list, tuple))


def test_writer_takes_frames_one_at_a_time(tmp_path: Path) -> None:
    alive = []

    def frames():
        for seed in range(4):
            alive.append(seed)
            yield Frame(few_colours(seed), 20)

    write_image(tmp_path / "a.webp", Picture(frames(), frame_count=4))
    assert alive == [0, 1, 2, 3]


@pytest.mark.parametrize("disposal", [0, 1, 2, 3])
def test_gif_disposal_is_composited(tmp_path: Path, disposal: Any) -> None:
    base = Image.new("RGBA", (8, 8), (255, 0, 0, 255))
    patch = Image.new("RGBA", (8, 8), (0, 0, 0, 0))
    patch.paste((0, 255, 0, 255), (2, 2, 5, 5))
    output = io.BytesIO()
    base.save(output, "GIF", save_all=True, append_images=[patch, base], duration=50, disposal=disposal)
    path = tmp_path / "a.gif"
    path.write_bytes(output.getvalue())
    # 지우거나 되돌리면 첫 프레임은 남지 않고, 뷰어들처럼 투명해진다.
    middle = Image.alpha_composite(base, patch) if disposal < 2 else patch
    for frame, expected in zip(read_image(path), (base, middle, base), strict=True):
        shown = np.asarray(expected)
        alpha = frame.array[..., 3:] if frame.array.shape[2] == 4 else np.full((8, 8, 1), 255)
        assert np.array_equal(alpha, shown[..., 3:])
        assert np.array_equal(frame.array[..., 2::-1] * (alpha > 0), shown[..., :3] * (alpha > 0))


def apng(*frames: tuple[Array, int, int, int, int]) -> bytes:
    """`(RGBA, 왼쪽, 위, 지우는 방법, 섞는가)`의 프레임들로 APNG를 만든다. 첫 프레임이 화면의 크기다."""
    first = frames[0][0]
    output = [chunk(b"IHDR", struct.pack(">IIBBBBB", first.shape[1], first.shape[0], 8, 6, 0, 0, 0))]
    output.append(chunk(b"acTL", struct.pack(">II", len(frames), 0)))
    for index, (array, left, top, disposal, blend) in enumerate(frames):
        box = array.shape[1], array.shape[0], left, top
        output.append(chunk(b"fcTL", struct.pack(">IIIIIHHBB", max(index * 2 - 1, 0), *box, 1, 10, disposal, blend)))
        packed = zlib.compress(b"".join(b"\0" + row.tobytes() for row in array))
        number = struct.pack(">I", index * 2)
        output.append(chunk(b"fdAT", number + packed) if index else chunk(b"IDAT", packed))
    return b"\x89PNG\r\n\x1a\n" + b"".join(output) + chunk(b"IEND", b"")


@pytest.mark.parametrize("disposal", [0, 1, 2])
def test_half_transparent_frames_of_apng_are_laid_over(tmp_path: Path, disposal: int) -> None:
    red, half = np.zeros((6, 8, 4), np.uint8), np.zeros((3, 4, 4), np.uint8)
    red[...], half[...] = (200, 0, 0, 255), (0, 100, 0, 128)
    data = apng((red, 0, 0, 0, 0), (half, 2, 1, disposal, 1), (half[:1, :1], 0, 0, 0, 0))
    (tmp_path / "a.png").write_bytes(data)
    frames = [frame.array for frame in read_image(tmp_path / "a.png")]
    # 반투명한 초록을 불투명한 빨강 위에 놓으면 불투명한 채 섞인다(PNG 3판 11.3.6.2절).
    inside = (slice(1, 4), slice(2, 6))
    assert np.abs(frames[1][inside].astype(int) - (0, 50, 100, 255)).max() <= 1
    left = {0: frames[1][1, 2], 1: (0, 0, 0, 0), 2: (0, 0, 200, 255)}[disposal]
    assert np.array_equal(frames[2][inside], np.broadcast_to(np.array(left, np.uint8), (3, 4, 4)))
    assert np.array_equal(frames[2][0, 0], (0, 100, 0, 128)) and np.array_equal(frames[1][0, 0], (0, 0, 200, 255))


def test_deep_grey_apng_is_read_as_it_says(tmp_path: Path) -> None:
    deep = np.arange(0, 65536, 257, dtype=np.uint16).reshape(16, 16)
    head = chunk(b"IHDR", struct.pack(">IIBBBBB", 16, 16, 16, 0, 0, 0, 0)) + chunk(b"acTL", struct.pack(">II", 2, 0))
    packed = zlib.compress(b"".join(b"\0" + row.astype(">u2").tobytes() for row in deep))
    control = [chunk(b"fcTL", struct.pack(">IIIIIHHBB", number, 16, 16, 0, 0, 1, 10, 0, 0)) for number in (0, 1)]
    body = control[0] + chunk(b"IDAT", packed) + control[1] + chunk(b"fdAT", struct.pack(">I", 2) + packed)
    (tmp_path / "a.png").write_bytes(b"\x89PNG\r\n\x1a\n" + head + body + chunk(b"IEND", b""))
    picture = read_image(tmp_path / "a.png")
    for frame in picture:
        assert frame.array.dtype == np.uint8 and np.array_equal(frame.array[..., 0].ravel(), np.arange(256))
    assert any("8비트로 읽었습니다" in note for note in picture.notes)


def test_what_a_gif_does_not_cover_is_transparent(tmp_path: Path) -> None:
    image = Image.fromarray(few_colours(0)).quantize(16)
    output = io.BytesIO()
    image.save(output, "GIF")
    data = bytearray(output.getvalue())
    data[6:10] = struct.pack("<HH", 30, 24)
    (tmp_path / "a.gif").write_bytes(data)
    assert probe_image(tmp_path / "a.gif").mode == "RGBA"
    array = read_image(tmp_path / "a.gif").first.array
    assert array.shape == (24, 30, 4) and (array[:16, :20, 3] == 255).all() and array[..., 3].sum() == 16 * 20 * 255
    assert np.array_equal(array[:16, :20, 2::-1], np.asarray(image.convert("RGB")))


def test_unused_transparency_is_not_carried(tmp_path: Path) -> None:
    frames = [Frame(few_colours(seed), 50) for seed in range(2)]
    opaque = [Frame(np.dstack([frame.array, np.full((16, 20), 255, np.uint8)]), 50) for frame in frames]
    write_image(tmp_path / "a.png", Picture(opaque, frame_count=2))
    assert next(iter(read_image(tmp_path / "a.png"))).array.shape == (16, 20, 3)


def test_fallback_picture_of_apng_is_not_a_frame(tmp_path: Path) -> None:
    images = [Image.fromarray(few_colours(seed)) for seed in range(3)]
    path = tmp_path / "a.png"
    images[0].save(path, save_all=True, append_images=images[1:], default_image=True, duration=70)
    picture = read_image(path)
    assert picture.frame_count == probe_image(path).frames == 2
    assert [
        (frame.array == few_colours(seed)[..., ::-1]).all() for seed, frame in zip((1, 2), picture, strict=True)
    ] == [
        True,
        True,
    ]


def test_single_frame_gif_is_a_still(tmp_path: Path) -> None:
    path = tmp_path / "a.gif"
    Image.fromarray(few_colours(0)).save(path)
    picture = read_image(path)
    assert not picture.animated
    write_image(tmp_path / "a.jpg", picture)


def test_gif_time_errors_do_not_add_up(tmp_path: Path) -> None:
    frames = [Frame(few_colours(index), 33.3) for index in range(12)]
    write_image(tmp_path / "a.gif", Picture(frames, frame_count=12))
    total = sum(frame.duration for frame in read_image(tmp_path / "a.gif"))
    assert abs(total - 12 * 33.3) <= 10


def test_gif_tells_what_it_gave_up(tmp_path: Path) -> None:
    array = random_array(32, 32, 4)
    notes = write_image(tmp_path / "a.gif", Picture((Frame(array),)))
    assert any("256가지" in note for note in notes) and any("반투명" in note for note in notes)
    result = read_image(tmp_path / "a.gif").first.array
    assert ((result[..., 3] == 0) == (array[..., 3] < 128)).all()


@pytest.mark.parametrize("extension", [".png", ".webp", ".avif"])
def test_animation_carries_its_profile(tmp_path: Path, extension: Any) -> None:
    frames = [Frame(np.roll(photo(), index, axis=1), 50) for index in range(2)]
    metadata = Metadata(icc=srgb(), xmp=b"<x/>")
    write_image(tmp_path / f"a{extension}", Picture(frames, frame_count=2, metadata=metadata))
    assert read_image(tmp_path / f"a{extension}").metadata == metadata


def test_broken_later_frame_is_found_before_work_starts(tmp_path: Path) -> None:
    frames = [Frame(random_array(40, 40, 3, seed=seed), 50) for seed in range(3)]
    write_image(tmp_path / "a.webp", Picture(frames, frame_count=3))
    data = bytearray((tmp_path / "a.webp").read_bytes())
    at = data.rindex(b"ANMF") + 32
    data[at : at + 10] = bytes(10)
    (tmp_path / "a.webp").write_bytes(data)
    with pytest.raises(ImageReadError):
        read_image(tmp_path / "a.webp")
