"""파일을 내려받아 확인하고, 다 된 것만 제자리에 놓는다."""

from __future__ import annotations

import hashlib
import http.client
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import IO

from realesrgan.errors import DownloadError
from realesrgan.util.files import atomic_file, os_reason

CHUNK = 1 << 18
TIMEOUT_SECONDS = 20.0

# (받은 바이트, 전체 바이트. 서버가 알려 주지 않으면 0)
Progress = Callable[[int, int], None]


def download(url: str, target: Path, *, sha256: str | None = None, progress: Progress | None = None) -> Path:
    """주소의 파일을 받아 해시를 확인하고 `target`에 놓는다.

    임시 파일에 받아 확인한 뒤 이름을 바꾸므로, 중간에 끊겨도 반쪽 파일이 남지 않는다.

    Args:
        url: `http://`나 `https://` 주소.
        target: 놓을 곳. 폴더는 만든다.
        sha256: 기대하는 해시. 앞부분만 주면 그만큼만 견준다(torch 허브의 파일 이름에 든 여덟 글자 등). 없으면 길이만
            확인한다.
        progress: `(받은 바이트, 전체 바이트)`를 받는 함수.

    Raises:
        DownloadError: 연결, 길이, 해시, 저장 가운데 하나라도 잘못되었을 때.
    """
    if not url.startswith(("https://", "http://")):
        raise DownloadError(f"내려받을 수 없는 주소입니다: {url}\n  http:// 나 https:// 로 시작해야 합니다.")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with atomic_file(target) as file:
            found = _fetch(_quoted(url), file, progress)
            if sha256 is not None and not found.startswith(sha256):
                raise DownloadError(
                    f"받은 파일이 공식 파일과 다릅니다: {url}\n"
                    f"  기대한 SHA-256: {sha256}, 받은 파일: {found}. 전송이 깨졌거나 파일이 바뀌었습니다.\n"
                    "  해결: 다시 시도하고, 그래도 같으면 이 파일을 쓰지 마세요."
                )
    except DownloadError:
        raise
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise DownloadError(f"내려받지 못했습니다: {url}\n  {_reason(error)}") from error
    return target


def _quoted(url: str) -> str:
    """한글처럼 주소에 그대로 쓸 수 없는 글자를 퍼센트 표기로 바꾼다. 이미 바뀐 것은 그대로 둔다."""
    return urllib.parse.quote(url, safe="%/:=&?~#+!$,;'@()*[]")


def _fetch(url: str, file: IO[bytes], progress: Progress | None) -> str:
    """주소의 내용을 파일에 쓰고 SHA-256을 돌려준다."""
    request = urllib.request.Request(url, headers={"User-Agent": "realesrgan"})  # noqa: S310 - 주소는 위에서 가렸다
    digest = hashlib.sha256()
    with urllib.request.urlopen(request, timeout=TIMEOUT_SECONDS) as response:  # noqa: S310
        total = int(response.headers.get("Content-Length") or 0)
        received = 0
        while chunk := response.read(CHUNK):
            file.write(chunk)
            digest.update(chunk)
            received += len(chunk)
            if progress is not None:
                progress(received, total)
    if total and received != total:
        raise DownloadError(
            f"내려받기가 중간에 끊겼습니다: {url}\n  {total}바이트 가운데 {received}바이트만 받았습니다."
        )
    return digest.hexdigest()


def _reason(error: Exception) -> str:
    if isinstance(error, urllib.error.HTTPError):
        return f"서버가 {error.code}로 답했습니다."
    if isinstance(error, urllib.error.URLError):
        return f"연결할 수 없습니다({error.reason})."
    if isinstance(error, TimeoutError):
        return f"{TIMEOUT_SECONDS:.0f}초 동안 답이 없습니다."
    if isinstance(error, OSError):
        return os_reason(error)[0]
    return f"주소를 알아볼 수 없습니다({error})."
