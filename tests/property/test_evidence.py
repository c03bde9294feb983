"""What the kernels make of the windows of a text equals its plain meaning."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from agents.injection.evidence import (
    CONCEPTS_HERE,
    CONCEPTS_SUM,
    CONCEPTS_TOP,
    DEPTH,
    EVIDENCE,
    LEAVES,
    NODES,
    WINDOWS,
    WORDS_HERE,
    WORDS_SUM,
    WORDS_TOP,
    add_windows,
    empty,
    finish,
    weigh,
)

_ODDS = st.floats(-50, 50)


def walked(
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
def test_windows_are_summed_up_wherever_they_are_cut(windows: list[tuple[float, float]], cut: int) -> None:
    words, concepts = np.array([w for w, _ in windows]), np.array([c for _, c in windows])
    evidence, cut = np.empty(EVIDENCE), min(cut, len(windows))
    empty(evidence)
    last = [add_windows(words, concepts, 0, cut, evidence), add_windows(words, concepts, cut, len(windows), evidence)]
    finish(evidence, 0, np.array([1, 0, 0, 0, 0, 0]), 0, 0, 0, 1, 0)
    worst = int(np.argmax(words + concepts))
    assert max(last) == worst
    assert evidence[WORDS_HERE] == words[worst]
    assert evidence[CONCEPTS_HERE] == concepts[worst]
    assert evidence[WORDS_TOP] == words.max()
    assert evidence[CONCEPTS_TOP] == concepts.max()
    assert evidence[WORDS_SUM] == pytest.approx(words.mean())
    assert evidence[CONCEPTS_SUM] == pytest.approx(concepts.mean())
    assert evidence[WINDOWS] == pytest.approx(math.log(len(windows)))


@settings(deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_trees_are_walked(seed: int) -> None:
    rng = np.random.default_rng(seed)
    features = rng.integers(0, EVIDENCE, (5, NODES)).astype(np.int16)
    cuts, values = rng.normal(size=(5, NODES)).astype(np.float32), rng.normal(size=(5, LEAVES)).astype(np.float32)
    x = rng.normal(size=EVIDENCE)
    assert weigh(x, features, cuts, values) == pytest.approx(walked(x, features, cuts, values))
