"""Active sampling: choose the events whose labels are worth requesting, each with a known probability."""

from __future__ import annotations

import math
import zlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from agents.common.state_validation import expect_array, expect_texts
from agents.common.tenant_map import TenantLru
from agents.common.watermark import Scope
from agents.learning.coordinate_descent import value_cells

HOUR_MS = 3_600_000
_INTEREST_MIN = 0.05
"""Interest of an event that is neither uncertain nor novel. It is above 0, because rates can be estimated only if every
event may be selected."""
_SMOOTHING = 0.02
"""Weight of each event in the running means of its scope."""
_SKETCH_SIZE = 1 << 15


_LAST_MS, _MEAN_GAP, _MEAN_INTEREST, _TOKENS = range(4)
"""Columns per scope: time of the last event, mean gap, mean interest, and tokens of the request budget."""


class ActiveSampler:
    """Sampler of uncertain and novel events: random, but identical in every run.

    The probability of an event is proportional to the uncertainty of its score plus the share of its features that are
    novel. It is scaled such that about ``per_hour`` labels per scope are requested in an hour of event time; a token
    bucket bounds the number. The random number of an event is a hash of its id. The sampler therefore has no random
    state, and its choice does not depend on chunk boundaries.

    Parameters
    ----------
    signal
        Name of the signal; agents with different signals select different events.
    per_hour
        Number of labels requested per hour and scope; 0: none.
    scopes_max
        Maximum number of scopes, with a fair share for each tenant; the least recently used are evicted.

    References
    ----------
    Beygelzimer, A., Dasgupta, S., Langford, J. (2009). Importance weighted active learning. ICML.
    Lewis, D. D., Gale, W. A. (1994). A sequential algorithm for training text classifiers. SIGIR. (Uncertainty.)
    """

    def __init__(self, signal: str, per_hour: float, scopes_max: int) -> None:
        self.per_hour, self.scopes_max = per_hour, scopes_max
        self._salt = zlib.crc32(signal.encode())
        self._seen: NDArray[np.uint8] = np.zeros(_SKETCH_SIZE, np.uint8)
        self._seen_count = 0
        self._tokens_max = max(1.0, per_hour)
        self._rows = TenantLru[Scope, int](scopes_max)
        self._free_rows = list(range(scopes_max))[::-1]
        self._table: NDArray[np.float64] = np.zeros((scopes_max, 4))

    def select(
        self,
        scopes: Sequence[Scope],
        event_ids: Sequence[str],
        times: NDArray[np.int64],
        margins: NDArray[np.float64],
        features: NDArray[Any],
    ) -> tuple[list[float], list[float]]:
        """Decide for each event, in order, if its label is requested.

        The features of each event are recorded as seen. For rows of values, a feature is the pair of eighths in which
        two adjacent values lie. The sketch of seen features is cleared when half of it is full, so features seen long
        ago count as novel again.

        Parameters
        ----------
        scopes, event_ids, times
            Scope, id and time in milliseconds of each event.
        margins
            float64[n], log odds.
        features
            int32[n, width], hashed features (negative numbers are padding), or float64[n, width], values.

        Returns
        -------
        tuple
            Selection probability of each event, 0 if its label is not requested; and the share of novel features of
            each event.
        """
        if features.dtype != np.int32:
            values, features = features, np.empty((len(features), features.shape[1] - 1), np.int32)
            write_value_cells(values, features)
        rows, is_new = self._rows_of(scopes)
        probability, novelty = np.empty(len(features)), np.empty(len(features))
        self._seen_count = select_events(
            features, self._seen, self._seen_count, rows, is_new, times, margins, hash_uniform(event_ids, self._salt),
            self._table, self.per_hour, self._tokens_max, probability, novelty,
        )  # fmt: skip
        return probability.tolist(), novelty.tolist()

    def _rows_of(self, scopes: Sequence[Scope]) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
        """Return the table row of each scope, and True for a row that must be initialised."""
        rows, is_new, known = np.empty(len(scopes), np.int64), np.zeros(len(scopes), np.bool_), self._rows
        for i, scope in enumerate(scopes):
            row = known.get(scope[0], scope)
            if row is None:
                self._free_rows += [evicted for _, _, evicted in known.put(scope[0], scope, -1)]
                row = self._free_rows.pop()
                known.replace(scope[0], scope, row)
                is_new[i] = True
            rows[i] = row
        return rows, is_new

    def state(self) -> dict[str, Any]:
        """Return the complete state, in the order of `TenantLru.items`."""
        return {
            "seen": np.packbits(self._seen),
            "keys": [list(scope) for scope in self._rows],
            "tenants": self._rows.tenants(),
            "places": self._table[list(self._rows.values())],
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Load a state; raise ValueError if it does not fit."""
        scopes = [expect_texts(scope, 2) for scope in state["keys"]]
        table = expect_array(state["places"], np.float64, len(scopes), 4)
        if len(scopes) > self.scopes_max:
            raise ValueError(f"{len(scopes)} scopes, but at most {self.scopes_max} are allowed")
        self._seen = np.unpackbits(expect_array(state["seen"], np.uint8, _SKETCH_SIZE // 8))
        self._seen_count = int(self._seen.sum())
        self._rows.restore(state["tenants"], ((tenant, app) for tenant, app in scopes), range(len(scopes)))
        self._free_rows = list(range(len(scopes), self.scopes_max))[::-1]
        self._table[: len(scopes)] = table


def hash_uniform(event_ids: Sequence[str], salt: int) -> NDArray[np.float64]:
    """Return a number from 0 to 1 per event that depends only on the event's id and is uniformly distributed.

    Examples
    --------
    >>> 0.48 < hash_uniform([f"e{i}" for i in range(10_000)], 7).mean() < 0.52
    np.True_
    """
    # crc32 is linear in its input. MurmurHash3's finaliser spreads ids that differ in one character.
    x: NDArray[Any] = np.array([zlib.crc32(i.encode("utf-8", "surrogatepass"), salt) for i in event_ids], np.uint64)
    x = (x ^ x >> 16) * 0x85EBCA6B & 0xFFFFFFFF
    x = (x ^ x >> 13) * 0xC2B2AE35 & 0xFFFFFFFF
    uniform: NDArray[np.float64] = (x ^ x >> 16) / 2**32
    return uniform


@njit(cache=True, nogil=True)
def uncertainty(margin):  # type: ignore[no-untyped-def]
    """Return the uncertainty of a score: 0.5 at even odds, close to 0 far from them.

    Examples
    --------
    >>> uncertainty(0.0), round(uncertainty(-4.0), 3)
    (0.5, 0.035)
    """
    return 0.5 / math.cosh(0.5 * min(60.0, abs(margin))) ** 2


@njit(cache=True, nogil=True)
def select_events(  # type: ignore[no-untyped-def] # noqa: PLR0913, PLR0917 - columns of events
    features, seen, seen_count, rows, is_new, times, margins, uniform, table, per_hour, tokens_max, probability, novelty
):
    """Write probability and novelty of each event, see `ActiveSampler.select`; return the number of seen features."""
    for i in range(len(features)):
        new, known = note_features(features[i], seen)
        seen_count += new
        if seen_count > len(seen) // 2:
            seen[:] = 0
            seen_count = 0
        novelty[i] = new / (new + known) if new + known else 0.0
        scope, now = table[rows[i]], float(times[i])
        if is_new[i]:
            scope[_LAST_MS], scope[_MEAN_GAP], scope[_MEAN_INTEREST], scope[_TOKENS] = now, 1000.0, 0.5, tokens_max
        elapsed = max(0.0, now - scope[_LAST_MS])
        scope[_LAST_MS] += elapsed
        scope[_TOKENS] = min(tokens_max, scope[_TOKENS] + elapsed * per_hour / HOUR_MS)
        scope[_MEAN_GAP] += _SMOOTHING * (min(elapsed, float(HOUR_MS)) - scope[_MEAN_GAP])
        interest = max(_INTEREST_MIN, uncertainty(margins[i]) + 0.5 * novelty[i])
        scope[_MEAN_INTEREST] += _SMOOTHING * (interest - scope[_MEAN_INTEREST])
        probability[i] = 0.0
        if scope[_TOKENS] >= 1.0:
            wanted = min(1.0, per_hour * scope[_MEAN_GAP] / HOUR_MS * interest / scope[_MEAN_INTEREST])
            if uniform[i] < wanted:
                scope[_TOKENS] -= 1.0
                probability[i] = wanted
    return seen_count


@njit(cache=True, nogil=True)
def note_features(features, seen):  # type: ignore[no-untyped-def]
    """Mark features (negative numbers are padding) as seen; return the numbers of novel and of known features."""
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
def write_value_cells(rows, cells):  # type: ignore[no-untyped-def]
    """Write `agents.learning.coordinate_descent.value_cells` of each row."""
    for i in range(len(rows)):
        value_cells(rows[i], cells[i])
