"""Measures of rankings and of decisions, with ties handled as in scikit-learn.

A threshold separates distinct scores only: rows with equal scores are on the same side.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

Labels: TypeAlias = NDArray[np.bool_]
Numbers: TypeAlias = NDArray[np.float64]

FPR_LIMIT = 0.01


@dataclass(frozen=True, slots=True)
class DetectionQuality:
    """Measures of ranked and flagged rows; None if one class or every flag is missing.

    Attributes
    ----------
    auc
        Area under the ROC curve.
    average_precision
        Area under the precision-recall curve, as a step function.
    tpr_at_1_fpr
        Recall at the lowest threshold with at most 1 % false positives.
    f1, precision, recall, fpr
        Measures of the flags, that is, at the shipped threshold.
    """

    auc: float | None
    average_precision: float | None
    tpr_at_1_fpr: float | None
    f1: float | None
    precision: float | None
    recall: float | None
    fpr: float | None


@dataclass(frozen=True, slots=True)
class Ranking:
    """Cumulative counts of rows by descending distinct score, starting at (0, 0).

    Attributes
    ----------
    true, false
        float64[k + 1], numbers of positives and negatives with at least the k-th highest score.
    """

    true: Numbers
    false: Numbers

    @property
    def both(self) -> bool:
        """True if there are rows of both classes."""
        return bool(self.true[-1] and self.false[-1])


def rank(label: Labels, score: Numbers) -> Ranking:
    """Return the ranking of rows by score."""
    order = np.argsort(-score, kind="stable")
    ordered = score[order]
    last_of_tie = np.flatnonzero(np.append(ordered[1:] != ordered[:-1], True)) if len(score) else np.zeros(0, np.int64)
    true = np.cumsum(label[order])[last_of_tie]
    return Ranking(np.append(0.0, true), np.append(0.0, last_of_tie + 1 - true))


def auc(ranking: Ranking) -> float | None:
    """Return the probability that a positive scores above a negative, ties counting half; None for one class.

    Examples
    --------
    >>> auc(rank(np.array([True, False, True]), np.array([0.9, 0.5, 0.5])))
    0.75
    """
    if not ranking.both:
        return None
    true, false = ranking.true, ranking.false
    return float(np.sum(np.diff(false) * (true[1:] + true[:-1])) / (2 * true[-1] * false[-1]))


def average_precision(ranking: Ranking) -> float | None:
    """Return the mean precision over distinct scores, weighted by the recall gain; None for one class.

    Examples
    --------
    >>> average_precision(rank(np.array([True, False, True]), np.array([0.9, 0.5, 0.1])))
    0.8333333333333333
    """
    if not ranking.both:
        return None
    precision = ranking.true[1:] / (ranking.true[1:] + ranking.false[1:])
    return float(np.sum(np.diff(ranking.true) * precision) / ranking.true[-1])


def tpr_at_fpr(ranking: Ranking, limit: float = FPR_LIMIT) -> float | None:
    """Return the recall at the lowest threshold with a false positive rate of at most ``limit``; None for one class.

    Examples
    --------
    >>> tpr_at_fpr(rank(np.array([True, False, True]), np.array([0.9, 0.5, 0.1])))
    0.5
    """
    if not ranking.both:
        return None
    allowed = ranking.false <= limit * ranking.false[-1]
    return float(ranking.true[allowed][-1] / ranking.true[-1])


def measure(label: Labels, score: Numbers, flag: Labels) -> DetectionQuality:
    """Return the measures of scores and flags against labels."""
    ranking = rank(label, score)
    positives, negatives = int(label.sum()), int((~label).sum())
    true, false = int((label & flag).sum()), int((~label & flag).sum())
    return DetectionQuality(
        auc(ranking),
        average_precision(ranking),
        tpr_at_fpr(ranking),
        f1=2 * true / (true + false + positives) if ranking.both else None,
        precision=true / (true + false) if ranking.both and true + false else None,
        recall=true / positives if positives else None,
        fpr=false / negatives if negatives else None,
    )


def mean(values: list[float | None]) -> float | None:
    """Return the mean of the values that are not None; None if there are none."""
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known else None
