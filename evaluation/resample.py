"""Confidence intervals by resampling sources, and rows within them.

Rows of one source are alike, so rows alone would give intervals that are far too narrow: what is unknown is mostly how
a source that is not here would do. Sources are drawn with replacement, then the rows of each.

References
----------
Davison, A., Hinkley, D. (1997). Bootstrap methods and their application, section 3.8 (hierarchical data).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tools.evaluation.ranking_metrics import FPR_LIMIT, Numbers

DRAWS, SEED, LEVEL = 300, 7, 0.95
MEASURES = ("auc", "average_precision", "tpr_at_1_fpr")


@dataclass(frozen=True, slots=True)
class Interval:
    """A figure and where it would lie in 95 of 100 repetitions with other sources and rows.

    Attributes
    ----------
    value, low, high
        None where it could not be measured.
    """

    value: float | None
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True, slots=True)
class Ranked:
    """Scores of one source's positives, and the name of the negatives they are ranked among."""

    positives: Numbers
    among: str


@dataclass(frozen=True)
class Means:
    """Measures of sources, as they are and in each draw.

    Attributes
    ----------
    names
        The sources.
    values
        float64[sources, measures], in the order of `MEASURES`; NaN where one could not be measured.
    drawn
        float64[draws, sources, measures].
    picked
        int64[draws, sources], numbers from which each draw's sources are taken.
    """

    names: Sequence[str]
    values: Numbers
    drawn: Numbers
    picked: NDArray[np.int64]

    def of(self, name: str) -> dict[str, Interval]:
        """Return the measures of a source; the intervals are of its rows alone."""
        k = self.names.index(name)
        return {m: _interval(float(self.values[k, j]), self.drawn[:, k, j]) for j, m in enumerate(MEASURES)}

    def mean(self, names: Sequence[str] | None = None) -> dict[str, Interval]:
        """Return means over sources, each weighing the same, with intervals over sources and rows."""
        chosen = np.array([self.names.index(n) for n in (self.names if names is None else names)], np.int64)
        if not len(chosen):
            return {m: Interval(None) for m in MEASURES}
        picked = chosen[self.picked[:, : len(chosen)] % len(chosen)]
        means = self.drawn[np.arange(len(picked))[:, None], picked].mean(axis=1)
        return {m: _interval(float(self.values[chosen, j].mean()), means[:, j]) for j, m in enumerate(MEASURES)}


def ranked_means(
    sources: Mapping[str, Ranked], negatives: Mapping[str, Sequence[Numbers]], draws: int = DRAWS, seed: int = SEED
) -> Means:
    """Measure each source, and again in each draw.

    Parameters
    ----------
    sources
        By name.
    negatives
        Groups of negatives by the name that `Ranked.among` gives; each is a list of arrays, one for each source of
        negatives.
    draws, seed
        Of the resampling. With 0 draws there are values only.
    """
    others = {name: _Negatives.of(groups) for name, groups in negatives.items()}
    placed = [_Placed.of(source.positives, others[source.among].scores) for source in sources.values()]
    keys = [source.among for source in sources.values()]
    whole = {name: _summed(np.ones(len(n.scores), np.int64)) for name, n in others.items()}
    values = [one.measures(one.count, whole[key]) for one, key in zip(placed, keys, strict=True)]
    rng = np.random.default_rng(seed)
    drawn = np.empty((draws, len(sources), len(MEASURES)))
    for d in range(draws):
        weights = {name: _summed(n.draw(rng)) for name, n in others.items()}
        for k, one in enumerate(placed):
            drawn[d, k] = one.measures(one.draw(rng), weights[keys[k]])
    picked = rng.integers(1 << 31, size=(draws, len(sources)))
    return Means(list(sources), np.array(values).reshape(len(sources), len(MEASURES)), drawn, picked)


def auc_of(positives: Numbers, negatives: Numbers) -> float | None:
    """Area under the ROC curve of positives among negatives; None where either is missing."""
    return ranked_means({"": Ranked(positives, "")}, {"": [negatives]}, 0).of("")["auc"].value


def share(flags: Sequence[NDArray[np.bool_]], draws: int = DRAWS, seed: int = SEED) -> Interval:
    """Share of rows that are flagged, all rows weighing the same.

    Parameters
    ----------
    flags
        Of the rows of each source.
    """
    rows = np.array([len(f) for f in flags if len(f)], np.int64)
    rate = np.array([f.mean() for f in flags if len(f)])
    if not len(rows):
        return Interval(None)
    rng = np.random.default_rng(seed)
    picked = rng.integers(len(rows), size=(draws, len(rows)))
    hits = rng.binomial(rows[picked], rate[picked])  # what drawing the rows one by one would count
    return _interval(float(rows @ rate / rows.sum()), hits.sum(axis=1) / rows[picked].sum(axis=1))


@dataclass(frozen=True)
class _Negatives:
    """Negatives in ascending order, and where those of each source stand."""

    scores: Numbers
    members: Sequence[NDArray[np.int64]]

    @classmethod
    def of(cls, groups: Sequence[Numbers]) -> _Negatives:
        scores = np.concatenate(list(groups))
        order = np.argsort(scores, kind="stable")
        place = np.empty(len(order), np.int64)
        place[order] = np.arange(len(order))
        ends = np.cumsum([len(g) for g in groups])
        return cls(scores[order], [m for m in np.split(place, ends[:-1]) if len(m)])

    def draw(self, rng: np.random.Generator) -> NDArray[np.int64]:
        """Draw as many sources as there are, with replacement, and the rows of each; how often each row came."""
        if not self.members:
            return np.zeros(0, np.int64)
        chosen = (self.members[k] for k in rng.integers(len(self.members), size=len(self.members)).tolist())
        rows = np.concatenate([m[rng.integers(len(m), size=len(m))] for m in chosen])
        return np.bincount(rows, minlength=len(self.scores))


@dataclass(frozen=True)
class _Placed:
    """Distinct scores of positives, the highest first, by their place among the negatives.

    So a draw costs sums over weights and no sorting; the measures are those of `tools.evaluation.ranking_metrics`.

    Attributes
    ----------
    which
        int64[n], the distinct score of each positive.
    count
        int64[m], positives of each distinct score.
    below, upto
        int64[m], negatives under a score, and those not over it.
    """

    which: NDArray[np.int64]
    count: NDArray[np.int64]
    below: NDArray[np.int64]
    upto: NDArray[np.int64]

    @classmethod
    def of(cls, positives: Numbers, negatives: Numbers) -> _Placed:
        scores, which = np.unique(-positives, return_inverse=True)
        below, upto = (np.searchsorted(negatives, -scores, side) for side in ("left", "right"))
        return cls(which, np.bincount(which, minlength=len(scores)), below, upto)

    def draw(self, rng: np.random.Generator) -> NDArray[np.int64]:
        """Draw the positives again; how often each distinct score came."""
        n = len(self.which)
        return np.bincount(self.which[rng.integers(n, size=n)] if n else self.which, minlength=len(self.count))

    def measures(self, count: NDArray[np.int64], negatives: NDArray[np.int64]) -> list[float]:
        """Return the `MEASURES` where each score came ``count`` times; ``negatives`` are summed weights."""
        p, n = int(count.sum()), int(negatives[-1])
        if not p or not n:
            return [np.nan] * len(MEASURES)
        below, upto = negatives[self.below], negatives[self.upto]
        over, found = n - below, np.cumsum(count)
        precision = found / np.maximum(1, found + over)
        auc = float(count @ (below + upto)) / (2 * p * n)
        return [auc, float(count @ precision) / p, float(count[over <= FPR_LIMIT * n].sum()) / p]


def _summed(weights: NDArray[np.int64]) -> NDArray[np.int64]:
    return np.concatenate([[0], np.cumsum(weights)])


def _interval(value: float, drawn: Numbers) -> Interval:
    if np.isnan(value):
        return Interval(None)
    there = drawn[~np.isnan(drawn)]
    if not len(there):
        return Interval(round(value, 4))
    low, high = np.quantile(there, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return Interval(round(value, 4), round(float(low), 4), round(float(high), 4))
