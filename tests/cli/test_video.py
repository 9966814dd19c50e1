"""비디오 명령을 사람이 쓰듯 프로세스로 돌려 본다. 네트워크는 최근접 확대라 비디오의 길을 판단한다."""

from __future__ import annotations

import dataclasses
import json
import os
import random
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("av")

from realesrgan.cli.video import main
from realesrgan.errors import VideoFormatError
from realesrgan.media.image import read_image, still, write_image
from realesrgan.media.video.encoders import CONTAINERS
from tests.cli.plugin import PLUGIN
from tests.conftest import ROOT
from tests.media.video.samples import ffmpeg, heard_clicks
from tests.media.video.test_damage import drop_packets
from tests.video.samples import hashes, make_video, pixels, work_files

SCRIPT = ROOT / "inference_realesrgan_video.py"
Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def model(nearest_weights) -> list[str]:
    return ["--model_path", str(nearest_weights(2)), "-s", "2", "--device", "cpu"]


@pytest.fixture
def run(model, tmp_path, monkeypatch, capsys) -> Iterator[Run]:
    """명령을 이 프로세스에서 부르는 함수."""
    monkeypatch.chdir(tmp_path)
    before = signal.getsignal(signal.SIGTERM)

    def execute(*arguments: object, use_model: bool = True) -> subprocess.CompletedProcess[str]:
        line = [*map(str, arguments), *(model if use_model else [])]
        capsys.readouterr()
        try:
            code = main(line)
        except SystemExit as error:
            code = int(error.code or 0)
        captured = capsys.readouterr()
        return subprocess.CompletedProcess(line, code, captured.out, captured.err)

    yield execute
    signal.signal(signal.SIGTERM, before)


def leftovers(folder: Path) -> list[str]:
    return [path.name for path in folder.rglob("*") if path.name.startswith(".") or path.suffix == ".part"]


def report(path: Path) -> dict:
    return json.loads(path.read_text(encoding="utf-8"))["files"][0]


@pytest.mark.parametrize("name", ["video.mp4", "가족 여행 '22; rm -rf $HOME.mkv", "-앞에 줄표.mp4", "%03d.mov"])
def test_a_video_is_enlarged_whole_with_its_sound(run, tmp_path, name):
    make_video(tmp_path / "in" / name if (tmp_path / "in").mkdir() is None else tmp_path, 20)
    done = run("-i", "in", "-o", "결과", "--report", "r.json")
    assert done.returncode == 0, done.stderr
    out = tmp_path / "결과" / f"{Path(name).stem}_out{Path(name).suffix}"
    assert [image.shape for image in pixels(out)] == [(48, 64, 3)] * 20
    found = report(tmp_path / "r.json")
    assert (found["status"], found["frames"], found["output_size"]) == ("done", 20, [64, 48])
    assert found["stages"]["network"]["busy"] > 0
    assert "단계마다 일한 시간의 비율" in done.stdout and not leftovers(tmp_path)
    import av

    with av.open(str(out)) as container:
        assert len(container.streams.audio) == 1


def test_an_output_name_chooses_the_container(run, tmp_path):
    make_video(tmp_path / "a.mp4", 6)
    assert run("-i", "a.mp4", "-o", "b.mkv", "--codec", "ffv1").returncode == 0
    import av

    with av.open(str(tmp_path / "b.mkv")) as container:
        assert "matroska" in container.format.name and container.streams.video[0].codec_context.name == "ffv1"


def test_pictures_become_a_video_and_a_video_becomes_pictures(run, tmp_path):
    folder = tmp_path / "이미지"
    folder.mkdir()
    for number in (8, 9, 10):
        write_image(folder / f"{number}.png", still(np.full((24, 32, 3), number * 20, np.uint8)))
    assert run("-i", "이미지", "-o", "video.mkv", "--codec", "ffv1", "--fps", "10").returncode == 0
    assert [round(float(image.mean())) for image in pixels(tmp_path / "video.mkv")] == [160, 180, 200]
    assert [round(when, 6) for when, _ in hashes(tmp_path / "video.mkv")] == [0, 0.1, 0.2]
    done = run("-i", "video.mkv", "-o", "out", "--ext", "png")
    assert done.returncode == 0 and "이미지 시퀀스" in done.stderr and "이미지 시퀀스" not in done.stdout
    made = sorted((tmp_path / "out" / "video_out").iterdir())
    assert [path.name for path in made] == ["00000000.png", "00000001.png", "00000002.png"]
    assert [int(read_image(path).first.array[0, 0, 0]) for path in made] == [160, 180, 200]


def test_one_file_adds_a_network_an_engine_and_a_step_to_the_command(tmp_path):
    torch = pytest.importorskip("torch")
    (tmp_path / "mine.py").write_text(PLUGIN, encoding="utf-8")
    torch.save({"params": {"gain": torch.ones(())}}, tmp_path / "mine.pth")
    (tmp_path / "in").mkdir()
    for number in (1, 2):
        write_image(tmp_path / "in" / f"{number}.png", still(np.full((24, 32, 3), number * 50, np.uint8)))
    command = [sys.executable, str(SCRIPT), "-i", "in", "-o", "b.mkv", "--codec", "ffv1", "--plugin", "mine.py"]
    command += ["--model_path", "mine.pth", "--steps", "invert=all", "--backend", "mine", "--report", "r.json"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert (report(tmp_path / "r.json")["steps"], report(tmp_path / "r.json")["outscale"]) == (["invert=all"], 2)
    assert [(image.shape, round(float(image.mean()))) for image in pixels(tmp_path / "b.mkv")] == [
        ((48, 64, 3), 205),
        ((48, 64, 3), 155),
    ]


def test_a_part_of_the_video_starts_at_zero(run, tmp_path):
    make_video(tmp_path / "a.mp4", 48)
    assert run("-i", "a.mp4", "-o", "b.mp4", "--start", "0.5", "--end", "0:01.5").returncode == 0
    found = hashes(tmp_path / "b.mp4")
    assert len(found) == 24 and found[0][0] == 0


def test_several_videos_and_a_broken_one(run, tmp_path):
    (tmp_path / "in").mkdir()
    make_video(tmp_path / "in" / "a.mp4", 4)
    (tmp_path / "in" / "b.mp4").write_bytes(b"not a video")
    make_video(tmp_path / "in" / "c.mp4", 4)
    done = run("-i", "in", "-o", "out", "--report", "r.json")
    statuses = [item["status"] for item in json.loads((tmp_path / "r.json").read_text())["files"]]
    assert done.returncode == 1 and statuses == ["done", "failed", "done"]
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["a_out.mp4", "c_out.mp4"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["-i", "없음.mp4"], "입력이 없습니다"),
        (["-i", "a.mp4", "--codec", "libx246"], "libx264"),
        (["-i", "a.mp4", "-o", "b.webm", "--codec", "libx264"], "webm"),
        (["-i", "a.mp4", "-o", "b.avi"], "쓸 수 없는 형식"),
        (["-i", "a.mp4", "-o", "b.png"], "--ext png"),
        (["-i", "a.mp4", "--encoder_options", "없는옵션=1"], "없는옵션"),
        (["-i", "a.mp4", "--encoder_options", "값없음"], "이름=값"),
        (["-i", "a.mp4", "--start", "9", "--end", "3"], "--end"),
        (["-i", "a.mp4", "--start", "99"], "프레임이 없습니다"),
        (["-i", "a.mp4", "--fps", "0"], "0보다"),
        (["-i", "a.mp4", "a.mp4", "-o", "b.mp4"], "입력이 여럿"),
        (["-i", "a.mp4", "-o", "a.mp4"], "덮어씁니다"),
        (["-i", "-", "--resume"], "--resume"),
        (["-i", "a.mp4", "--resume", "--overwrite"], "하나만"),
        (["-i", "사진.png"], "inference_realesrgan.py"),
        (["-i", "a.mp4", "--모름"], "모르는 옵션"),
    ],
)
def test_wrong_use_is_explained_and_exits_with_two(run, tmp_path, arguments, said):
    make_video(tmp_path / "a.mp4", 4)
    write_image(tmp_path / "사진.png", still(np.zeros((4, 4, 3), np.uint8)))
    before = (tmp_path / "a.mp4").read_bytes()
    done = run(*arguments)
    assert done.returncode == 2 and said in done.stderr, done.stderr
    assert (tmp_path / "a.mp4").read_bytes() == before


def test_options_of_old_commands_are_accepted_with_one_warning(run, tmp_path):
    make_video(tmp_path / "a.mp4", 4)
    done = run(
        "-i", "a.mp4", "-o", "out", "--ffmpeg_bin", "ffmpeg", "--extract_frame_first", "--num_process_per_gpu", "1",
        "--face_enhance", "-n", "realesr-animevideov3", "-dn", "0.5", "--fp32", "--tile", "0",
        "--tile_pad", "10", "--pre_pad", "0", "--alpha_upsampler", "realesrgan", "--ext", "auto", "--suffix", "out",
        "-s", "2", "--device", "cpu", use_model=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("더는 필요 없어") == 1 and done.stderr.count("--face_enhance를 끕니다") == 1


def test_without_an_input_it_says_what_to_give(run, tmp_path):
    done = run()
    assert done.returncode == 2 and "-i" in done.stderr and "예: " in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_a_wrong_option_does_not_hide_behind_a_result_that_is_there(run, tmp_path):
    make_video(tmp_path / "a.mp4", 4)
    (tmp_path / "b.mp4").write_bytes(b"precious")
    done = run("-i", "a.mp4", "-o", "b.mp4", "--codec", "libx246")
    assert done.returncode == 2 and "libx264" in done.stderr and "이미 있습니다" not in done.stderr


@pytest.mark.parametrize(
    ("name", "codec"), [("h264", "libx264"), ("x265", "libx265"), ("hevc", "libx265"), ("prores", "prores_ks")]
)
def test_common_names_of_codecs_are_accepted(run, tmp_path, name, codec):
    make_video(tmp_path / "a.mp4", 2, (64, 64))
    assert run("-i", "a.mp4", "-o", "b.mov", "--codec", name, "--report", "r.json").returncode == 0
    assert report(tmp_path / "r.json")["codec"] == codec


def test_every_codec_named_by_help_or_an_error_is_accepted():
    from realesrgan.cli.video_arguments import build_parser
    from realesrgan.media.video.encoders import ENCODERS, codec_names, find_encoder

    text = next(action.help for action in build_parser()._actions if action.dest == "codec")
    for name in re.findall(r"[a-z][a-z0-9_-]+", f"{text.split('기본')[0]}, {codec_names(ENCODERS)}"):
        try:
            find_encoder(name, "mov")
        except VideoFormatError as error:
            assert "모르는 비디오 코덱" not in str(error)


def test_without_a_scale_the_network_decides_and_the_report_says_so(nearest_weights, run, tmp_path):
    make_video(tmp_path / "a.mp4", 2)
    weights = str(nearest_weights(2))
    done = run("-i", "a.mp4", "-o", "b.mp4", "--model_path", weights, "--report", "r.json", use_model=False)
    assert done.returncode == 0 and "(2배)" in done.stdout
    assert (report(tmp_path / "r.json")["outscale"], report(tmp_path / "r.json")["output_size"]) == (2, [64, 48])


def test_an_existing_result_is_kept_unless_told_otherwise(run, tmp_path):
    make_video(tmp_path / "a.mp4", 4)
    (tmp_path / "b.mp4").write_bytes(b"precious")
    assert run("-i", "a.mp4", "-o", "b.mp4").returncode == 2
    assert (tmp_path / "b.mp4").read_bytes() == b"precious"
    assert run("-i", "a.mp4", "-o", "b.mp4", "--overwrite").returncode == 0
    assert len(pixels(tmp_path / "b.mp4")) == 4


def test_resuming_does_not_touch_a_result_that_is_already_there(run, tmp_path):
    make_video(tmp_path / "a.mp4", 4)
    (tmp_path / "b.mp4").write_bytes(b"precious")
    done = run("-i", "a.mp4", "-o", "b.mp4", "--resume")
    assert done.returncode == 0 and "건너뜀" in done.stdout
    assert (tmp_path / "b.mp4").read_bytes() == b"precious"


def test_resuming_does_not_take_a_short_trial_for_the_whole_video(run, tmp_path, model):
    """README가 권하는 차례: 먼저 몇 초만 해 보고, 그다음 같은 이름으로 전체를 --resume으로 한다."""
    make_video(tmp_path / "a.mp4", 50)
    assert run("-i", "a.mp4", "-o", "b.mp4", "--start", "0.2", "--end", "0.4").returncode == 0
    before = (tmp_path / "b.mp4").read_bytes()
    done = run("-i", "a.mp4", "-o", "b.mp4", "--resume")
    assert done.returncode == 2 and "지금의 설정으로 만든 것이 아닙니다" in done.stderr and "--overwrite" in done.stderr
    assert (tmp_path / "b.mp4").read_bytes() == before
    assert run("-i", "a.mp4", "-o", "b.mp4", "--start", "0.2", "--end", "0.4", "--resume").returncode == 0
    assert run("-i", "a.mp4", "-o", "b.mp4", "--overwrite").returncode == 0
    again = run("-i", "a.mp4", "-o", "b.mp4", "--resume")
    assert again.returncode == 0 and "건너뜀" in again.stdout
    smaller = run("-i", "a.mp4", "-o", "b.mp4", "--resume", *model[:2], "-s", "1", use_model=False)
    assert smaller.returncode == 2 and "32x24" in smaller.stderr


@pytest.mark.parametrize("name", ["이미지/1.png", "a.mp4", "r.json", "없는 폴더/p.png", "p.txt"])
def test_a_preview_never_overwrites_another_file(run, tmp_path, name):
    make_video(tmp_path / "a.mp4", 4)
    (tmp_path / "이미지").mkdir()
    write_image(tmp_path / "이미지" / "1.png", still(np.zeros((24, 32, 3), np.uint8)))
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    done = run("-i", "이미지", "-o", "b.mp4", "--preview", name, "--report", "r.json")
    assert done.returncode == 2 and "미리보기" in done.stderr
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before


def test_results_in_the_input_folder_are_not_taken_for_inputs(run, tmp_path):
    make_video(tmp_path / "in" / "a.mp4" if (tmp_path / "in").mkdir() is None else tmp_path, 4)
    make_video(tmp_path / "in" / "b.mp4", 4)
    for _ in range(2):
        assert run("-i", "in", "-o", "in", "--overwrite").returncode == 0
    assert sorted(path.name for path in (tmp_path / "in").iterdir()) == [
        "a.mp4", "a_out.mp4", "b.mp4", "b_out.mp4"
    ]  # fmt: skip


def test_a_model_that_cannot_be_loaded_is_in_the_report(run, tmp_path):
    make_video(tmp_path / "a.mp4", 4)
    done = run("-i", "a.mp4", "-o", "b.mp4", "--model_path", "없음.pth", "--report", "r.json", use_model=False)
    assert done.returncode == 1 and report(tmp_path / "r.json")["status"] == "failed"


def test_a_folder_of_pictures_with_other_files_is_not_replaced(run, tmp_path):
    make_video(tmp_path / "a.mp4", 4)
    (tmp_path / "out" / "a_out").mkdir(parents=True)
    (tmp_path / "out" / "a_out" / "일기.txt").write_text("소중한 것")
    assert run("-i", "a.mp4", "-o", "out", "--ext", "png", "--overwrite").returncode == 2
    assert (tmp_path / "out" / "a_out" / "일기.txt").read_text() == "소중한 것"


def test_a_cut_video_fails_and_keeps_the_good_part(run, tmp_path):
    import av

    make_video(tmp_path / "a.mp4", 60)
    with av.open(str(tmp_path / "a.mp4")) as source, av.open(str(tmp_path / "a.mkv"), "w") as output:
        streams = {stream.index: output.add_stream_from_template(stream) for stream in source.streams}
        for packet in source.demux():
            if packet.dts is not None:
                packet.stream = streams[packet.stream.index]
                output.mux(packet)
    whole = (tmp_path / "a.mkv").read_bytes()
    (tmp_path / "a.mkv").write_bytes(whole[: len(whole) * 6 // 10])
    done = run("-i", "a.mkv", "-o", "b.mp4", "--report", "r.json")
    assert done.returncode == 1 and "b.partial.mp4" in done.stderr
    assert not (tmp_path / "b.mp4").exists()
    good = pixels(tmp_path / "b.partial.mp4")
    assert 0 < len(good) < 60 and report(tmp_path / "r.json")["status"] == "failed"
    assert len(good) == report(tmp_path / "r.json")["frames"]
    assert not leftovers(tmp_path)


def beeps(path):
    """화면이 번쩍인 때와 소리가 난 때(초)."""
    import av

    with av.open(str(path)) as container:
        bright = [(f.time, f.to_ndarray(format="gray").mean() > 100) for f in container.decode(video=0)]
    flashes = [now for (now, on), (_, before) in zip(bright[1:], bright, strict=False) if on and not before]
    return flashes, heard_clicks(path)


@pytest.fixture
def flashing(tmp_path):
    """0.5초마다 번쩍이며 소리가 나는 4초짜리 비디오."""
    source = tmp_path / "flash.mp4"
    flash = "drawbox=c=white:t=fill:enable='between(mod(t,1),0.49,0.57)'"
    sound = "aevalsrc='if(between(mod(t,1),0.5,0.56),sin(2*PI*1000*t)*0.8,0)':s=48000:d=4"
    ffmpeg("-f", "lavfi", "-i", f"color=black:s=64x48:r=25:d=4,{flash},format=yuv420p", "-f", "lavfi", "-i", sound,
           "-c:v", "libx264", "-c:a", "aac", source)  # fmt: skip
    return source


@pytest.mark.parametrize(("fps", "frames"), [("50", 200), ("10", 40), ("30000/1001", 120)])
def test_a_new_rate_keeps_the_length_and_the_sound_in_sync(run, tmp_path, flashing, fps, frames):
    assert run("-i", flashing, "-o", "b.mp4", "--fps", fps).returncode == 0
    found = hashes(tmp_path / "b.mp4")
    assert len(found) == frames and found[-1][0] == pytest.approx(4, abs=0.11)
    flashes, clicks = beeps(tmp_path / "b.mp4")
    assert flashes == pytest.approx(beeps(flashing)[0], abs=0.5 / eval_fraction(fps) + 1e-6)
    assert clicks == pytest.approx(heard_clicks(flashing), abs=0.001)


def eval_fraction(text):
    from fractions import Fraction

    return float(Fraction(text))


@pytest.mark.parametrize("fps", ["50", "10"])
def test_retiming_changes_the_length_and_the_sound_follows(run, tmp_path, flashing, fps):
    assert run("-i", flashing, "-o", "b.mp4", "--fps", fps, "--retime").returncode == 0
    speed = int(fps) / 25
    assert len(hashes(tmp_path / "b.mp4")) == 100
    flashes, clicks = beeps(tmp_path / "b.mp4")
    assert flashes == pytest.approx([(second + 0.52) / speed for second in range(4)], abs=0.021 / speed)
    firsts = [now for now, before in zip(clicks, [-1, *clicks], strict=False) if now - before > 0.3 / speed]
    # 소리를 겹쳐 붙이는 방법(WSOLA)이라 십분의 일 초까지 번진다.
    assert firsts == pytest.approx([(second + 0.5) / speed for second in range(4)], abs=0.1)


def test_a_missing_number_in_a_folder_of_pictures_is_told(run, tmp_path):
    folder = tmp_path / "그림"
    folder.mkdir()
    for number in (1, 2, 4, 5):
        write_image(folder / f"f{number}.png", still(np.full((12, 16, 3), 40 * number, np.uint8)))
    refused = run("-i", folder, "-o", "b.mp4")
    assert refused.returncode == 2 and "3번" in refused.stderr and "--gaps" in refused.stderr
    assert run("-i", folder, "-o", "b.mp4", "--gaps", "--codec", "libx264", "--crf", "1").returncode == 0
    levels = [picture.mean() for picture in pixels(tmp_path / "b.mp4")]
    assert levels == pytest.approx([40, 80, 80, 160, 200], abs=4)


def test_a_damaged_broadcast_is_made_whole_when_asked_and_every_hole_is_told(run, tmp_path):
    source = tmp_path / "a.ts"
    ffmpeg("-f", "lavfi", "-i", "testsrc2=s=96x72:r=25:d=6", "-f", "lavfi", "-i", "sine=d=6", "-c:v", "libx264", "-g",
           "25", "-bf", "2", "-c:a", "aac", source)  # fmt: skip
    drop_packets(source, tmp_path / "lost.ts", 8)
    done = run("-i", "lost.ts", "-o", "b.mp4", "--on_damage", "continue", "--report", "r.json")
    row = report(tmp_path / "r.json")
    assert done.returncode == 1 and row["status"] == "failed" and row["frames"] == 150
    assert row["holes"] and re.search(r"깨진 곳 \d+곳을 지나 끝까지", done.stderr)
    assert all(2 < hole["start"] < hole["end"] < 4 for hole in row["holes"])
    places = [round(moment * 25) for moment, _ in hashes(tmp_path / "b.mp4")]
    assert places == list(range(places[0], places[0] + 150))
    assert not leftovers(tmp_path)
    assert run("-i", "a.ts", "-o", "c.mp4", "--on_damage", "continue").returncode == 0


def test_an_interlaced_video_needs_the_option(run, tmp_path):
    samples = pytest.importorskip("tests.media.video.samples")
    samples.weave_video(tmp_path / "a.mp4", flagged=True)
    refused = run("-i", "a.mp4", "-o", "b.mp4")
    assert refused.returncode == 2 and "--deinterlace" in refused.stderr
    assert run("-i", "a.mp4", "-o", "b.mp4", "--deinterlace").returncode == 0
    assert len(pixels(tmp_path / "b.mp4")) == 40


def test_dry_run_tells_the_size(run, tmp_path):
    make_video(tmp_path / "a.mp4", 48, size=(64, 48))
    guessed = run("-i", "a.mp4", "-o", "b.mp4", "--dry_run")
    assert guessed.returncode == 0 and "비디오의 크기 약" in guessed.stdout
    given = run("-i", "a.mp4", "-o", "b.mp4", "--dry_run", "--bitrate", "4M")
    assert "1.0MB" in given.stdout.replace(" ", "") or "976" in given.stdout or "1,000" in given.stdout


def test_dry_run_writes_nothing_but_the_preview(run, tmp_path):
    make_video(tmp_path / "a.mp4", 12)
    before = sorted(path.name for path in tmp_path.iterdir())
    done = run("-i", "a.mp4", "-o", "out", "--dry_run")
    assert done.returncode == 0 and "프레임 12" in done.stdout and "64x48" in done.stdout
    assert sorted(path.name for path in tmp_path.iterdir()) == before
    assert run("-i", "a.mp4", "-o", "out", "--dry_run", "--preview", "p.png").returncode == 0
    assert read_image(tmp_path / "p.png").first.array.shape == (48, 64, 3)


def test_what_happens_to_the_sound_is_told_before_the_work(run, tmp_path):
    make_video(tmp_path / "a.mp4", 6)
    done = run("-i", "a.mp4", "-o", "out.webm", "--dry_run")
    assert done.returncode == 0 and "libopus로 바꾸어 담습니다" in done.stdout
    done = run("-i", "a.mp4", "-o", "out.webm", "--report", "r.json")
    assert done.returncode == 0
    notes = json.loads((tmp_path / "r.json").read_text("utf-8"))["files"][0]["notes"]
    assert sum("libopus로 바꾸어 담습니다" in note for note in notes) == 1


def test_sound_that_cannot_be_held_is_refused_before_the_first_frame(run, tmp_path, monkeypatch):
    """이을 때에야 알면 몇 시간의 계산 뒤에 실패한다."""
    make_video(tmp_path / "a.mp4", 6)
    webm = CONTAINERS["webm"]
    monkeypatch.setitem(CONTAINERS, "webm", dataclasses.replace(webm, audio=webm.audio | {"aac"}))
    monkeypatch.setattr("realesrgan.video.upscale.run_stages", lambda *_, **__: pytest.fail("키우기를 시작했다"))
    done = run("-i", "a.mp4", "-o", "out.webm")
    assert done.returncode == 1 and "비디오를 쓸 수 없습니다" in done.stderr
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.mp4"]


def test_joined_broadcasts_are_refused_with_the_places_to_cut_and_the_cuts_work(run, tmp_path):
    """되돌아간 시각을 FFmpeg는 26.5시간을 건너뛴 것으로 읽는다."""
    made = [make_video(tmp_path / f"{name}.mp4", 24) for name in "ab"]
    parts = []
    for video, offset in zip(made, (100, 20), strict=True):
        parts.append(video.with_suffix(".ts"))
        ffmpeg(
            "-i", video, "-c:v", "libx264", "-pix_fmt", "yuv420p", "-c:a", "aac", "-output_ts_offset", offset, parts[-1]
        )
    (tmp_path / "joined.ts").write_bytes(b"".join(part.read_bytes() for part in parts))
    done = run("-i", "joined.ts", "-o", "out.mp4")
    assert done.returncode == 2 and "26.5시간을 건너뜁니다" in done.stderr
    end, start = re.search(r"--end ([\d.]+), --start ([\d.]+)", done.stderr).groups()
    assert run("-i", "joined.ts", "-o", "first.mp4", "--end", end).returncode == 0
    assert run("-i", "joined.ts", "-o", "second.mp4", "--start", start).returncode == 0
    assert [len(hashes(tmp_path / f"{name}.mp4")) for name in ("first", "second")] == [24, 24]


def test_the_preview_shows_the_colours_of_the_video(run, tmp_path):
    make_video(tmp_path / "a.mp4", 6)
    done = run("-i", "a.mp4", "-o", "out", "--preview", "p.png", "--report", "r.json")
    assert done.returncode == 0 and "미리보기: p.png" in done.stderr
    assert report(tmp_path / "r.json")["preview"] == "p.png"
    shown = read_image(tmp_path / "p.png").first.array[..., ::-1].astype(int)
    expected = pixels(tmp_path / "a.mp4")[0].repeat(2, axis=0).repeat(2, axis=1)
    assert np.abs(shown - expected).mean() < 3


def test_help_answers_without_loading_torch_or_pyav():
    code = (
        "import sys\nfrom realesrgan.cli.video import main\n"
        "try:\n    main(['--help'])\nexcept SystemExit:\n    pass\n"
        "sys.exit(any(name in sys.modules for name in ('torch', 'av', 'numpy', 'cv2')))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, timeout=60)
    assert done.returncode == 0 and "사용법" in done.stdout


def execute(folder: Path, model: list[str], *arguments: str, **options) -> subprocess.CompletedProcess:
    command = [sys.executable, str(SCRIPT), *arguments, *model]
    return subprocess.run(command, cwd=folder, capture_output=True, timeout=120, **options)


@pytest.mark.skipif(sys.platform == "win32", reason="파일 크기의 한도가 없다")
@pytest.mark.parametrize("limit", [2_000, 20_000])
def test_a_full_disk_is_explained_and_the_old_result_is_intact(tmp_path, model, limit):
    make_video(tmp_path / "a.mp4", 300, (64, 48), gop=24)
    (tmp_path / "b.mp4").write_bytes(b"precious")
    script = (
        "import resource, sys\n"
        "from realesrgan.cli.video import main\n"
        "import realesrgan.video.upscale\n"
        f"resource.setrlimit(resource.RLIMIT_FSIZE, ({limit}, {limit}))\n"
        "sys.exit(main(sys.argv[1:]))"
    )
    arguments = ["-i", "a.mp4", "-o", "b.mp4", "--overwrite", *model]
    done = subprocess.run(
        [sys.executable, "-c", script, *arguments],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        timeout=120,
    )
    assert done.returncode == 1 and "쓸 수 없습니다" in done.stderr, done.stderr
    assert (tmp_path / "b.mp4").read_bytes() == b"precious"
    again = execute(tmp_path, model, "-i", "a.mp4", "-o", "b.mp4", "--overwrite")
    assert again.returncode == 0 and len(pixels(tmp_path / "b.mp4")) == 300
    assert not leftovers(tmp_path)


@pytest.mark.slow
def test_standard_input_and_output_carry_the_video(tmp_path, model):
    make_video(tmp_path / "a.mp4", 12)
    out = execute(tmp_path, model, "-i", "a.mp4", "-o", "-")
    assert out.returncode == 0 and b"\xec\x99\x84\xeb\xa3\x8c" in out.stderr
    (tmp_path / "a.nut").write_bytes(out.stdout)
    assert [image.shape for image in pixels(tmp_path / "a.nut")] == [(48, 64, 3)] * 12
    back = execute(tmp_path, model, "-i", "-", "-o", "b.mkv", input=out.stdout)
    assert back.returncode == 0, back.stderr.decode()
    assert len(pixels(tmp_path / "b.mkv")) == 12
    assert not leftovers(tmp_path)


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="신호의 뜻이 다르다")
@pytest.mark.parametrize("part", [0, 2000])
def test_ctrl_c_while_standard_input_is_silent_ends_at_once(tmp_path, model, part):
    content = make_video(tmp_path / "a.mkv", 60).read_bytes()
    process = subprocess.Popen(
        [sys.executable, str(SCRIPT), "-i", "-", "-o", "b.mkv", *model],
        cwd=tmp_path,
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    )
    process.stdin.write(content[:part])
    process.stdin.flush()
    time.sleep(8)
    process.send_signal(signal.SIGINT)
    assert process.wait(30) == 130, process.stderr.read().decode()
    process.stdin.close()
    assert not (tmp_path / "b.mkv").exists()


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="신호의 뜻이 다르다")
def test_killed_at_random_moments_and_resumed_gives_the_same_video(tmp_path, nearest_weights, model):
    make_video(tmp_path / "a.mp4", 1440, gop=24)
    assert execute(tmp_path, model, "-i", "a.mp4", "-o", "whole.mp4").returncode == 0
    killed = 0
    for attempt in range(12):
        process = subprocess.Popen(
            [sys.executable, str(SCRIPT), "-i", "a.mp4", "-o", "cut.mp4", "--resume", *model],
            cwd=tmp_path,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
        )
        began = len(work_files(tmp_path, "*.seg"))
        wait = random.Random(attempt).uniform(0, 0.8)  # noqa: S311 - 죽일 때를 고르는 것이지 암호가 아니다
        deadline = time.monotonic() + 60
        while process.poll() is None and time.monotonic() < deadline:
            if killed < 3 and len(work_files(tmp_path, "*.seg")) > began:
                time.sleep(wait)
                process.kill()
                killed += 1
                break
            time.sleep(0.01)
        process.wait(60)
        if process.returncode == 0:
            break
        assert not (tmp_path / "cut.mp4").exists()
    assert killed >= 1 and process.returncode == 0, process.stderr.read()
    assert hashes(tmp_path / "cut.mp4") == hashes(tmp_path / "whole.mp4")
    assert not leftovers(tmp_path)


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="신호의 뜻이 다르다")
def test_ctrl_c_leaves_a_resumable_state_and_no_broken_output(tmp_path, model):
    make_video(tmp_path / "a.mp4", 720, gop=24)
    process = subprocess.Popen(
        [sys.executable, str(SCRIPT), "-i", "a.mp4", "-o", "b.mp4", "--report", "r.json", *model],
        cwd=tmp_path,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    deadline = time.monotonic() + 60
    while not work_files(tmp_path, "0*.json") and time.monotonic() < deadline:
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 130 and "--resume" in said
    assert report(tmp_path / "r.json")["status"] == "interrupted"
    assert not (tmp_path / "b.mp4").exists()
    done = execute(tmp_path, model, "-i", "a.mp4", "-o", "b.mp4")
    assert done.returncode == 2 and "--resume" in done.stderr.decode()
    assert execute(tmp_path, model, "-i", "a.mp4", "-o", "b.mp4", "--resume").returncode == 0
    assert len(pixels(tmp_path / "b.mp4")) == 720


def torchrun(folder: Path, model: list[str], *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "torch.distributed.run", "--nproc_per_node=2", "--standalone", str(SCRIPT)]
    environment = {key: value for key, value in os.environ.items() if key != "OMP_NUM_THREADS"}
    environment["PYTHONPATH"] = str(ROOT)
    return subprocess.run(
        [*command, *arguments, *model], cwd=folder, capture_output=True, text=True, env=environment, timeout=180
    )


@pytest.mark.slow
def test_two_ranks_make_the_same_video_as_one(tmp_path, model):
    make_video(tmp_path / "a.mp4", 600, gop=24)
    assert execute(tmp_path, model, "-i", "a.mp4", "-o", "one.mp4").returncode == 0
    done = torchrun(tmp_path, model, "-i", "a.mp4", "-o", "two.mp4", "--report", "r.json")
    assert done.returncode == 0, done.stderr
    assert hashes(tmp_path / "two.mp4") == hashes(tmp_path / "one.mp4")
    found = report(tmp_path / "r.json")
    assert found["frames"] == 600 and found["stages"]["workers"] >= 2
    assert not leftovers(tmp_path)


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="신호의 뜻이 다르다")
def test_a_rank_that_dies_fails_the_job_and_its_segments_are_redone(tmp_path, model):
    psutil = pytest.importorskip("psutil")
    make_video(tmp_path / "a.mp4", 1200, gop=24)
    command = [sys.executable, "-m", "torch.distributed.run", "--nproc_per_node=2", "--standalone", str(SCRIPT)]
    process = subprocess.Popen(
        [*command, "-i", "a.mp4", "-o", "b.mp4", *model],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    deadline = time.monotonic() + 60
    while not work_files(tmp_path, "0*.json") and time.monotonic() < deadline:
        time.sleep(0.01)
    ranks = [child for child in psutil.Process(process.pid).children(recursive=True) if str(SCRIPT) in child.cmdline()]
    ranks[-1].kill()
    _, said = process.communicate(timeout=90)
    assert process.returncode != 0 and "--resume" in said
    assert not (tmp_path / "b.mp4").exists()
    done = torchrun(tmp_path, model, "-i", "a.mp4", "-o", "b.mp4", "--resume", "--report", "r.json")
    assert done.returncode == 0, done.stderr
    assert 0 < report(tmp_path / "r.json")["resumed"] < 1200
    assert execute(tmp_path, model, "-i", "a.mp4", "-o", "one.mp4").returncode == 0
    assert hashes(tmp_path / "b.mp4") == hashes(tmp_path / "one.mp4")


@pytest.mark.slow
def test_a_video_that_cannot_be_read_fails_on_every_rank_without_hanging(tmp_path, model):
    (tmp_path / "a.mp4").write_bytes(b"not a video")
    make_video(tmp_path / "b.mp4", 6)
    done = torchrun(tmp_path, model, "-i", "a.mp4", "b.mp4", "-o", "out", "--report", "r.json")
    assert done.returncode == 1
    files = json.loads((tmp_path / "r.json").read_text())["files"]
    assert [item["status"] for item in files] == ["failed", "done"]


@pytest.mark.slow
def test_the_real_model_makes_a_video_that_looks_like_its_source(tmp_path, run):
    make_video(tmp_path / "a.mp4", 3, (48, 32))
    done = run("-i", "a.mp4", "-o", "b.mp4", "--device", "cpu", use_model=False)
    assert done.returncode == 0, done.stderr
    for small, large in zip(pixels(tmp_path / "a.mp4"), pixels(tmp_path / "b.mp4"), strict=True):
        shrunk = large.reshape(32, 4, 48, 4, 3).mean(axis=(1, 3))
        assert np.abs(shrunk - small).mean() < 4


def test_a_change_of_shape_can_be_split_into_results_of_their_own(run, tmp_path):
    for number, size in enumerate(["64x48", "96x48", "64x48"]):
        ffmpeg("-f", "lavfi", "-i", f"testsrc2=s={size}:r=24:d=0.5", "-f", "lavfi", "-i", "sine=d=0.5",
               "-c:v", "mpeg2video", "-g", "6", "-bf", "0", "-c:a", "mp2",
               "-output_ts_offset", 0.5 * number, tmp_path / f"{number}.ts")  # fmt: skip
    joined = b"".join((tmp_path / f"{number}.ts").read_bytes() for number in range(3))
    (tmp_path / "c.ts").write_bytes(joined)
    done = run("-i", "c.ts", "-o", "o.mp4", "--on_change", "split", "--report", "r.json")
    assert done.returncode == 0, done.stderr
    assert "나눈 결과 3개" in done.stdout
    found = report(tmp_path / "r.json")
    # MPEG-2의 디코더는 크기가 바뀌는 곳마다 들고 있던 한 프레임을 잃는다.
    assert found["frames"] == 34 and found["parts"] == [f"o_part{number}.mp4" for number in (1, 2, 3)]
    shapes = [{image.shape for image in pixels(tmp_path / name)} for name in found["parts"]]
    assert shapes == [{(96, 128, 3)}, {(96, 192, 3)}, {(96, 128, 3)}]
    assert not (tmp_path / "o.mp4").exists() and not leftovers(tmp_path)
    again = run("-i", "c.ts", "-o", "o.mp4", "--on_change", "split")
    assert again.returncode == 2 and "이미 있습니다" in again.stderr
    (tmp_path / "o_part2.mp4").unlink()
    assert run("-i", "c.ts", "-o", "o.mp4", "--on_change", "split", "--resume").returncode == 0
    assert len(pixels(tmp_path / "o_part2.mp4")) == 11
    make_video(tmp_path / "plain.mp4", 6)
    assert run("-i", "plain.mp4", "-o", "p.mp4", "--on_change", "split").returncode == 0
    assert len(pixels(tmp_path / "p.mp4")) == 6
    assert run("-i", "-", "-o", "q.mp4", "--on_change", "split").returncode == 2


def test_sound_that_overlaps_in_a_spliced_broadcast_does_not_spoil_the_result(run, tmp_path):
    make_video(tmp_path / "a.mp4", 48)
    ffmpeg("-i", tmp_path / "a.mp4", "-c:v", "mpeg2video", "-bf", "0", "-c:a", "mp2", "-ar", "48000", tmp_path / "a.ts")
    (tmp_path / "b.ts").write_bytes((tmp_path / "a.ts").read_bytes() * 2)
    done = run("-i", "b.ts", "-o", "b.mp4")
    assert done.returncode == 0, done.stderr
    import av

    with av.open(str(tmp_path / "b.mp4")) as made:
        sound = made.streams.audio[0]
        assert 3.8 < float(sound.duration * sound.time_base) < 4.3
