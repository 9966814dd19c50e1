"""명령의 틀: 알린 오류와 중단이 메시지와 종료 코드가 된다."""

from __future__ import annotations

import ctypes
import errno
import io
import logging
import signal
import sys
import time
from contextlib import closing

import pytest

from realesrgan.cli.arguments import parse_arguments
from realesrgan.cli.console import DownloadProgress, Progress, configure_logging, guarded, say, say_error, shown
from realesrgan.errors import ImageReadError, UsageError


@pytest.fixture(autouse=True)
def untouched_signals():
    names = [name for name in ("SIGTERM", "SIGHUP", "SIGBREAK") if hasattr(signal, name)]
    saved = {name: signal.getsignal(getattr(signal, name)) for name in names}
    yield
    for name, handler in saved.items():
        signal.signal(getattr(signal, name), handler)


def failing(error):
    def work():
        raise error

    return work


@pytest.mark.parametrize(
    ("work", "code", "message"),
    [
        (lambda: 0, 0, ""),
        (lambda: 1, 1, ""),
        (failing(UsageError("잘못된 사용")), 2, "잘못된 사용\n"),
        (failing(ImageReadError("읽지 못함")), 1, "읽지 못함\n"),
        (failing(KeyboardInterrupt()), 130, "멈춤\n"),
        (failing(MemoryError()), 1, "메모리가 모자랍니다.\n  해결: 다른 프로그램을 닫고 다시 하세요.\n"),
        (
            failing(ImportError("libx.so: failed to map segment from shared object")),
            1,
            "메모리가 모자랍니다.\n  해결: 다른 프로그램을 닫고 다시 하세요.\n",
        ),
        (
            failing(OSError(28, "No space left on device", "큰 파일")),
            1,
            "큰 파일: 디스크가 가득 찼습니다.\n  해결: 자리를 비우거나 다른 디스크의 폴더를 쓰세요.\n",
        ),
    ],
)
def test_what_ends_the_work_becomes_a_message_and_an_exit_code(work, code, message, capsys):
    assert guarded(work, "멈춤") == code
    captured = capsys.readouterr()
    assert (captured.out, captured.err) == ("", message)


def test_an_unexpected_error_keeps_its_trace():
    with pytest.raises(ZeroDivisionError):
        guarded(failing(ZeroDivisionError()), "멈춤")


def test_a_termination_signal_ends_as_an_interruption(capsys):
    def work():
        signal.raise_signal(signal.SIGTERM)
        return 0

    assert guarded(work, "멈춤") == 130
    assert capsys.readouterr().err == "멈춤\n"


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM"])
def test_an_interruption_swallowed_by_a_callback_of_a_library_still_ends_the_work(name, capsys):
    """C 라이브러리가 부른 파이썬 함수에서 난 예외는 부른 쪽으로 가지 못한다."""
    number = getattr(signal, name)
    before = signal.getsignal(signal.SIGINT)

    @ctypes.CFUNCTYPE(None)
    def called_by_library():
        signal.raise_signal(number)

    def work():
        called_by_library()
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline:
            time.sleep(0.01)
        return 0

    try:
        # 뒤에서 뜬 명령(`nohup`)은 Ctrl-C를 무시하고 SIGTERM만 듣는다.
        signal.signal(signal.SIGINT, signal.default_int_handler if name == "SIGINT" else signal.SIG_IGN)
        assert guarded(work, "멈춤") == 130
    finally:
        signal.signal(signal.SIGINT, before)
    assert capsys.readouterr().err == "멈춤\n"


def test_other_errors_of_callbacks_are_told_as_before(capsys):
    @ctypes.CFUNCTYPE(None)
    def called_by_library():
        raise ZeroDivisionError

    def work():
        called_by_library()
        return 0

    told, hook = [], sys.unraisablehook
    sys.unraisablehook = told.append
    try:
        assert guarded(work, "멈춤") == 0
        assert sys.unraisablehook == told.append
    finally:
        sys.unraisablehook = hook
    assert [one.exc_type for one in told] == [ZeroDivisionError]


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("사진 1.png", "사진 1.png"),
        ("가족👨‍👩‍👧.png", "가족👨‍👩‍👧.png"),
        ("a\x1b[31mb", "a\\x1b[31mb"),
        ("줄\n바꿈\t", "줄\\n바꿈\\t"),
        ("gnp\u202e.exe", "gnp\\u202e.exe"),
        ("\udcb0\udca1.png", "\\udcb0\\udca1.png"),
    ],
)
def test_letters_that_cannot_be_seen_are_spelled_out(name, expected):
    assert shown(name) == expected


def test_a_name_cannot_drive_the_terminal(capsys):
    say("첫 줄\n둘째\t줄 \x1b]0;제목\x07")
    assert capsys.readouterr().out == "첫 줄\n둘째\t줄 \\x1b]0;제목\\x07\n"


class Broken(io.StringIO):
    """쓸 수 없는 스트림."""

    def write(self, _text):
        raise BrokenPipeError(errno.EPIPE, "Broken pipe")


@pytest.mark.parametrize("stream", [None, "closed", Broken()], ids=["none", "closed", "broken pipe"])
@pytest.mark.parametrize("names", [("stdout",), ("stderr",), ("stdout", "stderr")])
def test_streams_that_are_gone_do_not_stop_the_work(monkeypatch, stream, names):
    if stream == "closed":
        stream = io.StringIO()
        stream.close()
    for name in names:
        monkeypatch.setattr(sys, name, stream)

    def work():
        configure_logging(True)
        say("결과")
        say_error("오류")
        logging.getLogger("realesrgan.test").warning("기록")
        with closing(Progress(2, 10)) as progress:
            progress.start("a", 5)(1, 2)
            progress.finish("완료")
        received = DownloadProgress("가중치")
        received(1, 2)
        received(2, 2)
        raise UsageError("알린 오류")

    try:
        assert guarded(work, "멈춤") == 2
    finally:
        for name in names:
            if getattr(sys, name) is not stream:
                getattr(sys, name).close()


def test_help_and_usage_survive_streams_that_are_gone(monkeypatch):
    monkeypatch.setattr(sys, "stdout", None)
    monkeypatch.setattr(sys, "stderr", None)
    for line, code in ((["--help"], 0), (["--version"], 0), (["--nonsense"], 2)):
        with pytest.raises(SystemExit) as caught:
            parse_arguments(line)
        assert caught.value.code == code


def test_a_bar_is_drawn_and_lines_are_kept_apart(capsys):
    with closing(Progress(2, 10, True)) as progress:
        progress.start("a\x1b.png", 5)(5, 5)
        progress.finish("완료: a")
    captured = capsys.readouterr()
    assert captured.out == "[1/2] 완료: a\n"
    assert "a\\x1b.png" in captured.err and "남은 시간" in captured.err


def test_the_bar_counts_the_tiles_of_a_picture(monkeypatch, capsys):
    monkeypatch.setenv("COLUMNS", "120")
    monkeypatch.setenv("LINES", "30")
    with closing(Progress(2, 200, True)) as progress:
        told = progress.start("a.png", 100)
        # 크기가 같은 타일 둘과 끝의 작은 타일 하나.
        for done in (40, 80, 100):
            told(done, 100)
            progress._bar.refresh()
        progress.finish("a.png")
        progress.start("b.png", 100)(100, 100)
        progress._bar.refresh()
    drawn = capsys.readouterr().err
    assert [f"타일 {count}/3" in drawn for count in (1, 2, 3)] == [True] * 3
    last = drawn.rpartition("[2/2] b.png")[2]
    assert "타일" not in last and "[1/2] a.png " in drawn and ": :" not in drawn
