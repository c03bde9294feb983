"""The evidence kernels equal their plain definitions."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from agents.injection.evidence import (
    DEPTH,
    EVIDENCE_SIZE,
    LEAVES,
    MAX_CONCEPTS,
    MAX_WORDS,
    MEAN_CONCEPTS,
    MEAN_WORDS,
    NODES,
    USER,
    WINDOWS,
    WORST_CONCEPTS,
    WORST_WORDS,
    add_windows,
    finish,
    reset,
    sum_trees,
)

_ODDS = st.floats(-50, 50)


def sum_trees_reference(
    x: NDArray[np.float64], features: NDArray[np.int16], cuts: NDArray[np.float32], values: NDArray[np.float32]
) -> float:
    total = 0.0
    for feature, cut, value in zip(features.tolist(), cuts, values, strict=True):
        node = 0
        for _ in range(DEPTH):
            node = 2 * node + (2 if np.float32(x[feature[node]]) > cut[node] else 1)
        total += float(value[node - NODES])
    return total


@settings(deadline=None)  # the first example compiles
@given(st.lists(st.tuples(_ODDS, _ODDS), min_size=1, max_size=12), st.integers(0, 12))
def test_evidence_is_the_same_for_any_cut_of_the_windows(windows: list[tuple[float, float]], cut: int) -> None:
    words, concepts = np.array([w for w, _ in windows]), np.array([c for _, c in windows])
    evidence, cut = np.empty(EVIDENCE_SIZE), min(cut, len(windows))
    reset(evidence)
    new_worst = [
        add_windows(words, concepts, 0, cut, evidence),
        add_windows(words, concepts, cut, len(windows), evidence),
    ]
    finish(evidence, 0, np.array([1, 0, 0, 0, 0, 0]), 0, 0, 0, 1, 0)
    worst = int(np.argmax(words + concepts))
    assert max(new_worst) == worst
    assert evidence[WORST_WORDS] == words[worst]
    assert evidence[WORST_CONCEPTS] == concepts[worst]
    assert evidence[MAX_WORDS] == words.max()
    assert evidence[MAX_CONCEPTS] == concepts.max()
    assert evidence[MEAN_WORDS] == pytest.approx(words.mean())
    assert evidence[MEAN_CONCEPTS] == pytest.approx(concepts.mean())
    assert evidence[WINDOWS] == pytest.approx(math.log(len(windows)))


@settings(deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_the_sum_of_trees_equals_the_reference(seed: int) -> None:
    rng = np.random.default_rng(seed)
    features = rng.integers(0, EVIDENCE_SIZE, (2, 5, NODES)).astype(np.int16)
    cuts = rng.normal(size=(2, 5, NODES)).astype(np.float32)
    values = rng.normal(size=(2, 5, LEAVES)).astype(np.float32)
    x = rng.normal(size=EVIDENCE_SIZE)
    for user in (0, 1):
        x[USER] = user
        s = 1 - user
        assert sum_trees(x, features, cuts, values) == pytest.approx(
            sum_trees_reference(x, features[s], cuts[s], values[s])
        )
