"""Logarithmic histograms: quantiles within 2 % of the value, and merging is addition.

References
----------
Masson, Rim and Lee: DDSketch, a fast and fully-mergeable quantile sketch with relative-error guarantees. VLDB 2019.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

ALPHA = 0.02
GAMMA = (1 + ALPHA) / (1 - ALPHA)
_PER_LOG = 1 / math.log(GAMMA)


def bucket(value: float) -> int:
    """Return the bucket of a value: ``k`` holds (GAMMA**(k-1), GAMMA**k]; 0 holds all that is at most 1.

    Examples
    --------
    >>> bucket(0.5), bucket(1.0), bucket(1000.0)
    (0, 0, 173)
    """
    return 0 if value <= 1.0 else math.ceil(math.log(value) * _PER_LOG)


def value_of(k: int) -> float:
    """Return the value that stands for a bucket: at most 2 % from any value in it."""
    return 2 * GAMMA**k / (GAMMA + 1)


def quantile(counts: Mapping[int, int], q: float) -> float:
    """Return a quantile, NaN of nothing.

    Examples
    --------
    >>> round(quantile({bucket(v): 1 for v in (100.0, 200.0, 300.0)}, 0.5) / 200, 1)
    1.0
    """
    total = sum(counts.values())
    if not total:
        return math.nan
    rank = q * (total - 1)
    below = 0
    for k in sorted(counts):
        below += counts[k]
        if below > rank:
            return value_of(k)
    return value_of(max(counts))
