"""세 단계를 잇는 줄."""

from __future__ import annotations

import threading
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from realesrgan.inference.transfer import Pending
from realesrgan.video.pipeline import Stages


class Entry(int):
    """되풀이인지 함께 적은 정수."""

    repeats = False

    def __new__(cls, value: int, repeats: bool = False) -> Entry:
        made = super().__new__(cls, value)
        made.repeats = repeats
        return made


def run(values, workers=1, batch=1, spare=3, work=None, repeats=(), tick=None):
    """정수를 제곱하는 단계들. 나온 차례와 작업자가 받은 배치들을 돌려준다."""
    seen: list[tuple[int, int]] = []
    batches: list[list[int]] = []

    def square(group: list[int]) -> list[int]:
        batches.append(group)
        return (work or (lambda numbers: [number**2 for number in numbers]))(group)

    entries = (Entry(value, index in repeats) for index, value in enumerate(values))
    stages = Stages(
        entries, [square] * workers, lambda value, result: seen.append((value, result)), batch=batch, spare=spare
    )
    times = stages.run(tick)
    return seen, batches, times


@given(
    count=st.integers(0, 40),
    workers=st.integers(1, 4),
    batch=st.integers(1, 5),
    spare=st.integers(0, 3),
    data=st.data(),
)
@settings(deadline=None, max_examples=40)
def test_everything_comes_out_once_and_in_order(count, workers, batch, spare, data):
    values = list(range(count))
    repeats = set(data.draw(st.lists(st.integers(1, max(count - 1, 1)), max_size=8)))
    for index in sorted(repeats & set(values)):
        values[index] = values[index - 1]
    seen, batches, _ = run(values, workers, batch, spare, repeats=repeats)
    assert seen == [(value, value**2) for value in values]
    assert all(len(group) <= batch for group in batches)
    assert sum(len(group) for group in batches) == count - len(repeats & set(range(count)))


def test_order_is_kept_when_a_later_batch_finishes_first():
    def slow_first(group: list[int]) -> list[int]:
        time.sleep(0.2 if group == [0] else 0)
        return group

    seen, _, _ = run(range(6), workers=2, work=slow_first)
    assert [value for value, _ in seen] == list(range(6))


def test_a_repeat_uses_the_previous_result_without_running_the_network():
    seen, batches, _ = run([7, 7, 7, 8], repeats={1, 2})
    assert seen == [(7, 49), (7, 49), (7, 49), (8, 64)]
    assert [value for group in batches for value in group] == [7, 8]


def test_an_endless_run_of_repeats_does_not_grow_without_bound():
    """되풀이만 이어져도 한 배치에는 `4 * batch`개까지만 묶여, 줄에 선 배치의 수가 곧 한도가 된다."""
    decoded = written = ahead = 0

    def entries():
        nonlocal decoded, ahead
        for index in range(500):
            decoded += 1
            ahead = max(ahead, decoded - written)
            yield Entry(0, index > 0)

    def consume(value, result):
        nonlocal written
        time.sleep(0.0005)
        written += 1

    Stages(entries(), [lambda group: group], consume, batch=2, spare=3).run()
    # 줄에 선 네 배치와, 모으고 있는 한 배치와, 막 디코딩한 하나.
    assert written == 500 and ahead <= (1 + 3) * 8 + 8 + 1


def test_no_more_is_decoded_than_the_line_holds():
    decoded = written = ahead = 0

    def entries():
        nonlocal decoded, ahead
        for number in range(50):
            decoded += 1
            ahead = max(ahead, decoded - written)
            yield Entry(number)

    def consume(value: int, result: int) -> None:
        nonlocal written
        time.sleep(0.002)
        written += 1

    Stages(entries(), [lambda group: group] * 2, consume, batch=1, spare=2).run()
    # 작업자 둘, 여분 둘, 그리고 자리를 기다리며 손에 든 것과 다음에 디코딩한 것.
    assert written == 50 and ahead <= 2 + 2 + 2


def test_a_worker_that_wakes_just_when_its_wait_ends_does_not_wait_for_ever(monkeypatch):
    # 기다리는 시간이 짧으면 다한 순간에 깨는 일이 늘 일어난다. 바쁜 기계에서는 긴 것도 그렇다.
    monkeypatch.setattr("realesrgan.video.pipeline.POLL", 1e-6)

    def entries():
        yield Entry(0)
        yield Entry(1)
        time.sleep(0.002)
        raise ValueError("읽다가 실패")

    def run() -> None:
        for _ in range(300):
            with pytest.raises(ValueError, match="읽다가 실패"):
                Stages(entries(), [lambda group: group] * 2, lambda value, result: None).run()

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.join(60)
    assert not thread.is_alive()


@pytest.mark.parametrize("stage", ["decode", "network", "encode", "tick"])
def test_a_failure_in_any_stage_stops_the_others_and_reaches_the_caller(stage):
    def fail(name: str, number: int) -> None:
        if name == stage and number == 5:
            raise ValueError(f"{name}에서 실패")

    def entries():
        number = 0
        while True:  # 멈추게 하지 않으면 끝나지 않는다.
            fail("decode", number)
            yield Entry(number)
            number += 1

    def work(group: list[int]) -> list[int]:
        fail("network", group[0])
        return group

    def tick() -> None:
        fail("tick", 5)

    before = threading.active_count()
    with pytest.raises(ValueError, match=f"{stage}에서 실패"):
        Stages(entries(), [work] * 2, lambda value, result: fail("encode", value)).run(tick)
    assert threading.active_count() == before


def test_ctrl_c_in_the_caller_stops_every_stage():
    def entries():
        while True:
            yield Entry(0)

    def interrupt() -> None:
        raise KeyboardInterrupt

    before = threading.active_count()
    with pytest.raises(KeyboardInterrupt):
        Stages(entries(), [lambda group: group], lambda value, result: None).run(interrupt)
    assert threading.active_count() == before


def test_the_slowest_stage_alone_sets_the_pace_and_the_times_say_which():
    def entries():
        for number in range(20):
            time.sleep(0.01)
            yield Entry(number)

    def work(group: list[int]) -> list[int]:
        time.sleep(0.03)
        return group

    times = Stages(entries(), [work], lambda value, result: time.sleep(0.01)).run()
    # 차례로 했다면 벽시계가 합과 같다. 겹쳤으므로 합보다 확실히 짧다.
    assert times.wall < 0.8 * sum(times.busy.values())
    assert times.busy["network"] > times.busy["decode"] and times.busy["network"] > times.busy["encode"]
    assert times.waiting["encode"] > times.waiting["network"]


def test_the_next_batch_is_computed_while_the_previous_result_comes_down():
    """장치에서 내려오는 것은 쓰는 단계가 기다린다. 계산하는 단계까지 기다리면 이 시험은 끝나지 못한다."""
    calls: list[int] = []
    second_began = threading.Event()

    def work(numbers: list[int]) -> Pending[int]:
        calls.append(numbers[0])
        if len(calls) == 2:
            second_began.set()

        def finish() -> list[int]:
            assert second_began.wait(20), "둘째 계산이 시작되지 않았다"
            return [number**2 for number in numbers]

        return Pending(len(numbers), finish)

    seen, _, _ = run([3, 4, 5], work=work)
    assert seen == [(3, 9), (4, 16), (5, 25)]


def test_a_failure_while_a_result_comes_down_stops_everything():
    def lost() -> list[int]:
        raise RuntimeError("lost")

    with pytest.raises(RuntimeError, match="lost"):
        run([1, 2, 3, 4], work=lambda numbers: Pending(len(numbers), lost))
