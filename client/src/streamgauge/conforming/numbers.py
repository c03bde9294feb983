"""Numbers within the bounds that the contracts set."""

from __future__ import annotations

import math
from typing import Any

from streamgauge.conforming.repairs import Repairs

MAX_TOKENS = 2**31 - 1
MAX_MS = 86_400_000
MAX_USD = 1e6


def finite(value: Any, repairs: Repairs) -> float | None:
    """Return a finite number, or ``None``."""
    if value is None or ((type(value) is int or type(value) is float) and math.isfinite(value)):
        return value
    return repairs(None)


def bounded(value: Any, most: float, repairs: Repairs) -> float | None:
    """Return a number from 0 to ``most``; what lies outside is left out, as its meaning is not known."""
    number = finite(value, repairs)
    if number is None or 0 <= number <= most:
        return number
    return repairs(None)


def tokens(value: Any, repairs: Repairs) -> int:
    """Return a count of tokens; 0 where there is none."""
    if type(value) is int and 0 <= value <= MAX_TOKENS:
        return value
    number = bounded(value, MAX_TOKENS, repairs)
    return repairs(round(number)) if number is not None else 0
