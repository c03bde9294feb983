"""Conversion of log odds to probabilities."""

from __future__ import annotations

import math


def sigmoid(log_odds: float) -> float:
    """Return the logistic function of ``log_odds`` without overflow.

    Examples
    --------
    >>> sigmoid(0.0), sigmoid(-1000.0), sigmoid(1000.0)
    (0.5, 0.0, 1.0)
    """
    return 1.0 / (1.0 + math.exp(-log_odds)) if log_odds >= 0 else 1.0 - 1.0 / (1.0 + math.exp(log_odds))
