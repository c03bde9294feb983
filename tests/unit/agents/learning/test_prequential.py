"""Live quality measured by labels, and the selection probability of label requests."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from agents.learning.active_sampling import ActiveSampler
from agents.learning.prequential import ALL_SCOPES, PrequentialMetrics
from tests.learning import PLAIN, call, label, learner, show

SCOPE = ("acme", "a")


def exact(labels: np.ndarray, scores: np.ndarray) -> float:
    pairs = [(p > n) + 0.5 * (p == n) for p in scores[labels] for n in scores[~labels]]
    return float(np.mean(pairs))


def test_quality_equals_the_exact_metrics_of_the_labels() -> None:
    rng = np.random.default_rng(1)
    labels = rng.random(400) < 0.4
    odds = np.round(rng.normal(np.where(labels, 1.0, -1.0), 1.5) * 2) / 2 + 0.1  # in the middle of bins
    measured = PrequentialMetrics(4, 1.0)
    for value, margin in zip(labels.tolist(), odds.tolist(), strict=True):
        measured.add(SCOPE, margin, 0.0, flag=margin > 0, label=value)
    (quality,) = measured.metrics(SCOPE)
    flags = odds > 0
    assert quality.labels == 400
    assert quality.positives == labels.sum()
    assert quality.precision == pytest.approx((flags & labels).sum() / flags.sum(), abs=1e-6)
    assert quality.recall == pytest.approx((flags & labels).sum() / labels.sum(), abs=1e-6)
    assert quality.auc == pytest.approx(exact(labels, odds), abs=1e-6)
    assert measured.metrics(ALL_SCOPES) == [quality]


def test_calibrated_scores_have_no_calibration_error() -> None:
    rng = np.random.default_rng(2)
    measured, off = PrequentialMetrics(4, 1.0), PrequentialMetrics(4, 1.0)
    for margin in rng.normal(0.0, 2.0, 20_000).tolist():
        value = bool(rng.random() < 1 / (1 + math.exp(-margin)))
        measured.add(SCOPE, margin, 0.0, flag=margin > 0, label=value)
        off.add(SCOPE, margin + 2.0, 0.0, flag=margin > 0, label=value)
    right, wrong = measured.metrics(SCOPE)[0].calibration_error, off.metrics(SCOPE)[0].calibration_error
    assert right is not None
    assert wrong is not None
    assert right < 0.02
    assert wrong > 0.15


def test_old_labels_fade() -> None:
    measured = PrequentialMetrics(4, 0.98)
    for n in range(600):
        measured.add(SCOPE, 1.0, 0.0, flag=True, label=n < 300)
    assert measured.metrics(SCOPE)[0].precision == pytest.approx(0.0, abs=0.01)


def test_quality_uses_the_score_from_before_the_label() -> None:
    target = learner()
    show(target, 1, base=-1.0)
    target.learn(label(1, value=True))
    (quality, *_) = target.quality.metrics(SCOPE)
    assert (quality.recall, quality.labels) == (0.0, 1)
    target.learn(label(1, value=True, who="bob"))
    assert target.quality.metrics(SCOPE)[0].labels == 1


def test_quality_changes_are_reported_once_enough_labels_exist() -> None:
    target = learner(replace(PLAIN, quality_labels=5))
    for n in range(5):
        show(target, n, base=1.0)
        assert target.quality_changes(0, call(n), 7, 8) == ()
        target.learn(label(n, value=False, who=f"w{n}"))
    found = {c.signal: c for c in target.quality_changes(0, call(9), 7, 8)}
    assert found["injection.precision"].after == 0.0
    assert found["injection.precision"].segment == {"tenant": "acme", "app": "a"}
    assert target.quality_changes(0, call(9), 7, 8) == ()


# Which labels are asked for


def probabilities_at(per_hour: float, margins: NDArray[np.float64], step_ms: int) -> list[float]:
    """Return the selection probabilities of events of one scope without novel features."""
    n = len(margins)
    ids, times = [f"e{i}" for i in range(n)], step_ms * np.arange(n)
    nothing = np.full((n, 1), -1, np.int32)
    return ActiveSampler("injection", per_hour, 10).select([SCOPE] * n, ids, times, margins, nothing)[0]


def selected(per_hour: float, count: int, step_ms: int = 1000) -> list[tuple[int, float]]:
    rng = np.random.default_rng(3)
    probabilities = probabilities_at(per_hour, rng.normal(-3.0, 2.0, count), step_ms)
    return [(n, probability) for n, probability in enumerate(probabilities) if probability > 0.0]


def test_the_number_of_requests_is_close_to_the_setting() -> None:
    found = selected(20.0, 24 * 3600)
    assert 20 * 24 * 0.7 < len(found) < 20 * 25
    assert all(0.0 < probability <= 1.0 for _, probability in found)


def test_no_label_is_requested_if_the_setting_is_zero() -> None:
    assert selected(0.0, 5000) == []


def test_uncertain_events_are_selected_more_often() -> None:
    margins = np.random.default_rng(3).normal(-3.0, 2.0, 24 * 3600)
    found = np.array([n for n, _ in selected(20.0, 24 * 3600)])
    assert np.mean(np.abs(margins[found]) < 1.5) > 2 * np.mean(np.abs(margins) < 1.5)


def test_inverse_propensity_weights_give_unbiased_rates() -> None:
    """Requested labels contain too many attacks; weighted, the share is that of the traffic (Horvitz 1952)."""
    rng = np.random.default_rng(11)
    n = 60_000
    attack = rng.random(n) < 0.1
    margins = np.where(attack, rng.normal(-0.5, 1.0, n), rng.normal(-4.0, 1.0, n))
    probabilities = np.array(probabilities_at(400.0, margins, 500))
    drawn = probabilities > 0
    weights = 1 / probabilities[drawn]
    plain, weighted = attack[drawn].mean(), (attack[drawn] * weights).sum() / weights.sum()
    assert plain > 0.2
    assert weighted == pytest.approx(0.1, abs=0.02)


def test_novelty_is_the_share_of_unseen_features() -> None:
    sampler = ActiveSampler("injection", 20.0, 10)
    rows = np.tile(np.append(np.arange(50), [-1, -1]).astype(np.int32), (3, 1))
    rows[2, 50] = 100
    _, novelty = sampler.select([SCOPE] * 3, ["a", "b", "c"], np.arange(3), np.zeros(3), rows)
    assert novelty == [1.0, 0.0, pytest.approx(1 / 51)]


def test_an_evicted_scope_starts_from_scratch() -> None:
    """The result is the same for one chunk and for three, although the table row was reused in between."""
    places = [("t", "a"), ("t", "b"), ("t", "a")]
    rows, margins = np.full((3, 1), -1, np.int32), np.zeros(3)
    names, times = ["x", "y", "z"], np.array([0, 5, 9])
    one, three = ActiveSampler("injection", 1.0, 1), ActiveSampler("injection", 1.0, 1)
    together = one.select(places, names, times, margins, rows)[0]
    each = [slice(k, k + 1) for k in range(3)]
    assert together == [three.select(places[k], names[k], times[k], margins[k], rows[k])[0][0] for k in each]
    assert one.state()["keys"] == [["t", "a"]]
    assert one.state()["places"].tolist() == three.state()["places"].tolist()
    assert one.state()["places"][0, 0] == 9.0
