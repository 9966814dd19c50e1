"""화면의 시험이 함께 쓰는 것: 이 프로세스에서 띄운 서버와, 데비안의 크로미움."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

CHROMIUM = os.environ.get("REALESRGAN_CHROMIUM") or shutil.which("chromium") or shutil.which("google-chrome")


@pytest.fixture(scope="session")
def server_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """서버가 열어 보이는 폴더."""
    return tmp_path_factory.mktemp("folder")


@pytest.fixture(scope="session")
def address(tmp_path_factory: pytest.TempPathFactory, shared_cache: Path, server_folder: Path) -> Iterator[str]:
    """띄운 서버의 주소."""
    pytest.importorskip("gradio")
    from realesrgan.web.server import ServerSettings, running

    os.environ["REALESRGAN_HOME"] = str(shared_cache)
    work = tmp_path_factory.mktemp("work")
    settings = ServerSettings(
        port=0,
        work=work,
        folder=server_folder,
        devices=("cpu",),
        max_output_pixels=200_000_000,
        max_upload_bytes=1 << 26,
    )
    with running(settings) as found:
        yield found.rstrip("/")


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    """화면 없이 띄운 크로미움. 내려받지 않고 있는 것을 쓴다."""
    driver = pytest.importorskip("playwright.sync_api")
    if CHROMIUM is None:
        pytest.skip("크로미움이 없다(apt-get install chromium, 또는 REALESRGAN_CHROMIUM)")
    with driver.sync_playwright() as made:
        chromium = made.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield chromium
        chromium.close()


@pytest.fixture
def open_page(browser: Any, address: str) -> Iterator[Callable[..., Any]]:
    """새 브라우저(저장소가 따로인)로 화면을 여는 함수. 밖으로 나간 요청과 화면의 오류가 없었는지 끝에 본다."""
    contexts: list[Any] = []
    outside: list[str] = []
    broken: list[str] = []

    def watch(page: Any) -> None:
        page.on("request", lambda request: outside.append(request.url) if _is_outside(request.url, address) else None)
        page.on("pageerror", lambda error: broken.append(str(error)))

    def go(path: str = "/", *, context: Any = None, **options: Any) -> Any:
        if context is None:
            context = browser.new_context(locale="ko-KR", **options)
            context.set_default_timeout(120_000)
            context.on("page", watch)
            contexts.append(context)
        page = context.new_page()
        page.goto(address + path)
        page.get_by_role("button", name="시작" if path == "/" else "Start").first.wait_for()
        return page

    yield go
    for context in contexts:
        context.close()
    assert not outside
    assert not broken


def _is_outside(url: str, address: str) -> bool:
    return not url.startswith((address, address.replace("127.0.0.1", "localhost"), "data:", "blob:"))
