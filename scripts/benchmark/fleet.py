"""여러 장치에 나눈 일이 얼마나 걸리고 무엇을 잃는지 흉내 낸다."""

from __future__ import annotations

import heapq
from collections.abc import Sequence
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from realesrgan.cli.console import say

Way = Literal["shard", "weight", "claim"]
# 이보다 자주 죽으면 끝나지 않는다.
MOST_DEATHS = 100_000
# 장치마다의 빠르기는 이만큼 다르다고 본다.
SPREAD = 0.05


class Fleet(NamedTuple):
    """장치들.

    Attributes:
        devices: 장치의 수.
        startup: 프로세스 하나가 뜨고 모델을 싣는 시간(초). 다시 뜰 때도 든다.
        failures: 장치 하나가 한 시간에 죽는 횟수의 평균.
        spread: 장치마다의 빠르기의 표준편차(평균 1).
    """

    devices: int
    startup: float
    failures: float
    spread: float


class Outcome(NamedTuple):
    """흉내 낸 결과.

    Attributes:
        hours: 처음부터 모두 끝날 때까지(시간).
        device_hours: 그동안 잡아 둔 장치의 시간(장치 x 시간).
        useful: 그 가운데 일한 몫, 0..1.
        deaths: 죽은 장치의 수.
    """

    hours: float
    device_hours: float
    useful: float
    deaths: int


def simulate(items: NDArray[np.float64], fleet: Fleet, way: Way, joining: float = 0.0, seed: int = 0) -> Outcome:
    """일들을 나누어 하는 것을 흉내 낸다. 끝난 일은 남고, 죽은 장치는 하던 일 하나를 처음부터 다시 한다.

    Args:
        items: 일마다 빠르기 1인 장치에서 걸릴 시간(초).
        fleet: 장치들.
        way: 나누는 방법. `shard`는 번호로 나누고(`--shard`, `--shard_segments`) 죽은 몫만 다시 뜨며, 끝난 몫의
            장치는 바로 놓는다.
            `weight`는 무게가 같게 나누고(torchrun의 사진), `claim`은 먼저 온 차례로 맡는다(torchrun의 비디오
            조각). 둘은 하나가 죽으면 모두 다시 뜬다.
        joining: 모두 끝난 다음 장치 하나가 잇는 시간(초). 비디오의 것이다.
        seed: 난수의 씨앗.
    """
    random = np.random.default_rng(seed)
    speeds = np.clip(random.normal(1, fleet.spread, fleet.devices), 0.5, 1.5)
    if way == "claim":
        work = claim(items, speeds)
    elif way == "shard":
        work = np.array([items[place :: fleet.devices].sum() for place in range(fleet.devices)]) / speeds
    else:
        work = np.full(fleet.devices, items.sum() / fleet.devices) / speeds
    again = fleet.startup + float(items.mean()) / 2
    rate = fleet.failures / 3600
    if way == "shard":
        deaths = random.poisson(rate * (work + fleet.startup))
        spent = work + fleet.startup + deaths * again
        end, held, count = float(spent.max()), float(spent.sum()), int(deaths.sum())
    else:
        end, count = fleet.startup + float(work.max()), 0
        more = int(random.poisson(rate * fleet.devices * end))
        # 다시 뜨는 동안에도 죽는다.
        while more and count < MOST_DEATHS:
            count, end = count + more, end + more * again
            more = int(random.poisson(rate * fleet.devices * more * again))
        held = end * fleet.devices
    total = held + joining * (fleet.devices if way == "claim" else 1)
    return Outcome((end + joining) / 3600, total / 3600, float(work.sum()) / total, count)


def claim(items: NDArray[np.float64], speeds: NDArray[np.float64]) -> NDArray[np.float64]:
    """빈 장치가 다음 일을 맡을 때 장치마다 일한 시간(초)."""
    ready = [(0.0, place) for place in range(len(speeds))]
    for item in items:
        free, place = heapq.heappop(ready)
        heapq.heappush(ready, (free + float(item) / float(speeds[place]), place))
    return np.array([time for time, _ in sorted(ready, key=lambda one: one[1])])


def picture_times(count: int, seconds: float, seed: int = 0) -> NDArray[np.float64]:
    """크기가 고르지 않은 사진들: 가운데값이 `seconds`이고 로그의 표준편차가 0.8인 로그 정규 분포."""
    return np.random.default_rng(seed).lognormal(np.log(seconds), 0.8, count)


def segment_times(frames: int, seconds: float, length: int = 120) -> NDArray[np.float64]:
    """비디오의 조각들. 키프레임에서 나누므로 `length`프레임쯤이다."""
    whole, rest = divmod(frames, length)
    return np.array([length * seconds] * whole + [rest * seconds] * bool(rest))


def report(
    devices: Sequence[int],
    *,
    picture: float,
    pictures: int,
    frame: float,
    frames: int,
    startup: float,
    join: float,
    failures: float,
) -> None:
    """사진들과 비디오 한 편을 장치의 수마다 나눈 표를 적는다. 시간은 초다."""
    stills, film = picture_times(pictures, picture), segment_times(frames, frame)
    works: tuple[tuple[str, NDArray[np.float64], Way, float], ...] = (
        ("사진, 작업 배열", stills, "shard", 0),
        ("사진, torchrun", stills, "weight", 0),
        ("비디오, 작업 배열", film, "shard", join),
        ("비디오, torchrun", film, "claim", join),
    )
    say("| 일과 방법 | 장치 | 시간 | 장치 x 시간 | 일한 몫 | 죽은 장치 |\n|---|---|---|---|---|---|")
    for name, items, way, joining in works:
        for count in devices:
            made = simulate(items, Fleet(count, startup, failures, SPREAD), way, joining)
            numbers = f"{made.hours:.2f}시간 | {made.device_hours:.1f} | {made.useful:.0%} | {made.deaths}"
            say(f"| {name} | {count} | {numbers} |")
