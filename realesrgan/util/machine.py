"""기계와 프로세스: CPU의 이름, 쓸 수 있는 코어와 메모리, C 라이브러리(glibc)의 메모리 할당기, 삼켜진 Ctrl-C.

할당기를 네트워크의 쓰임에 맞추는 까닭: 네트워크는 층마다 수십 MB의 텐서를 새로 얻고 곧바로 놓는다. glibc는 큰 덩어리를
놓을 때마다 운영체제에 돌려주므로, 다음 층은 같은 메모리를 0으로 채워진 새 쪽(page)으로 다시 받는다. 큰
프레임에서는 그 일이 CPU 시간의 3할에 이른다.
"""

from __future__ import annotations

import _thread
import ctypes
import os
import platform
import signal
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

# 라이브러리가 부른 함수에서 나온 뒤에 닿을 만큼의 시간(초).
_AGAIN_SECONDS = 0.05
# glibc malloc.h의 번호.
_TRIM_THRESHOLD, _MMAP_MAX, _ARENA_MAX = -1, -4, -8
# 돌려주지 않는다(mallopt(3)).
_NEVER = -1
_USER_SETTINGS = (
    "MALLOC_ARENA_MAX",
    "MALLOC_MMAP_MAX_",
    "MALLOC_MMAP_THRESHOLD_",
    "MALLOC_TRIM_THRESHOLD_",
    "MALLOC_TOP_PAD_",
)


# `keep_freed_memory`가 이 프로세스의 할당기를 바꾸었는지. 바꾼 것을 물어볼 길이 glibc에 없다.
_KEPT = threading.Event()
# 컨테이너(cgroup)의 한도와 지금 쓰는 양이 적힌 파일. v2와 v1.
_CGROUP_MEMORY = (
    ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory.current"),
    ("/sys/fs/cgroup/memory/memory.limit_in_bytes", "/sys/fs/cgroup/memory/memory.usage_in_bytes"),
)


def available_cores() -> int:
    """이 프로세스가 쓸 수 있는 코어 수."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def processor_name() -> str:
    """CPU의 이름. 리눅스에서는 커널이 아는 것이다."""
    with suppress(OSError):
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
        found = next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "")
        if found:
            return found
    return platform.processor() or platform.machine()


def available_memory() -> int:
    """운영체제가 지금 내줄 수 있는 메모리(바이트). 컨테이너의 한도(cgroup)도 본다."""
    import psutil

    limits = [int(psutil.virtual_memory().available)]
    for files in _CGROUP_MEMORY:
        # 한도가 없으면 `max`라고 적혀 있고, 이 방식의 컨테이너가 아니면 파일이 없다.
        with suppress(OSError, ValueError):
            limit, used = (int(Path(file).read_text(encoding="ascii")) for file in files)
            limits.append(max(limit - used, 0))
    return min(limits)


def keep_freed_memory() -> bool:
    """놓은 메모리를 운영체제에 돌려주지 않고 다시 쓰게 한다. 프로세스 전체에 듣는다.

    스레드가 생기기 전, 프로그램의 처음에 부른다. 프로세스는 한번 쓴 메모리의 최댓값을 계속 쥐고 있게 되므로 명령만
    부르고 라이브러리는 부르지 않는다. 사용자가 환경 변수(`MALLOC_*`, `GLIBC_TUNABLES`)로 정해 두었으면 그것을 따른다.

    Returns:
        바꾸었는지. glibc가 아니면(Windows, macOS, musl) 아무 일도 하지 않고 False다.
    """
    if sys.platform != "linux" or _set_by_user():
        return False
    library = ctypes.CDLL(None)
    if not hasattr(library, "gnu_get_libc_version"):
        return False
    # 큰 덩어리는 스레드마다의 구역(arena)에 들지 못한다. 구역을 하나만 두어 모두가 같은 메모리를 다시 쓰게 한다.
    settings = ((_ARENA_MAX, 1), (_MMAP_MAX, 0), (_TRIM_THRESHOLD, _NEVER))
    results = [library.mallopt(name, value) for name, value in settings]
    if all(result == 1 for result in results):
        _KEPT.set()
    return _KEPT.is_set()


def returns_freed_memory() -> bool:
    """놓은 큰 덩어리를 운영체제에 곧 돌려주는 프로세스인지. 다시 얻을 때마다 쪽 부재를 치른다.

    Windows와, `keep_freed_memory`를 부르지 않은 리눅스다. 재지 않은 macOS와, 사용자가 할당기를 정한 곳은 아니라고 본다.
    """
    return sys.platform != "darwin" and not _KEPT.is_set() and not _set_by_user()


def give_back_freed_memory() -> None:
    """놓은 메모리를 운영체제에 돌려준다. glibc가 아니면 아무 일도 하지 않는다.

    크기가 다른 일이 이어질 때 그 사이에 부른다. 앞의 일이 놓은 자리가 뒤의 일에 맞지 않으면 최댓값이 쌓이기 때문이다.
    """
    if sys.platform == "linux":
        with suppress(AttributeError):  # musl
            ctypes.CDLL(None).malloc_trim(0)


def _set_by_user() -> bool:
    return any(name in os.environ for name in _USER_SETTINGS) or "glibc.malloc" in os.environ.get("GLIBC_TUNABLES", "")


def keep_interrupts() -> Callable[[Any], Any]:
    """삼켜진 Ctrl-C를 주 스레드에 다시 보낸다. 프로세스 전체에 들으므로 명령만 부른다.

    C 라이브러리가 부른 파이썬 함수(libvips와 FFmpeg의 로그와 읽기)나 `__del__`에서 난 예외는 부른 쪽으로 가지
    못하고 `sys.unraisablehook`에서 사라진다. Ctrl-C도 그때 닿으면 사라져 일이 멈추지 않는다.

    Returns:
        전의 `sys.unraisablehook`. 부른 쪽이 되돌린다.
    """
    before = sys.unraisablehook

    def hook(unraisable: Any, /) -> None:
        if issubclass(unraisable.exc_type, KeyboardInterrupt):
            # 여기서 바로 보내면 이 함수 안에서 나 다시 사라진다.
            timer = threading.Timer(_AGAIN_SECONDS, _thread.interrupt_main, (_heard(),))
            timer.daemon = True
            timer.start()
        else:
            before(unraisable)

    sys.unraisablehook = hook
    return before


def _heard() -> signal.Signals:
    """이 프로세스가 중단으로 듣는 신호. `nohup`이나 스크립트의 `&`로 뜨면 Ctrl-C는 무시되고 SIGTERM만 듣는다."""
    return signal.SIGINT if callable(signal.getsignal(signal.SIGINT)) else signal.SIGTERM
