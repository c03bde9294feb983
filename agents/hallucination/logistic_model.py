"""Logistic regression with weights of fixed sign: the shipped weights and their log odds."""

from __future__ import annotations

import json
from dataclasses import dataclass
from importlib.resources import files

from numba import njit

from agents.hallucination.features import FEATURES


@dataclass(frozen=True, slots=True)
class ShippedWeights:
    """Shipped weights in the order of `FEATURES`, intercept last, and the threshold on the probability."""

    weights: tuple[float, ...]
    threshold: float


def load_weights() -> ShippedWeights:
    """Read ``weights.json``, written by ``training/train_hallucination.py``."""
    data = json.loads(files("agents.hallucination").joinpath("weights.json").read_text("utf-8"))
    if tuple(data["features"]) != FEATURES:
        raise ValueError(
            f"weights.json has features {data['features']}, not {list(FEATURES)}; run training/train_hallucination.py"
        )
    return ShippedWeights(tuple(map(float, data["weights"])), float(data["threshold"]))


@njit(cache=True, nogil=True)
def log_odds(weights, x):  # type: ignore[no-untyped-def]
    """Return the log odds of one row, summed in a fixed order."""
    total = weights[len(x)]
    for k in range(len(x)):
        total += weights[k] * x[k]
    return total


@njit(cache=True, nogil=True)
def log_odds_of_rows(weights, rows, out):  # type: ignore[no-untyped-def]
    """Write the log odds of each row to ``out``."""
    for i in range(len(rows)):
        out[i] = log_odds(weights, rows[i])
