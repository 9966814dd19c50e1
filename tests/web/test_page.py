"""진짜 브라우저로 쓰는 화면."""

from __future__ import annotations

import shlex
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tests.conftest import ROOT
from tests.face.test_face import random_restorer
from tests.web.test_server import run_command

pytest.importorskip("gradio")
pytest.importorskip("playwright")

SLOW = "realesr-animevideov3"
# 비교하는 칸의 자른 자리.
CUT = "([id, text]) => document.querySelectorAll(id + ' img')[1].style.clipPath.endsWith(` ${text})`)"


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


def run_shown_command(page: Any, folder: Path, kind: str = "picture") -> int:
    """화면이 보인 명령을 그대로 돌린다. 종료 코드를 돌려준다."""
    words = shlex.split(command_of(page, kind))
    script = {"realesrgan": "inference_realesrgan.py", "realesrgan-video": "inference_realesrgan_video.py"}[words[0]]
    # 시험의 서버는 CPU로 계산한다.
    command = [sys.executable, str(ROOT / script), *words[1:], "--device", "cpu"]
    return subprocess.run(command, cwd=folder, capture_output=True, timeout=300, check=False).returncode


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
    with Image.open(result) as made:
        assert made.size == (128, 96)
    assert not serious_problems(page)


def save_every_kind(folder: Path) -> list[Path]:
    """형식과 담긴 것이 저마다 다른 사진들."""
    gray = np.random.default_rng(1).integers(0, 1 << 16, (24, 32), np.uint16)
    alpha = np.random.default_rng(2).integers(0, 256, (24, 32, 4), np.uint8)
    frames = [Image.fromarray(alpha[..., :3] // (turn + 1)) for turn in range(3)]
    exif = Image.Exif()
    exif[0x010E], exif[0x0112] = "설명", 6
    Image.fromarray(gray).save(folder / "16비트.png")
    Image.fromarray(alpha).save(folder / "알파.png")
    frames[0].save(folder / "회전.jpg", quality=95, exif=exif, dpi=(300, 300))
    frames[1].save(folder / "a.webp", lossless=True)
    frames[2].save(folder / "a.tif")
    for name in ("움직임.gif", "움직임.webp"):
        frames[0].save(folder / name, save_all=True, append_images=frames[1:], duration=[40, 80, 120], loop=2)
    return sorted(folder.iterdir())


def test_downloads_equal_the_results_of_the_shown_command_to_the_byte(
    open_page: Callable[..., Any], tmp_path: Path
) -> None:
    inputs, saved = tmp_path / "in", tmp_path / "saved"
    for folder in (inputs, saved):
        folder.mkdir()
    paths = save_every_kind(inputs)
    bad = inputs / "나쁜.png"
    bad.write_bytes(b"\x89PNG\r\n\x1a\nhostile")
    page = open_page()
    choose(page, "모델", SLOW)
    upload(page, bad, *paths)
    page.locator("#run-picture-ko").click()
    status(page, "ImageReadError")
    status(page, "실패")
    assert "/files/" not in page.locator("#status-ko").inner_text()
    assert not serious_problems(page)
    assert run_shown_command(page, inputs) == 1
    expected = {path.name: path.read_bytes() for path in (inputs / "results").iterdir()}
    assert len(expected) == len(paths)
    for name, content in expected.items():
        assert downloaded(page, name, saved).read_bytes() == content, name
    page.locator("#zip-ko").click()
    with zipfile.ZipFile(downloaded(page, "results.zip", tmp_path)) as archive:
        assert {name: archive.read(name) for name in archive.namelist()} == expected


def test_the_same_files_are_done_again_with_other_settings(open_page: Callable[..., Any], tmp_path: Path) -> None:
    page = open_page()
    choose(page, "모델", SLOW)
    upload(page, save_picture(tmp_path / "a.png"))
    page.locator("#run-picture-ko").click()
    status(page, "다 됨")
    choose(page, "결과의 형식", "jpg")
    command_has(page, "--ext jpg")
    page.locator("#again-ko").click()
    page.locator("#results-ko a[download='a_out.jpg']").wait_for()
    page.locator("#compare-ko img").nth(1).wait_for()
    # 앞의 작업도 남아 있다.
    page.locator("#jobs-ko input").click()
    assert page.get_by_role("option", name="a.png").count() == 2


def test_two_tabs_wait_in_one_queue_a_reload_goes_on_and_cancelling_stops(
    open_page: Callable[..., Any], tmp_path: Path
) -> None:
    source = save_picture(tmp_path / "큰 사진.png", 2400, 2400)
    first = open_page()
    choose(first, "모델", SLOW)
    upload(first, source)
    first.locator("#run-picture-ko").click()
    status(first, "사진 1/1")
    assert not serious_problems(first)
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


def test_a_film_shows_its_first_frame_plays_and_equals_that_of_the_command(
    open_page: Callable[..., Any], tmp_path: Path
) -> None:
    page = open_page()
    page.get_by_role("tab", name="비디오").click()
    page.locator("#film-ko").wait_for()
    assert not serious_problems(page)
    page.locator("#film-ko input[type=file]").set_input_files(str(ROOT / "assets/pan.mp4"))
    command_has(page, "pan.mp4", "video")
    page.locator("#estimate-video-ko").click()
    page.get_by_text("프레임 24개").first.wait_for()
    page.locator("#first-ko img").nth(1).wait_for()
    page.locator("#divider-first-ko input").press("Home")
    page.wait_for_function(CUT, arg=["#first-ko", "0%"])
    page.locator("#run-video-ko").click()
    status(page, "다 됨")
    page.locator("#player-ko video").wait_for()
    page.wait_for_function("document.querySelector('#player-ko video').readyState >= 1")
    assert page.evaluate("document.querySelector('#player-ko video').videoWidth") == 384
    assert not serious_problems(page)
    shutil.copy(ROOT / "assets/pan.mp4", tmp_path)
    (tmp_path / "saved").mkdir()
    result = downloaded(page, "pan_out.mp4", tmp_path / "saved")
    assert run_shown_command(page, tmp_path, "video") == 0
    assert result.read_bytes() == (tmp_path / "results" / "pan_out.mp4").read_bytes()


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
    # 키보드로 쓰는 칸이 마우스를 따라온다.
    divider = page.get_by_label("경계의 자리").locator("visible=true")
    assert 15 <= float(divider.input_value()) <= 25
    page.mouse.move(box["x"] + box["width"] * 0.8, middle)
    page.mouse.wheel(0, -400)
    page.wait_for_function("document.querySelectorAll('#compare-ko img')[1].style.transform.includes('scale(1.')")
    assert not serious_problems(page)


def test_the_divider_and_the_zoom_are_used_with_the_keyboard(open_page: Callable[..., Any], tmp_path: Path) -> None:
    page = open_page(viewport={"width": 390, "height": 844})
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    assert page.locator("#run-picture-ko").bounding_box()["width"] >= 44
    # 좁은 칸에 밀려 한 글자씩 세로로 적히지 않는다.
    assert page.get_by_text("품질(0은").first.bounding_box()["height"] < 60
    assert not page.locator("#divider-compare-ko").is_visible()
    choose(page, "모델", SLOW)
    upload(page, save_picture(tmp_path / "a.png", 128, 96))
    page.locator("#run-picture-ko").click()
    status(page, "다 됨")
    page.wait_for_function("[...document.querySelectorAll('#compare-ko img')].some(one => one.naturalWidth === 512)")
    divider = page.get_by_label("경계의 자리").locator("visible=true")
    divider.focus()
    for _ in range(10):
        page.keyboard.press("ArrowLeft")
    page.wait_for_function(CUT, arg=["#compare-ko", "40%"])
    assert divider.get_attribute("aria-valuetext") == "40%"
    page.keyboard.press("End")
    page.wait_for_function(CUT, arg=["#compare-ko", "100%"])
    scale = "document.querySelectorAll('#compare-ko img')[1].style.transform.split('scale')[1]"
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    page.wait_for_function(f"{scale} !== '(1)'")
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    page.wait_for_function(f"{scale} === '(1)'")
    # 휴대전화의 화면에서도 옆으로 넘치지 않고 읽힌다.
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
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


@pytest.mark.slow
def test_faces_are_restored_as_by_the_command(
    browser: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, nearest_weights: Callable[[int], Path]
) -> None:
    """공식 얼굴 모델은 여기서 받을 수 없으므로 모양이 같고 값이 무작위인 것을 캐시에 둔 서버를 따로 띄운다."""
    home, folder = tmp_path / "home", tmp_path / "in"
    for one in (home, folder):
        one.mkdir()
    random_restorer(home)
    monkeypatch.setenv("REALESRGAN_HOME", str(home))
    photo, weights = folder / "astronaut.jpg", folder / "nearest_x2.pth"
    shutil.copy(ROOT / "inputs" / photo.name, photo)
    shutil.copy(nearest_weights(2), weights)
    process = run_command("--port", "0", "--work", str(tmp_path / "work"), "--device", "cpu")
    try:
        page = browser.new_page(locale="ko-KR")
        page.set_default_timeout(240_000)
        page.goto(process.stdout.readline().split()[-1] if process.stdout else "")
        page.get_by_label("얼굴 고치기").first.check()
        page.get_by_role("button", name="직접 훈련한 가중치").locator("visible=true").first.click()
        page.locator("#weights-picture-ko input[type=file]").set_input_files(str(weights))
        command_has(page, weights.name)
        upload(page, photo)
        command_has(page, "--face_enhance")
        page.locator("#run-picture-ko").click()
        status(page, "다 됨")
        status(page, "얼굴 1개")
        result = downloaded(page, "astronaut_out.jpg", tmp_path)
        assert run_shown_command(page, folder) == 0
        assert result.read_bytes() == (folder / "results" / "astronaut_out.jpg").read_bytes()
        page.close()
    finally:
        process.kill()
        process.communicate()
