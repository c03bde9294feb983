"""Surprisal of a logit: by the shipped threshold, and against the baseline of an app."""

from __future__ import annotations

import math
from collections.abc import Iterable

SURPRISAL_PER_LOGIT = 0.658
"""Slope of the surprisal. The tail of harmless texts shrinks to a tenth every 3.5 logits: ln(10) / 3.5."""
SURPRISAL_AT_THRESHOLD = 4.605
"""Surprisal at logit 0, the threshold: -ln(1/100)."""

_MIN_LOGIT = -10
_BINS = 20
_PRIOR_TEXTS = 200
"""Number of texts that the prior tail counts for."""
_HALVE_AT = 4096
"""Number of texts after which all counts are halved, so that the baseline follows the last few thousand texts."""


class ScoreBaseline:
    """Histogram of the logits of an app's prompts, or of its passages, one bin per logit.

    Parameters
    ----------
    counts
        Number of texts in each bin. The bins cover the logits from -10 to 9; the first and the last bin are open.

    Examples
    --------
    >>> quiet, noisy = ScoreBaseline(), ScoreBaseline()
    >>> for logit in range(1000):
    ...     quiet.add(-9.0); noisy.add(-0.5)
    >>> round(quiet.surprisal(-0.5), 1), round(noisy.surprisal(-0.5), 1)
    (4.3, 0.2)
    """

    __slots__ = ("_total", "counts")

    def __init__(self, counts: Iterable[int] | None = None) -> None:
        self.counts = [0] * _BINS if counts is None else [int(count) for count in counts]
        if len(self.counts) != _BINS:
            raise ValueError(f"baseline of scores: {len(self.counts)} bins, expected {_BINS}")
        self._total = sum(self.counts)

    def add(self, logit: float) -> None:
        """Count the logit of a text."""
        self.counts[_bin(logit)] += 1
        self._total += 1
        if self._total >= _HALVE_AT:
            self.counts = [count // 2 for count in self.counts]
            self._total = sum(self.counts)

    def surprisal(self, logit: float) -> float:
        """Return -ln of the share of harmless texts that reach a logit: the larger share of prior and app."""
        prior = prior_surprisal(logit)
        if prior <= 0.0:
            return 0.0
        prior_share = math.exp(-prior)
        app_share = (sum(self.counts[_bin(logit) :]) + _PRIOR_TEXTS * prior_share) / (self._total + _PRIOR_TEXTS)
        return prior if prior_share >= app_share else max(0.0, -math.log(app_share))


def prior_surprisal(logit: float) -> float:
    """Return -ln of the share of harmless training texts that reach a logit.

    Examples
    --------
    >>> round(prior_surprisal(0.0), 1), prior_surprisal(-9.0)
    (4.6, 0.0)
    """
    return max(0.0, SURPRISAL_AT_THRESHOLD + SURPRISAL_PER_LOGIT * logit)


def _bin(logit: float) -> int:
    if logit < _MIN_LOGIT:
        return 0
    return int(logit - _MIN_LOGIT) if logit < _MIN_LOGIT + _BINS else _BINS - 1
