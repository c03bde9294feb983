"""Live quality of the scores, measured by labels: each event is scored before its label is learned (prequential)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from agents.common.state_validation import expect_array, expect_texts
from agents.common.tenant_map import TenantLru
from agents.common.watermark import Scope

ALL_SCOPES: Scope = ("*", "*")
Estimator: TypeAlias = Literal["observed", "inverse_propensity"]
ESTIMATORS: tuple[Estimator, ...] = ("observed", "inverse_propensity")
BINS = 24
_LOG_ODDS_MAX = 6.0
"""Log odds of the outermost bins; scores beyond it fall into those bins."""


@dataclass(frozen=True, slots=True)
class Quality:
    """Quality of one signal in one scope.

    Attributes
    ----------
    estimator
        ``observed``: all labels, with equal weight. ``inverse_propensity``: requested labels only, each with weight
        1 / probability of the request, so that the rates are those of the traffic.
    labels, positives
        Number of labels counted so far, and number of those that are True.
    precision, recall, auc
        Precision and recall of the flags, AUC of the scores; None if the denominator is 0.
    calibration_error
        Expected calibration error: mean distance between score and share of True labels, over bins of the log odds.
    """

    estimator: Estimator
    labels: int
    positives: int
    precision: float | None
    recall: float | None
    auc: float | None
    calibration_error: float | None

    def as_dict(self) -> dict[str, Any]:
        """Return the fields as a dictionary."""
        return asdict(self)


class FadingConfusion:
    """Exponentially fading confusion counts and score bins of one scope and estimator.

    ``bins`` is float64[BINS, 3]: weight of False labels, weight of True labels, sum of scores. ``flags`` is float64[3]:
    true positives, false positives, false negatives.
    """

    __slots__ = ("bins", "flags", "labels", "positives")

    def __init__(self) -> None:
        self.bins: NDArray[np.float64] = np.zeros((BINS, 3))
        self.flags: NDArray[np.float64] = np.zeros(3)
        self.labels = self.positives = 0

    def add(self, margin: float, weight: float, decay: float, *, flag: bool, label: bool) -> None:
        """Add a label of an event that was scored with these log odds."""
        self.bins *= decay
        self.flags *= decay
        clipped = max(-_LOG_ODDS_MAX, min(_LOG_ODDS_MAX, margin))
        row = self.bins[min(BINS - 1, int((clipped + _LOG_ODDS_MAX) / (2 * _LOG_ODDS_MAX) * BINS))]
        row[int(label)] += weight
        row[2] += weight / (1.0 + np.exp(-clipped))
        if flag or label:
            self.flags[0 if flag and label else 1 if flag else 2] += weight
        self.labels += 1
        self.positives += label

    def quality(self, estimator: Estimator) -> Quality:
        """Return the quality metrics of the current counts."""
        true_positives, false_positives, false_negatives = self.flags.tolist()
        negative, positive = self.bins[:, 0], self.bins[:, 1]
        both, pairs = negative + positive, float(negative.sum() * positive.sum())
        below = np.cumsum(negative) - negative
        ordered_pairs = float((positive * (below + 0.5 * negative)).sum())
        miscalibration = float(np.abs(self.bins[:, 2] - positive).sum())
        return Quality(
            estimator,
            self.labels,
            self.positives,
            _ratio(true_positives, true_positives + false_positives),
            _ratio(true_positives, true_positives + false_negatives),
            _ratio(ordered_pairs, pairs),
            _ratio(miscalibration, float(both.sum())),
        )


def _ratio(part: float, whole: float) -> float | None:
    return round(part / whole, 6) if whole > 0.0 else None


class PrequentialMetrics:
    """Live quality per scope and over all scopes, for the most recently labelled scopes.

    Parameters
    ----------
    scopes_max
        Maximum number of scopes, with a fair share for each tenant.
    decay
        Factor by which each new label reduces the weight of older labels.

    References
    ----------
    Gama, J., Sebastiao, R., Rodrigues, P. P. (2013). On evaluating stream learning algorithms. Machine Learning 90,
    317-346. (Prequential error with a fading factor.)
    Horvitz, D. G., Thompson, D. J. (1952). A generalization of sampling without replacement from a finite universe.
    JASA 47, 663-685. (Inverse propensity weights of requested labels.)
    """

    def __init__(self, scopes_max: int, decay: float) -> None:
        self.scopes_max, self.decay = scopes_max, decay
        self._confusions = TenantLru[tuple[str, str, str], FadingConfusion](len(ESTIMATORS) * (scopes_max + 1))

    def add(self, scope: Scope, margin: float, sampling_probability: float, *, flag: bool, label: bool) -> None:
        """Add a label; ``sampling_probability`` is the probability of its request, 0 if it was not requested."""
        weights: dict[Estimator, float] = {"observed": 1.0}
        if sampling_probability > 0.0:
            weights["inverse_propensity"] = 1.0 / sampling_probability
        for counted in (ALL_SCOPES, scope):
            for estimator, weight in weights.items():
                key = (*counted, estimator)
                confusion = self._confusions.get_or_create(key[0], key, FadingConfusion)
                confusion.add(margin, weight, self.decay, flag=flag, label=label)

    def metrics(self, scope: Scope = ALL_SCOPES) -> list[Quality]:
        """Return the quality in a scope, one entry per estimator that has labels."""
        found = ((estimator, self._confusions.peek(scope[0], (*scope, estimator))) for estimator in ESTIMATORS)
        return [confusion.quality(estimator) for estimator, confusion in found if confusion is not None]

    def state(self) -> dict[str, Any]:
        """Return the complete state, in the order of `TenantLru.items`."""
        stored = list(self._confusions.values())
        n = len(stored)
        return {
            "keys": [list(key) for key in self._confusions],
            "tenants": self._confusions.tenants(),
            "bins": np.array([c.bins for c in stored], np.float64).reshape(n, BINS, 3),
            "flags": np.array([c.flags for c in stored], np.float64).reshape(n, 3),
            "counts": np.array([(c.labels, c.positives) for c in stored], np.int64).reshape(n, 2),
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Load a state; raise ValueError if it does not fit."""
        keys = [expect_texts(key, 3) for key in state["keys"]]
        n = len(keys)
        bins = expect_array(state["bins"], np.float64, n, BINS, 3)
        flags = expect_array(state["flags"], np.float64, n, 3)
        counts = expect_array(state["counts"], np.int64, n, 2).tolist()
        if (bins < 0.0).any() or (flags < 0.0).any() or any(count < 0 for row in counts for count in row):
            raise ValueError("a count of the live quality is negative")
        stored = [FadingConfusion() for _ in keys]
        for confusion, b, f, (labels, positives) in zip(stored, bins, flags, counts, strict=True):
            confusion.bins[:], confusion.flags[:] = b, f
            confusion.labels, confusion.positives = labels, positives
        self._confusions.restore(state["tenants"], ((tenant, app, name) for tenant, app, name in keys), stored)
