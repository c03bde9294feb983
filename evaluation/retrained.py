"""Models of the agents, retrained on the rows of a fold by the trainers of the shipped weights."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from evaluation.splits import Row
from training import train_hallucination, train_injection

SEED = 7


class Model(Protocol):
    """Result of a trainer's ``fit(rows, seed)``."""

    def scores(self, rows: Sequence[Row]) -> NDArray[np.float64]:
        """Return the score of each row; higher is worse."""
        ...


def fit_injection(rows: Sequence[Row], seed: int = SEED) -> Model:
    """Train the injection agent's model, including thresholds."""
    model: Model = train_injection.fit(rows, seed)
    return model


def score_and_flag(model: Model, rows: Sequence[Row]) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Return the margin of each row over the thresholds of an injection model, and its flag.

    The model's scores are float64[n, 2], the margin in the first column.
    """
    margin = model.scores(rows)[:, 0]
    return margin, margin >= 0.0


def fit_hallucination(rows: Sequence[Row], seed: int = SEED) -> Model:
    """Train the hallucination agent's model; its scores are probabilities."""
    model: Model = train_hallucination.fit(rows, seed)
    return model
