"""The records of all segments: a growing array, which row is whose, and which was seen longest ago."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from sys import intern
from typing import Any, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from agents.drift.fit import check_rows
from agents.drift.layout import FLAGS, ROWS, SEGMENT, SLOTS, pool_of

EXAMPLES = 5
COLUMNS: tuple[str, ...] = SEGMENT.names or ()
Key: TypeAlias = "tuple[str, str]"
Flagged: TypeAlias = "tuple[str, int]"
Rows: TypeAlias = "NDArray[np.void]"

_NONE: tuple[tuple[Flagged, ...], ...] = ((),) * len(FLAGS)


class Examples(NamedTuple):
    """The latest events of a segment, oldest first.

    Attributes
    ----------
    recent
        Event ids.
    flagged
        By flag (`FLAGS`), event ids and offsets of those that have it.
    """

    recent: tuple[str, ...]
    flagged: tuple[tuple[Flagged, ...], ...]


class Segments:
    """At most ``size`` records, by tenant and app.

    Parameters
    ----------
    size
        Records kept; the least recently seen makes room for a new one.
    kept
        Rows of a reference that are kept while it is learned.

    Attributes
    ----------
    evicted
        Records given up so.
    rows
        Records by row number.
    pool
        Rows of references that are being learned, borrowed by the records whose ``slot`` is not 0 (one more than the
        place in the pool).

    Examples
    --------
    >>> table = Segments(2)
    >>> [table.touch(("t", app), frozenset()) for app in "abac"], table.evicted, len(table)
    ([0, 1, 0, 1], 1, 2)
    """

    def __init__(self, size: int, kept: int = ROWS) -> None:
        self.size = size
        self.evicted = 0
        # All of them at once: pages of zeros take no memory until a row is used, and growing would leave holes.
        self.rows: Rows = np.zeros(size, SEGMENT)
        self.pool = pool_of(min(size, SLOTS), kept)
        self._owner: OrderedDict[Key, int] = OrderedDict()
        self._recent: list[tuple[str, ...]] = []
        self._flagged: list[tuple[tuple[Flagged, ...], ...]] = []

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
            self._recent.append(())
            self._flagged.append(_NONE)
        else:
            row = next(iter(self._owner.values()))
            if row in busy:
                return -1
            self._owner.popitem(last=False)
            self.evicted += 1
            self.clear(row)
            self._recent[row] = ()
        self._owner[intern(key[0]), intern(key[1])] = row
        return row

    def clear(self, row: int) -> None:
        """Forget the reference of a row."""
        if slot := int(self.rows[row]["slot"]):
            self.pool.used[slot - 1] = 0
        self.rows[row] = np.zeros((), SEGMENT)
        self._flagged[row] = _NONE

    def remember(self, row: int, event_ids: Sequence[str]) -> None:
        """Keep the latest events of a row as examples."""
        self._recent[row] = (*self._recent[row], *event_ids)[-EXAMPLES:]

    def flag(self, row: int, kind: int, event: Flagged) -> None:
        """Keep an event as one of the latest with a flag."""
        kinds = list(self._flagged[row])
        kinds[kind] = (*kinds[kind], event)[-EXAMPLES:]
        self._flagged[row] = tuple(kinds)

    def examples(self, row: int) -> Examples:
        """Return the latest events of a row."""
        return Examples(self._recent[row], self._flagged[row])

    def state(self) -> dict[str, Any]:
        """Return columns by row number, and whose row it is, least recently seen first."""
        n = len(self._owner)
        return {
            "keys": [list(k) for k in self._owner],
            "row": list(self._owner.values()),
            "recent": [list(ids) for ids in self._recent],
            "flagged": [[list(map(list, events)) for events in kinds] for kinds in self._flagged],
            "evicted": self.evicted,
            "columns": {name: self.rows[name][:n].copy() for name in COLUMNS},
            "pool": self._borrowed(),
        }

    def _borrowed(self) -> dict[str, Any]:
        """Places of the pool up to the last used one; what was left in an unused one is no state."""
        used = np.flatnonzero(self.pool.used)
        columns = {name: a[: used[-1] + 1 if len(used) else 0].copy() for name, a in self.pool._asdict().items()}
        free = columns["used"] == 0
        for column in columns.values():
            column[free] = 0
        return columns

    def restore(self, state: Mapping[str, Any]) -> None:
        """Continue from `state`; raises ValueError if it does not fit."""
        keys, order, recent, flagged = state["keys"], state["row"], state["recent"], state["flagged"]
        n = len(keys)
        if n > self.size or sorted(order) != list(range(n)) or not len(recent) == len(flagged) == n:
            raise ValueError(f"{n} segments, {len(recent)} and {len(flagged)} of examples, at most {self.size}")
        pool = pool_of(*self.pool.values.shape[:2])
        rows = np.zeros(self.size, SEGMENT)
        _fill({name: rows[name] for name in COLUMNS}, state["columns"])
        _fill(pool._asdict(), state["pool"])
        if len(state["columns"]["seen"]) != n:
            raise ValueError(f"{n} keys, {len(state['columns']['seen'])} records")
        check_rows(rows[:n], pool)
        self.rows, self.pool, self.evicted = rows, pool, int(state["evicted"])
        self._owner = OrderedDict(((str(a), str(b)), int(k)) for (a, b), k in zip(keys, order, strict=True))
        self._recent = [tuple(map(str, ids))[-EXAMPLES:] for ids in recent]
        self._flagged = [
            tuple(
                tuple((str(i), int(o)) for i, o in events)[-EXAMPLES:] for _, events in zip(FLAGS, kinds, strict=True)
            )
            for kinds in flagged
        ]
        if len(self._owner) != n:
            raise ValueError("a segment twice")


def _fill(into: Mapping[str, NDArray[Any]], given: Mapping[str, Any]) -> None:
    """Fill the first places of columns by those given; all have the same number."""
    if set(given) != set(into):
        raise ValueError(f"columns {sorted(set(given) ^ set(into))} missing or not known")
    n = len(given[next(iter(into))])
    for name, home in into.items():
        column = np.asarray(given[name])
        if n > len(home) or column.shape != home[:n].shape or column.dtype != home.dtype:
            raise ValueError(f"{name} of shape {column.shape}, {column.dtype}")
        home[:n] = column
