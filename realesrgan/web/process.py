"""일하는 프로세스를 띄우고, 일을 주고, 말을 듣고, 멈춘다."""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import realesrgan

logger = logging.getLogger(__name__)

# 멈추라고 한 뒤 스스로 치우기를 기다리는 시간(초). 지나면 죽인다.
GRACE_SECONDS = 15.0

CRASHED = (
    "작업을 하던 프로세스가 갑자기 끝났습니다.\n"
    "  이유: 메모리가 모자라 운영체제가 끝냈거나, 라이브러리가 멈추었습니다.\n"
    "  해결: 결과의 크기를 줄이거나 다른 프로그램을 닫고 다시 하세요."
)


class WorkerProcess:
    """프로세스 하나. 일이 있을 때 띄우고, 죽으면 다음 일에서 다시 띄운다."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[str] | None = None
        self._lock = threading.Lock()

    @property
    def pid(self) -> int | None:
        """떠 있는 프로세스의 번호."""
        process = self._process
        return None if process is None or process.poll() is not None else process.pid

    def run(self, task: Mapping[str, Any], hear: Callable[[dict[str, Any]], None]) -> str:
        """일 하나를 맡기고 끝날 때까지 말을 듣는다.

        Args:
            task: 일. `id`로 멈출 수 있다.
            hear: 진행과 결과를 받는 함수.

        Returns:
            `done`, `failed`, `cancelled`. 프로세스가 죽으면 `crashed`.
        """
        process = self._start()
        try:
            self._send(process, task)
            for line in process.stdout or ():
                message = json.loads(line)
                if message["event"] == "end" and message["id"] == task["id"]:
                    return str(message["state"])
                hear(message)
        except (OSError, ValueError) as error:
            logger.warning("일하는 프로세스와 말이 끊겼습니다: %s", error)
        self.stop()
        return "crashed"

    def cancel(self, task: str) -> None:
        """그 일을 멈추게 한다. 제때 멈추지 않으면 프로세스를 끝낸다."""
        process = self._process
        if process is None:
            return
        with suppress(OSError, ValueError):
            self._send(process, {"cancel": task})

    def _send(self, process: subprocess.Popen[str], message: Mapping[str, Any]) -> None:
        with self._lock:
            if process.stdin is not None:
                process.stdin.write(json.dumps(message) + "\n")
                process.stdin.flush()

    def kill(self) -> None:
        """프로세스를 곧바로 끝낸다."""
        process = self._process
        if process is not None:
            process.kill()

    def stop(self) -> None:
        """하던 일을 멈추고 프로세스를 끝낸다."""
        process, self._process = self._process, None
        if process is None:
            return
        with suppress(OSError, ValueError):
            if process.stdin is not None:
                process.stdin.close()
        try:
            process.wait(GRACE_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        if process.stdout is not None:
            process.stdout.close()

    def _start(self) -> subprocess.Popen[str]:
        if self._process is not None and self._process.poll() is None:
            return self._process
        self.stop()
        root = str(Path(realesrgan.__file__).resolve().parents[1])
        path = os.pathsep.join(filter(None, (root, os.environ.get("PYTHONPATH"))))
        # 터미널의 Ctrl-C는 서버만 받고, 서버가 차례로 멈춘다.
        apart: dict[str, Any] = {"start_new_session": True}
        if sys.platform == "win32":
            apart = {"creationflags": subprocess.CREATE_NEW_PROCESS_GROUP}
        self._process = subprocess.Popen(
            [sys.executable, "-m", "realesrgan.web.worker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            encoding="utf-8",
            env={**os.environ, "PYTHONPATH": path},
            **apart,
        )
        return self._process
