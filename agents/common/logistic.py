"""Log odds and probabilities."""

from __future__ import annotations

import math


def probability(log_odds: float) -> float:
    """Logistic function, of any size of odds.

    Examples
    --------
    >>> probability(0.0), probability(-1000.0), probability(1000.0)
    (0.5, 0.0, 1.0)
    """
    return 1.0 / (1.0 + math.exp(-log_odds)) if log_odds >= 0 else 1.0 - 1.0 / (1.0 + math.exp(log_odds))
