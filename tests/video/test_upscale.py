"""비디오 한 편을 키우는 일. 네트워크는 최근접 확대다."""

from __future__ import annotations

import io
from contextlib import closing
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import torch

pytest.importorskip("av")

import av

from realesrgan.errors import UsageError, VideoDamagedError, VideoFormatError
from realesrgan.inference.model import Model, load
from realesrgan.inference.picture import PictureSettings
from realesrgan.media.video import VideoReader
from realesrgan.media.video.types import EncodeRequest, Hole, PacketIndex, PixelLayout, VideoFrame, VideoInfo
from realesrgan.util.files import hidden_beside
from realesrgan.util.numbers import scaled_size
from realesrgan.video import frame_store, workspace
from realesrgan.video.frame_store import FrameStore, stored_frames
from realesrgan.video.pipeline import SegmentFrame, SegmentSink, run_stages, segment_frames
from realesrgan.video.plan import Span, fingerprint, plan_spans, plan_video, pts_range, sampled_hash
from realesrgan.video.settings import VideoProgress, VideoSettings, find_source, find_target
from realesrgan.video.timing import Timing
from realesrgan.video.upscale import VideoTask, open_writer, upscale_video
from realesrgan.video.workers import FrameWorker, WorkerPlan, make_workers
from realesrgan.video.workspace import Workspace
from tests.media.video.samples import click_wave, ffmpeg, heard_clicks, weave_video
from tests.video.samples import hashes, make_video, pixels

GRAY = PixelLayout("gray", "gray", 8)


class FakeReader:
    """시각만 있는 비디오. 어디서부터 읽었는지 적어 둔다."""

    def __init__(self, pts: list[int], values: list[int] | None = None, breaks_after: int | None = None) -> None:
        self.pts, self.values, self.breaks_after = pts, values or list(range(len(pts))), breaks_after
        self.starts: list[int | None] = []

    def frames(self, start: int | None = None, end: int | None = None):
        self.starts.append(start)
        for pts, value in zip(self.pts, self.values, strict=True):
            if (start is None or pts >= start) and (end is None or pts < end):
                if self.breaks_after is not None and pts > self.breaks_after:
                    raise VideoDamagedError("깨졌습니다")
                yield VideoFrame((np.full((2, 2), value % 256, np.uint8),), pts, 1)


def gather(reader: FakeReader, spans: list[Span], numbers: list[int]) -> tuple[list[SegmentFrame], list[str]]:
    left, problems = list(numbers), []
    return list(segment_frames(reader, spans, lambda: left.pop(0) if left else None, problems)), problems


SPANS = [Span(None, 10), Span(10, 20), Span(20, 30), Span(30, None)]


@pytest.mark.parametrize(
    ("numbers", "starts"), [([0, 1, 2, 3], [None]), ([0, 2, 3], [None, 20]), ([3], [30]), ([1, 3], [10, 30]), ([], [])]
)
def test_claimed_segments_come_whole_and_neighbours_are_read_without_seeking(numbers, starts):
    reader = FakeReader(list(range(0, 40, 2)))
    found, _ = gather(reader, SPANS, numbers)
    expected: list[tuple[int, int | None]] = []
    for number in numbers:
        expected += [(number, pts) for pts in range(number * 10, number * 10 + 10, 2)] + [(number, None)]
    assert [(item.segment, item.frame and item.frame.pts) for item in found] == expected
    assert reader.starts == starts


def test_a_segment_with_no_frames_is_still_finished():
    found, _ = gather(FakeReader([0, 5, 31, 32]), SPANS, [0, 1, 2, 3])
    assert [item.segment for item in found if item.frame is None] == [0, 1, 2, 3]
    assert [item.frame.pts for item in found if item.frame is not None] == [0, 5, 31, 32]


def test_damage_ends_the_frames_without_marking_the_segment_finished():
    found, problems = gather(FakeReader(list(range(40)), breaks_after=24), SPANS, [0, 1, 2, 3])
    assert [item.segment for item in found if item.frame is None] == [0, 1]
    assert found[-1].frame.pts == 24 and problems == ["깨졌습니다"]


def test_a_lost_frame_repeats_the_one_before_and_a_segment_never_begins_with_it():
    reader = FakeReader(list(range(40)))
    holes = {8: Hole(7, 12, 4, "앞"), 25: Hole(24, 26, 1, "뒤")}
    whole = list(reader.frames())
    lost = {8, 9, 10, 11, 25}
    whole = [VideoFrame((), f.pts, hole=holes.get(f.pts)) if f.pts in lost else f for f in whole]
    reader.frames = lambda start=None, end=None: (f for f in whole if start is None or f.pts >= start)
    for numbers in ([0, 1, 2, 3], [0, 1], [2, 3]):
        found, _ = gather(reader, SPANS, numbers)
        kept = [item for item in found if item.frame is not None]
        wanted = [pts for pts in range(40) if pts // 10 in numbers and pts not in (10, 11)]
        assert [item.frame.pts for item in kept] == wanted
        assert all(item.repeats == (item.frame.pts in lost) for item in kept)
        told = [hole for item in found for hole in item.holes]
        assert told == [hole for pts, hole in holes.items() if pts // 10 in numbers]


def test_only_exactly_equal_neighbours_in_a_segment_repeat():
    reader = FakeReader(list(range(6)), [5, 5, 6, 6, 6, 5])
    found, _ = gather(reader, [Span(None, 3), Span(3, None)], [0, 1])
    # 조각의 첫 프레임은 앞 조각과 같아도 다시 계산한다. 조각마다 따로 해도 같은 결과가 나오게 하기 위해서다.
    assert [item.repeats for item in found if item.frame] == [False, True, False, False, True, False]


def _info(**changes) -> VideoInfo:
    values = {"name": "영화", "width": 32, "height": 24, "rotation": 0, "layout": GRAY, "colour": None}
    values |= {"time_base": Fraction(1, 30000), "rate": Fraction(30)} | changes
    return VideoInfo(**values)


def test_a_part_is_measured_from_the_first_frame():
    index = PacketIndex(tuple(range(500, 90500, 1000)), (500,))
    assert pts_range(replace(_info(), start=500), index, Fraction(1), Fraction(2)) == (30500, 60500)
    assert pts_range(_info(), index, None, None) == (None, None)
    assert pts_range(_info(), index, Fraction(0), None) == (None, None)


@pytest.mark.parametrize(("start", "end"), [(Fraction(60), None), (None, Fraction(0)), (Fraction(2), Fraction(1))])
def test_a_part_without_frames_is_refused(start, end):
    with pytest.raises(UsageError, match="--start"):
        pts_range(_info(), PacketIndex((0, 1000, 2000), (0,)), start, end)


def test_times_between_ticks_go_to_the_nearest():
    timing = Timing(Fraction(1, 3), Fraction(1, 10))
    assert timing.ticks(VideoFrame((), 1, 0), 0) == (3, 0)


def test_the_output_size_follows_the_rotation():
    assert scaled_size(*_info(rotation=90).display_size, 2) == (48, 64)
    assert scaled_size(*_info().display_size, 1.5) == (48, 36)


class Upscaling:
    """비디오 한 편을 명령 없이 키운다. 조각을 골라 할 수 있다."""

    def __init__(
        self, weights: Path, source: Path, target: Path, request: EncodeRequest | None = None, **settings
    ) -> None:
        request = request or EncodeRequest(crf=0, pix_fmt="yuv444p")
        asked = {name: getattr(request, name) for name in ("codec", "crf", "preset", "pix_fmt")}
        settings = {"outscale": 2, "encoder_options": request.options, "overwrite": True} | settings
        self.settings = VideoSettings(**asked, **settings)
        self.models = (load(weights, device="cpu"),)
        self.work = Workspace(hidden_beside(target))
        self.task = VideoTask(
            find_source(source), find_target(target), self.models, self.settings, None, None, self.work
        )
        self.target = target

    def run(self, numbers: list[int] | None = None, *, resume: bool = False, join: bool = True):
        task, settings, work = self.task, self.settings, self.work
        with closing(task.source.open()) as reader:
            plan = plan_video(task.source, task.target, settings, reader, settings.outscale)
            marks = fingerprint(plan, settings, {}, settings.outscale)
            found = work.prepare(self.target, marks, plan.spans, resume=resume, overwrite=not resume)
            left = [index for index in range(len(plan.spans)) if index not in found]
            left = left if numbers is None else numbers
            sink = SegmentSink(work, open_writer(plan, task.target), plan.timing)
            workers = make_workers(self.models, WorkerPlan(2, 1, 1, 0), plan, settings)
            done = run_stages(reader, plan.spans, workers, sink, lambda: left.pop(0) if left else None)
        if join:
            records = work.verified()
            task.join(plan, work, records, done.partial, whole=done.damage is None)
        return plan, done


@pytest.fixture
def video(tmp_path, nearest_weights, monkeypatch):
    monkeypatch.setattr(plan_spans, "__kwdefaults__", {"shortest": 10, "longest": 40})
    source = make_video(tmp_path / "영화 1.mp4", 50)
    weights = nearest_weights(2)
    return lambda target="out.mp4", **options: Upscaling(weights, source, tmp_path / target, **options)


def test_every_frame_is_enlarged_in_its_place(video, tmp_path):
    plan, done = video().run()
    before, after = pixels(tmp_path / "영화 1.mp4"), pixels(tmp_path / "out.mp4")
    assert len(plan.spans) > 2 and done.frames == len(before) == len(after) == 50
    for small, large in zip(before, after, strict=True):
        expected = small.repeat(2, axis=0).repeat(2, axis=1)
        assert np.abs(large.astype(int) - expected).max() <= 3
    times = [[time for time, _ in hashes(tmp_path / name)] for name in ("영화 1.mp4", "out.mp4")]
    np.testing.assert_allclose(times[0], times[1], atol=1e-9)


def test_finishing_what_was_left_gives_the_same_frames_as_doing_it_at_once(video, tmp_path):
    video(target="whole.mp4").run()
    part = video(target="part.mp4")
    part.run([1, 3], join=False)
    _, done = part.run(resume=True)
    assert done.frames < 50
    assert hashes(tmp_path / "part.mp4") == hashes(tmp_path / "whole.mp4")


def test_repeated_frames_are_not_computed_again(tmp_path, nearest_weights):
    source = make_video(tmp_path / "a.mp4", 24, hold=3)
    seen = 0
    job = Upscaling(nearest_weights(2), source, tmp_path / "out.mp4")
    engine = type(job.models[0].engine)
    run = engine.__call__

    def count(self, batch):
        nonlocal seen
        seen += len(batch)
        return run(self, batch)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(engine, "__call__", count)
        _, done = job.run()
    assert (done.frames, done.repeats, seen) == (24, 16, 8)
    assert len(hashes(tmp_path / "out.mp4")) == 24


def test_a_segment_that_changed_on_disk_is_not_joined(video):
    job = video()
    plan, _ = job.run(join=False)
    records = job.work.verified()
    path = job.work.segment_path(1)
    path.write_bytes(path.read_bytes()[:-20])
    for found in (records, job.work.verified()):
        with pytest.raises(VideoDamagedError, match="--resume"):
            job.task.join(plan, job.work, found)
    assert not job.target.exists()


def test_an_odd_size_is_made_even_without_cutting(tmp_path, nearest_weights):
    source = make_video(tmp_path / "a.mp4", 4, (31, 23))
    request = EncodeRequest(pix_fmt="yuv420p")
    plan, _ = Upscaling(nearest_weights(2), source, tmp_path / "out.mp4", request, outscale=1.5).run()
    assert (plan.encoding.width, plan.encoding.height) == (48, 36)
    assert pixels(tmp_path / "out.mp4")[0].shape == (36, 48, 3)


def test_interlaced_video_is_refused_with_the_remedy(tmp_path, monkeypatch, nearest_weights):
    source = make_video(tmp_path / "a.mp4", 4)
    monkeypatch.setattr("realesrgan.media.video.VideoReader.looks_interlaced", lambda reader: True)
    with pytest.raises(VideoFormatError, match="--deinterlace"):
        Upscaling(nearest_weights(2), source, tmp_path / "out.mp4").run()


@pytest.fixture
def model(nearest_weights) -> Model:
    return load(nearest_weights(2), device="cpu")


def test_one_call_enlarges_a_video_by_the_scale_of_the_network(tmp_path, model):
    source = make_video(tmp_path / "a.mp4", 6)
    seen: list[VideoProgress] = []
    result = upscale_video(source, tmp_path / "b.mp4", model=model, progress=seen.append)
    assert (result.status, result.frames, result.outscale, result.output_size) == ("done", 6, 2, (64, 48))
    assert (seen[-1].frames, seen[-1].total) == (6, 6)
    assert [image.shape for image in pixels(tmp_path / "b.mp4")] == [(48, 64, 3)] * 6


def test_a_fraction_is_rounded_as_by_hand(tmp_path, model):
    source = make_video(tmp_path / "a.mkv", 2, (100, 100))
    result = upscale_video(source, tmp_path / "b.mkv", model=model, settings=VideoSettings(outscale=2.3))
    assert result.output_size == (230, 230)


def test_a_stream_of_bytes_can_be_both_ends(tmp_path, model):
    content = io.BytesIO(make_video(tmp_path / "a.mkv", 4).read_bytes())
    with (tmp_path / "b.nut").open("wb") as target:
        assert upscale_video(content, target, model=model).frames == 4
    assert len(pixels(tmp_path / "b.nut")) == 4


@pytest.mark.parametrize(("name", "container"), [("a.MKV", "matroska"), ("가.mov", "mov"), ("a.b.webm", "webm")])
def test_containers_follow_the_extension(name, container):
    assert find_target(name).container == container
    with pytest.raises(UsageError, match="mp4"):
        find_target("a.xyz")


def test_the_source_is_opened_twice_and_never_hashed_and_segments_are_opened_once(tmp_path, model, monkeypatch):
    """처음에 한 번, 소리를 옮길 때 한 번. 조각은 이을 때 한 번."""
    source = make_video(tmp_path / "a.mp4", 50)
    monkeypatch.setattr(plan_spans, "__kwdefaults__", {"shortest": 10, "longest": 40})
    opened: list[str] = []
    hashed: list[Path] = []
    open_file, hash_file = av.open, workspace.file_sha256

    def count(file, *arguments, **options):
        if (arguments or (options.get("mode", "r"),))[0] == "r":
            opened.append(Path(file).name)
        return open_file(file, *arguments, **options)

    monkeypatch.setattr(av, "open", count)
    monkeypatch.setattr(workspace, "file_sha256", lambda path: (hashed.append(path), hash_file(path))[1])
    result = upscale_video(source, tmp_path / "b.mp4", model=model)
    segments = [name for name in opened if name.endswith(".seg")]
    assert result.frames == 50 and opened.count("a.mp4") == 2
    assert len(set(segments)) > 2 and len(segments) == len(set(segments)) == len(opened) - 2
    assert {path.suffix for path in hashed} == {".seg"} and len(hashed) == len(set(segments))


def halfway(reader_frames, limit: int):
    """몇 프레임 뒤에 사용자가 멈춘 것처럼 하는 `frames`."""

    def frames(self, *arguments):
        for number, frame in enumerate(reader_frames(self, *arguments)):
            if number == limit:
                raise KeyboardInterrupt
            yield frame

    return frames


@pytest.fixture
def stopped(tmp_path, model, monkeypatch):
    """조각 몇 개를 마치고 멈춘 작업의 원본."""
    source = make_video(tmp_path / "a.mp4", 50)
    monkeypatch.setattr(plan_spans, "__kwdefaults__", {"shortest": 10, "longest": 40})
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(VideoReader, "frames", halfway(VideoReader.frames, 30))
        upscale_video(source, tmp_path / "b.mp4", model=model)
    assert Workspace(hidden_beside(tmp_path / "b.mp4")).records()
    return source


def test_a_copied_source_goes_on_and_a_changed_one_is_refused(tmp_path, model, stopped):
    content = stopped.read_bytes()
    make_video(stopped, 50, hold=2)
    with pytest.raises(UsageError, match="입력"):
        upscale_video(stopped, tmp_path / "b.mp4", model=model, settings=VideoSettings(resume=True))
    stopped.unlink()
    stopped.write_bytes(content)
    result = upscale_video(stopped, tmp_path / "b.mp4", model=model, settings=VideoSettings(resume=True))
    assert 0 < result.resumed < 50 and result.frames == 50


def test_raw_frames_of_the_same_size_are_told_apart(tmp_path, model):
    """압축하지 않은 비디오는 내용이 달라도 크기가 같다."""
    path = tmp_path / "a.y4m"
    head = b"YUV4MPEG2 W16 H16 F24:1 Ip A1:1 C444\n"
    digests = set()
    for value in (10, 11):
        path.write_bytes(head + b"".join(b"FRAME\n" + bytes([value]) * 768 for _ in range(4)))
        with closing(VideoReader(path)) as reader:
            digests.add(reader.packet_index().digest)
    assert len(digests) == 2


def test_steps_are_part_of_the_work(tmp_path, model, stopped):
    settings = VideoSettings(resume=True, steps=("blend=0.5",))
    with pytest.raises(UsageError, match="다른 것이 있습니다: 단계"):
        upscale_video(stopped, tmp_path / "b.mp4", model=model, settings=settings)


@dataclass(frozen=True)
class Darken:
    """부르는 쪽이 만든 단계."""

    share: float
    margin: int = 0

    @property
    def text(self) -> str:
        return f"darken={self.share:g}"

    def __call__(self, enlarged: torch.Tensor, source: torch.Tensor) -> torch.Tensor:
        return enlarged * self.share


def test_steps_and_a_callers_own_step_change_every_frame_and_are_in_the_fingerprint(tmp_path, model):
    source = make_video(tmp_path / "a.mp4", 5, audio=False)
    plain = VideoSettings(encoder_options={"qp": "0"}, pix_fmt="yuv444p")
    upscale_video(source, tmp_path / "plain.mp4", model=model, settings=plain)
    steps = ("color_fix=wavelet", "sharpen=0.3", Darken(0.5))
    made = upscale_video(source, tmp_path / "b.mp4", model=model, settings=replace(plain, steps=steps))
    assert made.steps == ("color_fix=wavelet", "sharpen=0.3", "darken=0.5")
    for before, after in zip(pixels(tmp_path / "plain.mp4"), pixels(tmp_path / "b.mp4"), strict=True):
        assert before.mean() / 2 - 3 < after.mean() < before.mean() / 2 + 3
    settings = replace(plain, steps=(Darken(0.25),))
    with closing(VideoReader(source)) as reader:
        target = find_target(tmp_path / "c.mp4")
        marks = [
            fingerprint(plan_video(find_source(source), target, one, reader, 2), one, {}, 2)["단계"]
            for one in (settings, replace(settings, steps=(Darken(0.5),)))
        ]
    assert marks == [["darken=0.25"], ["darken=0.5"]]


@pytest.mark.parametrize("before", [True, False])
def test_a_precision_chosen_by_measuring_stays_the_same_when_resumed(tmp_path, nearest_weights, monkeypatch, before):
    """바쁜 기계에서는 bf16이 더 빠른지 재어 본 답이 달라질 수 있다. 그래도 하던 정밀도로 이어 한다."""
    weights = nearest_weights(2)
    monkeypatch.setattr("realesrgan.inference.engines.torch.prefers_bf16", lambda: before)
    source = make_video(tmp_path / "a.mp4", 50)
    monkeypatch.setattr(plan_spans, "__kwdefaults__", {"shortest": 10, "longest": 40})
    upscale_video(source, tmp_path / "whole.mp4", model=load(weights, device="cpu"))
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(VideoReader, "frames", halfway(VideoReader.frames, 30))
        upscale_video(source, tmp_path / "b.mp4", model=load(weights, device="cpu"))
    monkeypatch.setattr("realesrgan.inference.engines.torch.prefers_bf16", lambda: not before)
    resume = VideoSettings(resume=True)
    with pytest.raises(UsageError, match="정밀도"):
        precision = "fp32" if before else "bf16"
        upscale_video(
            source, tmp_path / "b.mp4", model=load(weights, device="cpu", precision=precision), settings=resume
        )
    result = upscale_video(source, tmp_path / "b.mp4", model=load(weights, device="cpu"), settings=resume)
    assert 0 < result.resumed < 50 and result.precision == ("bf16" if before else "fp32")
    assert hashes(tmp_path / "b.mp4") == hashes(tmp_path / "whole.mp4")


def test_a_clock_that_starts_again_is_followed_but_not_cut_by_time(tmp_path, model):
    """`cat`으로 이어 붙인 방송에는 같은 시각이 두 번 나온다."""
    for number, size in enumerate(("64x48", "64x48", "96x64")):
        picture, sound = f"testsrc2=s={size}:r=25:d=2", click_wave(tmp_path / "a.wav", 2.07)
        inputs = ("-f", "lavfi", "-i", picture, "-i", sound, "-c:v", "libx264", "-g", "25", "-c:a", "ac3")
        ffmpeg(*inputs, tmp_path / f"{number}.ts")
    parts = [(tmp_path / f"{number}.ts").read_bytes() for number in range(3)]
    same, other = tmp_path / "same.ts", tmp_path / "other.ts"
    same.write_bytes(parts[0] + parts[1])
    other.write_bytes(parts[0] + parts[2])
    made = upscale_video(same, tmp_path / "a.mkv", model=model)
    assert (made.status, made.frames) == ("done", 100)
    assert any("되돌아가는 곳이 1곳" in note for note in made.notes)
    heard = heard_clicks(tmp_path / "a.mkv")
    once = [moment for moment in heard if moment < 1.9]
    again = [moment - 2 for moment in heard if moment > 2.1]
    # 소리가 화면보다 길어도, 이은 뒤에 화면이 옮겨진 만큼만 옮겨진다.
    assert len(again) >= 3 and all(min(abs(moment - other) for other in once) < 0.0011 for moment in again)
    with pytest.raises(UsageError, match="통째로"):
        upscale_video(same, tmp_path / "b.mkv", model=model, settings=VideoSettings(start=Fraction(1)))
    with pytest.raises(UsageError, match="통째로"):
        upscale_video(other, tmp_path / "c.mkv", model=model, settings=VideoSettings(on_change="split"))
    scaled = upscale_video(other, tmp_path / "d.mkv", model=model, settings=VideoSettings(on_change="scale"))
    assert scaled.frames == 100


def test_stopping_before_the_first_segment_leaves_nothing(tmp_path, model, monkeypatch):
    source = make_video(tmp_path / "a.mp4", 20)
    monkeypatch.setattr(VideoReader, "frames", halfway(VideoReader.frames, 3))
    with pytest.raises(KeyboardInterrupt):
        upscale_video(source, tmp_path / "b.mp4", model=model)
    assert [path.name for path in tmp_path.iterdir()] == ["a.mp4"]


def test_a_stop_inside_a_segment_goes_on_from_the_stored_frames(tmp_path, model, monkeypatch):
    """조각 하나뿐인 비디오를 가운데에서 멈추어도, 적어 둔 프레임은 다시 키우지 않고 결과가 같다."""
    source = make_video(tmp_path / "a.mp4", 90)
    upscale_video(source, tmp_path / "whole.mp4", model=model)
    monkeypatch.setattr(frame_store, "_LARGEST_SHARE", 100)
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(VideoReader, "frames", halfway(VideoReader.frames, 70))
        upscale_video(source, tmp_path / "b.mp4", model=model)
    work = Workspace(hidden_beside(tmp_path / "b.mp4"))
    assert not work.records()
    path = work.segment_path(0, ".frames")
    kept = len(stored_frames(path))
    assert kept > 70 - 60
    # 마지막 기록이 쓰이다가 끊겨도 그 앞까지 쓴다.
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(UsageError, match="--resume"):
        upscale_video(source, tmp_path / "b.mp4", model=model)
    counted: list[int] = []
    plain = FrameWorker.__call__

    def count(self, frames):
        counted.append(len(frames))
        return plain(self, frames)

    monkeypatch.setattr(FrameWorker, "__call__", count)
    upscale_video(source, tmp_path / "b.mp4", model=model, settings=VideoSettings(resume=True))
    assert sum(counted) == 90 - (kept - 1)
    assert hashes(tmp_path / "b.mp4") == hashes(tmp_path / "whole.mp4")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.mp4", "b.mp4", "whole.mp4"]


def test_a_fast_device_loses_at_most_sixty_frames_of_a_segment(tmp_path, monkeypatch):
    """적는 시간이 아까울 만큼 빨라도, 적지 않은 서른과 버릴 수 있는 서른을 더해 예순을 넘지 않는다."""
    monkeypatch.setattr(frame_store, "_LARGEST_SHARE", -1e9)
    work = Workspace(tmp_path / "work")
    work.folder.mkdir()
    store = FrameStore(work)
    for segment in (0, 1):
        for order in range(100):
            store.put(segment, order, (np.zeros((4, 6), np.uint8),))
        assert set(stored_frames(work.segment_path(segment, ".frames"))) == set(range(30, 100))
        store.finish(segment)


def test_the_source_is_never_overwritten_even_when_asked(tmp_path, model):
    source = make_video(tmp_path / "a.mp4", 6)
    before = source.read_bytes()
    with pytest.raises(UsageError, match="입력을 덮어씁니다"):
        upscale_video(source, source, model=model, settings=VideoSettings(overwrite=True))
    assert source.read_bytes() == before


def test_a_target_without_a_name_and_settings_of_another_kind_are_named_errors(tmp_path, model):
    source = make_video(tmp_path / "a.mp4", 6)
    for target in ("", ".", "/"):
        with pytest.raises(UsageError, match="이름이 없습니다"):
            upscale_video(source, target, model=model)
    with pytest.raises(UsageError, match="VideoSettings"):
        upscale_video(source, tmp_path / "b.mp4", model=model, settings=PictureSettings())


def test_a_spoiled_packet_of_the_sound_is_left_out_and_told(tmp_path, model):
    """담을 수 없는 소리 패킷 하나 때문에 다 키운 비디오를 버리지 않는다."""
    made = make_video(tmp_path / "a.mp4", 24)
    ffmpeg("-i", made, "-c:v", "libx264", "-pix_fmt", "yuv420p", "-c:a", "aac", tmp_path / "a.ts")
    data = (tmp_path / "a.ts").read_bytes()
    packets = [data[at : at + 188] for at in range(0, len(data), 188)]
    sound = [at for at, one in enumerate(packets) if int.from_bytes(one[1:3], "big") & 0x5FFF == 0x101]
    for at in sound[len(sound) // 2 :][:4]:
        packets[at] = packets[at][:4] + bytes(184)
    (tmp_path / "a.ts").write_bytes(b"".join(packets))
    result = upscale_video(tmp_path / "a.ts", tmp_path / "b.mp4", model=model)
    assert result.status == "done" and result.frames == 24
    assert any("깨진 패킷" in note and "소리" in note for note in result.notes), result.notes


def test_options_are_judged_before_the_result_that_is_there(tmp_path, model):
    source = make_video(tmp_path / "a.mp4", 4)
    (tmp_path / "b.mp4").write_bytes(b"precious")
    with pytest.raises(VideoFormatError, match="libx246"):
        upscale_video(source, tmp_path / "b.mp4", model=model, settings=VideoSettings(codec="libx246"))
    with pytest.raises(UsageError, match="이미 있습니다"):
        upscale_video(source, tmp_path / "b.mp4", model=model)
    assert (tmp_path / "b.mp4").read_bytes() == b"precious"


def test_images_are_told_apart_without_reading_them_whole(tmp_path):
    (tmp_path / "1.bmp").write_bytes(bytes(1 << 20))
    before = sampled_hash([tmp_path / "1.bmp"])
    (tmp_path / "1.bmp").write_bytes(bytes([1]) * (1 << 20))
    assert sampled_hash([tmp_path / "1.bmp"]) != before


def test_an_interlaced_stream_of_bytes_is_deinterlaced_like_a_file(tmp_path, model):
    source = weave_video(tmp_path / "a.mkv", flagged=True)
    settings = VideoSettings(deinterlace=True)
    upscale_video(source, tmp_path / "file.mp4", model=model, settings=settings)
    upscale_video(io.BytesIO(source.read_bytes()), tmp_path / "stream.mp4", model=model, settings=settings)
    assert hashes(tmp_path / "stream.mp4") == hashes(tmp_path / "file.mp4")
