"""오래, 많이: 메모리가 늘지 않고, 하나가 나빠도 나머지를 다 하고, 여러 스레드가 한 모델을 쓴다."""

from __future__ import annotations

import gc
import json
import random
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import psutil
import pytest

from realesrgan.inference.model import load
from realesrgan.inference.picture import upscale_file
from realesrgan.media.image import still, write_image
from tests.conftest import small_rrdbnet
from tests.endurance.processes import Task, assert_plain, leftovers, times
from tests.scripts.command import draw

pytest.importorskip("av")

from realesrgan.video.settings import VideoSettings
from realesrgan.video.upscale import upscale_video
from tests.video.samples import make_video

# 이만큼(바이트)보다 늘면 새는 것으로 본다. 할당기의 조각남과 캐시가 드는 만큼은 둔다.
ALLOWED = 60 << 20


def resident() -> int:
    gc.collect()
    return psutil.Process().memory_info().rss


def growth(sizes: list[int], record: Callable[[str, object], None]) -> int:
    """자리 잡은 다음의 앞 절반에서 뒤 절반까지 늘어난 메모리(바이트). 잰 값은 `--junitxml`의 파일에 남는다."""
    half = max(len(sizes) // 2, 1)
    grown = max(sizes[half:], default=sizes[-1]) - max(sizes[:half])
    record("최대 상주 메모리(MB)", round(max(sizes) / 1e6))
    record("뒤 절반에 늘어난 메모리(MB)", round(grown / 1e6, 1))
    return grown


def test_a_thousand_pictures_with_one_in_a_hundred_bad(tmp_path, start, picture_model):
    count = times(1000)
    folder = tmp_path / "in"
    good = [draw(tmp_path / "good" / f"{kind}.png", 16 + kind, 24, seed=kind).read_bytes() for kind in range(7)]
    folder.mkdir()
    bad = set(range(50, count, 100))
    for index in range(count):
        data = good[index % len(good)]
        (folder / f"{index:05d}.png").write_bytes(data[: len(data) // 2] if index in bad else data)
    task = start("image", "-i", "in", "-o", "out", "--report", "r.json", *picture_model)
    assert task.wait(900) == 1
    assert_plain(task.said)
    rows = json.loads((tmp_path / "r.json").read_text(encoding="utf-8"))
    assert rows["counts"]["done"] == count - len(bad) and rows["counts"]["failed"] == len(bad)
    failed = {int(Path(row["input"]).stem) for row in rows["files"] if row["status"] == "failed"}
    assert failed == bad
    assert len(list((tmp_path / "out").iterdir())) == count - len(bad) and not leftovers(tmp_path)


@pytest.mark.parametrize("backend", ["torch", "ncnn"])
def test_eight_threads_share_one_model(tmp_path, save_network, backend):
    if backend == "ncnn":
        pytest.importorskip("ncnn")
    model = load(save_network(small_rrdbnet(2)), device="cpu", precision="fp32", backend=backend, tile=48)
    choose = np.random.default_rng(0)
    sizes = [(40 + 8 * index, 100 - 7 * index) for index in range(8)]
    pictures = [choose.integers(0, 255, (*size, 3), np.uint8) for size in sizes]
    expected = [model.upscale(picture) for picture in pictures]
    gate = threading.Barrier(8)

    def work(index: int) -> None:
        gate.wait()
        for turn in range(times(4)):
            which = (index + turn) % 8
            assert np.array_equal(model.upscale(pictures[which]), expected[which]), (index, turn)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(work, range(8)))


def test_memory_is_flat_over_the_frames_of_a_video(tmp_path, nearest_weights, record_property):
    """앞의 4분의 1이 지난 다음부터 끝까지 늘지 않는다."""
    frames = times(2000)
    source = make_video(tmp_path / "a.mp4", frames, (96, 64), gop=48)
    seen: list[tuple[int, int]] = []

    def watch(now) -> None:
        if not seen or now.frames - seen[-1][0] >= 50:
            seen.append((now.frames, resident()))

    model = load(nearest_weights(2), device="cpu", precision="fp32")
    result = upscale_video(
        source, tmp_path / "b.mp4", model=model, settings=VideoSettings(preset="ultrafast"), progress=watch
    )
    assert result.frames == frames
    settled = [size for count, size in seen if count >= frames // 4]
    assert growth(settled, record_property) < ALLOWED


def test_memory_is_flat_over_pictures_of_mixed_sizes(tmp_path, nearest_weights, record_property):
    model = load(nearest_weights(2), device="cpu", precision="fp32")
    choose, count = random.Random(0), times(500)
    noise = np.random.default_rng(0).integers(0, 255, (400, 400, 4), np.uint8)
    sizes = []
    for index in range(count):
        height, width, channels = choose.randint(1, 400), choose.randint(1, 400), choose.choice((3, 4))
        path = tmp_path / f"a{choose.choice(('.png', '.webp', '.tif'))}"
        write_image(path, still(noise[:height, :width, :channels]))
        upscale_file(path, tmp_path / "b.png", model=model)
        if index % 10 == 0:
            sizes.append(resident())
    settled = sizes[len(sizes) // 4 :]
    assert growth(settled, record_property) < ALLOWED


def test_a_day_of_tiny_frames(tmp_path, start, picture_model, record_property):
    """하루치 비디오를 흉내 낸다(크기 10에서 100,000프레임). 조각이 수백 개여도 이어지고 시각이 어긋나지 않는다."""
    import av

    frames = times(10_000)
    source = make_video(tmp_path / "a.mp4", frames, (16, 16), gop=60, audio=False)
    task: Task = start(
        "video", "-i", source, "-o", "b.mkv", "--preset", "ultrafast", "--report", "r.json", *picture_model
    )
    process, seen = psutil.Process(task.pid), []
    while task.alive:
        try:
            seen.append(process.memory_info().rss)
        except psutil.Error:
            break
        threading.Event().wait(0.2)
    assert task.wait() == 0, task.said[-2000:]
    row = json.loads((tmp_path / "r.json").read_text(encoding="utf-8"))["files"][0]
    assert row["frames"] == frames
    with av.open(str(tmp_path / "b.mkv")) as container:
        moments = sorted(packet.pts * packet.time_base for packet in container.demux(video=0) if packet.pts is not None)
    assert len(moments) == frames
    assert all(abs(float(moment) - index / 24) < 0.001 for index, moment in enumerate(moments))
    assert growth(seen[len(seen) // 3 :], record_property) < ALLOWED
    assert not leftovers(tmp_path)
