"""화질과 크기의 옵션을 두 명령에서 쓴다."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from realesrgan.cli.image import main
from realesrgan.cli.video import main as video_main
from realesrgan.util.optional import prepare_torchvision
from tests.conftest import ROOT

Command = Callable[..., tuple[int, dict[str, Any]]]


@pytest.fixture
def command(nearest_weights: Callable[[int], Path], tmp_path: Path) -> Command:
    """작은 이미지 하나를 최근접 확대로 키워 `(종료 코드, 보고서의 첫 줄)`을 돌려주는 함수."""
    picture = tmp_path / "photo.png"
    image = np.random.default_rng(0).integers(0, 256, (12, 16, 3), np.uint8)
    cv2.imwrite(str(picture), image)

    def run(*options: object, source: Path = picture, work: Callable[..., int] = main, scale: int = 4) -> Any:
        report = tmp_path / "report.json"
        report.unlink(missing_ok=True)
        line = ["-i", source, "-o", tmp_path / "out", "--model_path", nearest_weights(scale), "--device", "cpu"]
        try:
            code = work([str(part) for part in (*line, "--report", report, *options)])
        except SystemExit as error:
            code = int(error.code or 0)
        return code, json.loads(report.read_text())["files"][0] if report.exists() else {}

    return run


@pytest.mark.parametrize(
    ("options", "size"),
    [
        (("--width", 40), [40, 30]),
        (("--height", 15), [20, 15]),
        (("--long_side", 64), [64, 48]),
        (("--fit", "100x24"), [32, 24]),
        (("-s", 8), [128, 96]),
    ],
)
def test_size_is_what_was_asked_for(command: Command, options: tuple[Any, ...], size: list[int]) -> None:
    code, found = command(*options)
    assert (code, found["output_size"]) == (0, size)
    assert found["outscale"] == pytest.approx(size[0] / 16)
    again = any("번 키웁니다" in note for note in found["notes"])
    assert again == (options == ("-s", 8))


def test_film_takes_the_same_sizes_and_tells_of_the_second_pass(command: Command, tmp_path: Path) -> None:
    pytest.importorskip("av")
    film = ROOT / "assets" / "pan.mp4"
    code, found = command("--fit", "640x640", "--end", "0.3", source=film, work=video_main, scale=2)
    assert (code, found["output_size"]) == (0, [640, 360])
    assert any("번 키웁니다: 160x90 -> 320x180 -> 640x360" in note for note in found["notes"])


@pytest.mark.parametrize(
    "options", [("--width", 9, "-s", 2), ("--fit", "9x9", "--height", 9), ("--fit", "9"), ("--width", 0)]
)
def test_sizes_that_contradict_or_say_nothing_are_a_usage_error(
    command: Command, options: tuple[Any, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    assert command(*options)[0] == 2
    assert "인자가 잘못되었습니다" in capsys.readouterr().err


def test_dry_run_counts_every_pass(command: Command, capsys: pytest.CaptureFixture[str]) -> None:
    assert command("-s", 16, "--dry_run")[0] == 0
    assert "256x192, 16배, 타일 1개, 다음에 타일 1개" in capsys.readouterr().out


def test_ensemble_and_mix_are_reported_with_their_cost(
    command: Command, nearest_weights: Callable[[int], Path]
) -> None:
    both = f"{nearest_weights(4)},{nearest_weights(4)}"
    code, found = command("--ensemble", "--model_path", both, "--mix", "1,3")
    assert (code, found["runs"]) == (0, 16)
    assert found["model"].startswith("0.25*")
    assert command()[1]["runs"] == 1


def test_film_takes_the_ensemble(command: Command) -> None:
    pytest.importorskip("av")
    code, found = command("--ensemble", "--end", "0.2", source=ROOT / "assets" / "pan.mp4", work=video_main, scale=2)
    assert (code, found["runs"], found["output_size"]) == (0, 8, [192, 108])


@pytest.mark.parametrize(
    "options",
    [
        ("--mix", "1,2"),
        ("--mix", "1,x"),
        ("-n", "realesr-animevideov3,x"),
        ("-n", "RealESRGAN_x4plus,RealESRGAN_x2plus"),
    ],
)
def test_models_that_cannot_be_averaged_are_a_usage_error(command: Command, options: tuple[str, ...]) -> None:
    assert command(*options)[0] == 2


def test_several_named_models_are_averaged(tmp_path: Path) -> None:
    picture = tmp_path / "photo.png"
    cv2.imwrite(str(picture), np.full((8, 8, 3), 90, np.uint8))
    line = ["-i", picture, "-o", tmp_path, "-n", "realesr-animevideov3,realesr-animevideov3", "--device", "cpu"]
    assert main([str(part) for part in (*line, "--report", tmp_path / "r.json")]) == 0
    found = json.loads((tmp_path / "r.json").read_text())["files"][0]
    assert found["model"] == "0.5*realesr-animevideov3+0.5*realesr-animevideov3"


def test_finish_is_reported_and_changes_the_picture(command: Command, tmp_path: Path) -> None:
    assert command()[0] == 0
    plain = cv2.imread(str(tmp_path / "out" / "photo_out.png"))
    code, found = command("--color_fix", "adain", "--sharpen", 1, "--blend", 0.5)
    assert (code, found["steps"]) == (0, ["blend=0.5", "color_fix=adain", "sharpen=1"])
    assert not np.array_equal(plain, cv2.imread(str(tmp_path / "out" / "photo_out.png")))
    assert command("--color_fix", "none", "--sharpen", 0)[1]["steps"] == []
    np.testing.assert_array_equal(plain, cv2.imread(str(tmp_path / "out" / "photo_out.png")))


@pytest.mark.parametrize("options", [("--sharpen", 9), ("--color_fix", "x"), ("--sharpen", 1, "--steps", "sharpen=2")])
def test_finish_that_cannot_be_is_a_usage_error(command: Command, options: tuple[Any, ...]) -> None:
    assert command(*options)[0] == 2


def test_film_takes_the_finish(command: Command) -> None:
    pytest.importorskip("av")
    options = ("--color_fix", "adain", "--sharpen", 0.5, "--end", "0.2")
    code, found = command(*options, source=ROOT / "assets" / "pan.mp4", work=video_main, scale=2)
    assert (code, found["steps"]) == (0, ["color_fix=adain", "sharpen=0.5"])


def test_faces_are_restored_and_counted(command: Command, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from realesrgan.face import restoration

    class Blank(restoration.FaceRestoration):
        def __post_init__(self) -> None:
            self.restore = lambda face: face * 0

    monkeypatch.setattr(restoration, "FaceRestoration", Blank)
    photo = ROOT / "inputs" / "astronaut.jpg"
    code, found = command("--face_enhance", "--face_strength", 0.9, "--only_center_face", source=photo)
    assert (code, found["counts"]) == (0, {"faces": 1, "small_faces": 0})
    assert found["steps"] == ["faces=GFPGANv1.4:0.9:center"]
    assert cv2.imread(str(tmp_path / "out" / "astronaut_out.jpg"))[200, 244].max() < 60
    pytest.importorskip("av")
    (tmp_path / "frames").mkdir()
    for number in range(3):
        (tmp_path / "frames" / f"{number}.jpg").write_bytes(photo.read_bytes() + bytes(number))
    code, found = command("--face_enhance", source=tmp_path / "frames", work=video_main, scale=2)
    assert code == 0 and found["counts"]["faces"] >= 1
    assert found["steps"] == ["faces=GFPGANv1.4:1"]


def test_faces_without_the_weights_say_where_to_put_them(
    command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    prepare_torchvision()
    pytest.importorskip("spandrel")
    from realesrgan.errors import DownloadError

    def refuse(url: str, *_: object, **__: object) -> None:
        raise DownloadError(f"내려받지 못했습니다: {url}\n  연결할 수 없습니다.")

    monkeypatch.setattr("realesrgan.util.download.download", refuse)
    monkeypatch.chdir(tmp_path)
    assert command("--face_enhance")[0] == 1
    told = capsys.readouterr().err
    assert "TencentARC/GFPGAN/releases/download/v1.3.0/GFPGANv1.4.pth" in told and str(tmp_path / "weights") in told


def test_anime_models_leave_faces_alone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    line = ["-i", ROOT / "inputs" / "astronaut.jpg", "-o", tmp_path, "-n", "realesr-animevideov3", "--face_enhance"]
    assert main([str(part) for part in (*line, "--device", "cpu")]) == 0
    assert "--face_enhance를 끕니다" in capsys.readouterr().err


@pytest.mark.parametrize("options", [("--face_strength", 1), ("--face_enhance", "--face_model", "x")])
def test_face_options_that_cannot_be_are_a_usage_error(command: Command, options: tuple[Any, ...]) -> None:
    assert command(*options)[0] == 2
