"""Which labels are worth asking for, each with the probability with which it was chosen."""

from __future__ import annotations

import math
import zlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from agents.common.state_validation import array, texts
from agents.common.tenant_map import TenantLru
from agents.learning.coordinate_descent import neighbours

HOUR_MS = 3_600_000
_LEAST = 0.05
"""Interest of an event that is neither uncertain nor new: every event has some chance, else rates could not be told."""
_STEP = 0.02
"""Share of a segment's running means that each event replaces."""
_SKETCH = 1 << 15


_TIME, _GAP, _INTEREST, _LEFT = range(4)
"""Of a tenant and app: its last event's time, mean gap and mean interest, and the labels it may still ask for."""


class Sampler:
    """Asks for labels of uncertain and new events, at random but the same in every run.

    An event's probability is proportional to how uncertain its score is and how much of it was never seen, such that
    about ``per_hour`` labels are asked for in an hour of event time at each place; a place that has asked for as many
    waits. The number drawn is a hash of the event's id, so there is no random state, and the choice does not depend on
    where chunks are cut.

    Parameters
    ----------
    signal
        Whose labels; two agents ask for labels of different events.
    per_hour
        Labels asked for; 0: none.
    places
        Tenants and apps kept, with a fair share for each tenant; the least recently seen are forgotten.

    References
    ----------
    Beygelzimer, A., Dasgupta, S., Langford, J. (2009). Importance weighted active learning. ICML.
    Lewis, D. D., Gale, W. A. (1994). A sequential algorithm for training text classifiers. SIGIR. (Uncertainty.)
    """

    def __init__(self, signal: str, per_hour: float, places: int) -> None:
        self.per_hour, self.places = per_hour, places
        self._salt = zlib.crc32(signal.encode())
        self._seen: NDArray[np.uint8] = np.zeros(_SKETCH, np.uint8)
        self._fill = 0
        self._most = max(1.0, per_hour)
        self._lines = TenantLru[tuple[str, str], int](places)
        self._unused = list(range(places))[::-1]
        self._table: NDArray[np.float64] = np.zeros((places, 4))

    def chances(
        self,
        places: Sequence[tuple[str, str]],
        event_ids: Sequence[str],
        times: NDArray[np.int64],
        margins: NDArray[np.float64],
        rows: NDArray[Any],
    ) -> tuple[list[float], list[float]]:
        """Decide for which of some events, in their order, to ask.

        A row's features are noted as seen; of values, a feature is in which eighths two neighbours lie. When half of
        the sketch is full it is begun anew: what was seen long ago is news again.

        Parameters
        ----------
        places, event_ids, times
            Tenant and app, name and milliseconds of each event.
        margins
            float64[n], log odds.
        rows
            int32[n, width], hashed features (negative: none), or float64[n, width], values.

        Returns
        -------
        tuple
            The probability with which the label of each was asked for, 0 where it is not; the share of each row's
            features that was never seen.
        """
        if rows.dtype != np.int32:
            values, rows = rows, np.empty((len(rows), rows.shape[1] - 1), np.int32)
            neighbours_of(values, rows)
        lines, fresh = self._lines_of(places)
        chance, novelty = np.empty(len(rows)), np.empty(len(rows))
        self._fill = choose(
            rows, self._seen, self._fill, lines, fresh, times, margins, draws(event_ids, self._salt), self._table,
            self.per_hour, self._most, chance, novelty,
        )  # fmt: skip
        return chance.tolist(), novelty.tolist()

    def _lines_of(self, places: Sequence[tuple[str, str]]) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
        """Return each place's line of the table, and whether it is to be begun anew."""
        lines, fresh, known = np.empty(len(places), np.int64), np.zeros(len(places), np.bool_), self._lines
        for i, place in enumerate(places):
            line = known.get(place[0], place)
            if line is None:
                self._unused += [gone for _, _, gone in known.put(place[0], place, -1)]
                line = self._unused.pop()
                known.replace(place[0], place, line)
                fresh[i] = True
            lines[i] = line
        return lines, fresh

    def state(self) -> dict[str, Any]:
        """Return arrays, places in the order of `TenantLru.items`."""
        return {
            "seen": np.packbits(self._seen),
            "keys": [list(key) for key in self._lines],
            "tenants": self._lines.tenants(),
            "places": self._table[list(self._lines.values())],
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Continue from `state`; raises ValueError if it does not fit."""
        keys = [texts(key, 2) for key in state["keys"]]
        rows = array(state["places"], np.float64, len(keys), 4)
        if len(keys) > self.places:
            raise ValueError(f"{len(keys)} places, at most {self.places}")
        self._seen = np.unpackbits(array(state["seen"], np.uint8, _SKETCH // 8))
        self._fill = int(self._seen.sum())
        self._lines.restore(state["tenants"], ((tenant, app) for tenant, app in keys), range(len(keys)))
        self._unused = list(range(len(keys), self.places))[::-1]
        self._table[: len(keys)] = rows


def draws(event_ids: Sequence[str], salt: int) -> NDArray[np.float64]:
    """Return a number from 0 to 1 for each event that depends on its id only, evenly spread over ids.

    Examples
    --------
    >>> 0.48 < draws([f"e{i}" for i in range(10_000)], 7).mean() < 0.52
    np.True_
    """
    # crc32 is linear in its input: the multiplications (MurmurHash3's finaliser) spread ids that differ in one place.
    x: NDArray[Any] = np.array([zlib.crc32(i.encode("utf-8", "surrogatepass"), salt) for i in event_ids], np.uint64)
    x = (x ^ x >> 16) * 0x85EBCA6B & 0xFFFFFFFF
    x = (x ^ x >> 13) * 0xC2B2AE35 & 0xFFFFFFFF
    drawn: NDArray[np.float64] = (x ^ x >> 16) / 2**32
    return drawn


@njit(cache=True, nogil=True)
def uncertainty(margin):  # type: ignore[no-untyped-def]
    """Return half of what the score says of itself: .5 at even odds, 0 far from them.

    Examples
    --------
    >>> uncertainty(0.0), round(uncertainty(-4.0), 3)
    (0.5, 0.035)
    """
    return 0.5 / math.cosh(0.5 * min(60.0, abs(margin))) ** 2


@njit(cache=True, nogil=True)
def choose(  # type: ignore[no-untyped-def] # noqa: PLR0913, PLR0917 - columns of events
    rows, seen, fill, lines, fresh, times, margins, drawn, table, per_hour, most, chance, novelty
):
    """Write each event's `chance` and `novelty`, see `Sampler.chances`; return how full the sketch is."""
    for i in range(len(rows)):
        new, known = note_features(rows[i], seen)
        fill += new
        if fill > len(seen) // 2:
            seen[:] = 0
            fill = 0
        novelty[i] = new / (new + known) if new + known else 0.0
        place, now = table[lines[i]], float(times[i])
        if fresh[i]:
            place[_TIME], place[_GAP], place[_INTEREST], place[_LEFT] = now, 1000.0, 0.5, most
        passed = max(0.0, now - place[_TIME])
        place[_TIME] += passed
        place[_LEFT] = min(most, place[_LEFT] + passed * per_hour / HOUR_MS)
        place[_GAP] += _STEP * (min(passed, float(HOUR_MS)) - place[_GAP])
        interest = max(_LEAST, uncertainty(margins[i]) + 0.5 * novelty[i])
        place[_INTEREST] += _STEP * (interest - place[_INTEREST])
        chance[i] = 0.0
        if place[_LEFT] >= 1.0:
            wanted = min(1.0, per_hour * place[_GAP] / HOUR_MS * interest / place[_INTEREST])
            if drawn[i] < wanted:
                place[_LEFT] -= 1.0
                chance[i] = wanted
    return fill


@njit(cache=True, nogil=True)
def note_features(features, seen):  # type: ignore[no-untyped-def]
    """Mark features (negative: none) as seen; return how many were not and how many were."""
    new = known = 0
    for k in range(len(features)):
        if features[k] >= 0:
            j = features[k] & (len(seen) - 1)
            if seen[j]:
                known += 1
            else:
                seen[j] = 1
                new += 1
    return new, known


@njit(cache=True, nogil=True)
def neighbours_of(rows, cells):  # type: ignore[no-untyped-def]
    """`agents.learning.coordinate_descent.neighbours` of each row."""
    for i in range(len(rows)):
        neighbours(rows[i], cells[i])
