"""서버와 일하는 프로세스를 아무 때나 SIGKILL로 죽여도 마친 것을 잃지 않고, 다시 띄우면 비트까지 같게 이어 한다.

횟수는 환경 변수 `REALESRGAN_ENDURANCE`(기본 1)에 비례한다.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest

from realesrgan.web.jobs import Job, JobQueue, read_job
from realesrgan.web.storage import Storage
from tests.conftest import ROOT
from tests.scripts.command import draw
from tests.web.test_jobs import PLAIN, wait_for

pytest.importorskip("av")

from tests.video.samples import make_video

pytestmark = [pytest.mark.slow, pytest.mark.skipif(sys.platform == "win32", reason="SIGKILL이 없다")]

SIZE = float(os.environ.get("REALESRGAN_ENDURANCE", "1"))
ROOM = 1 << 30


def times(count: int) -> int:
    return max(round(count * SIZE), 1)


def submit_both(queue: JobQueue, folder: Path, weights: Path) -> tuple[Job, Job]:
    """비디오 하나와 사진 여럿을 맡긴다."""
    film = make_video(folder / "비디오.mp4", times(360), gop=24)
    paths = [draw(folder / "in" / f"{index:03d}.png", 60, 80, seed=index) for index in range(times(40))]
    names = [path.name for path in paths]
    return (
        queue.submit("one", "video", PLAIN, [film], [film.name], weights),
        queue.submit("two", "picture", PLAIN, paths, names, weights),
    )


@pytest.fixture
def expected(tmp_path: Path, nearest_weights: Callable[[int], Path]) -> dict[str, bytes]:
    """한 번도 죽지 않은 결과들."""
    with running(JobQueue(Storage(tmp_path / "whole", ROOM, 3600), ["cpu"], None)) as queue:
        jobs = submit_both(queue, tmp_path, nearest_weights(2))
        wait_for(lambda: not any(job.active for job in jobs))
        assert [job.state for job in jobs] == ["done", "done"], [job.errors for job in jobs]
        return results_of(jobs)


@contextmanager
def running(queue: JobQueue) -> Iterator[JobQueue]:
    queue.start()
    try:
        yield queue
    finally:
        queue.stop()


def results_of(jobs: Any) -> dict[str, bytes]:
    """알린 결과들의 이름과 내용."""
    paths = [Path(one["output"]) for job in jobs for one in job.files]
    return {path.name: path.read_bytes() for path in paths}


def snapshot(folder: Path) -> int:
    """바뀌었는지만 알 수 있는 수."""
    found = 0
    # Path.rglob은 훑는 사이에 폴더가 사라지면 오류를 낸다.
    for root, _, names in os.walk(folder):
        for name in names if "out" in Path(root).relative_to(folder).parts else ():
            with suppress(OSError):
                found += 1 + Path(root, name).stat().st_size
    return found


def moved(storage: Storage, before: int, over: Callable[[], bool]) -> bool:
    """무언가 쓰였거나 다 끝났는지."""
    return snapshot(storage.folder) != before or over()


def stopped(job: Job) -> bool:
    return job.state != "running"


def leftovers(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob(".realesrgan-*"))


def recorded(storage: Storage) -> list[Job]:
    return [job for job in map(read_job, storage.records()) if job is not None]


def test_a_killed_server_loses_nothing_and_goes_on(
    tmp_path: Path, expected: dict[str, bytes], nearest_weights: Callable[[int], Path]
) -> None:
    pytest.importorskip("gradio")
    storage = Storage(tmp_path / "work", ROOM, 3600)
    with running(JobQueue(storage, [], None)) as queue:
        submit_both(queue, tmp_path, nearest_weights(2))
    choose = np.random.default_rng(1)
    workers: list[psutil.Process] = []

    def serve() -> subprocess.Popen[bytes]:
        code = "from realesrgan.cli.web import run; run()"
        options = ["--port", "0", "--work", str(storage.folder), "--device", "cpu"]
        return subprocess.Popen([sys.executable, "-c", code, *options], cwd=ROOT, stdout=subprocess.DEVNULL)

    def finished() -> bool:
        return all(job.state == "done" for job in recorded(storage))

    for turn in range(times(3)):
        process, before = serve(), snapshot(storage.folder)
        try:
            # 셋에 둘은 쓰기 시작한 뒤에, 나머지는 띄우는 동안 죽인다.
            if turn % 3 != 2:
                wait_for(partial(moved, storage, before, finished))
            time.sleep(choose.uniform(0, 0.5))
            workers += psutil.Process(process.pid).children(recursive=True)
        finally:
            process.kill()
            process.wait()
        found = results_of(recorded(storage))
        assert found.items() <= expected.items()
    process = serve()
    try:
        wait_for(finished)
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(60)
    jobs = recorded(storage)
    assert [job.errors for job in jobs] == [[], []]
    assert results_of(jobs) == expected
    assert not leftovers(storage.folder)
    # 죽은 서버의 일하는 프로세스는 스스로 끝났다.
    assert not psutil.wait_procs(workers, timeout=60)[1]
    small = Storage(storage.folder, 20_000, 3600)
    with running(JobQueue(small, [], None)) as queue:
        queue.sweep()
        assert small.size() <= small.max_bytes and not queue.owned_by("one")


def test_a_killed_worker_loses_nothing_and_its_job_is_resumed(
    tmp_path: Path, expected: dict[str, bytes], nearest_weights: Callable[[int], Path]
) -> None:
    storage, choose, killed = Storage(tmp_path / "work", ROOM, 3600), np.random.default_rng(2), 0
    with running(JobQueue(storage, ["cpu"], None)) as queue:
        jobs = submit_both(queue, tmp_path, nearest_weights(2))
        (worker,) = queue._workers.values()
        for _ in range(times(6)):
            before = snapshot(storage.folder)
            wait_for(partial(moved, storage, before, lambda: not any(job.active for job in jobs)))
            time.sleep(choose.uniform(0, 0.3))
            hit = [job for job in jobs if job.state == "running"]
            if worker.pid is None or not hit:
                continue
            os.kill(worker.pid, signal.SIGKILL)
            killed += 1
            wait_for(partial(stopped, hit[0]))
            assert results_of(jobs).items() <= expected.items()
            for job in jobs:
                if job.state == "failed":
                    assert job.errors[-1]["kind"] == "Crash"
                    queue.resume(job.id)
        wait_for(lambda: not any(job.active for job in jobs))
        assert killed and [(job.state, job.errors) for job in jobs] == [("done", [])] * 2
        assert results_of(jobs) == expected
    assert not leftovers(storage.folder)
