"""무엇을 읽어 어디에 쓸지를 맞게 정하는지."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from realesrgan.cli.jobs import EXISTING, Job, forbidden_name, natural_key, plan_jobs
from realesrgan.cli.runner import share_jobs
from realesrgan.errors import UsageError
from realesrgan.media.formats import writable_extensions
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
        with pytest.raises(UsageError, match="이미지가 없습니다"):
            _plan([item], tmp_path / "out")


def test_bad_file_among_good_ones_keeps_its_reason(tmp_path: Path) -> None:
    good = _draw(tmp_path / "a.png")
    bad = tmp_path / "b.png"
    bad.write_text("이미지가 아님")
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
    bad.write_text("이미지가 아님")
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


def _resized(path: Path, source: Path, factor: int) -> Path:
    image = cv2.imread(str(source), cv2.IMREAD_UNCHANGED)
    path.write_bytes(cv2.imencode(path.suffix, cv2.resize(image, None, fx=factor, fy=factor))[1].tobytes())
    return path


@pytest.mark.parametrize(
    ("files", "pattern"),
    [
        (["[그룹] 1화/a.png", "[그룹] 1화/b.png"], "[그룹] 1화/*.png"),
        (["[그룹] 1화/[가]1.png", "[그룹] 1화/[가]2.png"], "[그룹] 1화/[가]*.png"),
        (["x/[1]/a.png", "y/[1]/b.png"], "*/[1]/*.png"),
        (["[a]/x/1.png", "[a]/x/y/2.png"], "[a]/**/*.png"),
        (["c/1.png", "d/2.png"], "[cd]/[0-9].png"),
    ],
)
def test_globs_below_names_with_brackets(tmp_path: Path, files: list[str], pattern: str) -> None:
    for name in files:
        _draw(tmp_path / name)
    assert [job.source for job in _plan([tmp_path / pattern], tmp_path / "out")] == [tmp_path / name for name in files]


def test_a_literal_name_comes_before_a_pattern(tmp_path: Path) -> None:
    for name in ("[ab]/1.png", "a/2.png", "b/3.png"):
        _draw(tmp_path / name)
    assert [job.source.name for job in _plan([tmp_path / "[ab]" / "*.png"], tmp_path / "out")] == ["1.png"]


@pytest.mark.parametrize("explicit", [False, True])
@pytest.mark.parametrize("skip_existing", [False, True])
def test_results_of_an_earlier_run_are_known_as_such(tmp_path: Path, skip_existing: bool, explicit: bool) -> None:
    for name in ("p.png", "q.png"):
        _draw(tmp_path / name)
    _resized(tmp_path / "p_out.png", tmp_path / "p.png", 4)
    inputs = sorted(tmp_path.iterdir()) if explicit else [tmp_path]
    jobs = _plan(inputs, tmp_path, skip_existing=skip_existing)
    assert [(job.source.name, job.target.name) for job in jobs] == [("p.png", "p_out.png"), ("q.png", "q_out.png")]
    assert not any(job.problem for job in jobs)


def test_results_in_another_format_or_of_results_are_known_too(tmp_path: Path) -> None:
    source = _draw(tmp_path / "p.png")
    _resized(tmp_path / "p_out.jpg", source, 2)
    _resized(tmp_path / "p_out.png", source, 4)
    _resized(tmp_path / "p_out_out.png", source, 16)
    assert [job.source.name for job in _plan([tmp_path], tmp_path)] == ["p.png"]
    # 다른 폴더에 쓰면 그 이름의 결과가 아니다.
    assert len(_plan([tmp_path], tmp_path / "out")) == 4


def test_an_original_named_like_a_result_is_not_overwritten(tmp_path: Path) -> None:
    for name in ("p.png", "p_out.png"):
        _draw(tmp_path / name)
    jobs = {job.source.name: job for job in _plan([tmp_path], tmp_path)}
    assert "덮어씁니다" in (jobs["p.png"].problem or "")
    assert jobs["p_out.png"].target.name == "p_out_out.png" and jobs["p_out.png"].problem is None


@pytest.mark.parametrize(
    ("names", "ext", "expected"),
    [
        (["logo.png", "logo.webp"], "png", ["logo_out.png", "logo_webp_out.png"]),
        (["logo.jpg", "logo.bmp"], "png", ["logo_bmp_out.png", "logo_jpg_out.png"]),
        (["logo.jpg", "logo.png", "logo.webp"], "png", ["logo_jpg_out.png", "logo_out.png", "logo_webp_out.png"]),
    ],
)
def test_pictures_of_one_name_get_results_of_their_own(
    tmp_path: Path, names: list[str], ext: str, expected: list[str]
) -> None:
    for name in names:
        _draw(tmp_path / "in" / name)
    first = _plan([tmp_path / "in"], tmp_path / "in", ext=ext)
    assert sorted(job.target.name for job in first) == expected
    for job in first:
        _resized(job.target, job.source, 4)
    again = _plan([tmp_path / "in"], tmp_path / "in", ext=ext)
    assert [(job.source, job.target) for job in again] == [(job.source, job.target) for job in first]


def test_transparent_pictures_of_one_name_in_a_folder_are_not_refused(tmp_path: Path) -> None:
    _draw(tmp_path / "logo.png", 4)
    _draw(tmp_path / "logo.webp", 4)
    jobs = _plan([tmp_path], tmp_path / "out")
    assert [job.target.name for job in jobs] == ["logo_out.png", "logo_webp_out.png"]


def test_same_names_of_two_folders_are_still_refused(tmp_path: Path) -> None:
    for name in ("x/a.png", "y/a.png"):
        _draw(tmp_path / name)
    with pytest.raises(UsageError, match="같은 파일이 됩니다"):
        _plan([tmp_path / "x", tmp_path / "y"], tmp_path / "out")


@pytest.mark.parametrize(
    ("name", "windows", "words"),
    [
        ("가" * 85 + "_out.png", False, "너무 깁니다"),
        ("a" * 252 + ".png", True, "너무 깁니다"),
        ("con.png", True, "장치"),
        ("NUL.tar.png", True, "장치"),
        ("com1.jpg", True, "장치"),
        ("a:b.png", True, "글자"),
        ("a?.png", True, "글자"),
        ("a\x01.png", True, "글자"),
        ("a.png.", True, "점이나 공백"),
        ("a.png ", True, "점이나 공백"),
    ],
)
def test_forbidden_names_are_said_in_korean(name: str, windows: bool, words: str) -> None:
    assert words in (forbidden_name(name, windows) or "")


@pytest.mark.parametrize("name", ["가" * 80 + ".png", "con.png", "a:b.png", "a?.png", "끝. "])
def test_other_systems_allow_more_names(name: str) -> None:
    assert forbidden_name(name, windows=False) is None


@pytest.mark.parametrize("name", ["가" * 83 + ".png", "console.png", "com.png", "a b.png"])
def test_names_windows_allows(name: str) -> None:
    assert forbidden_name(name, windows=True) is None


@pytest.mark.skipif(os.name == "nt", reason="이름의 한도를 바이트로 세지 않는다")
def test_a_result_name_that_grows_too_long_fails_alone_and_first(tmp_path: Path) -> None:
    _draw(tmp_path / "in" / ("가" * 83 + ".png"))
    _draw(tmp_path / "in" / "b.png")
    long, short = _plan([tmp_path / "in"], tmp_path / "out")[::-1]
    assert "너무 깁니다" in (long.problem or "") and short.problem is None


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="FIFO가 없다")
def test_special_files_of_a_folder_are_named_and_never_opened(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.png")
    os.mkfifo(tmp_path / "pipe")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(tmp_path / "s.jpg"))
    _draw(tmp_path / "a.png")
    for inputs in ([tmp_path], [tmp_path / "*"]):
        jobs = {job.source.name: job for job in _plan(inputs, tmp_path / "out")}
        assert set(jobs) == {"a.png", "pipe.png", "s.jpg"}
        assert all("특수 파일" in (jobs[name].skip or "") for name in ("pipe.png", "s.jpg"))


def test_pictures_of_a_folder_that_cannot_be_read_are_named(tmp_path: Path) -> None:
    data = _draw(tmp_path / "a.png").read_bytes()
    for name, content in {
        "b.psb": b"8BPS",
        "c.jxr": b"II\xbc\x01",
        "d": data,
        "e.dat": b"\x00\x00\x00\x0cJXL \r\n\x87\n",
        "f.txt": "이미지가 아닌 글".encode(),
        "g": b"",
        ".h.psd": b"8BPS",
    }.items():
        (tmp_path / name).write_bytes(content)
    jobs = _plan([tmp_path], tmp_path / "out")
    assert {job.source.name: job.skip is None for job in jobs} == {
        "a.png": True, "b.psb": False, "c.jxr": False, "d": False, "e.dat": False,
    }  # fmt: skip
    (tmp_path / "a.png").unlink()
    with pytest.raises(UsageError, match=r"지원하지 않는 이미지 4개: b\.psb, c\.jxr, d 등"):
        _plan([tmp_path], tmp_path / "out")


@pytest.mark.parametrize("name", ["x.jxl", "x.psb", "x.SVG", "x.cr2", "x.pgn", "x.mp4", "x.pdf"])
def test_an_output_of_a_picture_kind_we_cannot_write_is_not_a_folder(tmp_path: Path, name: str) -> None:
    if name.endswith(".jxl") and ".jxl" in writable_extensions():
        pytest.skip("JPEG XL의 플러그인이 설치되어 있다")
    path = _draw(tmp_path / "a.png")
    with pytest.raises(UsageError, match="쓸 수 있는 형식"):
        _plan([path], tmp_path / name)
    (tmp_path / name).mkdir()
    assert _plan([path], tmp_path / name)[0].target.parent == tmp_path / name


@pytest.mark.parametrize("name", ["x.results", "x.v2", "2.5x", "x.pgn/"])
def test_an_output_that_names_a_folder_is_a_folder(tmp_path: Path, name: str) -> None:
    path = _draw(tmp_path / "a.png")
    assert _plan([path], f"{tmp_path}/{name}")[0].target.parent == tmp_path / name
    assert _plan([tmp_path], tmp_path / "x.pgn")[0].target.parent == tmp_path / "x.pgn"


def test_pictures_are_overwritten_and_other_files_are_not(tmp_path: Path) -> None:
    source, old = _draw(tmp_path / "a.png"), _draw(tmp_path / "b.jpg")
    assert _plan([source], old)[0].problem is None
    (tmp_path / "empty.png").touch()
    assert _plan([source], tmp_path / "empty.png")[0].problem is None
    (tmp_path / "note.png").write_text("이미지가 아닌, 잃으면 안 되는 글")
    with pytest.raises(UsageError, match="이미지가 아닌 파일"):
        _plan([source], tmp_path / "note.png")
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "a_out.png").write_text("글")
    assert "이미지가 아닌 파일" in (_plan([source], tmp_path / "out")[0].problem or "")
    assert _plan([source], tmp_path / "out", skip_existing=True)[0].problem is None


@pytest.mark.parametrize(("outscale", "expected"), [(2.3, (14, 9)), (1.15, (7, 5)), (4, (24, 16)), (0.01, (1, 1))])
def test_output_sizes_are_rounded_as_by_hand(tmp_path: Path, outscale: float, expected: tuple[int, int]) -> None:
    assert _plan([_draw(tmp_path / "a.png")], tmp_path / "out")[0].output_size(outscale) == expected


@pytest.mark.skipif(not Path("/dev/null").exists(), reason="장치 파일이 없다")
def test_a_device_is_not_an_input(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="장치"):
        _plan(["/dev/null"], tmp_path)


def test_an_output_that_is_too_long_is_not_a_crash(tmp_path: Path) -> None:
    assert _plan([_draw(tmp_path / "a.png")], tmp_path / ("가" * 200))


def test_results_to_be_kept_are_told_apart_while_planning(tmp_path: Path) -> None:
    source = _draw(tmp_path / "a.png")
    made = _draw(tmp_path / "out" / "a_out.png")
    (job,) = _plan([source], tmp_path / "out", skip_existing=True)
    assert (job.skip, job.output, job.weight) == (EXISTING, str(made), 0) and made in job.paths
    (job,) = _plan([source], tmp_path / "out")
    assert job.skip is None and job.weight == 24
