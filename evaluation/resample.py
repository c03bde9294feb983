"""Confidence intervals by resampling sources, and rows within sources.

Rows of one source are similar, so resampling rows alone gives intervals that are far too narrow: the main uncertainty
is the result on other sources. Sources are drawn with replacement, then the rows of each source.

References
----------
Davison, A., Hinkley, D. (1997). Bootstrap methods and their application, section 3.8 (hierarchical data).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import roc_auc_score

from tools.evaluation.ranking_metrics import FPR_LIMIT, Numbers

DRAWS, SEED, LEVEL = 300, 7, 0.95
MEASURES = ("auc", "average_precision", "tpr_at_1_fpr")


@dataclass(frozen=True, slots=True)
class Interval:
    """Figure with its 95 % confidence interval over sources and rows.

    Attributes
    ----------
    value, low, high
        None if the figure could not be measured.
    """

    value: float | None
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True, slots=True)
class Ranked:
    """Scores of one source's positives, and the name of the negatives to rank them among."""

    positives: Numbers
    among: str


@dataclass(frozen=True)
class Means:
    """Measures of sources, on all rows and in each draw.

    Attributes
    ----------
    names
        Names of the sources.
    values
        float64[sources, measures], in the order of `MEASURES`; NaN for a missing measure.
    drawn
        float64[draws, sources, measures].
    picked
        int64[draws, sources], random numbers that select the sources of each draw.
    """

    names: Sequence[str]
    values: Numbers
    drawn: Numbers
    picked: NDArray[np.int64]

    def of(self, name: str) -> dict[str, Interval]:
        """Return the measures of a source with intervals over its rows."""
        k = self.names.index(name)
        return {m: _interval(float(self.values[k, j]), self.drawn[:, k, j]) for j, m in enumerate(MEASURES)}

    def mean(self, names: Sequence[str] | None = None) -> dict[str, Interval]:
        """Return unweighted means over sources with intervals over sources and rows."""
        chosen = np.array([self.names.index(n) for n in (self.names if names is None else names)], np.int64)
        if not len(chosen):
            return {m: Interval(None) for m in MEASURES}
        picked = chosen[self.picked[:, : len(chosen)] % len(chosen)]
        means = self.drawn[np.arange(len(picked))[:, None], picked].mean(axis=1)
        return {m: _interval(float(self.values[chosen, j].mean()), means[:, j]) for j, m in enumerate(MEASURES)}


def ranked_means(
    sources: Mapping[str, Ranked], negatives: Mapping[str, Sequence[Numbers]], draws: int = DRAWS, seed: int = SEED
) -> Means:
    """Return the measures of each source, on all rows and in each draw.

    Parameters
    ----------
    sources
        Sources by name.
    negatives
        Groups of negatives by the name in `Ranked.among`; a group has one array per source of negatives.
    draws, seed
        Number of draws and seed of the resampling; 0 draws give values without intervals.
    """
    negatives_by_name = {name: _Negatives.of(groups) for name, groups in negatives.items()}
    placed = [
        _RankedPositives.of(source.positives, negatives_by_name[source.among].scores) for source in sources.values()
    ]
    keys = [source.among for source in sources.values()]
    whole = {name: _cumulative(np.ones(len(n.scores), np.int64)) for name, n in negatives_by_name.items()}
    values = [source.measures(source.count, whole[key]) for source, key in zip(placed, keys, strict=True)]
    rng = np.random.default_rng(seed)
    drawn = np.empty((draws, len(sources), len(MEASURES)))
    for d in range(draws):
        weights = {name: _cumulative(n.draw(rng)) for name, n in negatives_by_name.items()}
        for k, source in enumerate(placed):
            drawn[d, k] = source.measures(source.draw(rng), weights[keys[k]])
    picked = rng.integers(1 << 31, size=(draws, len(sources)))
    return Means(list(sources), np.array(values).reshape(len(sources), len(MEASURES)), drawn, picked)


def auc_of(positives: Numbers, negatives: Numbers) -> float | None:
    """Return the area under the ROC curve, rounded to four digits; None if positives or negatives are missing."""
    if not len(positives) or not len(negatives):
        return None
    label = np.repeat([True, False], [len(positives), len(negatives)])
    return round(float(roc_auc_score(label, np.concatenate([positives, negatives]))), 4)


def share(flags: Sequence[NDArray[np.bool_]], draws: int = DRAWS, seed: int = SEED) -> Interval:
    """Return the fraction of flagged rows over all rows, with an interval over sources and rows.

    Parameters
    ----------
    flags
        Flags of the rows of each source.
    """
    rows = np.array([len(f) for f in flags if len(f)], np.int64)
    rate = np.array([f.mean() for f in flags if len(f)])
    if not len(rows):
        return Interval(None)
    rng = np.random.default_rng(seed)
    picked = rng.integers(len(rows), size=(draws, len(rows)))
    hits = rng.binomial(rows[picked], rate[picked])  # equal in distribution to drawing the rows one by one
    return _interval(float(rows @ rate / rows.sum()), hits.sum(axis=1) / rows[picked].sum(axis=1))


@dataclass(frozen=True)
class _Negatives:
    """Negatives in ascending order, with the positions of each source."""

    scores: Numbers
    members: Sequence[NDArray[np.int64]]

    @classmethod
    def of(cls, groups: Sequence[Numbers]) -> _Negatives:
        scores = np.concatenate(list(groups))
        order = np.argsort(scores, kind="stable")
        position = np.empty(len(order), np.int64)
        position[order] = np.arange(len(order))
        ends = np.cumsum([len(g) for g in groups])
        return cls(scores[order], [m for m in np.split(position, ends[:-1]) if len(m)])

    def draw(self, rng: np.random.Generator) -> NDArray[np.int64]:
        """Draw sources and their rows with replacement; return the count of each row."""
        if not self.members:
            return np.zeros(0, np.int64)
        chosen = (self.members[k] for k in rng.integers(len(self.members), size=len(self.members)).tolist())
        rows = np.concatenate([m[rng.integers(len(m), size=len(m))] for m in chosen])
        return np.bincount(rows, minlength=len(self.scores))


@dataclass(frozen=True)
class _RankedPositives:
    """Distinct scores of positives in descending order, with their positions among the negatives.

    A draw needs sums over weights, but no sorting. The measures equal those of `tools.evaluation.ranking_metrics`.

    Attributes
    ----------
    which
        int64[n], index of the distinct score of each positive.
    count
        int64[m], number of positives with each distinct score.
    below, upto
        int64[m], number of negatives below each score, and up to each score.
    """

    which: NDArray[np.int64]
    count: NDArray[np.int64]
    below: NDArray[np.int64]
    upto: NDArray[np.int64]

    @classmethod
    def of(cls, positives: Numbers, negatives: Numbers) -> _RankedPositives:
        scores, which = np.unique(-positives, return_inverse=True)
        below, upto = (np.searchsorted(negatives, -scores, side) for side in ("left", "right"))
        return cls(which, np.bincount(which, minlength=len(scores)), below, upto)

    def draw(self, rng: np.random.Generator) -> NDArray[np.int64]:
        """Draw positives with replacement; return the count of each distinct score."""
        n = len(self.which)
        return np.bincount(self.which[rng.integers(n, size=n)] if n else self.which, minlength=len(self.count))

    def measures(self, count: NDArray[np.int64], negatives: NDArray[np.int64]) -> list[float]:
        """Return the `MEASURES` for ``count`` positives per score; ``negatives`` has cumulative weights."""
        p, n = int(count.sum()), int(negatives[-1])
        if not p or not n:
            return [np.nan] * len(MEASURES)
        below, upto = negatives[self.below], negatives[self.upto]
        false, true = n - below, np.cumsum(count)
        precision = true / np.maximum(1, true + false)
        auc = float(count @ (below + upto)) / (2 * p * n)
        return [auc, float(count @ precision) / p, float(count[false <= FPR_LIMIT * n].sum()) / p]


def _cumulative(weights: NDArray[np.int64]) -> NDArray[np.int64]:
    return np.concatenate([[0], np.cumsum(weights)])


def _interval(value: float, drawn: Numbers) -> Interval:
    if np.isnan(value):
        return Interval(None)
    known = drawn[~np.isnan(drawn)]
    if not len(known):
        return Interval(round(value, 4))
    low, high = np.quantile(known, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return Interval(round(value, 4), round(float(low), 4), round(float(high), 4))
