"""일과 그 줄(queue). 장치마다 한 번에 하나씩 하고, 여러 사람의 일을 번갈아 한다."""

from __future__ import annotations

import logging
import secrets
import threading
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from functools import partial
from pathlib import Path
from typing import Any

from realesrgan.errors import UsageError
from realesrgan.web.options import Kind, read_options
from realesrgan.web.process import CRASHED, GRACE_SECONDS, WorkerProcess
from realesrgan.web.storage import Storage

logger = logging.getLogger(__name__)

MAX_WAITING = 100
MAX_WAITING_OF_ONE = 20
MAX_FILES = 1000
SWEEP_SECONDS = 60.0
# 어림과 첫 프레임은 이만큼까지만 기다린다(초).
SIDE_SECONDS = 180.0
ACTIVE = ("waiting", "running")


@dataclass
class Job:
    """맡은 일 하나. 서버가 다시 떠도 이어 하도록 그대로 기록된다.

    Attributes:
        id: 짐작할 수 없는 이름.
        owner: 맡긴 브라우저의 표.
        kind: 사진인지 비디오인지.
        options: 양식의 값.
        inputs: 입력의 보일 이름들. 파일은 일의 폴더의 `in/`에 있다.
        weights: 올린 가중치의 이름. 없으면 None.
        state: `waiting`, `running`, `done`, `failed`, `cancelled`.
        created, started, finished: 시각(1970년부터의 초).
        files: 끝난 결과들. 일하는 프로세스가 알린 그대로다.
        errors: 실패들의 `input`, `kind`, `message`.
        progress: 지금의 진행. 기록하지 않는다.
    """

    id: str
    owner: str
    kind: Kind
    options: dict[str, Any]
    inputs: list[str]
    weights: str | None = None
    state: str = "waiting"
    created: float = 0.0
    started: float | None = None
    finished: float | None = None
    files: list[dict[str, Any]] = field(default_factory=list)
    errors: list[dict[str, str]] = field(default_factory=list)
    progress: dict[str, Any] = field(default_factory=dict)

    @property
    def active(self) -> bool:
        """아직 끝나지 않았는지."""
        return self.state in ACTIVE

    def record(self) -> dict[str, Any]:
        """디스크에 적을 것."""
        return {name: value for name, value in asdict(self).items() if name != "progress"}


def read_job(record: Mapping[str, Any]) -> Job | None:
    """기록에서 일을 읽는다. 다른 버전의 것이라 칸이 다르면 None."""
    names = {item.name for item in fields(Job)} - {"progress"}
    return Job(**record) if set(record) == names else None


def in_turn(waiting: Sequence[Job], served: Mapping[str, float]) -> list[Job]:
    """할 차례대로 늘어놓는다. 가장 오래 차례가 없던 사람의 가장 먼저 맡긴 일이 먼저다.

    Args:
        waiting: 기다리는 일들, 맡긴 차례대로.
        served: 사람마다 마지막으로 일을 시작한 시각.
    """
    left, last, order = list(waiting), dict(served), []
    clock = max([0.0, *last.values()])
    while left:
        job = min(left, key=lambda one: (last.get(one.owner, 0.0), one.created))
        left.remove(job)
        order.append(job)
        clock += 1
        last[job.owner] = clock
    return order


class JobQueue:
    """일의 줄. 장치마다 스레드 하나와 프로세스 하나가 맡는다.

    Args:
        storage: 작업 폴더.
        devices: 쓸 장치들.
        max_output_pixels: 이미지의 결과의 한도.
    """

    def __init__(self, storage: Storage, devices: Sequence[str], max_output_pixels: int | None) -> None:
        self.storage = storage
        self._max_output_pixels = max_output_pixels
        self._devices = tuple(devices)
        self._condition = threading.Condition()
        self._jobs: dict[str, Job] = {}
        self._served: dict[str, float] = {}
        self._cancelling: set[str] = set()
        self._removing: set[str] = set()
        self._stopping = False
        self._workers = {device: WorkerProcess() for device in self._devices}
        self._where: dict[str, WorkerProcess] = {}
        self._side, self._side_lock = WorkerProcess(), threading.Lock()
        self._threads: list[threading.Thread] = []

    def start(self) -> None:
        """남은 기록을 읽고 일을 시작한다. 하다 만 일은 다시 줄을 서서 이어 한다."""
        self.storage.prepare()
        for record in self.storage.records():
            job = read_job(record)
            if job is not None:
                if job.active:
                    job.state, job.started = "waiting", None
                self._jobs[job.id] = job
        for device in self._devices:
            self._threads.append(threading.Thread(target=self._work, args=(device,), daemon=True))
        self._threads.append(threading.Thread(target=self._sweep, daemon=True))
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """하던 일을 멈추고 끝낸다. 하던 일은 다음에 이어 하도록 남긴다."""
        with self._condition:
            self._stopping = True
            self._condition.notify_all()
        for worker in (*self._workers.values(), self._side):
            worker.stop()
        for thread in self._threads:
            thread.join(GRACE_SECONDS)

    def submit(
        self,
        owner: str,
        kind: Kind,
        options: Mapping[str, Any],
        paths: Sequence[Path],
        names: Sequence[str],
        weights: Path | None = None,
    ) -> Job:
        """일을 맡는다.

        Args:
            owner: 맡긴 브라우저의 표.
            kind: 사진인지 비디오인지.
            options: 양식의 값.
            paths: 확인된 입력 파일들.
            names: 입력의 보일 이름들.
            weights: 확인된 가중치 파일.

        Raises:
            UsageError: 값이 잘못되었거나, 맡을 자리가 없을 때.
        """
        read_options(options, kind)
        if not paths:
            raise UsageError("키울 파일이 없습니다.\n  해결: 파일을 올리세요.")
        if len(paths) > (MAX_FILES if kind == "picture" else 1):
            raise UsageError(
                f"한 번에 맡길 수 있는 것보다 많습니다: {len(paths)}개\n"
                f"  해결: 사진은 {MAX_FILES}장씩, 비디오는 한 편씩 나누어 맡기세요."
            )
        self.storage.check_room()
        job = Job(secrets.token_hex(16), owner, kind, dict(options), [], created=time.time())
        with self._condition:
            self._check_waiting(owner)
        job.inputs = [name for _, name in self.storage.take(job.id, paths, names)]
        if weights is not None:
            name = f"weights-{weights.name.removeprefix('weights-')}"
            ((_, job.weights),) = self.storage.take(job.id, [weights], [name])
        self.storage.save_record(job.id, job.record())
        with self._condition:
            self._jobs[job.id] = job
            self._condition.notify_all()
        return job

    def _check_waiting(self, owner: str) -> None:
        waiting = [job for job in self._jobs.values() if job.active]
        if len(waiting) >= MAX_WAITING or sum(job.owner == owner for job in waiting) >= MAX_WAITING_OF_ONE:
            raise UsageError("기다리는 작업이 너무 많습니다.\n  해결: 앞의 작업이 끝난 뒤에 다시 하세요.")

    def find(self, job: str) -> Job:
        """일을 찾는다.

        Raises:
            UsageError: 없거나 지워졌을 때.
        """
        with self._condition:
            if job not in self._jobs:
                raise UsageError("그런 작업이 없습니다. 지워졌거나 이름이 틀렸습니다.\n  해결: 작업을 다시 시작하세요.")
            return self._jobs[job]

    def owned_by(self, owner: str) -> list[Job]:
        """그 브라우저가 맡긴 일들, 새것부터."""
        with self._condition:
            return sorted((job for job in self._jobs.values() if job.owner == owner), key=lambda job: -job.created)

    def place(self, job: Job) -> int:
        """앞에 남은 일의 수. 하는 중이거나 끝났으면 0."""
        with self._condition:
            if job.state != "waiting":
                return 0
            order = self._in_turn()
            running = sum(one.state == "running" for one in self._jobs.values())
            return order.index(job) + running

    def _in_turn(self) -> list[Job]:
        waiting = sorted((job for job in self._jobs.values() if job.state == "waiting"), key=lambda job: job.created)
        return in_turn(waiting, self._served)

    def cancel(self, name: str) -> Job:
        """일을 멈춘다. 하던 파일은 남지 않고, 마친 것은 남는다. 멈추면 돌아오지 않고 곧 상태가 바뀐다."""
        job = self.find(name)
        with self._condition:
            if job.state == "waiting":
                self._finish(job, "cancelled")
            elif job.state == "running" and name not in self._cancelling:
                self._cancelling.add(name)
                worker = self._where[name]
                worker.cancel(name)
                # 네트워크의 한 층이 아주 길거나 멈춘 라이브러리는 스스로 그치지 못한다.
                timer = threading.Timer(GRACE_SECONDS, self._kill, (name, worker))
                timer.daemon = True
                timer.start()
        return job

    def _kill(self, name: str, worker: WorkerProcess) -> None:
        with self._condition:
            late = self._where.get(name) is worker and name in self._cancelling
        if late:
            logger.warning("제때 멈추지 않은 작업의 프로세스를 끝냅니다.")
            worker.kill()

    def resume(self, name: str) -> Job:
        """멈추었거나 실패한 일을 다시 줄에 세운다. 비디오는 마친 조각에서, 사진은 마친 파일 다음부터 이어 한다.

        Raises:
            UsageError: 없거나, 다 된 일일 때.
        """
        job = self.find(name)
        with self._condition:
            if job.state not in ("cancelled", "failed"):
                raise UsageError("이어 할 것이 없습니다.\n  해결: 멈추었거나 실패한 작업만 이어 할 수 있습니다.")
            self._check_waiting(job.owner)
            job.state, job.errors, job.started, job.finished = "waiting", [], None, None
            self.storage.save_record(job.id, job.record())
            self._condition.notify_all()
        return job

    def again(self, name: str, options: Mapping[str, Any] | None = None, weights: Path | None = None) -> Job:
        """앞의 일의 파일을 처음부터 하는 새 일을 맡는다. 앞의 일과 그 결과는 그대로 둔다.

        Args:
            name: 앞의 일.
            options: 양식의 값. 없으면 앞의 일의 값과 가중치다.
            weights: 확인된 가중치 파일. `options`가 있을 때만 쓰인다.

        Raises:
            UsageError: 앞의 일이나 그 파일이 없거나, 값이 잘못되었거나, 맡을 자리가 없을 때.
        """
        job = self.find(name)
        folder = self.storage.job_folder(name) / "in"
        paths = [folder / one for one in job.inputs]
        if options is None:
            options, weights = job.options, None if job.weights is None else folder / job.weights
        if not all(path.is_file() for path in (*paths, *([] if weights is None else [weights]))):
            raise UsageError("그 작업의 파일이 지워졌습니다.\n  해결: 파일을 다시 올리세요.")
        return self.submit(job.owner, job.kind, options, paths, job.inputs, weights)

    def remove(self, name: str) -> None:
        """일과 그 파일을 지운다. 하는 중이면 멈춘 뒤에 지운다."""
        job = self.find(name)
        self.cancel(name)
        with self._condition:
            if job.state == "running":
                self._removing.add(name)
                return
            del self._jobs[name]
        self.storage.remove(name)

    def estimate(
        self,
        kind: Kind,
        options: Mapping[str, Any],
        paths: Sequence[Path],
        names: Sequence[str],
        weights: Path | None = None,
    ) -> dict[str, Any]:
        """시간과 메모리를 어림한다. 비디오는 첫 프레임만 키운다. 인자는 `submit`과 같다.

        곁의 프로세스에서 하므로 앞에 긴 일이 있어도 기다리지 않는다.

        Returns:
            일하는 프로세스가 알린 것.

        Raises:
            UsageError: 할 수 없을 때. 이유를 담는다.
        """
        read_options(options, kind)
        name = secrets.token_hex(16)
        task = {
            "task": "estimate" if kind == "picture" else "preview",
            "id": name,
            "options": dict(options),
            "inputs": [{"path": str(path), "name": one} for path, one in zip(paths, names, strict=True)],
            "weights": None if weights is None else str(weights),
            "view": str(self.storage.files / f"view-{name}"),
            "device": self._devices[0],
        }
        heard: list[dict[str, Any]] = []
        with self._side_lock:
            timer = threading.Timer(SIDE_SECONDS, self._side.kill)
            timer.start()
            try:
                state = self._side.run(task, heard.append)
            finally:
                timer.cancel()
        errors = [one["message"] for one in heard if one["event"] == "error"]
        found = [one for one in heard if one["event"] == "estimate"]
        if errors or not found:
            raise UsageError(errors[0] if errors else CRASHED if state == "crashed" else "어림하지 못했습니다.")
        return found[-1]

    def _work(self, device: str) -> None:
        """장치 하나의 일을 차례로 한다."""
        while True:
            with self._condition:
                order = self._in_turn()
                while not order and not self._stopping:
                    self._condition.wait()
                    order = self._in_turn()
                if self._stopping:
                    return
                job = order[0]
                job.state, job.started, job.progress = "running", time.time(), {}
                self._served[job.owner] = job.started
                self._where[job.id] = self._workers[device]
            try:
                state = self._workers[device].run(self._task(job, device), partial(self._hear, job))
            except Exception as error:
                logger.exception("작업을 시작하지 못했습니다.")
                job.errors.append({"input": "", "kind": type(error).__name__, "message": str(error)})
                state = "failed"
            with self._condition:
                self._settle(job, state)

    def _task(self, job: Job, device: str) -> dict[str, Any]:
        folder = self.storage.job_folder(job.id)
        made = {one["input"] for one in job.files}
        return {
            "task": job.kind,
            "id": job.id,
            "options": job.options,
            "inputs": [{"path": str(folder / "in" / name), "name": name, "done": name in made} for name in job.inputs],
            "weights": None if job.weights is None else str(folder / "in" / job.weights),
            "out": str(folder / "out"),
            "view": str(folder / "view"),
            "device": device,
            "max_output_pixels": self._max_output_pixels,
        }

    def _hear(self, job: Job, event: dict[str, Any]) -> None:
        """일하는 프로세스의 말을 일에 적는다."""
        kind = event.pop("event")
        with self._condition:
            if kind == "progress":
                job.progress = job.progress | event
                return
            if kind == "file":
                job.files.append(event)
            elif kind == "error":
                job.errors.append(event)
            self.storage.save_record(job.id, job.record())

    def _settle(self, job: Job, state: str) -> None:
        """끝난 일의 상태를 정한다."""
        wished = job.id in self._cancelling
        self._cancelling.discard(job.id)
        self._where.pop(job.id, None)
        if state != "done":
            self.storage.tidy(job.id)
        if self._stopping and state in ("cancelled", "crashed"):
            # 서버가 멈추는 것이지 일을 그만두는 것이 아니다. 다음에 이어 한다.
            job.state = "waiting"
            self.storage.save_record(job.id, job.record())
            return
        if state == "crashed" and not wished:
            job.errors.append({"input": "", "kind": "Crash", "message": CRASHED})
        state = "cancelled" if wished and state != "done" else "failed" if state == "crashed" else state
        self._finish(job, state)
        if job.id in self._removing:
            self._removing.discard(job.id)
            del self._jobs[job.id]
            self.storage.remove(job.id)

    def _finish(self, job: Job, state: str) -> None:
        job.state, job.finished, job.progress = state, time.time(), {}
        self.storage.save_record(job.id, job.record())

    def _sweep(self) -> None:
        """오래된 것을 이따금 치운다."""
        while True:
            self.sweep()
            with self._condition:
                if self._stopping or self._condition.wait_for(lambda: self._stopping, SWEEP_SECONDS):
                    return

    def sweep(self) -> None:
        """오래된 것과 한도를 넘은 것을 지운다."""
        with self._condition:
            jobs: Iterable[Job] = list(self._jobs.values())
        ended = sorted(((job.id, job.finished or 0.0) for job in jobs if not job.active), key=lambda one: one[1])
        for name in self.storage.sweep(ended, [job.id for job in jobs]):
            with self._condition:
                self._jobs.pop(name, None)
