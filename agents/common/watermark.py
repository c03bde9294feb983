"""Watermark of each scope, bounded by the broker's time.

No tenant's clock advances the watermark of another tenant, and no watermark runs ahead of the broker.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple, TypeAlias

import numpy as np

from agents.common.state_validation import expect_array, expect_at_most, expect_texts, expect_times_ms, strict_restore
from agents.common.tenant_map import TenantLru
from schemas.errors import StateError

Scope: TypeAlias = "tuple[str, str]"
"""Tenant and app."""
EARLIEST_MS = 31_536_000_000
"""Start of 1971, the earliest time of an event. An earlier broker timestamp is treated as unknown."""
LATEST_MS = 7_258_118_400_000
"""Start of 2200. A later broker timestamp is treated as unknown."""
SCOPES_MAX = 16_384
"""Maximum number of scopes per partition whose watermark a stage keeps."""


class EventTime(NamedTuple):
    """Times of one event, in milliseconds since 1970.

    Attributes
    ----------
    time_ms
        Time at which the event is counted: its own time, or the broker's time if its own is skewed.
    watermark_ms
        Time to which the event may advance the watermark of its scope; 0 if its own time is skewed.
    broker_ms
        Time at which the broker appended the record; 0 if unknown.
    """

    time_ms: int
    watermark_ms: int
    broker_ms: int


def bounded_time(event_ms: int, broker_ms: int, skew_ms: int, *, appended: bool = True) -> EventTime:
    """Return the times of an event, bounded by the broker's time of its record.

    An event cannot happen after its record was written, so a watermark never exceeds the broker's time. An event that
    is ahead by up to ``skew_ms`` (clocks of hosts differ) is still counted at its own time. The past is not bounded,
    because replayed history is old. Without a broker timestamp (a file), the event's own time counts.

    With producer timestamps (``appended`` is False: CreateTime), the timestamp bounds the event, but it does not count
    as broker time and therefore expires nothing in other scopes.

    Examples
    --------
    >>> now = 1_700_000_000_000
    >>> tuple(bounded_time(now - 9, now, 300, appended=False))
    (1699999999991, 1699999999991, 0)
    >>> tuple(bounded_time(now - 9, now, 300)), tuple(bounded_time(now + 200, now, 300))
    ((1699999999991, 1699999999991, 1700000000000), (1700000000200, 1700000000000, 1700000000000))
    >>> tuple(bounded_time(now + 900, now, 300)), tuple(bounded_time(now + 900, 0, 300))
    ((1700000000000, 0, 1700000000000), (1700000000900, 1700000000900, 0))
    """
    if not EARLIEST_MS <= broker_ms < LATEST_MS:
        return EventTime(event_ms, event_ms, 0)
    broker = broker_ms if appended else 0
    if event_ms > broker_ms + skew_ms:
        return EventTime(broker_ms, 0, broker)
    return EventTime(event_ms, min(event_ms, broker_ms), broker)


class Watermarks:
    """Highest event time of each scope; never decreases.

    Parameters
    ----------
    scopes_max
        Maximum number of scopes, with a fair share for each tenant; the least recently used are evicted.

    Examples
    --------
    >>> watermarks = Watermarks()
    >>> chat = ("acme", "chat")
    >>> watermarks.advance(chat, 5), watermarks.advance(chat, 3), watermarks.advance(("other", "chat"), 1)
    (5, 5, 1)
    >>> watermarks.get(chat), watermarks.get(("unknown", ""))
    (5, 0)
    """

    def __init__(self, scopes_max: int = SCOPES_MAX) -> None:
        self._times = TenantLru[Scope, int](scopes_max)

    def advance(self, scope: Scope, time_ms: int) -> int:
        """Advance the watermark of a scope to ``time_ms`` and return it; 0 while the scope has none."""
        watermark = self._times.get(scope[0], scope)
        if watermark is None:
            if time_ms:
                self._times.put(scope[0], scope, time_ms)
            return time_ms
        if time_ms > watermark:
            self._times.replace(scope[0], scope, time_ms)
            return time_ms
        return watermark

    def get(self, scope: Scope) -> int:
        """Return the watermark of a scope; 0 for an unknown scope."""
        return self._times.peek(scope[0], scope) or 0

    def state(self) -> dict[str, Any]:
        """Return the complete state, in the order of `TenantLru.items`."""
        return {
            "scopes": [list(scope) for scope in self._times],
            "tenants": self._times.tenants(),
            "marks": np.fromiter(self._times.values(), np.int64, len(self._times)),
        }

    @strict_restore
    def restore(self, state: Mapping[str, Any]) -> None:
        """Load a state; raise `StateError` if it does not fit."""
        try:
            scopes = [expect_texts(scope, 2) for scope in state["scopes"]]
            expect_at_most(scopes, self._times.capacity, "scopes")
            times = expect_array(state["marks"], np.int64, len(scopes)).tolist()
            expect_times_ms(*times)
            self._times.restore(state["tenants"], ((tenant, app) for tenant, app in scopes), times)
        except (KeyError, TypeError, ValueError) as error:
            raise StateError(f"watermarks: {error}; the watermarks start cold", part="watermarks") from error
