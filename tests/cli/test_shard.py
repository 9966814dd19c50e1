"""따로 띄운 프로세스들이 일을 번호로 나누고, 보고서를 하나로 모은다."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from realesrgan.archs import SRVGGNetCompact
from realesrgan.cli.image import main
from tests.conftest import ROOT
from tests.scripts.command import draw, run_script

COUNT = 3


def start(folder: Path, output: Path, shard: str, *more: str) -> subprocess.Popen[str]:
    command = [sys.executable, str(ROOT / "inference_realesrgan.py"), "-i", str(folder), "-o", str(output), *more]
    command += ["--shard", shard, "--report", str(output.parent / f"{shard.replace('/', '_')}.json")]
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)


def test_shards_run_together_make_what_one_run_makes(
    tmp_path: Path, save_network: Callable[..., Path], tiny_srvgg: SRVGGNetCompact
) -> None:
    weights = ("--model_path", str(save_network(tiny_srvgg, "tiny.pth")), "--fp32")
    folder = tmp_path / "사진"
    for number in range(7):
        draw(folder / f"{number}.png", seed=number)
    draw(folder / "0.jpg")
    (folder / "6.png").write_bytes(b"broken")
    assert main(["-i", str(folder), "-o", str(tmp_path / "whole"), *weights]) == 1
    running = [start(folder, tmp_path / "parts", f"{index}/{COUNT}", *weights) for index in range(COUNT)]
    codes = [process.wait(120) for process in running]
    assert sorted(codes) == [0, 0, 1]
    whole, parts = (sorted((tmp_path / name).iterdir()) for name in ("whole", "parts"))
    assert [path.name for path in whole] == [path.name for path in parts] and len(parts) == 7
    assert all(one.read_bytes() == other.read_bytes() for one, other in zip(whole, parts, strict=True))
    assert run_script("merge_reports", *tmp_path.glob("*_3.json"), "--output", tmp_path / "all.json") == 1
    merged = json.loads((tmp_path / "all.json").read_text(encoding="utf-8"))
    assert merged["counts"] == {"done": 7, "failed": 1, "interrupted": 0, "skipped": 0}
    assert len({one["input"] for one in merged["files"]}) == 8


def test_a_shard_run_again_does_only_what_is_left(
    tmp_path: Path, save_network: Callable[..., Path], tiny_srvgg: SRVGGNetCompact
) -> None:
    weights = ["--model_path", str(save_network(tiny_srvgg, "tiny.pth")), "--skip_existing"]
    for number in range(4):
        draw(tmp_path / "in" / f"{number}.png", seed=number)
    given = ["-i", str(tmp_path / "in"), "-o", str(tmp_path / "out"), *weights, "--shard", "1/2", "--report"]
    assert main([*given, str(tmp_path / "first.json")]) == 0
    (tmp_path / "out" / "1_out.png").unlink()
    assert main([*given, str(tmp_path / "second.json")]) == 0
    second = json.loads((tmp_path / "second.json").read_text(encoding="utf-8"))
    assert second["counts"]["done"] == 1 and second["counts"]["skipped"] == 1
    names = [tmp_path / "first.json", tmp_path / "second.json"]
    assert run_script("merge_reports", *names, "--output", tmp_path / "all.json") == 0
    assert json.loads((tmp_path / "all.json").read_text(encoding="utf-8"))["counts"]["done"] == 2


@pytest.mark.parametrize("shard", ["3/3", "-1/3", "1", "a/b", "0/0"])
def test_a_shard_that_cannot_be_is_refused(shard: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        main(["-i", "x.png", f"--shard={shard}"])
    assert "0부터" in capsys.readouterr().err


def test_a_file_that_is_no_report_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    wrong = tmp_path / "x.json"
    for text in ("{", "[]", '{"files": [{"input": "a", "status": "?"}]}'):
        wrong.write_text(text, encoding="utf-8")
        assert run_script("merge_reports", wrong, "--output", tmp_path / "all.json") in (1, 2)
        assert "x.json" in capsys.readouterr().err and not (tmp_path / "all.json").exists()
