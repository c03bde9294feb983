"""Scored events, kept until their labels come."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from agents.common.state_validation import array, texts
from agents.common.tenant_map import TenantLru

CallKey = tuple[str, str, str]
"""Tenant, app and call: a label of one tenant cannot touch another's event."""


class Remembered(NamedTuple):
    """A scored event.

    Attributes
    ----------
    row
        Its features, as `agents.learning.deltas.Space` takes them; not to be written.
    base, margin
        Log odds by the weights that do not change, and as it was scored.
    flag
        Whether it was flagged.
    chance
        Probability with which its label was asked for; 0 if it was not.
    """

    row: NDArray[Any]
    base: float
    margin: float
    flag: bool
    chance: float = 0.0


class Events:
    """The latest events, and beside them the latest flagged ones and those for which a label was asked.

    A label may come hours after its event, when thousands of others were scored; most come for events of the last two
    kinds, which are few, so those are kept longer.

    Parameters
    ----------
    size
        Latest events kept; half as many of each of the other kinds. Each tenant has a fair share of every kind.
    width, dtype
        Of a row.

    Examples
    --------
    >>> events = Events(2, 3, np.float64)
    >>> for k in range(4):
    ...     events.keep(("t", "a", f"c{k}"), Remembered(np.zeros(3), 0.0, 0.0, flag=k == 0))
    >>> [events.find(("t", "a", f"c{k}")) is not None for k in range(4)]
    [True, False, True, True]
    """

    def __init__(self, size: int, width: int, dtype: type[np.number[Any]]) -> None:
        self.width, self.dtype = width, np.dtype(dtype)
        self._sizes = (size, max(1, size // 2), max(1, size // 2))
        self._kinds = tuple(TenantLru[CallKey, Remembered](most) for most in self._sizes)

    def keep(self, key: CallKey, event: Remembered) -> None:
        """Remember an event."""
        kind = 2 if event.chance > 0.0 else int(event.flag)
        tenant = key[0]
        for k, other in enumerate(self._kinds):
            if k != kind:  # a call that is scored again is known as it was scored last
                other.pop(tenant, key)
        self._kinds[kind].put(tenant, key, event)

    def find(self, key: CallKey) -> Remembered | None:
        """Return an event; None if it is not, or no longer, known."""
        for kept in self._kinds:
            if (found := kept.peek(key[0], key)) is not None:
                return found
        return None

    def state(self) -> dict[str, Any]:
        """Return arrays and lists by kind, in the order of `TenantLru.items`; arrays are copies."""
        return {name: self._kind_state(kept) for name, kept in zip(_KINDS, self._kinds, strict=True)}

    def _kind_state(self, kept: TenantLru[CallKey, Remembered]) -> dict[str, Any]:
        rows = np.array([e.row for e in kept.values()], self.dtype).reshape(len(kept), self.width)
        numbers = np.array([(e.base, e.margin, e.flag, e.chance) for e in kept.values()], np.float64)
        keys = [list(k) for k in kept]
        return {"keys": keys, "tenants": kept.tenants(), "rows": rows, "numbers": numbers.reshape(len(kept), 4)}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Continue from `state`; raises ValueError if it does not fit."""
        self._kinds = tuple(self._kind(state[n], size) for n, size in zip(_KINDS, self._sizes, strict=True))

    def _kind(self, state: Mapping[str, Any], size: int) -> TenantLru[CallKey, Remembered]:
        keys = [texts(key, 3) for key in state["keys"]]
        if len(keys) > size:
            raise ValueError(f"{len(keys)} events, at most {size}")
        rows = array(state["rows"], self.dtype, len(keys), self.width)
        numbers = array(state["numbers"], np.float64, len(keys), 4).tolist()
        kept = TenantLru[CallKey, Remembered](size)
        events = [
            Remembered(row, base, margin, bool(flag), chance)
            for row, (base, margin, flag, chance) in zip(rows, numbers, strict=True)
        ]
        kept.restore(state["tenants"], ((t, a, c) for t, a, c in keys), events)
        return kept


_KINDS = ("latest", "flagged", "requested")
