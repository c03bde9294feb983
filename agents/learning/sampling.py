"""Which labels are worth asking for, each with the probability with which it was chosen."""

from __future__ import annotations

import math
import zlib
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from agents.learning.fit import array, texts
from agents.learning.kernel import neighbours
from agents.recent import recent

HOUR_MS = 3_600_000
_LEAST = 0.05
"""Interest of an event that is neither uncertain nor new: every event has some chance, else rates could not be told."""
_STEP = 0.02
"""Share of a segment's running means that each event replaces."""
_SKETCH = 1 << 15


@dataclass(slots=True)
class _Place:
    """Of a tenant and app: its last event's time, mean gap and mean interest, and the labels it may still ask for."""

    time_ms: float
    gap_ms: float
    interest: float
    left: float


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
        Tenants and apps kept; the least recently seen is forgotten.

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
        self._places: OrderedDict[tuple[str, str], _Place] = OrderedDict()

    def novelty(self, row: NDArray[Any]) -> float:
        """Return the share of a row's features never seen, and note them as seen.

        Of values, a feature is in which eighths two neighbours lie. When half of the sketch is full it is begun anew:
        what was seen long ago is news again.
        """
        note = note_features if row.dtype == np.int32 else note_values
        new, known = note(row, self._seen)
        self._fill += new
        if self._fill > _SKETCH // 2:
            self._seen[:] = 0
            self._fill = 0
        return new / (new + known) if new + known else 0.0

    def chance(self, place: tuple[str, str], event_id: str, time_ms: int, margin: float, novelty: float) -> float:
        """Return the probability with which this event's label was asked for; 0 if it is not asked for."""
        if self.per_hour <= 0.0:
            return 0.0
        known = self._place(place, time_ms)
        passed = max(0.0, time_ms - known.time_ms)
        known.time_ms += passed
        known.left = min(self._most, known.left + passed * self.per_hour / HOUR_MS)
        known.gap_ms += _STEP * (min(passed, HOUR_MS) - known.gap_ms)
        interest = max(_LEAST, uncertainty(margin) + 0.5 * novelty)
        known.interest += _STEP * (interest - known.interest)
        if known.left < 1.0:
            return 0.0
        chance = min(1.0, self.per_hour * known.gap_ms / HOUR_MS * interest / known.interest)
        if draw(event_id, self._salt) >= chance:
            return 0.0
        known.left -= 1.0
        return chance

    def _place(self, place: tuple[str, str], time_ms: int) -> _Place:
        return recent(self._places, place, self.places, lambda: _Place(float(time_ms), 1000.0, 0.5, self._most))

    def state(self) -> dict[str, Any]:
        """Arrays, the place longest silent first."""
        rows = [(p.time_ms, p.gap_ms, p.interest, p.left) for p in self._places.values()]
        return {
            "seen": np.packbits(self._seen),
            "keys": [list(key) for key in self._places],
            "places": np.array(rows, np.float64).reshape(len(rows), 4),
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Continue from `state`; raises ValueError if it does not fit."""
        keys = [texts(key, 2) for key in state["keys"]]
        rows = array(state["places"], np.float64, len(keys), 4).tolist()
        if len(keys) > self.places:
            raise ValueError(f"{len(keys)} places, at most {self.places}")
        self._seen = np.unpackbits(array(state["seen"], np.uint8, _SKETCH // 8))
        self._fill = int(self._seen.sum())
        self._places = OrderedDict(((k[0], k[1]), _Place(*row)) for k, row in zip(keys, rows, strict=True))


def draw(event_id: str, salt: int) -> float:
    """Return a number from 0 to 1 that depends on the event's id only, evenly spread over ids.

    Examples
    --------
    >>> 0.48 < sum(draw(f"e{i}", 7) for i in range(10_000)) / 10_000 < 0.52
    True
    """
    # crc32 is linear in its input: the multiplications (MurmurHash3's finaliser) spread ids that differ in one place.
    x = zlib.crc32(event_id.encode("utf-8", "surrogatepass"), salt)
    x = (x ^ x >> 16) * 0x85EBCA6B & 0xFFFFFFFF
    x = (x ^ x >> 13) * 0xC2B2AE35 & 0xFFFFFFFF
    return (x ^ x >> 16) / 2**32


def uncertainty(margin: float) -> float:
    """Return half of what the score says of itself: .5 at even odds, 0 far from them.

    Examples
    --------
    >>> uncertainty(0.0), round(uncertainty(-4.0), 3)
    (0.5, 0.035)
    """
    half: float = 0.5 / math.cosh(0.5 * min(60.0, abs(margin))) ** 2
    return half


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
def note_values(row, seen):  # type: ignore[no-untyped-def]
    """`note_features` of a row of values."""
    cells = np.empty(len(row) - 1, np.int32)
    neighbours(row, cells)
    return note_features(cells, seen)
