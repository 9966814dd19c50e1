"""명령을 갈래 친 프로세스로 돌린다. 무거운 불러오기를 한 번만 하므로 수백 번 죽여 볼 수 있다."""

from __future__ import annotations

import importlib
import importlib.util
import os
import re
import resource
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Mapping
from contextlib import suppress
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from tests.conftest import ROOT

# 시험의 크기. 2면 두 배의 입력과 두 배의 횟수다.
SIZE = float(os.environ.get("REALESRGAN_ENDURANCE", "1"))
COMMANDS = {"image": "realesrgan.cli.image", "video": "realesrgan.cli.video", "train": "realesrgan.train"}
TIMEOUT = 300.0  # 멈춘 것을 알아보는 한도. 바쁜 기계에서 느린 것은 멈춘 것이 아니다

_CONTEXT = get_context("forkserver")
_CONTEXT.set_forkserver_preload(
    ["numpy", "cv2", "torch", "av", "PIL.Image", "realesrgan.cli.image", "realesrgan.cli.video", "realesrgan.inference"]
)


def times(count: int) -> int:
    """시험의 크기에 맞춘 횟수. 적어도 하나."""
    return max(round(count * SIZE), 1)


class Task:
    """시작한 명령 하나.

    Args:
        command: `COMMANDS`의 이름이나 `scripts/`의 이름.
        arguments: 인자.
        cwd: 작업 폴더.
        limits: `resource`의 한도(`RLIMIT_NOFILE` 등)와 값. `RLIMIT_AS`는 시작할 때의 주소 공간에 더할 바이트.
        setup: 명령에 앞서 자식에서 부를, 모듈의 맨 위에 있는 함수.
        environment: 더할 환경 변수.
    """

    def __init__(
        self,
        command: str,
        arguments: list[str],
        *,
        cwd: Path,
        limits: Mapping[str, int] | None = None,
        setup: Callable[[], None] | None = None,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        handle, name = tempfile.mkstemp(prefix="endurance-")
        os.close(handle)
        self._said = Path(name)
        kept = {key: value for key, value in os.environ.items() if key.startswith(("REALESRGAN_", "OMP_"))}
        arguments_of_child = (
            command,
            arguments,
            str(cwd),
            name,
            dict(limits or {}),
            setup,
            kept | dict(environment or {}),
        )
        self._process = _CONTEXT.Process(target=_run, args=arguments_of_child)
        self._process.start()

    @property
    def alive(self) -> bool:
        """아직 도는지."""
        return self._process.is_alive()

    @property
    def pid(self) -> int:
        """프로세스의 번호."""
        return self._process.pid or 0

    def signal(self, number: int) -> None:
        """프로세스 하나에만 신호를 보낸다."""
        with suppress(ProcessLookupError):
            os.kill(self.pid, number)

    def kill(self) -> None:
        """띄운 자식까지 SIGKILL로 끝낸다."""
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, signal.SIGKILL)
        self._process.kill()
        self._process.join()

    def kill_within(self, seconds: float) -> bool:
        """그만큼 기다렸다가 죽인다. 그 앞에 끝났으면 거짓."""
        self._process.join(seconds)
        alive = self.alive
        self.kill()
        return alive

    def wait(self, timeout: float = TIMEOUT) -> int:
        """끝나기를 기다려 종료 코드를 준다. 신호로 죽었으면 음수다. 큰 시험은 그만큼 더 기다린다."""
        timeout *= max(SIZE, 1)
        self._process.join(timeout)
        if self.alive:
            self.kill()
            raise TimeoutError(f"{timeout:.0f}초 안에 끝나지 않았습니다: {self.said[-2000:]}")
        return self._process.exitcode or 0

    @property
    def said(self) -> str:
        """표준 출력과 오류에 쓴 것."""
        return self._said.read_text(encoding="utf-8", errors="replace")


def _run(
    command: str,
    arguments: list[str],
    cwd: str,
    output: str,
    limits: Mapping[str, int],
    setup: Callable[[], None] | None,
    environment: Mapping[str, str],
) -> None:
    os.setsid()
    handle = os.open(output, os.O_WRONLY | os.O_APPEND)
    os.dup2(handle, 1)
    os.dup2(handle, 2)
    # 갈래 친 프로세스의 스트림은 시험이 바꿔 둔 것일 수 있다.
    sys.stdout = open(1, "w", encoding="utf-8", closefd=False)  # noqa: SIM115
    sys.stderr = open(2, "w", encoding="utf-8", closefd=False)  # noqa: SIM115
    os.environ.update(environment)
    os.chdir(cwd)
    try:
        main = _main_of(command)
        if setup is not None:
            setup()
        for name, value in limits.items():
            # 불러온 라이브러리가 차지한 주소는 빌드마다 다르다(CUDA 빌드는 몇 배다). 거기에 더할 만큼으로 센다.
            limit = value + _mapped_bytes() if name == "RLIMIT_AS" else value
            resource.setrlimit(getattr(resource, name), (limit, limit))
        code = main(arguments)
    except SystemExit as stop:
        code = stop.code if isinstance(stop.code, int) else 2
    except BaseException:
        traceback.print_exc()
        code = 99
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def _mapped_bytes() -> int:
    return int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()


def _main_of(command: str) -> Any:
    if command in COMMANDS:
        return importlib.import_module(COMMANDS[command]).main
    sys.path.insert(0, str(ROOT / "scripts"))
    spec = importlib.util.spec_from_file_location(f"script_{command}", ROOT / "scripts" / f"{command}.py")
    module = importlib.util.module_from_spec(spec)  # type: ignore[arg-type]
    spec.loader.exec_module(module)  # type: ignore[union-attr]
    return module.main


def leftovers(folder: Path) -> list[str]:
    """쓰다 만 임시 파일과 작업 폴더들."""
    return sorted(
        str(path.relative_to(folder))
        for path in folder.rglob("*")
        if path.name.startswith(".realesrgan-") and path.name != ".realesrgan-job.json"
    )


# 메시지로 내보이면 안 되는 것들: 파이썬의 흔적과, 이름 없는 예외.
_TRACES = re.compile(r"Traceback|뜻밖의 오류|Error\(|<class '")


def assert_plain(text: str) -> None:
    """사람에게 보일 글인지: 흔적이 없고 한국어가 있다."""
    found = _TRACES.search(text)
    assert found is None, text[max(found.start() - 500, 0) : found.end() + 2500]
    assert not text.strip() or re.search("[가-힣]", text), text


def contents(folder: Path) -> dict[str, bytes]:
    """폴더의 파일마다의 내용. 숨은 것은 뺀다."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and not path.name.startswith(".")
    }


def wait_for(ready: Callable[[], bool], timeout: float = 60.0) -> None:
    """조건이 참이 되기를 기다린다."""
    deadline = time.monotonic() + timeout
    while not ready():
        assert time.monotonic() < deadline, "기다리던 일이 일어나지 않았습니다."
        time.sleep(0.005)
