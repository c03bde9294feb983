"""How good the scores are, by the labels that came: each event judged before its label was learned."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from agents.common.state_validation import array, texts
from agents.common.tenant_map import TenantLru

Place = tuple[str, str]
"""Tenant and app."""
EVERYWHERE: Place = ("*", "*")
Estimator: TypeAlias = Literal["observed", "inverse_propensity"]
ESTIMATORS: tuple[Estimator, ...] = ("observed", "inverse_propensity")
BINS = 24
_WIDEST = 6.0
"""Log odds; scores beyond it share the last bin."""


@dataclass(frozen=True, slots=True)
class Quality:
    """Quality of one signal at one place.

    Attributes
    ----------
    estimator
        ``observed``: all labels, each counting the same. ``inverse_propensity``: labels that were requested only, each
        counting 1 / probability of the request, so that the rates are those of the traffic.
    labels, positives
        Labels ever counted, and those of them that said True.
    precision, recall, auc
        Of the flags, the same, of the scores; None where there is nothing to divide by.
    calibration_error
        Expected calibration error: mean distance of score and share of True labels, over bins of the log odds.
    """

    estimator: Estimator
    labels: int
    positives: int
    precision: float | None
    recall: float | None
    auc: float | None
    calibration_error: float | None

    def as_dict(self) -> dict[str, Any]:
        """Return the fields."""
        return asdict(self)


class Tally:
    """Faded sums of one place and estimator.

    ``bins`` is float64[BINS, 3]: weight of False labels, of True labels, sum of the scores; ``flags`` is float64[3]:
    true positives, false positives, false negatives.
    """

    __slots__ = ("bins", "flags", "labels", "positives")

    def __init__(self) -> None:
        self.bins: NDArray[np.float64] = np.zeros((BINS, 3))
        self.flags: NDArray[np.float64] = np.zeros(3)
        self.labels = self.positives = 0

    def add(self, margin: float, weight: float, fading: float, *, flag: bool, label: bool) -> None:
        """Count a label of an event that was scored with these log odds."""
        self.bins *= fading
        self.flags *= fading
        clipped = max(-_WIDEST, min(_WIDEST, margin))
        row = self.bins[min(BINS - 1, int((clipped + _WIDEST) / (2 * _WIDEST) * BINS))]
        row[int(label)] += weight
        row[2] += weight / (1.0 + np.exp(-clipped))
        if flag or label:
            self.flags[0 if flag and label else 1 if flag else 2] += weight
        self.labels += 1
        self.positives += label

    def quality(self, estimator: Estimator) -> Quality:
        """Return what follows from the sums."""
        true, wrong, missed = self.flags.tolist()
        negative, positive = self.bins[:, 0], self.bins[:, 1]
        both, pairs = negative + positive, float(negative.sum() * positive.sum())
        below = np.cumsum(negative) - negative
        won = float((positive * (below + 0.5 * negative)).sum())
        off = float(np.abs(self.bins[:, 2] - positive).sum())
        return Quality(
            estimator,
            self.labels,
            self.positives,
            _share(true, true + wrong),
            _share(true, true + missed),
            _share(won, pairs),
            _share(off, float(both.sum())),
        )


def _share(part: float, whole: float) -> float | None:
    return round(part / whole, 6) if whole > 0.0 else None


class Prequential:
    """Live quality by tenant and app and over all, for the places labelled last.

    Parameters
    ----------
    places
        Most tenants and apps kept, with a fair share for each tenant.
    fading
        What an older label counts after each newer one.

    References
    ----------
    Gama, J., Sebastiao, R., Rodrigues, P. P. (2013). On evaluating stream learning algorithms. Machine Learning 90,
    317-346. (Prequential error with a fading factor.)
    Horvitz, D. G., Thompson, D. J. (1952). A generalization of sampling without replacement from a finite universe.
    JASA 47, 663-685. (Inverse propensity weights of requested labels.)
    """

    def __init__(self, places: int, fading: float) -> None:
        self.places, self.fading = places, fading
        self._tallies = TenantLru[tuple[str, str, str], Tally](len(ESTIMATORS) * (places + 1))

    def add(self, place: Place, margin: float, chance: float, *, flag: bool, label: bool) -> None:
        """Count a label; ``chance`` is the probability with which it was asked for, 0 if it was not."""
        weights: dict[Estimator, float] = {"observed": 1.0}
        if chance > 0.0:
            weights["inverse_propensity"] = 1.0 / chance
        for where in (EVERYWHERE, place):
            for estimator, weight in weights.items():
                self._tally((*where, estimator)).add(margin, weight, self.fading, flag=flag, label=label)

    def _tally(self, key: tuple[str, str, str]) -> Tally:
        return self._tallies.touch(key[0], key, Tally)

    def of(self, place: Place = EVERYWHERE) -> list[Quality]:
        """Return the quality at a place, by estimator; of those that have labels."""
        found = ((estimator, self._tallies.peek(place[0], (*place, estimator))) for estimator in ESTIMATORS)
        return [tally.quality(estimator) for estimator, tally in found if tally is not None]

    def state(self) -> dict[str, Any]:
        """Return arrays by place, in the order of `TenantLru.items`."""
        tallies = list(self._tallies.values())
        return {
            "keys": [list(key) for key in self._tallies],
            "tenants": self._tallies.tenants(),
            "bins": np.array([t.bins for t in tallies], np.float64).reshape(len(tallies), BINS, 3),
            "flags": np.array([t.flags for t in tallies], np.float64).reshape(len(tallies), 3),
            "counts": np.array([(t.labels, t.positives) for t in tallies], np.int64).reshape(len(tallies), 2),
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Continue from `state`; raises ValueError if it does not fit."""
        keys = [texts(key, 3) for key in state["keys"]]
        n = len(keys)
        bins, flags = array(state["bins"], np.float64, n, BINS, 3), array(state["flags"], np.float64, n, 3)
        counts = array(state["counts"], np.int64, n, 2).tolist()
        if (bins < 0.0).any() or (flags < 0.0).any() or any(n < 0 for row in counts for n in row):
            raise ValueError("a count is negative")
        tallies = [Tally() for _ in keys]
        for tally, b, f, (labels, positives) in zip(tallies, bins, flags, counts, strict=True):
            tally.bins[:], tally.flags[:] = b, f
            tally.labels, tally.positives = labels, positives
        self._tallies.restore(state["tenants"], ((tenant, app, estimator) for tenant, app, estimator in keys), tallies)
