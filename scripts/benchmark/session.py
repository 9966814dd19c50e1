"""작업자 프로세스를 띄우고 말을 주고받는다."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from realesrgan.errors import BenchmarkError
from realesrgan.util.plugins import ENVIRONMENT as PLUGINS
from realesrgan.util.plugins import loaded_files

ROOT = Path(__file__).resolve().parents[2]
PEER_SCRIPT = Path(__file__).with_name("peer_worker.py")
_TAIL = 1500


@dataclass(frozen=True)
class Sample:
    """한 번 키운 기록.

    Attributes:
        seconds: 걸린 시간(초).
        peak: 그 프로세스가 그때까지 가장 많이 쓴 메모리(바이트). 알 수 없으면 None.
    """

    seconds: float
    peak: int | None


class Session:
    """작업자 하나. `with`로 쓰면 나갈 때 끝난다.

    Args:
        name: 표에 적을 이름.
        job: 작업자에게 줄 작업.
        python: 다른 인터프리터. 없으면 이 인터프리터에서 이 패키지를 잰다.
        threads: 작업자가 쓸 스레드 수. 없으면 저마다 정한다.

    Raises:
        BenchmarkError: 띄우지 못했거나 준비에 실패했을 때.
    """

    def __init__(self, name: str, job: Mapping[str, Any], *, python: str | None = None, threads: int | None = None):
        self.name = name
        self._errors: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115  close에서 닫는다
        # -I는 남의 인터프리터가 이 폴더의 realesrgan을 제 것으로 잘못 불러오지 않게 한다.
        command = [python, "-I", str(PEER_SCRIPT)] if python else [sys.executable, "-m", "benchmark.worker"]
        environment = dict(os.environ) | (
            {} if python else {"PYTHONPATH": os.pathsep.join((str(ROOT), str(ROOT / "scripts")))}
        )
        if not python:
            environment |= {PLUGINS: os.pathsep.join(map(str, loaded_files()))}
        if threads is not None:
            environment |= {"OMP_NUM_THREADS": str(threads), "MKL_NUM_THREADS": str(threads)}
        try:
            self._process = subprocess.Popen(  # noqa: S603  인자 목록이며 셸을 거치지 않는다
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._errors, env=environment, text=True
            )
        except OSError as error:
            self._errors.close()
            raise BenchmarkError(
                f"인터프리터를 띄우지 못했습니다: {command[0]}\n  {error.strerror or error}\n"
                "  해결: --peer의 경로를 고치세요."
            ) from error
        try:
            # 견줄 패키지는 제 버전을 알려 온다. 표에는 짐작한 것이 아니라 실제의 버전을 적는다.
            version = self._ask(job).get("version")
        except BaseException:
            self.close()
            raise
        self.name = name if version is None else f"{name} {version}"

    def run(self, save: Path | None = None) -> Sample:
        """한 번 키운다.

        Args:
            save: 결과를 적을 `.npy`. 시간에는 들지 않는다.

        Raises:
            BenchmarkError: 작업자가 실패했을 때.
        """
        answer = self._ask({} if save is None else {"save": str(save)})
        return Sample(float(answer["seconds"]), answer["peak"])

    def _ask(self, content: Mapping[str, Any]) -> dict[str, Any]:
        stdin, stdout = self._process.stdin, self._process.stdout
        if stdin is None or stdout is None:
            raise AssertionError("작업자의 표준 입출력을 열지 않았습니다.")
        try:
            stdin.write(json.dumps(content) + "\n")
            stdin.flush()
            line = stdout.readline()
        except OSError:
            line = ""
        answer: dict[str, Any] = json.loads(line) if line.strip() else {"error": "작업자가 갑자기 끝났습니다"}
        if "error" in answer:
            self._process.wait()
            self._errors.seek(0)
            tail = self._errors.read()[-_TAIL:].decode(errors="replace").strip()
            raise BenchmarkError(f"재지 못했습니다: {self.name}\n  {answer['error']}\n{tail}")
        return answer

    def close(self) -> None:
        """작업자를 끝낸다."""
        for stream in (self._process.stdin, self._process.stdout):
            if stream is not None:
                try:
                    stream.close()
                except OSError:
                    continue  # 먼저 죽은 작업자의 파이프다.
        try:
            self._process.wait(timeout=5)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._errors.close()

    def __enter__(self) -> Session:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
