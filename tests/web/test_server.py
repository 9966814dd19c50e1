"""서버: 밖에서 오는 것과 밖으로 나가는 것을 막는지, 문서의 API의 예가 그대로 되는지."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from realesrgan.errors import UsageError
from realesrgan.web.server import ServerSettings
from tests.conftest import ROOT

pytest.importorskip("gradio")

DOCUMENT = ROOT / "realesrgan/web/web_context.md"
# 모든 주소.
OPEN = "0.0.0.0"  # noqa: S104


def save_picture(path: Path, side: int = 16) -> Path:
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (side, side, 3), np.uint8)).save(path)
    return path


def fetch(url: str, data: Any = None, headers: dict[str, str] | None = None) -> tuple[int, bytes]:
    body = None if data is None else json.dumps(data).encode()
    headers = {"Content-Type": "application/json", **(headers or {})} if body else headers or {}
    request = urllib.request.Request(url, body, headers)  # noqa: S310
    try:
        with urllib.request.urlopen(request, timeout=300) as answer:  # noqa: S310
            return answer.status, answer.read()
    except urllib.error.HTTPError as error:
        return error.code, error.read()


def call(address: str, name: str, *values: Any) -> tuple[str, Any]:
    """자리 하나를 부르고 `(complete나 error, 값)`을 돌려준다."""
    status, started = fetch(f"{address}/gradio_api/call/{name}", {"data": list(values)})
    assert status == 200, started
    _, heard = fetch(f"{address}/gradio_api/call/{name}/{json.loads(started)['event_id']}")
    event, data = re.findall(r"event: (complete|error)\ndata: (.*)", heard.decode())[-1]
    return event, json.loads(data)


def example(language: str) -> str:
    """문서의 예."""
    found = re.search(rf"```{language}\n(.*?)```", DOCUMENT.read_text(encoding="utf-8"), re.S)
    assert found is not None
    return found[1]


@pytest.mark.parametrize(("language", "program"), [("python", [sys.executable, "-c"]), ("bash", ["bash", "-euc"])])
def test_the_documented_example_works_as_written(
    address: str, tmp_path: Path, language: str, program: list[str]
) -> None:
    if shutil.which(program[0]) is None or (language == "sh" and shutil.which("curl") is None):
        pytest.skip(f"{program[0]}나 curl이 없다")
    save_picture(tmp_path / "photo.png")
    text = example(language).replace("http://127.0.0.1:7860", address)
    done = subprocess.run([*program, text], cwd=tmp_path, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr
    with Image.open(tmp_path / "photo_out.png") as result:
        assert result.size == (32, 32)


@pytest.mark.parametrize("path", ["/etc/passwd", "/proc/self/environ", "../../../etc/passwd"])
def test_no_path_from_the_browser_is_opened(address: str, path: str) -> None:
    event, _ = call(address, "submit", [{"path": path, "meta": {"_type": "gradio.FileData"}}], "picture", {}, None)
    assert event == "error"
    status, _ = fetch(f"{address}/gradio_api/file={path}")
    assert status in (403, 404)


def test_the_served_folder_is_not_opened_through_the_file_route(address: str, server_folder: Path) -> None:
    secret = save_picture(server_folder / "of the owner.png")
    status, _ = fetch(f"{address}/gradio_api/file={urllib.parse.quote(str(secret))}")
    assert status == 403


def test_the_server_fetches_nothing_for_a_visitor(address: str) -> None:
    target = "http://127.0.0.1:9/picture.png"
    data = {"data": [[{"path": target, "meta": {"_type": "gradio.FileData"}}], "picture", {}, None]}
    assert fetch(f"{address}/gradio_api/call/submit", data)[0] == 403
    for place in (f"file={target}", f"proxy={target}", "monitoring"):
        assert fetch(f"{address}/gradio_api/{place}")[0] in (403, 404)
    assert fetch(f"{address}/monitoring")[0] in (403, 404)


def test_errors_of_the_api_are_the_words_of_the_command(address: str) -> None:
    event, told = call(address, "submit", [], "picture", {"model": "nothing"}, None)
    assert event == "error" and "nothing" in json.dumps(told, ensure_ascii=False)
    assert call(address, "job", "../../records")[0] == "error"


def test_every_endpoint_is_named_and_the_page_keeps_its_own(address: str) -> None:
    _, text = fetch(f"{address}/gradio_api/info")
    found = json.loads(text)
    names = {"/submit", "/job", "/results", "/cancel", "/resume", "/again", "/remove", "/estimate", "/models"}
    assert set(found["named_endpoints"]) == names and not found["unnamed_endpoints"]
    assert all(f"`{name}" in DOCUMENT.read_text(encoding="utf-8") for name in names)


def test_an_open_address_demands_a_password_or_a_plain_no() -> None:
    with pytest.raises(UsageError, match="--no-auth"):
        ServerSettings(host=OPEN)
    ServerSettings(host=OPEN, open_to_all=True)
    ServerSettings(host=OPEN, auth=(("me", "secret"),))


def run_command(*arguments: str) -> subprocess.Popen[str]:
    code = "from realesrgan.cli.web import run; run()"
    return subprocess.Popen(
        [sys.executable, "-u", "-c", code, *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=ROOT,
        env={**os.environ, "REALESRGAN_WEB_AUTH": ""},
    )


def test_wrong_use_of_the_command_ends_with_2() -> None:
    for arguments in (["--host", OPEN], ["--auth", "me:1", "--no-auth"], ["--folder", "/없는 폴더"]):
        process = run_command(*arguments)
        _, errors = process.communicate(timeout=120)
        assert process.returncode == 2 and re.search("[가-힣]", errors)


def test_the_command_asks_for_the_password_and_stops_on_a_signal(tmp_path: Path) -> None:
    process = run_command("--port", "0", "--work", str(tmp_path / "work"), "--auth", "me:secret", "--device", "cpu")
    try:
        line = process.stdout.readline() if process.stdout else ""
        address = line.split()[-1].rstrip("/")
        assert fetch(f"{address}/gradio_api/info")[0] == 401
        assert fetch(f"{address}/config")[0] == 401
        started = time.monotonic()
        process.send_signal(signal.SIGTERM)
        process.wait(60)
        assert process.returncode in (0, 130) and time.monotonic() - started < 60
    finally:
        process.kill()
        process.communicate()
