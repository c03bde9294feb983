"""Logarithmic histograms (DDSketch): quantiles within 2 % of the value; histograms merge by addition.

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
_PENDING_MAX = 64


def bucket(value: float) -> int:
    """Return the bucket of a value: bucket ``k`` holds (GAMMA**(k-1), GAMMA**k], bucket 0 holds all values up to 1.

    Examples
    --------
    >>> bucket(0.5), bucket(1.0), bucket(1000.0)
    (0, 0, 173)
    """
    return 0 if value <= 1.0 else math.ceil(math.log(value) * _PER_LOG)


def bucket_value(k: int) -> float:
    """Return the representative value of a bucket: within 2 % of every value in the bucket."""
    return 2 * GAMMA**k / (GAMMA + 1)


def quantile(counts: Mapping[int, int], q: float) -> float:
    """Return a quantile of a histogram, NaN for an empty one.

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
            return bucket_value(k)
    return bucket_value(max(counts))


class CompactCounter:
    """Counter of small integers that takes a few bytes per entry while it has few entries.

    New integers are appended to an array and counted into a dictionary once 64 have accumulated. A dictionary takes
    half a kilobyte even for an almost empty window, and each of 10,000 segments has several windows.

    Parameters
    ----------
    counts
        Initial counts; copied.

    Examples
    --------
    >>> counter = CompactCounter({7: 2})
    >>> counter.add(7); counter.add(3)
    >>> counter.counts()
    {3: 1, 7: 3}
    """

    __slots__ = ("_counted", "_pending")

    def __init__(self, counts: Mapping[int, int] | None = None) -> None:
        self._counted: dict[int, int] | None = dict(counts) if counts else None
        self._pending = array("I")

    def add(self, key: int) -> None:
        """Add one to the count of ``key``, an integer from 0 to 2**32 - 1."""
        self._pending.append(key)
        if len(self._pending) >= _PENDING_MAX:
            self._counted = self.counts()
            self._pending = array("I")

    def counts(self) -> dict[int, int]:
        """Return a copy of the counts by integer, in ascending order."""
        total = dict(self._counted) if self._counted else {}
        for key in self._pending:  # collections.Counter takes three times as long for a few integers
            total[key] = total.get(key, 0) + 1
        return dict(sorted(total.items()))

    def discard(self, matches: Callable[[int], bool]) -> None:
        """Remove the integers for which ``matches`` returns True."""
        self._pending = array("I", [key for key in self._pending if not matches(key)])
        if self._counted:
            self._counted = {key: count for key, count in self._counted.items() if not matches(key)} or None
