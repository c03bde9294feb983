"""The inputs of trees and thresholds are equal in training and in use."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from agents.base import Role
from agents.common.hashing import SIZE
from agents.injection.concepts import CONCEPT_SIZE
from agents.injection.evidence import WORST_CONCEPTS, WORST_WORDS
from agents.injection.weights import THRESHOLD_ROW, InjectionWeights, load_weights
from training.hard_cases import cases
from training.train_injection import Features, Model, Texts, all_windows, evidence_of, hashed, sums, train

Rows = list[dict[str, Any]]
EMPTY = {"text": " ", "label": 0, "src": "empty", "role": "user"}


@pytest.fixture(scope="module")
def rows() -> Rows:
    return cases(200, 1)


def odds_of(features: Features, texts: Texts, table: NDArray[np.float64]) -> NDArray[np.float64]:
    out = np.empty(int(texts.rows[-1]))
    all_windows(features.index, features.ends, texts.rows, table, features.prior, out)
    return out


def evidence(texts: Texts, base: InjectionWeights) -> NDArray[np.float64]:
    """Return the evidence of the trainer for the shipped weights."""
    words, prompts, context = np.split(base.table * base.unit, [SIZE, SIZE + CONCEPT_SIZE])
    around = np.repeat(texts.role != Role.USER, np.diff(texts.rows))
    concepts = np.where(around, odds_of(texts.concepts, texts, context), odds_of(texts.concepts, texts, prompts))
    return evidence_of(texts, odds_of(texts.grams, texts, words), concepts)


def test_a_row_has_the_same_log_odds_in_training_as_in_use(rows: Rows) -> None:
    base, texts = load_weights(), hashed(rows)
    x, by_trees = evidence(texts, base), np.zeros(len(rows))
    sums(x, *base.trees, np.ones(len(rows), np.bool_), by_trees)
    in_training = x[:, WORST_WORDS] + x[:, WORST_CONCEPTS] + base.bias + by_trees
    in_use = Model(base).scores(rows)[:, 1]
    assert {role.name.lower() for role in THRESHOLD_ROW} == {row["role"] for row in rows}
    # The agent also scores an encoded text without decoding it.
    plain = texts.other[:, 3] == 0
    np.testing.assert_allclose(in_training[plain], in_use[plain], atol=1e-9)


def test_a_text_without_features_has_no_held_out_odds(rows: Rows) -> None:
    texts = hashed([*rows, EMPTY])
    assert train(texts, texts.grams, 0).held_out[-1] == 0.0
