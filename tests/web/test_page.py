"""진짜 브라우저로 쓰는 화면."""

from __future__ import annotations

import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import realesrgan
from tests.conftest import ROOT

pytest.importorskip("gradio")
pytest.importorskip("playwright")

SLOW = "realesr-animevideov3"


def save_picture(path: Path, width: int = 32, height: int = 24) -> Path:
    pixels = np.random.default_rng(0).integers(0, 256, (height // 8, width // 8, 3), np.uint8)
    Image.fromarray(pixels).resize((width, height), Image.Resampling.BICUBIC).save(path)
    return path


def upload(page: Any, *paths: Path, lang: str = "ko") -> None:
    page.locator(f"#files-{lang} input[type=file]").set_input_files([str(path) for path in paths])
    # 이름은 올리는 동안에도 보인다. 다 올린 뒤에야 명령줄에 들어간다.
    command_has(page, paths[-1].name)


def choose(page: Any, label: str, option: str) -> None:
    page.get_by_label(label, exact=True).locator("visible=true").first.click()
    page.get_by_role("option", name=option).locator("visible=true").first.click()


def command_has(page: Any, text: str, kind: str = "picture") -> None:
    page.wait_for_function(
        "([id, text]) => document.querySelector(id).value.includes(text)", arg=[f"#command-{kind}-ko textarea", text]
    )


def status(page: Any, text: str, lang: str = "ko") -> None:
    page.locator(f"#status-{lang}").get_by_text(text).first.wait_for()


def downloaded(page: Any, name: str, folder: Path) -> Path:
    with page.expect_download() as waiting:
        page.locator("#results-ko").get_by_role("link", name=name).or_(
            page.locator(f"#results-ko a[download='{name}']")
        ).first.click()
    target = folder / waiting.value.suggested_filename
    waiting.value.save_as(target)
    return target


def command_of(page: Any, kind: str = "picture") -> str:
    return str(page.locator(f"#command-{kind}-ko textarea").input_value())


def test_a_picture_is_uploaded_enlarged_compared_and_downloaded(open_page: Callable[..., Any], tmp_path: Path) -> None:
    source = save_picture(tmp_path / "한글 사진 (1).png")
    page = open_page()
    choose(page, "모델", SLOW)
    upload(page, source)
    page.get_by_text("메모리 약").first.wait_for()
    command_has(page, "animevideov3")
    assert "'한글 사진 (1).png'" in command_of(page)
    page.locator("#run-picture-ko").click()
    status(page, "다 됨")
    images = page.locator("#compare-ko img")
    images.nth(1).wait_for()
    page.wait_for_function("[...document.querySelectorAll('#compare-ko img')].some(one => one.naturalWidth === 128)")
    result = downloaded(page, "한글 사진 (1)_out.png", tmp_path)
    expected = tmp_path / "expected.png"
    realesrgan.upscale_file(source, expected, model=realesrgan.load(SLOW))
    # 시험은 이 프로세스에서 bf16을 끄지만 일하는 프로세스는 기계를 따른다. 한 단계 안에서 같은지만 본다.
    with Image.open(result) as made, Image.open(expected) as wanted:
        assert made.size == wanted.size == (128, 96)
        difference = np.abs(np.asarray(made).astype(int) - np.asarray(wanted))
    assert difference.mean() < 0.5


def test_a_bad_picture_is_told_and_the_good_ones_come_as_a_zip(open_page: Callable[..., Any], tmp_path: Path) -> None:
    bad = tmp_path / "bad.png"
    bad.write_bytes(b"\x89PNG\r\n\x1a\nhostile")
    page = open_page()
    choose(page, "모델", SLOW)
    upload(page, save_picture(tmp_path / "가.png"), save_picture(tmp_path / "나.webp"), bad)
    page.locator("#run-picture-ko").click()
    status(page, "ImageReadError")
    status(page, "실패")
    assert "/files/" not in page.locator("#status-ko").inner_text()
    page.locator("#zip-ko").click()
    packed = downloaded(page, "results.zip", tmp_path)
    with zipfile.ZipFile(packed) as archive:
        assert sorted(archive.namelist()) == ["가_out.png", "나_out.webp"]


def test_two_tabs_wait_in_one_queue_a_reload_goes_on_and_cancelling_stops(
    open_page: Callable[..., Any], tmp_path: Path
) -> None:
    source = save_picture(tmp_path / "큰 사진.png", 2400, 2400)
    first = open_page()
    choose(first, "모델", SLOW)
    upload(first, source)
    first.locator("#run-picture-ko").click()
    status(first, "사진 1/1")
    second = open_page()
    choose(second, "모델", SLOW)
    upload(second, save_picture(tmp_path / "b.png"))
    second.locator("#run-picture-ko").click()
    status(second, "앞에 1개")
    first.reload()
    status(first, "하는 중")
    # 지난번의 양식도 남아 있다.
    command_has(first, "animevideov3")
    first.locator("#cancel-ko").click()
    status(first, "멈춤")
    status(second, "다 됨")
    assert first.locator("#results-ko").count() == 0 or not first.locator("#results-ko").is_visible()


def test_a_film_shows_its_first_frame_and_plays(open_page: Callable[..., Any]) -> None:
    page = open_page()
    page.get_by_role("tab", name="비디오").click()
    page.locator("#film-ko input[type=file]").set_input_files(str(ROOT / "assets/pan.mp4"))
    command_has(page, "pan.mp4", "video")
    page.locator("#estimate-video-ko").click()
    page.get_by_text("프레임 24개").first.wait_for()
    page.locator("#run-video-ko").click()
    status(page, "다 됨")
    page.locator("#player-ko video").wait_for()
    page.wait_for_function("document.querySelector('#player-ko video').readyState >= 1")
    assert page.evaluate("document.querySelector('#player-ko video').videoWidth") == 384


def test_presets_fill_the_form_and_are_kept_by_the_browser(open_page: Callable[..., Any]) -> None:
    page = open_page()
    choose(page, "프리셋", "오래된 사진")
    command_has(page, "--face_enhance")
    assert "--blend 0.8" in command_of(page)
    page.get_by_role("button", name="프리셋 저장").locator("visible=true").first.click()
    page.get_by_label("새 프리셋의 이름").locator("visible=true").fill("내 것")
    page.get_by_role("button", name="프리셋 저장").locator("visible=true").last.click()
    page.get_by_text("프리셋을 저장했습니다").first.wait_for()
    again = open_page(context=page.context)
    choose(again, "프리셋", "휴대전화 사진")
    again.wait_for_function("!document.querySelector('#command-picture-ko textarea').value.includes('face')")
    choose(again, "프리셋", "내 것")
    command_has(again, "--face_enhance")


def test_a_wrong_size_is_told_at_once(open_page: Callable[..., Any]) -> None:
    page = open_page()
    choose(page, "크기를 정하는 법", "너비(픽셀)")
    page.get_by_role("alert").get_by_text("크기가 수가 아닙니다").first.wait_for()


def test_a_file_of_the_served_folder_is_enlarged(
    open_page: Callable[..., Any], server_folder: Path, tmp_path: Path
) -> None:
    save_picture(server_folder / "서버의 사진.png")
    page = open_page()
    choose(page, "모델", SLOW)
    page.get_by_role("button", name="서버의 폴더").locator("visible=true").first.click()
    page.locator("#server-picture-ko input").click()
    page.get_by_role("option", name="서버의 사진.png").locator("visible=true").first.click()
    page.keyboard.press("Escape")
    command_has(page, "서버의 사진.png")
    page.locator("#run-picture-ko").click()
    status(page, "다 됨")
    assert downloaded(page, "서버의 사진_out.png", tmp_path).stat().st_size > 0
    assert not serious_problems(page)


def test_the_slider_moves_and_the_wheel_zooms(open_page: Callable[..., Any], tmp_path: Path) -> None:
    page = open_page()
    choose(page, "모델", SLOW)
    upload(page, save_picture(tmp_path / "a.png", 128, 96))
    page.locator("#run-picture-ko").click()
    status(page, "다 됨")
    after = page.locator("#compare-ko img").nth(1)
    after.scroll_into_view_if_needed()
    page.wait_for_function("[...document.querySelectorAll('#compare-ko img')].every(one => one.naturalWidth > 0)")
    box = after.bounding_box()
    middle = box["y"] + box["height"] / 2
    clip = after.evaluate("one => one.style.clipPath")
    page.mouse.move(box["x"] + box["width"] / 2, middle)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] / 5, middle, steps=5)
    page.mouse.up()
    page.wait_for_function("clip => document.querySelectorAll('#compare-ko img')[1].style.clipPath !== clip", arg=clip)
    page.mouse.move(box["x"] + box["width"] * 0.8, middle)
    page.mouse.wheel(0, -400)
    page.wait_for_function("document.querySelectorAll('#compare-ko img')[1].style.transform.includes('scale(1.')")
    assert not serious_problems(page)


def test_the_page_speaks_english(open_page: Callable[..., Any]) -> None:
    page = open_page("/en")
    assert page.get_by_role("button", name="Stop").is_visible()
    assert page.get_by_role("link", name="한국어").is_visible()


def serious_problems(page: Any) -> list[tuple[str, str, str]]:
    axe = pytest.importorskip("axe_playwright_python.sync_playwright")
    found = axe.Axe().run(page).response["violations"]
    return [
        (one["id"], node["html"][:200], node.get("failureSummary", "")[:200])
        for one in found
        if one["impact"] in ("serious", "critical")
        for node in one["nodes"]
    ]


@pytest.mark.parametrize("path", ["/", "/en"])
def test_the_page_has_no_serious_accessibility_problem(open_page: Callable[..., Any], path: str) -> None:
    assert not serious_problems(open_page(path))


def test_the_form_is_used_with_the_keyboard_alone(open_page: Callable[..., Any], tmp_path: Path) -> None:
    page = open_page()
    choose(page, "모델", SLOW)
    upload(page, save_picture(tmp_path / "a.png"))
    page.locator("body").click(position={"x": 2, "y": 2})
    for _ in range(80):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.textContent.trim()") == "시작":
            break
    else:
        pytest.fail("Tab으로 시작 단추에 닿지 못했다")
    page.keyboard.press("Enter")
    status(page, "다 됨")


def test_a_phone_needs_no_sideways_scrolling(open_page: Callable[..., Any]) -> None:
    page = open_page(viewport={"width": 390, "height": 844})
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    assert page.locator("#run-picture-ko").bounding_box()["width"] >= 44
