"""흉내 낸 규모의 값이 셈과 맞는지."""

from __future__ import annotations

import numpy as np
import pytest
from benchmark import fleet

from tests.scripts.command import run_script

ITEMS = np.full(1000, 2.0)


@pytest.mark.parametrize("way", ["shard", "weight", "claim"])
def test_even_work_on_even_devices_takes_its_share(way: str) -> None:
    made = fleet.simulate(ITEMS, fleet.Fleet(10, startup=20, failures=0, spread=0), way)
    assert made.hours == pytest.approx((20 + 200) / 3600) and made.deaths == 0
    assert made.device_hours == pytest.approx(10 * (20 + 200) / 3600) and made.useful == pytest.approx(200 / 220)


def test_a_death_stops_everybody_or_one_share() -> None:
    often = fleet.Fleet(100, startup=20, failures=20, spread=0)
    alone, together = (fleet.simulate(ITEMS, often, way) for way in ("shard", "weight"))
    assert alone.deaths > 0 and together.deaths > 0
    assert together.hours > 2 * alone.hours and together.useful < alone.useful


def test_claiming_keeps_a_slow_device_from_being_waited_for() -> None:
    uneven = fleet.Fleet(50, startup=0, failures=0, spread=0.2)
    assert fleet.simulate(ITEMS, uneven, "claim").hours < 0.9 * fleet.simulate(ITEMS, uneven, "shard").hours


def test_the_table_has_a_row_for_every_case(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_script("simulate_fleet", "--devices", 2, 4, "--pictures", 100, "--frames", 1000) == 0
    assert len(capsys.readouterr().out.splitlines()) == 2 + 4 * 2
