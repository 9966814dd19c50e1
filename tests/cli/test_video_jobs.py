"""어떤 비디오를 읽어 어디에 쓸지 정한다."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from realesrgan.cli.video_jobs import plan_jobs
from realesrgan.errors import UsageError


def planned(inputs: list[Path], output: Path, **changes: object) -> dict[str, str]:
    """입력의 이름과 결과의 경로."""
    options = {"suffix": "out", "ext": "auto", **changes}
    jobs = plan_jobs([str(path) for path in inputs], str(output), **options)  # type: ignore[arg-type]
    return {
        Path(job.source.name).name: job.target.path.relative_to(output).as_posix() for job in jobs if job.target.path
    }


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    root = tmp_path / "films"
    for name in ("a.mkv", "a.avi", "b.MOV", "notes.txt", "cover.png", "deep/a.mkv", "deep/c.m4v", ".hidden/x.mp4"):
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x")
    return root


def test_the_container_follows_the_source_unless_told_otherwise(folder: Path, tmp_path: Path) -> None:
    files = [folder / "a.mkv", folder / "b.MOV", folder / "deep/c.m4v"]
    results = tmp_path / "results"
    assert planned(files, results) == {"a.mkv": "a_out.mkv", "b.MOV": "b_out.mov", "c.m4v": "c_out.m4v"}
    assert set(planned(files, results, ext="webm").values()) == {"a_out.webm", "b_out.webm", "c_out.webm"}
    assert planned([folder / "a.avi"], results) == {"a.avi": "a_out.mp4"}


def test_a_folder_skips_other_files_by_name(folder: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        found = planned([folder], tmp_path / "results", ext="mp4")
    # 확장자만 다른 둘은 이름을 나눈다.
    assert found == {"a.avi": "a_out.mp4", "a.mkv": "a_mkv_out.mp4", "b.MOV": "b_out.mp4"}
    assert "notes.txt" in caplog.text and "cover.png" in caplog.text


def test_recursion_keeps_videos_of_one_name_apart(folder: Path, tmp_path: Path) -> None:
    jobs = plan_jobs([str(folder)], str(tmp_path / "results"), suffix="out", ext="auto", recursive=True)
    made = {job.target.path.relative_to(tmp_path / "results").as_posix() for job in jobs if job.target.path}
    assert made == {"a_out.mp4", "a_out.mkv", "b_out.mov", "deep/a_out.mkv", "deep/c_out.m4v"}


def test_folders_that_hold_videos_of_one_name_are_kept_apart(tmp_path: Path) -> None:
    folders = [tmp_path / name for name in "pqrs"]
    for folder in folders:
        folder.mkdir()
        (folder / "x.mp4").write_bytes(b"x")
    jobs = plan_jobs([str(folder) for folder in folders], str(tmp_path / "results"), suffix="out", ext="auto")
    made = [job.target.path.name for job in jobs if job.target.path]
    assert made == ["x_out.mp4", "x_mp4_out.mp4", "x_mp4_2_out.mp4", "x_mp4_3_out.mp4"]
    # 이름을 하나하나 든 것은 사진의 명령처럼 사용자가 정하게 한다.
    with pytest.raises(UsageError, match="같은 파일이 됩니다"):
        plan_jobs([str(folder / "x.mp4") for folder in folders], str(tmp_path / "r"), suffix="out", ext="auto")


def test_results_below_the_folder_are_not_taken_for_inputs(folder: Path) -> None:
    results = folder / "results"
    (results / "deep").mkdir(parents=True)
    (results / "deep/a_out.mkv").write_bytes(b"x")
    jobs = plan_jobs([str(folder)], str(results), suffix="out", ext="auto", recursive=True)
    assert not any(results in Path(job.source.name).parents for job in jobs)


@pytest.mark.parametrize("name", ["b.mp5", "b.mpg4", "b.txt", "b.y4m", "b.png"])
def test_a_mistyped_extension_does_not_become_a_folder(folder: Path, tmp_path: Path, name: str) -> None:
    with pytest.raises(UsageError, match="쓸 수 없는 형식"):
        planned([folder / "a.mkv"], tmp_path / name)
    # 끝에 /를 붙였거나 버전으로 끝나는 이름은 폴더다.
    for output in (f"{tmp_path / name}/", str(tmp_path / "results.v2")):
        (job,) = plan_jobs([str(folder / "a.mkv")], output, suffix="out", ext="auto")
        assert job.target.path is not None and job.target.path.name == "a_out.mkv"
