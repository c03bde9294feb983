"""The records of all segments: a growing array, which row is whose, and which was seen longest ago."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from sys import intern
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from agents.drift.layout import SEGMENT

EXAMPLES = 5
COLUMNS: tuple[str, ...] = SEGMENT.names or ()
Key: TypeAlias = "tuple[str, str]"
Rows: TypeAlias = "NDArray[np.void]"


class Segments:
    """At most ``size`` records, by tenant and app.

    Parameters
    ----------
    size
        Records kept; the least recently seen makes room for a new one.

    Attributes
    ----------
    evicted
        Records given up so.
    rows
        Records by row number.

    Examples
    --------
    >>> table = Segments(2)
    >>> [table.touch(("t", app), frozenset()) for app in "abac"], table.evicted, len(table)
    ([0, 1, 0, 1], 1, 2)
    """

    def __init__(self, size: int) -> None:
        self.size = size
        self.evicted = 0
        # All of them at once: pages of zeros take no memory until a row is used, and growing would leave holes.
        self.rows: Rows = np.zeros(size, SEGMENT)
        self._owner: OrderedDict[Key, int] = OrderedDict()
        self._recent: list[list[str]] = []

    def __len__(self) -> int:
        return len(self._owner)

    def touch(self, key: Key, busy: AbstractSet[int]) -> int:
        """Row of a segment, now the most recently seen; -1 if room could only be made of a ``busy`` row."""
        row = self._owner.get(key)
        if row is not None:
            self._owner.move_to_end(key)
            return row
        if len(self._owner) < self.size:
            row = len(self._owner)
            self._recent.append([])
        else:
            row = next(iter(self._owner.values()))
            if row in busy:
                return -1
            self._owner.popitem(last=False)
            self.evicted += 1
            self.clear(row)
            self._recent[row].clear()
        self._owner[intern(key[0]), intern(key[1])] = row
        return row

    def clear(self, row: int) -> None:
        """Forget the reference of a row."""
        self.rows[row] = np.zeros((), SEGMENT)

    def remember(self, row: int, event_ids: Sequence[str]) -> None:
        """Keep the latest event ids of a row as examples."""
        self._recent[row] = [*self._recent[row], *event_ids][-EXAMPLES:]

    def recent(self, row: int) -> tuple[str, ...]:
        """Latest event ids of a row."""
        return tuple(self._recent[row])

    def state(self) -> dict[str, Any]:
        """Return columns by row number, and whose row it is, least recently seen first."""
        n = len(self._owner)
        return {
            "keys": [list(k) for k in self._owner],
            "row": list(self._owner.values()),
            "recent": [list(ids) for ids in self._recent],
            "evicted": self.evicted,
            "columns": {name: self.rows[name][:n].copy() for name in COLUMNS},
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Continue from `state`; raises ValueError if it does not fit."""
        keys, order, recent, given = state["keys"], state["row"], state["recent"], state["columns"]
        n = len(keys)
        if n > self.size or sorted(order) != list(range(n)) or len(recent) != n or set(given) != set(COLUMNS):
            raise ValueError(f"{n} segments, {len(recent)} of examples, at most {self.size}")
        rows = np.zeros(self.size, SEGMENT)
        for name in COLUMNS:
            column = np.asarray(given[name])
            if column.shape != rows[name][:n].shape or column.dtype != rows[name].dtype:
                raise ValueError(f"{name} of shape {column.shape}, {column.dtype}")
            rows[name][:n] = column
        self.rows, self.evicted = rows, int(state["evicted"])
        self._owner = OrderedDict(((str(a), str(b)), int(k)) for (a, b), k in zip(keys, order, strict=True))
        self._recent = [list(map(str, ids))[-EXAMPLES:] for ids in recent]
        if len(self._owner) != n:
            raise ValueError("a segment twice")
