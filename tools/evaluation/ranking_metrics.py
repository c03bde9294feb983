"""Measures of a ranking and of a decision, ties handled as scikit-learn does.

A threshold cuts between distinct scores only: rows of one score are taken together.
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
class Quality:
    """How well rows are ranked and decided; None where the rows of one class, or any flag, are missing.

    Attributes
    ----------
    auc
        Area under the ROC curve.
    average_precision
        Area under the precision-recall curve, by steps.
    tpr_at_1_fpr
        Share of positives found at the lowest threshold with at most 1 % false positives.
    f1, precision, recall, fpr
        Of the flags, that is, at the threshold that ships.
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
    """Rows above each distinct score, from the highest down; starts at (0, 0).

    Attributes
    ----------
    true, false
        float64[k + 1], positives and negatives at or above the k-th highest score.
    """

    true: Numbers
    false: Numbers

    @property
    def both(self) -> bool:
        """Whether there are rows of both classes."""
        return bool(self.true[-1] and self.false[-1])


def rank(label: Labels, score: Numbers) -> Ranking:
    """Order rows by score, ties together."""
    order = np.argsort(-score, kind="stable")
    ordered = score[order]
    last_of_tie = np.flatnonzero(np.append(ordered[1:] != ordered[:-1], True)) if len(score) else np.zeros(0, np.int64)
    true = np.cumsum(label[order])[last_of_tie]
    return Ranking(np.append(0.0, true), np.append(0.0, last_of_tie + 1 - true))


def auc(ranking: Ranking) -> float | None:
    """Probability that a positive scores above a negative, ties counting half (Mann-Whitney); None for one class.

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
    """Precision at each distinct score, weighed by the recall it adds; None for one class.

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
    """Recall at the lowest threshold whose false positive rate is at most ``limit``; None for one class.

    Examples
    --------
    >>> tpr_at_fpr(rank(np.array([True, False, True]), np.array([0.9, 0.5, 0.1])))
    0.5
    """
    if not ranking.both:
        return None
    allowed = ranking.false <= limit * ranking.false[-1]
    return float(ranking.true[allowed][-1] / ranking.true[-1])


def measure(label: Labels, score: Numbers, flag: Labels) -> Quality:
    """Measure scores and flags against labels."""
    ranking = rank(label, score)
    positives, negatives = int(label.sum()), int((~label).sum())
    true, false = int((label & flag).sum()), int((~label & flag).sum())
    return Quality(
        auc(ranking),
        average_precision(ranking),
        tpr_at_fpr(ranking),
        f1=2 * true / (true + false + positives) if ranking.both else None,
        precision=true / (true + false) if ranking.both and true + false else None,
        recall=true / positives if positives else None,
        fpr=false / negatives if negatives else None,
    )


def mean(values: list[float | None]) -> float | None:
    """Mean of what is there; None if nothing is."""
    there = [value for value in values if value is not None]
    return sum(there) / len(there) if there else None
