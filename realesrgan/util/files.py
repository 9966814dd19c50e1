"""파일: 원자적 쓰기, 해시, 경로, 운영체제 오류의 이유, 잠금."""

from __future__ import annotations

import errno
import glob
import hashlib
import os
import platform
import re
import secrets
import shutil
import sys
import tempfile
import unicodedata
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

_REASONS_BY_NAME = {
    "ENOENT": ("파일이나 폴더가 없습니다.", "경로와 이름을 확인하세요."),
    "ENOTDIR": ("경로 가운데에 폴더가 아닌 것이 있습니다.", "경로를 확인하세요."),
    "EISDIR": ("파일이 아니라 폴더입니다.", "파일 이름까지 적어 주세요."),
    "EACCES": ("권한이 없습니다.", "파일과 폴더의 권한을 확인하거나 다른 폴더를 쓰세요."),
    "EPERM": ("권한이 없습니다.", "파일과 폴더의 권한을 확인하거나 다른 폴더를 쓰세요."),
    "EROFS": ("읽기 전용 저장 장치입니다.", "다른 폴더를 쓰세요."),
    "ENOSPC": ("디스크가 가득 찼습니다.", "자리를 비우거나 다른 디스크의 폴더를 쓰세요."),
    "EFBIG": ("파일 시스템이 담을 수 있는 크기를 넘습니다.", "다른 형식이나 다른 디스크를 쓰세요."),
    "ENAMETOOLONG": ("이름이 너무 깁니다.", "더 짧은 이름을 쓰세요."),
    "EPIPE": ("받는 쪽이 파이프를 닫았습니다.", "받는 프로그램이 끝까지 읽는지 확인하세요."),
    "EMFILE": ("열린 파일이 너무 많습니다.", "다른 프로그램을 닫고 다시 하세요."),
    "ENOMEM": ("메모리가 모자랍니다.", "다른 프로그램을 닫고 다시 하세요."),
    "EEXIST": ("그 자리에 이미 다른 것이 있습니다.", "그것을 옮기거나 다른 이름을 쓰세요."),
    "ENOTEMPTY": ("폴더가 비어 있지 않습니다.", "폴더를 비우거나 다른 이름을 쓰세요."),
    "EINVAL": ("운영체제가 그 이름이나 값을 받지 않습니다.", "이름과 저장 장치의 형식을 확인하세요."),
    "EILSEQ": ("이름에 쓸 수 없는 글자가 있습니다.", "다른 이름을 쓰세요."),
    "ELOOP": ("심볼릭 링크가 서로를 가리킵니다.", "링크를 고치거나 실제 경로를 주세요."),
    "EIO": ("저장 장치에서 읽거나 쓰지 못했습니다.", "저장 장치의 상태와 이어진 선을 확인하세요."),
    "EBUSY": ("다른 프로그램이 쓰고 있습니다.", "그 프로그램을 닫고 다시 하세요."),
    "ETXTBSY": ("실행 중인 프로그램의 파일입니다.", "다른 이름을 쓰세요."),
    "EXDEV": ("다른 저장 장치로는 이름을 바꿀 수 없습니다.", "결과를 같은 저장 장치의 폴더에 두세요."),
    "ENXIO": ("그런 장치가 없거나 받는 쪽이 없습니다.", "경로와 장치를 확인하세요."),
    "ENODEV": ("그런 장치가 없습니다.", "경로와 장치를 확인하세요."),
    "ENFILE": ("이 컴퓨터에 열린 파일이 너무 많습니다.", "다른 프로그램을 닫고 다시 하세요."),
    "ENOTSUP": ("저장 장치가 그 일을 지원하지 않습니다.", "다른 디스크의 폴더를 쓰세요."),
    "ESTALE": ("네트워크 폴더가 바뀌었거나 끊겼습니다.", "폴더를 다시 이은 뒤 하세요."),
    "ETIMEDOUT": ("시간 안에 답이 오지 않았습니다.", "네트워크와 상대의 상태를 확인하세요."),
    "ECONNREFUSED": ("상대가 이어 주지 않습니다.", "주소와 포트를 확인하세요."),
    "ECONNRESET": ("상대가 연결을 끊었습니다.", "다시 해 보세요."),
    "EADDRINUSE": ("그 포트를 다른 프로그램이 쓰고 있습니다.", "다른 포트를 주세요."),
    "EDQUOT": ("디스크 할당량(quota)을 다 썼습니다.", "자리를 비우거나 다른 디스크의 폴더를 쓰세요."),
}
# 운영체제마다 있는 번호가 다르다.
_REASONS = {getattr(errno, name): reason for name, reason in _REASONS_BY_NAME.items() if hasattr(errno, name)}
# 라이브러리를 싣거나 스레드를 띄울 메모리가 모자랄 때. 예외의 종류로는 가려지지 않는다.
_MEMORY_SIGNS = ("cannot allocate memory", "failed to map segment", "can't start new thread", "out of memory")


def os_reason(error: OSError) -> tuple[str, str]:
    """오류의 `(이유, 해결)`을 한국어 두 문장으로 돌려준다."""
    known = _REASONS.get(error.errno) if error.errno is not None else None
    return known or (f"운영체제의 오류입니다({error.strerror or error}).", "경로와 저장 장치의 상태를 확인하세요.")


def plain_reason(error: Exception) -> str:
    """파일을 읽고 쓰다가 난 오류의 이유 한 문장. 운영체제와 글자의 부호에서 난 것은 한국어로 옮긴다."""
    if isinstance(error, UnicodeDecodeError):
        return "UTF-8로 적힌 글이 아닙니다."
    if isinstance(error, OSError) and error.errno is not None:
        return os_reason(error)[0]
    return (str(error) or type(error).__name__).splitlines()[0]


def is_memory_shortage(error: BaseException) -> bool:
    """호스트의 메모리가 모자라 난 예외인지. 라이브러리를 싣지 못한 것과 스레드를 띄우지 못한 것도 그렇다."""
    text = str(error).lower()
    return isinstance(error, MemoryError) or any(sign in text for sign in _MEMORY_SIGNS)


def describe_system_error(error: BaseException, memory_remedy: str | None = None) -> str | None:
    """운영체제가 낸 오류(파일, 메모리)면 이유와 해결을 적은 글을, 아니면 `None`을 돌려준다.

    Args:
        error: 받은 예외.
        memory_remedy: 메모리가 모자랄 때의 해결. 없으면 흔한 말을 쓴다.
    """
    if is_memory_shortage(error):
        reason, remedy = _REASONS[errno.ENOMEM]
        return f"{reason}\n  해결: {memory_remedy or remedy}"
    if not isinstance(error, OSError):
        return None
    reason, remedy = os_reason(error)
    where = f"{error.filename}: " if error.filename else ""
    return f"{where}{reason}\n  해결: {remedy}"


def expand_user(text: str) -> Path:
    """`~`를 홈 폴더로 바꾼다. 그런 사용자가 없으면 글자 그대로의 경로로 본다."""
    try:
        return Path(text).expanduser()
    except RuntimeError:
        return Path(text)


def cache_dir() -> Path:
    """내려받거나 변환한 것을 두는 사용자 폴더. 환경 변수 `REALESRGAN_HOME`이 우선한다."""
    if home := os.environ.get("REALESRGAN_HOME"):
        return Path(home).expanduser()
    if sys.platform == "win32":
        base = Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local")
    elif sys.platform == "darwin":
        base = Path.home() / "Library" / "Caches"
    else:
        base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return base / "realesrgan"


def natural_key(path: Path) -> list[tuple[int, int | str]]:
    """숫자를 수로 견주는 정렬 열쇠. `2.png`가 `10.png`보다 앞에 온다."""
    parts = re.split(r"(\d+)", str(path).casefold())
    return [(0, int(part)) if part.isdecimal() else (1, part) for part in parts]


def identity(path: Path) -> str:
    """같은 파일을 가리키는 경로는 같은 글자가 되게 한다."""
    text = unicodedata.normalize("NFC", str(Path(os.path.realpath(path))))
    # 대소문자를 가리지 않는 파일 시스템이 기본인 곳에서는 접어서 견준다.
    return text.casefold() if sys.platform in ("win32", "darwin") else text


def make_writable_folder(folder: Path) -> None:
    """폴더를 만들고 그 안에 쓸 수 있는지 본다. 오래 계산한 뒤에야 쓸 수 없음을 알게 되는 일을 막는다.

    Raises:
        OSError: 만들거나 쓸 수 없을 때.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryFile(dir=folder):
        pass


def hidden_beside(target: Path, suffix: str = "") -> Path:
    """결과 곁에서 그 결과만이 쓰는 숨은 이름. 언제나 같으므로 죽은 프로세스가 남긴 것을 다음 실행이 찾는다.

    이름에 결과의 이름을 넣지 않는다. 긴 한글 이름에 덧붙이면 파일 이름의 한도(255바이트)를 넘을 수 있다.
    """
    key = hashlib.sha256(target.name.encode("utf-8", "surrogateescape")).hexdigest()[:16]
    return target.with_name(f".realesrgan-{key}{suffix}")


def scratch_beside(target: Path, suffix: str) -> Path:
    """`target` 곁의, 이 프로세스만 쓰는 임시 파일의 이름. 컴퓨터와 프로세스가 적혀 있어 죽은 것이 남긴 것을 가려낸다.

    대상의 이름을 넣지 않는다. 긴 한글 이름에 덧붙이면 파일 이름의 한도(255바이트)를 넘을 수 있다.
    """
    return target.with_name(f".realesrgan-{platform.node()}-{os.getpid()}-{secrets.token_hex(8)}{suffix}")


@contextmanager
def scratch_folder(folder: Path) -> Iterator[Path]:
    """`folder` 안의, 이 프로세스만 쓰고 지우는 임시 폴더. 같은 폴더라 이름만 바꾸어 결과를 내놓을 수 있다.

    `folder`가 없으면 만들고, 죽은 프로세스가 거기 남긴 것은 지운다.

    Raises:
        OSError: 만들 수 없을 때.
    """
    folder.mkdir(parents=True, exist_ok=True)
    remove_abandoned(folder)
    scratch = scratch_beside(folder / "scratch", ".part")
    scratch.mkdir()
    try:
        yield scratch
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def abandoned(folder: Path) -> list[Path]:
    """이 컴퓨터의, 이미 죽은 프로세스가 폴더에 남긴 임시 파일과 임시 폴더들."""
    head = f".realesrgan-{glob.escape(platform.node())}-*"
    found = []
    for path in (*folder.glob(f"{head}.part"), *folder.glob(f"{head}.raw")):
        process = path.stem.split("-")[-2]
        if process.isdecimal() and not _is_running(int(process)):
            found.append(path)
    return found


def remove_abandoned(folder: Path) -> None:
    """이미 죽은 프로세스가 폴더에 남긴 임시 파일과 임시 폴더를 지운다. 지울 수 없는 것은 그대로 둔다."""
    for path in abandoned(folder):
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
            continue
        with suppress(OSError):
            path.unlink()


def folder_size(folder: Path) -> int:
    """폴더 안의 모든 파일의 크기(바이트). 하드 링크는 한 번만 센다. 보는 사이에 사라진 것은 세지 않는다."""
    sizes: dict[tuple[int, int], int] = {}
    # Path.rglob은 훑는 사이에 폴더가 사라지면 오류를 낸다.
    for root, _, names in os.walk(folder):
        for name in names:
            with suppress(OSError):
                found = Path(root, name).lstat()
                sizes[found.st_dev, found.st_ino] = found.st_size
    return sum(sizes.values())


def _is_running(process: int) -> bool:
    """그 번호의 프로세스가 도는지. 죽었지만 부모가 거두지 않은 것(zombie)은 돌지 않는다."""
    import psutil

    try:
        return bool(psutil.Process(process).status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False
    except psutil.Error:
        return True


@contextmanager
def atomic_file(target: Path) -> Iterator[BinaryIO]:
    """`target`을 원자적으로(atomic) 바꿀 파일을 연다. 읽고 되감아 고칠 수 있다(seek).

    대상 곁의 임시 파일에 쓰고, 블록이 무사히 끝나면 디스크에 내린(fsync) 뒤 이름을 바꾼다.
    Ctrl-C를 포함해 어떤 예외에서도 임시 파일을 지우며 대상은 건드리지 않는다.
    권한은 새로 만든 보통 파일과 같다(umask). 대상이 심볼릭 링크면 가리키는 파일을 바꾼다.

    Raises:
        OSError: 만들거나 쓰거나 이름을 바꿀 수 없을 때.
    """
    target = Path(os.path.realpath(target))
    temporary = scratch_beside(target, ".part")
    flags = os.O_CREAT | os.O_EXCL | os.O_RDWR | getattr(os, "O_BINARY", 0) | getattr(os, "O_CLOEXEC", 0)
    try:
        with os.fdopen(os.open(temporary, flags, 0o666), "w+b") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(target)
        # 바뀐 이름까지 디스크에 내린다. Windows는 폴더를 열 수 없고 이름 바꾸기가 곧바로 기록된다. 폴더의 fsync를
        # 모르는 파일 시스템은 이름 바꾸기로 만족한다.
        if os.name != "nt":
            with suppress(OSError):
                handle = os.open(target.parent, os.O_RDONLY)
                try:
                    os.fsync(handle)
                finally:
                    os.close(handle)
    except BaseException:
        with suppress(OSError):
            temporary.unlink()
        raise


def write_atomically(target: Path, content: bytes) -> None:
    """폴더를 만들고 `content`를 원자적으로(atomic) 쓴다.

    Raises:
        OSError: 만들거나 쓸 수 없을 때.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    with atomic_file(target) as file:
        file.write(content)


CHUNK = 1 << 20


def file_sha256(path: Path) -> str:
    """파일의 SHA-256을 16진수 글자로 돌려준다. 큰 파일도 조금씩 읽는다.

    Raises:
        OSError: 읽을 수 없을 때.
    """
    with path.open("rb") as file:
        return stream_sha256(file)


def stream_sha256(file: BinaryIO) -> str:
    """열린 파일의 지금 자리부터 끝까지의 SHA-256."""
    digest = hashlib.sha256()
    while chunk := file.read(CHUNK):
        digest.update(chunk)
    return digest.hexdigest()


@contextmanager
def exclusive_lock(path: Path) -> Iterator[bool]:
    """잠금 파일을 기다리지 않고 쥔다. 프로세스가 죽으면 저절로 풀린다.

    Yields:
        쥐었으면 참, 다른 프로세스가 쥐고 있으면 거짓.

    Raises:
        OSError: 잠금 파일을 만들 수 없을 때.
    """
    # 훈련과 사진 명령은 잠그지 않는다. 쓸 때에야 불러온다.
    from filelock import FileLock, Timeout

    lock = FileLock(path)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        yield False
        return
    try:
        yield True
    finally:
        # 쥔 채로 지운다. 놓은 다음에 지우면 그사이에 쥔 쪽의 파일을 지워 둘이 함께 쥐게 된다. filelock은 지워진 파일을
        # 쥐면 다시 연다. Windows는 쥔 파일을 지우지 못한다.
        with suppress(OSError):
            path.unlink()
        lock.release()
        if os.name == "nt":
            with suppress(OSError):
                path.unlink()
