"""명령의 틀: 알린 오류와 중단이 메시지와 종료 코드가 된다."""

from __future__ import annotations

import signal

import pytest

from realesrgan.cli.console import guarded
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
