"""Logarithmic histograms: quantiles within 2 % of the value, and merging is addition.

References
----------
Masson, Rim and Lee: DDSketch, a fast and fully-mergeable quantile sketch with relative-error guarantees. VLDB 2019.
"""

from __future__ import annotations

import math
from array import array
from collections.abc import Callable, Mapping

ALPHA = 0.02
GAMMA = (1 + ALPHA) / (1 - ALPHA)
_PER_LOG = 1 / math.log(GAMMA)
_UNCOUNTED = 64


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


class Tally:
    """Counts of small whole numbers, in a few bytes each while there are few.

    What is new is kept as it came and counted when 64 have come: a dictionary of an almost empty window would take half
    a kilobyte, and there are several windows for each of 10,000 segments.

    Parameters
    ----------
    counts
        To begin with; copied.

    Examples
    --------
    >>> tally = Tally({7: 2})
    >>> tally.add(7); tally.add(3)
    >>> tally.counts()
    {3: 1, 7: 3}
    """

    __slots__ = ("_counted", "_new")

    def __init__(self, counts: Mapping[int, int] | None = None) -> None:
        self._counted: dict[int, int] | None = dict(counts) if counts else None
        self._new = array("I")

    def add(self, key: int) -> None:
        """Count one; ``key`` is from 0 to 2**32 - 1."""
        self._new.append(key)
        if len(self._new) >= _UNCOUNTED:
            self._counted = self.counts()
            self._new = array("I")

    def counts(self) -> dict[int, int]:
        """Return number to count, ascending; a copy."""
        total = dict(self._counted) if self._counted else {}
        for key in self._new:  # a Counter takes three times as long for the few that there most often are
            total[key] = total.get(key, 0) + 1
        return dict(sorted(total.items()))

    def drop(self, gone: Callable[[int], bool]) -> None:
        """Forget the numbers for which ``gone`` is true."""
        self._new = array("I", [key for key in self._new if not gone(key)])
        if self._counted:
            self._counted = {key: count for key, count in self._counted.items() if not gone(key)} or None
