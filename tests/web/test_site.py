"""화면이 쓰는 것: 서버의 폴더, 나갈 때 지우기."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("gradio")

from realesrgan.errors import UsageError
from realesrgan.web.jobs import JobQueue
from realesrgan.web.page import Form, Site, describe, notice, shown_values
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


def test_both_languages_say_the_same_things() -> None:
    assert KOREAN.keys() == ENGLISH.keys()
