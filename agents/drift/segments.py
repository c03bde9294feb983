"""The records of all segments: a growing array, which row is whose, and which was seen longest ago."""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from agents.drift.layout import SEGMENT

EXAMPLES = 5
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
        self.rows: Rows = np.zeros(min(size, 8), SEGMENT)
        self._owner: OrderedDict[Key, int] = OrderedDict()
        self._recent: list[deque[str]] = []

    def __len__(self) -> int:
        return len(self._owner)

    def touch(self, key: Key, busy: frozenset[int] | set[int]) -> int | None:
        """Row of a segment, now the most recently seen; None if room could only be made of a ``busy`` row."""
        row = self._owner.get(key)
        if row is not None:
            self._owner.move_to_end(key)
            return row
        if len(self._owner) < self.size:
            row = len(self._owner)
            self._grow(row + 1)
            self._recent.append(deque(maxlen=EXAMPLES))
        else:
            row = next(iter(self._owner.values()))
            if row in busy:
                return None
            self._owner.popitem(last=False)
            self.evicted += 1
            self.clear(row)
            self._recent[row].clear()
        self._owner[key] = row
        return row

    def _grow(self, needed: int) -> None:
        if needed > len(self.rows):
            more = np.zeros(min(max(2 * len(self.rows), needed), self.size), SEGMENT)
            more[: len(self.rows)] = self.rows
            self.rows = more

    def clear(self, row: int) -> None:
        """Forget the reference of a row."""
        self.rows[row] = np.zeros((), SEGMENT)

    def remember(self, row: int, event_ids: Sequence[str]) -> None:
        """Keep the latest event ids of a row as examples."""
        self._recent[row].extend(event_ids)

    def recent(self, row: int) -> tuple[str, ...]:
        """Latest event ids of a row."""
        return tuple(self._recent[row])

    def state(self) -> dict[str, Any]:
        """Columns, least recently seen first."""
        order = list(self._owner.values())
        used = self.rows[order]
        return {
            "keys": [list(k) for k in self._owner],
            "recent": [list(self._recent[r]) for r in order],
            "evicted": self.evicted,
            "columns": {name: used[name].copy() for name in SEGMENT.names or ()},
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Continue from `state`; raises ValueError if it does not fit."""
        keys, recent, given = state["keys"], state["recent"], state["columns"]
        if len(keys) > self.size or len(recent) != len(keys) or set(given) != set(SEGMENT.names or ()):
            raise ValueError(f"{len(keys)} segments of {len(recent)}, at most {self.size}")
        rows = np.zeros(max(len(keys), 1), SEGMENT)
        for name in SEGMENT.names or ():
            column = np.asarray(given[name])
            if column.shape != rows[name][: len(keys)].shape or column.dtype != rows[name].dtype:
                raise ValueError(f"{name} of shape {column.shape}, {column.dtype}")
            rows[name][: len(keys)] = column
        self.rows, self.evicted = rows, int(state["evicted"])
        self._owner = OrderedDict(((str(a), str(b)), k) for k, (a, b) in enumerate(keys))
        self._recent = [deque(map(str, ids), EXAMPLES) for ids in recent]
        if len(self._owner) != len(keys):
            raise ValueError("a segment twice")
