"""사진 명령을 사람이 쓰듯 프로세스로 돌려 본다."""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch

from realesrgan.archs import RRDBNet, SRVGGNetCompact
from realesrgan.cli.image import PictureCommand, main
from realesrgan.media.image import Frame, Picture, read_image, write_image
from realesrgan.version import __version__
from tests.cli.plugin import PLUGIN
from tests.conftest import ROOT


def _draw(path: Path, height: int = 12, width: int = 16, channels: int = 3, dtype: type = np.uint8) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    shape = (height, width) if channels == 1 else (height, width, channels)
    image = np.random.default_rng(0).integers(0, np.iinfo(dtype).max, shape, dtype)
    path.write_bytes(cv2.imencode(path.suffix, image)[1].tobytes())
    return path


def _read(path: Path) -> Any:
    return cv2.imdecode(np.frombuffer(path.read_bytes(), np.uint8), cv2.IMREAD_UNCHANGED)


@pytest.fixture
def tiny(save_network: Callable[..., Path], tiny_srvgg: SRVGGNetCompact) -> str:
    """작은 네트워크의 가중치 경로."""
    return str(save_network(tiny_srvgg, "tiny.pth"))


@pytest.fixture
def run_process(tiny: str, tmp_path: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """명령을 프로세스로 돌리는 함수. 작은 네트워크를 쓴다."""

    def execute(*arguments: object) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, str(ROOT / "inference_realesrgan.py"), *map(str, arguments), "--model_path", tiny]
        return subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, timeout=120)

    return execute


@pytest.fixture
def run(
    tiny: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Iterator[Callable[..., subprocess.CompletedProcess[str]]]:
    """명령을 이 프로세스에서 부르는 함수. 프로세스를 띄우는 시간을 아낀다. 작은 네트워크를 쓴다."""
    monkeypatch.chdir(tmp_path)
    before = signal.getsignal(signal.SIGTERM)

    def execute(*arguments: object, model: bool = True) -> subprocess.CompletedProcess[str]:
        line = [*map(str, arguments), *(["--model_path", tiny] if model else [])]
        capsys.readouterr()
        try:
            code = main(line)
        except SystemExit as error:
            code = int(error.code or 0)
        captured = capsys.readouterr()
        return subprocess.CompletedProcess(line, code, captured.out, captured.err)

    yield execute
    signal.signal(signal.SIGTERM, before)


def _leftovers(folder: Path) -> list[str]:
    return [path.name for path in folder.rglob("*") if path.name.startswith(".") or path.suffix in (".part", ".tmp")]


def test_folder_of_pictures_is_upscaled_and_reported(run_process: Callable[..., Any], tmp_path: Path) -> None:
    _draw(tmp_path / "in" / "color.jpg")
    _draw(tmp_path / "in" / "gray.png", channels=1)
    _draw(tmp_path / "in" / "clear.png", channels=4)
    _draw(tmp_path / "in" / "한글 이름 16.png", dtype=np.uint16)
    done = run_process("-i", "in", "-o", "out", "--report", "out/report.json")
    assert done.returncode == 0, done.stderr
    shapes = {
        path.name: (_read(path).shape, _read(path).dtype)
        for path in (tmp_path / "out").iterdir()
        if path.suffix != ".json"
    }
    assert shapes == {
        "color_out.jpg": ((48, 64, 3), np.uint8),
        "gray_out.png": ((48, 64), np.uint8),
        "clear_out.png": ((48, 64, 4), np.uint8),
        "한글 이름 16_out.png": ((48, 64, 3), np.uint16),
    }
    report = json.loads((tmp_path / "out" / "report.json").read_text(encoding="utf-8"))
    assert (report["version"], report["exit_code"], report["counts"]["done"]) == (__version__, 0, 4)
    assert all(item["output_size"] == [64, 48] and item["seconds"] > 0 for item in report["files"])
    # 파이프에서는 막대 없이 한 줄씩 말한다.
    assert done.stdout.count("완료: ") == 4 and "\r" not in done.stdout + done.stderr


def test_one_picture_to_one_file(run: Callable[..., Any], tmp_path: Path) -> None:
    _draw(tmp_path / "input.jpg")
    assert run("-i", "input.jpg", "-o", "output.jpg", "-s", "2.5").returncode == 0
    assert _read(tmp_path / "output.jpg").shape == (30, 40, 3)


def test_bad_files_are_reported_and_the_others_done(run_process: Callable[..., Any], tmp_path: Path) -> None:
    folder = tmp_path / "in"
    whole = _draw(folder / "good.png", 40, 40).read_bytes()
    (folder / "cut.png").write_bytes(whole[: len(whole) // 2])
    (folder / "cut.jpg").write_bytes(_draw(folder / "x.jpg", 40, 40).read_bytes()[:600])
    (folder / "x.jpg").unlink()
    (folder / "empty.png").write_bytes(b"")
    (folder / "text.png").write_text("안녕하세요. 이미지가 아닙니다.")
    done = run_process("-i", "in", "-o", "out", "--report", "r.json")
    assert done.returncode == 1
    report = json.loads((tmp_path / "r.json").read_text(encoding="utf-8"))
    status = {Path(item["input"]).name: item["status"] for item in report["files"]}
    expected = dict.fromkeys(("cut.png", "cut.jpg", "empty.png", "text.png"), "failed")
    assert status == expected | {"good.png": "done"}
    for item in report["files"]:
        assert item["status"] == "done" or any("가" <= letter <= "힣" for letter in item["reason"])
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["good_out.png"]
    assert "Traceback" not in done.stderr


def test_bomb_is_refused_by_its_output_size_and_the_limit_can_be_raised(
    run: Callable[..., Any], tmp_path: Path
) -> None:
    _draw(tmp_path / "a.png", 20, 20)
    refused = run("-i", "a.png", "-o", "out", "--max_pixels", "6399")
    assert refused.returncode == 1 and "--max_pixels" in refused.stdout + refused.stderr
    assert run("-i", "a.png", "-o", "out", "--max_pixels", "6400").returncode == 0


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (("-i", "없음.png"), 2, "입력이 없습니다"),
        (("-i", "a.png", "-n", "모름"), 2, "모르는 모델"),
        (("-i", "a.png", "--face_strength", "0.5"), 2, "--face_enhance도 주세요"),
        (("-i", "a.png", "--model_path", "없음.pth"), 1, "파일이 없습니다"),
        (("-i", "a.png", "--model_path", "text.pth"), 1, "깨졌거나"),
        (("-i", "a.png", "-n", "realesr-animevideov3", "--model_path", "tiny.pth"), 1, "맞지 않습니다"),
        (("-i", "a.png", "--device", "cuda:77"), 1, "--device cpu|번호를"),
        (("-i", "a.png", "--backend", "모름"), 2, "쓸 수 있는 이름: auto, torch, compile, openvino, onnxruntime"),
        (("-i", "a.png", "--steps", "모름=1"), 2, "모르는 단계"),
        (("-i", "a.png", "--steps", "blend=2"), 2, "0과 1 사이"),
        (("-i", "a.png", "--plugin", "없음.py"), 2, "그런 파일이나 폴더가 없습니다"),
        (("-i", "a.png", "--plugin", "broken.py"), 2, "1번째 줄에서"),
    ],
    ids=[
        *("input", "model", "face", "no weights", "text weights", "wrong state dict", "device"),
        *("backend", "step", "step value", "plugin", "broken plugin"),
    ],
)
def test_wrong_use_says_what_to_do(
    run: Callable[..., Any], tiny: str, tmp_path: Path, arguments: tuple[str, ...], code: int, words: str
) -> None:
    _draw(tmp_path / "a.png")
    (tmp_path / "text.pth").write_text("hello")
    (tmp_path / "broken.py").write_text("1 / 0")
    has_model = "--model_path" in arguments or "-n" in arguments
    done = run(*arguments, "-o", "out", model=not has_model)
    assert done.returncode == code
    assert any(word in done.stdout + done.stderr for word in words.split("|"))
    assert "Traceback" not in done.stderr
    assert not list((tmp_path / "out").glob("*")) if (tmp_path / "out").exists() else True


def test_missing_weights_without_a_network_name_the_address(
    run: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _draw(tmp_path / "a.png")
    monkeypatch.setenv("https_proxy", "http://127.0.0.1:9")
    monkeypatch.setenv("REALESRGAN_HOME", str(tmp_path / "home"))
    done = run("-i", "a.png", "-n", "RealESRGAN_x2plus", model=False)
    assert done.returncode == 1
    assert "releases/download/v0.2.1/RealESRGAN_x2plus.pth" in done.stderr
    assert str(tmp_path / "weights") in done.stderr


def test_output_that_cannot_be_written_is_said_before_computing(run: Callable[..., Any], tmp_path: Path) -> None:
    _draw(tmp_path / "a.png")
    (tmp_path / "file").write_text("")
    done = run("-i", "a.png", "-o", "file/out")
    assert done.returncode == 1
    assert "결과 폴더에 쓸 수 없습니다" in done.stdout


def test_existing_results_are_skipped_on_request(run: Callable[..., Any], tmp_path: Path) -> None:
    _draw(tmp_path / "in" / "a.png")
    _draw(tmp_path / "in" / "b.png")
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "a_out.png").write_bytes(b"kept")
    done = run("-i", "in", "-o", "out", "--skip_existing")
    assert done.returncode == 0 and "건너뜀 1" in done.stdout
    assert (tmp_path / "out" / "a_out.png").read_bytes() == b"kept"
    assert _read(tmp_path / "out" / "b_out.png").shape == (48, 64, 3)


def test_dry_run_tells_names_sizes_memory_and_time_and_writes_nothing(run: Callable[..., Any], tmp_path: Path) -> None:
    _draw(tmp_path / "in" / "a.png")
    (tmp_path / "in" / "b.png").write_text("x")
    done = run("-i", "in", "-o", "out", "-s", "2", "--dry_run")
    assert done.returncode == 1
    for words in ("a_out.png", "16x12 -> 32x24", "MB", "초", "읽을 수 없음"):
        assert words in done.stdout
    assert not (tmp_path / "out").exists()


def test_own_network_of_any_shape_just_loads(
    run: Callable[..., Any], tiny_rrdbnet: Callable[[int], RRDBNet], tmp_path: Path
) -> None:
    _draw(tmp_path / "a.png")
    torch.save({"params": tiny_rrdbnet(2).state_dict()}, tmp_path / "mine.pth")
    assert run("-i", "a.png", "-o", "b.png", "--model_path", "mine.pth", "-s", "2", model=False).returncode == 0
    assert _read(tmp_path / "b.png").shape == (24, 32, 3)


def test_denoise_strength_blends_the_two_networks(tmp_path: Path, run: Callable[..., Any]) -> None:
    _draw(tmp_path / "a.png")
    torch.manual_seed(0)
    for name in ("realesr-general-x4v3", "realesr-general-wdn-x4v3"):
        network = SRVGGNetCompact(num_conv=32)
        with torch.no_grad():
            network.body[-1].bias += 0.4 if "wdn" in name else -0.4
            network.body[-1].weight *= 0
        (tmp_path / "weights").mkdir(exist_ok=True)
        torch.save({"params": network.state_dict()}, tmp_path / "weights" / f"{name}.pth")
    means = []
    for strength in (0, 0.5, 1):
        done = run("-i", "a.png", "-o", f"{strength}.png", "-n", "realesr-general-x4v3", "-dn", strength, model=False)
        assert done.returncode == 0, done.stdout + done.stderr
        means.append(float(_read(tmp_path / f"{strength}.png").mean()))
    assert means[0] > means[1] > means[2]


def test_same_command_by_two_names(tmp_path: Path) -> None:
    for command in ([str(ROOT / "inference_realesrgan.py")], ["-m", "realesrgan"]):
        done = subprocess.run(
            [sys.executable, *command, "--version"], capture_output=True, text=True, cwd=ROOT, check=True
        )
        assert __version__ in done.stdout


def test_models_are_listed_in_korean(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--list_models"]) == 0
    text = capsys.readouterr().out
    assert text.count("배,") + text.count("배\n") >= 7
    assert "RealESRGAN_x4plus (기본)" in text


def test_help_answers_at_once() -> None:
    times = []
    for _ in range(3):
        started = time.perf_counter()
        subprocess.run([sys.executable, "-m", "realesrgan", "--help"], capture_output=True, cwd=ROOT, check=True)
        times.append(time.perf_counter() - started)
    assert min(times) < 0.4


def test_korean_survives_a_console_that_cannot_show_it(tmp_path: Path) -> None:
    environment = os.environ | {"PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0"}
    done = subprocess.run(
        [sys.executable, "-m", "realesrgan", "--list_models"], capture_output=True, cwd=ROOT, env=environment
    )
    assert done.returncode == 0 and b"RealESRGAN_x4plus" in done.stdout


@pytest.mark.skipif(os.name == "nt", reason="신호의 뜻이 다르다")
@pytest.mark.parametrize("kind", [signal.SIGINT, signal.SIGTERM])
def test_interrupt_leaves_no_half_written_file(
    tmp_path: Path, save_network: Callable[..., Path], kind: signal.Signals
) -> None:
    slow = save_network(SRVGGNetCompact(num_feat=64, num_conv=32), "slow.pth")
    for index in range(4):
        _draw(tmp_path / "in" / f"{index}.png", 160, 160)
    command = [sys.executable, str(ROOT / "inference_realesrgan.py"), "-i", "in", "-o", "out", "-t", "32"]
    process = subprocess.Popen(
        [*command, "--model_path", str(slow), "--report", "r.json"],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline().startswith("엔진: ")
    assert "완료" in process.stdout.readline()
    time.sleep(0.2)
    process.send_signal(kind)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "중단했습니다" in errors and "Traceback" not in errors
    assert not _leftovers(tmp_path / "out")
    for path in (tmp_path / "out").iterdir():
        assert _read(path).shape == (640, 640, 3)
    statuses = [item["status"] for item in json.loads((tmp_path / "r.json").read_text(encoding="utf-8"))["files"]]
    assert statuses[0] == "done" and statuses[-1] == "interrupted" and len(statuses) == 4


@pytest.mark.slow
def test_files_are_shared_out_under_torchrun(tmp_path: Path, tiny: str) -> None:
    for index in range(5):
        _draw(tmp_path / "in" / f"{index}.png")
    (tmp_path / "in" / "bad.png").write_text("x")
    command = [sys.executable, "-m", "torch.distributed.run", "--nproc_per_node=2", "--standalone"]
    command += [str(ROOT / "inference_realesrgan.py"), "-i", "in", "-o", "in", "--model_path", tiny]
    environment = {key: value for key, value in os.environ.items() if key != "OMP_NUM_THREADS"}
    done = subprocess.run(
        [*command, "--report", "r.json"], cwd=tmp_path, capture_output=True, text=True, env=environment, timeout=120
    )
    report = json.loads((tmp_path / "r.json").read_text(encoding="utf-8"))
    assert done.returncode == 1
    assert report["exit_code"] == 1 and done.stderr.count("실패 1") == 1
    assert report["counts"] == {"done": 5, "failed": 1, "skipped": 0, "interrupted": 0}
    assert [Path(item["input"]).name for item in report["files"]] == [f"{n}.png" for n in range(5)] + ["bad.png"]
    assert len(list((tmp_path / "in").glob("*_out.png"))) == 5


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="신호의 뜻이 다르다")
def test_interrupting_torchrun_keeps_what_every_rank_has_done(
    tmp_path: Path, save_network: Callable[..., Path]
) -> None:
    slow = save_network(SRVGGNetCompact(num_feat=64, num_conv=32), "slow.pth")
    _draw(tmp_path / "in" / "big.png", 1500, 1500)
    for index in range(3):
        _draw(tmp_path / "in" / f"{index}.png")
    command = [sys.executable, "-m", "torch.distributed.run", "--nproc_per_node=2", "--standalone"]
    command += [str(ROOT / "inference_realesrgan.py"), "-i", "in", "-o", "out", "--model_path", str(slow)]
    process = subprocess.Popen(
        [*command, "--report", "r.json"],
        cwd=tmp_path,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    deadline = time.monotonic() + 60
    while len(list(tmp_path.glob("out/[0-9]_out.png"))) < 3 and time.monotonic() < deadline:
        time.sleep(0.1)
    time.sleep(0.3)
    os.killpg(process.pid, signal.SIGINT)
    process.wait(60)
    counts = json.loads((tmp_path / "r.json").read_text(encoding="utf-8"))["counts"]
    assert counts == {"done": 3, "failed": 0, "skipped": 0, "interrupted": 1}
    assert not _leftovers(tmp_path / "out")


@pytest.mark.slow
def test_rank_without_work_does_not_hold_up_the_others(tmp_path: Path, tiny: str) -> None:
    _draw(tmp_path / "a.png")
    command = [sys.executable, "-m", "torch.distributed.run", "--nproc_per_node=3", "--standalone"]
    command += [str(ROOT / "inference_realesrgan.py"), "-i", "a.png", "-o", "out", "--model_path", tiny]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0 and "완료 1" in done.stdout


@pytest.mark.parametrize("report", ["a.png", "out/a_out.png", ".", "a.png/r.json"])
def test_report_never_overwrites_a_picture_and_is_checked_first(
    run: Callable[..., Any], tmp_path: Path, report: str
) -> None:
    before = _draw(tmp_path / "a.png").read_bytes()
    done = run("-i", "a.png", "-o", "out", "--report", report)
    assert done.returncode == 2 and "보고서" in done.stderr
    assert (tmp_path / "a.png").read_bytes() == before
    assert not (tmp_path / "out" / "a_out.png").exists()


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="UTF-8이 아닌 이름을 받는 파일 시스템")
def test_names_that_are_not_utf8_are_done_and_reported(run: Callable[..., Any], tmp_path: Path) -> None:
    source = _draw(tmp_path / "a.png")
    os.rename(os.fsencode(source), os.fsencode(tmp_path) + b"/\xb0\xa1.png")  # noqa: PTH104
    assert run("-i", "*.png", "-o", "out", "--report", "r.json").returncode == 0
    report = json.loads((tmp_path / "r.json").read_text(encoding="utf-8"))
    assert report["counts"]["done"] == 1


def test_full_disk_is_said_and_leaves_nothing(
    run: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _draw(tmp_path / "a.png")

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    done = run("-i", "a.png", "-o", "out")
    assert done.returncode == 1 and "디스크가 가득 찼습니다" in done.stdout
    assert not list((tmp_path / "out").iterdir())


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="/dev/full이 없다")
def test_full_log_file_does_not_stop_the_work(tmp_path: Path, tiny: str) -> None:
    _draw(tmp_path / "a.png")
    command = [sys.executable, str(ROOT / "inference_realesrgan.py"), "-i", "a.png", "-o", "out", "--model_path", tiny]
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(command, cwd=tmp_path, stdout=full, stderr=subprocess.PIPE, text=True, timeout=120)
    assert done.returncode == 0 and "Traceback" not in done.stderr
    assert _read(tmp_path / "out" / "a_out.png").shape == (48, 64, 3)


@pytest.mark.slow
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="최대 상주 메모리를 /proc에서 읽는다")
def test_hundred_megapixel_output_needs_little_more_than_itself(
    tmp_path: Path, save_network: Callable[..., Path]
) -> None:
    path = save_network(SRVGGNetCompact(num_feat=64, num_conv=0), "light.pth")
    ramp = np.broadcast_to(np.linspace(0, 255, 2500, dtype=np.uint8)[:, None], (2500, 2500, 3))
    (tmp_path / "a.png").write_bytes(cv2.imencode(".png", ramp)[1].tobytes())
    code = (
        "import re, sys\n"
        "from realesrgan.cli.image import main\n"
        "code = main(sys.argv[1:])\n"
        "print(code, re.search(r'VmHWM:\\s+(\\d+)', open('/proc/self/status').read())[1])\n"
    )
    command = [sys.executable, "-c", code, "-i", "a.png", "-o", "b.png", "--model_path", str(path)]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=200)
    status, peak = done.stdout.splitlines()[-1].split()
    assert status == "0", done.stderr
    assert int(peak) * 1024 <= 10000 * 10000 * 3 + 10**9


def _piped(tiny: str, folder: Path, *arguments: object, **options: Any) -> subprocess.CompletedProcess[bytes]:
    command = [sys.executable, str(ROOT / "inference_realesrgan.py"), *map(str, arguments), "--model_path", tiny]
    return subprocess.run(command, cwd=folder, timeout=120, **({"capture_output": True} | options))


@pytest.mark.parametrize("name", ["-", "/dev/stdin"])
def test_a_picture_comes_in_and_goes_out_through_pipes(tiny: str, tmp_path: Path, name: str) -> None:
    if name != "-" and not Path(name).exists():
        pytest.skip("이름 있는 표준 입력이 없다")
    data = _draw(tmp_path / "a.jpg").read_bytes()
    done = _piped(tiny, tmp_path, "-i", name, "-o", "-", input=data)
    assert done.returncode == 0 and done.stdout[:3] == b"\xff\xd8\xff", done.stderr
    assert "완료" in done.stderr.decode() and "표준 출력" in done.stderr.decode()
    image = cv2.imdecode(np.frombuffer(done.stdout, np.uint8), cv2.IMREAD_UNCHANGED)
    assert image.shape == (48, 64, 3)
    done = _piped(tiny, tmp_path, "-i", name, "-o", "-", "--ext", "png", input=data)
    assert done.stdout[:8] == b"\x89PNG\r\n\x1a\n"
    assert sorted(path.name for path in tmp_path.iterdir() if path.name != Path(tiny).name) == ["a.jpg"]


def test_a_picture_from_a_pipe_is_written_to_a_folder_or_a_file(tiny: str, tmp_path: Path) -> None:
    data = _draw(tmp_path / "a.webp").read_bytes()
    for output, made in (("out", "out/stdin_out.webp"), ("b.png", "b.png")):
        done = _piped(tiny, tmp_path, "-i", "-", "-o", output, "--report", "r.json", input=data)
        assert done.returncode == 0, done.stderr
        assert _read(tmp_path / made).shape == (48, 64, 3)
        item = json.loads((tmp_path / "r.json").read_text(encoding="utf-8"))["files"][0]
        assert (item["input"], item["output"]) == ("표준 입력", made)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="FIFO가 없다")
def test_a_named_pipe_is_read_once(tiny: str, tmp_path: Path) -> None:
    data = _draw(tmp_path / "a.jpg").read_bytes()
    os.mkfifo(tmp_path / "카메라.jpg")
    command = [sys.executable, str(ROOT / "inference_realesrgan.py"), "-i", "카메라.jpg", "-o", "out"]
    process = subprocess.Popen([*command, "--model_path", tiny], cwd=tmp_path, stdout=subprocess.DEVNULL)
    (tmp_path / "카메라.jpg").write_bytes(data)
    assert process.wait(120) == 0
    assert _read(tmp_path / "out" / "카메라_out.jpg").shape == (48, 64, 3)


@pytest.mark.parametrize(
    ("arguments", "data", "code", "words"),
    [
        (("-i", "-", "-o", "out"), b"", 1, "빈 파일"),
        (("-i", "-", "-o", "out"), "글".encode(), 1, "표준 입력"),
        (("-i", "-", "a.png", "-o", "out"), b"x", 2, "입력을 하나만"),
        (("-i", ".", "-o", "-"), b"", 2, "이미지 하나만"),
    ],
)
def test_pipes_that_cannot_be_used_say_why(
    tiny: str, tmp_path: Path, arguments: tuple[str, ...], data: bytes, code: int, words: str
) -> None:
    for name in ("a.png", "b.png"):
        _draw(tmp_path / name)
    done = _piped(tiny, tmp_path, *arguments, input=data)
    assert done.returncode == code and words in (done.stdout + done.stderr).decode()
    assert b"Traceback" not in done.stderr and b"/tmp" not in done.stdout


@pytest.mark.skipif(os.name == "nt", reason="셸의 넘겨주기가 다르다")
@pytest.mark.parametrize("redirect", [">&-", "2>&-", ">&- 2>&-", "<&- >&- 2>&-", "| true", "2>&1 | true"])
def test_streams_that_are_closed_do_not_stop_the_work(tiny: str, tmp_path: Path, redirect: str) -> None:
    for name in ("a.png", "b.png"):
        _draw(tmp_path / "in" / name)
    shell = f'"{sys.executable}" "{ROOT / "inference_realesrgan.py"}" -i in -o out -v --model_path "{tiny}" {redirect}'
    done = subprocess.run(["sh", "-c", shell], cwd=tmp_path, capture_output=True, timeout=120)
    deadline = time.monotonic() + 60
    while len(list((tmp_path / "out").glob("*_out.png"))) < 2 and time.monotonic() < deadline:
        time.sleep(0.1)
    assert [_read(path).shape for path in sorted((tmp_path / "out").glob("*_out.png"))] == [(48, 64, 3)] * 2
    assert b"Traceback" not in done.stderr and b"Exception" not in done.stderr
    if "|" not in redirect:
        assert done.returncode == 0


@pytest.mark.skipif(os.name == "nt", reason="셸의 넘겨주기가 다르다")
@pytest.mark.parametrize("option", ["--help", "--version", "--list_models"])
def test_help_into_a_closed_pipe_is_quiet(tmp_path: Path, option: str) -> None:
    for redirect in (">&-", "| true"):
        shell = f'"{sys.executable}" "{ROOT / "inference_realesrgan.py"}" {option} {redirect}'
        done = subprocess.run(["sh", "-c", shell], cwd=tmp_path, capture_output=True, timeout=60)
        assert done.returncode == 0 and done.stderr == b""


def test_a_second_run_into_the_same_folder_redoes_only_the_originals(run: Callable[..., Any], tmp_path: Path) -> None:
    _draw(tmp_path / "same" / "p.png")
    assert run("-i", "same", "-o", "same").returncode == 0
    _draw(tmp_path / "same" / "q.png")
    done = run("-i", "same", "-o", "same", "--skip_existing")
    assert done.returncode == 0 and "완료 1, 건너뜀 1" in done.stdout and "p_out.png" in done.stderr
    assert run("-i", "same", "-o", "same", "--report", "r.json").returncode == 0
    assert json.loads((tmp_path / "r.json").read_text(encoding="utf-8"))["counts"]["done"] == 2
    names = sorted(path.name for path in (tmp_path / "same").iterdir())
    assert names == ["p.png", "p_out.png", "q.png", "q_out.png"]


def test_pictures_that_cannot_be_read_are_counted(run: Callable[..., Any], tmp_path: Path) -> None:
    _draw(tmp_path / "in" / "a.png")
    (tmp_path / "in" / "b.psb").write_bytes(b"8BPS")
    done = run("-i", "in", "-o", "out", "--report", "r.json")
    assert done.returncode == 0 and "완료 1, 건너뜀 1" in done.stdout and "in/b.psb" in done.stdout
    files = json.loads((tmp_path / "r.json").read_text(encoding="utf-8"))["files"]
    assert [(item["status"], bool(item["reason"])) for item in files] == [("done", False), ("skipped", True)]
    assert run("-i", "in/b.psb", "-o", "out").returncode == 1
    assert "b.psb" in run("-i", "in", "-o", "out", "--dry_run").stdout


@pytest.mark.parametrize("scale", [1, 2])
def test_a_network_gives_its_own_scale_unless_told(
    run: Callable[..., Any], tiny_rrdbnet: Callable[[int], RRDBNet], tmp_path: Path, scale: int
) -> None:
    _draw(tmp_path / "a.png")
    torch.save({"params": tiny_rrdbnet(scale).state_dict()}, tmp_path / "mine.pth")
    done = run("-i", "a.png", "-o", "b.png", "--model_path", "mine.pth", "--report", "r.json", model=False)
    assert _read(tmp_path / "b.png").shape == (12 * scale, 16 * scale, 3) and f"{scale}배" in done.stdout
    item = json.loads((tmp_path / "r.json").read_text(encoding="utf-8"))["files"][0]
    assert (item["outscale"], item["output_size"]) == (scale, [16 * scale, 12 * scale])
    assert run("-i", "a.png", "-o", "c.png", "--model_path", "mine.pth", "-s", "4", model=False).returncode == 0
    assert _read(tmp_path / "c.png").shape == (48, 64, 3)


def test_sizes_are_rounded_as_one_would_by_hand(run: Callable[..., Any], tmp_path: Path) -> None:
    _draw(tmp_path / "a.png", 10, 100)
    assert run("-i", "a.png", "-o", "b.png", "-s", "2.3", "--report", "r.json").returncode == 0
    assert _read(tmp_path / "b.png").shape == (23, 230, 3)
    item = json.loads((tmp_path / "r.json").read_text(encoding="utf-8"))["files"][0]
    assert item["output_size"] == [230, 23]


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="제어 문자가 든 이름을 받는 파일 시스템")
def test_names_cannot_drive_the_terminal(run: Callable[..., Any], tmp_path: Path) -> None:
    _draw(tmp_path / "a.png").rename(tmp_path / "빨강\x1b[31m\n.png")
    done = run("-i", ".", "-o", "out")
    assert done.returncode == 0 and "\x1b" not in done.stdout and "빨강\\x1b[31m\\n.png" in done.stdout


def _file_of_report(path: Path) -> dict[str, Any]:
    files = json.loads(path.read_text(encoding="utf-8"))["files"]
    assert len(files) == 1
    return dict(files[0])


def test_blending_fades_the_network_into_a_plain_enlargement(run: Callable[..., Any], tmp_path: Path) -> None:
    _draw(tmp_path / "a.png")
    pictures = {}
    for strength in ("1", "0.5", "0"):
        assert run("-i", "a.png", "-o", f"{strength}.png", "--blend", strength, "--report", "r.json").returncode == 0
        steps = _file_of_report(tmp_path / "r.json")["steps"]
        assert steps == ([] if strength == "1" else [f"blend={strength}"])
        pictures[strength] = _read(tmp_path / f"{strength}.png").astype(int)
    assert run("-i", "a.png", "-o", "same.png", "--steps", "blend=0.5").returncode == 0
    assert (_read(tmp_path / "same.png") == pictures["0.5"]).all()
    assert np.abs(pictures["1"] - pictures["0"]).max() > 8
    assert np.abs((pictures["1"] + pictures["0"]) / 2 - pictures["0.5"]).max() <= 1


@pytest.mark.usefixtures("without_amx")
@pytest.mark.parametrize("backend", ["auto", "torch", "compile", "ncnn", "openvino", "onnxruntime"])
def test_every_engine_is_reachable_and_named_in_the_report(
    run: Callable[..., Any], tmp_path: Path, backend: str
) -> None:
    if backend in ("openvino", "onnxruntime"):
        pytest.importorskip(backend)
    _draw(tmp_path / "a.png")
    options = ("--backend", backend, "--device", "cpu", "--precision", "fp32", "--report", "r.json")
    done = run("-i", "a.png", "-o", "b.png", *options)
    assert done.returncode == 0, done.stdout + done.stderr
    item = _file_of_report(tmp_path / "r.json")
    used = (item["backend"], item["device"], item["precision"])
    assert used == ("ncnn" if backend == "auto" else backend, "cpu", "fp32")
    assert run("-i", "a.png", "-o", "c.png", "--device", "cpu").returncode == 0
    assert np.abs(_read(tmp_path / "b.png").astype(int) - _read(tmp_path / "c.png")).max() <= 1


def test_an_engine_whose_package_is_missing_says_how_to_install_it(
    run: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _draw(tmp_path / "a.png")
    monkeypatch.setitem(sys.modules, "openvino", None)
    done = run("-i", "a.png", "-o", "out", "--backend", "openvino")
    assert done.returncode == 1 and "pip install openvino" in done.stderr
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("by", ["option", "environment"])
def test_one_file_adds_a_network_an_engine_and_a_step_to_the_command(tmp_path: Path, by: str) -> None:
    picture = _read(_draw(tmp_path / "a.png"))
    (tmp_path / "mine.py").write_text(PLUGIN, encoding="utf-8")
    torch.save({"params": {"gain": torch.ones(())}}, tmp_path / "mine.pth")
    command = [sys.executable, str(ROOT / "inference_realesrgan.py"), "-i", "a.png", "-o", "b.png"]
    command += ["--model_path", "mine.pth", "--steps", "invert=all", "--backend", "mine", "--report", "r.json"]
    given = {"REALESRGAN_PLUGINS": "mine.py"} if by == "environment" else {}
    command += ["--plugin", "mine.py"] if by == "option" else []
    done = subprocess.run(
        command, cwd=tmp_path, capture_output=True, text=True, timeout=120, env={**os.environ, **given}
    )
    assert done.returncode == 0, done.stdout + done.stderr
    item = _file_of_report(tmp_path / "r.json")
    assert (item["backend"], item["steps"], item["outscale"]) == ("mine", ["invert=all"], 2)
    assert (_read(tmp_path / "b.png") == 255 - picture.repeat(2, 0).repeat(2, 1)).all()


def test_a_large_result_gathered_in_a_file_is_the_same(
    run: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, channels, dtype in (("c.png", 3, np.uint8), ("g.png", 1, np.uint16), ("a.png", 4, np.uint8)):
        _draw(tmp_path / "in" / name, channels=channels, dtype=dtype)
    (tmp_path / "in" / "t.tif").write_bytes(cv2.imencode(".tif", _read(tmp_path / "in" / "c.png"))[1].tobytes())
    assert run("-i", "in", "-o", "memory").returncode == 0
    monkeypatch.setattr("realesrgan.inference.picture.RAW_BYTES", 0)
    assert run("-i", "in", "-o", "file").returncode == 0
    assert run("-i", "in", "-o", "scaled", "-s", "3.5").returncode == 0
    for path in (tmp_path / "memory").iterdir():
        assert (_read(path) == _read(tmp_path / "file" / path.name)).all()
        assert _read(tmp_path / "scaled" / path.name).shape[0] == round(_read(path).shape[0] * 3.5 / 4)
    assert _leftovers(tmp_path) == []


def test_modification_time_is_kept_and_compression_changes_only_the_size(
    run: Callable[..., Any], tmp_path: Path
) -> None:
    source = _draw(tmp_path / "a.png")
    os.utime(source, (1_000_000_000, 1_000_000_000))
    assert run("-i", source, "-o", "small.png", "--png_compression", 9, "--keep_time").returncode == 0
    assert run("-i", source, "-o", "fast.png", "--png_compression", 0).returncode == 0
    small, fast = tmp_path / "small.png", tmp_path / "fast.png"
    assert small.stat().st_mtime == 1_000_000_000 and fast.stat().st_mtime > 1_000_000_000
    assert small.stat().st_size < fast.stat().st_size and (_read(small) == _read(fast)).all()
    assert run("-i", source, "-o", "b.png", "--png_compression", 10).returncode == 2


def test_pages_of_a_tiff_are_upscaled_one_by_one_or_refused(run: Callable[..., Any], tmp_path: Path) -> None:
    first, second = _read(_draw(tmp_path / "1.png")), _read(_draw(tmp_path / "2.png", channels=1))
    write_image(tmp_path / "in.tif", Picture((Frame(first), Frame(second)), 2, pages=True))
    done = run("-i", "in.tif", "-o", "out")
    assert done.returncode == 0 and "2쪽" in done.stdout
    pages = [frame.array.shape for frame in read_image(tmp_path / "out" / "in_out.tif").frames]
    assert pages == [(first.shape[0] * 4, first.shape[1] * 4, 3), (second.shape[0] * 4, second.shape[1] * 4)]
    done = run("-i", "in.tif", "-o", "out.png")
    assert done.returncode == 2 and "--ext tif" in done.stderr


def test_the_time_of_each_overlapping_picture_leaves_out_its_wait():
    """뒤의 것은 앞의 것의 계산을 기다린다. 그 시간은 제 것이 아니다."""
    command, asked, waited = PictureCommand(argparse.Namespace(), ExitStack()), threading.Event(), {}

    def first() -> None:
        asked.wait()
        time.sleep(0.5)

    def call(name: str, work: Callable[[], Any]) -> None:
        command._waited.seconds = 0.0
        command._in_turn(work)
        waited[name] = command._waited.seconds

    threads = [threading.Thread(target=call, args=("앞", first)), threading.Thread(target=call, args=("뒤", bool))]
    threads[0].start()
    time.sleep(0.2)
    threads[1].start()
    # 뒤의 것이 차례를 청한 다음에 앞의 것이 0.5초를 쓴다.
    time.sleep(0.1)
    asked.set()
    for thread in threads:
        thread.join()
    assert waited["앞"] < waited["뒤"] and waited["뒤"] > 0.3
