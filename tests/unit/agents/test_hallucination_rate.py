"""The CUSUM on flags sees a rise soon, seldom where there is none, in bounded memory."""

from __future__ import annotations

import random
from statistics import mean, median, stdev
from typing import Any

import pytest

from agents.rate import RateConfig, RateCusum, rise_threshold, run_length
from schemas.errors import StateError

KEY = ("acme", "triage")


def alarms(cusum: RateCusum, rate: float, events: range, seed: int = 1) -> list[int]:
    draw = random.Random(seed)
    return [i for i in events if cusum.update(KEY, draw.random() < rate, i, 1000 * i, f"e{i}")]


@pytest.mark.parametrize("rate", [0.0, 0.02, 0.3])
def test_at_a_steady_rate_false_alarms_are_as_rare_as_asked_for(rate: float) -> None:
    config = RateConfig(events_per_false_alarm=20_000)
    found = [alarms(RateCusum(config), rate, range(10_000), seed) for seed in range(10)]
    assert sum(map(len, found)) <= 100_000 / 20_000


def test_two_percent_of_attacks_are_seen_after_150_events_in_the_median() -> None:
    delays = []
    for seed in range(101):
        cusum = RateCusum()
        assert alarms(cusum, 0.0, range(1000), seed) == []
        delays.append(next(iter(alarms(cusum, 0.02, range(1000, 6000), seed)), 9999) - 999)
    assert median(delays) <= 150


@pytest.mark.parametrize(("rate", "flag", "threshold"), [(0.01, 20, 45), (0.2, 3, 9), (0.4, 1, 5)])
def test_the_average_run_length_is_that_of_a_simulation(rate: float, flag: int, threshold: int) -> None:
    draw, lengths = random.Random(3), []
    for _ in range(400):
        total = length = 0
        while total < threshold:
            length += 1
            total = max(0, total + (flag if draw.random() < rate else -1))
        lengths.append(length)
    error = stdev(lengths) / len(lengths) ** 0.5
    assert abs(mean(lengths) - run_length(rate, flag, threshold)) < 4 * error


def test_the_reference_grows_by_stretches_that_come_to_nothing() -> None:
    cusum = RateCusum(RateConfig(events_per_false_alarm=1_000_000))
    assert alarms(cusum, 0.004, range(20_000)) == []
    state: Any = cusum.state()
    (seen,), (flagged,) = state["seen"], state["flagged"]
    assert 3200 <= seen < 4000
    assert 0.002 < flagged / seen < 0.006


def test_a_rise_is_reported_once_and_again_after_a_fall() -> None:
    cusum = RateCusum()
    alarms(cusum, 0.01, range(1000))
    assert len(alarms(cusum, 0.3, range(1000, 4000))) == 1
    assert alarms(cusum, 0.01, range(4000, 8000)) == []
    assert len(alarms(cusum, 0.3, range(8000, 10_000))) == 1


def test_a_longer_wait_between_false_alarms_needs_a_higher_threshold() -> None:
    assert rise_threshold(0.01, 50, 1_000) < rise_threshold(0.01, 50, 1_000_000)


def test_the_least_recent_segment_is_forgotten_and_counted() -> None:
    cusum = RateCusum(RateConfig(max_segments=2))
    for app in ("a", "b", "a", "c"):
        cusum.update(("t", app), False, 0, 0, "e")  # noqa: FBT003, RUF100
    assert (len(cusum), cusum.evicted) == (2, 1)
    assert cusum.state()["keys"] == [["t", "a"], ["t", "c"]]


def test_restored_it_alarms_at_the_same_event() -> None:
    one, other = RateCusum(), RateCusum()
    alarms(one, 0.01, range(900))
    other.restore(one.state())
    assert alarms(one, 0.1, range(900, 2000)) == alarms(other, 0.1, range(900, 2000)) != []
    assert repr(one.state()) == repr(other.state())


def test_a_state_of_other_settings_is_refused() -> None:
    with pytest.raises(StateError, match="other settings"):
        RateCusum(RateConfig(odds_ratio=2.0)).restore(RateCusum().state())
