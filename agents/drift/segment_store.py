"""Store of the drift records of all scopes, each with its reference window: an array, and the row of each scope."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from sys import intern
from typing import Any, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from agents.common.tenant_map import TenantLru
from agents.drift.layout import BINARY, BOOTSTRAP_ROWS, BOOTSTRAP_SLOTS, SEGMENT, empty_pool
from agents.drift.record_validation import check_rows

EXAMPLES = 5
COLUMNS: tuple[str, ...] = SEGMENT.names or ()
Scope: TypeAlias = "tuple[str, str]"
FlaggedEvent: TypeAlias = "tuple[str, int]"
Rows: TypeAlias = "NDArray[np.void]"

_NO_FLAGGED: tuple[tuple[FlaggedEvent, ...], ...] = ((),) * len(BINARY)


class Examples(NamedTuple):
    """Latest events of an app, oldest first.

    Attributes
    ----------
    recent
        Event ids.
    flagged
        Event ids and offsets of the events with each binary feature, in the order of `BINARY`.
    """

    recent: tuple[str, ...]
    flagged: tuple[tuple[FlaggedEvent, ...], ...]


class SegmentStore:
    """Records of apps by scope (tenant, app), with a fair share of the store for each tenant (`TenantLru`).

    Parameters
    ----------
    size
        Maximum number of records. A new record evicts the least recently seen record of the tenant with most records.
    bootstrap_rows
        Rows of a reference that are stored while the reference is learned.

    Attributes
    ----------
    evicted_rows
        Rows of evicted apps. Call `clear_evicted` after the last events of those apps are processed.
    rows
        Records by row number.
    pool
        Bootstrap rows of references that are being learned. The ``slot`` of a record is its slot in the pool plus one,
        or 0.

    Examples
    --------
    >>> store = SegmentStore(2)
    >>> [store.get_or_create(("t", app)) for app in "abac"], store.evicted_rows, store.evicted, len(store)
    ([0, 1, 0, 1], [1], 1, 2)
    """

    def __init__(self, size: int, bootstrap_rows: int = BOOTSTRAP_ROWS) -> None:
        self.size = size
        # The array has its full size from the start: pages of zeros take no memory until a row is used, and growing
        # the array would fragment memory.
        self.rows: Rows = np.zeros(size, SEGMENT)
        self.pool = empty_pool(min(size, BOOTSTRAP_SLOTS), bootstrap_rows)
        self.evicted_rows: list[int] = []
        self._row_of = TenantLru[Scope, int](size)
        self._free: list[int] = []
        self._recent: list[tuple[str, ...]] = []
        self._flagged: list[tuple[tuple[FlaggedEvent, ...], ...]] = []

    def __len__(self) -> int:
        return len(self._row_of)

    @property
    def evicted(self) -> int:
        """Number of evicted records."""
        return self._row_of.evicted

    def get_or_create(self, scope: Scope) -> int:
        """Return the row of an app and mark the app as most recently seen; the row may be in `evicted_rows`."""
        tenant, app = scope
        if (row := self._row_of.get(tenant, scope)) is not None:
            return row
        tenant = intern(tenant)
        interned = (tenant, intern(app))
        self.evicted_rows = [row for _, _, row in self._row_of.put(tenant, interned, -1)]
        self._free += self.evicted_rows
        if not self._free:
            self._free.append(len(self._recent))
            self._recent.append(())
            self._flagged.append(_NO_FLAGGED)
        row = self._free.pop()
        self._row_of.replace(tenant, interned, row)
        return row

    def clear_evicted(self) -> None:
        """Clear the rows of evicted apps for their new apps."""
        for row in self.evicted_rows:
            self.clear(row)
            self._recent[row] = ()
        self.evicted_rows = []

    def clear(self, row: int) -> None:
        """Reset the record of a row, so that its reference is learned again."""
        if slot := int(self.rows[row]["slot"]):
            self.pool.used[slot - 1] = 0
        self.rows[row] = np.zeros((), SEGMENT)
        self._flagged[row] = _NO_FLAGGED

    def add_examples(self, row: int, event_ids: Sequence[str]) -> None:
        """Store the latest events of a row as examples."""
        self._recent[row] = (*self._recent[row], *event_ids)[-EXAMPLES:]

    def add_flagged(self, row: int, kind: int, event: FlaggedEvent) -> None:
        """Store an event as one of the latest events with a binary feature."""
        kinds = list(self._flagged[row])
        kinds[kind] = (*kinds[kind], event)[-EXAMPLES:]
        self._flagged[row] = tuple(kinds)

    def examples(self, row: int) -> Examples:
        """Return the latest events of a row."""
        return Examples(self._recent[row], self._flagged[row])

    def state(self) -> dict[str, Any]:
        """Return one column per field, in the order of `TenantLru.items`."""
        order = list(self._row_of.values())
        return {
            "keys": [list(k) for k in self._row_of],
            "tenants": self._row_of.tenants(),
            "recent": [list(self._recent[row]) for row in order],
            "flagged": [[list(map(list, events)) for events in self._flagged[row]] for row in order],
            "evicted": self.evicted,
            "columns": {name: self.rows[name][order] for name in COLUMNS},
            "pool": self._pool_state(),
        }

    def _pool_state(self) -> dict[str, Any]:
        """Return the slots of the pool up to the last slot in use; free slots are zeroed, their content is no state."""
        used = np.flatnonzero(self.pool.used)
        columns = {name: a[: used[-1] + 1 if len(used) else 0].copy() for name, a in self.pool._asdict().items()}
        free = columns["used"] == 0
        for column in columns.values():
            column[free] = 0
        return columns

    def restore(self, state: Mapping[str, Any]) -> None:
        """Continue from `state`; raise ValueError if the state does not fit."""
        keys, recent, flagged = state["keys"], state["recent"], state["flagged"]
        n = len(keys)
        if n > self.size or not len(recent) == len(flagged) == n:
            raise ValueError(
                f"state has {n} apps with {len(recent)} and {len(flagged)} lists of examples; "
                f"the numbers must be equal and at most {self.size}"
            )
        pool = empty_pool(*self.pool.values.shape[:2])
        rows = np.zeros(self.size, SEGMENT)
        _fill({name: rows[name] for name in COLUMNS}, state["columns"])
        _fill(pool._asdict(), state["pool"])
        if len(state["columns"]["seen"]) != n:
            raise ValueError(f"state has {n} keys but {len(state['columns']['seen'])} records")
        check_rows(rows[:n], pool)
        self._row_of.restore(state["tenants"], ((intern(str(a)), intern(str(b))) for a, b in keys), range(n))
        self._row_of.evicted = int(state["evicted"])
        self.rows, self.pool, self.evicted_rows, self._free = rows, pool, [], []
        self._recent = [tuple(map(str, ids))[-EXAMPLES:] for ids in recent]
        self._flagged = [
            tuple(
                tuple((str(i), int(o)) for i, o in events)[-EXAMPLES:] for _, events in zip(BINARY, kinds, strict=True)
            )
            for kinds in flagged
        ]


def _fill(targets: Mapping[str, NDArray[Any]], columns: Mapping[str, Any]) -> None:
    """Copy columns of equal length to the start of the target columns."""
    if set(columns) != set(targets):
        raise ValueError(f"columns {sorted(set(columns) ^ set(targets))} are missing or unknown")
    n = len(columns[next(iter(targets))])
    for name, target in targets.items():
        column = np.asarray(columns[name])
        if n > len(target) or column.shape != target[:n].shape or column.dtype != target.dtype:
            raise ValueError(
                f"column {name} has shape {column.shape} and type {column.dtype}, "
                f"not {target[:n].shape} and {target.dtype}"
            )
        target[:n] = column
