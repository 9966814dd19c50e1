"""일의 줄: 차례, 취소, 죽은 프로세스, 서버를 다시 띄운 뒤의 이어 하기."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import realesrgan
from realesrgan.errors import UsageError
from realesrgan.media.image import probe_image
from realesrgan.web.jobs import Job, JobQueue, in_turn
from realesrgan.web.process import GRACE_SECONDS
from realesrgan.web.storage import Storage
from realesrgan.web.worker import result_name
from tests.video.samples import make_video

PLAIN = {"precision": "fp32"}
FRAMES = 300
LONG = PLAIN | {"model": "realesr-animevideov3"}


def save_picture(path: Path, side: int = 24) -> Path:
    pixels = np.random.default_rng(0).integers(0, 256, (side, side, 3), np.uint8)
    Image.fromarray(pixels).save(path)
    return path


def wait_for(condition: Callable[[], object], seconds: float = 300) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "기다리던 일이 일어나지 않았다"
        time.sleep(0.02)


def wait_for_frames(job: Job) -> None:
    """프레임 몇 개를 마칠 때까지 기다린다. 그 전에 다 끝났으면 시험의 비디오가 짧은 것이다."""
    wait_for(lambda: job.progress.get("frames", 0) >= 2 or not job.active)
    assert job.active, (job.state, job.errors)


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """빠른 기계에서도 도중에 멈출 수 있는 길이의 비디오."""
    return make_video(tmp_path_factory.mktemp("film") / "film.mp4", FRAMES, size=(96, 54), gop=24)


@pytest.fixture
def storage(tmp_path: Path) -> Storage:
    return Storage(tmp_path / "work", 1 << 30, 3600)


@pytest.fixture(scope="module")
def queue(tmp_path_factory: pytest.TempPathFactory, shared_cache: Path) -> Iterator[JobQueue]:
    """일하는 프로세스를 시험끼리 나누어 쓰는 줄."""
    os.environ["REALESRGAN_HOME"] = str(shared_cache)
    made = JobQueue(Storage(tmp_path_factory.mktemp("work"), 1 << 30, 3600), ["cpu"], 200_000_000)
    made.start()
    yield made
    made.stop()


def job_of(owner: str, created: float) -> Job:
    return Job(f"{owner}{created}", owner, "picture", {}, [], created=created)


def test_people_take_turns_whatever_the_number_of_their_jobs() -> None:
    waiting = [job_of("many", 1), job_of("many", 2), job_of("many", 3), job_of("one", 4)]
    assert [job.owner for job in in_turn(waiting, {})] == ["many", "one", "many", "many"]
    assert [job.owner for job in in_turn(waiting, {"many": 10.0})] == ["one", "many", "many", "many"]


def test_a_result_equals_what_the_library_writes(
    queue: JobQueue, tmp_path: Path, nearest_weights: Callable[[int], Path]
) -> None:
    source, weights = save_picture(tmp_path / "한글 사진.png"), nearest_weights(2)
    job = queue.submit("me", "picture", PLAIN | {"blend": 0.5}, [source], ["한글 사진.png"], weights)
    wait_for(lambda: not job.active)
    assert (job.state, job.errors) == ("done", [])
    (made,) = job.files
    assert Path(made["output"]).name == "한글 사진_out.png"
    expected = tmp_path / "expected.png"
    model = realesrgan.load(weights, device="cpu", precision="fp32")
    settings = realesrgan.PictureSettings(steps=("blend=0.5",))
    realesrgan.upscale_file(source, expected, model=model, settings=settings)
    assert Path(made["output"]).read_bytes() == expected.read_bytes()


def test_a_bad_picture_fails_with_the_library_words_and_the_rest_goes_on(
    queue: JobQueue, tmp_path: Path, nearest_weights: Callable[[int], Path]
) -> None:
    bad = tmp_path / "bad.png"
    bad.write_bytes(b"\x89PNG\r\n\x1a\nhostile")
    paths = [bad, save_picture(tmp_path / "good.png")]
    job = queue.submit("me", "picture", PLAIN, paths, ["bad.png", "good.png"], nearest_weights(2))
    wait_for(lambda: not job.active)
    assert job.state == "failed"
    assert [error["kind"] for error in job.errors] == ["ImageReadError"]
    assert [one["input"] for one in job.files] == ["good.png"]


def test_a_hostile_weight_is_not_unpickled(queue: JobQueue, tmp_path: Path) -> None:
    import pickle

    class Hostile:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return os.mkdir, (str(tmp_path / "ran"),)

    weights = tmp_path / "bad.pth"
    weights.write_bytes(pickle.dumps(Hostile()))
    job = queue.submit("me", "picture", PLAIN, [save_picture(tmp_path / "a.png")], ["a.png"], weights)
    wait_for(lambda: not job.active)
    assert job.state == "failed" and job.errors[0]["kind"].startswith("Weights")
    assert not (tmp_path / "ran").exists()


def test_cancelling_stops_at_once_and_leaves_nothing_half_written(queue: JobQueue, tmp_path: Path) -> None:
    # 진짜 가중치로 오래 걸릴 크기다.
    source = save_picture(tmp_path / "large.png", 2000)
    job = queue.submit("me", "picture", LONG, [source], ["large.png"])
    wait_for(lambda: job.progress.get("fraction", 0) > 0 or job.progress.get("stage") == "pictures")
    second = queue.submit("you", "picture", LONG, [source], ["large.png"])
    assert (queue.place(job), queue.place(second)) == (0, 1)
    queue.cancel(second.id)
    assert second.state == "cancelled"
    queue.cancel(job.id)
    # 스스로 멈춘다. 제때 멈추지 않아 죽이는 것은 그 뒤다.
    wait_for(lambda: not job.active, GRACE_SECONDS - 1)
    assert job.state == "cancelled"
    out = queue.storage.job_folder(job.id) / "out"
    assert not [path for path in out.rglob("*") if path.is_file()]


def test_a_crash_of_a_job_ends_neither_the_server_nor_the_next_job(
    queue: JobQueue, tmp_path: Path, nearest_weights: Callable[[int], Path]
) -> None:
    source = save_picture(tmp_path / "a.png", 2000)
    job = queue.submit("me", "picture", LONG, [source], ["a.png"])
    wait_for(lambda: job.progress.get("stage") == "pictures")
    (worker,) = queue._workers.values()
    os.kill(worker.pid or 0, signal.SIGKILL)
    wait_for(lambda: not job.active)
    assert (job.state, job.errors[0]["kind"]) == ("failed", "Crash")
    assert not [path for path in (queue.storage.job_folder(job.id) / "out").rglob("*") if path.is_file()]
    after = queue.submit("me", "picture", PLAIN, [save_picture(tmp_path / "b.png")], ["b.png"], nearest_weights(2))
    wait_for(lambda: not after.active)
    assert after.state == "done"


def test_a_film_goes_on_where_a_killed_server_left_it(storage: Storage, film: Path) -> None:
    queue = JobQueue(storage, ["cpu"], None)
    queue.start()
    job = queue.submit("me", "video", LONG, [film], ["film.mp4"])
    wait_for_frames(job)
    queue.stop()
    assert job.state == "waiting"
    again = JobQueue(storage, ["cpu"], None)
    again.start()
    try:
        resumed = again.find(job.id)
        wait_for(lambda: resumed.progress.get("resumed", 0) > 0 or not resumed.active)
        wait_for(lambda: not resumed.active)
        assert (resumed.state, resumed.errors) == ("done", [])
        assert resumed.files[0]["frames"] == FRAMES
    finally:
        again.stop()


def test_the_same_files_are_done_again_from_the_beginning_and_the_first_job_stays(
    queue: JobQueue, film: Path, nearest_weights: Callable[[int], Path]
) -> None:
    job = queue.submit("me", "video", LONG, [film], ["film.mp4"])
    wait_for_frames(job)
    queue.cancel(job.id)
    wait_for(lambda: not job.active)
    again = queue.again(job.id, PLAIN | {"scale": 3.0}, nearest_weights(2))
    wait_for(lambda: not again.active)
    assert (again.owner, again.state, again.errors, again.files[0]["frames"]) == ("me", "done", [], FRAMES)
    before, after = (again.files[0][name] for name in ("input_size", "output_size"))
    assert list(after) == [3 * side for side in before]
    twin = queue.again(again.id)
    assert (twin.options, twin.weights, twin.inputs) == (again.options, again.weights, again.inputs)
    wait_for(lambda: not twin.active)
    outputs = [Path(one.files[0]["output"]).read_bytes() for one in (again, twin)]
    assert outputs[0] == outputs[1]
    assert job.state == "cancelled" and (queue.storage.job_folder(job.id) / "in" / "film.mp4").exists()
    for path in (queue.storage.job_folder(twin.id) / "in").iterdir():
        path.unlink()
    with pytest.raises(UsageError, match="지워졌습니다"):
        queue.again(twin.id)


def test_waiting_jobs_are_limited(storage: Storage, tmp_path: Path) -> None:
    queue = JobQueue(storage, [], None)
    queue.start()
    source = save_picture(tmp_path / "a.png")
    for _ in range(20):
        queue.submit("me", "picture", {}, [source], ["a.png"])
    with pytest.raises(UsageError, match="너무 많습니다"):
        queue.submit("me", "picture", {}, [source], ["a.png"])
    queue.submit("you", "picture", {}, [source], ["a.png"])
    queue.stop()


def test_deleting_a_job_removes_its_files(
    queue: JobQueue, tmp_path: Path, nearest_weights: Callable[[int], Path]
) -> None:
    job = queue.submit("me", "picture", PLAIN, [save_picture(tmp_path / "a.png")], ["a.png"], nearest_weights(2))
    wait_for(lambda: not job.active)
    folder = queue.storage.job_folder(job.id)
    assert folder.exists()
    queue.remove(job.id)
    assert not folder.exists() and job.id not in {record["id"] for record in queue.storage.records()}
    with pytest.raises(UsageError):
        queue.find(job.id)


def test_a_result_placed_before_its_worker_died_is_made_again_under_its_name(
    queue: JobQueue, tmp_path: Path, nearest_weights: Callable[[int], Path]
) -> None:
    """놓고 알리기 전에 죽으면, 이어 하는 작업자가 다른 이름으로 하나 더 만들지 않는다."""
    info = probe_image(save_picture(tmp_path / "a.png"))
    used: set[str] = set()
    names = [result_name(tmp_path / name, info, "png", used) for name in ("a.png", "A.webp", "a_webp.png", "a.jpg")]
    assert names == ["a_out.png", "A_webp_out.png", "a_webp_png_out.png", "a_jpg_out.png"]
    job = queue.submit("me", "picture", PLAIN, [tmp_path / "a.png"], ["a.png"], nearest_weights(2))
    wait_for(lambda: not job.active)
    out = Path(job.files[0]["output"]).parent
    job.files.clear()
    job.state = "failed"
    queue.resume(job.id)
    wait_for(lambda: not job.active)
    assert [Path(one["output"]).name for one in job.files] == ["a_out.png"]
    assert [path.name for path in out.iterdir()] == ["a_out.png"]
