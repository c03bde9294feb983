"""Intervals of the quality report: coverage on data with known truth."""

from __future__ import annotations

from statistics import NormalDist

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from evaluation.hallucination import expected_calibration_error
from evaluation.resample import Ranked, ranked_means, share
from tools.evaluation.ranking_metrics import measure

SHIFT, SPREAD, SOURCES = 1.0, 0.4, 10


def true_mean_auc() -> float:
    """Return P(attack > harmless) for a random shift per source: a difference of normals."""
    return NormalDist().cdf(SHIFT / (2 + SPREAD**2) ** 0.5)


def sources(rng: np.random.Generator) -> tuple[dict[str, Ranked], dict[str, list[NDArray[np.float64]]]]:
    shifts = SHIFT + SPREAD * rng.standard_normal(SOURCES)
    ranked = {f"s{k}": Ranked(shift + rng.standard_normal(60), "all") for k, shift in enumerate(shifts)}
    return ranked, {"all": [rng.standard_normal(50) for _ in range(6)]}


def test_intervals_cover_the_true_value() -> None:
    held = 0
    for run in range(100):
        found = ranked_means(*sources(np.random.default_rng(run)), draws=60, seed=run).mean()["auc"]
        assert found.low is not None
        assert found.high is not None
        held += found.low <= true_mean_auc() <= found.high
    assert held >= 90


def test_intervals_over_sources_are_wider_than_of_rows_alone() -> None:
    rng = np.random.default_rng(1)
    flags = [rng.random(500) < rate for rate in (0.0, 0.0, 0.02, 0.2)]
    by_source, by_row = share(flags), share([np.concatenate(flags)])
    assert by_source.value == by_row.value
    assert by_source.high is not None
    assert by_row.high is not None
    assert by_source.high > 1.5 * by_row.high


def test_a_source_is_ranked_among_its_own_negatives_only() -> None:
    ranked = {"a": Ranked(np.array([2.0, 3.0]), "low"), "b": Ranked(np.array([2.0, 3.0]), "high")}
    found = ranked_means(ranked, {"low": [np.array([0.0, 1.0])], "high": [np.array([4.0]), np.array([5.0])]})
    assert (found.of("a")["auc"].value, found.of("b")["auc"].value) == (1.0, 0.0)
    assert found.mean()["auc"].value == 0.5


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 300)), min_size=1, max_size=400))
def test_measures_equal_those_of_the_evaluation_command(rows: list[tuple[bool, int]]) -> None:
    label, score = np.array([one for one, _ in rows]), np.array([s / 7 for _, s in rows])
    found = ranked_means({"": Ranked(score[label], "")}, {"": [score[~label]]}, 0)
    expected = measure(label, score, label)
    ours = [interval.value for interval in found.of("").values()]
    assert ours == pytest.approx([expected.auc, expected.average_precision, expected.tpr_at_1_fpr], abs=5e-5)


def test_a_draw_samples_sources_and_rows_with_replacement() -> None:
    rng = np.random.default_rng(1)
    means = ranked_means({"a": Ranked(rng.standard_normal(50), "n")}, {"n": [np.full(30, -9.0), np.full(30, 9.0)]}, 200)
    assert set(np.round(means.drawn[:, 0, 0], 6)) == {0.0, 0.5, 1.0}  # only low, both, only high ones drawn


def test_the_same_seed_gives_the_same_interval() -> None:
    data = sources(np.random.default_rng(3))
    assert ranked_means(*data, draws=20).mean() == ranked_means(*data, draws=20).mean()
    assert ranked_means(*data, draws=20).mean() != ranked_means(*data, draws=20, seed=8).mean()


def test_measures_without_rows_are_none() -> None:
    assert share([]).value is None
    assert share([np.zeros(0, np.bool_)]).value is None
    assert ranked_means({}, {}, draws=3).mean()["auc"].value is None


@pytest.mark.parametrize(("predicted", "error"), [(0.5, 0.2), (0.3, 0.0), (1.0, 0.7)])
def test_calibration_error_is_the_distance_of_predicted_from_observed_frequency(predicted: float, error: float) -> None:
    label = np.arange(1000) % 10 < 3
    assert expected_calibration_error(label, np.full(1000, predicted), bins=5) == pytest.approx(error)
