"""The limit of the text statistic for a stated number of events per false alarm."""

from __future__ import annotations

import math

from agents.drift.words import DIMENSIONS


def text_limit(events: float, reference: int, smoothing: float) -> float:
    """Limit of the MEWMA statistic with so many events per false alarm."""
    p = DIMENSIONS
    z = math.sqrt(2.0 * math.log(events * smoothing))
    known = p * (1.0 - 2.0 / (9.0 * p) + z * math.sqrt(2.0 / (9.0 * p))) ** 3
    return known * (1.0 + (2.0 - smoothing) / (smoothing * reference))
