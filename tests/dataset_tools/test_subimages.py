"""조각의 기하와 작업자, 훈련의 데이터셋과의 약속."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from realesrgan.dataset_tools.pictures import PICTURE_SUFFIXES, strip_scale
from realesrgan.dataset_tools.subimages import CropOptions, crop_starts
from realesrgan.dataset_tools.workers import Failure, map_items
from realesrgan.errors import UsageError


@given(length=st.integers(1, 400), size=st.integers(1, 200), step=st.integers(1, 100), threshold=st.integers(0, 60))
def test_crops_stay_inside_and_leave_at_most_the_threshold(length: int, size: int, step: int, threshold: int) -> None:
    starts = crop_starts(length, CropOptions(size, step, threshold))
    if length < size:
        assert starts == []
        return
    assert starts == sorted(set(starts)) and starts[0] == 0
    assert length - threshold <= starts[-1] + size <= length
    if step <= size:
        covered = np.zeros(length, bool)
        for start in starts:
            covered[start : start + size] = True
        assert covered[: starts[-1] + size].all()


@pytest.mark.parametrize("values", [(0, 1, 0, 3), (4, 0, 0, 3), (4, 1, -1, 3), (4, 1, 0, 10)])
def test_senseless_crops_are_refused(values: tuple[int, int, int, int]) -> None:
    with pytest.raises(UsageError):
        CropOptions(*values)


@pytest.mark.parametrize(("name", "plain"), [("0001x2", "0001"), ("0001x4", "0001"), ("ax3bx8", "ab"), ("x2", "x2")])
def test_scale_marks_are_stripped(name: str, plain: str) -> None:
    assert strip_scale(name) == plain


def _work(item: int) -> int:
    if item == 3:
        raise OSError(28, "No space left on device", "큰파일.png")
    if item == 4:
        raise ZeroDivisionError("뜻밖")
    return item * item


@pytest.mark.parametrize("workers", [1, 2])
def test_workers_answer_in_order_and_say_why_they_failed(workers: int) -> None:
    results = list(map_items(_work, list(range(8)), workers))
    assert [item for item, _ in results] == list(range(8))
    assert [result for item, result in results if item not in (3, 4)] == [0, 1, 4, 25, 36, 49]
    full, odd = (result for item, result in results if item in (3, 4))
    assert isinstance(full, Failure) and "큰파일.png" in full.reason and "디스크가 가득" in full.reason
    assert isinstance(odd, Failure) and "ZeroDivisionError" in odd.reason


def _die(item: int) -> int:
    if item == 1:
        os._exit(9)
    return item


def test_death_of_a_worker_is_told_and_not_waited_for() -> None:
    results = dict(map_items(_die, list(range(6)), 2))
    assert set(results) == set(range(6))
    assert isinstance(results[1], Failure) and "갑자기 끝나" in results[1].reason


def test_pictures_listed_are_those_that_training_reads(tmp_path: Path) -> None:
    from tests.training.extra import require_training_extra

    require_training_extra()
    from realesrgan.data.image_source import IMAGE_SUFFIXES

    assert PICTURE_SUFFIXES == IMAGE_SUFFIXES
