"""브라우저 안에서 키우는 화면: 진짜 브라우저의 결과가 PyTorch와 같고, 밖에서 아무것도 받지 않는지."""

from __future__ import annotations

import base64
import json
import signal
import subprocess
import sys
import tarfile
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch

from realesrgan.archs import RRDBNet
from realesrgan.cli.web import main
from realesrgan.errors import DownloadError, UsageError
from realesrgan.inference.model import load
from realesrgan.util.files import file_sha256
from realesrgan.web import static_site
from realesrgan.web.static_site import RUNTIME_FILES, build, fetch_runtime, make_server
from tests.conftest import ROOT, small_rrdbnet
from tests.scripts.command import draw, leftovers, run_script
from tests.web.conftest import CHROMIUM

# 8비트의 한 단계는 반올림의 차이다.
STEPS = 2


@pytest.fixture
def fake_runtime(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """이름만 갖춘 런타임의 패키지. 짓는 일만 보는 시험에 쓴다."""
    package = tmp_path / "runtime.tgz"
    (tmp_path / "empty").write_bytes(b"")
    with tarfile.open(package, "w:gz") as archive:
        for name in RUNTIME_FILES:
            archive.add(tmp_path / "empty", f"package/dist/{name}")
    monkeypatch.setattr(static_site, "RUNTIME_SHA256", file_sha256(package))
    return package


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    pytest.importorskip("onnx")
    pytest.importorskip("onnxruntime")
    path = tmp_path / "작은.pth"
    torch.save({"params": small_rrdbnet(2).state_dict()}, path)
    return path


def test_site_holds_what_the_page_needs(weights: Path, fake_runtime: Path, tmp_path: Path) -> None:
    site = build(tmp_path / "화면", models=[str(weights)], runtime=fake_runtime)
    (entry,) = json.loads((site / "models.json").read_text(encoding="utf-8"))
    assert (entry["scale"], entry["multiple"], entry["name"]) == (2, 2, "작은")
    file = site / entry["file"]
    assert file.name.isascii() and file.stat().st_size == entry["bytes"] and file_sha256(file) == entry["sha256"]
    assert all((site / "ort" / name).is_file() for name in RUNTIME_FILES)
    assert "MIT" in (site / "licenses.txt").read_text(encoding="utf-8")
    # 다시 지으면 바뀌고, 남는 것이 없다.
    (site / "ort" / "old").touch()
    build(site, models=[str(weights)], runtime=fake_runtime)
    assert not (site / "ort" / "old").exists() and not leftovers(tmp_path)


def test_other_folders_are_left_alone(fake_runtime: Path, tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "diary.txt").write_text("a")
    with pytest.raises(UsageError, match="다른 것이 든 폴더"):
        build(tmp_path / "mine", runtime=fake_runtime)
    assert [path.name for path in (tmp_path / "mine").iterdir()] == ["diary.txt"]


def test_wrong_package_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.tgz").write_bytes(b"wrong")
    with pytest.raises(DownloadError, match="해결:"):
        build(tmp_path / "site", runtime=tmp_path / "a.tgz")
    assert not (tmp_path / "site").exists()


def test_missing_npm_says_how_to_get_the_runtime(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(DownloadError, match="npm pack onnxruntime-web"):
        fetch_runtime(tmp_path)


def test_failed_build_keeps_the_earlier_site(weights: Path, fake_runtime: Path, tmp_path: Path) -> None:
    site = build(tmp_path / "site", models=[str(weights)], runtime=fake_runtime)
    before = (site / "models.json").read_bytes()
    assert run_script("build_web_static", "--output", site, "--models", tmp_path / "없음.pth") == 1
    assert (site / "models.json").read_bytes() == before and not leftovers(tmp_path)


def _get(address: str) -> Any:
    return urllib.request.urlopen(address, timeout=20)  # noqa: S310 - 시험이 띄운 서버다


@pytest.fixture
def serving(weights: Path, fake_runtime: Path, tmp_path: Path) -> Iterator[str]:
    site = build(tmp_path / "site", models=[str(weights)], runtime=fake_runtime)
    with running(site) as address:
        yield address


class running:
    """폴더를 내놓는 서버를 따로 돌린다."""

    def __init__(self, site: Path) -> None:
        self.server = make_server(site, port=0)

    def __enter__(self) -> str:
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        return f"http://127.0.0.1:{self.server.server_address[1]}/"

    def __exit__(self, *_: object) -> None:
        self.server.shutdown()
        self.server.server_close()


def test_server_gives_types_and_isolation_and_nothing_else(serving: str) -> None:
    with _get(serving) as page:
        assert page.headers["Cross-Origin-Embedder-Policy"] == "require-corp"
        assert "Content-Security-Policy" in page.read().decode()
    with _get(f"{serving}ort/ort.wasm.bundle.min.mjs") as script:
        assert script.headers["Content-Type"] == "text/javascript"
    with _get(f"{serving}ort/ort-wasm-simd-threaded.wasm") as binary:
        assert binary.headers["Content-Type"] == "application/wasm"
    for hidden in ("models/", "%2e%2e/%2e%2e/etc/passwd"):
        with pytest.raises(urllib.error.HTTPError):
            _get(serving + hidden)


def test_server_names_what_is_wrong(serving: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="지은 화면이 아닙니다"):
        make_server(tmp_path)
    port = int(serving.rstrip("/").rpartition(":")[2])
    with pytest.raises(UsageError, match="다른 프로그램이 쓰고 있습니다"):
        make_server(tmp_path / "site", port=port)


COMMAND = [sys.executable, "-c", "from realesrgan.cli.web import run; run()"]


def test_the_command_serves_a_built_folder_and_stops_on_ctrl_c(
    weights: Path, fake_runtime: Path, tmp_path: Path
) -> None:
    site = build(tmp_path / "화면", models=[str(weights)], runtime=fake_runtime)
    command = [*COMMAND, "--static", str(site), "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, encoding="utf-8") as process:
        try:
            assert process.stdout is not None
            address = next(word for word in process.stdout.readline().split() if word.startswith("http"))
            with _get(address) as page:
                assert "Content-Security-Policy" in page.read().decode()
            process.send_signal(signal.SIGINT)
            assert process.wait(30) == 130
        finally:
            process.kill()


@pytest.mark.parametrize("given", [("--auth", "나:비밀"), ("--host", "0.0.0.0")])  # noqa: S104
def test_the_command_says_who_could_see_a_static_page(given: tuple[str, str], tmp_path: Path, capsys: Any) -> None:
    with pytest.raises(SystemExit, match="2"):
        main(["--static", str(tmp_path / "site"), *given])
    assert given[0].replace("host", "no-auth") in capsys.readouterr().err


def test_page_names_nothing_outside() -> None:
    for name in static_site.PAGE_FILES:
        text = (static_site.PAGE_FOLDER / name).read_text(encoding="utf-8")
        assert "://" not in text and 'src="//' not in text


# ---- 진짜 브라우저


@pytest.fixture(scope="module")
def real_runtime(shared_cache: Path) -> Path:
    """npm의 진짜 런타임."""
    pytest.importorskip("playwright", reason="playwright 패키지가 없습니다. 해결: pip install playwright")
    pytest.importorskip("onnx")
    pytest.importorskip("onnxruntime")
    if CHROMIUM is None:
        pytest.skip("크로미움이 없습니다. 해결: apt-get install chromium")
    try:
        return fetch_runtime(shared_cache / "web")
    except DownloadError as error:
        pytest.skip(f"브라우저의 런타임을 받을 수 없습니다: {error}")


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory, real_runtime: Path) -> Path:
    """진짜 런타임으로 지은 화면: animevideov3, 작은 RRDBNet 4배와 2배(배수가 2)."""
    folder = tmp_path_factory.mktemp("static")
    names = []
    for scale in (4, 2):
        torch.save({"params": small_rrdbnet(scale).state_dict()}, folder / f"tiny{scale}.pth")
        names.append(str(folder / f"tiny{scale}.pth"))
    return build(folder / "site", models=["realesr-animevideov3", *names], runtime=real_runtime)


@contextmanager
def opened(site: Path, browser: Any) -> Iterator[Any]:
    """연 화면. 밖으로 나간 요청과 오류를 모은다."""
    with running(site) as address:
        page = browser.new_page(viewport={"width": 390, "height": 800})
        page.problems = []
        page.on("pageerror", lambda error: page.problems.append(str(error)))
        page.on(
            "request",
            lambda request: request.url.startswith((address, "blob:", "data:")) or page.problems.append(request.url),
        )
        page.goto(address)
        page.wait_for_selector("#model option", state="attached")
        yield page
        page.close()


@pytest.fixture
def page(site: Path, browser: Any) -> Iterator[Any]:
    """작은 네트워크들을 담은 화면."""
    with opened(site, browser) as page:
        yield page


def enlarge(page: Any, picture: Path, model: str, backend: str = "wasm") -> np.ndarray:
    """화면에서 사람이 하듯 키우고 결과의 배열(BGR, BGRA)을 돌려준다."""
    page.set_input_files("#file", picture)
    page.select_option("#model", model)
    page.select_option("#backend", backend)
    page.click("#start")
    # 화면은 eval을 막으므로 식을 기다리는 대신 요소를 기다린다.
    page.locator("#result:not([hidden]), #error:not(:empty)").first.wait_for(timeout=240_000)
    assert page.text_content("#error") == ""
    text = page.evaluate(
        """async () => {
            const blob = await (await fetch(document.getElementById('download').href)).blob();
            return await new Promise((resolve) => {
                const reader = new FileReader();
                reader.onload = () => resolve(reader.result.split(",")[1]);
                reader.readAsDataURL(blob);
            });
        }"""
    )
    assert not page.problems
    return cv2.imdecode(np.frombuffer(base64.b64decode(text), np.uint8), cv2.IMREAD_UNCHANGED)


def largest_step(found: np.ndarray, expected: np.ndarray) -> int:
    assert found.shape == expected.shape
    return int(np.abs(found.astype(int) - expected.astype(int)).max())


@pytest.mark.slow
def test_browser_gives_the_same_picture_as_pytorch(page: Any, tmp_path: Path) -> None:
    photo = cv2.imread(str(ROOT / "inputs" / "astronaut.jpg"))[:300, :280]
    picture = tmp_path / "사진.png"
    picture.write_bytes(cv2.imencode(".png", photo)[1].tobytes())
    found = enlarge(page, picture, "realesr-animevideov3")
    expected = load("realesr-animevideov3", backend="torch", tile=0).upscale_array(photo, 4)
    # 타일 넷으로 나누어도 패딩이 수용 영역을 덮으므로 통째 추론과 같다.
    assert largest_step(found, expected) <= STEPS
    assert page.get_attribute("#download", "download") == "사진_out.png"
    assert "WASM" in page.text_content("#status")


@pytest.mark.slow
def test_the_photo_model_gives_the_same_picture_as_pytorch(browser: Any, tmp_path: Path, real_runtime: Path) -> None:
    name = "RealESRGAN_x4plus"
    site = build(tmp_path / "site", models=[name], runtime=real_runtime)
    photo = cv2.imread(str(ROOT / "inputs" / "astronaut.jpg"))[60:100, 100:144]
    picture = tmp_path / "사진.png"
    picture.write_bytes(cv2.imencode(".png", photo)[1].tobytes())
    with opened(site, browser) as page:
        found = enlarge(page, picture, name)
    tile, pad = static_site.HEAVY_TILE
    expected = load(name, backend="torch", precision="fp32", tile=tile, tile_pad=pad).upscale_array(photo, 4)
    assert largest_step(found, expected) <= STEPS
    # 빈 이미지끼리 견준 것이 아니다.
    assert found.std() > 20


@pytest.mark.slow
def test_odd_sizes_and_alpha_are_kept(page: Any, site: Path, tmp_path: Path) -> None:
    picture = draw(tmp_path / "a.png", 37, 53, channels=4)
    image = cv2.imread(str(picture), cv2.IMREAD_UNCHANGED)
    image[..., 3] = 255
    image[:10, :12, 3] = 0
    picture.write_bytes(cv2.imencode(".png", image)[1].tobytes())
    found = enlarge(page, picture, "tiny2")
    assert found.shape == (74, 106, 4)
    assert (found[:16, :20, 3] == 0).all() and (found[30:, 40:, 3] == 255).all()
    model = load(site.parent / "tiny2.pth", backend="torch", tile=0)
    expected = model.upscale_array(np.ascontiguousarray(image[..., :3]), 2)
    # 알파에서 먼 곳은 알파가 없을 때와 같다.
    assert largest_step(found[50:, 60:, :3], expected[50:, 60:]) <= STEPS


@pytest.mark.slow
def test_photo_network_in_tiles_matches_the_same_tiles(page: Any, site: Path, tmp_path: Path) -> None:
    photo = cv2.imread(str(ROOT / "inputs" / "coffee.jpg"))[:150, :170]
    picture = tmp_path / "a.png"
    picture.write_bytes(cv2.imencode(".png", photo)[1].tobytes())
    found = enlarge(page, picture, "tiny4")
    tile, pad = static_site.HEAVY_TILE
    expected = load(site.parent / "tiny4.pth", backend="torch", tile=tile, tile_pad=pad).upscale_array(photo, 4)
    assert isinstance(small_rrdbnet(4), RRDBNet) and largest_step(found, expected) <= STEPS


@pytest.mark.slow
def test_cancel_leaves_nothing_and_the_page_works_again(page: Any, tmp_path: Path) -> None:
    picture = draw(tmp_path / "a.png", 600, 600)
    page.set_input_files("#file", picture)
    page.select_option("#backend", "wasm")
    page.click("#start")
    page.click("#cancel")
    assert "그만두었습니다" in page.text_content("#status")
    assert page.is_hidden("#result") and page.is_disabled("#cancel")
    assert enlarge(page, draw(tmp_path / "b.png", 20, 24), "tiny4").shape == (80, 96, 3)


@pytest.mark.slow
def test_bad_file_says_so_and_the_language_changes(page: Any, tmp_path: Path) -> None:
    bad = tmp_path / "a.png"
    bad.write_bytes(b"not a picture")
    page.set_input_files("#file", bad)
    page.click("#start")
    page.locator("#error:not(:empty)").wait_for()
    assert "사진을 읽을 수 없습니다" in page.text_content("#error")
    page.click("#language")
    assert page.text_content("#start") == "Start" and page.get_attribute("html", "lang") == "en"
    page.click("#start")
    page.get_by_text("cannot be read").wait_for()
    # 휴대전화의 너비에서 옆으로 넘치지 않는다.
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    unnamed = "[...document.querySelectorAll('input, select')].filter((one) => !one.labels.length).length"
    assert page.evaluate(unnamed) == 0


@pytest.mark.slow
def test_without_webgpu_it_falls_back_to_wasm(page: Any, tmp_path: Path) -> None:
    if page.evaluate("navigator.gpu ? navigator.gpu.requestAdapter().then(Boolean) : false"):
        pytest.skip("이 브라우저에는 WebGPU가 있습니다.")
    assert enlarge(page, draw(tmp_path / "b.png", 20, 24), "tiny4", "auto").shape == (80, 96, 3)
    assert "WASM" in page.text_content("#status")
