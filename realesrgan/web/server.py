"""서버: 화면과 API를 띄우고, 밖에서 오는 것과 밖으로 나가는 것을 막는다."""

from __future__ import annotations

import json
import logging
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from realesrgan.errors import UsageError
from realesrgan.media.formats import DEFAULT_MAX_OUTPUT_PIXELS
from realesrgan.util.files import make_writable_folder, os_reason
from realesrgan.util.optional import import_optional

logger = logging.getLogger(__name__)

LOOPBACK = ("127.0.0.1", "localhost", "::1")
MAX_JSON_BYTES = 4 << 20
# gradio의 자리 가운데 이 서버에 쓸모가 없고, 다른 서버에 말을 걸거나 속을 보이는 것.
_CLOSED = ("proxy=", "monitoring", "vibe-edit", "undo-vibe-edit", "deep_link", "process_recording", "run-history")


@dataclass(frozen=True)
class ServerSettings:
    """서버를 어떻게 띄울지.

    Attributes:
        host, port: 들을 주소와 포트. 포트 0이면 빈 것을 고른다.
        folder: 브라우저에서 열어 볼 수 있는 서버의 폴더. 없으면 올린 파일만 다룬다.
        work: 작업 폴더. 없으면 사용자의 캐시 아래다.
        auth: `(이름, 비밀번호)`들. 비어 있으면 묻지 않는다.
        open_to_all: 밖에서 들어오는 주소인데 비밀번호를 묻지 않아도 되는지.
        devices: 쓸 장치들. 저마다 한 번에 한 일을 한다.
        max_upload_bytes: 올리는 파일 하나의 한도(바이트).
        max_work_bytes: 작업 폴더의 한도(바이트).
        max_age: 끝난 일을 두는 시간(초).
        max_output_pixels: 이미지의 결과의 한도(픽셀). None이면 없다.
    """

    host: str = "127.0.0.1"
    port: int = 7860
    folder: Path | None = None
    work: Path | None = None
    auth: tuple[tuple[str, str], ...] = ()
    open_to_all: bool = False
    devices: tuple[str, ...] = ("auto",)
    max_upload_bytes: int = 8 << 30
    max_work_bytes: int = 64 << 30
    max_age: float = 7 * 86400.0
    max_output_pixels: int | None = DEFAULT_MAX_OUTPUT_PIXELS

    def __post_init__(self) -> None:
        if self.host not in LOOPBACK and not self.auth and not self.open_to_all:
            raise UsageError(
                f"누구나 들어올 수 있는 주소에는 비밀번호가 있어야 합니다: {self.host}\n"
                "  이유: 같은 네트워크의 누구나 이 컴퓨터로 계산하고 파일을 올릴 수 있습니다.\n"
                "  해결: --auth 이름:비밀번호 를 주거나, 정말 열어 두려면 --no-auth를 주세요."
            )
        if self.folder is not None and not self.folder.is_dir():
            raise UsageError(f"폴더가 없습니다: {self.folder}\n  해결: --folder에 있는 폴더를 주세요.")


class Guard:
    """요청을 gradio에 닿기 전에 본다(ASGI). 서버가 다른 서버에 말을 걸게 하는 요청을 막는다.

    gradio는 파일의 자리에 주소(http)를 주면 받아 오고, `/file=http...`를 대신 읽어 준다. 여기서는 올린 파일만 쓴다.

    Args:
        app: 다음에 부를 것.
    """

    def __init__(self, app: Any) -> None:
        self._app = app

    async def __call__(self, scope: dict[str, Any], receive: Any, send: Any) -> None:
        """요청 하나를 본다."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        place = scope["path"].lstrip("/").removeprefix("gradio_api/")
        if place.startswith(_CLOSED) or place.startswith(("file=http:", "file=https:", "file/http")):
            await _refuse(send)
            return
        headers = dict(scope["headers"])
        if scope["method"] == "POST" and headers.get(b"content-type", b"").startswith(b"application/json"):
            body = await _read_body(receive)
            if body is None or _names_address(body):
                await _refuse(send)
                return
            receive = _replay(body, receive)
        await self._app(scope, receive, send)


async def _refuse(send: Any) -> None:
    text = "이 서버는 올린 파일만 다룹니다.".encode()
    headers = [(b"content-type", b"text/plain; charset=utf-8"), (b"content-length", str(len(text)).encode())]
    await send({"type": "http.response.start", "status": 403, "headers": headers})
    await send({"type": "http.response.body", "body": text})


async def _read_body(receive: Any) -> bytes | None:
    """요청의 몸을 모두 읽는다. 한도를 넘으면 None."""
    body = b""
    while True:
        message = await receive()
        body += message.get("body", b"")
        if len(body) > MAX_JSON_BYTES:
            return None
        if not message.get("more_body"):
            return body


def _replay(body: bytes, receive: Any) -> Callable[[], Any]:
    """이미 읽은 몸을 다시 내주는 함수."""
    left = [{"type": "http.request", "body": body, "more_body": False}]

    async def again() -> Any:
        return left.pop() if left else await receive()

    return again


def _names_address(body: bytes) -> bool:
    """JSON의 어딘가에 파일의 자리(`path`)로 다른 서버의 주소를 주었는지."""
    try:
        waiting = [json.loads(body)]
    except ValueError:
        return False
    while waiting:
        one = waiting.pop()
        if isinstance(one, dict):
            path = one.get("path")
            if isinstance(path, str) and path.lower().lstrip().startswith(("http:", "https:")):
                return True
            waiting.extend(one.values())
        elif isinstance(one, list):
            waiting.extend(one)
    return False


def default_work() -> Path:
    """작업 폴더의 기본 자리."""
    from realesrgan.util.files import cache_dir

    return cache_dir() / "web"


@contextmanager
def running(settings: ServerSettings) -> Iterator[str]:
    """서버를 띄우고 그 주소를 준다. 블록이 끝나면 하던 일을 이어 할 수 있게 남기고 멈춘다.

    Raises:
        MissingPackageError: gradio가 없을 때.
        UsageError: 작업 폴더나 포트를 쓸 수 없을 때.
    """
    from realesrgan.util.files import exclusive_lock

    work = settings.work or default_work()
    try:
        make_writable_folder(work)
        with exclusive_lock(work / "server.lock") as locked:
            if not locked:
                raise UsageError(
                    f"다른 서버가 같은 작업 폴더를 쓰고 있습니다: {work}\n  해결: --work에 다른 폴더를 주세요."
                )
            with _launched(settings, work) as address:
                yield address
    except OSError as error:
        reason, remedy = os_reason(error)
        raise UsageError(f"서버를 띄울 수 없습니다.\n  {reason}\n  해결: {remedy} (작업 폴더: {work})") from error


@contextmanager
def _launched(settings: ServerSettings, work: Path) -> Iterator[str]:
    gradio = _import_gradio(work)
    from realesrgan.web import comparison
    from realesrgan.web.jobs import JobQueue
    from realesrgan.web.page import CSS, Site
    from realesrgan.web.storage import Storage

    queue = JobQueue(
        Storage(work, settings.max_work_bytes, settings.max_age), settings.devices, settings.max_output_pixels
    )
    queue.start()
    blocks = build_blocks(Site(queue, settings.folder))
    middleware = import_optional("starlette.middleware", "화면을 띄우려면", INSTALL).Middleware
    try:
        _, address, _ = blocks.launch(
            server_name=settings.host,
            server_port=settings.port or None,
            auth=list(settings.auth) or None,
            share=False,
            prevent_thread_lock=True,
            quiet=True,
            footer_links=[],
            run_history=False,
            enable_monitoring=False,
            ssr_mode=False,
            mcp_server=False,
            strict_cors=True,
            max_file_size=settings.max_upload_bytes,
            app_kwargs={"middleware": [middleware(Guard)], "docs_url": None, "redoc_url": None},
            css=CSS + comparison.CSS,
            theme=_theme(gradio),
        )
        yield address
    finally:
        queue.stop()
        with suppress(Exception):
            blocks.close(verbose=False)


def _theme(gradio: Any) -> Any:
    """밖의 글꼴을 받지 않고, 글자가 잘 읽히게(WCAG 2의 4.5:1) 진한 색을 쓰는 모양."""
    theme = gradio.themes.Base(font=("system-ui", "sans-serif"), font_mono=("ui-monospace", "monospace"))
    return theme.set(
        body_text_color_subdued="#52525b",
        body_text_color_subdued_dark="#a1a1aa",
        color_accent="#1d4ed8",
        button_primary_background_fill="#1d4ed8",
        button_primary_background_fill_dark="#1d4ed8",
        button_primary_background_fill_hover="#1e40af",
        button_primary_text_color="#ffffff",
    )


INSTALL = "pip install realesrgan[web] 을 실행하세요."


def _import_gradio(work: Path) -> Any:
    """gradio를 불러온다. 통계를 보내지 않고, 올린 파일을 작업 폴더에 두게 한다."""
    os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
    os.environ["HF_HUB_DISABLE_TELEMETRY"] = "1"
    os.environ["GRADIO_TEMP_DIR"] = str(work / "files")
    return import_optional("gradio", "화면을 띄우려면", INSTALL)


def build_blocks(site: Any) -> Any:
    """두 말의 화면과 API를 한 앱에 놓는다."""
    import gradio as gr

    from realesrgan.web.api import build_api
    from realesrgan.web.page import build_page
    from realesrgan.web.words import ENGLISH, KOREAN

    with gr.Blocks(title="Real-ESRGAN", analytics_enabled=False) as blocks:
        build_page(site, KOREAN)
        build_api(site)

        def leave(request: gr.Request) -> None:
            site.left(request.session_hash)

        # gradio는 자료형의 주석에서 무엇을 넘길지 알아낸다. 주석이 글이면 알아보지 못한다.
        leave.__annotations__["request"] = gr.Request
        blocks.unload(leave)
    with blocks.route("English", "/en"):
        build_page(site, ENGLISH)
    return blocks


def serve(settings: ServerSettings, tell: Callable[[str], None]) -> None:
    """서버를 띄우고 Ctrl-C나 끝내라는 신호가 올 때까지 기다린다.

    Args:
        settings: 설정.
        tell: 주소를 알리는 함수.
    """
    with running(settings) as address:
        tell(f"화면: {address}\n  멈추려면 Ctrl-C를 누르세요. 하던 작업은 다시 띄우면 이어 합니다.")
        with suppress(KeyboardInterrupt):
            threading.Event().wait()
