"""Logistic regression whose weights keep their signs, learned one example at a time."""

# ruff: noqa: PLR0913, PLR0917 -- compiled kernels write into arrays they are given

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import files

import numpy as np
from numba import njit
from numpy.typing import NDArray

from agents.hallucination.features import FEATURES, SUPPORT

Vector = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Shipped:
    """The weights that ship, in the order of `FEATURES`, intercept last, and the threshold on the probability."""

    weights: tuple[float, ...]
    threshold: float


def shipped() -> Shipped:
    """Read ``weights.json``, written by ``benchmarks/train_hallucination.py``."""
    data = json.loads(files("agents.hallucination").joinpath("weights.json").read_text("utf-8"))
    if tuple(data["features"]) != FEATURES:
        raise ValueError(f"weights.json is for features {data['features']}; run benchmarks/train_hallucination.py")
    return Shipped(tuple(map(float, data["weights"])), float(data["threshold"]))


@njit(cache=True, nogil=True)
def margin(weights, x):  # type: ignore[no-untyped-def]
    """Log odds, summed in a fixed order."""
    total = weights[len(x)]
    for k in range(len(x)):
        total += weights[k] * x[k]
    return total


@njit(cache=True, nogil=True)
def margins(weights, rows, out):  # type: ignore[no-untyped-def]
    """`margin` of each row."""
    for i in range(len(rows)):
        out[i] = margin(weights, rows[i])


@njit(cache=True, nogil=True)
def descend(weights, squares, x, label, rate, support, weight):  # type: ignore[no-untyped-def]
    """One AdaGrad step on ``weight`` times the log loss, then projection: support at most 0, the rest at least 0.

    References
    ----------
    Duchi, J., Hazan, E., Singer, Y. (2011). Adaptive subgradient methods for online learning and stochastic
    optimization. JMLR 12, 2121-2159.
    """
    error = weight * (1.0 / (1.0 + math.exp(-margin(weights, x))) - label)
    for k in range(len(x) + 1):
        gradient = error * (x[k] if k < len(x) else 1.0)
        squares[k] += gradient * gradient
        value = weights[k] - rate * gradient / math.sqrt(squares[k])
        if k < support:
            value = min(value, 0.0)
        elif k < len(x):
            value = max(value, 0.0)
        weights[k] = value


def probability(log_odds: float) -> float:
    """Logistic function."""
    return 1.0 / (1.0 + math.exp(-log_odds)) if log_odds >= 0 else 1.0 - 1.0 / (1.0 + math.exp(log_odds))


class SignedLogistic:
    """Online logistic regression with sign constraints.

    Support can only lower and its lack can only raise the probability, whatever the feedback: a run of bad labels can
    make the model dull, never perverse.

    Parameters
    ----------
    weights
        Start; the intercept last.
    rate
        AdaGrad step: no weight moves by more than this for one label.
    confidence
        Squared gradient that each starting weight counts as having seen; higher holds it longer.

    Examples
    --------
    >>> model = SignedLogistic((0.0,) * 24, rate=0.5)
    >>> full = np.array([1.0] * 6 + [0.0] * 17)
    >>> model.learn(full, label=True)
    >>> model.weights[:6].tolist()
    [0.0, 0.0, 0.0, 0.0, 0.0, 0.0]
    """

    def __init__(self, weights: Sequence[float], *, rate: float = 0.05, confidence: float = 1e-8) -> None:
        self.rate = rate
        self.weights: Vector = np.array(weights, np.float64)
        self.squares: Vector = np.full(len(self.weights), confidence)

    def scores(self, rows: Vector) -> list[float]:
        """Log odds of each row."""
        out = np.zeros(len(rows))
        margins(self.weights, rows, out)
        return [float(v) for v in out]

    def learn(self, x: Vector, *, label: bool, weight: float = 1.0) -> None:
        """One step towards the label; ``weight`` scales its gradient."""
        descend(self.weights, self.squares, x, 1.0 if label else 0.0, self.rate, SUPPORT, weight)
