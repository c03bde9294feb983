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


@dataclass(frozen=True, slots=True)
class Means:
    """Measures by source and their means over sources, each source weighing the same."""

    by_source: Mapping[str, Mapping[str, Interval]]
    mean: Mapping[str, Interval]


def ranked_means(
    sources: Mapping[str, Ranked], negatives: Mapping[str, Sequence[Numbers]], draws: int = DRAWS, seed: int = SEED
) -> Means:
    """Measure each source and their mean.

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
    names = list(sources)
    whole = {name: np.concatenate(list(groups)) for name, groups in negatives.items()}
    values = np.array([_measures(s.positives, whole[s.among]) for s in sources.values()]).reshape(
        len(names), len(MEASURES)
    )
    rng = np.random.default_rng(seed)
    drawn = np.empty((draws, len(names), len(MEASURES)))
    means = np.empty((draws, len(MEASURES)))
    for d in range(draws):
        others = {name: redraw(groups, rng) for name, groups in negatives.items()}
        for k, source in enumerate(sources.values()):
            drawn[d, k] = _measures(_rows(source.positives, rng), others[source.among])
        means[d] = drawn[d, rng.integers(len(names), size=len(names))].mean(axis=0) if names else np.nan
    return Means(
        {n: {m: _interval(values[k, j], drawn[:, k, j]) for j, m in enumerate(MEASURES)} for k, n in enumerate(names)},
        {m: _interval(float(values[:, j].mean()) if names else np.nan, means[:, j]) for j, m in enumerate(MEASURES)},
    )


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
    flags = [f for f in flags if len(f)]
    if not flags:
        return Interval(None)
    rng = np.random.default_rng(seed)
    return _interval(float(np.concatenate(flags).mean()), np.array([redraw(flags, rng).mean() for _ in range(draws)]))


def redraw(groups: Sequence[NDArray[np.generic]], rng: np.random.Generator) -> NDArray[np.generic]:
    """Draw as many groups as there are, with replacement, and the rows of each."""
    picked = rng.integers(len(groups), size=len(groups))
    return np.concatenate([_rows(groups[g], rng) for g in picked.tolist()])


def _rows(values: NDArray[np.generic], rng: np.random.Generator) -> NDArray[np.generic]:
    return values[rng.integers(len(values), size=len(values))]


def _measures(positives: NDArray[np.generic], negatives: NDArray[np.generic]) -> list[float]:
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
        return Interval(round(float(value), 4))
    low, high = np.quantile(there, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return Interval(*(round(float(v), 4) for v in (value, low, high)))
