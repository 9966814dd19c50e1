"""애니메이션: 프레임, 시간, 되풀이, 겹쳐 그리기."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from realesrgan.errors import ImageReadError
from realesrgan.media.image import Frame, Metadata, Picture, probe_image, read_image, write_image
from tests.media.samples import photo, random_array, srgb

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
    with Image.open(path) as image:
        expected = []
        for index in range(image.n_frames):
            image.seek(index)
            expected.append(np.asarray(image.convert("RGBA")))
    results = [frame.array for frame in read_image(path)]
    for result, reference in zip(results, expected, strict=True):
        visible = reference[..., 3] > 0
        assert (result[visible, :3] == reference[visible, 2::-1]).all()
        assert result.shape[2] == 4 or visible.all()
        assert result.shape[2] == 3 or ((result[..., 3] > 0) == visible).all()


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
