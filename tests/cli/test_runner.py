"""두 명령이 함께 쓰는 틀: 계획, 나누기, 결과, 보고서, 종료 코드."""

from __future__ import annotations

import json
import signal
import socket
import sys
import time
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import pytest

from realesrgan.cli import runner
from realesrgan.cli.runner import STATUSES, Command, Result, conclusion, run_command
from realesrgan.errors import ImageReadError, RealESRGANError, UsageError, VideoFormatError


@dataclass(frozen=True)
class Task:
    """이름이 곧 무엇을 할지인 일."""

    input: str
    weight: int = 1
    paths: tuple[Path, ...] = ()


@dataclass(frozen=True)
class Made(Result):
    """제 칸을 더한 결과."""

    size: tuple[int, int] | None = None

    def details(self) -> tuple[str, list[str]]:
        return f" => {self.output}", ["둘째 줄"]


ERRORS = {
    "읽지 못함": ImageReadError("읽지 못했습니다."),
    "쓰는 법": VideoFormatError("쓸 수 없는 코덱입니다."),
    "디스크": OSError(28, "No space left on device", "x.png"),
    "메모리": MemoryError(),
    "뜻밖": ZeroDivisionError("0으로 나눔"),
    "중단": KeyboardInterrupt(),
}


class Toy(Command[Task, Made]):
    """이름대로 끝나는 일을 하는 명령."""

    refusals = (VideoFormatError,)
    farewell = "안녕"

    def __init__(self, *names: str, together: bool = False, **problems: RealESRGANError) -> None:
        self.names, self.problems, self.together = names, problems, together

    def plan(self, ranks):
        if "plan" in self.problems:
            raise self.problems["plan"]
        return [Task(name, paths=(Path(name),)) for name in self.names]

    def prepare(self, jobs, ranks):
        if "prepare" in self.problems:
            raise self.problems["prepare"]

    def process(self, job, progress):
        progress(1, 1)
        if job.input in ERRORS:
            raise ERRORS[job.input]
        return Made(job.input, "결과", job.input if job.input in STATUSES else "done", size=(1, 2))

    def result(self, job, status, reason=None):
        return Made(job.input, "결과", status, reason=reason)

    def estimate(self, jobs, ranks):
        self.tell("어림")
        return "못함" not in self.names


@pytest.mark.parametrize(
    ("names", "code"),
    [
        (("a", "b"), 0),
        (("a", "skipped"), 0),
        (("a", "읽지 못함"), 1),
        (("쓰는 법",), 2),
        (("쓰는 법", "a"), 1),
        (("디스크",), 1),
        (("메모리",), 1),
        (("뜻밖",), 1),
        (("a", "중단", "b"), 130),
        ((), 0),
    ],
)
def test_what_became_of_the_jobs_is_the_exit_code(names, code, capsys):
    assert run_command(Toy(*names)) == code
    assert "Traceback" not in capsys.readouterr().out


def test_every_failure_has_a_korean_reason_and_the_rest_is_done(tmp_path, capsys):
    names = ("읽지 못함", "쓰는 법", "디스크", "메모리", "뜻밖", "끝")
    assert run_command(Toy(*names), report=str(tmp_path / "r.json")) == 1
    report = json.loads((tmp_path / "r.json").read_text(encoding="utf-8"))
    assert [one["status"] for one in report["files"]] == ["failed", "refused", "failed", "failed", "failed", "done"]
    assert report["counts"] == {"done": 1, "failed": 4, "interrupted": 0, "refused": 1, "skipped": 0}
    assert all(any("가" <= letter <= "힣" for letter in one["reason"] or "끝") for one in report["files"])
    assert report["files"][-1] == {
        "input": "끝", "output": "결과", "status": "done", "seconds": 0.0, "model": None, "reason": None, "notes": [],
        "size": [1, 2],
    }  # fmt: skip
    said = capsys.readouterr().out
    assert "[6/6] 완료: 끝 => 결과\n    둘째 줄" in said and "디스크가 가득 찼습니다" in said


def test_an_interruption_marks_what_is_left(tmp_path, capsys):
    assert run_command(Toy("a", "중단", "b"), report=str(tmp_path / "r.json")) == 130
    files = json.loads((tmp_path / "r.json").read_text(encoding="utf-8"))["files"]
    assert [one["status"] for one in files] == ["done", "interrupted", "interrupted"]
    assert capsys.readouterr().err.endswith("안녕\n")


def test_wrong_use_found_while_planning_is_two_whatever_its_kind(capsys):
    assert run_command(Toy("a", plan=ImageReadError("읽을 것이 없습니다."))) == 2
    assert capsys.readouterr().err == "읽을 것이 없습니다.\n"


def test_what_cannot_be_prepared_fails_every_job_for_one_reason(tmp_path, capsys):
    assert run_command(Toy("a", "b", prepare=UsageError("없음\n  해결")), report=str(tmp_path / "r.json")) == 1
    files = json.loads((tmp_path / "r.json").read_text(encoding="utf-8"))["files"]
    assert [(one["status"], one["reason"]) for one in files] == [("failed", "없음")] * 2
    assert capsys.readouterr().err.startswith("없음\n  해결\n")


def test_a_dry_run_only_estimates(tmp_path, capsys):
    assert run_command(Toy("중단"), dry_run=True, report=str(tmp_path / "r.json")) == 0
    assert run_command(Toy("못함"), dry_run=True) == 1
    assert capsys.readouterr().out == "어림\n어림\n" and not list(tmp_path.iterdir())


def test_a_report_never_overwrites_what_is_read_or_written(tmp_path, capsys):
    assert run_command(Toy(str(tmp_path / "r.json")), report=str(tmp_path / "r.json")) == 2
    assert "보고서" in capsys.readouterr().err and not list(tmp_path.iterdir())


def test_jobs_done_together_are_summed_up_only_when_several(capsys):
    assert run_command(Toy("a", together=True)) == 0
    assert "(0.0초)" not in capsys.readouterr().out
    assert run_command(Toy("a", "b", together=True)) == 0
    assert "완료 2" in capsys.readouterr().out


def test_one_job_is_told_and_counted(capsys):
    assert run_command(Toy("a")) == 0
    told, errors = capsys.readouterr()
    assert told.startswith("[1/1] 완료: a => 결과\n    둘째 줄\n완료 1 (") and not errors
    assert run_command(Toy("읽지 못함")) == 1
    assert "실패 1" in capsys.readouterr().err


def test_a_bar_is_drawn_only_on_a_terminal(capsys, monkeypatch):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    assert run_command(Toy("a", "읽지 못함")) == 1
    captured = capsys.readouterr()
    assert "[1/2] 완료: a" in captured.out and "[2/2] 실패: 읽지 못함" in captured.out
    assert "남은 시간" in captured.err and "완료 1, 실패 1" in captured.err
    assert run_command(Toy("a", together=True)) == 0
    assert "남은 시간" not in capsys.readouterr().err


def test_a_summary_names_every_status_in_one_table():
    statuses = list(STATUSES)
    words = "완료 1, 실패 1, 시작할 수 없음 1, 건너뜀 1, 다른 몫을 기다림 1, 중단 1 (1.0초)"
    assert conclusion(statuses, 1) == (130, words)
    assert conclusion(statuses[:3], 1)[0] == 1 and conclusion([statuses[2]], 1)[0] == 2


class Overlapping(Toy):
    """모든 일을 겹쳐 해도 되는 명령. 일을 시작하고 끝낸 차례를 적는다."""

    def __init__(self, *names: str, delays: dict[str, float] | None = None) -> None:
        super().__init__(*names)
        self.delays = delays or {}
        self.begun: list[str] = []

    def overlaps(self, job):
        return not job.input.startswith("large")

    def process(self, job, progress):
        self.begun.append(job.input)
        until = time.monotonic() + self.delays.get(job.input, 0.0)
        while time.monotonic() < until:
            progress(0, 1)
            time.sleep(0.01)
        return super().process(job, progress)


def test_small_jobs_overlap_and_are_told_in_order(capsys):
    command = Overlapping("a", "b", "c", "large", "d", "e", delays={"a": 0.3, "c": 0.1})
    began = time.monotonic()
    assert run_command(command) == 0
    shown = [line.split(": ")[1].split()[0] for line in capsys.readouterr().out.splitlines() if line.startswith("[")]
    assert shown == ["a", "b", "c", "large", "d", "e"]
    assert set(command.begun) == {"a", "b", "c", "large", "d", "e"} and command.begun[:2] == ["a", "b"]
    assert time.monotonic() - began < 5


def test_an_interruption_of_overlapping_jobs_keeps_what_was_finished(tmp_path, capsys):
    report = tmp_path / "r.json"
    command = Overlapping("a", "b", "c", "d", delays={"a": 30.0})
    signal.signal(signal.SIGALRM, lambda *_: signal.raise_signal(signal.SIGINT))
    signal.setitimer(signal.ITIMER_REAL, 0.5)
    began = time.monotonic()
    try:
        assert run_command(command, report=str(report)) == 130
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
    statuses = [one["status"] for one in json.loads(report.read_text(encoding="utf-8"))["files"]]
    assert statuses == ["interrupted", "done", "interrupted", "interrupted"]
    assert time.monotonic() - began < 10 and command.begun == ["a", "b"]


def test_a_rank_whose_launcher_is_gone_gives_up_with_a_message(monkeypatch):
    torch_distributed = pytest.importorskip("torch.distributed")
    monkeypatch.setattr(runner, "TORCHRUN", True)
    monkeypatch.setattr(runner, "CONNECT_TIMEOUT", timedelta(seconds=1))
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    for name, value in {"RANK": "1", "WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(RealESRGANError, match="이어지지 못했습니다"), runner.join_ranks():
        pass
    assert not torch_distributed.is_initialized()
