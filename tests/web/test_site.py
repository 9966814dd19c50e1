"""화면이 쓰는 것: 서버의 폴더, 나갈 때 지우기."""

from __future__ import annotations

import html
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

pytest.importorskip("gradio")

from realesrgan.errors import UsageError
from realesrgan.video.workspace import Workspace
from realesrgan.web.jobs import JobQueue
from realesrgan.web.page import Form, Page, Site, describe, notice, shown_values
from realesrgan.web.storage import Storage
from realesrgan.web.words import ENGLISH, KOREAN


@pytest.fixture
def site(tmp_path: Path) -> Site:
    queue = JobQueue(Storage(tmp_path / "work", 1 << 30, 3600), [], None)
    queue.start()
    folder = tmp_path / "folder"
    (folder / "안").mkdir(parents=True)
    for name in ("10.png", "2.png", "안/비디오.mp4", "글.txt", ".숨은.png"):
        (folder / name).write_bytes(b"x")
    (tmp_path / "secret.png").write_bytes(b"x")
    (folder / "link.png").symlink_to(tmp_path / "secret.png")
    return Site(queue, folder)


def test_the_folder_lists_what_can_be_enlarged(site: Site) -> None:
    assert site.listing("picture") == ["2.png", "10.png", "link.png"]
    assert site.listing("video") == ["안/비디오.mp4"]


@pytest.mark.parametrize("name", ["../secret.png", "/etc/passwd", "link.png", "없음.png", "안"])
def test_nothing_outside_the_folder_is_opened(site: Site, name: str) -> None:
    with pytest.raises(UsageError):
        site.paths_of([], [name])
    assert site.paths_of([], ["2.png"])[1] == ["2.png"]
    with pytest.raises(UsageError):
        Site(site.queue).paths_of([], ["2.png"])


def test_leaving_deletes_only_when_wished_and_nobody_of_the_browser_is_left(site: Site, tmp_path: Path) -> None:
    def submit(owner: str) -> str:
        return site.queue.submit(owner, "picture", {}, [tmp_path / "secret.png"], ["a.png"]).id

    stays, goes = submit("stays"), submit("goes")
    site.see("tab 1", "goes", True)
    site.see("tab 2", "goes", True)
    site.see("tab 3", "stays", False)
    site.left("tab 1")
    site.forget("goes")
    assert site.queue.find(goes)
    for tab in ("tab 2", "tab 3"):
        site.left(tab)
    site.forget("goes")
    with pytest.raises(UsageError):
        site.queue.find(goes)
    assert site.queue.find(stays)
    # 링크로 데려온 원본은 남는다.
    assert (tmp_path / "secret.png").read_bytes() == b"x"


def test_a_form_reads_what_it_shows() -> None:
    names = ["model", "size_mode", "size", "quality", "tile", "blend"]
    form = Form("picture", dict.fromkeys(names))
    for size in ({}, {"scale": 2.5}, {"fit": "640x480"}, {"width": 800}):
        values = {"model": "realesr-animevideov3", "blend": 0.5, "quality": 80, "tile": 128, **size}
        found = form.read(shown_values("picture", values, names))
        assert found == values


def test_what_the_browser_shows_is_escaped(site: Site, tmp_path: Path) -> None:
    job = site.queue.submit("me", "picture", {}, [tmp_path / "secret.png"], ["<img src=x onerror=alert(1)>.png"])
    job.errors.append({"input": "<b>", "kind": "X", "message": "<script>"})
    shown = describe(job, 0, KOREAN) + notice("<script>")
    assert "<script>" not in shown and "<b>" not in shown and "onerror=alert(1)>" not in shown


@pytest.mark.parametrize("words", [KOREAN, ENGLISH])
def test_a_film_that_cannot_be_resumed_names_the_button_of_the_page(site: Site, tmp_path: Path, words: Any) -> None:
    def prepare(model: str, *, resume: bool) -> None:
        marks = {"model": model}
        Workspace(tmp_path / "left").prepare(tmp_path / "a.mp4", marks, [], resume=resume, overwrite=False)

    prepare("one", resume=False)
    with pytest.raises(UsageError) as caught:
        prepare("another", resume=True)
    job = site.queue.submit("me", "video", {}, [tmp_path / "secret.png"], ["a.mp4"])
    job.errors.append({"input": "a.mp4", "kind": "UsageError", "message": str(caught.value)})
    shown = html.unescape(describe(job, 0, words))
    assert f"'{words['again']}'" in shown and "--" not in shown


def test_a_late_answer_does_not_turn_the_page_back_to_the_earlier_job(site: Site, tmp_path: Path) -> None:
    """새 작업을 맡기는 동안 떠난 물음의 답이 늦게 와도, 새 작업을 보던 화면이 앞의 작업으로 돌아가지 않는다."""
    page, tab = Page(site, KOREAN), SimpleNamespace(session_hash="tab")
    jobs = [site.queue.submit("me", "picture", {}, [tmp_path / "secret.png"], ["a.png"]).id for _ in range(2)]
    late = page._tick("me", jobs[0], "", False, tab)[0]  # type: ignore[arg-type]
    assert len(late["choices"]) == 2 and "value" not in late
    for chosen in (None, "0" * 32):
        assert page._tick("me", chosen, "", False, tab)[0]["value"] == jobs[1]  # type: ignore[arg-type]


def test_both_languages_say_the_same_things() -> None:
    assert KOREAN.keys() == ENGLISH.keys()
