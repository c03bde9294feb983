"""Numbers within the bounds of the contracts."""

from __future__ import annotations

import math
from typing import Any

from streamgauge.normalization.repair_flag import RepairFlag

MAX_TOKENS = 2**31 - 1
MAX_MS = 86_400_000
MAX_USD = 1e6


def finite(value: Any, repaired: RepairFlag) -> float | None:
    """Return a finite number, or ``None`` for any other value."""
    if value is None or ((type(value) is int or type(value) is float) and math.isfinite(value)):
        return value
    return repaired(None)


def bounded(value: Any, maximum: float, repaired: RepairFlag) -> float | None:
    """Return a number from 0 to ``maximum``, or ``None``: a value outside the bounds has no known meaning."""
    number = finite(value, repaired)
    if number is None or 0 <= number <= maximum:
        return number
    return repaired(None)


def to_token_count(value: Any, repaired: RepairFlag) -> int:
    """Convert to a token count; 0 for invalid values."""
    if type(value) is int and 0 <= value <= MAX_TOKENS:
        return value
    number = bounded(value, MAX_TOKENS, repaired)
    return repaired(round(number)) if number is not None else 0
