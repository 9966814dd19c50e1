"""파일을 내려받아 확인하고, 다 된 것만 제자리에 놓는다. 도중에 끊기면 받은 데서부터 다시 청한다."""

from __future__ import annotations

import hashlib
import http.client
import logging
import re
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

from realesrgan.errors import DownloadError
from realesrgan.util.files import atomic_file, os_reason, remove_abandoned

logger = logging.getLogger(__name__)

CHUNK = 1 << 18
TIMEOUT_SECONDS = 20.0
# 도중에 끊긴 내려받기를 이만큼까지 이어 본다. `CHUNK`보다 많이 받았으면 처음부터 센다.
TRIES = 3
# 이 시간(초) 동안 평균이 이 빠르기(초당 바이트)에 못 미치면 멈춘 것으로 본다. 조금씩 흘려 보내는 서버에 매이지 않는다.
SLOW_SECONDS = 60.0
SLOW_BYTES = 100

# (받은 바이트, 전체 바이트. 서버가 알려 주지 않으면 0)
Progress = Callable[[int, int], None]


def download(url: str, target: Path, *, sha256: str | None = None, progress: Progress | None = None) -> Path:
    """주소의 파일을 받아 해시를 확인하고 `target`에 놓는다.

    임시 파일에 받아 확인한 뒤 이름을 바꾸므로, 중간에 끊겨도 반쪽 파일이 남지 않는다. 끊기거나 멈추면 받은 데서부터
    몇 번 이어 받는다(HTTP Range). 프록시는 환경 변수(`https_proxy`, `http_proxy`, `no_proxy`)를 따른다.

    Args:
        url: `http://`나 `https://` 주소.
        target: 놓을 곳. 폴더는 만든다.
        sha256: 기대하는 해시. 앞부분만 주면 그만큼만 견준다(torch 허브의 파일 이름에 든 여덟 글자 등). 없으면 길이만
            확인하고, 암호화된 주소(https)가 암호화되지 않은 주소로 옮겨 가는 것(redirect)을 따르지 않는다.
        progress: `(받은 바이트, 전체 바이트)`를 받는 함수.

    Raises:
        DownloadError: 연결, 길이, 해시, 저장 가운데 하나라도 잘못되었을 때.
    """
    if not url.startswith(("https://", "http://")):
        raise DownloadError(f"내려받을 수 없는 주소입니다: {url}\n  http:// 나 https:// 로 시작해야 합니다.")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        remove_abandoned(target.parent)
        with atomic_file(target) as file:
            found = _Transfer(_quoted(url), file, progress, verified=sha256 is not None).run()
            if sha256 is not None and not found.startswith(sha256):
                raise DownloadError(
                    f"받은 파일이 공식 파일과 다릅니다: {url}\n"
                    f"  기대한 SHA-256: {sha256}, 받은 파일: {found}. 전송이 깨졌거나 파일이 바뀌었습니다.\n"
                    "  해결: 다시 시도하고, 그래도 같으면 이 파일을 쓰지 마세요."
                )
    except DownloadError:
        raise
    except (OSError, http.client.HTTPException, ValueError) as error:
        remedy = "인터넷 연결과 주소를 확인하거나, 파일을 직접 받아 그 경로를 주세요."
        raise DownloadError(f"내려받지 못했습니다: {url}\n  {_reason(error)}\n  해결: {remedy}") from error
    return target


def _quoted(url: str) -> str:
    """한글처럼 주소에 그대로 쓸 수 없는 글자를 퍼센트 표기로 바꾼다. 이미 바뀐 것은 그대로 둔다."""
    return urllib.parse.quote(url, safe="%/:=&?~#+!$,;'@()*[]")


class _Redirects(urllib.request.HTTPRedirectHandler):
    """웹 주소로만 옮겨 간다. 확인할 해시가 없으면 암호화되지 않은 주소로는 옮겨 가지 않는다."""

    def __init__(self, verified: bool) -> None:
        self._verified = verified

    def redirect_request(self, req: Any, fp: Any, code: int, msg: str, headers: Any, newurl: str) -> Any:
        """옮겨 갈 요청을 만든다."""
        web = newurl.startswith(("https://", "http://"))
        if not web or (req.full_url.startswith("https://") and newurl.startswith("http://") and not self._verified):
            raise DownloadError(
                f"내려받지 않았습니다: {req.full_url}\n  이유: 서버가 안전하지 않은 주소로 옮겨 가라고 합니다"
                f"({newurl}).\n  해결: 옮겨 갈 주소를 믿을 수 있으면 그 주소를 직접 주세요."
            )
        return super().redirect_request(req, fp, code, msg, headers, newurl)


@dataclass
class _Transfer:
    """내려받는 일 하나.

    Attributes:
        url: 주소.
        file: 쓸 파일. 되감아 읽고 자를 수 있어야 한다.
        progress: `(받은 바이트, 전체 바이트)`를 받는 함수.
        verified: 받은 뒤에 해시를 확인할지.
        received: 지금까지 받은 바이트.
        stamp: 서버가 말한, 파일의 판(ETag). 이어 받을 때 파일이 바뀌지 않았는지 본다.
    """

    url: str
    file: IO[bytes]
    progress: Progress | None
    verified: bool
    received: int = 0
    stamp: str | None = None
    _digest: Any = field(default_factory=hashlib.sha256)

    def run(self) -> str:
        """끝까지 받고 SHA-256을 돌려준다."""
        tries = 0
        while True:
            before = self.received
            try:
                self._receive()
            except (urllib.error.HTTPError, DownloadError):
                raise
            except (OSError, http.client.HTTPException) as error:
                failure: Exception = error
            else:
                return str(self._digest.hexdigest())
            tries = 1 if self.received - before > CHUNK else tries + 1
            # 한 바이트도 받지 못했으면 주소나 연결의 잘못이다. 곧바로 알린다.
            if self.received == 0 or tries >= TRIES:
                raise failure
            logger.warning("내려받기가 끊겨 %d바이트부터 이어 받습니다: %s", self.received, self.url)

    def _receive(self) -> None:
        """한 번 이어 받는다.

        Raises:
            OSError, http.client.HTTPException: 연결이 끊겼거나 멈추었을 때.
            DownloadError: 서버가 받을 수 없는 것을 줄 때.
        """
        request = urllib.request.Request(self.url, headers={"User-Agent": "realesrgan"})  # noqa: S310 - 위에서 가렸다
        if self.received:
            request.add_header("Range", f"bytes={self.received}-")
            if self.stamp is not None:
                request.add_header("If-Range", self.stamp)
        opener = urllib.request.build_opener(_Redirects(self.verified))
        with opener.open(request, timeout=TIMEOUT_SECONDS) as response:
            total = self._begin(response)
            began, at_start = time.monotonic(), self.received
            while chunk := response.read1(CHUNK):
                self.file.write(chunk)
                self._digest.update(chunk)
                self.received += len(chunk)
                if self.progress is not None:
                    self.progress(self.received, total)
                spent = time.monotonic() - began
                if spent > SLOW_SECONDS:
                    if self.received - at_start < SLOW_BYTES * spent:
                        raise TimeoutError("too slow")
                    began, at_start = time.monotonic(), self.received
        if total and self.received != total:
            raise http.client.IncompleteRead(b"", total - self.received)

    def _begin(self, response: Any) -> int:
        """받을 자리를 정하고 전체의 바이트 수를 돌려준다. 서버가 말하지 않으면 0."""
        length = response.headers.get("Content-Length") or "0"
        # 앞뒤가 맞지 않는 길이는 없는 것과 같다.
        total = int(length) if length.isdecimal() else 0
        if response.status == http.HTTPStatus.PARTIAL_CONTENT:
            place = re.fullmatch(r"bytes (\d+)-\d+/(\d+|\*)", response.headers.get("Content-Range", ""))
            if place is None or int(place[1]) != self.received:
                raise DownloadError(
                    f"내려받지 못했습니다: {self.url}\n  이유: 서버가 청한 곳과 다른 곳을 보냈습니다.\n"
                    "  해결: 다시 시도하거나, 파일을 직접 받아 그 경로를 주세요."
                )
            return self.received + total if total else 0
        # 이어 주지 않는 서버거나 그사이 파일이 바뀌었다. 처음부터 다시 받는다.
        self.file.seek(0)
        self.file.truncate()
        self.received, self._digest = 0, hashlib.sha256()
        self.stamp = response.headers.get("ETag")
        return total


def _reason(error: Exception) -> str:
    cause = error.reason if isinstance(error, urllib.error.URLError) else error
    if isinstance(error, urllib.error.HTTPError):
        return f"서버가 {error.code}로 답했습니다."
    if isinstance(cause, http.client.IncompleteRead):
        return f"내려받기가 중간에 끊겼습니다({cause.expected or 0}바이트가 남았습니다)."
    if isinstance(cause, TimeoutError):
        return f"서버가 {TIMEOUT_SECONDS:.0f}초 동안 답이 없거나 너무 느립니다."
    if isinstance(error, http.client.HTTPException):
        return f"서버의 답을 알아볼 수 없습니다({type(error).__name__})."
    text = os_reason(cause)[0] if isinstance(cause, OSError) else f"주소를 알아볼 수 없습니다({cause})."
    return f"연결할 수 없습니다({text})." if isinstance(error, urllib.error.URLError) else text
