"""무엇을 읽어 어디에 쓸지를 맞게 정하는지."""

from __future__ import annotations

import os
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from realesrgan.cli.jobs import Job, natural_key, plan_jobs
from realesrgan.cli.runner import share_jobs
from realesrgan.errors import UsageError
from realesrgan.media.image import ImageInfo


def _draw(path: Path, channels: int = 3) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    shape = (4, 6) if channels == 1 else (4, 6, channels)
    image = np.random.default_rng(0).integers(0, 256, shape).astype(np.uint8)
    path.write_bytes(cv2.imencode(path.suffix, image)[1].tobytes())
    return path


def _plan(inputs: list[Path | str], output: Path, **options: object) -> list[Job]:
    settings = {"recursive": False, "suffix": "out", "ext": "auto", "outscale": 4} | options
    return plan_jobs([str(item) for item in inputs], str(output), **settings)


def _targets(jobs: list[Job], folder: Path) -> list[str]:
    return [job.target.relative_to(folder).as_posix() for job in jobs]


def test_folder_is_read_in_natural_order_without_its_subfolders(tmp_path: Path) -> None:
    for name in ("10.png", "2.jpg", "1.bmp", "안녕 하세요.png", "sub/3.png"):
        _draw(tmp_path / "in" / name)
    (tmp_path / "in" / "note.txt").write_text("x")
    (tmp_path / "in" / "._2.jpg").write_bytes(b"x")
    jobs = _plan([tmp_path / "in"], tmp_path / "out")
    assert [job.source.name for job in jobs] == ["1.bmp", "2.jpg", "10.png", "안녕 하세요.png"]
    assert _targets(jobs, tmp_path / "out") == ["1_out.bmp", "2_out.jpg", "10_out.png", "안녕 하세요_out.png"]


def test_recursive_keeps_the_tree(tmp_path: Path) -> None:
    for name in ("a.png", "x/a.png", "x/y/a.png"):
        _draw(tmp_path / "in" / name)
    jobs = _plan([tmp_path / "in"], tmp_path / "out", recursive=True)
    assert sorted(_targets(jobs, tmp_path / "out")) == ["a_out.png", "x/a_out.png", "x/y/a_out.png"]


def test_glob_and_several_files_are_taken_once_each(tmp_path: Path) -> None:
    for name in ("a1.png", "a2.png", "b.png"):
        _draw(tmp_path / name)
    jobs = _plan([tmp_path / "a*.png", tmp_path / "b.png", tmp_path / "a1.png"], tmp_path / "out")
    assert [job.source.name for job in jobs] == ["a1.png", "a2.png", "b.png"]


def test_name_with_brackets_is_a_file_and_not_a_pattern(tmp_path: Path) -> None:
    path = _draw(tmp_path / "photo[1].png")
    assert [job.source for job in _plan([path], tmp_path / "out")] == [path]


def test_output_may_name_a_file_when_one_picture_goes_in(tmp_path: Path) -> None:
    path = _draw(tmp_path / "in.jpg")
    assert _plan([path], tmp_path / "new" / "big.webp")[0].target == tmp_path / "new" / "big.webp"


def test_output_file_for_several_pictures_is_refused(tmp_path: Path) -> None:
    paths = [_draw(tmp_path / "in" / name) for name in ("a.png", "b.png")]
    with pytest.raises(UsageError, match="하나만"):
        _plan(paths, tmp_path / "big.png")
    with pytest.raises(UsageError, match="하나만"):
        _plan([tmp_path / "in"], tmp_path / "big.png")


def test_existing_folder_named_like_a_file_is_still_a_folder(tmp_path: Path) -> None:
    path = _draw(tmp_path / "in.png")
    (tmp_path / "out.png").mkdir()
    assert _plan([path], tmp_path / "out.png")[0].target == tmp_path / "out.png" / "in_out.png"


@pytest.mark.parametrize(
    ("name", "channels", "ext", "expected"),
    [
        ("a.jpg", 3, "auto", "a_out.jpg"),
        ("a.JPG", 3, "auto", "a_out.jpg"),
        ("a.png", 4, "auto", "a_out.png"),
        ("a.webp", 4, "auto", "a_out.png"),
        ("a.png", 4, "jpg", "a_out.png"),
        ("a.png", 3, "jpg", "a_out.jpg"),
        ("a.png", 4, "webp", "a_out.webp"),
        ("a.bmp", 3, "tiff", "a_out.tiff"),
    ],
)
def test_extension_follows_the_option_and_alpha(
    tmp_path: Path, name: str, channels: int, ext: str, expected: str
) -> None:
    path = _draw(tmp_path / name.lower(), channels).rename(tmp_path / name)
    assert _plan([path], tmp_path / "out", ext=ext)[0].target.name == expected


def test_two_inputs_for_one_output_are_found_before_work_starts(tmp_path: Path) -> None:
    paths = [_draw(tmp_path / name) for name in ("a.png", "a.jpg")]
    assert len(_plan(paths, tmp_path / "out")) == 2
    with pytest.raises(UsageError, match="같은 파일이 됩니다"):
        _plan(paths, tmp_path / "out", ext="png")


def test_output_never_overwrites_an_input(tmp_path: Path) -> None:
    path = _draw(tmp_path / "a.png")
    with pytest.raises(UsageError, match="덮어씁니다"):
        _plan([path], tmp_path, suffix="")
    with pytest.raises(UsageError, match="덮어씁니다"):
        _plan([path], path)
    other = _draw(tmp_path / "a_out.png")
    with pytest.raises(UsageError, match="덮어씁니다"):
        _plan([path, other], tmp_path)


@pytest.mark.parametrize("name", ["missing.png", "missing"])
def test_missing_single_input_is_a_wrong_use(tmp_path: Path, name: str) -> None:
    with pytest.raises(UsageError, match="입력이 없습니다"):
        _plan([tmp_path / name], tmp_path / "out")


def test_empty_folder_and_empty_glob_say_so(tmp_path: Path) -> None:
    for item in (tmp_path, tmp_path / "*.png"):
        with pytest.raises(UsageError, match="그림이 없습니다"):
            _plan([item], tmp_path / "out")


def test_bad_file_among_good_ones_keeps_its_reason(tmp_path: Path) -> None:
    good = _draw(tmp_path / "a.png")
    bad = tmp_path / "b.png"
    bad.write_text("그림이 아님")
    jobs = _plan([good, bad, tmp_path / "c.png"], tmp_path / "out")
    assert [job.problem is None for job in jobs] == [True, False, False]


@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="관리자는 권한에 막히지 않는다")
def test_unreadable_folder_is_said(tmp_path: Path) -> None:
    folder = tmp_path / "locked"
    folder.mkdir(mode=0)
    try:
        with pytest.raises(UsageError, match="권한"):
            _plan([folder], tmp_path / "out")
    finally:
        folder.chmod(0o700)


def test_unreadable_folder_is_said_even_to_the_administrator(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError(13, "Permission denied", str(tmp_path))

    monkeypatch.setattr(os, "scandir", refuse)
    with pytest.raises(UsageError, match="폴더를 열 수 없습니다"):
        _plan([tmp_path], tmp_path / "out")


@given(st.lists(st.integers(0, 9999), min_size=1, unique=True))
def test_numbers_in_names_sort_as_numbers(numbers: list[int]) -> None:
    paths = [Path(f"frame{number}.png") for number in numbers]
    assert sorted(paths, key=natural_key) == [Path(f"frame{number}.png") for number in sorted(numbers)]


@given(st.lists(st.integers(0, 10**6), max_size=40), st.integers(1, 8))
def test_shares_cover_every_job_once_and_are_even(sizes: list[int], ranks: int) -> None:
    jobs = [
        Job(Path(f"{index}.png"), Path(f"{index}_out.png"), ImageInfo(size, 1, "PNG", 1, "RGB", 8))
        for index, size in enumerate(sizes)
    ]
    shares = share_jobs(jobs, ranks)
    assert sorted(index for share in shares for index in share) == list(range(len(jobs)))
    loads = [sum(sizes[index] for index in share) for share in shares]
    assert max(loads) - min(loads) <= max(sizes, default=0)


def test_results_folder_inside_the_input_is_not_read_again(tmp_path: Path) -> None:
    _draw(tmp_path / "a.png")
    _draw(tmp_path / "results" / "a_out.png")
    jobs = _plan([tmp_path], tmp_path / "results", recursive=True)
    assert [job.source for job in jobs] == [tmp_path / "a.png"]


def test_bad_file_does_not_stop_a_good_one_of_the_same_name(tmp_path: Path) -> None:
    good = _draw(tmp_path / "x" / "a.png")
    bad = tmp_path / "y" / "a.png"
    bad.parent.mkdir()
    bad.write_text("그림이 아님")
    jobs = _plan([good, bad], tmp_path / "out")
    assert [job.problem is None for job in jobs] == [True, False]


@pytest.mark.parametrize(("name", "width"), [("wide.webp", 4200), ("wide.jpg", 16400)])
def test_side_beyond_the_format_is_known_before_computing(tmp_path: Path, name: str, width: int) -> None:
    path = tmp_path / name
    path.write_bytes(cv2.imencode(path.suffix, np.zeros((2, width, 3), np.uint8))[1].tobytes())
    assert "한도" in (_plan([path], tmp_path / "out")[0].problem or "")
    assert _plan([path], tmp_path / "out", outscale=1)[0].problem is None
    assert _plan([path], tmp_path / "out", ext="png")[0].problem is None


@pytest.mark.parametrize("name", ["~없는사용자/a.png", "가" * 300 + ".png"])
def test_odd_paths_are_said_in_korean(name: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"입력"):
        _plan([name], tmp_path / "out")
