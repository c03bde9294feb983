"""The records of all segments: an array, and which of its rows is whose."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from sys import intern
from typing import Any, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from agents.common.tenant_map import TenantLru
from agents.drift.layout import FLAGS, ROWS, SEGMENT, SLOTS, pool_of
from agents.drift.record_validation import check_rows

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
    """At most ``size`` records, by tenant and app, with a fair share for each tenant (`TenantLru`).

    Parameters
    ----------
    size
        Records kept; those least recently seen, of the tenants that have most, make room for a new one.
    kept
        Rows of a reference that are kept while it is learned.

    Attributes
    ----------
    gone
        Rows of segments that were given up: to be cleared (`clear_gone`) when their last events are taken in.
    rows
        Records by row number.
    pool
        Rows of references that are being learned, borrowed by the records whose ``slot`` is not 0 (one more than the
        place in the pool).

    Examples
    --------
    >>> table = Segments(2)
    >>> [table.touch(("t", app)) for app in "abac"], table.gone, table.evicted, len(table)
    ([0, 1, 0, 1], [1], 1, 2)
    """

    def __init__(self, size: int, kept: int = ROWS) -> None:
        self.size = size
        # All of them at once: pages of zeros take no memory until a row is used, and growing would leave holes.
        self.rows: Rows = np.zeros(size, SEGMENT)
        self.pool = pool_of(min(size, SLOTS), kept)
        self.gone: list[int] = []
        self._owner = TenantLru[Key, int](size)
        self._free: list[int] = []
        self._recent: list[tuple[str, ...]] = []
        self._flagged: list[tuple[tuple[Flagged, ...], ...]] = []

    def __len__(self) -> int:
        return len(self._owner)

    @property
    def evicted(self) -> int:
        """Records given up so."""
        return self._owner.evicted

    def touch(self, key: Key) -> int:
        """Return the row of a segment, now the most recently seen; it may be one of `gone`."""
        tenant, app = key
        if (row := self._owner.get(tenant, key)) is not None:
            return row
        tenant = intern(tenant)
        own = (tenant, intern(app))
        self.gone = [row for _, _, row in self._owner.put(tenant, own, -1)]
        self._free += self.gone
        if not self._free:
            self._free.append(len(self._recent))
            self._recent.append(())
            self._flagged.append(_NONE)
        row = self._free.pop()
        self._owner.replace(tenant, own, row)
        return row

    def clear_gone(self) -> None:
        """Make the rows of `gone` those of new segments."""
        for row in self.gone:
            self.clear(row)
            self._recent[row] = ()
        self.gone = []

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
        """Return columns by segment, in the order of `TenantLru.items`."""
        order = list(self._owner.values())
        return {
            "keys": [list(k) for k in self._owner],
            "tenants": self._owner.tenants(),
            "recent": [list(self._recent[row]) for row in order],
            "flagged": [[list(map(list, events)) for events in self._flagged[row]] for row in order],
            "evicted": self.evicted,
            "columns": {name: self.rows[name][order] for name in COLUMNS},
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
        keys, recent, flagged = state["keys"], state["recent"], state["flagged"]
        n = len(keys)
        if n > self.size or not len(recent) == len(flagged) == n:
            raise ValueError(f"{n} segments, {len(recent)} and {len(flagged)} of examples, at most {self.size}")
        pool = pool_of(*self.pool.values.shape[:2])
        rows = np.zeros(self.size, SEGMENT)
        _fill({name: rows[name] for name in COLUMNS}, state["columns"])
        _fill(pool._asdict(), state["pool"])
        if len(state["columns"]["seen"]) != n:
            raise ValueError(f"{n} keys, {len(state['columns']['seen'])} records")
        check_rows(rows[:n], pool)
        self._owner.restore(state["tenants"], ((intern(str(a)), intern(str(b))) for a, b in keys), range(n))
        self._owner.evicted = int(state["evicted"])
        self.rows, self.pool, self.gone, self._free = rows, pool, [], []
        self._recent = [tuple(map(str, ids))[-EXAMPLES:] for ids in recent]
        self._flagged = [
            tuple(
                tuple((str(i), int(o)) for i, o in events)[-EXAMPLES:] for _, events in zip(FLAGS, kinds, strict=True)
            )
            for kinds in flagged
        ]


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
