"""Event time of each scope, bounded by the broker's time: no tenant's clock moves another's, and none runs ahead."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple, TypeAlias

import numpy as np

from agents.common.state_validation import array, strict_restore, texts, time_ms, within
from agents.common.tenant_map import TenantLru
from schemas.errors import StateError

Scope: TypeAlias = "tuple[str, str]"
"""Tenant and app."""
EARLIEST_MS = 31_536_000_000
"""1971, the first year that an event may have: a broker's time before it is none."""
LATEST_MS = 7_258_118_400_000
"""2200: a broker's time from then on is none either."""
SCOPES_MAX = 16_384
"""Scopes per partition of which a stage keeps the time."""


class Stamp(NamedTuple):
    """Time of one event, in milliseconds since 1970.

    Attributes
    ----------
    at
        Where in time the event is counted: its own time, or the broker's where its own is skewed.
    reach
        How far it may move the watermark of its scope; 0 where its time is skewed.
    broker
        When the broker took its record; 0 where that is not known.
    """

    at: int
    reach: int
    broker: int


def stamp(event_ms: int, broker_ms: int, skew_ms: int, *, appended: bool = True) -> Stamp:
    """Bound the time of an event by the broker's time of its record.

    An event cannot have happened after its record was written, so a watermark never passes the broker's time; an event
    that is ahead by no more than ``skew_ms`` (hosts' clocks differ) is still counted at its own time. The past is not
    bounded: replayed history is old. Without a broker's time (a file) the event's own time stands.

    Where the producer dates records (``appended`` is False: CreateTime) the time bounds the event, but is no time of
    the broker: it ends nothing of another scope.

    Examples
    --------
    >>> now = 1_700_000_000_000
    >>> tuple(stamp(now - 9, now, 300, appended=False))
    (1699999999991, 1699999999991, 0)
    >>> tuple(stamp(now - 9, now, 300)), tuple(stamp(now + 200, now, 300))
    ((1699999999991, 1699999999991, 1700000000000), (1700000000200, 1700000000000, 1700000000000))
    >>> tuple(stamp(now + 900, now, 300)), tuple(stamp(now + 900, 0, 300))
    ((1700000000000, 0, 1700000000000), (1700000000900, 1700000000900, 0))
    """
    if not EARLIEST_MS <= broker_ms < LATEST_MS:
        return Stamp(event_ms, event_ms, 0)
    broker = broker_ms if appended else 0
    if event_ms > broker_ms + skew_ms:
        return Stamp(broker_ms, 0, broker)
    return Stamp(event_ms, min(event_ms, broker_ms), broker)


class Watermarks:
    """The highest event time of each scope; it never goes back.

    Parameters
    ----------
    scopes_max
        Scopes kept, with a fair share for each tenant; the least recently seen are forgotten when there are more.

    Examples
    --------
    >>> marks = Watermarks()
    >>> marks.advance(("acme", "chat"), 5), marks.advance(("acme", "chat"), 3), marks.advance(("other", "chat"), 1)
    (5, 5, 1)
    >>> marks.of(("acme", "chat")), marks.of(("nobody", ""))
    (5, 0)
    """

    def __init__(self, scopes_max: int = SCOPES_MAX) -> None:
        self._marks = TenantLru[Scope, int](scopes_max)

    def advance(self, scope: Scope, reach: int) -> int:
        """Move the watermark of a scope as far as an event reaches; return it, 0 while there is none."""
        known = self._marks.get(scope[0], scope)
        if known is None:
            if reach:
                self._marks.put(scope[0], scope, reach)
            return reach
        if reach > known:
            self._marks.replace(scope[0], scope, reach)
            return reach
        return known

    def of(self, scope: Scope) -> int:
        """Return the watermark of a scope; 0 if there is none."""
        return self._marks.peek(scope[0], scope) or 0

    def state(self) -> dict[str, Any]:
        """Return everything needed to continue, in the order of `TenantLru.items`."""
        return {
            "scopes": [list(scope) for scope in self._marks],
            "tenants": self._marks.tenants(),
            "marks": np.fromiter(self._marks.values(), np.int64, len(self._marks)),
        }

    @strict_restore
    def restore(self, state: Mapping[str, Any]) -> None:
        """Continue from `state`; raise `StateError` if it does not fit."""
        try:
            scopes = [texts(scope, 2) for scope in state["scopes"]]
            within(scopes, self._marks.capacity, "scopes")
            marks = array(state["marks"], np.int64, len(scopes)).tolist()
            time_ms(*marks)
            self._marks.restore(state["tenants"], ((tenant, app) for tenant, app in scopes), marks)
        except (KeyError, TypeError, ValueError) as error:
            raise StateError(f"watermarks: {error}; they start cold", part="watermarks") from error
