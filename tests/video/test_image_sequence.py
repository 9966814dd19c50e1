"""이미지 시퀀스를 비디오로 읽고 쓰기."""

from __future__ import annotations

from contextlib import closing
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from realesrgan.errors import ImageReadError, VideoDamagedError, VideoReadError, VideoWriteError
from realesrgan.media.image import read_image, still, write_image
from realesrgan.video.image_sequence import (
    ImageSegmentWriter,
    ImageSequence,
    is_replaceable,
    join_images,
    rgb_layout,
    to_array,
    to_planes,
)


def draw(folder: Path, count: int, shape=(6, 8, 3), dtype=np.uint8) -> list[Path]:
    rng = np.random.default_rng(0)
    paths = [folder / f"이미지 {index}.png" for index in range(count)]
    for path in paths:
        write_image(path, still(rng.integers(0, np.iinfo(dtype).max, shape, dtype=dtype)))
    return paths


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("shape", [(6, 8), (6, 8, 3), (6, 8, 4)])
def test_pictures_come_back_exactly(tmp_path, dtype, shape):
    paths = draw(tmp_path, 3, shape, dtype)
    sequence = ImageSequence(paths, "이미지", Fraction(30000, 1001))
    frames = list(sequence.frames())
    assert [frame.pts for frame in frames] == [0, 1, 2]
    assert sequence.info.time_base == Fraction(1001, 30000)
    assert sequence.info.layout.alpha == (shape[-1] == 4)
    for path, frame in zip(paths, frames, strict=True):
        array = read_image(path).first.array
        expected = array if array.ndim == 3 else np.dstack([array] * 3)
        np.testing.assert_array_equal(to_array(frame.planes), expected)


def test_a_part_can_be_read(tmp_path):
    sequence = ImageSequence(draw(tmp_path, 6), "이미지")
    assert [frame.pts for frame in sequence.frames(2, 4)] == [2, 3]
    assert [frame.pts for frame in sequence.frames(4)] == [4, 5]
    assert sequence.packet_index().keyframes == tuple(range(6))


def test_mixed_depth_and_alpha_are_widened_without_loss(tmp_path):
    first = np.full((4, 4, 3), 200, np.uint8)
    write_image(tmp_path / "1.png", still(first))
    write_image(tmp_path / "2.png", still(np.full((4, 4, 4), 40000, np.uint16)))
    sequence = ImageSequence([tmp_path / "1.png", tmp_path / "2.png"], "이미지")
    frames = list(sequence.frames())
    assert sequence.info.layout == rgb_layout(16, True)
    assert [int(plane[0, 0]) for plane in frames[0].planes] == [200 * 257] * 3 + [65535]
    assert [int(plane[0, 0]) for plane in frames[1].planes] == [40000] * 4


def test_pictures_of_different_sizes_are_refused_by_name(tmp_path):
    paths = draw(tmp_path, 2)
    (tmp_path / "큰").mkdir()
    paths += draw(tmp_path / "큰", 1, (9, 8, 3))
    with pytest.raises(VideoReadError, match="8x9"):
        ImageSequence(paths, "이미지")


def test_a_broken_picture_ends_the_video_after_the_good_ones(tmp_path):
    paths = draw(tmp_path, 4)
    paths[2].write_bytes(paths[2].read_bytes()[:60])
    sequence = ImageSequence(paths, "이미지")
    seen = []
    with pytest.raises(VideoDamagedError, match="2장"):
        seen += [frame.pts for frame in sequence.frames()]
    frames = sequence.frames()
    assert [next(frames).pts for _ in range(2)] == [0, 1]


def test_a_broken_first_picture_or_none_at_all_is_refused(tmp_path):
    (tmp_path / "1.png").write_bytes(b"x")
    with pytest.raises(ImageReadError):
        ImageSequence([tmp_path / "1.png"], "이미지")
    with pytest.raises(VideoReadError, match="이미지가 없습니다"):
        ImageSequence([], "빈 폴더")


def test_segments_of_pictures_are_joined_in_order_and_appear_at_once(tmp_path):
    planes = [to_planes(np.full((2, 3, 3), value, np.uint8), rgb_layout(8, False)) for value in range(5)]
    folders = [tmp_path / "작업" / name for name in ("000000.seg", "000001.seg")]
    for folder, part in zip(folders, (planes[:2], planes[2:]), strict=True):
        with closing(ImageSegmentWriter(folder, "png")) as writer:
            for pts, plane in enumerate(part):
                writer.write(plane, pts)
            assert not folder.exists()
            assert writer.finish() == len(part)
    target = tmp_path / "결과"
    assert join_images(folders, target, "png") == 5
    values = [int(read_image(path).first.array[0, 0, 0]) for path in sorted(target.iterdir())]
    assert values == [0, 1, 2, 3, 4]
    assert len(list(folders[1].iterdir())) == 3


def test_an_abandoned_segment_leaves_nothing(tmp_path):
    with pytest.raises(KeyboardInterrupt), closing(ImageSegmentWriter(tmp_path / "000000.seg", "png")) as writer:
        writer.write(to_planes(np.zeros((2, 2, 3), np.uint8), rgb_layout(8, False)), 0)
        raise KeyboardInterrupt
    assert list(tmp_path.iterdir()) == []


def test_joining_replaces_an_older_result_whole(tmp_path):
    target = tmp_path / "결과"
    target.mkdir()
    for number in range(9):
        (target / f"{number:08d}.png").write_bytes(b"old")
    with closing(ImageSegmentWriter(tmp_path / "000000.seg", "png")) as writer:
        writer.write(to_planes(np.zeros((2, 2, 3), np.uint8), rgb_layout(8, False)), 0)
        writer.finish()
    join_images([tmp_path / "000000.seg"], target, "png")
    assert [path.name for path in target.iterdir()] == ["00000000.png"]


def test_a_folder_with_other_files_is_not_ours_to_replace(tmp_path):
    (tmp_path / "00000000.png").write_bytes(b"")
    assert is_replaceable(tmp_path)
    (tmp_path / "소중한 것.txt").write_bytes(b"")
    assert not is_replaceable(tmp_path)


def test_a_place_that_cannot_be_written_is_a_named_error(tmp_path):
    (tmp_path / "파일").write_bytes(b"")
    with pytest.raises(VideoWriteError, match="이미지를 쓸 수 없습니다"):
        ImageSegmentWriter(tmp_path / "파일" / "x", "png")


def test_a_half_deleted_older_result_does_not_stand_in_the_way(tmp_path):
    """예전 결과를 지우다 죽은 뒤에도 다시 이을 수 있어야 한다."""
    work, target = tmp_path / "작업", tmp_path / "결과"
    for folder in (work / "old", target):
        folder.mkdir(parents=True)
        (folder / "00000007.png").write_bytes(b"old")
    with closing(ImageSegmentWriter(work / "000000.seg", "png")) as writer:
        writer.write(to_planes(np.zeros((2, 2, 3), np.uint8), rgb_layout(8, False)), 0)
        writer.finish()
    assert join_images([work / "000000.seg"], target, "png") == 1
    assert [path.name for path in target.iterdir()] == ["00000000.png"]
