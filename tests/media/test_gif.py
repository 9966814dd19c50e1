"""GIF: 블록을 걸어 프레임과 되풀이를 센다. 쓰기는 `test_animation.py`가 본다."""

from __future__ import annotations

import io

import pytest
from PIL import Image

from realesrgan.media.gif import read_header
from realesrgan.media.picture import TruncatedError
from tests.media.samples import encoded, random_array


def test_gif_frames_and_plays_are_counted() -> None:
    frames = [Image.fromarray(random_array(4, 5, seed=seed)) for seed in range(3)]
    for loop, expected in ((0, 0), (4, 5), (None, 1)):
        output = io.BytesIO()
        options = {} if loop is None else {"loop": loop}
        frames[0].save(output, "GIF", save_all=True, append_images=frames[1:], duration=50, **options)
        header = read_header(io.BytesIO(output.getvalue()))
        info = header.info
        assert (info.width, info.height, info.frames, header.detail["loop"]) == (5, 4, 3, expected)


def test_gif_may_lack_its_trailer_but_not_half_a_block() -> None:
    data = encoded(random_array(8, 8), "GIF")
    assert read_header(io.BytesIO(data[:-1])).info.frames == 1
    with pytest.raises(TruncatedError):
        read_header(io.BytesIO(data[:-3]))
