"""Logistic regression whose weights keep their signs: those that ship, and log odds by them."""

from __future__ import annotations

import json
from dataclasses import dataclass
from importlib.resources import files

from numba import njit

from agents.hallucination.features import FEATURES


@dataclass(frozen=True, slots=True)
class Shipped:
    """The weights that ship, in the order of `FEATURES`, intercept last, and the threshold on the probability."""

    weights: tuple[float, ...]
    threshold: float


def shipped() -> Shipped:
    """Read ``weights.json``, written by ``training/train_hallucination.py``."""
    data = json.loads(files("agents.hallucination").joinpath("weights.json").read_text("utf-8"))
    if tuple(data["features"]) != FEATURES:
        raise ValueError(f"weights.json is for features {data['features']}; run training/train_hallucination.py")
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
