"""Buffer of scored events that wait for their labels."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from agents.common.state_validation import expect_array, expect_texts
from agents.common.tenant_map import TenantLru

CallKey = tuple[str, str, str]
"""Tenant, app and call id. The tenant is part of the key, so a label cannot affect an event of another tenant."""
_KINDS = ("latest", "flagged", "requested")


class BufferedEvent(NamedTuple):
    """A scored event.

    Attributes
    ----------
    row
        Features of the event, as in `agents.learning.deltas.FeatureSpec`; read-only.
    base, margin
        Log odds under the base weights, and log odds of the published score.
    flag
        True if the event was flagged.
    sampling_probability
        Probability with which the label of the event was requested; 0 if it was not requested.
    """

    row: NDArray[Any]
    base: float
    margin: float
    flag: bool
    sampling_probability: float = 0.0


class LabelBuffer:
    """Latest events, and in addition the latest flagged events and the latest events whose label was requested.

    A label may arrive hours after its event, when thousands of other events have been scored. Most labels are given to
    flagged events and requested events. These are few, so they are kept longer.

    Parameters
    ----------
    size
        Maximum number of latest events; half as many of each other kind. Each tenant has a fair share of every kind.
    width, dtype
        Width and dtype of the rows of features.

    Examples
    --------
    >>> buffer = LabelBuffer(2, 3, np.float64)
    >>> for k in range(4):
    ...     buffer.put(("t", "a", f"c{k}"), BufferedEvent(np.zeros(3), 0.0, 0.0, flag=k == 0))
    >>> [buffer.get(("t", "a", f"c{k}")) is not None for k in range(4)]
    [True, False, True, True]
    """

    def __init__(self, size: int, width: int, dtype: type[np.number[Any]]) -> None:
        self.width, self.dtype = width, np.dtype(dtype)
        self._sizes = (size, max(1, size // 2), max(1, size // 2))
        self._kinds = tuple(TenantLru[CallKey, BufferedEvent](size) for size in self._sizes)

    def put(self, key: CallKey, event: BufferedEvent) -> None:
        """Add an event; an earlier event of the same call is replaced."""
        kind = 2 if event.sampling_probability > 0.0 else int(event.flag)
        tenant = key[0]
        for k, stored in enumerate(self._kinds):
            if k != kind:
                stored.pop(tenant, key)
        self._kinds[kind].put(tenant, key, event)

    def get(self, key: CallKey) -> BufferedEvent | None:
        """Return an event; None if it is unknown or evicted."""
        for stored in self._kinds:
            if (event := stored.peek(key[0], key)) is not None:
                return event
        return None

    def state(self) -> dict[str, Any]:
        """Return the complete state by kind, in the order of `TenantLru.items`; arrays are copies."""
        return {name: self._kind_state(stored) for name, stored in zip(_KINDS, self._kinds, strict=True)}

    def _kind_state(self, stored: TenantLru[CallKey, BufferedEvent]) -> dict[str, Any]:
        n = len(stored)
        rows = np.array([e.row for e in stored.values()], self.dtype).reshape(n, self.width)
        numbers = np.array([(e.base, e.margin, e.flag, e.sampling_probability) for e in stored.values()], np.float64)
        keys = [list(key) for key in stored]
        return {"keys": keys, "tenants": stored.tenants(), "rows": rows, "numbers": numbers.reshape(n, 4)}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Load a state; raise ValueError if it does not fit."""
        self._kinds = tuple(self._restored(state[n], size) for n, size in zip(_KINDS, self._sizes, strict=True))

    def _restored(self, state: Mapping[str, Any], size: int) -> TenantLru[CallKey, BufferedEvent]:
        keys = [expect_texts(key, 3) for key in state["keys"]]
        if len(keys) > size:
            raise ValueError(f"{len(keys)} buffered events, but at most {size} are allowed")
        rows = expect_array(state["rows"], self.dtype, len(keys), self.width)
        numbers = expect_array(state["numbers"], np.float64, len(keys), 4).tolist()
        stored = TenantLru[CallKey, BufferedEvent](size)
        events = [
            BufferedEvent(row, base, margin, bool(flag), probability)
            for row, (base, margin, flag, probability) in zip(rows, numbers, strict=True)
        ]
        stored.restore(state["tenants"], ((tenant, app, call) for tenant, app, call in keys), events)
        return stored
