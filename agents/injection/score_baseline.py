"""How rare a logit is: by the shipped threshold, and among the texts of the same app."""

from __future__ import annotations

import math
from collections.abc import Iterable

SLOPE = 0.658
"""Evidence in a logit: the tail of harmless texts is a tenth each 3.5 logits, and ln(10) / 3.5 is this."""
AT_THRESHOLD = 4.605
"""Evidence at logit 0, the threshold: -ln(1/100)."""

_LOWEST = -10
_BINS = 20
_PRIOR = 200
"""Texts that the shipped tail counts for."""
_FULL = 4096
"""Texts after which all counts are halved: the usual is that of the last few thousand."""


class Usual:
    """A histogram of the logits of an app's prompts, or of its passages, a logit to a bin.

    Parameters
    ----------
    counts
        Texts in each bin: of logits from -10 to 9, and what is beyond in the first and the last.

    Examples
    --------
    >>> quiet, odd = Usual(), Usual()
    >>> for logit in range(1000):
    ...     quiet.count(-9.0); odd.count(-0.5)
    >>> round(quiet.evidence(-0.5), 1), round(odd.evidence(-0.5), 1)
    (4.3, 0.2)
    """

    __slots__ = ("_all", "counts")

    def __init__(self, counts: Iterable[int] | None = None) -> None:
        self.counts = [0] * _BINS if counts is None else [int(count) for count in counts]
        if len(self.counts) != _BINS:
            raise ValueError(f"{len(self.counts)} bins where {_BINS} must be")
        self._all = sum(self.counts)

    def count(self, logit: float) -> None:
        """Take a text into account."""
        self.counts[_bin(logit)] += 1
        self._all += 1
        if self._all >= _FULL:
            self.counts = [count // 2 for count in self.counts]
            self._all = sum(self.counts)

    def evidence(self, logit: float) -> float:
        """Return -ln of the share of harmless prompts that reach a logit, the larger of the two shares."""
        most = shipped_evidence(logit)
        if most <= 0.0:
            return 0.0
        shipped = math.exp(-most)
        usual = (sum(self.counts[_bin(logit) :]) + _PRIOR * shipped) / (self._all + _PRIOR)
        return most if shipped >= usual else max(0.0, -math.log(usual))


def shipped_evidence(logit: float) -> float:
    """Return -ln of the share of harmless texts that reach a logit, as far as training tells.

    Examples
    --------
    >>> round(shipped_evidence(0.0), 1), shipped_evidence(-9.0)
    (4.6, 0.0)
    """
    return max(0.0, AT_THRESHOLD + SLOPE * logit)


def _bin(logit: float) -> int:
    if logit < _LOWEST:
        return 0
    return int(logit - _LOWEST) if logit < _LOWEST + _BINS else _BINS - 1
