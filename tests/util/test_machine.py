"""할당기: 놓은 메모리를 다시 쓰는지 쪽 부재(page fault)의 수로 본다."""

from __future__ import annotations

import os
import platform
import subprocess
import sys

import pytest

from realesrgan.cli import image, video
from realesrgan.util import machine as allocator

BLOCK = 48 << 20
ROUNDS = 20
PAGES = BLOCK // 4096
glibc_only = pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="glibc에서만 듣는다")


def faults_of(setup, environment=None, *, in_thread=False):
    """큰 덩어리를 얻고 놓기를 되풀이하는 새 프로세스의 쪽 부재 수."""
    call = "threading.Thread(target=churn).start()" if in_thread else "churn()"
    code = (
        "import resource, threading\n"
        "from realesrgan.util.machine import *\n"
        f"{setup}\n"
        "def churn():\n"
        f"    for _ in range({ROUNDS}):\n"
        f"        b'x' * {BLOCK}\n"
        f"{call}\n"
        "for one in threading.enumerate():\n"
        "    one is threading.current_thread() or one.join()\n"
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt)\n"
    )
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("MALLOC_", "GLIBC_"))}
    done = subprocess.run(
        [sys.executable, "-c", code], env={**clean, **(environment or {})}, capture_output=True, text=True, check=True
    )
    return int(done.stdout)


@glibc_only
@pytest.mark.parametrize("in_thread", [False, True])
def test_freed_blocks_are_used_again_without_new_pages(in_thread):
    plain = faults_of("", in_thread=in_thread)
    kept = faults_of("keep_freed_memory()", in_thread=in_thread)
    assert plain > ROUNDS * PAGES * 0.9
    assert kept < 2 * PAGES


@glibc_only
@pytest.mark.parametrize(
    "setting", [{"MALLOC_MMAP_MAX_": "65536"}, {"GLIBC_TUNABLES": "glibc.malloc.mmap_max=65536"}], ids=str
)
def test_settings_of_the_user_are_left_alone(setting):
    assert faults_of("assert not keep_freed_memory()", setting) > ROUNDS * PAGES * 0.9


@glibc_only
def test_giving_back_shrinks_the_process():
    code = (
        "from realesrgan.util.machine import *\n"
        "def resident():\n"
        "    return int(open('/proc/self/statm').read().split()[1]) * 4096\n"
        "assert keep_freed_memory()\n"
        f"held = b'x' * {BLOCK}\n"
        "del held\n"
        "before = resident()\n"
        "give_back_freed_memory()\n"
        "print(before - resident())\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert int(done.stdout) > BLOCK * 0.9


@glibc_only
def test_a_process_knows_whether_it_returns_freed_memory():
    faults_of("assert returns_freed_memory()\nkeep_freed_memory()\nassert not returns_freed_memory()")
    faults_of("assert not returns_freed_memory()", {"MALLOC_MMAP_MAX_": "0"})


def test_other_c_libraries_are_left_alone(monkeypatch):
    monkeypatch.setattr(allocator.sys, "platform", "win32")
    assert not allocator.keep_freed_memory()
    allocator.give_back_freed_memory()


@pytest.mark.parametrize("command", [image, video], ids=["image", "video"])
def test_the_commands_keep_freed_memory_before_anything_else(command, monkeypatch):
    calls = []
    monkeypatch.setattr(command, "keep_freed_memory", lambda: calls.append("keep"))
    monkeypatch.setattr(command, "main", lambda: calls.append("main") or 7)
    monkeypatch.setattr(command, "run_and_leave", lambda main: calls.append(main()))
    command.run()
    assert calls == ["keep", "main", 7]
