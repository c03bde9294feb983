"""The features of recent events, kept until their labels come."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

Vector = NDArray[Any]
CallKey = tuple[str, str, str]
"""Tenant, app and call: a label of one tenant cannot touch another's event."""


class Memory:
    """The last ``size`` scored events and the last ``size`` feedback ids, oldest forgotten first.

    Parameters
    ----------
    size
        Events remembered.
    width, dtype
        Of the features of one event.

    Examples
    --------
    >>> memory = Memory(1, 13)
    >>> memory.keep(("t", "a", "c1"), np.zeros(13)); memory.keep(("t", "a", "c2"), np.zeros(13))
    >>> memory.take("f1", ("t", "a", "c1")) is None, memory.take("f2", ("t", "a", "c2")) is None
    (True, False)
    """

    def __init__(self, size: int, width: int, dtype: DTypeLike = np.float64) -> None:
        self.size = size
        self.width = width
        self.dtype = np.dtype(dtype)
        self._rows: OrderedDict[CallKey, Vector] = OrderedDict()
        self._seen: OrderedDict[tuple[str, str], None] = OrderedDict()

    def keep(self, key: CallKey, row: Vector) -> None:
        """Remember an event."""
        self._rows[key] = row
        self._rows.move_to_end(key)
        if len(self._rows) > self.size:
            self._rows.popitem(last=False)

    def take(self, feedback_id: str, key: CallKey) -> Vector | None:
        """Features of the labelled event; None if it is unknown or this feedback was applied before."""
        if (key[0], feedback_id) in self._seen or key not in self._rows:
            return None
        self._seen[key[0], feedback_id] = None
        if len(self._seen) > self.size:
            self._seen.popitem(last=False)
        return self._rows[key]

    def state(self) -> dict[str, Any]:
        """Arrays and lists, oldest first."""
        rows = np.array(list(self._rows.values()), self.dtype).reshape(len(self._rows), self.width)
        return {"rows": rows, "keys": [list(k) for k in self._rows], "seen": [list(k) for k in self._seen]}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Continue from `state`; raises ValueError if it does not fit."""
        rows, keys, seen = np.array(state["rows"], self.dtype), state["keys"], state["seen"]
        if rows.shape != (len(keys), self.width) or max(len(keys), len(seen)) > self.size:
            raise ValueError(f"memory of shape {rows.shape} for {len(keys)} events, at most {self.size}")
        self._rows = OrderedDict(((str(a), str(b), str(c)), row) for (a, b, c), row in zip(keys, rows, strict=True))
        self._seen = OrderedDict(((str(a), str(b)), None) for a, b in seen)
