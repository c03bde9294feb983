"""Change detection on flag rates: delay, false alarms, memory, state."""

from __future__ import annotations

import random
from bisect import bisect_right
from itertools import accumulate
from statistics import mean, median, stdev
from typing import Any

import numpy as np
import pytest

from agents.common.flag_rate import FlagRateMonitor, RateConfig, SeverityPriors
from agents.common.run_length import rise_threshold, run_length
from schemas.errors import StateError

KEY = ("acme", "triage")


SURE = SeverityPriors(anomalous=(0.2, 0.2, 0.1), normal=(0.6, 0.3, 0.1))


def alarms(cusum: FlagRateMonitor, rate: float, events: range, seed: int = 1) -> list[int]:
    return graded(cusum, [rate], events, seed)


def graded(cusum: FlagRateMonitor, shares: list[float], events: range, seed: int = 1) -> list[int]:
    draw = random.Random(seed)
    return [i for i in events if cusum.update(KEY, grade_of(draw.random(), shares), i, 1000 * i, f"e{i}")]


def grade_of(u: float, shares: list[float]) -> int:
    """Return the grade of a uniform random number, 0 for no flag."""
    return (bisect_right(list(accumulate(shares)), u) + 1) % (len(shares) + 1)


@pytest.mark.parametrize("rate", [0.0, 0.02, 0.3])
def test_false_alarms_at_a_steady_rate_are_as_rare_as_configured(rate: float) -> None:
    config = RateConfig(events_per_false_alarm=20_000)
    offsets = [alarms(FlagRateMonitor(config), rate, range(10_000), seed) for seed in range(10)]
    assert sum(map(len, offsets)) <= 100_000 / 20_000


def test_an_attack_rate_of_two_percent_is_detected_after_a_median_of_150_events() -> None:
    delays = []
    for seed in range(101):
        cusum = FlagRateMonitor()
        assert alarms(cusum, 0.0, range(1000), seed) == []
        delays.append(next(iter(alarms(cusum, 0.02, range(1000, 6000), seed)), 9999) - 999)
    assert median(delays) <= 150


@pytest.mark.parametrize(
    ("rates", "flags", "threshold"),
    [([0.01], [20], 45), ([0.2], [3], 9), ([0.4], [1], 5), ([0.03, 0.01, 0.002], [9, 20, 60], 70)],
)
def test_the_average_run_length_equals_a_simulation(rates: list[float], flags: list[int], threshold: int) -> None:
    draw, lengths, steps = random.Random(3), [], [-1, *flags]
    for _ in range(400):
        total = length = 0
        while total < threshold:
            length += 1
            total = max(0, total + steps[grade_of(draw.random(), rates)])
        lengths.append(length)
    error = stdev(lengths) / len(lengths) ** 0.5
    assert abs(mean(lengths) - run_length(rates, flags, threshold)) < 4 * error


@pytest.mark.parametrize("scale", [0.1, 1.0, 10.0])
def test_false_alarms_of_graded_flags_are_as_rare_as_configured(scale: float) -> None:
    shares = [0.006 * scale, 0.003 * scale, 0.001 * scale]
    offsets = [graded(FlagRateMonitor(grades=SURE), shares, range(10_000), seed) for seed in range(20)]
    assert sum(map(len, offsets)) <= 200_000 / 10_000


def test_a_rise_of_severe_flags_is_detected_sooner_than_a_rise_of_mild_flags() -> None:
    baseline, medians = [0.006, 0.003, 0.0005], []
    for grade in (0, 2):
        risen = [share + 0.01 * (g == grade) for g, share in enumerate(baseline)]
        delays = []
        for seed in range(41):
            cusum = FlagRateMonitor(grades=SURE)
            graded(cusum, baseline, range(1500), seed)
            delays.append(next(iter(graded(cusum, risen, range(1500, 6000), seed)), 6000) - 1500)
        medians.append(median(delays))
    assert medians[1] < medians[0] / 2


@pytest.mark.parametrize("grade", [1, 2, 3])
def test_a_rise_of_the_only_grade_of_an_app_is_detected(grade: int) -> None:
    """A template that is always flagged with one grade can rise like any other flag."""
    delays = []
    for seed in range(21):
        cusum = FlagRateMonitor(grades=SURE)
        only = [float(g == grade) for g in (1, 2, 3)]
        graded(cusum, [0.03 * g for g in only], range(1500), seed)
        offsets = graded(cusum, [0.13 * g for g in only], range(1500, 6000), seed)
        delays.append(next(iter(offsets), 6000) - 1500)
    assert median(delays) <= 100


def test_the_reference_grows_while_no_change_is_suspected() -> None:
    cusum = FlagRateMonitor(RateConfig(events_per_false_alarm=1_000_000))
    assert alarms(cusum, 0.004, range(20_000)) == []
    state: Any = cusum.state()
    (seen,), ((flagged,),) = state["seen"], state["flagged"]
    assert 3200 <= seen < 4000
    assert 0.002 < flagged / seen < 0.006


def test_a_rise_is_reported_once_and_again_after_a_fall() -> None:
    first = again = 0
    for seed in range(20):
        cusum = FlagRateMonitor(RateConfig(events_per_false_alarm=100_000))
        assert alarms(cusum, 0.01, range(1000), seed) == []
        first += len(alarms(cusum, 0.3, range(1000, 4000), seed))
        assert alarms(cusum, 0.01, range(4000, 8000), seed) == []
        again += len(alarms(cusum, 0.3, range(8000, 10_000), seed))
    # By chance the baseline may be learned again just before the rise: then the risen rate becomes the baseline.
    assert 18 <= first <= 20
    assert 18 <= again <= 20


def test_rarer_false_alarms_need_a_higher_threshold() -> None:
    assert rise_threshold([0.01], [50], 1_000) < rise_threshold([0.01], [50], 1_000_000)


def test_the_least_recently_used_app_is_evicted_and_counted() -> None:
    cusum = FlagRateMonitor(RateConfig(max_segments=2))
    for app in ("a", "b", "a", "c"):
        cusum.update(("t", app), False, 0, 0, "e")  # noqa: FBT003, RUF100
    assert (len(cusum), cusum.evicted) == (2, 1)
    assert cusum.state()["keys"] == [["t", "a"], ["t", "c"]]


def test_a_restored_detector_alarms_at_the_same_event() -> None:
    original, restored = FlagRateMonitor(), FlagRateMonitor()
    alarms(original, 0.01, range(900))
    restored.restore(original.state())
    assert alarms(original, 0.1, range(900, 2000)) == alarms(restored, 0.1, range(900, 2000)) != []
    assert repr(original.state()) == repr(restored.state())


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("seen", -1), ("flagged", 5000), ("flagged", -1), ("run_flagged", 5000), ("run", -1), ("rates", 0.0),
        ("rates", 1.0), ("rates", float("nan")), ("up", -1.0), ("up", float("inf")),
    ],
)  # fmt: skip
def test_an_impossible_state_is_rejected(column: str, value: float) -> None:
    cusum = FlagRateMonitor()
    alarms(cusum, 0.01, range(900))
    state: dict[str, Any] = dict(cusum.state())
    state[column] = np.full_like(state[column], value)
    with pytest.raises(StateError) as raised:
        cusum.restore(state)
    assert raised.value.code == "damaged"


def test_a_state_of_other_settings_is_rejected() -> None:
    for other in (FlagRateMonitor(RateConfig(odds_ratio=1.5)), FlagRateMonitor(grades=SURE)):
        with pytest.raises(StateError) as raised:
            other.restore(FlagRateMonitor().state())
        assert (raised.value.part, raised.value.code) == ("rate", "settings")
