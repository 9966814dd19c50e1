"""세 단계를 함께 돌린 시간과 따로 잰 CPU 시간을 견주는 도구."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from benchmark import video as benchmark

from tests.scripts.command import run_script
from tests.video.samples import make_video

ALONE = ("디코딩", "네트워크", "인코딩")


def test_a_ratio_compares_the_wall_clock_with_what_was_measured_alone(tmp_path: Path) -> None:
    video = make_video(tmp_path / "비디오.mp4", frames=4)
    values = benchmark.measure(video, cores=2)
    bound = sum(values[name] for name in ALONE) / 2
    assert values["프레임"] == 4
    assert min(values[name] for name in (*ALONE, "함께", "벽시계")) > 0
    assert values["비"] == pytest.approx(values["벽시계"] / bound)
    assert values["빼앗긴 시간을 뺀 비"] == pytest.approx((values["벽시계"] - values["빼앗긴 시간"] / 2) / bound)


def test_the_command_prints_every_round_and_then_the_medians(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    rounds = iter([{"비": 1.02}, {"비": 1.3}, {"비": 1.04}])
    monkeypatch.setattr(benchmark, "measure", lambda video, cores: next(rounds))
    assert run_script("benchmark_video", "--input", tmp_path / "video.mp4", "--rounds", 3) == 0
    *lines, last = capsys.readouterr().out.splitlines()
    assert [json.loads(line)["비"] for line in lines] == [1.02, 1.3, 1.04]
    assert json.loads(last.removeprefix("중앙값 ")) == {"비": 1.04}


def test_the_stolen_time_is_the_eighth_field_of_the_first_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "stat"
    path.write_text("cpu  1 2 3 4 5 6 7 800 9 10\ncpu0 1 2 3 4 5 6 7 8 9 10\n")
    monkeypatch.setattr(benchmark, "STAT_FILE", path)
    monkeypatch.setattr(benchmark, "clock_ticks", lambda: 100)
    assert benchmark.stolen_seconds() == 8.0


def test_where_the_system_does_not_tell_the_stolen_time_is_zero(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(benchmark, "STAT_FILE", tmp_path / "없음")
    assert benchmark.stolen_seconds() == 0.0
