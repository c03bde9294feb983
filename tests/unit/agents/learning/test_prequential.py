"""Live quality by labels, and the probability with which labels are asked for."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from agents.learning.active_sampling import Sampler
from agents.learning.prequential import EVERYWHERE, Prequential
from tests.learning import PLAIN, call, label, learner, show

PLACE = ("acme", "a")


def exact(labels: np.ndarray, scores: np.ndarray) -> float:
    pairs = [(p > n) + 0.5 * (p == n) for p in scores[labels] for n in scores[~labels]]
    return float(np.mean(pairs))


def test_quality_is_that_of_the_labels_it_was_given() -> None:
    rng = np.random.default_rng(1)
    labels = rng.random(400) < 0.4
    odds = np.round(rng.normal(np.where(labels, 1.0, -1.0), 1.5) * 2) / 2 + 0.1  # in the middle of bins
    measured = Prequential(4, 1.0)
    for value, margin in zip(labels.tolist(), odds.tolist(), strict=True):
        measured.add(PLACE, margin, 0.0, flag=margin > 0, label=value)
    (quality,) = measured.of(PLACE)
    flags = odds > 0
    assert quality.labels == 400
    assert quality.positives == labels.sum()
    assert quality.precision == pytest.approx((flags & labels).sum() / flags.sum(), abs=1e-6)
    assert quality.recall == pytest.approx((flags & labels).sum() / labels.sum(), abs=1e-6)
    assert quality.auc == pytest.approx(exact(labels, odds), abs=1e-6)
    assert measured.of(EVERYWHERE) == [quality]


def test_scores_that_say_how_often_they_are_right_have_no_calibration_error() -> None:
    rng = np.random.default_rng(2)
    measured, off = Prequential(4, 1.0), Prequential(4, 1.0)
    for margin in rng.normal(0.0, 2.0, 20_000).tolist():
        value = bool(rng.random() < 1 / (1 + math.exp(-margin)))
        measured.add(PLACE, margin, 0.0, flag=margin > 0, label=value)
        off.add(PLACE, margin + 2.0, 0.0, flag=margin > 0, label=value)
    right, wrong = measured.of(PLACE)[0].calibration_error, off.of(PLACE)[0].calibration_error
    assert right is not None
    assert wrong is not None
    assert right < 0.02
    assert wrong > 0.15


def test_what_was_long_ago_fades() -> None:
    measured = Prequential(4, 0.98)
    for n in range(600):
        measured.add(PLACE, 1.0, 0.0, flag=True, label=n < 300)
    assert measured.of(PLACE)[0].precision == pytest.approx(0.0, abs=0.01)


def test_an_event_is_judged_by_the_score_it_had_before_its_label() -> None:
    target = learner()
    show(target, 1, base=-1.0)
    target.learn(label(1, value=True))
    (quality, *_) = target.quality.of(PLACE)
    assert (quality.recall, quality.labels) == (0.0, 1)
    target.learn(label(1, value=True, who="bob"))
    assert target.quality.of(PLACE)[0].labels == 1


def test_a_rule_is_told_once_enough_labels_came() -> None:
    target = learner(replace(PLAIN, quality_labels=5))
    for n in range(5):
        show(target, n, base=1.0)
        assert target.changes(0, call(n), 7, 8) == ()
        target.learn(label(n, value=False, who=f"w{n}"))
    found = {c.signal: c for c in target.changes(0, call(9), 7, 8)}
    assert found["injection.precision"].after == 0.0
    assert found["injection.precision"].segment == {"tenant": "acme", "app": "a"}
    assert target.changes(0, call(9), 7, 8) == ()


# Which labels are asked for


def drawn_at(per_hour: float, margins: NDArray[np.float64], step_ms: int) -> list[float]:
    """Return the chances of events at one place in which nothing is new."""
    n = len(margins)
    ids, times = [f"e{i}" for i in range(n)], step_ms * np.arange(n)
    nothing = np.full((n, 1), -1, np.int32)
    return Sampler("injection", per_hour, 10).chances([PLACE] * n, ids, times, margins, nothing)[0]


def asked(per_hour: float, count: int, step_ms: int = 1000) -> list[tuple[int, float]]:
    rng = np.random.default_rng(3)
    chances = drawn_at(per_hour, rng.normal(-3.0, 2.0, count), step_ms)
    return [(n, chance) for n, chance in enumerate(chances) if chance > 0.0]


def test_about_as_many_labels_are_asked_for_as_were_allowed() -> None:
    found = asked(20.0, 24 * 3600)
    assert 20 * 24 * 0.7 < len(found) < 20 * 25
    assert all(0.0 < chance <= 1.0 for _, chance in found)


def test_none_is_asked_for_where_none_is_wanted() -> None:
    assert asked(0.0, 5000) == []


def test_uncertain_events_are_asked_about_more_often() -> None:
    margins = np.random.default_rng(3).normal(-3.0, 2.0, 24 * 3600)
    found = np.array([n for n, _ in asked(20.0, 24 * 3600)])
    assert np.mean(np.abs(margins[found]) < 1.5) > 2 * np.mean(np.abs(margins) < 1.5)


def test_one_over_the_probability_gives_unbiased_rates() -> None:
    """The share of attacks among those asked for is far too high; weighted it is that of the traffic (Horvitz 1952)."""
    rng = np.random.default_rng(11)
    n = 60_000
    attack = rng.random(n) < 0.1
    margins = np.where(attack, rng.normal(-0.5, 1.0, n), rng.normal(-4.0, 1.0, n))
    chances = np.array(drawn_at(400.0, margins, 500))
    drawn = chances > 0
    weights = 1 / chances[drawn]
    plain, weighted = attack[drawn].mean(), (attack[drawn] * weights).sum() / weights.sum()
    assert plain > 0.2
    assert weighted == pytest.approx(0.1, abs=0.02)


def test_new_words_are_worth_asking_about() -> None:
    sampler = Sampler("injection", 20.0, 10)
    rows = np.tile(np.append(np.arange(50), [-1, -1]).astype(np.int32), (3, 1))
    rows[2, 50] = 100
    _, novelty = sampler.chances([PLACE] * 3, ["a", "b", "c"], np.arange(3), np.zeros(3), rows)
    assert novelty == [1.0, 0.0, pytest.approx(1 / 51)]


def test_a_place_that_makes_room_for_another_begins_anew() -> None:
    """In one chunk as in three: its line of the table is the other's by then."""
    places = [("t", "a"), ("t", "b"), ("t", "a")]
    rows, margins = np.full((3, 1), -1, np.int32), np.zeros(3)
    names, times = ["x", "y", "z"], np.array([0, 5, 9])
    one, three = Sampler("injection", 1.0, 1), Sampler("injection", 1.0, 1)
    together = one.chances(places, names, times, margins, rows)[0]
    each = [slice(k, k + 1) for k in range(3)]
    assert together == [three.chances(places[k], names[k], times[k], margins[k], rows[k])[0][0] for k in each]
    assert one.state()["keys"] == [["t", "a"]]
    assert one.state()["places"].tolist() == three.state()["places"].tolist()
    assert one.state()["places"][0, 0] == 9.0
