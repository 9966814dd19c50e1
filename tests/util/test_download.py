"""내려받기가 확인된 온전한 파일만 남기는지."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from realesrgan.errors import DownloadError
from realesrgan.util.download import download
from realesrgan.util.files import file_sha256

CONTENT = bytes(range(256)) * 4096
DIGEST = hashlib.sha256(CONTENT).hexdigest()


class _Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        if self.path == "/missing.pth":
            self.send_error(404)
            return
        self.send_response(200)
        self.send_header("Content-Length", str(len(CONTENT)))
        self.end_headers()
        self.wfile.write(CONTENT[:1000] if self.path == "/cut.pth" else CONTENT)

    def log_message(self, *args: object) -> None:
        pass


@pytest.fixture
def server() -> Iterator[str]:
    httpd = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    thread = threading.Thread(target=httpd.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{httpd.server_port}"
    httpd.shutdown()
    httpd.server_close()


def test_file_arrives_whole_and_progress_reaches_the_end(server: str, tmp_path: Path) -> None:
    seen: list[tuple[int, int]] = []
    target = tmp_path / "새 폴더" / "net.pth"
    download(f"{server}/net.pth", target, sha256=DIGEST, progress=lambda *step: seen.append(step))
    assert target.read_bytes() == CONTENT
    assert file_sha256(target) == DIGEST
    assert seen[-1] == (len(CONTENT), len(CONTENT))
    assert [path.name for path in target.parent.iterdir()] == ["net.pth"]


def test_the_front_of_the_hash_is_enough(server: str, tmp_path: Path) -> None:
    assert download(f"{server}/net.pth", tmp_path / "net.pth", sha256=DIGEST[:8]).read_bytes() == CONTENT


@pytest.mark.parametrize(
    ("name", "digest", "words"),
    [
        ("net.pth", "0" * 8, "공식 파일과 다릅니다"),
        ("net.pth", "0" * 64, "공식 파일과 다릅니다"),
        ("cut.pth", None, "중간에 끊겼습니다|내려받지 못했습니다"),
        ("missing.pth", None, "404"),
    ],
)
def test_bad_download_leaves_the_old_file_and_no_temporary(
    server: str, tmp_path: Path, name: str, digest: str | None, words: str
) -> None:
    target = tmp_path / "net.pth"
    target.write_bytes(b"old")
    with pytest.raises(DownloadError, match=words):
        download(f"{server}/{name}", target, sha256=digest)
    assert target.read_bytes() == b"old"
    assert [path.name for path in tmp_path.iterdir()] == ["net.pth"]


def test_nobody_listening_is_said_in_korean(tmp_path: Path) -> None:
    with pytest.raises(DownloadError, match="연결할 수 없습니다"):
        download("http://127.0.0.1:9/net.pth", tmp_path / "net.pth")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("url", ["file:///etc/passwd", "ftp://example.com/net.pth"])
def test_only_web_addresses_are_fetched(url: str, tmp_path: Path) -> None:
    with pytest.raises(DownloadError, match="http"):
        download(url, tmp_path / "net.pth")
