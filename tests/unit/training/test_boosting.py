from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from agents.injection.evidence import EVIDENCE_SIZE, NODES, USER, sum_trees
from training.boosting import Trees, boost


def odds(trees: Trees, row: NDArray[np.float64]) -> float:
    evidence = np.zeros(EVIDENCE_SIZE)
    evidence[: len(row)], evidence[USER] = row, 1.0
    return float(sum_trees(evidence, *(np.stack([part, np.zeros_like(part)]) for part in trees)))


def test_trees_fit_the_residual_of_the_start() -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(4000, 4))
    label = ((x[:, 0] > 0) ^ (x[:, 1] > 0)).astype(np.float64)  # a linear model cannot fit it
    trees = boost(x, label, np.ones(4000), np.zeros(4000), np.zeros(4, np.bool_), range(4))
    predicted = np.array([odds(trees, row) for row in x])
    assert np.mean((predicted > 0) == (label > 0)) > 0.95
    assert trees.features.shape == trees.thresholds.shape == (len(trees.values), NODES)


def test_the_score_never_decreases_in_a_rising_column() -> None:
    rng = np.random.default_rng(1)
    x = rng.normal(size=(4000, 2))
    label = (x[:, 0] < 0).astype(np.float64)
    trees = boost(x, label, np.ones(4000), np.zeros(4000), np.array([True, False]), range(2))
    low, high = (np.mean([odds(trees, np.array([v, w])) for w in x[:50, 1]]) for v in (-2.0, 2.0))
    assert high >= low
