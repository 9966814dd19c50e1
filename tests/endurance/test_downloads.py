"""끊고, 멈추고, 길이를 속이고, 옮겨 가라 하고, 다른 파일을 주는 서버: 확인하거나, 이어 받거나, 받지 않는다."""

from __future__ import annotations

import hashlib
import io
import os
import random
import re
import socket
import threading
import time
import urllib.request
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import torch

from realesrgan.errors import DownloadError, WeightsError
from realesrgan.util import download as module
from realesrgan.util.download import download
from realesrgan.zoo.weights import open_weights
from tests.conftest import nearest_network
from tests.endurance.processes import Task, assert_plain, leftovers, times

CONTENT = random.Random(0).randbytes(600_000)
DIGEST = hashlib.sha256(CONTENT).hexdigest()


class Server(ThreadingHTTPServer):
    """하는 짓이 주소에 적힌 서버. 무엇을 청했는지 적어 둔다."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.asked: list[tuple[str, str | None]] = []
        self.files = {"net.pth": CONTENT}
        threading.Thread(target=self.serve_forever, daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        wanted = self.headers.get("Range")
        self.server.asked.append((self.path, wanted))
        # 프록시로 부르면 주소가 통째로 온다.
        _, how, name = re.sub(r"^http://[^/]+", "", self.path).split("/", 2)
        data = self.server.files.get(name, CONTENT)
        start = int(wanted.split("=")[1].rstrip("-")) if wanted and how != "whole" else 0
        getattr(self, f"serve_{how}")(data, start)

    def head(self, length: object, start: int = 0, total: int = len(CONTENT), **more: str) -> None:
        self.send_response(206 if start else 200)
        if start:
            self.send_header("Content-Range", f"bytes {start}-{total - 1}/{total}")
        if length is not None:
            self.send_header("Content-Length", str(length))
        for key, value in more.items():
            self.send_header(key.replace("_", "-"), value)
        self.end_headers()

    def serve_good(self, data: bytes, start: int) -> None:
        self.head(len(data) - start, start, len(data))
        self.wfile.write(data[start:])

    def serve_cut(self, data: bytes, start: int) -> None:
        """한 번에 20만 바이트씩만 보내고 끊는다."""
        self.head(len(data) - start, start, len(data), ETag='"1"')
        self.wfile.write(data[start : start + 200_000])

    def serve_whole(self, data: bytes, start: int) -> None:
        """이어 보내지 못하는 서버. 첫 번째만 끊는다."""
        del start
        self.head(len(data))
        again = [one for one in self.server.asked if one[0] == self.path]
        self.wfile.write(data if len(again) > 1 else data[:200_000])

    def serve_changed(self, data: bytes, start: int) -> None:
        """끊긴 사이에 파일이 바뀌었다. If-Range를 알아보고 처음부터 새 파일을 준다."""
        fresh = bytes(len(data))
        if start and self.headers.get("If-Range") == '"old"':
            self.head(len(fresh), ETag='"new"')
            self.wfile.write(fresh)
        else:
            self.head(len(data), ETag='"old"')
            self.wfile.write(data[:200_000])

    def serve_elsewhere(self, data: bytes, start: int) -> None:
        """청하지 않은 곳을 보낸다."""
        self.head(len(data) - start, start and start + 7, len(data))
        self.wfile.write(data[: 200_000 if not start else None])

    def serve_stall(self, data: bytes, start: int) -> None:
        self.head(len(data) - start, start, len(data))
        self.wfile.write(data[start : start + 1000] if not start else b"")
        self.wfile.flush()
        time.sleep(3)

    def serve_drip(self, data: bytes, start: int) -> None:
        self.head(len(data) - start, start, len(data))
        for byte in data[start : start + 200]:
            self.wfile.write(bytes([byte]))
            self.wfile.flush()
            time.sleep(0.05)

    def serve_long(self, data: bytes, start: int) -> None:
        """길이를 실제보다 길게 말한다."""
        self.head(len(data) + 1000 - start, start, len(data) + 1000)
        self.wfile.write(data[start:])

    def serve_short(self, data: bytes, start: int) -> None:
        """길이를 실제보다 짧게 말한다."""
        self.head(len(data) // 2)
        self.wfile.write(data)

    def serve_nonsense(self, data: bytes, start: int) -> None:
        self.head("많음".encode().hex(), start, len(data))
        self.wfile.write(data[start:])

    def serve_moved(self, data: bytes, start: int) -> None:
        self.send_response(302)
        self.send_header("Location", f"{self.server.url}/good/net.pth")
        self.end_headers()

    def serve_loop(self, data: bytes, start: int) -> None:
        self.send_response(302)
        self.send_header("Location", f"{self.server.url}{self.path}")
        self.end_headers()

    def serve_outside(self, data: bytes, start: int) -> None:
        self.send_response(302)
        self.send_header("Location", "file:///etc/passwd")
        self.end_headers()

    def serve_ftp(self, data: bytes, start: int) -> None:
        self.send_response(302)
        self.send_header("Location", "ftp://127.0.0.1:1/net.pth")
        self.end_headers()

    def serve_other(self, data: bytes, start: int) -> None:
        page = "<html>로그인하세요</html>".encode()
        self.head(len(page))
        self.wfile.write(page)

    def serve_garbage(self, data: bytes, start: int) -> None:
        self.wfile.write(b"\x00\x01 not http\r\n\r\n")

    def serve_broken(self, data: bytes, start: int) -> None:
        self.send_error(503)

    def log_message(self, *args: object) -> None:
        pass


@pytest.fixture
def server() -> Iterator[Server]:
    made = Server()
    yield made
    made.shutdown()
    made.server_close()


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(module, "TIMEOUT_SECONDS", 1.0)
    monkeypatch.setattr(module, "SLOW_SECONDS", 1.0)


@pytest.mark.parametrize("how", ["good", "cut", "whole", "nonsense", "moved"])
def test_a_file_that_can_be_had_arrives_whole(server: Server, tmp_path: Path, how: str) -> None:
    target = tmp_path / "net.pth"
    assert download(f"{server.url}/{how}/net.pth", target, sha256=DIGEST).read_bytes() == CONTENT
    assert [path.name for path in tmp_path.iterdir()] == ["net.pth"]
    if how == "cut":
        assert [wanted for _, wanted in server.asked] == [None, "bytes=200000-", "bytes=400000-"]


def test_a_file_that_changed_between_is_fetched_from_its_beginning(server: Server, tmp_path: Path) -> None:
    assert download(f"{server.url}/changed/net.pth", tmp_path / "net.pth").read_bytes() == bytes(len(CONTENT))


@pytest.mark.parametrize(
    ("how", "words"),
    [
        ("elsewhere", "다른 곳을 보냈습니다"),
        ("stall", "답이 없거나 너무 느립니다"),
        ("drip", "답이 없거나 너무 느립니다"),
        ("long", "끊겼습니다"),
        ("short", "공식 파일과 다릅니다"),
        ("loop", "302"),
        ("outside", "302"),
        ("ftp", "안전하지 않은 주소"),
        ("other", "공식 파일과 다릅니다"),
        ("garbage", "알아볼 수 없습니다|끊"),
        ("broken", "503"),
    ],
)
def test_a_file_that_cannot_be_trusted_is_refused(server: Server, tmp_path: Path, how: str, words: str) -> None:
    target = tmp_path / "net.pth"
    target.write_bytes(b"old")
    with pytest.raises(DownloadError, match=words) as caught:
        download(f"{server.url}/{how}/net.pth", target, sha256=DIGEST)
    assert_plain(str(caught.value))
    assert "해결:" in str(caught.value)
    assert target.read_bytes() == b"old" and [path.name for path in tmp_path.iterdir()] == ["net.pth"]


def test_an_address_that_gives_a_page_is_told_and_not_kept(server: Server, tmp_path: Path, monkeypatch) -> None:
    """해시를 모르는 주소의 로그인 페이지를 캐시에 남기면, 나중에 주소가 나아도 계속 그것을 읽는다."""
    monkeypatch.setenv("REALESRGAN_HOME", str(tmp_path))
    url = f"{server.url}/other/net.pth"
    with pytest.raises(WeightsError, match="가중치 파일이 아닙니다"):
        open_weights(url)
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]
    stored = io.BytesIO()
    torch.save({"params": nearest_network(2).state_dict()}, stored)
    server.files["good.pth"] = stored.getvalue()
    assert open_weights(f"{server.url}/good/good.pth").network().scale == 2


def test_encrypted_addresses_are_not_left_without_a_hash() -> None:
    request = urllib.request.Request("https://127.0.0.1/net.pth")
    with pytest.raises(DownloadError, match="안전하지 않은 주소"):
        module._Redirects(False).redirect_request(request, None, 302, "", {}, "http://127.0.0.1/net.pth")
    assert module._Redirects(True).redirect_request(request, None, 302, "", {}, "http://127.0.0.1/net.pth") is not None


def test_a_proxy_of_the_environment_is_used(server: Server, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setenv("http_proxy", server.url)
    assert download("http://files.invalid/good/net.pth", tmp_path / "a.pth", sha256=DIGEST).exists()
    assert server.asked[-1][0] == "http://files.invalid/good/net.pth"
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    with pytest.raises(DownloadError, match="연결할 수 없습니다"):
        download("http://files.invalid/good/net.pth", tmp_path / "b.pth", sha256=DIGEST)


def test_two_processes_fetch_one_file_at_once(server: Server, tmp_path: Path, start, monkeypatch) -> None:
    stored = io.BytesIO()
    torch.save({"params": nearest_network(2).state_dict()}, stored)
    server.files["good.pth"] = stored.getvalue()
    from tests.scripts.command import draw

    draw(tmp_path / "a.png")
    home = {"REALESRGAN_HOME": str(tmp_path / "home")}
    model = ("--model_path", f"{server.url}/good/good.pth", "--device", "cpu", "--fp32")
    tasks = [start("image", "-i", "a.png", "-o", f"{turn}.png", *model, environment=home) for turn in range(4)]
    assert [task.wait() for task in tasks] == [0] * 4, [task.said for task in tasks]
    assert len({(tmp_path / f"{turn}.png").read_bytes() for turn in range(4)}) == 1
    assert not leftovers(tmp_path)


def test_a_killed_download_leaves_nothing_that_is_taken_for_the_file(server: Server, tmp_path: Path, start) -> None:
    from tests.scripts.command import draw

    draw(tmp_path / "a.png")
    home = tmp_path / "home"
    model = ("--model_path", f"{server.url}/stall/net.pth", "--device", "cpu")
    for _ in range(times(2)):
        before = len(server.asked)
        task: Task = start("image", "-i", "a.png", "-o", "b.png", *model, environment={"REALESRGAN_HOME": str(home)})
        while len(server.asked) == before and task.alive:
            time.sleep(0.01)
        time.sleep(0.3)
        task.kill()
    assert not list(home.rglob("*.pth"))


def test_a_closed_connection_before_the_answer_is_told(tmp_path: Path) -> None:
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen()

        def shut() -> None:
            listening.accept()[0].close()

        threading.Thread(target=shut, daemon=True).start()
        with pytest.raises(DownloadError) as caught:
            download(f"http://127.0.0.1:{listening.getsockname()[1]}/net.pth", tmp_path / "net.pth")
    assert_plain(str(caught.value))
    assert os.listdir(tmp_path) == []  # noqa: PTH208
