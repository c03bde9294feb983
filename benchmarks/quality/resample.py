"""Confidence intervals by resampling sources, and rows within them.

Rows of one source are alike, so rows alone would give intervals that are far too narrow: what is unknown is mostly how
a source that is not here would do. Sources are drawn with replacement, then the rows of each.

References
----------
Davison, A., Hinkley, D. (1997). Bootstrap methods and their application, section 3.8 (hierarchical data).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from streams.evaluation.metrics import Numbers, auc, average_precision, rank, tpr_at_fpr

DRAWS, SEED, LEVEL = 300, 7, 0.95
MEASURES: Mapping[str, Callable[..., float | None]] = {
    "auc": auc,
    "average_precision": average_precision,
    "tpr_at_1_fpr": tpr_at_fpr,
}


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
    whole = {name: np.concatenate(list(groups)) for name, groups in negatives.items()}
    values = np.array([_measures(s.positives, whole[s.among]) for s in sources.values()])
    rng = np.random.default_rng(seed)
    drawn = np.empty((draws, len(sources), len(MEASURES)))
    for d in range(draws):
        others = {name: redraw(groups, rng) for name, groups in negatives.items()}
        for k, source in enumerate(sources.values()):
            drawn[d, k] = _measures(_rows(source.positives, rng), others[source.among])
    picked = rng.integers(1 << 31, size=(draws, len(sources)))
    return Means(list(sources), values.reshape(len(sources), len(MEASURES)), drawn, picked)


def auc_of(positives: Numbers, negatives: Numbers) -> float:
    """Area under the ROC curve of positives among negatives; NaN where either is missing."""
    return _measures(positives, negatives)[0]


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


def redraw(groups: Sequence[Numbers], rng: np.random.Generator) -> Numbers:
    """Draw as many groups as there are, with replacement, and the rows of each."""
    picked = rng.integers(len(groups), size=len(groups))
    return np.concatenate([_rows(groups[g], rng) for g in picked.tolist()])


def _rows(values: Numbers, rng: np.random.Generator) -> Numbers:
    return values[rng.integers(len(values), size=len(values))]


def _measures(positives: Numbers, negatives: Numbers) -> list[float]:
    label = np.zeros(len(positives) + len(negatives), np.bool_)
    label[: len(positives)] = True
    ranking = rank(label, np.concatenate([positives, negatives]))
    found = [measure(ranking) for measure in MEASURES.values()]
    return [np.nan if value is None else value for value in found]


def _interval(value: float, drawn: Numbers) -> Interval:
    if np.isnan(value):
        return Interval(None)
    there = drawn[~np.isnan(drawn)]
    if not len(there):
        return Interval(round(value, 4))
    low, high = np.quantile(there, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return Interval(round(value, 4), round(float(low), 4), round(float(high), 4))
