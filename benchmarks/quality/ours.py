"""The models of the agents, trained anew on the rows of a fold by the trainers of what ships."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from benchmarks import train_hallucination, train_injection
from benchmarks.quality.splits import Row

SEED = 7


class Model(Protocol):
    """What a trainer's ``fit(rows, seed)`` returns."""

    def scores(self, rows: Sequence[Row]) -> NDArray[np.float64]:
        """Score each row; higher is worse."""
        ...


class _Injection:
    def __init__(self, table, bias):
        self.table, self.bias = table, bias

    def scores(self, rows):
        texts = train_injection.hashed(rows)
        o = train_injection.odds(texts, np.arange(len(texts)), self.table) + self.bias
        return np.column_stack([np.where(np.isfinite(o), o, -30.0)] * 2)


def fit_injection(rows: Sequence[Row], seed: int = SEED) -> Model:
    """Train the injection agent's model."""
    rows = [r for r in rows if r["src"] not in train_injection.MADE_BY_OTHERS]
    texts = train_injection.hashed([*rows, *train_injection.compose(rows, seed)])
    return _Injection(*train_injection.train(texts, np.arange(len(texts)), seed))


def judge(model: Model, rows: Sequence[Row]) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Return the margin over the thresholds that the trainer set within its rows, and which rows are over them."""
    margin = model.scores(rows)[:, 0]
    return margin, margin >= 0


def fit_hallucination(rows: Sequence[Row], seed: int = SEED) -> Model:
    """Train the hallucination agent's model."""
    return train_hallucination.fit(rows, seed)
